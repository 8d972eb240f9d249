/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several threads at one stream, and a context that is closed meanwhile: it waits for who is in the middle of a read or
 * write.
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

enum { CLOSES = 20, MANY = 1 << 26, SPIN_US = 1000000 };

struct user {
	struct haul_stream *stream;
	unsigned char *bytes;
	atomic_bool begun;
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
