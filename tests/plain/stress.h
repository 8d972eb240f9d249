/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The randomised run: what its parts share. Nodes (processes, each with a context, all connected with all) send
 * and receive at random; what each does it writes down in memory that all share, and a judge compares.
 *
 *     stress.c            the command line
 *     stress_herd.c       the nodes as processes: starts, watches, stops and kills them
 *     stress_node.c       a process: its context, its peers, its threads, its end
 *     stress_lane.c       a thread's program: what to do next, and the way out
 *     stress_messages.c   a send and a receive: chosen, written down, and checked at their end
 *     stress_jobs.c       requests under way
 *     stress_calls.c      calls that start them, or begin and end an operation in one go
 *     stress_batch.c      haul_submit()
 *     stress_progress.c   calls that make progress, wait, or look
 *     stress_taken.c      messages taken and read in parts
 *     stress_arena.c      buffers between guard pages, whose use out of turn shows
 *     stress_plan.c       what each message is: tag, length and bytes, from the seed alone
 *     stress_ledger.c     what was sent and what received, and what each receive wanted
 *     stress_judge.c      whether both agree, and whether the matching was right
 *
 * A lane is a space of tags: the lanes of a node are its threads, and each receives only what lanes of the same
 * number sent. So each lane knows the order in which its own receives were posted, and the matching can be judged
 * exactly although threads share the context.
 */
#ifndef HAUL_TESTS_PLAIN_STRESS_H
#define HAUL_TESTS_PLAIN_STRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NODES_MOST = 9, LANES_MOST = 8 };

struct config {
	const char *path; /* its name */
	int haul_path;    /* as in struct haul_options */
	int64_t eager_max;
	bool outbox; /* frames are left in their senders' memory, and are lost with those that are killed */
	bool push;   /* every second node can't read, and is written to instead */
	uint64_t seed;
	uint64_t ops; /* of all together */
	unsigned nodes, lanes;
	bool kill, stop, self;
	bool large;     /* more long messages, of many pieces, that are soon given up */
	int patience_s; /* without any progress for so long, it hangs */
};

/* The seed's randomness: each lane has a stream of its own. */
static inline uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static inline uint64_t random_next(uint64_t *state)
{
	return mix(*state += UINT64_C(0x9e3779b97f4a7c15));
}

static inline size_t random_below(uint64_t *state, size_t bound)
{
	return (size_t)(random_next(state) >> 16) % bound;
}

static inline bool one_in(uint64_t *state, size_t n)
{
	return random_below(state, n) == 0;
}

/* Says what is wrong, with the place, and ends the process. */
void fail(const char *words, ...) __attribute__((format(printf, 1, 2), noreturn));
/* What this thread is at, for fail(); and for the watchdog, where it was last seen. */
void at(unsigned node, unsigned lane);
void doing(const char *what);

#endif
