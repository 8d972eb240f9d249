/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Matching: by hand where a rule is worth a name, and at random against a model so slow that it can be
 * believed. HAUL_TEST_SEED repeats a random run.
 */
#include "msg/match.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/seed.h"

TestSuite(match, .timeout = 60);

static const int alice, bob;

static struct match_item item_of(const void *from, uint64_t tag)
{
	return (struct match_item){ .from = from, .tag = tag };
}

static struct match_recv recv_of(const void *from, uint64_t tag, uint64_t ignore)
{
	return (struct match_recv){ .want = { .from = from, .tag = tag, .ignore = ignore } };
}

static struct match_recv recv_any(void)
{
	return recv_of(NULL, 0, UINT64_MAX);
}

/* ---- what fits ---- */

#define WANT(f, t, i, c) \
	{ \
		.from = f, .tag = t, .ignore = i, .channel = c \
	}
#define ITEM(f, t, c) \
	{ \
		.from = f, .tag = t, .channel = c \
	}

Test(match, sources_tags_and_channels_fit_as_the_table_says)
{
	static const struct {
		struct match_want want;
		struct match_item item;
		bool fits;
	} table[] = {
		{ WANT(NULL, 0, UINT64_MAX, 0), ITEM(&alice, 7, 0), true }, /* anything */
		{ WANT(NULL, 7, 0, 0), ITEM(&alice, 7, 0), true },
		{ WANT(NULL, 7, 0, 0), ITEM(&alice, 6, 0), false },
		{ WANT(&alice, 7, 0, 0), ITEM(&alice, 7, 0), true },
		{ WANT(&alice, 7, 0, 0), ITEM(&bob, 7, 0), false },
		{ WANT(&alice, 0, UINT64_MAX, 0), ITEM(&bob, 0, 0), false },
		{ WANT(NULL, 0x12, 0x0f, 0), ITEM(&bob, 0x1e, 0), true },        /* ignored bits differ */
		{ WANT(NULL, 0x12, 0x0f, 0), ITEM(&bob, 0x22, 0), false },       /* another bit does */
		{ WANT(NULL, 1, 0, 0), ITEM(&bob, (1ull << 63) | 1, 0), false }, /* the highest bit counts */
		{ WANT(NULL, 1, 1ull << 63, 0), ITEM(&bob, (1ull << 63) | 1, 0), true },
		{ WANT(NULL, 0, UINT64_MAX, 0), ITEM(&bob, 0, 1),
		    false }, /* no wildcard reaches another channel */
		{ WANT(NULL, 0, UINT64_MAX, 1), ITEM(&bob, 0, 1), true },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct match m;
		struct match_recv r = { .want = table[i].want };
		struct match_item it = table[i].item;
		match_init(&m);
		match_queue(&m, &it);
		cr_assert_eq(match_find(&m, &r.want), table[i].fits ? &it : NULL, "row %zu, find", i);
		cr_assert_eq(match_post(&m, &r), table[i].fits ? &it : NULL, "row %zu, post", i);

		struct match_item later = table[i].item;
		match_init(&m);
		r.queued = false;
		cr_assert_null(match_post(&m, &r));
		cr_assert_eq(match_take(&m, &later), table[i].fits ? &r : NULL, "row %zu, take", i);
	}
}

/* ---- order ---- */

Test(match, any_source_keeps_arrival_order)
{
	struct match m;
	struct match_item items[] = { item_of(&alice, 1), item_of(&bob, 1), item_of(&alice, 2),
		item_of(&bob, 0) };
	match_init(&m);
	for (size_t i = 0; i < 4; i++)
		match_queue(&m, &items[i]);
	for (size_t i = 0; i < 4; i++) {
		struct match_recv any = recv_any();
		cr_assert_eq(match_post(&m, &any), &items[i]);
		cr_assert_not(items[i].queued);
		cr_assert_not(any.queued);
	}
}

Test(match, a_choosy_receive_gets_the_first_it_wants_and_leaves_the_rest_in_order)
{
	struct match m;
	struct match_item items[] = { item_of(&alice, 1), item_of(&bob, 2), item_of(&alice, 2),
		item_of(&bob, 2) };
	struct match_recv two = recv_of(&bob, 2, 0), any[3] = { recv_any(), recv_any(), recv_any() };
	match_init(&m);
	for (size_t i = 0; i < 4; i++)
		match_queue(&m, &items[i]);
	cr_assert_eq(match_post(&m, &two), &items[1]);
	cr_assert_eq(match_post(&m, &any[0]), &items[0]);
	cr_assert_eq(match_post(&m, &any[1]), &items[2]);
	cr_assert_eq(match_post(&m, &any[2]), &items[3]);
}

Test(match, receives_are_served_in_the_order_posted)
{
	struct match m;
	struct match_recv r[] = { recv_of(&bob, 1, 0), recv_any(), recv_of(&alice, 1, 0), recv_any() };
	struct match_item it = item_of(&alice, 1);
	match_init(&m);
	for (size_t i = 0; i < 4; i++)
		cr_assert_null(match_post(&m, &r[i]));
	cr_assert_eq(match_take(&m, &it), &r[1], "the first that fits, not the one that fits best");
	cr_assert_eq(match_take(&m, &it), &r[2]);
	cr_assert_eq(match_take(&m, &it), &r[3]);
	cr_assert_null(match_take(&m, &it));
	cr_assert(r[0].queued);
}

Test(match, a_message_given_back_returns_to_its_old_place)
{
	struct match m;
	struct match_item items[] = { item_of(&alice, 0), item_of(&alice, 1), item_of(&alice, 2),
		item_of(&alice, 3) };
	struct match_recv r = recv_of(NULL, 1, 0), any = recv_any();
	match_init(&m);
	for (size_t i = 0; i < 3; i++)
		match_queue(&m, &items[i]);
	cr_assert_eq(match_post(&m, &r), &items[1]);
	match_queue(&m, &items[3]); /* meanwhile another comes */
	match_queue(&m, &items[1]);
	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(match_post(&m, &any), &items[i]);
}

Test(match, the_first_and_the_last_return_to_the_ends)
{
	struct match m;
	struct match_item items[] = { item_of(&alice, 0), item_of(&alice, 1), item_of(&alice, 2) };
	struct match_recv any = recv_any();
	match_init(&m);
	for (size_t i = 0; i < 3; i++)
		match_queue(&m, &items[i]);
	match_drop_item(&m, &items[2]);
	match_drop_item(&m, &items[0]);
	match_queue(&m, &items[2]);
	match_queue(&m, &items[0]);
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(match_post(&m, &any), &items[i]);
}

Test(match, a_message_that_met_its_receive_at_once_has_a_place_too)
{
	struct match m;
	struct match_item items[] = { item_of(&alice, 0), item_of(&alice, 0), item_of(&alice, 0) };
	struct match_recv early = recv_any(), any = recv_any();
	match_init(&m);
	cr_assert_null(match_take(&m, &items[0]));
	match_queue(&m, &items[0]);
	match_drop_item(&m, &items[0]);
	cr_assert_null(match_post(&m, &early));
	cr_assert_eq(match_take(&m, &items[1]), &early);
	cr_assert_null(match_take(&m, &items[2]));
	match_queue(&m, &items[2]);
	match_queue(&m, &items[1]); /* the receive ended early */
	cr_assert_eq(match_post(&m, &any), &items[1]);
	cr_assert_eq(match_post(&m, &any), &items[2]);
}

Test(match, all_that_were_taken_return_in_any_order_to_their_places)
{
	struct match m;
	struct match_item items[] = { item_of(&alice, 0), item_of(&bob, 0), item_of(&alice, 0),
		item_of(&bob, 0) };
	struct match_recv any = recv_any();
	match_init(&m);
	for (size_t i = 0; i < 4; i++)
		match_queue(&m, &items[i]);
	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(match_post(&m, &any), &items[i]);
	match_queue(&m, &items[2]);
	match_queue(&m, &items[0]);
	match_queue(&m, &items[3]);
	match_queue(&m, &items[1]);
	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(match_post(&m, &any), &items[i]);
}

/* ---- looking and dropping ---- */

Test(match, finding_takes_nothing)
{
	struct match m;
	struct match_item it = item_of(&alice, 1);
	struct match_recv any = recv_any();
	match_init(&m);
	match_queue(&m, &it);
	cr_assert_eq(match_find(&m, &any.want), &it);
	cr_assert_eq(match_find(&m, &any.want), &it);
	cr_assert_eq(match_post(&m, &any), &it);
	cr_assert_null(match_find(&m, &any.want));
}

Test(match, what_was_dropped_matches_nothing_and_may_be_dropped_again)
{
	struct match m;
	struct match_item it = item_of(&alice, 1);
	struct match_recv any = recv_any();
	match_init(&m);
	match_queue(&m, &it);
	match_drop_item(&m, &it);
	match_drop_item(&m, &it);
	cr_assert_null(match_post(&m, &any));
	match_drop_recv(&m, &any);
	match_drop_recv(&m, &any);
	cr_assert_null(match_take(&m, &it));
}

/* ---- a model ---- */

/* The model keeps everything that ever was, in the order it came, with a mark whether it is still there. */
enum { MOST = 3000 };

static struct {
	struct match_item item;
	bool there, taken; /* taken: by a receive, which may give it back */
} items[MOST];

static struct {
	struct match_recv recv;
	bool there;
} recvs[MOST];

static size_t item_count, recv_count;

static bool model_fits(const struct match_want *w, const struct match_item *i)
{
	if (w->channel != i->channel || (w->from != NULL && w->from != i->from))
		return false;
	for (int bit = 0; bit < 64; bit++)
		if ((w->ignore >> bit & 1) == 0 && (w->tag >> bit & 1) != (i->tag >> bit & 1))
			return false;
	return true;
}

static size_t model_item(const struct match_want *w)
{
	for (size_t i = 0; i < item_count; i++)
		if (items[i].there && model_fits(w, &items[i].item))
			return i;
	return MOST;
}

static size_t model_recv(const struct match_item *it)
{
	for (size_t i = 0; i < recv_count; i++)
		if (recvs[i].there && model_fits(&recvs[i].recv.want, it))
			return i;
	return MOST;
}

static struct match_want random_want(void)
{
	static const int *const from[] = { NULL, NULL, &alice, &bob };
	static const uint64_t ignore[] = { 0, 0, 1, 6, UINT64_MAX };
	return (struct match_want){ .from = from[random_below(4)],
		.tag = random_below(8),
		.ignore = ignore[random_below(5)],
		.channel = random_below(8) == 0 };
}

/* A message comes, or comes back. */
static void place(struct match *m, size_t i)
{
	size_t expected = model_recv(&items[i].item);
	struct match_recv *r = match_take(m, &items[i].item);
	cr_assert_eq(r, expected == MOST ? NULL : &recvs[expected].recv);
	items[i].there = r == NULL;
	items[i].taken = r != NULL;
	if (r != NULL)
		recvs[expected].there = false;
	else
		match_queue(m, &items[i].item);
}

static void post(struct match *m)
{
	size_t r = recv_count++;
	recvs[r].recv = (struct match_recv){ .want = random_want() };
	size_t expected = model_item(&recvs[r].recv.want);
	struct match_item *it = match_post(m, &recvs[r].recv);
	cr_assert_eq(it, expected == MOST ? NULL : &items[expected].item);
	recvs[r].there = it == NULL;
	if (it != NULL) {
		items[expected].there = false;
		items[expected].taken = true;
	}
}

static void check_queues(const struct match *m)
{
	const struct match_item *it = TAILQ_FIRST(&m->items);
	const struct match_recv *r = TAILQ_FIRST(&m->recvs);
	for (size_t i = 0; i < item_count; i++) {
		cr_assert_eq(items[i].item.queued, items[i].there);
		if (items[i].there) {
			cr_assert_eq(it, &items[i].item);
			it = TAILQ_NEXT(it, entry);
		}
	}
	for (size_t i = 0; i < recv_count; i++) {
		cr_assert_eq(recvs[i].recv.queued, recvs[i].there);
		if (recvs[i].there) {
			cr_assert_eq(r, &recvs[i].recv);
			r = TAILQ_NEXT(r, entry);
		}
	}
	cr_assert_null(it);
	cr_assert_null(r);
}

Test(match, random_comings_and_goings_are_as_in_the_model)
{
	static const int *const from[] = { &alice, &bob };
	struct match m;
	seed_random();
	match_init(&m);
	while (item_count < MOST - 1 && recv_count < MOST - 1) {
		switch (random_below(8)) {
		case 0:
		case 1:
		case 2:
			items[item_count].item = (struct match_item){ .from = from[random_below(2)],
				.tag = random_below(8),
				.channel = random_below(8) == 0 };
			place(&m, item_count++);
			break;
		case 3:
		case 4:
		case 5:
			post(&m);
			break;
		case 6:
			if (item_count > 0) {
				size_t i = random_below(item_count);
				if (items[i].taken)
					place(&m, i);
			}
			break;
		case 7:
			if (item_count > 0 && recv_count > 0) {
				size_t i = random_below(item_count), r = random_below(recv_count);
				match_drop_item(&m, &items[i].item);
				match_drop_recv(&m, &recvs[r].recv);
				items[i].there = recvs[r].there = false;
			}
			break;
		}
		struct match_want w = random_want();
		size_t expected = model_item(&w);
		cr_assert_eq(match_find(&m, &w), expected == MOST ? NULL : &items[expected].item);
		if (random_below(32) == 0)
			check_queues(&m);
	}
	check_queues(&m);
}
