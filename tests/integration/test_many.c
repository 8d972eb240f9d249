/* SPDX-License-Identifier: BSD-3-Clause */
/* Many operations at once: waiting for any, some or all of many requests, and starting them in batches. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/duo.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(many, .timeout = 60);
TestSuite(batch, .timeout = 60);

enum { SOON_MS = 20, THOUSAND = 1000, LONG_LEN = 300007, SCRIBBLE = 0xa5 };

static void post(struct haul *h, uint64_t tag, void *buf, size_t len, struct haul_req **out)
{
	struct iovec to = { buf, len };
	must_be(haul_irecv(h, &(struct haul_match){ .tag = tag }, &to, 1, out), 0);
}

/* ---- waiting ---- */

Test(many, nothing_to_wait_for_is_said_at_once)
{
	struct haul_req *none[3] = { NULL, NULL, NULL };
	size_t done[3];
	must_be(haul_wait_any(none, 3, -1), -ENOENT);
	must_be(haul_wait_some(none, 3, done, -1), -ENOENT);
	must_be(haul_wait_all(none, 3, -1), 0);
	must_be(haul_wait_any(NULL, 0, -1), -ENOENT);
	must_be(haul_wait_some(NULL, 0, done, -1), -ENOENT);
	must_be(haul_wait_all(NULL, 0, -1), 0);
	must_be(haul_wait_any(NULL, 1, 0), -EINVAL);
	must_be(haul_wait_all(NULL, 1, 0), -EINVAL);
	must_be(haul_wait_some(NULL, 1, done, 0), -EINVAL);
}

Test(many, requests_of_two_contexts_are_refused_and_stay)
{
	struct haul_req *r[3] = { NULL };
	size_t done[3];
	struct twins t;
	twins_start(&t, NULL);
	post(t.a, 1, NULL, 0, &r[0]);
	post(t.b, 1, NULL, 0, &r[2]);
	must_be(haul_wait_any(r, 3, 0), -EINVAL);
	must_be(haul_wait_some(r, 3, done, -1), -EINVAL);
	must_be(haul_wait_all(r, 3, SOON_MS), -EINVAL);
	must_be(haul_req_test(r[0]), -EINPROGRESS);
	must_be(haul_req_test(r[2]), -EINPROGRESS);
	twins_end(&t);
}

/* Sends itself what is to complete: an empty message with that tag. */
static void say(struct haul *h, uint64_t tag)
{
	struct haul_req *r;
	must_be(haul_isend(haul_self(h), tag, NULL, 0, 0, &r), 0);
	haul_req_free(r);
}

Test(many, each_kind_of_wait_passes_holes_over_and_tells_what_is_complete)
{
	struct haul *h;
	struct haul_req *r[6] = { NULL };
	size_t done[6];
	must_be(haul_open(&h, NULL, 0), 0);
	must(haul_self(h) != NULL);
	post(h, 1, NULL, 0, &r[1]);
	post(h, 2, NULL, 0, &r[2]);
	post(h, 4, NULL, 0, &r[4]);

	must_be(haul_wait_any(r, 6, -2), -EINVAL);
	must_be(haul_wait_any(r, 6, 0), -EAGAIN);
	must_be(haul_wait_some(r, 6, done, 0), -EAGAIN);
	must_be(haul_wait_all(r, 6, 0), -EAGAIN);
	must_be(haul_wait_any(r, 6, SOON_MS), -ETIMEDOUT);
	must_be(haul_wait_some(r, 6, done, SOON_MS), -ETIMEDOUT);
	must_be(haul_wait_all(r, 6, SOON_MS), -ETIMEDOUT);

	say(h, 4);
	must_be(haul_wait_any(r, 6, PATIENCE_MS), 4);
	must_be(haul_wait_any(r, 6, 0), 4);
	must_be(haul_wait_any(r, 6, -1), 4);
	memset(done, 0xff, sizeof(done));
	must_be(haul_wait_some(r, 6, done, -1), 1);
	must_be(done[0], 4);
	must_be(haul_wait_all(r, 6, 0), -EAGAIN);
	must_be(haul_wait_all(r, 6, SOON_MS), -ETIMEDOUT);

	say(h, 1);
	while (haul_req_test(r[1]) != 0)
		continue;
	must_be(haul_wait_any(r, 6, -1), 1); /* the lowest */
	must_be(haul_wait_some(r, 6, done, 0), 2);
	must_be(done[0], 1);
	must_be(done[1], 4);

	say(h, 2);
	must_be(haul_wait_all(r, 6, PATIENCE_MS), 0);
	must_be(haul_wait_all(r, 6, 0), 0);
	must_be(haul_wait_some(r, 6, done, 0), 3);
	for (int i = 0; i < 6; i++)
		if (r[i] != NULL)
			must_be(haul_req_finish(r[i], NULL), 0);
	must_be(haul_close(h, 0), 0);
}

/* Sends all in an order of its own, each when the token for it has come. */
static void send_in_turn(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, LONG_LEN);
	(void)arg;
	for (int i = 0; i < 8; i++) {
		uint64_t tag = (uint64_t)(i * 5 % 8);
		unsigned char *buf = filled(len, tag);
		await_token(h, p);
		must_be(haul_send(p, tag, buf, len, PATIENCE_MS), 0);
		free(buf);
	}
}

EveryPath(many, any_of_them_wakes_the_waiter)
{
	struct haul_options o = path_options(path);
	struct haul_req *r[8];
	unsigned char *in[8];
	size_t len = path_most(path, LONG_LEN);
	struct pairing p;
	pairing_start(&p, &o, &o, send_in_turn, path);
	for (uint64_t i = 0; i < 8; i++) {
		in[i] = room_for(len);
		post(p.haul, i, in[i], len, &r[i]);
	}
	for (int i = 0; i < 8; i++) {
		size_t done[8];
		int tag = i * 5 % 8;
		send_token(p.peer);
		if (i % 2 == 0) {
			must_be(haul_wait_any(r, 8, -1), tag);
		} else {
			must_be(haul_wait_some(r, 8, done, -1), 1);
			must_be(done[0], tag);
		}
		must_be(haul_req_finish(r[tag], NULL), 0);
		must_hold(in[tag], len, (uint64_t)tag, 0);
		r[tag] = NULL;
		free(in[tag]);
	}
	must_be(haul_wait_any(r, 8, -1), -ENOENT);
	pairing_end(&p);
}

static void receive_thousand(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_req *r[THOUSAND];
	static uint64_t in[THOUSAND];
	size_t done[THOUSAND], left = THOUSAND;
	(void)arg;
	for (uint64_t i = 0; i < THOUSAND; i++)
		post(h, i, &in[i], sizeof(in[i]), &r[i]);
	send_token(p);
	while (left > 0) {
		int n = haul_wait_some(r, THOUSAND, done, PATIENCE_MS);
		must(n >= 1);
		for (int i = 0; i < n; i++) {
			must(i == 0 || done[i] > done[i - 1]);
			must_be(haul_req_finish(r[done[i]], NULL), 0);
			must_be(in[done[i]], done[i] * 3);
			r[done[i]] = NULL;
		}
		left -= (size_t)n;
	}
	must_be(haul_wait_some(r, THOUSAND, done, -1), -ENOENT);
}

EveryPath(many, a_thousand_of_them)
{
	struct haul_options o = path_options(path);
	static uint64_t out[THOUSAND];
	struct haul_req *r[THOUSAND];
	struct pairing p;
	pairing_start(&p, &o, &o, receive_thousand, NULL);
	await_token(p.haul, p.peer);
	for (size_t i = 0; i < THOUSAND; i++) {
		struct iovec from = { &out[i], sizeof(out[i]) };
		out[i] = (i * 7 % THOUSAND) * 3;
		must_be(haul_isend(p.peer, i * 7 % THOUSAND, &from, 1, HAUL_SYNC, &r[i]), 0);
	}
	must_be(haul_wait_all(r, THOUSAND, PATIENCE_MS), 0);
	for (size_t i = 0; i < THOUSAND; i++)
		must_be(haul_req_finish(r[i], NULL), 0);
	pairing_end(&p);
}

/* ---- batches ---- */

static struct haul_op send_op(struct haul_peer *p, uint64_t tag, const struct iovec *iov, unsigned flags)
{
	return (struct haul_op){ .kind = HAUL_OP_SEND,
		.flags = flags,
		.peer = p,
		.tag = tag,
		.iov = iov,
		.count = 1 };
}

static struct haul_op recv_op(uint64_t tag, const struct iovec *iov)
{
	return (struct haul_op){ .kind = HAUL_OP_RECV, .match = { .tag = tag }, .iov = iov, .count = 1 };
}

/* Both sides send and receive a few, each with a hole in the middle, in one call. */
static void exchange(struct haul *h, struct haul_peer *p, const void *arg)
{
	enum { EACH = 4 };
	size_t len = path_most(arg, LONG_LEN);
	struct haul_op ops[2 * EACH + 1];
	unsigned char *out[EACH], *in[EACH];
	struct iovec from[EACH], to[EACH];
	memset(ops, 0x5a, sizeof(ops));
	for (size_t i = 0; i < EACH; i++) {
		out[i] = filled(len, i);
		in[i] = room_for(len);
		from[i] = (struct iovec){ out[i], len };
		to[i] = (struct iovec){ in[i], len };
		ops[2 * i] = send_op(p, i, &from[i], i % 2 ? HAUL_SYNC : 0);
		ops[2 * i + 1] = recv_op(i, &to[i]);
	}
	ops[2 * EACH] = ops[1];
	ops[1] = (struct haul_op){ .kind = HAUL_OP_NONE };
	must_be(haul_submit(h, ops, 2 * EACH + 1, PATIENCE_MS, NULL), 0);
	for (size_t i = 0; i < 2 * EACH + 1; i++) {
		must(ops[i].req == NULL);
		must_be(ops[i].status.error, 0);
		if (ops[i].kind != HAUL_OP_RECV)
			continue;
		must_be(ops[i].status.tag, ops[i].match.tag);
		must_be(ops[i].status.len, len);
		must_be(ops[i].status.got, len);
		must(ops[i].status.peer == p);
	}
	for (size_t i = 0; i < EACH; i++) {
		must_hold(in[i], len, i, 0);
		free(in[i]);
		free(out[i]);
	}
}

EveryPath(batch, is_waited_for_and_every_status_is_filled_in)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	pairing_start(&p, &o, &o, exchange, path);
	exchange(p.haul, p.peer, path);
	pairing_end(&p);
}

static int told;

static void count_told(struct haul_req *r, void *arg)
{
	must(r == NULL);
	must(arg == &told);
	told++;
}

EveryPath(batch, that_returns_at_once_is_told_of_once_when_all_are_complete)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	struct haul_notify notify = { .call = count_told, .arg = &told };
	unsigned char *out = filled(len, 1), *in = room_for(len);
	struct iovec from = { out, len }, to = { in, len };
	struct haul_op ops[4];
	struct haul_status status;
	struct twins t;
	twins_start_in_one(&t, &o);
	ops[0] = send_op(t.to_b, 1, &from, HAUL_SYNC);
	ops[1] = (struct haul_op){ .kind = HAUL_OP_NONE };
	ops[2] = recv_op(1, &to);
	ops[3] = recv_op(2, &(struct iovec){ NULL, 0 });
	told = 0;
	must_be(haul_submit(t.a, ops, 4, 0, &notify), 0);
	must(ops[0].req != NULL && ops[1].req == NULL && ops[2].req != NULL && ops[3].req != NULL);
	must_be(haul_req_wait(ops[0].req, PATIENCE_MS), 0);
	must_be(haul_req_wait(ops[2].req, PATIENCE_MS), 0);
	twins_settle(&t);
	must_be(told, 0);                                 /* one is missing */
	must_be(haul_req_finish(ops[0].req, &status), 0); /* its part in the batch is over */
	must_be(haul_req_finish(ops[2].req, &status), 0);
	must_be(status.got, len);
	must_hold(in, len, 1, 0);
	say(t.a, 2);
	must_be(haul_req_wait(ops[3].req, PATIENCE_MS), 0);
	must_be(told, 0); /* waiting calls nobody */
	twins_settle(&t);
	must_be(told, 1);
	must_be(haul_req_finish(ops[3].req, NULL), 0);
	twins_settle(&t);
	must_be(told, 1);
	twins_end(&t);
	free(out);
	free(in);
}

Test(batch, without_a_notification_just_starts)
{
	struct haul_op ops[2];
	struct haul *h;
	unsigned char out = 7, in = 0;
	struct iovec from = { &out, 1 }, to = { &in, 1 };
	must_be(haul_open(&h, NULL, 0), 0);
	ops[0] = send_op(haul_self(h), 1, &from, 0);
	ops[1] = recv_op(1, &to);
	must_be(haul_submit(h, ops, 2, 0, NULL), 0);
	struct haul_req *r[2] = { ops[0].req, ops[1].req };
	must_be(haul_wait_all(r, 2, PATIENCE_MS), 0);
	must_be(haul_req_finish(r[0], NULL), 0);
	must_be(haul_req_finish(r[1], NULL), 0);
	must_be(in, 7);
	must_be(haul_close(h, 0), 0);
}

/* Of an empty batch, or one of which nothing could be started, all that were started are complete. */
Test(batch, of_nothing_is_told_of)
{
	struct haul_notify notify = { .call = count_told, .arg = &told };
	struct haul_op ops[2] = { { .kind = HAUL_OP_NONE }, { .kind = HAUL_OP_NONE } };
	struct haul *h;
	must_be(haul_open(&h, NULL, 0), 0);
	told = 0;
	must_be(haul_submit(h, NULL, 0, 0, &notify), 0);
	must_be(haul_submit(h, ops, 2, 0, &notify), 0);
	must_be(told, 0);
	while (haul_progress(h) == 1)
		continue;
	must_be(told, 2);
	ops[0].kind = HAUL_OP_SEND; /* to nobody */
	must_be(haul_submit(h, ops, 2, 0, &notify), -EIO);
	must_be(ops[0].status.error, -EINVAL);
	while (haul_progress(h) == 1)
		continue;
	must_be(told, 3);
	must_be(haul_submit(h, NULL, 0, -1, NULL), 0);
	must_be(haul_close(h, 0), 0);
}

static void make_bad_ops(struct haul_op ops[6], struct twins *t, const struct iovec *from,
    const struct iovec *to)
{
	static const struct iovec too_long[2] = { { NULL, SIZE_MAX / 2 }, { NULL, SIZE_MAX / 2 } };
	ops[0] = send_op(t->to_b, 1, too_long, 0); /* overflows */
	ops[0].count = 2;
	ops[1] = send_op(t->to_a, 1, from, 0);                /* another context's */
	ops[2] = send_op(haul_self(t->a), 1, from, 1U << 20); /* no such flag */
	ops[3] = recv_op(1, to);
	ops[3].match.from = t->to_a;
	ops[4] = send_op(haul_self(t->a), 1, from, 0); /* good */
	ops[5] = recv_op(1, to);                       /* good */
}

static void expect_bad_ops(const struct haul_op ops[6])
{
	for (int i = 0; i < 6; i++)
		must_be(ops[i].status.error, i < 4 ? -EINVAL : 0);
}

Test(batch, what_can_not_be_started_keeps_nothing_else_from_it)
{
	struct haul_op ops[6];
	unsigned char out[100], in[100];
	struct iovec from = { out, 100 }, to = { in, 100 };
	struct twins t;
	pattern_fill(out, 100, 1, 0);
	twins_start(&t, NULL);

	make_bad_ops(ops, &t, &from, &to);
	memset(in, 0, 100);
	must_be(haul_submit(t.a, ops, 6, PATIENCE_MS, NULL), -EIO);
	expect_bad_ops(ops);
	must_be(ops[5].status.got, 100);
	must_hold(in, 100, 1, 0);

	make_bad_ops(ops, &t, &from, &to);
	memset(in, 0, 100);
	must_be(haul_submit(t.a, ops, 6, 0, NULL), -EIO);
	expect_bad_ops(ops);
	for (int i = 0; i < 4; i++)
		must(ops[i].req == NULL);
	struct haul_req *r[2] = { ops[4].req, ops[5].req };
	must_be(haul_wait_all(r, 2, PATIENCE_MS), 0);
	must_be(haul_req_finish(r[0], NULL), 0);
	must_be(haul_req_finish(r[1], NULL), 0);
	must_hold(in, 100, 1, 0);
	twins_end(&t);
}

Test(batch, that_makes_no_sense_starts_nothing)
{
	struct haul_notify notify = { .call = count_told, .arg = &told }, bad = { .signal = 1000 };
	struct haul_op ops[2] = { { .kind = HAUL_OP_NONE }, { .kind = 3 } };
	struct haul_status status;
	struct haul *h;
	must_be(haul_open(&h, NULL, 0), 0);
	must(haul_self(h) != NULL);
	told = 0;
	ops[0] = send_op(haul_self(h), 1, &(struct iovec){ NULL, 0 }, 0);
	must_be(haul_submit(h, ops, 2, 0, NULL), -EINVAL);
	ops[1].kind = -1;
	must_be(haul_submit(h, ops, 2, -1, NULL), -EINVAL);
	must_be(haul_submit(h, ops, 1, -1, &notify), -EINVAL);
	must_be(haul_submit(h, ops, 1, PATIENCE_MS, &notify), -EINVAL);
	must_be(haul_submit(h, ops, 1, 0, &bad), -EINVAL);
	must_be(haul_submit(h, ops, 1, -2, NULL), -EINVAL);
	must_be(haul_submit(h, NULL, 1, 0, NULL), -EINVAL);
	must_be(haul_submit(NULL, ops, 1, 0, NULL), -EINVAL);
	while (haul_progress(h) == 1)
		continue;
	must_be(haul_probe(h, NULL, 0, &status), -EAGAIN);
	must_be(told, 0);
	must_be(haul_close(h, 0), 0);
}

static void receive_first_then_token(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = room_for(LONG_LEN);
	(void)arg;
	must_be(haul_recv(h, &(struct haul_match){ .tag = 1 }, buf, LONG_LEN, PATIENCE_MS, NULL), 100);
	must_hold(buf, 100, 1, 0);
	await_token(h, p);
	ssize_t n = haul_recv(h, NULL, buf, LONG_LEN, 0, NULL);
	must(n == -EAGAIN || n == -EPIPE); /* the other side may have left by now */
	free(buf);
}

/* What is done is done well; the rest is given up. */
EveryPath(batch, ends_at_its_timeout)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *out = filled(len, 1), in[8];
	struct iovec first = { out, 100 }, from = { out, len }, to = { in, 8 };
	struct haul_op ops[3];
	struct pairing p;
	memset(in, CANARY, 8);
	pairing_start(&p, &o, &o, receive_first_then_token, NULL);
	ops[0] = send_op(p.peer, 1, &first, HAUL_SYNC);
	ops[1] = send_op(p.peer, 2, &from, HAUL_SYNC); /* nobody receives it */
	ops[2] = recv_op(3, &to);
	must_be(haul_submit(p.haul, ops, 3, 200, NULL), -EIO);
	must_be(ops[0].status.error, 0);
	must_be(ops[1].status.error, -ETIMEDOUT);
	/* It answers that the message was not received; unless it gets no processor within the grace. */
	must_be(ops[1].status.flags & ~(unsigned)HAUL_STATUS_UNKNOWN, 0);
	must_be(ops[2].status.error, -ETIMEDOUT);
	memset(out, SCRIBBLE, len);
	must_be_untouched(in, 8);
	send_token(p.peer);
	pairing_end(&p);
	free(out);
}

static void interrupt_by_alarm(int signal);
static struct haul *to_interrupt;

static void interrupt_by_alarm(int signal)
{
	(void)signal;
	haul_interrupt(to_interrupt);
}

Test(batch, ends_at_an_interrupt)
{
	struct haul_op op = recv_op(1, &(struct iovec){ NULL, 0 });
	struct haul *h;
	must_be(haul_open(&h, NULL, 0), 0);
	must(haul_self(h) != NULL);
	to_interrupt = h;
	must(signal(SIGALRM, interrupt_by_alarm) != SIG_ERR);
	ualarm(SOON_MS * 1000, 0);
	must_be(haul_submit(h, &op, 1, -1, NULL), -EINTR);
	must_be(op.status.error, -EINTR);
	must(op.req == NULL);
	must_be(haul_close(h, 0), 0);
}
