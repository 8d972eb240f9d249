/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several threads in one engine: the lock on the way in and out, and what a thread owes to the others when it
 * leaves. A thread that sleeps learns nothing by itself of what another does under the lock; so whoever
 * gives the lock up first
 *
 *     wakes those whose waiting is over, and one of them to drive if nobody does;
 *     says what there is to be said to peers, if somebody waits: perhaps for the answer;
 *     wakes the driver from the set if it is done itself, for an earlier timer, or for work.
 *
 * With one thread all this is a look at an empty list.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "engine/engine.h"
#include "os/clock.h"
#include "os/poll.h"
#include "os/reason.h"

void engine_wake_waits(struct engine *e)
{
	bool wanted = e->driver == NULL,
	     interrupted = atomic_load_explicit(&e->interrupted, memory_order_relaxed);
	struct wait *w;
	TAILQ_FOREACH (w, &e->waits, entry) {
		if (!w->sleeping)
			continue;
		if (w->done(w->arg) || wanted || (!w->firm && (e->quitting || (interrupted && !w->serving))))
			pthread_cond_signal(&w->cond);
		wanted = false;
		interrupted = interrupted && (w->firm || w->serving);
	}
}

static void tell_waits(struct engine *e)
{
	if (!TAILQ_EMPTY(&e->kicked))
		engine_pump_all(e);
	engine_wake_waits(e);
	if (e->asleep &&
	    (e->due || e->quitting || !TAILQ_EMPTY(&e->kicked) || timers_next(&e->timers) < e->asleep_until ||
	        e->driver->done(e->driver->arg)))
		wake_set(e->wake);
}

/* Whether another thread than this waits. This one is in waits itself when it is out for a copy. */
static bool others_wait(const struct engine *e)
{
	const struct wait *w = TAILQ_FIRST(&e->waits);
	return w != NULL && (TAILQ_NEXT(w, entry) != NULL || !pthread_equal(w->thread, pthread_self()));
}

void engine_settle_up(struct engine *e)
{
	/* Nobody would look into what was looked into meanwhile. Where there is more the driver goes on
	 * with it: a peer that never stops must not keep us. */
	if (e->asleep && !TAILQ_EMPTY(&e->polled) && polls_stop(e))
		wake_set(e->wake);
	if (others_wait(e))
		tell_waits(e);
	if (e->pollable.set >= 0)
		pollable_refresh(e);
}

void engine_step_out(struct engine *e)
{
	e->outside++;
	if (e->driver != NULL && pthread_equal(e->driver->thread, pthread_self()))
		e->driver = NULL;
	engine_settle_up(e);
	lock_give(&e->lock);
}

void engine_step_in(struct engine *e)
{
	lock_take(&e->lock);
	e->outside--;
	if (e->quitting)
		pthread_cond_signal(&e->left);
}

void engine_let(struct engine *e)
{
	if (!TAILQ_EMPTY(&e->waits))
		engine_settle_up(e);
	if (!lock_wanted(&e->lock))
		return;
	e->outside++;
	lock_let(&e->lock);
	e->outside--;
	if (e->quitting)
		pthread_cond_signal(&e->left);
}

void engine_quit(struct engine *e)
{
	e->quitting = true;
	engine_settle_up(e);
	while (!TAILQ_EMPTY(&e->waits) || e->outside > 0)
		lock_sleep(&e->lock, &e->left, CLOCK_NEVER);
	while (lock_wanted(&e->lock)) /* those who wanted to enter: they find it closed */
		lock_let(&e->lock);
	if (e->serviced) {
		lock_give(&e->lock);
		pthread_join(e->service, NULL);
		lock_take(&e->lock);
	}
}

/* ---- the progress thread ---- */

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static void *serve(void *arg)
{
	struct engine *e = arg;
	struct wait w = { .done = never, .serving = true };
	lock_take(&e->lock);
	engine_run_wait(e, &w, CLOCK_NEVER);
	lock_give(&e->lock);
	return NULL;
}

/* It takes none of the program's signals. */
int engine_serve(struct engine *e)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&e->service, NULL, serve, e);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return reason(-rc, "cannot start the progress thread: %s", strerror(rc));
	e->serviced = true;
	return 0;
}
