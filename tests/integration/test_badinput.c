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

Test(badinput, closing_nothing_is_nothing_to_do)
{
	must_be(haul_close(NULL, 0), 0);
	must_be(haul_peer_close(NULL, 0), 0);
	haul_listener_close(NULL);
	haul_req_free(NULL);
	haul_interrupt(NULL);
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
		struct haul_status s;
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
		refused(haul_peer_close(d.peer, times[i]), -EINVAL); /* and not closed */
		refused(haul_close(d.haul, times[i]), -EINVAL);
		must(p == NULL);
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
	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
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
	must(r == NULL);
	must_be(haul_close(other, 0), 0);
	end();
}

/* ---- after closing ---- */

Test(badinput, a_closed_context_is_refused)
{
	struct haul *h;
	struct haul_listener *l;
	struct haul_peer *p;
	struct haul_req *r;
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
