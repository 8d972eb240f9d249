/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What comes from a peer: each frame to the object it is about. Only this: what follows from a frame is
 * in inbound.c, outbound.c and stream.c. A frame about an id that can't be meant drops the peer.
 */
#include <errno.h>

#include "msg/context.h"
#include "msg/fds.h"
#include "msg/inbound.h"
#include "msg/outbound.h"
#include "msg/peer.h"

static void on_done(struct haul_peer *p, const struct wire_frame *f)
{
	for (size_t i = 0; i < f->done.count && !p->conn.ended; i++) {
		struct outbound *o = outbound_answered(p, wire_done_id(f, i));
		if (o != NULL && !o->flush)
			outbound_done(o);
		else if (o != NULL)
			peer_violation(p, "a flush answered as a message");
	}
}

static void on_refused(struct haul_peer *p, const struct wire_frame *f)
{
	struct outbound *o = outbound_answered(p, f->refused.id);
	if (o == NULL)
		return;
	if (o->flush || f->refused.error == 0 || f->refused.error > 4095)
		peer_violation(p, "a refusal without a reason");
	else
		outbound_refused(o, (int)f->refused.error, f->refused.got);
}

static void on_canceled(struct haul_peer *p, const struct wire_frame *f)
{
	struct outbound *o = outbound_answered(p, f->id);
	if (o != NULL)
		outbound_canceled(o);
}

static void on_flushed(struct haul_peer *p, const struct wire_frame *f)
{
	struct outbound *o = outbound_answered(p, f->id);
	if (o != NULL && o->flush)
		outbound_done(o);
	else if (o != NULL)
		peer_violation(p, "a message answered as a flush");
}

/* A SEND may cross our own end of the message, and is then late. */
static void on_send(struct haul_peer *p, const struct wire_frame *f)
{
	void *object;
	enum id_state state = ids_find(&p->out_ids, f->send.id, &object);
	if (state == ID_STALE)
		return;
	if (state == ID_NEVER || !outbound_asked(object, f->send.offset, f->send.len, f->send.epoch))
		peer_violation(p, "asked for bytes that are not on offer");
}

static void on_grant(struct haul_peer *p, const struct wire_frame *f)
{
	void *object;
	if (!link_may_push(peer_link(p)) || ids_find(&p->out_ids, f->grant.id, &object) != ID_LIVE ||
	    !push_granted(object, f))
		peer_violation(p, "granted what can't be written");
}

/* Its id is live: who asks for help, or for the end of it, has not answered the message yet. */
static void on_assist(struct haul_peer *p, const struct wire_frame *f)
{
	void *object;
	if (ids_find(&p->out_ids, f->assist.id, &object) != ID_LIVE || !assist_asked(object, f))
		peer_violation(p, "asked for help that can't be given");
}

/* As a SEND, it may come late. */
static void on_fetch(struct haul_peer *p, const struct wire_frame *f)
{
	void *object;
	enum id_state state = ids_find(&p->out_ids, f->id, &object);
	if (state == ID_NEVER || (state == ID_LIVE && !fds_asked(object)))
		peer_violation(p, "asked for descriptors that are not on offer");
}

/* CANCEL and ABORT: the sender gives up, or (gently) would like to. Late if the message has been answered already.
 * Whoever has taken a call can be told. */
static void on_cancel(struct haul_peer *p, uint64_t id, bool gentle, int error)
{
	void *object;
	enum id_state state = ids_find(&p->in_ids, id, &object);
	if (state == ID_NEVER) {
		peer_violation(p, "canceled what was never sent");
		return;
	}
	struct inbound *in = state == ID_LIVE ? object : NULL;
	if (in == NULL)
		return;
	bool idle = in->state == IN_WAITING || (in->call && in->msg != NULL);
	if (gentle ? idle : in->state != IN_ANSWERING)
		inbound_cancel(in, error);
}

static void on_bye(struct haul_peer *p)
{
	if (p->bye_got) {
		peer_violation(p, "said goodbye twice");
		return;
	}
	p->bye_got = true;
	peer_fail_sends(p, -EPIPE);
	conn_kick(&p->conn);
}

static void on_other(struct haul_peer *p, const struct wire_frame *f)
{
	switch (f->type) {
	case WIRE_DESC:
		inbound_desc(p, f);
		break;
	case WIRE_FLUSH:
		inbound_flush(p, f);
		break;
	case WIRE_SEND:
		on_send(p, f);
		break;
	case WIRE_GRANT:
		on_grant(p, f);
		break;
	case WIRE_PUSHED:
		push_pushed(p, f);
		break;
	case WIRE_ASSIST:
		on_assist(p, f);
		break;
	case WIRE_ASSISTED:
		twohand_assisted(p, f);
		break;
	case WIRE_FETCH:
		on_fetch(p, f);
		break;
	case WIRE_RIGHTS:
		fds_came(p, f);
		break;
	case WIRE_DATA:
		stream_data(p, f);
		break;
	case WIRE_DONE:
		on_done(p, f);
		break;
	case WIRE_REFUSED:
		on_refused(p, f);
		break;
	case WIRE_CANCELED:
		on_canceled(p, f);
		break;
	case WIRE_FLUSHED:
		on_flushed(p, f);
		break;
	case WIRE_CANCEL:
		on_cancel(p, f->id, (f->flags & WIRE_FLAG_IDLE) != 0, -ECANCELED);
		break;
	case WIRE_ABORT:
		on_cancel(p, f->abort.id, false, f->abort.error == EFAULT ? -EFAULT : -ECANCELED);
		break;
	case WIRE_BYE:
		on_bye(p);
		break;
	default: /* link.c keeps the others */
		break;
	}
}

void dispatch_frame(struct conn *c, const struct wire_frame *f)
{
	struct haul_peer *p = peer_of(c);
	if (p->bye_got && (f->type == WIRE_EAGER || f->type == WIRE_DESC || f->type == WIRE_FLUSH))
		peer_violation(p, "spoke on after goodbye");
	else if (f->type == WIRE_EAGER) /* most are */
		inbound_eager(p, f);
	else
		on_other(p, f);
}
