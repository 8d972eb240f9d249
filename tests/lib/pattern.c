/* SPDX-License-Identifier: BSD-3-Clause */
/* The pattern, eight bytes at a time. See pattern.h. */
#include "pattern.h"

#include <string.h>

/* The eight bytes at offset 8 * index: a permutation of index for each seed, so no two words are alike. */
static uint64_t word_at(uint64_t seed, uint64_t index)
{
	uint64_t x = (index + seed * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
	return (x ^ x >> 31) * UINT64_C(0x94d049bb133111eb);
}

/* The bytes of the word at offset, from offset on but at most len: how many, and a copy of the word. */
static size_t part(uint64_t seed, uint64_t offset, size_t len, unsigned char word[8])
{
	uint64_t x = word_at(seed, offset / 8);
	size_t n = 8 - offset % 8;

	memcpy(word, &x, 8);
	return n < len ? n : len;
}

void pattern_fill(void *buf, size_t len, uint64_t seed, uint64_t offset)
{
	unsigned char *to = buf, word[8];

	for (size_t n; len > 0; to += n, len -= n, offset += n) {
		if (offset % 8 == 0 && len >= 8) {
			uint64_t x = word_at(seed, offset / 8);
			memcpy(to, &x, n = 8);
		} else {
			n = part(seed, offset, len, word);
			memcpy(to, word + offset % 8, n);
		}
	}
}

size_t pattern_check(const void *buf, size_t len, uint64_t seed, uint64_t offset)
{
	const unsigned char *at = buf;
	unsigned char word[8];
	size_t done = 0;

	while (done < len) {
		uint64_t have;
		if (offset % 8 == 0 && len - done >= 8) {
			memcpy(&have, at + done, 8);
			if (have == word_at(seed, offset / 8)) {
				done += 8;
				offset += 8;
				continue;
			}
		}
		size_t n = part(seed, offset, len - done, word);
		for (size_t i = 0; i < n; i++, offset++, done++) {
			if (at[done] != word[offset % 8])
				return done;
		}
	}
	return len;
}
