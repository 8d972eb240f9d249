/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a hostile peer sends in great numbers, in tiny pieces, or with descriptors attached, and what it does not read:
 * memory and descriptors stay where they were, or within the bounds of docs/architecture.md, and others are served.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <haul/haul.h>

#include "lib/fds.h"
#include "lib/handmade.h"
#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(hostile_flood, .timeout = 120);

enum { LATE_MS = 20000, STORM = 100000, LEN = 60000, TAG = 5, SEED = 3, KIB = 1024 };

#define ID(slot) WIRE_ID(slot, 1)

static struct handmade m;
static const struct raw_frame *f;
static char buf[LEN];
static const struct haul_options stream = { .path = HAUL_PATH_STREAM };
static const struct haul_match tag = { .tag = TAG };

static struct haul_req *send_one(size_t len, unsigned flags)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct haul_req *r;
	must_be(haul_isend(m.peer, TAG, &iov, 1, flags, &r), 0);
	haul_progress(m.haul);
	return r;
}

/* A message of len bytes from buf. */
static void describe(uint64_t id, uint64_t len)
{
	static uint64_t cell = 1;
	struct handmade_desc d = { .tag = TAG,
		.id = id,
		.len = len,
		.cell = (uintptr_t)&cell,
		.cookie = 1,
		.count = 1 };
	d.ranges[0] = (struct iovec){ .iov_base = buf, .iov_len = len };
	handmade_describe(&m, &d);
}

/* ---- storms ---- */

/* So many frames of an id alone, in one go. */
static void storm(int type, unsigned flags, uint64_t id)
{
	enum { SIZE = WIRE_HEADER_SIZE + WIRE_CANCEL_SIZE };
	uint8_t *bytes = malloc((size_t)STORM * SIZE), body[WIRE_CANCEL_SIZE];
	must(bytes != NULL);
	raw_put(body, id, sizeof(body));
	for (size_t i = 0; i < STORM; i++)
		raw_frame_bytes(bytes + i * SIZE, type, flags, body, sizeof(body));
	must(raw_send(&m.raw, bytes, (size_t)STORM * SIZE));
	free(bytes);
	handmade_settle(&m);
}

Test(hostile_flood, a_storm_of_cancels_costs_nothing)
{
	struct haul_msg *msg;
	handmade_start(&m, NULL);
	describe(ID(0), LEN);
	must_be(haul_take(m.haul, &tag, LATE_MS, &msg), 0);
	storm(WIRE_CANCEL, WIRE_FLAG_IDLE, ID(0)); /* it is not idle */
	must_be(haul_msg_status(msg, &(struct haul_status){ 0 }), 0);
	storm(WIRE_CANCEL, 0, ID(0)); /* and then it is over */
	handmade_await(&m, WIRE_CANCELED);
	must_be(haul_msg_done(msg), 0);
	storm(WIRE_CANCEL, 0, ID(0));
	must(handmade_grown(&m) < 64 * KIB);
	handmade_say(&m, WIRE_CANCEL, 0, "8", ID(1)); /* one that was never sent */
	handmade_lost(&m, -EPROTO);
}

Test(hostile_flood, a_storm_of_asks_that_nobody_reads_the_answers_of_costs_what_a_socket_holds)
{
	enum { SIZE = WIRE_HEADER_SIZE + WIRE_SEND_SIZE };
	uint8_t *bytes = calloc(STORM, SIZE), body[WIRE_SEND_SIZE] = { 0 };
	must(bytes != NULL);
	handmade_start(&m, NULL);
	struct haul_req *r = send_one(LEN, HAUL_SYNC);
	raw_put(body, ID(0), 8);
	for (size_t i = 0; i < STORM; i++) {
		raw_put(body + 16, LEN, 8);
		raw_put(body + 24, i + 1, 4);
		raw_frame_bytes(bytes + i * SIZE, WIRE_SEND, 0, body, sizeof(body));
	}
	must(raw_send(&m.raw, bytes, (size_t)STORM * SIZE));
	handmade_settle(&m);
	must(handmade_grown(&m) < 512 * KIB);
	must_be(haul_req_test(r), -EINPROGRESS);
	handmade_good_peer_is_well(&m);
	do { /* what was asked last comes in the end, whole */
		f = handmade_await(&m, WIRE_DATA);
	} while (raw_get(f->body + 16, 4) != STORM || f->size > WIRE_DATA_SIZE);
	must_be(raw_get(f->body + 8, 8), LEN);
	handmade_say(&m, WIRE_DONE, 0, "8", ID(0));
	must_be(end_of(r, NULL), 0);
	handmade_kept(&m);
	free(bytes);
}

Test(hostile_flood, flushes_without_end_are_answered_and_cost_nothing)
{
	enum { AT_ONCE = 100 };
	handmade_start(&m, NULL);
	for (uint32_t use = 1; use <= STORM / AT_ONCE; use++) {
		for (uint32_t slot = 0; slot < AT_ONCE; slot++)
			handmade_say(&m, WIRE_FLUSH, 0, "8", WIRE_ID(slot, use));
		for (uint32_t slot = 0; slot < AT_ONCE; slot++) {
			f = handmade_await(&m, WIRE_FLUSHED);
			must_be(raw_get(f->body, 8), WIRE_ID(slot, use));
		}
	}
	must(handmade_grown(&m) < 192 * KIB);
	handmade_kept(&m);
}

Test(hostile_flood, the_highest_id_costs_a_mebibyte_at_most)
{
	handmade_start(&m, NULL);
	for (uint32_t i = 0; i < 100; i++) {
		handmade_say(&m, WIRE_FLUSH, 0, "8", WIRE_ID(WIRE_WINDOW_MOST - 1 - i, 0x7fffffff));
		handmade_await(&m, WIRE_FLUSHED);
	}
	must(handmade_grown(&m) < (1 << 20) + 64 * KIB);
	handmade_kept(&m);
}

Test(hostile_flood, half_a_frame_costs_its_length_at_most)
{
	uint8_t bytes[WIRE_HEADER_SIZE + 1];
	handmade_start(&m, NULL);
	raw_frame_bytes(bytes, WIRE_EAGER, 0, "", 1);
	raw_put(bytes + 4, WIRE_EAGER_SIZE + WIRE_EAGER_LONGEST, 4);
	must(raw_send(&m.raw, bytes, sizeof(bytes)));
	handmade_settle(&m);
	must(handmade_grown(&m) < 68 * KIB);
	handmade_kept(&m);
}

/* ---- a peer that does not read ---- */

/* Requests are the program's; of their bytes the library keeps what docs/architecture.md says, and no more. */
Test(hostile_flood, what_a_peer_does_not_read_is_not_gathered_without_bound)
{
	enum { SENDS = 400, REQUEST = 1 * KIB };
	static struct haul_req *sends[SENDS];
	handmade_start(&m, NULL);
	for (int i = 0; i < SENDS; i++)
		sends[i] = send_one(i % 2 == 0 ? 16384 : 1000, i % 3 == 0 ? HAUL_SYNC : 0);
	handmade_settle(&m);
	must(handmade_grown(&m) < 200 * KIB + SENDS * REQUEST);
	handmade_good_peer_is_well(&m);
	for (int i = 0; i < SENDS; i++)
		haul_req_deadline(sends[i], 0);
	for (int i = 0; i < SENDS; i++) {
		int rc = end_of(sends[i], NULL);
		must(rc == 0 || rc == -ETIMEDOUT);
	}
	handmade_kept(&m);
}

/* ---- a byte at a time ---- */

static void described_by_bytes(const struct haul_options *o)
{
	static unsigned char into[LEN];
	static uint8_t body[WIRE_DATA_SIZE + LEN];
	struct iovec iov = { .iov_base = into, .iov_len = LEN };
	struct haul_req *r;
	pattern_fill(buf, LEN, SEED, 0);
	handmade_start(&m, o);
	m.raw.drip = true;
	must_be(haul_irecv(m.haul, &tag, &iov, 1, &r), 0);
	describe(ID(0), LEN);
	if (o != NULL) {
		f = handmade_await(&m, WIRE_SEND);
		memcpy(body, f->body, 16);
		raw_put(body + 16, raw_get(f->body + 24, 4), 8);
		memcpy(body + WIRE_DATA_SIZE, buf, LEN);
		must(raw_send_frame(&m.raw, WIRE_DATA, 0, body, sizeof(body)));
		raw_put(body + 8, LEN, 8);
		must(raw_send_frame(&m.raw, WIRE_DATA, 0, body, WIRE_DATA_SIZE));
	}
	must_be(end_of(r, NULL), 0);
	must_hold(into, LEN, SEED, 0);
	handmade_await(&m, WIRE_DONE);
	handmade_kept(&m);
}

Test(hostile_flood, messages_described_byte_by_byte_arrive)
{
	described_by_bytes(NULL);
	described_by_bytes(&stream);
}

Test(hostile_flood, frames_said_byte_by_byte_are_understood)
{
	char got[8];
	handmade_start(&m, NULL);
	m.raw.drip = true;
	handmade_say(&m, WIRE_EAGER, WIRE_FLAG_SYNC, "88448", TAG, ID(0), 0, 0, 0x6465656e);
	must_be(haul_recv(m.haul, &tag, got, sizeof(got), LATE_MS, NULL), 8);
	must(memcmp(got, "need\0\0\0\0", 8) == 0);
	f = handmade_await(&m, WIRE_DONE);
	must_be(raw_get(f->body, 8), ID(0));
	handmade_say(&m, WIRE_FLUSH, 0, "8", ID(1));
	handmade_await(&m, WIRE_FLUSHED);
	describe(ID(2), 8);
	handmade_say(&m, WIRE_CANCEL, WIRE_FLAG_IDLE, "8", ID(2));
	handmade_await(&m, WIRE_CANCELED);
	describe(ID(3), 8);
	handmade_say(&m, WIRE_ABORT, 0, "844", ID(3), EFAULT, 0);
	f = handmade_await(&m, WIRE_CANCELED);
	must_be(raw_get(f->body, 8), ID(3));
	must(raw_send_frame(&m.raw, WIRE_CREDIT, 0, NULL, 0));
	handmade_kept(&m);
}

Test(hostile_flood, answers_given_byte_by_byte_are_understood)
{
	handmade_start(&m, NULL);
	m.raw.drip = true;
	struct haul_req *asked = send_one(LEN, HAUL_SYNC), *refused = send_one(LEN, HAUL_SYNC),
	                *canceled = send_one(LEN, HAUL_SYNC);
	handmade_say(&m, WIRE_SEND, 0, "88844", ID(0), LEN - 10, 10, 1, 0);
	f = handmade_await(&m, WIRE_DATA);
	must_be(f->size, WIRE_DATA_SIZE + 10);
	handmade_say(&m, WIRE_DONE, 0, "8", ID(0));
	must_be(end_of(asked, NULL), 0);
	handmade_say(&m, WIRE_REFUSED, 0, "8844", ID(1), 0, EACCES, 0);
	must_be(end_of(refused, NULL), -EACCES);
	handmade_say(&m, WIRE_CANCELED, 0, "8", ID(2));
	must_be(end_of(canceled, NULL), -ECANCELED);
	must_be(haul_peer_flush(m.peer, 1), -ETIMEDOUT);
	f = handmade_await(&m, WIRE_FLUSH);
	handmade_say(&m, WIRE_FLUSHED, 0, "8", raw_get(f->body, 8));
	handmade_good_peer_is_well(&m);
	must(raw_send_frame(&m.raw, WIRE_BYE, 0, NULL, 0));
	handmade_lost(&m, -EPIPE);
}

/* ---- descriptors ---- */

/* Attached to frames of all kinds, read in all ways: whole, in the middle, as payload, as payload for nobody. */
Test(hostile_flood, descriptors_attached_by_the_thousand_are_closed)
{
	enum { TIMES = 200, EACH = 16 };
	static uint8_t bytes[WIRE_HEADER_SIZE + WIRE_DATA_SIZE + LEN], body[WIRE_DATA_SIZE + LEN];
	static unsigned char into[LEN];
	struct iovec iov = { .iov_base = into, .iov_len = LEN };
	struct haul_req *r;
	int ends[2];
	char byte;
	must_be(pipe2(ends, O_CLOEXEC), 0);
	handmade_start(&m, &stream);
	int before = fds_count();
	must_be(haul_irecv(m.haul, &tag, &iov, 1, &r), 0);
	describe(ID(0), LEN);
	handmade_await(&m, WIRE_SEND);
	for (int i = 0; i < TIMES; i++) {
		size_t len = raw_frame_bytes(bytes, WIRE_CREDIT, 0, NULL, 0);
		must(raw_send_fds(&m.raw, bytes, len, ends[1], EACH));
		must(raw_send_fds(&m.raw, bytes, len / 2, ends[1], EACH));
		haul_progress(m.haul);
		must(raw_send_fds(&m.raw, bytes + len / 2, len - len / 2, ends[1], EACH));
		haul_progress(m.haul);
	}
	for (int late = 1; late >= 0; late--) { /* for nobody, then for the receive */
		raw_put(body, ID(0), 8);
		raw_put(body + 16, (uint64_t)(1 - late), 8);
		size_t len = raw_frame_bytes(bytes, WIRE_DATA, 0, body, sizeof(body));
		for (size_t at = 0; at < len; at += 1000) {
			must(raw_send_fds(&m.raw, bytes + at, len - at < 1000 ? len - at : 1000, ends[1],
			    EACH));
			haul_progress(m.haul);
		}
	}
	raw_put(body + 8, LEN, 8);
	must(raw_send_frame(&m.raw, WIRE_DATA, 0, body, WIRE_DATA_SIZE));
	must_be(end_of(r, NULL), 0);
	must_be(fds_count(), before);
	close(ends[1]);
	must_be(read(ends[0], &byte, 1), 0); /* nor does the kernel hold one */
	close(ends[0]);
	m.fds -= 2;
	handmade_kept(&m);
}
