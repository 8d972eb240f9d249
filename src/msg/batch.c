/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Batches: haul_submit().
 *
 * A batch that is to be told of counts its requests that are under way, and one more while it is being
 * started, so that it can't be over before it has begun. The last to go tells, and frees it.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "msg/context.h"
#include "msg/notify.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "msg/request.h"
#include "msg/send.h"
#include "os/clock.h"
#include "os/reason.h"

struct batch {
	struct req_owner owner; /* of its requests */
	struct haul *haul;
	size_t left;
	struct notice *notice; /* frees itself when it has been told */
};

/* One less is under way. */
static void batch_count(struct batch *b)
{
	if (--b->left > 0)
		return;
	notice_tell_batch(b->haul, b->notice);
	free(b);
}

static void batch_completed(struct req_owner *o, struct haul_req *r)
{
	(void)r;
	batch_count((struct batch *)((char *)o - offsetof(struct batch, owner)));
}

static struct batch *batch_new(struct haul *h, const struct haul_notify *notify, int *rc)
{
	struct batch *b = calloc(1, sizeof(*b));
	struct notice *n = calloc(1, sizeof(*n));
	if (b == NULL || n == NULL) {
		*rc = reason(-ENOMEM, "no memory for a batch");
		goto err_free;
	}
	notice_init(n, NULL);
	if ((*rc = notice_set(h, n, notify)) != 0)
		goto err_free;
	b->owner.completed = batch_completed;
	b->haul = h;
	b->left = 1;
	b->notice = n;
	return b;

err_free:
	free(n);
	free(b);
	return NULL;
}

static int start(struct haul *h, struct haul_op *op, int timeout_ms)
{
	if (op->kind == HAUL_OP_RECV)
		return receive_start(h, &op->match, 0, op->iov, op->count, timeout_ms, &op->req);
	if (op->peer == NULL || op->peer->haul != h)
		return reason(-EINVAL, "no peer of this context to send to");
	return send_start(op->peer, op->tag, 0, op->iov, op->count, op->flags, &op->req);
}

/* Returns how many could not be started. */
static size_t start_all(struct haul *h, struct haul_op *ops, size_t count, int timeout_ms, struct batch *b)
{
	size_t failures = 0;
	for (size_t i = 0; i < count; i++) {
		struct haul_op *op = &ops[i];
		op->req = NULL;
		op->status = (struct haul_status){ 0 };
		if (op->kind == HAUL_OP_NONE)
			continue;
		int rc = start(h, op, timeout_ms);
		if (rc != 0) {
			op->status.error = rc;
			failures++;
		} else if (b != NULL && !op->req->complete) {
			request_dress(op->req);
			op->req->owner = &b->owner;
			b->left++;
		}
	}
	return failures;
}

struct progress {
	const struct haul_op *next;
	size_t left;
};

static bool all_complete(void *arg)
{
	struct progress *p = arg;
	for (; p->left > 0; p->next++, p->left--)
		if (p->next->req != NULL && !p->next->req->complete)
			return false;
	return true;
}

/* All that are left are given up together, so that they share one grace. */
static int give_up(struct haul *h, struct haul_op *ops, size_t count, int error)
{
	struct haul_req **reqs = calloc(count, sizeof(*reqs));
	if (reqs == NULL) { /* one by one, then */
		for (size_t i = 0; i < count; i++)
			request_abort_all(h, &ops[i].req, 1, error);
		return error;
	}
	for (size_t i = 0; i < count; i++)
		reqs[i] = ops[i].req;
	request_abort_all(h, reqs, count, error);
	free(reqs);
	return error;
}

/* Waits, and finishes all. Returns how many did not end well, or -EINTR. */
static ssize_t finish_all(struct haul *h, struct haul_op *ops, size_t count, int timeout_ms)
{
	struct progress p = { .next = ops, .left = count };
	ssize_t failures = 0;
	int rc = engine_wait(&h->engine, all_complete, &p, clock_after_ms(timeout_ms), NULL);
	if (rc != 0)
		rc = give_up(h, ops, count, rc == -EBADF ? -ECANCELED : rc);
	for (size_t i = 0; i < count; i++) {
		if (ops[i].req == NULL)
			continue;
		failures += request_finish(ops[i].req, &ops[i].status) != 0;
		ops[i].req = NULL;
	}
	return rc == -EINTR ? rc : failures;
}

static int check(const struct haul_op *ops, size_t count, int timeout_ms, const struct haul_notify *notify)
{
	if (ops == NULL && count > 0)
		return reason(-EINVAL, "no operations, but a count of %zu", count);
	if (notify != NULL && timeout_ms != 0)
		return reason(-EINVAL, "a batch that is waited for needs no notification");
	for (size_t i = 0; i < count; i++)
		if (ops[i].kind < HAUL_OP_NONE || ops[i].kind > HAUL_OP_RECV)
			return reason(-EINVAL, "operation %zu is of no kind: %d", i, ops[i].kind);
	return 0;
}

int haul_submit(struct haul *h, struct haul_op *ops, size_t count, int timeout_ms,
    const struct haul_notify *notify)
{
	struct batch *b = NULL;
	int rc = context_enter_wait(h, timeout_ms);
	if (rc != 0)
		return rc;
	rc = check(ops, count, timeout_ms, notify);
	if (rc == 0 && notify != NULL)
		b = batch_new(h, notify, &rc);
	if (rc != 0)
		return context_leave(h, rc);
	ssize_t failures = (ssize_t)start_all(h, ops, count, timeout_ms != 0 ? timeout_ms : -1, b);
	if (b != NULL)
		batch_count(b);
	if (timeout_ms != 0) {
		ssize_t n = finish_all(h, ops, count, timeout_ms);
		failures = n < 0 ? n : failures + n;
	}
	if (failures > 0)
		failures = reason(-EIO, "some operations failed: see the status of each");
	return context_leave(h, (int)failures);
}
