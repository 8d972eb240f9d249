/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asks, as they come: taken off the queue one after the other, and carried out as long as their sender, the patron, has
 * not too many under way. See serve.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "msg/receive.h"
#include "msg/taken.h"
#include "os/clock.h"
#include "rma/serve.h"

enum {
	AT_A_TIME = 16, /* of a patron's */
	TAKES = 64,     /* in one round */
	RETRY_MS = 2,
};

/* ---- patrons ---- */

static struct patron *patron_of(struct rma *m, struct haul_peer *peer)
{
	struct patron *p;
	TAILQ_FOREACH (p, &m->patrons, entry)
		if (p->peer == peer)
			return p;
	if ((p = calloc(1, sizeof(*p))) == NULL)
		return NULL;
	p->rma = m;
	p->peer = peer;
	TAILQ_INIT(&p->waiting);
	TAILQ_INSERT_HEAD(&m->patrons, p, entry);
	return p;
}

static void patron_leave(struct patron *p)
{
	if (p->active > 0 || !TAILQ_EMPTY(&p->waiting))
		return;
	TAILQ_REMOVE(&p->rma->patrons, p, entry);
	free(p);
}

void patron_next(struct patron *p)
{
	struct served *next = TAILQ_FIRST(&p->waiting);
	p->active--;
	if (next == NULL) {
		patron_leave(p);
		return;
	}
	TAILQ_REMOVE(&p->waiting, next, turn);
	served_start(next);
}

/* ---- taking ---- */

static void was_taken(struct req_owner *o, struct haul_req *r)
{
	struct rma *m = (struct rma *)((char *)o - offsetof(struct rma, taker));
	m->take = NULL;
	m->taken = r->status.error == 0 ? r->status.msg : NULL;
	r->status.msg = NULL; /* it is ours: nobody gives it back */
	engine_due(&m->haul->engine);
}

/* Waits for the next ask, of whoever. */
static void take(struct rma *m)
{
	struct haul_match any = { .ignore = UINT64_MAX };
	struct haul *h = m->haul;
	struct haul_req *r;
	if (m->take != NULL || m->taken != NULL || h->closing)
		return;
	if (receive_post_take(h, &any, WIRE_CHANNEL_REGIONS, &r) != 0)
		return; /* again later: serve_round() sees to it */
	m->take = r;
	request_follow(r, &m->taker);
}

static void retry(struct timer *t)
{
	struct rma *m = (struct rma *)((char *)t - offsetof(struct rma, retry));
	take(m);
}

/* It has come: carried out, or in its patron's queue. */
static void admit(struct rma *m, struct haul_msg *msg)
{
	struct served *s = calloc(1, sizeof(*s));
	struct patron *p = s != NULL && msg->peer != NULL ? patron_of(m, msg->peer) : NULL;
	if (p == NULL) {
		free(s);
		taken_finish(msg, ask_to_wire(-ENOMEM));
		return;
	}
	s->patron = p;
	s->msg = msg;
	s->state = WAITING;
	if (p->active < AT_A_TIME)
		served_start(s);
	else
		TAILQ_INSERT_TAIL(&p->waiting, s, turn);
}

void serve_round(struct rma *m)
{
	if (!m->serves)
		return;
	struct haul *h = m->haul;
	struct haul_msg *msg;
	for (int i = 0; i < TAKES && (msg = m->taken) != NULL; i++) {
		m->taken = NULL;
		admit(m, msg);
		take(m);
	}
	/* A take has failed, for want of memory: nothing tells when there is some again. */
	if (m->take == NULL && m->taken == NULL && !h->closing && !m->retry.set)
		timer_set(&h->engine.timers, &m->retry, clock_after_ms(RETRY_MS), retry);
	serve_due(m);
}

void serve_begin(struct rma *m)
{
	m->taker.completed = was_taken;
	m->serves = true;
	take(m);
	engine_due(&m->haul->engine);
}

/* ---- ends ---- */

/* One that never comes to its end: its message is the context's to free, its request too. */
static void drop(struct served *s)
{
	if (s->req != NULL)
		s->req->owner = NULL;
	served_free(s);
}

void serve_forget(struct rma *m, const struct haul_peer *peer)
{
	struct patron *p;
	struct served *s, *next;
	TAILQ_FOREACH (p, &m->patrons, entry)
		if (p->peer == peer)
			break;
	if (p == NULL)
		return;
	TAILQ_FOREACH_SAFE (s, &m->served_due, turn, next) {
		if (s->patron != p)
			continue;
		TAILQ_REMOVE(&m->served_due, s, turn);
		taken_finish(s->msg, -ECANCELED);
		served_free(s);
		p->active--;
	}
	while ((s = TAILQ_FIRST(&p->waiting)) != NULL) {
		TAILQ_REMOVE(&p->waiting, s, turn);
		taken_finish(s->msg, -ECANCELED);
		served_free(s);
	}
	patron_leave(p);
}

void serve_fini(struct rma *m)
{
	struct haul_region *r;
	struct patron *p;
	struct served *s;
	timer_stop(&m->haul->engine.timers, &m->retry);
	if (m->take != NULL)
		m->take->owner = NULL;
	while ((p = TAILQ_FIRST(&m->patrons)) != NULL) {
		while ((s = TAILQ_FIRST(&p->waiting)) != NULL) {
			TAILQ_REMOVE(&p->waiting, s, turn);
			drop(s);
		}
		TAILQ_REMOVE(&m->patrons, p, entry);
		free(p);
	}
	while ((s = TAILQ_FIRST(&m->served_due)) != NULL) {
		TAILQ_REMOVE(&m->served_due, s, turn);
		drop(s);
	}
	for (size_t i = 0; i < m->region_room; i++)
		if ((r = m->regions[i]) != NULL)
			while ((s = TAILQ_FIRST(&r->serving)) != NULL)
				drop(s);
}
