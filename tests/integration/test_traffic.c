/* SPDX-License-Identifier: BSD-3-Clause */
/* Much at once: both ways, more than anybody takes, and nothing is lost, nobody waits for ever, and nobody
 * holds more than was agreed: the same on every path. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"

TestSuite(traffic, .timeout = 60);

enum { TAG_TOKEN = 1000000, WINDOW = 16 };

static size_t len_of(const struct path *path, size_t i)
{
	return path_most(path, i % 10 == 9 ? 70001 : i % 3 == 0 ? 9000 : i % 1000);
}

/* ---- both ways through windows ---- */

struct lane {
	struct haul_req *reqs[WINDOW];
	unsigned char *bufs[WINDOW];
	size_t begun, ended;
};

enum { BOTH_WAYS = 1000, LANE_BUF = 70001 };

static void lanes_init(struct lane *out, struct lane *in)
{
	*out = *in = (struct lane){ .begun = 0 };
	for (size_t i = 0; i < WINDOW; i++) {
		out->bufs[i] = malloc(LANE_BUF);
		in->bufs[i] = malloc(LANE_BUF);
		must(out->bufs[i] != NULL && in->bufs[i] != NULL);
	}
}

static void lanes_fini(struct lane *out, struct lane *in)
{
	for (size_t i = 0; i < WINDOW; i++) {
		free(out->bufs[i]);
		free(in->bufs[i]);
	}
}

static void send_next(struct lane *out, struct haul_peer *p, const struct path *path)
{
	size_t i = out->begun++, slot = i % WINDOW;
	struct iovec iov = { out->bufs[slot], len_of(path, i) };
	pattern_fill(iov.iov_base, iov.iov_len, i, 0);
	must_be(haul_isend(p, i, &iov, 1, i % 2 == 0 ? HAUL_SYNC : 0, &out->reqs[slot]), 0);
}

static void receive_next(struct lane *in, struct haul *h)
{
	size_t slot = in->begun++ % WINDOW;
	struct iovec iov = { in->bufs[slot], LANE_BUF };
	must_be(haul_irecv(h, NULL, &iov, 1, &in->reqs[slot]), 0);
}

static void end_oldest_send(struct lane *out)
{
	size_t slot = out->ended++ % WINDOW;
	must_be(haul_req_wait(out->reqs[slot], PATIENCE_MS), 0);
	must_be(haul_req_finish(out->reqs[slot], NULL), 0);
}

static void end_oldest_receive(struct lane *in, const struct path *path)
{
	size_t i = in->ended++, slot = i % WINDOW;
	struct haul_status status;
	must_be(haul_req_wait(in->reqs[slot], PATIENCE_MS), 0);
	must_be(haul_req_finish(in->reqs[slot], &status), 0);
	must_be(status.tag, i);
	must_be(status.got, len_of(path, i));
	must_hold(in->bufs[slot], status.got, i, 0);
}

static void exchange(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct lane out, in;
	lanes_init(&out, &in);
	while (in.ended < BOTH_WAYS || out.ended < BOTH_WAYS) {
		while (in.begun < BOTH_WAYS && in.begun - in.ended < WINDOW)
			receive_next(&in, h);
		while (out.begun < BOTH_WAYS && out.begun - out.ended < WINDOW)
			send_next(&out, p, arg);
		if (out.ended < BOTH_WAYS)
			end_oldest_send(&out);
		if (in.ended < BOTH_WAYS)
			end_oldest_receive(&in, arg);
	}
	lanes_fini(&out, &in);
}

EveryPath(traffic, a_thousand_messages_go_both_ways_at_once)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	pairing_start(&p, &o, &o, exchange, path);
	exchange(p.haul, p.peer, path);
	pairing_end(&p);
}

/* ---- both flood ---- */

enum { FLOOD = 3000 };

static unsigned char *flood_bytes(const struct path *path)
{
	unsigned char *all = malloc((size_t)FLOOD * 1000 + 70001);
	must(all != NULL);
	pattern_fill(all, (size_t)FLOOD * 1000 + path_most(path, 70001), 0, 0);
	return all;
}

/* All is begun before anything is received; then received in the order sent; only then the sends end. */
static void flood(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct path *path = arg;
	unsigned char *from = flood_bytes(path), *to = malloc(70001);
	struct haul_req **reqs = calloc(FLOOD, sizeof(struct haul_req *));
	struct haul_status status;
	must(reqs != NULL && to != NULL);
	for (size_t i = 0; i < FLOOD; i++) {
		struct iovec iov = { from + i * 1000, len_of(path, i) };
		must_be(haul_isend(p, i, &iov, 1, 0, &reqs[i]), 0);
		must(haul_progress(h) >= 0);
	}
	for (size_t i = 0; i < FLOOD; i++) {
		must_be(haul_recv(h, NULL, to, 70001, PATIENCE_MS, &status), len_of(path, i));
		must_be(status.tag, i);
		must_hold(to, status.got, 0, i * 1000);
	}
	for (size_t i = 0; i < FLOOD; i++) {
		must_be(haul_req_wait(reqs[i], PATIENCE_MS), 0);
		must_be(haul_req_finish(reqs[i], NULL), 0);
	}
	free(from);
	free(to);
	free(reqs);
}

EveryPath(traffic, both_may_flood_each_other)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	pairing_start(&p, &o, &o, flood, path);
	flood(p.haul, p.peer, path);
	pairing_end(&p);
}

/* ---- large ones side by side ---- */

enum { LARGE = 4, LARGE_LEN = 3 << 20 };

static void exchange_large(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, LARGE_LEN);
	struct haul_req *out[LARGE], *in[LARGE];
	unsigned char *from[LARGE], *to[LARGE];
	for (size_t i = 0; i < LARGE; i++) {
		from[i] = malloc(len);
		to[i] = malloc(len);
		must(from[i] != NULL && to[i] != NULL);
		pattern_fill(from[i], len, i, 0);
		struct iovec there = { from[i], len }, here = { to[i], len };
		must_be(haul_irecv(h, &(struct haul_match){ .tag = i }, &here, 1, &in[i]), 0);
		must_be(haul_isend(p, i, &there, 1, HAUL_SYNC, &out[i]), 0);
	}
	for (size_t i = LARGE; i-- > 0;) {
		must_be(haul_req_wait(in[i], PATIENCE_MS), 0);
		must_be(haul_req_finish(in[i], NULL), 0);
		must_hold(to[i], len, i, 0);
		must_be(haul_req_wait(out[i], PATIENCE_MS), 0);
		must_be(haul_req_finish(out[i], NULL), 0);
		free(from[i]);
		free(to[i]);
	}
}

EveryPath(traffic, several_large_messages_move_at_once_both_ways)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	pairing_start(&p, &o, &o, exchange_large, path);
	exchange_large(p.haul, p.peer, path);
	pairing_end(&p);
}

static void send_large_then_small(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, 16 << 20);
	unsigned char *from = malloc(len);
	struct haul_req *r;
	must(from != NULL);
	pattern_fill(from, len, 1, 0);
	struct iovec iov = { from, len };
	must_be(haul_isend(p, 1, &iov, 1, HAUL_SYNC, &r), 0);
	for (uint64_t i = 0; i < 50; i++)
		must_be(haul_send(p, 2, &i, sizeof(i), PATIENCE_MS), 0);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, NULL), 0);
	free(from);
	(void)h;
}

EveryPath(traffic, small_messages_arrive_while_a_large_one_moves)
{
	struct haul_options o = path_options(path);
	struct haul_req *r;
	struct pairing p;
	size_t len = path_most(path, 16 << 20);
	unsigned char *to = malloc(len);
	struct iovec iov = { to, len };
	pairing_start(&p, &o, &o, send_large_then_small, path);
	must_be(haul_irecv(p.haul, &(struct haul_match){ .tag = 1 }, &iov, 1, &r), 0);
	for (uint64_t i = 0, got; i < 50; i++) {
		must_be(haul_recv(p.haul, &(struct haul_match){ .tag = 2 }, &got, 8, PATIENCE_MS, NULL), 8);
		must_be(got, i);
	}
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, NULL), 0);
	must_hold(to, len, 1, 0);
	free(to);
	pairing_end(&p);
}

/* Question and answer, while a large message goes the way of the questions; then nothing but that one. */
static void answer_beside_large(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, 64 << 20);
	unsigned char *to = malloc(len);
	struct iovec iov = { to, len };
	struct haul_req *r;
	must(to != NULL);
	must_be(haul_irecv(h, &(struct haul_match){ .tag = 1 }, &iov, 1, &r), 0);
	for (uint64_t i = 0, got; i < 100; i++) {
		must_be(haul_recv(h, &(struct haul_match){ .tag = 2 }, &got, 8, PATIENCE_MS, NULL), 8);
		must_be(haul_send(p, 3, &got, 8, PATIENCE_MS), 0);
	}
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, NULL), 0);
	must_hold(to, len, 1, 0);
	free(to);
}

EveryPath(traffic, a_conversation_goes_on_beside_a_large_message)
{
	struct haul_options o = path_options(path);
	struct haul_req *r;
	struct pairing p;
	size_t len = path_most(path, 64 << 20);
	unsigned char *from = malloc(len);
	struct iovec iov = { from, len };
	pattern_fill(from, len, 1, 0);
	pairing_start(&p, &o, &o, answer_beside_large, path);
	must_be(haul_isend(p.peer, 1, &iov, 1, HAUL_SYNC, &r), 0);
	for (uint64_t i = 0, got; i < 100; i++) {
		must_be(haul_send(p.peer, 2, &i, 8, PATIENCE_MS), 0);
		must_be(haul_recv(p.haul, &(struct haul_match){ .from = p.peer, .tag = 3 }, &got, 8,
		            PATIENCE_MS, NULL),
		    8);
		must_be(got, i);
	}
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, NULL), 0);
	free(from);
	pairing_end(&p);
}

/* ---- a receiver that does not receive ---- */

enum { BUDGET = 65536, PIECE = 1000 };

/* Sends until it can't for a while; returns how many were sent. */
static size_t send_until_full(struct haul_peer *p)
{
	unsigned char buf[PIECE];
	for (size_t i = 0;; i++) {
		pattern_fill(buf, sizeof(buf), i, 0);
		int rc = haul_send(p, i, buf, sizeof(buf), 20);
		memset(buf, 0xff, sizeof(buf));
		if (rc == -ETIMEDOUT)
			return i;
		must_be(rc, 0);
	}
}

/* All that were sent, in order; and of the one that timed out all or nothing. */
static void receive_those_sent(struct haul *h, size_t count)
{
	unsigned char buf[PIECE];
	struct haul_status status;
	for (size_t i = 0; i < count; i++) {
		must_be(haul_recv(h, NULL, buf, sizeof(buf), PATIENCE_MS, &status), PIECE);
		must_be(status.tag, i);
		must_hold(buf, PIECE, i, 0);
	}
	ssize_t n = haul_recv(h, NULL, buf, sizeof(buf), 0, &status);
	if (n >= 0) {
		must_be(n, PIECE);
		must_be(status.tag, count);
		must_hold(buf, PIECE, count, 0);
		n = haul_recv(h, NULL, buf, sizeof(buf), 0, &status);
	}
	must_be(n, -EAGAIN);
}

EveryPath(traffic, a_sender_to_one_that_is_away_times_out_within_the_budget)
{
	struct haul_options o = path_options(path);
	struct twins t;
	o.budget = BUDGET;
	twins_start(&t, &o);
	for (int round = 0; round < 3; round++) {
		size_t sent = send_until_full(t.to_b);
		must(path->eager ? sent > 0 : sent == 0);
		must(sent * (PIECE + 64) <= BUDGET);
		twins_settle(&t);
		receive_those_sent(t.b, sent);
		twins_settle(&t);
	}
	twins_end(&t);
}

/* This one reads what comes, but its program does not receive it. */
EveryPath(traffic, what_nobody_receives_stays_within_the_budget)
{
	enum { MORE = 500 };
	struct haul_options o = path_options(path);
	struct haul_req *reqs[MORE];
	struct haul_stats s;
	struct twins t;
	unsigned char *from = malloc(MORE * PIECE), to[PIECE];
	size_t early = 0;
	o.budget = BUDGET;
	twins_start(&t, &o);
	for (size_t i = 0; i < MORE; i++) {
		struct iovec iov = { from + i * PIECE, PIECE };
		pattern_fill(iov.iov_base, PIECE, i, 0);
		must_be(haul_isend(t.to_b, i, &iov, 1, 0, &reqs[i]), 0);
	}
	twins_settle(&t);
	for (size_t i = 0; i < MORE; i++)
		early += haul_req_test(reqs[i]) == 0;
	must_be(haul_stats(t.a, &s, sizeof(s)), 0);
	must_be(s.sent_eager, early);
	must(early * (PIECE + 64) <= BUDGET);
	must(path->eager ? early > 10 : early == 0);
	for (size_t i = 0; i < MORE; i++) {
		struct haul_status status;
		struct haul_req *r;
		struct iovec iov = { to, PIECE };
		must_be(haul_irecv(t.b, NULL, &iov, 1, &r), 0);
		must_be(twins_finish(&t, r, &status), 0);
		must_be(status.tag, i);
		must_hold(to, PIECE, i, 0);
	}
	for (size_t i = 0; i < MORE; i++)
		must_be(twins_finish(&t, reqs[i], NULL), 0);
	twins_end(&t);
	free(from);
}

/* Without requests: two that only ever block in sends get through if that is less than the least budget. */
static void send_all_then_receive_all(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char buf[PIECE];
	(void)arg;
	for (size_t i = 0; i < 60; i++) {
		pattern_fill(buf, PIECE, i, 0);
		must_be(haul_send(p, i, buf, PIECE, PATIENCE_MS), 0);
	}
	for (size_t i = 0; i < 60; i++) {
		must_be(haul_recv(h, NULL, buf, PIECE, PATIENCE_MS, NULL), PIECE);
		must_hold(buf, PIECE, i, 0);
	}
}

Test(traffic, both_may_block_in_sends_within_the_least_budget)
{
	struct pairing p;
	pairing_start(&p, NULL, NULL, send_all_then_receive_all, NULL);
	send_all_then_receive_all(p.haul, p.peer, NULL);
	pairing_end(&p);
}
