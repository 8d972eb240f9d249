/* SPDX-License-Identifier: BSD-3-Clause */
/* Asking. See inquiry.h. One timer looks at all collectives: one that is quick costs nothing. */
#include "group/inquiry.h"

#include <errno.h>
#include <stdlib.h>

#include "group/notes.h"
#include "group/runner.h"
#include "os/clock.h"

enum { FIRST_MS = 50, LAST_MS = 6400 }; /* between looks: longer and longer, as long as nothing goes on */

/* ---- who asks ---- */

/* Not for what is being moved: that goes on as it can. */
static bool is_waited_for(const struct haul_req *r)
{
	return r->kind != REQ_RECV || r->recv.in == NULL;
}

/* Where there is a launcher, it is known who has ended. Elsewhere one that nobody listens for may be about to start. */
static bool is_given_up(const struct run *run, int error)
{
	const struct mesh *m = run->group->mesh;
	uint64_t patience = (uint64_t)m->haul->options.handshake_ms * NS_PER_MS;
	return (error == -ECONNREFUSED || error == -ENOENT) && m->addresses != NULL &&
	    clock_now() - run->seen_since >= patience;
}

static void ask(struct run *run)
{
	struct haul_group *g = run->group;
	struct note note = { .group = g->number, .seq = run->seq, .kind = NOTE_ASK, .value = run->check };
	bool *asked = calloc((size_t)g->size, sizeof(*asked));
	if (asked == NULL)
		return;
	for (struct haul_req *r = run_message(run, NULL); r != NULL; r = run_message(run, r))
		if (is_waited_for(r))
			asked[run_partner(r)] = true;
	for (int i = 0; i < g->size; i++) {
		int rc = asked[i] ? notes_tell(g->mesh, group_world(g, i), &note) : 0;
		if (is_given_up(run, rc))
			run_abort(run, rc);
	}
	free(asked);
}

/* Whether it is where it was. */
static bool is_still(struct run *run)
{
	if (run->seen_since != 0 && run->seen_at == run->at && run->seen_left == run->left)
		return true;
	run->seen_since = clock_now();
	run->seen_at = run->at;
	run->seen_left = run->left;
	return false;
}

static void look(struct timer *t)
{
	struct mesh *m = (struct mesh *)((char *)t - offsetof(struct mesh, inquiry));
	struct haul_group *g;
	struct run *run;
	bool any = false, goes_on = false;
	TAILQ_FOREACH (g, &m->groups, entry)
		TAILQ_FOREACH (run, &g->runs, entry) {
			any = true;
			if (!is_still(run))
				goes_on = true;
			else if (run->error == 0)
				ask(run);
		}
	if (!any || goes_on)
		m->inquiry_ms = FIRST_MS;
	else if (m->inquiry_ms < LAST_MS)
		m->inquiry_ms *= 2;
	if (any)
		inquiry_begin(m);
}

void inquiry_begin(struct mesh *m)
{
	if (m->inquiry_ms == 0)
		m->inquiry_ms = FIRST_MS;
	if (!m->inquiry.set)
		timer_set(&m->haul->engine.timers, &m->inquiry, clock_after_ms(m->inquiry_ms), look);
}

/* ---- who is asked ---- */

static int rank_in(const struct haul_group *g, uint32_t world)
{
	for (int i = 0; i < g->size; i++)
		if (group_world(g, i) == (int)world)
			return i;
	return -1;
}

static bool is_to_come(const struct run *run, enum step_kind kind, int rank)
{
	const struct schedule *s = &run->schedule;
	for (size_t i = run->at; i < s->count; i++)
		if (s->steps[i].kind == kind && s->steps[i].rank == rank)
			return true;
	return false;
}

static bool is_under_way(const struct run *run, enum req_kind kind, int rank)
{
	for (struct haul_req *r = run_message(run, NULL); r != NULL; r = run_message(run, r))
		if (r->kind == kind && run_partner(r) == rank)
			return true;
	return false;
}

unsigned inquiry_answer(struct mesh *m, const struct note *asked)
{
	const struct haul_group *g = group_of_number(m, asked->group);
	int rank = g != NULL ? rank_in(g, asked->rank) : -1;
	if (g == NULL && !split_is_under_way(m, asked->group))
		return OVER_SENDS | OVER_RECVS | OVER_LEFT;
	if (rank < 0 || !runs_begun(g, asked->seq))
		return 0;
	struct run *run = runs_find(g, asked->seq);
	if (run == NULL)
		return OVER_SENDS | OVER_RECVS;
	if (run->error != 0)
		return 0;
	if (run->check != asked->value) {
		run_abort(run, -EINVAL);
		return 0;
	}
	unsigned over = 0;
	if (!is_to_come(run, STEP_SEND, rank))
		over |= OVER_SENDS;
	if (!is_to_come(run, STEP_RECV, rank) && !is_under_way(run, REQ_RECV, rank))
		over |= OVER_RECVS;
	return over;
}

void inquiry_answered(struct mesh *m, const struct note *over)
{
	const struct haul_group *g = group_of_number(m, over->group);
	int rank = g != NULL ? rank_in(g, over->rank) : -1;
	struct run *run = rank >= 0 ? runs_find(g, over->seq) : NULL;
	if (run == NULL || run->error != 0)
		return;
	for (struct haul_req *r = run_message(run, NULL); r != NULL; r = run_message(run, r)) {
		unsigned in_vain = r->kind == REQ_RECV ? OVER_SENDS : OVER_RECVS;
		if (is_waited_for(r) && run_partner(r) == rank && (over->value & in_vain) != 0) {
			run_abort(run, (over->value & OVER_LEFT) != 0 ? -EPIPE : -EINVAL);
			return;
		}
	}
}
