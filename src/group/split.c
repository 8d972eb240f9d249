/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Groups made of groups. Members tell each other their colours and keys, and each the number from which on it knows of
 * no group; the greatest is the new one's number, which then no member has used. Groups of several colours share it:
 * they have no member in common.
 *
 * Another thread may be splitting another group of the same members, and be given the same number. So each says in a
 * second part whether that is still free here; if it isn't everywhere, all try again.
 */
#include <errno.h>
#include <stdlib.h>

#include "group/algorithms.h"
#include "group/collective.h"
#include "os/clock.h"
#include "os/reason.h"

enum { ATTEMPTS = RUN_PARTS / 2 - 1 };

struct wish {
	int32_t colour, key;
	uint32_t number;
	int32_t rank;
};

static int compare(const void *a, const void *b)
{
	const struct wish *x = a, *y = b;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->rank < y->rank ? -1 : 1;
}

/* A number that this member has agreed to, for a group that is not there yet. */
struct claim {
	uint32_t number;
	SLIST_ENTRY(claim) entry;
};

bool split_is_under_way(const struct mesh *m, uint32_t number)
{
	const struct claim *c;
	SLIST_FOREACH(c, &m->claims, entry)
	if (c->number == number)
		return true;
	return number >= m->numbers;
}

/* Of all wishes those of our colour, in the order of the new ranks. */
static int choose(struct haul_group *g, struct wish *wishes, int colour, uint32_t number,
    struct haul_group **out)
{
	int size = 0, rank = 0;
	if (colour < 0) {
		*out = NULL;
		return 0;
	}
	for (int i = 0; i < g->size; i++)
		if (wishes[i].colour == colour)
			wishes[size++] = wishes[i];
	qsort(wishes, (size_t)size, sizeof(*wishes), compare);
	struct seat *seats = calloc((size_t)size, sizeof(*seats));
	if (seats == NULL)
		return reason(-ENOMEM, "no memory for a group of %d", size);
	for (int i = 0; i < size; i++) {
		seats[i].world = group_world(g, wishes[i].rank);
		if (wishes[i].rank == g->rank)
			rank = i;
	}
	return group_new(g->mesh, number, rank, size, seats, out);
}

/* Everybody's part of buf to everybody. */
static int gather(struct haul_group *g, struct run_parts *parts, uint64_t what, void *buf, size_t len,
    uint64_t until)
{
	struct run *run = collective_begin(g, COLLECTIVE_SPLIT, what, 0);
	struct blocks b = { .len = len };
	if (run == NULL)
		return -ENOMEM;
	run->parts = parts;
	allgather_schedule(&run->schedule, &g->tuning, HAUL_IN_PLACE, buf, &b);
	return collective_run(run, until);
}

/* The greatest number that a member wishes for. At a further attempt it is some way on, as far as the group's
 * own number says: two groups that are split at the same time must not go on meeting. */
static uint32_t wish_for(const struct haul_group *g, unsigned attempt)
{
	return g->mesh->numbers +
	    (attempt == 0 ? 0 : g->number * 7919 % (16u << (attempt < 8 ? attempt : 8)));
}

static uint32_t greatest(const struct haul_group *g, struct wish *wishes)
{
	uint32_t number = 0;
	for (int i = 0; i < g->size; i++) {
		wishes[i].rank = i;
		if (wishes[i].number > number)
			number = wishes[i].number;
	}
	return number;
}

static bool all_agree(const struct haul_group *g, const uint8_t *agreed)
{
	for (int i = 0; i < g->size; i++)
		if (!agreed[i])
			return false;
	return true;
}

/* Agrees on a number, or finds that some member can't: 0 then, and *number too. */
static int attempt(struct haul_group *g, struct run_parts *parts, struct wish *wishes, uint8_t *agreed,
    struct claim *c, uint64_t until)
{
	struct mesh *m = g->mesh;
	int rc = gather(g, parts, 0, wishes, sizeof(*wishes), until);
	if (rc != 0)
		return rc;
	if ((c->number = greatest(g, wishes)) >= WIRE_CHANNEL_GROUPS >> 1)
		return reason(-ENOSPC, "no numbers are left for groups");
	bool free_here = c->number >= m->numbers;
	for (const struct claim *other = SLIST_FIRST(&m->claims); other != NULL;
	     other = SLIST_NEXT(other, entry))
		free_here = free_here && other->number != c->number;
	SLIST_INSERT_HEAD(&m->claims, c, entry);
	agreed[g->rank] = free_here;
	rc = gather(g, parts, 1, agreed, sizeof(*agreed), until);
	SLIST_REMOVE(&m->claims, c, claim, entry);
	if (rc == 0 && !all_agree(g, agreed))
		c->number = 0;
	else if (free_here && c->number >= m->numbers)
		m->numbers =
		    c->number + 1; /* though it failed: where it did not, there is such a group now */
	return rc;
}

static int agree(struct haul_group *g, int colour, int key, uint64_t until, struct haul_group **out)
{
	struct wish *wishes = calloc((size_t)g->size, sizeof(*wishes));
	uint8_t *agreed = calloc((size_t)g->size, sizeof(*agreed));
	struct claim c = { 0 };
	struct run_parts parts = { 0 };
	int rc = wishes == NULL || agreed == NULL ? reason(-ENOMEM, "no memory for a group") : 0;
	for (unsigned i = 0; rc == 0 && c.number == 0; i++) {
		if (i == ATTEMPTS) {
			rc = reason(-EAGAIN, "other threads make groups of the same members all the time");
			break;
		}
		wishes[g->rank] =
		    (struct wish){ .colour = colour, .key = key, .number = wish_for(g, i), .rank = g->rank };
		rc = attempt(g, &parts, wishes, agreed, &c, until);
	}
	runs_end_parts(g, &parts, rc);
	if (rc == 0)
		rc = choose(g, wishes, colour, c.number, out);
	free(wishes);
	free(agreed);
	return rc;
}

static int split(struct haul_group *g, int colour, int key, int timeout_ms, struct haul_group **out)
{
	struct call c = call_waiting(timeout_ms);
	int rc = out == NULL ? reason(-EINVAL, "no place for the group") : collective_enter(g, &c);
	if (rc != 0)
		return rc;
	struct haul *h = g->haul;
	return context_leave(h, agree(g, colour, key, clock_after_ms(timeout_ms), out));
}

int haul_group_split(struct haul_group *g, int colour, int key, int timeout_ms, struct haul_group **out)
{
	return split(g, colour, key, timeout_ms, out);
}

int haul_group_dup(struct haul_group *g, int timeout_ms, struct haul_group **out)
{
	return split(g, 0, 0, timeout_ms, out);
}
