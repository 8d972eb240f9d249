/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stream beside a pipe(2): the same random program of writes, reads, polls and closes is run on both, and what can be seen
 * is the same: bytes, counts, the end, EAGAIN and EPIPE. What differs, and is not compared: how much fits in before a
 * write says EAGAIN; and where the reader can't pull, whether a read brings all that is there or needs another.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <haul/stream.h>

#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/seed.h"
#include "lib/talk.h"

TestSuite(stream_pipe, .timeout = 120);

enum { STEPS = 400, MOST = 12000, FULL = 24000, TRIES = 100 };

struct both {
	struct twins t;
	struct haul_stream *in, *out; /* NULL once closed */
	int pipe[2];                  /* to read, to write; -1 */
	bool pulls;
	size_t written, taken;
	unsigned char *from_pipe, *from_stream, *piece;
};

static void begin(struct both *b, const struct path *path)
{
	struct haul_options o = path_options(path);
	*b = (struct both){ .pulls = path->path != HAUL_PATH_STREAM };
	twins_start(&b->t, &o);
	must_be(haul_stream_open(b->t.to_b, 0, NULL, 0, &b->out), 0);
	must_be(haul_stream_open(b->t.to_a, 0, NULL, 0, &b->in), 0);
	must_be(pipe2(b->pipe, O_NONBLOCK | O_CLOEXEC), 0);
	b->from_pipe = room_for(MOST);
	b->from_stream = room_for(MOST);
	b->piece = room_for(MOST);
	signal(SIGPIPE, SIG_IGN); /* the pipe's; a stream has none */
}

static void close_pipe(struct both *b, int end)
{
	if (b->pipe[end] >= 0)
		close(b->pipe[end]);
	b->pipe[end] = -1;
}

static void end(struct both *b)
{
	haul_stream_close(b->in);
	haul_stream_close(b->out);
	close_pipe(b, 0);
	close_pipe(b, 1);
	free(b->from_pipe);
	free(b->from_stream);
	free(b->piece);
	twins_settle(&b->t);
	twins_end(&b->t);
}

static ssize_t visible(ssize_t rc)
{
	return rc < 0 ? -errno : rc;
}

static void write_both(struct both *b)
{
	size_t len = random_below(4) == 0 ? random_below(MOST) : random_below(300);
	if (b->out == NULL || b->written - b->taken + len > FULL)
		return;
	pattern_fill(b->piece, len, 5, b->written);
	ssize_t expected = visible(write(b->pipe[1], b->piece, len));
	must_be(haul_stream_write(b->out, b->piece, len, 0), expected);
	if (expected > 0)
		b->written += (size_t)expected;
}

/* The stream's part of a read, to the length that the pipe gave. */
static ssize_t read_as_much(struct both *b, size_t len, ssize_t expected)
{
	ssize_t got = 0, n = 0;
	for (int i = 0; i < TRIES; i++) {
		n = haul_stream_read(b->in, b->from_stream + got, len - (size_t)got, 0);
		got += n > 0 ? n : 0;
		if (got >= expected || b->pulls)
			break;
		twins_settle(&b->t);
	}
	return got > 0 ? got : n;
}

static void read_both(struct both *b)
{
	size_t len = 1 + (random_below(4) == 0 ? random_below(MOST - 1) : random_below(500));
	if (b->in == NULL)
		return;
	ssize_t expected = visible(read(b->pipe[0], b->from_pipe, len));
	must_be(read_as_much(b, len, expected), expected);
	if (expected <= 0)
		return;
	must(memcmp(b->from_pipe, b->from_stream, (size_t)expected) == 0);
	must_hold(b->from_stream, (size_t)expected, 5, b->taken);
	b->taken += (size_t)expected;
}

static void poll_both(struct both *b)
{
	struct pollfd fd = { .fd = b->pipe[0], .events = POLLIN };
	if (b->in == NULL)
		return;
	poll(&fd, 1, 0);
	bool expected = (fd.revents & (POLLIN | POLLHUP)) != 0, is_so = false;
	for (int i = 0; i < TRIES && is_so != expected; i++) {
		is_so = (haul_stream_ready(b->in) & HAUL_STREAM_READABLE) != 0;
		twins_settle(&b->t);
	}
	must_be((haul_stream_ready(b->in) & HAUL_STREAM_READABLE) != 0, expected);
}

static void close_both(struct both *b, int end)
{
	struct haul_stream **s = end == 0 ? &b->in : &b->out;
	must_be(haul_stream_close(*s), 0);
	*s = NULL;
	close_pipe(b, end);
}

static void run(struct both *b, int steps)
{
	for (int i = 0; i < steps; i++) {
		switch (random_below(5)) {
		case 0:
		case 1:
			write_both(b);
			break;
		case 2:
		case 3:
			read_both(b);
			break;
		default:
			poll_both(b);
		}
		twins_settle(&b->t);
	}
}

EveryPath(stream_pipe, behaves_as_a_pipe_until_the_writer_closes)
{
	struct both b;
	seed_random();
	begin(&b, path);
	run(&b, STEPS);
	close_both(&b, 1);
	twins_settle(&b.t);
	run(&b, STEPS);
	while (b.taken < b.written) {
		read_both(&b);
		twins_settle(&b.t);
	}
	read_both(&b);
	poll_both(&b);
	end(&b);
}

EveryPath(stream_pipe, behaves_as_a_pipe_until_the_reader_closes)
{
	struct both b;
	seed_random();
	begin(&b, path);
	run(&b, STEPS);
	close_both(&b, 0);
	twins_settle(&b.t);
	b.written = b.taken; /* nobody counts any more */
	must_be(visible(write(b.pipe[1], "x", 1)), -EPIPE);
	must_be(haul_stream_write(b.out, "x", 1, 0), -EPIPE);
	end(&b);
}
