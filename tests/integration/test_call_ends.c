/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How calls end before their time: given up by who called, before or after they were taken; by the death, the halt, the
 * goodbye of either side. Whoever waits hears of it, and whoever has taken the call does before its memory is read. Each
 * on every path.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/duo.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(call_ends, .timeout = 60);

enum { TAG = 7, LEN = 120001, SHORT = 100, SOON_MS = 20, SCRIBBLE = 0xa5, REPLY_SEED = 1007 };

/* One call from a to b: its bytes, where they are read to, and what is known of it on either side. */
struct one {
	struct twins t;
	size_t len;
	unsigned char *out, *in;
	struct haul_req *call;
	struct haul_msg *taken;
};

static void take(struct one *c)
{
	struct haul_req *r;
	struct haul_status status;
	must_be(haul_itake(c->t.b, NULL, &r), 0);
	must_be(twins_finish(&c->t, r, &status), 0);
	must_be(status.flags, HAUL_STATUS_CALL);
	c->taken = status.msg;
}

static void begin(struct one *c, const struct path *path)
{
	struct haul_options o = path_options(path);
	*c = (struct one){ .len = path_most(path, LEN) };
	c->out = filled(c->len, TAG);
	c->in = room_for(c->len);
	twins_start(&c->t, &o);
	must_be(haul_icall(c->t.to_b, TAG, &(struct iovec){ c->out, c->len }, 1, &c->call), 0);
}

static void end(struct one *c)
{
	twins_end(&c->t);
	free(c->out);
	free(c->in);
}

/* Whoever has taken it hears why it is over. A short one is there all the same. */
static void must_be_over(struct haul_msg *m, const struct path *path, size_t len, int error)
{
	struct haul_status status;
	struct haul_req *reply;
	unsigned char *in = room_for(len);
	must_be(haul_msg_status(m, &status), 0);
	must_be(status.error, error);
	ssize_t n = haul_msg_read(m, 0, &(struct iovec){ in, len }, 1, PATIENCE_MS);
	must(n == error || (n == (ssize_t)len && path->eager));
	if (n > 0)
		must_hold(in, len, TAG, 0);
	must_be(haul_reply(m, NULL, 0, &reply), error);
	must_be(haul_msg_done(m), 0);
	free(in);
}

/* ---- given up by who called ---- */

EveryPath(call_ends, timed_out_before_it_was_taken_it_is_not_there_any_more)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LEN);
	unsigned char *out = filled(len, TAG);
	struct haul_msg *m;
	struct twins t;
	twins_start(&t, &o);
	must_be(haul_call(t.to_b, TAG, &(struct iovec){ out, len }, 1, SOON_MS, &m), -ETIMEDOUT);
	memset(out, SCRIBBLE, len);
	twins_settle(&t);
	must_be(haul_take(t.b, NULL, 0, &m), -EAGAIN);
	twins_end(&t);
	free(out);
}

static void give_up(struct one *c, int how)
{
	if (how == 0)
		must_be(haul_req_cancel(c->call), 0);
	else if (how == 1)
		must_be(haul_req_deadline(c->call, 0), 0);
	else
		must_be(haul_peer_cancel(c->t.to_b), 1);
}

EveryPath(call_ends, given_up_while_it_is_taken_its_taker_hears_so)
{
	for (int how = 0; how < 3; how++) {
		struct one c;
		begin(&c, path);
		take(&c);
		give_up(&c, how);
		must_be(twins_finish(&c.t, c.call, NULL), how == 1 ? -ETIMEDOUT : -ECANCELED);
		memset(c.out, SCRIBBLE, c.len);
		twins_settle(&c.t);
		must_be_over(c.taken, path, c.len, -ECANCELED);
		end(&c);
	}
}

EveryPath(call_ends, given_up_while_it_is_read_the_read_hears_so)
{
	for (int how = 0; how < 3; how++) {
		struct haul_req *read;
		struct one c;
		begin(&c, path);
		take(&c);
		must_be(haul_msg_iread(c.taken, 0, &(struct iovec){ c.in, c.len }, 1, &read), 0);
		give_up(&c, how);
		must(haul_progress(c.t.a) >= 0);
		int rc = twins_finish(&c.t, read, NULL);
		must(rc == 0 || rc == -ECANCELED);
		if (rc == 0)
			must_hold(c.in, c.len, TAG, 0);
		must_be(twins_finish(&c.t, c.call, NULL), how == 1 ? -ETIMEDOUT : -ECANCELED);
		must_be(haul_msg_done(c.taken), 0);
		end(&c);
	}
}

/* The buffer is the caller's again though the other side has not heard of it yet. */
EveryPath(call_ends, given_up_in_silence_nothing_that_is_written_then_is_read)
{
	struct one c;
	begin(&c, path);
	take(&c);
	must_be(haul_req_deadline(c.call, 0), 0);
	must_be(haul_req_wait(c.call, PATIENCE_MS), 0);
	must_be(haul_req_finish(c.call, NULL), -ETIMEDOUT);
	memset(c.out, SCRIBBLE, c.len);
	ssize_t n = haul_msg_read(c.taken, 0, &(struct iovec){ c.in, c.len }, 1, PATIENCE_MS);
	must(n == -ECANCELED || (n == (ssize_t)c.len && path->eager));
	if (n > 0)
		must_hold(c.in, c.len, TAG, 0);
	twins_settle(&c.t);
	must_be_over(c.taken, path, c.len, -ECANCELED);
	end(&c);
}

Test(call_ends, an_interrupt_ends_it)
{
	struct haul_msg *m;
	struct twins t;
	twins_start(&t, NULL);
	haul_interrupt(t.a);
	must_be(haul_call(t.to_b, TAG, NULL, 0, PATIENCE_MS, &m), -EINTR);
	twins_settle(&t);
	must_be(haul_take(t.b, NULL, 0, &m), -EAGAIN);
	twins_end(&t);
}

/* ---- replies that do not leave ---- */

/* A call that is taken, and a reply to it that waits to be sent, because of another call. */
static struct haul_req *reply_unsent(struct one *c)
{
	static const struct path by_default = { .name = "auto", .longest = SHORT };
	struct haul_req *reply, *other;
	begin(c, &by_default);
	take(c);
	must_be(haul_icall(c->t.to_b, TAG + 1, NULL, 0, &other), 0);
	twins_settle(&c->t);
	must_be(haul_reply(c->taken, &(struct iovec){ c->in, c->len }, 1, &reply), 0);
	must_be(haul_req_test(c->call), -EINPROGRESS);
	return reply;
}

Test(call_ends, given_up_while_the_reply_has_not_left_the_reply_hears_so)
{
	struct one c;
	struct haul_req *reply = reply_unsent(&c);
	must_be(haul_req_deadline(c.call, 0), 0);
	must(haul_progress(c.t.a) >= 0);
	must_be(twins_finish(&c.t, reply, NULL), -ECANCELED);
	must_be(twins_finish(&c.t, c.call, NULL), -ETIMEDOUT);
	end(&c);
}

/* A cancel harms nobody's work. */
Test(call_ends, canceled_while_the_reply_has_not_left_it_gets_that)
{
	struct one c;
	struct haul_status status;
	struct haul_req *reply = reply_unsent(&c);
	must_be(haul_req_cancel(c.call), 0);
	must(haul_progress(c.t.a) >= 0);
	must_be(twins_finish(&c.t, reply, NULL), 0);
	must_be(twins_finish(&c.t, c.call, &status), 0);
	must_be(haul_msg_done(status.msg), 0);
	end(&c);
}

Test(call_ends, a_reply_that_is_taken_back_refuses_it)
{
	for (int how = 0; how < 2; how++) {
		struct one c;
		struct haul_req *reply = reply_unsent(&c);
		if (how == 0)
			must_be(haul_req_cancel(reply), 0);
		else
			must_be(haul_req_deadline(reply, 0), 0);
		must_be(haul_req_finish(reply, NULL), how == 0 ? -ECANCELED : -ETIMEDOUT);
		must_be(twins_finish(&c.t, c.call, NULL), -ECONNREFUSED);
		end(&c);
	}
}

Test(call_ends, a_short_reply_from_where_nothing_can_be_read_is_efault_on_both_sides)
{
	static const struct path by_default = { .name = "auto", .longest = SHORT };
	size_t len = 2 * (size_t)sysconf(_SC_PAGESIZE);
	void *bad = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct haul_req *reply;
	struct one c;
	must(bad != MAP_FAILED);
	begin(&c, &by_default);
	take(&c);
	must_be(haul_reply(c.taken, &(struct iovec){ bad, len }, 1, &reply), 0);
	must_be(twins_finish(&c.t, reply, NULL), -EFAULT);
	must_be(twins_finish(&c.t, c.call, NULL), -EFAULT);
	end(&c);
	munmap(bad, len);
}

/* ---- described replies that nobody reads ---- */

static struct haul_msg *get_reply(struct one *c, struct haul_req **reply)
{
	struct haul_status status;
	pattern_fill(c->in, c->len, REPLY_SEED, 0);
	must_be(haul_reply(c->taken, &(struct iovec){ c->in, c->len }, 1, reply), 0);
	must_be(twins_finish(&c->t, c->call, &status), 0);
	return status.msg;
}

EveryPath(call_ends, a_reply_given_up_before_it_is_read_is_ecanceled_to_its_reader)
{
	struct haul_req *reply, *read;
	struct one c;
	begin(&c, path);
	take(&c);
	struct haul_msg *m = get_reply(&c, &reply);
	if (haul_req_test(reply) == -EINPROGRESS)
		must_be(haul_req_deadline(reply, 0), 0);
	int rc = twins_finish(&c.t, reply, NULL);
	must(rc == -ETIMEDOUT || (rc == 0 && path->eager));
	must_be(haul_msg_iread(m, 0, &(struct iovec){ c.out, c.len }, 1, &read), 0);
	must_be(twins_finish(&c.t, read, NULL), rc == 0 ? 0 : -ECANCELED);
	if (rc == 0)
		must_hold(c.out, c.len, REPLY_SEED, 0);
	must_be(haul_msg_done(m), 0);
	end(&c);
}

EveryPath(call_ends, a_reply_can_be_refused)
{
	struct haul_req *reply;
	struct one c;
	begin(&c, path);
	take(&c);
	must_be(haul_msg_refuse(get_reply(&c, &reply), -EDOM), 0);
	must_be(twins_finish(&c.t, reply, NULL), 0); /* the buffer is free, and no more was promised */
	end(&c);
}

/* ---- goodbyes ---- */

EveryPath(call_ends, by_the_goodbye_of_who_is_called_it_is_epipe)
{
	for (int taken = 0; taken < 2; taken++) {
		struct one c;
		begin(&c, path);
		if (taken)
			take(&c);
		twins_settle(&c.t);
		int rc = haul_peer_close(c.t.to_a, 0);
		must(rc == 0 || rc == -ETIMEDOUT);
		must_be(twins_finish(&c.t, c.call, NULL), -EPIPE);
		if (taken)
			must_be_over(c.taken, path, c.len, -EPIPE);
		must_be(haul_call(c.t.to_b, TAG, NULL, 0, PATIENCE_MS, &c.taken), -EPIPE);
		end(&c);
	}
}

EveryPath(call_ends, by_the_goodbye_of_who_calls_it_is_ecanceled)
{
	struct one c;
	begin(&c, path);
	take(&c);
	int rc = haul_peer_close(c.t.to_b, 0);
	must(rc == 0 || rc == -ETIMEDOUT);
	must_be(haul_req_finish(c.call, NULL), -ECANCELED);
	twins_settle(&c.t);
	must_be_over(c.taken, path, c.len, -ECANCELED);
	end(&c);
}

static void *close_patiently(void *peer)
{
	must_be(haul_peer_close(peer, PATIENCE_MS), 0);
	return NULL;
}

/* When it closes it refuses what was not received: then it is known to have begun. */
EveryPath(call_ends, who_closes_waits_for_the_reply_if_it_is_short)
{
	struct haul_status status;
	struct haul_req *hint, *reply;
	pthread_t thread;
	struct one c;
	begin(&c, path);
	take(&c);
	must_be(haul_isend(c.t.to_a, 1, NULL, 0, HAUL_SYNC, &hint), 0);
	twins_settle(&c.t);
	must_be(pthread_create(&thread, NULL, close_patiently, c.t.to_b), 0);
	must_be(end_of(hint, NULL), -EPIPE);
	pattern_fill(c.in, c.len, REPLY_SEED, 0);
	must_be(haul_reply(c.taken, &(struct iovec){ c.in, c.len }, 1, &reply), 0);
	int rc = end_of(reply, NULL);
	must(rc == -ECANCELED || (rc == 0 && path->eager));
	while (haul_req_test(c.call) == -EINPROGRESS)
		must(haul_progress(c.t.b) >= 0);
	must_be(haul_req_finish(c.call, &status), rc);
	for (struct haul_req *gone = NULL; gone == NULL || haul_req_finish(gone, NULL) == -EINPROGRESS;) {
		if (gone == NULL)
			must_be(haul_peer_watch(c.t.to_a, &gone), 0);
		must(haul_progress(c.t.b) >= 0);
	}
	must_be(pthread_join(thread, NULL), 0);
	if (rc == 0) {
		struct haul_msg *m = status.msg;
		must_be(haul_msg_status(m, &status), 0);
		must(status.peer == NULL);
		must_be(haul_msg_read(m, 0, &(struct iovec){ c.out, c.len }, 1, 0), c.len);
		must_hold(c.out, c.len, REPLY_SEED, 0);
		must_be(haul_msg_done(m), 0);
	}
	end(&c);
}

struct blocked {
	struct haul_peer *peer;
	int result;
};

static void *call_blocking(void *arg)
{
	struct blocked *b = arg;
	struct haul_msg *m;
	b->result = haul_call(b->peer, TAG, NULL, 0, -1, &m);
	return NULL;
}

Test(call_ends, by_the_close_of_its_context_it_is_ecanceled)
{
	struct blocked b;
	struct haul_msg *m;
	pthread_t thread;
	struct twins t;
	twins_start(&t, NULL);
	b.peer = t.to_b;
	must_be(pthread_create(&thread, NULL, call_blocking, &b), 0);
	must_be(haul_take(t.b, NULL, PATIENCE_MS, &m), 0);
	must_be(haul_close(t.a, 0), -ETIMEDOUT);
	must_be(pthread_join(thread, NULL), 0);
	must_be(b.result, -ECANCELED);
	must_be(haul_close(t.b, 0), 0);
}

/* ---- death ---- */

struct plan {
	const struct path *path;
	size_t len;
	const char *program; /* that it becomes */
};

/* Calls twice, and lives on until it is killed; or becomes another program. */
static int call_and_wait(struct haul *h, struct haul_peer *p, void *arg)
{
	const struct plan *plan = arg;
	struct haul_req *calls[2];
	unsigned char *out = filled(plan->len, TAG);
	for (int i = 0; i < 2; i++)
		must_be(haul_icall(p, TAG, &(struct iovec){ out, plan->len }, 1, &calls[i]), 0);
	if (plan->program != NULL) {
		await_token(h, p);
		execl(plan->program, plan->program, "60", (char *)NULL);
		must(!"reached");
	}
	must_be(haul_req_wait(calls[0], -1), 0);
	return 1;
}

/* The other side is no more: of its two calls one was taken, the other was not. */
static void must_be_dead(struct duo *d, struct haul_msg *m, const struct plan *plan)
{
	struct haul_req *watch;
	must_be(haul_peer_watch(d->peer, &watch), 0);
	must_be(end_of(watch, NULL), -ECONNRESET);
	must_be_over(m, plan->path, plan->len, -ECONNRESET);
	must_be(haul_take(d->haul, &(struct haul_match){ .from = d->peer, .ignore = UINT64_MAX }, 0, &m),
	    -ECONNRESET);
}

static void die_calling(const struct path *path, const char *program)
{
	struct haul_options o = path_options(path);
	struct plan plan = { .path = path, .len = path_most(path, LEN), .program = program };
	struct haul_msg *m;
	struct haul_req *token; /* which it may no longer be there to take, being another program by then */
	struct duo d;
	duo_start(&d,
	    &(struct duo_plan){ call_and_wait, &plan, .ours = &o, .theirs = &o, .timeout_ms = PATIENCE_MS });
	must_be(haul_take(d.haul, NULL, PATIENCE_MS, &m), 0);
	must_be(haul_probe(d.haul, NULL, PATIENCE_MS, &(struct haul_status){ 0 }), 0);
	if (program != NULL) {
		must_be(haul_isend(d.peer, TAG_TOKEN, NULL, 0, 0, &token), 0);
		haul_req_free(token);
	} else {
		child_signal(&d.child, SIGKILL);
	}
	must_be_dead(&d, m, &plan);
	if (program != NULL)
		child_signal(&d.child, SIGKILL);
	child_expect_killed(&d.child, SIGKILL);
	duo_close(&d);
}

EveryPath(call_ends, by_the_death_of_who_called)
{
	die_calling(path, NULL);
}

EveryPath(call_ends, by_who_called_becoming_another_program)
{
	die_calling(path, "/bin/sleep");
}

/* Takes one of two calls, and replies to it or not. */
static int take_and_wait(struct haul *h, struct haul_peer *p, void *arg)
{
	const struct plan *plan = arg;
	struct haul_msg *m;
	struct haul_req *reply;
	must_be(haul_take(h, NULL, PATIENCE_MS, &m), 0);
	if (plan != NULL) {
		unsigned char *out = filled(plan->len, REPLY_SEED);
		must_be(haul_reply(m, &(struct iovec){ out, plan->len }, 1, &reply), 0);
	}
	send_token(p);
	must_be(haul_recv(h, &(struct haul_match){ .tag = 99 }, NULL, 0, -1, NULL), 0);
	return 1;
}

EveryPath(call_ends, by_the_death_of_who_is_called)
{
	for (int replied = 0; replied < 2; replied++) {
		struct haul_options o = path_options(path);
		struct plan plan = { .path = path, .len = path_most(path, LEN) };
		unsigned char *out = filled(plan.len, TAG), *in = room_for(plan.len);
		struct haul_req *calls[2];
		struct haul_status status;
		struct duo d;
		duo_start(&d,
		    &(struct duo_plan){ take_and_wait, replied ? &plan : NULL, .ours = &o, .theirs = &o,
		        .timeout_ms = PATIENCE_MS });
		for (int i = 0; i < 2; i++)
			must_be(haul_icall(d.peer, TAG, &(struct iovec){ out, plan.len }, 1, &calls[i]), 0);
		await_token(d.haul, d.peer);
		child_signal(&d.child, SIGKILL);
		must_be(end_of(calls[1], NULL), -ECONNRESET);
		must_be(end_of(calls[0], &status), replied ? 0 : -ECONNRESET);
		if (replied) { /* and its memory is gone */
			ssize_t n =
			    haul_msg_read(status.msg, 0, &(struct iovec){ in, plan.len }, 1, PATIENCE_MS);
			must(n == -ECONNRESET || (n == (ssize_t)plan.len && path->eager));
			if (n > 0)
				must_hold(in, plan.len, REPLY_SEED, 0);
			must_be(haul_msg_done(status.msg), 0);
		}
		child_expect_killed(&d.child, SIGKILL);
		duo_close(&d);
		free(out);
		free(in);
	}
}

/* ---- halts ---- */

/* What was given up while it was stopped is not there; the next call is. */
static int serve_the_next(struct haul *h, struct haul_peer *p, void *arg)
{
	struct haul_msg *m;
	struct haul_status status;
	struct haul_req *reply;
	(void)arg;
	send_token(p);
	await_token(h, p);
	must_be(haul_take(h, NULL, PATIENCE_MS, &m), 0);
	must_be(haul_msg_status(m, &status), 0);
	must_be(status.tag, TAG + 1);
	must_be(haul_reply(m, NULL, 0, &reply), 0);
	must_be(end_of(reply, NULL), 0);
	await_token(h, p);
	return 0;
}

EveryPath(call_ends, to_somebody_who_is_stopped_its_timeout_is_kept)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LEN);
	unsigned char *out = filled(len, TAG);
	struct haul_msg *m;
	struct duo d;
	duo_start(&d,
	    &(struct duo_plan){ serve_the_next, NULL, .ours = &o, .theirs = &o, .timeout_ms = PATIENCE_MS });
	await_token(d.haul, d.peer);
	duo_stop(&d.child);
	must_be(haul_call(d.peer, TAG, &(struct iovec){ out, len }, 1, SOON_MS, &m), -ETIMEDOUT);
	memset(out, SCRIBBLE, len);
	duo_continue(&d.child);
	send_token(d.peer);
	must_be(haul_call(d.peer, TAG + 1, NULL, 0, PATIENCE_MS, &m), 0);
	must_be(haul_msg_done(m), 0);
	send_token(d.peer);
	child_expect(&d.child, 0);
	duo_close(&d);
	free(out);
}

/* Calls, and reads a reply that was taken back while it was stopped. */
static int call_and_read(struct haul *h, struct haul_peer *p, void *arg)
{
	const struct plan *plan = arg;
	unsigned char *in = room_for(plan->len);
	struct haul_msg *m;
	must_be(haul_call(p, TAG, NULL, 0, PATIENCE_MS, &m), 0);
	send_token(p);
	await_token(h, p);
	ssize_t n = haul_msg_read(m, 0, &(struct iovec){ in, plan->len }, 1, PATIENCE_MS);
	must(n == -ECANCELED || (n == (ssize_t)plan->len && plan->path->eager));
	if (n > 0)
		must_hold(in, plan->len, REPLY_SEED, 0);
	must_be(haul_msg_done(m), 0);
	send_token(p);
	await_token(h, p);
	return 0;
}

EveryPath(call_ends, a_reply_to_somebody_who_is_stopped_keeps_its_deadline)
{
	struct haul_options o = path_options(path);
	struct plan plan = { .path = path, .len = path_most(path, LEN) };
	unsigned char *out = filled(plan.len, REPLY_SEED);
	struct haul_req *reply;
	struct haul_msg *m;
	struct duo d;
	duo_start(&d,
	    &(struct duo_plan){ call_and_read, &plan, .ours = &o, .theirs = &o, .timeout_ms = PATIENCE_MS });
	must_be(haul_take(d.haul, NULL, PATIENCE_MS, &m), 0);
	must_be(haul_reply(m, &(struct iovec){ out, plan.len }, 1, &reply), 0);
	await_token(d.haul, d.peer);
	duo_stop(&d.child);
	int rc = haul_req_deadline(reply, SOON_MS);
	must(rc == 0 || rc == -EALREADY);
	rc = end_of(reply, NULL);
	must(rc == -ETIMEDOUT || (rc == 0 && path->eager));
	memset(out, SCRIBBLE, plan.len);
	duo_continue(&d.child);
	send_token(d.peer);
	await_token(d.haul, d.peer);
	send_token(d.peer);
	child_expect(&d.child, 0);
	duo_close(&d);
	free(out);
}
