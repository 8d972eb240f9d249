/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls of, and replies by, a peer that is made by hand: what it may say, and what costs it the connection, and nobody
 * else anything (lib/handmade.h). Also, seen from there, which frames calls are made of.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/socket.h>

#include <haul/haul.h>

#include "lib/handmade.h"
#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(call_hostile, .timeout = 60);

enum { LEN = 60000, SHORT = 64, TAG = 5, SOON_MS = 20, CALL = WIRE_FLAG_SYNC | WIRE_FLAG_CALL };

#define ID(slot) WIRE_ID(slot, 1)

static struct handmade m;
static const struct raw_frame *f;
static unsigned char buf[LEN];
static uint64_t cell, cookie = 0x0123456789abcdef;

/* ---- our calls, its replies ---- */

/* A call of so many bytes to it, and the call's id. */
static struct haul_req *call_it(size_t len, uint64_t *id)
{
	struct haul_req *r;
	pattern_fill(buf, len, TAG, 0);
	must_be(haul_icall(m.peer, TAG, &(struct iovec){ buf, len }, 1, &r), 0);
	must(haul_progress(m.haul) >= 0);
	f = handmade_next(&m, len <= 16384 ? WIRE_EAGER : WIRE_DESC);
	must_be(f->flags, CALL);
	must_be(raw_get(f->body, 8), TAG);
	must_be(raw_get(f->body + 16, 4), 0);
	*id = raw_get(f->body + 8, 8);
	must(*id != 0);
	return r;
}

enum answer { REPLY, LONG_REPLY, DONE, REFUSED, CANCELED, ANSWERS };

/* What the call ends with by them. */
static const int results[ANSWERS] = { 0, 0, -ENOMSG, -EDOM, -ECANCELED };

static void reply_at_length(uint64_t to, uint64_t id)
{
	cell = cookie;
	pattern_fill(buf, LEN, to, 0);
	handmade_describe(&m,
	    &(struct handmade_desc){ .tag = to,
	        .id = id,
	        .channel = WIRE_CHANNEL_REPLIES,
	        .len = LEN,
	        .cell = (uintptr_t)&cell,
	        .cookie = cookie,
	        .count = 1,
	        .ranges = { { buf, LEN } } });
}

static void answer(enum answer which, uint64_t id)
{
	static uint32_t used;
	switch (which) {
	case REPLY:
		handmade_say(&m, WIRE_EAGER, 0, "88444", id, 0, WIRE_CHANNEL_REPLIES, 0, 0x6465656e);
		break;
	case LONG_REPLY:
		reply_at_length(id, ID(used++ % 64));
		break;
	case DONE:
		handmade_say(&m, WIRE_DONE, 0, "8", id);
		break;
	case REFUSED:
		handmade_say(&m, WIRE_REFUSED, 0, "8844", id, 0, EDOM, 0);
		break;
	default:
		handmade_say(&m, WIRE_CANCELED, 0, "8", id);
		break;
	}
}

static void must_end(struct haul_req *call, enum answer by)
{
	struct haul_status status;
	must_be(end_of(call, &status), results[by]);
	must((status.msg != NULL) == (results[by] == 0));
	must_be(haul_msg_done(status.msg), 0);
}

Test(call_hostile, each_answer_ends_a_call)
{
	for (int which = 0; which < ANSWERS; which++) {
		for (size_t len = 0; len <= LEN; len += LEN / 2) {
			uint64_t id;
			must_note_case("answer %d, %zu bytes", which, len);
			handmade_start(&m, NULL);
			struct haul_req *call = call_it(len, &id);
			answer((enum answer)which, id);
			must_end(call, (enum answer)which);
			handmade_kept(&m);
		}
	}
}

Test(call_hostile, a_second_answer_drops_that_peer_alone)
{
	for (int first = 0; first < ANSWERS; first++) {
		for (int second = 0; second < ANSWERS; second++) {
			uint64_t id;
			must_note_case("%d, then %d", first, second);
			handmade_start(&m, NULL);
			struct haul_req *call = call_it(SHORT, &id);
			answer((enum answer)first, id);
			answer((enum answer)second, id);
			must_end(call, (enum answer)first);
			handmade_lost(&m, -EPROTO);
		}
	}
}

Test(call_hostile, a_reply_to_what_was_never_called_drops_that_peer_alone)
{
	const uint64_t wrong[] = { 0, 1, TAG, ID(1), WIRE_ID(0, 2), WIRE_ID(0, UINT32_MAX), WIRE_ID(0, 0),
		ID(65535), ID(65536), WIRE_ID(UINT32_MAX, 1), UINT64_MAX };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		for (int which = REPLY; which <= LONG_REPLY; which++) {
			for (int called = 0; called < 2; called++) {
				uint64_t id;
				must_note_case("answer %d, id %zu, %d", which, i, called);
				handmade_start(&m, NULL);
				struct haul_req *call = called ? call_it(SHORT, &id) : NULL;
				answer((enum answer)which, wrong[i]);
				if (called)
					must_be(end_of(call, NULL), -EPROTO);
				handmade_lost(&m, -EPROTO);
			}
		}
	}
}

Test(call_hostile, a_reply_to_what_is_no_call_drops_that_peer_alone)
{
	for (int which = REPLY; which <= LONG_REPLY; which++) {
		struct haul_req *send;
		handmade_start(&m, NULL);
		must_be(haul_isend(m.peer, TAG, NULL, 0, HAUL_SYNC, &send), 0);
		must(haul_progress(m.haul) >= 0);
		f = handmade_next(&m, WIRE_EAGER);
		answer((enum answer)which, raw_get(f->body + 8, 8));
		must_be(end_of(send, NULL), -EPROTO);
		handmade_lost(&m, -EPROTO);
	}
	handmade_start(&m, NULL);
	must_be(haul_peer_flush(m.peer, SOON_MS), -ETIMEDOUT);
	answer(REPLY, ID(0));
	handmade_lost(&m, -EPROTO);
}

Test(call_hostile, what_calls_and_replies_can_not_be_drops_that_peer_alone)
{
	for (int which = 0; which < 6; which++) {
		uint64_t id;
		must_note_case("%d", which);
		handmade_start(&m, NULL);
		struct haul_req *call = call_it(SHORT, &id);
		struct handmade_desc d = { .tag = id, .id = ID(0) };
		if (which == 0) /* without an answer */
			handmade_say(&m, WIRE_EAGER, WIRE_FLAG_CALL, "8844", TAG, 0, 0, 0);
		else if (which == 1)
			handmade_say(&m, WIRE_EAGER, WIRE_FLAG_CALL, "8844", TAG, ID(0), 0, 0);
		else if (which == 2)
			handmade_say(&m, WIRE_EAGER, CALL, "8844", TAG, 0, 0, 0);
		else if (which == 3)
			d.flags = WIRE_FLAG_CALL;
		else if (which == 4) /* both */
			handmade_say(&m, WIRE_EAGER, CALL, "8844", id, ID(0), WIRE_CHANNEL_REPLIES, 0);
		else
			d = (struct handmade_desc){ .tag = id,
				.id = ID(0),
				.channel = WIRE_CHANNEL_REPLIES,
				.flags = CALL };
		if (which == 3 || which == 5)
			handmade_describe(&m, &d);
		must_be(end_of(call, NULL), -EPROTO);
		handmade_lost(&m, -EPROTO);
	}
}

/* One that wants to know what became of it hears so. */
Test(call_hostile, a_synchronous_reply_is_answered)
{
	uint64_t id;
	struct haul_status status;
	handmade_start(&m, NULL);
	struct haul_req *call = call_it(SHORT, &id);
	handmade_say(&m, WIRE_EAGER, WIRE_FLAG_SYNC, "8844", id, ID(3), WIRE_CHANNEL_REPLIES, 0);
	must_be(end_of(call, &status), 0);
	must_be(haul_msg_done(status.msg), 0);
	must(haul_progress(m.haul) >= 0);
	f = handmade_next(&m, WIRE_DONE);
	must_be(raw_get(f->body, 8), ID(3));
	handmade_kept(&m);
}

/* Once, and it costs nothing but the frame. */
Test(call_hostile, a_reply_to_a_call_that_was_given_up_is_refused_unseen)
{
	for (int which = REPLY; which <= LONG_REPLY; which++) {
		struct haul_msg *reply;
		handmade_start(&m, NULL);
		must_be(haul_call(m.peer, TAG, &(struct iovec){ buf, SHORT }, 1, SOON_MS, &reply),
		    -ETIMEDOUT);
		handmade_await(&m, WIRE_CANCEL);
		answer((enum answer)which, ID(0));
		handmade_settle(&m);
		if (which == LONG_REPLY) {
			f = handmade_next(&m, WIRE_CANCELED);
			must_be(raw_get(f->body, 8) >> 32, 1);
		}
		must(handmade_grown(&m) < LEN);
		handmade_must_live(&m);
		answer((enum answer)which, ID(0));
		handmade_lost(&m, -EPROTO);
	}
}

Test(call_hostile, a_reply_longer_than_what_is_accepted_ends_the_call)
{
	static const struct haul_options o = { .max_msg = 2 * LEN };
	uint64_t id;
	handmade_start(&m, &o);
	struct haul_req *call = call_it(SHORT, &id);
	handmade_describe(&m,
	    &(struct handmade_desc){ .tag = id,
	        .id = ID(0),
	        .channel = WIRE_CHANNEL_REPLIES,
	        .len = 2 * LEN + 1,
	        .cell = (uintptr_t)&cell,
	        .count = 1,
	        .ranges = { { buf, 2 * LEN + 1 } } });
	must_be(end_of(call, NULL), -EMSGSIZE);
	f = handmade_next(&m, WIRE_CANCELED);
	handmade_kept(&m);
}

/* Read when its memory is gone, or never was there. */
Test(call_hostile, a_reply_that_can_not_be_read_costs_its_reader_an_error)
{
	for (int which = 0; which < 2; which++) {
		unsigned char in[SHORT];
		uint64_t id;
		struct haul_status status;
		struct haul_req *read;
		handmade_start(&m, NULL);
		struct haul_req *call = call_it(SHORT, &id);
		cell = 0;
		handmade_describe(&m,
		    &(struct handmade_desc){ .tag = id,
		        .id = ID(0),
		        .channel = WIRE_CHANNEL_REPLIES,
		        .len = SHORT,
		        .cell = which == 0 ? (uintptr_t)&cell : 8,
		        .cookie = cookie,
		        .count = 1,
		        .ranges = { { buf, SHORT } } });
		must_be(end_of(call, &status), 0);
		must_be(haul_msg_iread(status.msg, 0, &(struct iovec){ in, SHORT }, 1, &read), 0);
		must_be(end_of(read, NULL), -ECANCELED);
		must_be(haul_msg_done(status.msg), 0);
		handmade_kept(&m);
	}
}

Test(call_hostile, who_hangs_up_behind_a_reply_has_replied)
{
	for (int which = REPLY; which <= LONG_REPLY; which++) {
		uint64_t id;
		struct haul_status status;
		handmade_start(&m, NULL);
		struct haul_req *call = call_it(SHORT, &id);
		answer((enum answer)which, id);
		must_be(shutdown(m.raw.fd, SHUT_RDWR), 0);
		int rc = end_of(call, &status);
		must(
		    rc == 0 || (rc == -ECONNRESET && which == LONG_REPLY)); /* which can't be read any more */
		must_be(rc == 0 ? haul_msg_done(status.msg) : 0, 0);
		handmade_lost(&m, -ECONNRESET);
	}
}

/* ---- its calls, our replies ---- */

/* It calls, and is taken. */
static struct haul_msg *be_called(uint64_t id)
{
	struct haul_msg *msg;
	handmade_say(&m, WIRE_EAGER, CALL, "88444", TAG, id, 0, 0, 0x6465656e);
	must_be(haul_take(m.haul, &(struct haul_match){ .tag = TAG }, 1000, &msg), 0);
	return msg;
}

static void reply_to(struct haul_msg *msg, size_t len, int expected)
{
	struct haul_req *reply;
	must_be(haul_reply(msg, &(struct iovec){ buf, len }, 1, &reply), expected);
	if (expected == 0)
		haul_req_free(reply);
	handmade_settle(&m);
}

/* No DONE comes before the reply, or after it. */
Test(call_hostile, the_reply_is_the_only_answer)
{
	for (size_t len = 0; len <= LEN; len += LEN / 2) {
		handmade_start(&m, NULL);
		for (unsigned turn = 1; turn < 4; turn++) {
			struct haul_msg *msg = be_called(WIRE_ID(2, turn)); /* as soon as it is answered */
			reply_to(msg, len, 0);
			f = handmade_next(&m, len <= 16384 ? WIRE_EAGER : WIRE_DESC);
			must_be(f->flags, 0);
			must_be(raw_get(f->body, 8), WIRE_ID(2, turn));
			must_be(raw_get(f->body + 16, 4), WIRE_CHANNEL_REPLIES);
			if (len > 16384)
				handmade_say(&m, WIRE_DONE, 0, "8", raw_get(f->body + 8, 8));
		}
		handmade_kept(&m);
	}
}

Test(call_hostile, whoever_takes_its_call_hears_of_each_cancel)
{
	for (int which = 0; which < 3; which++) {
		handmade_start(&m, NULL);
		struct haul_msg *msg = be_called(ID(0));
		if (which < 2)
			handmade_say(&m, WIRE_CANCEL, which == 0 ? 0 : WIRE_FLAG_IDLE, "8", ID(0));
		else
			handmade_say(&m, WIRE_ABORT, 0, "844", ID(0), 0, 0);
		handmade_settle(&m);
		f = handmade_next(&m, WIRE_CANCELED);
		must_be(raw_get(f->body, 8), ID(0));
		reply_to(msg, SHORT, -ECANCELED);
		must_be(haul_msg_done(msg), 0);
		handmade_kept(&m);
	}
}

Test(call_hostile, a_late_cancel_is_ignored)
{
	handmade_start(&m, NULL);
	reply_to(be_called(ID(0)), SHORT, 0);
	handmade_next(&m, WIRE_EAGER);
	handmade_say(&m, WIRE_CANCEL, 0, "8", ID(0));
	handmade_say(&m, WIRE_CANCEL, WIRE_FLAG_IDLE, "8", ID(0));
	handmade_kept(&m);
}

Test(call_hostile, a_call_by_an_id_that_waits_for_a_reply_drops_that_peer_alone)
{
	handmade_start(&m, NULL);
	struct haul_msg *msg = be_called(ID(0));
	handmade_say(&m, WIRE_EAGER, CALL, "8844", TAG, ID(0), 0, 0);
	handmade_must_be_lost(&m, -EPROTO);
	reply_to(msg, SHORT, -EPROTO);
	must_be(haul_msg_done(msg), 0);
	handmade_end(&m);
}

/* A goodbye before its calls are answered: it wants nothing any more. */
Test(call_hostile, who_says_goodbye_without_waiting_gets_no_reply)
{
	handmade_start(&m, NULL);
	struct haul_msg *taken = be_called(ID(0)), *replied = be_called(ID(1));
	struct haul_req *reply;
	must_be(haul_reply(replied, NULL, 0, &reply), 0);
	handmade_say(&m, WIRE_BYE, 0, "");
	must(haul_progress(m.haul) >= 0); /* which reads first */
	must_be(end_of(reply, NULL), -EPIPE);
	reply_to(taken, SHORT, -EPIPE);
	must_be(haul_msg_done(taken), 0);
	handmade_lost(&m, -EPIPE);
}
