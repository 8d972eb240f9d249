/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buffers that are the caller's again at once (HAUL_COPY), and how many bytes may be under way like that; and
 * the other way not to wait for each other in a circle, haul_sendrecv().
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/duo.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(copy, .timeout = 60);
TestSuite(sendrecv, .timeout = 60);

enum { TAG_DATA = 7, SOON_MS = 20, SCRIBBLE = 0xa5, BUDGET = 1 << 20 };

static const size_t lens[] = { 0, 1, 100, 4096, 4097, 16384, 16385, 65536, 65537, 1000003, 5 << 20 };

enum { LENS = sizeof(lens) / sizeof(lens[0]) };

/* ---- HAUL_COPY ---- */

/* All that the test sends comes twice: by haul_isend() and by haul_sendv(). */
static void receive_lens(struct haul *h, struct haul_peer *p, const void *arg)
{
	await_token(h, p);
	for (size_t i = 0; i < 2 * LENS; i++) {
		size_t len = path_most(arg, lens[i / 2]);
		unsigned char *in = room_for(len);
		struct haul_status status;
		must_be(haul_recv(h, NULL, in, len, PATIENCE_MS, &status), len);
		must_be(status.tag, i);
		must_hold(in, len, i, 0);
		free(in);
	}
	send_token(p);
	await_token(h, p);
}

EveryPath(copy, gives_the_buffer_back_on_return)
{
	struct haul_options o = path_options(path);
	struct haul_status status;
	struct pairing p;
	o.copy_budget = 64 << 20;
	pairing_start(&p, &o, &o, receive_lens, path);
	send_token(p.peer);
	for (size_t i = 0; i < LENS; i++) {
		size_t len = path_most(path, lens[i]), half = len / 2;
		unsigned char *out = filled(len, 2 * i);
		struct iovec iov[2] = { { out, half }, { out + half, len - half } };
		struct haul_req *r;
		must_be(haul_isend(p.peer, 2 * i, iov, 2, HAUL_COPY, &r), 0);
		memset(out, SCRIBBLE, len);
		must_be(haul_req_finish(r, &status), 0); /* it is complete already */
		must_be(status.len, len);
		pattern_fill(out, len, 2 * i + 1, 0);
		must_be(haul_sendv(p.peer, 2 * i + 1, iov, 2, HAUL_COPY, -1), 0);
		memset(out, SCRIBBLE, len);
		free(out);
	}
	await_token(p.haul, p.peer);
	send_token(p.peer);
	pairing_end(&p);
}

/* A copy waits for nobody, so it need not be handed to the kernel at once. */
static void receive_ten(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, 300000);
	unsigned char *in = room_for(len);
	for (uint64_t i = 0; i < 10; i++) {
		must_be(haul_recv(h, NULL, in, len, PATIENCE_MS, NULL), len);
		must_hold(in, len, i, 0);
	}
	free(in);
	send_token(p);
}

EveryPath(copy, never_waits_for_the_receiver)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, 300000);
	unsigned char *out = room_for(len);
	struct iovec from = { out, len };
	struct pairing p;
	pairing_start(&p, &o, &o, receive_ten, path);
	duo_stop(&p.child);
	for (uint64_t i = 0; i < 10; i++) {
		pattern_fill(out, len, i, 0);
		must_be(haul_sendv(p.peer, 1, &from, 1, HAUL_COPY, i % 2 == 0 ? 0 : -1), 0);
	}
	memset(out, SCRIBBLE, len);
	duo_continue(&p.child);
	await_token(p.haul, p.peer);
	pairing_end(&p);
	free(out);
}

static void receive_sync(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, 300000);
	unsigned char *in = room_for(len);
	await_token(h, p);
	must_be(haul_recv(h, NULL, in, len, PATIENCE_MS, NULL), len);
	must_hold(in, len, 1, 0);
	must_be(haul_recv(h, NULL, in, 10, PATIENCE_MS, NULL), -EMSGSIZE);
	must_hold(in, 10, 2, 0);
	free(in);
}

EveryPath(copy, of_a_synchronous_send_completes_when_it_was_received)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, 300000);
	unsigned char *out = filled(len, 1);
	struct iovec from = { out, len };
	struct haul_status status;
	struct haul_req *r;
	struct pairing p;
	pairing_start(&p, &o, &o, receive_sync, path);
	must_be(haul_isend(p.peer, TAG_DATA, &from, 1, HAUL_COPY | HAUL_SYNC, &r), 0);
	memset(out, SCRIBBLE, len);
	must_be(haul_req_wait(r, SOON_MS), -ETIMEDOUT);
	send_token(p.peer);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, &status), 0);
	must_be(status.got, len);
	pattern_fill(out, len, 2, 0);
	must_be(haul_sendv(p.peer, TAG_DATA, &from, 1, HAUL_COPY | HAUL_SYNC, PATIENCE_MS), -EMSGSIZE);
	pairing_end(&p);
	free(out);
}

/* ---- the budget ---- */

static struct haul_options small_budget(int path)
{
	return (struct haul_options){ .path = path, .eager_max = -1, .copy_budget = BUDGET };
}

static void receive_all(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *in = room_for(BUDGET);
	struct haul_status status;
	(void)arg;
	await_token(h, p);
	for (;;) {
		ssize_t n = haul_recv(h, NULL, in, BUDGET, PATIENCE_MS, &status);
		must(n >= 0);
		if (status.tag == TAG_TOKEN)
			break;
		must_hold(in, (size_t)n, status.tag, 0);
	}
	free(in);
}

static int both_paths(void (*test)(const struct haul_options *o))
{
	for (int path = HAUL_PATH_PULL; path <= HAUL_PATH_STREAM; path++) {
		struct haul_options o = small_budget(path);
		must_note(path == HAUL_PATH_PULL ? "pull" : "stream");
		test(&o);
	}
	return 0;
}

static void bounded(const struct haul_options *o)
{
	enum { PART = BUDGET / 4 };
	unsigned char *out = room_for(BUDGET + 1);
	struct iovec part = { out, PART }, byte = { out, 1 }, all = { out, BUDGET },
	             more = { out, BUDGET + 1 };
	struct haul_req *r;
	struct pairing p;
	pairing_start(&p, o, o, receive_all, NULL);

	for (uint64_t i = 0; i < 4; i++) {
		pattern_fill(out, PART, i, 0);
		must_be(haul_isend(p.peer, i, &part, 1, HAUL_COPY, &r), 0);
		must_be(haul_req_finish(r, NULL), 0);
	}
	must_be(haul_isend(p.peer, 9, &byte, 1, HAUL_COPY, &r), -EAGAIN);
	must_be(haul_sendv(p.peer, 9, &byte, 1, HAUL_COPY, 0), -EAGAIN);
	must_be(haul_sendv(p.peer, 9, &byte, 1, HAUL_COPY, SOON_MS), -ETIMEDOUT);
	must_be(haul_isend(p.peer, 9, &more, 1, HAUL_COPY, &r), -EMSGSIZE);
	must_be(haul_sendv(p.peer, 9, &more, 1, HAUL_COPY, -1), -EMSGSIZE);
	must_be(haul_sendv(p.peer, 9, &more, 1, HAUL_COPY, 0), -EMSGSIZE);
	must_be(haul_isend(p.peer, 4, NULL, 0, HAUL_COPY, &r), 0); /* nothing always has room */
	must_be(haul_req_finish(r, NULL), 0);
	send_token(p.peer);
	for (uint64_t i = 5; i < 10; i++) { /* each waits until the others were received */
		pattern_fill(out, BUDGET, i, 0);
		must_be(haul_sendv(p.peer, i, &all, 1, HAUL_COPY, i == 5 ? -1 : PATIENCE_MS), 0);
		memset(out, SCRIBBLE, BUDGET);
	}
	send_token(p.peer);
	pairing_end(&p);
	free(out);
}

Test(copy, is_bounded_and_a_blocking_send_waits_for_room)
{
	both_paths(bounded);
}

/* However short it is: whether it needs a copy depends on what the kernel takes. */
Test(copy, of_more_than_the_budget_is_refused_on_every_path)
{
	struct haul_options o = { .copy_budget = 1000 };
	unsigned char out[1001];
	struct iovec more = { out, 1001 }, all = { out, 1000 };
	struct haul_req *r;
	struct twins t;
	pattern_fill(out, 1001, 1, 0);
	twins_start(&t, &o);
	must_be(haul_isend(t.to_b, 1, &more, 1, HAUL_COPY, &r), -EMSGSIZE);
	must_be(haul_sendv(t.to_b, 1, &more, 1, HAUL_COPY, 0), -EMSGSIZE);
	must_be(haul_sendv(t.to_b, 1, &more, 1, HAUL_COPY | HAUL_SYNC, -1), -EMSGSIZE);
	must_be(haul_sendv(t.to_b, 2, &all, 1, HAUL_COPY, 0), 0);
	twins_settle(&t);
	must_be(haul_recv(t.b, NULL, out, 1001, 0, NULL), 1000);
	twins_end(&t);
}

static void stay(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)arg;
	await_token(h, p);
}

static void fill_up(struct haul_peer *p)
{
	unsigned char *out = filled(BUDGET, 1);
	struct haul_req *r;
	must_be(haul_isend(p, 1, &(struct iovec){ out, BUDGET }, 1, HAUL_COPY, &r), 0);
	haul_req_free(r);
	must_be(haul_isend(p, 1, &(struct iovec){ out, 1 }, 1, HAUL_COPY, &r), -EAGAIN);
	free(out);
}

/* Room for all of it is there again. */
static void expect_room(struct haul *h, struct haul_peer *p)
{
	unsigned char *out = filled(BUDGET, 1), *in = room_for(BUDGET);
	struct haul_req *r;
	(void)p;
	must_be(haul_isend(haul_self(h), 1, &(struct iovec){ out, BUDGET }, 1, HAUL_COPY, &r), 0);
	free(out);
	must_be(haul_req_finish(r, NULL), 0);
	must_be(haul_recv(h, NULL, in, BUDGET, PATIENCE_MS, NULL), BUDGET);
	must_hold(in, BUDGET, 1, 0);
	free(in);
}

static void freed_by_death(const struct haul_options *o)
{
	struct haul_req *watch;
	struct pairing p;
	pairing_start(&p, o, o, stay, NULL);
	fill_up(p.peer);
	must_be(haul_peer_watch(p.peer, &watch), 0);
	child_signal(&p.child, SIGKILL);
	must_be(haul_req_wait(watch, PATIENCE_MS), 0);
	must_be(haul_req_finish(watch, NULL), -ECONNRESET);
	expect_room(p.haul, p.peer);
	must_be(haul_close(p.haul, PATIENCE_MS), 0);
	child_expect_killed(&p.child, SIGKILL);
}

Test(copy, has_room_again_after_the_peers_death)
{
	both_paths(freed_by_death);
}

static void freed_by_close(const struct haul_options *o)
{
	struct twins t;
	twins_start(&t, o);
	fill_up(t.to_b);
	haul_peer_close(t.to_b, 0);
	expect_room(t.a, NULL);
	twins_end(&t);
}

Test(copy, has_room_again_after_the_peer_was_closed)
{
	both_paths(freed_by_close);
}

static void freed_by_cancel(const struct haul_options *o)
{
	unsigned char *out = filled(BUDGET, 1);
	struct haul_req *r;
	struct twins t;
	twins_start(&t, o);
	must_be(haul_isend(t.to_b, 1, &(struct iovec){ out, BUDGET }, 1, HAUL_COPY | HAUL_SYNC, &r), 0);
	must_be(haul_req_cancel(r), 0);
	must_be(twins_finish(&t, r, NULL), -ECANCELED);
	expect_room(t.a, NULL);
	twins_end(&t);
	free(out);
}

Test(copy, has_room_again_after_a_cancel)
{
	both_paths(freed_by_cancel);
}

static void *kill_when_it_waits(void *arg)
{
	struct pairing *p = arg;
	struct haul_status status;
	must_be(haul_probe(p->haul, &(struct haul_match){ .tag = 99 }, 5 * SOON_MS, &status), -ETIMEDOUT);
	child_signal(&p->child, SIGKILL);
	return NULL;
}

static void ended_by_death(const struct haul_options *o)
{
	struct pairing p;
	pthread_t thread;
	pairing_start(&p, o, o, stay, NULL);
	fill_up(p.peer);
	must(pthread_create(&thread, NULL, kill_when_it_waits, &p) == 0);
	must_be(haul_sendv(p.peer, 1, &(struct iovec){ &p, 1 }, 1, HAUL_COPY, -1), -ECONNRESET);
	must(pthread_join(thread, NULL) == 0);
	must_be(haul_close(p.haul, PATIENCE_MS), 0);
	child_expect_killed(&p.child, SIGKILL);
}

Test(copy, a_wait_for_room_ends_with_its_peer)
{
	both_paths(ended_by_death);
}

/* ---- haul_sendrecv ---- */

static void exchange(struct haul_peer *p, uint64_t us, size_t ours, size_t theirs)
{
	unsigned char *out = filled(ours, us), *in = room_for(theirs);
	struct haul_match match = { .from = p, .tag = 1 - us };
	struct haul_status status;
	for (int i = 0; i < 5; i++) {
		memset(in, 0, theirs);
		must_be(haul_sendrecv(p, us, out, ours, &match, in, theirs, i == 0 ? -1 : PATIENCE_MS,
		            &status),
		    theirs);
		must(status.peer == p);
		must_be(status.tag, 1 - us);
		must_be(status.len, theirs);
		must_be(status.got, theirs);
		must_hold(in, theirs, 1 - us, 0);
	}
	free(out);
	free(in);
}

static void exchange_there(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)h;
	exchange(p, 1, path_most(arg, 4 << 20), path_most(arg, 4 << 20));
	exchange(p, 1, 10, path_most(arg, 4 << 20));
	exchange(p, 1, path_most(arg, 4 << 20), 0);
}

EveryPath(sendrecv, two_processes_exchange_head_to_head)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	pairing_start(&p, &o, &o, exchange_there, path);
	exchange(p.peer, 0, path_most(path, 4 << 20), path_most(path, 4 << 20));
	exchange(p.peer, 0, path_most(path, 4 << 20), 10);
	exchange(p.peer, 0, 0, path_most(path, 4 << 20));
	pairing_end(&p);
}

static void send_late_and_receive(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, 300000);
	unsigned char *out = filled(len, 2), *in = room_for(len);
	await_token(h, p);
	must_be(haul_send(p, 2, out, len, PATIENCE_MS), 0);
	must_be(haul_recv(h, &(struct haul_match){ .tag = 3 }, in, len, PATIENCE_MS, NULL), len);
	must_hold(in, len, 3, 0);
	await_token(h, p);
	free(out);
	free(in);
}

EveryPath(sendrecv, a_timeout_ends_both_and_the_message_can_still_come)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, 300000);
	unsigned char *out = filled(len, 1), *in = room_for(len);
	struct haul_match match = { .tag = 2 };
	struct haul_status status;
	struct pairing p;
	memset(in, CANARY, len);
	pairing_start(&p, &o, &o, send_late_and_receive, path);
	must_be(haul_sendrecv(p.peer, 1, out, len, &match, in, len, SOON_MS, &status), -ETIMEDOUT);
	must_be(status.error, -ETIMEDOUT);
	must_be(status.got, 0);
	must_be(haul_sendrecv(p.peer, 1, out, len, &match, in, len, 0, &status), -EAGAIN);
	must_be(status.error, -EAGAIN);
	must_be(haul_sendrecv(p.peer, 1, out, len, &match, in, len, -2, &status), -EINVAL);
	must_be_untouched(in, len);
	memset(out, SCRIBBLE, len);
	pattern_fill(out, len, 3, 0);
	send_token(p.peer);
	must_be(haul_sendrecv(p.peer, 3, out, len, &match, in, len, PATIENCE_MS, &status), len);
	must_hold(in, len, 2, 0);
	send_token(p.peer);
	pairing_end(&p);
	free(out);
	free(in);
}

static void send_and_receive(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, 300000);
	unsigned char *out = filled(len, 2), *in = room_for(len);
	must_be(haul_sendrecv(p, 2, out, len, NULL, in, len, PATIENCE_MS, NULL), len);
	must_hold(in, len, 1, 0);
	await_token(h, p);
	free(out);
	free(in);
}

EveryPath(sendrecv, a_receive_that_is_too_short_fails_and_the_send_goes_on)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, 300000);
	unsigned char *out = filled(len, 1), in[100];
	struct haul_status status;
	struct pairing p;
	pairing_start(&p, &o, &o, send_and_receive, path);
	must_be(haul_sendrecv(p.peer, 1, out, len, NULL, in, 100, PATIENCE_MS, &status), -EMSGSIZE);
	must_be(status.error, -EMSGSIZE);
	must_be(status.len, len);
	must_be(status.got, 100);
	must_hold(in, 100, 2, 0);
	send_token(p.peer);
	pairing_end(&p);
	free(out);
}

Test(sendrecv, what_makes_no_sense_starts_neither)
{
	struct haul_match foreign = { 0 };
	struct haul_status status;
	char buf[8];
	struct twins t;
	twins_start(&t, NULL);
	foreign.from = t.to_a;
	must_be(haul_sendrecv(NULL, 1, buf, 8, NULL, buf, 8, 0, &status), -EINVAL);
	must_be(status.error, -EINVAL);
	must_be(haul_sendrecv(t.to_b, 1, buf, 8, &foreign, buf, 8, -1, &status), -EINVAL);
	must_be(status.error, -EINVAL);
	must_be(haul_sendrecv(t.to_b, 1, NULL, 8, NULL, buf, 8, -1, &status), -EINVAL);
	must_be(status.error, -EINVAL);
	must_be(haul_sendrecv(t.to_b, 1, buf, 8, NULL, NULL, 8, -1, &status), -EINVAL);
	must_be(status.error, -EINVAL);
	must_be(haul_sendrecv(t.to_b, 1, buf, SIZE_MAX, NULL, buf, 8, -1, &status), -EINVAL);
	twins_settle(&t);
	must_be(haul_probe(t.b, NULL, 0, &status), -EAGAIN);
	twins_end(&t);
}

static void leave_at_once(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)h;
	(void)p;
	(void)arg;
}

Test(sendrecv, ends_with_its_peer)
{
	struct haul_status status;
	struct haul_match match = { .tag = 2 };
	unsigned char *out = filled(BUDGET, 1), in[8];
	struct pairing p;
	pairing_start(&p, NULL, NULL, leave_at_once, NULL);
	match.from = p.peer;
	must_be(haul_sendrecv(p.peer, 1, out, BUDGET, &match, in, 8, -1, &status), -EPIPE);
	pairing_end(&p);
	free(out);
}
