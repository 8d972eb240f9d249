/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A context: struct haul, which everything of this floor belongs to. What the public functions share is
 * here; each object has its own file.
 */
#ifndef HAUL_MSG_CONTEXT_H
#define HAUL_MSG_CONTEXT_H

#include <bsd/sys/queue.h>

#include "engine/engine.h"
#include "haul/haul.h"
#include "msg/grant.h"
#include "msg/inbound.h"
#include "msg/match.h"

TAILQ_HEAD(peer_list, haul_peer);
TAILQ_HEAD(listener_list, haul_listener);
TAILQ_HEAD(request_list, haul_req);

struct haul {
	struct engine engine;
	struct haul_options options; /* no field is zero but those that mean none */
	struct match match;
	struct cookies cookies;
	struct peer_list peers;   /* all, dead ones and those under handshake included */
	struct peer_list unowned; /* of these, the ones to be freed at the next round */
	struct listener_list listeners;
	struct request_list requests;       /* all that are not freed */
	struct inbound_list pulls;          /* messages being pulled, in turn */
	struct request_list spare_requests; /* not in use; saves allocating */
	unsigned spare_request_count;
	struct haul_stats stats;
	uint64_t magic;
	struct haul *closed; /* the next of the closed contexts, to be used again */
};

/* First in every public call: 0, or -EINVAL (NULL), -EBADF (closed), -ESTALE (a fork's child). */
int context_check(const struct haul *h);
/* -EINVAL for a timeout below -1. */
int context_check_timeout(int timeout_ms);

/* Copies the first size bytes of a struct that grows with versions, zeroing what we don't know. */
int context_copy_out(void *to, size_t size, const void *from, size_t ours);

/* Whether a connect is under way that may yet bring a peer. */
bool context_awaits_peers(const struct haul *h);

#endif
