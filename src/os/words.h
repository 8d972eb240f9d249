/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Words of our memory that other processes read to learn whether something still holds: grant cells,
 * challenge answers, the fork word. They lie in pages of their own which the kernel wipes in a forked
 * child (MADV_WIPEONFORK), so a child's copy never vouches for anything. A word not in use is 0.
 */
#ifndef HAUL_OS_WORDS_H
#define HAUL_OS_WORDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef _Atomic uint64_t word_t;

/* Pages of one's own, empty at first and in a forked child; NULL without memory. size is a multiple of the page's. */
void *words_map(size_t size);
void words_unmap(void *pages, size_t size);

struct words {
	word_t **free; /* stack of unused words, kept outside the pages: their contents are for others */
	size_t free_count;
	void **pages;
	size_t page_count;
};

void words_init(struct words *w);

/* Unmaps everything, words in use included. */
void words_fini(struct words *w);

/* Takes a word that holds 0; NULL when there is no memory. */
word_t *words_take(struct words *w);

/* Stores 0 and gives the word back. */
void words_give(struct words *w, word_t *word);

/*
 * The fork word: one for the process, never unmapped. words_birth() numbers this process apart from those it was
 * forked from; 0 without memory. words_born() tells if the number that was given once is still this process's.
 */
uint64_t words_birth(void);
bool words_born(uint64_t birth);

#endif
