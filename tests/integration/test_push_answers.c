/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Answers to grants, of a sender made by hand: right ones, ones that can't be, and none. The context receives, and is
 * refused process_vm_readv(2). What it has granted stays granted until the peer has answered or hung up, so a receive
 * may end late, but nothing else waits for it. test_push_grants.c has the other side.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/fds.h"
#include "lib/handmade.h"
#include "lib/must.h"
#include "lib/pairing.h"
#include "lib/pattern.h"
#include "lib/talk.h"
#include "lib/world.h"

TestSuite(push_answers, .timeout = 60);

enum { LEN = 100003, TAG = 5, BUFFERS = 40 };

#define ID WIRE_ID(0, 1)

static const struct haul_options options = { .push = 1 };

static void start(struct handmade *m)
{
	must(world_refuse_reads(EPERM) == NULL);
	handmade_start(m, &options);
}

/* A message that can't be pulled. */
static void describe(struct handmade *m, uint64_t id)
{
	struct handmade_desc d = { .tag = TAG, .id = id, .len = LEN, .count = 1 };
	d.ranges[0] = (struct iovec){ .iov_base = (void *)4096, .iov_len = LEN };
	handmade_describe(m, &d);
	handmade_settle(m);
}

/* What the peer says in a PUSHED. */
struct answer {
	uint64_t id, moved;
	uint32_t epoch, error;
};

static void say_pushed(struct handmade *m, struct answer a)
{
	handmade_say(m, WIRE_PUSHED, 0, "8844", a.id, a.moved, a.epoch, a.error);
}

/* A GRANT as it was read. */
struct grant {
	uint64_t id, offset, len;
	uint32_t epoch;
	size_t count;
	struct iovec iov[WIRE_GRANT_RANGES];
};

static struct grant read_grant(struct handmade *m)
{
	const struct raw_frame *f = handmade_next(m, WIRE_GRANT);
	struct grant g = { .id = raw_get(f->body, 8),
		.offset = raw_get(f->body + 8, 8),
		.epoch = (uint32_t)raw_get(f->body + 32, 4),
		.count = (f->size - WIRE_GRANT_SIZE) / WIRE_RANGE_SIZE };
	const uint64_t *cell = (const uint64_t *)(uintptr_t)raw_get(f->body + 16, 8);
	must_be(*cell, raw_get(f->body + 24, 8)); /* the context is in this process */
	for (size_t i = 0; i < g.count; i++) {
		const uint8_t *range = f->body + WIRE_GRANT_SIZE + i * WIRE_RANGE_SIZE;
		g.iov[i].iov_base = (void *)(uintptr_t)raw_get(range, 8);
		g.iov[i].iov_len = raw_get(range + 8, 8);
		g.len += g.iov[i].iov_len;
	}
	return g;
}

/* Writes the first len bytes of it. */
static void write_granted(const struct grant *g, uint64_t len)
{
	uint64_t at = g->offset;
	for (size_t i = 0; i < g->count && len > 0; i++) {
		size_t here = g->iov[i].iov_len < len ? g->iov[i].iov_len : len;
		pattern_fill(g->iov[i].iov_base, here, 1, at);
		at += here;
		len -= here;
	}
}

/* A message of the peer's, a receive for it, and the grant. */
struct granted {
	struct handmade m;
	struct haul_req *r;
	struct grant grant;
	unsigned char buf[LEN];
};

static void start_granted(struct granted *g)
{
	start(&g->m);
	describe(&g->m, ID);
	g->r = post_receive(g->m.haul, g->buf, LEN, TAG);
	g->grant = read_grant(&g->m);
	must_be(g->grant.id, ID);
	must_be(g->grant.count, 1);
	must(g->grant.iov[0].iov_base == g->buf);
	must_be(g->grant.len, LEN);
}

static struct answer answer_to(const struct grant *g)
{
	return (struct answer){ .id = g->id, .moved = g->len, .epoch = g->epoch };
}

/* ---- what is right ---- */

Test(push_answers, a_grant_is_answered_and_the_message_done)
{
	static struct granted g;
	start_granted(&g);
	must_be(haul_req_test(g.r), -EINPROGRESS);
	write_granted(&g.grant, LEN);
	say_pushed(&g.m, answer_to(&g.grant));
	must_be(end_of(g.r, NULL), 0);
	must_hold(g.buf, LEN, 1, 0);
	must_be(raw_get(handmade_next(&g.m, WIRE_DONE)->body, 8), ID);
	handmade_kept(&g.m);
}

Test(push_answers, a_long_list_is_granted_in_turn)
{
	static unsigned char room[LEN];
	struct handmade m;
	struct iovec iov[BUFFERS];
	struct haul_req *r;
	start(&m);
	describe(&m, ID);
	for (size_t i = 0; i < BUFFERS; i++)
		iov[i] = (struct iovec){ room + i * 1001, i < BUFFERS - 1 ? 1001 : LEN - i * 1001 };
	must_be(haul_irecv(m.haul, NULL, iov, BUFFERS, &r), 0);
	struct grant first = read_grant(&m);
	must_be(first.count, WIRE_GRANT_RANGES);
	write_granted(&first, first.len);
	say_pushed(&m, answer_to(&first));
	struct grant second = read_grant(&m);
	must_be(second.count, BUFFERS - WIRE_GRANT_RANGES);
	must_be(second.offset, first.len);
	must(second.epoch > first.epoch);
	write_granted(&second, second.len);
	say_pushed(&m, answer_to(&second));
	must_be(end_of(r, NULL), 0);
	must_hold(room, LEN, 1, 0);
	handmade_end(&m);
}

static void send_data(struct handmade *m, uint64_t at, uint64_t len, uint32_t epoch)
{
	static uint8_t body[WIRE_DATA_SIZE + LEN];
	raw_put(body, ID, 8);
	raw_put(body + 8, at, 8);
	raw_put(body + 16, epoch, 4);
	pattern_fill(body + WIRE_DATA_SIZE, len, 1, at);
	must(raw_send_frame(&m->raw, WIRE_DATA, 0, body, WIRE_DATA_SIZE + len));
}

/* Whatever the error: of the buffer, and the next is pushed again, or of the peer. */
static void fall_short(uint32_t error, int next)
{
	static struct granted g;
	enum { MOVED = 40000 };
	start_granted(&g);
	write_granted(&g.grant, MOVED);
	struct answer f = answer_to(&g.grant);
	f.moved = MOVED;
	f.error = error;
	say_pushed(&g.m, f);
	const struct raw_frame *send = handmade_next(&g.m, WIRE_SEND);
	must_be(raw_get(send->body + 8, 8), MOVED);
	must_be(raw_get(send->body + 16, 8), LEN - MOVED);
	uint32_t epoch = (uint32_t)raw_get(send->body + 24, 4);
	send_data(&g.m, MOVED, LEN - MOVED, epoch);
	send_data(&g.m, LEN, 0, epoch);
	must_be(end_of(g.r, NULL), 0);
	must_hold(g.buf, LEN, 1, 0);
	handmade_next(&g.m, WIRE_DONE);
	describe(&g.m, WIRE_ID(0, 2));
	g.r = post_receive(g.m.haul, g.buf, LEN, TAG);
	handmade_next(&g.m, next);
	handmade_end(&g.m);
}

Test(push_answers, what_was_not_pushed_comes_by_stream)
{
	fall_short(EFAULT, WIRE_GRANT);
	fall_short(ENOMEM, WIRE_GRANT);
	fall_short(ECANCELED, WIRE_GRANT);
	fall_short(EPERM, WIRE_SEND);
	fall_short(ESRCH, WIRE_SEND);
	fall_short(4095, WIRE_SEND);
}

/* ---- what was not granted ---- */

Test(push_answers, an_answer_to_nothing_drops_that_peer_alone)
{
	struct handmade m;
	for (int message = 0; message < 3; message++) {
		start(&m);
		if (message == 1)
			describe(&m, ID);
		if (message == 2)
			handmade_say(&m, WIRE_EAGER, WIRE_FLAG_SYNC, "8844", TAG, ID, 0, 0);
		say_pushed(&m, (struct answer){ .id = ID, .epoch = 1, .error = EPERM });
		handmade_lost(&m, -EPROTO);
	}
}

Test(push_answers, an_answer_to_a_send_drops_that_peer_alone)
{
	static unsigned char buf[LEN];
	struct handmade m;
	start(&m);
	describe(&m, ID);
	struct haul_req *r = post_receive(m.haul, buf, LEN, TAG);
	must_be(haul_req_deadline(r, PATIENCE_MS), 0);
	uint32_t epoch = (uint32_t)raw_get(handmade_next(&m, WIRE_SEND)->body + 24, 4);
	say_pushed(&m, (struct answer){ .id = ID, .moved = LEN, .epoch = epoch });
	handmade_must_be_lost(&m, -EPROTO);
	must_be(end_of(r, NULL), -EPROTO);
	handmade_end(&m);
}

Test(push_answers, a_second_answer_drops_that_peer_alone)
{
	static struct granted g;
	for (int at_once = 0; at_once < 2; at_once++) {
		start_granted(&g);
		write_granted(&g.grant, LEN);
		say_pushed(&g.m, answer_to(&g.grant));
		if (!at_once)
			handmade_next(&g.m, WIRE_DONE);
		say_pushed(&g.m, answer_to(&g.grant));
		must_be(end_of(g.r, NULL), 0);
		must_hold(g.buf, LEN, 1, 0);
		handmade_lost(&g.m, -EPROTO);
	}
}

/* The peer is dropped, but what it was granted it may still write until it hangs up. */
static void must_drop_granted(struct granted *g)
{
	handmade_settle(&g->m);
	must(raw_hung_up(&g->m.raw));
	must_be(haul_req_test(g->r), -EINPROGRESS);
	must_be(haul_req_test(g->m.watch), -EINPROGRESS);
	handmade_good_peer_is_well(&g->m);
	must_be(haul_peer_close(g->m.peer, 0), -EBUSY);
	must_be(haul_req_test(g->r), -EINPROGRESS);
	write_granted(&g->grant, LEN);
	must_be(shutdown(g->m.raw.fd, SHUT_WR), 0);
	must_be(end_of(g->r, NULL), -EPROTO);
	handmade_lost(&g->m, -EPROTO);
}

Test(push_answers, a_wrong_answer_drops_that_peer_alone)
{
	static struct granted g;
	for (int i = 0; i < 11; i++) {
		start_granted(&g);
		struct answer good = answer_to(&g.grant);
		const struct answer bad[11] = {
			{ good.id, good.moved, good.epoch + 1, 0 },
			{ good.id, good.moved, good.epoch - 1, 0 },
			{ good.id, good.moved + 1, good.epoch, 0 },
			{ good.id, UINT64_MAX, good.epoch, EPERM },
			{ good.id, good.moved - 1, good.epoch, 0 },
			{ good.id, 0, good.epoch, 0 },
			{ good.id, good.moved, good.epoch, EPERM },
			{ good.id, 0, good.epoch, 4096 },
			{ WIRE_ID(1, 1), good.moved, good.epoch, 0 },
			{ WIRE_ID(0, 2), good.moved, good.epoch, 0 },
			{ 0, good.moved, good.epoch, 0 },
		};
		say_pushed(&g.m, bad[i]);
		must_drop_granted(&g);
	}
}

Test(push_answers, garbage_in_place_of_an_answer_drops_that_peer_alone)
{
	static struct granted g;
	start_granted(&g);
	must(raw_send(&g.m.raw, "no frame begins like this", 25));
	must_drop_granted(&g);
}

/* ---- ends ---- */

Test(push_answers, that_never_come_hold_that_receive_alone)
{
	static struct granted g;
	start_granted(&g);
	must_be(haul_req_cancel(g.r), 0);
	handmade_settle(&g.m);
	handmade_good_peer_is_well(&g.m);
	must_be(haul_req_test(g.r), -EINPROGRESS);
	must_be(shutdown(g.m.raw.fd, SHUT_WR), 0);
	must_be(end_of(g.r, NULL), -ECONNRESET);
	handmade_lost(&g.m, -ECONNRESET);
}

Test(push_answers, the_end_of_file_ends_a_grant)
{
	static struct granted g;
	start_granted(&g);
	must_be(shutdown(g.m.raw.fd, SHUT_WR), 0);
	must_be(end_of(g.r, NULL), -ECONNRESET);
	handmade_lost(&g.m, -ECONNRESET);
}

/* What a sender wants to end, ends when it has answered; and if all was written, then well. */
static void end_early(int type, uint64_t moved, int expected)
{
	static struct granted g;
	start_granted(&g);
	struct answer f = answer_to(&g.grant);
	f.moved = moved;
	f.error = moved < LEN ? ECANCELED : 0;
	if (type == WIRE_BYE)
		must(raw_send_frame(&g.m.raw, type, 0, NULL, 0));
	else
		handmade_say(&g.m, WIRE_CANCEL, 0, "8", ID);
	if (type == WIRE_ABORT)
		handmade_say(&g.m, type, 0, "844", ID, EFAULT, 0);
	handmade_settle(&g.m);
	must_be(haul_req_test(g.r), -EINPROGRESS);
	write_granted(&g.grant, moved);
	say_pushed(&g.m, f);
	if (expected == -EPIPE)
		must_be(shutdown(g.m.raw.fd, SHUT_WR), 0);
	must_be(end_of(g.r, NULL), expected);
	if (expected == 0)
		must_hold(g.buf, LEN, 1, 0);
	if (expected == -ECANCELED) {
		handmade_await(&g.m, WIRE_CANCELED);
		handmade_must_live(&g.m);
	}
	handmade_end(&g.m);
}

Test(push_answers, a_cancel_waits_for_the_answer)
{
	end_early(WIRE_CANCEL, 12345, -ECANCELED);
	end_early(WIRE_CANCEL, LEN, 0);
}

Test(push_answers, a_message_canceled_and_aborted_waits_for_the_answer)
{
	end_early(WIRE_ABORT, 10, -ECANCELED);
}

Test(push_answers, a_goodbye_waits_for_the_answer)
{
	end_early(WIRE_BYE, 12345, -EPIPE);
	end_early(WIRE_BYE, LEN, 0);
}

/* ---- a peer that was never accepted ---- */

static int connected(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t len = (size_t)snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "%s", name + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must_be(connect(fd, (struct sockaddr *)&a,
	            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)),
	    0);
	return fd;
}

/* A receive from anybody has been given its message, and its listener goes. */
static void start_unaccepted(struct granted *g)
{
	char name[32];
	struct haul_listener *l;
	snprintf(name, sizeof(name), "@haul-push-%d", (int)getpid());
	*g = (struct granted){ .m.fds = fds_count() };
	must_be(haul_open(&g->m.haul, &options, sizeof(options)), 0);
	must_be(haul_listen(g->m.haul, name, &l), 0);
	g->m.raw = (struct raw){ .fd = connected(name),
		.drive = g->m.haul,
		.features = WIRE_FEATURE_PUSH,
		.impostor = true };
	must(raw_greet(&g->m.raw));
	describe(&g->m, ID);
	g->r = post_receive(g->m.haul, g->buf, LEN, TAG);
	g->grant = read_grant(&g->m);
	haul_listener_close(l);
	handmade_settle(&g->m);
	must_be(haul_req_test(g->r), -EINPROGRESS);
}

static void end_unaccepted(struct granted *g)
{
	close(g->m.raw.fd);
	must_be(haul_close(g->m.haul, 0), 0);
	fds_expect(g->m.fds);
}

Test(push_answers, a_listener_that_goes_leaves_its_peer_until_the_answer)
{
	static struct granted g;
	struct haul_status status;
	start_unaccepted(&g);
	must_be(haul_close(g.m.haul, 0), -EBUSY);
	must_be(haul_req_test(g.r), -EINPROGRESS);
	write_granted(&g.grant, LEN);
	say_pushed(&g.m, answer_to(&g.grant));
	must_be(end_of(g.r, &status), 0);
	must_hold(g.buf, LEN, 1, 0);
	must(raw_hung_up(&g.m.raw));
	end_unaccepted(&g);
}

Test(push_answers, a_listener_that_goes_leaves_its_peer_until_its_end)
{
	static struct granted g;
	struct haul_status status;
	start_unaccepted(&g);
	must_be(shutdown(g.m.raw.fd, SHUT_WR), 0);
	must_be(end_of(g.r, &status), -ECONNRESET);
	must(raw_hung_up(&g.m.raw));
	end_unaccepted(&g);
}

/* ---- a process of its own ---- */

static int be_granted_and_talk_rubbish(void *arg)
{
	static struct raw_frame f;
	uint8_t body[WIRE_DESC_SIZE + WIRE_RANGE_SIZE] = { 0 };
	struct raw r = { .fd = *(int *)arg, .features = WIRE_FEATURE_PUSH };
	child_check(raw_greet(&r));
	raw_put(body, TAG, 8);
	raw_put(body + 8, ID, 8);
	raw_put(body + 20, 1, 4);
	raw_put(body + 24, LEN, 8);
	raw_put(body + 64, 4096, 8);
	raw_put(body + 72, LEN, 8);
	child_check(raw_send_frame(&r, WIRE_DESC, 0, body, sizeof(body)));
	raw_next(&r, &f);
	child_check(f.type == WIRE_GRANT);
	child_check(raw_send(&r, "no frame begins like this", 25));
	child_check(raw_hung_up(&r));
	raise(SIGSTOP);
	return 0;
}

Test(push_answers, the_exit_of_a_peer_that_was_dropped_ends_a_grant)
{
	unsigned char *buf = calloc(1, LEN);
	struct child c;
	struct haul *h;
	struct haul_peer *p;
	int pair[2], fds = fds_count();
	must_be(haul_pair(pair), 0);
	child_start(&c, PATIENCE_MS, be_granted_and_talk_rubbish, &pair[1]);
	must(world_refuse_reads(EPERM) == NULL);
	must_be(haul_open(&h, &options, sizeof(options)), 0);
	must_be(haul_adopt(h, pair[0], PATIENCE_MS, &p), 0);
	struct haul_req *r = post_receive(h, buf, LEN, TAG);
	struct haul_peer_info info = { .alive = 1 };
	while (info.alive) {
		must(haul_progress(h) >= 0);
		must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	}
	child_await_stop(&c);
	must_be(haul_req_test(r), -EINPROGRESS);
	child_signal(&c, SIGKILL);
	must_be(end_of(r, NULL), -EPROTO); /* the test still holds the other end, as a stray child would */
	must_be(haul_close(h, 0), 0);
	child_expect_killed(&c, SIGKILL);
	close(pair[1]);
	fds_expect(fds);
	free(buf);
}
