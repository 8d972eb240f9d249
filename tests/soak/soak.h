/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The soak: four processes, connected with each other, that send at random for long, while a controller kills,
 * stops and restarts some of them and others lose their rights. What its parts share.
 *
 *     soak.c           the command line, and the controller's round
 *     soak_herd.c      the processes: started, stopped, continued, killed, asked to leave, collected
 *     soak_janitor.c   the directory of socket files, removed when the controller ends, however it ends
 *     soak_report.c    what is measured: the table, and whether it stayed flat
 *     soak_node.c      a process: its contexts, one after the other
 *     soak_links.c     its connections: listening, connecting, connecting again
 *     soak_traffic.c   what it does: one random operation after the other
 *     soak_sends.c     messages leaving
 *     soak_receives.c  messages arriving, and being taken
 *     soak_streams.c   whether what arrives is what was sent: once, in order, nothing lost
 *     soak_flavours.c  the options a context may have, and the ways to be refused: two tables
 *
 * Buffers, bytes and randomness are those of tests/plain/stress*.
 */
#ifndef HAUL_TESTS_SOAK_SOAK_H
#define HAUL_TESTS_SOAK_SOAK_H

#include <haul/haul.h>
#include <stdatomic.h>

#include "plain/stress_arena.h"

/*
 * Node 0 keeps its context, node 1 its process (it renews its context), for the whole run; both are stopped at
 * times. The others are killed, restarted and refused, too.
 */
enum { NODES = 4, LASTING = 2 };

/* In the lanes below STRICT nobody takes back a receive, so their order is certain; in the other one all may be
 * taken back. */
enum { LANES = 3, STRICT = 2 };

enum { PATIENCE_MS = 30000 };

/* How many of the first messages of a connection's lane have been received when a certain one is. */
struct milestone {
	_Atomic uint64_t tag; /* of that one; 0: being written */
	_Atomic uint64_t least, most;
};

enum { MILESTONES = 8 };

/* In bytes, and descriptors. */
struct measure {
	_Atomic uint64_t rss, in_use, fds;
};

enum {
	COUNT_SENT,
	COUNT_RECEIVED,
	COUNT_CANCELED,
	COUNT_LATE,
	COUNT_TAKEN,
	COUNT_REFUSED,
	COUNT_CONTEXTS,
	COUNTS
};

/* Memory shared by all. */
struct board {
	uint64_t seed;
	int64_t start_ms;
	char directory[64];
	pid_t controller;
	_Atomic bool over;
	_Atomic uint32_t connections;
	struct {
		_Atomic pid_t pid;
		_Atomic uint32_t
		    term; /* odd while its connections may break at any time, and those of before do */
		_Atomic bool leave; /* it is asked to */
		_Atomic(const char *) doing;
		_Atomic(const char *) flavour;
		_Atomic(const char *) refusal; /* what it brought upon itself, or NULL */
		struct measure now, at_rest;   /* with a context, and without */
	} nodes[NODES];
	_Atomic uint64_t delivered[NODES][NODES]; /* from, to */
	_Atomic uint64_t counts[COUNTS];
	_Atomic uint64_t bytes[HAUL_PATH_PUSH + 1]; /* received, by enum haul_path */
	struct milestone milestones[NODES][NODES][LANES][MILESTONES];
};

extern struct board *board;

int64_t now_ms(void);

static inline void count(unsigned what)
{
	atomic_fetch_add_explicit(&board->counts[what], 1, memory_order_relaxed);
}

/* From here on a node's connections may break, or may not. */
static inline void term_shaky(unsigned node)
{
	if (board->nodes[node].term % 2 == 0)
		board->nodes[node].term++;
}

static inline void term_steady(unsigned node)
{
	if (board->nodes[node].term % 2 == 1)
		board->nodes[node].term++;
}

/* A node's life. Does not return. */
void node_live(unsigned index, uint64_t random) __attribute__((noreturn));

#endif
