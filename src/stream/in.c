/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading from a stream. See stream.h.
 *
 *     haul_stream_read -> the stage, if a read before it has taken more than was wanted
 *                      -> pulled.c: the writer's ring, straight to where it is wanted; a short read takes ahead
 *                      -> part.c: the message (DATA, FIN) that is next
 *
 * One thread reads at a time; others wait for their turn.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "msg/taken.h"
#include "os/clock.h"
#include "os/reason.h"
#include "stream/in.h"

enum {
	SHORT = 16 << 10, /* reads shorter than that take ahead */
	HEAR_EVERY = 8,   /* looks between two rounds of the engine */
};

/* ---- reading ---- */

static size_t from_stage(struct stream_in *in, struct iov_cursor *to)
{
	size_t n = in->stage_end - in->stage_at;
	n = to->left < n ? (size_t)to->left : n;
	if (n > 0)
		iov_cursor_put(to, in->stage + in->stage_at, n);
	in->stage_at += n;
	return n;
}

/* What is left of a timeout; the least of one that has just ended. */
static int left_ms(int timeout_ms, uint64_t deadline)
{
	uint64_t now = timeout_ms > 0 ? clock_now() : 0;
	if (timeout_ms <= 0)
		return timeout_ms;
	return now < deadline ? (int)((deadline - now) / NS_PER_MS) + 1 : 1;
}

/* The next bytes are a message's that can't be pulled. */
static bool needs_writer(const struct haul_stream *s)
{
	const struct stream_in *in = &s->in;
	return !in->pulling && in->part != NULL && !in->part->eager &&
	    (s->peer == NULL || peer_link(s->peer)->in.error != 0);
}

/* The next bytes, to the stage or to the cursor: how many, 0 for none right now, or an error. */
static ssize_t next(struct haul_stream *s, struct iov_cursor *to, int timeout_ms, uint64_t deadline)
{
	struct stream_in *in = &s->in;
	uint64_t there = in->pulling ? in->tail - in->at : in->part != NULL ? part_left(in) : 0;
	struct iov_cursor ahead;
	struct iovec room;
	if (in->pulling && there == 0) {
		if (pulled_look(s) == 0)
			return 0;
		if (in->stage_at < in->stage_end)
			return (ssize_t)(in->stage_end - in->stage_at);
		there = in->tail - in->at;
	}
	if (in->error != 0 || in->ahead.req != NULL || (!in->pulling && in->part == NULL))
		return 0;
	if (there == 0) { /* a message that is empty, or was fetched ahead */
		part_end(s);
		return 0;
	}
	if (!in->pulling && !in->part->eager && timeout_ms == 0) {
		int rc = part_fetch(s);
		if (rc == 0)
			engine_progress(&s->haul->engine);
		return rc != 0 ? rc : (ssize_t)(in->stage_end - in->stage_at);
	}
	bool is_short = to->left < SHORT && there > to->left && in_stage(in) != NULL;
	size_t len =
	    (size_t)(is_short ? (there < STAGE ? there : STAGE) : (there < to->left ? there : to->left));
	if (is_short) {
		room = (struct iovec){ in->stage, len };
		iov_cursor_init(&ahead, &room, 1, len);
		to = &ahead;
	}
	ssize_t n =
	    in->pulling ? pulled_bytes(s, to, len) : part_read(s, to, len, left_ms(timeout_ms, deadline));
	if (is_short && n > 0) {
		in->stage_at = 0;
		in->stage_end = (size_t)n;
	}
	return n;
}

static bool is_there(const struct stream_in *in)
{
	return in->stage_at < in->stage_end || (in->pulling && in->tail > in->at) ||
	    (in->part != NULL && in->ahead.req == NULL && in->error == 0);
}

static bool is_at_end(const struct stream_in *in)
{
	return in->fin && in->part == NULL;
}

static bool is_news(void *arg)
{
	const struct haul_stream *s = arg;
	return s->in.news;
}

/* Something may be there: what an eye, not the socket, finds first. */
static bool spin(struct haul_stream *s, uint64_t deadline)
{
	struct engine *e = &s->haul->engine;
	uint64_t now = clock_now(), until = now + e->spin_budget;
	until = until < deadline ? until : deadline;
	for (unsigned i = 1; now < until && s->in.pulling; i++) {
		if (pulled_look(s) > 0)
			return true;
		if (i % HEAR_EVERY == 0) {
			engine_progress(e);
			if (s->in.news || atomic_load_explicit(&e->interrupted, memory_order_relaxed) ||
			    e->quitting)
				break;
			engine_let(e);
		}
		now = clock_now();
	}
	return s->in.news;
}

/* Before a sleep, or to have haul_fd() tell: the writer is to say when there is more. True: there is already. */
static bool arm(struct haul_stream *s)
{
	struct stream_in *in = &s->in;
	if (!in->pulling)
		return in->news;
	pulled_arm(s);
	return pulled_look(s) > 0 || in->news;
}

/* 0: look again. There may be news for ever, and never a byte: so `waits`, of this read before, and time have an end. */
static int wait_for_more(struct haul_stream *s, int timeout_ms, uint64_t deadline, unsigned waits)
{
	struct engine *e = &s->haul->engine;
	bool late = waits > 0 && (timeout_ms == 0 || clock_now() >= deadline);
	int rc = 0;
	s->in.news = false;
	if (!late && (s->in.pulling || timeout_ms == 0)) /* else the wait is all there is to do */
		rc = engine_progress(e);
	if (rc < 0 || s->in.news)
		return rc < 0 ? rc : 0;
	if (!late && timeout_ms != 0 && spin(s, deadline))
		return 0;
	if (arm(s))
		return 0;
	if (timeout_ms == 0)
		return reason(-EAGAIN, "there is nothing to read");
	if (late)
		return reason(-ETIMEDOUT, "the time was up");
	rc = engine_wait(e, is_news, s, deadline, stream_conn(s));
	return rc == -EBADF ? reason(-ECANCELED, "the context was closed") : rc;
}

static ssize_t read_bytes(struct haul_stream *s, struct iov_cursor *to, int timeout_ms, uint64_t deadline)
{
	struct stream_in *in = &s->in;
	uint64_t all = to->left;
	unsigned waits = 0;
	ssize_t rc = 0;
	for (;;) {
		from_stage(in, to);
		if (to->left == 0)
			break;
		if (to->left < all && needs_writer(s)) /* which is not to be waited for any more */
			break;
		rc = next(s, to, timeout_ms, deadline);
		if (rc > 0)
			continue;
		if (to->left < all || rc < 0 || is_at_end(in))
			break;
		if (is_there(in)) /* it has come by another way */
			continue;
		if (in->error != 0)
			return reason(in->error, "the stream's writer is gone, and did not close its end");
		if ((rc = wait_for_more(s, timeout_ms, deadline, waits++)) != 0)
			break;
	}
	return to->left < all ? (ssize_t)(all - to->left) : rc;
}

static bool is_free(void *arg)
{
	const struct haul_stream *s = arg;
	return !s->in.busy;
}

/* Takes the turn to read. */
static int begin(struct haul_stream *s, int timeout_ms, uint64_t deadline)
{
	int rc = 0;
	if (s->in.busy && timeout_ms == 0)
		return reason(-EAGAIN, "another thread is reading from the stream");
	while (rc == 0 && s->in.busy)
		rc = engine_wait(&s->haul->engine, is_free, s, deadline, NULL);
	s->in.busy = s->in.busy || rc == 0;
	return rc;
}

static ssize_t read_vector(struct haul_stream *s, const struct iovec *iov, size_t count, int timeout_ms)
{
	struct iov_cursor to;
	uint64_t len, deadline = timeout_ms > 0 ? clock_after_ms(timeout_ms) : CLOCK_NEVER;
	if (!iov_total(iov, count, &len))
		return reason(-EINVAL, "a buffer that is NULL, or lengths beyond ssize_t");
	ssize_t rc = len > 0 ? begin(s, timeout_ms, deadline) : 0;
	if (rc != 0 || len == 0)
		return rc;
	iov_cursor_init(&to, iov, count, len);
	rc = read_bytes(s, &to, timeout_ms, deadline);
	s->in.busy = false;
	return rc;
}

static int enter(struct haul_stream *s, int timeout_ms)
{
	return s == NULL ? reason(-EINVAL, "no stream") : context_enter_wait(s->haul, timeout_ms);
}

static ssize_t leave(struct haul_stream *s, ssize_t rc)
{
	context_leave(s->haul, rc < 0 ? (int)rc : 0);
	return rc;
}

ssize_t haul_stream_readv(struct haul_stream *s, const struct iovec *iov, size_t count, int timeout_ms)
{
	int rc = enter(s, timeout_ms);
	return rc != 0 ? rc : leave(s, read_vector(s, iov, count, timeout_ms));
}

/* What a short read mostly comes to: all of it is in the stage. */
static bool read_staged(struct stream_in *in, void *buf, size_t len)
{
	if (in->busy || buf == NULL || len == 0 || in->stage_end - in->stage_at < len)
		return false;
	memcpy(buf, in->stage + in->stage_at, len);
	in->stage_at += len;
	return true;
}

ssize_t haul_stream_read(struct haul_stream *s, void *buf, size_t len, int timeout_ms)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	int rc = enter(s, timeout_ms);
	if (rc != 0)
		return rc;
	return read_staged(&s->in, buf, len) ? leave(s, (ssize_t)len)
	                                     : leave(s, read_vector(s, &iov, 1, timeout_ms));
}

/* ---- readiness, and the end ---- */

/* The ring of who is gone is so too. */
void in_fail(struct haul_stream *s, int error)
{
	s->in.pulling = false;
	s->in.news = true;
	if (s->in.error == 0)
		s->in.error = error;
}

static bool is_readable(const struct stream_in *in)
{
	return is_there(in) || is_at_end(in) || in->error != 0;
}

static bool is_writable(const struct haul_stream *s)
{
	const struct stream_out *out = &s->out;
	bool ends = s->peer == NULL || s->peer->error != 0 || out->error != 0 || out->shut;
	return ends || out->direct || out->ring.words == NULL || ring_room(&out->ring) >= HAUL_STREAM_ATOMIC;
}

int haul_stream_ready(struct haul_stream *s)
{
	int rc = s == NULL ? reason(-EINVAL, "no stream") : context_enter(s->haul);
	if (rc != 0)
		return rc;
	if (!is_readable(&s->in) || !is_writable(s))
		engine_progress(&s->haul->engine);
	if (!s->in.busy && s->in.part != NULL && !s->in.part->eager && s->in.stage_at == s->in.stage_end &&
	    part_left(&s->in) > 0 && part_fetch(s) == 0)
		engine_progress(&s->haul->engine);
	if (!s->in.busy && !is_readable(&s->in))
		arm(s);
	rc = (is_readable(&s->in) ? HAUL_STREAM_READABLE : 0) | (is_writable(s) ? HAUL_STREAM_WRITABLE : 0);
	context_leave(s->haul, 0);
	return rc;
}

void in_close(struct haul_stream *s)
{
	struct stream_in *in = &s->in;
	if (stream_conn(s) != NULL && in->pulling)
		pulled_ring(s, RING_BELL_CLOSED);
	in->pulling = false;
	if (!is_at_end(in))
		say(s, STREAM_STOP);
	if (in->ahead.req != NULL)
		request_abort(in->ahead.req, -ECANCELED);
}

bool in_is_over(struct haul_stream *s)
{
	struct stream_in *in = &s->in;
	if (in->ahead.req != NULL)
		return false;
	if (in->part != NULL)
		taken_finish(in->part, -EPIPE);
	in->part = NULL;
	return true;
}

void in_fini(struct haul_stream *s)
{
	free(s->in.stage);
	s->in.stage = NULL;
}
