/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nng by its ipc transport: pair0 sockets, one with queues for short messages and one with queues for long ones, since a queue
 * is bounded by the number of messages. nng_send() copies; threads of the library's own do the I/O, on the CPU of their process.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "contender.h"

#include <err.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/supplemental/util/platform.h>
#include <stdio.h>
#include <unistd.h>

enum { LINGER_MS = 100, SHORT = 4096, SHORT_QUEUE = 1000, LONG_QUEUE = 16 };

static nng_socket socks[2]; /* for short messages, and for long ones */
static char addresses[2][64];

static nng_socket sock_for(size_t len)
{
	return socks[len < SHORT ? 0 : 1];
}

static void must(int rc, const char *call)
{
	if (rc != 0)
		errx(1, "%s: %s", call, nng_strerror(rc));
}

static void setup(int rx[2], int tx[2], bool spin)
{
	(void)rx;
	(void)tx;
	(void)spin;
	for (int i = 0; i < 2; i++)
		snprintf(addresses[i], sizeof(addresses[i]), "abstract://bench-%ld-%d", (long)getpid(), i);
}

static nng_socket open_socket(struct end *e, const char *address, int queue)
{
	nng_socket sock;
	must(nng_pair0_open(&sock), "nng_pair0_open");
	must(nng_socket_set_size(sock, NNG_OPT_RECVMAXSZ, 0), "NNG_OPT_RECVMAXSZ"); /* no limit */
	must(nng_socket_set_int(sock, NNG_OPT_SENDBUF, queue), "NNG_OPT_SENDBUF");
	must(nng_socket_set_int(sock, NNG_OPT_RECVBUF, queue), "NNG_OPT_RECVBUF");
	if (e->rank == 0)
		must(nng_listen(sock, address, NULL, 0), "nng_listen");
	else
		must(nng_dial(sock, address, NULL, NNG_FLAG_NONBLOCK), "nng_dial"); /* again and again */
	return sock;
}

static void open_sockets(struct end *e)
{
	socks[0] = open_socket(e, addresses[0], SHORT_QUEUE);
	socks[1] = open_socket(e, addresses[1], LONG_QUEUE);
}

static void send_one(struct end *e, void *buf, size_t len)
{
	(void)e;
	must(nng_send(sock_for(len), buf, len, 0), "nng_send");
}

static void recv_one(struct end *e, void *buf, size_t len)
{
	size_t n = len;
	(void)e;
	must(nng_recv(sock_for(len), buf, &n, 0), "nng_recv");
	if (n != len)
		errx(1, "nng_recv: %zu bytes instead of %zu", n, len);
}

/* nng does not linger: what was sent last may not have left. */
static void close_sockets(struct end *e)
{
	(void)e;
	nng_msleep(LINGER_MS);
	nng_close(socks[0]);
	nng_close(socks[1]);
}

static const struct contender way_nng = {
	.name = "nng",
	.no_spin = "its I/O threads sleep",
	.setup = setup,
	.open = open_sockets,
	.send = send_one,
	.recv = recv_one,
	.close = close_sockets,
};

const struct contender *const contenders[] = { &way_nng, NULL };
