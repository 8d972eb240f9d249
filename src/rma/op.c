/* SPDX-License-Identifier: BSD-3-Clause */
/* Gets and puts under way: their beginning, their pulls, their end. See op.h. */
#include "rma/op.h"

#include <errno.h>
#include <stdlib.h>

#include "msg/peer.h"
#include "msg/send.h"
#include "os/reason.h"
#include "rma/reach.h"

enum {
	ROUND = 1 << 20,
	CALL = 4 << 10
}; /* as in msg/pull.c: bytes in one round; what a call costs beside them */

void op_end(struct op *op, int error)
{
	struct haul_req *r = op->req;
	r->status.got = error == 0 ? op->bufs.len : op->moved;
	TAILQ_REMOVE(&op->rma->ops, op, entry);
	buffers_fini(&op->bufs);
	free(op);
	request_complete(r, error);
}

/* ---- pulling ---- */

static void pull_next(struct op *op)
{
	TAILQ_INSERT_TAIL(&op->rma->pulls, op, turn);
	engine_due(&op->rma->haul->engine);
}

/* The next piece; returns how many bytes. The op may be gone. */
static uint64_t pull(struct op *op)
{
	struct iov_cursor local;
	uint64_t moved, len = op_left(op) < RMA_PIECE ? op_left(op) : RMA_PIECE;
	int rc = send_check(op->peer);
	if (rc != 0) {
		op_end(op, rc);
		return 0;
	}
	iov_cursor_init(&local, op->bufs.iov, op->bufs.count, op->bufs.len);
	iov_cursor_advance(&local, op->moved);
	rc = REACH_BY_MESSAGE;
	moved = 0;
	if (reach_may(op->peer)) {
		op->busy = true;
		rc = reach_region(op->peer, &op->handle, op->offset + op->moved, &local, len, &moved);
		op->busy = false;
	}
	op->moved += moved;
	if (rc == 0 && op_left(op) == 0)
		op_end(op, 0);
	else if (op->late != 0)
		op_end(op, op->late);
	else if (rc == 0)
		pull_next(op);
	else if (rc != REACH_BY_MESSAGE || (rc = op_ask(op)) != 0)
		op_end(op, rc);
	return moved;
}

void ops_round(struct rma *m)
{
	struct op *op;
	for (uint64_t done = 0; done < ROUND && (op = TAILQ_FIRST(&m->pulls)) != NULL;) {
		TAILQ_REMOVE(&m->pulls, op, turn);
		uint64_t moved = pull(op);
		done += moved > 0 ? moved + CALL : ROUND;
	}
	while ((op = TAILQ_FIRST(&m->ops_due)) != NULL) {
		TAILQ_REMOVE(&m->ops_due, op, turn);
		op->due = false;
		op_settle(op);
	}
}

/* ---- its beginning ---- */

int order_check(struct order *o)
{
	if (o->handle == NULL)
		return reason(-EINVAL, "no handle");
	if (o->count > WIRE_RANGES_MOST)
		return reason(-EINVAL, "%zu buffers, where %d are the most", o->count, WIRE_RANGES_MOST);
	if (!iov_total(o->iov, o->count, &o->len))
		return reason(-EINVAL, "an iovec with a length is NULL, or the lengths overflow");
	int rc = handle_check(o->handle);
	if (rc == 0)
		rc = handle_allows(o->handle, o->kind == OP_PUT ? HAUL_WRITE : HAUL_READ, o->offset, o->len);
	return rc != 0 ? rc : send_check(o->peer);
}

int op_start(const struct order *o, uint64_t moved, bool by_message, struct haul_req **out)
{
	struct haul *h = o->peer->haul;
	struct rma *m = rma_of(h);
	struct op *op = m != NULL ? calloc(1, sizeof(*op)) : NULL;
	if (op == NULL)
		return reason(-ENOMEM, "no memory for a get or put");
	int rc = buffers_init(&op->bufs, o->iov, o->count);
	if (rc != 0)
		goto err_op;
	op->req = request_new(h, REQ_ABOVE);
	if (op->req == NULL) {
		rc = request_refusal(h);
		goto err_buffers;
	}
	op->rma = m;
	op->peer = o->peer;
	op->kind = o->kind;
	op->handle = *o->handle;
	op->offset = o->offset;
	op->moved = moved;
	op->number = ++m->begun;
	op->req->above = (struct above){ h->above[ABOVE_REGIONS].ops, op };
	op->req->status.peer = o->peer;
	op->req->status.len = o->len;
	TAILQ_INSERT_TAIL(&m->ops, op, entry);
	if (!by_message && o->kind == OP_GET) {
		pull_next(op);
	} else if ((rc = op_ask(op)) != 0) {
		TAILQ_REMOVE(&m->ops, op, entry);
		request_free(op->req);
		goto err_buffers;
	}
	*out = op->req;
	return 0;

err_buffers:
	buffers_fini(&op->bufs);
err_op:
	free(op);
	return rc;
}

/* ---- giving up ---- */

void op_abort(struct haul_req *r, int error)
{
	struct op *op = r->above.what;
	bool copying = op->busy && !engine_stale(&r->haul->engine);
	if (op->late == 0)
		op->late = error;
	if (op->state == PULLING) {
		if (copying)
			return; /* it ends with the copy */
		if (!op->busy)
			TAILQ_REMOVE(&op->rma->pulls, op, turn);
		op_end(op, op->late);
		return;
	}
	if (op->answer != NULL)
		request_abort(op->answer, error);
	if (op->ask != NULL)
		request_abort(op->ask, error);
	/* Some of it completes in a moment, if the peer answers; else it is forced. */
}

void op_force(struct haul_req *r, int error)
{
	struct op *op = r->above.what;
	if (op->state == ASKING && op->ask != NULL)
		request_force(op->ask, error);
}

void ops_forget(struct rma *m, const struct haul_peer *p)
{
	struct op *op, *next;
	TAILQ_FOREACH_SAFE (op, &m->ops, entry, next) {
		if (op->peer != p)
			continue;
		if (op->state == PULLING)
			TAILQ_REMOVE(&m->pulls, op, turn);
		if (op->due)
			TAILQ_REMOVE(&m->ops_due, op, turn);
		bool over = op->state == ASKING && op->ask == NULL && op->answer == NULL;
		op_end(op, over ? op_result(op) : op->late != 0 ? op->late : -ECANCELED);
	}
}
