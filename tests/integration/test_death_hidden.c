/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deaths that the socket does not show, because a child of the dead peer holds it open: at each stage at which
 * somebody may wait. There is no end of file in any of these tests, so it is the pidfd alone that tells.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/duo.h"
#include "lib/fds.h"
#include "lib/must.h"
#include "lib/rawpeer.h"
#include "lib/talk.h"

TestSuite(death_hidden, .timeout = 60);

enum { SOON_US = 30000, LATE_MS = 20000, CHILD_MS = 50000, LEN = 40 << 20, SHORT = 1000, TAG = 5 };

static const struct haul_options stream_only = { .path = HAUL_PATH_STREAM };

/* ---- the peer ---- */

static int life[2]; /* a pipe: strays go when the test does */

static void leave_a_stray(void)
{
	char byte;
	close(life[1]);
	pid_t pid = fork();
	must(pid >= 0);
	if (pid == 0) {
		must_be(read(life[0], &byte, 1), 0);
		_exit(0);
	}
}

static int stay(struct haul *h, struct haul_peer *p, void *arg)
{
	(void)arg;
	leave_a_stray();
	send_token(p);
	haul_recv(h, &(struct haul_match){ .tag = 1 }, NULL, 0, CHILD_MS, NULL);
	return 0;
}

static int send_long(struct haul *h, struct haul_peer *p, void *arg)
{
	(void)h;
	(void)arg;
	unsigned char *buf = filled(LEN, 1);
	leave_a_stray();
	send_token(p);
	haul_send(p, TAG, buf, LEN, CHILD_MS);
	return 0;
}

/* ---- the test ---- */

static struct child *doomed;

static void kill_doomed(int signal)
{
	(void)signal;
	kill(doomed->pid, SIGKILL);
}

static void kill_later(struct child *c)
{
	doomed = c;
	signal(SIGALRM, kill_doomed);
	ualarm(SOON_US, 0);
}

static void kill_now(struct child *c)
{
	child_signal(c, SIGKILL);
	child_expect_killed(c, SIGKILL);
}

static void start(struct duo *d, const struct haul_options *ours,
    int (*run)(struct haul *h, struct haul_peer *p, void *arg))
{
	must_be(pipe2(life, O_CLOEXEC), 0);
	duo_start(d, &(struct duo_plan){ .run = run, .ours = ours, .timeout_ms = CHILD_MS });
	await_token(d->haul, d->peer);
}

static void end(struct duo *d)
{
	struct haul_peer_info info;
	struct haul_match from = { .from = d->peer, .ignore = UINT64_MAX };
	must_be(haul_recv(d->haul, &from, NULL, 0, LATE_MS, NULL), -ECONNRESET);
	must_be(haul_peer_info(d->peer, &info, sizeof(info)), 0);
	must_be(info.alive, 0);
	must_be(haul_close(d->haul, LATE_MS), 0);
	close(life[0]);
	close(life[1]);
}

Test(death_hidden, of_an_idle_peer_is_seen_by_whoever_makes_progress)
{
	struct duo d;
	struct haul_req *watch;
	start(&d, NULL, stay);
	must_be(haul_peer_watch(d.peer, &watch), 0);
	kill_now(&d.child);
	while (haul_req_test(watch) == -EINPROGRESS)
		;
	must_be(haul_req_finish(watch, NULL), -ECONNRESET);
	end(&d);
}

Test(death_hidden, ends_whatever_waits_for_it)
{
	char buf[8];
	for (int i = 0; i < 4; i++) {
		struct duo d;
		struct haul_status status;
		struct haul_msg *m;
		start(&d, NULL, stay);
		struct haul_match from = { .from = d.peer, .ignore = UINT64_MAX };
		kill_later(&d.child);
		if (i == 0)
			must_be(haul_recv(d.haul, &from, buf, sizeof(buf), -1, NULL), -ECONNRESET);
		else if (i == 1)
			must_be(haul_recv(d.haul, NULL, buf, sizeof(buf), -1, NULL), -EPIPE);
		else if (i == 2)
			must_be(haul_probe(d.haul, &from, -1, &status), -ECONNRESET);
		else
			must_be(haul_take(d.haul, &from, -1, &m), -ECONNRESET);
		child_expect_killed(&d.child, SIGKILL);
		end(&d);
	}
}

Test(death_hidden, ends_sends_and_a_flush)
{
	static char buf[1 << 20];
	static const size_t lens[] = { sizeof(buf), SHORT };
	struct iovec iov = { .iov_base = buf };
	for (int i = 0; i < 3; i++) {
		struct duo d;
		start(&d, NULL, stay);
		must_be(haul_send(d.peer, 2, buf, SHORT, LATE_MS), 0);
		kill_later(&d.child);
		iov.iov_len = lens[i % 2];
		if (i < 2)
			must_be(haul_sendv(d.peer, 2, &iov, 1, HAUL_SYNC, -1), -ECONNRESET);
		else
			must_be(haul_peer_flush(d.peer, -1), -ECONNRESET);
		child_expect_killed(&d.child, SIGKILL);
		end(&d);
	}
}

/* What is full needs no more than that somebody reads. Nobody will. */
Test(death_hidden, ends_a_send_that_has_no_room)
{
	char buf[SHORT] = { 0 };
	struct duo d;
	int rc;
	start(&d, NULL, stay);
	duo_stop(&d.child);
	do
		rc = haul_send(d.peer, 2, buf, sizeof(buf), 1);
	while (rc == 0);
	must_be(rc, -ETIMEDOUT);
	kill_later(&d.child);
	must_be(haul_send(d.peer, 2, buf, sizeof(buf), -1), -ECONNRESET);
	child_expect_killed(&d.child, SIGKILL);
	end(&d);
}

Test(death_hidden, ends_a_close_that_lingers)
{
	static char big[1 << 20];
	struct iovec iov = { .iov_base = big, .iov_len = sizeof(big) };
	for (int i = 0; i < 2; i++) {
		struct duo d;
		struct haul_req *r;
		start(&d, NULL, stay);
		must_be(haul_isend(d.peer, 2, &iov, 1, 0, &r), 0);
		kill_later(&d.child);
		if (i == 0) {
			must_be(haul_peer_close(d.peer, -1), 0);
			must_be(end_of(r, NULL), -ECONNRESET);
			must_be(haul_close(d.haul, LATE_MS), 0);
		} else {
			must_be(haul_close(d.haul, -1), 0);
		}
		child_expect_killed(&d.child, SIGKILL);
		close(life[0]);
		close(life[1]);
	}
}

/* ---- in mid-transfer ---- */

static uint8_t into[LEN];

/* A part of the message has come. */
static struct haul_req *begin(struct duo *d)
{
	struct haul_req *r;
	struct haul_stats stats;
	struct iovec iov = { .iov_base = into, .iov_len = LEN };
	must_be(haul_irecv(d->haul, &(struct haul_match){ .tag = TAG }, &iov, 1, &r), 0);
	do {
		must(haul_progress(d->haul) >= 0);
		must_be(haul_peer_stats(d->peer, &stats, sizeof(stats)), 0);
	} while (stats.copied_bytes == 0);
	must_be(haul_req_finish(r, NULL), -EINPROGRESS);
	return r;
}

static void dies_in_the_middle(const struct haul_options *ours)
{
	struct duo d;
	start(&d, ours, send_long);
	struct haul_req *r = begin(&d);
	kill_now(&d.child);
	int rc = end_of(r, NULL);
	must(rc == -ECONNRESET || rc == -ECANCELED);
	end(&d);
}

Test(death_hidden, in_mid_pull_ends_the_receive)
{
	dies_in_the_middle(NULL);
}

Test(death_hidden, in_mid_stream_ends_the_receive)
{
	dies_in_the_middle(&stream_only);
}

static int receive_a_part(struct haul *h, struct haul_peer *p, void *arg)
{
	struct haul_req *r;
	struct iovec iov = { .iov_base = into, .iov_len = LEN };
	struct haul_stats stats;
	(void)arg;
	leave_a_stray();
	send_token(p);
	must_be(haul_irecv(h, &(struct haul_match){ .tag = TAG }, &iov, 1, &r), 0);
	do {
		must(haul_progress(h) >= 0);
		must_be(haul_peer_stats(p, &stats, sizeof(stats)), 0);
	} while (stats.copied_bytes == 0);
	raise(SIGKILL);
	return 0;
}

Test(death_hidden, of_a_receiver_in_mid_transfer_ends_the_send)
{
	for (int i = 0; i < 2; i++) {
		struct duo d;
		unsigned char *buf = filled(LEN, 1);
		must_be(pipe2(life, O_CLOEXEC), 0);
		duo_start(&d,
		    &(struct duo_plan){ .run = receive_a_part,
		        .theirs = i == 0 ? NULL : &stream_only,
		        .timeout_ms = CHILD_MS });
		await_token(d.haul, d.peer);
		must_be(haul_send(d.peer, TAG, buf, LEN, -1), -ECONNRESET);
		child_expect_killed(&d.child, SIGKILL);
		end(&d);
		free(buf);
	}
}

/* ---- in the handshake ---- */

struct greeter {
	struct raw raw;
	int theirs; /* the test's end */
	int steps;
};

static int greet_and_die(void *arg)
{
	static bool (*const steps[])(struct raw *) = { raw_hello, raw_granted, raw_verdict };
	struct greeter *g = arg;
	must_in_child();
	close(g->theirs);
	leave_a_stray();
	for (int i = 0; i < g->steps; i++)
		must(steps[i](&g->raw));
	raise(SIGKILL);
	return 0;
}

Test(death_hidden, in_the_handshake_ends_it)
{
	for (int steps = 1; steps <= 3; steps++) {
		struct haul *h;
		struct haul_peer *p;
		struct child c;
		int ends[2], fds = fds_count();
		must_be(pipe2(life, O_CLOEXEC), 0);
		must_be(haul_pair(ends), 0);
		struct greeter g = { .raw = { .fd = ends[1] }, .theirs = ends[0], .steps = steps };
		child_start(&c, CHILD_MS, greet_and_die, &g);
		close(ends[1]);
		must_be(haul_open(&h, NULL, 0), 0);
		must_be(haul_adopt(h, ends[0], LATE_MS, &p), -ECONNRESET);
		must_be(haul_close(h, LATE_MS), 0);
		child_expect_killed(&c, SIGKILL);
		close(ends[0]);
		close(life[0]);
		close(life[1]);
		fds_expect(fds);
	}
}
