/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Peers that come while calls fail on one side: the handshake, adopt, connect, listen, accept. There is a
 * connection that works, or both sides are told.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/sweep.h"

TestSuite(fault_connect, .timeout = 120);

enum { ROUNDS = 100, SHORT = 200, LONG = 150000, BRIEF_MS = 50 };

static void open_both(struct twins *t, const struct haul_options *o)
{
	must_be(haul_open(&t->a, o, sizeof(*o)), 0);
	must_be(haul_open(&t->b, o, sizeof(*o)), 0);
}

static void close_both(struct twins *t)
{
	haul_close(t->a, 0);
	haul_close(t->b, 0);
}

/* The side a is at fault, until it is through or a while has passed. */
static void go_on(struct twins *t, struct haul_req *mine, struct haul_req *theirs)
{
	for (int i = 0; i < ROUNDS && (sweep_goes_on(mine, true) || sweep_goes_on(theirs, false)); i++) {
		must_be_told(faulty(haul_progress(t->a)));
		must(haul_progress(t->b) >= 0);
	}
}

static bool alive(struct haul_peer *p)
{
	struct haul_peer_info info;
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	return info.alive;
}

/* What became of a handshake. A side that succeeded hears of the other's failure right after. */
static void judge(struct twins *t, int mine, int theirs)
{
	must_be_told(mine);
	must_be_told(theirs);
	twins_settle(t);
	must_be(mine == 0 && alive(t->to_b), theirs == 0 && alive(t->to_a));
	if (mine == 0 && alive(t->to_b)) {
		sweep_send(t->a, t->to_b, t->b, SHORT);
		sweep_send(t->a, t->to_b, t->b, LONG);
		sweep_send(t->b, t->to_a, t->a, LONG);
	}
	sweep_usable(t->a, t->b);
}

static int end(struct twins *t, struct haul_req *r, struct haul_peer **peer)
{
	struct haul_status status;
	int rc = sweep_finish(t->a, t->b, r, &status);
	if (rc == 0)
		*peer = status.peer;
	return rc;
}

/* ---- adopt ---- */

static void adopting(const void *options)
{
	struct twins t;
	struct haul_req *mine = NULL, *theirs;
	int fds[2];
	open_both(&t, options);
	must_be(haul_pair(fds), 0);
	int rc = (int)faulty(haul_iadopt(t.a, fds[0], &mine));
	must_be_told(rc);
	must_be(haul_iadopt(t.b, fds[1], &theirs), 0);
	if (rc != 0)
		close(fds[0]); /* still ours */
	go_on(&t, mine, theirs);
	sweep_over();
	if (rc == 0)
		rc = end(&t, mine, &t.to_b);
	judge(&t, rc, end(&t, theirs, &t.to_a));
	close_both(&t);
}

Test(fault_connect, an_adopted_connection_works_or_both_sides_are_told)
{
	for (int path = HAUL_PATH_PULL; path <= HAUL_PATH_STREAM; path++) {
		struct haul_options o = { .path = path };
		sweep(adopting, &o);
	}
}

/* For the blocking ones: the other side makes progress by itself. */
static void open_both_and_help(struct twins *t, const struct haul_options *o)
{
	struct haul_options helped = *o;
	helped.progress_thread = 1;
	must_be(haul_open(&t->a, o, sizeof(*o)), 0);
	must_be(haul_open(&t->b, &helped, sizeof(helped)), 0);
}

static void adopting_by_waiting(const void *options)
{
	struct twins t;
	struct haul_req *theirs;
	int fds[2];
	open_both_and_help(&t, options);
	must_be(haul_pair(fds), 0);
	must_be(haul_iadopt(t.b, fds[1], &theirs), 0);
	int rc = (int)faulty(haul_adopt(t.a, fds[0], sweep_timeout(), &t.to_b));
	sweep_over();
	if (rc != 0)
		close(fds[0]); /* still ours, in whatever state */
	judge(&t, rc, end(&t, theirs, &t.to_a));
	close_both(&t);
}

Test(fault_connect, a_blocking_adopt_leaves_the_descriptor_to_the_caller_when_it_fails)
{
	struct haul_options o = { .spin_us = -1 };
	sweep(adopting_by_waiting, &o);
}

/* ---- connect ---- */

static char address[64];

static void connecting(const void *options)
{
	struct twins t;
	struct haul_listener *l;
	struct haul_req *mine = NULL, *theirs;
	open_both(&t, options);
	must_be(haul_listen(t.b, address, &l), 0);
	must_be(haul_iaccept(l, &theirs), 0);
	int rc = (int)faulty(haul_iconnect(t.a, address, &mine));
	must_be_told(rc);
	go_on(&t, mine, theirs);
	sweep_over();
	if (rc == 0)
		rc = end(&t, mine, &t.to_b);
	must_be_told(rc);
	if (rc != 0) { /* failed handshakes are not reported: the next one is what it gets */
		struct haul_req *again;
		must_be(haul_iconnect(t.a, address, &again), 0);
		must_be(end(&t, again, &t.to_b), 0);
	}
	must_be(end(&t, theirs, &t.to_a), 0);
	haul_listener_close(l);
	twins_settle(&t);
	sweep_usable(t.a, t.b);
	close_both(&t);
}

Test(fault_connect, a_connect_that_fails_does_not_keep_the_next_from_it)
{
	struct haul_options o = { 0 };
	snprintf(address, sizeof(address), "@haul-fault-%d", (int)getpid());
	sweep(connecting, &o);
}

Test(fault_connect, a_connect_to_a_socket_file_as_well)
{
	struct haul_options o = { 0 };
	snprintf(address, sizeof(address), "/tmp/haul-fault-%d", (int)getpid());
	sweep(connecting, &o);
	unlink(address);
}

static void connecting_by_waiting(const void *options)
{
	struct twins t;
	struct haul_listener *l;
	open_both_and_help(&t, options);
	must_be(haul_listen(t.b, address, &l), 0);
	int rc = (int)must_be_told(faulty(haul_connect(t.a, address, sweep_timeout(), &t.to_b)));
	sweep_over();
	/* One that it is given may have ended here right after. */
	if (rc != 0 || (twins_settle(&t), !alive(t.to_b)))
		must_be(haul_connect(t.a, address, PATIENCE_MS, &t.to_b), 0);
	do {
		struct haul_req *theirs;
		must_be(haul_iaccept(l, &theirs), 0);
		must_be(end(&t, theirs, &t.to_a), 0);
		twins_settle(&t);
	} while (!alive(t.to_a));
	sweep_send(t.a, t.to_b, t.b, LONG);
	haul_listener_close(l);
	sweep_usable(t.a, t.b);
	close_both(&t);
}

Test(fault_connect, a_blocking_connect_as_well)
{
	struct haul_options o = { .spin_us = -1 };
	snprintf(address, sizeof(address), "@haul-fault-%d", (int)getpid());
	sweep(connecting_by_waiting, &o);
}

/* ---- listen and accept ---- */

static void listening(const void *options)
{
	struct twins t;
	struct haul_listener *l = NULL;
	struct haul_req *theirs, *mine = NULL;
	open_both(&t, options);
	int rc = (int)faulty(haul_listen(t.a, address, &l));
	must_be_told(rc);
	if (rc != 0) {
		/* nothing is left of it, unless that failed, too */
		must(*address == '@' || fault_fired() > 1 || access(address, F_OK) != 0);
		must_be(haul_listen(t.a, address, &l), 0);
	}
	must_be(haul_iconnect(t.b, address, &theirs), 0);
	rc = (int)faulty(haul_iaccept(l, &mine));
	must_be_told(rc);
	go_on(&t, mine, theirs);
	sweep_over();
	int connected = end(&t, theirs, &t.to_a);
	must_be_told(connected);
	twins_settle(&t);
	if (rc == 0 &&
	    sweep_goes_on(mine, false)) { /* failed handshakes are not reported: it gets the next */
		must(connected != 0 || !alive(t.to_a));
		must_be(haul_iconnect(t.b, address, &theirs), 0);
		connected = end(&t, theirs, &t.to_a);
	}
	if (rc == 0)
		rc = end(&t, mine, &t.to_b);
	must_be_told(rc);
	if (rc != 0 && connected == 0 &&
	    alive(t.to_a)) { /* it was told of a failure, and the peer came later */
		must_be(haul_iaccept(l, &mine), 0);
		rc = end(&t, mine, &t.to_b);
	}
	if (rc == 0)
		judge(&t, rc, connected);
	haul_listener_close(l);
	must(*address == '@' || access(address, F_OK) != 0);
	sweep_usable(t.a, t.b);
	close_both(&t);
}

Test(fault_connect, a_listener_is_there_or_not_and_accepts_what_it_can)
{
	struct haul_options o = { 0 };
	snprintf(address, sizeof(address), "@haul-fault-%d", (int)getpid());
	sweep(listening, &o);
}

static void accepting_by_waiting(const void *options)
{
	struct twins t;
	struct haul_listener *l;
	struct haul_req *theirs;
	open_both_and_help(&t, options);
	must_be(haul_listen(t.a, address, &l), 0);
	must_be(haul_iconnect(t.b, address, &theirs), 0);
	int rc = (int)faulty(haul_accept(l, BRIEF_MS, &t.to_b));
	must((rc == -ETIMEDOUT && fault_fired() > 0) ||
	    must_be_told(rc) == rc); /* a failed handshake is not told */
	sweep_over();
	int connected = end(&t, theirs, &t.to_a);
	must_be_told(connected);
	twins_settle(&t);
	if (rc != 0 && connected == 0 &&
	    alive(t.to_a)) /* it was told of a failure, and the peer came later */
		rc = haul_accept(l, PATIENCE_MS, &t.to_b);
	if (rc == 0)
		judge(&t, rc, connected);
	haul_listener_close(l);
	sweep_usable(t.a, t.b);
	close_both(&t);
}

Test(fault_connect, a_blocking_accept_gets_the_peer_or_says_why_not)
{
	struct haul_options o = { .spin_us = -1 };
	snprintf(address, sizeof(address), "@haul-fault-%d", (int)getpid());
	sweep(accepting_by_waiting, &o);
}

Test(fault_connect, a_listener_with_a_file_as_well)
{
	struct haul_options o = { 0 };
	snprintf(address, sizeof(address), "/tmp/haul-fault-%d", (int)getpid());
	sweep(listening, &o);
	unlink(address);
}

Test(fault_connect, a_socket_file_that_could_not_be_removed_is_replaced_by_the_next)
{
	static const char *const obstacles[] = { "open", "flock", "lstat", "unlink" };
	struct haul *h;
	struct haul_listener *l;
	snprintf(address, sizeof(address), "/tmp/haul-fault-%d", (int)getpid());
	must_be(haul_open(&h, NULL, 0), 0);
	for (size_t i = 0; i < sizeof(obstacles) / sizeof(obstacles[0]); i++) {
		must_be(haul_listen(h, address, &l), 0);
		fault_arm(&(struct fault){ .nth = 1, .only = obstacles[i] });
		haul_listener_close(l);
		fault_disarm();
		must_be(fault_fired(), 1);
		must(access(address, F_OK) == 0 || i < 2); /* without the lock it is removed all the same */
	}
	unlink(address);
	haul_close(h, 0);
}
