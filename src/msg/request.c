/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests. See request.h for the contract; wait.c waits for them, batch.c starts many. */
#include "msg/request.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "msg/connect.h"
#include "msg/context.h"
#include "msg/inbound.h"
#include "msg/listener.h"
#include "msg/outbound.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "msg/taken.h"
#include "os/clock.h"
#include "os/reason.h"
#include "os/trace.h"

enum { GRACE_MS = 10 };

/* ---- life ---- */

struct haul_req *request_new(struct haul *h, enum req_kind kind)
{
	struct haul_req *r = h->closing ? NULL : spares_take(&h->spare_requests, sizeof(*r));
	if (r == NULL)
		return NULL;
	/* Not all of it: that would show in the time of a small message. */
	r->haul = h;
	r->kind = kind;
	atomic_init(&r->complete, false);
	r->detached = false;
	r->plain = true;
	r->status = (struct haul_status){ 0 };
	switch (kind) {
	case REQ_SEND:
		r->send.out = NULL;
		break;
	case REQ_RECV:
	case REQ_TAKE:
	case REQ_READ:
		r->recv.in = NULL;
		r->recv.msg = NULL;
		r->recv.posted.queued = r->recv.impatient = r->recv.limited = false;
		r->recv.into.iov = r->recv.into.few;
		r->recv.into.count = 0;
		r->recv.into.len = 0;
		break;
	case REQ_PEER:
		r->peer.peer = NULL;
		r->peer.dial = NULL;
		r->peer.words[0] = '\0';
		break;
	case REQ_ACCEPT:
	case REQ_WATCH:
	case REQ_ABOVE:
		break;
	}
	TAILQ_INSERT_TAIL(&h->requests, r, entry);
	TRACE_REQUEST_START(r, kind);
	return r;
}

void request_dress(struct haul_req *r)
{
	if (!r->plain)
		return;
	r->plain = false;
	r->timer.set = false;
	r->owner = NULL;
	notice_init(&r->notice, r);
}

void request_follow(struct haul_req *r, struct req_owner *owner)
{
	request_dress(r);
	r->detached = true;
	if (!r->complete) {
		r->owner = owner;
		return;
	}
	owner->completed(owner, r);
	request_free(r);
}

int request_refusal(const struct haul *h)
{
	return h->closing ? reason(-EBADF, "the context is being closed")
	                  : reason(-ENOMEM, "no memory for a request");
}

void request_free(struct haul_req *r)
{
	if (r == NULL)
		return;
	struct haul *h = r->haul;
	TAILQ_REMOVE(&h->requests, r, entry);
	if (!r->plain) {
		timer_stop(&h->engine.timers, &r->timer);
		notice_drop(h, &r->notice);
	}
	if (r->kind == REQ_RECV || r->kind == REQ_READ)
		buffers_fini(&r->recv.into);
	spares_give(&h->spare_requests, r);
}

/* The caller has let go of it, and with it of what it would have been given. */
static void discard(struct haul_req *r)
{
	if ((r->kind == REQ_PEER || r->kind == REQ_ACCEPT) && r->status.peer != NULL)
		peer_disown(r->status.peer);
	if (r->kind == REQ_TAKE && r->status.msg != NULL)
		taken_return(r->status.msg);
	if (r->kind == REQ_SEND && r->status.msg != NULL) /* a reply */
		taken_drop(r->status.msg);
	request_free(r);
}

void request_let_go(struct haul_req *r)
{
	if (r->complete)
		discard(r);
	else
		r->detached = true;
}

void request_complete(struct haul_req *r, int error)
{
	struct haul *h = r->haul;
	assert(!r->complete);
	r->status.error = error;
	if (!r->plain)
		timer_stop(&h->engine.timers, &r->timer);
	TRACE_REQUEST_COMPLETE(r, error, r->status.got);
	atomic_store_explicit(&r->complete, true, memory_order_release);
	engine_news(&h->engine);
	struct req_owner *owner = r->plain ? NULL : r->owner;
	if (owner != NULL) {
		r->owner = NULL;
		owner->completed(owner, r);
	}
	if (r->detached)
		discard(r);
	else if (!r->plain)
		notice_tell(h, &r->notice);
}

/* ---- giving up ---- */

void request_cancel(struct haul_req *r)
{
	if (r->complete)
		return;
	switch (r->kind) {
	case REQ_SEND:
		if (r->send.out != NULL)
			outbound_cancel(r->send.out);
		break;
	case REQ_RECV:
	case REQ_TAKE:
		if (r->recv.in == NULL)
			receive_abort(r, -ECANCELED);
		break;
	case REQ_READ:
	case REQ_PEER:
	case REQ_ACCEPT:
	case REQ_WATCH:
	case REQ_ABOVE:
		request_abort(r, -ECANCELED);
		break;
	}
}

/* All of the message is library memory, on its way: it can't be called back. */
static void abandon(struct haul_req *r, int error)
{
	TAILQ_REMOVE(&r->status.peer->writing, r, send.writing);
	if (error == -EAGAIN)
		error = 0;
	else
		r->status.flags |= HAUL_STATUS_UNKNOWN;
	request_complete(r, error);
}

void request_abort(struct haul_req *r, int error)
{
	if (r->complete)
		return;
	switch (r->kind) {
	case REQ_SEND:
		if (r->send.out != NULL)
			outbound_abort(r->send.out, error);
		else
			abandon(r, error);
		break;
	case REQ_RECV:
	case REQ_TAKE:
		receive_abort(r, error);
		break;
	case REQ_READ:
		taken_read_abort(r, error);
		break;
	case REQ_PEER:
		connect_abort(r, error);
		break;
	case REQ_ACCEPT:
		listener_accept_abort(r, error);
		break;
	case REQ_WATCH:
		peer_watch_abort(r, error);
		break;
	case REQ_ABOVE:
		r->above.ops->abort(r, error);
		break;
	}
}

void request_force(struct haul_req *r, int error)
{
	if (r->complete)
		return;
	if (r->kind == REQ_SEND && r->send.out != NULL)
		outbound_force(r->send.out, error);
	else if (r->kind == REQ_ABOVE && r->above.ops->force != NULL)
		r->above.ops->force(r, error);
}

static struct haul_req *of_timer(struct timer *t)
{
	return (struct haul_req *)((char *)t - offsetof(struct haul_req, timer));
}

static void grace_over(struct timer *t)
{
	request_force(of_timer(t), -ETIMEDOUT);
}

/* The timer of the grace is set first, because the abort may free the request. */
static void too_late(struct timer *t)
{
	struct haul_req *r = of_timer(t);
	timer_set(&r->haul->engine.timers, t, clock_after_ms(GRACE_MS), grace_over);
	reason(-ETIMEDOUT, "the request's time was up");
	request_abort(r, -ETIMEDOUT);
}

void request_deadline(struct haul_req *r, uint64_t at)
{
	request_dress(r);
	timer_set(&r->haul->engine.timers, &r->timer, at, too_late);
}

/* ---- running one to its end ---- */

static bool is_complete(void *arg)
{
	const struct haul_req *r = arg;
	return r->complete;
}

/* Its memory may be in use by a copy in another thread, which nothing can call off. */
static void await_copy(struct haul_req *r)
{
	if (!r->complete)
		engine_await(&r->haul->engine, is_complete, r);
}

int request_run(struct haul_req *r, int timeout_ms, struct haul_peer *hint, struct haul_status *status)
{
	struct engine *e = &r->haul->engine;
	struct conn *conn = hint != NULL ? &hint->conn : NULL;
	int rc = 0;
	if (!r->complete && timeout_ms == 0) {
		rc = engine_progress(e);
		bool found = (r->kind == REQ_RECV || r->kind == REQ_READ) && r->recv.in != NULL;
		if (!r->complete &&
		    found) /* the timeout was for finding it; the option stall_ms bounds this */
			rc = engine_wait(e, is_complete, r, CLOCK_NEVER, conn);
		else if (rc >= 0 && !r->complete)
			rc = reason(-EAGAIN, "it can't be done without waiting");
	} else if (!r->complete) {
		rc = engine_wait(e, is_complete, r, clock_after_ms(timeout_ms), conn);
	}
	if (!r->complete) {
		if (rc == -EBADF)
			rc = -ECANCELED; /* haul_close() by another thread */
		request_abort(r, rc);
		if (!r->complete)
			engine_grace(e, is_complete, r, clock_after_ms(GRACE_MS));
		request_force(r, rc);
		await_copy(r);
		if (rc == -EINTR && r->status.error != -EINTR)
			engine_interrupt(e); /* it came too late for this call: the next one ends by it */
	}
	return request_finish(r, status);
}

struct many {
	struct haul_req *const *reqs;
	size_t count;
};

static bool are_complete(void *arg)
{
	struct many *m = arg;
	for (; m->count > 0; m->reqs++, m->count--)
		if (*m->reqs != NULL && !(*m->reqs)->complete)
			return false;
	return true;
}

void request_abort_all(struct haul *h, struct haul_req *const *reqs, size_t count, int error)
{
	struct many m = { .reqs = reqs, .count = count };
	for (size_t i = 0; i < count; i++)
		if (reqs[i] != NULL)
			request_abort(reqs[i], error);
	engine_grace(&h->engine, are_complete, &m, clock_after_ms(GRACE_MS));
	for (size_t i = 0; i < count; i++) {
		if (reqs[i] == NULL)
			continue;
		request_force(reqs[i], error);
		await_copy(reqs[i]);
	}
}

int request_finish(struct haul_req *r, struct haul_status *status)
{
	int error = r->status.error;
	if (error != 0 && r->kind == REQ_PEER && r->peer.words[0] != '\0')
		reason(error, "%s", r->peer.words);
	else if (error != 0)
		reason_known(error); /* it may have been found in another thread */
	if (status != NULL)
		*status = r->status;
	request_free(r);
	return error;
}

void request_forget_peer(struct haul *h, struct haul_peer *p)
{
	struct haul_req *r;
	TAILQ_FOREACH (r, &h->requests, entry)
		if (r->status.peer == p)
			r->status.peer = NULL;
}

/* ---- public ---- */

static int enter(const struct haul_req *r)
{
	return r != NULL ? context_enter(r->haul) : reason(-EINVAL, "no request");
}

int haul_req_test(struct haul_req *r)
{
	if (r != NULL && request_is_complete(r))
		return context_check(r->haul);
	int rc = enter(r);
	if (rc != 0)
		return rc;
	struct haul *h = r->haul;
	if (!r->complete)
		rc = engine_progress(&h->engine);
	if (rc >= 0)
		rc = r->complete ? 0 : -EINPROGRESS;
	return context_leave(h, rc);
}

int haul_req_finish(struct haul_req *r, struct haul_status *status)
{
	int rc = enter(r);
	if (rc != 0)
		return rc;
	struct haul *h = r->haul;
	return context_leave(h, r->complete ? request_finish(r, status) : -EINPROGRESS);
}

/* What takes something away from others, or waits for nothing but the owner's interest, ends with it. */
static bool ends_when_let_go(const struct haul_req *r)
{
	return r->kind == REQ_TAKE || r->kind == REQ_READ || r->kind == REQ_ACCEPT || r->kind == REQ_WATCH;
}

void haul_req_free(struct haul_req *r)
{
	if (enter(r) != 0)
		return;
	struct haul *h = r->haul;
	request_dress(r);
	notice_drop(h, &r->notice);
	if (!r->complete && ends_when_let_go(r))
		request_abort(r, -ECANCELED);
	request_let_go(r);
	peer_reap(h);
	context_leave(h, 0);
}

int haul_req_cancel(struct haul_req *r)
{
	int rc = enter(r);
	if (rc != 0)
		return rc;
	struct haul *h = r->haul;
	if (r->complete)
		return context_leave(h, reason(-EALREADY, "the request is complete"));
	request_cancel(r);
	return context_leave(h, 0);
}

int haul_req_deadline(struct haul_req *r, int timeout_ms)
{
	if (timeout_ms < -1)
		return reason(-EINVAL, "a deadline of %d ms", timeout_ms);
	int rc = enter(r);
	if (rc != 0)
		return rc;
	struct haul *h = r->haul;
	if (r->complete)
		return context_leave(h, reason(-EALREADY, "the request is complete"));
	request_dress(r);
	if (r->timer.set && r->timer.fire == grace_over)
		return context_leave(h, 0); /* its time was up already: it ends in a moment */
	if (timeout_ms == 0)
		too_late(&r->timer);
	else
		request_deadline(r, clock_after_ms(timeout_ms));
	return context_leave(h, 0);
}

int haul_req_notify(struct haul_req *r, const struct haul_notify *notify)
{
	int rc = enter(r);
	if (rc != 0)
		return rc;
	struct haul *h = r->haul;
	request_dress(r);
	if ((rc = notice_set(h, &r->notice, notify)) == 0 && r->complete)
		notice_tell(h, &r->notice);
	return context_leave(h, rc);
}
