/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A sender with two threads: one writes into the receiver's memory, the other ends what is under way. That waits for
 * the write, and so does the end of file, which the receiver takes for the end of all that is written.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/blind.h"
#include "lib/duo.h"
#include "lib/handmade.h"
#include "lib/talk.h"

TestSuite(push_threads, .timeout = 60);

enum { LONG_LEN = 256 << 20, LEN = 100001 };

/* Or, on a busy machine, it had come to its end before. */
static void must_be_or_done(int rc, int error)
{
	must(rc == error || rc == 0);
}

struct writer {
	struct haul *haul;
	struct haul_peer *peer;
	struct haul_req *r;
	unsigned char *buf;
	pthread_t thread;
	int waited; /* what the wait of the thread that writes said */
};

static void *wait_and_write(void *arg)
{
	struct writer *w = arg;
	w->waited = haul_req_wait(w->r, -1);
	return NULL;
}

/* Returns in the middle of the write. */
static void start_writing(struct writer *w, struct haul *h, struct haul_peer *p)
{
	struct iovec iov = { filled(LONG_LEN, 1), LONG_LEN };
	*w = (struct writer){ .haul = h, .peer = p, .buf = iov.iov_base };
	must_be(haul_isend(p, 1, &iov, 1, HAUL_SYNC, &w->r), 0);
	must_be(pthread_create(&w->thread, NULL, wait_and_write, w), 0);
	while (stats_of(h).push_calls < 2)
		sched_yield();
}

static void time_out_writing(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct writer w;
	(void)arg;
	start_writing(&w, h, p);
	must_be_or_done(haul_req_deadline(w.r, 0), -EALREADY);
	must_be(haul_req_wait(w.r, PATIENCE_MS), 0);
	memset(w.buf, CANARY, LONG_LEN);
	pthread_join(w.thread, NULL);
	must_be(w.waited, 0);
	must_be_or_done(haul_req_finish(w.r, NULL), -ETIMEDOUT);
	send_pattern(p, LEN, 2);
	free(w.buf);
}

static void close_peer_writing(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct writer w;
	(void)arg;
	start_writing(&w, h, p);
	must_be_or_done(haul_peer_close(p, 0), -ETIMEDOUT);
	must_be(haul_req_test(w.r), 0);
	memset(w.buf, CANARY, LONG_LEN);
	pthread_join(w.thread, NULL);
	must_be(w.waited, 0);
	must_be_or_done(haul_req_finish(w.r, NULL), -ECANCELED);
	free(w.buf);
	raise(SIGSTOP);
}

static void linger_writing(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct writer w;
	(void)arg;
	start_writing(&w, h, p);
	must_be(haul_peer_close(p, -1), 0);
	memset(w.buf, CANARY, LONG_LEN);
	pthread_join(w.thread, NULL);
	must_be(haul_req_finish(w.r, NULL), 0);
	free(w.buf);
}

static void close_writing(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct writer w;
	(void)arg;
	start_writing(&w, h, p);
	must_be_or_done(haul_close(h, 0), -ETIMEDOUT);
	memset(w.buf, CANARY, LONG_LEN);
	pthread_join(w.thread, NULL);
	must(w.waited == -EBADF || w.waited == 0);
	raise(SIGSTOP);
	_exit(0);
}

/* Returns what the receive ends with. */
static int receive_long(struct pairing *p, pairing_part *part)
{
	unsigned char *buf = calloc(1, LONG_LEN);
	must(buf != NULL);
	blind_start_pushed(p, part, NULL);
	int rc = end_of(post_receive(p->haul, buf, LONG_LEN, 1), NULL);
	blind_must_have_ended(rc, buf, LONG_LEN);
	free(buf);
	return rc;
}

Test(push_threads, that_times_out_while_it_writes_waits_for_the_write)
{
	struct pairing p;
	receive_long(&p, time_out_writing);
	receive_pattern_within(p.haul, LEN, 2, -1);
	pairing_end(&p);
}

static void expect_left(pairing_part *part)
{
	struct pairing p;
	receive_long(&p, part);
	child_await_stop(&p.child);
	duo_continue(&p.child);
	pairing_end(&p);
}

Test(push_threads, that_closes_the_peer_while_it_writes_waits_for_the_write)
{
	expect_left(close_peer_writing);
}

Test(push_threads, that_closes_its_context_while_it_writes_waits_for_the_write)
{
	expect_left(close_writing);
}

Test(push_threads, that_lingers_while_it_writes_sends_all)
{
	struct pairing p;
	must_be(receive_long(&p, linger_writing), 0);
	pairing_end(&p);
}

/* ---- while a receiver made by hand talks rubbish ---- */

static uint64_t cell = 0x1122334455667788;

static void grant_all(struct handmade *m, unsigned char *room)
{
	uint64_t id = raw_get(handmade_next(m, WIRE_DESC)->body + 8, 8);
	handmade_say(m, WIRE_GRANT, 0,
	    "888844"
	    "88",
	    id, 0, (uintptr_t)&cell, cell, 1, 0, (uintptr_t)room, LONG_LEN);
}

/* It is dropped at once, but takes the end of file for the end of what is written. */
Test(push_threads, that_drops_its_peer_hangs_up_after_the_write)
{
	struct iovec iov = { filled(LONG_LEN, 1), LONG_LEN };
	unsigned char *room = calloc(1, LONG_LEN);
	struct haul_peer_info info = { .alive = 1 };
	struct writer w = { 0 };
	struct handmade m;
	handmade_start_as(&m, &blind_options,
	    &(struct raw){ .features = WIRE_FEATURE_PUSH, .verdict = EPERM });
	must_be(haul_isend(m.peer, 1, &iov, 1, HAUL_SYNC, &w.r), 0);
	grant_all(&m, room);
	must_be(pthread_create(&w.thread, NULL, wait_and_write, &w), 0);
	while (stats_of(m.haul).push_calls < 1)
		sched_yield();
	must(raw_send(&m.raw, "no frame begins like this", 25));
	while (info.alive) {
		must(haul_progress(m.haul) >= 0);
		must_be(haul_peer_info(m.peer, &info, sizeof(info)), 0);
	}
	must(raw_hung_up(&m.raw));
	must_be(haul_req_test(w.r), 0);
	memset(iov.iov_base, CANARY, LONG_LEN);
	blind_must_be_a_part(room, LONG_LEN);
	pthread_join(w.thread, NULL);
	must_be(w.waited, 0);
	must_be(haul_req_finish(w.r, NULL), -EPROTO);
	handmade_lost(&m, -EPROTO);
	free(iov.iov_base);
	free(room);
}
