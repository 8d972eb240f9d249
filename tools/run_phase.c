/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a job ends if not by itself. run.c says what has happened.
 *
 *     RUNNING --> ENDING --> KILLING     a rank failed, the time is up, the output is gone: SIGTERM; after the grace
 *                                        SIGKILL
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "run.h"

#include <time.h>

int64_t run_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void run_phase_signal(struct run *run, int signal)
{
	for (unsigned i = 0; i < run->options.size; i++)
		run_rank_signal(&run->ranks[i], signal);
}

/* A stopped one would not hear of it. */
void run_phase_end(struct run *run)
{
	if (run->phase != RUN_RUNNING)
		return;
	run->phase = RUN_ENDING;
	run->deadline = run_now_ms() + run->options.grace_ms;
	run_phase_signal(run, SIGTERM);
	run_phase_signal(run, SIGCONT);
}

void run_phase_failed(struct run *run, const struct run_rank *r)
{
	if (run->first == NULL && run->phase == RUN_RUNNING)
		run->first = r;
	run_phase_end(run);
}

void run_phase_too_late(struct run *run)
{
	switch (run->phase) {
	case RUN_RUNNING:
		run->timed_out = true;
		run_phase_end(run);
		break;
	case RUN_ENDING:
		run->phase = RUN_KILLING;
		run->deadline = INT64_MAX;
		run_phase_signal(run, SIGKILL);
		break;
	case RUN_KILLING:
		break;
	}
}
