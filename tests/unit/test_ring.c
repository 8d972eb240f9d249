/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stream's ring: what was put in is where its position says, wherever that falls; what the reader is shown is true; what
 * it says by the bell is heard once.
 */
#include "stream/ring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/must.h"
#include "lib/pattern.h"

TestSuite(ring, .timeout = 60);

enum { SIZE = 16 << 10, ROUNDS = 400, CHILD_MS = 10000, SEED = 3 };

#define COOKIE UINT64_C(0x00c0ffee00c0ffee)

static struct ring r;
static uint8_t buf[SIZE];

static void begin(size_t size)
{
	must_be(ring_init(&r, size, COOKIE), 0);
}

/* As the stream's next bytes, out of buffers of two lengths. */
static void put(size_t len)
{
	struct iovec iov[] = { { buf, len / 3 }, { buf + len / 3, len - len / 3 } };
	struct iov_cursor from;
	pattern_fill(buf, len, SEED, r.tail);
	iov_cursor_init(&from, iov, 2, len);
	ring_put(&r, &from, len);
	must_be(from.left, 0);
}

/* What is there from one position to another, as the spans say. */
static size_t must_be_there(uint64_t from, uint64_t to)
{
	struct iovec spans[2];
	size_t count = ring_spans(&r, from, to, spans);
	for (size_t i = 0; i < count; i++) {
		uint8_t *at = spans[i].iov_base;
		must(spans[i].iov_len > 0);
		must(at >= r.bytes && at + spans[i].iov_len <= r.bytes + r.size);
		must_hold(at, spans[i].iov_len, SEED, from);
		from += spans[i].iov_len;
	}
	must_be(from, to);
	return count;
}

Test(ring, a_new_one_is_empty_and_says_where_it_is)
{
	begin(SIZE);
	must_be(ring_room(&r), SIZE);
	must_be(atomic_load(&r.words->tail), 0);
	must_be(atomic_load(&r.words->bell), 0);
	must(atomic_load(&r.words->cookie) == COOKIE);
	must_be(r.words->bytes, (uintptr_t)r.bytes);
	must_be(r.words->size, SIZE);
	must_be(must_be_there(0, 0), 0);
	must_be(ring_heard(&r), 0);
	ring_fini(&r);
}

/* As docs/protocol.md has it. */
Test(ring, its_words_are_where_the_protocol_says)
{
	must_be(offsetof(struct ring_words, tail), 0);
	must_be(offsetof(struct ring_words, cookie), 8);
	must_be(offsetof(struct ring_words, bytes), 16);
	must_be(offsetof(struct ring_words, size), 24);
	must_be(offsetof(struct ring_words, bell), 64);
	must_be(RING_BELL_ARMED, 1);
	must_be(RING_BELL_CLOSED, 2);
}

Test(ring, what_is_put_is_published_and_takes_room)
{
	begin(SIZE);
	put(100);
	must_be(ring_room(&r), SIZE - 100);
	must_be(atomic_load(&r.words->tail), 100);
	must_be(must_be_there(0, 100), 1);
	put(SIZE - 100);
	must_be(ring_room(&r), 0);
	must_be(must_be_there(0, SIZE), 1);
	put(0);
	must_be(atomic_load(&r.words->tail), SIZE);
	r.head = 60;
	must_be(ring_room(&r), 60);
	ring_fini(&r);
}

/* Every length at every place around the end. */
Test(ring, what_goes_over_its_end_is_two_spans)
{
	enum { FEW = 64 };
	begin(FEW);
	for (size_t at = 0; at < FEW; at++) {
		for (size_t len = 1; len <= FEW; len++) {
			r.head = r.tail = r.tail + (at + FEW - r.tail % FEW) % FEW;
			must_note_case("%zu bytes at %zu", len, at);
			put(len);
			must_be(must_be_there(r.head, r.tail), at + len > FEW ? 2 : 1);
			must_be(ring_room(&r), FEW - len);
		}
	}
	must_note("");
	ring_fini(&r);
}

Test(ring, a_part_of_what_is_there_can_be_asked_for)
{
	begin(SIZE);
	r.head = r.tail = 5 * SIZE - 1000;
	put(3000);
	must_be(must_be_there(r.tail - 3000, r.tail - 2000), 1);
	must_be(must_be_there(r.tail - 2000, r.tail), 1);
	must_be(must_be_there(r.tail - 2001, r.tail - 1999), 2);
	must_be(must_be_there(r.tail, r.tail), 0);
	ring_fini(&r);
}

Test(ring, bytes_stay_right_while_it_is_filled_and_emptied)
{
	begin(SIZE);
	for (size_t i = 1; i < ROUNDS; i++) {
		size_t len = i * 997 % SIZE, room = ring_room(&r);
		put(len < room ? len : room);
		must_be_there(r.head, r.tail);
		r.head += (r.tail - r.head) * (i % 4) / 3;
	}
	must(r.tail > 20 * SIZE);
	ring_fini(&r);
}

/* Its positions are a stream's, which may be long. */
Test(ring, positions_go_beyond_32_bits)
{
	begin(SIZE);
	r.head = r.tail = (UINT64_C(1) << 40) - 10;
	put(20);
	must_be(must_be_there(r.head, r.tail), 2);
	must_be(ring_room(&r), SIZE - 20);
	must(atomic_load(&r.words->tail) == (UINT64_C(1) << 40) + 10);
	ring_fini(&r);
}

Test(ring, an_armed_bell_is_heard_once)
{
	begin(SIZE);
	ring_arm(&r);
	must_be(ring_heard(&r), RING_BELL_ARMED);
	must_be(ring_heard(&r), 0);
	atomic_store(&r.words->bell, RING_BELL_ARMED); /* as the reader does it */
	must_be(ring_heard(&r), RING_BELL_ARMED);
	must_be(atomic_load(&r.words->bell), 0);
	ring_fini(&r);
}

Test(ring, that_the_reader_has_left_is_heard_again_and_again)
{
	begin(SIZE);
	atomic_store(&r.words->bell, RING_BELL_CLOSED);
	must_be(ring_heard(&r), RING_BELL_CLOSED);
	ring_arm(&r);
	must_be(ring_heard(&r), RING_BELL_CLOSED | RING_BELL_ARMED);
	must_be(ring_heard(&r), RING_BELL_CLOSED);
	ring_fini(&r);
}

static int child_looks(void *arg)
{
	(void)arg;
	child_check(atomic_load(&r.words->cookie) == 0);
	child_check(atomic_load(&r.words->tail) == 0);
	for (size_t i = 0; i < SIZE; i++)
		child_check(r.bytes[i] == 0);
	return 0;
}

Test(ring, a_forked_child_finds_nothing_of_it)
{
	struct child c;
	begin(SIZE);
	put(SIZE);
	child_start(&c, CHILD_MS, child_looks, NULL);
	child_expect(&c, 0);
	must_be_there(0, SIZE);
	ring_fini(&r);
}

Test(ring, it_can_be_freed_twice_or_without_ever_being_one)
{
	struct ring none = { 0 };
	ring_fini(&none);
	begin(SIZE);
	ring_fini(&r);
	must(r.words == NULL && r.size == 0);
	ring_fini(&r);
}

Test(ring, one_for_which_there_is_no_memory_is_none)
{
	must_be(ring_init(&r, (size_t)1 << 62, COOKIE), -ENOMEM);
	must(r.words == NULL);
	ring_fini(&r);
}
