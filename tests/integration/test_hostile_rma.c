/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a hostile peer asks of regions, and answers: asks that are none, by the thousand, never received; answers of the wrong
 * length, none, or of memory that lies. Each costs that one operation; nothing but what was exposed is ever read or
 * written, nothing is held without bound, and the good peer is well (lib/handmade.h).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <haul/rma.h>

#include "lib/handmade.h"
#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/regions.h"
#include "lib/seed.h"
#include "lib/talk.h"

TestSuite(hostile_rma, .timeout = 60);

enum { LEN = 5000, MANY = 3000, LATE_MS = 20000 };

#define ID(slot) WIRE_ID(slot, 1)

static struct handmade m;
static unsigned char memory[3 * LEN], *const region = memory + LEN;
static struct haul_region *exposed;
static struct haul_handle hd;

static void begin(const struct haul_options *o, const struct raw *like)
{
	pattern_fill(memory, sizeof(memory), 1, 0);
	handmade_start_as(&m, o, like);
	exposed = region_of(m.haul, region, LEN, &hd);
}

/* As the only one of its size, a region's neighbours are untouched. */
static void end(void)
{
	must_hold(memory, sizeof(memory), 1, 0);
	must_be(haul_region_withdraw(exposed, 0), 0);
	handmade_kept(&m);
}

/* An ask as bytes, and what follows it. */
static void say_ask(uint64_t slot, uint64_t tag, const void *bytes, size_t size)
{
	uint8_t body[WIRE_EAGER_SIZE + WIRE_ASK_SIZE + LEN] = { 0 };
	must(size <= sizeof(body) - WIRE_EAGER_SIZE);
	raw_put(body, tag, 8);
	raw_put(body + 8, slot == UINT64_MAX ? 0 : ID(slot), 8);
	raw_put(body + 16, WIRE_CHANNEL_REGIONS, 4);
	memcpy(body + WIRE_EAGER_SIZE, bytes, size);
	raw_send_frame(&m.raw, WIRE_EAGER, slot == UINT64_MAX ? 0 : WIRE_FLAG_SYNC, body,
	    WIRE_EAGER_SIZE + size);
}

static void ask_bytes(uint8_t *to, const struct haul_handle *handle, uint64_t offset, uint64_t len,
    uint64_t answer)
{
	for (int i = 0; i < 8; i++)
		raw_put(to + 8 * i, handle->words[i], 8);
	raw_put(to + 64, offset, 8);
	raw_put(to + 72, len, 8);
	raw_put(to + 80, answer, 8);
}

static void must_be_refused(uint64_t slot, int error)
{
	const struct raw_frame *f = handmade_next(&m, WIRE_REFUSED);
	must_be(raw_get(f->body, 8), ID(slot));
	must_be(raw_get(f->body + 16, 4), error);
}

/* ---- asks ---- */

Test(hostile_rma, asks_that_are_none_are_refused)
{
	uint8_t bytes[WIRE_ASK_SIZE + LEN];
	struct haul_handle other;
	begin(NULL, &(struct raw){ 0 });
	ask_bytes(bytes, &hd, 0, LEN, 1);
	for (size_t size = 0; size < WIRE_ASK_SIZE; size++) {
		say_ask(100 + size, size % 2 ? WIRE_ASK_GET : WIRE_ASK_PUT, bytes, size);
		must_be_refused(100 + size, EBADMSG);
	}
	say_ask(1, WIRE_ASK_GET, bytes, WIRE_ASK_SIZE + 1); /* longer than a get is */
	must_be_refused(1, EBADMSG);
	say_ask(2, 0, bytes, WIRE_ASK_SIZE);
	must_be_refused(2, EBADMSG);
	say_ask(3, UINT64_MAX, bytes, WIRE_ASK_SIZE);
	must_be_refused(3, EBADMSG);
	say_ask(4, WIRE_ASK_PUT, bytes, WIRE_ASK_SIZE); /* of other bytes than it has */
	must_be_refused(4, EBADMSG);
	ask_bytes(bytes, &hd, LEN - 7, 8, 1);
	say_ask(5, WIRE_ASK_GET, bytes, WIRE_ASK_SIZE);
	must_be_refused(5, ERANGE);
	ask_bytes(bytes, &hd, UINT64_MAX - 3, 8, 1);
	say_ask(6, WIRE_ASK_GET, bytes, WIRE_ASK_SIZE);
	must_be_refused(6, ERANGE);
	ask_bytes(bytes, &hd, 8, UINT64_MAX - 7, 1);
	say_ask(7, WIRE_ASK_GET, bytes, WIRE_ASK_SIZE);
	must_be_refused(7, ERANGE);
	ask_bytes(bytes, &hd, UINT64_MAX, 8, 0);
	say_ask(8, WIRE_ASK_PUT, bytes, WIRE_ASK_SIZE + 8);
	must_be_refused(8, ERANGE);
	memset(&other, 0, sizeof(other));
	ask_bytes(bytes, &other, 0, 8, 1);
	say_ask(9, WIRE_ASK_GET, bytes, WIRE_ASK_SIZE);
	must_be_refused(9, EBADMSG);
	for (int word = 0; word < 8; word++)
		for (int bit = 0; bit < 64; bit += 7) {
			uint64_t slot = 10 + (uint64_t)word * 10 + (uint64_t)bit / 7;
			other = hd;
			other.words[word] ^= UINT64_C(1) << bit;
			ask_bytes(bytes, &other, 0, 8, 0);
			must_note_case("word %d, bit %d", word, bit);
			say_ask(slot, WIRE_ASK_PUT, bytes, WIRE_ASK_SIZE + 8);
			const struct raw_frame *f = handmade_next(&m, WIRE_REFUSED);
			uint64_t error = raw_get(f->body + 16, 4);
			must_be(raw_get(f->body, 8), ID(slot));
			must(error == EBADMSG || error == ENXIO);
		}
	end();
}

/* Those that nobody wants an answer to. */
Test(hostile_rma, asks_without_an_id_are_carried_out_or_dropped)
{
	uint8_t bytes[WIRE_ASK_SIZE + 8];
	begin(NULL, &(struct raw){ 0 });
	say_ask(UINT64_MAX, WIRE_ASK_GET, "garbage", 7);
	ask_bytes(bytes, &hd, 0, 8, 5);
	say_ask(UINT64_MAX, WIRE_ASK_GET, bytes, WIRE_ASK_SIZE);
	const struct raw_frame *f = handmade_next(&m, WIRE_EAGER);
	must_be(raw_get(f->body, 8), 5);
	must_be(raw_get(f->body + 16, 4), WIRE_CHANNEL_REGIONS + 1);
	must_be(f->size, WIRE_EAGER_SIZE + 8);
	must_hold(f->body + WIRE_EAGER_SIZE, 8, 1, LEN);
	end();
}

Test(hostile_rma, answers_that_nobody_waits_for_are_refused)
{
	uint8_t body[WIRE_EAGER_SIZE + 8] = { 0 };
	begin(NULL, &(struct raw){ 0 });
	for (uint64_t slot = 0; slot < 50; slot++) {
		raw_put(body, slot, 8);
		raw_put(body + 8, ID(slot), 8);
		raw_put(body + 16, WIRE_CHANNEL_REGIONS + 1, 4);
		raw_send_frame(&m.raw, WIRE_EAGER, WIRE_FLAG_SYNC, body, sizeof(body));
		must_be_refused(slot, ECANCELED);
	}
	must_be(stats_of(m.haul).unexpected, 0);
	end();
}

/* Random bytes in an ask that is right, or all of them. */
Test(hostile_rma, garbage_by_the_thousand_does_no_harm)
{
	begin(NULL, &(struct raw){ 0 });
	seed_random();
	for (int i = 0; i < MANY; i++) {
		uint8_t bytes[WIRE_ASK_SIZE + 64];
		size_t size = random_below(4) != 0 ? WIRE_ASK_SIZE : random_below(sizeof(bytes));
		memset(bytes, (int)i, sizeof(bytes));
		if (random_below(5) != 0)
			ask_bytes(bytes, &hd, random_below(2 * LEN), LEN + 1 + random_below(LEN),
			    random_below(3));
		for (size_t k = random_below(4); k > 0; k--)
			bytes[random_below(sizeof(bytes))] = (uint8_t)random_below(256);
		say_ask(UINT64_MAX, random_below(2) ? WIRE_ASK_GET : WIRE_ASK_PUT, bytes, size);
		while (haul_progress(m.haul) > 0)
			continue;
	}
	end();
}

/* It asks for more than it takes, as often as its credit lets it. */
Test(hostile_rma, who_takes_no_answer_holds_only_so_much)
{
	uint8_t bytes[WIRE_ASK_SIZE];
	int asked = 0;
	begin(&(struct haul_options){ .path = HAUL_PATH_STREAM }, &(struct raw){ 0 });
	ask_bytes(bytes, &hd, 0, LEN, 1);
	m.raw.drive = NULL;
	for (; asked < 500; asked++) {
		say_ask(UINT64_MAX, WIRE_ASK_GET, bytes, sizeof(bytes));
		while (haul_progress(m.haul) > 0)
			continue;
	}
	m.raw.drive = m.haul;
	must(handmade_grown(&m) < 4 << 20);
	handmade_good_peer_is_well(&m);
	end();
}

/* ---- answers ---- */

static struct haul_handle theirs; /* a region of the hostile peer's, as it says */
static uint64_t card[16];

/* Within this process, as it is. */
static void make_theirs(void)
{
	uint64_t *at = (uint64_t *)(void *)(((uintptr_t)card + 63) & ~(uintptr_t)63);
	theirs = (struct haul_handle){ { 0x1234567, (uintptr_t)at, (uintptr_t)memory, 100, 1,
	    HAUL_READ | HAUL_WRITE, 0, WIRE_HANDLE_IS } };
	memcpy(at, theirs.words, sizeof(theirs));
}

/* It is asked by messages, since it can't be read. The ask, and the tag of the answer that it wants. */
static uint64_t next_ask(uint64_t *id, uint64_t kind, size_t size)
{
	const struct raw_frame *f = handmade_next(&m, WIRE_EAGER);
	must_be(raw_get(f->body, 8), kind);
	must_be(raw_get(f->body + 16, 4), WIRE_CHANNEL_REGIONS);
	must_be(f->flags & WIRE_FLAG_SYNC, WIRE_FLAG_SYNC);
	must_be(f->size, WIRE_EAGER_SIZE + size);
	*id = raw_get(f->body + 8, 8);
	return raw_get(f->body + WIRE_EAGER_SIZE + 80, 8);
}

static void say_answer(uint64_t tag, const void *bytes, size_t len)
{
	uint8_t body[WIRE_EAGER_SIZE + LEN] = { 0 };
	raw_put(body, tag, 8);
	raw_put(body + 16, WIRE_CHANNEL_REGIONS + 1, 4);
	memcpy(body + WIRE_EAGER_SIZE, bytes, len);
	raw_send_frame(&m.raw, WIRE_EAGER, 0, body, WIRE_EAGER_SIZE + len);
}

static int result(struct haul_req *r)
{
	handmade_settle(&m);
	must_be(haul_req_wait(r, LATE_MS), 0);
	return haul_req_finish(r, NULL);
}

static void get_answered(const void *bytes, size_t len, bool answer, int error, int want)
{
	unsigned char buf[102];
	struct iovec iov = { buf, 100 };
	struct haul_req *r;
	uint64_t id;
	begin(NULL, &(struct raw){ .impostor = true });
	make_theirs();
	memset(buf, CANARY, sizeof(buf));
	must_be(haul_iget(m.peer, &theirs, 0, &iov, 1, &r), 0);
	uint64_t tag = next_ask(&id, WIRE_ASK_GET, WIRE_ASK_SIZE);
	if (answer)
		say_answer(tag, bytes, len);
	if (error == 0)
		handmade_say(&m, WIRE_DONE, 0, "8", id);
	else
		handmade_say(&m, WIRE_REFUSED, 0, "8844", id, 0, (uint64_t)error, 0);
	must_be(result(r), want);
	if (want == 0)
		must_hold(buf, 100, 7, 0);
	must_be_untouched(buf + 100, 2);
	end();
}

Test(hostile_rma, an_answer_must_be_what_was_asked_for)
{
	unsigned char bytes[200];
	pattern_fill(bytes, sizeof(bytes), 7, 0);
	get_answered(bytes, 100, true, 0, 0);
	get_answered(bytes, 99, true, 0, -EPROTO);
	get_answered(bytes, 0, true, 0, -EPROTO);
	get_answered(bytes, 101, true, 0, -EPROTO);
	get_answered(bytes, 200, true, 0, -EPROTO);
	get_answered(NULL, 0, false, 0, -EPROTO);
	get_answered(bytes, 100, true, EIO, 0); /* the bytes were there all the same */
}

Test(hostile_rma, a_refusal_may_say_anything)
{
	static const struct {
		int said, heard;
	} refusals[] = { { ENXIO, -ESTALE }, { EBADMSG, -EINVAL }, { ENOBUFS, -ENOMEM }, { ERANGE, -ERANGE },
		{ EACCES, -EACCES }, { EIO, -EIO }, { ESTALE, -ECONNREFUSED }, { EINPROGRESS, -ECONNREFUSED },
		{ EAGAIN, -ECONNREFUSED }, { 4095, -4095 } };
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		get_answered(NULL, 0, false, refusals[i].said, refusals[i].heard);
}

Test(hostile_rma, an_answer_after_a_timeout_writes_nothing)
{
	unsigned char buf[100], bytes[100] = { 1 };
	struct iovec iov = { buf, 100 };
	struct haul_req *r;
	uint64_t id;
	begin(NULL, &(struct raw){ .impostor = true });
	make_theirs();
	must_be(haul_iget(m.peer, &theirs, 0, &iov, 1, &r), 0);
	uint64_t tag = next_ask(&id, WIRE_ASK_GET, WIRE_ASK_SIZE);
	must_be(haul_req_deadline(r, 0), 0);
	must_be(haul_req_wait(r, LATE_MS), 0);
	must_be(haul_req_finish(r, NULL), -ETIMEDOUT);
	memset(buf, CANARY, sizeof(buf));
	say_answer(tag, bytes, sizeof(bytes));
	handmade_settle(&m);
	must_be_untouched(buf, sizeof(buf));
	end();
}

/* ---- memory that lies ---- */

static void get_pulled(int want)
{
	unsigned char buf[100];
	struct iovec iov = { buf, sizeof(buf) };
	must_be(haul_get(m.peer, &theirs, 0, &iov, 1, LATE_MS), want);
}

Test(hostile_rma, a_list_of_ranges_that_lies_is_eproto)
{
	static struct iovec list[3];
	const struct {
		size_t len[3];
		int want;
	} lists[] = { { { 50, 25, 25 }, 100 }, { { 50, 25, 24 }, -EPROTO }, { { 50, 25, 26 }, -EPROTO },
		{ { 100, 0, 0 }, 100 }, { { SIZE_MAX, 50, 51 }, -EPROTO }, { { 0, 0, 0 }, -EPROTO },
		{ { SIZE_MAX / 2, SIZE_MAX / 2, 102 }, -EPROTO } };
	begin(NULL, &(struct raw){ 0 });
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		make_theirs();
		theirs.words[WIRE_HANDLE_ADDR] = (uintptr_t)list;
		theirs.words[WIRE_HANDLE_RANGES] = 3;
		memcpy((void *)(uintptr_t)theirs.words[WIRE_HANDLE_CARD], theirs.words, sizeof(theirs));
		for (int k = 0; k < 3; k++)
			list[k] = (struct iovec){ memory, lists[i].len[k] };
		must_note_case("list %zu", i);
		get_pulled(lists[i].want);
	}
	end();
}

Test(hostile_rma, a_card_that_says_otherwise_is_not_believed)
{
	begin(NULL, &(struct raw){ 0 });
	make_theirs();
	get_pulled(100);
	uint64_t *at = (uint64_t *)(uintptr_t)theirs.words[WIRE_HANDLE_CARD];
	for (int i = 1; i < 8; i++) {
		at[i]++;
		get_pulled(-EINVAL);
		at[i]--;
	}
	at[0]++;
	get_pulled(-ESTALE);
	at[0]--;
	get_pulled(100);
	theirs.words[WIRE_HANDLE_CARD] = 64; /* nothing is there */
	get_pulled(-ESTALE);
	end();
}
