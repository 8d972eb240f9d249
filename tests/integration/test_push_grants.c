/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Grants of a receiver made by hand: right ones, ones that can't be, and what it says while one is not answered. The
 * context sends, and writes nowhere but where it was granted to. test_push_answers.c has the other side.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/handmade.h"
#include "lib/must.h"
#include "lib/talk.h"

TestSuite(push_grants, .timeout = 60);

enum { LEN = 100003, TAG = 5 };

#define COOKIE UINT64_C(0x1122334455667788)

static const struct haul_options options = { .push = 1 };

/* A message of the context's that the peer has heard of, and the peer's room for it. */
struct offer {
	struct handmade m;
	struct haul_req *r;
	unsigned char *buf;
	uint64_t id, cell;
	unsigned char room[LEN];
};

/* What the peer says in a GRANT; at first all of it is right. */
struct grant {
	uint64_t id, offset, cell, cookie;
	uint32_t epoch;
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
	o->id = raw_get(handmade_next(&o->m, WIRE_DESC)->body + 8, 8);
}

static void start_with(struct offer *o, const struct haul_options *ours, uint64_t features)
{
	start_as(o, ours, &(struct raw){ .features = features, .verdict = EPERM });
}

static void start(struct offer *o)
{
	start_with(o, &options, WIRE_FEATURE_PUSH);
}

static void end(struct offer *o)
{
	handmade_end(&o->m);
	free(o->buf);
}

static struct grant grant_all(struct offer *o)
{
	return (struct grant){ .id = o->id,
		.cell = (uintptr_t)&o->cell,
		.cookie = COOKIE,
		.epoch = 1,
		.count = 1,
		.iov = { { o->room, LEN } } };
}

static size_t grant_bytes(uint8_t *to, const struct grant *g)
{
	uint8_t body[WIRE_GRANT_SIZE + 2 * WIRE_RANGE_SIZE] = { 0 };
	raw_put(body, g->id, 8);
	raw_put(body + 8, g->offset, 8);
	raw_put(body + 16, g->cell, 8);
	raw_put(body + 24, g->cookie, 8);
	raw_put(body + 32, g->epoch, 4);
	for (size_t i = 0; i < g->count; i++) {
		raw_put(body + WIRE_GRANT_SIZE + i * WIRE_RANGE_SIZE, (uintptr_t)g->iov[i].iov_base, 8);
		raw_put(body + WIRE_GRANT_SIZE + i * WIRE_RANGE_SIZE + 8, g->iov[i].iov_len, 8);
	}
	return raw_frame_bytes(to, WIRE_GRANT, 0, body, WIRE_GRANT_SIZE + g->count * WIRE_RANGE_SIZE);
}

static void say_grant(struct offer *o, const struct grant *g)
{
	uint8_t bytes[WIRE_FRAME_ROOM];
	must(raw_send(&o->m.raw, bytes, grant_bytes(bytes, g)));
}

static void must_be_pushed(struct offer *o, uint32_t epoch, uint64_t moved, uint32_t error)
{
	const struct raw_frame *f = handmade_next(&o->m, WIRE_PUSHED);
	must_be(raw_get(f->body, 8), o->id);
	must_be(raw_get(f->body + 8, 8), moved);
	must_be(raw_get(f->body + 16, 4), epoch);
	must_be(raw_get(f->body + 20, 4), error);
}

static void must_be_dropped(struct offer *o)
{
	handmade_must_be_lost(&o->m, -EPROTO);
	must_be(end_of(o->r, NULL), -EPROTO);
	must_be_untouched(o->room, LEN);
	end(o);
}

/* The peer is content, and so is the sender. */
static void finish(struct offer *o)
{
	handmade_say(&o->m, WIRE_DONE, 0, "8", o->id);
	must_be(end_of(o->r, NULL), 0);
	handmade_must_live(&o->m);
	end(o);
}

/* ---- right ones ---- */

Test(push_grants, all_of_it_is_written_and_said)
{
	static struct offer o;
	start(&o);
	struct grant g = grant_all(&o);
	say_grant(&o, &g);
	must_be_pushed(&o, 1, LEN, 0);
	must_hold(o.room, LEN, 1, 0);
	finish(&o);
}

Test(push_grants, parts_of_it_are_written_in_any_order)
{
	static struct offer o;
	start(&o);
	struct grant g = grant_all(&o);
	g.offset = 50001;
	g.count = 2;
	g.iov[0] = (struct iovec){ o.room + 50001, 1 };
	g.iov[1] = (struct iovec){ o.room + 50002, LEN - 50002 };
	say_grant(&o, &g);
	must_be_pushed(&o, 1, LEN - 50001, 0);
	must_be_untouched(o.room, 50001);
	g = grant_all(&o);
	g.epoch = 7;
	g.iov[0].iov_len = 50001;
	say_grant(&o, &g);
	must_be_pushed(&o, 7, 50001, 0);
	must_hold(o.room, LEN, 1, 0);
	finish(&o);
}

Test(push_grants, a_part_is_written_up_to_its_end_and_may_be_enough)
{
	static struct offer o;
	start(&o);
	struct grant g = grant_all(&o);
	g.offset = 100;
	g.count = 2;
	g.iov[0] = (struct iovec){ o.room + 1000, 500 };
	g.iov[1] = (struct iovec){ o.room, 10 };
	say_grant(&o, &g);
	must_be_pushed(&o, 1, 510, 0);
	must_hold(o.room, 10, 1, 600);
	must_be_untouched(o.room + 10, 990);
	must_hold(o.room + 1000, 500, 1, 100);
	must_be_untouched(o.room + 1500, LEN - 1500);
	finish(&o);
}

static void say_send(struct offer *o, uint32_t epoch)
{
	handmade_say(&o->m, WIRE_SEND, 0, "88844", o->id, 0, LEN, epoch, 0);
}

/* ---- where nothing is written ---- */

static void must_stay_untouched(struct offer *o, const struct grant *g, uint32_t error)
{
	say_grant(o, g);
	must_be_pushed(o, g->epoch, 0, error);
	must_be_untouched(o->room, LEN);
	say_send(o, g->epoch + 1);
	const struct raw_frame *f = handmade_next(&o->m, WIRE_DATA);
	must_be(f->size, WIRE_DATA_SIZE + LEN);
	must_hold(f->body + WIRE_DATA_SIZE, LEN, 1, 0);
	must_be(handmade_next(&o->m, WIRE_DATA)->size, WIRE_DATA_SIZE);
	finish(o);
}

Test(push_grants, a_cell_without_the_cookie_is_not_written_for)
{
	static struct offer o;
	start(&o);
	struct grant g = grant_all(&o);
	o.cell++;
	must_stay_untouched(&o, &g, ESRCH);
}

Test(push_grants, a_cell_that_is_not_there_is_not_written_for)
{
	static const uint64_t cells[] = { 0, 8, 4096, 0xffffffff81000000, UINT64_MAX - 7 };
	static struct offer o;
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
		start(&o);
		struct grant g = grant_all(&o);
		g.cell = cells[i];
		must_stay_untouched(&o, &g, ESRCH);
	}
}

Test(push_grants, a_range_that_can_not_be_written_is_bad)
{
	enum { PAGE = 4096 };
	void *hole = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const uintptr_t bad[] = { 0, 8, 4096, (uintptr_t)hole, 0x0000800000000000, 0xffff888000000000,
		0xffffffff81000000, UINTPTR_MAX - 10 };
	static struct offer o;
	must(hole != MAP_FAILED);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		start(&o);
		struct grant g = grant_all(&o);
		g.count = 2;
		g.iov[0] = (struct iovec){ (void *)bad[i], 100 };
		g.iov[1] = (struct iovec){ o.room, LEN - 100 };
		must_stay_untouched(&o, &g, EFAULT);
	}
	munmap(hole, PAGE);
}

/* The pid that came with its bytes may be another process's, and the cell lie there. */
Test(push_grants, who_did_not_show_that_the_pid_is_its_own_is_not_written_to)
{
	static struct offer o;
	start_as(&o, &options,
	    &(struct raw){ .features = WIRE_FEATURE_PUSH, .verdict = EPERM, .impostor = true });
	struct grant g = grant_all(&o);
	must_stay_untouched(&o, &g, EPERM);
}

/* The sender has its buffer back, whatever the peer says. */
Test(push_grants, what_was_withdrawn_is_not_written)
{
	static struct offer o;
	start(&o);
	must_be(haul_req_deadline(o.r, 0), 0);
	must_be(end_of(o.r, NULL), -ETIMEDOUT);
	memset(o.buf, 0, LEN);
	struct grant g = grant_all(&o);
	say_grant(&o, &g);
	handmade_next(&o.m, WIRE_CANCEL);
	must_be_pushed(&o, 1, 0, ECANCELED);
	must_be_untouched(o.room, LEN);
	handmade_say(&o.m, WIRE_CANCELED, 0, "8", o.id);
	handmade_must_live(&o.m);
	g.epoch++;
	say_grant(&o, &g); /* it is over */
	handmade_must_be_lost(&o.m, -EPROTO);
	end(&o);
}

/* ---- what can't be ---- */

static void refuse(struct offer *o, const struct grant *g)
{
	say_grant(o, g);
	must_be_dropped(o);
}

Test(push_grants, nobody_has_to_write_who_did_not_offer_to)
{
	static const struct haul_options none = { 0 };
	static struct offer o;
	for (int ours = 0; ours < 2; ours++) {
		start_with(&o, ours ? &options : &none, ours ? 0 : WIRE_FEATURE_PUSH);
		struct grant g = grant_all(&o);
		refuse(&o, &g);
	}
}

Test(push_grants, ids_that_were_never_given_drop_that_peer_alone)
{
	static const uint64_t ids[] = { 0, WIRE_ID(1, 1), WIRE_ID(0, 2), WIRE_ID(0, 0), UINT64_MAX };
	static struct offer o;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		start(&o);
		struct grant g = grant_all(&o);
		g.id = ids[i];
		refuse(&o, &g);
	}
}

/* It has an id, as it is synchronous, but all of it has come with its frame. */
static uint64_t an_eager_message(struct offer *o, struct haul_req **r)
{
	struct iovec iov = { o->buf, 10 };
	must_be(haul_isend(o->m.peer, TAG, &iov, 1, HAUL_SYNC, r), 0);
	return raw_get(handmade_next(&o->m, WIRE_EAGER)->body + 8, 8);
}

Test(push_grants, an_eager_message_is_not_to_be_written)
{
	struct offer o;
	struct haul_req *r;
	start(&o);
	struct grant g = grant_all(&o);
	g.id = an_eager_message(&o, &r);
	g.iov[0].iov_len = 10;
	say_grant(&o, &g);
	handmade_must_be_lost(&o.m, -EPROTO);
	must_be(end_of(r, NULL), -EPROTO);
	must_be(end_of(o.r, NULL), -EPROTO);
	must_be_untouched(o.room, LEN);
	end(&o);
}

Test(push_grants, an_eager_message_is_not_to_be_sent_again)
{
	struct offer o;
	struct haul_req *r;
	start(&o);
	uint64_t id = an_eager_message(&o, &r);
	handmade_say(&o.m, WIRE_SEND, 0, "88844", id, 0, 10, 1, 0);
	handmade_must_be_lost(&o.m, -EPROTO);
	must_be(end_of(r, NULL), -EPROTO);
	must_be(end_of(o.r, NULL), -EPROTO);
	end(&o);
}

Test(push_grants, places_outside_the_message_drop_that_peer_alone)
{
	static struct offer o;
	for (int i = 0; i < 12; i++) {
		start(&o);
		struct grant g = grant_all(&o);
		struct iovec all = { o.room, LEN }, rest = { o.room, UINT64_MAX },
		             half = { o.room, UINT64_C(1) << 63 };
		const struct grant bad[12] = {
			{ .offset = 1, .count = 1, .iov = { all } },
			{ .offset = LEN + 1, .count = 1, .iov = { { o.room, 1 } } },
			{ .offset = UINT64_MAX, .count = 1, .iov = { { o.room, 2 } } },
			{ .count = 1, .iov = { { o.room, LEN + 1 } } },
			{ .count = 1, .iov = { rest } },
			{ .count = 2, .iov = { all, { o.room, 1 } } },
			{ .offset = 1, .count = 2, .iov = { { o.room, LEN - 1 }, { o.room, 1 } } },
			{ .count = 2, .iov = { { o.room, 2 }, rest } },
			{ .count = 2, .iov = { { o.room, 1 }, rest } },
			{ .count = 2, .iov = { half, half } },
			{ .offset = 2, .count = 2, .iov = { rest, rest } },
			{ .offset = LEN, .count = 1, .iov = { { o.room, 1 } } },
		};
		g.offset = bad[i].offset;
		g.count = bad[i].count;
		memcpy(g.iov, bad[i].iov, sizeof(g.iov));
		refuse(&o, &g);
	}
}

Test(push_grants, empty_ranges_drop_that_peer_alone)
{
	static struct offer o;
	for (size_t i = 0; i < 3; i++) {
		start(&o);
		struct grant g = grant_all(&o);
		g.count = i;
		g.iov[0].iov_len = i < 2 ? 0 : 10;
		g.iov[1] = (struct iovec){ o.room, 0 };
		refuse(&o, &g);
	}
}

Test(push_grants, a_cell_out_of_line_drops_that_peer_alone)
{
	static struct offer o;
	start(&o);
	struct grant g = grant_all(&o);
	g.cell += 4;
	refuse(&o, &g);
}

/* In memory that a fork has wiped any cell would hold it. */
Test(push_grants, a_cookie_of_0_drops_the_peer)
{
	static struct offer o;
	start(&o);
	struct grant g = grant_all(&o);
	g.cookie = 0;
	refuse(&o, &g);
}

Test(push_grants, epochs_that_do_not_rise_drop_that_peer_alone)
{
	static const uint32_t epochs[] = { 0, UINT32_MAX, INT32_MAX + 1U };
	static struct offer o;
	for (size_t i = 0; i < sizeof(epochs) / sizeof(epochs[0]); i++) {
		start(&o);
		struct grant g = grant_all(&o);
		g.epoch = epochs[i];
		refuse(&o, &g);
	}
	start(&o);
	struct grant g = grant_all(&o);
	o.cell++; /* nothing is to be written */
	say_grant(&o, &g);
	must_be_pushed(&o, 1, 0, ESRCH);
	refuse(&o, &g);
}

/* ---- what may not be said before the answer ---- */

/* In one piece with the grant, so that it is not answered yet. */
static void must_wait(int type, const void *body, size_t size)
{
	static struct offer o;
	uint8_t bytes[2 * WIRE_FRAME_ROOM];
	start(&o);
	struct grant g = grant_all(&o);
	size_t len = grant_bytes(bytes, &g);
	uint8_t whole[64] = { 0 };
	memcpy(whole, body, size);
	raw_put(whole, o.id, 8);
	len += raw_frame_bytes(bytes + len, type, 0, whole, size);
	must(raw_send(&o.m.raw, bytes, len));
	must_be_dropped(&o);
}

Test(push_grants, nothing_ends_the_message_before_the_answer)
{
	uint8_t body[64] = { 0 };
	must_wait(WIRE_DONE, body, 8);
	must_wait(WIRE_CANCELED, body, 8);
	raw_put(body + 16, ECONNREFUSED, 4);
	must_wait(WIRE_REFUSED, body, WIRE_REFUSED_SIZE);
}

Test(push_grants, nothing_else_is_asked_for_before_the_answer)
{
	static struct offer o;
	uint8_t body[WIRE_SEND_SIZE] = { 0 }, bytes[2 * WIRE_FRAME_ROOM];
	raw_put(body + 24, 2, 4); /* epoch */
	must_wait(WIRE_SEND, body, sizeof(body));
	for (uint32_t epoch = 1; epoch < 3; epoch++) {
		start(&o);
		struct grant g = grant_all(&o);
		size_t len = grant_bytes(bytes, &g);
		g.epoch = epoch;
		len += grant_bytes(bytes + len, &g);
		must(raw_send(&o.m.raw, bytes, len));
		must_be_dropped(&o);
	}
}
