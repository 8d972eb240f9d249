/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Unix socket pairs, as contenders, with the largest send buffer that the system gives:
 *
 *   unix       a stream
 *   seqpacket  messages; those longer than PACKET go in several, since a message must fit into the send buffer
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "contender.h"

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

enum { PACKET = 64 << 10 };

static void setup(int type, int rx[2], int tx[2])
{
	int fds[2], most = INT_MAX; /* the kernel takes of it what net.core.wmem_max allows */
	if (socketpair(AF_UNIX, type, 0, fds) < 0)
		err(1, "socketpair");
	for (int rank = 0; rank < 2; rank++) {
		rx[rank] = tx[rank] = fds[rank];
		if (setsockopt(fds[rank], SOL_SOCKET, SO_SNDBUF, &most, sizeof(most)) < 0)
			err(1, "SO_SNDBUF");
	}
}

static void setup_stream(int rx[2], int tx[2], bool spin)
{
	(void)spin;
	setup(SOCK_STREAM, rx, tx);
}

static void setup_packets(int rx[2], int tx[2], bool spin)
{
	(void)spin;
	setup(SOCK_SEQPACKET, rx, tx);
}

/* By calls of at most so many bytes. */
static void send_by(struct end *e, char *at, size_t len, size_t most)
{
	for (char *end = at + len; at < end;) {
		size_t left = (size_t)(end - at);
		ssize_t n =
		    send(e->tx, at, left < most ? left : most, MSG_NOSIGNAL | (e->spin ? MSG_DONTWAIT : 0));
		if (n >= 0)
			at += n;
		else if (errno != EAGAIN && errno != EINTR)
			err(1, "send");
	}
}

static void recv_by(struct end *e, char *at, size_t len, int flags)
{
	for (char *end = at + len; at < end;) {
		ssize_t n = recv(e->rx, at, (size_t)(end - at), e->spin ? MSG_DONTWAIT : flags);
		if (n > 0)
			at += n;
		else if (n == 0)
			errx(1, "the other process is gone");
		else if (errno != EAGAIN && errno != EINTR)
			err(1, "recv");
	}
}

static void send_stream(struct end *e, void *buf, size_t len)
{
	send_by(e, buf, len, SIZE_MAX);
}

static void recv_stream(struct end *e, void *buf, size_t len)
{
	recv_by(e, buf, len, MSG_WAITALL);
}

static void send_packets(struct end *e, void *buf, size_t len)
{
	send_by(e, buf, len, PACKET);
}

static void recv_packets(struct end *e, void *buf, size_t len)
{
	recv_by(e, buf, len, 0);
}

static const struct contender way_unix = {
	.name = "unix",
	.least = 1,
	.setup = setup_stream,
	.send = send_stream,
	.recv = recv_stream,
};

static const struct contender way_seqpacket = {
	.name = "seqpacket",
	.least = 1,
	.setup = setup_packets,
	.send = send_packets,
	.recv = recv_packets,
};

const struct contender *const contenders[] = { &way_unix, &way_seqpacket, NULL };
