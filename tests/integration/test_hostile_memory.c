/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a hostile peer's descriptors can point at: memory that is not there, the kernel's, more than there is, lists and
 * grant cells that lie or change while they are read. Only the receive that got the message may notice, and nothing is
 * written beyond its buffers. The peer is made by hand, and its memory is the test's own.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <haul/haul.h>

#include "lib/handmade.h"
#include "lib/must.h"
#include "lib/pattern.h"

enum {
	LATE_MS = 20000,
	PAGE = 4096,
	GUARD = 64,
	LEN = 3 * PAGE,
	LIST = 2000,
	COOKIE = 4711,
	TAG = 5,
	SEED = 9
};

#define ID(slot) WIRE_ID(slot, 1)

static struct handmade m;
static const struct raw_frame *f;
static unsigned char good[LEN];
static _Atomic uint64_t cell;
static struct iovec list[LIST];

/* Ours: the receive's buffer, between guards. */
static unsigned char room[GUARD + LEN + GUARD];
static unsigned char *const into = room + GUARD;
static struct haul_req *receive;

static void setup(void)
{
	pattern_fill(good, sizeof(good), SEED, 0);
	atomic_store(&cell, COOKIE);
	for (size_t i = 0; i < LIST; i++)
		list[i] = (struct iovec){ .iov_base = good + i, .iov_len = 1 };
}

TestSuite(hostile_memory, .timeout = 60, .init = setup);

static void start_receive(size_t len)
{
	struct haul_match match = { .tag = TAG };
	struct iovec iov = { .iov_base = into, .iov_len = len };
	memset(room, CANARY, sizeof(room));
	must_be(haul_irecv(m.haul, &match, &iov, 1, &receive), 0);
}

static struct haul_status finish_receive(int error)
{
	struct haul_status status;
	must_be(haul_req_wait(receive, LATE_MS), 0);
	must_be(haul_req_finish(receive, &status), error);
	must_be_untouched(room, GUARD);
	must_be_untouched(into + LEN, GUARD);
	return status;
}

/* A message whose cell is good. */
static struct handmade_desc message(uint64_t len, uint32_t count)
{
	return (struct handmade_desc){ .tag = TAG,
		.id = ID(0),
		.len = len,
		.count = count,
		.cell = (uintptr_t)&cell,
		.cookie = COOKIE,
		.list = (uintptr_t)list };
}

static struct handmade_desc one_range(void *addr, uint64_t len)
{
	struct handmade_desc d = message(len, 1);
	d.ranges[0] = (struct iovec){ .iov_base = addr, .iov_len = len };
	return d;
}

/* The peer answers what it is asked for, honestly, so far it was not read: len bytes from good. */
static void stream_rest(uint64_t offset, uint64_t len)
{
	static uint8_t body[WIRE_DATA_SIZE + LEN];
	f = handmade_await(&m, WIRE_SEND);
	must_be(raw_get(f->body, 8), ID(0));
	must_be(raw_get(f->body + 8, 8), offset);
	must_be(raw_get(f->body + 16, 8), len);
	memcpy(body, f->body, 16);
	raw_put(body + 16, raw_get(f->body + 24, 4), 8);
	memcpy(body + WIRE_DATA_SIZE, good + offset, len);
	raw_send_frame(&m.raw, WIRE_DATA, 0, body, WIRE_DATA_SIZE + len);
	raw_put(body + 8, offset + len, 8);
	raw_send_frame(&m.raw, WIRE_DATA, 0, body, WIRE_DATA_SIZE);
}

/* The peer is still there, and its next message arrives. */
static void next_message_arrives(void)
{
	must(raw_send_eager(&m.raw, TAG, "next", 4));
	start_receive(LEN);
	must_be(finish_receive(0).got, 4);
	must(memcmp(into, "next", 4) == 0);
	handmade_kept(&m);
}

/* A page that can be read, and behind it one that can't. */
static unsigned char *last_page(void)
{
	unsigned char *pages =
	    mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(pages != MAP_FAILED && mprotect(pages + PAGE, PAGE, PROT_NONE) == 0);
	return pages;
}

/* ---- ranges ---- */

/* The kernel can't read them, so they are asked for; a peer that has them after all may send them. */
Test(hostile_memory, ranges_that_can_not_be_read_are_asked_for)
{
	unsigned char *page = last_page();
	void *const bad[] = { NULL, page + PAGE, (void *)8, (void *)0x7ffffffff000,
		(void *)0x0000800000000000, (void *)0xffff888000000000, (void *)0xffffffff81000000,
		(void *)(UINTPTR_MAX - LEN + 1), (void *)(UINTPTR_MAX - 10) };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct handmade_desc d = one_range(bad[i], LEN);
		handmade_start(&m, NULL);
		start_receive(LEN);
		handmade_describe(&m, &d);
		stream_rest(0, LEN);
		must_be(finish_receive(0).got, LEN);
		must_hold(into, LEN, SEED, 0);
		handmade_await(&m, WIRE_DONE);
		next_message_arrives();
	}
	munmap(page, 2 * PAGE);
}

Test(hostile_memory, a_hole_between_ranges_is_asked_for_from_there_on)
{
	unsigned char *page = last_page();
	struct handmade_desc d = message(LEN, 3);
	d.ranges[0] = (struct iovec){ .iov_base = good, .iov_len = PAGE };
	d.ranges[1] = (struct iovec){ .iov_base = page + PAGE, .iov_len = PAGE };
	d.ranges[2] = (struct iovec){ .iov_base = good + 2 * PAGE, .iov_len = PAGE };
	handmade_start(&m, NULL);
	start_receive(LEN);
	handmade_describe(&m, &d);
	stream_rest(PAGE, LEN - PAGE);
	must_be(finish_receive(0).got, LEN);
	must_hold(into, LEN, SEED, 0);
	next_message_arrives();
	munmap(page, 2 * PAGE);
}

/* What it asks for must come from the peer, whose end is then the receive's. */
Test(hostile_memory, ranges_that_can_not_be_read_of_a_peer_that_leaves_are_a_death)
{
	struct handmade_desc d = one_range((void *)8, LEN);
	handmade_start(&m, NULL);
	start_receive(LEN);
	handmade_describe(&m, &d);
	handmade_await(&m, WIRE_SEND);
	must_be(shutdown(m.raw.fd, SHUT_WR), 0);
	finish_receive(-ECONNRESET);
	handmade_lost(&m, -ECONNRESET);
}

Test(hostile_memory, more_than_there_is_fills_the_receive_and_no_more)
{
	static const uint64_t lens[] = { LEN + 1, UINT32_MAX, (uint64_t)1 << 47, INT64_MAX };
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct handmade_desc d = one_range(good, lens[i]);
		handmade_start(&m, NULL);
		start_receive(LEN);
		handmade_describe(&m, &d);
		struct haul_status status = finish_receive(-EMSGSIZE);
		must_be(status.got, LEN);
		must_be(status.len, lens[i]);
		must_hold(into, LEN, SEED, 0);
		f = handmade_await(&m, WIRE_REFUSED);
		must_be(raw_get(f->body + 16, 4), EMSGSIZE);
		next_message_arrives();
	}
}

Test(hostile_memory, ranges_may_overlap)
{
	struct handmade_desc d = message(4 * 1000, 4);
	for (size_t i = 0; i < 4; i++)
		d.ranges[i] = (struct iovec){ .iov_base = good, .iov_len = 1000 };
	handmade_start(&m, NULL);
	start_receive(LEN);
	handmade_describe(&m, &d);
	must_be(finish_receive(0).got, 4000);
	for (size_t i = 0; i < 4; i++)
		must_hold(into + 1000 * i, 1000, SEED, 0);
	next_message_arrives();
}

/* They name the receive's own buffer: whatever comes of it stays there. */
Test(hostile_memory, ranges_may_be_our_own_buffer)
{
	struct handmade_desc d = one_range(into - 1, LEN);
	handmade_start(&m, NULL);
	start_receive(LEN);
	handmade_describe(&m, &d);
	must_be(finish_receive(0).got, LEN);
	next_message_arrives();
}

Test(hostile_memory, a_descriptor_that_describes_no_message_drops_that_peer_alone)
{
	const struct handmade_desc wrong[] = {
		one_range(good, (uint64_t)INT64_MAX + 1),
		one_range(good, UINT64_MAX),
		{ .id = ID(0), .len = 100, .count = 1, .ranges = { { good, 99 } } },
		{ .id = ID(0), .len = 100, .count = 1, .ranges = { { good, 101 } } },
		{ .id = ID(0), .len = 100, .count = 0 },
		{ .id = ID(0), .len = 0, .count = 1, .ranges = { { good, 1 } } },
		{ .id = ID(0),
		    .len = 100,
		    .count = 2,
		    .ranges = { { good, SIZE_MAX }, { good, 101 } } }, /* 2^64 + 100 */
		{ .id = ID(0),
		    .len = INT64_MAX,
		    .count = 2,
		    .ranges = { { good, INT64_MAX }, { good, INT64_MAX } } },
		{ .id = ID(0), .len = 0, .count = 5, .list = (uintptr_t)list },
		{ .id = ID(0), .len = 100, .count = WIRE_RANGES_MOST + 1, .list = (uintptr_t)list },
		{ .id = ID(0), .len = 100, .count = UINT32_MAX, .list = (uintptr_t)list },
		{ .id = 0, .len = 0 },
		{ .id = ID(0), .cell = 4 },
		{ .id = ID(0), .cell = (uintptr_t)&cell + 1 },
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		must_note_case("descriptor %zu", i);
		handmade_start(&m, NULL);
		handmade_describe(&m, &wrong[i]);
		handmade_lost(&m, -EPROTO);
	}
}

/* ---- lists ---- */

Test(hostile_memory, a_list_at_an_odd_address_is_read)
{
	static char odd[sizeof(list) + 1];
	struct handmade_desc d = message(LIST, LIST);
	memcpy(odd + 1, list, sizeof(list));
	d.list = (uintptr_t)(odd + 1);
	handmade_start(&m, NULL);
	start_receive(LEN);
	handmade_describe(&m, &d);
	must_be(finish_receive(0).got, LIST);
	must_hold(into, LIST, SEED, 0);
	next_message_arrives();
}

/* It is not the payload that is missing, but the receiver can't know where that is: so it asks. */
Test(hostile_memory, a_list_that_can_not_be_read_is_asked_for)
{
	unsigned char *page = last_page();
	const uint64_t bad[] = { 0, 8, (uintptr_t)page + PAGE, (uintptr_t)page + PAGE - 16,
		0xffffffff81000000, UINT64_MAX, UINT64_MAX - 15, UINT64_MAX - (uint64_t)LIST * 16 + 1 };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct handmade_desc d = message(LIST, LIST);
		d.list = bad[i];
		handmade_start(&m, NULL);
		start_receive(LEN);
		handmade_describe(&m, &d);
		stream_rest(0, LIST);
		must_be(finish_receive(0).got, LIST);
		must_hold(into, LIST, SEED, 0);
		next_message_arrives();
	}
	munmap(page, 2 * PAGE);
}

/* The first 1023 ranges are read, and delivered, before the others are looked at. */
Test(hostile_memory, a_list_that_ends_in_a_hole_is_asked_for_from_there_on)
{
	enum { READ = 1023, BYTES = READ * sizeof(struct iovec) };
	unsigned char *pages =
	    mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(pages != MAP_FAILED && mprotect(pages + 4 * PAGE, PAGE, PROT_NONE) == 0);
	struct handmade_desc d = message(LIST, LIST);
	memcpy(pages + 4 * PAGE - BYTES, list, BYTES);
	d.list = (uintptr_t)pages + 4 * PAGE - BYTES;
	handmade_start(&m, NULL);
	start_receive(LEN);
	handmade_describe(&m, &d);
	stream_rest(READ, LIST - READ);
	must_be(finish_receive(0).got, LIST);
	must_hold(into, LIST, SEED, 0);
	next_message_arrives();
	munmap(pages, 5 * PAGE);
}

Test(hostile_memory, a_list_that_is_not_the_message_drops_that_peer_alone)
{
	static const struct {
		size_t at, len;
		uint64_t message;
	} wrong[] = { { 0, 0, LIST }, { 1500, 0, LIST }, { 0, LIST + 1, LIST }, { 1500, 502, LIST },
		{ 0, SIZE_MAX, LIST }, { 1, SIZE_MAX, INT64_MAX }, { 1, SIZE_MAX - 1, INT64_MAX },
		{ 0, 1, LIST + 1 }, { 0, 1, INT64_MAX }, { 1, INT64_MAX, INT64_MAX } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		must_note_case("list %zu", i);
		struct handmade_desc d = message(wrong[i].message, LIST);
		size_t len = list[wrong[i].at].iov_len;
		list[wrong[i].at].iov_len = wrong[i].len;
		handmade_start(&m, NULL);
		start_receive(LEN);
		handmade_describe(&m, &d);
		finish_receive(-EPROTO);
		handmade_lost(&m, -EPROTO);
		list[wrong[i].at].iov_len = len;
	}
}

/* Only a read needs the list, and only it meets what is wrong with it. */
Test(hostile_memory, a_list_that_is_not_the_message_does_not_hinder_taking_it)
{
	struct handmade_desc d = message(LIST, LIST);
	struct haul_msg *msg;
	struct haul_match match = { .tag = TAG };
	struct iovec iov = { .iov_base = into, .iov_len = LEN };
	list[0].iov_len = 0;
	handmade_start(&m, NULL);
	handmade_describe(&m, &d);
	must_be(haul_take(m.haul, &match, LATE_MS, &msg), 0);
	must_be(haul_msg_read(msg, INT64_MAX, &iov, 1, LATE_MS), 0); /* beyond its end */
	must_be(haul_msg_read(msg, 0, &iov, 1, LATE_MS), -EPROTO);
	must_be(haul_msg_done(msg), 0);
	handmade_lost(&m, -EPROTO);
}

/* ---- the cell ---- */

static void ends_only_that_receive(const struct handmade_desc *d)
{
	handmade_start(&m, NULL);
	start_receive(LEN);
	handmade_describe(&m, d);
	finish_receive(-ECANCELED);
	f = handmade_await(&m, WIRE_CANCELED);
	must_be(raw_get(f->body, 8), ID(0));
	next_message_arrives();
}

Test(hostile_memory, a_cell_that_never_matches_ends_only_that_receive)
{
	static const uint64_t cookies[] = { 0, 1, COOKIE + 1, UINT64_MAX };
	for (size_t i = 0; i < sizeof(cookies) / sizeof(cookies[0]); i++) {
		struct handmade_desc d = one_range(good, LEN);
		d.cookie = cookies[i];
		ends_only_that_receive(&d);
		d = message(LIST, LIST);
		d.cookie = cookies[i];
		ends_only_that_receive(&d);
	}
}

Test(hostile_memory, a_cell_that_can_not_be_read_ends_only_that_receive)
{
	unsigned char *page = last_page();
	const uint64_t bad[] = { 0, 8, (uintptr_t)page + PAGE, 0xffffffff81000000, UINT64_MAX - 7 };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct handmade_desc d = one_range(good, LEN);
		d.cell = bad[i];
		ends_only_that_receive(&d);
		d = message(LIST, LIST);
		d.cell = bad[i];
		ends_only_that_receive(&d);
		d = one_range((void *)8, LEN); /* nor the payload */
		d.cell = bad[i];
		ends_only_that_receive(&d);
	}
	munmap(page, 2 * PAGE);
}

Test(hostile_memory, a_cell_that_can_not_be_read_leaves_a_taken_message_to_be_done)
{
	struct handmade_desc d = one_range(good, LEN);
	struct haul_match match = { .tag = TAG };
	struct iovec iov = { .iov_base = into, .iov_len = LEN };
	struct haul_msg *msg;
	d.cell = 8;
	handmade_start(&m, NULL);
	handmade_describe(&m, &d);
	must_be(haul_take(m.haul, &match, LATE_MS, &msg), 0);
	must_be(haul_msg_read(msg, 5, &iov, 1, LATE_MS), -ECANCELED);
	must_be(haul_msg_read(msg, 0, &iov, 1, LATE_MS), -ECANCELED);
	must_be(haul_msg_done(msg), 0);
	handmade_await(&m, WIRE_CANCELED);
	next_message_arrives();
}

/* ---- while it is read ---- */

static atomic_bool over;

/* Ranges come, go, grow and shrink; so does the grant. */
static void *change(void *arg)
{
	static const size_t lens[] = { 1, 1, 0, 1, 2, 1, SIZE_MAX, INT64_MAX };
	unsigned char *hole = arg;
	for (size_t i = 0; !atomic_load(&over); i++) {
		size_t at = i * 7919 % LIST;
		struct iovec old = list[at];
		list[at].iov_len = lens[i / 64 % 8];
		if (i % 3 == 0)
			list[at].iov_base = hole;
		atomic_store(&cell, i % 64 == 0 ? 0 : COOKIE);
		list[at] = old;
	}
	return NULL;
}

/* The bytes, the grant withdrawn, the message asked for, or the peer lost: no fifth. */
Test(hostile_memory, a_list_that_changes_while_it_is_read_hurts_that_peer_at_most)
{
	enum { TIMES = 300 };
	unsigned char *page = last_page();
	pthread_t thread;
	must_be(pthread_create(&thread, NULL, change, page + PAGE), 0);
	for (int i = 0; i < TIMES; i++) {
		struct handmade_desc d = message(LIST, LIST);
		struct haul_status status;
		handmade_start(&m, NULL);
		start_receive(LEN);
		handmade_describe(&m, &d);
		handmade_settle(&m);
		haul_req_deadline(receive, 0); /* if it has asked for the rest */
		must_be(haul_req_wait(receive, LATE_MS), 0);
		int rc = haul_req_finish(receive, &status);
		must(rc == 0 || rc == -ECANCELED || rc == -EPROTO || rc == -ETIMEDOUT);
		must_be_untouched(room, GUARD);
		must_be_untouched(into + LIST, LEN - LIST + GUARD);
		rc == -EPROTO ? handmade_lost(&m, -EPROTO) : handmade_kept(&m);
	}
	atomic_store(&over, true);
	must_be(pthread_join(thread, NULL), 0);
	munmap(page, 2 * PAGE);
}
