/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What groups do with what makes no sense: what can be seen at the caller is -EINVAL there; members whose arguments
 * don't fit each other hear of it, or at least don't hang, and the group goes on.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/crew.h"
#include "lib/deed.h"
#include "lib/fds.h"

TestSuite(group_badinput, .timeout = 60);

enum { T = CREW_PATIENCE_MS, LONG = 300000 };

static const struct haul_operator sum = { HAUL_SUM, HAUL_INT32, 0, 0, NULL, NULL };

/* ---- members that don't agree ---- */

static unsigned char a[10 * LONG], b[10 * LONG];

/* Collectives that are deeds, and one that is none. */
enum { SPLIT = DEED_KINDS, KINDS };

/* One call, with len bytes (a multiple of 4) or so. */
static int call(struct haul_group *g, int what, int root, size_t len)
{
	size_t counts[CREW_MOST];
	struct haul_group *made = NULL;
	int rc = 0;
	for (int i = 0; i < haul_group_size(g); i++)
		counts[i] = len / 4;
	switch (what) {
	case DEED_BCAST:
		return haul_bcast(g, root, a, len, T);
	case DEED_GATHER:
		return haul_gather(g, root, a, len, b, T);
	case DEED_SCATTER:
		return haul_scatter(g, root, a, b, len, T);
	case DEED_ALLGATHER:
		return haul_allgather(g, a, len, b, T);
	case DEED_ALLTOALL:
		return haul_alltoall(g, a, b, len, T);
	case DEED_REDUCE:
		return haul_reduce(g, root, &sum, a, b, len / 4, T);
	case DEED_ALLREDUCE:
		return haul_allreduce(g, &sum, a, b, len / 4, T);
	case DEED_REDUCE_SCATTER:
		return haul_reduce_scatter(g, &sum, a, b, counts, T);
	case DEED_SCAN:
		return haul_scan(g, &sum, a, b, len / 4, T);
	case DEED_EXSCAN:
		return haul_exscan(g, &sum, a, b, len / 4, T);
	case DEED_BARRIER:
		return haul_barrier(g, T);
	case SPLIT:
		rc = haul_group_split(g, 0, 0, T, &made);
		haul_group_free(made, 0);
		return rc;
	default:
		return 0;
	}
}

/* How it ends where arguments differ: well, if this member's part could be done; else as wrong, or as called off. */
static void must_have_ended(int rc)
{
	must(rc == 0 || rc == -EINVAL || rc == -EMSGSIZE || rc == -ECANCELED);
}

/* How many failed; by which the group is seen to work, too. */
static int count_failures(struct haul_group *g, int rc)
{
	int failed = rc != 0, all = 0;
	must_have_ended(rc);
	must_be(haul_allreduce(g, &sum, &failed, &all, 1, T), 0);
	return all;
}

struct mismatch {
	int what, other; /* of all, and of the odd one out */
	int root, other_root;
	size_t len, other_len;
	int odd;
	bool found; /* somebody must find it out */
};

static void disagree(struct haul_group *g, const void *arg)
{
	for (const struct mismatch *m = arg; m->len != SIZE_MAX; m++) {
		bool odd = crew_rank() == m->odd % crew_size();
		must_note_case("rank %d of %d: %d or %d, root %d or %d, len %zu or %zu, odd %d", crew_rank(),
		    crew_size(), m->what, m->other, m->root, m->other_root, m->len, m->other_len, m->odd);
		int rc = odd ? call(g, m->other, m->other_root % crew_size(), m->other_len)
		             : call(g, m->what, m->root % crew_size(), m->len);
		int failures = count_failures(g, rc);
		must(failures > 0 || !m->found);
	}
}

enum { ROWS = 200 };

static void run_each(const struct mismatch *rows)
{
	crew_run(2, NULL, disagree, rows);
	crew_run(3, NULL, disagree, rows);
	crew_run(5, &(struct crew_options){ .launched = true }, disagree, rows);
}

/* Everybody has the same but one, whose messages are longer or shorter. */
static void run_lens(size_t len, size_t other, bool found)
{
	static struct mismatch rows[ROWS];
	int n = 0;
	for (int what = DEED_BCAST; what <= DEED_EXSCAN; what++)
		for (int odd = 0; odd < 2; odd++)
			rows[n++] = (struct mismatch){ .what = what,
				.other = what,
				.len = len,
				.other_len = other,
				.odd = odd,
				.found = found };
	rows[n] = (struct mismatch){ .len = SIZE_MAX };
	run_each(rows);
}

Test(group_badinput, short_messages_of_two_lengths_fail)
{
	run_lens(8, 12, true);
	run_lens(400, 8, true);
}

Test(group_badinput, long_messages_of_two_lengths_fail)
{
	run_lens(LONG, LONG - 4, true);
	run_lens(LONG, 8, true);
}

Test(group_badinput, nobody_hangs_where_one_has_nothing_to_send)
{
	run_lens(8, 0, false);
	run_lens(LONG, 0, false);
}

Test(group_badinput, nobody_hangs_where_all_but_one_have_nothing_to_send)
{
	run_lens(0, 8, false);
	run_lens(0, LONG, false);
}

Test(group_badinput, nobody_hangs_where_roots_differ)
{
	static const int rooted[] = { DEED_BCAST, DEED_GATHER, DEED_SCATTER, DEED_REDUCE };
	static struct mismatch rows[ROWS];
	int n = 0;
	for (int i = 0; i < 4; i++)
		for (size_t len = 8; len <= LONG; len = len == 8 ? 4096 : len == 4096 ? LONG : SIZE_MAX)
			for (int k = 0; k < 2; k++)
				rows[n++] = (struct mismatch){ .what = rooted[i],
					.other = rooted[i],
					.root = k,
					.other_root = 1 - k,
					.len = len,
					.other_len = len,
					.odd = 1 };
	rows[n] = (struct mismatch){ .len = SIZE_MAX };
	run_each(rows);
}

Test(group_badinput, nobody_hangs_where_collectives_differ)
{
	static struct mismatch rows[ROWS];
	int n = 0;
	for (int what = DEED_BARRIER; what < KINDS; what++)
		for (int d = 1; d <= 3; d++)
			rows[n++] = (struct mismatch){ .what = what,
				.other = (what + d * 2) % KINDS,
				.len = d == 3 ? LONG : 64,
				.other_len = d == 3 ? LONG : 64,
				.odd = d };
	rows[n] = (struct mismatch){ .len = SIZE_MAX };
	run_each(rows);
}

/* Each its own root, so that everybody waits for somebody who waits. */
static void wait_in_a_circle(struct haul_group *g, const void *arg)
{
	const size_t *len = arg;
	for (int d = 1; d < crew_size(); d++) {
		must_note_case("rank %d of %d: roots %d further, len %zu", crew_rank(), crew_size(), d, *len);
		int rc = haul_bcast(g, (crew_rank() + d) % crew_size(), a, *len, T);
		must(count_failures(g, rc) > 0);
		rc = haul_reduce(g, (crew_rank() + d) % crew_size(), &sum, a, b, *len / 4, T);
		count_failures(g, rc);
	}
}

Test(group_badinput, nobody_hangs_where_each_waits_for_another)
{
	for (int n = 2; n <= 4; n++)
		for (size_t len = 8; len <= LONG; len += LONG - 8)
			crew_run(n, NULL, wait_in_a_circle, &len);
}

/* In these the lengths are not everybody's to know: one sends nothing, or more, where another expects something. */
static void differ_in_blocks(struct haul_group *g, const void *arg)
{
	const size_t *len = arg;
	int n = crew_size(), me = crew_rank();
	for (int k = 0; k < 4; k++) {
		size_t from_lens[CREW_MOST], into_lens[CREW_MOST], offsets[CREW_MOST];
		must_note_case("rank %d of %d: case %d, len %zu", me, n, k, *len);
		for (int i = 0; i < n; i++) {
			offsets[i] = (size_t)i * *len;
			from_lens[i] = into_lens[i] = *len;
		}
		if (k == 0 && me == 0)
			from_lens[1] = 0; /* 1 waits for it */
		if (k == 1 && me == 0)
			into_lens[1] = 0; /* 1 sends it */
		if (k == 2 && me < 2)
			from_lens[1 - me] = 0; /* both wait */
		if (k == 3 && me < 2)
			into_lens[1 - me] = 0; /* both send */
		int rc = haul_alltoallv(g, a, from_lens, offsets, b, into_lens, offsets, T);
		must(count_failures(g, rc) > 0 || *len < LONG);
		/* Only rank 0 thinks that it has nothing; that the others have nothing. */
		for (int i = 0; i < n; i++)
			into_lens[i] = me == 0 && (i == 0) == (k < 2) ? 0 : *len;
		rc = haul_allgatherv(g, a, into_lens[me], b, into_lens, offsets, T);
		must(count_failures(g, rc) > 0 || *len < LONG);
		/* The root's view of it differs from the members'. */
		for (int i = 0; i < n; i++)
			into_lens[i] = i == 1 && k % 2 == 0 ? 0 : *len;
		rc = haul_gatherv(g, 0, a, me == 1 && k % 2 == 1 ? 0 : *len, b, into_lens, offsets, T);
		must(count_failures(g, rc) > 0 || *len < LONG);
		rc = haul_scatterv(g, 0, a, into_lens, offsets, b, me == 1 && k % 2 == 1 ? 0 : *len, T);
		must(count_failures(g, rc) > 0 || *len < LONG);
	}
}

Test(group_badinput, nobody_hangs_where_blocks_differ)
{
	for (size_t len = 8; len <= LONG; len += LONG - 8)
		for (int n = 2; n <= 4; n++)
			crew_run(n, NULL, differ_in_blocks, &len);
}

/* Who is told of a failure before it has begun does not begin. */
static void hear_before_beginning(struct haul_group *g, const void *arg)
{
	struct haul_req *reqs[3];
	(void)arg;
	if (crew_rank() == 0) {
		crew_heed(); /* the others have failed by then */
		for (int i = 0; i < 3; i++) {
			must_be(haul_ibcast(g, 2, a, 8, &reqs[i]), 0);
			must_be(haul_req_wait(reqs[i], T), 0);
			must_have_ended(haul_req_finish(reqs[i], NULL));
		}
	} else {
		for (int i = 0; i < 3; i++) {
			int rc = haul_bcast(g, 1, a, crew_rank() == 1 ? 8 : 16, T);
			must(rc == -EMSGSIZE || rc == -EINVAL || (rc == 0 && crew_rank() == 1));
		}
		crew_say();
	}
	must_be(haul_barrier(g, T), 0);
}

Test(group_badinput, a_failure_is_known_to_who_begins_later)
{
	struct crew c;
	crew_start(&c, 3, NULL, hear_before_beginning, NULL);
	crew_await(&c, 1);
	crew_await(&c, 2);
	crew_go(&c, 0);
	crew_end(&c);
}

/* What came in vain is not kept. */
static void keep_failing(struct haul_group *g, const void *arg)
{
	enum { OFTEN = 3000 };
	struct haul_stats stats;
	(void)arg;
	for (int i = 0; i < OFTEN; i++) {
		size_t len = i % 3 == 0 ? 0 : 4;
		must_have_ended(haul_bcast(g, 0, a, crew_rank() == 0 ? 8 : len, T));
	}
	must_be(haul_barrier(g, T), 0);
	while (haul_progress(haul_group_context(g)) >
	    0) /* of what members have said there may be more to be heard */
		;
	must_be(haul_stats(haul_group_context(g), &stats, sizeof(stats)), 0);
	must_be(stats.unexpected, 0);
}

Test(group_badinput, messages_that_came_in_vain_are_not_kept)
{
	crew_run(2, NULL, keep_failing, NULL);
	crew_run(3, NULL, keep_failing, NULL);
}

static uint64_t unexpected(struct haul_group *g)
{
	struct haul_stats stats;
	must(haul_progress(haul_group_context(g)) >= 0);
	must_be(haul_stats(haul_group_context(g), &stats, sizeof(stats)), 0);
	return stats.unexpected;
}

/* Each takes itself for the root, has sent all, and is content. */
static void send_in_vain(struct haul_group *g, const void *arg)
{
	const size_t *len = arg;
	must_be(haul_barrier(g, T), 0);
	if (crew_rank() == 1) {
		must_be(haul_bcast(g, 1, a, 8, T), 0);
		crew_heed();
	} else {
		while (unexpected(g) == 0)
			;
		must_be(haul_bcast(g, 0, a, *len, T), 0);
		must_be(unexpected(g), 0);
		crew_say();
	}
	must_be(haul_barrier(g, T), 0);
}

Test(group_badinput, nor_where_all_is_well_for_who_sends)
{
	for (size_t len = 0; len <= 8; len += 8) {
		struct crew c;
		crew_start(&c, 2, NULL, send_in_vain, &len);
		crew_await(&c, 0);
		crew_go(&c, 1);
		crew_end(&c);
	}
}

/* ---- what the caller can see ---- */

static void call_badly(struct haul_group *g, const void *arg)
{
	static const int no_ranks[] = { -2, -1000, INT32_MAX, INT32_MIN, 3 };
	struct haul_group *out;
	struct haul_peer *p;
	struct haul_req *r;
	struct haul_status s;
	struct haul_msg *m;
	struct haul_operator op = sum;
	(void)arg;
	for (size_t i = 0; i < sizeof(no_ranks) / sizeof(no_ranks[0]); i++) {
		int bad = no_ranks[i];
		struct haul_group_match match = { .from = bad };
		must_be(haul_group_send(g, bad, 0, a, 1, T), -EINVAL);
		must_be(haul_group_isend(g, bad, 0, NULL, 0, 0, &r), -EINVAL);
		must_be(haul_group_recv(g, &match, a, 1, T, &s), -EINVAL);
		must_be(s.error, -EINVAL);
		must_be(haul_group_irecv(g, &match, NULL, 0, &r), -EINVAL);
		must_be(haul_group_probe(g, &match, T, &s), -EINVAL);
		must_be(haul_group_take(g, &match, T, &m), -EINVAL);
		must_be(haul_group_itake(g, &match, &r), -EINVAL);
		must_be(haul_bcast(g, bad, a, 1, T), -EINVAL);
		must_be(haul_gather(g, bad, a, 1, b, T), -EINVAL);
		must_be(haul_scatter(g, bad, a, b, 1, T), -EINVAL);
		must_be(haul_reduce(g, bad, &sum, a, b, 1, T), -EINVAL);
		must_be(haul_group_peer(g, bad, T, &p), -EINVAL);
		must_be(haul_group_translate(g, bad, g), -EINVAL);
	}
	must_be(haul_group_send(g, HAUL_ANY_RANK, 0, a, 1, T), -EINVAL);
	must_be(haul_group_send(g, 0, 0, a, 1, -2), -EINVAL);
	must_be(haul_group_send(g, 1, 0, NULL, 1, T), -EINVAL);
	must_be(haul_group_recv(g, NULL, NULL, 1, T, NULL), -EINVAL);
	must_be(haul_group_recv(g, NULL, a, 1, -2, NULL), -EINVAL);
	must_be(haul_group_isend(g, 0, 0, NULL, 0, 0, NULL), -EINVAL);
	must_be(haul_group_irecv(g, NULL, NULL, 0, NULL), -EINVAL);
	must_be(haul_group_itake(g, NULL, NULL), -EINVAL);
	must_be(haul_group_take(g, NULL, T, NULL), -EINVAL);
	must_be(haul_group_probe(g, NULL, T, NULL), -EINVAL);
	must_be(haul_group_split(g, 0, 0, T, NULL), -EINVAL);
	must_be(haul_group_dup(g, T, NULL), -EINVAL);
	must_be(haul_group_free(g, -2), -EINVAL);

	/* Timeouts. */
	for (int what = DEED_BARRIER; what < KINDS; what++)
		must(call(NULL, what, 0, 8) == -EINVAL);
	must_be(haul_barrier(g, 0), -EINVAL);
	must_be(haul_barrier(g, -2), -EINVAL);
	must_be(haul_bcast(g, 0, a, 1, 0), -EINVAL);
	must_be(haul_allreduce(g, &sum, a, b, 1, 0), -EINVAL);
	must_be(haul_group_split(g, 0, 0, 0, &out), -EINVAL);
	must_be(haul_ibarrier(g, NULL), -EINVAL);
	must_be(haul_iallreduce(g, &sum, a, b, 1, NULL), -EINVAL);

	/* Buffers. */
	must_be(haul_bcast(g, 0, NULL, 1, T), -EINVAL);
	must_be(haul_bcast(g, 0, a, SIZE_MAX, T), -EINVAL);
	must_be(haul_bcast(g, 0, HAUL_IN_PLACE, 8, T), -EINVAL);
	must_be(haul_gather(g, (crew_rank() + 1) % 3, HAUL_IN_PLACE, 8, b, T), -EINVAL);
	must_be(haul_gather(g, crew_rank(), a, 8, NULL, T), -EINVAL);
	must_be(haul_gather(g, crew_rank(), NULL, 8, b, T), -EINVAL);
	must_be(haul_gather(g, crew_rank(), a, 8, a, T), -EINVAL);
	must_be(haul_gather(g, crew_rank(), a, SIZE_MAX / 2, b, T), -EINVAL);
	must_be(haul_scatter(g, crew_rank(), a, NULL, 8, T), -EINVAL);
	must_be(haul_scatter(g, crew_rank(), NULL, b, 8, T), -EINVAL);
	must_be(haul_scatter(g, crew_rank(), a, a + 8, 8, T), -EINVAL);
	must_be(haul_scatter(g, (crew_rank() + 1) % 3, NULL, HAUL_IN_PLACE, 8, T), -EINVAL);
	must_be(haul_allgather(g, a, 8, NULL, T), -EINVAL);
	must_be(haul_allgather(g, NULL, 8, b, T), -EINVAL);
	must_be(haul_allgather(g, b + 8, 8, b, T), -EINVAL);
	must_be(haul_allgather(g, a, SIZE_MAX / 3, b, T), -EINVAL);
	must_be(haul_allgather(g, a, 8, HAUL_IN_PLACE, T), -EINVAL);
	must_be(haul_alltoall(g, NULL, b, 8, T), -EINVAL);
	must_be(haul_alltoall(g, a, NULL, 8, T), -EINVAL);
	must_be(haul_alltoall(g, a, a + 23, 8, T), -EINVAL);
	must_be(haul_alltoall(g, a, b, SIZE_MAX / 2 + 1, T), -EINVAL);

	/* Lengths and offsets. */
	const size_t eights[] = { 8, 8, 8 }, rising[] = { 0, 8, 16 }, tight[] = { 0, 7, 16 },
	             far[] = { 0, 8, SIZE_MAX - 3 };
	const size_t huge[] = { 8, SIZE_MAX / 2, SIZE_MAX / 2 + 10 };
	must_be(haul_allgatherv(g, a, 8, b, NULL, rising, T), -EINVAL);
	must_be(haul_allgatherv(g, a, 8, b, eights, NULL, T), -EINVAL);
	must_be(haul_allgatherv(g, a, 8, b, eights, tight, T), -EINVAL);
	must_be(haul_allgatherv(g, a, 8, b, eights, far, T), -EINVAL);
	must_be(haul_allgatherv(g, a, 8, b, huge, rising, T), -EINVAL);
	must_be(haul_allgatherv(g, a, 9, b, eights, rising, T), -EINVAL);
	must_be(haul_gatherv(g, crew_rank(), a, 8, b, NULL, rising, T), -EINVAL);
	must_be(haul_gatherv(g, crew_rank(), a, 8, b, eights, NULL, T), -EINVAL);
	must_be(haul_gatherv(g, crew_rank(), a, 8, b, eights, tight, T), -EINVAL);
	must_be(haul_gatherv(g, crew_rank(), a, 4, b, eights, rising, T), -EINVAL);
	must_be(haul_scatterv(g, crew_rank(), a, NULL, NULL, b, 8, T), -EINVAL);
	must_be(haul_scatterv(g, crew_rank(), a, eights, far, b, 8, T), -EINVAL);
	must_be(haul_scatterv(g, crew_rank(), a, eights, rising, b, 4, T), -EINVAL);
	must_be(haul_alltoallv(g, a, eights, rising, b, eights, tight, T), -EINVAL);
	must_be(haul_alltoallv(g, a, NULL, rising, b, eights, rising, T), -EINVAL);
	must_be(haul_alltoallv(g, a, eights, rising, b, eights, NULL, T), -EINVAL);
	must_be(haul_alltoallv(g, a, eights, rising, a + 16, eights, rising, T), -EINVAL);

	/* Operators and counts. */
	must_be(haul_allreduce(g, NULL, a, b, 1, T), -EINVAL);
	op.operation = 0;
	must_be(haul_allreduce(g, &op, a, b, 1, T), -EINVAL);
	op = (struct haul_operator){ .operation = HAUL_BAND, .type = HAUL_DOUBLE };
	must_be(haul_allreduce(g, &op, a, b, 1, T), -EINVAL);
	op = (struct haul_operator){ .operation = HAUL_SUM, .type = 99 };
	must_be(haul_scan(g, &op, a, b, 1, T), -EINVAL);
	op = (struct haul_operator){ .operation = HAUL_USER, .type = HAUL_BYTES, .size = 8 };
	must_be(haul_exscan(g, &op, a, b, 1, T), -EINVAL);
	must_be(haul_allreduce(g, &sum, a, b, SIZE_MAX / 2, T), -EINVAL);
	must_be(haul_allreduce(g, &sum, a, b, SIZE_MAX / 4 + 1, T), -EINVAL);
	must_be(haul_allreduce(g, &sum, NULL, b, 1, T), -EINVAL);
	must_be(haul_allreduce(g, &sum, a, NULL, 1, T), -EINVAL);
	must_be(haul_allreduce(g, &sum, HAUL_IN_PLACE, NULL, 1, T), -EINVAL);
	must_be(haul_allreduce(g, &sum, a, a + 2, 1, T), -EINVAL);
	must_be(haul_allreduce(g, &sum, a, HAUL_IN_PLACE, 1, T), -EINVAL);
	must_be(haul_reduce(g, (crew_rank() + 1) % 3, &sum, HAUL_IN_PLACE, b, 1, T), -EINVAL);
	must_be(haul_reduce(g, crew_rank(), &sum, a, a, 1, T), -EINVAL);
	must_be(haul_scan(g, &sum, a, a, 1, T), -EINVAL);
	must_be(haul_exscan(g, &sum, NULL, b, 1, T), -EINVAL);
	must_be(haul_reduce_scatter(g, &sum, a, b, NULL, T), -EINVAL);
	must_be(haul_reduce_scatter(g, &sum, a, b, huge, T), -EINVAL);
	must_be(haul_reduce_scatter(g, &sum, a, a + 90, eights, T), -EINVAL);

	/* None of these took part in anything. */
	must_be(haul_barrier(g, T), 0);
	int one = 1, all = 0;
	must_be(haul_allreduce(g, &sum, &one, &all, 1, T), 0);
	must_be(all, 3);
}

Test(group_badinput, what_can_be_seen_to_be_wrong_is_EINVAL_at_the_caller)
{
	crew_run(3, NULL, call_badly, NULL);
}

/* It is the group's, but that is all that happens. */
static void close_what_is_not_ours(struct haul_group *g)
{
	struct haul_peer *p;
	struct haul_req *r;
	struct haul_group_match match = { .from = 1 - crew_rank() };
	must_be(haul_group_peer(g, match.from, T, &p), 0);
	must_be(haul_group_irecv(g, &match, &(struct iovec){ a, 1 }, 1, &r), 0);
	crew_meet();
	if (crew_rank() == 0)
		must(haul_peer_close(p, T) <= 0);
	must_be(haul_req_wait(r, T), 0);
	int rc = haul_req_finish(r, NULL);
	must(rc == -EPIPE || rc == -ECONNRESET || rc == -ECANCELED);
	rc = haul_group_send(g, match.from, 0, a, 1, T);
	must(rc == -EPIPE || rc == -ECONNRESET);
	crew_meet();
}

static void connect_and_close(struct haul_group *g, const void *arg)
{
	(void)arg;
	if (crew_rank() == 1)
		must_be(haul_group_send(g, 0, 0, a, 1, T), 0);
	else
		must_be(haul_group_recv(g, NULL, a, 1, T, NULL), 1);
	crew_meet();
	close_what_is_not_ours(g);
}

/* Both connect before either hears of the other, so there are two connections. */
static void cross_and_close(struct haul_group *g, const void *arg)
{
	struct haul_req *r;
	struct haul_group_match match = { .from = 1 - crew_rank() };
	(void)arg;
	must_be(haul_group_isend(g, match.from, 0, &(struct iovec){ a, 1 }, 1, 0, &r), 0);
	crew_meet();
	must_be(haul_group_recv(g, &match, b, 1, T, NULL), 1);
	must_be(haul_req_wait(r, T), 0);
	must_be(haul_req_finish(r, NULL), 0);
	close_what_is_not_ours(g);
}

static void expect_group_to_outlive(crew_part *part)
{
	struct crew c;
	crew_start(&c, 2, NULL, part, NULL);
	for (int i = 0; i < 3; i++) {
		crew_await_all(&c);
		crew_go_all(&c);
	}
	crew_end(&c);
}

Test(group_badinput, a_group_outlives_a_connection_that_is_closed_under_it)
{
	expect_group_to_outlive(connect_and_close);
}

Test(group_badinput, a_group_outlives_one_of_two_connections_that_crossed)
{
	expect_group_to_outlive(cross_and_close);
}

static void try_to_reach_nobody(struct haul_group *g, const void *arg)
{
	struct haul *h;
	struct haul_peer *p;
	(void)arg;
	if (crew_rank() == 1)
		return; /* never listens */
	g = crew_open(&h);
	must_be(haul_group_peer(g, 1, 0, &p), -EAGAIN);
	must_be(haul_group_send(g, 1, 0, a, 1, 0), -EAGAIN);
	crew_close(h, g);
}

Test(group_badinput, one_that_does_not_listen_yet_is_EAGAIN_for_who_does_not_wait)
{
	crew_run(2, &(struct crew_options){ .bare = true }, try_to_reach_nobody, NULL);
}

static void give_nothing(struct haul_group *g, const void *arg)
{
	(void)arg;
	must_be(haul_bcast(g, 0, NULL, 0, T), 0);
	must_be(haul_gather(g, 0, NULL, 0, NULL, T), 0);
	must_be(haul_scatter(g, 0, NULL, NULL, 0, T), 0);
	must_be(haul_allgather(g, NULL, 0, NULL, T), 0);
	must_be(haul_alltoall(g, NULL, NULL, 0, T), 0);
	must_be(haul_allreduce(g, &sum, NULL, NULL, 0, T), 0);
	must_be(haul_reduce(g, 2, &sum, NULL, NULL, 0, T), 0);
	must_be(haul_scan(g, &sum, NULL, NULL, 0, T), 0);
	must_be(haul_exscan(g, &sum, NULL, NULL, 0, T), 0);
	must_be(haul_reduce_scatter(g, &sum, NULL, NULL, (size_t[3]){ 0 }, T), 0);
	must_be(haul_barrier(g, T), 0);
}

Test(group_badinput, nothing_is_a_length_too)
{
	crew_run(3, NULL, give_nothing, NULL);
}

/* ---- how a group comes ---- */

static void set(const char *name, const char *value)
{
	if (value != NULL)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

static void be_started_oddly(struct haul_group *g, const void *arg)
{
	static const char *const rows[][6] = {
		/* rank, size, job, listen, control */
		{ "0", NULL, NULL, NULL, NULL }, { NULL, "2", NULL, NULL, NULL },
		{ NULL, NULL, "job", NULL, NULL }, { "0", "2", NULL, "99", NULL },
		{ NULL, "2", "job", "99", NULL }, { "0", NULL, "job", "99", NULL },
		{ "2", "2", "job", "99", NULL }, { "-1", "2", "job", "99", NULL },
		{ "x", "2", "job", "99", NULL }, { "", "2", "job", "99", NULL },
		{ "0", "0", "job", "99", NULL }, { "0", "2x", "job", "99", NULL },
		{ "0", "99999999999999999999", "job", "99", NULL }, { "0", "2", "", "99", NULL },
		{ "0", "2", "0123456789012345678901234567890123456789012345678901234567890123456789", "99",
		    NULL },
		{ "0", "2", "job", NULL, NULL }, { "0", "2", "job", "", NULL },
		{ "0", "2", "job", "x", NULL }, { "0", "2", "job", "-1", NULL },
		{ "0", "2", "job", "0", NULL },   /* no socket */
		{ "0", "2", "job", "999", NULL }, /* not open */
	};
	struct haul *h;
	(void)arg;
	must_be(haul_open(&h, NULL, 0), 0);
	int fds = fds_count();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		must_note_case("environment %zu", i);
		set("HAUL_RANK", rows[i][0]);
		set("HAUL_SIZE", rows[i][1]);
		set("HAUL_JOB", rows[i][2]);
		set("HAUL_LISTEN", rows[i][3]);
		set("HAUL_CONTROL", rows[i][4]);
		int rc = haul_group_init(h, NULL, 0, &g);
		must(rc < 0);
		must(i > 18 || rc == -EINVAL);
		must_be(fds_count(), fds);
	}
	must_be(haul_close(h, 0), 0);
}

Test(group_badinput, an_environment_that_makes_no_sense_is_refused)
{
	crew_run(1, &(struct crew_options){ .bare = true }, be_started_oddly, NULL);
}

static void be_given_odd_options(struct haul_group *g, const void *arg)
{
	struct haul *h;
	char name[64];
	snprintf(name, sizeof(name), "@odd-%d", (int)getpid());
	const char *two[] = { name, "@somebody-else" }, *none[] = { name, NULL },
	           *strange[] = { "what", name };
	struct haul_group_options o = { .rank = 0, .size = 2, .addresses = two };
	struct larger {
		struct haul_group_options o;
		int more;
	} larger = { o, 1 };
	(void)arg;
	must_be(haul_open(&h, NULL, 0), 0);
	int fds = fds_count();
	must_be(haul_group_init(NULL, &o, sizeof(o), &g), -EINVAL);
	must_be(haul_group_init(h, &o, sizeof(o), NULL), -EINVAL);
	must_be(haul_group_init(h, NULL, sizeof(o), &g), -EINVAL);
	must_be(haul_group_init(h, &o, 0, &g), -EINVAL);
	must_be(haul_group_init(h, &larger.o, sizeof(larger), &g), -E2BIG);
	larger.more = 0;
	must_be(haul_group_init(h, &larger.o, sizeof(larger), &g), 0);
	must_be(haul_group_free(g, 0), 0);
	for (int rank = -1; rank <= 2; rank += 3) {
		o.rank = rank;
		must_be(haul_group_init(h, &o, sizeof(o), &g), -EINVAL);
	}
	o = (struct haul_group_options){ .rank = 0, .size = -1, .addresses = two };
	must_be(haul_group_init(h, &o, sizeof(o), &g), -EINVAL);
	o = (struct haul_group_options){ .rank = 0, .size = 0, .addresses = two };
	must_be(haul_group_init(h, &o, sizeof(o), &g), -EINVAL);
	o = (struct haul_group_options){ .rank = 0, .size = 2 };
	must_be(haul_group_init(h, &o, sizeof(o), &g), -EINVAL);
	o = (struct haul_group_options){ .rank = 0, .size = 2, .addresses = none };
	must_be(haul_group_init(h, &o, sizeof(o), &g), -EINVAL);
	o = (struct haul_group_options){ .rank = 0, .size = 2, .addresses = strange };
	must_be(haul_group_init(h, &o, sizeof(o), &g), -EINVAL);
	o = (struct haul_group_options){ .rank = 0, .size = INT32_MAX, .addresses = two };
	must_be(haul_group_init(h, &o, sizeof(o), &g), -EINVAL);
	must_be(fds_count(), fds);
	must_be(haul_close(h, 0), 0);
	must_be(haul_open(&h, &(struct haul_options){ .max_msg = 75 }, sizeof(struct haul_options)), 0);
	o.size = 2;
	must_be(haul_group_init(h, &o, sizeof(o), &g), -EINVAL);
	must_be(haul_close(h, 0), 0);
}

Test(group_badinput, options_that_make_no_sense_are_refused)
{
	crew_run(1, &(struct crew_options){ .bare = true }, be_given_odd_options, NULL);
}

static void take_anothers_place(struct haul_group *g, const void *arg)
{
	struct haul *h, *other;
	struct haul_group *same;
	(void)arg;
	g = crew_open(&h);
	must_be(haul_open(&other, NULL, 0), 0);
	must_be(crew_init(other, &same), -EADDRINUSE);
	must_be(haul_close(other, 0), 0);
	must_be(haul_barrier(g, T), 0);
	crew_close(h, g);
}

Test(group_badinput, a_place_that_is_taken_is_EADDRINUSE)
{
	crew_run(2, &(struct crew_options){ .bare = true }, take_anothers_place, NULL);
}
