/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory for what each message needs, kept for the next: malloc() and free() would show in the time of a small one. All
 * in one list is of one size. Under AddressSanitizer none is kept, for it would not see who uses what was given back.
 */
#ifndef HAUL_MSG_SPARES_H
#define HAUL_MSG_SPARES_H

#include <stdlib.h>

/* So many of a kind may be outstanding at once without allocating again; some 300 KiB of each, if they ever were. */
enum { SPARES_MOST = 1024 };

struct spare {
	struct spare *next;
};

struct spares {
	struct spare *first;
	unsigned count;
};

/* NULL: there is none, nor memory for a new one. */
static inline void *spares_take(struct spares *s, size_t size)
{
	struct spare *m = s->first;
	if (m == NULL)
		return malloc(size);
	s->first = m->next;
	s->count--;
	return m;
}

static inline void spares_give(struct spares *s, void *memory)
{
	struct spare *m = memory;
#ifdef __SANITIZE_ADDRESS__
	const unsigned most = 0;
#else
	const unsigned most = SPARES_MOST;
#endif
	if (s->count >= most) {
		free(m);
		return;
	}
	m->next = s->first;
	s->first = m;
	s->count++;
}

static inline void spares_fini(struct spares *s)
{
	while (s->first != NULL)
		free(spares_take(s, 0));
}

#endif
