/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nng by its ipc transport, a pair of pair0 sockets. nng_send() copies; threads of the library's own do the I/O, on the CPU of
 * their process.
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

enum { LINGER_MS = 100, QUEUE = 16 };

static nng_socket sock;
static char address[64];

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
	snprintf(address, sizeof(address), "abstract://bench-%ld", (long)getpid());
}

static void open_socket(struct end *e)
{
	must(nng_pair0_open(&sock), "nng_pair0_open");
	must(nng_socket_set_size(sock, NNG_OPT_RECVMAXSZ, 0), "NNG_OPT_RECVMAXSZ"); /* no limit */
	must(nng_socket_set_int(sock, NNG_OPT_SENDBUF, QUEUE), "NNG_OPT_SENDBUF");
	must(nng_socket_set_int(sock, NNG_OPT_RECVBUF, QUEUE), "NNG_OPT_RECVBUF");
	if (e->rank == 0)
		must(nng_listen(sock, address, NULL, 0), "nng_listen");
	else
		must(nng_dial(sock, address, NULL, NNG_FLAG_NONBLOCK), "nng_dial"); /* again and again */
}

static void send_one(struct end *e, void *buf, size_t len)
{
	(void)e;
	must(nng_send(sock, buf, len, 0), "nng_send");
}

static void recv_one(struct end *e, void *buf, size_t len)
{
	size_t n = len;
	(void)e;
	must(nng_recv(sock, buf, &n, 0), "nng_recv");
	if (n != len)
		errx(1, "nng_recv: %zu bytes instead of %zu", n, len);
}

/* nng does not linger: what was sent last may not have left. */
static void close_socket(struct end *e)
{
	(void)e;
	nng_msleep(LINGER_MS);
	nng_close(sock);
}

static const struct contender way_nng = {
	.name = "nng",
	.no_spin = "its I/O threads sleep",
	.empty = true,
	.setup = setup,
	.open = open_socket,
	.send = send_one,
	.recv = recv_one,
	.close = close_socket,
};

const struct contender *const contenders[] = { &way_nng, NULL };
