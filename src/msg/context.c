/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contexts: opening and closing, and what every public call checks first.
 *
 * Closing, while other threads may be in calls: nobody new gets in; who waits for requests is woken when these are
 * aborted; then the engine sends everybody out, and what is left belongs to the closer alone.
 *
 * The memory of a closed context is kept for the next one to be opened, never returned: so a call on a
 * context that was closed finds one that says so, instead of memory that has become something else.
 */
#include "msg/context.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine/options.h"
#include "msg/exit.h"
#include "msg/inbound.h"
#include "msg/listener.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "msg/request.h"
#include "msg/taken.h"
#include "os/helper.h"
#include "os/proc.h"
#include "os/reason.h"

enum { CALLS = 64 }; /* callbacks in one haul_progress() */

#define MAGIC_CLOSING UINT64_C(0x6861756c20776173)

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

/* While it closes, callbacks may still come in. */
static int check_open(const struct haul *h)
{
	uint64_t magic = atomic_load_explicit(&h->magic, memory_order_relaxed);
	if (magic == CONTEXT_OPEN || (magic == MAGIC_CLOSING && notices_calling(h)))
		return 0;
	return reason(-EBADF, "the context is closed");
}

int context_trouble(const struct haul *h)
{
	if (h == NULL)
		return reason(-EINVAL, "no context");
	int rc = check_open(h);
	if (rc != 0)
		return rc;
	if (engine_stale(&h->engine))
		return reason(-ESTALE, "the context belongs to the parent of this process");
	return 0;
}

int context_closed_meanwhile(struct haul *h)
{
	int rc = check_open(h);
	if (rc != 0)
		lock_give(&h->engine.lock);
	return rc;
}

bool context_whole(struct haul *h)
{
	return lock_was_free(&h->engine.lock);
}

int context_enter_wait(struct haul *h, int timeout_ms)
{
	if (timeout_ms < -1)
		return reason(-EINVAL, "a timeout of %d ms", timeout_ms);
	if (timeout_ms != 0 && h != NULL && notices_calling(h))
		return reason(-EDEADLK, "a callback may not wait");
	return context_enter(h);
}

/* What the call does for others on leaving must not spoil the words for what went wrong with its own. */
int context_leave_failed(struct haul *h, int rc)
{
	reason_keep(true);
	engine_leave(&h->engine);
	reason_keep(false);
	return rc;
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
	e->due = false;
	peer_reap(h);
	if (!TAILQ_EMPTY(&h->signals))
		notices_retry(h);
	push_round(h);
	assist_round(h);
	pull_round(h);
	bool more = above_work(h);
	/* Only now, for all of these are outside the lock in between, and others may have found more to do. */
	return more || e->due || !TAILQ_EMPTY(&h->pushes) || !TAILQ_EMPTY(&h->assists) ||
	    !TAILQ_EMPTY(&h->pulls);
}

_Static_assert((int)LINK_TRACER_PEER == HAUL_PTRACER_PEER &&
        (int)LINK_TRACER_ANCESTOR == HAUL_PTRACER_ANCESTOR && (int)LINK_TRACER_ANY == HAUL_PTRACER_ANY,
    "the option is passed on as it is");

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
	if (h == NULL) {
		if ((h = calloc(1, sizeof(*h))) != NULL)
			exit_remember(h);
		return h;
	}
	for (struct haul *rest = h->closed, *next; rest != NULL; rest = next) {
		next = rest->closed;
		keep(rest);
	}
	struct haul *older = h->older;
	memset(h, 0, sizeof(*h));
	h->older = older;
	return h;
}

static void give_memory(struct haul *h)
{
	h->magic = 0;
	keep(h);
}

/* On a single CPU it could only take turns with who copies. */
static int get_helper(struct haul *h)
{
	int error;
	if (proc_cpus() < 2)
		return 0;
	h->helper = helper_new(&error);
	return h->helper != NULL
	    ? 0
	    : reason(-error, "cannot start the thread that helps with pulls: %s", strerror(error));
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
	s->push = o.push != 0 && !s->never_pull;
	s->outbox = o.transport == HAUL_TRANSPORT_OUTBOX && !s->never_pull;
	s->two_handed = o.two_handed > 0 && !s->never_pull;
	s->admit = o.admit;
	s->admit_arg = o.admit_arg;
	s->tracer = o.allow_ptracer > 0 ? (enum link_tracer)o.allow_ptracer : LINK_TRACER_NONE;
	s->log = (struct log){ .level = o.log_level, .write = o.log, .arg = o.log_arg };
	h->options = o;
	match_init(&h->match);
	cookies_init(&h->cookies);
	TAILQ_INIT(&h->peers);
	TAILQ_INIT(&h->unowned);
	TAILQ_INIT(&h->listeners);
	TAILQ_INIT(&h->requests);
	TAILQ_INIT(&h->pulls);
	TAILQ_INIT(&h->pushes);
	TAILQ_INIT(&h->assists);
	TAILQ_INIT(&h->taken);
	TAILQ_INIT(&h->workers);
	TAILQ_INIT(&h->calls);
	TAILQ_INIT(&h->signals);
	if (o.pull_helper > 0 && !s->never_pull && (rc = get_helper(h)) != 0)
		goto err_engine;
	if (o.progress_thread && (rc = engine_serve(&h->engine)) != 0)
		goto err_helper;
	atomic_store(&h->magic, CONTEXT_OPEN);
	*out = h;
	return 0;

err_helper:
	helper_free(h->helper);
err_engine:
	engine_fini(&h->engine);
	give_memory(h);
	return rc;
}

/* Every request completes. Posted receives first: else a message given back by another could be given to them. */
static void abort_requests(struct haul *h)
{
	struct match_recv *m;
	struct haul_req *r, *next;
	while ((m = TAILQ_FIRST(&h->match.recvs)) != NULL)
		receive_abort(receive_of(m), -ECANCELED);
	TAILQ_FOREACH_SAFE (r, &h->requests, entry, next)
		request_abort(r, -ECANCELED);
	TAILQ_FOREACH_SAFE (r, &h->requests, entry, next)
		request_force(r, -ECANCELED);
	above_work(h); /* what hung on these */
}

static void free_all(struct haul *h)
{
	struct haul_listener *l;
	struct haul_peer *p;
	struct haul_req *r;
	struct haul_msg *m;
	above_fini(h);
	while ((l = TAILQ_FIRST(&h->listeners)) != NULL)
		listener_free(l);
	while ((p = TAILQ_FIRST(&h->peers)) != NULL)
		peer_free(p);
	while ((r = TAILQ_FIRST(&h->requests)) != NULL)
		request_free(r);
	while ((m = TAILQ_FIRST(&h->taken)) != NULL)
		taken_free(m);
	workers_fini(h);
	notices_fini(h);
	spares_fini(&h->spare_requests);
	spares_fini(&h->spare_outbounds);
	spares_fini(&h->spare_inbounds);
	spares_fini(&h->spare_msgs);
	spares_fini(&h->spare_payloads);
	match_fini(&h->match);
}

/* The parent's threads, copies and waits are not ours. What another of its threads was changing at the time of the
 * fork can't be told from what is whole, and is left as it is. */
static void close_stale(struct haul *h)
{
	struct haul_peer *p;
	if (!context_whole(h)) {
		engine_close_fds(&h->engine);
		return;
	}
	TAILQ_FOREACH (p, &h->peers, entry)
		peer_forget_copies(p);
	TAILQ_INIT(&h->engine.waits);
	h->closing =
	    true; /* nothing may be started, for whatever reason: it would be said in the parent's name */
	abort_requests(h);
	free_all(h);
	helper_forget(h->helper);
	engine_fini(&h->engine);
	give_memory(h);
}

int haul_close(struct haul *h, int linger_ms)
{
	if (h == NULL)
		return 0;
	int rc = context_check(h);
	if (rc == -ESTALE) {
		close_stale(h);
		return rc;
	}
	if (rc == 0 && notices_calling(h))
		return reason(-EDEADLK, "a callback may not close its context");
	if (rc != 0 || (rc = context_enter_wait(h, linger_ms)) != 0)
		return rc;
	atomic_store(&h->magic, MAGIC_CLOSING); /* nobody else may enter from here on, but callbacks */
	struct haul_peer *p;
	notices_run(h, CALLS);
	TAILQ_FOREACH (p, &h->peers, entry)
		if (p->up)
			peer_begin_close(p);
	rc = peer_finish_close(h, NULL, linger_ms);
	if (rc == -EBUSY) {
		atomic_store(&h->magic, CONTEXT_OPEN);
		return context_leave(h, rc);
	}
	TAILQ_FOREACH (p, &h->peers, entry)
		if (p->up && !p->closing) /* since then */
			peer_dismiss(p);
	h->closing = true;
	abort_requests(h);
	engine_quit(&h->engine);
	above_work(h);
	notices_run(h, UINT_MAX);
	atomic_store(&h->magic, 0); /* no interrupts from here on */
	free_all(h);
	helper_free(h->helper);
	engine_fini(&h->engine);
	lock_give(&h->engine.lock);
	give_memory(h);
	return rc;
}

int haul_progress(struct haul *h)
{
	int rc = context_enter_wait(h, -1);
	if (rc != 0)
		return rc;
	pollable_begin(&h->engine);
	rc = engine_progress(&h->engine);
	notices_run(h, CALLS);
	/* Callbacks may have started something, which then is left to do. */
	if (rc == 0 && (!TAILQ_EMPTY(&h->calls) || h->engine.due || !TAILQ_EMPTY(&h->engine.kicked)))
		rc = 1;
	pollable_end(&h->engine, rc > 0);
	return context_leave(h, rc);
}

int haul_fd(struct haul *h)
{
	int rc = context_enter(h);
	return rc != 0 ? rc : context_leave(h, pollable_open(&h->engine));
}

int haul_arm(struct haul *h)
{
	int rc = context_enter(h);
	if (rc != 0)
		return rc;
	if (!TAILQ_EMPTY(&h->calls))
		rc = reason(-EAGAIN, "callbacks are due");
	else if ((rc = pollable_open(&h->engine)) >= 0)
		rc = pollable_arm(&h->engine);
	return context_leave(h, rc);
}

void haul_interrupt(struct haul *h)
{
	if (h == NULL)
		return;
	uint64_t magic = atomic_load_explicit(&h->magic, memory_order_relaxed);
	if (magic == CONTEXT_OPEN || magic == MAGIC_CLOSING) /* to close may mean to wait */
		engine_interrupt(&h->engine);
}
