/* SPDX-License-Identifier: BSD-3-Clause */
/* Cards: numbered, apart from each other, used again, wiped in a forked child. */
#include "rma/cards.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire/protocol.h"

TestSuite(cards, .timeout = 60);

enum { MANY = 1000 };

Test(cards, many_are_apart_and_in_one_line_each)
{
	struct cards c = { 0 };
	uint32_t slot[MANY];
	for (uint32_t i = 0; i < MANY; i++) {
		cr_assert_eq(cards_take(&c, &slot[i]), 0);
		word_t *w = cards_words(&c, slot[i]);
		cr_assert_eq((uintptr_t)w % 64, 0);
		for (int k = 0; k < WIRE_HANDLE_WORDS; k++) {
			cr_assert_eq(w[k], 0);
			w[k] = i * 100 + (uint32_t)k + 1;
		}
	}
	for (uint32_t i = 0; i < MANY; i++)
		for (int k = 0; k < WIRE_HANDLE_WORDS; k++)
			cr_assert_eq(cards_words(&c, slot[i])[k], i * 100 + (uint32_t)k + 1);
	cards_fini(&c);
	cards_fini(&c);
}

Test(cards, one_that_was_given_back_is_given_out_again)
{
	struct cards c = { 0 };
	uint32_t a, b;
	cr_assert_eq(cards_take(&c, &a), 0);
	*cards_words(&c, a) = 7;
	*cards_words(&c, a) = 0;
	cards_give(&c, a);
	size_t pages = c.page_count;
	for (int i = 0; i < MANY; i++) {
		cr_assert_eq(cards_take(&c, &b), 0);
		cr_assert_eq(b, a);
		cards_give(&c, b);
	}
	cr_assert_eq(c.page_count, pages);
	cards_fini(&c);
}

Test(cards, a_forked_child_finds_nothing)
{
	struct cards c = { 0 };
	uint32_t slot;
	cr_assert_eq(cards_take(&c, &slot), 0);
	*cards_words(&c, slot) = 7;
	pid_t pid = fork();
	if (pid == 0)
		_exit(*cards_words(&c, slot) == 0 ? 0 : 1);
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	cr_assert_eq(*cards_words(&c, slot), 7);
	cards_fini(&c);
}
