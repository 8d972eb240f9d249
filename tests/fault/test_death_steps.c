/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer is killed, or stopped, at every system call that it makes for a message, on either side. The survivor's
 * requests end as documented, its timeouts are kept, what it was given is whole and right, its other peer does not
 * notice, and nothing is left over. Each test has the two parts of one step; survivor.h plays them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/survivor.h"

TestSuite(death_steps, .timeout = 120);

enum { SHORT = 100, LONGER = 10000, LONG = 600 << 10, RANGES = 1500, PATIENT_MS = 1000 };

/* By outboxes fewer calls are needed, if the other is quick. */
static const struct haul_options by_outbox = { .transport = HAUL_TRANSPORT_OUTBOX };

static void play_by_outbox(const char *name, const struct plan *plan)
{
	struct plan p = *plan;
	p.a_options = p.b_options = &by_outbox;
	p.a_least = p.b_least = 2;
	survivor_play(name, &p);
}

/* ---- messages ---- */

/* Word for word, or all could come by one read. */
static int eager_a(struct side *s)
{
	int rc = side_give(s, SHORT, 1, 0);
	if (rc == 0)
		rc = side_take_token(s);
	if (rc == 0)
		rc = side_give(s, LONGER, 2, 0);
	return rc == 0 ? side_take_token(s) : rc;
}

static int eager_b(struct side *s)
{
	int rc = side_take(s, SHORT, 1);
	if (rc == 0)
		rc = side_give_token(s);
	if (rc == 0)
		rc = side_take(s, LONGER, 2);
	return rc == 0 ? side_give_token(s) : rc;
}

Test(death_steps, of_short_messages)
{
	survivor_play("eager", &(struct plan){ .a = eager_a, .b = eager_b, .a_least = 4, .b_least = 4 });
}

Test(death_steps, of_short_messages_by_outbox)
{
	play_by_outbox("eager by outbox", &(struct plan){ .a = eager_a, .b = eager_b });
}

static int sync_a(struct side *s)
{
	int rc = side_give(s, SHORT, 1, HAUL_SYNC);
	return rc == 0 ? side_give(s, LONG, 2, HAUL_SYNC) : rc;
}

static int sync_b(struct side *s)
{
	int rc = side_take(s, SHORT, 1);
	return rc == 0 ? side_take(s, LONG, 2) : rc;
}

Test(death_steps, of_synchronous_messages)
{
	survivor_play("sync", &(struct plan){ .a = sync_a, .b = sync_b, .a_least = 4, .b_least = 4 });
}

Test(death_steps, of_synchronous_messages_by_outbox)
{
	play_by_outbox("sync by outbox", &(struct plan){ .a = sync_a, .b = sync_b });
}

/* One buffer, then so many that their list is pulled too, in two windows. */
static int long_a(struct side *s)
{
	static struct iovec iov[RANGES];
	size_t each = LONG / RANGES;
	int rc = side_give(s, LONG, 1, 0);
	if (rc != 0)
		return rc;
	pattern_fill(side_out, LONG, 2, 0);
	for (size_t i = 0; i < RANGES; i++)
		iov[i] = (struct iovec){ .iov_base = side_out + i * each, .iov_len = each };
	iov[RANGES - 1].iov_len = LONG - (RANGES - 1) * each;
	return haul_sendv(s->p, LONG, iov, RANGES, 0, s->timeout_ms);
}

static int long_b(struct side *s)
{
	int rc = side_take(s, LONG, 1);
	return rc == 0 ? side_take(s, LONG, 2) : rc;
}

static const struct haul_options stream_only = { .path = HAUL_PATH_STREAM };

Test(death_steps, of_a_pull)
{
	survivor_play("pull", &(struct plan){ .a = long_a, .b = long_b, .a_least = 4, .b_least = 8 });
}

Test(death_steps, of_a_pull_by_outbox)
{
	play_by_outbox("pull by outbox", &(struct plan){ .a = long_a, .b = long_b });
}

Test(death_steps, of_a_stream)
{
	survivor_play("stream",
	    &(struct plan){ .a = long_a,
	        .b = long_b,
	        .a_options = &stream_only,
	        .b_options = &stream_only,
	        .a_least = 8,
	        .b_least = 8 });
}

static int pushed_a(struct side *s)
{
	int rc = side_give(s, LONG, 1, HAUL_SYNC);
	return rc == 0 ? side_give(s, LONG, 2, HAUL_SYNC) : rc;
}

/* A receive with a timeout would not be written into; where patience is short, that is what it is. */
static int pushed_b(struct side *s)
{
	struct haul_stats stats;
	int timeout_ms = s->timeout_ms;
	if (timeout_ms >= PATIENT_MS)
		s->timeout_ms = -1;
	int rc = side_take(s, LONG, 1);
	if (rc == 0)
		rc = side_take(s, LONG, 2);
	if (s->timeout_ms == -1 && rc == 0) {
		must_be(haul_peer_stats(s->p, &stats, sizeof(stats)), 0);
		must_be(stats.received_push, 2);
	}
	s->timeout_ms = timeout_ms;
	return rc;
}

static const struct haul_options opted_in = { .push = 1 };

Test(death_steps, of_a_push)
{
	survivor_play("push",
	    &(struct plan){ .a = pushed_a,
	        .b = pushed_b,
	        .a_options = &opted_in,
	        .b_options = &opted_in,
	        .blind_b = true,
	        .a_least = 6,
	        .b_least = 6 });
}

static int exchange(struct side *s)
{
	struct haul_match match = { .from = s->p, .tag = LONG };
	pattern_fill(side_out, LONG, 1, 0);
	memset(side_in, CANARY, LONG);
	ssize_t n =
	    haul_sendrecv(s->p, LONG, side_out, LONG, &match, side_in, sizeof(side_in), s->timeout_ms, NULL);
	if (n < 0)
		return (int)n;
	must_be(n, LONG);
	must_hold(side_in, LONG, 1, 0);
	return 0;
}

Test(death_steps, of_an_exchange)
{
	survivor_play("exchange", &(struct plan){ .a = exchange, .b = exchange, .a_least = 4, .b_least = 4 });
}

Test(death_steps, of_an_exchange_by_outbox)
{
	play_by_outbox("exchange by outbox", &(struct plan){ .a = exchange, .b = exchange });
}

/* A thread of the library's own hears of the death, and the thread that waits from it. */
Test(death_steps, of_an_exchange_with_one_who_has_a_progress_thread)
{
	survivor_play("served",
	    &(struct plan){ .a = exchange, .b = exchange, .served = true, .a_least = 4, .b_least = 4 });
}

Test(death_steps, of_an_exchange_by_outbox_with_one_who_has_a_progress_thread)
{
	play_by_outbox("served by outbox", &(struct plan){ .a = exchange, .b = exchange, .served = true });
}

/* ---- in the taker's hands ---- */

/* In two parts, and then it is done with, or refused. */
static int read_parts(struct side *s, int error)
{
	struct haul_match match = { .from = s->p, .tag = LONG };
	struct haul_msg *m;
	int rc = haul_take(s->h, &match, s->timeout_ms, &m);
	if (rc != 0)
		return rc;
	for (size_t at = 0; rc == 0 && at < LONG; at += LONG / 2) {
		struct iovec iov = { .iov_base = side_in, .iov_len = LONG / 2 };
		ssize_t n = haul_msg_read(m, at, &iov, 1, s->timeout_ms);
		if (n < 0) {
			rc = (int)n;
		} else {
			must_be(n, LONG / 2);
			must_hold(side_in, LONG / 2, 1, at);
		}
	}
	int end = rc == 0 && error != 0 ? haul_msg_refuse(m, error) : haul_msg_done(m);
	return rc != 0 ? rc : end;
}

static int taken_a(struct side *s)
{
	int rc = side_give(s, LONG, 1, HAUL_SYNC);
	if (rc != 0)
		return rc;
	rc = side_give(s, LONG, 1, HAUL_SYNC);
	return rc == -ENOENT ? side_take_token(s) : rc;
}

static int taken_b(struct side *s)
{
	int rc = read_parts(s, 0);
	if (rc == 0)
		rc = read_parts(s, -ENOENT);
	return rc == 0 ? side_give_token(s) : rc;
}

Test(death_steps, of_messages_that_are_taken)
{
	survivor_play("taken", &(struct plan){ .a = taken_a, .b = taken_b, .a_least = 5, .b_least = 7 });
}

Test(death_steps, of_messages_that_are_taken_by_outbox)
{
	play_by_outbox("taken by outbox", &(struct plan){ .a = taken_a, .b = taken_b });
}

/* ---- calls ---- */

/* A call and its reply, each of so many bytes. */
static int call_once(struct side *s, size_t len)
{
	struct iovec out = { .iov_base = side_out, .iov_len = len },
	             in = { .iov_base = side_in, .iov_len = len };
	struct haul_msg *m;
	pattern_fill(side_out, len, 1, 0);
	int rc = haul_call(s->p, len, &out, 1, s->timeout_ms, &m);
	if (rc != 0)
		return rc;
	ssize_t n = haul_msg_read(m, 0, &in, 1, s->timeout_ms);
	must_be(haul_msg_done(m), 0);
	if (n < 0)
		return (int)n;
	must_be(n, len);
	must_hold(side_in, len, 2, 0);
	return 0;
}

static int reply_once(struct side *s, size_t len)
{
	struct haul_match match = { .from = s->p, .tag = len };
	struct iovec out = { .iov_base = side_out, .iov_len = len },
	             in = { .iov_base = side_in, .iov_len = len };
	struct haul_req *r;
	struct haul_msg *m;
	int rc = haul_take(s->h, &match, s->timeout_ms, &m);
	if (rc != 0)
		return rc;
	ssize_t n = haul_msg_read(m, 0, &in, 1, s->timeout_ms);
	pattern_fill(side_out, len, 2, 0);
	rc = n < 0 ? (int)n : haul_reply(m, &out, 1, &r);
	if (rc != 0) {
		must_be(haul_msg_done(m), 0);
		return rc;
	}
	must_be(n, len);
	must_hold(side_in, len, 1, 0);
	return side_finish(s, r);
}

static int calls_a(struct side *s)
{
	int rc = call_once(s, SHORT);
	return rc == 0 ? call_once(s, LONG) : rc;
}

static int calls_b(struct side *s)
{
	int rc = reply_once(s, SHORT);
	return rc == 0 ? reply_once(s, LONG) : rc;
}

Test(death_steps, of_calls)
{
	survivor_play("calls", &(struct plan){ .a = calls_a, .b = calls_b, .a_least = 5, .b_least = 5 });
}

Test(death_steps, of_calls_by_outbox)
{
	play_by_outbox("calls by outbox", &(struct plan){ .a = calls_a, .b = calls_b });
}

Test(death_steps, of_calls_by_stream)
{
	survivor_play("calls by stream",
	    &(struct plan){ .a = calls_a,
	        .b = calls_b,
	        .a_options = &stream_only,
	        .b_options = &stream_only,
	        .a_least = 8,
	        .b_least = 8 });
}

/* ---- taking back ---- */

static int cancel_a(struct side *s)
{
	struct haul_req *r;
	struct iovec iov = { .iov_base = side_out, .iov_len = LONG };
	int rc = haul_isend(s->p, LONG, &iov, 1, 0, &r);
	if (rc != 0)
		return rc;
	haul_progress(s->h);
	haul_req_cancel(r);
	rc = side_finish(s, r);
	return rc == -ECANCELED ? side_give_token(s) : rc == 0 ? -EPROTO : rc;
}

static int withdraw_a(struct side *s)
{
	int rc = haul_send(s->p, LONG, side_out, LONG, 1);
	return rc == -ETIMEDOUT ? side_give_token(s) : rc == 0 ? -EPROTO : rc;
}

/* Nothing is there any more after that. */
static int want_none(struct side *s)
{
	int rc = side_take_token(s);
	if (rc != 0)
		return rc;
	rc = (int)haul_recv(s->h, &(struct haul_match){ .from = s->p, .tag = LONG }, side_in, sizeof(side_in),
	    0, NULL);
	must(rc == -EAGAIN || rc == -ECONNRESET || rc == -EPIPE);
	return 0;
}

Test(death_steps, of_a_cancel)
{
	survivor_play("cancel", &(struct plan){ .a = cancel_a, .b = want_none, .a_least = 4, .b_least = 2 });
}

Test(death_steps, of_a_withdrawal)
{
	survivor_play("withdrawal",
	    &(struct plan){ .a = withdraw_a, .b = want_none, .a_least = 4, .b_least = 1 });
}
