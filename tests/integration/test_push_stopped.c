/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A receive that its sender may write into, when that sender is stopped, or dies, instead. What was granted can't be
 * taken back: nothing else ends such a receive. The sender is stopped before it can hear of the grant.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/blind.h"
#include "lib/duo.h"
#include "lib/fds.h"
#include "lib/talk.h"

TestSuite(push_stopped, .timeout = 60);

enum { MOMENT_MS = 20 };

static void offer_and_serve(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(OFFERED_LEN, 1);
	(void)arg;
	must_be(end_of(blind_offer(h, p, buf), NULL), 0);
	free(buf);
}

static void start(struct offered *s)
{
	offered_start(s, offer_and_serve);
	s->r = blind_grant(s->p.haul, s->buf, OFFERED_LEN, 1);
}

static void end(struct offered *s)
{
	pairing_end(&s->p);
	free(s->buf);
}

/* It was pushed, whatever was attempted. */
static void must_complete(struct offered *s)
{
	must_be(end_of(s->r, NULL), 0);
	must_hold(s->buf, OFFERED_LEN, 1, 0);
	must_be(stats_of(s->p.haul).received_push, 1);
}

static void must_go_on(struct offered *s)
{
	must_be(haul_req_wait(s->r, MOMENT_MS), -ETIMEDOUT);
	must_be(haul_req_finish(s->r, NULL), -EINPROGRESS);
}

static void end_killed(struct offered *s, int error)
{
	child_signal(&s->p.child, SIGKILL);
	must_be(end_of(s->r, NULL), error);
	offered_leave_killed(s);
}

Test(push_stopped, a_deadline_that_is_set_later_waits)
{
	struct offered s;
	start(&s);
	must_be(haul_req_deadline(s.r, 1), 0);
	must_go_on(&s);
	must_be(haul_req_deadline(s.r, 0), 0);
	must_go_on(&s);
	duo_continue(&s.p.child);
	must_complete(&s);
	end(&s);
}

Test(push_stopped, a_deadline_that_waits_ends_with_the_sender)
{
	struct offered s;
	start(&s);
	must_be(haul_req_deadline(s.r, 0), 0);
	must_go_on(&s);
	end_killed(&s, -ECONNRESET);
}

static void *let_go_on(void *arg)
{
	struct offered *s = arg;
	duo_continue(&s->p.child);
	return NULL;
}

/* The grant is given before the call can notice that it is interrupted. */
Test(push_stopped, an_interrupt_is_kept_for_the_next_call)
{
	struct offered s;
	pthread_t thread;
	offered_start(&s, offer_and_serve);
	haul_interrupt(s.p.haul);
	must_be(pthread_create(&thread, NULL, let_go_on, &s), 0);
	must_be(haul_recv(s.p.haul, NULL, s.buf, OFFERED_LEN, -1, NULL), OFFERED_LEN);
	must_hold(s.buf, OFFERED_LEN, 1, 0);
	must_be(stats_of(s.p.haul).received_push, 1);
	must_be(haul_probe(s.p.haul, NULL, -1, &(struct haul_status){ 0 }), -EINTR);
	pthread_join(thread, NULL);
	end(&s);
}

Test(push_stopped, an_interrupt_ends_the_wait_and_not_the_request)
{
	struct offered s;
	start(&s);
	haul_interrupt(s.p.haul);
	must_be(haul_req_wait(s.r, -1), -EINTR);
	must_be(haul_req_cancel(s.r), 0);
	must_go_on(&s);
	duo_continue(&s.p.child);
	must_complete(&s);
	end(&s);
}

Test(push_stopped, a_peer_stays_until_it_can_be_closed)
{
	struct haul_peer_info info;
	struct offered s;
	char byte = 'x', got;
	start(&s);
	struct haul_peer *self = haul_self(s.p.haul);
	must_be(haul_peer_close(s.p.peer, 0), -EBUSY);
	must_be(haul_peer_close(s.p.peer, MOMENT_MS), -EBUSY);
	must_be(haul_peer_info(s.p.peer, &info, sizeof(info)), 0);
	must_be(info.alive, 1);
	must_go_on(&s);
	must_be(haul_send(self, 5, &byte, 1, PATIENCE_MS), 0);
	must_be(haul_recv(s.p.haul, &(struct haul_match){ .tag = 5 }, &got, 1, PATIENCE_MS, NULL), 1);
	duo_continue(&s.p.child);
	must_complete(&s);
	must_be(haul_peer_close(s.p.peer, -1), 0);
	end(&s);
}

Test(push_stopped, a_context_stays_until_it_can_be_closed)
{
	struct offered s;
	start(&s);
	must_be(haul_close(s.p.haul, 0), -EBUSY);
	must_be(haul_close(s.p.haul, MOMENT_MS), -EBUSY);
	must_go_on(&s);
	duo_continue(&s.p.child);
	must_complete(&s);
	end(&s);
}

/* What is granted ends well, as all that is under way when a close begins. */
Test(push_stopped, a_close_with_linger_waits_for_the_sender)
{
	struct offered s;
	start(&s);
	must_be(haul_peer_close(s.p.peer, MOMENT_MS), -EBUSY);
	duo_continue(&s.p.child);
	must_be(haul_peer_close(s.p.peer, -1), 0);
	must_be(haul_req_test(s.r), 0);
	must_complete(&s);
	end(&s);
}

Test(push_stopped, closes_after_the_sender_was_killed)
{
	struct offered s;
	start(&s);
	must_be(haul_peer_close(s.p.peer, 0), -EBUSY);
	must_be(haul_close(s.p.haul, 0), -EBUSY);
	end_killed(&s, -ECANCELED);
}

/* It could not be ended before the sender's answer. So nothing is granted that need not be. */
Test(push_stopped, a_close_grants_nothing_more)
{
	struct offered s;
	offered_start(&s, offer_and_serve);
	s.r = post_receive(s.p.haul, s.buf, OFFERED_LEN, 1);
	must_be(haul_peer_close(s.p.peer, 0), -ETIMEDOUT);
	must_be(end_of(s.r, NULL), -ECANCELED);
	child_signal(&s.p.child, SIGKILL);
	child_expect_killed(&s.p.child, SIGKILL);
	must_be(haul_close(s.p.haul, 0), 0);
	fds_expect(s.p.fds);
	free(s.buf);
}

/* ---- in the middle of a list ---- */

enum { BUFFERS = 40 };

static struct haul_req *grant_many(struct offered *s)
{
	struct iovec iov[BUFFERS];
	struct haul_req *r;
	for (size_t i = 0; i < BUFFERS; i++)
		iov[i] = (struct iovec){ s->buf + i * 1000, i < BUFFERS - 1 ? 1000 : OFFERED_LEN - i * 1000 };
	must_be(haul_irecv(s->p.haul, &(struct haul_match){ .tag = 1 }, iov, BUFFERS, &r), 0);
	must(haul_progress(s->p.haul) >= 0);
	return r;
}

/* Then the message is back in its place, and the next receive gets all of it. */
Test(push_stopped, a_deadline_holds_between_two_grants)
{
	struct offered s;
	offered_start(&s, offer_and_serve);
	s.r = grant_many(&s);
	must_be(haul_req_deadline(s.r, 0), 0);
	must_go_on(&s);
	duo_continue(&s.p.child);
	must_be(end_of(s.r, NULL), -ETIMEDOUT);
	memset(s.buf, CANARY, OFFERED_LEN);
	receive_pattern_within(s.p.haul, OFFERED_LEN, 1, -1);
	must_be_untouched(s.buf, OFFERED_LEN);
	must_be(stats_of(s.p.haul).received_push, 1);
	end(&s);
}

Test(push_stopped, a_receive_that_has_a_deadline_now_is_granted_no_further)
{
	struct offered s;
	offered_start(&s, offer_and_serve);
	s.r = grant_many(&s);
	must_be(haul_req_deadline(s.r, PATIENCE_MS), 0);
	duo_continue(&s.p.child);
	must_be(end_of(s.r, NULL), 0);
	must_hold(s.buf, OFFERED_LEN, 1, 0);
	must_be(stats_of(s.p.haul).received_push, 0);
	must_be(stats_of(s.p.haul).received_stream, 1);
	end(&s);
}

/* ---- reads ---- */

Test(push_stopped, a_read_holds_its_message)
{
	struct haul_msg *m;
	struct offered s;
	offered_start(&s, offer_and_serve);
	must_be(haul_take(s.p.haul, NULL, PATIENCE_MS, &m), 0);
	must_be(haul_msg_iread(m, 0, &(struct iovec){ s.buf, OFFERED_LEN }, 1, &s.r), 0);
	must(haul_progress(s.p.haul) >= 0);
	must_be(haul_req_cancel(s.r), 0);
	must_go_on(&s);
	must_be(haul_msg_done(m), -EBUSY);
	duo_continue(&s.p.child);
	must_be(end_of(s.r, NULL), 0);
	must_hold(s.buf, OFFERED_LEN, 1, 0);
	must_be(haul_msg_done(m), 0);
	end(&s);
}
