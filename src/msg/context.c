/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contexts: opening and closing, and what every public call checks first.
 *
 * The memory of a closed context is kept for the next one to be opened, never returned: so a call on a
 * context that was closed finds one that says so, instead of memory that has become something else.
 */
#include "msg/context.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine/options.h"
#include "msg/inbound.h"
#include "msg/listener.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "msg/request.h"
#include "os/reason.h"

#define MAGIC_OPEN UINT64_C(0x6861756c20697321)

/* Linked by haul.closed. No lock: a fork in another thread could leave it taken for ever in the child. */
static _Atomic(struct haul *) closed;

int haul_version(void)
{
	return HAUL_VERSION;
}

const char *haul_reason(void)
{
	return reason_get();
}

int context_check(const struct haul *h)
{
	if (h == NULL)
		return reason(-EINVAL, "no context");
	if (h->magic != MAGIC_OPEN)
		return reason(-EBADF, "the context is closed");
	if (engine_stale(&h->engine))
		return reason(-ESTALE, "the context belongs to the parent of this process");
	return 0;
}

int context_check_timeout(int timeout_ms)
{
	return timeout_ms < -1 ? reason(-EINVAL, "a timeout of %d ms", timeout_ms) : 0;
}

int context_copy_out(void *to, size_t size, const void *from, size_t ours)
{
	memset(to, 0, size);
	memcpy(to, from, size < ours ? size : ours);
	return 0;
}

bool context_awaits_peers(const struct haul *h)
{
	const struct haul_req *r;
	TAILQ_FOREACH (r, &h->requests, entry)
		if (r->kind == REQ_PEER && !r->complete)
			return true;
	return false;
}

/* A piece of work per round, so that sockets get their turn between two pieces of a pull. */
static bool work(struct engine *e)
{
	struct haul *h = (struct haul *)((char *)e - offsetof(struct haul, engine));
	peer_reap(h);
	return pull_round(h);
}

static const struct engine_ops ops = { .work = work };

static void keep(struct haul *h)
{
	h->closed = atomic_load(&closed);
	while (!atomic_compare_exchange_weak(&closed, &h->closed, h))
		;
}

/* Takes them all, keeps one, and puts the others back. */
static struct haul *take_memory(void)
{
	struct haul *h = atomic_exchange(&closed, NULL);
	if (h == NULL)
		return calloc(1, sizeof(*h));
	for (struct haul *rest = h->closed, *next; rest != NULL; rest = next) {
		next = rest->closed;
		keep(rest);
	}
	memset(h, 0, sizeof(*h));
	return h;
}

static void give_memory(struct haul *h)
{
	h->magic = 0;
	keep(h);
}

int haul_open(struct haul **out, const struct haul_options *options, size_t options_size)
{
	struct haul_options o;
	if (out == NULL)
		return reason(-EINVAL, "no place for the context");
	int rc = options_resolve(&o, options, options_size);
	if (rc != 0)
		return rc;
	struct haul *h = take_memory();
	if (h == NULL)
		return reason(-ENOMEM, "no memory for a context");
	if ((rc = engine_init(&h->engine, &ops, o.spin_us)) != 0) {
		give_memory(h);
		return rc;
	}
	struct link_shared *s = &h->engine.shared;
	s->pool.left = o.budget_all;
	s->max_msg = o.max_msg;
	s->budget = (uint32_t)o.budget;
	s->window = o.window;
	s->never_pull = o.path == HAUL_PATH_STREAM;
	s->admit = o.admit;
	s->admit_arg = o.admit_arg;
	h->options = o;
	match_init(&h->match);
	cookies_init(&h->cookies);
	TAILQ_INIT(&h->peers);
	TAILQ_INIT(&h->unowned);
	TAILQ_INIT(&h->listeners);
	TAILQ_INIT(&h->requests);
	TAILQ_INIT(&h->pulls);
	TAILQ_INIT(&h->spare_requests);
	h->magic = MAGIC_OPEN;
	*out = h;
	return 0;
}

/* Peers without a handle first (their adopts end with them), then the rest. */
static void free_all(struct haul *h)
{
	struct haul_listener *l;
	struct haul_peer *p;
	struct haul_req *r, *next;
	struct match_recv *m;
	while ((l = TAILQ_FIRST(&h->listeners)) != NULL)
		haul_listener_close(l);
	/* Posted receives first: else a message given back by another could be given to them. */
	while ((m = TAILQ_FIRST(&h->match.recvs)) != NULL)
		receive_abort(receive_of(m), -ECANCELED);
	TAILQ_FOREACH_SAFE (r, &h->requests, entry, next)
		request_abort(r, -ECANCELED);
	while ((p = TAILQ_FIRST(&h->peers)) != NULL)
		peer_free(p);
	while ((r = TAILQ_FIRST(&h->requests)) != NULL)
		request_free(r);
	while ((r = TAILQ_FIRST(&h->spare_requests)) != NULL) {
		TAILQ_REMOVE(&h->spare_requests, r, entry);
		free(r);
	}
}

int haul_close(struct haul *h, int linger_ms)
{
	if (h == NULL)
		return 0;
	int rc = context_check(h);
	if (rc == -EBADF)
		return rc;
	if (rc == 0) {
		if ((rc = context_check_timeout(linger_ms)) != 0)
			return rc;
		struct haul_peer *p;
		TAILQ_FOREACH (p, &h->peers, entry)
			if (p->up)
				peer_begin_close(p);
		rc = peer_finish_close(h, linger_ms);
	}
	free_all(h);
	engine_fini(&h->engine);
	give_memory(h);
	return rc;
}

int haul_progress(struct haul *h)
{
	int rc = context_check(h);
	return rc != 0 ? rc : engine_progress(&h->engine);
}

void haul_interrupt(struct haul *h)
{
	if (h != NULL && h->magic == MAGIC_OPEN)
		engine_interrupt(&h->engine);
}

int haul_stats(const struct haul *h, struct haul_stats *stats, size_t stats_size)
{
	int rc = context_check(h);
	if (rc == 0 && stats == NULL)
		rc = reason(-EINVAL, "no place for the counters");
	if (rc != 0)
		return rc;
	struct haul_stats s = h->stats;
	s.spins = h->engine.spins;
	s.sleeps = h->engine.sleeps;
	return context_copy_out(stats, stats_size, &s, sizeof(s));
}
