/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A context with two peers: one made by hand (rawpeer.h), which says whatever the test wants, and a good one, the
 * library's own. Whatever the first does must cost the context that one peer at most: the good one exchanges messages
 * before and after, and neither descriptors nor memory are lost. All of it in one thread.
 */
#ifndef HAUL_TESTS_LIB_HANDMADE_H
#define HAUL_TESTS_LIB_HANDMADE_H

#include <haul/haul.h>

#include "rawpeer.h"

struct handmade {
	struct haul *haul, *other;            /* the context under test, and that of the good peer */
	struct haul_peer *peer, *good, *back; /* as the first sees both, as the other sees the first */
	struct haul_req *watch;               /* of the peer made by hand */
	struct raw raw;                       /* that peer itself */
	size_t heap;
	int fds;
};

/* Connects both. It must not move: the peer's proof of who it is lies in it. The peer says and does what stands in
 * like; by default it knows push, can read, and is who it is. */
void handmade_start(struct handmade *m, const struct haul_options *options);
void handmade_start_as(struct handmade *m, const struct haul_options *options, const struct raw *like);

/* The context has kept the peer, or has lost it, by this error, and hung up; the good one is well. */
void handmade_must_live(struct handmade *m);
void handmade_must_be_lost(struct handmade *m, int error);

/* Closes all: nothing was leaked. */
void handmade_end(struct handmade *m);

/* Both at once. */
void handmade_kept(struct handmade *m);
void handmade_lost(struct handmade *m, int error);

/* Progress for both contexts, until there is nothing left to do. */
void handmade_settle(struct handmade *m);
/* The good peer and the context exchange a long and a short message, both ways. */
void handmade_good_peer_is_well(struct handmade *m);
/* Bytes in use since the start, as malloc has it; 0 where a sanitizer has replaced that. */
size_t handmade_grown(const struct handmade *m);

/* Sends a frame with a body of these numbers, of as many bytes each as a digit of sizes says: "844". */
#define handmade_say(m, type, flags, sizes, ...) \
	handmade_say_numbers(m, type, flags, sizes, (const uint64_t[]){ __VA_ARGS__ })

void handmade_say_numbers(struct handmade *m, int type, unsigned flags, const char *sizes,
    const uint64_t *numbers);

/* What a descriptor says; ranges are sent if they are at most 4. */
struct handmade_desc {
	uint64_t tag, id, len, cell, cookie, list;
	uint32_t count, channel;
	unsigned flags;
	struct iovec ranges[WIRE_DESC_RANGES];
};

void handmade_describe(struct handmade *m, const struct handmade_desc *d);

/* The next frame that the context has sent, which must be of that type; the next of that type, whatever comes before
 * it. Lasts until the next frame. */
const struct raw_frame *handmade_next(struct handmade *m, int type);
const struct raw_frame *handmade_await(struct handmade *m, int type);

#endif
