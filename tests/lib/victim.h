/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A child that plays its side of something and dies of it: at the Nth call that the library makes for it, it is
 * killed, or stopped and then killed, or stopped and then continued. Also what the kernel tells of it.
 * For programs that link the fault trigger.
 */
#ifndef HAUL_TESTS_LIB_VICTIM_H
#define HAUL_TESTS_LIB_VICTIM_H

#include <stdbool.h>
#include <stdint.h>

#include "child.h"
#include "side.h"

enum fate {
	KILLED,
	KILLED_AFTER,  /* the call is done */
	KILLED_UNSEEN, /* a child of its keeps the socket open */
	STOPPED_AND_KILLED,
	STOPPED_AND_CONTINUED,
	STOPPED, /* until the test kills it */
	FATES
};

struct victim {
	int (*part)(struct side *s);
	const struct haul_options *options;
	bool blind;       /* it may not read the other side's memory */
	bool unconnected; /* its part connects it, over the socket or at the address */
	const char *address;
	enum fate fate;
	unsigned nth;  /* call */
	bool given_up; /* the other side's patience is short: what its part returns means nothing */
	int timeout_ms;
	int fds[2];  /* the connection: the test's end, which is the test's to close, and the victim's */
	int life[2]; /* internal */
};

/* Once, before the first. Takes over SIGCHLD and SIGALRM. */
void victim_prepare(void);

/* Makes the connection and the child. It must return 0 from its part unless it dies. */
void victim_start(struct child *c, struct victim *v);

/* From here on the kernel's word is listened to, and a victim that was stopped is killed or continued soon. */
void victim_watch(const struct child *c, const struct victim *v);

/* Whether it has ended; and when, by CLOCK_MONOTONIC, 0 if it has not. */
bool victim_has_ended(void);
int64_t victim_ended_ns(void);

/* Collects it: true if its call was reached. */
bool victim_collect(struct child *c, struct victim *v);

#endif
