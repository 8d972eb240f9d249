/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two processes with a connection: the test's, which has a context and a peer, and a child, which has the
 * other end and does what the test says. Connected by haul_pair() before the fork.
 */
#ifndef HAUL_TESTS_LIB_DUO_H
#define HAUL_TESTS_LIB_DUO_H

#include <haul/haul.h>

#include "child.h"

struct duo {
	struct child child;
	struct haul *haul;
	struct haul_peer *peer;
};

/* Both sides' options (NULL: defaults) and what the child runs, which checks by must.h. When that returns,
 * the child closes its context without lingering and exits with what it returned. */
struct duo_plan {
	int (*run)(struct haul *h, struct haul_peer *p, void *arg);
	void *arg;
	const struct haul_options *ours, *theirs;
	int timeout_ms; /* of the child */
};

void duo_start(struct duo *d, const struct duo_plan *plan);

/* Closes our side. The child is collected by the test. */
void duo_close(struct duo *d);

/* Another peer for the same context: its child. */
void duo_add(struct haul *h, struct child *child, struct haul_peer **peer, const struct duo_plan *plan);

/* Stops the child and returns when it is stopped; lets it go on. */
void duo_stop(const struct child *c);
void duo_continue(const struct child *c);

/* After that many microseconds the child is stopped, whatever this process does meanwhile. */
void duo_stop_later(const struct child *c, long us);

#endif
