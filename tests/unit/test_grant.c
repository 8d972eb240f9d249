/* SPDX-License-Identifier: BSD-3-Clause */
/* Grants: what a reader finds in the cell before, while and after one holds. */
#include "msg/grant.h"

#include <criterion/criterion.h>

TestSuite(grant, .timeout = 60);

Test(grant, while_given_its_cell_holds_its_cookie)
{
	struct words words;
	struct cookies cookies;
	struct grant g = { 0 };
	words_init(&words);
	cookies_init(&cookies);
	cr_assert_eq(grant_give(&g, &words, &cookies), 0);
	cr_assert_not_null(g.cell);
	cr_assert_neq(g.cookie, 0);
	cr_assert_eq(*g.cell, g.cookie);
	grant_withdraw(&g, &words);
	words_fini(&words);
}

Test(grant, once_withdrawn_its_cell_holds_another_value)
{
	struct words words;
	struct cookies cookies;
	struct grant g = { 0 };
	words_init(&words);
	cookies_init(&cookies);
	cr_assert_eq(grant_give(&g, &words, &cookies), 0);
	const word_t *cell = g.cell;
	grant_withdraw(&g, &words);
	cr_assert_null(g.cell);
	cr_assert_eq(*cell, 0);
	grant_withdraw(&g, &words);
	cr_assert_eq(words.free_count, 4096 / sizeof(word_t), "twice does no harm");
	words_fini(&words);
}

Test(grant, a_cell_used_again_does_not_vouch_for_the_last_grant)
{
	struct words words;
	struct cookies cookies;
	struct grant g = { 0 };
	words_init(&words);
	cookies_init(&cookies);
	cr_assert_eq(grant_give(&g, &words, &cookies), 0);
	const word_t *cell = g.cell;
	for (int i = 0; i < 1000; i++) {
		uint64_t last = g.cookie;
		grant_withdraw(&g, &words);
		cr_assert_eq(grant_give(&g, &words, &cookies), 0);
		cr_assert_eq(g.cell, cell);
		cr_assert_neq(*cell, last);
	}
	grant_withdraw(&g, &words);
	words_fini(&words);
}

Test(grant, a_cell_of_ones_own_stays_ones_own)
{
	struct cookies cookies;
	struct grant g = { 0 };
	word_t cell = 0;
	cookies_init(&cookies);
	grant_give_by(&g, &cell, &cookies);
	cr_assert_eq(cell, g.cookie);
	cr_assert_neq(g.cookie, 0);
	grant_withdraw(&g, NULL);
	cr_assert_eq(cell, 0);
	cell = 5;
	grant_withdraw(&g, NULL);
	cr_assert_eq(cell, 5, "twice does no harm");
}

Test(grant, no_cookie_is_zero)
{
	struct words words;
	struct cookies cookies = { .next = UINT64_MAX };
	struct grant g = { 0 };
	words_init(&words);
	cr_assert_eq(grant_give(&g, &words, &cookies), 0);
	cr_assert_neq(g.cookie, 0, "0 is what a withdrawn grant and a forked child's look like");
	grant_withdraw(&g, &words);
	words_fini(&words);
}

Test(grant, two_contexts_start_with_different_cookies)
{
	struct cookies a, b;
	cookies_init(&a);
	cookies_init(&b);
	cr_assert_neq(a.next, b.next);
}
