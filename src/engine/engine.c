/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One round of the engine: descriptors and outboxes, then timers, then other work, then pumps: what all of these have
 * to say goes out together at the end. See engine.h.
 */
#include "engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/poll.h"
#include "os/proc.h"
#include "os/reason.h"

enum { EVENTS = 64, SPIN_DEFAULT_US = 50, YIELDS = 4 };

static void woken(struct source *s, uint32_t events)
{
	(void)events;
	wake_clear(s->fd);
}

int engine_init(struct engine *e, const struct engine_ops *ops, int spin_us)
{
	memset(e, 0, sizeof(*e));
	lock_init(&e->lock);
	pthread_cond_init(&e->left, NULL);
	e->ops = ops;
	e->pollable.set = -1;
	TAILQ_INIT(&e->kicked);
	TAILQ_INIT(&e->polled);
	TAILQ_INIT(&e->waits);
	timers_init(&e->timers);
	e->adaptive = spin_us == 0;
	if (spin_us > 0)
		e->spin_limit = (uint64_t)spin_us * NS_PER_US;
	else if (spin_us == 0 && proc_cpus() > 1)
		e->spin_limit = SPIN_DEFAULT_US * NS_PER_US;
	e->spin_budget = e->spin_limit;

	int rc = link_shared_init(&e->shared);
	if (rc != 0)
		return reason(rc, "no memory for a context");
	if ((e->birth = words_birth()) == 0) {
		rc = reason(-ENOMEM, "no memory for a context");
		goto err_shared;
	}
	if ((e->set = poll_open()) < 0) {
		rc = reason(e->set, "epoll_create1: %s", strerror(-e->set));
		goto err_shared;
	}
	if ((e->wake = wake_open()) < 0) {
		rc = reason(e->wake, "eventfd: %s", strerror(-e->wake));
		goto err_set;
	}
	e->wake_source.ready = woken;
	if ((rc = source_add(e, &e->wake_source, e->wake, EPOLLIN)) != 0)
		goto err_wake;
	return 0;

err_wake:
	close(e->wake);
err_set:
	close(e->set);
err_shared:
	link_shared_fini(&e->shared);
	free(e->slots);
	return rc;
}

void engine_spin(struct engine *e, bool may)
{
	e->spin_limit = may ? SPIN_DEFAULT_US * NS_PER_US : 0;
	e->spin_budget = e->spin_limit;
	e->adaptive = false;
	e->yields = may ? 0 : YIELDS;
}

void engine_close_fds(struct engine *e)
{
	pollable_fini(e);
	close(e->wake);
	close(e->set);
}

void engine_fini(struct engine *e)
{
	engine_close_fds(e);
	link_shared_fini(&e->shared);
	free(e->slots);
}

/* Without the lock, and perhaps while another thread closes the context: so it looks at nothing that goes with it. */
bool engine_stale(const struct engine *e)
{
	return !words_born(e->birth);
}

void engine_interrupt(struct engine *e)
{
	atomic_store(&e->interrupted, true);
	wake_set(e->wake);
}

/* Whoever is kicked while we pump (by a callback's doing) gets its turn in the next round. */
void engine_pump_all(struct engine *e)
{
	struct conn_list now;
	TAILQ_INIT(&now);
	TAILQ_CONCAT(&now, &e->kicked, kick);
	for (struct conn *c; (c = TAILQ_FIRST(&now)) != NULL;) {
		TAILQ_REMOVE(&now, c, kick);
		c->kicked = false;
		conn_pump(c);
	}
}

bool engine_settle(struct engine *e)
{
	if (timers_next(&e->timers) != CLOCK_NEVER)
		timers_run(&e->timers, clock_now());
	e->due = e->ops->work(e);
	engine_pump_all(e);
	return e->due || !TAILQ_EMPTY(&e->kicked);
}

/* Waits outside the lock, if it waits. What an event names may have gone by then: the slot's use tells. */
static int wait_in_set(struct engine *e, struct epoll_event *events, uint64_t until)
{
	if (until == 0)
		return poll_wait(e->set, events, EVENTS, 0);
	e->asleep = true;
	e->asleep_until = until;
	lock_give(&e->lock);
	int n = poll_wait(e->set, events, EVENTS, until);
	lock_take(&e->lock);
	e->asleep = false;
	return n;
}

int engine_round(struct engine *e, uint64_t until)
{
	struct epoll_event events[EVENTS];
	if (until > 0 && polls_stop(e))
		until = 0;
	int n = wait_in_set(e, events, until);
	if (n < 0)
		return reason(n, "epoll_wait: %s", strerror(-n));
	for (int i = 0; i < n; i++) {
		uint32_t slot = (uint32_t)events[i].data.u64, use = (uint32_t)(events[i].data.u64 >> 32);
		if (slot < e->slot_count && e->slots[slot].use == use && e->slots[slot].source != NULL)
			e->slots[slot].source->ready(e->slots[slot].source, events[i].events);
	}
	bool more = polls_round(e);
	return engine_settle(e) || more;
}

void engine_attach(struct engine *e)
{
	if (e->detached != NULL)
		conn_attach(e->detached);
}

int engine_progress(struct engine *e)
{
	engine_attach(e);
	return engine_round(e, 0);
}
