/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A node: a process that opens a context, does random things until it is asked to leave or the run is over, closes it
 * and looks whether it left anything; node 1 then begins anew. Says every second what it uses.
 */
#include "soak_node.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static unsigned me = NODES; /* the controller */

void doing(const char *what)
{
	atomic_store_explicit(&board->nodes[me].doing, what, memory_order_relaxed);
}

void fail(const char *words, ...)
{
	char line[600];
	va_list args;
	va_start(args, words);
	vsnprintf(line, sizeof(line), words, args);
	va_end(args);
	if (me == NODES) {
		fprintf(stderr, "soak: %s\n", line);
		exit(1);
	}
	term_shaky(me); /* the others need not wonder */
	fprintf(stderr, "soak: node %u (pid %d, %s, %s), in %s: %s\n", me, (int)getpid(),
	    board->nodes[me].flavour,
	    board->nodes[me].refusal != NULL ? board->nodes[me].refusal : "not refused",
	    board->nodes[me].doing, line);
	_exit(1);
}

/* ---- what it uses ---- */

/* 0 if it can't be told: who is not dumpable doesn't own its own /proc. */
static uint64_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t count = 0;
	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count - 3; /* ".", "..", and its own */
}

static uint64_t resident(void)
{
	unsigned long long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu %llu", &size, &pages) != 2)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void measure(struct measure *m)
{
	struct mallinfo2 i = mallinfo2();
	m->in_use = i.uordblks + i.hblkhd;
	m->rss = resident();
	m->fds = count_fds();
}

static void tell_stats(struct node *n)
{
	struct haul_stats s;
	int rc = haul_stats(n->haul, &s, sizeof(s));
	if (rc != 0)
		fail("haul_stats: %s", strerror(-rc));
	atomic_fetch_add(&board->bytes[HAUL_PATH_EAGER],
	    s.received_eager_bytes - n->stats.received_eager_bytes);
	atomic_fetch_add(&board->bytes[HAUL_PATH_PULL], s.received_pull_bytes - n->stats.received_pull_bytes);
	atomic_fetch_add(&board->bytes[HAUL_PATH_STREAM],
	    s.received_stream_bytes - n->stats.received_stream_bytes);
	atomic_fetch_add(&board->bytes[HAUL_PATH_PUSH], s.received_push_bytes - n->stats.received_push_bytes);
	n->stats = s;
}

/* ---- one context ---- */

/* All buffers there will ever be, so that what is resident does not grow with what happens to be used. */
static void warm(struct node *n)
{
	static const size_t lengths[] = { 1, 4096, 65536, 4 << 20 };
	static struct buffer *taken[256];
	arena_init(&n->arena, false);
	for (int use = 0; use < 2; use++) {
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			size_t count = 0;
			while ((taken[count] = arena_take(&n->arena, use, lengths[i], &n->random)) != NULL)
				count++;
			while (count > 0)
				arena_give(&n->arena, taken[--count]);
		}
	}
}

static void open_context(struct node *n)
{
	struct haul_options options;
	board->nodes[n->index].flavour = flavour_pick(&n->random, &options);
	doing("haul_open");
	int rc = haul_open(&n->haul, &options, sizeof(options));
	if (rc != 0)
		fail("haul_open: %s", haul_reason());
	n->leaving = false;
	memset(&n->stats, 0, sizeof(n->stats));
	links_open(n);
	count(COUNT_CONTEXTS);
}

static void close_context(struct node *n, uint64_t fds)
{
	static const int lingers[] = { 0, 100, 3000 };
	n->leaving = true;
	term_shaky(n->index);
	traffic_end(n);
	tell_stats(n);
	doing("haul_close");
	int rc = haul_close(n->haul, lingers[below(n, 3)]);
	while (rc == -EBUSY) /* a peer, stopped perhaps, may still write into a receive */
		rc = haul_close(n->haul, 100);
	if (rc != 0 && rc != -ETIMEDOUT)
		fail("haul_close: %s (%s)", strerror(-rc), haul_reason());
	traffic_forget(n);
	links_close(n);
	doing("the end of an arena");
	uint64_t now = count_fds();
	if (now != fds && now != 0)
		fail("%llu descriptors were open before the context, and %llu are after it",
		    (unsigned long long)fds, (unsigned long long)now);
}

static void refuse(struct node *n)
{
	const char *name = refusal_pick(&n->random);
	if (name == NULL)
		return;
	board->nodes[n->index].refusal = name;
	count(COUNT_REFUSED);
}

/* Until it is asked to leave, or so many milliseconds have passed. */
static void run_context(struct node *n, int64_t refuse_at, int64_t until)
{
	enum { STEADY_MS = 3000 };
	int64_t start = n->own_ms, measured = 0, last = now_ms();
	while (!board->over && !board->nodes[n->index].leave && n->own_ms < until) {
		links_tend(n);
		traffic_step(n);
		int64_t now = now_ms(), passed = now - last;
		n->own_ms += passed < 200 ? passed : 200; /* more is not its own */
		last = now;
		if (n->own_ms >= refuse_at && board->nodes[n->index].refusal == NULL) {
			refuse(n);
			refuse_at = INT64_MAX;
		}
		if (n->own_ms - start > STEADY_MS)
			term_steady(n->index);
		if (now - measured >= 1000) {
			measured = now;
			tell_stats(n);
			measure(&board->nodes[n->index].now);
		}
	}
}

void node_live(unsigned index, uint64_t random)
{
	struct node n = { .index = index, .random = random };
	uint64_t fds = count_fds();
	int64_t refuse_at = INT64_MAX;
	me = index;
	mallopt(M_ARENA_MAX, 1); /* or mallinfo2() would not see all */
	board->nodes[index].refusal = NULL;
	board->nodes[index].pid = getpid();
	if (index >= LASTING && chance(&n, 2))
		refuse_at = chance(&n, 3) ? 0 : (int64_t)below(&n, 8000);
	if (refuse_at == 0)
		refuse(&n);
	while (!board->over && !board->nodes[index].leave) {
		warm(&n);
		n.streams = calloc(STREAMS, sizeof(*n.streams));
		if (n.streams == NULL)
			fail("no memory");
		open_context(&n);
		run_context(&n, refuse_at,
		    index == 1 ? n.own_ms + 8000 + (int64_t)below(&n, 8000) : INT64_MAX);
		close_context(&n, fds);
		arena_fini(&n.arena);
		free(n.streams);
		measure(&board->nodes[index].at_rest);
	}
	exit(0);
}
