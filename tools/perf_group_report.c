/* SPDX-License-Identifier: BSD-3-Clause */
/* The output of haul perf in a group: an aligned table, or CSV. Every row is flushed, for runs that take a while. */
#include "perf_group.h"

#define CONTENDER "haul" /* beside others, which bench/compare measures */

void perf_group_report_begin(const struct perf_group_options *o, int ranks)
{
	FILE *out = o->common.csv ? stderr : stdout;
	double huge = perf_pages_try(o->common.huge);
	int v = haul_version();

	fprintf(out, "haul %d.%d.%d perf: %d rank%s, %u round%s of %u ms, %u buffer%s, ", v / 10000,
	    v / 100 % 100, v % 100, ranks, ranks == 1 ? "" : "s", o->common.rounds,
	    o->common.rounds == 1 ? "" : "s", o->common.budget_ms, o->common.buffers,
	    o->common.buffers == 1 ? "" : "s");
	if (huge > 0 && huge < 1)
		fprintf(out, "%.0f %% huge pages, ", huge * 100);
	else
		fprintf(out, "%s pages, ", huge > 0 ? "huge" : "small");
	fprintf(out, "waiting %s\n",
	    o->spin_us > 0       ? "by spinning"
	        : o->spin_us < 0 ? "by sleeping"
	                         : "as haul chooses");
	fflush(out);
}

void perf_group_report_head(const struct perf_group_options *o)
{
	if (o->common.csv)
		printf("what,contender,ranks,bytes,usec_avg,usec_min,usec_max,operations\n");
	else
		printf("\n%-14s %-10s %6s %11s %12s %12s %12s %10s\n", "what", "contender", "ranks", "bytes",
		    "avg usec", "min usec", "max usec", "operations");
	fflush(stdout);
}

void perf_group_report_row(const struct perf_group_options *o, const struct perf_group_row *r)
{
	printf(o->common.csv ? "%s,%s,%d,%zu,%.3f,%.3f,%.3f,%llu\n"
	                     : "%-14s %-10s %6d %11zu %12.2f %12.2f %12.2f %10llu\n",
	    perf_group_name(r->what), CONTENDER, r->ranks, r->bytes, r->usec_avg, r->usec_min, r->usec_max,
	    (unsigned long long)r->operations);
	fflush(stdout);
}

void perf_group_report_tune_begin(const struct perf_group_options *o)
{
	if (o->common.csv)
		printf("what,ranks,bytes,short_usec,long_usec,long_per_short\n");
	else
		printf("\n%-14s %6s %11s %12s %12s %12s\n", "what", "ranks", "bytes", "short usec",
		    "long usec", "long/short");
	fflush(stdout);
}

void perf_group_report_tune_row(const struct perf_group_options *o, const struct perf_group_row *s,
    const struct perf_group_row *l)
{
	printf(o->common.csv ? "%s,%d,%zu,%.3f,%.3f,%.3f\n" : "%-14s %6d %11zu %12.2f %12.2f %12.3f\n",
	    perf_group_name(s->what), s->ranks, s->bytes, s->usec_avg, l->usec_avg,
	    s->usec_avg > 0 ? l->usec_avg / s->usec_avg : 0);
	fflush(stdout);
}

void perf_group_report_tune_end(const struct perf_group_options *o, const char *list)
{
	if (*list != '\0')
		printf("%sHAUL_TUNING=%s\n", o->common.csv ? "# " : "\n", list);
	fflush(stdout);
}

void perf_group_report_stats_begin(const struct perf_group_options *o)
{
	if (o->common.csv)
		printf(
		    "\nwhat,contender,ranks,bytes,messages_per_op,copied_bytes_per_op,polls_per_op,"
		    "empty_polls_per_op,frames_per_poll,bells_per_op,sleeps_per_op,assisted_bytes_per_op\n");
	else
		printf("\n%-14s %-10s %6s %11s %9s %12s %10s %10s %12s %9s %9s %12s\n", "what", "contender",
		    "ranks", "bytes", "msgs/op", "copied/op", "polls/op", "empty/op", "frames/poll",
		    "bells/op", "sleeps/op", "assisted/op");
}

/* A figure that there may not be. */
static void cell(const struct perf_group_options *o, bool there, int width, int places, double figure)
{
	putchar(o->common.csv ? ',' : ' ');
	if (there)
		printf("%*.*f", o->common.csv ? 0 : width, places, figure);
	else if (!o->common.csv)
		printf("%*s", width, "-");
}

void perf_group_report_stats_row(const struct perf_group_options *o, const struct perf_group_row *r)
{
	const struct perf_group_counters *c = &r->counters;
	double n = (double)r->operations, found = (double)(c->polls - c->empty_polls);
	printf(o->common.csv ? "%s,%s,%d,%zu" : "%-14s %-10s %6d %11zu", perf_group_name(r->what), CONTENDER,
	    r->ranks, r->bytes);
	cell(o, true, 9, 2, (double)c->messages / n);
	cell(o, true, 12, 0, (double)c->copied_bytes / n);
	cell(o, true, 10, 2, (double)c->polls / n);
	cell(o, true, 10, 2, (double)c->empty_polls / n);
	cell(o, found > 0, 12, 2, found > 0 ? (double)c->polled_frames / found : 0);
	cell(o, true, 9, 3, (double)c->bells / n);
	cell(o, true, 9, 3, (double)c->sleeps / n);
	cell(o, true, 12, 0, (double)c->assisted_bytes / n);
	putchar('\n');
}
