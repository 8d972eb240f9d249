/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul perf --tune: of each collective that has a way for what is short and one for what is long, both are measured at
 * each size, by groups that were made with the one or the other (HAUL_TUNING). At the end stands the list that makes
 * what was measured here the choice.
 */
#include "perf_group.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const enum perf_group_what tuned[] = { PERF_BCAST, PERF_GATHER, PERF_ALLGATHER, PERF_ALLTOALL,
	PERF_REDUCE, PERF_ALLREDUCE };

enum { TUNED = sizeof(tuned) / sizeof(tuned[0]), SHORT = 0, LONG = 1 };

/* Every rank does the same, so that all of a group are made alike. */
static struct haul_group *group_with(struct perf_group_end *e, struct haul_group *world, const char *tuning)
{
	struct haul_group *g;
	if (setenv("HAUL_TUNING", tuning, 1) != 0)
		abort();
	perf_group_must(e, haul_group_dup(world, -1, &g), "haul_group_dup");
	return g;
}

static bool is_right(const struct perf_group_row *row)
{
	if (row->wrong >= 0)
		fprintf(stderr, "perf: %s of %zu bytes: what rank %d has received is not what was sent\n",
		    perf_group_name(row->what), row->bytes, row->wrong);
	return row->wrong < 0;
}

/* Measures both ways at each size; at rank 0, from which size on the long one is the faster: SIZE_MAX, never. */
static size_t tune(struct perf_group_end *e, enum perf_group_what what, bool *right)
{
	const struct perf_group_options *o = e->options;
	struct haul_group *world = e->g, *groups[2];
	char tuning[64];
	size_t from = SIZE_MAX;
	for (int way = SHORT; way <= LONG; way++) {
		snprintf(tuning, sizeof(tuning), "%s=%s", perf_group_name(what),
		    way == SHORT ? "never" : "0");
		groups[way] = group_with(e, world, tuning);
	}
	e->what = what;
	for (size_t i = 0; i < o->common.size_count; i++) {
		struct perf_group_row rows[2];
		e->bytes = o->common.sizes[i];
		for (int way = SHORT; way <= LONG; way++) {
			e->g = groups[way];
			perf_group_measure(e, &rows[way]);
		}
		if (e->rank != 0)
			continue;
		*right = is_right(&rows[SHORT]) && is_right(&rows[LONG]) && *right;
		perf_group_report_tune_row(o, &rows[SHORT], &rows[LONG]);
		if (rows[LONG].usec_avg >= rows[SHORT].usec_avg)
			from = SIZE_MAX;
		else if (from == SIZE_MAX)
			from = o->common.sizes[i];
	}
	e->g = world;
	for (int way = SHORT; way <= LONG; way++)
		perf_group_must(e, haul_group_free(groups[way], 0), "haul_group_free");
	return from;
}

static int compare(const void *a, const void *b)
{
	const size_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

bool perf_group_tune(struct perf_group_end *e)
{
	struct perf_group_options sorted = *e->options;
	struct perf_common *c = &sorted.common;
	const struct perf_group_options *o = e->options;
	char list[256] = "", *end = list;
	const char *had = getenv("HAUL_TUNING");
	bool right = true;
	had = had != NULL ? strdup(had) : NULL;
	qsort(c->sizes, c->size_count, sizeof(c->sizes[0]), compare);
	e->options = &sorted;
	if (e->rank == 0)
		perf_group_report_tune_begin(o);
	for (size_t i = 0; i < TUNED; i++) {
		if (!o->what[tuned[i]])
			continue;
		size_t from = tune(e, tuned[i], &right);
		end += snprintf(end, sizeof(list) - (size_t)(end - list), "%s%s=", end > list ? "," : "",
		    perf_group_name(tuned[i]));
		end += from == SIZE_MAX ? snprintf(end, sizeof(list) - (size_t)(end - list), "never")
		                        : snprintf(end, sizeof(list) - (size_t)(end - list), "%zu", from);
	}
	if (e->rank == 0)
		perf_group_report_tune_end(o, list);
	e->options = o;
	if (had != NULL)
		setenv("HAUL_TUNING", had, 1);
	else
		unsetenv("HAUL_TUNING");
	free((void *)(uintptr_t)had);
	return right;
}
