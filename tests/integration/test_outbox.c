/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Outboxes as their users see them: when they are used, what haul_peer_info() and haul_stats() say of them, that they
 * are no shared memory, and what happens when one is full.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/duo.h"
#include "lib/pairing.h"
#include "lib/pattern.h"
#include "lib/seed.h"
#include "lib/talk.h"

TestSuite(outbox_use, .timeout = 120);

enum { RING = 256 << 10, TAG = 1 };

static const struct haul_options by_outbox = { .transport = HAUL_TRANSPORT_OUTBOX, .eager_max = 65536 };

/* ---- when ---- */

static void exchange_words(struct twins *t)
{
	struct haul_req *a = post_receive(t->a, NULL, 0, TAG), *b = post_receive(t->b, NULL, 0, TAG);
	must_be(haul_send(t->to_b, TAG, NULL, 0, PATIENCE_MS), 0);
	must_be(haul_send(t->to_a, TAG, NULL, 0, PATIENCE_MS), 0);
	must_be(twins_finish(t, a, NULL), 0);
	must_be(twins_finish(t, b, NULL), 0);
}

static void must_go_by(struct haul_peer *p, int transport)
{
	struct haul_peer_info info;
	struct haul_stats stats;
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.in_transport, transport);
	must_be(info.out_transport, transport);
	must_be(haul_peer_stats(p, &stats, sizeof(stats)), 0);
	must((stats.polled_frames > 0) == (transport == HAUL_TRANSPORT_OUTBOX));
	must((stats.polls > 0) == (transport == HAUL_TRANSPORT_OUTBOX));
}

static void meet(const struct haul_options *a, const struct haul_options *b, int transport)
{
	struct twins t;
	twins_start_unlike(&t, a, b);
	exchange_words(&t);
	must_go_by(t.to_a, transport);
	must_go_by(t.to_b, transport);
	twins_end(&t);
}

Test(outbox_use, both_must_want_them)
{
	static const struct haul_options by_socket = { .transport = HAUL_TRANSPORT_SOCKET }, nothing = { 0 };
	unsetenv("HAUL_TRANSPORT");
	meet(&by_outbox, &by_outbox, HAUL_TRANSPORT_OUTBOX);
	meet(&by_outbox, &by_socket, HAUL_TRANSPORT_SOCKET);
	meet(&by_socket, &by_outbox, HAUL_TRANSPORT_SOCKET);
	meet(&by_outbox, &nothing, HAUL_TRANSPORT_SOCKET);
	meet(&nothing, &nothing, HAUL_TRANSPORT_SOCKET);
}

Test(outbox_use, the_environment_may_ask_for_them)
{
	static const struct haul_options by_socket = { .transport = HAUL_TRANSPORT_SOCKET }, nothing = { 0 };
	setenv("HAUL_TRANSPORT", "outbox", 1);
	meet(&nothing, &nothing, HAUL_TRANSPORT_OUTBOX);
	meet(NULL, NULL, HAUL_TRANSPORT_OUTBOX);
	meet(&nothing, &by_socket, HAUL_TRANSPORT_SOCKET);
	setenv("HAUL_TRANSPORT", "socket", 1);
	meet(&nothing, &nothing, HAUL_TRANSPORT_SOCKET);
	meet(&by_outbox, &by_outbox, HAUL_TRANSPORT_OUTBOX);
	setenv("HAUL_TRANSPORT", "auto", 1);
	meet(&nothing, &nothing, HAUL_TRANSPORT_SOCKET);
}

Test(outbox_use, what_is_no_transport_is_refused)
{
	struct haul_options o = { .transport = HAUL_TRANSPORT_OUTBOX + 1 };
	struct haul *h;
	must_be(haul_open(&h, &o, sizeof(o)), -EINVAL);
	o.transport = -1;
	must_be(haul_open(&h, &o, sizeof(o)), -EINVAL);
	setenv("HAUL_TRANSPORT", "pigeon", 1);
	must_be(haul_open(&h, NULL, 0), -EINVAL);
}

/* They are for those who may read each other. */
Test(outbox_use, who_streams_only_has_none)
{
	static const struct haul_options stream = { .transport = HAUL_TRANSPORT_OUTBOX,
		.path = HAUL_PATH_STREAM };
	meet(&stream, &stream, HAUL_TRANSPORT_SOCKET);
	meet(&by_outbox, &stream, HAUL_TRANSPORT_SOCKET);
	meet(&stream, &by_outbox, HAUL_TRANSPORT_SOCKET);
}

Test(outbox_use, one_is_no_peer_of_oneself_by_them)
{
	struct haul *h;
	struct haul_peer_info info;
	must_be(haul_open(&h, &by_outbox, sizeof(by_outbox)), 0);
	struct haul_peer *self = haul_self(h);
	send_token(self);
	await_token(h, self);
	must_be(haul_peer_info(self, &info, sizeof(info)), 0);
	must_be(stats_of(h).polls, 0);
	must_be(haul_close(h, 0), 0);
}

/* ---- what is counted ---- */

Test(outbox_use, what_rang_here_was_heard_there)
{
	enum { ROUNDS = 300 };
	struct haul_options o = by_outbox;
	struct twins t;
	o.spin_us = -1;
	twins_start(&t, &o);
	for (int i = 0; i < ROUNDS; i++) {
		exchange_words(&t);
		must_be(haul_recv(t.a, NULL, NULL, 0, 1, NULL), -ETIMEDOUT); /* sleeps */
	}
	twins_settle(&t);
	struct haul_stats a = stats_of(t.a), b = stats_of(t.b);
	must_be(a.bells_sent, b.bells_received);
	must_be(b.bells_sent, a.bells_received);
	must_be(b.bells_sent, ROUNDS - 1); /* one for each sleep that somebody ended */
	must(a.empty_polls <= a.polls && b.empty_polls <= b.polls);
	must(a.polled_frames >= ROUNDS && b.polled_frames >= ROUNDS);
	struct haul_stats peer;
	must_be(haul_peer_stats(t.to_b, &peer, sizeof(peer)), 0);
	must_be(peer.polls, a.polls);
	must_be(peer.empty_polls, a.empty_polls);
	must_be(peer.polled_frames, a.polled_frames);
	must_be(peer.bells_sent, a.bells_sent);
	must_be(peer.bells_received, a.bells_received);
	twins_end(&t);
}

static int shared_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[4096], perms[8];
	int n = 0;
	must(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL)
		n += sscanf(line, "%*s %7s", perms) == 1 && perms[1] == 'w' && perms[3] != 'p';
	fclose(f);
	return n;
}

Test(outbox_use, they_are_no_shared_memory)
{
	int before = shared_mappings();
	struct twins t;
	twins_start(&t, &by_outbox);
	exchange_words(&t);
	must_go_by(t.to_a, HAUL_TRANSPORT_OUTBOX);
	must_be(shared_mappings(), before);
	twins_end(&t);
}

/* ---- lengths ---- */

/* Frames of all lengths end and begin at every place around the end of the ring. */
Test(outbox_use, lengths_around_the_end_of_the_ring_arrive)
{
	static const size_t lengths[] = { 0, 1, 7, 40, 4095, 4096, 4097, 16383, 16384, 65535, 65536 };
	struct haul_options o = by_outbox;
	struct twins t;
	static unsigned char in[65536 + 4096];
	o.eager_max = 65536;
	twins_start(&t, &o);
	seed_random();
	uint64_t all = 0;
	for (unsigned i = 0; all < (uint64_t)60 * RING; i++) {
		size_t len = lengths[random_below(sizeof(lengths) / sizeof(lengths[0]))];
		len = len > 70 && random_below(2) == 0 ? len - random_below(70) : len;
		unsigned char *out = filled(len, i);
		struct haul_req *recv = post_receive(t.a, in, sizeof(in), i), *send;
		struct haul_status status;
		must_be(haul_isend(t.to_a, i, &(struct iovec){ out, len }, 1, 0, &send), 0);
		must_be(twins_finish(&t, recv, &status), 0);
		must_be(twins_finish(&t, send, NULL), 0);
		must_be(status.got, len);
		must_hold(in, len, i, 0);
		free(out);
		all += len;
	}
	must_be(stats_of(t.a).received_pull, 0);
	twins_end(&t);
}

/* ---- full ---- */

enum { CHUNK = 16000, FULL_MOST = 60, ROUNDS = 40, MOST_CPU_MS = 40, SHORT_MS = 300 };

/* Of both sides at once: more than a ring holds. Two rounds of them are within grown credit: who has received one sends
 * the next when the other side may not have received it. */
enum { BOTH_MOST = 24 };

static unsigned char chunk[CHUNK];

static int send_chunk(struct haul_peer *p, unsigned i, int timeout_ms)
{
	pattern_fill(chunk, CHUNK, i, 0);
	return haul_send(p, TAG, chunk, CHUNK, timeout_ms);
}

static void receive_chunk(struct haul *h, struct haul_peer *p, unsigned i)
{
	struct haul_match match = { .from = p, .tag = TAG };
	must_be(haul_recv(h, &match, chunk, CHUNK, PATIENCE_MS, NULL), CHUNK);
	must_hold(chunk, CHUNK, i, 0);
}

/* Until nothing more is taken though all of it was read: then the credit has grown to all that there is, and more can be
 * left than the ring holds. Only what waits makes it grow, so none is received before that. */
static void warm_sender(struct haul *h, struct haul_peer *p)
{
	unsigned n = 0, before;
	bool more;
	do {
		int rc;
		for (before = n; (rc = send_chunk(p, n, 0)) == 0; n++)
			;
		must_be(rc, -EAGAIN);
		more = n > before;
		must_be(haul_send(p, TAG_TOKEN, &more, sizeof(more), PATIENCE_MS), 0);
		await_token(h, p);
	} while (more);
	must(n > BOTH_MOST * 2);
}

static void warm_receiver(struct haul *h, struct haul_peer *p)
{
	struct haul_match token = { .from = p, .tag = TAG_TOKEN }, match = { .from = p, .tag = TAG };
	unsigned n = 0;
	ssize_t rc;
	bool more = true;
	while (more) {
		must_be(haul_recv(h, &token, &more, sizeof(more), PATIENCE_MS, NULL), sizeof(more));
		if (more)
			send_token(p);
	}
	for (; (rc = haul_recv(h, &match, chunk, CHUNK, 0, NULL)) == CHUNK; n++)
		must_hold(chunk, CHUNK, n, 0);
	must_be(rc, -EAGAIN);
	send_token(p);
}

static int64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int receive_when_told(struct haul *h, struct haul_peer *p, void *arg)
{
	unsigned n = *(unsigned *)arg;
	struct haul_match match = { .from = p, .tag = TAG };
	warm_receiver(h, p);
	for (unsigned i = 0; i < n; i++) {
		ssize_t rc;
		do /* the one whose sender gives up may have been described, and given to a receive */
			rc = haul_recv(h, &match, chunk, CHUNK, PATIENCE_MS, NULL);
		while (rc == -ECANCELED);
		must_be(rc, CHUNK);
		must_hold(chunk, CHUNK, i, 0);
	}
	send_token(p);
	return 0;
}

Test(outbox_use, who_has_no_room_sleeps_until_there_is)
{
	unsigned n = FULL_MOST, i = 0;
	struct duo_plan plan = { .run = receive_when_told,
		.arg = &n,
		.ours = &by_outbox,
		.theirs = &by_outbox,
		.timeout_ms = PATIENCE_MS };
	struct duo d;
	int rc;
	duo_start(&d, &plan);
	warm_sender(d.haul, d.peer);
	duo_stop(&d.child);
	while ((rc = send_chunk(d.peer, i, 0)) == 0)
		i++;
	must_be(rc, -EAGAIN);
	must((i + 1) * CHUNK > RING && i < FULL_MOST);
	int64_t before = cpu_ns();
	must_be(send_chunk(d.peer, i, SHORT_MS), -ETIMEDOUT);
	must_be(haul_recv(d.haul, NULL, NULL, 0, SHORT_MS, NULL), -ETIMEDOUT);
	must(cpu_ns() - before < (int64_t)MOST_CPU_MS * 1000000);
	duo_continue(&d.child);
	while (i < n)
		must_be(send_chunk(d.peer, i++, PATIENCE_MS), 0);
	await_token(d.haul, d.peer);
	must(stats_of(d.haul).bells_received > 0);
	child_expect(&d.child, 0);
	duo_close(&d);
}

/* Each waits for room, and none of them reads but while it does. */
static int fill_both(struct haul *h, struct haul_peer *p, void *arg)
{
	bool first = arg != NULL;
	static struct iovec out[BOTH_MOST];
	struct haul_req *reqs[BOTH_MOST];
	if (first)
		warm_sender(h, p);
	warm_receiver(h, p);
	if (!first)
		warm_sender(h, p);
	for (unsigned i = 0; i < BOTH_MOST; i++)
		out[i] = (struct iovec){ room_for(CHUNK), CHUNK };
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < BOTH_MOST; i++) {
			pattern_fill(out[i].iov_base, CHUNK, round * BOTH_MOST + i, 0);
			must_be(haul_isend(p, TAG, &out[i], 1, 0, &reqs[i]), 0);
		}
		must_be(haul_wait_all(reqs, BOTH_MOST, PATIENCE_MS), 0);
		for (unsigned i = 0; i < BOTH_MOST; i++)
			must_be(haul_req_finish(reqs[i], NULL), 0);
		for (unsigned i = 0; i < BOTH_MOST; i++)
			receive_chunk(h, p, round * BOTH_MOST + i);
	}
	for (unsigned i = 0; i < BOTH_MOST; i++)
		free(out[i].iov_base);
	send_token(p);
	await_token(h, p);
	return 0;
}

Test(outbox_use, both_full_at_once_are_emptied_by_those_who_wait)
{
	struct duo_plan plan = { .run = fill_both,
		.ours = &by_outbox,
		.theirs = &by_outbox,
		.timeout_ms = PATIENCE_MS };
	struct duo d;
	duo_start(&d, &plan);
	fill_both(d.haul, d.peer, &d);
	child_expect(&d.child, 0);
	duo_close(&d);
}

/* The reader stops reading for moments of all lengths. */
static int read_by_fits(struct haul *h, struct haul_peer *p, void *arg)
{
	unsigned n = *(unsigned *)arg;
	warm_receiver(h, p);
	for (unsigned i = 0; i < n; i++) {
		if (random_below(20) == 0)
			usleep((useconds_t)random_below(2000));
		receive_chunk(h, p, i);
	}
	send_token(p);
	return 0;
}

Test(outbox_use, a_sender_is_woken_whenever_room_comes)
{
	unsigned n = 5000;
	struct haul_options patient = by_outbox;
	patient.spin_us = -1;
	for (int spins = 0; spins < 2; spins++) {
		struct duo_plan plan = { .run = read_by_fits,
			.arg = &n,
			.ours = spins ? &by_outbox : &patient,
			.theirs = spins ? &patient : &by_outbox,
			.timeout_ms = PATIENCE_MS };
		struct duo d;
		seed_random();
		duo_start(&d, &plan);
		warm_sender(d.haul, d.peer);
		for (unsigned i = 0; i < n; i++)
			must_be(send_chunk(d.peer, i, PATIENCE_MS), 0);
		await_token(d.haul, d.peer);
		child_expect(&d.child, 0);
		duo_close(&d);
	}
}
