/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Matching by two queues, and by bins where they are long. See match.h.
 *
 * Mostly what is looked for is near the head of its queue, because peers keep an order, or because there is
 * little in it; then nothing beats walking there. A queue in which a search has come far is filed, and stays
 * so until it is short again (filing.c). One for which there is no memory goes on being walked.
 */
#include "msg/match.h"

#include <string.h>

#include "msg/filing.h"

/* A search that has passed so many goes on in bins. */
enum { FAR = 32 };

void match_init(struct match *m)
{
	memset(m, 0, sizeof(*m));
	TAILQ_INIT(&m->recvs);
	TAILQ_INIT(&m->items);
	filing_init(m);
}

void match_fini(struct match *m)
{
	filing_fini(m);
}

/* A receive that takes anything from anybody, or a part of the tags, walks. */
static bool in_bins(const struct match_want *w)
{
	return w->from != NULL || w->ignore == 0;
}

struct match_item *match_find(struct match *m, const struct match_want *want)
{
	struct match_item *i;
	unsigned passed = 0;
	if (m->items_filed != 0 && in_bins(want))
		return filing_find_item(m, want);
	TAILQ_FOREACH (i, &m->items, entry) {
		if (match_fits(want, i))
			break;
		if (++passed == FAR && in_bins(want) && filing_start_items(m))
			return filing_find_item(m, want);
	}
	return i;
}

struct match_item *match_post(struct match *m, struct match_recv *r)
{
	struct match_item *i = TAILQ_EMPTY(&m->items) ? NULL : match_find(m, &r->want);
	if (i != NULL) {
		match_drop_item(m, i);
		return i;
	}
	r->order = ++m->posts;
	r->queued = true;
	TAILQ_INSERT_TAIL(&m->recvs, r, entry);
	if (m->recvs_filed != 0)
		filing_add_recv(m, r);
	return NULL;
}

/* A new message comes after all others. */
static void number(struct match *m, struct match_item *i)
{
	if (i->order == 0)
		i->order = ++m->arrivals;
}

/* Not inline: the usual case, below, would have to save registers for it. */
static __attribute__((noinline)) struct match_recv *search(struct match *m, const struct match_item *i)
{
	struct match_recv *r;
	unsigned passed = 0;
	if (m->recvs_filed != 0)
		return filing_find_recv(m, i);
	TAILQ_FOREACH (r, &m->recvs, entry) {
		if (match_fits(&r->want, i))
			break;
		if (++passed == FAR && filing_start_recvs(m))
			return filing_find_recv(m, i);
	}
	return r;
}

/* Filed or not: where the first wants it, no other comes before. */
static struct match_recv *wanting(struct match *m, const struct match_item *i)
{
	struct match_recv *r = TAILQ_FIRST(&m->recvs);
	return r == NULL || match_fits(&r->want, i) ? r : search(m, i);
}

struct match_recv *match_take(struct match *m, struct match_item *i)
{
	number(m, i);
	struct match_recv *r = wanting(m, i);
	if (r != NULL)
		match_drop_recv(m, r);
	return r;
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
	if (m->items_filed != 0)
		filing_add_item(m, i);
}

void match_drop_recv(struct match *m, struct match_recv *r)
{
	if (!r->queued)
		return;
	TAILQ_REMOVE(&m->recvs, r, entry);
	r->queued = false;
	if (m->recvs_filed != 0)
		filing_remove_recv(m, r);
}

void match_drop_item(struct match *m, struct match_item *i)
{
	if (!i->queued)
		return;
	TAILQ_REMOVE(&m->items, i, entry);
	i->queued = false;
	if (m->items_filed != 0)
		filing_remove_item(m, i);
}
