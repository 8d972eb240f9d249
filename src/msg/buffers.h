/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The list of buffers a caller named, copied at the start of an operation. The memory it names stays the
 * caller's property and the library's to use until the operation completes.
 */
#ifndef HAUL_MSG_BUFFERS_H
#define HAUL_MSG_BUFFERS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { BUFFERS_FEW = 4 };

struct buffers {
	struct iovec *iov; /* few, or on the heap */
	size_t count;      /* none is empty */
	uint64_t len;      /* of all */
	struct iovec few[BUFFERS_FEW];
};

/* Copies the list, leaving out empty ones; the struct must not be moved afterwards. 0, -EINVAL (NULL with
 * a length, or lengths that overflow ssize_t), -ENOMEM. */
int buffers_init(struct buffers *b, const struct iovec *iov, size_t count);
void buffers_fini(struct buffers *b);

#endif
