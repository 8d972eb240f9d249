/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contenders of haul perf that are byte streams (haul/stream.h): what takes the place of a pipe.
 *
 *   buffered  written into the library's buffer, out of which the reader pulls
 *   direct    pulled out of the writer's own memory; from 256 KiB on copied by both, which both opt in to
 *
 * A message is its length of bytes. As a pipe they need no window: what the buffer holds is under way.
 */
#include "perf_haul.h"

#include <haul/stream.h>

static struct haul_stream *stream; /* one end per process */

static int open_stream(struct perf_end *e, int direct)
{
	struct haul_stream_options options = { .direct = direct };
	if (perf_haul_open(e) < 0)
		return -1;
	struct perf_haul *s = e->state;
	if (haul_stream_open(s->peer, 0, &options, sizeof(options), &stream) < 0)
		return perf_haul_fail(e, "haul_stream_open");
	return 0;
}

static int open_buffered(struct perf_end *e)
{
	return open_stream(e, 0);
}

static int open_direct(struct perf_end *e)
{
	return open_stream(e, 1);
}

static void close_stream(struct perf_end *e)
{
	haul_stream_close(stream);
	perf_haul_close(e);
}

static int write_bytes(struct perf_end *e, uint64_t i)
{
	ssize_t n = haul_stream_write(stream, perf_slot(&e->out, i), e->out.len, -1);
	return n < 0 ? perf_haul_fail(e, "haul_stream_write") : 0;
}

static int read_bytes(struct perf_end *e, uint64_t i)
{
	unsigned char *at = perf_slot(&e->in, i), *end = at + e->in.len;
	while (at < end) {
		ssize_t n = haul_stream_read(stream, at, (size_t)(end - at), -1);
		if (n <= 0)
			return n < 0 ? perf_haul_fail(e, "haul_stream_read")
			             : perf_fail(e, "haul_stream_read: end of file");
		at += n;
	}
	return 0;
}

#define BYTES_CONTENDER(name_, open_, two_handed_) \
	{ \
		.name = name_, .setup = perf_haul_setup, .open = open_, .close = close_stream, \
		.send = write_bytes, .recv = read_bytes, .count = perf_haul_count, \
		.run = { [PERF_LATENCY] = perf_pingpong, \
			[PERF_BANDWIDTH] = perf_stream, \
			[PERF_RATE] = perf_stream }, \
		.two_handed = two_handed_, .transport = HAUL_TRANSPORT_SOCKET, .by_name = true \
	}

const struct contender perf_buffered = BYTES_CONTENDER("buffered", open_buffered, -1);
const struct contender perf_direct = BYTES_CONTENDER("direct", open_direct, 1);
