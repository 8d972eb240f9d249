/* SPDX-License-Identifier: BSD-3-Clause */
/* Notices. See notify.h. */
#include "msg/notify.h"

#include <errno.h>
#include <stdlib.h>

#include "msg/context.h"
#include "os/clock.h"
#include "os/proc.h"
#include "os/reason.h"

enum { RETRY_MS = 5 };

/* The context whose call this thread is in. Looked at in every call, so by the quickest way to it. */
static _Thread_local const struct haul *calling __attribute__((tls_model("initial-exec")));

void notice_init(struct notice *n, struct haul_req *r)
{
	n->what.call = NULL;
	n->what.signal = 0;
	n->req = r;
	n->call_due = n->signal_due = false;
}

int notice_set(struct haul *h, struct notice *n, const struct haul_notify *what)
{
	if (what != NULL && (what->signal < 0 || what->signal > proc_last_signal()))
		return reason(-EINVAL, "there is no signal %d", what->signal);
	notice_drop(h, n);
	if (what != NULL)
		n->what = *what;
	return 0;
}

static void drop_signal(struct haul *h, struct notice *n)
{
	if (n->signal_due)
		TAILQ_REMOVE(&h->signals, n, signal);
	n->signal_due = false;
}

static void drop_call(struct haul *h, struct notice *n)
{
	if (n->call_due)
		TAILQ_REMOVE(&h->calls, n, call);
	n->call_due = false;
}

void notice_drop(struct haul *h, struct notice *n)
{
	drop_signal(h, n);
	drop_call(h, n);
	n->what.call = NULL;
	n->what.signal = 0;
}

/* A batch's notice has served its time. */
static void free_if_told(struct notice *n)
{
	if (n->req == NULL && !n->call_due && !n->signal_due)
		free(n);
}

static void retry(struct timer *t)
{
	notices_retry((struct haul *)((char *)t - offsetof(struct haul, signal_retry)));
}

/* False: notices_retry() had it, and may have freed a batch's. */
static bool tell(struct haul *h, struct notice *n)
{
	if (n->what.call != NULL && !n->call_due) {
		n->call_due = true;
		TAILQ_INSERT_TAIL(&h->calls, n, call);
		pollable_ring(&h->engine);
	}
	if (n->what.signal != 0 && !n->signal_due && !engine_stale(&h->engine)) {
		n->signal_due = true;
		TAILQ_INSERT_TAIL(&h->signals, n, signal);
		notices_retry(h);
		return false;
	}
	return true;
}

void notice_tell(struct haul *h, struct notice *n)
{
	tell(h, n);
}

void notice_tell_batch(struct haul *h, struct notice *n)
{
	if (tell(h, n))
		free_if_told(n);
}

void notices_retry(struct haul *h)
{
	for (struct notice *n; (n = TAILQ_FIRST(&h->signals)) != NULL;) {
		if (proc_signal_self(n->what.signal, n->what.value) == -EAGAIN) {
			timer_set(&h->engine.timers, &h->signal_retry, clock_after_ms(RETRY_MS), retry);
			return;
		}
		drop_signal(h, n);
		free_if_told(n);
	}
}

void notices_run(struct haul *h, unsigned most)
{
	for (struct notice *n; most > 0 && (n = TAILQ_FIRST(&h->calls)) != NULL; most--) {
		struct haul_notify what = n->what;
		struct haul_req *r = n->req;
		drop_call(h, n);
		free_if_told(n);
		const struct haul *before = calling;
		calling = h;
		engine_step_out(&h->engine);
		what.call(r, what.arg);
		engine_step_in(&h->engine);
		calling = before;
	}
}

void notices_fini(struct haul *h)
{
	struct notice *n;
	while ((n = TAILQ_FIRST(&h->calls)) != NULL) {
		drop_call(h, n);
		free_if_told(n);
	}
	while ((n = TAILQ_FIRST(&h->signals)) != NULL) {
		drop_signal(h, n);
		free_if_told(n);
	}
}

bool notices_calling(const struct haul *h)
{
	return calling == h;
}
