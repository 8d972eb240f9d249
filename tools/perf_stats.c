/* SPDX-License-Identifier: BSD-3-Clause */
/* The arithmetic of haul perf: percentiles within a round, the median among rounds; counters. */
#include "perf.h"

#include <stdlib.h>

static int compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

uint64_t *perf_stats_durations(uint64_t *stamps, size_t count)
{
	for (size_t i = 0; i < count; i++)
		stamps[i] = stamps[i + 1] - stamps[i];
	qsort(stamps, count, sizeof(stamps[0]), compare_u64);
	return stamps;
}

uint64_t perf_stats_percentile(const uint64_t *sorted, size_t count, unsigned percent)
{
	size_t rank = (count * percent + 99) / 100;
	return sorted[rank > 0 ? rank - 1 : 0];
}

uint64_t perf_stats_middle(uint64_t *values, size_t count)
{
	qsort(values, count, sizeof(values[0]), compare_u64);
	return perf_stats_percentile(values, count, 50);
}

static int compare_latency(const void *a, const void *b)
{
	const struct perf_result *x = a, *y = b;
	return (x->usec_p50 > y->usec_p50) - (x->usec_p50 < y->usec_p50);
}

static int compare_bandwidth(const void *a, const void *b)
{
	const struct perf_result *x = a, *y = b;
	return (x->mb_per_s > y->mb_per_s) - (x->mb_per_s < y->mb_per_s);
}

static int compare_overlap(const void *a, const void *b)
{
	const struct perf_result *x = a, *y = b;
	return (x->overlap_percent > y->overlap_percent) - (x->overlap_percent < y->overlap_percent);
}

const struct perf_result *perf_stats_median(struct perf_result *rounds, size_t count, enum perf_what what)
{
	int (*compare)(const void *a, const void *b) = compare_bandwidth;
	if (what == PERF_LATENCY || what == PERF_MATCH)
		compare = compare_latency;
	else if (what == PERF_OVERLAP)
		compare = compare_overlap;
	qsort(rounds, count, sizeof(rounds[0]), compare);
	return &rounds[(count - 1) / 2];
}

struct perf_counters perf_counters_since(const struct perf_counters *before,
    const struct perf_counters *after)
{
	return (struct perf_counters){
		.polls = after->polls - before->polls,
		.empty_polls = after->empty_polls - before->empty_polls,
		.polled_frames = after->polled_frames - before->polled_frames,
		.bells = after->bells - before->bells,
		.assisted_bytes = after->assisted_bytes - before->assisted_bytes,
	};
}

struct perf_counters perf_counters_sum(const struct perf_counters *a, const struct perf_counters *b)
{
	return (struct perf_counters){
		.polls = a->polls + b->polls,
		.empty_polls = a->empty_polls + b->empty_polls,
		.polled_frames = a->polled_frames + b->polled_frames,
		.bells = a->bells + b->bells,
		.assisted_bytes = a->assisted_bytes + b->assisted_bytes,
	};
}
