/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The work that the examples event_*.c have in common, so that each can be about its loop alone: a parent hands
 * jobs, 8 bytes to 4 MiB long, to workers that it forked, and checks their answers. All of it runs in callbacks of
 * haul_progress(). The workers also note each job in a pipe, which is there to show that the loop serves other
 * descriptors as well.
 */
#ifndef HAUL_EXAMPLES_EVENT_JOBS_H
#define HAUL_EXAMPLES_EVENT_JOBS_H

#include <haul/haul.h>

#include <stdbool.h>

struct jobs {
	const char *name;  /* of the program */
	struct haul *haul; /* the parent's context */
	int notes;         /* the pipe's end to read from */
	unsigned noted;    /* jobs, by the pipe */
	unsigned answers;  /* jobs, by haul */
	bool over;         /* all answers are in, and the workers gone: the pipe has ended */
};

/* Forks the workers, connects to them and starts the first jobs. */
void jobs_start(struct jobs *j, const char *name);

/* The loop found j->notes readable. */
void jobs_read_notes(struct jobs *j);

/* The loop's timer has ticked: says how far we are. */
void jobs_tick(const struct jobs *j);

/* Collects the workers and prints the result. Returns the program's exit status. */
int jobs_end(struct jobs *j);

/* Returns rc, unless that is an error of haul's: then the program ends and says why. */
int must(int rc);

#endif
