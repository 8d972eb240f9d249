/* SPDX-License-Identifier: BSD-3-Clause */
/* What the algorithms have in common. See parts.h; the stretches are in the files of their collectives. */
#include "group/parts.h"

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
