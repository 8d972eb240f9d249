/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Matching: which message goes to which receive. Holds two queues, messages that nobody has asked for yet
 * and receives that nothing has come for yet; at any time no member of one fits a member of the other.
 * Pure: knows sources only as addresses to compare. Not exported.
 */
#ifndef HAUL_MSG_MATCH_H
#define HAUL_MSG_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

struct match_want {
	const void *from; /* NULL: any */
	uint64_t tag, ignore;
	uint32_t channel;
};

/* A posted receive. Embedded in its owner. */
struct match_recv {
	struct match_want want;
	bool queued;
	TAILQ_ENTRY(match_recv) entry;
};

/* A message that arrived. Embedded in its owner. */
struct match_item {
	const void *from;
	uint64_t tag;
	uint32_t channel;
	bool queued;
	uint64_t order; /* of arrival in this context; 0 before match_take() or match_queue() has seen it */
	TAILQ_ENTRY(match_item) entry;
};

struct match {
	TAILQ_HEAD(match_recvs, match_recv) recvs; /* in the order posted */
	TAILQ_HEAD(match_items, match_item) items; /* in the order arrived */
	uint64_t arrivals;
};

void match_init(struct match *m);
static inline void match_fini(struct match *m)
{
	(void)m;
}

/* A receive is posted: returns the first message it wants, taken off the queue, or NULL and queues it. */
struct match_item *match_post(struct match *m, struct match_recv *r);
/* A message is there: takes the first receive that wants it off the queue, or returns NULL, and then the
 * message should be queued. A new one gets its place in the order here, or a receive that ends early could
 * not give it back to it. */
struct match_recv *match_take(struct match *m, struct match_item *i);
/* Queues a message: at its place in the order of arrival. */
void match_queue(struct match *m, struct match_item *i);
/* The message a receive would get. */
struct match_item *match_find(const struct match *m, const struct match_want *want);

/* Take off the queue; nothing if not queued. */
void match_drop_recv(struct match *m, struct match_recv *r);
void match_drop_item(struct match *m, struct match_item *i);

#endif
