/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Groups for the thread sanitizer: three members in one process, each a context with several threads that work in
 * groups of their own at the same time, and split them; in the end one closes its context under all of them.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <haul/group.h>

enum { MEMBERS = 3, WORKERS = 3, ROUNDS = 40, LARGE = 200000, T = 60000 };

static char names[MEMBERS][64];
static const char *addresses[MEMBERS];
static pthread_barrier_t checked; /* everybody has done what is checked */

#define CHECK(condition) ((condition) ? (void)0 : failed(__LINE__, #condition))

static void failed(int line, const char *what)
{
	fprintf(stderr, "%s:%d: not true: %s (%s)\n", __FILE__, line, what, haul_reason());
	_exit(1);
}

static void work_once(struct haul_group *g, int nth, unsigned char *large)
{
	const struct haul_operator sum = { HAUL_SUM, HAUL_INT32, 0, 0, NULL, NULL };
	int me = haul_group_rank(g), mine = me + nth, all = 0;
	struct haul_req *r;
	CHECK(haul_allreduce(g, &sum, &mine, &all, 1, T) == 0);
	CHECK(all == MEMBERS * (MEMBERS - 1) / 2 + MEMBERS * nth);
	if (me == nth % MEMBERS)
		memset(large, nth, LARGE);
	CHECK(haul_ibcast(g, nth % MEMBERS, large, LARGE, &r) == 0);
	CHECK(haul_group_send(g, (me + 1) % MEMBERS, 1, &mine, sizeof(mine), T) == 0);
	struct haul_group_match left = { .from = (me + MEMBERS - 1) % MEMBERS, .tag = 1 };
	CHECK(haul_group_recv(g, &left, &all, sizeof(all), T, NULL) == (ssize_t)sizeof(all));
	CHECK(haul_req_wait(r, T) == 0 && haul_req_finish(r, NULL) == 0);
	CHECK(large[0] == (unsigned char)nth && large[LARGE - 1] == (unsigned char)nth);
}

static void *work(void *arg)
{
	struct haul_group *g = arg, *d;
	unsigned char *large = malloc(LARGE);
	for (int i = 0; i < ROUNDS; i++) {
		work_once(g, i, large);
		if (i % 10 != 0)
			continue;
		CHECK(haul_group_dup(g, T, &d) == 0);
		work_once(d, i, large);
		CHECK(haul_barrier(d, T) == 0);
		CHECK(haul_group_free(d, 0) == 0);
	}
	pthread_barrier_wait(&checked);
	/* Until somebody closes. */
	while (haul_bcast(g, 0, large, LARGE, T) == 0 && haul_barrier(g, T) == 0)
		;
	free(large);
	return NULL;
}

static void *be_member(void *arg)
{
	int rank = (int)((const char(*)[64])arg - names);
	struct haul_options o = { .progress_thread = rank == 1, .pull_helper = rank == 2 };
	struct haul_group_options where = { .rank = rank, .size = MEMBERS, .addresses = addresses };
	struct haul_group *g, *groups[WORKERS];
	pthread_t workers[WORKERS];
	struct haul *h;
	CHECK(haul_open(&h, &o, sizeof(o)) == 0);
	CHECK(haul_group_init(h, &where, sizeof(where), &g) == 0);
	for (int i = 0; i < WORKERS; i++)
		CHECK(haul_group_dup(g, T, &groups[i]) == 0);
	for (int i = 0; i < WORKERS; i++)
		CHECK(pthread_create(&workers[i], NULL, work, groups[i]) == 0);
	CHECK(haul_barrier(g, T) == 0);
	for (int i = 0; i < WORKERS && rank != 0; i++)
		pthread_join(workers[i], NULL);
	if (rank == 0)
		pthread_barrier_wait(&checked);
	CHECK(haul_close(h, rank == 0 ? 0 : 1000) <= 0);
	for (int i = 0; i < WORKERS && rank == 0; i++)
		pthread_join(workers[i], NULL);
	return NULL;
}

int main(void)
{
	pthread_t members[MEMBERS];
	pthread_barrier_init(&checked, NULL, MEMBERS * WORKERS + 1);
	for (int i = 0; i < MEMBERS; i++) {
		snprintf(names[i], sizeof(names[i]), "@haul-plain-%d-%d", (int)getpid(), i);
		addresses[i] = names[i];
	}
	for (int i = 0; i < MEMBERS; i++)
		CHECK(pthread_create(&members[i], NULL, be_member, names[i]) == 0);
	for (int i = 0; i < MEMBERS; i++)
		pthread_join(members[i], NULL);
	return 0;
}
