/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several threads at one stream, and a context that is closed meanwhile: it waits for who is in the middle of a read or
 * write, and nobody takes another's wake-up.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <haul/stream.h>

#include "lib/duo.h"
#include "lib/must.h"
#include "lib/pairing.h"
#include "lib/talk.h"

TestSuite(stream_threads, .timeout = 120);

enum { CLOSES = 20, MANY = 1 << 26, SPIN_US = 1000000, ROUNDS = 3000 };

struct user {
	struct haul_stream *stream;
	unsigned char *bytes;
	atomic_bool begun, over;
	atomic_long got;
	ssize_t end;
};

static void *read_one(void *arg)
{
	struct user *u = arg;
	unsigned char c;
	atomic_store(&u->begun, true);
	u->end = haul_stream_read(u->stream, &c, 1, -1);
	return NULL;
}

static void *write_many(void *arg)
{
	struct user *u = arg;
	atomic_store(&u->begun, true);
	u->end = haul_stream_write(u->stream, u->bytes, MANY, -1);
	return NULL;
}

static int drain(struct haul *h, struct haul_peer *p, void *arg)
{
	static unsigned char piece[1 << 16];
	struct haul_stream *s;
	(void)h;
	(void)arg;
	must_be(haul_stream_open(p, 0, NULL, 0, &s), 0);
	must_be(haul_stream_write(s, "x", 1, PATIENCE_MS), 1);
	while (haul_stream_read(s, piece, sizeof(piece), -1) > 0)
		;
	return 0;
}

/* So long that whoever waits spins, and lets others in, instead of sleeping. */
static void closes_under(void *(*run)(void *arg))
{
	struct haul_options o = { .spin_us = SPIN_US };
	unsigned char c, *bytes = room_for(MANY);
	for (int i = 0; i < CLOSES; i++) {
		struct user u = { .bytes = bytes };
		struct duo d;
		pthread_t thread;
		duo_start(&d, &(struct duo_plan){ drain, NULL, &o, NULL, PATIENCE_MS });
		must_be(haul_stream_open(d.peer, 0, NULL, 0, &u.stream), 0);
		must_be(haul_stream_read(u.stream, &c, 1, PATIENCE_MS), 1);
		must_be(pthread_create(&thread, NULL, run, &u), 0);
		while (!atomic_load(&u.begun))
			;
		usleep(1000 + 200 * (useconds_t)i); /* into its call; what happens there is luck */
		must_be(haul_close(d.haul, 0) == -EBUSY, 0);
		must_be(pthread_join(thread, NULL), 0);
		must(u.end == -ECANCELED || u.end == -ECONNRESET || u.end == -EPIPE || u.end > 0);
		child_expect(&d.child, 0);
	}
	free(bytes);
}

Test(stream_threads, a_close_waits_for_who_reads)
{
	closes_under(read_one);
}

Test(stream_threads, a_close_waits_for_who_writes)
{
	closes_under(write_many);
}

static void *read_all(void *arg)
{
	struct user *u = arg;
	unsigned char c;
	while ((u->end = haul_stream_read(u->stream, &c, 1, PATIENCE_MS)) > 0)
		atomic_fetch_add(&u->got, 1);
	atomic_store(&u->over, true);
	return NULL;
}

static int ping(struct haul *h, struct haul_peer *p, void *arg)
{
	struct haul_stream *s;
	char c;
	(void)h;
	(void)arg;
	must_be(haul_stream_open(p, 0, NULL, 0, &s), 0);
	for (int i = 0; i < ROUNDS; i++) {
		must_be(haul_stream_write(s, "x", 1, PATIENCE_MS), 1);
		must_be(haul_stream_read(s, &c, 1, PATIENCE_MS), 1);
	}
	must_be(haul_stream_close(s), 0);
	must_be(haul_peer_close(p, PATIENCE_MS), 0);
	return 0;
}

Test(stream_threads, who_asks_takes_no_wake_up_from_who_reads)
{
	struct haul_options o = { .spin_us = -1 };
	struct user u = { .got = 0 };
	struct duo d;
	pthread_t thread;
	long answered = 0;
	duo_start(&d, &(struct duo_plan){ ping, NULL, &o, NULL, PATIENCE_MS });
	must_be(haul_stream_open(d.peer, 0, NULL, 0, &u.stream), 0);
	must_be(pthread_create(&thread, NULL, read_all, &u), 0);
	while (!atomic_load(&u.over)) {
		must(haul_stream_ready(u.stream) >= 0);
		if (atomic_load(&u.got) == answered)
			continue;
		answered++;
		must_be(haul_stream_write(u.stream, "y", 1, PATIENCE_MS), 1);
	}
	must_be(pthread_join(thread, NULL), 0);
	must_be(u.end, 0);
	must_be(atomic_load(&u.got), ROUNDS);
	must_be(haul_stream_close(u.stream), 0);
	duo_close(&d);
	child_expect(&d.child, 0);
}
