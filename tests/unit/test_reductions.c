/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The collectives that reduce, played in one process (play.h), with three operators: one that is told the order of ranks by
 * its operands, a sum, and one that is not associative, so that it tells how operands were joined. HAUL_TEST_SEED repeats
 * a run.
 */
#include "group/algorithms.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "unit/ways.h"

TestSuite(reductions, .timeout = 120, .init = seed_random);

static struct play play;
static struct tuning tuning;
static int size, root;
static bool in_place;

/* ---- operators ---- */

/* Of the ranks from begin up to end: those of the left must come right before those of the right. */
struct ranks {
	uint16_t begin, end;
	uint32_t element;
};

static void join_ranks(void *arg, const void *left, void *right, size_t count)
{
	const struct ranks *l = left;
	struct ranks *r = right;
	(void)arg;
	for (size_t i = 0; i < count; i++) {
		must(l[i].end == r[i].begin && l[i].element == r[i].element);
		r[i].begin = l[i].begin;
	}
}

static void put_ranks(void *at, int begin, int end, size_t element)
{
	struct ranks r = { (uint16_t)begin, (uint16_t)end, (uint32_t)element };
	memcpy(at, &r, sizeof(r));
}

/* Numbers of three bytes, which lie on any address. */
enum { SUM_BYTES = 3 };

static uint32_t load(const unsigned char *at)
{
	return (uint32_t)(at[0] | at[1] << 8 | at[2] << 16);
}

static void store(unsigned char *at, uint32_t value)
{
	for (int i = 0; i < SUM_BYTES; i++)
		at[i] = (unsigned char)(value >> 8 * i);
}

static void sum(void *arg, const void *left, void *right, size_t count)
{
	const unsigned char *l = left;
	unsigned char *r = right;
	(void)arg;
	for (size_t i = 0; i < count * SUM_BYTES; i += SUM_BYTES)
		store(r + i, load(l + i) + load(r + i));
}

static uint64_t scramble(uint64_t x)
{
	x = (x ^ x >> 31) * 0x9e3779b97f4a7c15;
	return (x ^ x >> 29) * 0xbf58476d1ce4e5b9;
}

static void put_sum(void *at, int begin, int end, size_t element)
{
	uint32_t total = 0;
	for (int rank = begin; rank < end; rank++)
		total += (uint32_t)scramble((uint64_t)rank << 32 | element);
	store(at, total);
}

/* As of a sum of floating point numbers, operands may be swapped, but not joined otherwise. */
static void mix(void *arg, const void *left, void *right, size_t count)
{
	const uint64_t *l = left;
	uint64_t *r = right;
	(void)arg;
	for (size_t i = 0; i < count; i++)
		r[i] = l[i] < r[i] ? scramble(l[i]) ^ r[i] : scramble(r[i]) ^ l[i];
}

static void put_mix(void *at, int begin, int end, size_t element)
{
	uint64_t value = scramble((uint64_t)begin << 32 | element) | 1;
	(void)end;
	memcpy(at, &value, sizeof(value));
}

static const struct kind {
	struct reduction_op op;
	void (*put)(void *at, int begin, int end, size_t element); /* reduced already, of those ranks */
	bool associative;
} kinds[] = {
	{ { sizeof(struct ranks), true, join_ranks, NULL }, put_ranks, true },
	{ { SUM_BYTES, false, sum, NULL }, put_sum, true },
	{ { sizeof(uint64_t), false, mix, NULL }, put_mix, false },
};

static const struct kind *kind;

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* ---- vectors ---- */

static void put_vector(void *at, int begin, int end, size_t first, size_t count)
{
	for (size_t i = 0; i < count; i++)
		kind->put((unsigned char *)at + i * kind->op.size, begin, end, first + i);
}

/* Where it is to be reduced in place, or from where; into is made in either case. */
static const void *contribute(int rank, size_t count, size_t room)
{
	size_t len = count * kind->op.size;
	unsigned char *into = play_into(&play, rank, room * kind->op.size);
	unsigned char *from = in_place ? into : play_from(&play, rank, len);
	put_vector(from, rank, rank + 1, 0, count);
	play.members[rank].schedule.op = kind->op;
	return in_place ? HAUL_IN_PLACE : from;
}

/* The first result of its kind, and the others must equal it. */
static struct {
	unsigned char *bytes;
	size_t len;
} first;

static void forget(void)
{
	free(first.bytes);
	first.bytes = NULL;
}

static void must_equal_the_first(const void *bytes, size_t len)
{
	if (len == 0)
		return;
	if (first.bytes == NULL) {
		first.bytes = malloc(len);
		must(first.bytes != NULL);
		memcpy(first.bytes, bytes, len);
		first.len = len;
	}
	must_be(first.len, len);
	must(memcmp(bytes, first.bytes, len) == 0);
}

static void must_be_reduced(const void *bytes, int begin, int end, size_t from, size_t count)
{
	size_t len = count * kind->op.size;
	unsigned char *expected = malloc(len + 1);
	must(expected != NULL);
	put_vector(expected, begin, end, from, count);
	if (kind->associative && len > 0)
		must(memcmp(bytes, expected, len) == 0);
	free(expected);
}

static void must_be_untouched_memory(int rank)
{
	const struct member *m = &play.members[rank];
	if (m->into_len > 0)
		must_be_untouched(m->into, m->into_len);
}

/* ---- all of it ---- */

/* With every size, operator, way and root, in place or not, a crowd or not; results are compared with those of other
 * roots, in place with others, and of crowds. */
static void each(void (*collective)(size_t count), bool roots)
{
	for (size_t i = 0; i < SIZES * KINDS * LENS * WAYS; i++) {
		size = sizes[i % SIZES];
		kind = &kinds[i / SIZES % KINDS];
		size_t count = lens[i / SIZES / KINDS % LENS];
		for (int n = 0; n < 2 * CROWDS * (roots ? size : 1); n++) {
			root = n / 2 / CROWDS;
			in_place = n % 2 == 1;
			tuning = way((int)(i / SIZES / KINDS / LENS), n / 2 % CROWDS == 1);
			must_note_case("%d members, root %d, %zu elements, way %zu, operator %td%s%s", size,
			    root, count, i / SIZES / KINDS / LENS, kind - kinds, in_place ? ", in place" : "",
			    is_crowd(&tuning) ? ", a crowd" : "");
			play_begin(&play, size, &tuning);
			collective(count);
			play_fini(&play);
		}
		forget();
	}
}

/* ---- reduce ---- */

/* Others than the root have no `into`, and know nothing of in place. */
static void reduce(size_t count)
{
	bool root_in_place = in_place;
	for (int rank = 0; rank < size; rank++) {
		in_place = root_in_place && rank == root;
		const void *from = contribute(rank, count, count);
		unsigned char *into = play.members[rank].into;
		reduce_schedule(&play.members[rank].schedule, &tuning, root, from, into, count);
	}
	play_run(&play);
	for (int rank = 0; rank < size; rank++)
		if (rank != root)
			must_be_untouched_memory(rank);
	must_be_reduced(play.members[root].into, 0, size, 0, count);
	must_equal_the_first(play.members[root].into, count * kind->op.size);
	if (count * kind->op.size < tuning.reduce_large)
		must(play.members[root].received <= play_depth(size));
}

Test(reductions, a_reduction_is_the_same_at_any_root)
{
	each(reduce, true);
}

/* ---- allreduce ---- */

static void allreduce(size_t count)
{
	for (int rank = 0; rank < size; rank++) {
		const void *from = contribute(rank, count, count);
		allreduce_schedule(&play.members[rank].schedule, &tuning, from, play.members[rank].into,
		    count);
	}
	play_run(&play);
	for (int rank = 0; rank < size; rank++) {
		must_be_reduced(play.members[rank].into, 0, size, 0, count);
		must_equal_the_first(play.members[rank].into, count * kind->op.size);
		if (count * kind->op.size < tuning.allreduce_large && !is_crowd(&tuning))
			must(play.members[rank].sent <= play_depth(size) + 1);
	}
}

Test(reductions, an_allreduce_gives_the_same_bits_to_all)
{
	each(allreduce, false);
}

/* ---- reduce_scatter ---- */

static size_t counts[MEMBERS_MOST];

static void reduce_scatter(size_t most)
{
	size_t total = 0, offset = 0;
	unsigned char *results = malloc(most * MEMBERS_MOST * kind->op.size + 1);
	must(results != NULL);
	for (int i = 0; i < size; i++) /* not at random, as results are compared */
		total += counts[i] = (most + (size_t)i * 7) % (most + 1);
	for (int rank = 0; rank < size; rank++) {
		const void *from = contribute(rank, total, in_place ? total : counts[rank]);
		reduce_scatter_schedule(&play.members[rank].schedule, &tuning, from, play.members[rank].into,
		    counts);
	}
	play_run(&play);
	for (int rank = 0; rank < size; rank++) {
		size_t len = counts[rank] * kind->op.size;
		must_be_reduced(play.members[rank].into, 0, size, offset, counts[rank]);
		if (len > 0)
			memcpy(results + offset * kind->op.size, play.members[rank].into, len);
		offset += counts[rank];
	}
	must_equal_the_first(results, total * kind->op.size);
	free(results);
}

Test(reductions, each_member_gets_its_block_of_the_reduction)
{
	each(reduce_scatter, false);
}

/* ---- scans ---- */

static void scan_as(size_t count, bool exclusive)
{
	size_t len = count * kind->op.size;
	unsigned char *results = malloc(len * MEMBERS_MOST + 1);
	must(results != NULL);
	for (int rank = 0; rank < size; rank++) {
		const void *from = contribute(rank, count, count);
		scan_schedule(&play.members[rank].schedule, from, play.members[rank].into, count, exclusive);
	}
	play.readers = 0; /* there is one way only */
	play_run(&play);
	for (int rank = exclusive; rank < size; rank++) {
		int end = exclusive ? rank : rank + 1;
		must_be_reduced(play.members[rank].into, 0, end, 0, count);
		if (len > 0)
			memcpy(results + (size_t)(rank - exclusive) * len, play.members[rank].into, len);
		must(play.members[rank].received <= play_depth(size));
	}
	must_equal_the_first(results, (size_t)(size - exclusive) * len);
	free(results);
}

static void scan(size_t count)
{
	scan_as(count, false);
}

static void exscan(size_t count)
{
	scan_as(count, true);
	if (!in_place)
		must_be_untouched_memory(0);
	else if (count > 0)
		must_be_reduced(play.members[0].into, 0, 1, 0, count);
}

Test(reductions, a_scan_gives_what_there_is_up_to_each_rank)
{
	each(scan, false);
}

Test(reductions, an_exclusive_scan_leaves_out_the_own_and_leaves_rank_0_alone)
{
	each(exscan, false);
}
