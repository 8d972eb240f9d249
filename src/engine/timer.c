/* SPDX-License-Identifier: BSD-3-Clause */
/* Timers in a red-black tree, by time. See timer.h. */
#include "engine/timer.h"

#include <stddef.h>

#include "os/clock.h"

/* By time, and by address among equals: any order will do, but it must be one. */
static int compare(const struct timer *a, const struct timer *b)
{
	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return a == b ? 0 : (uintptr_t)a < (uintptr_t)b ? -1 : 1;
}

RB_GENERATE_INTERNAL(timer_tree, timer, node, compare, __attribute__((unused)) static)

void timers_init(struct timers *ts)
{
	RB_INIT(&ts->tree);
}

void timer_stop(struct timers *ts, struct timer *t)
{
	if (t->set)
		RB_REMOVE(timer_tree, &ts->tree, t);
	t->set = false;
}

void timer_set(struct timers *ts, struct timer *t, uint64_t at, void (*fire)(struct timer *t))
{
	timer_stop(ts, t);
	if (at == CLOCK_NEVER)
		return;
	t->at = at;
	t->fire = fire;
	t->set = true;
	RB_INSERT(timer_tree, &ts->tree, t);
}

uint64_t timers_next(struct timers *ts)
{
	struct timer *t = RB_MIN(timer_tree, &ts->tree);
	return t != NULL ? t->at : CLOCK_NEVER;
}

void timers_run(struct timers *ts, uint64_t now)
{
	for (struct timer *t; (t = RB_MIN(timer_tree, &ts->tree)) != NULL && t->at <= now;) {
		timer_stop(ts, t);
		t->fire(t);
	}
}
