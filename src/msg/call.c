/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls: a message that waits for another one, its reply.
 *
 *     haul_icall -> outbound, flagged as a call -> (peer) haul_take ... haul_reply -> outbound, which answers an inbound
 *     the reply's frame -> call_replied -> the call completes, with a taken message
 *
 * A call is a synchronous send, of which everything holds that outbound.h tells, but that it can be answered by
 * the reply as well: a message on a channel of its own, which has the call's id as its tag. The frame that
 * brings it is the call's terminal frame, so a call and its reply cost two frames; and whatever comes to that channel
 * goes to the call it names, or ends the connection.
 *
 * Who ends a call that waits: the reply, another answer, its timeout, or the peer's death or goodbye. Who ends a reply:
 * as any send; and before it has left, the end of its call.
 */
#include "msg/call.h"

#include <errno.h>

#include "msg/context.h"
#include "msg/inbound.h"
#include "msg/outbound.h"
#include "msg/peer.h"
#include "msg/request.h"
#include "msg/send.h"
#include "msg/taken.h"
#include "os/reason.h"

/* ---- the caller ---- */

static int prepare(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count,
    struct haul_req **out)
{
	int rc = send_prepare(p, tag, 0, iov, count, HAUL_SYNC, out);
	if (rc == 0)
		(*out)->send.out->call = true;
	return rc;
}

bool call_awaits(struct haul_peer *p, uint64_t id)
{
	const struct outbound *o = outbound_answered(p, id);
	bool call = o != NULL && o->call;
	if (o != NULL && !call)
		peer_violation(p, "a reply to what is no call"); /* and o is gone */
	return call;
}

/* Why it can't be had; 0 if it can, and then the call's status has it. */
static int give(struct haul_req *r, struct inbound *in)
{
	struct haul_peer *p = in->peer;
	if (in->len > p->haul->options.max_msg)
		return reason(-EMSGSIZE, "the reply is longer than what is accepted here");
	if (p->closing && !in->eager)
		return reason(-ECANCELED, "the connection is closed before the reply could be read");
	struct haul_msg *m = taken_new(in);
	if (m == NULL)
		return reason(-ENOMEM, "no memory for a reply");
	m->tag = r->status.tag;
	r->status.msg = m;
	return 0;
}

/* call_awaits() has found the call. A late reply is refused unseen. */
void call_replied(struct inbound *in)
{
	void *object = NULL;
	ids_find(&in->peer->out_ids, in->item.tag, &object);
	struct outbound *o = object;
	int error = o->req != NULL ? give(o->req, in) : -ECANCELED;
	if (error != 0)
		inbound_cancel(in, error);
	outbound_replied(o, error);
}

int haul_icall(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count,
    struct haul_req **out)
{
	int rc = peer_enter(p);
	if (rc != 0)
		return rc;
	struct haul *h = p->haul;
	rc = out == NULL ? reason(-EINVAL, "no place for the request") : prepare(p, tag, iov, count, out);
	if (rc == 0)
		send_go(p, (*out)->status.len);
	return context_leave(h, rc);
}

int haul_call(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count, int timeout_ms,
    struct haul_msg **reply)
{
	struct haul_req *r;
	struct haul_status status;
	if (p == NULL)
		return reason(-EINVAL, "no peer");
	int rc = context_enter_wait(p->haul, timeout_ms);
	if (rc != 0)
		return rc;
	struct haul *h = p->haul;
	if (reply == NULL)
		rc = reason(-EINVAL, "no place for the reply");
	else if (timeout_ms == 0)
		rc = reason(-EAGAIN, "there is no reply without waiting");
	else
		rc = prepare(p, tag, iov, count, &r);
	if (rc != 0)
		return context_leave(h, rc);
	pump_now(p);
	rc = request_run(r, timeout_ms, p, &status);
	if (rc == 0)
		*reply = status.msg;
	return context_leave(h, rc);
}

/* ---- the called ---- */

/* Where there are more calls of the same peer, replies to these may go with it. */
static void go(struct haul_peer *p, uint64_t len, bool alone)
{
	if (alone)
		pump_now(p);
	else
		send_go(p, len);
}

static int reply(struct haul_msg *m, const struct iovec *iov, size_t count, struct haul_req **out)
{
	struct inbound *in = m->inbound;
	int rc = m->call ? taken_idle(m) : reason(-EINVAL, "the message is no call");
	if (rc == 0 && in == NULL)
		rc = taken_gone(m);
	if (rc == 0)
		rc = send_prepare(in->peer, in->id, WIRE_CHANNEL_REPLIES, iov, count, 0, out);
	if (rc != 0)
		return rc;
	(*out)->status.tag = m->tag;
	bool alone = TAILQ_FIRST(&in->peer->unfinished) == in && TAILQ_NEXT(in, entry) == NULL;
	inbound_reply(in, (*out)->send.out);
	fds_stop(m);
	m->inbound = NULL;
	go(in->peer, (*out)->status.len, alone);
	taken_free(m); /* only now: its peer is waiting */
	return 0;
}

int haul_reply(struct haul_msg *m, const struct iovec *iov, size_t count, struct haul_req **out)
{
	int rc = m != NULL ? context_enter(m->haul) : reason(-EINVAL, "no message");
	if (rc != 0)
		return rc;
	struct haul *h = m->haul;
	rc = out == NULL ? reason(-EINVAL, "no place for the request") : reply(m, iov, count, out);
	return context_leave(h, rc);
}
