/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A message that has arrived: from the frame to the answer. See inbound.h for its states; pull.c and
 * stream.c move the payload of described ones.
 *
 * What can fail: the envelope makes no sense (the peer is dropped), no memory (the peer is dropped: its
 * message would be lost otherwise), the message is longer than we accept (refused unseen).
 */
#include "msg/inbound.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "msg/call.h"
#include "msg/context.h"
#include "msg/outbound.h"
#include "msg/payload.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "msg/stats.h"
#include "msg/taken.h"
#include "os/trace.h"

_Static_assert(sizeof(struct inbound) + 2 * sizeof(size_t) + MATCH_ITEM_BUCKETS <= LINK_DESC_COST,
    "the price of an envelope is its size, with what finding it takes");

static void move(struct inbound *in, enum inbound_state to)
{
	static const bool allowed[IN_ANSWERING + 1][IN_ANSWERING + 1] = {
		[IN_WAITING] = { [IN_MOVING] = true, [IN_TAKEN] = true, [IN_ANSWERING] = true },
		[IN_MOVING] = { [IN_WAITING] = true, [IN_TAKEN] = true, [IN_ANSWERING] = true },
		[IN_TAKEN] = { [IN_MOVING] = true,
		    [IN_WAITING] = true,
		    [IN_REPLYING] = true,
		    [IN_ANSWERING] = true },
		[IN_REPLYING] = { [IN_ANSWERING] = true },
	};
	assert(allowed[in->state][to]);
	in->state = to;
}

/* Field by field, as outbound_new(): what is set before it is read, as ranges are, need not be. */
static void clear(struct inbound *in)
{
	in->state = IN_WAITING;
	in->eager = in->flush = in->call = in->has_fds = false;
	in->id = in->len = 0;
	in->payload = NULL;
	in->cell = in->cookie = in->list = in->hand = 0;
	in->range_count = 0;
	in->window = NULL;
	in->req = NULL;
	in->msg = NULL;
	in->reply = NULL;
	in->mover = NULL;
	in->base = in->want = in->moved = in->ours = 0;
	in->hands = NULL;
	in->busy = in->granted = in->asking = in->expecting = false;
	in->late = LATE_NOT;
	in->late_error = 0;
	in->pulling = in->fresh = false;
	in->epoch = 0;
	in->chunk = 0;
	in->landing = (struct grant){ .cell = NULL };
}

static struct inbound *inbound_new(struct haul_peer *p, const struct wire_envelope *e, uint64_t len)
{
	struct inbound *in = spares_take(&p->haul->spare_inbounds, sizeof(*in));
	if (in == NULL) {
		conn_fail(&p->conn, -ENOMEM, "no memory for a message from the peer");
		return NULL;
	}
	clear(in);
	match_item_init(&in->item, p, e->tag, e->channel);
	in->peer = p;
	in->len = len;
	if (e->id != 0) {
		int rc = ids_file(&p->in_ids, e->id, in);
		if (rc != 0) {
			conn_fail(&p->conn, rc,
			    rc == -ENOMEM ? "no memory for a message from the peer"
			                  : "the peer used an id that is not new");
			spares_give(&p->haul->spare_inbounds, in);
			return NULL;
		}
		in->id = e->id;
	}
	TAILQ_INSERT_TAIL(&p->unfinished, in, entry);
	return in;
}

static void drop_from_queue(struct inbound *in)
{
	if (in->item.queued)
		stats_unqueued(in->peer, in->len);
	match_drop_item(&in->peer->haul->match, &in->item);
}

/* Out of whichever list it takes turns in. */
static void stop_moving(struct inbound *in)
{
	if (in->mover != NULL)
		in->mover->stop(in);
	in->mover = NULL;
	if (in->asking)
		TAILQ_REMOVE(&in->peer->asks, in, ask);
	in->asking = false;
}

void inbound_free(struct inbound *in)
{
	struct haul_peer *p = in->peer;
	assert(!in->busy && !in->granted && in->msg == NULL && in->reply == NULL);
	stop_moving(in);
	drop_from_queue(in);
	if (in->state == IN_ANSWERING)
		TAILQ_REMOVE(&p->answers, in, turn);
	TAILQ_REMOVE(&p->unfinished, in, entry);
	if (in->id != 0)
		ids_end(&p->in_ids, in->id);
	if (in->eager)
		peer_release_eager(p, in->len);
	else
		peer_release_desc(p);
	if (p->closing || (!TAILQ_EMPTY(&p->unfinished) && TAILQ_FIRST(&p->unfinished)->flush))
		conn_kick(&p->conn); /* nothing may be left now before BYE, or before that FLUSH */
	payload_free(p->haul, in->payload, in->len);
	spares_give(&p->haul->spare_inbounds, in);
}

/* From now on only the answer is left; without an id, nothing. */
static void answer(struct inbound *in, enum wire_type type, int error)
{
	stop_moving(in);
	drop_from_queue(in);
	move(in, IN_ANSWERING);
	in->req = NULL;
	in->answer = type;
	in->answer_error = error;
	TAILQ_INSERT_TAIL(&in->peer->answers, in, turn);
	if (in->id == 0 || in->peer->conn.ended)
		inbound_free(in);
	else
		conn_kick(&in->peer->conn);
}

/* What was to be moved is, or will not be: the receive or read completes. */
static void complete(struct inbound *in, int error)
{
	struct haul_req *r = in->req;
	in->req = NULL;
	stop_moving(in);
	if (r == NULL)
		return;
	r->recv.in = NULL;
	if (in->msg == NULL) {
		receive_complete(r, in->moved, error);
		return;
	}
	move(in, IN_TAKEN);
	taken_read_over(in->msg, in->moved, error);
}

/* Its taker has no more to do with it. */
static void cut(struct inbound *in, int error)
{
	struct haul_msg *m = in->msg;
	in->msg = NULL;
	if (m != NULL)
		taken_cut(m, error);
}

void inbound_drop(struct inbound *in, int error)
{
	cut(in, error);
	inbound_free(in);
}

/* True if a copy is under way, whose end will bring it about. */
static bool delay(struct inbound *in, enum inbound_late what, int error)
{
	bool copying = in->busy || in->granted;
	if (copying && what > in->late) {
		in->late = what;
		in->late_error = error;
	}
	return copying;
}

/* Of a message so empty that nothing has to move. */
static enum haul_path usual_path(const struct inbound *in)
{
	return peer_link(in->peer)->in.error == 0 ? HAUL_PATH_PULL : HAUL_PATH_STREAM;
}

void inbound_finish(struct inbound *in)
{
	struct haul_msg *m = in->msg;
	in->late = LATE_NOT;
	if (!in->eager)
		stats_received(in->peer, in->mover != NULL ? in->mover->path : usual_path(in), in->moved);
	if (m != NULL && !in->peer->closing && !in->peer->conn.ended) {
		complete(in, 0);
		return;
	}
	if (m != NULL) { /* the last that its taker gets of it */
		fds_stop(m);
		in->msg = NULL;
		m->inbound = NULL;
		m->error = in->peer->conn.ended ? in->peer->error : -ECANCELED;
		taken_read_over(m, in->moved, 0);
		in->req = NULL;
		answer(in, WIRE_REFUSED, EPIPE);
		return;
	}
	complete(in, 0);
	if (in->moved < in->len)
		answer(in, WIRE_REFUSED, EMSGSIZE);
	else
		answer(in, WIRE_DONE, 0);
}

/* Takes the two apart. */
static struct outbound *part_from_reply(struct inbound *in)
{
	struct outbound *o = in->reply;
	if (o != NULL)
		o->answers = NULL;
	in->reply = NULL;
	return o;
}

/* What is under way with it ends. */
static void end_with(struct inbound *in, int error)
{
	struct outbound *reply = part_from_reply(in);
	if (in->req != NULL && in->msg == NULL)
		complete(in, error);
	cut(in, error);
	if (reply != NULL)
		outbound_end(reply, error);
}

void inbound_refuse(struct inbound *in, int error)
{
	if (delay(in, LATE_REFUSE, error))
		return;
	stats_refused(in->peer, -error);
	end_with(in, error);
	answer(in, WIRE_REFUSED, -error);
}

void inbound_cancel(struct inbound *in, int error)
{
	if (delay(in, LATE_CANCEL, error))
		return;
	end_with(in, error);
	answer(in, WIRE_CANCELED, 0);
}

void inbound_fault(struct inbound *in, int error)
{
	if (in->msg != NULL)
		complete(in, error);
	else
		inbound_refuse(in, error);
}

void inbound_flushed(struct inbound *in)
{
	answer(in, WIRE_FLUSHED, 0);
}

struct iov_cursor inbound_target(const struct inbound *in)
{
	const struct buffers *b = &in->req->recv.into;
	struct iov_cursor c;
	iov_cursor_init(&c, b->iov, b->count, b->len);
	iov_cursor_advance(&c, in->moved);
	iov_cursor_limit(&c, in->want - in->moved);
	return c;
}

static void deliver_eager(struct haul_peer *p, struct haul_req *r, const void *payload, size_t len)
{
	size_t n = len < receive_room(r) ? len : (size_t)receive_room(r);
	iov_put(r->recv.into.iov, payload, n);
	stats_received(p, HAUL_PATH_EAGER, n);
	stats_copied(p, 2 * n); /* out of the kernel, and here */
}

/* Up to want bytes from base on are to be moved into the receive's, or the read's, buffers. */
static void start_moving(struct inbound *in, struct haul_req *r, uint64_t base)
{
	uint64_t left = in->len - base;
	in->base = base;
	in->moved = 0;
	in->want = left < receive_room(r) ? left : receive_room(r);
	in->ours = base + in->want;
	move(in, IN_MOVING);
	in->req = r;
	r->recv.in = in;
}

void inbound_move_by(struct inbound *in, const struct mover *m)
{
	if (in->mover != NULL)
		in->mover->stop(in);
	in->mover = m;
	m->start(in);
}

void inbound_move_on(struct inbound *in)
{
	inbound_move_by(in, push_may(in) ? &push_mover : &stream_mover);
}

/* The way is the receiver's choice. */
static void move_payload(struct inbound *in)
{
	receive_headway(in->req);
	if (peer_link(in->peer)->in.error == 0)
		inbound_move_by(in, &pull_mover);
	else
		inbound_move_on(in);
}

/* All of it is there, and nobody waits for an answer: that is its end. */
static void hand_over(struct inbound *in, struct haul_req *r)
{
	uint64_t got = in->len < receive_room(r) ? in->len : receive_room(r);
	deliver_eager(in->peer, r, in->payload, in->len);
	inbound_free(in);
	receive_complete(r, got, 0);
}

void inbound_start(struct inbound *in, struct haul_req *r)
{
	TRACE_MATCH(r, in->peer->conn.link.pid, in->item.tag, in->len);
	if (r->kind == REQ_TAKE) {
		taken_start(in, r);
		return;
	}
	receive_describe(r, in->peer, in->item.tag, in->len);
	if (in->eager && in->id == 0) {
		hand_over(in, r);
		return;
	}
	r->status.flags |= in->call ? HAUL_STATUS_CALL : 0;
	start_moving(in, r, 0);
	if (in->eager) {
		deliver_eager(in->peer, r, in->payload, in->len);
		in->moved = in->want;
	}
	if (in->moved == in->want)
		inbound_finish(in);
	else
		move_payload(in);
}

static int unwanted(struct haul *h, const struct match_item *i)
{
	return i->channel != 0 ? above_unwanted(h, (struct haul_peer *)i->from, i->channel, i->tag) : 0;
}

/* Nobody wants it yet: into the queue. */
static void await_receive(struct inbound *in)
{
	struct haul *h = in->peer->haul;
	int error;
	if ((error = unwanted(h, &in->item)) != 0) {
		inbound_refuse(in, error);
		return;
	}
	match_queue(&h->match, &in->item);
	stats_queued(in->peer, in->len);
	engine_news(&h->engine);
}

/* To the receive that wants it, or into the queue. */
static void place(struct inbound *in)
{
	struct match_recv *m = match_take(&in->peer->haul->match, &in->item);
	if (m != NULL)
		inbound_start(in, receive_of(m));
	else
		await_receive(in);
}

/* The sender of a stream is to stop; a new epoch tells its late bytes apart. */
static void stop_stream(struct inbound *in)
{
	in->epoch++;
	in->asking = true;
	TAILQ_INSERT_TAIL(&in->peer->asks, in, ask);
	conn_kick(&in->peer->conn);
}

bool inbound_stop(struct inbound *in, int error)
{
	struct haul_req *r = in->req;
	bool streamed = in->mover == &stream_mover;
	if (delay(in, LATE_STOP, error))
		return false;
	stop_moving(in);
	in->moved = 0;
	if (in->msg != NULL) {
		complete(in, error);
		if (streamed && !in->asking) /* else the next read has begun, and asks anew */
			stop_stream(in);
		return true;
	}
	if (streamed)
		stop_stream(in);
	in->req = NULL;
	r->recv.in = NULL;
	move(in, IN_WAITING);
	if (in->peer->closing)
		inbound_refuse(in, -EPIPE);
	else
		place(in);
	receive_complete(r, 0, error);
	return true;
}

void inbound_catch_up(struct inbound *in)
{
	enum inbound_late late = in->late;
	in->late = LATE_NOT;
	switch (late) {
	case LATE_NOT:
		break;
	case LATE_STOP:
		inbound_stop(in, in->late_error);
		break;
	case LATE_CANCEL:
		inbound_cancel(in, in->late_error);
		break;
	case LATE_REFUSE:
		inbound_refuse(in, in->late_error);
		break;
	}
}

/* ---- copies by the peer ---- */

bool inbound_may_grant(const struct inbound *in)
{
	const struct haul_req *r = in->req;
	bool limited = r->recv.limited || (!r->plain && r->timer.set);
	return !limited && !in->peer->closing && !in->peer->conn.ended;
}

void inbound_grant(struct inbound *in)
{
	in->granted = true;
	in->peer->copying++;
	in->peer->conn.granted++;
}

void inbound_take_back(struct inbound *in)
{
	struct haul_peer *p = in->peer;
	in->granted = false;
	p->copying--;
	p->conn.granted--;
	grant_withdraw(&in->landing, &p->haul->engine.shared.words);
	conn_kick(&p->conn); /* the goodbye may have waited for it */
}

void inbound_peer_gone(struct haul_peer *p)
{
	struct inbound *in, *next;
	if (p->conn.granted == 0)
		return;
	TAILQ_FOREACH_SAFE (in, &p->unfinished, entry, next) {
		if (!in->granted)
			continue;
		inbound_take_back(in);
		twohand_drop(in);
		if (!in->busy)
			inbound_catch_up(in);
	}
}

/* ---- for taken messages ---- */

void inbound_take(struct inbound *in, struct haul_msg *m)
{
	move(in, IN_TAKEN);
	in->msg = m;
}

void inbound_read(struct inbound *in, struct haul_req *r, uint64_t offset)
{
	start_moving(in, r, offset);
	move_payload(in);
}

void inbound_give_up(struct inbound *in, int error)
{
	in->msg = NULL;
	if (error == 0)
		answer(in, WIRE_DONE, 0);
	else
		inbound_refuse(in, error);
}

void inbound_put_back(struct inbound *in)
{
	in->msg = NULL;
	if (in->state == IN_TAKEN)
		move(in, IN_WAITING);
	place(in);
}

/* ---- calls ---- */

void inbound_reply(struct inbound *in, struct outbound *o)
{
	move(in, IN_REPLYING);
	in->msg = NULL;
	in->reply = o;
	o->answers = in;
}

void inbound_replied(struct inbound *in)
{
	part_from_reply(in);
	inbound_free(in);
}

void inbound_unreplied(struct inbound *in, int error)
{
	in->reply = NULL;
	inbound_refuse(in, error);
}

/* ---- frames ---- */

/* A call has an id, and is no reply; a reply is to a call of ours. False: the peer was dropped. */
static bool makes_sense(struct haul_peer *p, const struct wire_frame *f, const struct wire_envelope *e)
{
	bool reply = e->channel == WIRE_CHANNEL_REPLIES;
	if ((f->flags & WIRE_FLAG_CALL) != 0 && ((f->flags & WIRE_FLAG_SYNC) == 0 || reply)) {
		peer_violation(p, "a call that has no answer, or is one");
		return false;
	}
	return !reply || call_awaits(p, e->tag);
}

/* To whom it is for, or refused unseen. */
static void accept(struct inbound *in)
{
	if (in->item.channel == WIRE_CHANNEL_REPLIES)
		call_replied(in);
	else if (in->peer->closing)
		inbound_refuse(in, -EPIPE);
	else if (in->len > in->peer->haul->options.max_msg)
		inbound_refuse(in, -EMSGSIZE);
	else
		place(in);
}

/* With its payload. NULL: the peer was dropped. */
static struct inbound *keep_eager(struct haul_peer *p, const struct wire_frame *f)
{
	struct inbound *in = inbound_new(p, &f->eager.envelope, f->payload_len);
	if (in == NULL)
		return NULL;
	in->eager = true;
	in->call = (f->flags & WIRE_FLAG_CALL) != 0;
	if (f->payload_len == 0)
		return in;
	if ((in->payload = payload_new(p->haul, f->payload_len)) == NULL) {
		inbound_free(in);
		conn_fail(&p->conn, -ENOMEM, "no memory for a message from the peer");
		return NULL;
	}
	memcpy(in->payload, f->payload, f->payload_len);
	stats_copied(p, f->payload_len);
	return in;
}

/* Nobody wants an answer, and nothing is wrong with it. */
static bool is_plain(const struct haul_peer *p, const struct wire_frame *f)
{
	const struct wire_envelope *e = &f->eager.envelope;
	return (f->flags & (WIRE_FLAG_SYNC | WIRE_FLAG_CALL)) == 0 && e->id == 0 &&
	    e->channel != WIRE_CHANNEL_REPLIES && !p->closing && f->payload_len <= p->haul->options.max_msg;
}

void inbound_eager(struct haul_peer *p, const struct wire_frame *f)
{
	const struct wire_envelope *e = &f->eager.envelope;
	struct match_item item;
	struct haul_req *r = NULL;
	bool plain = is_plain(p, f);
	match_item_init(&item, p, e->tag, e->channel);
	if (plain) {
		struct match_recv *m = match_take(&p->haul->match, &item);
		r = m != NULL ? receive_of(m) : NULL;
	}
	if (r != NULL && r->kind == REQ_RECV) { /* the common case */
		TRACE_MATCH(r, p->conn.link.pid, e->tag, f->payload_len);
		receive_describe(r, p, e->tag, f->payload_len);
		deliver_eager(p, r, f->payload, f->payload_len);
		peer_release_eager(p, f->payload_len);
		receive_complete(r, f->payload_len < receive_room(r) ? f->payload_len : receive_room(r), 0);
		return;
	}
	if (((f->flags & WIRE_FLAG_SYNC) != 0) != (e->id != 0)) {
		peer_violation(p, "an eager message with an id has to be synchronous, and only then");
		return;
	}
	if (!makes_sense(p, f, e))
		return;
	struct inbound *in = keep_eager(p, f);
	if (in == NULL) {
		if (r != NULL)
			request_complete(r, -ENOMEM);
		return;
	}
	in->item.order = item.order;
	if (r != NULL) /* a take */
		inbound_start(in, r);
	else if (plain)
		await_receive(in);
	else
		accept(in);
}

/* The ranges that came with the frame must be the message. */
static bool ranges_agree(const struct wire_frame *f)
{
	uint64_t sum = 0;
	if (f->desc.range_count > WIRE_DESC_RANGES)
		return f->desc.len > 0;
	for (uint32_t i = 0; i < f->desc.range_count; i++) {
		if (f->desc.ranges[i].len > f->desc.len - sum)
			return false;
		sum += f->desc.ranges[i].len;
	}
	return sum == f->desc.len;
}

void inbound_desc(struct haul_peer *p, const struct wire_frame *f)
{
	if (f->desc.envelope.id == 0 || f->desc.len > INT64_MAX || f->desc.cell % sizeof(uint64_t) != 0 ||
	    f->desc.hand % sizeof(uint64_t) != 0 ||
	    (f->desc.hand != 0 && !link_has_two_hands(peer_link(p))) || !ranges_agree(f)) {
		peer_violation(p, "a descriptor that describes no message");
		return;
	}
	if (!makes_sense(p, f, &f->desc.envelope))
		return;
	struct inbound *in = inbound_new(p, &f->desc.envelope, f->desc.len);
	if (in == NULL)
		return;
	in->call = (f->flags & WIRE_FLAG_CALL) != 0;
	in->cell = f->desc.cell;
	in->cookie = f->desc.cookie;
	in->list = f->desc.list;
	in->hand = f->desc.hand;
	in->range_count = f->desc.range_count;
	in->has_fds = (f->flags & WIRE_FLAG_FDS) != 0;
	memcpy(in->ranges, f->desc.ranges, sizeof(in->ranges));
	if (p->conn.burying) /* its memory is gone: let no receive be spent on it */
		inbound_free(in);
	else
		accept(in);
}

/* A marker that is answered once everything before it has been (pump.c). */
void inbound_flush(struct haul_peer *p, const struct wire_frame *f)
{
	struct wire_envelope e = { .id = f->id };
	if (f->id == 0) {
		peer_violation(p, "a flush without an id");
		return;
	}
	struct inbound *in = inbound_new(p, &e, 0);
	if (in == NULL)
		return;
	in->flush = true;
	conn_kick(&p->conn);
}
