/* SPDX-License-Identifier: BSD-3-Clause */
/* A bad peer beside a good one. See villain.h. */
#include "villain.h"

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
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

size_t villain_grown(const struct villain *v)
{
	size_t now = heap_in_use();
	return now > v->heap ? now - v->heap : 0;
}

void villain_settle(struct villain *v)
{
	for (int quiet = 0; quiet < 3;)
		quiet = (haul_progress(v->haul) > 0) + (haul_progress(v->other) > 0) == 0 ? quiet + 1 : 0;
}

static struct haul_status finish(struct villain *v, struct haul_req *r)
{
	struct haul_status status;
	int64_t rounds = 0;
	while (haul_req_test(r) == -EINPROGRESS) {
		haul_progress(v->haul);
		haul_progress(v->other);
		must(++rounds < 10000000);
	}
	must_be(haul_req_finish(r, &status), 0);
	return status;
}

static void exchange(struct villain *v, struct haul_peer *to, struct haul *at, struct haul_peer *from,
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
	finish(v, receive);
	finish(v, send);
	must_hold(in, len, len, 0);
}

void villain_good_peer_is_well(struct villain *v)
{
	exchange(v, v->good, v->other, v->back, SHORT);
	exchange(v, v->back, v->haul, v->good, SHORT);
	exchange(v, v->good, v->other, v->back, LONG);
	exchange(v, v->back, v->haul, v->good, LONG);
}

void villain_start(struct villain *v, const struct haul_options *o)
{
	struct haul_req *here, *there;
	int pair[2];
	*v = (struct villain){ .fds = fds_count() };
	must_be(haul_open(&v->haul, o, o != NULL ? sizeof(*o) : 0), 0);
	must_be(haul_open(&v->other, NULL, 0), 0);
	must_be(haul_pair(pair), 0);
	must_be(haul_iadopt(v->haul, pair[0], &here), 0);
	must_be(haul_iadopt(v->other, pair[1], &there), 0);
	v->good = finish(v, here).peer;
	v->back = finish(v, there).peer;
	villain_good_peer_is_well(v);

	must_be(haul_pair(pair), 0);
	v->raw = (struct raw){ .fd = pair[1], .drive = v->haul, .features = WIRE_FEATURE_PUSH };
	must_be(haul_iadopt(v->haul, pair[0], &here), 0);
	must(raw_greet(&v->raw));
	v->bad = finish(v, here).peer;
	v->heap = heap_in_use();
}

static void end(struct villain *v)
{
	int rc = haul_peer_close(v->bad, 0);
	must(rc == 0 || rc == -ETIMEDOUT);
	villain_good_peer_is_well(v);
	must_be(haul_close(v->haul, 0), 0);
	must_be(haul_close(v->other, 0), 0);
	close(v->raw.fd);
	fds_expect(v->fds);
}

void villain_lost(struct villain *v, int error)
{
	struct haul_peer_info info;
	struct haul_match from_bad = { .from = v->bad, .tag = 1000 };
	villain_settle(v);
	must_be(haul_peer_info(v->bad, &info, sizeof(info)), 0);
	must_be(info.alive, 0);
	must_be(haul_send(v->bad, 1, "x", 1, LATE_MS), error);
	must_be(haul_recv(v->haul, &from_bad, NULL, 0, LATE_MS, NULL), error);
	must(raw_hung_up(&v->raw));
	end(v);
}

void villain_kept(struct villain *v)
{
	struct haul_peer_info info;
	villain_settle(v);
	must_be(haul_peer_info(v->bad, &info, sizeof(info)), 0);
	must_be(info.alive, 1);
	villain_good_peer_is_well(v);
	end(v);
}

void villain_say_numbers(struct villain *v, int type, unsigned flags, const char *sizes,
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
	raw_send_frame(&v->raw, type, flags, body, at);
}

void villain_describe(struct villain *v, const struct villain_desc *d)
{
	uint64_t n[9 + 2 * WIRE_DESC_RANGES] = { d->tag, d->id, 0, d->count, d->len, d->cell, d->cookie,
		d->list, 0 };
	char sizes[] = "88448888888888888";
	size_t inside = d->count <= WIRE_DESC_RANGES ? d->count : 0;
	for (size_t i = 0; i < inside; i++) {
		n[9 + 2 * i] = (uintptr_t)d->ranges[i].iov_base;
		n[10 + 2 * i] = d->ranges[i].iov_len;
	}
	sizes[9 + 2 * inside] = '\0';
	villain_say_numbers(v, WIRE_DESC, 0, sizes, n);
}

void villain_await(struct villain *v, int type, struct raw_frame *f)
{
	do {
		raw_next(&v->raw, f);
		must(f->type > 0);
	} while (f->type != type);
}
