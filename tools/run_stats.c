/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of --stats. What the kernel has counted of a rank is known of any program; the rest is what ranks that use
 * the library have said of themselves (JOB_STATS), which may be anything.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "run.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const heads[RUN_COUNTS] = {
	[RUN_SENT] = "sent",
	[RUN_RECEIVED] = "received",
	[RUN_SENT_BYTES] = "bytes-sent",
	[RUN_RECEIVED_BYTES] = "bytes-received",
	[RUN_PULLED_BYTES] = "bytes-pulled",
	[RUN_POLLED] = "frames-polled",
	[RUN_SLEEPS] = "sleeps",
};

/* Of struct haul_stats: what is added to which column. */
static const struct {
	const char *name;
	enum run_count count;
} parts[] = {
	{ "sent_eager", RUN_SENT },
	{ "sent_pull", RUN_SENT },
	{ "sent_stream", RUN_SENT },
	{ "sent_push", RUN_SENT },
	{ "received_eager", RUN_RECEIVED },
	{ "received_pull", RUN_RECEIVED },
	{ "received_stream", RUN_RECEIVED },
	{ "received_push", RUN_RECEIVED },
	{ "sent_eager_bytes", RUN_SENT_BYTES },
	{ "sent_pull_bytes", RUN_SENT_BYTES },
	{ "sent_stream_bytes", RUN_SENT_BYTES },
	{ "sent_push_bytes", RUN_SENT_BYTES },
	{ "received_eager_bytes", RUN_RECEIVED_BYTES },
	{ "received_pull_bytes", RUN_RECEIVED_BYTES },
	{ "received_stream_bytes", RUN_RECEIVED_BYTES },
	{ "received_push_bytes", RUN_RECEIVED_BYTES },
	{ "received_pull_bytes", RUN_PULLED_BYTES },
	{ "polled_frames", RUN_POLLED },
	{ "sleeps", RUN_SLEEPS },
};

static void add(struct run_stats *s, const char *name, size_t len, uint64_t value)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strncmp(parts[i].name, name, len) == 0 && parts[i].name[len] == '\0') {
			s->counts[parts[i].count] += value;
			s->said = true;
		}
}

/* Lines that are none are skipped. */
void run_stats_said(struct run_stats *s, const char *text)
{
	for (const char *line = text, *next; *line != '\0'; line = next) {
		size_t len = strcspn(line, "\n"), name = strcspn(line, " \n");
		char *end;
		next = line + len + (line[len] == '\n');
		if (line[name] != ' ' || !isdigit((unsigned char)line[name + 1]))
			continue;
		errno = 0;
		uint64_t value = strtoull(line + name + 1, &end, 10);
		if (errno == 0 && end == line + len)
			add(s, line, name, value);
	}
}

/* ---- the table ---- */

enum { RANK, COUNTS, USER = COUNTS + RUN_COUNTS, SYSTEM, RESIDENT, COLUMNS };

struct row {
	char cells[COLUMNS][24];
};

static struct row row_of(const char *name, const struct run_stats *s)
{
	struct row row;
	snprintf(row.cells[RANK], sizeof(row.cells[0]), "%s", name);
	for (int i = 0; i < RUN_COUNTS; i++)
		if (s->said)
			snprintf(row.cells[COUNTS + i], sizeof(row.cells[0]), "%" PRIu64, s->counts[i]);
		else
			snprintf(row.cells[COUNTS + i], sizeof(row.cells[0]), "-");
	snprintf(row.cells[USER], sizeof(row.cells[0]), "%.2f", s->user_s);
	snprintf(row.cells[SYSTEM], sizeof(row.cells[0]), "%.2f", s->system_s);
	snprintf(row.cells[RESIDENT], sizeof(row.cells[0]), "%" PRIu64, s->resident_kib);
	return row;
}

static struct row row_of_heads(void)
{
	struct row row = {
		.cells = { [RANK] = "rank", [USER] = "user-s", [SYSTEM] = "system-s", [RESIDENT] = "rss-KiB" }
	};
	for (int i = 0; i < RUN_COUNTS; i++)
		snprintf(row.cells[COUNTS + i], sizeof(row.cells[0]), "%s", heads[i]);
	return row;
}

static void widen(int *widths, const struct row *row)
{
	for (int i = 0; i < COLUMNS; i++)
		if ((int)strlen(row->cells[i]) > widths[i])
			widths[i] = (int)strlen(row->cells[i]);
}

static void print(const struct row *row, const int *widths)
{
	for (int i = 0; i < COLUMNS; i++)
		fprintf(stderr, "%*s%s", widths[i], row->cells[i], i + 1 < COLUMNS ? "  " : "\n");
}

static void sum_up(struct run_stats *sum, const struct run_stats *s)
{
	for (int i = 0; i < RUN_COUNTS; i++)
		sum->counts[i] += s->counts[i];
	sum->said |= s->said;
	sum->user_s += s->user_s;
	sum->system_s += s->system_s;
	sum->resident_kib += s->resident_kib;
}

void run_stats_print(const struct run_rank *ranks, unsigned count)
{
	struct run_stats sum = { 0 };
	for (unsigned i = 0; i < count; i++)
		sum_up(&sum, &ranks[i].stats);
	/* No other row has a wider cell. */
	struct row first = row_of_heads(), last = row_of("all", &sum);
	int widths[COLUMNS] = { 0 };
	widen(widths, &first);
	widen(widths, &last);
	print(&first, widths);
	for (unsigned i = 0; i < count; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%u", ranks[i].rank);
		struct row row = row_of(name, &ranks[i].stats);
		print(&row, widths);
	}
	print(&last, widths);
}
