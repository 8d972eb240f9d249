/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What goes to a peer: everything that there is to say, in this order, until the link takes no more.
 *
 *     answers, notices, pushed, assisted, asks, fetches, rights   small, and others wait for them
 *     new messages                  in the order sent; here the path is chosen
 *     DATA, a chunk at a time       after each chunk, all of the above again
 *     BYE                           when all else is settled
 *
 * Nothing is lost if the link is full: what was not said is still in its list (peer.h). Only a lack of credit
 * makes it read in between; what that brings to be said waits for the next pump.
 */
#include <errno.h>
#include <string.h>

#include "msg/context.h"
#include "msg/fds.h"
#include "msg/inbound.h"
#include "msg/outbound.h"
#include "msg/peer.h"
#include "msg/request.h"
#include "msg/stats.h"
#include "os/reason.h"

enum {
	CHUNKS = 16, /* DATA frames in one go */
	LOOKS = 16,  /* reads for credit in one go */
};

/* A flush is answered once nothing before it is unfinished. What comes after it doesn't matter. */
static void answer_flushes(struct haul_peer *p)
{
	struct inbound *in = TAILQ_FIRST(&p->unfinished);
	while (in != NULL && (in->flush || in->state == IN_ANSWERING)) {
		struct inbound *next = TAILQ_NEXT(in, entry);
		if (in->flush && in->state == IN_WAITING)
			inbound_flushed(in);
		in = next;
	}
}

/* As many DONEs as follow one another go in one frame. */
static bool say_done(struct haul_peer *p)
{
	uint8_t ids[WIRE_DONE_IDS * WIRE_ID_SIZE];
	struct wire_frame f = { .type = WIRE_DONE, .done.ids = ids };
	struct inbound *in;
	for (in = TAILQ_FIRST(&p->answers);
	     in != NULL && in->answer == WIRE_DONE && f.done.count < WIRE_DONE_IDS; in = TAILQ_NEXT(in, turn))
		wire_done_put(ids, f.done.count++, in->id);
	if (link_send(peer_link(p), &f, NULL) != LINK_TAKEN)
		return false;
	for (size_t i = 0; i < f.done.count; i++)
		inbound_free(TAILQ_FIRST(&p->answers));
	return true;
}

static bool say_answers(struct haul_peer *p)
{
	answer_flushes(p);
	for (struct inbound *in; (in = TAILQ_FIRST(&p->answers)) != NULL;) {
		struct wire_frame f = { .type = in->answer };
		if (in->answer == WIRE_DONE) {
			if (!say_done(p))
				return false;
			continue;
		}
		if (in->answer == WIRE_REFUSED) {
			f.refused.id = in->id;
			f.refused.got = in->moved;
			f.refused.error = (uint32_t)in->answer_error;
		} else {
			f.id = in->id;
		}
		if (link_send(peer_link(p), &f, NULL) != LINK_TAKEN)
			return false;
		inbound_free(in);
	}
	return true;
}

static bool say_notices(struct haul_peer *p)
{
	for (struct outbound *o; (o = TAILQ_FIRST(&p->notices)) != NULL;) {
		struct wire_frame f = { .type = WIRE_CANCEL,
			.flags = o->gentle ? WIRE_FLAG_IDLE : 0,
			.id = o->id };
		if (o->notice == NOTICE_ABORT) {
			f.type = WIRE_ABORT;
			f.flags = 0;
			f.abort.id = o->id;
			f.abort.error = (uint32_t)o->abort_error;
		}
		if (link_send(peer_link(p), &f, NULL) != LINK_TAKEN)
			return false;
		TAILQ_REMOVE(&p->notices, o, notice_entry);
		o->notice = NOTICE_NONE;
	}
	return true;
}

static bool say_pushed(struct haul_peer *p)
{
	for (struct outbound *o; (o = TAILQ_FIRST(&p->pushed)) != NULL;) {
		struct wire_frame f = { .type = WIRE_PUSHED,
			.pushed = { .id = o->id,
			    .moved = o->pushed,
			    .epoch = o->epoch,
			    .error = (uint32_t)o->push_error } };
		if (link_send(peer_link(p), &f, NULL) != LINK_TAKEN)
			return false;
		TAILQ_REMOVE(&p->pushed, o, push_entry);
		o->push = PUSH_NONE;
	}
	return true;
}

static bool say_asks(struct haul_peer *p)
{
	for (struct inbound *in; (in = TAILQ_FIRST(&p->asks)) != NULL;) {
		struct wire_frame f = { .type = WIRE_SEND, .send = { .id = in->id, .epoch = in->epoch } };
		if (in->mover == &push_mover) {
			if (!push_ask(in))
				return false;
			continue;
		}
		if (in->hands != NULL) {
			if (!twohand_say(in))
				return false;
			continue;
		}
		if (in->expecting) {
			f.send.offset = in->base + in->moved;
			f.send.len = in->want - in->moved;
		}
		if (link_send(peer_link(p), &f, NULL) != LINK_TAKEN)
			return false;
		TAILQ_REMOVE(&p->asks, in, ask);
		in->asking = false;
	}
	return true;
}

/* ---- messages ---- */

enum sent { SENT, NOT_NOW };

/* Where both paths cost the same (haul perf, latency): what is described for an outbox costs its sender no call. */
enum { EAGER_SOCKET = 16384, EAGER_OUTBOX = 4096 };

bool pump_is_short(const struct haul_peer *p, uint64_t len)
{
	int64_t most = p->haul->options.eager_max;
	if (most == 0)
		most = p->conn.link.outbox.open ? EAGER_OUTBOX : EAGER_SOCKET;
	return most >= 0 && len <= (uint64_t)most;
}

int pump_check_len(const struct haul_peer *p, uint64_t len)
{
	uint64_t most = p->conn.link.theirs.max_msg;
	return len <= most ? 0
	                   : reason(-EMSGSIZE, "the peer accepts no message longer than %llu bytes",
	                         (unsigned long long)most);
}

static bool need_id(struct haul_peer *p, struct outbound *o)
{
	if (o->id == 0)
		o->id = ids_give(&p->out_ids, o);
	if (o->id == 0 && p->out_ids.live < WIRE_WINDOW_MOST)
		peer_link(p)->tx.lacking = true;
	return o->id != 0;
}

static bool need_grant(struct haul_peer *p, struct outbound *o)
{
	struct haul *h = p->haul;
	if (o->grant.cell == NULL && grant_give(&o->grant, &h->engine.shared.words, &h->cookies) != 0)
		peer_link(p)->tx.lacking = true;
	return o->grant.cell != NULL;
}

static enum sent send_flush(struct haul_peer *p, struct outbound *o)
{
	if (!link_may_desc(peer_link(p)) || !need_id(p, o))
		return NOT_NOW;
	struct wire_frame f = { .type = WIRE_FLUSH, .id = o->id };
	if (link_send(peer_link(p), &f, NULL) != LINK_TAKEN)
		return NOT_NOW;
	TAILQ_REMOVE(&p->queued, o, entry);
	outbound_move(o, OUT_OFFERED);
	return SENT;
}

enum link_sent pump_eager(struct haul_peer *p, uint64_t tag, uint64_t id, uint32_t channel, unsigned flags,
    struct iov_cursor *payload)
{
	struct wire_frame f;
	size_t len = payload->left;
	f.type = WIRE_EAGER;
	f.flags = (uint8_t)flags;
	f.eager.envelope.channel = channel; /* not as a struct: that would wait until it is written, 14 ns */
	f.eager.envelope.tag = tag;
	f.eager.envelope.id = id;
	f.payload_len = len;
	enum link_sent sent = link_send(peer_link(p), &f, payload);
	if (sent == LINK_TAKEN) {
		stats_sent(p, HAUL_PATH_EAGER, len);
		stats_copied(p, len); /* into the kernel */
		p->mark = peer_link(p)->tx.queued;
	}
	return sent;
}

static unsigned flags_of(const struct outbound *o)
{
	return (o->sync ? WIRE_FLAG_SYNC : 0u) | (o->call ? WIRE_FLAG_CALL : 0u) |
	    (o->has_fds ? WIRE_FLAG_FDS : 0u);
}

void pump_await_written(struct haul_peer *p, struct haul_req *r)
{
	r->send.out = NULL;
	r->send.mark = peer_link(p)->tx.queued;
	TAILQ_INSERT_TAIL(&p->writing, r, send.writing);
}

/* It is with the link. */
static void has_left(struct haul_peer *p, struct outbound *o)
{
	if (o->answers != NULL)
		inbound_replied(o->answers);
	if (o->id == 0) { /* nothing will be heard of it */
		if (o->req != NULL)
			pump_await_written(p, o->req);
		o->req = NULL;
		outbound_end(o, 0);
		return;
	}
	TAILQ_REMOVE(&p->queued, o, entry);
	outbound_move(o, OUT_OFFERED);
}

static enum sent send_eager(struct haul_peer *p, struct outbound *o)
{
	if (o->sync && !need_id(p, o))
		return NOT_NOW;
	if (!o->sync && o->id != 0) { /* given when it was to be described, and never told to the peer */
		ids_end(&p->out_ids, o->id);
		o->id = 0;
	}
	struct iov_cursor payload;
	iov_cursor_init(&payload, o->bufs.iov, o->bufs.count, o->bufs.len);
	enum link_sent sent = pump_eager(p, o->tag, o->id, o->channel, flags_of(o), &payload);
	if (sent == LINK_NOT_NOW)
		return NOT_NOW;
	if (sent == LINK_UNREADABLE) {
		outbound_end(o, -EFAULT);
		return SENT;
	}
	o->way = HAUL_PATH_EAGER;
	has_left(p, o);
	return SENT;
}

static enum sent send_desc(struct haul_peer *p, struct outbound *o)
{
	if (o->only_eager || !link_may_desc(peer_link(p)) || !need_id(p, o) || !need_grant(p, o))
		return NOT_NOW;
	struct wire_frame f = { .type = WIRE_DESC,
		.flags = (uint8_t)flags_of(o),
		.desc = { .envelope = { .channel = o->channel, .tag = o->tag, .id = o->id },
		    .len = o->bufs.len,
		    .hand = assist_offer(o) ? (uintptr_t)o->hand : 0,
		    .cell = (uintptr_t)o->grant.cell,
		    .cookie = o->grant.cookie,
		    .range_count = (uint32_t)o->bufs.count } };
	if (o->bufs.count > WIRE_DESC_RANGES)
		f.desc.list = (uintptr_t)o->bufs.iov;
	else
		for (size_t i = 0; i < o->bufs.count; i++)
			f.desc.ranges[i] = (struct wire_range){ .addr = (uintptr_t)o->bufs.iov[i].iov_base,
				.len = o->bufs.iov[i].iov_len };
	if (link_send(peer_link(p), &f, NULL) != LINK_TAKEN)
		return NOT_NOW;
	has_left(p, o);
	return SENT;
}

/* Who only sends does not read, and the credit it lacks may have come long ago. Reading can end the conn, and
 * messages in the queue. */
static bool look_for_credit(struct haul_peer *p)
{
	for (int i = 0; i < LOOKS && !p->conn.ended && conn_look(&p->conn); i++)
		;
	return !p->conn.ended;
}

/* The choice of path, as far as it is the sender's: eager or described. Pull or stream is the receiver's. */
static bool say_messages(struct haul_peer *p)
{
	bool looked = false;
	for (struct outbound *o; (o = TAILQ_FIRST(&p->queued)) != NULL;) {
		enum sent sent;
		if (p->held && !o->leads)
			return true;
		int error =
		    pump_check_len(p, o->bufs.len); /* it may have been started during the handshake */
		if (error != 0) {
			outbound_end(o, error);
			continue;
		}
		bool is_short = !o->has_fds && pump_is_short(p, o->bufs.len);
		if (is_short && !o->flush && !looked && !link_may_eager(peer_link(p), o->bufs.len)) {
			looked = true;
			if (!look_for_credit(p))
				return false;
			continue;
		}
		if (o->flush)
			sent = send_flush(p, o);
		else if (is_short && link_may_eager(peer_link(p), o->bufs.len))
			sent = send_eager(p, o);
		else
			sent = send_desc(p, o);
		if (sent == NOT_NOW)
			return false;
	}
	return true;
}

/* ---- DATA ---- */

/* A chunk that could not be read: whoever it belongs to has failed, and the link has put filler in its place. */
static void settle_fault(struct haul_peer *p)
{
	if (!peer_link(p)->tx.fault || p->chunk == NULL)
		return;
	peer_link(p)->tx.fault = false;
	outbound_fault(p->chunk);
}

/* The next chunk of what a receiver asked for, or the empty one that ends it. */
static bool say_data(struct haul_peer *p)
{
	struct link *l = peer_link(p);
	struct outbound *o = TAILQ_FIRST(&p->streaming);
	size_t len = o->left < WIRE_DATA_LONGEST ? (size_t)o->left : WIRE_DATA_LONGEST;
	struct wire_frame f = { .type = WIRE_DATA,
		.data = { .id = o->id, .offset = o->at, .epoch = o->epoch },
		.payload_len = len };
	if (len == 0) {
		if (link_send(l, &f, NULL) != LINK_TAKEN)
			return false;
		TAILQ_REMOVE(&p->streaming, o, stream_entry);
		o->streaming = false;
		return true;
	}
	struct iov_cursor payload;
	iov_cursor_init(&payload, o->bufs.iov, o->bufs.count, o->bufs.len);
	iov_cursor_advance(&payload, o->at);
	iov_cursor_limit(&payload, len);
	if (link_send(l, &f, &payload) != LINK_TAKEN)
		return false;
	o->at += len;
	o->left -= len;
	stats_copied(p, len); /* into the kernel */
	p->chunk = o;
	settle_fault(p);
	return true;
}

/* ---- BYE ---- */

static bool may_say_bye(const struct haul_peer *p)
{
	if (p->bye_said || !(p->closing || p->bye_got))
		return false;
	return p->bye_got || peer_settled(p);
}

/* By the socket: after it this process need not be there any more. */
static void say_bye(struct haul_peer *p)
{
	link_leave_outbox(peer_link(p));
	struct wire_frame f = { .type = WIRE_BYE };
	p->bye_said = link_send(peer_link(p), &f, NULL) == LINK_TAKEN;
}

/* ---- */

bool pump_peer(struct conn *c)
{
	struct haul_peer *p = peer_of(c);
	settle_fault(p);
	for (int i = 0; i < CHUNKS; i++) {
		if (!say_answers(p) || !say_notices(p) || !say_pushed(p) || !assist_say(p) || !say_asks(p) ||
		    !fds_say(p) || c->ended)
			return false;
		bool all = say_messages(p);
		c->starved = !all;
		if (!TAILQ_EMPTY(&p->streaming)) {
			if (!say_data(p))
				return false;
			continue;
		}
		if (all && may_say_bye(p))
			say_bye(p);
		return false;
	}
	return true;
}

/* The short way of conn_pump(). What else there may be to say waits for the next one. */
void pump_now(struct haul_peer *p)
{
	struct link *l = peer_link(p);
	struct outbound *o = TAILQ_FIRST(&p->queued);
	bool first = o != NULL && TAILQ_NEXT(o, entry) == NULL && !o->flush && p->up && !p->held &&
	    l->state == LINK_OPEN && l->tx.queued == l->tx.written && pump_is_short(p, o->bufs.len) &&
	    link_may_eager(l, o->bufs.len);
	bool sent = first && send_eager(p, o) == SENT;
	if (sent)
		conn_flush(&p->conn);
	if (!sent || l->tx.dead || l->state != LINK_OPEN)
		conn_pump(&p->conn);
	else
		pump_flushed(&p->conn);
}

/* The kernel has taken bytes: eager messages that are wholly with it are done; after both goodbyes so is
 * the peer. */
void pump_flushed(struct conn *c)
{
	struct haul_peer *p = peer_of(c);
	struct link *l = &c->link;
	for (struct haul_req *r; (r = TAILQ_FIRST(&p->writing)) != NULL && r->send.mark <= l->tx.written;) {
		TAILQ_REMOVE(&p->writing, r, send.writing);
		r->status.got = r->status.len;
		request_complete(r, 0);
	}
	if (p->closing && p->mark != 0 && p->mark <= l->tx.written) {
		p->mark = 0;
		conn_kick(c); /* it may have been the last thing before BYE */
	}
	if (l->tx.fault)
		conn_kick(c);
	if (p->bye_got && p->bye_said && l->tx.written == l->tx.queued && c->granted == 0)
		conn_fail(c, -EPIPE, "the peer said goodbye");
}
