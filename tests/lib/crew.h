/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A crew: the members of a group of all, each a child with a deadline, which opens a context, makes the group, does its
 * part, frees and closes. Members find each other by addresses, or by what a launcher leaves in the environment; then
 * the test is the launcher. Besides, each has a line to the test, so that both can wait for each other.
 */
#ifndef HAUL_TESTS_LIB_CREW_H
#define HAUL_TESTS_LIB_CREW_H

#include <haul/group.h>
#include <stdbool.h>

#include "child.h"
#include "must.h"

/* How long anything may take before the test counts as hung. */
enum { CREW_PATIENCE_MS = 25000, CREW_MOST = 64 };

/* A member's part. */
typedef void crew_part(struct haul_group *g, const void *arg);

struct crew_options {
	const struct haul_options *options; /* NULL: default ones */
	bool launched;                      /* by the environment; the test says who has died (crew_tell()) */
	bool bare; /* the part gets no group: it makes (crew_open()) and ends (crew_close()) what it wants */
};

struct crew {
	int size;
	struct child members[CREW_MOST];
	int lines[CREW_MOST];    /* -1: its member was collected */
	int controls[CREW_MOST]; /* -1: nobody launched it */
	int fds;                 /* open before it all */
};

/* Forks them. options may be NULL. */
void crew_start(struct crew *c, int size, const struct crew_options *options, crew_part *part,
    const void *arg);
/* Expects of one that it did its part, or exited so, or was killed by a signal, and collects it. */
void crew_expect(struct crew *c, int rank, int status);
void crew_expect_killed(struct crew *c, int rank, int signal);
/* Expects of all that are left that they did their part, and that no descriptor is left open. */
void crew_end(struct crew *c);
/* All of it, for those that need nothing from the test. */
void crew_run(int size, const struct crew_options *options, crew_part *part, const void *arg);

/* Tells all others, as a launcher does, that this one has died, or left. */
void crew_tell(struct crew *c, int rank, bool left);
/* That the member has ended the job, as it told its launcher: with what status, and why. */
int crew_hear_abort(struct crew *c, int rank, char *why, size_t room);
/* Waits for a word of the member; gives it one. */
void crew_await(struct crew *c, int rank);
void crew_go(struct crew *c, int rank);
void crew_await_all(struct crew *c);
void crew_go_all(struct crew *c);

/* ---- in a member ---- */

int crew_rank(void);
int crew_size(void);
const char *crew_address(int rank); /* unless it was launched */
/* A context and its group; the result of haul_group_init() on a context that is there. */
struct haul_group *crew_open(struct haul **h);
int crew_init(struct haul *h, struct haul_group **g);
void crew_close(struct haul *h, struct haul_group *g);
/* A word to the test; waits for its word. */
void crew_say(void);
void crew_heed(void);
/* Both: goes on when the test has heard of everybody (crew_await_all(), crew_go_all()). */
void crew_meet(void);
/* The same, making progress meanwhile: what is still to be said to others is. */
void crew_meet_in(struct haul *h);

#endif
