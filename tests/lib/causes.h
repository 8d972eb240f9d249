/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The causes of a refusal, as a table: what each does to a pair of processes of which one is in it, or both. How
 * to get into it is world.h's.
 */
#ifndef HAUL_TESTS_LIB_CAUSES_H
#define HAUL_TESTS_LIB_CAUSES_H

#include <stdbool.h>
#include <stdint.h>

struct cause {
	const char *name;
	const char *(*enter)(void); /* NULL, or why it can't be done: world_try() */
	int error;                  /* the errno of a pull */
	const char *words;          /* in place of those about a call that failed */
	bool blinds;                /* who is in it can't read who is not */
	bool hides;                 /* who is in it can't be read by who is not */
	bool mends;                 /* if both are in it they can read each other again */
	bool strangers;             /* the other's user looks different, and has to be admitted */
	bool only_early;            /* it can't happen to a process with a connection */
	bool as_root;               /* it takes root to enter it; else one enters it without rights */
	uint64_t capabilities;      /* that both sides have before, a bit each */
};

enum { CAUSES = 12 };
extern const struct cause causes_all[CAUSES];

/* The arguments of the program that can't be read: main() of the test does what they say. At first, nothing. */
extern char *causes_rerun[8];

#endif
