/* SPDX-License-Identifier: BSD-3-Clause */
/* Timers: points in time at which somebody is called. Embedded in their owners; pure but for the clock
 * value that the caller passes. */
#ifndef HAUL_ENGINE_TIMER_H
#define HAUL_ENGINE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/tree.h>

struct timer {
	RB_ENTRY(timer) node;
	uint64_t at; /* os/clock.h */
	void (*fire)(struct timer *t);
	bool set;
};

RB_HEAD(timer_tree, timer);

struct timers {
	struct timer_tree tree;
};

void timers_init(struct timers *ts);

/* Sets it, or sets it anew. CLOCK_NEVER stops it. */
void timer_set(struct timers *ts, struct timer *t, uint64_t at, void (*fire)(struct timer *t));
void timer_stop(struct timers *ts, struct timer *t);

/* When the next one is due; CLOCK_NEVER if none is set. */
uint64_t timers_next(struct timers *ts);

/* Fires all that are due, in order; each is stopped before it is called. */
void timers_run(struct timers *ts, uint64_t now);

#endif
