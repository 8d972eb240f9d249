/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two pipes of 1 MiB, as contenders:
 *
 *   pipe      write(2) and read(2)
 *   vmsplice  messages of a page and more are lent to the pipe by vmsplice(2), and read(2) copies them out of the sender's
 *             pages. The receiver of a window says of each message that its pages are free again, which nobody else can tell.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pipe2, F_SETPIPE_SZ, vmsplice */
#endif
#include "contender.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PIPE_SIZE = 1 << 20, LENT_LEAST = 4096 };

static void setup(int rx[2], int tx[2], bool spin)
{
	for (int rank = 0; rank < 2; rank++) {
		int fds[2];
		if (pipe2(fds, spin ? O_NONBLOCK : 0) < 0)
			err(1, "pipe2");
		if (fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE) < 0)
			err(1, "F_SETPIPE_SZ");
		tx[rank] = fds[1];
		rx[1 - rank] = fds[0];
	}
}

static void write_all(struct end *e, void *buf, size_t len)
{
	for (char *at = buf, *end = at + len; at < end;) {
		ssize_t n = write(e->tx, at, (size_t)(end - at));
		if (n >= 0)
			at += n;
		else if (errno != EAGAIN && errno != EINTR)
			err(1, "write");
	}
}

static void read_all(struct end *e, void *buf, size_t len)
{
	for (char *at = buf, *end = at + len; at < end;) {
		ssize_t n = read(e->rx, at, (size_t)(end - at));
		if (n > 0)
			at += n;
		else if (n == 0)
			errx(1, "the other process is gone");
		else if (errno != EAGAIN && errno != EINTR)
			err(1, "read");
	}
}

static void lend(struct end *e, void *buf, size_t len)
{
	if (len < LENT_LEAST) {
		write_all(e, buf, len);
		return;
	}
	for (char *at = buf, *end = at + len; at < end;) {
		struct iovec iov = { .iov_base = at, .iov_len = (size_t)(end - at) };
		ssize_t n = vmsplice(e->tx, &iov, 1, e->spin ? SPLICE_F_NONBLOCK : 0);
		if (n >= 0)
			at += n;
		else if (errno != EAGAIN && errno != EINTR)
			err(1, "vmsplice");
	}
}

/* ---- a window: what is to be received, by slot; nothing at the sender, who waits for a byte */

static struct iovec posted[WINDOW_MOST];

static void lend_slot(struct end *e, unsigned slot, void *buf, size_t len)
{
	posted[slot].iov_len = 0;
	lend(e, buf, len);
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
		read_all(e, &done, 1);
	} else {
		read_all(e, posted[slot].iov_base, posted[slot].iov_len);
		write_all(e, &done, 1);
	}
}

static const struct contender way_pipe = {
	.name = "pipe",
	.least = 1,
	.setup = setup,
	.send = write_all,
	.recv = read_all,
};

static const struct contender way_vmsplice = {
	.name = "vmsplice",
	.least = 1,
	.setup = setup,
	.send = lend,
	.recv = read_all,
	.isend = lend_slot,
	.irecv = post,
	.wait = wait_slot,
};

const struct contender *const contenders[] = { &way_pipe, &way_vmsplice, NULL };
