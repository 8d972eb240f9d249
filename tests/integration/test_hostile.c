/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a hostile peer says once it is a peer: frames that are none, ids, parts and credit that can't
 * be. Each costs the context that one peer, by -EPROTO, and nobody else anything
 * (lib/handmade.h). test_handshake.c has what comes before, and the plainest garbage; test_hostile_answers.c what
 * is said of our messages, test_hostile_memory.c what descriptors can point at, test_hostile_flood.c what comes in
 * great numbers, test_hostile_crowd.c who never becomes a peer; test_push_answers.c and test_push_grants.c have push.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include <haul/haul.h>

#include "lib/handmade.h"
#include "lib/must.h"
#include "lib/talk.h"

TestSuite(hostile, .timeout = 60);

enum { LATE_MS = 20000, LEN = 60000 };

#define ID(slot) WIRE_ID(slot, 1)

static struct handmade m;
static const struct raw_frame *f;
static char buf[LEN];

/* For what goes over the socket only. */
static const struct haul_options stream = { .path = HAUL_PATH_STREAM };

/* So far all was well. */
static void must_be_alive(void)
{
	struct haul_peer_info info;
	handmade_settle(&m);
	must_be(haul_peer_info(m.peer, &info, sizeof(info)), 0);
	must_be(info.alive, 1);
}

/* ---- form ---- */

/* The fixed part of each type that may come after the handshake, and the unit and number of what may follow. */
static const struct {
	uint8_t type;
	uint32_t fixed, unit, most;
} shapes[] = {
	{ WIRE_VERDICT, WIRE_VERDICT_SIZE, 1, WIRE_WORDS_LONGEST },
	{ WIRE_EAGER, WIRE_EAGER_SIZE, 1, WIRE_EAGER_LONGEST },
	{ WIRE_DESC, WIRE_DESC_SIZE, WIRE_RANGE_SIZE, WIRE_DESC_RANGES },
	{ WIRE_SEND, WIRE_SEND_SIZE, 0, 0 },
	{ WIRE_DATA, WIRE_DATA_SIZE, 1, WIRE_DATA_LONGEST },
	{ WIRE_DONE, WIRE_DONE_SIZE, WIRE_ID_SIZE, WIRE_DONE_IDS },
	{ WIRE_REFUSED, WIRE_REFUSED_SIZE, 0, 0 },
	{ WIRE_CANCEL, WIRE_CANCEL_SIZE, 0, 0 },
	{ WIRE_CANCELED, WIRE_CANCELED_SIZE, 0, 0 },
	{ WIRE_ABORT, WIRE_ABORT_SIZE, 0, 0 },
	{ WIRE_FLUSH, WIRE_FLUSH_SIZE, 0, 0 },
	{ WIRE_FLUSHED, WIRE_FLUSHED_SIZE, 0, 0 },
	{ WIRE_CREDIT, 0, 0, 0 },
	{ WIRE_BYE, 0, 0, 0 },
};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static void say_size(uint8_t type, uint64_t size)
{
	uint8_t head[WIRE_HEADER_SIZE];
	raw_frame_bytes(head, type, 0, NULL, 0);
	raw_put(head + 4, size, 4);
	must_note_case("type %d, size %d", type, (int)size);
	handmade_start(&m, NULL);
	raw_send(&m.raw, head, sizeof(head));
	handmade_lost(&m, -EPROTO);
}

Test(hostile, a_size_that_a_type_does_not_have_drops_that_peer_alone)
{
	for (int i = 0; i < SHAPES; i++) {
		uint32_t fixed = shapes[i].fixed, unit = shapes[i].unit, most = shapes[i].most;
		if (fixed > 0)
			say_size(shapes[i].type, fixed - 1);
		if (unit != 1)
			say_size(shapes[i].type, fixed + 1);
		say_size(shapes[i].type, fixed + unit * most + (unit > 0 ? unit : 8));
		say_size(shapes[i].type, 0x80000000);
		say_size(shapes[i].type, UINT32_MAX);
		say_size(shapes[i].type, UINT32_MAX - WIRE_HEADER_SIZE + 1); /* with its header, 2^32 */
	}
}

/* Where the bodies have them. Everything else is 0. */
Test(hostile, reserved_bytes_that_are_used_drop_that_peer_alone)
{
	static const struct {
		uint8_t type;
		size_t size, at;
	} reserved[] = { { WIRE_EAGER, WIRE_EAGER_SIZE, 20 }, { WIRE_DESC, WIRE_DESC_SIZE, 56 },
		{ WIRE_DESC, WIRE_DESC_SIZE, 63 }, { WIRE_SEND, WIRE_SEND_SIZE, 28 },
		{ WIRE_DATA, WIRE_DATA_SIZE, 20 }, { WIRE_REFUSED, WIRE_REFUSED_SIZE, 20 },
		{ WIRE_ABORT, WIRE_ABORT_SIZE, 15 } };
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		uint8_t body[WIRE_DESC_SIZE] = { 0 };
		must_note_case("type %d, byte %d", reserved[i].type, (int)reserved[i].at);
		if (reserved[i].type == WIRE_DESC)
			raw_put(body + 8, ID(0), 8);
		body[reserved[i].at] = 1;
		handmade_start(&m, NULL);
		raw_send_frame(&m.raw, reserved[i].type, 0, body, reserved[i].size);
		handmade_lost(&m, -EPROTO);
	}
}

Test(hostile, types_that_no_version_has_drop_that_peer_alone)
{
	static const uint8_t none[] = { 0, 6, 15, 31, 37, 63, 64, 127, 128, 200, 255 };
	for (size_t i = 0; i < sizeof(none); i++)
		say_size(none[i], 0);
}

Test(hostile, the_handshake_again_drops_that_peer_alone)
{
	uint8_t hello[WIRE_HELLO_SIZE];
	raw_hello_bytes(hello, WIRE_VERSION_MIN, WIRE_VERSION_MAX);
	handmade_start(&m, NULL);
	raw_send(&m.raw, hello, sizeof(hello));
	handmade_lost(&m, -EPROTO);

	handmade_start(&m, NULL);
	handmade_say(&m, WIRE_GRANTED, 0, "8", (uintptr_t)&m.raw.answer);
	handmade_lost(&m, -EPROTO);

	handmade_start(&m, NULL);
	handmade_say(&m, WIRE_REJECT, 0, "44", EACCES, 0);
	handmade_lost(&m, -EPROTO);
}

/* ---- its own messages ---- */

/* A described message of len bytes in one range. */
static void describe(uint64_t id, uint64_t len)
{
	static const uint64_t cell = 1;
	handmade_say(&m, WIRE_DESC, 0, "88448888888", 5, id, 0, 1, len, (uintptr_t)&cell, 1, 0, 0, 0, len);
}

static void eager(uint64_t id)
{
	handmade_say(&m, WIRE_EAGER, id != 0, "8844", 5, id, 0, 0);
}

static void flush(uint64_t id)
{
	handmade_say(&m, WIRE_FLUSH, 0, "8", id);
}

static void with_id(int kind, uint64_t id)
{
	if (kind == 0)
		eager(id);
	else if (kind == 1)
		handmade_say(&m, WIRE_DESC, 0, "884488888", 5, id, 0, 0, 0, 0, 0, 0, 0);
	else
		flush(id);
}

Test(hostile, an_id_that_can_not_be_new_drops_that_peer_alone)
{
	const uint64_t wrong[] = { WIRE_ID(0, 0), WIRE_ID(3, 0), WIRE_ID(65536, 1), WIRE_ID(UINT32_MAX, 1),
		UINT64_MAX, WIRE_ID(0, 0x80000000) };
	for (int kind = 0; kind < 3; kind++) {
		for (size_t i = kind == 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			must_note_case("kind %d, id %d", kind, (int)i);
			handmade_start(&m, NULL);
			with_id(kind, wrong[i]);
			handmade_lost(&m, -EPROTO);
		}
	}
}

Test(hostile, an_id_in_use_drops_that_peer_alone)
{
	for (int first = 0; first < 2; first++) {
		for (int second = 0; second < 3; second++) {
			must_note_case("kind %d, then %d", first, second);
			handmade_start(&m, NULL);
			with_id(first, WIRE_ID(7, 3));
			must_be_alive();
			with_id(second, WIRE_ID(7, second + 2)); /* before it, again, after it */
			handmade_lost(&m, -EPROTO);
		}
	}
}

Test(hostile, an_id_that_is_over_drops_that_peer_alone)
{
	handmade_start(&m, NULL);
	flush(WIRE_ID(7, 3));
	handmade_await(&m, WIRE_FLUSHED);
	flush(WIRE_ID(7, 3));
	handmade_lost(&m, -EPROTO);
}

Test(hostile, an_id_and_no_wish_for_an_answer_drops_that_peer_alone)
{
	handmade_start(&m, NULL);
	handmade_say(&m, WIRE_EAGER, 0, "8844", 5, ID(0), 0, 0);
	handmade_lost(&m, -EPROTO);

	handmade_start(&m, NULL);
	handmade_say(&m, WIRE_EAGER, WIRE_FLAG_SYNC, "8844", 5, 0, 0, 0);
	handmade_lost(&m, -EPROTO);
}

Test(hostile, giving_up_what_was_never_sent_drops_that_peer_alone)
{
	const uint64_t wrong[] = { 0, WIRE_ID(0, 4), WIRE_ID(1, 1), WIRE_ID(65536, 1), UINT64_MAX };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		for (int abort = 0; abort < 2; abort++) {
			handmade_start(&m, NULL);
			eager(WIRE_ID(0, 3));
			must_be_alive();
			if (abort)
				handmade_say(&m, WIRE_ABORT, 0, "844", wrong[i], EFAULT, 0);
			else
				handmade_say(&m, WIRE_CANCEL, 0, "8", wrong[i]);
			handmade_lost(&m, -EPROTO);
		}
	}
}

/* ---- parts ---- */

/* A message being streamed to a receive of ours: LEN bytes, epoch 1. */
static struct haul_req *start_stream(void)
{
	struct iovec iov = { .iov_base = buf, .iov_len = LEN };
	struct haul_match match = { .tag = 5 };
	struct haul_req *r;
	handmade_start(&m, &stream);
	must_be(haul_irecv(m.haul, &match, &iov, 1, &r), 0);
	describe(ID(0), LEN);
	f = handmade_await(&m, WIRE_SEND);
	must_be(raw_get(f->body, 8), ID(0));
	must_be(raw_get(f->body + 24, 4), 1);
	return r;
}

static void part(uint64_t id, uint64_t offset, uint32_t epoch, size_t len)
{
	static uint8_t body[WIRE_DATA_SIZE + LEN + 1];
	memset(body, 0, WIRE_DATA_SIZE);
	raw_put(body, id, 8);
	raw_put(body + 8, offset, 8);
	raw_put(body + 16, epoch, 4);
	raw_send_frame(&m.raw, WIRE_DATA, 0, body, WIRE_DATA_SIZE + len);
}

Test(hostile, parts_out_of_their_place_drop_that_peer_alone)
{
	static const struct {
		uint64_t id, offset;
		uint32_t epoch;
		size_t len;
	} wrong[] = { { ID(0), 1, 1, 10 }, { ID(0), UINT64_MAX, 1, 10 }, { ID(0), UINT64_MAX - 5, 1, 10 },
		{ ID(0), LEN, 1, 0 }, { ID(0), 0, 1, LEN + 1 }, { ID(0), 0, 1, 0 }, { ID(0), 0, 2, 10 },
		{ ID(0), 0, 0x7fffffff, 10 }, { ID(1), 0, 1, 10 }, { WIRE_ID(0, 2), 0, 1, 10 },
		{ 0, 0, 1, 10 }, { UINT64_MAX, 0, 1, 10 } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		must_note_case("part %d", (int)i);
		struct haul_req *r = start_stream();
		part(wrong[i].id, wrong[i].offset, wrong[i].epoch, wrong[i].len);
		must_be(end_of(r, NULL), -EPROTO);
		handmade_lost(&m, -EPROTO);
	}
}

Test(hostile, parts_that_nobody_asked_for_drop_that_peer_alone)
{
	handmade_start(&m, &stream);
	describe(ID(0), LEN);
	must_be_alive();
	part(ID(0), 0, 1, 10);
	handmade_lost(&m, -EPROTO);

	handmade_start(&m, &stream); /* nor of a message that has none */
	eager(ID(0));
	must_be_alive();
	part(ID(0), 0, 1, 10);
	handmade_lost(&m, -EPROTO);
}

Test(hostile, parts_of_an_earlier_epoch_go_nowhere)
{
	struct haul_req *r = start_stream();
	memset(buf, CANARY, sizeof(buf));
	part(ID(0), 12345, 0, LEN + 1);
	part(ID(0), 0, 0x80000002, 10);
	handmade_settle(&m);
	must_be_untouched(buf, LEN);
	must_be(haul_req_test(r), -EINPROGRESS);
	part(ID(0), 0, 1, LEN);
	part(ID(0), LEN, 1, 0);
	must_be(end_of(r, NULL), 0);
	handmade_kept(&m);
}

/* ---- credit ---- */

static void grant(uint32_t bytes, uint32_t descs)
{
	uint8_t head[WIRE_HEADER_SIZE];
	raw_frame_bytes(head, WIRE_CREDIT, 0, NULL, 0);
	raw_put(head + 8, bytes, 4);
	raw_put(head + 12, descs, 4);
	raw_send(&m.raw, head, sizeof(head));
}

Test(hostile, credit_beyond_the_limit_or_going_back_drops_that_peer_alone)
{
	enum { BYTES = RAW_CREDIT_BYTES, DESCS = RAW_CREDIT_DESCS };
	static const uint32_t wrong[][2] = { { WIRE_CREDIT_MOST + 1, DESCS }, { BYTES, WIRE_WINDOW_MOST + 1 },
		{ BYTES - 1, DESCS }, { BYTES, DESCS - 1 }, { 0, DESCS }, { BYTES, 0 }, { UINT32_MAX, DESCS },
		{ BYTES, UINT32_MAX }, { (uint32_t)BYTES + 0x80000000, DESCS },
		{ BYTES, (uint32_t)DESCS + 0x80000000 }, { INT32_MAX, DESCS } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		must_note_case("grant %d", (int)i);
		handmade_start(&m, NULL);
		grant(wrong[i][0], wrong[i][1]);
		handmade_lost(&m, -EPROTO);
	}
	handmade_start(&m, NULL);
	grant(WIRE_CREDIT_MOST, WIRE_WINDOW_MOST);
	grant(WIRE_CREDIT_MOST, WIRE_WINDOW_MOST);
	handmade_settle(&m);
	must_be(haul_send(m.peer, 1, "x", 1, LATE_MS), 0);
	handmade_await(&m, WIRE_EAGER);
	handmade_kept(&m);
}

/* What came within the credit is still there. */
Test(hostile, overdrawn_credit_drops_that_peer_alone)
{
	const struct haul_options small = { .budget = 65536, .window = 8 };
	const struct haul_match five = { .tag = 5 };
	static const size_t within[] = { 65536 / WIRE_EAGER_OVERHEAD, 8, 8 };
	for (int kind = 0; kind < 3; kind++) {
		must_note_case("kind %d", kind);
		handmade_start(&m, &small);
		eager(0); /* nothing before it is finished, so no flush is answered */
		for (size_t i = 1; i < within[kind] + (kind != 0); i++)
			kind == 0 ? eager(0) : with_id(kind, ID(i));
		must_be_alive();
		kind == 0 ? eager(0) : with_id(kind, ID(100));
		handmade_settle(&m);
		must_be(haul_recv(m.haul, &five, NULL, 0, LATE_MS, NULL), 0);
		handmade_lost(&m, -EPROTO);
	}
}

/* Messages that go at once or not at all, until what is left is not enough for a short one. */
Test(hostile, credit_that_comes_byte_by_byte_is_enough_in_the_end)
{
	enum { LARGE = 16384, SMALL = 8, COST = SMALL + WIRE_EAGER_OVERHEAD };
	uint32_t bytes = RAW_CREDIT_BYTES, left = bytes;
	handmade_start(&m, NULL);
	for (; left >= LARGE + WIRE_EAGER_OVERHEAD; left -= LARGE + WIRE_EAGER_OVERHEAD) {
		must_be(haul_send(m.peer, 1, buf, LARGE, 0), 0);
		handmade_await(&m, WIRE_EAGER);
	}
	for (; left >= COST; left -= COST) {
		must_be(haul_send(m.peer, 1, buf, SMALL, 0), 0);
		handmade_await(&m, WIRE_EAGER);
	}
	for (; left < COST; left++) {
		must_be(haul_send(m.peer, 1, buf, SMALL, 0), -EAGAIN);
		grant(++bytes, RAW_CREDIT_DESCS);
		handmade_settle(&m);
	}
	must_be(haul_send(m.peer, 1, buf, SMALL, 0), 0);
	handmade_await(&m, WIRE_EAGER);
	must_be(haul_send(m.peer, 1, buf, SMALL, 0), -EAGAIN);
	handmade_kept(&m);
}

/* ---- goodbye ---- */

Test(hostile, messages_after_goodbye_drop_that_peer_alone)
{
	for (int kind = 0; kind < 3; kind++) {
		struct iovec iov = { .iov_base = buf, .iov_len = LEN };
		struct haul_req *r;
		handmade_start(&m, NULL);
		/* Unanswered, so that the goodbye is not yet the end. */
		must_be(haul_isend(m.peer, 5, &iov, 1, HAUL_SYNC, &r), 0);
		raw_send_frame(&m.raw, WIRE_BYE, 0, NULL, 0);
		with_id(kind, ID(0));
		must_be(end_of(r, NULL), -EPIPE);
		handmade_lost(&m, -EPROTO);
	}
}
