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
