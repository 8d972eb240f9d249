/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ZeroMQ by its ipc transport: PAIR sockets, one with queues for short messages and one with queues for long ones, since a
 * queue is bounded by the number of messages. zmq_send() copies; a thread of the library's own does the I/O, on the CPU of its
 * process.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "contender.h"

#include <err.h>
#include <stdio.h>
#include <unistd.h>
#include <zmq.h>

enum { LINGER_MS = 1000, SHORT = 4096, SHORT_QUEUE = 1000 /* the default */, LONG_QUEUE = 16 };

static void *context, *socks[2]; /* for short messages, and for long ones */
static char addresses[2][64];

static void *sock_for(size_t len)
{
	return socks[len < SHORT ? 0 : 1];
}

static void must(int rc, const char *call)
{
	if (rc < 0)
		errx(1, "%s: %s", call, zmq_strerror(zmq_errno()));
}

static void setup(int rx[2], int tx[2], bool spin)
{
	(void)rx;
	(void)tx;
	(void)spin;
	for (int i = 0; i < 2; i++)
		snprintf(addresses[i], sizeof(addresses[i]), "ipc://@bench-%ld-%d", (long)getpid(), i);
}

static void *open_socket(struct end *e, const char *address, int queue)
{
	const int linger = LINGER_MS;
	void *sock = zmq_socket(context, ZMQ_PAIR);
	if (sock == NULL)
		errx(1, "zmq_socket: %s", zmq_strerror(zmq_errno()));
	must(zmq_setsockopt(sock, ZMQ_SNDHWM, &queue, sizeof(queue)), "ZMQ_SNDHWM");
	must(zmq_setsockopt(sock, ZMQ_RCVHWM, &queue, sizeof(queue)), "ZMQ_RCVHWM");
	must(zmq_setsockopt(sock, ZMQ_LINGER, &linger, sizeof(linger)), "ZMQ_LINGER");
	if (e->rank == 0)
		must(zmq_bind(sock, address), "zmq_bind");
	else
		must(zmq_connect(sock, address), "zmq_connect");
	return sock;
}

static void open_sockets(struct end *e)
{
	context = zmq_ctx_new();
	if (context == NULL)
		errx(1, "zmq_ctx_new: %s", zmq_strerror(zmq_errno()));
	socks[0] = open_socket(e, addresses[0], SHORT_QUEUE);
	socks[1] = open_socket(e, addresses[1], LONG_QUEUE);
}

static void send_one(struct end *e, void *buf, size_t len)
{
	(void)e;
	must(zmq_send(sock_for(len), buf, len, 0), "zmq_send");
}

static void recv_one(struct end *e, void *buf, size_t len)
{
	(void)e;
	int n = zmq_recv(sock_for(len), buf, len, 0);
	must(n, "zmq_recv");
	if ((size_t)n != len)
		errx(1, "zmq_recv: %d bytes instead of %zu", n, len);
}

static void close_sockets(struct end *e)
{
	(void)e;
	zmq_close(socks[0]);
	zmq_close(socks[1]);
	zmq_ctx_term(context);
}

static const struct contender way_zmq = {
	.name = "zeromq",
	.no_spin = "its I/O thread sleeps",
	.setup = setup,
	.open = open_sockets,
	.send = send_one,
	.recv = recv_one,
	.close = close_sockets,
};

const struct contender *const contenders[] = { &way_zmq, NULL };
