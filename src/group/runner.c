/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Carrying out schedules. See runner.h.
 *
 * The tag of a collective's message: its number in the group (32 bits, see runner.h), a check of the arguments (12), the
 * source's rank (20).
 */
#include "group/runner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "group/inquiry.h"
#include "group/links.h"
#include "group/notes.h"
#include "msg/outbound.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "msg/send.h"
#include "os/clock.h"
#include "os/reason.h"

enum { SOURCE_BITS = 20, CHECK_BITS = 12, REFUSED_MS = 200, TAKEN_BACK_MS = 2000 };

_Static_assert(MEMBERS_MOST <= 1 << SOURCE_BITS, "a rank fits");

#define SOURCE_MASK ((UINT64_C(1) << SOURCE_BITS) - 1)
#define CHECK_MASK (((UINT64_C(1) << CHECK_BITS) - 1) << SOURCE_BITS)

static uint64_t tag_of(const struct run *run, int source)
{
	return (uint64_t)run->seq << 32 | ((uint64_t)run->check << SOURCE_BITS & CHECK_MASK) |
	    (uint64_t)source;
}

int run_source(uint64_t tag)
{
	return (int)(tag & SOURCE_MASK);
}

uint32_t run_seq(uint64_t tag)
{
	return (uint32_t)(tag >> 32);
}

static void make_due(struct run *run)
{
	struct mesh *m = run->group->mesh;
	if (run->due)
		return;
	run->due = true;
	TAILQ_INSERT_TAIL(&m->due, run, due_entry);
	engine_due(&m->haul->engine);
}

/* ---- messages ---- */

static void note_failure(struct run *run, int error)
{
	if (run->error == 0)
		run->error = error;
}

static void stop_doubting(struct timer *t)
{
	struct run *run = (struct run *)((char *)t - offsetof(struct run, grace));
	note_failure(run, run->doubt);
	make_due(run);
}

/* A message was taken back, or refused, because it has failed there; why, that member says a moment later, as
 * what is to be said of a message goes before new ones. */
static void doubt(struct run *run, int error)
{
	struct haul *h = run->group->haul;
	int grace_ms = error == -ECANCELED ? TAKEN_BACK_MS : REFUSED_MS;
	if (run->doubt == 0 && run->error == 0)
		timer_set(&h->engine.timers, &run->grace, clock_after_ms(grace_ms), stop_doubting);
	if (run->doubt == 0)
		run->doubt = error;
}

/* The member whose arguments do not fit ours is as wrong as we are. */
static void check_received(struct run *run, const struct haul_req *r)
{
	const struct haul_status *s = &r->status;
	if (s->error == -ECANCELED)
		doubt(run, s->error);
	else if (s->error != 0 && s->error != -EMSGSIZE)
		note_failure(run, s->error);
	else if ((s->tag & CHECK_MASK) != (tag_of(run, 0) & CHECK_MASK))
		note_failure(run, -EINVAL);
	else if (s->error == -EMSGSIZE || s->len != receive_room(r))
		note_failure(run, -EMSGSIZE);
}

static void message_over(struct run *run, const struct haul_req *r)
{
	run->left--;
	if (r->kind == REQ_RECV)
		check_received(run, r);
	else if (r->status.error ==
	    -EBADMSG) /* refused as of none that is under way there: or else arguments differ */
		doubt(run, -EINVAL);
	else if (r->status.error == -ECANCELED)
		doubt(run, -ECANCELED);
	else if (r->status.error != 0)
		note_failure(run, r->status.error);
	if (run->left == 0 || run->error != 0)
		make_due(run);
}

static void message_completed(struct req_owner *o, struct haul_req *r)
{
	message_over((struct run *)((char *)o - offsetof(struct run, owner)), r);
}

static void follow(struct run *run, struct haul_req *r)
{
	run->left++;
	request_follow(r, &run->owner);
}

static int start_send(struct run *run, const struct step *s)
{
	struct haul_group *g = run->group;
	struct haul_peer *p;
	struct haul_req *r;
	struct iovec iov = { .iov_base = (void *)s->from, .iov_len = s->len };
	int rc = links_reach(g->mesh, group_world(g, s->rank), 0, &p);
	if (rc == 0)
		rc = send_start(p, tag_of(run, g->rank), channel_of(g->number) + 1, &iov, s->len > 0, 0, &r);
	if (rc != 0)
		return rc;
	r->status.rank = s->rank;
	follow(run, r);
	return 0;
}

/* Whether the message was there already. */
static bool came_early(const struct haul_req *r)
{
	return r->recv.in != NULL || (r->complete && (r->status.error == 0 || r->status.error == -EMSGSIZE));
}

static int start_recv(struct run *run, const struct step *s)
{
	struct haul_group *g = run->group;
	struct haul_req *r;
	struct haul_match match = { .tag = tag_of(run, s->rank), .ignore = CHECK_MASK };
	struct iovec iov = { .iov_base = s->into, .iov_len = s->len };
	int timeout_ms = run->limited ? 1 : -1; /* of one with a timeout; not how long that is */
	int rc = receive_start(g->haul, &match, channel_of(g->number) + 1, &iov, s->len > 0, timeout_ms, &r);
	if (rc != 0)
		return rc;
	if (came_early(r) && g->early > 0)
		g->early--;
	follow(run, r);
	return 0;
}

/* ---- rounds ---- */

static int step(struct run *run, const struct step *s)
{
	switch (s->kind) {
	case STEP_SEND:
		return start_send(run, s);
	case STEP_RECV:
		return start_recv(run, s);
	case STEP_COPY:
		memcpy(s->into, s->from, s->len);
		return 0;
	case STEP_REDUCE:
		operator_apply(&run->schedule.op, s->from, s->into, s->len);
		return 0;
	case STEP_ROUND:
		break;
	}
	return 0;
}

static void round_of(struct run *run)
{
	const struct step *next;
	while (run->error == 0 && (next = schedule_next(&run->schedule, &run->at)) != NULL) {
		if (next->kind == STEP_ROUND) {
			if (run->left > 0)
				return;
			continue;
		}
		int rc = step(run, next);
		if (rc != 0)
			note_failure(run, rc);
	}
}

static bool is_mismatch(int error)
{
	return error == -EINVAL || error == -EMSGSIZE;
}

static struct note failure_of(const struct haul_group *g, uint32_t seq, int error)
{
	bool known = is_mismatch(error) || error == -ECONNRESET || error == -EPIPE || error == -ECONNREFUSED;
	return (struct note){ .group = g->number,
		.seq = seq,
		.kind = NOTE_FAILED,
		.value = (uint32_t)(known ? error : -ECANCELED) };
}

/* Everybody whom the schedule names. What is wrong with the arguments may have given others another one, in
 * which they wait for us without our knowing: so then it is everybody. */
static void tell_others(struct run *run)
{
	struct haul_group *g = run->group;
	const struct schedule *s = &run->schedule;
	struct note note = failure_of(g, run->seq, run->error);
	run->told = true;
	bool *partner = calloc((size_t)g->size, sizeof(*partner));
	if (partner == NULL)
		return;
	for (size_t i = 0; i < s->count; i++)
		if (s->steps[i].kind == STEP_SEND || s->steps[i].kind == STEP_RECV)
			partner[s->steps[i].rank] = true;
	for (int i = 0; i < g->size; i++)
		if (i != g->rank && (partner[i] || is_mismatch(run->error)))
			notes_tell(g->mesh, group_world(g, i), &note);
	free(partner);
}

struct haul_req *run_message(const struct run *run, struct haul_req *r)
{
	for (r = r != NULL ? TAILQ_NEXT(r, entry) : TAILQ_FIRST(&run->group->haul->requests); r != NULL;
	     r = TAILQ_NEXT(r, entry))
		if (!r->complete && !r->plain && r->owner == &run->owner)
			break;
	return r;
}

int run_partner(const struct haul_req *r)
{
	return r->kind == REQ_RECV ? run_source(r->recv.posted.want.tag) : r->status.rank;
}

/* What the round has under way is taken back, at once or after the usual grace. */
static void take_back(struct run *run)
{
	for (struct haul_req *r = run_message(run, NULL); r != NULL; r = run_message(run, r))
		request_deadline(r, 0);
}

static void remember_failure(struct haul_group *g, uint32_t seq)
{
	g->failed[g->failures++ % GROUP_FAILURES] = seq;
}

int runs_refusal(const struct haul_group *g, uint32_t seq)
{
	for (unsigned i = 0; i < GROUP_FAILURES && i < g->failures; i++)
		if (g->failed[i] == seq)
			return -ECANCELED;
	return -EBADMSG;
}

/* Messages that came for it and were not received: it failed, or members' arguments did not fit each other. */
static void sweep(struct haul_group *g, uint32_t over)
{
	struct match_item *i, *next;
	g->early = 0;
	TAILQ_FOREACH_SAFE (i, &g->haul->match.items, entry, next) {
		uint32_t seq = run_seq(i->tag);
		if (i->channel != channel_of(g->number) + 1)
			continue;
		if (seq == over || !runs_want(g, seq))
			inbound_refuse((struct inbound *)((char *)i - offsetof(struct inbound, item)),
			    runs_refusal(g, seq));
		else
			g->early++;
	}
}

static void over(struct run *run)
{
	struct haul_group *g = run->group;
	struct haul_req *r = run->req;
	int error = run->error;
	if (error != 0)
		remember_failure(g, run->seq);
	if (error != 0 || g->early > 0)
		sweep(g, run->seq);
	run->req = NULL;
	r->above = (struct above){ NULL, NULL };
	run_free(run);
	if (error != 0)
		reason_known(error);
	request_complete(r, error);
}

static void go_on(struct run *run)
{
	if (run->left == 0 && run->error == 0 && run->doubt == 0)
		round_of(run);
	if (run->error != 0 && !run->told) {
		tell_others(run);
		take_back(run);
	}
	if (run->left > 0)
		inquiry_begin(run->group->mesh);
	else if (run->error != 0 || (run->at == run->schedule.count && run->doubt == 0))
		over(run);
}

void runs_round(struct mesh *m)
{
	struct run_list now;
	struct run *run;
	TAILQ_INIT(&now);
	TAILQ_CONCAT(&now, &m->due, due_entry);
	while ((run = TAILQ_FIRST(&now)) != NULL) {
		TAILQ_REMOVE(&now, run, due_entry);
		run->due = false;
		go_on(run);
	}
}

/* ---- beginning and ending ---- */

struct run *run_new(struct haul_group *g, uint32_t check)
{
	struct run *run = calloc(1, sizeof(*run));
	if (run == NULL)
		return NULL;
	run->owner.completed = message_completed;
	run->group = g;
	run->check = check ^ check >> CHECK_BITS ^ check >> 2 * CHECK_BITS;
	schedule_init(&run->schedule, g->rank, g->size);
	return run;
}

void run_free(struct run *run)
{
	struct haul_group *g = run->group;
	if (run->due)
		TAILQ_REMOVE(&g->mesh->due, run, due_entry);
	if (run->begun)
		TAILQ_REMOVE(&g->runs, run, entry);
	timer_stop(&g->haul->engine.timers, &run->grace);
	schedule_fini(&run->schedule);
	free(run);
}

/* Before it is anybody's: others get the lock meanwhile. */
static int reach_all(struct run *run, uint64_t until)
{
	struct haul_group *g = run->group;
	const struct schedule *s = &run->schedule;
	struct haul_peer *p;
	int rc = 0;
	for (size_t i = 0; i < s->count && rc == 0; i++)
		if (s->steps[i].kind == STEP_SEND)
			rc = links_reach(g->mesh, group_world(g, s->steps[i].rank), until, &p);
	return rc;
}

static void use_up(struct haul_group *g, uint32_t seq)
{
	if (!runs_begun(g, seq))
		g->seq = seq;
}

static uint32_t last_part(uint32_t seq)
{
	return seq | (RUN_PARTS - 1);
}

static void take_number(struct run *run)
{
	struct haul_group *g = run->group;
	struct run_parts *parts = run->parts;
	run->seq = parts != NULL && parts->begun ? parts->seq + 1 : last_part(g->seq) + 1;
	use_up(g, parts != NULL ? run->seq : last_part(run->seq));
	if (parts != NULL)
		*parts = (struct run_parts){ .seq = run->seq, .begun = true };
}

void runs_end_parts(struct haul_group *g, const struct run_parts *parts, int rc)
{
	struct note note = failure_of(g, parts->seq + 1, rc);
	if (!parts->begun)
		return;
	use_up(g, last_part(parts->seq));
	if (rc == 0)
		return;
	remember_failure(g, parts->seq + 1);
	sweep(g, parts->seq + 1);
	reason_keep(true);
	for (int i = 0; i < g->size; i++)
		if (i != g->rank)
			notes_tell(g->mesh, group_world(g, i), &note);
	reason_keep(false);
}

int run_start(struct run *run, uint64_t until, struct haul_req **out)
{
	struct haul_group *g = run->group;
	struct schedule *s = &run->schedule;
	int rc = s->error != 0 ? reason(s->error, "no memory for a collective") : 0;
	if (rc == 0)
		run->error = reach_all(run, until);
	struct haul_req *r = rc == 0 ? request_new(g->haul, REQ_ABOVE) : NULL;
	if (rc == 0 && r == NULL)
		rc = request_refusal(g->haul);
	take_number(run);
	run->begun = true;
	TAILQ_INSERT_TAIL(&g->runs, run, entry);
	if (rc != 0) { /* the others are to know: our number is used */
		run->error = rc;
		tell_others(run);
		run_free(run);
		return rc;
	}
	r->above = (struct above){ &mesh_ops, run };
	run->req = r;
	*out = r;
	note_failure(run, notes_failed(g->mesh, g->number, run->seq));
	go_on(run);
	return 0;
}

void run_abort(struct run *run, int error)
{
	note_failure(run, error);
	make_due(run);
}

void runs_cancel(struct haul_group *g)
{
	struct run *run;
	TAILQ_FOREACH (run, &g->runs, entry)
		run_abort(run, -ECANCELED);
}

/* The context is being freed, and with it all requests. */
void runs_drop(struct haul_group *g)
{
	struct run *run;
	while ((run = TAILQ_FIRST(&g->runs)) != NULL)
		run_free(run);
}

struct run *runs_find(const struct haul_group *g, uint32_t seq)
{
	struct run *run;
	TAILQ_FOREACH (run, &g->runs, entry)
		if (run->seq == seq)
			break;
	return run;
}

bool runs_begun(const struct haul_group *g, uint32_t seq)
{
	return (int32_t)(seq - g->seq) <= 0;
}

bool runs_want(const struct haul_group *g, uint32_t seq)
{
	return !runs_begun(g, seq) || runs_find(g, seq) != NULL;
}

bool runs_failed_elsewhere(struct mesh *m, uint32_t group, uint32_t seq, int error)
{
	struct haul_group *g = group_of_number(m, group);
	if (g == NULL)
		return !split_is_under_way(m, group); /* else of one that was freed */
	struct run *run = runs_begun(g, seq) ? runs_find(g, seq) : NULL;
	if (run != NULL)
		run_abort(run, error);
	return runs_begun(g, seq);
}
