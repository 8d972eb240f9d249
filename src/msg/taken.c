/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taken messages: haul_take(), haul_msg_read() and what else is done with one. See taken.h.
 *
 *     haul_take -> match_post -> (inbound) taken_start -> the handle
 *     haul_msg_read -> in turn: inbound_read -> pull or stream of that range -> taken_read_over
 *     haul_msg_done -> inbound_give_up: DONE
 *
 * Who ends a read that waits: its bytes, its timeout, the sender's taking back, the connection's end, and the
 * end of the read before it.
 */
#include "msg/taken.h"

#include <errno.h>
#include <stdlib.h>

#include "msg/context.h"
#include "msg/payload.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "os/reason.h"

/* ---- life ---- */

struct haul_msg *taken_new(struct inbound *in)
{
	struct haul *h = in->peer->haul;
	struct haul_msg *m = spares_take(&h->spare_msgs, sizeof(*m));
	if (m == NULL)
		return NULL;
	/* Field by field: clearing all of it would show in the time of a small message. */
	m->haul = h;
	m->inbound = in;
	m->peer = in->peer;
	m->tag = 0;
	m->len = in->len;
	m->rank = 0;
	m->eager = in->eager;
	m->call = in->call;
	m->payload = in->payload;
	in->payload = NULL;
	m->error = 0;
	m->has_fds = in->has_fds;
	m->fds.state = FDS_NONE;
	m->fds.due = false;
	m->fds.waits = 0;
	m->fds.error = 0;
	m->fds.theirs = 0;
	m->fds.count = 0;
	m->fds.fds = NULL;
	m->reading = NULL;
	TAILQ_INIT(&m->reads);
	TAILQ_INSERT_TAIL(&h->taken, m, entry);
	inbound_take(in, m);
	return m;
}

void taken_start(struct inbound *in, struct haul_req *r)
{
	struct haul_msg *m = taken_new(in);
	if (m == NULL) {
		inbound_put_back(in);
		request_complete(r, reason(-ENOMEM, "no memory for a message"));
		return;
	}
	receive_describe(r, in->peer, in->item.tag, m->len);
	r->status.flags |= m->call ? HAUL_STATUS_CALL : 0;
	m->tag = r->status.tag;
	m->rank = r->status.rank;
	r->status.msg = m;
	request_complete(r, 0);
}

void taken_free(struct haul_msg *m)
{
	fds_free(m);
	TAILQ_REMOVE(&m->haul->taken, m, entry);
	payload_free(m->haul, m->payload, m->len);
	spares_give(&m->haul->spare_msgs, m);
}

void taken_return(struct haul_msg *m)
{
	struct inbound *in = m->inbound;
	if (in != NULL) {
		fds_stop(m);
		in->payload = m->payload;
		m->payload = NULL;
		m->inbound = NULL;
		inbound_put_back(in);
	}
	taken_free(m);
}

void taken_drop(struct haul_msg *m)
{
	struct inbound *in = m->inbound;
	if (in != NULL) {
		in->msg = NULL;
		m->inbound = NULL;
		inbound_cancel(in, -ECANCELED);
	}
	taken_free(m);
}

void taken_forget_peer(struct haul *h, struct haul_peer *p)
{
	struct haul_msg *m;
	TAILQ_FOREACH (m, &h->taken, entry)
		if (m->peer == p)
			m->peer = NULL;
}

/* ---- reading ---- */

int taken_gone(const struct haul_msg *m)
{
	return reason(m->error, "the message is gone: its sender took it back, or the connection ended");
}

/* What needs no waiting: of an eager message, at its end, or into no room. Returns how many bytes there were. */
static uint64_t read_eager(struct haul_msg *m, uint64_t offset, const struct buffers *into)
{
	uint64_t left = offset < m->len ? m->len - offset : 0;
	uint64_t n = left < into->len ? left : into->len;
	if (n > 0)
		iov_put(into->iov, m->payload + offset, n);
	m->haul->stats.copied_bytes += n;
	return n;
}

/* Lets the reads that can go on do so: all that need no waiting, and one that does. */
static void next_read(struct haul_msg *m)
{
	struct haul_req *r;
	while (m->reading == NULL && (r = TAILQ_FIRST(&m->reads)) != NULL) {
		TAILQ_REMOVE(&m->reads, r, recv.waiting);
		if (m->eager || r->recv.offset >= m->len || receive_room(r) == 0) {
			r->status.got = read_eager(m, r->recv.offset, &r->recv.into);
			request_complete(r, 0);
		} else if (m->inbound == NULL) {
			request_complete(r, taken_gone(m));
		} else {
			m->reading = r;
			inbound_read(m->inbound, r, r->recv.offset);
		}
	}
}

void taken_read_over(struct haul_msg *m, uint64_t got, int error)
{
	struct haul_req *r = m->reading;
	m->reading = NULL;
	r->recv.in = NULL;
	r->status.got = got;
	request_complete(r, error);
	next_read(m);
}

void taken_cut(struct haul_msg *m, int error)
{
	fds_stop(m);
	m->inbound = NULL;
	m->error = error;
	if (m->reading != NULL)
		taken_read_over(m, 0, error);
	else
		next_read(m);
}

void taken_read_abort(struct haul_req *r, int error)
{
	struct haul_msg *m = r->recv.msg;
	if (m->reading != r) {
		TAILQ_REMOVE(&m->reads, r, recv.waiting);
		request_complete(r, error);
	} else {
		inbound_stop(r->recv.in, error); /* now, or when the copy under way has ended */
	}
}

int taken_read_start(struct haul_msg *m, uint64_t offset, const struct iovec *iov, size_t count,
    int timeout_ms, struct haul_req **out)
{
	struct haul_req *r = request_new(m->haul, REQ_READ);
	if (r == NULL)
		return request_refusal(m->haul);
	int rc = buffers_init(&r->recv.into, iov, count);
	if (rc != 0) {
		request_free(r);
		return rc;
	}
	r->recv.msg = m;
	r->recv.offset = offset;
	r->recv.impatient = timeout_ms == 0;
	r->recv.limited = timeout_ms >= 0;
	r->status.peer = m->peer;
	r->status.tag = m->tag;
	r->status.rank = m->rank;
	r->status.len = m->len;
	TAILQ_INSERT_TAIL(&m->reads, r, recv.waiting);
	*out = r;
	next_read(m);
	return 0;
}

/* ---- public ---- */

int haul_itake(struct haul *h, const struct haul_match *match, struct haul_req **out)
{
	int rc = context_enter(h);
	if (rc != 0)
		return rc;
	rc = out == NULL ? reason(-EINVAL, "no place for the request") : receive_post_take(h, match, 0, out);
	return context_leave(h, rc);
}

int haul_take(struct haul *h, const struct haul_match *match, int timeout_ms, struct haul_msg **out)
{
	struct haul_req *r;
	struct haul_status status;
	int rc = context_enter_wait(h, timeout_ms);
	if (rc != 0)
		return rc;
	rc = out == NULL ? reason(-EINVAL, "no place for the message") : receive_post_take(h, match, 0, &r);
	if (rc == 0)
		rc = request_run(r, timeout_ms, match != NULL ? match->from : NULL, &status);
	if (rc == 0)
		*out = status.msg;
	return context_leave(h, rc);
}

static int enter(const struct haul_msg *m, int timeout_ms)
{
	return m != NULL ? context_enter_wait(m->haul, timeout_ms) : reason(-EINVAL, "no message");
}

int haul_msg_status(const struct haul_msg *m, struct haul_status *status)
{
	int rc = enter(m, 0);
	if (rc != 0)
		return rc;
	if (status == NULL)
		rc = reason(-EINVAL, "no place for the status");
	else
		*status = (struct haul_status){ .peer = m->peer,
			.tag = m->tag,
			.len = m->len,
			.msg = (struct haul_msg *)m,
			.error = m->error,
			.flags = (m->call ? HAUL_STATUS_CALL : 0u) | (m->has_fds ? HAUL_STATUS_FDS : 0u),
			.rank = m->rank };
	return context_leave(m->haul, rc);
}

/* The short way, without a request. */
static int read_at_once(struct haul_msg *m, uint64_t offset, const struct iovec *iov, size_t count,
    uint64_t *got)
{
	struct buffers into;
	int rc = buffers_init(&into, iov, count);
	if (rc == 0)
		*got = read_eager(m, offset, &into);
	buffers_fini(&into);
	return rc;
}

ssize_t haul_msg_read(struct haul_msg *m, uint64_t offset, const struct iovec *iov, size_t count,
    int timeout_ms)
{
	struct haul_req *r;
	struct haul_status status = { 0 };
	int rc = enter(m, timeout_ms);
	if (rc != 0)
		return rc;
	struct haul *h = m->haul;
	if (m->eager)
		rc = read_at_once(m, offset, iov, count, &status.got);
	else if ((rc = taken_read_start(m, offset, iov, count, timeout_ms, &r)) == 0)
		rc = request_run(r, timeout_ms, m->peer, &status);
	context_leave(h, rc);
	return rc != 0 ? rc : (ssize_t)status.got;
}

int haul_msg_iread(struct haul_msg *m, uint64_t offset, const struct iovec *iov, size_t count,
    struct haul_req **out)
{
	int rc = enter(m, 0);
	if (rc != 0)
		return rc;
	struct haul *h = m->haul;
	rc = out == NULL ? reason(-EINVAL, "no place for the request")
	                 : taken_read_start(m, offset, iov, count, -1, out);
	return context_leave(h, rc);
}

int taken_idle(const struct haul_msg *m)
{
	bool idle = m->reading == NULL && TAILQ_EMPTY(&m->reads) && m->fds.waits == 0;
	return idle ? 0 : reason(-EBUSY, "a read of the message is under way");
}

/* Through with it, one way or the other. */
int taken_finish(struct haul_msg *m, int error)
{
	int rc = taken_idle(m);
	if (rc != 0)
		return rc;
	fds_stop(m);
	if (m->inbound != NULL)
		inbound_give_up(m->inbound, error);
	taken_free(m);
	return 0;
}

int haul_msg_done(struct haul_msg *m)
{
	if (m == NULL)
		return 0;
	int rc = enter(m, 0);
	if (rc != 0)
		return rc;
	struct haul *h = m->haul;
	return context_leave(h, taken_finish(m, 0));
}

int haul_msg_refuse(struct haul_msg *m, int error)
{
	if (error < -4095 || error >= 0)
		return reason(-EINVAL, "%d is no errno to refuse a message with", error);
	int rc = enter(m, 0);
	if (rc != 0)
		return rc;
	struct haul *h = m->haul;
	return context_leave(h, taken_finish(m, error));
}
