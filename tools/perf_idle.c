/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What two connected processes that have nothing to say cost: after the timed part of a ping-pong, with
 * --cpu, first B waits for a message while A is asleep outside of the contender, then A for one of B.
 * Whoever waits does so as in the ping-pong, so that what a contender does before it sleeps, and again
 * while it sleeps, is counted.
 */
#include "perf.h"

#include <poll.h>

enum { IDLE_MS = 50 };

static int say_later(struct perf_end *e)
{
	poll(NULL, 0, IDLE_MS);
	return e->round->contender->send(e, 0);
}

int perf_idle_run(struct perf_end *e)
{
	const struct contender *c = e->round->contender;
	uint64_t start = perf_now(), cpu = perf_cpu_now();
	int rc;

	if (e->rank == 0)
		rc = say_later(e) < 0 || c->recv(e, 0) < 0 ? -1 : 0;
	else
		rc = c->recv(e, 0) < 0 || say_later(e) < 0 ? -1 : 0;
	e->report->idle_cpu_ns = perf_cpu_now() - cpu;
	e->report->idle_ns = perf_now() - start;
	return rc;
}
