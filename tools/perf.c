/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul perf: for each kind of measurement and each size, the contenders take turns in rounds, and of each
 * contender's rounds the one in the middle is shown. A contender that fails is reported, has no row, and
 * makes the exit status 1; the others go on. As a rank of a group it is perf_group.c instead.
 */
#include "perf.h"
#include "commands.h"
#include "perf_group.h"

#include <err.h>
#include <stdlib.h>
#include <sysexits.h>

const struct perf_kind perf_kinds[PERF_WHATS] = {
	[PERF_LATENCY] = { .name = "latency",
	    .sizes = { 8, 4 << 10, 64 << 10, 1 << 20 },
	    .window = 1,
	    .leader = 0,
	    .gets = { 1, 1 } },
	[PERF_BANDWIDTH] = { .name = "bandwidth",
	    .sizes = { 64 << 10, 1 << 20, 4 << 20, 16 << 20 },
	    .window = 16,
	    .leader = 1,
	    .gets = { 0, 1 } },
	[PERF_RATE] = { .name = "rate",
	    .sizes = { 8, 256 },
	    .window = 64,
	    .leader = 1,
	    .gets = { 0, 1 },
	    .stride = 16 }, /* a reading of the clock takes a third of what some of these messages do */
	[PERF_MATCH] = { .name = "match",
	    .sizes = { 8 },
	    .window = 1,
	    .leader = 1,
	    .gets = { 0, PERF_TURN },
	    .by_name = true },
	[PERF_OVERLAP] = { .name = "overlap",
	    .sizes = { 64 << 20 },
	    .window = 1,
	    .leader = 0,
	    .gets = { 0, 2 },
	    .by_name = true },
};

const struct contender *const perf_contenders[] = { &perf_auto, &perf_pull, &perf_haul_stream, &perf_pipe,
	&perf_unix, &perf_vmread, &perf_vmpoll, &perf_memcpy, &perf_batch, &perf_socket, &perf_outbox,
	&perf_twohand, &perf_get, &perf_vmget, &perf_call, &perf_buffered, &perf_direct, NULL };

const struct contender *const perf_yardsticks[PERF_YARDSTICKS] = { &perf_vmpoll, &perf_unix, &perf_vmread,
	&perf_batch, &perf_pipe };

/* The rows so far of the main table, for that of the counters at the end. */
struct rows {
	struct perf_row *row;
	size_t count, room;
	double lost, astray; /* the most of a row of any table */
};

static void rows_add(struct rows *rows, const struct perf_row *row)
{
	if (rows->count == rows->room) {
		rows->room = rows->room * 2 + 16;
		rows->row = reallocarray(rows->row, rows->room, sizeof(*row));
		if (rows->row == NULL)
			err(EX_OSERR, "perf");
	}
	rows->row[rows->count++] = *row;
}

/* What became of a contender's rounds for one row. */
struct outcome {
	bool made;                 /* false: it is not measured so, or has failed, and is passed over */
	struct perf_result result; /* the round in the middle */
};

static void enter(const struct perf_options *o, enum perf_what what, struct outcome outcomes[PERF_MAX_LIST])
{
	for (size_t c = 0; c < o->contender_count; c++)
		outcomes[c].made = o->contenders[c]->run[what] != NULL;
}

/* All rounds of all contenders for one row of each. Returns how many contenders failed. */
static unsigned take_turns(struct perf_round round, struct outcome outcomes[PERF_MAX_LIST], struct rows *rows)
{
	const struct perf_options *o = round.options;
	struct perf_result *results = calloc(o->contender_count * o->common.rounds, sizeof(results[0]));
	unsigned failures = 0;

	if (results == NULL)
		err(EX_OSERR, "perf");
	for (unsigned r = 0; r < o->common.rounds; r++) {
		for (size_t c = 0; c < o->contender_count; c++) {
			char words[256];
			if (!outcomes[c].made)
				continue;
			round.contender = o->contenders[c];
			if (perf_round_run(&round, &results[c * o->common.rounds + r], words,
			        sizeof(words)) == 0)
				continue;
			warnx("perf: %s of %s, %zu bytes: %s", perf_kinds[round.what].name,
			    round.contender->name, round.bytes, words);
			outcomes[c].made = false;
			failures++;
		}
	}
	for (size_t c = 0; c < o->contender_count; c++) {
		struct outcome *out = &outcomes[c];
		if (!out->made)
			continue;
		out->result =
		    *perf_stats_median(&results[c * o->common.rounds], o->common.rounds, round.what);
		if (out->result.lost > rows->lost)
			rows->lost = out->result.lost;
		if (out->result.astray > rows->astray)
			rows->astray = out->result.astray;
	}
	free(results);
	return failures;
}

/* Latency is compared by its time, all else by its speed. */
static double figure(enum perf_what what, const struct perf_result *r)
{
	return what == PERF_LATENCY ? r->usec_p50 : r->mb_per_s;
}

/* The first of the contenders that is this yardstick, if it has a row of its own. */
static const struct outcome *find_yardstick(const struct perf_options *o, enum perf_what what,
    const struct contender *yardstick, const struct outcome outcomes[PERF_MAX_LIST])
{
	for (size_t c = 0; c < o->contender_count; c++)
		if (o->contenders[c] == yardstick && yardstick->yardstick[what] && outcomes[c].made)
			return &outcomes[c];
	return NULL;
}

/* One size, in the main table. Returns how many contenders failed. */
static unsigned measure_plain(const struct perf_options *o, enum perf_what what, size_t bytes,
    struct rows *rows)
{
	struct outcome outcomes[PERF_MAX_LIST];
	struct perf_round round = { .options = o, .what = what, .bytes = bytes };

	enter(o, what, outcomes);
	unsigned failures = take_turns(round, outcomes, rows);
	for (size_t c = 0; c < o->contender_count; c++) {
		if (!outcomes[c].made)
			continue;
		struct perf_row row = { .what = what, .contender = o->contenders[c], .bytes = bytes };
		row.result = outcomes[c].result;
		for (size_t y = 0; y < PERF_YARDSTICKS; y++) {
			const struct outcome *to = find_yardstick(o, what, perf_yardsticks[y], outcomes);
			if (to != NULL)
				row.ratio[y] = figure(what, &row.result) / figure(what, &to->result);
		}
		perf_report_row(o, &row);
		rows_add(rows, &row);
	}
	return failures;
}

/* One size, with more and more outstanding: receives, then messages. Returns how many contenders failed. */
static unsigned measure_match(const struct perf_options *o, enum perf_what what, size_t bytes,
    struct rows *rows)
{
	static const unsigned outstanding[] = { 1, 10, 100, 1000, 10000 };
	struct perf_match_row first[PERF_MAX_LIST] = { 0 }, row[PERF_MAX_LIST] = { 0 };
	struct outcome outcomes[PERF_MAX_LIST] = { 0 };
	unsigned failures = 0;

	enter(o, what, outcomes);
	for (size_t i = 0; i < sizeof(outstanding) / sizeof(outstanding[0]); i++) {
		struct perf_round round = { .options = o, .what = what, .bytes = bytes };
		round.outstanding = outstanding[i];
		failures += take_turns(round, outcomes, rows);
		for (size_t c = 0; c < o->contender_count; c++)
			row[c].posted_ns = outcomes[c].result.usec_p50 * 1e3;
		round.unexpected = true;
		failures += take_turns(round, outcomes, rows);
		for (size_t c = 0; c < o->contender_count; c++) {
			if (!outcomes[c].made)
				continue;
			row[c].unexpected_ns = outcomes[c].result.usec_p50 * 1e3;
			if (i == 0)
				first[c] = row[c];
			row[c].contender = o->contenders[c];
			row[c].bytes = bytes;
			row[c].outstanding = outstanding[i];
			row[c].posted_ratio = row[c].posted_ns / first[c].posted_ns;
			row[c].unexpected_ratio = row[c].unexpected_ns / first[c].unexpected_ns;
			perf_report_match_row(o, &row[c]);
		}
	}
	return failures;
}

/* One size. Returns how many contenders failed. */
static unsigned measure_overlap(const struct perf_options *o, enum perf_what what, size_t bytes,
    struct rows *rows)
{
	struct outcome outcomes[PERF_MAX_LIST];
	struct perf_round round = { .options = o, .what = what, .bytes = bytes };

	enter(o, what, outcomes);
	unsigned failures = take_turns(round, outcomes, rows);
	for (size_t c = 0; c < o->contender_count; c++)
		if (outcomes[c].made)
			perf_report_overlap_row(o, o->contenders[c], bytes, &outcomes[c].result);
	return failures;
}

static unsigned (*const measures[PERF_WHATS])(const struct perf_options *o, enum perf_what what, size_t bytes,
    struct rows *rows) = {
	[PERF_LATENCY] = measure_plain,
	[PERF_BANDWIDTH] = measure_plain,
	[PERF_RATE] = measure_plain,
	[PERF_MATCH] = measure_match,
	[PERF_OVERLAP] = measure_overlap,
};

/* A process that spins uses all of its CPU, unless it has to share it: then the figures are of the sharing. */
static void warn_of_sharing(const struct rows *rows)
{
	if (rows->lost > 0.1)
		warnx("perf: other work took up to %.0f %% of a CPU: do not rely on these figures",
		    rows->lost * 100);
}

/* The first line has told of one buffer. */
static void warn_of_pages(const struct perf_options *o, const struct rows *rows)
{
	if (rows->astray > 0)
		warnx("perf: up to %.0f %% of the memory of buffers was on %s pages", rows->astray * 100,
		    o->common.huge ? "small" : "huge");
}

int command_perf(int argc, char **argv)
{
	struct perf_options options;
	struct rows rows = { 0 };
	unsigned failures = 0;

	if (perf_group_is_rank())
		return perf_group_command(argc, argv);
	perf_options_parse(&options, argc, argv);
	perf_report_begin(&options);
	for (unsigned what = 0, last = PERF_WHATS; what < PERF_WHATS; what++) {
		if (!options.what[what])
			continue;
		if (last == PERF_WHATS || measures[what] != measures[last])
			perf_report_head(&options, what, last == PERF_WHATS);
		last = what;
		const size_t *sizes =
		    options.common.size_count > 0 ? options.common.sizes : perf_kinds[what].sizes;
		for (size_t i = 0; i < PERF_MAX_LIST && sizes[i] != 0; i++)
			failures += measures[what](&options, what, sizes[i], &rows);
	}
	if (options.common.stats && rows.count > 0) {
		perf_report_stats_begin(&options);
		for (size_t i = 0; i < rows.count; i++)
			if (rows.row[i].contender->count != NULL)
				perf_report_stats_row(&options, &rows.row[i]);
	}
	warn_of_pages(&options, &rows);
	warn_of_sharing(&rows);
	free(rows.row);
	return failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
