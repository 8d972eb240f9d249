/* SPDX-License-Identifier: BSD-3-Clause */
/* A message on its way out: the changes of its state. See outbound.h; pump.c does the saying. */
#include "msg/outbound.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "msg/context.h"
#include "msg/fds.h"
#include "msg/inbound.h"
#include "msg/peer.h"
#include "msg/request.h"
#include "msg/stats.h"
#include "os/reason.h"

/* ---- memory ---- */

struct outbound *outbound_new(struct haul_peer *p)
{
	struct haul *h = p->haul;
	struct outbound *o = spares_take(&h->spare_outbounds, sizeof(*o));
	if (o == NULL)
		return NULL;
	/* Field by field: the buffers are filled in by buffers_init(), and clearing them would show. */
	o->peer = p;
	o->req = NULL;
	o->state = OUT_QUEUED;
	o->flush = o->sync = o->call = o->only_eager = o->streaming = o->gentle = false;
	o->has_fds = o->fetched = false;
	o->fds = NULL;
	o->fd_count = 0;
	o->way = HAUL_PATH_PULL;
	o->push = PUSH_NONE;
	o->late = OUT_LATE_NOT;
	o->landing = NULL;
	o->hand = NULL;
	o->assist = ASSIST_NONE;
	o->tail = NULL;
	o->assisted = false;
	o->copy = NULL;
	o->answers = NULL;
	o->tag = o->id = 0;
	o->leads = false;
	o->channel = 0;
	o->grant.cell = NULL;
	o->at = o->left = 0;
	o->epoch = 0;
	o->cancel_error = o->abort_error = 0;
	o->notice = NOTICE_NONE;
	return o;
}

/* The memory alone. */
void outbound_free(struct outbound *o)
{
	spares_give(&o->peer->haul->spare_outbounds, o);
}

/* Nobody reads the buffers any more. */
static void give_buffers(struct outbound *o)
{
	struct haul *h = o->peer->haul;
	if (o->copy != NULL) {
		h->copies -= o->bufs.len;
		engine_news(&h->engine); /* somebody may wait for the room */
	}
	free(o->copy);
	o->copy = NULL;
	buffers_fini(&o->bufs);
	if (o->has_fds)
		fds_forget(o);
}

/* ---- states ---- */

void outbound_move(struct outbound *o, enum outbound_state to)
{
	static const bool allowed[OUT_OVER + 1][OUT_OVER + 1] = {
		[OUT_QUEUED] = { [OUT_OFFERED] = true, [OUT_OVER] = true },
		[OUT_OFFERED] = { [OUT_CANCELING] = true, [OUT_WITHDRAWN] = true, [OUT_OVER] = true },
		[OUT_CANCELING] = { [OUT_WITHDRAWN] = true, [OUT_OVER] = true },
		[OUT_WITHDRAWN] = { [OUT_OVER] = true },
	};
	assert(allowed[o->state][to]);
	o->state = to;
}

static void notify(struct outbound *o, enum outbound_notice notice, int error)
{
	if (o->notice == NOTICE_NONE)
		TAILQ_INSERT_TAIL(&o->peer->notices, o, notice_entry);
	o->notice = notice;
	o->abort_error = error;
	conn_kick(&o->peer->conn);
}

/* The link must not read the buffers any more. Whoever still waits for the chunk that was cut must hear of it. */
bool outbound_stop_streaming(struct outbound *o)
{
	struct haul_peer *p = o->peer;
	bool cut = false;
	if (p->chunk == o) {
		cut = link_send_holds(peer_link(p)) || peer_link(p)->tx.fault;
		link_send_abandon(peer_link(p));
		peer_link(p)->tx.fault = false;
		p->chunk = NULL;
	}
	if (o->streaming)
		TAILQ_REMOVE(&p->streaming, o, stream_entry);
	o->streaming = false;
	return cut;
}

static void complete(struct outbound *o, int error)
{
	struct haul_req *r = o->req;
	o->req = NULL;
	if (r != NULL) {
		r->send.out = NULL;
		request_complete(r, error);
	}
}

static bool is_written(const struct outbound *o)
{
	return o->push == PUSHING || o->assist == ASSISTING;
}

/* True if a write of ours is under way, whose end will bring it about. */
static bool delay(struct outbound *o, enum outbound_late what, int error)
{
	bool writing = is_written(o);
	if (writing && what > o->late) {
		o->late = what;
		o->late_error = error;
	}
	return writing;
}

void outbound_catch_up(struct outbound *o)
{
	enum outbound_late late = o->late;
	if (is_written(o))
		return; /* a write of the other kind is still under way */
	o->late = OUT_LATE_NOT;
	if (late == OUT_LATE_END)
		outbound_end(o, o->late_error);
	else if (late == OUT_LATE_WITHDRAW)
		outbound_withdraw(o, o->late_error);
}

void outbound_end(struct outbound *o, int error)
{
	struct haul_peer *p = o->peer;
	struct inbound *unanswered = o->answers;
	if (delay(o, OUT_LATE_END, error))
		return;
	push_forget(o);
	assist_forget(o);
	if (o->state == OUT_QUEUED)
		TAILQ_REMOVE(&p->queued, o, entry);
	outbound_stop_streaming(o);
	if (o->notice != NOTICE_NONE)
		TAILQ_REMOVE(&p->notices, o, notice_entry);
	if (o->id != 0)
		ids_end(&p->out_ids, o->id);
	grant_withdraw(&o->grant, &p->haul->engine.shared.words);
	outbound_move(o, OUT_OVER);
	complete(o, error);
	give_buffers(o);
	outbound_free(o);
	if (unanswered != NULL)
		inbound_unreplied(unanswered, error);
	if (p->closing)
		conn_kick(&p->conn); /* it may have been the last thing before BYE */
}

void outbound_withdraw(struct outbound *o, int error)
{
	if (delay(o, OUT_LATE_WITHDRAW, error))
		return;
	push_call_off(o);
	assist_call_off(o);
	bool cut = outbound_stop_streaming(o);
	grant_withdraw(&o->grant, &o->peer->haul->engine.shared.words);
	outbound_move(o, OUT_WITHDRAWN);
	if (cut)
		notify(o, NOTICE_ABORT, -error);
	complete(o, error);
	give_buffers(o);
}

void outbound_cancel(struct outbound *o)
{
	if (o->state == OUT_QUEUED) {
		outbound_end(o, -ECANCELED);
	} else if (o->state == OUT_OFFERED && o->notice == NOTICE_NONE) {
		o->gentle = true;
		notify(o, NOTICE_CANCEL, ECANCELED);
	}
}

void outbound_abort(struct outbound *o, int error)
{
	switch (o->state) {
	case OUT_QUEUED:
		outbound_end(o, error);
		break;
	case OUT_OFFERED:
		outbound_move(o, OUT_CANCELING);
		if (o->has_fds)
			fds_forget(o);
		push_call_off(o);
		assist_call_off(o);
		o->cancel_error = error;
		o->gentle = false;
		notify(o, outbound_stop_streaming(o) ? NOTICE_ABORT : NOTICE_CANCEL, ECANCELED);
		break;
	case OUT_CANCELING:
	case OUT_WITHDRAWN:
	case OUT_OVER:
		break;
	}
}

void outbound_force(struct outbound *o, int error)
{
	if (o->state != OUT_CANCELING)
		return;
	if (o->req != NULL)
		o->req->status.flags |= HAUL_STATUS_UNKNOWN;
	outbound_withdraw(o, error);
}

/* Only an OFFERED one has a chunk under way: whatever ends that state takes the chunk back. */
void outbound_fault(struct outbound *o)
{
	outbound_stop_streaming(o);
	outbound_withdraw(o, -EFAULT);
	notify(o, NOTICE_ABORT, EFAULT);
}

static void count_sent(struct outbound *o)
{
	if (!o->flush && o->way != HAUL_PATH_EAGER) /* else it was when it left */
		stats_sent(o->peer, o->way, o->bufs.len);
}

static void received(struct outbound *o, int error)
{
	if (o->req != NULL) {
		count_sent(o);
		o->req->status.got = o->req->status.len;
	}
	outbound_end(o, error);
}

void outbound_done(struct outbound *o)
{
	received(o, o->call ? reason(-ENOMSG, "the call was finished without a reply") : 0);
}

void outbound_replied(struct outbound *o, int error)
{
	received(o, error);
}

/* What was granted has to be answered before; and an answer that still has to take effect was one, too. */
struct outbound *outbound_answered(struct haul_peer *p, uint64_t id)
{
	void *object;
	if (ids_find(&p->out_ids, id, &object) == ID_LIVE) {
		struct outbound *o = object;
		if (o->state != OUT_QUEUED && o->push == PUSH_NONE && o->late != OUT_LATE_END)
			return o;
	}
	peer_violation(p, "an answer to what was never asked");
	return NULL;
}

/* The peer's reason becomes the caller's error, but must not pass for one that we give ourselves. */
static int foreign(int error)
{
	static const int ours[] = { EINPROGRESS, EAGAIN, EINTR, ETIMEDOUT, ECANCELED, ESTALE, EBADF, EINVAL,
		ECONNRESET, ENOMEM };
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (error == ours[i])
			return ECONNREFUSED;
	return error;
}

void outbound_refused(struct outbound *o, int error, uint64_t got)
{
	stats_refused(o->peer, error);
	error = foreign(error);
	if (o->req != NULL) {
		count_sent(o);
		o->req->status.got = got < o->req->status.len ? got : o->req->status.len;
	}
	/* A standard send promises that the buffer is free, not that anybody wanted the message; but that the
	 * peer is leaving concerns every send, and of the floor above's that nobody ever will
	 * (above_ops.unwanted). */
	bool tell = o->sync || error == EPIPE || (o->channel != 0 && error == EBADMSG);
	outbound_end(o, tell ? -error : 0);
}

void outbound_canceled(struct outbound *o)
{
	/* Without our asking: the receiver saw the grant gone, or gave up an ABORT. */
	outbound_end(o, o->state == OUT_CANCELING ? o->cancel_error : -ECANCELED);
}

/* Both ways to ask replace whatever was asked for before. */
bool outbound_new_epoch(struct outbound *o, uint32_t epoch)
{
	if (o->flush || o->way == HAUL_PATH_EAGER || o->state == OUT_QUEUED || o->push != PUSH_NONE ||
	    (int32_t)(epoch - o->epoch) <= 0)
		return false;
	o->epoch = epoch;
	return true;
}

bool outbound_asked(struct outbound *o, uint64_t offset, uint64_t len, uint32_t epoch)
{
	if (!outbound_new_epoch(o, epoch))
		return false;
	if (o->state != OUT_OFFERED)
		return true; /* it will hear of the cancel */
	if (offset > o->bufs.len || len > o->bufs.len - offset)
		return false;
	o->at = offset;
	o->left = len;
	o->way = HAUL_PATH_STREAM;
	if (len == 0 && o->streaming) {
		TAILQ_REMOVE(&o->peer->streaming, o, stream_entry);
		o->streaming = false;
	} else if (len > 0 && !o->streaming) {
		TAILQ_INSERT_TAIL(&o->peer->streaming, o, stream_entry);
		o->streaming = true;
	}
	conn_kick(&o->peer->conn);
	return true;
}
