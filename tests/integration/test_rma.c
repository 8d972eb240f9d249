/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Exposed regions: gets and puts bring every byte to where it belongs, on every path; what they ask for is checked;
 * several under way are in nobody's way.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/regions.h"
#include "lib/seed.h"
#include "lib/talk.h"

TestSuite(rma, .timeout = 60);

enum { LEN = 1000003, PARTS = 37, ROUNDS = 200, SEVERAL = 20, BIG = (33 << 20) + 5 };

/* ---- owners ---- */

struct owned {
	size_t len;
	unsigned rights;
	size_t parts; /* iovecs, scattered over a buffer of twice the length */
};

/* Every other part of a buffer: the region's byte at offset k is that of the pattern. */
static void scatter(struct iovec *iov, unsigned char *buf, const struct owned *o)
{
	size_t each = o->len / o->parts, at = 0;
	for (size_t i = 0; i < o->parts; i++) {
		size_t len = i + 1 < o->parts ? each : o->len - at;
		iov[i] = (struct iovec){ buf + 2 * i * each, len };
		pattern_fill(iov[i].iov_base, len, 1, at);
		at += len;
	}
}

/* Exposes it, with pattern 1, until there is a token; then the region has the pattern 2 if it was put. */
static void own(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct owned *o = arg;
	unsigned char *buf = room_for(2 * o->len + 1);
	struct iovec *iov = calloc(o->parts, sizeof(*iov));
	struct haul_region *r;
	struct haul_handle hd;
	memset(buf, CANARY, 2 * o->len + 1);
	scatter(iov, buf, o);
	must_be(haul_region_expose(h, iov, o->parts, o->rights, &r), 0);
	haul_region_handle(r, &hd);
	send_handle(p, &hd);
	await_token(h, p);
	must_be(haul_region_withdraw(r, PATIENCE_MS), 0);
	size_t at = 0;
	for (size_t i = 0; i < o->parts; i++) {
		must_hold(iov[i].iov_base, iov[i].iov_len, (o->rights & HAUL_WRITE) != 0 ? 2 : 1, at);
		if (i + 1 < o->parts)
			must_be_untouched((char *)iov[i].iov_base + iov[i].iov_len, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	free(iov);
	free(buf);
}

/* ---- gets ---- */

EveryPath(rma, a_get_brings_every_byte_from_where_it_asks)
{
	static const size_t lens[] = { 1, 8, 4096, 65537, LEN };
	struct haul_options o = path_options(path);
	struct owned owned = { .len = LEN, .rights = HAUL_READ, .parts = 1 };
	struct pairing p;
	pairing_start(&p, &o, &o, own, &owned);
	struct haul_handle hd = receive_handle(p.haul, p.peer);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		must_get(p.peer, &hd, 0, lens[i], 1);
		must_get(p.peer, &hd, (LEN - lens[i]) / 2, lens[i], 1);
		must_get(p.peer, &hd, LEN - lens[i], lens[i], 1);
	}
	send_token(p.peer);
	pairing_end(&p);
}

/* A list of buffers on either side; their borders anywhere. */
EveryPath(rma, a_get_gathers_from_scattered_parts_into_scattered_buffers)
{
	struct haul_options o = path_options(path);
	struct owned owned = { .len = LEN, .rights = HAUL_READ, .parts = PARTS };
	unsigned char *buf = room_for(LEN);
	struct pairing p;
	seed_random();
	pairing_start(&p, &o, &o, own, &owned);
	struct haul_handle hd = receive_handle(p.haul, p.peer);
	for (int i = 0; i < ROUNDS; i++) {
		struct iovec iov[8];
		size_t offset = random_below(LEN), left = LEN - offset, at = 0, len = 0;
		size_t limit = i % 4 != 0 && left > 5000 ? 5000 : left;
		for (int k = 0; k < 8; k++) {
			iov[k] = (struct iovec){ buf + at, random_below(limit / 8 + 1) };
			at += iov[k].iov_len;
			len = at;
		}
		memset(buf, CANARY, LEN);
		must_be(haul_get(p.peer, &hd, offset, iov, 8, PATIENCE_MS), len);
		must_hold(buf, len, 1, offset);
		must_be_untouched(buf + len, LEN - len);
	}
	send_token(p.peer);
	pairing_end(&p);
	free(buf);
}

EveryPath(rma, a_get_longer_than_a_piece_brings_all)
{
	struct haul_options o = path_options(path);
	struct owned owned = { .len = BIG, .rights = HAUL_READ, .parts = 3 };
	struct pairing p;
	pairing_start(&p, &o, &o, own, &owned);
	struct haul_handle hd = receive_handle(p.haul, p.peer);
	must_get(p.peer, &hd, 0, BIG, 1);
	must_get(p.peer, &hd, 4097, BIG - 5000, 1);
	send_token(p.peer);
	pairing_end(&p);
}

static void only_hold(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = *(const size_t *)arg;
	unsigned char *buf = filled(len, 1);
	struct haul_handle hd;
	struct haul_region *r = region_of(h, buf, len, &hd);
	send_handle(p, &hd);
	send_token(p);
	await_token(h, p);
	must_be(haul_region_withdraw(r, PATIENCE_MS), 0);
	struct haul_stats s = stats_of(h);
	must_be(haul_send(p, 1, &s.sent_stream, sizeof(s.sent_stream), PATIENCE_MS), 0);
	free(buf);
}

/* One call, no frame, no word to the owner. */
Test(rma, a_get_is_one_pull_and_not_a_word)
{
	size_t len = LEN;
	struct haul_peer_info info;
	struct pairing p;
	pairing_start(&p, NULL, NULL, only_hold, &len);
	struct haul_handle hd = receive_handle(p.haul, p.peer);
	await_token(p.haul, p.peer);
	must_be(haul_peer_info(p.peer, &info, sizeof(info)), 0);
	struct haul_stats before = stats_of(p.haul), after;
	must_get(p.peer, &hd, 5, LEN - 5, 1);
	after = stats_of(p.haul);
	must_be(after.pull_calls - before.pull_calls, 1);
	must_be(after.copied_bytes - before.copied_bytes, LEN - 5);
	must_be(after.sent_eager, before.sent_eager);
	must_be(after.sent_pull, before.sent_pull);
	send_token(p.peer);
	uint64_t streamed;
	must_be(haul_recv(p.haul, &(struct haul_match){ .tag = 1 }, &streamed, sizeof(streamed), PATIENCE_MS,
	            NULL),
	    sizeof(streamed));
	must_be(streamed, 0);
	pairing_end(&p);
}

/* ---- puts ---- */

EveryPath(rma, a_put_brings_every_byte_to_where_it_belongs)
{
	struct haul_options o = path_options(path);
	struct owned owned = { .len = LEN, .rights = HAUL_READ | HAUL_WRITE, .parts = PARTS };
	unsigned char *buf = filled(LEN, 2);
	struct pairing p;
	pairing_start(&p, &o, &o, own, &owned);
	struct haul_handle hd = receive_handle(p.haul, p.peer);
	static const size_t borders[] = { 0, 1, 9, 100, 5000, 100003, 600000, LEN };
	for (size_t i = sizeof(borders) / sizeof(borders[0]) - 1; i > 0; i--) {
		size_t from = borders[i - 1], to = borders[i];
		must_be(put_bytes_of(p.peer, &hd, from, buf + from, to - from), to - from);
		must_get(p.peer, &hd, from, to - from, 2); /* it is there when the put has ended */
	}
	must_get(p.peer, &hd, 0, LEN, 2);
	send_token(p.peer);
	pairing_end(&p);
	free(buf);
}

EveryPath(rma, requests_under_way_together_each_do_their_part)
{
	struct haul_options o = path_options(path);
	struct haul_req *reqs[SEVERAL];
	struct haul_status status;
	enum { EACH = LEN / SEVERAL };
	unsigned char *out = filled(LEN, 2), *in = room_for(LEN), *region = filled(LEN, 1);
	struct haul_handle hd;
	struct twins t;
	twins_start(&t, &o);
	struct haul_region *r = region_of(t.b, region, LEN, &hd);
	for (int puts = 0; puts < 2; puts++) {
		for (int i = 0; i < SEVERAL; i++) {
			size_t at = (size_t)i * EACH;
			struct iovec to = { in + at, EACH }, from = { out + at, EACH };
			must_be(puts ? haul_iput(t.to_b, &hd, at, &from, 1, &reqs[i])
			             : haul_iget(t.to_b, &hd, at, &to, 1, &reqs[i]),
			    0);
		}
		for (int i = SEVERAL - 1; i >= 0; i--) {
			must_be(twins_finish(&t, reqs[i], &status), 0);
			must(status.peer == t.to_b);
			must_be(status.len, EACH);
			must_be(status.got, EACH);
		}
		must_hold(in, EACH * SEVERAL, 1, 0);
		must_hold(region, EACH * SEVERAL, puts ? 2 : 1, 0);
	}
	must_be(haul_region_withdraw(r, 0), 0);
	twins_end(&t);
	free(out);
	free(in);
	free(region);
}

EveryPath(rma, flush_waits_for_those_that_were_let_go_of)
{
	struct haul_options o = path_options(path);
	struct owned owned = { .len = LEN, .rights = HAUL_READ | HAUL_WRITE, .parts = 1 };
	unsigned char *buf = filled(LEN, 2), *in = room_for(LEN);
	struct haul_req *r;
	struct pairing p;
	pairing_start(&p, &o, &o, own, &owned);
	must_be(haul_rma_flush(p.peer, 0), 0);
	struct haul_handle hd = receive_handle(p.haul, p.peer);
	for (size_t at = 0; at < LEN; at += 100000) {
		size_t n = LEN - at < 100000 ? LEN - at : 100000;
		must_be(haul_iput(p.peer, &hd, at, &(struct iovec){ buf + at, n }, 1, &r), 0);
		haul_req_free(r);
	}
	must_be(haul_rma_flush(p.peer, 0), -EAGAIN);
	must_be(haul_rma_flush(p.peer, PATIENCE_MS), 0);
	must_get(p.peer, &hd, 0, LEN, 2);
	must_be(haul_iget(p.peer, &hd, 0, &(struct iovec){ in, LEN }, 1, &r), 0);
	haul_req_free(r);
	must_be(haul_rma_flush(p.peer, PATIENCE_MS), 0);
	must_hold(in, LEN, 2, 0);
	send_token(p.peer);
	pairing_end(&p);
	free(buf);
	free(in);
}

/* ---- what is asked for ---- */

EveryPath(rma, past_the_end_is_erange_and_nothing_moves)
{
	struct haul_options o = path_options(path);
	struct owned owned = { .len = LEN, .rights = HAUL_READ | HAUL_WRITE, .parts = 2 };
	static const uint64_t at[] = { LEN, LEN + 1, LEN - 7, UINT64_MAX, UINT64_MAX - 6, INT64_MAX };
	unsigned char buf[8], *all = filled(LEN, 2);
	struct haul_req *r;
	struct iovec iov = { buf, sizeof(buf) };
	struct pairing p;
	pairing_start(&p, &o, &o, own, &owned);
	struct haul_handle hd = receive_handle(p.haul, p.peer);
	memset(buf, CANARY, sizeof(buf));
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		must_be(get_bytes_of(p.peer, &hd, at[i], buf, sizeof(buf)), -ERANGE);
		must_be(put_bytes_of(p.peer, &hd, at[i], buf, sizeof(buf)), -ERANGE);
		must_be(haul_iget(p.peer, &hd, at[i], &iov, 1, &r), -ERANGE);
		must_be(haul_iput(p.peer, &hd, at[i], &iov, 1, &r), -ERANGE);
	}
	must_be_untouched(buf, sizeof(buf));
	must_be(put_bytes_of(p.peer, &hd, 0, all, LEN), LEN);
	must_get(p.peer, &hd, LEN - 8, 8, 2);
	send_token(p.peer);
	pairing_end(&p);
	free(all);
}

EveryPath(rma, nothing_asks_whether_the_region_is_there)
{
	struct haul_options o = path_options(path);
	unsigned char region[8], some[8];
	struct iovec none = { some, 0 };
	struct haul_handle hd, empty;
	struct haul_region *r, *e;
	struct haul_req *req;
	struct twins t;
	twins_start(&t, &o);
	r = region_of(t.b, region, sizeof(region), &hd);
	e = region_of(t.b, NULL, 0, &empty);
	for (int gone = 0; gone < 2; gone++) {
		const struct haul_handle *handles[] = { &hd, &empty };
		for (int i = 0; i < 2; i++) {
			uint64_t end = i == 0 ? sizeof(region) : 0;
			must_be(haul_iget(t.to_b, handles[i], end, NULL, 0, &req), 0);
			must_be(twins_finish(&t, req, NULL), gone ? -ESTALE : 0);
			must_be(haul_iput(t.to_b, handles[i], end, &none, 1, &req), 0);
			must_be(twins_finish(&t, req, NULL), gone ? -ESTALE : 0);
			must_be(haul_iget(t.to_b, handles[i], end + 1, NULL, 0, &req), -ERANGE);
		}
		if (!gone) {
			must_be(haul_region_withdraw(r, 0), 0);
			must_be(haul_region_withdraw(e, 0), 0);
		}
	}
	twins_end(&t);
}

EveryPath(rma, what_was_not_exposed_for_it_is_eacces)
{
	struct haul_options o = path_options(path);
	for (unsigned rights = HAUL_READ; rights <= HAUL_WRITE; rights++) {
		unsigned char region[16] = "0123456789abcde", buf[16];
		struct iovec iov = { region, sizeof(region) };
		struct haul_handle hd;
		struct haul_region *r;
		struct haul_req *req;
		struct twins t;
		twins_start(&t, &o);
		must_be(haul_region_expose(t.b, &iov, 1, rights, &r), 0);
		haul_region_handle(r, &hd);
		iov.iov_base = buf;
		if (rights == HAUL_READ)
			must_be(haul_iput(t.to_b, &hd, 0, &iov, 1, &req), -EACCES);
		else
			must_be(haul_iget(t.to_b, &hd, 0, &iov, 1, &req), -EACCES);
		must_be(haul_region_withdraw(r, 0), 0);
		twins_end(&t);
	}
}

Test(rma, arguments_that_make_no_sense_are_einval)
{
	static struct iovec many[HAUL_REGION_IOVECS + 1];
	unsigned char byte = 0;
	struct iovec one = { &byte, 1 }, null = { NULL, 1 };
	struct iovec overflow[2] = { { &byte, SSIZE_MAX }, { &byte, 1 } };
	struct haul_handle hd, zero = { .words = { 0 } };
	struct haul_region *r;
	struct haul_req *req;
	struct twins t;
	twins_start(&t, NULL);
	must_be(haul_region_expose(t.a, &one, 1, 0, &r), -EINVAL);
	must_be(haul_region_expose(t.a, &one, 1, 4, &r), -EINVAL);
	must_be(haul_region_expose(t.a, &one, 1, HAUL_READ, NULL), -EINVAL);
	must_be(haul_region_expose(NULL, &one, 1, HAUL_READ, &r), -EINVAL);
	must_be(haul_region_expose(t.a, NULL, 1, HAUL_READ, &r), -EINVAL);
	must_be(haul_region_expose(t.a, &null, 1, HAUL_READ, &r), -EINVAL);
	must_be(haul_region_expose(t.a, overflow, 2, HAUL_READ, &r), -EINVAL);
	must_be(haul_region_expose(t.a, many, HAUL_REGION_IOVECS + 1, HAUL_READ, &r), -EINVAL);
	must_be(haul_region_withdraw(NULL, 0), 0);
	haul_region_handle(NULL, &hd);
	r = region_of(t.b, &byte, 1, &hd);
	haul_region_handle(r, NULL);
	must_be(haul_region_withdraw(r, -2), -EINVAL);
	must_be(haul_get(NULL, &hd, 0, &one, 1, 0), -EINVAL);
	must_be(haul_get(t.to_b, NULL, 0, &one, 1, 0), -EINVAL);
	must_be(haul_get(t.to_b, &zero, 0, &one, 1, 0), -EINVAL);
	must_be(haul_get(t.to_b, &hd, 0, &null, 1, 0), -EINVAL);
	must_be(haul_get(t.to_b, &hd, 0, NULL, 1, 0), -EINVAL);
	must_be(haul_get(t.to_b, &hd, 0, overflow, 2, 0), -EINVAL);
	must_be(haul_get(t.to_b, &hd, 0, &one, 1, -2), -EINVAL);
	must_be(haul_put(t.to_b, &hd, 0, overflow, 2, 0), -EINVAL);
	must_be(haul_put(t.to_b, &zero, 0, &one, 1, 0), -EINVAL);
	must_be(haul_put(t.to_b, &hd, 0, &one, 1, 0), -EAGAIN); /* it takes the owner */
	must_be(haul_iget(t.to_b, &hd, 0, &one, 1, NULL), -EINVAL);
	must_be(haul_iput(NULL, &hd, 0, &one, 1, &req), -EINVAL);
	must_be(haul_rma_flush(NULL, 0), -EINVAL);
	must_be(haul_rma_flush(t.to_b, -2), -EINVAL);
	must_be(haul_region_withdraw(r, 0), 0);
	twins_end(&t);
}

/* ---- oneself, several ---- */

EveryPath(rma, of_oneself_is_a_region_like_any_other)
{
	struct haul_options o = path_options(path);
	unsigned char *region = filled(LEN, 1), *out = filled(LEN, 2);
	struct haul_handle hd;
	struct haul *h;
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	struct haul_peer *self = haul_self(h);
	struct haul_region *r = region_of(h, region, LEN, &hd);
	must_get(self, &hd, 3, LEN - 3, 1);
	must_be(put_bytes_of(self, &hd, 5, out + 5, LEN - 5), LEN - 5);
	must_get(self, &hd, 5, LEN - 5, 2);
	must_hold(region, 5, 1, 0);
	must_be(haul_region_withdraw(r, PATIENCE_MS), 0);
	must_be(get_bytes_of(self, &hd, 0, out, 1), -ESTALE);
	must_be(put_bytes_of(self, &hd, 0, out, 1), -ESTALE);
	must_be(haul_close(h, 0), 0);
	free(region);
	free(out);
}

EveryPath(rma, many_regions_are_each_their_own)
{
	enum { REGIONS = 300 };
	struct haul_options o = path_options(path);
	static unsigned char bytes[REGIONS][64];
	struct haul_region *r[REGIONS];
	struct haul_handle hd[REGIONS];
	struct haul *h;
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	struct haul_peer *self = haul_self(h);
	for (int i = 0; i < REGIONS; i++) {
		pattern_fill(bytes[i], 64, (uint64_t)i, 0);
		r[i] = region_of(h, bytes[i], 64, &hd[i]);
	}
	for (int i = 0; i < REGIONS; i += 2)
		must_be(haul_region_withdraw(r[i], 0), 0);
	for (int i = 0; i < REGIONS; i++) {
		unsigned char buf[64];
		if (i % 2 == 0)
			must_be(get_bytes_of(self, &hd[i], 0, buf, 64), -ESTALE);
		else
			must_get(self, &hd[i], 0, 64, (uint64_t)i);
	}
	for (int i = 0; i < REGIONS; i += 2) { /* where others were: whose handles stay stale */
		struct haul_handle old = hd[i];
		unsigned char buf[64];
		r[i] = region_of(h, bytes[i], 64, &hd[i]);
		must_get(self, &hd[i], 0, 64, (uint64_t)i);
		must_be(get_bytes_of(self, &old, 0, buf, 64), -ESTALE);
		must_be(put_bytes_of(self, &old, 0, buf, 64), -ESTALE);
	}
	must_be(haul_close(h, 0), 0); /* with all of them */
}

/* ---- threads ---- */

struct getter {
	pthread_t thread;
	struct haul_peer *peer;
	struct haul_handle hd;
	uint64_t seed;
};

static void *get_often(void *arg)
{
	struct getter *g = arg;
	for (size_t i = 0; i < 100; i++) {
		size_t at = (i * 7919 + g->seed) % (LEN / 2);
		must_get(g->peer, &g->hd, at, i * 1000 + 1, 1);
	}
	return NULL;
}

EveryPath(rma, threads_get_at_a_time)
{
	enum { THREADS = 4 };
	struct haul_options o = path_options(path);
	struct owned owned = { .len = LEN, .rights = HAUL_READ, .parts = 5 };
	struct getter g[THREADS];
	struct pairing p;
	pairing_start(&p, &o, &o, own, &owned);
	struct haul_handle hd = receive_handle(p.haul, p.peer);
	for (int i = 0; i < THREADS; i++) {
		g[i] = (struct getter){ .peer = p.peer, .hd = hd, .seed = (uint64_t)i };
		must_be(pthread_create(&g[i].thread, NULL, get_often, &g[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		must_be(pthread_join(g[i].thread, NULL), 0);
	send_token(p.peer);
	pairing_end(&p);
}
