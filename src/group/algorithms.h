/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The collectives' algorithms: each writes down the steps of one member, whose rank and the number of members are
 * in the schedule. Arguments were checked by their callers (moves.c, reductions.c), HAUL_IN_PLACE included, and
 * zero lengths are allowed. Which of several algorithms is taken depends on what all members know alike: their
 * number, lengths, the operator, the tuning. Pure.
 *
 * Files: barrier.c, bcast.c, gather.c (gather, scatter), allgather.c, alltoall.c, reduce.c (reduce, reduce_scatter),
 * allreduce.c, scan.c; what they share is in parts.h.
 */
#ifndef HAUL_GROUP_ALGORITHMS_H
#define HAUL_GROUP_ALGORITHMS_H

#include "group/schedule.h"

/* From which length in bytes on (of a block, or of a whole vector) something else pays. 0: always the latter. */
struct tuning {
	size_t bcast_large;     /* of the message */
	size_t gather_large;    /* of a block: straight to the root rather than by a tree */
	size_t allgather_large; /* of a block */
	size_t alltoall_large;  /* of a block */
	size_t reduce_large;    /* of the vector */
	size_t allreduce_large; /* of the vector */
	size_t readers;         /* that may read from one member at a time */
	size_t crowd; /* so many members take turns on the CPUs: what counts is how few messages there are */
	size_t block; /* in a crowd: who reduces a block of a vector reduces no less */
};

extern const struct tuning tuning_default;
/* Changes it as a list says: "bcast=64K,reduce=never,readers=2", the names those above without _large. 0, or
 * -EINVAL with a reason. */
int tuning_read(struct tuning *t, const char *list);
/* For so many members on so many CPUs, and what a list says otherwise. As tuning_read(). */
int tuning_for(struct tuning *t, int size, int cpus, const char *list);
/* Differs where they do, as good as always. */
uint64_t tuning_mark(const struct tuning *t);

/* Where the block of each member lies in a buffer. */
struct blocks {
	const size_t *lens, *offsets; /* NULL: each has len bytes, one behind the other */
	size_t len;
};

static inline size_t block_len(const struct blocks *b, int rank)
{
	return b->lens != NULL ? b->lens[rank] : b->len;
}

static inline size_t block_offset(const struct blocks *b, int rank)
{
	return b->offsets != NULL ? b->offsets[rank] : (size_t)rank * b->len;
}

/* Whether so many take turns. */
static inline bool tuning_is_crowd(const struct tuning *t, int size)
{
	return (size_t)size >= t->crowd;
}

void barrier_schedule(struct schedule *s, const struct tuning *t);
void bcast_schedule(struct schedule *s, const struct tuning *t, int root, void *buf, size_t len);
/* Blocks that differ (lens not NULL) only the root knows: b is NULL at the others, and the choice can't depend
 * on them. */
void gather_schedule(struct schedule *s, const struct tuning *t, int root, const void *from, size_t len,
    void *into, const struct blocks *b);
void scatter_schedule(struct schedule *s, const struct tuning *t, int root, const void *from,
    const struct blocks *b, void *into, size_t len);
void allgather_schedule(struct schedule *s, const struct tuning *t, const void *from, void *into,
    const struct blocks *b);
/* In place, from_blocks is not looked at. */
void alltoall_schedule(struct schedule *s, const struct tuning *t, const void *from,
    const struct blocks *from_blocks, void *into, const struct blocks *into_blocks);
/* The operator is in the schedule. */
void reduce_schedule(struct schedule *s, const struct tuning *t, int root, const void *from, void *into,
    size_t count);
void reduce_scatter_schedule(struct schedule *s, const struct tuning *t, const void *from, void *into,
    const size_t *counts);
void allreduce_schedule(struct schedule *s, const struct tuning *t, const void *from, void *into,
    size_t count);
void scan_schedule(struct schedule *s, const void *from, void *into, size_t count, bool exclusive);

#endif
