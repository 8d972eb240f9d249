/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One context, many threads: each gets what it waits for, whoever drives; closing sends everybody home; and a
 * thread of the library's own goes on while the program is elsewhere.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/asleep.h"
#include "lib/duo.h"
#include "lib/fds.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(threads, .timeout = 60);
TestSuite(progress_thread, .timeout = 60);
TestSuite(watch, .timeout = 60);

enum {
	THREADS = 8,
	ROUNDS = 40,
	LONG_LEN = 200003,
	SOON_MS = 20,
	BIG = 8 << 20,
	COPIES = 4,
	COPIED_LEN = 64 << 20
};

/* ---- threads ---- */

struct worker {
	pthread_t thread;
	_Atomic pid_t tid; /* 0 until it runs */
	struct haul *haul;
	struct haul_peer *peer;
	struct haul_listener *listener;
	const struct path *path;
	int number;
	ssize_t result;
};

static void work(struct worker *w, void *(*run)(void *))
{
	w->tid = 0;
	must(pthread_create(&w->thread, NULL, run, w) == 0);
}

static void join(struct worker *w)
{
	must(pthread_join(w->thread, NULL) == 0);
}

/* ---- receivers ---- */

static size_t len_of(const struct path *path, int number)
{
	return path_most(path, number % 2 == 0 ? 100 : LONG_LEN);
}

static void serve_threads(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *out = room_for(LONG_LEN);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < THREADS; i++) {
			int n = (i * 5 + round) % THREADS;
			size_t len = len_of(arg, n);
			uint64_t seed = (uint64_t)(round * THREADS + n), got;
			pattern_fill(out, len, seed, 0);
			must_be(haul_send(p, (uint64_t)n, out, len, PATIENCE_MS), 0);
			if (round % 2 == 0)
				continue;
			must_be(haul_recv(h, &(struct haul_match){ .tag = (uint64_t)n }, &got, sizeof(got),
			            PATIENCE_MS, NULL),
			    sizeof(got)); /* one at a time */
			must_be(got, seed);
		}
		for (int i = 0; round % 2 == 0 && i < THREADS; i++) {
			uint64_t got;
			must_be(haul_recv(h, &(struct haul_match){ .tag = (uint64_t)i }, &got, sizeof(got),
			            PATIENCE_MS, NULL),
			    sizeof(got));
		}
	}
	free(out);
	await_token(h, p);
}

/* Each thread does this with the same peer, which serves them all. */
static void all_work(const struct path *path, void *(*part)(void *))
{
	struct haul_options o = path_options(path);
	struct worker w[THREADS];
	struct pairing p;
	pairing_start(&p, &o, &o, serve_threads, path);
	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .haul = p.haul, .peer = p.peer, .path = path, .number = i };
		work(&w[i], part);
	}
	for (int i = 0; i < THREADS; i++)
		join(&w[i]);
	send_token(p.peer);
	pairing_end(&p);
}

static void *receive_and_answer(void *arg)
{
	struct worker *w = arg;
	size_t len = len_of(w->path, w->number);
	unsigned char *in = room_for(len);
	struct haul_match match = { .tag = (uint64_t)w->number };
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t seed = (uint64_t)(round * THREADS + w->number);
		must_be(haul_recv(w->haul, &match, in, len, round % 2 ? -1 : PATIENCE_MS, NULL), len);
		must_hold(in, len, seed, 0);
		must_be(haul_send(w->peer, match.tag, &seed, sizeof(seed), PATIENCE_MS), 0);
	}
	free(in);
	return NULL;
}

EveryPath(threads, that_wait_for_different_messages_each_get_theirs)
{
	all_work(path, receive_and_answer);
}

/* The same, but waiting for one of two requests, as another thread may find it complete. */
static void *wait_for_either(void *arg)
{
	struct worker *w = arg;
	size_t len = len_of(w->path, w->number), done[2];
	unsigned char *in = room_for(len);
	struct iovec to = { in, len };
	struct haul_match match = { .tag = (uint64_t)w->number }, never = { .tag = 12345 };
	struct haul_req *r[2];
	must_be(haul_irecv(w->haul, &never, NULL, 0, &r[0]), 0);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t seed = (uint64_t)(round * THREADS + w->number);
		must_be(haul_irecv(w->haul, &match, &to, 1, &r[1]), 0);
		if (round % 2 == 0) {
			must_be(haul_wait_any(r, 2, -1), 1);
		} else {
			must_be(haul_wait_some(r, 2, done, -1), 1);
			must_be(done[0], 1);
		}
		must_be(haul_req_finish(r[1], NULL), 0);
		must_hold(in, len, seed, 0);
		must_be(haul_send(w->peer, match.tag, &seed, sizeof(seed), PATIENCE_MS), 0);
	}
	must_be(haul_req_cancel(r[0]), 0);
	must_be(haul_req_finish(r[0], NULL), -ECANCELED);
	free(in);
	return NULL;
}

EveryPath(threads, that_wait_for_any_of_several_each_get_theirs)
{
	all_work(path, wait_for_either);
}

/* ---- senders ---- */

static void receive_from_threads(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *in = room_for(LONG_LEN);
	uint64_t next[THREADS] = { 0 };
	(void)p;
	for (int i = 0; i < THREADS * ROUNDS; i++) {
		struct haul_status status;
		ssize_t n = haul_recv(h, NULL, in, LONG_LEN, PATIENCE_MS, &status);
		must(n >= 0 && status.tag < THREADS);
		uint64_t nth = next[status.tag]++; /* each thread's come in its order */
		must_be(n, len_of(arg, (int)nth));
		must_hold(in, (size_t)n, status.tag * 1000 + nth, 0);
	}
	free(in);
}

static void *send_many(void *arg)
{
	struct worker *w = arg;
	unsigned char *out = room_for(LONG_LEN);
	for (int i = 0; i < ROUNDS; i++) {
		size_t len = len_of(w->path, i);
		unsigned flags = i % 4 == 3 ? HAUL_SYNC : i % 4 == 2 ? HAUL_COPY : 0;
		pattern_fill(out, len, (uint64_t)(w->number * 1000 + i), 0);
		must_be(haul_sendv(w->peer, (uint64_t)w->number, &(struct iovec){ out, len }, 1, flags, -1),
		    0);
	}
	free(out);
	return NULL;
}

EveryPath(threads, that_send_to_one_peer_keep_each_its_order)
{
	struct haul_options o = path_options(path);
	struct worker w[THREADS];
	struct pairing p;
	pairing_start(&p, &o, &o, receive_from_threads, path);
	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .haul = p.haul, .peer = p.peer, .path = path, .number = i };
		work(&w[i], send_many);
	}
	for (int i = 0; i < THREADS; i++)
		join(&w[i]);
	pairing_end(&p);
}

/* ---- comings and goings beside a thread that waits ---- */

static void send_when_told(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, LONG_LEN);
	unsigned char *out = filled(len, 1);
	await_token(h, p);
	must_be(haul_send(p, 7, out, len, PATIENCE_MS), 0);
	free(out);
}

static void *receive_one(void *arg)
{
	struct worker *w = arg;
	size_t len = path_most(w->path, LONG_LEN);
	unsigned char *in = room_for(len);
	w->tid = gettid();
	must_be(haul_recv(w->haul, &(struct haul_match){ .from = w->peer, .tag = 7 }, in, len, -1, NULL),
	    len);
	must_hold(in, len, 1, 0);
	free(in);
	return NULL;
}

EveryPath(threads, one_that_waits_is_not_disturbed_by_peers_that_come_and_go)
{
	struct haul_options o = path_options(path);
	struct haul_listener *l;
	struct haul_status status;
	struct pairing p;
	char address[64];
	snprintf(address, sizeof(address), "@haul-test-threads-%d", (int)getpid());
	pairing_start(&p, &o, &o, send_when_told, path);
	struct worker w = { .haul = p.haul, .peer = p.peer, .path = path };
	work(&w, receive_one);
	until_asleep(&w.tid);
	must_be(haul_listen(p.haul, address, &l), 0);
	for (uint64_t i = 0; i < 30; i++) {
		struct haul *other;
		struct haul_peer *there, *here;
		must_be(haul_open(&other, &o, sizeof(o)), 0);
		must_be(haul_connect(other, address, PATIENCE_MS, &there), 0); /* the other thread answers */
		must_be(haul_accept(l, PATIENCE_MS, &here), 0);
		must_be(haul_send(here, i, NULL, 0, path->eager ? PATIENCE_MS : SOON_MS),
		    path->eager ? 0 : -ETIMEDOUT);
		if (path->eager)
			must_be(haul_recv(other, NULL, NULL, 0, PATIENCE_MS, &status), 0);
		if (i % 2 == 0)
			must_be(haul_peer_close(here, 0), 0);
		must_be(haul_close(other, i % 2 == 0 ? 0 : PATIENCE_MS), 0);
		if (i % 2 == 1)
			must_be(haul_peer_close(here, PATIENCE_MS), 0);
	}
	haul_listener_close(l);
	send_token(p.peer);
	join(&w);
	pairing_end(&p);
}

/* ---- one that sleeps, beside others who get theirs without it ---- */

static void token_both_ways_then_send(struct haul *h, struct haul_peer *p, const void *arg)
{
	send_token(p);
	send_when_told(h, p, arg);
	await_token(h, p);
}

enum { TO_OURSELVES = 60 };

static void *receive_from_self(void *arg)
{
	struct worker *w = arg;
	struct haul_match match = { .from = haul_self(w->haul), .tag = 9 };
	for (int i = 0; i < TO_OURSELVES; i++) {
		w->tid = gettid();
		must_be(haul_recv(w->haul, &match, NULL, 0, PATIENCE_MS, NULL), 0);
	}
	return NULL;
}

/* A thread that others wake up, again and again, while somebody else sleeps for all of them. */
static void talk_to_ourselves(struct haul *h)
{
	struct worker w = { .haul = h };
	struct haul_peer *self = haul_self(h);
	must(self != NULL);
	work(&w, receive_from_self);
	for (int i = 0; i < TO_OURSELVES; i++) {
		until_asleep(&w.tid);
		must_be(haul_sendv(self, 9, NULL, 0, i + 1 < TO_OURSELVES ? HAUL_SYNC : 0, PATIENCE_MS), 0);
	}
	join(&w);
}

EveryPath(threads, the_one_that_sleeps_hears_its_peer_after_others_got_theirs_without_it)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	pairing_start(&p, &o, &o, token_both_ways_then_send, path);
	await_token(p.haul, p.peer); /* it was the last who spoke */
	struct worker w = { .haul = p.haul, .peer = p.peer, .path = path };
	work(&w, receive_one);
	until_asleep(&w.tid);
	talk_to_ourselves(p.haul);
	send_token(p.peer);
	join(&w);
	send_token(p.peer);
	pairing_end(&p);
}

static void *send_to_self(void *arg)
{
	struct worker *w = arg;
	struct haul_peer *self = haul_self(w->haul);
	unsigned char *out = filled(LONG_LEN, 1);
	struct iovec from = { out, LONG_LEN };
	for (int i = 0; i < ROUNDS; i++)
		must_be(haul_sendv(self, (uint64_t)i, &from, 1, HAUL_SYNC, -1), 0);
	free(out);
	return NULL;
}

EveryPath(threads, of_one_process_can_talk_through_it)
{
	struct haul_options o = path_options(path);
	unsigned char *in = room_for(LONG_LEN);
	struct worker w = { 0 };
	must_be(haul_open(&w.haul, &o, sizeof(o)), 0);
	must(haul_self(w.haul) != NULL);
	work(&w, send_to_self);
	for (int i = 0; i < ROUNDS; i++) {
		memset(in, 0, LONG_LEN);
		must_be(haul_recv(w.haul, NULL, in, LONG_LEN, -1, NULL), LONG_LEN);
		must_hold(in, LONG_LEN, 1, 0);
	}
	join(&w);
	must_be(haul_close(w.haul, 0), 0);
	free(in);
}

/* ---- words ---- */

struct listener_for_words {
	struct worker worker;
	char before[256], words[256];
};

static void *fail_twice(void *arg)
{
	struct listener_for_words *l = arg;
	struct worker *w = &l->worker;
	struct haul_match match = { .from = w->peer, .tag = (uint64_t)w->number };
	must_be(haul_recv(w->haul, &match, NULL, 0, -2, NULL), -EINVAL);
	snprintf(l->before, sizeof(l->before), "%s", haul_reason());
	w->tid = gettid();
	must_be(haul_recv(w->haul, &match, NULL, 0, PATIENCE_MS, NULL), -ECONNRESET);
	snprintf(l->words, sizeof(l->words), "%s", haul_reason());
	return NULL;
}

static void await_token_only(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)arg;
	await_token(h, p);
}

/* One of them finds the death out, for all. */
Test(threads, each_has_words_for_a_death_whoever_found_it_out)
{
	enum { COUNT = 4 };
	static struct listener_for_words l[COUNT];
	struct pairing p;
	pairing_start(&p, NULL, NULL, await_token_only, NULL);
	for (int i = 0; i < COUNT; i++) {
		l[i].worker = (struct worker){ .haul = p.haul, .peer = p.peer, .number = i };
		work(&l[i].worker, fail_twice);
	}
	for (int i = 0; i < COUNT; i++)
		until_asleep(&l[i].worker.tid);
	child_signal(&p.child, SIGKILL);
	for (int i = 0; i < COUNT; i++) {
		join(&l[i].worker);
		must_note(l[i].words);
		must(l[i].words[0] != '\0');
		must(strcmp(l[i].words, l[i].before) != 0);
	}
	child_expect_killed(&p.child, SIGKILL);
	must_be(haul_close(p.haul, PATIENCE_MS), 0);
	fds_expect(p.fds);
}

/* ---- closing ---- */

static void stay(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_status status;
	(void)p;
	(void)arg;
	must_be(haul_recv(h, &(struct haul_match){ .tag = 4711 }, NULL, 0, PATIENCE_MS, &status), -EPIPE);
}

enum call {
	IN_RECV,
	IN_RECV_FROM,
	IN_TAKE,
	IN_SEND,
	IN_SENDRECV,
	IN_FLUSH,
	IN_ACCEPT,
	IN_CONNECT,
	IN_SUBMIT, /* to here: an operation of its own, which is canceled */
	IN_PROBE,
	IN_REQUEST,
	IN_ANY,
	IN_ALL,
	CALLS
};

static ssize_t wait_so(struct worker *w, enum call how)
{
	struct haul_match tag = { .tag = 99 }, from = { .tag = 99, .from = w->peer };
	struct haul_op op = { .kind = HAUL_OP_RECV, .match = tag };
	static unsigned char big[BIG];
	struct haul_status status;
	struct haul_req *r[2] = { NULL };
	struct haul_msg *m;
	struct haul_peer *p;
	ssize_t rc = -EIO;
	if (how >= IN_REQUEST) {
		rc = haul_irecv(w->haul, &tag, NULL, 0, &r[0]);
		if (rc == 0)
			rc = haul_irecv(w->haul, &tag, NULL, 0, &r[1]);
		if (rc != 0)
			return rc;
	}
	w->tid = gettid();
	switch (how) {
	case IN_RECV:
		return haul_recv(w->haul, &tag, NULL, 0, -1, &status);
	case IN_RECV_FROM:
		return haul_recv(w->haul, &from, NULL, 0, -1, &status);
	case IN_TAKE:
		return haul_take(w->haul, &tag, -1, &m);
	case IN_SEND:
		return haul_send(w->peer, 99, big, BIG, -1);
	case IN_SENDRECV:
		return haul_sendrecv(w->peer, 99, big, BIG, &tag, NULL, 0, -1, &status);
	case IN_FLUSH:
		return haul_peer_flush(w->peer, -1);
	case IN_ACCEPT:
		return haul_accept(w->listener, -1, &p);
	case IN_CONNECT: /* the backlog takes it, but nobody will ever speak */
		return haul_connect(w->haul, (const char *)w->path, -1, &p);
	case IN_SUBMIT:
		rc = haul_submit(w->haul, &op, 1, -1, NULL);
		if (rc == -EIO && op.status.error == -ECANCELED)
			rc = -ECANCELED;
		return rc;
	case IN_PROBE:
		return haul_probe(w->haul, &tag, -1, &status);
	case IN_REQUEST:
		return haul_req_wait(r[0], -1);
	case IN_ANY:
		return haul_wait_any(r, 2, -1);
	case IN_ALL:
		return haul_wait_all(r, 2, -1);
	case CALLS:
		break;
	}
	return rc;
}

static void *wait_until_closed(void *arg)
{
	struct worker *w = arg;
	w->result = wait_so(w, (enum call)w->number);
	return NULL;
}

static void close_under(enum call first, enum call last, const struct haul_options *o, int linger_ms)
{
	struct worker w[CALLS];
	struct haul_listener *l, *deaf;
	struct haul *other;
	struct haul_req *big;
	struct pairing p;
	static unsigned char bytes[BIG];
	char address[64], deaf_address[64];
	snprintf(address, sizeof(address), "@haul-test-threads-%d", (int)getpid());
	snprintf(deaf_address, sizeof(deaf_address), "@haul-test-threads-%d-deaf", (int)getpid());
	int fds = fds_count();
	must_be(haul_open(&other, NULL, 0), 0);
	must_be(haul_listen(other, deaf_address, &deaf), 0);
	pairing_start(&p, o, NULL, stay, NULL);
	must_be(haul_listen(p.haul, address, &l), 0);
	if (first <= IN_FLUSH && last >= IN_FLUSH) /* what the flush waits for */
		must_be(haul_isend(p.peer, 99, &(struct iovec){ bytes, BIG }, 1, 0, &big), 0);
	for (enum call i = first; i <= last; i++) {
		w[i] = (struct worker){ .haul = p.haul,
			.peer = p.peer,
			.listener = l,
			.path = (const void *)deaf_address,
			.number = (int)i };
		work(&w[i], wait_until_closed);
	}
	for (enum call i = first; i <= last; i++)
		until_asleep(&w[i].tid);
	int rc = haul_close(p.haul, linger_ms);
	must(rc == 0 || rc == -ETIMEDOUT);
	for (enum call i = first; i <= last; i++) {
		join(&w[i]);
		bool heard_bye = w[i].result == -EPIPE; /* the peer's, which answers ours */
		if (w[i].result != -EBADF && (i >= IN_PROBE || w[i].result != -ECANCELED) && !heard_bye) {
			fprintf(stderr, "wait %d ended with %zd\n", (int)i, w[i].result);
			must_failed(__FILE__, __LINE__, "each wait ends with -ECANCELED or -EBADF");
		}
	}
	must_be(haul_close(other, 0), 0);
	child_expect(&p.child, 0);
	fds_expect(fds);
}

Test(threads, each_kind_of_wait_ends_when_the_context_is_closed)
{
	struct haul_options served = { .progress_thread = 1 };
	for (enum call i = 0; i < CALLS; i++) {
		close_under(i, i, NULL, 0);
		close_under(i, i, &served, 0);
	}
}

Test(threads, all_kinds_of_wait_at_once_end_when_the_context_is_closed)
{
	struct haul_options served = { .progress_thread = 1 };
	for (int i = 0; i < 5; i++) {
		close_under(0, CALLS - 1, NULL, 0);
		close_under(0, CALLS - 1, &served, 0);
		close_under(0, CALLS - 1, NULL, SOON_MS);
	}
}

static void *call_in_vain(void *arg)
{
	struct worker *w = arg;
	struct haul_status status;
	int rc;
	w->tid = gettid();
	do
		rc = haul_probe(w->haul, NULL, 0, &status);
	while (rc == -EAGAIN);
	w->result = rc;
	return NULL;
}

Test(threads, that_call_all_the_time_find_it_closed)
{
	for (int round = 0; round < 20; round++) {
		struct worker w[4];
		struct haul *h;
		must_be(haul_open(&h, NULL, 0), 0);
		must(haul_self(h) != NULL);
		for (int i = 0; i < 4; i++) {
			w[i] = (struct worker){ .haul = h };
			work(&w[i], call_in_vain);
		}
		for (int i = 0; i < 4; i++)
			while (w[i].tid == 0)
				sched_yield();
		must_be(haul_close(h, 0), 0);
		for (int i = 0; i < 4; i++) {
			join(&w[i]);
			must_be(w[i].result, -EBADF);
		}
	}
}

/* ---- interruptions ---- */

Test(threads, an_interrupt_ends_exactly_one_wait)
{
	enum { COUNT = 4 };
	for (int served = 0; served < 2; served++) {
		struct haul_options o = { .progress_thread = served };
		struct worker w[COUNT];
		struct haul *h;
		int interrupted = 0;
		must_be(haul_open(&h, &o, sizeof(o)), 0);
		struct haul_peer *self = haul_self(h);
		for (int i = 0; i < COUNT; i++) {
			w[i] = (struct worker){ .haul = h, .peer = self, .number = IN_RECV, .result = 1 };
			work(&w[i], wait_until_closed);
		}
		for (int i = 0; i < COUNT; i++)
			until_asleep(&w[i].tid);
		haul_interrupt(h);
		for (int i = 0; i < COUNT; i++)
			while (thread_state(w[i].tid) != 'S' && thread_state(w[i].tid) != 'X')
				sched_yield();
		for (int i = 0; i < COUNT - 1; i++) /* the others are still there */
			must_be(haul_sendv(self, 99, NULL, 0, HAUL_SYNC, PATIENCE_MS), 0);
		for (int i = 0; i < COUNT; i++) {
			join(&w[i]);
			must(w[i].result == 0 || w[i].result == -EINTR);
			interrupted += w[i].result == -EINTR;
		}
		must_be(interrupted, 1);
		must_be(haul_recv(h, NULL, NULL, 0, SOON_MS, NULL), -ETIMEDOUT);
		must_be(haul_close(h, 0), 0);
	}
}

static void *interrupt_when_it_sleeps(void *arg)
{
	struct worker *w = arg; /* .tid: of the one that closes */
	until_asleep(&w->tid);
	haul_interrupt(w->haul);
	return NULL;
}

Test(threads, an_interrupt_ends_the_linger_of_a_close)
{
	static unsigned char out[BIG];
	struct haul_req *r;
	struct worker w = { 0 };
	struct pairing p;
	pairing_start(&p, NULL, NULL, stay, NULL);
	w.haul = p.haul;
	duo_stop(&p.child);
	must_be(haul_isend(p.peer, 1, &(struct iovec){ out, BIG }, 1, HAUL_SYNC, &r), 0);
	must(pthread_create(&w.thread, NULL, interrupt_when_it_sleeps, &w) == 0);
	w.tid = gettid();
	must_be(haul_close(p.haul, -1), -EINTR);
	join(&w);
	duo_continue(&p.child);
	child_collect(&p.child);
}

/* ---- fork ---- */

struct copies {
	struct haul *haul;
	struct haul_peer *peer;
	struct haul_listener *listener;
	struct haul_req *req;
};

/* Whatever the threads of the parent were doing, none of them is here. */
static int use_copies(void *arg)
{
	struct copies *c = arg;
	struct haul_status status;
	struct haul_peer *p;
	struct haul *own;
	must_in_child();
	must_be(haul_recv(c->haul, NULL, NULL, 0, -1, &status), -ESTALE);
	must_be(haul_send(c->peer, 1, NULL, 0, -1), -ESTALE);
	must_be(haul_req_test(c->req), -ESTALE);
	must_be(haul_req_cancel(c->req), -ESTALE);
	must_be(haul_accept(c->listener, -1, &p), -ESTALE);
	must_be(haul_progress(c->haul), -ESTALE);
	must(haul_self(c->haul) == NULL);
	haul_req_free(c->req);
	haul_listener_close(c->listener);
	must_be(haul_peer_close(c->peer, -1), -ESTALE);
	must_be(haul_close(c->haul, -1), -ESTALE);
	must_be(haul_open(&own, NULL, 0), 0);
	must_be(haul_send(haul_self(own), 1, "x", 1, 0), 0);
	must_be(haul_recv(own, NULL, &(char){ 0 }, 1, PATIENCE_MS, NULL), 1);
	must_be(haul_close(own, 0), 0);
	return 0;
}

static void fork_while_one_waits(const struct path *path, int progress_thread)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	struct copies c;
	char address[64];
	snprintf(address, sizeof(address), "@haul-test-threads-%d", (int)getpid());
	o.progress_thread = progress_thread;
	pairing_start(&p, &o, NULL, send_when_told, path);
	struct worker w = { .haul = p.haul, .peer = p.peer, .path = path };
	c.haul = p.haul;
	c.peer = p.peer;
	must_be(haul_listen(p.haul, address, &c.listener), 0);
	must_be(haul_irecv(p.haul, &(struct haul_match){ .tag = 99 }, NULL, 0, &c.req), 0);
	work(&w, receive_one);
	until_asleep(&w.tid);
	for (int i = 0; i < 3; i++) {
		struct child fork;
		child_start(&fork, PATIENCE_MS, use_copies, &c);
		child_expect(&fork, 0);
	}
	send_token(p.peer);
	join(&w);
	pairing_end(&p);
}

EveryPath(threads, a_fork_while_one_waits_leaves_it_alone)
{
	fork_while_one_waits(path, 0);
}

EveryPath(progress_thread, a_fork_leaves_it_with_the_parent)
{
	fork_while_one_waits(path, 1);
}

static int close_copies(void *arg)
{
	struct copies *c = arg;
	must_in_child();
	must_be(haul_peer_close(c->peer, 0), -ESTALE);
	must_be(haul_close(c->haul, 0), -ESTALE);
	return 0;
}

static atomic_bool copied;

static void *receive_big(void *arg)
{
	struct worker *w = arg;
	unsigned char *in = room_for(COPIED_LEN);
	for (uint64_t i = 0; i < COPIES; i++) {
		must_be(haul_recv(w->haul, NULL, in, COPIED_LEN, PATIENCE_MS, NULL), COPIED_LEN);
		must_hold(in, COPIED_LEN, i, 0);
	}
	free(in);
	atomic_store(&copied, true);
	return NULL;
}

static void send_big(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *out = room_for(COPIED_LEN);
	(void)arg;
	for (uint64_t i = 0; i < COPIES; i++) {
		pattern_fill(out, COPIED_LEN, i, 0);
		must_be(haul_send(p, i, out, COPIED_LEN, PATIENCE_MS), 0);
	}
	await_token(h, p);
	free(out);
}

/* At whatever moment of the copies the forks come. */
Test(threads, a_fork_while_one_copies_can_close_the_peer_that_is_copied_from)
{
	struct haul_status status;
	struct pairing p;
	pairing_start(&p, NULL, NULL, send_big, NULL);
	must_be(haul_probe(p.haul, NULL, PATIENCE_MS, &status), 0);
	struct copies c = { .haul = p.haul, .peer = p.peer };
	struct worker w = { .haul = p.haul, .peer = p.peer };
	work(&w, receive_big);
	do {
		struct child fork;
		child_start(&fork, PATIENCE_MS, close_copies, &c);
		child_expect(&fork, 0);
	} while (!atomic_load(&copied));
	join(&w);
	send_token(p.peer);
	pairing_end(&p);
}

/* What the others were changing at the fork can't be told from what is whole. */
Test(threads, a_fork_amid_their_calls_can_close_its_copies)
{
	enum { COUNT = 3, FORKS = 50 };
	struct worker w[COUNT];
	struct pairing p;
	pairing_start(&p, NULL, NULL, await_token_only, NULL);
	struct copies c = { .haul = p.haul, .peer = p.peer };
	for (int i = 0; i < COUNT; i++) {
		w[i] = (struct worker){ .haul = p.haul };
		work(&w[i], call_in_vain);
	}
	for (int i = 0; i < FORKS; i++) {
		struct child fork;
		child_start(&fork, PATIENCE_MS, close_copies, &c);
		child_expect(&fork, 0);
	}
	send_token(p.peer);
	pairing_end(&p);
	for (int i = 0; i < COUNT; i++) {
		join(&w[i]);
		must(w[i].result == -EBADF || w[i].result == -EPIPE);
	}
}

/* ---- the library's own thread ---- */

static const struct haul_options served = { .progress_thread = 1 };

static void block(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGUSR1);
	must(pthread_sigmask(SIG_BLOCK, set, NULL) == 0);
}

static bool sleep_until_signal(const sigset_t *set, int timeout_ms)
{
	struct timespec t = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L };
	return sigtimedwait(set, NULL, &t) == SIGUSR1;
}

static void send_and_sleep(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, BIG);
	unsigned char *out = filled(len, 1);
	struct haul_req *r;
	sigset_t set;
	(void)h;
	block(&set);
	must_be(haul_isend(p, 1, &(struct iovec){ out, len }, 1, HAUL_SYNC, &r), 0);
	must(sleep_until_signal(&set, PATIENCE_MS));
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, NULL), 0);
	await_token(h, p);
	free(out);
}

EveryPath(progress_thread, sends_while_the_program_sleeps)
{
	struct haul_options o = path_options(path), theirs = o;
	size_t len = path_most(path, BIG);
	unsigned char *in = room_for(len);
	struct pairing p;
	theirs.progress_thread = 1;
	pairing_start(&p, &o, &theirs, send_and_sleep, path);
	must_be(haul_recv(p.haul, NULL, in, len, PATIENCE_MS, NULL), len);
	must_hold(in, len, 1, 0);
	child_signal(&p.child, SIGUSR1);
	send_token(p.peer);
	pairing_end(&p);
	free(in);
}

static void receive_and_sleep(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, BIG);
	unsigned char *in = room_for(len);
	struct haul_req *r;
	sigset_t set;
	block(&set);
	must_be(haul_irecv(h, &(struct haul_match){ .tag = 1 }, &(struct iovec){ in, len }, 1, &r), 0);
	send_token(p);
	must(sleep_until_signal(&set, PATIENCE_MS));
	must_hold(in, len, 1, 0); /* it was there before anybody called */
	must_be(haul_req_finish(r, NULL), 0);
	await_token(h, p);
	free(in);
}

EveryPath(progress_thread, receives_and_answers_while_the_program_sleeps)
{
	struct haul_options o = path_options(path), theirs = o;
	size_t len = path_most(path, BIG);
	unsigned char *out = filled(len, 1);
	struct haul_req *r;
	struct pairing p;
	theirs.progress_thread = 1;
	pairing_start(&p, &o, &theirs, receive_and_sleep, path);
	await_token(p.haul, p.peer);
	must_be(haul_sendv(p.peer, 1, &(struct iovec){ out, len }, 1, HAUL_SYNC, PATIENCE_MS), 0);
	must_be(haul_peer_flush(p.peer, PATIENCE_MS), 0);
	must_be(haul_isend(p.peer, 2, &(struct iovec){ out, len }, 1, HAUL_SYNC, &r), 0);
	must_be(haul_req_cancel(r), 0);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, NULL), -ECANCELED);
	child_signal(&p.child, SIGUSR1);
	send_token(p.peer);
	pairing_end(&p);
	free(out);
}

static void receive_beside_and_sleep(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_req *r;
	sigset_t set;
	(void)arg;
	block(&set);
	must_be(haul_irecv(h, &(struct haul_match){ .from = p, .tag = 7 }, NULL, 0, &r), 0);
	must_be(haul_req_notify(r, &(struct haul_notify){ .signal = SIGUSR1 }), 0);
	await_token(h, p); /* it was the last who spoke */
	talk_to_ourselves(h);
	send_token(p);
	must(sleep_until_signal(&set, PATIENCE_MS));
	must_be(haul_req_finish(r, NULL), 0);
	await_token(h, p);
}

Test(progress_thread, hears_the_peer_after_others_got_theirs_without_it)
{
	struct pairing p;
	pairing_start(&p, NULL, &served, receive_beside_and_sleep, NULL);
	send_token(p.peer);
	await_token(p.haul, p.peer);
	must_be(haul_send(p.peer, 7, NULL, 0, PATIENCE_MS), 0);
	send_token(p.peer);
	pairing_end(&p);
}

static int64_t cpu_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

enum { WAKEUPS = 500, MOST_CPU_MS = 20 };

static void take_no_time(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_req *r[WAKEUPS];
	struct haul_stats before, stats;
	sigset_t set;
	(void)arg;
	block(&set);
	for (uint64_t i = 0; i < WAKEUPS; i++)
		must_be(haul_irecv(h, &(struct haul_match){ .tag = i }, NULL, 0, &r[i]), 0);
	send_token(p);
	must_be(haul_stats(h, &before, sizeof(before)), 0);
	must(sleep_until_signal(&set, PATIENCE_MS));
	must_be(haul_stats(h, &stats, sizeof(stats)), 0);
	must_be(stats.spins, before.spins);
	must(stats.sleeps > before.sleeps);
	int64_t cpu = cpu_us();
	must(!sleep_until_signal(&set, 500));
	must(cpu_us() - cpu < MOST_CPU_MS * 1000);
	for (int i = 0; i < WAKEUPS; i++)
		must_be(haul_req_finish(r[i], NULL), 0);
}

Test(progress_thread, sleeps_and_never_spins)
{
	struct pairing p;
	pairing_start(&p, NULL, &served, take_no_time, NULL);
	await_token(p.haul, p.peer);
	for (uint64_t i = 0; i < WAKEUPS; i++)
		must_be(haul_sendv(p.peer, i, NULL, 0, HAUL_SYNC, PATIENCE_MS), 0);
	child_signal(&p.child, SIGUSR1);
	pairing_end(&p);
}

static int count_threads(void)
{
	int n = 0;
	DIR *dir = opendir("/proc/self/task");
	must(dir != NULL);
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

Test(progress_thread, is_there_if_asked_for_and_ends_with_the_context)
{
	struct haul *h, *without;
	for (int i = 0; i < 20; i++) {
		int before = count_threads();
		must_be(haul_open(&without, NULL, 0), 0);
		must_be(count_threads(), before);
		must_be(haul_open(&h, &served, sizeof(served)), 0);
		must_be(count_threads(), before + 1);
		must_be(haul_close(h, i % 2 == 0 ? 0 : -1), 0);
		/* The kernel takes a moment to forget a thread that was joined. */
		while (count_threads() != before)
			sched_yield();
		must_be(haul_close(without, 0), 0);
	}
}

static _Atomic pid_t handled_by;

static void note_thread(int signal)
{
	(void)signal;
	handled_by = gettid();
}

Test(progress_thread, takes_no_signals)
{
	struct haul *h;
	sigset_t set, pending;
	must(signal(SIGUSR1, note_thread) != SIG_ERR);
	must_be(haul_open(&h, &served, sizeof(served)), 0);
	block(&set);
	must(kill(getpid(), SIGUSR1) == 0);
	must_be(haul_recv(h, NULL, NULL, 0, SOON_MS, NULL), -EPIPE);
	must(sigpending(&pending) == 0);
	must(sigismember(&pending, SIGUSR1));
	must(handled_by == 0);
	must(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
	must_be(handled_by, gettid());
	must_be(haul_close(h, 0), 0);
}

static void note_call(struct haul_req *r, void *arg)
{
	pid_t *by = arg;
	(void)r;
	*by = gettid();
}

static void die(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)arg;
	await_token(h, p);
	raise(SIGKILL);
}

/* But it tells by signal, of a death too; and callbacks wait for the program. */
Test(progress_thread, tells_by_signal_while_the_program_sleeps)
{
	struct haul_req *watch;
	struct pairing p;
	sigset_t set;
	pid_t by = 0;
	block(&set);
	pairing_start(&p, &served, NULL, die, NULL);
	must_be(haul_peer_watch(p.peer, &watch), 0);
	must_be(haul_req_notify(watch,
	            &(struct haul_notify){ .call = note_call, .arg = &by, .signal = SIGUSR1 }),
	    0);
	send_token(p.peer);
	must(sleep_until_signal(&set, PATIENCE_MS));
	must(by == 0);
	while (by == 0)
		must(haul_progress(p.haul) >= 0);
	must_be(by, gettid());
	must_be(haul_req_finish(watch, NULL), -ECONNRESET);
	child_expect_killed(&p.child, SIGKILL);
	must_be(haul_close(p.haul, 0), 0);
}

static void sleep_past_deadline(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_req *r;
	sigset_t set;
	(void)arg;
	block(&set);
	must_be(haul_irecv(h, &(struct haul_match){ .tag = 99 }, NULL, 0, &r), 0);
	must_be(haul_req_notify(r, &(struct haul_notify){ .signal = SIGUSR1 }), 0);
	must_be(haul_req_deadline(r, SOON_MS), 0);
	must(sleep_until_signal(&set, PATIENCE_MS));
	must_be(haul_req_finish(r, NULL), -ETIMEDOUT);
	send_token(p);
	await_token(h, p);
}

Test(progress_thread, keeps_deadlines)
{
	struct pairing p;
	pairing_start(&p, NULL, &served, sleep_past_deadline, NULL);
	await_token(p.haul, p.peer);
	send_token(p.peer);
	pairing_end(&p);
}

/* ---- watches ---- */

struct order {
	struct haul_req *of[4];
	int count;
};

static void note_order(struct haul_req *r, void *arg)
{
	struct order *o = arg;
	o->of[o->count++] = r;
}

enum end { BY_BYE, BY_DEATH, BY_US };

static void leave_so(struct haul *h, struct haul_peer *p, const void *arg)
{
	const enum end *how = arg;
	await_token(h, p);
	if (*how == BY_DEATH)
		raise(SIGKILL);
	if (*how == BY_US)
		must_be(haul_recv(h, &(struct haul_match){ .tag = 4711 }, NULL, 0, PATIENCE_MS, NULL),
		    -EPIPE);
}

static void end_so(enum end how, int error)
{
	static const char *const names[] = { "goodbye", "death", "our own close" };
	static unsigned char out[BIG];
	struct haul_notify notify = { .call = note_order };
	struct haul_req *first, *second, *send, *recv, *third;
	struct haul_status status;
	struct order order = { .count = 0 };
	struct pairing p;
	must_note(names[how]);
	notify.arg = &order;
	pairing_start(&p, NULL, NULL, leave_so, &how);
	must_be(haul_peer_watch(p.peer, &first), 0);
	must_be(haul_req_notify(first, &notify), 0);
	must_be(haul_peer_watch(p.peer, &second), 0);
	must_be(haul_isend(p.peer, 1, &(struct iovec){ out, BIG }, 1, HAUL_SYNC, &send), 0);
	must_be(haul_req_notify(send, &notify), 0);
	must_be(haul_irecv(p.haul, &(struct haul_match){ .from = p.peer }, NULL, 0, &recv), 0);
	must_be(haul_req_notify(recv, &notify), 0);
	must_be(haul_req_wait(first, SOON_MS), -ETIMEDOUT);
	send_token(p.peer);
	if (how == BY_US)
		must_be(haul_peer_close(p.peer, 0), -ETIMEDOUT); /* the send was under way */
	must_be(haul_req_wait(first, PATIENCE_MS), 0);
	must_be(haul_req_wait(second, 0), 0);
	must_be(haul_req_wait(send, 0), 0);
	must_be(haul_req_wait(recv, 0), 0);
	while (haul_progress(p.haul) == 1)
		continue;
	must_be(order.count, 3);
	must(order.of[2] == first); /* after all the others */
	if (how != BY_US) {
		must_be(haul_peer_watch(p.peer, &third), 0);
		must_be(haul_req_test(third), 0); /* at once */
		must_be(haul_req_finish(third, NULL), error);
	}
	must_be(haul_req_finish(first, &status), error);
	must(status.peer == (how == BY_US ? NULL : p.peer));
	must_be(haul_req_finish(second, NULL), error);
	must_be(haul_req_finish(send, NULL),
	    how == BY_BYE         ? -EPIPE
	        : how == BY_DEATH ? -ECONNRESET
	                          : -ECANCELED);
	must_be(haul_req_finish(recv, NULL),
	    how == BY_BYE         ? -EPIPE
	        : how == BY_DEATH ? -ECONNRESET
	                          : -ECANCELED);
	must_be(haul_close(p.haul, PATIENCE_MS), 0);
	if (how == BY_DEATH)
		child_expect_killed(&p.child, SIGKILL);
	else
		child_expect(&p.child, 0);
	fds_expect(p.fds);
}

Test(watch, tells_of_a_goodbye_last_of_all)
{
	end_so(BY_BYE, 0);
}

Test(watch, tells_of_a_death_last_of_all)
{
	end_so(BY_DEATH, -ECONNRESET);
}

Test(watch, ends_with_our_own_close_last_of_all)
{
	end_so(BY_US, -ECANCELED);
}

Test(watch, can_be_canceled_and_let_go_of)
{
	struct haul_req *r;
	struct pairing p;
	pairing_start(&p, NULL, NULL, stay, NULL);
	must_be(haul_peer_watch(p.peer, &r), 0);
	must_be(haul_req_cancel(r), 0);
	must_be(haul_req_finish(r, NULL), -ECANCELED);
	must_be(haul_peer_watch(p.peer, &r), 0);
	must_be(haul_req_deadline(r, SOON_MS), 0);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, NULL), -ETIMEDOUT);
	must_be(haul_peer_watch(p.peer, &r), 0);
	haul_req_free(r);
	pairing_end(&p);
}
