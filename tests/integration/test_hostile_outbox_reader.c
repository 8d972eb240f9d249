/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile reader of our outbox: it lies about what it has read, in its head word and by DEMOTE, reads nothing, rings
 * and asks to be rung without end. What it loses by that is its own; the context loses that one peer at most.
 * test_hostile_outbox.c has the other direction.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <haul/haul.h>

#include "lib/handbox.h"
#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/talk.h"

enum { PAGE = 4096, LEN = 16000, SENDS = 20, OVERHEAD = WIRE_HEADER_SIZE + WIRE_EAGER_SIZE };

static struct handmade m;
static struct handbox box;
static unsigned char out[SENDS][LEN];
static struct haul_req *sends[SENDS];

TestSuite(hostile_outbox_reader, .timeout = 60);

static uint64_t their_tail(void)
{
	uint64_t sent;
	return handbox_their_tail(&m, SIZE_MAX, &sent);
}

static uint64_t their_sent(void)
{
	uint64_t sent;
	handbox_their_tail(&m, SIZE_MAX, &sent);
	return sent;
}

/* Takes the first parcel, or says so; returns its bytes. */
static uint64_t take_one(void)
{
	uint64_t sent;
	box.words[HANDBOX_HEAD] = handbox_their_tail(&m, 1, &sent);
	return sent;
}

/* More than the ring holds is to be sent. */
static void fill(void)
{
	handbox_start(&m, &box);
	for (int i = 0; i < SENDS; i++) {
		struct iovec iov = { .iov_base = out[i], .iov_len = LEN };
		pattern_fill(out[i], LEN, (uint64_t)i, 0);
		must_be(haul_isend(m.peer, (uint64_t)i, &iov, 1, 0, &sends[i]), 0);
	}
	handmade_settle(&m);
	must_be(haul_req_test(sends[SENDS - 1]), -EINPROGRESS);
}

static void ring(void)
{
	handbox_ring(&m);
	handmade_settle(&m);
}

static void let_go(void)
{
	for (int i = 0; i < SENDS; i++)
		haul_req_free(sends[i]);
}

static void lost(int error)
{
	handmade_settle(&m);
	must_be(end_of(sends[SENDS - 1], NULL), error);
	sends[SENDS - 1] = NULL;
	let_go();
	handmade_lost(&m, error);
	handbox_fini(&box);
}

/* Everything comes by the socket, from that byte on. */
static void comes_by_socket(uint64_t from)
{
	static struct raw_frame f;
	static uint8_t bytes[OVERHEAD + LEN];
	do
		raw_next(&m.raw, &f);
	while (f.type == WIRE_BELL);
	must_be(f.type, WIRE_RESUME);
	must_be(raw_get(f.body, 8), from);
	size_t skip = (size_t)(from % sizeof(bytes));
	for (uint64_t i = from / sizeof(bytes); i < SENDS; i++, skip = 0) {
		must(raw_read(&m.raw, bytes + skip, sizeof(bytes) - skip));
		must(skip > OVERHEAD || raw_get(bytes + WIRE_HEADER_SIZE, 8) == i || skip > 0);
		size_t at = skip > OVERHEAD ? skip - OVERHEAD : 0;
		must_hold(bytes + OVERHEAD + at, LEN - at, i, at);
	}
	for (int i = 0; i < SENDS; i++)
		must_be(end_of(sends[i], NULL), 0);
	handmade_kept(&m);
	handbox_fini(&box);
}

/* ---- its head ---- */

Test(hostile_outbox_reader, a_head_beyond_the_tail_drops_that_peer_alone)
{
	static const uint64_t beyond[] = { 1, WIRE_PARCEL_ALIGN, PAGE, UINT64_C(1) << 32, INT64_MAX };
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		fill();
		box.words[HANDBOX_HEAD] = their_tail() + beyond[i];
		ring();
		lost(-EPROTO);
	}
}

Test(hostile_outbox_reader, a_head_that_goes_back_drops_that_peer_alone)
{
	fill();
	take_one();
	ring();
	box.words[HANDBOX_HEAD] = 0;
	ring();
	lost(-EPROTO);
}

Test(hostile_outbox_reader, a_head_that_is_no_parcels_beginning_drops_that_peer_alone)
{
	static const uint64_t within[] = { 1, 8, WIRE_PARCEL_ALIGN, PAGE };
	for (size_t i = 0; i < sizeof(within) / sizeof(within[0]); i++) {
		fill();
		box.words[HANDBOX_HEAD] = within[i];
		ring();
		lost(-EPROTO);
	}
}

Test(hostile_outbox_reader, a_head_that_cannot_be_read_is_an_outbox_to_be_left)
{
	fill();
	must_be(mprotect(box.pages, PAGE, PROT_NONE), 0);
	must_be(haul_req_cancel(sends[SENDS - 1]), 0);
	handmade_say(&m, WIRE_RESUME, 0, "8", 0); /* its own words are there, too */
	ring();
	must_be(mprotect(box.pages, PAGE, PROT_READ | PROT_WRITE), 0);
	static struct raw_frame f;
	do
		raw_next(&m.raw, &f);
	while (f.type == WIRE_BELL);
	must_be(f.type, WIRE_RESUME);
	let_go();
	handmade_kept(&m);
	handbox_fini(&box);
}

Test(hostile_outbox_reader, a_head_where_there_is_no_memory_is_an_outbox_to_be_left)
{
	static const uint64_t nowhere[] = { 0, PAGE, UINT64_C(1) << 47, UINT64_MAX - 7 };
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		struct haul_options o = { .transport = HAUL_TRANSPORT_OUTBOX, .eager_max = 65536 };
		must_note_case("case %zu", i);
		handbox_init(&box);
		raw_put(box.body + 16, nowhere[i], 8);
		handmade_start_as(&m, &o,
		    &(struct raw){ .features = WIRE_FEATURE_OUTBOX, .outbox = box.body });
		for (int k = 0; k < SENDS; k++) {
			struct iovec iov = { .iov_base = out[k], .iov_len = LEN };
			pattern_fill(out[k], LEN, (uint64_t)k, 0);
			must_be(haul_isend(m.peer, (uint64_t)k, &iov, 1, 0, &sends[k]), 0);
		}
		comes_by_socket(0);
	}
}

/* ---- DEMOTE ---- */

Test(hostile_outbox_reader, demote_of_what_was_never_sent_drops_that_peer_alone)
{
	static const uint64_t beyond[] = { 1, PAGE, INT64_MAX };
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		fill();
		handmade_say(&m, WIRE_DEMOTE, 0, "8", their_sent() + beyond[i]);
		lost(-EPROTO);
	}
}

Test(hostile_outbox_reader, demote_of_less_than_was_read_drops_that_peer_alone)
{
	fill();
	uint64_t taken = take_one();
	ring();
	handmade_say(&m, WIRE_DEMOTE, 0, "8", taken - 1);
	lost(-EPROTO);
}

Test(hostile_outbox_reader, demote_goes_on_from_where_it_says)
{
	static const uint64_t from[] = { 0, 1, PAGE, OVERHEAD + LEN, 3 * (OVERHEAD + LEN) + OVERHEAD };
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		must_note_case("case %zu", i);
		fill();
		handmade_say(&m, WIRE_DEMOTE, 0, "8", from[i]);
		comes_by_socket(from[i]);
	}
}

Test(hostile_outbox_reader, demote_twice_drops_that_peer_alone)
{
	fill();
	handmade_say(&m, WIRE_DEMOTE, 0, "8", 0);
	handmade_say(&m, WIRE_DEMOTE, 0, "8", 0);
	handmade_settle(&m);
	let_go();
	handmade_lost(&m, -EPROTO);
	handbox_fini(&box);
}

/* Ours goes by the socket, its own by its outbox: BELL goes with the rest, and must not wait for it. */
Test(hostile_outbox_reader, who_waits_for_room_is_rung_for_by_whatever_way_there_is)
{
	handbox_start(&m, &box);
	handmade_say(&m, WIRE_DEMOTE, 0, "8", 0);
	ring();
	must_be(handmade_await(&m, WIRE_RESUME)->type, WIRE_RESUME);
	for (uint64_t i = 0; i < 10; i++) {
		handbox_eager(&box, i, "x", 1);
		ring();
		box.words[HANDBOX_FULL] = box.tail;
		must_be(haul_recv(m.haul, &(struct haul_match){ .from = m.peer, .tag = 100 }, NULL, 0, 5,
		            NULL),
		    -ETIMEDOUT);
		uint8_t frame[WIRE_HEADER_SIZE];
		do /* without any progress: it has gone */
			must_be(recv(m.raw.fd, frame, sizeof(frame), MSG_DONTWAIT), sizeof(frame));
		while (frame[0] == WIRE_CREDIT);
		must_be(frame[0], WIRE_BELL);
		must_be(recv(m.raw.fd, frame, WIRE_BELL_SIZE, MSG_DONTWAIT), WIRE_BELL_SIZE);
	}
	handmade_kept(&m);
	handbox_fini(&box);
}

/* Nor DEMOTE. */
Test(hostile_outbox_reader, a_bell_that_cannot_be_set_is_told_by_whatever_way_there_is)
{
	handbox_start(&m, &box);
	handmade_say(&m, WIRE_DEMOTE, 0, "8", 0);
	ring();
	must_be(handmade_await(&m, WIRE_RESUME)->type, WIRE_RESUME);
	ring(); /* it is looked into */
	must_be(mprotect(box.pages, PAGE, PROT_READ), 0);
	must_be(haul_recv(m.haul, &(struct haul_match){ .from = m.peer, .tag = 100 }, NULL, 0, 5, NULL),
	    -ETIMEDOUT);
	uint8_t frame[WIRE_HEADER_SIZE];
	must_be(recv(m.raw.fd, frame, sizeof(frame), MSG_DONTWAIT), sizeof(frame));
	must_be(frame[0], WIRE_DEMOTE);
	handmade_kept(&m);
	handbox_fini(&box);
}

/* ---- silence and noise ---- */

Test(hostile_outbox_reader, who_reads_nothing_holds_up_nobody_else)
{
	fill();
	must_be(haul_req_deadline(sends[SENDS - 1], 1), 0);
	must_be(end_of(sends[SENDS - 1], NULL), -ETIMEDOUT);
	sends[SENDS - 1] = NULL;
	must_be(haul_send(m.peer, 5, out[0], LEN, 20), -ETIMEDOUT);
	handmade_must_live(&m);
	let_go();
	handmade_end(&m);
	handbox_fini(&box);
}

/* It wants to be rung for each byte, and reads nothing of the socket: which fills. */
Test(hostile_outbox_reader, who_is_rung_for_ever_and_is_deaf_holds_up_nobody)
{
	enum { TIMES = 3000 };
	handbox_start(&m, &box);
	for (int i = 0; i < TIMES; i++) {
		*handbox_their_word(&m, HANDBOX_BELL) = i % 3 == 0 ? UINT64_MAX : 1;
		must_be(haul_send(m.peer, 1, "x", 1, 1000), 0);
	}
	handmade_must_live(&m);
	handmade_end(&m);
	handbox_fini(&box);
}

/* With what lies in the ring, if it is short. */
static void must_be_rung_for(size_t len)
{
	uint64_t at = their_tail();
	const uint8_t *ring = (const uint8_t *)(uintptr_t)raw_get(m.raw.their_outbox, 8);
	must_be(haul_send(m.peer, 1, out[0], len, 1000), 0);
	const struct raw_frame *f = handmade_next(&m, WIRE_BELL);
	if (OVERHEAD + len > WIRE_BELL_LONGEST) {
		must_be(f->size, WIRE_BELL_SIZE);
		return;
	}
	must_be(raw_get(f->body, 8), at);
	must_be(f->size, WIRE_BELL_SIZE + OVERHEAD + len);
	must_be(memcmp(f->body + WIRE_BELL_SIZE, ring + at + WIRE_PARCEL_HEAD, OVERHEAD + len), 0);
}

Test(hostile_outbox_reader, each_message_is_rung_for_as_long_as_the_bell_is_set)
{
	handbox_start(&m, &box);
	for (size_t i = 0; i < 30; i++) {
		*handbox_their_word(&m, HANDBOX_BELL) = 1;
		must_be_rung_for(i);
		must_be_rung_for(WIRE_BELL_LONGEST - OVERHEAD);
		must_be_rung_for(WIRE_BELL_LONGEST - OVERHEAD + 1);
		must_be(*handbox_their_word(&m, HANDBOX_BELL), 1);
		*handbox_their_word(&m, HANDBOX_BELL) = 0;
		must_be(haul_send(m.peer, 1, "x", 1, 1000), 0);
	}
	handmade_kept(&m);
	handbox_fini(&box);
}
