/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups, as the rest of this floor sees them: the members of the mesh that belong to one, and their ranks in it. */
#ifndef HAUL_GROUP_GROUP_H
#define HAUL_GROUP_GROUP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "group/algorithms.h"
#include "group/mesh.h"
#include "haul/group.h"

enum { GROUP_FAILURES = 64 };

struct seat {
	int world;         /* the member's rank in the group of all */
	bool acknowledged; /* its death was */
};

struct haul_group {
	_Atomic uint64_t magic; /* first: it is looked at in the memory of freed ones, see group.c */
	struct haul *haul;
	struct mesh *mesh;
	int rank, size;
	struct seat *seats;
	uint32_t number;
	uint32_t seq;   /* the last number used up for a collective, see runner.h */
	unsigned early; /* messages of collectives that wait to be asked for: at least so many, or 0 */
	uint32_t failed[GROUP_FAILURES]; /* the last ones that failed, */
	unsigned failures;               /* of so many */
	struct tuning tuning;
	uint64_t mark;                 /* of that: members who differ would wait for each other in vain */
	struct run_list runs;          /* collectives under way */
	TAILQ_ENTRY(haul_group) entry; /* in mesh.groups */
	struct haul_group *closed;     /* the next of the freed */
};

static inline int group_world(const struct haul_group *g, int rank)
{
	return g->seats[rank].world;
}

/* First in every public call: checks it, and takes the context's lock if all is well; as context_enter(). */
int group_enter(struct haul_group *g);
/* The same for a call that may wait so long. */
int group_enter_wait(struct haul_group *g, int timeout_ms);
/* -EINVAL with a reason if there is no such rank. */
int group_check_rank(const struct haul_group *g, int rank);

/* Makes one of these members, of which this process is one; NULL: of all. Takes the array. */
int group_new(struct mesh *m, uint32_t number, int rank, int size, struct seat *seats,
    struct haul_group **out);
/* Frees it; nothing is under way in it. */
void group_drop(struct haul_group *g);

/* Whether a number that no group has here is that of one that is being made, or will be; else it was freed
 * (split.c). */
bool split_is_under_way(const struct mesh *m, uint32_t number);
/* NULL: there is none here. */
struct haul_group *group_of_number(const struct mesh *m, uint32_t number);
/* Why no message from just any member can come; 0 if one can. */
int group_hopeless(const struct haul_group *g);

#endif
