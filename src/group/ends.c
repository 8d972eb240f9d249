/* SPDX-License-Identifier: BSD-3-Clause */
/* The ends of members. See ends.h. */
#include "group/ends.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "group/errand.h"
#include "group/links.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "os/clock.h"
#include "os/reason.h"

enum { WORD_MS = 1000 };

static void member_ended(struct mesh *m, int rank, int error)
{
	struct member *who = &m->members[rank];
	if (who->error != 0 || rank == m->rank)
		return;
	who->error = error;
	m->troubled = true;
	receive_hopeless(m->haul);
	engine_news(&m->haul->engine);
}

void ends_going(struct mesh *m, int rank, int error)
{
	struct member *who = &m->members[rank];
	if (who->going == 0 && who->error == 0)
		who->going_by = clock_after_ms(WORD_MS);
	if (who->going == 0 || error == -EPIPE)
		who->going = error;
	m->going = true;
	engine_due(&m->haul->engine);
}

static void run_out(struct timer *t)
{
	struct mesh *m = (struct mesh *)((char *)t - offsetof(struct mesh, patience));
	engine_due(&m->haul->engine);
}

/* Somebody who speaks on and on, and never says who it is, must not keep all others waiting. */
static bool is_meeting(struct mesh *m)
{
	if (!links_are_to_be_met(m)) {
		m->met_by = 0;
		return false;
	}
	if (m->met_by == 0)
		m->met_by = clock_after_ms(m->haul->options.handshake_ms);
	return clock_now() < m->met_by;
}

/* One that hung up without a goodbye has died, or ended well: the launcher knows, and says so in a moment. */
static bool is_awaiting_word(struct mesh *m, int rank)
{
	struct member *who = &m->members[rank];
	if (who->going != -ECONNRESET)
		return false;
	enum job_kind end = control_end(&m->control, rank);
	if (end == JOB_LEFT)
		who->going = -EPIPE;
	return end == 0 && clock_now() < who->going_by;
}

void ends_settle(struct mesh *m)
{
	struct engine *e = &m->haul->engine;
	uint64_t again = CLOCK_NEVER;
	if (!m->going)
		return;
	timer_stop(&e->timers, &m->patience);
	if (is_meeting(m)) {
		timer_set(&e->timers, &m->patience, m->met_by, run_out);
		return;
	}
	m->going = false;
	for (int i = 0; i < m->size; i++) {
		struct member *who = &m->members[i];
		if (who->going == 0 || who->links > 0 || who->error != 0)
			continue;
		if (is_awaiting_word(m, i)) {
			m->going = true;
			again = who->going_by < again ? who->going_by : again;
			continue;
		}
		member_ended(m, i, who->going);
	}
	if (m->going)
		timer_set(&e->timers, &m->patience, again, run_out);
}

/* The connection that an errand follows to its end, if it is to that member; else NULL. */
static struct haul_peer *link_of(const struct errand *e, int rank)
{
	if (e->rank != rank || e->req == NULL)
		return NULL;
	return e->req->kind == REQ_WATCH ? e->req->status.peer : e->peer;
}

struct haul_peer *ends_other_link(const struct mesh *m, int rank)
{
	const struct errand *e;
	TAILQ_FOREACH (e, &m->errands, entry) {
		struct haul_peer *p = link_of(e, rank);
		if (p != NULL && p->up && p->error == 0 && !p->closing)
			return p;
	}
	return NULL;
}

/* The same, whatever can still be done with it. */
static struct haul_peer *any_other_link(const struct mesh *m, int rank)
{
	const struct errand *e;
	TAILQ_FOREACH (e, &m->errands, entry) {
		struct haul_peer *p = link_of(e, rank);
		if (p != NULL && !p->conn.ended)
			return p;
	}
	return NULL;
}

/* Where two had connected to each other at once the other connection may be there still. But nothing is sent by it; what
 * was sent by the one in use may be lost, and the member may be waiting to meet that one. Nor does a goodbye leave the
 * other to be used: who says it to one means the member. */
static void end_other_links(struct mesh *m, int rank)
{
	struct haul_peer *other;
	while ((other = any_other_link(m, rank)) != NULL)
		conn_fail(&other->conn, -ECONNRESET, "the other connection to the same member has ended");
}

/* The peer is NULL if it was freed, by a program that has closed what is the group's. */
static void watch_done(struct errand *e)
{
	struct mesh *m = e->mesh;
	struct haul_peer *p = e->status.peer;
	if (e->rank >= 0) {
		struct member *who = &m->members[e->rank];
		if (who->peer == p) {
			if (who->last != -ECONNRESET)
				who->last = e->status.error != 0 ? -ECONNRESET : -EPIPE;
			e->kept = true;
			end_other_links(m, e->rank);
			who->peer = NULL;
			who->crossed = false;
		}
		if (--who->links == 0)
			ends_going(m, e->rank, who->last != 0 ? who->last : -ECONNRESET);
	}
	if (p == NULL)
		return;
	e->retired = true;
	TAILQ_INSERT_TAIL(&m->retired, e, entry);
}

/* With a connection that is freed go the messages that came by it; and the program may know the one that was used. */
void ends_free_retired(struct mesh *m)
{
	struct errand *e, *next;
	TAILQ_FOREACH_SAFE (e, &m->retired, entry, next) {
		if (e->kept || !TAILQ_EMPTY(&e->status.peer->unfinished))
			continue;
		TAILQ_REMOVE(&m->retired, e, entry);
		peer_disown(e->status.peer);
		free(e);
	}
}

int ends_watch(struct mesh *m, struct haul_peer *p, int rank)
{
	struct haul_req *r;
	struct errand *e = errand_new(m, watch_done, rank);
	if (e == NULL)
		return -ENOMEM;
	int rc = peer_watch_start(p, &r);
	if (rc != 0) {
		errand_free(e);
		return rc;
	}
	errand_follow(e, r);
	return 0;
}

void ends_give_up(struct mesh *m, struct haul_peer *p, int rank)
{
	struct member *who = &m->members[rank];
	if (who->peer == p)
		end_other_links(m, rank);
	member_forget(who, p);
	who->links--;
	conn_fail(&p->conn, -ENOMEM, "no memory to watch a member");
	peer_disown(p);
	ends_going(m, rank, -ECONNRESET);
}

int ends_of(const struct member *who)
{
	return who->error != 0 ? who->error : who->links == 0 ? who->going : 0;
}

int ends_reason(int rank, int error)
{
	return reason(error, error == -EPIPE ? "rank %d has left" : "rank %d has died", rank);
}
