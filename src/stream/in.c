/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading from a stream. See stream.h.
 *
 *     haul_stream_read -> the stage, if a read before it has taken more than was wanted
 *                      -> pulled: the writer's ring, straight to where it is wanted; a short read takes ahead
 *                      -> the message (DATA, FIN) that is next
 *
 * Where the ring seems empty a look reads its tail and, since that costs nothing more, the first bytes behind what was
 * known, in one call; these count as far as the tail says, which was loaded before them (VM_IN_ORDER). A copy runs
 * outside the lock; only one thread reads at a time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link/link.h"
#include "msg/taken.h"
#include "os/clock.h"
#include "os/reason.h"
#include "os/vm.h"
#include "stream/stream.h"

enum {
	STAGE = 64 << 10,
	SHORT = 16 << 10, /* reads shorter than that take ahead, */
	GLANCE = 1024,    /* and a look so much */
	RING_MOST = 1 << 30,
	HEAR_EVERY = 8, /* looks between two rounds of the engine */
};

/* ---- the writer's ring ---- */

static void ask(struct haul_stream *s)
{
	s->in.pulling = false;
	say(s, STREAM_ASK);
}

/* Not to another program's memory, as far as a look right before can tell. */
static bool write_bell(struct haul_stream *s, uint64_t what)
{
	const struct stream_in *in = &s->in;
	pid_t pid = peer_link(s->peer)->pid;
	struct vm_word cookie = { .addr = in->words + offsetof(struct ring_words, cookie) };
	return vm_read_word(pid, &cookie) == 0 && cookie.value == in->cookie &&
	    vm_write_word(pid, in->words + offsetof(struct ring_words, bell), what) == 0;
}

static void arm_bell(struct haul_stream *s)
{
	struct stream_in *in = &s->in;
	if (!in->armed && !in->mute) {
		in->armed = write_bell(s, RING_BELL_ARMED);
		in->mute = !in->armed;
	}
	if (in->mute)
		say(s, STREAM_SLEEP);
}

/* Once: the cookie ends what is told of it. */
void in_told_ring(struct haul_stream *s, uint64_t words)
{
	if (s->in.cookie != 0)
		stream_fail(s, -EPROTO);
	else
		s->in.words = words;
}

/* Before the first byte came by another way, unless that is all there will be. */
static bool may_have_ring(const struct stream_in *in, uint64_t cookie)
{
	return in->cookie == 0 && cookie != 0 && (in->fin || (in->at == 0 && in->part == NULL));
}

/* Its words are at an address that the writer has told; if they can't be read nothing else can. */
void in_found_ring(struct haul_stream *s, uint64_t cookie)
{
	struct stream_in *in = &s->in;
	struct {
		uint64_t tail, cookie, bytes, size;
	} words;
	struct iovec local = { &words, sizeof(words) };
	struct iovec remote = { (void *)(uintptr_t)in->words, sizeof(words) };
	if (!may_have_ring(in, cookie)) {
		stream_fail(s, -EPROTO);
		return;
	}
	in->cookie = cookie;
	in->news = true;
	if (in->fin || in->error != 0) /* FIN has all */
		return;
	struct link *l = peer_link(s->peer);
	if (l->in.error != 0 || vm_peek(l->pid, &local, 1, &remote, 1) != (ssize_t)sizeof(words) ||
	    words.cookie != cookie) {
		ask(s);
		return;
	}
	if (words.size == 0 || words.size > RING_MOST || (words.size & (words.size - 1)) != 0 ||
	    words.bytes > UINT64_MAX - words.size) {
		stream_fail(s, -EPROTO);
		return;
	}
	in->bytes = words.bytes;
	in->size = words.size;
	in->pulling = true;
	arm_bell(s);
}

/* The ring's bytes from a position on, as at most two ranges of the writer's memory. */
static size_t ranges(const struct stream_in *in, uint64_t from, size_t len, struct iovec out[2])
{
	size_t at = (size_t)(from & (in->size - 1)), first = (size_t)in->size - at;
	first = len < first ? len : first;
	out[0] = (struct iovec){ (void *)(uintptr_t)(in->bytes + at), first };
	out[1] = (struct iovec){ (void *)(uintptr_t)in->bytes, len - first };
	return len > first ? 2 : 1;
}

static void taken(struct haul_stream *s, uint64_t len)
{
	struct stream_in *in = &s->in;
	in->at += len;
	if (in->at - in->told >= in->size / 4)
		say(s, STREAM_ROOM);
}

/* What the ring's tail says now. False: it lies. */
static bool believe(struct haul_stream *s, uint64_t tail)
{
	struct stream_in *in = &s->in;
	if (tail < in->tail || tail - in->at > in->size) {
		stream_fail(s, -EPROTO);
		return false;
	}
	in->tail = tail;
	return true;
}

/* The ring is not there any more, or must not be read: what was in it comes as a message, or never. */
static void lose_ring(struct haul_stream *s, bool cookie_read)
{
	if (cookie_read)
		s->in.pulling = false; /* FIN has come or is to come, or the writer is another program now */
	else
		ask(s);
}

/* Where the stage is, if there is memory for it. */
static uint8_t *stage(struct stream_in *in)
{
	if (in->stage == NULL)
		in->stage = malloc(STAGE);
	return in->stage;
}

/* How many bytes are there to be had, after a look: they may be in the stage already. 0: none, or the ring is lost. */
static uint64_t look(struct haul_stream *s)
{
	struct stream_in *in = &s->in;
	struct link *l = peer_link(s->peer);
	uint64_t words[2] = { 0 }, cookie = 0;
	struct iovec local[3], remote[4];
	uint8_t *room = VM_IN_ORDER ? stage(in) : NULL;
	size_t glance = room != NULL ? (in->size < GLANCE ? (size_t)in->size : GLANCE) : 0, locals = 0,
	       remotes = 0;
	local[locals++] = (struct iovec){ words, sizeof(words) };
	remote[remotes++] = (struct iovec){ (void *)(uintptr_t)in->words, sizeof(words) };
	if (glance > 0) {
		local[locals++] = (struct iovec){ room, glance };
		remotes += ranges(in, in->at, glance, remote + remotes);
	}
	local[locals++] = (struct iovec){ &cookie, sizeof(cookie) };
	remote[remotes++] =
	    (struct iovec){ (void *)(uintptr_t)(in->words + offsetof(struct ring_words, cookie)),
		    sizeof(cookie) };
	ssize_t n = vm_peek(l->pid, local, locals, remote, remotes);
	bool all = n == (ssize_t)(sizeof(words) + glance + sizeof(cookie));
	if (!all || words[1] != in->cookie || cookie != in->cookie) {
		lose_ring(s, n >= (ssize_t)sizeof(words) && words[1] != in->cookie);
		return 0;
	}
	if (!believe(s, words[0]) || in->tail == in->at)
		return 0;
	if (glance > 0) {
		in->stage_at = 0;
		in->stage_end = in->tail - in->at < glance ? (size_t)(in->tail - in->at) : glance;
		taken(s, in->stage_end);
		return in->stage_end;
	}
	return in->tail - in->at;
}

/* Pulls len bytes, which are known to be there, to the cursor; as many as came, or an error. Outside the lock. */
static ssize_t pull(struct haul_stream *s, struct iov_cursor *to, size_t len)
{
	struct stream_in *in = &s->in;
	struct haul_peer *p = s->peer;
	pid_t pid = peer_link(p)->pid;
	struct iovec parts[2];
	struct iov_cursor from, before = *to;
	struct vm_word tail = { .addr = in->words + offsetof(struct ring_words, tail) };
	struct vm_word cookie = { .addr = in->words + offsetof(struct ring_words, cookie), .before = &tail };
	size_t count = ranges(in, in->at, len, parts);
	iov_cursor_init(&from, parts, count, len);
	p->copying++;
	engine_step_out(&s->haul->engine);
	struct vm_result r = vm_read(pid, to, &from, len, &cookie);
	engine_step_in(&s->haul->engine);
	p->copying--;
	peer_copied(p);
	s->haul->stats.copied_bytes += r.moved;
	if (!cookie.read || cookie.value != in->cookie) {
		*to = before; /* nothing vouches for what was moved */
		lose_ring(s, cookie.read);
		return 0;
	}
	if (r.moved == 0 && r.outcome == VM_BAD_LOCAL)
		return reason(-EFAULT, "the buffer to read into can't be written");
	if (r.moved == 0 && r.outcome != VM_MOVED)
		ask(s);
	else if (tail.read)
		believe(s, tail.value);
	taken(s, r.moved);
	return (ssize_t)r.moved;
}

/* ---- bytes that came as a message ---- */

/* A FIN says from where on it has the bytes; some may have been pulled since its writer heard of that. DATA is sent only to
 * who has asked for it, and does not pull any more. */
void in_got(struct haul_stream *s, struct haul_msg *m)
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
static uint64_t part_left(const struct stream_in *in)
{
	uint64_t had = in->at - in->part_from;
	return had < in->part->len ? in->part->len - had : 0;
}

/* Its writer may wait for it to be done, and the reader not come back for long. */
static void end_part(struct haul_stream *s)
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
void in_go_on(struct haul_stream *s)
{
	const struct stream_in *in = &s->in;
	bool idle = !in->busy && in->ahead.req == NULL && in->error == 0;
	if (in->part != NULL && idle && part_left(in) == 0)
		end_part(s);
}

/* What its writer took back, one that goes on living. */
static int why_lost(const struct haul_stream *s, int error)
{
	return error == -ECANCELED && s->peer != NULL ? -EPIPE : error;
}

static ssize_t read_part(struct haul_stream *s, struct iov_cursor *to, size_t len, int timeout_ms)
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
		end_part(s);
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
static int fetch_ahead(struct haul_stream *s)
{
	struct stream_in *in = &s->in;
	struct haul_req *r;
	if (in->ahead.req != NULL)
		return 0;
	if (stage(in) == NULL)
		return reason(-ENOMEM, "no memory to read ahead");
	struct iovec room = { in->stage, STAGE };
	int rc = taken_read_start(in->part, in->at - in->part_from, &room, 1, -1, &r);
	if (rc != 0)
		return rc;
	in->ahead.owner.completed = ahead_over;
	in->ahead.stream = s;
	in->ahead.req = r;
	request_dress(r);
	r->detached = true;
	if (!r->complete) {
		r->owner = &in->ahead.owner;
		return 0;
	}
	ahead_over(&in->ahead.owner, r);
	request_free(r);
	return 0;
}

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

/* The next bytes, to the stage or to the cursor: how many, 0 for none right now, or an error. */
static ssize_t next(struct haul_stream *s, struct iov_cursor *to, int timeout_ms)
{
	struct stream_in *in = &s->in;
	uint64_t there = in->pulling ? in->tail - in->at : in->part != NULL ? part_left(in) : 0;
	struct iov_cursor ahead;
	struct iovec room;
	if (in->pulling && there == 0) {
		if (look(s) == 0)
			return 0;
		if (in->stage_at < in->stage_end)
			return (ssize_t)(in->stage_end - in->stage_at);
		there = in->tail - in->at;
	}
	if (in->error != 0 || in->ahead.req != NULL || (!in->pulling && in->part == NULL))
		return 0;
	if (there == 0) { /* a message that is empty, or was fetched ahead */
		end_part(s);
		return 0;
	}
	if (!in->pulling && !in->part->eager && timeout_ms == 0) {
		int rc = fetch_ahead(s);
		if (rc == 0)
			engine_progress(&s->haul->engine);
		return rc != 0 ? rc : (ssize_t)(in->stage_end - in->stage_at);
	}
	bool is_short = to->left < SHORT && there > to->left && stage(in) != NULL;
	size_t len =
	    (size_t)(is_short ? (there < STAGE ? there : STAGE) : (there < to->left ? there : to->left));
	if (is_short) {
		room = (struct iovec){ in->stage, len };
		iov_cursor_init(&ahead, &room, 1, len);
		to = &ahead;
	}
	ssize_t n = in->pulling ? pull(s, to, len) : read_part(s, to, len, timeout_ms);
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
		if (look(s) > 0)
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
	arm_bell(s);
	return look(s) > 0 || in->news;
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
		rc = next(s, to, timeout_ms);
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
	    part_left(&s->in) > 0 && fetch_ahead(s) == 0)
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
		write_bell(s, RING_BELL_CLOSED);
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
