/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a send and a receive are to whoever starts and ends them, in one call or as a request: chosen, written to the
 * ledger, and checked at their end.
 */
#include <errno.h>
#include <string.h>

#include "stress_lane.h"

/* ---- sends ---- */

unsigned random_flags(struct lane *l)
{
	return (chance(l, 3) ? HAUL_SYNC : 0) | (chance(l, 5) ? HAUL_COPY : 0);
}

bool sending_begin(struct lane *l, struct sending *s, unsigned flags)
{
	const struct config *c = &ledger->config;
	struct node *n = l->node;
	s->to = (unsigned)below(l, c->nodes);
	if (n->peers[s->to] == NULL || (killed(s->to) && !chance(l, 20)))
		return false;
	uint32_t number = l->next[s->to];
	if (number >= ledger->sent_most)
		return false;
	s->plan = plan_message(c, n->index, s->to, l->index, number);
	s->buffer = arena_take(&l->arena, FOR_SENDING, s->plan.len, &l->random);
	if (s->buffer == NULL)
		return false;
	l->next[s->to]++;
	l->ops++;
	s->flags = flags;
	s->sent = ledger_sent(n->index, s->to, l->index, number);
	buffer_fill(s->buffer, s->plan.key);
	ledger_begin(s->sent, flags);
	atomic_store(&ledger->sent[n->index][s->to][l->index], number + 1);
	return true;
}

static void give_sent(struct lane *l, struct sending *s)
{
	if (s->buffer == NULL)
		return;
	buffer_spoil(s->buffer);
	arena_give(&l->arena, s->buffer);
	s->buffer = NULL;
}

static bool send_may_end(struct lane *l, const struct sending *s, int outcome, bool canceled, bool late)
{
	switch (outcome) {
	case 0:
		return true;
	case -ECANCELED:
		return canceled || atomic_load(&ledger->peer_canceled[l->node->index][s->to]);
	case -ETIMEDOUT:
		return late;
	case -EAGAIN: /* was not begun: out of copies, or it would have had to wait */
		return true;
	case -ECONNRESET:
	case -EPIPE:
		return killed(s->to);
	default: /* a receiver's answer, which the judge compares with what that said */
		return (s->flags & HAUL_SYNC) != 0;
	}
}

void sending_end(struct lane *l, struct sending *s, int outcome, bool unknown, bool canceled, bool late)
{
	give_sent(l, s);
	if (!send_may_end(l, s, outcome, canceled, late))
		fail("the send of %#llx to %u (%zu bytes) ended with %s (%s)",
		    (unsigned long long)s->plan.tag, s->to, s->plan.len, strerror(-outcome), haul_reason());
	ledger_end(s->sent, outcome, unknown);
	headway(l);
}

void sending_lost(struct lane *l, struct sending *s)
{
	give_sent(l, s);
	ledger_end(s->sent, -ETIMEDOUT, true);
}

/* ---- receives ---- */

static unsigned random_node(struct lane *l)
{
	unsigned n;
	do
		n = (unsigned)below(l, ledger->config.nodes);
	while (l->node->peers[n] == NULL);
	return n;
}

/* Lengths that mostly are enough for the class. */
static size_t length_for(struct lane *l, unsigned class)
{
	size_t most = plan_longest(&ledger->config, class);
	return chance(l, 10) ? below(l, most < 5000 ? most : 5000) : most;
}

size_t random_match(struct lane *l, struct haul_match *m)
{
	struct node *n = l->node;
	uint64_t lane = (uint64_t)(l->index + 1) << 56;
	unsigned from = random_node(l), class = (unsigned)below(l, ledger->config.large ? 4 : 3);
	*m = (struct haul_match){ .from = chance(l, 2) ? n->peers[from] : NULL };
	switch (below(l, 10)) {
	case 0: /* one of a few that may come next */
		m->tag = plan_message(&ledger->config, from, n->index, l->index,
		    l->seen[from] + (uint32_t)below(l, 4))
		             .tag;
		return length_for(l, m->tag >> 48 & 0xff);
	case 1: /* a class of lengths, with something in the bits that don't matter */
	case 2:
		m->tag = lane | (uint64_t) class << 48 | below(l, 1000);
		m->ignore = TAG_NUMBER;
		return length_for(l, class);
	default:
		m->tag = lane | below(l, 1000);
		m->ignore = TAG_NUMBER | TAG_CLASS;
		return length_for(l, chance(l, ledger->config.large ? 2 : 30) ? 3 : 2);
	}
}

static int8_t node_of(struct haul_peer *p)
{
	return (int8_t)((uintptr_t)haul_peer_user(p) - 1);
}

bool wanting_begin(struct lane *l, struct wanting *w, enum want_kind kind, const struct haul_match *m,
    size_t len)
{
	w->match = *m;
	w->buffer = NULL;
	if (kind == WANT_RECV && (w->buffer = arena_take(&l->arena, FOR_RECEIVING, len, &l->random)) == NULL)
		return false;
	w->number = l->wants++;
	l->ops++;
	w->want = ledger_want(l->node->index, l->index, w->number);
	*w->want = (struct want){ .tag = m->tag,
		.ignore = m->ignore,
		.from = m->from != NULL ? node_of(m->from) : ANYBODY,
		.kind = (uint8_t)kind,
		.posted = l->clock++,
		.asked = NEVER,
		.ended = NEVER };
	atomic_store(&ledger->wants[l->node->index][l->index], l->wants);
	return true;
}

void wanting_ask(struct lane *l, struct wanting *w)
{
	if (w->want->asked == NEVER)
		w->want->asked = l->clock++;
}

static bool anybody_lives(const struct lane *l)
{
	for (unsigned i = 0; i < ledger->config.nodes; i++)
		if (l->node->peers[i] != NULL && !killed(i))
			return true;
	return false;
}

static void give_received(struct lane *l, struct wanting *w)
{
	if (w->buffer != NULL)
		arena_give(&l->arena, w->buffer);
	w->buffer = NULL;
}

/* Of one that died in the middle of a message even a receive from anybody hears. */
static bool may_hear_of_death(const struct wanting *w, struct haul_peer *holder)
{
	return (w->want->from != ANYBODY && killed((unsigned)w->want->from)) ||
	    (holder != NULL && killed((unsigned)node_of(holder)));
}

void wanting_missed(struct lane *l, struct wanting *w, int error, struct haul_peer *holder)
{
	bool held = holder != NULL;
	bool may = error == -ECANCELED || error == -ETIMEDOUT || error == -EAGAIN ||
	    (error == -ECONNRESET && may_hear_of_death(w, holder)) || (error == -EPIPE && !anybody_lives(l));
	if (!may)
		fail("receive %u (tag %#llx, ignoring %#llx, from %d) ended with %s (%s)", w->number,
		    (unsigned long long)w->match.tag, (unsigned long long)w->match.ignore, w->want->from,
		    strerror(-error), haul_reason());
	if (w->buffer != NULL && held)
		buffer_expect_margins(w->buffer);
	else if (w->buffer != NULL)
		buffer_expect(w->buffer, 0, 0, 0);
	give_received(l, w);
	w->want->held = held;
	w->want->fate = WANT_ENDED;
	w->want->ended = l->clock++;
}

struct plan identify(struct lane *l, const struct wanting *w, const struct haul_status *s, unsigned *by,
    uint32_t *number)
{
	struct node *n = l->node;
	if (s->peer == NULL)
		fail("receive %u names no peer", w->number);
	*by = (unsigned)node_of(s->peer);
	*number = (uint32_t)(s->tag & TAG_NUMBER);
	if (((s->tag ^ w->match.tag) & ~w->match.ignore) != 0 ||
	    (w->match.from != NULL && w->match.from != s->peer))
		fail("receive %u wanted %#llx (ignoring %#llx) from %d and was given %#llx from %u",
		    w->number, (unsigned long long)w->match.tag, (unsigned long long)w->match.ignore,
		    w->want->from, (unsigned long long)s->tag, *by);
	if (*number >= atomic_load(&ledger->sent[*by][n->index][l->index]))
		fail("receive %u was given %#llx from %u, which was never sent", w->number,
		    (unsigned long long)s->tag, *by);
	struct plan p = plan_message(&ledger->config, *by, n->index, l->index, *number);
	if (p.tag != s->tag || p.len != s->len)
		fail("receive %u was given %#llx from %u of %llu bytes, which was sent as %#llx of %zu",
		    w->number, (unsigned long long)s->tag, *by, (unsigned long long)s->len,
		    (unsigned long long)p.tag, p.len);
	w->want->by = (int8_t)*by;
	w->want->number = *number;
	if (*number >= l->seen[*by])
		l->seen[*by] = *number + 1;
	return p;
}

void received(struct lane *l, const struct wanting *w, unsigned by, uint32_t number, int answer, bool softly)
{
	struct sent *s = ledger_sent(by, l->node->index, l->index, number);
	atomic_store(&s->answer, answer);
	atomic_store(&s->softly, softly);
	atomic_store(&s->by, w->number);
	if (atomic_fetch_add(&s->received, 1) > 0)
		fail("message %u of node %u was received a second time, by receive %u", number, by,
		    w->number);
	w->want->fate = WANT_GOT;
	headway(l);
}

void wanting_end(struct lane *l, struct wanting *w, const struct haul_status *s, bool late)
{
	unsigned by;
	uint32_t number;
	if (s->error == -ETIMEDOUT && !late)
		fail("receive %u timed out, which nobody asked for", w->number);
	if (s->error != 0 && s->error != -EMSGSIZE) {
		wanting_missed(l, w, s->error, s->tag != 0 ? s->peer : NULL);
		return;
	}
	struct plan p = identify(l, w, s, &by, &number);
	size_t most = p.len < w->buffer->len ? p.len : w->buffer->len;
	if (s->got != most || (s->error == 0) != (most == p.len))
		fail("receive %u got %llu of %zu bytes of %#llx from %u, with room for %zu: %s", w->number,
		    (unsigned long long)s->got, p.len, (unsigned long long)p.tag, by, w->buffer->len,
		    strerror(-s->error));
	buffer_expect(w->buffer, p.key, 0, most);
	give_received(l, w);
	received(l, w, by, number, s->error, false);
	w->want->ended = l->clock++;
}
