/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of a program of bench/run share. There is a program for each way to move a message:
 *
 *   pair.c     the two processes
 *   options.c  the command line
 *   jobs.c     what is measured, the same for all: latency, bandwidth, rate, idleness
 *   parts.c    how: messages back and forth, or many under way; every one is checked
 *   message.c  the bytes of a message: written, and checked
 *   via_*.c    a way, or several alike: a contender each
 *
 * Of the two processes, 0 begins, keeps the time, and prints; 1 answers. Either ends at the first error, with words.
 */
#ifndef BENCH_CONTENDER_H
#define BENCH_CONTENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WINDOW_MOST = 64 }; /* messages under way */

/* One of the two processes. */
struct end {
	int rank;
	bool spin;  /* how it waits: by spinning, or by sleeping in the kernel */
	int rx, tx; /* what the contender's setup() has made for it, else -1 */
};

/*
 * A way to move messages. Both sides know each message's length, so it may be a stream of bytes. Waiting is done as the
 * end says. send() returns when buf may be written again, or, if the way can't tell that, when the other side's answer will
 * tell. isend() and irecv() begin, in one of WINDOW_MOST slots, what wait() finishes; NULL: isend() is send(), and a
 * message is received by recv() when it is waited for.
 */
struct contender {
	const char *name;
	const char *no_spin, *no_sleep; /* why it can't wait so; NULL: it can */
	size_t least;                   /* shorter messages are not measured: a stream has no empty ones */
	void (*setup)(int rx[2], int tx[2], bool spin);     /* before the fork: descriptors, by rank */
	void (*open)(struct end *e);                        /* in each process */
	void (*send)(struct end *e, void *buf, size_t len); /* a message of rank e->rank */
	void (*recv)(struct end *e, void *buf, size_t len);
	void (*isend)(struct end *e, unsigned slot, void *buf, size_t len);
	void (*irecv)(struct end *e, unsigned slot, void *buf, size_t len);
	void (*wait)(struct end *e, unsigned slot);
	void (*close)(struct end *e);
};

/* Those of this program, in its via_*.c; NULL at the end. */
extern const struct contender *const contenders[];

/* A descriptor pair for setup(): a stream socket pair, for those that use or need one. */
void setup_socketpair(int rx[2], int tx[2], bool spin);

/* ---- What is measured (jobs.c) ---- */

enum { SIZES_MOST = 32 };

struct options {
	const char *name; /* of the contender, in rows */
	bool latency, bandwidth, rate, idle, huge;
	size_t sizes[SIZES_MOST];
	unsigned size_count; /* 0: all that jobs.c has */
	unsigned budget_ms;  /* of the timed parts of a figure */
	int cpus[2];         /* -1: wherever the kernel likes */
};

/* The jobs, in each process; rank 0 prints a row for each figure. */
void jobs_run(const struct contender *c, struct end *e, const struct options *o);

/* Reads a command line; exits by itself on bad usage. Returns the contender that was asked for. */
const struct contender *options_parse(struct options *o, bool *spin, int argc, char **argv);

/* Keeps this process on the CPU of its rank. */
void bind_to_cpu(const struct options *o, int rank);

/* ---- Messages (message.c) ---- */

/* Memory for count messages of len bytes that rank `from` sends. */
struct messages {
	unsigned char *base, *map;
	size_t stride, len, mapped;
	int from;
	unsigned count;
};

void messages_map(struct messages *m, int from, unsigned count, size_t len, bool huge);
void messages_unmap(struct messages *m);
void *messages_at(const struct messages *m, unsigned slot);

/* All bytes: what is sent; or what nobody sends. Not timed. */
void messages_fill(const struct messages *m);
void messages_clear(const struct messages *m);

/* What is written to message i before it is sent, and looked for in it when it was received: timed. */
void messages_mark(const struct messages *m, unsigned slot, uint64_t i);
void messages_check_marks(const struct messages *m, unsigned slot, uint64_t i);

/* Every byte of message i: not timed. */
void messages_check_all(const struct messages *m, unsigned slot, uint64_t i);

#endif
