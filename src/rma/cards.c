/* SPDX-License-Identifier: BSD-3-Clause */
/* Cards. See cards.h. */
#include "rma/cards.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "wire/protocol.h"

enum { PAGE = 4096, CARD = WIRE_HANDLE_WORDS * sizeof(word_t), CARDS_PER_PAGE = PAGE / CARD };

void cards_fini(struct cards *c)
{
	for (size_t i = 0; i < c->page_count; i++)
		words_unmap(c->pages[i], PAGE);
	free(c->pages);
	free(c->free);
	*c = (struct cards){ 0 };
}

/* One more page. The stack has room for all numbers before there are so many, so giving never fails. */
static int grow(struct cards *c)
{
	size_t first = c->page_count * CARDS_PER_PAGE;
	if (first > UINT32_MAX - CARDS_PER_PAGE)
		return -ENOMEM;
	uint32_t *stack = reallocarray(c->free, first + CARDS_PER_PAGE, sizeof(*stack));
	if (stack == NULL)
		return -ENOMEM;
	c->free = stack;
	void **pages = reallocarray(c->pages, c->page_count + 1, sizeof(*pages));
	if (pages == NULL)
		return -ENOMEM;
	c->pages = pages;
	if ((c->pages[c->page_count] = words_map(PAGE)) == NULL)
		return -ENOMEM;
	c->page_count++;
	for (uint32_t i = CARDS_PER_PAGE; i > 0; i--)
		c->free[c->free_count++] = (uint32_t)first + i - 1;
	return 0;
}

int cards_take(struct cards *c, uint32_t *slot)
{
	if (c->free_count == 0 && grow(c) != 0)
		return -ENOMEM;
	*slot = c->free[--c->free_count];
	return 0;
}

void cards_give(struct cards *c, uint32_t slot)
{
	assert(atomic_load(cards_words(c, slot)) == 0);
	c->free[c->free_count++] = slot;
}

word_t *cards_words(const struct cards *c, uint32_t slot)
{
	assert(slot / CARDS_PER_PAGE < c->page_count);
	char *page = c->pages[slot / CARDS_PER_PAGE];
	return (word_t *)(void *)(page + slot % CARDS_PER_PAGE * CARD);
}
