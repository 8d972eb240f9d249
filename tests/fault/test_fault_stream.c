/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stream while the calls of one side fail: all bytes come, in order and once, then the end; or the failure is told, to
 * whoever can know. A fault that passes must not cost the stream its end.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <haul/stream.h>

#include "lib/must.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/sweep.h"
#include "lib/talk.h"

TestSuite(fault_stream, .timeout = 300);

enum { SEED = 21, LEN = 30000, PIECE = 7000, ROUNDS = 400 };

struct plan {
	const struct haul_options *options;
	int direct;
	bool reader; /* is at fault, or else the writer */
};

struct state {
	const struct plan *plan;
	struct twins t;
	struct haul_stream *out, *in;
	unsigned char *bytes;
	size_t written, taken;
	int writer, read_end; /* with what they ended; 1: not yet */
};

/* In a round, of the side at fault. */
#define by(s, side, call) ((s)->plan->reader == (side) ? faulty(call) : (long long)(call))

/* Memory may lack for a moment, or have cost the connection. */
static bool passes(struct haul_peer *p, ssize_t error)
{
	struct haul_peer_info info;
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	return error == -EAGAIN || (error == -ENOMEM && info.alive);
}

static void write_some(struct state *s)
{
	if (s->writer != 1 || s->out == NULL)
		return;
	size_t left = LEN - s->written, n = left < PIECE ? left : PIECE;
	ssize_t rc =
	    n > 0 ? (ssize_t)by(s, false, haul_stream_write(s->out, s->bytes + s->written, n, 0)) : 0;
	must_be_told(rc);
	if (rc > 0)
		s->written += (size_t)rc;
	else if (rc < 0 && !passes(s->t.to_b, rc))
		s->writer = (int)rc;
	if (s->written == LEN && s->writer == 1)
		s->writer = (int)by(s, false, haul_stream_shutdown(s->out));
}

static void read_some(struct state *s)
{
	unsigned char piece[PIECE];
	if (s->read_end != 1 || s->in == NULL)
		return;
	ssize_t n = (ssize_t)by(s, true, haul_stream_read(s->in, piece, sizeof(piece), 0));
	must_be_told(n);
	if (n > 0) {
		must_hold(piece, (size_t)n, SEED, s->taken);
		s->taken += (size_t)n;
	} else if (!passes(s->t.to_a, n)) {
		s->read_end = (int)n;
	}
}

static void turn(struct state *s)
{
	write_some(s);
	must_be_told(by(s, false, haul_progress(s->t.a)));
	read_some(s);
	must_be_told(by(s, true, haul_progress(s->t.b)));
}

static void open_both(struct state *s)
{
	struct haul_stream_options o = { .direct = s->plan->direct };
	must_be_told(by(s, false, haul_stream_open(s->t.to_b, 0, &o, sizeof(o), &s->out)));
	must_be_told(by(s, true, haul_stream_open(s->t.to_a, 0, &o, sizeof(o), &s->in)));
}

/* What could not be opened for the fault is opened now. */
static void make_up(struct state *s)
{
	struct haul_stream_options o = { .direct = s->plan->direct };
	struct timespec since = { 0 };
	if (s->out == NULL)
		must_be(haul_stream_open(s->t.to_b, 0, &o, sizeof(o), &s->out), 0);
	if (s->in == NULL)
		must_be(haul_stream_open(s->t.to_a, 0, &o, sizeof(o), &s->in), 0);
	while ((s->read_end == 1 || s->writer == 1) && sweep_patient(&since))
		turn(s);
	must(s->read_end != 1 && s->writer != 1);
}

static void round_of(const void *arg)
{
	struct state s = { .plan = arg, .writer = 1, .read_end = 1 };
	struct haul_peer_info info;
	twins_start(&s.t, s.plan->options);
	s.bytes = filled(LEN, SEED);
	open_both(&s);
	for (int i = 0; i < ROUNDS && (s.writer == 1 || s.read_end == 1); i++)
		turn(&s);
	sweep_over();
	make_up(&s);
	must_be(haul_peer_info(s.t.to_b, &info, sizeof(info)), 0);
	if (s.read_end == 0)
		must_be(s.taken, LEN);
	else if (info.alive && s.writer == 0 && !s.plan->direct)
		must_be_told(s.read_end);
	must_be(haul_stream_close(s.out), 0);
	must_be(haul_stream_close(s.in), 0);
	twins_settle(&s.t);
	sweep_usable(s.t.a, s.t.b);
	twins_end(&s.t);
	free(s.bytes);
}

static void sweep_both(const struct path *path, int direct)
{
	struct haul_options o = path_options(path);
	for (int reader = 0; reader <= 1; reader++) {
		struct plan plan = { .options = &o, .direct = direct, .reader = reader };
		sweep(round_of, &plan);
	}
}

EveryPath(fault_stream, a_buffered_stream_is_whole_or_the_failure_is_told)
{
	sweep_both(path, 0);
}

/* Of writes that need no meeting, since nobody could come to one here. */
EveryPath(fault_stream, a_direct_stream_is_whole_or_the_failure_is_told)
{
	if (path->eager)
		sweep_both(path, 1);
}
