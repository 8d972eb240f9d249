/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The calls that wait, while calls fail beneath them. The other side is a process that answers, so that this one
 * has a single thread and waits in all its ways: it spins, dozes at the socket, sleeps in the set.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/sweep.h"

TestSuite(fault_blocking, .timeout = 120);

enum { TAG = 21, MOST = 100000, BRIEF_MS = 10, TURNS = 50 };

/* Sends back what it gets, until the connection ends. */
static void echo(struct haul *h, struct haul_peer *p, const void *arg)
{
	static unsigned char buf[MOST];
	struct haul_status status;
	ssize_t n;
	(void)arg;
	while ((n = haul_recv(h, NULL, buf, sizeof(buf), PATIENCE_MS, &status)) >= 0)
		if (haul_send(p, status.tag, buf, (size_t)n, PATIENCE_MS) < 0)
			break;
}

struct trip {
	const struct path *path;
	size_t len;
	/* Sends .out to the peer and gets the echo into .in, by whichever calls: 0; or else it isn't there. */
	int (*make)(struct haul *h, struct haul_peer *p, const struct trip *t);
	int spin_us;
	unsigned char *out, *in;
};

static void round_trip(const void *arg)
{
	struct trip t = *(const struct trip *)arg;
	struct haul_options o = path_options(t.path);
	struct haul *other;
	struct pairing p;
	must_note(fault_words());
	o.spin_us = t.spin_us;
	pairing_start(&p, &o, &o, echo, NULL);
	t.out = malloc(t.len);
	t.in = malloc(t.len);
	must(t.out != NULL && t.in != NULL);
	pattern_fill(t.out, t.len, TAG, 0);
	memset(t.in, CANARY, t.len);
	int rc = t.make(p.haul, p.peer, &t);
	sweep_over();
	if (rc == 0)
		must_hold(t.in, t.len, TAG, 0);
	must_be(haul_open(&other, NULL, 0), 0);
	sweep_usable(p.haul, other);
	haul_close(other, 0);
	haul_peer_close(p.peer, 0);
	pairing_end(&p);
	free(t.out);
	free(t.in);
}

static void sweep_trip(const struct path *path,
    int (*make)(struct haul *h, struct haul_peer *p, const struct trip *t))
{
	struct trip t = { .path = path, .len = path_most(path, 60000), .make = make, .spin_us = -1 };
	sweep(round_trip, &t);
}

/* The result of an exposed call, judged. */
#define told(call) ((int)must_be_told(faulty(call)))

static int plainly(struct haul *h, struct haul_peer *p, const struct trip *t)
{
	struct haul_status status;
	int rc = told(haul_send(p, TAG, t->out, t->len, sweep_timeout()));
	if (rc < 0)
		return rc;
	rc = told(haul_recv(h, &(struct haul_match){ .from = p, .tag = TAG }, t->in, t->len, sweep_timeout(),
	    &status));
	return rc < 0 ? rc : status.got == t->len ? 0 : 1;
}

EveryPath(fault_blocking, send_and_receive_do_their_work_or_say_why_not)
{
	sweep_trip(path, plainly);
}

/* The send is let go of at once, and goes on unseen. */
static int in_parts(struct haul *h, struct haul_peer *p, const struct trip *t)
{
	struct iovec from = { t->out, t->len };
	struct iovec into[] = { { t->in, t->len / 2 }, { t->in + t->len / 2, t->len - t->len / 2 } };
	struct haul_status status;
	struct haul_req *r;
	int rc = told(haul_isend(p, TAG, &from, 1, 0, &r));
	if (rc < 0)
		return rc;
	faulty((haul_req_free(r), 0));
	rc = told(
	    haul_recvv(h, &(struct haul_match){ .from = p, .tag = TAG }, into, 2, sweep_timeout(), &status));
	return rc < 0 ? rc : status.got == t->len ? 0 : 1;
}

EveryPath(fault_blocking, a_send_let_go_of_and_a_receive_in_parts_as_well)
{
	sweep_trip(path, in_parts);
}

/* As a foreign event loop does: progress, arm, sleep on the descriptor. What fails passingly is tried again by the next
 * turn; what fails for good is given up in the end. */
static int by_descriptor(struct haul *h, struct haul_peer *p, const struct trip *t)
{
	struct iovec from = { t->out, t->len }, into = { t->in, t->len };
	struct haul_req *r[2] = { NULL, NULL };
	struct timespec since = { 0 };
	bool passes = sweep_timeout() > BRIEF_MS;
	int fd = told(haul_fd(h));
	int rc = fd < 0 ? fd : told(haul_irecv(h, NULL, &into, 1, &r[0]));
	if (rc == 0)
		rc = told(haul_isend(p, TAG, &from, 1, 0, &r[1]));
	for (int i = 0; rc == 0 && (passes ? sweep_patient(&since) : i < TURNS); i++) {
		must_be_told(faulty(haul_progress(h)));
		if (!sweep_goes_on(r[0], false) && !sweep_goes_on(r[1], false))
			break;
		int armed = (int)faulty(haul_arm(h));
		must(armed == -EAGAIN || must_be_told(armed) == armed);
		if (armed == 0) /* not for ever: the bell may have failed to ring */
			poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, BRIEF_MS);
	}
	int ended[2] = { -ENOENT, -ENOENT };
	for (int i = 1; i >= 0; i--) {
		if (r[i] == NULL)
			continue;
		haul_req_cancel(r[i]);
		must_be(haul_req_wait(r[i], PATIENCE_MS), 0);
		ended[i] = haul_req_finish(r[i], NULL);
		rc = rc >= 0 && ended[i] < 0 ? ended[i] : rc;
	}
	if (passes) /* it was in nobody's way for long */
		must(ended[1] != -ECANCELED && (ended[1] != 0 || ended[0] != -ECANCELED));
	return rc;
}

EveryPath(fault_blocking, an_event_loop_gets_there_or_is_told)
{
	sweep_trip(path, by_descriptor);
}

static int copied(struct haul *h, struct haul_peer *p, const struct trip *t)
{
	struct iovec from = { t->out, t->len };
	int rc = told(haul_sendv(p, TAG, &from, 1, HAUL_COPY, sweep_timeout()));
	memset(t->out, 0, t->len); /* ours again */
	if (rc == 0)
		rc = told(haul_recv(h, NULL, t->in, t->len, sweep_timeout(), NULL));
	return rc < 0 ? rc : 0;
}

EveryPath(fault_blocking, a_copy_leaves_by_itself)
{
	sweep_trip(path, copied);
}

static int at_once(struct haul *h, struct haul_peer *p, const struct trip *t)
{
	(void)h;
	int rc = told(haul_sendrecv(p, TAG, t->out, t->len, &(struct haul_match){ .from = p, .tag = TAG },
	    t->in, t->len, sweep_timeout(), NULL));
	return rc < 0 ? rc : 0;
}

EveryPath(fault_blocking, sendrecv_as_well)
{
	sweep_trip(path, at_once);
}

static int by_requests(struct haul *h, struct haul_peer *p, const struct trip *t)
{
	struct iovec from = { t->out, t->len }, into = { t->in, t->len };
	struct haul_req *r[2] = { NULL, NULL };
	size_t done[2];
	int rc = told(haul_irecv(h, NULL, &into, 1, &r[0]));
	if (rc == 0)
		rc = told(haul_isend(p, TAG, &from, 1, HAUL_COPY, &r[1]));
	if (rc == 0)
		rc = told(haul_wait_some(r, 2, done, sweep_timeout()));
	if (rc >= 0)
		rc = told(haul_wait_any(r, 2, sweep_timeout()));
	if (rc >= 0)
		rc = told(haul_wait_all(r, 2, sweep_timeout()));
	for (int i = 1; i >= 0; i--) {
		if (r[i] == NULL)
			continue;
		haul_req_cancel(r[i]);
		must_be(haul_req_wait(r[i], PATIENCE_MS), 0);
		int ended = haul_req_finish(r[i], NULL);
		rc = rc >= 0 && ended < 0 ? ended : rc;
	}
	return rc < 0 ? rc : 0;
}

EveryPath(fault_blocking, waits_for_requests_end)
{
	sweep_trip(path, by_requests);
}

static int in_a_batch(struct haul *h, struct haul_peer *p, const struct trip *t)
{
	struct iovec from = { t->out, t->len }, into = { t->in, t->len };
	struct haul_op ops[] = {
		{ .kind = HAUL_OP_RECV, .iov = &into, .count = 1, .match.tag = TAG },
		{ .kind = HAUL_OP_SEND, .iov = &from, .count = 1, .peer = p, .tag = TAG, .flags = HAUL_SYNC },
	};
	/* A receive whose send could not be started waits as long as it may. */
	int rc = told(haul_submit(h, ops, 2, 100, NULL));
	if (rc == 0)
		must(ops[0].status.error == 0 && ops[1].status.error == 0);
	if (rc == -EIO)
		must(ops[0].status.error != 0 || ops[1].status.error != 0);
	return rc;
}

EveryPath(fault_blocking, a_batch_that_is_waited_for_as_well)
{
	sweep_trip(path, in_a_batch);
}

static int by_taking(struct haul *h, struct haul_peer *p, const struct trip *t)
{
	struct iovec from = { t->out, t->len }, into = { t->in, t->len };
	struct haul_status status;
	struct haul_msg *m;
	int rc = told(haul_sendv(p, TAG, &from, 1, HAUL_SYNC, sweep_timeout()));
	if (rc == 0)
		rc = told(haul_probe(h, NULL, sweep_timeout(), &status));
	if (rc == 0)
		rc = told(haul_take(h, NULL, sweep_timeout(), &m));
	if (rc != 0)
		return rc;
	ssize_t n = faulty(haul_msg_read(m, 0, &into, 1, sweep_timeout()));
	must(n == -ECANCELED || must_be_told(n) == n);
	must_be(faulty(haul_msg_done(m)), 0);
	return n == (ssize_t)t->len ? 0 : 1;
}

EveryPath(fault_blocking, takes_that_wait_as_well)
{
	sweep_trip(path, by_taking);
}

static int and_flush(struct haul *h, struct haul_peer *p, const struct trip *t)
{
	(void)h;
	int rc = told(haul_send(p, TAG, t->out, t->len, sweep_timeout()));
	if (rc == 0)
		rc = told(haul_peer_flush(p, sweep_timeout()));
	return rc == 0 ? 1 : rc; /* nobody looks at the echo */
}

EveryPath(fault_blocking, a_flush_ends)
{
	sweep_trip(path, and_flush);
}

/* So many that nobody misses the set any more: the connection leaves it, and comes back for what is not there at
 * once. */
static int for_long(struct haul *h, struct haul_peer *p, const struct trip *t)
{
	enum { TRIPS = 20 };
	for (int i = 0; i < 2 * TRIPS; i++) {
		struct haul_status status;
		int rc = told(haul_send(p, TAG, t->out, t->len, sweep_timeout()));
		if (rc == 0)
			rc = told(haul_recv(h, NULL, t->in, t->len, sweep_timeout(), &status));
		if (rc < 0)
			return rc;
		if (i % TRIPS == TRIPS - 1) {
			rc = (int)faulty(haul_probe(h, NULL, 1, &status));
			must(rc == -ETIMEDOUT || must_be_told(rc) < 0);
		}
	}
	return 0;
}

Test(fault_blocking, a_connection_that_left_the_set_comes_back_or_ends)
{
	struct path path = { .name = "eager", .path = HAUL_PATH_AUTO, .longest = SIZE_MAX, .eager = true };
	struct trip t = { .path = &path, .len = 100, .make = for_long, .spin_us = 20000 };
	sweep_only("epoll_ctl", round_trip, &t);
}
