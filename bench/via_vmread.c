/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The least that a copy out of the other process's memory takes, the limit of what haul can do with one hand: where a message
 * lies goes by a socket pair, process_vm_readv(2) gets it, and the receiver of a window says that it is done by a byte. What is
 * shorter than INLINE goes by the socket itself, and is not measured.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* process_vm_readv */
#endif
#include "contender.h"

#include <err.h>
#include <errno.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { INLINE = 512 };

static pid_t other;
static struct iovec posted[WINDOW_MOST]; /* to be received, by slot; nothing at the sender */

static void send_all(struct end *e, const void *buf, size_t len)
{
	for (const char *at = buf, *end = at + len; at < end;) {
		ssize_t n = send(e->tx, at, (size_t)(end - at), MSG_NOSIGNAL | (e->spin ? MSG_DONTWAIT : 0));
		if (n >= 0)
			at += n;
		else if (errno != EAGAIN && errno != EINTR)
			err(1, "send");
	}
}

static void recv_all(struct end *e, void *buf, size_t len)
{
	for (char *at = buf, *end = at + len; at < end;) {
		ssize_t n = recv(e->rx, at, (size_t)(end - at), e->spin ? MSG_DONTWAIT : MSG_WAITALL);
		if (n > 0)
			at += n;
		else if (n == 0)
			errx(1, "the other process is gone");
		else if (errno != EAGAIN && errno != EINTR)
			err(1, "recv");
	}
}

static void open_pids(struct end *e)
{
	pid_t own = getpid();
	send_all(e, &own, sizeof(own));
	recv_all(e, &other, sizeof(other));
	prctl(PR_SET_PTRACER, (unsigned long)other, 0, 0, 0); /* EINVAL where there is no Yama to ask */
}

static void send_one(struct end *e, void *buf, size_t len)
{
	if (len < INLINE)
		send_all(e, buf, len);
	else
		send_all(e, &buf, sizeof(buf));
}

static void recv_one(struct end *e, void *buf, size_t len)
{
	struct iovec to = { .iov_base = buf, .iov_len = len }, from = { .iov_len = len };
	if (len < INLINE) {
		recv_all(e, buf, len);
		return;
	}
	recv_all(e, &from.iov_base, sizeof(from.iov_base));
	ssize_t n = process_vm_readv(other, &to, 1, &from, 1, 0);
	if (n < 0)
		err(1, "process_vm_readv");
	if ((size_t)n != len)
		errx(1, "process_vm_readv: %zd bytes instead of %zu", n, len);
}

static void lend(struct end *e, unsigned slot, void *buf, size_t len)
{
	posted[slot].iov_len = 0;
	send_one(e, buf, len);
}

static void post(struct end *e, unsigned slot, void *buf, size_t len)
{
	(void)e;
	posted[slot] = (struct iovec){ .iov_base = buf, .iov_len = len };
}

static void wait_slot(struct end *e, unsigned slot)
{
	char done = 0;
	if (posted[slot].iov_len == 0) {
		recv_all(e, &done, 1);
	} else {
		recv_one(e, posted[slot].iov_base, posted[slot].iov_len);
		send_all(e, &done, 1);
	}
}

static const struct contender way_vmread = {
	.name = "vmread",
	.least = INLINE,
	.setup = setup_socketpair,
	.open = open_pids,
	.send = send_one,
	.recv = recv_one,
	.isend = lend,
	.irecv = post,
	.wait = wait_slot,
};

const struct contender *const contenders[] = { &way_vmread, NULL };
