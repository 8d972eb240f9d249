/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Get and put, as the program calls them.
 *
 *     haul_get -> reach_region: one pull, in this thread, and nothing is allocated or sent
 *              -> an op, where that is not all: longer than a piece, or refused (op.c)
 *     haul_put, haul_iput, haul_iget -> an op
 *
 * Who ends a wait here: op.c tells.
 */
#include <errno.h>

#include "msg/request.h"
#include "os/reason.h"
#include "rma/op.h"
#include "rma/reach.h"
#include "rma/rma.h"

/* The whole of it by one pull, perhaps. 0: done; REACH_BY_MESSAGE: *moved bytes are there, it goes on otherwise. */
static int pull_at_once(const struct order *o, uint64_t *moved)
{
	struct iov_cursor local;
	*moved = 0;
	if (o->len > RMA_PIECE || !reach_may(o->peer))
		return REACH_BY_MESSAGE;
	iov_cursor_init(&local, o->iov, o->count, o->len);
	return reach_region(o->peer, o->handle, o->offset, &local, o->len, moved);
}

static int run(const struct order *o, int timeout_ms)
{
	struct haul_req *r;
	uint64_t moved = 0;
	int rc = o->kind == OP_GET ? pull_at_once(o, &moved) : REACH_BY_MESSAGE;
	if (rc != REACH_BY_MESSAGE)
		return rc;
	if (timeout_ms == 0)
		return reason(-EAGAIN, "it can't be done without waiting");
	bool by_message = o->len <= RMA_PIECE || !reach_may(o->peer);
	if ((rc = op_start(o, moved, by_message, &r)) != 0)
		return rc;
	return request_run(r, timeout_ms, o->peer, NULL);
}

static ssize_t blocking(struct order *o, int timeout_ms)
{
	if (o->peer == NULL)
		return reason(-EINVAL, "no peer");
	struct haul *h = o->peer->haul;
	int rc = context_enter_wait(h, timeout_ms);
	if (rc != 0)
		return rc;
	if ((rc = order_check(o)) == 0)
		rc = run(o, timeout_ms);
	context_leave(h, rc);
	return rc != 0 ? rc : (ssize_t)o->len;
}

static int start(struct order *o, struct haul_req **out)
{
	if (o->peer == NULL)
		return reason(-EINVAL, "no peer");
	struct haul *h = o->peer->haul;
	int rc = context_enter(h);
	if (rc != 0)
		return rc;
	if (out == NULL)
		rc = reason(-EINVAL, "no place for the request");
	if (rc == 0 && (rc = order_check(o)) == 0)
		rc = op_start(o, 0, !reach_may(o->peer), out);
	return context_leave(h, rc);
}

static struct order order_of(enum op_kind kind, struct haul_peer *p, const struct haul_handle *handle,
    uint64_t offset, const struct iovec *iov, size_t count)
{
	struct order o = { .kind = kind, .peer = p, .handle = handle, .offset = offset };
	o.iov = iov;
	o.count = count;
	return o;
}

ssize_t haul_get(struct haul_peer *p, const struct haul_handle *handle, uint64_t offset,
    const struct iovec *iov, size_t count, int timeout_ms)
{
	struct order o = order_of(OP_GET, p, handle, offset, iov, count);
	return blocking(&o, timeout_ms);
}

ssize_t haul_put(struct haul_peer *p, const struct haul_handle *handle, uint64_t offset,
    const struct iovec *iov, size_t count, int timeout_ms)
{
	struct order o = order_of(OP_PUT, p, handle, offset, iov, count);
	return blocking(&o, timeout_ms);
}

int haul_iget(struct haul_peer *p, const struct haul_handle *handle, uint64_t offset, const struct iovec *iov,
    size_t count, struct haul_req **out)
{
	struct order o = order_of(OP_GET, p, handle, offset, iov, count);
	return start(&o, out);
}

int haul_iput(struct haul_peer *p, const struct haul_handle *handle, uint64_t offset, const struct iovec *iov,
    size_t count, struct haul_req **out)
{
	struct order o = order_of(OP_PUT, p, handle, offset, iov, count);
	return start(&o, out);
}
