/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A grant: the right, given to a peer by a descriptor, to read a list of buffers of ours. It holds as long
 * as its cell, a word of our memory, holds its cookie. The reader reads the cell after the payload, in the
 * same system call, and believes nothing it read if the cookie is gone. So the owner takes a buffer back
 * alone and at once, whatever state the reader is in; and what a process reads that is no longer us (exec,
 * a reused pid) counts for nothing.
 *
 * Who may touch the buffers: the reader until grant_withdraw(), reading only. Who may touch the cell: only
 * this file.
 */
#ifndef HAUL_MSG_GRANT_H
#define HAUL_MSG_GRANT_H

#include <stdint.h>

#include "os/words.h"

struct grant {
	word_t *cell; /* NULL: not given, or withdrawn */
	uint64_t cookie;
};

/* Where cookies come from: no two grants of a context share one, and none is 0. */
struct cookies {
	uint64_t next;
};

void cookies_init(struct cookies *c);

/* Gives it. 0 or -ENOMEM. */
int grant_give(struct grant *g, struct words *words, struct cookies *cookies);

/* The same with a cell that is the caller's, wherever it lies among other words. */
void grant_give_by(struct grant *g, word_t *cell, struct cookies *cookies);

/* Takes it back: nothing that is read of the buffers after this is believed. Twice does no harm. words: NULL if the cell
 * is the caller's. */
void grant_withdraw(struct grant *g, struct words *words);

#endif
