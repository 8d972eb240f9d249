/* SPDX-License-Identifier: BSD-3-Clause */
/* Flush, goodbye and fork: what is sent before still arrives, and those who stay hear of it: the same on
 * every path. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/fds.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"

TestSuite(leaving, .timeout = 60);

enum { TAG_DATA = 7, TAG_TOKEN = 1000, ROW = 10 };

static void send_token(struct haul_peer *p)
{
	must_be(haul_send(p, TAG_TOKEN, NULL, 0, PATIENCE_MS), 0);
}

static void await_token(struct haul *h, struct haul_peer *p)
{
	struct haul_match match = { .from = p, .tag = TAG_TOKEN };
	must_be(haul_recv(h, &match, NULL, 0, PATIENCE_MS, NULL), 0);
}

static size_t len_of(const struct path *path, size_t i)
{
	return path_most(path, i % 2 == 0 ? 1000 : 500000);
}

static void begin_row(struct haul_peer *p, const struct path *path, struct haul_req **reqs,
    unsigned char **bufs)
{
	for (size_t i = 0; i < ROW; i++) {
		size_t len = len_of(path, i);
		bufs[i] = malloc(len);
		must(bufs[i] != NULL);
		pattern_fill(bufs[i], len, i, 0);
		struct iovec iov = { bufs[i], len };
		must_be(haul_isend(p, TAG_DATA, &iov, 1, 0, &reqs[i]), 0);
	}
}

static void receive_nth(struct haul *h, struct haul_peer *p, const struct path *path, size_t i)
{
	struct haul_match match = { .from = p, .tag = TAG_DATA };
	size_t len = len_of(path, i);
	unsigned char *buf = malloc(len);
	must(buf != NULL);
	must_be(haul_recv(h, &match, buf, len, PATIENCE_MS, NULL), len);
	must_hold(buf, len, i, 0);
	free(buf);
}

/* ---- flush ---- */

static void flush_then_tell(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_req *reqs[ROW];
	unsigned char *bufs[ROW];
	(void)h;
	must_be(haul_peer_flush(p, PATIENCE_MS), 0); /* there is nothing yet */
	begin_row(p, arg, reqs, bufs);
	must_be(haul_peer_flush(p, 0), -EAGAIN);
	must_be(haul_peer_flush(p, 20), -ETIMEDOUT);
	send_token(p);
	must_be(haul_peer_flush(p, PATIENCE_MS), 0);
	for (size_t i = 0; i < ROW; i++) {
		must_be(haul_req_test(reqs[i]), 0);
		must_be(haul_req_finish(reqs[i], NULL), 0);
		free(bufs[i]);
	}
	send_token(p);
}

EveryPath(leaving, a_flush_returns_when_all_before_it_was_received)
{
	struct haul_options o = path_options(path);
	struct haul_status status;
	struct haul_match token = { .tag = TAG_TOKEN };
	struct pairing p;
	pairing_start(&p, &o, &o, flush_then_tell, path);
	await_token(p.haul, p.peer);
	for (size_t i = 0; i < ROW; i++) {
		must_be(haul_probe(p.haul, &token, i + 1 == ROW ? 20 : 0, &status),
		    i + 1 == ROW ? -ETIMEDOUT : -EAGAIN);
		receive_nth(p.haul, p.peer, path, i);
	}
	await_token(p.haul, p.peer);
	pairing_end(&p);
}

EveryPath(leaving, a_flush_does_not_wait_for_what_comes_after_it)
{
	struct haul_options o = path_options(path);
	struct haul_req *reqs[ROW];
	unsigned char *bufs[ROW], one;
	struct twins t;
	twins_start_in_one(&t, &o);
	must_be(haul_isend(t.to_b, TAG_TOKEN, &(struct iovec){ "1", 1 }, 1, 0, &reqs[0]), 0);
	must_be(haul_recv(t.a, NULL, &one, 1, PATIENCE_MS, NULL), 1);
	must_be(haul_req_wait(reqs[0], PATIENCE_MS), 0);
	must_be(haul_req_finish(reqs[0], NULL), 0);
	must_be(haul_peer_flush(t.to_b, PATIENCE_MS), 0);
	begin_row(t.to_b, path, reqs, bufs);
	must_be(haul_peer_flush(t.to_b, 20), -ETIMEDOUT);
	must_be(haul_peer_flush(t.to_a, PATIENCE_MS), 0);
	for (size_t i = 0; i < ROW; i++)
		receive_nth(t.a, t.to_a, path, i);
	must_be(haul_peer_flush(t.to_b, PATIENCE_MS), 0);
	for (size_t i = 0; i < ROW; i++) {
		must_be(haul_req_finish(reqs[i], NULL), 0);
		free(bufs[i]);
	}
	twins_end(&t);
}

/* ---- goodbye ---- */

static void send_and_close(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_req *reqs[ROW];
	unsigned char *bufs[ROW];
	struct haul_status status;
	(void)h;
	begin_row(p, arg, reqs, bufs);
	must_be(haul_peer_close(p, PATIENCE_MS), 0);
	for (size_t i = 0; i < ROW; i++) {
		must_be(haul_req_finish(reqs[i], &status), 0);
		must(status.peer == NULL);
		must_be(status.tag, TAG_DATA);
		free(bufs[i]);
	}
}

EveryPath(leaving, what_was_sent_before_a_lingering_close_arrives)
{
	struct haul_options o = path_options(path);
	struct haul_match any = { .tag = 0, .ignore = UINT64_MAX }, from;
	struct haul_peer_info info;
	struct haul_req *r;
	struct haul_status status;
	struct pairing p;
	pairing_start(&p, &o, &o, send_and_close, path);
	for (size_t i = 0; i < ROW; i++)
		receive_nth(p.haul, p.peer, path, i);
	from = any;
	from.from = p.peer;
	must_be(haul_recv(p.haul, &from, NULL, 0, PATIENCE_MS, &status), -EPIPE);
	must_be(status.error, -EPIPE);
	must_be(haul_recv(p.haul, &any, NULL, 0, PATIENCE_MS, NULL), -EPIPE);
	must_be(haul_probe(p.haul, &from, PATIENCE_MS, &status), -EPIPE);
	must_be(haul_irecv(p.haul, &from, NULL, 0, &r), 0);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, NULL), -EPIPE);
	must_be(haul_send(p.peer, 1, "x", 1, PATIENCE_MS), -EPIPE);
	must_be(haul_sendv(p.peer, 1, NULL, 0, HAUL_SYNC, 0), -EPIPE);
	must_be(haul_peer_flush(p.peer, PATIENCE_MS), -EPIPE);
	must_be(haul_peer_info(p.peer, &info, sizeof(info)), 0);
	must_be(info.alive, 0);
	must_be(info.pid, p.child.pid);
	must_be(haul_peer_close(p.peer, PATIENCE_MS), 0);
	pairing_end(&p);
}

static void send_few_and_close(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)h;
	(void)arg;
	for (int i = 0; i < 3; i++)
		must_be(haul_send(p, TAG_DATA, "abc", 3, PATIENCE_MS), 0);
}

/* It closes while the other end receives nothing: what it had handed over is kept there. */
Test(leaving, short_messages_outlive_their_sender)
{
	struct haul_match other = { .tag = TAG_TOKEN };
	struct pairing p;
	char buf[3];
	pairing_start(&p, NULL, NULL, send_few_and_close, NULL);
	must_be(haul_recv(p.haul, &other, NULL, 0, PATIENCE_MS, NULL), -EPIPE);
	child_expect(&p.child, 0);
	for (int i = 0; i < 3; i++) {
		must_be(haul_recv(p.haul, NULL, buf, 3, PATIENCE_MS, NULL), 3);
		must(memcmp(buf, "abc", 3) == 0);
	}
	must_be(haul_recv(p.haul, NULL, buf, 3, PATIENCE_MS, NULL), -EPIPE);
	must_be(haul_close(p.haul, PATIENCE_MS), 0);
	fds_expect(p.fds);
}

static void leave_when_offered(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_status status;
	(void)arg;
	must_be(haul_probe(h, NULL, PATIENCE_MS, &status), 0);
	must_be(haul_peer_close(p, PATIENCE_MS), 0);
}

EveryPath(leaving, a_sync_send_hears_that_the_peer_left_without_receiving)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	pairing_start(&p, &o, &o, leave_when_offered, NULL);
	struct iovec iov = { "unwanted", 8 };
	must_be(haul_sendv(p.peer, 1, &iov, 1, HAUL_SYNC, PATIENCE_MS), -EPIPE);
	pairing_end(&p);
}

static void receive_row_then_goodbye(struct haul *h, struct haul_peer *p, const void *arg)
{
	for (size_t i = 0; i < ROW; i++)
		receive_nth(h, p, arg, i);
}

EveryPath(leaving, closing_a_context_lingers_for_what_it_sends)
{
	struct haul_options o = path_options(path);
	struct haul_req *reqs[ROW];
	unsigned char *bufs[ROW];
	struct pairing p;
	pairing_start(&p, &o, &o, receive_row_then_goodbye, path);
	begin_row(p.peer, path, reqs, bufs);
	pairing_end(&p); /* with linger; the requests are the context's and go with it */
	for (size_t i = 0; i < ROW; i++)
		free(bufs[i]);
}

EveryPath(leaving, a_close_without_linger_leaves_at_once)
{
	struct haul_options o = path_options(path);
	struct haul_req *r;
	struct haul_status status;
	struct twins t;
	static char big[100000];
	size_t len = path_most(path, sizeof(big));
	struct iovec iov = { big, len };
	twins_start(&t, &o);
	must_be(haul_isend(t.to_b, 1, &iov, 1, HAUL_SYNC, &r), 0);
	must_be(haul_peer_close(t.to_b, 0), -ETIMEDOUT);
	must_be(haul_req_finish(r, &status), -ECANCELED);
	must(status.peer == NULL);
	/* Whatever the other end still got of it, it comes to an end there, too. */
	ssize_t n;
	do
		n = haul_recv(t.b, NULL, big, len, PATIENCE_MS, NULL);
	while (n >= 0 || n == -ECANCELED);
	must(n == -EPIPE || n == -ECONNRESET);
	twins_end(&t);
}

/* ---- fork ---- */

struct copy {
	struct haul *haul;
	struct haul_peer *peer;
	struct haul_req *req;
	struct haul_listener *listener;
};

static int use_the_copy(void *arg)
{
	struct copy *c = arg;
	struct haul *own;
	struct haul_peer *peer;
	struct haul_req *r;
	struct haul_stats stats;
	struct haul_peer_info info;
	struct haul_status status;
	int pair[2];
	must_in_child();
	must_be(haul_pair(pair), 0);
	must_be(haul_send(c->peer, 1, "x", 1, -1), -ESTALE);
	must_be(haul_isend(c->peer, 1, NULL, 0, 0, &r), -ESTALE);
	must_be(haul_recv(c->haul, NULL, NULL, 0, -1, &status), -ESTALE);
	must_be(status.error, -ESTALE);
	must_be(haul_irecv(c->haul, NULL, NULL, 0, &r), -ESTALE);
	must_be(haul_probe(c->haul, NULL, -1, &status), -ESTALE);
	must_be(haul_progress(c->haul), -ESTALE);
	must_be(haul_stats(c->haul, &stats, sizeof(stats)), -ESTALE);
	must_be(haul_peer_info(c->peer, &info, sizeof(info)), -ESTALE);
	must_be(haul_peer_flush(c->peer, -1), -ESTALE);
	must_be(haul_req_test(c->req), -ESTALE);
	must_be(haul_req_wait(c->req, -1), -ESTALE);
	must_be(haul_req_finish(c->req, NULL), -ESTALE);
	must_be(haul_accept(c->listener, -1, &peer), -ESTALE);
	must_be(haul_connect(c->haul, "@nobody", -1, &peer), -ESTALE);
	must_be(haul_adopt(c->haul, pair[0], -1, &peer), -ESTALE);
	haul_interrupt(c->haul);
	haul_req_free(c->req);
	/* A context of its own works beside the copy. */
	must_be(haul_open(&own, NULL, 0), 0);
	must_be(haul_recv(own, NULL, NULL, 0, 0, NULL), -EPIPE);
	must_be(haul_close(c->haul, -1), -ESTALE);
	must_be(haul_close(own, 0), 0);
	return 0;
}

static void exchange_around_fork(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_req *reqs[ROW];
	unsigned char *bufs[ROW];
	for (int round = 0; round < 2; round++) {
		begin_row(p, arg, reqs, bufs);
		for (size_t i = 0; i < ROW; i++)
			receive_nth(h, p, arg, i);
		for (size_t i = 0; i < ROW; i++) {
			must_be(haul_req_wait(reqs[i], PATIENCE_MS), 0);
			must_be(haul_req_finish(reqs[i], NULL), 0);
			free(bufs[i]);
		}
	}
}

EveryPath(leaving, a_forked_copy_is_stale_and_its_close_disturbs_nobody)
{
	struct haul_options o = path_options(path);
	struct haul_req *reqs[ROW];
	unsigned char *bufs[ROW];
	char address[64];
	struct copy c;
	struct child fork;
	struct pairing p;
	snprintf(address, sizeof(address), "@haul-test-leaving-%d", (int)getpid());
	pairing_start(&p, &o, &o, exchange_around_fork, path);
	c.haul = p.haul;
	c.peer = p.peer;
	must_be(haul_listen(p.haul, address, &c.listener), 0);
	must_be(haul_irecv(p.haul, &(struct haul_match){ .tag = 5 }, NULL, 0, &c.req), 0);
	for (int round = 0; round < 2; round++) {
		begin_row(p.peer, path, reqs, bufs);
		if (round == 1) { /* amid all of it */
			child_start(&fork, PATIENCE_MS, use_the_copy, &c);
			child_expect(&fork, 0);
		}
		for (size_t i = 0; i < ROW; i++)
			receive_nth(p.haul, p.peer, path, i);
		for (size_t i = 0; i < ROW; i++) {
			must_be(haul_req_wait(reqs[i], PATIENCE_MS), 0);
			must_be(haul_req_finish(reqs[i], NULL), 0);
			free(bufs[i]);
		}
	}
	pairing_end(&p);
}
