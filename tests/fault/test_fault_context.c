/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening, asking and closing a context while calls fail: there is one, or there is none and nothing of it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/sweep.h"

TestSuite(fault_context, .timeout = 120);

static int open_context(struct haul **h, const void *options)
{
	return haul_open(h, options, options != NULL ? sizeof(struct haul_options) : 0);
}

static void opening(const void *options)
{
	struct haul *h = NULL, *other;
	struct haul_stats stats;
	int rc = (int)faulty(open_context(&h, options));
	must_be_told(rc);
	must((rc == 0) == (h != NULL)); /* written on success only */
	if (rc == 0)
		must_be(faulty(haul_stats(h, &stats, sizeof(stats))), 0);
	sweep_over();
	if (rc != 0)
		must_be(open_context(&h, options), 0);
	must_be(open_context(&other, NULL), 0);
	sweep_usable(h, other);
	haul_close(h, 0);
	haul_close(other, 0);
}

Test(fault_context, opens_whole_or_not_at_all)
{
	sweep(opening, NULL);
}

Test(fault_context, a_progress_thread_that_cannot_start_is_an_error)
{
	const struct haul_options o = { .progress_thread = 1 };
	sweep(opening, &o);
	struct haul *h;
	fault_arm(&(struct fault){ .nth = 1, .only = "pthread_create", .error = EAGAIN });
	int rc = open_context(&h, &o);
	fault_disarm();
	must_be(rc, -EAGAIN);
}

Test(fault_context, a_thread_that_helps_with_pulls_and_cannot_start_is_an_error)
{
	const struct haul_options o = { .pull_helper = 1, .progress_thread = 1 };
	sweep(opening, &o);
	struct haul *h;
	for (unsigned nth = 1; nth <= 2; nth++) {
		fault_arm(&(struct fault){ .nth = nth, .only = "pthread_create", .error = EAGAIN });
		int rc = open_context(&h, &o);
		fault_disarm();
		must_be(rc, -EAGAIN);
	}
}

static void descriptor(const void *arg)
{
	struct haul *h, *other;
	(void)arg;
	must_be(haul_open(&h, NULL, 0), 0);
	int fd = (int)faulty(haul_fd(h));
	must_be_told(fd);
	must_be_told(faulty(haul_progress(h)));
	must_be_told(faulty(haul_arm(h)));
	fault_go_on();
	haul_interrupt(h);
	fault_hold();
	sweep_over();
	if (fd < 0)
		fd = haul_fd(h);
	must(fd >= 0);
	must_be(haul_fd(h), fd);
	must_be(haul_open(&other, NULL, 0), 0);
	sweep_usable(h, other);
	haul_close(h, 0);
	haul_close(other, 0);
}

Test(fault_context, the_descriptor_for_event_loops_comes_whole_or_not_at_all)
{
	sweep(descriptor, NULL);
}

static void pair(const void *arg)
{
	int fds[2] = { -1, -1 };
	(void)arg;
	int rc = (int)faulty(haul_pair(fds));
	must_be_told(rc);
	must((rc == 0) == (fds[0] >= 0) && (rc == 0) == (fds[1] >= 0));
	if (rc == 0) {
		close(fds[0]);
		close(fds[1]);
	}
}

Test(fault_context, a_pair_is_two_descriptors_or_none)
{
	sweep(pair, NULL);
}

/* A message to oneself, and the handle for it. */
static void to_oneself(const void *arg)
{
	enum { LEN = 70000, SEED = 3 };
	const struct haul_options *o = arg;
	struct haul *h;
	struct haul_peer *self;
	struct haul_req *send = NULL, *recv = NULL;
	unsigned char *out = malloc(LEN), *in = malloc(LEN);
	struct iovec from = { out, LEN }, into = { in, LEN };
	must(out != NULL && in != NULL);
	pattern_fill(out, LEN, SEED, 0);
	must_be(haul_open(&h, o, sizeof(*o)), 0);
	fault_go_on();
	self = haul_self(h);
	fault_hold();
	if (self != NULL) {
		int rc = (int)faulty(haul_irecv(h, NULL, &into, 1, &recv));
		must_be_told(rc);
		rc = (int)faulty(haul_isend(self, 1, &from, 1, 0, &send));
		must_be_told(rc);
		for (int i = 0; i < 100; i++)
			must_be_told(faulty(haul_progress(h)));
	}
	sweep_over();
	int sent = -1, got = -1;
	struct haul_status status;
	if (send != NULL && recv == NULL)
		must_be(haul_irecv(h, NULL, &into, 1, &recv), 0);
	if (send != NULL) {
		must_be(haul_req_wait(send, PATIENCE_MS), 0);
		sent = haul_req_finish(send, NULL);
		must_be_told(sent);
	}
	if (recv != NULL) {
		if (sent != 0)
			haul_req_cancel(recv);
		must_be(haul_req_wait(recv, PATIENCE_MS), 0);
		got = haul_req_finish(recv, &status);
		must(sent == 0 ? got == 0 : got < 0);
	}
	if (got == 0) {
		must_be(status.got, LEN);
		must_hold(in, LEN, SEED, 0);
	}
	must(haul_self(h) != NULL);
	haul_close(h, 0);
	free(out);
	free(in);
}

Test(fault_context, messages_to_oneself_are_delivered_whole_or_fail)
{
	for (int path = HAUL_PATH_AUTO; path <= HAUL_PATH_STREAM; path++) {
		struct haul_options o = { .path = path == HAUL_PATH_EAGER ? HAUL_PATH_AUTO : path,
			.eager_max = path == HAUL_PATH_EAGER ? 65536 : 0 };
		sweep(to_oneself, &o);
	}
}

/* ---- the end ---- */

struct ending {
	struct haul_options mine, theirs; /* the other side makes progress by itself */
	bool linger, peer_only;
};

static void ending(const void *arg)
{
	enum { LEN = 100000, SEED = 4 };
	const struct ending *e = arg;
	struct twins t;
	struct haul_req *recv, *send, *unheard, *never;
	struct haul_status status;
	unsigned char *out = malloc(LEN), *in = malloc(LEN), small[100] = { 0 };
	struct iovec from = { out, LEN }, into = { in, LEN }, few = { small, sizeof(small) };
	must(out != NULL && in != NULL);
	pattern_fill(out, LEN, SEED, 0);
	twins_start_unlike(&t, &e->mine, &e->theirs);
	struct haul_match only = { .tag = 1 }, none = { .tag = 99 };
	must_be(haul_irecv(t.b, &only, &into, 1, &recv), 0);
	must_be(haul_isend(t.to_b, 1, &from, 1, 0, &send), 0);
	must_be(haul_isend(t.to_b, 2, &few, 1, 0, &unheard), 0);
	must_be(haul_irecv(t.a, &none, &few, 1, &never), 0);
	int rc = (int)faulty(e->peer_only ? haul_peer_close(t.to_b, e->linger ? sweep_timeout() : 0)
	                                  : haul_close(t.a, e->linger ? sweep_timeout() : 0));
	if (e->linger || rc != -ETIMEDOUT)
		must_be_told(rc);
	sweep_over();
	must_be(haul_req_wait(recv, PATIENCE_MS), 0);
	int got = haul_req_finish(recv, &status);
	must(got == 0 || got == -ECANCELED || must_be_told(got) < 0);
	if (got == 0) {
		must_be(status.got, LEN);
		must_hold(in, LEN, SEED, 0);
	}
	if (e->peer_only) {
		int sent = haul_req_finish(send, NULL);
		must(sent == 0 || sent == -ECANCELED || must_be_told(sent) < 0);
		if (sent == 0 && e->linger)
			must_be(got, 0);
		haul_req_finish(unheard, NULL);
		sweep_usable(t.a, t.b);
		must_be(haul_close(t.a, 0), 0);
	}
	must_be(haul_close(t.b, 0), 0);
	free(out);
	free(in);
}

static void sweep_ending(bool peer_only)
{
	for (int path = HAUL_PATH_PULL; path <= HAUL_PATH_STREAM; path++) {
		for (int linger = 0; linger <= 1; linger++) {
			struct haul_options o = { .path = path, .spin_us = -1 };
			struct ending e = { .mine = o,
				.theirs = o,
				.linger = linger,
				.peer_only = peer_only };
			e.theirs.progress_thread = 1;
			sweep(ending, &e);
		}
	}
}

Test(fault_context, closing_always_frees)
{
	sweep_ending(false);
}

Test(fault_context, closing_a_peer_always_frees_it)
{
	sweep_ending(true);
}
