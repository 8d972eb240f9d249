/* SPDX-License-Identifier: BSD-3-Clause */
/* Grants. See grant.h. */
#include "msg/grant.h"

#include <errno.h>
#include <stddef.h>

#include <bsd/stdlib.h>

/* A random start: two lives of one pid, or two contexts of one process, don't share cookies either. */
void cookies_init(struct cookies *c)
{
	arc4random_buf(&c->next, sizeof(c->next));
}

int grant_give(struct grant *g, struct words *words, struct cookies *cookies)
{
	word_t *cell = words_take(words);
	if (cell == NULL)
		return -ENOMEM;
	grant_give_by(g, cell, cookies);
	return 0;
}

void grant_give_by(struct grant *g, word_t *cell, struct cookies *cookies)
{
	if (++cookies->next == 0)
		++cookies->next;
	g->cell = cell;
	g->cookie = cookies->next;
	atomic_store_explicit(g->cell, g->cookie, memory_order_release);
}

void grant_withdraw(struct grant *g, struct words *words)
{
	if (g->cell == NULL)
		return;
	/* The fence keeps the caller's next writes to the buffers behind the store: a reader that saw one of
	 * them reads the cell later, and finds it changed. */
	atomic_store_explicit(g->cell, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	if (words != NULL)
		words_give(words, g->cell);
	g->cell = NULL;
}
