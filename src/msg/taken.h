/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A taken message: off the queue, in its taker's hands, read in parts or not at all. It is tied to the inbound
 * it came as until that can tell it nothing more (the sender took it back, the connection ended, the taker is
 * through): then `inbound` is NULL and `error` says why. The bytes of an eager message are its own.
 *
 * Reads take turns: the inbound moves bytes for one at a time (`reading`), the others wait in `reads`.
 */
#ifndef HAUL_MSG_TAKEN_H
#define HAUL_MSG_TAKEN_H

#include <stdint.h>

#include <bsd/sys/queue.h>

#include "msg/fds.h"
#include "msg/inbound.h"
#include "msg/request.h"

struct haul_msg {
	struct haul *haul;
	struct inbound *inbound;
	struct haul_peer *peer; /* NULL once it was closed */
	uint64_t tag, len;
	int rank;
	bool eager;
	bool call;        /* its sender waits for a reply */
	uint8_t *payload; /* eager, and not empty */
	int error;
	bool has_fds;
	struct {
		enum fds_state state;
		bool due;        /* ASKED: in peer.fetches */
		unsigned waits;  /* calls of haul_msg_fds() */
		int error;       /* HERE: why they are not */
		uint32_t theirs; /* ECONNREFUSED: the sender's errno */
		size_t count;
		int *fds;
		TAILQ_ENTRY(haul_msg) entry;
	} fds;
	struct haul_req *reading;
	struct request_list reads;
	TAILQ_ENTRY(haul_msg) entry; /* in haul.taken */
};

TAILQ_HEAD(taken_list, haul_msg);

/* A message is in somebody's hands now. NULL without memory, and nothing has changed. */
struct haul_msg *taken_new(struct inbound *in);
/* A take gets a message, and completes. */
void taken_start(struct inbound *in, struct haul_req *r);
/* Its inbound has moved what a read wanted, or has failed it with error: the read completes, the next begins. */
void taken_read_over(struct haul_msg *m, uint64_t got, int error);
/* Its inbound is about to go: all reads end with error. */
void taken_cut(struct haul_msg *m, int error);
/* Nobody wants it after all: back to its place in the queue. */
void taken_return(struct haul_msg *m);
/* The same where there is no place to go back to: a reply. Its sender hears of a cancel. */
void taken_drop(struct haul_msg *m);
/* First in what ends it: 0, or -EBUSY while it is read. Why it can't be read, or replied to, any more. */
int taken_idle(const struct haul_msg *m);
int taken_gone(const struct haul_msg *m);
void taken_free(struct haul_msg *m);
/* The peer is no more. */
void taken_forget_peer(struct haul *h, struct haul_peer *p);

/* haul_msg_iread(), with the lock held. timeout_ms: how long the caller will wait for it; -1: for as long as it takes. */
int taken_read_start(struct haul_msg *m, uint64_t offset, const struct iovec *iov, size_t count,
    int timeout_ms, struct haul_req **out);
/* A read gives up. */
void taken_read_abort(struct haul_req *r, int error);
/* haul_msg_done() (0) and haul_msg_refuse(), likewise. */
int taken_finish(struct haul_msg *m, int error);

#endif
