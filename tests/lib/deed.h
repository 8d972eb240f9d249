/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deeds: a deed is a call of some collective with all that belongs to it, made of nothing but its number, so that
 * every member makes the same, and knows what the others give, and with it what it has to get. Whole buffers are
 * compared, gaps and what lies behind them included.
 */
#ifndef HAUL_TESTS_LIB_DEED_H
#define HAUL_TESTS_LIB_DEED_H

#include <haul/group.h>
#include <stdbool.h>
#include <stdint.h>

/* From GATHER to ALLTOALL there are forms in which lengths vary; from REDUCE on they reduce. */
enum deed_kind {
	DEED_BARRIER,
	DEED_BCAST,
	DEED_GATHER,
	DEED_SCATTER,
	DEED_ALLGATHER,
	DEED_ALLTOALL,
	DEED_REDUCE,
	DEED_ALLREDUCE,
	DEED_REDUCE_SCATTER,
	DEED_SCAN,
	DEED_EXSCAN,
	DEED_KINDS
};

struct deed;

struct deed *deed_new(uint64_t id, struct haul_group *g);
/* Of one kind; all else is made of the number. */
struct deed *deed_new_of(enum deed_kind kind, uint64_t id, struct haul_group *g);
/* Does it, as a blocking call or as a request, which must be had, or need not be. */
int deed_do(struct deed *d, int timeout_ms);
struct haul_req *deed_begin(struct deed *d);
int deed_try(struct deed *d, struct haul_req **r);
/* Which of the two it would like, the same at each member. */
bool deed_waits(const struct deed *d);
/* It went well: its result is checked. Or it failed: then only what may not be touched. Frees it. */
void deed_end(struct deed *d);
void deed_drop(struct deed *d);

/* Chance, made of a number. */
uint64_t deed_mix(uint64_t x);

#endif
