/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Matching: which message goes to which receive. Holds two queues, messages that nobody has asked for yet
 * and receives that nothing has come for yet; at any time no member of one fits a member of the other. A
 * queue that is searched far is filed in bins too (filing.h). Knows sources only as addresses to compare. Not
 * exported.
 */
#ifndef HAUL_MSG_MATCH_H
#define HAUL_MSG_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "msg/bins.h"

struct match_want {
	const void *from; /* NULL: any */
	uint64_t tag, ignore;
	uint32_t channel;
};

/* How much of a tag a receive names. */
enum match_tag { MATCH_TAG, MATCH_TAG_PART, MATCH_TAG_ANY, MATCH_TAGS };

/* How messages are filed, so that each receive finds those it may want: a bin of its source and tag, of its
 * tag, or of its source. */
enum match_way { MATCH_BY_BOTH, MATCH_BY_TAG, MATCH_BY_SOURCE, MATCH_WAYS };

/* A posted receive. Embedded in its owner, who sets want. */
struct match_recv {
	TAILQ_ENTRY(match_recv) entry; /* first: see haul_req.entry */
	struct bin_link link;
	struct match_want want;
	uint64_t order; /* of posting */
	bool queued;
};

/* A message that arrived. Embedded in its owner, or on the stack if it is only to be taken. */
struct match_item {
	const void *from;
	uint64_t tag;
	uint32_t channel;
	bool queued;
	uint64_t order; /* of arrival in this context; 0 before match_take() or match_queue() has seen it */
	TAILQ_ENTRY(match_item) entry;
	struct bin_link links[MATCH_WAYS];
};

/* All that has to be set, and no more: it is done for each message, and most are never queued. */
static inline void match_item_init(struct match_item *i, const void *from, uint64_t tag, uint32_t channel)
{
	i->from = from;
	i->tag = tag;
	i->channel = channel;
	i->queued = false;
	i->order = 0;
}

/* What a queued message may take of the bins' tables, in bytes: in each, a key may have two buckets. */
enum { MATCH_ITEM_BUCKETS = MATCH_WAYS * 2 * sizeof(struct bin_link *) };

struct match {
	TAILQ_HEAD(match_recvs, match_recv) recvs; /* in the order posted */
	TAILQ_HEAD(match_items, match_item) items; /* in the order arrived */
	uint64_t posts, arrivals;
	size_t recvs_filed, items_filed; /* how many are in bins: all of a queue, or none */
	size_t alike[2][MATCH_TAGS];     /* of the receives filed, by whether they name a source, and a tag */
	struct bins recv_bins, item_bins[MATCH_WAYS];
};

static inline bool match_fits(const struct match_want *w, const struct match_item *i)
{
	return w->channel == i->channel && (w->from == NULL || w->from == i->from) &&
	    ((w->tag ^ i->tag) & ~w->ignore) == 0;
}

void match_init(struct match *m);
/* Frees the bins. What is queued is forgotten. */
void match_fini(struct match *m);

/* A receive is posted: returns the first message it wants, taken off the queue, or NULL and queues it. */
struct match_item *match_post(struct match *m, struct match_recv *r);
/* A message is there: takes the first receive that wants it off the queue, or returns NULL, and then the
 * message should be queued. A new one gets its place in the order here, or a receive that ends early could
 * not give it back to it. */
struct match_recv *match_take(struct match *m, struct match_item *i);
/* Queues a message: at its place in the order of arrival. Takes longer the more came after it. */
void match_queue(struct match *m, struct match_item *i);
/* The message a receive would get. Changes nothing but how fast the next one is found. */
struct match_item *match_find(struct match *m, const struct match_want *want);

/* Take off the queue; nothing if not queued. */
void match_drop_recv(struct match *m, struct match_recv *r);
void match_drop_item(struct match *m, struct match_item *i);

#endif
