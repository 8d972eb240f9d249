/* SPDX-License-Identifier: BSD-3-Clause */
/* Handles of regions, and asks about them: what is a handle, what it allows, who vouches for it, their bytes. */
#include "rma/handle.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "rma/ask.h"

TestSuite(handle, .timeout = 60);

static struct haul_handle good(void)
{
	return (struct haul_handle){ { 0x1234567890, 0x7000000000c0, 0x7f0000001003, 1000, 1,
	    HAUL_READ | HAUL_WRITE, 5, WIRE_HANDLE_IS } };
}

Test(handle, one_as_it_was_given_out_is_one)
{
	struct haul_handle hd = good();
	cr_assert_eq(handle_check(&hd), 0);
	hd.words[WIRE_HANDLE_RANGES] = WIRE_HANDLE_RANGES_MOST;
	cr_assert_eq(handle_check(&hd), 0);
	hd.words[WIRE_HANDLE_RANGES] = hd.words[WIRE_HANDLE_LEN] = hd.words[WIRE_HANDLE_ADDR] = 0;
	cr_assert_eq(handle_check(&hd), 0, "of no bytes");
}

Test(handle, what_no_handle_says_is_einval)
{
	static const struct {
		int word;
		uint64_t value;
	} bad[] = {
		{ WIRE_HANDLE_COOKIE, 0 },
		{ WIRE_HANDLE_CARD, 0 },
		{ WIRE_HANDLE_CARD, 0x7000000000c8 },
		{ WIRE_HANDLE_CARD, 0x7000000000c1 },
		{ WIRE_HANDLE_ADDR, UINT64_MAX },
		{ WIRE_HANDLE_ADDR, UINT64_MAX - 999 },
		{ WIRE_HANDLE_LEN, 0 },
		{ WIRE_HANDLE_LEN, (uint64_t)INT64_MAX + 1 },
		{ WIRE_HANDLE_LEN, UINT64_MAX },
		{ WIRE_HANDLE_RANGES, 0 },
		{ WIRE_HANDLE_RANGES, WIRE_HANDLE_RANGES_MOST + 1 },
		{ WIRE_HANDLE_RANGES, UINT64_MAX },
		{ WIRE_HANDLE_RIGHTS, 0 },
		{ WIRE_HANDLE_RIGHTS, 4 },
		{ WIRE_HANDLE_RIGHTS, UINT64_C(1) << 32 | HAUL_READ },
		{ WIRE_HANDLE_FORMAT, 0 },
		{ WIRE_HANDLE_FORMAT, WIRE_HANDLE_IS + 1 },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct haul_handle hd = good();
		hd.words[bad[i].word] = bad[i].value;
		cr_assert_eq(handle_check(&hd), -EINVAL, "row %zu", i);
	}
	struct haul_handle list = good();
	list.words[WIRE_HANDLE_RANGES] = 2;
	list.words[WIRE_HANDLE_ADDR] = UINT64_MAX - 31;
	cr_assert_eq(handle_check(&list), -EINVAL, "a list that wraps");
}

Test(handle, allows_what_lies_within_the_region)
{
	struct haul_handle hd = good();
	cr_assert_eq(handle_allows(&hd, HAUL_READ, 0, 1000), 0);
	cr_assert_eq(handle_allows(&hd, HAUL_READ, 1000, 0), 0);
	cr_assert_eq(handle_allows(&hd, HAUL_WRITE, 999, 1), 0);
	cr_assert_eq(handle_allows(&hd, HAUL_READ, 0, 1001), -ERANGE);
	cr_assert_eq(handle_allows(&hd, HAUL_READ, 1000, 1), -ERANGE);
	cr_assert_eq(handle_allows(&hd, HAUL_READ, 1001, 0), -ERANGE);
	cr_assert_eq(handle_allows(&hd, HAUL_READ, UINT64_MAX, 2), -ERANGE, "a sum that overflows");
	cr_assert_eq(handle_allows(&hd, HAUL_READ, 2, UINT64_MAX), -ERANGE);
	hd.words[WIRE_HANDLE_RIGHTS] = HAUL_READ;
	cr_assert_eq(handle_allows(&hd, HAUL_WRITE, 0, 1), -EACCES);
	cr_assert_eq(handle_allows(&hd, HAUL_READ, 0, 1), 0);
}

Test(handle, is_vouched_for_by_a_card_that_says_all_the_same)
{
	struct haul_handle hd = good();
	uint64_t card[WIRE_HANDLE_WORDS];
	memcpy(card, hd.words, sizeof(card));
	cr_assert_eq(handle_compare(&hd, card), 0);
	for (int word = 0; word < WIRE_HANDLE_WORDS; word++)
		for (int bit = 0; bit < 64; bit++) {
			struct haul_handle forged = hd;
			forged.words[word] ^= UINT64_C(1) << bit;
			cr_assert_eq(handle_compare(&forged, card),
			    word == WIRE_HANDLE_COOKIE ? -ESTALE : -EINVAL, "word %d, bit %d", word, bit);
		}
	memset(card, 0, sizeof(card));
	cr_assert_eq(handle_compare(&hd, card), -ESTALE, "withdrawn");
}

/* ---- asks ---- */

Test(handle, an_ask_has_the_bytes_that_the_protocol_says)
{
	struct ask a = { .handle = good(), .offset = 0x1112131415161718, .len = 0x2122, .answer = 0x31 }, b;
	uint8_t bytes[WIRE_ASK_SIZE], word[8];
	ask_encode(&a, bytes);
	for (int i = 0; i < WIRE_HANDLE_WORDS; i++) {
		for (int k = 0; k < 8; k++)
			word[k] = (uint8_t)(a.handle.words[i] >> 8 * k);
		cr_assert_arr_eq(bytes + i * 8, word, 8);
	}
	cr_assert_arr_eq(bytes + 64, ((uint8_t[]){ 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11 }), 8);
	cr_assert_arr_eq(bytes + 72, ((uint8_t[]){ 0x22, 0x21, 0, 0, 0, 0, 0, 0 }), 8);
	cr_assert_arr_eq(bytes + 80, ((uint8_t[]){ 0x31, 0, 0, 0, 0, 0, 0, 0 }), 8);
	cr_assert(ask_decode(&b, bytes, WIRE_ASK_GET, WIRE_ASK_SIZE));
	cr_assert_arr_eq(b.handle.words, a.handle.words, sizeof(a.handle));
	cr_assert_eq(b.offset, a.offset);
	cr_assert_eq(b.len, a.len);
	cr_assert_eq(b.answer, a.answer);
}

Test(handle, an_ask_that_does_not_fit_its_message_is_none)
{
	struct ask a = { .handle = good(), .len = 10 }, b;
	uint8_t bytes[WIRE_ASK_SIZE];
	ask_encode(&a, bytes);
	cr_assert(ask_decode(&b, bytes, WIRE_ASK_PUT, WIRE_ASK_SIZE + 10));
	cr_assert_not(ask_decode(&b, bytes, WIRE_ASK_PUT, WIRE_ASK_SIZE + 9));
	cr_assert_not(ask_decode(&b, bytes, WIRE_ASK_PUT, WIRE_ASK_SIZE + 11));
	cr_assert_not(ask_decode(&b, bytes, WIRE_ASK_PUT, 10));
	cr_assert_not(ask_decode(&b, bytes, WIRE_ASK_GET, WIRE_ASK_SIZE - 1));
	cr_assert_not(ask_decode(&b, bytes, WIRE_ASK_GET, WIRE_ASK_SIZE + 1));
	cr_assert_not(ask_decode(&b, bytes, 0, WIRE_ASK_SIZE + 10));
	cr_assert_not(ask_decode(&b, bytes, 3, WIRE_ASK_SIZE + 10));
	a.len = UINT64_MAX - WIRE_ASK_SIZE + 1;
	ask_encode(&a, bytes);
	cr_assert_not(ask_decode(&b, bytes, WIRE_ASK_PUT, 0), "a sum that overflows");
	a = (struct ask){ .handle = good(), .len = 10, .answer = 1 };
	ask_encode(&a, bytes);
	cr_assert_not(ask_decode(&b, bytes, WIRE_ASK_PUT, WIRE_ASK_SIZE + 10), "a put is not answered");
}

Test(handle, errors_come_back_as_they_were)
{
	static const int all[] = { -ESTALE, -EINVAL, -ENOMEM, -ERANGE, -EACCES, -EFAULT, -EMSGSIZE };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		cr_assert_eq(ask_from_wire(ask_to_wire(all[i])), all[i]);
	cr_assert_neq(ask_to_wire(-ESTALE), -ESTALE, "which a refusal may not say");
	cr_assert_neq(ask_to_wire(-EINVAL), -EINVAL);
	cr_assert_neq(ask_to_wire(-ENOMEM), -ENOMEM);
}
