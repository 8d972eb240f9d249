/* SPDX-License-Identifier: BSD-3-Clause */
/* haul_fd() and haul_arm(): whoever drains, arms and sleeps as haul.h says is woken by whatever concerns him,
 * in any order of use, and left asleep otherwise. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/fds.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/seed.h"

TestSuite(pollable, .timeout = 120);

enum { TAG_X = 1, TAG_Y = 2, TAG_Z = 3, NEVER_MS = 50, SOON_MS = 20 };

/* ---- the three steps ---- */

static void drain(struct haul *h)
{
	int rc;
	while ((rc = haul_progress(h)) == 1)
		continue;
	must_be(rc, 0);
}

static bool readable(struct haul *h, int timeout_ms)
{
	struct pollfd fd = { .fd = haul_fd(h), .events = POLLIN };
	must(fd.fd >= 0);
	int n = poll(&fd, 1, timeout_ms);
	must(n >= 0);
	return n > 0;
}

/* Drains until it may sleep. */
static void arm(struct haul *h)
{
	int rc;
	do
		drain(h);
	while ((rc = haul_arm(h)) == -EAGAIN);
	must_be(rc, 0);
}

/* The request's result, when nothing but the descriptors of both says when there is something to do. */
static int finish_by_polling(struct twins *t, struct haul_req *r, struct haul_status *status)
{
	for (;;) {
		struct pollfd fds[] = { { .fd = haul_fd(t->a), .events = POLLIN },
			{ .fd = haul_fd(t->b), .events = POLLIN } };
		drain(t->a);
		drain(t->b);
		int rc = haul_req_finish(r, status);
		if (rc != -EINPROGRESS)
			return rc;
		int a = haul_arm(t->a), b = haul_arm(t->b);
		must((a == 0 || a == -EAGAIN) && (b == 0 || b == -EAGAIN));
		if (a == 0 && b == 0)
			must(poll(fds, 2, PATIENCE_MS) > 0);
	}
}

/* Connected, idle, and a armed. */
static void start_armed(struct twins *t, const struct haul_options *options)
{
	twins_start(t, options);
	must(haul_fd(t->a) >= 0);
	twins_settle(t);
	arm(t->a);
}

static struct haul_req *post(struct haul *h, uint64_t tag)
{
	struct haul_req *r;
	must_be(haul_irecv(h, &(struct haul_match){ .tag = tag }, NULL, 0, &r), 0);
	return r;
}

static void tell(struct haul_peer *p, uint64_t tag)
{
	must_be(haul_send(p, tag, NULL, 0, PATIENCE_MS), 0);
}

/* ---- the descriptor ---- */

Test(pollable, there_is_one_descriptor_and_it_goes_with_the_context)
{
	int fds = fds_count();
	struct haul *h;
	must_be(haul_open(&h, NULL, 0), 0);
	int fd = haul_fd(h), with = fds_count();
	must(fd >= 0);
	must_be(haul_fd(h), fd);
	arm(h);
	must_be(haul_fd(h), fd);
	must_be(fds_count(), with);
	must_be(haul_close(h, 0), 0);
	fds_expect(fds);
}

Test(pollable, arming_alone_makes_the_descriptor)
{
	int fds = fds_count();
	struct haul *h;
	must_be(haul_open(&h, NULL, 0), 0);
	arm(h);
	must(!readable(h, 0));
	must_be(haul_close(h, 0), 0);
	fds_expect(fds);
}

EveryPath(pollable, it_is_not_readable_while_nothing_happens)
{
	struct haul_options o = path_options(path);
	struct twins t;
	start_armed(&t, &o);
	must(!readable(t.a, 0));
	struct haul_req *r = post(t.a, TAG_X);
	arm(t.a);
	must(!readable(t.a, NEVER_MS));
	haul_req_free(r);
	twins_end(&t);
}

/* ---- what makes it readable ---- */

EveryPath(pollable, a_message_makes_it_readable_until_it_is_in_the_queue)
{
	struct haul_options o = path_options(path);
	struct twins t;
	struct haul_req *r;
	size_t len = path_most(path, 100000);
	unsigned char *out = malloc(len), *in = malloc(len);
	struct iovec iov = { out, len };
	pattern_fill(out, len, 1, 0);
	start_armed(&t, &o);
	must_be(haul_isend(t.to_a, TAG_X, &iov, 1, 0, &r), 0);
	must(haul_progress(t.b) >= 0);
	must(readable(t.a, PATIENCE_MS));

	/* Now it only lies there. */
	drain(t.a);
	must_be(haul_arm(t.a), 0);
	must(!readable(t.a, 0));
	must_be(haul_arm(t.a), 0);

	struct haul_req *recv;
	must_be(haul_irecv(t.a, NULL, &(struct iovec){ in, len }, 1, &recv), 0);
	must_be(finish_by_polling(&t, recv, NULL), 0);
	must_hold(in, len, 1, 0);
	must_be(finish_by_polling(&t, r, NULL), 0);
	twins_end(&t);
	free(out);
	free(in);
}

EveryPath(pollable, requests_of_either_side_complete_by_polling_alone)
{
	struct haul_options o = path_options(path);
	struct twins t;
	size_t most = path_most(path, 3000001);
	unsigned char *out = malloc(most), *in = malloc(most);
	twins_start(&t, &o);
	for (size_t len = 1; len <= most; len = len * 7 + 1) {
		struct iovec from = { out, len }, to = { in, len };
		struct haul_req *send, *recv;
		pattern_fill(out, len, len, 0);
		must_be(haul_irecv(t.a, NULL, &to, 1, &recv), 0);
		must_be(haul_isend(t.to_a, TAG_X, &from, 1, HAUL_SYNC, &send), 0);
		must_be(finish_by_polling(&t, send, NULL), 0);
		must_be(finish_by_polling(&t, recv, NULL), 0);
		must_hold(in, len, len, 0);
	}
	twins_end(&t);
	free(out);
	free(in);
}

Test(pollable, a_connection_comes_and_goes_by_polling_alone)
{
	struct twins t = { .fds = fds_count() };
	struct haul_listener *l;
	struct haul_req *accept, *connect, *watch;
	struct haul_status status;
	char address[64];
	snprintf(address, sizeof(address), "@haul-test-pollable-%d", (int)getpid());
	must_be(haul_open(&t.a, NULL, 0), 0);
	must_be(haul_open(&t.b, NULL, 0), 0);
	must_be(haul_listen(t.a, address, &l), 0);
	must_be(haul_iaccept(l, &accept), 0);
	must_be(haul_iconnect(t.b, address, &connect), 0);
	must_be(finish_by_polling(&t, connect, &status), 0);
	t.to_a = status.peer;
	must_be(finish_by_polling(&t, accept, &status), 0);
	t.to_b = status.peer;
	must_be(haul_peer_watch(t.to_b, &watch), 0);
	must_be(haul_peer_close(t.to_a, 0), 0);
	must_be(finish_by_polling(&t, watch, NULL), 0);
	twins_end(&t);
}

Test(pollable, a_message_to_oneself_needs_no_other_descriptor)
{
	struct haul *h;
	struct haul_req *send;
	must_be(haul_open(&h, NULL, 0), 0);
	struct haul_peer *self = haul_self(h);
	arm(h);
	struct haul_req *recv = post(h, TAG_X);
	must_be(haul_isend(self, TAG_X, NULL, 0, HAUL_SYNC, &send), 0);
	while (haul_req_finish(recv, NULL) == -EINPROGRESS) {
		must(haul_arm(h) == -EAGAIN || readable(h, PATIENCE_MS));
		drain(h);
	}
	while (haul_req_finish(send, NULL) == -EINPROGRESS) {
		must(haul_arm(h) == -EAGAIN || readable(h, PATIENCE_MS));
		drain(h);
	}
	must_be(haul_close(h, 0), 0);
}

Test(pollable, a_deadline_makes_it_readable_when_nothing_else_happens)
{
	struct twins t;
	start_armed(&t, NULL);
	struct haul_req *r = post(t.a, TAG_X);
	must_be(haul_req_deadline(r, PATIENCE_MS * 2), 0);
	must_be(haul_req_deadline(r, SOON_MS), 0);
	must_be(haul_arm(t.a), 0);
	must(readable(t.a, PATIENCE_MS));
	drain(t.a);
	must_be(haul_req_finish(r, NULL), -ETIMEDOUT);
	arm(t.a);
	must(!readable(t.a, 0));
	twins_end(&t);
}

Test(pollable, a_deadline_that_is_set_after_arming_counts_and_one_taken_away_does_not)
{
	struct twins t;
	start_armed(&t, NULL);
	struct haul_req *r = post(t.a, TAG_X);
	arm(t.a);
	must_be(haul_req_deadline(r, SOON_MS), 0); /* nobody arms after it */
	must(readable(t.a, PATIENCE_MS));
	drain(t.a);
	must_be(haul_req_finish(r, NULL), -ETIMEDOUT);

	r = post(t.a, TAG_X);
	must_be(haul_req_deadline(r, PATIENCE_MS), 0);
	must_be(haul_req_deadline(r, SOON_MS), 0);
	must_be(haul_req_deadline(r, -1), 0);
	arm(t.a);
	must(!readable(t.a, NEVER_MS));
	must_be(haul_req_test(r), -EINPROGRESS);
	haul_req_free(r);
	twins_end(&t);
}

EveryPath(pollable, a_send_that_nobody_answers_ends_at_its_deadline)
{
	struct haul_options o = path_options(path);
	struct twins t;
	struct haul_req *r;
	struct haul_status status;
	size_t len = path_most(path, 100000);
	unsigned char *out = calloc(len, 1);
	start_armed(&t, &o);
	must_be(haul_isend(t.to_b, TAG_X, &(struct iovec){ out, len }, 1, HAUL_SYNC, &r), 0);
	must_be(haul_req_deadline(r, SOON_MS), 0);
	arm(t.a); /* b does nothing from here on */
	while (haul_req_finish(r, &status) == -EINPROGRESS) {
		must(haul_arm(t.a) == -EAGAIN || readable(t.a, PATIENCE_MS));
		drain(t.a);
	}
	must_be(status.error, -ETIMEDOUT);
	free(out);
	twins_end(&t);
}

Test(pollable, it_stays_readable_until_a_big_message_is_pulled)
{
	enum { BIG = 50 << 20 };
	struct haul_options o = { .path = HAUL_PATH_PULL, .eager_max = -1 };
	struct haul_peer_info info;
	struct haul_req *send, *recv;
	struct twins t;
	int rounds = 0;
	start_armed(&t, &o);
	must_be(haul_peer_info(t.to_b, &info, sizeof(info)), 0);
	if (info.in_path != HAUL_PATH_PULL) {
		twins_end(&t);
		cr_skip_test("the kernel does not let this process pull");
	}
	unsigned char *out = malloc(BIG), *in = malloc(BIG);
	pattern_fill(out, BIG, 1, 0);
	must_be(haul_irecv(t.a, NULL, &(struct iovec){ in, BIG }, 1, &recv), 0);
	must_be(haul_isend(t.to_a, TAG_X, &(struct iovec){ out, BIG }, 1, 0, &send), 0);
	must(readable(t.a, PATIENCE_MS));
	while (haul_progress(t.a) == 1) {
		must_be(haul_arm(t.a), -EAGAIN);
		must(readable(t.a, 0));
		rounds++;
	}
	must(rounds > 1);
	must_be(haul_req_finish(recv, NULL), 0);
	must_hold(in, BIG, 1, 0);
	must_be(finish_by_polling(&t, send, NULL), 0);
	free(out);
	free(in);
	twins_end(&t);
}

/* Thousands of calls would be too long a time not to hear anybody else. */
Test(pollable, it_stays_readable_until_many_short_messages_are_pulled)
{
	enum { MANY = 4000 };
	struct haul_options o = { .path = HAUL_PATH_PULL, .eager_max = -1 };
	static struct haul_req *send[MANY], *recv[MANY];
	static unsigned char out[MANY], in[MANY];
	struct haul_peer_info info;
	struct haul_stats stats;
	struct twins t;
	int rounds = 0;
	start_armed(&t, &o);
	must_be(haul_peer_info(t.to_b, &info, sizeof(info)), 0);
	if (info.in_path != HAUL_PATH_PULL) {
		twins_end(&t);
		cr_skip_test("the kernel does not let this process pull");
	}
	pattern_fill(out, MANY, 1, 0);
	for (int i = 0; i < MANY; i++)
		must_be(haul_isend(t.to_a, TAG_X, &(struct iovec){ out + i, 1 }, 1, 0, &send[i]), 0);
	do {
		must(haul_progress(t.b) >= 0);
		must(haul_progress(t.a) >= 0);
		must_be(haul_stats(t.a, &stats, sizeof(stats)), 0);
	} while (stats.unexpected < MANY);
	for (int i = 0; i < MANY; i++)
		must_be(haul_irecv(t.a, NULL, &(struct iovec){ in + i, 1 }, 1, &recv[i]), 0);
	while (haul_progress(t.a) == 1) {
		must_be(haul_arm(t.a), -EAGAIN);
		must(readable(t.a, 0));
		rounds++;
	}
	must(rounds > 1);
	for (int i = 0; i < MANY; i++)
		must_be(haul_req_finish(recv[i], NULL), 0);
	must_hold(in, MANY, 1, 0);
	for (int i = 0; i < MANY; i++)
		must_be(finish_by_polling(&t, send[i], NULL), 0);
	twins_end(&t);
}

Test(pollable, arming_sends_what_has_gathered)
{
	enum { SENDS = 3 };
	struct haul_req *r[SENDS];
	struct twins t;
	start_armed(&t, NULL);
	arm(t.b);
	for (int i = 0; i < SENDS; i++)
		must_be(haul_isend(t.to_b, (uint64_t)i, NULL, 0, 0, &r[i]), 0);
	int rc = haul_arm(t.a);
	must(rc == 0 || rc == -EAGAIN);
	must(readable(t.b, PATIENCE_MS));
	for (int i = 0; i < SENDS; i++)
		must_be(haul_recv(t.b, &(struct haul_match){ .tag = (uint64_t)i }, NULL, 0, 0, NULL), 0);
	for (int i = 0; i < SENDS; i++)
		must_be(finish_by_polling(&t, r[i], NULL), 0);
	twins_end(&t);
}

/* ---- what blocking calls do meanwhile ---- */

/* A probe that finds nothing completes nothing of its own. */
static void wait_in_vain(struct haul *h)
{
	struct haul_status status;
	must_be(haul_probe(h, &(struct haul_match){ .tag = TAG_Z }, SOON_MS, &status), -ETIMEDOUT);
}

Test(pollable, a_request_that_a_blocking_call_completed_keeps_from_sleeping)
{
	struct twins t;
	start_armed(&t, NULL);
	struct haul_req *r = post(t.a, TAG_X);
	arm(t.a);
	drain(t.a);
	tell(t.to_a, TAG_X);
	wait_in_vain(t.a);
	must_be(haul_arm(t.a), -EAGAIN);
	must_be(haul_req_finish(r, NULL), 0);
	arm(t.a);
	twins_end(&t);
}

Test(pollable, a_message_that_a_blocking_call_queued_keeps_from_sleeping)
{
	struct twins t;
	start_armed(&t, NULL);
	drain(t.a);
	tell(t.to_a, TAG_X);
	wait_in_vain(t.a);
	must_be(haul_arm(t.a), -EAGAIN);
	must_be(haul_recv(t.a, NULL, NULL, 0, 0, NULL), 0);
	twins_end(&t);
}

/* For those who don't arm anew after it: it was armed before. */
Test(pollable, what_a_blocking_call_consumed_after_arming_makes_it_readable)
{
	struct twins t;
	start_armed(&t, NULL);
	tell(t.to_a, TAG_X);
	wait_in_vain(t.a);
	must(readable(t.a, 0));
	must_be(haul_arm(t.a), -EAGAIN);
	twins_end(&t);
}

Test(pollable, a_blocking_call_that_found_nothing_does_not_keep_from_sleeping)
{
	struct twins t;
	start_armed(&t, NULL);
	wait_in_vain(t.a);
	must_be(haul_arm(t.a), 0);
	must(!readable(t.a, 0));
	twins_end(&t);
}

static void count(struct haul_req *r, void *arg)
{
	(void)r;
	++*(int *)arg;
}

Test(pollable, a_callback_left_due_by_a_blocking_call_makes_it_readable)
{
	struct twins t;
	int calls = 0;
	start_armed(&t, NULL);
	struct haul_req *r = post(t.a, TAG_X);
	must_be(haul_req_notify(r, &(struct haul_notify){ .call = count, .arg = &calls }), 0);
	arm(t.a);
	tell(t.to_a, TAG_X);
	wait_in_vain(t.a);
	must_be(calls, 0);
	must(readable(t.a, 0));
	must_be(haul_arm(t.a), -EAGAIN);
	must(readable(t.a, 0));
	drain(t.a);
	must_be(calls, 1);
	must_be(haul_req_finish(r, NULL), 0);
	must_be(haul_arm(t.a), 0);
	must(!readable(t.a, 0));
	twins_end(&t);
}

Test(pollable, it_stays_readable_until_many_callbacks_have_run)
{
	enum { MANY = 200 }; /* few enough for the socket to hold them */
	struct haul_req *r[MANY];
	struct twins t;
	int calls = 0, rc;
	start_armed(&t, NULL);
	for (int i = 0; i < MANY; i++) {
		r[i] = post(t.a, TAG_X);
		must_be(haul_req_notify(r[i], &(struct haul_notify){ .call = count, .arg = &calls }), 0);
	}
	for (int i = 0; i < MANY; i++)
		tell(t.to_a, TAG_X);
	wait_in_vain(t.a);
	must_be(calls, 0);
	while ((rc = haul_progress(t.a)) == 1)
		must(readable(t.a, 0));
	must_be(rc, 0);
	must_be(calls, MANY);
	for (int i = 0; i < MANY; i++)
		must_be(haul_req_finish(r[i], NULL), 0);
	must_be(haul_arm(t.a), 0);
	must(!readable(t.a, 0));
	twins_end(&t);
}

Test(pollable, a_callback_asked_for_after_the_completion_makes_it_readable)
{
	struct twins t;
	int calls = 0;
	start_armed(&t, NULL);
	struct haul_req *r = post(t.a, TAG_X);
	tell(t.to_a, TAG_X);
	must(readable(t.a, PATIENCE_MS));
	arm(t.a);
	must_be(haul_req_notify(r, &(struct haul_notify){ .call = count, .arg = &calls }), 0);
	must(readable(t.a, 0));
	must_be(haul_arm(t.a), -EAGAIN);
	drain(t.a);
	must_be(calls, 1);
	haul_req_free(r);
	twins_end(&t);
}

/* ---- what other threads do meanwhile ---- */

static void *receive_y(void *h)
{
	must_be(haul_recv(h, &(struct haul_match){ .tag = TAG_Y }, NULL, 0, PATIENCE_MS, NULL), 0);
	return NULL;
}

static void *progress_until_y(void *h)
{
	struct haul_req *r = post(h, TAG_Y);
	while (haul_req_finish(r, NULL) == -EINPROGRESS)
		must(haul_progress(h) >= 0);
	return NULL;
}

static void *test_y(void *h)
{
	struct haul_req *r = post(h, TAG_Y);
	while (haul_req_test(r) == -EINPROGRESS)
		continue;
	must_be(haul_req_finish(r, NULL), 0);
	return NULL;
}

static void *(*const takers[])(void *) = { receive_y, progress_until_y, test_y };
enum { TAKERS = 3 };

/* Both messages come in order, so whoever has the second has taken the first off the socket, too. */
Test(pollable, what_another_thread_completes_after_the_arming_makes_it_readable)
{
	for (int i = 0; i < TAKERS; i++) {
		struct twins t;
		pthread_t thread;
		start_armed(&t, NULL);
		struct haul_req *r = post(t.a, TAG_X);
		must_be(haul_arm(t.a), 0);
		must(pthread_create(&thread, NULL, takers[i], t.a) == 0);
		tell(t.to_a, TAG_X);
		tell(t.to_a, TAG_Y);
		must(pthread_join(thread, NULL) == 0);
		must(readable(t.a, 0));
		must_be(haul_arm(t.a), -EAGAIN);
		must(readable(t.a, 0));
		must_be(haul_req_finish(r, NULL), 0);
		arm(t.a);
		must(!readable(t.a, 0));
		twins_end(&t);
	}
}

Test(pollable, what_another_thread_completes_before_the_arming_keeps_from_sleeping)
{
	for (int i = 0; i < TAKERS; i++) {
		struct twins t;
		pthread_t thread;
		start_armed(&t, NULL);
		struct haul_req *r = post(t.a, TAG_X);
		drain(t.a);
		tell(t.to_a, TAG_X);
		tell(t.to_a, TAG_Y);
		must(pthread_create(&thread, NULL, takers[i], t.a) == 0);
		must(pthread_join(thread, NULL) == 0);
		must_be(haul_arm(t.a), -EAGAIN);
		must_be(haul_req_finish(r, NULL), 0);
		twins_end(&t);
	}
}

/* The same when nobody has ever armed, so that the library does not know whose the descriptor is. */
Test(pollable, what_another_thread_completes_before_the_first_arming_keeps_from_sleeping)
{
	for (int i = 0; i < TAKERS; i++) {
		struct twins t;
		pthread_t thread;
		twins_start(&t, NULL);
		must(haul_fd(t.a) >= 0);
		twins_settle(&t);
		struct haul_req *r = post(t.a, TAG_X);
		drain(t.a);
		tell(t.to_a, TAG_X);
		tell(t.to_a, TAG_Y);
		must(pthread_create(&thread, NULL, takers[i], t.a) == 0);
		must(pthread_join(thread, NULL) == 0);
		must_be(haul_arm(t.a), -EAGAIN);
		must_be(haul_req_finish(r, NULL), 0);
		twins_end(&t);
	}
}

static void *progress_once(void *h)
{
	must(haul_progress(h) >= 0);
	return NULL;
}

/* In a loop that wanders between threads the next who arms has not seen what the last one saw. */
Test(pollable, the_thread_that_arms_is_the_one_that_has_to_have_looked)
{
	struct twins t;
	pthread_t thread;
	start_armed(&t, NULL);
	struct haul_req *r = post(t.a, TAG_X);
	tell(t.to_a, TAG_X);
	must(readable(t.a, PATIENCE_MS));
	must(pthread_create(&thread, NULL, progress_once, t.a) == 0);
	must(pthread_join(thread, NULL) == 0);
	must(readable(t.a, 0));
	must_be(haul_arm(t.a), -EAGAIN);
	must_be(haul_req_finish(r, NULL), 0);
	arm(t.a);
	twins_end(&t);
}

EveryPath(pollable, the_progress_thread_wakes_whoever_sleeps_on_the_descriptor)
{
	struct haul_options o = path_options(path);
	struct twins t;
	size_t len = path_most(path, 1000003);
	unsigned char *out = malloc(len), *in = malloc(len);
	o.progress_thread = 1;
	twins_start(&t, &o);
	for (uint64_t i = 0; i < 300; i++) {
		struct haul_req *send, *recv;
		pattern_fill(out, len, i, 0);
		must_be(haul_irecv(t.a, NULL, &(struct iovec){ in, len }, 1, &recv), 0);
		must_be(haul_isend(t.to_a, TAG_X, &(struct iovec){ out, len }, 1, 0, &send), 0);
		must_be(finish_by_polling(&t, recv, NULL), 0);
		must_be(finish_by_polling(&t, send, NULL), 0);
		must_hold(in, len, i, 0);
	}
	twins_end(&t);
	free(out);
	free(in);
}

/* ---- all of it at random ---- */

enum { ROUNDS = 10000, TAG_PING = 10, TAG_SIDE = 11, TAG_END = 12, LONGEST = 40000 };

static size_t random_len(const struct path *path)
{
	return random_below(8) == 0 ? random_below(path_most(path, LONGEST) + 1) : random_below(64);
}

static void linger_at_random(void)
{
	volatile size_t spin = random_below(4) == 0 ? random_below(20000) : 0;
	while (spin > 0)
		spin--;
}

static void send_at_random(struct haul_peer *p, uint64_t tag, const void *buf, size_t len)
{
	struct iovec iov = { (void *)buf, len };
	struct haul_req *r;
	switch (random_below(4)) {
	case 0:
		must_be(haul_send(p, tag, buf, len, PATIENCE_MS), 0);
		break;
	case 1:
		must_be(haul_sendv(p, tag, &iov, 1, HAUL_SYNC, PATIENCE_MS), 0);
		break;
	case 2:
		must_be(haul_isend(p, tag, &iov, 1, random_below(2) ? HAUL_SYNC : 0, &r), 0);
		linger_at_random();
		must_be(haul_req_wait(r, PATIENCE_MS), 0);
		must_be(haul_req_finish(r, NULL), 0);
		break;
	case 3:
		must_be(haul_sendv(p, tag, &iov, 1, HAUL_COPY, PATIENCE_MS), 0);
		break;
	}
}

static size_t receive_at_random(struct haul *h, void *buf, struct haul_status *status)
{
	struct iovec iov = { buf, LONGEST };
	struct haul_req *r;
	if (random_below(2) == 0)
		return (size_t)haul_recv(h, NULL, buf, LONGEST, PATIENCE_MS, status);
	must_be(haul_irecv(h, NULL, &iov, 1, &r), 0);
	linger_at_random();
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, status), 0);
	return status->got;
}

/* Pings, and answers what comes aside. */
static void ping_at_random(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = malloc(LONGEST), *got = malloc(LONGEST);
	struct haul_status status;
	seed_random();
	for (uint64_t round = 0; round < ROUNDS; round++) {
		size_t len = random_len(arg), n;
		pattern_fill(buf, len, round, 0);
		linger_at_random();
		send_at_random(p, TAG_PING, buf, len);
		while (n = receive_at_random(h, got, &status), status.tag == TAG_SIDE)
			send_at_random(p, TAG_SIDE, got, n);
		must_be(n, len);
		must_hold(got, n, round, 0);
	}
	send_at_random(p, TAG_END, NULL, 0);
	while (receive_at_random(h, got, &status), status.tag == TAG_SIDE)
		send_at_random(p, TAG_SIDE, got, status.got);
	free(buf);
	free(got);
}

/* The side that sleeps on the descriptor only. */
struct echo {
	struct pairing p;
	unsigned char *in, *out;
	struct haul_req *ping, *pong, *end; /* pong: NULL while there is none */
};

static void echo_listen(struct echo *e)
{
	struct iovec iov = { e->in, LONGEST };
	must_be(haul_irecv(e->p.haul, &(struct haul_match){ .tag = TAG_PING }, &iov, 1, &e->ping), 0);
}

/* Whatever is complete. False: the end has come. */
static bool echo_look(struct echo *e)
{
	struct haul_status status;
	if (e->pong != NULL && haul_req_finish(e->pong, &status) == 0)
		e->pong = NULL;
	if (e->pong == NULL && e->ping != NULL && haul_req_finish(e->ping, &status) == 0) {
		memcpy(e->out, e->in, status.got);
		struct iovec iov = { e->out, status.got };
		must_be(haul_isend(e->p.peer, TAG_PING, &iov, 1, 0, &e->pong), 0);
		echo_listen(e);
	}
	return haul_req_finish(e->end, NULL) == -EINPROGRESS;
}

static void echo_start(struct echo *e, const struct haul_options *o, const struct path *path)
{
	e->in = malloc(LONGEST);
	e->out = malloc(LONGEST);
	e->pong = NULL;
	pairing_start(&e->p, o, o, ping_at_random, path);
	echo_listen(e);
	e->end = post(e->p.haul, TAG_END);
}

static void echo_run(struct echo *e, void (*between)(struct echo *e))
{
	must(haul_fd(e->p.haul) >= 0);
	for (;;) {
		drain(e->p.haul);
		if (!echo_look(e))
			break;
		if (between != NULL)
			between(e);
		int rc = haul_arm(e->p.haul);
		must(rc == 0 || rc == -EAGAIN);
		if (rc == 0)
			must(readable(e->p.haul, PATIENCE_MS));
	}
}

static void echo_end(struct echo *e)
{
	must(e->pong == NULL);
	haul_req_free(e->ping);
	must_be(haul_send(e->p.peer, TAG_END, NULL, 0, PATIENCE_MS), 0);
	pairing_end(&e->p);
	free(e->in);
	free(e->out);
}

EveryPath(pollable, ten_thousand_random_pings_are_answered_by_polling_alone)
{
	struct haul_options o = path_options(path);
	struct echo e;
	echo_start(&e, &o, path);
	echo_run(&e, NULL);
	echo_end(&e);
}

/* A blocking call of the loop's own, which may take off the socket what the loop is to wake up for. */
static void block_at_random(struct echo *e)
{
	struct haul_status status;
	switch (random_below(24)) {
	case 0:
		must_be(haul_probe(e->p.haul, &(struct haul_match){ .tag = TAG_Z }, 1, &status), -ETIMEDOUT);
		break;
	case 1:
		must_be(haul_probe(e->p.haul, &(struct haul_match){ .tag = TAG_Z }, 0, &status), -EAGAIN);
		break;
	case 2:
		must(haul_req_test(e->ping) <= 0);
		break;
	}
}

EveryPath(pollable, ten_thousand_random_pings_are_answered_between_blocking_calls)
{
	struct haul_options o = path_options(path);
	struct echo e;
	seed_random();
	echo_start(&e, &o, path);
	echo_run(&e, block_at_random);
	echo_end(&e);
}

/* ---- the same beside a thread that blocks ---- */

static void *ping_aside(void *arg)
{
	struct echo *e = arg;
	const struct haul_match match = { .tag = TAG_SIDE };
	unsigned char buf[100], got[100];
	for (uint64_t i = 0; i < ROUNDS / 4; i++) {
		pattern_fill(buf, sizeof(buf), i, 0);
		must_be(haul_sendrecv(e->p.peer, TAG_SIDE, buf, sizeof(buf), &match, got, sizeof(got),
		            PATIENCE_MS, NULL),
		    sizeof(got));
		must_hold(got, sizeof(got), i, 0);
	}
	return NULL;
}

EveryPath(pollable, ten_thousand_random_pings_are_answered_beside_a_thread_that_blocks)
{
	struct haul_options o = path_options(path);
	struct echo e;
	pthread_t thread;
	echo_start(&e, &o, path);
	must(pthread_create(&thread, NULL, ping_aside, &e) == 0);
	echo_run(&e, NULL);
	must(pthread_join(thread, NULL) == 0);
	echo_end(&e);
}
