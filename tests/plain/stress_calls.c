/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls: those that start a request, those that begin and end an operation in one go, and those that make progress.
 * Each is one random operation of a lane.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "stress_lane.h"

/* ---- starting ---- */

/* The list is copied at once: what becomes of it afterwards is no matter. */
static void spoil_list(struct iovec *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		list[i] = (struct iovec){ (void *)16, 1 << 20 };
}

/* Not begun at all, then. */
static bool too_long_to_copy(const struct lane *l, const struct sending *s)
{
	uint64_t most = l->node->options.copy_budget != 0 ? l->node->options.copy_budget : 16 << 20;
	return (s->flags & HAUL_COPY) != 0 && s->plan.len > most;
}

void start_send(struct lane *l)
{
	struct sending s;
	struct haul_req *req;
	if (!job_room(l, JOB_SEND) || !sending_begin(l, &s, random_flags(l)))
		return;
	struct iovec *list = buffer_list(s.buffer);
	int rc = haul_isend(l->node->peers[s.to], s.plan.tag, list, s.buffer->count, s.flags, &req);
	spoil_list(list, s.buffer->count);
	if (rc != 0) {
		sending_end(l, &s, rc == -EMSGSIZE && too_long_to_copy(l, &s) ? -EAGAIN : rc, false, false,
		    false);
		return;
	}
	if ((s.flags & HAUL_COPY) != 0) {
		buffer_spoil(s.buffer);
		arena_give(&l->arena, s.buffer);
		s.buffer = NULL;
	}
	struct job *j = job_new(l, JOB_SEND, req);
	j->sending = s;
	if (ledger->config.large && chance(l, 2))
		job_deadline(l, j, 1 + (int)below(l, 3 * SOON_MS));
}

void start_recv(struct lane *l)
{
	struct wanting w;
	struct haul_match m;
	struct haul_req *req;
	size_t len = random_match(l, &m);
	if (!job_room(l, JOB_RECV) || !wanting_begin(l, &w, WANT_RECV, &m, len))
		return;
	struct iovec *list = buffer_list(w.buffer);
	int rc = haul_irecv(l->node->haul, &m, list, w.buffer->count, &req);
	spoil_list(list, w.buffer->count);
	if (rc != 0)
		fail("haul_irecv: %s", strerror(-rc));
	job_new(l, JOB_RECV, req)->wanting = w;
}

void start_take(struct lane *l)
{
	struct wanting w;
	struct haul_match m;
	struct haul_req *req;
	random_match(l, &m);
	if (!job_room(l, JOB_TAKE) || !held_room(l) || !wanting_begin(l, &w, WANT_TAKE, &m, 0))
		return;
	int rc = haul_itake(l->node->haul, &m, &req);
	if (rc != 0)
		fail("haul_itake: %s", strerror(-rc));
	job_new(l, JOB_TAKE, req)->wanting = w;
}

/* ---- in one go ---- */

void call_send(struct lane *l)
{
	struct sending s;
	int timeout = soon(l);
	if (!sending_begin(l, &s, random_flags(l)))
		return;
	int rc = haul_sendv(l->node->peers[s.to], s.plan.tag, buffer_list(s.buffer), s.buffer->count, s.flags,
	    timeout);
	if (rc == -EMSGSIZE && too_long_to_copy(l, &s))
		rc = -EAGAIN;
	if (rc == -ETIMEDOUT)
		sending_lost(l, &s);
	else
		sending_end(l, &s, rc, false, false, false);
}

/* With any buffer but one of many pieces, so that both calls are made. */
static ssize_t receive(struct lane *l, struct wanting *w, int timeout_ms, struct haul_status *s)
{
	if (w->buffer->count == 1)
		return haul_recv(l->node->haul, &w->match, w->buffer->pieces[0].iov_base, w->buffer->len,
		    timeout_ms, s);
	return haul_recvv(l->node->haul, &w->match, buffer_list(w->buffer), w->buffer->count, timeout_ms, s);
}

static bool receive_now(struct lane *l, const struct haul_match *m, size_t len, int timeout_ms)
{
	struct wanting w;
	struct haul_status s;
	if (!wanting_begin(l, &w, WANT_RECV, m, len))
		return false;
	wanting_ask(l, &w);
	ssize_t rc = receive(l, &w, timeout_ms, &s);
	if (rc != (s.error != 0 ? s.error : (ssize_t)s.got))
		fail("haul_recv() returned %zd, its status says %d, %llu bytes", rc, s.error,
		    (unsigned long long)s.got);
	wanting_end(l, &w, &s, timeout_ms >= 0);
	return rc >= 0 || rc == -EMSGSIZE;
}

void call_recv(struct lane *l)
{
	struct haul_match m;
	size_t len = random_match(l, &m);
	receive_now(l, &m, len, soon(l));
}

bool receive_anything(struct lane *l, int timeout_ms)
{
	struct haul_match m = { .tag = (uint64_t)(l->index + 1) << 56, .ignore = TAG_CLASS | TAG_NUMBER };
	return receive_now(l, &m, plan_longest(&ledger->config, chance(l, 20) ? 3 : 2), timeout_ms);
}

void call_take(struct lane *l)
{
	struct wanting w;
	struct haul_match m;
	struct haul_msg *msg;
	struct haul_status s = { 0 };
	random_match(l, &m);
	if (!held_room(l) || !wanting_begin(l, &w, WANT_TAKE, &m, 0))
		return;
	wanting_ask(l, &w);
	s.error = haul_take(l->node->haul, &m, soon(l), &msg);
	if (s.error == 0) {
		int rc = haul_msg_status(msg, &s);
		if (rc != 0)
			fail("haul_msg_status: %s", strerror(-rc));
		s.error = 0; /* the sender may have taken it back already, but it was taken */
	}
	taken(l, &w, &s);
}

void call_sendrecv(struct lane *l)
{
	struct sending s;
	struct wanting w;
	struct haul_match m;
	struct haul_status st;
	size_t len = random_match(l, &m);
	if (!sending_begin(l, &s, 0))
		return;
	if (s.buffer->count > 1 || !wanting_begin(l, &w, WANT_RECV, &m, len)) {
		sending_end(l, &s, -EAGAIN, false, false, false); /* not begun, rather */
		return;
	}
	if (w.buffer->count > 1) { /* one piece is enough to receive into, if a short one */
		w.buffer->count = 1;
		w.buffer->len = w.buffer->pieces[0].iov_len;
	}
	wanting_ask(l, &w);
	const struct iovec *from = s.buffer->pieces, *to = w.buffer->pieces;
	ssize_t rc =
	    haul_sendrecv(l->node->peers[s.to], s.plan.tag, s.buffer->count > 0 ? from->iov_base : NULL,
	        s.plan.len, &m, w.buffer->count > 0 ? to->iov_base : NULL, w.buffer->len, soon(l), &st);
	if (st.error != 0 && st.error != -EMSGSIZE) {
		if (killed(s.to) && st.error != -ETIMEDOUT && st.error != -EAGAIN) { /* of either half */
			wanting_missed(l, &w, -ECANCELED, l->node->peers[s.to]);
		} else {
			wanting_missed(l, &w, st.error, st.tag != 0 ? st.peer : NULL);
		}
		sending_lost(l, &s);
		return;
	}
	wanting_end(l, &w, &st, true);
	if (st.error != 0 || rc == -ETIMEDOUT || rc == -EAGAIN)
		sending_lost(l, &s);
	else
		sending_end(l, &s, rc < 0 ? (int)rc : 0, false, false, false);
}

/* What is seen may be received at once, unless its sender takes it back. */
void call_probe(struct lane *l)
{
	struct wanting w;
	struct haul_match m;
	struct haul_status s;
	unsigned by;
	uint32_t number;
	random_match(l, &m);
	if (!wanting_begin(l, &w, WANT_PROBE, &m, 0))
		return;
	wanting_ask(l, &w);
	int rc = haul_probe(l->node->haul, &m, soon(l), &s);
	if (rc != 0) {
		wanting_missed(l, &w, rc, NULL);
		return;
	}
	struct plan p = identify(l, &w, &s, &by, &number);
	w.want->fate = WANT_SAW;
	w.want->ended = l->clock++;
	if (chance(l, 4))
		return;
	m = (struct haul_match){ .from = l->node->peers[by], .tag = p.tag };
	receive_now(l, &m,
	    p.len + below(l, 20) < plan_longest(&ledger->config, 0) ? p.len + below(l, 20) : p.len, 0);
}

/* ---- batches ---- */

enum { BATCH = 6 };

union half {
	struct sending sending;
	struct wanting wanting;
};

static bool fill_op(struct lane *l, struct haul_op *op, union half *half)
{
	struct haul_match m;
	if (chance(l, 8))
		return true; /* HAUL_OP_NONE */
	if (chance(l, 2)) {
		if (!job_room(l, JOB_SEND) || !sending_begin(l, &half->sending, random_flags(l)))
			return false;
		const struct sending *s = &half->sending;
		*op = (struct haul_op){ .kind = HAUL_OP_SEND,
			.flags = s->flags,
			.peer = l->node->peers[s->to],
			.tag = s->plan.tag,
			.iov = s->buffer->pieces,
			.count = s->buffer->count };
		return true;
	}
	size_t len = random_match(l, &m);
	if (!job_room(l, JOB_RECV) || !wanting_begin(l, &half->wanting, WANT_RECV, &m, len))
		return false;
	*op = (struct haul_op){ .kind = HAUL_OP_RECV,
		.match = m,
		.iov = half->wanting.buffer->pieces,
		.count = half->wanting.buffer->count };
	return true;
}

static void end_op(struct lane *l, struct haul_op *op, union half *half, bool waited)
{
	if (op->kind == HAUL_OP_SEND) {
		int error = op->status.error;
		if (error == -EMSGSIZE && too_long_to_copy(l, &half->sending))
			error = -EAGAIN;
		sending_end(l, &half->sending, error, (op->status.flags & HAUL_STATUS_UNKNOWN) != 0, false,
		    waited);
	} else if (op->kind == HAUL_OP_RECV) {
		wanting_end(l, &half->wanting, &op->status, waited);
	}
}

void call_submit(struct lane *l)
{
	struct haul_op ops[BATCH] = { 0 };
	union half halves[BATCH];
	size_t count = 0, want = 1 + below(l, BATCH);
	bool waited = chance(l, 2);
	struct notice *n = waited || chance(l, 2) ? NULL : notice_new(l, NULL, NULL);
	while (count < want && JOBS - jobs_under_way(l) > BATCH && fill_op(l, &ops[count], &halves[count]))
		count++;
	for (size_t i = 0; waited && i < count; i++)
		if (ops[i].kind == HAUL_OP_RECV)
			wanting_ask(l, &halves[i].wanting);
	int rc = haul_submit(l->node->haul, ops, count, waited ? 1 + (int)below(l, SOON_MS) : 0,
	    n != NULL ? &(struct haul_notify){ .call = notice_call, .arg = n } : NULL);
	if (rc != 0 && rc != -EIO)
		fail("haul_submit: %s", strerror(-rc));
	if (n != NULL)
		n->owed = true;
	for (size_t i = 0; i < count; i++) {
		if (rc == 0 && ops[i].status.error != 0)
			fail("haul_submit() returned 0, but operation %zu ended with %d", i,
			    ops[i].status.error);
		if (ops[i].req == NULL) {
			end_op(l, &ops[i], &halves[i], waited);
			continue;
		}
		if (waited)
			fail("haul_submit() waited, but left a request");
		struct job *j = job_new(l, ops[i].kind == HAUL_OP_SEND ? JOB_SEND : JOB_RECV, ops[i].req);
		j->batch = n;
		if (j->kind == JOB_SEND)
			j->sending = halves[i].sending;
		else
			j->wanting = halves[i].wanting;
	}
}

/* ---- progress ---- */

void call_progress(struct lane *l)
{
	l->ops++;
	int rc = haul_progress(l->node->haul);
	if (rc < 0)
		fail("haul_progress: %s", strerror(-rc));
}

/* Something to higher nodes will certainly end: they wait for none lower. */
static struct job *certain(struct lane *l)
{
	for (size_t i = 0; i < JOBS; i++)
		if (l->jobs[i].kind == JOB_SEND && l->jobs[i].sending.to > l->node->index)
			return &l->jobs[i];
	return NULL;
}

void call_wait_certain(struct lane *l)
{
	struct job *j = certain(l);
	if (j == NULL)
		return;
	l->ops++;
	int rc = haul_req_wait(j->req, -1);
	if (rc != 0)
		fail("haul_req_wait: %s", strerror(-rc));
	job_end(l, j);
}

/* As an event loop does: progress, look, arm, sleep. The descriptor belongs to one thread. */
void call_arm(struct lane *l)
{
	struct haul *h = l->node->haul;
	struct job *j = certain(l);
	struct pollfd p = { .fd = haul_fd(h), .events = POLLIN };
	if (p.fd < 0)
		fail("haul_fd: %s", strerror(-p.fd));
	int rc;
	do {
		while ((rc = haul_progress(h)) > 0)
			;
		if (rc < 0)
			fail("haul_progress: %s", strerror(-rc));
		if (j == NULL || j->kind == JOB_NONE)
			return;
		if (haul_wait_any(&j->req, 1, 0) == 0) {
			job_end(l, j);
			return;
		}
		rc = haul_arm(h);
		l->ops++;
		if (rc != 0 && rc != -EAGAIN)
			fail("haul_arm: %s", strerror(-rc));
	} while (rc != 0 || poll(&p, 1, ledger->config.patience_s * 1000) != 0);
	fail("the descriptor stayed silent");
}

void call_peer_cancel(struct lane *l)
{
	unsigned to = (unsigned)below(l, ledger->config.nodes);
	if (l->node->peers[to] == NULL)
		return;
	atomic_store(&ledger->peer_canceled[l->node->index][to], true);
	for (size_t i = 0; i < JOBS; i++) {
		struct job *j = &l->jobs[i];
		if ((j->kind == JOB_RECV || j->kind == JOB_TAKE) &&
		    j->wanting.match.from == l->node->peers[to])
			wanting_ask(l, &j->wanting);
	}
	l->ops++;
	int rc = haul_peer_cancel(l->node->peers[to]);
	if (rc < 0)
		fail("haul_peer_cancel: %s", strerror(-rc));
}

/* What looks only. */
void call_look(struct lane *l)
{
	struct haul_stats stats;
	struct haul_peer_info info;
	l->ops++;
	unsigned i = (unsigned)below(l, ledger->config.nodes);
	if (haul_stats(l->node->haul, &stats, sizeof(stats)) != 0)
		fail("haul_stats: %s", haul_reason());
	if (l->node->peers[i] == NULL)
		return;
	if (haul_peer_info(l->node->peers[i], &info, sizeof(info)) != 0 ||
	    haul_peer_stats(l->node->peers[i], &stats, sizeof(stats)) != 0)
		fail("haul_peer_info: %s", haul_reason());
	if (!info.alive && !killed(i))
		fail("node %u is said not to live", i);
}
