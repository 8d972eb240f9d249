/* SPDX-License-Identifier: BSD-3-Clause */
/* Matching by two queues. See match.h. */
#include "msg/match.h"

#include <stddef.h>

static bool fits(const struct match_want *w, const struct match_item *i)
{
	return w->channel == i->channel && (w->from == NULL || w->from == i->from) &&
	    ((w->tag ^ i->tag) & ~w->ignore) == 0;
}

void match_init(struct match *m)
{
	TAILQ_INIT(&m->recvs);
	TAILQ_INIT(&m->items);
	m->arrivals = 0;
}

struct match_item *match_find(const struct match *m, const struct match_want *want)
{
	struct match_item *i;
	TAILQ_FOREACH (i, &m->items, entry)
		if (fits(want, i))
			return i;
	return NULL;
}

struct match_item *match_post(struct match *m, struct match_recv *r)
{
	struct match_item *i = match_find(m, &r->want);
	if (i != NULL) {
		match_drop_item(m, i);
		return i;
	}
	TAILQ_INSERT_TAIL(&m->recvs, r, entry);
	r->queued = true;
	return NULL;
}

/* A new message comes after all others. */
static void number(struct match *m, struct match_item *i)
{
	if (i->order == 0)
		i->order = ++m->arrivals;
}

struct match_recv *match_take(struct match *m, struct match_item *i)
{
	struct match_recv *r;
	number(m, i);
	TAILQ_FOREACH (r, &m->recvs, entry) {
		if (fits(&r->want, i)) {
			match_drop_recv(m, r);
			return r;
		}
	}
	return NULL;
}

void match_queue(struct match *m, struct match_item *i)
{
	number(m, i);
	struct match_item *before;
	TAILQ_FOREACH_REVERSE (before, &m->items, match_items, entry)
		if (before->order < i->order)
			break;
	if (before != NULL)
		TAILQ_INSERT_AFTER(&m->items, before, i, entry);
	else
		TAILQ_INSERT_HEAD(&m->items, i, entry);
	i->queued = true;
}

void match_drop_recv(struct match *m, struct match_recv *r)
{
	if (r->queued)
		TAILQ_REMOVE(&m->recvs, r, entry);
	r->queued = false;
}

void match_drop_item(struct match *m, struct match_item *i)
{
	if (i->queued)
		TAILQ_REMOVE(&m->items, i, entry);
	i->queued = false;
}
