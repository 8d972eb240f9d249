/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How completions are told: by a callback, which haul_progress() and haul_close() run and nobody else, or by a
 * queued signal, each once. And what a callback may do.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/fds.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(notify, .timeout = 60);

enum { LONG_LEN = 300007, SOON_MS = 20 };

/* ---- what was told ---- */

struct told {
	int times;
	struct haul_req *of;
};

static void take_note(struct haul_req *r, void *arg)
{
	struct told *t = arg;
	t->times++;
	t->of = r;
}

static void tell(struct haul_req *r, struct told *t)
{
	*t = (struct told){ 0 };
	must_be(haul_req_notify(r, &(struct haul_notify){ .call = take_note, .arg = t }), 0);
}

static void progress(struct haul *h)
{
	int rc;
	while ((rc = haul_progress(h)) == 1)
		continue;
	must_be(rc, 0);
}

/* A context with itself for a peer, and a request of it that completes when somebody says so. */
static struct haul *start(struct haul_req **r)
{
	struct haul *h;
	must_be(haul_open(&h, NULL, 0), 0);
	must(haul_self(h) != NULL);
	must_be(haul_irecv(h, &(struct haul_match){ .tag = 1 }, NULL, 0, r), 0);
	return h;
}

static void say(struct haul *h, uint64_t tag)
{
	struct haul_req *r;
	must_be(haul_isend(haul_self(h), tag, NULL, 0, 0, &r), 0);
	haul_req_free(r);
}

/* ---- when, and how often ---- */

static void send_one(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, LONG_LEN);
	unsigned char *out = filled(len, 1);
	await_token(h, p);
	must_be(haul_sendv(p, 1, &(struct iovec){ out, len }, 1, HAUL_SYNC, PATIENCE_MS), 0);
	await_token(h, p);
	free(out);
}

EveryPath(notify, only_progress_calls_and_it_calls_once)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	struct haul_status status;
	struct haul_req *r;
	struct told told;
	struct pairing p;
	unsigned char *in = room_for(len);
	pairing_start(&p, &o, &o, send_one, path);
	must_be(haul_irecv(p.haul, NULL, &(struct iovec){ in, len }, 1, &r), 0);
	tell(r, &told);
	progress(p.haul);
	must_be(told.times, 0);
	send_token(p.peer);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_test(r), 0);
	must_be(haul_probe(p.haul, NULL, SOON_MS, &status), -ETIMEDOUT);
	must_be(told.times, 0);
	progress(p.haul);
	must_be(told.times, 1);
	must(told.of == r);
	progress(p.haul);
	must_be(haul_req_test(r), 0);
	must_be(told.times, 1);
	must_be(haul_req_finish(r, NULL), 0);
	must_hold(in, len, 1, 0);
	progress(p.haul);
	must_be(told.times, 1);
	send_token(p.peer);
	pairing_end(&p);
	free(in);
}

static bool is_readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, timeout_ms) == 1;
}

Test(notify, a_call_that_is_due_keeps_the_descriptor_readable)
{
	struct haul_req *r;
	struct told told;
	struct haul *h = start(&r);
	int fd = haul_fd(h), rc;
	must(fd >= 0);
	tell(r, &told);
	do
		progress(h);
	while ((rc = haul_arm(h)) == -EAGAIN);
	must_be(rc, 0);
	must(!is_readable(fd, 0));
	say(h, 1);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(told.times, 0);
	must(is_readable(fd, PATIENCE_MS));
	must_be(haul_arm(h), -EAGAIN);
	progress(h);
	must_be(told.times, 1);
	must_be(haul_req_finish(r, NULL), 0);
	must_be(haul_close(h, 0), 0);
}

Test(notify, what_is_complete_already_is_told_of_by_the_next_progress)
{
	struct haul_req *r;
	struct told first, second;
	struct haul *h = start(&r);
	say(h, 1);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	progress(h);
	tell(r, &first);
	must_be(first.times, 0);
	progress(h);
	must_be(first.times, 1);
	tell(r, &second); /* asked for anew, told anew */
	progress(h);
	must_be(first.times, 1);
	must_be(second.times, 1);
	must_be(haul_req_finish(r, NULL), 0);
	must_be(haul_close(h, 0), 0);
}

Test(notify, can_be_replaced_and_taken_away)
{
	struct haul_req *r;
	struct told first, second;
	struct haul *h = start(&r);
	tell(r, &first);
	tell(r, &second);
	say(h, 1);
	progress(h);
	must_be(first.times, 0);
	must_be(second.times, 1);
	must_be(haul_req_finish(r, NULL), 0);

	must_be(haul_irecv(h, &(struct haul_match){ .tag = 1 }, NULL, 0, &r), 0);
	tell(r, &first);
	must_be(haul_req_notify(r, NULL), 0);
	say(h, 1);
	progress(h);
	must_be(first.times, 0);
	tell(r, &first);
	must_be(haul_req_notify(r, NULL), 0); /* though it was due */
	progress(h);
	must_be(first.times, 0);
	must_be(haul_req_finish(r, NULL), 0);

	must_be(haul_irecv(h, &(struct haul_match){ .tag = 1 }, NULL, 0, &r), 0);
	tell(r, &first);
	haul_req_free(r); /* dropped with it */
	say(h, 1);
	progress(h);
	must_be(haul_irecv(h, &(struct haul_match){ .tag = 1 }, NULL, 0, &r), 0);
	say(h, 1);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	tell(r, &first);
	must_be(haul_req_finish(r, NULL), 0);
	progress(h);
	must_be(first.times, 0);
	must_be(haul_close(h, 0), 0);
}

Test(notify, of_a_request_that_fails_is_told_as_well)
{
	struct haul_req *r;
	struct told told;
	struct haul *h = start(&r);
	tell(r, &told);
	must_be(haul_req_cancel(r), 0);
	must_be(told.times, 0);
	progress(h);
	must_be(told.times, 1);
	must_be(haul_req_finish(r, NULL), -ECANCELED);
	must_be(haul_irecv(h, NULL, NULL, 0, &r), 0);
	tell(r, &told);
	must_be(haul_req_deadline(r, 0), 0);
	progress(h);
	must_be(told.times, 1);
	must_be(haul_req_finish(r, NULL), -ETIMEDOUT);
	must_be(haul_close(h, 0), 0);
}

/* ---- what a callback may do ---- */

static void finish_it(struct haul_req *r, void *arg)
{
	int *result = arg;
	*result = haul_req_finish(r, NULL);
}

static void free_it(struct haul_req *r, void *arg)
{
	int *times = arg;
	haul_req_free(r);
	++*times;
}

Test(notify, a_callback_may_finish_or_free_its_request)
{
	struct haul_req *r;
	struct haul *h = start(&r);
	int result = 1, times = 0;
	must_be(haul_req_notify(r, &(struct haul_notify){ .call = finish_it, .arg = &result }), 0);
	say(h, 1);
	progress(h);
	must_be(result, 0);
	must_be(haul_irecv(h, &(struct haul_match){ .tag = 1 }, NULL, 0, &r), 0);
	must_be(haul_req_notify(r, &(struct haul_notify){ .call = free_it, .arg = &times }), 0);
	say(h, 1);
	progress(h);
	must_be(times, 1);
	must_be(haul_close(h, 0), 0);
}

/* Each message's callback sends the next. */
struct chain {
	struct haul *haul;
	uint64_t left, seen;
	uint64_t in;
};

static void next_link(struct haul_req *r, void *arg);

static void forge(struct chain *c)
{
	struct haul_req *r;
	struct iovec to = { &c->in, sizeof(c->in) };
	must_be(haul_irecv(c->haul, NULL, &to, 1, &r), 0);
	must_be(haul_req_notify(r, &(struct haul_notify){ .call = next_link, .arg = c }), 0);
	must_be(haul_send(haul_self(c->haul), 1, &c->left, sizeof(c->left), 0), 0);
}

static void next_link(struct haul_req *r, void *arg)
{
	struct chain *c = arg;
	must_be(haul_req_finish(r, NULL), 0);
	must_be(c->in, c->left);
	c->seen++;
	if (--c->left > 0)
		forge(c);
}

Test(notify, a_callback_may_start_what_calls_the_next)
{
	struct chain c = { .left = 10000 };
	must_be(haul_open(&c.haul, NULL, 0), 0);
	must(haul_self(c.haul) != NULL);
	forge(&c);
	progress(c.haul);
	must_be(c.seen, 10000);
	must_be(haul_close(c.haul, 0), 0);
}

/* One that does it all. */
struct doer {
	struct haul *haul;
	struct haul_peer *other;
	struct haul_listener *listener;
	struct haul_req *canceled, *late, *aborted_by_close;
	bool done;
};

static void do_it_all(struct haul_req *r, void *arg)
{
	struct doer *d = arg;
	struct haul_peer *self = haul_self(d->haul);
	struct haul_req *send, *recv;
	struct haul_msg *m;
	struct haul_op op = { .kind = HAUL_OP_SEND, .peer = self, .tag = 9 };
	struct haul_status status;
	must_be(haul_req_cancel(d->canceled), 0);
	must_be(haul_req_finish(d->canceled, NULL), -ECANCELED);
	must_be(haul_req_deadline(d->late, 0), 0);
	must_be(haul_req_finish(d->late, NULL), -ETIMEDOUT);
	must_be(haul_isend(self, 8, NULL, 0, HAUL_SYNC, &send), 0);
	must_be(haul_irecv(d->haul, &(struct haul_match){ .tag = 8 }, NULL, 0, &recv), 0);
	while (haul_req_test(send) != 0 || haul_req_test(recv) != 0)
		continue;
	must_be(haul_req_finish(send, NULL), 0);
	must_be(haul_req_finish(recv, NULL), 0);
	must_be(haul_submit(d->haul, &op, 1, 0, NULL), 0);
	must_be(haul_req_wait(op.req, 0), 0);
	haul_req_free(op.req);
	must_be(haul_probe(d->haul, &(struct haul_match){ .tag = 9 }, 0, &status), 0);
	must_be(haul_take(d->haul, &(struct haul_match){ .tag = 9 }, 0, &m), 0);
	must_be(haul_msg_done(m), 0);
	must_be(haul_recv(d->haul, &(struct haul_match){ .tag = 9 }, NULL, 0, 0, NULL), -EAGAIN);
	must_be(haul_peer_close(d->other, 0), 0);
	must_be(haul_req_finish(d->aborted_by_close, &status), -ECANCELED);
	must(status.peer == NULL);
	haul_listener_close(d->listener);
	must_be(haul_req_finish(r, NULL), 0);
	d->done = true;
}

Test(notify, a_callback_may_do_all_that_does_not_wait)
{
	int fds = fds_count();
	struct twins t;
	struct doer d = { 0 };
	struct haul_req *r;
	char address[64];
	snprintf(address, sizeof(address), "@haul-test-notify-%d", (int)getpid());
	twins_start(&t, NULL);
	d.haul = t.a;
	d.other = t.to_b;
	must_be(haul_listen(t.a, address, &d.listener), 0);
	must_be(haul_irecv(t.a, &(struct haul_match){ .tag = 50 }, NULL, 0, &d.canceled), 0);
	must_be(haul_irecv(t.a, &(struct haul_match){ .tag = 51 }, NULL, 0, &d.late), 0);
	must_be(haul_irecv(t.a, &(struct haul_match){ .from = t.to_b, .tag = 52 }, NULL, 0,
	            &d.aborted_by_close),
	    0);
	must_be(haul_irecv(t.a, &(struct haul_match){ .tag = 1 }, NULL, 0, &r), 0);
	must_be(haul_req_notify(r, &(struct haul_notify){ .call = do_it_all, .arg = &d }), 0);
	say(t.a, 1);
	progress(t.a);
	must(d.done);
	twins_end(&t);
	fds_expect(fds);
}

struct waiter {
	struct haul *haul;
	struct haul_peer *peer;
	struct haul_listener *listener;
	struct haul_req *pending;
	bool done;
};

static void try_to_wait(struct haul_req *r, void *arg)
{
	struct waiter *w = arg;
	struct haul_status status;
	struct haul_msg *m;
	struct haul_peer *p;
	struct haul_op op = { .kind = HAUL_OP_NONE };
	size_t done[1];
	static char buf[8];
	(void)r;
	must_be(haul_progress(w->haul), -EDEADLK);
	must_be(haul_close(w->haul, 0), -EDEADLK);
	must_be(haul_close(w->haul, -1), -EDEADLK);
	must_be(haul_recv(w->haul, NULL, buf, 8, -1, &status), -EDEADLK);
	must_be(status.error, -EDEADLK);
	must_be(haul_probe(w->haul, NULL, 1, &status), -EDEADLK);
	must_be(haul_take(w->haul, NULL, -1, &m), -EDEADLK);
	must_be(haul_send(w->peer, 5, buf, 8, -1), -EDEADLK);
	must_be(haul_sendv(w->peer, 5, NULL, 0, HAUL_SYNC, 1), -EDEADLK);
	must_be(haul_sendrecv(w->peer, 5, buf, 8, NULL, buf, 8, -1, &status), -EDEADLK);
	must_be(haul_req_wait(w->pending, 1), -EDEADLK);
	must_be(haul_wait_any(&w->pending, 1, -1), -EDEADLK);
	must_be(haul_wait_some(&w->pending, 1, done, -1), -EDEADLK);
	must_be(haul_wait_all(&w->pending, 1, -1), -EDEADLK);
	must_be(haul_submit(w->haul, &op, 1, -1, NULL), -EDEADLK);
	must_be(haul_accept(w->listener, -1, &p), -EDEADLK);
	must_be(haul_connect(w->haul, "@nobody", 100, &p), -EDEADLK);
	must_be(haul_adopt(w->haul, 0, 100, &p), -EDEADLK);
	must_be(haul_peer_flush(w->peer, -1), -EDEADLK);
	must_be(haul_peer_close(w->peer, 100), -EDEADLK);
	must_be(haul_req_wait(w->pending, 0), -EAGAIN);
	w->done = true;
}

Test(notify, a_callback_that_would_wait_is_told_so)
{
	struct twins t;
	struct waiter w = { 0 };
	struct haul_req *r;
	char address[64];
	snprintf(address, sizeof(address), "@haul-test-notify-%d", (int)getpid());
	twins_start(&t, NULL);
	w.haul = t.a;
	w.peer = t.to_b;
	must_be(haul_listen(t.a, address, &w.listener), 0);
	must_be(haul_irecv(t.a, &(struct haul_match){ .tag = 50 }, NULL, 0, &w.pending), 0);
	must_be(haul_irecv(t.a, &(struct haul_match){ .tag = 1 }, NULL, 0, &r), 0);
	must_be(haul_req_notify(r, &(struct haul_notify){ .call = try_to_wait, .arg = &w }), 0);
	say(t.a, 1);
	progress(t.a);
	must(w.done);
	must_be(haul_req_finish(r, NULL), 0);
	/* Nothing was harmed, or sent. */
	twins_settle(&t);
	must_be(haul_recv(t.b, NULL, NULL, 0, 0, NULL), -EAGAIN);
	must_be(haul_req_cancel(w.pending), 0);
	must_be(haul_req_finish(w.pending, NULL), -ECANCELED);
	twins_end(&t);
}

/* ---- signals ---- */

static void block(int signal, sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, signal);
	must(sigprocmask(SIG_BLOCK, set, NULL) == 0);
}

static bool next_signal(const sigset_t *set, int timeout_ms, siginfo_t *info)
{
	struct timespec t = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L };
	return sigtimedwait(set, info, &t) > 0;
}

EveryPath(notify, a_signal_comes_at_the_completion_with_its_value)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	struct haul_req *r;
	struct pairing p;
	sigset_t set;
	siginfo_t info;
	unsigned char *in = room_for(len);
	block(SIGRTMIN, &set);
	pairing_start(&p, &o, &o, send_one, path);
	must_be(haul_irecv(p.haul, NULL, &(struct iovec){ in, len }, 1, &r), 0);
	must_be(haul_req_notify(r, &(struct haul_notify){ .signal = SIGRTMIN, .value = in }), 0);
	must(!next_signal(&set, 0, &info));
	send_token(p.peer);
	must_be(haul_req_wait(r, PATIENCE_MS), 0); /* a blocking call will do */
	must(next_signal(&set, 0, &info));
	must_be(info.si_signo, SIGRTMIN);
	must_be(info.si_code, SI_QUEUE);
	must_be(info.si_pid, getpid());
	must(info.si_value.sival_ptr == in);
	progress(p.haul);
	must(!next_signal(&set, 0, &info));
	must_be(haul_req_notify(r, &(struct haul_notify){ .signal = SIGRTMIN, .value = r }), 0); /* at once */
	must(next_signal(&set, 0, &info));
	must(info.si_value.sival_ptr == r);
	must_be(haul_req_finish(r, NULL), 0);
	must_hold(in, len, 1, 0);
	send_token(p.peer);
	pairing_end(&p);
	free(in);
}

Test(notify, a_call_and_a_signal_are_both_given)
{
	struct haul_req *r;
	struct told told = { 0 };
	struct haul *h = start(&r);
	sigset_t set;
	siginfo_t info;
	block(SIGRTMIN + 1, &set);
	must_be(haul_req_notify(r,
	            &(struct haul_notify){ .call = take_note,
	                .arg = &told,
	                .signal = SIGRTMIN + 1,
	                .value = h }),
	    0);
	say(h, 1);
	progress(h);
	must_be(told.times, 1);
	must(next_signal(&set, 0, &info));
	must(!next_signal(&set, 0, &info));
	must_be(haul_req_finish(r, NULL), 0);
	must_be(haul_close(h, 0), 0);
}

Test(notify, a_signal_that_is_none_is_refused_and_changes_nothing)
{
	struct haul_req *r;
	struct told told;
	struct haul *h = start(&r);
	tell(r, &told);
	must_be(haul_req_notify(r, &(struct haul_notify){ .signal = -1 }), -EINVAL);
	must_be(haul_req_notify(r, &(struct haul_notify){ .signal = SIGRTMAX + 1 }), -EINVAL);
	must_be(haul_req_notify(r, &(struct haul_notify){ .signal = 100000 }), -EINVAL);
	must_be(haul_req_notify(NULL, &(struct haul_notify){ .signal = 0 }), -EINVAL);
	say(h, 1);
	progress(h);
	must_be(told.times, 1);
	must_be(haul_req_finish(r, NULL), 0);
	must_be(haul_close(h, 0), 0);
}

static void set_queue(rlim_t most, rlim_t *before)
{
	struct rlimit l;
	must(getrlimit(RLIMIT_SIGPENDING, &l) == 0);
	*before = l.rlim_cur;
	l.rlim_cur = most;
	must(setrlimit(RLIMIT_SIGPENDING, &l) == 0);
}

Test(notify, a_signal_for_which_the_queue_has_no_room_is_tried_again)
{
	enum { COUNT = 5 };
	struct haul_req *r[COUNT];
	struct haul *h = start(&r[0]);
	rlim_t before, zero;
	sigset_t set;
	siginfo_t info;
	unsigned seen = 0;
	block(SIGRTMIN, &set);
	for (int i = 1; i < COUNT; i++)
		must_be(haul_irecv(h, &(struct haul_match){ .tag = 1 }, NULL, 0, &r[i]), 0);
	for (int i = 0; i < COUNT; i++)
		must_be(haul_req_notify(r[i], &(struct haul_notify){ .signal = SIGRTMIN, .value = &r[i] }),
		    0);
	set_queue(0, &before);
	for (int i = 0; i < COUNT; i++)
		say(h, 1);
	must_be(haul_wait_all(r, COUNT, PATIENCE_MS), 0);
	progress(h);
	must(!next_signal(&set, 0, &info));
	haul_req_free(r[COUNT - 1]); /* drops its own */
	set_queue(before, &zero);
	must_be(haul_recv(h, &(struct haul_match){ .tag = 2 }, NULL, 0, SOON_MS, NULL), -ETIMEDOUT);
	for (int i = 0; i < COUNT - 1; i++) {
		must(next_signal(&set, 0, &info));
		must_be(info.si_code, SI_QUEUE);
		ptrdiff_t which = (struct haul_req **)info.si_value.sival_ptr - r;
		must(which >= 0 && which < COUNT - 1);
		must((seen & 1U << which) == 0);
		seen |= 1U << which;
	}
	must(!next_signal(&set, 0, &info));
	for (int i = 0; i < COUNT - 1; i++)
		must_be(haul_req_finish(r[i], NULL), 0);
	must_be(haul_close(h, 0), 0);
}

/* ---- in a forked child ---- */

struct copies {
	struct haul *haul;
	struct haul_peer *peer;
};

static int close_copies(void *arg)
{
	const struct copies *c = arg;
	must_in_child();
	must_be(haul_peer_close(c->peer, 0), -ESTALE);
	must_be(haul_close(c->haul, 0), -ESTALE);
	return 0;
}

/* The signals would kill it; the descriptor is one with the parent's. */
Test(notify, a_forked_child_that_closes_its_copy_is_told_nothing_and_tells_nobody)
{
	struct twins t;
	struct child c;
	struct told told = { 0 };
	struct haul_req *from, *any, *watch;
	struct haul_notify notify = { .call = take_note, .arg = &told, .signal = SIGUSR1 };
	sigset_t set;
	siginfo_t info;
	int rc;
	twins_start(&t, NULL);
	must_be(haul_irecv(t.a, &(struct haul_match){ .from = t.to_b, .tag = 1 }, NULL, 0, &from), 0);
	must_be(haul_irecv(t.a, NULL, NULL, 0, &any), 0);
	must_be(haul_peer_watch(t.to_b, &watch), 0);
	must_be(haul_req_notify(from, &notify), 0);
	must_be(haul_req_notify(any, &notify), 0);
	must_be(haul_req_notify(watch, &notify), 0);
	int fd = haul_fd(t.a);
	must(fd >= 0);
	do
		progress(t.a);
	while ((rc = haul_arm(t.a)) == -EAGAIN);
	must_be(rc, 0);
	child_start(&c, PATIENCE_MS, close_copies, &(struct copies){ t.a, t.to_b });
	child_expect(&c, 0);
	must(!is_readable(fd, 0));
	block(SIGUSR1, &set);
	must(!next_signal(&set, 0, &info));
	must_be(haul_req_cancel(from), 0);
	must(is_readable(fd, PATIENCE_MS));
	must(next_signal(&set, 0, &info));
	progress(t.a);
	must_be(told.times, 1);
	haul_req_free(from);
	haul_req_free(any);
	haul_req_free(watch);
	twins_end(&t);
}

/* ---- at the end ---- */

static void finish_at_close(struct haul_req *r, void *arg)
{
	take_note(r, arg);
	must_be(haul_req_finish(r, NULL), 0);
}

Test(notify, closing_the_context_tells_of_all_that_completed_and_of_what_it_aborts)
{
	enum { MANY = 300 };
	static struct told due[MANY], aborted[MANY];
	struct haul *h;
	struct haul_req *r;
	must_be(haul_open(&h, NULL, 0), 0);
	must(haul_self(h) != NULL);
	for (int i = 0; i < MANY; i++) {
		must_be(haul_irecv(h, &(struct haul_match){ .tag = 1 }, NULL, 0, &r), 0);
		due[i] = (struct told){ 0 };
		must_be(haul_req_notify(r, &(struct haul_notify){ .call = finish_at_close, .arg = &due[i] }),
		    0);
		say(h, 1);
		must_be(haul_req_wait(r, PATIENCE_MS), 0);
		must_be(haul_irecv(h, &(struct haul_match){ .tag = 2 }, NULL, 0, &r), 0);
		tell(r, &aborted[i]);
	}
	must_be(haul_close(h, 0), 0);
	for (int i = 0; i < MANY; i++) {
		must_be(due[i].times, 1);
		must_be(aborted[i].times, 1);
	}
}
