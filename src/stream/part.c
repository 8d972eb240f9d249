/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes of a stream that came as a message: DATA, FIN. One is in hand at a time, and read in parts; the next is heard
 * when that is done. Who can't wait has it fetched ahead, into the stage.
 */
#include <errno.h>

#include "msg/taken.h"
#include "os/reason.h"
#include "stream/in.h"

/* A FIN says from where on it has the bytes; some may have been pulled since its writer heard of that. DATA is sent only to
 * who has asked for it, and does not pull any more. */
void part_got(struct haul_stream *s, struct haul_msg *m)
{
	struct stream_in *in = &s->in;
	bool fin = (m->tag & STREAM_FIN) == STREAM_FIN;
	in->news = true;
	if ((m->tag & STREAM_CUT) == STREAM_CUT) {
		taken_finish(m, 0);
		in_fail(s, -EPIPE);
		return;
	}
	in->part = m;
	in->part_from = fin && m->len > 0 ? m->tag & STREAM_VALUE : in->at;
	bool belongs = fin || !in->pulling;
	if (fin)
		in->pulling = false;
	if (!belongs || in->at < in->part_from || in->at - in->part_from > m->len)
		stream_fail(s, -EPROTO);
	else
		in->fin = fin;
}

/* A pull that was under way when it came may have brought more than it has. */
uint64_t part_left(const struct stream_in *in)
{
	uint64_t had = in->at - in->part_from;
	return had < in->part->len ? in->part->len - had : 0;
}

/* Its writer may wait for it to be done, and the reader not come back for long. */
void part_end(struct haul_stream *s)
{
	struct stream_in *in = &s->in;
	struct conn *c = stream_conn(s);
	taken_finish(in->part, 0);
	in->part = NULL;
	if (c != NULL && c->kicked)
		conn_pump(c);
	if (!in->fin)
		stream_hear(&s->bytes);
}

/* Who reads does it itself. */
void part_go_on(struct haul_stream *s)
{
	const struct stream_in *in = &s->in;
	bool idle = !in->busy && in->ahead.req == NULL && in->error == 0;
	if (in->part != NULL && idle && part_left(in) == 0)
		part_end(s);
}

/* What its writer took back, one that goes on living. */
static int why_lost(const struct haul_stream *s, int error)
{
	return error == -ECANCELED && s->peer != NULL ? -EPIPE : error;
}

ssize_t part_read(struct haul_stream *s, struct iov_cursor *to, size_t len, int timeout_ms)
{
	enum { FEW = 64 };
	struct stream_in *in = &s->in;
	struct haul_req *r;
	struct haul_status status;
	struct iovec iov[FEW];
	uint64_t asked;
	size_t count = iov_cursor_window(to, iov, FEW, len, &asked);
	int rc = taken_read_start(in->part, in->at - in->part_from, iov, count, timeout_ms, &r);
	if (rc == 0)
		rc = request_run(r, timeout_ms, s->peer, &status);
	if (rc != 0) {
		if (in->part->error == 0)
			return rc;
		in_fail(s, why_lost(s, rc)); /* it is gone, and what is behind it of no use */
		return reason(in->error, "the stream's writer took back what it was writing, or is gone");
	}
	in->at += status.got;
	iov_cursor_advance(to, status.got);
	if (part_left(in) == 0)
		part_end(s);
	return (ssize_t)status.got;
}

static void ahead_over(struct req_owner *o, struct haul_req *r)
{
	struct stream_move *ahead = (struct stream_move *)((char *)o - offsetof(struct stream_move, owner));
	struct haul_stream *s = ahead->stream;
	struct stream_in *in = &s->in;
	ahead->req = NULL;
	in->news = true;
	stream_due(s);
	if (r->status.error != 0) {
		in_fail(s, why_lost(s, r->status.error));
		return;
	}
	in->stage_at = 0;
	in->stage_end = r->status.got;
	in->at += r->status.got;
}

/* The message's bytes are to come to the stage while nobody waits for them. */
int part_fetch(struct haul_stream *s)
{
	struct stream_in *in = &s->in;
	struct haul_req *r;
	if (in->ahead.req != NULL)
		return 0;
	if (in_stage(in) == NULL)
		return reason(-ENOMEM, "no memory to read ahead");
	struct iovec room = { in->stage, STAGE };
	int rc = taken_read_start(in->part, in->at - in->part_from, &room, 1, -1, &r);
	if (rc != 0)
		return rc;
	in->ahead.owner.completed = ahead_over;
	in->ahead.stream = s;
	in->ahead.req = r;
	request_follow(r, &in->ahead.owner);
	return 0;
}
