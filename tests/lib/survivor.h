/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who survives a victim: the test's process, which plays the other side, then waits for the victim's end, and has
 * a second peer all the while, which must not notice.
 */
#ifndef HAUL_TESTS_LIB_SURVIVOR_H
#define HAUL_TESTS_LIB_SURVIVOR_H

#include <stdbool.h>

#include "side.h"

/* What two sides do with each other. Of each it is known how many calls it makes at the least. */
struct plan {
	int (*a)(struct side *s), (*b)(struct side *s);
	const struct haul_options *a_options, *b_options;
	bool blind_b;     /* b may not read a's memory */
	bool unconnected; /* to be connected by the parts */
	bool at_path;     /* the address is a file, else it is a name */
	bool closes;      /* a closes its context */
	bool served;      /* the test's side has a progress thread */
	unsigned a_least, b_least;
};

/* Plays it in all ways: either side is the victim, each call of it is hit, by each fate. */
void survivor_play(const char *name, const struct plan *plan);

#endif
