/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A call, its reply, and the reading of both, while what the library calls fails, on the side that calls and on that
 * which is called: each hears of it, no byte is wrong, and nothing is left over.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/sweep.h"

TestSuite(fault_call, .timeout = 120);

enum { ROUNDS = 100, TAG = 5, LEN = 30000, REPLY = 6 };

struct world {
	struct twins t;
	struct haul_options options;
	bool calls; /* who is at fault: a, which calls, or b, which is called */
	unsigned char *out[2], *in[2];
};

static void begin(struct world *w, const struct path *path)
{
	w->options = path_options(path);
	must_note(fault_words());
	twins_start(&w->t, &w->options);
	for (int i = 0; i < 2; i++) {
		w->out[i] = malloc(LEN);
		w->in[i] = malloc(LEN);
		must(w->out[i] != NULL && w->in[i] != NULL);
	}
	pattern_fill(w->out[0], LEN, TAG, 0);
	pattern_fill(w->out[1], LEN, REPLY, 0);
}

static void finish(struct world *w)
{
	sweep_over();
	twins_settle(&w->t);
	sweep_usable(w->t.a, w->t.b);
	haul_close(w->t.a, 0);
	haul_close(w->t.b, 0);
	for (int i = 0; i < 2; i++) {
		free(w->out[i]);
		free(w->in[i]);
	}
}

/* A call of a's or of b's, which counts if that is the one at fault. */
#define of_a(w, call) ((w)->calls ? faulty(call) : (call))
#define of_b(w, call) ((w)->calls ? (call) : faulty(call))

/* Until it has completed, or will not. */
static void run(struct world *w, struct haul_req *r, bool is_a)
{
	for (int i = 0; i < ROUNDS && sweep_goes_on(r, is_a == w->calls); i++) {
		must_be_told(of_a(w, haul_progress(w->t.a)));
		must_be_told(of_b(w, haul_progress(w->t.b)));
	}
}

/* The result of a request that was exposed. One that still waits is given up. */
static int end(struct world *w, struct haul_req *r, struct haul_status *status)
{
	struct haul_status own;
	status = status != NULL ? status : &own;
	if (haul_req_test(r) == -EINPROGRESS)
		haul_req_cancel(r);
	int rc = sweep_finish(w->t.a, w->t.b, r, status);
	return rc == -ECANCELED || rc == -ENOMSG ? rc : (int)must_be_told(rc);
}

/* Takes the call, reads it and replies; NULL if something kept it from that. */
static struct haul_req *be_called(struct world *w)
{
	struct haul_req *take = NULL, *read = NULL, *reply = NULL;
	struct haul_status status = { 0 };
	struct iovec in = { w->in[0], LEN }, out = { w->out[1], LEN };
	if (must_be_told(of_b(w, haul_itake(w->t.b, NULL, &take))) != 0)
		return NULL;
	run(w, take, false);
	fault_hold();
	if (end(w, take, &status) != 0)
		return NULL;
	struct haul_msg *m = status.msg;
	must_be(status.flags, HAUL_STATUS_CALL);
	int rc = (int)must_be_told(of_b(w, haul_msg_iread(m, 0, &in, 1, &read)));
	if (rc == 0) {
		run(w, read, false);
		rc = end(w, read, NULL);
	}
	if (rc == 0)
		must_hold(w->in[0], LEN, TAG, 0);
	rc = (int)of_b(w, haul_reply(m, &out, 1, &reply));
	if (rc == 0)
		return reply;
	must(rc == -ECANCELED || must_be_told(rc) == rc);
	must_be(haul_msg_done(m), 0); /* it is still there */
	return NULL;
}

static void read_reply(struct world *w, struct haul_msg *m)
{
	struct haul_req *read = NULL;
	struct iovec in = { w->in[1], LEN };
	int rc = (int)must_be_told(of_a(w, haul_msg_iread(m, 0, &in, 1, &read)));
	if (rc == 0) {
		run(w, read, true);
		rc = end(w, read, NULL);
	}
	if (rc == 0)
		must_hold(w->in[1], LEN, REPLY, 0);
	must_be(of_a(w, haul_msg_done(m)), 0);
}

static void calling(const struct path *path, bool calls)
{
	struct world w = { .calls = calls };
	struct haul_req *call = NULL, *reply = NULL;
	struct haul_status status;
	begin(&w, path);
	struct iovec out = { w.out[0], LEN };
	if (must_be_told(of_a(&w, haul_icall(w.t.to_b, TAG, &out, 1, &call))) == 0) {
		for (int i = 0; i < 3; i++) {
			must_be_told(of_a(&w, haul_progress(w.t.a)));
			must_be_told(of_b(&w, haul_progress(w.t.b)));
		}
		reply = be_called(&w);
		if (reply != NULL)
			run(&w, call, true);
		int rc = end(&w, call, &status);
		must((status.msg != NULL) == (rc == 0));
		must(rc != -ENOMSG || reply == NULL);
		if (rc == 0)
			read_reply(&w, status.msg);
	}
	sweep_over();
	if (reply != NULL)
		end(&w, reply, NULL);
	finish(&w);
}

static void by_who_calls(const void *path)
{
	calling(path, true);
}

static void by_who_is_called(const void *path)
{
	calling(path, false);
}

EveryPath(fault_call, whoever_calls_hears_of_it)
{
	sweep(by_who_calls, path);
}

EveryPath(fault_call, whoever_is_called_hears_of_it)
{
	sweep(by_who_is_called, path);
}
