/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pulls with two hands: the sender of a large message, which waits for it, writes its end while the receiver pulls
 * its beginning. Here all goes well; test_twohand_ends.c has what ends it early, and test_twohand_frames.c what a peer
 * made by hand says.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hands.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(twohand, .timeout = 120);

enum { CHUNK = 256 << 10, LEAST = 256 << 10, TIMES = 200 };

/* What the child does, again and again until it has helped. */
struct part {
	void (*send)(struct haul_peer *p);
};

static void until_helped(struct haul *h, struct haul_peer *p, const void *arg)
{
	do
		((const struct part *)arg)->send(p);
	while (hands_told_again(h, p));
}

/* ---- all sizes ---- */

static const size_t sizes[] = { LEAST - 1, LEAST, LEAST + 1, LEAST + 4097, 2 * CHUNK - 1, 2 * CHUNK,
	2 * CHUNK + 4095, 3 * CHUNK - 1, 3 * CHUNK, 3 * CHUNK + 1, 1000003, 4 * CHUNK, 1 << 20 | 1,
	(4 << 20) - 7, 4 << 20, (16 << 20) + 12345, 33 << 20 };

enum { SIZES = sizeof(sizes) / sizeof(sizes[0]), SHIFTS = 3 };

/* Where the buffers begin: on either side as they come, or off the line. */
static size_t shift_of(size_t i)
{
	static const size_t shifts[SHIFTS] = { 0, 1, 4095 };
	return shifts[i % SHIFTS];
}

static void send_all_sizes(struct haul_peer *p)
{
	for (size_t i = 0; i < SIZES * SHIFTS; i++) {
		size_t len = sizes[i % SIZES], shift = shift_of(i / SIZES);
		unsigned char *buf = room_for(len + shift);
		pattern_fill(buf + shift, len, i, 0);
		must_be(haul_send(p, i, buf + shift, len, -1), 0);
		free(buf);
	}
}

static void receive_all_sizes(struct haul *h)
{
	for (size_t i = 0; i < SIZES * SHIFTS; i++) {
		size_t len = sizes[i % SIZES], shift = shift_of(i / SIZES + i);
		unsigned char *buf = room_for(len + shift + 10);
		memset(buf, CANARY, len + shift + 10);
		must_be(haul_recv(h, &(struct haul_match){ .tag = i }, buf + shift, len, -1, NULL), len);
		must_be_untouched(buf, shift);
		must_hold(buf + shift, len, i, 0);
		must_be_untouched(buf + shift + len, 10);
		free(buf);
	}
}

Test(twohand, every_byte_of_every_size_arrives)
{
	struct pairing p;
	uint64_t passes = 0;
	hands_start(&p, until_helped, &(struct part){ send_all_sizes });
	do {
		receive_all_sizes(p.haul);
		passes++;
	} while (hands_again(&p));
	struct haul_stats s = stats_of(p.haul);
	must_be(s.received_pull, passes * SIZES * SHIFTS);
	must_be(s.received_stream + s.received_push, 0);
	must_be(s.assisted, 0);
	pairing_end(&p);
}

/* ---- who takes part ---- */

static void send_some(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_peer_info info;
	unsigned char *buf = filled(4 << 20, 1);
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.two_handed, *(const int *)arg);
	for (int i = 0; i < 20; i++)
		must_be(haul_send(p, 1, buf, 4 << 20, -1), 0);
	free(buf);
	send_help(h, p);
}

static struct help receive_some(struct pairing *p, int agreed, int timeout_ms)
{
	struct haul_peer_info info;
	must_be(haul_peer_info(p->peer, &info, sizeof(info)), 0);
	must_be(info.two_handed, agreed);
	for (int i = 0; i < 20; i++)
		receive_pattern_within(p->haul, 4 << 20, 1, timeout_ms);
	struct help help = receive_help(p->haul);
	pairing_end(p);
	return help;
}

static void send_one_and_count(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(4 << 20, 1);
	(void)arg;
	do
		must_be(haul_send(p, 1, buf, 4 << 20, -1), 0);
	while (hands_told_again(h, p));
	free(buf);
	send_help(h, p);
}

Test(twohand, both_sides_copy)
{
	struct haul_peer_info info;
	struct pairing p;
	uint64_t passes = 0;
	hands_start(&p, send_one_and_count, NULL);
	must_be(haul_peer_info(p.peer, &info, sizeof(info)), 0);
	must_be(info.two_handed, 1);
	do {
		receive_pattern_within(p.haul, 4 << 20, 1, -1);
		passes++;
	} while (hands_again(&p));
	struct help help = receive_help(p.haul);
	must_be(help.messages, 1);
	must(help.bytes > 0 && help.bytes <= 4 << 20);
	must(help.copied >= help.bytes);
	struct haul_stats s = stats_of(p.haul);
	must_be(s.received_pull, passes);
	must_be(s.received_pull_bytes, passes << 22);
	must(s.copied_bytes < passes << 22); /* but for the help's it copied all */
	pairing_end(&p);
}

Test(twohand, is_for_those_only_who_both_opt_in)
{
	static const int agreed = 0;
	struct pairing p;
	hands_start_unlike(&p, &hands_options, NULL, send_some, &agreed);
	must_be(receive_some(&p, agreed, -1).messages, 0);
	hands_start_unlike(&p, NULL, &hands_options, send_some, &agreed);
	must_be(receive_some(&p, agreed, -1).messages, 0);
	static const struct haul_options socket = { .two_handed = 1, .path = HAUL_PATH_STREAM };
	hands_start_unlike(&p, &socket, &hands_options, send_some, &agreed);
	must_be(receive_some(&p, agreed, -1).messages, 0);
}

Test(twohand, is_not_for_a_receive_with_a_timeout)
{
	static const int agreed = 1;
	struct pairing p;
	hands_start(&p, send_some, &agreed);
	must_be(receive_some(&p, agreed, PATIENCE_MS).messages, 0);
}

Test(twohand, is_not_for_two_on_one_cpu)
{
	static const int agreed = 1;
	struct pairing p;
	hands_start_on_one_cpu(&p, send_some, &agreed);
	must_be(receive_some(&p, agreed, -1).messages, 0);
}

/* Its sends are under way, but it never waits in the library. */
static void compute(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(4 << 20, 1);
	struct iovec iov = { buf, 4 << 20 };
	(void)arg;
	for (int i = 0; i < 20; i++) {
		struct haul_req *r;
		must_be(haul_isend(p, 1, &iov, 1, 0, &r), 0);
		while (haul_req_test(r) != 0)
			continue;
		must_be(haul_req_finish(r, NULL), 0);
	}
	free(buf);
	send_help(h, p);
}

Test(twohand, who_computes_does_not_help)
{
	struct pairing p;
	hands_start(&p, compute, NULL);
	must_be(receive_some(&p, 1, -1).messages, 0);
}

static void stay_away(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(4 << 20, 1);
	struct iovec iov = { buf, 4 << 20 };
	struct haul_req *r;
	(void)arg;
	must_be(haul_isend(p, 1, &iov, 1, 0, &r), 0);
	while (haul_progress(h) > 0)
		continue;
	raise(SIGSTOP); /* the receiver has it before this goes on */
	must_be(end_of(r, NULL), 0);
	free(buf);
	send_help(h, p);
}

Test(twohand, a_sender_that_is_not_there_is_not_waited_for)
{
	struct pairing p;
	hands_start(&p, stay_away, NULL);
	await_message(p.haul, 1);
	child_await_stop(&p.child);
	receive_pattern_within(p.haul, 4 << 20, 1, -1);
	duo_continue(&p.child);
	must_be(receive_help(p.haul).messages, 0);
	pairing_end(&p);
}

/* ---- lists of buffers ---- */

enum { PARTS = 3000, PARTS_LEN = 6 << 20, FEW = 5 };

/* So many buffers of all lengths, with gaps, that hold len together. */
static void scatter(struct iovec *iov, size_t count, unsigned char *room, size_t len)
{
	size_t left = len, at = 0;
	for (size_t i = 0; i < count; i++) {
		size_t n = i == count - 1 ? left : left / (count - i) / 2 + i * 7919 % (left / (count - i));
		iov[i] = (struct iovec){ room + at, n };
		at += n + 3;
		left -= n;
	}
}

static const size_t counts[] = { 1, 2, FEW, 32, 33, 100, 1024, PARTS };

enum { COUNTS = sizeof(counts) / sizeof(counts[0]) };

static void send_lists(struct haul_peer *p)
{
	unsigned char *room = room_for(PARTS_LEN + 3 * PARTS);
	struct iovec iov[PARTS];
	for (size_t i = 0; i < COUNTS * COUNTS; i++) {
		size_t count = counts[i / COUNTS];
		scatter(iov, count, room, PARTS_LEN);
		for (size_t k = 0, at = 0; k < count; at += iov[k++].iov_len)
			pattern_fill(iov[k].iov_base, iov[k].iov_len, i, at);
		must_be(haul_sendv(p, i, iov, count, 0, -1), 0);
	}
	free(room);
}

Test(twohand, lists_of_buffers_on_both_sides)
{
	unsigned char *room = room_for(PARTS_LEN + 3 * PARTS);
	struct iovec iov[PARTS];
	struct pairing p;
	hands_start(&p, until_helped, &(struct part){ send_lists });
	do {
		for (size_t i = 0; i < COUNTS * COUNTS; i++) {
			size_t count = counts[i % COUNTS];
			memset(room, CANARY, PARTS_LEN + 3 * PARTS);
			scatter(iov, count, room, PARTS_LEN);
			must_be(haul_recvv(p.haul, &(struct haul_match){ .tag = i }, iov, count, -1, NULL),
			    PARTS_LEN);
			for (size_t k = 0, at = 0; k < count; at += iov[k++].iov_len) {
				must_hold(iov[k].iov_base, iov[k].iov_len, i, at);
				must_be_untouched((unsigned char *)iov[k].iov_base + iov[k].iov_len, 3);
			}
		}
	} while (hands_again(&p));
	free(room);
	pairing_end(&p);
}

/* ---- other calls that receive ---- */

enum { LONG_LEN = (8 << 20) + 77 };

static void send_long(struct haul_peer *p)
{
	unsigned char *buf = filled(LONG_LEN, 1);
	for (int i = 0; i < 20; i++) {
		struct iovec iov = { buf, LONG_LEN };
		int rc = haul_sendv(p, 1, &iov, 1, HAUL_SYNC, -1);
		must(rc == 0 || rc == -EMSGSIZE);
	}
	free(buf);
}

Test(twohand, a_receive_may_be_shorter)
{
	unsigned char *buf = room_for(LONG_LEN);
	struct haul_status status;
	struct pairing p;
	hands_start(&p, until_helped, &(struct part){ send_long });
	do {
		for (size_t i = 0; i < 20; i++) {
			size_t len = LEAST + i * 300007;
			memset(buf, CANARY, LONG_LEN);
			must_be(haul_recv(p.haul, &(struct haul_match){ .tag = 1 }, buf, len, -1, &status),
			    -EMSGSIZE);
			must_be(status.got, len);
			must_hold(buf, len, 1, 0);
			must_be_untouched(buf + len, LONG_LEN - len);
		}
	} while (hands_again(&p));
	free(buf);
	pairing_end(&p);
}

/* Some of the same bytes again and again, each time elsewhere. */
static void take_and_read(struct haul *h, unsigned char *buf)
{
	struct haul_msg *m;
	must_be(haul_take(h, &(struct haul_match){ .tag = 1 }, -1, &m), 0);
	for (size_t k = 0; k < 4; k++) {
		size_t at = k * 1234567, len = LONG_LEN - at < 3000001 ? LONG_LEN - at : 3000001;
		memset(buf, CANARY, LONG_LEN);
		must_be(haul_msg_read(m, at, &(struct iovec){ buf + 1, len }, 1, -1), len);
		must_be_untouched(buf, 1);
		must_hold(buf + 1, len, 1, at);
		must_be_untouched(buf + 1 + len, 100);
	}
	must_be(haul_msg_done(m), 0);
}

Test(twohand, serves_reads_of_a_taken_message)
{
	unsigned char *buf = room_for(LONG_LEN);
	struct pairing p;
	hands_start(&p, until_helped, &(struct part){ send_long });
	do
		for (size_t i = 0; i < 20; i++)
			take_and_read(p.haul, buf);
	while (hands_again(&p));
	free(buf);
	pairing_end(&p);
}

/* ---- many, both ways ---- */

static void exchange(struct haul *h, struct haul_peer *p, uint64_t ours, uint64_t theirs)
{
	unsigned char *out = room_for(LONG_LEN), *in = room_for(LONG_LEN);
	for (uint64_t i = 0; i < TIMES; i++) {
		size_t len = LEAST + i * 37649 % (LONG_LEN - LEAST);
		pattern_fill(out, len, ours + i, 0);
		must_be(haul_sendrecv(p, i, out, len, &(struct haul_match){ .tag = i }, in, LONG_LEN, -1,
		            NULL),
		    len);
		must_hold(in, len, theirs + i, 0);
	}
	free(out);
	free(in);
	(void)h;
}

static void exchange_there(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)arg;
	exchange(h, p, 1000, 2000);
}

Test(twohand, both_directions_at_once)
{
	struct pairing p;
	hands_start(&p, exchange_there, NULL);
	exchange(p.haul, p.peer, 2000, 1000);
	pairing_end(&p);
}

enum { WINDOW = 8, MANY = 400 };

static void send_many(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf[WINDOW];
	struct haul_req *r[WINDOW] = { 0 };
	(void)arg;
	for (size_t i = 0; i < WINDOW; i++)
		buf[i] = room_for(1 << 20);
	for (size_t i = 0; i < MANY + WINDOW; i++) {
		if (r[i % WINDOW] != NULL)
			must_be(end_of(r[i % WINDOW], NULL), 0);
		if (i >= MANY)
			continue;
		pattern_fill(buf[i % WINDOW], 1 << 20, i, 0);
		must_be(haul_isend(p, i, &(struct iovec){ buf[i % WINDOW], 1 << 20 }, 1, 0, &r[i % WINDOW]),
		    0);
	}
	for (size_t i = 0; i < WINDOW; i++)
		free(buf[i]);
	send_help(h, p);
}

/* A buffer is filled anew as soon as its send has ended: nothing of it may come late. */
Test(twohand, many_under_way_at_once)
{
	unsigned char *buf = room_for(1 << 20);
	struct pairing p;
	hands_start(&p, send_many, NULL);
	for (size_t i = 0; i < MANY; i++) {
		must_be(haul_recv(p.haul, &(struct haul_match){ .tag = i }, buf, 1 << 20, -1, NULL), 1 << 20);
		must_hold(buf, 1 << 20, i, 0);
		memset(buf, CANARY, 1 << 20);
		if (i % 16 == 0)
			must_be_untouched(buf, 1 << 20);
	}
	receive_help(p.haul);
	free(buf);
	pairing_end(&p);
}
