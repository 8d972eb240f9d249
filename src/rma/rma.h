/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Regions of a context, and what is under way with those of others: the state that the files of this folder share, one for
 * each context that has called any of it, for as long as the context.
 *
 *     haul_region_expose   region.c   a card that vouches for a handle; from then on asks are served
 *     haul_get             get.c      reach.c: one pull by the caller's thread; if that is not all of it, an op
 *     haul_iget, haul_put  op.c       what takes longer: pieces of pulls in turn, or an ask and its answer
 *     (an ask arrives)     serve.c    the owner's side of that
 *     haul_peer_read       read.c     needs none of this
 *
 * Who wakes what waits: an op's pull waits for nobody; its ask, for the answer, or the peer's end. An ask that is served,
 * for the bytes of its message, or for its asker to take the answer; or for either's end. A withdrawal, for a write
 * that is under way.
 */
#ifndef HAUL_RMA_RMA_H
#define HAUL_RMA_RMA_H

#include <stdbool.h>

#include <bsd/sys/queue.h>

#include "haul/rma.h"
#include "msg/context.h"
#include "rma/cards.h"

TAILQ_HEAD(served_list, served);
TAILQ_HEAD(patron_list, patron);
TAILQ_HEAD(op_list, op);

enum { RMA_PIECE = 16 << 20 }; /* bytes of a pull, between which other work is looked at */

struct haul_region {
	struct rma *rma;
	struct haul_handle handle;
	struct grant grant; /* its cell is the card's first word */
	uint32_t slot;
	size_t count;               /* 0: it has no bytes */
	struct served_list serving; /* asks about it that are being carried out */
	struct iovec iov[];         /* none of them is empty; a list of ranges that others may read */
};

struct rma {
	struct haul *haul;
	struct cards cards;
	struct haul_region **regions; /* by slot; NULL where there is none */
	size_t region_room;

	struct req_owner taker; /* of the take below: its completion is noted, */
	struct haul_req *take;  /* which waits for the next ask; NULL: it is to be posted */
	struct haul_msg *taken; /* and brought this one */
	struct timer retry;     /* to post it, when there was no memory for that */
	bool serves;            /* asks are taken */
	struct patron_list patrons;
	struct served_list served_due; /* their request has completed */

	struct op_list ops;     /* all, in the order begun */
	struct op_list pulls;   /* to be pulled, in turn */
	struct op_list ops_due; /* something that they have asked for has completed */
	uint64_t begun;         /* how many ops were; and answers' tags */
};

/* The context's, made if there is none; NULL without memory. */
struct rma *rma_of(struct haul *h);

#endif
