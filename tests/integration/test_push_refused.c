/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pushes that the kernel refuses: for good, at once or in the middle of a message, or for a hole in a buffer, on
 * either side. The message comes all the same if its memory is good, or both sides hear that it is not.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/blind.h"
#include "lib/refuse.h"
#include "lib/talk.h"
#include "lib/world.h"

TestSuite(push_refused, .timeout = 60);

enum { LEN = (1 << 20) + 3, LONG_LEN = 256 << 20, LINES = 16, SEVERAL = 5 };

struct lines {
	int count;
	char line[LINES][512];
};

static void keep(void *arg, int level, const char *line)
{
	struct lines *l = arg;
	must_be(level, HAUL_LOG_INFO);
	must(l->count < LINES);
	snprintf(l->line[l->count++], sizeof(l->line[0]), "%s", line);
}

static const int eperm = EPERM, enosys = ENOSYS;

static void must_go_by_stream(struct haul_peer *p)
{
	struct haul_peer_info info;
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.out_path, HAUL_PATH_STREAM);
	must_be(info.in_path, HAUL_PATH_PULL);
}

/* Several at once, the first of which tell that it can't be. */
static void send_several_refused(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_req *reqs[SEVERAL];
	unsigned char *buf = filled(LEN, 1);
	struct iovec iov = { buf, LEN };
	must_be(refuse_call(SYS_process_vm_writev, *(const int *)arg), 0);
	for (int i = 0; i < SEVERAL; i++)
		must_be(haul_isend(p, 1, &iov, 1, HAUL_SYNC, &reqs[i]), 0);
	for (int i = 0; i < SEVERAL; i++)
		must_be(end_of(reqs[i], NULL), 0);
	free(buf);
	must_be(stats_of(h).sent_stream, SEVERAL);
	must_go_by_stream(p);
	uint64_t calls = stats_of(h).push_calls;
	must(calls > 0);
	send_pattern(p, LEN, 2);
	must_be(stats_of(h).push_calls, calls);
}

static void refuse_at_once(const int *error)
{
	struct lines lines = { 0 };
	struct haul_options o = { .push = 1, .log = keep, .log_arg = &lines };
	unsigned char *bufs[SEVERAL];
	struct haul_req *reqs[SEVERAL];
	struct haul_peer_info info;
	struct pairing p;
	blind_start(&p, &o, &blind_options, send_several_refused, error);
	for (int k = 0; k < SEVERAL; k++)
		reqs[k] = post_receive(p.haul, bufs[k] = room_for(LEN), LEN, 1);
	for (int k = 0; k < SEVERAL; k++) {
		must_be(end_of(reqs[k], NULL), 0);
		must_hold(bufs[k], LEN, 1, 0);
		free(bufs[k]);
	}
	must_be(haul_peer_info(p.peer, &info, sizeof(info)), 0);
	must_be(info.in_path, HAUL_PATH_STREAM);
	must_be(info.in_error, EPERM);
	must_be(lines.count, 2);
	must(strstr(lines.line[0], "come by push") != NULL);
	must(strstr(lines.line[1], "from now on large messages come by stream") != NULL);
	receive_pattern_within(p.haul, LEN, 2, -1);
	must_be(stats_of(p.haul).received_push, 0);
	must_be(lines.count, 2);
	pairing_end(&p);
}

Test(push_refused, at_once_costs_only_a_copy)
{
	refuse_at_once(&eperm);
}

Test(push_refused, by_a_kernel_without_it_costs_only_a_copy)
{
	refuse_at_once(&enosys);
}

/* A long message, of which that much is written. */
static struct haul_req *push_a_few_parts(struct haul *h, struct haul_peer *p, unsigned char *buf)
{
	struct iovec iov = { buf, LONG_LEN };
	struct haul_req *r;
	must_be(haul_isend(p, 1, &iov, 1, HAUL_SYNC, &r), 0);
	while (stats_of(h).push_calls < 3)
		must(haul_progress(h) >= 0);
	return r;
}

static void send_long_refused_later(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LONG_LEN, 1);
	struct haul_req *r = push_a_few_parts(h, p, buf);
	must_be(refuse_call(SYS_process_vm_writev, *(const int *)arg), 0);
	must_be(end_of(r, NULL), 0);
	free(buf);
	must_go_by_stream(p);
	struct haul_stats s = stats_of(h);
	must_be(haul_send(p, 2, &s.copied_bytes, sizeof(s.copied_bytes), PATIENCE_MS), 0);
	send_pattern(p, LEN, 3);
	must_be(stats_of(h).push_calls, s.push_calls);
}

/* What was written is not sent again: each byte is copied once by the sender, those of the stream once more here. */
static void refuse_in_the_middle(const int *error)
{
	unsigned char *buf = room_for(LONG_LEN);
	uint64_t theirs;
	struct pairing p;
	blind_start_pushed(&p, send_long_refused_later, error);
	must_be(haul_recv(p.haul, NULL, buf, LONG_LEN, -1, NULL), LONG_LEN);
	must_hold(buf, LONG_LEN, 1, 0);
	free(buf);
	uint64_t ours = stats_of(p.haul).copied_bytes;
	must_be(haul_recv(p.haul, NULL, &theirs, sizeof(theirs), -1, NULL), sizeof(theirs));
	must_be(theirs, LONG_LEN);
	must(ours > 0 && ours < LONG_LEN);
	receive_pattern_within(p.haul, LEN, 3, -1);
	pairing_end(&p);
}

Test(push_refused, in_the_middle_goes_on_by_stream_at_the_byte_reached)
{
	refuse_in_the_middle(&eperm);
}

Test(push_refused, whatever_a_filter_says_goes_on_by_stream)
{
	refuse_in_the_middle(&enosys);
}

static void send_long_blind_later(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LONG_LEN, 1);
	(void)arg;
	struct haul_req *r = push_a_few_parts(h, p, buf);
	must(world_refuse_reads(EPERM) == NULL);
	must_be(end_of(r, NULL), 0);
	free(buf);
	must(stats_of(h).push_calls < LONG_LEN >> 24);
}

/* Who can't read the landing cell can't know into whose memory it writes. */
Test(push_refused, to_read_is_refused_to_write)
{
	struct pairing p;
	blind_start_pushed(&p, send_long_blind_later, NULL);
	receive_pattern_within(p.haul, LONG_LEN, 1, -1);
	must_be(stats_of(p.haul).received_stream, 1);
	pairing_end(&p);
}

/* ---- holes ---- */

enum { PAGE = 4096, PAGES = 64, HOLED_LEN = PAGES * PAGE };

/* A page in the middle is not there. */
static unsigned char *holed(void)
{
	unsigned char *buf =
	    mmap(NULL, HOLED_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(buf != MAP_FAILED);
	must_be(mprotect(buf + HOLED_LEN / 2, PAGE, PROT_NONE), 0);
	return buf;
}

static void send_holed(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct iovec iov = { holed(), HOLED_LEN };
	(void)h;
	(void)arg;
	must_be(haul_sendv(p, 1, &iov, 1, HAUL_SYNC, PATIENCE_MS), -EFAULT);
	must_be(haul_sendv(p, 1, &iov, 1, 0, PATIENCE_MS), -EFAULT);
	munmap(iov.iov_base, HOLED_LEN);
	send_pattern(p, LEN, 2);
	must_be(stats_of(h).sent_push, 1);
}

Test(push_refused, for_a_hole_at_the_sender_both_hear_of_it)
{
	unsigned char *buf = room_for(HOLED_LEN);
	struct pairing p;
	blind_start_pushed(&p, send_holed, NULL);
	for (int i = 0; i < 2; i++)
		must_be(haul_recv(p.haul, &(struct haul_match){ .tag = 1 }, buf, HOLED_LEN, -1, NULL),
		    -EFAULT);
	receive_pattern_within(p.haul, LEN, 2, -1);
	free(buf);
	pairing_end(&p);
}

static void send_into_a_hole(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(HOLED_LEN, 1);
	struct iovec iov = { buf, HOLED_LEN };
	must_be(haul_sendv(p, 1, &iov, 1, HAUL_SYNC, PATIENCE_MS), -EFAULT);
	must_be(haul_sendv(p, 1, &iov, 1, 0, PATIENCE_MS), 0);
	free(buf);
	send_pattern(p, LEN, 2);
	must_be(stats_of(h).sent_push, *(const int *)arg);
}

Test(push_refused, for_a_hole_at_the_receiver_both_hear_of_it)
{
	unsigned char *buf = holed();
	struct pairing p;
	static const int pushed = 1;
	blind_start_pushed(&p, send_into_a_hole, &pushed);
	for (int i = 0; i < 2; i++)
		must_be(haul_recv(p.haul, &(struct haul_match){ .tag = 1 }, buf, HOLED_LEN, -1, NULL),
		    -EFAULT);
	receive_pattern_within(p.haul, LEN, 2, -1);
	pairing_end(&p);
	munmap(buf, HOLED_LEN);
}

Test(push_refused, a_read_into_a_hole_costs_only_the_read)
{
	unsigned char *buf = holed();
	struct haul_msg *m;
	struct haul_req *r;
	struct pairing p;
	struct iovec bad = { buf, HOLED_LEN }, good = { buf, HOLED_LEN / 2 };
	static const int pushed = 3; /* the good reads, too */
	blind_start_pushed(&p, send_into_a_hole, &pushed);
	for (int i = 0; i < 2; i++) {
		must_be(haul_take(p.haul, &(struct haul_match){ .tag = 1 }, PATIENCE_MS, &m), 0);
		must_be(haul_msg_iread(m, 0, &bad, 1, &r), 0);
		must_be(end_of(r, NULL), -EFAULT);
		must_be(haul_msg_iread(m, 0, &good, 1, &r), 0);
		must_be(end_of(r, NULL), 0);
		must_hold(buf, HOLED_LEN / 2, 1, 0);
		must_be(haul_msg_refuse(m, -EFAULT), 0);
	}
	receive_pattern_within(p.haul, LEN, 2, -1);
	pairing_end(&p);
	munmap(buf, HOLED_LEN);
}

/* ---- forks ---- */

static void close_and_exit(struct haul *h, struct haul_peer *p)
{
	_exit(haul_peer_close(p, 0) == -ESTALE && haul_close(h, 0) == -ESTALE ? 0 : 1);
}

static void expect_exit(pid_t pid)
{
	int status;
	must_be(waitpid(pid, &status, 0), pid);
	must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void send_and_fork(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LONG_LEN, 1);
	(void)arg;
	struct haul_req *r = push_a_few_parts(h, p, buf);
	pid_t pid = fork();
	if (pid == 0)
		close_and_exit(h, p);
	expect_exit(pid);
	must_be(end_of(r, NULL), 0);
	free(buf);
}

/* Both have a copy of the context closed by a child while they are in the middle of it. */
Test(push_refused, nothing_by_forks_on_either_side)
{
	unsigned char *buf = room_for(LONG_LEN);
	struct pairing p;
	blind_start_pushed(&p, send_and_fork, NULL);
	await_message(p.haul, 1);
	struct haul_req *r = blind_grant(p.haul, buf, LONG_LEN, 1);
	pid_t pid = fork();
	if (pid == 0)
		close_and_exit(p.haul, p.peer);
	expect_exit(pid);
	must_be(end_of(r, NULL), 0);
	must_hold(buf, LONG_LEN, 1, 0);
	must_be(stats_of(p.haul).received_push, 1);
	free(buf);
	pairing_end(&p);
}
