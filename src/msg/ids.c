/* SPDX-License-Identifier: BSD-3-Clause */
/* Ids of messages under way. See ids.h. */
#include "msg/ids.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include <bsd/stdlib.h>

#include "wire/protocol.h"

void ids_init(struct ids *t)
{
	*t = (struct ids){ 0 };
}

void ids_fini(struct ids *t)
{
	free(t->slots);
	ids_init(t);
}

static int grow(struct ids *t, uint32_t need)
{
	uint32_t count = t->count != 0 ? t->count : 16;
	while (count < need)
		count *= 2;
	if (count == t->count)
		return 0;
	struct id_slot *slots = recallocarray(t->slots, t->count, count, sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	t->slots = slots;
	t->count = count;
	return 0;
}

uint64_t ids_give(struct ids *t, void *object)
{
	uint32_t slot;
	if (t->free != 0) {
		slot = t->free - 1;
		t->free = t->slots[slot].next;
	} else {
		if (t->used == WIRE_WINDOW_MOST || grow(t, t->used + 1) != 0)
			return 0;
		slot = t->used++;
	}
	struct id_slot *s = &t->slots[slot];
	s->object = object;
	t->live++;
	if (++s->use == 0)
		s->use = 1;
	return WIRE_ID(slot, s->use);
}

int ids_file(struct ids *t, uint64_t id, void *object)
{
	uint32_t slot = WIRE_ID_SLOT(id), use = WIRE_ID_USE(id);
	if (slot >= WIRE_WINDOW_MOST || use == 0)
		return -EPROTO;
	if (slot >= t->used) {
		if (grow(t, slot + 1) != 0)
			return -ENOMEM;
		t->used = slot + 1;
	}
	struct id_slot *s = &t->slots[slot];
	if (s->object != NULL || (int32_t)(use - s->use) <= 0)
		return -EPROTO;
	s->object = object;
	s->use = use;
	t->live++;
	return 0;
}

enum id_state ids_find(const struct ids *t, uint64_t id, void **object)
{
	uint32_t slot = WIRE_ID_SLOT(id), use = WIRE_ID_USE(id);
	if (slot >= t->used || use == 0 || t->slots[slot].use == 0 || (int32_t)(use - t->slots[slot].use) > 0)
		return ID_NEVER;
	if (use != t->slots[slot].use || t->slots[slot].object == NULL)
		return ID_STALE;
	*object = t->slots[slot].object;
	return ID_LIVE;
}

/* A receiver's free slots are linked too, though nobody takes from its list. */
void ids_end(struct ids *t, uint64_t id)
{
	struct id_slot *s = &t->slots[WIRE_ID_SLOT(id)];
	assert(s->use == WIRE_ID_USE(id) && s->object != NULL);
	s->object = NULL;
	t->live--;
	s->next = t->free;
	t->free = WIRE_ID_SLOT(id) + 1;
}

void *ids_next(const struct ids *t, uint32_t *at)
{
	while (*at < t->used) {
		void *object = t->slots[(*at)++].object;
		if (object != NULL)
			return object;
	}
	return NULL;
}
