/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Allreduce. Short vectors: pairs exchange what each has so far, with ranks 1, 2, 4... apart. Of long ones everybody
 * reduces a block and gives it to the others. Both operands of a pair are in the order of ranks at both members, so
 * that all get the same bits.
 */
#include "group/parts.h"

/*
 * Exchanges take a power of two. So of the first 2 * rest members each even one leaves its vector to the next, and gets
 * the result from it.
 */
struct pairing {
	int rest;  /* so many take no part in the exchanges */
	int width; /* so many do */
	int place; /* this member's among those; -1: it doesn't */
};

static struct pairing pairing(int rank, int size)
{
	struct pairing p = { .width = 1 };
	while (p.width <= size - p.width)
		p.width *= 2;
	p.rest = size - p.width;
	if (rank >= 2 * p.rest)
		p.place = rank - p.rest;
	else
		p.place = rank % 2 == 1 ? rank / 2 : -1;
	return p;
}

static int rank_at(const struct pairing *p, int place)
{
	return place < p->rest ? 2 * place + 1 : place + p->rest;
}

/* The result lands in the right operand: whenever the other is the higher, what is so far moves to the other buffer. */
static bool moves_in_all_an_odd_number_of_times(const struct pairing *p)
{
	bool odd = false;
	for (int d = 1; d < p->width; d *= 2)
		odd ^= (p->place & d) == 0;
	return odd;
}

static void exchange(struct schedule *s, const struct pairing *p, const void *from, void *into, size_t count)
{
	size_t len = count * s->op.size;
	void *other = schedule_scratch(s, len), *sofar = into;
	if (moves_in_all_an_odd_number_of_times(p)) {
		sofar = other;
		other = into;
	}
	schedule_copy(s, sofar, from, len);
	if (s->rank < 2 * p->rest) {
		schedule_recv(s, s->rank - 1, other, len);
		schedule_round(s);
		schedule_reduce(s, other, sofar, count);
	}
	for (int d = 1; d < p->width; d *= 2) {
		int partner = rank_at(p, p->place ^ d);
		schedule_send(s, partner, sofar, len);
		schedule_recv(s, partner, other, len);
		schedule_round(s);
		if (partner < s->rank) {
			schedule_reduce(s, other, sofar, count);
		} else {
			schedule_reduce(s, sofar, other, count);
			void *moved = other;
			other = sofar;
			sofar = moved;
		}
	}
	if (s->rank < 2 * p->rest)
		schedule_send(s, s->rank - 1, into, len);
}

static void by_pairs(struct schedule *s, const void *from, void *into, size_t count)
{
	struct pairing p = pairing(s->rank, s->size);
	if (p.place >= 0) {
		exchange(s, &p, from, into, count);
		return;
	}
	schedule_send(s, s->rank + 1, from, count * s->op.size);
	schedule_round(s);
	schedule_recv(s, s->rank + 1, into, count * s->op.size);
}

static void in_blocks(struct schedule *s, const struct tuning *t, const void *from, void *into, size_t count)
{
	struct blocks b;
	blocks_evenly(s, &b, count, s->op.size);
	reduce_blocks(s, t, from, &b, (unsigned char *)into + block_offset(&b, s->rank));
	allgather_straight(s, t, (unsigned char *)into + block_offset(&b, s->rank), into, &b, -1);
}

void allreduce_schedule(struct schedule *s, const struct tuning *t, const void *from, void *into,
    size_t count)
{
	if (from == HAUL_IN_PLACE)
		from = into;
	if (count * s->op.size >= t->allreduce_large)
		in_blocks(s, t, from, into, count);
	else
		by_pairs(s, from, into, count);
}
