/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting: look, spin, sleep.
 *
 * A wait spins, for a budget, on bare reads of the conn that most likely has the answer, and asks the whole
 * set now and then. Then it sleeps until a descriptor is ready or the earliest deadline has come. The budget follows what waits really took: a wait
 * that ended within it restores the full budget, each that had to sleep after all halves it, and now and
 * then one spins in full to see whether times have changed.
 *
 * Who ends a wait: a completion (done), the deadline, engine_interrupt(); peers that die complete the
 * requests they concern.
 */
#include <errno.h>

#include "engine/engine.h"
#include "os/clock.h"
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
	return hint != NULL && !hint->ended ? hint : e->hot;
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
 * is short, because it is deaf to the rest: an interrupt by another thread, or the exit of a peer whose
 * socket a stray child holds open, may have to wait for its end. Deadlines don't: then there is no dozing.
 */
static bool doze(struct engine *e, struct conn *hint, uint64_t until)
{
	enum { WAKE_SOCKET_EXIT = 3 };
	struct conn *c = likely(e, hint);
	if (c == NULL || c->exit.slot == 0 || e->source_count + (e->detached == c) != WAKE_SOCKET_EXIT)
		return false;
	if (until != CLOCK_NEVER && until < clock_now() + 2 * LINK_DOZE_MS * NS_PER_MS)
		return false;
	return conn_doze(c);
}

static int sleep_once(struct engine *e, struct conn *hint, uint64_t deadline, bool *dozed)
{
	uint64_t next = timers_next(&e->timers), until = next < deadline ? next : deadline;
	e->sleeps++;
	if (!*dozed) {
		*dozed = true;
		if (doze(e, hint, until))
			return engine_settle(e);
	}
	if (e->detached != NULL)
		conn_attach(e->detached);
	e->streak = 0;
	return engine_round(e, until);
}

/* The conn that was looked at had what was waited for. If that goes on, it needs not be in the set: its peer
 * then sends a tenth faster (measured: 2.0 against 2.3 us a way). */
static void needless(struct engine *e)
{
	if (e->hot != NULL && e->detached == NULL && ++e->streak >= STREAK)
		conn_detach(e->hot);
}

int engine_wait(struct engine *e, bool (*done)(void *arg), void *arg, uint64_t deadline, struct conn *hint)
{
	bool more = engine_settle(e);
	if (done(arg))
		return 0;
	uint64_t now = clock_now(), spin_until = now + e->spin_budget;
	bool spun = false, dozed = false;
	for (unsigned i = 1;; i++) {
		int rc = 0;
		if (atomic_load_explicit(&e->interrupted, memory_order_relaxed)) {
			atomic_store(&e->interrupted, false);
			return reason(-EINTR, "interrupted by haul_interrupt()");
		}
		if (now >= deadline)
			return reason(-ETIMEDOUT, "the time was up");
		if (more || now < spin_until) {
			bool heard = look(e, hint);
			spun = spun || !more;
			if (heard && done(arg) && TAILQ_EMPTY(&e->kicked))
				break;
			if (i % (more ? BUSY_EVERY : ROUND_EVERY) == 0)
				rc = engine_round(e, 0);
			else if (heard || more)
				rc = engine_settle(e);
		} else {
			if (spun)
				spin_missed(e);
			spun = false;
			rc = sleep_once(e, hint, deadline, &dozed);
		}
		if (rc < 0)
			return rc;
		more = rc > 0;
		if (done(arg))
			break;
		if (!spun || more || i % CLOCK_EVERY == 0)
			now = clock_now();
	}
	if (spun)
		spin_paid(e);
	needless(e);
	return 0;
}
