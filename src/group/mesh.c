/* SPDX-License-Identifier: BSD-3-Clause */
/* The mesh: what the floor below asks of this one, and its life. See mesh.h. */
#include "group/mesh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "group/ends.h"
#include "group/errand.h"
#include "group/group.h"
#include "group/links.h"
#include "group/notes.h"
#include "group/runner.h"
#include "msg/listener.h"
#include "msg/peer.h"
#include "os/clock.h"
#include "os/reason.h"

/* ---- what the floor below asks ---- */

/* What collectives do may end connections, and what that means for members may end collectives. */
static bool work(struct haul *h)
{
	struct mesh *m = mesh_of(h);
	errands_look(m);
	runs_round(m);
	ends_settle(m);
	ends_free_retired(m);
	return !TAILQ_EMPTY(&m->done) || !TAILQ_EMPTY(&m->due);
}

static void request_end(struct haul_req *r, int error)
{
	run_abort(r->above.what, error);
}

static int member_hopeless(const struct mesh *m, int rank)
{
	int error = m->members[rank].error;
	return error == 0 ? 0 : ends_reason(rank, error);
}

static int hopeless(struct haul *h, const struct match_want *want)
{
	const struct mesh *m = mesh_of(h);
	const struct haul_group *g;
	int rank = -1;
	if (want->from != NULL)
		return 0;
	if ((want->channel & ~UINT32_C(1)) == channel_of(0))
		return 0;
	if ((g = group_of_number(m, (want->channel & ~WIRE_CHANNEL_GROUPS) >> 1)) == NULL)
		return reason(-ECANCELED, "the group was freed");
	if (!m->troubled)
		return 0;
	if (want->channel & 1)
		rank = run_source(want->tag);
	else if (want->ignore >> 32 == 0)
		rank = (int)(want->tag >> 32);
	return rank >= 0 ? member_hopeless(m, group_world(g, rank)) : group_hopeless(g);
}

static void fini(struct haul *h);

/* Whether nobody will ever want a message: of a group that was freed, or a collective that is over. Else it will lie in
 * the queue. */
static int unwanted(struct haul *h, struct haul_peer *from, uint32_t channel, uint64_t tag)
{
	const struct mesh *m = mesh_of(h);
	uint32_t number = (channel & ~WIRE_CHANNEL_GROUPS) >> 1;
	(void)from;
	if (channel == channel_of(0))
		return 0;
	struct haul_group *g = group_of_number(m, number);
	if (g == NULL)
		return split_is_under_way(m, number) ? 0 : -EPIPE;
	if ((channel & 1) == 0)
		return 0;
	if (!runs_want(g, run_seq(tag)))
		return runs_refusal(g, run_seq(tag));
	g->early++;
	return 0;
}

static void forget_peer(struct haul *h, const struct haul_peer *p)
{
	errands_forget_peer(mesh_of(h), p);
}

const struct above_ops mesh_ops = { .work = work,
	.abort = request_end,
	.hopeless = hopeless,
	.unwanted = unwanted,
	.forget = forget_peer,
	.fini = fini };

/* ---- life ---- */

enum { GRACE_MS = 10 };

/* What the launcher says of members that have no connection to us: others will tell by their end. */
static void told(struct control *c, int rank, bool left)
{
	struct mesh *m = (struct mesh *)((char *)c - offsetof(struct mesh, control));
	if (rank < m->size && m->members[rank].links == 0)
		ends_going(m, rank, left ? -EPIPE : -ECONNRESET);
}

static int copy_addresses(struct mesh *m, const char *const *addresses)
{
	if ((m->addresses = calloc((size_t)m->size, sizeof(*m->addresses))) == NULL)
		return -ENOMEM;
	for (int i = 0; i < m->size; i++) {
		size_t len = strlen(addresses[i]) + 1;
		if ((m->addresses[i] = malloc(len)) == NULL)
			return -ENOMEM;
		memcpy(m->addresses[i], addresses[i], len);
	}
	return 0;
}

static void free_mesh(struct mesh *m)
{
	struct haul_group *g;
	while ((g = TAILQ_FIRST(&m->groups)) != NULL)
		group_drop(g);
	errands_free(&m->errands);
	errands_free(&m->done);
	errands_free(&m->retired);
	notes_forget_all(m);
	control_stats(&m->control, m->haul);
	control_close(&m->control);
	timer_stop(&m->haul->engine.timers, &m->accept_again);
	timer_stop(&m->haul->engine.timers, &m->hear_again);
	timer_stop(&m->haul->engine.timers, &m->patience);
	timer_stop(&m->haul->engine.timers, &m->inquiry);
	for (int i = 0; m->addresses != NULL && i < m->size; i++)
		free(m->addresses[i]);
	free(m->addresses);
	free(m->members);
	m->haul->above[ABOVE_GROUPS] = (struct above){ NULL, NULL };
	free(m);
}

/* The context goes: listeners, peers and requests are its own to free. */
static void fini(struct haul *h)
{
	if (!engine_stale(&h->engine)) {
		mesh_of(h)->closing = true;
		links_dismiss(mesh_of(h));
	}
	free_mesh(mesh_of(h));
}

int mesh_open(struct haul *h, const struct mesh_place *place)
{
	if (mesh_of(h) != NULL)
		return reason(-EBUSY, "the context has a group of all already");
	if (h->options.max_msg < sizeof(struct hello))
		return reason(-EINVAL, "option max_msg: members greet each other with %zu bytes",
		    sizeof(struct hello));
	struct mesh *m = calloc(1, sizeof(*m));
	if (m == NULL)
		return reason(-ENOMEM, "no memory for a group");
	m->haul = h;
	m->rank = place->rank;
	m->size = place->size;
	m->control.fd = -1;
	m->numbers = 2;
	TAILQ_INIT(&m->errands);
	TAILQ_INIT(&m->done);
	TAILQ_INIT(&m->retired);
	TAILQ_INIT(&m->groups);
	TAILQ_INIT(&m->due);
	SLIST_INIT(&m->failures);
	SLIST_INIT(&m->claims);
	if (place->job != NULL)
		snprintf(m->job, sizeof(m->job), "%s", place->job);
	h->above[ABOVE_GROUPS] = (struct above){ &mesh_ops, m };
	int rc = 0;
	if ((m->members = calloc((size_t)m->size, sizeof(*m->members))) == NULL ||
	    (place->addresses != NULL && copy_addresses(m, place->addresses) != 0))
		rc = reason(-ENOMEM, "no memory for a group of %d", m->size);
	if (rc == 0 && place->listen != NULL &&
	    (rc = listener_new(h, place->listen, (unsigned)m->size, &m->listener)) == 0)
		rc = links_accept(m);
	if (rc == 0)
		rc = notes_hear(m);
	if (rc == 0 && place->control >= 0)
		rc = control_open(&m->control, &h->engine, place->control, m->size, told);
	if (rc != 0)
		mesh_close(h, 0);
	return rc;
}

int mesh_close(struct haul *h, int linger_ms)
{
	struct mesh *m = mesh_of(h);
	struct errand *e;
	uint64_t until = clock_after_ms(linger_ms != 0 ? linger_ms : GRACE_MS);
	m->closing = true;
	for (int i = 0; i < m->size && m->members != NULL; i++)
		if (m->members[i].peer != NULL)
			peer_begin_close(m->members[i].peer);
	TAILQ_FOREACH (e, &m->errands, entry)
		if (e->req != NULL && e->req->kind == REQ_WATCH)
			peer_begin_close(e->req->status.peer);
	int rc = peer_finish_begun(h, linger_ms);
	if (rc == -EBUSY)
		return rc;
	links_dismiss(m);
	engine_grace(&h->engine, links_are_quiet, m, rc != -EINTR ? until : 0);
	errands_end(m);
	TAILQ_FOREACH (e, &m->retired, entry)
		peer_disown(e->status.peer);
	if (m->listener != NULL)
		listener_free(m->listener);
	free_mesh(m);
	return rc;
}
