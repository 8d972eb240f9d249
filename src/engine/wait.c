/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting: look, spin, sleep; and who does it.
 *
 * Of the threads that wait, one drives: it looks and spins with the lock held (and lets others in who want
 * it), then sleeps in the set without it. The others sleep until the driver, or whoever else does something
 * in the context, finds that they are done, or leaves the driving to them.
 *
 * The driver spins, for a budget, on bare reads of the conn that most likely has the answer, and asks the
 * whole set now and then. Then it sleeps until a descriptor is ready or the earliest deadline has come. The
 * budget follows what waits really took: a wait that ended within it restores the full budget, each that had
 * to sleep after all halves it, and now and then one spins in full to see whether times have changed. Who shares
 * the CPU with those it waits for does not spin, but yields a few times: what it waits for is often there then, and an
 * idle CPU is slow to wake.
 *
 * Who ends a wait: a completion (done), the deadline, engine_interrupt() (one wait, by way of the driver),
 * engine_quit(); peers that die complete the requests they concern. Who wakes the driver: a descriptor, a
 * timer, and the eventfd, by which other threads tell it of an earlier timer or of work (threads.c).
 */
#include <errno.h>

#include "engine/engine.h"
#include "os/clock.h"
#include "os/proc.h"
#include "os/reason.h"

enum {
	ROUND_EVERY = 32,  /* spins between two looks at the whole set */
	BUSY_EVERY = 4,    /* the same while there is work, a piece of which takes longer than a spin */
	CLOCK_EVERY = 8,   /* spins between two looks at the clock */
	STREAK = 16,       /* waits that didn't need the set, before a conn leaves it */
	RETRY_EVERY = 128, /* sleeps between two attempts to spin in full */
};

static void spin_paid(struct engine *e)
{
	e->spins++;
	e->spin_misses = 0;
	e->spin_budget = e->spin_limit;
}

static void spin_missed(struct engine *e)
{
	if (!e->adaptive)
		return;
	e->spin_budget = ++e->spin_misses % RETRY_EVERY == 0 ? e->spin_limit : e->spin_budget / 2;
}

/* Where to look; a detached conn must be looked at, for nobody else does. */
static struct conn *likely(struct engine *e, struct conn *hint)
{
	if (e->detached != NULL && hint != NULL && hint != e->detached)
		conn_attach(e->detached);
	if (e->detached != NULL)
		return e->detached;
	if (hint != NULL && !hint->ended && hint->link.loop == NULL)
		return hint;
	return !TAILQ_EMPTY(&e->polled) ? polls_next(e) : e->hot;
}

/* One look at the conn that most likely has news, without the set. */
static bool look(struct engine *e, struct conn *hint)
{
	struct conn *c = likely(e, hint);
	if (c == NULL || !conn_look(c))
		return false;
	e->hot = c->ended ? e->hot : c;
	return true;
}

/*
 * Sleeping on one socket by recv(2) wakes a quarter sooner than by epoll_wait(2) and a recv after it (measured:
 * 25 against 32 us a way). So where a single peer is all there is to hear from, a sleep begins like that. It
 * is short, because it is deaf to the rest: the exit of a peer whose socket a stray child holds open may have
 * to wait for its end. Deadlines don't, nor do other threads: then there is no dozing.
 */
static bool doze(struct engine *e, struct conn *hint, uint64_t until)
{
	enum { WAKE_SOCKET_EXIT = 3 };
	struct conn *c = likely(e, hint);
	if (!lock_needless()) /* and the lock is kept, too */
		return false;
	if (c == NULL || c->exit.slot == 0 || e->source_count + (e->detached == c) != WAKE_SOCKET_EXIT)
		return false;
	if (until != CLOCK_NEVER && until < clock_now() + 2 * LINK_DOZE_MS * NS_PER_MS)
		return false;
	return conn_doze(c);
}

static int sleep_once(struct engine *e, struct wait *w, uint64_t deadline, bool *dozed)
{
	uint64_t next = timers_next(&e->timers), until = next < deadline ? next : deadline;
	e->sleeps++;
	if (polls_stop(e)) /* it may be the set that knows how it goes on */
		return engine_round(e, 0);
	if (!*dozed) {
		*dozed = true;
		if (doze(e, w->hint, until))
			return engine_settle(e);
	}
	engine_attach(e);
	e->streak = 0;
	return engine_round(e, until);
}

/* Whether this one drives, by now. */
static bool drives(struct engine *e, struct wait *w)
{
	if (e->driver == NULL)
		e->driver = w;
	return e->driver == w;
}

/* Somebody else drives, and wakes us when there is a reason. What we have left to be done may be what we wait
 * for, so the driver hears of that first. */
static void sleep_beside(struct engine *e, struct wait *w, uint64_t deadline)
{
	engine_settle_up(e);
	if (w->done(w->arg))
		return;
	e->sleeps++;
	w->sleeping = true;
	lock_sleep(&e->lock, &w->cond, deadline);
	w->sleeping = false;
}

/* Takes it, if it is there to be taken; the progress thread leaves it to those who wait. */
static bool interrupted(struct engine *e, const struct wait *w)
{
	if (w->serving || w->firm || !atomic_load_explicit(&e->interrupted, memory_order_relaxed))
		return false;
	return atomic_exchange(&e->interrupted, false);
}

/* The conn that was looked at had what was waited for. If that goes on, it needs not be in the set: its peer
 * then sends a tenth faster (measured: 2.0 against 2.3 us a way). Only the driver may say so: while it sleeps in the
 * set, nobody looks at a conn that is not in it. */
static void needless(struct engine *e, const struct wait *w)
{
	if (e->driver != w)
		return;
	if (e->hot != NULL && e->detached == NULL && e->pollable.set < 0 && ++e->streak >= STREAK)
		conn_detach(e->hot);
}

/* A driver's turn without sleeping: a look, or now and then a round. As engine_round(). */
static int spin_once(struct engine *e, struct wait *w, unsigned turn, bool more)
{
	int rc = 0;
	bool heard = look(e, w->hint);
	if (heard && w->done(w->arg) && TAILQ_EMPTY(&e->kicked))
		return 0;
	if (turn % (more ? BUSY_EVERY : ROUND_EVERY) == 0)
		rc = engine_round(e, 0);
	else if (heard || more)
		rc = engine_settle(e);
	if (lock_wanted(&e->lock))
		lock_let(&e->lock);
	return rc;
}

/* As spin_once(), of who has no CPU of its own: others run meanwhile, and what they say is there when we go on. */
static int yield_once(struct engine *e)
{
	engine_attach(e); /* it is the set that knows what others have said */
	e->streak = 0;
	if (lock_wanted(&e->lock))
		lock_let(&e->lock);
	else
		proc_yield();
	return engine_round(e, 0);
}

static bool is_alone(const struct engine *e, const struct wait *w)
{
	return TAILQ_FIRST(&e->waits) == w && TAILQ_NEXT(w, entry) == NULL;
}

static int wait_until_done(struct engine *e, struct wait *w, uint64_t deadline)
{
	bool more = engine_settle(e);
	if (w->done(w->arg))
		return 0;
	uint64_t now = clock_now(), spin_until = now + (w->serving ? 0 : e->spin_budget);
	bool spun = false, dozed = false;
	unsigned yields = 0;
	for (unsigned i = 1;; i++) {
		int rc = 0;
		if (interrupted(e, w))
			return reason(-EINTR, "interrupted by haul_interrupt()");
		if (e->quitting && !w->firm)
			return reason(-EBADF, "the context was closed");
		if (now >= deadline)
			return reason(-ETIMEDOUT, "the time was up");
		if (!drives(e, w)) {
			spun = false;
			sleep_beside(e, w, deadline);
		} else if (more || now < spin_until) {
			spun = spun || !more;
			rc = spin_once(e, w, i, more);
		} else if (yields < e->yields) {
			rc = yield_once(e);
			yields++;
		} else {
			if (spun)
				spin_missed(e);
			spun = false;
			rc = sleep_once(e, w, deadline, &dozed);
		}
		if (rc < 0)
			return rc;
		more = rc > 0 || e->due || !TAILQ_EMPTY(&e->kicked); /* by others, while they had the lock */
		if (w->done(w->arg))
			break;
		if (!is_alone(e, w))
			engine_wake_waits(e);
		if (!spun || more || i % CLOCK_EVERY == 0)
			now = clock_now();
	}
	if (spun)
		spin_paid(e);
	needless(e, w);
	return 0;
}

int engine_run_wait(struct engine *e, struct wait *w, uint64_t deadline)
{
	pthread_cond_init(&w->cond, NULL);
	w->thread = pthread_self();
	TAILQ_INSERT_TAIL(&e->waits, w, entry);
	int rc = wait_until_done(e, w, deadline);
	TAILQ_REMOVE(&e->waits, w, entry);
	if (e->driver == w)
		e->driver = NULL;
	if (!TAILQ_EMPTY(&e->waits))
		engine_wake_waits(e);
	if (e->quitting)
		pthread_cond_signal(&e->left);
	return rc;
}

int engine_wait(struct engine *e, bool (*done)(void *arg), void *arg, uint64_t deadline, struct conn *hint)
{
	struct wait w = { .done = done, .arg = arg, .hint = hint };
	return engine_run_wait(e, &w, deadline);
}

void engine_grace(struct engine *e, bool (*done)(void *arg), void *arg, uint64_t deadline)
{
	reason_keep(true);
	if (engine_wait(e, done, arg, deadline, NULL) == -EINTR)
		engine_interrupt(e);
	reason_keep(false);
}

void engine_await(struct engine *e, bool (*done)(void *arg), void *arg)
{
	struct wait w = { .done = done, .arg = arg, .firm = true };
	while (!done(arg))
		engine_run_wait(e, &w, CLOCK_NEVER);
}
