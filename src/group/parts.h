/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the algorithms have in common: a tree of ranges of ranks, vectors cut into blocks, and those stretches that
 * several of them consist of. A stretch goes on in the round that has begun, so between two there has to be a new
 * one. Pure.
 */
#ifndef HAUL_GROUP_PARTS_H
#define HAUL_GROUP_PARTS_H

#include <stdint.h>

#include "group/algorithms.h"

/*
 * A range of ranks is split where its lower half is a power of two. It belongs to the root if that is in it, else
 * to its first member; whoever owns it deals with the owner of the other half.
 *
 *     of 6, root 0:  0 --+-- 4 -- 5        of 6, root 3:  3 --+-- 4 -- 5
 *                        +-- 2 -- 3                           +-- 0 -- 1
 *                        +-- 1                                +-- 2
 *
 * So each member stands for a range without gaps, and which ranges are joined does not depend on the root.
 */
struct tree {
	int parent;     /* -1: the root has none */
	int begin, end; /* whom this member stands for: itself and all below it; end is not one */
	int count;
	struct branch {
		int rank; /* who stands for it */
		int begin, end;
	} branches[31]; /* from the widest split to the narrowest, as many as an int can need */
};

void tree_init(struct tree *t, int rank, int size, int root);

/* How many messages a member sends in one round of a long way: at least 1, and no more than there are others. */
int tuning_readers(const struct tuning *t, int size);
/* The same where each takes memory. */
int tuning_slots(const struct tuning *t, int size);

/* Cuts a vector into a block for each member: of counts[i] elements, or as even as can be. Without memory all
 * blocks have length 0. The arrays are the schedule's. */
void blocks_by_counts(struct schedule *s, struct blocks *b, const size_t *counts);
void blocks_evenly(struct schedule *s, struct blocks *b, size_t count, size_t element);

/* A vector that is reduced, in a block for each member; and who reduces them: each its own, in a crowd a few, of the
 * lowest ranks, those of their neighbours too. In which order does not depend on it. */
struct shares {
	struct blocks blocks, owned;
	int owners;
};

/* Who reduces the block of member i. */
static inline int share_owner(const struct schedule *s, const struct shares *shares, int i)
{
	return (int)((int64_t)i * shares->owners / s->size);
}

void shares_init(struct schedule *s, const struct tuning *t, struct shares *shares, size_t count);

/*
 * What all members have for one of them, in the order of ranks; but the last is where the result is to be, as results land
 * in the right operand. All may be written to.
 */
struct operands {
	unsigned char *slots, *result;
	size_t len; /* of each */
};

/* In this round they come; own is what this member has, and may be where the result is to be. */
void operands_take(struct schedule *s, struct operands *o, const void *own, void *result, size_t len);

static inline unsigned char *operand_of(const struct schedule *s, const struct operands *o, int rank)
{
	return rank == s->size - 1 ? o->result : o->slots + (size_t)rank * o->len;
}

/* From each straight to the root; from may be HAUL_IN_PLACE there. b and into are looked at by the root only. */
void gather_straight(struct schedule *s, int root, const void *from, size_t len, void *into,
    const struct blocks *b);

/* From the root straight to each. */
void bcast_straight(struct schedule *s, int root, void *buf, size_t len);

/* From the root's buffer straight to each, a few at a time. into may be HAUL_IN_PLACE at the root. */
void scatter_straight(struct schedule *s, const struct tuning *t, int root, const void *from,
    const struct blocks *b, void *into, size_t len);

/* Each member's own block straight to where everybody else has it in buf, a few at a time; but `full` has all of them
 * (-1: nobody). */
void allgather_straight(struct schedule *s, const struct tuning *t, const void *own, void *buf,
    const struct blocks *b, int full);

/* What everybody has for what this member owns, reduced into `result`; operands stay in the order of ranks. The
 * result may lie where the member's own operand is, but touch no other. Ends in a round that has no messages yet. */
void reduce_shares(struct schedule *s, const struct tuning *t, const void *from, const struct shares *shares,
    void *result);

#endif
