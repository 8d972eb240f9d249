/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contenders that lie, for tests/test_bench.sh: a socket pair, whose receiver changes what has come.
 *
 *   liar-byte   a bit in the middle of a long message
 *   liar-old    the number of a short message, as if it was the one before
 *   liar-gone   dies instead of answering
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "contender.h"

#include <err.h>
#include <sys/socket.h>

enum { MESSAGE = 64, LONG = 1 << 10 }; /* what is shorter is not of the measurement */

static void send_all(struct end *e, void *buf, size_t len)
{
	if (send(e->tx, buf, len, MSG_NOSIGNAL) != (ssize_t)len)
		err(1, "send");
}

static void recv_all(struct end *e, void *buf, size_t len)
{
	if (recv(e->rx, buf, len, MSG_WAITALL) != (ssize_t)len)
		err(1, "recv");
}

static void recv_byte(struct end *e, void *buf, size_t len)
{
	recv_all(e, buf, len);
	if (len >= LONG)
		((char *)buf)[len / 2] ^= 1;
}

static void recv_old(struct end *e, void *buf, size_t len)
{
	recv_all(e, buf, len);
	if (len >= MESSAGE)
		((uint64_t *)buf)[0]--;
}

static void recv_gone(struct end *e, void *buf, size_t len)
{
	if (e->rank == 1 && len >= MESSAGE)
		errx(1, "gone");
	recv_all(e, buf, len);
}

#define LIAR(name_, recv_) \
	{ \
		.name = name_, .setup = setup_socketpair, .send = send_all, .recv = recv_ \
	}

static const struct contender liar_byte = LIAR("liar-byte", recv_byte);
static const struct contender liar_old = LIAR("liar-old", recv_old);
static const struct contender liar_gone = LIAR("liar-gone", recv_gone);

const struct contender *const contenders[] = { &liar_byte, &liar_old, &liar_gone, NULL };
