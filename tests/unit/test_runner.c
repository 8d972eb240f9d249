/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A member is killed, or stopped, in each round of each collective: as the round begins, when its messages have all
 * been started, or at the next call that the library makes. Then no other hangs, who needs the victim has -ECONNRESET,
 * and the others go on without; or the victim goes on, and all is well.
 *
 * The rounds are seen by schedule_next(), which the linker lets this test have (--wrap): what carries schedules out asks
 * it for each step.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "group/schedule.h"
#include "lib/crew.h"
#include "lib/deed.h"
#include "lib/fault.h"
#include "lib/seed.h"

TestSuite(runner, .timeout = 240);

enum { T = CREW_PATIENCE_MS, DUP = DEED_KINDS, COLLECTIVES };

enum moment { AS_IT_BEGINS, ONCE_IT_HAS, AT_THE_NEXT_CALL, MOMENTS };

enum fate { KILLED, STOPPED_AND_KILLED, STOPPED_AND_CONTINUED, FATES };

struct plan {
	int collective;
	uint64_t id;
	int victim, round; /* from 0 */
	enum moment moment;
	enum fate fate;
};

/* ---- the victim ---- */

static const struct plan *mine; /* as long as its time may come */
static int rounds;              /* before the one that it is in */
static bool waits;              /* for the next call */

static int signal_of(const struct plan *p)
{
	return p->fate == KILLED ? SIGKILL : SIGSTOP;
}

static void come(void)
{
	int signal = signal_of(mine);
	waits = mine->moment == AT_THE_NEXT_CALL;
	mine = NULL;
	crew_say();
	if (waits)
		fault_arm(&(struct fault){ .action = FAULT_RAISE_AFTER, .nth = 1, .signal = signal });
	else
		raise(signal);
}

const struct step *__real_schedule_next(const struct schedule *s, size_t *at);
const struct step *__wrap_schedule_next(const struct schedule *s, size_t *at);
const struct step *__wrap_schedule_next(const struct schedule *s, size_t *at)
{
	const struct step *next = __real_schedule_next(s, at);
	bool ends = next == NULL || next->kind == STEP_ROUND;
	if (mine != NULL && rounds == mine->round && ends == (mine->moment != AS_IT_BEGINS))
		come();
	rounds += ends;
	return next;
}

/* ---- a member's part ---- */

static int do_deed(struct haul_group *g, const struct plan *p)
{
	struct deed *d = deed_new_of((enum deed_kind)p->collective, p->id, g);
	struct haul_req *r = NULL;
	int rc = deed_waits(d) ? deed_do(d, T) : deed_try(d, &r);
	if (r != NULL) {
		must_be(haul_req_wait(r, T), 0);
		rc = haul_req_finish(r, NULL);
	}
	if (rc == 0)
		deed_end(d);
	else
		deed_drop(d);
	return rc;
}

static int do_dup(struct haul_group *g)
{
	struct haul_group *made;
	int rc = haul_group_dup(g, T, &made);
	if (rc == 0)
		must_be(haul_group_free(made, 0), 0);
	return rc;
}

/* The group of all that may lose one. */
static void must_have_ended(int rc, const struct plan *p)
{
	if (p->fate == STOPPED_AND_CONTINUED || rc != -ECONNRESET)
		must_be(rc, 0);
}

static void do_it(struct haul_group *g, const struct plan *p)
{
	mine = crew_rank() == p->victim ? p : NULL;
	rounds = 0;
	int rc = p->collective == DUP ? do_dup(g) : do_deed(g, p);
	fault_disarm();
	mine = NULL;
	if (waits && fault_fired() == 0) /* there was none any more */
		raise(signal_of(p));
	must_have_ended(rc, p);
}

static void play(struct haul_group *g, const void *arg)
{
	const struct plan *p = arg;
	struct haul_group *rest;
	struct haul_peer *peer;
	bool victim = crew_rank() == p->victim;
	must_be(haul_group_split(g, victim ? -1 : 0, 0, T, &rest), 0);
	for (int i = 0; i < crew_size(); i++) /* where nobody else would tell of a death */
		must_be(haul_group_peer(g, i, T, &peer), 0);
	must_have_ended(haul_barrier(g, T), p); /* its word may be lost with it */
	do_it(g, p);
	if (!victim)
		must_be(haul_barrier(rest, T), 0);
	must_have_ended(haul_barrier(g, T), p);
	if (!victim)
		must_be(haul_barrier(rest, T), 0); /* or one that leaves could be missed in g */
	must_be(haul_group_free(rest, 0), 0);
}

/* ---- the test ---- */

static bool comes(const struct crew *c, int rank)
{
	char byte;
	return read(c->lines[rank], &byte, 1) == 1;
}

/* False: the victim has no such round. */
static bool meet_fate(int size, const struct plan *p, const struct crew_options *options)
{
	struct crew c;
	must_note_case("%d of %d, collective %d, id %llu, round %d, moment %d, fate %d", p->victim, size,
	    p->collective, (unsigned long long)p->id, p->round, p->moment, p->fate);
	crew_start(&c, size, options, play, p);
	bool came = comes(&c, p->victim);
	if (came && p->fate != KILLED)
		child_await_stop(&c.members[p->victim]);
	if (came && p->fate == STOPPED_AND_CONTINUED)
		child_signal(&c.members[p->victim], SIGCONT);
	if (came && p->fate == STOPPED_AND_KILLED)
		child_signal(&c.members[p->victim], SIGKILL);
	if (came && p->fate != STOPPED_AND_CONTINUED) {
		crew_expect_killed(&c, p->victim, SIGKILL);
		crew_tell(&c, p->victim, false);
	}
	crew_end(&c);
	return came;
}

static const struct haul_options stream = { .path = HAUL_PATH_STREAM };
static const struct haul_options by_socket = { .transport = HAUL_TRANSPORT_SOCKET, .two_handed = -1 };

/* Every round that the victim has, until there are no more. */
static void play_rounds(int size, int collective, int victim, enum fate fate)
{
	static const struct haul_options *const ways[] = { NULL, NULL, &stream, &by_socket };
	struct plan p = { .collective = collective,
		.victim = victim,
		.fate = fate,
		.id = random_below(1 << 30) };
	struct crew_options options;
	do {
		p.moment = (enum moment)random_below(MOMENTS);
		options = (struct crew_options){ .options = ways[random_below(4)],
			.launched = random_below(2) == 0 };
	} while (meet_fate(size, &p, &options) && ++p.round > 0);
}

static void play_all(int size)
{
	seed_random();
	for (int what = 0; what < COLLECTIVES; what++)
		for (int victim = 0; victim < size; victim++)
			for (enum fate fate = KILLED; fate < FATES; fate++)
				play_rounds(size, what, victim, fate);
}

Test(runner, hangs_nobody_in_whatever_round_one_of_two_dies_or_stops)
{
	play_all(2);
}

Test(runner, nor_one_of_three)
{
	play_all(3);
}

Test(runner, nor_one_of_four)
{
	play_all(4);
}

Test(runner, nor_one_of_five)
{
	play_all(5);
}
