/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Moving a payload by push, where only the sender may reach the other's memory and both sides have opted in:
 * the receiver grants a part of its buffers, the sender writes it with process_vm_writev, and says so.
 *
 *     receiver                                sender
 *     GRANT(epoch 1, ranges, landing cell) -->
 *                                             reads the cell: it holds the cookie, so this is the process that
 *                                             granted; writes a piece; the same for the next piece
 *                                         <-- PUSHED(epoch 1, how much)
 *     finished; or the next part of a long list; or the rest by stream
 *
 * What was granted can't be taken back, since a write can't be disbelieved as a read can: until the grant has ended
 * the receive's buffers may be written to, whatever happens. So the inbound is `granted` from GRANT on, a receive
 * with a timeout is never granted, and who waits for its end is woken by
 *
 *     PUSHED, which follows every GRANT, even if the message is no more (push_call_off);
 *     the sender's exit, or its end of file, which it holds back until its writes have ended (conn_wrote).
 *
 * A connection that this side ends, for a violation say, is therefore still listened to until then (conn.c,
 * conn_ops.gone). And the goodbye is not over while a grant is out.
 *
 * On the sender's side the write runs outside the lock, as a pull does; meanwhile the message's own buffers and its
 * id are kept (PUSHING in outbound.h).
 *
 * Between the look at the cell and the write the receiver may exit, and its pid be another's, or it may exec: that
 * gap can't be closed (docs/security.md).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "msg/context.h"
#include "msg/inbound.h"
#include "msg/info.h"
#include "msg/outbound.h"
#include "msg/peer.h"
#include "msg/request.h"
#include "msg/stats.h"
#include "os/proc.h"
#include "os/vm.h"

enum { PIECE = 16 << 20, ROUND = 1 << 20 };

/* The protocol has the list: other errors are about the message at hand. */
static bool is_about_the_peer(int error)
{
	return error != 0 && error != EFAULT && error != ENOMEM && error != ECANCELED;
}

/* ---- the receiver ---- */

bool push_works(const struct haul_peer *p)
{
	const struct link *l = &p->conn.link;
	return link_may_push(l) && l->out.error == 0 && l->pidfd >= 0 && !p->never_push;
}

bool push_may(const struct inbound *in)
{
	return push_works(in->peer) && inbound_may_grant(in);
}

static void start(struct inbound *in)
{
	struct haul *h = in->peer->haul;
	if (grant_give(&in->landing, &h->engine.shared.words, &h->cookies) != 0) {
		in->mover = &stream_mover; /* no memory for a cell */
		in->mover->start(in);
		return;
	}
	in->epoch++;
	if (!in->asking)
		TAILQ_INSERT_TAIL(&in->peer->asks, in, ask);
	in->asking = true;
	conn_kick(&in->peer->conn);
}

static void stop(struct inbound *in)
{
	assert(!in->granted);
	grant_withdraw(&in->landing, &in->peer->haul->engine.shared.words);
}

const struct mover push_mover = { .path = HAUL_PATH_PUSH, .start = start, .stop = stop };

/* As much of its buffers as one frame has room for. */
bool push_ask(struct inbound *in)
{
	struct haul_peer *p = in->peer;
	uint8_t ranges[WIRE_GRANT_RANGES * WIRE_RANGE_SIZE];
	struct iovec iov[WIRE_GRANT_RANGES];
	struct iov_cursor to = inbound_target(in);
	if (!push_may(in)) { /* it was given a deadline meanwhile, or the peer is being closed */
		inbound_move_by(in, &stream_mover);
		return true;
	}
	struct wire_frame f = { .type = WIRE_GRANT,
		.grant = { .id = in->id,
		    .offset = in->base + in->moved,
		    .cell = (uintptr_t)in->landing.cell,
		    .cookie = in->landing.cookie,
		    .epoch = in->epoch,
		    .ranges = ranges } };
	f.grant.range_count = iov_cursor_window(&to, iov, WIRE_GRANT_RANGES, UINT64_MAX, &in->chunk);
	for (size_t i = 0; i < f.grant.range_count; i++)
		wire_range_put(ranges, i,
		    (struct wire_range){ .addr = (uintptr_t)iov[i].iov_base, .len = iov[i].iov_len });
	if (link_send(peer_link(p), &f, NULL) != LINK_TAKEN)
		return false;
	TAILQ_REMOVE(&p->asks, in, ask);
	in->asking = false;
	inbound_grant(in);
	return true;
}

/* The peer could not write all of it. Of the buffer at hand that says little; of the peer it may say much. */
static void fell_short(struct inbound *in, int error)
{
	struct haul_peer *p = in->peer;
	if (is_about_the_peer(error) && !p->never_push) {
		p->never_push = true;
		info_changed(p);
	}
	inbound_move_by(in, &stream_mover);
}

void push_pushed(struct haul_peer *p, const struct wire_frame *f)
{
	void *object;
	struct inbound *in = ids_find(&p->in_ids, f->pushed.id, &object) == ID_LIVE ? object : NULL;
	if (in == NULL || in->mover != &push_mover || !in->granted || f->pushed.epoch != in->epoch ||
	    f->pushed.moved > in->chunk || (f->pushed.moved == in->chunk) != (f->pushed.error == 0) ||
	    f->pushed.error > 4095) {
		peer_violation(p, "wrote what was not granted");
		return;
	}
	inbound_take_back(in);
	in->moved += f->pushed.moved;
	if (in->moved == in->want)
		inbound_finish(in);
	else if (in->late != LATE_NOT)
		inbound_catch_up(in);
	else if (f->pushed.error == 0)
		inbound_move_on(in);
	else
		fell_short(in, (int)f->pushed.error);
}

/* ---- the sender ---- */

/* What was granted. */
struct landing {
	uint64_t offset, len; /* of the message */
	uint64_t cell, cookie;
	size_t count;
	struct iovec iov[WIRE_GRANT_RANGES];
};

static void due(struct outbound *o)
{
	struct haul *h = o->peer->haul;
	o->push = PUSH_DUE;
	TAILQ_INSERT_TAIL(&h->pushes, o, push_entry);
	engine_due(&h->engine);
}

/* It is to be answered: so much was written, and why not more. The peer draws the same conclusion. */
static void tell(struct outbound *o, int error)
{
	struct haul_peer *p = o->peer;
	bool dead = p->conn.ended || (peer_link(p)->pidfd >= 0 && proc_dead(peer_link(p)->pidfd));
	if (is_about_the_peer(error) && !p->never_pushed && !dead) {
		p->never_pushed = true;
		info_changed(p);
	}
	free(o->landing);
	o->landing = NULL;
	o->push = PUSH_TELL;
	o->push_error = error;
	TAILQ_INSERT_TAIL(&p->pushed, o, push_entry);
	conn_kick(&p->conn);
}

/* Against the length alone, which stays known when the buffers have been given back. */
static bool read_landing(struct landing *to, const struct outbound *o, const struct wire_frame *f)
{
	*to = (struct landing){ .offset = f->grant.offset,
		.cell = f->grant.cell,
		.cookie = f->grant.cookie,
		.count = f->grant.range_count };
	if (to->count == 0 || to->cell % sizeof(uint64_t) != 0 || to->cookie == 0 || to->offset > o->bufs.len)
		return false;
	for (size_t i = 0; i < to->count; i++) {
		struct wire_range range = wire_range(f->grant.ranges, i);
		if (range.len == 0 || range.len > o->bufs.len - to->offset - to->len)
			return false;
		to->iov[i] =
		    (struct iovec){ .iov_base = (void *)(uintptr_t)range.addr, .iov_len = range.len };
		to->len += range.len;
	}
	return true;
}

bool push_granted(struct outbound *o, const struct wire_frame *f)
{
	struct landing at;
	if (!read_landing(&at, o, f) || !outbound_new_epoch(o, f->grant.epoch))
		return false;
	o->pushed = 0;
	if (o->state != OUT_OFFERED) { /* it will hear of the cancel, too */
		tell(o, ECANCELED);
		return true;
	}
	outbound_stop_streaming(o); /* a chunk that this cuts is of an earlier epoch, and goes nowhere */
	o->way = HAUL_PATH_PUSH;
	/* Who could not show that the pid is its own is not written to. Nor who can't be read any more, though it
	 * may have granted before it heard. */
	if (peer_link(o->peer)->in.error != 0) {
		tell(o, EPERM);
		return true;
	}
	if ((o->landing = malloc(sizeof(at))) == NULL) {
		tell(o, ENOMEM);
		return true;
	}
	*o->landing = at;
	due(o);
	return true;
}

void push_call_off(struct outbound *o)
{
	if (o->push != PUSH_DUE)
		return;
	TAILQ_REMOVE(&o->peer->haul->pushes, o, push_entry);
	tell(o, ECANCELED);
}

void push_forget(struct outbound *o)
{
	push_call_off(o);
	if (o->push == PUSH_TELL)
		TAILQ_REMOVE(&o->peer->pushed, o, push_entry);
	o->push = PUSH_NONE;
	free(o->landing);
	o->landing = NULL;
}

/* Whose memory it is has to be seen right before each write. */
static struct vm_result write_guarded(pid_t pid, const struct landing *at, struct iov_cursor *local,
    struct iov_cursor *remote, uint64_t len)
{
	struct vm_word cell = { .addr = at->cell };
	int error = vm_read_word(pid, &cell);
	if (error == ENOMEM) /* it may pass, and says nothing of the peer */
		return (struct vm_result){ .outcome = VM_NO_MEMORY, .error = ENOMEM };
	if (error != 0 || cell.value != at->cookie)
		return (struct vm_result){ .outcome = VM_NO_PROCESS, .error = ESRCH };
	return vm_write(pid, local, remote, len);
}

/* The next piece of it; returns its length, 0 if it was not written. */
static uint64_t push_piece(struct outbound *o)
{
	struct haul_peer *p = o->peer;
	struct engine *e = &p->haul->engine;
	const struct landing *at = o->landing;
	struct iov_cursor local, remote;
	pid_t pid = peer_link(p)->pid;
	uint64_t len = at->len - o->pushed < PIECE ? at->len - o->pushed : PIECE;
	iov_cursor_init(&local, o->bufs.iov, o->bufs.count, o->bufs.len);
	iov_cursor_advance(&local, at->offset + o->pushed);
	iov_cursor_init(&remote, at->iov, at->count, at->len);
	iov_cursor_advance(&remote, o->pushed);

	o->push = PUSHING;
	p->copying++;
	p->conn.writing++;
	engine_step_out(e);
	struct vm_result r = write_guarded(pid, at, &local, &remote, len);
	engine_step_in(e);
	p->copying--;

	stats_pushed(p, &r);
	o->pushed += r.moved;
	if (o->pushed < at->len && r.outcome == VM_MOVED && o->late == OUT_LATE_NOT &&
	    o->state == OUT_OFFERED)
		due(o);
	else
		tell(o, o->pushed == at->len ? 0 : r.outcome == VM_MOVED ? ECANCELED : r.error);
	outbound_catch_up(o);
	conn_wrote(&p->conn);
	peer_copied(p);
	return r.moved;
}

void push_round(struct haul *h)
{
	struct outbound *o;
	for (uint64_t done = 0; done < ROUND && (o = TAILQ_FIRST(&h->pushes)) != NULL;) {
		TAILQ_REMOVE(&h->pushes, o, push_entry);
		uint64_t len = push_piece(o);
		done += len > 0 ? len : ROUND;
	}
}
