/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of reading from a stream: what in.c has of pulled.c and part.c. */
#ifndef HAUL_STREAM_IN_H
#define HAUL_STREAM_IN_H

#include "stream/stream.h"

enum { STAGE = 64 << 10 };

/* Where the stage is; NULL: there is no memory for it. */
uint8_t *in_stage(struct stream_in *in);

/* ---- pulled.c ---- */

/* How many bytes are there to be had, after a look: they may be in the stage already. 0: none, or the ring is lost. */
uint64_t pulled_look(struct haul_stream *s);
/* Pulls len bytes, which are known to be there, to the cursor; as many as came, or an error. Outside the lock. */
ssize_t pulled_bytes(struct haul_stream *s, struct iov_cursor *to, size_t len);
/* The writer is to say when there is more. */
void pulled_arm(struct haul_stream *s);
/* Writes to its bell; false: it can't be. */
bool pulled_ring(struct haul_stream *s, uint64_t what);

/* ---- part.c ---- */

/* Bytes of the message in hand that were not taken yet. */
uint64_t part_left(const struct stream_in *in);
/* Reads of it to the cursor: as many as came, or an error. */
ssize_t part_read(struct haul_stream *s, struct iov_cursor *to, size_t len, int timeout_ms);
/* It is done, and the next is heard. */
void part_end(struct haul_stream *s);
/* Its bytes are to come to the stage while nobody waits for them. */
int part_fetch(struct haul_stream *s);

#endif
