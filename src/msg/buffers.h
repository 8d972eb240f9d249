/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The list of buffers a caller named, copied at the start of an operation. The memory it names stays the
 * caller's property and the library's to use until the operation completes.
 */
#ifndef HAUL_MSG_BUFFERS_H
#define HAUL_MSG_BUFFERS_H

#include <limits.h>
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
int buffers_init_many(struct buffers *b, const struct iovec *iov, size_t count);
void buffers_free(struct buffers *b);

/* Mostly it is one. */
static inline int buffers_init(struct buffers *b, const struct iovec *iov, size_t count)
{
	if (count != 1 || iov == NULL || iov->iov_base == NULL || iov->iov_len > SSIZE_MAX)
		return buffers_init_many(b, iov, count);
	b->iov = b->few;
	b->few[0].iov_base = iov->iov_base; /* one by one, as they were written: see configure.ac */
	b->few[0].iov_len = iov->iov_len;
	b->count = iov->iov_len > 0;
	b->len = iov->iov_len;
	return 0;
}

static inline void buffers_fini(struct buffers *b)
{
	if (b->iov != b->few)
		buffers_free(b);
	b->count = 0;
}

#endif
