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

enum { SHORT_LEN = 9000, LONG_LEN = 700000, LITTLE = 10, PIECE = 60000 };
enum { SOON_MS = 30, LATER_MS = 300, FEW = 5 };

struct plan {
	size_t len;
	int direct; /* whoever writes */
	bool wait;  /* for a token first, or at the end */
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

/* Both sides have these options; the child does its part, with that plan. Our end of the stream. */
static struct haul_stream *start(struct duo *d, const struct haul_options *o,
    int (*part)(struct haul *h, struct haul_peer *p, void *arg), struct plan plan)
{
	duo_start(d, &(struct duo_plan){ part, &plan, o, o, PATIENCE_MS });
	return opened(d->peer, plan.direct);
}

static void leave(struct duo *d, struct haul_stream *s)
{
	must_be(haul_stream_close(s), 0);
	duo_close(d);
}

/* The child has written LITTLE, and no more yet. */
static void read_little(struct haul_stream *s)
{
	unsigned char some[100];
	must_be(haul_stream_read(s, some, sizeof(some), PATIENCE_MS), LITTLE);
	must_hold(some, LITTLE, 1, 0);
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
	struct duo d;
	struct haul_stream *s = start(&d, &o, write_and_exit, (struct plan){ .len = len });
	must_be(read_to_end(s, 1), len);
	child_expect(&d.child, 0);
	leave(&d, s);
}

EveryPath(stream_ends, a_writer_that_exits_right_after_a_short_write_loses_nothing)
{
	exits_right_after(path, SHORT_LEN);
}

EveryPath(stream_ends, a_writer_that_exits_right_after_a_long_write_loses_nothing)
{
	exits_right_after(path, LONG_LEN);
}

static int print_and_exit(struct haul *h, struct haul_peer *p, void *arg)
{
	const struct plan *plan = arg;
	FILE *f = haul_stream_file(opened(p, plan->direct), "w");
	unsigned char *out = filled(plan->len, 1);
	(void)h;
	must(f != NULL);
	must_be(fwrite(out, 1, plan->len, f), plan->len);
	free(out);
	exit(0);
}

EveryPath(stream_ends, a_stdio_stream_is_flushed_by_exit)
{
	struct haul_options o = path_options(path);
	for (int direct = 0; direct < 2; direct++) {
		struct duo d;
		struct haul_stream *s =
		    start(&d, &o, print_and_exit, (struct plan){ .len = SHORT_LEN, .direct = direct });
		must_be(read_to_end(s, 1), SHORT_LEN);
		child_expect(&d.child, 0);
		leave(&d, s);
	}
}

Test(stream_ends, a_stdio_stream_outlives_its_context)
{
	struct plan plan = { .len = 10 };
	struct duo d;
	duo_start(&d, &(struct duo_plan){ write_and_exit, &plan, NULL, NULL, PATIENCE_MS });
	FILE *f = haul_stream_file(opened(d.peer, 0), "w");
	must(f != NULL);
	child_expect(&d.child, 0);
	duo_close(&d);
	must_be(fputc('x', f), 'x');
	must_be(fflush(f), EOF);
	must_be(errno, EBADF);
	fclose(f);
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
	leave(&d, s);
}

/* The end comes as a message with all that was not read. */
EveryPath(stream_ends, a_reader_that_accepts_short_messages_only_has_it_all)
{
	struct haul_options theirs = path_options(path), ours = theirs;
	struct plan plan = { .len = LONG_LEN };
	struct duo d;
	ours.max_msg = 3 * SHORT_LEN;
	duo_start(&d, &(struct duo_plan){ write_and_exit, &plan, &ours, &theirs, PATIENCE_MS });
	struct haul_stream *s = opened(d.peer, 0);
	must_be(read_to_end(s, 1), LONG_LEN);
	child_expect(&d.child, 0);
	leave(&d, s);
}

static int write_to_who_accepts_nothing(struct haul *h, struct haul_peer *p, void *arg)
{
	unsigned char *out = filled(LONG_LEN, 1);
	const struct plan *plan = arg;
	struct haul_stream *s = opened(p, plan->direct);
	(void)h;
	must_be(haul_stream_write(s, out, LONG_LEN, PATIENCE_MS), -EMSGSIZE);
	must_be(haul_stream_write(s, out, LONG_LEN, 0), -EMSGSIZE); /* it is not cut off */
	must_be(haul_stream_close(s), 0);
	must_be(haul_peer_close(p, PATIENCE_MS), 0);
	free(out);
	return 0;
}

static void accepts_nothing(int direct)
{
	struct haul_options ours = { .max_msg = 100 };
	struct plan plan = { .direct = direct };
	struct duo d;
	duo_start(&d, &(struct duo_plan){ write_to_who_accepts_nothing, &plan, &ours, NULL, PATIENCE_MS });
	struct haul_stream *s = opened(d.peer, 0);
	must_be(read_to_end(s, 1), 0);
	leave(&d, s);
	child_expect(&d.child, 0);
}

Test(stream_ends, what_the_reader_would_not_accept_is_not_written)
{
	accepts_nothing(0);
}

Test(stream_ends, what_the_reader_would_not_accept_is_not_written_directly)
{
	accepts_nothing(1);
}

Test(stream_ends, canceling_a_peers_requests_leaves_its_streams_alone)
{
	struct duo d;
	struct haul_stream *s = start(&d, NULL, write_and_exit, (struct plan){ .len = SHORT_LEN });
	must_be(haul_peer_cancel(d.peer), 0);
	must_be(read_to_end(s, 1), SHORT_LEN);
	child_expect(&d.child, 0);
	leave(&d, s);
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
	struct duo d;
	struct haul_stream *s = start(&d, &o, write_and_crash, (struct plan){ .len = LONG_LEN });
	must_be(read_to_end(s, 1), -ECONNRESET);
	must_be(haul_stream_read(s, &d, 1, 0), -ECONNRESET);
	must_be(haul_stream_write(s, &d, 1, 0), -ECONNRESET);
	child_expect(&d.child, 0);
	leave(&d, s);
}

static int wait_for_ever(struct haul *h, struct haul_peer *p, void *arg)
{
	struct haul_stream *s = opened(p, 0);
	(void)arg;
	write_pattern(s, LITTLE, 1);
	await_token(h, p);
	return 0;
}

EveryPath(stream_ends, a_reader_hears_of_its_writers_death)
{
	struct haul_options o = path_options(path);
	struct duo d;
	unsigned char some[100];
	struct haul_stream *s = start(&d, &o, wait_for_ever, (struct plan){ 0 });
	read_little(s);
	must_be(haul_stream_read(s, some, sizeof(some), SOON_MS), -ETIMEDOUT);
	child_signal(&d.child, SIGKILL);
	must_be(haul_stream_read(s, some, sizeof(some), PATIENCE_MS), -ECONNRESET);
	child_expect_killed(&d.child, SIGKILL);
	leave(&d, s);
}

/* It is not asked again and again. */
EveryPath(stream_ends, a_stream_of_a_dead_peer_leaves_nothing_to_do)
{
	enum { ROUNDS = 10000 };
	struct haul_options o = path_options(path);
	struct duo d;
	unsigned char some[100];
	int rounds = 0;
	struct haul_stream *s = start(&d, &o, wait_for_ever, (struct plan){ 0 });
	read_little(s);
	child_signal(&d.child, SIGKILL);
	child_expect_killed(&d.child, SIGKILL);
	must_be(haul_stream_read(s, some, sizeof(some), PATIENCE_MS), -ECONNRESET);
	while (haul_progress(d.haul) > 0)
		must(++rounds < ROUNDS);
	leave(&d, s);
}

EveryPath(stream_ends, a_reader_keeps_its_timeout_while_the_writer_is_stopped)
{
	struct haul_options o = path_options(path);
	struct duo d;
	unsigned char some[100];
	struct haul_stream *s = start(&d, &o, wait_for_ever, (struct plan){ 0 });
	read_little(s);
	duo_stop(&d.child);
	must_be(haul_stream_read(s, some, sizeof(some), SOON_MS), -ETIMEDOUT);
	duo_continue(&d.child);
	send_token(d.peer);
	must_be(haul_stream_read(s, some, sizeof(some), PATIENCE_MS), 0);
	leave(&d, s);
	child_expect(&d.child, 0);
}

static int write_short_then_long(struct haul *h, struct haul_peer *p, void *arg)
{
	struct haul_stream *s = opened(p, 1);
	unsigned char *out = filled(LONG_LEN, 1);
	(void)h;
	(void)arg;
	must_be(haul_stream_write(s, out, 10, PATIENCE_MS), 10);
	must_be(haul_send(p, TAG_TOKEN, NULL, 0, PATIENCE_MS), 0);
	must_be(haul_stream_write(s, out + 10, LONG_LEN - 10, PATIENCE_MS), LONG_LEN - 10);
	must_be(haul_stream_close(s), 0);
	free(out);
	return 0;
}

/* What is long can't be pulled, what is short is with the kernel. */
Test(stream_ends, a_read_gives_what_is_there_though_more_needs_a_writer_that_is_stopped)
{
	struct haul_options o = { .path = HAUL_PATH_STREAM };
	struct duo d;
	unsigned char *in = room_for(LONG_LEN);
	struct haul_stream *s = start(&d, &o, write_short_then_long, (struct plan){ 0 });
	must_be(haul_stream_read(s, in, 1, PATIENCE_MS), 1);
	await_token(d.haul, d.peer);
	duo_stop(&d.child);
	must_be(haul_stream_read(s, in + 1, LONG_LEN - 1, -1), 9);
	duo_continue(&d.child);
	ssize_t got = 10, n;
	while ((n = haul_stream_read(s, in + got, (size_t)(LONG_LEN - got), PATIENCE_MS)) > 0)
		got += n;
	must_be(n, 0);
	must_be(got, LONG_LEN);
	must_hold(in, LONG_LEN, 1, 0);
	must_be(haul_stream_close(s), 0);
	free(in);
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
	struct duo d;
	struct haul_stream *s = start(&d, &o, read_a_little, (struct plan){ .direct = direct });
	must_be(write_without_end(s, PATIENCE_MS), -EPIPE);
	must_be(haul_stream_write(s, "x", 1, 0), -EPIPE);
	send_token(d.peer);
	leave(&d, s);
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
	struct duo d;
	struct haul_stream *s = start(&d, &o, read_a_little, (struct plan){ .wait = true });
	must_be(write_without_end(s, SOON_MS), -ETIMEDOUT);
	child_signal(&d.child, SIGKILL);
	must_be(write_without_end(s, PATIENCE_MS), -ECONNRESET);
	child_expect_killed(&d.child, SIGKILL);
	leave(&d, s);
}

EveryPath(stream_ends, a_writer_keeps_its_timeout_while_the_reader_is_stopped)
{
	struct haul_options o = path_options(path);
	struct duo d;
	struct haul_stream *s = start(&d, &o, read_a_little, (struct plan){ .wait = true });
	duo_stop(&d.child);
	must_be(write_without_end(s, SOON_MS), -ETIMEDOUT);
	must_be(write_without_end(s, 0), -EAGAIN);
	duo_continue(&d.child);
	send_token(d.peer);
	must_be(write_without_end(s, PATIENCE_MS), -EPIPE);
	send_token(d.peer);
	leave(&d, s);
	child_expect(&d.child, 0);
}

/* ---- the writer is elsewhere ---- */

static int told[2];

static int tell_of_each_byte(struct haul *h, struct haul_peer *p, void *arg)
{
	struct haul_stream *s = opened(p, 0);
	char c;
	(void)h;
	(void)arg;
	for (int i = 0; i < FEW; i++) {
		must_be(haul_stream_read(s, &c, 1, PATIENCE_MS), 1);
		must_be(c, 'a' + i);
		must_be(write(told[1], &c, 1), 1);
	}
	return 0;
}

/* It makes no call until its byte was read, which is told by other means. */
EveryPath(stream_ends, a_writer_that_is_not_heard_of_again_has_written)
{
	struct haul_options o = path_options(path);
	struct duo d;
	char c;
	if (path->path == HAUL_PATH_STREAM)
		o.eager_max = 0; /* else its writer has to be there */
	must_be(pipe(told), 0);
	struct haul_stream *s = start(&d, &o, tell_of_each_byte, (struct plan){ 0 });
	close(told[1]);
	for (int i = 0; i < FEW; i++) {
		c = (char)('a' + i);
		must_be(haul_stream_write(s, &c, 1, PATIENCE_MS), 1);
		must_be(read(told[0], &c, 1), 1);
	}
	close(told[0]);
	leave(&d, s);
	child_expect(&d.child, 0);
}

static int read_by_asking(struct haul *h, struct haul_peer *p, void *arg)
{
	const struct plan *plan = arg;
	static unsigned char piece[PIECE];
	struct haul_stream *s = opened(p, 0);
	size_t all = 0;
	while (all < plan->len) {
		if ((haul_stream_ready(s) & HAUL_STREAM_READABLE) == 0)
			continue;
		ssize_t n = haul_stream_read(s, piece, plan->len - all < 1000 ? plan->len - all : 1000, 0);
		must(n > 0 || n == -EAGAIN);
		if (n < 0)
			continue;
		must_hold(piece, (size_t)n, 1, all);
		all += (size_t)n;
	}
	await_token(h, p);
	return 0;
}

/* It comes to the end of what there is, and does not ask whether there is more. */
EveryPath(stream_ends, a_direct_write_ends_when_its_last_byte_was_read_by_who_asks)
{
	struct haul_options o = path_options(path);
	struct plan plan = { .len = path_most(path, 20000), .direct = 1 };
	struct duo d;
	struct haul_stream *s = start(&d, &o, read_by_asking, plan);
	write_pattern(s, plan.len, 1);
	send_token(d.peer);
	leave(&d, s);
	child_expect(&d.child, 0);
}

static int cut_off_a_write(struct haul *h, struct haul_peer *p, void *arg)
{
	struct haul_stream *s = opened(p, 1);
	unsigned char *out = filled(LONG_LEN, 2);
	const struct plan *plan = arg;
	must_be(haul_stream_write(s, "x", 1, PATIENCE_MS), 1);
	must_be(haul_stream_write(s, out, LONG_LEN, plan->wait ? SOON_MS : LATER_MS), -ETIMEDOUT);
	must_be(haul_stream_write(s, "x", 1, 0), -EIO);
	must_be(haul_stream_close(s), 0);
	send_token(p);
	await_token(h, p);
	free(out);
	return 0;
}

/* Before the reader looks, or when it has begun with it: then what it has is read. */
static void cuts_off(bool unseen)
{
	struct duo d;
	unsigned char c;
	size_t at = 0;
	ssize_t n;
	struct haul_stream *s = start(&d, NULL, cut_off_a_write, (struct plan){ .wait = unseen });
	if (unseen)
		await_token(d.haul, d.peer);
	must_be(haul_stream_read(s, &c, 1, PATIENCE_MS), 1);
	must_be(c, 'x');
	if (!unseen) {
		must_be(haul_stream_read(s, &c, 1, PATIENCE_MS), 1);
		must_hold(&c, 1, 2, at++);
		await_token(d.haul, d.peer);
	}
	while ((n = haul_stream_read(s, &c, 1, PATIENCE_MS)) == 1)
		must_hold(&c, 1, 2, at++);
	must_be(n, -EPIPE);
	send_token(d.peer);
	leave(&d, s);
	child_expect(&d.child, 0);
}

Test(stream_ends, a_write_that_was_cut_off_is_an_error_to_the_reader)
{
	cuts_off(true);
}

Test(stream_ends, a_write_that_was_cut_off_in_the_middle_is_an_error_to_the_reader)
{
	cuts_off(false);
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
	struct duo d;
	struct haul_stream *s = start(&d, &o, read_it_all_later, (struct plan){ .len = LONG_LEN });
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
	leave(&d, s);
}
