/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Groups: coming, going, and who is in them. See group.h; messages are in message.c, collectives in moves.c and
 * reductions.c.
 *
 * The memory of a freed group is kept for the next, never returned: so a call on one that was freed finds one that says
 * so, as with contexts.
 */
#include "group/group.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "engine/options.h"
#include "group/links.h"
#include "group/notes.h"
#include "group/place.h"
#include "group/runner.h"
#include "msg/exit.h"
#include "msg/notify.h"
#include "msg/receive.h"
#include "msg/self.h"
#include "os/clock.h"
#include "os/proc.h"
#include "os/reason.h"

#define MAGIC_OPEN UINT64_C(0x6861756c20677270)

enum { GRACE_MS = 10, PATIENCE_MS = 1000 };

static _Atomic(struct haul_group *) freed; /* linked by haul_group.closed; no lock, as in context.c */

static void keep(struct haul_group *g)
{
	g->closed = atomic_load(&freed);
	while (!atomic_compare_exchange_weak(&freed, &g->closed, g))
		;
}

static struct haul_group *take_memory(void)
{
	struct haul_group *g = atomic_exchange(&freed, NULL);
	if (g == NULL)
		return calloc(1, sizeof(*g));
	for (struct haul_group *rest = g->closed, *next; rest != NULL; rest = next) {
		next = rest->closed;
		keep(rest);
	}
	memset(g, 0, sizeof(*g));
	return g;
}

static int check(const struct haul_group *g)
{
	if (g == NULL)
		return reason(-EINVAL, "no group");
	if (atomic_load_explicit(&g->magic, memory_order_relaxed) != MAGIC_OPEN)
		return reason(-EBADF, "the group was freed");
	return 0;
}

int group_enter_wait(struct haul_group *g, int timeout_ms)
{
	int rc = check(g);
	if (rc == 0)
		rc = context_enter_wait(g->haul, timeout_ms);
	if (rc == 0 && (rc = check(g)) != 0)
		context_leave(g->haul, rc);
	return rc;
}

int group_enter(struct haul_group *g)
{
	return group_enter_wait(g, 0);
}

int group_check_rank(const struct haul_group *g, int rank)
{
	return rank >= 0 && rank < g->size ? 0 : reason(-EINVAL, "rank %d in a group of %d", rank, g->size);
}

struct haul_group *group_of_number(const struct mesh *m, uint32_t number)
{
	struct haul_group *g;
	TAILQ_FOREACH (g, &m->groups, entry)
		if (g->number == number)
			return g;
	return NULL;
}

int group_hopeless(const struct haul_group *g)
{
	int left = 0;
	for (int i = 0; i < g->size; i++) {
		int error = g->mesh->members[g->seats[i].world].error;
		if (error == -ECONNRESET && !g->seats[i].acknowledged)
			return reason(error, "rank %d has died", i);
		left += error == 0 && i != g->rank;
	}
	return left > 0 || g->size == 1 ? 0 : reason(-EPIPE, "all other members have gone");
}

/* ---- life ---- */

int group_new(struct mesh *m, uint32_t number, int rank, int size, struct seat *seats,
    struct haul_group **out)
{
	struct haul_group *g = take_memory();
	if (g == NULL) {
		free(seats);
		return reason(-ENOMEM, "no memory for a group");
	}
	g->haul = m->haul;
	g->mesh = m;
	g->number = number;
	g->rank = rank;
	g->size = size;
	g->seats = seats;
	int rc = place_tuning(&g->tuning, size, m->cpus);
	if (rc != 0) {
		free(seats);
		keep(g);
		return rc;
	}
	g->mark = tuning_mark(&g->tuning);
	g->early = 1; /* for all we know: members may have begun one before this was made here */
	TAILQ_INIT(&g->runs);
	TAILQ_INSERT_TAIL(&m->groups, g, entry);
	atomic_store(&g->magic, MAGIC_OPEN);
	*out = g;
	return 0;
}

void group_drop(struct haul_group *g)
{
	atomic_store(&g->magic, 0);
	runs_drop(g);
	notes_forget(g->mesh, g->number);
	TAILQ_REMOVE(&g->mesh->groups, g, entry);
	free(g->seats);
	keep(g);
}

static struct seat *all_seats(int size)
{
	struct seat *seats = calloc((size_t)size, sizeof(*seats));
	for (int i = 0; seats != NULL && i < size; i++)
		seats[i].world = i;
	return seats;
}

/* More members than CPUs: who spins keeps those from running that it waits for. */
static void suit(struct haul *h, const struct mesh *m)
{
	struct link_shared *s = &h->engine.shared;
	bool scarce = m->size > place_cpus();
	if (h->options.spin_us == 0)
		engine_spin(&h->engine, !scarce);
	if (s->never_pull || scarce || m->size == 1)
		return;
	s->outbox = s->outbox || h->options.transport == HAUL_TRANSPORT_AUTO;
	s->two_handed = s->two_handed || h->options.two_handed == 0;
}

static int init(struct haul *h, const struct haul_group_options *options, struct haul_group **out)
{
	struct mesh_place place;
	int rc = options != NULL ? place_from_options(&place, options) : place_from_environment(&place);
	if (rc != 0)
		return rc;
	struct seat *seats = all_seats(place.size);
	if (seats == NULL)
		return reason(-ENOMEM, "no memory for a group of %d", place.size);
	if (self_peer(h) == NULL)
		rc = reason(-ENOMEM, "no memory for a group");
	if (rc == 0)
		rc = mesh_open(h, &place);
	if (rc != 0) {
		free(seats);
		return rc;
	}
	struct mesh *m = mesh_of(h);
	m->cpus = place_cpus_alike();
	suit(h, m);
	if ((rc = group_new(mesh_of(h), 1, place.rank, place.size, seats, out)) != 0)
		mesh_close(h, 0);
	return rc;
}

int haul_group_init(struct haul *h, const struct haul_group_options *options, size_t options_size,
    struct haul_group **out)
{
	struct haul_group_options o;
	if (out == NULL || (options == NULL) != (options_size == 0))
		return reason(-EINVAL, "no place for the group, or options and their size do not agree");
	int rc = options_copy(&o, sizeof(o), options, options_size);
	if (rc != 0)
		return rc;
	rc = context_enter(h);
	return rc != 0 ? rc : context_leave(h, init(h, options != NULL ? &o : NULL, out));
}

static bool is_of(const struct haul_group *g, uint32_t channel)
{
	return (channel & ~UINT32_C(1)) == channel_of(g->number);
}

/* The next send in it that is under way after r (NULL: the first). */
static struct haul_req *next_send(const struct haul_group *g, struct haul_req *r)
{
	for (r = r != NULL ? TAILQ_NEXT(r, entry) : TAILQ_FIRST(&g->haul->requests); r != NULL;
	     r = TAILQ_NEXT(r, entry))
		if (r->kind == REQ_SEND && !r->complete && is_of(g, r->send.channel))
			break;
	return r;
}

static bool nothing_runs(void *arg)
{
	const struct haul_group *g = arg;
	return TAILQ_EMPTY(&g->runs);
}

static bool nothing_is_sent(void *arg)
{
	return next_send(arg, NULL) == NULL;
}

/* Receives and takes that are posted in it, and what nobody has asked for. */
static void end_receives(struct haul_group *g)
{
	struct match_recv *m, *next;
	struct match_item *i, *after;
	TAILQ_FOREACH_SAFE (m, &g->haul->match.recvs, entry, next)
		if (is_of(g, m->want.channel))
			receive_abort(receive_of(m), -ECANCELED);
	TAILQ_FOREACH_SAFE (i, &g->haul->match.items, entry, after)
		if (is_of(g, i->channel))
			inbound_refuse((struct inbound *)((char *)i - offsetof(struct inbound, item)),
			    -EPIPE);
}

/* One that was let go of is freed when it ends. */
static void end_sends(struct haul_group *g)
{
	struct haul_req *r, *next;
	for (r = next_send(g, NULL); r != NULL; r = next) {
		next = next_send(g, r);
		request_abort(r, -ECANCELED);
	}
	engine_grace(&g->haul->engine, nothing_is_sent, g, clock_after_ms(GRACE_MS));
	for (r = next_send(g, NULL); r != NULL; r = next) {
		next = next_send(g, r);
		request_force(r, -ECANCELED);
	}
	engine_await(&g->haul->engine, nothing_is_sent, g); /* our own writes */
}

/* All that is under way in it; sends of the group of all have until linger ends. -EBUSY: a collective's receive
 * is still being written into. */
static int end_all(struct haul_group *g, int linger_ms)
{
	int most = linger_ms >= 0 && linger_ms < PATIENCE_MS ? PATIENCE_MS : linger_ms;
	runs_cancel(g);
	engine_grace(&g->haul->engine, nothing_runs, g, clock_after_ms(most));
	if (!TAILQ_EMPTY(&g->runs))
		return reason(-EBUSY, "a member may still write into what a collective receives");
	if (g->number != 1)
		end_sends(g);
	end_receives(g);
	return 0;
}

int haul_group_free(struct haul_group *g, int linger_ms)
{
	if (g == NULL)
		return 0;
	if (linger_ms < -1)
		return reason(-EINVAL, "a linger of %d ms", linger_ms);
	int rc = group_enter_wait(g, linger_ms);
	if (rc != 0)
		return rc;
	struct haul *h = g->haul;
	if (notices_calling(h)) /* what is under way may have to end first */
		return context_leave(h, reason(-EDEADLK, "a callback may not free a group"));
	bool all = g->number == 1;
	struct mesh *m = g->mesh;
	struct haul_group *other;
	rc = end_all(g, linger_ms);
	if (all)
		TAILQ_FOREACH (other, &m->groups, entry)
			if (rc == 0 && other != g)
				rc = end_all(other, linger_ms);
	if (rc == 0 && all)
		rc = mesh_close(h, linger_ms);
	else if (rc == 0)
		group_drop(g);
	return context_leave(h, rc);
}

/* ---- who is in it ---- */

int haul_group_rank(const struct haul_group *g)
{
	int rc = check(g);
	return rc != 0 ? rc : g->rank;
}

int haul_group_size(const struct haul_group *g)
{
	int rc = check(g);
	return rc != 0 ? rc : g->size;
}

struct haul *haul_group_context(const struct haul_group *g)
{
	return check(g) != 0 ? NULL : g->haul;
}

int haul_group_peer(struct haul_group *g, int rank, int timeout_ms, struct haul_peer **out)
{
	int rc = out == NULL ? reason(-EINVAL, "no place for the peer") : group_enter_wait(g, timeout_ms);
	if (rc != 0)
		return rc;
	struct haul *h = g->haul;
	if ((rc = group_check_rank(g, rank)) == 0)
		rc = links_meet(g->mesh, group_world(g, rank), timeout_ms, out);
	return context_leave(h, rc);
}

int haul_group_translate(const struct haul_group *g, int rank, const struct haul_group *to)
{
	int rc = check(g);
	if (rc == 0)
		rc = check(to);
	if (rc == 0 && g->mesh != to->mesh)
		rc = reason(-EINVAL, "the groups are of different contexts");
	if (rc == 0)
		rc = group_check_rank(g, rank);
	if (rc != 0)
		return rc;
	for (int i = 0; i < to->size; i++)
		if (to->seats[i].world == g->seats[rank].world)
			return i;
	return reason(-ENOENT, "rank %d is no member of the other group", rank);
}

int haul_group_acknowledge(struct haul_group *g, int *ranks, size_t room)
{
	int count = 0, rc = group_enter(g);
	if (rc != 0)
		return rc;
	for (int i = 0; i < g->size; i++) {
		struct seat *seat = &g->seats[i];
		if (g->mesh->members[seat->world].error != -ECONNRESET)
			continue;
		seat->acknowledged = true;
		if (ranks != NULL && (size_t)count < room)
			ranks[count] = i;
		count++;
	}
	return context_leave(g->haul, count);
}

void haul_group_abort(struct haul_group *g, int status, const char *why)
{
	if (group_enter(g) == 0) {
		control_abort(&g->mesh->control, status, why != NULL ? why : "");
		exit_settle(g->haul);
		context_leave(g->haul, 0);
	}
	fflush(NULL);
	_exit(status & 0xff);
}
