/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two processes send to each other by outboxes when one of them, or both, can't read the other any more, or not write
 * to it: by every cause that can come later. Their words go on over the socket; whenever it happens, each message
 * arrives once, in order.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/causes.h"
#include "lib/pairing.h"
#include "lib/pattern.h"
#include "lib/refuse.h"
#include "lib/seed.h"
#include "lib/talk.h"
#include "lib/world.h"

TestSuite(outbox_refused, .timeout = 300);

enum {
	RUNS = 12, /* of each scene */
	MESSAGES = 300,
	WINDOW = 24,
	AHEAD = 64, /* of the other, before one waits */
	SHORT = 200,
	MIDDLE = 16000,
	EAGER = 4096, /* the most by an outbox; by the socket it is more */
	LONG = 100000,
	TAG = 1,
};

static const struct haul_options by_outbox = { .transport = HAUL_TRANSPORT_OUTBOX,
	.allow_ptracer = HAUL_PTRACER_ANY };

/* ---- what may happen ---- */

static const char *refuse_writes(void)
{
	return refuse_call(SYS_process_vm_writev, EPERM) == 0 ? NULL : "no seccomp filters here";
}

static const char *refuse_both(void)
{
	const char *cannot = world_refuse_reads(EPERM);
	return cannot != NULL ? cannot : refuse_writes();
}

static const struct cause more[] = {
	{ .name = "a filter for writes", .enter = refuse_writes },
	{ .name = "a filter for both", .enter = refuse_both, .blinds = true },
};

enum { MORE = sizeof(more) / sizeof(more[0]), SCENES_MOST = 3 * (CAUSES + MORE) };

struct scene {
	unsigned cause; /* of causes_all, and then of more */
	bool a, b;      /* who gets into it */
};

static const struct cause *cause_of(const struct scene *s)
{
	return s->cause < CAUSES ? &causes_all[s->cause] : &more[s->cause - CAUSES];
}

static struct criterion_test_params scenes(void)
{
	static struct scene all[SCENES_MOST];
	size_t count = 0;
	for (unsigned i = 0; i < CAUSES + MORE; i++)
		for (unsigned who = 1; who <= 3; who++) {
			struct scene s = { .cause = i, .a = who & 1, .b = who & 2 };
			if (!cause_of(&s)->only_early)
				all[count++] = s;
		}
	return cr_make_param_array(struct scene, all, count);
}

/* ---- one side ---- */

struct end {
	int fd, theirs;
	const struct cause *cause;
	unsigned from;    /* messages sent before it gets into it; MESSAGES and more: never */
	uint64_t random;  /* what it does follows from it */
	uint64_t out, in; /* seeds of what it sends, and of what comes */
	bool blind, mute;
	unsigned dies; /* messages sent before it is killed */
	bool bereaved; /* the other will be */
};

static uint64_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407U;
	return *state >> 33;
}

static size_t len_of(uint64_t seed, unsigned i)
{
	uint64_t state = seed + i * UINT64_C(0x9e3779b97f4a7c15);
	next_random(&state);
	uint64_t x = next_random(&state), size = next_random(&state);
	return x % 32 == 0 ? size % LONG : x % 8 == 0 ? size % MIDDLE : size % SHORT;
}

struct traffic {
	struct haul *h;
	struct haul_peer *p;
	struct haul_req *reqs[WINDOW];
	unsigned char *bufs[WINDOW];
	unsigned sent, received;
};

/* What a call came to. Who loses the other has nothing left to do. */
static void judge(const struct end *e, int rc)
{
	if (e->bereaved && (rc == -ECONNRESET || rc == -EPIPE))
		_exit(0);
	must_be(rc, 0);
}

static bool receive_next(struct traffic *t, const struct end *e, int timeout_ms)
{
	static unsigned char buf[LONG];
	struct haul_match match = { .from = t->p, .tag = TAG };
	size_t len = len_of(e->in, t->received);
	ssize_t n = haul_recv(t->h, &match, buf, sizeof(buf), timeout_ms, NULL);
	if (n == -EAGAIN || (n == -ETIMEDOUT && timeout_ms < PATIENCE_MS))
		return false;
	judge(e, n < 0 ? (int)n : 0);
	while (e->bereaved && n != (ssize_t)len && len > EAGER) /* what was to be pulled has died with him */
		len = len_of(e->in, ++t->received);
	must_be(n, len);
	must_hold(buf, len, e->in + t->received, 0);
	t->received++;
	return true;
}

/* The other may be waiting for us to receive, as we are for it. */
static void end_send(struct traffic *t, const struct end *e, unsigned i)
{
	while (t->received < MESSAGES && haul_req_test(t->reqs[i]) == -EINPROGRESS)
		receive_next(t, e, 1);
	must_be(haul_req_wait(t->reqs[i], PATIENCE_MS), 0);
	judge(e, haul_req_finish(t->reqs[i], NULL));
	free(t->bufs[i]);
}

static void send_next(struct traffic *t, const struct end *e)
{
	unsigned slot = t->sent % WINDOW;
	size_t len = len_of(e->out, t->sent);
	if (t->sent >= WINDOW)
		end_send(t, e, slot);
	t->bufs[slot] = filled(len, e->out + t->sent);
	judge(e, haul_isend(t->p, TAG, &(struct iovec){ t->bufs[slot], len }, 1, 0, &t->reqs[slot]));
	t->sent++;
}

/* In any order of sending and receiving, but not too far apart. */
static void converse(struct traffic *t, struct end *e)
{
	while (t->sent < MESSAGES || t->received < MESSAGES) {
		uint64_t random = next_random(&e->random);
		bool may_send = t->sent < MESSAGES && t->sent < t->received + AHEAD;
		if (t->sent == e->from) {
			must(e->cause->enter() == NULL);
			e->from = MESSAGES + 1;
		}
		if (t->sent >= e->dies && t->received > 0) /* the other has begun */
			kill(getpid(), SIGKILL);
		if (may_send && random % 2 == 0)
			send_next(t, e);
		else if (t->received < MESSAGES)
			receive_next(t, e, !may_send ? PATIENCE_MS : random % 16 == 1 ? 1 : 0);
	}
	for (unsigned i = 0; i < WINDOW; i++)
		end_send(t, e, (t->sent + i) % WINDOW);
}

static void exchange_words(const struct traffic *t, struct haul_peer_info *info)
{
	send_token(t->p);
	await_token(t->h, t->p);
	must_be(haul_peer_info(t->p, info, sizeof(*info)), 0);
}

static void check_before(const struct traffic *t)
{
	struct haul_peer_info info;
	struct haul_stats stats;
	exchange_words(t, &info);
	must_be(info.in_transport, HAUL_TRANSPORT_OUTBOX);
	must_be(info.out_transport, HAUL_TRANSPORT_OUTBOX);
	must_be(haul_peer_stats(t->p, &stats, sizeof(stats)), 0);
	must(stats.polled_frames > 0);
	exchange_words(t, &info); /* neither begins before both have looked */
}

/* Longer than what a BELL brings along, so both have to look. */
static void exchange_lines(const struct traffic *t)
{
	enum { LINE = 1500 };
	unsigned char out[LINE] = { 1 }, in[LINE];
	struct haul_match match = { .from = t->p, .tag = TAG };
	must_be(haul_send(t->p, TAG, out, LINE, PATIENCE_MS), 0);
	must_be(haul_recv(t->h, &match, in, LINE, PATIENCE_MS, NULL), LINE);
}

/* What both have agreed on by then. */
static void check_after(const struct traffic *t, const struct end *e)
{
	struct haul_peer_info info;
	exchange_lines(t);
	exchange_words(t, &info);
	must_be(haul_peer_flush(t->p, PATIENCE_MS), 0);
	exchange_words(t, &info);
	if (e->blind)
		must_be(info.in_transport, HAUL_TRANSPORT_SOCKET);
	if (e->mute)
		must_be(info.out_transport, HAUL_TRANSPORT_SOCKET);
}

static int take_part(void *arg)
{
	struct end e = *(struct end *)arg;
	struct traffic t = { 0 };
	must_in_child();
	close(e.theirs);
	world_become_plain(e.cause->capabilities);
	must_be(haul_open(&t.h, &by_outbox, sizeof(by_outbox)), 0);
	must_be(haul_adopt(t.h, e.fd, PATIENCE_MS, &t.p), 0);
	check_before(&t);
	converse(&t, &e);
	if (e.bereaved) { /* by what it was sent, before the other's last step */
		judge(&e, haul_recv(t.h, NULL, NULL, 0, PATIENCE_MS, NULL) < 0 ? -EPIPE : 0);
		must(false);
	}
	check_after(&t, &e);
	must_be(haul_close(t.h, PATIENCE_MS), 0);
	return 0;
}

/* ---- both ---- */

static unsigned moment(bool gets_into_it)
{
	return gets_into_it ? (unsigned)random_below(MESSAGES) : MESSAGES + 1;
}

enum { LAST_STEPS = 12 };

static void play(const struct scene *s, bool deadly)
{
	const struct cause *c = cause_of(s);
	struct child a, b;
	int fds[2], dying = deadly ? (int)random_below(2) : 2;
	must_be(haul_pair(fds), 0);
	struct end ends[2] = { { .fd = fds[0], .theirs = fds[1] }, { .fd = fds[1], .theirs = fds[0] } };
	for (int i = 0; i < 2; i++) {
		bool mine = i == 0 ? s->a : s->b, other = i == 0 ? s->b : s->a,
		     mended = s->a && s->b && c->mends;
		ends[i].cause = c;
		ends[i].dies = MESSAGES + 1;
		ends[i].bereaved = deadly && dying != i;
		ends[i].from = moment(mine);
		ends[i].random = random_below(1 << 30);
		ends[i].out = (uint64_t)(i + 1) << 32;
		ends[i].in = (uint64_t)(2 - i) << 32;
		ends[i].blind = !mended && ((mine && c->blinds) || (other && c->hides));
		ends[i].mute = !mended && ((other && c->blinds) || (mine && c->hides));
	}
	if (deadly) { /* while both are busy with it */
		unsigned from = ends[0].from < ends[1].from ? ends[0].from : ends[1].from;
		from += (unsigned)random_below(LAST_STEPS);
		ends[dying].dies = from < MESSAGES ? from : MESSAGES - 1;
	}
	must_note_case("%s; after messages %u, %u; dying after %u, %u", c->name, ends[0].from, ends[1].from,
	    ends[0].dies, ends[1].dies);
	child_start(&a, PATIENCE_MS, take_part, &ends[0]);
	child_start(&b, PATIENCE_MS, take_part, &ends[1]);
	close(fds[0]);
	close(fds[1]);
	struct child *all[] = { &a, &b };
	for (int i = 0; i < 2; i++)
		if (i == dying)
			child_expect_killed(all[i], SIGKILL);
		else
			child_expect(all[i], 0);
}

static void play_often(const struct scene *s, int runs, bool deadly)
{
	const struct cause *c = cause_of(s);
	const char *cannot = world_try(c->enter, c->capabilities, false);
	if (cannot != NULL)
		cr_skip_test("%s: %s", c->name, cannot);
	seed_random();
	for (int i = 0; i < runs; i++)
		play(s, deadly);
}

ParameterizedTestParameters(outbox_refused, each_message_arrives_once_and_in_order)
{
	return scenes();
}

ParameterizedTest(struct scene *s, outbox_refused, each_message_arrives_once_and_in_order)
{
	play_often(s, RUNS, false);
}

ParameterizedTestParameters(outbox_refused, a_death_in_the_middle_loses_the_end_of_them_and_no_more)
{
	return scenes();
}

ParameterizedTest(struct scene *s, outbox_refused, a_death_in_the_middle_loses_the_end_of_them_and_no_more)
{
	play_often(s, RUNS / 2, true);
}
