/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Allgather. Short blocks of one length: in each round a member has twice as many as before, and hands on all of them; in
 * a crowd one member gathers them for all. Others go straight from each to everybody.
 */
#include "group/parts.h"

/* Among so few, everybody has to do with about as few as the one would. */
enum { FEW = 4 };

/* Of a power of two: who has had the blocks of a range of ranks gets those of the other half of one twice as wide. */
static void by_halves(struct schedule *s, unsigned char *into, size_t len)
{
	for (int d = 1; d < s->size; d *= 2) {
		int begin = s->rank & ~(d - 1);
		if (d > 1)
			schedule_round(s);
		schedule_send(s, s->rank ^ d, into + (size_t)begin * len, (size_t)d * len);
		schedule_recv(s, s->rank ^ d, into + (size_t)(begin ^ d) * len, (size_t)d * len);
	}
}

/* Of any number (Bruck's): each gathers the blocks from its own on upwards, and turns them round at the end. */
static void by_turns(struct schedule *s, unsigned char *into, size_t len)
{
	size_t n = (size_t)s->size, rank = (size_t)s->rank;
	unsigned char *turned = schedule_scratch(s, n * len);
	if (turned == NULL)
		return;
	schedule_copy(s, turned, into + rank * len, len);
	for (int d = 1; d < s->size; d *= 2) {
		size_t count = (size_t)(d < s->size - d ? d : s->size - d);
		schedule_send(s, (s->rank - d + s->size) % s->size, turned, count * len);
		schedule_recv(s, (s->rank + d) % s->size, turned + (size_t)d * len, count * len);
		schedule_round(s);
	}
	schedule_copy(s, into + rank * len, turned, (n - rank) * len);
	schedule_copy(s, into, turned + (n - rank) * len, rank * len);
}

static void by_one(struct schedule *s, const void *from, void *into, const struct blocks *b)
{
	enum { ONE = 0 };
	gather_straight(s, ONE, from, b->len, into, b);
	schedule_round(s);
	bcast_straight(s, ONE, into, (size_t)s->size * b->len);
}

void allgather_straight(struct schedule *s, const struct tuning *t, const void *own, void *buf,
    const struct blocks *b, int full)
{
	unsigned char *bytes = buf;
	for (int i = 1; i < s->size; i++) {
		int to = (s->rank + i) % s->size, source = (s->rank - i + s->size) % s->size;
		if (i > 1 && (i - 1) % tuning_readers(t, s->size) == 0)
			schedule_round(s);
		if (to != full)
			schedule_send(s, to, own, block_len(b, s->rank));
		if (s->rank != full)
			schedule_recv(s, source, bytes + block_offset(b, source), block_len(b, source));
	}
}

void allgather_schedule(struct schedule *s, const struct tuning *t, const void *from, void *into,
    const struct blocks *b)
{
	unsigned char *own = (unsigned char *)into + block_offset(b, s->rank);
	if (from == HAUL_IN_PLACE)
		from = own;
	if (b->lens != NULL || b->len >= t->allgather_large) {
		/* Not from the copy, which is new in this CPU's cache: to read that from another takes twice as
		 * long. */
		allgather_straight(s, t, from, into, b, -1);
		schedule_round(s);
		schedule_copy(s, own, from, block_len(b, s->rank));
		return;
	}
	if (s->size > FEW && tuning_is_crowd(t, s->size)) {
		by_one(s, from, into, b);
		return;
	}
	schedule_copy(s, own, from, block_len(b, s->rank));
	if ((s->size & (s->size - 1)) == 0)
		by_halves(s, into, b->len);
	else
		by_turns(s, into, b->len);
}
