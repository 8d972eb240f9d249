/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Time: a call returns when it was told to, however stopped the other side is, and what it leaves behind is
 * clean. A send that timed out has given its buffer back for good: scribbled over, none of the scribbles is
 * ever delivered. A receive that timed out has given its message back.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/clock.h"
#include "lib/duo.h"
#include "lib/must.h"
#include "lib/pairing.h"
#include "lib/pattern.h"
#include "lib/rawpeer.h"

TestSuite(timeout, .timeout = 120);

enum { SOON_MS = 30, LATE_MS = 20000, CHILD_MS = 60000, FAR_MS = 5000 };

static const struct haul_options stream_only = { .path = HAUL_PATH_STREAM };

/* ---- sends to a receiver that is stopped at some moment ---- */

enum { ROUNDS = 30 };

struct stopped {
	size_t len;
	const struct haul_options *theirs;
	long within_us; /* of the send, the receiver is stopped; 0: before */
};

#define TAG_END UINT64_C(999)

/* Receives all there is, and answers with which of the messages came. */
static int receive_and_check(struct haul *h, struct haul_peer *p, void *arg)
{
	const struct stopped *plan = arg;
	uint8_t came[ROUNDS] = { 0 };
	uint8_t *buf = malloc(plan->len);
	must(buf != NULL);
	for (;;) {
		struct haul_status status;
		memset(buf, CANARY, plan->len);
		ssize_t n = haul_recv(h, NULL, buf, plan->len, LATE_MS, &status);
		if (n >= 0 && status.tag == TAG_END)
			break;
		if (n == -ECANCELED) /* taken back; the buffer holds anything */
			continue;
		must_be(n, plan->len);
		must(status.tag < ROUNDS);
		must_hold(buf, plan->len, status.tag, 0);
		must_be(came[status.tag], 0); /* once */
		came[status.tag] = 1;
	}
	must_be(haul_send(p, 1, came, sizeof(came), LATE_MS), 0);
	must_be(haul_recv(h, NULL, NULL, 0, LATE_MS, NULL), 0);
	free(buf);
	return 0;
}

static void to_a_stopped_receiver(struct stopped *plan)
{
	struct duo d;
	uint8_t came[ROUNDS];
	bool arrived[ROUNDS];
	int timeouts = 0;
	uint8_t *buf = malloc(plan->len);
	must(buf != NULL);
	srandom(7);
	duo_start(&d,
	    &(struct duo_plan){ .run = receive_and_check,
	        .arg = plan,
	        .theirs = plan->theirs,
	        .timeout_ms = CHILD_MS });
	for (int i = 0; i < ROUNDS; i++) {
		pattern_fill(buf, plan->len, (uint64_t)i, 0);
		if (plan->within_us == 0 || i == 0)
			duo_stop(&d.child);
		else
			duo_stop_later(&d.child, random() % plan->within_us);
		int64_t before = clock_ms();
		int rc = haul_send(d.peer, (uint64_t)i, buf, plan->len, SOON_MS);
		must(clock_ms() - before < FAR_MS);
		memset(buf, 0xa5, plan->len); /* ours again */
		must(rc == 0 || rc == -ETIMEDOUT);
		arrived[i] = rc == 0;
		timeouts += rc != 0;
		duo_stop_later(&d.child, 0); /* whatever was left of it has happened when this signal has */
		while (clock_ms() == before)
			continue;
		duo_continue(&d.child);
	}
	must(timeouts > 0);
	duo_continue(&d.child);
	must_be(haul_send(d.peer, TAG_END, NULL, 0, LATE_MS), 0);
	must_be(haul_recv(d.haul, NULL, came, sizeof(came), LATE_MS, NULL), sizeof(came));
	for (int i = 0; i < ROUNDS; i++)
		must(!arrived[i] || came[i]);
	must_be(haul_send(d.peer, 0, NULL, 0, LATE_MS), 0);
	child_expect(&d.child, 0);
	duo_close(&d);
	free(buf);
}

Test(timeout, pull_64k_from_a_buffer_taken_back)
{
	to_a_stopped_receiver(&(struct stopped){ .len = 65536, .within_us = 300 });
}

Test(timeout, pull_4m_from_a_buffer_taken_back)
{
	to_a_stopped_receiver(&(struct stopped){ .len = 4 << 20, .within_us = 2500 });
}

Test(timeout, pull_48m_from_a_buffer_taken_back)
{
	to_a_stopped_receiver(&(struct stopped){ .len = 48 << 20, .within_us = 25000 });
}

Test(timeout, pull_of_a_receiver_stopped_before)
{
	to_a_stopped_receiver(&(struct stopped){ .len = 1 << 20 });
}

Test(timeout, stream_64k_from_a_buffer_taken_back)
{
	to_a_stopped_receiver(&(struct stopped){ .len = 65536, .theirs = &stream_only, .within_us = 300 });
}

Test(timeout, stream_4m_from_a_buffer_taken_back)
{
	to_a_stopped_receiver(&(struct stopped){ .len = 4 << 20, .theirs = &stream_only, .within_us = 4000 });
}

Test(timeout, stream_of_a_receiver_stopped_before)
{
	to_a_stopped_receiver(&(struct stopped){ .len = 1 << 20, .theirs = &stream_only });
}

/* Short messages go to the kernel until it takes no more; each is received once or not at all. */
static int receive_eager(struct haul *h, struct haul_peer *p, void *arg)
{
	static uint8_t buf[8192];
	uint64_t count = 0, last = 0;
	(void)arg;
	for (;;) {
		struct haul_status status;
		ssize_t n = haul_recv(h, NULL, buf, sizeof(buf), LATE_MS, &status);
		if (n >= 0 && status.tag == TAG_END << 32)
			break;
		if (n == -ECANCELED)
			continue;
		must_be(n, sizeof(buf));
		must_hold(buf, sizeof(buf), status.tag, 0);
		must(status.tag > last);
		last = status.tag;
		count++;
	}
	must_be(haul_send(p, 1, &count, sizeof(count), LATE_MS), 0);
	must_be(haul_recv(h, NULL, NULL, 0, LATE_MS, NULL), 0);
	return 0;
}

Test(timeout, short_messages_to_a_stopped_receiver_time_out_when_all_is_full)
{
	static uint8_t buf[8192];
	struct duo d;
	uint64_t sent = 0, tag = 0, count;
	int timeouts = 0;
	duo_start(&d, &(struct duo_plan){ .run = receive_eager, .timeout_ms = CHILD_MS });
	duo_stop(&d.child);
	while (timeouts < 3 && tag < 100000) {
		pattern_fill(buf, sizeof(buf), ++tag, 0);
		int rc = haul_send(d.peer, tag, buf, sizeof(buf), SOON_MS);
		must(rc == 0 || rc == -ETIMEDOUT);
		memset(buf, 0xa5, sizeof(buf));
		sent += rc == 0;
		timeouts += rc != 0;
	}
	must_be(timeouts, 3);
	must_be(haul_send(d.peer, ++tag, buf, sizeof(buf), 0), -EAGAIN);
	duo_continue(&d.child);
	must_be(haul_send(d.peer, TAG_END << 32, NULL, 0, LATE_MS), 0);
	must_be(haul_recv(d.haul, NULL, &count, sizeof(count), LATE_MS, NULL), sizeof(count));
	must(count >= sent && count <= sent + 3);
	must_be(haul_send(d.peer, 0, NULL, 0, LATE_MS), 0);
	child_expect(&d.child, 0);
	duo_close(&d);
}

/* ---- receives ---- */

static int wait_for_a_word(struct haul *h, struct haul_peer *p, void *arg)
{
	(void)p;
	(void)arg;
	must_be(haul_recv(h, &(struct haul_match){ .tag = TAG_END }, NULL, 0, LATE_MS, NULL), 0);
	return 0;
}

static void start_quiet(struct duo *d)
{
	duo_start(d, &(struct duo_plan){ .run = wait_for_a_word, .timeout_ms = CHILD_MS });
}

static void end_quiet(struct duo *d)
{
	must_be(haul_send(d->peer, TAG_END, NULL, 0, LATE_MS), 0);
	child_expect(&d->child, 0);
	duo_close(d);
}

Test(timeout, a_receive_of_nothing_ends_in_time)
{
	struct duo d;
	struct haul_status status;
	char buf[8];
	start_quiet(&d);
	for (int i = 0; i < 2; i++) {
		struct haul_match from = { .from = d.peer, .tag = 3 }, *match = i == 0 ? NULL : &from;
		int64_t before = clock_ms();
		memset(&status, 0xff, sizeof(status));
		must_be(haul_recv(d.haul, match, buf, sizeof(buf), SOON_MS, &status), -ETIMEDOUT);
		must_be(status.error, -ETIMEDOUT);
		must_be(status.got, 0);
		memset(&status, 0xff, sizeof(status));
		must_be(haul_probe(d.haul, match, SOON_MS, &status), -ETIMEDOUT);
		must_be(status.error, -ETIMEDOUT);
		must(clock_ms() - before >= 2 * SOON_MS - 2);
		must(clock_ms() - before < FAR_MS);
	}
	end_quiet(&d);
}

enum { BIG = 64 << 20 };

static int send_big(struct haul *h, struct haul_peer *p, void *arg)
{
	uint8_t *buf = malloc(BIG);
	(void)arg;
	must(buf != NULL);
	for (uint64_t i = 0; i < 6; i++) {
		pattern_fill(buf, BIG, i, 0);
		must_be(haul_recv(h, NULL, NULL, 0, LATE_MS, NULL), 0);
		must_be(haul_send(p, i, buf, BIG, LATE_MS), 0);
	}
	must_be(haul_recv(h, NULL, NULL, 0, LATE_MS, NULL), 0);
	free(buf);
	return 0;
}

Test(timeout, a_receive_that_ends_in_mid_transfer_gives_the_message_back)
{
	struct duo d;
	uint8_t *buf = malloc(BIG);
	must(buf != NULL);
	srandom(3);
	duo_start(&d, &(struct duo_plan){ .run = send_big, .ours = &stream_only, .timeout_ms = CHILD_MS });
	for (uint64_t i = 0; i < 6; i++) {
		struct haul_status status;
		ssize_t n;
		int tries = 0;
		must_be(haul_send(d.peer, 0, NULL, 0, LATE_MS), 0);
		must_be(haul_probe(d.haul, NULL, LATE_MS, &status), 0);
		must_be(status.len, BIG);
		duo_stop_later(&d.child, 1000 + random() % 12000);
		while ((n = haul_recv(d.haul, NULL, buf, BIG, SOON_MS, &status)) == -ETIMEDOUT) {
			must_be(status.error, -ETIMEDOUT);
			must_be(status.got, 0);
			memset(buf, CANARY, BIG);
			must_be(haul_probe(d.haul, NULL, 0, &status), 0); /* back in its place */
			must_be(status.tag, i);
			must_be(status.len, BIG);
			duo_continue(&d.child);
			must_be_untouched(buf, BIG);
			/* And the next one has time; or there is too little of it on a busy machine. */
			if (i % 2 == 0 || ++tries == 20) {
				n = haul_recv(d.haul, NULL, buf, BIG, LATE_MS, &status);
				break;
			}
		}
		duo_stop_later(&d.child, 1000000); /* it is needed no more */
		duo_continue(&d.child);
		must_be(n, BIG);
		must_be(status.tag, i);
		must_hold(buf, BIG, i, 0);
	}
	must_be(haul_send(d.peer, 0, NULL, 0, LATE_MS), 0);
	duo_continue(&d.child);
	child_expect(&d.child, 0);
	duo_close(&d);
	free(buf);
}

/* The sender fills the socket meanwhile, and must notice when there is room again. */
Test(timeout, a_receive_that_pauses_in_mid_transfer_goes_on)
{
	struct duo d;
	uint8_t *buf = calloc(1, BIG);
	must(buf != NULL);
	duo_start(&d, &(struct duo_plan){ .run = send_big, .ours = &stream_only, .timeout_ms = CHILD_MS });
	for (uint64_t i = 0; i < 6; i++) {
		struct haul_req *r;
		struct haul_status status;
		struct iovec iov = { .iov_base = buf, .iov_len = BIG };
		must_be(haul_send(d.peer, 0, NULL, 0, LATE_MS), 0);
		memset(buf, CANARY, BIG);
		must_be(haul_irecv(d.haul, NULL, &iov, 1, &r), 0);
		while (pattern_check(buf, 64, i, 0) < 64)
			must(haul_progress(d.haul) >= 0);
		usleep(SOON_MS * 1000); /* the pause is the point; it need not be long enough every time */
		must_be(haul_req_wait(r, FAR_MS), 0);
		must_be(haul_req_finish(r, &status), 0);
		must_hold(buf, BIG, i, 0);
	}
	must_be(haul_send(d.peer, 0, NULL, 0, LATE_MS), 0);
	child_expect(&d.child, 0);
	duo_close(&d);
	free(buf);
}

/* ---- the same, with each frame in its place: a sender made by hand ---- */

static void put_desc(struct raw *r, uint32_t slot, uint64_t tag, const void *buf, size_t len)
{
	uint8_t body[WIRE_DESC_SIZE + WIRE_RANGE_SIZE] = { 0 };
	static uint64_t cell = 0xc0;
	raw_put(body, tag, 8);
	raw_put(body + 8, WIRE_ID(slot, 1), 8);
	raw_put(body + 20, 1, 4);
	raw_put(body + 24, len, 8);
	raw_put(body + 32, (uintptr_t)&cell, 8);
	raw_put(body + 40, cell, 8);
	raw_put(body + WIRE_DESC_SIZE, (uintptr_t)buf, 8);
	raw_put(body + WIRE_DESC_SIZE + 8, len, 8);
	must(raw_send_frame(r, WIRE_DESC, 0, body, sizeof(body)));
}

static void put_data(struct raw *r, uint32_t slot, uint32_t epoch, size_t offset, size_t len, uint64_t seed)
{
	static uint8_t body[WIRE_DATA_SIZE + WIRE_DATA_LONGEST];
	memset(body, 0, WIRE_DATA_SIZE);
	raw_put(body, WIRE_ID(slot, 1), 8);
	raw_put(body + 8, offset, 8);
	raw_put(body + 16, epoch, 4);
	pattern_fill(body + WIRE_DATA_SIZE, len, seed, offset);
	must(raw_send_frame(r, WIRE_DATA, 0, body, WIRE_DATA_SIZE + len));
}

/* The next SEND: its epoch, and the length it asks for from 0 on. */
static uint32_t next_send(struct raw *r, uint64_t *len)
{
	static struct raw_frame f;
	do
		raw_next(r, &f);
	while (f.type == WIRE_CREDIT);
	must_be(f.type, WIRE_SEND);
	must_be(raw_get(f.body + 8, 8), 0);
	*len = raw_get(f.body + 16, 8);
	return (uint32_t)raw_get(f.body + 24, 4);
}

struct by_hand {
	struct haul *haul;
	struct haul_peer *peer;
	struct raw raw;
};

static void begin_by_hand(struct by_hand *b, const struct haul_options *o)
{
	struct haul_req *adopt;
	struct haul_status status;
	int pair[2];
	must_be(haul_open(&b->haul, o, sizeof(*o)), 0);
	must_be(haul_pair(pair), 0);
	b->raw = (struct raw){ .fd = pair[1], .drive = b->haul };
	must_be(haul_iadopt(b->haul, pair[0], &adopt), 0);
	must(raw_greet(&b->raw));
	must_be(haul_req_wait(adopt, LATE_MS), 0);
	must_be(haul_req_finish(adopt, &status), 0);
	b->peer = status.peer;
}

static void end_by_hand(struct by_hand *b)
{
	must_be(haul_close(b->haul, 0), 0);
	close(b->raw.fd);
}

Test(timeout, late_parts_of_an_ended_receive_go_nowhere)
{
	enum { LEN = 100000, HALF = 50000 };
	static uint8_t buf[LEN], other[LEN];
	struct by_hand b;
	struct haul_status status;
	struct haul_req *r;
	uint64_t len;
	begin_by_hand(&b, &stream_only);
	put_desc(&b.raw, 0, 5, buf, LEN);
	must_be(haul_recv(b.haul, NULL, buf, LEN, SOON_MS, &status), -ETIMEDOUT);
	uint32_t first = next_send(&b.raw, &len);
	must_be(len, LEN);
	uint32_t stop = next_send(&b.raw, &len);
	must_be(len, 0);
	must(stop > first);
	put_data(&b.raw, 0, first, 0, HALF, 66); /* written before the stop was read, say */
	memset(buf, CANARY, LEN);
	must_be(haul_recv(b.haul, NULL, buf, LEN, SOON_MS, &status), -ETIMEDOUT);
	must_be_untouched(buf, LEN);
	struct iovec iov = { .iov_base = other, .iov_len = LEN };
	must_be(haul_irecv(b.haul, NULL, &iov, 1, &r), 0);
	uint32_t epoch;
	do
		epoch = next_send(&b.raw, &len);
	while (len == 0);
	uint64_t next_len;
	epoch = next_send(&b.raw, &next_len); /* a stop, after the second ask: then the third */
	if (next_len == 0)
		epoch = next_send(&b.raw, &next_len);
	must_be(next_len, LEN);
	put_data(&b.raw, 0, first, HALF, HALF, 66);
	put_data(&b.raw, 0, epoch, 0, HALF, 5);
	put_data(&b.raw, 0, first, 0, 0, 66);
	put_data(&b.raw, 0, epoch, HALF, HALF, 5);
	put_data(&b.raw, 0, epoch, LEN, 0, 5);
	must_be(haul_req_wait(r, LATE_MS), 0);
	must_be(haul_req_finish(r, &status), 0);
	must_be(status.got, LEN);
	must_hold(other, LEN, 5, 0);
	must_be_untouched(buf, LEN);
	end_by_hand(&b);
}

/* A quarter of a frame has come when the receive ends, and the rest later: not into memory given back. */
Test(timeout, the_rest_of_a_part_begun_goes_nowhere)
{
	enum { LEN = 65536 };
	static uint8_t buf[LEN], bytes[WIRE_HEADER_SIZE + WIRE_DATA_SIZE + LEN], body[WIRE_DATA_SIZE + LEN];
	struct by_hand b;
	struct haul_status status;
	struct haul_req *r;
	struct iovec iov = { .iov_base = buf, .iov_len = LEN };
	uint64_t len;
	begin_by_hand(&b, &stream_only);
	must_be(haul_irecv(b.haul, NULL, &iov, 1, &r), 0);
	put_desc(&b.raw, 0, 5, buf, LEN);
	uint32_t epoch = next_send(&b.raw, &len);
	raw_put(body, WIRE_ID(0, 1), 8);
	raw_put(body + 16, epoch, 4);
	memset(body + WIRE_DATA_SIZE, 0x77, LEN);
	size_t whole = raw_frame_bytes(bytes, WIRE_DATA, 0, body, sizeof(body));
	must(raw_send(&b.raw, bytes, whole / 4));
	while (haul_progress(b.haul) > 0)
		continue;
	must_be(buf[100], 0x77);
	must_be(haul_peer_close(b.peer, 0), -ETIMEDOUT);
	memset(buf, CANARY, LEN);
	raw_send(&b.raw, bytes + whole / 4, whole - whole / 4);
	haul_progress(b.haul);
	must_be_untouched(buf, LEN);
	must_be(haul_req_finish(r, &status), -ECANCELED);
	must(status.peer == NULL);
	end_by_hand(&b);
}

/* With timeout 0 too, what was found may be waited for, but not for ever. */
Test(timeout, a_receive_without_waiting_bounds_its_stalls)
{
	enum { LEN = 100000 };
	static uint8_t buf[LEN];
	struct haul_options o = { .path = HAUL_PATH_STREAM, .stall_ms = SOON_MS };
	struct by_hand b;
	struct haul_status status;
	uint64_t len;
	begin_by_hand(&b, &o);
	must_be(haul_recv(b.haul, NULL, buf, LEN, 0, &status), -EAGAIN);
	must_be(status.error, -EAGAIN);
	put_desc(&b.raw, 0, 5, buf, LEN);
	int64_t before = clock_ms();
	must_be(haul_recv(b.haul, NULL, buf, LEN, 0, &status), -ETIMEDOUT);
	must(clock_ms() - before >= SOON_MS - 1);
	must(clock_ms() - before < FAR_MS);
	next_send(&b.raw, &len);
	must_be(len, LEN);
	must_be(haul_probe(b.haul, NULL, 0, &status), 0);
	end_by_hand(&b);
}

/* ---- every call ---- */

/* -EAGAIN of a send means that nobody gets it, even if somebody waits for it, and does not answer soon. */
Test(timeout, a_synchronous_send_without_waiting_sends_nothing)
{
	struct iovec out = { .iov_base = "no", .iov_len = 2 };
	char buf[2];
	struct iovec in = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct twins t;
	struct haul_req *r;
	twins_start(&t, NULL);
	must_be(haul_irecv(t.b, NULL, &in, 1, &r), 0);
	must_be(haul_sendv(t.to_b, 1, &out, 1, HAUL_SYNC, 0), -EAGAIN);
	twins_settle(&t);
	must_be(haul_req_test(r), -EINPROGRESS);
	haul_req_free(r);
	twins_end(&t);
}

Test(timeout, nothing_waits_that_is_told_not_to)
{
	static char big[1 << 20];
	struct duo d;
	struct haul_peer *p = NULL;
	struct haul_status status;
	struct haul_req *r;
	int pair[2];
	start_quiet(&d);
	must_be(haul_recv(d.haul, NULL, big, 8, 0, NULL), -EAGAIN);
	must_be(haul_probe(d.haul, NULL, 0, &status), -EAGAIN);
	must_be(status.error, -EAGAIN);
	must_be(haul_send(d.peer, 1, "short", 5, 0), 0);
	must_be(haul_send(d.peer, 1, big, sizeof(big), 0), -EAGAIN);
	duo_stop(&d.child);
	must_be(haul_peer_flush(d.peer, 0), -EAGAIN);
	struct iovec iov = { .iov_base = big, .iov_len = sizeof(big) };
	must_be(haul_isend(d.peer, 1, &iov, 1, 0, &r), 0);
	must_be(haul_req_wait(r, 0), -EAGAIN);
	must_be(haul_req_wait(r, SOON_MS), -ETIMEDOUT);
	must_be(haul_req_test(r), -EINPROGRESS);
	must_be(haul_req_finish(r, &status), -EINPROGRESS);
	must_be(haul_peer_flush(d.peer, SOON_MS), -ETIMEDOUT);
	must_be(haul_pair(pair), 0);
	must_be(haul_adopt(d.haul, pair[0], 0, &p), -EAGAIN);
	must_be(haul_adopt(d.haul, pair[0], SOON_MS, &p), -ETIMEDOUT);
	must(p == NULL && fcntl(pair[0], F_GETFD) >= 0);
	close(pair[0]);
	close(pair[1]);
	int64_t before = clock_ms();
	must_be(haul_peer_close(d.peer, 0), -ETIMEDOUT);
	must_be(haul_req_finish(r, &status), -ECANCELED);
	must_be(status.flags, HAUL_STATUS_UNKNOWN);
	must(status.peer == NULL);
	must_be(haul_close(d.haul, 0), 0);
	must(clock_ms() - before < FAR_MS);
	child_signal(&d.child, SIGKILL);
	child_expect_killed(&d.child, SIGKILL);
}

Test(timeout, linger_is_kept)
{
	struct duo d;
	struct haul_req *r;
	static char big[1 << 20];
	struct iovec iov = { .iov_base = big, .iov_len = sizeof(big) };
	start_quiet(&d);
	duo_stop(&d.child);
	must_be(haul_isend(d.peer, 1, &iov, 1, HAUL_SYNC, &r), 0);
	int64_t before = clock_ms();
	must_be(haul_close(d.haul, SOON_MS), -ETIMEDOUT);
	must(clock_ms() - before >= SOON_MS - 1);
	must(clock_ms() - before < FAR_MS);
	child_signal(&d.child, SIGKILL);
	child_expect_killed(&d.child, SIGKILL);
}

/* ---- interrupts ---- */

static struct haul *interrupted;

static void interrupt_it(int signal)
{
	(void)signal;
	haul_interrupt(interrupted);
}

static void *interrupt_soon(void *arg)
{
	usleep(SOON_MS * 1000); /* by then the other thread waits, most likely: either way it must work */
	haul_interrupt(arg);
	return NULL;
}

/* Before the call, in it by a signal, in it by a thread. */
static void arrange_interrupt(struct haul *h, int way)
{
	if (way == 0) {
		haul_interrupt(h);
	} else if (way == 1) {
		interrupted = h;
		signal(SIGALRM, interrupt_it);
		ualarm(SOON_MS * 1000, 0);
	} else {
		pthread_t t;
		must_be(pthread_create(&t, NULL, interrupt_soon, h), 0);
		must_be(pthread_detach(t), 0);
	}
}

Test(timeout, every_wait_can_be_interrupted)
{
	static char big[1 << 20];
	struct duo d;
	struct haul_peer *p = NULL;
	struct haul_status status;
	struct haul_req *r;
	struct haul_listener *l;
	char address[64];
	int pair[2];
	start_quiet(&d);
	snprintf(address, sizeof(address), "@haul-test-timeout-%d", (int)getpid());
	must_be(haul_listen(d.haul, address, &l), 0);
	must_be(haul_pair(pair), 0);
	must_be(haul_irecv(d.haul, &(struct haul_match){ .tag = 77 }, NULL, 0, &r), 0);
	for (int way = 0; way < 3; way++) {
		arrange_interrupt(d.haul, way);
		memset(&status, 0, sizeof(status));
		must_be(haul_recv(d.haul, NULL, big, 8, LATE_MS, &status), -EINTR);
		must_be(status.error, -EINTR);
		must_be(haul_recv(d.haul, NULL, big, 8, 1, NULL), -ETIMEDOUT); /* once */
		arrange_interrupt(d.haul, way);
		must_be(haul_recv(d.haul, &(struct haul_match){ .from = d.peer }, big, 8, -1, NULL), -EINTR);
		arrange_interrupt(d.haul, way);
		must_be(haul_probe(d.haul, NULL, -1, &status), -EINTR);
		must_be(status.error, -EINTR);
		arrange_interrupt(d.haul, way);
		must_be(haul_send(d.peer, 1, big, sizeof(big), -1), -EINTR);
		memset(big, 0, sizeof(big));
		must_be(haul_send(d.peer, 1, "x", 1, LATE_MS), 0); /* which it doesn't receive */
		arrange_interrupt(d.haul, way);
		must_be(haul_peer_flush(d.peer, -1), -EINTR);
		arrange_interrupt(d.haul, way);
		must_be(haul_req_wait(r, -1), -EINTR);
		arrange_interrupt(d.haul, way);
		must_be(haul_accept(l, -1, &p), -EINTR);
		arrange_interrupt(d.haul, way);
		must_be(haul_adopt(d.haul, pair[0], -1, &p), -EINTR);
		must(p == NULL);
	}
	must_be(haul_send(d.peer, TAG_END, NULL, 0, LATE_MS), 0);
	child_expect(&d.child, 0);
	duo_close(&d);
	close(pair[0]);
	close(pair[1]);
}

/* What ends by its timeout still waits a little for its peer to give the buffer back. An interrupt that comes then ends
 * the next call instead: none is lost, wherever it falls. */
Test(timeout, an_interrupt_that_crosses_a_timeout_is_not_lost)
{
	enum { CROSSINGS = 40, APART_US = 500 };
	static char big[1 << 20];
	struct haul_op op = { .kind = HAUL_OP_SEND,
		.tag = 1,
		.iov = &(struct iovec){ big, sizeof(big) },
		.count = 1 };
	struct duo d;
	start_quiet(&d);
	duo_stop(&d.child);
	op.peer = d.peer;
	interrupted = d.haul;
	signal(SIGALRM, interrupt_it);
	for (int i = 0; i < CROSSINGS; i++) {
		ualarm((useconds_t)(SOON_MS * 1000 + (i / 2 - 5) * APART_US), 0);
		int rc = i % 2 == 0 ? haul_send(d.peer, 1, big, sizeof(big), SOON_MS)
		                    : haul_submit(d.haul, &op, 1, SOON_MS, NULL);
		if (rc != -EINTR) {
			must_be(rc, i % 2 == 0 ? -ETIMEDOUT : -EIO);
			must_be(haul_recv(d.haul, NULL, NULL, 0, LATE_MS, NULL), -EINTR);
		}
	}
	must_be(haul_recv(d.haul, NULL, NULL, 0, SOON_MS, NULL), -ETIMEDOUT);
	child_signal(&d.child, SIGKILL);
	child_expect_killed(&d.child, SIGKILL);
	duo_close(&d);
}
