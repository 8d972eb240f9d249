/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What becomes of a stream when one of its processes ends, is killed, or stands still: all that was written before an orderly
 * end is read; else the reader has an error, never an end of file; and nobody waits for ever.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <haul/stream.h>

#include "lib/duo.h"
#include "lib/must.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(stream_ends, .timeout = 120);

enum { SHORT_LEN = 9000, LONG_LEN = 700000, SOON_MS = 30, PIECE = 60000 };

struct plan {
	size_t len;
	int direct;
	bool wait; /* for a token first, or at the end */
};

static struct haul_stream *opened(struct haul_peer *p, int direct)
{
	struct haul_stream_options o = { .direct = direct };
	struct haul_stream *s;
	must_be(haul_stream_open(p, 0, &o, sizeof(o), &s), 0);
	return s;
}

/* Reads to the end; how much there was, or the error that came instead. */
static ssize_t read_to_end(struct haul_stream *s, uint64_t seed)
{
	static unsigned char piece[PIECE];
	ssize_t n, all = 0;
	while ((n = haul_stream_read(s, piece, sizeof(piece), PATIENCE_MS)) > 0) {
		must_hold(piece, (size_t)n, seed, (size_t)all);
		all += n;
	}
	return n < 0 ? n : all;
}

static void write_pattern(struct haul_stream *s, size_t len, uint64_t seed)
{
	unsigned char *out = filled(len, seed);
	must_be(haul_stream_write(s, out, len, PATIENCE_MS), len);
	free(out);
}

/* ---- the writer ends ---- */

static int write_and_exit(struct haul *h, struct haul_peer *p, void *arg)
{
	const struct plan *plan = arg;
	(void)h;
	write_pattern(opened(p, plan->direct), plan->len, 1);
	exit(0);
}

static void exits_right_after(struct path *path, size_t len)
{
	struct haul_options o = path_options(path);
	struct plan plan = { .len = len };
	struct duo d;
	duo_start(&d, &(struct duo_plan){ write_and_exit, &plan, &o, &o, PATIENCE_MS });
	struct haul_stream *s = opened(d.peer, 0);
	must_be(read_to_end(s, 1), len);
	child_expect(&d.child, 0);
	must_be(haul_stream_close(s), 0);
	duo_close(&d);
}

EveryPath(stream_ends, a_writer_that_exits_right_after_a_short_write_loses_nothing)
{
	exits_right_after(path, SHORT_LEN);
}

EveryPath(stream_ends, a_writer_that_exits_right_after_a_long_write_loses_nothing)
{
	exits_right_after(path, LONG_LEN);
}

/* What is left with the kernel needs the writer no more. */
Test(stream_ends, what_is_short_can_be_read_when_its_writer_is_long_gone)
{
	struct plan plan = { .len = SHORT_LEN };
	struct duo d;
	duo_start(&d, &(struct duo_plan){ write_and_exit, &plan, NULL, NULL, PATIENCE_MS });
	child_expect(&d.child, 0);
	struct haul_stream *s = opened(d.peer, 0);
	must_be(read_to_end(s, 1), SHORT_LEN);
	must_be(haul_stream_close(s), 0);
	duo_close(&d);
}

static int write_and_crash(struct haul *h, struct haul_peer *p, void *arg)
{
	const struct plan *plan = arg;
	(void)h;
	write_pattern(opened(p, 0), plan->len, 1);
	_exit(0);
}

EveryPath(stream_ends, a_writer_that_crashes_leaves_an_error_not_an_end)
{
	struct haul_options o = path_options(path);
	struct plan plan = { .len = LONG_LEN };
	struct duo d;
	duo_start(&d, &(struct duo_plan){ write_and_crash, &plan, &o, &o, PATIENCE_MS });
	struct haul_stream *s = opened(d.peer, 0);
	must_be(read_to_end(s, 1), -ECONNRESET);
	must_be(haul_stream_read(s, &d, 1, 0), -ECONNRESET);
	must_be(haul_stream_write(s, &d, 1, 0), -ECONNRESET);
	child_expect(&d.child, 0);
	must_be(haul_stream_close(s), 0);
	duo_close(&d);
}

static int wait_for_ever(struct haul *h, struct haul_peer *p, void *arg)
{
	const struct plan *plan = arg;
	struct haul_stream *s = opened(p, 0);
	write_pattern(s, plan->len, 1);
	await_token(h, p);
	return 0;
}

EveryPath(stream_ends, a_reader_hears_of_its_writers_death)
{
	struct haul_options o = path_options(path);
	struct plan plan = { .len = 10 };
	struct duo d;
	unsigned char some[100];
	duo_start(&d, &(struct duo_plan){ wait_for_ever, &plan, &o, &o, PATIENCE_MS });
	struct haul_stream *s = opened(d.peer, 0);
	must_be(haul_stream_read(s, some, sizeof(some), PATIENCE_MS), 10);
	must_be(haul_stream_read(s, some, sizeof(some), SOON_MS), -ETIMEDOUT);
	child_signal(&d.child, SIGKILL);
	must_be(haul_stream_read(s, some, sizeof(some), PATIENCE_MS), -ECONNRESET);
	child_expect_killed(&d.child, SIGKILL);
	must_be(haul_stream_close(s), 0);
	duo_close(&d);
}

/* It is not asked again and again. */
EveryPath(stream_ends, a_stream_of_a_dead_peer_leaves_nothing_to_do)
{
	enum { ROUNDS = 10000 };
	struct haul_options o = path_options(path);
	struct plan plan = { .len = 10 };
	struct duo d;
	unsigned char some[100];
	int rounds = 0;
	duo_start(&d, &(struct duo_plan){ wait_for_ever, &plan, &o, &o, PATIENCE_MS });
	struct haul_stream *s = opened(d.peer, 0);
	must_be(haul_stream_read(s, some, sizeof(some), PATIENCE_MS), 10);
	child_signal(&d.child, SIGKILL);
	child_expect_killed(&d.child, SIGKILL);
	must_be(haul_stream_read(s, some, sizeof(some), PATIENCE_MS), -ECONNRESET);
	while (haul_progress(d.haul) > 0)
		must(++rounds < ROUNDS);
	must_be(haul_stream_close(s), 0);
	duo_close(&d);
}

EveryPath(stream_ends, a_reader_keeps_its_timeout_while_the_writer_is_stopped)
{
	struct haul_options o = path_options(path);
	struct plan plan = { .len = 10 };
	struct duo d;
	unsigned char some[100];
	duo_start(&d, &(struct duo_plan){ wait_for_ever, &plan, &o, &o, PATIENCE_MS });
	struct haul_stream *s = opened(d.peer, 0);
	must_be(haul_stream_read(s, some, sizeof(some), PATIENCE_MS), 10);
	duo_stop(&d.child);
	must_be(haul_stream_read(s, some, sizeof(some), SOON_MS), -ETIMEDOUT);
	duo_continue(&d.child);
	send_token(d.peer);
	must_be(haul_stream_read(s, some, sizeof(some), PATIENCE_MS), 0);
	must_be(haul_stream_close(s), 0);
	duo_close(&d);
	child_expect(&d.child, 0);
}

/* ---- the reader ends ---- */

static int read_a_little(struct haul *h, struct haul_peer *p, void *arg)
{
	const struct plan *plan = arg;
	struct haul_stream *s = opened(p, 0);
	unsigned char some[100];
	must_be(haul_stream_read(s, some, sizeof(some), PATIENCE_MS), sizeof(some));
	if (plan->wait)
		await_token(h, p);
	must_be(haul_stream_close(s), 0);
	await_token(h, p);
	return 0;
}

static ssize_t write_without_end(struct haul_stream *s, int timeout_ms)
{
	static unsigned char piece[PIECE];
	ssize_t n;
	while ((n = haul_stream_write(s, piece, sizeof(piece), timeout_ms)) > 0)
		;
	return n;
}

static void reader_closes(const struct path *path, int direct)
{
	struct haul_options o = path_options(path);
	struct plan plan = { 0 };
	struct duo d;
	duo_start(&d, &(struct duo_plan){ read_a_little, &plan, &o, &o, PATIENCE_MS });
	struct haul_stream *s = opened(d.peer, direct);
	must_be(write_without_end(s, PATIENCE_MS), -EPIPE);
	must_be(haul_stream_write(s, "x", 1, 0), -EPIPE);
	send_token(d.peer);
	must_be(haul_stream_close(s), 0);
	duo_close(&d);
	child_expect(&d.child, 0);
}

EveryPath(stream_ends, a_writer_hears_that_nobody_reads_any_more)
{
	reader_closes(path, 0);
}

EveryPath(stream_ends, a_direct_writer_hears_that_nobody_reads_any_more)
{
	reader_closes(path, 1);
}

EveryPath(stream_ends, a_writer_hears_of_its_readers_death)
{
	struct haul_options o = path_options(path);
	struct plan plan = { .wait = true };
	struct duo d;
	duo_start(&d, &(struct duo_plan){ read_a_little, &plan, &o, &o, PATIENCE_MS });
	struct haul_stream *s = opened(d.peer, 0);
	must_be(write_without_end(s, SOON_MS), -ETIMEDOUT);
	child_signal(&d.child, SIGKILL);
	must_be(write_without_end(s, PATIENCE_MS), -ECONNRESET);
	child_expect_killed(&d.child, SIGKILL);
	must_be(haul_stream_close(s), 0);
	duo_close(&d);
}

EveryPath(stream_ends, a_writer_keeps_its_timeout_while_the_reader_is_stopped)
{
	struct haul_options o = path_options(path);
	struct plan plan = { .wait = true };
	struct duo d;
	duo_start(&d, &(struct duo_plan){ read_a_little, &plan, &o, &o, PATIENCE_MS });
	struct haul_stream *s = opened(d.peer, 0);
	duo_stop(&d.child);
	must_be(write_without_end(s, SOON_MS), -ETIMEDOUT);
	must_be(write_without_end(s, 0), -EAGAIN);
	duo_continue(&d.child);
	send_token(d.peer);
	must_be(write_without_end(s, PATIENCE_MS), -EPIPE);
	send_token(d.peer);
	must_be(haul_stream_close(s), 0);
	duo_close(&d);
	child_expect(&d.child, 0);
}

/* ---- closing ---- */

static int read_it_all_later(struct haul *h, struct haul_peer *p, void *arg)
{
	const struct plan *plan = arg;
	struct haul_stream *s = opened(p, 0);
	await_token(h, p);
	must_be(read_to_end(s, 1), plan->len);
	must_be(haul_stream_close(s), 0);
	return 0;
}

EveryPath(stream_ends, closing_the_peer_waits_for_what_was_written)
{
	struct haul_options o = path_options(path);
	struct plan plan = { .len = LONG_LEN };
	struct duo d;
	duo_start(&d, &(struct duo_plan){ read_it_all_later, &plan, &o, &o, PATIENCE_MS });
	struct haul_stream *s = opened(d.peer, 0);
	write_pattern(s, LONG_LEN, 1);
	send_token(d.peer);
	must_be(haul_peer_close(d.peer, PATIENCE_MS), 0);
	child_expect(&d.child, 0);
	must_be(haul_stream_write(s, "x", 1, 0), -EPIPE);
	must_be(haul_stream_close(s), 0);
	must_be(haul_close(d.haul, 0), 0);
}

static int open_and_leave(struct haul *h, struct haul_peer *p, void *arg)
{
	struct haul_stream *s = opened(p, 0);
	(void)h;
	(void)arg;
	write_pattern(s, LONG_LEN, 1);
	return 0; /* the context is closed without lingering */
}

Test(stream_ends, what_is_left_behind_is_an_error)
{
	struct duo d;
	duo_start(&d, &(struct duo_plan){ open_and_leave, NULL, NULL, NULL, PATIENCE_MS });
	child_expect(&d.child, 0);
	struct haul_stream *s = opened(d.peer, 0);
	ssize_t n = read_to_end(s, 1);
	must(n == -EPIPE || n == -ECONNRESET || n == -ECANCELED);
	must_be(haul_stream_close(s), 0);
	duo_close(&d);
}
