/* SPDX-License-Identifier: BSD-3-Clause */
/* The fair lock: two mutexes in turn. See lock.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_cond_clockwait */
#endif
#include "os/lock.h"

#include <time.h>

#include "os/clock.h"

void lock_init(struct lock *l)
{
	pthread_mutex_init(&l->held, NULL);
	pthread_mutex_init(&l->next, NULL);
	atomic_init(&l->wanted, 0);
	l->alone = false;
}

/* Whoever waits for .held has .next, so a thread that gives .held up can't take it again before. */
static void take_in_turn(struct lock *l)
{
	atomic_fetch_add(&l->wanted, 1);
	pthread_mutex_lock(&l->next);
	pthread_mutex_lock(&l->held);
	pthread_mutex_unlock(&l->next);
	atomic_fetch_sub(&l->wanted, 1);
}

void lock_take_shared(struct lock *l)
{
	if (lock_wanted(l) || pthread_mutex_trylock(&l->held) != 0)
		take_in_turn(l);
}

void lock_let(struct lock *l)
{
	lock_give(l);
	if (lock_wanted(l))
		take_in_turn(l);
	else
		lock_take(l);
}

void lock_sleep(struct lock *l, pthread_cond_t *cond, uint64_t until)
{
	if (l->alone) { /* nobody to be woken by, but the clock */
		pthread_mutex_lock(&l->held);
		l->alone = false;
	}
	if (until == CLOCK_NEVER) {
		pthread_cond_wait(cond, &l->held);
		return;
	}
	struct timespec t = { .tv_sec = (time_t)(until / 1000000000u),
		.tv_nsec = (long)(until % 1000000000u) };
	pthread_cond_clockwait(cond, &l->held, CLOCK_MONOTONIC, &t);
}

bool lock_try(struct lock *l)
{
	if (l->alone || (!lock_needless() && pthread_mutex_trylock(&l->held) != 0))
		return false;
	l->alone = lock_needless();
	return true;
}

bool lock_was_free(struct lock *l)
{
	if (l->alone || pthread_mutex_trylock(&l->held) != 0)
		return false;
	pthread_mutex_unlock(&l->held);
	return true;
}
