/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ledger: memory shared by all nodes, which outlives those that are killed. A sender writes down what became of
 * each message, a receiver adds how often it got it, and what each of its receives wanted, in the order they were
 * posted. Only the judge compares, but what is wrong at once is said at once.
 */
#ifndef HAUL_TESTS_PLAIN_STRESS_LEDGER_H
#define HAUL_TESTS_PLAIN_STRESS_LEDGER_H

#include <stdatomic.h>

#include "stress_plan.h"

enum sent_state {
	SENT_NOT,
	SENT_UNDER_WAY,
	SENT_ENDED, /* outcome holds */
	SENT_UNSEEN /* let go of: it goes on, unobserved */
};

struct sent {
	/* by the sender */
	_Atomic uint8_t state;
	uint8_t flags;        /* HAUL_SYNC, HAUL_COPY */
	_Atomic bool unknown; /* received or not, nobody can tell */
	_Atomic int32_t outcome;
	/* by the receiver */
	_Atomic bool eaten;     /* by a receive that was let go of, perhaps */
	_Atomic bool softly;    /* it was taken, and done with when the sender may just have taken it back */
	_Atomic int32_t answer; /* what a synchronous sender hears */
	_Atomic uint32_t received;
	_Atomic uint32_t by; /* number of the want that got it */
};

enum want_kind { WANT_RECV, WANT_TAKE, WANT_PROBE };

enum want_fate {
	WANT_OPEN,
	WANT_GOT,      /* this message */
	WANT_RETURNED, /* a take that was let go of: it may have had one, and gave it back */
	WANT_SAW,      /* a probe */
	WANT_ENDED,    /* without one */
	WANT_UNSEEN,   /* let go of */
};

enum { NEVER = UINT32_MAX, ANYBODY = -1 };

/* A receive, take or probe. Times are of its lane's own clock, which counts events. */
struct want {
	uint64_t tag, ignore;
	uint32_t posted, ended;
	uint32_t asked;  /* from when on it may have ended by itself */
	uint32_t number; /* of the message */
	int8_t from, by; /* nodes: wanted; got */
	uint8_t kind, fate;
	bool held; /* it ended without, but had been given one before */
};

struct ledger {
	struct config config;
	_Atomic uint64_t ops[NODES_MOST][LANES_MOST];       /* begun so far */
	_Atomic uint64_t headway[NODES_MOST][LANES_MOST];   /* of any kind */
	_Atomic bool settled[NODES_MOST][LANES_MOST];       /* all it sent is finished with */
	_Atomic bool killed[NODES_MOST];                    /* set before it is */
	_Atomic bool peer_canceled[NODES_MOST][NODES_MOST]; /* by the first: all requests of the second */
	_Atomic uint32_t left;                              /* nodes that may leave now */
	_Atomic uint32_t sent[NODES_MOST][NODES_MOST][LANES_MOST];
	_Atomic uint32_t wants[NODES_MOST][LANES_MOST];
	_Atomic(const char *) doing[NODES_MOST][LANES_MOST + 1]; /* a literal, at the same address in all */
	uint32_t sent_most, wants_most;
	struct sent *messages;
	struct want *wanted;
	size_t size;
};

/* Set in every node. */
extern struct ledger *ledger;

void ledger_open(const struct config *c);
void ledger_close(void);

struct sent *ledger_sent(unsigned from, unsigned to, unsigned lane, uint32_t number);
struct want *ledger_want(unsigned node, unsigned lane, uint32_t number);

/* The sender's side. */
void ledger_begin(struct sent *s, unsigned flags);
void ledger_end(struct sent *s, int outcome, bool unknown);

/* Whether the ledger is consistent. Prints what is not; returns how many errors there were. */
unsigned judge(void);

#endif
