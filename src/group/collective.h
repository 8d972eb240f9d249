/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the public collectives (moves.c, reductions.c, split.c) have in common: in, checks, the schedule written, out.
 *
 *     collective_enter --> checks --> collective_begin --> *_schedule --> collective_go
 *
 * Whoever finds something wrong before collective_begin() has taken no part: collective_refuse().
 */
#ifndef HAUL_GROUP_COLLECTIVE_H
#define HAUL_GROUP_COLLECTIVE_H

#include "group/runner.h"

enum collective {
	COLLECTIVE_BARRIER = 1,
	COLLECTIVE_BCAST,
	COLLECTIVE_GATHER,
	COLLECTIVE_SCATTER,
	COLLECTIVE_ALLGATHER,
	COLLECTIVE_ALLTOALL,
	COLLECTIVE_REDUCE,
	COLLECTIVE_REDUCE_SCATTER,
	COLLECTIVE_ALLREDUCE,
	COLLECTIVE_SCAN,
	COLLECTIVE_EXSCAN,
	COLLECTIVE_SPLIT,
};

/* How it was called: waiting, or for a request. */
struct call {
	bool waits;
	int timeout_ms;
	struct haul_req **out;
};

static inline struct call call_waiting(int timeout_ms)
{
	return (struct call){ .waits = true, .timeout_ms = timeout_ms };
}

static inline struct call call_request(struct haul_req **out)
{
	return (struct call){ .out = out };
}

/* Takes the lock if it is 0. */
int collective_enter(struct haul_group *g, const struct call *c);
int collective_refuse(struct haul_group *g, int rc);
/* Of what must be the same at every member: NULL without memory, and then it is to be refused with -ENOMEM. */
struct run *collective_begin(struct haul_group *g, enum collective what, uint64_t a, uint64_t b);
/* Starts it, waits if that was asked for, and gives the lock up. */
int collective_go(struct run *run, const struct call *c);
/* The same for who goes on when it is over: waits until then (os/clock.h), with the lock held on return. */
int collective_run(struct run *run, uint64_t until);

#endif
