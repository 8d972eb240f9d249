/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of haul perf. Everything is checked here, so that nothing fails half way through. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity, cpu_set_t */
#endif
#include "perf.h"
#include "perf_group.h"

#include <argp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEY_WHAT = 256,
	KEY_CONTENDERS,
	KEY_WINDOW,
	KEY_PIN,
	KEY_SPIN,
	KEY_SLEEP,
	KEY_CPU,
};

static const struct argp_option option_table[] = {
	{ .name = "what",
	    .key = KEY_WHAT,
	    .arg = "LIST",
	    .doc = "Of latency,bandwidth,rate,match,overlap; default the first three" },
	{ .name = "contenders",
	    .key = KEY_CONTENDERS,
	    .arg = "LIST",
	    .doc = "Of auto,pull,stream,pipe,unix,vmread,vmpoll,memcpy,batch,socket,outbox,twohand,get,vmget,call,"
	           "buffered,direct; default the first eight" },
	{ .name = "window",
	    .key = KEY_WINDOW,
	    .arg = "N",
	    .doc = "Messages under way; default 16 for bandwidth, 64 for rate" },
	{ .name = "pin",
	    .key = KEY_PIN,
	    .arg = "same",
	    .flags = OPTION_ARG_OPTIONAL,
	    .doc = "Keep each process on a CPU of its own; =same: both on one" },
	{ .name = "spin", .key = KEY_SPIN, .doc = "Wait by spinning; default with a CPU for each process" },
	{ .name = "sleep", .key = KEY_SLEEP, .doc = "Wait by sleeping; default otherwise" },
	{ .name = "cpu", .key = KEY_CPU, .doc = "Tell the CPU time, moving and idle" },
	{ 0 },
};

static bool is_collective(const char *name)
{
	for (unsigned what = 0; what < PERF_GROUP_WHATS; what++)
		if (strcmp(perf_group_name(what), name) == 0)
			return true;
	return false;
}

static void parse_what(struct perf_options *o, struct argp_state *state, char *list)
{
	memset(o->what, 0, sizeof(o->what));
	for (char *name; (name = strsep(&list, ",")) != NULL;) {
		unsigned what = 0;
		while (what < PERF_WHATS && strcmp(perf_kinds[what].name, name) != 0)
			what++;
		if (what == PERF_WHATS)
			argp_error(state, "--what: there is no measurement '%s'%s", name,
			    is_collective(name) ? " of pairs; haul run -n N haul perf has it" : "");
		else
			o->what[what] = true;
	}
}

static void parse_contenders(struct perf_options *o, struct argp_state *state, char *list)
{
	o->contender_count = 0;
	for (char *name; (name = strsep(&list, ",")) != NULL;) {
		const struct contender *const *c = perf_contenders;
		while (*c != NULL && strcmp((*c)->name, name) != 0)
			c++;
		if (*c == NULL)
			argp_error(state, "--contenders: there is no contender '%s'", name);
		if (o->contender_count == PERF_MAX_LIST)
			argp_error(state, "--contenders: more than %d", PERF_MAX_LIST);
		o->contenders[o->contender_count++] = *c;
	}
}

static void require_two_cpus(const struct perf_options *o, struct argp_state *state)
{
	if (o->pin && o->cpus[1] < 0)
		argp_failure(state, EXIT_FAILURE, 0, "--pin: this process may use only one CPU");
}

static void parse_pin(struct perf_options *o, struct argp_state *state, const char *arg)
{
	o->pin = true;
	if (arg == NULL)
		return;
	if (strcmp(arg, "same") != 0)
		argp_error(state, "--pin: '%s' is not 'same'", arg);
	o->cpus[1] = o->cpus[0];
}

/* A table without rows would look like a success. */
static void require_contenders(const struct perf_options *o, struct argp_state *state)
{
	for (unsigned what = 0; what < PERF_WHATS; what++) {
		bool able = !o->what[what];
		for (size_t c = 0; c < o->contender_count && !able; c++)
			able = o->contenders[c]->run[what] != NULL;
		if (!able)
			argp_error(state, "--what: none of these contenders is measured by %s",
			    perf_kinds[what].name);
	}
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct perf_options *o = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		return 0;
	case KEY_WHAT:
		parse_what(o, state, arg);
		return 0;
	case KEY_CONTENDERS:
		parse_contenders(o, state, arg);
		return 0;
	case KEY_WINDOW:
		return perf_common_count(state, "window", arg, PERF_MAX_WINDOW, &o->window);
	case KEY_PIN:
		parse_pin(o, state, arg);
		return 0;
	case KEY_SPIN:
		o->spin = 1;
		return 0;
	case KEY_SLEEP:
		o->spin = 0;
		return 0;
	case KEY_CPU:
		o->cpu = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument '%s'", arg);
		return 0;
	case ARGP_KEY_SUCCESS:
		if (o->spin < 0)
			o->spin = o->cpus[1] >= 0 && !perf_one_cpu(o);
		require_two_cpus(o, state);
		require_contenders(o, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The first two CPUs of the affinity mask; -1 for what there is not. */
static void find_cpus(int cpus[2])
{
	cpu_set_t set;
	int found = 0;

	cpus[0] = cpus[1] = -1;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return;
	for (size_t cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
		if (CPU_ISSET((size_t)cpu, &set))
			cpus[found++] = (int)cpu;
}

void perf_options_parse(struct perf_options *o, int argc, char **argv)
{
	static const struct argp_child children[] = { { .argp = &perf_common_parser }, { 0 } };
	static const struct argp parser = {
		.options = option_table,
		.parser = parse_option,
		.children = children,
		.doc = "Measures latency, bandwidth and message rate between two processes, by haul and by "
		       "other means; what matching costs haul; how much of a message moves while its "
		       "sender computes. Under haul run: collectives, with options of their own (haul run "
		       "haul perf --help). What the figures mean is told in haul-perf(1).",
	};

	*o = (struct perf_options){ .common = { .rounds = 5, .buffers = 1, .budget_ms = 60 } };
	for (unsigned what = 0; what < PERF_WHATS; what++)
		o->what[what] = !perf_kinds[what].by_name;
	for (const struct contender *const *c = perf_contenders; *c != NULL; c++)
		if (!(*c)->by_name)
			o->contenders[o->contender_count++] = *c;
	find_cpus(o->cpus);
	o->spin = -1;
	argp_parse(&parser, argc, argv, 0, NULL, o);
}
