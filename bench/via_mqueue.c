/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two POSIX message queues, with as many messages, as long, as this system lets any process have without asking for more
 * (/proc/sys/fs/mqueue); longer messages go in several.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "contender.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static size_t most; /* bytes of a message */

static long limit(const char *path)
{
	long n = 0;
	FILE *f = fopen(path, "re");
	if (f == NULL || fscanf(f, "%ld", &n) != 1 || n < 1)
		errx(1, "there are no message queues: %s", path);
	fclose(f);
	return n;
}

static void setup(int rx[2], int tx[2], bool spin)
{
	struct mq_attr attr = { .mq_maxmsg = limit("/proc/sys/fs/mqueue/msg_max"),
		.mq_msgsize = limit("/proc/sys/fs/mqueue/msgsize_max") };

	most = (size_t)attr.mq_msgsize;
	for (int rank = 0; rank < 2; rank++) {
		char name[64];
		snprintf(name, sizeof(name), "/bench-%ld-%d", (long)getpid(), rank);
		mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | (spin ? O_NONBLOCK : 0), 0600, &attr);
		if (queue < 0)
			err(1, "mq_open");
		mq_unlink(name);
		tx[rank] = queue;
		rx[1 - rank] = dup(queue); /* each process closes the ends that are not its own */
	}
}

static void send_all(struct end *e, void *buf, size_t len)
{
	for (char *at = buf, *end = at + len; at < end;) {
		size_t left = (size_t)(end - at), n = left < most ? left : most;
		if (mq_send(e->tx, at, n, 0) == 0)
			at += n;
		else if (errno != EAGAIN && errno != EINTR)
			err(1, "mq_send");
	}
}

/* The kernel wants room for the longest message, also where a shorter one will come. */
static void recv_all(struct end *e, void *buf, size_t len)
{
	static char room[1 << 20];
	for (char *at = buf, *end = at + len; at < end;) {
		size_t left = (size_t)(end - at);
		bool fits = left >= most;
		if (!fits && most > sizeof(room))
			errx(1, "messages of %zu bytes are longer than was thought", most);
		ssize_t n = mq_receive(e->rx, fits ? at : room, most, NULL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			err(1, "mq_receive");
		if (n < 0)
			continue;
		if ((size_t)n > left)
			errx(1, "mq_receive: %zd bytes instead of %zu", n, left);
		if (!fits)
			memcpy(at, room, (size_t)n);
		at += n;
	}
}

static const struct contender way_mqueue = {
	.name = "mqueue",
	.least = 1,
	.setup = setup,
	.send = send_all,
	.recv = recv_all,
};

const struct contender *const contenders[] = { &way_mqueue, NULL };
