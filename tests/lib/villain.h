/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A context with two peers: one made by hand, to do what no peer should, and a good one, the library's own. What the
 * bad one does must cost the context that one peer at most: the good one exchanges messages before and after, and
 * neither descriptors nor memory are lost. All of it in one thread.
 */
#ifndef HAUL_TESTS_LIB_VILLAIN_H
#define HAUL_TESTS_LIB_VILLAIN_H

#include <haul/haul.h>

#include "rawpeer.h"

struct villain {
	struct haul *haul, *other;           /* the context attacked, and that of the good peer */
	struct haul_peer *bad, *good, *back; /* as the first sees both, as the other sees the first */
	struct raw raw;                      /* the bad peer itself */
	size_t heap;
	int fds;
};

/* Connects both. It must not move: the bad peer's proof of who it is lies in it. */
void villain_start(struct villain *v, const struct haul_options *o);
/* The context has lost the bad peer, by this error, and told it; the good peer is well, and nothing was leaked. */
void villain_lost(struct villain *v, int error);
/* The context has not lost it; the same otherwise. */
void villain_kept(struct villain *v);

/* Progress for both contexts, until there is nothing left to do. */
void villain_settle(struct villain *v);
/* The good peer and the context exchange a long and a short message, both ways. */
void villain_good_peer_is_well(struct villain *v);
/* Bytes in use since villain_start(), as malloc has it; 0 where a sanitizer has replaced that. */
size_t villain_grown(const struct villain *v);

/* Sends a frame with a body of these numbers, of as many bytes each as a digit of sizes says: "844". */
#define villain_say(v, type, flags, sizes, ...) \
	villain_say_numbers(v, type, flags, sizes, (const uint64_t[]){ __VA_ARGS__ })

void villain_say_numbers(struct villain *v, int type, unsigned flags, const char *sizes,
    const uint64_t *numbers);

/* What a descriptor says; ranges are sent if they are at most 4. */
struct villain_desc {
	uint64_t tag, id, len, cell, cookie, list;
	uint32_t count;
	struct iovec ranges[WIRE_DESC_RANGES];
};

void villain_describe(struct villain *v, const struct villain_desc *d);

/* Reads frames until one of this type, which *f is then; all that comes before is of no interest. */
void villain_await(struct villain *v, int type, struct raw_frame *f);

#endif
