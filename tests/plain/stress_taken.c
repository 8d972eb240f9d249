/* SPDX-License-Identifier: BSD-3-Clause */
/* Taken messages: read in parts, in any order, some twice and some not at all; then done with, or refused. */
#include <errno.h>
#include <string.h>

#include "stress_lane.h"

bool held_room(const struct lane *l)
{
	unsigned count = 0;
	for (size_t i = 0; i < HELD; i++)
		count += l->held[i].msg != NULL;
	for (size_t i = 0; i < JOBS; i++)
		count += l->jobs[i].kind == JOB_TAKE;
	return count < HELD;
}

void taken(struct lane *l, struct wanting *w, const struct haul_status *s)
{
	if (s->error != 0) {
		wanting_missed(l, w, s->error, NULL);
		return;
	}
	struct held *h = l->held;
	struct haul_status again;
	while (h->msg != NULL)
		h++;
	*h = (struct held){ .msg = s->msg, .taker = *w };
	h->plan = identify(l, w, s, &h->by, &h->number);
	w->want->ended = l->clock++;
	w->want->fate = WANT_RETURNED; /* until it is done with */
	if (haul_msg_status(h->msg, &again) != 0 || again.tag != s->tag || again.len != s->len ||
	    again.msg != s->msg || again.got != 0)
		fail("a taken message's status is not that of its take");
}

static struct held *pick(struct lane *l)
{
	size_t start = below(l, HELD);
	for (size_t i = 0; i < HELD; i++)
		if (l->held[(start + i) % HELD].msg != NULL)
			return &l->held[(start + i) % HELD];
	return NULL;
}

/* What has become of it: 0 as long as it can be read. */
static int fate(const struct held *h)
{
	struct haul_status s;
	int rc = haul_msg_status(h->msg, &s);
	if (rc != 0)
		fail("haul_msg_status: %s", strerror(-rc));
	return s.error;
}

static void check_read(struct lane *l, const struct held *h, struct buffer *b, uint64_t offset, ssize_t rc)
{
	uint64_t left = offset < h->plan.len ? h->plan.len - offset : 0, most = left < b->len ? left : b->len;
	if (rc >= 0 && (uint64_t)rc != most)
		fail("%zd bytes at %llu of %#llx (%zu bytes) were read with room for %zu", rc,
		    (unsigned long long)offset, (unsigned long long)h->plan.tag, h->plan.len, b->len);
	if (rc >= 0) {
		buffer_expect(b, h->plan.key, offset, (size_t)rc);
		return;
	}
	bool may =
	    rc == -ECANCELED || rc == -ETIMEDOUT || rc == -EAGAIN || (rc == -ECONNRESET && killed(h->by));
	if (!may)
		fail("a read of %#llx from %u ended with %s (%s)", (unsigned long long)h->plan.tag, h->by,
		    strerror((int)-rc), haul_reason());
	if (rc == -ECONNRESET && fate(h) == 0)
		fail("a read of %#llx failed as if its sender were gone", (unsigned long long)h->plan.tag);
	buffer_expect_margins(b);
	(void)l;
}

void held_read(struct lane *l, bool at_once)
{
	struct held *h = pick(l);
	if (h == NULL)
		return;
	size_t most = chance(l, 4) ? h->plan.len : h->plan.len / 4 + 64;
	uint64_t offset = below(l, h->plan.len + 10);
	if (chance(l, 4))
		offset = 0;
	struct buffer *b = arena_take(&l->arena, FOR_RECEIVING, below(l, most + 1), &l->random);
	if (b == NULL)
		return;
	l->ops++;
	if (at_once) {
		int timeout = soon(l);
		ssize_t rc = haul_msg_read(h->msg, offset, buffer_list(b), b->count, timeout);
		check_read(l, h, b, offset, rc);
		arena_give(&l->arena, b);
		return;
	}
	struct haul_req *req;
	if (!job_room(l, JOB_READ)) {
		arena_give(&l->arena, b);
		return;
	}
	int rc = haul_msg_iread(h->msg, offset, buffer_list(b), b->count, &req);
	if (rc != 0)
		fail("haul_msg_iread: %s", strerror(-rc));
	struct job *j = job_new(l, JOB_READ, req);
	j->read.held = h;
	j->read.offset = offset;
	j->read.buffer = b;
	h->reads++;
}

void held_read_end(struct lane *l, struct job *j, int rc, const struct haul_status *s)
{
	struct held *h = j->read.held;
	if (rc == -ETIMEDOUT && !j->deadline_asked)
		fail("a read timed out, which nobody asked for");
	if (rc == -ECANCELED && !j->cancel_asked && !ledger->peer_canceled[l->node->index][h->by] &&
	    fate(h) == 0)
		fail("a read of %#llx was canceled by nobody", (unsigned long long)h->plan.tag);
	check_read(l, h, j->read.buffer, j->read.offset, rc == 0 ? (ssize_t)s->got : rc);
	arena_give(&l->arena, j->read.buffer);
	h->reads--;
}

/* What a synchronous sender hears of such a refusal. */
static int heard(int error)
{
	return error == -ETIMEDOUT || error == -ECANCELED ? -ECONNREFUSED : error;
}

bool held_end(struct lane *l, struct held *h)
{
	static const int errors[] = { -ECONNREFUSED, -ENOSPC, -ETIMEDOUT, -EPERM, -ECANCELED, -E2BIG };
	bool gone = fate(h) != 0;
	l->ops++;
	int error = chance(l, 3) ? errors[below(l, sizeof(errors) / sizeof(errors[0]))] : 0;
	int rc = error == 0 ? haul_msg_done(h->msg) : haul_msg_refuse(h->msg, error);
	if (rc == -EBUSY && h->reads == 0 && l->node->alone && l->unseen == 0)
		fail("no read is under way, and yet the message is busy");
	if (rc == -EBUSY)
		return false;
	if (rc != 0 || h->reads > 0)
		fail("a message could be let go of in the middle of a read, or not at all: %d", rc);
	if (gone)
		h->taker.want->fate = WANT_RETURNED;
	else
		received(l, &h->taker, h->by, h->number, heard(error), !l->node->alone);
	h->msg = NULL;
	return true;
}
