/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The collectives that haul perf measures: which buffers each takes, its call, and what must come of it.
 *
 * The size of a row is that of a block for each member (gather, scatter, allgather, alltoall), or of the whole
 * vector that each contributes or gets, as it is in other benchmarks of collectives. The root is rank 0. Bytes
 * depend on the sender, the slot and the position, as between pairs; numbers on the same three, and are small whole
 * ones, so that a sum is the same in any order.
 */
#include "perf_group.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { ROOT = 0 };

/* How long a buffer is: a row's size, that for each member, or what is left of it for one of them. */
enum extent { NONE, ONE, ALL, OWN };

struct op {
	const char *name;
	enum extent from, into, root_from, root_into; /* at the root, if that differs from the others */
	bool rooted;
	bool numbers;
	int (*call)(struct perf_group_end *e, const void *from, void *into);
	bool (*check)(const struct perf_group_end *e, const unsigned char *into, unsigned slot);
};

static const struct haul_operator sum = { .operation = HAUL_SUM, .type = HAUL_FLOAT };

/* ---- calls ---- */

static int call_barrier(struct perf_group_end *e, const void *from, void *into)
{
	(void)from;
	(void)into;
	return haul_barrier(e->g, -1);
}

/* What the root has is not written to. */
static int call_bcast(struct perf_group_end *e, const void *from, void *into)
{
	return haul_bcast(e->g, ROOT, e->rank == ROOT ? (void *)(uintptr_t)from : into, e->bytes, -1);
}

static int call_gather(struct perf_group_end *e, const void *from, void *into)
{
	return haul_gather(e->g, ROOT, from, e->bytes, into, -1);
}

static int call_scatter(struct perf_group_end *e, const void *from, void *into)
{
	return haul_scatter(e->g, ROOT, from, into, e->bytes, -1);
}

static int call_allgather(struct perf_group_end *e, const void *from, void *into)
{
	return haul_allgather(e->g, from, e->bytes, into, -1);
}

static int call_alltoall(struct perf_group_end *e, const void *from, void *into)
{
	return haul_alltoall(e->g, from, into, e->bytes, -1);
}

static int call_reduce(struct perf_group_end *e, const void *from, void *into)
{
	return haul_reduce(e->g, ROOT, &sum, from, into, e->bytes / sizeof(float), -1);
}

static int call_allreduce(struct perf_group_end *e, const void *from, void *into)
{
	return haul_allreduce(e->g, &sum, from, into, e->bytes / sizeof(float), -1);
}

static int call_reduce_scatter(struct perf_group_end *e, const void *from, void *into)
{
	return haul_reduce_scatter(e->g, &sum, from, into, e->counts, -1);
}

static int call_scan(struct perf_group_end *e, const void *from, void *into)
{
	return haul_scan(e->g, &sum, from, into, e->bytes / sizeof(float), -1);
}

static int call_exscan(struct perf_group_end *e, const void *from, void *into)
{
	return haul_exscan(e->g, &sum, from, into, e->bytes / sizeof(float), -1);
}

/* ---- what must come ---- */

/* Number `at` of `ranks` members added up, from rank 0 on. */
static float number(int ranks, unsigned slot, size_t at)
{
	int whole = ranks / 8, rest = ranks % 8;
	int sum_of_ranks = whole * 28 + rest * (rest - 1) / 2; /* each modulo 8 */
	return (float)(ranks * (1 + (int)((at + 3 * slot) % 61)) + sum_of_ranks);
}

static bool holds_sums(const unsigned char *into, size_t count, int ranks, unsigned slot, size_t at)
{
	const float *numbers = (const float *)(const void *)into;
	for (size_t i = 0; i < count; i++)
		if (numbers[i] < number(ranks, slot, at + i) || numbers[i] > number(ranks, slot, at + i) ||
		    numbers[i] != numbers[i])
			return false;
	return true;
}

static bool check_nothing(const struct perf_group_end *e, const unsigned char *into, unsigned slot)
{
	(void)e;
	(void)into;
	(void)slot;
	return true;
}

static bool check_bcast(const struct perf_group_end *e, const unsigned char *into, unsigned slot)
{
	return perf_buffers_holds(into, e->bytes, ROOT, slot, 0);
}

static bool check_scatter(const struct perf_group_end *e, const unsigned char *into, unsigned slot)
{
	return perf_buffers_holds(into, e->bytes, ROOT, slot, (size_t)e->rank * e->bytes);
}

/* Of each member the block that is at this place there. */
static bool holds_blocks(const struct perf_group_end *e, const unsigned char *into, unsigned slot, size_t at)
{
	for (int i = 0; i < e->size; i++)
		if (!perf_buffers_holds(into + (size_t)i * e->bytes, e->bytes, i, slot, at))
			return false;
	return true;
}

static bool check_gather(const struct perf_group_end *e, const unsigned char *into, unsigned slot)
{
	return holds_blocks(e, into, slot, 0);
}

static bool check_alltoall(const struct perf_group_end *e, const unsigned char *into, unsigned slot)
{
	return holds_blocks(e, into, slot, (size_t)e->rank * e->bytes);
}

static bool check_reduce(const struct perf_group_end *e, const unsigned char *into, unsigned slot)
{
	return holds_sums(into, e->bytes / sizeof(float), e->size, slot, 0);
}

static bool check_reduce_scatter(const struct perf_group_end *e, const unsigned char *into, unsigned slot)
{
	size_t at = 0;
	for (int i = 0; i < e->rank; i++)
		at += e->counts[i];
	return holds_sums(into, e->counts[e->rank], e->size, slot, at);
}

static bool check_scan(const struct perf_group_end *e, const unsigned char *into, unsigned slot)
{
	return holds_sums(into, e->bytes / sizeof(float), e->rank + 1, slot, 0);
}

static bool check_exscan(const struct perf_group_end *e, const unsigned char *into, unsigned slot)
{
	return e->rank == 0 ? perf_buffers_cleared(into, e->bytes)
	                    : holds_sums(into, e->bytes / sizeof(float), e->rank, slot, 0);
}

/* ---- the table ---- */

static const struct op ops[PERF_GROUP_WHATS] = {
	[PERF_BARRIER] = { .name = "barrier", .call = call_barrier, .check = check_nothing },
	[PERF_BCAST] = { .name = "bcast",
	    .into = ONE,
	    .rooted = true,
	    .root_from = ONE,
	    .call = call_bcast,
	    .check = check_bcast },
	[PERF_GATHER] = { .name = "gather",
	    .from = ONE,
	    .rooted = true,
	    .root_from = ONE,
	    .root_into = ALL,
	    .call = call_gather,
	    .check = check_gather },
	[PERF_SCATTER] = { .name = "scatter",
	    .into = ONE,
	    .rooted = true,
	    .root_from = ALL,
	    .root_into = ONE,
	    .call = call_scatter,
	    .check = check_scatter },
	[PERF_ALLGATHER] = { .name = "allgather",
	    .from = ONE,
	    .into = ALL,
	    .call = call_allgather,
	    .check = check_gather },
	[PERF_ALLTOALL] = { .name = "alltoall",
	    .from = ALL,
	    .into = ALL,
	    .call = call_alltoall,
	    .check = check_alltoall },
	[PERF_REDUCE] = { .name = "reduce",
	    .from = ONE,
	    .rooted = true,
	    .root_from = ONE,
	    .root_into = ONE,
	    .numbers = true,
	    .call = call_reduce,
	    .check = check_reduce },
	[PERF_ALLREDUCE] = { .name = "allreduce",
	    .from = ONE,
	    .into = ONE,
	    .numbers = true,
	    .call = call_allreduce,
	    .check = check_reduce },
	[PERF_REDUCE_SCATTER] = { .name = "reduce_scatter",
	    .from = ONE,
	    .into = OWN,
	    .numbers = true,
	    .call = call_reduce_scatter,
	    .check = check_reduce_scatter },
	[PERF_SCAN] = { .name = "scan",
	    .from = ONE,
	    .into = ONE,
	    .numbers = true,
	    .call = call_scan,
	    .check = check_scan },
	[PERF_EXSCAN] = { .name = "exscan",
	    .from = ONE,
	    .into = ONE,
	    .numbers = true,
	    .call = call_exscan,
	    .check = check_exscan },
};

const char *perf_group_name(enum perf_group_what what)
{
	return ops[what].name;
}

bool perf_group_has_bytes(enum perf_group_what what)
{
	return what != PERF_BARRIER;
}

size_t perf_group_unit(enum perf_group_what what)
{
	return ops[what].numbers ? sizeof(float) : 1;
}

/* ---- buffers ---- */

static size_t length(const struct perf_group_end *e, enum extent extent)
{
	switch (extent) {
	case NONE:
		return 0;
	case ONE:
		return e->bytes;
	case ALL:
		return e->bytes * (size_t)e->size;
	case OWN:
		return e->counts[e->rank] * sizeof(float);
	}
	return 0;
}

static int make(const struct perf_group_end *e, struct perf_buffers *b, enum extent extent)
{
	size_t len = length(e, extent);
	*b = (struct perf_buffers){ 0 };
	return extent == NONE
	    ? 0
	    : perf_buffers_map(b, e->options->common.buffers, len > 0 ? len : 1, e->options->common.huge);
}

static void fill_numbers(const struct perf_group_end *e)
{
	for (unsigned slot = 0; slot < e->from.count; slot++) {
		float *numbers = (float *)(void *)perf_slot(&e->from, slot);
		for (size_t i = 0; i < e->from.len / sizeof(float); i++)
			numbers[i] = number(e->rank + 1, slot, i) - number(e->rank, slot, i);
	}
}

/* As evenly as can be, the first have one more. */
static int share_out(struct perf_group_end *e)
{
	size_t count = e->bytes / sizeof(float), size = (size_t)e->size;
	if ((e->counts = calloc(size, sizeof(e->counts[0]))) == NULL)
		return -1;
	for (size_t i = 0; i < size; i++)
		e->counts[i] = count / size + (i < count % size);
	return 0;
}

int perf_group_prepare(struct perf_group_end *e)
{
	const struct op *op = &ops[e->what];
	bool root = op->rooted && e->rank == ROOT;

	e->counts = NULL;
	if (share_out(e) < 0 || make(e, &e->from, root ? op->root_from : op->from) < 0 ||
	    make(e, &e->into, root ? op->root_into : op->into) < 0)
		return -1;
	if (e->from.base != NULL && op->numbers)
		fill_numbers(e);
	else if (e->from.base != NULL)
		perf_buffers_fill(&e->from, e->rank);
	perf_group_clear(e);
	return 0;
}

void perf_group_dispose(struct perf_group_end *e)
{
	if (e->from.base != NULL)
		munmap(e->from.base, e->from.stride * e->from.count);
	if (e->into.base != NULL)
		munmap(e->into.base, e->into.stride * e->into.count);
	free(e->counts);
}

void perf_group_clear(struct perf_group_end *e)
{
	if (e->into.base != NULL)
		perf_buffers_clear(&e->into);
}

int perf_group_call(struct perf_group_end *e, uint64_t i)
{
	return ops[e->what].call(e, e->from.base != NULL ? perf_slot(&e->from, i) : NULL,
	    e->into.base != NULL ? perf_slot(&e->into, i) : NULL);
}

bool perf_group_check(const struct perf_group_end *e, uint64_t operations)
{
	if (e->into.base == NULL)
		return true;
	for (unsigned slot = 0; slot < e->into.count && slot < operations; slot++)
		if (!ops[e->what].check(e, perf_slot(&e->into, slot), slot))
			return false;
	return true;
}
