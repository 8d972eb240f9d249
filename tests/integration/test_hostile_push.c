/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Push with a hostile peer: grants that can't be, of memory that can't be written, and answers to grants that say what
 * can't have happened, or never come. What was granted stays granted until the peer has answered or hung up,
 * so a receive may end late, but nothing else waits for it. test_push.c has what is right.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <haul/haul.h>

#include "lib/handmade.h"
#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/world.h"

TestSuite(hostile_push, .timeout = 60);

enum { LATE_MS = 20000, LEN = 60000, PAGE = 4096, COOKIE = 4711, TAG = 5, SEED = 4 };

#define ID(slot) WIRE_ID(slot, 1)

static struct handmade m;
static const struct raw_frame *f;
static unsigned char buf[LEN], landing[LEN];
static _Atomic uint64_t cell;

static const struct haul_options options = { .push = 1 };

static void note(size_t i)
{
	static char words[20];
	snprintf(words, sizeof(words), "case %zu", i);
	must_note(words);
}

/* ---- we have granted ---- */

static struct haul_req *receive;

/* A message whose every byte was granted, epoch 1: it can't be pulled. */
static void grant_all(void)
{
	struct iovec iov = { .iov_base = buf, .iov_len = LEN };
	struct haul_match match = { .tag = TAG };
	struct handmade_desc d = { .tag = TAG, .id = ID(0), .len = LEN, .cookie = 1, .count = 1 };
	d.ranges[0].iov_len = LEN;
	must(world_refuse_reads(EPERM) == NULL);
	handmade_start(&m, &options);
	must_be(haul_irecv(m.haul, &match, &iov, 1, &receive), 0);
	handmade_describe(&m, &d);
	f = handmade_await(&m, WIRE_GRANT);
	must_be(raw_get(f->body, 8), ID(0));
	must_be(raw_get(f->body + 32, 4), 1);
	must_be(raw_get(f->body + WIRE_GRANT_SIZE, 8), (uintptr_t)buf);
	must_be(raw_get(f->body + WIRE_GRANT_SIZE + 8, 8), LEN);
}

static void pushed(uint64_t id, uint64_t moved, uint32_t epoch, uint32_t error)
{
	handmade_say(&m, WIRE_PUSHED, 0, "8844", id, moved, epoch, error);
}

/* The grant keeps the receive and the peer's handle, and that is all; until the peer is gone. */
static void waits_for_its_end(int error)
{
	handmade_settle(&m);
	handmade_good_peer_is_well(&m);
	must_be(haul_req_test(receive), -EINPROGRESS);
	must_be(haul_peer_close(m.peer, 0), -EBUSY);
	must_be(haul_req_test(receive), -EINPROGRESS);
	must_be(shutdown(m.raw.fd, SHUT_WR), 0);
	must_be(haul_req_wait(receive, LATE_MS), 0);
	must_be(haul_req_finish(receive, NULL), error);
	handmade_lost(&m, error);
}

Test(hostile_push, an_answer_that_can_not_be_drops_that_peer_alone)
{
	static const struct {
		uint64_t id, moved;
		uint32_t epoch, error;
	} wrong[] = { { ID(0), LEN + 1, 1, 0 }, { ID(0), UINT64_MAX, 1, EFAULT }, { ID(0), LEN, 1, EFAULT },
		{ ID(0), LEN - 1, 1, 0 }, { ID(0), 0, 1, 0 }, { ID(0), 0, 1, 4096 }, { ID(0), LEN, 0, 0 },
		{ ID(0), LEN, 2, 0 }, { ID(1), LEN, 1, 0 }, { WIRE_ID(0, 2), LEN, 1, 0 }, { 0, LEN, 1, 0 } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		note(i);
		grant_all();
		pushed(wrong[i].id, wrong[i].moved, wrong[i].epoch, wrong[i].error);
		waits_for_its_end(-EPROTO);
	}
}

Test(hostile_push, a_second_answer_drops_that_peer_alone)
{
	grant_all();
	pushed(ID(0), LEN, 1, 0);
	pushed(ID(0), LEN, 1, 0);
	must_be(haul_req_wait(receive, LATE_MS), 0);
	must_be(haul_req_finish(receive, NULL), 0);
	handmade_lost(&m, -EPROTO);
}

Test(hostile_push, an_answer_to_no_grant_drops_that_peer_alone)
{
	handmade_start(&m, &options);
	handmade_say(&m, WIRE_EAGER, WIRE_FLAG_SYNC, "8844", TAG, ID(0), 0, 0);
	pushed(ID(0), 0, 0, EFAULT);
	handmade_lost(&m, -EPROTO);
}

Test(hostile_push, garbage_while_it_may_write_drops_that_peer_alone)
{
	grant_all();
	raw_send(&m.raw, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16);
	waits_for_its_end(-EPROTO);
}

Test(hostile_push, an_answer_that_never_comes_holds_that_receive_alone)
{
	grant_all();
	must_be(haul_req_cancel(receive), 0);
	handmade_settle(&m);
	handmade_good_peer_is_well(&m);
	must_be(haul_req_test(receive), -EINPROGRESS);
	must_be(shutdown(m.raw.fd, SHUT_WR), 0);
	must_be(haul_req_wait(receive, LATE_MS), 0);
	must_be(haul_req_finish(receive, NULL), -ECONNRESET);
	handmade_lost(&m, -ECONNRESET);
}

Test(hostile_push, a_message_given_up_while_it_may_be_written_ends_with_the_answer)
{
	grant_all();
	handmade_say(&m, WIRE_CANCEL, 0, "8", ID(0));
	handmade_say(&m, WIRE_ABORT, 0, "844", ID(0), EFAULT, 0);
	handmade_settle(&m);
	must_be(haul_req_test(receive), -EINPROGRESS);
	pushed(ID(0), 10, 1, ECANCELED);
	must_be(haul_req_wait(receive, LATE_MS), 0);
	must_be(haul_req_finish(receive, NULL), -ECANCELED);
	handmade_await(&m, WIRE_CANCELED);
	handmade_kept(&m);
}

/* ---- we are granted ---- */

static struct haul_req *send_one(void)
{
	struct iovec iov = { .iov_base = buf, .iov_len = LEN };
	struct haul_req *r;
	pattern_fill(buf, LEN, SEED, 0);
	memset(landing, CANARY, sizeof(landing));
	atomic_store(&cell, COOKIE);
	handmade_start(&m, &options);
	must_be(haul_isend(m.peer, TAG, &iov, 1, HAUL_SYNC, &r), 0);
	f = handmade_await(&m, WIRE_DESC);
	must_be(raw_get(f->body + 8, 8), ID(0));
	return r;
}

static int result(struct haul_req *r)
{
	must_be(haul_req_wait(r, LATE_MS), 0);
	return haul_req_finish(r, NULL);
}

static void grant(uint64_t offset, void *at, uint64_t len, uint64_t more)
{
	handmade_say(&m, WIRE_GRANT, 0,
	    "888844"
	    "8888",
	    ID(0), offset, (uintptr_t)&cell, COOKIE, 1, 0, (uintptr_t)at, len, (uintptr_t)landing, more);
}

Test(hostile_push, a_grant_of_what_is_not_on_offer_drops_that_peer_alone)
{
	static const struct {
		uint64_t offset, len, more;
	} wrong[] = { { 0, LEN, 1 }, { 1, LEN - 1, 1 }, { LEN, 1, 1 }, { LEN + 1, 1, 1 },
		{ UINT64_MAX, 1, 1 }, { 0, 0, 1 }, { 0, 1, 0 }, { 0, UINT64_MAX, 2 }, { 0, 1, UINT64_MAX },
		{ 2, UINT64_MAX, UINT64_MAX }, { 0, (uint64_t)1 << 63, (uint64_t)1 << 63 } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		note(i);
		struct haul_req *r = send_one();
		grant(wrong[i].offset, landing, wrong[i].len, wrong[i].more);
		must_be(result(r), -EPROTO);
		must_be_untouched(landing, LEN);
		handmade_lost(&m, -EPROTO);
	}
}

Test(hostile_push, a_grant_that_can_not_be_drops_that_peer_alone)
{
	const struct {
		uint64_t id, cell;
		uint32_t epoch;
	} wrong[] = { { ID(1), (uintptr_t)&cell, 1 }, { WIRE_ID(0, 2), (uintptr_t)&cell, 1 },
		{ 0, (uintptr_t)&cell, 1 }, { ID(0), (uintptr_t)&cell + 4, 1 },
		{ ID(0), (uintptr_t)&cell, 0 }, { ID(0), (uintptr_t)&cell, 0x80000000 } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		note(i);
		struct haul_req *r = send_one();
		handmade_say(&m, WIRE_GRANT, 0,
		    "888844"
		    "88",
		    wrong[i].id, 0, wrong[i].cell, COOKIE, wrong[i].epoch, 0, (uintptr_t)landing, LEN);
		must_be(result(r), -EPROTO);
		must_be_untouched(landing, LEN);
		handmade_lost(&m, -EPROTO);
	}
}

Test(hostile_push, a_grant_to_one_who_has_not_opted_in_drops_that_peer_alone)
{
	static const struct haul_options none = { .path = HAUL_PATH_STREAM };
	struct iovec iov = { .iov_base = buf, .iov_len = LEN };
	struct haul_req *r;
	atomic_store(&cell, COOKIE);
	handmade_start(&m, &none);
	must_be(haul_isend(m.peer, TAG, &iov, 1, HAUL_SYNC, &r), 0);
	handmade_await(&m, WIRE_DESC);
	grant(0, landing, LEN - 1, 1);
	must_be(result(r), -EPROTO);
	handmade_lost(&m, -EPROTO);
}

/* Before it was answered. */
Test(hostile_push, whatever_else_about_a_granted_message_drops_that_peer_alone)
{
	for (int i = 0; i < 4; i++) {
		note((size_t)i);
		struct haul_req *r = send_one();
		grant(0, landing, LEN - 1, 1);
		if (i == 0)
			grant(0, landing, LEN - 1, 1);
		else if (i == 1)
			handmade_say(&m, WIRE_SEND, 0, "88844", ID(0), 0, 1, 2, 0);
		else if (i == 2)
			handmade_say(&m, WIRE_DONE, 0, "8", ID(0));
		else
			handmade_say(&m, WIRE_CANCELED, 0, "8", ID(0));
		must_be(result(r), -EPROTO);
		handmade_lost(&m, -EPROTO);
	}
}

/* It is told so, and may ask in another way. */
Test(hostile_push, memory_that_can_not_be_written_is_told)
{
	unsigned char *hole = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *const bad[] = { NULL, (void *)8, hole, (void *)0x0000800000000000, (void *)0xffff888000000000,
		(void *)0xffffffff81000000, (void *)(UINTPTR_MAX - 10) };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		note(i);
		struct haul_req *r = send_one();
		grant(0, bad[i], 100, 100);
		f = handmade_await(&m, WIRE_PUSHED);
		must_be(raw_get(f->body, 8), ID(0));
		must_be(raw_get(f->body + 8, 8), 0);
		must_be(raw_get(f->body + 16, 4), 1);
		must_be(raw_get(f->body + 20, 4), EFAULT);
		must_be_untouched(landing, LEN);
		handmade_say(&m, WIRE_SEND, 0, "88844", ID(0), 0, 10, 2, 0);
		f = handmade_await(&m, WIRE_DATA);
		must_hold(f->body + WIRE_DATA_SIZE, 10, SEED, 0);
		handmade_say(&m, WIRE_DONE, 0, "8", ID(0));
		must_be(result(r), 0);
		handmade_kept(&m);
	}
	munmap(hole, PAGE);
}

/* Another program's memory by now, or a lie. */
Test(hostile_push, nothing_is_written_where_the_cell_does_not_match)
{
	const uint64_t cells[] = { (uintptr_t)&cell, 0, 8, 0xffffffff81000000, UINT64_MAX - 7 };
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
		note(i);
		struct haul_req *r = send_one();
		handmade_say(&m, WIRE_GRANT, 0,
		    "888844"
		    "88",
		    ID(0), 0, cells[i], COOKIE + 1, 1, 0, (uintptr_t)landing, LEN);
		f = handmade_await(&m, WIRE_PUSHED);
		must_be(raw_get(f->body + 8, 8), 0);
		must(raw_get(f->body + 20, 4) != 0);
		must_be_untouched(landing, LEN);
		handmade_say(&m, WIRE_DONE, 0, "8", ID(0));
		must_be(result(r), 0);
		handmade_kept(&m);
	}
}

Test(hostile_push, a_grant_is_written_to_up_to_its_end)
{
	struct haul_req *r = send_one();
	grant(100, landing + 1000, 500, 10);
	f = handmade_await(&m, WIRE_PUSHED);
	must_be(raw_get(f->body + 8, 8), 510);
	must_be(raw_get(f->body + 20, 4), 0);
	must_hold(landing, 10, SEED, 600);
	must_be_untouched(landing + 10, 990);
	must_hold(landing + 1000, 500, SEED, 100);
	must_be_untouched(landing + 1500, LEN - 1500);
	handmade_say(&m, WIRE_DONE, 0, "8", ID(0));
	must_be(result(r), 0);
	handmade_kept(&m);
}
