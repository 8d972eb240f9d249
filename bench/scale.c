/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How messages fare with many others about, by haul and by Unix sockets. All processes sleep when they wait, on whatever CPUs
 * the kernel likes. bench/run runs it.
 *
 *     scale --contender haul|unix --what fanout|fanin|connections --peers N [--budget-ms N]
 *
 *   fanout       one process sends to N others, 64 B and then 64 KiB
 *   fanin        N others send to one
 *   connections  two processes with N connections
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "scale.h"

#include <err.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const size_t lengths[] = { 64, 64 << 10 };

static int pairs[PEERS_MOST][2];
static pid_t children[PEERS_MOST + 1];

static void usage(void)
{
	fprintf(stderr,
	    "scale --contender haul|unix --what fanout|fanin|connections --peers N [--budget-ms N]\n");
	exit(64);
}

double now_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double middle(double *values, unsigned count)
{
	qsort(values, count, sizeof(*values), by_value);
	return values[count / 2];
}

long private_kib(void)
{
	char line[256];
	long all = 0, kib;
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	if (f == NULL)
		err(1, "/proc/self/smaps_rollup");
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "Private_%*[a-zA-Z]: %ld", &kib) == 1)
			all += kib;
	fclose(f);
	return all;
}

/* Two descriptors for a connection, while it begins three. */
static void want_descriptors(unsigned peers)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(1, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (limit.rlim_cur < 3 * (rlim_t)peers + 64)
		errx(NO_SUCH_WAY, "this takes %u descriptors, %lu are allowed", 3 * peers + 64,
		    (unsigned long)limit.rlim_cur);
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* The ends of one side, from the first of count on; the others are closed. */
static void keep(unsigned peers, int side, unsigned first, unsigned count, int *fds)
{
	for (unsigned i = 0; i < peers; i++) {
		close(pairs[i][1 - side]);
		if (i >= first && i < first + count)
			fds[i - first] = pairs[i][side];
		else
			close(pairs[i][side]);
	}
}

static void run(const struct task *t, const char *what, unsigned self)
{
	static int fds[PEERS_MOST];
	bool hub = self == 0, connections = strcmp(what, "connections") == 0,
	     out = strcmp(what, "fanout") == 0;

	if (hub || connections)
		keep(t->peers, hub ? 0 : 1, 0, t->peers, fds);
	else
		keep(t->peers, 1, self - 1, 1, fds);
	long before_kib = private_kib();
	t->w->open(fds, hub || connections ? t->peers : 1);
	if (connections)
		(hub ? connections_hub : connections_other)(t, before_kib);
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]) && !connections; i++) {
		if (hub)
			fan_hub(t, out, lengths[i]);
		else
			fan_other(t, out, lengths[i]);
	}
	t->w->close();
}

static void parse(struct task *t, const char **what, int argc, char **argv)
{
	static const struct option known[] = {
		{ "contender", required_argument, NULL, 'c' },
		{ "what", required_argument, NULL, 'w' },
		{ "peers", required_argument, NULL, 'n' },
		{ "budget-ms", required_argument, NULL, 'b' },
		{ 0 },
	};

	*t = (struct task){ .budget_ms = 200 };
	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
		if (c == 'c' && strcmp(optarg, "haul") == 0)
			t->w = &ways_haul;
		else if (c == 'c' && strcmp(optarg, "unix") == 0)
			t->w = &ways_unix;
		else if (c == 'w')
			*what = optarg;
		else if (c == 'n')
			t->peers = (unsigned)atoi(optarg);
		else if (c == 'b')
			t->budget_ms = (unsigned)atoi(optarg);
		else
			usage();
	if (optind != argc || t->w == NULL || *what == NULL || t->peers < 1 || t->peers > PEERS_MOST ||
	    t->budget_ms < 1)
		usage();
	if (strcmp(*what, "fanout") != 0 && strcmp(*what, "fanin") != 0 && strcmp(*what, "connections") != 0)
		usage();
}

int main(int argc, char **argv)
{
	struct task t;
	const char *what = NULL;
	pid_t parent = getpid();
	int failed = 0;

	parse(&t, &what, argc, argv);
	want_descriptors(t.peers);
	for (unsigned i = 0; i < t.peers; i++)
		t.w->pair(pairs[i]);
	unsigned count = strcmp(what, "connections") == 0 ? 2 : t.peers + 1;
	for (unsigned self = 0; self < count; self++) {
		children[self] = fork();
		if (children[self] < 0)
			err(1, "fork");
		if (children[self] > 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			return 1;
		run(&t, what, self);
		return 0;
	}
	for (unsigned i = 0; i < t.peers; i++) {
		close(pairs[i][0]);
		close(pairs[i][1]);
	}
	for (unsigned left = count; left > 0; left--) {
		int status;
		pid_t pid = wait(&status);
		for (unsigned i = 0; i < count; i++) {
			if (children[i] == pid)
				children[i] = 0;
			else if (status != 0 && children[i] > 0) /* it may wait for that one for ever */
				kill(children[i], SIGKILL);
		}
		failed |= status != 0;
	}
	return failed;
}
