/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a job ends if not by itself. run.c says what has happened.
 *
 *     RUNNING --> TOLD --> ENDING --> KILLING
 *        '-------------------^
 *
 *     TOLD      a rank has failed, and the others had a note of it, as of any end: some may make something of it
 *     ENDING    the grace is over: SIGTERM. Or the time is up, the output is gone, a rank has aborted the job
 *     KILLING   the grace after that is over, too: SIGKILL
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
	if (run->phase != RUN_RUNNING && run->phase != RUN_TOLD)
		return;
	run->phase = RUN_ENDING;
	run->deadline = run_now_ms() + run->options.grace_ms;
	run_phase_signal(run, SIGTERM);
	run_phase_signal(run, SIGCONT);
}

static void note(struct run *run, struct run_rank *r, enum job_kind kind, int status)
{
	if (r->noted)
		return;
	r->noted = true;
	run->notes.all[run->notes.count++] =
	    (struct job_note){ .kind = kind, .rank = r->rank, .status = status };
}

void run_phase_ended(struct run *run, struct run_rank *r)
{
	note(run, r, r->failed ? JOB_DEAD : JOB_LEFT, r->status);
	if (!r->failed || run->phase != RUN_RUNNING)
		return;
	if (run->first == NULL)
		run->first = r;
	if (run->options.keep_going)
		return;
	run->phase = RUN_TOLD;
	int64_t over = run_now_ms() + run->options.grace_ms;
	if (over < run->deadline)
		run->deadline = over;
}

/* In one line, and nothing in it that a terminal would obey. */
static void make_printable(char *to, const char *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7f ? '?' : from[i];
	to[len] = '\0';
}

/* A grace would be for those that live on. */
void run_phase_abort(struct run *run, struct run_rank *r, const struct run_heard *heard)
{
	int status = heard->note.status & 0xff; /* as of exit(3) */
	if (run->phase == RUN_RUNNING) {
		run->aborted = r;
		run->abort_status = status;
		make_printable(run->abort_text, heard->text, heard->note.len);
	}
	note(run, r, JOB_DEAD, status);
	run_phase_end(run);
}

void run_phase_too_late(struct run *run)
{
	switch (run->phase) {
	case RUN_RUNNING:
		run->timed_out = true;
		run_phase_end(run);
		break;
	case RUN_TOLD:
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
