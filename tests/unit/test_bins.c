/* SPDX-License-Identifier: BSD-3-Clause */
/* Bins: which entries share one, in which order, and that it is found at once however many there are. */
#include "msg/bins.h"

#include <criterion/criterion.h>

#include "lib/fault.h"
#include "lib/seed.h"

TestSuite(bins, .timeout = 60);

enum { MOST = 100000 };

static struct entry {
	struct bin_link link;
	struct bin_place place;
	bool there;
} entries[MOST];

static size_t asked; /* for an entry's place */

static struct bin_place place_of(const struct bin_link *l)
{
	asked++;
	return ((const struct entry *)l)->place; /* link is its first member */
}

static struct bins started(void)
{
	struct bins b;
	bins_init(&b, place_of);
	cr_assert_not(bins_started(&b));
	cr_assert(bins_start(&b));
	cr_assert(bins_started(&b));
	return b;
}

static void add(struct bins *b, size_t i, uint64_t tag, uint64_t order)
{
	entries[i].place = (struct bin_place){ .key = { .tag = tag }, .order = order };
	bins_add(b, &entries[i].link);
	entries[i].there = true;
}

static void drop(struct bins *b, size_t i)
{
	bins_remove(b, &entries[i].link);
	entries[i].there = false;
}

static struct bin_link *first(const struct bins *b, uint64_t tag)
{
	return bins_first(b, &(struct bin_key){ .tag = tag });
}

/* A bin has those, by their index, and ends; and looks the same backwards. */
static void expect(const struct bins *b, uint64_t tag, const size_t *those, size_t count)
{
	struct bin_link *l = first(b, tag), *last = NULL;
	for (size_t i = 0; i < count; i++) {
		cr_assert_eq(l, &entries[those[i]].link, "entry %zu of tag %llu", i, (unsigned long long)tag);
		if (last != NULL)
			cr_assert_eq(l->prev, last);
		last = l;
		l = l->next;
	}
	cr_assert_null(l);
	if (last != NULL)
		cr_assert_eq(first(b, tag)->prev, last);
}

/* ---- keys ---- */

Test(bins, keys_that_differ_anywhere_have_bins_of_their_own)
{
	static const struct bin_key keys[] = {
		{ .tag = 1 },
		{ .tag = 2 },
		{ .tag = 1ull << 32 },
		{ .tag = 1ull << 63 },
		{ .tag = 1, .from = &entries[0] },
		{ .tag = 1, .from = &entries[1] },
		{ .tag = 1, .channel = 1 },
		{ .tag = 1, .channel = 1u << 31 },
		{ .tag = 1, .kind = 1 },
		{ .tag = 1, .kind = 2 },
	};
	enum { KEYS = sizeof(keys) / sizeof(keys[0]) };
	struct bins b = started();
	for (size_t i = 0; i < KEYS; i++) {
		cr_assert_null(bins_first(&b, &keys[i]));
		entries[i].place.key = keys[i];
		bins_add(&b, &entries[i].link);
	}
	for (size_t i = 0; i < KEYS; i++) {
		cr_assert_eq(bins_first(&b, &keys[i]), &entries[i].link, "key %zu", i);
		cr_assert_null(entries[i].link.next);
	}
	bins_stop(&b);
}

Test(bins, no_two_tables_share_their_random_numbers)
{
	struct bins x = started(), y = started();
	cr_assert_arr_neq(x.mix, y.mix, sizeof(x.mix));
	bins_stop(&x);
	bins_stop(&y);
}

/* ---- lists ---- */

Test(bins, equal_keys_are_in_their_order_however_they_came)
{
	static const uint64_t orders[] = { 5, 1, 9, 3, 7, 2 };
	struct bins b = started();
	for (size_t i = 0; i < 6; i++)
		add(&b, i, 7, orders[i]);
	expect(&b, 7, (const size_t[]){ 1, 5, 3, 0, 4, 2 }, 6);
	expect(&b, 8, NULL, 0);
	bins_stop(&b);
}

Test(bins, whoever_leaves_the_others_stay_in_order)
{
	for (size_t gone = 0; gone < 4; gone++) {
		struct bins b = started();
		size_t left[3], count = 0;
		for (size_t i = 0; i < 4; i++) {
			add(&b, i, 7, i + 1);
			if (i != gone)
				left[count++] = i;
		}
		drop(&b, gone);
		expect(&b, 7, left, 3);
		add(&b, gone, 7, gone + 1);
		expect(&b, 7, (const size_t[]){ 0, 1, 2, 3 }, 4);
		for (size_t i = 0; i < 4; i++)
			drop(&b, i);
		expect(&b, 7, NULL, 0);
		bins_stop(&b);
	}
}

/* Entry i has tag i / 3 and order i % 3; any of them may be there. */
static void come_and_go(struct bins *b, size_t count, size_t times)
{
	for (size_t n = 0; n < times; n++) {
		size_t i = random_below(count);
		if (entries[i].there)
			drop(b, i);
		else
			add(b, i, i / 3, i % 3);
	}
	for (size_t tag = 0; tag < count / 3; tag++) {
		size_t those[3], found = 0;
		for (size_t i = 3 * tag; i < 3 * tag + 3; i++)
			if (entries[i].there)
				those[found++] = i;
		expect(b, tag, those, found);
	}
}

Test(bins, lists_that_share_buckets_come_and_go_on_their_own)
{
	struct bins b = started();
	seed_random();
	come_and_go(&b, 90, 1000);
	come_and_go(&b, 3000, 10000);
	come_and_go(&b, 30000, 100000);
	bins_stop(&b);
}

/* ---- memory ---- */

Test(bins, without_memory_there_is_no_table)
{
	struct bins b;
	bins_init(&b, place_of);
	fault_no_memory();
	cr_assert_not(bins_start(&b));
	cr_assert_not(bins_started(&b));
	fault_disarm();
	bins_stop(&b);
}

Test(bins, a_table_that_cannot_grow_serves_on_and_grows_later)
{
	struct bins b = started();
	seed_random();
	unsigned bits = b.bits;
	fault_no_memory();
	come_and_go(&b, 3000, 10000);
	cr_assert_eq(b.bits, bits);
	fault_disarm();
	come_and_go(&b, 3000, 10000);
	cr_assert_gt(b.bits, bits);
	bins_stop(&b);
}

Test(bins, stopping_forgets_and_leaves_room_for_a_new_start)
{
	struct bins b = started();
	add(&b, 0, 7, 1);
	bins_stop(&b);
	bins_stop(&b);
	cr_assert_not(bins_started(&b));
	cr_assert(bins_start(&b));
	expect(&b, 7, NULL, 0);
	add(&b, 0, 7, 1);
	expect(&b, 7, (const size_t[]){ 0 }, 1);
	bins_stop(&b);
}

/* ---- cost ---- */

/* All come, are looked up and go, and few entries are looked at for it. */
static void expect_cheap(uint64_t step, size_t equal)
{
	struct bins b = started();
	asked = 0;
	for (size_t i = 0; i < MOST; i++)
		add(&b, i, i / equal * step, i);
	for (size_t i = 0; i < MOST; i++)
		cr_assert_not_null(first(&b, i / equal * step));
	for (size_t i = 0; i < MOST; i++)
		drop(&b, i);
	cr_assert_lt(asked / MOST, 16, "%zu were looked at for %d entries", asked, MOST);
	bins_stop(&b);
}

Test(bins, what_is_looked_for_is_found_at_once_however_many_there_are)
{
	expect_cheap(1, 1);
	expect_cheap(256, 1);
	expect_cheap(1ull << 32, 1);
	expect_cheap(1ull << 40 | 1, 1);
	expect_cheap(0x9e3779b97f4a7c15, 1);
}

Test(bins, many_of_one_key_are_in_nobodys_way)
{
	expect_cheap(1, MOST);
	expect_cheap(1, MOST / 100);
	expect_cheap(1, 10);
}
