/* SPDX-License-Identifier: BSD-3-Clause */
/* What the command lines of haul perf have in common, for pairs (perf_options.c) and for ranks (perf_group_options.c). */
#include "perf.h"

#include <argp.h>
#include <bsd/libutil.h>
#include <bsd/stdlib.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_SIZES = 256, KEY_ROUNDS, KEY_BUDGET, KEY_BUFFERS, KEY_HUGE, KEY_CSV, KEY_STATS };

static const struct argp_option option_table[] = {
	{ .name = "sizes",
	    .key = KEY_SIZES,
	    .arg = "LIST",
	    .doc =
	        "Bytes of a message, a block or a vector, such as 8,64K,1M; the default depends on what is "
	        "measured" },
	{ .name = "rounds", .key = KEY_ROUNDS, .arg = "N", .doc = "Timed parts of each row; default 5" },
	{ .name = "budget-ms",
	    .key = KEY_BUDGET,
	    .arg = "N",
	    .doc = "Length of the timed part of a round; default 60" },
	{ .name = "buffers", .key = KEY_BUFFERS, .arg = "N", .doc = "Rotate through N buffers; default 1" },
	{ .name = "huge", .key = KEY_HUGE, .doc = "Buffers on huge pages" },
	{ .name = "csv", .key = KEY_CSV, .doc = "Print comma-separated values" },
	{ .name = "stats", .key = KEY_STATS, .doc = "Print a table of what haul counted too" },
	{ 0 },
};

int perf_common_count(struct argp_state *state, const char *name, const char *arg, unsigned max,
    unsigned *count)
{
	const char *wrong;
	*count = (unsigned)strtonum(arg, 1, max, &wrong);
	if (wrong == NULL)
		return 0;
	argp_error(state, "--%s: '%s' is %s (1 to %u)", name, arg, wrong, max);
	return EINVAL;
}

static int parse_sizes(struct perf_common *o, struct argp_state *state, char *list)
{
	memset(o->sizes, 0, sizeof(o->sizes));
	o->size_count = 0;
	for (char *word; (word = strsep(&list, ",")) != NULL;) {
		uint64_t size;
		/* expand_number(3bsd) knows K, M and G, and takes a negative number for a huge one. */
		if (expand_number(word, &size) < 0 || size < 1 || size > PERF_MAX_SIZE) {
			argp_error(state, "--sizes: '%s' is not a size from 1 to 1G", word);
			return EINVAL;
		}
		if (o->size_count == PERF_MAX_LIST) {
			argp_error(state, "--sizes: more than %d", PERF_MAX_LIST);
			return EINVAL;
		}
		o->sizes[o->size_count++] = (size_t)size;
	}
	return 0;
}

/* Without them small pages would be measured. */
static int require_huge(struct argp_state *state)
{
	char line[80] = "[never]";
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
	if (f != NULL) {
		if (fgets(line, sizeof(line), f) == NULL)
			line[0] = '\0';
		fclose(f);
	}
	if (strstr(line, "[never]") == NULL)
		return 0;
	argp_failure(state, EXIT_FAILURE, 0, "--huge: this kernel gives no transparent huge pages");
	return EINVAL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct perf_common *o = state->input;
	switch (key) {
	case KEY_SIZES:
		return parse_sizes(o, state, arg);
	case KEY_ROUNDS:
		return perf_common_count(state, "rounds", arg, 1000, &o->rounds);
	case KEY_BUDGET:
		return perf_common_count(state, "budget-ms", arg, 60000, &o->budget_ms);
	case KEY_BUFFERS:
		return perf_common_count(state, "buffers", arg, 65536, &o->buffers);
	case KEY_HUGE:
		o->huge = true;
		return require_huge(state);
	case KEY_CSV:
		o->csv = true;
		return 0;
	case KEY_STATS:
		o->stats = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp perf_common_parser = { .options = option_table, .parser = parse_option };
