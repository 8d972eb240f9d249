/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Matching: by hand where a rule is worth a name, by the thousand where queues are long enough to be filed in
 * bins, and at random against a model so slow that it can be believed. HAUL_TEST_SEED repeats a random run.
 */
#include "msg/match.h"

#include <criterion/criterion.h>
#include <string.h>

#include "lib/fault.h"
#include "lib/seed.h"

TestSuite(match, .timeout = 60);

static const int alice, bob, carol;

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

/* ---- by the thousand ---- */

enum { MANY = 12000 };

static struct match_item many_items[MANY];
static struct match_recv many_recvs[MANY];
static size_t shuffled[MANY];

static void shuffle(void)
{
	for (size_t i = 0; i < MANY; i++) {
		size_t j = random_below(i + 1);
		shuffled[i] = shuffled[j];
		shuffled[j] = i;
	}
}

static const void *source(size_t i)
{
	return i % 2 == 0 ? &alice : &bob;
}

/* Of a kind for each i: that of both, of the tag, of the source (in a channel of its own), of half the tag. */
static struct match_want want_for(size_t i)
{
	struct match_want w = { .from = source(i), .tag = i };
	switch (i % 8) {
	case 0:
	case 3:
		w.from = NULL;
		break;
	case 5:
		w.channel = (uint32_t)i;
		w.ignore = UINT64_MAX;
		break;
	case 6:
		w.channel = (uint32_t)i;
		w.ignore = 0xf;
		break;
	}
	return w;
}

static struct match_item item_for(size_t i)
{
	return (struct match_item){ .from = source(i), .tag = i, .channel = want_for(i).channel };
}

static void expect_all_received_in_any_order(void)
{
	struct match m;
	match_init(&m);
	shuffle();
	for (size_t i = 0; i < MANY; i++) {
		many_recvs[i] = (struct match_recv){ .want = want_for(i) };
		cr_assert_null(match_post(&m, &many_recvs[i]));
	}
	for (size_t i = 0; i < MANY; i++) {
		struct match_item it = item_for(shuffled[i]);
		cr_assert_eq(match_take(&m, &it), &many_recvs[shuffled[i]]);
		cr_assert_null(match_take(&m, &it));
	}
	cr_assert(TAILQ_EMPTY(&m.recvs));
	match_fini(&m);
}

static void expect_all_asked_for_in_any_order(void)
{
	struct match m;
	match_init(&m);
	shuffle();
	for (size_t i = 0; i < MANY; i++) {
		many_items[i] = item_for(i);
		cr_assert_null(match_take(&m, &many_items[i]));
		match_queue(&m, &many_items[i]);
	}
	for (size_t i = 0; i < MANY; i++) {
		struct match_recv r = { .want = want_for(shuffled[i]) };
		cr_assert_eq(match_find(&m, &r.want), &many_items[shuffled[i]]);
		cr_assert_eq(match_post(&m, &r), &many_items[shuffled[i]]);
		cr_assert_null(match_find(&m, &r.want));
	}
	cr_assert(TAILQ_EMPTY(&m.items));
	match_fini(&m);
}

Test(match, each_of_thousands_of_receives_gets_its_message)
{
	seed_random();
	expect_all_received_in_any_order();
}

Test(match, each_of_thousands_of_messages_is_found)
{
	seed_random();
	expect_all_asked_for_in_any_order();
}

Test(match, without_memory_for_bins_the_same_are_found)
{
	seed_random();
	fault_no_memory();
	expect_all_received_in_any_order();
	expect_all_asked_for_in_any_order();
	fault_disarm();
}

Test(match, thousands_of_equal_receives_are_served_in_order)
{
	struct match m;
	struct match_item other = item_of(&bob, 8), it = item_of(&bob, 7);
	match_init(&m);
	for (size_t i = 0; i < MANY; i++) {
		many_recvs[i] = i % 2 == 0 ? recv_of(NULL, 7, 0) : recv_of(&bob, 7, 0);
		cr_assert_null(match_post(&m, &many_recvs[i]));
	}
	cr_assert_null(match_take(&m, &other));
	for (size_t i = 0; i < MANY; i += 3)
		match_drop_recv(&m, &many_recvs[i]);
	for (size_t i = 0; i < MANY; i++)
		if (i % 3 != 0)
			cr_assert_eq(match_take(&m, &it), &many_recvs[i]);
	cr_assert_null(match_take(&m, &it));
	match_fini(&m);
}

Test(match, thousands_of_equal_messages_are_found_in_order)
{
	struct match m;
	struct match_recv other = recv_of(&bob, 8, 0), r = recv_of(&bob, 7, 0);
	match_init(&m);
	for (size_t i = 0; i < MANY; i++) {
		many_items[i] = item_of(&bob, 7);
		match_queue(&m, &many_items[i]);
	}
	cr_assert_null(match_post(&m, &other));
	for (size_t i = 0; i < MANY; i += 3)
		match_drop_item(&m, &many_items[i]);
	for (size_t i = MANY - 3; i > 3; i -= 6) /* half of them come back, the last first */
		match_queue(&m, &many_items[i]);
	for (size_t i = 0; i < MANY; i++)
		if (i % 3 != 0 || many_items[i].queued)
			cr_assert_eq(match_post(&m, &r), &many_items[i]);
	cr_assert_null(match_post(&m, &r));
	match_fini(&m);
}

Test(match, whoever_was_posted_first_wins_also_among_thousands)
{
	static const struct match_want wants[] = {
		WANT(&alice, 7, 0, 0),
		WANT(NULL, 7, 0, 0),
		WANT(&alice, 0, UINT64_MAX, 0),
		WANT(NULL, 0, UINT64_MAX, 0),
		WANT(&alice, 5, 2, 0),
		WANT(NULL, 5, 2, 0),
	};
	enum { KINDS = sizeof(wants) / sizeof(wants[0]) };
	seed_random();
	shuffle();
	for (size_t round = 0; round < 100; round++) {
		struct match m;
		struct match_item other = item_of(&bob, 1);
		size_t kinds[20 * KINDS];
		match_init(&m);
		for (size_t i = 0; i < 1000; i++) {
			many_recvs[i] = recv_of(&bob, 2 + i % 7, 0);
			cr_assert_null(match_post(&m, &many_recvs[i]));
		}
		cr_assert_null(match_take(&m, &other));
		for (size_t i = 0; i < 20 * KINDS; i++) {
			kinds[i] = random_below(KINDS);
			many_recvs[1000 + i] = (struct match_recv){ .want = wants[kinds[i]] };
			cr_assert_null(match_post(&m, &many_recvs[1000 + i]));
		}
		for (size_t i = 0; i < 20 * KINDS; i++) {
			struct match_item it = item_of(&alice, 7);
			cr_assert_eq(match_take(&m, &it), &many_recvs[1000 + i], "kind %zu", kinds[i]);
		}
		match_fini(&m);
	}
}

/* ---- a model ---- */

/* Two arrays, in order, and whatever is looked for is looked for from the start. What is not in them is idle,
 * or, if a message, perhaps taken by a receive, which may give it back. */
static struct match_item *waiting[MANY];
static struct match_recv *posted[MANY];
static size_t waiting_count, posted_count;
static uint64_t came[MANY], comings;   /* the order of many_items, by our own count */
static bool taken[MANY];               /* of many_items */
static size_t tag_count, object_count; /* how many of each there are */

static bool model_fits(const struct match_want *w, const struct match_item *i)
{
	if (w->channel != i->channel || (w->from != NULL && w->from != i->from))
		return false;
	for (int bit = 0; bit < 64; bit++)
		if ((w->ignore >> bit & 1) == 0 && (w->tag >> bit & 1) != (i->tag >> bit & 1))
			return false;
	return true;
}

static struct match_item *model_item(const struct match_want *w)
{
	for (size_t i = 0; i < waiting_count; i++)
		if (model_fits(w, waiting[i]))
			return waiting[i];
	return NULL;
}

static struct match_recv *model_recv(const struct match_item *it)
{
	for (size_t i = 0; i < posted_count; i++)
		if (model_fits(&posted[i]->want, it))
			return posted[i];
	return NULL;
}

static void model_queue(struct match_item *it)
{
	size_t at = waiting_count++;
	for (; at > 0 && came[waiting[at - 1] - many_items] > came[it - many_items]; at--)
		waiting[at] = waiting[at - 1];
	waiting[at] = it;
}

static void model_drop_item(const struct match_item *it)
{
	size_t at = 0;
	while (at < waiting_count && waiting[at] != it)
		at++;
	if (at < waiting_count)
		memmove(&waiting[at], &waiting[at + 1], (--waiting_count - at) * sizeof(waiting[0]));
}

static void model_drop_recv(const struct match_recv *r)
{
	size_t at = 0;
	while (at < posted_count && posted[at] != r)
		at++;
	if (at < posted_count)
		memmove(&posted[at], &posted[at + 1], (--posted_count - at) * sizeof(posted[0]));
}

/* Some receives ask for what never comes, and some messages come that are not asked for, so that both queues
 * grow long at times. */
static struct match_want random_want(void)
{
	static const int *const from[] = { NULL, NULL, &alice, &bob, &carol };
	static const uint64_t ignore[] = { 0, 0, 0, 0, 0, 1, 6, UINT64_MAX };
	return (struct match_want){ .from = from[random_below(5)],
		.tag = random_below(tag_count),
		.ignore = ignore[random_below(8)],
		.channel = random_below(8) == 0 };
}

static struct match_item random_item(void)
{
	return (struct match_item){ .from = source(random_below(2)),
		.tag = tag_count / 4 + random_below(tag_count),
		.channel = random_below(8) == 0 };
}

/* A message comes, or comes back. */
static void place(struct match *m, size_t i)
{
	struct match_recv *expected = model_recv(&many_items[i]);
	cr_assert_eq(match_take(m, &many_items[i]), expected);
	taken[i] = expected != NULL;
	if (expected != NULL) {
		model_drop_recv(expected);
	} else {
		match_queue(m, &many_items[i]);
		model_queue(&many_items[i]);
	}
}

static void come(struct match *m)
{
	size_t i = random_below(object_count);
	if (many_items[i].queued || taken[i])
		return;
	many_items[i] = random_item();
	came[i] = ++comings;
	place(m, i);
}

static void post(struct match *m)
{
	struct match_recv *r = &many_recvs[random_below(object_count)];
	if (r->queued)
		return;
	memset(r, 0xa5, sizeof(*r)); /* all that has to be set is what is set here */
	r->want = random_want();
	r->queued = false;
	struct match_item *expected = model_item(&r->want);
	cr_assert_eq(match_post(m, r), expected);
	if (expected != NULL) {
		model_drop_item(expected);
		taken[expected - many_items] = true;
	} else {
		posted[posted_count++] = r;
	}
}

static void give_back(struct match *m)
{
	size_t i = random_below(object_count);
	if (taken[i])
		place(m, i);
}

static void finish(struct match *m)
{
	(void)m;
	taken[random_below(object_count)] = false;
}

static void drop_item(struct match *m)
{
	struct match_item *it = waiting_count > 0 ? waiting[random_below(waiting_count)] : &many_items[0];
	match_drop_item(m, it);
	model_drop_item(it);
}

static void drop_recv(struct match *m)
{
	struct match_recv *r = posted_count > 0 ? posted[random_below(posted_count)] : &many_recvs[0];
	match_drop_recv(m, r);
	model_drop_recv(r);
}

static void find(struct match *m)
{
	struct match_want w = random_want();
	cr_assert_eq(match_find(m, &w), model_item(&w));
}

static void check_queues(const struct match *m)
{
	const struct match_item *it = TAILQ_FIRST(&m->items);
	const struct match_recv *r = TAILQ_FIRST(&m->recvs);
	for (size_t i = 0; i < waiting_count; i++, it = TAILQ_NEXT(it, entry))
		cr_assert_eq(it, waiting[i]);
	for (size_t i = 0; i < posted_count; i++, r = TAILQ_NEXT(r, entry))
		cr_assert_eq(r, posted[i]);
	cr_assert_null(it);
	cr_assert_null(r);
	size_t queued = 0;
	for (size_t i = 0; i < object_count; i++)
		queued += many_items[i].queued + many_recvs[i].queued;
	cr_assert_eq(queued, waiting_count + posted_count);
}

Test(match, random_comings_and_goings_are_as_in_the_model)
{
	static void (*const actions[])(struct match *) = { come, post, give_back, finish, drop_item,
		drop_recv, find };
	enum { ACTIONS = sizeof(actions) / sizeof(actions[0]), OPERATIONS = 400000, MOOD_LASTS = 2000 };
	static const size_t moods[][ACTIONS] = {
		{ 4, 4, 1, 2, 1, 1, 2 },
		{ 8, 1, 1, 2, 0, 1, 1 }, /* messages pile up */
		{ 1, 8, 1, 2, 1, 0, 1 }, /* receives do */
		{ 0, 1, 8, 1, 1, 1, 1 },
		{ 0, 1, 0, 4, 8, 8, 1 }, /* all goes away */
		{ 4, 4, 1, 4, 3, 3, 1 }, /* little stays */
	};
	enum { MOODS = sizeof(moods) / sizeof(moods[0]) };
	struct match m;
	size_t filed_items = 0, filed_recvs = 0;
	seed_random();
	match_init(&m);
	tag_count = 8;
	object_count = 300;
	for (size_t n = 0; n < OPERATIONS; n++) {
		const size_t *mood = moods[n / MOOD_LASTS % MOODS];
		size_t sum = 0, action = 0;
		for (size_t i = 0; i < ACTIONS; i++)
			sum += mood[i];
		for (size_t die = random_below(sum); die >= mood[action]; action++)
			die -= mood[action];
		if (random_below(16) == 0)
			fault_no_memory();
		actions[action](&m);
		fault_disarm();
		filed_items += m.items_filed != 0;
		filed_recvs += m.recvs_filed != 0;
		if (random_below(32) == 0)
			check_queues(&m);
	}
	check_queues(&m);
	match_fini(&m);
	cr_assert_gt(filed_items, OPERATIONS / 20, "long queues were tried: %zu", filed_items);
	cr_assert_gt(filed_recvs, OPERATIONS / 20, "long queues were tried: %zu", filed_recvs);
	cr_assert_lt(filed_items, OPERATIONS - OPERATIONS / 20, "and short ones: %zu", filed_items);
	cr_assert_lt(filed_recvs, OPERATIONS - OPERATIONS / 20, "and short ones: %zu", filed_recvs);
}

Test(match, thousands_that_come_and_go_are_as_in_the_model)
{
	struct match m;
	seed_random();
	match_init(&m);
	tag_count = 3 * MANY;
	object_count = MANY;
	for (size_t n = 0; n < 3 * MANY; n++)
		come(&m);
	check_queues(&m);
	for (size_t n = 0; n < 3 * MANY; n++) {
		post(&m);
		finish(&m);
	}
	check_queues(&m);
	for (size_t n = 0; n < 2 * MANY; n++) {
		give_back(&m);
		drop_item(&m);
		come(&m);
	}
	check_queues(&m);
	match_fini(&m);
}
