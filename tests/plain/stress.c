/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The randomised run: processes send to and receive from each other whatever a seed says, on one path or on each in
 * turn, and every byte, order and outcome is checked. See stress.h for its parts. This file is the command line and
 * the parent of the processes, which watches that they go on, stops and kills them, and has the judge compare.
 *
 * No test framework, so that it can run under the thread sanitizer. What it chooses follows from the seed, what the
 * kernel makes of it does not: a failure may take several runs to come again.
 */
#include "stress.h"

#include <argp.h>
#include <errno.h>
#include <haul/haul.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stress_ledger.h"
#include "stress_node.h"

/* ---- what goes wrong ---- */

static _Thread_local unsigned at_node, at_lane;

void at(unsigned node, unsigned lane)
{
	at_node = node;
	at_lane = lane;
}

void doing(const char *what)
{
	atomic_store(&ledger->doing[at_node][at_lane], what);
}

void fail(const char *words, ...)
{
	char line[600];
	va_list args;
	va_start(args, words);
	vsnprintf(line, sizeof(line), words, args);
	va_end(args);
	const char *what = ledger != NULL ? atomic_load(&ledger->doing[at_node][at_lane]) : NULL;
	fprintf(stderr, "stress: node %u, lane %u, operation %llu, in %s: %s\n", at_node, at_lane,
	    ledger != NULL && at_lane < LANES_MOST ? (unsigned long long)ledger->ops[at_node][at_lane] : 0,
	    what != NULL ? what : "the beginning", line);
	_exit(1);
}

/* ---- the processes ---- */

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

/* One that runs, chosen at random; -1 if only one would be left. */
static int victim(struct herd *h, const struct config *c)
{
	unsigned i = (unsigned)random_below(&h->random, c->nodes);
	return h->running > 2 && h->pidfds[i] >= 0 && !ledger->killed[i] ? (int)i : -1;
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
	if (ops < c->ops * (killed + 1) / 10 || killed >= 4)
		return;
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

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

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
	int64_t since = now_ms();
	while (h->running > 0) {
		struct pollfd fds[NODES_MOST];
		int wait_ms = c->stop ? 1 + (int)random_below(&h->random, 30) : 20;
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
			since = now_ms();
		} else if (!h->failed && now_ms() - since > c->patience_s * 1000) {
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

/* ---- one run ---- */

static void describe(const struct config *c, FILE *to)
{
	fprintf(to, "stress --path %s --seed %#llx --ops %llu --peers %u --threads %u%s%s%s%s", c->path,
	    (unsigned long long)c->seed, (unsigned long long)c->ops, c->nodes - 1, c->lanes,
	    c->kill ? " --kill" : "", c->stop ? " --stop" : "", c->self ? " --self" : "",
	    c->large ? " --large" : "");
}

static uint64_t total_messages(void)
{
	const struct config *c = &ledger->config;
	uint64_t sum = 0;
	for (unsigned i = 0; i < c->nodes; i++)
		for (unsigned k = 0; k < c->nodes; k++)
			for (unsigned l = 0; l < c->lanes; l++)
				sum += ledger->sent[i][k][l];
	return sum;
}

static bool run(const struct config *c)
{
	struct herd h = { .stopped = -1, .random = mix(c->seed) };
	int64_t start = now_ms();
	memset(h.pidfds, -1, sizeof(h.pidfds));
	describe(c, stdout);
	fflush(stdout);
	ledger_open(c);
	start_nodes(&h, c);
	watch(&h, c);
	bool ok = !h.failed && judge() == 0;
	printf(": %s, %llu messages, %.1f s\n", ok ? "ok" : "FAILED", (unsigned long long)total_messages(),
	    (double)(now_ms() - start) / 1000);
	ledger_close();
	return ok;
}

/* ---- the command line ---- */

static const struct path {
	const char *name;
	int path;
	int64_t eager_max;
} paths[] = { { "auto", HAUL_PATH_AUTO, 0 }, { "eager", HAUL_PATH_AUTO, 65536 },
	{ "pull", HAUL_PATH_PULL, -1 }, { "stream", HAUL_PATH_STREAM, -1 } };

/* What runs when nothing else is asked for. A seed of 0 is a random one. */
static const struct config set[] = {
	{ .path = "eager", .ops = 100000, .nodes = 5, .lanes = 1, .seed = 1, .self = true },
	{ .path = "pull", .ops = 100000, .nodes = 5, .lanes = 1, .seed = 2, .self = true },
	{ .path = "stream", .ops = 100000, .nodes = 5, .lanes = 1, .seed = 3, .self = true },
	{ .path = "pull", .ops = 20000, .nodes = 2, .lanes = 4, .seed = 4, .self = true },
	{ .path = "stream", .ops = 20000, .nodes = 2, .lanes = 4, .seed = 5, .self = true },
	{ .path = "pull", .ops = 20000, .nodes = 3, .lanes = 1, .seed = 6, .stop = true },
	{ .path = "stream", .ops = 20000, .nodes = 3, .lanes = 2, .seed = 7, .stop = true, .self = true },
	{ .path = "pull", .ops = 20000, .nodes = 5, .lanes = 1, .seed = 8, .kill = true },
	{ .path = "auto", .ops = 20000, .nodes = 6, .lanes = 2, .seed = 9, .kill = true, .stop = true },
	{ .path = "auto", .ops = 20000, .nodes = 3, .lanes = 1, .seed = 0, .self = true },
};

struct arguments {
	struct config config;
	bool given; /* anything but the patience */
};

static const struct argp_option options[] = {
	{ "path", 'p', "PATH", 0, "auto, eager, pull or stream", 0 },
	{ "ops", 'n', "N", 0, "Operations of all processes together (100000)", 0 },
	{ "seed", 's', "S", 0, "What is chosen follows from it (random)", 0 },
	{ "peers", 'P', "N", 0, "Peers that each process has, 1 to 8 (2)", 0 },
	{ "threads", 't', "N", 0, "Threads that share each context, 1 to 8 (1)", 0 },
	{ "kill", 'k', NULL, 0, "Kill processes in the middle", 0 },
	{ "stop", 'S', NULL, 0, "Stop processes for moments", 0 },
	{ "self", 'f', NULL, 0, "Send to oneself, too", 0 },
	{ "large", 'l', NULL, 0, "More long messages, of many pieces, that are soon given up", 0 },
	{ "patience", 'w', "S", 0, "What makes no headway for so many seconds hangs (30)", 0 },
	{ 0 },
};

static uint64_t number(struct argp_state *state, const char *text, uint64_t least, uint64_t most)
{
	char *end;
	errno = 0;
	uint64_t n = strtoull(text, &end, 0);
	if (*end != '\0' || end == text || errno != 0 || n < least || n > most)
		argp_error(state, "%s is not a number from %llu to %llu", text, (unsigned long long)least,
		    (unsigned long long)most);
	return n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	struct config *c = &a->config;
	switch (key) {
	case 'p':
		c->path = arg;
		break;
	case 'n':
		c->ops = number(state, arg, 1, 100000000);
		break;
	case 's':
		c->seed = number(state, arg, 1, UINT64_MAX);
		break;
	case 'P':
		c->nodes = (unsigned)number(state, arg, 1, NODES_MOST - 1) + 1;
		break;
	case 't':
		c->lanes = (unsigned)number(state, arg, 1, LANES_MOST);
		break;
	case 'k':
		c->kill = true;
		break;
	case 'S':
		c->stop = true;
		break;
	case 'f':
		c->self = true;
		break;
	case 'l':
		c->large = true;
		break;
	case 'w':
		c->patience_s = (int)number(state, arg, 1, 3600);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	a->given = true;
	return 0;
}

/* Fills in what the path's name means, and a seed. */
static bool complete(struct config *c, int patience_s)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	c->patience_s = patience_s;
	if (c->seed == 0)
		c->seed = (mix((uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 30) & 0xffffffff) + 1;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (strcmp(c->path, paths[i].name) == 0) {
			c->haul_path = paths[i].path;
			c->eager_max = paths[i].eager_max;
			return true;
		}
	}
	return false;
}

int main(int argc, char **argv)
{
	struct arguments a = {
		.config = { .path = "auto", .ops = 100000, .nodes = 3, .lanes = 1, .patience_s = 30 }
	};
	const struct argp argp = { .options = options,
		.parser = parse,
		.doc = "Random messages between processes, every byte of them checked." };
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	if (a.given) {
		if (complete(&a.config, a.config.patience_s))
			return run(&a.config) ? 0 : 1;
		fprintf(stderr, "stress: there is no path \"%s\"\n", a.config.path);
		return 2;
	}
	for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++) {
		struct config c = set[i];
		if (!complete(&c, a.config.patience_s) || !run(&c))
			return 1;
	}
	return 0;
}
