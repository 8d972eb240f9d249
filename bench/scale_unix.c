/* SPDX-License-Identifier: BSD-3-Clause */
/* The way of bench/scale by Unix stream sockets and epoll(7). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "scale.h"

#include <err.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static int socks[PEERS_MOST], epoll;

static void make_pair(int fds[2])
{
	int most = INT_MAX; /* the kernel takes of it what net.core.wmem_max allows */
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		err(1, "socketpair");
	for (int i = 0; i < 2; i++)
		if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &most, sizeof(most)) < 0)
			err(1, "SO_SNDBUF");
}

static void open_all(const int *fds, unsigned count)
{
	epoll = epoll_create1(0);
	if (epoll < 0)
		err(1, "epoll_create1");
	memcpy(socks, fds, count * sizeof(fds[0]));
	for (unsigned i = 0; i < count; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data = { .u32 = i } };
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, socks[i], &event) < 0)
			err(1, "epoll_ctl");
	}
}

static void send_one(unsigned peer, void *buf, size_t len)
{
	if (send(socks[peer], buf, len, MSG_NOSIGNAL) != (ssize_t)len)
		err(1, "send");
}

static void recv_one(unsigned peer, void *buf, size_t len)
{
	ssize_t n = recv(socks[peer], buf, len, MSG_WAITALL);
	if (n < 0)
		err(1, "recv");
	if ((size_t)n != len)
		errx(1, "recv: %zd bytes instead of %zu", n, len);
}

/* As many events as one call has; who waits the longest comes first. */
static unsigned recv_any(void *buf, size_t len)
{
	static struct epoll_event events[64];
	static int count, at;
	if (at == count) {
		count = epoll_wait(epoll, events, 64, -1);
		if (count < 1)
			err(1, "epoll_wait");
		at = 0;
	}
	unsigned peer = events[at++].data.u32;
	recv_one(peer, buf, len);
	return peer;
}

static void begin(unsigned peer, unsigned slot, void *buf, size_t len)
{
	(void)slot;
	send_one(peer, buf, len);
}

static void finish(unsigned slot)
{
	(void)slot;
}

static void close_all(void)
{
}

const struct ways ways_unix = {
	.name = "unix",
	.pair = make_pair,
	.open = open_all,
	.send = send_one,
	.recv = recv_one,
	.recv_any = recv_any,
	.begin = begin,
	.finish = finish,
	.close = close_all,
};
