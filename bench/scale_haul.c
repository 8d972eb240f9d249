/* SPDX-License-Identifier: BSD-3-Clause */
/* The way of bench/scale by haul, opted in to outboxes and two-handed copies, sleeping. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "scale.h"

#include <err.h>
#include <haul/haul.h>

enum { ADOPT_MS = 20000, LINGER_MS = 1000 };

static struct haul *h;
static struct haul_peer *peers[PEERS_MOST];
static struct haul_req *reqs[PEERS_MOST]; /* adopts, then sends */

static void must(ssize_t rc, const char *call)
{
	if (rc < 0)
		errx(1, "%s: %s", call, haul_reason());
}

static void make_pair(int fds[2])
{
	must(haul_pair(fds), "haul_pair");
}

/* All at once: those at the other ends may come in any order. */
static void open_all(const int *fds, unsigned count)
{
	struct haul_options options = { .spin_us = -1, .transport = HAUL_TRANSPORT_OUTBOX, .two_handed = 1 };
	must(haul_open(&h, &options, sizeof(options)), "haul_open");
	for (unsigned i = 0; i < count; i++)
		must(haul_iadopt(h, fds[i], &reqs[i]), "haul_iadopt");
	must(haul_wait_all(reqs, count, ADOPT_MS), "haul_wait_all");
	for (unsigned i = 0; i < count; i++) {
		struct haul_status status;
		must(haul_req_finish(reqs[i], &status), "haul_adopt");
		peers[i] = status.peer;
		haul_peer_set_user(peers[i], &peers[i]);
	}
}

static void send_one(unsigned peer, void *buf, size_t len)
{
	must(haul_send(peers[peer], 0, buf, len, -1), "haul_send");
}

static void receive(const struct haul_match *match, void *buf, size_t len, struct haul_status *status)
{
	ssize_t n = haul_recv(h, match, buf, len, -1, status);
	must(n, "haul_recv");
	if ((size_t)n != len)
		errx(1, "haul_recv: %zd bytes instead of %zu", n, len);
}

static void recv_one(unsigned peer, void *buf, size_t len)
{
	struct haul_status status;
	receive(&(struct haul_match){ .from = peers[peer] }, buf, len, &status);
}

static unsigned recv_any(void *buf, size_t len)
{
	struct haul_status status;
	receive(NULL, buf, len, &status);
	return (unsigned)((struct haul_peer **)haul_peer_user(status.peer) - peers);
}

static void begin(unsigned peer, unsigned slot, void *buf, size_t len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	must(haul_isend(peers[peer], 0, &iov, 1, 0, &reqs[slot]), "haul_isend");
}

static void finish(unsigned slot)
{
	must(haul_req_wait(reqs[slot], -1), "haul_req_wait");
	must(haul_req_finish(reqs[slot], NULL), "haul_req_finish");
}

static void close_all(void)
{
	haul_close(h, LINGER_MS);
}

const struct ways ways_haul = {
	.name = "haul",
	.pair = make_pair,
	.open = open_all,
	.send = send_one,
	.recv = recv_one,
	.recv_any = recv_any,
	.begin = begin,
	.finish = finish,
	.close = close_all,
};
