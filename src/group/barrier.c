/* SPDX-License-Identifier: BSD-3-Clause */
/* The barrier: after the round of distance d, each member knows that the 2 d - 1 before it have come. */
#include "group/algorithms.h"

void barrier_schedule(struct schedule *s)
{
	for (int d = 1; d < s->size; d *= 2) {
		schedule_round(s);
		schedule_signal(s, (s->rank + d) % s->size);
		schedule_await(s, (s->rank - d + s->size) % s->size);
	}
}
