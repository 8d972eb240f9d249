/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer made by hand: raw bytes and frames on a socket, for what no well-behaved peer does. It speaks the
 * protocol from the tables of wire/protocol.h with code of its own, none of the library's.
 *
 * It can live in the same process and thread as the context at the other end: while it waits for bytes, it
 * makes that context progress.
 */
#ifndef HAUL_TESTS_LIB_RAWPEER_H
#define HAUL_TESTS_LIB_RAWPEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <haul/haul.h>

#include "wire/protocol.h"

/* What it grants the other side, said in HELLO and in every frame. */
enum { RAW_CREDIT_BYTES = 1 << 20, RAW_CREDIT_DESCS = 256 };

struct raw {
	int fd;
	struct haul *drive; /* the context to make progress while waiting for it; NULL: in another process */
	uint64_t answer;    /* what the other side's probe reads */
	uint64_t features;  /* said in HELLO */
	bool drip;          /* sends a byte at a time, and waits until it was read, if it drives */
	bool impostor;      /* its answer is not the one that the other side's probe looks for */
	int verdict;        /* said in VERDICT: an errno, 0 if this side can read the other's memory */
	const uint8_t *outbox; /* the body of OUTBOX, said before READY; NULL: none is (handbox.h) */
	uint8_t their_outbox[WIRE_OUTBOX_SIZE]; /* that of the other side */
};

/* A frame as it was read. */
struct raw_frame {
	int type; /* 0: the other side has hung up; -1: nothing came in 10 s */
	uint8_t flags;
	size_t size;
	uint8_t body[WIRE_DATA_SIZE + WIRE_DATA_LONGEST];
};

/* Numbers as they are on the wire. */
void raw_put(void *at, uint64_t value, size_t bytes);
uint64_t raw_get(const void *at, size_t bytes);

/* HELLO of these versions, WIRE_HELLO_SIZE bytes; fields may be changed afterwards. */
void raw_hello_bytes(uint8_t *to, unsigned version_min, unsigned version_max);

/* Header and body; returns the length. to has room for WIRE_HEADER_SIZE + size. */
size_t raw_frame_bytes(uint8_t *to, int type, unsigned flags, const void *body, size_t size);

/* The three ways to send all of it: as it is; with this process's credentials; with count copies of fd. */
bool raw_send(struct raw *r, const void *bytes, size_t len);
bool raw_send_creds(struct raw *r, const void *bytes, size_t len);
bool raw_send_fds(struct raw *r, const void *bytes, size_t len, int fd, size_t count);

bool raw_send_frame(struct raw *r, int type, unsigned flags, const void *body, size_t size);

/* Reads len bytes. False: there were fewer. */
bool raw_read(struct raw *r, void *buf, size_t len);

/* Reads until the other side hangs up, at most 10 s: true if it did. */
bool raw_hung_up(struct raw *r);

/* Reads the next frame; not HELLO. */
void raw_next(struct raw *r, struct raw_frame *f);

/* The handshake in its steps, each false if the other side does not do its part: HELLO both ways, then
 * GRANTED both ways, VERDICT, READY. */
bool raw_hello(struct raw *r);
bool raw_granted(struct raw *r);
bool raw_verdict(struct raw *r);
bool raw_ready(struct raw *r);

/* All of it. */
bool raw_greet(struct raw *r);

/* An EAGER message. */
bool raw_send_eager(struct raw *r, uint64_t tag, const void *payload, size_t len);

#endif
