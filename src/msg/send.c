/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sends: from the public call to an outbound in its peer's queue.
 *
 *     haul_isend -> outbound, queued -> pump: choice of path, frame -> ... -> outbound_end
 *
 * Who ends a send that waits: the kernel taking the last byte (eager), the terminal frame, the caller's
 * timeout, or the peer's death or goodbye.
 */
#include "msg/send.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "msg/context.h"
#include "msg/fds.h"
#include "msg/outbound.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "msg/request.h"
#include "msg/stats.h"
#include "os/clock.h"
#include "os/reason.h"

enum { LONG = 256 << 10 }; /* bytes that take some 25 us to pull */

enum { ANYWAY = 1 << 16 }; /* beside the public flags: a copy may go beyond the option copy_budget */

int send_check(struct haul_peer *p)
{
	if (p->error != 0)
		return reason(p->error, "%s", p->conn.link.words);
	if (p->bye_got)
		return reason(-EPIPE, "the peer said goodbye");
	return p->closing ? reason(-EPIPE, "the connection is being closed") : 0;
}

/* First in every public send that may wait. */
static int enter(struct haul_peer *p, int timeout_ms)
{
	if (p == NULL)
		return reason(-EINVAL, "no peer");
	int rc = context_enter_wait(p->haul, timeout_ms);
	if (rc == 0 && (rc = send_check(p)) != 0)
		context_leave(p->haul, rc);
	return rc;
}

static bool has_room(const struct haul *h, uint64_t len)
{
	return h->copies <= h->options.copy_budget && h->options.copy_budget - h->copies >= len;
}

static int check_copy(const struct haul *h, uint64_t len)
{
	return len > h->options.copy_budget ? reason(-EMSGSIZE, "more bytes than may be copied at all") : 0;
}

/* HAUL_COPY: the caller's bytes become ours. */
static int copy_buffers(struct outbound *o, bool anyway)
{
	struct haul *h = o->peer->haul;
	uint64_t len = o->bufs.len;
	struct iov_cursor from;
	int rc = anyway ? 0 : check_copy(h, len);
	if (rc != 0)
		return rc;
	if (!anyway && !has_room(h, len))
		return reason(-EAGAIN, "too many copies are under way");
	if ((o->copy = malloc(len > 0 ? len : 1)) == NULL)
		return reason(-ENOMEM, "no memory to copy the message to");
	iov_cursor_init(&from, o->bufs.iov, o->bufs.count, len);
	iov_cursor_get(&from, o->copy, len);
	buffers_fini(&o->bufs);
	o->bufs.few[0] = (struct iovec){ .iov_base = o->copy, .iov_len = len };
	o->bufs.count = len > 0;
	h->copies += len;
	stats_copied(o->peer, len);
	return 0;
}

static void describe(struct haul_req *r, struct haul_peer *p, uint64_t tag, uint32_t channel, uint64_t len)
{
	r->send.channel = channel;
	r->status.peer = p;
	r->status.tag = tag;
	r->status.len = len;
}

/* Queues an outbound; what is common to messages and flushes. */
static int start(struct haul_peer *p, uint64_t tag, uint32_t channel, const struct iovec *iov, size_t count,
    unsigned flags, struct haul_req **out)
{
	struct outbound *o = outbound_new(p);
	if (o == NULL)
		return reason(-ENOMEM, "no memory for a message");
	int rc = buffers_init(&o->bufs, iov, count);
	if (rc != 0)
		goto err_outbound;
	if (p->up && (rc = pump_check_len(p, o->bufs.len)) != 0)
		goto err_buffers;
	struct haul_req *r = request_new(p->haul, REQ_SEND);
	if (r == NULL) {
		rc = request_refusal(p->haul);
		goto err_buffers;
	}
	if ((flags & HAUL_COPY) != 0 && (rc = copy_buffers(o, (flags & ANYWAY) != 0)) != 0)
		goto err_request;
	o->req = r;
	o->tag = tag;
	o->channel = channel;
	o->sync = (flags & HAUL_SYNC) != 0;
	r->send.out = o;
	describe(r, p, tag, channel, o->bufs.len);
	TAILQ_INSERT_TAIL(&p->queued, o, entry);
	*out = r;
	return 0;

err_request:
	request_free(r);
err_buffers:
	buffers_fini(&o->bufs);
err_outbound:
	outbound_free(o);
	return rc;
}

static int check_flags(unsigned flags)
{
	const unsigned known = HAUL_SYNC | HAUL_COPY;
	return (flags & ~known) != 0 ? reason(-EINVAL, "unknown flags 0x%x", flags & ~known) : 0;
}

/* A copied message needs its sender no more, unless that wants to know what becomes of it. */
static void let_go_of_copy(struct haul_req *r, unsigned flags)
{
	if ((flags & (HAUL_COPY | HAUL_SYNC)) != HAUL_COPY || r->complete)
		return;
	r->send.out->req = NULL;
	r->send.out = NULL;
	r->status.got = r->status.len;
	request_complete(r, 0);
}

/* What takes its time is described at once, so that the peer can pull while this program does other things. One
 * of a few pages that follows others takes no longer than it costs to say so: it is said with the next. */
static bool goes_at_once(const struct haul_peer *p, uint64_t len)
{
	if (pump_is_short(p, len))
		return false;
	return len >= LONG || p->out_ids.live == 0;
}

int send_prepare(struct haul_peer *p, uint64_t tag, uint32_t channel, const struct iovec *iov, size_t count,
    unsigned flags, struct haul_req **out)
{
	int rc = send_check(p);
	return rc != 0 ? rc : start(p, tag, channel, iov, count, flags, out);
}

void send_go(struct haul_peer *p, uint64_t len)
{
	if (goes_at_once(p, len))
		conn_pump(&p->conn); /* from now on it may go without us */
	else
		conn_kick(&p->conn); /* goes with whatever else is sent until the next progress or wait */
}

/* Whether it would be next in line, and is short. */
static bool is_next(const struct haul_peer *p, const struct iovec *iov, size_t count, uint64_t *len)
{
	return p->up && !p->held && !p->closing && TAILQ_EMPTY(&p->queued) && count <= WIRE_RANGES_MOST &&
	    iov_total(iov, count, len) && pump_is_short(p, *len) && *len <= p->conn.link.theirs.max_msg;
}

/*
 * The short way of a standard send: the link copies it now, which leaves only the request to be completed when that
 * is written. NULL: nothing was sent, go the long way, which also says what may be wrong with it.
 */
static struct haul_req *gather(struct haul_peer *p, uint64_t tag, uint32_t channel, const struct iovec *iov,
    size_t count, unsigned flags)
{
	uint64_t len;
	struct haul_req *r;
	if ((flags & HAUL_SYNC) != 0 || !is_next(p, iov, count, &len) || !link_gathers(peer_link(p), len) ||
	    !link_may_eager(peer_link(p), len))
		return NULL;
	if (((flags & HAUL_COPY) != 0 && check_copy(p->haul, len) != 0) ||
	    (r = request_new(p->haul, REQ_SEND)) == NULL)
		return NULL;
	struct iov_cursor payload;
	iov_cursor_init(&payload, iov, count, len);
	if (pump_eager(p, tag, 0, channel, 0, &payload) != LINK_TAKEN) {
		request_free(r);
		return NULL;
	}
	describe(r, p, tag, channel, len);
	if ((flags & HAUL_COPY) != 0) {
		r->status.got = len;
		request_complete(r, 0);
	} else {
		pump_await_written(p, r);
	}
	return r;
}

static int launch(struct haul_peer *p, uint64_t tag, uint32_t channel, const struct iovec *iov, size_t count,
    unsigned flags, struct haul_req **out)
{
	int rc = send_check(p);
	if (rc != 0)
		return rc;
	struct haul_req *r = gather(p, tag, channel, iov, count, flags);
	if (r != NULL) {
		*out = r;
		conn_kick(&p->conn);
		return 0;
	}
	if ((rc = start(p, tag, channel, iov, count, flags, out)) != 0)
		return rc;
	uint64_t len = (*out)->status.len;
	let_go_of_copy(*out, flags);
	send_go(p, len);
	return 0;
}

int send_start(struct haul_peer *p, uint64_t tag, uint32_t channel, const struct iovec *iov, size_t count,
    unsigned flags, struct haul_req **out)
{
	int rc = check_flags(flags);
	return rc != 0 ? rc : launch(p, tag, channel, iov, count, flags, out);
}

int send_start_fds(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count, const int *fds,
    size_t fd_count, struct haul_req **out)
{
	int rc = send_check(p);
	if (rc == 0)
		rc = start(p, tag, 0, iov, count, HAUL_SYNC, out);
	if (rc != 0)
		return rc;
	struct outbound *o = (*out)->send.out;
	o->has_fds = true;
	if ((rc = fds_keep(o, fds, fd_count)) != 0) {
		outbound_end(o, rc);
		request_free(*out);
		return rc;
	}
	conn_pump(&p->conn);
	return 0;
}

int send_anyway(struct haul_peer *p, uint64_t tag, uint32_t channel, const struct iovec *iov,
    struct haul_req **out)
{
	return launch(p, tag, channel, iov, 1, HAUL_COPY | ANYWAY, out);
}

int haul_isend(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count, unsigned flags,
    struct haul_req **out)
{
	if (p == NULL)
		return reason(-EINVAL, "no peer");
	struct haul *h = p->haul;
	int rc = context_enter(h);
	if (rc != 0)
		return rc;
	rc = out == NULL ? reason(-EINVAL, "no place for the request")
	                 : send_start(p, tag, 0, iov, count, flags, out);
	return context_leave(h, rc);
}

/*
 * The short way of a blocking standard send: nothing waits before it, it is short, the link takes it and the
 * kernel takes all of it. Then there was no need of a request. False: nothing was sent, go the long way.
 */
static bool send_at_once(struct haul_peer *p, uint64_t tag, uint32_t channel, const struct iovec *iov,
    size_t count, unsigned flags)
{
	struct link *l = peer_link(p);
	uint64_t len;
	if (l->tx.queued != l->tx.written || !is_next(p, iov, count, &len))
		return false;
	if ((flags & HAUL_COPY) != 0 && check_copy(p->haul, len) != 0)
		return false;          /* whether it needs a copy is luck, so the limit holds either way */
	if (!link_may_eager(l, len)) { /* more credit may have come, unread */
		conn_look(&p->conn);
		conn_pump(&p->conn);
		if (p->conn.ended || p->bye_got || !TAILQ_EMPTY(&p->queued) || !link_may_eager(l, len))
			return false;
	}
	struct iov_cursor payload;
	iov_cursor_init(&payload, iov, count, len);
	if (pump_eager(p, tag, 0, channel, 0, &payload) != LINK_TAKEN)
		return false;
	conn_flush(&p->conn);
	return true;
}

/* The kernel did not take all of it: wait until it has. The bytes are the library's own by now. */
static int wait_written(struct haul_peer *p, int timeout_ms)
{
	struct haul_req *r;
	r = request_new(p->haul, REQ_SEND);
	if (r == NULL && peer_link(p)->tx.dead)
		return reason(-ECONNRESET, "the peer has exited or hung up");
	if (r == NULL)
		return 0; /* no memory to wait; but it is on its way, and the buffer is free */
	describe(r, p, 0, 0, 0);
	pump_await_written(p, r);
	conn_pump(&p->conn);
	return request_run(r, timeout_ms, p, NULL);
}

struct room {
	struct haul_peer *peer;
	uint64_t len;
};

static bool room_done(void *arg)
{
	struct room *r = arg;
	return has_room(r->peer->haul, r->len) || send_check(r->peer) != 0;
}

/* Waits until a copy of the message has room, and is made of it. */
static int wait_for_room(struct haul_peer *p, const struct iovec *iov, size_t count, int timeout_ms)
{
	struct haul *h = p->haul;
	struct room r = { .peer = p };
	if (count > WIRE_RANGES_MOST || !iov_total(iov, count, &r.len) || r.len > h->options.copy_budget ||
	    room_done(&r) || timeout_ms == 0)
		return 0; /* what is wrong with it is found by start() */
	int rc = engine_wait(&h->engine, room_done, &r, clock_after_ms(timeout_ms), &p->conn);
	return rc != 0 ? rc : send_check(p);
}

int send_blocking(struct haul_peer *p, uint64_t tag, uint32_t channel, const struct iovec *iov, size_t count,
    unsigned flags, int timeout_ms)
{
	struct haul_req *r;
	int rc = check_flags(flags);
	if (rc == 0)
		rc = send_check(p);
	if (rc != 0)
		return rc;
	/* -EAGAIN says that nothing was sent: so nothing must be. */
	if ((flags & HAUL_SYNC) != 0 && timeout_ms == 0)
		return reason(-EAGAIN, "that it was received can't be known without waiting");
	if ((flags & HAUL_SYNC) == 0 && send_at_once(p, tag, channel, iov, count, flags)) {
		const struct link_tx *tx = &peer_link(p)->tx;
		bool gone = tx->written == tx->queued || ((flags & HAUL_COPY) != 0 && !tx->dead);
		return gone ? 0 : wait_written(p, timeout_ms);
	}
	if ((rc = send_check(p)) != 0) /* the look for credit may have found the connection's end */
		return rc;
	if ((flags & HAUL_COPY) != 0)
		rc = wait_for_room(p, iov, count, timeout_ms);
	if (rc == 0)
		rc = start(p, tag, channel, iov, count, flags, &r);
	if (rc != 0)
		return rc;
	/* A copy need not be handed over at once for nobody to have to wait. */
	r->send.out->only_eager = timeout_ms == 0 && (flags & HAUL_COPY) == 0;
	let_go_of_copy(r, flags);
	conn_pump(&p->conn);
	return request_run(r, timeout_ms, p, NULL);
}

int haul_sendv(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count, unsigned flags,
    int timeout_ms)
{
	if (p == NULL)
		return reason(-EINVAL, "no peer");
	int rc = context_enter_wait(p->haul, timeout_ms);
	if (rc != 0)
		return rc;
	struct haul *h = p->haul;
	return context_leave(h, send_blocking(p, tag, 0, iov, count, flags, timeout_ms));
}

int haul_send(struct haul_peer *p, uint64_t tag, const void *buf, size_t len, int timeout_ms)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	return haul_sendv(p, tag, &iov, 1, 0, timeout_ms);
}

int haul_peer_flush(struct haul_peer *p, int timeout_ms)
{
	struct haul_req *r;
	int rc = enter(p, timeout_ms);
	if (rc != 0)
		return rc;
	struct haul *h = p->haul;
	if ((rc = start(p, 0, 0, NULL, 0, HAUL_SYNC, &r)) != 0)
		return context_leave(h, rc);
	r->send.out->flush = true;
	conn_pump(&p->conn);
	return context_leave(h, request_run(r, timeout_ms, p, NULL));
}

/* ---- both at once ---- */

struct both {
	struct haul_req *recv, *send;
};

static bool both_complete(void *arg)
{
	const struct both *b = arg;
	return b->recv->complete && b->send->complete;
}

/* Runs both to their end; the result is the receive's, if that failed, or else the send's. */
static int run_both(struct haul *h, struct both *b, int timeout_ms, struct haul_peer *p,
    struct haul_status *status)
{
	struct haul_req *reqs[] = { b->recv, b->send };
	int rc;
	if (timeout_ms == 0) {
		rc = engine_progress(&h->engine);
		if (rc >= 0)
			rc = both_complete(b) ? 0 : reason(-EAGAIN, "it can't be done without waiting");
	} else {
		rc = engine_wait(&h->engine, both_complete, b, clock_after_ms(timeout_ms), &p->conn);
	}
	if (rc != 0) {
		rc = rc == -EBADF ? -ECANCELED : rc;
		request_abort_all(h, reqs, 2, rc);
		if (rc == -EINTR && b->recv->status.error != -EINTR && b->send->status.error != -EINTR)
			engine_interrupt(&h->engine); /* it came too late for this call */
	}
	int sent = request_finish(b->send, NULL);
	int received = request_finish(b->recv, status);
	return received != 0 ? received : sent;
}

ssize_t haul_sendrecv(struct haul_peer *p, uint64_t tag, const void *buf, size_t len,
    const struct haul_match *match, void *into, size_t into_len, int timeout_ms, struct haul_status *status)
{
	struct iovec from = { .iov_base = (void *)buf, .iov_len = len };
	struct iovec to = { .iov_base = into, .iov_len = into_len };
	struct haul_status own;
	struct both b;
	if (status == NULL)
		status = &own;
	*status = (struct haul_status){ 0 };
	int rc = enter(p, timeout_ms);
	if (rc != 0)
		return status->error = rc;
	struct haul *h = p->haul;
	rc = receive_start(h, match, 0, &to, 1, timeout_ms, &b.recv);
	if (rc == 0 && (rc = send_start(p, tag, 0, &from, 1, 0, &b.send)) != 0) {
		request_abort_all(h, &b.recv, 1, rc);
		request_finish(b.recv, NULL);
	}
	if (rc != 0) {
		status->error = rc;
		return context_leave(h, rc);
	}
	rc = run_both(h, &b, timeout_ms, p, status);
	context_leave(h, rc);
	return rc != 0 ? rc : (ssize_t)status->got;
}
