/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listeners. See listener.h.
 *
 * Who ends an accept that waits: a peer that has passed its handshake, a shortage of descriptors, its timeout,
 * the closing of the listener.
 */
#include "msg/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "msg/peer.h"
#include "msg/receive.h"
#include "os/clock.h"
#include "os/poll.h"
#include "os/reason.h"
#include "os/sock.h"

enum { ACCEPTS = 16, RETRY_MS = 50 };

static struct haul_listener *of_source(struct source *s)
{
	return (struct haul_listener *)((char *)s - offsetof(struct haul_listener, source));
}

static void retry(struct timer *t);

static void look_later(struct haul_listener *l)
{
	timer_set(&l->haul->engine.timers, &l->retry, clock_after_ms(RETRY_MS), retry);
}

static bool is_full(const struct haul_listener *l)
{
	return l->waiting >= l->most;
}

/* Who is silent must not keep others out for ever. */
static void hurry(struct haul_listener *l)
{
	struct haul *h = l->haul;
	struct haul_peer *p;
	uint64_t until = clock_after_ms(h->options.handshake_ms);
	TAILQ_FOREACH (p, &h->peers, entry)
		if (p->listener == l)
			conn_hurry(&p->conn, until);
}

/* Watches its socket, but not while it is full, or could do nothing with a connection. Out of the set then: a
 * hang-up would be reported even if nothing was asked for. */
static void watch(struct haul_listener *l)
{
	struct engine *e = &l->haul->engine;
	if (is_full(l))
		hurry(l);
	if (is_full(l) || l->retry.set || l->dismissed)
		source_remove(e, &l->source);
	else if (l->source.slot == 0 && source_add(e, &l->source, l->listening.fd, EPOLLIN) != 0)
		look_later(l);
}

static void retry(struct timer *t)
{
	watch((struct haul_listener *)((char *)t - offsetof(struct haul_listener, retry)));
}

/* ---- accepts ---- */

/* Gives ready peers, or the news of a failure, to the accepts that wait. */
static void serve(struct haul_listener *l)
{
	struct haul_peer *p;
	struct haul_req *r;
	while ((r = TAILQ_FIRST(&l->accepts)) != NULL) {
		int error = 0;
		if ((p = TAILQ_FIRST(&l->ready)) != NULL) {
			listener_lost(l, p);
			p->listener = NULL;
			r->status.peer = p;
		} else if ((error = l->error) != 0) {
			reason(error, "cannot take a connection: %s", strerror(-error));
			l->error = 0;
		} else {
			break;
		}
		TAILQ_REMOVE(&l->accepts, r, accept.waiting);
		request_complete(r, error);
	}
}

void listener_accept_abort(struct haul_req *r, int error)
{
	TAILQ_REMOVE(&r->accept.listener->accepts, r, accept.waiting);
	request_complete(r, error);
}

int listener_accept_start(struct haul_listener *l, struct haul_req **out)
{
	struct haul_req *r = request_new(l->haul, REQ_ACCEPT);
	if (r == NULL)
		return request_refusal(l->haul);
	r->accept.listener = l;
	TAILQ_INSERT_TAIL(&l->accepts, r, accept.waiting);
	*out = r;
	serve(l);
	return 0;
}

/* ---- connections ---- */

static bool is_shortage(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM ||
	    error == -ENOSPC;
}

/* 0 as well, and no peer, if it was the connection's fault that it could not be taken. */
static int take(struct haul_listener *l, struct haul_peer **p)
{
	struct haul *h = l->haul;
	*p = NULL;
	int fd = sock_accept(l->listening.fd);
	if (fd < 0)
		return fd == -ECONNABORTED || fd == -EINTR ? 0 : fd;
	uint64_t deadline = l->patient ? CLOCK_NEVER : clock_after_ms(h->options.handshake_ms);
	int rc = peer_new(h, fd, deadline, NULL, l, p);
	if (rc != 0) {
		sock_close(fd);
		return is_shortage(rc) ? rc : 0;
	}
	l->waiting++;
	l->error = 0; /* what nobody has waited to hear is over */
	return 0;
}

static void accept_ready(struct source *s, uint32_t events)
{
	struct haul_listener *l = of_source(s);
	struct haul_peer *p;
	(void)events;
	for (int i = 0; i < ACCEPTS && !is_full(l); i++) {
		int rc = take(l, &p);
		if (rc == -EAGAIN)
			break;
		if (rc != 0) {
			/* What is in the backlog stays there, and the socket readable: look again later. */
			l->error = rc;
			serve(l);
			look_later(l);
			break;
		}
	}
	watch(l);
}

void listener_ready(struct haul_listener *l, struct haul_peer *p)
{
	TAILQ_INSERT_TAIL(&l->ready, p, ready);
	engine_news(&l->haul->engine);
	serve(l);
}

void listener_lost(struct haul_listener *l, struct haul_peer *p)
{
	if (p->up)
		TAILQ_REMOVE(&l->ready, p, ready);
	l->waiting--;
	watch(l);
}

bool listener_is_busy(const struct haul_listener *l)
{
	const struct haul_peer *p;
	if (!TAILQ_EMPTY(&l->ready) || sock_is_readable(l->listening.fd))
		return true;
	TAILQ_FOREACH (p, &l->haul->peers, entry)
		if (p->listener == l && sock_is_readable(p->conn.link.fd))
			return true;
	return false;
}

/* However many they are: who has been told takes no room. */
static void dismiss_backlog(struct haul_listener *l)
{
	struct haul_peer *p;
	sock_shut(l->listening.fd);
	while (take(l, &p) == 0) {
		if (p != NULL)
			peer_dismiss(p);
		peer_reap(l->haul);
	}
}

void listener_dismiss(struct haul_listener *l)
{
	struct haul_peer *p;
	l->dismissed = true;
	watch(l);
	TAILQ_FOREACH (p, &l->haul->peers, entry)
		if (p->listener == l)
			peer_dismiss(p);
	if (!l->given)
		dismiss_backlog(l);
}

bool listener_is_quiet(const struct haul_listener *l)
{
	const struct haul_peer *p;
	TAILQ_FOREACH (p, &l->haul->peers, entry)
		if (p->listener == l && !p->up && !p->conn.ended)
			return false;
	return true;
}

void listener_free(struct haul_listener *l)
{
	struct haul *h = l->haul;
	bool stale = engine_stale(&h->engine);
	struct haul_peer *p;
	struct haul_req *r;
	while ((r = TAILQ_FIRST(&l->accepts)) != NULL)
		listener_accept_abort(r, -ECANCELED);
	TAILQ_FOREACH (p, &h->peers, entry) {
		if (p->listener != l)
			continue;
		if (p->up)
			TAILQ_REMOVE(&l->ready, p, ready);
		p->listener = NULL;
		peer_disown(p);
	}
	TAILQ_REMOVE(&h->listeners, l, entry);
	timer_stop(&h->engine.timers, &l->retry);
	if (stale) {
		sock_close(l->listening.fd); /* the file and the set are the parent's */
	} else {
		source_remove(&h->engine, &l->source);
		listening_fini(&l->listening);
		receive_hopeless(h);
		peer_reap(h);
	}
	free(l);
}

/* ---- public ---- */

int listener_new(struct haul *h, const char *name, unsigned crowd, struct haul_listener **out)
{
	struct address a;
	int rc = address_parse(name, &a);
	if (rc != 0)
		return rc;
	struct haul_listener *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return reason(-ENOMEM, "no memory for a listener");
	l->haul = h;
	l->patient = crowd > 0;
	l->given = address_is_given(&a);
	l->most = crowd > h->options.handshakes ? crowd : h->options.handshakes;
	TAILQ_INIT(&l->ready);
	TAILQ_INIT(&l->accepts);
	if ((rc = address_listen(&a, &l->listening)) != 0)
		goto err_free;
	l->source.ready = accept_ready;
	if ((rc = source_add(&h->engine, &l->source, l->listening.fd, EPOLLIN)) != 0) {
		reason(rc, "cannot watch %s: %s", name, strerror(-rc));
		goto err_listening;
	}
	if ((rc = address_take_over(&a, &l->listening)) != 0)
		goto err_source;
	TAILQ_INSERT_TAIL(&h->listeners, l, entry);
	*out = l;
	return 0;

err_source:
	source_remove(&h->engine, &l->source);
err_listening:
	if (!address_is_given(&a))
		listening_fini(&l->listening);
err_free:
	free(l);
	return rc;
}

int haul_listen(struct haul *h, const char *address, struct haul_listener **out)
{
	int rc = context_enter(h);
	if (rc != 0)
		return rc;
	rc = out == NULL ? reason(-EINVAL, "no place for the listener") : listener_new(h, address, 0, out);
	return context_leave(h, rc);
}

void haul_listener_close(struct haul_listener *l)
{
	if (l == NULL)
		return;
	struct haul *h = l->haul;
	int rc = context_enter(h);
	if (rc == 0 || (rc == -ESTALE && context_whole(h)))
		listener_free(l);
	if (rc == 0)
		context_leave(h, 0);
}

static int enter(struct haul_listener *l, int timeout_ms, const void *out)
{
	if (l == NULL || out == NULL)
		return reason(-EINVAL, "no listener, or no place for the result");
	return context_enter_wait(l->haul, timeout_ms);
}

int haul_iaccept(struct haul_listener *l, struct haul_req **out)
{
	int rc = enter(l, 0, out);
	if (rc != 0)
		return rc;
	struct haul *h = l->haul;
	return context_leave(h, listener_accept_start(l, out));
}

int haul_accept(struct haul_listener *l, int timeout_ms, struct haul_peer **out)
{
	struct haul_req *r = NULL;
	struct haul_status status;
	int rc = enter(l, timeout_ms, out);
	if (rc != 0)
		return rc;
	struct haul *h = l->haul;
	rc = listener_accept_start(l, &r);
	if (rc == 0)
		rc = request_run(r, timeout_ms, NULL, &status);
	if (rc == 0)
		*out = status.peer;
	return context_leave(h, rc);
}
