/* SPDX-License-Identifier: BSD-3-Clause */
/* The output of haul perf: an aligned table, or CSV. Every row is flushed, for runs that take a while. */
#include "perf.h"

#include <haul/haul.h>

void perf_report_begin(const struct perf_options *o)
{
	FILE *out = o->common.csv ? stderr : stdout;
	int v = haul_version();

	double huge = perf_pages_try(o->common.huge);

	fprintf(out, "haul %d.%d.%d perf: %u round%s of %u ms, %u buffer%s, ", v / 10000, v / 100 % 100,
	    v % 100, o->common.rounds, o->common.rounds == 1 ? "" : "s", o->common.budget_ms,
	    o->common.buffers, o->common.buffers == 1 ? "" : "s");
	if (huge > 0 && huge < 1)
		fprintf(out, "%.0f %% huge pages, ", huge * 100);
	else
		fprintf(out, "%s pages, ", huge > 0 ? "huge" : "small");
	if (o->window != 0)
		fprintf(out, "window %u, ", o->window);
	else
		fprintf(out, "window %u (rate: %u), ", perf_kinds[PERF_BANDWIDTH].window,
		    perf_kinds[PERF_RATE].window);
	fprintf(out, "waiting by %s, ", o->spin ? "spinning" : "sleeping");
	if (perf_one_cpu(o))
		fprintf(out, "both processes pinned to CPU %d\n", o->cpus[0]);
	else if (o->pin)
		fprintf(out, "process A pinned to CPU %d, B to CPU %d\n", o->cpus[0], o->cpus[1]);
	else
		fprintf(out, "processes not pinned\n");
}

static bool takes_part(const struct perf_options *o, const struct contender *contender)
{
	for (size_t c = 0; c < o->contender_count; c++)
		if (o->contenders[c] == contender)
			return true;
	return false;
}

/* A table for people has no columns that are empty for want of a contender. */
static void main_head(const struct perf_options *o)
{
	if (o->common.csv)
		printf("what,contender,bytes,usec_p50,usec_p99,mb_per_s,msg_per_s%s",
		    o->cpu ? ",cpu_sec_per_gib,idle_cpu_percent" : "");
	else
		printf("%-10s %-10s %11s %12s %12s %11s %12s", "what", "contender", "bytes", "p50 usec",
		    "p99 usec", "MB/s", "msg/s");
	if (o->cpu && !o->common.csv)
		printf(" %10s %10s", "CPU s/GiB", "idle CPU %");
	for (size_t y = 0; y < PERF_YARDSTICKS; y++) {
		char name[16];
		snprintf(name, sizeof(name), "/%s", perf_yardsticks[y]->name);
		if (o->common.csv)
			printf(",%s_ratio", perf_yardsticks[y]->name);
		else if (takes_part(o, perf_yardsticks[y]))
			printf(" %9s", name);
	}
	putchar('\n');
}

/* A figure that there may not be. */
static void cell(const struct perf_options *o, bool there, int width, int places, double figure)
{
	putchar(o->common.csv ? ',' : ' ');
	if (there)
		printf("%*.*f", o->common.csv ? 0 : width, places, figure);
	else if (!o->common.csv)
		printf("%*s", width, "-");
}

void perf_report_head(const struct perf_options *o, enum perf_what what, bool first)
{
	if (!o->common.csv || !first)
		putchar('\n');
	if (what == PERF_MATCH && o->common.csv)
		printf("what,contender,bytes,outstanding,posted_ns,posted_ratio,unexpected_ns,unexpected_"
		       "ratio\n");
	else if (what == PERF_MATCH)
		printf("%-10s %-10s %11s %11s %12s %8s %14s %8s\n", "what", "contender", "bytes",
		    "outstanding", "posted ns", "ratio", "unexpected ns", "ratio");
	else if (what == PERF_OVERLAP && o->common.csv)
		printf("what,contender,bytes,comm_ms,comp_ms,both_ms,overlap_percent,isend_us,sends_us\n");
	else if (what == PERF_OVERLAP)
		printf("%-10s %-10s %11s %9s %9s %9s %9s %10s %11s\n", "what", "contender", "bytes",
		    "comm ms", "comp ms", "both ms", "overlap %", "isend us", "10 sends us");
	else
		main_head(o);
	fflush(stdout);
}

void perf_report_row(const struct perf_options *o, const struct perf_row *row)
{
	const struct perf_result *r = &row->result;
	printf(o->common.csv ? "%s,%s,%zu,%.3f,%.3f,%.3f,%.1f"
	                     : "%-10s %-10s %11zu %12.2f %12.2f %11.1f %12.0f",
	    perf_kinds[row->what].name, row->contender->name, row->bytes, r->usec_p50, r->usec_p99,
	    r->mb_per_s, r->msg_per_s);
	if (o->cpu) {
		cell(o, true, 10, 4, r->cpu_per_gib);
		cell(o, r->idle_percent >= 0, 10, 3, r->idle_percent);
	}
	for (size_t y = 0; y < PERF_YARDSTICKS; y++)
		if (o->common.csv || takes_part(o, perf_yardsticks[y]))
			cell(o, row->ratio[y] > 0, 9, 3, row->ratio[y]);
	putchar('\n');
	fflush(stdout);
}

void perf_report_match_row(const struct perf_options *o, const struct perf_match_row *r)
{
	printf(o->common.csv ? "%s,%s,%zu,%u,%.1f,%.3f,%.1f,%.3f\n"
	                     : "%-10s %-10s %11zu %11u %12.0f %8.2f %14.0f %8.2f\n",
	    perf_kinds[PERF_MATCH].name, r->contender->name, r->bytes, r->outstanding, r->posted_ns,
	    r->posted_ratio, r->unexpected_ns, r->unexpected_ratio);
	fflush(stdout);
}

void perf_report_overlap_row(const struct perf_options *o, const struct contender *c, size_t bytes,
    const struct perf_result *r)
{
	const struct perf_overlap *t = &r->overlap;
	_Static_assert(PERF_SENDS == 10, "the name of the column");
	printf(o->common.csv ? "%s,%s,%zu,%.4f,%.4f,%.4f,%.1f,%.3f,%.3f\n"
	                     : "%-10s %-10s %11zu %9.3f %9.3f %9.3f %9.1f %10.2f %11.2f\n",
	    perf_kinds[PERF_OVERLAP].name, c->name, bytes, (double)t->comm_ns / 1e6, (double)t->comp_ns / 1e6,
	    (double)t->both_ns / 1e6, r->overlap_percent, (double)t->begin_ns / 1e3,
	    (double)t->sends_ns / 1e3);
	fflush(stdout);
}

void perf_report_stats_begin(const struct perf_options *o)
{
	if (o->common.csv)
		printf(
		    "\nwhat,contender,bytes,polls_per_msg,empty_polls_per_msg,frames_per_poll,bells_per_msg,"
		    "assisted_bytes_per_msg\n");
	else
		printf("\n%-10s %-10s %11s %10s %10s %12s %10s %13s\n", "what", "contender", "bytes",
		    "polls/msg", "empty/msg", "frames/poll", "bells/msg", "assisted/msg");
}

void perf_report_stats_row(const struct perf_options *o, const struct perf_row *row)
{
	const struct perf_counters *c = &row->result.counters;
	double messages = row->result.messages, found = (double)(c->polls - c->empty_polls);
	printf(o->common.csv ? "%s,%s,%zu" : "%-10s %-10s %11zu", perf_kinds[row->what].name,
	    row->contender->name, row->bytes);
	cell(o, true, 10, 3, (double)c->polls / messages);
	cell(o, true, 10, 3, (double)c->empty_polls / messages);
	cell(o, found > 0, 12, 2, found > 0 ? (double)c->polled_frames / found : 0);
	cell(o, true, 10, 4, (double)c->bells / messages);
	cell(o, true, 13, 0, (double)c->assisted_bytes / messages);
	putchar('\n');
}
