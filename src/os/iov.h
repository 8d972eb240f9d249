/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A cursor over a list of iovecs: where the next byte comes from or goes to. Pure arithmetic; the list
 * is borrowed and never written. Used by every floor that moves payload.
 */
#ifndef HAUL_OS_IOV_H
#define HAUL_OS_IOV_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

struct iov_cursor {
	const struct iovec *iov; /* the iovec that holds the next byte, or past the end */
	size_t count;            /* iovecs left, that one included */
	size_t skip;             /* bytes of it already used */
	uint64_t left;           /* bytes from here to the end */
};

bool iov_total_many(const struct iovec *iov, size_t count, uint64_t *total);
/* Sums the lengths. False if they do not fit into ssize_t, a non-empty iovec names NULL, or the list is. Mostly it is
 * one. */
static inline bool iov_total(const struct iovec *iov, size_t count, uint64_t *total)
{
	if (count != 1 || iov == NULL || iov->iov_base == NULL || iov->iov_len > SSIZE_MAX)
		return iov_total_many(iov, count, total);
	*total = iov->iov_len;
	return true;
}

/* Copies to the first len bytes of the buffers, which must hold so many. Mostly they are one. */
static inline void iov_put(const struct iovec *iov, const void *buf, size_t len)
{
	for (size_t n; len > 0; iov++, len -= n, buf = (const char *)buf + n) {
		n = len < iov->iov_len ? len : iov->iov_len;
		if (n > 0) /* else it may name nothing */
			memcpy(iov->iov_base, buf, n);
	}
}

/* Starts a cursor over the first len bytes of the list, which must hold that many. */
void iov_cursor_init(struct iov_cursor *c, const struct iovec *iov, size_t count, uint64_t len);

/* Moves on by len bytes, which must be there. */
void iov_cursor_advance(struct iov_cursor *c, uint64_t len);

/* Cuts the cursor so that only the next len bytes are left, which must be there. */
void iov_cursor_limit(struct iov_cursor *c, uint64_t len);

/* Writes the next bytes, at most max_len of them, as at most max iovecs into out, empty ones left out;
 * returns how many iovecs and, in *len, how many bytes that is. The cursor stays where it is. */
size_t iov_cursor_window(const struct iov_cursor *c, struct iovec *out, size_t max, uint64_t max_len,
    uint64_t *len);

/* Copies len bytes between the cursor's memory and buf, and moves on. They must be there. */
void iov_cursor_put(struct iov_cursor *c, const void *buf, size_t len);
void iov_cursor_get(struct iov_cursor *c, void *buf, size_t len);

#endif
