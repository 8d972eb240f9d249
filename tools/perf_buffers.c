/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The buffers of haul perf: private anonymous memory, page-aligned, of one page size, touched before
 * anything is timed. Every contender gets the same. The bytes depend on the sender, the buffer and the
 * position, so that a message in the wrong place is noticed.
 */
#include "perf.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)

enum { CLEARED = 0xff };

int perf_buffers_map(struct perf_buffers *b, unsigned count, size_t len, bool huge)
{
	size_t page = huge ? HUGE_PAGE : (size_t)sysconf(_SC_PAGESIZE);
	size_t stride = (len + page - 1) / page * page;
	size_t all = stride * count;

	/* mmap aligns to small pages only: ask for one page more and begin at a multiple. */
	unsigned char *base =
	    mmap(NULL, all + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return -1;
	base += (page - (uintptr_t)base % page) % page;

	/* MADV_NOHUGEPAGE is EINVAL on a kernel that has no huge pages to refuse. */
	if (madvise(base, all, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) < 0 && huge)
		return -1;
	*b = (struct perf_buffers){ .base = base, .stride = stride, .len = len, .count = count };
	return 0;
}

/* A byte that is never CLEARED. 251 is prime, so the pattern is not in step with pages. */
static unsigned char pattern(int rank, unsigned slot, size_t at)
{
	return (unsigned char)((at + at / 4096 + slot * 7 + (unsigned)rank * 101) % 251);
}

void perf_buffers_fill(const struct perf_buffers *b, int rank)
{
	for (unsigned slot = 0; slot < b->count; slot++)
		for (size_t at = 0; at < b->len; at++)
			perf_slot(b, slot)[at] = pattern(rank, slot, at);
}

void perf_buffers_clear(const struct perf_buffers *b)
{
	for (unsigned slot = 0; slot < b->count; slot++)
		memset(perf_slot(b, slot), CLEARED, b->len);
}

bool perf_buffers_holds(const unsigned char *bytes, size_t len, int rank, unsigned slot, size_t at)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != pattern(rank, slot, at + i))
			return false;
	return true;
}

bool perf_buffers_cleared(const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != CLEARED)
			return false;
	return true;
}

bool perf_buffers_check(const struct perf_buffers *b, int rank, uint64_t messages)
{
	for (unsigned slot = 0; slot < b->count && slot < messages; slot++)
		if (!perf_buffers_holds(perf_slot(b, slot), b->len, rank, slot, 0))
			return false;
	return true;
}
