/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cards: the words by which an owner vouches for its handles (handle.h), in pages of their own, which the kernel wipes in
 * a forked child. They are numbered from 0, and a number that was given back is given out again. Knows nothing of what
 * they say, but that the first word of one that is not in use is 0, and stays so until its next owner has filled in the
 * others.
 */
#ifndef HAUL_RMA_CARDS_H
#define HAUL_RMA_CARDS_H

#include <stddef.h>
#include <stdint.h>

#include "os/words.h"

struct cards {
	void **pages;
	uint32_t *free; /* stack of numbers not in use */
	size_t page_count, free_count;
};

/* Zeroed is empty. Unmaps all, those in use included. */
void cards_fini(struct cards *c);
/* 0, or -ENOMEM. */
int cards_take(struct cards *c, uint32_t *slot);
/* Its first word has been cleared. */
void cards_give(struct cards *c, uint32_t slot);
/* WIRE_HANDLE_WORDS of them, in one line of the cache. */
word_t *cards_words(const struct cards *c, uint32_t slot);

#endif
