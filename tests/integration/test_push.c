/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Push: where only the sender may reach the other's memory, and both have opted in, it writes messages there. In
 * most tests here the test's process is refused process_vm_readv(2) and receives, a child sends.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "lib/blind.h"

TestSuite(push, .timeout = 60);

enum { LEN = (1 << 20) + 3 };

static void send_by_push(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_peer_info info;
	struct haul_stats s;
	(void)arg;
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.out_path, HAUL_PATH_PUSH);
	must_be(info.out_error, EPERM);
	must_be(info.in_path, HAUL_PATH_PULL);
	blind_send(p, LEN, 1);
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
	blind_receive(p.haul, LEN, 1, -1);
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
	blind_send(p, LEN, 1);
	must_be(haul_stats(h, &s, sizeof(s)), 0);
	must_be(s.sent_push, 0);
	must_be(s.sent_stream, 1);
}

Test(push, is_for_those_only_who_both_opt_in)
{
	struct pairing p;
	blind_start(&p, &blind_options, NULL, send_by_stream, NULL);
	blind_receive(p.haul, LEN, 1, -1);
	pairing_end(&p);
	blind_start(&p, NULL, &blind_options, send_by_stream, NULL);
	blind_receive(p.haul, LEN, 1, -1);
	pairing_end(&p);
}

Test(push, is_not_for_a_receive_with_a_timeout)
{
	struct pairing p;
	blind_start_pushed(&p, send_by_stream, NULL);
	blind_receive(p.haul, LEN, 1, PATIENCE_MS);
	pairing_end(&p);
}
