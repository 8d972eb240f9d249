/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Members that die, leave, stop or give up, at any time: who needs them hears of it, nobody hangs, and the others
 * go on with each other.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/crew.h"
#include "lib/deed.h"
#include "lib/pattern.h"
#include "lib/seed.h"

TestSuite(group_death, .timeout = 60);

enum { T = CREW_PATIENCE_MS, LARGE = 3 << 20 };

static const struct crew_options launched = { .launched = true }, bare = { .launched = true, .bare = true };
static const struct haul_options stream = { .path = HAUL_PATH_STREAM };
static const struct haul_options by_outbox = { .transport = HAUL_TRANSPORT_OUTBOX, .two_handed = 1 };
static const struct haul_options by_socket = { .transport = HAUL_TRANSPORT_SOCKET,
	.two_handed = -1,
	.progress_thread = 1 };
static const struct haul_options *const ways[] = { NULL, &stream, &by_outbox, &by_socket };

static unsigned char a[LARGE], b[LARGE];

static void kill_member(struct crew *c, int rank)
{
	child_signal(&c->members[rank], SIGKILL);
	crew_expect_killed(c, rank, SIGKILL);
	crew_tell(c, rank, false);
}

/* As it may be; else the number is told. */
static void must_end(int rc, bool well)
{
	if (!well)
		must_be(rc, 0);
}

static int end_of(struct haul_req *r)
{
	must_be(haul_req_wait(r, T), 0);
	return haul_req_finish(r, NULL);
}

static struct haul_req *post(struct haul_group *g, int from)
{
	static char byte;
	struct haul_group_match match = { .from = from };
	struct haul_req *r;
	must_be(haul_group_irecv(g, &match, &(struct iovec){ &byte, 1 }, 1, &r), 0);
	return r;
}

static struct haul_req *offer(struct haul_group *g, int to, size_t len)
{
	struct haul_req *r;
	must_be(haul_group_isend(g, to, 0, &(struct iovec){ a, len }, 1, 0, &r), 0);
	return r;
}

/* ---- before it has connected ---- */

enum { VICTIM = 2 };

static void lose_one_that_never_came(struct haul_group *g, const void *arg)
{
	struct haul_peer *p;
	const int *error = arg;
	struct haul *h;
	struct haul_req *r;
	int others[8];
	char byte = 0;
	if (crew_rank() == VICTIM) {
		crew_meet();
		if (*error == -EPIPE)
			_exit(0);
		pause();
	}
	g = crew_open(&h);
	struct haul_req *from = post(g, VICTIM), *any = post(g, HAUL_ANY_RANK),
	                *large = offer(g, VICTIM, LARGE);
	must_be(haul_ibarrier(g, &r), 0);
	crew_meet();
	int rc = end_of(large);
	must(rc == *error || rc == -ECONNRESET);
	must_be(end_of(from), *error);
	rc = end_of(r);
	must(rc == *error || rc == -ECONNRESET);
	must_be(haul_group_send(g, VICTIM, 0, a, 1, T), *error);
	must_be(haul_bcast(g, VICTIM, a, 8, T), *error);
	must_be(haul_group_peer(g, VICTIM, T, &p), *error);
	if (*error == -ECONNRESET) {
		must_be(end_of(any), -ECONNRESET);
		must_be(haul_group_recv(g, NULL, &byte, 1, T, NULL), -ECONNRESET);
		must_be(haul_group_acknowledge(g, others, 8), 1);
		must_be(others[0], VICTIM);
		must_be(haul_group_acknowledge(g, NULL, 0), 1);
		any = post(g, HAUL_ANY_RANK);
	} else {
		must_be(haul_group_acknowledge(g, others, 8), 0);
	}
	must_be(haul_req_test(any), -EINPROGRESS);
	crew_meet_in(h);
	must_be(haul_group_send(g, (crew_rank() + (crew_rank() == VICTIM - 1 ? 2 : 1)) % crew_size(), 0,
	            &byte, 1, T),
	    0);
	must_be(end_of(any), 0);
	crew_meet_in(h);
	crew_close(h, g);
}

static void lose_early(bool dies)
{
	int error = dies ? -ECONNRESET : -EPIPE;
	struct crew c;
	crew_start(&c, 4, &bare, lose_one_that_never_came, &error);
	crew_await_all(&c);
	if (dies) {
		crew_go_all(&c);
		kill_member(&c, VICTIM);
	} else {
		crew_go(&c, VICTIM);
		crew_expect(&c, VICTIM, 0);
		crew_tell(&c, VICTIM, true);
		crew_go_all(&c);
	}
	for (int i = 0; i < 2; i++) {
		crew_await_all(&c);
		crew_go_all(&c);
	}
	crew_end(&c);
}

Test(group_death, one_that_dies_before_it_has_connected_is_ECONNRESET)
{
	lose_early(true);
}

Test(group_death, one_that_ends_well_before_it_has_connected_is_EPIPE)
{
	lose_early(false);
}

/* What it has sent is there all the same, though the launcher's word was first; but what was in an outbox goes with
 * who is killed. */
static void hear_the_dead(struct haul_group *g, const void *arg)
{
	const bool *well = arg;
	char byte = 0;
	if (crew_rank() == 1) {
		must_be(haul_group_send(g, 0, 4, "x", 1, T), 0);
		crew_meet();
		must_be(haul_group_send(g, 0, 5, "x", 1, T), 0);
		if (*well)
			exit(0);
		raise(SIGKILL);
	}
	struct haul_group_match first = { .from = 1, .tag = 4 }, second = { .from = 1, .tag = 5 };
	must_be(haul_group_recv(g, &first, &byte, 1, T, NULL), 1);
	crew_meet();
	must_be(haul_group_recv(g, &second, &byte, 1, T, NULL), 1);
	must_be(haul_group_recv(g, &second, &byte, 1, T, NULL), *well ? -EPIPE : -ECONNRESET);
}

Test(group_death, what_a_member_sent_before_its_end_is_received_after_it)
{
	for (size_t i = 0; i < 6; i++) {
		bool well = i < 4;
		struct crew c;
		const struct haul_options *way = well ? ways[i] : i == 4 ? &stream : &by_socket;
		crew_start(&c, 2, &(struct crew_options){ .launched = true, .options = way }, hear_the_dead,
		    &well);
		crew_await_all(&c);
		crew_go(&c, 1);
		if (well)
			crew_expect(&c, 1, 0);
		else
			crew_expect_killed(&c, 1, SIGKILL);
		crew_tell(&c, 1, well);
		crew_go(&c, 0);
		crew_end(&c);
	}
}

/* ---- in between ---- */

static void lose_one(struct haul_group *g, const void *arg)
{
	struct haul_group *rest;
	struct haul_req *r, *large = NULL;
	int sum = 0, mine = 1;
	const struct haul_operator op = { HAUL_SUM, HAUL_INT32, 0, 0, NULL, NULL };
	(void)arg;
	must_be(haul_group_split(g, crew_rank() == VICTIM ? -1 : 0, 0, T, &rest), 0);
	must_be(haul_barrier(g, T), 0);
	if (crew_rank() == VICTIM) {
		crew_meet();
		pause();
	}
	struct haul_req *from = post(g, VICTIM), *any = post(g, HAUL_ANY_RANK),
	                *unaffected = post(g, (VICTIM + 1) % crew_size());
	large = offer(g, VICTIM, LARGE);
	must_be(haul_iallreduce(g, &op, &mine, &sum, 1, &r), 0);
	crew_meet();
	must_be(end_of(large), -ECONNRESET);
	must_be(end_of(from), -ECONNRESET);
	must_be(end_of(any), -ECONNRESET);
	must_be(end_of(r), -ECONNRESET);
	must_be(haul_barrier(g, T), -ECONNRESET);
	must_be(haul_req_test(unaffected), -EINPROGRESS);
	must_be(haul_group_acknowledge(g, NULL, 0), 1);
	crew_meet();
	if (crew_rank() == VICTIM + 1) {
		for (int i = 0; i < crew_size(); i++)
			if (i != VICTIM)
				must_be(haul_group_send(g, i, 0, a, 1, T), 0);
	}
	must_be(end_of(unaffected), 0);
	must_be(haul_allreduce(rest, &op, &mine, &sum, 1, T), 0);
	must_be(sum, crew_size() - 1);
	must_be(haul_group_acknowledge(rest, NULL, 0), 0);
	must_be(haul_group_free(rest, 0), 0);
}

Test(group_death, those_who_need_the_dead_fail_and_the_others_go_on)
{
	for (size_t i = 0; i < 8; i++) {
		struct crew c;
		crew_start(&c, 5, &(struct crew_options){ .launched = i % 2 == 0, .options = ways[i / 2] },
		    lose_one, NULL);
		crew_await_all(&c);
		crew_go_all(&c);
		kill_member(&c, VICTIM);
		crew_await_all(&c);
		crew_go_all(&c);
		crew_end(&c);
	}
}

/* The one that leaves has taken the connections of all. */
static void be_known_to_victim(struct haul_group *g)
{
	const struct haul_group_match known = { .from = HAUL_ANY_RANK, .tag = 4 };
	if (crew_rank() != VICTIM)
		must_be(haul_group_send(g, VICTIM, known.tag, NULL, 0, T), 0);
	for (int i = 1; i < haul_group_size(g) && crew_rank() == VICTIM; i++)
		must_be(haul_group_recv(g, &known, NULL, 0, T, NULL), 0);
}

static void see_one_leave(struct haul_group *g, const void *arg)
{
	struct haul *h;
	const bool *has_launcher = arg;
	g = crew_open(&h);
	must_be(haul_barrier(g, T), 0);
	if (*has_launcher) /* who waits in the backlog of a socket that was given is not told */
		be_known_to_victim(g);
	if (crew_rank() == VICTIM) {
		crew_meet();
		must_be(haul_group_free(g, T), 0);
		crew_meet();
		must_be(haul_close(h, T), 0);
		return;
	}
	struct haul_req *from = post(g, VICTIM), *any = post(g, HAUL_ANY_RANK),
	                *large = offer(g, VICTIM, LARGE);
	crew_meet();
	int rc = end_of(large);
	must(rc == -EPIPE || rc == -ECONNRESET);
	must_be(end_of(from), -EPIPE);
	rc = haul_barrier(g, T);
	must(rc == -EPIPE || rc == -ECONNRESET);
	must_be(haul_group_send(g, VICTIM, 0, a, 1, T), -EPIPE);
	must_be(haul_req_test(any), -EINPROGRESS);
	must_be(haul_group_acknowledge(g, NULL, 0), 0);
	crew_meet();
	must_be(haul_req_cancel(any), 0);
	must_be(end_of(any), -ECANCELED);
	crew_close(h, g);
}

Test(group_death, one_that_leaves_is_EPIPE_though_its_process_goes_on)
{
	for (int i = 0; i < 4; i++) {
		struct crew c;
		bool has_launcher = i % 2 == 0;
		setenv("HAUL_TUNING", i < 2 ? "crowd=0" : "crowd=never",
		    1); /* in a crowd few know each other */
		crew_start(&c, 4, &(struct crew_options){ .launched = has_launcher, .bare = true },
		    see_one_leave, &has_launcher);
		for (int k = 0; k < 2; k++) {
			crew_await_all(&c);
			crew_go_all(&c);
		}
		crew_end(&c);
	}
}

/* Two members in one process, and so in lockstep: one leaves when the other's handshake with it has come so far. */
struct step_by_step {
	int transport, leaver, steps;
	bool closes; /* its context, and the group with it */
};

static void progress_both(struct haul *h[2])
{
	must(haul_progress(h[0]) >= 0);
	must(haul_progress(h[1]) >= 0);
}

static void leave_after(const struct step_by_step *s)
{
	char byte = 0, names[2][40];
	const char *addresses[] = { names[0], names[1] };
	struct haul_options o = { .transport = s->transport };
	struct haul *h[2];
	struct haul_group *g[2];
	struct haul_req *r;
	for (int i = 0; i < 2; i++)
		snprintf(names[i], sizeof(names[i]), "@left-%d-%d", (int)getpid(), i);
	for (int i = 0; i < 2; i++) {
		struct haul_group_options place = { .rank = i, .size = 2, .addresses = addresses };
		must_be(haul_open(&h[i], &o, sizeof(o)), 0);
		must_be(haul_group_init(h[i], &place, sizeof(place), &g[i]), 0);
	}
	int stays = 1 - s->leaver;
	must_be(haul_group_isend(g[stays], s->leaver, 0, &(struct iovec){ &byte, 1 }, 1, HAUL_SYNC, &r), 0);
	for (int i = 0; i < s->steps; i++)
		progress_both(h);
	if (!s->closes)
		must_be(haul_group_free(g[s->leaver], 0), 0);
	must_be(haul_close(h[s->leaver], 0), 0);
	must_be(end_of(r), -EPIPE);
	must_be(haul_group_send(g[stays], s->leaver, 0, &byte, 1, T), -EPIPE);
	must_be(haul_group_free(g[stays], 0), 0);
	must_be(haul_close(h[stays], 0), 0);
}

Test(group_death, who_leaves_says_so_whatever_a_handshake_has_come_to)
{
	static const int transports[] = { HAUL_TRANSPORT_SOCKET, HAUL_TRANSPORT_OUTBOX };
	for (int i = 0; i < 64; i++) {
		struct step_by_step s = { transports[i % 2], i / 2 % 2, i / 8, i / 4 % 2 == 1 };
		must_note_case("transport %d, rank %d leaves after %d steps%s", s.transport, s.leaver,
		    s.steps, s.closes ? ", and closes its context" : "");
		leave_after(&s);
	}
}

/* It waits for rank 1 to say goodbye, and is still met by rank 2. */
static void meet_one_who_leaves(struct haul_group *g, const void *arg)
{
	struct haul *h;
	char byte = 0;
	(void)arg;
	g = crew_open(&h);
	struct haul_group_match first = { .from = 0 };
	if (crew_rank() == 0)
		must_be(haul_group_send(g, 1, 0, &byte, 1, T), 0);
	else if (crew_rank() == 1)
		must_be(haul_group_recv(g, &first, &byte, 1, T, NULL), 1);
	crew_meet();
	if (crew_rank() == 0) {
		must_be(haul_group_free(g, T), 0);
		must_be(haul_close(h, T), 0);
		return;
	}
	if (crew_rank() == 2) {
		struct haul_req *from = post(g, 0);
		int rc = haul_group_send(g, 0, 0, &byte, 1, T);
		must(rc == 0 || rc == -EPIPE);
		must_be(end_of(from), -EPIPE);
	}
	crew_meet();
	crew_close(h, g);
}

Test(group_death, one_that_is_met_while_it_leaves_is_EPIPE)
{
	for (int i = 0; i < 2; i++) {
		struct crew c;
		crew_start(&c, 3, &(struct crew_options){ .launched = i == 0, .bare = true },
		    meet_one_who_leaves, NULL);
		crew_await_all(&c);
		crew_go_all(&c);
		crew_await(&c, 2);
		crew_await(&c, 1);
		crew_go(&c, 2);
		crew_go(&c, 1);
		crew_end(&c);
	}
}

/* ---- in the middle of anything ---- */

struct end {
	uint64_t first;
	int deeds, victim, at;
	int after_us; /* -1: in the middle of a request that it began; else so long after beginning the nth */
	bool all_connected; /* where nobody else would tell of a death */
};

/* The signal comes within whatever it does then. */
static void die_in(int us)
{
	struct itimerval when = { .it_value = { .tv_usec = us + 1 } };
	signal(SIGALRM, SIG_DFL);
	setitimer(ITIMER_REAL, &when, NULL);
}

static void die_within(struct deed *d, const struct end *e)
{
	if (e->after_us >= 0) {
		die_in(e->after_us);
		return;
	}
	struct haul_req *r = deed_begin(d);
	(void)r;
	raise(SIGALRM);
}

static void do_until_one_dies(struct haul_group *g, const void *arg)
{
	struct haul_peer *p;
	const struct end *e = arg;
	struct haul_group *rest;
	must_be(haul_group_split(g, crew_rank() == e->victim ? -1 : 0, 0, T, &rest), 0);
	for (int i = 0; e->all_connected && i < crew_size(); i++)
		must_be(haul_group_peer(g, i, T, &p), 0);
	int met = haul_barrier(g, T); /* the victim may have been through it, and its word lost with it */
	must_end(met, met == -ECONNRESET);
	for (int i = 0; i < e->deeds; i++) {
		struct deed *d = deed_new(e->first + (uint64_t)i, g);
		struct haul_req *r = NULL;
		if (crew_rank() == e->victim && i == e->at)
			die_within(d, e);
		int rc = deed_waits(d) ? deed_do(d, T) : deed_try(d, &r);
		if (r != NULL)
			rc = end_of(r);
		if (crew_rank() == e->victim)
			rc = 0; /* its time comes any moment */
		must_end(rc, rc == -ECONNRESET);
		if (rc == 0 && crew_rank() != e->victim)
			deed_end(d);
		else
			deed_drop(d);
	}
	if (crew_rank() == e->victim)
		pause();
	must_be(haul_barrier(rest, T), 0);
	must_be(haul_barrier(g, T), -ECONNRESET);
	must_be(haul_barrier(rest, T), 0); /* or one that leaves could be missed in g */
	must_be(haul_group_free(rest, 0), 0);
}

enum { DEATHS = 12 };

static void die_often(bool is_launched, const struct haul_options *options)
{
	seed_random();
	for (int i = 0; i < DEATHS; i++) {
		struct end e = { .first = random_below(1 << 30),
			.deeds = 10,
			.victim = (int)random_below(3),
			.at = (int)random_below(8),
			.after_us = i % 3 == 0 ? -1 : (int)random_below(3000),
			.all_connected = !is_launched };
		struct crew c;
		crew_start(&c, 3 + (int)random_below(5),
		    &(struct crew_options){ .launched = is_launched, .options = options }, do_until_one_dies,
		    &e);
		crew_expect_killed(&c, e.victim, SIGALRM);
		crew_tell(&c, e.victim, false);
		crew_end(&c);
	}
}

Test(group_death, one_that_dies_in_the_middle_of_anything_hangs_nobody)
{
	for (size_t i = 0; i < 4; i++)
		die_often(i % 2 == 0, ways[i]);
}

Test(group_death, nor_without_a_launcher)
{
	for (size_t i = 0; i < 4; i++)
		die_often(i % 2 != 0, ways[i]);
}

/* Both connect to each other at once, and one dies at some time. */
static void cross(struct haul_group *g, const void *arg)
{
	const int *us = arg;
	if (crew_rank() == 1)
		die_in(*us);
	struct haul_req *r[3] = { post(g, 1 - crew_rank()), offer(g, 1 - crew_rank(), 1),
		offer(g, 1 - crew_rank(), LARGE) };
	must_be(end_of(r[0]), 0);
	int rc = end_of(r[1]);
	must(rc == 0 || crew_rank() == 0);
	if (crew_rank() == 1)
		pause();
	must_be(end_of(r[2]), -ECONNRESET);
	must_be(end_of(post(g, 1)), -ECONNRESET);
	must_be(haul_group_send(g, 1, 0, a, 1, T), -ECONNRESET);
}

static void cross_or_not(struct haul_group *g, const void *arg)
{
	const int *us = arg;
	struct haul_req *r[3] = { NULL };
	if (crew_rank() == 1)
		die_in(*us);
	r[0] = post(g, 1 - crew_rank());
	for (int i = 1; i < 3; i++)
		haul_group_isend(g, 1 - crew_rank(), 0, &(struct iovec){ a, i == 1 ? 1 : LARGE }, 1, 0,
		    &r[i]);
	for (int i = 0; i < 3; i++) {
		int rc = r[i] != NULL ? end_of(r[i]) : -ECONNRESET;
		must(rc == 0 || rc == -ECONNRESET);
		must(i < 2 || rc != 0);
	}
	int rc;
	while ((rc = end_of(post(g, 1))) == 0)
		;
	must_be(rc, -ECONNRESET);
	must_be(haul_group_send(g, 1, 0, a, 1, T), -ECONNRESET);
}

Test(group_death, one_that_dies_while_both_connect_to_each_other_is_ECONNRESET)
{
	seed_random();
	for (int i = 0; i < 40; i++) {
		int us = (int)random_below(4000);
		struct crew c;
		crew_start(&c, 2, &launched, i < 30 ? cross_or_not : cross, &(int){ i < 30 ? us : 200000 });
		crew_expect_killed(&c, 1, SIGALRM);
		crew_tell(&c, 1, false);
		crew_end(&c);
	}
}

/* ---- who stops ---- */

/* Others give up, or don't; then it goes on, and all is well. */
static void stop_within(struct haul_group *g, const void *arg)
{
	const struct end *e = arg;
	bool patient = e->after_us < 0;
	for (int i = 0; i < e->deeds; i++) {
		struct deed *d = deed_new(e->first + (uint64_t)i, g);
		struct haul_req *r = NULL;
		int rc;
		if (crew_rank() == e->victim && i == e->at) {
			rc = deed_try(d, &r);
			raise(SIGSTOP);
		} else {
			rc = deed_waits(d) ? deed_do(d, patient || crew_rank() == e->victim ? T : 30)
			                   : deed_try(d, &r);
		}
		if (r != NULL && !patient && crew_rank() != e->victim)
			must(haul_req_deadline(r, 30) <= 0);
		if (r != NULL)
			rc = end_of(r);
		must_end(rc, !patient && (rc == -ETIMEDOUT || rc == -ECANCELED));
		if (rc == 0)
			deed_end(d);
		else
			deed_drop(d);
	}
	crew_meet_in(haul_group_context(g));
	must_be(haul_barrier(g, T), 0);
}

static void stop_often(bool patient)
{
	seed_random();
	for (size_t i = 0; i < 12; i++) {
		struct end e = { .first = random_below(1 << 30),
			.deeds = 6,
			.victim = (int)random_below(4),
			.at = (int)random_below(5),
			.after_us = patient ? -1 : 0 };
		struct crew c;
		crew_start(&c, 4, &(struct crew_options){ .launched = i % 2 == 0, .options = ways[i % 4] },
		    stop_within, &e);
		child_await_stop(&c.members[e.victim]);
		for (int k = 0; k < 4 && !patient; k++)
			if (k != e.victim)
				crew_await(&c, k);
		child_signal(&c.members[e.victim], SIGCONT);
		for (int k = 0; k < 4; k++)
			if (k == e.victim || patient)
				crew_await(&c, k);
		crew_go_all(&c);
		crew_end(&c);
	}
}

Test(group_death, others_go_on_when_one_that_was_stopped_does)
{
	stop_often(true);
}

Test(group_death, others_give_up_waiting_for_one_that_is_stopped)
{
	stop_often(false);
}

/* ---- who gives up ---- */

static void give_up(struct haul_group *g, const void *arg)
{
	const struct end *e = arg;
	for (int i = 0; i < e->deeds; i++) {
		struct deed *d = deed_new(e->first + (uint64_t)i, g);
		struct haul_req *r;
		bool mine = crew_rank() == i % crew_size();
		int rc = deed_try(d, &r);
		if (rc == 0) {
			if (mine && i % 2 == 0)
				must(haul_req_cancel(r) <= 0);
			else if (mine)
				must(haul_req_deadline(r, i % 3) <= 0);
			rc = end_of(r);
		}
		must_end(rc, rc == -ECANCELED || (mine && rc == -ETIMEDOUT));
		if (rc == 0)
			deed_end(d);
		else
			deed_drop(d);
	}
	must_be(haul_barrier(g, T), 0);
}

Test(group_death, one_that_gives_up_tells_the_others)
{
	seed_random();
	for (size_t i = 0; i < 8; i++) {
		struct end e = { .first = random_below(1 << 30), .deeds = 60 };
		crew_run(2 + (int)random_below(5),
		    &(struct crew_options){ .launched = i % 2 == 0, .options = ways[i % 4] }, give_up, &e);
	}
}

static void time_out(struct haul_group *g, const void *arg)
{
	(void)arg;
	if (crew_rank() == 0) {
		must_be(haul_barrier(g, 50), -ETIMEDOUT);
		must_be(haul_bcast(g, 1, b, LARGE, 50), -ETIMEDOUT);
		crew_meet();
	} else {
		crew_meet(); /* it has given up by now */
		must_be(haul_barrier(g, T), -ECANCELED);
		must_be(haul_bcast(g, 1, b, LARGE, T), -ECANCELED);
	}
	must_be(haul_barrier(g, T), 0);
}

Test(group_death, what_has_timed_out_elsewhere_is_ECANCELED)
{
	struct crew c;
	crew_start(&c, 2, NULL, time_out, NULL);
	crew_await_all(&c);
	crew_go_all(&c);
	crew_end(&c);
}

static void be_interrupted(struct haul_group *g, const void *arg)
{
	(void)arg;
	if (crew_rank() == 0) {
		haul_interrupt(haul_group_context(g));
		must_be(haul_barrier(g, T), -EINTR);
		crew_meet_in(haul_group_context(g));
	} else {
		crew_meet();
		must_be(haul_barrier(g, T), -ECANCELED);
	}
	must_be(haul_barrier(g, T), 0);
}

Test(group_death, what_was_interrupted_elsewhere_is_ECANCELED)
{
	struct crew c;
	crew_start(&c, 2, &launched, be_interrupted, NULL);
	crew_await_all(&c);
	crew_go_all(&c);
	crew_end(&c);
}

/* ---- callbacks ---- */

struct chain {
	struct haul_group *g;
	struct haul_req *r;
	int sum, mine, left, rc;
};

/* Each completion begins the next one. */
static void go_on(struct haul_req *r, void *arg)
{
	static const struct haul_operator op = { HAUL_SUM, HAUL_INT32, 0, 0, NULL, NULL };
	struct chain *c = arg;
	struct haul_notify notify = { .call = go_on, .arg = c };
	if (r != NULL)
		c->rc = haul_req_finish(r, NULL);
	if (c->rc != 0 || c->left-- == 0)
		return;
	c->mine = c->sum;
	must_be(haul_iallreduce(c->g, &op, &c->mine, &c->sum, 1, &c->r), 0);
	must_be(haul_req_notify(c->r, &notify), 0);
}

static void run_a_chain(struct haul_group *g, const void *arg)
{
	struct haul *h = haul_group_context(g);
	struct chain c = { .g = g, .sum = 1, .left = 10 };
	(void)arg;
	go_on(NULL, &c);
	while (c.left >= 0 && c.rc == 0)
		must(haul_progress(h) >= 0);
	must_be(c.rc, 0);
	must_be(c.sum, 59049); /* 3 to the 10th */
	crew_meet_in(h);
}

Test(group_death, the_callback_of_one_that_completes_begins_the_next)
{
	struct crew c;
	crew_start(&c, 3, NULL, run_a_chain, NULL);
	crew_await_all(&c);
	crew_go_all(&c);
	crew_end(&c);
}

/* ---- freeing and closing with all kinds of things under way ---- */

enum { UNDER_WAY = 24 };

struct bundle {
	struct haul_req *reqs[UNDER_WAY];
	int count, called;
};

static void called(struct haul_req *r, void *arg)
{
	struct bundle *w = arg;
	(void)r;
	w->called++;
}

static void add(struct bundle *w, int rc)
{
	must_end(rc, rc == -EPIPE || rc == -ECONNRESET); /* the other has left already */
	if (rc != 0)
		return;
	struct haul_notify notify = { .call = called, .arg = w };
	must_be(haul_req_notify(w->reqs[w->count], &notify), 0);
	w->count++;
}

/* As much as can wait for the others, who do nothing. */
static void begin_all(struct haul_group *g, struct bundle *w)
{
	const struct haul_operator op = { HAUL_SUM, HAUL_INT64, 0, 0, NULL, NULL };
	struct haul_group_match other = { .from = 1 - haul_group_rank(g), .tag = 99 };
	struct iovec large = { a, LARGE }, in = { b, 8 };
	*w = (struct bundle){ 0 };
	add(w, haul_group_irecv(g, &other, &in, 1, &w->reqs[w->count]));
	add(w, haul_group_irecv(g, NULL, &in, 1, &w->reqs[w->count]));
	add(w, haul_group_itake(g, &other, &w->reqs[w->count]));
	add(w, haul_group_isend(g, other.from, 1, &large, 1, 0, &w->reqs[w->count]));
	add(w, haul_group_isend(g, other.from, 2, &in, 1, HAUL_SYNC, &w->reqs[w->count]));
	add(w, haul_ibarrier(g, &w->reqs[w->count]));
	add(w, haul_ibcast(g, other.from, b, 100, &w->reqs[w->count]));
	add(w, haul_ibcast(g, haul_group_rank(g), a, LARGE, &w->reqs[w->count]));
	add(w, haul_iallreduce(g, &op, a, b, 10, &w->reqs[w->count]));
	add(w, haul_iallreduce(g, &op, a, b, LARGE / 8, &w->reqs[w->count]));
	add(w, haul_ialltoall(g, a, b, 1000, &w->reqs[w->count]));
}

static void must_have_completed(struct bundle *w)
{
	must_be(w->called, w->count);
	for (int i = 0; i < w->count; i++) {
		must_be(haul_req_test(w->reqs[i]), 0);
		must(haul_req_finish(w->reqs[i], NULL) <= 0);
	}
}

static void leave_in_the_middle(struct haul_group *g, const void *arg)
{
	const int *how = arg;
	struct haul *h;
	struct haul_group *d;
	struct bundle w, v;
	g = crew_open(&h);
	must_be(haul_group_dup(g, T, &d), 0);
	if (crew_rank() != 0 && *how < 4) {
		crew_meet();
		crew_close(h, g);
		return;
	}
	begin_all(g, &w);
	begin_all(d, &v);
	if (*how >= 4) /* let what both have begun get somewhere */
		for (int i = 0; i < *how; i++)
			haul_progress(h);
	if (*how % 4 == 1)
		must_be(haul_group_free(d, 0), 0);
	if (*how % 4 == 2)
		must(haul_group_free(g, 50) <= 0);
	else if (*how % 4 < 2)
		must(haul_group_free(g, 0) <= 0);
	if (*how % 4 != 3) {
		while (haul_progress(h) > 0)
			;
		must_have_completed(&w);
		must_have_completed(&v);
	}
	must(haul_close(h, *how % 4 == 3 ? 50 : T) <= 0);
	must_be(w.called, w.count);
	must_be(v.called, v.count);
	if (*how < 4)
		crew_meet();
}

Test(group_death, all_that_is_under_way_completes_with_the_group_or_the_context)
{
	for (int how = 0; how < 24; how++)
		for (size_t i = 0; i < 4; i += how < 8 ? 1 : 4) {
			struct crew c;
			crew_start(&c, 2,
			    &(struct crew_options){ .options = ways[i],
			        .bare = true,
			        .launched = how % 2 == 0 },
			    leave_in_the_middle, &how);
			if (how < 4) {
				crew_await_all(&c);
				crew_go_all(&c);
			}
			crew_end(&c);
		}
}

static void *wait_in_a_collective(void *arg)
{
	struct haul_group *g = arg;
	long nth = 0;
	for (int rc = 0; rc == 0; nth++)
		rc = haul_bcast(g, 1, b, nth % 2 == 0 ? 8 : LARGE, T);
	return NULL;
}

/* While threads are in the middle of collectives, of which some others never come to. */
static void close_beside(struct haul_group *g, const void *arg)
{
	enum { WAITERS = 3 };
	pthread_t threads[WAITERS];
	struct haul *h;
	struct haul_group *d[WAITERS];
	(void)arg;
	g = crew_open(&h);
	for (int i = 0; i < WAITERS; i++)
		must_be(haul_group_dup(g, T, &d[i]), 0);
	if (crew_rank() == 0) {
		for (int i = 0; i < WAITERS; i++)
			must_be(pthread_create(&threads[i], NULL, wait_in_a_collective, d[i]), 0);
		crew_meet();
		must(haul_close(h, 0) <= 0);
		for (int i = 0; i < WAITERS; i++)
			must_be(pthread_join(threads[i], NULL), 0);
		return;
	}
	crew_meet();
	for (int i = 0; i < 40; i++) {
		int rc = haul_bcast(d[0], 1, b, i % 2 == 0 ? 8 : LARGE, T);
		must(rc == 0 || rc == -ECANCELED || rc == -EPIPE || rc == -ECONNRESET);
	}
	must(haul_group_free(g, T) <= 0);
	must(haul_close(h, T) <= 0);
}

Test(group_death, a_context_can_be_closed_under_threads_in_collectives)
{
	for (size_t i = 0; i < 16; i++) {
		struct crew c;
		crew_start(&c, 2,
		    &(struct crew_options){ .options = ways[i % 4], .bare = true, .launched = i % 2 == 0 },
		    close_beside, NULL);
		crew_await_all(&c);
		crew_go_all(&c);
		crew_end(&c);
	}
}
