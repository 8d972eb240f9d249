/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames to bytes and back, held against bytes written out by hand. Whatever is decoded here lies at the
 * very end of a block of its own, so that the address sanitizer sees a byte read too many. HAUL_TEST_SEED
 * repeats a random run.
 */
#include "wire/frame.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/seed.h"
#include "wire/cursor.h"

TestSuite(wire, .timeout = 60);

/* ---- one frame of each type ---- */

/* A header: no field has the value of another. */
#define HEAD(type, flags, size) \
	type, flags, 0, 0, size, 0, 0, 0, 0xc1, 0xc2, 0xc3, 0xc4, 0xd1, 0xd2, 0xd3, 0xd4
#define CREDITS .credit_bytes = 0xc4c3c2c1, .credit_descs = 0xd4d3d2d1

#define ID 0x1817161514131211
#define ID_BYTES 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18
#define ENVELOPE \
	{ \
		.channel = 0x34333231, .tag = 0x2827262524232221, .id = ID \
	}
#define ENVELOPE_BYTES 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, ID_BYTES, 0x31, 0x32, 0x33, 0x34
#define DESCRIBED \
	.len = 0x4847464544434241, .cell = 0x5857565554535251, .cookie = 0x6867666564636261, \
	.list = 0x7877767574737271, .hand = 0x8887868584838281
#define DESCRIBED_BYTES \
	0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, \
	    0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, \
	    0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88

struct sample {
	const char *name;
	struct wire_frame frame;
	size_t len; /* of the bytes */
	uint8_t bytes[256];
};

#define SAMPLE(title, ...) .name = title, .len = sizeof((uint8_t[]){ __VA_ARGS__ }), .bytes = { __VA_ARGS__ }

#define TWO_RANGES \
	0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 1, \
	    0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0

static const uint8_t two_ranges[] = { TWO_RANGES };
static const uint8_t two_ids[] = { ID_BYTES, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88 };

static const struct sample samples[] = {
	{ SAMPLE("GRANTED", HEAD(1, 0, 8), 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18),
	    .frame = { .type = WIRE_GRANTED, CREDITS, .granted.addr = ID } },
	{ SAMPLE("VERDICT, yes", HEAD(2, 0, 8), 0, 0, 0, 0, 0, 0, 0, 0),
	    .frame = { .type = WIRE_VERDICT, CREDITS } },
	{ SAMPLE("VERDICT, no", HEAD(2, 0, 10), 0x91, 0x92, 0x93, 0x94, 0, 0, 0, 0, 'n', 'o'),
	    .frame = { .type = WIRE_VERDICT,
	        CREDITS,
	        .verdict = { .error = 0x94939291, .words = "no", .words_len = 2 } } },
	{ SAMPLE("READY", HEAD(3, 0, 0)), .frame = { .type = WIRE_READY, CREDITS } },
	{ SAMPLE("REJECT", HEAD(4, 0, 8), 0x91, 0x92, 0x93, 0x94, 0, 0, 0, 0),
	    .frame = { .type = WIRE_REJECT, CREDITS, .reject.error = 0x94939291 } },
	{ SAMPLE("EAGER, empty", HEAD(16, 0, 24), ENVELOPE_BYTES, 0, 0, 0, 0),
	    .frame = { .type = WIRE_EAGER, CREDITS, .eager.envelope = ENVELOPE } },
	{ SAMPLE("EAGER", HEAD(16, 1, 29), ENVELOPE_BYTES, 0, 0, 0, 0, 'e', 'a', 'g', 'e', 'r'),
	    .frame = { .type = WIRE_EAGER,
	        .flags = WIRE_FLAG_SYNC,
	        CREDITS,
	        .eager.envelope = ENVELOPE,
	        .payload_len = 5 } },
	{ SAMPLE("DESC, empty", HEAD(17, 0, 64), ENVELOPE_BYTES, 0, 0, 0, 0, DESCRIBED_BYTES),
	    .frame = { .type = WIRE_DESC, CREDITS, .desc = { .envelope = ENVELOPE, DESCRIBED } } },
	{ SAMPLE("DESC", HEAD(17, 3, 96), ENVELOPE_BYTES, 2, 0, 0, 0, DESCRIBED_BYTES, 0xa1, 0xa2, 0xa3, 0xa4,
	      0xa5, 0xa6, 0xa7, 0xa8, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 1, 0, 0, 0, 0, 0, 0, 0,
	      2, 0, 0, 0, 0, 0, 0, 0),
	    .frame = { .type = WIRE_DESC,
	        .flags = WIRE_FLAG_SYNC | WIRE_FLAG_CALL,
	        CREDITS,
	        .desc = { .envelope = ENVELOPE,
	            DESCRIBED,
	            .range_count = 2,
	            .ranges = { { 0xa8a7a6a5a4a3a2a1, 0xb8b7b6b5b4b3b2b1 }, { 1, 2 } } } } },
	{ SAMPLE("DESC, long list", HEAD(17, 0, 64), ENVELOPE_BYTES, 5, 0, 0, 0, DESCRIBED_BYTES),
	    .frame = { .type = WIRE_DESC,
	        CREDITS,
	        .desc = { .envelope = ENVELOPE, DESCRIBED, .range_count = 5 } } },
	{ SAMPLE("SEND", HEAD(18, 0, 32), ID_BYTES, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x31,
	      0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x41, 0x42, 0x43, 0x44, 0, 0, 0, 0),
	    .frame = { .type = WIRE_SEND,
	        CREDITS,
	        .send = { .id = ID,
	            .offset = 0x2827262524232221,
	            .len = 0x3837363534333231,
	            .epoch = 0x44434241 } } },
	{ SAMPLE("DATA", HEAD(19, 0, 28), ID_BYTES, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x41,
	      0x42, 0x43, 0x44, 0, 0, 0, 0, 'd', 'a', 't', 'a'),
	    .frame = { .type = WIRE_DATA,
	        CREDITS,
	        .data = { .id = ID, .offset = 0x2827262524232221, .epoch = 0x44434241 },
	        .payload_len = 4 } },
	{ SAMPLE("DONE, none", HEAD(20, 0, 0)), .frame = { .type = WIRE_DONE, CREDITS } },
	{ SAMPLE("DONE", HEAD(20, 0, 16), ID_BYTES, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88),
	    .frame = { .type = WIRE_DONE, CREDITS, .done = { .ids = two_ids, .count = 2 } } },
	{ SAMPLE("REFUSED", HEAD(21, 0, 24), ID_BYTES, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x91,
	      0x92, 0x93, 0x94, 0, 0, 0, 0),
	    .frame = { .type = WIRE_REFUSED,
	        CREDITS,
	        .refused = { .id = ID, .got = 0x2827262524232221, .error = 0x94939291 } } },
	{ SAMPLE("CANCEL", HEAD(22, 0, 8), ID_BYTES), .frame = { .type = WIRE_CANCEL, CREDITS, .id = ID } },
	{ SAMPLE("CANCELED", HEAD(23, 0, 8), ID_BYTES),
	    .frame = { .type = WIRE_CANCELED, CREDITS, .id = ID } },
	{ SAMPLE("ABORT", HEAD(24, 0, 16), ID_BYTES, 0x91, 0x92, 0x93, 0x94, 0, 0, 0, 0),
	    .frame = { .type = WIRE_ABORT, CREDITS, .abort = { .id = ID, .error = 0x94939291 } } },
	{ SAMPLE("FLUSH", HEAD(25, 0, 8), ID_BYTES), .frame = { .type = WIRE_FLUSH, CREDITS, .id = ID } },
	{ SAMPLE("FLUSHED", HEAD(26, 0, 8), ID_BYTES), .frame = { .type = WIRE_FLUSHED, CREDITS, .id = ID } },
	{ SAMPLE("GRANT", HEAD(27, 0, 72), ID_BYTES, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x51,
	      0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x41,
	      0x42, 0x43, 0x44, 0, 0, 0, 0, TWO_RANGES),
	    .frame = { .type = WIRE_GRANT,
	        CREDITS,
	        .grant = { .id = ID,
	            .offset = 0x2827262524232221,
	            .cell = 0x5857565554535251,
	            .cookie = 0x6867666564636261,
	            .epoch = 0x44434241,
	            .ranges = two_ranges,
	            .range_count = 2 } } },
	{ SAMPLE("PUSHED", HEAD(28, 0, 24), ID_BYTES, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x41,
	      0x42, 0x43, 0x44, 0x91, 0x92, 0x93, 0x94),
	    .frame = { .type = WIRE_PUSHED,
	        CREDITS,
	        .pushed = { .id = ID,
	            .moved = 0x2827262524232221,
	            .epoch = 0x44434241,
	            .error = 0x94939291 } } },
	{ SAMPLE("ASSIST", HEAD(29, 0, 80), ID_BYTES, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x51,
	      0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x71,
	      0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x41, 0x42, 0x43, 0x44, 0x91, 0x92, 0x93, 0x94,
	      TWO_RANGES),
	    .frame = { .type = WIRE_ASSIST,
	        CREDITS,
	        .assist = { .id = ID,
	            .offset = 0x2827262524232221,
	            .cell = 0x5857565554535251,
	            .cookie = 0x6867666564636261,
	            .front = 0x7877767574737271,
	            .epoch = 0x44434241,
	            .cpu = 0x94939291,
	            .ranges = two_ranges,
	            .range_count = 2 } } },
	{ SAMPLE("ASSISTED", HEAD(30, 0, 16), ID_BYTES, 0x41, 0x42, 0x43, 0x44, 0, 0, 0, 0),
	    .frame = { .type = WIRE_ASSISTED, CREDITS, .assisted = { .id = ID, .epoch = 0x44434241 } } },
	{ SAMPLE("FETCH", HEAD(31, 0, 8), ID_BYTES), .frame = { .type = WIRE_FETCH, CREDITS, .id = ID } },
	{ SAMPLE("RIGHTS", HEAD(37, 0, 16), ID_BYTES, 0x41, 0x42, 0x43, 0x44, 0x51, 0x52, 0x53, 0x54),
	    .frame = { .type = WIRE_RIGHTS,
	        CREDITS,
	        .rights = { .id = ID, .count = 0x44434241, .error = 0x54535251 } } },
	{ SAMPLE("CREDIT", HEAD(32, 0, 0)), .frame = { .type = WIRE_CREDIT, CREDITS } },
	{ SAMPLE("BYE", HEAD(33, 0, 0)), .frame = { .type = WIRE_BYE, CREDITS } },
	{ SAMPLE("OUTBOX", HEAD(5, 0, 40), ID_BYTES, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x51,
	      0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x41,
	      0x42, 0x43, 0x44, 0, 0, 0, 0),
	    .frame = { .type = WIRE_OUTBOX,
	        CREDITS,
	        .outbox = { .ring = ID,
	            .state = 0x2827262524232221,
	            .head = 0x5857565554535251,
	            .cookie = 0x6867666564636261,
	            .ring_size = 0x44434241 } } },
	{ SAMPLE("BELL", HEAD(34, 0, 11), ID_BYTES, 'b', 'i', 'm'),
	    .frame = { .type = WIRE_BELL, CREDITS, .position = ID, .payload_len = 3 } },
	{ SAMPLE("BELL without a parcel", HEAD(34, 0, 8), 0, 0, 0, 0, 0, 0, 0, 0),
	    .frame = { .type = WIRE_BELL, CREDITS } },
	{ SAMPLE("DEMOTE", HEAD(35, 0, 8), ID_BYTES),
	    .frame = { .type = WIRE_DEMOTE, CREDITS, .position = ID } },
	{ SAMPLE("RESUME", HEAD(36, 0, 8), ID_BYTES),
	    .frame = { .type = WIRE_RESUME, CREDITS, .position = ID } },
};

enum { SAMPLES = sizeof(samples) / sizeof(samples[0]) };

/* What each type's body may measure: the fixed part, and how many units of what size may follow. */
static const struct kind {
	uint8_t type;
	uint32_t fixed, unit, most;
} kinds[] = {
	{ 1, 8, 0, 0 },
	{ 2, 8, 1, 127 },
	{ 3, 0, 0, 0 },
	{ 4, 8, 0, 0 },
	{ 5, 40, 0, 0 },
	{ 16, 24, 1, 65536 },
	{ 17, 64, 16, 4 },
	{ 18, 32, 0, 0 },
	{ 19, 24, 1, 262144 },
	{ 20, 0, 8, 128 },
	{ 21, 24, 0, 0 },
	{ 22, 8, 0, 0 },
	{ 23, 8, 0, 0 },
	{ 24, 16, 0, 0 },
	{ 25, 8, 0, 0 },
	{ 26, 8, 0, 0 },
	{ 27, 40, 16, 32 },
	{ 28, 24, 0, 0 },
	{ 29, 48, 16, 32 },
	{ 30, 16, 0, 0 },
	{ 31, 8, 0, 0 },
	{ 32, 0, 0, 0 },
	{ 33, 0, 0, 0 },
	{ 34, 8, 1, 4160 },
	{ 35, 8, 0, 0 },
	{ 36, 8, 0, 0 },
	{ 37, 16, 0, 0 },
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* ---- helpers ---- */

/* A copy of its own size: one byte further is out of bounds. */
static uint8_t *exact(const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len);
	cr_assert(copy != NULL || len == 0);
	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}

static void put_size(uint8_t *frame, uint32_t size)
{
	for (size_t i = 0; i < 4; i++)
		frame[4 + i] = (uint8_t)(size >> 8 * i);
}

static int peek_size(uint8_t type, uint32_t size, struct wire_head *head)
{
	uint8_t *bytes = exact((uint8_t[16]){ type }, 16);
	put_size(bytes, size);
	int rc = wire_peek(bytes, 16, head);
	free(bytes);
	return rc;
}

/* In one step or two, an EAGER frame is the same; nothing else is one. */
static void check_eager(const uint8_t *bytes, size_t len, const struct wire_frame *f)
{
	struct wire_frame e = { .type = 0 };
	size_t whole = wire_decode_eager(bytes, len, &e);
	cr_assert_eq(whole,
	    f != NULL && f->type == WIRE_EAGER ? WIRE_HEADER_SIZE + WIRE_EAGER_SIZE + f->payload_len : 0);
	if (whole == 0)
		return;
	cr_assert_eq(e.type, WIRE_EAGER);
	cr_assert_eq(e.flags, f->flags);
	cr_assert_eq(e.credit_bytes, f->credit_bytes);
	cr_assert_eq(e.credit_descs, f->credit_descs);
	cr_assert_eq(e.eager.envelope.tag, f->eager.envelope.tag);
	cr_assert_eq(e.eager.envelope.id, f->eager.envelope.id);
	cr_assert_eq(e.eager.envelope.channel, f->eager.envelope.channel);
	cr_assert_eq(e.payload, f->payload);
	cr_assert_eq(e.payload_len, f->payload_len);
}

/* Decodes what there is at bytes, len of them and not one more, and if it is a frame encodes it again: the
 * same bytes come out, but for payload. Says whether it was one. */
static bool survives(const uint8_t *bytes, size_t len)
{
	struct wire_head head;
	struct wire_frame f;
	uint8_t *copy = exact(bytes, len), again[WIRE_FRAME_ROOM];
	bool whole = wire_peek(copy, len, &head) == 1 && head.decoding <= len && wire_decode(copy, &head, &f);
	if (whole) {
		size_t payload = f.payload_len;
		cr_assert_eq(wire_encode(&f, again, sizeof(again)), head.whole - payload);
		cr_assert_arr_eq(again, copy, head.whole - payload);
	}
	check_eager(copy, len, whole ? &f : NULL);
	free(copy);
	return whole;
}

/* ---- frames ---- */

Test(wire, every_frame_encodes_to_these_bytes)
{
	for (const struct sample *s = samples; s < samples + SAMPLES; s++) {
		uint8_t out[WIRE_FRAME_ROOM];
		size_t head_len = s->len - s->frame.payload_len;
		cr_assert_eq(wire_encode(&s->frame, out, sizeof(out)), head_len, "%s", s->name);
		cr_assert_arr_eq(out, s->bytes, head_len, "%s", s->name);
	}
}

Test(wire, every_frame_decodes_to_what_encodes_to_its_bytes)
{
	for (const struct sample *s = samples; s < samples + SAMPLES; s++)
		cr_assert(survives(s->bytes, s->len), "%s", s->name);
}

Test(wire, every_type_is_among_the_samples_and_has_a_name)
{
	for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
		const char *name = wire_type_name((enum wire_type)k->type);
		bool found = false;
		for (const struct sample *s = samples; s < samples + SAMPLES; s++)
			found =
			    found || (s->bytes[0] == k->type && strncmp(s->name, name, strlen(name)) == 0);
		cr_assert(found, "%s", name);
	}
	cr_assert_str_eq(wire_type_name((enum wire_type)0), "unknown");
	cr_assert_str_eq(wire_type_name((enum wire_type)38), "unknown");
}

Test(wire, a_payload_is_found_where_it_lies)
{
	for (const struct sample *s = samples; s < samples + SAMPLES; s++) {
		struct wire_head head;
		struct wire_frame f;
		if (s->frame.payload_len == 0)
			continue;
		cr_assert_eq(wire_peek(s->bytes, s->len, &head), 1);
		cr_assert(wire_decode(s->bytes, &head, &f));
		cr_assert_eq(f.payload_len, s->frame.payload_len, "%s", s->name);
		cr_assert_eq(f.payload, s->bytes + s->len - f.payload_len, "%s", s->name);
	}
}

Test(wire, data_is_decoded_before_its_payload_has_come)
{
	struct wire_head head;
	struct wire_frame f;
	uint8_t bytes[40] = { 19, 0, 0, 0, 24, 0, 4 };
	uint8_t *copy = exact(bytes, sizeof(bytes));
	cr_assert_eq(wire_peek(copy, 16, &head), 1);
	cr_assert_eq(head.whole, 40 + 262144);
	cr_assert_eq(head.decoding, 40);
	cr_assert(wire_decode(copy, &head, &f));
	cr_assert_eq(f.payload_len, 262144);
	free(copy);
}

Test(wire, ids_of_a_done_are_put_and_read_one_by_one)
{
	uint8_t ids[WIRE_DONE_IDS * WIRE_ID_SIZE];
	struct wire_frame f = { .type = WIRE_DONE, .done.ids = ids };
	for (; f.done.count < WIRE_DONE_IDS; f.done.count++)
		wire_done_put(ids, f.done.count, WIRE_ID(f.done.count, 7 * f.done.count + 1));
	for (uint32_t i = 0; i < WIRE_DONE_IDS; i++) {
		cr_assert_eq(WIRE_ID_SLOT(wire_done_id(&f, i)), i);
		cr_assert_eq(WIRE_ID_USE(wire_done_id(&f, i)), 7 * i + 1);
	}
}

Test(wire, a_hand_is_put_and_read)
{
	static const struct {
		struct wire_hand hand;
		uint64_t word;
	} hands[] = {
		{ { .epoch = 0, .from = 0, .live = false }, 0 },
		{ { .epoch = 1, .from = 0, .live = true }, 0x0001000000000001 },
		{ { .epoch = 0x8002, .from = 0x7ffffffffffd, .live = false }, 0x8002fffffffffffa },
		{ { .epoch = WIRE_HAND_EPOCHS, .from = WIRE_HAND_LONGEST, .live = true }, UINT64_MAX },
	};
	for (size_t i = 0; i < sizeof(hands) / sizeof(hands[0]); i++) {
		struct wire_hand hand = wire_hand(hands[i].word);
		cr_assert_eq(wire_hand_put(hands[i].hand), hands[i].word);
		cr_assert_eq(hand.epoch, hands[i].hand.epoch);
		cr_assert_eq(hand.from, hands[i].hand.from);
		cr_assert_eq(hand.live, hands[i].hand.live);
	}
}

Test(wire, ranges_of_a_grant_are_put_and_read_one_by_one)
{
	uint8_t ranges[WIRE_GRANT_RANGES * WIRE_RANGE_SIZE];
	for (size_t i = 0; i < WIRE_GRANT_RANGES; i++)
		wire_range_put(ranges, i, (struct wire_range){ .addr = i << 40 | 1, .len = i << 50 | 2 });
	for (size_t i = 0; i < WIRE_GRANT_RANGES; i++) {
		struct wire_range range = wire_range(ranges, i);
		cr_assert_eq(range.addr, i << 40 | 1);
		cr_assert_eq(range.len, i << 50 | 2);
	}
	struct wire_range last = wire_range(two_ranges, 1);
	cr_assert_eq(last.addr, 1);
	cr_assert_eq(last.len, 2);
}

/* ---- what is not a frame, or not yet ---- */

Test(wire, the_beginning_of_a_frame_asks_for_more)
{
	for (const struct sample *s = samples; s < samples + SAMPLES; s++) {
		for (size_t len = 0; len < s->len; len++) {
			struct wire_head head = { 0 };
			uint8_t *copy = exact(s->bytes, len);
			int rc = wire_peek(copy, len, &head);
			cr_assert_eq(rc, len >= 16, "%s, %zu bytes", s->name, len);
			if (rc == 1) {
				size_t payload = s->frame.type == WIRE_DATA ? s->frame.payload_len : 0;
				cr_assert_eq(head.whole, s->len, "%s, %zu bytes", s->name, len);
				cr_assert_eq(head.decoding, s->len - payload, "%s, %zu bytes", s->name, len);
			}
			free(copy);
		}
	}
}

Test(wire, a_frame_that_claims_to_be_shorter_is_read_no_further)
{
	for (const struct sample *s = samples; s < samples + SAMPLES; s++) {
		uint8_t bytes[sizeof(s->bytes)];
		memcpy(bytes, s->bytes, s->len);
		for (size_t len = 16; len < s->len; len++) {
			put_size(bytes, (uint32_t)len - 16);
			survives(bytes, len);
		}
	}
}

Test(wire, a_body_has_no_other_size_than_its_type_allows)
{
	for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
		struct wire_head head;
		uint32_t longest = k->fixed + k->unit * k->most;
		cr_assert_eq(peek_size(k->type, k->fixed, &head), 1, "type %u", k->type);
		cr_assert_eq(head.whole, 16 + k->fixed, "type %u", k->type);
		cr_assert_eq(peek_size(k->type, longest, &head), 1, "type %u", k->type);
		cr_assert_eq(head.whole, 16 + longest, "type %u", k->type);
		for (uint32_t size = 0; size < longest + 4096; size++) {
			bool allowed = size >= k->fixed && size <= longest &&
			    (k->unit == 0 || (size - k->fixed) % k->unit == 0);
			cr_assert_eq(peek_size(k->type, size, &head), allowed ? 1 : -1, "type %u, size %u",
			    k->type, size);
		}
	}
}

Test(wire, a_size_that_would_overflow_is_refused)
{
	static const uint32_t sizes[] = { 0xffffffff, 0xfffffff0, 0xffffffef, 0x80000000, 0x7fffffff };
	struct wire_head head;
	for (const struct kind *k = kinds; k < kinds + KINDS; k++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			cr_assert_eq(peek_size(k->type, sizes[i], &head), -1, "type %u, size %u", k->type,
			    sizes[i]);
}

Test(wire, unknown_types_are_refused_whatever_their_size)
{
	struct wire_head head;
	for (unsigned type = 0; type < 256; type++) {
		bool known = false;
		for (const struct kind *k = kinds; k < kinds + KINDS; k++)
			known = known || k->type == type;
		for (uint32_t size = 0; size < 256 && !known; size++)
			cr_assert_eq(peek_size((uint8_t)type, size, &head), -1, "type %u, size %u", type,
			    size);
	}
}

Test(wire, reserved_bits_of_a_header_must_be_zero)
{
	for (const struct sample *s = samples; s < samples + SAMPLES; s++) {
		for (unsigned bit = 0; bit < 16; bit++) {
			struct wire_head head;
			uint8_t bytes[sizeof(s->bytes)];
			memcpy(bytes, s->bytes, s->len);
			bytes[2 + bit / 8] ^= (uint8_t)(1u << bit % 8);
			cr_assert_eq(wire_peek(bytes, s->len, &head), -1, "%s, bit %u", s->name, bit);
		}
	}
}

Test(wire, reserved_bytes_of_a_body_must_be_zero)
{
	static const struct {
		uint8_t type;
		size_t at, len; /* in the frame */
	} reserved[] = { { 2, 20, 4 }, { 4, 20, 4 }, { 16, 36, 4 }, { 18, 44, 4 }, { 19, 36, 4 },
		{ 21, 36, 4 }, { 24, 28, 4 }, { 30, 28, 4 } };
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		for (const struct sample *s = samples; s < samples + SAMPLES; s++) {
			for (size_t bit = 0; bit < 8 * reserved[i].len && s->bytes[0] == reserved[i].type;
			     bit++) {
				uint8_t bytes[sizeof(s->bytes)];
				memcpy(bytes, s->bytes, s->len);
				bytes[reserved[i].at + bit / 8] ^= (uint8_t)(1u << bit % 8);
				cr_assert_not(survives(bytes, s->len), "%s, bit %zu", s->name, bit);
			}
		}
	}
}

Test(wire, a_desc_carries_all_its_ranges_or_none)
{
	static const struct {
		uint32_t count;
		size_t inside;
		bool good;
	} cases[] = {
		{ 0, 0, true },
		{ 0, 1, false },
		{ 1, 0, false },
		{ 1, 1, true },
		{ 3, 4, false },
		{ 4, 4, true },
		{ 4, 3, false },
		{ 4, 0, false },
		{ 5, 0, true },
		{ 5, 4, false },
		{ 1 << 24, 0, true },
		{ (1 << 24) + 1, 0, false },
		{ UINT32_MAX, 0, false },
		{ UINT32_MAX, 4, false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t bytes[16 + 64 + 4 * 16] = { 17 };
		uint32_t size = (uint32_t)(64 + cases[i].inside * 16);
		put_size(bytes, size);
		for (size_t b = 0; b < 4; b++)
			bytes[36 + b] = (uint8_t)(cases[i].count >> 8 * b);
		cr_assert_eq(survives(bytes, 16 + size), cases[i].good, "%u ranges, %zu inside",
		    cases[i].count, cases[i].inside);
	}
}

Test(wire, altered_frames_decode_within_bounds_to_what_encodes_to_them)
{
	seed_random();
	for (int round = 0; round < 200000; round++) {
		const struct sample *s = &samples[random_below(SAMPLES)];
		uint8_t bytes[sizeof(s->bytes)];
		memcpy(bytes, s->bytes, s->len);
		for (size_t n = 1 + random_below(3); n > 0; n--)
			bytes[random_below(2) ? random_below(s->len) : random_below(8)] =
			    (uint8_t)random_below(256);
		survives(bytes, s->len - (random_below(4) == 0 ? random_below(s->len) : 0));
	}
}

/* ---- encoding ---- */

Test(wire, no_frame_is_encoded_into_too_little_room)
{
	for (const struct sample *s = samples; s < samples + SAMPLES; s++) {
		size_t len = s->len - s->frame.payload_len;
		for (size_t room = 0; room <= len; room++) {
			uint8_t *out = malloc(room);
			cr_assert_eq(wire_encode(&s->frame, out, room), room == len ? len : 0, "%s into %zu",
			    s->name, room);
			free(out);
		}
	}
}

Test(wire, what_breaks_a_limit_is_not_encoded)
{
	static const char words[WIRE_WORDS_LONGEST + 1];
	static const uint8_t ids[(WIRE_DONE_IDS + 1) * WIRE_ID_SIZE];
	uint8_t out[2 * WIRE_FRAME_ROOM];
	struct wire_frame f = { .type = WIRE_VERDICT, .verdict = { .words = words, .words_len = 127 } };
	cr_assert_eq(wire_encode(&f, out, sizeof(out)), 16 + 8 + 127);
	f.verdict.words_len++;
	cr_assert_eq(wire_encode(&f, out, sizeof(out)), 0);

	f = (struct wire_frame){ .type = WIRE_DONE, .done = { .ids = ids, .count = 128 } };
	cr_assert_eq(wire_encode(&f, out, sizeof(out)), 16 + 128 * 8);
	f.done.count++;
	cr_assert_eq(wire_encode(&f, out, sizeof(out)), 0);
	f.done.count = SIZE_MAX / 8 + 2; /* times 8 it is 8 */
	cr_assert_eq(wire_encode(&f, out, sizeof(out)), 0);

	f = (struct wire_frame){ .type = WIRE_DESC, .desc.range_count = 1 << 24 };
	cr_assert_eq(wire_encode(&f, out, sizeof(out)), 16 + 64);
	f.desc.range_count++;
	cr_assert_eq(wire_encode(&f, out, sizeof(out)), 0);

	f = (struct wire_frame){ .type = WIRE_EAGER, .payload_len = 65536 };
	cr_assert_eq(wire_encode(&f, out, sizeof(out)), 16 + 24);
	f.payload_len++;
	cr_assert_eq(wire_encode(&f, out, sizeof(out)), 0);

	f = (struct wire_frame){ .type = WIRE_DATA, .payload_len = 262144 };
	cr_assert_eq(wire_encode(&f, out, sizeof(out)), 16 + 24);
	f.payload_len++;
	cr_assert_eq(wire_encode(&f, out, sizeof(out)), 0);
}

Test(wire, unknown_types_are_not_encoded)
{
	static const unsigned types[] = { 0, 6, 15, 38, 255, 256, 65536 };
	uint8_t out[WIRE_FRAME_ROOM];
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct wire_frame f = { .type = (enum wire_type)types[i] };
		cr_assert_eq(wire_encode(&f, out, sizeof(out)), 0, "type %u", types[i]);
	}
}

/* ---- HELLO ---- */

#define HELLO_HEAD 'H', 'A', 'U', 'L', '\r', '\n', 0x1a, 0x80, 0x01, 0x02, 0x03, 0x04, 64, 0, 0, 0
#define HELLO_FEATURES 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18
#define HELLO_CHALLENGE 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28
#define HELLO_MAX_MSG 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38
#define HELLO_REST \
	0x41, 0x42, 0, 0, 0x51, 0x52, 0x53, 0x14, 0x61, 0x62, 0, 0, 0x71, 0x72, 0x73, 0x74, 0, 0, 0, 0, 0, \
	    0, 0, 0

static const uint8_t hello_bytes[] = { HELLO_HEAD, HELLO_FEATURES, HELLO_CHALLENGE, HELLO_MAX_MSG,
	HELLO_REST };

static const struct wire_hello hello_sample = { .version_min = 0x0201,
	.version_max = 0x0403,
	.features = 0x1817161514131211,
	.challenge = 0x2827262524232221,
	.max_msg = 0x3837363534333231,
	.eager_max = 0x4241,
	.credit_bytes = 0x14535251,
	.credit_descs = 0x6261,
	.euid = 0x74737271 };

/* Whether a HELLO of these values, encoded, is taken. */
static bool hello_good(struct wire_hello h)
{
	uint8_t bytes[WIRE_HELLO_SIZE];
	struct wire_hello again;
	cr_assert_eq(wire_hello_encode(&h, bytes, sizeof(bytes)), 64);
	return wire_hello_decode(bytes, sizeof(bytes), &again);
}

Test(wire_hello, encodes_to_these_bytes)
{
	uint8_t out[WIRE_HELLO_SIZE];
	cr_assert_eq(sizeof(hello_bytes), WIRE_HELLO_SIZE);
	cr_assert_eq(wire_hello_encode(&hello_sample, out, sizeof(out)), sizeof(out));
	cr_assert_arr_eq(out, hello_bytes, sizeof(out));
	for (size_t room = 0; room < WIRE_HELLO_SIZE; room++)
		cr_assert_eq(wire_hello_encode(&hello_sample, out, room), 0);
}

Test(wire_hello, decodes_to_what_encodes_to_its_bytes)
{
	uint8_t *copy = exact(hello_bytes, sizeof(hello_bytes)), out[WIRE_HELLO_SIZE];
	struct wire_hello h;
	cr_assert_eq(wire_hello_peek(copy, sizeof(hello_bytes)), 64);
	cr_assert(wire_hello_decode(copy, sizeof(hello_bytes), &h));
	cr_assert_eq(wire_hello_encode(&h, out, sizeof(out)), sizeof(out));
	cr_assert_arr_eq(out, hello_bytes, sizeof(out));
	free(copy);
}

Test(wire_hello, its_beginning_asks_for_more)
{
	for (size_t len = 1; len < sizeof(hello_bytes); len++) {
		uint8_t *copy = exact(hello_bytes, len);
		cr_assert_eq(wire_hello_peek(copy, len), len < 16 ? 0 : 64, "%zu bytes", len);
		free(copy);
	}
}

Test(wire_hello, other_magic_is_refused_at_its_first_byte)
{
	for (size_t i = 0; i < 8; i++) {
		uint8_t *copy = exact(hello_bytes, i + 1);
		copy[i] ^= 0x20;
		cr_assert_eq(wire_hello_peek(copy, i + 1), -1, "byte %zu", i);
		free(copy);
	}
}

Test(wire_hello, a_later_version_may_send_more_up_to_a_limit)
{
	static const struct {
		uint32_t size;
		int peek;
	} cases[] = { { 0, -1 }, { 63, -1 }, { 64, 64 }, { 65, 65 }, { 512, 512 }, { 513, -1 },
		{ 0x80000040, -1 }, { UINT32_MAX, -1 } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t bytes[16];
		memcpy(bytes, hello_bytes, sizeof(bytes));
		for (size_t b = 0; b < 4; b++)
			bytes[12 + b] = (uint8_t)(cases[i].size >> 8 * b);
		cr_assert_eq(wire_hello_peek(bytes, sizeof(bytes)), cases[i].peek, "size %u", cases[i].size);
	}

	uint8_t longer[512], out[WIRE_HELLO_SIZE];
	struct wire_hello h;
	memset(longer, 0xff, sizeof(longer));
	memcpy(longer, hello_bytes, 56); /* the reserved bytes are the later version's, too */
	cr_assert(wire_hello_decode(longer, sizeof(longer), &h));
	cr_assert_eq(wire_hello_encode(&h, out, sizeof(out)), sizeof(out));
	cr_assert_arr_eq(out, hello_bytes, sizeof(out));
}

Test(wire_hello, a_version_range_runs_upwards)
{
	struct wire_hello h = hello_sample;
	h.version_min = h.version_max = 7;
	cr_assert(hello_good(h));
	h.version_min = 8;
	cr_assert_not(hello_good(h));
}

Test(wire_hello, no_limit_is_exceeded)
{
	struct wire_hello h = hello_sample;
	h.eager_max = 65536;
	h.credit_bytes = 1 << 30;
	h.credit_descs = 65536;
	cr_assert(hello_good(h));
	h.eager_max++;
	cr_assert_not(hello_good(h));
	h.eager_max = 0;
	h.credit_bytes++;
	cr_assert_not(hello_good(h));
	h.credit_bytes = 0;
	h.credit_descs++;
	cr_assert_not(hello_good(h));
	h.credit_descs = 0;
	cr_assert(hello_good(h));
}

/* ---- the cursor ---- */

Test(wire_cursor, a_reader_that_ran_out_reads_zeros)
{
	static const uint8_t bytes[] = { 1, 2, 3, 4, 5 };
	struct reader r = { .at = bytes, .left = sizeof(bytes) };
	cr_assert_eq(get_u16(&r), 0x0201);
	cr_assert_eq(get_u32(&r), 0);
	cr_assert(r.bad);
	cr_assert_eq(get_u8(&r), 0, "there was a byte, but not for a bad reader");
	cr_assert_null(get_bytes(&r, 1));
}
