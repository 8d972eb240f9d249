/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How peers go.
 *
 * haul_peer_close() first refuses what the peer sent and nobody asked for, lets what is under way end for as
 * long as linger allows, then says BYE. Whoever hears BYE fails what it had still to send, and says BYE too.
 * When both are said, or linger has ended, or the peer has died, the conn ends, and whatever still has to do
 * with the peer ends with it. But while the peer may write into a receive (push.c) that one does not end, BYE is not
 * said first, and nothing is freed: -EBUSY. Who wakes the closer: the frames that answer, the BYE, the peer's
 * death, its own linger.
 */
#include <errno.h>

#include "msg/context.h"
#include "msg/notify.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "os/clock.h"
#include "os/reason.h"

enum { GRACE_MS = 10 };

bool peer_settled(const struct haul_peer *p)
{
	const struct outbound *o;
	const struct inbound *in;
	uint32_t at = 0;
	if (!TAILQ_EMPTY(&p->queued) || p->mark > p->conn.link.tx.written || !TAILQ_EMPTY(&p->notices) ||
	    !TAILQ_EMPTY(&p->pushed) || !TAILQ_EMPTY(&p->assisted) || !TAILQ_EMPTY(&p->answers) ||
	    !TAILQ_EMPTY(&p->asks))
		return false;
	while ((o = ids_next(&p->out_ids, &at)) != NULL)
		if (o->state != OUT_WITHDRAWN)
			return false;
	TAILQ_FOREACH (in, &p->unfinished, entry)
		if (in->state == IN_MOVING)
			return false;
	return true;
}

void peer_begin_close(struct haul_peer *p)
{
	struct inbound *in, *next;
	if (p->closing || p->conn.ended)
		return;
	above_leave(p);
	p->closing = true;
	TAILQ_FOREACH_SAFE (in, &p->unfinished, entry, next)
		if ((in->state == IN_WAITING && !in->flush) || in->state == IN_TAKEN)
			inbound_refuse(in, -EPIPE);
	conn_kick(&p->conn);
}

void peer_dismiss(struct haul_peer *p)
{
	if (p->conn.ended)
		return;
	if (peer_link(p)->state < LINK_READY) {
		conn_reject(&p->conn, -EPIPE, "this process is leaving");
		return;
	}
	peer_begin_close(p);
	conn_hurry(&p->conn, clock_after_ms(p->haul->options.handshake_ms));
	conn_pump(&p->conn);
}

static void abort_all(struct haul_peer *p)
{
	struct outbound *o;
	struct inbound *in, *next;
	uint32_t at = 0;
	while ((o = TAILQ_FIRST(&p->queued)) != NULL)
		outbound_end(o, -ECANCELED);
	while ((o = ids_next(&p->out_ids, &at)) != NULL)
		outbound_abort(o, -ECANCELED);
	TAILQ_FOREACH_SAFE (in, &p->unfinished, entry, next)
		if (in->state == IN_MOVING)
			inbound_refuse(in, -ECANCELED);
}

static void force_all(struct haul_peer *p)
{
	struct outbound *o;
	uint32_t at = 0;
	while ((o = ids_next(&p->out_ids, &at)) != NULL)
		outbound_force(o, -ECANCELED);
}

/* Whom a close is about: one peer, all, or those that have begun to close. */
struct leaving {
	struct haul *haul;
	struct haul_peer *only;
	bool others_stay;
};

static bool concerns(const struct leaving *l, const struct haul_peer *p)
{
	bool closing = p->closing && !p->conn.ended;
	if (l->others_stay)
		return closing;
	return (closing || p->conn.granted > 0) && (l->only == NULL || l->only == p);
}

/* Whether they are through with it; or, in the grace, at least settled. */
static bool all_ended(void *arg)
{
	const struct leaving *l = arg;
	struct haul_peer *p;
	TAILQ_FOREACH (p, &l->haul->peers, entry)
		if (concerns(l, p))
			return false;
	return true;
}

static bool all_settled(void *arg)
{
	const struct leaving *l = arg;
	struct haul_peer *p;
	TAILQ_FOREACH (p, &l->haul->peers, entry)
		if (concerns(l, p) && !peer_settled(p))
			return false;
	return true;
}

/* Then nothing may be freed, whatever linger says. */
static bool may_be_written_to(const struct leaving *l)
{
	const struct haul_peer *p;
	TAILQ_FOREACH (p, &l->haul->peers, entry)
		if (concerns(l, p) && p->conn.granted > 0)
			return true;
	return false;
}

static int finish(struct leaving *l, int linger_ms)
{
	struct haul *h = l->haul;
	struct haul_peer *p;
	int rc = -ETIMEDOUT;
	if (linger_ms == 0)
		engine_progress(&h->engine);
	else
		rc = engine_wait(&h->engine, all_ended, l, clock_after_ms(linger_ms), NULL);
	if (all_ended(l))
		return 0;
	/* A peer that has our BYE and keeps silent is not our failure; one that left work undone is. */
	bool settled = all_settled(l);
	TAILQ_FOREACH (p, &h->peers, entry)
		if (concerns(l, p))
			abort_all(p);
	if (!settled)
		engine_grace(&h->engine, all_settled, l, clock_after_ms(GRACE_MS));
	TAILQ_FOREACH (p, &h->peers, entry) {
		if (concerns(l, p)) {
			force_all(p);
			link_leave_outbox(peer_link(p)); /* if there was no BYE to say */
			conn_pump(&p->conn);
		}
	}
	if (may_be_written_to(l))
		return reason(-EBUSY, "a peer may still write into a receive that it was granted");
	if (settled)
		return 0;
	if (rc == -EINTR)
		return reason(-EINTR, "an interrupt ended linger before the connection was settled");
	return reason(-ETIMEDOUT, "the connection was not settled when linger ended");
}

int peer_finish_close(struct haul *h, struct haul_peer *only, int linger_ms)
{
	return finish(&(struct leaving){ .haul = h, .only = only }, linger_ms);
}

int peer_finish_begun(struct haul *h, int linger_ms)
{
	return finish(&(struct leaving){ .haul = h, .others_stay = true }, linger_ms);
}

static bool is_still(void *arg)
{
	const struct haul_peer *p = arg;
	return p->copying == 0;
}

/* In a forked child there is nothing to end, and nobody else. */
int haul_peer_close(struct haul_peer *p, int linger_ms)
{
	if (p == NULL)
		return 0;
	struct haul *h = p->haul;
	int rc = context_enter(h);
	if (rc == -ESTALE && context_whole(h))
		peer_free(p);
	if (rc != 0)
		return rc;
	if (linger_ms < -1)
		return context_leave(h, reason(-EINVAL, "a linger of %d ms", linger_ms));
	if (linger_ms != 0 && notices_calling(h))
		return context_leave(h, reason(-EDEADLK, "a callback may not wait"));
	if (p->self)
		return context_leave(h, reason(-EINVAL, "this process itself is a peer until haul_close()"));
	peer_begin_close(p);
	rc = peer_finish_close(h, p, linger_ms);
	if (rc == -EBUSY)
		return context_leave(h, rc);
	engine_await(&h->engine, is_still, p);
	peer_free(p);
	receive_hopeless(h);
	return context_leave(h, rc);
}
