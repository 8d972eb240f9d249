/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a hostile peer says of a stream: rings that are none, positions that can't be, messages that don't belong, in
 * any number. Each costs that stream, or less; no byte is read that the peer did not write there, nothing is held without
 * bound, the peer's other streams and the good peer's are well (lib/handmade.h). Numbers are those of docs/protocol.md.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <haul/stream.h>

#include "lib/handmade.h"
#include "lib/must.h"
#include "lib/pattern.h"

TestSuite(stream_hostile, .timeout = 60);

enum kind { RING = 1, COOKIE, ASK, ROOM, MORE, SLEEP, STOP, UNKNOWN };

enum {
	NAME = 3,
	CALM = 4,
	STRANGE = 77,
	SIZE = 4096, /* of its ring */
	LEN = 5000,
	SOON_MS = 20,
	LATE_MS = 20000,
	SEED = 2,
	CALM_SEED = 9,
	BATCH = 50,    /* within any credit */
	STORM = 30000, /* more than there is credit for */
	KIB = 1024,
};

#define DATA (UINT64_C(1) << 63)
#define FIN (UINT64_C(3) << 62)
#define VALUE ((UINT64_C(1) << 56) - 1)
#define SECRET UINT64_C(0x00c0ffee00c0ffee)
#define ID(slot) WIRE_ID(slot, 1)

/* The words of a ring; its, and how ours look. */
struct words {
	volatile uint64_t tail, cookie, bytes, size;
	_Alignas(64) volatile uint64_t bell;
};

static struct handmade m;
static struct haul_stream *st, *calm, *good, *back;
static struct words theirs;
static uint8_t ring[SIZE], out[LEN], in[2 * LEN];
static size_t calm_at;

/* ---- what it says ---- */

static uint64_t control(enum kind kind, uint64_t value)
{
	return (uint64_t)kind << 56 | (value & VALUE);
}

static void say_to(uint32_t name, uint64_t tag, unsigned flags, uint64_t id, const void *bytes, size_t len)
{
	uint8_t body[WIRE_EAGER_SIZE + 2 * LEN] = { 0 };
	raw_put(body, tag, 8);
	raw_put(body + 8, id, 8);
	raw_put(body + 16, WIRE_CHANNEL_STREAMS | name, 4);
	if (len > 0)
		memcpy(body + WIRE_EAGER_SIZE, bytes, len);
	must(raw_send_frame(&m.raw, WIRE_EAGER, flags, body, WIRE_EAGER_SIZE + len));
}

static void tell(enum kind kind, uint64_t value)
{
	say_to(NAME, control(kind, value), 0, 0, NULL, 0);
	handmade_settle(&m);
}

/* The bytes of its stream from a position on. */
static void give(uint64_t tag, uint64_t from, size_t len)
{
	pattern_fill(out, len, SEED, from);
	say_to(NAME, tag, 0, 0, out, len);
	handmade_settle(&m);
}

/* Its ring has the bytes below tail, as far as it reaches. */
static void fill_ring(uint64_t tail)
{
	uint8_t all[SIZE];
	uint64_t from = tail > SIZE ? tail - SIZE : 0;
	pattern_fill(all, sizeof(all), SEED, from);
	for (uint64_t at = from; at < tail; at++)
		ring[at % SIZE] = all[at - from];
	theirs.tail = tail;
}

static void make_words(void)
{
	theirs = (struct words){ .cookie = SECRET, .bytes = (uintptr_t)ring, .size = SIZE };
}

static void tell_ring(void)
{
	tell(RING, (uintptr_t)&theirs);
	tell(COOKIE, SECRET);
}

/* ---- what it hears ---- */

/* The next message on the stream's channel. */
static const struct raw_frame *next_said(void)
{
	const struct raw_frame *f;
	do
		f = handmade_await(&m, WIRE_EAGER);
	while (raw_get(f->body + 16, 4) != (WIRE_CHANNEL_STREAMS | NAME));
	return f;
}

static uint64_t must_say(enum kind kind)
{
	const struct raw_frame *f = next_said();
	must_be(raw_get(f->body, 8) >> 56, kind);
	must_be(f->size, WIRE_EAGER_SIZE);
	return raw_get(f->body, 8) & VALUE;
}

/* ---- a round ---- */

static void begin_as(const struct raw *like, int direct)
{
	struct haul_stream_options o = { .direct = direct };
	handmade_start_as(&m, NULL, like);
	must_be(haul_stream_open(m.peer, NAME, &o, sizeof(o), &st), 0);
	must_be(haul_stream_open(m.peer, CALM, NULL, 0, &calm), 0);
	must_be(haul_stream_open(m.good, NAME, NULL, 0, &good), 0);
	must_be(haul_stream_open(m.back, NAME, NULL, 0, &back), 0);
	calm_at = 0;
	make_words();
}

static void begin(void)
{
	begin_as(&(struct raw){ 0 }, 0);
}

static void must_pass_bytes(struct haul_stream *from, struct haul_stream *to)
{
	size_t got = 0;
	pattern_fill(out, LEN, SEED, 0);
	must_be(haul_stream_write(from, out, LEN, 0), LEN);
	for (int rounds = 0; got < LEN && rounds < 100000; rounds++) {
		ssize_t n = haul_stream_read(to, in, LEN - got, 0);
		must(n > 0 || n == -EAGAIN);
		must_hold(in, n > 0 ? (size_t)n : 0, SEED, got);
		got += n > 0 ? (size_t)n : 0;
		handmade_settle(&m);
	}
	must_be(got, LEN);
}

/* The peer is there still, and all streams but one are well. */
static void others_must_be_well(void)
{
	handmade_must_live(&m);
	must_pass_bytes(good, back);
	must_pass_bytes(back, good);
	pattern_fill(out, 100, CALM_SEED, calm_at);
	say_to(CALM, DATA, 0, 0, out, 100);
	must_be(haul_stream_read(calm, in, sizeof(in), LATE_MS), 100);
	must_hold(in, 100, CALM_SEED, calm_at);
	calm_at += 100;
}

static void end(void)
{
	others_must_be_well();
	must_be(haul_stream_close(st), 0);
	must_be(haul_stream_close(calm), 0);
	must_be(haul_stream_close(good), 0);
	must_be(haul_stream_close(back), 0);
	handmade_kept(&m);
}

static void must_read(uint64_t at, size_t len)
{
	memset(in, CANARY, sizeof(in));
	for (size_t got = 0; got < len;) {
		ssize_t n = haul_stream_read(st, in + got, len - got, LATE_MS);
		must(n > 0);
		got += (size_t)n;
	}
	must_hold(in, len, SEED, at);
	must_be_untouched(in + len, sizeof(in) - len);
}

/* With and without waiting; into no byte of the buffer. */
static void must_read_nothing(int rc)
{
	memset(in, CANARY, sizeof(in));
	must_be(haul_stream_read(st, in, sizeof(in), rc == -EAGAIN ? SOON_MS : LATE_MS),
	    rc == -EAGAIN ? -ETIMEDOUT : rc);
	must_be(haul_stream_read(st, in, 1, 0), rc);
	must_be_untouched(in, sizeof(in));
}

/* The stream is cut off, both ways, and said to be ready for that. */
static void must_be_cut(void)
{
	must_read_nothing(-EPROTO);
	must_be(haul_stream_write(st, "x", 1, 0), -EPROTO);
	must_be(haul_stream_write(st, "x", 1, LATE_MS), -EPROTO);
	must_be(haul_stream_ready(st), HAUL_STREAM_READABLE | HAUL_STREAM_WRITABLE);
}

/* ---- its ring ---- */

Test(stream_hostile, a_ring_that_is_where_it_says_is_read)
{
	begin();
	tell_ring();
	fill_ring(1000);
	must_read(0, 1000);
	must_read_nothing(-EAGAIN);
	must_be(theirs.bell, 1);
	fill_ring(1000 + SIZE);
	must_read(1000, SIZE);
	end();
}

/* What can't be read is asked for. */
Test(stream_hostile, words_that_can_not_be_read_are_asked_around)
{
	const uint64_t nowhere[] = { 0, 1, 8, SIZE, VALUE, VALUE - 7, UINT64_C(1) << 47 };
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		must_note_case("address %zu", i);
		begin();
		tell(RING, nowhere[i]);
		tell(COOKIE, SECRET);
		must_be(must_say(ASK), 0);
		must_read_nothing(-EAGAIN);
		give(DATA, 0, 700);
		must_read(0, 700);
		end();
	}
}

Test(stream_hostile, a_cookie_without_a_ring_or_another_is_asked_around)
{
	for (int which = 0; which < 3; which++) {
		must_note_case("%d", which);
		begin();
		theirs.cookie = which == 0 ? 0 : SECRET;
		if (which < 2)
			tell(RING, (uintptr_t)&theirs);
		tell(COOKIE, which == 1 ? SECRET + 1 : SECRET);
		must_be(must_say(ASK), 0);
		fill_ring(100);
		must_read_nothing(-EAGAIN);
		give(DATA, 0, 700);
		must_read(0, 700);
		end();
	}
}

/* It is but memory, wherever it lies. */
Test(stream_hostile, words_at_an_odd_address_are_words)
{
	static uint8_t odd[sizeof(theirs) + 3];
	begin();
	fill_ring(300);
	memcpy(odd + 3, (void *)&theirs, sizeof(theirs));
	tell(RING, (uintptr_t)odd + 3);
	tell(COOKIE, SECRET);
	must_read(0, 300);
	must_read_nothing(-EAGAIN);
	end();
}

Test(stream_hostile, words_that_can_not_be_cut_the_stream)
{
	const struct {
		uint64_t size, bytes;
	} words[] = { { 0, 4096 }, { 3, 4096 }, { 3 * SIZE, 4096 }, { SIZE + 1, 4096 },
		{ UINT64_C(1) << 31, 4096 }, { (UINT64_C(1) << 30) + 1, 4096 }, { UINT64_C(1) << 63, 4096 },
		{ UINT64_MAX, 0 }, { SIZE, UINT64_MAX }, { SIZE, UINT64_MAX - SIZE + 1 } };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		must_note_case("words %zu", i);
		begin();
		theirs.size = words[i].size;
		theirs.bytes = words[i].bytes;
		tell_ring();
		must_be_cut();
		end();
	}
}

Test(stream_hostile, a_ring_whose_bytes_can_not_be_read_is_asked_around)
{
	const struct {
		uint64_t size, bytes;
	} words[] = { { SIZE, 0 }, { SIZE, 64 }, { UINT64_C(1) << 30, UINT64_C(1) << 47 },
		{ SIZE, UINT64_MAX - SIZE } };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		must_note_case("words %zu", i);
		begin();
		theirs.size = words[i].size;
		theirs.bytes = words[i].bytes;
		theirs.tail = 100;
		tell_ring();
		must_read_nothing(-EAGAIN);
		must_be(must_say(ASK), 0);
		give(DATA, 0, 700);
		must_read(0, 700);
		end();
	}
}

/* Half of it is mapped: what is there comes, and then it is asked for the rest. */
Test(stream_hostile, a_ring_that_ends_in_nothing_is_read_to_there)
{
	uint8_t *pages = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(pages != MAP_FAILED);
	must_be(mprotect(pages + SIZE, SIZE, PROT_NONE), 0);
	pattern_fill(pages, SIZE, SEED, 0);
	begin();
	theirs.size = 2 * SIZE;
	theirs.bytes = (uintptr_t)pages;
	theirs.tail = SIZE + 100;
	tell_ring();
	must_read(0, SIZE);
	must_read_nothing(-EAGAIN);
	while (next_said()->body[7] != ASK)
		;
	give(DATA, SIZE, 700);
	must_read(SIZE, 700);
	end();
	must_be(munmap(pages, 2 * SIZE), 0);
}

Test(stream_hostile, a_cookie_that_can_not_be_or_comes_twice_cuts_the_stream)
{
	for (int which = 0; which < 4; which++) {
		must_note_case("%d", which);
		begin();
		if (which == 0) {
			theirs.cookie = 0;
			tell(RING, (uintptr_t)&theirs);
			tell(COOKIE, 0);
		} else {
			tell_ring();
			tell(which == 1 ? RING : COOKIE,
			    which == 1 ? (uintptr_t)&theirs : SECRET + (which == 3));
		}
		must_be_cut();
		end();
	}
}

Test(stream_hostile, a_cookie_that_changes_makes_what_was_read_count_for_nothing)
{
	begin();
	tell_ring();
	fill_ring(1000);
	must_read(0, 10);
	must_read(10, 990);
	theirs.cookie++;
	fill_ring(2000);
	must_read_nothing(-EAGAIN);
	give(FIN | 1000, 1000, 500);
	must_read(1000, 500);
	must_read_nothing(0);
	end();
}

Test(stream_hostile, a_tail_that_goes_back_or_too_far_cuts_the_stream)
{
	const uint64_t tails[] = { 0, 999, 1001 + SIZE, VALUE, UINT64_MAX, UINT64_C(1) << 63,
		UINT64_C(1000) - SIZE };
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		must_note_case("tail %zu", i);
		begin();
		tell_ring();
		fill_ring(1000);
		must_read(0, 1000);
		theirs.tail = tails[i];
		must_be_cut();
		end();
	}
}

/* ---- bytes that come as messages ---- */

Test(stream_hostile, data_of_a_stream_that_is_pulled_cuts_it)
{
	for (int which = 0; which < 4; which++) {
		must_note_case("%d", which);
		begin();
		if (which == 0)
			give(DATA, 0, 100);
		if (which == 1) {
			give(DATA, 0, 100);
			must_read(0, 100);
		}
		tell_ring();
		if (which == 3) {
			fill_ring(100);
			must_read(0, 100);
		}
		if (which >= 2)
			give(DATA, 100, which == 2 ? 0 : 100);
		must_be_cut();
		end();
	}
}

Test(stream_hostile, data_without_bytes_is_nothing)
{
	begin();
	for (int i = 0; i < BATCH; i++)
		give(DATA, 0, 0);
	must_read_nothing(-EAGAIN);
	give(DATA | VALUE, 0, 100);
	must_read(0, 100);
	end();
}

Test(stream_hostile, a_fin_of_an_impossible_position_cuts_the_stream)
{
	const struct {
		uint64_t from;
		size_t len;
	} fins[] = { { 1001, 10 }, { VALUE, 10 }, { 0, 999 }, { 0, 1 }, { 999, 0 } };
	for (size_t i = 0; i < sizeof(fins) / sizeof(fins[0]); i++) {
		must_note_case("fin %zu", i);
		begin();
		tell_ring();
		fill_ring(1000);
		must_read(0, 1000);
		give(FIN | fins[i].from, fins[i].from, fins[i].len);
		if (fins[i].len > 0)
			must_be_cut();
		else /* then it is not looked at */
			must_read_nothing(0);
		end();
	}
}

Test(stream_hostile, what_a_fin_has_twice_is_read_once)
{
	begin();
	tell_ring();
	fill_ring(1000);
	must_read(0, 1000);
	give(FIN | 400, 400, 1000);
	must_read(1000, 400);
	must_read_nothing(0);
	end();
}

Test(stream_hostile, nothing_follows_a_fin)
{
	for (int which = 0; which < 5; which++) {
		must_note_case("%d", which);
		begin();
		give(FIN, 0, 300);
		if (which == 0)
			give(DATA, 300, 100);
		else if (which == 1)
			give(FIN, 0, 300);
		else if (which == 2)
			give(FIN | 300, 300, 100);
		else if (which == 3)
			tell_ring();
		else
			tell(MORE, VALUE);
		fill_ring(1000);
		must_read(0, 300);
		must_read_nothing(0);
		end();
	}
}

/* ---- what it says as a reader ---- */

static void write_some(void)
{
	pattern_fill(out, LEN, SEED, 0);
	must_be(haul_stream_write(st, out, LEN, 0), LEN);
	handmade_settle(&m);
}

Test(stream_hostile, a_position_that_can_not_be_cuts_the_stream)
{
	const struct {
		bool written, direct;
		uint64_t first, then;
	} positions[] = { { true, false, 0, LEN + 1 }, { true, false, 3000, 2999 }, { true, false, LEN, 0 },
		{ true, false, 0, VALUE }, { false, false, 0, 1 }, { false, false, 0, VALUE },
		{ true, true, 0, 1 }, { true, true, 0, VALUE } };
	for (size_t i = 0; i < sizeof(positions) / sizeof(positions[0]); i++) {
		for (int which = ASK; which <= ROOM; which++) {
			must_note_case("positions %zu, kind %d", i, which);
			begin_as(&(struct raw){ 0 }, positions[i].direct);
			if (positions[i].written)
				write_some();
			tell(ROOM, positions[i].first);
			tell((enum kind)which, positions[i].then);
			must_be_cut();
			end();
		}
	}
}

/* From where it says on, once. */
Test(stream_hostile, who_asks_twice_is_answered_once)
{
	begin();
	write_some();
	tell(ROOM, 3000);
	tell(ASK, 3000);
	tell(ASK, 3000);
	tell(ASK, VALUE);
	tell(ROOM, VALUE);
	must_say(RING);
	must_say(COOKIE);
	const struct raw_frame *f = next_said();
	must(raw_get(f->body, 8) == DATA);
	must_be(f->size, WIRE_EAGER_SIZE + LEN - 3000);
	must_hold(f->body + WIRE_EAGER_SIZE, LEN - 3000, SEED, 3000);
	must_be(haul_stream_shutdown(st), 0);
	handmade_settle(&m);
	f = next_said();
	must(raw_get(f->body, 8) == (FIN | LEN));
	must_be(f->size, WIRE_EAGER_SIZE);
	end();
}

Test(stream_hostile, who_stops_is_written_to_no_more)
{
	begin();
	write_some();
	tell(STOP, 0);
	must_be(haul_stream_write(st, "x", 1, 0), -EPIPE);
	tell(STOP, VALUE);
	tell(ROOM, 3000);
	tell(SLEEP, 0);
	must_be(haul_stream_write(st, "x", 1, LATE_MS), -EPIPE);
	give(DATA, 0, 100);
	must_read(0, 100);
	end();
}

Test(stream_hostile, an_unknown_kind_cuts_the_stream)
{
	for (int kind = 0; kind < 128; kind = kind == 0 ? UNKNOWN : kind * 2 - 1) {
		must_note_case("kind %d", kind);
		begin();
		tell((enum kind)kind, 1);
		must_be_cut();
		end();
	}
}

/* It can write there, and so it may say what it likes; none of that is believed. */
Test(stream_hostile, our_own_words_are_not_read_but_for_the_bell)
{
	begin();
	write_some();
	struct words *ours = (struct words *)(uintptr_t)must_say(RING); /* it is the same process */
	must_be(must_say(COOKIE), ours->cookie);
	must_be(ours->tail, LEN);
	*ours = (struct words){ .tail = UINT64_MAX, .bytes = 8, .size = 3, .bell = ~(uint64_t)3 };
	pattern_fill(out, LEN, SEED, LEN);
	must_be(haul_stream_write(st, out, LEN, 0), LEN);
	must_be(ours->tail, 2 * LEN);
	tell(ASK, 0);
	const struct raw_frame *f = next_said();
	must_be(f->size, WIRE_EAGER_SIZE + 2 * LEN);
	must_hold(f->body + WIRE_EAGER_SIZE, 2 * LEN, SEED, 0);
	ours->bell = UINT64_MAX; /* which has said goodbye */
	must_be(haul_stream_write(st, "x", 1, 0), 1);
	must_be(haul_stream_write(st, "x", 1, 0), -EPIPE);
	end();
}

/* ---- messages that are none ---- */

Test(stream_hostile, a_body_where_none_belongs_is_not_looked_at)
{
	static uint64_t cell = 1;
	struct handmade_desc d = { .tag = control(SLEEP, 0),
		.id = ID(2),
		.channel = WIRE_CHANNEL_STREAMS | NAME,
		.len = LEN,
		.cell = (uintptr_t)&cell,
		.cookie = 1,
		.count = 1,
		.ranges = { { NULL, LEN } } }; /* nothing is there */
	begin();
	say_to(NAME, control(MORE, 1), 0, 0, out, LEN);
	say_to(NAME, control(ROOM, 0), WIRE_FLAG_SYNC, ID(1), out, LEN);
	handmade_describe(&m, &d);
	handmade_settle(&m);
	must_be(raw_get(handmade_await(&m, WIRE_DONE)->body, 8), ID(1));
	others_must_be_well();
	write_some();
	give(DATA, 0, 100);
	must_read(0, 100);
	end();
}

/* Bytes that can't be read end the stream there, not the peer. */
Test(stream_hostile, data_that_can_not_be_read_cuts_the_stream)
{
	for (int timeout_ms = 0; timeout_ms <= LATE_MS; timeout_ms += LATE_MS) {
		static uint64_t cell;
		ssize_t n;
		begin();
		handmade_describe(&m,
		    &(struct handmade_desc){ .tag = DATA,
		        .id = ID(0),
		        .channel = WIRE_CHANNEL_STREAMS | NAME,
		        .len = LEN,
		        .cell = (uintptr_t)&cell,
		        .cookie = 1,
		        .count = 1,
		        .ranges = { { ring, LEN } } });
		handmade_settle(&m);
		while ((n = haul_stream_read(st, in, sizeof(in), timeout_ms)) == -EAGAIN)
			handmade_settle(&m);
		must_be(n, -EPIPE);
		must_be(haul_stream_read(st, in, sizeof(in), LATE_MS), -EPIPE);
		end();
	}
}

/* ---- floods ---- */

/* It reads all, but gives no more credit than at first. */
static void drop_what_was_said(void)
{
	static uint8_t some[64 * KIB];
	handmade_settle(&m);
	while (recv(m.raw.fd, some, sizeof(some), MSG_DONTWAIT) > 0)
		handmade_settle(&m);
}

static void must_be_bounded(size_t before)
{
	must(handmade_grown(&m) < before + 256 * KIB);
}

Test(stream_hostile, a_storm_of_questions_is_answered_within_bounds)
{
	const enum kind kinds[] = { SLEEP, ROOM, MORE, STOP, ASK };
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		must_note_case("kind %d", kinds[k]);
		begin();
		write_some();
		size_t before = handmade_grown(&m);
		for (int i = 0; i < STORM; i += BATCH) {
			for (int n = 0; n < BATCH; n++)
				say_to(NAME, control(kinds[k], 0), 0, 0, NULL, 0);
			drop_what_was_said();
		}
		must_be_bounded(before);
		end();
	}
}

Test(stream_hostile, a_bell_that_is_set_for_ever_is_answered_within_bounds)
{
	begin();
	write_some();
	struct words *ours = (struct words *)(uintptr_t)must_say(RING);
	size_t before = handmade_grown(&m);
	for (int i = 0; i < STORM; i++) {
		ours->bell = 1;
		must_be(haul_stream_write(st, "x", 1, 0), 1);
	}
	must_be_bounded(before);
	end();
}

Test(stream_hostile, a_tiny_ring_that_is_always_full_is_read_within_bounds)
{
	begin();
	theirs.size = 4;
	tell_ring();
	must_read_nothing(-EAGAIN);
	size_t before = handmade_grown(&m);
	for (uint64_t at = 0; at < STORM; at++) {
		uint8_t byte;
		pattern_fill(&byte, 1, SEED, at);
		ring[at % 4] = byte;
		theirs.tail = at + 1;
		must_read(at, 1);
	}
	must_be_bounded(before);
	end();
}

Test(stream_hostile, a_bell_that_can_not_be_set_is_complained_of_within_bounds)
{
	uint8_t *page = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(page != MAP_FAILED);
	begin();
	memcpy(page, (void *)&theirs, sizeof(theirs));
	must_be(mprotect(page, SIZE, PROT_READ), 0);
	tell(RING, (uintptr_t)page);
	tell(COOKIE, SECRET);
	size_t before = handmade_grown(&m);
	for (int i = 0; i < STORM; i++)
		must_be(haul_stream_read(st, in, 1, 0), -EAGAIN);
	must_be_bounded(before);
	end();
	must_be(munmap(page, SIZE), 0);
}

/* Within its credit; who opens the name finds them. */
Test(stream_hostile, messages_for_a_name_that_was_never_opened_wait)
{
	struct haul_stream *late;
	begin();
	for (int i = 0; i < BATCH; i++)
		say_to(STRANGE, control(MORE, 0), 0, 0, NULL, 0);
	pattern_fill(out, 100, SEED, 0);
	say_to(STRANGE, FIN, 0, 0, out, 100);
	handmade_settle(&m);
	others_must_be_well();
	must_be(haul_stream_open(m.peer, STRANGE, NULL, 0, &late), 0);
	must_be(haul_stream_read(late, in, sizeof(in), LATE_MS), 100);
	must_hold(in, 100, SEED, 0);
	must_be(haul_stream_read(late, in, sizeof(in), LATE_MS), 0);
	must_be(haul_stream_close(late), 0);
	end();
}

/* Names that can't be are but channels on which nobody listens. */
Test(stream_hostile, messages_for_a_name_that_can_not_be_wait_within_credit)
{
	begin();
	for (int i = 0; i < BATCH; i++)
		say_to(0x01000000 | (uint32_t)i, control(UNKNOWN, 0), 0, 0, out, 100);
	handmade_settle(&m);
	end();
}

Test(stream_hostile, messages_for_a_closed_name_are_refused_unseen)
{
	struct haul_stream *brief;
	begin();
	must_be(haul_stream_open(m.peer, STRANGE, NULL, 0, &brief), 0);
	say_to(STRANGE, control(UNKNOWN, 0), 0, 0, NULL, 0);
	must_be(haul_stream_close(brief), 0);
	handmade_settle(&m);
	size_t before = handmade_grown(&m);
	for (int i = 0; i < STORM; i += BATCH) {
		for (int n = 0; n < BATCH; n++)
			say_to(STRANGE, n % 2 ? DATA : control(SLEEP, 0), 0, 0, out, 100);
		handmade_settle(&m);
	}
	must_be_bounded(before);
	say_to(STRANGE, DATA, WIRE_FLAG_SYNC, ID(5), out, 100);
	handmade_settle(&m);
	const struct raw_frame *f = handmade_await(&m, WIRE_REFUSED);
	must_be(raw_get(f->body, 8), ID(5));
	must_be(raw_get(f->body + 16, 4), EPIPE);
	must_be(haul_stream_open(m.peer, STRANGE, NULL, 0, &brief), -EEXIST);
	end();
}

/* ---- its end ---- */

Test(stream_hostile, who_hangs_up_in_the_middle_leaves_an_error)
{
	for (int which = 0; which < 4; which++) {
		must_note_case("%d", which);
		begin();
		write_some();
		if (which == 1)
			give(DATA, 0, 100);
		if (which >= 2)
			tell_ring();
		if (which == 3)
			fill_ring(100);
		say_to(NAME, DATA, WIRE_FLAG_CALL, 0, NULL, 0); /* for which it is dropped */
		handmade_settle(&m);
		ssize_t n = haul_stream_read(st, in, sizeof(in), LATE_MS);
		must(n == -EPROTO || (n == 100 && (which == 1 || which == 3)));
		must_hold(in, n > 0 ? (size_t)n : 0, SEED, 0);
		must_read_nothing(-EPROTO);
		must_be(haul_stream_write(st, "x", 1, LATE_MS), -EPROTO);
		must_be(haul_stream_close(st), 0);
		must_be(haul_stream_close(calm), 0);
		must_pass_bytes(good, back);
		must_be(haul_stream_close(good), 0);
		must_be(haul_stream_close(back), 0);
		handmade_lost(&m, -EPROTO);
	}
}
