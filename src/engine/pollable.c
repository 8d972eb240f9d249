/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The descriptor for foreign event loops: a set that contains the engine's own set, a timer for the earliest
 * deadline, and a bell for everything that no descriptor shows: work or words left over, and news that
 * somebody else has taken off its descriptor.
 *
 *     haul_progress, look, haul_arm: 0, sleep       news from the first on is refused at the arming;
 *                                                   later, it rings
 *
 * The bell is apart from the engine's eventfd, because blocked calls empty that one. It belongs to the thread
 * that arms: what other threads' haul_progress() does is news to it, too; also before it has armed for the first
 * time, when nobody can know whose the bell will be.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "os/clock.h"
#include "os/poll.h"
#include "os/reason.h"
#include "os/sock.h"

int pollable_open(struct engine *e)
{
	struct pollable *p = &e->pollable;
	if (p->set >= 0)
		return p->set;
	int rc, set = poll_open(), timer = alarm_open(), bell = wake_open();
	if ((rc = set) < 0 || (rc = timer) < 0 || (rc = bell) < 0)
		goto err_close;
	if ((rc = poll_add(set, e->set, EPOLLIN, 0)) != 0 || (rc = poll_add(set, timer, EPOLLIN, 0)) != 0 ||
	    (rc = poll_add(set, bell, EPOLLIN, 0)) != 0)
		goto err_close;
	*p = (struct pollable){ .set = set, .timer = timer, .bell = bell, .timer_at = CLOCK_NEVER };
	pollable_ring(e); /* for what was there before */
	return set;

err_close:
	sock_close(set);
	sock_close(timer);
	sock_close(bell);
	return reason(rc, "no descriptor to wait for: %s", strerror(-rc));
}

void pollable_fini(struct engine *e)
{
	struct pollable *p = &e->pollable;
	if (p->set < 0)
		return;
	close(p->set);
	close(p->timer);
	close(p->bell);
	p->set = -1;
}

void pollable_ring(struct engine *e)
{
	struct pollable *p = &e->pollable;
	if (p->set < 0 || p->ringing || engine_stale(e)) /* in a forked child it is the parent's bell */
		return;
	p->ringing = true;
	wake_set(p->bell);
}

static bool is_owners(const struct pollable *p)
{
	return !p->owned || pthread_equal(p->owner, pthread_self());
}

static void hush(struct pollable *p)
{
	if (p->ringing)
		wake_clear(p->bell);
	p->ringing = false;
	p->armed = false;
}

void pollable_begin(struct engine *e)
{
	if (e->pollable.set >= 0 && is_owners(&e->pollable))
		hush(&e->pollable);
}

void pollable_end(struct engine *e, bool more)
{
	struct pollable *p = &e->pollable;
	if (p->set < 0)
		return;
	if (is_owners(p)) {
		p->seen = e->news;
		p->looked = true;
		p->looker = pthread_self();
	}
	if (more)
		pollable_ring(e);
}

void pollable_refresh(struct engine *e)
{
	struct pollable *p = &e->pollable;
	engine_attach(e);
	if (p->armed && polls_stop(e)) /* what that was is news */
		pollable_ring(e);
	uint64_t next = timers_next(&e->timers);
	if (next != p->timer_at)
		alarm_set(p->timer, p->timer_at = next);
	if (e->due || !TAILQ_EMPTY(&e->kicked))
		pollable_ring(e);
}

int pollable_arm(struct engine *e)
{
	struct pollable *p = &e->pollable;
	p->owned = true;
	p->owner = pthread_self();
	engine_pump_all(e); /* what was to leave with the next progress would otherwise keep us awake */
	if (polls_stop(e) || !p->looked || !pthread_equal(p->looker, p->owner) || p->seen != e->news ||
	    e->due || !TAILQ_EMPTY(&e->kicked))
		return reason(-EAGAIN, "something has happened since the last haul_progress()");
	hush(p);
	p->armed = true;
	return 0;
}
