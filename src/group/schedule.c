/* SPDX-License-Identifier: BSD-3-Clause */
/* Schedules. See schedule.h. */
#include "group/schedule.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void schedule_init(struct schedule *s, int rank, int size)
{
	*s = (struct schedule){ .rank = rank, .size = size };
}

void schedule_fini(struct schedule *s)
{
	while (s->scratch != NULL) {
		struct scratch *next = s->scratch->next;
		free(s->scratch);
		s->scratch = next;
	}
	free(s->steps);
	s->steps = NULL;
	s->count = s->room = 0;
}

void *schedule_scratch(struct schedule *s, size_t len)
{
	struct scratch *b = NULL;
	if (len <= PTRDIFF_MAX - 2 * sizeof(*b))
		b = aligned_alloc(_Alignof(struct scratch),
		    (sizeof(*b) + len + _Alignof(struct scratch) - 1) & ~(_Alignof(struct scratch) - 1));
	if (b == NULL) {
		s->error = -ENOMEM;
		return NULL;
	}
	b->next = s->scratch;
	s->scratch = b;
	return b->bytes;
}

static void add(struct schedule *s, const struct step *step)
{
	enum { FIRST = 16 };
	if (s->error != 0)
		return;
	if (s->count == s->room) {
		size_t room = s->room == 0 ? FIRST : 2 * s->room;
		struct step *steps = reallocarray(s->steps, room, sizeof(*steps));
		if (steps == NULL) {
			s->error = -ENOMEM;
			return;
		}
		s->steps = steps;
		s->room = room;
	}
	s->steps[s->count++] = *step;
}

static void add_message(struct schedule *s, const struct step *step)
{
	assert(step->rank >= 0 && step->rank < s->size && step->rank != s->rank);
	add(s, step);
}

void schedule_send(struct schedule *s, int to, const void *from, size_t len)
{
	if (len > 0)
		add_message(s, &(struct step){ .kind = STEP_SEND, .rank = to, .from = from, .len = len });
}

void schedule_recv(struct schedule *s, int from, void *into, size_t len)
{
	if (len > 0)
		add_message(s, &(struct step){ .kind = STEP_RECV, .rank = from, .into = into, .len = len });
}

void schedule_signal(struct schedule *s, int to)
{
	add_message(s, &(struct step){ .kind = STEP_SEND, .rank = to });
}

void schedule_await(struct schedule *s, int from)
{
	add_message(s, &(struct step){ .kind = STEP_RECV, .rank = from });
}

void schedule_copy(struct schedule *s, void *into, const void *from, size_t len)
{
	if (len > 0 && into != from)
		add(s, &(struct step){ .kind = STEP_COPY, .from = from, .into = into, .len = len });
}

void schedule_reduce(struct schedule *s, const void *left, void *right, size_t count)
{
	if (count > 0)
		add(s, &(struct step){ .kind = STEP_REDUCE, .from = left, .into = right, .len = count });
}

void schedule_round(struct schedule *s)
{
	if (s->count > 0 && s->steps[s->count - 1].kind != STEP_ROUND)
		add(s, &(struct step){ .kind = STEP_ROUND });
}

const struct step *schedule_next(const struct schedule *s, size_t *at)
{
	return *at < s->count ? &s->steps[(*at)++] : NULL;
}
