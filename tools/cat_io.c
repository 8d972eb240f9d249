/* SPDX-License-Identifier: BSD-3-Clause */
/* Standard input and output of haul cat, which may be anything: slow, non-blocking, in pieces of any size. */
#include "cat.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

static bool is_ready(int fd, short events, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	return poll(&p, 1, timeout_ms) > 0;
}

ssize_t cat_io_read(int fd, char *at, size_t len)
{
	size_t got = 0;
	do {
		ssize_t n;
		do
			n = read(fd, at + got, len - got);
		while (n < 0 && errno == EINTR);
		if (n <= 0) /* an end or error that comes after something is met again by the next call */
			return got > 0 ? (ssize_t)got : n == 0 ? 0 : -errno;
		got += (size_t)n;
	} while (got < len && is_ready(fd, POLLIN, 0));
	return (ssize_t)got;
}

int cat_io_write(int fd, const char *at, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EAGAIN)
			is_ready(fd, POLLOUT, -1);
		else if (n < 0 && errno != EINTR)
			return -errno;
		else if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int cat_io_settle(int fd)
{
	int copy =
	    dup(fd); /* closing any of a file's descriptors writes out what NFS and the like hold back */
	if (copy < 0)
		return -errno;
	return close(copy) == 0 || errno == EINTR ? 0 : -errno;
}
