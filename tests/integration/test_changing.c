/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Peers that live on, but not as they were: their main thread leaves while others stay, so that the kernel says
 * ESRCH of a process that is there; or they fork in the middle, and the child writes to its copy of what is read.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/duo.h"
#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(changing, .timeout = 60);

enum { LATE_MS = 20000, CHILD_MS = 50000, LEN = 40 << 20, HUGE_LEN = 256 << 20, PAGE = 4096, TAG = 5 };

static void tell(const int *pipe_fds)
{
	must_be(write(pipe_fds[1], "x", 1), 1);
}

static void hear(const int *pipe_fds)
{
	char byte;
	must_be(read(pipe_fds[0], &byte, 1), 1);
}

/* ---- the main thread leaves ---- */

static void await_main_gone(pid_t pid)
{
	char path[64], state = '?';
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	while (state != 'Z') {
		FILE *f = fopen(path, "r");
		must(f != NULL);
		must_be(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
		fclose(f);
	}
}

/* What a child does in a second thread; its main thread leaves when it is told to, or at once. */
struct leaving {
	struct haul *h;
	struct haul_peer *p;
	int fd;     /* where there is no peer yet */
	int go[2];  /* a pipe */
	bool early; /* at once */
	void (*run)(struct leaving *l);
};

static void *run_beside(void *arg)
{
	struct leaving *l = arg;
	l->run(l);
	must_be(haul_close(l->h, LATE_MS), 0);
	_exit(0);
}

static void leave(struct leaving *l)
{
	static struct leaving kept; /* the stack of this thread goes */
	pthread_t thread;
	kept = *l;
	must_be(pthread_create(&thread, NULL, run_beside, &kept), 0);
	if (!kept.early)
		hear(kept.go);
	pthread_exit(NULL);
}

static void check_info(struct haul_peer *p)
{
	struct haul_peer_info info;
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.alive, 1);
	must_be(info.in_path, HAUL_PATH_STREAM);
	must_be(info.in_error, ESRCH);
	must(*info.in_words != '\0');
	must_be(info.out_path, HAUL_PATH_PULL); /* it can still pull */
}

static const size_t lens[] = { 8, 10000, 300000, 3 << 20 };
enum { LENS = sizeof(lens) / sizeof(lens[0]) };

static void send_each(struct haul_peer *p)
{
	for (int i = 0; i < LENS; i++) {
		unsigned char *buf = filled(lens[i], (uint64_t)i);
		must_be(haul_send(p, TAG, buf, lens[i], LATE_MS), 0);
		free(buf);
	}
}

static void receive_each(struct haul *h)
{
	for (int i = 0; i < LENS; i++) {
		unsigned char *buf = room_for(lens[i]);
		must_be(haul_recv(h, &(struct haul_match){ .tag = TAG }, buf, lens[i], LATE_MS, NULL),
		    lens[i]);
		must_hold(buf, lens[i], (uint64_t)i, 0);
		free(buf);
	}
}

static void greet_and_exchange(struct leaving *l)
{
	await_main_gone(getpid());
	must_be(haul_open(&l->h, NULL, 0), 0);
	must_be(haul_adopt(l->h, l->fd, LATE_MS, &l->p), 0);
	send_each(l->p);
	receive_each(l->h);
	await_token(l->h, l->p);
}

static int leave_first(void *arg)
{
	struct leaving *l = arg;
	must_in_child();
	leave(l);
	return 1;
}

Test(changing, a_peer_whose_main_thread_left_before_the_handshake_streams)
{
	struct haul *h;
	struct haul_peer *p;
	struct child c;
	int ends[2];
	must_be(haul_pair(ends), 0);
	struct leaving l = { .fd = ends[1], .early = true, .run = greet_and_exchange };
	child_start(&c, CHILD_MS, leave_first, &l);
	close(ends[1]);
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_adopt(h, ends[0], LATE_MS, &p), 0);
	check_info(p);
	receive_each(h);
	send_each(p);
	check_info(p);
	send_token(p);
	must_be(haul_recv(h, &(struct haul_match){ .from = p }, NULL, 0, LATE_MS, NULL), -EPIPE);
	child_expect(&c, 0);
	must_be(haul_close(h, LATE_MS), 0);
}

static void send_long(struct leaving *l)
{
	unsigned char *buf = filled(LEN, 1);
	must_be(haul_send(l->p, TAG, buf, LEN, LATE_MS), 0);
	await_token(l->h, l->p);
}

static void receive_long(struct leaving *l)
{
	unsigned char *buf = room_for(LEN);
	await_main_gone(getpid());
	must_be(haul_recv(l->h, NULL, buf, LEN, LATE_MS, NULL), LEN);
	must_hold(buf, LEN, 1, 0);
	await_token(l->h, l->p);
}

static int leave_later(struct haul *h, struct haul_peer *p, void *arg)
{
	struct leaving *l = arg;
	l->h = h;
	l->p = p;
	leave(l);
	return 1;
}

static void start_leaver(struct duo *d, struct leaving *l)
{
	must_be(pipe2(l->go, O_CLOEXEC), 0);
	duo_start(d, &(struct duo_plan){ .run = leave_later, .arg = l, .timeout_ms = CHILD_MS });
}

static void end_leaver(struct duo *d, struct leaving *l)
{
	send_token(d->peer);
	must_be(haul_recv(d->haul, &(struct haul_match){ .from = d->peer }, NULL, 0, LATE_MS, NULL), -EPIPE);
	child_expect(&d->child, 0);
	must_be(haul_close(d->haul, LATE_MS), 0);
	close(l->go[0]);
	close(l->go[1]);
}

/* Posts a receive; a piece of the message has come. */
static struct haul_req *begin(struct haul *h, void *buf, size_t len)
{
	struct haul_req *r;
	struct haul_status status;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	must_be(haul_probe(h, &(struct haul_match){ .tag = TAG }, LATE_MS, &status), 0);
	must_be(haul_irecv(h, &(struct haul_match){ .tag = TAG }, &iov, 1, &r), 0);
	must_be(haul_progress(h), 1);
	must_be(haul_req_finish(r, NULL), -EINPROGRESS);
	must_hold(buf, PAGE, 1, 0);
	return r;
}

static void complete(struct haul_req *r, const void *buf, size_t len)
{
	struct haul_status status;
	must_be(haul_req_wait(r, LATE_MS), 0);
	must_be(haul_req_finish(r, &status), 0);
	must_be(status.got, len);
	must_hold(buf, len, 1, 0);
}

Test(changing, a_message_goes_on_by_stream_when_its_senders_main_thread_leaves)
{
	struct duo d;
	struct leaving l = { .run = send_long };
	struct haul_stats stats;
	start_leaver(&d, &l);
	unsigned char *buf = room_for(LEN);
	struct haul_req *r = begin(d.haul, buf, LEN);
	tell(l.go);
	await_main_gone(d.child.pid);
	complete(r, buf, LEN);
	check_info(d.peer);
	must_be(haul_peer_stats(d.peer, &stats, sizeof(stats)), 0);
	must_be(stats.received_stream, 1);
	must_be(stats.pull_retries, 1);
	free(buf);
	end_leaver(&d, &l);
}

Test(changing, a_message_is_pulled_by_a_receiver_without_a_main_thread)
{
	struct duo d;
	struct leaving l = { .run = receive_long };
	struct haul_stats stats;
	start_leaver(&d, &l);
	unsigned char *buf = filled(LEN, 1);
	tell(l.go);
	must_be(haul_send(d.peer, TAG, buf, LEN, LATE_MS), 0);
	must_be(haul_peer_stats(d.peer, &stats, sizeof(stats)), 0);
	must_be(stats.sent_pull, 1);
	free(buf);
	end_leaver(&d, &l);
}

static void stay(struct leaving *l)
{
	await_main_gone(getpid());
	send_token(l->p);
	haul_recv(l->h, &(struct haul_match){ .tag = 1 }, NULL, 0, CHILD_MS, NULL);
}

Test(changing, the_death_of_a_peer_without_a_main_thread_is_seen)
{
	struct duo d;
	struct leaving l = { .run = stay };
	start_leaver(&d, &l);
	tell(l.go);
	await_token(d.haul, d.peer);
	child_signal(&d.child, SIGKILL);
	must_be(haul_recv(d.haul, &(struct haul_match){ .from = d.peer }, NULL, 0, LATE_MS, NULL),
	    -ECONNRESET);
	child_expect_killed(&d.child, SIGKILL);
	must_be(haul_close(d.haul, LATE_MS), 0);
	close(l.go[0]);
	close(l.go[1]);
}

/* ---- forks in the middle ---- */

struct forking {
	int begun[2], written[2]; /* pipes: a piece was pulled; the child has written to all of its copy */
};

/* Once in a pause of the receiver's, then as often as there is time. */
static int fork_while_it_is_pulled(struct haul *h, struct haul_peer *p, void *arg)
{
	struct forking *f = arg;
	struct haul_req *r;
	unsigned char *buf = filled(HUGE_LEN, 1);
	struct iovec iov = { .iov_base = buf, .iov_len = HUGE_LEN };
	must_be(haul_isend(p, TAG, &iov, 1, 0, &r), 0);
	while (haul_progress(h) > 0)
		;
	hear(f->begun);
	for (int i = 0; haul_req_test(r) == -EINPROGRESS; i++) {
		pid_t pid = fork();
		must(pid >= 0);
		if (pid == 0) {
			for (size_t at = 0; at < HUGE_LEN; at += PAGE)
				memset(buf + at, CANARY, 64);
			_exit(0);
		}
		must_be(waitpid(pid, NULL, 0), pid);
		if (i == 0)
			tell(f->written);
	}
	must_be(haul_req_finish(r, NULL), 0);
	free(buf);
	return 0;
}

Test(changing, what_a_forked_child_writes_is_not_received)
{
	struct duo d;
	struct forking f;
	must_be(pipe2(f.begun, O_CLOEXEC), 0);
	must_be(pipe2(f.written, O_CLOEXEC), 0);
	duo_start(&d,
	    &(struct duo_plan){ .run = fork_while_it_is_pulled, .arg = &f, .timeout_ms = CHILD_MS });
	unsigned char *buf = room_for(HUGE_LEN);
	struct haul_req *r = begin(d.haul, buf, HUGE_LEN);
	tell(f.begun);
	hear(f.written);
	complete(r, buf, HUGE_LEN);
	child_expect(&d.child, 0);
	free(buf);
	must_be(haul_close(d.haul, LATE_MS), 0);
	for (int i = 0; i < 2; i++) {
		close(f.begun[i]);
		close(f.written[i]);
	}
}
