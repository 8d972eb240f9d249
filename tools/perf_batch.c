/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contender batch of haul perf: small messages over one socket, as cheap as a bare loop can have them.
 *
 * A frame is as long as haul's EAGER frame: a header, a body, the payload. The sender copies all messages
 * that its window permits behind one another and hands them to one send(2). The receiver reads as much as
 * is there, cuts it into frames and copies each payload to its slot. Nothing is matched, nobody is asked who
 * he is. A byte back says that half a window was received, so that the sender gathers the next half while
 * this one is copied.
 */
#include "perf.h"

#include <string.h>

enum {
	PAYLOAD_MOST = 64 << 10, /* of haul's EAGER frame too */
	ROOM = 256 << 10,        /* of one send and of one read */
};

struct frame {
	uint32_t type, size; /* size: of all that follows the header */
	uint32_t credit[2];
	uint64_t tag, id;
	uint32_t channel, reserved;
};

enum { HEADER = 16, BODY = sizeof(struct frame) - HEADER };

_Static_assert(sizeof(struct frame) == 40, "16 bytes of header and 24 of body");
_Static_assert(ROOM >= PAYLOAD_MOST + sizeof(struct frame), "a frame fits");

struct batch_state {
	unsigned char out[ROOM];
	unsigned char in[ROOM];
	size_t at, end; /* what was read and not yet cut: in[at .. end) */
};

static int batch_open(struct perf_end *e)
{
	static struct batch_state state; /* one end per process */
	if (e->round->bytes > PAYLOAD_MOST)
		return perf_fail(e, "a frame holds at most %d bytes", PAYLOAD_MOST);
	e->state = &state;
	return 0;
}

/* Messages i and on, `count` of them, or as many as there is room for, in one call. Returns how many. */
static int64_t send_batch(struct perf_end *e, uint64_t i, uint64_t count)
{
	struct batch_state *s = e->state;
	size_t len = sizeof(struct frame) + e->out.len, used = 0;
	uint64_t n;

	for (n = 0; n < count && used + len <= ROOM; n++, used += len) {
		struct frame f = { .type = 1, .size = (uint32_t)(BODY + e->out.len) };
		memcpy(s->out + used, &f, sizeof(f));
		memcpy(s->out + used + sizeof(f), perf_slot(&e->out, i + n), e->out.len);
	}
	return perf_sock_send(e, s->out, used) < 0 ? -1 : (int64_t)n;
}

/* Cuts message i off what was read; reads first, as much as there is, unless a whole frame is left. */
static int take(struct perf_end *e, uint64_t i)
{
	struct batch_state *s = e->state;
	size_t len = sizeof(struct frame) + e->in.len;
	struct frame f;

	while (s->end - s->at < len) {
		memmove(s->in, s->in + s->at, s->end - s->at);
		s->end -= s->at;
		s->at = 0;
		ssize_t n = perf_sock_recv_some(e, s->in + s->end, ROOM - s->end, 0);
		if (n < 0)
			return -1;
		s->end += (size_t)n;
	}
	memcpy(&f, s->in + s->at, sizeof(f));
	if (f.size != BODY + e->in.len)
		return perf_fail(e, "a frame of %u bytes instead of %zu", f.size, BODY + e->in.len);
	memcpy(perf_slot(&e->in, i), s->in + s->at + sizeof(f), e->in.len);
	s->at += len;
	return 0;
}

static int batch_send(struct perf_end *e, uint64_t i)
{
	return send_batch(e, i, 1) < 0 ? -1 : 0;
}

static int send_all(struct perf_end *e, uint64_t n, uint64_t half)
{
	unsigned char answers[PERF_MAX_WINDOW];
	uint64_t sent = 0, done = 0;

	while (done < n) {
		while (sent < n && sent < done + e->window) {
			uint64_t room = done + e->window - sent;
			int64_t some = send_batch(e, sent, room < n - sent ? room : n - sent);
			if (some < 0)
				return -1;
			sent += (uint64_t)some;
		}
		ssize_t got = perf_sock_recv_some(e, answers, sizeof(answers), 0);
		if (got < 0)
			return -1;
		done += (uint64_t)got * half;
	}
	return 0;
}

static int receive_all(struct perf_end *e, uint64_t n, uint64_t half)
{
	for (uint64_t i = 0; i < n; i++) {
		if (take(e, i) < 0)
			return -1;
		perf_stamp(e);
		if (((i + 1) % half == 0 || i + 1 == n) &&
		    perf_sock_send(e, (const unsigned char *)"", 1) < 0)
			return -1;
	}
	return 0;
}

static int batch_stream(struct perf_end *e, uint64_t n)
{
	uint64_t half = e->window > 1 ? e->window / 2 : 1;
	return e->rank == 0 ? send_all(e, n, half) : receive_all(e, n, half);
}

const struct contender perf_batch = {
	.name = "batch",
	.setup = perf_sock_setup,
	.open = batch_open,
	.send = batch_send,
	.recv = take,
	.by_name = true, /* it would fail at most sizes of the default run */
	.yardstick = { [PERF_RATE] = true },
	.run = { [PERF_LATENCY] = perf_pingpong,
	    [PERF_BANDWIDTH] = batch_stream,
	    [PERF_RATE] = batch_stream },
};
