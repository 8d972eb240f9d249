/* SPDX-License-Identifier: BSD-3-Clause */
/* Ids: those we hand out, those a peer hands out to us, and those that nobody ever did. */
#include "msg/ids.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "wire/protocol.h"

TestSuite(ids, .timeout = 60);

static char objects[WIRE_WINDOW_MOST + 1];

static void expect_live(const struct ids *t, uint64_t id, void *expected)
{
	void *object = NULL;
	cr_assert_eq(ids_find(t, id, &object), ID_LIVE);
	cr_assert_eq(object, expected);
}

static void expect_dead(const struct ids *t, uint64_t id, enum id_state state)
{
	void *object = objects;
	cr_assert_eq(ids_find(t, id, &object), state, "id %llx", (unsigned long long)id);
	cr_assert_eq(object, objects, "no object is named that is not live");
}

/* ---- the sender's ---- */

Test(ids, no_two_live_objects_share_one)
{
	struct ids t;
	uint64_t ids[1000];
	ids_init(&t);
	for (size_t i = 0; i < 1000; i++) {
		ids[i] = ids_give(&t, &objects[i]);
		cr_assert_neq(ids[i], 0);
	}
	for (size_t i = 0; i < 1000; i++)
		expect_live(&t, ids[i], &objects[i]);
	ids_fini(&t);
}

Test(ids, the_first_use_of_a_slot_is_one)
{
	struct ids t;
	ids_init(&t);
	cr_assert_eq(ids_give(&t, objects), WIRE_ID(0, 1));
	cr_assert_eq(ids_give(&t, objects), WIRE_ID(1, 1));
	ids_fini(&t);
}

Test(ids, a_slot_is_used_again_under_another_id)
{
	struct ids t;
	ids_init(&t);
	uint64_t first = ids_give(&t, &objects[1]);
	ids_end(&t, first);
	uint64_t second = ids_give(&t, &objects[2]);
	cr_assert_eq(WIRE_ID_SLOT(second), WIRE_ID_SLOT(first));
	cr_assert_eq(WIRE_ID_USE(second), WIRE_ID_USE(first) + 1);
	expect_dead(&t, first, ID_STALE);
	expect_live(&t, second, &objects[2]);
	ids_end(&t, second);
	expect_dead(&t, first, ID_STALE);
	expect_dead(&t, second, ID_STALE);
	ids_fini(&t);
}

Test(ids, what_was_never_given_is_told_from_what_is_over)
{
	struct ids t;
	ids_init(&t);
	expect_dead(&t, WIRE_ID(0, 1), ID_NEVER);
	uint64_t id = ids_give(&t, objects);
	expect_dead(&t, WIRE_ID(0, 2), ID_NEVER);
	expect_dead(&t, WIRE_ID(0, 0), ID_NEVER);
	expect_dead(&t, WIRE_ID(1, 1), ID_NEVER);
	expect_dead(&t, WIRE_ID(UINT32_MAX, 1), ID_NEVER);
	ids_end(&t, id);
	expect_dead(&t, id, ID_STALE);
	expect_dead(&t, WIRE_ID(0, 2), ID_NEVER);
	ids_fini(&t);
}

Test(ids, there_are_as_many_as_the_window_allows_and_no_more)
{
	struct ids t;
	ids_init(&t);
	for (size_t i = 0; i < WIRE_WINDOW_MOST; i++) {
		uint64_t id = ids_give(&t, &objects[i]);
		cr_assert_neq(id, 0);
		cr_assert_lt(WIRE_ID_SLOT(id), WIRE_WINDOW_MOST);
	}
	cr_assert_eq(ids_give(&t, objects), 0);
	ids_end(&t, WIRE_ID(1234, 1));
	cr_assert_eq(ids_give(&t, &objects[WIRE_WINDOW_MOST]), WIRE_ID(1234, 2));
	cr_assert_eq(ids_give(&t, objects), 0);
	expect_live(&t, WIRE_ID(1234, 2), &objects[WIRE_WINDOW_MOST]);
	expect_live(&t, WIRE_ID(65535, 1), &objects[65535]);
	ids_fini(&t);
}

Test(ids, a_use_count_that_wraps_leaves_out_zero)
{
	struct ids t;
	ids_init(&t);
	uint64_t id = ids_give(&t, objects);
	ids_end(&t, id);
	t.slots[0].use = UINT32_MAX - 1; /* as after 2^32 - 2 messages */
	uint64_t last = ids_give(&t, &objects[1]);
	cr_assert_eq(last, WIRE_ID(0, UINT32_MAX));
	ids_end(&t, last);
	uint64_t first = ids_give(&t, &objects[2]);
	cr_assert_eq(first, WIRE_ID(0, 1));
	expect_dead(&t, last, ID_STALE);
	expect_live(&t, first, &objects[2]);
	ids_fini(&t);
}

/* ---- the receiver's ---- */

Test(ids, what_one_side_gives_the_other_files)
{
	struct ids ours, theirs;
	uint64_t live[64] = { 0 };
	ids_init(&ours);
	ids_init(&theirs);
	for (size_t round = 0; round < 20000; round++) {
		size_t i = (round * 29 + round / 64) % 64;
		if (live[i] != 0) {
			ids_end(&theirs, live[i]);
			ids_end(&ours, live[i]);
			expect_dead(&theirs, live[i], ID_STALE);
		}
		live[i] = ids_give(&ours, &objects[i]);
		cr_assert_eq(ids_file(&theirs, live[i], &objects[i]), 0);
		expect_live(&theirs, live[i], &objects[i]);
	}
	cr_assert_leq(ours.used, 64);
	ids_fini(&ours);
	ids_fini(&theirs);
}

Test(ids, filing_begins_at_any_slot_and_the_others_were_never_given)
{
	struct ids t;
	ids_init(&t);
	cr_assert_eq(ids_file(&t, WIRE_ID(40, 1), objects), 0);
	expect_live(&t, WIRE_ID(40, 1), objects);
	expect_dead(&t, WIRE_ID(39, 1), ID_NEVER);
	expect_dead(&t, WIRE_ID(39, UINT32_MAX), ID_NEVER);
	expect_dead(&t, WIRE_ID(41, 1), ID_NEVER);
	cr_assert_eq(ids_file(&t, WIRE_ID(3, 9), &objects[3]), 0);
	expect_live(&t, WIRE_ID(3, 9), &objects[3]);
	expect_dead(&t, WIRE_ID(3, 8), ID_STALE);
	ids_fini(&t);
}

Test(ids, an_id_is_filed_once)
{
	struct ids t;
	ids_init(&t);
	cr_assert_eq(ids_file(&t, WIRE_ID(5, 3), objects), 0);
	cr_assert_eq(ids_file(&t, WIRE_ID(5, 3), objects), -EPROTO, "live");
	cr_assert_eq(ids_file(&t, WIRE_ID(5, 4), objects), -EPROTO, "its slot is in use");
	ids_end(&t, WIRE_ID(5, 3));
	cr_assert_eq(ids_file(&t, WIRE_ID(5, 3), objects), -EPROTO, "over");
	cr_assert_eq(ids_file(&t, WIRE_ID(5, 2), objects), -EPROTO, "older than what is over");
	cr_assert_eq(ids_file(&t, WIRE_ID(5, 4), objects), 0);
	ids_fini(&t);
}

Test(ids, foreign_ids_keep_within_the_window)
{
	struct ids t;
	ids_init(&t);
	cr_assert_eq(ids_file(&t, WIRE_ID(65536, 1), objects), -EPROTO);
	cr_assert_eq(ids_file(&t, WIRE_ID(UINT32_MAX, 1), objects), -EPROTO);
	cr_assert_eq(ids_file(&t, WIRE_ID(0, 0), objects), -EPROTO);
	cr_assert_eq(ids_file(&t, 0, objects), -EPROTO);
	cr_assert_eq(ids_file(&t, WIRE_ID(65535, 1), objects), 0);
	expect_live(&t, WIRE_ID(65535, 1), objects);
	cr_assert_leq(t.count, WIRE_WINDOW_MOST);
	ids_fini(&t);
}

Test(ids, filing_goes_on_over_the_wrap)
{
	struct ids t;
	ids_init(&t);
	cr_assert_eq(ids_file(&t, WIRE_ID(0, 1), objects), 0);
	ids_end(&t, WIRE_ID(0, 1));
	t.slots[0].use = UINT32_MAX - 1;
	cr_assert_eq(ids_file(&t, WIRE_ID(0, UINT32_MAX), objects), 0);
	ids_end(&t, WIRE_ID(0, UINT32_MAX));
	cr_assert_eq(ids_file(&t, WIRE_ID(0, 1), objects), 0);
	expect_dead(&t, WIRE_ID(0, UINT32_MAX), ID_STALE);
	ids_fini(&t);
}

/* ---- walking ---- */

Test(ids, a_walk_meets_each_live_object_once_and_may_end_it)
{
	struct ids t;
	uint64_t ids[100];
	bool met[100] = { false };
	uint32_t at = 0;
	ids_init(&t);
	for (size_t i = 0; i < 100; i++)
		ids[i] = ids_give(&t, &objects[i]);
	for (size_t i = 0; i < 100; i += 3)
		ids_end(&t, ids[i]);
	for (char *o; (o = ids_next(&t, &at)) != NULL;) {
		size_t i = (size_t)(o - objects);
		cr_assert_not(met[i]);
		met[i] = true;
		ids_end(&t, ids[i]);
	}
	for (size_t i = 0; i < 100; i++)
		cr_assert_eq(met[i], i % 3 != 0);
	at = 0;
	cr_assert_null(ids_next(&t, &at));
	ids_fini(&t);
}

Test(ids, an_empty_table_has_nothing)
{
	struct ids t;
	uint32_t at = 0;
	ids_init(&t);
	cr_assert_null(ids_next(&t, &at));
	expect_dead(&t, 0, ID_NEVER);
	ids_fini(&t);
	ids_fini(&t);
}
