/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of the programs of bench/run. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_setaffinity, cpu_set_t */
#endif
#include "contender.h"

#include <err.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 1 << 30, BUDGET_MOST = 10000, NO_SUCH_WAY = 3 };

static void usage(void)
{
	fprintf(stderr,
	    "--contender NAME --wait spin|sleep [--name IN_ROWS] [--what latency,bandwidth,rate,idle] "
	    "[--sizes BYTES,...] [--budget-ms N] [--cpus A,B] [--huge]\n");
	exit(64);
}

static unsigned long number(const char *word, unsigned long most)
{
	char *end;
	unsigned long n = strtoul(word, &end, 10);
	if (end == word || *end != '\0' || n > most)
		usage();
	return n;
}

static void parse_what(struct options *o, char *list)
{
	o->latency = o->bandwidth = o->rate = o->idle = false;
	for (char *word; (word = strsep(&list, ",")) != NULL;)
		if (strcmp(word, "latency") == 0)
			o->latency = true;
		else if (strcmp(word, "bandwidth") == 0)
			o->bandwidth = true;
		else if (strcmp(word, "rate") == 0)
			o->rate = true;
		else if (strcmp(word, "idle") == 0)
			o->idle = true;
		else
			usage();
}

static void parse_sizes(struct options *o, char *list)
{
	for (char *word; (word = strsep(&list, ",")) != NULL;) {
		size_t size = number(word, LONGEST);
		/* Messages are words (message.c). */
		if (o->size_count == SIZES_MOST || (size > sizeof(uint64_t) && size % sizeof(uint64_t) != 0))
			usage();
		o->sizes[o->size_count++] = size;
	}
}

static void parse_cpus(struct options *o, char *list)
{
	for (int rank = 0; rank < 2; rank++) {
		char *word = strsep(&list, ",");
		if (word == NULL)
			usage();
		else
			o->cpus[rank] = (int)number(word, CPU_SETSIZE - 1);
	}
}

static const struct contender *find(const char *name)
{
	for (const struct contender *const *c = contenders; *c != NULL; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	errx(64, "there is no contender '%s' in this program", name);
}

const struct contender *options_parse(struct options *o, bool *spin, int argc, char **argv)
{
	static const struct option known[] = {
		{ "contender", required_argument, NULL, 'c' },
		{ "name", required_argument, NULL, 'n' },
		{ "wait", required_argument, NULL, 'w' },
		{ "what", required_argument, NULL, 'j' },
		{ "sizes", required_argument, NULL, 's' },
		{ "budget-ms", required_argument, NULL, 'b' },
		{ "cpus", required_argument, NULL, 'p' },
		{ "huge", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *contender_name = NULL;
	bool sleep = false;

	*spin = false;
	*o = (struct options){ .budget_ms = 50,
		.latency = true,
		.bandwidth = true,
		.rate = true,
		.idle = true };
	o->cpus[0] = o->cpus[1] = -1;
	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
		switch (c) {
		case 'c':
			contender_name = optarg;
			break;
		case 'n':
			o->name = optarg;
			break;
		case 'w':
			*spin = strcmp(optarg, "spin") == 0;
			sleep = strcmp(optarg, "sleep") == 0;
			break;
		case 'j':
			parse_what(o, optarg);
			break;
		case 's':
			parse_sizes(o, optarg);
			break;
		case 'b':
			o->budget_ms = (unsigned)number(optarg, BUDGET_MOST);
			break;
		case 'p':
			parse_cpus(o, optarg);
			break;
		case 'h':
			o->huge = true;
			break;
		default:
			usage();
		}
	if (contender_name == NULL || *spin == sleep || optind != argc || o->budget_ms == 0)
		usage();

	const struct contender *contender = find(contender_name);
	if (o->name == NULL)
		o->name = contender->name;
	const char *why = *spin ? contender->no_spin : contender->no_sleep;
	if (why != NULL)
		errx(NO_SUCH_WAY, "%s", why);
	return contender;
}

void bind_to_cpu(const struct options *o, int rank)
{
	cpu_set_t set;
	if (o->cpus[rank] < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)o->cpus[rank], &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		err(1, "CPU %d", o->cpus[rank]);
}
