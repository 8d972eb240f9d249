/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gather and scatter. Short blocks of one length go by a tree, whose inner members have those of all below them
 * together in scratch; long ones, and those whose lengths the root alone knows, go straight from one to the other.
 */
#include "group/parts.h"

static bool straight(const struct tuning *t, const struct blocks *b)
{
	return b == NULL || b->lens != NULL || b->len >= t->gather_large;
}

static void gather_by_tree(struct schedule *s, int root, const void *from, size_t len, void *into)
{
	struct tree t;
	tree_init(&t, s->rank, s->size, root);
	if (t.parent >= 0 && t.count == 0) {
		schedule_send(s, t.parent, from, len);
		return;
	}
	size_t all = (size_t)(t.end - t.begin) * len;
	unsigned char *blocks = t.parent < 0 ? into : schedule_scratch(s, all);
	if (blocks == NULL)
		return;
	if (from != HAUL_IN_PLACE)
		schedule_copy(s, blocks + (size_t)(s->rank - t.begin) * len, from, len);
	for (int i = t.count - 1; i >= 0; i--) {
		const struct branch *b = &t.branches[i];
		schedule_recv(s, b->rank, blocks + (size_t)(b->begin - t.begin) * len,
		    (size_t)(b->end - b->begin) * len);
	}
	if (t.parent >= 0) {
		schedule_round(s);
		schedule_send(s, t.parent, blocks, all);
	}
}

/* All at once: it is the root that copies, one after the other. */
void gather_straight(struct schedule *s, int root, const void *from, size_t len, void *into,
    const struct blocks *b)
{
	if (s->rank != root) {
		schedule_send(s, root, from, len);
		return;
	}
	for (int i = 1; i < s->size; i++) {
		int source = (root + i) % s->size;
		schedule_recv(s, source, (unsigned char *)into + block_offset(b, source),
		    block_len(b, source));
	}
	if (from != HAUL_IN_PLACE)
		schedule_copy(s, (unsigned char *)into + block_offset(b, root), from, len);
}

void gather_schedule(struct schedule *s, const struct tuning *t, int root, const void *from, size_t len,
    void *into, const struct blocks *b)
{
	if (straight(t, b))
		gather_straight(s, root, from, len, into, b);
	else
		gather_by_tree(s, root, from, len, into);
}

static void scatter_by_tree(struct schedule *s, int root, const void *from, void *into, size_t len)
{
	struct tree t;
	tree_init(&t, s->rank, s->size, root);
	if (t.parent >= 0 && t.count == 0) {
		schedule_recv(s, t.parent, into, len);
		return;
	}
	const unsigned char *blocks = from;
	if (t.parent >= 0) {
		size_t all = (size_t)(t.end - t.begin) * len;
		void *scratch = schedule_scratch(s, all);
		schedule_recv(s, t.parent, scratch, all);
		schedule_round(s);
		blocks = scratch;
	}
	if (blocks == NULL)
		return;
	if (into != HAUL_IN_PLACE)
		schedule_copy(s, into, blocks + (size_t)(s->rank - t.begin) * len, len);
	for (int i = 0; i < t.count; i++) {
		const struct branch *b = &t.branches[i];
		schedule_send(s, b->rank, blocks + (size_t)(b->begin - t.begin) * len,
		    (size_t)(b->end - b->begin) * len);
	}
}

void scatter_straight(struct schedule *s, const struct tuning *t, int root, const void *from,
    const struct blocks *b, void *into, size_t len)
{
	if (s->rank != root) {
		schedule_recv(s, root, into, len);
		return;
	}
	if (into != HAUL_IN_PLACE)
		schedule_copy(s, into, (const unsigned char *)from + block_offset(b, root), len);
	for (int i = 1, sent = 0; i < s->size; i++) {
		int to = (root + i) % s->size;
		if (block_len(b, to) == 0)
			continue;
		if (sent > 0 && sent % tuning_readers(t, s->size) == 0)
			schedule_round(s);
		schedule_send(s, to, (const unsigned char *)from + block_offset(b, to), block_len(b, to));
		sent++;
	}
}

void scatter_schedule(struct schedule *s, const struct tuning *t, int root, const void *from,
    const struct blocks *b, void *into, size_t len)
{
	if (straight(t, b))
		scatter_straight(s, t, root, from, b, into, len);
	else
		scatter_by_tree(s, root, from, into, len);
}
