/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing to a stream. See stream.h.
 *
 *     haul_stream_write -> ring_put -> (the reader pulls)
 *                                   -> asked: DATA, one message at a time, of what is there by then
 *     haul_stream_shutdown, _close -> FIN, with what the reader has not taken
 *
 * A write takes no system call, as long as there is room and the reader is awake; now and then it looks at the socket,
 * lest it should not hear that nobody reads any more.
 */
#include <errno.h>

#include <bsd/stdlib.h>

#include "msg/send.h"
#include "os/clock.h"
#include "os/reason.h"
#include "stream/stream.h"

enum {
	BUFFER = 1 << 20,
	LEAST = 8 << 10,       /* of a ring: room for 4 KiB has to be told of, which is by quarters */
	PART = 64 << 10,       /* bytes that are copied before others may have the lock */
	LOOK_EVERY = 64 << 10, /* bytes written between two looks at the socket, */
	CALL = 192,            /* of which a write counts so many for itself */
	MESSAGE = 256 << 10,   /* bytes of a DATA, which takes them from the ring */
};

void out_init(struct haul_stream *s, const struct haul_stream_options *o)
{
	s->out.direct = o->direct != 0;
	s->out.size = BUFFER;
	if (o->buffer != 0)
		for (s->out.size = 16 << 10; s->out.size < o->buffer;)
			s->out.size *= 2;
}

void out_fini(struct haul_stream *s)
{
	ring_fini(&s->out.ring);
}

/* ---- FIN, and what the reader asked for ---- */

static void send_fin(struct haul_stream *s)
{
	struct stream_out *out = &s->out;
	struct iovec spans[2];
	uint64_t from = out->asked ? out->sent : out->ring.head;
	size_t count = ring_spans(&out->ring, from, out->ring.tail, spans);
	int rc = say_bytes(s, STREAM_FIN | (from & STREAM_VALUE), spans, count, &out->last);
	if (rc != -ENOMEM) /* else it is tried again */
		out->fin = true;
	if (rc != 0 && rc != -ENOMEM && out->error == 0)
		out->error = rc;
}

/* In the place of FIN, which will not come: what was written before is not all. */
static void send_cut(struct haul_stream *s)
{
	if (say_bytes(s, STREAM_CUT, NULL, 0, &s->out.last) != -ENOMEM)
		s->out.fin = true;
}

static void send_asked(struct haul_stream *s)
{
	struct stream_out *out = &s->out;
	while (out->data.req == NULL && out->sent < out->ring.tail && out->error == 0) {
		uint64_t left = out->ring.tail - out->sent;
		struct iovec spans[2];
		out->ring.head = out->sent; /* what the message before this one had is done */
		out->data.len = left < MESSAGE ? (size_t)left : MESSAGE;
		size_t count = ring_spans(&out->ring, out->sent, out->sent + out->data.len, spans);
		int rc = say_bytes(s, STREAM_DATA, spans, count, &out->data);
		if (rc != 0) {
			if (rc != -ENOMEM)
				out->error = rc;
			return;
		}
		out->sent += out->data.len;
	}
	if (out->data.req == NULL)
		out->ring.head = out->sent;
}

void out_go_on(struct haul_stream *s)
{
	struct stream_out *out = &s->out;
	if (stream_conn(s) == NULL || out->fin)
		return;
	if (out->asked)
		send_asked(s);
	if (out->shut && !out->fin && out->error == 0)
		send_fin(s);
	if (out->error == -EIO)
		send_cut(s);
}

void out_shut(struct haul_stream *s)
{
	s->out.shut = true;
	out_go_on(s);
}

bool out_is_over(const struct haul_stream *s)
{
	const struct stream_out *out = &s->out;
	bool said = out->fin || (out->error != 0 && out->error != -EIO) || stream_conn(s) == NULL;
	return said && out->data.req == NULL && out->last.req == NULL;
}

/* The reader says where it is; what it can't know it must not say. */
static bool is_position(const struct stream_out *out, uint64_t at)
{
	return at - out->ring.head <= out->ring.tail - out->ring.head;
}

void out_room(struct haul_stream *s, uint64_t at)
{
	struct stream_out *out = &s->out;
	if (out->asked)
		return; /* it was said before */
	if (is_position(out, at))
		out->ring.head = at;
	else
		stream_fail(s, -EPROTO);
}

void out_asked(struct haul_stream *s, uint64_t at)
{
	struct stream_out *out = &s->out;
	if (out->fin || out->asked) /* FIN has all */
		return;
	if (!is_position(out, at)) {
		stream_fail(s, -EPROTO);
		return;
	}
	out->asked = true;
	out->ring.head = out->sent = at;
	out_go_on(s);
}

/* ---- writing ---- */

/* Why nothing can be written; 0: it can. */
static int refusal(const struct haul_stream *s)
{
	const struct stream_out *out = &s->out;
	if (out->shut)
		return reason(-EPIPE, "this end of the stream was shut down");
	if (out->error == -EPIPE)
		return reason(-EPIPE, "the other end of the stream is closed");
	if (out->error == -EIO)
		return reason(-EIO, "an earlier write was cut off");
	if (out->error != 0)
		return reason(out->error, "the stream was cut off");
	if (s->peer == NULL)
		return reason(-ECANCELED, "the stream's peer was closed");
	if (s->peer->error != 0)
		return reason(s->peer->error, "%s", s->peer->conn.link.words);
	return s->peer->bye_got || s->peer->closing ? reason(-EPIPE, "the connection is being closed") : 0;
}

/* All that is in it may have to go as one message, the last. */
static int fit_ring(struct haul_stream *s)
{
	uint64_t most = peer_link(s->peer)->theirs.max_msg;
	while (s->out.size > most)
		s->out.size /= 2;
	return s->out.size >= LEAST ? 0 : pump_check_len(s->peer, LEAST);
}

static int open_ring(struct haul_stream *s)
{
	uint64_t cookie;
	if (s->out.ring.words != NULL)
		return 0;
	int rc = fit_ring(s);
	if (rc != 0)
		return rc;
	do
		arc4random_buf(&cookie, sizeof(cookie));
	while ((cookie &= STREAM_VALUE) == 0);
	if (ring_init(&s->out.ring, s->out.size, cookie) != 0)
		return reason(-ENOMEM, "no memory for a stream's buffer");
	s->out.asked =
	    peer_link(s->peer)->out.error != 0; /* it would say so, and this program be elsewhere then */
	if (!s->out.asked)
		s->owed |= 1U << STREAM_RING | 1U << STREAM_COOKIE;
	say_all(s);
	return 0;
}

/* The reader may have said something. */
static void look_now_and_then(struct haul_stream *s, uint64_t len)
{
	struct stream_out *out = &s->out;
	out->since += len < LOOK_EVERY ? (unsigned)len + CALL : LOOK_EVERY;
	bool heeds = !out->attentive && (out->trusting || out->asked || out->direct);
	if (heeds && out->since < LOOK_EVERY)
		return;
	out->since = 0;
	engine_progress(&s->haul->engine);
}

/* Something is there for the reader. */
static void announce(struct haul_stream *s, size_t len)
{
	struct stream_out *out = &s->out;
	unsigned heard = ring_heard(&out->ring);
	if (heard & RING_BELL_CLOSED)
		out->error = out->error != 0 ? out->error : -EPIPE;
	if (heard & RING_BELL_ARMED)
		out->trusting = true;
	if (out->asked)
		out_go_on(s);
	else if (heard & RING_BELL_ARMED)
		say(s, STREAM_MORE);
	look_now_and_then(s, len);
}

static bool has_room(void *arg)
{
	const struct haul_stream *s = arg;
	const struct stream_out *out = &s->out;
	bool is_so = ring_room(&out->ring) >= HAUL_STREAM_ATOMIC || out->error != 0 || out->shut;
	return is_so || s->peer == NULL || s->peer->error != 0 || s->peer->bye_got || s->peer->closing;
}

/* Until there is room for any short write. */
static int wait_for_room(struct haul_stream *s, int timeout_ms, uint64_t until)
{
	struct engine *e = &s->haul->engine;
	int rc = engine_progress(e);
	if (rc < 0 || has_room(s))
		return rc < 0 ? rc : 0;
	if (timeout_ms == 0)
		return reason(-EAGAIN, "the stream is full");
	rc = engine_wait(e, has_room, s, until, stream_conn(s));
	return rc == -EBADF ? reason(-ECANCELED, "the context was closed") : rc;
}

static int let_others(struct haul_stream *s)
{
	struct engine *e = &s->haul->engine;
	engine_let(e);
	return e->quitting ? reason(-ECANCELED, "the context was closed") : 0;
}

static ssize_t write_buffered(struct haul_stream *s, struct iov_cursor *from, int timeout_ms)
{
	struct stream_out *out = &s->out;
	uint64_t all = from->left, until = timeout_ms > 0 ? clock_after_ms(timeout_ms) : CLOCK_NEVER;
	size_t whole = all <= HAUL_STREAM_ATOMIC ? (size_t)all : 1;
	int rc = refusal(s);
	if (rc == 0)
		rc = open_ring(s);
	while (rc == 0 && from->left > 0 && (rc = refusal(s)) == 0) {
		size_t room = ring_room(&out->ring), n = from->left < PART ? (size_t)from->left : PART;
		if (room < whole) {
			rc = wait_for_room(s, timeout_ms, until);
			continue;
		}
		n = n < room ? n : room;
		ring_put(&out->ring, from, n);
		announce(s, n);
		if (from->left > 0)
			rc = let_others(s);
	}
	return from->left < all ? (ssize_t)(all - from->left) : rc;
}

static ssize_t write_direct(struct haul_stream *s, const struct iovec *iov, size_t count, uint64_t len,
    int timeout_ms)
{
	int rc = refusal(s);
	if (rc != 0)
		return rc;
	if (pump_is_short(s->peer, len)) /* else the reader's answer is waited for */
		look_now_and_then(s, len);
	if ((rc = refusal(s)) != 0)
		return rc;
	rc = send_blocking(s->peer, STREAM_DATA, stream_channel(s), iov, count, 0, timeout_ms);
	if (rc == 0)
		return (ssize_t)len;
	bool begun = rc != -EAGAIN && rc != -ENOMEM && rc != -EINVAL && rc != -EMSGSIZE;
	if (begun && s->out.error == 0) {
		s->out.error = rc == -EPIPE || rc == -ECONNRESET ? rc : -EIO;
		out_go_on(s);
	}
	return rc;
}

ssize_t out_write(struct haul_stream *s, const struct iovec *iov, size_t count, int timeout_ms)
{
	struct iov_cursor from;
	uint64_t len;
	if (!iov_total(iov, count, &len))
		return reason(-EINVAL, "a buffer that is NULL, or lengths beyond ssize_t");
	if (len == 0)
		return refusal(s);
	if (s->out.direct)
		return write_direct(s, iov, count, len, timeout_ms);
	iov_cursor_init(&from, iov, count, len);
	return write_buffered(s, &from, timeout_ms);
}

ssize_t haul_stream_writev(struct haul_stream *s, const struct iovec *iov, size_t count, int timeout_ms)
{
	ssize_t rc = s == NULL ? reason(-EINVAL, "no stream") : context_enter_wait(s->haul, timeout_ms);
	if (rc != 0)
		return rc;
	rc = out_write(s, iov, count, timeout_ms);
	context_leave(s->haul, rc < 0 ? (int)rc : 0);
	return rc;
}

ssize_t haul_stream_write(struct haul_stream *s, const void *buf, size_t len, int timeout_ms)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	return haul_stream_writev(s, &iov, 1, timeout_ms);
}

int haul_stream_shutdown(struct haul_stream *s)
{
	int rc = s == NULL ? reason(-EINVAL, "no stream") : context_enter(s->haul);
	if (rc != 0)
		return rc;
	if (s->peer == NULL)
		rc = reason(-ECANCELED, "the stream's peer was closed");
	else if (!s->out.shut)
		out_shut(s);
	return context_leave(s->haul, rc);
}
