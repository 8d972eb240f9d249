/* SPDX-License-Identifier: BSD-3-Clause */
/* Words that other processes read, in wipe-on-fork pages. See words.h. */
#include "os/words.h"

#include <bsd/stdlib.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 4096, WORDS_PER_PAGE = PAGE / sizeof(word_t) };

void words_init(struct words *w)
{
	*w = (struct words){ 0 };
}

void words_fini(struct words *w)
{
	for (size_t i = 0; i < w->page_count; i++)
		words_unmap(w->pages[i], PAGE);
	free(w->pages);
	free(w->free);
	words_init(w);
}

void *words_map(size_t size)
{
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		return NULL;
	if (madvise(pages, size, MADV_WIPEONFORK) != 0) {
		munmap(pages, size);
		return NULL;
	}
	return pages;
}

void words_unmap(void *pages, size_t size)
{
	munmap(pages, size);
}

/* One more page of words. The stack is made large enough for all words first, so giving never fails. */
static int grow(struct words *w)
{
	size_t words = (w->page_count + 1) * WORDS_PER_PAGE;
	word_t **stack = reallocarray(w->free, words, sizeof(*stack));
	if (stack == NULL)
		return -1;
	w->free = stack;
	void **pages = reallocarray(w->pages, w->page_count + 1, sizeof(*pages));
	if (pages == NULL)
		return -1;
	w->pages = pages;
	void *page = words_map(PAGE);
	if (page == NULL)
		return -1;
	w->pages[w->page_count++] = page;
	for (size_t i = WORDS_PER_PAGE; i > 0; i--)
		w->free[w->free_count++] = (word_t *)page + (i - 1);
	return 0;
}

word_t *words_take(struct words *w)
{
	if (w->free_count == 0 && grow(w) != 0)
		return NULL;
	return w->free[--w->free_count];
}

void words_give(struct words *w, word_t *word)
{
	if (word == NULL)
		return;
	atomic_store_explicit(word, 0, memory_order_relaxed);
	w->free[w->free_count++] = word;
}

/* ---- the fork word ---- */

static _Atomic(word_t *) fork_word;
static _Atomic uint64_t births; /* not wiped: so that no child gets a number of its parent's */

uint64_t words_birth(void)
{
	word_t *word = atomic_load(&fork_word);
	if (word == NULL) {
		word_t *mine = words_map(PAGE), *none = NULL;
		if (mine == NULL)
			return 0;
		if (!atomic_compare_exchange_strong(&fork_word, &none, mine))
			munmap((void *)mine, PAGE);
		word = atomic_load(&fork_word);
	}
	uint64_t birth = 0, next = atomic_fetch_add(&births, 1) + 1;
	return atomic_compare_exchange_strong(word, &birth, next) ? next : birth;
}

bool words_born(uint64_t birth)
{
	word_t *word = atomic_load_explicit(&fork_word, memory_order_relaxed);
	return word != NULL && atomic_load_explicit(word, memory_order_relaxed) == birth;
}
