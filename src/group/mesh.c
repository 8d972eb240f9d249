/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mesh. See mesh.h.
 *
 * What it does for itself are errands: requests like any other, and what is to be done when they complete.
 *
 *     ACCEPT   for ever: somebody connects                --> MEET
 *     MEET     its HELLO: a rank, and the job             --> WATCH
 *     DIAL     our connection to a member                 --> WATCH
 *     WATCH    the connection has ended: was it the last? --> that member has. It is kept while messages are left of it
 *     HEAR     for ever: what members say of collectives
 */
#include "group/mesh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "group/group.h"
#include "group/inquiry.h"
#include "group/runner.h"
#include "msg/connect.h"
#include "msg/listener.h"
#include "msg/notify.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "msg/self.h"
#include "msg/send.h"
#include "os/clock.h"
#include "os/reason.h"
#include "os/sock.h"

enum {
	TAG_HELLO = 1,
	TAG_NOTE = 2,
	TAG_ANSWER = 3,
	REACH_RETRY_MS = 5,
	WORD_MS = 1000,
	FAILURES_MOST = 65536
};

/* What members tell each other on the mesh's own channel. */
struct hello {
	uint32_t rank, size;
	char job[JOB_NAME_MOST + 1], zeros[3];
};

_Static_assert(sizeof(struct hello) == 76, "as the protocol has it");

struct failure {
	uint32_t group, seq;
	int32_t error;
	SLIST_ENTRY(failure) entry;
};

_Static_assert(sizeof(struct note) == 20, "as the protocol has it");

struct errand {
	struct req_owner owner;
	struct mesh *mesh;
	struct haul_req *req; /* NULL: complete */
	void (*done)(struct errand *e);
	int rank; /* of whom it is about, if that is known */
	bool aborted;
	bool kept; /* WATCH: the connection was the one in use */
	struct haul_status status;
	union {
		struct hello hello;
		struct note note;
		uint32_t crossed; /* ANSWER */
	};
	struct haul_peer *peer;    /* DIAL: who it is to become */
	TAILQ_ENTRY(errand) entry; /* in mesh.errands or mesh.done */
};

/* ---- errands ---- */

static struct errand *errand_new(struct mesh *m, void (*done)(struct errand *), int rank);
static void look_at_errands(struct mesh *m);
static void meet_done(struct errand *e);

static void forget_peer(struct member *who, const struct haul_peer *p)
{
	if (who->peer == p)
		who->peer = NULL;
}

/* Within whatever completed it: what would be wrong a moment later is put right now, the rest is for the next round. */
static void errand_completed(struct req_owner *o, struct haul_req *r)
{
	struct errand *e = (struct errand *)((char *)o - offsetof(struct errand, owner));
	struct mesh *m = e->mesh;
	e->req = NULL;
	e->status = r->status;
	r->status.peer = NULL; /* what it brought is the mesh's */
	if (r->kind == REQ_PEER && e->status.error != 0)
		forget_peer(&m->members[e->rank], e->peer); /* is about to be freed */
	TAILQ_REMOVE(&m->errands, e, entry);
	TAILQ_INSERT_TAIL(&m->done, e, entry);
	engine_due(&m->haul->engine);
}

static struct errand *errand_new(struct mesh *m, void (*done)(struct errand *), int rank)
{
	struct errand *e = calloc(1, sizeof(*e));
	if (e == NULL)
		return NULL;
	e->owner.completed = errand_completed;
	e->mesh = m;
	e->done = done;
	e->rank = rank;
	TAILQ_INSERT_TAIL(&m->errands, e, entry);
	return e;
}

static void errand_free(struct errand *e)
{
	TAILQ_REMOVE(&e->mesh->errands, e, entry);
	free(e);
}

/* Its request has been started, and may be complete already. */
static void errand_follow(struct errand *e, struct haul_req *r)
{
	bool complete = r->complete;
	request_dress(r);
	r->detached = true;
	e->req = r;
	if (!complete) {
		r->owner = &e->owner;
		return;
	}
	errand_completed(&e->owner, r);
	request_free(r);
}

/* ---- the ends of members ---- */

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

/* A member has no connection any more, and will make none. */
static void member_going(struct mesh *m, int rank, int error)
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

/* Whether something is to be read of a connection that has not said whose it is: if that has ended, there is, its end
 * at least. */
static bool is_to_be_met(const struct mesh *m)
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

/* Somebody who speaks on and on, and never says who it is, must not keep all others waiting. */
static bool is_meeting(struct mesh *m)
{
	if (!is_to_be_met(m)) {
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

static void settle(struct mesh *m)
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

/* Another connection to a member, if two have connected to each other at once. */
static struct haul_peer *other_link(const struct mesh *m, int rank)
{
	const struct errand *e;
	TAILQ_FOREACH (e, &m->errands, entry)
		if (e->rank == rank && e->req != NULL && e->req->kind == REQ_WATCH &&
		    e->req->status.peer->error == 0 && !e->req->status.peer->closing)
			return e->req->status.peer;
	return NULL;
}

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
			who->peer = other_link(m, e->rank);
			who->crossed = false;
		}
		if (--who->links == 0)
			member_going(m, e->rank, who->last != 0 ? who->last : -ECONNRESET);
	}
	TAILQ_INSERT_TAIL(&m->retired, e, entry);
}

/* With a connection that is freed go the messages that came by it; and the program may know the one that was used. */
static void free_retired(struct mesh *m)
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

static int watch(struct mesh *m, struct haul_peer *p, int rank)
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

/* Nobody will hear of its end: so that is now. */
static void give_up(struct mesh *m, struct haul_peer *p, int rank)
{
	struct member *who = &m->members[rank];
	forget_peer(who, p);
	who->links--;
	conn_fail(&p->conn, -ENOMEM, "no memory to watch a member");
	peer_disown(p);
	member_going(m, rank, -ECONNRESET);
}

/* ---- who comes ---- */

static bool is_one_of_us(const struct mesh *m, const struct errand *e)
{
	const struct hello *hello = &e->hello;
	return e->status.got == sizeof(*hello) && hello->rank < (uint32_t)m->size &&
	    (int)hello->rank != m->rank && hello->size == (uint32_t)m->size &&
	    memcmp(hello->job, m->job, sizeof(hello->job)) == 0;
}

/* A higher rank has connected to us, and waits to hear whether we had connected to it. */
static void answer(struct mesh *m, struct haul_peer *p, struct member *who)
{
	struct haul_req *r;
	uint32_t crossed = who->peer != NULL;
	struct iovec iov = { .iov_base = &crossed, .iov_len = sizeof(crossed) };
	if (!crossed)
		who->peer = p;
	if (send_start(p, TAG_ANSWER, channel_of(0), &iov, 1, HAUL_COPY, &r) == 0)
		request_let_go(r);
	else
		conn_fail(&p->conn, -ENOMEM, "no memory to answer a member");
	(void)m;
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
	} else {
		peer_begin_close(p);
	}
}

static int await_answer(struct mesh *m, struct haul_peer *p, int rank)
{
	struct haul_req *r;
	struct errand *e = errand_new(m, answered, rank);
	if (e == NULL)
		return reason(-ENOMEM, "no memory to reach rank %d", rank);
	struct haul_match match = { .from = p, .tag = TAG_ANSWER };
	struct iovec iov = { .iov_base = &e->crossed, .iov_len = sizeof(e->crossed) };
	int rc = receive_start(m->haul, &match, channel_of(0), &iov, 1, -1, &r);
	if (rc != 0) {
		errand_free(e);
		return rc;
	}
	errand_follow(e, r);
	return 0;
}

static void meet_done(struct errand *e)
{
	struct mesh *m = e->mesh;
	struct haul_peer *p = e->status.peer;
	m->meeting--;
	if (e->status.error != 0 || !is_one_of_us(m, e)) {
		peer_disown(p);
		return;
	}
	struct member *who = &m->members[e->hello.rank];
	who->links++;
	if ((int)e->hello.rank > m->rank)
		answer(m, p, who);
	else
		prefer(p, who);
	if (watch(m, p, (int)e->hello.rank) != 0)
		give_up(m, p, (int)e->hello.rank);
}

static void meet(struct mesh *m, struct haul_peer *p)
{
	struct haul_req *r;
	struct errand *e = errand_new(m, meet_done, -1);
	if (e == NULL) {
		peer_disown(p);
		return;
	}
	struct haul_match match = { .from = p, .tag = TAG_HELLO };
	struct iovec iov = { .iov_base = &e->hello, .iov_len = sizeof(e->hello) };
	if (receive_start(m->haul, &match, channel_of(0), &iov, 1, -1, &r) != 0) {
		errand_free(e);
		peer_disown(p);
		return;
	}
	m->meeting++;
	errand_follow(e, r);
}

static int await_next(struct mesh *m);

static void accept_done(struct errand *e)
{
	struct mesh *m = e->mesh;
	if (e->status.error == 0 && m->closing)
		peer_disown(e->status.peer);
	else if (e->status.error == 0)
		meet(m, e->status.peer);
	if (e->status.error != -ECANCELED && !m->closing)
		await_next(m);
}

static int await_next(struct mesh *m)
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
	errand_follow(e, r);
	return 0;
}

/* ---- whom we reach ---- */

static void dial_done(struct errand *e)
{
	struct mesh *m = e->mesh;
	struct member *who = &m->members[e->rank];
	struct haul_peer *p = e->status.peer;
	if (e->status.error != 0) {
		if (who->peer == NULL)
			who->peer = other_link(m, e->rank);
		if (--who->links == 0)
			member_going(m, e->rank, e->status.error == -EPIPE ? -EPIPE : -ECONNRESET);
	} else if (watch(m, p, e->rank) != 0) {
		give_up(m, p, e->rank);
	}
}

static int say_hello(struct mesh *m, struct haul_peer *p)
{
	struct haul_req *r;
	struct hello hello = { .rank = (uint32_t)m->rank, .size = (uint32_t)m->size };
	memcpy(hello.job, m->job, sizeof(hello.job));
	struct iovec iov = { .iov_base = &hello, .iov_len = sizeof(hello) };
	int rc = send_start(p, TAG_HELLO, channel_of(0), &iov, 1, HAUL_COPY, &r);
	if (rc != 0)
		return rc;
	TAILQ_FIRST(&p->queued)->leads = true;
	request_let_go(r);
	return 0;
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

/* How a member has ended, as far as we know; 0: it hasn't. */
static int end_of(const struct member *who)
{
	return who->error != 0 ? who->error : who->links == 0 ? who->going : 0;
}

static bool is_reached_or_gone(void *arg)
{
	const struct member *who = arg;
	return who->peer != NULL || end_of(who) != 0;
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

static int ended(int rank, int error)
{
	return reason(error, error == -EPIPE ? "rank %d has left" : "rank %d has died", rank);
}

int mesh_reach(struct mesh *m, int rank, uint64_t until, struct haul_peer **out)
{
	struct member *who = &m->members[rank];
	int rc = 0;
	if (rank == m->rank)
		return (*out = self_peer(m->haul)) != NULL ? 0 : -ENOMEM;
	if (who->peer == NULL && !TAILQ_EMPTY(&m->done))
		look_at_errands(m); /* it may have come by itself */
	if (!is_reached_or_gone(who))
		rc = dial_patiently(m, rank, until);
	if (end_of(who) != 0)
		return ended(rank, end_of(who));
	if (rc == -ECONNREFUSED && m->addresses == NULL) { /* its socket was there before it was */
		rc = control_end(&m->control, rank) == JOB_LEFT ? -EPIPE : -ECONNRESET;
		if (who->links == 0)
			member_going(m, rank, rc);
		return ended(rank, rc);
	}
	if (rc == 0 && who->peer == NULL)
		rc = ended(rank, -ECONNRESET);
	if (rc == 0)
		*out = who->peer;
	return rc;
}

static bool is_met(void *arg)
{
	const struct member *who = arg;
	return who->error != 0 || (who->peer != NULL && who->peer->up && !who->peer->held);
}

int mesh_meet(struct mesh *m, int rank, int timeout_ms, struct haul_peer **out)
{
	struct member *who = &m->members[rank];
	struct engine *e = &m->haul->engine;
	uint64_t until = clock_after_ms(timeout_ms);
	int rc = mesh_reach(m, rank, until, out);
	if (rc != 0 || rank == m->rank || is_met(who))
		return rc;
	if (timeout_ms == 0)
		return reason(-EAGAIN, "rank %d has not answered yet", rank);
	if ((rc = engine_wait(e, is_met, who, until, NULL)) != 0)
		return rc;
	*out = who->peer;
	return who->error != 0 ? ended(rank, who->error) : 0;
}

/* ---- what members say of collectives ---- */

static int say(struct haul_peer *p, const struct note *note)
{
	struct haul_req *r;
	struct iovec iov = { .iov_base = (void *)note, .iov_len = sizeof(*note) };
	int rc = send_start(p, TAG_NOTE, channel_of(0), &iov, 1, HAUL_COPY, &r);
	if (rc == 0)
		request_let_go(r);
	return rc;
}

int mesh_tell(struct mesh *m, int rank, const struct note *what)
{
	struct haul_peer *p;
	struct note note = *what;
	note.rank = (uint32_t)m->rank;
	int rc = rank != m->rank ? mesh_reach(m, rank, 0, &p) : -EINVAL;
	return rc != 0 ? rc : say(p, &note);
}

/* Beyond so many, a program that will never begin what has failed can't make us hold more: the collective will find out
 * by itself. */
static void remember(struct mesh *m, const struct note *note)
{
	struct failure *f = m->failure_count < FAILURES_MOST ? calloc(1, sizeof(*f)) : NULL;
	if (f == NULL)
		return;
	f->group = note->group;
	f->seq = note->seq;
	f->error = (int32_t)note->value;
	SLIST_INSERT_HEAD(&m->failures, f, entry);
	m->failure_count++;
}

static void forget(struct mesh *m, struct failure *f)
{
	SLIST_REMOVE(&m->failures, f, failure, entry);
	m->failure_count--;
	free(f);
}

int mesh_failed(struct mesh *m, uint32_t group, uint32_t seq)
{
	struct failure *f, *next;
	int error = 0;
	SLIST_FOREACH_SAFE(f, &m->failures, entry, next)
	{
		if (f->group != group || f->seq != seq)
			continue;
		error = f->error;
		forget(m, f);
	}
	return error;
}

void mesh_forget(struct mesh *m, uint32_t group)
{
	struct failure *f, *next;
	SLIST_FOREACH_SAFE(f, &m->failures, entry, next)
	if (f->group == group)
		forget(m, f);
}

/* The answer goes where the question came: behind the answers to what the asker has sent there. Where two have
 * connected to each other at once our own messages go elsewhere, and what is said of these has to follow them. */
static void reply(struct mesh *m, struct haul_peer *p, const struct note *asked)
{
	struct note note = *asked;
	struct haul_peer *ours = m->members[asked->rank].peer;
	unsigned over = inquiry_answer(m, asked);
	note.kind = NOTE_OVER;
	note.rank = (uint32_t)m->rank;
	note.value = over;
	if (over != 0 && ours != NULL && ours != p) {
		note.value = over & OVER_SENDS;
		say(ours, &note);
		note.value = over & OVER_RECVS;
	}
	if (note.value != 0 && p != NULL)
		say(p, &note);
}

static void take_note(struct mesh *m, struct haul_peer *p, const struct note *note)
{
	int32_t error = (int32_t)note->value;
	if (note->rank >= (uint32_t)m->size)
		return;
	switch (note->kind) {
	case NOTE_FAILED:
		if (error < 0 && error >= -4095 && !runs_failed_elsewhere(m, note->group, note->seq, error))
			remember(m, note);
		break;
	case NOTE_ASK:
		reply(m, p, note);
		break;
	case NOTE_OVER:
		inquiry_answered(m, note);
		break;
	default: /* of another version */
		break;
	}
}

static int hear_next(struct mesh *m);

static void heard(struct errand *e)
{
	struct mesh *m = e->mesh;
	if (e->status.error == 0 && e->status.got == sizeof(e->note) && !m->closing)
		take_note(m, e->status.peer, &e->note);
	if (e->status.error != -ECANCELED && !m->closing)
		hear_next(m);
}

static int hear_next(struct mesh *m)
{
	struct haul_req *r;
	struct errand *e = errand_new(m, heard, -1);
	if (e == NULL)
		return reason(-ENOMEM, "no memory for a group");
	struct haul_match match = { .tag = TAG_NOTE };
	struct iovec iov = { .iov_base = &e->note, .iov_len = sizeof(e->note) };
	int rc = receive_start(m->haul, &match, channel_of(0), &iov, 1, -1, &r);
	if (rc != 0) {
		errand_free(e);
		return rc;
	}
	errand_follow(e, r);
	return 0;
}

/* ---- what the floor below asks ---- */

static void look_at_errands(struct mesh *m)
{
	struct errand *e;
	while ((e = TAILQ_FIRST(&m->done)) != NULL) {
		TAILQ_REMOVE(&m->done, e, entry);
		e->done(e);
		if (e->done != watch_done)
			free(e);
	}
}

/* What collectives do may end connections, and what that means for members may end collectives. */
static bool work(struct haul *h)
{
	struct mesh *m = h->mesh;
	look_at_errands(m);
	runs_round(m);
	settle(m);
	free_retired(m);
	return !TAILQ_EMPTY(&m->done) || !TAILQ_EMPTY(&m->due);
}

static void request_end(struct haul_req *r, int error)
{
	run_abort(r->above, error);
}

static int member_hopeless(const struct mesh *m, int rank)
{
	int error = m->members[rank].error;
	return error == 0 ? 0 : ended(rank, error);
}

static int hopeless(struct haul *h, const struct match_want *want)
{
	const struct mesh *m = h->mesh;
	const struct haul_group *g;
	int rank = -1;
	if (want->from != NULL) {
		const struct haul_peer *from = want->from;
		return from->error;
	}
	if (!m->troubled || (g = group_of_number(m, (want->channel & ~CHANNEL_GROUPS) >> 1)) == NULL)
		return 0;
	if (want->channel & 1)
		rank = run_source(want->tag);
	else if (want->ignore >> 32 == 0)
		rank = (int)(want->tag >> 32);
	return rank >= 0 ? member_hopeless(m, group_world(g, rank)) : group_hopeless(g);
}

static void fini(struct haul *h);

/* Whether nobody will ever want a message: of a group that was freed, or a collective that is over. */
static int unwanted(struct haul *h, uint32_t channel, uint64_t tag)
{
	const struct mesh *m = h->mesh;
	uint32_t number = (channel & ~CHANNEL_GROUPS) >> 1;
	if (channel == channel_of(0))
		return 0;
	const struct haul_group *g = group_of_number(m, number);
	if (g == NULL)
		return split_is_under_way(m, number) ? 0 : -EPIPE;
	return (channel & 1) == 0 || runs_want(g, run_seq(tag)) ? 0 : runs_refusal(g, run_seq(tag));
}

static const struct context_above above = { .work = work,
	.abort = request_end,
	.hopeless = hopeless,
	.unwanted = unwanted,
	.fini = fini };

/* ---- life ---- */

/* What the launcher says of members that have no connection to us: others will tell by their end. */
static void told(struct control *c, int rank, bool left)
{
	struct mesh *m = (struct mesh *)((char *)c - offsetof(struct mesh, control));
	if (rank < m->size && m->members[rank].links == 0)
		member_going(m, rank, left ? -EPIPE : -ECONNRESET);
}

static int copy_addresses(struct mesh *m, const char *const *addresses)
{
	if ((m->addresses = calloc((size_t)m->size, sizeof(*m->addresses))) == NULL)
		return -ENOMEM;
	for (int i = 0; i < m->size; i++) {
		size_t len = strlen(addresses[i]) + 1;
		if ((m->addresses[i] = malloc(len)) == NULL)
			return -ENOMEM;
		memcpy(m->addresses[i], addresses[i], len);
	}
	return 0;
}

static void free_errands(struct errand_list *list)
{
	struct errand *e;
	while ((e = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, e, entry);
		if (e->req != NULL)
			e->req->owner = NULL;
		free(e);
	}
}

static void free_mesh(struct mesh *m)
{
	struct failure *f;
	struct haul_group *g;
	while ((g = TAILQ_FIRST(&m->groups)) != NULL)
		group_drop(g);
	free_errands(&m->errands);
	free_errands(&m->done);
	free_errands(&m->retired);
	while ((f = SLIST_FIRST(&m->failures)) != NULL)
		forget(m, f);
	control_stats(&m->control, m->haul);
	control_close(&m->control);
	timer_stop(&m->haul->engine.timers, &m->patience);
	timer_stop(&m->haul->engine.timers, &m->inquiry);
	for (int i = 0; m->addresses != NULL && i < m->size; i++)
		free(m->addresses[i]);
	free(m->addresses);
	free(m->members);
	m->haul->mesh = NULL;
	m->haul->above = NULL;
	free(m);
}

/* The context goes: listeners, peers and requests are its own to free. */
static void fini(struct haul *h)
{
	free_mesh(h->mesh);
}

int mesh_open(struct haul *h, const struct mesh_place *place)
{
	if (h->mesh != NULL)
		return reason(-EBUSY, "the context has a group of all already");
	struct mesh *m = calloc(1, sizeof(*m));
	if (m == NULL)
		return reason(-ENOMEM, "no memory for a group");
	m->haul = h;
	m->rank = place->rank;
	m->size = place->size;
	m->control.fd = -1;
	m->numbers = 2;
	TAILQ_INIT(&m->errands);
	TAILQ_INIT(&m->done);
	TAILQ_INIT(&m->retired);
	TAILQ_INIT(&m->groups);
	TAILQ_INIT(&m->due);
	SLIST_INIT(&m->failures);
	SLIST_INIT(&m->claims);
	if (place->job != NULL)
		snprintf(m->job, sizeof(m->job), "%s", place->job);
	h->mesh = m;
	h->above = &above;
	int rc = 0;
	if ((m->members = calloc((size_t)m->size, sizeof(*m->members))) == NULL ||
	    (place->addresses != NULL && copy_addresses(m, place->addresses) != 0))
		rc = reason(-ENOMEM, "no memory for a group of %d", m->size);
	if (rc == 0 && place->listen != NULL &&
	    (rc = listener_new(h, place->listen, true, &m->listener)) == 0)
		rc = await_next(m);
	if (rc == 0)
		rc = hear_next(m);
	if (rc == 0 && place->control >= 0)
		rc = control_open(&m->control, &h->engine, place->control, m->size, told);
	if (rc != 0)
		mesh_close(h, 0);
	return rc;
}

static bool has_none_under_way(void *arg)
{
	const struct mesh *m = arg;
	const struct errand *e;
	TAILQ_FOREACH (e, &m->errands, entry)
		if (e->req != NULL)
			return false;
	return true;
}

static struct errand *next_under_way(const struct mesh *m)
{
	struct errand *e;
	TAILQ_FOREACH (e, &m->errands, entry)
		if (e->req != NULL && !e->aborted)
			return e;
	return NULL;
}

/* To abort one may complete others, and what follows from that may begin new ones: a watch of who has just come. */
static void end_errands(struct mesh *m)
{
	struct errand *e;
	do {
		while ((e = next_under_way(m)) != NULL) {
			e->aborted = true;
			request_abort(e->req, -ECANCELED);
		}
		engine_await(&m->haul->engine, has_none_under_way, m);
		look_at_errands(m);
	} while (!TAILQ_EMPTY(&m->errands));
}

int mesh_close(struct haul *h, int linger_ms)
{
	struct mesh *m = h->mesh;
	struct errand *e;
	m->closing = true;
	for (int i = 0; i < m->size && m->members != NULL; i++)
		if (m->members[i].peer != NULL)
			peer_begin_close(m->members[i].peer);
	TAILQ_FOREACH (e, &m->errands, entry)
		if (e->req != NULL && e->req->kind == REQ_WATCH)
			peer_begin_close(e->req->status.peer);
	int rc = peer_finish_begun(h, linger_ms);
	if (rc == -EBUSY)
		return rc;
	end_errands(m);
	TAILQ_FOREACH (e, &m->retired, entry)
		peer_disown(e->status.peer);
	if (m->listener != NULL)
		listener_free(m->listener);
	free_mesh(m);
	return rc;
}
