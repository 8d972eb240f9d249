/* SPDX-License-Identifier: BSD-3-Clause */
/* A hash table of ordered lists. See bins.h. */
#include "msg/bins.h"

#include <stdlib.h>

#include <bsd/stdlib.h>

enum { FIRST_BITS = 6 };

void bins_init(struct bins *b, struct bin_place (*place)(const struct bin_link *))
{
	*b = (struct bins){ .place = place };
	arc4random_buf(b->mix, sizeof(b->mix));
}

static struct bin_link **table(unsigned bits)
{
	return calloc((size_t)1 << bits, sizeof(struct bin_link *));
}

bool bins_start(struct bins *b)
{
	b->heads = table(FIRST_BITS);
	b->bits = FIRST_BITS;
	b->keys = 0;
	return b->heads != NULL;
}

void bins_stop(struct bins *b)
{
	free(b->heads);
	b->heads = NULL;
}

/*
 * The sum alone (multiply-shift, on halves of 64 bits) gives any two keys the same bucket as rarely as chance
 * would, but takes keys that count up, as tags do, in even steps, and for one choice in a dozen of its
 * factors these land on each other. The second product breaks the steps up.
 */
static struct bin_link **bucket(const struct bins *b, const struct bin_key *k)
{
	uint64_t from = (uintptr_t)k->from, h = b->mix[0];
	h += b->mix[1] * (uint32_t)from + b->mix[2] * (from >> 32);
	h += b->mix[3] * (uint32_t)k->tag + b->mix[4] * (k->tag >> 32);
	h += b->mix[5] * k->channel + b->mix[6] * k->kind;
	h = (h ^ h >> 32) * (b->mix[7] | 1);
	return &b->heads[h >> (64 - b->bits)];
}

static bool same(const struct bin_key *x, const struct bin_key *y)
{
	return x->tag == y->tag && x->from == y->from && x->channel == y->channel && x->kind == y->kind;
}

/* What points to the first entry of a key, or the end of the chain where it should be. */
static struct bin_link **find(const struct bins *b, const struct bin_key *key)
{
	struct bin_link **at = bucket(b, key);
	while (*at != NULL) {
		struct bin_place p = b->place(*at);
		if (same(&p.key, key))
			break;
		at = &(*at)->chain;
	}
	return at;
}

struct bin_link *bins_first(const struct bins *b, const struct bin_key *key)
{
	return *find(b, key);
}

/* To twice the buckets. Lists move as they are. */
static void grow(struct bins *b)
{
	struct bin_link **old = b->heads, **new = table(b->bits + 1), *l;
	size_t count = (size_t)1 << b->bits;
	if (new == NULL)
		return;
	b->heads = new;
	b->bits++;
	for (size_t i = 0; i < count; i++) {
		while ((l = old[i]) != NULL) {
			struct bin_place p = b->place(l);
			struct bin_link **to = bucket(b, &p.key);
			old[i] = l->chain;
			l->chain = *to;
			*to = l;
		}
	}
	free(old);
}

/* Into the list at *at. Most come last, so the search begins there. */
static void insert(struct bins *b, struct bin_link **at, struct bin_link *l, uint64_t order)
{
	struct bin_link *first = *at, *before = first->prev;
	while (before != NULL && b->place(before).order > order)
		before = before != first ? before->prev : NULL;
	if (before == NULL) {
		*l = (struct bin_link){ .next = first, .prev = first->prev, .chain = first->chain };
		first->prev = l;
		*at = l;
		return;
	}
	l->prev = before;
	l->next = before->next;
	before->next = l;
	if (l->next != NULL)
		l->next->prev = l;
	else
		first->prev = l;
}

void bins_add(struct bins *b, struct bin_link *l)
{
	struct bin_place p = b->place(l);
	struct bin_link **at = find(b, &p.key);
	if (*at != NULL) {
		insert(b, at, l, p.order);
		return;
	}
	*l = (struct bin_link){ .prev = l };
	*at = l;
	if (++b->keys > (size_t)1 << b->bits)
		grow(b);
}

void bins_remove(struct bins *b, struct bin_link *l)
{
	struct bin_place p = b->place(l);
	struct bin_link **at = find(b, &p.key), *first = *at, *next = l->next;
	if (l != first) {
		l->prev->next = next;
		if (next != NULL)
			next->prev = l->prev;
		else
			first->prev = l->prev;
	} else if (next != NULL) {
		next->prev = l->prev;
		next->chain = l->chain;
		*at = next;
	} else {
		*at = l->chain;
		b->keys--;
	}
}
