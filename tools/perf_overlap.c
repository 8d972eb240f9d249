/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How much of a long message moves while its sender computes: the body of `haul perf --what overlap` in both
 * processes. It belongs to no contender; those that can begin a message and finish it later are put to it.
 *
 * An iteration, as the sender times it:
 *
 *     sends  PERF_SENDS short messages, one after the other: what a begin may be compared with
 *     comm   a message begun and finished
 *     comp   the computation alone, made as long as comm was just now
 *     both   a message begun, the computation, the message finished
 *
 * Each message is begun when the receiver, by a token, has said that it waits for it. The computation uses
 * registers only and calls nobody: what moves in its time, others move.
 */
#include "perf.h"

enum {
	SEND_LEN = 8,
	SIZE_LEAST = (64 << 10) + 1, /* haul may send shorter ones eagerly: they are gone when begun */
	LOOPS_SHORT = 1 << 14,       /* enough to time, a moment only */
};

/* What process 0 measures in a part, in ns. */
static uint64_t sends[PERF_MAX_MESSAGES], comm[PERF_MAX_MESSAGES], comp[PERF_MAX_MESSAGES],
    both[PERF_MAX_MESSAGES], begins[2 * PERF_MAX_MESSAGES];

static void compute(uint64_t loops)
{
	uint64_t x = 88172645463325252; /* any but 0 */
	while (loops-- > 0) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		__asm__ volatile("" : "+r"(x)); /* every step is wanted */
	}
}

/* Message i begun, `loops` of computation, and finished. How long the begin took, and all. */
static int transfer(struct perf_end *e, uint64_t i, uint64_t loops, uint64_t *begin_ns, uint64_t *all_ns)
{
	const struct contender *c = e->round->contender;

	if (perf_token_take(e) < 0)
		return -1;
	uint64_t start = perf_now();
	if (c->begin(e, i) < 0)
		return -1;
	*begin_ns = perf_now() - start;
	compute(loops);
	if (c->finish(e, i) < 0)
		return -1;
	*all_ns = perf_now() - start;
	return 0;
}

static int short_sends(struct perf_end *e, uint64_t *all_ns)
{
	struct perf_end shorter = *e;
	shorter.out.len = SEND_LEN;
	uint64_t start = perf_now();
	for (uint64_t i = 0; i < PERF_SENDS; i++)
		if (e->round->contender->send(&shorter, i) < 0)
			return -1;
	*all_ns = perf_now() - start;
	return 0;
}

/* How long `loops` of it take. The pace is the best so far: whatever was slower was interrupted. */
static uint64_t time_computation(uint64_t loops, double *ns_per_loop)
{
	uint64_t start = perf_now();
	compute(loops);
	uint64_t ns = perf_now() - start;
	if ((double)ns < *ns_per_loop * (double)loops)
		*ns_per_loop = (double)ns / (double)loops;
	return ns;
}

static int run_sender(struct perf_end *e, uint64_t n)
{
	static double ns_per_loop = 1e9;
	struct perf_overlap *result = &e->report->overlap;

	for (uint64_t i = 0; i < n; i++) {
		if (short_sends(e, &sends[i]) < 0 || transfer(e, 2 * i, 0, &begins[2 * i], &comm[i]) < 0)
			return -1;
		time_computation(LOOPS_SHORT, &ns_per_loop);
		uint64_t loops = (uint64_t)((double)comm[i] / ns_per_loop) + 1;
		comp[i] = time_computation(loops, &ns_per_loop);
		if (transfer(e, 2 * i + 1, loops, &begins[2 * i + 1], &both[i]) < 0)
			return -1;
		perf_stamp(e);
	}
	result->comm_ns = perf_stats_middle(comm, n);
	result->comp_ns = perf_stats_middle(comp, n);
	result->both_ns = perf_stats_middle(both, n);
	result->begin_ns = perf_stats_middle(begins, 2 * n);
	result->sends_ns = perf_stats_middle(sends, n);
	return 0;
}

static int run_receiver(struct perf_end *e, uint64_t n)
{
	const struct contender *c = e->round->contender;
	struct perf_end shorter = *e;

	shorter.in.len = SEND_LEN;
	for (uint64_t i = 0; i < n; i++) {
		for (uint64_t s = 0; s < PERF_SENDS; s++)
			if (c->recv(&shorter, s) < 0)
				return -1;
		for (uint64_t m = 2 * i; m < 2 * i + 2; m++)
			if (c->begin(e, m) < 0 || perf_token_give(e) < 0 || c->finish(e, m) < 0)
				return -1;
	}
	return 0;
}

int perf_overlap_run(struct perf_end *e, uint64_t n)
{
	if (e->round->bytes < SIZE_LEAST)
		return perf_fail(e, "overlap is measured by messages of at least %d bytes", SIZE_LEAST);
	return e->rank == 0 ? run_sender(e, n) : run_receiver(e, n);
}
