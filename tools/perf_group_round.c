/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One row of haul perf in a group, as each rank goes through it: buffers; parts that double and more, which warm up
 * and show the pace; as many timed parts as there are rounds, of as many operations each; the check of what has
 * come.
 *
 * An operation is timed by itself and by each rank, and a barrier between two of them, which is not, lets all of
 * them begin at about the same time. How many make a part follows from the clock of rank 0, which tells the others,
 * so that all decide alike.
 */
#include "perf_group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 18 }; /* operations in a part */

void perf_group_must(struct perf_group_end *e, int rc, const char *call)
{
	char words[400];
	if (rc >= 0)
		return;
	snprintf(words, sizeof(words), "perf: at %s of %zu bytes: %s: %s", perf_group_name(e->what), e->bytes,
	    call, haul_reason());
	haul_group_abort(e->g, EXIT_FAILURE, words);
}

static struct haul_stats stats_now(struct perf_group_end *e)
{
	struct haul_stats s = { 0 };
	perf_group_must(e, haul_stats(e->h, &s, sizeof(s)), "haul_stats");
	return s;
}

static uint64_t sent(const struct haul_stats *s)
{
	return s->sent_eager + s->sent_pull + s->sent_stream + s->sent_push;
}

static void add_since(struct perf_group_counters *c, const struct haul_stats *before,
    const struct haul_stats *after)
{
	c->messages += sent(after) - sent(before);
	c->copied_bytes += after->copied_bytes - before->copied_bytes;
	c->polls += after->polls - before->polls;
	c->empty_polls += after->empty_polls - before->empty_polls;
	c->polled_frames += after->polled_frames - before->polled_frames;
	c->bells += after->bells_sent - before->bells_sent;
	c->sleeps += after->sleeps - before->sleeps;
	c->assisted_bytes += after->assisted_bytes - before->assisted_bytes;
}

/* What a rank tells rank 0 of a part. */
struct part {
	uint64_t ns; /* in operations */
	struct perf_group_counters counters;
	double astray;
	int32_t wrong;
};

/* k operations. Returns how long they took rank 0 with all that was between them. */
static uint64_t run_part(struct perf_group_end *e, uint64_t k, struct part *part)
{
	bool apart = e->what != PERF_BARRIER, count = e->options->common.stats;
	struct haul_stats before, after;

	*part = (struct part){ 0 };
	perf_group_clear(e);
	perf_group_must(e, haul_barrier(e->g, -1), "haul_barrier");
	uint64_t start = perf_now();
	for (uint64_t i = 0; i < k; i++) {
		if (count)
			before = stats_now(e);
		uint64_t begin = perf_now();
		int rc = perf_group_call(e, i);
		part->ns += perf_now() - begin;
		perf_group_must(e, rc, perf_group_name(e->what));
		if (count) {
			after = stats_now(e);
			add_since(&part->counters, &before, &after);
		}
		if (apart)
			perf_group_must(e, haul_barrier(e->g, -1), "haul_barrier");
	}
	uint64_t elapsed = perf_now() - start;
	perf_group_must(e, haul_bcast(e->g, 0, &elapsed, sizeof(elapsed), -1), "haul_bcast");
	return elapsed > 0 ? elapsed : 1;
}

/* Warms up, and finds out how many operations fill the budget. The first part makes connections, and tells nothing. */
static uint64_t find_pace(struct perf_group_end *e)
{
	uint64_t budget_ns = (uint64_t)e->options->common.budget_ms * 1000000;
	struct part part;
	run_part(e, PERF_MIN_MESSAGES / 2, &part);
	for (uint64_t k = PERF_MIN_MESSAGES / 2;;) {
		uint64_t elapsed = run_part(e, k, &part);
		double wanted = (double)k * (double)budget_ns / (double)elapsed;
		if (elapsed >= budget_ns / 4 || k >= MOST / 4) {
			uint64_t enough = wanted > MOST ? MOST : (uint64_t)wanted;
			return enough > PERF_MIN_MESSAGES ? enough : PERF_MIN_MESSAGES;
		}
		uint64_t most = k * 16 < MOST / 4 ? k * 16 : MOST / 4;
		k = wanted / 3 + 1 < (double)most ? (uint64_t)(wanted / 3) + 1 : most;
	}
}

static double find_astray(const struct perf_group_end *e)
{
	struct perf_buffers all[2];
	size_t count = 0;
	if (e->from.base != NULL)
		all[count++] = e->from;
	if (e->into.base != NULL)
		all[count++] = e->into;
	if (count == 0)
		return 0;
	double huge = perf_pages_huge(all, count);
	return e->options->common.huge ? 1 - huge : huge;
}

/* ---- what rank 0 makes of it ---- */

static void add_counters(struct perf_group_counters *c, const struct perf_group_counters *to_add)
{
	c->messages += to_add->messages;
	c->copied_bytes += to_add->copied_bytes;
	c->polls += to_add->polls;
	c->empty_polls += to_add->empty_polls;
	c->polled_frames += to_add->polled_frames;
	c->bells += to_add->bells;
	c->sleeps += to_add->sleeps;
	c->assisted_bytes += to_add->assisted_bytes;
}

/* One round, from the parts of all ranks. */
static void sum_up(struct perf_group_row *row, const struct part *parts)
{
	for (int i = 0; i < row->ranks; i++) {
		double usec = (double)parts[i].ns / 1e3 / (double)row->operations;
		row->usec_avg += usec / row->ranks;
		if (i == 0 || usec < row->usec_min)
			row->usec_min = usec;
		if (usec > row->usec_max)
			row->usec_max = usec;
		add_counters(&row->counters, &parts[i].counters);
		if (parts[i].astray > row->astray)
			row->astray = parts[i].astray;
		if (parts[i].wrong && row->wrong < 0)
			row->wrong = i;
	}
}

static int compare(const void *a, const void *b)
{
	const struct perf_group_row *x = a, *y = b;
	return (x->usec_avg > y->usec_avg) - (x->usec_avg < y->usec_avg);
}

/* The one in the middle, with what is wrong with any. */
static struct perf_group_row middle(struct perf_group_row *rounds, size_t count)
{
	struct perf_group_row last = rounds[count - 1];
	qsort(rounds, count, sizeof(rounds[0]), compare);
	struct perf_group_row row = rounds[(count - 1) / 2];
	row.astray = last.astray;
	row.wrong = last.wrong;
	return row;
}

void perf_group_measure(struct perf_group_end *e, struct perf_group_row *row)
{
	size_t rounds = e->options->common.rounds;
	struct perf_group_row *of_round = calloc(rounds, sizeof(*of_round));
	struct part *parts = calloc((size_t)e->size, sizeof(*parts)), part;

	if (of_round == NULL || parts == NULL || perf_group_prepare(e) < 0) {
		char words[200];
		snprintf(words, sizeof(words), "perf: %s of %zu bytes: memory for buffers: %s",
		    perf_group_name(e->what), e->bytes, strerror(errno));
		haul_group_abort(e->g, EXIT_FAILURE, words);
	}
	uint64_t operations = find_pace(e);
	for (size_t r = 0; r < rounds; r++) {
		of_round[r] = (struct perf_group_row){ .what = e->what,
			.ranks = e->size,
			.bytes = e->bytes,
			.operations = operations,
			.wrong = -1 };
		run_part(e, operations, &part);
		if (r == rounds - 1) {
			part.wrong = !perf_group_check(e, operations);
			part.astray = find_astray(e);
		}
		perf_group_must(e, haul_gather(e->g, 0, &part, sizeof(part), parts, -1), "haul_gather");
		if (e->rank == 0)
			sum_up(&of_round[r], parts);
	}
	*row = middle(of_round, rounds);
	perf_group_dispose(e);
	free(of_round);
	free(parts);
}
