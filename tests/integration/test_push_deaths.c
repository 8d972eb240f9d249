/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A sender that dies, leaves, or becomes another program, with a receive granted to it. The receive ends, and nothing
 * is written after that.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "lib/blind.h"
#include "lib/duo.h"
#include "lib/fds.h"
#include "lib/talk.h"

TestSuite(push_deaths, .timeout = 60);

enum { LONG_LEN = 256 << 20 };

static void offer_and_exit(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)arg;
	blind_offer(h, p, room_for(OFFERED_LEN));
	_exit(0);
}

/* Of the two that want the message the first has been given it. The second may have any other. */
Test(push_deaths, a_death_costs_only_the_receive_that_was_granted)
{
	struct offered s;
	unsigned char got;
	offered_start(&s, offer_and_exit);
	s.r = blind_grant(s.p.haul, s.buf, OFFERED_LEN, 1);
	struct haul_peer *self = haul_self(s.p.haul);
	struct haul_req *next = post_receive(s.p.haul, &got, 1, 1);
	must_be(haul_req_deadline(s.r, 0), 0);
	must_be(haul_req_test(s.r), -EINPROGRESS);
	child_signal(&s.p.child, SIGKILL);
	must_be(end_of(s.r, NULL), -ECONNRESET);
	must_be(haul_req_test(next), -EINPROGRESS);
	must_be(haul_send(self, 1, "x", 1, PATIENCE_MS), 0);
	must_be(end_of(next, NULL), 0);
	must_be(got, 'x');
	offered_leave_killed(&s);
}

static void offer_and_exec(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)arg;
	blind_offer(h, p, room_for(OFFERED_LEN));
	execl("/bin/sleep", "sleep", "60", (char *)NULL);
	_exit(1);
}

Test(push_deaths, an_exit_ends_it)
{
	struct haul_req *watch;
	struct offered s;
	offered_start(&s, offer_and_exit);
	must_be(haul_peer_watch(s.p.peer, &watch), 0);
	s.r = blind_grant(s.p.haul, s.buf, OFFERED_LEN, 1);
	duo_continue(&s.p.child);
	must_be(haul_req_wait(watch, PATIENCE_MS), 0);
	must_be(haul_req_test(s.r), 0);
	must_be(haul_req_finish(watch, NULL), -ECONNRESET);
	must_be(end_of(s.r, NULL), -ECONNRESET);
	pairing_end(&s.p);
	free(s.buf);
}

Test(push_deaths, another_program_in_its_place_ends_it)
{
	struct offered s;
	offered_start(&s, offer_and_exec);
	s.r = blind_grant(s.p.haul, s.buf, OFFERED_LEN, 1);
	duo_continue(&s.p.child);
	must_be(end_of(s.r, NULL), -ECONNRESET);
	child_signal(&s.p.child, SIGKILL);
	offered_leave_killed(&s);
}

/* ---- in the middle of a write ---- */

static void send_long(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)h;
	(void)arg;
	send_pattern(p, LONG_LEN, 1);
}

/* Says the pid of a child of its own, which holds the socket and waits to be killed. */
static void leave_a_child_and_send_long(struct haul *h, struct haul_peer *p, const void *arg)
{
	pid_t stray = fork();
	if (stray == 0) {
		pause();
		_exit(0);
	}
	must_be(haul_send(p, 2, &stray, sizeof(stray), PATIENCE_MS), 0);
	send_long(h, p, arg);
}

static void kill_in_the_middle(struct pairing *p)
{
	unsigned char *buf = calloc(1, LONG_LEN);
	const volatile unsigned char *half = buf + LONG_LEN / 2;
	must(buf != NULL);
	struct haul_req *r = post_receive(p->haul, buf, LONG_LEN, 1);
	while (half[0] == 0 && half[1] == 0) /* written they are not both 0 */
		must(haul_progress(p->haul) >= 0);
	child_signal(&p->child, SIGKILL);
	must_be(end_of(r, NULL), -ECONNRESET);
	memset(buf, CANARY, LONG_LEN);
	must_be(haul_close(p->haul, 0), 0);
	child_expect_killed(&p->child, SIGKILL);
	must_be_untouched(buf, LONG_LEN);
	free(buf);
}

Test(push_deaths, a_sender_killed_in_the_middle_of_its_write_ends_it)
{
	struct pairing p;
	blind_start_pushed(&p, send_long, NULL);
	kill_in_the_middle(&p);
	fds_expect(p.fds);
}

Test(push_deaths, so_does_one_whose_child_holds_the_socket)
{
	struct pairing p;
	pid_t stray;
	blind_start_pushed(&p, leave_a_child_and_send_long, NULL);
	must_be(haul_recv(p.haul, &(struct haul_match){ .tag = 2 }, &stray, sizeof(stray), PATIENCE_MS, NULL),
	    sizeof(stray));
	kill_in_the_middle(&p);
	must_be(kill(stray, SIGKILL), 0);
	fds_expect(p.fds);
}
