/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The collectives that move data, played in one process (play.h): each in groups of many sizes, with every root, in place
 * or not, by every way, and blocks that differ. HAUL_TEST_SEED repeats a run. Those that reduce are in test_reductions.c.
 */
#include "group/algorithms.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/pattern.h"
#include "unit/ways.h"

TestSuite(algorithms, .timeout = 120, .init = seed_random);

static struct play play;
static struct tuning tuning;
static int size, root;
static bool in_place;

/* With every size, way and root, in place or not. */
static void each(void (*collective)(size_t len), const size_t *those, size_t count, bool roots)
{
	for (size_t i = 0; i < SIZES * WAYS * CROWDS * 2 * count; i++) {
		size = sizes[i % SIZES];
		in_place = i / SIZES % 2 == 1;
		bool crowd = i / SIZES / 2 % CROWDS == 1;
		for (root = 0; root < (roots ? size : 1); root++) {
			size_t len = those[i / SIZES / 2 / CROWDS / WAYS];
			int n = (int)(i / SIZES / 2 / CROWDS % WAYS);
			tuning = way(n, crowd);
			must_note_case("%d members, root %d, length %zu, way %d, %zu readers%s%s", size, root,
			    len, n, tuning.readers, in_place ? ", in place" : "", crowd ? ", a crowd" : "");
			play_begin(&play, size, &tuning);
			collective(len);
			play_fini(&play);
		}
	}
}

/* ---- blocks ---- */

/* The block that one member has for another. */
static uint64_t seed_of(int from, int to)
{
	return (uint64_t)(1000 * from + to);
}

struct layout {
	size_t lens[MEMBERS_MOST], offsets[MEMBERS_MOST];
	size_t room;
	struct blocks blocks;
};

/* One after the other, as the forms without v have them. */
static void packed(struct layout *l, size_t len)
{
	l->room = (size_t)size * len;
	l->blocks = (struct blocks){ .len = len };
	for (int i = 0; i < size; i++) {
		l->lens[i] = len;
		l->offsets[i] = (size_t)i * len;
	}
}

/* In any order, with gaps in between, of the lengths that are there. */
static void spread(struct layout *l)
{
	size_t first = random_below((size_t)size), step = random_below(2) == 0 ? 1 : (size_t)size - 1;
	l->room = random_below(3);
	for (int i = 0; i < size; i++) {
		size_t at = (first + (size_t)i * step) % (size_t)size;
		l->offsets[at] = l->room;
		l->room += l->lens[at] + random_below(3);
	}
	l->blocks = (struct blocks){ l->lens, l->offsets, 0 };
}

static size_t any_len(size_t len)
{
	return random_below(4) == 0 ? 0 : random_below(len + 1);
}

static void any_lens(struct layout *l, size_t len)
{
	for (int i = 0; i < size; i++)
		l->lens[i] = any_len(len);
	spread(l);
}

static void put(unsigned char *buf, const struct layout *l, int at, uint64_t seed)
{
	if (l->lens[at] > 0)
		pattern_fill(buf + l->offsets[at], l->lens[at], seed, 0);
}

/* Its memory is what it was, but block i has what member i had for `to`. */
static void must_have(int rank, const struct layout *l, int to)
{
	const struct member *m = &play.members[rank];
	unsigned char *expected = calloc(1, l->room + 1);
	must(expected != NULL);
	memset(expected, CANARY, l->room);
	for (int i = 0; i < size; i++)
		put(expected, l, i, seed_of(i, to));
	must_be(m->into_len, l->room);
	must(l->room == 0 || memcmp(m->into, expected, l->room) == 0);
	free(expected);
}

static unsigned char *from_of(int rank, size_t len, uint64_t seed)
{
	unsigned char *from = play_from(&play, rank, len);
	if (len > 0)
		pattern_fill(from, len, seed, 0);
	return from;
}

/* ---- barrier ---- */

static int sent_by_all(void)
{
	int sent = 0;
	for (int rank = 0; rank < play.size; rank++)
		sent += play.members[rank].sent;
	return sent;
}

static void barrier_with(int late)
{
	play_begin(&play, size, &tuning);
	for (int rank = 0; rank < size; rank++)
		barrier_schedule(&play.members[rank].schedule, &tuning);
	play.late = late;
	play_run(&play);
	must_be(play.ended, 0);
	must_be(sent_by_all(), is_crowd(&tuning) ? 2 * (size - 1) : size * play_depth(size));
	play_fini(&play);
}

Test(algorithms, nobody_leaves_a_barrier_before_all_have_come)
{
	for (size_t i = 0; i < SIZES * CROWDS; i++) {
		size = sizes[i / CROWDS];
		tuning = way(0, i % CROWDS == 1);
		for (int late = 0; late < size; late++)
			barrier_with(late);
	}
}

/* ---- bcast ---- */

static void bcast(size_t len)
{
	for (int rank = 0; rank < size; rank++) {
		unsigned char *buf = play_into(&play, rank, len);
		if (rank == root && len > 0)
			pattern_fill(buf, len, seed_of(root, 0), 0);
		bcast_schedule(&play.members[rank].schedule, &tuning, root, buf, len);
	}
	play_run(&play);
	for (int rank = 0; rank < size; rank++)
		if (len > 0)
			must_hold(play.members[rank].into, len, seed_of(root, 0), 0);
	if (len < tuning.bcast_large)
		must(play.members[root].sent <= play_depth(size));
	else if (is_crowd(&tuning) && len > 0)
		must_be(sent_by_all(), size - 1);
}

Test(algorithms, a_bcast_reaches_everybody)
{
	each(bcast, lens, LENS, true);
}

/* ---- gather ---- */

static void gather_as(const struct layout *l, bool v)
{
	for (int rank = 0; rank < size; rank++) {
		bool is_root = rank == root;
		unsigned char *into = is_root ? play_into(&play, rank, l->room) : NULL;
		const void *from = HAUL_IN_PLACE;
		if (is_root && in_place)
			put(into, l, rank, seed_of(rank, root));
		else
			from = from_of(rank, l->lens[rank], seed_of(rank, root));
		gather_schedule(&play.members[rank].schedule, &tuning, root, from, l->lens[rank], into,
		    v && !is_root ? NULL : &l->blocks);
	}
	play_run(&play);
	must_have(root, l, root);
}

static void gather(size_t len)
{
	struct layout l;
	packed(&l, len);
	gather_as(&l, false);
	if (len < tuning.gather_large)
		must(play.members[root].received <= play_depth(size));
}

static void gatherv(size_t len)
{
	struct layout l;
	any_lens(&l, len);
	gather_as(&l, true);
}

Test(algorithms, the_root_of_a_gather_gets_every_block)
{
	each(gather, lens, LENS, true);
}

Test(algorithms, gathered_blocks_may_differ_and_lie_anywhere)
{
	each(gatherv, lens, LENS, true);
}

/* ---- scatter ---- */

static void scatter_as(const struct layout *l, bool v)
{
	for (int rank = 0; rank < size; rank++) {
		bool is_root = rank == root;
		unsigned char *from = is_root ? play_from(&play, rank, l->room) : NULL;
		void *into = HAUL_IN_PLACE;
		for (int i = 0; is_root && i < size; i++)
			put(from, l, i, seed_of(root, i));
		if (!is_root || !in_place)
			into = play_into(&play, rank, l->lens[rank]);
		scatter_schedule(&play.members[rank].schedule, &tuning, root, from,
		    v && !is_root ? NULL : &l->blocks, into, l->lens[rank]);
	}
	play_run(&play);
	for (int rank = 0; rank < size; rank++)
		if (l->lens[rank] > 0 && (rank != root || !in_place))
			must_hold(play.members[rank].into, l->lens[rank], seed_of(root, rank), 0);
}

static void scatter(size_t len)
{
	struct layout l;
	packed(&l, len);
	scatter_as(&l, false);
	if (len < tuning.gather_large)
		must(play.members[root].sent <= play_depth(size));
}

static void scatterv(size_t len)
{
	struct layout l;
	any_lens(&l, len);
	scatter_as(&l, true);
}

Test(algorithms, each_member_gets_its_block_of_a_scatter)
{
	each(scatter, lens, LENS, true);
}

Test(algorithms, scattered_blocks_may_differ_and_lie_anywhere)
{
	each(scatterv, lens, LENS, true);
}

/* ---- allgather ---- */

static void allgather_as(const struct layout *l)
{
	for (int rank = 0; rank < size; rank++) {
		unsigned char *into = play_into(&play, rank, l->room);
		const void *from = HAUL_IN_PLACE;
		if (in_place)
			put(into, l, rank, seed_of(rank, 0));
		else
			from = from_of(rank, l->lens[rank], seed_of(rank, 0));
		allgather_schedule(&play.members[rank].schedule, &tuning, from, into, &l->blocks);
	}
	play_run(&play);
	for (int rank = 0; rank < size; rank++)
		must_have(rank, l, 0);
}

static void allgather(size_t len)
{
	struct layout l;
	packed(&l, len);
	allgather_as(&l);
	if (len == 0 || len >= tuning.allgather_large)
		return;
	if (is_crowd(&tuning) && size > 4)
		must_be(sent_by_all(), 2 * (size - 1));
	else
		must_be(play.members[0].sent, play_depth(size));
}

static void allgatherv(size_t len)
{
	struct layout l;
	any_lens(&l, len);
	allgather_as(&l);
}

Test(algorithms, an_allgather_gives_every_block_to_everybody)
{
	each(allgather, lens, LENS, false);
}

Test(algorithms, blocks_of_an_allgather_may_differ_and_lie_anywhere)
{
	for (int times = 0; times < 5; times++)
		each(allgatherv, lens, LENS, false);
}

/* ---- alltoall ---- */

static struct layout leaving[MEMBERS_MOST], coming[MEMBERS_MOST];

static void alltoall_all(void)
{
	for (int rank = 0; rank < size; rank++) {
		const struct layout *out = in_place ? &coming[rank] : &leaving[rank];
		unsigned char *into = play_into(&play, rank, coming[rank].room);
		unsigned char *from = in_place ? into : play_from(&play, rank, out->room);
		for (int i = 0; i < size; i++)
			put(from, out, i, seed_of(rank, i));
		alltoall_schedule(&play.members[rank].schedule, &tuning, in_place ? HAUL_IN_PLACE : from,
		    in_place ? NULL : &out->blocks, into, &coming[rank].blocks);
	}
	play_run(&play);
	for (int rank = 0; rank < size; rank++)
		must_have(rank, &coming[rank], rank);
}

static void alltoall(size_t len)
{
	for (int rank = 0; rank < size; rank++) {
		packed(&leaving[rank], len);
		packed(&coming[rank], len);
	}
	alltoall_all();
	if (len > 0 && len < tuning.alltoall_large)
		must(play.members[0].sent <= play_depth(size) || size <= 4);
}

/* In place as much comes as goes. */
static void alltoallv(size_t len)
{
	for (int i = 0; i < size; i++) {
		for (int j = 0; j < size; j++) {
			bool same = in_place && j < i;
			leaving[i].lens[j] = coming[j].lens[i] = same ? leaving[j].lens[i] : any_len(len);
		}
	}
	for (int rank = 0; rank < size; rank++) {
		spread(&leaving[rank]);
		spread(&coming[rank]);
	}
	alltoall_all();
}

Test(algorithms, an_alltoall_takes_every_block_to_its_member)
{
	each(alltoall, lens, LENS, false);
}

Test(algorithms, blocks_of_an_alltoall_may_differ_and_lie_anywhere)
{
	for (int times = 0; times < 5; times++)
		each(alltoallv, lens, LENS, false);
}
