/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Broadcast. What is short goes down a tree. Of what is long the root hands each member a piece, and they give them
 * to each other: so everybody copies all the time, and few from the same source. In a crowd all take it from the root.
 */
#include "group/parts.h"

static void by_tree(struct schedule *s, int root, void *buf, size_t len)
{
	struct tree t;
	tree_init(&t, s->rank, s->size, root);
	if (t.parent >= 0)
		schedule_recv(s, t.parent, buf, len);
	schedule_round(s);
	for (int i = 0; i < t.count; i++)
		schedule_send(s, t.branches[i].rank, buf, len);
}

static void in_pieces(struct schedule *s, const struct tuning *t, int root, void *buf, size_t len)
{
	struct blocks b;
	blocks_evenly(s, &b, len, 1);
	void *piece = (unsigned char *)buf + block_offset(&b, s->rank);
	scatter_straight(s, t, root, buf, &b, s->rank == root ? HAUL_IN_PLACE : piece,
	    block_len(&b, s->rank));
	schedule_round(s);
	allgather_straight(s, t, piece, buf, &b, root);
}

void bcast_straight(struct schedule *s, int root, void *buf, size_t len)
{
	if (s->rank != root) {
		schedule_recv(s, root, buf, len);
		return;
	}
	for (int i = 1; i < s->size; i++)
		schedule_send(s, (root + i) % s->size, buf, len);
}

void bcast_schedule(struct schedule *s, const struct tuning *t, int root, void *buf, size_t len)
{
	if (len < t->bcast_large || s->size <= 2)
		by_tree(s, root, buf, len);
	else if (tuning_is_crowd(t, s->size))
		bcast_straight(s, root, buf, len);
	else
		in_pieces(s, t, root, buf, len);
}
