/* SPDX-License-Identifier: BSD-3-Clause */
/* Listeners. See listener.h. */
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

/* Whether it watches its socket: not while it is full, or could do nothing with a connection. */
static void watch(struct haul_listener *l)
{
	bool can = l->waiting < l->haul->options.handshakes && !l->retry.set;
	source_change(&l->haul->engine, &l->source, can ? EPOLLIN : 0);
}

static struct haul_listener *of_source(struct source *s)
{
	return (struct haul_listener *)((char *)s - offsetof(struct haul_listener, source));
}

static void retry(struct timer *t)
{
	watch((struct haul_listener *)((char *)t - offsetof(struct haul_listener, retry)));
}

static int take(struct haul_listener *l)
{
	struct haul *h = l->haul;
	struct haul_peer *p;
	int fd = sock_accept(l->listening.fd);
	if (fd < 0)
		return fd;
	int rc = peer_new(h, fd, clock_after_ms(h->options.handshake_ms), NULL, l, &p);
	if (rc != 0) {
		sock_close(fd);
		return rc;
	}
	l->waiting++;
	return 0;
}

static void accept_ready(struct source *s, uint32_t events)
{
	struct haul_listener *l = of_source(s);
	(void)events;
	for (int i = 0; i < ACCEPTS && l->waiting < l->haul->options.handshakes; i++) {
		int rc = take(l);
		if (rc == -EAGAIN)
			break;
		if (rc == -EMFILE || rc == -ENFILE || rc == -ENOBUFS || rc == -ENOMEM) {
			/* The connection stays in the backlog, and the socket readable: look again later. */
			l->error = rc;
			timer_set(&l->haul->engine.timers, &l->retry, clock_after_ms(RETRY_MS), retry);
			break;
		}
	}
	watch(l);
}

void listener_ready(struct haul_listener *l, struct haul_peer *p)
{
	TAILQ_INSERT_TAIL(&l->ready, p, ready);
}

void listener_lost(struct haul_listener *l, struct haul_peer *p)
{
	if (p->up)
		TAILQ_REMOVE(&l->ready, p, ready);
	l->waiting--;
	watch(l);
}

/* ---- public ---- */

int haul_listen(struct haul *h, const char *address, struct haul_listener **out)
{
	struct address a;
	int rc = context_check(h);
	if (rc == 0 && out == NULL)
		rc = reason(-EINVAL, "no place for the listener");
	if (rc == 0)
		rc = address_parse(address, &a);
	if (rc != 0)
		return rc;
	struct haul_listener *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return reason(-ENOMEM, "no memory for a listener");
	l->haul = h;
	TAILQ_INIT(&l->ready);
	if ((rc = address_listen(&a, &l->listening)) != 0)
		goto err_free;
	l->source.ready = accept_ready;
	if ((rc = source_add(&h->engine, &l->source, l->listening.fd, EPOLLIN)) != 0) {
		reason(rc, "cannot watch %s: %s", address, strerror(-rc));
		goto err_listening;
	}
	TAILQ_INSERT_TAIL(&h->listeners, l, entry);
	*out = l;
	return 0;

err_listening:
	if (a.kind != ADDRESS_FD)
		listening_fini(&l->listening);
err_free:
	free(l);
	return rc;
}

void haul_listener_close(struct haul_listener *l)
{
	if (l == NULL || context_check(l->haul) == -EBADF)
		return;
	struct haul *h = l->haul;
	bool stale = engine_stale(&h->engine);
	struct haul_peer *p, *next;
	TAILQ_FOREACH_SAFE (p, &h->peers, entry, next)
		if (p->listener == l)
			peer_free(p);
	TAILQ_REMOVE(&h->listeners, l, entry);
	if (stale) {
		sock_close(l->listening.fd); /* the file and the set are the parent's */
	} else {
		timer_stop(&h->engine.timers, &l->retry);
		source_remove(&h->engine, &l->source);
		listening_fini(&l->listening);
		receive_hopeless(h);
	}
	free(l);
}

static bool has_news(void *arg)
{
	const struct haul_listener *l = arg;
	return !TAILQ_EMPTY(&l->ready) || l->error != 0;
}

int haul_accept(struct haul_listener *l, int timeout_ms, struct haul_peer **out)
{
	if (l == NULL || out == NULL)
		return reason(-EINVAL, "no listener, or no place for the peer");
	int rc = context_check(l->haul);
	if (rc == 0)
		rc = context_check_timeout(timeout_ms);
	if (rc != 0)
		return rc;
	if (timeout_ms == 0) {
		rc = engine_progress(&l->haul->engine);
		rc = rc < 0 ? rc : has_news(l) ? 0 : reason(-EAGAIN, "no peer is waiting");
	} else {
		rc = engine_wait(&l->haul->engine, has_news, l, clock_after_ms(timeout_ms), NULL);
	}
	struct haul_peer *p = TAILQ_FIRST(&l->ready);
	if (p == NULL && l->error != 0) {
		rc = reason(l->error, "cannot take a connection: %s", strerror(-l->error));
		l->error = 0;
	}
	if (p == NULL)
		return rc;
	listener_lost(l, p);
	p->listener = NULL;
	*out = p;
	return 0;
}
