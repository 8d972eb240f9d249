/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line of haul perf as a rank. All ranks have the same one and read it alike, so that what is wrong is
 * told by rank 0 alone: in the others argp neither speaks nor exits.
 */
#include "perf_group.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEY_WHAT = 256,
	KEY_SPIN,
	KEY_SLEEP,
	KEY_TUNE,
	KEY_CONTENDERS,
	KEY_WINDOW,
	KEY_PIN,
	KEY_CPU,
};

enum { SPIN_US = 1000000 }; /* longer than any wait */

static const struct argp_option option_table[] = {
	{ .name = "what",
	    .key = KEY_WHAT,
	    .arg = "LIST",
	    .doc = "Of "
	           "barrier,bcast,gather,scatter,allgather,alltoall,reduce,allreduce,reduce_scatter,scan,"
	           "exscan; "
	           "default all" },
	{ .name = "spin", .key = KEY_SPIN, .doc = "Wait by spinning; default is what haul chooses" },
	{ .name = "sleep", .key = KEY_SLEEP, .doc = "Wait by sleeping" },
	{ .name = "tune",
	    .key = KEY_TUNE,
	    .doc = "Measure instead from which sizes on the ways for what is long are faster" },
	/* Refused with words of their own. */
	{ .name = "contenders", .key = KEY_CONTENDERS, .arg = "LIST", .flags = OPTION_HIDDEN },
	{ .name = "window", .key = KEY_WINDOW, .arg = "N", .flags = OPTION_HIDDEN },
	{ .name = "pin", .key = KEY_PIN, .arg = "same", .flags = OPTION_HIDDEN | OPTION_ARG_OPTIONAL },
	{ .name = "cpu", .key = KEY_CPU, .flags = OPTION_HIDDEN },
	{ 0 },
};

static int wrong(struct argp_state *state, const char *option, const char *why)
{
	argp_error(state, "--%s: %s", option, why);
	return EINVAL;
}

static bool is_of_pairs(const char *name)
{
	for (unsigned what = 0; what < PERF_WHATS; what++)
		if (strcmp(perf_kinds[what].name, name) == 0)
			return true;
	return false;
}

static int parse_what(struct perf_group_options *o, struct argp_state *state, char *list)
{
	memset(o->what, 0, sizeof(o->what));
	for (char *name; (name = strsep(&list, ",")) != NULL;) {
		unsigned what = 0;
		while (what < PERF_GROUP_WHATS && strcmp(perf_group_name(what), name) != 0)
			what++;
		if (what == PERF_GROUP_WHATS) {
			argp_error(state, "--what: there is no collective '%s'%s", name,
			    is_of_pairs(name) ? "; it is measured without haul run" : "");
			return EINVAL;
		}
		o->what[what] = true;
	}
	return 0;
}

/* Half a number could not be added. */
static int require_units(const struct perf_group_options *o, struct argp_state *state)
{
	for (unsigned what = 0; what < PERF_GROUP_WHATS; what++)
		for (size_t i = 0; i < o->common.size_count && o->what[what]; i++)
			if (o->common.sizes[i] % perf_group_unit(what) != 0) {
				argp_error(state,
				    "--sizes: %s is of numbers of %zu bytes each: %zu is no multiple of that",
				    perf_group_name(what), perf_group_unit(what), o->common.sizes[i]);
				return EINVAL;
			}
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct perf_group_options *o = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		return 0;
	case KEY_WHAT:
		return parse_what(o, state, arg);
	case KEY_SPIN:
		o->spin_us = SPIN_US;
		return 0;
	case KEY_SLEEP:
		o->spin_us = -1;
		return 0;
	case KEY_TUNE:
		o->tune = true;
		return 0;
	case KEY_CONTENDERS:
		return wrong(state, "contenders", "collectives are haul's only; bench/compare has others");
	case KEY_WINDOW:
		return wrong(state, "window", "collectives are measured one at a time");
	case KEY_PIN:
		return wrong(state, "pin", "where ranks run is told to haul run, by --bind");
	case KEY_CPU:
		return wrong(state, "cpu", "is not told of collectives");
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument '%s'", arg);
		return EINVAL;
	case ARGP_KEY_SUCCESS:
		if (o->tune && o->common.stats)
			return wrong(state, "stats", "is not told of with --tune");
		return require_units(o, state);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int perf_group_options_parse(struct perf_group_options *o, bool first, int argc, char **argv)
{
	static const struct argp_child children[] = { { .argp = &perf_common_parser }, { 0 } };
	static const struct argp parser = {
		.options = option_table,
		.parser = parse_option,
		.children = children,
		.doc = "As a rank of a group (haul run -n N haul perf) measures collectives. What the "
		       "figures mean is told in "
		       "haul-perf(1).",
	};

	*o = (struct perf_group_options){
		.common = { .sizes = { 8, 64, 512, 4 << 10, 32 << 10, 256 << 10, 1 << 20, 4 << 20 },
		    .size_count = 8,
		    .rounds = 5,
		    .buffers = 1,
		    .budget_ms = 60 }
	};
	for (unsigned what = 0; what < PERF_GROUP_WHATS; what++)
		o->what[what] = true;
	return argp_parse(&parser, argc, argv, first ? 0 : ARGP_SILENT, NULL, o) == 0 ? 0 : -1;
}

bool perf_group_is_rank(void)
{
	return getenv("HAUL_RANK") != NULL && getenv("HAUL_SIZE") != NULL;
}
