/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul perf as a rank of a group: what its files share. Every rank runs the same code; rank 0 prints.
 *
 *   perf_group.c          the command: its group, the rows, what is printed
 *   perf_group_options.c  its command line
 *   perf_group_round.c    one row: pace, timed parts, check of the data; what of that rank 0 makes
 *   perf_group_tune.c     --tune: rows of two ways, and which is the faster from where on
 *   perf_group_ops.c      the collectives: buffers, calls, what must come
 *   perf_group_report.c   tables and CSV
 *
 * A slot is one of the buffers that operations rotate through, as in perf.h.
 */
#ifndef TOOLS_PERF_GROUP_H
#define TOOLS_PERF_GROUP_H

#include "perf.h"

#include <haul/group.h>
#include <haul/haul.h>

enum perf_group_what {
	PERF_BARRIER,
	PERF_BCAST,
	PERF_GATHER,
	PERF_SCATTER,
	PERF_ALLGATHER,
	PERF_ALLTOALL,
	PERF_REDUCE,
	PERF_ALLREDUCE,
	PERF_REDUCE_SCATTER,
	PERF_SCAN,
	PERF_EXSCAN,
	PERF_GROUP_WHATS,
};

struct perf_group_options {
	struct perf_common common;
	bool what[PERF_GROUP_WHATS];
	bool tune;
	int spin_us; /* as of struct haul_options */
};

/*
 * Fills options from the command line. Where that is wrong rank 0 says so and exits; for the others this is -1: the
 * process is to end when rank 0 has.
 */
int perf_group_options_parse(struct perf_group_options *o, bool first, int argc, char **argv);

/* Whether this process was started as a rank; the whole command, then. */
bool perf_group_is_rank(void);
int perf_group_command(int argc, char **argv);

/* What haul counted while operations ran: haul.h tells what these are. */
struct perf_group_counters {
	uint64_t messages, copied_bytes, polls, empty_polls, polled_frames, bells, sleeps, assisted_bytes;
};

/* A rank, and the row that it measures. */
struct perf_group_end {
	const struct perf_group_options *options;
	struct haul *h;
	struct haul_group *g;
	int rank, size;
	enum perf_group_what what;
	size_t bytes; /* of a block, or a whole vector, as it is meant by `what`; 0 of barrier */
	struct perf_buffers from, into; /* without a base: there is none here */
	size_t *counts;                 /* of reduce_scatter: elements of each rank */
};

/* ---- The collectives ---- */

const char *perf_group_name(enum perf_group_what what);
/* They have a length; it is of numbers, and has to be a multiple of this. */
bool perf_group_has_bytes(enum perf_group_what what);
size_t perf_group_unit(enum perf_group_what what);

/* Makes the buffers for e->what and e->bytes, filled with what is sent. 0, or -1 and errno. */
int perf_group_prepare(struct perf_group_end *e);
void perf_group_dispose(struct perf_group_end *e);
/* Operation i. 0, or a negative errno. */
int perf_group_call(struct perf_group_end *e, uint64_t i);
/* What is received into holds nothing that could come; holds what must, after so many operations. */
void perf_group_clear(struct perf_group_end *e);
bool perf_group_check(const struct perf_group_end *e, uint64_t operations);

/* ---- One row ---- */

struct perf_group_row {
	enum perf_group_what what;
	int ranks;
	size_t bytes;
	uint64_t operations; /* in each round's timed part */
	/* Of the round in the middle, by the average: over all ranks, of the mean time of an operation. */
	double usec_avg, usec_min, usec_max;
	struct perf_group_counters counters; /* of that round, all ranks */
	double astray; /* the most that a rank has of its buffers on pages of the other kind */
	int wrong;     /* a rank that has received something else than was sent; -1: none */
};

/* Called by all. Fills in the row of rank 0. */
void perf_group_measure(struct perf_group_end *e, struct perf_group_row *row);

/* The call must have succeeded: if it has not the whole group is ended, and told why. */
void perf_group_must(struct perf_group_end *e, int rc, const char *call);

/* --tune: called by all. Whether all bytes were right, as rank 0 knows. */
bool perf_group_tune(struct perf_group_end *e);

/* ---- Output, of rank 0 ---- */

/* One line about the run: to stdout, or with CSV to stderr. */
void perf_group_report_begin(const struct perf_group_options *o, int ranks);
void perf_group_report_head(const struct perf_group_options *o);
void perf_group_report_row(const struct perf_group_options *o, const struct perf_group_row *row);
/* --tune: a row of both ways, and the list at the end. */
void perf_group_report_tune_begin(const struct perf_group_options *o);
void perf_group_report_tune_row(const struct perf_group_options *o, const struct perf_group_row *s,
    const struct perf_group_row *l);
void perf_group_report_tune_end(const struct perf_group_options *o, const char *list);
/* The last table, of what haul counted: its column names, one row. */
void perf_group_report_stats_begin(const struct perf_group_options *o);
void perf_group_report_stats_row(const struct perf_group_options *o, const struct perf_group_row *row);

#endif
