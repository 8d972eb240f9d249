/* SPDX-License-Identifier: BSD-3-Clause */
/* All members of a collective in one process. See play.h. */
#include "unit/play.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "lib/seed.h"

enum eager { NEVER, ALWAYS, SOMETIMES, EAGERS };
enum lean { MEMBERS_FIRST, MESSAGES_FIRST, NEITHER, LEANS };

void play_init(struct play *p, int size)
{
	memset(p, 0, sizeof(*p));
	p->size = size;
	p->late = -1;
	for (int i = 0; i < size; i++)
		schedule_init(&p->members[i].schedule, i, size);
}

void play_fini(struct play *p)
{
	for (int i = 0; i < p->size; i++) {
		struct member *m = &p->members[i];
		schedule_fini(&m->schedule);
		free(m->from);
		free(m->into);
	}
}

static unsigned char *memory(size_t len)
{
	if (len == 0)
		return NULL;
	unsigned char *bytes = malloc(len);
	must(bytes != NULL);
	memset(bytes, CANARY, len);
	return bytes;
}

unsigned char *play_from(struct play *p, int rank, size_t len)
{
	p->members[rank].from_len = len;
	return p->members[rank].from = memory(len);
}

unsigned char *play_into(struct play *p, int rank, size_t len)
{
	p->members[rank].into_len = len;
	return p->members[rank].into = memory(len);
}

int play_depth(int size)
{
	int depth = 0;
	while (1 << depth < size)
		depth++;
	return depth;
}

/* ---- what may be touched ---- */

static bool within(const void *at, size_t len, const void *begin, size_t room)
{
	uintptr_t offset = (uintptr_t)at - (uintptr_t)begin;
	return begin != NULL && offset <= room && len <= room - offset;
}

static bool in_scratch(const struct schedule *s, const void *at, size_t len)
{
	for (struct scratch *c = s->scratch; c != NULL; c = c->next)
		if (within(at, len, c->bytes, malloc_usable_size(c) - offsetof(struct scratch, bytes)))
			return true;
	return false;
}

static void must_be_writable(const struct member *m, const void *at, size_t len)
{
	must(within(at, len, m->into, m->into_len) || in_scratch(&m->schedule, at, len));
}

static void must_be_readable(const struct member *m, const void *at, size_t len)
{
	if (!within(at, len, m->from, m->from_len))
		must_be_writable(m, at, len);
}

static bool overlap(const void *x, size_t x_len, const void *y, size_t y_len)
{
	uintptr_t a = (uintptr_t)x, b = (uintptr_t)y;
	return x_len > 0 && y_len > 0 && a < b + y_len && b < a + x_len;
}

/* No two messages of a round touch the same bytes, unless both read. */
static void must_be_apart(const struct step *begin, const struct step *end)
{
	for (const struct step *x = begin; x < end; x++) {
		if (x->kind != STEP_RECV)
			continue;
		for (const struct step *y = begin; y < end; y++)
			if (y != x && (y->kind == STEP_RECV || y->kind == STEP_SEND))
				must(!overlap(x->into, x->len, y->kind == STEP_RECV ? y->into : y->from,
				    y->len));
	}
}

/* ---- messages ---- */

static void match(struct play *p, int source, int to, int nth)
{
	const struct lane *l = &p->lanes[source][to];
	if (nth >= l->sent || nth >= l->wanted)
		return;
	must_be(l->messages[nth].len, l->messages[nth].want);
	p->ready[p->ready_count++] = (struct ready){ source, to, nth };
}

static void post_send(struct play *p, struct member *m, const struct step *step)
{
	struct lane *l = &p->lanes[m->schedule.rank][step->rank];
	must(l->sent < MESSAGES_MOST);
	struct message *message = &l->messages[l->sent++];
	message->bytes = step->from;
	message->len = step->len;
	m->sent++;
	if (p->eager == ALWAYS || (p->eager == SOMETIMES && random_below(2) == 0)) {
		message->kept = memory(step->len + 1);
		if (step->len > 0)
			memcpy(message->kept, step->from, step->len);
	} else {
		m->waiting++;
	}
	match(p, m->schedule.rank, step->rank, l->sent - 1);
}

/* What is there may have been overwritten from now on. */
static void post_recv(struct play *p, struct member *m, const struct step *step)
{
	struct lane *l = &p->lanes[step->rank][m->schedule.rank];
	must(l->wanted < MESSAGES_MOST);
	struct message *message = &l->messages[l->wanted++];
	message->into = step->into;
	message->want = step->len;
	m->received++;
	m->waiting++;
	if (step->len > 0)
		memset(step->into, CANARY, step->len);
	match(p, step->rank, m->schedule.rank, l->wanted - 1);
}

static void deliver(struct play *p, int i)
{
	struct ready r = p->ready[i];
	struct lane *l = &p->lanes[r.source][r.to];
	struct message *m = &l->messages[r.nth];
	p->ready[i] = p->ready[--p->ready_count];
	if (m->len > 0)
		memcpy(m->into, m->kept != NULL ? m->kept : m->bytes, m->len);
	if (m->kept == NULL)
		p->members[r.source].waiting--;
	free(m->kept);
	p->members[r.to].waiting--;
	l->done++;
}

/* ---- members ---- */

static void do_locally(const struct member *m, const struct step *step)
{
	size_t len = step->kind == STEP_REDUCE ? step->len * m->schedule.op.size : step->len;
	must_be_readable(m, step->from, len);
	must_be_writable(m, step->into, len);
	must(!overlap(step->from, len, step->into, len));
	if (step->kind == STEP_REDUCE)
		operator_apply(&m->schedule.op, step->from, step->into, step->len);
	else
		memcpy(step->into, step->from, len);
}

static void post(struct play *p, struct member *m, const struct step *step)
{
	must(step->rank >= 0 && step->rank < p->size && step->rank != m->schedule.rank);
	if (step->kind == STEP_SEND) {
		if (step->len > 0)
			must_be_readable(m, step->from, step->len);
		post_send(p, m, step);
	} else {
		if (step->len > 0)
			must_be_writable(m, step->into, step->len);
		post_recv(p, m, step);
	}
}

static void begin_round(struct play *p, struct member *m)
{
	const struct schedule *s = &m->schedule;
	const struct step *begin = s->steps + m->at, *end = begin, *last = s->steps + s->count;
	int sends = 0;
	m->begun = true;
	for (; end < last && end->kind != STEP_ROUND; end++) {
		sends += end->kind == STEP_SEND;
		if (end->kind == STEP_COPY || end->kind == STEP_REDUCE)
			do_locally(m, end);
	}
	must(p->readers == 0 || sends <= p->readers);
	must_be_apart(begin, end);
	for (const struct step *step = begin; step < end; step++)
		if (step->kind == STEP_SEND || step->kind == STEP_RECV)
			post(p, m, step);
	m->at = (size_t)(end - s->steps) + (end < last);
}

static bool ended(const struct member *m)
{
	return m->begun && m->waiting == 0 && m->at >= m->schedule.count;
}

static bool can_go_on(const struct member *m)
{
	return m->waiting == 0 && !ended(m);
}

/* One that can go on, from a random one upwards. */
static struct member *next_member(struct play *p)
{
	int first = (int)random_below((size_t)p->size);
	for (int i = 0; i < p->size; i++) {
		struct member *m = &p->members[(first + i) % p->size];
		if (can_go_on(m) && m->schedule.rank != p->late)
			return m;
	}
	return NULL;
}

static void let_the_late_one_begin(struct play *p)
{
	for (int i = 0; i < p->size; i++)
		p->ended += ended(&p->members[i]);
	p->late = -1;
}

void play_run(struct play *p)
{
	p->eager = (int)random_below(EAGERS);
	p->lean = (int)random_below(LEANS);
	for (int i = 0; i < p->size; i++)
		must_be(p->members[i].schedule.error, 0);
	for (;;) {
		struct member *m = next_member(p);
		bool message = p->lean == MESSAGES_FIRST || (p->lean == NEITHER && random_below(2) == 0);
		if (p->ready_count > 0 && (message || m == NULL))
			deliver(p, (int)random_below((size_t)p->ready_count));
		else if (m != NULL)
			begin_round(p, m);
		else if (p->late >= 0)
			let_the_late_one_begin(p);
		else
			break;
	}
	for (int i = 0; i < p->size; i++) {
		must(ended(&p->members[i])); /* or else they wait in a circle */
		for (int j = 0; j < p->size; j++) {
			must_be(p->lanes[i][j].sent, p->lanes[i][j].done);
			must_be(p->lanes[i][j].wanted, p->lanes[i][j].done);
		}
	}
}
