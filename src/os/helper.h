/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A second thread for long copies out of another process's memory. Who copies goes from the beginning on,
 * the helper from the end backwards, a chunk at a time, until they meet. It sleeps in between, takes no
 * signals, and knows nothing of whose memory it is.
 *
 * Who may touch the local memory: both threads, during helper_read() only. That returns when the helper has
 * ended its last chunk, which nothing can call off, as any copy (os/vm.h); a chunk that it was asked for
 * and has not begun is taken back.
 */
#ifndef HAUL_OS_HELPER_H
#define HAUL_OS_HELPER_H

#include "os/vm.h"

struct helper;

/* Starts one; NULL without memory, or without a thread: *error says why, positive. */
struct helper *helper_new(int *error);
/* Nobody may be in helper_read(). NULL does nothing. */
void helper_free(struct helper *h);
/* In a forked child, where there is no such thread: only its memory is freed. */
void helper_forget(struct helper *h);

/* As vm_read(), with the help of the thread where that may be worth it. What either copies counts only if
 * the word then holds `good`; if it does not, the result is what one thread would have found. *helped:
 * bytes that the helper moved. */
struct vm_result helper_read(struct helper *h, pid_t pid, struct iov_cursor *local, struct iov_cursor *remote,
    uint64_t len, struct vm_word *word, uint64_t good, uint64_t *helped);

#endif
