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
};

/* How far evil_connect() goes. */
enum evil_depth { EVIL_SILENT, EVIL_HELLO, EVIL_GRANTED, EVIL_VERDICT, EVIL_READY };

/* A message or flush of one of the two sides. */
struct evil_id {
	uint64_t id, len, offset; /* offset and len: what a SEND asked for, if it is ours */
	uint32_t epoch;
	bool live;
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
/* Writes the first so many bytes of what is pending, each alone if asked. */
void evil_write(struct evil *e, size_t len, bool one_by_one);
/* Reads what has come, and learns from it. */
void evil_hear(struct evil *e);

/* So many calls that copy between processes, from now on, end with this errno: the evil peer has changed what it
 * permits. */
void evil_refuse(int error, unsigned calls);

/* Some rounds of progress. */
void evil_progress(struct evil *e, unsigned rounds);

#endif
