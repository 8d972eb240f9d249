/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ZeroMQ by its ipc transport, a pair of PAIR sockets. zmq_send() copies; a thread of the library's own does the I/O, on the CPU
 * of its process.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "contender.h"

#include <err.h>
#include <stdio.h>
#include <unistd.h>
#include <zmq.h>

enum { LINGER_MS = 1000, QUEUE = 16 };

static void *context, *sock;
static char address[64];

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
	snprintf(address, sizeof(address), "ipc://@bench-%ld", (long)getpid());
}

static void open_socket(struct end *e)
{
	const int queue = QUEUE, linger = LINGER_MS;
	context = zmq_ctx_new();
	sock = context == NULL ? NULL : zmq_socket(context, ZMQ_PAIR);
	if (sock == NULL)
		errx(1, "zmq_socket: %s", zmq_strerror(zmq_errno()));
	/* A queue of the default length, 1000 messages, would be 64 GiB. */
	must(zmq_setsockopt(sock, ZMQ_SNDHWM, &queue, sizeof(queue)), "ZMQ_SNDHWM");
	must(zmq_setsockopt(sock, ZMQ_RCVHWM, &queue, sizeof(queue)), "ZMQ_RCVHWM");
	must(zmq_setsockopt(sock, ZMQ_LINGER, &linger, sizeof(linger)), "ZMQ_LINGER");
	if (e->rank == 0)
		must(zmq_bind(sock, address), "zmq_bind");
	else
		must(zmq_connect(sock, address), "zmq_connect");
}

static void send_one(struct end *e, void *buf, size_t len)
{
	(void)e;
	must(zmq_send(sock, buf, len, 0), "zmq_send");
}

static void recv_one(struct end *e, void *buf, size_t len)
{
	(void)e;
	int n = zmq_recv(sock, buf, len, 0);
	must(n, "zmq_recv");
	if ((size_t)n != len)
		errx(1, "zmq_recv: %d bytes instead of %zu", n, len);
}

static void close_socket(struct end *e)
{
	(void)e;
	zmq_close(sock);
	zmq_ctx_term(context);
}

static const struct contender way_zmq = {
	.name = "zeromq",
	.no_spin = "its I/O thread sleeps",
	.empty = true,
	.setup = setup,
	.open = open_socket,
	.send = send_one,
	.recv = recv_one,
	.close = close_socket,
};

const struct contender *const contenders[] = { &way_zmq, NULL };
