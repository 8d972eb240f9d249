/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the floor above hangs on a context: groups, streams, regions, each at most once. Messages on their channels
 * (wire/protocol.h), and requests of the kind REQ_ABOVE, are theirs; this floor asks them what it can't know. All of it
 * is called with the lock held.
 */
#ifndef HAUL_MSG_ABOVE_H
#define HAUL_MSG_ABOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "haul/haul.h"

struct match_want;

enum above_kind { ABOVE_GROUPS, ABOVE_STREAMS, ABOVE_REGIONS, ABOVE_KINDS };

/* What isn't there is NULL, and has nothing to say. */
struct above_ops {
	bool (*work)(struct haul *h);                 /* each round, last; true if more is left */
	void (*abort)(struct haul_req *r, int error); /* as request_abort() */
	void (*force)(struct haul_req *r, int error); /* as request_force(); NULL: abort needs no peer */
	/* Why no message that `want` fits can come any more, its peer being well; 0 if one can. */
	int (*hopeless)(struct haul *h, const struct match_want *want);
	/* Why nobody will ever want a message that nobody has asked for, which then is refused with that; 0 if
	 * somebody may. */
	int (*unwanted)(struct haul *h, struct haul_peer *from, uint32_t channel, uint64_t tag);
	void (*flush)(struct haul *h, uint64_t deadline); /* the process ends: what only it has goes now */
	void (*leave)(
	    struct haul_peer *p); /* its connection is about to be closed: the last thing to say goes now */
	bool (*owes)(
	    struct haul *h); /* whether something that it has said on leaving is still with this process */
	void (*forget)(struct haul *h, const struct haul_peer *p); /* it is about to be freed */
	void (*fini)(struct haul *h); /* the context is being freed: no request is left under way */
};

struct above {
	const struct above_ops *ops; /* NULL: nothing is there */
	void *what;
};

bool above_work(struct haul *h);
int above_hopeless(struct haul *h, const struct match_want *want);
int above_unwanted(struct haul *h, struct haul_peer *from, uint32_t channel, uint64_t tag);
void above_flush(struct haul *h, uint64_t deadline);
void above_leave(struct haul_peer *p);
bool above_owes(struct haul *h);
void above_forget(struct haul *h, const struct haul_peer *p);
void above_fini(struct haul *h);

#endif
