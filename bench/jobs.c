/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is measured, the same for every contender (bench/contender.h): latency (half a ping-pong), bandwidth and rate (messages
 * under way in one direction, long and short ones), and what the two processes cost while one waits for the other.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "parts.h"

#include <stdio.h>

enum {
	IDLE_MS = 500,
	BANDWIDTH_WINDOW = 16,
	WINDOW_BYTES = 8 << 20, /* under way in a part of bandwidth, but for two messages */
	BANDWIDTH_LEAST = 4096, /* shorter messages are counted: rate */
};

static const size_t all_sizes[] = { 8, 64, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20,
	16 << 20, 64 << 20 };

static void row(const struct job *j, const struct options *o, const char *what, size_t len, const char *unit,
    double figure)
{
	if (j->e->rank == 0)
		printf("%s,%s,%s,%zu,%s,%.6g\n", what, o->name, j->e->spin ? "spin" : "sleep", len, unit,
		    figure);
	fflush(stdout);
}

static void latency(struct job *j, const struct options *o, size_t len)
{
	j->pingpong = true;
	j->window = 1;
	row(j, o, "latency", len, "us", job_run(j, o, len).seconds * 1e6);
}

static void flow(struct job *j, const struct options *o, size_t len)
{
	bool rate = len < BANDWIDTH_LEAST;
	j->pingpong = false;
	j->window = rate ? WINDOW_MOST : BANDWIDTH_WINDOW;
	while (j->window > 2 && j->window * len > WINDOW_BYTES)
		j->window /= 2;
	struct figure figure = job_run(j, o, len);
	if (rate) {
		row(j, o, "rate", len, "M/s", 1e-6 / figure.seconds);
		return;
	}
	row(j, o, "bandwidth", len, "MB/s", (double)len / 1e6 / figure.seconds);
	row(j, o, "cpu", len, "s/GiB", figure.cpu * (1 << 30) / (double)len);
}

/* One process waits for a message while the other does something else. */
static void idle(struct job *j, const struct options *o)
{
	const struct timespec pause = { .tv_nsec = IDLE_MS * 1000000L };
	uint64_t cpu = bench_now_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (j->e->rank == 0) {
		nanosleep(&pause, NULL);
		job_tell(j, 0, 0);
		cpu = bench_now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu + job_hear(j).cpu_ns;
		row(j, o, "idle", 0, "%CPU", (double)cpu / (IDLE_MS * 1e4));
	} else {
		job_hear(j);
		job_tell(j, 0, bench_now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	}
}

void jobs_run(const struct contender *c, struct end *e, const struct options *o)
{
	struct job j = { .c = c, .e = e };
	const size_t *sizes = o->size_count > 0 ? o->sizes : all_sizes;
	size_t count = o->size_count > 0 ? o->size_count : sizeof(all_sizes) / sizeof(all_sizes[0]);

	for (size_t i = 0; i < count; i++) {
		if (sizes[i] < c->least)
			continue;
		if (o->latency)
			latency(&j, o, sizes[i]);
		if (sizes[i] < BANDWIDTH_LEAST ? o->rate : o->bandwidth)
			flow(&j, o, sizes[i]);
	}
	if (o->idle)
		idle(&j, o);
}
