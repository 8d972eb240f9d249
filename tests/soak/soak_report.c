/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the lasting nodes use: sampled, printed, and compared: the median of the last third of the samples may exceed
 * that of the first by a tolerance, which is what random traffic makes of it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "soak_herd.h"

enum { SAMPLES_MOST = 100000 };

static const struct {
	const char *name;
	unsigned node;
	bool at_rest;
	enum { RSS, IN_USE, FDS } what;
	double percent, more; /* tolerated: both together */
} series[] = {
	{ "node 0, resident", 0, false, RSS, 3, 4 << 20 },
	{ "node 0, in use", 0, false, IN_USE, 10, 512 << 10 },
	{ "node 0, descriptors", 0, false, FDS, 0, 2 },
	{ "node 1, resident", 1, false, RSS, 3, 4 << 20 },
	{ "node 1, in use", 1, false, IN_USE, 10, 512 << 10 },
	{ "node 1, descriptors", 1, false, FDS, 0, 2 },
	{ "node 1 without a context, in use", 1, true, IN_USE, 0, 1 << 10 },
	{ "node 1 without a context, descriptors", 1, true, FDS, 0, 0 },
};

enum { SERIES = sizeof(series) / sizeof(series[0]) };

static double *samples[SERIES];
static size_t taken;

static uint64_t value(const struct measure *m, int what)
{
	return what == RSS ? m->rss : what == IN_USE ? m->in_use : m->fds;
}

/* Not before node 1 has been at rest for the first time. */
void report_sample(void)
{
	if (board->nodes[1].at_rest.rss == 0 || taken == SAMPLES_MOST)
		return;
	for (size_t i = 0; i < SERIES; i++) {
		if (samples[i] == NULL && (samples[i] = calloc(SAMPLES_MOST, sizeof(double))) == NULL)
			fail("no memory");
		const struct measure *m = series[i].at_rest ? &board->nodes[series[i].node].at_rest
		                                            : &board->nodes[series[i].node].now;
		samples[i][taken] = (double)value(m, series[i].what);
	}
	taken++;
}

static double mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

void report_line(const struct herd *h)
{
	static unsigned lines;
	if (lines++ % 20 == 0)
		printf("%6s %5s %5s %5s %6s %7s %9s %8s %8s %8s %8s | %8s %8s %3s | %8s %8s %3s %9s\n", "s",
		    "kills", "stops", "leave", "starts", "refused", "received", "eager MB", "pull MB",
		    "strm MB", "push MB", "0: rss", "in use", "fds", "1: rss", "in use", "fds", "at rest");
	printf("%6.0f %5llu %5llu %5llu %6llu %7llu %9llu %8.0f %8.0f %8.0f %8.0f |",
	    (double)(now_ms() - board->start_ms) / 1000, (unsigned long long)h->events[EVENT_KILL],
	    (unsigned long long)h->events[EVENT_STOP], (unsigned long long)h->events[EVENT_LEAVE],
	    (unsigned long long)h->events[EVENT_START], (unsigned long long)board->counts[COUNT_REFUSED],
	    (unsigned long long)board->counts[COUNT_RECEIVED], mib(board->bytes[HAUL_PATH_EAGER]),
	    mib(board->bytes[HAUL_PATH_PULL]), mib(board->bytes[HAUL_PATH_STREAM]),
	    mib(board->bytes[HAUL_PATH_PUSH]));
	for (unsigned i = 0; i < LASTING; i++) {
		const struct measure *m = &board->nodes[i].now;
		printf(" %7.1fM %7.0fK %3llu %s", mib(m->rss), mib(m->in_use) * 1024,
		    (unsigned long long)m->fds, i == 0 ? "|" : "");
	}
	printf("%8.1fK\n", mib(board->nodes[1].at_rest.in_use) * 1024);
	fflush(stdout);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double median(double *from, size_t count)
{
	qsort(from, count, sizeof(*from), compare);
	return from[count / 2];
}

bool report_flat(void)
{
	bool flat = true;
	size_t third = taken / 3;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	printf("a sanitizer keeps what is freed: nothing can be told from what grew\n");
	return true;
#endif
	if (third < 6) { /* one moment is not like another */
		printf("too short to tell whether anything grew\n");
		return true;
	}
	printf("medians of %zu samples each: of the first third, of the last, tolerated\n", third);
	for (size_t i = 0; i < SERIES; i++) {
		double first = median(samples[i], third), last = median(samples[i] + taken - third, third);
		double most = first + first * series[i].percent / 100 + series[i].more;
		printf("%40s %12.0f %12.0f %12.0f %s\n", series[i].name, first, last, most,
		    last <= most ? "" : "GREW");
		flat = flat && last <= most;
	}
	return flat;
}
