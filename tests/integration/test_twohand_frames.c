/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two-handed pulls with a sender made by hand: claims that meet, claims that are void, hands that lie, and answers. The
 * context receives, in the same process and thread, so it does nothing but what a step of the test lets it do.
 * test_twohand_asks.c has the other side.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/handmade.h"
#include "lib/must.h"
#include "lib/pairing.h"
#include "lib/pattern.h"
#include "lib/talk.h"
#include "lib/world.h"

TestSuite(twohand_frames, .timeout = 60);

enum { LEN = (1 << 20) + 77, TAG = 5, BUFFERS = 40, NO_HELP = 100 };

#define ID WIRE_ID(0, 1)
#define COOKIE UINT64_C(0x1122334455667788)

static const struct haul_options options = { .two_handed = 1 };

/* A message of the peer's, its words, and the context's receive for it. */
struct sent {
	struct handmade m;
	struct haul_req *r;
	uint64_t hand, cell; /* as the context reads them */
	unsigned char *payload, buf[LEN];
};

static uint64_t hand(uint32_t epoch, uint64_t from, int live)
{
	return (uint64_t)epoch << 48 | from << 1 | (uint64_t)live;
}

static void start_as(struct sent *s, const struct haul_options *ours, const struct raw *like)
{
	*s = (struct sent){ .cell = COOKIE, .payload = filled(LEN, 1) };
	memset(s->buf, CANARY, LEN);
	handmade_start_as(&s->m, ours, like);
}

static void start(struct sent *s)
{
	start_as(s, &options, &(struct raw){ .features = WIRE_FEATURE_TWO_HANDED });
}

static void describe_at(struct sent *s, uint64_t id, uint64_t hand_at)
{
	uint64_t n[] = { TAG, id, 0, 1, LEN, (uintptr_t)&s->cell, COOKIE, 0, hand_at, (uintptr_t)s->payload,
		LEN };
	handmade_say_numbers(&s->m, WIRE_DESC, 0, "88448888888", n);
	handmade_settle(&s->m);
}

static void describe(struct sent *s)
{
	describe_at(s, ID, (uintptr_t)&s->hand);
}

/* Posts the receive and lets the context do all it can. */
static void receive(struct sent *s)
{
	s->r = post_receive(s->m.haul, s->buf, LEN, TAG);
	handmade_settle(&s->m);
}

/* The sender's hand stands there before the receiver asks, which is by epoch 1. */
static void receive_with(struct sent *s, uint64_t word)
{
	start(s);
	describe(s);
	s->hand = word;
	receive(s);
}

static void say_assisted(struct sent *s, uint64_t id, uint32_t epoch)
{
	handmade_say(&s->m, WIRE_ASSISTED, 0, "844", id, epoch, 0);
	handmade_settle(&s->m);
}

static void must_be_asked(struct sent *s, uint32_t epoch)
{
	const struct raw_frame *f = handmade_next(&s->m, WIRE_ASSIST);
	must_be(raw_get(f->body, 8), ID);
	must_be(raw_get(f->body + 40, 4), epoch);
	must(f->size > WIRE_ASSIST_SIZE);
}

static void must_wait(struct sent *s)
{
	must_be(haul_req_test(s->r), -EINPROGRESS);
	handmade_settle(&s->m);
	must_be(haul_req_test(s->r), -EINPROGRESS);
}

/* It has all from where the peer left off; from there on it believes the peer. */
static void must_complete(struct sent *s, uint64_t believed)
{
	must_be(end_of(s->r, NULL), 0);
	must_hold(s->buf, believed, 1, 0);
	must_be_untouched(s->buf + believed, LEN - believed);
	must_be(raw_get(handmade_await(&s->m, WIRE_DONE)->body, 8), ID);
}

static void end(struct sent *s)
{
	handmade_kept(&s->m);
	free(s->payload);
}

static void end_lost(struct sent *s, int error)
{
	handmade_lost(&s->m, error);
	free(s->payload);
}

/* ---- what is asked ---- */

Test(twohand_frames, an_ask_says_where_all_belongs)
{
	static struct sent s;
	start(&s);
	describe(&s);
	s.r = post_receive(s.m.haul, s.buf, LEN, TAG);
	const struct raw_frame *f = handmade_next(&s.m, WIRE_ASSIST);
	must_be(f->size, WIRE_ASSIST_SIZE + WIRE_RANGE_SIZE);
	must_be(raw_get(f->body, 8), ID);
	must_be(raw_get(f->body + 8, 8), 0);
	must_be(raw_get(f->body + 16, 8) % 8, 0);
	must(raw_get(f->body + 24, 8) != 0);
	must_be(raw_get(f->body + 32, 8) % 8, 0);
	must_be(raw_get(f->body + 40, 4), 1);
	must_be(raw_get(f->body + 48, 8), (uintptr_t)s.buf);
	must_be(raw_get(f->body + 56, 8), LEN);
	must_complete(&s, LEN);
	end(&s);
}

/* Of more buffers than a frame has room for the last ones. */
Test(twohand_frames, of_a_long_list_the_end_is_asked_for)
{
	static struct sent s;
	struct iovec iov[BUFFERS];
	start(&s);
	describe(&s);
	size_t each = LEN / BUFFERS;
	for (size_t i = 0; i < BUFFERS; i++)
		iov[i] = (struct iovec){ s.buf + i * each, i < BUFFERS - 1 ? each : LEN - i * each };
	must_be(haul_irecv(s.m.haul, NULL, iov, BUFFERS, &s.r), 0);
	const struct raw_frame *f = handmade_next(&s.m, WIRE_ASSIST);
	must_be(f->size, WIRE_ASSIST_SIZE + WIRE_GRANT_RANGES * WIRE_RANGE_SIZE);
	must_be(raw_get(f->body + 8, 8), (BUFFERS - WIRE_GRANT_RANGES) * each);
	for (size_t i = 0; i < WIRE_GRANT_RANGES; i++) {
		const struct iovec *v = &iov[BUFFERS - WIRE_GRANT_RANGES + i];
		must_be(raw_get(f->body + 48 + 16 * i, 8), (uintptr_t)v->iov_base);
		must_be(raw_get(f->body + 56 + 16 * i, 8), v->iov_len);
	}
	must_complete(&s, LEN);
	end(&s);
}

Test(twohand_frames, a_short_receive_asks_for_what_it_has_room_for)
{
	static struct sent s;
	start(&s);
	describe(&s);
	s.hand = hand(1, 600000, 0);
	s.r = post_receive(s.m.haul, s.buf, 700000, TAG);
	const struct raw_frame *f = handmade_next(&s.m, WIRE_ASSIST);
	must_be(raw_get(f->body + 56, 8), 700000);
	must_be(end_of(s.r, NULL), -EMSGSIZE);
	must_hold(s.buf, 600000, 1, 0);
	must_be_untouched(s.buf + 600000, LEN - 600000);
	end(&s);
}

static void must_not_ask(struct sent *s)
{
	must_be(end_of(s->r, NULL), 0);
	must_hold(s->buf, LEN, 1, 0);
	must_be(raw_get(handmade_next(&s->m, WIRE_DONE)->body, 8), ID);
	end(s);
}

Test(twohand_frames, nobody_is_asked_who_has_no_hand)
{
	static struct sent s;
	start(&s);
	describe_at(&s, ID, 0);
	receive(&s);
	must_not_ask(&s);
}

Test(twohand_frames, nobody_is_asked_who_can_not_read_here)
{
	static struct sent s;
	start_as(&s, &options, &(struct raw){ .features = WIRE_FEATURE_TWO_HANDED, .verdict = EPERM });
	describe(&s);
	receive(&s);
	must_not_ask(&s);
}

Test(twohand_frames, nobody_is_asked_to_help_with_a_receive_that_has_a_deadline)
{
	static struct sent s;
	start(&s);
	s.r = post_receive(s.m.haul, s.buf, LEN, TAG);
	must_be(haul_req_deadline(s.r, PATIENCE_MS), 0);
	describe(&s);
	must_not_ask(&s);
}

/* Three times in vain, then with growing pauses. */
Test(twohand_frames, who_does_not_help_is_asked_more_seldom)
{
	static struct sent s;
	static const int asked_at[] = { 0, 1, 2, 4, 7, 12, 21, 38, 71 };
	size_t asked = 0;
	start(&s);
	for (int i = 0; i < NO_HELP; i++) {
		describe_at(&s, WIRE_ID(0, i + 1), (uintptr_t)&s.hand);
		receive(&s);
		must_be(end_of(s.r, NULL), 0);
		if (asked < sizeof(asked_at) / sizeof(asked_at[0]) && asked_at[asked] == i) {
			handmade_next(&s.m, WIRE_ASSIST);
			asked++;
		}
		handmade_next(&s.m, WIRE_DONE);
	}
	must_be(asked, sizeof(asked_at) / sizeof(asked_at[0]));
	end(&s);
}

/* ---- claims ---- */

Test(twohand_frames, an_idle_hand_is_believed)
{
	static const uint64_t from[] = { LEN - 1, 700001, 524288, 262145, 262144 };
	static struct sent s;
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		receive_with(&s, hand(1, from[i], 0));
		must_be_asked(&s, 1);
		must_complete(&s, from[i]);
		end(&s);
	}
}

/* The first piece is under way when the hand is seen first: what was copied twice is no harm. */
Test(twohand_frames, claims_may_meet_in_the_first_piece)
{
	static const uint64_t from[] = { 262143, 1, 0 };
	static struct sent s;
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		receive_with(&s, hand(1, from[i], 0));
		must_be_asked(&s, 1);
		must_complete(&s, 262144);
		end(&s);
	}
}

Test(twohand_frames, a_live_hand_is_waited_for)
{
	static struct sent s;
	receive_with(&s, hand(1, 700001, 1));
	must_be_asked(&s, 1);
	must_wait(&s);
	s.hand = hand(1, 700001, 0);
	must_wait(&s); /* it is heard of by the answer */
	say_assisted(&s, ID, 1);
	must_complete(&s, 700001);
	end(&s);
}

Test(twohand_frames, a_claim_that_was_void_is_pulled_after_all)
{
	static const uint64_t from[] = { LEN, LEN - 1, 1000000, 700002 };
	static struct sent s;
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		receive_with(&s, hand(1, 700001, 1));
		must_be_asked(&s, 1);
		must_wait(&s);
		must_be_untouched(s.buf + 700001, LEN - 700001);
		s.hand = hand(1, from[i], 0);
		say_assisted(&s, ID, 1);
		must_complete(&s, from[i]);
		end(&s);
	}
}

Test(twohand_frames, the_cell_is_cleared_before_a_live_hand_is_waited_for)
{
	static struct sent s;
	start(&s);
	describe(&s);
	s.hand = hand(1, 700001, 1);
	s.r = post_receive(s.m.haul, s.buf, LEN, TAG);
	handmade_settle(&s.m);
	const struct raw_frame *f = handmade_next(&s.m, WIRE_ASSIST);
	const uint64_t *cell = (const uint64_t *)(uintptr_t)raw_get(f->body + 16, 8),
	               *front = (const uint64_t *)(uintptr_t)raw_get(f->body + 32, 8);
	must(*cell != raw_get(f->body + 24, 8));
	must(*front >= 700001 && *front <= LEN);
	s.hand = hand(1, LEN, 0);
	say_assisted(&s, ID, 1);
	must_complete(&s, LEN);
	end(&s);
}

Test(twohand_frames, a_hand_of_another_epoch_says_nothing)
{
	static const uint32_t epochs[] = { 0, 2, 65535 };
	static struct sent s;
	for (size_t i = 0; i < sizeof(epochs) / sizeof(epochs[0]); i++) {
		receive_with(&s, hand(epochs[i], 10, (int)(i % 2)));
		must_be_asked(&s, 1);
		must_complete(&s, LEN);
		end(&s);
	}
}

/* A read of a taken message has an epoch of its own, so what the hand says of the one before is not believed. */
Test(twohand_frames, each_read_has_its_epoch)
{
	static struct sent s;
	struct haul_msg *m;
	start(&s);
	describe(&s);
	must_be(haul_take(s.m.haul, NULL, PATIENCE_MS, &m), 0);
	s.hand = hand(1, 600000, 0);
	for (uint32_t epoch = 1; epoch < 4; epoch++) {
		struct iovec iov = { s.buf, LEN };
		uint64_t believed = epoch == 1 ? 600000 : LEN;
		memset(s.buf, CANARY, LEN);
		must_be(haul_msg_iread(m, 0, &iov, 1, &s.r), 0);
		must_be(end_of(s.r, NULL), 0);
		must_be_asked(&s, epoch);
		must_hold(s.buf, believed, 1, 0);
		must_be_untouched(s.buf + believed, LEN - believed);
	}
	must_be(haul_msg_done(m), 0);
	end(&s);
}

/* ---- hands that lie, or are not there ---- */

Test(twohand_frames, a_hand_beyond_the_message_is_no_help)
{
	static const uint64_t from[] = { LEN, LEN + 1, (UINT64_C(1) << 47) - 1 };
	static struct sent s;
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		receive_with(&s, hand(1, from[i], 0));
		must_be_asked(&s, 1);
		must_complete(&s, LEN);
		end(&s);
	}
}

Test(twohand_frames, a_hand_that_can_not_be_read_is_no_help)
{
	static const uint64_t at[] = { 8, 4096, 0xffffffff81000000, UINT64_MAX - 7 };
	static struct sent s;
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		start(&s);
		describe_at(&s, ID, at[i]);
		receive(&s);
		must_be_asked(&s, 1);
		must_complete(&s, LEN);
		end(&s);
	}
}

/* After its answer a live hand is no reason to wait. */
Test(twohand_frames, who_has_answered_is_not_waited_for)
{
	static struct sent s;
	receive_with(&s, hand(1, 700001, 1));
	must_be_asked(&s, 1);
	must_wait(&s);
	say_assisted(&s, ID, 1);
	must_complete(&s, LEN);
	end(&s);
}

/* ---- ends ---- */

Test(twohand_frames, a_message_that_was_taken_back_is_canceled)
{
	static struct sent s;
	start(&s);
	describe(&s);
	s.hand = hand(1, 700001, 1);
	s.cell++;
	receive(&s);
	must_be_asked(&s, 1);
	must_be(end_of(s.r, NULL), -ECANCELED);
	must_be(raw_get(handmade_await(&s.m, WIRE_CANCELED)->body, 8), ID);
	end(&s);
}

/* What is said before the write has ended is done when it has. */
Test(twohand_frames, a_cancel_waits_for_a_live_hand)
{
	static struct sent s;
	receive_with(&s, hand(1, 700001, 1));
	must_be_asked(&s, 1);
	handmade_say(&s.m, WIRE_CANCEL, 0, "8", ID);
	must_wait(&s);
	s.hand = hand(1, LEN, 0);
	say_assisted(&s, ID, 1);
	must_be(end_of(s.r, NULL), -ECANCELED);
	must_be(raw_get(handmade_await(&s.m, WIRE_CANCELED)->body, 8), ID);
	end(&s);
}

Test(twohand_frames, a_sender_that_hangs_up_writes_no_more)
{
	static struct sent s;
	receive_with(&s, hand(1, 700001, 1));
	must_be_asked(&s, 1);
	must_wait(&s);
	must_be(shutdown(s.m.raw.fd, SHUT_RDWR), 0);
	must_be(end_of(s.r, NULL), -ECONNRESET);
	end_lost(&s, -ECONNRESET);
}

/* It is dropped, but may be writing; its end of file ends that. */
Test(twohand_frames, one_that_is_dropped_is_waited_for)
{
	static const uint8_t nonsense[WIRE_HEADER_SIZE] = { 255 };
	static struct sent s;
	receive_with(&s, hand(1, 700001, 1));
	must_be_asked(&s, 1);
	must(raw_send(&s.m.raw, nonsense, sizeof(nonsense)));
	must_wait(&s);
	must_be(haul_peer_close(s.m.peer, 0), -EBUSY);
	must_wait(&s);
	must_be(shutdown(s.m.raw.fd, SHUT_RDWR), 0);
	must_be(end_of(s.r, NULL), -EPROTO);
	end_lost(&s, -EPROTO);
}

Test(twohand_frames, a_close_waits_for_a_live_hand)
{
	static struct sent s;
	receive_with(&s, hand(1, 700001, 1));
	must_be_asked(&s, 1);
	must_be(haul_peer_close(s.m.peer, 0), -EBUSY);
	must_be(haul_close(s.m.haul, 0), -EBUSY);
	must_wait(&s);
	s.hand = hand(1, 700001, 0);
	say_assisted(&s, ID, 1);
	must_be(end_of(s.r, NULL), 0);
	must_hold(s.buf, 700001, 1, 0);
	must_be(haul_close(s.m.haul, 0), 0);
	must_be(haul_close(s.m.other, 0), 0);
	close(s.m.raw.fd);
	free(s.payload);
}

Test(twohand_frames, an_idle_hand_holds_nothing_up)
{
	static struct sent s;
	start(&s);
	describe(&s);
	s.r = post_receive(s.m.haul, s.buf, LEN, TAG);
	must(haul_progress(s.m.haul) >= 0);
	must_be(haul_req_deadline(s.r, 0), 0);
	must_be(haul_req_wait(s.r, PATIENCE_MS), 0);
	int rc = haul_req_finish(s.r, NULL);
	must(rc == 0 || rc == -ETIMEDOUT);
	end(&s);
}

/* ---- when it can't be read any more ---- */

/* It asks by a frame, and hears by one. The rest comes by stream. */
Test(twohand_frames, who_can_not_read_the_hand_asks)
{
	static struct sent s;
	start(&s);
	describe(&s);
	must(world_refuse_reads(EPERM) == NULL);
	receive(&s);
	must_be_asked(&s, 1);
	const struct raw_frame *f = handmade_next(&s.m, WIRE_ASSIST);
	must_be(f->size, WIRE_ASSIST_SIZE);
	must_be(raw_get(f->body, 8), ID);
	must_be(raw_get(f->body + 40, 4), 1);
	must_be(haul_req_deadline(s.r, 0), 0);
	must_wait(&s);
	say_assisted(&s, ID, 1);
	must_be(end_of(s.r, NULL), -ETIMEDOUT);
	end(&s);
}

/* ---- answers ---- */

Test(twohand_frames, an_answer_that_comes_late_is_ignored)
{
	static struct sent s;
	receive_with(&s, hand(1, 700001, 0));
	must_be_asked(&s, 1);
	must_complete(&s, 700001);
	say_assisted(&s, ID, 1);
	say_assisted(&s, ID, 2);
	end(&s);
}

Test(twohand_frames, an_answer_of_another_epoch_is_ignored)
{
	static struct sent s;
	receive_with(&s, hand(1, 700001, 1));
	must_be_asked(&s, 1);
	say_assisted(&s, ID, 0);
	say_assisted(&s, ID, 2);
	must_wait(&s);
	s.hand = hand(1, LEN, 0);
	say_assisted(&s, ID, 1);
	must_complete(&s, LEN);
	end(&s);
}

Test(twohand_frames, an_answer_to_what_was_never_sent_drops_that_peer_alone)
{
	static const uint64_t ids[] = { 0, WIRE_ID(1, 1), WIRE_ID(0, 2), UINT64_MAX };
	static struct sent s;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		start(&s);
		describe(&s);
		say_assisted(&s, ids[i], 1);
		end_lost(&s, -EPROTO);
	}
}

Test(twohand_frames, nobody_says_so_who_did_not_agree)
{
	static const struct haul_options none = { 0 };
	static struct sent s;
	start_as(&s, &none, &(struct raw){ .features = WIRE_FEATURE_TWO_HANDED });
	describe_at(&s, ID, 0);
	say_assisted(&s, ID, 1);
	end_lost(&s, -EPROTO);
	start_as(&s, &none, &(struct raw){ .features = WIRE_FEATURE_TWO_HANDED });
	describe(&s);
	end_lost(&s, -EPROTO);
	start_as(&s, &options, &(struct raw){ .features = 0 });
	describe(&s);
	end_lost(&s, -EPROTO);
}

Test(twohand_frames, a_hand_out_of_line_drops_that_peer_alone)
{
	static struct sent s;
	for (uint64_t i = 1; i < 8; i++) {
		start(&s);
		describe_at(&s, ID, (uintptr_t)&s.hand + i);
		end_lost(&s, -EPROTO);
	}
}
