/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests under way: canceled, given deadlines, let go of, told of by callbacks, waited for; and ended.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "stress_lane.h"

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
