/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages leaving: started with a deadline, some taken back, and what may become of them. */
#include <errno.h>
#include <string.h>

#include "soak_node.h"

/* Chooses to whom, in which lane, and fills a buffer. False: there is nobody, or no room. */
static bool prepare(struct node *n, struct job *j, struct link **to)
{
	struct link *l = link_pick(n);
	if (l == NULL)
		return false;
	unsigned lane = (unsigned)below(n, LANES);
	struct plan p = plan_of(tag_of(n->index, lane, l->serial, l->next[lane]));
	struct buffer *b = arena_take(&n->arena, FOR_SENDING, p.len, &n->random);
	if (b == NULL)
		return false;
	if (lane < STRICT && l->under_way[lane] == 0 && chance(n, 4))
		milestone_set(n, l, lane);
	l->next[lane]++;
	l->under_way[lane]++;
	buffer_fill(b, p.key);
	j->buffer = b;
	j->lane = lane;
	j->tag = p.tag;
	j->serial = l->serial;
	j->to = l->node;
	j->term = l->term;
	j->flags = chance(n, 3) ? HAUL_SYNC : 0;
	if (p.len <= 65536 && chance(n, 4)) /* less than any flavour's copy_budget */
		j->flags |= HAUL_COPY;
	*to = l;
	return true;
}

static bool may_end(const struct node *n, const struct job *j, int rc)
{
	switch (rc) {
	case 0:
	case -EAGAIN: /* was not begun */
		return true;
	case -ECANCELED:
		return j->cancel_asked || n->leaving || may_break(n, j->to, j->term);
	case -ETIMEDOUT:
		return j->deadline_asked;
	case -ECONNRESET:
	case -EPIPE:
		return may_break(n, j->to, j->term);
	case -ECONNREFUSED:
	case -EMSGSIZE:
		return (j->flags & HAUL_SYNC) != 0;
	default:
		return false;
	}
}

static void sent(struct node *n, struct job *j, int rc, bool unknown)
{
	struct link *l = link_by_serial(n, j->serial);
	if (!may_end(n, j, rc))
		fail("a send of %#llx to %u ended with %s (%s)", (unsigned long long)j->tag, j->to,
		    strerror(-rc), haul_reason());
	buffer_spoil(j->buffer);
	arena_give(&n->arena, j->buffer);
	j->buffer = NULL;
	count(rc == 0              ? COUNT_SENT
	        : rc == -ETIMEDOUT ? COUNT_LATE
	        : rc == -ECANCELED ? COUNT_CANCELED
	                           : COUNTS - 1);
	if (l == NULL)
		return;
	l->under_way[j->lane]--;
	/* A copy is complete while it is still here: it is lost if we are killed, and what went eagerly after it is not. */
	bool still_here = rc == 0 && (j->flags & (HAUL_COPY | HAUL_SYNC)) == HAUL_COPY;
	if (still_here)
		l->unsure[j->lane]++;
	else if (rc == 0 || rc == -ECONNREFUSED || rc == -EMSGSIZE)
		l->least[j->lane]++;
	else if (unknown)
		l->unsure[j->lane]++;
}

void send_end(struct node *n, struct job *j, int rc, const struct haul_status *s)
{
	sent(n, j, rc, (s->flags & HAUL_STATUS_UNKNOWN) != 0);
}

void send_begin(struct node *n)
{
	struct job made = { .kind = JOB_SEND };
	struct link *l;
	struct job *j = job_new(n, JOB_SEND, 0);
	if (j == NULL || !prepare(n, &made, &l)) {
		if (j != NULL)
			j->kind = JOB_NONE;
		return;
	}
	*j = made;
	int rc = haul_isend(l->peer, j->tag, buffer_list(j->buffer), j->buffer->count, j->flags, &j->req);
	if (rc != 0) {
		j->kind = JOB_NONE;
		sent(n, j, rc, false);
		return;
	}
	job_started(n, j, chance(n, 8) ? (int)below(n, 50) : 20000);
}

void send_now(struct node *n)
{
	struct job j = { .kind = JOB_SEND, .deadline_asked = true };
	struct link *l;
	if (!prepare(n, &j, &l))
		return;
	int rc =
	    haul_sendv(l->peer, j.tag, buffer_list(j.buffer), j.buffer->count, j.flags, (int)below(n, 100));
	sent(n, &j, rc, rc == -ETIMEDOUT);
}
