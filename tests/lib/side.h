/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One side of something that two processes do with each other: what it is given, and the words of which its part is
 * made. All that waits has the side's timeout; each returns 0 or the first error; what is delivered is checked here.
 */
#ifndef HAUL_TESTS_LIB_SIDE_H
#define HAUL_TESTS_LIB_SIDE_H

#include <haul/haul.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct side {
	struct haul *h;
	struct haul_peer
	    *p; /* NULL: the part makes it from fd or address; a part that frees it sets it to NULL */
	int fd; /* -1: taken over */
	const char *address;    /* nobody listens there yet */
	int timeout_ms;         /* for whatever waits */
	bool (*hopeless)(void); /* the other side has ended; for what cannot tell by itself */
};

enum { SIDE_MOST = 1 << 20 }; /* the longest message */

/* Where messages are sent from, and where they are received. */
extern uint8_t side_out[SIDE_MOST], side_in[SIDE_MOST];

/* A message of so many bytes of the pattern of seed. It has its length as its tag: one that died with its sender
 * must not be taken for the next. */
int side_give(struct side *s, size_t len, uint64_t seed, unsigned flags);
int side_take(struct side *s, size_t len, uint64_t seed);

/* An empty one. */
int side_give_token(struct side *s);
int side_take_token(struct side *s);

/* The result of a request, or else of waiting for it; it is freed then. */
int side_finish(struct side *s, struct haul_req *r);

#endif
