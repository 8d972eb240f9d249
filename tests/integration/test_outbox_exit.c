/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who leaves right after sending: by exit(3), from main() or a thread, by closing, or as a forked child. What was sent
 * is in memory that goes with the process, and arrives all the same, once and in order; except after _exit(2) and
 * SIGKILL, which may lose the end of it, but nothing else.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fds.h"
#include "lib/pairing.h"
#include "lib/pattern.h"
#include "lib/seed.h"
#include "lib/talk.h"

TestSuite(outbox_exit, .timeout = 300);

enum {
	TIMES = 10000,
	MOST = 2000, /* bytes of a message */
	MANY = 3000, /* messages, in all more than the ring holds */
	GONE_OK = 0,
	TAG = 1,
};

static const struct haul_options by_outbox = { .transport = HAUL_TRANSPORT_OUTBOX, .eager_max = 65536 };

enum way {
	BY_EXIT,
	BY_THREAD,
	BY_CLOSE,
	BY_PEER_CLOSE,
	BY_LINGERING_CLOSE,
	SURE_WAYS,
	BY__EXIT = SURE_WAYS,
	BY_KILL,
};

static enum way ways[] = { BY_EXIT, BY_THREAD, BY_CLOSE, BY_PEER_CLOSE, BY_LINGERING_CLOSE };

/* ---- the sender ---- */

static struct haul *open_context(void)
{
	struct haul *h;
	must_be(haul_open(&h, &by_outbox, sizeof(by_outbox)), 0);
	return h;
}

struct sender {
	enum way way;
	unsigned count;
	uint64_t seed;
	int fd;
	int theirs;
};

static size_t len_of(uint64_t seed, unsigned i)
{
	uint64_t x = (seed + i) * UINT64_C(0x9e3779b97f4a7c15);
	return (size_t)(x >> 40) % 8 == 0 ? (size_t)(x >> 45) % MOST : (size_t)(x >> 45) % 64;
}

static void send_all(struct haul_peer *p, const struct sender *s)
{
	static unsigned char buf[MOST];
	for (unsigned i = 0; i < s->count; i++) {
		size_t len = len_of(s->seed, i);
		pattern_fill(buf, len, s->seed + i, 0);
		must_be(haul_send(p, TAG, buf, len, PATIENCE_MS), 0);
	}
}

static void *call_exit(void *arg)
{
	(void)arg;
	exit(GONE_OK);
}

static void leave(struct haul *h, struct haul_peer *p, enum way way)
{
	pthread_t t;
	switch (way) {
	case BY_EXIT:
		exit(GONE_OK);
	case BY_THREAD:
		must_be(pthread_create(&t, NULL, call_exit, NULL), 0);
		for (;;) /* in the library, perhaps, when it is called */
			haul_recv(h, NULL, NULL, 0, PATIENCE_MS, NULL);
	case BY_CLOSE:
		haul_close(h, 0);
		break;
	case BY_PEER_CLOSE:
		haul_peer_close(p, 0);
		break;
	case BY_LINGERING_CLOSE:
		must_be(haul_close(h, PATIENCE_MS), 0);
		break;
	case BY__EXIT:
		break;
	case BY_KILL:
		kill(getpid(), SIGKILL);
	}
	_exit(GONE_OK);
}

static int send_and_leave(void *arg)
{
	const struct sender *s = arg;
	struct haul *h;
	struct haul_peer *p;
	must_in_child();
	close(s->theirs);
	must_be(haul_open(&h, &by_outbox, sizeof(by_outbox)), 0);
	must_be(haul_adopt(h, s->fd, PATIENCE_MS, &p), 0);
	send_all(p, s);
	leave(h, p, s->way);
	return 1;
}

/* ---- the receiver ---- */

/* Until the sender's end: how many messages came, all of them right. */
static unsigned receive_all(struct haul *h, struct haul_peer *p, const struct sender *s)
{
	static unsigned char buf[MOST];
	unsigned n = 0;
	for (;; n++) {
		ssize_t len = haul_recv(h, &(struct haul_match){ .from = p, .tag = TAG }, buf, sizeof(buf),
		    PATIENCE_MS, NULL);
		if (len < 0) {
			must(len == -ECONNRESET || len == -EPIPE);
			return n;
		}
		must(n < s->count);
		must_be(len, len_of(s->seed, n));
		must_hold(buf, (size_t)len, s->seed + n, 0);
	}
}

static struct haul_peer *meet_who(struct haul *h, struct child *c, struct sender *s, int (*run)(void *arg))
{
	struct haul_peer *p;
	int fds[2];
	must_be(haul_pair(fds), 0);
	s->fd = fds[1];
	s->theirs = fds[0];
	child_start(c, PATIENCE_MS, run, s);
	close(fds[1]);
	must_be(haul_adopt(h, fds[0], PATIENCE_MS, &p), 0);
	return p;
}

/* Returns how many of them arrived. */
static unsigned once(struct haul *h, struct sender *s, bool late)
{
	struct child c;
	must_note_case("seed %llu, way %d, %u messages%s", (unsigned long long)s->seed, s->way, s->count,
	    late ? ", read late" : "");
	struct haul_peer *p = meet_who(h, &c, s, send_and_leave);
	struct child_end end;
	if (late)
		end = child_collect(&c);
	unsigned n = receive_all(h, p, s);
	if (!late)
		end = child_collect(&c);
	must(s->way == BY_KILL ? end.fate == CHILD_KILLED && end.code == SIGKILL
	                       : end.fate == CHILD_EXITED && end.code == GONE_OK);
	haul_peer_close(p, 0);
	return n;
}

ParameterizedTestParameters(outbox_exit, all_that_was_sent_arrives)
{
	return cr_make_param_array(enum way, ways, SURE_WAYS);
}

ParameterizedTest(enum way *way, outbox_exit, all_that_was_sent_arrives)
{
	struct haul *h = open_context();
	int fds = fds_count();
	seed_random();
	for (unsigned i = 0; i < TIMES / SURE_WAYS; i++) {
		struct sender s = { .way = *way, .seed = (uint64_t)i << 20 };
		bool late = random_below(2) == 0 && s.way != BY_LINGERING_CLOSE;
		s.count = 1 + (unsigned)random_below(random_below(10) == 0 ? 200 : 10);
		must_be(once(h, &s, late), s.count);
	}
	fds_expect(fds);
	must_be(haul_close(h, 0), 0);
}

/* More than its credit allows at a time, so that it is read meanwhile. */
ParameterizedTestParameters(outbox_exit, so_do_more_than_the_ring_holds)
{
	return cr_make_param_array(enum way, ways, SURE_WAYS);
}

ParameterizedTest(enum way *way, outbox_exit, so_do_more_than_the_ring_holds)
{
	struct haul *h = open_context();
	for (unsigned i = 0; i < 10; i++) {
		struct sender s = { .way = *way, .seed = (uint64_t)i << 20, .count = MANY };
		must_be(once(h, &s, false), s.count);
	}
	must_be(haul_close(h, 0), 0);
}

ParameterizedTestParameters(outbox_exit, a_crash_may_lose_the_end_but_nothing_before_it)
{
	static enum way crashes[] = { BY__EXIT, BY_KILL };
	return cr_make_param_array(enum way, crashes, 2);
}

ParameterizedTest(enum way *way, outbox_exit, a_crash_may_lose_the_end_but_nothing_before_it)
{
	struct haul *h = open_context();
	seed_random();
	for (unsigned i = 0; i < 500; i++) {
		struct sender s = { .way = *way, .seed = (uint64_t)i << 20 };
		s.count = 1 + (unsigned)random_below(random_below(2) == 0 ? 500 : 10);
		must(once(h, &s, random_below(2) == 0) <= s.count);
	}
	must_be(haul_close(h, 0), 0);
}

/* ---- a full ring ---- */

enum { CHUNK = 16000, WARM = 200, FILL_MOST = 100 };

static unsigned char chunk[CHUNK];

static int send_chunk(struct haul_peer *p, unsigned i, int timeout_ms)
{
	pattern_fill(chunk, CHUNK, i, 0);
	return haul_send(p, TAG, chunk, CHUNK, timeout_ms);
}

struct filler {
	enum way way;
	int fds[2], pipe[2];
};

/* First so much that the peer grants all it ever will; then, when it does not look, as much as can be left. */
static int fill_and_leave(void *arg)
{
	const struct filler *f = arg;
	struct haul *h;
	struct haul_peer *p;
	unsigned i = 0;
	must_in_child();
	close(f->fds[0]);
	must_be(haul_open(&h, &by_outbox, sizeof(by_outbox)), 0);
	must_be(haul_adopt(h, f->fds[1], PATIENCE_MS, &p), 0);
	static unsigned char out[WARM][CHUNK];
	struct haul_req *reqs[WARM];
	for (; i < WARM; i++) {
		pattern_fill(out[i], CHUNK, i, 0);
		must_be(haul_isend(p, TAG, &(struct iovec){ out[i], CHUNK }, 1, 0, &reqs[i]), 0);
	}
	send_token(p);
	must_be(haul_wait_all(reqs, WARM, PATIENCE_MS), 0);
	for (unsigned n = 0; n < WARM; n++)
		must_be(haul_req_finish(reqs[n], NULL), 0);
	must_be(haul_peer_flush(p, PATIENCE_MS), 0);
	send_token(p);
	while (send_chunk(p, i, 0) == 0)
		i++;
	must(i < WARM + FILL_MOST);
	must_be(write(f->pipe[1], &i, sizeof(i)), sizeof(i));
	leave(h, p, f->way);
	return 1;
}

static void receive_chunk(struct haul *h, struct haul_peer *p, unsigned i)
{
	struct haul_match match = { .from = p, .tag = TAG };
	must_note_case("chunk %u", i);
	must_be(haul_recv(h, &match, chunk, CHUNK, PATIENCE_MS, NULL), CHUNK);
	must_hold(chunk, CHUNK, i, 0);
}

/* The socket takes it all at once: whether anybody reads it, and when, does not matter. */
ParameterizedTestParameters(outbox_exit, a_full_ring_arrives_whenever_it_is_read)
{
	static enum way all[] = { BY_EXIT, BY_THREAD, BY_CLOSE, BY_PEER_CLOSE };
	return cr_make_param_array(enum way, all, sizeof(all) / sizeof(all[0]));
}

ParameterizedTest(enum way *way, outbox_exit, a_full_ring_arrives_whenever_it_is_read)
{
	for (int round = 0; round < 5; round++) {
		struct filler f = { .way = *way };
		struct haul *h = open_context();
		struct haul_peer *p;
		struct child c;
		unsigned filled;
		must_be(haul_pair(f.fds), 0);
		must_be(pipe(f.pipe), 0);
		child_start(&c, PATIENCE_MS, fill_and_leave, &f);
		close(f.fds[1]);
		close(f.pipe[1]);
		must_be(haul_adopt(h, f.fds[0], PATIENCE_MS, &p), 0);
		await_token(h, p); /* only what waits makes credit grow */
		for (unsigned i = 0; i < WARM; i++)
			receive_chunk(h, p, i);
		await_token(h, p);
		must_be(read(f.pipe[0], &filled, sizeof(filled)), sizeof(filled));
		must(filled > WARM);
		child_expect(&c, GONE_OK);
		for (unsigned i = WARM; i < filled; i++)
			receive_chunk(h, p, i);
		ssize_t n = haul_recv(h, &(struct haul_match){ .from = p, .tag = TAG }, chunk, CHUNK,
		    PATIENCE_MS, NULL);
		must(n == -ECONNRESET || n == -EPIPE);
		close(f.pipe[0]);
		must_be(haul_close(h, 0), 0);
	}
}

/* ---- several peers, one of which does not read ---- */

struct two {
	int fds[2][2];
	int pipe[2];
};

static int wait_in_vain(void *arg)
{
	struct two *t = arg;
	struct haul *h;
	struct haul_peer *p;
	must_in_child();
	close(t->fds[1][0]);
	close(t->fds[1][1]);
	close(t->fds[0][0]);
	close(t->pipe[1]);
	h = open_context();
	must_be(haul_adopt(h, t->fds[0][1], PATIENCE_MS, &p), 0);
	raise(SIGSTOP);
	receive_chunk(h, p, 0);
	return 0;
}

/* To one who is stopped, then to the test. */
static int send_to_both(void *arg)
{
	struct two *t = arg;
	struct haul *h;
	struct haul_peer *stopped, *other;
	char byte;
	must_in_child();
	close(t->fds[0][1]);
	close(t->fds[1][1]);
	close(t->pipe[1]);
	h = open_context();
	must_be(haul_adopt(h, t->fds[0][0], PATIENCE_MS, &stopped), 0);
	must_be(haul_adopt(h, t->fds[1][0], PATIENCE_MS, &other), 0);
	must_be(read(t->pipe[0], &byte, 1), 0);
	for (unsigned i = 0; send_chunk(stopped, i, 0) == 0; i++)
		continue;
	send_all(other, &(struct sender){ .count = 100 });
	exit(GONE_OK);
}

Test(outbox_exit, a_stopped_peer_keeps_nobody_from_leaving)
{
	struct sender expected = { .count = 100 };
	struct child receiver, sender;
	struct two t;
	struct haul_peer *p;
	must_be(haul_pair(t.fds[0]), 0);
	must_be(haul_pair(t.fds[1]), 0);
	must_be(pipe(t.pipe), 0);
	child_start(&receiver, PATIENCE_MS, wait_in_vain, &t);
	child_start(&sender, PATIENCE_MS, send_to_both, &t);
	close(t.fds[0][0]);
	close(t.fds[0][1]);
	close(t.fds[1][0]);
	close(t.pipe[0]);
	struct haul *h = open_context();
	must_be(haul_adopt(h, t.fds[1][1], PATIENCE_MS, &p), 0);
	child_await_stop(&receiver);
	close(t.pipe[1]);
	child_expect(&sender, GONE_OK);
	must_be(receive_all(h, p, &expected), expected.count);
	child_signal(&receiver, SIGCONT);
	child_expect(&receiver, 0);
	must_be(haul_close(h, 0), 0);
}

/* ---- forked children ---- */

static int leave_as_a_copy(struct haul *h, struct haul_peer *p, unsigned round)
{
	switch (round % 3) {
	case 0:
		exit(0);
	case 1:
		must_be(haul_send(p, TAG, "copy", 4, 0), -ESTALE);
		must_be(haul_close(h, -1), -ESTALE);
		exit(0);
	default:
		haul_peer_close(p, -1);
		exit(0);
	}
}

static int send_between_forks(void *arg)
{
	const struct sender *s = arg;
	struct haul_peer *p;
	int status;
	must_in_child();
	close(s->theirs);
	struct haul *h = open_context();
	must_be(haul_adopt(h, s->fd, PATIENCE_MS, &p), 0);
	for (unsigned round = 0; round < s->count / 10; round++) {
		send_all(p, &(struct sender){ .count = 10, .seed = s->seed + 10 * round });
		pid_t pid = fork();
		must(pid >= 0);
		if (pid == 0)
			leave_as_a_copy(h, p, round);
		must_be(waitpid(pid, &status, 0), pid);
		must_be(status, 0);
	}
	exit(GONE_OK);
}

Test(outbox_exit, a_forked_child_leaves_without_a_word)
{
	struct haul *h = open_context();
	for (unsigned i = 0; i < 20; i++) {
		struct sender s = { .seed = (uint64_t)i << 20, .count = 300 };
		struct child c;
		struct haul_peer *p = meet_who(h, &c, &s, send_between_forks);
		if (i % 2 == 0)
			child_expect(&c, GONE_OK);
		must_be(receive_all(h, p, &s), s.count);
		if (i % 2 != 0)
			child_expect(&c, GONE_OK);
		haul_peer_close(p, 0);
	}
	must_be(haul_close(h, 0), 0);
}

/* ---- from a signal handler, and from main() ---- */

static void exit_now(int signal)
{
	(void)signal;
	exit(GONE_OK);
}

/* Perhaps in the middle of a call, whose lock nobody will give back. */
static int exit_in_a_handler(void *arg)
{
	const struct sender *s = arg;
	struct haul_peer *p;
	must_in_child();
	close(s->theirs);
	struct haul *h = open_context();
	must_be(haul_adopt(h, s->fd, PATIENCE_MS, &p), 0);
	send_all(p, s);
	signal(SIGALRM, exit_now);
	ualarm(1000, 0);
	while (haul_progress(h) >= 0)
		continue;
	return 1;
}

Test(outbox_exit, an_exit_in_a_signal_handler_ends_and_loses_the_end_at_the_most)
{
	struct haul *h = open_context();
	for (unsigned i = 0; i < 8; i++) {
		struct sender s = { .seed = (uint64_t)i << 20, .count = 100 };
		struct child c;
		struct haul_peer *p = meet_who(h, &c, &s, exit_in_a_handler);
		child_expect(&c, GONE_OK);
		must(receive_all(h, p, &s) <= s.count);
		haul_peer_close(p, 0);
	}
	must_be(haul_close(h, 0), 0);
}

/* This program anew, as a sender. Criterion's own environment would make a test of it. */
static int run_anew(void *arg)
{
	const struct sender *s = arg;
	char fd[16], seed[32], count[16], *argv[] = { "test", "send", fd, seed, count, NULL },
	                                  *nothing[] = { NULL };
	must_in_child();
	close(s->theirs);
	must_be(fcntl(s->fd, F_SETFD, 0), 0);
	snprintf(fd, sizeof(fd), "%d", s->fd);
	snprintf(seed, sizeof(seed), "%llu", (unsigned long long)s->seed);
	snprintf(count, sizeof(count), "%u", s->count);
	execve("/proc/self/exe", argv, nothing);
	return 1;
}

Test(outbox_exit, all_that_was_sent_arrives_when_main_returns)
{
	struct haul *h = open_context();
	for (unsigned i = 0; i < 100; i++) {
		struct sender s = { .seed = (uint64_t)i << 20, .count = 1 + i };
		struct child c;
		struct haul_peer *p = meet_who(h, &c, &s, run_anew);
		child_expect(&c, GONE_OK);
		must_be(receive_all(h, p, &s), s.count);
		haul_peer_close(p, 0);
	}
	must_be(haul_close(h, 0), 0);
}

static int send_and_return(char **argv)
{
	struct sender s = { .seed = strtoull(argv[3], NULL, 10), .count = (unsigned)atoi(argv[4]) };
	struct haul_peer *p;
	must_in_child();
	struct haul *h = open_context();
	must_be(haul_adopt(h, atoi(argv[2]), PATIENCE_MS, &p), 0);
	send_all(p, &s);
	return GONE_OK;
}

/* Of its own, because this program is also a sender. Visible, because Criterion looks for it when it starts a test's
 * process. */
int main(int argc, char **argv) __attribute__((visibility("default")));
int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "send") == 0)
		return send_and_return(argv);
	struct criterion_test_set *tests = criterion_initialize();
	int rc = criterion_handle_args(argc, argv, true) && !criterion_run_all_tests(tests);
	criterion_finalize(tests);
	return rc;
}
