/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * On which pages buffers of haul perf lie, as the kernel tells in /proc/self/smaps: madvise(2) is advice, and what a
 * table says about itself must be true.
 */
#include "perf.h"

#include <string.h>
#include <sys/mman.h>

enum { PROBE_MOST = 4 << 20 }; /* bytes tried before the first round */

static bool within(const struct perf_buffers *b, size_t count, uintptr_t start, uintptr_t end)
{
	for (size_t i = 0; i < count; i++)
		if (start < (uintptr_t)b[i].base + b[i].stride * b[i].count && end > (uintptr_t)b[i].base)
			return true;
	return false;
}

/* Of all memory of these, how much is on huge pages, 0 to 1. What was advised alike is in mappings of its own. */
double perf_pages_huge(const struct perf_buffers *b, size_t count)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[256];
	bool ours = false;
	double huge = 0, all = 0;

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		unsigned long start, end, kib;
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			ours = within(b, count, start, end);
		else if (ours && sscanf(line, "AnonHugePages: %lu kB", &kib) == 1)
			huge += (double)kib * 1024;
	}
	fclose(f);
	for (size_t i = 0; i < count; i++)
		all += (double)b[i].stride * b[i].count;
	return huge / all;
}

double perf_pages_try(bool huge)
{
	struct perf_buffers b;
	if (perf_buffers_map(&b, 1, PROBE_MOST, huge) < 0)
		return 0;
	perf_buffers_clear(&b);
	double part = perf_pages_huge(&b, 1);
	munmap(b.base, b.stride);
	return part;
}
