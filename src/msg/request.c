/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests. See request.h for the contract. */
#include "msg/request.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "msg/context.h"
#include "msg/inbound.h"
#include "msg/outbound.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "os/clock.h"
#include "os/reason.h"

enum { SPARES = 64, GRACE_MS = 10 };

struct haul_req *request_new(struct haul *h, enum req_kind kind)
{
	struct haul_req *r = TAILQ_FIRST(&h->spare_requests);
	if (r != NULL) {
		TAILQ_REMOVE(&h->spare_requests, r, entry);
		h->spare_request_count--;
	} else if ((r = malloc(sizeof(*r))) == NULL) {
		reason(-ENOMEM, "no memory for a request");
		return NULL;
	}
	/* Not all of it: buffers_init() fills the buffers. */
	r->haul = h;
	r->kind = kind;
	r->complete = r->detached = false;
	r->status = (struct haul_status){ 0 };
	if (kind == REQ_SEND) {
		r->out = NULL;
	} else if (kind == REQ_PEER) {
		r->peer.peer = NULL;
		r->peer.dial = NULL;
	} else {
		r->recv.in = NULL;
		r->recv.posted.queued = r->recv.stall.set = r->recv.impatient = false;
		r->recv.into.iov = r->recv.into.few;
	}
	TAILQ_INSERT_TAIL(&h->requests, r, entry);
	return r;
}

void request_free(struct haul_req *r)
{
	if (r == NULL)
		return;
	struct haul *h = r->haul;
	TAILQ_REMOVE(&h->requests, r, entry);
	if (r->kind == REQ_RECV)
		buffers_fini(&r->recv.into);
	if (h->spare_request_count >= SPARES) {
		free(r);
		return;
	}
	TAILQ_INSERT_HEAD(&h->spare_requests, r, entry);
	h->spare_request_count++;
}

void request_complete(struct haul_req *r, int error)
{
	assert(!r->complete);
	r->complete = true;
	r->status.error = error;
	if (!r->detached)
		return;
	if (r->kind == REQ_PEER && r->status.peer != NULL)
		peer_disown(r->status.peer);
	request_free(r);
}

void request_abort(struct haul_req *r, int error)
{
	if (r->complete)
		return;
	switch (r->kind) {
	case REQ_SEND:
		outbound_abort(r->out, error);
		break;
	case REQ_RECV:
		receive_abort(r, error);
		break;
	case REQ_PEER:
		peer_request_abort(r, error);
		break;
	}
}

void request_force(struct haul_req *r, int error)
{
	if (!r->complete && r->kind == REQ_SEND)
		outbound_force(r->out, error);
	assert(r->complete);
}

static bool is_complete(void *arg)
{
	const struct haul_req *r = arg;
	return r->complete;
}

int request_run(struct haul_req *r, int timeout_ms, struct haul_peer *hint, struct haul_status *status)
{
	struct engine *e = &r->haul->engine;
	struct conn *conn = hint != NULL ? &hint->conn : NULL;
	int rc = 0;
	if (!r->complete && timeout_ms == 0) {
		rc = engine_progress(e);
		bool found = r->kind == REQ_RECV && r->recv.in != NULL;
		if (!r->complete &&
		    found) /* the timeout was for finding it; the option stall_ms bounds this */
			rc = engine_wait(e, is_complete, r, CLOCK_NEVER, conn);
		else if (rc >= 0 && !r->complete)
			rc = reason(-EAGAIN, "it can't be done without waiting");
	} else if (!r->complete) {
		rc = engine_wait(e, is_complete, r, clock_after_ms(timeout_ms), conn);
	}
	if (!r->complete) {
		request_abort(r, rc);
		if (!r->complete)
			engine_wait(e, is_complete, r, clock_after_ms(GRACE_MS), conn);
		if (!r->complete)
			request_force(r, rc);
		if (rc == -EINTR && r->status.error != -EINTR)
			engine_interrupt(e); /* it came too late for this call: the next one ends by it */
	}
	return request_finish(r, status);
}

int request_finish(struct haul_req *r, struct haul_status *status)
{
	int error = r->status.error;
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

static int check(const struct haul_req *r)
{
	if (r == NULL)
		return reason(-EINVAL, "no request");
	return context_check(r->haul);
}

int haul_req_test(struct haul_req *r)
{
	int rc = check(r);
	if (rc != 0 || r->complete)
		return rc;
	rc = engine_progress(&r->haul->engine);
	if (rc < 0)
		return rc;
	return r->complete ? 0 : -EINPROGRESS;
}

int haul_req_wait(struct haul_req *r, int timeout_ms)
{
	int rc = check(r);
	if (rc == 0)
		rc = context_check_timeout(timeout_ms);
	if (rc != 0 || r->complete)
		return rc;
	if (timeout_ms == 0)
		return haul_req_test(r) == 0 ? 0 : reason(-EAGAIN, "the request is not complete");
	struct haul_peer *p = r->status.peer;
	return engine_wait(&r->haul->engine, is_complete, r, clock_after_ms(timeout_ms),
	    p != NULL ? &p->conn : NULL);
}

int haul_req_finish(struct haul_req *r, struct haul_status *status)
{
	int rc = check(r);
	if (rc != 0)
		return rc;
	return r->complete ? request_finish(r, status) : -EINPROGRESS;
}

void haul_req_free(struct haul_req *r)
{
	if (r == NULL || context_check(r->haul) != 0)
		return;
	if (!r->complete) {
		r->detached = true;
		return;
	}
	if (r->kind == REQ_PEER && r->status.peer != NULL)
		peer_free(r->status.peer);
	request_free(r);
}
