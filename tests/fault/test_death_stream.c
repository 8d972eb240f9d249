/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The writer of a stream, or its reader, is killed or stopped at every system call that it makes for that, from its
 * opening to its close. What has been read is always the beginning of what was written; an end of file comes behind all of
 * it, and only where the other side had begun to end its direction. survivor.h plays the parts.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <haul/stream.h>

#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/survivor.h"

TestSuite(death_stream, .timeout = 300);

/* A ring of the least size is gone through several times; a direct write of PIECE has to be met. */
enum {
	RING = 16 << 10,
	ATOM = 700,
	PIECE = 25000,
	ALL = 4 * ATOM + 3 * PIECE,
	ANSWER = 9000,
	SEED = 5,
	BACK = 6
};

/* What both sides see: how far one has come with what it writes. Who waits for a victim that is stopped gives up soon, and
 * perhaps before that is. */
enum { WRITES, WROTE_ALL, GAVE_UP };

static struct {
	volatile int shut, closed;
} * seen;

static struct haul_stream_options options;
static uint8_t out[ALL], in[PIECE];

/* A write that was cut short tells why by the next. */
static int write_one(struct side *s, struct haul_stream *st, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = haul_stream_write(st, out + done, len - done, s->timeout_ms);
		if (n < 0)
			return (int)n;
		must(n > 0 && (size_t)n <= len - done);
		done += (size_t)n;
	}
	return 0;
}

static int write_all(struct side *s, struct haul_stream *st, const size_t *lens, size_t count, uint64_t seed)
{
	size_t at = 0;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		pattern_fill(out, lens[i], seed, at);
		rc = write_one(s, st, lens[i]);
		memset(out, CANARY, lens[i]); /* it is the caller's again, whatever has come of it */
		at += lens[i];
	}
	return rc;
}

/* To the end, by reads of all lengths; *state is the other side's. */
static int read_all(struct side *s, struct haul_stream *st, size_t all, uint64_t seed,
    const volatile int *state)
{
	static const size_t lens[] = { 1, 600, 5000, PIECE, 64, 17000 };
	size_t at = 0;
	for (unsigned i = 0;; i++) {
		size_t len = lens[i % (sizeof(lens) / sizeof(lens[0]))];
		memset(in, CANARY, sizeof(in));
		ssize_t n = haul_stream_read(st, in, len, s->timeout_ms);
		size_t got = n > 0 ? (size_t)n : 0;
		must(got <= len && got <= all - at);
		must_hold(in, got, seed, at);
		must_be_untouched(in + len, sizeof(in) - len);
		at += got;
		if (n > 0)
			continue;
		if (n == 0 && *state != GAVE_UP) {
			must_be(at, all);
			must_be(*state, WROTE_ALL);
		}
		return (int)n;
	}
}

static int write_and_hear(struct side *s)
{
	static const size_t lens[] = { ATOM, PIECE, ATOM, PIECE, ATOM, PIECE, ATOM };
	struct haul_stream *st;
	seen->shut = WRITES;
	int rc = haul_stream_open(s->p, 0, &options, sizeof(options), &st);
	if (rc != 0)
		return rc;
	rc = write_all(s, st, lens, sizeof(lens) / sizeof(lens[0]), SEED);
	seen->shut = rc == 0 ? WROTE_ALL : GAVE_UP;
	if (rc == 0)
		rc = haul_stream_shutdown(st);
	if (rc == 0)
		rc = read_all(s, st, ANSWER, BACK, &seen->closed);
	must_be(haul_stream_close(st), 0);
	return rc;
}

static int read_and_answer(struct side *s)
{
	static const size_t lens[] = { ANSWER };
	struct haul_stream *st;
	seen->closed = WRITES;
	int rc = haul_stream_open(s->p, 0, &options, sizeof(options), &st);
	if (rc != 0)
		return rc;
	rc = read_all(s, st, ALL, SEED, &seen->shut);
	if (rc == 0)
		rc = write_all(s, st, lens, 1, BACK);
	seen->closed = rc == 0 ? WROTE_ALL : GAVE_UP;
	must_be(haul_stream_close(st), 0);
	return rc;
}

/* Fewer calls are needed by outboxes, if the other is quick; and by a reader that is sent all it wants at once. */
static void play(const char *name, const struct haul_stream_options *how, const struct haul_options *o,
    unsigned a_least, unsigned b_least)
{
	options = *how;
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(seen != MAP_FAILED);
	survivor_play(name,
	    &(struct plan){ .a = write_and_hear,
	        .b = read_and_answer,
	        .a_options = o,
	        .b_options = o,
	        .a_least = a_least,
	        .b_least = b_least });
	must_be(munmap(seen, sizeof(*seen)), 0);
}

static const struct haul_stream_options tight = { .buffer = RING }, roomy = { 0 }, direct = { .direct = 1 };
static const struct haul_options by_stream = { .path = HAUL_PATH_STREAM };
static const struct haul_options by_outbox = { .transport = HAUL_TRANSPORT_OUTBOX };

Test(death_stream, of_a_buffered_stream)
{
	play("buffered", &tight, NULL, 5, 5);
}

Test(death_stream, of_a_buffered_stream_that_can_not_be_pulled)
{
	play("buffered by stream", &tight, &by_stream, 3, 1);
}

Test(death_stream, of_a_buffered_stream_by_outbox)
{
	play("buffered by outbox", &tight, &by_outbox, 3, 3);
}

/* Its writer is at its end before the reader has begun. */
Test(death_stream, of_a_buffered_stream_that_fits_its_buffer)
{
	play("roomy", &roomy, NULL, 3, 3);
}

Test(death_stream, of_a_buffered_stream_that_fits_its_buffer_and_can_not_be_pulled)
{
	play("roomy by stream", &roomy, &by_stream, 3, 1);
}

Test(death_stream, of_a_direct_stream)
{
	play("direct", &direct, NULL, 5, 5);
}

Test(death_stream, of_a_direct_stream_that_can_not_be_pulled)
{
	play("direct by stream", &direct, &by_stream, 8, 1);
}

Test(death_stream, of_a_direct_stream_by_outbox)
{
	play("direct by outbox", &direct, &by_outbox, 3, 3);
}
