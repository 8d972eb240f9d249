/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The peer that a fuzzer plays: a socket, a handshake that can be done properly, what it has learned from
 * the frames that came, and memory for its descriptors to point at. It knows what would be right, so that what it says
 * is only a little wrong. In the same process and thread as the context: while it waits, that makes progress.
 */
#ifndef HAUL_TESTS_FUZZ_EVIL_H
#define HAUL_TESTS_FUZZ_EVIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <haul/haul.h>

#include "fuzz/input.h"
#include "wire/frame.h"

enum {
	EVIL_IDS = 8,     /* remembered of either side */
	EVIL_CELLS = 4,   /* grant cells */
	EVIL_LIST = 2048, /* ranges of the long list */
	EVIL_ARENA = 1 << 16,
	EVIL_PENDING = 1 << 19,
	EVIL_MOST = 8 << 20, /* bytes said by one script */
	EVIL_RING = 1 << 16,
};

/* How far evil_connect() goes. */
enum evil_depth { EVIL_SILENT, EVIL_HELLO, EVIL_GRANTED, EVIL_VERDICT, EVIL_READY };

/* A message or flush of one of the two sides. */
struct evil_id {
	uint64_t id, len, offset; /* offset and len: what a SEND asked for, if it is ours */
	uint32_t epoch;
	bool live;
};

/* Its own outbox, and what it knows of the context's; evil_outbox.c. */
struct evil_outbox {
	bool said, ready, resumed; /* OUTBOX; READY, from when on it is used; RESUME */
	bool mad; /* it has lied about what it has read: what the context says may make no sense */
	enum evil_via { EVIL_PROPER, EVIL_BESIDE, EVIL_INTO } via;
	uint64_t size, cookie;
	uint64_t most; /* the largest size said in this run: a connection before this one may still be read */
	uint64_t tail, sent; /* in the ring; in the stream */
	uint8_t *area; /* words, then a ring, then a hole; the same address in all runs of one process */

	bool offered, theirs_resumed, unread, on_blank;
	struct {
		uint64_t ring, state, head, cookie, size; /* size 0: it has none, or has not said so */
	} theirs;
	uint64_t head, into, taken; /* in the ring: its parcel that is next, bytes of that taken; in the stream */
	uint64_t again;            /* bytes that the socket brings once more */
	uint8_t aside[WIRE_BELL_ROOM];
	size_t aside_len;
};

struct evil {
	int fd; /* -1: hung up */
	struct haul *haul;
	uint64_t answer; /* to the context's challenge, in memory where it may read it */
	bool open, deaf, hold;
	bool two_handed;                     /* the context will ask for help */
	uint32_t credit_bytes, credit_descs; /* in every header */
	struct evil_id ours[EVIL_IDS], theirs[EVIL_IDS];
	size_t next_theirs;

	uint8_t *pending; /* said, not yet written */
	size_t pending_len, said;
	size_t flip_at; /* in the next frame; 0: nothing is altered */
	uint8_t flip_bits;
	size_t fds;
	uint8_t *heard; /* read, not yet understood */
	size_t heard_len, skip;
	struct evil_outbox outbox;

	uint8_t *arena;  /* EVIL_ARENA bytes, with as many that can't be read behind them */
	uint64_t *cells; /* the same addresses in all runs of one process, as are the ranges */
	struct wire_range *list;
};

void evil_init(struct evil *e, struct haul *h);
void evil_fini(struct evil *e);

/* Takes one end of a new pair, after hanging up the old one; the other is returned. */
int evil_pair(struct evil *e);
/* Does so much of the handshake, as it should be. The other end must have been adopted. */
void evil_greet(struct evil *e, enum evil_depth depth);
void evil_hang_up(struct evil *e);

/* Encodes a frame with fields from the input, most of them plausible, and says it. */
void evil_frame(struct evil *e, struct input *in);
void evil_say(struct evil *e, const void *bytes, size_t len);
/* The same, before what is pending; or past it, if the socket takes it. */
void evil_say_first(struct evil *e, const void *bytes, size_t len);
void evil_say_aside(struct evil *e, struct wire_frame *f);
/* Writes the first so many bytes of what is pending, each alone if asked. */
void evil_write(struct evil *e, size_t len, bool one_by_one);
/* Reads what has come, and learns from it. */
void evil_hear(struct evil *e);

/* So many calls that reach for the evil peer's memory, from now on, end with this errno: it has changed what it
 * permits. (evil_kernel.c) */
void evil_refuse(int error, unsigned calls);
/* Whose memory that is: the one evil peer there is, or NULL. */
void evil_is(struct evil *e);

/* ---- its outbox (evil_outbox.c) ---- */

void evil_outbox_init(struct evil *e);
void evil_outbox_fini(struct evil *e);
/* A new connection. */
void evil_outbox_begin(struct evil *e);
/* What OUTBOX says if it is right; that it was said. */
void evil_outbox_describe(const struct evil *e, struct wire_frame *f);
void evil_outbox_said(struct evil *e, const struct wire_frame *f);
/* Whether what is said now goes there; puts it in: how much there was room for. */
bool evil_outbox_carries(const struct evil *e);
size_t evil_outbox_put(struct evil *e, const uint8_t *at, size_t len);
/* Whether the socket brings only what the context says beside its own; how much of that was understood. */
bool evil_outbox_is_theirs(const struct evil *e);
size_t evil_outbox_beside(struct evil *e, const uint8_t *at, size_t len);
/* Takes what is in the context's, up to len bytes. */
size_t evil_outbox_take(struct evil *e, uint8_t *to, size_t len);
/* How much of ours the context has read. */
uint64_t evil_outbox_read_by_it(const struct evil *e);
/* One operation of ops.h. */
void evil_outbox_do(struct evil *e, unsigned op, struct input *in);
/* Whether that is memory of it; claims that a copy of the context's from or to there is one that it may make. */
bool evil_outbox_is(const struct evil *e, uint64_t addr, bool writing, size_t len);

/* Some rounds of progress. */
void evil_progress(struct evil *e, unsigned rounds);

#endif
