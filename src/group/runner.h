/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Collectives under way: each a schedule, carried out round by round. One small engine for all of them, blocking or
 * not, whatever ends them.
 *
 *     begun --> round --> round ... --> over      the request completes with 0
 *                 \--> failing -------> over      a message failed, a member's was of another length, the caller gave up,
 *                                                 another member says that it has failed: what is under way is
 *                                                 taken back, the others are told, the request completes with the error
 *
 * Who wakes a round that waits: its messages; a partner's death (mesh.c); a partner's failure, which that tells;
 * what a partner that was asked answers (inquiry.c); the request's deadline. Who may touch the buffers: the
 * messages of the round; so a failing one is over only when these are complete.
 */
#ifndef HAUL_GROUP_RUNNER_H
#define HAUL_GROUP_RUNNER_H

#include <stdbool.h>
#include <stdint.h>

#include "group/group.h"
#include "group/schedule.h"

/*
 * A collective has one number of its group's, which are RUN_PARTS apart. One that is done in several parts, each a run of its
 * own, has those in between too: so a member that gives up on a part is not behind those that go on to the next, and
 * tells them.
 */
enum { RUN_PARTS = 64 };

struct run_parts {
	uint32_t seq; /* of the last one */
	bool begun;
};

struct run {
	struct req_owner owner; /* of the round's messages */
	struct haul_group *group;
	struct haul_req *req;
	struct schedule schedule;
	struct run_parts *parts; /* of which it is the next; NULL: it is all of it */
	uint32_t seq;
	uint32_t check; /* of the arguments, which every member's messages carry */
	size_t at;      /* the next step */
	unsigned left;  /* messages under way */
	int error;      /* why it fails */
	int doubt;      /* a member has given up on a message: with this error, if it doesn't say soon why */
	struct timer grace; /* until then */
	bool begun;         /* it has its number, and is in group.runs */
	bool limited;       /* whoever started it waits with a timeout */
	bool told;          /* the others have been, or are not to be */
	bool due;           /* in mesh.due */
	size_t seen_at;     /* for inquiry.c: where it was at its last look, */
	unsigned seen_left;
	uint64_t seen_since; /* and has been from then on; 0: it was not looked at yet */
	TAILQ_ENTRY(run) entry, due_entry;
};

/* Makes one: its schedule is to be written. `check` is the same at every member, of what has to agree. NULL: no
 * memory. */
struct run *run_new(struct haul_group *g, uint32_t check);
void run_free(struct run *run); /* before it was started */
/* The schedule is written: it begins, as the next of its group, once those to whom it sends are reached; that may take
 * until then (os/clock.h). 0: the run belongs to the request; it may be complete already. Else it is freed. */
int run_start(struct run *run, uint64_t until, struct haul_req **out);

/* There are no more parts; rc: why. */
void runs_end_parts(struct haul_group *g, const struct run_parts *parts, int rc);

/* The request is aborted. */
void run_abort(struct run *run, int error);
/* Those of a group end as -ECANCELED, as soon as they can; the memory of those that have nothing under way, all. */
void runs_cancel(struct haul_group *g);
void runs_drop(struct haul_group *g);
/* Those that can go on do. */
void runs_round(struct mesh *m);
/* Another member says so. False: it has not begun here. */
bool runs_failed_elsewhere(struct mesh *m, uint32_t group, uint32_t seq, int error);

/* Whether that number was used here, or will not be; the one of it that is under way, NULL: none. */
bool runs_begun(const struct haul_group *g, uint32_t seq);
struct run *runs_find(const struct haul_group *g, uint32_t seq);
/* Whether a message of that one may still be received: it is under way, or has not begun. */
bool runs_want(const struct haul_group *g, uint32_t seq);
/* With what one of a collective that is over is refused: -EBADMSG says that it did not belong to it. */
int runs_refusal(const struct haul_group *g, uint32_t seq);

/* The next of a run's messages after r (NULL: the first) that are under way; NULL: there is none. */
struct haul_req *run_message(const struct run *run, struct haul_req *r);
/* With which rank of the group it is exchanged. */
int run_partner(const struct haul_req *r);
/* Of the tag of a message: from whom, and of which collective. */
int run_source(uint64_t tag);
uint32_t run_seq(uint64_t tag);

#endif
