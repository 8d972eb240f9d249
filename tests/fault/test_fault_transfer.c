/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A message on its way, on every path, while the calls of one side fail: it is delivered whole, or the failure
 * is told; and what is told agrees on both sides.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fds.h"
#include "lib/must.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/sweep.h"

TestSuite(fault_transfer, .timeout = 120);

enum { SEED = 11, TAG = 7, ROUNDS = 200 };

struct transfer {
	const struct haul_options *options;
	size_t len, parts; /* of so many buffers */
	unsigned flags;
	bool receiver;   /* is at fault, or else the sender */
	bool unexpected; /* the receive is posted after the message has come */
};

struct state {
	const struct transfer *what;
	struct twins t;
	unsigned char *out, *in;
	struct iovec *from, into;
	struct haul_req *send, *recv;
	int send_rc, recv_rc; /* of the start */
};

static void start_send(struct state *s)
{
	const struct transfer *w = s->what;
	s->send_rc = w->receiver
	    ? haul_isend(s->t.to_b, TAG, s->from, w->parts, w->flags, &s->send)
	    : (int)faulty(haul_isend(s->t.to_b, TAG, s->from, w->parts, w->flags, &s->send));
	must_be_told(s->send_rc);
}

static void start_recv(struct state *s)
{
	s->recv_rc = s->what->receiver ? (int)faulty(haul_irecv(s->t.b, NULL, &s->into, 1, &s->recv))
	                               : haul_irecv(s->t.b, NULL, &s->into, 1, &s->recv);
	must_be_told(s->recv_rc);
}

/* One turn of either side, one of them at fault. */
static void turn(struct state *s)
{
	must_be_told(s->what->receiver ? haul_progress(s->t.a) : faulty(haul_progress(s->t.a)));
	must_be_told(s->what->receiver ? faulty(haul_progress(s->t.b)) : haul_progress(s->t.b));
}

static bool alive(struct haul_peer *p)
{
	struct haul_peer_info info;
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	return info.alive;
}

static void settle(struct state *s, struct haul_req *r)
{
	struct timespec since = { 0 };
	while (sweep_goes_on(r, false)) {
		must(haul_progress(s->t.a) >= 0);
		must(haul_progress(s->t.b) >= 0);
		must(sweep_patient(&since));
	}
}

/* What could not be started for the fault is started again, or there is nothing to wait for. */
static void make_up(struct state *s)
{
	twins_settle(&s->t);
	if (s->recv_rc < 0)
		must_be(haul_irecv(s->t.b, NULL, &s->into, 1, &s->recv), 0);
	twins_settle(&s->t);
	if (s->send != NULL)
		settle(s, s->send);
	if (s->send == NULL || haul_req_test(s->send) != 0)
		haul_req_cancel(s->recv);
}

static void judge(struct state *s)
{
	const struct transfer *w = s->what;
	struct haul_status sent = { .error = s->send_rc }, got;
	if (s->send != NULL)
		haul_req_finish(s->send, &sent);
	must_be_told(sent.error);
	if (sent.error != 0)
		haul_req_cancel(s->recv);
	settle(s, s->recv);
	haul_req_finish(s->recv, &got);
	twins_settle(&s->t);
	bool a = alive(s->t.to_b), b = alive(s->t.to_a);
	must(a == b);
	if (sent.error != 0 && a) /* or else nobody can know */
		must(got.error != 0);
	if (sent.error == 0 && (a || (w->flags & HAUL_SYNC) != 0))
		must_be(got.error, 0); /* nothing is lost silently */
	if (got.error == 0) {
		must_be(got.got, w->len);
		must_be(got.tag, TAG);
		must_hold(s->in, w->len, SEED, 0);
	} else if (got.error != -ECANCELED) {
		must_be_told(got.error);
	}
}

static void round_of(const void *arg)
{
	struct state s = { .what = arg };
	const struct transfer *w = arg;
	struct iovec from[w->parts];
	twins_start(&s.t, w->options);
	s.out = malloc(w->len);
	s.in = malloc(w->len);
	must(s.out != NULL && s.in != NULL);
	pattern_fill(s.out, w->len, SEED, 0);
	memset(s.in, CANARY, w->len);
	for (size_t i = 0, each = w->len / w->parts; i < w->parts; i++)
		from[i] = (struct iovec){ s.out + i * each, i + 1 < w->parts ? each : w->len - i * each };
	s.from = from;
	s.into = (struct iovec){ s.in, w->len };

	if (!w->unexpected)
		start_recv(&s);
	start_send(&s);
	if (w->unexpected) {
		for (int i = 0; i < 3; i++)
			turn(&s);
		start_recv(&s);
	}
	for (int i = 0;
	     i < ROUNDS && (sweep_goes_on(s.send, !w->receiver) || sweep_goes_on(s.recv, w->receiver)); i++)
		turn(&s);
	sweep_over();
	make_up(&s);
	judge(&s);
	sweep_usable(s.t.a, s.t.b);
	twins_end(&s.t);
	free(s.out);
	free(s.in);
}

static void sweep_all(const struct path *path, struct transfer w)
{
	struct haul_options o = path_options(path);
	w.options = &o;
	for (int receiver = 0; receiver <= 1; receiver++) {
		for (int unexpected = 0; unexpected <= 1; unexpected++) {
			w.receiver = receiver;
			w.unexpected = unexpected;
			sweep(round_of, &w);
		}
	}
}

EveryPath(fault_transfer, a_message_is_delivered_whole_or_the_failure_is_told)
{
	sweep_all(path, (struct transfer){ .len = 50000, .parts = 1 });
}

EveryPath(fault_transfer, a_synchronous_send_knows)
{
	sweep_all(path, (struct transfer){ .len = 3000, .parts = 1, .flags = HAUL_SYNC });
}

EveryPath(fault_transfer, a_copied_message_as_well)
{
	sweep_all(path, (struct transfer){ .len = 20000, .parts = 3, .flags = HAUL_COPY });
}

EveryPath(fault_transfer, so_do_many_buffers)
{
	sweep_all(path, (struct transfer){ .len = 60000, .parts = 2000, .flags = HAUL_SYNC });
}

/* ---- many ---- */

enum { BURST = 24, BURST_MOST = 30000 };

static size_t burst_len(int i)
{
	static const size_t lens[] = { 0, 100, BURST_MOST, 3000, 17000 };
	return lens[(size_t)i % (sizeof(lens) / sizeof(lens[0]))];
}

/* Gets them as they come, and checks that none is missing before the last that came. What was described and not
 * received ends with its connection; what came eagerly doesn't. */
static int drain(struct twins *t, unsigned char *in, int next)
{
	struct haul_status status;
	struct haul_req *r;
	while (next < BURST && haul_probe(t->b, NULL, 0, &status) == 0) {
		struct iovec into = { in, BURST_MOST };
		must_be(haul_irecv(t->b, NULL, &into, 1, &r), 0);
		if (sweep_finish(t->a, t->b, r, &status) != 0)
			break;
		if (alive(t->to_a))
			must_be(status.tag, next);
		must(status.tag >= (uint64_t)next);
		must_be(status.got, burst_len((int)status.tag));
		must_hold(in, status.got, status.tag, 0);
		next = (int)status.tag + 1;
	}
	return next;
}

static void burst(const void *arg)
{
	const struct transfer *w = arg;
	struct haul_req *sends[BURST] = { NULL };
	struct twins t;
	unsigned char *out[BURST] = { NULL }, *in = malloc(BURST_MOST);
	must(in != NULL);
	twins_start(&t, w->options);
	for (int i = 0; i < BURST; i++) {
		size_t len = burst_len(i);
		struct iovec from = { out[i] = malloc(len + 1), len };
		must(out[i] != NULL);
		pattern_fill(out[i], len, (uint64_t)i, 0);
		sends[i] = NULL;
		int rc = w->receiver ? haul_isend(t.to_b, (uint64_t)i, &from, 1, 0, &sends[i])
		                     : (int)faulty(haul_isend(t.to_b, (uint64_t)i, &from, 1, 0, &sends[i]));
		must_be_told(rc);
		if (rc != 0)
			break; /* so that the tags tell what is missing */
	}
	for (int i = 0; i < ROUNDS / 4; i++) {
		must_be_told(w->receiver ? haul_progress(t.a) : faulty(haul_progress(t.a)));
		must_be_told(w->receiver ? faulty(haul_progress(t.b)) : haul_progress(t.b));
	}
	sweep_over();
	int came = 0, sent = 0, started = 0;
	struct timespec since = { 0 };
	while (started < BURST && sends[started] != NULL)
		started++;
	do {
		twins_settle(&t);
		came = drain(&t, in, came);
	} while (came < started && alive(t.to_a) && alive(t.to_b) && sweep_patient(&since));
	twins_settle(&t);
	for (; sent < BURST && sends[sent] != NULL && haul_req_test(sends[sent]) == 0; sent++)
		if (haul_req_finish(sends[sent], NULL) != 0)
			break;
	if (alive(t.to_b)) {
		must(alive(t.to_a));
		must_be(came, started);
		must_be(sent, started);
	}
	sweep_usable(t.a, t.b);
	twins_end(&t);
	for (int i = 0; i < BURST; i++)
		free(out[i]);
	free(in);
}

EveryPath(fault_transfer, of_many_messages_none_is_missing_before_the_last_that_came)
{
	struct haul_options o = path_options(path);
	struct transfer w = { .options = &o };
	for (w.receiver = false;; w.receiver = true) {
		sweep(burst, &w);
		if (w.receiver)
			break;
	}
}
