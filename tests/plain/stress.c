/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The randomised run: processes send to and receive from each other whatever a seed says, on one path or on each in
 * turn, and every byte, order and outcome is checked. See stress.h for its parts. This file is the command line, and
 * what is said when something is wrong.
 *
 * No test framework, so that it can run under the thread sanitizer. What it chooses follows from the seed, what the
 * kernel makes of it does not: a failure may take several runs to come again.
 */
#include "stress.h"
#include "lib/clock.h"

#include <argp.h>
#include <errno.h>
#include <haul/haul.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stress_herd.h"
#include "stress_ledger.h"

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

/* ---- one run ---- */

static void describe(const struct config *c, FILE *to)
{
	fprintf(to, "stress --path %s%s --seed %#llx --ops %llu --peers %u --threads %u%s%s%s%s", c->path,
	    c->outbox ? " --outbox" : "", (unsigned long long)c->seed, (unsigned long long)c->ops,
	    c->nodes - 1, c->lanes, c->kill ? " --kill" : "", c->stop ? " --stop" : "",
	    c->self ? " --self" : "", c->large ? " --large" : "");
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
	int64_t start = clock_ms();
	describe(c, stdout);
	fflush(stdout);
	ledger_open(c);
	bool ok = herd_run(c) && judge() == 0;
	printf(": %s, %llu messages, %.1f s\n", ok ? "ok" : "FAILED", (unsigned long long)total_messages(),
	    (double)(clock_ms() - start) / 1000);
	ledger_close();
	return ok;
}

/* ---- the command line ---- */

static const struct path {
	const char *name;
	int path;
	int64_t eager_max;
	bool push;
} paths[] = { { "auto", HAUL_PATH_AUTO, 0, false }, { "eager", HAUL_PATH_AUTO, 65536, false },
	{ "pull", HAUL_PATH_PULL, -1, false }, { "stream", HAUL_PATH_STREAM, -1, false },
	{ "push", HAUL_PATH_AUTO, -1, true } };

/* What runs when nothing else is asked for. A seed of 0 is a random one. */
static const struct config set[] = {
	{ .path = "eager", .ops = 100000, .nodes = 5, .lanes = 1, .seed = 1, .self = true },
	{ .path = "pull", .ops = 100000, .nodes = 5, .lanes = 1, .seed = 2, .self = true },
	{ .path = "stream", .ops = 100000, .nodes = 5, .lanes = 1, .seed = 3, .self = true },
	{ .path = "pull", .ops = 20000, .nodes = 2, .lanes = 4, .seed = 4, .self = true },
	{ .path = "stream", .ops = 20000, .nodes = 2, .lanes = 4, .seed = 5, .self = true },
	{ .path = "pull", .ops = 4000, .nodes = 2, .lanes = 1, .seed = 6, .stop = true, .large = true },
	{ .path = "stream", .ops = 4000, .nodes = 3, .lanes = 2, .seed = 7, .stop = true, .large = true },
	{ .path = "pull", .ops = 20000, .nodes = 5, .lanes = 1, .seed = 8, .kill = true },
	{ .path = "auto", .ops = 20000, .nodes = 6, .lanes = 2, .seed = 9, .kill = true, .stop = true },
	{ .path = "push", .ops = 10000, .nodes = 5, .lanes = 1, .seed = 10, .self = true },
	{ .path = "push", .ops = 8000, .nodes = 2, .lanes = 4, .seed = 11, .self = true },
	{ .path = "push", .ops = 2000, .nodes = 3, .lanes = 2, .seed = 12, .stop = true, .large = true },
	{ .path = "push", .ops = 6000, .nodes = 4, .lanes = 2, .seed = 13, .kill = true, .stop = true },
	{ .path = "eager", .ops = 30000, .nodes = 5, .lanes = 1, .seed = 14, .outbox = true },
	{ .path = "pull", .ops = 10000, .nodes = 2, .lanes = 4, .seed = 15, .outbox = true, .self = true },
	{ .path = "auto",
	    .ops = 4000,
	    .nodes = 3,
	    .lanes = 2,
	    .seed = 17,
	    .outbox = true,
	    .stop = true,
	    .large = true },
	{ .path = "auto",
	    .ops = 16000,
	    .nodes = 6,
	    .lanes = 2,
	    .seed = 18,
	    .outbox = true,
	    .kill = true,
	    .stop = true },
	{ .path = "auto", .ops = 20000, .nodes = 3, .lanes = 1, .seed = 0, .self = true },
	{ .path = "auto", .ops = 20000, .nodes = 3, .lanes = 1, .seed = 0, .outbox = true, .self = true },
};

struct arguments {
	struct config config;
	bool given; /* anything but the patience */
};

static const struct argp_option options[] = {
	{ "path", 'p', "PATH", 0, "auto, eager, pull, stream or push", 0 },
	{ "outbox", 'o', NULL, 0,
	    "Frames go by outboxes, where the path is one for those who may read each other", 0 },
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
	case 'o':
		c->outbox = true;
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
			c->push = paths[i].push;
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
