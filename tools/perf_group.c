/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul perf as a rank of a group, which haul run has started: for each collective and each size one row, which all
 * ranks measure and rank 0 prints. A row whose bytes are wrong is not printed, and makes the exit status 1; a call
 * that fails ends all ranks.
 */
#include "perf_group.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>

enum { LINGER_MS = 1000 };

static void join(struct perf_group_end *e)
{
	struct haul_options options = { .spin_us = e->options->spin_us };
	if (haul_open(&e->h, &options, sizeof(options)) < 0)
		errx(EXIT_FAILURE, "perf: haul_open: %s", haul_reason());
	if (haul_group_init(e->h, NULL, 0, &e->g) < 0)
		errx(EXIT_FAILURE, "perf: haul_group_init: %s", haul_reason());
	e->rank = haul_group_rank(e->g);
	e->size = haul_group_size(e->g);
}

static void leave(struct perf_group_end *e)
{
	haul_group_free(e->g, LINGER_MS);
	haul_close(e->h, LINGER_MS);
}

/* It says what is wrong with the command line, and with what status that ends: all would be too much, and one
 * that ended earlier might have it killed before. A receive from it ends when it has. */
static int wait_for_rank_0(struct perf_group_end *e)
{
	haul_group_recv(e->g, &(struct haul_group_match){ .from = 0, .ignore = UINT32_MAX }, NULL, 0, -1,
	    NULL);
	leave(e);
	return EXIT_SUCCESS;
}

struct rows {
	struct perf_group_row *row;
	size_t count;
	unsigned failures;
	double astray; /* the most of any */
};

/* By rank 0. */
static void take(struct rows *rows, const struct perf_group_options *o, const struct perf_group_row *row)
{
	if (row->astray > rows->astray)
		rows->astray = row->astray;
	if (row->wrong >= 0) {
		warnx("perf: %s of %zu bytes: what rank %d has received is not what was sent",
		    perf_group_name(row->what), row->bytes, row->wrong);
		rows->failures++;
		return;
	}
	perf_group_report_row(o, row);
	rows->row[rows->count++] = *row;
}

static void measure_all(struct perf_group_end *e, struct rows *rows)
{
	const struct perf_group_options *o = e->options;
	for (unsigned what = 0; what < PERF_GROUP_WHATS; what++) {
		size_t sizes = perf_group_has_bytes(what) ? o->common.size_count : 1;
		for (size_t i = 0; i < sizes && o->what[what]; i++) {
			struct perf_group_row row;
			e->what = what;
			e->bytes = perf_group_has_bytes(what) ? o->common.sizes[i] : 0;
			perf_group_measure(e, &row);
			if (e->rank == 0)
				take(rows, o, &row);
		}
	}
}

static void tell_end(const struct perf_group_options *o, const struct rows *rows)
{
	if (o->common.stats && rows->count > 0) {
		perf_group_report_stats_begin(o);
		for (size_t i = 0; i < rows->count; i++)
			perf_group_report_stats_row(o, &rows->row[i]);
	}
	if (rows->astray > 0)
		warnx("perf: up to %.0f %% of the memory of buffers was on %s pages", rows->astray * 100,
		    o->common.huge ? "small" : "huge");
}

int perf_group_command(int argc, char **argv)
{
	struct perf_group_options options;
	struct perf_group_end e = { .options = &options };
	struct rows rows = { .row = calloc((size_t)PERF_GROUP_WHATS * PERF_MAX_LIST, sizeof(rows.row[0])) };
	const char *rank = getenv("HAUL_RANK");
	int wrong = perf_group_options_parse(&options, rank != NULL && strcmp(rank, "0") == 0, argc, argv);

	if (rows.row == NULL)
		err(EXIT_FAILURE, "perf");
	join(&e);
	if (wrong < 0) {
		free(rows.row);
		return wait_for_rank_0(&e);
	}
	if (e.rank == 0)
		perf_group_report_begin(&options, e.size);
	if (options.tune) {
		rows.failures = !perf_group_tune(&e);
	} else {
		if (e.rank == 0)
			perf_group_report_head(&options);
		measure_all(&e, &rows);
		if (e.rank == 0)
			tell_end(&options, &rows);
	}
	leave(&e);
	free(rows.row);
	return rows.failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
