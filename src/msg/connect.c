/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How peers come, other than by a listener: adopt and connect, as requests and blocking.
 *
 *     connect: dial, again while the backlog is full --> handshake --> the request completes
 *     adopt:                                             handshake --> the request completes
 *
 * Who ends a wait here: the handshake's end either way (peer.c), the timeout, an interrupt. A peer that does
 * not come about is freed by the next round, for no callback may free one.
 */
#include "msg/connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link/address.h"
#include "msg/context.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "msg/request.h"
#include "os/clock.h"
#include "os/reason.h"
#include "os/sock.h"

enum { DIAL_RETRY_MS = 2 };

/* A connect that has no connection yet: the address is tried again while its backlog is full, which the
 * kernel gives nothing to poll for. */
struct dial {
	struct haul_req *req;
	struct address address;
	struct timer retry;
	uint64_t deadline;
};

static void dial_end(struct haul_req *r)
{
	struct dial *d = r->peer.dial;
	if (d == NULL)
		return;
	timer_stop(&r->haul->engine.timers, &d->retry);
	r->peer.dial = NULL;
	free(d);
}

/* Starts the handshake on fd, which is the peer's from now on if that works. */
static int greet(struct haul_req *r, int fd, uint64_t deadline, bool keep_fd)
{
	struct haul_peer *p;
	int rc = peer_new(r->haul, fd, deadline, r, NULL, &p);
	if (rc != 0)
		return rc;
	p->keep_fd = keep_fd;
	r->peer.peer = p;
	return 0;
}

static void dial_try(struct timer *t)
{
	struct dial *d = (struct dial *)((char *)t - offsetof(struct dial, retry));
	struct haul_req *r = d->req;
	struct haul *h = r->haul;
	struct address *a = &d->address;
	int fd = address_connect(a), rc = fd < 0 ? fd : 0;
	if (rc == -EAGAIN) {
		timer_set(&h->engine.timers, &d->retry, clock_after_ms(DIAL_RETRY_MS), dial_try);
		return;
	}
	if (rc == 0 && (rc = greet(r, fd, d->deadline, a->kind == ADDRESS_FD)) != 0 && a->kind != ADDRESS_FD)
		sock_close(fd);
	dial_end(r);
	if (rc != 0) {
		request_complete(r, rc);
		receive_hopeless(h);
	}
}

void connect_abort(struct haul_req *r, int error)
{
	if (error == -EAGAIN || error == -ETIMEDOUT)
		reason(error,
		    r->peer.dial != NULL ? "the address' backlog stayed full"
		                         : "the peer did not finish the handshake in time");
	dial_end(r);
	struct haul *h = r->haul;
	struct haul_peer *p = r->peer.peer;
	if (p != NULL) {
		p->req = NULL;
		r->peer.peer = NULL;
		peer_disown(p);
	}
	request_complete(r, error);
	receive_hopeless(h);
}

int connect_adopt(struct haul *h, int fd, uint64_t deadline, bool keep_fd, struct haul_req **out)
{
	if (fd < 0)
		return reason(-EBADF, "descriptor %d", fd);
	struct haul_req *r = request_new(h, REQ_PEER);
	if (r == NULL)
		return request_refusal(h);
	int rc = greet(r, fd, deadline, keep_fd);
	if (rc != 0) {
		request_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

int connect_run(struct haul_req *r, int timeout_ms, struct haul_peer **out)
{
	struct haul *h = r->haul;
	struct haul_status status;
	int rc = request_run(r, timeout_ms, NULL, &status);
	peer_reap(h);
	if (rc == 0)
		*out = status.peer;
	return rc;
}

int connect_start(struct haul *h, const char *name, uint64_t deadline, struct haul_req **out)
{
	struct address a;
	int rc = address_parse(name, &a);
	if (rc != 0)
		return rc;
	struct dial *d = calloc(1, sizeof(*d));
	if (d == NULL)
		return reason(-ENOMEM, "no memory to connect");
	struct haul_req *r = request_new(h, REQ_PEER);
	if (r == NULL) {
		free(d);
		return request_refusal(h);
	}
	*d = (struct dial){ .req = r, .address = a, .deadline = deadline };
	r->peer.dial = d;
	dial_try(&d->retry);
	*out = r;
	return 0;
}

/* ---- public ---- */

static int enter(struct haul *h, int timeout_ms, const void *out)
{
	int rc = context_enter_wait(h, timeout_ms);
	if (rc == 0 && out == NULL)
		rc = context_leave(h, reason(-EINVAL, "no place for the result"));
	return rc;
}

int haul_pair(int fds[2])
{
	if (fds == NULL)
		return reason(-EINVAL, "no place for two descriptors");
	int rc = sock_pair(fds);
	return rc != 0 ? reason(rc, "socketpair: %s", strerror(-rc)) : 0;
}

int haul_iadopt(struct haul *h, int fd, struct haul_req **out)
{
	int rc = enter(h, 0, out);
	if (rc != 0)
		return rc;
	return context_leave(h, connect_adopt(h, fd, clock_after_ms(h->options.handshake_ms), false, out));
}

int haul_adopt(struct haul *h, int fd, int timeout_ms, struct haul_peer **out)
{
	struct haul_req *r;
	int rc = enter(h, timeout_ms, out);
	if (rc != 0)
		return rc;
	rc = connect_adopt(h, fd, CLOCK_NEVER, true, &r);
	return context_leave(h, rc != 0 ? rc : connect_run(r, timeout_ms, out));
}

int haul_iconnect(struct haul *h, const char *address, struct haul_req **out)
{
	int rc = enter(h, 0, out);
	if (rc != 0)
		return rc;
	rc = connect_start(h, address, clock_after_ms(h->options.handshake_ms), out);
	if (rc == 0 && !(*out)->complete)
		request_deadline(*out, clock_after_ms(h->options.handshake_ms));
	return context_leave(h, rc);
}

int haul_connect(struct haul *h, const char *address, int timeout_ms, struct haul_peer **out)
{
	struct haul_req *r;
	int rc = enter(h, timeout_ms, out);
	if (rc != 0)
		return rc;
	rc = connect_start(h, address, CLOCK_NEVER, &r);
	return context_leave(h, rc != 0 ? rc : connect_run(r, timeout_ms, out));
}
