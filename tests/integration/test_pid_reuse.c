/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer dies and its pid goes to another process, which has other bytes at the very same addresses: none of them
 * is ever delivered, nor written over. The receiver is the first process of a pid namespace; the other process is a grandchild of
 * the peer's, so that all it has lies where the peer had it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <haul/haul.h>

#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/pidns.h"
#include "lib/world.h"

TestSuite(pid_reuse, .timeout = 60);

enum {
	LATE_MS = 20000,
	NAMESPACE_MS = 50000,
	LEN = 40 << 20, /* three pieces of a pull */
	PART = 1 << 20, /* a read of a taken message */
	LOOK = 4096,
	BUFFERS = 3000, /* more than a descriptor names, and than one window of the list */
	TAG = 5,
	RIGHT =
	    1, /* seeds: what the peer has at the payload's address, and what the other process has there */
	WRONG = 2
};

static bool keeps_socket; /* the peer's child does, so that there is no end of file */
static size_t buffers;

/* ---- the peer, its child, and its child's child ---- */

static uint8_t *payload;
static int ends[2];
static int to_receiver[2], to_heir[2]; /* pipes */

static void tell(int *pipe_fds)
{
	must_be(write(pipe_fds[1], "x", 1), 1);
}

static void hear(int *pipe_fds)
{
	char byte;
	must_be(read(pipe_fds[0], &byte, 1), 1);
}

static void be_another(void)
{
	tell(to_receiver);
}

/* A child that outlives the peer and gives life to a process of the peer's pid. */
static void leave_an_heir(void)
{
	if (fork() != 0)
		return;
	if (!keeps_socket)
		close(ends[1]);
	tell(to_receiver);
	hear(to_heir);
	pattern_fill(payload, LEN, WRONG, 0);
	pidns_birth(be_another);
	pause();
}

/* Describes a message, and stays until it is killed. */
static void be_the_peer(void)
{
	static struct iovec iov[BUFFERS];
	struct haul *h;
	struct haul_peer *p;
	struct haul_req *r;
	size_t each = LEN / buffers;
	close(ends[0]);
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_adopt(h, ends[1], LATE_MS, &p), 0);
	for (size_t i = 0; i < buffers; i++)
		iov[i] = (struct iovec){ .iov_base = payload + i * each, .iov_len = each };
	iov[buffers - 1].iov_len = LEN - (buffers - 1) * each;
	must_be(haul_isend(p, TAG, iov, buffers, 0, &r), 0);
	while (haul_progress(h) > 0)
		;
	leave_an_heir();
}

/* ---- the receiver ---- */

static uint8_t into[LEN];

static void prepare(void)
{
	must_be(pipe2(to_receiver, O_CLOEXEC), 0);
	must_be(pipe2(to_heir, O_CLOEXEC), 0);
	payload = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(payload != MAP_FAILED);
	pattern_fill(payload, LEN, RIGHT, 0);
	must_be(haul_pair(ends), 0);
}

/* A connection with a message that waits to be received. */
static struct haul *meet(struct haul_peer **p)
{
	struct haul *h;
	struct haul_status status;
	prepare();
	pidns_birth(be_the_peer);
	close(ends[1]);
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_adopt(h, ends[0], LATE_MS, p), 0);
	must_be(haul_probe(h, NULL, LATE_MS, &status), 0);
	must_be(status.len, LEN);
	return h;
}

/* The pid's memory at the payload's address is the other's, and can be read. */
static void check_heir(void)
{
	static uint8_t there[LEN];
	struct iovec local = { .iov_base = there, .iov_len = LEN };
	struct iovec remote = { .iov_base = payload, .iov_len = LEN };
	must_be(process_vm_readv(PIDNS_PID, &local, 1, &remote, 1, 0), LEN);
	must_hold(there, LEN, WRONG, 0);
}

static void replace_the_peer(void)
{
	hear(to_receiver); /* the heir is there */
	pidns_kill();
	tell(to_heir);
	hear(to_receiver);
	check_heir();
}

/* What was to bring its message can only have failed, and the peer is dead. */
static void check_end(struct haul *h, struct haul_peer *p, ssize_t n)
{
	struct haul_peer_info info;
	struct haul_stats stats;
	struct haul_match from = { .from = p, .ignore = UINT64_MAX };
	must(n == -ECANCELED || n == -ECONNRESET);
	must_be(haul_stats(h, &stats, sizeof(stats)), 0);
	must_be(stats.withdrawn, 1); /* the other's memory was read, and not believed */
	must_be(haul_recv(h, &from, NULL, 0, LATE_MS, NULL), -ECONNRESET);
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.alive, 0);
	must_be(haul_close(h, LATE_MS), 0);
}

static int receive_after(void)
{
	struct haul_peer *p;
	struct haul *h = meet(&p);
	replace_the_peer();
	check_end(h, p, haul_recv(h, NULL, into, LEN, LATE_MS, NULL));
	return 0;
}

/* One piece is the peer's own. */
static int receive_across(void)
{
	struct haul_peer *p;
	struct haul_req *r;
	struct haul *h = meet(&p);
	struct iovec iov = { .iov_base = into, .iov_len = LEN };
	must_be(haul_irecv(h, &(struct haul_match){ .tag = TAG }, &iov, 1, &r), 0);
	must_be(haul_progress(h), 1);
	must_be(haul_req_finish(r, NULL), -EINPROGRESS);
	must_hold(into, LOOK, RIGHT, 0);
	replace_the_peer();
	must_be(haul_req_wait(r, LATE_MS), 0);
	check_end(h, p, haul_req_finish(r, NULL));
	return 0;
}

static int read_taken_across(void)
{
	struct haul_peer *p;
	struct haul_msg *m;
	struct haul *h = meet(&p);
	struct iovec iov = { .iov_base = into, .iov_len = PART };
	must_be(haul_take(h, NULL, LATE_MS, &m), 0);
	must_be(haul_msg_read(m, 0, &iov, 1, LATE_MS), PART);
	must_hold(into, PART, RIGHT, 0);
	replace_the_peer();
	ssize_t n = haul_msg_read(m, PART, &iov, 1, LATE_MS);
	haul_msg_done(m);
	check_end(h, p, n);
	return 0;
}

/* ---- a peer that is to be written into ---- */

static const struct haul_options opted_in = { .push = 1 };

/* Says where a message may be written. */
static void grant_and_stay(void)
{
	struct haul *h;
	struct haul_peer *p;
	struct haul_req *r;
	struct iovec iov = { .iov_base = payload, .iov_len = LEN };
	close(ends[0]);
	must(world_refuse_reads(EPERM) == NULL);
	must_be(haul_open(&h, &opted_in, sizeof(opted_in)), 0);
	must_be(haul_adopt(h, ends[1], LATE_MS, &p), 0);
	must_be(haul_irecv(h, &(struct haul_match){ .tag = TAG }, &iov, 1, &r), 0);
	must_be(haul_recv(h, &(struct haul_match){ .tag = TAG + 1 }, NULL, 0, LATE_MS, NULL), 0);
	while (haul_progress(h) > 0)
		;
	leave_an_heir();
}

static int send_after(void)
{
	struct haul *h;
	struct haul_peer *p;
	struct haul_req *r;
	struct haul_stats stats;
	struct iovec iov = { .iov_base = into, .iov_len = LEN };
	prepare();
	pidns_birth(grant_and_stay);
	close(ends[1]);
	must_be(haul_open(&h, &opted_in, sizeof(opted_in)), 0);
	must_be(haul_adopt(h, ends[0], LATE_MS, &p), 0);
	must_be(haul_isend(p, TAG, &iov, 1, 0, &r), 0);
	must_be(haul_send(p, TAG + 1, NULL, 0, LATE_MS), 0); /* and it reads nothing from here on */
	replace_the_peer();
	must_be(haul_req_wait(r, LATE_MS), 0);
	must_be(haul_req_finish(r, NULL), -ECONNRESET);
	must_be(haul_stats(h, &stats, sizeof(stats)), 0);
	must_be(stats.push_calls, 0);
	check_heir();
	must_be(haul_close(h, LATE_MS), 0);
	return 0;
}

/* ---- */

static void run(int (*receiver)(void), size_t count, bool socket)
{
	buffers = count;
	keeps_socket = socket;
	pidns_run(receiver, NAMESPACE_MS);
}

Test(pid_reuse, before_a_receive_delivers_nothing)
{
	run(receive_after, 1, false);
}

Test(pid_reuse, before_a_receive_delivers_nothing_though_a_stray_child_holds_the_socket)
{
	run(receive_after, 1, true);
}

Test(pid_reuse, before_the_list_of_buffers_was_read_delivers_nothing)
{
	run(receive_after, BUFFERS, false);
	run(receive_after, BUFFERS, true);
}

Test(pid_reuse, in_mid_receive_delivers_nothing)
{
	run(receive_across, 1, false);
	run(receive_across, BUFFERS, false);
}

Test(pid_reuse, in_mid_receive_delivers_nothing_though_a_stray_child_holds_the_socket)
{
	run(receive_across, 1, true);
	run(receive_across, BUFFERS, true);
}

Test(pid_reuse, between_two_reads_of_a_taken_message_delivers_nothing)
{
	run(read_taken_across, 1, false);
	run(read_taken_across, 1, true);
}

Test(pid_reuse, before_a_push_lets_nothing_be_written)
{
	run(send_after, 1, false);
	run(send_after, 1, true);
}
