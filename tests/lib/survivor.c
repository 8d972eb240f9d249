/* SPDX-License-Identifier: BSD-3-Clause */
/* The survivor. See survivor.h. */
#include "survivor.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "duo.h"
#include "fault.h"
#include "fds.h"
#include "must.h"
#include "pattern.h"
#include "victim.h"

enum {
	BRIEF_MS = 10,    /* how long the test waits for a victim that is stopped */
	NOBODY_MS = 100,  /* the same for one that has perhaps not said hello */
	LATE_MS = 20000,  /* how long anything waits that nobody is to wait for */
	LIMIT_MS = 10000, /* what none of the test's waits may take */
	CHILD_MS = 60000,
	MISSES =
	    3, /* not every play makes the same number of calls: so often in turn, and there are no more */
	MOST_CALLS = 300
};

static const char *const fate_words[] = { "killed before", "killed after",
	"killed, with a stray child that has its socket, before", "stopped, then killed before",
	"stopped, then continued before", "stopped for good before" };

struct play {
	const struct plan *plan;
	bool is_a; /* the victim is */
	struct victim victim;
};

/* ---- the second peer ---- */

enum { ECHO_LEN = 100000, TAG_ECHO = 70, TAG_STOP = 71 };

static int echo(struct haul *h, struct haul_peer *p, void *arg)
{
	static uint8_t buf[ECHO_LEN];
	(void)arg;
	signal(SIGCHLD, SIG_DFL);
	for (;;) {
		struct haul_status status;
		ssize_t n = haul_recv(h, NULL, buf, sizeof(buf), -1, &status);
		must(n >= 0);
		if (status.tag == TAG_STOP)
			return 0;
		must_be(haul_send(p, TAG_ECHO, buf, (size_t)n, LATE_MS), 0);
	}
}

/* Short and long, both ways. */
static void check_other(struct haul *h, struct haul_peer *p, uint64_t seed)
{
	static uint8_t buf[ECHO_LEN];
	size_t len = seed % 2 == 0 ? sizeof(buf) : 1000;
	struct haul_match match = { .from = p, .tag = TAG_ECHO };
	pattern_fill(buf, len, seed, 0);
	must_be(haul_send(p, TAG_ECHO, buf, len, LATE_MS), 0);
	memset(buf, 0, len);
	must_be(haul_recv(h, &match, buf, sizeof(buf), LATE_MS, NULL), len);
	must_hold(buf, len, seed, 0);
}

/* ---- the test's side ---- */

static int64_t worst_ns; /* from the kernel's word to the end of the watch */

static bool is_documented(int rc)
{
	static const int errors[] = { 0, -ECONNRESET, -EPIPE, -ECANCELED, -ECONNREFUSED };
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (rc == errors[i])
			return true;
	return false;
}

/* Nothing but its end is left to wait for. */
static void await_end(struct side *side)
{
	struct haul_req *watch;
	if (side->p == NULL)
		return;
	must_be(haul_peer_watch(side->p, &watch), 0);
	must_be(haul_req_wait(watch, LIMIT_MS), 0);
	int64_t ended = victim_ended_ns(), took = clock_ns() - ended;
	if (ended != 0 && took > worst_ns)
		worst_ns = took;
	int rc = haul_req_finish(watch, NULL);
	must(rc == 0 || rc == -ECONNRESET);
}

/* Whoever has not said hello yet is nobody whose death could be seen, if the socket does not show it. */
static int patience(const struct play *s)
{
	return s->victim.fate == STOPPED ? BRIEF_MS : s->victim.given_up ? NOBODY_MS : LATE_MS;
}

/* In a context of its own, if it has to be another one than that of the second peer. */
static bool begin(const struct play *s, struct haul *h, struct side *side)
{
	const struct plan *plan = s->plan;
	const struct haul_options *given = s->is_a ? plan->b_options : plan->a_options;
	struct haul_options options = given != NULL ? *given : (struct haul_options){ 0 };
	bool own = given != NULL || plan->closes || plan->served;
	options.progress_thread = plan->served;
	*side = (struct side){ .h = h,
		.fd = s->victim.fds[0],
		.address = s->victim.address,
		.timeout_ms = patience(s),
		.hopeless = victim_has_ended };
	if (plan->blind_b &&
	    s->is_a) /* until it has played: the trigger is ours, as it is the child's there */
		fault_arm(
		    &(struct fault){ .nth = 1, .lasting = true, .only = "process_vm_readv", .error = EPERM });
	if (own)
		must_be(haul_open(&side->h, &options, sizeof(options)), 0);
	if (!plan->unconnected) {
		must_be(haul_adopt(side->h, side->fd, LATE_MS, &side->p), 0);
		side->fd = -1;
	}
	return own;
}

static void judge(const struct play *s, int rc)
{
	if (s->victim.fate == STOPPED_AND_CONTINUED)
		must_be(rc, 0);
	else if (rc != -ETIMEDOUT || !s->victim.given_up)
		must(is_documented(rc));
}

static void play_our_part(const struct play *s, struct haul *h, const struct child *c)
{
	struct side side;
	bool own = begin(s, h, &side);
	victim_watch(c, &s->victim);
	int64_t start = clock_ns();
	judge(s, (s->is_a ? s->plan->b : s->plan->a)(&side));
	must((clock_ns() - start) / 1000000 < LIMIT_MS);
	if (s->victim.fate == STOPPED)
		child_signal(c, SIGKILL);
	await_end(&side);
	must_be(haul_peer_close(side.p, 0), 0);
	fault_disarm();
	if (side.fd >= 0)
		close(side.fd);
	if (own && side.h != NULL)
		must_be(haul_close(side.h, 0), 0);
}

/* True if the call was reached. */
static bool play_once(struct play *s, struct haul *h)
{
	struct child c;
	victim_start(&c, &s->victim);
	play_our_part(s, h, &c);
	return victim_collect(&c, &s->victim);
}

static unsigned play_fate(struct play *s, struct haul *h, struct haul_peer *other, const char *name)
{
	int fds = fds_count();
	unsigned last = 0;
	for (s->victim.nth = 1; s->victim.nth <= last + MISSES && s->victim.nth < MOST_CALLS;
	     s->victim.nth++) {
		must_note_case("%s, side %c %s its call %u", name, s->is_a ? 'a' : 'b',
		    fate_words[s->victim.fate], s->victim.nth);
		if (play_once(s, h))
			last = s->victim.nth;
		check_other(h, other, s->victim.nth);
		fds_expect(fds);
	}
	must_note("");
	return last;
}

static void play_all(const char *name, const struct plan *plan, const char *address, struct haul *h,
    struct haul_peer *other)
{
	for (int is_a = 1; is_a >= 0; is_a--) {
		unsigned steps[FATES];
		for (int fate = 0; fate < FATES; fate++) {
			struct play s = { .plan = plan,
				.is_a = is_a,
				.victim = { .part = is_a ? plan->a : plan->b,
				    .options = is_a ? plan->a_options : plan->b_options,
				    .blind = plan->blind_b && !is_a,
				    .unconnected = plan->unconnected,
				    .address = address,
				    .fate = (enum fate)fate,
				    .given_up =
				        fate == STOPPED || (fate == KILLED_UNSEEN && plan->unconnected),
				    .timeout_ms = LATE_MS } };
			steps[fate] = play_fate(&s, h, other, name);
			if (fate == STOPPED) /* it may end before the victim has come so far */
				continue;
			cr_assert(steps[fate] >= (is_a ? plan->a_least : plan->b_least),
			    "%s: side %c was %s only %u calls", name, is_a ? 'a' : 'b', fate_words[fate],
			    steps[fate]);
		}
		fprintf(stderr, "%s: side %c hit at %u, %u, %u, %u, %u, %u calls\n", name, is_a ? 'a' : 'b',
		    steps[0], steps[1], steps[2], steps[3], steps[4], steps[5]);
	}
	fprintf(stderr, "%s: an end was told at most %.2f ms after the kernel told it\n", name,
	    (double)worst_ns / 1e6);
}

void survivor_play(const char *name, const struct plan *plan)
{
	struct haul *h;
	struct haul_peer *other;
	struct child c;
	char dir[] = "/tmp/haul-test-victim-XXXXXX", address[64];
	int fds = fds_count();
	victim_prepare();
	worst_ns = 0;
	must(!plan->at_path || mkdtemp(dir) != NULL);
	if (plan->at_path)
		snprintf(address, sizeof(address), "%s/listener", dir);
	else
		snprintf(address, sizeof(address), "@haul-test-victim-%d", (int)getpid());
	must_be(haul_open(&h, NULL, 0), 0);
	duo_add(h, &c, &other, &(struct duo_plan){ .run = echo, .timeout_ms = CHILD_MS });
	play_all(name, plan, address, h, other);
	must_be(haul_send(other, TAG_STOP, NULL, 0, LATE_MS), 0);
	child_expect(&c, 0);
	must_be(haul_close(h, LATE_MS), 0);
	fds_expect(fds);
	if (plan->at_path) {
		unlink(address); /* the last listener may have died */
		must_be(rmdir(dir), 0);
	}
}
