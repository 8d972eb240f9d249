/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Peers that die, at every moment they can: what waits for them ends with an error, what they had sent before
 * is still received, nobody is given a wrong byte, and the other peers never notice.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/duo.h"
#include "lib/fds.h"
#include "lib/must.h"
#include "lib/pattern.h"

TestSuite(death, .timeout = 120);

enum { SOON_MS = 30, LATE_MS = 20000, CHILD_MS = 60000 };

static const struct haul_options stream_only = { .path = HAUL_PATH_STREAM };

/* ---- what children do until they are killed ---- */

static int stay(struct haul *h, struct haul_peer *p, void *arg)
{
	(void)p;
	(void)arg;
	haul_recv(h, &(struct haul_match){ .tag = UINT64_MAX }, NULL, 0, CHILD_MS, NULL);
	return 0;
}

/* Sends until it dies. */
static int send_for_ever(struct haul *h, struct haul_peer *p, void *arg)
{
	size_t len = *(size_t *)arg;
	uint8_t *buf = malloc(len);
	(void)h;
	must(buf != NULL);
	pattern_fill(buf, len, 1, 0);
	for (;;)
		must_be(haul_send(p, 1, buf, len, LATE_MS), 0);
}

static void kill_and_collect(struct child *c)
{
	child_signal(c, SIGKILL);
	child_expect_killed(c, SIGKILL);
}

static struct child *doomed;

static void kill_doomed(int signal)
{
	(void)signal;
	kill(doomed->pid, SIGKILL);
}

static void kill_later(struct child *c, unsigned us)
{
	doomed = c;
	signal(SIGALRM, kill_doomed);
	ualarm(us, 0);
}

/* What is true of a peer that is dead. */
static void check_dead(struct haul *h, struct haul_peer *p)
{
	static char buf[1 << 20];
	struct haul_peer_info info;
	struct haul_status status;
	struct haul_req *r;
	struct haul_match match = { .from = p, .ignore = UINT64_MAX };
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.alive, 0);
	must_be(haul_send(p, 1, "x", 1, LATE_MS), -ECONNRESET);
	must_be(haul_send(p, 1, "x", 1, 0), -ECONNRESET);
	must_be(haul_send(p, 1, buf, sizeof(buf), LATE_MS), -ECONNRESET);
	must(*haul_reason() != '\0');
	must_be(haul_isend(p, 1, &iov, 1, HAUL_SYNC, &r), -ECONNRESET);
	must_be(haul_peer_flush(p, LATE_MS), -ECONNRESET);
	memset(&status, 0, sizeof(status));
	must_be(haul_recv(h, &match, buf, sizeof(buf), LATE_MS, &status), -ECONNRESET);
	must_be(status.error, -ECONNRESET);
	must_be(haul_probe(h, &match, LATE_MS, &status), -ECONNRESET);
	must_be(haul_irecv(h, &match, &iov, 1, &r), 0);
	must_be(haul_req_wait(r, LATE_MS), 0);
	must_be(haul_req_finish(r, &status), -ECONNRESET);
	must(status.peer == p);
}

/* Waits for the death of a peer that is said to be dying. */
static void await_death(struct haul *h, struct haul_peer *p)
{
	must_be(haul_recv(h, &(struct haul_match){ .from = p, .tag = 777 }, NULL, 0, LATE_MS, NULL),
	    -ECONNRESET);
}

static void end(struct duo *d)
{
	check_dead(d->haul, d->peer);
	must_be(haul_peer_close(d->peer, LATE_MS), 0);
	must_be(haul_recv(d->haul, NULL, NULL, 0, LATE_MS, NULL), -EPIPE); /* there is nobody left */
	must_be(haul_close(d->haul, LATE_MS), 0);
}

Test(death, of_an_idle_peer)
{
	struct duo d;
	duo_start(&d, &(struct duo_plan){ .run = stay, .timeout_ms = CHILD_MS });
	kill_and_collect(&d.child);
	await_death(d.haul, d.peer);
	end(&d);
}

/* Nobody looked yet: the first that is sent, or at least one that follows, is told. */
Test(death, is_found_out_by_sending)
{
	struct duo d;
	int rc = 0;
	duo_start(&d, &(struct duo_plan){ .run = stay, .timeout_ms = CHILD_MS });
	kill_and_collect(&d.child);
	for (int i = 0; i < 3 && rc == 0; i++)
		rc = haul_send(d.peer, 1, "anybody?", 8, LATE_MS);
	must_be(rc, -ECONNRESET);
	end(&d);
}

/* Fills what the other side takes unreceived, and then does so again, for it takes more when it is used up. */
static void use_up_credit(struct haul_peer *p)
{
	char buf[1000] = { 0 };
	for (int full = 0; full < 3;) {
		int rc = haul_send(p, 1, buf, sizeof(buf), SOON_MS);
		must(rc == 0 || rc == -ETIMEDOUT);
		full = rc == 0 ? 0 : full + 1;
	}
}

static const unsigned kinds_of_send[] = { 0, HAUL_SYNC, HAUL_COPY };

/* Three are enough to hear of it, whatever kind they are. */
static void is_told(struct duo *d, unsigned flags)
{
	char buf[1000] = { 0 };
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	int rc = 0;
	for (int i = 0; i < 3 && rc == 0; i++)
		rc = haul_sendv(d->peer, 1, &iov, 1, flags, LATE_MS);
	must_be(rc, -ECONNRESET);
}

Test(death, is_found_out_by_each_kind_of_send)
{
	for (int i = 0; i < 3; i++) {
		struct duo d;
		duo_start(&d, &(struct duo_plan){ .run = stay, .timeout_ms = CHILD_MS });
		kill_and_collect(&d.child);
		is_told(&d, kinds_of_send[i]);
		end(&d);
	}
}

/* It looks for credit first, and what it reads then is that there is nobody left to give it any. */
Test(death, is_found_out_by_a_send_that_has_no_credit)
{
	for (int i = 0; i < 3; i++) {
		struct duo d;
		duo_start(&d, &(struct duo_plan){ .run = stay, .timeout_ms = CHILD_MS });
		use_up_credit(d.peer);
		kill_and_collect(&d.child);
		is_told(&d, kinds_of_send[i]);
		end(&d);
	}
}

Test(death, ends_a_receive_from_it)
{
	struct duo d;
	char buf[8];
	duo_start(&d, &(struct duo_plan){ .run = stay, .timeout_ms = CHILD_MS });
	kill_later(&d.child, SOON_MS * 1000);
	struct haul_match from = { .from = d.peer, .ignore = UINT64_MAX };
	must_be(haul_recv(d.haul, &from, buf, sizeof(buf), -1, NULL), -ECONNRESET);
	child_expect_killed(&d.child, SIGKILL);
	end(&d);
}

Test(death, of_the_last_peer_ends_a_receive_from_any)
{
	struct duo d;
	char buf[8];
	duo_start(&d, &(struct duo_plan){ .run = stay, .timeout_ms = CHILD_MS });
	kill_later(&d.child, SOON_MS * 1000);
	must_be(haul_recv(d.haul, NULL, buf, sizeof(buf), -1, NULL), -EPIPE);
	child_expect_killed(&d.child, SIGKILL);
	end(&d);
}

Test(death, ends_a_probe_and_a_flush)
{
	for (int i = 0; i < 2; i++) {
		struct duo d;
		struct haul_status status;
		duo_start(&d, &(struct duo_plan){ .run = stay, .timeout_ms = CHILD_MS });
		must_be(haul_send(d.peer, 1, "x", 1, LATE_MS), 0);
		kill_later(&d.child, SOON_MS * 1000);
		if (i == 0)
			must_be(haul_probe(d.haul, &(struct haul_match){ .from = d.peer }, -1, &status),
			    -ECONNRESET);
		else
			must_be(haul_peer_flush(d.peer, -1), -ECONNRESET);
		child_expect_killed(&d.child, SIGKILL);
		end(&d);
	}
}

Test(death, ends_a_send_that_nobody_receives)
{
	static char big[1 << 20];
	for (int i = 0; i < 3; i++) {
		struct duo d;
		struct iovec iov = { .iov_base = big, .iov_len = sizeof(big) };
		duo_start(&d, &(struct duo_plan){ .run = stay, .timeout_ms = CHILD_MS });
		kill_later(&d.child, SOON_MS * 1000);
		if (i == 0)
			must_be(haul_send(d.peer, 1, big, sizeof(big), -1), -ECONNRESET);
		else if (i == 1)
			must_be(haul_sendv(d.peer, 1, &iov, 1, HAUL_SYNC, -1), -ECONNRESET);
		else
			must_be(haul_sendv(d.peer, 1, NULL, 0, HAUL_SYNC, -1), -ECONNRESET);
		child_expect_killed(&d.child, SIGKILL);
		end(&d);
	}
}

Test(death, ends_all_requests_once)
{
	enum { COUNT = 50 };
	static char big[COUNT][20000];
	struct haul_req *sends[COUNT], *recvs[COUNT];
	struct duo d;
	duo_start(&d, &(struct duo_plan){ .run = stay, .timeout_ms = CHILD_MS });
	for (int i = 0; i < COUNT; i++) {
		struct iovec iov = { .iov_base = big[i], .iov_len = sizeof(big[i]) };
		must_be(haul_isend(d.peer, 1, &iov, 1, i % 2 ? HAUL_SYNC : 0, &sends[i]), 0);
		must_be(haul_irecv(d.haul, &(struct haul_match){ .from = d.peer }, &iov, 1, &recvs[i]), 0);
	}
	haul_progress(d.haul);
	kill_and_collect(&d.child);
	for (int i = 0; i < COUNT; i++) {
		struct haul_status status;
		must_be(haul_req_wait(sends[i], LATE_MS), 0);
		must_be(haul_req_finish(sends[i], &status), -ECONNRESET);
		must_be(haul_req_wait(recvs[i], LATE_MS), 0);
		must_be(haul_req_finish(recvs[i], &status), -ECONNRESET);
	}
	end(&d);
}

/* ---- in mid-transfer ---- */

/* The sender dies at some moment; each message comes whole, or not at all. */
static void sender_dies(const struct haul_options *ours, size_t len, unsigned us)
{
	struct duo d;
	uint8_t *buf = malloc(len);
	ssize_t n;
	must(buf != NULL);
	duo_start(&d,
	    &(struct duo_plan){ .run = send_for_ever, .arg = &len, .ours = ours, .timeout_ms = CHILD_MS });
	must_be(haul_recv(d.haul, NULL, buf, len, LATE_MS, NULL), len);
	kill_later(&d.child, us);
	do {
		struct haul_status status;
		memset(buf, CANARY, len < 4096 ? len : 4096);
		n = haul_recv(d.haul, &(struct haul_match){ .from = d.peer, .ignore = UINT64_MAX }, buf, len,
		    LATE_MS, &status);
		if (n >= 0) {
			must_be(n, len);
			must_hold(buf, len, 1, 0);
		} else {
			must_be(status.error, n);
		}
	} while (n >= 0 || n == -ECANCELED);
	must_be(n, -ECONNRESET);
	child_expect_killed(&d.child, SIGKILL);
	end(&d);
	free(buf);
}

Test(death, of_the_sender_while_pulling)
{
	for (unsigned i = 1; i <= 3; i++)
		sender_dies(NULL, 256 << 20, 30000 * i);
	for (unsigned i = 1; i <= 10; i++)
		sender_dies(NULL, 1 << 20, 3000 * i);
}

Test(death, of_the_sender_while_streaming)
{
	for (unsigned i = 1; i <= 10; i++)
		sender_dies(&stream_only, 32 << 20, 3000 * i);
}

Test(death, of_the_sender_of_short_messages)
{
	for (unsigned i = 1; i <= 10; i++)
		sender_dies(NULL, 5000, 1500 * i);
}

static int receive_for_ever(struct haul *h, struct haul_peer *p, void *arg)
{
	size_t len = *(size_t *)arg;
	uint8_t *buf = malloc(len);
	(void)p;
	must(buf != NULL);
	for (;;)
		must_be(haul_recv(h, NULL, buf, len, LATE_MS, NULL), len);
}

static void receiver_dies(const struct haul_options *theirs, size_t len, unsigned us)
{
	struct duo d;
	uint8_t *buf = calloc(1, len);
	int rc;
	must(buf != NULL);
	duo_start(&d,
	    &(struct duo_plan){ .run = receive_for_ever,
	        .arg = &len,
	        .theirs = theirs,
	        .timeout_ms = CHILD_MS });
	must_be(haul_send(d.peer, 1, buf, len, LATE_MS), 0);
	kill_later(&d.child, us);
	do
		rc = haul_send(d.peer, 1, buf, len, LATE_MS);
	while (rc == 0);
	must_be(rc, -ECONNRESET);
	child_expect_killed(&d.child, SIGKILL);
	end(&d);
	free(buf);
}

Test(death, of_the_receiver_while_it_pulls)
{
	for (unsigned i = 1; i <= 3; i++)
		receiver_dies(NULL, 256 << 20, 30000 * i);
	for (unsigned i = 1; i <= 10; i++)
		receiver_dies(NULL, 1 << 20, 2000 * i);
}

Test(death, of_the_receiver_while_it_is_streamed_to)
{
	for (unsigned i = 1; i <= 10; i++)
		receiver_dies(&stream_only, 32 << 20, 3000 * i);
}

Test(death, of_the_receiver_of_short_messages)
{
	for (unsigned i = 1; i <= 10; i++)
		receiver_dies(NULL, 5000, 1500 * i);
}

/* ---- what was sent before ---- */

enum { BEFORE = 40 };

static int send_and_go(struct haul *h, struct haul_peer *p, void *arg)
{
	(void)h;
	for (uint64_t i = 0; i < BEFORE; i++) {
		char buf[1000];
		pattern_fill(buf, sizeof(buf), i, 0);
		must_be(haul_send(p, i, buf, sizeof(buf), LATE_MS), 0);
	}
	if (arg != NULL)
		raise(SIGKILL);
	_exit(0); /* without a goodbye */
}

Test(death, comes_after_what_was_sent_before_it)
{
	for (int i = 0; i < 4; i++) {
		struct duo d;
		char buf[1000];
		duo_start(&d,
		    &(struct duo_plan){ .run = send_and_go,
		        .arg = i % 2 ? buf : NULL,
		        .timeout_ms = CHILD_MS });
		if (i % 2)
			child_expect_killed(&d.child, SIGKILL);
		else
			child_expect(&d.child, 0);
		struct haul_match any = { .from = i < 2 ? d.peer : NULL, .ignore = UINT64_MAX };
		for (uint64_t k = 0; k < BEFORE; k++) {
			struct haul_status status;
			must_be(haul_recv(d.haul, &any, buf, sizeof(buf), LATE_MS, &status), sizeof(buf));
			must_be(status.tag, k);
			must(status.peer == d.peer);
			must_hold(buf, sizeof(buf), k, 0);
		}
		must_be(haul_recv(d.haul, &any, buf, sizeof(buf), LATE_MS, NULL),
		    i < 2 ? -ECONNRESET : -EPIPE);
		end(&d);
	}
}

static int say_goodbye(struct haul *h, struct haul_peer *p, void *arg)
{
	(void)arg;
	must_be(haul_send(p, 1, "last", 4, LATE_MS), 0);
	must_be(haul_close(h, LATE_MS), 0);
	_exit(0);
}

Test(death, after_a_goodbye_is_no_death)
{
	struct duo d;
	char buf[8];
	duo_start(&d, &(struct duo_plan){ .run = say_goodbye, .timeout_ms = CHILD_MS });
	must_be(haul_recv(d.haul, NULL, buf, sizeof(buf), LATE_MS, NULL), 4);
	struct haul_match from = { .from = d.peer, .ignore = UINT64_MAX };
	must_be(haul_recv(d.haul, &from, buf, sizeof(buf), LATE_MS, NULL), -EPIPE);
	must_be(haul_send(d.peer, 1, "x", 1, LATE_MS), -EPIPE);
	child_expect(&d.child, 0);
	must_be(haul_peer_close(d.peer, LATE_MS), 0);
	duo_close(&d);
}

/* ---- a death that the socket does not show ---- */

/* Its child keeps the socket open beyond its death; it goes when the pipe of the test does. */
static int leave_a_child(struct haul *h, struct haul_peer *p, void *arg)
{
	int *pipe_fds = arg;
	char byte;
	(void)h;
	must_be(haul_send(p, 5, "before", 6, LATE_MS), 0);
	close(pipe_fds[1]);
	if (fork() == 0) {
		must_be(read(pipe_fds[0], &byte, 1), 0);
		_exit(0);
	}
	raise(SIGKILL);
	return 0;
}

Test(death, is_seen_though_a_stray_child_holds_the_socket)
{
	struct duo d;
	int pipe_fds[2];
	char buf[8];
	must_be(pipe2(pipe_fds, O_CLOEXEC), 0);
	duo_start(&d, &(struct duo_plan){ .run = leave_a_child, .arg = pipe_fds, .timeout_ms = CHILD_MS });
	struct haul_match from = { .from = d.peer, .ignore = UINT64_MAX };
	must_be(haul_recv(d.haul, &from, buf, sizeof(buf), LATE_MS, NULL), 6);
	must_be(haul_recv(d.haul, &from, buf, sizeof(buf), LATE_MS, NULL), -ECONNRESET);
	child_expect_killed(&d.child, SIGKILL);
	end(&d);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* ---- another program in its place ---- */

/* Says where a message lies, and is another program when somebody looks. */
static int offer_and_exec(struct haul *h, struct haul_peer *p, void *arg)
{
	struct iovec iov = { .iov_len = 8 << 20 };
	struct haul_req *r;
	(void)arg;
	iov.iov_base = malloc(iov.iov_len);
	must(iov.iov_base != NULL);
	pattern_fill(iov.iov_base, iov.iov_len, 1, 0);
	must_be(haul_send(p, 1, "eager", 5, LATE_MS), 0);
	must_be(haul_isend(p, 2, &iov, 1, 0, &r), 0);
	haul_progress(h);
	execlp("sleep", "sleep", "60", (char *)NULL);
	return 1;
}

Test(death, a_peer_that_execs_is_dead)
{
	for (int i = 0; i < 2; i++) {
		static uint8_t buf[8 << 20];
		struct duo d;
		duo_start(&d, &(struct duo_plan){ .run = offer_and_exec, .timeout_ms = CHILD_MS });
		struct haul_match from = { .from = d.peer, .ignore = UINT64_MAX };
		must_be(haul_recv(d.haul, &from, buf, sizeof(buf), LATE_MS, NULL), 5);
		ssize_t n;
		if (i == 0) /* it is likely not another one yet */
			n = haul_recv(d.haul, &from, buf, sizeof(buf), LATE_MS, NULL);
		else /* it is one now */
			n = haul_recv(d.haul, &(struct haul_match){ .from = d.peer, .tag = 9 }, buf, 8,
			    LATE_MS, NULL);
		if (n > 0) {
			must_be(n, sizeof(buf));
			must_hold(buf, sizeof(buf), 1, 0);
		} else {
			must(n == -ECONNRESET || (n == -ECANCELED && i == 0));
		}
		await_death(d.haul, d.peer);
		end(&d);
		kill_and_collect(&d.child);
	}
}

/* ---- the others ---- */

static int echo(struct haul *h, struct haul_peer *p, void *arg)
{
	static uint8_t buf[300000];
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

static void echoes(struct haul *h, struct haul_peer *p, uint64_t seed)
{
	static uint8_t buf[300000];
	size_t len = seed % 2 == 0 ? sizeof(buf) : 3000;
	pattern_fill(buf, len, seed, 0);
	must_be(haul_send(p, seed, buf, len, LATE_MS), 0);
	memset(buf, 0, len);
	must_be(haul_recv(h, &(struct haul_match){ .from = p, .tag = seed }, buf, sizeof(buf), LATE_MS, NULL),
	    len);
	must_hold(buf, len, seed, 0);
}

Test(death, of_one_is_nothing_to_the_others)
{
	enum { PEERS = 8 };
	static size_t len = 200000;
	struct child children[PEERS];
	struct haul_peer *peers[PEERS];
	struct haul *h;
	int before = fds_count();
	must_be(haul_open(&h, NULL, 0), 0);
	for (int i = 0; i < PEERS; i++)
		duo_add(h, &children[i], &peers[i],
		    &(struct duo_plan){ .run = i % 2 ? send_for_ever : echo,
		        .arg = &len,
		        .timeout_ms = CHILD_MS });
	for (int i = 1; i < PEERS; i += 2) {
		for (int k = 0; k < PEERS; k += 2)
			echoes(h, peers[k], (uint64_t)(100 * i + k / 2));
		kill_and_collect(&children[i]);
		for (int k = 0; k < PEERS; k += 2)
			echoes(h, peers[k], (uint64_t)(100 * i + k / 2 + 50));
		if (i == 3)
			must_be(haul_peer_close(peers[i], LATE_MS), 0); /* unlooked at */
		else
			check_dead(h, (await_death(h, peers[i]), peers[i]));
	}
	for (int k = 0; k < PEERS; k += 2) {
		echoes(h, peers[k], (uint64_t)k);
		must_be(haul_send(peers[k], 0, NULL, 0, LATE_MS), 0);
		child_expect(&children[k], 0);
	}
	must_be(haul_close(h, LATE_MS), 0);
	fds_expect(before);
}

/* A listener is hope: somebody may still come. */
Test(death, of_the_last_peer_leaves_a_listener_to_hope_for)
{
	struct duo d;
	struct haul_listener *l;
	char address[64];
	duo_start(&d, &(struct duo_plan){ .run = stay, .timeout_ms = CHILD_MS });
	snprintf(address, sizeof(address), "@haul-test-death-%d", (int)getpid());
	must_be(haul_listen(d.haul, address, &l), 0);
	kill_and_collect(&d.child);
	await_death(d.haul, d.peer);
	must_be(haul_recv(d.haul, NULL, NULL, 0, SOON_MS, NULL), -ETIMEDOUT);
	haul_listener_close(l);
	end(&d);
}
