/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stream socket pair, for the contenders that are bare loops over one: made, written, read. Spinning means
 * non-blocking calls in a loop, sleeping means blocking ones.
 */
#include "perf.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

bool perf_again(void)
{
	return errno == EAGAIN || errno == EINTR;
}

int perf_sock_setup(struct perf_round *round)
{
	int fd[2], most = INT_MAX; /* the kernel takes as much of it as net.core.wmem_max allows */
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
		return -1;
	for (int rank = 0; rank < 2; rank++)
		round->rx[rank] = round->tx[rank] = fd[rank];
	for (int rank = 0; rank < 2; rank++)
		if (setsockopt(fd[rank], SOL_SOCKET, SO_SNDBUF, &most, sizeof(most)) < 0)
			return -1;
	return 0;
}

int perf_sock_send(struct perf_end *e, const unsigned char *at, size_t len)
{
	const unsigned char *end = at + len;
	while (at < end) {
		ssize_t n = send(e->tx, at, (size_t)(end - at), MSG_NOSIGNAL | (e->spin ? MSG_DONTWAIT : 0));
		if (n >= 0)
			at += n;
		else if (!perf_again())
			return perf_fail(e, "send: %s", strerror(errno));
	}
	return 0;
}

ssize_t perf_sock_recv_some(struct perf_end *e, unsigned char *at, size_t len, int flags)
{
	for (;;) {
		ssize_t n = recv(e->rx, at, len, e->spin ? MSG_DONTWAIT : flags);
		if (n > 0)
			return n;
		if (n == 0)
			return perf_fail(e, "recv: end of file");
		if (!perf_again())
			return perf_fail(e, "recv: %s", strerror(errno));
	}
}

int perf_sock_recv(struct perf_end *e, unsigned char *at, size_t len)
{
	while (len > 0) {
		ssize_t n = perf_sock_recv_some(e, at, len, MSG_WAITALL);
		if (n < 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}
