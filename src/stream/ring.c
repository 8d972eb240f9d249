/* SPDX-License-Identifier: BSD-3-Clause */
/* A stream's ring. See ring.h. */
#include "stream/ring.h"

#include <errno.h>
#include <string.h>

enum { PAGE = 4096 };

_Static_assert(sizeof(struct ring_words) <= PAGE, "the words take a page");

int ring_init(struct ring *r, size_t size, uint64_t cookie)
{
	uint8_t *pages = words_map(PAGE + size);
	*r = (struct ring){ 0 };
	if (pages == NULL)
		return -ENOMEM;
	r->words = (struct ring_words *)pages;
	r->bytes = pages + PAGE;
	r->size = size;
	r->cookie = cookie;
	r->words->bytes = (uintptr_t)r->bytes;
	r->words->size = size;
	atomic_store_explicit(&r->words->cookie, cookie, memory_order_release);
	return 0;
}

/* A reader in the middle of its pull finds the cookie gone, or the pages. */
void ring_fini(struct ring *r)
{
	if (r->words == NULL)
		return;
	atomic_store(&r->words->cookie, 0);
	words_unmap(r->words, PAGE + r->size);
	*r = (struct ring){ 0 };
}

size_t ring_spans(const struct ring *r, uint64_t from, uint64_t to, struct iovec spans[2])
{
	size_t len = (size_t)(to - from), at = (size_t)from & (r->size - 1), first = r->size - at;
	if (len == 0)
		return 0;
	spans[0] = (struct iovec){ .iov_base = r->bytes + at, .iov_len = len < first ? len : first };
	spans[1] = (struct iovec){ .iov_base = r->bytes, .iov_len = len - spans[0].iov_len };
	return spans[1].iov_len > 0 ? 2 : 1;
}

void ring_put(struct ring *r, struct iov_cursor *from, size_t len)
{
	struct iovec spans[2];
	size_t count = ring_spans(r, r->tail, r->tail + len, spans);
	for (size_t i = 0; i < count; i++)
		iov_cursor_get(from, spans[i].iov_base, spans[i].iov_len);
	r->tail += len;
	atomic_store_explicit(&r->words->tail, r->tail, memory_order_release);
}

/* The reader sets the bell, then looks at the tail once more: one of the two sees what the other has written. */
unsigned ring_heard(struct ring *r)
{
	atomic_thread_fence(memory_order_seq_cst);
	uint64_t bell = atomic_load_explicit(&r->words->bell, memory_order_relaxed);
	if (bell & RING_BELL_ARMED)
		bell = atomic_fetch_and(&r->words->bell, ~(uint64_t)RING_BELL_ARMED);
	return (unsigned)bell;
}

void ring_arm(struct ring *r)
{
	atomic_fetch_or(&r->words->bell, RING_BELL_ARMED);
}
