/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of haul cat. */
#include "cat.h"

#include <argp.h>
#include <bsd/stdlib.h>
#include <limits.h>
#include <sysexits.h>

enum { KEY_SUM = 256, KEY_PROGRESS, KEY_NO_PROGRESS };

static const struct argp_option option_table[] = {
	{ .name = "listen", .key = 'l', .doc = "Wait for the other side at ADDRESS, and receive" },
	{ .name = "wait",
	    .key = 'w',
	    .doc = "If nobody listens at ADDRESS yet, try again until somebody does" },
	{ .name = "timeout",
	    .key = 't',
	    .arg = "SECONDS",
	    .doc = "Give up when the other side has not come, or done anything, for so long; default never" },
	{ .name = "sha256",
	    .key = KEY_SUM,
	    .doc = "Print the checksum, and fail if it is not the same on both sides" },
	{ .name = "progress", .key = KEY_PROGRESS, .doc = "Show how far it is, on standard error" },
	{ .name = "no-progress",
	    .key = KEY_NO_PROGRESS,
	    .doc = "Don't; the default is to do so if that is a terminal" },
	{ 0 },
};

static int seconds(struct argp_state *state, const char *arg)
{
	const char *wrong;
	long long n = strtonum(arg, 1, INT_MAX / 1000, &wrong);
	if (wrong != NULL)
		argp_error(state, "--timeout: '%s' is %s, 1 to %d", arg, wrong, INT_MAX / 1000);
	return (int)n;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct cat_options *o = state->input;
	switch (key) {
	case 'l':
		o->listen = true;
		return 0;
	case 'w':
		o->wait = true;
		return 0;
	case 't':
		o->timeout_ms = seconds(state, arg) * 1000;
		return 0;
	case KEY_SUM:
		o->sum = true;
		return 0;
	case KEY_PROGRESS:
		o->progress = 1;
		return 0;
	case KEY_NO_PROGRESS:
		o->progress = 0;
		return 0;
	case ARGP_KEY_ARG:
		if (o->address != NULL)
			argp_error(state, "one address, not also '%s'", arg);
		o->address = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which address?");
		return 0;
	case ARGP_KEY_SUCCESS:
		if (o->listen && o->wait)
			argp_error(state, "--wait is for the side that connects");
		if (o->sum && !cat_sum_able())
			argp_failure(state, EX_UNAVAILABLE, 0,
			    "--sha256: this program was built without libmd");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void cat_options_parse(struct cat_options *o, int argc, char **argv)
{
	static const struct argp parser = {
		.options = option_table,
		.parser = parse_option,
		.args_doc = "ADDRESS",
		.doc = "Copies its standard input to the standard output of a haul cat --listen at the same "
		       "ADDRESS: "
		       "/path, @name or fd:N. Neither side succeeds unless all was written there.",
	};
	*o = (struct cat_options){ .timeout_ms = -1, .progress = -1 };
	argp_parse(&parser, argc, argv, 0, NULL, o);
}
