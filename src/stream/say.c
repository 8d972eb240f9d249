/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one end of a stream says to the other. What is to be said is a mark, and what is true when it is said goes into
 * the message; so nothing is lost where memory is lacking, but tried again 2 ms later.
 */
#include <errno.h>

#include "msg/send.h"
#include "stream/stream.h"

enum { AT_A_TIME = 16 };

static uint64_t value(const struct haul_stream *s, unsigned kind)
{
	switch (kind) {
	case STREAM_RING:
		return (uintptr_t)s->out.ring.words;
	case STREAM_COOKIE:
		return s->out.ring.cookie;
	case STREAM_MORE:
		return s->out.ring.tail;
	case STREAM_ASK:
	case STREAM_ROOM:
	case STREAM_SLEEP:
		return s->in.at;
	default:
		return 0;
	}
}

static int tell(struct haul_stream *s, unsigned kind)
{
	struct haul_req *r;
	uint64_t tag = (uint64_t)kind << STREAM_KIND_AT | (value(s, kind) & STREAM_VALUE);
	int rc = send_start(s->peer, tag, stream_channel(s), NULL, 0, 0, &r);
	if (rc != 0)
		return rc;
	s->saying++;
	request_follow(r, &s->said);
	return 0;
}

static void said(struct req_owner *o, struct haul_req *r)
{
	struct haul_stream *s = (struct haul_stream *)((char *)o - offsetof(struct haul_stream, said));
	(void)r;
	s->saying--;
	if (s->owed != 0 || s->closed)
		stream_due(s);
}

void say_init(struct haul_stream *s)
{
	s->said.completed = said;
}

/* Something may be owed yet, for which memory was lacking, or the other side's ear. */
bool say_is_over(const struct haul_stream *s)
{
	return s->saying == 0 && (s->owed == 0 || stream_conn(s) == NULL);
}

/* At once, whoever's turn it is: the other side may be asleep, and this one about to compute. */
void say_all(struct haul_stream *s)
{
	struct conn *c = stream_conn(s);
	if (c == NULL || s->owed == 0)
		return;
	for (unsigned kind = 1; kind < STREAM_KINDS && s->saying < AT_A_TIME; kind++) {
		if ((s->owed & 1U << kind) == 0)
			continue;
		int rc = tell(s, kind);
		if (rc == -ENOMEM) {
			stream_retry(s);
			return;
		}
		if (rc != 0) { /* it is leaving, and hears nothing any more */
			s->owed = 0;
			return;
		}
		s->owed &= ~(1U << kind);
		if (kind == STREAM_ROOM)
			s->in.told = s->in.at;
	}
	conn_pump(c);
}

void say(struct haul_stream *s, enum stream_kind kind)
{
	s->owed |= 1U << kind;
	say_all(s);
}

static void over(struct req_owner *o, struct haul_req *r)
{
	struct stream_move *what = (struct stream_move *)((char *)o - offsetof(struct stream_move, owner));
	struct haul_stream *s = what->stream;
	what->req = NULL;
	if (r->status.error != 0 && s->out.error == 0)
		s->out.error = r->status.error;
	stream_due(s);
}

int say_bytes(struct haul_stream *s, uint64_t tag, const struct iovec *iov, size_t count,
    struct stream_move *what)
{
	struct haul_req *r;
	int rc = send_start(s->peer, tag, stream_channel(s), iov, count, 0, &r);
	if (rc == -ENOMEM)
		stream_retry(s);
	if (rc != 0)
		return rc;
	what->owner.completed = over;
	what->stream = s;
	what->req = r;
	request_follow(r, &what->owner);
	if (what->req != NULL)
		conn_pump(&s->peer->conn);
	return 0;
}
