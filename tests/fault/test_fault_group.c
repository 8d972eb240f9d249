/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Groups while calls fail: what a member loses by it is what it has under way, and never its hearing, nor its door.
 * All members live in the test, each with a context of its own, and one of them is at fault.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <haul/group.h>

#include "lib/crew.h"
#include "lib/must.h"
#include "lib/sweep.h"

TestSuite(fault_group, .timeout = 120);

enum { MOST = 3, A_WHILE = 60 };

struct circle {
	int size, at_fault;
	struct haul *h[MOST];
	struct haul_group *g[MOST];
};

static void circle_open(struct circle *c, int size, int at_fault)
{
	static int circles;
	static char names[MOST][64];
	const char *addresses[MOST];
	struct haul_options o = { .transport = HAUL_TRANSPORT_SOCKET, .two_handed = -1, .spin_us = -1 };
	*c = (struct circle){ .size = size, .at_fault = at_fault };
	circles++;
	for (int i = 0; i < size; i++) {
		snprintf(names[i], sizeof(names[i]), "@haul-circle-%d-%d-%d", (int)getpid(), circles, i);
		addresses[i] = names[i];
	}
	for (int i = 0; i < size; i++) {
		struct haul_group_options g = { .rank = i, .size = size, .addresses = addresses };
		must_be(haul_open(&c->h[i], &o, sizeof(o)), 0);
		must_be(haul_group_init(c->h[i], &g, sizeof(g), &c->g[i]), 0);
	}
}

static void progress(struct circle *c)
{
	for (int i = 0; i < c->size; i++)
		must_be_told(i == c->at_fault ? faulty(haul_progress(c->h[i])) : haul_progress(c->h[i]));
}

static void progress_for_a_while(struct circle *c)
{
	for (int i = 0; i < A_WHILE; i++)
		progress(c);
}

static int finish(struct circle *c, struct haul_req *r)
{
	struct timespec since = { 0 };
	while (haul_req_test(r) == -EINPROGRESS) {
		progress(c);
		must(sweep_patient(&since));
	}
	return haul_req_finish(r, NULL);
}

/* All say goodbye to each other at the same time. */
static void circle_close(struct circle *c)
{
	for (int i = 0; i < c->size; i++)
		must(haul_group_free(c->g[i], 0) <= 0);
	for (int i = 0; i < c->size; i++)
		must(haul_close(c->h[i], 0) <= 0);
}

/* Whether some connection did not survive it. */
static bool is_broken(const struct circle *c)
{
	for (int i = 0; i < c->size; i++)
		if (haul_group_acknowledge(c->g[i], NULL, 0) > 0)
			return true;
	return false;
}

/* ---- a shortage of memory ---- */

/* While rank 1 lacks memory, rank 0 connects to it, and tells that a collective has failed. Later there is another of
 * either. */
static void connect_and_fail(const void *arg)
{
	enum { LATER = 7 };
	struct circle c;
	struct haul_req *r[MOST], *sent, *received;
	struct haul_group_match from_last = { .from = 2, .tag = LATER };
	char byte = 'x', got = 0;
	(void)arg;
	circle_open(&c, MOST, 1);
	must_be(haul_ibarrier(c.g[0], &r[0]), 0);
	progress_for_a_while(&c);
	haul_req_cancel(r[0]); /* it may have failed already, if rank 1 could not be reached */
	progress_for_a_while(&c);
	sweep_over();
	must(finish(&c, r[0]) < 0);
	for (int i = 1; i < MOST; i++)
		must_be(haul_ibarrier(c.g[i], &r[i]), 0);
	for (int i = 1; i < MOST; i++)
		must(finish(&c, r[i]) <= 0);
	/* It hears: of the next, too. */
	for (int i = 0; i < MOST; i++)
		must_be(haul_ibarrier(c.g[i], &r[i]), 0);
	haul_req_cancel(r[0]);
	for (int i = 0; i < MOST; i++) {
		int rc = finish(&c, r[i]);
		must(rc == -ECANCELED || rc == 0 || is_broken(&c));
	}
	/* And its door is open. */
	must_be(haul_group_irecv(c.g[1], &from_last, &(struct iovec){ &got, 1 }, 1, &received), 0);
	must_be(haul_group_isend(c.g[2], 1, LATER, &(struct iovec){ &byte, 1 }, 1, 0, &sent), 0);
	must_be(finish(&c, sent), 0);
	must_be(finish(&c, received), 0);
	must_be(got, 'x');
	circle_close(&c);
}

Test(fault_group, a_member_that_lacked_memory_for_a_moment_goes_on_hearing_and_accepting)
{
	sweep_only(FAULT_ALLOCATIONS, connect_and_fail, NULL);
}

/* ---- two that connect to each other at once ---- */

/* Rank 0's own connection: it hears nothing by it, until it is broken. */
struct line {
	int fd; /* -1: not made yet */
	bool broken;
};

static int cut_off(const char *name, long first, void *arg)
{
	struct line *l = arg;
	if (strcmp(name, "connect") == 0)
		l->fd = (int)first;
	if (strcmp(name, "connect") == 0 || first != l->fd)
		return 0;
	return l->broken ? ECONNRESET : EAGAIN;
}

static struct haul_req *post(struct haul_group *g, int from, char *into)
{
	struct haul_group_match match = { .from = from };
	struct haul_req *r;
	must_be(haul_group_irecv(g, &match, &(struct iovec){ into, 1 }, 1, &r), 0);
	return r;
}

static struct haul_req *offer(struct haul_group *g, int to, char *from)
{
	struct haul_req *r;
	must_be(haul_group_isend(g, to, 0, &(struct iovec){ from, 1 }, 1, 0, &r), 0);
	return r;
}

Test(fault_group, the_other_connection_is_used_if_the_one_that_was_agreed_on_comes_to_nothing)
{
	struct circle c;
	struct line line = { .fd = -1 };
	struct haul_req *sent[2], *received[2];
	struct haul_stats stats = { 0 };
	struct timespec since = { 0 };
	char bytes[2] = "ab", got[2] = "";
	circle_open(&c, 2, 0);
	fault_arm(&(struct fault){ .action = FAULT_ASK,
	    .nth = 1,
	    .lasting = true,
	    .only = "connect recv recvmsg",
	    .hook = cut_off,
	    .arg = &line });
	sent[0] = offer(c.g[0], 1, &bytes[0]);
	fault_hold();
	sent[1] = offer(c.g[1], 0, &bytes[1]);
	received[0] = post(c.g[0], 1, &got[0]);
	/* Until rank 1 has been told to wait for the other's. */
	while (stats.received_eager == 0) {
		progress(&c);
		must_be(haul_stats(c.h[1], &stats, sizeof(stats)), 0);
		must(sweep_patient(&since));
	}
	progress_for_a_while(&c);
	must_be(haul_req_test(sent[1]), -EINPROGRESS);
	line.broken = true;
	must_be(finish(&c, sent[1]), 0);
	must_be(finish(&c, received[0]), 0);
	must_be(got[0], 'b');
	must_be(finish(&c, sent[0]), -ECONNRESET);
	fault_disarm();
	received[1] = post(c.g[1], 0, &got[1]);
	must_be(finish(&c, offer(c.g[0], 1, &bytes[0])), 0);
	must_be(finish(&c, received[1]), 0);
	must_be(got[1], 'a');
	must(!is_broken(&c));
	circle_close(&c);
}

/* What a member could not send it may send again; or it takes the other for dead, who then hears of it. */
static void insist(struct circle *c, int from, char *byte, int rc)
{
	struct haul_req *r;
	if (rc != 0 && haul_group_isend(c->g[from], 1 - from, 0, &(struct iovec){ byte, 1 }, 1, 0, &r) == 0)
		must_be_told(finish(c, r));
}

static void cross(const void *arg)
{
	struct circle c;
	struct haul_req *sent[2] = { NULL }, *received[2];
	char bytes[2] = "ab", got[2] = "";
	int rc[2], us = *(const int *)arg, them = 1 - us;
	circle_open(&c, 2, us);
	rc[us] = (int)must_be_told(
	    faulty(haul_group_isend(c.g[us], them, 0, &(struct iovec){ &bytes[us], 1 }, 1, 0, &sent[us])));
	sent[them] = offer(c.g[them], us, &bytes[them]);
	for (int i = 0; i < 2; i++)
		received[i] = post(c.g[i], 1 - i, &got[i]);
	progress_for_a_while(&c);
	sweep_over();
	for (int i = 0; i < 2; i++)
		if (sent[i] != NULL)
			rc[i] = (int)must_be_told(finish(&c, sent[i]));
	for (int i = 0; i < 2; i++)
		insist(&c, i, &bytes[i], rc[i]);
	for (int i = 0; i < 2; i++)
		if (must_be_told(finish(&c, received[i])) == 0)
			must_be(got[i], bytes[1 - i]);
	circle_close(&c);
}

Test(fault_group, two_that_connect_to_each_other_at_once_don_t_hang_whatever_fails)
{
	for (int at_fault = 0; at_fault < 2; at_fault++)
		sweep(cross, &at_fault);
}

/* ---- a group that is made in parts ---- */

/* Rank 0 hears nothing for a moment, and gives up; the other has had all that it needs for the first part. */
static void be_deaf(struct haul_group *g, const void *arg)
{
	const struct fault deaf = { .nth = 1, .lasting = true, .only = "recv recvmsg", .error = EAGAIN };
	struct haul_group *made;
	(void)arg;
	must_be(haul_barrier(g, CREW_PATIENCE_MS), 0);
	if (crew_rank() == 0) {
		fault_arm(&deaf);
		crew_say();
		int rc = haul_group_dup(g, 300, &made);
		fault_disarm();
		must_be(rc, -ETIMEDOUT);
	} else {
		crew_heed();
		must_be(haul_group_dup(g, CREW_PATIENCE_MS, &made), -ECANCELED);
	}
	must_be(haul_barrier(g, CREW_PATIENCE_MS), 0);
	must_be(haul_group_dup(g, CREW_PATIENCE_MS, &made), 0);
	must_be(haul_barrier(made, CREW_PATIENCE_MS), 0);
	must_be(haul_group_free(made, 0), 0);
}

Test(fault_group, one_that_gives_up_making_a_group_is_not_behind_the_others)
{
	const struct haul_options o = { .transport = HAUL_TRANSPORT_SOCKET };
	struct crew c;
	crew_start(&c, 2, &(struct crew_options){ .options = &o }, be_deaf, NULL);
	crew_await(&c, 0);
	crew_go(&c, 1);
	crew_end(&c);
}
