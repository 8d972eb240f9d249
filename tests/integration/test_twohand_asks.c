/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A receiver made by hand asks for help: rightly, and for what can't be. The context sends, and has a progress thread,
 * which waits, so that it helps. It writes nowhere but where it was asked to, and behind the front.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "lib/clock.h"
#include "lib/handmade.h"
#include "lib/must.h"
#include "lib/pairing.h"
#include "lib/pattern.h"
#include "lib/refuse.h"
#include "lib/talk.h"

TestSuite(twohand_asks, .timeout = 60);

enum { LEN = (1 << 20) + 77, TAG = 5, ANY_CPU = -1 };

#define COOKIE UINT64_C(0x1122334455667788)

static const struct haul_options options = { .two_handed = 1, .progress_thread = 1 };

/* A message of the context's that the peer has heard of, and the peer's room for it. */
struct offer {
	struct handmade m;
	struct haul_req *r;
	unsigned char *buf;
	uint64_t id, cell, front;
	const uint64_t *hand; /* the context's, which is in this process */
	unsigned char room[LEN];
};

/* What the peer says in an ASSIST; at first all of it is right. */
struct ask {
	uint64_t id, offset, cell, cookie, front;
	uint32_t epoch, cpu;
	size_t count;
	struct iovec iov[2];
};

static void start_as(struct offer *o, const struct haul_options *ours, const struct raw *like)
{
	struct iovec iov = { filled(LEN, 1), LEN };
	*o = (struct offer){ .buf = iov.iov_base, .cell = COOKIE };
	memset(o->room, CANARY, LEN);
	handmade_start_as(&o->m, ours, like);
	must_be(haul_isend(o->m.peer, TAG, &iov, 1, HAUL_SYNC, &o->r), 0);
	const struct raw_frame *f = handmade_next(&o->m, WIRE_DESC);
	o->id = raw_get(f->body + 8, 8);
	o->hand = (const uint64_t *)(uintptr_t)raw_get(f->body + 56, 8);
}

/* Before the progress thread waits nobody helps. */
static void await_waiter(struct haul *h)
{
	int64_t late = clock_ns() + (int64_t)PATIENCE_MS * 1000000;
	while (stats_of(h).sleeps == 0) {
		must(clock_ns() < late);
		sched_yield();
	}
}

static void start(struct offer *o)
{
	start_as(o, &options, &(struct raw){ .features = WIRE_FEATURE_TWO_HANDED });
	must(o->hand != NULL);
	must_be(*o->hand, 0);
	await_waiter(o->m.haul);
}

static void end(struct offer *o)
{
	handmade_end(&o->m);
	free(o->buf);
}

static struct ask ask_for_all(struct offer *o)
{
	return (struct ask){ .id = o->id,
		.cell = (uintptr_t)&o->cell,
		.cookie = COOKIE,
		.front = (uintptr_t)&o->front,
		.epoch = 1,
		.cpu = (uint32_t)ANY_CPU,
		.count = 1,
		.iov = { { o->room, LEN } } };
}

static size_t ask_bytes(uint8_t *to, const struct ask *a)
{
	uint8_t body[WIRE_ASSIST_SIZE + 2 * WIRE_RANGE_SIZE] = { 0 };
	raw_put(body, a->id, 8);
	raw_put(body + 8, a->offset, 8);
	raw_put(body + 16, a->cell, 8);
	raw_put(body + 24, a->cookie, 8);
	raw_put(body + 32, a->front, 8);
	raw_put(body + 40, a->epoch, 4);
	raw_put(body + 44, a->cpu, 4);
	for (size_t i = 0; i < a->count; i++) {
		raw_put(body + WIRE_ASSIST_SIZE + i * WIRE_RANGE_SIZE, (uintptr_t)a->iov[i].iov_base, 8);
		raw_put(body + WIRE_ASSIST_SIZE + i * WIRE_RANGE_SIZE + 8, a->iov[i].iov_len, 8);
	}
	return raw_frame_bytes(to, WIRE_ASSIST, 0, body, WIRE_ASSIST_SIZE + a->count * WIRE_RANGE_SIZE);
}

static void say_ask(struct offer *o, const struct ask *a)
{
	uint8_t bytes[WIRE_FRAME_ROOM];
	must(raw_send(&o->m.raw, bytes, ask_bytes(bytes, a)));
}

static void say_stop(struct offer *o, uint32_t epoch)
{
	say_ask(o, &(struct ask){ .id = o->id, .epoch = epoch, .cookie = COOKIE });
}

static void must_be_assisted(struct offer *o, uint32_t epoch)
{
	const struct raw_frame *f = handmade_next(&o->m, WIRE_ASSISTED);
	must_be(raw_get(f->body, 8), o->id);
	must_be(raw_get(f->body + 8, 4), epoch);
}

static uint64_t idle(uint32_t epoch, uint64_t from)
{
	return (uint64_t)epoch << 48 | from << 1;
}

/* Until the hand has come to rest there. */
static void await_hand(struct offer *o, uint64_t word)
{
	int64_t late = clock_ns() + (int64_t)PATIENCE_MS * 1000000;
	while (__atomic_load_n(o->hand, __ATOMIC_ACQUIRE) != word) {
		must(clock_ns() < late);
		must(haul_progress(o->m.haul) >= 0);
	}
}

static void must_be_dropped(struct offer *o)
{
	handmade_must_be_lost(&o->m, -EPROTO);
	must_be(end_of(o->r, NULL), -EPROTO);
	must_be_untouched(o->room, LEN);
	end(o);
}

static void finish(struct offer *o)
{
	handmade_say(&o->m, WIRE_DONE, 0, "8", o->id);
	must_be(end_of(o->r, NULL), 0);
	handmade_must_live(&o->m);
	end(o);
}

/* ---- right ones ---- */

Test(twohand_asks, all_of_it_is_written_if_the_front_does_not_move)
{
	static struct offer o;
	start(&o);
	struct ask a = ask_for_all(&o);
	say_ask(&o, &a);
	await_hand(&o, idle(1, 0));
	must_hold(o.room, LEN, 1, 0);
	handmade_settle(&o.m);
	must_be(stats_of(o.m.haul).assisted, 1);
	must_be(stats_of(o.m.haul).assisted_bytes, LEN);
	finish(&o);
}

Test(twohand_asks, a_part_is_written_where_it_belongs)
{
	static struct offer o;
	start(&o);
	struct ask a = ask_for_all(&o);
	a.offset = 500001;
	a.count = 2;
	a.iov[0] = (struct iovec){ o.room + 600000, 100 };
	a.iov[1] = (struct iovec){ o.room, 300000 };
	say_ask(&o, &a);
	await_hand(&o, idle(1, 500001));
	must_hold(o.room, 300000, 1, 500101);
	must_be_untouched(o.room + 300000, 300000);
	must_hold(o.room + 600000, 100, 1, 500001);
	must_be_untouched(o.room + 600100, LEN - 600100);
	finish(&o);
}

/* Whole chunks only, and none before the front. */
Test(twohand_asks, nothing_is_written_before_the_front)
{
	static const uint64_t fronts[] = { 1, 262144, 300000, 786432, 786433, LEN, UINT64_MAX },
	                      ends[] = { 262144, 393216, 540672, 786432, LEN, LEN, LEN };
	static struct offer o;
	for (size_t i = 0; i < sizeof(fronts) / sizeof(fronts[0]); i++) {
		start(&o);
		struct ask a = ask_for_all(&o);
		o.front = fronts[i];
		say_ask(&o, &a);
		await_hand(&o, idle(1, ends[i]));
		say_stop(&o, 1);
		must_be_assisted(&o, 1);
		must_be(*o.hand, idle(1, ends[i]));
		must_be_untouched(o.room, ends[i]);
		must_hold(o.room + ends[i], LEN - ends[i], 1, ends[i]);
		finish(&o);
	}
}

/* As each read of a taken message does. */
Test(twohand_asks, it_can_be_asked_for_again)
{
	static struct offer o;
	start(&o);
	for (uint32_t epoch = 1; epoch < 5; epoch++) {
		struct ask a = ask_for_all(&o);
		a.epoch = epoch;
		a.offset = epoch * 1000;
		a.iov[0].iov_len = 600000;
		memset(o.room, CANARY, LEN);
		o.cell = a.cookie = COOKIE + epoch;
		say_ask(&o, &a);
		await_hand(&o, idle(epoch, epoch * 1000));
		must_hold(o.room, 600000, 1, epoch * 1000);
		must_be_untouched(o.room + 600000, LEN - 600000);
		/* It must have noticed the end before it is asked for more, or it would rather not. */
		handmade_settle(&o.m);
		say_stop(&o, epoch);
		must_be_assisted(&o, epoch);
	}
	must_be(stats_of(o.m.haul).assisted, 1);
	finish(&o);
}

Test(twohand_asks, a_cleared_cell_is_answered)
{
	static struct offer o;
	start(&o);
	struct ask a = ask_for_all(&o);
	o.cell = 0;
	say_ask(&o, &a);
	must_be_assisted(&o, 1);
	must_be(*o.hand, idle(1, LEN));
	must_be_untouched(o.room, LEN);
	finish(&o);
}

Test(twohand_asks, a_cell_or_front_that_is_not_there_is_answered)
{
	static const uint64_t at[] = { 0, 8, 4096, 0xffffffff81000000, UINT64_MAX - 7 };
	static struct offer o;
	for (size_t i = 0; i < 2 * sizeof(at) / sizeof(at[0]); i++) {
		start(&o);
		struct ask a = ask_for_all(&o);
		*(i % 2 == 0 ? &a.cell : &a.front) = at[i / 2];
		say_ask(&o, &a);
		await_hand(&o, idle(1, LEN));
		say_stop(&o, 1);
		must_be_assisted(&o, 1);
		must_be_untouched(o.room, LEN);
		finish(&o);
	}
}

Test(twohand_asks, a_range_that_can_not_be_written_counts_for_nothing)
{
	static struct offer o;
	start(&o);
	struct ask a = ask_for_all(&o);
	a.count = 2;
	a.iov[0] = (struct iovec){ o.room, LEN - 10000 };
	a.iov[1] = (struct iovec){ (void *)4096, 10000 };
	say_ask(&o, &a);
	await_hand(&o, idle(1, LEN));
	say_stop(&o, 1);
	must_be_assisted(&o, 1);
	must_be(stats_of(o.m.haul).assisted, 0);
	finish(&o);
}

Test(twohand_asks, who_wants_an_answer_gets_one_each_time)
{
	static struct offer o;
	start(&o);
	struct ask a = ask_for_all(&o);
	a.offset = LEN - 1;
	a.iov[0].iov_len = 1;
	say_ask(&o, &a);
	for (int i = 0; i < 10; i++) {
		say_stop(&o, 1);
		must_be_assisted(&o, 1);
	}
	finish(&o);
}

/* The end of the message, in one piece with the ask: it may be written or not, and then not any more. */
Test(twohand_asks, the_message_may_end_at_once)
{
	static struct offer o;
	uint8_t bytes[2 * WIRE_FRAME_ROOM], done[8];
	for (int i = 0; i < 20; i++) {
		start(&o);
		struct ask a = ask_for_all(&o);
		size_t len = ask_bytes(bytes, &a);
		raw_put(done, o.id, 8);
		len += raw_frame_bytes(bytes + len, WIRE_DONE, 0, done, sizeof(done));
		must(raw_send(&o.m.raw, bytes, len));
		must_be(end_of(o.r, NULL), 0);
		memset(o.room, CANARY, LEN);
		memset(o.buf, 0, LEN);
		handmade_must_live(&o.m);
		must_be_untouched(o.room, LEN);
		end(&o);
	}
}

/* Nothing is written for whom the send has ended. */
Test(twohand_asks, what_was_withdrawn_is_not_written)
{
	static struct offer o;
	start(&o);
	must_be(haul_req_deadline(o.r, 0), 0);
	must_be(end_of(o.r, NULL), -ETIMEDOUT);
	memset(o.buf, 0, LEN);
	struct ask a = ask_for_all(&o);
	say_ask(&o, &a);
	handmade_next(&o.m, WIRE_CANCEL);
	say_stop(&o, 1);
	must_be_assisted(&o, 1);
	must_be_untouched(o.room, LEN);
	handmade_say(&o.m, WIRE_CANCELED, 0, "8", o.id);
	handmade_must_live(&o.m);
	end(&o);
}

Test(twohand_asks, who_is_refused_to_write_never_does_again)
{
	static struct offer o;
	struct haul_peer_info info;
	start(&o);
	must_be(refuse_call(SYS_process_vm_writev, EPERM), 0);
	struct ask a = ask_for_all(&o);
	say_ask(&o, &a);
	await_hand(&o, idle(1, LEN));
	say_stop(&o, 1);
	must_be_assisted(&o, 1);
	must_be(haul_peer_info(o.m.peer, &info, sizeof(info)), 0);
	must_be(info.two_handed, 0);
	a.epoch = 2;
	say_ask(&o, &a);
	say_stop(&o, 2);
	must_be_assisted(&o, 2);
	must_be(*o.hand, idle(1, LEN));
	must_be_untouched(o.room, LEN);
	finish(&o);
}

/* ---- what can't be ---- */

static void refuse(struct offer *o, const struct ask *a)
{
	say_ask(o, a);
	must_be_dropped(o);
}

Test(twohand_asks, nobody_has_a_hand_who_did_not_agree)
{
	static const struct haul_options none = { .progress_thread = 1 };
	static struct offer o;
	for (int ours = 0; ours < 2; ours++) {
		start_as(&o, ours ? &options : &none,
		    &(struct raw){ .features = ours ? 0 : WIRE_FEATURE_TWO_HANDED });
		must(o.hand == NULL);
		struct ask a = ask_for_all(&o);
		refuse(&o, &a);
	}
}

/* Each side has to be able to read the other. */
Test(twohand_asks, nor_who_can_not_read_or_be_read)
{
	static struct offer o;
	start_as(&o, &options, &(struct raw){ .features = WIRE_FEATURE_TWO_HANDED, .verdict = EPERM });
	must(o.hand == NULL);
	struct ask a = ask_for_all(&o);
	refuse(&o, &a);
	start_as(&o, &options, &(struct raw){ .features = WIRE_FEATURE_TWO_HANDED, .impostor = true });
	must(o.hand == NULL);
	a = ask_for_all(&o);
	refuse(&o, &a);
}

Test(twohand_asks, ids_that_are_not_live_drop_that_peer_alone)
{
	static const uint64_t ids[] = { 0, WIRE_ID(1, 1), WIRE_ID(0, 2), WIRE_ID(0, 0), UINT64_MAX };
	static struct offer o;
	for (size_t i = 0; i < 2 * sizeof(ids) / sizeof(ids[0]); i++) {
		start(&o);
		struct ask a = ask_for_all(&o);
		a.id = ids[i / 2];
		if (i % 2 == 0)
			a.count = 0;
		refuse(&o, &a);
	}
}

Test(twohand_asks, places_outside_the_message_drop_that_peer_alone)
{
	static struct offer o;
	struct iovec all = { o.room, LEN }, rest = { o.room, UINT64_MAX },
	             half = { o.room, UINT64_C(1) << 63 };
	const struct ask bad[] = {
		{ .offset = 1, .count = 1, .iov = { all } },
		{ .offset = LEN + 1, .count = 1, .iov = { { o.room, 1 } } },
		{ .offset = UINT64_MAX, .count = 1, .iov = { { o.room, 2 } } },
		{ .count = 1, .iov = { { o.room, LEN + 1 } } },
		{ .count = 1, .iov = { rest } },
		{ .count = 2, .iov = { all, { o.room, 1 } } },
		{ .count = 2, .iov = { { o.room, 2 }, rest } },
		{ .count = 2, .iov = { half, half } },
		{ .offset = 2, .count = 2, .iov = { rest, rest } },
		{ .offset = LEN, .count = 1, .iov = { { o.room, 1 } } },
		{ .count = 1, .iov = { { o.room, 0 } } },
		{ .count = 2, .iov = { { o.room, 10 }, { o.room, 0 } } },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		start(&o);
		struct ask a = ask_for_all(&o);
		a.offset = bad[i].offset;
		a.count = bad[i].count;
		memcpy(a.iov, bad[i].iov, sizeof(a.iov));
		refuse(&o, &a);
	}
}

Test(twohand_asks, words_out_of_line_and_a_cookie_of_0_drop_that_peer_alone)
{
	static struct offer o;
	for (int i = 0; i < 3; i++) {
		start(&o);
		struct ask a = ask_for_all(&o);
		a.cell += i == 0 ? 4 : 0;
		a.front += i == 1 ? 1 : 0;
		a.cookie = i == 2 ? 0 : COOKIE;
		refuse(&o, &a);
	}
}

Test(twohand_asks, epochs_that_do_not_rise_or_are_too_high_drop_that_peer_alone)
{
	static const uint32_t epochs[] = { 0, 65536, UINT32_MAX, INT32_MAX + 1U };
	static struct offer o;
	for (size_t i = 0; i < sizeof(epochs) / sizeof(epochs[0]); i++) {
		start(&o);
		struct ask a = ask_for_all(&o);
		a.epoch = epochs[i];
		refuse(&o, &a);
	}
	start(&o);
	struct ask a = ask_for_all(&o);
	a.epoch = 7;
	o.cell = 0; /* nothing is to be written */
	say_ask(&o, &a);
	must_be_assisted(&o, 7);
	refuse(&o, &a);
}

Test(twohand_asks, an_answer_to_another_epoch_can_not_be_wanted)
{
	static const uint32_t epochs[] = { 0, 1, 3 };
	static struct offer o;
	for (size_t i = 0; i < sizeof(epochs) / sizeof(epochs[0]); i++) {
		start(&o);
		struct ask a = ask_for_all(&o);
		a.epoch = 2;
		o.cell = 0;
		say_ask(&o, &a);
		must_be_assisted(&o, 2);
		say_stop(&o, epochs[i]);
		must_be_dropped(&o);
	}
}
