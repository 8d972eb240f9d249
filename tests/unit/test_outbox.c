/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring and its two ends, without links or frames. Both ends are in this process: to the kernel, reading
 * one's own memory is like reading another's. What is read while it is being written is test_outbox_race.c's.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ends.h"
#include "lib/child.h"
#include "lib/fault.h"
#include "lib/seed.h"
#include "os/vm.h"

TestSuite(outbox, .timeout = 60);

enum { PAGE = 4096, CHILD_MS = 10000 };
enum { PAYLOAD_MOST = 65536, ROOM_LEAST = RING / 8 /* as in outbox.c */ };

/* ---- the two ends ---- */

static uint64_t extent(uint64_t len)
{
	return (HEAD + len + ALIGN - 1) / ALIGN * ALIGN;
}

static void open_out(uint64_t cookie)
{
	must(outbox_init(&out, cookie));
	out.head_addr = (uintptr_t)&told;
	out.cookie_addr = (uintptr_t)&here;
	out.cookie = here;
}

static void open_both(void)
{
	peer = getpid();
	told = 0;
	here = READER;
	open_out(COOKIE);
	open_in(out.ring, RING, out.state, COOKIE);
}

static void close_both(void)
{
	outbox_fini(&out);
}

static ssize_t take(size_t room)
{
	return take_as(room, false);
}

/* Until there is no room for a byte. */
static void fill(size_t len)
{
	while (put(len) > 0)
		;
	while (put(1) > 0)
		;
	must_be(out.tail - out.head, RING);
}

/* Until nothing is left. */
static size_t take_all(void)
{
	size_t sum = 0;
	ssize_t n;
	while ((n = take(2 * RING)) > 0)
		sum += (size_t)n;
	must_be(n, -EAGAIN);
	must_be(in.head, out.tail);
	must_be(in.got, out.sent);
	return sum;
}

static void move_to(uint64_t position)
{
	must(position % ALIGN == 0 && in.head == out.tail);
	out.tail = out.head = in.head = told = position;
	out.known = out.sent;
}

/* Both ends are there in the ring, empty, in a lap that never was. */
static void go_to(size_t place)
{
	move_to((out.tail / RING + 2) * RING + place);
}

/* A head, as the writer might have written it. */
static void forge(uint64_t position, uint64_t stamp, uint64_t len)
{
	memcpy(out.ring + position % RING, &stamp, sizeof(stamp));
	memcpy(out.ring + position % RING + sizeof(stamp), &len, sizeof(len));
}

/* What is put in next is laid on blank, if it is small. */
static void lay_blank(void)
{
	must_be(put(1), 1);
	must_be(take_all(), 1);
}

/* How often the other's memory is read from here on. */
static void count_looks(void)
{
	fault_arm(&(struct fault){ .nth = UINT_MAX, .only = "process_vm_readv" });
}

static unsigned looks(void)
{
	fault_disarm();
	return fault_calls();
}

/* Elsewhere there is one parcel in a look, and two calls for it. */
static void only_in_order(void)
{
	if (!VM_IN_ORDER)
		cr_skip_test("loads are not in order here");
}

/* ---- bytes ---- */

Test(outbox, nothing_is_there_at_first)
{
	open_both();
	must_be(take(2 * RING), -EAGAIN);
	must_be(take(1), -EAGAIN);
	must_be(take_as(1, true), -EAGAIN);
	close_both();
}

Test(outbox, no_bytes_are_no_parcel)
{
	open_both();
	must_be(put(0), 0);
	must_be(outbox_write(&out, peer, NULL, 0, true), 0);
	must_be(out.tail, 0);
	must_be(take(1), -EAGAIN);
	close_both();
}

Test(outbox, what_is_put_in_comes_out_once_and_in_order)
{
	seed_random();
	open_both();
	for (int i = 0; i < 20000; i++) {
		if (random_below(2) == 0) {
			size_t len = 1 + random_below(random_below(8) == 0 ? 2 * RING : 3000);
			size_t least = extent(len < ROOM_LEAST ? len : ROOM_LEAST);
			ssize_t n = put(len);
			must(n > 0 || n == -EAGAIN);
			must(n != -EAGAIN || RING - (out.tail - in.head) < least);
		} else {
			uint64_t there = out.tail - in.head;
			size_t room = 1 + random_below(random_below(8) == 0 ? 2 * RING : 3000);
			ssize_t n = take_as(room, random_below(4) == 0);
			must(n > 0 || (n == -EAGAIN && there == 0));
		}
	}
	take_all();
	close_both();
}

Test(outbox, a_parcel_may_go_over_the_end_of_the_ring_at_any_byte)
{
	open_both();
	for (size_t before = ALIGN; before <= 4 * ALIGN; before += ALIGN)
		for (size_t len = 1; len <= 5 * ALIGN; len++)
			for (int users = 0; users < 2; users++) {
				go_to(RING - before);
				must_be(put(len), len);
				for (uint64_t end = in.got + len; in.got < end;)
					must(take_as(1 + len / 3, users != 0) > 0);
				must_be(take_all(), 0);
			}
	close_both();
}

Test(outbox, it_holds_what_it_is_long_and_not_a_byte_more)
{
	static const size_t ats[] = { 0, ALIGN, PAGE - ALIGN, PAGE, RING / 2, RING - ALIGN };
	open_both();
	for (size_t i = 0; i < sizeof(ats) / sizeof(ats[0]); i++) {
		go_to(ats[i]);
		for (int parcel = 0; parcel < 3; parcel++)
			must_be(put(2 * RING), PAYLOAD_MOST);
		size_t left = RING - 3 * (size_t)extent(PAYLOAD_MOST);
		must_be(put(2 * RING), left - HEAD);
		must_be(out.tail - out.head, RING);
		must_be(put(1), -EAGAIN);
		must_be(take_all(), 3 * PAYLOAD_MOST + left - HEAD);
		for (int parcel = 0; parcel < RING / ALIGN; parcel++)
			must_be(put(1), 1);
		must_be(put(1), -EAGAIN);
		must_be(take_all(), RING / ALIGN);
	}
	close_both();
}

Test(outbox, pieces_of_memory_on_either_side_are_one_run_of_bytes)
{
	struct iovec from[20], to[20];
	open_both();
	seed_random();
	for (int round = 0; round < 500; round++) {
		size_t len = 0, room = 0;
		for (int i = 0; i < 20; i++) {
			from[i] = (struct iovec){ bytes + len, random_below(300) };
			len += from[i].iov_len;
			to[i] = (struct iovec){ got + room, random_below(300) };
			room += to[i].iov_len;
		}
		pattern_fill(bytes, len, SEED, out.sent);
		must_be(outbox_write(&out, peer, from, 20, random_below(2) == 0), len);
		while (in.head < out.tail) {
			uint64_t at = in.got;
			ssize_t n = inbox_read(&in, peer, to, 20, random_below(2) == 0);
			must(n > 0 && (size_t)n <= room);
			must_hold(got, (size_t)n, SEED, at);
		}
	}
	close_both();
}

/* What is counted never begins anew; the stamps do. */
Test(outbox, positions_may_be_as_large_as_they_get)
{
	open_both();
	move_to(UINT64_MAX - 3 * (uint64_t)RING + 1);
	for (int i = 0; i < 20; i++) {
		must_be(put(RING / 10), RING / 10);
		must_be(take_all(), RING / 10);
	}
	close_both();
}

/* ---- a ring of a peer's own ---- */

static uint8_t *between_bad_pages(size_t size)
{
	uint8_t *at = mmap(NULL, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(at != MAP_FAILED);
	must_be(mprotect(at + PAGE, size, PROT_READ | PROT_WRITE), 0);
	return at + PAGE;
}

static void put_by_hand(uint8_t *ring, size_t size, uint64_t tail, uint64_t sent, uint64_t len)
{
	uint64_t head[2] = { COOKIE + tail, len };
	memcpy(ring + tail % size, head, sizeof(head));
	for (uint64_t i = 0; i < len; i++)
		pattern_fill(&ring[(tail + HEAD + i) % size], 1, SEED, sent + i);
}

Test(outbox, the_least_ring_of_a_peer_is_read_like_any_and_not_a_byte_beyond_it)
{
	enum { SMALL = WIRE_RING_LEAST };
	static _Alignas(8) uint64_t words[WIRE_STATE_SIZE / 8];
	uint8_t *ring = between_bad_pages(SMALL);
	uint64_t tail = 0, sent = 0;
	peer = getpid();
	words[WIRE_STATE_COOKIE / 8] = COOKIE;
	open_in(ring, SMALL, words, COOKIE);
	seed_random();
	for (int round = 0; round < 5000; round++) {
		while (SMALL - (tail - in.head) >= ALIGN && random_below(4) != 0) {
			size_t room = SMALL - (size_t)(tail - in.head) - HEAD;
			size_t len = 1 + random_below(random_below(4) == 0 ? room : room < 150 ? room : 150);
			put_by_hand(ring, SMALL, tail, sent, len);
			tail += extent(len);
			sent += len;
		}
		do
			must(
			    take_as(1 + random_below(2 * SMALL), random_below(4) == 0) > 0 || in.got == sent);
		while (tail - in.head == SMALL);
	}
}

Test(outbox, a_parcel_of_a_peer_may_be_as_long_as_its_ring)
{
	open_both();
	for (int users = 0; users < 2; users++) {
		go_to(3 * ALIGN);
		put_by_hand(out.ring, RING, out.tail, out.sent, RING - HEAD);
		out.tail += RING;
		out.sent += RING - HEAD;
		while (in.head < out.tail)
			must(take_as(users != 0 ? 1000 : 50000, users != 0) > 0);
		must_be(take_all(), 0);
	}
	close_both();
}

/* ---- on blank ---- */

static uint64_t word_at(uint64_t position)
{
	uint64_t word;
	memcpy(&word, out.ring + position % RING, sizeof(word));
	return word;
}

static void set_word(uint64_t position, uint64_t word)
{
	memcpy(out.ring + position % RING, &word, sizeof(word));
}

/* Puts so much in and takes it: how many looks it takes. */
static unsigned looks_for(size_t len, bool users)
{
	must_be(put(len), len);
	count_looks();
	ssize_t n = take_as(2 * RING, users);
	unsigned count = looks();
	must_be(n, len);
	return count;
}

Test(outbox, a_small_parcel_on_blank_is_taken_by_one_pass_and_any_other_by_two)
{
	open_both();
	must_be(looks_for(20, false), 2); /* at first nothing is blank */
	must_be(looks_for(20, false), 1);
	must_be(looks_for(20, true), 2); /* what is the user's is always read by itself */
	for (size_t len = 1; len < WINDOW_ONCE - ALIGN; len++) {
		go_to(0);
		must_be(looks_for(20, false), 2);
		if (len >= WINDOW_LEAST - ALIGN)
			in.window = WINDOW_ONCE;
		must_be(looks_for(len, false), 1);
	}
	close_both();
}

/* The look itself ends there. */
Test(outbox, a_parcel_on_blank_may_go_over_the_end_of_the_ring)
{
	open_both();
	for (size_t before = ALIGN; before <= 4 * ALIGN; before += ALIGN)
		for (size_t len = 1; len <= 5 * ALIGN; len++) {
			go_to(RING - before - ALIGN);
			lay_blank();
			must_be(put(len), len);
			must_be(word_at(in.head), COOKIE + in.head + 1);
			must_be(take_all(), len);
		}
	close_both();
}

Test(outbox, a_stamp_says_that_a_parcel_is_on_blank_where_there_was_room_for_that)
{
	open_both();
	for (uint64_t at = 0; at < RING; at += ALIGN) {
		must_be(put(1), 1);
		must_be(word_at(at) - COOKIE - at, at > 0 && at + BLANK <= RING ? 1 : 0);
		for (uint64_t behind = at + ALIGN; behind < RING && behind < at + ALIGN + BLANK; behind += 8)
			must_be(word_at(behind), COOKIE - 1);
	}
	must_be(put(1), -EAGAIN);
	must_be(take_all(), RING / ALIGN);
	for (uint64_t at = RING; at < 2 * RING; at += ALIGN) {
		must_be(put(1), 1);
		must_be(word_at(at) - COOKIE - at, at > RING && at + BLANK <= 2 * RING ? 1 : 0);
	}
	must_be(take_all(), RING / ALIGN);
	close_both();
}

Test(outbox, a_longer_parcel_is_not_on_blank_nor_is_what_is_behind_it)
{
	static const struct {
		size_t len;
		bool on_blank;
	} parcels[] = { { 20, false }, { WINDOW_ONCE, true }, { WINDOW_ONCE + 1, false }, { 20000, false },
		{ 20, false }, { 20, true }, { 5000, false }, { 20, false }, { 20, true } };
	open_both();
	for (size_t i = 0; i < sizeof(parcels) / sizeof(parcels[0]); i++) {
		uint64_t at = out.tail;
		must_be(put(parcels[i].len), parcels[i].len);
		must_be(word_at(at) - COOKIE - at, parcels[i].on_blank);
	}
	take_all();
	close_both();
}

Test(outbox, bytes_that_look_blank_arrive)
{
	const uint64_t blank = WIRE_BLANK(COOKIE);
	open_both();
	for (size_t len = sizeof(blank); len <= 300; len++)
		for (size_t at = 0; at + sizeof(blank) <= len; at += len % 3 + 5) {
			go_to(0);
			lay_blank();
			pattern_fill(bytes, len, SEED, out.sent);
			memcpy(bytes + at, &blank, sizeof(blank));
			must_be(outbox_write(&out, peer, &(struct iovec){ bytes, len }, 1, true), len);
			count_looks();
			ssize_t n = inbox_read(&in, peer, &(struct iovec){ got, len + 10 }, 1, false);
			must_be(looks(), at % sizeof(blank) == 0 ? 2 : 1);
			must_be(n, len);
			must(memcmp(bytes, got, len) == 0);
			must_be(take(1), -EAGAIN);
		}
	close_both();
}

enum { LATE = 100 };

static int store_what_is_missing(const char *name, long first, void *arg)
{
	(void)name;
	(void)first;
	memcpy(out.ring + in.head + HEAD, arg, LATE);
	return 0;
}

static void when_looked_at_again(int (*hook)(const char *name, long first, void *arg), void *arg)
{
	fault_arm(&(struct fault){ .action = FAULT_ASK,
	    .nth = 2,
	    .only = "process_vm_readv",
	    .hook = hook,
	    .arg = arg });
}

/* Loads are in no order: its stamp may come before its bytes. */
Test(outbox, a_word_that_is_still_blank_is_looked_at_again)
{
	uint8_t right[LATE];
	for (uint64_t word = 0; word < (LATE + 7) / 8; word++) {
		open_both();
		lay_blank();
		must_be(put(LATE), LATE);
		memcpy(right, out.ring + ALIGN + HEAD, LATE);
		set_word(ALIGN + HEAD + word * 8, WIRE_BLANK(COOKIE));
		when_looked_at_again(store_what_is_missing, right);
		ssize_t n = take(1000);
		fault_disarm();
		must_be(n, LATE);
		must_be(take_all(), 0);
		close_both();
	}
}

Test(outbox, nor_is_it_taken_behind_another_in_the_look)
{
	uint8_t right[LATE];
	for (uint64_t word = 0; word < (LATE + 7) / 8; word++) {
		open_both();
		lay_blank();
		must_be(put(1), 1);
		must_be(put(LATE), LATE);
		memcpy(right, out.ring + 2 * ALIGN + HEAD, LATE);
		set_word(2 * ALIGN + HEAD + word * 8, WIRE_BLANK(COOKIE));
		must_be(take(1000), 1);
		must(in.more);
		store_what_is_missing(NULL, 0, right);
		must_be(take(1000), LATE);
		must_be(take_all(), 0);
		close_both();
	}
}

static int be_another_program(const char *name, long first, void *arg)
{
	(void)name;
	(void)first;
	(void)arg;
	memset(out.ring, 'o', RING);
	return 0;
}

Test(outbox, a_stamp_that_is_gone_in_the_second_look_is_another_program_s)
{
	open_both();
	must_be(put(100), 100);
	when_looked_at_again(be_another_program, NULL);
	ssize_t n = take(1000);
	fault_disarm();
	must_be(n, -ESTALE);
	must_be(in.got, 0);
	close_both();
}

/* ---- it is closed ---- */

static void must_go_another_way(uint64_t from)
{
	struct outbox left = out;
	struct iovec iov[2];
	left.open = true;
	must(!outbox_has_next(&left));
	outbox_leave(&left, from);
	must(!left.open);
	for (size_t count; (count = outbox_next(&left, iov)) > 0;) {
		must(count <= 2);
		for (size_t i = 0; i < count; i++) {
			must(iov[i].iov_len > 0);
			must_hold(iov[i].iov_base, iov[i].iov_len, SEED, from);
			from += iov[i].iov_len;
		}
	}
	must_be(from, out.sent);
	must(!outbox_has_next(&left));
	must_be(outbox_next(&left, iov), 0);
}

Test(outbox, the_rest_from_any_position_is_what_was_put_in_after_it)
{
	static const size_t lens[] = { 1, 48, 49, 300, 7, 112, 500, 64 };
	open_both();
	go_to(RING - 512);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		must_be(put(lens[i]), lens[i]);
	for (uint64_t from = out.known; from <= out.sent; from++)
		must_go_another_way(from);
	must_be(take_as(200, true), 1); /* the reader is in the fourth, and the writer asks it */
	must_be(take_as(200, true), 48);
	must_be(take_as(200, true), 49);
	must_be(take_as(200, true), 200);
	must_be(outbox_ask_head(&out, peer), 0);
	must_be(out.known, 98);
	for (uint64_t from = out.known; from <= out.sent; from++)
		must_go_another_way(from);
	take_all();
	must_be(outbox_ask_head(&out, peer), 0);
	must_go_another_way(out.sent);
	close_both();
}

Test(outbox, a_full_ring_goes_another_way_whole)
{
	open_both();
	go_to(RING - PAGE);
	fill(10000);
	must_go_another_way(out.known);
	must_go_another_way(out.sent - 1);
	close_both();
}

/* ---- how much is asked for ---- */

static size_t wider(size_t window)
{
	return window >= WINDOW_ONCE ? WINDOW_MOST : window * 2 < WINDOW_ONCE ? window * 2 : WINDOW_ONCE;
}

Test(outbox, the_window_grows_while_it_is_full_and_shrinks_when_it_is_not)
{
	only_in_order();
	open_both();
	must_be(in.window, WINDOW_LEAST);
	while (put(100) > 0)
		;
	for (size_t window = WINDOW_LEAST; window < WINDOW_MOST;) {
		bool for_rest = in.rest > 0; /* asks for just that */
		must(take(2 * RING) > 0);
		if (!for_rest)
			window = wider(window);
		must_be(in.window, window);
	}
	take_all();
	must_be(in.window, WINDOW_MOST);
	for (int i = 0; i < 100; i++) /* says nothing */
		must_be(take(2 * RING), -EAGAIN);
	must_be(in.window, WINDOW_MOST);
	for (int i = 0; i < 100; i++) {
		must_be(put(10), 10);
		must_be(take(2 * RING), 10);
	}
	must_be(in.window, WINDOW_LEAST);
	close_both();
}

/* And so, if all are alike, one pass for one of them, and the stamp behind it. */
Test(outbox, the_window_is_as_wide_as_what_comes)
{
	static const size_t lens[] = { 10, 1000, 1500, 2000, 3000, WINDOW_ONCE - 2 * ALIGN };
	open_both();
	for (int wide = 0; wide < 2; wide++) {
		for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
			go_to(0);
			in.window = wide ? WINDOW_MOST : WINDOW_LEAST;
			for (int times = 0; times < 10; times++) {
				must_be(put(lens[i]), lens[i]);
				must_be(take_all(), lens[i]);
			}
			must(in.window >= lens[i] && in.window <= WINDOW_ONCE);
			must(in.window == WINDOW_LEAST || in.window / 2 < extent(lens[i]));
			must_be(looks_for(lens[i], false), 1);
		}
	}
	close_both();
}

Test(outbox, one_look_brings_all_parcels_that_the_window_holds)
{
	enum { FIT = (WINDOW_LEAST + HEAD) / ALIGN };
	only_in_order();
	open_both();
	lay_blank();
	for (int i = 0; i < FIT + 2; i++)
		must_be(put(20), 20);
	count_looks();
	ssize_t first = take(2 * RING), second = take(2 * RING);
	must_be(looks(), 2);
	must_be(first, FIT * 20);
	must_be(second, 2 * 20);
	close_both();
}

Test(outbox, the_parcel_at_the_window_s_end_is_taken_in_two_looks)
{
	enum { LEN = 200, EXTENT = 256, FIT = (WINDOW_LEAST + HEAD) / EXTENT };
	must_be(extent(LEN), EXTENT);
	only_in_order();
	open_both();
	lay_blank();
	for (int i = 0; i < FIT + 2; i++)
		must_be(put(LEN), LEN);
	count_looks();
	ssize_t first = take(2 * RING), second = take(2 * RING), third = take(2 * RING);
	must_be(looks(), 3);
	must_be(first, FIT * LEN + WINDOW_LEAST - FIT * EXTENT);
	must_be(first + second, (FIT + 1) * LEN);
	must_be(third, LEN);
	close_both();
}

Test(outbox, a_parcel_longer_than_the_window_is_finished_by_a_second_look)
{
	open_both();
	must_be(put(20000), 20000);
	must_be(take(2 * RING), WINDOW_LEAST);
	count_looks();
	ssize_t n = take(2 * RING);
	must_be(looks(), 1);
	must_be(n, 20000 - WINDOW_LEAST);
	must_be(take_all(), 0);
	close_both();
}

Test(outbox, behind_a_long_parcel_one_look_brings_a_long_one_or_the_first_of_short_ones)
{
	only_in_order();
	open_both();
	in.window = WINDOW_MOST;
	must_be(put(20000), 20000);
	while (in.head == 0)
		must(take(2 * RING) > 0);
	must_be(put(30000), 30000);
	must_be(put(100), 100);
	must_be(put(200), 200);
	must_be(put(300), 300);
	count_looks();
	ssize_t first = take(2 * RING), second = take(2 * RING), third = take(2 * RING);
	must_be(looks(), 3);
	must_be(first, 30000);
	must_be(second, 100);
	must_be(third, 200 + 300);
	close_both();
}

Test(outbox, a_head_moves_on_when_all_of_its_parcel_was_taken)
{
	open_both();
	must_be(put(500), 500);
	for (int i = 0; i < 5; i++) {
		must_be(in.head, 0);
		must_be(take(100), 100);
	}
	must_be(in.head, extent(500));
	must_be(take_all(), 0);
	close_both();
}

/* ---- the user's memory ---- */

static uint8_t *two_pages_of_which_one_is_bad(void)
{
	uint8_t *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(at != MAP_FAILED);
	must_be(mprotect(at + PAGE, PAGE, PROT_NONE), 0);
	return at;
}

Test(outbox, a_user_gets_no_byte_that_is_not_there_yet)
{
	open_both();
	must_be(put(1000), 1000);
	memset(out.ring + HEAD + 1000, 0x77, 1000); /* of old */
	memset(got, CANARY, sizeof(got));
	must_be(inbox_read(&in, peer, &(struct iovec){ got, 5000 }, 1, true), 1000);
	must_hold(got, 1000, SEED, 0);
	must_be_untouched(got + 1000, 4000);
	must_be(inbox_read(&in, peer, &(struct iovec){ got + 1000, 4000 }, 1, true), -EAGAIN);
	must_be_untouched(got + 1000, 4000);
	close_both();
}

Test(outbox, a_user_s_bad_memory_is_told_and_costs_no_byte)
{
	uint8_t *user = two_pages_of_which_one_is_bad();
	struct iovec none = { user + PAGE, 100 }, never = { (void *)(UINTPTR_MAX - PAGE), 100 };
	open_both();
	must_be(put(1000), 1000);
	must_be(inbox_read(&in, peer, &none, 1, true), -EFAULT);
	must_be(inbox_read(&in, peer, &never, 1, true), -EFAULT);
	must_be(in.head, 0);
	must_be(in.got, 0);
	must_be(inbox_read(&in, peer, &(struct iovec){ user + PAGE - 300, 1000 }, 1, true), 300);
	must_hold(user + PAGE - 300, 300, SEED, 0);
	must_be(in.got, 300);
	must_be(inbox_read(&in, peer, &none, 1, true), -EFAULT);
	must_be(take_all(), 700);
	close_both();
}

Test(outbox, it_is_not_the_user_s_fault_if_the_writer_s_memory_is_gone)
{
	open_both();
	must_be(put(1000), 1000);
	must_be(take_as(100, true), 100);
	must_be(mprotect(out.ring, PAGE, PROT_NONE), 0);
	must_be(take_as(100, true), -ESTALE);
	must_be(take(100), -ESTALE);
	must_be(mprotect(out.state, PAGE, PROT_NONE), 0);
	must_be(take_as(100, true), -ESTALE);
	must_be(take(100), -ESTALE);
	must_be(in.got, 100);
	close_both();
}

Test(outbox, what_can_t_be_read_is_not_put_in)
{
	uint8_t *user = two_pages_of_which_one_is_bad();
	struct iovec bad = { user + PAGE, 100 }, half = { user + PAGE - 300, 1000 };
	open_both();
	must_be(outbox_write(&out, peer, &bad, 1, false), -EFAULT);
	must_be(out.tail, 0);
	must_be(take(1000), -EAGAIN);
	pattern_fill(user + PAGE - 300, 300, SEED, 0);
	must_be(outbox_write(&out, peer, &half, 1, false), 300);
	half = (struct iovec){ user + PAGE, 700 };
	must_be(outbox_write(&out, peer, &half, 1, false), -EFAULT);
	must_be(put(700), 700);
	must_be(take_all(), 1000);
	close_both();
}

/* ---- bells ---- */

Test(outbox, a_bell_that_was_set_rings_for_all_that_is_put_in)
{
	open_both();
	must_be(put(10), 10);
	must(!outbox_rings(&out));
	must_be(take_all(), 10);
	must_be(inbox_arm(&in, peer), 0);
	must(in.armed);
	for (int i = 0; i < 10; i++) {
		must_be(put(10), 10);
		must(outbox_rings(&out));
		must_be(inbox_arm(&in, peer), 0); /* costs nothing: it is set */
	}
	close_both();
}

/* As transport_get() does. */
static void find(size_t len)
{
	must_be(put(len), len);
	must_be(take(2 * RING), len);
	inbox_calm(&in, peer);
}

Test(outbox, a_bell_is_taken_back_by_who_finds_parcels_without_having_slept)
{
	enum { FEW = 4 };
	open_both();
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 10; i++) { /* has slept in between */
			must_be(inbox_arm(&in, peer), 0);
			find(10);
			must(in.armed && outbox_rings(&out));
		}
		for (int i = 1; i < FEW; i++) {
			must(in.armed && outbox_rings(&out));
			find(10);
		}
		must(!in.armed && !outbox_rings(&out));
		fault_arm(&(struct fault){ .nth = UINT_MAX, .only = "process_vm_writev" });
		find(10);
		fault_disarm();
		must_be(fault_calls(), 0);
	}
	close_both();
}

Test(outbox, a_bell_that_can_not_be_taken_back_stays_set)
{
	open_both();
	must_be(inbox_arm(&in, peer), 0);
	fault_arm(&(struct fault){ .nth = 1, .only = "process_vm_writev", .error = EPERM });
	for (int i = 0; i < 4; i++)
		find(10);
	fault_disarm();
	must(in.armed && outbox_rings(&out));
	close_both();
}

Test(outbox, no_bell_is_set_where_there_is_something)
{
	open_both();
	must_be(put(1000), 1000);
	must_be(inbox_arm(&in, peer), 0);
	must(!in.armed && !outbox_rings(&out));
	must_be(take(100), 100);
	must_be(inbox_arm(&in, peer), 0);
	must(!in.armed && !outbox_rings(&out));
	must_be(take_all(), 900);
	close_both();
}

/* Else what a slow reader gives back message by message would be filled with crumbs. */
Test(outbox, more_than_there_is_room_for_waits_for_a_good_part_of_the_ring)
{
	static const size_t lens[] = { 1, 1000, ROOM_LEAST, PAYLOAD_MOST };
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		size_t least = lens[i] < ROOM_LEAST ? lens[i] : ROOM_LEAST;
		open_both();
		while (put(1000) > 0)
			;
		ssize_t n = 0;
		while ((n = put(lens[i])) == -EAGAIN) {
			must(RING - (out.tail - in.head) < extent(least));
			must_be(outbox_ask_room(&out, peer), -EAGAIN);
			must(take(1000) > 0);
		}
		must(n >= (ssize_t)least);
		must_be(out.state->full, 0);
		take_all();
		close_both();
	}
}

/* However it came to be full. Who takes small parcels looks at the words but once in a quarter of the ring. */
Test(outbox, who_is_missed_for_room_rings_when_half_of_it_is_free_and_once)
{
	static const struct {
		size_t len;
		uint64_t late;
	} cases[] = { { 10000, 0 }, { 50, RING / 4 } };
	open_both();
	for (size_t round = 0; round < 10; round++) {
		size_t len = cases[round % 2].len;
		go_to(round * 192 * ALIGN);
		while (put(len) > 0)
			must(!inbox_rings(&in));
		must_be(out.state->full, out.tail);
		must_be(outbox_ask_room(&out, peer), -EAGAIN);
		bool rung = false;
		while (take(2 * len) > 0) {
			bool rings = inbox_rings(&in);
			must(!rings || (!rung && out.tail - in.head <= RING / 2));
			rung = rung || rings;
			must(rung || out.tail - in.head + cases[round % 2].late > RING / 2);
		}
		must(rung);
		must(!inbox_rings(&in));
		must_be(outbox_ask_room(&out, peer), 0);
		must_be(out.state->full, 0);
		must_be(put(10), 10);
		must_be(take(2 * RING), 10);
		must(!inbox_rings(&in));
	}
	close_both();
}

/* The writer was stopped between its last look at the head and the word that it is full. */
Test(outbox, the_look_before_a_sleep_rings_for_room_too)
{
	open_both();
	for (int parcel = 0; parcel < RING / ALIGN; parcel++)
		must_be(put(1), 1);
	take_all();
	atomic_store(&out.state->full, out.tail);
	must(!inbox_rings(&in));
	must_be(inbox_arm(&in, peer), 0);
	must_be(take(2 * RING), -EAGAIN);
	must(inbox_rings(&in));
	must(!inbox_rings(&in));
	close_both();
}

/* ---- what goes with a bell ---- */

/* What was put in last, as a BELL has it: taken by that, without a look. */
static int hear_last(size_t len)
{
	const uint8_t *at = NULL;
	uint64_t position, from = in.got;
	must_be(outbox_last(&out, WIRE_BELL_LONGEST, &at, &position), len);
	must_hold(at, len, SEED, out.sent - len);
	count_looks();
	int rc = inbox_hear(&in, position, len, true);
	must_be(looks(), 0);
	must_be(in.got - from, rc > 0 ? len : 0);
	must_be(told, in.head);
	return rc;
}

Test(outbox, what_goes_with_a_bell_is_taken_once)
{
	open_both();
	for (size_t len = 1; len <= WIRE_BELL_LONGEST; len++) {
		go_to(PAGE);
		must_be(put(len), len);
		must_be(hear_last(len), 1);
		must_be(in.head, out.tail);
		must_be(hear_last(len), 0);
		must_be(take(2 * RING), -EAGAIN);
		must_be(put(len), len); /* or it was found before it is heard of */
		must_be(take_all(), len);
		must_be(hear_last(len), 0);
	}
	close_both();
}

/* In whatever order, and whatever of them is found in the ring. */
Test(outbox, what_is_heard_of_and_what_is_found_are_one_run_of_bytes)
{
	seed_random();
	open_both();
	for (int i = 0; i < 20000; i++) {
		size_t len = 1 + random_below(random_below(4) == 0 ? WIRE_BELL_LONGEST : 100);
		must_be(put(len), len);
		switch (random_below(4)) {
		case 0:
			take(1 + random_below(2000));
			break;
		case 1:
			take_all();
			break;
		default:
			if (in.head == out.last && in.rest == 0 && out.last % RING + HEAD + len <= RING)
				must_be(hear_last(len), 1);
		}
		if (out.tail - in.head > RING / 2)
			take_all();
	}
	take_all();
	close_both();
}

Test(outbox, what_is_behind_another_or_begun_is_to_be_looked_for)
{
	open_both();
	must_be(put(300), 300);
	must_be(put(20), 20);
	must_be(hear_last(20), -EAGAIN);
	must_be(take(100), 100);
	must_be(inbox_hear(&in, 0, 300, true), -EAGAIN);
	must_be(take_all(), 220);
	must_be(put(20), 20);
	must_be(inbox_hear(&in, in.head, 20, false), -EAGAIN);
	must_be(take_all(), 20);
	close_both();
}

Test(outbox, what_is_long_or_goes_over_the_end_of_the_ring_does_not_go_with_a_bell)
{
	const uint8_t *at;
	uint64_t position;
	open_both();
	must_be(put(WIRE_BELL_LONGEST + 1), WIRE_BELL_LONGEST + 1);
	must_be(outbox_last(&out, WIRE_BELL_LONGEST, &at, &position), 0);
	take_all();
	go_to(RING - ALIGN);
	must_be(put(ALIGN - HEAD + 1), ALIGN - HEAD + 1);
	must_be(outbox_last(&out, WIRE_BELL_LONGEST, &at, &position), 0);
	take_all();
	go_to(RING - ALIGN);
	must_be(put(ALIGN - HEAD), ALIGN - HEAD);
	must_be(outbox_last(&out, WIRE_BELL_LONGEST, &at, &position), ALIGN - HEAD);
	close_both();
}

/* Who only hears looks at the words as often as who only looks. */
Test(outbox, a_look_is_due_when_a_quarter_of_the_ring_was_heard_of)
{
	open_both();
	for (int round = 0; round < 8; round++) {
		must_be(inbox_arm(&in, peer), 0);
		must_be(take(1), -EAGAIN);
		for (uint64_t from = in.head; in.head - from < RING / 4;) {
			must(!inbox_is_due(&in));
			must_be(put(1), 1);
			must_be(hear_last(1), 1);
		}
		must(inbox_is_due(&in));
	}
	close_both();
}

Test(outbox, a_bell_for_what_can_not_be_there_is_a_lie)
{
	static const uint64_t lens[] = { 0, RING - HEAD + 1, RING, UINT64_C(1) << 32, INT64_MAX,
		UINT64_MAX - HEAD, UINT64_MAX };
	static const uint64_t ahead[] = { RING, RING - ALIGN + ALIGN / 2, RING + ALIGN, (uint64_t)2 * RING,
		UINT64_C(1) << 62 };
	open_both();
	go_to(PAGE);
	must_be(put(20), 20);
	const struct inbox before = in;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		must_be(inbox_hear(&in, in.head, lens[i], true), -EPROTO);
	for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++)
		must_be(inbox_hear(&in, in.head + ahead[i], 1, true), -EPROTO);
	must_be(inbox_hear(&in, in.head + RING - ALIGN, ALIGN - HEAD + 1, true), -EPROTO);
	for (uint64_t off = 1; off < ALIGN; off++)
		must_be(inbox_hear(&in, in.head + off, 1, true), -EPROTO);
	must_be(inbox_hear(&in, in.head + RING - ALIGN, ALIGN - HEAD, true), -EAGAIN);
	must_be(inbox_hear(&in, in.head - ALIGN, 1, true), 0);
	must_be(inbox_hear(&in, in.head - (UINT64_C(1) << 62), 1, true), 0);
	must(memcmp(&in, &before, sizeof(in)) == 0);
	must_be(hear_last(20), 1);
	close_both();
}

/* Which moves the head to where there is nothing, or what the writer has put there. */
Test(outbox, a_bell_that_is_not_what_the_ring_has_spoils_its_own_stream_alone)
{
	open_both();
	go_to(PAGE);
	must_be(put(200), 200);
	must_be(put(20), 20);
	must_be(inbox_hear(&in, in.head, 20, true), 1);
	must_be(take(2 * RING), -EAGAIN);
	must_be(outbox_ask_head(&out, peer), -EPROTO);
	close_both();
}

/* ---- lies ---- */

static uint64_t stamp_of(int kind, uint64_t position)
{
	uint64_t right = COOKIE + position;
	const uint64_t stamps[] = { 0, right - RING, right + RING, right - 1, right + 2, right - ALIGN,
		right + ALIGN, position, ~right, right << 32, right | UINT64_C(1) << 63 };
	return stamps[kind];
}

enum { STAMPS = 11 };

Test(outbox, a_stamp_of_another_lap_or_cookie_is_nothing)
{
	open_both();
	for (int kind = 0; kind < STAMPS; kind++)
		for (int before = 0; before < 2; before++) { /* there is another parcel in the same look */
			go_to(PAGE);
			if (before > 0)
				must_be(put(20), 20);
			forge(out.tail, stamp_of(kind, out.tail), 100);
			if (before > 0)
				must_be(take(1000), 20);
			memset(got, CANARY, 1000);
			must_be(take_as(1000, true), -EAGAIN);
			must_be_untouched(got, 1000);
			must_be(take(1000), -EAGAIN);
			in.armed = false;
			must_be(inbox_arm(&in, peer), 0);
			must(in.armed);
			must_be(take_all(), 0);
		}
	close_both();
}

Test(outbox, a_length_that_can_t_be_is_a_lie)
{
	static const uint64_t lies[] = { 0, RING - HEAD + 1, RING, RING + 1, UINT64_C(1) << 32,
		UINT64_C(1) << 63, UINT64_MAX - HEAD - ALIGN + 1, UINT64_MAX - HEAD, UINT64_MAX };
	open_both();
	for (size_t i = 0; i < 2 * sizeof(lies) / sizeof(lies[0]); i++) {
		go_to(PAGE);
		forge(in.head, COOKIE + in.head + i % 2, lies[i / 2]);
		in.armed = false;
		must_be(take(1000), -EPROTO);
		must_be(take_as(1000, true), -EPROTO);
		must_be(inbox_arm(&in, peer), -EPROTO);
		must(!in.armed && !outbox_rings(&out));
		must_be(in.head, out.tail);
	}
	close_both();
}

/* The link is at its end then: nobody misses the first. */
Test(outbox, the_length_of_a_second_parcel_in_one_look_is_no_less_a_lie)
{
	only_in_order();
	for (uint64_t lie = 0; lie <= RING; lie += RING) {
		open_both();
		must_be(put(20), 20);
		forge(out.tail, COOKIE + out.tail, lie);
		must_be(inbox_read(&in, peer, &(struct iovec){ got, 1000 }, 1, false), -EPROTO);
		close_both();
	}
}

Test(outbox, a_head_that_is_no_boundary_of_a_parcel_is_a_lie)
{
	static const uint64_t lies[] = { 1, HEAD, ALIGN, 127, 129, 320, 383, 385, 384 + ALIGN, RING,
		UINT64_MAX };
	open_both();
	for (int i = 0; i < 3; i++)
		must_be(put(100), 100);
	must_be(out.tail, 384);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		told = lies[i];
		must_be(outbox_ask_head(&out, peer), -EPROTO);
		must_be(out.head, 0);
		must_be(out.known, 0);
	}
	for (uint64_t parcel = 0; parcel <= 3; parcel++) {
		told = parcel * 128;
		must_be(outbox_ask_head(&out, peer), 0);
		must_be(out.head, parcel * 128);
		must_be(out.known, parcel * 100);
	}
	close_both();
}

Test(outbox, a_head_that_goes_back_is_a_lie)
{
	open_both();
	for (int i = 0; i < 3; i++)
		must_be(put(100), 100);
	told = 256;
	must_be(outbox_ask_head(&out, peer), 0);
	for (told = 0; told < 256; told += ALIGN)
		must_be(outbox_ask_head(&out, peer), -EPROTO);
	must_be(out.head, 256);
	must_be(out.known, 200);
	close_both();
}

Test(outbox, who_writes_to_a_full_ring_learns_of_the_lie)
{
	open_both();
	fill(10000);
	told = ALIGN;
	must_be(put(10), -EPROTO);
	must_be(outbox_ask_room(&out, peer), -EPROTO);
	must_be(out.tail, RING);
	must_be(out.head, 0);
	told = 0;
	must_be(take_all(), out.sent);
	must_be(put(10), 10);
	close_both();
}

static int mend_head(const char *name, long first, void *arg)
{
	(void)name;
	(void)first;
	told = *(uint64_t *)arg;
	return 0;
}

Test(outbox, what_a_second_look_takes_back_was_no_lie)
{
	uint64_t right = 128;
	open_both();
	must_be(put(100), 100);
	told = UINT64_MAX;
	fault_arm(&(struct fault){ .action = FAULT_ASK,
	    .nth = 2,
	    .only = "process_vm_readv",
	    .hook = mend_head,
	    .arg = &right });
	int rc = outbox_ask_head(&out, peer);
	fault_disarm();
	must_be(rc, 0);
	must_be(out.head, 128);
	close_both();
}

/* ---- another program's memory, or none ---- */

Test(outbox, without_the_writer_s_cookie_nothing_is_believed)
{
	open_both();
	must_be(put(1000), 1000);
	must_be(take(100), 100); /* the stamp was seen, but the rest may be another's */
	for (int lie = 0; lie < 2; lie++) {
		atomic_store(&out.state->cookie, lie == 0 ? 0 : COOKIE + 1);
		must_be(take(1000), -ESTALE);
		must_be(take_as(1000, true), -ESTALE);
		must_be(in.got, 100);
	}
	atomic_store(&out.state->cookie, COOKIE);
	must_be(take_all(), 900);
	atomic_store(&out.state->cookie, 0);
	must_be(inbox_arm(&in, peer), -ESTALE);
	must(!in.armed);
	must_be(out.state->bell, 0);
	forge(in.head, COOKIE + in.head, RING); /* not even a lie */
	must_be(take(1000), -ESTALE);
	close_both();
}

/* Though stamps are right. */
Test(outbox, the_writer_s_cookie_is_asked_for_in_each_quarter_of_the_ring)
{
	open_both();
	while (put(50) > 0)
		;
	must_be(inbox_arm(&in, peer), 0);
	must_be(take_as(50, true), 50);
	atomic_store(&out.state->cookie, 0);
	uint64_t from = in.head;
	ssize_t n;
	while ((n = inbox_read(&in, peer, &(struct iovec){ got, 2000 }, 1, false)) > 0)
		must(in.head - from <= RING / 4 + WINDOW_MOST);
	must_be(n, -ESTALE);
	close_both();
}

Test(outbox, pages_that_are_gone_are_another_program_s)
{
	open_both();
	must_be(mprotect(out.state, PAGE, PROT_READ), 0);
	must_be(inbox_arm(&in, peer), -EFAULT);
	must(!in.armed);
	must_be(mprotect(out.state, PAGE, PROT_NONE), 0);
	must_be(inbox_arm(&in, peer), -ESTALE);
	must_be(take(1000), -ESTALE);
	must_be(mprotect(out.state, PAGE, PROT_READ | PROT_WRITE), 0);
	must_be(mprotect(out.ring, PAGE, PROT_NONE), 0);
	must_be(take(1000), -ESTALE);
	must_be(take_as(1000, true), -ESTALE);
	must_be(inbox_arm(&in, peer), -ESTALE);
	must(!in.armed);
	must_be(in.head, 0);
	close_both();
}

/* The parcel in the first does not make up for it. */
Test(outbox, a_page_that_is_gone_behind_others_is_told_too)
{
	open_both();
	go_to(PAGE - 2 * ALIGN);
	must_be(put(20), 20);
	must_be(put(1000), 1000);
	must_be(mprotect(out.ring + PAGE, PAGE, PROT_NONE), 0);
	must_be(take(1000), 20 + ALIGN - HEAD);
	must_be(take(1000), -ESTALE);
	close_both();
}

Test(outbox, without_the_reader_s_cookie_no_head_is_believed)
{
	uint8_t *pages = two_pages_of_which_one_is_bad();
	open_both();
	fill(10000);
	here = READER + 1;
	for (int lie = 0; lie < 2; lie++) {
		told = lie == 0 ? extent(10000) : UINT64_MAX; /* not even a lie */
		must_be(outbox_ask_head(&out, peer), -ESTALE);
		must_be(outbox_ask_room(&out, peer), -ESTALE);
		must_be(put(10), -ESTALE);
	}
	here = READER;
	told = extent(10000);
	out.cookie_addr = (uintptr_t)pages + PAGE;
	must_be(outbox_ask_head(&out, peer), -ESTALE);
	must_be(put(10), -ESTALE);
	out.cookie_addr = (uintptr_t)&here;
	out.head_addr = (uintptr_t)pages + PAGE;
	must_be(outbox_ask_head(&out, peer), -ESTALE);
	must_be(put(10), -ESTALE);
	must_be(out.head, 0);
	out.head_addr = (uintptr_t)&told;
	must_be(outbox_ask_head(&out, peer), 0);
	close_both();
}

static int find_nothing(void *arg)
{
	(void)arg;
	child_check(atomic_load(&out.state->cookie) == 0);
	for (size_t i = 0; i < RING; i++)
		child_check(out.ring[i] == 0);
	return 0;
}

Test(outbox, a_forked_child_finds_nothing_in_it)
{
	struct child c;
	open_both();
	fill(10000);
	child_start(&c, CHILD_MS, find_nothing, NULL);
	child_expect(&c, 0);
	must_be(take_all(), out.sent);
	close_both();
}

/* ---- refusals ---- */

Test(outbox, what_the_kernel_refuses_is_told_as_it_says)
{
	static const int errors[] = { EPERM, ENOSYS, ESRCH, ENOMEM };
	open_both();
	fill(10000);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fault_arm(&(struct fault){ .nth = 1,
		    .lasting = true,
		    .only = "process_vm_readv process_vm_writev",
		    .error = errors[i] });
		struct iovec iov = { got, 10 };
		ssize_t read = inbox_read(&in, peer, &iov, 1, false),
		        users = inbox_read(&in, peer, &iov, 1, true);
		int armed = inbox_arm(&in, peer), asked = outbox_ask_room(&out, peer);
		int head = outbox_ask_head(&out, peer);
		ssize_t wrote = outbox_write(&out, peer, &(struct iovec){ bytes, 10 }, 1, true);
		fault_disarm();
		must_be(read, -errors[i]);
		must_be(users, -errors[i]);
		must_be(armed, -errors[i]);
		must_be(asked, -errors[i]);
		must_be(head, -errors[i]);
		must_be(wrote, -errors[i]);
	}
	must_be(take_all(), out.sent);
	close_both();
}

Test(outbox, a_bell_that_may_not_be_set_is_told)
{
	open_both();
	fault_arm(&(struct fault){ .nth = 1, .only = "process_vm_writev", .error = EPERM });
	int armed = inbox_arm(&in, peer);
	fault_disarm();
	must_be(armed, -EPERM);
	must(!in.armed);
	close_both();
}

/* To be copied by the kernel is a favour: where it won't, the memory is trusted to be good. */
Test(outbox, who_may_not_even_write_to_himself_writes_all_the_same)
{
	open_both();
	pattern_fill(bytes, 1000, SEED, 0);
	fault_arm(&(struct fault){ .nth = 1, .lasting = true, .only = "process_vm_writev", .error = EPERM });
	ssize_t n = outbox_write(&out, peer, &(struct iovec){ bytes, 1000 }, 1, false);
	fault_disarm();
	must_be(n, 1000);
	must_be(take_all(), 1000);
	close_both();
}
