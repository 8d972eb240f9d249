/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Push: where only the sender may reach the other's memory, and both have opted in, it writes messages there. In
 * most tests here the test's process is refused process_vm_readv(2) and receives, a child sends.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/pairing.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(push, .timeout = 60);

enum { LEN = (1 << 20) + 3, LONG_LEN = 256 << 20 };

static const struct haul_options opted_in = { .push = 1 };

static void refuse(int call, int error)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	must(filter != NULL);
	must_be(seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)error), call, 0), 0);
	must_be(seccomp_load(filter), 0);
	seccomp_release(filter);
}

/* The test's end can't read; the child can. */
static void start_blind(struct pairing *p, const struct haul_options *ours, const struct haul_options *theirs,
    pairing_part *part, const void *arg)
{
	pairing_fork(p, theirs, part, arg);
	refuse(SCMP_SYS(process_vm_readv), EPERM);
	must_be(haul_open(&p->haul, ours, ours != NULL ? sizeof(*ours) : 0), 0);
	pairing_adopt(p, p->haul);
}

static void send_filled(struct haul_peer *p, size_t len, uint64_t seed)
{
	unsigned char *buf = filled(len, seed);
	struct iovec iov = { buf, len };
	must_be(haul_sendv(p, seed, &iov, 1, HAUL_SYNC, PATIENCE_MS), 0);
	free(buf);
}

static void receive_filled(struct haul *h, size_t len, uint64_t seed, int timeout_ms)
{
	unsigned char *buf = room_for(len);
	must_be(haul_recv(h, &(struct haul_match){ .tag = seed }, buf, len, timeout_ms, NULL), len);
	must_hold(buf, len, seed, 0);
	free(buf);
}

static void send_by_push(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_peer_info info;
	struct haul_stats s;
	(void)arg;
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.out_path, HAUL_PATH_PUSH);
	must_be(info.out_error, EPERM);
	must_be(info.in_path, HAUL_PATH_PULL);
	send_filled(p, LEN, 1);
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
	start_blind(&p, &opted_in, &opted_in, send_by_push, NULL);
	must_be(haul_peer_info(p.peer, &info, sizeof(info)), 0);
	must_be(info.in_path, HAUL_PATH_PUSH);
	must_be(info.in_error, EPERM);
	must_be(info.out_path, HAUL_PATH_PULL);
	receive_filled(p.haul, LEN, 1, -1);
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
	send_filled(p, LEN, 1);
	must_be(haul_stats(h, &s, sizeof(s)), 0);
	must_be(s.sent_push, 0);
	must_be(s.sent_stream, 1);
}

Test(push, is_for_those_only_who_both_opt_in)
{
	struct pairing p;
	start_blind(&p, &opted_in, NULL, send_by_stream, NULL);
	receive_filled(p.haul, LEN, 1, -1);
	pairing_end(&p);
	start_blind(&p, NULL, &opted_in, send_by_stream, NULL);
	receive_filled(p.haul, LEN, 1, -1);
	pairing_end(&p);
}

Test(push, is_not_for_a_receive_with_a_timeout)
{
	struct pairing p;
	start_blind(&p, &opted_in, &opted_in, send_by_stream, NULL);
	receive_filled(p.haul, LEN, 1, PATIENCE_MS);
	pairing_end(&p);
}
