/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Byte streams: what is written is read, whole and in order, by reads and writes of any size, on every path and either way
 * of writing; its end is told once all was read; what can't be done now says so, and haul_fd() tells when it can.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <haul/stream.h>

#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/seed.h"
#include "lib/talk.h"

TestSuite(stream, .timeout = 120);

enum { ALL = 3000000, PIECE_MOST = 150000, NAME = 5, MANY = 40, LINES = 5000 };

struct plan {
	const struct path *path;
	int direct;
};

static struct haul_stream *open_named(struct haul_peer *p, uint32_t name, int direct)
{
	struct haul_stream_options o = { .direct = direct };
	struct haul_stream *s;
	must_be(haul_stream_open(p, name, &o, sizeof(o), &s), 0);
	return s;
}

/* Sizes from 1 on, most of them small. */
static size_t some(size_t most)
{
	const size_t kinds[] = { 100, 5000, PIECE_MOST };
	size_t n = 1 + random_below(kinds[random_below(3)]);
	return n < most ? n : most;
}

static void write_all(struct haul_stream *s, size_t all, uint64_t seed)
{
	unsigned char *piece = room_for(PIECE_MOST);
	for (size_t at = 0, n; at < all; at += n) {
		n = some(all - at < PIECE_MOST ? all - at : PIECE_MOST);
		pattern_fill(piece, n, seed, at);
		must_be(haul_stream_write(s, piece, n, PATIENCE_MS), n);
		memset(piece, CANARY, n); /* it is ours again */
	}
	free(piece);
}

static void read_all(struct haul_stream *s, size_t all, uint64_t seed)
{
	unsigned char *piece = room_for(PIECE_MOST + 1);
	size_t at = 0;
	for (;;) {
		size_t asked = some(PIECE_MOST);
		memset(piece, CANARY, asked + 1);
		ssize_t n = haul_stream_read(s, piece, asked, PATIENCE_MS);
		must(n >= 0 && (size_t)n <= asked);
		if (n == 0)
			break;
		must_hold(piece, (size_t)n, seed, at);
		must_be_untouched(piece + n, asked + 1 - (size_t)n);
		at += (size_t)n;
	}
	must_be(at, all);
	must_be(haul_stream_read(s, piece, 1, 0), 0); /* and again */
	free(piece);
}

/* ---- there and back ---- */

static void write_then_read(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct plan *plan = arg;
	struct haul_stream *s = open_named(p, NAME, plan->direct);
	(void)h;
	write_all(s, ALL, 1);
	must_be(haul_stream_shutdown(s), 0);
	must_be(haul_stream_write(s, "x", 1, 0), -EPIPE);
	read_all(s, ALL / 2, 2);
	must_be(haul_stream_close(s), 0);
}

static void there_and_back(struct path *path, int direct)
{
	struct haul_options o = path_options(path);
	struct plan plan = { .path = path, .direct = direct };
	struct pairing p;
	seed_random();
	pairing_start(&p, &o, &o, write_then_read, &plan);
	struct haul_stream *s = open_named(p.peer, NAME, direct);
	read_all(s, ALL, 1);
	write_all(s, ALL / 2, 2);
	must_be(haul_stream_close(s), 0);
	pairing_end(&p);
}

EveryPath(stream, brings_what_was_written_buffered)
{
	there_and_back(path, 0);
}

EveryPath(stream, brings_what_was_written_direct)
{
	there_and_back(path, 1);
}

/* ---- many at once ---- */

static void write_many(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_stream *s[MANY];
	(void)h;
	(void)arg;
	for (uint32_t i = 0; i < MANY; i++)
		s[i] = open_named(p, i, 0);
	for (uint32_t i = 0; i < MANY; i++)
		write_all(s[i], 20000 + i, i);
	for (uint32_t i = 0; i < MANY; i++)
		must_be(haul_stream_close(s[i]), 0);
}

EveryPath(stream, keeps_many_apart)
{
	struct haul_options o = path_options(path);
	struct plan plan = { .path = path };
	struct pairing p;
	seed_random();
	pairing_start(&p, &o, &o, write_many, &plan);
	for (uint32_t i = MANY; i-- > 0;) {
		struct haul_stream *s = open_named(p.peer, i, 0);
		read_all(s, 20000 + i, i);
		must_be(haul_stream_close(s), 0);
	}
	pairing_end(&p);
}

/* ---- both in one thread ---- */

struct ends {
	struct twins t;
	struct haul_stream *a, *b;
};

static void ends_start(struct ends *e, const struct path *path, int direct, size_t buffer)
{
	struct haul_options o = path_options(path);
	struct haul_stream_options so = { .direct = direct, .buffer = buffer };
	twins_start(&e->t, &o);
	must_be(haul_stream_open(e->t.to_b, NAME, &so, sizeof(so), &e->a), 0);
	must_be(haul_stream_open(e->t.to_a, NAME, &so, sizeof(so), &e->b), 0);
}

static void ends_end(struct ends *e)
{
	haul_stream_close(e->a);
	haul_stream_close(e->b);
	twins_settle(&e->t);
	twins_end(&e->t);
}

/* As an event loop would, until the end can do it; what the other does is done by us in between. A wait that nobody ends is
 * found by its timeout. */
static void await_ready(struct haul_stream *s, int what, struct haul *h, struct haul *other)
{
	struct pollfd fd = { .fd = haul_fd(h), .events = POLLIN };
	must(fd.fd >= 0);
	for (;;) {
		while (haul_progress(h) > 0)
			;
		if (haul_stream_ready(s) & what)
			return;
		bool sleeps = haul_arm(h) == 0;
		while (haul_progress(other) > 0)
			;
		if (sleeps)
			must_be(poll(&fd, 1, PATIENCE_MS), 1);
	}
}

EveryPath(stream, says_what_cannot_be_done_now)
{
	struct ends e;
	unsigned char *buf = filled(300000, 3), *in = room_for(300000);
	size_t written = 0, got = 0;
	ssize_t n;
	ends_start(&e, path, 0, 64 << 10);
	must_be(haul_stream_read(e.b, in, 10, 0), -EAGAIN);
	must_be(haul_stream_read(e.b, in, 0, 0), 0);
	must_be(haul_stream_write(e.a, buf, 0, 0), 0);
	must_be(haul_stream_ready(e.b), HAUL_STREAM_WRITABLE);
	while ((n = haul_stream_write(e.a, buf + written, 300000 - written, 0)) > 0)
		written += (size_t)n;
	must_be(n, -EAGAIN);
	must(written >= 64 << 10 && written < 300000);
	must_be(haul_stream_ready(e.a) & HAUL_STREAM_WRITABLE, 0);
	await_ready(e.b, HAUL_STREAM_READABLE, e.t.b, e.t.a);
	while (got < 300000) {
		while ((n = haul_stream_read(e.b, in, 300000, 0)) > 0) {
			must_hold(in, (size_t)n, 3, got);
			got += (size_t)n;
		}
		must_be(n, -EAGAIN);
		twins_settle(&e.t);
		if (written < 300000 && (n = haul_stream_write(e.a, buf + written, 300000 - written, 0)) > 0)
			written += (size_t)n;
		twins_settle(&e.t);
	}
	free(buf);
	free(in);
	ends_end(&e);
}

EveryPath(stream, tells_an_event_loop)
{
	struct ends e;
	unsigned char buf[HAUL_STREAM_ATOMIC] = { 0 }, in[100000];
	ends_start(&e, path, 0, 16 << 10);
	for (int i = 0; i < 3; i++) {
		must_be(haul_stream_ready(e.b) & HAUL_STREAM_READABLE, 0);
		must_be(haul_stream_write(e.a, buf, 10, 0), 10);
		await_ready(e.b, HAUL_STREAM_READABLE, e.t.b, e.t.a);
		must_be(haul_stream_read(e.b, in, sizeof(in), 0), 10);
	}
	do
		while (haul_stream_write(e.a, buf, sizeof(buf), 0) > 0)
			;
	while (twins_settle(&e.t), haul_stream_ready(e.a) & HAUL_STREAM_WRITABLE);
	while ((haul_stream_ready(e.a) & HAUL_STREAM_WRITABLE) == 0) {
		await_ready(e.b, HAUL_STREAM_READABLE, e.t.b, e.t.a);
		must(haul_stream_read(e.b, in, sizeof(in), 0) > 0);
		twins_settle(&e.t);
	}
	must_be(haul_stream_write(e.a, buf, sizeof(buf), 0), sizeof(buf));
	ends_end(&e);
}

EveryPath(stream, ends_for_the_writer_when_nobody_reads)
{
	struct ends e;
	ssize_t n;
	ends_start(&e, path, 0, 16 << 10);
	must_be(haul_stream_write(e.a, "abc", 3, 0), 3);
	twins_settle(&e.t);
	must_be(haul_stream_close(e.b), 0);
	twins_settle(&e.t);
	while ((n = haul_stream_write(e.a, "abc", 3, 0)) > 0)
		twins_settle(&e.t);
	must_be(n, -EPIPE);
	must_be(haul_stream_close(e.a), 0);
	twins_settle(&e.t);
	twins_end(&e.t);
}

EveryPath(stream, gives_what_is_there_and_gathers_small_writes)
{
	struct ends e;
	unsigned char in[5000], out[5000];
	ends_start(&e, path, 0, 0);
	pattern_fill(out, sizeof(out), 9, 0);
	for (size_t at = 0; at < sizeof(out); at += 50) {
		must_be(haul_stream_write(e.a, out + at, 50, PATIENCE_MS), 50);
		twins_settle(&e.t);
	}
	ssize_t got = 0, n;
	while (got < (ssize_t)sizeof(in)) {
		n = haul_stream_read(e.b, in + got, sizeof(in) - (size_t)got, 0);
		must(n > 0 || n == -EAGAIN);
		got += n > 0 ? n : 0;
		twins_settle(&e.t);
	}
	must_hold(in, sizeof(in), 9, 0);
	ends_end(&e);
}

EveryPath(stream, ends_well_where_its_writer_has_closed_before_it_is_opened)
{
	struct haul_options o = path_options(path);
	struct haul_stream *a, *b;
	unsigned char *out = filled(50000, 4), *in = room_for(50000);
	struct twins t;
	twins_start(&t, &o);
	a = open_named(t.to_b, NAME, 0);
	must_be(haul_stream_write(a, out, 50000, PATIENCE_MS), 50000);
	must_be(haul_stream_close(a), 0);
	twins_settle(&t);
	b = open_named(t.to_a, NAME, 0);
	for (ssize_t got = 0, n; got<50000; got += n> 0 ? n : 0) {
		n = haul_stream_read(b, in + got, (size_t)(50000 - got), 0);
		must(n > 0 || n == -EAGAIN);
		twins_settle(&t);
	}
	must_hold(in, 50000, 4, 0);
	must_be(haul_stream_read(b, in, 1, 0), 0);
	must_be(haul_stream_close(b), 0);
	twins_settle(&t);
	twins_end(&t);
	free(out);
	free(in);
}

/* ---- threads ---- */

struct hand {
	struct haul_stream *s;
	unsigned char mark;
};

enum { HANDS = 4, WRITES = 300, BLOCK = 4000 };

static void *write_blocks(void *arg)
{
	struct hand *hand = arg;
	unsigned char block[BLOCK];
	memset(block, hand->mark, sizeof(block));
	for (int i = 0; i < WRITES; i++)
		must_be(haul_stream_write(hand->s, block, sizeof(block), PATIENCE_MS), sizeof(block));
	return NULL;
}

static void write_by_threads(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct plan *plan = arg;
	struct haul_stream *s = open_named(p, NAME, plan->direct);
	struct hand hands[HANDS];
	pthread_t threads[HANDS];
	(void)h;
	for (int i = 0; i < HANDS; i++) {
		hands[i] = (struct hand){ s, (unsigned char)('a' + i) };
		must_be(pthread_create(&threads[i], NULL, write_blocks, &hands[i]), 0);
	}
	for (int i = 0; i < HANDS; i++)
		pthread_join(threads[i], NULL);
	must_be(haul_stream_close(s), 0);
}

EveryPath(stream, does_not_mix_short_writes_of_threads)
{
	struct haul_options o = path_options(path);
	struct plan plan = { .path = path };
	struct pairing p;
	unsigned char block[BLOCK];
	int blocks = 0;
	pairing_start(&p, &o, &o, write_by_threads, &plan);
	struct haul_stream *s = open_named(p.peer, NAME, 0);
	for (;; blocks++) {
		size_t got = 0;
		ssize_t n = 1;
		while (got < BLOCK && (n = haul_stream_read(s, block + got, BLOCK - got, PATIENCE_MS)) > 0)
			got += (size_t)n;
		must(n >= 0);
		if (got == 0)
			break;
		must_be(got, BLOCK);
		for (int i = 1; i < BLOCK; i++)
			must(block[i] == block[0]);
	}
	must_be(blocks, HANDS * WRITES);
	must_be(haul_stream_close(s), 0);
	pairing_end(&p);
}

/* ---- stdio ---- */

static void print_lines(struct haul *h, struct haul_peer *p, const void *arg)
{
	FILE *f = haul_stream_file(open_named(p, NAME, 0), "w");
	(void)h;
	(void)arg;
	must(f != NULL);
	for (int i = 0; i < LINES; i++)
		must(fprintf(f, "line %d\n", i) > 0);
	must_be(fclose(f), 0);
}

EveryPath(stream, is_a_file_to_stdio)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	char *line = NULL, expected[32];
	size_t size = 0;
	int i = 0;
	pairing_start(&p, &o, &o, print_lines, NULL);
	FILE *f = haul_stream_file(open_named(p.peer, NAME, 0), "r");
	must(f != NULL);
	for (; getline(&line, &size, f) > 0; i++) {
		snprintf(expected, sizeof(expected), "line %d\n", i);
		must(strcmp(line, expected) == 0);
	}
	must_be(i, LINES);
	must(feof(f) && !ferror(f));
	must_be(fclose(f), 0);
	free(line);
	pairing_end(&p);
}

/* ---- what is asked wrongly ---- */

Test(stream, tells_what_is_wrong_with_its_arguments)
{
	struct twins t;
	struct haul_stream *s, *other;
	struct haul_stream_options o = { .direct = 2 };
	struct iovec bad = { NULL, 5 };
	twins_start(&t, NULL);
	must_be(haul_stream_open(NULL, 0, NULL, 0, &s), -EINVAL);
	must_be(haul_stream_open(t.to_b, 0, NULL, 0, NULL), -EINVAL);
	must_be(haul_stream_open(t.to_b, 1 << 24, NULL, 0, &s), -EINVAL);
	must_be(haul_stream_open(t.to_b, 0, NULL, 8, &s), -EINVAL);
	must_be(haul_stream_open(t.to_b, 0, &o, 0, &s), -EINVAL);
	must_be(haul_stream_open(t.to_b, 0, &o, sizeof(o), &s), -EINVAL);
	o = (struct haul_stream_options){ .buffer = (size_t)1 << 31 };
	must_be(haul_stream_open(t.to_b, 0, &o, sizeof(o), &s), -EINVAL);
	must_be(haul_stream_open(haul_self(t.a), 0, NULL, 0, &s), -EINVAL);
	must_be(haul_stream_open(t.to_b, 0, NULL, 0, &s), 0);
	must_be(haul_stream_open(t.to_b, 0, NULL, 0, &other), -EEXIST);
	must_be(haul_stream_read(NULL, &o, 1, 0), -EINVAL);
	must_be(haul_stream_write(NULL, &o, 1, 0), -EINVAL);
	must_be(haul_stream_read(s, &o, 1, -2), -EINVAL);
	must_be(haul_stream_write(s, &o, 1, -2), -EINVAL);
	must_be(haul_stream_readv(s, &bad, 1, 0), -EINVAL);
	must_be(haul_stream_writev(s, &bad, 1, 0), -EINVAL);
	must_be(haul_stream_read(s, &o, 1, 10), -ETIMEDOUT);
	must_be(haul_stream_shutdown(NULL), -EINVAL);
	must_be(haul_stream_ready(NULL), -EINVAL);
	must_be(haul_stream_close(NULL), 0);
	must(haul_stream_file(s, "a") == NULL && errno == EINVAL);
	must(haul_stream_file(NULL, "r") == NULL && errno == EINVAL);
	must_be(haul_stream_close(s), 0);
	twins_settle(&t);
	must_be(haul_stream_open(t.to_b, 0, NULL, 0, &s), -EEXIST);
	twins_end(&t);
}
