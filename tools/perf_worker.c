/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One round of haul perf as its two processes see it.
 *
 * The process whose clock counts leads. It announces a part of k iterations, the other answers that it is
 * ready, both run it; 0 iterations end the round. Parts that double and more warm up and show the pace;
 * then comes the timed one, and perhaps a moment of idleness. The receive buffers are cleared before every
 * part and checked after the timed one, outside the measured time. Where the sender leads, the clock starts
 * when both are ready; where the receiver does, when it asks the sender to begin, so that no message can be
 * ahead of it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_setaffinity, cpu_set_t */
#endif
#include "perf.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#define PART_IDLE UINT64_MAX /* a part that is not of iterations */

int perf_fail(struct perf_end *e, const char *format, ...)
{
	va_list args;
	if (e->report->failed)
		return -1; /* the first failure is the cause */
	e->report->failed = true;
	e->report->failed_ns = perf_now();
	va_start(args, format);
	vsnprintf(e->report->words, sizeof(e->report->words), format, args);
	va_end(args);
	return -1;
}

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t perf_now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t perf_cpu_now(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

int perf_pingpong(struct perf_end *e, uint64_t n)
{
	const struct contender *c = e->round->contender;
	for (uint64_t i = 0; i < n; i++) {
		if (e->rank == 0) {
			if (c->send(e, i) < 0 || c->recv(e, i) < 0)
				return -1;
			perf_stamp(e);
		} else if (c->recv(e, i) < 0 || c->send(e, i) < 0) {
			return -1;
		}
	}
	return 0;
}

int perf_stream(struct perf_end *e, uint64_t n)
{
	const struct contender *c = e->round->contender;
	for (uint64_t i = 0; i < n; i++) {
		if (e->rank == 0) {
			if (c->send(e, i) < 0)
				return -1;
		} else {
			if (c->recv(e, i) < 0)
				return -1;
			perf_stamp(e);
		}
	}
	return 0;
}

/* Tells the other process a number, or hears one. Always by sleeping: this is never timed for long. */
static int tell(struct perf_end *e, uint64_t k)
{
	if (send(e->round->sync[e->rank], &k, sizeof(k), MSG_NOSIGNAL) != sizeof(k))
		return perf_fail(e, "the other process is gone");
	return 0;
}

static int hear(struct perf_end *e, uint64_t *k)
{
	if (recv(e->round->sync[e->rank], k, sizeof(*k), MSG_WAITALL) != sizeof(*k))
		return perf_fail(e, "the other process is gone");
	return 0;
}

int perf_token_give(struct perf_end *e)
{
	if (send(e->round->sync[e->rank], "", 1, MSG_NOSIGNAL) != 1)
		return perf_fail(e, "the other process is gone");
	return 0;
}

int perf_token_take(struct perf_end *e)
{
	char token;
	ssize_t n;
	do
		n = recv(e->round->sync[e->rank], &token, 1, e->spin ? MSG_DONTWAIT : 0);
	while (n < 0 && perf_again());
	return n == 1 ? 0 : perf_fail(e, "the other process is gone");
}

static void count(struct perf_end *e, struct perf_counters *counters)
{
	*counters = (struct perf_counters){ 0 };
	if (e->round->options->common.stats && e->round->contender->count != NULL)
		e->round->contender->count(e, counters);
}

static int run_part(struct perf_end *e, uint64_t k, uint64_t *cpu_ns)
{
	struct perf_counters before, after;

	count(e, &before);
	uint64_t start = perf_cpu_now();
	int rc = e->round->contender->run[e->round->what](e, k);
	*cpu_ns = perf_cpu_now() - start;
	count(e, &after);
	e->report->counters = perf_counters_since(&before, &after);
	return rc;
}

/* Whether messages come to this end; a contender without recv() is the leader alone. */
static bool receives(const struct perf_end *e)
{
	const struct perf_kind *kind = &perf_kinds[e->round->what];
	return kind->gets[e->rank] > 0 && (e->rank == kind->leader || e->round->contender->recv != NULL);
}

static int check(struct perf_end *e, uint64_t iterations)
{
	uint64_t messages = iterations * perf_kinds[e->round->what].gets[e->rank];
	if (receives(e) && !perf_buffers_check(&e->in, e->peer, messages))
		return perf_fail(e, "the bytes received are not those sent");
	return 0;
}

/* One part, led. stamps[0] is its start, the last one its end. */
static int lead_part(struct perf_end *e, uint64_t k, uint64_t *elapsed_ns, uint64_t *cpu_ns)
{
	uint64_t answer;

	if (receives(e))
		perf_buffers_clear(&e->in);
	e->stamps[0] = perf_now();
	e->stamped = 1;
	e->since = 0;
	if (tell(e, k) < 0 || hear(e, &answer) < 0)
		return -1;
	if (e->rank == 0)
		e->stamps[0] = perf_now();
	if (run_part(e, k, cpu_ns) < 0)
		return -1;
	*elapsed_ns = e->stamps[e->stamped - 1] - e->stamps[0];
	if (*elapsed_ns == 0)
		*elapsed_ns = 1;
	return 0;
}

/* Iterations in a part, near to what is wanted: the last one is to be stamped. */
static uint64_t whole_strides(const struct perf_end *e, double wanted, uint64_t most)
{
	uint64_t k = wanted > (double)most ? most : (uint64_t)wanted;
	return (k + e->stride - 1) / e->stride * e->stride;
}

/* Idleness is a matter of ping-pongs. */
static int lead_idle(struct perf_end *e)
{
	uint64_t answer;
	if (!e->round->options->cpu || e->round->what != PERF_LATENCY || e->round->contender->recv == NULL)
		return 0;
	return tell(e, PART_IDLE) < 0 || hear(e, &answer) < 0 ? -1 : perf_idle_run(e);
}

static int lead(struct perf_end *e)
{
	struct perf_report *report = e->report;
	const struct perf_options *o = e->round->options;
	uint64_t budget_ns = (uint64_t)o->common.budget_ms * 1000000;
	uint64_t most = (uint64_t)PERF_MAX_MESSAGES * e->stride;
	uint64_t k = whole_strides(e, PERF_MIN_MESSAGES / 2, PERF_MIN_MESSAGES), elapsed, cpu;

	for (;;) {
		if (lead_part(e, k, &elapsed, &cpu) < 0)
			return -1;
		if (elapsed >= budget_ns / 4 || k >= most / 4)
			break;
		double wanted = (double)k * (double)budget_ns / 3 / (double)elapsed + 1;
		k = whole_strides(e, wanted, k * 16 < most / 4 ? k * 16 : most / 4);
	}
	double wanted = (double)k * (double)budget_ns / (double)elapsed;
	k = whole_strides(e, wanted > PERF_MIN_MESSAGES ? wanted : PERF_MIN_MESSAGES, most);
	if (lead_part(e, k, &elapsed, &cpu) < 0 || check(e, k) < 0 || lead_idle(e) < 0 || tell(e, 0) < 0)
		return -1;

	uint64_t count = k / e->stride;
	const uint64_t *sorted = perf_stats_durations(e->stamps, count);
	report->iterations = k;
	report->elapsed_ns = elapsed;
	report->cpu_ns = cpu;
	report->p50_ns = perf_stats_percentile(sorted, count, 50);
	report->p99_ns = perf_stats_percentile(sorted, count, 99);
	return 0;
}

static int follow(struct perf_end *e)
{
	uint64_t last = 0;
	for (;;) {
		uint64_t k;
		if (hear(e, &k) < 0)
			return -1;
		if (k == 0)
			break;
		if (k == PART_IDLE) {
			if (tell(e, k) < 0 || perf_idle_run(e) < 0)
				return -1;
			continue;
		}
		if (receives(e))
			perf_buffers_clear(&e->in);
		if (tell(e, k) < 0 || run_part(e, k, &e->report->cpu_ns) < 0)
			return -1;
		last = k;
	}
	return check(e, last);
}

/* Its own CPU first, so that the memory touched next is near it; then the same memory for all. */
static int prepare(struct perf_end *e)
{
	const struct perf_options *o = e->round->options;
	unsigned buffers =
	    e->round->what == PERF_MATCH ? 1 : o->common.buffers; /* a message there may go to any receive */

	if (o->pin) {
		cpu_set_t set;
		CPU_ZERO(&set);
		CPU_SET((size_t)o->cpus[e->rank], &set);
		if (sched_setaffinity(0, sizeof(set), &set) < 0)
			return perf_fail(e, "sched_setaffinity: %s", strerror(errno));
	}
	if (perf_buffers_map(&e->out, buffers, e->round->bytes, o->common.huge) < 0 ||
	    perf_buffers_map(&e->in, buffers, e->round->bytes, o->common.huge) < 0)
		return perf_fail(e, "memory for buffers: %s", strerror(errno));
	perf_buffers_fill(&e->out, e->rank);
	perf_buffers_clear(&e->in);
	e->report->huge = perf_pages_huge((struct perf_buffers[]){ e->out, e->in }, 2);

	e->stamps = mmap(NULL, (PERF_MAX_MESSAGES + 1) * sizeof(e->stamps[0]), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (e->stamps == MAP_FAILED)
		return perf_fail(e, "memory for times: %s", strerror(errno));
	return 0;
}

void perf_worker_run(const struct perf_round *round, int rank, struct perf_report *report)
{
	const struct contender *c = round->contender;
	const struct perf_kind *kind = &perf_kinds[round->what];
	struct perf_end e = { .round = round,
		.report = report,
		.rank = rank,
		.peer = 1 - rank,
		.rx = round->rx[rank],
		.tx = round->tx[rank],
		.spin = round->options->spin,
		.stride = perf_stride(kind),
		.window = round->options->window > 0 ? round->options->window : kind->window };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	*report = (struct perf_report){ 0 };
	int rc = prepare(&e);
	if (rc == 0 && c->open != NULL)
		rc = c->open(&e);
	if (rc == 0)
		rc = rank == kind->leader ? lead(&e) : follow(&e);
	if (rc == 0 && c->close != NULL)
		c->close(&e);
}
