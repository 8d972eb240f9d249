/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer made by hand that lies about descriptors: attaches them to what has none, asks for what is not on offer, says
 * other numbers than it attaches. None is ever left open, and it costs that one peer at the most.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <unistd.h>

#include "lib/fds.h"
#include "lib/handmade.h"
#include "lib/must.h"
#include "lib/pairing.h"
#include "lib/talk.h"

TestSuite(hostile_fds, .timeout = 60);

enum { TAG = 5, COOKIE = 99 };

#define ID(slot) WIRE_ID(slot, 1)

static struct handmade m;
static uint64_t cell = COOKIE;

/* A message with descriptors, of no bytes; taken. */
static struct haul_msg *offer(uint64_t id)
{
	struct haul_match match = { .from = m.peer, .tag = TAG };
	struct haul_msg *msg;
	handmade_say(&m, WIRE_DESC, WIRE_FLAG_FDS, "884488888", TAG, id, 0, 0, 0, (uintptr_t)&cell, COOKIE, 0,
	    0);
	must_be(haul_take(m.haul, &match, PATIENCE_MS, &msg), 0);
	return msg;
}

/* The same, and asked for. */
static struct haul_msg *offer_and_be_asked(uint64_t id)
{
	struct haul_msg *msg = offer(id);
	int fd;
	must_be(haul_msg_fds(msg, &fd, 1, 0), -EAGAIN);
	must_be(raw_get(handmade_await(&m, WIRE_FETCH)->body, 8), id);
	return msg;
}

static void say_rights(uint64_t id, uint32_t count, uint32_t error, size_t attached)
{
	uint8_t body[WIRE_RIGHTS_SIZE], bytes[WIRE_HEADER_SIZE + WIRE_RIGHTS_SIZE];
	raw_put(body, id, 8);
	raw_put(body + 8, count, 4);
	raw_put(body + 12, error, 4);
	size_t len = raw_frame_bytes(bytes, WIRE_RIGHTS, 0, body, sizeof(body));
	must(attached > 0 ? raw_send_fds(&m.raw, bytes, len, 0, attached) : raw_send(&m.raw, bytes, len));
	handmade_settle(&m);
}

Test(hostile_fds, attached_to_what_has_none_are_closed)
{
	handmade_start(&m, NULL);
	int fds = fds_count();
	uint8_t body[WIRE_EAGER_SIZE] = { 0 }, bytes[WIRE_HEADER_SIZE + WIRE_EAGER_SIZE];
	size_t len = raw_frame_bytes(bytes, WIRE_EAGER, 0, body, sizeof(body));
	for (int i = 0; i < 10; i++)
		must(raw_send_fds(&m.raw, bytes, len, 0, 20));
	handmade_settle(&m);
	must_be(fds_count(), fds);
	/* Also while there are some that are awaited. */
	struct haul_msg *msg = offer_and_be_asked(ID(0));
	for (int i = 0; i < 10; i++)
		must(raw_send_fds(&m.raw, bytes, len, 0, 20));
	handmade_settle(&m);
	must(fds_count() <= fds + 20); /* one set, until the next */
	say_rights(ID(0), 1, 0, 1);
	int fd;
	must_be(haul_msg_fds(msg, &fd, 1, PATIENCE_MS), 1);
	must_be(fds_count(), fds + 1);
	must_be(close(fd), 0);
	must_be(haul_msg_done(msg), 0);
	for (int i = 0; i < 20; i++)
		must_be(haul_recv(m.haul, &(struct haul_match){ .from = m.peer }, NULL, 0, PATIENCE_MS, NULL),
		    0);
	handmade_kept(&m);
}

Test(hostile_fds, that_were_not_asked_for_are_closed)
{
	handmade_start(&m, NULL);
	struct haul_msg *msg = offer(ID(0));
	int fds = fds_count();
	say_rights(ID(0), 3, 0, 3);
	must_be(fds_count(), fds);
	must_be(haul_msg_done(msg), 0);
	handmade_await(&m, WIRE_DONE);
	say_rights(ID(0), 3, 0, 3); /* and of a message that is over */
	must_be(fds_count(), fds);
	handmade_kept(&m);
}

Test(hostile_fds, of_a_message_that_never_was_drop_that_peer_alone)
{
	handmade_start(&m, NULL);
	say_rights(ID(7), 1, 0, 1);
	handmade_lost(&m, -EPROTO);
}

Test(hostile_fds, of_another_number_than_announced_drop_that_peer_alone)
{
	static const struct {
		uint32_t said, error;
		size_t attached;
	} lies[] = { { 1, 0, 0 }, { 1, 0, 2 }, { 2, 0, 1 }, { 0, 0, 0 }, { 0, 0, 1 }, { 1, EPERM, 1 },
		{ 0, 4096, 0 }, { WIRE_RIGHTS_MOST + 1, 0, 1 }, { UINT32_MAX, 0, 1 },
		{ WIRE_RIGHTS_MOST, 0, 252 } };
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		must_note_case("lie %zu", i);
		handmade_start(&m, NULL);
		struct haul_msg *msg = offer_and_be_asked(ID(0));
		say_rights(ID(0), lies[i].said, lies[i].error, lies[i].attached);
		handmade_must_be_lost(&m, -EPROTO);
		must_be(haul_msg_fds(msg, NULL, 0, 0), -EPROTO);
		must_be(haul_msg_done(msg), 0);
		handmade_end(&m);
	}
}

Test(hostile_fds, all_that_the_kernel_passes_at_a_time_come)
{
	static int fds[WIRE_RIGHTS_MOST];
	handmade_start(&m, NULL);
	struct haul_msg *msg = offer_and_be_asked(ID(0));
	say_rights(ID(0), WIRE_RIGHTS_MOST, 0, WIRE_RIGHTS_MOST);
	must_be(haul_msg_fds(msg, fds, WIRE_RIGHTS_MOST, 0), WIRE_RIGHTS_MOST);
	for (int i = 0; i < WIRE_RIGHTS_MOST; i++)
		must_be(close(fds[i]), 0);
	must_be(haul_msg_done(msg), 0);
	handmade_kept(&m);
}

Test(hostile_fds, that_their_sender_can_not_pass_are_an_error_of_that_message)
{
	handmade_start(&m, NULL);
	struct haul_msg *msg = offer_and_be_asked(ID(0));
	int fd;
	say_rights(ID(0), 0, ETOOMANYREFS, 0);
	must_be(haul_msg_fds(msg, &fd, 1, 0), -ECONNREFUSED);
	must_be(haul_msg_fds(msg, &fd, 1, 0), -EAGAIN); /* asked again */
	must_be(raw_get(handmade_await(&m, WIRE_FETCH)->body, 8), ID(0));
	say_rights(ID(0), 1, 0, 1);
	must_be(haul_msg_fds(msg, &fd, 1, 0), 1);
	must_be(close(fd), 0);
	must_be(haul_msg_done(msg), 0);
	handmade_kept(&m);
}

Test(hostile_fds, a_frame_in_drops_brings_them_all_the_same)
{
	uint8_t body[WIRE_RIGHTS_SIZE], bytes[WIRE_HEADER_SIZE + WIRE_RIGHTS_SIZE];
	handmade_start(&m, NULL);
	struct haul_msg *msg = offer_and_be_asked(ID(0));
	raw_put(body, ID(0), 8);
	raw_put(body + 8, 2, 4);
	raw_put(body + 12, 0, 4);
	size_t len = raw_frame_bytes(bytes, WIRE_RIGHTS, 0, body, sizeof(body));
	must(raw_send_fds(&m.raw, bytes, 1, 0, 2));
	for (size_t i = 1; i < len; i++) {
		handmade_settle(&m);
		must(raw_send(&m.raw, bytes + i, 1));
	}
	int fds[2];
	handmade_settle(&m);
	must_be(haul_msg_fds(msg, fds, 2, 0), 2);
	close(fds[0]);
	close(fds[1]);
	must_be(haul_msg_done(msg), 0);
	handmade_kept(&m);
}

/* ---- asking ---- */

Test(hostile_fds, asked_for_of_a_message_that_has_none_drop_that_peer_alone)
{
	static char bytes[100000];
	struct iovec iov = { bytes, sizeof(bytes) };
	struct haul_req *r;
	handmade_start(&m, NULL);
	must_be(haul_isend(m.peer, TAG, &iov, 1, 0, &r), 0);
	uint64_t id = raw_get(handmade_await(&m, WIRE_DESC)->body + 8, 8);
	handmade_say(&m, WIRE_FETCH, 0, "8", id);
	handmade_settle(&m);
	must_be(end_of(r, NULL), -EPROTO);
	handmade_lost(&m, -EPROTO);
	handmade_start(&m, NULL);
	handmade_say(&m, WIRE_FETCH, 0, "8", ID(3));
	handmade_settle(&m);
	handmade_lost(&m, -EPROTO);
}

Test(hostile_fds, asked_for_again_and_again_go_as_often_as_was_waited_for)
{
	struct haul_req *r;
	int fd = 0;
	handmade_start(&m, NULL);
	must_be(haul_isend_fds(m.peer, TAG, NULL, 0, &fd, 1, &r), 0);
	const struct raw_frame *f = handmade_await(&m, WIRE_DESC);
	must_be(f->flags, WIRE_FLAG_FDS | WIRE_FLAG_SYNC);
	uint64_t id = raw_get(f->body + 8, 8);
	for (int i = 0; i < 100; i++) {
		handmade_say(&m, WIRE_FETCH, 0, "8", id);
		f = handmade_await(&m, WIRE_RIGHTS);
		must_be(raw_get(f->body, 8), id);
		must_be(raw_get(f->body + 8, 4), 1);
	}
	for (int i = 0; i < 100; i++)
		handmade_say(&m, WIRE_FETCH, 0, "8", id);
	handmade_say(&m, WIRE_DONE, 0, "8", id);
	must_be(end_of(r, NULL), 0);
	handmade_say(&m, WIRE_FETCH, 0, "8", id); /* late */
	handmade_settle(&m);
	handmade_kept(&m);
}
