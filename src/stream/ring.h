/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The buffer of a buffered stream: a ring in the writer's private memory, out of which the reader pulls. Positions count
 * the stream's bytes from its beginning and never go back. Written by its owner only, but for one word, in which the
 * reader may ask to be told of more (BELL_ARMED), or says that it will never read again (BELL_CLOSED).
 *
 * Who may read what: the reader from its own position up to `tail`, which is published after the bytes. Bytes before
 * `head` it has, as it said. The cookie tells that this is still the ring: it is gone before the memory is, and a
 * forked child finds all of it wiped.
 */
#ifndef HAUL_STREAM_RING_H
#define HAUL_STREAM_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "os/iov.h"
#include "os/words.h"

enum { RING_BELL_ARMED = 1, RING_BELL_CLOSED = 2 };

/* At the beginning of the ring's pages; what stands before the bell is read by the other side. */
struct ring_words {
	word_t tail, cookie;
	uint64_t bytes, size; /* where the ring's bytes are, and how many */
	_Alignas(64) word_t bell;
};

struct ring {
	struct ring_words *words; /* NULL: there is none */
	uint8_t *bytes;
	size_t size;
	uint64_t cookie;
	uint64_t head, tail;
};

/* Size: a power of two. 0 or -ENOMEM. */
int ring_init(struct ring *r, size_t size, uint64_t cookie);
void ring_fini(struct ring *r);

static inline size_t ring_room(const struct ring *r)
{
	return r->size - (size_t)(r->tail - r->head);
}

/* Puts in the next len bytes, for which there is room, and publishes them. */
void ring_put(struct ring *r, struct iov_cursor *from, size_t len);

/* What the reader has said in the bell since; ARMED is taken back by that. To be asked after ring_put(). */
unsigned ring_heard(struct ring *r);
/* Sets it again. */
void ring_arm(struct ring *r);

/* The bytes from one position to another as at most two iovecs; their number. */
size_t ring_spans(const struct ring *r, uint64_t from, uint64_t to, struct iovec spans[2]);

#endif
