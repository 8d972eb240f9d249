/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a job ends if not by itself. run.c says what has happened.
 *
 *     RUNNING --> TOLD ---> ENDING --> KILLING
 *      |  '----> ABORTED ----^
 *      '---------------------'
 *
 *     TOLD      a rank has failed, and the others had a note of it, as of any end: some may make something of it
 *     ABORTED   a rank has aborted the job; but perhaps because another had been killed, which is heard of in a moment
 *     ENDING    the grace, or that moment, is over: SIGTERM. Or the time is up, the output is gone
 *     KILLING   the grace after that is over, too: SIGKILL
 *
 * Who is killed may be missed by the others sooner than it is by us, and these fail of it. So the cause, which is
 * told at the end, is one that was killed rather than who fails otherwise, up to a moment before.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "run.h"

#include <time.h>

enum { MOMENT_MS = 20 };

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
	if (run->phase == RUN_ENDING || run->phase == RUN_KILLING)
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

static void end_by(struct run *run, int64_t at)
{
	if (at < run->deadline)
		run->deadline = at;
}

/* Not by its own doing, as abort(3) is. */
static bool was_killed(const struct run_rank *r)
{
	return r->signal != 0 && r->signal != SIGABRT;
}

/* Before any was sent a signal by us. */
static void find_cause(struct run *run, struct run_rank *r)
{
	if (run->phase == RUN_ENDING || run->phase == RUN_KILLING)
		return;
	bool recent = run_now_ms() - run->failed_at <= MOMENT_MS;
	if (run->aborted != NULL || run->first != NULL) {
		if (!recent || !was_killed(r) || (run->aborted == NULL && was_killed(run->first)))
			return;
		run->aborted = NULL;
	} else {
		run->failed_at = run_now_ms();
	}
	run->first = r;
}

void run_phase_ended(struct run *run, struct run_rank *r)
{
	note(run, r, r->failed ? JOB_DEAD : JOB_LEFT, r->status);
	if (!r->failed)
		return;
	find_cause(run, r);
	if (run->phase != RUN_RUNNING || run->options.keep_going)
		return;
	run->phase = RUN_TOLD;
	end_by(run, run_now_ms() + run->options.grace_ms);
}

/* In one line, and nothing in it that a terminal would obey. */
static void make_printable(char *to, const char *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7f ? '?' : from[i];
	to[len] = '\0';
}

/* A grace would be for those that live on: it is a moment only. */
void run_phase_abort(struct run *run, struct run_rank *r, const struct run_heard *heard)
{
	int status = heard->note.status & 0xff; /* as of exit(3) */
	note(run, r, JOB_DEAD, status);
	if (run->phase == RUN_TOLD)
		run_phase_end(run);
	if (run->phase != RUN_RUNNING)
		return;
	run->aborted = r;
	run->abort_status = status;
	make_printable(run->abort_text, heard->text, heard->note.len);
	run->failed_at = run_now_ms();
	run->phase = RUN_ABORTED;
	end_by(run, run->failed_at + MOMENT_MS);
}

void run_phase_too_late(struct run *run)
{
	switch (run->phase) {
	case RUN_RUNNING:
		run->timed_out = true;
		run_phase_end(run);
		break;
	case RUN_TOLD:
	case RUN_ABORTED:
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
