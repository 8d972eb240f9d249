/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scans: before the round of distance d a member has the reduction of its own and the d - 1 before it, which it
 * gives to that d further on.
 */
#include "group/algorithms.h"

static void with_own(struct schedule *s, const void *from, void *into, size_t count)
{
	size_t len = count * s->op.size;
	void *lower = schedule_scratch(s, len);
	if (from != HAUL_IN_PLACE)
		schedule_copy(s, into, from, len);
	for (int d = 1; d < s->size; d *= 2) {
		if (s->rank + d < s->size)
			schedule_send(s, s->rank + d, into, len);
		if (s->rank - d < 0)
			continue;
		schedule_recv(s, s->rank - d, lower, len);
		schedule_round(s);
		schedule_reduce(s, lower, into, count);
	}
}

/* The same, and beside it without its own, into `into`: the first that comes, with what comes later on its left. */
static void without_own(struct schedule *s, const void *from, void *into, size_t count)
{
	size_t len = count * s->op.size;
	void *sofar = schedule_scratch(s, len), *scratch = schedule_scratch(s, len);
	schedule_copy(s, sofar, from != HAUL_IN_PLACE ? from : into, len);
	for (int d = 1; d < s->size; d *= 2) {
		void *lower = d == 1 ? into : scratch;
		if (s->rank + d < s->size)
			schedule_send(s, s->rank + d, sofar, len);
		if (s->rank - d < 0)
			continue;
		schedule_recv(s, s->rank - d, lower, len);
		schedule_round(s);
		if (s->rank + 2 * d < s->size)
			schedule_reduce(s, lower, sofar, count);
		if (lower != into)
			schedule_reduce(s, lower, into, count);
	}
}

void scan_schedule(struct schedule *s, const void *from, void *into, size_t count, bool exclusive)
{
	if (exclusive)
		without_own(s, from, into, count);
	else
		with_own(s, from, into, count);
}
