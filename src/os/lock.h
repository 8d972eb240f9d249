/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A lock that is passed on fairly: whoever holds it long, spinning say, can see that others want it, and
 * lets one in. A plain mutex would mostly be won back by the thread that has just given it up.
 *
 * A process with one thread only makes a note (`alone`) instead: two atomic operations for each call would show in
 * the time of a small message. A second thread can't come to be while the first is between take and give, since
 * nobody else's code runs there.
 */
#ifndef HAUL_OS_LOCK_H
#define HAUL_OS_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#else
#define __libc_single_threaded 0 /* glibc before 2.32, other libraries: nobody to ask */
#endif

struct lock {
	pthread_mutex_t held;
	pthread_mutex_t next; /* held by the one thread that waits for .held; the others wait for this */
	atomic_uint wanted;   /* threads that wait */
	bool alone;           /* it was taken without a mutex */
};

void lock_init(struct lock *l);

/* Whether this process has no second thread; where nobody can tell, it counts as having one. */
static inline bool lock_needless(void)
{
	return __libc_single_threaded != 0;
}

void lock_take_shared(struct lock *l);

static inline void lock_take(struct lock *l)
{
	if (lock_needless())
		l->alone = true;
	else
		lock_take_shared(l);
}

static inline void lock_give(struct lock *l)
{
	if (l->alone)
		l->alone = false;
	else
		pthread_mutex_unlock(&l->held);
}

/* Takes it if it is free; false: somebody has it, perhaps this thread. */
bool lock_try(struct lock *l);

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
#endif
