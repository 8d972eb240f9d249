/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking back what was begun: haul_req_cancel(), which harms nobody and may come too late, and
 * haul_req_deadline(), which does not ask. Whichever way it ends, the buffer is then the caller's.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/duo.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(cancel, .timeout = 60);
TestSuite(deadline, .timeout = 60);

enum { TAG_DATA = 7, LONG_LEN = 1000003, BIG = 24 << 20, SOON_MS = 20, SCRIBBLE = 0xa5 };

static const struct haul_options stream_only = { .path = HAUL_PATH_STREAM };

/* ---- receives ---- */

static void end_as(struct haul_req *r, int error)
{
	struct haul_status status;
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, &status), error);
	must_be(status.error, error);
}

EveryPath(cancel, a_posted_receive_ends_and_its_message_is_the_next_ones)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *out = filled(len, 1), *first = room_for(len), *second = room_for(len);
	struct iovec from = { out, len }, to_first = { first, len }, to_second = { second, len };
	struct haul_req *send, *a, *b;
	struct haul_status status;
	struct twins t;
	memset(first, CANARY, len);
	twins_start(&t, &o);
	must_be(haul_irecv(t.b, NULL, &to_first, 1, &a), 0);
	must_be(haul_irecv(t.b, NULL, &to_second, 1, &b), 0);
	must_be(haul_req_cancel(a), 0);
	must_be(haul_isend(t.to_b, TAG_DATA, &from, 1, HAUL_SYNC, &send), 0);
	must_be(twins_finish(&t, b, &status), 0);
	must_be(status.got, len);
	must_hold(second, len, 1, 0);
	must_be(twins_finish(&t, send, NULL), 0);
	end_as(a, -ECANCELED);
	must_be_untouched(first, len);
	twins_end(&t);
	free(out);
	free(first);
	free(second);
}

/* Its message was there already: it has been given it, and cancel is too late. */
EveryPath(cancel, a_receive_with_a_message_completes_as_ever)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, BIG);
	unsigned char *out = filled(len, 1), *in = room_for(len);
	struct iovec from = { out, len }, to = { in, len };
	struct haul_req *send, *recv;
	struct haul_status status;
	struct twins t;
	twins_start(&t, &o);
	must_be(haul_isend(t.to_b, TAG_DATA, &from, 1, HAUL_SYNC, &send), 0);
	twins_settle(&t);
	must_be(haul_irecv(t.b, NULL, &to, 1, &recv), 0);
	int rc = haul_req_cancel(recv);
	must(rc == 0 || rc == -EALREADY);
	must_be(twins_finish(&t, recv, &status), 0);
	must_be(status.got, len);
	must_hold(in, len, 1, 0);
	must_be(twins_finish(&t, send, NULL), 0);
	twins_end(&t);
	free(out);
	free(in);
}

Test(cancel, what_is_complete_is_beyond_it)
{
	struct haul_req *send, *recv;
	struct twins t;
	twins_start(&t, NULL);
	must_be(haul_isend(t.to_b, 1, NULL, 0, 0, &send), 0);
	must_be(haul_irecv(t.b, NULL, NULL, 0, &recv), 0);
	twins_settle(&t);
	must_be(haul_req_test(send), 0);
	must_be(haul_req_test(recv), 0);
	must_be(haul_req_cancel(send), -EALREADY);
	must_be(haul_req_cancel(recv), -EALREADY);
	must_be(haul_req_deadline(send, 0), -EALREADY);
	must_be(haul_req_deadline(recv, 100), -EALREADY);
	must_be(haul_req_deadline(recv, -1), -EALREADY);
	must_be(haul_req_finish(send, NULL), 0);
	must_be(haul_req_finish(recv, NULL), 0);
	twins_end(&t);
}

/* ---- sends ---- */

/* Only the message that says so is there. */
static void only_the_token_comes(struct twins *t)
{
	struct haul_req *token;
	struct haul_status status;
	must_be(haul_isend(t->to_b, TAG_TOKEN, NULL, 0, 0, &token), 0);
	twins_settle(t);
	must_be(haul_recv(t->b, NULL, NULL, 0, 0, &status), 0);
	must(status.tag == TAG_TOKEN);
	must_be(twins_finish(t, token, NULL), 0);
	must_be(haul_recv(t->b, NULL, NULL, 0, 0, &status), -EAGAIN);
}

EveryPath(cancel, a_send_at_once_taken_back_is_never_seen)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *out = filled(len, 1);
	struct iovec from = { out, len };
	struct haul_req *r;
	struct twins t;
	for (unsigned flags = 0; flags <= HAUL_SYNC; flags++) {
		twins_start(&t, &o);
		must_be(haul_isend(t.to_b, TAG_DATA, &from, 1, flags, &r), 0);
		must_be(haul_req_cancel(r), 0);
		must_be(twins_finish(&t, r, NULL), -ECANCELED);
		memset(out, SCRIBBLE, len);
		only_the_token_comes(&t);
		twins_end(&t);
	}
	free(out);
}

/* Told to the receiver, but given to no receive. Eagerly, only a synchronous one is still to be had. */
EveryPath(cancel, a_message_that_lies_in_the_queue_is_taken_from_it)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *out = filled(len, 1);
	struct iovec from = { out, len };
	struct haul_req *r;
	struct haul_status status;
	struct twins t;
	for (unsigned flags = path->longest < LONG_LEN ? HAUL_SYNC : 0; flags <= HAUL_SYNC; flags++) {
		twins_start(&t, &o);
		must_be(haul_isend(t.to_b, TAG_DATA, &from, 1, flags, &r), 0);
		twins_settle(&t);
		must_be(haul_probe(t.b, NULL, 0, &status), 0);
		must_be(haul_req_cancel(r), 0);
		must_be(haul_req_cancel(r), 0); /* a second time changes nothing */
		must_be(twins_finish(&t, r, &status), -ECANCELED);
		must_be(status.error, -ECANCELED);
		must_be(status.flags, 0);
		memset(out, SCRIBBLE, len);
		must_be(haul_probe(t.b, NULL, 0, &status), -EAGAIN);
		only_the_token_comes(&t);
		twins_end(&t);
	}
	free(out);
}

EveryPath(cancel, an_eager_send_that_has_left_is_complete)
{
	struct haul_options o = path_options(path);
	unsigned char out[100], in[100];
	struct iovec from = { out, 100 };
	struct haul_req *r;
	struct twins t;
	if (!path->eager || o.eager_max == 0)
		return;
	pattern_fill(out, 100, 1, 0);
	twins_start(&t, &o);
	must_be(haul_isend(t.to_b, TAG_DATA, &from, 1, 0, &r), 0);
	twins_settle(&t);
	must_be(haul_req_cancel(r), -EALREADY);
	must_be(haul_req_finish(r, NULL), 0);
	must_be(haul_recv(t.b, NULL, in, 100, 0, NULL), 100);
	must_hold(in, 100, 1, 0);
	twins_end(&t);
}

/* The receive has begun: it is not harmed, and the sender hears so. */
EveryPath(cancel, a_message_that_a_receive_has_is_received)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, BIG);
	unsigned char *out = filled(len, 1), *in = room_for(len);
	struct iovec from = { out, len }, to = { in, len };
	struct haul_req *send, *recv;
	struct haul_status status;
	struct twins t;
	twins_start(&t, &o);
	must_be(haul_isend(t.to_b, TAG_DATA, &from, 1, HAUL_SYNC, &send), 0);
	twins_settle(&t);
	must_be(haul_irecv(t.b, NULL, &to, 1, &recv), 0);
	must_be(haul_req_cancel(send), 0);
	must_be(twins_finish(&t, recv, &status), 0);
	must_be(status.got, len);
	must_hold(in, len, 1, 0);
	must_be(twins_finish(&t, send, &status), 0);
	must_be(status.got, len);
	twins_end(&t);
	free(out);
	free(in);
}

EveryPath(cancel, a_message_that_was_taken_stays_taken)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *out = filled(len, 1), *in = room_for(len);
	struct iovec from = { out, len }, to = { in, len };
	struct haul_req *send, *read;
	struct haul_status status;
	struct haul_msg *m;
	struct twins t;
	twins_start(&t, &o);
	must_be(haul_isend(t.to_b, TAG_DATA, &from, 1, HAUL_SYNC, &send), 0);
	twins_settle(&t);
	must_be(haul_take(t.b, NULL, 0, &m), 0);
	must_be(haul_req_cancel(send), 0);
	twins_settle(&t);
	must_be(haul_req_test(send), -EINPROGRESS);
	must_be(haul_msg_iread(m, 0, &to, 1, &read), 0);
	must_be(twins_finish(&t, read, &status), 0);
	must_be(status.got, len);
	must_hold(in, len, 1, 0);
	must_be(haul_msg_done(m), 0);
	must_be(twins_finish(&t, send, NULL), 0);
	twins_end(&t);
	free(out);
	free(in);
}

/* Every moment of a message's life that a cancel can hit, by chance: both sides agree on what came of it. */
static void receive_until_token(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, 200000);
	unsigned char *buf = room_for(len);
	uint64_t came = 0;
	for (;;) {
		struct haul_status status;
		ssize_t n = haul_recv(h, NULL, buf, len, PATIENCE_MS, &status);
		if (n == 0 && status.tag == TAG_TOKEN)
			break;
		must_be(n, len); /* never harmed by a cancel */
		must_hold(buf, len, status.tag, 0);
		came |= UINT64_C(1) << status.tag;
	}
	must_be(haul_send(p, 0, &came, sizeof(came), PATIENCE_MS), 0);
	free(buf);
}

EveryPath(cancel, both_sides_agree_on_what_came_of_it)
{
	struct haul_options o = path_options(path);
	enum { ROUNDS = 60 };
	size_t len = path_most(path, 200000);
	unsigned char *out = room_for(len);
	uint64_t sent = 0, came;
	struct pairing p;
	pairing_start(&p, &o, &o, receive_until_token, path);
	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct iovec from = { out, len };
		struct haul_req *r;
		pattern_fill(out, len, i, 0);
		must_be(haul_isend(p.peer, i, &from, 1, HAUL_SYNC, &r), 0);
		for (uint64_t turn = 0; turn < i * i / 4 && haul_req_test(r) != 0; turn++)
			continue;
		int rc = haul_req_cancel(r);
		must(rc == 0 || rc == -EALREADY);
		must_be(haul_req_wait(r, PATIENCE_MS), 0);
		rc = haul_req_finish(r, NULL);
		must(rc == 0 || rc == -ECANCELED);
		if (rc == 0)
			sent |= UINT64_C(1) << i;
		memset(out, SCRIBBLE, len);
	}
	send_token(p.peer);
	must_be(haul_recv(p.haul, NULL, &came, sizeof(came), PATIENCE_MS, NULL), sizeof(came));
	must(came == sent);
	pairing_end(&p);
	free(out);
}

/* ---- all of a peer ---- */

Test(cancel, all_requests_of_a_peer_and_no_others)
{
	enum { SENDS = 5, RECEIVES = 4 };
	struct haul_options o = { .eager_max = -1 };
	struct haul_req *sends[SENDS], *receives[RECEIVES], *any, *take, *watch, *back;
	struct haul_match from = { .tag = 99 };
	struct twins t;
	unsigned char *out = filled(LONG_LEN, 1);
	struct iovec iov = { out, LONG_LEN };
	twins_start(&t, &o);
	from.from = t.to_b;
	must_be(haul_peer_cancel(t.to_b), 0);
	for (int i = 0; i < SENDS; i++)
		must_be(haul_isend(t.to_b, TAG_DATA, &iov, 1, HAUL_SYNC, &sends[i]), 0);
	for (int i = 0; i < RECEIVES; i++)
		must_be(haul_irecv(t.a, &from, NULL, 0, &receives[i]), 0);
	must_be(haul_itake(t.a, &from, &take), 0);
	must_be(haul_irecv(t.a, &(struct haul_match){ .tag = 98 }, NULL, 0, &any), 0);
	must_be(haul_peer_watch(t.to_b, &watch), 0);
	must_be(haul_isend(haul_self(t.a), 5, NULL, 0, HAUL_SYNC, &back), 0);
	twins_settle(&t);
	must_be(haul_peer_cancel(t.to_b), SENDS + RECEIVES + 1);
	for (int i = 0; i < SENDS; i++)
		must_be(twins_finish(&t, sends[i], NULL), -ECANCELED);
	for (int i = 0; i < RECEIVES; i++)
		must_be(twins_finish(&t, receives[i], NULL), -ECANCELED);
	must_be(twins_finish(&t, take, NULL), -ECANCELED);
	twins_settle(&t);
	must_be(haul_req_test(any), -EINPROGRESS);
	must_be(haul_req_test(watch), -EINPROGRESS);
	must_be(haul_req_test(back), -EINPROGRESS);
	must_be(haul_recv(t.b, NULL, NULL, 0, 0, NULL), -EAGAIN);
	haul_req_free(any);
	haul_req_free(watch);
	haul_req_free(back);
	twins_end(&t);
	free(out);
}

/* A receive from anybody does not name the peer whose message it has been given, and a read is no receive. */
Test(cancel, of_a_peer_spares_who_does_not_name_it)
{
	struct haul_options o = { .path = HAUL_PATH_STREAM, .eager_max = -1 };
	struct haul_req *first, *second, *recv, *read;
	struct haul_status status;
	struct haul_msg *m;
	struct twins t;
	unsigned char *out = filled(BIG, 1), *in = room_for(BIG), part[1000];
	struct iovec from = { out, BIG }, to = { in, BIG }, to_part = { part, sizeof(part) };
	twins_start(&t, &o);
	must_be(haul_isend(t.to_b, 1, &from, 1, HAUL_SYNC, &first), 0);
	must_be(haul_isend(t.to_b, 2, &from, 1, HAUL_SYNC, &second), 0);
	twins_settle(&t);
	must_be(haul_take(t.b, &(struct haul_match){ .tag = 1 }, 0, &m), 0);
	must_be(haul_msg_iread(m, 1000, &to_part, 1, &read), 0);
	must_be(haul_irecv(t.b, &(struct haul_match){ .tag = 2 }, &to, 1, &recv), 0);
	must_be(haul_peer_cancel(t.to_a), 0);
	must_be(twins_finish(&t, read, &status), 0);
	must_be(status.got, sizeof(part));
	must_hold(part, sizeof(part), 1, 1000);
	must_be(twins_finish(&t, recv, NULL), 0);
	must_hold(in, BIG, 1, 0);
	must_be(haul_msg_done(m), 0);
	must_be(twins_finish(&t, first, NULL), 0);
	must_be(twins_finish(&t, second, NULL), 0);
	twins_end(&t);
	free(out);
	free(in);
}

/* ---- a peer that does not answer ---- */

/* What was taken back may have begun to be received, but nothing of it is delivered. */
static void expect_only_the_token(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = room_for(LONG_LEN);
	struct haul_status status;
	ssize_t n;
	(void)p;
	(void)arg;
	do
		n = haul_recv(h, NULL, buf, LONG_LEN, PATIENCE_MS, &status);
	while (n == -ECANCELED);
	must_be(n, 0);
	must(status.tag == TAG_TOKEN);
	free(buf);
}

static void to_a_stopped_peer(const struct haul_options *o, size_t len, bool cancel, int deadline_ms)
{
	struct pairing p;
	struct haul_req *r;
	struct haul_status status;
	unsigned char *out = filled(len, 1);
	struct iovec from = { out, len };
	pairing_start(&p, o, o, expect_only_the_token, NULL);
	duo_stop(&p.child);
	must_be(haul_isend(p.peer, TAG_DATA, &from, 1, HAUL_SYNC, &r), 0);
	if (cancel) {
		must_be(haul_req_wait(r, SOON_MS), -ETIMEDOUT); /* it has left */
		must_be(haul_req_cancel(r), 0);
		must_be(haul_req_wait(r, SOON_MS), -ETIMEDOUT);
		must_be(haul_req_cancel(r), 0);
		must_be(haul_req_test(r), -EINPROGRESS);
	}
	must_be(haul_req_deadline(r, deadline_ms), 0);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, &status), -ETIMEDOUT);
	must_be(status.error, -ETIMEDOUT);
	memset(out, SCRIBBLE, len);
	must_be(status.flags, HAUL_STATUS_UNKNOWN);
	duo_continue(&p.child);
	send_token(p.peer);
	pairing_end(&p);
	free(out);
}

Test(cancel, is_not_answered_by_a_stopped_peer_but_a_deadline_is_kept)
{
	struct haul_options pull = { .path = HAUL_PATH_PULL, .eager_max = -1 };
	to_a_stopped_peer(&pull, LONG_LEN, true, SOON_MS);
	to_a_stopped_peer(&pull, LONG_LEN, true, 0);
	to_a_stopped_peer(&stream_only, LONG_LEN, true, SOON_MS);
	to_a_stopped_peer(&stream_only, LONG_LEN, true, 0);
}

Test(deadline, of_a_send_is_kept_toward_a_stopped_peer)
{
	struct haul_options pull = { .path = HAUL_PATH_PULL, .eager_max = -1 };
	to_a_stopped_peer(&pull, LONG_LEN, false, SOON_MS);
	to_a_stopped_peer(&stream_only, LONG_LEN, false, SOON_MS);
}

/* Its time was up: what it began goes on to its end. */
Test(deadline, that_has_passed_can_not_be_moved)
{
	struct pairing p;
	struct haul_req *r;
	unsigned char *out = filled(LONG_LEN, 1);
	struct iovec from = { out, LONG_LEN };
	pairing_start(&p, NULL, NULL, expect_only_the_token, NULL);
	for (int later = -1; later <= PATIENCE_MS; later += PATIENCE_MS + 1) {
		duo_stop(&p.child);
		must_be(haul_isend(p.peer, TAG_DATA, &from, 1, HAUL_SYNC, &r), 0);
		must_be(haul_req_wait(r, SOON_MS), -ETIMEDOUT);
		must_be(haul_req_deadline(r, 0), 0);
		haul_req_deadline(r, later);
		must_be(haul_req_wait(r, PATIENCE_MS / 3), 0);
		must_be(haul_req_finish(r, NULL), -ETIMEDOUT);
		duo_continue(&p.child);
	}
	memset(out, SCRIBBLE, LONG_LEN);
	send_token(p.peer);
	pairing_end(&p);
	free(out);
}

/* ---- deadlines of receives ---- */

static void stay_until_told(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)arg;
	await_token(h, p);
}

Test(deadline, of_a_posted_receive_and_how_it_is_replaced)
{
	struct haul_req *r;
	struct pairing p;
	unsigned char buf[8];
	struct iovec to = { buf, 8 };
	memset(buf, CANARY, 8);
	pairing_start(&p, NULL, NULL, stay_until_told, NULL);

	must_be(haul_irecv(p.haul, NULL, &to, 1, &r), 0);
	must_be(haul_req_deadline(r, -2), -EINVAL);
	must_be(haul_req_deadline(r, SOON_MS), 0);
	end_as(r, -ETIMEDOUT);

	must_be(haul_irecv(p.haul, NULL, &to, 1, &r), 0);
	must_be(haul_req_deadline(r, SOON_MS), 0);
	must_be(haul_req_deadline(r, PATIENCE_MS), 0); /* later */
	must_be(haul_req_wait(r, 3 * SOON_MS), -ETIMEDOUT);
	must_be(haul_req_test(r), -EINPROGRESS);
	must_be(haul_req_deadline(r, 0), 0); /* earlier */
	end_as(r, -ETIMEDOUT);

	must_be(haul_irecv(p.haul, NULL, &to, 1, &r), 0);
	must_be(haul_req_deadline(r, SOON_MS), 0);
	must_be(haul_req_deadline(r, -1), 0); /* never */
	must_be(haul_req_wait(r, 3 * SOON_MS), -ETIMEDOUT);
	must_be(haul_req_test(r), -EINPROGRESS);
	must_be(haul_req_cancel(r), 0);
	end_as(r, -ECANCELED);

	must_be_untouched(buf, 8);
	send_token(p.peer);
	pairing_end(&p);
}

/* In the middle of its transfer. What comes after it in the queue stays after it. */
EveryPath(deadline, of_a_receive_with_a_message_gives_it_back_to_its_place)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, BIG);
	unsigned char *out = filled(len, 1), *in = room_for(len);
	struct iovec from = { out, len }, to = { in, len };
	struct haul_req *first, *second, *recv;
	struct haul_status status;
	struct twins t;
	twins_start(&t, &o);
	must_be(haul_isend(t.to_b, 1, &from, 1, HAUL_SYNC, &first), 0);
	must_be(haul_isend(t.to_b, 2, NULL, 0, HAUL_SYNC, &second), 0);
	twins_settle(&t);
	for (int turns = 0; turns < 3; turns++) {
		must_be(haul_irecv(t.b, NULL, &to, 1, &recv), 0);
		for (int i = 0; i < turns; i++) {
			must(haul_progress(t.b) >= 0);
			must(haul_progress(t.a) >= 0);
		}
		int rc = haul_req_deadline(recv, 0);
		if (rc == 0)
			rc = twins_finish(&t, recv, &status);
		else
			must_be(haul_req_finish(recv, &status), 0);
		if (rc != -ETIMEDOUT) /* it was over by then */
			break;
		must_be(status.got, 0);
		memset(in, SCRIBBLE, len);
		must_be(haul_probe(t.b, NULL, 0, &status), 0);
		must_be(status.tag, 1);
		must_be(status.len, len);
		if (turns == 2) {
			must_be(haul_irecv(t.b, NULL, &to, 1, &recv), 0);
			must_be(twins_finish(&t, recv, &status), 0);
		}
	}
	must_be(status.tag, 1);
	must_be(status.got, len);
	must_hold(in, len, 1, 0);
	must_be(haul_recv(t.b, NULL, NULL, 0, 0, &status), 0);
	must_be(status.tag, 2);
	must_be(twins_finish(&t, first, NULL), 0);
	must_be(twins_finish(&t, second, NULL), 0);
	twins_end(&t);
	free(out);
	free(in);
}

static void send_two(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *out = filled(BIG, 1);
	(void)h;
	(void)arg;
	must_be(haul_sendv(p, TAG_DATA, &(struct iovec){ out, BIG }, 1, HAUL_SYNC, PATIENCE_MS), 0);
	must_be(haul_send(p, 2, NULL, 0, PATIENCE_MS), 0);
	await_token(h, p);
	free(out);
}

Test(deadline, of_a_receive_from_a_stopped_sender_of_a_stream)
{
	struct pairing p;
	struct haul_req *r;
	struct haul_status status;
	unsigned char *in = room_for(BIG);
	struct iovec to = { in, BIG };
	pairing_start(&p, &stream_only, &stream_only, send_two, NULL);
	must_be(haul_probe(p.haul, NULL, PATIENCE_MS, &status), 0);
	for (int i = 0; i < 3; i++) {
		duo_stop(&p.child);
		must_be(haul_irecv(p.haul, NULL, &to, 1, &r), 0);
		must_be(haul_req_deadline(r, SOON_MS), 0);
		must_be(haul_req_wait(r, PATIENCE_MS), 0);
		must_be(haul_req_finish(r, &status), -ETIMEDOUT);
		must_be(status.got, 0);
		memset(in, SCRIBBLE, BIG); /* late bytes must not come here */
		must_be(haul_probe(p.haul, NULL, 0, &status), 0);
		must_be(status.tag, TAG_DATA);
		duo_continue(&p.child);
		for (int j = 0; j < 100; j++)
			must(haul_progress(p.haul) >= 0);
		for (size_t j = 0; j < BIG; j += 1021)
			must_be(in[j], SCRIBBLE);
	}
	must_be(haul_recv(p.haul, NULL, in, BIG, PATIENCE_MS, &status), BIG);
	must_be(status.tag, TAG_DATA);
	must_hold(in, BIG, 1, 0);
	must_be(haul_recv(p.haul, NULL, in, BIG, PATIENCE_MS, &status), 0);
	must_be(status.tag, 2);
	send_token(p.peer);
	pairing_end(&p);
	free(in);
}

/* ---- short sends, which are copied when they are started ---- */

static const struct haul_options by[] = { { .transport = HAUL_TRANSPORT_SOCKET },
	{ .transport = HAUL_TRANSPORT_OUTBOX } };

struct short_send {
	struct twins t;
	struct haul_req *r;
	char text[8];
};

static void begin_short(struct short_send *s, const struct haul_options *o)
{
	*s = (struct short_send){ .text = "as sent" };
	twins_start(&s->t, o);
	must_be(haul_isend(s->t.to_b, TAG_DATA, &(struct iovec){ s->text, sizeof(s->text) }, 1, 0, &s->r), 0);
}

/* Whatever was done to the request since. */
static void must_arrive(struct short_send *s)
{
	char in[sizeof(s->text)] = "";
	struct iovec to = { in, sizeof(in) };
	struct haul_req *recv;
	must_be(haul_irecv(s->t.b, NULL, &to, 1, &recv), 0);
	must_be(twins_finish(&s->t, recv, NULL), 0);
	must(strcmp(in, "as sent") == 0);
}

static void expect_to_arrive(void (*meddle)(struct short_send *s))
{
	for (int i = 0; i < 2; i++) {
		struct short_send s;
		begin_short(&s, &by[i]);
		meddle(&s);
		memset(s.text, SCRIBBLE, sizeof(s.text));
		must_arrive(&s);
		twins_end(&s.t);
	}
}

static void cancel_it(struct short_send *s)
{
	must_be(haul_req_cancel(s->r), 0);
	must_be(twins_finish(&s->t, s->r, NULL), 0);
}

Test(cancel, a_short_send_has_left_when_it_was_started)
{
	expect_to_arrive(cancel_it);
}

static void end_its_time(struct short_send *s)
{
	struct haul_status status;
	must_be(haul_req_deadline(s->r, 0), 0);
	must_be(haul_req_finish(s->r, &status), -ETIMEDOUT);
	must_be(status.flags, HAUL_STATUS_UNKNOWN);
}

Test(deadline, of_a_short_send_nobody_knows_but_its_buffer_is_free)
{
	expect_to_arrive(end_its_time);
}

static void let_it_go(struct short_send *s)
{
	haul_req_free(s->r);
}

Test(cancel, a_short_send_that_was_let_go_of_arrives)
{
	expect_to_arrive(let_it_go);
}

/* Nothing has made progress since it was started. */
Test(cancel, a_short_send_goes_before_the_goodbye)
{
	for (int i = 0; i < 4; i++) {
		struct short_send s;
		begin_short(&s, &by[i % 2]);
		if (i < 2) {
			must_be(haul_peer_close(s.t.to_b, 0), 0);
			must_be(haul_req_finish(s.r, NULL), 0);
		}
		must_be(haul_close(s.t.a, 0), 0);
		char in[sizeof(s.text)] = "";
		must_be(haul_recv(s.t.b, NULL, in, sizeof(in), PATIENCE_MS, NULL), sizeof(in));
		must(strcmp(in, "as sent") == 0);
		must_be(haul_close(s.t.b, 0), 0);
	}
}
