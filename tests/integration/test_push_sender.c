/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Senders that give up what was granted to them: before they write, or from another thread while they do. The buffer
 * is the caller's again only when nothing reads it any more, and the receiver always hears how it ended: in these
 * tests a sender overwrites its buffer at once, and none of that may arrive.
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
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(push_sender, .timeout = 60);

enum { LONG_LEN = 256 << 20, LEN = 100001 };

/* As far as it was written it is the message, and behind that nothing. */
static void must_be_a_part(const unsigned char *buf, size_t len)
{
	for (size_t i = pattern_check(buf, len, 1, 0); i < len; i++)
		must(buf[i] == 0);
}

/* ---- before it writes ---- */

static void offer_and_time_out(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(OFFERED_LEN, 1);
	struct haul_req *r = blind_offer(h, p, buf);
	(void)arg;
	must_be(haul_req_deadline(r, 0), 0);
	must_be(blind_end(r, NULL), -ETIMEDOUT);
	memset(buf, CANARY, OFFERED_LEN);
	blind_send(p, LEN, 2);
	free(buf);
}

static void start(struct offered *s, pairing_part *part)
{
	blind_start_pushed(&s->p, part, NULL);
	s->buf = calloc(1, OFFERED_LEN);
	must(s->buf != NULL);
	blind_await(s->p.haul, 1);
	blind_await_stop(&s->p.child);
	s->r = blind_grant(s->p.haul, s->buf, OFFERED_LEN, 1);
	duo_continue(&s->p.child);
}

static void end(struct offered *s)
{
	pairing_end(&s->p);
	free(s->buf);
}

Test(push_sender, that_times_out_before_it_writes_writes_nothing)
{
	struct offered s;
	start(&s, offer_and_time_out);
	must_be(blind_end(s.r, NULL), -ECANCELED);
	for (size_t i = 0; i < OFFERED_LEN; i++)
		must(s.buf[i] == 0);
	blind_receive(s.p.haul, LEN, 2, -1);
	must_be(blind_stats(s.p.haul).received_push, 1);
	end(&s);
}

/* A cancel harms no receive that has begun. */
static void offer_and_cancel(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(OFFERED_LEN, 1);
	struct haul_req *r = blind_offer(h, p, buf);
	(void)arg;
	must_be(haul_req_cancel(r), 0);
	must_be(blind_end(r, NULL), 0);
	memset(buf, CANARY, OFFERED_LEN);
	blind_send(p, LEN, 2);
	free(buf);
}

Test(push_sender, that_cancels_what_was_granted_is_too_late)
{
	struct offered s;
	start(&s, offer_and_cancel);
	must_be(blind_end(s.r, NULL), 0);
	must_hold(s.buf, OFFERED_LEN, 1, 0);
	blind_receive(s.p.haul, LEN, 2, -1);
	end(&s);
}

/* It hears of the grant in closing, and may serve it. Its process lives on. */
static void offer_and_close_peer(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(OFFERED_LEN, 1);
	struct haul_req *r = blind_offer(h, p, buf);
	(void)arg;
	must_be(haul_peer_close(p, 0), -ETIMEDOUT);
	int rc = haul_req_finish(r, NULL);
	must(rc == 0 || rc == -ECANCELED);
	memset(buf, CANARY, OFFERED_LEN);
	free(buf);
	raise(SIGSTOP);
}

/* All of it, or an end that tells of the sender's. */
static void must_have_ended(int rc, const unsigned char *buf, size_t len)
{
	if (rc == 0) {
		must_hold(buf, len, 1, 0);
		return;
	}
	must(rc == -ECANCELED || rc == -EPIPE || rc == -ECONNRESET);
	must_be_a_part(buf, len);
}

Test(push_sender, that_closes_the_peer_ends_the_receive)
{
	struct offered s;
	start(&s, offer_and_close_peer);
	must_have_ended(blind_end(s.r, NULL), s.buf, OFFERED_LEN);
	blind_await_stop(&s.p.child);
	duo_continue(&s.p.child);
	end(&s);
}

/* The same, when the receiver hears of the grant's end before it could say it. */
static void offer_and_close_unheard(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(OFFERED_LEN, 1);
	struct iovec iov = { buf, OFFERED_LEN };
	struct haul_req *r;
	(void)arg;
	must_be(haul_isend(p, 1, &iov, 1, HAUL_SYNC, &r), 0);
	await_token(h, p);
	must_be(haul_peer_close(p, 0), -ETIMEDOUT);
	must_be(blind_end(r, NULL), -ECANCELED);
	free(buf);
	raise(SIGSTOP);
}

Test(push_sender, that_closed_before_the_grant_ends_the_receive)
{
	struct offered s;
	blind_start_pushed(&s.p, offer_and_close_unheard, NULL);
	s.buf = calloc(1, OFFERED_LEN);
	must(s.buf != NULL);
	blind_await(s.p.haul, 1);
	send_token(s.p.peer);
	blind_await_stop(&s.p.child);
	s.r = blind_irecv(s.p.haul, s.buf, OFFERED_LEN, 1);
	must_have_ended(blind_end(s.r, NULL), s.buf, OFFERED_LEN);
	duo_continue(&s.p.child);
	end(&s);
}

/* ---- while another of its threads writes ---- */

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
	while (blind_stats(h).push_calls < 2)
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
	blind_send(p, LEN, 2);
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
	int rc = blind_end(blind_irecv(p->haul, buf, LONG_LEN, 1), NULL);
	must_have_ended(rc, buf, LONG_LEN);
	free(buf);
	return rc;
}

Test(push_sender, that_times_out_while_it_writes_waits_for_the_write)
{
	struct pairing p;
	receive_long(&p, time_out_writing);
	blind_receive(p.haul, LEN, 2, -1);
	pairing_end(&p);
}

static void expect_left(pairing_part *part)
{
	struct pairing p;
	receive_long(&p, part);
	blind_await_stop(&p.child);
	duo_continue(&p.child);
	pairing_end(&p);
}

Test(push_sender, that_closes_the_peer_while_it_writes_waits_for_the_write)
{
	expect_left(close_peer_writing);
}

Test(push_sender, that_closes_its_context_while_it_writes_waits_for_the_write)
{
	expect_left(close_writing);
}

Test(push_sender, that_lingers_while_it_writes_sends_all)
{
	struct pairing p;
	must_be(receive_long(&p, linger_writing), 0);
	pairing_end(&p);
}
