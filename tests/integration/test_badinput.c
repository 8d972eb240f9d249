/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a caller can get wrong without undefined behaviour is answered, with words, and changes nothing: NULL
 * objects, negative times, lengths that overflow, contexts that are closed, peers of another context, options
 * out of range.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <haul/haul.h>

#include "lib/child.h"
#include "lib/duo.h"
#include "lib/fds.h"
#include "lib/must.h"

TestSuite(badinput, .timeout = 60);

enum { LATE_MS = 20000, CHILD_MS = 30000 };

/* ---- a connection to do it with: a child that echoes until told to end ---- */

static int echo(struct haul *h, struct haul_peer *p, void *arg)
{
	static char buf[4096];
	(void)arg;
	for (;;) {
		struct haul_status status;
		ssize_t n = haul_recv(h, NULL, buf, sizeof(buf), LATE_MS, &status);
		if (n == 0)
			return 0;
		must(n > 0);
		must_be(haul_send(p, status.tag, buf, (size_t)n, LATE_MS), 0);
	}
}

static struct duo d;
static int fds;

static void begin(void)
{
	fds = fds_count();
	duo_start(&d, &(struct duo_plan){ .run = echo, .timeout_ms = CHILD_MS });
}

/* After all that, nothing is the worse for it. */
static void end(void)
{
	char got[8];
	must_be(haul_send(d.peer, 42, "fine?", 5, LATE_MS), 0);
	must_be(haul_recv(d.haul, NULL, got, sizeof(got), LATE_MS, NULL), 5);
	must(memcmp(got, "fine?", 5) == 0);
	must_be(haul_recv(d.haul, NULL, got, sizeof(got), 0, NULL), -EAGAIN); /* nothing else was sent */
	must_be(haul_send(d.peer, 0, NULL, 0, LATE_MS), 0);
	child_expect(&d.child, 0);
	must_be(haul_close(d.haul, LATE_MS), 0);
	fds_expect(fds);
}

/* The call is refused so, and says why. */
#define refused(call, expected) (must_be(call, expected), must(*haul_reason() != '\0'))

/* The same, and its status tells the error. */
#define refused_with_status(call, status, expected) \
	(memset((status), 0x5a, sizeof(*(status))), refused(call, expected), \
	    must_be((status)->error, expected))

/* ---- NULL ---- */

Test(badinput, a_null_object_is_refused)
{
	struct haul_listener *l;
	struct haul_peer *p;
	struct haul_req *r;
	struct haul_status s;
	struct haul_stats stats;
	struct haul_peer_info info;
	char buf[8];
	struct iovec iov = { .iov_base = buf, .iov_len = 8 };
	refused(haul_progress(NULL), -EINVAL);
	refused(haul_stats(NULL, &stats, sizeof(stats)), -EINVAL);
	refused(haul_listen(NULL, "@x", &l), -EINVAL);
	refused(haul_accept(NULL, 0, &p), -EINVAL);
	refused(haul_connect(NULL, "@x", 0, &p), -EINVAL);
	refused(haul_adopt(NULL, 0, 0, &p), -EINVAL);
	refused(haul_iadopt(NULL, 0, &r), -EINVAL);
	refused(haul_peer_flush(NULL, 0), -EINVAL);
	refused(haul_peer_info(NULL, &info, sizeof(info)), -EINVAL);
	refused(haul_send(NULL, 0, buf, 8, 0), -EINVAL);
	refused(haul_sendv(NULL, 0, &iov, 1, 0, 0), -EINVAL);
	refused(haul_isend(NULL, 0, &iov, 1, 0, &r), -EINVAL);
	refused_with_status(haul_recv(NULL, NULL, buf, 8, 0, &s), &s, -EINVAL);
	refused_with_status(haul_recvv(NULL, NULL, &iov, 1, 0, &s), &s, -EINVAL);
	refused(haul_irecv(NULL, NULL, &iov, 1, &r), -EINVAL);
	refused_with_status(haul_probe(NULL, NULL, 0, &s), &s, -EINVAL);
	refused(haul_req_test(NULL), -EINVAL);
	refused(haul_req_wait(NULL, 0), -EINVAL);
	refused(haul_req_finish(NULL, NULL), -EINVAL);
	haul_peer_set_user(NULL, buf);
	must(haul_peer_user(NULL) == NULL);
}

Test(badinput, a_null_object_is_refused_by_all_that_starts_or_ends_requests)
{
	struct haul_req *r = NULL;
	struct haul_msg *m = NULL;
	struct haul_status s;
	struct haul_stats stats;
	struct haul_op op = { .kind = HAUL_OP_NONE };
	char buf[8];
	struct iovec iov = { .iov_base = buf, .iov_len = 8 };
	refused(haul_fd(NULL), -EINVAL);
	refused(haul_arm(NULL), -EINVAL);
	refused(haul_iaccept(NULL, &r), -EINVAL);
	refused(haul_iconnect(NULL, "@x", &r), -EINVAL);
	must(haul_self(NULL) == NULL);
	must(*haul_reason() != '\0');
	refused(haul_peer_watch(NULL, &r), -EINVAL);
	refused(haul_peer_cancel(NULL), -EINVAL);
	refused(haul_peer_stats(NULL, &stats, sizeof(stats)), -EINVAL);
	refused_with_status(haul_sendrecv(NULL, 0, buf, 8, NULL, buf, 8, 0, &s), &s, -EINVAL);
	refused(haul_req_cancel(NULL), -EINVAL);
	refused(haul_req_deadline(NULL, 0), -EINVAL);
	refused(haul_req_notify(NULL, NULL), -EINVAL);
	refused(haul_submit(NULL, &op, 1, 0, NULL), -EINVAL);
	refused(haul_take(NULL, NULL, 0, &m), -EINVAL);
	refused(haul_itake(NULL, NULL, &r), -EINVAL);
	refused(haul_msg_status(NULL, &s), -EINVAL);
	refused(haul_msg_read(NULL, 0, &iov, 1, 0), -EINVAL);
	refused(haul_msg_iread(NULL, 0, &iov, 1, &r), -EINVAL);
	refused(haul_msg_refuse(NULL, -EACCES), -EINVAL);
	must(r == NULL && m == NULL);
}

Test(badinput, closing_nothing_is_nothing_to_do)
{
	must_be(haul_close(NULL, 0), 0);
	must_be(haul_peer_close(NULL, 0), 0);
	haul_listener_close(NULL);
	haul_req_free(NULL);
	haul_interrupt(NULL);
	must_be(haul_msg_done(NULL), 0);
}

Test(badinput, a_missing_place_for_the_result_is_refused)
{
	struct iovec iov = { .iov_base = &iov, .iov_len = 8 };
	struct haul_listener *l;
	int pair[2];
	begin();
	must_be(haul_pair(pair), 0);
	must_be(haul_listen(d.haul, "@haul-test-badinput", &l), 0);
	refused(haul_open(NULL, NULL, 0), -EINVAL);
	refused(haul_pair(NULL), -EINVAL);
	refused(haul_stats(d.haul, NULL, sizeof(struct haul_stats)), -EINVAL);
	refused(haul_listen(d.haul, "@haul-test-badinput-2", NULL), -EINVAL);
	refused(haul_listen(d.haul, NULL, &l), -EINVAL);
	refused(haul_accept(l, 0, NULL), -EINVAL);
	refused(haul_connect(d.haul, "@haul-test-badinput", 0, NULL), -EINVAL);
	refused(haul_connect(d.haul, NULL, 0, &(struct haul_peer *){ NULL }), -EINVAL);
	refused(haul_adopt(d.haul, pair[0], 0, NULL), -EINVAL);
	refused(haul_iadopt(d.haul, pair[0], NULL), -EINVAL);
	refused(haul_peer_info(d.peer, NULL, sizeof(struct haul_peer_info)), -EINVAL);
	refused(haul_isend(d.peer, 0, &iov, 1, 0, NULL), -EINVAL);
	refused(haul_irecv(d.haul, NULL, &iov, 1, NULL), -EINVAL);
	refused(haul_probe(d.haul, NULL, 0, NULL), -EINVAL);
	refused(haul_iaccept(l, NULL), -EINVAL);
	refused(haul_iconnect(d.haul, "@haul-test-badinput", NULL), -EINVAL);
	refused(haul_iconnect(d.haul, NULL, &(struct haul_req *){ NULL }), -EINVAL);
	refused(haul_peer_watch(d.peer, NULL), -EINVAL);
	refused(haul_peer_stats(d.peer, NULL, sizeof(struct haul_stats)), -EINVAL);
	refused(haul_take(d.haul, NULL, 0, NULL), -EINVAL);
	refused(haul_itake(d.haul, NULL, NULL), -EINVAL);
	refused(haul_submit(d.haul, NULL, 1, 0, NULL), -EINVAL);
	refused(haul_wait_some(&(struct haul_req *){ NULL }, 1, NULL, 0), -EINVAL);
	refused(haul_wait_any(NULL, 1, 0), -EINVAL);
	refused(haul_wait_all(NULL, 1, 0), -EINVAL);
	close(pair[0]);
	close(pair[1]);
	haul_listener_close(l);
	end();
}

/* ---- times ---- */

Test(badinput, a_time_below_minus_one_is_refused)
{
	static const int times[] = { -2, -1000, INT_MIN };
	struct haul_listener *l;
	struct haul_req *r;
	int pair[2];
	begin();
	must_be(haul_pair(pair), 0);
	must_be(haul_listen(d.haul, "@haul-test-badinput-time", &l), 0);
	must_be(haul_irecv(d.haul, &(struct haul_match){ .tag = 99 }, NULL, 0, &r), 0);
	for (size_t i = 0; i < 3; i++) {
		struct haul_peer *p = NULL;
		struct haul_msg *m = NULL;
		struct haul_op op = { .kind = HAUL_OP_NONE };
		struct haul_status s;
		size_t done;
		char buf[8] = "";
		struct iovec iov = { .iov_base = buf, .iov_len = 8 };
		refused(haul_accept(l, times[i], &p), -EINVAL);
		refused(haul_connect(d.haul, "@haul-test-badinput-time", times[i], &p), -EINVAL);
		refused(haul_adopt(d.haul, pair[0], times[i], &p), -EINVAL);
		refused(haul_peer_flush(d.peer, times[i]), -EINVAL);
		refused(haul_send(d.peer, 0, buf, 8, times[i]), -EINVAL);
		refused(haul_sendv(d.peer, 0, &iov, 1, 0, times[i]), -EINVAL);
		refused_with_status(haul_recv(d.haul, NULL, buf, 8, times[i], &s), &s, -EINVAL);
		refused_with_status(haul_recvv(d.haul, NULL, &iov, 1, times[i], &s), &s, -EINVAL);
		refused_with_status(haul_probe(d.haul, NULL, times[i], &s), &s, -EINVAL);
		refused(haul_req_wait(r, times[i]), -EINVAL);
		refused(haul_req_deadline(r, times[i]), -EINVAL);
		refused(haul_wait_any(&r, 1, times[i]), -EINVAL);
		refused(haul_wait_some(&r, 1, &done, times[i]), -EINVAL);
		refused(haul_wait_all(&r, 1, times[i]), -EINVAL);
		refused(haul_take(d.haul, NULL, times[i], &m), -EINVAL);
		refused(haul_submit(d.haul, &op, 1, times[i], NULL), -EINVAL);
		refused_with_status(haul_sendrecv(d.peer, 0, buf, 8, NULL, buf, 8, times[i], &s), &s,
		    -EINVAL);
		refused(haul_peer_close(d.peer, times[i]), -EINVAL); /* and not closed */
		refused(haul_close(d.haul, times[i]), -EINVAL);
		must(p == NULL && m == NULL);
	}
	must_be(haul_req_test(r), -EINPROGRESS);
	haul_req_free(r);
	haul_listener_close(l);
	close(pair[0]);
	close(pair[1]);
	end();
}

/* ---- buffers ---- */

Test(badinput, a_null_buffer_with_a_length_is_refused)
{
	struct haul_req *r = NULL;
	struct haul_status s;
	char buf[8] = "";
	struct iovec null[2] = { { .iov_base = buf, .iov_len = 8 }, { .iov_base = NULL, .iov_len = 1 } };
	begin();
	refused(haul_send(d.peer, 0, NULL, 1, 0), -EINVAL);
	refused(haul_send(d.peer, 0, NULL, 1 << 20, LATE_MS), -EINVAL);
	refused(haul_sendv(d.peer, 0, null, 2, 0, LATE_MS), -EINVAL);
	refused(haul_isend(d.peer, 0, null, 2, HAUL_SYNC, &r), -EINVAL);
	refused_with_status(haul_recv(d.haul, NULL, NULL, 1, 0, &s), &s, -EINVAL);
	refused_with_status(haul_recvv(d.haul, NULL, null, 2, 0, &s), &s, -EINVAL);
	refused(haul_irecv(d.haul, NULL, null, 2, &r), -EINVAL);
	refused_with_status(haul_sendrecv(d.peer, 0, NULL, 1, NULL, buf, 8, LATE_MS, &s), &s, -EINVAL);
	refused_with_status(haul_sendrecv(d.peer, 0, buf, 8, NULL, NULL, 1, LATE_MS, &s), &s, -EINVAL);
	must(r == NULL);
	/* Without a length it is one. */
	null[1].iov_len = 0;
	must_be(haul_sendv(d.peer, 3, null, 2, 0, LATE_MS), 0);
	must_be(haul_recvv(d.haul, NULL, null, 2, LATE_MS, NULL), 8);
	end();
}

Test(badinput, a_null_array_with_a_count_is_refused)
{
	struct haul_req *r = NULL;
	struct haul_status s;
	begin();
	refused(haul_sendv(d.peer, 0, NULL, 1, 0, LATE_MS), -EINVAL);
	refused(haul_sendv(d.peer, 0, NULL, 1, HAUL_SYNC, LATE_MS), -EINVAL);
	refused(haul_isend(d.peer, 0, NULL, 3, 0, &r), -EINVAL);
	refused_with_status(haul_recvv(d.haul, NULL, NULL, 1, 0, &s), &s, -EINVAL);
	refused(haul_irecv(d.haul, NULL, NULL, 100, &r), -EINVAL);
	must(r == NULL);
	end();
}

/* Even where they are all empty. */
Test(badinput, more_buffers_than_a_message_may_have_are_refused)
{
	const size_t count = ((size_t)1 << 24) + 1, size = count * sizeof(struct iovec);
	const struct iovec *iov =
	    mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct haul_req *r = NULL;
	must(iov != MAP_FAILED);
	begin();
	for (int i = 0; i < 3; i++) {
		unsigned flags = i == 0 ? 0 : i == 1 ? HAUL_SYNC : HAUL_COPY;
		refused(haul_isend(d.peer, 0, iov, count, flags, &r), -EINVAL);
		refused(haul_sendv(d.peer, 0, iov, count, flags, LATE_MS), -EINVAL);
	}
	refused(haul_irecv(d.haul, NULL, iov, count, &r), -EINVAL);
	must(r == NULL);
	end();
	munmap((void *)iov, size);
}

Test(badinput, lengths_that_overflow_are_refused)
{
	static char buf[8];
	struct haul_req *r = NULL;
	struct haul_status s;
	struct iovec sums[][3] = {
		{ { buf, SSIZE_MAX }, { buf, 1 }, { buf, 0 } },
		{ { buf, SIZE_MAX }, { buf, 0 }, { buf, 0 } },
		{ { buf, SIZE_MAX }, { buf, 1 }, { buf, 8 } },
		{ { buf, SSIZE_MAX }, { buf, SSIZE_MAX }, { buf, 2 } },
	};
	begin();
	refused(haul_send(d.peer, 0, buf, SIZE_MAX, LATE_MS), -EINVAL);
	refused(haul_send(d.peer, 0, buf, (size_t)SSIZE_MAX + 1, LATE_MS), -EINVAL);
	refused_with_status(haul_recv(d.haul, NULL, buf, SIZE_MAX, 0, &s), &s, -EINVAL);
	refused_with_status(haul_sendrecv(d.peer, 0, buf, SIZE_MAX, NULL, buf, 8, LATE_MS, &s), &s, -EINVAL);
	refused_with_status(haul_sendrecv(d.peer, 0, buf, 8, NULL, buf, SIZE_MAX, LATE_MS, &s), &s, -EINVAL);
	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
		struct haul_op ops[2] = {
			{ .kind = HAUL_OP_SEND, .peer = d.peer, .iov = sums[i], .count = 3 },
			{ .kind = HAUL_OP_RECV, .iov = sums[i], .count = 3 }
		};
		refused(haul_submit(d.haul, ops, 2, LATE_MS, NULL), -EIO);
		must_be(ops[0].status.error, -EINVAL);
		must_be(ops[1].status.error, -EINVAL);
		must(ops[0].req == NULL && ops[1].req == NULL);
		refused(haul_sendv(d.peer, 0, sums[i], 3, HAUL_COPY, LATE_MS), -EINVAL);
		refused(haul_sendv(d.peer, 0, sums[i], 3, 0, LATE_MS), -EINVAL);
		refused(haul_isend(d.peer, 0, sums[i], 3, 0, &r), -EINVAL);
		refused_with_status(haul_recvv(d.haul, NULL, sums[i], 3, 0, &s), &s, -EINVAL);
		refused(haul_irecv(d.haul, NULL, sums[i], 3, &r), -EINVAL);
	}
	must(r == NULL);
	end();
}

Test(badinput, unknown_flags_are_refused)
{
	struct haul_req *r = NULL;
	struct iovec iov = { .iov_base = &iov, .iov_len = 8 };
	begin();
	for (unsigned bit = 0; bit < 32; bit++) {
		if (1u << bit == HAUL_SYNC || 1u << bit == HAUL_COPY)
			continue;
		refused(haul_sendv(d.peer, 0, &iov, 1, 1u << bit, LATE_MS), -EINVAL);
		refused(haul_isend(d.peer, 0, &iov, 1, 1u << bit | HAUL_SYNC, &r), -EINVAL);
	}
	must(r == NULL);
	end();
}

/* ---- objects of another ---- */

Test(badinput, a_peer_of_another_context_is_refused)
{
	struct haul *other;
	struct haul_req *r = NULL;
	struct haul_msg *m = NULL;
	struct haul_status s;
	char buf[8];
	begin();
	must_be(haul_open(&other, NULL, 0), 0);
	struct haul_match match = { .from = d.peer };
	struct iovec iov = { .iov_base = buf, .iov_len = 8 };
	refused_with_status(haul_recv(other, &match, buf, 8, 0, &s), &s, -EINVAL);
	refused_with_status(haul_recvv(other, &match, &iov, 1, 0, &s), &s, -EINVAL);
	refused_with_status(haul_probe(other, &match, 0, &s), &s, -EINVAL);
	refused(haul_irecv(other, &match, &iov, 1, &r), -EINVAL);
	refused(haul_take(other, &match, 0, &m), -EINVAL);
	refused(haul_itake(other, &match, &r), -EINVAL);
	must(r == NULL && m == NULL);
	match.from = haul_self(other);
	refused_with_status(haul_sendrecv(d.peer, 0, buf, 8, &match, buf, 8, LATE_MS, &s), &s, -EINVAL);
	struct haul_op ops[2] = { { .kind = HAUL_OP_SEND, .peer = haul_self(other), .iov = &iov, .count = 1 },
		{ .kind = HAUL_OP_RECV, .match = match, .iov = &iov, .count = 1 } };
	refused(haul_submit(d.haul, ops, 2, 0, NULL), -EIO);
	must_be(ops[0].status.error, -EINVAL);
	must_be(ops[1].status.error, -EINVAL);
	must(ops[0].req == NULL && ops[1].req == NULL);
	must_be(haul_close(other, 0), 0);
	end();
}

Test(badinput, requests_of_two_contexts_are_not_waited_for)
{
	struct haul *other;
	struct haul_req *r[2];
	size_t done[2];
	begin();
	must_be(haul_open(&other, NULL, 0), 0);
	must(haul_self(other) != NULL);
	must_be(haul_irecv(d.haul, &(struct haul_match){ .tag = 99 }, NULL, 0, &r[0]), 0);
	must_be(haul_irecv(other, NULL, NULL, 0, &r[1]), 0);
	refused(haul_wait_any(r, 2, LATE_MS), -EINVAL);
	refused(haul_wait_some(r, 2, done, LATE_MS), -EINVAL);
	refused(haul_wait_all(r, 2, LATE_MS), -EINVAL);
	haul_req_free(r[0]);
	must_be(haul_close(other, 0), 0);
	end();
}

/* ---- taken messages ---- */

Test(badinput, a_taken_message_survives_all_that_is_asked_of_it)
{
	static const int errors[] = { 0, 1, EACCES, 4095, INT_MAX, -4096, INT_MIN };
	struct haul_msg *m;
	struct haul_req *r = NULL;
	struct haul_status s;
	char buf[8];
	struct iovec iov = { .iov_base = buf, .iov_len = 8 }, null = { .iov_base = NULL, .iov_len = 1 },
	             long_iov[2] = { { buf, SSIZE_MAX }, { buf, SSIZE_MAX } };
	begin();
	must_be(haul_send(d.peer, 1, "message", 8, LATE_MS), 0);
	must_be(haul_take(d.haul, NULL, LATE_MS, &m), 0);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		refused(haul_msg_refuse(m, errors[i]), -EINVAL);
	refused(haul_msg_status(m, NULL), -EINVAL);
	refused(haul_msg_read(m, 0, &iov, 1, -2), -EINVAL);
	refused(haul_msg_read(m, 0, &null, 1, LATE_MS), -EINVAL);
	refused(haul_msg_read(m, 0, NULL, 1, LATE_MS), -EINVAL);
	refused(haul_msg_read(m, 0, long_iov, 2, LATE_MS), -EINVAL);
	refused(haul_msg_iread(m, 0, &null, 1, &r), -EINVAL);
	refused(haul_msg_iread(m, 0, NULL, 1, &r), -EINVAL);
	refused(haul_msg_iread(m, 0, long_iov, 2, &r), -EINVAL);
	refused(haul_msg_iread(m, 0, &iov, 1, NULL), -EINVAL);
	must(r == NULL);
	must_be(haul_msg_status(m, &s), 0);
	must_be(s.error, 0);
	must_be(haul_msg_read(m, 0, &iov, 1, LATE_MS), 8);
	must(memcmp(buf, "message", 8) == 0);
	must_be(haul_msg_done(m), 0);
	end();
}

/* ---- after closing ---- */

Test(badinput, a_closed_context_is_refused)
{
	struct haul *h;
	struct haul_listener *l;
	struct haul_peer *p;
	struct haul_req *r;
	struct haul_msg *m;
	struct haul_op op = { .kind = HAUL_OP_NONE };
	struct haul_status s;
	struct haul_stats stats;
	char buf[8];
	int pair[2];
	struct iovec iov = { .iov_base = buf, .iov_len = 8 };
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_close(h, 0), 0);
	must_be(haul_pair(pair), 0);
	refused(haul_progress(h), -EBADF);
	refused(haul_stats(h, &stats, sizeof(stats)), -EBADF);
	refused(haul_listen(h, "@haul-test-badinput-closed", &l), -EBADF);
	refused(haul_connect(h, "@haul-test-badinput-closed", 0, &p), -EBADF);
	refused(haul_adopt(h, pair[0], 0, &p), -EBADF);
	refused(haul_iadopt(h, pair[0], &r), -EBADF);
	refused_with_status(haul_recv(h, NULL, buf, 8, 0, &s), &s, -EBADF);
	refused_with_status(haul_recvv(h, NULL, &iov, 1, 0, &s), &s, -EBADF);
	refused(haul_irecv(h, NULL, &iov, 1, &r), -EBADF);
	refused_with_status(haul_probe(h, NULL, 0, &s), &s, -EBADF);
	refused(haul_fd(h), -EBADF);
	refused(haul_arm(h), -EBADF);
	refused(haul_iconnect(h, "@haul-test-badinput-closed", &r), -EBADF);
	must(haul_self(h) == NULL);
	refused(haul_take(h, NULL, 0, &m), -EBADF);
	refused(haul_itake(h, NULL, &r), -EBADF);
	refused(haul_submit(h, &op, 1, 0, NULL), -EBADF);
	refused(haul_close(h, 0), -EBADF);
	haul_interrupt(h);
	close(pair[0]);
	close(pair[1]);
}

static int use_the_copy(void *arg)
{
	char buf[8];
	struct iovec iov = { .iov_base = buf, .iov_len = 8 };
	struct haul_peer *p;
	struct haul_listener *l;
	struct haul_req *r;
	struct haul_msg *m;
	struct haul_op op = { .kind = HAUL_OP_NONE };
	struct haul_status s;
	struct haul_peer_info info;
	(void)arg;
	must_in_child();
	refused(haul_progress(d.haul), -ESTALE);
	refused(haul_listen(d.haul, "@haul-test-badinput-stale", &l), -ESTALE);
	refused(haul_connect(d.haul, "@haul-test-badinput-stale", 0, &p), -ESTALE);
	refused(haul_send(d.peer, 1, "x", 1, 0), -ESTALE);
	refused(haul_sendv(d.peer, 1, &iov, 1, HAUL_SYNC, 0), -ESTALE);
	refused(haul_isend(d.peer, 1, &iov, 1, 0, &r), -ESTALE);
	refused_with_status(haul_recv(d.haul, NULL, buf, 8, 0, &s), &s, -ESTALE);
	refused(haul_irecv(d.haul, NULL, &iov, 1, &r), -ESTALE);
	refused_with_status(haul_probe(d.haul, NULL, 0, &s), &s, -ESTALE);
	refused(haul_peer_flush(d.peer, 0), -ESTALE);
	refused(haul_peer_info(d.peer, &info, sizeof(info)), -ESTALE);
	refused(haul_fd(d.haul), -ESTALE);
	refused(haul_arm(d.haul), -ESTALE);
	must(haul_self(d.haul) == NULL);
	refused(haul_peer_watch(d.peer, &r), -ESTALE);
	refused(haul_peer_cancel(d.peer), -ESTALE);
	refused_with_status(haul_sendrecv(d.peer, 1, "x", 1, NULL, buf, 8, LATE_MS, &s), &s, -ESTALE);
	refused(haul_take(d.haul, NULL, LATE_MS, &m), -ESTALE);
	refused(haul_itake(d.haul, NULL, &r), -ESTALE);
	refused(haul_submit(d.haul, &op, 1, LATE_MS, NULL), -ESTALE);
	refused(haul_peer_close(d.peer, LATE_MS), -ESTALE);
	refused(haul_close(d.haul, LATE_MS), -ESTALE);
	return 0;
}

Test(badinput, a_forked_copy_is_refused_and_closing_it_disturbs_nobody)
{
	struct child c;
	begin();
	child_start(&c, CHILD_MS, use_the_copy, NULL);
	child_expect(&c, 0);
	end();
}

/* ---- sizes of structs ---- */

Test(badinput, structs_of_another_size_are_understood)
{
	struct {
		struct haul_options known;
		char more[64];
	} newer = { 0 };
	struct {
		struct haul_stats known;
		unsigned char more[64];
	} stats;
	struct {
		struct haul_peer_info known;
		unsigned char more[64];
	} info;
	struct haul *h = NULL;
	must_be(haul_open(&h, &newer.known, sizeof(newer)), 0);
	must_be(haul_close(h, 0), 0);
	must_be(haul_open(&h, &newer.known, sizeof(int)), 0);
	must_be(haul_close(h, 0), 0);
	h = NULL;
	newer.more[63] = 1;
	refused(haul_open(&h, &newer.known, sizeof(newer)), -E2BIG);
	must(h == NULL);

	begin();
	memset(&stats, 0xff, sizeof(stats));
	must_be(haul_stats(d.haul, &stats.known, sizeof(stats)), 0);
	memset(&info, 0xff, sizeof(info));
	must_be(haul_peer_info(d.peer, &info.known, sizeof(info)), 0);
	for (size_t i = 0; i < 64; i++)
		must(stats.more[i] == 0 && info.more[i] == 0);
	memset(&info, 0xff, sizeof(info));
	must_be(haul_peer_info(d.peer, &info.known, sizeof(pid_t)), 0);
	must_be(info.known.pid, d.child.pid);
	must_be((int)info.known.uid, -1);
	end();
}

/* ---- options ---- */

Test(badinput, options_out_of_range_are_refused)
{
	const struct haul_options bad[] = {
		{ .path = HAUL_PATH_EAGER },
		{ .path = 4 },
		{ .path = -1 },
		{ .spin_us = -2 },
		{ .eager_max = -2 },
		{ .eager_max = 65537 },
		{ .eager_max = INT64_MIN },
		{ .max_msg = UINT64_C(1) << 63 },
		{ .budget = 1 },
		{ .budget = 65535 },
		{ .budget = UINT64_MAX },
		{ .window = 65537 },
		{ .window = UINT32_MAX },
		{ .handshake_ms = -1 },
		{ .stall_ms = -1 },
		{ .progress_thread = -1 },
		{ .progress_thread = 2 },
	};
	const struct haul_options good[] = {
		{ .path = HAUL_PATH_PULL },
		{ .path = HAUL_PATH_STREAM },
		{ .spin_us = -1 },
		{ .spin_us = INT_MAX },
		{ .eager_max = -1 },
		{ .eager_max = 65536 },
		{ .max_msg = INT64_MAX },
		{ .max_msg = 1 },
		{ .budget = 65536 },
		{ .window = 65536 },
		{ .window = 1 },
		{ .handshakes = 1 },
		{ .handshakes = UINT32_MAX },
		{ .handshake_ms = INT_MAX },
		{ .stall_ms = INT_MAX },
		{ .budget_all = 1 },
		{ .copy_budget = 1 },
		{ .copy_budget = UINT64_MAX },
		{ .progress_thread = 1 },
	};
	struct haul *h = NULL;
	int before = fds_count();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		refused(haul_open(&h, &bad[i], sizeof(bad[i])), -EINVAL);
		must(h == NULL);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		must_be(haul_open(&h, &good[i], sizeof(good[i])), 0);
		must_be(haul_close(h, 0), 0);
	}
	fds_expect(before);
}

Test(badinput, an_environment_out_of_range_is_refused)
{
	static const char *const bad[][2] = { { "HAUL_PATH", "eager" }, { "HAUL_PATH", "Pull" },
		{ "HAUL_SPIN_US", "-2" }, { "HAUL_SPIN_US", "soon" }, { "HAUL_EAGER_MAX", "65537" },
		{ "HAUL_EAGER_MAX", "8k" } };
	struct haul *h = NULL;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		must_be(setenv(bad[i][0], bad[i][1], 1), 0);
		refused(haul_open(&h, NULL, 0), -EINVAL);
		must(strstr(haul_reason(), bad[i][0]) != NULL);
		must(h == NULL);
		must_be(unsetenv(bad[i][0]), 0);
	}
	/* What the struct says is not asked of the environment. */
	must_be(setenv("HAUL_EAGER_MAX", "8k", 1), 0);
	struct haul_options o = { .eager_max = 100 };
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	must_be(haul_close(h, 0), 0);
}

/* ---- more than there are ---- */

Test(badinput, memory_that_is_not_there_is_told)
{
	struct haul_status s;
	void *nowhere = (void *)(uintptr_t)4096;
	begin();
	refused(haul_send(d.peer, 1, nowhere, 5000, LATE_MS), -EFAULT);
	must_be(haul_send(d.peer, 1, "ping", 4, LATE_MS), 0);
	must_be(haul_probe(d.haul, NULL, LATE_MS, &s), 0);
	must_be(s.len, 4);
	must_be(haul_recv(d.haul, NULL, NULL, 0, LATE_MS, &s), -EMSGSIZE);
	must_be(s.len, 4);
	must_be(s.got, 0);
	must_be(s.error, -EMSGSIZE);
	end();
}
