/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reduce and reduce_scatter. Short vectors go up a tree, and are joined on the way in the same manner whatever the
 * root. Of long ones everybody reduces a block; for reduce the root gathers them.
 */
#include "group/parts.h"

/*
 * The root may be above members of lower ranks than its own: then its own part is the right operand, and what is so
 * far is written to. Others have the lowest rank of all that they stand for.
 */
static void root_joins(struct schedule *s, const struct tree *t, unsigned char *const parts[], void *into,
    size_t count)
{
	unsigned char *sofar = into;
	for (int i = t->count - 1; i >= 0; i--) {
		if (s->op.ordered && t->branches[i].begin > s->rank) {
			schedule_reduce(s, sofar, parts[i], count);
			sofar = parts[i];
		} else {
			schedule_reduce(s, parts[i], sofar, count);
		}
	}
	schedule_copy(s, into, sofar, count * s->op.size);
}

static void by_tree(struct schedule *s, int root, const void *from, void *into, size_t count)
{
	struct tree t;
	unsigned char *parts[sizeof(t.branches) / sizeof(t.branches[0])];
	size_t len = count * s->op.size;
	tree_init(&t, s->rank, s->size, root);
	if (s->rank == root && from != HAUL_IN_PLACE)
		schedule_copy(s, into, from, len);
	for (int i = t.count - 1; i >= 0; i--) {
		parts[i] = schedule_scratch(s, len);
		schedule_recv(s, t.branches[i].rank, parts[i], len);
	}
	schedule_round(s);
	if (s->rank == root) {
		root_joins(s, &t, parts, into, count);
		return;
	}
	for (int i = t.count - 1; i >= 0; i--) {
		schedule_reduce(s, from, parts[i], count);
		from = parts[i];
	}
	schedule_send(s, t.parent, from, len);
}

/* ---- in blocks ---- */

struct fold {
	const void *sofar;    /* what was reduced, */
	int done;             /* up to rank + done */
	unsigned char *slots; /* for what comes at a time, and one more, where what is so far lies */
	int count;
	size_t len; /* of each */
	void *result;
};

static bool is_of_rank(const struct schedule *s, int i, int rank)
{
	return (s->rank + i) % s->size == rank;
}

/* Where the part of rank + i comes: that of the last rank where the result is to be, as results land in the right. */
static void *place(const struct fold *f, const struct schedule *s, int i)
{
	return is_of_rank(s, i, s->size - 1) ? f->result : f->slots + (size_t)(i % f->count) * f->len;
}

/* The parts that came for this member come in the order rank, rank + 1, ..., size - 1, and 0, 1, ..., rank - 1.
 * So they are two chains, each in order; the first ends in the result. */
static void fold_up_to(struct fold *f, struct schedule *s, int end)
{
	for (; f->done < end; f->done++) {
		void *next = place(f, s, f->done + 1);
		if (!is_of_rank(s, f->done + 1, 0))
			schedule_reduce(s, f->sofar, next, f->len / s->op.size);
		f->sofar = next;
	}
}

static void fold_begin(struct fold *f, struct schedule *s, const void *own)
{
	if (s->rank == s->size - 1) {
		schedule_copy(s, f->result, own, f->len);
		f->sofar = f->result;
		return;
	}
	f->sofar = own;
	if (own == f->result) {
		void *copy = schedule_scratch(s, f->len);
		schedule_copy(s, copy, own, f->len);
		f->sofar = copy;
	}
}

static void reduce_blocks(struct schedule *s, const struct tuning *t, const void *from,
    const struct blocks *b, void *result)
{
	const unsigned char *bytes = from;
	int readers = tuning_slots(t, s->size);
	struct fold f = { .count = readers + 1, .len = block_len(b, s->rank), .result = result };
	f.slots = schedule_scratch(s, (size_t)f.count * f.len);
	if (s->error != 0)
		return;
	fold_begin(&f, s, bytes + block_offset(b, s->rank));
	for (int i = 1; i < s->size; i++) {
		int to = (s->rank - i + s->size) % s->size;
		if (i > 1 && (i - 1) % readers == 0) {
			schedule_round(s);
			fold_up_to(&f, s, i - 1);
		}
		schedule_send(s, to, bytes + block_offset(b, to), block_len(b, to));
		schedule_recv(s, (s->rank + i) % s->size, place(&f, s, i), f.len);
	}
	schedule_round(s);
	fold_up_to(&f, s, s->size - 1);
	if (s->rank > 0)
		schedule_reduce(s, f.sofar, result, f.len / s->op.size);
}

/* ---- by few ---- */

/* As fold_up_to() joins it at the member to which it would belong otherwise. */
static void join(struct schedule *s, const struct operands *o, int whose, size_t offset, size_t count)
{
	const unsigned char *sofar = operand_of(s, o, whose) + offset;
	for (int i = 1; i < s->size; i++) {
		int rank = (whose + i) % s->size;
		unsigned char *next = operand_of(s, o, rank) + offset;
		if (rank != 0)
			schedule_reduce(s, sofar, next, count);
		sofar = next;
	}
	if (whose > 0)
		schedule_reduce(s, sofar, o->result + offset, count);
}

static void join_all(struct schedule *s, const struct operands *o, const struct shares *shares)
{
	size_t offset = 0;
	for (int i = 0; i < s->size; i++) {
		size_t len = block_len(&shares->blocks, i);
		if (share_owner(s, shares, i) != s->rank)
			continue;
		join(s, o, i, offset, len / s->op.size);
		offset += len;
	}
}

static void reduce_by_few(struct schedule *s, const unsigned char *from, const struct shares *shares,
    void *result)
{
	const struct blocks *b = &shares->owned;
	struct operands o = { 0 };
	bool owner = s->rank < shares->owners;
	if (owner)
		operands_take(s, &o, from + block_offset(b, s->rank), result, block_len(b, s->rank));
	for (int i = 1; i < s->size; i++) {
		int to = (s->rank - i + s->size) % s->size;
		schedule_send(s, to, from + block_offset(b, to), block_len(b, to));
	}
	schedule_round(s);
	if (owner && s->error == 0)
		join_all(s, &o, shares);
}

void reduce_shares(struct schedule *s, const struct tuning *t, const void *from, const struct shares *shares,
    void *result)
{
	if (shares->owners < s->size)
		reduce_by_few(s, from, shares, result);
	else
		reduce_blocks(s, t, from, &shares->blocks, result);
}

static void in_shares(struct schedule *s, const struct tuning *t, int root, const void *from, void *into,
    size_t count)
{
	struct shares shares;
	shares_init(s, t, &shares, count);
	const struct blocks *b = &shares.owned;
	size_t len = block_len(b, s->rank);
	void *result =
	    s->rank != root ? schedule_scratch(s, len) : (unsigned char *)into + block_offset(b, root);
	reduce_shares(s, t, from == HAUL_IN_PLACE ? into : from, &shares, result);
	if (s->rank != root) {
		schedule_send(s, root, result, len);
		return;
	}
	for (int i = 1; i < s->size; i++) {
		int source = (root + i) % s->size;
		schedule_recv(s, source, (unsigned char *)into + block_offset(b, source),
		    block_len(b, source));
	}
}

void reduce_schedule(struct schedule *s, const struct tuning *t, int root, const void *from, void *into,
    size_t count)
{
	if (count * s->op.size >= t->reduce_large)
		in_shares(s, t, root, from, into, count);
	else
		by_tree(s, root, from, into, count);
}

/* In place the result's place has a block that others read until the end. */
void reduce_scatter_schedule(struct schedule *s, const struct tuning *t, const void *from, void *into,
    const size_t *counts)
{
	struct blocks b;
	blocks_by_counts(s, &b, counts);
	if (from != HAUL_IN_PLACE) {
		reduce_blocks(s, t, from, &b, into);
		return;
	}
	void *result = schedule_scratch(s, block_len(&b, s->rank));
	reduce_blocks(s, t, into, &b, result);
	schedule_copy(s, into, result, block_len(&b, s->rank));
}
