/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of haul run. */
#include "run.h"

#include <argp.h>
#include <bsd/stdlib.h>
#include <limits.h>
#include <string.h>

enum {
	KEY_TAG = 256,
	KEY_BIND,
	KEY_TIMEOUT,
	KEY_GRACE,
	KEY_HUGE,
	KEY_JOB,
	KEY_KEEP_GOING,
	KEY_STATS,
	GRACE_MS = 2000
};

static const struct argp_option option_table[] = {
	{ .name = "ranks", .key = 'n', .arg = "N", .doc = "How many processes to start; default 1" },
	{ .name = "tag-output", .key = KEY_TAG, .doc = "Begin each line with its rank" },
	{ .name = "bind",
	    .key = KEY_BIND,
	    .arg = "core|none",
	    .doc = "Each rank on a core of its own, or anywhere; default core if there are enough" },
	{ .name = "keep-going", .key = KEY_KEEP_GOING, .doc = "A rank that fails ends no other" },
	{ .name = "timeout", .key = KEY_TIMEOUT, .arg = "SECONDS", .doc = "End all ranks then" },
	{ .name = "grace-ms",
	    .key = KEY_GRACE,
	    .arg = "N",
	    .doc = "How long ranks have when one has failed, and again after SIGTERM; default 2000" },
	{ .name = "job", .key = KEY_JOB, .arg = "NAME", .doc = "Its name; default one at random" },
	{ .name = "stats", .key = KEY_STATS, .doc = "Print a table of what each rank has done, at the end" },
	{ .name = "huge", .key = KEY_HUGE, .doc = "Have malloc(3) of the ranks use huge pages" },
	{ 0 },
};

static int number(struct argp_state *state, const char *name, const char *arg, int least, int most)
{
	const char *wrong;
	long long n = strtonum(arg, least, most, &wrong);
	if (wrong != NULL)
		argp_error(state, "%s: '%s' is %s, %d to %d", name, arg, wrong, least, most);
	return (int)n;
}

static const char *job_name(struct argp_state *state, const char *arg)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
	size_t len = strlen(arg);
	if (len == 0 || len > JOB_NAME_MOST || strspn(arg, allowed) != len)
		argp_error(state, "--job: '%s' is not 1 to %d letters, digits, '-', '_' or '.'", arg,
		    JOB_NAME_MOST);
	return arg;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct run_options *o = state->input;
	switch (key) {
	case 'n':
		o->size = (unsigned)number(state, "-n", arg, 1, RUN_RANKS_MOST);
		return 0;
	case KEY_TAG:
		o->tag = true;
		return 0;
	case KEY_BIND:
		if (strcmp(arg, "core") != 0 && strcmp(arg, "none") != 0)
			argp_error(state, "--bind: '%s' is neither core nor none", arg);
		o->bind = arg[0] == 'c' ? RUN_BIND_CORE : RUN_BIND_NONE;
		return 0;
	case KEY_KEEP_GOING:
		o->keep_going = true;
		return 0;
	case KEY_TIMEOUT:
		o->timeout_s = number(state, "--timeout", arg, 1, INT_MAX / 1000);
		return 0;
	case KEY_GRACE:
		o->grace_ms = number(state, "--grace-ms", arg, 0, INT_MAX);
		return 0;
	case KEY_JOB:
		o->job = job_name(state, arg);
		return 0;
	case KEY_STATS:
		o->stats = true;
		return 0;
	case KEY_HUGE:
		o->huge = true;
		return 0;
	case ARGP_KEY_ARG:
		o->argv = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which program?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void run_options_parse(struct run_options *o, int argc, char **argv)
{
	static const struct argp parser = {
		.options = option_table,
		.parser = parse_option,
		.args_doc = "PROGRAM [ARGUMENT...]",
		.doc = "Starts the ranks of a group, a process each, and waits for them. What they print "
		       "comes line by "
		       "line. If one fails the others are told, and ended.",
	};
	*o = (struct run_options){ .size = 1, .grace_ms = GRACE_MS };
	argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, o);
}
