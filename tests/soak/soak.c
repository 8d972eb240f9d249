/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The soak: see soak.h for its parts. This file is the command line, and the controller: it lets the processes run for
 * the time given, measures every 10 s, prints a line a minute, and says at the end whether all was well.
 */
#include "soak.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "soak_herd.h"

struct board *board;

int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct arguments {
	double minutes;
	uint64_t seed;
};

static const struct argp_option options[] = {
	{ "minutes", 'm', "N", 0, "How long (20)", 0 },
	{ "seed", 's', "S", 0, "What is chosen follows from it, as far as time allows (random)", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	char *end = NULL;
	errno = 0;
	if (key == 'm')
		a->minutes = strtod(arg, &end);
	else if (key == 's')
		a->seed = strtoull(arg, &end, 0);
	else
		return ARGP_ERR_UNKNOWN;
	if (end == arg || *end != '\0' || errno != 0 || !(a->minutes > 0 && a->minutes <= 10000))
		argp_error(state, "%s is no such number", arg);
	return 0;
}

static void open_board(uint64_t seed)
{
	struct timespec now;
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED) {
		fprintf(stderr, "soak: mmap: %s\n", strerror(errno));
		exit(1);
	}
	clock_gettime(CLOCK_REALTIME, &now);
	if (seed == 0)
		seed = (mix((uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 30) & 0xffffffff) + 1;
	board->seed = seed;
	board->start_ms = now_ms();
	board->controller = getpid();
}

/* What malloc keeps at hand for each size it counts as in use, and that grows for long: so it keeps nothing. It has to
 * be told before the program begins. */
static void begin_again(char **argv)
{
	static const char tunables[] = "glibc.malloc.tcache_count=0";
	const char *set = getenv("GLIBC_TUNABLES");
	if (set != NULL && strcmp(set, tunables) == 0)
		return;
	setenv("GLIBC_TUNABLES", tunables, 1);
	execv("/proc/self/exe", argv);
	fprintf(stderr, "soak: /proc/self/exe: %s\n", strerror(errno));
	exit(1);
}

/* Until the time is up, all nodes have left, or something is wrong. */
static void run(struct herd *h, int64_t length_ms)
{
	int64_t end = board->start_ms + length_ms, sample = board->start_ms, line = board->start_ms;
	while (!h->failed && herd_running(h) + !board->over > 0) {
		int64_t now = now_ms();
		herd_round(h);
		if (now >= end)
			board->over = true;
		if (now >= sample + 10000 && !board->over) {
			sample = now;
			report_sample();
		}
		if (now >= line + 60000 && !board->over) {
			line = now;
			report_line(h);
		}
	}
	if (h->failed)
		herd_kill(h);
}

/* A run without one of them was not what it is meant to be. */
static bool was_mixed(const struct herd *h)
{
	static const char *const paths[] = { "", "eagerly", "by pull", "by stream", "by push" };
	bool ok = true;
	for (int i = HAUL_PATH_EAGER; i <= HAUL_PATH_PUSH; i++) {
		if (board->bytes[i] == 0) {
			printf("nothing came %s\n", paths[i]);
			ok = false;
		}
	}
	for (int i = 0; i < EVENTS; i++)
		ok = ok && h->events[i] > 0;
	return ok && board->counts[COUNT_REFUSED] > 0;
}

int main(int argc, char **argv)
{
	static struct herd herd;
	struct arguments a = { .minutes = 20 };
	const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc =
		    "Processes that send to each other, are killed, stopped and refused, and must not mind."
	};
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	begin_again(argv);
	open_board(a.seed);
	printf("soak --minutes %g --seed %#llx\n", a.minutes, (unsigned long long)board->seed);
	fflush(stdout);
	janitor_start();
	herd_start(&herd);
	run(&herd, (int64_t)(a.minutes * 60000));
	report_line(&herd);
	bool flat = !herd.failed && report_flat();
	bool mixed = herd.failed || a.minutes < 1 || was_mixed(&herd);
	janitor_end();
	printf("soak: %s: %llu messages received, %llu of them taken, %llu canceled, %llu late\n",
	    herd.failed  ? "FAILED"
	        : !flat  ? "FAILED, something grew"
	        : !mixed ? "FAILED, not all there is to do was done"
	                 : "ok",
	    (unsigned long long)board->counts[COUNT_RECEIVED], (unsigned long long)board->counts[COUNT_TAKEN],
	    (unsigned long long)board->counts[COUNT_CANCELED], (unsigned long long)board->counts[COUNT_LATE]);
	return herd.failed || !flat || !mixed;
}
