/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bins: a hash table of whatever is matched, in which entries with equal keys form one list, in an order of
 * their own. The table chains only the first of each list, so a thousand of one key are in nobody's way.
 * Intrusive: all it allocates is the table, which is there between bins_start() and bins_stop(). Used by
 * filing.c alone, which also says what a key is and in which order its entries are.
 */
#ifndef HAUL_MSG_BINS_H
#define HAUL_MSG_BINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bin_key {
	const void *from;
	uint64_t tag;
	uint32_t channel;
	uint32_t kind; /* keys of two kinds are never equal */
};

/* Embedded in what is filed. */
struct bin_link {
	struct bin_link *next;  /* of this key, or NULL */
	struct bin_link *prev;  /* of this key; the first has the last here */
	struct bin_link *chain; /* the first only: the first of another key in the same bucket, or NULL */
};

/* Where an entry belongs. It must not change while it is filed. */
struct bin_place {
	struct bin_key key;
	uint64_t order; /* among those of the key, ascending */
};

enum { BIN_MIX = 8 };

struct bins {
	struct bin_link **heads; /* the buckets, or NULL */
	unsigned bits;           /* of a bucket's number */
	size_t keys;             /* that have entries */
	struct bin_place (*place)(const struct bin_link *);
	uint64_t mix[BIN_MIX]; /* random: tags come from peers, who must not be able to choose the bucket */
};

void bins_init(struct bins *b, struct bin_place (*place)(const struct bin_link *));

/* Makes an empty table; false without memory. */
bool bins_start(struct bins *b);
/* Frees the table and forgets what was filed, without a look at it. Stopping twice is fine. */
void bins_stop(struct bins *b);

static inline bool bins_started(const struct bins *b)
{
	return b->heads != NULL;
}

/* These want a table. A table that finds no memory to grow gets slower. */
void bins_add(struct bins *b, struct bin_link *l);
void bins_remove(struct bins *b, struct bin_link *l);
/* The first entry of a key, or NULL. Its `next` are the others. */
struct bin_link *bins_first(const struct bins *b, const struct bin_key *key);

#endif
