/* SPDX-License-Identifier: BSD-3-Clause */
/* One random operation after the other, and requests under way: none may be under way for longer than it was given. */
#include <errno.h>
#include <string.h>

#include "soak_node.h"

struct job *job_new(struct node *n, enum job_kind kind, unsigned lane)
{
	for (size_t i = 0; i < JOBS; i++) {
		struct job *j = &n->jobs[i];
		if (j->kind == JOB_NONE) {
			*j = (struct job){ .kind = kind, .lane = lane };
			return j;
		}
	}
	return NULL;
}

void job_started(struct node *n, struct job *j, int deadline_ms)
{
	j->born = n->own_ms;
	j->limit_ms = 2 * PATIENCE_MS + (deadline_ms > 0 ? deadline_ms : 0);
	if (deadline_ms < 0)
		return;
	j->deadline_asked = true;
	int rc = haul_req_deadline(j->req, deadline_ms);
	if (rc != 0 && rc != -EALREADY)
		fail("haul_req_deadline: %s", strerror(-rc));
}

void job_finish(struct node *n, struct job *j)
{
	struct haul_status s;
	int rc = haul_req_finish(j->req, &s);
	if (rc == -EINPROGRESS || rc != s.error)
		fail("a request ended with %d, its status says %d", rc, s.error);
	if (j->kind == JOB_SEND)
		send_end(n, j, rc, &s);
	else if (j->kind == JOB_RECV)
		recv_end(n, j, &s);
	else
		take_end(n, j, &s);
	j->kind = JOB_NONE;
}

static void reap(struct node *n, int timeout_ms)
{
	struct haul_req *reqs[JOBS] = { NULL };
	size_t done[JOBS];
	for (size_t i = 0; i < JOBS; i++)
		reqs[i] = n->jobs[i].kind != JOB_NONE ? n->jobs[i].req : NULL;
	int count = haul_wait_some(reqs, JOBS, done, timeout_ms);
	if (count < 0 && count != -EAGAIN && count != -ETIMEDOUT && count != -ENOENT)
		fail("haul_wait_some: %s", strerror(-count));
	for (int i = 0; i < count; i++)
		job_finish(n, &n->jobs[done[i]]);
	for (size_t i = 0; i < JOBS; i++) {
		struct job *j = &n->jobs[i];
		if (j->kind != JOB_NONE && n->own_ms - j->born > j->limit_ms)
			fail("a request of kind %d in lane %u is under way for %lld ms", j->kind, j->lane,
			    (long long)(n->own_ms - j->born));
	}
}

static struct job *job_pick(struct node *n)
{
	struct job *j = &n->jobs[below(n, JOBS)];
	return j->kind != JOB_NONE && !j->strict ? j : NULL;
}

static void cancel_some(struct node *n)
{
	struct job *j = job_pick(n);
	if (j == NULL)
		return;
	j->cancel_asked = true;
	int rc = haul_req_cancel(j->req);
	if (rc != 0 && rc != -EALREADY)
		fail("haul_req_cancel: %s", strerror(-rc));
}

static void hurry_some(struct node *n)
{
	struct job *j = job_pick(n);
	if (j != NULL)
		job_started(n, j, (int)below(n, 20));
}

static void flush_some(struct node *n)
{
	struct link *l = link_pick(n);
	if (l == NULL)
		return;
	int rc = haul_peer_flush(l->peer, (int)below(n, 50));
	if (rc != 0 && rc != -ETIMEDOUT && rc != -EAGAIN && !may_break(n, l->node, l->term))
		fail("haul_peer_flush: %s (%s)", strerror(-rc), haul_reason());
}

static void make_progress(struct node *n)
{
	int rc = haul_progress(n->haul);
	if (rc < 0)
		fail("haul_progress: %s", strerror(-rc));
}

static void wait_a_moment(struct node *n)
{
	reap(n, (int)below(n, 3));
}

static const struct {
	const char *name;
	unsigned weight;
	void (*run)(struct node *n);
} program[] = {
	{ "haul_isend", 100, send_begin },
	{ "haul_sendv", 6, send_now },
	{ "haul_irecv", 20, recv_begin },
	{ "haul_recvv", 10, recv_now },
	{ "haul_probe", 3, probe_now },
	{ "haul_req_cancel", 4, cancel_some },
	{ "haul_req_deadline", 4, hurry_some },
	{ "haul_peer_flush", 1, flush_some },
	{ "haul_progress", 5, make_progress },
	{ "haul_wait_some", 20, wait_a_moment },
};

void traffic_step(struct node *n)
{
	unsigned sum = 0;
	size_t i;
	for (i = 0; i < sizeof(program) / sizeof(program[0]); i++)
		sum += program[i].weight;
	unsigned at = (unsigned)below(n, sum);
	for (i = 0; at >= program[i].weight; i++)
		at -= program[i].weight;
	doing("haul_irecv");
	rings_fill(n);
	doing(program[i].name);
	program[i].run(n);
	doing("haul_wait_some");
	reap(n, 0);
}

/* Asks all to end, and waits a while. What is left ends with the context. */
void traffic_end(struct node *n)
{
	int64_t until = n->own_ms + 500;
	doing("the end of a context");
	for (size_t i = 0; i < JOBS; i++) {
		if (n->jobs[i].kind == JOB_NONE)
			continue;
		n->jobs[i].cancel_asked = true;
		haul_req_cancel(n->jobs[i].req);
	}
	for (int64_t last = now_ms(); n->own_ms < until; last = now_ms()) {
		size_t busy = 0;
		reap(n, 10);
		n->own_ms += now_ms() - last;
		for (size_t i = 0; i < JOBS; i++)
			busy += n->jobs[i].kind != JOB_NONE;
		if (busy == 0)
			break;
	}
}

void traffic_forget(struct node *n)
{
	for (size_t i = 0; i < JOBS; i++) {
		struct buffer *b = n->jobs[i].kind != JOB_NONE ? n->jobs[i].buffer : NULL;
		if (b != NULL && b->use == FOR_RECEIVING) /* with a part of a message, perhaps */
			buffer_expect_margins(b);
		if (b != NULL)
			arena_give(&n->arena, b);
	}
	memset(n->jobs, 0, sizeof(n->jobs));
	memset(n->ring, 0, sizeof(n->ring));
	memset(n->first, 0, sizeof(n->first));
	memset(n->length, 0, sizeof(n->length));
}
