/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A play: all members of a collective in one process, each with memory of its own, carry out what their schedules say. Who
 * goes on next, when a message is copied, and whether its sender waits for that, is random. Whatever breaks the rules of
 * schedule.h fails the test; the results are the test's to check.
 */
#ifndef HAUL_TESTS_UNIT_PLAY_H
#define HAUL_TESTS_UNIT_PLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "group/schedule.h"

enum { MEMBERS_MOST = 17, MESSAGES_MOST = 4 };

struct member {
	struct schedule schedule;
	unsigned char *from; /* may be read, */
	unsigned char *into; /* and this written, too, as its scratch may; and nothing else */
	size_t from_len, into_len;
	int sent, received; /* messages, so far */

	size_t at;   /* the step with which its next round begins */
	int waiting; /* for so many messages of the round before */
	bool begun;
};

struct message {
	const unsigned char *bytes;
	unsigned char *kept; /* what a sender that didn't wait has left behind */
	size_t len, want;
	unsigned char *into;
};

/* From one member to another: the nth that is sent is the nth that is received. */
struct lane {
	struct message messages[MESSAGES_MOST];
	int sent, wanted, done;
};

struct play {
	int size;
	int readers; /* a member sends no more messages in a round; 0: as many as it likes */
	int late;    /* begins only when the others can't go on; -1: nobody */
	int ended;   /* before that one began */

	struct member members[MEMBERS_MOST];
	struct lane lanes[MEMBERS_MOST][MEMBERS_MOST];
	struct ready {
		int source, to, nth;
	} ready[MEMBERS_MOST * MEMBERS_MOST * MESSAGES_MOST]; /* messages that both want */
	int ready_count;
	int eager, lean; /* how the dice fall in this run */
};

void play_init(struct play *p, int size);
void play_fini(struct play *p);

/* Memory for a member, full of CANARY. NULL where len is 0. */
unsigned char *play_from(struct play *p, int rank, size_t len);
unsigned char *play_into(struct play *p, int rank, size_t len);

/* Until all have done everything. */
void play_run(struct play *p);

/* Of a tree of so many members: rounds until one has reached all. */
int play_depth(int size);

#endif
