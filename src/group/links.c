/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections to members. See links.h. */
#include "group/links.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "group/ends.h"
#include "group/errand.h"
#include "msg/connect.h"
#include "msg/listener.h"
#include "msg/notify.h"
#include "msg/peer.h"
#include "msg/self.h"
#include "os/clock.h"
#include "os/reason.h"
#include "os/sock.h"

enum { REACH_RETRY_MS = 5 };

/* ---- who comes ---- */

static void meet_done(struct errand *e);

/* One that has ended is none, even if that was a mistake: so then it takes us for dead as well, and does not wait. */
static bool is_one_of_us(const struct mesh *m, const struct errand *e)
{
	const struct hello *hello = &e->hello;
	return e->status.got == sizeof(*hello) && hello->rank < (uint32_t)m->size &&
	    (int)hello->rank != m->rank && hello->size == (uint32_t)m->size &&
	    memcmp(hello->job, m->job, sizeof(hello->job)) == 0 && m->members[hello->rank].error == 0;
}

/* A higher rank has connected to us, and waits to hear whether we had connected to it. */
static void answer(struct haul_peer *p, uint32_t crossed)
{
	if (errand_send(p, TAG_ANSWER, &crossed, sizeof(crossed), true) != 0)
		conn_fail(&p->conn, -ENOMEM, "no memory to answer a member");
}

/* A lower rank has connected to us: that is the connection, unless ours is in use. */
static void prefer(struct haul_peer *p, struct member *who)
{
	struct haul_peer *ours = who->peer;
	if (ours != NULL && !ours->held)
		return;
	who->peer = p;
	if (ours == NULL)
		return;
	peer_move_queued(ours, p);
	if (who->crossed)
		peer_begin_close(ours);
	who->crossed = false;
}

static int await_answer(struct mesh *m, struct haul_peer *p, int rank);

static void answered(struct errand *e)
{
	struct member *who = &e->mesh->members[e->rank];
	struct haul_peer *p = e->status.peer;
	if (e->status.error != 0)
		return;
	if (e->crossed == 0) {
		p->held = false;
		conn_kick(&p->conn);
	} else if (who->peer == p) {
		who->crossed = true;
		if (await_answer(e->mesh, p, e->rank) != 0)
			conn_fail(&p->conn, -ENOMEM, "no memory to wait for a member's connection");
	} else {
		peer_begin_close(p);
	}
}

static int await_answer(struct mesh *m, struct haul_peer *p, int rank)
{
	struct errand *e = errand_new(m, answered, rank);
	if (e == NULL)
		return reason(-ENOMEM, "no memory to reach rank %d", rank);
	return errand_receive(e, p, TAG_ANSWER, &e->crossed, sizeof(e->crossed));
}

/* Members are fewer: should there be so many at a time, some are strangers. */
static bool is_crowded(const struct mesh *m)
{
	return m->meeting >= m->listener->most;
}

/* Who says nothing must not keep members out for ever. */
static void hurry(struct mesh *m)
{
	struct errand *e;
	TAILQ_FOREACH (e, &m->errands, entry)
		if (e->done == meet_done && !e->req->timer.set)
			request_deadline(e->req, clock_after_ms(m->haul->options.handshake_ms));
}

static void accept_again(struct timer *t);

/* It goes on for ever, whatever there is a shortage of meanwhile. */
static void go_on_accepting(struct mesh *m)
{
	if (m->closing || m->accepting)
		return;
	if (is_crowded(m))
		hurry(m);
	else if (links_accept(m) != 0)
		timer_set(&m->haul->engine.timers, &m->accept_again, clock_after_ms(MESH_RETRY_MS),
		    accept_again);
}

static void accept_again(struct timer *t)
{
	go_on_accepting((struct mesh *)((char *)t - offsetof(struct mesh, accept_again)));
}

static void meet_done(struct errand *e)
{
	struct mesh *m = e->mesh;
	struct haul_peer *p = e->status.peer;
	m->meeting--;
	go_on_accepting(m);
	if (e->status.error != 0 || !is_one_of_us(m, e)) {
		if (p != NULL)
			peer_disown(p);
		return;
	}
	struct member *who = &m->members[e->hello.rank];
	who->links++;
	if ((int)e->hello.rank < m->rank) {
		prefer(p, who);
	} else {
		answer(p, who->peer != NULL);
		if (who->peer == NULL)
			who->peer = p;
	}
	if (ends_watch(m, p, (int)e->hello.rank) != 0)
		ends_give_up(m, p, (int)e->hello.rank);
	if (m->closing) /* what waits for it is still sent, and then goodbye */
		peer_begin_close(p);
}

static void meet(struct mesh *m, struct haul_peer *p)
{
	struct errand *e = errand_new(m, meet_done, -1);
	m->meeting++;
	if (e != NULL && errand_receive(e, p, TAG_HELLO, &e->hello, sizeof(e->hello)) == 0)
		return;
	m->meeting--;
	peer_disown(p);
}

static void accept_done(struct errand *e)
{
	struct mesh *m = e->mesh;
	m->accepting = false;
	if (e->status.error == 0 && m->closing) {
		peer_dismiss(e->status.peer);
		peer_disown(e->status.peer);
	} else if (e->status.error == 0) {
		meet(m, e->status.peer);
	}
	go_on_accepting(m);
}

int links_accept(struct mesh *m)
{
	struct haul_req *r;
	struct errand *e = errand_new(m, accept_done, -1);
	if (e == NULL)
		return reason(-ENOMEM, "no memory for a group");
	int rc = listener_accept_start(m->listener, &r);
	if (rc != 0) {
		errand_free(e);
		return rc;
	}
	m->accepting = true;
	errand_follow(e, r);
	return 0;
}

void links_dismiss(struct mesh *m)
{
	struct errand *e, *next;
	if (m->listener != NULL)
		listener_dismiss(m->listener);
	TAILQ_FOREACH_SAFE (e, &m->errands, entry, next)
		if (e->req != NULL && (e->done == meet_done || e->req->kind == REQ_WATCH))
			peer_dismiss(e->req->status.peer);
}

bool links_are_quiet(void *mesh)
{
	const struct mesh *m = mesh;
	return m->listener == NULL || listener_is_quiet(m->listener);
}

/* Whether something is to be read of a connection that has not said whose it is: if that has ended, there is, its end
 * at least. */
bool links_are_to_be_met(const struct mesh *m)
{
	const struct errand *e;
	if (m->listener != NULL && listener_is_busy(m->listener))
		return true;
	if (m->meeting > 0)
		TAILQ_FOREACH (e, &m->errands, entry)
			if (e->done == meet_done && sock_is_readable(e->req->status.peer->conn.link.fd))
				return true;
	return false;
}

/* ---- whom we reach ---- */

static void dial_done(struct errand *e)
{
	struct mesh *m = e->mesh;
	struct member *who = &m->members[e->rank];
	struct haul_peer *p = e->status.peer;
	if (e->status.error != 0) {
		if (who->peer == NULL && (who->peer = ends_other_link(m, e->rank)) != NULL &&
		    e->rank > m->rank)
			answer(who->peer, 0);
		int error = e->status.error == -EPIPE ? -EPIPE : -ECONNRESET;
		if (--who->links == 0)
			ends_going(m, e->rank, who->last != 0 ? who->last : error);
	} else if (ends_watch(m, p, e->rank) != 0) {
		ends_give_up(m, p, e->rank);
	}
}

static int say_hello(struct mesh *m, struct haul_peer *p)
{
	struct hello hello = { .rank = (uint32_t)m->rank, .size = (uint32_t)m->size };
	memcpy(hello.job, m->job, sizeof(hello.job));
	int rc = errand_send(p, TAG_HELLO, &hello, sizeof(hello), true);
	if (rc == 0)
		TAILQ_FIRST(&p->queued)->leads = true;
	return rc;
}

/* -EAGAIN: nobody listens there yet, or the backlog is full. */
static int dial(struct mesh *m, int rank)
{
	char name[sizeof("@" JOB_ADDRESS) + JOB_NAME_MOST + 10];
	struct haul_req *r;
	struct member *who = &m->members[rank];
	const char *address = m->addresses != NULL ? m->addresses[rank] : name;
	snprintf(name, sizeof(name), "@" JOB_ADDRESS, m->job, (unsigned)rank);
	struct errand *e = errand_new(m, dial_done, rank);
	if (e == NULL)
		return reason(-ENOMEM, "no memory to reach rank %d", rank);
	int rc = connect_start(m->haul, address, CLOCK_NEVER, &r);
	if (rc == 0 && r->complete && r->status.error != 0)
		rc = request_finish(r, NULL);
	else if (rc == 0 && r->peer.peer == NULL) {
		request_abort(r, -EAGAIN);
		rc = request_finish(r, NULL);
	}
	if (rc != 0) {
		errand_free(e);
		return rc;
	}
	struct haul_peer *p = r->peer.peer;
	who->links++;
	who->peer = e->peer = p;
	errand_follow(e, r);
	/* Without a greeting nobody there could tell whose the messages behind it are. */
	rc = say_hello(m, p);
	if (rc == 0 && rank < m->rank) {
		p->held = true;
		rc = await_answer(m, p, rank);
	}
	if (rc != 0)
		conn_fail(&p->conn, -ENOMEM, "no memory to greet a member");
	return rc;
}

static bool is_reached_or_gone(void *arg)
{
	const struct member *who = arg;
	return who->peer != NULL || ends_of(who) != 0;
}

/* Nothing tells when somebody begins to listen, or there is room in a backlog. */
static int dial_patiently(struct mesh *m, int rank, uint64_t until)
{
	struct haul *h = m->haul;
	uint64_t patience = clock_after_ms(h->options.handshake_ms);
	for (;;) {
		int rc = dial(m, rank);
		bool early =
		    rc == -EAGAIN || (m->addresses != NULL && (rc == -ECONNREFUSED || rc == -ENOENT));
		uint64_t now = clock_now(), next = clock_after_ms(REACH_RETRY_MS);
		if (!early || now >= until || now >= patience || notices_calling(h))
			return early && now >= until && until != 0
			    ? reason(-ETIMEDOUT, "rank %d does not listen yet", rank)
			    : rc;
		rc = engine_wait(&h->engine, is_reached_or_gone, &m->members[rank],
		    next < until ? next : until, NULL);
		if (rc == 0)
			return 0;
		if (rc != -ETIMEDOUT)
			return rc;
	}
}

int links_reach(struct mesh *m, int rank, uint64_t until, struct haul_peer **out)
{
	struct member *who = &m->members[rank];
	int rc = 0;
	if (rank == m->rank)
		return (*out = self_peer(m->haul)) != NULL ? 0 : -ENOMEM;
	if (who->peer == NULL && !TAILQ_EMPTY(&m->done))
		errands_look(m); /* it may have come by itself */
	if (!is_reached_or_gone(who))
		rc = dial_patiently(m, rank, until);
	if (ends_of(who) != 0)
		return ends_reason(rank, ends_of(who));
	if (rc == -ECONNREFUSED && m->addresses == NULL) { /* its socket was there before it was */
		rc = control_end(&m->control, rank) == JOB_LEFT ? -EPIPE : -ECONNRESET;
		if (who->links == 0)
			ends_going(m, rank, rc);
		return ends_reason(rank, rc);
	}
	if (rc == 0 && who->peer == NULL)
		rc = ends_reason(rank, -ECONNRESET);
	if (rc == 0)
		*out = who->peer;
	return rc;
}

int links_reach_within(struct mesh *m, int rank, int timeout_ms, struct haul_peer **out)
{
	int rc = links_reach(m, rank, timeout_ms != 0 ? clock_after_ms(timeout_ms) : 0, out);
	if (timeout_ms == 0 && (rc == -ECONNREFUSED || rc == -ENOENT))
		rc = reason(-EAGAIN, "rank %d does not listen yet", rank);
	return rc;
}

static bool is_met(void *arg)
{
	const struct member *who = arg;
	return who->error != 0 || (who->peer != NULL && who->peer->up && !who->peer->held);
}

int links_meet(struct mesh *m, int rank, int timeout_ms, struct haul_peer **out)
{
	struct member *who = &m->members[rank];
	struct engine *e = &m->haul->engine;
	uint64_t until = clock_after_ms(timeout_ms);
	int rc = links_reach_within(m, rank, timeout_ms, out);
	if (rc != 0 || rank == m->rank || is_met(who))
		return rc;
	if (timeout_ms == 0)
		return reason(-EAGAIN, "rank %d has not answered yet", rank);
	if ((rc = engine_wait(e, is_met, who, until, NULL)) != 0)
		return rc;
	*out = who->peer;
	return who->error != 0 ? ends_reason(rank, who->error) : 0;
}
