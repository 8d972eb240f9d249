/* SPDX-License-Identifier: BSD-3-Clause */
/* What the algorithms have in common. See parts.h; the stretches are in the files of their collectives. */
#include "group/parts.h"

#include <string.h>

static int owner(int begin, int end, int root)
{
	return root >= begin && root < end ? root : begin;
}

/* The largest power of two below n, which is at least 2. */
static int half(int n)
{
	int m = 1;
	while (m < n - m)
		m *= 2;
	return m;
}

/* From the range of all down to the member itself. Once it owns one, it owns all that follow. */
void tree_init(struct tree *t, int rank, int size, int root)
{
	*t = (struct tree){ .parent = -1, .end = size };
	int begin = 0, end = size;
	while (end - begin > 1) {
		int middle = begin + half(end - begin), whose = owner(begin, end, root);
		struct branch other = { .begin = begin, .end = end };
		if (rank < middle)
			other.begin = end = middle;
		else
			other.end = begin = middle;
		if (whose == rank) {
			other.rank = owner(other.begin, other.end, root);
			t->branches[t->count++] = other;
		} else {
			t->parent = whose;
			t->begin = begin;
			t->end = end;
		}
	}
}

int tuning_readers(const struct tuning *t, int size)
{
	if (t->readers == 0 || size <= 2)
		return 1;
	return t->readers < (size_t)size ? (int)t->readers : size - 1;
}

int tuning_slots(const struct tuning *t, int size)
{
	int readers = tuning_readers(t, size), most = (int)tuning_default.readers;
	return readers < most ? readers : most;
}

/* Room for both arrays, which begin with the lengths. */
static size_t *blocks_init(struct schedule *s, struct blocks *b)
{
	size_t n = (size_t)s->size, *lens = schedule_scratch(s, 2 * n * sizeof(*lens));
	*b = (struct blocks){ .lens = lens, .offsets = lens != NULL ? lens + n : NULL };
	return lens;
}

static void fill_offsets(size_t *lens, size_t n)
{
	size_t *offsets = lens + n;
	offsets[0] = 0;
	for (size_t i = 1; i < n; i++)
		offsets[i] = offsets[i - 1] + lens[i - 1];
}

void blocks_by_counts(struct schedule *s, struct blocks *b, const size_t *counts)
{
	size_t n = (size_t)s->size, *lens = blocks_init(s, b);
	if (lens == NULL)
		return;
	for (size_t i = 0; i < n; i++)
		lens[i] = counts[i] * s->op.size;
	fill_offsets(lens, n);
}

void blocks_evenly(struct schedule *s, struct blocks *b, size_t count, size_t element)
{
	size_t n = (size_t)s->size, *lens = blocks_init(s, b);
	if (lens == NULL)
		return;
	for (size_t i = 0; i < n; i++)
		lens[i] = (count / n + (i < count % n)) * element;
	fill_offsets(lens, n);
}

/* In a crowd, as many as get a whole block. */
static int owners_of(const struct schedule *s, const struct tuning *t, size_t len)
{
	size_t most = t->block > 0 ? len / t->block : SIZE_MAX;
	if (!tuning_is_crowd(t, s->size) || most >= (size_t)s->size)
		return s->size;
	return most > 1 ? (int)most : 1;
}

static void gather_up(struct schedule *s, struct shares *shares)
{
	size_t *lens = blocks_init(s, &shares->owned);
	if (lens == NULL)
		return;
	memset(lens, 0, (size_t)s->size * sizeof(*lens));
	for (int i = 0; i < s->size; i++)
		lens[share_owner(s, shares, i)] += block_len(&shares->blocks, i);
	fill_offsets(lens, (size_t)s->size);
}

void shares_init(struct schedule *s, const struct tuning *t, struct shares *shares, size_t count)
{
	blocks_evenly(s, &shares->blocks, count, s->op.size);
	shares->owned = shares->blocks;
	shares->owners = owners_of(s, t, count * s->op.size);
	if (shares->owners < s->size)
		gather_up(s, shares);
}

void operands_take(struct schedule *s, struct operands *o, const void *own, void *result, size_t len)
{
	*o = (struct operands){ schedule_scratch(s, (size_t)(s->size - 1) * len), result, len };
	if (o->slots == NULL)
		return;
	schedule_copy(s, operand_of(s, o, s->rank), own, len);
	for (int i = 1; i < s->size; i++) {
		int source = (s->rank + i) % s->size;
		schedule_recv(s, source, operand_of(s, o, source), len);
	}
}
