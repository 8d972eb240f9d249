/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ids of messages under way: slots with a use count (protocol.h), so that an id is found at once, a stale one
 * is told from one never given, and the peer can keep a table of the same shape. Two sides use it: the
 * sender's hands out ids, the receiver's files what came under the sender's.
 */
#ifndef HAUL_MSG_IDS_H
#define HAUL_MSG_IDS_H

#include <stddef.h>
#include <stdint.h>

struct id_slot {
	void *object;
	uint32_t use;
	uint32_t next; /* free slots are linked: index + 1 */
};

struct ids {
	struct id_slot *slots;
	uint32_t count, used; /* allocated; ever used */
	uint32_t live;        /* in use now */
	uint32_t free;        /* first free slot + 1 */
};

enum id_state {
	ID_LIVE,
	ID_STALE, /* was given once and is over */
	ID_NEVER, /* was never given */
};

void ids_init(struct ids *t);
void ids_fini(struct ids *t);

/* Sender: an id for the object; 0 without memory or beyond WIRE_WINDOW_MOST. */
uint64_t ids_give(struct ids *t, void *object);
/* Receiver: files the object under the peer's id. 0, -ENOMEM, or -EPROTO if the id can't be a new one. */
int ids_file(struct ids *t, uint64_t id, void *object);

enum id_state ids_find(const struct ids *t, uint64_t id, void **object);
void ids_end(struct ids *t, uint64_t id);

/* Walks the live objects: *at starts at 0. NULL at the end. The one returned may be ended. */
void *ids_next(const struct ids *t, uint32_t *at);

#endif
