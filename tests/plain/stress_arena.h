/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buffers that tell when they are touched out of turn. Each lies between guard pages; a message is spread over
 * it in pieces, with gaps. A buffer that was received into is checked, filled with a canary, made read-only and
 * rests a while: whoever writes to it crashes, fails with -EFAULT, or is found when it is used again. A buffer
 * that was sent from is spoiled at once: whoever reads it delivers what the receiver will not take; half of them
 * can't be read at all. One arena
 * belongs to one thread.
 */
#ifndef HAUL_TESTS_PLAIN_STRESS_ARENA_H
#define HAUL_TESTS_PLAIN_STRESS_ARENA_H

#include <sys/uio.h>

#include "stress_plan.h"

enum arena_use { FOR_SENDING, FOR_RECEIVING };

enum { PIECES_MOST = 3000 };

struct buffer {
	struct buffer *next; /* while at rest */
	enum arena_use use;
	unsigned class;
	unsigned char *bytes;
	size_t room;    /* bytes, of which a message may take plan_longest() of the class */
	int protection; /* as in mprotect(2) */
	size_t len;     /* of the message, over the pieces */
	size_t count;
	struct iovec *pieces;
};

struct arena {
	struct {
		struct buffer *first, **last;
		unsigned made, resting;
	} rest[2][CLASSES];
	struct buffer *lost;
	bool pieces; /* many of them */
	unsigned given;
};

void arena_init(struct arena *a, bool pieces);
/* Everything at rest is checked a last time, and unmapped. */
void arena_fini(struct arena *a);

/* A buffer for len bytes, cut into pieces at random. NULL: too many of its size are under way. */
struct buffer *arena_take(struct arena *a, enum arena_use use, size_t len, uint64_t *random);
/* It is the caller's again, and rests. */
void arena_give(struct arena *a, struct buffer *b);

/* It is not known when it will be the caller's: it is never used again. */
void arena_lose(struct arena *a, struct buffer *b);

/* Writes a message there. */
void buffer_fill(struct buffer *b, uint64_t key);
/* Spoils what was sent. */
void buffer_spoil(struct buffer *b);
/* Fails unless it holds the got bytes of the message from offset on, and nothing else was written. */
void buffer_expect(struct buffer *b, uint64_t key, uint64_t offset, size_t got);
/* The receive failed: what is in the pieces is undefined, but around them nothing was written. */
void buffer_expect_margins(struct buffer *b);

/* A copy of the list of pieces, in memory of this thread's; spoiled by the next call. */
struct iovec *buffer_list(const struct buffer *b);

#endif
