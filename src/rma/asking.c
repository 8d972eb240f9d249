/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What can't be pulled, and what is put: by messages to the owner, and from it.
 *
 * The message to the owner is synchronous: that it was received says that the put is done, or that the get's bytes are
 * sent; that it was refused, why not. So it is waited for, and the answer beside it.
 */
#include "rma/op.h"

#include <errno.h>
#include <stdlib.h>

#include "msg/peer.h"
#include "msg/receive.h"
#include "msg/send.h"
#include "os/reason.h"
#include "rma/ask.h"

static void make_due(struct op *op)
{
	if (op->due)
		return;
	op->due = true;
	TAILQ_INSERT_TAIL(&op->rma->ops_due, op, turn);
	engine_due(&op->rma->haul->engine);
}

/* In the middle of whatever completed it. */
static void completed(struct req_owner *o, struct haul_req *r)
{
	struct op *op = (struct op *)((char *)o - offsetof(struct op, owner));
	if (r == op->ask) {
		op->ask = NULL;
		op->ask_error = r->status.error;
	} else {
		op->answer = NULL;
		op->answer_error = r->status.error;
		if (r->status.error == 0 && r->status.got != op_left(op))
			op->answer_error = -EPROTO; /* fewer bytes */
	}
	make_due(op);
}

static void follow(struct op *op, struct haul_req **at, struct haul_req *r)
{
	*at = r;
	request_follow(r, &op->owner);
}

/* What is left of the buffers, and room for one iovec before it. NULL: no memory. */
static struct iovec *rest_of_buffers(const struct op *op, size_t *count)
{
	struct iovec *iov = malloc((op->bufs.count + 1) * sizeof(*iov));
	struct iov_cursor c;
	uint64_t len;
	if (iov == NULL)
		return NULL;
	iov_cursor_init(&c, op->bufs.iov, op->bufs.count, op->bufs.len);
	iov_cursor_advance(&c, op->moved);
	*count = iov_cursor_window(&c, iov + 1, op->bufs.count, op_left(op), &len);
	return iov;
}

static int send_ask(struct op *op, struct iovec *iov, size_t count)
{
	struct haul_req *r;
	bool put = op->kind == OP_PUT;
	struct ask ask = { .handle = op->handle,
		.offset = op->offset + op->moved,
		.len = op_left(op),
		.answer = put ? 0 : op->number };
	ask_encode(&ask, op->bytes);
	iov[0] = (struct iovec){ .iov_base = op->bytes, .iov_len = sizeof(op->bytes) };
	int rc = send_start(op->peer, put ? WIRE_ASK_PUT : WIRE_ASK_GET, WIRE_CHANNEL_REGIONS, iov,
	    put ? count + 1 : 1, HAUL_SYNC, &r);
	if (rc == 0)
		follow(op, &op->ask, r);
	return rc;
}

/* The answer is waited for before it is asked for. */
static int await_answer(struct op *op, const struct iovec *iov, size_t count)
{
	struct haul_match match = { .from = op->peer, .tag = op->number };
	struct haul_req *r;
	if (op_left(op) > op->rma->haul->options.max_msg)
		return reason(-EMSGSIZE, "longer than the option max_msg lets a message be");
	int rc = receive_start(op->rma->haul, &match, WIRE_CHANNEL_REGIONS + 1, iov, count, -1, &r);
	if (rc == 0)
		follow(op, &op->answer, r);
	return rc;
}

int op_ask(struct op *op)
{
	size_t count;
	op->state = ASKING;
	op->owner.completed = completed;
	struct iovec *iov = rest_of_buffers(op, &count);
	if (iov == NULL)
		return reason(-ENOMEM, "no memory for a message");
	int rc = op->kind == OP_GET ? await_answer(op, iov + 1, count) : 0;
	if (rc == 0 && (rc = send_ask(op, iov, count)) != 0 && op->answer != NULL) {
		op->late = rc;
		request_abort(op->answer, rc); /* nothing has come for it: it is complete, and due */
		rc = 0;
	}
	free(iov);
	return rc;
}

int op_result(const struct op *op)
{
	if (op->ask_error == 0 && op->answer_error == 0)
		return 0;
	if (op->kind == OP_GET && op->answer_error == 0) /* what was asked for is there */
		return 0;
	if (op->late != 0)
		return op->late;
	if (op->ask_error != 0)
		return ask_from_wire(op->ask_error);
	return op->answer_error == -EMSGSIZE ? -EPROTO : op->answer_error;
}

/* One of its messages has completed. An owner that is through with the ask has sent the answer before that. */
void op_settle(struct op *op)
{
	if (op->ask == NULL && op->answer != NULL)
		request_abort(op->answer, op->ask_error != 0 ? -ECANCELED : -EPROTO);
	if (op->ask != NULL || op->answer != NULL || op->due)
		return; /* not yet; or again, because of what was just aborted */
	int rc = op_result(op);
	if (rc == -ESTALE)
		reason(rc, "the peer has no such region, or no more");
	op_end(op, rc);
}
