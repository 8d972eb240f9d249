/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sends: from the public call to an outbound in its peer's queue.
 *
 *     haul_isend -> outbound, queued -> pump: choice of path, frame -> ... -> outbound_end
 *
 * Who ends a send that waits: the kernel taking the last byte (eager), the terminal frame, the caller's
 * timeout, or the peer's death or goodbye.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "msg/context.h"
#include "msg/outbound.h"
#include "msg/peer.h"
#include "msg/request.h"
#include "os/reason.h"

static int check_peer(struct haul_peer *p)
{
	if (p == NULL)
		return reason(-EINVAL, "no peer");
	int rc = context_check(p->haul);
	if (rc == 0 && p->error != 0)
		rc = reason(p->error, "%s", p->conn.link.words);
	else if (rc == 0 && p->bye_got)
		rc = reason(-EPIPE, "the peer said goodbye");
	return rc;
}

/* Queues an outbound; what is common to messages and flushes. */
static int start(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count,
    struct outbound **out)
{
	struct outbound *o = calloc(1, sizeof(*o));
	if (o == NULL)
		return reason(-ENOMEM, "no memory for a message");
	int rc = buffers_init(&o->bufs, iov, count);
	if (rc != 0)
		goto err_outbound;
	if (o->bufs.len > peer_link(p)->theirs.max_msg) {
		rc = reason(-EMSGSIZE, "the peer accepts no message longer than %llu bytes",
		    (unsigned long long)peer_link(p)->theirs.max_msg);
		goto err_buffers;
	}
	struct haul_req *r = request_new(p->haul, REQ_SEND);
	if (r == NULL) {
		rc = -ENOMEM;
		goto err_buffers;
	}
	o->peer = p;
	o->req = r;
	o->tag = tag;
	r->out = o;
	r->status = (struct haul_status){ .peer = p, .tag = tag, .len = o->bufs.len };
	TAILQ_INSERT_TAIL(&p->queued, o, entry);
	*out = o;
	return 0;

err_buffers:
	buffers_fini(&o->bufs);
err_outbound:
	free(o);
	return rc;
}

static int start_message(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count,
    unsigned flags, struct outbound **out)
{
	if ((flags & ~(unsigned)HAUL_SYNC) != 0)
		return reason(-EINVAL, "unknown flags 0x%x", flags & ~(unsigned)HAUL_SYNC);
	int rc = check_peer(p);
	if (rc == 0)
		rc = start(p, tag, iov, count, out);
	if (rc == 0)
		(*out)->sync = (flags & HAUL_SYNC) != 0;
	return rc;
}

int haul_isend(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count, unsigned flags,
    struct haul_req **out)
{
	struct outbound *o = NULL;
	if (out == NULL)
		return reason(-EINVAL, "no place for the request");
	int rc = start_message(p, tag, iov, count, flags, &o);
	if (rc != 0)
		return rc;
	*out = o->req;
	conn_kick(&p->conn); /* goes with whatever else is sent until the next progress or wait */
	return 0;
}

/*
 * The short way of a blocking standard send: nothing waits before it, it is short, the link takes it and the
 * kernel takes all of it. Then there was no need of a request. False: nothing was sent, go the long way.
 */
static bool send_at_once(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count)
{
	struct link *l = peer_link(p);
	uint64_t len;
	int64_t most = p->haul->options.eager_max;
	if (!TAILQ_EMPTY(&p->queued) || !TAILQ_EMPTY(&p->writing) || p->closing ||
	    l->tx.queued != l->tx.written)
		return false;
	if (!iov_total(iov, count, &len) || most < 0 || len > (uint64_t)most || len > l->theirs.max_msg)
		return false;
	if (!link_may_eager(l, len)) { /* more credit may have come, unread */
		conn_look(&p->conn);
		conn_pump(&p->conn);
		if (p->conn.ended || p->bye_got || !TAILQ_EMPTY(&p->queued) || !link_may_eager(l, len))
			return false;
	}
	struct wire_envelope e = { .tag = tag };
	struct iov_cursor payload;
	iov_cursor_init(&payload, iov, count, len);
	if (pump_eager(p, &e, &payload) != LINK_TAKEN)
		return false;
	link_flush(l);
	return true;
}

/* The kernel did not take all of it: wait until it has. The bytes are the library's own by now. */
static int wait_written(struct haul_peer *p, int timeout_ms)
{
	struct outbound *o = NULL;
	int rc = start(p, 0, NULL, 0, &o);
	if (rc != 0)
		return rc;
	o->mark = peer_link(p)->tx.queued;
	TAILQ_REMOVE(&p->queued, o, entry);
	outbound_move(o, OUT_WRITING);
	TAILQ_INSERT_TAIL(&p->writing, o, entry);
	struct haul_req *r = o->req;
	conn_pump(&p->conn);
	return request_run(r, timeout_ms, p, NULL);
}

int haul_sendv(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count, unsigned flags,
    int timeout_ms)
{
	struct outbound *o = NULL;
	int rc = context_check_timeout(timeout_ms);
	if (rc == 0)
		rc = check_peer(p);
	if (rc == 0 && flags == 0 && send_at_once(p, tag, iov, count)) {
		const struct link_tx *tx = &peer_link(p)->tx;
		return tx->written == tx->queued && !tx->dead ? 0 : wait_written(p, timeout_ms);
	}
	if (rc == 0)
		rc = start_message(p, tag, iov, count, flags, &o);
	if (rc != 0)
		return rc;
	o->only_eager = timeout_ms == 0;
	struct haul_req *r = o->req;
	conn_pump(&p->conn);
	return request_run(r, timeout_ms, p, NULL);
}

int haul_send(struct haul_peer *p, uint64_t tag, const void *buf, size_t len, int timeout_ms)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	return haul_sendv(p, tag, &iov, 1, 0, timeout_ms);
}

int haul_peer_flush(struct haul_peer *p, int timeout_ms)
{
	struct outbound *o = NULL;
	int rc = context_check_timeout(timeout_ms);
	if (rc == 0)
		rc = check_peer(p);
	if (rc == 0)
		rc = start(p, 0, NULL, 0, &o);
	if (rc != 0)
		return rc;
	o->flush = true;
	o->sync = true;
	struct haul_req *r = o->req;
	conn_pump(&p->conn);
	return request_run(r, timeout_ms, p, NULL);
}
