/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul run: one loop, until all ranks have ended, over what they print, their ends, signals, and the clock.
 * Signals that end programs are passed on to the ranks, whose ends then tell what came of it. What ends the ranks if
 * haul run itself is killed: run_guard.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "run.h"

#include <bsd/err.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "commands.h"

/* ---- starting ---- */

static void make_job(struct run *run)
{
	int error = run_job_start(&run->job, run->options.job, run->options.size);
	if (error == EADDRINUSE)
		errx(EX_UNAVAILABLE, "there is a job named '%s' already", run->job.name);
	if (error != 0)
		errc(EX_OSERR, error, "sockets for %u ranks", run->options.size);
}

/* An errno if one could not be started: those that were are ended. */
static int start_all(struct run *run)
{
	struct run_places *places = run_places_new(run->options.bind, run->options.size);
	struct run_start start = { .options = &run->options,
		.places = places,
		.job = &run->job,
		.signals = &run->mask,
		.files = run->files,
		.cpus = run_setup_cpus(),
		.guard = &run->guard,
		.out = &run->out,
		.err = run->err_is_out ? &run->out : &run->err };
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC), error = 0;
	if (nothing < 0)
		err(EX_OSERR, "/dev/null");
	for (unsigned i = 0; i < run->options.size && error == 0; i++) {
		start.input = i == 0 ? run_input_of_rank(&run->input) : nothing;
		error = run_rank_start(&run->ranks[i], i, &start);
		run_job_given(&run->job, i);
		run->live += error == 0;
	}
	close(nothing);
	run_input_given(&run->input);
	run_places_free(places);
	run->started = run->live;
	if (error != 0)
		run_phase_end(run);
	return error;
}

/* ---- the loop ---- */

enum {
	OTHERS = 4,        /* descriptors that are no rank's: the first */
	NOTES_MOST = 1000, /* to be heard of a rank before others have a turn; more than a socket holds */
};

static void pass_signals(struct run *run)
{
	struct signalfd_siginfo info;
	while (read(run->signals, &info, sizeof(info)) == sizeof(info)) {
		run->signaled = true;
		run_phase_signal(run, (int)info.ssi_signo);
		if (info.ssi_signo == SIGTSTP)
			raise(SIGSTOP); /* until SIGCONT, which is passed on */
	}
}

static void hear(struct run *run, struct run_rank *r)
{
	struct run_heard heard;
	for (int most = NOTES_MOST; most > 0 && run_control_hear(&r->control, &heard); most--)
		if (heard.note.kind == JOB_ABORT)
			run_phase_abort(run, r, &heard);
		else if (heard.note.kind == JOB_STATS)
			run_stats_said(&r->stats, heard.text);
}

static void talk(struct run *run, struct run_rank *r, short events)
{
	if ((events & POLLOUT) != 0)
		r->control.full = false;
	if ((events & ~POLLOUT) != 0)
		hear(run, r);
}

static void ended(struct run *run, struct run_rank *r)
{
	hear(run, r); /* what it said last; others that have its end may go on */
	run_control_end(&r->control);
	run_rank_reap(r, &run->guard);
	run->live--;
	run_phase_ended(run, r);
}

/* Who is to be called when it is ready. */
struct watched {
	struct run_stream *stream;
	struct run_rank *rank; /* it has ended, */
	bool control;          /* or this is about notes */
};

static size_t watch(struct run *run, struct pollfd *fds, struct watched *who)
{
	size_t count = 0;
	fds[count++] = (struct pollfd){ .fd = run->signals, .events = POLLIN };
	fds[count++] = run_input_wanted(&run->input);
	fds[count++] = (struct pollfd){ .fd = run_sink_has(&run->out) ? run->out.fd : -1, .events = POLLOUT };
	fds[count++] = (struct pollfd){ .fd = run_sink_has(&run->err) ? run->err.fd : -1, .events = POLLOUT };
	for (unsigned i = 0; i < run->options.size; i++) {
		struct run_rank *r = &run->ranks[i];
		struct run_stream *streams[] = { &r->out, &r->err };
		for (int k = 0; k < 2; k++)
			if (run_stream_is_open(streams[k])) {
				who[count] = (struct watched){ .stream = streams[k] };
				fds[count++] = (struct pollfd){ .fd = streams[k]->fd, .events = POLLIN };
			}
		if (r->pid > 0 && r->control.fd >= 0) {
			short events = r->control.full ? POLLIN | POLLOUT : POLLIN;
			who[count] = (struct watched){ .rank = r, .control = true };
			fds[count++] = (struct pollfd){ .fd = r->control.fd, .events = events };
		}
		if (r->pid > 0) {
			who[count] = (struct watched){ .rank = r };
			fds[count++] = (struct pollfd){ .fd = r->pidfd, .events = POLLIN };
		}
	}
	return count;
}

static void round_of(struct run *run, struct pollfd *fds, struct watched *who, int64_t until)
{
	size_t count = watch(run, fds, who);
	int64_t left = until == INT64_MAX ? -1 : until - run_now_ms();
	int timeout = until == INT64_MAX ? -1 : left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
	if (poll(fds, count, timeout) < 0) {
		if (errno != EINTR)
			err(EX_OSERR, "poll");
		return;
	}
	if (fds[0].revents != 0)
		pass_signals(run);
	if (fds[1].revents != 0)
		run_input_ready(&run->input);
	if (fds[2].revents != 0)
		run_sink_ready(&run->out);
	if (fds[3].revents != 0)
		run_sink_ready(&run->err);
	for (size_t i = OTHERS; i < count; i++)
		if (fds[i].revents != 0 && who[i].stream != NULL)
			run_stream_read(who[i].stream, SIZE_MAX);
		else if (fds[i].revents != 0 && who[i].control)
			talk(run, who[i].rank, fds[i].revents);
	/* After the notes: an abort is why others fail, not the other way round. */
	for (size_t i = OTHERS; i < count; i++)
		if (fds[i].revents != 0 && who[i].stream == NULL && !who[i].control)
			ended(run, who[i].rank);
	for (unsigned i = 0; i < run->started; i++)
		run_control_tell(&run->ranks[i].control, i, &run->notes);
}

static void loop(struct run *run)
{
	size_t most = OTHERS + 4 * (size_t)run->options.size;
	struct pollfd *fds = calloc(most, sizeof(*fds));
	struct watched *who = calloc(most, sizeof(*who));
	if (fds == NULL || who == NULL)
		err(EX_OSERR, "memory");
	while (run->live > 0) {
		round_of(run, fds, who, run->deadline);
		if (run->out.error != 0 || run->err.error != 0)
			run_phase_end(run);
		if (run->live > 0 && run_now_ms() >= run->deadline)
			run_phase_too_late(run);
	}
	for (unsigned i = 0; i < run->options.size; i++) {
		run_stream_end(&run->ranks[i].out);
		run_stream_end(&run->ranks[i].err);
	}
	/* Their last words, which somebody may still read; or a signal says that nobody will. */
	run->signaled = false;
	while (!run->signaled && (run_sink_has(&run->out) || run_sink_has(&run->err)))
		round_of(run, fds, who, INT64_MAX);
	free(run->out.buf);
	free(run->err.buf);
	free(fds);
	free(who);
}

/* ---- the command ---- */

int command_run(int argc, char **argv)
{
	struct run run = { .out.fd = STDOUT_FILENO, .err.fd = STDERR_FILENO, .deadline = INT64_MAX };
	run_options_parse(&run.options, argc, argv);
	run.out.tag = run.err.tag = run.options.tag;
	run.ranks = calloc(run.options.size, sizeof(*run.ranks));
	run.notes.all = calloc(run.options.size, sizeof(*run.notes.all));
	if (run.ranks == NULL || run.notes.all == NULL)
		err(EX_OSERR, "memory");
	run_setup_standard_descriptors();
	run.err_is_out = run_setup_is_one_file(STDOUT_FILENO, STDERR_FILENO);
	run_setup_outer_job();
	run.files = run_setup_limit();
	int error = run_guard_start(&run.guard);
	if (error != 0)
		errc(EX_OSERR, error, "cannot start the guard of the ranks");
	if ((error = run_input_start(&run.input)) != 0)
		errc(EX_OSERR, error, "a pipe for rank 0");
	make_job(&run);
	run.signals = run_setup_signals(&run.mask);
	run.start_error = start_all(&run);
	if (run.options.timeout_s > 0 && run.phase == RUN_RUNNING)
		run.deadline = run_now_ms() + (int64_t)run.options.timeout_s * 1000;
	loop(&run);
	run_input_end(&run.input);
	run_guard_stop(&run.guard);
	run_job_end(&run.job);
	run_tell_apart(&run);
	if (run.options.stats)
		run_stats_print(run.ranks, run.started);
	int status = run_tell(&run);
	free(run.notes.all);
	free(run.ranks);
	return status;
}
