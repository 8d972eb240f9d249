/* SPDX-License-Identifier: BSD-3-Clause */
/* The queues of a match, filed in bins. See filing.h. */
#include "msg/filing.h"

#include <stddef.h>
#include <string.h>

/* A queue that gets shorter is walked again: filing all that comes and goes would cost more. */
enum { SHORT = 4 };

/* ---- keys ---- */

static enum match_tag tag_named(const struct match_want *w)
{
	return w->ignore == 0 ? MATCH_TAG : w->ignore == UINT64_MAX ? MATCH_TAG_ANY : MATCH_TAG_PART;
}

static struct bin_key key_of(const void *from, enum match_tag named, uint64_t tag, uint32_t channel)
{
	return (struct bin_key){ .from = from,
		.tag = named == MATCH_TAG ? tag : 0,
		.channel = channel,
		.kind = named };
}

static struct match_recv *recv_of(const struct bin_link *l)
{
	return (struct match_recv *)((char *)l - offsetof(struct match_recv, link));
}

static struct bin_place recv_place(const struct bin_link *l)
{
	const struct match_recv *r = recv_of(l);
	const struct match_want *w = &r->want;
	return (struct bin_place){ key_of(w->from, tag_named(w), w->tag, w->channel), r->order };
}

static struct match_item *item_of(const struct bin_link *l, enum match_way way)
{
	return (struct match_item *)((char *)(l - way) - offsetof(struct match_item, links));
}

static struct bin_place by_both(const struct bin_link *l)
{
	const struct match_item *i = item_of(l, MATCH_BY_BOTH);
	return (struct bin_place){ key_of(i->from, MATCH_TAG, i->tag, i->channel), i->order };
}

static struct bin_place by_tag(const struct bin_link *l)
{
	const struct match_item *i = item_of(l, MATCH_BY_TAG);
	return (struct bin_place){ key_of(NULL, MATCH_TAG, i->tag, i->channel), i->order };
}

static struct bin_place by_source(const struct bin_link *l)
{
	const struct match_item *i = item_of(l, MATCH_BY_SOURCE);
	return (struct bin_place){ key_of(i->from, MATCH_TAG_ANY, 0, i->channel), i->order };
}

/* ---- receives ---- */

static size_t *alike(struct match *m, const struct match_want *w)
{
	return &m->alike[w->from != NULL][tag_named(w)];
}

bool filing_start_recvs(struct match *m)
{
	struct match_recv *r;
	if (!bins_start(&m->recv_bins))
		return false;
	TAILQ_FOREACH (r, &m->recvs, entry)
		filing_add_recv(m, r);
	return true;
}

static void stop_recvs(struct match *m)
{
	bins_stop(&m->recv_bins);
	m->recvs_filed = 0;
	memset(m->alike, 0, sizeof(m->alike));
}

void filing_add_recv(struct match *m, struct match_recv *r)
{
	bins_add(&m->recv_bins, &r->link);
	++*alike(m, &r->want);
	m->recvs_filed++;
}

void filing_remove_recv(struct match *m, struct match_recv *r)
{
	if (m->recvs_filed <= SHORT) {
		stop_recvs(m);
		return;
	}
	bins_remove(&m->recv_bins, &r->link);
	--*alike(m, &r->want);
	m->recvs_filed--;
}

/* A message may be wanted by the receives of up to six bins: the first posted of the first in each. In those of
 * a part of the tag, the first has to be looked for. */
struct match_recv *filing_find_recv(const struct match *m, const struct match_item *i)
{
	struct match_recv *best = NULL;
	for (unsigned kind = 0; kind < 2 * MATCH_TAGS; kind++) {
		bool source = kind / MATCH_TAGS;
		enum match_tag named = kind % MATCH_TAGS;
		if (m->alike[source][named] == 0)
			continue;
		struct bin_key key = key_of(source ? i->from : NULL, named, i->tag, i->channel);
		for (struct bin_link *l = bins_first(&m->recv_bins, &key); l != NULL; l = l->next) {
			struct match_recv *r = recv_of(l);
			if (best != NULL && best->order < r->order)
				break;
			if (match_fits(&r->want, i)) {
				best = r;
				break;
			}
		}
	}
	return best;
}

/* ---- messages ---- */

static void stop_items(struct match *m)
{
	for (int way = 0; way < MATCH_WAYS; way++)
		bins_stop(&m->item_bins[way]);
	m->items_filed = 0;
}

bool filing_start_items(struct match *m)
{
	struct match_item *i;
	for (int way = 0; way < MATCH_WAYS; way++) {
		if (!bins_start(&m->item_bins[way])) {
			stop_items(m);
			return false;
		}
	}
	TAILQ_FOREACH (i, &m->items, entry)
		filing_add_item(m, i);
	return true;
}

void filing_add_item(struct match *m, struct match_item *i)
{
	for (int way = 0; way < MATCH_WAYS; way++)
		bins_add(&m->item_bins[way], &i->links[way]);
	m->items_filed++;
}

void filing_remove_item(struct match *m, struct match_item *i)
{
	if (m->items_filed <= SHORT) {
		stop_items(m);
		return;
	}
	for (int way = 0; way < MATCH_WAYS; way++)
		bins_remove(&m->item_bins[way], &i->links[way]);
	m->items_filed--;
}

/* A bin of a tag holds only what fits; in that of a source it may have to be looked for. */
struct match_item *filing_find_item(const struct match *m, const struct match_want *w)
{
	enum match_tag named = w->ignore == 0 ? MATCH_TAG : MATCH_TAG_ANY;
	enum match_way way = MATCH_BY_SOURCE;
	if (named == MATCH_TAG)
		way = w->from != NULL ? MATCH_BY_BOTH : MATCH_BY_TAG;
	struct bin_key key = key_of(w->from, named, w->tag, w->channel);
	struct bin_link *l = bins_first(&m->item_bins[way], &key);
	while (l != NULL && !match_fits(w, item_of(l, way)))
		l = l->next;
	return l != NULL ? item_of(l, way) : NULL;
}

/* ---- both ---- */

void filing_init(struct match *m)
{
	bins_init(&m->recv_bins, recv_place);
	bins_init(&m->item_bins[MATCH_BY_BOTH], by_both);
	bins_init(&m->item_bins[MATCH_BY_TAG], by_tag);
	bins_init(&m->item_bins[MATCH_BY_SOURCE], by_source);
}

void filing_fini(struct match *m)
{
	stop_recvs(m);
	stop_items(m);
}
