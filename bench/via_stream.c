/* SPDX-License-Identifier: BSD-3-Clause */
/* A stream of haul (haul/stream.h), buffered: what it puts in the place of a pipe. Its buffer is 1 MiB, as the pipe's. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "contender.h"

#include <err.h>
#include <haul/stream.h>

enum { SPIN_US = 1000000, ADOPT_MS = 5000, LINGER_MS = 1000 };

static struct haul *h;
static struct haul_stream *stream;

static void must(ssize_t rc, const char *call)
{
	if (rc < 0)
		errx(1, "%s: %s", call, haul_reason());
}

static void setup(int rx[2], int tx[2], bool spin)
{
	int fds[2];
	(void)spin;
	must(haul_pair(fds), "haul_pair");
	for (int rank = 0; rank < 2; rank++)
		rx[rank] = tx[rank] = fds[rank];
}

static void open_stream(struct end *e)
{
	struct haul_options options = { .spin_us = e->spin ? SPIN_US : -1 };
	struct haul_peer *peer;
	must(haul_open(&h, &options, sizeof(options)), "haul_open");
	must(haul_adopt(h, e->rx, ADOPT_MS, &peer), "haul_adopt");
	must(haul_stream_open(peer, 0, NULL, 0, &stream), "haul_stream_open");
}

static void send_all(struct end *e, void *buf, size_t len)
{
	(void)e;
	must(haul_stream_write(stream, buf, len, -1), "haul_stream_write");
}

static void recv_all(struct end *e, void *buf, size_t len)
{
	(void)e;
	for (char *at = buf; len > 0;) {
		ssize_t n = haul_stream_read(stream, at, len, -1);
		must(n, "haul_stream_read");
		if (n == 0)
			errx(1, "the other process is gone");
		at += n;
		len -= (size_t)n;
	}
}

static void close_stream(struct end *e)
{
	(void)e;
	haul_close(h, LINGER_MS);
}

static const struct contender way_stream = {
	.name = "haul-stream",
	.least = 1,
	.setup = setup,
	.open = open_stream,
	.send = send_all,
	.recv = recv_all,
	.close = close_stream,
};

const struct contender *const contenders[] = { &way_stream, NULL };
