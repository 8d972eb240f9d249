/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taken messages: read in parts, in any order, as often as one likes, then done with or refused; and what
 * becomes of them when their sender takes them back, dies, stops, or is closed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/duo.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/seed.h"
#include "lib/talk.h"

TestSuite(take, .timeout = 60);

enum { TAG_DATA = 7, LONG_LEN = 1000003, BIG = 24 << 20, SOON_MS = 20, SCRIBBLE = 0xa5 };

static bool is_described(const struct path *path)
{
	return path->eager_max <= 0;
}

/* ---- senders ---- */

static void send_one(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, LONG_LEN);
	unsigned char *out = filled(len, 1);
	must_be(haul_sendv(p, TAG_DATA, &(struct iovec){ out, len }, 1, HAUL_SYNC, PATIENCE_MS), 0);
	await_token(h, p);
	free(out);
}

/* ---- taking ---- */

EveryPath(take, gives_a_message_that_can_be_read_and_is_then_done)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *in = room_for(len + 1);
	struct haul_status status;
	struct haul_msg *m;
	struct pairing p;
	pairing_start(&p, &o, &o, send_one, path);
	must_be(haul_take(p.haul, &(struct haul_match){ .tag = 3 }, 0, &m), -EAGAIN);
	must_be(haul_take(p.haul, &(struct haul_match){ .tag = 3 }, SOON_MS, &m), -ETIMEDOUT);
	must_be(haul_take(p.haul, NULL, PATIENCE_MS, &m), 0);
	memset(&status, 0x5a, sizeof(status));
	must_be(haul_msg_status(m, &status), 0);
	must(status.peer == p.peer);
	must_be(status.tag, TAG_DATA);
	must_be(status.len, len);
	must_be(status.got, 0);
	must_be(status.error, 0);
	must_be(haul_probe(p.haul, NULL, 0, &status), -EAGAIN); /* it is off the queue */
	memset(in, CANARY, len + 1);
	must_be(haul_msg_read(m, 0, &(struct iovec){ in, len + 1 }, 1, PATIENCE_MS), len);
	must_hold(in, len, 1, 0);
	must_be_untouched(in + len, 1);
	must_be(haul_msg_done(m), 0);
	send_token(p.peer);
	pairing_end(&p);
	free(in);
}

EveryPath(take, as_a_request_is_given_the_message_by_its_status)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *out = filled(len, 1), *in = room_for(len);
	struct iovec from = { out, len }, to = { in, len };
	struct haul_req *send, *take, *read;
	struct haul_status status;
	struct twins t;
	twins_start(&t, &o);
	must_be(haul_itake(t.b, &(struct haul_match){ .from = t.to_a, .tag = 5, .ignore = 2 }, &take), 0);
	must_be(haul_req_test(take), -EINPROGRESS);
	must_be(haul_isend(t.to_b, TAG_DATA, &from, 1, HAUL_SYNC, &send), 0);
	must_be(twins_finish(&t, take, &status), 0);
	must(status.msg != NULL);
	must(status.peer == t.to_a);
	must_be(status.tag, TAG_DATA);
	must_be(status.len, len);
	must_be(status.got, 0);
	must_be(haul_req_test(send), -EINPROGRESS);
	must_be(haul_msg_iread(status.msg, 0, &to, 1, &read), 0);
	struct haul_msg *m = status.msg;
	must_be(twins_finish(&t, read, &status), 0);
	must_be(status.got, len);
	must(status.msg == NULL);
	must_hold(in, len, 1, 0);
	twins_settle(&t);
	must_be(haul_req_test(send), -EINPROGRESS); /* until it is done with */
	must_be(haul_msg_done(m), 0);
	must_be(twins_finish(&t, send, NULL), 0);
	twins_end(&t);
	free(out);
	free(in);
}

Test(take, that_waits_can_be_canceled_and_let_go_of)
{
	struct haul_req *take, *send;
	struct haul_status status;
	struct twins t;
	twins_start(&t, NULL);
	must_be(haul_itake(t.b, NULL, &take), 0);
	must_be(haul_req_cancel(take), 0);
	must_be(haul_req_finish(take, &status), -ECANCELED);
	must(status.msg == NULL);
	must_be(haul_itake(t.b, NULL, &take), 0);
	haul_req_free(take); /* then it takes nothing away */
	must_be(haul_isend(t.to_b, 1, NULL, 0, 0, &send), 0);
	must_be(twins_finish(&t, send, NULL), 0);
	twins_settle(&t);
	must_be(haul_recv(t.b, NULL, NULL, 0, 0, NULL), 0);
	twins_end(&t);
}

/* Sends count messages of that many bytes, synchronously; message i has tag i and pattern i. */
static void send_some(struct twins *t, int count, unsigned char *const *out, size_t len, struct haul_req **r)
{
	for (int i = 0; i < count; i++) {
		struct iovec from = { out[i], len };
		must_be(haul_isend(t->to_b, (uint64_t)i, &from, 1, HAUL_SYNC, &r[i]), 0);
	}
}

EveryPath(take, and_receive_share_one_order)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN / 4);
	unsigned char *out[4], *in = room_for(len);
	struct iovec to = { in, len };
	struct haul_req *send[4], *take[2], *recv[2], *read;
	struct haul_status status;
	struct twins t;
	for (int i = 0; i < 4; i++)
		out[i] = filled(len, (uint64_t)i);
	for (int before = 0; before < 2; before++) {
		twins_start(&t, &o);
		if (before) {
			send_some(&t, 4, out, len, send);
			twins_settle(&t);
		}
		for (int i = 0; i < 2; i++) {
			must_be(haul_itake(t.b, NULL, &take[i]), 0);
			must_be(haul_irecv(t.b, NULL, &to, 1, &recv[i]), 0);
		}
		if (!before)
			send_some(&t, 4, out, len, send);
		for (int i = 0; i < 2; i++) {
			must_be(twins_finish(&t, recv[i], &status), 0);
			must_be(status.tag, 2 * i + 1);
		}
		for (int i = 0; i < 2; i++) {
			must_be(twins_finish(&t, take[i], &status), 0);
			must_be(status.tag, 2 * i);
			struct haul_msg *m = status.msg;
			must_be(haul_msg_iread(m, 0, &to, 1, &read), 0);
			must_be(twins_finish(&t, read, NULL), 0);
			must_hold(in, len, (uint64_t)(2 * i), 0);
			must_be(haul_msg_done(m), 0);
		}
		for (int i = 0; i < 4; i++)
			must_be(twins_finish(&t, send[i], NULL), 0);
		twins_end(&t);
	}
	for (int i = 0; i < 4; i++)
		free(out[i]);
	free(in);
}

EveryPath(take, let_go_of_gives_the_message_back_to_its_place)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN / 4);
	unsigned char *out[3], *in = room_for(len);
	struct iovec to = { in, len };
	struct haul_req *send[3], *take, *recv;
	struct haul_status status;
	struct twins t;
	for (int i = 0; i < 3; i++)
		out[i] = filled(len, (uint64_t)i);
	twins_start(&t, &o);
	send_some(&t, 3, out, len, send);
	must_be(haul_itake(t.b, &(struct haul_match){ .tag = 1 }, &take), 0);
	twins_settle(&t);
	must_be(haul_req_test(take), 0);
	haul_req_free(take);
	for (int i = 0; i < 3; i++) {
		must_be(haul_irecv(t.b, NULL, &to, 1, &recv), 0);
		must_be(twins_finish(&t, recv, &status), 0);
		must_be(status.tag, i);
		must_hold(in, len, (uint64_t)i, 0);
		must_be(twins_finish(&t, send[i], NULL), 0);
	}

	/* Or to a receive that waits for it. */
	send_some(&t, 1, out, len, send);
	must_be(haul_itake(t.b, NULL, &take), 0);
	must_be(haul_irecv(t.b, NULL, &to, 1, &recv), 0);
	twins_settle(&t);
	must_be(haul_req_test(take), 0);
	must_be(haul_req_test(recv), -EINPROGRESS);
	haul_req_free(take);
	must_be(twins_finish(&t, recv, &status), 0);
	must_hold(in, len, 0, 0);
	must_be(twins_finish(&t, send[0], NULL), 0);
	twins_end(&t);
	for (int i = 0; i < 3; i++)
		free(out[i]);
	free(in);
}

/* ---- reading ---- */

static void read_and_check(struct haul_msg *m, size_t len, uint64_t offset, size_t want, size_t pieces)
{
	struct iovec to[8];
	unsigned char *in = room_for(want + 8);
	size_t at = 0, left = offset < len ? len - offset : 0, expect = want < left ? want : left;
	memset(in, CANARY, want + 8);
	for (size_t i = 0; i < pieces; i++) {
		size_t n = i + 1 == pieces ? want - at : random_below(want - at + 1);
		to[i] = (struct iovec){ in + at, n };
		at += n;
	}
	must_be(haul_msg_read(m, offset, to, pieces, PATIENCE_MS), expect);
	must_hold(in, expect, 1, offset);
	must_be_untouched(in + expect, want + 8 - expect);
	free(in);
}

EveryPath(take, any_part_can_be_read_any_number_of_times)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	struct haul_msg *m;
	struct pairing p;
	seed_random();
	pairing_start(&p, &o, &o, send_one, path);
	must_be(haul_take(p.haul, NULL, PATIENCE_MS, &m), 0);
	for (int i = 0; i < 200; i++) {
		uint64_t offset = random_below(len);
		size_t want = random_below(i % 10 == 0 ? len : 5000);
		read_and_check(m, len, offset, want, 1 + random_below(8));
		if (i % 3 == 0)
			read_and_check(m, len, offset, want, 1 + random_below(8));
	}
	read_and_check(m, len, len - 1, 100, 3);
	read_and_check(m, len, len, 100, 1);
	read_and_check(m, len, len + 1, 100, 1);
	read_and_check(m, len, UINT64_MAX, 100, 1);
	read_and_check(m, len, UINT64_MAX - 10, 100, 2);
	read_and_check(m, len, 0, 0, 1);
	must_be(haul_msg_read(m, 5, NULL, 0, 0), 0);
	must_be(haul_msg_read(m, 0, &(struct iovec){ NULL, SIZE_MAX }, 1, 0), -EINVAL);
	must_be(haul_msg_read(m, 0, NULL, 1, 0), -EINVAL);
	must_be(haul_msg_read(m, 0, NULL, 0, -2), -EINVAL);
	must_be(haul_msg_done(m), 0);
	send_token(p.peer);
	pairing_end(&p);
}

struct ranges {
	struct path path;
	size_t count;
	size_t len; /* of all */
};

static size_t range_len(const struct ranges *r, size_t i)
{
	size_t most = 2 * r->len / r->count;
	if (i + 1 < r->count) /* two neighbours make up for each other */
		return i % 2 == 0 ? i * 7919 % most : most - (i - 1) * 7919 % most;
	size_t sum = 0;
	for (size_t j = 0; j < i; j++)
		sum += range_len(r, j);
	return r->len - sum;
}

static void send_ranges(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct ranges *r = arg;
	struct iovec *iov = malloc(r->count * sizeof(*iov));
	size_t at = 0;
	must(iov != NULL);
	for (size_t i = 0; i < r->count; i++) {
		iov[i].iov_len = range_len(r, i);
		iov[i].iov_base = room_for(iov[i].iov_len);
		pattern_fill(iov[i].iov_base, iov[i].iov_len, 1, at);
		at += iov[i].iov_len;
	}
	must_be(at, r->len);
	must_be(haul_sendv(p, TAG_DATA, iov, r->count, HAUL_SYNC, PATIENCE_MS), 0);
	await_token(h, p);
	for (size_t i = 0; i < r->count; i++)
		free(iov[i].iov_base);
	free(iov);
}

EveryPath(take, a_message_of_many_ranges_can_be_read_anywhere)
{
	static const size_t counts[] = { 5, 1023, 1024, 3000 };
	struct haul_options o = path_options(path);
	seed_random();
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct ranges r = { .count = counts[i], .len = path_most(path, 300000) };
		struct haul_msg *m;
		struct pairing p;
		pairing_start(&p, &o, &o, send_ranges, &r);
		must_be(haul_take(p.haul, NULL, PATIENCE_MS, &m), 0);
		for (int j = 0; j < 60; j++)
			read_and_check(m, r.len, random_below(r.len), random_below(j % 6 == 0 ? r.len : 2000),
			    1 + random_below(8));
		read_and_check(m, r.len, 0, r.len, 8);
		must_be(haul_msg_done(m), 0);
		send_token(p.peer);
		pairing_end(&p);
	}
}

EveryPath(take, several_reads_at_once_each_get_their_part)
{
	enum { READS = 8 };
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN), part = len / 3;
	unsigned char *in[READS];
	struct haul_req *r[READS], *late;
	struct haul_status status;
	struct haul_msg *m;
	struct pairing p;
	pairing_start(&p, &o, &o, send_one, path);
	must_be(haul_take(p.haul, NULL, PATIENCE_MS, &m), 0);
	for (size_t i = 0; i < READS; i++) {
		in[i] = room_for(part);
		must_be(haul_msg_iread(m, i * part / 4, &(struct iovec){ in[i], part }, 1, &r[i]), 0);
	}
	must_be(haul_msg_iread(m, len, &(struct iovec){ in[0], part }, 1, &late), 0);
	if (is_described(path)) {
		must_be(haul_msg_done(m), -EBUSY);
		must_be(haul_msg_refuse(m, -EACCES), -EBUSY);
	}
	must_be(haul_wait_all(r, READS, PATIENCE_MS), 0);
	for (size_t i = 0; i < READS; i++) {
		must_be(haul_req_finish(r[i], &status), 0);
		must_be(status.got, part);
		must_be(status.len, len);
		must(status.peer == p.peer);
		must_hold(in[i], part, 1, i * part / 4);
		free(in[i]);
	}
	must_be(haul_req_wait(late, PATIENCE_MS), 0);
	must_be(haul_req_finish(late, &status), 0);
	must_be(status.got, 0);
	must_be(haul_msg_done(m), 0);
	send_token(p.peer);
	pairing_end(&p);
}

/* The first, one in the middle, and the last of reads that wait are given up; the others are not harmed. */
EveryPath(take, a_read_can_be_canceled_or_let_go_of_among_others)
{
	enum { READS = 6 };
	struct haul_options o = path_options(path);
	size_t len = path_most(path, BIG / 3);
	unsigned char *out = filled(len, 1), *in[READS];
	struct iovec from = { out, len };
	struct haul_req *send, *r[READS];
	struct haul_msg *m;
	struct twins t;
	twins_start(&t, &o);
	must_be(haul_isend(t.to_b, 1, &from, 1, HAUL_SYNC, &send), 0);
	twins_settle(&t);
	must_be(haul_take(t.b, NULL, 0, &m), 0);
	for (int i = 0; i < READS; i++) {
		in[i] = room_for(len);
		must_be(haul_msg_iread(m, 0, &(struct iovec){ in[i], len }, 1, &r[i]), 0);
	}
	for (int i = 0; i < READS; i += 2) {
		int rc = haul_req_cancel(r[i]);
		must(rc == 0 || rc == -EALREADY);
		rc = twins_finish(&t, r[i], NULL);
		must(rc == 0 || rc == -ECANCELED);
	}
	haul_req_free(r[3]);
	for (int i = 1; i < READS; i += 4) {
		must_be(twins_finish(&t, r[i], NULL), 0);
		must_hold(in[i], len, 1, 0);
	}
	must_be(haul_msg_done(m), 0);
	must_be(twins_finish(&t, send, NULL), 0);
	twins_end(&t);
	for (int i = 0; i < READS; i++)
		free(in[i]);
	free(out);
}

struct reader {
	struct haul_msg *m;
	size_t len;
	uint64_t first;
};

static void *read_in_thread(void *arg)
{
	struct reader *r = arg;
	unsigned char in[5000];
	for (uint64_t i = 0; i < 100; i++) {
		uint64_t offset = (r->first + i * 7919) % (r->len - sizeof(in));
		must_be(haul_msg_read(r->m, offset, &(struct iovec){ in, sizeof(in) }, 1, PATIENCE_MS),
		    sizeof(in));
		must_hold(in, sizeof(in), 1, offset);
	}
	return NULL;
}

EveryPath(take, several_threads_can_read_it)
{
	struct haul_options o = path_options(path);
	struct reader readers[4];
	pthread_t threads[4];
	struct haul_msg *m;
	struct pairing p;
	pairing_start(&p, &o, &o, send_one, path);
	must_be(haul_take(p.haul, NULL, PATIENCE_MS, &m), 0);
	for (uint64_t i = 0; i < 4; i++) {
		readers[i] = (struct reader){ .m = m, .len = path_most(path, LONG_LEN), .first = i * 1000 };
		must(pthread_create(&threads[i], NULL, read_in_thread, &readers[i]) == 0);
	}
	for (int i = 0; i < 4; i++)
		must(pthread_join(threads[i], NULL) == 0);
	must_be(haul_msg_done(m), 0);
	send_token(p.peer);
	pairing_end(&p);
}

/* The library itself copies what came eagerly, and a bad pointer is then what it is to memcpy(3). */
EveryPath(take, a_read_into_a_bad_buffer_fails_alone)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	struct haul_msg *m;
	struct pairing p;
	if (!is_described(path))
		return;
	void *bad = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(bad != MAP_FAILED);
	pairing_start(&p, &o, &o, send_one, path);
	must_be(haul_take(p.haul, NULL, PATIENCE_MS, &m), 0);
	for (int i = 0; i < 3; i++) {
		must_be(haul_msg_read(m, 100, &(struct iovec){ bad, 65536 }, 1, PATIENCE_MS), -EFAULT);
		read_and_check(m, len, 50, 70000, 2);
	}
	must_be(haul_msg_done(m), 0);
	send_token(p.peer);
	pairing_end(&p);
	munmap(bad, 65536);
}

Test(take, an_empty_message_has_nothing_to_read)
{
	struct haul_req *send;
	struct haul_msg *m;
	struct twins t;
	char byte;
	for (int64_t eager_max = -1; eager_max <= 0; eager_max++) {
		struct haul_options o = { .eager_max = eager_max };
		twins_start(&t, &o);
		must_be(haul_isend(t.to_b, 1, NULL, 0, HAUL_SYNC, &send), 0);
		twins_settle(&t);
		must_be(haul_take(t.b, NULL, 0, &m), 0);
		must_be(haul_msg_read(m, 0, &(struct iovec){ &byte, 1 }, 1, 0), 0);
		must_be(haul_msg_done(m), 0);
		must_be(twins_finish(&t, send, NULL), 0);
		twins_end(&t);
	}
}

/* ---- the end of it ---- */

EveryPath(take, a_refusal_tells_the_sender_and_copies_nothing)
{
	static const struct {
		int refusal, heard;
	} errors[] = { { -EACCES, -EACCES }, { -ENOSPC, -ENOSPC }, { -4095, -4095 }, { -1, -1 },
		{ -ETIMEDOUT, -ECONNREFUSED }, { -ECANCELED, -ECONNREFUSED },
		{ -EINPROGRESS, -ECONNREFUSED } };
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *out = filled(len, 1);
	struct iovec from = { out, len };
	struct haul_req *send;
	struct haul_status status;
	struct haul_stats before, a, b;
	struct haul_msg *m;
	struct twins t;
	twins_start(&t, &o);
	must_be(haul_msg_done(NULL), 0);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		must_be(haul_stats(t.b, &before, sizeof(before)), 0);
		must_be(haul_isend(t.to_b, 1, &from, 1, HAUL_SYNC, &send), 0);
		twins_settle(&t);
		must_be(haul_take(t.b, NULL, 0, &m), 0);
		must_be(haul_msg_refuse(m, 0), -EINVAL);
		must_be(haul_msg_refuse(m, EACCES), -EINVAL);
		must_be(haul_msg_refuse(m, -4096), -EINVAL);
		must_be(haul_msg_refuse(m, errors[i].refusal), 0);
		must_be(twins_finish(&t, send, &status), errors[i].heard);
		must_be(status.got, 0);
		must_be(haul_stats(t.b, &b, sizeof(b)), 0);
		must_be(haul_stats(t.a, &a, sizeof(a)), 0);
		must_be(b.pull_calls, before.pull_calls);
		if (is_described(path)) {
			must_be(a.copied_bytes, 0);
			must_be(b.copied_bytes, 0);
		}
	}

	/* A standard send only lends its buffer. */
	must_be(haul_isend(t.to_b, 1, &from, 1, 0, &send), 0);
	twins_settle(&t);
	must_be(haul_take(t.b, NULL, 0, &m), 0);
	must_be(haul_msg_refuse(m, -EACCES), 0);
	must_be(twins_finish(&t, send, NULL), 0);
	twins_end(&t);
	free(out);
}

EveryPath(take, done_without_reading_is_well_for_the_sender)
{
	struct haul_options o = path_options(path);
	struct haul_msg *m;
	struct pairing p;
	pairing_start(&p, &o, &o, send_one, path); /* it expects 0 */
	must_be(haul_take(p.haul, NULL, PATIENCE_MS, &m), 0);
	must_be(haul_msg_done(m), 0);
	send_token(p.peer);
	pairing_end(&p);
}

static void flush_twice(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, LONG_LEN);
	unsigned char *out = filled(len, 1);
	struct iovec from = { out, len };
	struct haul_req *r;
	must_be(haul_isend(p, TAG_DATA, &from, 1, 0, &r), 0);
	await_token(h, p); /* it is taken */
	must_be(haul_peer_flush(p, 5 * SOON_MS), -ETIMEDOUT);
	must_be(haul_send(p, 2, NULL, 0, PATIENCE_MS), 0);
	must_be(haul_peer_flush(p, PATIENCE_MS), 0);
	must_be(haul_send(p, 3, NULL, 0, PATIENCE_MS), 0);
	must_be(haul_req_wait(r, 0), 0);
	must_be(haul_req_finish(r, NULL), 0);
	await_token(h, p);
	free(out);
}

EveryPath(take, holds_back_the_senders_flush_until_done)
{
	struct haul_options o = path_options(path);
	struct haul_msg *m;
	struct pairing p;
	pairing_start(&p, &o, &o, flush_twice, path);
	must_be(haul_take(p.haul, NULL, PATIENCE_MS, &m), 0);
	send_token(p.peer);
	must_be(haul_recv(p.haul, &(struct haul_match){ .tag = 2 }, NULL, 0, PATIENCE_MS, NULL), 0);
	must_be(haul_msg_done(m), 0);
	must_be(haul_recv(p.haul, &(struct haul_match){ .tag = 3 }, NULL, 0, PATIENCE_MS, NULL), 0);
	send_token(p.peer);
	pairing_end(&p);
}

/* ---- what becomes of it ---- */

static void gone(struct haul_msg *m, int error)
{
	struct haul_status status;
	struct haul_req *r;
	char byte;
	must_be(haul_msg_status(m, &status), 0);
	must_be(status.error, error);
	must_be(haul_msg_read(m, 0, &(struct iovec){ &byte, 1 }, 1, PATIENCE_MS), error);
	must_be(haul_msg_read(m, 0, &(struct iovec){ &byte, 1 }, 1, 0), error);
	must_be(haul_msg_iread(m, 0, &(struct iovec){ &byte, 1 }, 1, &r), 0);
	must_be(haul_req_wait(r, 0), 0);
	must_be(haul_req_finish(r, NULL), error);
}

EveryPath(take, the_sender_takes_it_back)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, BIG);
	if (!is_described(path))
		return;
	unsigned char *out = filled(len, 1), *in = room_for(len);
	struct iovec from = { out, len }, to = { in, len };
	struct haul_req *send, *read;
	struct haul_status status;
	struct haul_msg *m;
	struct twins t;
	for (int reading = 0; reading < 2; reading++) {
		twins_start(&t, &o);
		must_be(haul_isend(t.to_b, 1, &from, 1, HAUL_SYNC, &send), 0);
		twins_settle(&t);
		must_be(haul_take(t.b, NULL, 0, &m), 0);
		if (reading)
			must_be(haul_msg_iread(m, 0, &to, 1, &read), 0);
		must_be(haul_req_deadline(send, 0), 0);
		must_be(twins_finish(&t, send, &status), -ETIMEDOUT);
		must_be(status.flags, 0);
		memset(out, SCRIBBLE, len);
		twins_settle(&t);
		if (reading) {
			int rc = twins_finish(&t, read, NULL);
			must(rc == -ECANCELED || rc == 0);
			if (rc == 0) /* it was over before the sender's time was */
				must_hold(in, len, 1, 0);
		}
		gone(m, -ECANCELED);
		must_be(haul_msg_done(m), 0);
		pattern_fill(out, len, 1, 0);
		twins_end(&t);
	}
	free(out);
	free(in);
}

/* The payload of one that came eagerly is here. */
EveryPath(take, the_sender_dies)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	struct haul_status status;
	struct haul_msg *m;
	struct haul_req *watch;
	struct pairing p;
	pairing_start(&p, &o, &o, send_one, path);
	must_be(haul_take(p.haul, NULL, PATIENCE_MS, &m), 0);
	read_and_check(m, len, 3, 1000, 2);
	must_be(haul_peer_watch(p.peer, &watch), 0);
	child_signal(&p.child, SIGKILL);
	must_be(haul_req_wait(watch, PATIENCE_MS), 0);
	must_be(haul_req_finish(watch, NULL), -ECONNRESET);
	if (is_described(path)) {
		gone(m, -ECONNRESET);
	} else {
		read_and_check(m, len, 3, 1000, 2);
		read_and_check(m, len, 0, len, 8);
	}
	must_be(haul_msg_status(m, &status), 0);
	must(status.peer == p.peer);
	must_be(haul_peer_close(p.peer, 0), 0);
	must_be(haul_msg_status(m, &status), 0);
	must(status.peer == NULL);
	must_be(status.tag, TAG_DATA);
	must_be(status.len, len);
	must_be(haul_msg_done(m), 0);
	child_expect_killed(&p.child, SIGKILL);
	must_be(haul_close(p.haul, PATIENCE_MS), 0);
}

static void offer_two(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, LONG_LEN);
	unsigned char *out[] = { filled(len, 1), filled(len, 2) };
	struct haul_req *r;
	for (int i = 0; i < 2; i++)
		must_be(haul_isend(p, TAG_DATA, &(struct iovec){ out[i], len }, 1, 0, &r), 0);
	await_token(h, p);
}

/* It came before its sender went, and is back in its place. One that was only described is gone. */
EveryPath(take, let_go_of_after_its_senders_death_can_be_received_if_it_is_here)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *in = room_for(len);
	struct haul_req *take, *watch;
	struct pairing p;
	pairing_start(&p, &o, &o, offer_two, path);
	struct haul_match from = { .from = p.peer, .tag = TAG_DATA };
	must_be(haul_itake(p.haul, &from, &take), 0);
	must_be(haul_req_wait(take, PATIENCE_MS), 0);
	must_be(haul_peer_watch(p.peer, &watch), 0);
	for (struct haul_stats stats = { 0 }; stats.unexpected < 1;) { /* the second has come as well */
		must(haul_progress(p.haul) >= 0);
		must_be(haul_stats(p.haul, &stats, sizeof(stats)), 0);
	}
	child_signal(&p.child, SIGKILL);
	must_be(haul_req_wait(watch, PATIENCE_MS), 0);
	must_be(haul_req_finish(watch, NULL), -ECONNRESET);
	haul_req_free(take);
	for (uint64_t seed = 1; seed <= 2 && !is_described(path); seed++) {
		must_be(haul_recv(p.haul, &from, in, len, PATIENCE_MS, NULL), len);
		must_hold(in, len, seed, 0);
	}
	must_be(haul_recv(p.haul, &from, in, len, PATIENCE_MS, NULL), -ECONNRESET);
	child_expect_killed(&p.child, SIGKILL);
	must_be(haul_close(p.haul, PATIENCE_MS), 0);
	free(in);
}

static void send_until_refused(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, LONG_LEN);
	unsigned char *out = filled(len, 1);
	(void)h;
	must_be(haul_sendv(p, TAG_DATA, &(struct iovec){ out, len }, 1, HAUL_SYNC, PATIENCE_MS), -EPIPE);
	free(out);
}

EveryPath(take, its_peer_is_closed)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	struct haul_status status;
	struct haul_msg *m;
	struct pairing p;
	pairing_start(&p, &o, &o, send_until_refused, path);
	must_be(haul_take(p.haul, NULL, PATIENCE_MS, &m), 0);
	must_be(haul_peer_close(p.peer, PATIENCE_MS), 0);
	must_be(haul_msg_status(m, &status), 0);
	must(status.peer == NULL);
	must_be(status.len, len);
	if (is_described(path)) {
		must(status.error < 0);
		gone(m, status.error);
	} else {
		read_and_check(m, len, 0, len, 8);
	}
	must_be(haul_msg_done(m), 0);
	pairing_end(&p);
}

EveryPath(take, its_context_is_closed)
{
	struct haul_options o = path_options(path);
	struct haul_msg *m;
	struct pairing p;
	pairing_start(&p, &o, &o, send_until_refused, path);
	must_be(haul_take(p.haul, NULL, PATIENCE_MS, &m), 0);
	pairing_end(&p); /* frees it with the rest */
}

Test(take, a_read_from_a_stopped_sender_of_a_stream_times_out_and_can_be_done_later)
{
	struct haul_options o = { .path = HAUL_PATH_STREAM, .eager_max = -1 };
	struct path stream = { .longest = SIZE_MAX };
	unsigned char *in = room_for(LONG_LEN);
	struct iovec to = { in, LONG_LEN };
	struct haul_status status;
	struct haul_msg *m;
	struct pairing p;
	pairing_start(&p, &o, &o, send_one, &stream);
	must_be(haul_take(p.haul, NULL, PATIENCE_MS, &m), 0);
	for (int i = 0; i < 3; i++) {
		duo_stop(&p.child);
		must_be(haul_msg_read(m, 0, &to, 1, SOON_MS), -ETIMEDOUT);
		must_be(haul_msg_status(m, &status), 0);
		must_be(status.error, 0);
		memset(in, SCRIBBLE, LONG_LEN);
		duo_continue(&p.child);
		read_and_check(m, LONG_LEN, 1000, 50000, 3);
		for (size_t j = 0; j < LONG_LEN; j++)
			must(in[j] == SCRIBBLE); /* nothing comes late */
	}
	read_and_check(m, LONG_LEN, 0, LONG_LEN, 8);
	must_be(haul_msg_done(m), 0);
	send_token(p.peer);
	pairing_end(&p);
	free(in);
}

/* How much a has copied, when that no longer changes. */
static uint64_t written_in_the_end(struct twins *t)
{
	struct haul_stats stats;
	uint64_t written = 0;
	for (int same = 0; same < 100; same++) {
		must(haul_progress(t->b) >= 0);
		must(haul_progress(t->a) >= 0);
		must_be(haul_stats(t->a, &stats, sizeof(stats)), 0);
		if (stats.copied_bytes != written)
			same = 0;
		written = stats.copied_bytes;
	}
	return written;
}

/* The sender of a stream would write all the rest of it for nobody. */
Test(take, a_read_given_up_stops_the_sender_of_a_stream)
{
	struct haul_options o = { .path = HAUL_PATH_STREAM, .eager_max = -1 };
	unsigned char *out = filled(BIG, 1), *in = room_for(BIG);
	struct iovec from = { out, BIG }, to = { in, BIG }, few = { in, 5000 };
	struct haul_stats stats;
	struct haul_req *send, *read;
	struct haul_msg *m;
	struct twins t;
	twins_start(&t, &o);
	must_be(haul_isend(t.to_b, 1, &from, 1, HAUL_SYNC, &send), 0);
	twins_settle(&t);
	must_be(haul_take(t.b, NULL, 0, &m), 0);
	must_be(haul_msg_iread(m, 0, &to, 1, &read), 0);
	do {
		must(haul_progress(t.b) >= 0);
		must(haul_progress(t.a) >= 0);
		must_be(haul_stats(t.b, &stats, sizeof(stats)), 0);
	} while (stats.copied_bytes == 0); /* it is in the middle of it */
	must_be(haul_req_cancel(read), 0);
	must_be(twins_finish(&t, read, NULL), -ECANCELED);
	memset(in, SCRIBBLE, BIG);
	must(written_in_the_end(&t) < BIG);
	for (size_t i = 0; i < BIG; i++)
		must(in[i] == SCRIBBLE);

	/* And goes on when it is asked again. */
	must_be(haul_msg_iread(m, 77, &few, 1, &read), 0);
	must_be(twins_finish(&t, read, NULL), 0);
	must_hold(in, 5000, 1, 77);
	must_be(haul_msg_done(m), 0);
	must_be(twins_finish(&t, send, NULL), 0);
	twins_end(&t);
	free(out);
	free(in);
}
