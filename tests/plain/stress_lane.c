/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A lane's program: one random operation after the other, as many as it is given; then the way out. On that it
 * ends what it wants and holds, receives whatever comes, flushes what it sent, and says that it is settled; when
 * all are, nothing can be left to receive.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stress_lane.h"

void lane_init(struct lane *l, struct node *n, unsigned index)
{
	memset(l, 0, sizeof(*l));
	l->node = n;
	l->index = index;
	l->random = mix(ledger->config.seed ^ ((uint64_t)(n->index + 1) << 32 | (index + 1)));
	l->notices = calloc(NOTICES, sizeof(*l->notices));
	if (l->notices == NULL)
		fail("no memory");
	arena_init(&l->arena, ledger->config.large);
}

static void cancel_some(struct lane *l)
{
	struct job *j = job_pick(l, JOB_NONE);
	if (j != NULL && !(j->kind == JOB_SEND && chance(l, 2)))
		job_cancel(l, j);
}

static void hurry_some(struct lane *l)
{
	struct job *j = job_pick(l, JOB_NONE);
	if (j == NULL || (j->kind == JOB_SEND && chance(l, 2)))
		return;
	job_deadline(l, j, chance(l, 8) ? -1 : (int)below(l, SOON_MS + 1));
}

static void let_go_of_some(struct lane *l)
{
	struct job *j = job_pick(l, JOB_NONE);
	if (j != NULL && (j->kind == JOB_TAKE || chance(l, 8)))
		job_let_go(l, j);
}

static void tell_of_some(struct lane *l)
{
	struct job *j = job_pick(l, JOB_NONE);
	if (j != NULL)
		job_notify(l, j);
}

static void end_some(struct lane *l)
{
	size_t i = below(l, HELD);
	if (l->held[i].msg != NULL && l->held[i].reads == 0)
		held_end(l, &l->held[i]);
}

static void read_later(struct lane *l)
{
	held_read(l, false);
}

static void read_now(struct lane *l)
{
	held_read(l, true);
}

static void harvest(struct lane *l)
{
	reap(l, chance(l, 10) ? 1 : 0);
}

static const struct {
	const char *name;
	unsigned weight;
	void (*run)(struct lane *l);
} program[] = {
	{ "haul_isend", 230, start_send },
	{ "haul_irecv", 260, start_recv },
	{ "haul_itake", 40, start_take },
	{ "haul_sendv", 50, call_send },
	{ "haul_recv", 110, call_recv },
	{ "haul_take", 20, call_take },
	{ "haul_sendrecv", 20, call_sendrecv },
	{ "haul_probe", 40, call_probe },
	{ "haul_submit", 30, call_submit },
	{ "haul_msg_iread", 25, read_later },
	{ "haul_msg_read", 25, read_now },
	{ "haul_msg_done", 60, end_some },
	{ "haul_req_cancel", 20, cancel_some },
	{ "haul_req_deadline", 30, hurry_some },
	{ "haul_req_free", 8, let_go_of_some },
	{ "haul_req_notify", 25, tell_of_some },
	{ "haul_peer_cancel", 1, call_peer_cancel },
	{ "haul_progress", 20, call_progress },
	{ "haul_arm", 6, call_arm },
	{ "haul_req_wait", 8, call_wait_certain },
	{ "haul_stats", 3, call_look },
	{ "haul_wait_some", 60, harvest },
};

static void step(struct lane *l)
{
	static const size_t count = sizeof(program) / sizeof(program[0]);
	unsigned sum = 0;
	size_t i;
	for (i = 0; i < count; i++)
		sum += program[i].weight;
	unsigned at = (unsigned)below(l, sum);
	for (i = 0; at >= program[i].weight; i++)
		at -= program[i].weight;
	/* The descriptor is for one thread. */
	if (program[i].run == call_arm && ledger->config.lanes > 1 && l->index > 0)
		return;
	doing(program[i].name);
	program[i].run(l);
}

/* What is old by now may be stuck: a receive that nobody sends anything for, or a send to a slow one. */
static void hurry_the_old(struct lane *l)
{
	enum { OLD = 300 };
	for (size_t i = 0; i < JOBS; i++) {
		struct job *j = &l->jobs[i];
		if (j->kind == JOB_NONE || l->ops - j->born < OLD || j->kind == JOB_READ)
			continue;
		j->born = l->ops;
		if (j->kind != JOB_SEND)
			job_cancel(l, j);
		else if (chance(l, 4))
			job_deadline(l, j, (int)below(l, SOON_MS + 1));
	}
}

/* ---- the way out ---- */

static void end_wants(struct lane *l)
{
	for (size_t i = 0; i < JOBS; i++)
		if (l->jobs[i].kind == JOB_RECV || l->jobs[i].kind == JOB_TAKE)
			job_cancel(l, &l->jobs[i]);
	for (size_t i = 0; i < HELD; i++)
		if (l->held[i].msg != NULL && l->held[i].reads == 0)
			held_end(l, &l->held[i]);
}

static bool held_none(const struct lane *l)
{
	for (size_t i = 0; i < HELD; i++)
		if (l->held[i].msg != NULL)
			return false;
	return true;
}

/* Whether all that was sent to it is finished with. Not for long: others may be waiting for us. */
static bool is_flushed(struct lane *l, unsigned to)
{
	if (l->node->peers[to] == NULL)
		return true;
	int rc = haul_peer_flush(l->node->peers[to], 1);
	if (rc != 0 && rc != -ETIMEDOUT && rc != -ECANCELED && !killed(to))
		fail("haul_peer_flush to %u: %s (%s)", to, strerror(-rc), haul_reason());
	return rc == 0 || killed(to);
}

static bool all_settled(void)
{
	const struct config *c = &ledger->config;
	for (unsigned n = 0; n < c->nodes; n++)
		for (unsigned i = 0; i < c->lanes && !killed(n); i++)
			if (!atomic_load(&ledger->settled[n][i]))
				return false;
	return true;
}

static void drain(struct lane *l)
{
	unsigned flushed = 0;
	while (!all_settled()) {
		doing("the end: receiving");
		end_wants(l);
		receive_anything(l, 2);
		reap(l, 0);
		if (jobs_under_way(l) > 0 || !held_none(l))
			continue;
		doing("the end: flushing");
		if (flushed < ledger->config.nodes && is_flushed(l, flushed)) {
			flushed++;
			headway(l);
		}
		if (flushed == ledger->config.nodes &&
		    !atomic_load(&ledger->settled[l->node->index][l->index])) {
			atomic_store(&ledger->settled[l->node->index][l->index], true);
			headway(l);
		}
	}
	doing("the end: a last look");
	while (ledger->config.kill && receive_anything(l, 0))
		; /* what a killed one had sent may still come */
	if (!ledger->config.kill && receive_anything(l, 0))
		fail("a message was left, though all senders said there was none");
}

static void check_notices(struct lane *l)
{
	doing("the end: callbacks");
	for (unsigned i = 0; i < l->notice_count; i++) {
		struct notice *n = &l->notices[i];
		if (n->owed && atomic_load(&n->count) == 0)
			notice_await(l, n);
	}
}

void lane_run(struct lane *l)
{
	const struct config *c = &ledger->config;
	uint64_t ops = c->ops / (c->nodes * c->lanes);
	at(l->node->index, l->index);
	for (uint64_t turn = 1; l->ops < ops; turn++) {
		uint64_t before = l->ops;
		step(l);
		atomic_store(&ledger->ops[l->node->index][l->index], l->ops);
		doing("haul_wait_some");
		if (l->ops == before) /* there was no room, say */
			reap(l, 1);
		else if (chance(l, 2))
			reap(l, 0);
		if (turn % 64 == 0)
			hurry_the_old(l);
	}
	drain(l);
	check_notices(l);
}

/* After the context was closed. */
void lane_fini(struct lane *l)
{
	arena_fini(&l->arena);
	free(l->notices);
}
