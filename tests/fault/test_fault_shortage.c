/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shortages that last, and then end: no descriptors at accept, full sockets, no memory. Whoever has to wait for
 * their end does not do so by asking all the time, which is seen by counting system calls.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/fds.h"
#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/sweep.h"
#include "lib/talk.h"

TestSuite(fault_shortage, .timeout = 60);

/* More calls than this in a few waits are a busy loop, in which there would be a hundred thousand. */
enum { FEW = 300 };

static char address[64];

/* ---- counting ---- */

static int count_only(const char *name, long first, void *arg)
{
	(void)name;
	(void)first;
	(void)arg;
	return 0;
}

static void count_calls(void)
{
	fault_arm(&(struct fault){ .action = FAULT_ASK, .nth = 1, .lasting = true, .hook = count_only });
}

static void must_be_few(void)
{
	fault_disarm();
	must(fault_calls() < FEW);
}

/* ---- descriptors ---- */

static int connect_and_send(void *arg)
{
	const int *ready = arg;
	struct haul *h;
	struct haul_peer *p;
	char byte;
	must_in_child();
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(read(*ready, &byte, 1), 1);
	must_be(haul_connect(h, address, PATIENCE_MS, &p), 0);
	send_token(p);
	must_be(haul_close(h, PATIENCE_MS), 0);
	return 0;
}

/* No descriptor may be opened that would come after those there are. */
static void limit_descriptors(struct rlimit *before)
{
	int next = dup(STDERR_FILENO);
	close(next);
	must_be(getrlimit(RLIMIT_NOFILE, before), 0);
	struct rlimit now = { .rlim_cur = (rlim_t)next, .rlim_max = before->rlim_max };
	must_be(setrlimit(RLIMIT_NOFILE, &now), 0);
}

Test(fault_shortage, a_listener_without_descriptors_says_so_and_accepts_when_there_are_some)
{
	struct haul_options o = { .spin_us = -1 };
	struct haul *h;
	struct haul_listener *l;
	struct haul_peer *p;
	struct child c;
	struct rlimit before;
	int go[2];
	snprintf(address, sizeof(address), "@haul-fault-%d", (int)getpid());
	must_be(pipe2(go, O_CLOEXEC), 0);
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	must_be(haul_listen(h, address, &l), 0);
	int fds = fds_count();
	child_start(&c, PATIENCE_MS, connect_and_send, &go[0]);
	limit_descriptors(&before);
	must_be(write(go[1], "x", 1), 1);
	count_calls();
	for (int i = 0; i < 3; i++)
		must_be(haul_accept(l, PATIENCE_MS, &p), -EMFILE);
	must_be_few();
	must_be(setrlimit(RLIMIT_NOFILE, &before), 0);
	int rc = haul_accept(l, PATIENCE_MS, &p);
	if (rc == -EMFILE) /* found out before the limit was lifted */
		rc = haul_accept(l, PATIENCE_MS, &p);
	must_be(rc, 0);
	await_token(h, p);
	must_be(haul_peer_close(p, PATIENCE_MS), 0);
	child_expect(&c, 0);
	fds_expect(fds);
	haul_close(h, 0);
	close(go[0]);
	close(go[1]);
}

/* What accept(2) says for as long as it says it: the caller is told, and the listener doesn't ask all the time. */
static void expect_accept_to_tell(int error)
{
	struct haul_options o = { .spin_us = -1 };
	struct haul *h, *other;
	struct haul_listener *l;
	struct haul_req *connect, *accept;
	struct haul_peer *p;
	struct haul_status status;
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	must_be(haul_open(&other, &o, sizeof(o)), 0);
	must_be(haul_listen(h, address, &l), 0);
	must_be(haul_iconnect(other, address, &connect), 0);
	fault_arm(&(struct fault){ .nth = 1, .lasting = true, .only = "accept4", .error = error });
	for (int i = 0; i < 3; i++)
		must_be(haul_accept(l, PATIENCE_MS, &p), -error);
	must(fault_calls() < FEW);
	fault_disarm();
	must_be(haul_iaccept(l, &accept), 0);
	int rc = sweep_finish(h, other, accept, &status);
	if (rc == -error) {
		must_be(haul_iaccept(l, &accept), 0);
		rc = sweep_finish(h, other, accept, &status);
	}
	must_be(rc, 0);
	must_be(sweep_finish(other, h, connect, &status), 0);
	sweep_send(other, status.peer, h, 1000);
	haul_close(h, 0);
	haul_close(other, 0);
}

Test(fault_shortage, whatever_accept_fails_of_is_told)
{
	static const int errors[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EACCES };
	snprintf(address, sizeof(address), "@haul-fault-%d", (int)getpid());
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		expect_accept_to_tell(errors[i]);
}

Test(fault_shortage, what_is_over_is_not_told_to_a_later_accept)
{
	struct haul_options o = { .spin_us = -1 };
	struct haul *h, *other;
	struct haul_listener *l;
	struct haul_req *connect;
	struct haul_peer *p;
	snprintf(address, sizeof(address), "@haul-fault-%d", (int)getpid());
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	must_be(haul_open(&other, &o, sizeof(o)), 0);
	must_be(haul_listen(h, address, &l), 0);
	must_be(haul_iconnect(other, address, &connect), 0);
	fault_arm(&(struct fault){ .nth = 1, .lasting = true, .only = "accept4", .error = EMFILE });
	while (fault_fired() == 0)
		must(haul_progress(h) >= 0); /* and nobody waits for a peer */
	fault_disarm();
	must_be(sweep_finish(other, h, connect, NULL), 0);
	must_be(haul_accept(l, PATIENCE_MS, &p), 0);
	must_be(haul_accept(l, 0, &p), -EAGAIN);
	haul_close(h, 0);
	haul_close(other, 0);
}

/* What the copies of the two have in common with the others must not be left to them. */
static int close_both_copies(void *arg)
{
	void **both = arg;
	must_in_child();
	haul_listener_close(both[0]);
	must_be(haul_close(both[1], 0), -ESTALE);
	return 0;
}

Test(fault_shortage, a_forked_copy_of_a_listener_that_tries_again_is_closed)
{
	enum { OTHERS = 8 };
	struct haul *h;
	struct haul_listener *l;
	struct haul_req *adopt;
	struct child c;
	int pairs[OTHERS][2];
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(address, sizeof(address), "@haul-fault-%d", (int)getpid());
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_listen(h, address, &l), 0);
	for (int i = 0; i < OTHERS; i++) { /* each with a time of its own */
		must_be(haul_pair(pairs[i]), 0);
		must_be(haul_iadopt(h, pairs[i][0], &adopt), 0);
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memcpy(a.sun_path + 1, address + 1, strlen(address + 1));
	must_be(connect(fd, (struct sockaddr *)&a,
	            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address))),
	    0);
	fault_arm(&(struct fault){ .nth = 1, .lasting = true, .only = "accept4", .error = EMFILE });
	while (fault_fired() == 0)
		must(haul_progress(h) >= 0);
	fault_disarm();
	child_start(&c, PATIENCE_MS, close_both_copies, (void *[]){ l, h });
	child_expect(&c, 0);
	haul_close(h, 0);
	for (int i = 0; i < OTHERS; i++)
		close(pairs[i][1]);
	close(fd);
}

/* Somebody else who has the socket, too, can do that. */
Test(fault_shortage, a_listening_socket_that_was_shut_down_is_told_and_costs_nothing)
{
	static const int ways[] = { SHUT_RD, SHUT_RDWR };
	for (size_t i = 0; i < 2; i++) {
		struct haul_options o = { .spin_us = -1 };
		struct sockaddr_un a = { .sun_family = AF_UNIX };
		struct haul *h, *other;
		struct haul_listener *l;
		struct haul_peer *p;
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		must_be(bind(fd, (struct sockaddr *)&a, sizeof(sa_family_t)), 0);
		must_be(listen(fd, 5), 0);
		snprintf(address, sizeof(address), "fd:%d", fd);
		must_be(haul_open(&h, &o, sizeof(o)), 0);
		must_be(haul_open(&other, &o, sizeof(o)), 0);
		must_be(haul_listen(h, address, &l), 0);
		must_be(shutdown(fd, ways[i]), 0);
		count_calls();
		for (int k = 0; k < 3; k++)
			must_be(haul_accept(l, PATIENCE_MS, &p), -EINVAL);
		must_be(haul_recv(h, NULL, NULL, 0, 200, NULL), -ETIMEDOUT);
		must_be_few();
		sweep_usable(h, other);
		haul_listener_close(l);
		haul_close(h, 0);
		haul_close(other, 0);
	}
}

/* ---- full sockets ---- */

Test(fault_shortage, a_full_socket_is_waited_for_and_not_asked_all_the_time)
{
	enum { COUNT = 64, LEN = 60000 };
	struct haul_options o = { .spin_us = -1, .eager_max = 65536 };
	struct twins t;
	struct haul_req *sends[COUNT];
	unsigned char *out[COUNT], *in = room_for(LEN);
	twins_start(&t, &o);
	for (int i = 0; i < COUNT; i++) {
		out[i] = filled(LEN, (uint64_t)i);
		struct iovec from = { out[i], LEN };
		must_be(haul_isend(t.to_b, (uint64_t)i, &from, 1, 0, &sends[i]), 0);
	}
	count_calls();
	must_be(haul_req_wait(sends[COUNT - 1], 100), -ETIMEDOUT);
	must_be_few();
	for (int i = 0; i < COUNT; i++) {
		struct iovec into = { in, LEN };
		struct haul_req *r;
		struct haul_status status;
		must_be(haul_irecv(t.b, NULL, &into, 1, &r), 0);
		must_be(sweep_finish(t.a, t.b, r, &status), 0);
		must_be(status.tag, i);
		must_hold(in, LEN, (uint64_t)i, 0);
		must_be(sweep_finish(t.a, t.b, sends[i], NULL), 0);
		free(out[i]);
	}
	free(in);
	twins_end(&t);
}

/* A socket that takes a part of a message, whose sender does not wait for the rest. */
static void expect_rest_to_follow(unsigned flags)
{
	enum { LEN = 60000, ROOM = 5000 };
	struct haul_options o = { .eager_max = 65536 };
	struct twins t;
	struct haul_req *adopt_a, *adopt_b, *recv, *spare;
	struct haul_status status;
	unsigned char *out = filled(LEN, 2), *in = room_for(LEN);
	struct iovec from = { out, LEN }, into = { in, LEN };
	int fds[2], room = ROOM;
	must_be(haul_pair(fds), 0);
	must_be(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	must_be(haul_open(&t.a, &o, sizeof(o)), 0);
	must_be(haul_open(&t.b, &o, sizeof(o)), 0);
	must_be(haul_iadopt(t.a, fds[0], &adopt_b), 0);
	must_be(haul_iadopt(t.b, fds[1], &adopt_a), 0);
	must_be(sweep_finish(t.a, t.b, adopt_b, &status), 0);
	t.to_b = status.peer;
	must_be(sweep_finish(t.a, t.b, adopt_a, &status), 0);
	must_be(haul_irecv(t.b, NULL, &into, 1, &recv), 0);
	must_be(haul_irecv(t.a, NULL, NULL, 0, &spare), 0); /* takes the memory that the adoption has left */
	fault_no_memory(); /* for what one needs who would wait; the output buffer is left from the handshake */
	int rc = haul_sendv(t.to_b, 1, &from, 1, flags, PATIENCE_MS);
	fault_disarm();
	must_be(rc, 0);
	must_be(sweep_finish(t.a, t.b, recv, &status), 0);
	must_hold(in, LEN, 2, 0);
	haul_close(t.a, 0);
	haul_close(t.b, 0);
	free(out);
	free(in);
}

Test(fault_shortage, the_rest_of_a_copy_follows_by_itself)
{
	expect_rest_to_follow(HAUL_COPY);
}

Test(fault_shortage, the_rest_of_a_message_follows_when_there_is_no_memory_to_wait)
{
	expect_rest_to_follow(0);
}

/* ---- memory ---- */

/* The middle of a message is lost for want of memory on the receiving side: its sender is told. */
Test(fault_shortage, no_memory_in_the_middle_of_receiving_ends_the_connection_and_both_know)
{
	enum { LEN = 60000 };
	struct haul_options o = { .eager_max = 65536 };
	struct twins t;
	struct haul_req *first, *second;
	struct haul_peer_info info;
	unsigned char *out = filled(LEN, 1);
	struct iovec from = { out, LEN };
	twins_start(&t, &o);
	must_be(haul_isend(t.to_b, 1, &from, 1, HAUL_SYNC, &first), 0);
	fault_no_memory();
	for (int i = 0; i < 10; i++) {
		fault_hold();
		must(haul_progress(t.a) >= 0);
		fault_go_on();
		must(haul_progress(t.b) >= 0);
	}
	fault_disarm();
	must_be(haul_peer_info(t.to_a, &info, sizeof(info)), 0);
	must_be(info.alive, 0);
	must_be(haul_recv(t.b, &(struct haul_match){ .from = t.to_a }, NULL, 0, 0, NULL), -ENOMEM);
	must_be(sweep_finish(t.a, t.b, first, NULL), -ECONNRESET);
	must_be(haul_isend(t.to_b, 1, &from, 1, 0, &second), -ECONNRESET);
	sweep_usable(t.a, t.b);
	free(out);
	twins_end(&t);
}

/* One call fails for as long as it is waited, on the side that sends. Then it is seen to what was to be said. */
static void expect_patience(const char *only, int error, const struct haul_options *o)
{
	enum { LEN = 30000 };
	struct twins t;
	struct haul_req *send, *recv;
	unsigned char *out = filled(LEN, 3), *in = room_for(LEN);
	struct iovec from = { out, LEN }, into = { in, LEN };
	twins_start(&t, o);
	must_be(haul_irecv(t.b, NULL, &into, 1, &recv), 0);
	fault_arm(&(struct fault){ .nth = 1, .lasting = true, .only = only, .error = error });
	int rc = haul_isend(t.to_b, 4, &from, 1, 0, &send);
	if (rc == 0)
		rc = haul_req_wait(send, 100);
	fault_disarm();
	must_be(rc, -ETIMEDOUT);
	must(fault_fired() > 0);
	must(fault_calls() < FEW);
	must_be(sweep_finish(t.a, t.b, recv, NULL), 0);
	must_hold(in, LEN, 3, 0);
	must_be(sweep_finish(t.a, t.b, send, NULL), 0);
	free(out);
	free(in);
	twins_end(&t);
}

Test(fault_shortage, memory_that_is_missing_to_send_is_not_asked_for_all_the_time)
{
	const struct haul_options described = { .eager_max = -1, .spin_us = -1 };
	const struct haul_options eager = { .eager_max = 65536, .spin_us = -1 };
	expect_patience("recallocarray", ENOMEM, &described); /* ids */
	expect_patience("send sendmsg", ENOBUFS, &described);
	expect_patience("send sendmsg", ENOMEM, &eager);
}
