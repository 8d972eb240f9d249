/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Errands: what the mesh does for itself, each a request like any other, and what is to be done when it has completed.
 *
 *     ACCEPT   for ever: somebody connects                --> MEET                        links.c
 *     MEET     its HELLO: a rank, and the job             --> WATCH
 *     DIAL     our connection to a member                 --> WATCH
 *     ANSWER   whether that is the one, or the member's own; then another, should that come to nothing
 *     WATCH    the connection has ended: was it the last? --> that member has             ends.c
 *     HEAR     for ever: what members say of collectives                                  notes.c
 */
#ifndef HAUL_GROUP_ERRAND_H
#define HAUL_GROUP_ERRAND_H

#include "group/mesh.h"

/* Tags of the mesh's own channel. */
enum { TAG_HELLO = 1, TAG_NOTE = 2, TAG_ANSWER = 3 };

struct hello {
	uint32_t rank, size;
	char job[JOB_NAME_MOST + 1], zeros[3];
};

_Static_assert(sizeof(struct hello) == 76 && sizeof(struct note) == 20, "as the protocol has them");

struct errand {
	struct req_owner owner;
	struct mesh *mesh;
	struct haul_req *req; /* NULL: complete */
	void (*done)(struct errand *e);
	int rank; /* of whom it is about, if that is known */
	bool aborted;
	struct haul_status status; /* once complete */
	union {                    /* what it receives */
		struct hello hello;
		struct note note;
		uint32_t crossed; /* ANSWER */
	};
	struct haul_peer *peer;    /* DIAL: who it is to become */
	bool retired;              /* WATCH: it stays, in mesh.retired */
	bool kept;                 /* ... the connection was the one in use, which the program may know */
	TAILQ_ENTRY(errand) entry; /* in mesh.errands or mesh.done */
};

/* NULL without memory. `done` is called in a later round than the one in which the request completes; then it is
 * freed. */
struct errand *errand_new(struct mesh *m, void (*done)(struct errand *), int rank);
/* Before it has a request. */
void errand_free(struct errand *e);
/* Its request has been started, and may be complete already. */
void errand_follow(struct errand *e, struct haul_req *r);
/* One that receives, on the mesh's channel, from a peer (NULL: any). */
int errand_receive(struct errand *e, struct haul_peer *from, uint64_t tag, void *into, size_t len);
/* Sends on the mesh's channel; what it is about is copied, anyway or only if there is room (the option copy_budget). */
int errand_send(struct haul_peer *p, uint64_t tag, const void *what, size_t len, bool anyway);

/* Does what is to be done. */
void errands_look(struct mesh *m);
/* The peer is about to be freed: those that are to be looked at have come to nothing, and it is nobody's any more. */
void errands_forget_peer(struct mesh *m, const struct haul_peer *p);
/* Aborts all, and does what is to be done, until there is none. */
void errands_end(struct mesh *m);
void errands_free(struct errand_list *list);

#endif
