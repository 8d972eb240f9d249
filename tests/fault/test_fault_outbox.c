/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Outboxes at every system call: what comes, or goes, at whatever step of falling asleep is noticed; and calls that
 * fail on the way cost a detour at the most. The other side acts in the test's hook, between two calls of this one.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/pattern.h"
#include "lib/sweep.h"
#include "lib/talk.h"

TestSuite(fault_outbox, .timeout = 120);

enum { TAG = 1, TRY_MS = 100, TIMES = 3 };

static const struct haul_options quiet = { .transport = HAUL_TRANSPORT_OUTBOX,
	.spin_us = -1,
	.eager_max = 65536 };

/* ---- between two calls ---- */

struct step {
	void (*act)(void *arg);
	void *arg;
	unsigned at; /* before this call, from 1; 0: never */
	unsigned calls;
	unsigned last; /* of the calls, the last that may sleep */
};

static int before_call(const char *name, long first, void *arg)
{
	struct step *s = arg;
	(void)first;
	s->calls++;
	if (strncmp(name, "epoll", 5) == 0 || strcmp(name, "recv") == 0 || strcmp(name, "poll") == 0)
		s->last = s->calls;
	if (s->calls == s->at)
		s->act(s->arg);
	return 0;
}

static void begin(struct step *s, unsigned at)
{
	s->at = at;
	s->calls = s->last = 0;
	fault_arm(
	    &(struct fault){ .action = FAULT_ASK, .nth = 1, .lasting = true, .hook = before_call, .arg = s });
}

/* The action before each of the calls that it takes to fall asleep. wait returns 0 if what the action brings about has
 * come, else -ETIMEDOUT, which it does if the action comes too late: there is no such call any more. */
static void every_step(struct step *s, int (*wait)(void *arg, int timeout_ms), void (*restore)(void *arg),
    void *arg)
{
	unsigned at = 0;
	int rc;
	do {
		must_note_case("before call %u", ++at);
		restore(arg);
		begin(s, at);
		rc = wait(arg, TRY_MS);
		fault_disarm();
		must(rc == 0 || (rc == -ETIMEDOUT && s->last < at));
		must(rc == 0 || at > 1);
	} while (rc == 0);
	must_note("");
	fprintf(stderr, "it takes %u calls to fall asleep\n", at - 1);
}

/* ---- asleep for a message ---- */

static void tell(void *arg)
{
	const struct twins *t = arg;
	must_be(haul_send(t->to_a, TAG, NULL, 0, 0), 0);
}

static int hear(void *arg, int timeout_ms)
{
	const struct twins *t = arg;
	return (int)haul_recv(t->a, &(struct haul_match){ .tag = TAG }, NULL, 0, timeout_ms, NULL);
}

static int hear_by_polling(void *arg, int timeout_ms)
{
	const struct twins *t = arg;
	struct pollfd fd = { .fd = haul_fd(t->a), .events = POLLIN };
	struct haul_status status;
	for (;;) {
		while (haul_progress(t->a) > 0)
			continue;
		if (haul_probe(t->a, &(struct haul_match){ .tag = TAG }, 0, &status) == 0)
			return (int)haul_recv(t->a, &(struct haul_match){ .tag = TAG }, NULL, 0, 0, NULL);
		if (haul_arm(t->a) == 0 && poll(&fd, 1, timeout_ms) == 0)
			return -ETIMEDOUT;
	}
}

/* It has spoken lately, so that it is looked at for a while. */
static void speak(void *arg)
{
	tell(arg);
	must_be(hear(arg, PATIENCE_MS), 0);
}

/* It has not, and is armed. */
static void stay_silent(void *arg)
{
	must_be(hear(arg, 1), -ETIMEDOUT);
}

struct sleeper {
	bool polls;  /* the descriptor */
	bool silent; /* the other has been, before */
};

ParameterizedTestParameters(fault_outbox, a_message_wakes_who_is_falling_asleep_at_any_step)
{
	static struct sleeper all[4];
	for (unsigned i = 0; i < 4; i++)
		all[i] = (struct sleeper){ .polls = i & 1, .silent = i & 2 };
	return cr_make_param_array(struct sleeper, all, 4);
}

ParameterizedTest(struct sleeper *s, fault_outbox, a_message_wakes_who_is_falling_asleep_at_any_step)
{
	void (*before)(void *arg) = s->silent ? stay_silent : speak;
	struct twins t;
	twins_start(&t, &quiet);
	struct step step = { .act = tell, .arg = &t };
	for (int i = 0; i < TIMES; i++)
		every_step(&step, s->polls ? hear_by_polling : hear, before, &t);
	twins_end(&t);
}

/* ---- asleep for room ---- */

enum { CHUNK = 16000, WARM = 80 };

struct full {
	struct twins t;
	unsigned sent, received;
};

static int send_chunk(struct full *f, int timeout_ms)
{
	static unsigned char chunk[CHUNK];
	pattern_fill(chunk, CHUNK, f->sent, 0);
	int rc = haul_send(f->t.to_b, TAG, chunk, CHUNK, timeout_ms);
	f->sent += rc == 0;
	return rc;
}

static void receive_chunks(void *arg)
{
	static unsigned char chunk[CHUNK];
	struct full *f = arg;
	ssize_t n;
	while ((n = haul_recv(f->t.b, &(struct haul_match){ .tag = TAG }, chunk, CHUNK, 0, NULL)) == CHUNK)
		must_hold(chunk, CHUNK, f->received++, 0);
	must_be(n, -EAGAIN);
}

/* More at a time than there is credit for: so it grows. */
static void warm(struct full *f)
{
	static unsigned char out[CHUNK], in[WARM][CHUNK];
	struct haul_req *sent[WARM], *received[WARM];
	for (unsigned i = 0; i < WARM; i++)
		must_be(haul_isend(f->t.to_b, TAG, &(struct iovec){ out, CHUNK }, 1, 0, &sent[i]), 0);
	twins_settle(&f->t); /* only what waits makes it grow */
	for (unsigned i = 0; i < WARM; i++)
		received[i] = post_receive(f->t.b, in[i], CHUNK, TAG);
	for (unsigned i = 0; i < WARM; i++) {
		must_be(twins_finish(&f->t, received[i], NULL), 0);
		must_be(twins_finish(&f->t, sent[i], NULL), 0);
	}
}

static void fill(void *arg)
{
	struct full *f = arg;
	int rc;
	while (f->received < f->sent) { /* a part of the last one had no room */
		receive_chunks(f);
		twins_settle(&f->t);
	}
	while ((rc = send_chunk(f, 0)) == 0)
		continue;
	must_be(rc, -EAGAIN);
}

static int send_into_it(void *arg, int timeout_ms)
{
	return send_chunk(arg, timeout_ms);
}

Test(fault_outbox, room_wakes_who_is_falling_asleep_for_it_at_any_step)
{
	struct full f = { 0 };
	twins_start(&f.t, &quiet);
	for (int i = 0; i < 20; i++)
		warm(&f);
	struct step step = { .act = receive_chunks, .arg = &f };
	for (int i = 0; i < TIMES; i++) {
		fill(&f);
		must(f.sent - f.received > 10);
		every_step(&step, send_into_it, fill, &f);
	}
	fill(&f);
	twins_end(&f.t);
}

/* ---- calls that fail ---- */

/* Falls asleep at times, and is refused to ring, or to look, once or from now on. */
static void converse(const void *arg)
{
	struct twins t;
	bool ours = arg != NULL; /* our calls fail, not the other's */
	twins_start(&t, &quiet);
	for (int i = 0; i < 6; i++) {
		struct haul_req *r;
		must_be(haul_irecv(t.a, &(struct haul_match){ .tag = TAG }, NULL, 0, &r), 0);
		must_be(haul_send(t.to_a, TAG, NULL, 0, PATIENCE_MS), 0);
		while (sweep_goes_on(r, ours))
			must_be(haul_progress(t.b) < 0, 0);
		must_be(haul_req_finish(r, NULL), 0);
		(void)faulty(haul_arm(t.a));
		must_be(haul_send(t.to_b, TAG, NULL, 0, PATIENCE_MS), 0);
		must_be(haul_irecv(t.b, &(struct haul_match){ .tag = TAG }, NULL, 0, &r), 0);
		while (sweep_goes_on(r, !ours))
			must(faulty(haul_progress(t.a)) >= 0);
		must_be(haul_req_finish(r, NULL), 0);
		(void)haul_arm(t.b);
	}
	sweep_over();
	sweep_send(t.a, t.to_b, t.b, 1000);
	sweep_send(t.b, t.to_a, t.a, 100000);
	twins_end(&t);
}

Test(fault_outbox, who_may_not_look_or_ring_goes_on_over_the_socket)
{
	sweep_only("process_vm_readv", converse, NULL);
	sweep_only("process_vm_writev", converse, NULL);
	sweep_only("process_vm_readv process_vm_writev", converse, NULL);
	sweep_only("process_vm_readv", converse, "");
	sweep_only("process_vm_writev", converse, "");
}

/* What can't be said on the socket is said later: nothing that wakes anybody is dropped. */
static void ring_in_vain(const void *arg)
{
	struct twins t;
	(void)arg;
	twins_start(&t, &quiet);
	for (int i = 0; i < 6; i++) {
		stay_silent(&t);
		must_be(faulty(haul_send(t.to_a, TAG, NULL, 0, PATIENCE_MS)), 0);
		struct haul_req *r = post_receive(t.a, NULL, 0, TAG);
		struct timespec since = { 0 };
		while (haul_req_test(r) == -EINPROGRESS && sweep_patient(&since)) {
			struct pollfd fd = { .fd = haul_fd(t.a), .events = POLLIN };
			must_be(faulty(haul_progress(t.b)) < 0, 0);
			if (haul_arm(t.a) == 0)
				poll(&fd, 1, 0);
			else
				haul_progress(t.a);
		}
		must_be(haul_req_finish(r, NULL), 0);
	}
	sweep_over();
	twins_end(&t);
}

Test(fault_outbox, a_bell_that_the_socket_does_not_take_rings_later)
{
	static const int errors[] = { EAGAIN, ENOBUFS, ENOMEM, EINTR };
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		for (unsigned nth = 1; nth <= 6; nth++) {
			fault_arm(&(struct fault){ .nth = nth, .only = "send sendmsg", .error = errors[i] });
			fault_hold();
			must_note(fault_words());
			ring_in_vain(NULL);
			fault_disarm();
		}
	}
}
