/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two ends of a connection, each with its context and its handle of the other: the test and a child, or two
 * that live in the test itself. What every test of messages starts with.
 */
#ifndef HAUL_TESTS_LIB_PAIRING_H
#define HAUL_TESTS_LIB_PAIRING_H

#include <haul/haul.h>

#include "child.h"
#include "must.h"

/* How long anything may take before the test counts as hung. */
enum { PATIENCE_MS = 30000 };

/* ---- the test and a child ---- */

/* The child's part. Its context is closed with linger, and must have leaked nothing, when this returns. */
typedef void pairing_part(struct haul *h, struct haul_peer *p, const void *arg);

struct pairing {
	struct haul *haul;      /* of the test */
	struct haul_peer *peer; /* the child; NULL once it was closed */
	struct child child;
	int fd;  /* before pairing_adopt(): the test's end of the socket */
	int fds; /* descriptors open before it all */
};

/* Forks a child, opens a context on either side, and connects them. NULL: default options. */
void pairing_start(struct pairing *p, const struct haul_options *ours, const struct haul_options *theirs,
    pairing_part *part, const void *arg);

/* The two halves of it, for tests with several children: fork all, then open a context and adopt them. */
void pairing_fork(struct pairing *p, const struct haul_options *theirs, pairing_part *part, const void *arg);
void pairing_adopt(struct pairing *p, struct haul *h);

/* Closes the test's end, expects the child to have done its part, and all descriptors to be closed. */
void pairing_end(struct pairing *p);

/* ---- both in the test ---- */

struct twins {
	struct haul *a, *b;            /* the same context if that was asked for */
	struct haul_peer *to_b, *to_a; /* as a sees b, as b sees a */
	int fds;
};

/* Connects two contexts of this thread, or with one context itself. */
void twins_start(struct twins *t, const struct haul_options *options);
void twins_start_in_one(struct twins *t, const struct haul_options *options);
void twins_start_unlike(struct twins *t, const struct haul_options *a, const struct haul_options *b);

/* Lets both make progress until the request is complete; returns its result. status may be NULL. */
int twins_finish(struct twins *t, struct haul_req *r, struct haul_status *status);

/* Lets both make progress until neither has anything left to do. */
void twins_settle(struct twins *t);

void twins_end(struct twins *t);

#endif
