/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer made by hand beside a good one. See handmade.h. */
#include "handmade.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "fds.h"
#include "must.h"
#include "pattern.h"

enum { LATE_MS = 20000, SHORT = 100, LONG = 70000, BODY_MOST = 4096 };

static size_t heap_in_use(void)
{
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

size_t handmade_grown(const struct handmade *m)
{
	size_t now = heap_in_use();
	return now > m->heap ? now - m->heap : 0;
}

void handmade_settle(struct handmade *m)
{
	for (int quiet = 0; quiet < 3;)
		quiet = (haul_progress(m->haul) > 0) + (haul_progress(m->other) > 0) == 0 ? quiet + 1 : 0;
}

static struct haul_status finish(struct handmade *m, struct haul_req *r)
{
	struct haul_status status;
	int64_t rounds = 0;
	while (haul_req_test(r) == -EINPROGRESS) {
		haul_progress(m->haul);
		haul_progress(m->other);
		must(++rounds < 10000000);
	}
	must_be(haul_req_finish(r, &status), 0);
	return status;
}

static void exchange(struct handmade *m, struct haul_peer *to, struct haul *at, struct haul_peer *from,
    size_t len)
{
	static unsigned char out[LONG], in[LONG];
	struct iovec send_iov = { .iov_base = out, .iov_len = len },
	             recv_iov = { .iov_base = in, .iov_len = len };
	struct haul_match match = { .from = from, .tag = 77 };
	struct haul_req *send, *receive;
	pattern_fill(out, len, len, 0);
	memset(in, CANARY, sizeof(in));
	must_be(haul_irecv(at, &match, &recv_iov, 1, &receive), 0);
	must_be(haul_isend(to, 77, &send_iov, 1, HAUL_SYNC, &send), 0);
	finish(m, receive);
	finish(m, send);
	must_hold(in, len, len, 0);
}

void handmade_good_peer_is_well(struct handmade *m)
{
	exchange(m, m->good, m->other, m->back, SHORT);
	exchange(m, m->back, m->haul, m->good, SHORT);
	exchange(m, m->good, m->other, m->back, LONG);
	exchange(m, m->back, m->haul, m->good, LONG);
}

void handmade_start_as(struct handmade *m, const struct haul_options *options, const struct raw *like)
{
	struct haul_req *here, *there;
	struct haul_options others = { .transport = options != NULL ? options->transport : 0 };
	int pair[2];
	*m = (struct handmade){ .fds = fds_count() };
	must_be(haul_open(&m->haul, options, options != NULL ? sizeof(*options) : 0), 0);
	must_be(haul_open(&m->other, &others, sizeof(others)), 0);
	must_be(haul_pair(pair), 0);
	must_be(haul_iadopt(m->haul, pair[0], &here), 0);
	must_be(haul_iadopt(m->other, pair[1], &there), 0);
	m->good = finish(m, here).peer;
	m->back = finish(m, there).peer;
	handmade_good_peer_is_well(m);

	must_be(haul_pair(pair), 0);
	m->raw = *like;
	m->raw.fd = pair[1];
	m->raw.drive = m->haul;
	must_be(haul_iadopt(m->haul, pair[0], &here), 0);
	must(raw_greet(&m->raw));
	m->peer = finish(m, here).peer;
	must_be(haul_peer_watch(m->peer, &m->watch), 0);
	m->heap = heap_in_use();
}

void handmade_start(struct handmade *m, const struct haul_options *options)
{
	handmade_start_as(m, options, &(struct raw){ .features = WIRE_FEATURE_PUSH });
}

static int is_alive(struct handmade *m)
{
	struct haul_peer_info info;
	handmade_settle(m);
	must_be(haul_peer_info(m->peer, &info, sizeof(info)), 0);
	return info.alive;
}

void handmade_must_live(struct handmade *m)
{
	must_be(is_alive(m), 1);
	must_be(haul_req_test(m->watch), -EINPROGRESS);
	handmade_good_peer_is_well(m);
}

void handmade_must_be_lost(struct handmade *m, int error)
{
	struct haul_match from_it = { .from = m->peer, .tag = 1000 };
	must_be(is_alive(m), 0);
	must_be(haul_req_wait(m->watch, LATE_MS), 0);
	must_be(haul_req_finish(m->watch, NULL), error == -EPIPE ? 0 : error);
	must_be(haul_send(m->peer, 1, "x", 1, LATE_MS), error);
	must_be(haul_recv(m->haul, &from_it, NULL, 0, LATE_MS, NULL), error);
	must(raw_hung_up(&m->raw));
	handmade_good_peer_is_well(m);
}

/* The two contexts can't wait for each other's goodbye. */
void handmade_end(struct handmade *m)
{
	int rc = haul_peer_close(m->peer, 0);
	must(rc == 0 || rc == -ETIMEDOUT || rc == -EBUSY); /* the last, while it may write */
	handmade_good_peer_is_well(m);
	close(m->raw.fd);
	handmade_settle(m);
	must_be(haul_close(m->haul, 0), 0);
	must_be(haul_close(m->other, 0), 0);
	fds_expect(m->fds);
}

void handmade_kept(struct handmade *m)
{
	handmade_must_live(m);
	handmade_end(m);
}

void handmade_lost(struct handmade *m, int error)
{
	handmade_must_be_lost(m, error);
	handmade_end(m);
}

void handmade_say_numbers(struct handmade *m, int type, unsigned flags, const char *sizes,
    const uint64_t *numbers)
{
	uint8_t body[BODY_MOST];
	size_t at = 0;
	for (; *sizes != '\0'; sizes++) {
		size_t size = (size_t)(*sizes - '0');
		must(at + size <= sizeof(body));
		raw_put(body + at, *numbers++, size);
		at += size;
	}
	raw_send_frame(&m->raw, type, flags, body, at);
}

void handmade_describe(struct handmade *m, const struct handmade_desc *d)
{
	uint64_t n[9 + 2 * WIRE_DESC_RANGES] = { d->tag, d->id, d->channel, d->count, d->len, d->cell,
		d->cookie, d->list, 0 };
	char sizes[] = "88448888888888888";
	size_t inside = d->count <= WIRE_DESC_RANGES ? d->count : 0;
	for (size_t i = 0; i < inside; i++) {
		n[9 + 2 * i] = (uintptr_t)d->ranges[i].iov_base;
		n[10 + 2 * i] = d->ranges[i].iov_len;
	}
	sizes[9 + 2 * inside] = '\0';
	handmade_say_numbers(m, WIRE_DESC, d->flags, sizes, n);
}

static struct raw_frame frame;

const struct raw_frame *handmade_await(struct handmade *m, int type)
{
	do {
		raw_next(&m->raw, &frame);
		must(frame.type > 0);
	} while (frame.type != type);
	return &frame;
}

const struct raw_frame *handmade_next(struct handmade *m, int type)
{
	do
		raw_next(&m->raw, &frame);
	while (frame.type == WIRE_CREDIT);
	must_be(frame.type, type);
	return &frame;
}
