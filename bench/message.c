/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of the messages of bench/run: the same memory, the same writing, and the same checking for every contender.
 *
 * A message is words of 8 bytes, each of which depends on who sends it, on the slot it is sent from and on its position. The
 * first word of each 4 KiB and the last of all are marks: the message's number is added to them. A sender writes the
 * marks of every message, a receiver compares them, which is timed; so a message that is missing, old or twice there is
 * noticed, and memory is touched on both sides. All words are compared at the end of a part, which is not timed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* madvise */
#endif
#include "contender.h"

#include <err.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WORDS = 4096 / sizeof(uint64_t), SMALL_PAGE = 4096, HUGE_PAGE = 2 << 20 };

static uint64_t word(const struct messages *m, unsigned slot, size_t at)
{
	uint64_t who = 2 * (uint64_t)slot + (uint64_t)m->from + 1;
	return (at + 1) * 0x9e3779b97f4a7c15 ^ who * 0xbf58476d1ce4e5b9;
}

/* Of a message below 8 bytes there is a part of one word. */
static size_t words(const struct messages *m)
{
	return (m->len + sizeof(uint64_t) - 1) / sizeof(uint64_t);
}

/* The mark after the one at `at`. */
static size_t next(const struct messages *m, size_t at)
{
	size_t last = words(m) - 1;
	return at < last && at + WORDS > last ? last : at + WORDS;
}

void messages_map(struct messages *m, int from, unsigned count, size_t len, bool huge)
{
	size_t page = huge ? HUGE_PAGE : SMALL_PAGE;
	size_t stride = len == 0 ? page : (len + page - 1) / page * page;
	size_t mapped = stride * count + page; /* one more, since mmap aligns to small ones only */

	unsigned char *map = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		err(1, "memory for messages");
	unsigned char *base = map + (page - (uintptr_t)map % page) % page;
	/* MADV_NOHUGEPAGE is an error on a kernel that has none to refuse. */
	if (madvise(base, stride * count, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) < 0 && huge)
		err(1, "huge pages");
	*m = (struct messages){ .base = base,
		.map = map,
		.stride = stride,
		.len = len,
		.mapped = mapped,
		.from = from,
		.count = count };
}

void messages_unmap(struct messages *m)
{
	munmap(m->map, m->mapped);
}

void *messages_at(const struct messages *m, unsigned slot)
{
	return m->base + slot * m->stride;
}

/* memcpy(3) and memcmp(3) of 8 bytes are an instruction; of another number they are calls. */
static void put(const struct messages *m, unsigned slot, size_t at, uint64_t value)
{
	unsigned char *to = m->base + slot * m->stride + at * sizeof(value);
	if (m->len < sizeof(value))
		memcpy(to, &value, m->len);
	else
		memcpy(to, &value, sizeof(value));
}

static void compare(const struct messages *m, unsigned slot, size_t at, uint64_t wanted, uint64_t i)
{
	const unsigned char *from = m->base + slot * m->stride + at * sizeof(wanted);
	if (m->len < sizeof(wanted) ? memcmp(from, &wanted, m->len) != 0
	                            : memcmp(from, &wanted, sizeof(wanted)) != 0)
		errx(1, "wrong bytes: message %llu of %zu bytes, at %zu", (unsigned long long)i, m->len,
		    at * sizeof(wanted));
}

void messages_fill(const struct messages *m)
{
	for (unsigned slot = 0; slot < m->count; slot++)
		for (size_t at = 0; at < words(m); at++)
			put(m, slot, at, word(m, slot, at));
}

void messages_clear(const struct messages *m)
{
	memset(m->base, 0, m->stride * m->count);
}

void messages_mark(const struct messages *m, unsigned slot, uint64_t i)
{
	for (size_t at = 0; at < words(m); at = next(m, at))
		put(m, slot, at, word(m, slot, at) + i);
}

void messages_check_marks(const struct messages *m, unsigned slot, uint64_t i)
{
	for (size_t at = 0; at < words(m); at = next(m, at))
		compare(m, slot, at, word(m, slot, at) + i, i);
}

void messages_check_all(const struct messages *m, unsigned slot, uint64_t i)
{
	for (size_t at = 0, mark = 0; at < words(m); at++) {
		bool marked = at == mark;
		if (marked)
			mark = next(m, at);
		compare(m, slot, at, word(m, slot, at) + (marked ? i : 0), i);
	}
}
