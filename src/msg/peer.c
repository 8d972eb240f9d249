/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Peers: their life from the first byte of the handshake to the last request that ends with them. connect.c and
 * listener.c tell how they come, close.c how they go, info.c what is known of them.
 */
#include "msg/peer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "msg/context.h"
#include "msg/info.h"
#include "msg/listener.h"
#include "msg/receive.h"
#include "msg/request.h"
#include "msg/taken.h"
#include "os/proc.h"
#include "os/reason.h"
#include "os/trace.h"
#include "os/vm.h"

/* ---- making and freeing ---- */

static struct haul_peer *allocate(struct haul *h)
{
	struct haul_peer *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->haul = h;
	ids_init(&p->out_ids);
	ids_init(&p->in_ids);
	TAILQ_INIT(&p->queued);
	TAILQ_INIT(&p->writing);
	TAILQ_INIT(&p->streaming);
	TAILQ_INIT(&p->notices);
	TAILQ_INIT(&p->pushed);
	TAILQ_INIT(&p->assisted);
	TAILQ_INIT(&p->fetched);
	TAILQ_INIT(&p->fetches);
	TAILQ_INIT(&p->unfinished);
	TAILQ_INIT(&p->answers);
	TAILQ_INIT(&p->asks);
	TAILQ_INIT(&p->watches);
	return p;
}

int peer_new(struct haul *h, int fd, uint64_t deadline, struct haul_req *req, struct haul_listener *listener,
    struct haul_peer **out)
{
	struct haul_peer *p = allocate(h);
	if (p == NULL)
		return reason(-ENOMEM, "no memory for a peer");
	int rc = conn_init(&p->conn, &h->engine, &peer_ops, fd, deadline);
	if (rc != 0) {
		free(p);
		return rc;
	}
	p->req = req;
	p->listener = listener;
	TAILQ_INSERT_TAIL(&h->peers, p, entry);
	*out = p;
	return 0;
}

int peer_new_self(struct haul *h, struct haul_peer **out)
{
	struct haul_peer *p = allocate(h);
	if (p == NULL)
		return reason(-ENOMEM, "no memory for a peer");
	int rc = conn_init_self(&p->conn, &h->engine, &peer_ops);
	if (rc != 0) {
		free(p);
		return rc;
	}
	p->self = p->up = true;
	TAILQ_INSERT_TAIL(&h->peers, p, entry);
	*out = p;
	return 0;
}

void peer_move_queued(struct haul_peer *from, struct haul_peer *to)
{
	struct outbound *o, *next;
	TAILQ_FOREACH_SAFE (o, &from->queued, entry, next) {
		if (o->leads || o->answers != NULL) /* a reply ends with the call */
			continue;
		TAILQ_REMOVE(&from->queued, o, entry);
		TAILQ_INSERT_TAIL(&to->queued, o, entry);
		o->peer = to;
		if (o->req != NULL)
			o->req->status.peer = to;
	}
	if (to->conn.ended || to->bye_got) /* what else was queued there has ended already */
		peer_fail_sends(to, to->conn.ended ? to->error : -EPIPE);
	conn_kick(&to->conn);
}

/* Every send of ours ends with error; their ids stay until the conn does. */
void peer_fail_sends(struct haul_peer *p, int error)
{
	struct outbound *o;
	uint32_t at = 0;
	while ((o = TAILQ_FIRST(&p->queued)) != NULL)
		outbound_end(o, error);
	while ((o = ids_next(&p->out_ids, &at)) != NULL)
		if (o->state != OUT_WITHDRAWN)
			outbound_withdraw(o, o->state == OUT_CANCELING ? o->cancel_error : error);
}

/* Whatever is under way with the peer ends, and is forgotten. */
static void end_all(struct haul_peer *p, int error)
{
	struct outbound *o;
	struct inbound *in, *next;
	uint32_t at = 0;
	peer_fail_sends(p, error);
	for (struct haul_req *r; (r = TAILQ_FIRST(&p->writing)) != NULL;) {
		TAILQ_REMOVE(&p->writing, r, send.writing);
		request_complete(r, error);
	}
	while ((o = ids_next(&p->out_ids, &at)) != NULL)
		outbound_end(o, error);
	TAILQ_FOREACH_SAFE (in, &p->unfinished, entry, next) {
		bool outlives = in->eager && !in->call; /* nobody waits for a reply any more */
		if (in->state == IN_MOVING || (in->state == IN_TAKEN && !outlives))
			inbound_refuse(in,
			    error); /* frees it: the conn has ended. Or, if it is being copied, soon */
		else if (in->state == IN_ANSWERING || (in->state == IN_WAITING && !outlives))
			inbound_free(in);
	}
}

static void end_watches(struct haul_peer *p, int error)
{
	struct haul_req *r;
	while ((r = TAILQ_FIRST(&p->watches)) != NULL)
		peer_watch_abort(r, error);
}

void peer_watch_abort(struct haul_req *r, int error)
{
	TAILQ_REMOVE(&r->status.peer->watches, r, watching);
	request_complete(r, error);
}

void peer_forget_copies(struct haul_peer *p)
{
	struct inbound *in;
	struct outbound *o;
	uint32_t at = 0;
	p->copying = p->conn.writing = p->conn.granted = 0;
	TAILQ_FOREACH (in, &p->unfinished, entry)
		in->busy = in->granted = false;
	while ((o = ids_next(&p->out_ids, &at)) != NULL) {
		if (o->push == PUSHING) /* in no list */
			o->push = PUSH_NONE;
		if (o->assist == ASSISTING)
			o->assist = ASSIST_NONE;
	}
}

void peer_free(struct haul_peer *p)
{
	struct haul *h = p->haul;
	struct inbound *in;
	p->conn.ended = true;
	if (engine_stale(&h->engine)) {
		p->conn.socket.slot = p->conn.exit.slot = 0; /* the set is the parent's */
		peer_forget_copies(p);
	}
	assert(p->copying == 0);
	end_all(p, -ECANCELED);
	while ((in = TAILQ_FIRST(&p->unfinished)) != NULL)
		inbound_drop(in, -ECANCELED);
	TAILQ_REMOVE(&h->peers, p, entry);
	if (p->reaping)
		TAILQ_REMOVE(&h->unowned, p, reap);
	if (p->listener != NULL)
		listener_lost(p->listener, p);
	receive_forget_peer(h, p);
	end_watches(p, -ECANCELED);
	request_forget_peer(h, p);
	taken_forget_peer(h, p);
	above_forget(h, p);
	worker_forget_peer(p->worker);
	if (p->keep_fd)
		p->conn.link.fd = -1;
	conn_fini(&p->conn);
	ids_fini(&p->out_ids);
	ids_fini(&p->in_ids);
	free(p);
}

/* No callback may free a peer. Those that no caller has a handle of are freed at the next round. */
void peer_disown(struct haul_peer *p)
{
	if (p->reaping)
		return;
	p->reaping = true;
	TAILQ_INSERT_TAIL(&p->haul->unowned, p, reap);
}

void peer_reap(struct haul *h)
{
	struct haul_peer *p, *next;
	bool any = false;
	TAILQ_FOREACH_SAFE (p, &h->unowned, reap, next) {
		if (p->copying > 0)
			continue;
		peer_free(p);
		any = true;
	}
	if (any)
		receive_hopeless(h); /* it may have been the last from whom something could come */
}

int peer_enter(struct haul_peer *p)
{
	return p != NULL ? context_enter(p->haul) : reason(-EINVAL, "no peer");
}

void peer_release_eager(struct haul_peer *p, size_t len)
{
	link_release_eager(peer_link(p), len);
	if (credit_in_due(&peer_link(p)->in_bytes))
		conn_kick(&p->conn);
}

void peer_release_desc(struct haul_peer *p)
{
	link_release_desc(peer_link(p));
	if (credit_in_due(&peer_link(p)->in_descs))
		conn_kick(&p->conn);
}

/* A zombie is no process, nor is one whose main thread has left; only the pidfd tells them apart. */
bool peer_refused(struct haul_peer *p, const struct vm_result *r)
{
	struct link *l = peer_link(p);
	char words[LINK_WORDS];
	if (r->outcome == VM_NO_PROCESS && l->pidfd >= 0 && proc_dead(l->pidfd)) {
		conn_gone(&p->conn);
		return false;
	}
	if (l->in.error != 0)
		return true;
	vm_read_words(words, sizeof(words), l->pid, r);
	link_demote(l, r->error, words);
	conn_kick(&p->conn);
	TRACE_PATH_CHANGE(l->pid, r->error);
	info_changed(p);
	return true;
}

void peer_violation(struct haul_peer *p, const char *words)
{
	conn_fail(&p->conn, -EPROTO, words);
}

/* ---- what the conn reports ---- */

static void peer_up(struct conn *c)
{
	struct haul_peer *p = peer_of(c);
	p->up = true;
	info_up(p);
	conn_kick(c); /* what was to be sent to it meanwhile */
	if (p->listener != NULL)
		listener_ready(p->listener, p);
	if (p->req != NULL) {
		struct haul_req *r = p->req;
		p->req = NULL;
		p->keep_fd = false;
		r->peer.peer = NULL;
		r->status.peer = p;
		request_complete(r, 0);
	}
}

static void peer_down(struct conn *c)
{
	struct haul_peer *p = peer_of(c);
	struct haul *h = p->haul;
	p->error = p->bye_got && c->link.error == -ECONNRESET ? -EPIPE : c->link.error;
	reason(p->error, "%s", c->link.words);
	info_down(p);
	end_all(p, p->error);
	if (c->gone) /* after it: nothing that this ends is given back to its place, and to another receive */
		inbound_peer_gone(p);
	if (!p->up) /* nobody has, or will get, a handle of it; one that left before it was accepted is still accepted */
		peer_disown(p);
	if (p->req != NULL) {
		struct haul_req *r = p->req;
		p->req = NULL;
		r->peer.peer = NULL;
		snprintf(r->peer.words, sizeof(r->peer.words), "%s", c->link.words);
		request_complete(r, p->error);
	}
	receive_hopeless(h);
	peer_copied(p);
	engine_news(&h->engine);
}

/* It was down already, but might have been writing. */
static void peer_gone(struct conn *c)
{
	struct haul_peer *p = peer_of(c);
	inbound_peer_gone(p);
	peer_copied(p);
}

/* Watches are the last of all that ends with the conn. */
void peer_copied(struct haul_peer *p)
{
	if (p->copying == 0 && p->conn.ended)
		end_watches(p, p->error == -EPIPE ? 0 : p->error);
}

static void peer_demoted(struct conn *c)
{
	info_changed(peer_of(c));
}

static void payload_end(struct conn *c)
{
	stream_payload_end(peer_of(c));
}

static void payload_fault(struct conn *c)
{
	stream_payload_fault(peer_of(c));
}

const struct conn_ops peer_ops = {
	.up = peer_up,
	.demoted = peer_demoted,
	.frame = dispatch_frame,
	.payload_end = payload_end,
	.payload_fault = payload_fault,
	.pump = pump_peer,
	.flushed = pump_flushed,
	.down = peer_down,
	.gone = peer_gone,
};

/* ---- knowing ---- */

void haul_peer_set_user(struct haul_peer *p, void *user)
{
	if (p != NULL)
		atomic_store(&p->user, user);
}

void *haul_peer_user(const struct haul_peer *p)
{
	return p != NULL ? atomic_load(&((struct haul_peer *)p)->user) : NULL;
}

int peer_watch_start(struct haul_peer *p, struct haul_req **out)
{
	struct haul_req *r = request_new(p->haul, REQ_WATCH);
	if (r == NULL)
		return request_refusal(p->haul);
	r->status.peer = p;
	*out = r;
	TAILQ_INSERT_TAIL(&p->watches, r, watching);
	peer_copied(p); /* at once if it has ended already */
	return 0;
}

int haul_peer_watch(struct haul_peer *p, struct haul_req **out)
{
	int rc = peer_enter(p);
	if (rc != 0)
		return rc;
	struct haul *h = p->haul;
	rc = out == NULL ? reason(-EINVAL, "no place for the request") : peer_watch_start(p, out);
	return context_leave(h, rc);
}

/* The floor above follows it, for a stream, a region, a collective: no caller has ever had it. */
static bool is_anothers(const struct haul_req *r)
{
	uint32_t channel = r->kind == REQ_SEND ? r->send.channel : r->recv.posted.want.channel;
	bool held = !r->detached && (r->plain || r->owner == NULL);
	return channel > WIRE_CHANNEL_REPLIES && !held;
}

/* A send to it, or a receive that names it; not one that was merely given a message of it. */
static bool is_about(const struct haul_req *r, const struct haul_peer *p)
{
	if (r->kind == REQ_SEND)
		return r->status.peer == p;
	return (r->kind == REQ_RECV || r->kind == REQ_TAKE) && r->recv.posted.want.from == p;
}

int haul_peer_cancel(struct haul_peer *p)
{
	struct haul_req *r, *next;
	int rc = peer_enter(p), asked = 0;
	if (rc != 0)
		return rc;
	struct haul *h = p->haul;
	TAILQ_FOREACH_SAFE (r, &h->requests, entry, next) {
		if (r->complete || !is_about(r, p) || is_anothers(r))
			continue;
		request_cancel(r);
		asked++;
	}
	return context_leave(h, asked);
}
