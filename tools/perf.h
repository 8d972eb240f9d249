/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul perf: what its files share.
 *
 *   perf.c          which measurements are made, and in what order
 *   perf_options.c  the command line
 *   perf_common.c   what of it a rank has, too
 *   perf_round.c    one round: two processes forked, watched and reaped (the parent's part)
 *   perf_worker.c   one round as the two processes see it: warm-up, timed part, check of the data
 *   perf_buffers.c  the message buffers, the same for every contender
 *   perf_pages.c    on which pages they are
 *   perf_idle.c     what two processes cost that wait for each other
 *   perf_stats.c    percentiles, medians, counters
 *   perf_report.c   tables and CSV
 *   perf_sock.c     a stream socket pair, for contenders that are bare loops over one
 *   perf_raw.c      contenders that are system calls alone
 *   perf_vmpoll.c   another one, without any that waits
 *   perf_get.c      contenders that read the other process's buffer by themselves, with libhaul and without
 *   perf_batch.c    a contender that is a socket alone too, with many messages to a call
 *   perf_haul.c     contenders that use libhaul; perf_haul.h is what they share
 *   perf_call.c     another one
 *   perf_bytes.c    those that are byte streams
 *   perf_match.c    what these do where matching is measured
 *   perf_overlap.c  what every contender does where overlap is measured
 *   perf_group.h    tells of the measurement of collectives, which uses buffers, pages and parts of the command line
 *
 * Of the two processes, 0 sends and 1 receives; a ping-pong is begun by 0. "End" is one process's view.
 */
#ifndef TOOLS_PERF_H
#define TOOLS_PERF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* ---- What is measured, and how --------------------------------------------------------------- */

enum perf_what { PERF_LATENCY, PERF_BANDWIDTH, PERF_RATE, PERF_MATCH, PERF_OVERLAP, PERF_WHATS };

enum {
	PERF_MAX_LIST = 64,     /* sizes or contenders on one command line */
	PERF_MAX_WINDOW = 4096, /* messages outstanding */
	PERF_MIN_MESSAGES = 8,  /* in a timed part */
	PERF_MAX_MESSAGES = 1 << 18,
	PERF_TURN = 64,               /* messages in an iteration of matching */
	PERF_SENDS = 10,              /* short messages in an iteration of overlap */
	PERF_MATCH_BUDGET = 64 << 20, /* bytes that may wait unexpected there */
	PERF_YARDSTICKS = 5,
};

#define PERF_MAX_SIZE ((uint64_t)1 << 30)

/* What both command lines have, that of pairs and that of a rank (perf_group.h). */
struct perf_common {
	size_t sizes[PERF_MAX_LIST];
	size_t size_count; /* 0: the defaults of each kind of measurement */
	unsigned rounds, buffers, budget_ms;
	bool huge, csv, stats;
};

struct perf_options {
	struct perf_common common;
	bool what[PERF_WHATS];
	const struct contender *contenders[PERF_MAX_LIST];
	size_t contender_count;
	unsigned window; /* 0: the default of each kind of measurement */
	bool pin, cpu;
	int spin;    /* -1, until all options are known: if there is a CPU for each process */
	int cpus[2]; /* where each process is pinned; -1: there is no such CPU */
};

static inline bool perf_one_cpu(const struct perf_options *o)
{
	return o->pin && o->cpus[0] == o->cpus[1];
}

/* A kind of measurement. */
struct perf_kind {
	const char *name;
	size_t sizes[PERF_MAX_LIST]; /* ends with 0 */
	unsigned window;
	int leader;       /* the process whose clock counts */
	unsigned gets[2]; /* messages that each process receives in an iteration */
	unsigned stride;  /* iterations to a reading of the clock, 0: 1 */
	bool by_name;     /* made only if it is named */
};

/* Messages in an iteration. */
static inline unsigned perf_legs(const struct perf_kind *kind)
{
	return kind->gets[0] + kind->gets[1];
}

/* Iterations to a reading of the clock. */
static inline unsigned perf_stride(const struct perf_kind *kind)
{
	return kind->stride > 0 ? kind->stride : 1;
}

extern const struct perf_kind perf_kinds[PERF_WHATS];

/* All contenders, NULL at the end, in the order of the default run, which has those that are not by_name. */
extern const struct contender *const perf_contenders[];

/* Fills options from the command line; exits by itself on bad usage. */
void perf_options_parse(struct perf_options *options, int argc, char **argv);

/*
 * The part of a command line that fills in a struct perf_common, its input; the number of an option, from 1 to max. EINVAL
 * after argp has said what is wrong, if it was told not to exit then.
 */
struct argp;
struct argp_state;
extern const struct argp perf_common_parser;
int perf_common_count(struct argp_state *state, const char *name, const char *arg, unsigned max,
    unsigned *count);

/* ---- Buffers ----------------------------------------------------------------------------------- */

/* count buffers that messages rotate through. */
struct perf_buffers {
	unsigned char *base;
	size_t stride; /* from one buffer to the next: the length in whole pages */
	size_t len;    /* of a message */
	unsigned count;
};

/* Maps count buffers of len bytes, on huge pages or expressly not. 0, or -1 and errno. */
int perf_buffers_map(struct perf_buffers *b, unsigned count, size_t len, bool huge);

/* Of the memory of count sets of buffers, how much is on huge pages, 0 to 1; and of a buffer made for the purpose. */
double perf_pages_huge(const struct perf_buffers *b, size_t count);
double perf_pages_try(bool huge);

/* Writes to every byte what process `rank` sends from there. */
void perf_buffers_fill(const struct perf_buffers *b, int rank);

/* Writes to every byte something else than what any process sends. */
void perf_buffers_clear(const struct perf_buffers *b);

/* Whether the first `messages` buffers (all, if there are fewer) hold what process `rank` sent. */
bool perf_buffers_check(const struct perf_buffers *b, int rank, uint64_t messages);

/* Whether len bytes are those that process `rank` has in buffer `slot`, from `at` on; or have been cleared. */
bool perf_buffers_holds(const unsigned char *bytes, size_t len, int rank, unsigned slot, size_t at);
bool perf_buffers_cleared(const unsigned char *bytes, size_t len);

/* The buffer of message i. A division would show in the time of a small message. */
static inline unsigned char *perf_slot(const struct perf_buffers *b, uint64_t i)
{
	return b->count == 1 ? b->base : b->base + (i % b->count) * b->stride;
}

/* ---- One round --------------------------------------------------------------------------------- */

/* What the sender of overlap has measured: the middle ones of a part. perf_overlap.c tells what they are. */
struct perf_overlap {
	uint64_t comm_ns, comp_ns, both_ns, begin_ns, sends_ns;
};

/* What haul counted in the timed part: of both processes. haul.h tells what they are. */
struct perf_counters {
	uint64_t polls, empty_polls, polled_frames, bells, assisted_bytes;
};

/* The result of a round. The times are of a single message: half an iteration of a ping-pong. */
struct perf_result {
	double usec_p50, usec_p99;
	double mb_per_s; /* 10^6 bytes */
	double msg_per_s;
	double cpu_per_gib;  /* seconds, of both processes */
	double idle_percent; /* of a CPU, both processes while they have nothing to say; -1: not measured */
	double messages;
	struct perf_counters counters;
	struct perf_overlap overlap;
	double overlap_percent; /* of a message that moved during a computation of the same length */
	double lost;            /* the part of the time that the leader, meant to spin, had no CPU */
	double astray;          /* the part of the buffers that is not on the pages it should be on */
};

/* What a round is about, and the descriptors made for it before the fork. */
struct perf_round {
	const struct perf_options *options;
	const struct contender *contender;
	enum perf_what what;
	size_t bytes;
	unsigned outstanding; /* of matching: how many tags, */
	bool unexpected;      /* and of messages or of receives */
	int rx[2], tx[2];     /* the contender's, by process; rx[i] may be tx[i]; -1 none */
	int sync[2];          /* the harness's own, by process */
};

/* What a process reports to the parent at its end. */
struct perf_report {
	bool failed;
	char words[200];                                 /* why */
	uint64_t failed_ns;                              /* when: of two failures the earlier is the cause */
	uint64_t iterations, elapsed_ns, p50_ns, p99_ns; /* the leader's only */
	uint64_t cpu_ns, idle_ns, idle_cpu_ns;
	double huge;                 /* the part of its buffers that is on huge pages */
	struct perf_overlap overlap; /* the sender's */
	struct perf_counters counters;
};

/* One of the two processes. */
struct perf_end {
	const struct perf_round *round;
	int rank, peer; /* 0 and 1, or 1 and 0 */
	int rx, tx;
	bool spin;
	unsigned window;
	struct perf_buffers out, in;
	uint64_t *stamps; /* the leader's: the start, then the end of every stride iterations, in ns */
	size_t stamped;
	unsigned stride, since;     /* iterations since the last stamp */
	void *state;                /* the contender's */
	struct perf_report *report; /* to be */
};

/* Runs one round in two processes of its own. 0, or -1 with the reason in words. */
int perf_round_run(struct perf_round *round, struct perf_result *result, char *words, size_t words_size);

/* The body of process `rank`. */
void perf_worker_run(const struct perf_round *round, int rank, struct perf_report *report);

/* Notes why this end failed; returns -1. */
int perf_fail(struct perf_end *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A word from one process to the other within a part; taken by waiting as the contenders do. */
int perf_token_give(struct perf_end *e);
int perf_token_take(struct perf_end *e);

/* What a process costs while it waits, in its report; called in both. */
int perf_idle_run(struct perf_end *e);

/* The CPU time of this process so far, in ns. */
uint64_t perf_cpu_now(void);

/* Now, in ns; and the same, noted as the end of an iteration if its turn has come. */
uint64_t perf_now(void);
static inline void perf_stamp(struct perf_end *e)
{
	if (++e->since < e->stride)
		return;
	e->since = 0;
	e->stamps[e->stamped++] = perf_now();
}

/* ---- Contenders -------------------------------------------------------------------------------- */

/*
 * One way to move a message. A function that returns int returns 0, or -1 after perf_fail(); setup(), which
 * has no end yet, returns -1 and errno.
 */
struct contender {
	const char *name;
	int (*setup)(struct perf_round *round); /* before the fork: makes rx and tx; NULL: needs none */
	int (*open)(struct perf_end *e);        /* in each process; NULL: nothing to do */
	void (*close)(struct perf_end *e);

	/* Message i: sent from its slot of e->out, received into its slot of e->in. NULL: the contender is one
	 * process alone, and in the other nothing arrives. */
	int (*send)(struct perf_end *e, uint64_t i);
	int (*recv)(struct perf_end *e, uint64_t i);

	/* The same in two steps, for one message at a time: process 0 begins to send without waiting, process 1
	 * to receive; either finishes when the receiver has it all. NULL: overlap is not measured. */
	int (*begin)(struct perf_end *e, uint64_t i);
	int (*finish)(struct perf_end *e, uint64_t i);

	/* For each kind of measurement: n iterations, called in both processes; the leader calls perf_stamp()
	 * after each. e->window messages may be under way in a stream. NULL: it is not measured so. */
	int (*run[PERF_WHATS])(struct perf_end *e, uint64_t n);

	void (*count)(struct perf_end *e, struct perf_counters *counters); /* so far; NULL: it has none */

	bool by_name;                    /* takes part only if it is named */
	bool yardstick[PERF_WHATS];      /* the others are compared with it */
	int path, transport, two_handed; /* of those that use libhaul: its options, */
	bool strict;                     /* and whether it fails if it can't have them */
};

/* All that are a yardstick of something. */
extern const struct contender *const perf_yardsticks[PERF_YARDSTICKS];

/* The plain way to do it by send() and recv(): latency; bandwidth and rate. */
int perf_pingpong(struct perf_end *e, uint64_t n);
int perf_stream(struct perf_end *e, uint64_t n);

/* Overlap, by begin() and finish(), and of short messages send() and recv(). */
int perf_overlap_run(struct perf_end *e, uint64_t n);

extern const struct contender perf_batch; /* perf_batch.c */
extern const struct contender perf_call;  /* perf_call.c */
extern const struct contender perf_buffered, perf_direct; /* perf_bytes.c */
extern const struct contender perf_auto, perf_socket, perf_outbox, perf_twohand, perf_pull,
    perf_haul_stream;                                                         /* perf_haul.c */
extern const struct contender perf_pipe, perf_unix, perf_vmread, perf_memcpy; /* perf_raw.c */
extern const struct contender perf_vmpoll;                                    /* perf_vmpoll.c */
extern const struct contender perf_get, perf_vmget;                           /* perf_get.c */

/* ---- A stream socket pair (perf_sock.c) -------------------------------------------------------- */

/* For a contender's setup: makes the pair, with the largest send buffer that the system gives. */
int perf_sock_setup(struct perf_round *round);

/* All len bytes. 0, or -1 after perf_fail(). */
int perf_sock_send(struct perf_end *e, const unsigned char *at, size_t len);
int perf_sock_recv(struct perf_end *e, unsigned char *at, size_t len);

/* At least one byte, at most len; all of them if flags say MSG_WAITALL and one sleeps. -1 after perf_fail(). */
ssize_t perf_sock_recv_some(struct perf_end *e, unsigned char *at, size_t len, int flags);

/* Whether a call that failed just has to be made again. */
bool perf_again(void);

/* ---- Statistics and output --------------------------------------------------------------------- */

/* Turns count + 1 stamps into count durations, sorted. Returns the first. */
uint64_t *perf_stats_durations(uint64_t *stamps, size_t count);

/* The smallest of count sorted values that `percent` percent of them do not exceed. */
uint64_t perf_stats_percentile(const uint64_t *sorted, size_t count, unsigned percent);

/* Half of count values do not exceed this one. Sorts. */
uint64_t perf_stats_middle(uint64_t *values, size_t count);

/* What was counted from one reading to another; and by two processes. */
struct perf_counters perf_counters_since(const struct perf_counters *before,
    const struct perf_counters *after);
struct perf_counters perf_counters_sum(const struct perf_counters *a, const struct perf_counters *b);

/* The round in the middle: by median time for latency and match, by overlap for overlap, by bytes per second
 * otherwise. Sorts. */
const struct perf_result *perf_stats_median(struct perf_result *rounds, size_t count, enum perf_what what);

/* One line about the run: to stdout, or with CSV to stderr. */
void perf_report_begin(const struct perf_options *options);

/* The names of the columns of the table that has the rows of `what`, which need not be the first table. */
void perf_report_head(const struct perf_options *options, enum perf_what what, bool first);

/* One row of the main table, of latency, bandwidth and rate. */
struct perf_row {
	enum perf_what what;
	const struct contender *contender;
	size_t bytes;
	struct perf_result result;
	double ratio[PERF_YARDSTICKS]; /* to each; 0: that has no such row */
};

void perf_report_row(const struct perf_options *options, const struct perf_row *row);

/* One row of the table of matching. The times are of one message; a ratio is to that of the first row. */
struct perf_match_row {
	const struct contender *contender;
	size_t bytes;
	unsigned outstanding;
	double posted_ns, posted_ratio, unexpected_ns, unexpected_ratio;
};

void perf_report_match_row(const struct perf_options *options, const struct perf_match_row *row);

/* One row of the table of overlap. */
void perf_report_overlap_row(const struct perf_options *options, const struct contender *c, size_t bytes,
    const struct perf_result *result);

/* The last table, of what haul counted: its column names, one row. */
void perf_report_stats_begin(const struct perf_options *options);
void perf_report_stats_row(const struct perf_options *options, const struct perf_row *row);

#endif
