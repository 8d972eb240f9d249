/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A lock that is passed on fairly: whoever holds it long, spinning say, can see that others want it, and
 * lets one in. A plain mutex would mostly be won back by the thread that has just given it up.
 */
#ifndef HAUL_OS_LOCK_H
#define HAUL_OS_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lock {
	pthread_mutex_t held;
	pthread_mutex_t next; /* held by the one thread that waits for .held; the others wait for this */
	atomic_uint wanted;   /* threads that wait */
};

void lock_init(struct lock *l);

void lock_take(struct lock *l);
void lock_give(struct lock *l);

static inline bool lock_wanted(const struct lock *l)
{
	return atomic_load_explicit(&l->wanted, memory_order_relaxed) > 0;
}

/* Gives it to a thread that waits, and takes it again after that one. */
void lock_let(struct lock *l);

/* Gives it up until the condition is signalled or the clock (os/clock.h) reaches `until`; now and then for
 * no reason. */
void lock_sleep(struct lock *l, pthread_cond_t *cond, uint64_t until);

/* For a child made by fork: whether its copy of the lock was free, so that what it guards is whole. */
bool lock_was_free(struct lock *l);

/* Whether this process has never had a second thread, as far as we can tell. */
bool lock_needless(void);

#endif
