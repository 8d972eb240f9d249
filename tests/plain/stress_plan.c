/* SPDX-License-Identifier: BSD-3-Clause */
/* What each message is. See stress_plan.h. */
#include "stress_plan.h"

#include <string.h>

/* By class; the last is rare, and pulled in more than one piece. */
static const size_t longest[CLASSES] = { 256, 4096, 65536, 4 << 20, 20 << 20 };

size_t plan_longest(const struct config *c, unsigned class)
{
	size_t most = longest[class];
	if (c->eager_max > 0 && c->eager_max == 65536 && most > 65536)
		most = 65536;
	return most;
}

/* Mostly small; few would rather be slow than rare. */
static unsigned class_of(const struct config *c, uint64_t random)
{
	unsigned at = (unsigned)(random % 4000);
	if (c->large && at < 1600)
		return 3;
	if (at == 0)
		return c->nodes * c->lanes <= 4 ? 4 : 3;
	return at < 80 ? 3 : at < 600 ? 2 : at < 1600 ? 1 : 0;
}

/* Skewed to the short end of its class, but for the edges. */
static size_t length_of(size_t shortest, size_t most, bool skewed, uint64_t random)
{
	unsigned how = (unsigned)(random % 16);
	random /= 16;
	if (how == 0)
		return most;
	if (how == 1)
		return shortest;
	size_t span = most - shortest;
	if (how < 12 && skewed)
		span = span / 8 + 1;
	return shortest + (size_t)(random % span);
}

struct plan plan_message(const struct config *c, unsigned from, unsigned to, unsigned lane, uint32_t number)
{
	uint64_t key =
	    mix(mix(c->seed + from * 64 + to) + lane * UINT64_C(0x100000001) + ((uint64_t)number << 8));
	unsigned class = class_of(c, key >> 32);
	size_t most = plan_longest(c, class);
	size_t shortest = class == 0 ? 0 : longest[class - 1] + 1;
	if (shortest > most)
		shortest = most - 100;
	return (struct plan){ .tag = (uint64_t)(lane + 1) << 56 | (uint64_t) class << 48 | number,
		.len = length_of(shortest, most, !c->large, mix(key)),
		.key = key };
}

/* A permutation of the index, for each key another: no two words are alike, and it is cheap. */
static uint64_t word_at(uint64_t key, uint64_t index)
{
	uint64_t x = (index + key) * UINT64_C(0x9e3779b97f4a7c15);
	return x ^ x >> 29;
}

static size_t edge(uint64_t key, uint64_t offset, size_t len, unsigned char *bytes)
{
	uint64_t x = word_at(key, offset / 8);
	size_t skip = offset % 8, n = 8 - skip < len ? 8 - skip : len;
	memcpy(bytes, (unsigned char *)&x + skip, n);
	return n;
}

void plan_fill(void *to, size_t len, uint64_t key, uint64_t offset)
{
	unsigned char *at = to;
	if (offset % 8 != 0 && len > 0) {
		size_t n = edge(key, offset, len, at);
		at += n, len -= n, offset += n;
	}
	for (; len >= 8; at += 8, len -= 8, offset += 8) {
		uint64_t x = word_at(key, offset / 8);
		memcpy(at, &x, 8);
	}
	if (len > 0)
		edge(key, offset, len, at);
}

size_t plan_check(const void *bytes, size_t len, uint64_t key, uint64_t offset)
{
	const unsigned char *start = bytes, *at = bytes;
	while (len > 0) {
		uint64_t have;
		unsigned char want[8];
		if (offset % 8 == 0 && len >= 8) {
			memcpy(&have, at, 8);
			if (have == word_at(key, offset / 8)) {
				at += 8, len -= 8, offset += 8;
				continue;
			}
		}
		size_t n = edge(key, offset, len, want);
		for (size_t i = 0; i < n; i++)
			if (at[i] != want[i])
				return (size_t)(at - start) + i;
		at += n, len -= n, offset += n;
	}
	return (size_t)(at - start);
}
