/* SPDX-License-Identifier: BSD-3-Clause */
/* The iovec cursor. See iov.h. */
#include "os/iov.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

bool iov_total_many(const struct iovec *iov, size_t count, uint64_t *total)
{
	uint64_t sum = 0;
	if (iov == NULL && count > 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (iov[i].iov_len > (uint64_t)SSIZE_MAX - sum)
			return false;
		if (iov[i].iov_len > 0 && iov[i].iov_base == NULL)
			return false;
		sum += iov[i].iov_len;
	}
	*total = sum;
	return true;
}

void iov_cursor_init(struct iov_cursor *c, const struct iovec *iov, size_t count, uint64_t len)
{
	*c = (struct iov_cursor){ .iov = iov, .count = count, .left = len };
}

void iov_cursor_advance(struct iov_cursor *c, uint64_t len)
{
	assert(len <= c->left);
	c->left -= len;
	while (len > 0) {
		size_t here = c->iov->iov_len - c->skip;
		if (len < here) {
			c->skip += len;
			return;
		}
		len -= here;
		c->iov++;
		c->count--;
		c->skip = 0;
	}
}

void iov_cursor_limit(struct iov_cursor *c, uint64_t len)
{
	assert(len <= c->left);
	c->left = len;
}

size_t iov_cursor_window(const struct iov_cursor *c, struct iovec *out, size_t max, uint64_t max_len,
    uint64_t *len)
{
	uint64_t left = c->left < max_len ? c->left : max_len;
	const struct iovec *iov = c->iov;
	size_t skip = c->skip, n = 0;

	*len = left;
	for (; left > 0 && n < max; iov++, skip = 0) {
		size_t here = iov->iov_len - skip;
		if (here > left)
			here = left;
		if (here == 0)
			continue;
		/* As a number: it may be another process's, and beyond what a pointer of ours may be moved to. */
		out[n].iov_base = (void *)((uintptr_t)iov->iov_base + skip);
		out[n].iov_len = here;
		n++;
		left -= here;
	}
	*len -= left;
	return n;
}

/* The contiguous bytes at the cursor, at most len (> 0) of them; steps over empty iovecs first. */
static void *span(struct iov_cursor *c, size_t len, size_t *n)
{
	assert(len <= c->left);
	while (c->iov->iov_len == c->skip) {
		c->iov++;
		c->count--;
		c->skip = 0;
	}
	*n = c->iov->iov_len - c->skip < len ? c->iov->iov_len - c->skip : len;
	return (char *)c->iov->iov_base + c->skip;
}

void iov_cursor_put(struct iov_cursor *c, const void *buf, size_t len)
{
	for (size_t n; len > 0; len -= n, buf = (const char *)buf + n) {
		void *to = span(c, len, &n);
		memcpy(to, buf, n);
		iov_cursor_advance(c, n);
	}
}

void iov_cursor_get(struct iov_cursor *c, void *buf, size_t len)
{
	for (size_t n; len > 0; len -= n, buf = (char *)buf + n) {
		const void *from = span(c, len, &n);
		memcpy(buf, from, n);
		iov_cursor_advance(c, n);
	}
}
