/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages arriving: received or taken. In the strict lanes a ring of receives is kept posted, looked at in the order
 * it was posted; in the other lane they come and go, are canceled, or give up.
 */
#include <errno.h>
#include <string.h>

#include "soak_node.h"

/* ---- what one got ---- */

/* Whether a receive or take may end like that, without a message. */
static bool may_miss(const struct job *j, const struct haul_status *s)
{
	switch (s->error) {
	case -ECANCELED: /* or its sender took the message back */
	case -ECONNRESET:
	case -EPIPE:
		return true;
	case -ETIMEDOUT:
	case -EAGAIN:
		return j->deadline_asked;
	default:
		return false;
	}
}

/* Checks all but the order. */
static void check(struct node *n, const struct buffer *b, const struct haul_status *s, unsigned lane)
{
	struct plan p = plan_of(s->tag);
	struct link *l = s->peer != NULL ? haul_peer_user(s->peer) : NULL;
	unsigned from = tag_from(s->tag);
	if (tag_lane(s->tag) != lane || from >= NODES || from == n->index)
		fail("a receive of lane %u was given %#llx", lane, (unsigned long long)s->tag);
	if (l != NULL && l->node != from)
		fail("%#llx came from node %u", (unsigned long long)s->tag, l->node);
	if (s->len != p.len)
		fail("%#llx has %llu bytes, not %zu", (unsigned long long)s->tag, (unsigned long long)s->len,
		    p.len);
	if (b == NULL)
		return;
	uint64_t most = p.len < b->len ? p.len : b->len;
	if (s->got != most || (s->error == 0) != (most == p.len))
		fail("%llu of %zu bytes of %#llx came, with room for %zu: %s", (unsigned long long)s->got,
		    p.len, (unsigned long long)s->tag, b->len, strerror(-s->error));
}

static void delivered(struct node *n, uint64_t tag)
{
	atomic_fetch_add(&board->delivered[tag_from(tag)][n->index], 1);
	count(COUNT_RECEIVED);
}

/* Fills in the place in the ring, or counts at once. */
static void arrived(struct node *n, struct job *j, uint64_t tag, bool unsure)
{
	if (!j->strict) {
		if (tag != 0)
			stream_arrived(n, tag, unsure);
		return;
	}
	unsigned lane = j->lane, *first = &n->first[lane];
	for (unsigned i = 0; i < RING; i++)
		if (n->ring[lane][i].job == j)
			n->ring[lane][i] = (struct place){ .tag = tag, .unsure = unsure };
	for (; n->length[lane] > 0 && n->ring[lane][*first].job == NULL; n->length[lane]--) {
		struct place *p = &n->ring[lane][*first];
		if (p->tag != 0)
			stream_arrived(n, p->tag, p->unsure);
		*first = (*first + 1) % RING;
	}
}

static void received(struct node *n, struct job *j, const struct haul_status *s)
{
	uint64_t tag = 0;
	if (s->error == 0 || s->error == -EMSGSIZE) {
		tag = s->tag;
		check(n, j->buffer, s, j->lane);
		buffer_expect(j->buffer, plan_of(tag).key, 0, (size_t)s->got);
		delivered(n, tag);
	} else if (may_miss(j, s)) {
		buffer_expect_margins(j->buffer);
	} else {
		fail("a receive ended with %s (%s)", strerror(-s->error), haul_reason());
	}
	arena_give(&n->arena, j->buffer);
	j->buffer = NULL;
	arrived(n, j, tag, false);
}

void recv_end(struct node *n, struct job *j, const struct haul_status *s)
{
	received(n, j, s);
}

/* ---- taken ones ---- */

/* By a request that is given up if it takes long. */
static ssize_t read_by_request(struct node *n, struct haul_msg *m, uint64_t offset, const struct buffer *b)
{
	struct haul_req *req;
	struct haul_status s;
	int rc = haul_msg_iread(m, offset, buffer_list(b), b->count, &req);
	if (rc != 0)
		fail("haul_msg_iread: %s", strerror(-rc));
	if (haul_req_wait(req, (int)below(n, 30)) != 0) {
		if (chance(n, 2))
			haul_req_cancel(req);
		else
			haul_req_deadline(req, (int)below(n, 30));
		if (haul_req_wait(req, PATIENCE_MS) != 0)
			fail("a read was canceled, or its time was up, and it did not end");
	}
	rc = haul_req_finish(req, &s);
	return rc != 0 ? rc : (ssize_t)s.got;
}

static void read_part(struct node *n, struct haul_msg *m, const struct plan *p)
{
	uint64_t offset = chance(n, 2) ? 0 : below(n, p->len + 10);
	size_t room = chance(n, 3) ? p->len : below(n, p->len / 4 + 64);
	struct buffer *b = arena_take(&n->arena, FOR_RECEIVING, room, &n->random);
	if (b == NULL)
		return;
	uint64_t left = offset < p->len ? p->len - offset : 0, most = left < b->len ? left : b->len;
	ssize_t rc = chance(n, 2) ? read_by_request(n, m, offset, b)
	                          : haul_msg_read(m, offset, buffer_list(b), b->count, 1000);
	if (rc >= 0 && (uint64_t)rc != most)
		fail("%zd bytes at %llu of %#llx were read, with room for %zu", rc,
		    (unsigned long long)offset, (unsigned long long)p->tag, b->len);
	if (rc >= 0)
		buffer_expect(b, p->key, offset, (size_t)rc);
	else if (rc == -ECANCELED || rc == -ETIMEDOUT || rc == -ECONNRESET || rc == -EPIPE || rc == -EAGAIN)
		buffer_expect_margins(b);
	else
		fail("a read of %#llx ended with %s (%s)", (unsigned long long)p->tag, strerror((int)-rc),
		    haul_reason());
	arena_give(&n->arena, b);
}

void take_end(struct node *n, struct job *j, const struct haul_status *s)
{
	struct haul_status now;
	if (s->error != 0) {
		if (!may_miss(j, s))
			fail("a take ended with %s (%s)", strerror(-s->error), haul_reason());
		arrived(n, j, 0, false);
		return;
	}
	check(n, NULL, s, j->lane);
	struct plan p = plan_of(s->tag);
	for (size_t i = below(n, 4); i > 0; i--)
		read_part(n, s->msg, &p);
	int rc = haul_msg_status(s->msg, &now);
	if (rc != 0 || now.tag != s->tag || now.len != s->len)
		fail("a taken message's status is not that of its take");
	rc = chance(n, 4) ? haul_msg_refuse(s->msg, -ECONNREFUSED) : haul_msg_done(s->msg);
	if (rc != 0)
		fail("a taken message can't be let go of: %s", strerror(-rc));
	delivered(n, p.tag);
	count(COUNT_TAKEN);
	arrived(n, j, p.tag, true);
}

/* ---- wanted ones ---- */

static size_t room_for_some(struct node *n)
{
	size_t at = below(n, 20);
	return at == 0 ? 4 << 20 : at < 12 ? 65536 : at < 19 ? 4096 : below(n, 64);
}

static void choose_match(struct node *n, struct haul_match *m, unsigned lane)
{
	struct link *l = chance(n, 4) ? link_pick(n) : NULL;
	*m = (struct haul_match){ .from = l != NULL ? l->peer : NULL };
	lane_match(m, lane);
}

static struct job *want(struct node *n, enum job_kind kind, unsigned lane, int deadline_ms)
{
	struct haul_match m;
	struct job *j = job_new(n, kind, lane);
	if (j == NULL)
		return NULL;
	choose_match(n, &m, lane);
	if (kind == JOB_RECV) {
		j->buffer = arena_take(&n->arena, FOR_RECEIVING, room_for_some(n), &n->random);
		if (j->buffer == NULL) {
			j->kind = JOB_NONE;
			return NULL;
		}
	}
	int rc = kind == JOB_RECV ? haul_irecv(n->haul, &m, buffer_list(j->buffer), j->buffer->count, &j->req)
	                          : haul_itake(n->haul, &m, &j->req);
	if (rc != 0)
		fail("haul_irecv or haul_itake: %s", strerror(-rc));
	job_started(n, j, deadline_ms);
	return j;
}

void rings_fill(struct node *n)
{
	for (unsigned lane = 0; lane < STRICT; lane++) {
		while (n->length[lane] < RING) {
			struct job *j = want(n, chance(n, 5) ? JOB_TAKE : JOB_RECV, lane, -1);
			if (j == NULL)
				break;
			j->strict = true;
			unsigned at = (n->first[lane] + n->length[lane]++) % RING;
			n->ring[lane][at] = (struct place){ .job = j };
		}
	}
}

void recv_begin(struct node *n)
{
	unsigned wants = 0;
	for (size_t i = 0; i < JOBS; i++)
		wants += !n->jobs[i].strict && (n->jobs[i].kind == JOB_RECV || n->jobs[i].kind == JOB_TAKE);
	if (wants >= WANTS)
		return;
	want(n, chance(n, 5) ? JOB_TAKE : JOB_RECV, STRICT, chance(n, 3) ? (int)below(n, 50) : 5000);
}

void recv_now(struct node *n)
{
	struct job j = { .kind = JOB_RECV, .lane = STRICT, .deadline_asked = true };
	struct haul_status s;
	struct haul_match m;
	choose_match(n, &m, STRICT);
	if ((j.buffer = arena_take(&n->arena, FOR_RECEIVING, room_for_some(n), &n->random)) == NULL)
		return;
	ssize_t rc = haul_recvv(n->haul, &m, buffer_list(j.buffer), j.buffer->count, (int)below(n, 5), &s);
	if (rc < 0 ? rc != s.error : s.error != 0 || (uint64_t)rc != s.len)
		fail("haul_recvv() gives %zd, its status %d and %llu bytes", rc, s.error,
		    (unsigned long long)s.len);
	received(n, &j, &s);
}

void probe_now(struct node *n)
{
	struct haul_match m;
	struct haul_status s;
	choose_match(n, &m, STRICT);
	int rc = haul_probe(n->haul, &m, (int)below(n, 5), &s);
	if (rc == 0)
		check(n, NULL, &s, STRICT);
	else if (rc != -EAGAIN && rc != -ETIMEDOUT && rc != -ECONNRESET && rc != -EPIPE)
		fail("haul_probe: %s (%s)", strerror(-rc), haul_reason());
}
