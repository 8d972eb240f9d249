/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is asked of requests, takes, batches and peers while calls fail. The calls of a program are made one
 * after the other, all exposed; afterwards what they were told is held against what has happened.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/sweep.h"

TestSuite(fault_requests, .timeout = 120);

enum { ROUNDS = 100, TAG = 5 };

struct world {
	struct twins t;
	struct haul_options options;
	size_t len;
	unsigned char *out, *in;
	struct iovec from, into;
};

static void begin(struct world *w, const struct path *path, size_t len)
{
	*w = (struct world){ .options = path_options(path), .len = len };
	must_note(fault_words());
	twins_start(&w->t, &w->options);
	w->out = malloc(len);
	w->in = malloc(len);
	must(w->out != NULL && w->in != NULL);
	pattern_fill(w->out, len, TAG, 0);
	memset(w->in, CANARY, len);
	w->from = (struct iovec){ w->out, len };
	w->into = (struct iovec){ w->in, len };
}

static void finish(struct world *w)
{
	sweep_over();
	twins_settle(&w->t);
	sweep_usable(w->t.a, w->t.b);
	haul_close(w->t.a, 0);
	haul_close(w->t.b, 0);
	free(w->out);
	free(w->in);
}

static bool alive(struct haul_peer *p)
{
	struct haul_peer_info info;
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	return info.alive;
}

/* The side a is at fault. */
static void turn(struct world *w)
{
	must_be_told(faulty(haul_progress(w->t.a)));
	must(haul_progress(w->t.b) >= 0);
}

static void turns(struct world *w, struct haul_req *mine, struct haul_req *theirs)
{
	for (int i = 0; i < ROUNDS && (sweep_goes_on(mine, true) || sweep_goes_on(theirs, false)); i++)
		turn(w);
}

/* ---- takes ---- */

/* Of a message: taken, read in parts out of order, done. */
static void taking(const void *path)
{
	struct world w;
	struct haul_req *send, *take = NULL, *read = NULL;
	struct haul_msg *m = NULL;
	struct haul_status status;
	begin(&w, path, 30000);
	must_be(haul_isend(w.t.to_b, TAG, &w.from, 1, HAUL_SYNC, &send), 0);
	/* the roles are changed: the one at fault is the receiver, which is b in all that follows */
	for (int i = 0; i < 3; i++) {
		must_be_told(faulty(haul_progress(w.t.b)));
		must(haul_progress(w.t.a) >= 0);
	}
	must_be_told(faulty(haul_probe(w.t.b, NULL, 0, &status)));
	must_be_told(faulty(haul_itake(w.t.b, NULL, &take)));
	for (int i = 0; i < ROUNDS && sweep_goes_on(take, true); i++) {
		must_be_told(faulty(haul_progress(w.t.b)));
		must(haul_progress(w.t.a) >= 0);
	}
	if (take != NULL && !sweep_goes_on(take, true)) {
		must_be_told(haul_req_finish(take, &status));
		m = status.msg;
		take = NULL;
	}
	size_t half = w.len / 2;
	struct iovec second = { w.in + half, w.len - half }, first = { w.in, half };
	if (m != NULL) {
		must_be_told(faulty(haul_msg_iread(m, half, &second, 1, &read)));
		for (int i = 0; i < ROUNDS && sweep_goes_on(read, true); i++) {
			must_be_told(faulty(haul_progress(w.t.b)));
			must(haul_progress(w.t.a) >= 0);
		}
	}
	sweep_over();
	if (take != NULL)
		haul_req_free(take);
	int got = -1;
	if (read != NULL) {
		got = sweep_finish(w.t.a, w.t.b, read, &status);
		must(got == -ECANCELED || must_be_told(got) == got);
	}
	if (got == 0) {
		must_be(status.got, w.len - half);
		must_hold(second.iov_base, second.iov_len, TAG, half);
	}
	twins_settle(&w.t);
	if (m != NULL) {
		struct haul_req *rest;
		bool lost = haul_msg_status(m, &status) == 0 && status.error != 0;
		must(!lost || !alive(w.t.to_a)); /* a failed read costs the read */
		if (!lost) {
			must_be(haul_msg_iread(m, 0, &first, 1, &rest), 0);
			must_be(sweep_finish(w.t.a, w.t.b, rest, NULL), 0);
			must_hold(w.in, half, TAG, 0);
		}
		must_be(haul_msg_done(m), 0);
	} else if (alive(w.t.to_a)) { /* then it still lies there */
		struct haul_req *recv;
		must_be(haul_irecv(w.t.b, NULL, &w.into, 1, &recv), 0);
		must_be(sweep_finish(w.t.a, w.t.b, recv, &status), 0);
		must_hold(w.in, w.len, TAG, 0);
	}
	int sent = sweep_finish(w.t.a, w.t.b, send, NULL);
	must_be_told(sent);
	if (alive(w.t.to_b))
		must_be(sent, 0);
	finish(&w);
}

EveryPath(fault_requests, a_take_that_fails_leaves_the_message_where_it_was)
{
	sweep(taking, path);
}

static void refusing(const void *path)
{
	struct world w;
	struct haul_req *send, *take;
	struct haul_status status;
	begin(&w, path, 30000);
	must_be(haul_isend(w.t.to_b, TAG, &w.from, 1, HAUL_SYNC, &send), 0);
	must_be(haul_itake(w.t.b, NULL, &take), 0);
	must_be(sweep_finish(w.t.a, w.t.b, take, &status), 0);
	must_be(faulty(haul_msg_refuse(status.msg, -EDOM)), 0);
	for (int i = 0; i < ROUNDS && sweep_goes_on(send, false); i++) {
		must_be_told(faulty(haul_progress(w.t.b)));
		must(haul_progress(w.t.a) >= 0);
	}
	sweep_over();
	int sent = sweep_finish(w.t.a, w.t.b, send, NULL);
	if (sent != -EDOM)
		must_be_told(sent);
	must(sent < 0);
	finish(&w);
}

EveryPath(fault_requests, a_refusal_reaches_the_sender_or_the_connection_ends)
{
	sweep(refusing, path);
}

/* ---- cancel, deadline ---- */

static void canceling(const void *path)
{
	struct world w;
	struct haul_req *send = NULL, *recv, *late;
	struct haul_status status;
	begin(&w, path, 30000);
	must_be_told(faulty(haul_isend(w.t.to_b, TAG, &w.from, 1, HAUL_SYNC, &send)));
	turn(&w);
	if (send != NULL) {
		int rc = (int)faulty(haul_req_cancel(send));
		must(rc == 0 || rc == -EALREADY);
		turns(&w, send, NULL);
	}
	sweep_over();
	int sent = -ECANCELED;
	if (send != NULL)
		sent = sweep_finish(w.t.a, w.t.b, send, NULL);
	must(sent == -ECANCELED || must_be_told(sent) < 0); /* nobody has received it */
	twins_settle(&w.t);
	if (alive(w.t.to_a)) /* or else nobody can know */
		must_be(haul_probe(w.t.b, NULL, 0, &status), -EAGAIN);
	memset(w.out, 0, w.len); /* ours again */
	if (alive(w.t.to_b) && alive(w.t.to_a)) {
		pattern_fill(w.out, w.len, TAG, 0);
		must_be(haul_irecv(w.t.b, NULL, &w.into, 1, &recv), 0);
		must_be(haul_isend(w.t.to_b, TAG, &w.from, 1, 0, &late), 0);
		must_be(sweep_finish(w.t.a, w.t.b, recv, &status), 0);
		must_hold(w.in, w.len, TAG, 0);
		must_be(sweep_finish(w.t.a, w.t.b, late, NULL), 0);
	}
	finish(&w);
}

EveryPath(fault_requests, a_canceled_send_is_not_received)
{
	sweep(canceling, path);
}

/* Deadlines that have passed, on either side; nobody is left waiting. */
static void expiring(const void *path)
{
	struct world w;
	struct haul_req *send = NULL, *recv = NULL;
	struct iovec other = { malloc(10), 10 };
	struct haul_match none = { .tag = 77 };
	begin(&w, path, 30000);
	must_be_told(faulty(haul_irecv(w.t.a, &none, &other, 1, &recv)));
	must_be_told(faulty(haul_isend(w.t.to_b, TAG, &w.from, 1, HAUL_SYNC, &send)));
	turn(&w);
	if (recv != NULL) {
		int rc = (int)faulty(haul_req_deadline(recv, 0));
		must(rc == 0 || rc == -EALREADY);
	}
	if (send != NULL) {
		int rc = (int)faulty(haul_req_deadline(send, 0));
		must(rc == 0 || rc == -EALREADY);
	}
	turns(&w, send, NULL);
	turns(&w, recv, NULL);
	sweep_over();
	if (recv != NULL) {
		int rc = sweep_finish(w.t.a, w.t.b, recv, NULL);
		must(rc == -ETIMEDOUT || rc == -EPIPE); /* the only peer may have gone */
	}
	if (send != NULL) {
		int rc = sweep_finish(w.t.a, w.t.b, send, NULL);
		must(rc == -ETIMEDOUT || must_be_told(rc) < 0);
	}
	finish(&w);
	free(other.iov_base);
}

EveryPath(fault_requests, what_is_overdue_ends)
{
	sweep(expiring, path);
}

/* ---- telling ---- */

static volatile sig_atomic_t signals, called;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

static void count_call(struct haul_req *r, void *arg)
{
	(void)r;
	(void)arg;
	called++;
}

static void notifying(const void *path)
{
	struct world w;
	struct haul_req *recv = NULL, *send;
	struct haul_notify notify = { .call = count_call, .signal = SIGRTMIN };
	int told = -1;
	begin(&w, path, 30000);
	signals = called = 0;
	must_be_told(faulty(haul_irecv(w.t.a, NULL, &w.into, 1, &recv)));
	if (recv != NULL) {
		told = (int)faulty(haul_req_notify(recv, &notify));
		must_be_told(told);
	}
	must_be(haul_isend(w.t.to_a, TAG, &w.from, 1, 0, &send), 0);
	if (recv != NULL)
		turns(&w, recv, send);
	sweep_over();
	if (recv != NULL) {
		struct timespec since = { 0 };
		while ((haul_req_test(recv) != 0 || called == 0 || signals == 0) && sweep_patient(&since)) {
			haul_progress(w.t.a);
			haul_progress(w.t.b);
		}
		must_be(haul_req_test(recv), 0);
		if (told == 0) {
			must_be(signals, 1);
			must_be(called, 1);
		}
		must_be_told(haul_req_finish(recv, NULL));
	}
	haul_req_free(send);
	finish(&w);
}

EveryPath(fault_requests, a_completion_is_told_once_however_full_the_queue_of_signals)
{
	struct sigaction action = { .sa_handler = count_signal };
	sigaction(SIGRTMIN, &action, NULL);
	sweep(notifying, path);
}

/* ---- batches ---- */

static void batching(const void *path)
{
	enum { SENDS = 3 };
	struct world w;
	struct haul_op ops[SENDS + 1];
	struct haul_req *recvs[SENDS];
	begin(&w, path, 3000);
	unsigned char *in[SENDS];
	for (int i = 0; i < SENDS; i++) {
		struct haul_match match = { .tag = (uint64_t)i };
		struct iovec into = { in[i] = malloc(w.len), w.len };
		must(in[i] != NULL);
		must_be(haul_irecv(w.t.b, &match, &into, 1, &recvs[i]), 0);
		ops[i] = (struct haul_op){ .kind = HAUL_OP_SEND,
			.flags = HAUL_SYNC,
			.peer = w.t.to_b,
			.tag = (uint64_t)i,
			.iov = &w.from,
			.count = 1 };
	}
	ops[SENDS] = (struct haul_op){ .kind = HAUL_OP_RECV, .match.tag = 9, .iov = &w.into, .count = 1 };
	int rc = (int)faulty(haul_submit(w.t.a, ops, SENDS + 1, 0, NULL));
	must_be_told(rc);
	for (int i = 0; rc == 0 && i < ROUNDS && sweep_goes_on(ops[SENDS - 1].req, true); i++)
		turn(&w);
	sweep_over();
	for (int i = 0; i < SENDS; i++) {
		int sent = ops[i].status.error;
		if (rc != 0 && rc != -EIO)
			sent = rc;
		else if (ops[i].req != NULL)
			sent = sweep_finish(w.t.a, w.t.b, ops[i].req, NULL);
		must_be_told(sent);
		if (sent != 0)
			haul_req_cancel(recvs[i]);
		int got = sweep_finish(w.t.a, w.t.b, recvs[i], NULL);
		if (sent == 0)
			must_be(got, 0);
		if (got == 0)
			must_hold(in[i], w.len, TAG, 0);
		free(in[i]);
	}
	if ((rc == 0 || rc == -EIO) && ops[SENDS].req != NULL) {
		haul_req_cancel(ops[SENDS].req);
		must(sweep_finish(w.t.a, w.t.b, ops[SENDS].req, NULL) < 0);
	}
	finish(&w);
}

EveryPath(fault_requests, each_operation_of_a_batch_says_what_became_of_it)
{
	sweep(batching, path);
}

/* ---- peers ---- */

static void asking_peers(const void *path)
{
	struct world w;
	struct haul_req *watch = NULL, *send = NULL;
	struct haul_peer_info info;
	struct haul_stats stats;
	begin(&w, path, 30000);
	must_be_told(faulty(haul_peer_watch(w.t.to_b, &watch)));
	must_be_told(faulty(haul_isend(w.t.to_b, TAG, &w.from, 1, HAUL_SYNC, &send)));
	must_be(faulty(haul_peer_info(w.t.to_b, &info, sizeof(info))), 0);
	must_be(faulty(haul_peer_stats(w.t.to_b, &stats, sizeof(stats))), 0);
	must(faulty(haul_peer_cancel(w.t.to_b)) >= 0);
	turns(&w, send, NULL);
	sweep_over();
	if (send != NULL)
		must(sweep_finish(w.t.a, w.t.b, send, NULL) < 0);
	must_be(haul_peer_close(w.t.to_a, 0), 0);
	if (watch != NULL) {
		int rc = sweep_finish(w.t.a, w.t.b, watch, NULL);
		must_be_told(rc);
	}
	finish(&w);
}

EveryPath(fault_requests, a_watch_sees_the_end)
{
	sweep(asking_peers, path);
}
