/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames: the protocol's units as C structs, and the way to and from bytes. Pure: no I/O, no allocation.
 * Called by link for every byte that comes or goes; decoded values are checked for form (sizes, types,
 * limits of protocol.h), never for meaning (whether an id was ever sent is for the floors above).
 */
#ifndef HAUL_WIRE_FRAME_H
#define HAUL_WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/protocol.h"

struct wire_hello {
	uint16_t version_min, version_max;
	uint64_t features;
	uint64_t challenge;    /* to be answered in the peer's memory */
	uint64_t max_msg;      /* longest message accepted, bytes */
	uint32_t eager_max;    /* longest EAGER payload accepted, bytes */
	uint32_t credit_bytes; /* the first credits */
	uint32_t credit_descs;
	uint32_t euid;
};

/* The envelope of a message, common to EAGER and DESC. */
struct wire_envelope {
	uint32_t channel; /* 0: the application */
	uint64_t tag;
	uint64_t id; /* 0 in an EAGER that wants no answer */
};

struct wire_range {
	uint64_t addr, len;
};

struct wire_frame {
	enum wire_type type;
	uint8_t flags;
	uint32_t credit_bytes; /* cumulative, modulo 2^32: eager bytes granted so far */
	uint32_t credit_descs; /* the same for described messages */
	union {
		struct {
			uint64_t addr;
		} granted;
		struct {
			uint32_t error; /* 0: I can read your memory; else the errno */
			const char *words;
			size_t words_len;
		} verdict;
		struct {
			uint32_t error;
		} reject;
		struct {
			uint64_t ring;      /* address of its bytes */
			uint64_t state;     /* of the words about it, WIRE_STATE_* */
			uint64_t head;      /* of the word that tells how much of the peer's was read */
			uint64_t cookie;    /* what state's holds */
			uint32_t ring_size; /* 0: there is none */
		} outbox;
		/* DEMOTE, RESUME: a byte of what an outbox ever held; BELL: of the parcel in the ring that is its payload,
		 * or 0 without one */
		uint64_t position;
		struct {
			struct wire_envelope envelope;
		} eager; /* and payload */
		struct {
			struct wire_envelope envelope;
			uint64_t len;
			uint64_t cell, cookie; /* the grant cell's address, and what it holds while granted */
			uint64_t list;         /* where the ranges lie if they do not fit into the frame */
			uint64_t hand;         /* where the sender says what it writes itself; 0: it won't */
			uint32_t range_count;  /* all of them */
			struct wire_range ranges[WIRE_DESC_RANGES]; /* filled when they fit */
		} desc;
		struct {
			uint64_t id, offset, len;
			uint32_t epoch;
		} send;
		struct {
			uint64_t id, offset;
			uint32_t epoch;
		} data; /* and payload */
		struct {
			const uint8_t *ids; /* read them by wire_done_id() */
			size_t count;
		} done;
		struct {
			uint64_t id, got; /* got: bytes that were received all the same */
			uint32_t error;
		} refused;
		struct {
			uint64_t id;
			uint32_t error;
		} abort;
		struct {
			uint64_t id, offset;
			uint64_t cell, cookie; /* the landing's, in the receiver's memory */
			uint32_t epoch;
			const uint8_t *ranges; /* read them by wire_range() */
			size_t range_count;
		} grant;
		struct {
			uint64_t id, moved;
			uint32_t epoch;
			uint32_t error; /* 0: all of it was written */
		} pushed;
		struct {
			uint64_t id, offset;
			uint64_t cell, cookie; /* the landing's, in the receiver's memory */
			uint64_t front;        /* where the receiver says how far it has come */
			uint32_t epoch;
			uint32_t cpu; /* that the receiver runs on */
			const uint8_t
			    *ranges; /* read them by wire_range(); none: say when you are not at it */
			size_t range_count;
		} assist;
		struct {
			uint64_t id;
			uint32_t epoch;
		} assisted;
		struct {
			uint64_t id;
			uint32_t count; /* of the descriptors attached */
			uint32_t error; /* 0; or why there are none */
		} rights;
		uint64_t id; /* CANCEL, CANCELED, FLUSH, FLUSHED, FETCH */
	};
	/* EAGER, DATA, BELL: decode finds the payload's length, and its bytes as far as they follow. Encode takes the
	 * length; the bytes themselves are sent by the caller after the frame. */
	size_t payload_len;
	const uint8_t *payload;
};

/* What the first bytes of a frame tell. */
struct wire_head {
	size_t whole;    /* length of the frame in bytes, payload included */
	size_t decoding; /* how many of them wire_decode() must see: all, but for DATA's payload */
};

/* Reads the header at buf. 1: *head is filled; 0: more than len bytes are needed; -1: not a frame. */
int wire_peek(const uint8_t *buf, size_t len, struct wire_head *head);

/* Decodes a frame that wire_peek() has looked at and of which head->decoding bytes lie at buf. False if it is
 * malformed. Pointers in *frame point into buf. */
bool wire_decode(const uint8_t *buf, const struct wire_head *head, struct wire_frame *frame);

/* Both, for an EAGER frame of which all lies in the len bytes at buf, as it mostly does: its length. 0: it is something
 * else, or wrong, which those two will tell. */
size_t wire_decode_eager(const uint8_t *buf, size_t len, struct wire_frame *frame);

/* Writes a frame without its payload; returns its length, 0 if size (WIRE_FRAME_ROOM is enough for any)
 * is too small or the frame breaks a limit. */
size_t wire_encode(const struct wire_frame *frame, uint8_t *buf, size_t size);

/* HELLO, which has no header. Peek returns the whole length, 0 if more bytes are needed, -1 if it isn't
 * one; as soon as a byte differs from the magic. */
int wire_hello_peek(const uint8_t *buf, size_t len);
bool wire_hello_decode(const uint8_t *buf, size_t len, struct wire_hello *hello);
size_t wire_hello_encode(const struct wire_hello *hello, uint8_t *buf, size_t size);

uint64_t wire_done_id(const struct wire_frame *frame, size_t i);
void wire_done_put(uint8_t *ids, size_t i, uint64_t id);

/* The i-th range of a GRANT or ASSIST. */
struct wire_range wire_range(const uint8_t *ranges, size_t i);
void wire_range_put(uint8_t *ranges, size_t i, struct wire_range range);

/*
 * What a sender writes itself of a message, in a word for the receiver to read. All from the byte `from` on
 * is written; or, if it is live, the sender is about to write from there on, or is at it. It speaks of the
 * ASSIST with that epoch.
 */
struct wire_hand {
	uint32_t epoch; /* at most WIRE_HAND_EPOCHS */
	uint64_t from;  /* at most WIRE_HAND_LONGEST */
	bool live;
};

uint64_t wire_hand_put(struct wire_hand hand);
struct wire_hand wire_hand(uint64_t word);

const char *wire_type_name(enum wire_type type);

#endif
