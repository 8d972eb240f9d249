/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contenders of haul perf that use libhaul.
 *
 *   auto     all that haul has: outbox and two-handed copies, where they can be had; no outbox on a single CPU
 *   socket   neither of them
 *   outbox   what is said goes by the outboxes of both sides; fails where it can't
 *   twohand  large messages are copied by both sides at once; fails where they can't be
 *   pull     every message described and pulled, by one hand; fails where the kernel refuses
 *   stream   every message described and written to the socket
 *
 * A ping-pong is haul_send() and haul_recv(); a stream keeps a window of requests on both sides. Matching is
 * perf_match.c's.
 */
#include "perf_haul.h"

#include <errno.h>
#include <stdlib.h>

enum {
	SPIN_US = 1000000, /* longer than any message takes */
	ADOPT_MS = 5000,
	LINGER_MS = 1000,
};

int perf_haul_fail(struct perf_end *e, const char *call)
{
	return perf_fail(e, "%s: %s", call, haul_reason());
}

int perf_haul_finish(struct perf_end *e, struct haul_req *r, struct haul_status *status)
{
	int rc = haul_req_finish(r, status);
	if (rc == -EINPROGRESS) { /* mostly it is complete: many are, at once */
		if (haul_req_wait(r, -1) < 0)
			return perf_haul_fail(e, "haul_req_wait");
		rc = haul_req_finish(r, status);
	}
	return rc < 0 ? perf_haul_fail(e, "haul_req_finish") : 0;
}

int perf_haul_setup(struct perf_round *round)
{
	int fd[2];
	int rc = haul_pair(fd);
	if (rc < 0) {
		errno = -rc;
		return -1;
	}
	for (int rank = 0; rank < 2; rank++)
		round->rx[rank] = round->tx[rank] = fd[rank];
	return 0;
}

/* What stands in the way of reading each other. */
static const char *obstacle(const struct haul_peer_info *info)
{
	if (info->in_words[0] != '\0')
		return info->in_words;
	return info->out_words[0] != '\0' ? info->out_words : "haul does not say why";
}

/* A contender named after a way must take it, or its figures would be another's. */
static int require_way(struct perf_end *e, const struct perf_haul *s)
{
	const struct contender *c = e->round->contender;
	struct haul_peer_info info;

	if (!c->strict)
		return 0;
	if (haul_peer_info(s->peer, &info, sizeof(info)) < 0)
		return perf_haul_fail(e, "haul_peer_info");
	if (c->path != HAUL_PATH_AUTO && info.in_path != c->path)
		return perf_fail(e, "incoming messages do not go that way: %s", info.in_words);
	if (c->path != HAUL_PATH_AUTO && info.out_path != c->path)
		return perf_fail(e, "outgoing messages do not go that way: %s", info.out_words);
	if (c->transport == HAUL_TRANSPORT_OUTBOX &&
	    (info.in_transport != c->transport || info.out_transport != c->transport))
		return perf_fail(e, "there is no outbox to be had: %s", obstacle(&info));
	if (c->two_handed > 0 && info.two_handed == 0)
		return perf_fail(e, "messages are not copied by both sides: %s", obstacle(&info));
	return 0;
}

int perf_haul_open(struct perf_end *e)
{
	static struct perf_haul state; /* one end per process */
	bool matching = e->round->what == PERF_MATCH;
	const struct contender *c = e->round->contender;
	struct haul_options options = { .path = c->path,
		.transport = c->transport,
		.two_handed = c->two_handed,
		.spin_us = e->spin ? SPIN_US : -1 };

	/* As one would choose who knows where the processes run. */
	if (c == &perf_auto && perf_one_cpu(e->round->options))
		options.transport = HAUL_TRANSPORT_SOCKET;
	/* Overlap has long messages only, beside which short ones are to go eagerly. */
	if (options.path != HAUL_PATH_AUTO && e->round->what != PERF_OVERLAP)
		options.eager_max = -1;
	if (matching)
		options.budget = PERF_MATCH_BUDGET;
	e->state = &state;
	if (haul_open(&state.h, &options, sizeof(options)) < 0)
		return perf_haul_fail(e, "haul_open");
	if (haul_adopt(state.h, e->rx, ADOPT_MS, &state.peer) < 0)
		return perf_haul_fail(e, "haul_adopt");
	state.from_peer.from = state.peer;
	if (require_way(e, &state) < 0)
		return -1;
	return matching ? perf_match_open(e) : 0;
}

void perf_haul_close(struct perf_end *e)
{
	struct perf_haul *s = e->state;
	haul_close(s->h, LINGER_MS);
}

void perf_haul_count(struct perf_end *e, struct perf_counters *counters)
{
	struct perf_haul *s = e->state;
	struct haul_stats stats;
	if (haul_stats(s->h, &stats, sizeof(stats)) < 0)
		return;
	*counters = (struct perf_counters){ .polls = stats.polls,
		.empty_polls = stats.empty_polls,
		.polled_frames = stats.polled_frames,
		.bells = stats.bells_sent,
		.assisted_bytes = stats.assisted_bytes };
}

/* ---- one message at a time ---------------------------------------------------------------------- */

static int haul_end_send(struct perf_end *e, uint64_t i)
{
	struct perf_haul *s = e->state;
	if (haul_send(s->peer, 0, perf_slot(&e->out, i), e->out.len, -1) < 0)
		return perf_haul_fail(e, "haul_send");
	return 0;
}

static int haul_end_recv(struct perf_end *e, uint64_t i)
{
	struct perf_haul *s = e->state;
	ssize_t n = haul_recv(s->h, &s->from_peer, perf_slot(&e->in, i), e->in.len, -1, NULL);
	if (n < 0)
		return perf_haul_fail(e, "haul_recv");
	if ((size_t)n != e->in.len)
		return perf_fail(e, "haul_recv: %zd of %zu bytes", n, e->in.len);
	return 0;
}

/* ---- a window of requests ----------------------------------------------------------------------- */

static int begin_in(struct perf_end *e, uint64_t i, struct haul_req **r)
{
	struct perf_haul *s = e->state;
	if (e->rank == 0) {
		struct iovec iov = { .iov_base = perf_slot(&e->out, i), .iov_len = e->out.len };
		return haul_isend(s->peer, 0, &iov, 1, 0, r) < 0 ? perf_haul_fail(e, "haul_isend") : 0;
	}
	struct iovec iov = { .iov_base = perf_slot(&e->in, i), .iov_len = e->in.len };
	return haul_irecv(s->h, &s->from_peer, &iov, 1, r) < 0 ? perf_haul_fail(e, "haul_irecv") : 0;
}

/* Only a receiver has a use for the status. */
static int finish_in(struct perf_end *e, struct haul_req *r)
{
	struct haul_status status;
	if (perf_haul_finish(e, r, e->rank == 1 ? &status : NULL) < 0)
		return -1;
	if (e->rank == 1 && status.got != e->in.len)
		return perf_fail(e, "received %zu of %zu bytes", (size_t)status.got, e->in.len);
	return 0;
}

/* The oldest is finished before the next begins, in its place: completions are in order. */
static int haul_end_stream(struct perf_end *e, uint64_t n)
{
	struct perf_haul *s = e->state;
	uint64_t begun = 0;
	for (; begun < n && begun < e->window; begun++)
		if (begin_in(e, begun, &s->reqs[begun]) < 0)
			return -1;
	for (uint64_t i = 0, at = 0; i < n; i++) {
		if (finish_in(e, s->reqs[at]) < 0)
			return -1;
		if (e->rank == 1)
			perf_stamp(e);
		if (begun < n && begin_in(e, begun++, &s->reqs[at]) < 0)
			return -1;
		if (++at == e->window)
			at = 0;
	}
	return 0;
}

/* ---- one message in two steps, for overlap ------------------------------------------------------- */

static int begin(struct perf_end *e, uint64_t i)
{
	struct perf_haul *s = e->state;
	return begin_in(e, i, &s->reqs[0]);
}

static int finish(struct perf_end *e, uint64_t i)
{
	struct perf_haul *s = e->state;
	(void)i;
	return finish_in(e, s->reqs[0]);
}

/* ---- the table --------------------------------------------------------------------------------- */

#define HAUL_CONTENDER(name_, match_, ...) \
	{ \
		.name = name_, .setup = perf_haul_setup, .open = perf_haul_open, .close = perf_haul_close, \
		.send = haul_end_send, .recv = haul_end_recv, .begin = begin, .finish = finish, \
		.count = perf_haul_count, \
		.run = { \
			[PERF_LATENCY] = perf_pingpong, \
			[PERF_BANDWIDTH] = haul_end_stream, \
			[PERF_RATE] = haul_end_stream, \
			[PERF_MATCH] = match_, \
			[PERF_OVERLAP] = perf_overlap_run, \
		}, \
		__VA_ARGS__ \
	}

const struct contender perf_auto =
    HAUL_CONTENDER("auto", perf_match_run, .transport = HAUL_TRANSPORT_OUTBOX, .two_handed = 1);
const struct contender perf_socket = HAUL_CONTENDER("socket", perf_match_run,
    .transport = HAUL_TRANSPORT_SOCKET, .two_handed = -1, .by_name = true);
const struct contender perf_outbox = HAUL_CONTENDER("outbox", perf_match_run,
    .transport = HAUL_TRANSPORT_OUTBOX, .two_handed = -1, .strict = true, .by_name = true);
const struct contender perf_twohand = HAUL_CONTENDER("twohand", NULL, .transport = HAUL_TRANSPORT_SOCKET,
    .two_handed = 1, .strict = true, .by_name = true);
const struct contender perf_pull = HAUL_CONTENDER("pull", NULL, .path = HAUL_PATH_PULL,
    .transport = HAUL_TRANSPORT_SOCKET, .two_handed = -1, .strict = true);
const struct contender perf_haul_stream = HAUL_CONTENDER("stream", NULL, .path = HAUL_PATH_STREAM,
    .transport = HAUL_TRANSPORT_SOCKET, .two_handed = -1, .strict = true);
