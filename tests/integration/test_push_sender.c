/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Senders that give up what was granted to them, before they write or between two pieces (test_push_threads.c: while
 * another of their threads writes). The buffer is the caller's again only when nothing reads it any more, and the
 * receiver always hears how it ended: a sender overwrites its buffer at once, and none of that may arrive.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/blind.h"
#include "lib/duo.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(push_sender, .timeout = 60);

enum { LONG_LEN = 256 << 20, LEN = 100001 };

/* ---- before it writes ---- */

static void offer_and_time_out(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(OFFERED_LEN, 1);
	struct haul_req *r = blind_offer(h, p, buf);
	(void)arg;
	must_be(haul_req_deadline(r, 0), 0);
	must_be(end_of(r, NULL), -ETIMEDOUT);
	memset(buf, CANARY, OFFERED_LEN);
	send_pattern(p, LEN, 2);
	free(buf);
}

static void start(struct offered *s, pairing_part *part)
{
	blind_start_pushed(&s->p, part, NULL);
	s->buf = calloc(1, OFFERED_LEN);
	must(s->buf != NULL);
	await_message(s->p.haul, 1);
	child_await_stop(&s->p.child);
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
	must_be(end_of(s.r, NULL), -ECANCELED);
	for (size_t i = 0; i < OFFERED_LEN; i++)
		must(s.buf[i] == 0);
	receive_pattern_within(s.p.haul, LEN, 2, -1);
	must_be(stats_of(s.p.haul).received_push, 1);
	end(&s);
}

/* A cancel harms no receive that has begun. */
static void offer_and_cancel(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(OFFERED_LEN, 1);
	struct haul_req *r = blind_offer(h, p, buf);
	(void)arg;
	must_be(haul_req_cancel(r), 0);
	must_be(end_of(r, NULL), 0);
	memset(buf, CANARY, OFFERED_LEN);
	send_pattern(p, LEN, 2);
	free(buf);
}

Test(push_sender, that_cancels_what_was_granted_is_too_late)
{
	struct offered s;
	start(&s, offer_and_cancel);
	must_be(end_of(s.r, NULL), 0);
	must_hold(s.buf, OFFERED_LEN, 1, 0);
	receive_pattern_within(s.p.haul, LEN, 2, -1);
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

Test(push_sender, that_closes_the_peer_ends_the_receive)
{
	struct offered s;
	start(&s, offer_and_close_peer);
	blind_must_have_ended(end_of(s.r, NULL), s.buf, OFFERED_LEN);
	child_await_stop(&s.p.child);
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
	must_be(end_of(r, NULL), -ECANCELED);
	free(buf);
	raise(SIGSTOP);
}

Test(push_sender, that_closed_before_the_grant_ends_the_receive)
{
	struct offered s;
	blind_start_pushed(&s.p, offer_and_close_unheard, NULL);
	s.buf = calloc(1, OFFERED_LEN);
	must(s.buf != NULL);
	await_message(s.p.haul, 1);
	send_token(s.p.peer);
	child_await_stop(&s.p.child);
	s.r = post_receive(s.p.haul, s.buf, OFFERED_LEN, 1);
	blind_must_have_ended(end_of(s.r, NULL), s.buf, OFFERED_LEN);
	duo_continue(&s.p.child);
	end(&s);
}

/* ---- while it writes itself ---- */

/* Until there is time enough. */
static void send_in_haste(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = room_for(LONG_LEN);
	int rc = -ETIMEDOUT;
	(void)h;
	(void)arg;
	for (int timeout_ms = 1; rc == -ETIMEDOUT; timeout_ms *= 3) {
		pattern_fill(buf, LONG_LEN, 1, 0);
		rc = haul_send(p, 1, buf, LONG_LEN, timeout_ms);
		memset(buf, CANARY, LONG_LEN);
	}
	must_be(rc, 0);
	free(buf);
}

Test(push_sender, that_times_out_is_believed_when_it_comes_again)
{
	unsigned char *buf = room_for(LONG_LEN);
	struct pairing p;
	int rc;
	blind_start_pushed(&p, send_in_haste, NULL);
	do {
		memset(buf, 0, LONG_LEN);
		rc = end_of(post_receive(p.haul, buf, LONG_LEN, 1), NULL);
		must(rc == 0 || rc == -ECANCELED);
		blind_must_have_ended(rc, buf, LONG_LEN);
	} while (rc != 0);
	free(buf);
	pairing_end(&p);
}
