/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fuzzer's input, used up from its front. Numbers are often the ones at which arithmetic breaks; an input
 * that has run out goes on as zeros.
 */
#ifndef HAUL_TESTS_FUZZ_INPUT_H
#define HAUL_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct input {
	const uint8_t *at;
	size_t left;
};

/* What a fuzz target claims. */
#define claim(condition) ((condition) ? (void)0 : claim_failed(__FILE__, __LINE__, #condition))

static inline __attribute__((noreturn)) void claim_failed(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
	abort();
}

static inline unsigned input_byte(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

/* A byte that names one of these, or is followed by 8 that are the number. */
static inline uint64_t input_number(struct input *in)
{
	static const uint64_t known[] = { 0, 1, 7, 8, 63, 64, 65, 1000, 2048, 2049, 4095, 4096, 16384, 16385,
		65535, 65536, 65537, 262143, 262144, 262145, 1 << 20, 1 << 24, INT32_MAX,
		(uint64_t)INT32_MAX + 1, UINT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX,
		(uint64_t)INT64_MAX + 1, UINT64_MAX, UINT64_MAX - 7, UINT64_MAX - 4095, (uint64_t)1 << 47 };
	enum { KNOWN = sizeof(known) / sizeof(known[0]), SMALL = 128 };
	unsigned b = input_byte(in);
	uint64_t n = 0;
	if (b < SMALL)
		return b;
	if (b < SMALL + KNOWN)
		return known[b - SMALL];
	for (int i = 0; i < 8; i++)
		n = n << 8 | input_byte(in);
	return n;
}

#endif
