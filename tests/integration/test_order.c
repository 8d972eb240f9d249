/* SPDX-License-Identifier: BSD-3-Clause */
/* Which message a receive gets: by tag, mask and peer, in the order sent, early or late: the same on every
 * path. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"

TestSuite(order, .timeout = 60);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { TAG_TOKEN = 1000, MANY = 200 };

/* A message in a row of them: seed and tag are its number. */
struct row {
	struct haul_req *reqs[MANY];
	void *bufs[MANY];
	size_t count;
};

static void row_send(struct row *row, struct haul_peer *p, uint64_t tag, uint64_t seed, size_t len)
{
	unsigned char *buf = malloc(len + 1);
	must(buf != NULL && row->count < MANY);
	pattern_fill(buf, len, seed, 0);
	struct iovec iov = { buf, len };
	must_be(haul_isend(p, tag, &iov, 1, 0, &row->reqs[row->count]), 0);
	row->bufs[row->count++] = buf;
}

static void row_finish(struct row *row)
{
	for (size_t i = 0; i < row->count; i++) {
		must_be(haul_req_wait(row->reqs[i], PATIENCE_MS), 0);
		must_be(haul_req_finish(row->reqs[i], NULL), 0);
		free(row->bufs[i]);
	}
}

static void receive(struct haul *h, const struct haul_match *match, uint64_t tag, uint64_t seed, size_t len)
{
	struct haul_status status;
	unsigned char *buf = malloc(len + 1);
	must(buf != NULL);
	must_be(haul_recv(h, match, buf, len, PATIENCE_MS, &status), len);
	must_be(status.tag, tag);
	must_hold(buf, len, seed, 0);
	free(buf);
}

static void await_token(struct haul *h, struct haul_peer *p)
{
	receive(h, &(struct haul_match){ .from = p, .tag = TAG_TOKEN }, TAG_TOKEN, 0, 0);
}

static void send_token(struct haul_peer *p)
{
	must_be(haul_send(p, TAG_TOKEN, NULL, 0, PATIENCE_MS), 0);
}

/* Small and large in turn, as far as the path has both. */
static size_t len_of(const struct path *path, size_t i)
{
	static const size_t lens[] = { 0, 100000, 13, 9000, 8192, 300001, 64, 70000 };
	return path_most(path, lens[i % COUNT(lens)]);
}

/* ---- the order sent ---- */

static void send_mixed(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct row row = { .count = 0 };
	(void)h;
	for (size_t i = 0; i < 100; i++)
		row_send(&row, p, i, i, len_of(arg, i));
	row_finish(&row);
}

EveryPath(order, messages_match_in_the_order_sent_whatever_their_size)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	pairing_start(&p, &o, &o, send_mixed, path);
	for (size_t i = 0; i < 100; i++)
		receive(p.haul, NULL, i, i, len_of(path, i));
	pairing_end(&p);
}

EveryPath(order, receives_are_served_in_the_order_posted)
{
	struct haul_options o = path_options(path);
	struct haul_req *reqs[100];
	struct haul_status status;
	struct pairing p;
	unsigned char *bufs = malloc(100 * 300001);
	pairing_start(&p, &o, &o, send_mixed, path);
	for (size_t i = 0; i < 100; i++) {
		struct iovec iov = { bufs + i * 300001, 300001 };
		must_be(haul_irecv(p.haul, NULL, &iov, 1, &reqs[i]), 0);
	}
	for (size_t n = 0; n < 100; n++) {
		size_t i = n * 37 % 100; /* it doesn't matter who is waited for first */
		must_be(haul_req_wait(reqs[i], PATIENCE_MS), 0);
		must_be(haul_req_finish(reqs[i], &status), 0);
		must_be(status.tag, i);
		must_be(status.got, len_of(path, i));
		must_hold(bufs + i * 300001, status.got, i, 0);
	}
	free(bufs);
	pairing_end(&p);
}

/* The token, sent last and received first, shows that all before it have come and wait. */
static void send_mixed_and_token(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct row row = { .count = 0 };
	(void)h;
	for (size_t i = 0; i < 100; i++)
		row_send(&row, p, i % 3, i, len_of(arg, i));
	row_send(&row, p, TAG_TOKEN, 0, 0);
	row_finish(&row);
}

EveryPath(order, unexpected_messages_are_kept_in_order)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	pairing_start(&p, &o, &o, send_mixed_and_token, path);
	await_token(p.haul, p.peer);
	for (size_t i = 0; i < 100; i++)
		receive(p.haul, NULL, i % 3, i, len_of(path, i));
	pairing_end(&p);
}

EveryPath(order, each_tag_has_its_own_order)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	pairing_start(&p, &o, &o, send_mixed_and_token, path);
	for (uint64_t tag = 3; tag-- > 0;)
		for (size_t i = tag; i < 100; i += 3)
			receive(p.haul, &(struct haul_match){ .tag = tag }, tag, i, len_of(path, i));
	await_token(p.haul, p.peer);
	pairing_end(&p);
}

static void send_rows_beyond_the_window(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct row row = { .count = 0 };
	(void)h;
	for (size_t i = 0; i < MANY; i++)
		row_send(&row, p, i, i, path_most(arg, i % 2 == 0 ? 2000 : 20000));
	row_finish(&row);
}

EveryPath(order, what_is_beyond_window_and_budget_waits_its_turn)
{
	struct haul_options o = path_options(path), few = o;
	struct pairing p;
	few.window = 4;
	few.budget = 65536;
	pairing_start(&p, &few, &o, send_rows_beyond_the_window, path);
	for (size_t i = 0; i < MANY; i++)
		receive(p.haul, NULL, i, i, path_most(path, i % 2 == 0 ? 2000 : 20000));
	pairing_end(&p);
}

/* ---- tags and masks ---- */

static const uint64_t tags[] = { 0, 1, 0x8000000000000000, 0xffffffffffffffff, 0x1200000034, 0x1300000034,
	0x1200000035 };

static void send_tags(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct row row = { .count = 0 };
	for (size_t i = 0; i < COUNT(tags); i++)
		row_send(&row, p, tags[i], i, len_of(arg, i + 1));
	row_finish(&row);
	await_token(h, p);
}

EveryPath(order, a_tag_matches_in_all_bits_but_the_ignored)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	struct haul_match top = { .tag = 0x8000000000000000 },
	                  low = { .tag = 0x35, .ignore = ~UINT64_C(0xff) },
	                  high = { .tag = 0x1300000000, .ignore = 0xffffffff },
	                  all = { .tag = 77, .ignore = UINT64_MAX },
	                  odd = { .tag = 1, .ignore = ~UINT64_C(1) };
	pairing_start(&p, &o, &o, send_tags, path);
	receive(p.haul, &low, tags[6], 6, len_of(path, 7));
	receive(p.haul, &high, tags[5], 5, len_of(path, 6));
	receive(p.haul, &top, tags[2], 2, len_of(path, 3));
	receive(p.haul, &odd, tags[1], 1, len_of(path, 2));
	receive(p.haul, &odd, tags[3], 3, len_of(path, 4));
	receive(p.haul, &all, tags[0], 0, len_of(path, 1));
	receive(p.haul, &all, tags[4], 4, len_of(path, 5));
	must_be(haul_recv(p.haul, &all, NULL, 0, 0, NULL), -EAGAIN);
	send_token(p.peer);
	pairing_end(&p);
}

/* ---- any source and one ---- */

static void send_ten(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct row row = { .count = 0 };
	await_token(h, p);
	for (size_t i = 0; i < 10; i++)
		row_send(&row, p, i, i, len_of(arg, i));
	row_send(&row, p, TAG_TOKEN, 0, 0);
	row_finish(&row);
}

static void start_two(struct pairing *a, struct pairing *b, const struct haul_options *o,
    const struct path *path)
{
	pairing_fork(a, o, send_ten, path);
	pairing_fork(b, o, send_ten, path);
	must_be(haul_open(&a->haul, o, sizeof(*o)), 0);
	b->haul = a->haul;
	pairing_adopt(a, a->haul);
	pairing_adopt(b, b->haul);
}

static void end_two(struct pairing *a, struct pairing *b)
{
	must_be(haul_peer_close(b->peer, PATIENCE_MS), 0);
	child_expect(&b->child, 0);
	pairing_end(a);
}

EveryPath(order, one_peer_can_be_asked_for_among_two)
{
	struct haul_options o = path_options(path);
	struct pairing a, b;
	start_two(&a, &b, &o, path);
	send_token(b.peer);
	await_token(a.haul, b.peer);
	struct haul_match from_a = { .from = a.peer, .ignore = UINT64_MAX };
	must_be(haul_recv(a.haul, &from_a, NULL, 0, 0, NULL), -EAGAIN);
	send_token(a.peer);
	for (size_t i = 0; i < 10; i++)
		receive(a.haul, &from_a, i, i, len_of(path, i));
	receive(a.haul, &from_a, TAG_TOKEN, 0, 0);
	struct haul_match from_b = { .from = b.peer, .ignore = UINT64_MAX };
	for (size_t i = 0; i < 10; i++)
		receive(a.haul, &from_b, i, i, len_of(path, i));
	end_two(&a, &b);
}

EveryPath(order, any_source_keeps_arrival_order)
{
	struct haul_options o = path_options(path);
	struct pairing a, b;
	start_two(&a, &b, &o, path);
	send_token(b.peer);
	await_token(a.haul, b.peer); /* all of b is here before a begins */
	send_token(a.peer);
	await_token(a.haul, a.peer);
	for (size_t n = 0; n < 20; n++) {
		struct haul_status status;
		must_be(haul_probe(a.haul, NULL, PATIENCE_MS, &status), 0);
		must(status.peer == (n < 10 ? b.peer : a.peer));
		receive(a.haul, NULL, n % 10, n % 10, len_of(path, n % 10));
	}
	end_two(&a, &b);
}

EveryPath(order, any_source_hears_both_of_two)
{
	struct haul_options o = path_options(path);
	struct pairing a, b;
	size_t of_a = 0, of_b = 0;
	start_two(&a, &b, &o, path);
	send_token(a.peer);
	send_token(b.peer);
	for (size_t n = 0; n < 22; n++) {
		struct haul_status status;
		must_be(haul_probe(a.haul, NULL, PATIENCE_MS, &status), 0);
		size_t i = status.peer == a.peer ? of_a++ : of_b++;
		must(status.peer == a.peer || status.peer == b.peer);
		if (i < 10)
			receive(a.haul, NULL, i, i, len_of(path, i));
		else
			receive(a.haul, NULL, TAG_TOKEN, 0, 0);
	}
	must_be(of_a, 11);
	must_be(of_b, 11);
	end_two(&a, &b);
}

/* ---- probe ---- */

static void send_two(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct row row = { .count = 0 };
	row_send(&row, p, 5, 5, path_most(arg, 200000));
	row_send(&row, p, 6, 6, path_most(arg, 1234));
	row_finish(&row);
	await_token(h, p);
}

EveryPath(order, probe_describes_a_message_and_leaves_it)
{
	struct haul_options o = path_options(path);
	struct haul_status status;
	struct pairing p;
	struct haul_match six = { .tag = 6 };
	pairing_start(&p, &o, &o, send_two, path);
	for (int i = 0; i < 3; i++) {
		must_be(haul_probe(p.haul, &six, PATIENCE_MS, &status), 0);
		must(status.peer == p.peer);
		must_be(status.tag, 6);
		must_be(status.len, 1234);
		must_be(status.got, 0);
		must_be(status.error, 0);
	}
	must_be(haul_probe(p.haul, NULL, 0, &status), 0);
	must_be(status.tag, 5);
	must_be(status.len, path_most(path, 200000));
	receive(p.haul, NULL, 5, 5, path_most(path, 200000));
	must_be(haul_probe(p.haul, NULL, PATIENCE_MS, &status), 0);
	must_be(status.tag, 6);
	receive(p.haul, NULL, 6, 6, 1234);
	must_be(haul_probe(p.haul, NULL, 0, &status), -EAGAIN);
	must_be(status.error, -EAGAIN);
	send_token(p.peer);
	pairing_end(&p);
}
