/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All to all. Short blocks of one length, among more than a few members: several travel together, in steps of 1, 2,
 * 4... ranks. Others go straight, and who sends to a member in a round hears from it in the same, so that in place
 * what goes is put aside for a round only.
 */
#include "group/parts.h"

/* Among so few, going straight takes about as few messages, all at once. */
enum { FEW = 4 };

/* The blocks that go d ranks on, those whose way has that bit, between their places and one piece of memory. */
static size_t pack(struct schedule *s, unsigned char *packed, unsigned char *places, size_t len, int d,
    bool out)
{
	size_t at = 0;
	for (int i = d; i < s->size; i += 2 * d) {
		size_t run = (size_t)(d < s->size - i ? d : s->size - i) * len;
		unsigned char *place = places + (size_t)i * len;
		schedule_copy(s, out ? place : packed + at, out ? packed + at : place, run);
		at += run;
	}
	return at;
}

/*
 * Bruck's. A block has the place of the number of ranks that it has to go: at first that to rank + i is at i, at
 * the end that from rank - i is.
 */
static void by_steps(struct schedule *s, const unsigned char *from, unsigned char *into, size_t len)
{
	size_t n = (size_t)s->size, rank = (size_t)s->rank;
	unsigned char *places = schedule_scratch(s, n * len);
	unsigned char *leaving = schedule_scratch(s, n / 2 * len), *coming = schedule_scratch(s, n / 2 * len);
	if (s->error != 0)
		return;
	schedule_copy(s, places, from + rank * len, (n - rank) * len);
	schedule_copy(s, places + (n - rank) * len, from, rank * len);
	for (int d = 1; d < s->size; d *= 2) {
		size_t all = pack(s, leaving, places, len, d, false);
		schedule_send(s, (s->rank + d) % s->size, leaving, all);
		schedule_recv(s, (s->rank - d + s->size) % s->size, coming, all);
		schedule_round(s);
		pack(s, coming, places, len, d, true);
	}
	for (size_t i = 0; i < n; i++)
		schedule_copy(s, into + (rank + n - i) % n * len, places + i * len, len);
}

static size_t longest_of_others(const struct schedule *s, const struct blocks *b)
{
	size_t most = 0;
	for (int i = 0; i < s->size; i++)
		if (i != s->rank && block_len(b, i) > most)
			most = block_len(b, i);
	return most;
}

/* Each pair exchanges in the round that the sum of its ranks says. In place what goes is put aside. */
static void straight(struct schedule *s, int readers, const unsigned char *from,
    const struct blocks *from_blocks, unsigned char *into, const struct blocks *into_blocks)
{
	bool in_place = from == into;
	size_t most = in_place ? longest_of_others(s, from_blocks) : 0;
	unsigned char *aside = in_place ? schedule_scratch(s, (size_t)readers * most) : NULL;
	if (s->error != 0)
		return;
	schedule_copy(s, into + block_offset(into_blocks, s->rank), from + block_offset(from_blocks, s->rank),
	    block_len(from_blocks, s->rank));
	for (int i = 0; i < s->size; i++) {
		int other = (i - s->rank + s->size) % s->size;
		const unsigned char *going = from + block_offset(from_blocks, other);
		size_t len = block_len(from_blocks, other);
		if (i > 0 && i % readers == 0)
			schedule_round(s);
		if (other == s->rank)
			continue;
		if (in_place) {
			unsigned char *copy = aside + (size_t)(i % readers) * most;
			schedule_copy(s, copy, going, len);
			going = copy;
		}
		schedule_send(s, other, going, len);
		schedule_recv(s, other, into + block_offset(into_blocks, other),
		    block_len(into_blocks, other));
	}
}

void alltoall_schedule(struct schedule *s, const struct tuning *t, const void *from,
    const struct blocks *from_blocks, void *into, const struct blocks *into_blocks)
{
	if (from == HAUL_IN_PLACE) {
		from = into;
		from_blocks = into_blocks;
	}
	if (into_blocks->lens == NULL && into_blocks->len < t->alltoall_large && s->size > FEW)
		by_steps(s, from, into, into_blocks->len);
	else
		straight(s, from == into ? tuning_slots(t, s->size) : tuning_readers(t, s->size), from,
		    from_blocks, into, into_blocks);
}
