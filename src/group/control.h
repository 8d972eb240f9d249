/* SPDX-License-Identifier: BSD-3-Clause */
/* The launcher's descriptor: what it says of members, and what it is told. See wire/job.h; without one, nothing. */
#ifndef HAUL_GROUP_CONTROL_H
#define HAUL_GROUP_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include <bsd/sys/queue.h>

#include "msg/context.h"
#include "wire/job.h"

struct control {
	int fd; /* -1: there is none */
	struct engine *engine;
	struct source source;
	bool mute;                                            /* it says nothing any more */
	void (*told)(struct control *c, int rank, bool left); /* a member has died, or left */
	enum job_kind *ends; /* by rank: JOB_DEAD, JOB_LEFT; 0: it said nothing yet */
	int size;
};

/* Takes the descriptor, if it returns 0. */
int control_open(struct control *c, struct engine *e, int fd, int size,
    void (*told)(struct control *c, int rank, bool left));
void control_close(struct control *c);
/* What the launcher has said of one by now: JOB_DEAD, JOB_LEFT; 0: nothing yet. JOB_DEAD without a launcher. */
enum job_kind control_end(struct control *c, int rank);
/* The whole job is to end. */
void control_abort(struct control *c, int status, const char *why);
/* What was counted, if the launcher has asked for that: for its table at the end. */
void control_stats(struct control *c, const struct haul *h);

#endif
