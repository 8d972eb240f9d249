/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An outbox made by hand, for the peer of handmade.h: its words and its ring, which a test may set to anything, and a
 * reader of the context's. It speaks the protocol with code of its own. The peer lives in the process of the
 * context, so that its memory is the test's, and the context's words can be looked at as they are.
 */
#ifndef HAUL_TESTS_LIB_HANDBOX_H
#define HAUL_TESTS_LIB_HANDBOX_H

#include "handmade.h"

enum { HANDBOX_RING = 4096, HANDBOX_COOKIE = 0xb0c5 };

/* Offsets of the words behind `state`, in words. */
enum { HANDBOX_FULL, HANDBOX_COOKIE_AT, HANDBOX_BELL, HANDBOX_HEAD, HANDBOX_WORDS };

struct handbox {
	uint8_t *pages;           /* one for words, one for the ring, one that can't be read */
	volatile uint64_t *words; /* at the very end of their page */
	uint8_t *ring;
	uint64_t tail, sent; /* in the ring: where the next parcel goes; in the stream: what was put in */
	uint64_t head, into; /* of the context's ring: the next parcel, and bytes of it that were taken */
	uint8_t said[2 * HANDBOX_RING]; /* the first bytes of the stream */
	uint8_t body[WIRE_OUTBOX_SIZE]; /* of OUTBOX */
};

/* Maps it, and says what is right in body; unmaps it. */
void handbox_init(struct handbox *b);
void handbox_fini(struct handbox *b);
/* Connects a context and a peer with this outbox, both by handmade_start_as(). */
void handbox_start(struct handmade *m, struct handbox *b);

/* Puts bytes in, as one parcel, whether there is room or not. Nobody is told. */
void handbox_put(struct handbox *b, const void *bytes, size_t len);
/* BELL, without a parcel; with so many bytes that a parcel at that position is to have. */
void handbox_ring(struct handmade *m);
void handbox_ring_for(struct handmade *m, uint64_t position, const void *bytes, size_t len);
/* Only the head of a parcel: so long it claims to be. */
void handbox_claim(struct handbox *b, uint64_t len);
/* A frame, of numbers as handmade_say_numbers() has them; a message. */
void handbox_say(struct handbox *b, int type, const char *sizes, const uint64_t *numbers);
void handbox_eager(struct handbox *b, uint64_t tag, const void *payload, size_t len);

/* A word of the context's; where the bytes of its ring from a position on lie, and how many up to its end. */
volatile uint64_t *handbox_their_word(const struct handmade *m, size_t word);
/* How far the context's ring is filled, if none of it was taken, so many parcels at the most; and bytes of the stream. */
uint64_t handbox_their_tail(const struct handmade *m, size_t parcels, uint64_t *sent);
/* The next frame in the context's ring, with progress until it is there: its type. As raw_next(). */
const struct raw_frame *handbox_next(struct handmade *m, struct handbox *b, int type);

#endif
