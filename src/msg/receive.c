/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receives and probes: from the public call to a posted request, and from a message to its completion.
 *
 *     haul_irecv -> match_post -> (inbound_start) ... receive_complete
 *
 * Who ends a receive that waits: a message, its own timeout, the death or goodbye of the peer it names, or,
 * if it names none, of the last one there was.
 */
#include "msg/receive.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>

#include "msg/context.h"
#include "msg/inbound.h"
#include "msg/peer.h"
#include "msg/stats.h"
#include "os/clock.h"
#include "os/reason.h"

/* ---- the life of a receive ---- */

void receive_name(struct haul_status *s, uint32_t channel, uint64_t tag)
{
	bool ranked = channel & WIRE_CHANNEL_GROUPS;
	s->tag = ranked ? (uint32_t)tag : tag;
	s->rank = ranked ? (int)(tag >> 32) : 0;
}

void receive_describe(struct haul_req *r, struct haul_peer *p, uint64_t tag, uint64_t len)
{
	r->status.peer = p;
	receive_name(&r->status, r->recv.posted.want.channel, tag);
	r->status.len = len;
	r->status.got = 0;
}

static void stalled(struct timer *t)
{
	struct haul_req *r = (struct haul_req *)((char *)t - offsetof(struct haul_req, timer));
	request_abort(r, -ETIMEDOUT);
}

void receive_headway(struct haul_req *r)
{
	if (!r->recv.impatient)
		return;
	request_dress(r);
	timer_set(&r->haul->engine.timers, &r->timer, clock_after_ms(r->haul->options.stall_ms), stalled);
}

void receive_complete(struct haul_req *r, uint64_t got, int error)
{
	r->status.got = got;
	if (error == 0 && got < r->status.len)
		error = reason(-EMSGSIZE, "the message is longer than the buffer");
	request_complete(r, error);
}

void receive_abort(struct haul_req *r, int error)
{
	if (r->recv.in != NULL) {
		inbound_stop(r->recv.in, error);
		return;
	}
	match_drop_recv(&r->haul->match, &r->recv.posted);
	receive_complete(r, 0, error);
}

/* Why no message that want fits can come any more; 0 if one can. */
static int hopeless(struct haul *h, const struct match_want *want)
{
	struct haul_peer *p;
	if (want->from != NULL) {
		const struct haul_peer *from = want->from;
		if (from->error != 0)
			return reason(from->error, "%s", from->conn.link.words);
		if (want->channel == 0)
			return 0;
	}
	if (want->channel != 0)
		return above_hopeless(h, want);
	if (!TAILQ_EMPTY(&h->listeners))
		return 0;
	TAILQ_FOREACH (p, &h->peers, entry)
		if (p->error == 0 && !p->reaping)
			return 0;
	return context_awaits_peers(h)
	    ? 0
	    : reason(-EPIPE, "there is neither a peer nor a listener to receive from");
}

void receive_hopeless(struct haul *h)
{
	struct match_recv *m, *next;
	TAILQ_FOREACH_SAFE (m, &h->match.recvs, entry, next) {
		int error = hopeless(h, &m->want); /* completing one runs nobody else's code */
		if (error != 0)
			receive_abort(receive_of(m), error);
	}
}

void receive_forget_peer(struct haul *h, struct haul_peer *p)
{
	struct match_recv *m, *next;
	TAILQ_FOREACH_SAFE (m, &h->match.recvs, entry, next)
		if (m->want.from == p)
			receive_abort(receive_of(m), -ECANCELED);
}

/* ---- starting ---- */

static int check_match(const struct haul *h, const struct haul_match *match)
{
	if (match != NULL && match->from != NULL && match->from->haul != h)
		return reason(-EINVAL, "the peer to receive from belongs to another context");
	return 0;
}

/* Field by field, where it is to stay: a struct that is copied when it was only just written has to wait
 * for that (10 ns of the 30 that it takes to post a receive). */
static void fill_want(struct match_want *want, const struct haul_match *match, uint32_t channel)
{
	want->channel = channel;
	want->from = match != NULL ? match->from : NULL;
	want->tag = match != NULL ? match->tag : 0;
	want->ignore = match != NULL ? match->ignore : UINT64_MAX;
}

/* Queues it, or gives it a message that is there. */
static void post(struct haul *h, struct haul_req *r, const struct haul_match *match)
{
	int rc;
	r->status.peer = match != NULL ? match->from : NULL;
	struct match_item *i = match_post(&h->match, &r->recv.posted);
	if (i != NULL) {
		struct inbound *in = (struct inbound *)((char *)i - offsetof(struct inbound, item));
		stats_unqueued(in->peer, in->len);
		inbound_start(in, r);
	} else if ((rc = hopeless(h, &r->recv.posted.want)) != 0) {
		receive_abort(r, rc);
	}
}

int receive_start(struct haul *h, const struct haul_match *match, uint32_t channel, const struct iovec *iov,
    size_t count, int timeout_ms, struct haul_req **out)
{
	int rc = check_match(h, match);
	if (rc != 0)
		return rc;
	struct haul_req *r = request_new(h, REQ_RECV);
	if (r == NULL)
		return request_refusal(h);
	if ((rc = buffers_init(&r->recv.into, iov, count)) != 0) {
		request_free(r);
		return rc;
	}
	fill_want(&r->recv.posted.want, match, channel);
	r->recv.impatient = timeout_ms == 0;
	r->recv.limited = timeout_ms >= 0;
	*out = r;
	post(h, r, match);
	return 0;
}

int receive_post_take(struct haul *h, const struct haul_match *match, uint32_t channel, struct haul_req **out)
{
	int rc = check_match(h, match);
	if (rc != 0)
		return rc;
	struct haul_req *r = request_new(h, REQ_TAKE);
	if (r == NULL)
		return request_refusal(h);
	fill_want(&r->recv.posted.want, match, channel);
	*out = r;
	post(h, r, match);
	return 0;
}

/* ---- public ---- */

int haul_irecv(struct haul *h, const struct haul_match *match, const struct iovec *iov, size_t count,
    struct haul_req **out)
{
	int rc = context_enter(h);
	if (rc != 0)
		return rc;
	rc = out == NULL ? reason(-EINVAL, "no place for the request")
	                 : receive_start(h, match, 0, iov, count, -1, out);
	return context_leave(h, rc);
}

static ssize_t fail(struct haul_status *status, int error)
{
	if (status != NULL)
		*status = (struct haul_status){ .error = error };
	return error;
}

ssize_t haul_recvv(struct haul *h, const struct haul_match *match, const struct iovec *iov, size_t count,
    int timeout_ms, struct haul_status *status)
{
	struct haul_req *r;
	struct haul_status own;
	int rc = context_enter_wait(h, timeout_ms);
	if (rc != 0)
		return fail(status, rc);
	if ((rc = receive_start(h, match, 0, iov, count, timeout_ms, &r)) != 0)
		return fail(status, context_leave(h, rc));
	if (status == NULL)
		status = &own;
	rc = request_run(r, timeout_ms, match != NULL ? match->from : NULL, status);
	context_leave(h, rc);
	return rc != 0 ? rc : (ssize_t)status->got;
}

ssize_t haul_recv(struct haul *h, const struct haul_match *match, void *buf, size_t len, int timeout_ms,
    struct haul_status *status)
{
	if (buf == NULL && len > 0)
		return fail(status, reason(-EINVAL, "no buffer, but a length of %zu", len));
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	return haul_recvv(h, match, &iov, 1, timeout_ms, status);
}

struct probe {
	struct haul *haul;
	struct match_want want;
	struct haul_status status; /* of the message, once there is one */
	int error;
};

static bool probe_done(void *arg)
{
	struct probe *p = arg;
	const struct match_item *i = match_find(&p->haul->match, &p->want);
	if (i == NULL) {
		p->error = hopeless(p->haul, &p->want);
		return p->error != 0;
	}
	const struct inbound *in = (const struct inbound *)((const char *)i - offsetof(struct inbound, item));
	p->status = (struct haul_status){ .peer = in->peer,
		.len = in->len,
		.flags = in->call ? HAUL_STATUS_CALL : 0 };
	receive_name(&p->status, p->want.channel, i->tag);
	return true;
}

static int probe(struct probe *p, const struct haul_match *match, uint32_t channel, int timeout_ms)
{
	struct engine *e = &p->haul->engine;
	int rc = check_match(p->haul, match);
	if (rc != 0)
		return rc;
	fill_want(&p->want, match, channel);
	if (probe_done(p))
		return 0;
	if (timeout_ms != 0)
		return engine_wait(e, probe_done, p, clock_after_ms(timeout_ms),
		    p->want.from != NULL ? &match->from->conn : NULL);
	rc = engine_progress(e);
	return rc < 0 ? rc : probe_done(p) ? 0 : reason(-EAGAIN, "no such message is there");
}

int receive_probe(struct haul *h, const struct haul_match *match, uint32_t channel, int timeout_ms,
    struct haul_status *status)
{
	struct probe p = { .haul = h };
	int rc = probe(&p, match, channel, timeout_ms);
	if (rc == 0)
		rc = p.error;
	if (rc != 0)
		return (int)fail(status, rc);
	*status = p.status;
	return 0;
}

int haul_probe(struct haul *h, const struct haul_match *match, int timeout_ms, struct haul_status *status)
{
	if (status == NULL)
		return reason(-EINVAL, "no place for the status");
	int rc = context_enter_wait(h, timeout_ms);
	if (rc != 0)
		return (int)fail(status, rc);
	return context_leave(h, receive_probe(h, match, 0, timeout_ms, status));
}
