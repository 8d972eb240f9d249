/* SPDX-License-Identifier: BSD-3-Clause */
/* Words that others read: each has one owner, is 0 without one, and is wiped in a forked child. */
#include "os/words.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "lib/child.h"

TestSuite(words, .timeout = 60);

enum { MANY = 1300 /* more than two pages full */, CHILD_MS = 10000 };

static struct words words;
static word_t *taken[MANY];

static void take_all(void)
{
	words_init(&words);
	for (size_t i = 0; i < MANY; i++)
		cr_assert_not_null(taken[i] = words_take(&words));
}

static int by_address(const void *a, const void *b)
{
	const word_t *const *x = a, *const *y = b;
	return *x < *y ? -1 : *x > *y;
}

static void expect_distinct(void)
{
	word_t *sorted[MANY];
	for (size_t i = 0; i < MANY; i++)
		sorted[i] = taken[i];
	qsort(sorted, MANY, sizeof(sorted[0]), by_address);
	for (size_t i = 1; i < MANY; i++)
		cr_assert_lt(sorted[i - 1], sorted[i]);
}

Test(words, none_is_handed_out_twice)
{
	take_all();
	expect_distinct();
	for (size_t i = 0; i < MANY; i += 3)
		words_give(&words, taken[i]);
	for (size_t i = 0; i < MANY; i += 3)
		taken[i] = words_take(&words);
	expect_distinct();
	words_fini(&words);
}

Test(words, they_are_aligned)
{
	take_all();
	for (size_t i = 0; i < MANY; i++)
		cr_assert_eq((uintptr_t)taken[i] % 8, 0);
	words_fini(&words);
}

Test(words, one_without_an_owner_is_zero)
{
	take_all();
	for (size_t i = 0; i < MANY; i++) {
		cr_assert_eq(*taken[i], 0, "fresh");
		*taken[i] = i + 1;
	}
	for (size_t i = 0; i < MANY; i++)
		cr_assert_eq(*taken[i], i + 1, "nobody else's");
	for (size_t i = 0; i < MANY; i++) {
		words_give(&words, taken[i]);
		cr_assert_eq(*taken[i], 0, "given back: who still reads it learns so");
	}
	for (size_t i = 0; i < MANY; i++)
		cr_assert_eq(*words_take(&words), 0, "taken again");
	words_fini(&words);
}

Test(words, those_given_back_are_used_before_new_pages)
{
	take_all();
	size_t pages = words.page_count;
	for (int round = 0; round < 5; round++) {
		for (size_t i = 0; i < MANY; i++)
			words_give(&words, taken[i]);
		for (size_t i = 0; i < MANY; i++)
			taken[i] = words_take(&words);
	}
	cr_assert_eq(words.page_count, pages);
	words_fini(&words);
}

static int look_in_child(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < MANY; i++)
		child_check(*taken[i] == 0);
	return 0;
}

Test(words, a_forked_child_reads_zeros)
{
	struct child c;
	take_all();
	for (size_t i = 0; i < MANY; i++)
		*taken[i] = i + 1;
	child_start(&c, CHILD_MS, look_in_child, NULL);
	child_expect(&c, 0);
	for (size_t i = 0; i < MANY; i++)
		cr_assert_eq(*taken[i], i + 1, "the parent's are as they were");
	words_fini(&words);
}

static int go_on_in_child(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < MANY; i++)
		words_give(&words, taken[i]);
	for (size_t i = 0; i < MANY; i++) {
		word_t *w = words_take(&words);
		child_check(w != NULL && *w == 0);
		*w = 1;
	}
	words_fini(&words);
	return 0;
}

Test(words, a_forked_child_may_give_take_and_end_its_own_copy)
{
	struct child c;
	take_all();
	*taken[0] = 7;
	child_start(&c, CHILD_MS, go_on_in_child, NULL);
	child_expect(&c, 0);
	cr_assert_eq(*taken[0], 7);
	words_fini(&words);
}

Test(words, nothing_is_given_back_by_null)
{
	words_init(&words);
	words_give(&words, NULL);
	cr_assert_eq(words.free_count, 0);
	words_fini(&words);
	words_fini(&words);
}

/* ---- the fork word ---- */

static int be_born(void *arg)
{
	const uint64_t *parents = arg;
	child_check(!words_born(*parents));
	uint64_t birth = words_birth();
	child_check(birth != 0 && birth != *parents);
	child_check(words_born(birth) && !words_born(*parents));
	child_check(words_birth() == birth);
	return 0;
}

Test(words, a_forked_child_is_born_anew)
{
	struct child c;
	cr_assert(!words_born(1));
	uint64_t birth = words_birth();
	cr_assert(birth != 0);
	cr_assert(words_born(birth));
	cr_assert_eq(words_birth(), birth);
	for (int i = 0; i < 2; i++) {
		child_start(&c, CHILD_MS, be_born, &birth);
		child_expect(&c, 0);
		cr_assert(words_born(birth));
	}
}
