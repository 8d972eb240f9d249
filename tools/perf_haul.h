/* SPDX-License-Identifier: BSD-3-Clause */
/* A contender of haul perf that uses libhaul, in one process: what perf_haul.c opens, and others use. */
#ifndef TOOLS_PERF_HAUL_H
#define TOOLS_PERF_HAUL_H

#include "perf.h"

#include <haul/haul.h>

/* A perf_end's state. */
struct perf_haul {
	struct haul *h;
	struct haul_peer *peer;
	struct haul_match from_peer;
	struct haul_req *reqs[PERF_MAX_WINDOW];
};

/* What a contender is before, in and after its two processes. */
int perf_haul_setup(struct perf_round *round);
int perf_haul_open(struct perf_end *e);
void perf_haul_close(struct perf_end *e);
void perf_haul_count(struct perf_end *e, struct perf_counters *counters);

/* perf_fail() with the words of the library. */
int perf_haul_fail(struct perf_end *e, const char *call);

/* Waits for a request and frees it, with its status. 0, or -1 after perf_fail(). */
int perf_haul_finish(struct perf_end *e, struct haul_req *r, struct haul_status *status);

/* Before the first turn of a matching measurement, in both processes: all that is to be outstanding. */
int perf_match_open(struct perf_end *e);

/* n turns of it; perf_match.c tells what a turn is. */
int perf_match_run(struct perf_end *e, uint64_t n);

#endif
