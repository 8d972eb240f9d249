/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Allreduce. Short vectors: pairs exchange what each has so far, with ranks 1, 2, 4... apart; in a crowd one member
 * does all of it. Of long ones everybody, or in a crowd a few, reduce a block and give it to the others. Both operands
 * of a pair are in the order of ranks at both members, so that all get the same bits.
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

/* As the pairs would join them. */
static void join(struct schedule *s, const struct operands *o, size_t count)
{
	struct pairing p = pairing(s->rank, s->size);
	for (int i = 0; i < p.rest; i++)
		schedule_reduce(s, operand_of(s, o, 2 * i), operand_of(s, o, 2 * i + 1), count);
	for (int d = 1; d < p.width; d *= 2)
		for (int i = d - 1; i < p.width; i += 2 * d)
			schedule_reduce(s, operand_of(s, o, rank_at(&p, i)),
			    operand_of(s, o, rank_at(&p, i + d)), count);
}

static void by_one(struct schedule *s, const void *from, void *into, size_t count)
{
	enum { ONE = 0 };
	size_t len = count * s->op.size;
	if (s->rank != ONE) {
		schedule_send(s, ONE, from, len);
		schedule_round(s);
	} else {
		struct operands o;
		operands_take(s, &o, from, into, len);
		schedule_round(s);
		if (s->error == 0)
			join(s, &o, count);
	}
	bcast_straight(s, ONE, into, len);
}

static void in_shares(struct schedule *s, const struct tuning *t, const void *from, void *into, size_t count)
{
	struct shares shares;
	shares_init(s, t, &shares, count);
	unsigned char *owned = (unsigned char *)into + block_offset(&shares.owned, s->rank);
	reduce_shares(s, t, from, &shares, owned);
	allgather_straight(s, t, owned, into, &shares.owned, -1);
}

void allreduce_schedule(struct schedule *s, const struct tuning *t, const void *from, void *into,
    size_t count)
{
	if (from == HAUL_IN_PLACE)
		from = into;
	if (count * s->op.size >= t->allreduce_large)
		in_shares(s, t, from, into, count);
	else if (tuning_is_crowd(t, s->size))
		by_one(s, from, into, count);
	else
		by_pairs(s, from, into, count);
}
