/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Schedules: what one member does in a collective, written down before it begins. Rounds of steps: all messages of
 * a round are under way at once, and a round begins when all of the one before is done. Local steps (copies,
 * reductions) are done when their round begins, in the order written, before its messages are started. Pure data:
 * runner.c carries it out, and so does the test that plays all members in one process.
 *
 * The collectives write schedules and do nothing else. What they have to see to: of two messages from one member to
 * another, the one sent first is received first; a receive has exactly the length of what was sent for it; no buffer is
 * written while a message of the same round reads or writes it; and the rounds of the members together can't wait in
 * a circle (sends don't wait for anything but their receive).
 */
#ifndef HAUL_GROUP_SCHEDULE_H
#define HAUL_GROUP_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

#include "group/operator.h"

enum step_kind {
	STEP_SEND,   /* len bytes at from, to a rank */
	STEP_RECV,   /* len bytes into `into`, from a rank */
	STEP_COPY,   /* len bytes; the two may not overlap */
	STEP_REDUCE, /* into[i] = from[i] op into[i], len elements */
	STEP_ROUND,  /* the next round begins */
};

struct step {
	enum step_kind kind;
	int rank;
	const void *from;
	void *into;
	size_t len;
};

struct scratch {
	struct scratch *next;
	_Alignas(64) unsigned char bytes[];
};

struct schedule {
	int rank, size; /* whose it is, and of how many */
	struct step *steps;
	size_t count, room;
	struct scratch *scratch;
	struct reduction_op op; /* of REDUCE */
	int error; /* -ENOMEM once something could not be written down; the rest does nothing then */
};

void schedule_init(struct schedule *s, int rank, int size);
void schedule_fini(struct schedule *s);

/* Memory that is freed with the schedule. Never NULL where len is 0, but NULL without memory: then error is set,
 * and the pointer may be given to the calls below, which do nothing. */
void *schedule_scratch(struct schedule *s, size_t len);

/* Nothing is written down for a length of 0: both sides know that there is no message. To and from oneself is a
 * mistake. */
void schedule_send(struct schedule *s, int to, const void *from, size_t len);
void schedule_recv(struct schedule *s, int from, void *into, size_t len);
/* An empty message. */
void schedule_signal(struct schedule *s, int to);
void schedule_await(struct schedule *s, int from);
/* Nothing where both are the same. */
void schedule_copy(struct schedule *s, void *into, const void *from, size_t len);
void schedule_reduce(struct schedule *s, const void *left, void *right, size_t count);
/* Nothing if the round has no steps yet. */
void schedule_round(struct schedule *s);

/* Carrying it out: the step at *at, which is moved on, when its turn has come; NULL: there is none left. */
const struct step *schedule_next(const struct schedule *s, size_t *at);

#endif
