/* SPDX-License-Identifier: BSD-3-Clause */
/* The barrier. After the round of distance d, each member knows that the 2 d - 1 before it have come; in a crowd one
 * member hears of all. */
#include "group/parts.h"

static void by_one(struct schedule *s)
{
	enum { ONE = 0 };
	if (s->rank != ONE) {
		schedule_signal(s, ONE);
		schedule_await(s, ONE);
		return;
	}
	for (int i = 1; i < s->size; i++)
		schedule_await(s, i);
	schedule_round(s);
	for (int i = 1; i < s->size; i++)
		schedule_signal(s, i);
}

void barrier_schedule(struct schedule *s, const struct tuning *t)
{
	if (tuning_is_crowd(t, s->size)) {
		by_one(s);
		return;
	}
	for (int d = 1; d < s->size; d *= 2) {
		schedule_round(s);
		schedule_signal(s, (s->rank + d) % s->size);
		schedule_await(s, (s->rank - d + s->size) % s->size);
	}
}
