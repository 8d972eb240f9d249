/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flow control: how much a peer may send that nobody has asked for yet. Two kinds of unit are counted
 * alike, bytes of eager messages and described messages. Counters are cumulative, modulo 2^32, and
 * travel in every header; a lost or repeated one does no harm. Pure arithmetic, used by link.
 */
#ifndef HAUL_LINK_CREDIT_H
#define HAUL_LINK_CREDIT_H

#include <stdbool.h>
#include <stdint.h>

/* What a context lets all its peers hold together, in bytes. */
struct credit_pool {
	uint64_t left;
};

/* What the peer lets us send. */
struct credit_out {
	uint32_t granted, spent;
	uint32_t most; /* unspent credit beyond this is a lie */
};

/* What we let the peer send. granted = arrived + window - held at any time. */
struct credit_in {
	uint32_t arrived; /* cumulative units that came */
	uint32_t held;    /* of these, units not yet given back by credit_release() */
	uint32_t window;  /* units that may be held at the moment */
	uint32_t most;    /* what the window may grow to */
	uint32_t told;    /* the grant that the peer was last told */
	uint32_t unit;    /* bytes of the pool that one unit of window takes */
	uint32_t paid;    /* units of the window that were taken from the pool */
	bool wider;       /* the window has grown since the peer was told */
};

void credit_out_init(struct credit_out *c, uint32_t granted, uint32_t most);
/* Takes the counter of a header. False: it went back, or grants more than may be. */
bool credit_out_update(struct credit_out *c, uint32_t granted);
bool credit_out_has(const struct credit_out *c, uint32_t units);
void credit_out_spend(struct credit_out *c, uint32_t units);

/* Starts with a window of `first` units, or of what the pool has left but at least `least`. */
void credit_in_init(struct credit_in *c, struct credit_pool *pool, uint32_t unit, uint32_t least,
    uint32_t first, uint32_t most);
void credit_in_fini(struct credit_in *c, struct credit_pool *pool);
/* Units came. False: more than were granted. Half a window in use makes it grow while the pool lasts. */
bool credit_in_arrive(struct credit_in *c, struct credit_pool *pool, uint32_t units);
/* The peer had something for which its credit did not last, though perhaps nothing is held: the window was
 * too small, or there was none because the pool had nothing left. So it grows as well. If that is not
 * `sure`, only where the peer was not told of so much; else it may merely not have read that yet, and then,
 * too, a larger window would have helped. */
void credit_in_missed(struct credit_in *c, struct credit_pool *pool, uint32_t units, bool sure);
void credit_in_release(struct credit_in *c, uint32_t units);
/* The counter to put into a header. */
uint32_t credit_in_tell(struct credit_in *c);
/* Whether the peer should be told soon, by a frame of its own if need be. */
bool credit_in_due(const struct credit_in *c);

#endif
