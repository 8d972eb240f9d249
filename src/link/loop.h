/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A loop: bytes that a process sends to itself. It stands in for the socket of a link that has both its ends
 * here, and behaves like one: a stream that takes what it has room for, and gives what it has. Memory of the
 * user's is copied by the kernel, which says so if it can't be accessed.
 */
#ifndef HAUL_LINK_LOOP_H
#define HAUL_LINK_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct loop;

struct loop *loop_new(void);
void loop_free(struct loop *l);

/* Bytes taken or given; -EAGAIN: full, or empty; -EFAULT. */
ssize_t loop_write(struct loop *l, const struct iovec *iov, size_t count);
ssize_t loop_read(struct loop *l, const struct iovec *iov, size_t count);

/* Whether there is something to be read. */
bool loop_has(const struct loop *l);

#endif
