/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One measurement of a contender: parts of so many messages, about each of which the two processes agree by messages of the
 * contender's own. Parts that grow warm up; then a figure is the middle one of PARTS.
 *
 * The clock of a part starts at rank 0 when rank 1 is ready, and stops when rank 1 has said that it has everything. CPU time
 * is that of both processes, with all their threads.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "parts.h"

#include <stdlib.h>

enum { PARTS = 3, MOST = 1 << 20 };

uint64_t bench_now_ns(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void job_tell(struct job *j, uint64_t n, uint64_t cpu_ns)
{
	struct note note = { .n = n, .cpu_ns = cpu_ns };
	j->c->send(j->e, &note, sizeof(note));
}

struct note job_hear(struct job *j)
{
	struct note note;
	j->c->recv(j->e, &note, sizeof(note));
	return note;
}

/* ---- messages, one after the other ---- */

static void send_one(struct job *j, uint64_t i)
{
	messages_mark(&j->out, 0, j->sent + i);
	j->c->send(j->e, messages_at(&j->out, 0), j->out.len);
}

static void recv_one(struct job *j, uint64_t i)
{
	j->c->recv(j->e, messages_at(&j->in, 0), j->in.len);
	messages_check_marks(&j->in, 0, j->received + i);
}

static void pingpong(struct job *j, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		if (j->e->rank == 0)
			send_one(j, i);
		recv_one(j, i);
		if (j->e->rank == 1)
			send_one(j, i);
	}
}

/* ---- messages, a window of them ---- */

static void begin_out(struct job *j, unsigned slot, uint64_t i)
{
	messages_mark(&j->out, slot, j->sent + i);
	if (j->c->isend != NULL)
		j->c->isend(j->e, slot, messages_at(&j->out, slot), j->out.len);
	else
		j->c->send(j->e, messages_at(&j->out, slot), j->out.len);
}

static void finish_out(struct job *j, unsigned slot)
{
	if (j->c->isend != NULL)
		j->c->wait(j->e, slot);
}

static void begin_in(struct job *j, unsigned slot)
{
	if (j->c->irecv != NULL)
		j->c->irecv(j->e, slot, messages_at(&j->in, slot), j->in.len);
}

static void finish_in(struct job *j, unsigned slot, uint64_t i)
{
	if (j->c->irecv != NULL)
		j->c->wait(j->e, slot);
	else
		j->c->recv(j->e, messages_at(&j->in, slot), j->in.len);
	messages_check_marks(&j->in, slot, j->received + i);
}

static void flow_out(struct job *j, uint64_t n)
{
	unsigned slot = 0;
	for (uint64_t i = 0; i < n + j->window; i++) {
		if (i >= j->window && i - j->window < n)
			finish_out(j, slot);
		if (i < n)
			begin_out(j, slot, i);
		slot = slot + 1 == j->window ? 0 : slot + 1;
	}
}

static void flow_in(struct job *j, uint64_t n)
{
	unsigned slot = 0;
	for (uint64_t i = 0; i < n; i++) {
		finish_in(j, slot, i);
		if (i + j->window < n)
			begin_in(j, slot);
		slot = slot + 1 == j->window ? 0 : slot + 1;
	}
}

/* Before the part, so that a message does not find its receive missing. */
static void post(struct job *j, uint64_t n)
{
	for (unsigned slot = 0; slot < j->window && slot < n; slot++)
		begin_in(j, slot);
}

/* ---- a part ---- */

static void check_all(struct job *j, uint64_t n)
{
	for (uint64_t i = n > j->window ? n - j->window : 0; i < n; i++)
		messages_check_all(&j->in, (unsigned)(i % j->window), j->received + i);
}

static bool receives(const struct job *j)
{
	return j->pingpong || j->e->rank == 1;
}

static void clear(struct job *j)
{
	if (receives(j))
		messages_clear(&j->in);
}

static void count(struct job *j, uint64_t n)
{
	if (receives(j)) {
		check_all(j, n);
		j->received += n;
	}
	if (j->pingpong || j->e->rank == 0)
		j->sent += n;
}

/* As rank 0. */
static struct figure lead_part(struct job *j, uint64_t n)
{
	double messages = (double)n * (j->pingpong ? 2 : 1);
	clear(j);
	job_tell(j, n, 0);
	job_hear(j);
	uint64_t start = bench_now_ns(CLOCK_MONOTONIC), cpu = bench_now_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (j->pingpong)
		pingpong(j, n);
	else
		flow_out(j, n);
	struct note done = job_hear(j);
	cpu = bench_now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu + done.cpu_ns;
	uint64_t elapsed = bench_now_ns(CLOCK_MONOTONIC) - start;
	count(j, n);
	return (struct figure){ .seconds = (double)elapsed / 1e9 / messages,
		.cpu = (double)cpu / 1e9 / messages };
}

/* As rank 1, until it is told 0. */
static void follow(struct job *j)
{
	for (uint64_t n; (n = job_hear(j).n) > 0;) {
		clear(j);
		if (!j->pingpong)
			post(j, n);
		job_tell(j, n, 0);
		uint64_t cpu = bench_now_ns(CLOCK_PROCESS_CPUTIME_ID);
		if (j->pingpong)
			pingpong(j, n);
		else
			flow_in(j, n);
		job_tell(j, n, bench_now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
		count(j, n);
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static struct figure lead(struct job *j, const struct options *o)
{
	double budget = o->budget_ms / 1e3, seconds[PARTS], cpu[PARTS];
	uint64_t least = j->pingpong ? 1 : 2 * j->window, n = least;

	for (;;) {
		double took = lead_part(j, n).seconds * (double)n * (j->pingpong ? 2 : 1);
		double wanted = budget / PARTS / took * (double)n;
		bool enough = took > budget / PARTS / 4 || n == MOST;
		uint64_t most = enough ? MOST : n * 16 < MOST ? n * 16 : MOST;
		n = wanted > (double)most ? most : wanted > (double)least ? (uint64_t)wanted : least;
		if (enough)
			break;
	}
	for (unsigned part = 0; part < PARTS; part++) {
		struct figure figure = lead_part(j, n);
		seconds[part] = figure.seconds;
		cpu[part] = figure.cpu;
	}
	job_tell(j, 0, 0);
	qsort(seconds, PARTS, sizeof(double), by_value);
	qsort(cpu, PARTS, sizeof(double), by_value);
	return (struct figure){ .seconds = seconds[PARTS / 2], .cpu = cpu[PARTS / 2] };
}

struct figure job_run(struct job *j, const struct options *o, size_t len)
{
	struct figure figure = { 0 };
	j->sent = j->received = 0;
	messages_map(&j->out, j->e->rank, j->window, len, o->huge);
	messages_map(&j->in, 1 - j->e->rank, j->window, len, o->huge);
	if (j->pingpong || j->e->rank == 0)
		messages_fill(&j->out);
	if (j->e->rank == 0)
		figure = lead(j, o);
	else
		follow(j);
	messages_unmap(&j->out);
	messages_unmap(&j->in);
	return figure;
}
