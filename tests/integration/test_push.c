/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Push: where only the sender may reach the other's memory, and both have opted in, it writes messages there. In
 * most tests here the test's process is refused process_vm_readv(2) and receives, a child sends.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/blind.h"
#include "lib/pattern.h"
#include "lib/talk.h"
#include "lib/world.h"

TestSuite(push, .timeout = 60);

enum { LEN = (1 << 20) + 3, LONG_LEN = 256 << 20 };

static void send_by_push(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_peer_info info;
	struct haul_stats s;
	(void)arg;
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.out_path, HAUL_PATH_PUSH);
	must_be(info.out_error, EPERM);
	must_be(info.in_path, HAUL_PATH_PULL);
	send_pattern(p, LEN, 1);
	must_be(haul_stats(h, &s, sizeof(s)), 0);
	must_be(s.sent_push, 1);
	must_be(s.sent_push_bytes, LEN);
	must_be(s.push_calls, 1);
	must_be(s.copied_bytes, LEN);
	must_be(s.sent_stream, 0);
}

Test(push, fills_the_buffer_with_one_call_and_one_copy)
{
	struct haul_peer_info info;
	struct haul_stats s;
	struct pairing p;
	blind_start_pushed(&p, send_by_push, NULL);
	must_be(haul_peer_info(p.peer, &info, sizeof(info)), 0);
	must_be(info.in_path, HAUL_PATH_PUSH);
	must_be(info.in_error, EPERM);
	must_be(info.out_path, HAUL_PATH_PULL);
	receive_pattern_within(p.haul, LEN, 1, -1);
	must_be(haul_stats(p.haul, &s, sizeof(s)), 0);
	must_be(s.received_push, 1);
	must_be(s.received_push_bytes, LEN);
	must_be(s.copied_bytes, 0);
	must_be(s.received_stream + s.received_pull, 0);
	pairing_end(&p);
}

static void send_by_stream(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_stats s;
	(void)arg;
	send_pattern(p, LEN, 1);
	must_be(haul_stats(h, &s, sizeof(s)), 0);
	must_be(s.sent_push, 0);
	must_be(s.sent_stream, 1);
}

Test(push, is_for_those_only_who_both_opt_in)
{
	struct pairing p;
	blind_start(&p, &blind_options, NULL, send_by_stream, NULL);
	receive_pattern_within(p.haul, LEN, 1, -1);
	pairing_end(&p);
	blind_start(&p, NULL, &blind_options, send_by_stream, NULL);
	receive_pattern_within(p.haul, LEN, 1, -1);
	pairing_end(&p);
}

Test(push, is_not_for_who_wants_the_socket)
{
	struct haul_options o = { .push = 1, .path = HAUL_PATH_STREAM };
	struct pairing p;
	pairing_start(&p, &o, &blind_options, send_by_stream, NULL);
	receive_pattern_within(p.haul, LEN, 1, -1);
	pairing_end(&p);
}

Test(push, is_not_for_a_receive_with_a_timeout)
{
	struct pairing p;
	blind_start_pushed(&p, send_by_stream, NULL);
	receive_pattern(p.haul, LEN, 1);
	pairing_end(&p);
}

static void send_at_once(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)h;
	(void)arg;
	send_pattern(p, LEN, 1);
}

/* It is granted with the next progress, and has a deadline by then. */
Test(push, is_not_for_a_receive_whose_deadline_came_before_its_grant)
{
	unsigned char *buf = room_for(LEN);
	struct pairing p;
	blind_start_pushed(&p, send_at_once, NULL);
	await_message(p.haul, 1);
	struct haul_req *r = post_receive(p.haul, buf, LEN, 1);
	must_be(haul_req_deadline(r, PATIENCE_MS), 0);
	must_be(end_of(r, NULL), 0);
	must_hold(buf, LEN, 1, 0);
	must_be(stats_of(p.haul).received_push, 0);
	free(buf);
	pairing_end(&p);
}

/* ---- into many buffers ---- */

enum { BUFFERS = 100, GAP = 7, BUFFERS_LEN = BUFFERS * (5000 + GAP) };

/* Buffers of all sizes and places, some of them empty, with gaps between; returns their length together. */
static size_t scatter(struct iovec *iov, unsigned char *room)
{
	size_t at = 0, len = 0;
	for (size_t i = 0; i < BUFFERS; i++) {
		iov[i] = (struct iovec){ room + at, i % 10 == 3 ? 0 : 1 + i * i % 5000 };
		at += iov[i].iov_len + GAP;
		len += iov[i].iov_len;
	}
	return len;
}

static void must_be_scattered(const struct iovec *iov, uint64_t seed)
{
	for (size_t i = 0, at = 0; i < BUFFERS; at += iov[i++].iov_len) {
		const unsigned char *buf = iov[i].iov_base;
		must_hold(buf, iov[i].iov_len, seed, at);
		must_be_untouched(buf + iov[i].iov_len, GAP);
	}
}

static void send_in_parts(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *room = room_for(BUFFERS_LEN);
	struct iovec iov[BUFFERS];
	size_t len = scatter(iov, room);
	send_pattern(p, len, 1);
	must_be(stats_of(h).push_calls, *(const int *)arg);
	for (size_t i = 0, at = 0; i < BUFFERS; at += iov[i++].iov_len)
		pattern_fill(iov[i].iov_base, iov[i].iov_len, 2, at);
	must_be(haul_sendv(p, 2, iov, BUFFERS, HAUL_SYNC, PATIENCE_MS), 0);
	must_be(stats_of(h).sent_push, 2);
	free(room);
}

/* 90 buffers that are not empty, 32 at a time. */
Test(push, into_many_buffers_is_granted_in_parts)
{
	static const int parts = 3;
	unsigned char *room = room_for(BUFFERS_LEN);
	struct iovec iov[BUFFERS];
	struct pairing p;
	blind_start_pushed(&p, send_in_parts, &parts);
	size_t len = scatter(iov, room);
	for (uint64_t seed = 1; seed <= 2; seed++) {
		struct haul_match match = { .tag = seed };
		memset(room, CANARY, BUFFERS_LEN);
		must_be(haul_recvv(p.haul, &match, iov, BUFFERS, -1, NULL), len);
		must_be_scattered(iov, seed);
	}
	must_be(stats_of(p.haul).received_push, 2);
	pairing_end(&p);
	free(room);
}

/* ---- all calls that receive ---- */

static void send_one_and_check(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)arg;
	send_pattern(p, LEN, 1);
	must(stats_of(h).sent_push > 0);
}

Test(push, serves_reads_of_a_taken_message)
{
	static const size_t at[] = { 0, 500001, LEN - 1, 12345, LEN, LEN + 9 };
	unsigned char *buf = room_for(LEN);
	struct haul_msg *m;
	struct pairing p;
	blind_start_pushed(&p, send_one_and_check, NULL);
	must_be(haul_take(p.haul, NULL, PATIENCE_MS, &m), 0);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		size_t left = at[i] < LEN ? LEN - at[i] : 0, len = left < 300007 ? left : 300007;
		struct haul_req *r;
		struct haul_status status;
		memset(buf, CANARY, LEN);
		must_be(haul_msg_iread(m, at[i], &(struct iovec){ buf + 1, 300007 }, 1, &r), 0);
		must_be(haul_req_test(r), left > 0 ? -EINPROGRESS : 0);
		must_be(end_of(r, &status), 0);
		must_be(status.got, len);
		must_hold(buf + 1, len, 1, at[i]);
		must_be_untouched(buf, 1);
		must_be_untouched(buf + 1 + len, 5);
	}
	must_be(haul_msg_done(m), 0);
	must_be(stats_of(p.haul).received_push, 4);
	free(buf);
	pairing_end(&p);
}

static void send_and_receive(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *out = filled(LEN, 1), *in = room_for(LEN);
	(void)arg;
	must_be(haul_sendrecv(p, 1, out, LEN, &(struct haul_match){ .tag = 2 }, in, LEN, -1, NULL), LEN);
	must_hold(in, LEN, 2, 0);
	must_be(stats_of(h).received_pull, 1);
	free(out);
	free(in);
}

Test(push, meets_a_pull_in_a_sendrecv)
{
	unsigned char *out = filled(LEN, 2), *in = room_for(LEN);
	struct pairing p;
	blind_start_pushed(&p, send_and_receive, NULL);
	must_be(haul_sendrecv(p.peer, 2, out, LEN, &(struct haul_match){ .tag = 1 }, in, LEN, -1, NULL), LEN);
	must_hold(in, LEN, 1, 0);
	must_be(stats_of(p.haul).received_push, 1);
	free(out);
	free(in);
	pairing_end(&p);
}

enum { OPS = 40 };

static void send_batch(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_op ops[OPS] = { 0 };
	struct iovec iov[OPS];
	(void)arg;
	for (size_t i = 0; i < OPS; i++) {
		iov[i] = (struct iovec){ filled(40000 + i, i), 40000 + i };
		ops[i] =
		    (struct haul_op){ .kind = HAUL_OP_SEND, .peer = p, .tag = i, .iov = &iov[i], .count = 1 };
	}
	must_be(haul_submit(h, ops, OPS, PATIENCE_MS, NULL), 0);
	must_be(stats_of(h).sent_push, OPS / 2);
	for (size_t i = 0; i < OPS; i++)
		free(iov[i].iov_base);
}

static void receive_batch(struct haul *h, size_t from, int timeout_ms)
{
	struct haul_op ops[OPS / 2] = { 0 };
	struct iovec iov[OPS / 2];
	for (size_t i = 0; i < OPS / 2; i++) {
		iov[i] = (struct iovec){ room_for(40000 + OPS), 40000 + OPS };
		ops[i] = (struct haul_op){ .kind = HAUL_OP_RECV,
			.match.tag = from + i,
			.iov = &iov[i],
			.count = 1 };
	}
	must_be(haul_submit(h, ops, OPS / 2, timeout_ms, NULL), 0);
	for (size_t i = 0; i < OPS / 2; i++) {
		must_be(ops[i].status.got, 40000 + from + i);
		must_hold(iov[i].iov_base, ops[i].status.got, from + i, 0);
		free(iov[i].iov_base);
	}
}

Test(push, serves_a_batch_without_a_timeout_and_no_other)
{
	struct pairing p;
	blind_start_pushed(&p, send_batch, NULL);
	receive_batch(p.haul, 0, -1);
	must_be(stats_of(p.haul).received_push, OPS / 2);
	receive_batch(p.haul, OPS / 2, PATIENCE_MS);
	must_be(stats_of(p.haul).received_push, OPS / 2);
	pairing_end(&p);
}

static void send_empty_and_too_long(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LEN, 2);
	struct iovec iov = { buf, LEN };
	(void)h;
	(void)arg;
	send_pattern(p, 0, 1);
	must_be(haul_sendv(p, 2, &iov, 1, HAUL_SYNC, PATIENCE_MS), -EMSGSIZE);
	free(buf);
}

Test(push, knows_the_empty_message_and_the_one_that_is_too_long)
{
	static const struct haul_options described = { .push = 1, .eager_max = -1 };
	unsigned char *buf = room_for(LEN);
	struct haul_status status;
	struct pairing p;
	blind_start(&p, &described, &described, send_empty_and_too_long, NULL);
	receive_pattern_within(p.haul, 0, 1, -1);
	memset(buf, CANARY, LEN);
	must_be(haul_recv(p.haul, NULL, buf, LEN - 100, -1, &status), -EMSGSIZE);
	must_be(status.got, LEN - 100);
	must_hold(buf, LEN - 100, 2, 0);
	must_be_untouched(buf + LEN - 100, 100);
	must_be(stats_of(p.haul).received_push, 1);
	free(buf);
	pairing_end(&p);
}

/* ---- in the place of a pull ---- */

static void send_and_tell_copied(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)arg;
	send_pattern(p, LONG_LEN, 1);
	struct haul_stats s = stats_of(h);
	must_be(haul_send(p, 2, &s.copied_bytes, sizeof(s.copied_bytes), PATIENCE_MS), 0);
	must_be(s.sent_push, 1);
}

Test(push, goes_on_at_the_byte_that_a_pull_reached)
{
	unsigned char *buf = room_for(LONG_LEN);
	uint64_t theirs;
	struct pairing p;
	pairing_start(&p, &blind_options, &blind_options, send_and_tell_copied, NULL);
	struct haul_req *r = post_receive(p.haul, buf, LONG_LEN, 1);
	while (stats_of(p.haul).pull_calls < 3)
		must(haul_progress(p.haul) >= 0);
	must(world_refuse_reads(EPERM) == NULL);
	must_be(end_of(r, NULL), 0);
	must_hold(buf, LONG_LEN, 1, 0);
	struct haul_stats s = stats_of(p.haul);
	must_be(haul_recv(p.haul, &(struct haul_match){ .tag = 2 }, &theirs, sizeof(theirs), -1, NULL),
	    sizeof(theirs));
	must(s.copied_bytes > 0 && theirs > 0);
	must_be(s.copied_bytes + theirs, LONG_LEN);
	must_be(s.received_push, 1);
	must_be(s.received_stream, 0);
	free(buf);
	pairing_end(&p);
}
