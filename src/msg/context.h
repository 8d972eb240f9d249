/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A context: struct haul, which everything of this floor belongs to. What the public functions share is
 * here; each object has its own file.
 */
#ifndef HAUL_MSG_CONTEXT_H
#define HAUL_MSG_CONTEXT_H

#include <stdatomic.h>

#include <bsd/sys/queue.h>

#include "engine/engine.h"
#include "haul/haul.h"
#include "msg/above.h"
#include "msg/grant.h"
#include "msg/inbound.h"
#include "msg/match.h"
#include "msg/notify.h"
#include "msg/outbound.h"
#include "msg/request.h"
#include "msg/spares.h"
#include "msg/taken.h"
#include "msg/worker.h"
#include "os/reason.h"

TAILQ_HEAD(peer_list, haul_peer);
TAILQ_HEAD(listener_list, haul_listener);

struct haul {
	struct engine engine;
	struct haul_options options; /* no field is zero but those that mean none */
	struct match match;
	struct cookies cookies;
	struct peer_list peers;   /* all, dead ones and those under handshake included */
	struct peer_list unowned; /* of these, the ones to be freed at the next round */
	struct listener_list listeners;
	struct request_list requests;      /* all that are not freed */
	struct inbound_list pulls;         /* messages to be pulled, in turn */
	struct helper *helper;             /* helps with that; NULL: nobody does */
	struct outbound_list pushes;       /* messages to be pushed, in turn */
	struct outbound_list assists;      /* messages whose receivers are to be assisted, in turn */
	struct taken_list taken;           /* messages in their takers' hands */
	struct notice_list calls, signals; /* due */
	struct timer signal_retry;
	uint64_t copies; /* bytes of sends with HAUL_COPY under way */
	bool closing;    /* haul_close() has begun to abort: nothing can be started */
	struct haul_peer *self;
	struct spares spare_requests, spare_outbounds, spare_inbounds, spare_msgs, spare_payloads;
	struct haul_stats stats;
	struct above above[ABOVE_KINDS];
	struct worker_list workers; /* left behind by spawns that failed */
	_Atomic uint64_t magic;
	struct haul *older;  /* the next of all there ever were, see exit.c */
	struct haul *closed; /* the next of the closed contexts, to be used again */
};

/* In haul.magic while a context is open. */
#define CONTEXT_OPEN UINT64_C(0x6861756c20697321)

static inline bool context_is_open(const struct haul *h)
{
	return atomic_load_explicit(&h->magic, memory_order_relaxed) == CONTEXT_OPEN;
}

/* What is wrong with a context that is none, not open, or not this process's; 0: nothing, for a callback. */
int context_trouble(const struct haul *h) __attribute__((cold));
/* The same with the lock held, which is given up if it is not 0. */
int context_closed_meanwhile(struct haul *h) __attribute__((cold));

/* 0, or -EINVAL (NULL), -EBADF (closed), -ESTALE (a fork's child). Needs no lock, and promises nothing for later. */
static inline int context_check(const struct haul *h)
{
	return h != NULL && context_is_open(h) && !engine_stale(&h->engine) ? 0 : context_trouble(h);
}

/* First in every public call: the same, and takes the lock if it is 0. It may have been closed while we waited for
 * the lock; its memory stays, see context.c. Inline, for this is three times in a message. */
static inline int context_enter(struct haul *h)
{
	int rc = context_check(h);
	if (rc != 0)
		return rc;
	reason_begin();
	engine_enter(&h->engine);
	return context_is_open(h) ? 0 : context_closed_meanwhile(h);
}

/* The same for a call that may wait so long: also -EINVAL for a timeout below -1. */
int context_enter_wait(struct haul *h, int timeout_ms);
/* After -ESTALE, for what frees: whether it may. Not if another thread was in a call at the fork, for what that was
 * changing can't be told from what is whole. */
bool context_whole(struct haul *h);
int context_leave_failed(struct haul *h, int rc);
/* Last in every public call that has entered: gives the lock up. Returns rc. */
static inline int context_leave(struct haul *h, int rc)
{
	if (rc < 0)
		return context_leave_failed(h, rc);
	engine_leave(&h->engine);
	return rc;
}

/* Copies the first size bytes of a struct that grows with versions, zeroing what we don't know. */
int context_copy_out(void *to, size_t size, const void *from, size_t ours);

/* Whether a connect is under way that may yet bring a peer. */
bool context_awaits_peers(const struct haul *h);

#endif
