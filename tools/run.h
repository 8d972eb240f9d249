/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul run: starts the ranks of a group, one process each, and sees them to their end.
 *
 *   run.c          the command: one loop over what ranks say, end by, and are sent
 *   run_options.c  its command line
 *   run_setup.c    what it was started with: signals, descriptors, limits
 *   run_job.c      its name, and a listening socket for each rank
 *   run_rank.c     a rank's life: environment, place, descriptors; signals to it, its end
 *   run_control.c  notes to ranks and from them
 *   run_input.c    what is typed goes to rank 0
 *   run_output.c   lines from many ranks to one descriptor, none of them torn
 *   run_bind.c     on which core a rank runs
 *   run_guard.c    a process that ends the ranks should haul run itself be killed
 *   run_phase.c    how the ranks are ended if one fails
 *   run_stats.c    the table of --stats
 *   run_tell.c     the last line, and the exit status
 */
#ifndef TOOLS_RUN_H
#define TOOLS_RUN_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "wire/job.h"

enum { RUN_RANKS_MOST = 4096, RUN_TIMED_OUT = 124 };

enum run_bind { RUN_BIND_AUTO, RUN_BIND_NONE, RUN_BIND_CORE };

struct run_options {
	unsigned size;   /* ranks */
	bool tag;        /* each line begins with its rank */
	bool huge;       /* the ranks' malloc is to use huge pages */
	bool keep_going; /* the failure of a rank ends no other */
	bool stats;      /* a table of what each rank has done, at the end */
	enum run_bind bind;
	const char *job; /* its name; NULL: at random */
	int timeout_s;   /* 0: none */
	int grace_ms;    /* between two steps of ending the ranks */
	char **argv;     /* the program and its arguments, NULL at the end */
};

/* Ends the process where they make no sense. */
void run_options_parse(struct run_options *o, int argc, char **argv);

/* ---- what it was started with ---- */

/* A descriptor that tells of the signals that end or stop programs, which are blocked from then on. */
int run_setup_signals(sigset_t *before);
/* Standard descriptors that are closed become /dev/null. */
void run_setup_standard_descriptors(void);
/* As many descriptors as may be. Returns how many the ranks are to be allowed. */
rlim_t run_setup_limit(void);
/* How many CPUs this process may use. */
unsigned run_setup_cpus(void);
bool run_setup_is_one_file(int a, int b);

/* What haul run has if it is itself a rank, of another job, is not for the ranks of this one. */
void run_setup_outer_job(void);

/* ---- the job ---- */

struct run_job {
	char name[JOB_NAME_MOST + 1];
	unsigned size;
	int hold;       /* bound to a name of the job's, so that there is no other of this name */
	int *listening; /* each rank's; -1: it has it */
};

/* 0 or an errno: EADDRINUSE if there is a job of that name. NULL: a name at random. */
int run_job_start(struct run_job *job, const char *name, unsigned size);
/* The rank has its socket, and is to be the only one. */
void run_job_given(struct run_job *job, unsigned rank);
void run_job_end(struct run_job *job);

/* ---- notes ---- */

/* Each rank's end, in the order they came. */
struct run_notes {
	struct job_note *all; /* room for one of each rank */
	unsigned count;
};

/* haul run's end of a rank's control channel. */
struct run_control {
	int fd;        /* -1: there is none, or the rank has closed its end */
	unsigned told; /* so many of the notes */
	bool full;     /* until POLLOUT */
	bool deaf;     /* it takes no more */
};

struct run_heard {
	struct job_note note;         /* .kind 0: it made no sense */
	char text[JOB_TEXT_MOST + 1]; /* .len bytes, and a 0 */
};

/* 0 or an errno. The other end is for the rank. */
int run_control_start(struct run_control *c, int *of_rank);
/* What the rank was not told yet, except of itself; as much as goes without waiting. */
void run_control_tell(struct run_control *c, unsigned rank, const struct run_notes *notes);
/* Takes one note; false: there is none now, or will be none. */
bool run_control_hear(struct run_control *c, struct run_heard *heard);
void run_control_end(struct run_control *c);

/* ---- output ---- */

/* Where lines go, standard output or error. It may be slow, or stand still: nothing waits for it but what is to
 * be written there. */
struct run_sink {
	int fd;
	bool tag;
	const struct run_stream *unfinished; /* who has the last line, which has no end yet */
	int error;                           /* it can't be written: what comes is thrown away */
	char *buf;
	size_t at, len, room; /* what is to be written: from at to len */
};

/* What comes from a rank by one descriptor. */
struct run_stream {
	int fd; /* -1: at its end */
	unsigned rank;
	struct run_sink *sink;
	char *buf;
	size_t len, room;
};

void run_stream_init(struct run_stream *s, int fd, unsigned rank, struct run_sink *sink);
/* Whether there is to be read, as far as its sink goes. */
bool run_stream_is_open(const struct run_stream *s);
/* Reads once, at most so many bytes, and hands the lines that are whole to the sink. Returns how many bytes came. */
size_t run_stream_read(struct run_stream *s, size_t most);
/* What is there at this moment, then its end. */
void run_stream_end(struct run_stream *s);

bool run_sink_has(const struct run_sink *sink);
/* It can be written: some of it is, without blocking. */
void run_sink_ready(struct run_sink *sink);

/* ---- input ---- */

/* Rank 0 has haul run's standard input itself, but for a terminal, which only the group in its foreground may
 * read: from that haul run reads, and hands it on. */
struct run_input {
	int pipe[2]; /* -1: there is none, or it is at its end */
	char buf[4096];
	size_t at, len;
};

int run_input_start(struct run_input *in);
/* What rank 0 is to have. */
int run_input_of_rank(const struct run_input *in);
/* Rank 0 has it. */
void run_input_given(struct run_input *in);
/* What is to be waited for, for which events; fd -1: nothing. It is ready. */
struct pollfd run_input_wanted(const struct run_input *in);
void run_input_ready(struct run_input *in);
void run_input_end(struct run_input *in);

/* ---- places ---- */

/* Finds out on which core each of so many ranks is to run; nothing if they are to run anywhere. */
struct run_places *run_places_new(enum run_bind bind, unsigned size);
/* Puts this process there. NULL does nothing. */
void run_place(const struct run_places *p, unsigned rank);
void run_places_free(struct run_places *p);

/* ---- the guard ---- */

/* It goes when this process does, however that ends. */
struct run_guard {
	int fd;
	pid_t pid;
};

int run_guard_start(struct run_guard *g);
/* The process group is to be killed then; is not, any more: to be said before its leader is reaped. */
void run_guard_add(struct run_guard *g, pid_t group);
void run_guard_remove(struct run_guard *g, pid_t group);
void run_guard_stop(struct run_guard *g);

/* ---- statistics ---- */

enum run_count {
	RUN_SENT, /* messages */
	RUN_RECEIVED,
	RUN_SENT_BYTES,
	RUN_RECEIVED_BYTES,
	RUN_PULLED_BYTES, /* of those received */
	RUN_POLLED,       /* frames from outboxes */
	RUN_SLEEPS,
	RUN_COUNTS
};

/* Of one rank. */
struct run_stats {
	bool said; /* the rank has; else the counts are unknown */
	uint64_t counts[RUN_COUNTS];
	double user_s, system_s; /* with what it has started, and waited for */
	uint64_t resident_kib;   /* the most at a time, of one process */
};

/* Adds what the text of a JOB_STATS says. */
void run_stats_said(struct run_stats *s, const char *text);

/* ---- ranks ---- */

struct run_rank {
	unsigned rank;
	pid_t pid; /* of its process group, too; 0: not started, or reaped */
	int pidfd; /* -1 likewise */
	struct run_stream out, err;
	struct run_control control;
	struct run_stats stats;
	bool noted; /* its end is among the notes */
	bool failed;
	int status; /* what a shell would say of it: 128 + the signal that killed it */
	int signal; /* which; 0: none */
};

struct run_start {
	const struct run_options *options;
	const struct run_places *places;
	const struct run_job *job;
	int input;               /* the standard input of rank 0 */
	const sigset_t *signals; /* the mask that ranks are to have, */
	rlim_t files;            /* and how many descriptors */
	unsigned cpus;           /* that all of them may use */
	struct run_guard *guard;
	struct run_sink *out, *err;
};

/* 0, or the errno of what failed: of execvp(3), say. Nothing is left of it then. */
int run_rank_start(struct run_rank *r, unsigned rank, const struct run_start *s);
/* To it, and to what else is in its process group. */
void run_rank_signal(const struct run_rank *r, int signal);
/* It has ended: what is left of its process group is killed, and it is reaped. */
void run_rank_reap(struct run_rank *r, struct run_guard *guard);

/* ---- all of it ---- */

enum run_phase { RUN_RUNNING, RUN_TOLD, RUN_ABORTED, RUN_ENDING, RUN_KILLING }; /* drawn in run_phase.c */

struct run {
	struct run_options options;
	struct run_job job;
	rlim_t files; /* how many descriptors the ranks may have */
	struct run_rank *ranks;
	unsigned live, started;
	int start_error; /* of the next one */
	struct run_input input;
	struct run_sink out, err;
	bool err_is_out; /* one file: err is not used */
	struct run_guard guard;
	int signals;
	sigset_t mask; /* from before */
	enum run_phase phase;
	int64_t deadline;               /* of the phase, in ms; INT64_MAX: none */
	const struct run_rank *first;   /* to fail: the cause of it all, see run_phase.c */
	const struct run_rank *aborted; /* who has ended the job, unless that has another cause, */
	int64_t failed_at;              /* when either came, in ms */
	int abort_status;
	char abort_text[JOB_TEXT_MOST + 1];
	struct run_notes notes;
	bool timed_out;
	bool signaled; /* since the last rank ended: nobody is left to pass it on to */
};

int64_t run_now_ms(void);
void run_phase_signal(struct run *run, int signal);
/* A rank has ended. */
void run_phase_ended(struct run *run, struct run_rank *r);
/* A rank wants the job to end. */
void run_phase_abort(struct run *run, struct run_rank *r, const struct run_heard *heard);
/* The ranks are to be ended, if they aren't yet. */
void run_phase_end(struct run *run);
/* The deadline has passed. */
void run_phase_too_late(struct run *run);

void run_stats_print(const struct run_rank *ranks, unsigned count);

/* Ends a line that a rank has not. */
void run_tell_apart(const struct run *run);
/* Prints the last line, if something has failed. Returns the exit status. */
int run_tell(const struct run *run);

#endif
