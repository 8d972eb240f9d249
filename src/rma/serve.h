/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asks, at the owner. Each is a message of the asker's, taken (msg/taken.h), carried out, and answered by its end: done, or
 * refused with an error, which the asker hears since it sent it as a synchronous one.
 *
 *     WAITING --> HEAD --> WRITING ----> over     put: the message's bytes are read straight into the region
 *                   |  \-> ANSWERING --> over     get: the region's bytes are sent as a message of the asker's tag
 *                   \----------------> over       refused
 *
 * A peer has a bounded number of them carried out at a time; the others wait (WAITING), as taken messages do, within its
 * credit. So one that asks without end, or takes no answer, is in nobody's way but its own. admit.c takes them and
 * gives them their turn, serve.c carries them out.
 */
#ifndef HAUL_RMA_SERVE_H
#define HAUL_RMA_SERVE_H

#include "rma/ask.h"
#include "rma/rma.h"

enum served_state { WAITING, HEAD, WRITING, ANSWERING };

/* An ask, from its being taken to its end. */
struct served {
	struct req_owner owner; /* of req */
	struct patron *patron;
	enum served_state state;
	struct haul_msg *msg;
	struct haul_region *region; /* WRITING, ANSWERING: about which it is */
	struct haul_req *req;       /* under way; NULL: complete, with this */
	int error;
	bool ending; /* the region is being withdrawn */
	struct ask ask;
	uint8_t bytes[WIRE_ASK_SIZE];
	void *copy;                /* ANSWERING: what is sent, if not the region's own memory */
	TAILQ_ENTRY(served) turn;  /* in patron.waiting (WAITING), or rma.served_due (no req) */
	TAILQ_ENTRY(served) entry; /* in region.serving */
};

/* A peer that has asked for something. */
struct patron {
	struct rma *rma;
	struct haul_peer *peer;
	struct served_list waiting;
	unsigned active; /* beyond those */
	TAILQ_ENTRY(patron) entry;
};

/* ---- admit.c ---- */

/* From now on asks are taken. */
void serve_begin(struct rma *m);
/* Takes asks, carries out, answers: what can be done now, a bounded amount of it. */
void serve_round(struct rma *m);
/* One has ended, and is no more: the next of its patron's has its turn. */
void patron_next(struct patron *p);
/* The peer is about to be freed: nothing of its asks is under way. */
void serve_forget(struct rma *m, const struct haul_peer *p);
void serve_fini(struct rma *m);

/* ---- serve.c ---- */

/* Its turn has come. */
void served_start(struct served *s);
/* Those whose requests have completed go on. */
void serve_due(struct rma *m);
/* Those about a region end; those that can be, now. */
void serve_end(struct haul_region *r);
/* In a forked child: they are nothing. */
void serve_drop(struct haul_region *r);
/* The memory. */
void served_free(struct served *s);

#endif
