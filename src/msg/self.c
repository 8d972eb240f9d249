/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul_self(): this process as its own peer. It is a peer like any other, whose link is a loop (link/loop.h)
 * instead of a socket: so a message to oneself takes the same paths, and means the same.
 */
#include "msg/self.h"

#include "msg/context.h"
#include "msg/peer.h"

struct haul_peer *self_peer(struct haul *h)
{
	if (h->self == NULL && peer_new_self(h, &h->self) != 0)
		return NULL;
	return h->self;
}

struct haul_peer *haul_self(struct haul *h)
{
	if (context_enter(h) != 0)
		return NULL;
	struct haul_peer *p = self_peer(h);
	context_leave(h, 0);
	return p;
}
