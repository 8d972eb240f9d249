/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a hostile peer answers to our messages, and asks for of them: ids, results, places and epochs that can't be.
 * Each costs the context that one peer, by -EPROTO, and nobody else anything (lib/handmade.h). test_hostile.c has
 * what it says of its own.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include <haul/haul.h>

#include "lib/handmade.h"
#include "lib/must.h"
#include "lib/talk.h"

TestSuite(hostile_answers, .timeout = 60);

enum { LEN = 60000 };

#define ID(slot) WIRE_ID(slot, 1)

static struct handmade m;
static const struct raw_frame *f;
static char buf[LEN];

/* ---- answers ---- */

enum answer { DONE, REFUSED, CANCELED, FLUSHED, ANSWERS };

static void answer(enum answer which, uint64_t id)
{
	switch (which) {
	case DONE:
		handmade_say(&m, WIRE_DONE, 0, "8", id);
		break;
	case REFUSED:
		handmade_say(&m, WIRE_REFUSED, 0, "8844", id, 0, EACCES, 0);
		break;
	case CANCELED:
		handmade_say(&m, WIRE_CANCELED, 0, "8", id);
		break;
	default:
		handmade_say(&m, WIRE_FLUSHED, 0, "8", id);
		break;
	}
}

/* A synchronous message to the bad peer, and its id. */
static struct haul_req *send_one(size_t len, uint64_t *id)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct haul_req *r;
	must_be(haul_isend(m.peer, 5, &iov, 1, HAUL_SYNC, &r), 0);
	haul_progress(m.haul);
	f = handmade_next(&m, len <= 16384 ? WIRE_EAGER : WIRE_DESC);
	*id = raw_get(f->body + 8, 8);
	return r;
}

Test(hostile_answers, answers_under_a_foreign_id_drop_that_peer_alone)
{
	for (int which = 0; which < ANSWERS; which++) {
		const uint64_t wrong[] = { 0, 1, WIRE_ID(1, 1), WIRE_ID(0, 2), WIRE_ID(0, UINT32_MAX),
			WIRE_ID(0, 0), WIRE_ID(65535, 1), WIRE_ID(65536, 1), WIRE_ID(UINT32_MAX, 1),
			UINT64_MAX };
		for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			uint64_t id;
			must_note_case("answer %d, id %d", which, (int)i);
			handmade_start(&m, NULL);
			struct haul_req *r = send_one(LEN, &id);
			must_be(id, ID(0));
			answer((enum answer)which, wrong[i]);
			must_be(end_of(r, NULL), -EPROTO);
			handmade_lost(&m, -EPROTO);
		}
	}
}

Test(hostile_answers, a_second_answer_drops_that_peer_alone)
{
	static const int results[] = { 0, -EACCES, -ECANCELED };
	for (int first = DONE; first <= CANCELED; first++) {
		for (int second = DONE; second < ANSWERS; second++) {
			uint64_t id;
			must_note_case("%d, then %d", first, second);
			handmade_start(&m, NULL);
			struct haul_req *r = send_one(100, &id);
			answer((enum answer)first, id);
			answer((enum answer)second, id);
			must_be(end_of(r, NULL), results[first]);
			handmade_lost(&m, -EPROTO);
		}
	}
}

Test(hostile_answers, an_id_twice_in_one_done_drops_that_peer_alone)
{
	uint64_t id;
	handmade_start(&m, NULL);
	struct haul_req *r = send_one(LEN, &id);
	handmade_say(&m, WIRE_DONE, 0, "88", id, id);
	must_be(end_of(r, NULL), 0);
	handmade_lost(&m, -EPROTO);
}

Test(hostile_answers, a_message_answered_as_a_flush_drops_that_peer_alone)
{
	uint64_t id;
	handmade_start(&m, NULL);
	struct haul_req *r = send_one(100, &id);
	answer(FLUSHED, id);
	must_be(end_of(r, NULL), -EPROTO);
	handmade_lost(&m, -EPROTO);
}

Test(hostile_answers, a_flush_answered_as_a_message_drops_that_peer_alone)
{
	for (int which = DONE; which <= REFUSED; which++) {
		handmade_start(&m, NULL);
		must_be(haul_peer_flush(m.peer, 1), -ETIMEDOUT);
		f = handmade_await(&m, WIRE_FLUSH);
		answer((enum answer)which, raw_get(f->body, 8));
		handmade_lost(&m, -EPROTO);
	}
}

Test(hostile_answers, a_refusal_without_a_reason_drops_that_peer_alone)
{
	static const uint64_t wrong[] = { 0, 4096, INT32_MAX, UINT32_MAX };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		uint64_t id;
		handmade_start(&m, NULL);
		struct haul_req *r = send_one(100, &id);
		handmade_say(&m, WIRE_REFUSED, 0, "8844", id, 0, wrong[i], 0);
		must_be(end_of(r, NULL), -EPROTO);
		handmade_lost(&m, -EPROTO);
	}
}

/* What a refusal says was received is believed up to the length. */
Test(hostile_answers, more_received_than_was_sent_is_not_believed)
{
	struct haul_status status;
	uint64_t id;
	handmade_start(&m, NULL);
	struct haul_req *r = send_one(100, &id);
	handmade_say(&m, WIRE_REFUSED, 0, "8844", id, UINT64_MAX, EACCES, 0);
	must_be(end_of(r, &status), -EACCES);
	must(status.got <= 100);
	handmade_kept(&m);
}

/* ---- what is asked of us ---- */

Test(hostile_answers, asking_for_bytes_not_on_offer_drops_that_peer_alone)
{
	static const uint64_t wrong[][2] = { { LEN + 1, 0 }, { LEN, 1 }, { 0, LEN + 1 }, { 1, LEN },
		{ 1, UINT64_MAX }, { UINT64_MAX, 1 }, { UINT64_MAX, 2 }, { UINT64_MAX - LEN + 1, LEN },
		{ INT64_MAX, INT64_MAX }, { 0, UINT64_MAX } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		uint64_t id;
		must_note_case("range %d", (int)i);
		handmade_start(&m, NULL);
		struct haul_req *r = send_one(LEN, &id);
		handmade_say(&m, WIRE_SEND, 0, "88844", id, wrong[i][0], wrong[i][1], 1, 0);
		must_be(end_of(r, NULL), -EPROTO);
		handmade_lost(&m, -EPROTO);
	}
}

Test(hostile_answers, asking_with_an_epoch_that_is_over_drops_that_peer_alone)
{
	static const uint32_t epochs[][2] = { { 1, 1 }, { 5, 4 }, { 5, 0 }, { 1, 0x80000001 },
		{ 0x7fffffff, 0xffffffff } };
	for (size_t i = 0; i < sizeof(epochs) / sizeof(epochs[0]); i++) {
		uint64_t id;
		handmade_start(&m, NULL);
		struct haul_req *r = send_one(LEN, &id);
		handmade_say(&m, WIRE_SEND, 0, "88844", id, 0, 1, epochs[i][0], 0);
		handmade_settle(&m);
		handmade_say(&m, WIRE_SEND, 0, "88844", id, 0, 1, epochs[i][1], 0);
		must_be(end_of(r, NULL), -EPROTO);
		handmade_lost(&m, -EPROTO);
	}
}

Test(hostile_answers, asking_for_a_flush_drops_that_peer_alone)
{
	handmade_start(&m, NULL);
	must_be(haul_peer_flush(m.peer, 1), -ETIMEDOUT);
	f = handmade_await(&m, WIRE_FLUSH);
	handmade_say(&m, WIRE_SEND, 0, "88844", raw_get(f->body, 8), 0, 0, 1, 0);
	handmade_lost(&m, -EPROTO);
}

/* It may have crossed the news. */
Test(hostile_answers, asking_for_what_is_over_goes_unheard)
{
	uint64_t id;
	handmade_start(&m, NULL);
	struct haul_req *r = send_one(LEN, &id);
	answer(DONE, id);
	must_be(end_of(r, NULL), 0);
	handmade_say(&m, WIRE_SEND, 0, "88844", id, UINT64_MAX, UINT64_MAX, 0, 0);
	handmade_kept(&m);
}
