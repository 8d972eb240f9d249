/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of the collectives' algorithms run with: groups of every kind of size, all ways, lengths around a switch. */
#ifndef HAUL_TESTS_UNIT_WAYS_H
#define HAUL_TESTS_UNIT_WAYS_H

#include "group/algorithms.h"
#include "lib/must.h"
#include "lib/seed.h"
#include "unit/play.h"

enum { SWITCH = 16, WAYS = 3, CROWDS = 2 };

static const int sizes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, MEMBERS_MOST };
static const size_t lens[] = { 0, 1, 3, SWITCH - 1, SWITCH, SWITCH + 1, 100 };

enum { SIZES = sizeof(sizes) / sizeof(sizes[0]), LENS = sizeof(lens) / sizeof(lens[0]) };

/* The short ways, the long ways, and by length; with any number of readers, and in a crowd of owners of any number. */
static inline struct tuning way(int i, bool crowd)
{
	size_t large = i == 0 ? SIZE_MAX : i == 1 ? 0 : SWITCH;
	return (struct tuning){
		.bcast_large = large,
		.gather_large = large,
		.allgather_large = large,
		.alltoall_large = large,
		.reduce_large = large,
		.allreduce_large = large,
		.readers = 1 + random_below(5),
		.crowd = crowd ? 0 : SIZE_MAX,
		.block = random_below(4) * SWITCH,
	};
}

static inline bool is_crowd(const struct tuning *t)
{
	return t->crowd == 0;
}

/* Long ways keep to the number of readers, but in a crowd. */
static inline void play_begin(struct play *p, int size, const struct tuning *t)
{
	play_init(p, size);
	p->readers = t->bcast_large == 0 && !is_crowd(t) ? (int)t->readers : 0;
}

#endif
