/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The nodes as processes: started, watched, stopped and killed by their parent, each by its own pidfd, and collected.
 * What makes no headway for long is ended.
 */
#include "stress_herd.h"
#include "lib/clock.h"

#include <errno.h>
#include <haul/haul.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress_ledger.h"
#include "stress_node.h"

struct herd {
	pid_t pids[NODES_MOST];
	int pidfds[NODES_MOST]; /* -1: it has ended */
	unsigned running;
	bool failed;
	int stopped; /* which, or -1 */
	uint64_t random;
};

/* Every node's ends of all its connections, before anything is forked. */
static void make_ends(const struct config *c, int (*ends)[NODES_MOST])
{
	for (unsigned i = 0; i < c->nodes; i++) {
		ends[i][i] = -1;
		for (unsigned k = 0; k < i; k++) {
			int pair[2];
			if (haul_pair(pair) != 0)
				fail("haul_pair: %s", haul_reason());
			ends[i][k] = pair[0];
			ends[k][i] = pair[1];
		}
	}
}

/* All ends, but those of one node. */
static void close_ends(const struct config *c, int (*ends)[NODES_MOST], unsigned but)
{
	for (unsigned i = 0; i < c->nodes; i++)
		for (unsigned k = 0; k < c->nodes; k++)
			if (i != but && i != k)
				close(ends[i][k]);
}

static void start_nodes(struct herd *h, const struct config *c)
{
	int ends[NODES_MOST][NODES_MOST];
	pid_t parent = getpid();
	make_ends(c, ends);
	fflush(NULL);
	for (unsigned i = 0; i < c->nodes; i++) {
		h->pids[i] = fork();
		if (h->pids[i] < 0)
			fail("fork: %s", strerror(errno));
		if (h->pids[i] == 0) {
			for (unsigned k = 0; k < i; k++)
				close(h->pidfds[k]);
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() != parent)
				_exit(1);
			close_ends(c, ends, i);
			node_run(i, ends);
			exit(0); /* with what a leak checker has to say */
		}
		h->pidfds[i] = pidfd_open(h->pids[i], 0);
		if (h->pidfds[i] < 0)
			fail("pidfd_open: %s", strerror(errno));
		h->running++;
	}
	close_ends(c, ends, NODES_MOST);
}

static void collect(struct herd *h, unsigned i)
{
	int status;
	waitpid(h->pids[i], &status, 0);
	close(h->pidfds[i]);
	h->pidfds[i] = -1;
	h->running--;
	if (h->stopped == (int)i)
		h->stopped = -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && ledger->killed[i])
		return;
	h->failed = true;
	if (WIFSIGNALED(status))
		fprintf(stderr, "stress: node %u died of signal %d (%s)\n", i, WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else
		fprintf(stderr, "stress: node %u exited with %d\n", i, WEXITSTATUS(status));
}

static void kill_all(struct herd *h)
{
	for (unsigned i = 0; i < NODES_MOST; i++)
		if (h->pidfds[i] >= 0)
			pidfd_send_signal(h->pidfds[i], SIGKILL, NULL, 0);
}

/* One that runs, chosen at random, or -1. */
static int victim(struct herd *h, const struct config *c)
{
	unsigned i = (unsigned)random_below(&h->random, c->nodes);
	return h->pidfds[i] >= 0 && !ledger->killed[i] ? (int)i : -1;
}

static uint64_t sum_of(_Atomic uint64_t (*counts)[LANES_MOST], const struct config *c)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < c->nodes; i++)
		for (unsigned k = 0; k < c->lanes; k++)
			sum += counts[i][k];
	return sum;
}

/* The next one is due at every tenth of the operations. */
static void kill_some(struct herd *h, const struct config *c, uint64_t ops)
{
	unsigned killed = 0;
	for (unsigned i = 0; i < c->nodes; i++)
		killed += ledger->killed[i];
	if (ops < c->ops * (killed + 1) / 10 || killed >= 4 || h->running <= 2)
		return; /* two must be left */
	int i = victim(h, c);
	if (i < 0)
		return;
	atomic_store(&ledger->killed[i], true);
	pidfd_send_signal(h->pidfds[i], SIGKILL, NULL, 0);
}

/* Stops one, or lets it go on. */
static void stop_some(struct herd *h, const struct config *c)
{
	if (h->stopped >= 0) {
		pidfd_send_signal(h->pidfds[h->stopped], SIGCONT, NULL, 0);
		h->stopped = -1;
	} else if ((h->stopped = victim(h, c)) >= 0) {
		pidfd_send_signal(h->pidfds[h->stopped], SIGSTOP, NULL, 0);
	}
}

/* ---- watching ---- */

static void complain_of_hang(struct herd *h, const struct config *c)
{
	fprintf(stderr, "stress: nothing went forward for %d s:\n", c->patience_s);
	for (unsigned i = 0; i < c->nodes; i++)
		for (unsigned k = 0; k <= c->lanes; k++)
			if (h->pidfds[i] >= 0 && ledger->doing[i][k] != NULL)
				fprintf(stderr,
				    "        node %u (pid %d), lane %u: in %s, after %llu operations\n", i,
				    (int)h->pids[i], k, ledger->doing[i][k],
				    k < c->lanes ? (unsigned long long)ledger->ops[i][k] : 0);
	h->failed = true;
}

static void watch(struct herd *h, const struct config *c)
{
	uint64_t seen = 0;
	int64_t since = clock_ms();
	while (h->running > 0) {
		struct pollfd fds[NODES_MOST];
		int wait_ms = c->stop ? 1 + (int)random_below(&h->random, h->stopped >= 0 ? 40 : 8) : 20;
		for (unsigned i = 0; i < c->nodes; i++)
			fds[i] = (struct pollfd){ .fd = h->pidfds[i], .events = POLLIN };
		if (poll(fds, c->nodes, wait_ms) < 0 && errno != EINTR)
			fail("poll: %s", strerror(errno));
		for (unsigned i = 0; i < c->nodes; i++)
			if (fds[i].fd >= 0 && fds[i].revents != 0)
				collect(h, i);
		uint64_t ops = sum_of(ledger->ops, c), now = ops + sum_of(ledger->headway, c) + h->running;
		if (now != seen) {
			seen = now;
			since = clock_ms();
		} else if (!h->failed && clock_ms() - since > c->patience_s * 1000) {
			complain_of_hang(h, c);
		}
		if (h->failed)
			kill_all(h);
		else if (c->kill)
			kill_some(h, c, ops);
		if (c->stop && !h->failed)
			stop_some(h, c);
	}
}

bool herd_run(const struct config *c)
{
	struct herd h = { .stopped = -1, .random = mix(c->seed) };
	memset(h.pidfds, -1, sizeof(h.pidfds));
	start_nodes(&h, c);
	watch(&h, c);
	return !h.failed;
}
