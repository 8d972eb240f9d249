/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gets and puts under way: those that are requests, or take longer than one pull.
 *
 *     PULLING --> over           piece by piece, in turn with others (op.c)
 *        \------> ASKING
 *     ASKING ---> over           put: one message to the owner, with the bytes
 *                                get: a short one, and one from the owner, with the bytes (asking.c)
 *
 * Who ends one: its pieces; the owner's answer, its death or goodbye; the caller's timeout or cancel, which
 * takes the messages back, and waits for a copy that is under way in another thread. Who may touch the buffers: the
 * thread that copies (busy), or the messages; so it is over only when these are.
 */
#ifndef HAUL_RMA_OP_H
#define HAUL_RMA_OP_H

#include "msg/buffers.h"
#include "rma/rma.h"
#include "wire/protocol.h"

enum op_kind { OP_GET, OP_PUT };

enum op_state { PULLING, ASKING };

struct op {
	struct req_owner owner; /* of ask and answer */
	struct rma *rma;
	struct haul_req *req;
	struct haul_peer *peer;
	enum op_kind kind;
	enum op_state state;
	uint64_t number; /* in the order begun; and the answer's tag */
	struct haul_handle handle;
	uint64_t offset, moved;
	struct buffers bufs;
	bool busy;                     /* PULLING: being copied, outside the lock */
	bool due;                      /* ASKING: in rma.ops_due */
	int late;                      /* the caller has given up, with this */
	struct haul_req *ask, *answer; /* ASKING: under way; NULL: complete, with these */
	int ask_error, answer_error;
	uint8_t bytes[WIRE_ASK_SIZE];
	TAILQ_ENTRY(op) entry; /* in rma.ops */
	TAILQ_ENTRY(op) turn;  /* in rma.pulls (PULLING, not busy), or rma.ops_due */
};

/* Bytes that are still to be moved. */
static inline uint64_t op_left(const struct op *op)
{
	return op->bufs.len - op->moved;
}

/* What is to be done: of the peer, whose handle it is, from which byte of the region on, in which buffers. */
struct order {
	enum op_kind kind;
	struct haul_peer *peer;
	const struct haul_handle *handle;
	uint64_t offset;
	const struct iovec *iov;
	size_t count;
	uint64_t len; /* of the buffers */
};

/* Fills in len: 0, or why it can't be begun. */
int order_check(struct order *o);
/* Begins it; so many bytes have come already. by_message: it can't be pulled (any more). */
int op_start(const struct order *o, uint64_t moved, bool by_message, struct haul_req **out);

/* What can be done now: a bounded amount of pulling, and what the answers of owners bring. */
void ops_round(struct rma *m);
void op_abort(struct haul_req *r, int error);
void op_force(struct haul_req *r, int error);
/* The peer is about to be freed: none of its is being copied. */
void ops_forget(struct rma *m, const struct haul_peer *p);

/* Nothing touches its buffers any more: the request completes, and the op is gone. */
void op_end(struct op *op, int error);

/* asking.c: asks the owner for the rest. 0: something is under way, or due. */
int op_ask(struct op *op);
/* One of its messages has completed. */
void op_settle(struct op *op);
/* What it ends with, as far as its messages say. */
int op_result(const struct op *op);

#endif
