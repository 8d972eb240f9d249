/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whoever sleeps is woken by what is left in an outbox, however he sleeps and whenever it comes; and nobody looks into
 * outboxes while he sleeps, nor into those of the many who are quiet.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/duo.h"
#include "lib/fds.h"
#include "lib/pairing.h"
#include "lib/seed.h"
#include "lib/talk.h"

TestSuite(outbox_bell, .timeout = 300);

/* ---- ways to sleep ---- */

enum sleeper {
	IN_RECV,         /* spins before, as it adapts */
	IN_RECV_AT_ONCE, /* never spins */
	IN_WAIT,         /* for a request */
	IN_POLL,         /* haul_arm(), and the descriptor */
	IN_PROGRESS,     /* the library's own thread, while this one waits for a request, too */
	IN_A_THREAD,     /* another thread waits in the same context for what does not come */
	IN_POLL_BESIDE,  /* the descriptor, while another thread waits in a blocking call */
	SLEEPERS,
};

enum { TAG = 1, TAG_ENOUGH = 96, TAG_AGAIN = 97, TAG_NEVER = 99, PLAYS = 50, TIMES = 4000, LATE_US = 120 };

static struct haul_options options_of(enum sleeper s)
{
	struct haul_options o = { .transport = HAUL_TRANSPORT_OUTBOX };
	if (s == IN_RECV_AT_ONCE)
		o.spin_us = -1;
	if (s == IN_PROGRESS)
		o.progress_thread = 1;
	return o;
}

static void receive_by_polling(struct haul *h, struct haul_peer *p)
{
	struct haul_req *r;
	struct haul_match match = { .from = p, .tag = TAG };
	must_be(haul_irecv(h, &match, NULL, 0, &r), 0);
	for (;;) {
		int rc;
		while ((rc = haul_progress(h)) == 1)
			continue;
		must_be(rc, 0);
		if (haul_req_test(r) != -EINPROGRESS)
			break;
		struct pollfd fd = { .fd = haul_fd(h), .events = POLLIN };
		if (haul_arm(h) == 0)
			must_be(poll(&fd, 1, PATIENCE_MS), 1);
	}
	must_be(haul_req_finish(r, NULL), 0);
}

static void receive(struct haul *h, struct haul_peer *p, enum sleeper s)
{
	struct haul_req *r;
	struct haul_match match = { .from = p, .tag = TAG };
	if (s == IN_POLL || s == IN_POLL_BESIDE) {
		receive_by_polling(h, p);
	} else if (s == IN_WAIT || s == IN_PROGRESS) {
		must_be(haul_irecv(h, &match, NULL, 0, &r), 0);
		must_be(haul_req_wait(r, PATIENCE_MS), 0);
		must_be(haul_req_finish(r, NULL), 0);
	} else {
		must_be(haul_recv(h, &match, NULL, 0, PATIENCE_MS, NULL), 0);
	}
}

/* A moment of random length, awake, since a sleep would be much longer. */
static void dawdle(void)
{
	int64_t until = clock_ns() + (int64_t)random_below(LATE_US) * 1000;
	while (random_below(8) != 0 && clock_ns() < until)
		continue;
}

static void *wait_for_the_last(void *arg)
{
	struct haul_match match = { .tag = TAG_NEVER };
	must_be(haul_recv(arg, &match, NULL, 0, -1, NULL), 0);
	return NULL;
}

static void play(struct haul *h, struct haul_peer *p, enum sleeper s, bool first)
{
	pthread_t t;
	bool beside = s == IN_A_THREAD || s == IN_POLL_BESIDE;
	if (beside)
		must_be(pthread_create(&t, NULL, wait_for_the_last, h), 0);
	for (int i = 0; i < TIMES; i++) {
		if (!first || i > 0)
			receive(h, p, s);
		dawdle();
		must_be(haul_send(p, TAG, NULL, 0, PATIENCE_MS), 0);
	}
	if (first)
		receive(h, p, s);
	must_be(haul_send(p, TAG_NEVER, NULL, 0, PATIENCE_MS), 0);
	if (beside)
		pthread_join(t, NULL);
	else
		wait_for_the_last(h);
	must_be(haul_peer_flush(p, PATIENCE_MS), 0);
}

struct pair {
	enum sleeper ours, theirs;
};

static int play_theirs(struct haul *h, struct haul_peer *p, void *arg)
{
	const struct pair *pair = arg;
	struct haul_match match = { .tag = TAG_ENOUGH, .ignore = TAG_ENOUGH ^ TAG_AGAIN };
	struct haul_status status = { .tag = TAG_AGAIN };
	while (status.tag == TAG_AGAIN) {
		play(h, p, pair->theirs, false);
		send_token(p);
		must_be(haul_recv(h, &match, NULL, 0, PATIENCE_MS, &status), 0);
	}
	return 0;
}

/* Where other work keeps both from ever having to sleep, it is played again. */
static void play_until_rung_for(struct haul *h, struct haul_peer *p, enum sleeper s)
{
	for (int i = 1;; i++) {
		play(h, p, s, true);
		await_token(h, p);
		bool rung = stats_of(h).bells_received > 0;
		must(rung || i < PLAYS);
		must_be(haul_send(p, rung ? TAG_ENOUGH : TAG_AGAIN, NULL, 0, PATIENCE_MS), 0);
		if (rung)
			return;
	}
}

ParameterizedTestParameters(outbox_bell, it_wakes_whoever_sleeps)
{
	static struct pair pairs[] = { { IN_RECV, IN_RECV }, { IN_RECV_AT_ONCE, IN_RECV_AT_ONCE },
		{ IN_WAIT, IN_RECV_AT_ONCE }, { IN_POLL, IN_POLL }, { IN_POLL, IN_RECV },
		{ IN_PROGRESS, IN_PROGRESS }, { IN_PROGRESS, IN_RECV_AT_ONCE }, { IN_A_THREAD, IN_A_THREAD },
		{ IN_A_THREAD, IN_RECV }, { IN_POLL_BESIDE, IN_POLL_BESIDE }, { IN_POLL_BESIDE, IN_RECV } };
	return cr_make_param_array(struct pair, pairs, sizeof(pairs) / sizeof(pairs[0]));
}

ParameterizedTest(struct pair *pair, outbox_bell, it_wakes_whoever_sleeps)
{
	struct haul_options ours = options_of(pair->ours), theirs = options_of(pair->theirs);
	struct duo_plan plan = { .run = play_theirs,
		.arg = pair,
		.ours = &ours,
		.theirs = &theirs,
		.timeout_ms = 2 * PATIENCE_MS };
	struct duo d;
	must_note_case("sleepers %d and %d", pair->ours, pair->theirs);
	seed_random();
	duo_start(&d, &plan);
	play_until_rung_for(d.haul, d.peer, pair->ours);
	child_expect(&d.child, 0);
	duo_close(&d);
}

/* ---- what a sleep costs ---- */

enum { ROUNDS = 500, MANY_WORDS = 1000, AWHILE_MS = 20 };

static const struct haul_options sleepy = { .transport = HAUL_TRANSPORT_OUTBOX, .spin_us = -1 };

static int answer_each(struct haul *h, struct haul_peer *p, void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		must_be(haul_recv(h, NULL, NULL, 0, PATIENCE_MS, NULL), 0);
		must_be(haul_send(p, TAG, NULL, 0, PATIENCE_MS), 0);
	}
	await_token(h, p);
	return 0;
}

/* But for one now and then, and when two bells came at once. */
Test(outbox_bell, who_always_sleeps_does_not_look_into_the_outbox)
{
	struct duo_plan plan = { .run = answer_each,
		.ours = &sleepy,
		.theirs = &sleepy,
		.timeout_ms = PATIENCE_MS };
	struct duo d;
	duo_start(&d, &plan);
	must_be(haul_recv(d.haul, NULL, NULL, 0, AWHILE_MS, NULL), -ETIMEDOUT);
	uint64_t before = stats_of(d.haul).polls;
	for (int i = 0; i < ROUNDS; i++) {
		must_be(haul_send(d.peer, TAG, NULL, 0, PATIENCE_MS), 0);
		must_be(haul_recv(d.haul, NULL, NULL, 0, PATIENCE_MS, NULL), 0);
	}
	must(stats_of(d.haul).polls - before < ROUNDS / 4);
	must(stats_of(d.haul).bells_received >= ROUNDS);
	send_token(d.peer);
	child_expect(&d.child, 0);
	duo_close(&d);
}

/* And its sender does nothing more about it. */
static void sleep_while_much_comes(enum sleeper s)
{
	struct haul_options o = sleepy;
	struct twins t;
	twins_start(&t, &o);
	for (int round = 0; round < 5; round++) {
		must_be(haul_recv(t.a, NULL, NULL, 0, AWHILE_MS, NULL), -ETIMEDOUT);
		for (int i = 0; i < MANY_WORDS; i++)
			must_be(haul_send(t.to_a, TAG, NULL, 0, PATIENCE_MS), 0);
		for (int i = 0; i < MANY_WORDS; i++)
			receive(t.a, t.to_b, s);
	}
	must(stats_of(t.b).bells_sent < 5 * MANY_WORDS);
	twins_end(&t);
}

Test(outbox_bell, what_the_socket_had_no_bell_for_is_found)
{
	sleep_while_much_comes(IN_RECV);
	sleep_while_much_comes(IN_POLL);
}

/* ---- quiet peers ---- */

enum { MANY = 1000, QUIET_MS = 500, MOST_CPU_MS = 20, CHILD_MS = 120000, WORDS = 200 };

/* Each takes a socket and a pidfd. False: the hard limit does not allow as many. */
static bool room_for_descriptors(void)
{
	const rlim_t need = 2 * MANY + 100;
	struct rlimit limit;
	must_be(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < need)
		return false;
	if (limit.rlim_cur < need)
		limit.rlim_cur = need;
	must_be(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return true;
}

static int64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static const struct haul_options quiet = { .transport = HAUL_TRANSPORT_OUTBOX,
	.spin_us = -1,
	.eager_max = 65536 };

/* Each word of the first peer is the number of the peer that is to answer. */
static int connect_many(void *address)
{
	static struct haul_peer *peers[MANY];
	struct haul *h;
	struct haul_status status;
	must_in_child();
	must_be(haul_open(&h, &quiet, sizeof(quiet)), 0);
	for (int i = 0; i < MANY; i++)
		must_be(haul_connect(h, address, PATIENCE_MS, &peers[i]), 0);
	while (haul_recv(h, NULL, NULL, 0, CHILD_MS, &status) == 0)
		must_be(haul_send(peers[status.tag], status.tag, NULL, 0, PATIENCE_MS), 0);
	haul_close(h, 0);
	return 0;
}

static void must_sleep(struct haul *h)
{
	must_be(haul_recv(h, NULL, NULL, 0, QUIET_MS, NULL),
	    -ETIMEDOUT); /* those who spoke are asked to ring */
	struct haul_stats before = stats_of(h);
	int64_t cpu = cpu_ns();
	must_be(haul_recv(h, NULL, NULL, 0, QUIET_MS, NULL), -ETIMEDOUT);
	must(cpu_ns() - cpu < (int64_t)MOST_CPU_MS * 1000000);
	must_be(stats_of(h).polls, before.polls);
	must_be(stats_of(h).bells_sent, before.bells_sent);
}

static void ask_for_a_word(struct haul *h, struct haul_peer **peers, unsigned i)
{
	struct haul_status status;
	must_be(haul_send(peers[0], i, NULL, 0, PATIENCE_MS), 0);
	must_be(haul_recv(h, NULL, NULL, 0, PATIENCE_MS, &status), 0);
	must_be(status.tag, i);
	must(status.peer == peers[i]);
}

static uint64_t polls_of(struct haul_peer *p)
{
	struct haul_stats s;
	must_be(haul_peer_stats(p, &s, sizeof(s)), 0);
	return s.polls;
}

Test(outbox_bell, a_thousand_quiet_peers_are_not_looked_at)
{
	static struct haul_peer *peers[MANY];
	static uint64_t polls[MANY];
	struct haul *h;
	struct haul_listener *l;
	struct child c;
	char address[64];
	if (!room_for_descriptors())
		cr_skip_test("the hard limit of descriptors is too low");
	int fds = fds_count();
	snprintf(address, sizeof(address), "@haul-test-outbox-bell-%d", (int)getpid());
	must_be(haul_open(&h, &quiet, sizeof(quiet)), 0);
	must_be(haul_listen(h, address, &l), 0);
	child_start(&c, CHILD_MS, connect_many, address);
	for (int i = 0; i < MANY; i++)
		must_be(haul_accept(l, PATIENCE_MS, &peers[i]), 0);
	must_sleep(h);

	/* Any of them is heard. */
	for (unsigned i = 0; i < MANY; i++)
		ask_for_a_word(h, peers, i);
	must_sleep(h);

	/* While one speaks, none of the others is looked at. */
	for (unsigned i = 0; i < MANY; i++)
		polls[i] = polls_of(peers[i]);
	for (unsigned i = 0; i < WORDS; i++)
		ask_for_a_word(h, peers, 0);
	for (unsigned i = 1; i < MANY; i++)
		must_be(polls_of(peers[i]), polls[i]);
	must_sleep(h);
	must_be(haul_close(h, 0), 0);
	child_collect(&c);
	fds_expect(fds);
}

/* A single peer is waited for in another way than many. */
Test(outbox_bell, a_single_quiet_peer_is_not_looked_at)
{
	struct twins t;
	twins_start(&t, &quiet);
	must_sleep(t.a);
	must_be(haul_send(t.to_a, TAG, NULL, 0, PATIENCE_MS), 0);
	must_be(haul_recv(t.a, NULL, NULL, 0, PATIENCE_MS, NULL), 0);
	must_sleep(t.a);
	twins_end(&t);
}

Test(outbox_bell, a_progress_thread_that_has_nothing_to_do_sleeps)
{
	struct haul_options o = quiet;
	struct twins t;
	o.progress_thread = 1;
	twins_start(&t, &o);
	for (int i = 0; i < 2; i++) {
		must_sleep(t.a);
		must_be(haul_send(t.to_a, TAG, NULL, 0, PATIENCE_MS), 0);
		must_be(haul_recv(t.a, NULL, NULL, 0, PATIENCE_MS, NULL), 0);
	}
	twins_end(&t);
}
