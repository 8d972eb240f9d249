/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls: each gets its own reply, of whatever length and in whatever order, or hears why there is none; and they are
 * messages like others to whoever takes them. How calls end before their time is in test_call_ends.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(call, .timeout = 60);

enum { TAG = 7, LONG_LEN = 1000003, SOME = 8, THREADS = 4, TURNS = 50 };

/* The seed of the reply to a call with that tag. */
static uint64_t answer_to(uint64_t tag)
{
	return tag + 1000;
}

/* ---- the side that is called ---- */

/* Takes the next call, and checks it, reading it in three parts. */
static struct haul_msg *take_call(struct haul *h, size_t len)
{
	struct haul_msg *m;
	struct haul_status status;
	unsigned char *in = room_for(len + 1);
	must_be(haul_take(h, NULL, PATIENCE_MS, &m), 0);
	must_be(haul_msg_status(m, &status), 0);
	must_be(status.flags, HAUL_STATUS_CALL);
	must_be(status.len, len);
	for (size_t at = 0, third = len / 3 + 1; at < len; at += third)
		must(haul_msg_read(m, at, &(struct iovec){ in + at, third }, 1, PATIENCE_MS) > 0);
	must_hold(in, len, status.tag, 0);
	free(in);
	return m;
}

static void serve_one(struct haul *h, size_t len, size_t reply_len)
{
	struct haul_msg *m = take_call(h, len);
	struct haul_status status;
	struct haul_req *r;
	must_be(haul_msg_status(m, &status), 0);
	unsigned char *out = filled(reply_len, answer_to(status.tag));
	must_be(haul_reply(m, &(struct iovec){ out, reply_len }, 1, &r), 0);
	must_be(end_of(r, &status), 0);
	must_be(status.len, reply_len);
	must_be(status.got, reply_len);
	free(out);
}

/* Lengths of call and reply. */
static const size_t lengths[][2] = { { 0, 0 }, { 64, 64 }, { 0, LONG_LEN }, { LONG_LEN, 0 },
	{ LONG_LEN, LONG_LEN } };
enum { LENGTHS = sizeof(lengths) / sizeof(lengths[0]) };

static void serve(struct haul *h, struct haul_peer *p, const void *path)
{
	for (size_t i = 0; i < LENGTHS; i++)
		serve_one(h, path_most(path, lengths[i][0]), path_most(path, lengths[i][1]));
	await_token(h, p);
}

/* ---- the side that calls ---- */

static void check_reply(struct haul_msg *m, struct haul_peer *p, uint64_t tag, size_t len)
{
	struct haul_status status;
	unsigned char *in = room_for(len + 1);
	must_be(haul_msg_status(m, &status), 0);
	must(status.peer == p);
	must_be(status.tag, tag);
	must_be(status.len, len);
	must_be(status.error, 0);
	must_be(status.flags, 0);
	memset(in, CANARY, len + 1);
	must_be(haul_msg_read(m, 0, &(struct iovec){ in, len + 1 }, 1, PATIENCE_MS), len);
	must_hold(in, len, answer_to(tag), 0);
	must_be_untouched(in + len, 1);
	must_be(haul_msg_done(m), 0);
	free(in);
}

EveryPath(call, is_replied_to_by_a_message_of_any_length)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	pairing_start(&p, &o, &o, serve, path);
	for (size_t i = 0; i < LENGTHS; i++) {
		size_t len = path_most(path, lengths[i][0]);
		unsigned char *out = filled(len, TAG + i);
		struct iovec iov[2] = { { out, len / 2 }, { out + len / 2, len - len / 2 } };
		struct haul_msg *reply;
		must_be(haul_call(p.peer, TAG + i, iov, 2, PATIENCE_MS, &reply), 0);
		free(out); /* it is the caller's again */
		check_reply(reply, p.peer, TAG + i, path_most(path, lengths[i][1]));
	}
	send_token(p.peer);
	pairing_end(&p);
}

/* Starts calls 0 to SOME - 1, which b takes. Their memory is kept in out. */
struct calls {
	unsigned char *out[SOME];
	struct haul_req *calls[SOME];
	struct haul_msg *taken[SOME];
};

static void start_calls(struct calls *c, struct twins *t, size_t len)
{
	struct haul_req *take;
	struct haul_status status;
	for (uint64_t i = 0; i < SOME; i++) {
		c->out[i] = filled(len, i);
		must_be(haul_icall(t->to_b, i, &(struct iovec){ c->out[i], len }, 1, &c->calls[i]), 0);
	}
	for (uint64_t i = 0; i < SOME; i++) {
		must_be(haul_itake(t->b, NULL, &take), 0);
		must_be(twins_finish(t, take, &status), 0);
		must_be(status.tag, i);
		must_be(status.flags, HAUL_STATUS_CALL);
		c->taken[i] = status.msg;
	}
}

static void check_icall(struct twins *t, struct haul_req *call, uint64_t tag, size_t len)
{
	struct haul_status status;
	struct haul_req *read;
	unsigned char *in = room_for(len);
	must_be(twins_finish(t, call, &status), 0);
	must(status.peer == t->to_b);
	must_be(status.tag, tag);
	struct haul_msg *m = status.msg;
	must_be(haul_msg_status(m, &status), 0);
	must_be(status.len, len);
	must_be(haul_msg_iread(m, 0, &(struct iovec){ in, len }, 1, &read), 0);
	must_be(twins_finish(t, read, &status), 0);
	must_be(status.got, len);
	must_hold(in, len, answer_to(tag), 0);
	must_be(haul_msg_done(m), 0);
	free(in);
}

EveryPath(call, replies_come_in_any_order_each_to_its_own)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN / 8);
	unsigned char *out[SOME];
	struct haul_req *replies[SOME];
	struct calls c;
	struct twins t;
	twins_start(&t, &o);
	start_calls(&c, &t, len);
	for (size_t i = 0, at = SOME / 2; i < SOME; i++, at = (at + 3) % SOME) {
		size_t reply_len = len / (at + 1);
		out[at] = filled(reply_len, answer_to(at));
		must_be(haul_reply(c.taken[at], &(struct iovec){ out[at], reply_len }, 1, &replies[at]), 0);
		twins_settle(&t);
		must_be(haul_req_test(c.calls[at]), 0);
	}
	for (size_t i = 0; i < SOME; i++) {
		check_icall(&t, c.calls[i], i, len / (i + 1));
		must_be(twins_finish(&t, replies[i], NULL), 0);
		free(c.out[i]);
		free(out[i]);
	}
	twins_end(&t);
}

EveryPath(call, works_within_one_process)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	struct haul *h;
	struct calls c;
	struct haul_req *reply;
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	struct twins t = { .a = h, .b = h, .to_b = haul_self(h), .to_a = haul_self(h) };
	start_calls(&c, &t, len);
	for (size_t i = 0; i < SOME; i++) {
		unsigned char *out = filled(len, answer_to(i));
		must_be(haul_reply(c.taken[i], &(struct iovec){ out, len }, 1, &reply), 0);
		check_icall(&t, c.calls[i], i, len);
		must_be(twins_finish(&t, reply, NULL), 0);
		free(out);
		free(c.out[i]);
	}
	must_be(haul_close(h, PATIENCE_MS), 0);
}

EveryPath(call, and_messages_share_one_order)
{
	struct haul_options o = path_options(path);
	struct twins t;
	struct haul_req *send[2], *call, *recv;
	struct haul_status status;
	struct haul_msg *m;
	twins_start(&t, &o);
	must_be(haul_isend(t.to_b, 1, NULL, 0, 0, &send[0]), 0);
	must_be(haul_icall(t.to_b, 2, NULL, 0, &call), 0);
	must_be(haul_isend(t.to_b, 3, NULL, 0, 0, &send[1]), 0);
	twins_settle(&t);
	for (uint64_t i = 1; i <= 3; i++) {
		must_be(haul_probe(t.b, NULL, 0, &status), 0);
		must_be(status.flags, i == 2 ? HAUL_STATUS_CALL : 0);
		must_be(haul_take(t.b, NULL, 0, &m), 0);
		must_be(haul_msg_status(m, &status), 0);
		must_be(status.tag, i);
		must_be(status.flags, i == 2 ? HAUL_STATUS_CALL : 0);
		if (i != 2)
			must_be(haul_msg_done(m), 0);
		else
			must_be(haul_reply(m, NULL, 0, &recv), 0);
	}
	must_be(twins_finish(&t, send[0], NULL), 0);
	must_be(twins_finish(&t, send[1], NULL), 0);
	check_icall(&t, call, 2, 0);
	must_be(twins_finish(&t, recv, NULL), 0);
	twins_end(&t);
}

/* ---- what else can be done with a call ---- */

/* What becomes of one that is received as any message, into a buffer of room bytes. */
static int received(struct twins *t, size_t len, size_t room, int expected)
{
	unsigned char *out = filled(len, TAG), *in = room_for(room);
	struct haul_req *call, *recv;
	struct haul_status status;
	must_be(haul_icall(t->to_b, TAG, &(struct iovec){ out, len }, 1, &call), 0);
	must_be(haul_irecv(t->b, NULL, &(struct iovec){ in, room }, 1, &recv), 0);
	must_be(twins_finish(t, recv, &status), expected);
	must_be(status.flags, HAUL_STATUS_CALL);
	must_hold(in, room < len ? room : len, TAG, 0);
	int rc = twins_finish(t, call, &status);
	must(status.msg == NULL);
	free(out);
	free(in);
	return rc;
}

EveryPath(call, finished_without_a_reply_is_enomsg)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN / 4);
	struct calls c;
	struct twins t;
	twins_start(&t, &o);
	must_be(received(&t, len, len, 0), -ENOMSG);
	must_be(received(&t, len, len / 2, -EMSGSIZE), -EMSGSIZE);
	start_calls(&c, &t, len);
	for (int i = 0; i < SOME; i++)
		must_be(i % 2 == 0 ? haul_msg_done(c.taken[i]) : haul_msg_refuse(c.taken[i], -EDOM), 0);
	for (int i = 0; i < SOME; i++) {
		must_be(twins_finish(&t, c.calls[i], NULL), i % 2 == 0 ? -ENOMSG : -EDOM);
		free(c.out[i]);
	}
	twins_end(&t);
}

EveryPath(call, a_reply_is_no_message_to_receives)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN / 8);
	unsigned char *out = filled(len, answer_to(0)), *in = room_for(len);
	struct haul_req *recv, *take, *reply;
	struct calls c;
	struct twins t;
	twins_start(&t, &o);
	must_be(haul_irecv(t.a, NULL, &(struct iovec){ in, len }, 1, &recv), 0);
	must_be(haul_itake(t.a, NULL, &take), 0);
	start_calls(&c, &t, len);
	must_be(haul_reply(c.taken[0], &(struct iovec){ out, len }, 1, &reply), 0);
	check_icall(&t, c.calls[0], 0, len);
	must_be(twins_finish(&t, reply, NULL), 0);
	must_be(haul_req_test(recv), -EINPROGRESS);
	must_be(haul_req_test(take), -EINPROGRESS);
	twins_end(&t);
	for (int i = 0; i < SOME; i++)
		free(c.out[i]);
	free(out);
	free(in);
}

/* A long reply is read where it lies: so long it is not its sender's. */
EveryPath(call, a_described_reply_ends_when_the_caller_is_done_with_it)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *out = filled(len, answer_to(TAG)), *in = room_for(len);
	struct haul_req *call, *take, *reply, *read;
	struct haul_status status;
	struct twins t;
	if (path->eager_max > 0)
		goto out;
	twins_start(&t, &o);
	must_be(haul_icall(t.to_b, TAG, NULL, 0, &call), 0);
	must_be(haul_itake(t.b, NULL, &take), 0);
	must_be(twins_finish(&t, take, &status), 0);
	must_be(haul_reply(status.msg, &(struct iovec){ out, len }, 1, &reply), 0);
	must_be(twins_finish(&t, call, &status), 0);
	struct haul_msg *m = status.msg;
	for (size_t at = 0; at < len; at += len / 2) {
		size_t n = len / 2 < len - at ? len / 2 : len - at;
		must_be(haul_msg_iread(m, at, &(struct iovec){ in, n }, 1, &read), 0);
		must_be(twins_finish(&t, read, NULL), 0);
		must_hold(in, n, answer_to(TAG), at);
	}
	twins_settle(&t);
	must_be(haul_req_test(reply), -EINPROGRESS);
	must_be(haul_msg_done(m), 0);
	must_be(twins_finish(&t, reply, NULL), 0);
	twins_end(&t);
out:
	free(out);
	free(in);
}

EveryPath(call, let_go_of_goes_on_and_its_reply_is_dropped)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN / 8);
	unsigned char *out = filled(len, answer_to(0));
	struct haul_req *reply;
	struct calls c;
	struct twins t;
	twins_start(&t, &o);
	start_calls(&c, &t, len);
	for (int i = 0; i < SOME; i++) {
		if (i % 2 == 0) /* before it has come, or after it */
			haul_req_free(c.calls[i]);
		must_be(haul_reply(c.taken[i], &(struct iovec){ out, len }, 1, &reply), 0);
		twins_settle(&t);
		if (i % 2 != 0)
			haul_req_free(c.calls[i]);
		int rc = twins_finish(&t, reply, NULL);
		must(rc == -ECANCELED || (rc == 0 && path->eager));
		free(c.out[i]);
	}
	twins_end(&t);
	free(out);
}

/* ---- bad input ---- */

Test(call, of_nothing_by_nobody_or_to_nowhere_is_einval)
{
	struct twins t;
	struct haul_msg *m = NULL;
	struct haul_req *r;
	struct iovec bad[2] = { { &t, SIZE_MAX / 2 }, { &t, SIZE_MAX / 2 } };
	twins_start(&t, NULL);
	must_be(haul_call(NULL, TAG, NULL, 0, 0, &m), -EINVAL);
	must_be(haul_call(t.to_b, TAG, NULL, 0, 0, NULL), -EINVAL);
	must_be(haul_call(t.to_b, TAG, NULL, 0, -2, &m), -EINVAL);
	must_be(haul_call(t.to_b, TAG, bad, 2, 1, &m), -EINVAL);
	must_be(haul_call(t.to_b, TAG, NULL, 1, 1, &m), -EINVAL);
	must_be(haul_call(t.to_b, TAG, NULL, 0, 0, &m), -EAGAIN);
	must_be(haul_icall(NULL, TAG, NULL, 0, &r), -EINVAL);
	must_be(haul_icall(t.to_b, TAG, NULL, 0, NULL), -EINVAL);
	must_be(haul_icall(t.to_b, TAG, bad, 2, &r), -EINVAL);
	must_be(haul_reply(NULL, NULL, 0, &r), -EINVAL);
	must(m == NULL);
	twins_settle(&t);
	must_be(haul_probe(t.b, NULL, 0, &(struct haul_status){ 0 }), -EAGAIN); /* nothing was sent */
	twins_end(&t);
}

EveryPath(call, a_reply_to_what_is_no_call_is_einval_and_frees_nothing)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN / 8);
	unsigned char *out = filled(len, TAG), *in = room_for(len);
	struct haul_req *send, *take, *reply, *read;
	struct haul_status status;
	struct twins t;
	twins_start(&t, &o);
	must_be(haul_isend(t.to_b, TAG, &(struct iovec){ out, len }, 1, HAUL_SYNC, &send), 0);
	must_be(haul_itake(t.b, NULL, &take), 0);
	must_be(twins_finish(&t, take, &status), 0);
	must_be(haul_reply(status.msg, NULL, 0, &reply), -EINVAL);
	must_be(haul_msg_iread(status.msg, 0, &(struct iovec){ in, len }, 1, &read), 0);
	must_be(twins_finish(&t, read, NULL), 0);
	must_hold(in, len, TAG, 0);
	must_be(haul_msg_done(status.msg), 0);
	must_be(twins_finish(&t, send, NULL), 0);
	twins_end(&t);
	free(out);
	free(in);
}

/* The reply to a call is no call either. */
EveryPath(call, a_reply_that_can_not_be_started_leaves_all_as_it_was)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN / 8);
	unsigned char *out = filled(len, answer_to(0)), *in = room_for(len);
	struct iovec bad[2] = { { &o, SIZE_MAX / 2 }, { &o, SIZE_MAX / 2 } };
	struct haul_req *reply, *read, *none;
	struct haul_status status;
	struct calls c;
	struct twins t;
	o.max_msg = len;
	twins_start(&t, &o);
	start_calls(&c, &t, len);
	must_be(haul_reply(c.taken[0], NULL, 0, NULL), -EINVAL);
	must_be(haul_reply(c.taken[0], bad, 2, &none), -EINVAL);
	must_be(haul_reply(c.taken[0], (struct iovec[]){ { out, len }, { out, 1 } }, 2, &none), -EMSGSIZE);
	must_be(haul_msg_iread(c.taken[0], 0, &(struct iovec){ in, len }, 1, &read), 0);
	if (haul_req_test(read) == -EINPROGRESS) {
		must_be(haul_reply(c.taken[0], NULL, 0, &none), -EBUSY);
		must_be(haul_msg_done(c.taken[0]), -EBUSY);
	}
	must_be(twins_finish(&t, read, NULL), 0);
	must_hold(in, len, 0, 0);
	must_be(haul_reply(c.taken[0], &(struct iovec){ out, len }, 1, &reply), 0);
	must_be(twins_finish(&t, c.calls[0], &status), 0);
	must_be(haul_reply(status.msg, NULL, 0, &none), -EINVAL);
	must_be(haul_msg_done(status.msg), 0);
	must_be(twins_finish(&t, reply, NULL), 0);
	twins_end(&t);
	for (int i = 0; i < SOME; i++)
		free(c.out[i]);
	free(out);
	free(in);
}

/* ---- threads ---- */

struct caller {
	struct haul_peer *peer;
	uint64_t first;
	size_t len;
	pthread_t thread;
};

static void *call_on(void *arg)
{
	struct caller *c = arg;
	unsigned char *out = room_for(c->len);
	for (uint64_t i = 0; i < TURNS; i++) {
		struct haul_msg *reply;
		pattern_fill(out, c->len, c->first + i, 0);
		must_be(haul_call(c->peer, c->first + i, &(struct iovec){ out, c->len }, 1, PATIENCE_MS,
		            &reply),
		    0);
		check_reply(reply, c->peer, c->first + i, c->len / 2);
	}
	free(out);
	return NULL;
}

struct server {
	struct haul *haul;
	size_t len;
};

static void *serve_turns(void *arg)
{
	struct server *s = arg;
	for (int i = 0; i < THREADS * TURNS / 2; i++)
		serve_one(s->haul, s->len, s->len / 2);
	return NULL;
}

/* Two of them take what comes. */
static void serve_threads(struct haul *h, struct haul_peer *p, const void *path)
{
	struct server s = { .haul = h, .len = path_most(path, LONG_LEN / 30) };
	pthread_t thread;
	must_be(pthread_create(&thread, NULL, serve_turns, &s), 0);
	serve_turns(&s);
	must_be(pthread_join(thread, NULL), 0);
	await_token(h, p);
}

EveryPath(call, many_threads_call_and_serve_at_once)
{
	struct haul_options o = path_options(path);
	struct caller callers[THREADS];
	struct pairing p;
	pairing_start(&p, &o, &o, serve_threads, path);
	for (int i = 0; i < THREADS; i++) {
		callers[i] = (struct caller){ .peer = p.peer,
			.first = (uint64_t)i * TURNS,
			.len = path_most(path, LONG_LEN / 30) };
		must_be(pthread_create(&callers[i].thread, NULL, call_on, &callers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		must_be(pthread_join(callers[i].thread, NULL), 0);
	send_token(p.peer);
	pairing_end(&p);
}
