/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul's messages, as contenders:
 *
 *   haul          opted in to outboxes for short messages, and to copies of long ones by both sides
 *   haul-default  no option set: short messages by the socket, long ones pulled by the receiver
 *
 * and what it puts in the place of a pipe:
 *
 *   haul-stream   haul/stream.h, buffered, with its default buffer of 1 MiB
 *
 * How they wait is an option in all.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "contender.h"

#include <err.h>
#include <haul/stream.h>

enum { SPIN_US = 1000000, ADOPT_MS = 5000, LINGER_MS = 1000 };

static struct haul *h;
static struct haul_match from_peer;
static struct haul_req *reqs[WINDOW_MOST];
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

static void open_as(struct end *e, struct haul_options options)
{
	options.spin_us = e->spin ? SPIN_US : -1;
	must(haul_open(&h, &options, sizeof(options)), "haul_open");
	must(haul_adopt(h, e->rx, ADOPT_MS, &from_peer.from), "haul_adopt");
}

/* Figures of a way that was not taken would be another's. */
static void open_all(struct end *e)
{
	struct haul_peer_info info;
	open_as(e, (struct haul_options){ .transport = HAUL_TRANSPORT_OUTBOX, .two_handed = 1 });
	must(haul_peer_info(from_peer.from, &info, sizeof(info)), "haul_peer_info");
	if (info.in_transport != HAUL_TRANSPORT_OUTBOX || info.two_handed == 0)
		errx(1, "no outbox, or no two-handed copies: %s%s", info.in_words, info.out_words);
}

static void open_default(struct end *e)
{
	struct haul_peer_info info;
	open_as(e, (struct haul_options){ .transport = HAUL_TRANSPORT_AUTO });
	must(haul_peer_info(from_peer.from, &info, sizeof(info)), "haul_peer_info");
	if (info.in_path != HAUL_PATH_PULL)
		errx(1, "messages are not pulled: %s", info.in_words);
}

static void send_one(struct end *e, void *buf, size_t len)
{
	(void)e;
	must(haul_send(from_peer.from, 0, buf, len, -1), "haul_send");
}

static void recv_one(struct end *e, void *buf, size_t len)
{
	(void)e;
	ssize_t n = haul_recv(h, &from_peer, buf, len, -1, NULL);
	must(n, "haul_recv");
	if ((size_t)n != len)
		errx(1, "haul_recv: %zd bytes instead of %zu", n, len);
}

static void isend(struct end *e, unsigned slot, void *buf, size_t len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	(void)e;
	must(haul_isend(from_peer.from, 0, &iov, 1, 0, &reqs[slot]), "haul_isend");
}

static void irecv(struct end *e, unsigned slot, void *buf, size_t len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	(void)e;
	must(haul_irecv(h, &from_peer, &iov, 1, &reqs[slot]), "haul_irecv");
}

static void wait_slot(struct end *e, unsigned slot)
{
	(void)e;
	must(haul_req_wait(reqs[slot], -1), "haul_req_wait");
	must(haul_req_finish(reqs[slot], NULL), "haul_req_finish");
}

static void open_stream(struct end *e)
{
	open_as(e, (struct haul_options){ .transport = HAUL_TRANSPORT_AUTO });
	must(haul_stream_open(from_peer.from, 0, NULL, 0, &stream), "haul_stream_open");
}

static void write_all(struct end *e, void *buf, size_t len)
{
	(void)e;
	must(haul_stream_write(stream, buf, len, -1), "haul_stream_write");
}

static void read_all(struct end *e, void *buf, size_t len)
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

static void close_all(struct end *e)
{
	(void)e;
	haul_close(h, LINGER_MS);
}

#define WAY(name_, open_) \
	{ \
		.name = name_, .setup = setup, .open = open_, .send = send_one, .recv = recv_one, \
		.isend = isend, .irecv = irecv, .wait = wait_slot, .close = close_all \
	}

static const struct contender way_haul = WAY("haul", open_all);
static const struct contender way_default = WAY("haul-default", open_default);

static const struct contender way_stream = {
	.name = "haul-stream",
	.least = 1,
	.setup = setup,
	.open = open_stream,
	.send = write_all,
	.recv = read_all,
	.close = close_all,
};

const struct contender *const contenders[] = { &way_haul, &way_default, &way_stream, NULL };
