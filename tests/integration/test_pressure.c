/* SPDX-License-Identifier: BSD-3-Clause */
/* Too much of it: receivers that don't receive, and two who flood each other. Nobody's memory grows, nobody hangs. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(pressure, .timeout = 60);

enum {
	TAG_DATA = 7,
	TAG_NUMBER = 8,
	SOON_MS = 20,
	LEN = 4096,
	MOST_KIB = 16 << 10, /* what either side may grow by; a receiver's budget is 1 MiB */
	PLENTY = 64 << 20    /* bytes that would show */
};

static long resident_kib(void)
{
	char line[128];
	long kib = -1;
	FILE *f = fopen("/proc/self/status", "re");
	must(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL && sscanf(line, "VmRSS: %ld", &kib) != 1)
		continue;
	fclose(f);
	must(kib > 0);
	return kib;
}

static void stays_flat(long before)
{
#ifdef __SANITIZE_ADDRESS__
	(void)before; /* which keeps what was freed */
#else
	must(resident_kib() - before < MOST_KIB);
#endif
}

/* ---- nobody receives ---- */

/* Looks after its connection, but receives nothing until it is told how many there are. */
static void receive_late(struct haul *h, struct haul_peer *p, const void *arg)
{
	static unsigned char in[LEN];
	struct haul_match data = { .from = p, .tag = TAG_DATA }, number = { .from = p, .tag = TAG_NUMBER };
	uint64_t count;
	(void)arg;
	long before = resident_kib();
	await_token(h, p); /* posted before: it comes past all that waits */
	stays_flat(before);
	send_token(p);
	struct haul_req *r;
	must_be(haul_irecv(h, &number, &(struct iovec){ &count, sizeof(count) }, 1, &r), 0);
	for (uint64_t i = 0; haul_req_test(r) != 0 || i < count; i++) {
		ssize_t n = haul_recv(h, &data, in, LEN, SOON_MS, NULL);
		if (n == -ETIMEDOUT) {
			i--;
			continue;
		}
		must_be(n, LEN);
		must_hold(in, LEN, i, 0);
	}
	must_be(haul_req_finish(r, NULL), 0);
	must_be(haul_recv(h, &data, in, LEN, 0, NULL), -EAGAIN);
	stays_flat(before);
	send_token(p);
	await_token(h, p);
}

/* What is described stays with its sender, who waits; what goes eagerly fills the receiver's budget, and then waits. */
EveryPath(pressure, a_receiver_that_receives_nothing_makes_the_sender_wait)
{
	struct haul_options o = path_options(path);
	unsigned char *out = room_for(LEN);
	struct haul_req *token;
	uint64_t sent = 0;
	struct pairing p;
	int rc;
	pairing_start(&p, &o, &o, receive_late, path);
	long before = resident_kib();
	do {
		pattern_fill(out, LEN, sent, 0);
		rc = haul_send(p.peer, TAG_DATA, out, LEN, 0);
		sent += rc == 0;
		must(sent < PLENTY / LEN);
	} while (rc == 0);
	must_be(rc, -EAGAIN);
	pattern_fill(out, LEN, sent, 0);
	rc = haul_send(p.peer, TAG_DATA, out, LEN, 5 * SOON_MS);
	while (rc == 0) { /* there was still some room, or is by now */
		pattern_fill(out, LEN, ++sent, 0);
		must(sent < PLENTY / LEN);
		rc = haul_send(p.peer, TAG_DATA, out, LEN, 5 * SOON_MS);
	}
	must_be(rc, -ETIMEDOUT);
	must_be(haul_isend(p.peer, TAG_TOKEN, NULL, 0, 0, &token), 0);
	await_token(p.haul, p.peer);
	must_be(haul_req_wait(token, PATIENCE_MS), 0);
	must_be(haul_req_finish(token, NULL), 0);
	stays_flat(before);

	/* And goes on when it receives. */
	for (int i = 0; i < 3000; i++) {
		pattern_fill(out, LEN, sent++, 0);
		must_be(haul_send(p.peer, TAG_DATA, out, LEN, PATIENCE_MS), 0);
	}
	must_be(haul_send(p.peer, TAG_NUMBER, &sent, sizeof(sent), PATIENCE_MS), 0);
	await_token(p.haul, p.peer);
	stays_flat(before);
	send_token(p.peer);
	pairing_end(&p);
	free(out);
}

static void receive_nothing(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_stats stats;
	(void)arg;
	long before = resident_kib();
	await_token(h, p);
	stays_flat(before);
	must_be(haul_stats(h, &stats, sizeof(stats)), 0);
	must(stats.unexpected_most > 0);
	must(stats.unexpected_most <= 1000 + (1 << 20) / 512); /* the window, and the budget */
	must_be(stats.unexpected, 0);
	send_token(p);
	await_token(h, p);
}

/* More than the window, and more than the budget; the sender's own memory holds them. */
EveryPath(pressure, a_flood_of_requests_stays_with_its_sender)
{
	enum { COUNT = 30000, SOME = 512 };
	struct haul_options o = path_options(path), theirs = o;
	static struct haul_req *r[COUNT];
	static unsigned char out[SOME];
	struct iovec from = { out, SOME };
	struct pairing p;
	theirs.window = 1000;
	pairing_start(&p, &o, &theirs, receive_nothing, NULL);
	for (int i = 0; i < COUNT; i++)
		must_be(haul_isend(p.peer, TAG_DATA, &from, 1, HAUL_SYNC, &r[i]), 0);
	must_be(haul_recv(p.haul, &(struct haul_match){ .tag = 99 }, NULL, 0, 5 * SOON_MS, NULL), -ETIMEDOUT);
	must_be(haul_peer_cancel(p.peer), COUNT);
	must_be(haul_wait_all(r, COUNT, PATIENCE_MS), 0);
	for (int i = 0; i < COUNT; i++)
		must_be(haul_req_finish(r[i], NULL), -ECANCELED);
	send_token(p.peer); /* past them all */
	await_token(p.haul, p.peer);
	send_token(p.peer);
	pairing_end(&p);
}

enum { UNASKED = 5000, SHORT = 100, TAG_WANTED = 9 };

static void send_unasked_and_one(struct haul *h, struct haul_peer *p, const void *arg)
{
	static unsigned char out[UNASKED + 1][SHORT];
	static struct haul_req *r[UNASKED + 1];
	(void)arg;
	for (uint64_t i = 0; i <= UNASKED; i++) {
		pattern_fill(out[i], SHORT, i, 0);
		must_be(haul_isend(p, i < UNASKED ? TAG_DATA : TAG_WANTED, &(struct iovec){ out[i], SHORT },
		            1, 0, &r[i]),
		    0);
	}
	must_be(haul_wait_all(r, UNASKED + 1, PATIENCE_MS), 0);
	for (int i = 0; i <= UNASKED; i++)
		must_be(haul_req_finish(r[i], NULL), 0);
	await_token(h, p);
}

/* Window and budget begin small. A receiver that has nothing else to say lets them grow all the same. */
EveryPath(pressure, what_is_asked_for_comes_past_thousands_that_nobody_asked_for)
{
	struct haul_options o = path_options(path);
	unsigned char in[SHORT];
	struct haul_match wanted = { .tag = TAG_WANTED }, data = { .tag = TAG_DATA };
	struct pairing p;
	pairing_start(&p, &o, &o, send_unasked_and_one, NULL);
	must_be(haul_recv(p.haul, &wanted, in, SHORT, PATIENCE_MS / 2, NULL), SHORT);
	must_hold(in, SHORT, UNASKED, 0);
	for (uint64_t i = 0; i < UNASKED; i++) {
		must_be(haul_recv(p.haul, &data, in, SHORT, PATIENCE_MS, NULL), SHORT);
		must_hold(in, SHORT, i, 0);
	}
	send_token(p.peer);
	pairing_end(&p);
}

/* Of each window a bit is left that is too little for the next message. */
Test(pressure, the_budget_grows_for_those_who_never_quite_use_it_up)
{
	enum { COST = 5000 + 64, BUDGET = 1 << 20, TRIES = 1000 };
	unsigned char *out = filled(5000, 1);
	uint64_t sent = 0;
	struct twins t;
	twins_start(&t, NULL);
	for (int i = 0; i < TRIES; i++) {
		int rc = haul_send(t.to_b, TAG_DATA, out, 5000, 0);
		must(rc == 0 || rc == -EAGAIN);
		sent += rc == 0;
		if (rc == -EAGAIN)
			twins_settle(&t);
	}
	must_be(sent, BUDGET / COST);
	twins_end(&t);
	free(out);
}

/* ---- both flood ---- */

enum { FLOOD = 2000, WINDOW = 64, LONGEST = 300000 };

static size_t flood_len(const struct path *path, uint64_t i)
{
	static const size_t lens[] = { 0, 1, 100, 5000, 16384, 20000, 70000, LONGEST };
	return path_most(path, lens[(i * 7919 + i / 8) % (sizeof(lens) / sizeof(lens[0]))]);
}

/* Keeps so many of either kind under way, in whatever order they complete. */
static void flood(struct haul *h, struct haul_peer *p, const struct path *path)
{
	static unsigned char out[WINDOW][LONGEST], in[WINDOW][LONGEST];
	struct haul_req *r[2 * WINDOW];
	uint64_t what[2 * WINDOW], sent = 0, posted = 0, left = 2 * FLOOD;
	size_t done[2 * WINDOW];
	memset(r, 0, sizeof(r));
	while (left > 0) {
		for (size_t i = 0; i < WINDOW; i++) {
			struct iovec from = { out[i], 0 }, to = { in[i], LONGEST };
			if (r[i] == NULL && sent < FLOOD) {
				from.iov_len = flood_len(path, sent);
				pattern_fill(out[i], from.iov_len, sent, 0);
				what[i] = sent;
				must_be(haul_isend(p, sent, &from, 1, sent % 3 == 0 ? HAUL_SYNC : 0, &r[i]),
				    0);
				sent++;
			}
			if (r[WINDOW + i] == NULL && posted < FLOOD) {
				struct haul_match match = { .from = p, .tag = posted };
				what[WINDOW + i] = posted++;
				must_be(haul_irecv(h, &match, &to, 1, &r[WINDOW + i]), 0);
			}
		}
		int n = haul_wait_some(r, 2 * WINDOW, done, PATIENCE_MS);
		must(n > 0);
		for (int j = 0; j < n; j++) {
			struct haul_status status;
			size_t i = done[j];
			must_be(haul_req_finish(r[i], &status), 0);
			must_be(status.tag, what[i]);
			must_be(status.len, flood_len(path, what[i]));
			if (i >= WINDOW)
				must_hold(in[i - WINDOW], status.len, what[i], 0);
			r[i] = NULL;
		}
		left -= (uint64_t)n;
	}
}

static void flood_there(struct haul *h, struct haul_peer *p, const void *arg)
{
	flood(h, p, arg);
}

EveryPath(pressure, two_who_flood_each_other_never_deadlock)
{
	struct haul_options o = path_options(path), theirs = o;
	struct pairing p;
	theirs.budget = 65536; /* the least */
	theirs.window = 16;
	pairing_start(&p, &o, &theirs, flood_there, path);
	flood(p.haul, p.peer, path);
	pairing_end(&p);
}

/* The same, but each sends all before it receives any. */
static void send_all_then_receive(struct haul *h, struct haul_peer *p, const struct path *path)
{
	enum { ROW = 400 };
	struct haul_req *r[ROW];
	unsigned char *out[ROW], *in = room_for(LONGEST);
	for (uint64_t i = 0; i < ROW; i++) {
		size_t len = flood_len(path, i);
		out[i] = filled(len, i);
		must_be(haul_isend(p, i, &(struct iovec){ out[i], len }, 1, 0, &r[i]), 0);
	}
	for (uint64_t i = 0; i < ROW; i++) {
		struct haul_status status;
		must_be(haul_recv(h, &(struct haul_match){ .from = p, .ignore = UINT64_MAX }, in, LONGEST,
		            PATIENCE_MS, &status),
		    flood_len(path, i));
		must_be(status.tag, i);
		must_hold(in, status.len, i, 0);
	}
	must_be(haul_wait_all(r, ROW, PATIENCE_MS), 0);
	for (int i = 0; i < ROW; i++) {
		must_be(haul_req_finish(r[i], NULL), 0);
		free(out[i]);
	}
	free(in);
}

static void send_all_there(struct haul *h, struct haul_peer *p, const void *arg)
{
	send_all_then_receive(h, p, arg);
}

EveryPath(pressure, two_who_send_all_before_they_receive_never_deadlock)
{
	struct haul_options o = path_options(path), theirs = o;
	struct pairing p;
	theirs.budget = 65536;
	theirs.window = 16;
	pairing_start(&p, &o, &theirs, send_all_there, path);
	send_all_then_receive(p.haul, p.peer, path);
	pairing_end(&p);
}
