/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operations under way. What a send and a receive are to whoever starts and ends them, in one call or as a request;
 * and requests, which are canceled, given deadlines, let go of, and told of by callbacks.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "stress_lane.h"

/* ---- sends ---- */

unsigned random_flags(struct lane *l)
{
	return (chance(l, 3) ? HAUL_SYNC : 0) | (chance(l, 5) ? HAUL_COPY : 0);
}

bool sending_begin(struct lane *l, struct sending *s, unsigned flags)
{
	const struct config *c = &ledger->config;
	struct node *n = l->node;
	s->to = (unsigned)below(l, c->nodes);
	if (n->peers[s->to] == NULL || (killed(s->to) && !chance(l, 20)))
		return false;
	uint32_t number = l->next[s->to];
	if (number >= ledger->sent_most)
		return false;
	s->plan = plan_message(c, n->index, s->to, l->index, number);
	s->buffer = arena_take(&l->arena, FOR_SENDING, s->plan.len, &l->random);
	if (s->buffer == NULL)
		return false;
	l->next[s->to]++;
	l->ops++;
	s->flags = flags;
	s->sent = ledger_sent(n->index, s->to, l->index, number);
	buffer_fill(s->buffer, s->plan.key);
	ledger_begin(s->sent, flags);
	atomic_store(&ledger->sent[n->index][s->to][l->index], number + 1);
	return true;
}

static void give_sent(struct lane *l, struct sending *s)
{
	if (s->buffer == NULL)
		return;
	buffer_spoil(s->buffer);
	arena_give(&l->arena, s->buffer);
	s->buffer = NULL;
}

static bool send_may_end(struct lane *l, const struct sending *s, int outcome, bool canceled, bool late)
{
	switch (outcome) {
	case 0:
		return true;
	case -ECANCELED:
		return canceled || atomic_load(&ledger->peer_canceled[l->node->index][s->to]);
	case -ETIMEDOUT:
		return late;
	case -EAGAIN: /* was not begun: out of copies, or it would have had to wait */
		return true;
	case -ECONNRESET:
	case -EPIPE:
		return killed(s->to);
	default: /* a receiver's answer, which the judge compares with what that said */
		return (s->flags & HAUL_SYNC) != 0;
	}
}

void sending_end(struct lane *l, struct sending *s, int outcome, bool unknown, bool canceled, bool late)
{
	give_sent(l, s);
	if (!send_may_end(l, s, outcome, canceled, late))
		fail("the send of %#llx to %u (%zu bytes) ended with %s (%s)",
		    (unsigned long long)s->plan.tag, s->to, s->plan.len, strerror(-outcome), haul_reason());
	ledger_end(s->sent, outcome, unknown);
	headway(l);
}

void sending_lost(struct lane *l, struct sending *s)
{
	give_sent(l, s);
	ledger_end(s->sent, -ETIMEDOUT, true);
}

/* ---- receives ---- */

static unsigned random_node(struct lane *l)
{
	unsigned n;
	do
		n = (unsigned)below(l, ledger->config.nodes);
	while (l->node->peers[n] == NULL);
	return n;
}

/* Lengths that mostly are enough for the class. */
static size_t length_for(struct lane *l, unsigned class)
{
	size_t most = plan_longest(&ledger->config, class);
	return chance(l, 10) ? below(l, most < 5000 ? most : 5000) : most;
}

size_t random_match(struct lane *l, struct haul_match *m)
{
	struct node *n = l->node;
	uint64_t lane = (uint64_t)(l->index + 1) << 56;
	unsigned from = random_node(l), class = (unsigned)below(l, 3);
	*m = (struct haul_match){ .from = chance(l, 2) ? n->peers[from] : NULL };
	switch (below(l, 10)) {
	case 0: /* one of a few that may come next */
		m->tag = plan_message(&ledger->config, from, n->index, l->index,
		    l->seen[from] + (uint32_t)below(l, 4))
		             .tag;
		return length_for(l, m->tag >> 48 & 0xff);
	case 1: /* a class of lengths, with something in the bits that don't matter */
	case 2:
		m->tag = lane | (uint64_t) class << 48 | below(l, 1000);
		m->ignore = TAG_NUMBER;
		return length_for(l, class);
	default:
		m->tag = lane | below(l, 1000);
		m->ignore = TAG_NUMBER | TAG_CLASS;
		return length_for(l, chance(l, 30) ? 3 : 2);
	}
}

static int8_t node_of(struct haul_peer *p)
{
	return (int8_t)((uintptr_t)haul_peer_user(p) - 1);
}

bool wanting_begin(struct lane *l, struct wanting *w, enum want_kind kind, const struct haul_match *m,
    size_t len)
{
	w->match = *m;
	w->buffer = NULL;
	if (kind == WANT_RECV && (w->buffer = arena_take(&l->arena, FOR_RECEIVING, len, &l->random)) == NULL)
		return false;
	w->number = l->wants++;
	l->ops++;
	w->want = ledger_want(l->node->index, l->index, w->number);
	*w->want = (struct want){ .tag = m->tag,
		.ignore = m->ignore,
		.from = m->from != NULL ? node_of(m->from) : ANYBODY,
		.kind = (uint8_t)kind,
		.posted = l->clock++,
		.asked = NEVER,
		.ended = NEVER };
	atomic_store(&ledger->wants[l->node->index][l->index], l->wants);
	return true;
}

void wanting_ask(struct lane *l, struct wanting *w)
{
	if (w->want->asked == NEVER)
		w->want->asked = l->clock++;
}

static bool anybody_lives(const struct lane *l)
{
	for (unsigned i = 0; i < ledger->config.nodes; i++)
		if (l->node->peers[i] != NULL && !killed(i))
			return true;
	return false;
}

static void give_received(struct lane *l, struct wanting *w)
{
	if (w->buffer != NULL)
		arena_give(&l->arena, w->buffer);
	w->buffer = NULL;
}

/* Of one that died in the middle of a message even a receive from anybody hears. */
static bool may_hear_of_death(const struct wanting *w, struct haul_peer *holder)
{
	return (w->want->from != ANYBODY && killed((unsigned)w->want->from)) ||
	    (holder != NULL && killed((unsigned)node_of(holder)));
}

void wanting_missed(struct lane *l, struct wanting *w, int error, struct haul_peer *holder)
{
	bool held = holder != NULL;
	bool may = error == -ECANCELED || error == -ETIMEDOUT || error == -EAGAIN ||
	    (error == -ECONNRESET && may_hear_of_death(w, holder)) || (error == -EPIPE && !anybody_lives(l));
	if (!may)
		fail("receive %u (tag %#llx, ignoring %#llx, from %d) ended with %s (%s)", w->number,
		    (unsigned long long)w->match.tag, (unsigned long long)w->match.ignore, w->want->from,
		    strerror(-error), haul_reason());
	if (w->buffer != NULL && held)
		buffer_expect_margins(w->buffer);
	else if (w->buffer != NULL)
		buffer_expect(w->buffer, 0, 0, 0);
	give_received(l, w);
	w->want->held = held;
	w->want->fate = WANT_ENDED;
	w->want->ended = l->clock++;
}

struct plan identify(struct lane *l, const struct wanting *w, const struct haul_status *s, unsigned *by,
    uint32_t *number)
{
	struct node *n = l->node;
	if (s->peer == NULL)
		fail("receive %u names no peer", w->number);
	*by = (unsigned)node_of(s->peer);
	*number = (uint32_t)(s->tag & TAG_NUMBER);
	if (((s->tag ^ w->match.tag) & ~w->match.ignore) != 0 ||
	    (w->match.from != NULL && w->match.from != s->peer))
		fail("receive %u wanted %#llx (ignoring %#llx) from %d and was given %#llx from %u",
		    w->number, (unsigned long long)w->match.tag, (unsigned long long)w->match.ignore,
		    w->want->from, (unsigned long long)s->tag, *by);
	if (*number >= atomic_load(&ledger->sent[*by][n->index][l->index]))
		fail("receive %u was given %#llx from %u, which was never sent", w->number,
		    (unsigned long long)s->tag, *by);
	struct plan p = plan_message(&ledger->config, *by, n->index, l->index, *number);
	if (p.tag != s->tag || p.len != s->len)
		fail("receive %u was given %#llx from %u of %llu bytes, which was sent as %#llx of %zu",
		    w->number, (unsigned long long)s->tag, *by, (unsigned long long)s->len,
		    (unsigned long long)p.tag, p.len);
	w->want->by = (int8_t)*by;
	w->want->number = *number;
	if (*number >= l->seen[*by])
		l->seen[*by] = *number + 1;
	return p;
}

void received(struct lane *l, const struct wanting *w, unsigned by, uint32_t number, int answer, bool softly)
{
	struct sent *s = ledger_sent(by, l->node->index, l->index, number);
	atomic_store(&s->answer, answer);
	atomic_store(&s->softly, softly);
	atomic_store(&s->by, w->number);
	if (atomic_fetch_add(&s->received, 1) > 0)
		fail("message %u of node %u was received a second time, by receive %u", number, by,
		    w->number);
	w->want->fate = WANT_GOT;
	headway(l);
}

void wanting_end(struct lane *l, struct wanting *w, const struct haul_status *s, bool late)
{
	unsigned by;
	uint32_t number;
	if (s->error == -ETIMEDOUT && !late)
		fail("receive %u timed out, which nobody asked for", w->number);
	if (s->error != 0 && s->error != -EMSGSIZE) {
		wanting_missed(l, w, s->error, s->tag != 0 ? s->peer : NULL);
		return;
	}
	struct plan p = identify(l, w, s, &by, &number);
	size_t most = p.len < w->buffer->len ? p.len : w->buffer->len;
	if (s->got != most || (s->error == 0) != (most == p.len))
		fail("receive %u got %llu of %zu bytes of %#llx from %u, with room for %zu: %s", w->number,
		    (unsigned long long)s->got, p.len, (unsigned long long)p.tag, by, w->buffer->len,
		    strerror(-s->error));
	buffer_expect(w->buffer, p.key, 0, most);
	give_received(l, w);
	received(l, w, by, number, s->error, false);
	w->want->ended = l->clock++;
}

/* ---- requests ---- */

bool job_room(const struct lane *l, enum job_kind kind)
{
	unsigned count = 0;
	for (size_t i = 0; i < JOBS; i++)
		count += l->jobs[i].kind == kind;
	return count < (kind == JOB_SEND ? SENDS : kind == JOB_RECV ? WANTS : HELD);
}

struct job *job_new(struct lane *l, enum job_kind kind, struct haul_req *req)
{
	struct job *j = l->jobs;
	while (j->kind != JOB_NONE)
		j++;
	*j = (struct job){ .kind = kind, .req = req, .born = l->ops };
	return j;
}

struct job *job_pick(struct lane *l, enum job_kind kind)
{
	size_t start = below(l, JOBS);
	for (size_t i = 0; i < JOBS; i++) {
		struct job *j = &l->jobs[(start + i) % JOBS];
		if (j->kind != JOB_NONE && (kind == JOB_NONE || j->kind == kind))
			return j;
	}
	return NULL;
}

unsigned jobs_under_way(const struct lane *l)
{
	unsigned count = 0;
	for (size_t i = 0; i < JOBS; i++)
		count += l->jobs[i].kind != JOB_NONE;
	return count;
}

/* Takes the result, and with it the job. */
static void finish(struct lane *l, struct job *j)
{
	struct haul_status s;
	enum job_kind kind = j->kind;
	int rc = haul_req_finish(j->req, &s);
	if (rc == -EINPROGRESS)
		fail("a request of kind %d was complete, and is not", kind);
	if (rc != s.error)
		fail("a request ended with %d, its status says %d", rc, s.error);
	j->kind = JOB_NONE;
	if (kind == JOB_SEND)
		sending_end(l, &j->sending, rc, (s.flags & HAUL_STATUS_UNKNOWN) != 0, j->cancel_asked,
		    j->deadline_asked);
	else if (kind == JOB_RECV)
		wanting_end(l, &j->wanting, &s, j->deadline_asked);
	else if (kind == JOB_TAKE)
		taken(l, &j->wanting, &s);
	else
		held_read_end(l, j, rc, &s);
	headway(l);
}

void job_end(struct lane *l, struct job *j)
{
	struct notice *n = j->notice;
	if (n != NULL && (n->job != NULL || chance(l, 2))) {
		notice_await(l, n);
		if (n->job != NULL)
			return; /* ended by the callback */
	}
	if (j->kind == JOB_TAKE && j->req != NULL && chance(l, 6)) {
		job_let_go(l, j);
		return;
	}
	finish(l, j);
	if (n != NULL) /* it has come, or never will; or just now, in another thread */
		n->dropped = l->node->alone && atomic_load(&n->count) == 0;
}

void job_cancel(struct lane *l, struct job *j)
{
	j->cancel_asked = true;
	l->ops++;
	if (j->kind == JOB_RECV || j->kind == JOB_TAKE)
		wanting_ask(l, &j->wanting);
	int rc = haul_req_cancel(j->req);
	if (rc != 0 && rc != -EALREADY)
		fail("haul_req_cancel: %s", strerror(-rc));
}

void job_deadline(struct lane *l, struct job *j, int ms)
{
	if (ms >= 0)
		j->deadline_asked = true;
	l->ops++;
	if (j->kind == JOB_RECV || j->kind == JOB_TAKE)
		wanting_ask(l, &j->wanting);
	int rc = haul_req_deadline(j->req, ms);
	if (rc != 0 && rc != -EALREADY)
		fail("haul_req_deadline: %s", strerror(-rc));
}

/* Its buffer is the library's until then, which we do not see: it is never used again. */
void job_let_go(struct lane *l, struct job *j)
{
	struct haul_req *req = j->req;
	enum job_kind kind = j->kind;
	bool exact = kind == JOB_RECV && j->wanting.match.ignore == 0 && j->wanting.match.from != NULL;
	if ((kind == JOB_RECV && !exact) || (kind != JOB_TAKE && l->unseen >= 40))
		return;
	if (kind == JOB_SEND) {
		if (j->sending.plan.len > 4096)
			return;
		atomic_store(&j->sending.sent->unknown, j->cancel_asked || j->deadline_asked);
		atomic_store(&j->sending.sent->state, SENT_UNSEEN);
	} else if (kind == JOB_RECV) {
		unsigned from = (unsigned)j->wanting.want->from;
		uint32_t number = (uint32_t)(j->wanting.match.tag & TAG_NUMBER);
		if (number < ledger->sent_most)
			atomic_store(&ledger_sent(from, l->node->index, l->index, number)->eaten, true);
		j->wanting.want->fate = WANT_UNSEEN;
	} else if (kind == JOB_TAKE) {
		wanting_ask(l, &j->wanting);
	}
	l->ops++;
	l->unseen += kind != JOB_TAKE;
	if (j->notice != NULL && j->notice->job != NULL)
		j->notice->job = NULL;
	if (j->batch != NULL)
		j->batch->owed = false; /* it may never complete, and so the batch */
	haul_req_free(req);
	if (j->notice != NULL)
		j->notice->dropped = l->node->alone && atomic_load(&j->notice->count) == 0;
	j->kind = JOB_NONE;
	if (kind == JOB_SEND && j->sending.buffer != NULL)
		arena_lose(&l->arena, j->sending.buffer);
	else if (kind == JOB_RECV)
		arena_lose(&l->arena, j->wanting.buffer);
	else if (kind == JOB_READ)
		arena_lose(&l->arena, j->read.buffer);
	if (kind == JOB_TAKE) {
		j->wanting.want->fate = WANT_RETURNED;
		j->wanting.want->ended = l->clock++;
	} else if (kind == JOB_READ) {
		j->read.held->reads--;
	}
	headway(l);
}

/* ---- callbacks ---- */

struct notice *notice_new(struct lane *l, struct haul_req *req, struct job *j)
{
	if (l->notice_count == NOTICES)
		return NULL;
	struct notice *n = &l->notices[l->notice_count++];
	n->lane = l;
	n->req = req;
	n->job = j;
	return n;
}

void notice_call(struct haul_req *r, void *arg)
{
	struct notice *n = arg;
	if (atomic_fetch_add(&n->count, 1) > 0)
		fail("a callback came twice");
	if (n->dropped)
		fail("a callback came for a request that was finished before");
	if (r != n->req)
		fail("a callback came for another request than it was asked for");
	if (n->job != NULL)
		finish(n->lane, n->job);
}

void notice_await(struct lane *l, struct notice *n)
{
	struct timespec start, now;
	clock_gettime(CLOCK_MONOTONIC, &start);
	n->owed = true;
	doing("haul_progress, for a callback");
	while (atomic_load(&n->count) == 0) {
		int rc = haul_progress(l->node->haul);
		if (rc < 0)
			fail("haul_progress: %s", strerror(-rc));
		if (rc == 0 && l->node->alone && atomic_load(&n->count) == 0)
			fail("a callback was due, and haul_progress() did not make it");
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec > ledger->config.patience_s / 2)
			fail("a callback was due, and did not come");
		sched_yield();
	}
}

void job_notify(struct lane *l, struct job *j)
{
	if (j->notice != NULL)
		return;
	bool ends = l->node->alone && j->kind != JOB_TAKE && chance(l, 2);
	struct notice *n = notice_new(l, j->req, ends ? j : NULL);
	if (n == NULL)
		return;
	j->notice = n;
	l->ops++;
	int rc = haul_req_notify(j->req, &(struct haul_notify){ .call = notice_call, .arg = n });
	if (rc != 0)
		fail("haul_req_notify: %s", strerror(-rc));
}

/* ---- the harvest ---- */

void reap(struct lane *l, int timeout_ms)
{
	struct job *jobs[JOBS];
	struct haul_req *reqs[JOBS];
	size_t done[JOBS], count = 0;
	for (size_t i = 0; i < JOBS; i++) {
		if (l->jobs[i].kind == JOB_NONE)
			continue;
		jobs[count] = &l->jobs[i];
		reqs[count++] = l->jobs[i].req;
	}
	if (count == 0)
		return;
	if (chance(l, 3)) {
		int i = haul_wait_any(reqs, count, timeout_ms);
		if (i >= 0 && l->node->alone)
			for (int k = 0; k < i; k++)
				if (haul_req_finish(reqs[k], NULL) != -EINPROGRESS)
					fail("haul_wait_any() gave %d of %zu, and %d was complete too", i,
					    count, k);
		if (i >= 0)
			job_end(l, jobs[i]);
		else if (i != -EAGAIN && i != -ETIMEDOUT)
			fail("haul_wait_any: %s", strerror(-i));
		return;
	}
	int n = chance(l, 20) ? haul_wait_all(reqs, count, timeout_ms) : -1;
	n = haul_wait_some(reqs, count, done, n == 0 ? 0 : timeout_ms);
	if (n < 0 && n != -EAGAIN && n != -ETIMEDOUT)
		fail("haul_wait_some: %s", strerror(-n));
	for (int i = 0; i < n; i++)
		if (jobs[done[i]]->kind != JOB_NONE && jobs[done[i]]->req == reqs[done[i]])
			job_end(l, jobs[done[i]]);
}
