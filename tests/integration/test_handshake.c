/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a connection becomes a peer, and all that can come instead of one: another protocol, silence, another
 * version, another user, no credentials, frames out of turn. The other side is the library where it behaves,
 * and a peer made by hand where it does not.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/duo.h"
#include "lib/fds.h"
#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/rawpeer.h"

TestSuite(handshake, .timeout = 60);

enum { SOON_MS = 30, LATE_MS = 20000, CHILD_MS = 30000, STRANGER = 65533 };

/* ---- a context and a peer made by hand, in one thread ---- */

struct scene {
	struct haul *haul;
	struct haul_req *adopt;
	struct raw raw;
	int fd, fds; /* the context's end; descriptors before it all */
};

static void scene_open(struct scene *s, const struct haul_options *options)
{
	int pair[2];
	s->fds = fds_count();
	must_be(haul_open(&s->haul, options, options != NULL ? sizeof(*options) : 0), 0);
	must_be(haul_pair(pair), 0);
	s->fd = pair[0];
	s->raw = (struct raw){ .fd = pair[1], .drive = s->haul };
}

static void scene_start(struct scene *s, const struct haul_options *options)
{
	scene_open(s, options);
	must_be(haul_iadopt(s->haul, s->fd, &s->adopt), 0);
}

/* What became of the handshake. */
static int scene_result(struct scene *s, struct haul_peer **p)
{
	struct haul_status status;
	must_be(haul_req_wait(s->adopt, LATE_MS), 0);
	int rc = haul_req_finish(s->adopt, &status);
	must_be(status.error, rc);
	must((status.peer != NULL) == (rc == 0));
	if (p != NULL)
		*p = status.peer;
	return rc;
}

static void scene_close(struct scene *s)
{
	must_be(haul_close(s->haul, 0), 0);
	close(s->raw.fd);
	fds_expect(s->fds);
}

/* A connected peer made by hand. */
static struct haul_peer *scene_peer(struct scene *s)
{
	struct haul_peer *p;
	must(raw_greet(&s->raw));
	must_be(scene_result(s, &p), 0);
	return p;
}

Test(handshake, a_peer_made_by_hand_is_accepted)
{
	struct scene s;
	struct haul_peer_info info;
	char got[8];
	scene_start(&s, NULL);
	struct haul_peer *p = scene_peer(&s);
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.pid, getpid());
	must_be(info.uid, geteuid());
	must_be(info.alive, 1);
	must(raw_send_eager(&s.raw, 7, "hello", 5));
	must_be(haul_recv(s.haul, NULL, got, sizeof(got), LATE_MS, NULL), 5);
	must(memcmp(got, "hello", 5) == 0);
	scene_close(&s);
}

/* ---- what is not a handshake ---- */

Test(handshake, another_protocol_is_refused)
{
	static const char *const words[] = { "GET / HTTP/1.1\r\nHost: here\r\n\r\n", "X", "HAUL\n\n\x1a\x80",
		"HAULER IS NOT IT" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct scene s;
		scene_start(&s, NULL);
		must(raw_send(&s.raw, words[i], strlen(words[i])));
		must_be(scene_result(&s, NULL), -EPROTO);
		must(*haul_reason() != '\0');
		must(raw_hung_up(&s.raw));
		scene_close(&s);
	}
}

/* Its words are for who asked for the peer, also when it was found out in another thread and an earlier call. */
Test(handshake, why_it_failed_is_told_whoever_found_it_out)
{
	struct haul_options served = { .progress_thread = 1 };
	const struct haul_options *each[] = { NULL, &served };
	for (int i = 0; i < 2; i++) {
		struct scene s;
		scene_start(&s, each[i]);
		if (each[i] != NULL)
			s.raw.drive = NULL;
		must(raw_send(&s.raw, "HAULER IS NOT IT", 16));
		must(raw_hung_up(&s.raw));
		must_be(scene_result(&s, NULL), -EPROTO);
		must_note(haul_reason());
		must(strstr(haul_reason(), "does not speak the haul protocol") != NULL);
		scene_close(&s);
	}
}

Test(handshake, a_malformed_hello_is_refused)
{
	for (int i = 0; i < 6; i++) {
		struct scene s;
		uint8_t hello[WIRE_HELLO_LONGEST + 1] = { 0 };
		size_t len = WIRE_HELLO_SIZE;
		raw_hello_bytes(hello, 1, 1);
		if (i == 0)
			raw_put(hello + 8, 2, 2); /* from version 2 to 1 */
		else if (i == 1)
			raw_put(hello + 12, WIRE_HELLO_SIZE - 1, 4);
		else if (i == 2)
			raw_put(hello + 12, len = WIRE_HELLO_LONGEST + 1, 4);
		else if (i == 3)
			raw_put(hello + 40, WIRE_EAGER_LONGEST + 1, 4);
		else if (i == 4)
			raw_put(hello + 44, WIRE_CREDIT_MOST + 1, 4);
		else
			raw_put(hello + 48, WIRE_WINDOW_MOST + 1, 4);
		scene_start(&s, NULL);
		must(raw_send_creds(&s.raw, hello, len));
		must_be(scene_result(&s, NULL), -EPROTO);
		scene_close(&s);
	}
}

/* A later version may say more, and be glad of version 1. */
Test(handshake, a_longer_hello_of_a_wider_range_is_understood)
{
	struct scene s;
	uint8_t hello[WIRE_HELLO_LONGEST], theirs[WIRE_HELLO_SIZE];
	memset(hello, 0xee, sizeof(hello));
	raw_hello_bytes(hello, 1, 9);
	raw_put(hello + 12, sizeof(hello), 4);
	scene_start(&s, NULL);
	must(raw_send_creds(&s.raw, hello, sizeof(hello)));
	must(raw_read(&s.raw, theirs, sizeof(theirs)));
	s.raw.answer = raw_get(theirs + 24, 8);
	must(raw_granted(&s.raw) && raw_verdict(&s.raw) && raw_ready(&s.raw));
	must_be(scene_result(&s, NULL), 0);
	scene_close(&s);
}

Test(handshake, versions_without_overlap_are_told_to_both)
{
	static const unsigned ranges[][2] = { { 2, 3 }, { 0, 0 }, { 65535, 65535 } };
	for (size_t i = 0; i < 3; i++) {
		struct scene s;
		uint8_t hello[WIRE_HELLO_SIZE], theirs[WIRE_HELLO_SIZE];
		raw_hello_bytes(hello, ranges[i][0], ranges[i][1]);
		scene_start(&s, NULL);
		must(raw_send_creds(&s.raw, hello, sizeof(hello)));
		must_be(scene_result(&s, NULL), -EPROTONOSUPPORT);
		/* The other finds out by itself, from our HELLO, which it gets in any case. */
		must(raw_read(&s.raw, theirs, sizeof(theirs)));
		must_be(raw_get(theirs + 8, 2), WIRE_VERSION_MIN);
		must_be(raw_get(theirs + 10, 2), WIRE_VERSION_MAX);
		must(raw_hung_up(&s.raw));
		scene_close(&s);
	}
}

Test(handshake, half_a_hello_and_silence_times_out)
{
	for (size_t len = 0; len < WIRE_HELLO_SIZE; len += 31) {
		struct scene s;
		struct haul_peer *p = NULL;
		uint8_t hello[WIRE_HELLO_SIZE];
		scene_open(&s, NULL);
		raw_hello_bytes(hello, 1, 1);
		must(len == 0 || raw_send_creds(&s.raw, hello, len));
		must_be(haul_adopt(s.haul, s.fd, SOON_MS, &p), -ETIMEDOUT);
		must(p == NULL);
		must(*haul_reason() != '\0');
		must(fcntl(s.fd, F_GETFD) >= 0); /* still ours */
		close(s.fd);
		scene_close(&s);
	}
}

Test(handshake, silence_after_each_step_times_out)
{
	for (int steps = 1; steps <= 3; steps++) {
		struct scene s;
		struct haul_options o = { .handshake_ms = SOON_MS };
		scene_start(&s, &o);
		must(raw_hello(&s.raw));
		must(steps < 2 || raw_granted(&s.raw));
		must(steps < 3 || raw_verdict(&s.raw));
		must_be(scene_result(&s, NULL), -ETIMEDOUT);
		must(raw_hung_up(&s.raw));
		scene_close(&s);
	}
}

Test(handshake, hanging_up_at_any_step_is_told)
{
	for (int steps = 0; steps <= 3; steps++) {
		struct scene s;
		scene_start(&s, NULL);
		must(steps < 1 || raw_hello(&s.raw));
		must(steps < 2 || raw_granted(&s.raw));
		must(steps < 3 || raw_verdict(&s.raw));
		close(s.raw.fd);
		must_be(scene_result(&s, NULL), -ECONNRESET);
		s.raw.fd = -1;
		scene_close(&s);
	}
}

/* Sends it a byte at a time, each seen by the library before the next. */
static bool drip(struct raw *r, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!raw_send_creds(r, bytes + i, 1))
			return false;
		haul_progress(r->drive);
	}
	return true;
}

Test(handshake, a_slow_drip_of_bytes_is_put_together)
{
	struct scene s;
	struct haul_peer *p;
	static struct raw_frame f;
	uint8_t bytes[256], theirs[WIRE_HELLO_SIZE], body[WIRE_GRANTED_SIZE];
	char got[8];
	scene_start(&s, NULL);
	raw_hello_bytes(bytes, 1, 1);
	must(drip(&s.raw, bytes, WIRE_HELLO_SIZE));
	must(raw_read(&s.raw, theirs, sizeof(theirs)));
	s.raw.answer = raw_get(theirs + 24, 8);
	raw_put(body, (uintptr_t)&s.raw.answer, 8);
	must(drip(&s.raw, bytes, raw_frame_bytes(bytes, WIRE_GRANTED, 0, body, 8)));
	must((raw_next(&s.raw, &f), f.type == WIRE_GRANTED));
	raw_put(body, 0, 8);
	must(drip(&s.raw, bytes, raw_frame_bytes(bytes, WIRE_VERDICT, 0, body, 8)));
	must((raw_next(&s.raw, &f), f.type == WIRE_VERDICT));
	must(drip(&s.raw, bytes, raw_frame_bytes(bytes, WIRE_READY, 0, NULL, 0)));
	must_be(scene_result(&s, &p), 0);
	uint8_t eager[WIRE_EAGER_SIZE + 3] = { [0] = 9, [WIRE_EAGER_SIZE] = 'a', 'b', 'c' };
	must(drip(&s.raw, bytes, raw_frame_bytes(bytes, WIRE_EAGER, 0, eager, sizeof(eager))));
	must_be(haul_recv(s.haul, &(struct haul_match){ .from = p, .tag = 9 }, got, 8, LATE_MS, NULL), 3);
	must(memcmp(got, "abc", 3) == 0);
	scene_close(&s);
}

Test(handshake, frames_out_of_turn_are_refused)
{
	static const int types[] = { WIRE_GRANTED, WIRE_VERDICT, WIRE_READY, WIRE_EAGER, WIRE_DESC, WIRE_DONE,
		WIRE_CREDIT, WIRE_BYE };
	static const size_t sizes[] = { WIRE_GRANTED_SIZE, WIRE_VERDICT_SIZE, 0, WIRE_EAGER_SIZE,
		WIRE_DESC_SIZE, 0, 0, 0 };
	static const uint8_t body[WIRE_DESC_SIZE];
	for (int steps = 1; steps <= 3; steps++) {
		for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
			struct scene s;
			if ((size_t)steps == i + 1)
				continue; /* its turn */
			scene_start(&s, NULL);
			must(raw_hello(&s.raw));
			must(steps < 2 || raw_granted(&s.raw));
			must(steps < 3 || raw_verdict(&s.raw));
			must(raw_send_frame(&s.raw, types[i], 0, body, sizes[i]));
			must_be(scene_result(&s, NULL), -EPROTO);
			scene_close(&s);
		}
	}
}

Test(handshake, a_reject_is_told)
{
	static const struct {
		int said, told;
	} errors[] = { { EACCES, -EACCES }, { EPIPE, -EPIPE }, { EIO, -EPROTO }, { 0, -EPROTO } };
	for (int i = 0; i < 12; i++) {
		struct scene s;
		uint8_t body[WIRE_REJECT_SIZE] = { 0 };
		int steps = 1 + i % 3;
		raw_put(body, (uint64_t)errors[i / 3].said, 4);
		scene_start(&s, NULL);
		must(raw_hello(&s.raw));
		must(steps < 2 || raw_granted(&s.raw));
		must(steps < 3 || raw_verdict(&s.raw));
		must(raw_send_frame(&s.raw, WIRE_REJECT, 0, body, sizeof(body)));
		must_be(scene_result(&s, NULL), errors[i / 3].told);
		scene_close(&s);
	}
}

/* The answer is somebody else's, or nowhere: nothing can be pulled from this peer, but it is a peer. */
Test(handshake, a_wrong_answer_means_stream)
{
	static const uint64_t nowhere[] = { 0, 8, UINT64_MAX - 7, UINT64_C(1) << 47 };
	for (size_t i = 0; i < 5; i++) {
		struct scene s;
		struct haul_peer *p;
		struct haul_peer_info info;
		static struct raw_frame f;
		uint8_t body[WIRE_GRANTED_SIZE];
		scene_start(&s, NULL);
		must(raw_hello(&s.raw));
		s.raw.answer ^= 1;
		raw_put(body, i < 4 ? nowhere[i] : (uintptr_t)&s.raw.answer, 8);
		must(raw_send_frame(&s.raw, WIRE_GRANTED, 0, body, sizeof(body)));
		must((raw_next(&s.raw, &f), f.type == WIRE_GRANTED));
		must(raw_verdict(&s.raw) && raw_ready(&s.raw));
		must_be(scene_result(&s, &p), 0);
		must_be(haul_peer_info(p, &info, sizeof(info)), 0);
		must_be(info.in_path, HAUL_PATH_STREAM);
		must(info.in_error > 0 && info.in_words[0] != '\0');
		must_be(info.out_path, HAUL_PATH_PULL);
		scene_close(&s);
	}
}

Test(handshake, words_of_a_verdict_are_made_harmless)
{
	struct scene s;
	struct haul_peer *p;
	struct haul_peer_info info;
	static struct raw_frame f;
	uint8_t body[WIRE_VERDICT_SIZE + 10] = { 0 };
	raw_put(body, EPERM, 4);
	memcpy(body + WIRE_VERDICT_SIZE, "no\x1b[31m\n\0!", 10);
	scene_start(&s, NULL);
	must(raw_hello(&s.raw) && raw_granted(&s.raw));
	must(raw_send_frame(&s.raw, WIRE_VERDICT, 0, body, sizeof(body)));
	must((raw_next(&s.raw, &f), f.type == WIRE_VERDICT));
	must(raw_ready(&s.raw));
	must_be(scene_result(&s, &p), 0);
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.out_path, HAUL_PATH_STREAM);
	must_be(info.out_error, EPERM);
	must(memcmp(info.out_words,
	         "no?[31m?"
	         "?!",
	         11) == 0);
	scene_close(&s);
}

/* ---- after it ---- */

static void garbage(struct raw *r, int which)
{
	uint8_t body[WIRE_DESC_SIZE + WIRE_RANGE_SIZE] = { 0 }, bytes[WIRE_HEADER_SIZE];
	switch (which) {
	case 0: /* no frame type */
		raw_send(r, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16);
		break;
	case 1: /* longer than any frame of its type */
		raw_frame_bytes(bytes, WIRE_BYE, 0, NULL, 0);
		raw_put(bytes + 4, 1, 4);
		raw_send(r, bytes, sizeof(bytes));
		break;
	case 2:
		raw_frame_bytes(bytes, WIRE_EAGER, 0, NULL, 0);
		raw_put(bytes + 4, UINT32_MAX, 4);
		raw_send(r, bytes, sizeof(bytes));
		break;
	case 3: /* handshake again */
		raw_send_frame(r, WIRE_READY, 0, NULL, 0);
		break;
	case 4: /* answers to nothing */
		raw_send_frame(r, WIRE_DONE, 0, body, WIRE_ID_SIZE);
		break;
	case 5:
		raw_put(body, WIRE_ID(3, 1), 8);
		raw_send_frame(r, WIRE_CANCEL, 0, body, WIRE_CANCEL_SIZE);
		break;
	case 6:
		raw_put(body, WIRE_ID(3, 1), 8);
		raw_send_frame(r, WIRE_SEND, 0, body, WIRE_SEND_SIZE);
		break;
	case 7:
		raw_put(body, WIRE_ID(3, 1), 8);
		raw_send_frame(r, WIRE_DATA, 0, body, WIRE_DATA_SIZE);
		break;
	case 8: /* a message of 100 bytes in a range of 50 */
		raw_put(body + 8, WIRE_ID(0, 1), 8);
		raw_put(body + 20, 1, 4);
		raw_put(body + 24, 100, 8);
		raw_put(body + WIRE_DESC_SIZE + 8, 50, 8);
		raw_send_frame(r, WIRE_DESC, 0, body, sizeof(body));
		break;
	case 9: /* less credit than before */
		raw_frame_bytes(bytes, WIRE_CREDIT, 0, NULL, 0);
		raw_put(bytes + 8, RAW_CREDIT_BYTES - 1, 4);
		raw_send(r, bytes, sizeof(bytes));
		break;
	case 10: /* reserved bits */
		raw_frame_bytes(bytes, WIRE_CREDIT, 0, NULL, 0);
		bytes[2] = 1;
		raw_send(r, bytes, sizeof(bytes));
		break;
	default: /* bye, bye */
		raw_send_frame(r, WIRE_BYE, 0, NULL, 0);
		raw_send_frame(r, WIRE_BYE, 0, NULL, 0);
	}
}

Test(handshake, garbage_after_it_drops_that_peer_alone)
{
	for (int i = 0; i <= 11; i++) {
		struct scene s;
		struct haul_peer_info info;
		char got[8];
		int pair[2];
		scene_start(&s, NULL);
		struct haul_peer *bad = scene_peer(&s), *good;
		must_be(haul_pair(pair), 0);
		struct raw other = { .fd = pair[1], .drive = s.haul };
		must_be(haul_iadopt(s.haul, pair[0], &s.adopt), 0);
		must(raw_greet(&other));
		must_be(scene_result(&s, &good), 0);

		must(raw_send_eager(&s.raw, 1, "before", 6));
		garbage(&s.raw, i);
		while (haul_progress(s.haul) > 0)
			continue;
		must(raw_send_eager(&other, 2, "fine", 4));
		must_be(haul_recv(s.haul, &(struct haul_match){ .from = good, .tag = 2 }, got, 8, LATE_MS,
		            NULL),
		    4);
		must_be(haul_peer_info(bad, &info, sizeof(info)), 0);
		must_be(info.alive, 0);
		/* What came in order before it is still there. */
		must_be(haul_recv(s.haul, &(struct haul_match){ .from = bad, .tag = 1 }, got, 8, LATE_MS,
		            NULL),
		    6);
		ssize_t rc =
		    haul_recv(s.haul, &(struct haul_match){ .from = bad, .tag = 1 }, got, 8, LATE_MS, NULL);
		must(rc == -EPROTO || (i == 11 && rc == -EPIPE));
		rc = haul_send(bad, 1, "x", 1, LATE_MS);
		must(rc == -EPROTO || (i == 11 && rc == -EPIPE));
		must_be(haul_send(good, 1, "x", 1, LATE_MS), 0);
		must_be(haul_peer_close(bad, 0), 0);
		close(other.fd);
		scene_close(&s);
	}
}

/* It may be innocent: the drop may come of a want of memory here. It must not wait for our handle's end. */
Test(handshake, a_dropped_peer_is_told_at_once)
{
	struct scene s;
	scene_start(&s, NULL);
	struct haul_peer *p = scene_peer(&s);
	garbage(&s.raw, 0);
	must(raw_hung_up(&s.raw));
	must_be(haul_peer_close(p, 0), 0);
	scene_close(&s);
}

/* Random bytes at any stage: an error or silence, never a crash. */
Test(handshake, random_bytes_hurt_nobody)
{
	srandom(1);
	for (int i = 0; i < 400; i++) {
		struct scene s;
		uint8_t noise[300];
		scene_start(&s, NULL);
		int steps = i % 5;
		must(steps < 1 || raw_hello(&s.raw));
		must(steps < 2 || raw_granted(&s.raw));
		must(steps < 3 || raw_verdict(&s.raw));
		must(steps < 4 || raw_ready(&s.raw));
		for (size_t k = 0; k < sizeof(noise); k++)
			noise[k] = (uint8_t)random();
		if (i % 2 == 0) { /* that looks like frames */
			raw_frame_bytes(noise, 16 + i % 18, 0, NULL, 0);
			raw_put(noise + 4, (uint64_t)(8 * (i % 9)), 4);
		}
		raw_send(&s.raw, noise, sizeof(noise));
		for (int k = 0; k < 4; k++)
			haul_progress(s.haul);
		haul_req_free(s.adopt);
		scene_close(&s);
	}
}

/* ---- credentials ---- */

Test(handshake, bytes_without_credentials_are_refused)
{
	struct scene s;
	static struct raw_frame f;
	uint8_t hello[WIRE_HELLO_SIZE];
	scene_open(&s, NULL);
	raw_hello_bytes(hello, 1, 1);
	must(raw_send(&s.raw, hello, sizeof(hello))); /* nobody has asked the kernel to name us yet */
	must_be(haul_iadopt(s.haul, s.fd, &s.adopt), 0);
	must_be(scene_result(&s, NULL), -EACCES);
	must(raw_read(&s.raw, hello, sizeof(hello)));
	raw_next(&s.raw, &f);
	must_be(f.type, WIRE_REJECT);
	must_be(raw_get(f.body, 4), EACCES);
	scene_close(&s);
}

static int send_granted(void *arg)
{
	struct raw *r = arg;
	uint8_t body[WIRE_GRANTED_SIZE] = { 0 };
	must_in_child();
	must(raw_send_frame(r, WIRE_GRANTED, 0, body, sizeof(body)));
	return 0;
}

Test(handshake, two_processes_at_one_end_are_refused)
{
	struct scene s;
	struct child c;
	static struct raw_frame f;
	scene_start(&s, NULL);
	must(raw_hello(&s.raw));
	child_start(&c, CHILD_MS, send_granted, &s.raw);
	child_expect(&c, 0);
	must_be(scene_result(&s, NULL), -EACCES);
	do
		raw_next(&s.raw, &f);
	while (f.type == WIRE_GRANTED);
	must_be(f.type, WIRE_REJECT);
	scene_close(&s);
}

/* ---- descriptors that come with it ---- */

Test(handshake, descriptors_attached_are_closed)
{
	struct scene s;
	int pipe_fds[2];
	char byte;
	uint8_t hello[WIRE_HELLO_SIZE], theirs[WIRE_HELLO_SIZE], frame[256], body[WIRE_EAGER_SIZE] = { 0 };
	static struct raw_frame f;
	scene_start(&s, NULL);
	must_be(pipe2(pipe_fds, O_CLOEXEC), 0);
	int before = fds_count();

	raw_hello_bytes(hello, 1, 1);
	must(raw_send_fds(&s.raw, hello, 20, pipe_fds[1], 3));
	must(raw_send_fds(&s.raw, hello + 20, sizeof(hello) - 20, pipe_fds[1], 16));
	must(raw_read(&s.raw, theirs, sizeof(theirs)));
	s.raw.answer = raw_get(theirs + 24, 8);
	raw_put(body, (uintptr_t)&s.raw.answer, 8);
	must(raw_send_fds(&s.raw, frame, raw_frame_bytes(frame, WIRE_GRANTED, 0, body, 8), pipe_fds[1], 1));
	must((raw_next(&s.raw, &f), f.type == WIRE_GRANTED));
	must(raw_verdict(&s.raw) && raw_ready(&s.raw));
	must_be(scene_result(&s, NULL), 0);
	memset(body, 0, sizeof(body));
	must(raw_send_fds(&s.raw, frame, raw_frame_bytes(frame, WIRE_EAGER, 0, body, sizeof(body)),
	    pipe_fds[1], 5));
	must_be(haul_recv(s.haul, NULL, NULL, 0, LATE_MS, NULL), 0);

	must_be(fds_count(), before + 1); /* the pidfd */
	close(pipe_fds[1]);
	must_be(read(pipe_fds[0], &byte, 1), 0); /* nor does the kernel hold one */
	close(pipe_fds[0]);
	scene_close(&s);
}

/* ---- adopting ---- */

/* The descriptor must still be ours after the failure, whichever way it is adopted. */
static void refuses(struct haul *h, int fd, int error)
{
	struct haul_peer *p = NULL;
	struct haul_req *r = NULL;
	bool is_open = fcntl(fd, F_GETFD) >= 0;
	must_be(haul_adopt(h, fd, LATE_MS, &p), error);
	must_be(haul_iadopt(h, fd, &r), error);
	char address[32];
	snprintf(address, sizeof(address), "fd:%d", fd);
	if (fd >= 0)
		must_be(haul_connect(h, address, LATE_MS, &p), error);
	must(p == NULL && r == NULL);
	must((fcntl(fd, F_GETFD) >= 0) == is_open);
}

Test(handshake, only_a_connected_unix_stream_is_adopted)
{
	struct haul *h;
	int pair[2], before = fds_count();
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(pipe2(pair, O_CLOEXEC), 0);
	refuses(h, pair[0], -ENOTSOCK);
	refuses(h, -1, -EBADF);
	close(pair[0]);
	refuses(h, pair[0], -EBADF);
	close(pair[1]);

	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	refuses(h, fd, -ENOTCONN);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	refuses(h, fd, -EPROTOTYPE);
	close(fd);
	must_be(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	refuses(h, pair[0], -EPROTOTYPE);
	close(pair[0]);
	close(pair[1]);
	must_be(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	refuses(h, pair[0], -EPROTOTYPE);
	close(pair[0]);
	close(pair[1]);
	must_be(haul_close(h, 0), 0);
	fds_expect(before);
}

Test(handshake, a_peer_gone_before_it_is_told)
{
	struct haul *h;
	struct haul_peer *p;
	int pair[2];
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_pair(pair), 0);
	close(pair[1]);
	must_be(haul_adopt(h, pair[0], LATE_MS, &p), -ECONNRESET);
	must(fcntl(pair[0], F_GETFD) >= 0);
	close(pair[0]);
	must_be(haul_close(h, 0), 0);
}

/* A socket that was never told to close on exec, shared with nobody's flags changed. */
Test(handshake, an_adopted_descriptor_is_the_librarys)
{
	struct scene s;
	int pair[2];
	s.fds = fds_count();
	must_be(haul_open(&s.haul, NULL, 0), 0);
	must_be(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	s.raw = (struct raw){ .fd = pair[1], .drive = s.haul };
	must_be(haul_iadopt(s.haul, pair[0], &s.adopt), 0);
	struct haul_peer *p = scene_peer(&s);
	must_be(fcntl(pair[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	must_be(fcntl(pair[0], F_GETFL) & O_NONBLOCK, 0);
	must_be(haul_peer_close(p, 0), 0);
	must_be(fcntl(pair[0], F_GETFD), -1);
	must(raw_hung_up(&s.raw));
	scene_close(&s);
}

Test(handshake, an_adopt_let_go_of_closes_its_peer)
{
	struct scene s;
	scene_start(&s, NULL); /* before it is complete */
	haul_req_free(s.adopt);
	must(raw_hello(&s.raw) && raw_granted(&s.raw) && raw_verdict(&s.raw));
	must(raw_send_frame(&s.raw, WIRE_READY, 0, NULL, 0));
	must(raw_hung_up(&s.raw));
	scene_close(&s);

	scene_start(&s, NULL); /* and after */
	must(raw_greet(&s.raw));
	must_be(haul_req_wait(s.adopt, LATE_MS), 0);
	haul_req_free(s.adopt);
	must(raw_hung_up(&s.raw));
	scene_close(&s);

	scene_start(&s, NULL); /* and never */
	must(raw_hello(&s.raw));
	must_be(haul_req_finish(s.adopt, NULL), -EINPROGRESS);
	scene_close(&s);
}

Test(handshake, a_failed_iadopt_has_taken_its_descriptor)
{
	struct scene s;
	scene_start(&s, NULL);
	must(raw_send(&s.raw, "X", 1));
	must_be(scene_result(&s, NULL), -EPROTO);
	must_be(haul_progress(s.haul), 0);
	must_be(fcntl(s.fd, F_GETFD), -1);
	scene_close(&s);
}

/* ---- two processes ---- */

static int say_pids(struct haul *h, struct haul_peer *p, void *arg)
{
	struct haul_peer_info info;
	(void)arg;
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.pid, getppid());
	must_be(info.uid, geteuid());
	must_be(info.gid, getegid());
	pid_t us = getpid();
	must_be(haul_send(p, 1, &us, sizeof(us), LATE_MS), 0);
	must_be(haul_recv(h, NULL, NULL, 0, LATE_MS, NULL), 0);
	return 0;
}

static void check_pid(struct haul *h, struct haul_peer *p, const struct child *c)
{
	struct haul_peer_info info;
	pid_t said;
	must_be(haul_recv(h, NULL, &said, sizeof(said), LATE_MS, NULL), sizeof(said));
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.pid, said);
	must_be(info.pid, c->pid);
	must_be(info.uid, geteuid());
	must_be(info.gid, getegid());
	must_be(info.alive, 1);
	must_be(haul_send(p, 2, NULL, 0, LATE_MS), 0);
}

/* SO_PEERCRED would name the parent on both ends. */
Test(handshake, each_knows_the_others_pid_over_a_pair)
{
	struct duo d;
	duo_start(&d, &(struct duo_plan){ .run = say_pids, .timeout_ms = CHILD_MS });
	check_pid(d.haul, d.peer, &d.child);
	child_expect(&d.child, 0);
	duo_close(&d);
}

static int connect_and_say_pids(void *arg)
{
	struct haul *h;
	struct haul_peer *p;
	must_in_child();
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_connect(h, arg, LATE_MS, &p), 0);
	int rc = say_pids(h, p, NULL);
	haul_close(h, 0);
	return rc;
}

static void each_knows_the_other_at(char *address)
{
	struct haul *h;
	struct haul_listener *l;
	struct haul_peer *p;
	struct child c;
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_listen(h, address, &l), 0);
	child_start(&c, CHILD_MS, connect_and_say_pids, address);
	must_be(haul_accept(l, LATE_MS, &p), 0);
	check_pid(h, p, &c);
	child_expect(&c, 0);
	must_be(haul_close(h, 0), 0);
}

static char *unique(char *to, size_t size)
{
	snprintf(to, size, "@haul-test-handshake-%d", (int)getpid());
	return to;
}

Test(handshake, each_knows_the_others_pid_over_an_abstract_address)
{
	char address[64];
	each_knows_the_other_at(unique(address, sizeof(address)));
}

Test(handshake, each_knows_the_others_pid_over_a_path)
{
	char dir[] = "/tmp/haul-test-XXXXXX", address[64];
	must(mkdtemp(dir) != NULL);
	snprintf(address, sizeof(address), "%s/socket", dir);
	each_knows_the_other_at(address);
	must_be(access(address, F_OK), -1);
	must_be(rmdir(dir), 0);
}

/* ---- another user ---- */

struct user_case {
	bool ours_admits, theirs_admits;
	int fds[2];
};

static int admit_expected(void *arg, pid_t pid, uid_t uid, gid_t gid)
{
	uid_t expected = *(uid_t *)arg;
	return pid > 0 && uid == expected && gid == expected;
}

static int as_stranger(void *arg)
{
	struct user_case *c = arg;
	uid_t ours = 0;
	struct haul_options o = { .admit = c->theirs_admits ? admit_expected : NULL, .admit_arg = &ours };
	struct haul *h;
	struct haul_peer *p;
	must_in_child();
	close(c->fds[0]);
	must_be(setresgid(STRANGER, STRANGER, STRANGER), 0);
	must_be(setresuid(STRANGER, STRANGER, STRANGER), 0);
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	int rc = haul_adopt(h, c->fds[1], LATE_MS, &p);
	if (!c->ours_admits || !c->theirs_admits) {
		must_be(rc, -EACCES);
		must(fcntl(c->fds[1], F_GETFD) >= 0);
	} else {
		static char buf[1 << 20];
		must_be(rc, 0);
		must_be(haul_recv(h, NULL, buf, sizeof(buf), LATE_MS, NULL), sizeof(buf));
		must_hold(buf, sizeof(buf), 1, 0);
		must_be(haul_send(p, 2, buf, sizeof(buf), LATE_MS), 0);
	}
	haul_close(h, 0);
	return 0;
}

static void with_stranger(struct user_case *c)
{
	uid_t theirs = STRANGER;
	struct haul_options o = { .admit = c->ours_admits ? admit_expected : NULL, .admit_arg = &theirs };
	struct haul *h;
	struct haul_peer *p;
	struct child child;
	if (geteuid() != 0)
		cr_skip_test("needs to be root to have a second user");
	must_be(haul_pair(c->fds), 0);
	child_start(&child, CHILD_MS, as_stranger, c);
	close(c->fds[1]);
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	int rc = haul_adopt(h, c->fds[0], LATE_MS, &p);
	if (!c->ours_admits || !c->theirs_admits) {
		must_be(rc, -EACCES);
		must_be(close(c->fds[0]), 0);
	} else {
		static char buf[1 << 20];
		struct haul_peer_info info;
		must_be(rc, 0);
		must_be(haul_peer_info(p, &info, sizeof(info)), 0);
		must_be(info.uid, STRANGER);
		must_be(info.gid, STRANGER);
		must_be(info.out_path, HAUL_PATH_STREAM); /* an ordinary user can't read root's memory */
		must_be(info.out_error, EPERM);
		must(info.out_words[0] != '\0');
		pattern_fill(buf, sizeof(buf), 1, 0);
		must_be(haul_send(p, 1, buf, sizeof(buf), LATE_MS), 0);
		memset(buf, 0, sizeof(buf));
		must_be(haul_recv(h, NULL, buf, sizeof(buf), LATE_MS, NULL), sizeof(buf));
		must_hold(buf, sizeof(buf), 1, 0);
	}
	child_expect(&child, 0);
	must_be(haul_close(h, 0), 0);
}

Test(handshake, another_user_is_refused)
{
	with_stranger(&(struct user_case){ 0 });
}

Test(handshake, one_side_admitting_is_not_enough)
{
	with_stranger(&(struct user_case){ .ours_admits = true });
	with_stranger(&(struct user_case){ .theirs_admits = true });
}

Test(handshake, another_user_who_is_admitted_exchanges_messages)
{
	with_stranger(&(struct user_case){ .ours_admits = true, .theirs_admits = true });
}

/* ---- a user namespace without a mapping: the ids cannot be named there ---- */

static int admit_unmapped(void *arg, pid_t pid, uid_t uid, gid_t gid)
{
	(void)arg;
	(void)gid;
	return pid > 0 && uid == 65534;
}

static int in_namespace(void *arg)
{
	struct user_case *c = arg;
	struct haul_options o = { .admit = c->theirs_admits ? admit_unmapped : NULL };
	struct haul *h;
	struct haul_peer *p;
	must_in_child();
	close(c->fds[0]);
	if (unshare(CLONE_NEWUSER) != 0)
		return 77;
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	int rc = haul_adopt(h, c->fds[1], LATE_MS, &p);
	must_be(rc, c->theirs_admits ? 0 : -EACCES);
	if (rc == 0) {
		static char buf[1 << 20];
		must_be(haul_recv(h, NULL, buf, sizeof(buf), LATE_MS, NULL), sizeof(buf));
		must_hold(buf, sizeof(buf), 1, 0);
	}
	haul_close(h, 0);
	return 0;
}

static void with_namespace(struct user_case *c)
{
	static char buf[1 << 20];
	struct haul *h;
	struct haul_peer *p;
	struct child child;
	must_be(haul_pair(c->fds), 0);
	child_start(&child, CHILD_MS, in_namespace, c);
	close(c->fds[1]);
	must_be(haul_open(&h, NULL, 0), 0);
	int rc = haul_adopt(h, c->fds[0], LATE_MS, &p);
	pattern_fill(buf, sizeof(buf), 1, 0);
	if (rc == 0)
		must_be(haul_send(p, 1, buf, sizeof(buf), LATE_MS), 0);
	struct child_end end = child_collect(&child);
	if (end.fate == CHILD_EXITED && end.code == 77)
		cr_skip_test("no user namespaces here");
	cr_assert(end.fate == CHILD_EXITED && end.code == 0, "the child %s", end.words);
	must_be(rc, c->theirs_admits ? 0 : -EACCES);
	if (rc != 0)
		close(c->fds[0]);
	must_be(haul_close(h, 0), 0);
}

Test(handshake, an_unmapped_user_is_refused)
{
	with_namespace(&(struct user_case){ 0 });
}

Test(handshake, an_unmapped_user_who_is_admitted_exchanges_messages)
{
	with_namespace(&(struct user_case){ .theirs_admits = true });
}

/* ---- many at a listener ---- */

static int raw_connect(const char *address)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memcpy(a.sun_path + 1, address + 1, strlen(address) - 1);
	must(connect(fd, (struct sockaddr *)&a,
	         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address))) == 0);
	return fd;
}

static int connect_once(void *arg)
{
	struct haul *h;
	struct haul_peer *p;
	must_in_child();
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_connect(h, arg, LATE_MS, &p), 0);
	must_be(haul_send(p, 5, "here", 4, LATE_MS), 0);
	must_be(haul_recv(h, NULL, NULL, 0, LATE_MS, NULL), 0);
	haul_close(h, 0);
	return 0;
}

/* Accepts the one client that connect_once() is. */
static void accept_one(struct haul *h, struct haul_listener *l)
{
	struct haul_peer *p;
	char got[8];
	must_be(haul_accept(l, LATE_MS, &p), 0);
	must_be(haul_recv(h, &(struct haul_match){ .from = p, .tag = 5 }, got, 8, LATE_MS, NULL), 4);
	must_be(haul_send(p, 0, NULL, 0, LATE_MS), 0);
	must_be(haul_peer_close(p, LATE_MS), 0);
}

Test(handshake, a_listener_goes_on_beside_the_silent_and_the_rude)
{
	struct haul_options o = { .handshake_ms = 200 };
	struct haul *h;
	struct haul_listener *l;
	struct haul_peer *p;
	struct child c;
	uint8_t hello[WIRE_HELLO_SIZE];
	char address[64];
	int before = fds_count();
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	must_be(haul_listen(h, unique(address, sizeof(address)), &l), 0);
	struct raw silent = { .fd = raw_connect(address), .drive = h };
	struct raw half = { .fd = raw_connect(address), .drive = h };
	struct raw rude = { .fd = raw_connect(address), .drive = h };
	close(raw_connect(address));
	raw_hello_bytes(hello, 1, 1);
	must(raw_send_creds(&half, hello, 40));
	must(raw_send(&rude, "EHLO there, I am a mail server\r\n", 32));
	child_start(&c, CHILD_MS, connect_once, address);
	accept_one(h, l);
	child_expect(&c, 0);
	must(raw_hung_up(&rude));
	must(raw_hung_up(&silent)); /* after handshake_ms */
	must(raw_hung_up(&half));
	must_be(haul_accept(l, 0, &p), -EAGAIN);
	close(silent.fd);
	close(half.fd);
	close(rude.fd);
	must_be(haul_close(h, 0), 0);
	fds_expect(before);
}

Test(handshake, more_silent_ones_than_the_bound_delay_but_do_not_stop_the_others)
{
	enum { SILENT = 11 };
	struct haul_options o = { .handshakes = 4, .handshake_ms = 100 };
	struct haul *h;
	struct haul_listener *l;
	struct child c;
	char address[64];
	int silent[SILENT], before = fds_count();
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	must_be(haul_listen(h, unique(address, sizeof(address)), &l), 0);
	for (int i = 0; i < SILENT; i++)
		silent[i] = raw_connect(address);
	int opened = fds_count();
	for (int i = 0; i < 4; i++)
		haul_progress(h);
	must(fds_count() <= opened + 4); /* the bound */
	child_start(&c, CHILD_MS, connect_once, address);
	accept_one(h, l);
	child_expect(&c, 0);
	for (int i = 0; i < SILENT; i++)
		close(silent[i]);
	must_be(haul_close(h, 0), 0);
	fds_expect(before);
}

/* In one process: what matters is that they are there at once. */
enum { MANY = 200 };

static int connect_many(void *arg)
{
	static struct haul_req *adopts[MANY];
	struct haul *h;
	must_in_child();
	must_be(haul_open(&h, NULL, 0), 0);
	for (int i = 0; i < MANY; i++)
		must_be(haul_iadopt(h, raw_connect(arg), &adopts[i]), 0);
	for (int i = 0; i < MANY; i++) {
		struct haul_status status;
		must_be(haul_req_wait(adopts[i], LATE_MS), 0);
		must_be(haul_req_finish(adopts[i], &status), 0);
		must_be(haul_send(status.peer, (uint64_t)i, &i, sizeof(i), LATE_MS), 0);
	}
	must_be(haul_recv(h, NULL, NULL, 0, LATE_MS, NULL), 0);
	haul_close(h, 0);
	return 0;
}

Test(handshake, two_hundred_at_once_are_accepted)
{
	static struct haul_peer *peers[MANY];
	bool seen[MANY] = { false };
	struct haul_options o = { .handshake_ms = LATE_MS };
	struct haul *h;
	struct haul_listener *l;
	struct child c;
	char address[64];
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	must_be(haul_listen(h, unique(address, sizeof(address)), &l), 0);
	child_start(&c, CHILD_MS, connect_many, address);
	for (int i = 0; i < MANY; i++)
		must_be(haul_accept(l, LATE_MS, &peers[i]), 0);
	for (int i = 0; i < MANY; i++) {
		int who;
		must_be(haul_recv(h, &(struct haul_match){ .from = peers[i], .ignore = UINT64_MAX }, &who,
		            sizeof(who), LATE_MS, NULL),
		    sizeof(who));
		must(who >= 0 && who < MANY && !seen[who]);
		seen[who] = true;
	}
	must_be(haul_send(peers[0], 0, NULL, 0, LATE_MS), 0);
	child_expect(&c, 0);
	must_be(haul_close(h, 0), 0);
}
