/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile peer's outbox, as the one who reads it meets it: said where it has no place, at addresses that can't be, with
 * words that lie, in memory that goes away, full of what is no frame; and what it says beside. Each costs the
 * context that one peer, and nobody else anything (lib/handmade.h); nothing is read beyond the ring.
 * test_hostile_outbox_reader.c has the lies about reading ours.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <haul/haul.h>

#include "lib/fds.h"
#include "lib/handbox.h"
#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/talk.h"

enum { PAGE = 4096, LEN = 3000, LATE_MS = 20000, TAG = 5 };

static struct handmade m;
static struct handbox box;
static char text[] = "a short message";

TestSuite(hostile_outbox, .timeout = 60);

static void start(void)
{
	handbox_start(&m, &box);
}

/* The context looks, because it is told to: it may have asked to be. */
static void ring(void)
{
	handbox_ring(&m);
	handmade_settle(&m);
}

static void lost(int error)
{
	ring();
	handmade_lost(&m, error);
	handbox_fini(&box);
}

/* It is lost when its words are looked at, as they are before a sleep. */
static void lost_by_its_words(int error)
{
	struct haul_match match = { .from = m.peer, .tag = TAG };
	must_be(haul_recv(m.haul, &match, NULL, 0, LATE_MS, NULL), error);
	lost(error);
}

static void kept(void)
{
	ring();
	handmade_kept(&m);
	handbox_fini(&box);
}

/* Where its stream comes by the socket. */
static void kept_by_socket(void)
{
	handmade_kept(&m);
	handbox_fini(&box);
}

static void arrives(uint64_t tag)
{
	char into[sizeof(text)];
	struct haul_match match = { .from = m.peer, .tag = tag };
	must_be(haul_recv(m.haul, &match, into, sizeof(into), LATE_MS, NULL), sizeof(text));
	must_be(memcmp(into, text, sizeof(text)), 0);
}

/* ---- OUTBOX ---- */

/* What is adopted, and how that ends: what is said after VERDICT is up to the test. */
static int greeted(const struct haul_options *o, uint64_t features, int verdict, void (*say)(struct raw *r))
{
	struct raw r = { .features = features, .verdict = verdict };
	struct haul_req *adopt;
	struct haul_status status;
	struct haul *h;
	int pair[2], fds = fds_count();
	must_be(haul_open(&h, o, sizeof(*o)), 0);
	must_be(haul_pair(pair), 0);
	must_be(haul_iadopt(h, pair[0], &adopt), 0);
	r.fd = pair[1];
	r.drive = h;
	must(raw_hello(&r) && raw_granted(&r) && raw_verdict(&r));
	say(&r);
	raw_send_frame(&r, WIRE_READY, 0, NULL, 0);
	must_be(haul_req_wait(adopt, LATE_MS), 0);
	int rc = haul_req_finish(adopt, &status);
	close(r.fd);
	must_be(haul_close(h, 0), 0);
	fds_expect(fds);
	return rc;
}

static const struct haul_options outbox = { .transport = HAUL_TRANSPORT_OUTBOX };

static void say_nothing(struct raw *r)
{
	(void)r;
}

static void say_it(struct raw *r)
{
	raw_send_frame(r, WIRE_OUTBOX, 0, box.body, sizeof(box.body));
}

static void say_it_twice(struct raw *r)
{
	say_it(r);
	say_it(r);
}

static void say_none_then_it(struct raw *r)
{
	uint8_t none[WIRE_OUTBOX_SIZE] = { 0 };
	raw_send_frame(r, WIRE_OUTBOX, 0, none, sizeof(none));
	say_it(r);
}

Test(hostile_outbox, outbox_where_it_has_no_place_ends_the_handshake)
{
	static const struct haul_options sockets = { .transport = HAUL_TRANSPORT_SOCKET },
	                                 streams = { .path = HAUL_PATH_STREAM,
		                                 .transport = HAUL_TRANSPORT_OUTBOX };
	handbox_init(&box);
	must_be(greeted(&outbox, WIRE_FEATURE_OUTBOX, 0, say_it), 0);
	must_be(greeted(&outbox, WIRE_FEATURE_OUTBOX, 0, say_nothing), -EPROTO);
	must_be(greeted(&outbox, WIRE_FEATURE_OUTBOX, 0, say_it_twice), -EPROTO);
	must_be(greeted(&outbox, WIRE_FEATURE_OUTBOX, 0, say_none_then_it), -EPROTO);
	must_be(greeted(&outbox, 0, 0, say_nothing), 0);
	must_be(greeted(&outbox, 0, 0, say_it), -EPROTO);
	must_be(greeted(&sockets, WIRE_FEATURE_OUTBOX, 0, say_it), -EPROTO);
	must_be(greeted(&streams, WIRE_FEATURE_OUTBOX, 0, say_it), -EPROTO);
	must_be(greeted(&outbox, WIRE_FEATURE_OUTBOX, EPERM, say_nothing), 0);
	must_be(greeted(&outbox, WIRE_FEATURE_OUTBOX, EPERM, say_it), -EPROTO);
	handbox_fini(&box);
}

Test(hostile_outbox, outbox_that_cannot_be_ends_the_handshake)
{
	enum { RING = 0, STATE = 8, HEAD = 16, COOKIE = 24, SIZE = 32, RESERVED = 36 };
	static const struct {
		size_t at, bytes;
		uint64_t value;
	} wrong[] = {
		{ SIZE, 4, 1 },
		{ SIZE, 4, 2048 },
		{ SIZE, 4, 4095 },
		{ SIZE, 4, 4097 },
		{ SIZE, 4, 12288 },
		{ SIZE, 4, 1 << 25 },
		{ SIZE, 4, UINT32_C(1) << 31 },
		{ SIZE, 4, UINT32_MAX },
		{ RESERVED, 4, 1 },
		{ COOKIE, 8, 0 },
		{ STATE, 8, 4097 },
		{ STATE, 8, UINT64_MAX },
		{ STATE, 8, UINT64_MAX - 7 },
		{ STATE, 8, UINT64_MAX - 23 },
		{ HEAD, 8, 4100 },
		{ RING, 8, UINT64_MAX },
		{ RING, 8, UINT64_MAX - 4094 },
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		must_note_case("case %zu", i);
		handbox_init(&box);
		raw_put(box.body + wrong[i].at, wrong[i].value, wrong[i].bytes);
		must_be(greeted(&outbox, WIRE_FEATURE_OUTBOX, 0, say_it), -EPROTO);
		handbox_fini(&box);
	}
}

/* As after an exec: there is nothing, or the kernel. */
Test(hostile_outbox, outbox_where_there_is_no_memory_is_lost)
{
	static const uint64_t nowhere[] = { 0, PAGE, UINT64_C(1) << 46, UINT64_C(1) << 47,
		UINT64_C(0xffffffff81000000), UINT64_MAX - 65535 };
	for (size_t i = 0; i < 2 * sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		struct haul_options o = { .transport = HAUL_TRANSPORT_OUTBOX };
		must_note_case("case %zu", i);
		handbox_init(&box);
		raw_put(box.body + i % 2 * 8, nowhere[i / 2], 8);
		handmade_start_as(&m, &o,
		    &(struct raw){ .features = WIRE_FEATURE_OUTBOX, .outbox = box.body });
		lost_by_its_words(-ECONNRESET);
	}
}

Test(hostile_outbox, outbox_again_drops_that_peer_alone)
{
	start();
	raw_send_frame(&m.raw, WIRE_OUTBOX, 0, box.body, sizeof(box.body));
	lost(-EPROTO);
}

/* ---- parcels and words that lie ---- */

Test(hostile_outbox, a_parcel_of_a_length_that_cannot_be_drops_that_peer_alone)
{
	static const uint64_t lens[] = { 0, HANDBOX_RING - WIRE_PARCEL_HEAD + 1, HANDBOX_RING,
		UINT64_C(1) << 32, INT64_MAX, UINT64_MAX - WIRE_PARCEL_HEAD, UINT64_MAX };
	for (size_t i = 0; i < 2 * sizeof(lens) / sizeof(lens[0]); i++) {
		must_note_case("case %zu", i);
		start();
		if (i % 2 == 1) { /* behind one that is right */
			handbox_eager(&box, TAG, text, sizeof(text));
			arrives(TAG);
		}
		handbox_claim(&box, lens[i / 2]);
		lost(-EPROTO);
	}
}

Test(hostile_outbox, a_parcel_ahead_of_its_bytes_brings_what_is_there)
{
	start();
	handbox_claim(&box, HANDBOX_RING - WIRE_PARCEL_HEAD);
	lost(-EPROTO); /* zeros, which are no frame */
}

Test(hostile_outbox, a_stamp_that_is_none_brings_nothing)
{
	static const uint64_t off[] = { 2, WIRE_PARCEL_ALIGN, HANDBOX_RING, UINT64_MAX - HANDBOX_RING + 1 };
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		start();
		handbox_eager(&box, TAG, text, sizeof(text));
		*(uint64_t *)box.ring += off[i];
		ring();
		must_be(haul_probe(m.haul, NULL, 0, &(struct haul_status){ 0 }), -EAGAIN);
		*(uint64_t *)box.ring -= off[i];
		ring();
		arrives(TAG);
		kept();
	}
}

Test(hostile_outbox, another_cookie_is_another_program)
{
	static const uint64_t cookies[] = { 0, 1, HANDBOX_COOKIE + 1, UINT64_MAX };
	for (size_t i = 0; i < sizeof(cookies) / sizeof(cookies[0]); i++) {
		start();
		box.words[HANDBOX_COOKIE_AT] = cookies[i];
		lost_by_its_words(-ECONNRESET);
	}
}

Test(hostile_outbox, nothing_is_written_to_another_program)
{
	start();
	handmade_settle(&m);
	box.words[HANDBOX_COOKIE_AT] = 0;
	must_be(haul_recv(m.haul, &(struct haul_match){ .from = m.peer }, NULL, 0, 100, NULL), -ECONNRESET);
	must_be(box.words[HANDBOX_BELL], 0);
	lost(-ECONNRESET);
}

/* Whatever `full` says, it is answered by a BELL at the most, for each time it is looked at. */
Test(hostile_outbox, a_full_ring_that_is_none_costs_a_bell)
{
	static const uint64_t full[] = { 1, 8, PAGE, INT64_MAX, UINT64_MAX, UINT64_MAX - PAGE };
	start();
	for (int i = 0; i < 3000; i++) {
		box.words[HANDBOX_FULL] = full[i % 6] + (uint64_t)i;
		ring();
	}
	handbox_eager(&box, TAG, text, sizeof(text));
	ring();
	arrives(TAG);
	must(stats_of(m.haul).bells_sent <= stats_of(m.haul).polls);
	kept();
}

/* ---- the ring ---- */

/* Behind the ring and behind the words is memory that can't be read. */
Test(hostile_outbox, nothing_is_read_beyond_the_ring)
{
	start();
	for (uint64_t i = 0; i < 300; i++) {
		handbox_eager(&box, i, text, sizeof(text));
		ring();
		arrives(i);
	}
	kept();
}

Test(hostile_outbox, a_ring_unmapped_under_the_reader_is_lost)
{
	start();
	handbox_eager(&box, TAG, text, sizeof(text));
	must_be(mprotect(box.ring, HANDBOX_RING, PROT_NONE), 0);
	lost(-ECONNRESET);
}

Test(hostile_outbox, words_unmapped_under_the_reader_are_lost)
{
	start();
	must_be(mprotect(box.pages, PAGE, PROT_NONE), 0);
	lost_by_its_words(-ECONNRESET);
}

Test(hostile_outbox, a_bell_that_cannot_be_set_is_a_ring_that_cannot_be_read)
{
	start();
	must_be(mprotect(box.pages, PAGE, PROT_READ), 0);
	must_be(haul_recv(m.haul, NULL, NULL, 0, 20, NULL), -ETIMEDOUT);
	must_be(handmade_await(&m, WIRE_DEMOTE)->type, WIRE_DEMOTE);
	handmade_say(&m, WIRE_RESUME, 0, "8", 0);
	raw_send_eager(&m.raw, TAG, text, sizeof(text));
	arrives(TAG);
	kept();
}

Test(hostile_outbox, what_is_no_frame_drops_that_peer_alone)
{
	static const uint8_t bytes[][WIRE_HEADER_SIZE] = { { 0 }, { 255 }, { WIRE_EAGER, 0, 0, 0, 1 },
		{ WIRE_CREDIT, 0, 0, 0, 1 }, { WIRE_HEADER_SIZE, 0, 1, 0, 24 }, { WIRE_READY },
		{ WIRE_DATA, 0, 0, 0, 255, 255, 255, 255 } };
	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		must_note_case("case %zu", i);
		start();
		handbox_put(&box, bytes[i], sizeof(bytes[i]));
		lost(-EPROTO);
	}
}

/* Beside the ring it has a meaning, within it none. */
Test(hostile_outbox, what_belongs_beside_the_ring_is_out_of_place_in_it)
{
	static const uint64_t position[] = { 0 };
	for (int type = WIRE_BELL; type <= WIRE_RESUME; type++) {
		must_note_case("type %d", type);
		start();
		handbox_say(&box, type, "8", position);
		lost(-EPROTO);
	}
}

Test(hostile_outbox, what_belongs_in_the_ring_is_out_of_place_beside_it)
{
	static const int types[] = { WIRE_EAGER, WIRE_DESC, WIRE_CREDIT, WIRE_BYE, WIRE_READY, WIRE_VERDICT };
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		must_note_case("type %d", types[i]);
		start();
		handmade_say(&m, types[i], 0, types[i] < WIRE_CREDIT && types[i] != WIRE_READY ? "888" : "",
		    0, 0, 0);
		lost(-EPROTO);
	}
}

/* ---- payload ---- */

static unsigned char into[LEN];
static _Atomic uint64_t cell = 4711;

/* A message that can't be pulled, so that it is asked for; its receive is under way. */
static struct haul_req *stream(void *to, size_t len)
{
	struct iovec iov = { .iov_base = to, .iov_len = len };
	struct haul_req *r;
	start();
	handbox_say(&box, WIRE_DESC, "88448888888",
	    (const uint64_t[]){ TAG, WIRE_ID(0, 1), 0, 1, LEN, (uintptr_t)&cell, 4711, 0, 0,
	        (uintptr_t)box.pages + 2 * PAGE, LEN });
	must_be(haul_irecv(m.haul, &(struct haul_match){ .from = m.peer, .tag = TAG }, &iov, 1, &r), 0);
	ring();
	handbox_next(&m, &box, WIRE_SEND);
	return r;
}

static void data(size_t offset, size_t len, size_t so_much_of_it)
{
	uint8_t bytes[WIRE_HEADER_SIZE + WIRE_DATA_SIZE + LEN], body[WIRE_DATA_SIZE + LEN];
	raw_put(body, WIRE_ID(0, 1), 8);
	raw_put(body + 8, offset, 8);
	raw_put(body + 16, 1, 8);
	pattern_fill(body + WIRE_DATA_SIZE, len, TAG, offset);
	raw_frame_bytes(bytes, WIRE_DATA, 0, body, WIRE_DATA_SIZE + len);
	handbox_put(&box, bytes, WIRE_HEADER_SIZE + WIRE_DATA_SIZE + so_much_of_it);
}

static void whole(size_t len)
{
	memset(into, CANARY, sizeof(into));
	struct haul_req *r = stream(into, sizeof(into));
	data(0, LEN, len);
	ring();
	handmade_say(&m, WIRE_RESUME, 0, "8", 0);
	raw_send(&m.raw, box.said, (size_t)box.sent);
	uint8_t rest[LEN];
	pattern_fill(rest, LEN - len, TAG, len);
	raw_send(&m.raw, rest, LEN - len);
	handmade_say(&m, WIRE_DATA, 0, "8844", WIRE_ID(0, 1), LEN, 1, 0);
	must_be(end_of(r, NULL), 0);
	must_hold(into, LEN, TAG, 0);
	kept();
}

/* The socket brings all of it once more, from the very beginning. */
Test(hostile_outbox, resume_amid_payload_brings_each_byte_once)
{
	static const size_t lens[] = { 0, 1, 100, 2000, LEN - 1 };
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		must_note_case("%zu", lens[i]);
		whole(lens[i]);
	}
}

Test(hostile_outbox, nothing_shows_in_a_buffer_that_was_not_sent)
{
	memset(into, CANARY, sizeof(into));
	struct haul_req *r = stream(into, sizeof(into));
	data(0, LEN, 100);
	memset(box.ring + box.tail + WIRE_PARCEL_HEAD, 's', 1000); /* there, but not yet said to be */
	ring();
	must_hold(into, 100, TAG, 0);
	must_be_untouched(into + 100, LEN - 100);
	must_be(haul_req_cancel(r), 0);
	handmade_settle(&m);
	handmade_say(&m, WIRE_RESUME, 0, "8", box.sent);
	close(m.raw.fd);
	m.raw.fd = dup(STDERR_FILENO);
	must(end_of(r, NULL) < 0);
	must_be_untouched(into + 100, LEN - 100);
	handmade_good_peer_is_well(&m);
	handmade_end(&m);
	handbox_fini(&box);
}

/* Not to be taken for the receive's own memory, which is good. */
Test(hostile_outbox, a_ring_unmapped_amid_payload_is_the_peers_fault)
{
	struct haul_req *r = stream(into, sizeof(into));
	data(0, LEN, 100);
	ring();
	handbox_claim(&box, 1000);
	must_be(mprotect(box.ring, HANDBOX_RING, PROT_NONE), 0);
	ring();
	must_be(end_of(r, NULL), -ECONNRESET);
	lost(-ECONNRESET);
}

/* And that, if it is bad, not for the peer's. */
Test(hostile_outbox, a_bad_buffer_is_the_receives_own_fault)
{
	void *const bad[] = { (void *)PAGE, (void *)(UINTPTR_MAX - 2 * PAGE), (void *)(UINT64_C(1) << 62) };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		must_note_case("case %zu", i);
		struct haul_req *r = stream(bad[i], LEN);
		data(0, LEN, LEN);
		ring();
		must_be(end_of(r, NULL), -EFAULT);
		handbox_eager(&box, TAG + 1, text, sizeof(text));
		ring();
		arrives(TAG + 1);
		kept();
	}
}

/* ---- beside it ---- */

Test(hostile_outbox, resume_of_what_was_never_sent_drops_that_peer_alone)
{
	static const uint64_t beyond[] = { 1, HANDBOX_RING, INT64_MAX };
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		start();
		handbox_eager(&box, TAG, text, sizeof(text));
		ring();
		arrives(TAG);
		handmade_say(&m, WIRE_RESUME, 0, "8", box.sent + beyond[i]);
		handmade_settle(&m);
		handmade_lost(&m, -EPROTO);
		handbox_fini(&box);
	}
}

/* Who has only a ring has no more to say again than fits. */
Test(hostile_outbox, resume_further_back_than_the_ring_is_long_drops_that_peer_alone)
{
	start();
	for (uint64_t i = 0; box.sent <= HANDBOX_RING; i++) {
		handbox_eager(&box, i, text, sizeof(text));
		ring();
		arrives(i);
	}
	handmade_say(&m, WIRE_RESUME, 0, "8", 0);
	handmade_settle(&m);
	handmade_lost(&m, -EPROTO);
	handbox_fini(&box);
}

Test(hostile_outbox, resume_twice_drops_that_peer_alone)
{
	start();
	handmade_say(&m, WIRE_RESUME, 0, "8", 0);
	handmade_say(&m, WIRE_RESUME, 0, "8", 0);
	handmade_settle(&m);
	handmade_lost(&m, -EPROTO);
	handbox_fini(&box);
}

Test(hostile_outbox, its_frames_without_an_outbox_drop_that_peer_alone)
{
	for (int type = WIRE_BELL; type <= WIRE_RESUME; type++) {
		must_note_case("type %d", type);
		handmade_start(&m, NULL);
		handmade_say(&m, type, 0, "8", 0);
		handmade_settle(&m);
		handmade_lost(&m, -EPROTO);
	}
}

/* ---- what goes with a bell ---- */

/* A message, by BELL; its parcel is in the ring, too, or is not. */
static size_t frame_of(uint8_t *to, uint64_t tag)
{
	uint8_t body[WIRE_EAGER_SIZE + sizeof(text)] = { 0 };
	raw_put(body, tag, 8);
	memcpy(body + WIRE_EAGER_SIZE, text, sizeof(text));
	return raw_frame_bytes(to, WIRE_EAGER, 0, body, sizeof(body));
}

static void ring_for_frame(const uint8_t *bytes, size_t len, bool in_ring)
{
	static uint8_t nowhere[HANDBOX_RING];
	uint8_t *ring = box.ring;
	uint64_t at = box.tail;
	if (!in_ring)
		box.ring = nowhere;
	handbox_put(&box, bytes, len);
	box.ring = ring;
	handbox_ring_for(&m, at, bytes, len);
}

static void ring_for_eager(uint64_t tag, bool in_ring)
{
	uint8_t bytes[WIRE_FRAME_ROOM];
	ring_for_frame(bytes, frame_of(bytes, tag), in_ring);
}

Test(hostile_outbox, a_parcel_that_comes_with_its_bell_need_not_be_in_the_ring)
{
	start();
	for (uint64_t i = 0; i < 400; i++) {
		ring_for_eager(i, i % 3 == 0);
		handmade_settle(&m);
		arrives(i);
		if (i % 5 == 0) {
			handbox_eager(&box, i, text, sizeof(text));
			ring();
			arrives(i);
		}
	}
	kept();
}

/* Three quarters of the ring. One in parts is kept aside until its end, and stands for no more than that something is in
 * the ring. */
Test(hostile_outbox, a_bell_with_a_long_parcel_brings_it_at_once_or_tells_of_it_in_parts)
{
	for (int drip = 0; drip < 2; drip++) {
		uint8_t body[WIRE_EAGER_SIZE + LEN] = { 0 }, bytes[WIRE_HEADER_SIZE + sizeof(body)];
		start();
		m.raw.drip = drip;
		for (uint64_t tag = 0; tag < 6; tag++) {
			struct haul_match match = { .from = m.peer, .tag = tag };
			raw_put(body, tag, 8);
			pattern_fill(body + WIRE_EAGER_SIZE, LEN, tag, 0);
			memset(into, CANARY, sizeof(into));
			size_t len = raw_frame_bytes(bytes, WIRE_EAGER, 0, body, sizeof(body));
			ring_for_frame(bytes, len, drip == 1);
			handmade_settle(&m);
			must_be(haul_recv(m.haul, &match, into, LEN, LATE_MS, NULL), LEN);
			must_hold(into, LEN, tag, 0);
		}
		m.raw.drip = false;
		kept();
	}
}

Test(hostile_outbox, a_bell_that_is_late_brings_nothing)
{
	uint8_t bytes[WIRE_FRAME_ROOM];
	start();
	for (uint64_t i = 0; i < 200; i++) {
		uint64_t at = box.tail;
		handbox_eager(&box, i, text, sizeof(text));
		ring();
		arrives(i);
		handbox_ring_for(&m, at, bytes, frame_of(bytes, 1000));
		handbox_ring_for(&m, 0, bytes, frame_of(bytes, 1000));
		handmade_settle(&m);
	}
	must_be(haul_probe(m.haul, &(struct haul_match){ .tag = 1000 }, 0, &(struct haul_status){ 0 }),
	    -EAGAIN);
	kept();
}

Test(hostile_outbox, a_bell_ahead_of_what_was_read_is_looked_after)
{
	uint8_t bytes[WIRE_FRAME_ROOM];
	start();
	for (uint64_t i = 0; i < 200; i += 2) {
		handbox_eager(&box, i, text, sizeof(text));
		uint64_t at = box.tail;
		handbox_eager(&box, i + 1, text, sizeof(text));
		handbox_ring_for(&m, at, bytes, frame_of(bytes, 1000));
		arrives(i);
		arrives(i + 1);
	}
	kept();
}

Test(hostile_outbox, a_bell_for_what_cannot_be_in_the_ring_drops_that_peer_alone)
{
	static const struct {
		uint64_t at;
		size_t len;
	} wrong[] = { { 1, 8 }, { 8, 8 }, { WIRE_PARCEL_ALIGN - 1, 8 }, { HANDBOX_RING, 8 },
		{ HANDBOX_RING - WIRE_PARCEL_ALIGN, WIRE_PARCEL_ALIGN }, { 0, WIRE_BELL_LONGEST + 1 },
		{ 0, HANDBOX_RING - WIRE_PARCEL_HEAD + 1 }, { UINT64_C(1) << 62, 8 },
		{ INT64_MAX - WIRE_PARCEL_ALIGN + 1, 8 } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		must_note_case("case %zu", i);
		start();
		handbox_ring_for(&m, wrong[i].at, box.said, wrong[i].len);
		handmade_settle(&m);
		handmade_lost(&m, -EPROTO);
		handbox_fini(&box);
	}
}

Test(hostile_outbox, a_bell_with_what_is_no_frame_drops_that_peer_alone)
{
	static const uint8_t bytes[HANDBOX_RING - WIRE_PARCEL_HEAD];
	start();
	handbox_ring_for(&m, 0, bytes, sizeof(bytes));
	handmade_settle(&m);
	handmade_lost(&m, -EPROTO);
	handbox_fini(&box);
}

/* The head is then where no parcel is; what the ring has from there on is none. */
Test(hostile_outbox, a_bell_of_another_length_than_its_parcel_costs_what_comes_after)
{
	uint8_t bytes[WIRE_FRAME_ROOM], other[1000] = { 0 };
	start();
	handbox_eager(&box, TAG, other, sizeof(other));
	handbox_eager(&box, TAG + 1, text, sizeof(text));
	handbox_ring_for(&m, 0, bytes, frame_of(bytes, TAG + 2));
	handmade_settle(&m);
	arrives(TAG + 2);
	must_be(haul_recv(m.haul, &(struct haul_match){ .from = m.peer, .tag = TAG + 1 }, NULL, 0, 20, NULL),
	    -ETIMEDOUT);
	kept();
}

/* Whatever is read at a time. */
Test(hostile_outbox, bells_with_parcels_and_then_the_stream_are_one_run_of_bytes)
{
	enum { BELLS = 20, EACH = WIRE_HEADER_SIZE + WIRE_EAGER_SIZE + sizeof(text) };
	for (int drip = 0; drip < 2; drip++) {
		for (uint64_t back = 0; back <= 2 * EACH; back += EACH / 2) {
			uint8_t all[3 * HANDBOX_RING], body[WIRE_BELL_SIZE + EACH];
			size_t len = 0;
			start();
			for (uint64_t i = 0; i < BELLS; i++) {
				raw_put(body, box.tail, 8);
				frame_of(body + WIRE_BELL_SIZE, i);
				handbox_put(&box, body + WIRE_BELL_SIZE, EACH);
				len += raw_frame_bytes(all + len, WIRE_BELL, 0, body, sizeof(body));
			}
			raw_put(body, box.sent - back, 8);
			len += raw_frame_bytes(all + len, WIRE_RESUME, 0, body, WIRE_RESUME_SIZE);
			memcpy(all + len, box.said + box.sent - back, (size_t)back);
			len += (size_t)back;
			len += frame_of(all + len, BELLS);
			m.raw.drip = drip;
			raw_send(&m.raw, all, len);
			for (uint64_t i = 0; i <= BELLS; i++)
				arrives(i);
			kept_by_socket();
		}
	}
}

/* Not from there while payload is under way, which the kernel is to put into its place. */
Test(hostile_outbox, a_bell_amid_payload_brings_each_byte_once)
{
	static const size_t lens[] = { 1, 100, WIRE_BELL_LONGEST };
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		uint8_t bytes[LEN];
		memset(into, CANARY, sizeof(into));
		struct haul_req *r = stream(into, sizeof(into));
		data(0, LEN, 100);
		ring();
		pattern_fill(bytes, LEN, TAG, 0);
		for (size_t at = 100, n; at < LEN; at += n) {
			uint64_t position = box.tail;
			n = lens[i] < LEN - at ? lens[i] : LEN - at;
			handbox_put(&box, bytes + at, n);
			handbox_ring_for(&m, position, bytes + at, n);
			handmade_settle(&m);
		}
		handbox_say(&box, WIRE_DATA, "8844", (const uint64_t[]){ WIRE_ID(0, 1), LEN, 1, 0 });
		ring();
		must_be(end_of(r, NULL), 0);
		must_hold(into, LEN, TAG, 0);
		kept();
	}
}

Test(hostile_outbox, a_bell_after_demote_brings_nothing)
{
	start();
	must_be(mprotect(box.pages, PAGE, PROT_READ), 0);
	must_be(haul_recv(m.haul, NULL, NULL, 0, 20, NULL), -ETIMEDOUT);
	must_be(handmade_await(&m, WIRE_DEMOTE)->type, WIRE_DEMOTE);
	ring_for_eager(TAG, true);
	handmade_settle(&m);
	must_be(haul_probe(m.haul, NULL, 0, &(struct haul_status){ 0 }), -EAGAIN);
	handmade_say(&m, WIRE_RESUME, 0, "8", 0);
	raw_send(&m.raw, box.said, (size_t)box.sent);
	arrives(TAG);
	kept_by_socket();
}

/* When all comes by the socket, nothing is left that a BELL could have with it. */
Test(hostile_outbox, a_bell_with_a_parcel_in_the_stream_drops_that_peer_alone)
{
	start();
	handmade_say(&m, WIRE_RESUME, 0, "8", 0);
	handbox_ring_for(&m, 0, text, sizeof(text));
	handmade_settle(&m);
	handmade_lost(&m, -EPROTO);
	handbox_fini(&box);
}

/* ---- storms ---- */

static void storm(int bells)
{
	enum { BELL = WIRE_HEADER_SIZE + WIRE_BELL_SIZE };
	static uint8_t bytes[10000 * BELL];
	static const uint8_t body[WIRE_BELL_SIZE];
	for (int i = 0; i < bells; i++)
		raw_frame_bytes(bytes + i * BELL, WIRE_BELL, 0, body, sizeof(body));
	must_be(send(m.raw.fd, bytes, (size_t)bells * BELL, MSG_DONTWAIT), bells * BELL);
}

/* Each call does a bounded piece of it. */
Test(hostile_outbox, a_storm_of_bells_keeps_nobody_waiting)
{
	enum { BELLS = 5000, A_FEW = 1000 };
	start();
	must(haul_fd(m.haul) >= 0);
	storm(BELLS);
	for (uint64_t before, after = stats_of(m.haul).bells_received; after < BELLS;) {
		before = after;
		must(haul_progress(m.haul) >= 0);
		haul_arm(m.haul);
		after = stats_of(m.haul).bells_received;
		must(after > before && after - before < A_FEW);
	}
	storm(BELLS);
	handmade_good_peer_is_well(&m);
	kept();
}

/* Words that lie are looked at again as long as the socket may say that they are obsolete. */
Test(hostile_outbox, a_storm_of_bells_beside_words_that_lie_keeps_nobody_waiting)
{
	enum { BELLS = 5000, A_FEW = 1000 };
	start();
	must(haul_fd(m.haul) >= 0);
	handmade_settle(&m);
	handbox_claim(&box, HANDBOX_RING);
	storm(BELLS);
	for (uint64_t before, after = stats_of(m.haul).bells_received; after < BELLS;) {
		before = after;
		haul_arm(m.haul);
		must(stats_of(m.haul).bells_received - before < A_FEW);
		must(haul_progress(m.haul) >= 0);
		after = stats_of(m.haul).bells_received;
		must(after - before < A_FEW);
	}
	lost(-EPROTO);
}

Test(hostile_outbox, a_storm_of_bells_and_then_the_end_is_the_end)
{
	start();
	storm(9000);
	handbox_eager(&box, TAG, text, sizeof(text));
	shutdown(m.raw.fd, SHUT_WR);
	arrives(TAG);
	must_be(haul_req_wait(m.watch, LATE_MS), 0);
	handmade_lost(&m, -ECONNRESET);
	handbox_fini(&box);
}

/* ---- the end ---- */

/* It shows in the very last look before a sleep: then there must not be one. */
Test(hostile_outbox, who_is_lost_by_the_last_look_wakes_who_waits_for_it)
{
	struct haul_options o = { .transport = HAUL_TRANSPORT_OUTBOX, .spin_us = -1 };
	struct haul_match match = { .tag = TAG };
	handbox_init(&box);
	handmade_start_as(&m, &o, &(struct raw){ .features = WIRE_FEATURE_OUTBOX, .outbox = box.body });
	match.from = m.peer;
	handbox_ring(&m);
	haul_progress(m.haul); /* and is looked into, from now on */
	handbox_claim(&box, HANDBOX_RING);
	must_be(haul_recv(m.haul, &match, NULL, 0, -1, NULL), -EPROTO);
	handmade_lost(&m, -EPROTO);
	handbox_fini(&box);
}

enum { SEND, ISEND, COPY, WAYS };

static int send_in_one_way(int way)
{
	struct iovec iov = { text, sizeof(text) };
	struct haul_req *r;
	if (way != ISEND)
		return haul_sendv(m.peer, TAG, &iov, 1, way == COPY ? HAUL_COPY : 0, LATE_MS);
	int rc = haul_isend(m.peer, TAG, &iov, 1, 0, &r);
	return rc != 0 ? rc : end_of(r, NULL);
}

/* It may have been read there: who leaves when it has read the last message hears no BELL for that, and it has come. */
Test(hostile_outbox, what_is_in_the_outbox_is_sent_though_the_bell_was_not_heard)
{
	for (int way = 0; way < WAYS; way++) {
		uint64_t sent;
		must_note_case("way %d", way);
		start();
		*handbox_their_word(&m, HANDBOX_BELL) = 1;
		must_be(shutdown(m.raw.fd, SHUT_RD), 0);
		must_be(send_in_one_way(way), 0);
		must(handbox_their_tail(&m, 1, &sent) > 0 && sent > sizeof(text));
		must_be(send_in_one_way(way), -ECONNRESET);
		must_be(haul_req_wait(m.watch, LATE_MS), 0);
		handmade_lost(&m, -ECONNRESET);
		handbox_fini(&box);
	}
}
