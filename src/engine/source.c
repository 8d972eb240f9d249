/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors in the set. An event carries slot and use, never a pointer: an event that was fetched before
 * its source was removed, or that a copy of the descriptor in another process keeps alive, names a use that
 * is over and is dropped.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include <bsd/stdlib.h>

#include "engine/engine.h"
#include "os/poll.h"

static int find_slot(struct engine *e)
{
	for (uint32_t i = 0; i < e->slot_count; i++) {
		uint32_t slot = (e->slot_free + i) % e->slot_count;
		if (e->slots[slot].source == NULL)
			return (int)slot;
	}
	uint32_t more = e->slot_count != 0 ? e->slot_count * 2 : 8;
	struct source_slot *slots = recallocarray(e->slots, e->slot_count, more, sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	uint32_t slot = e->slot_count;
	e->slots = slots;
	e->slot_count = more;
	return (int)slot;
}

static uint64_t label(const struct engine *e, const struct source *s)
{
	uint32_t slot = s->slot - 1;
	return (uint64_t)e->slots[slot].use << 32 | slot;
}

int source_add(struct engine *e, struct source *s, int fd, uint32_t events)
{
	int slot = find_slot(e);
	if (slot < 0)
		return slot;
	s->fd = fd;
	s->events = events;
	s->slot = (uint32_t)slot + 1;
	e->slots[slot].use++;
	e->slot_free = (uint32_t)slot + 1;
	int rc = poll_add(e->set, fd, events, label(e, s));
	if (rc != 0) {
		s->slot = 0;
		return rc;
	}
	e->slots[slot].source = s;
	e->source_count++;
	return 0;
}

int source_change(struct engine *e, struct source *s, uint32_t events)
{
	if (s->slot == 0 || s->events == events)
		return 0;
	int rc = poll_change(e->set, s->fd, events, label(e, s));
	if (rc == 0)
		s->events = events;
	return rc;
}

void source_remove(struct engine *e, struct source *s)
{
	if (s->slot == 0)
		return;
	poll_remove(e->set, s->fd);
	e->slots[s->slot - 1].source = NULL;
	e->source_count--;
	e->slot_free = s->slot - 1;
	s->slot = 0;
}
