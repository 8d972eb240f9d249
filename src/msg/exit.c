/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a process still has to do when it ends by exit(3) or by returning from main(): what was written to streams
 * is to be read, and what peers have not read of outboxes goes to their sockets, where the kernel keeps it for them. (A
 * socket has what was sent already; so contexts without either have nothing to do.)
 *
 * A forked child does nothing: the outboxes are its parent's. Nor can anything be done for a context that
 * another thread is in the middle of, or this one, if a signal handler of it calls exit(3): such a thread
 * is waited for, as is room in the sockets, for as long as LINGER_MS, in all.
 */
#include "msg/exit.h"

#include <stdatomic.h>

#include "msg/context.h"
#include "msg/peer.h"
#include "os/clock.h"

enum { LINGER_MS = 1000, NAP_MS = 1 };

static _Atomic(struct haul *) first; /* of all that ever were: their memory stays, see context.c */

static bool is_said(struct haul *h)
{
	struct haul_peer *p;
	bool said = true;
	TAILQ_FOREACH (p, &h->peers, entry) {
		struct link *l = peer_link(p);
		if (p->conn.ended || l->outbox.state == NULL)
			continue;
		link_leave_outbox(l);
		link_flush(l);
		said = said && (l->tx.dead || l->tx.queued == l->tx.written);
	}
	return said;
}

void exit_settle(struct haul *h)
{
	uint64_t deadline = clock_after_ms(LINGER_MS);
	while (!is_said(h) && clock_now() < deadline)
		clock_nap(NAP_MS);
}

/* Of what the floor above has promised to deliver. */
static void settle_above(struct haul *h, uint64_t deadline)
{
	struct haul_peer *p;
	above_flush(h, deadline);
	TAILQ_FOREACH (p, &h->peers, entry)
		if (p->up && !p->conn.ended)
			above_leave(p);
	while (above_owes(h) && clock_now() < deadline && engine_progress(&h->engine) >= 0)
		clock_nap(NAP_MS);
}

static void leave(struct haul *h, uint64_t deadline)
{
	while (!lock_try(&h->engine.lock)) {
		if (clock_now() >= deadline)
			return;
		clock_nap(NAP_MS);
	}
	if (context_check(h) == 0) {
		settle_above(h, deadline);
		while (!is_said(h) && clock_now() < deadline)
			clock_nap(NAP_MS);
	}
	lock_give(&h->engine.lock);
}

__attribute__((destructor)) static void at_exit(void)
{
	uint64_t deadline = clock_after_ms(LINGER_MS);
	for (struct haul *h = atomic_load(&first); h != NULL; h = h->older)
		if (context_check(h) ==
		    0) /* and then it is not of a parent, whose locks may be taken for ever */
			leave(h, deadline);
}

void exit_remember(struct haul *h)
{
	h->older = atomic_load(&first);
	while (!atomic_compare_exchange_weak(&first, &h->older, h))
		;
}
