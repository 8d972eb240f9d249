/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A node: a process with one context, connected with all others, and a thread for each of its lanes. At its end it
 * counts its descriptors.
 */
#include "stress_node.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/refuse.h"
#include "stress_lane.h"

enum { LINGER_MS = 20000 };

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;
	if (dir == NULL)
		fail("/proc/self/fd: %s", strerror(errno));
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

/* Half of all nodes have the library's defaults; the others have less of everything, or a thread more. */
static void choose_options(struct node *n)
{
	const struct config *c = &ledger->config;
	uint64_t random = mix(c->seed + 1000 + n->index);
	n->options = (struct haul_options){ .path = c->haul_path,
		.eager_max = c->eager_max,
		.transport = c->outbox ? HAUL_TRANSPORT_OUTBOX : HAUL_TRANSPORT_SOCKET,
		.push = c->push };
	if (one_in(&random, 2)) {
		n->options.budget = one_in(&random, 2) ? 65536 : 0;
		n->options.window = one_in(&random, 2) ? 16 : 300;
		n->options.spin_us = one_in(&random, 2) ? -1 : 5;
		n->options.copy_budget = one_in(&random, 2) ? 1 << 20 : 0;
		n->options.progress_thread = one_in(&random, 3);
	}
	n->alone = c->lanes == 1 && !n->options.progress_thread;
}

static bool is_blind(unsigned index)
{
	return ledger->config.push && index % 2 == 1;
}

static void connect_all(struct node *n, int (*ends)[NODES_MOST])
{
	const struct config *c = &ledger->config;
	struct haul_req *reqs[NODES_MOST] = { NULL };
	for (unsigned i = 0; i < c->nodes; i++) {
		if (i == n->index)
			n->peers[i] = c->self ? haul_self(n->haul) : NULL;
		else if (haul_iadopt(n->haul, ends[n->index][i], &reqs[i]) != 0)
			fail("haul_iadopt: %s", haul_reason());
	}
	if (haul_wait_all(reqs, c->nodes, c->patience_s * 1000) != 0)
		fail("no connection: %s", haul_reason());
	for (unsigned i = 0; i < c->nodes; i++) {
		struct haul_status s;
		if (reqs[i] != NULL) {
			if (haul_req_finish(reqs[i], &s) != 0)
				fail("no connection with node %u: %s", i, haul_reason());
			n->peers[i] = s.peer;
		}
		if (n->peers[i] != NULL)
			haul_peer_set_user(n->peers[i], (void *)(uintptr_t)(i + 1));
	}
}

struct thread {
	pthread_t thread;
	struct lane *lane;
};

static void *run_lane(void *arg)
{
	struct lane *l = arg;
	lane_run(l);
	atomic_fetch_sub(&l->node->running, 1);
	return NULL;
}

/* Looks while the lanes run. In every second node it makes progress, too; in the others they are left to themselves. */
static void *watch(void *arg)
{
	struct lane l;
	struct node *n = arg;
	lane_init(&l, n, 0);
	at(n->index, ledger->config.lanes);
	doing("watching");
	while (atomic_load(&n->running) > 0) {
		call_look(&l);
		if (n->index % 2 == 0)
			call_progress(&l);
		else
			poll(NULL, 0, 1); /* looked often enough */
	}
	lane_fini(&l);
	return NULL;
}

static void run_lanes(struct node *n, struct lane *lanes)
{
	const struct config *c = &ledger->config;
	pthread_t threads[LANES_MOST + 1];
	atomic_store(&n->running, c->lanes);
	if (c->lanes == 1) {
		lane_run(&lanes[0]);
		return;
	}
	for (unsigned i = 0; i <= c->lanes; i++) {
		int rc = i < c->lanes ? pthread_create(&threads[i], NULL, run_lane, &lanes[i])
		                      : pthread_create(&threads[i], NULL, watch, n);
		if (rc != 0)
			fail("pthread_create: %s", strerror(rc));
	}
	for (unsigned i = 0; i <= c->lanes; i++)
		pthread_join(threads[i], NULL);
}

/* Nobody says goodbye while another may still be looking at its queue. */
static void leave_together(struct node *n)
{
	const struct config *c = &ledger->config;
	unsigned living;
	char byte;
	atomic_fetch_add(&ledger->left, 1);
	do {
		struct haul_match nothing = { .tag = 1 };
		ssize_t rc = haul_recv(n->haul, &nothing, &byte, 1, 5, NULL);
		if (rc != -ETIMEDOUT && rc != -EPIPE)
			fail("haul_recv() of what nobody sends: %zd", rc);
		living = c->nodes;
		for (unsigned i = 0; i < c->nodes; i++)
			living -= killed(i);
	} while (atomic_load(&ledger->left) < living);
}

/* Messages went the way that the run is about, and credit for it came back. */
static void check_path(unsigned index, const struct haul_stats *s)
{
	const struct config *c = &ledger->config;
	uint64_t described = s->sent_pull + s->sent_stream + s->sent_push;
	if (is_blind(index) != (s->received_push > 0) && !c->kill)
		fail("%llu messages were pushed here", (unsigned long long)s->received_push);
	if (is_blind(index) && s->received_pull_bytes > 0)
		fail("%llu bytes were pulled by who can't", (unsigned long long)s->received_pull_bytes);
	if (c->haul_path == HAUL_PATH_STREAM && s->received_pull_bytes > 0)
		fail("%llu bytes were pulled", (unsigned long long)s->received_pull_bytes);
	if ((c->outbox && !c->push && c->haul_path != HAUL_PATH_STREAM) != (s->polled_frames > 0) && !c->kill)
		fail("%llu frames came by outboxes", (unsigned long long)s->polled_frames);
	if (c->eager_max < 0 && s->sent_eager > 0)
		fail("%llu messages went eagerly", (unsigned long long)s->sent_eager);
	if (c->eager_max > 0 && !c->stop && s->sent_eager < described)
		fail("%llu messages went eagerly and %llu did not", (unsigned long long)s->sent_eager,
		    (unsigned long long)described);
}

void node_run(unsigned index, int (*ends)[NODES_MOST])
{
	const struct config *c = &ledger->config;
	static struct lane lanes[LANES_MOST];
	struct node n = { .index = index };
	struct haul_stats stats;
	int fds = count_fds();
	at(index, c->lanes);
	doing("haul_open");
	choose_options(&n);
	if (is_blind(index) && refuse_call(SYS_process_vm_readv, EPERM) != 0)
		fail("no filter for system calls");
	if (haul_open(&n.haul, &n.options, sizeof(n.options)) != 0)
		fail("haul_open: %s", haul_reason());
	connect_all(&n, ends);
	for (unsigned i = 0; i < c->lanes; i++)
		lane_init(&lanes[i], &n, i);
	run_lanes(&n, lanes);
	at(index, c->lanes);
	doing("the end");
	leave_together(&n);
	int rc = haul_stats(n.haul, &stats, sizeof(stats));
	if (rc != 0 || (!c->kill && (stats.unexpected != 0 || stats.unexpected_bytes != 0)))
		fail("nothing is left to receive, but haul_stats() counts %llu",
		    (unsigned long long)stats.unexpected);
	check_path(index, &stats);
	doing("haul_close");
	rc = haul_close(n.haul, LINGER_MS);
	if (rc != 0)
		fail("haul_close: %s (%s)", strerror(-rc), haul_reason());
	for (unsigned i = 0; i < c->lanes; i++)
		lane_fini(&lanes[i]);
	if (count_fds() != fds - (int)(c->nodes - 1))
		fail("%d descriptors were open before the context, and %d after it",
		    fds - (int)(c->nodes - 1), count_fds());
}
