/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls that start a request, and calls that begin and end an operation in one go: each a random operation of a lane.
 */
#include <errno.h>
#include <string.h>

#include "stress_lane.h"

/* ---- starting ---- */

/* The list is copied at once: what becomes of it afterwards is no matter. */
static void spoil_list(struct iovec *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		list[i] = (struct iovec){ (void *)16, 1 << 20 };
}

bool too_long_to_copy(const struct lane *l, const struct sending *s)
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
	struct job *j = job_new(l, JOB_RECV, req);
	j->wanting = w;
	if (ledger->config.large && chance(l, 3))
		job_deadline(l, j, (int)below(l, 3 * SOON_MS));
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
