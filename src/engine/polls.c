/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whose outboxes are looked into. A look is a system call, and finds nothing most of the time; to be told by a bell
 * costs the peer one, and the kernel a wake-up. So those who spoke lately are looked into, a few at a time; all
 * others have been asked to ring. Then a thousand quiet peers cost nothing.
 *
 *     spoke, rang --> polled --> armed       when it was looked into in vain for long, when more than a few others
 *                                            have spoken since, before every sleep
 *
 * An armed one may still be looked at (conn_look), and need not be armed again. Where a bell brings what it rings for, that
 * is all there is: no reason to look (link_is_served).
 */
#include "engine/engine.h"

enum {
	POLLED_MOST = 4, /* a look takes 0.5 us; a bell is a send(2), a wake-up, and a recv(2) */
	VAIN_MOST = 256,
	ROUND_MOST = 64, /* of them in one round, */
	LOOKS_MOST = 16, /* and looks into one of them: others get their turn */
};

void polls_remove(struct conn *c)
{
	if (!c->polled)
		return;
	TAILQ_REMOVE(&c->engine->polled, c, poll);
	c->engine->polled_count--;
	c->polled = false;
}

/* True if something had come, its end included. It is polled no more, unless something had. */
static bool stop(struct conn *c)
{
	polls_remove(c);
	return !c->ended && conn_arm(c);
}

void polls_add(struct conn *c)
{
	struct engine *e = c->engine;
	if (c->ended || !link_polls(&c->link))
		return;
	c->vain = 0;
	if (TAILQ_FIRST(&e->polled) == c)
		return;
	polls_remove(c);
	c->polled = true;
	TAILQ_INSERT_HEAD(&e->polled, c, poll);
	e->polled_count++;
}

/* All that is known to be there. */
static bool look(struct conn *c)
{
	bool found = false;
	for (int i = 0; i < LOOKS_MOST && conn_look(c); i++) {
		found = true;
		if (c->ended || !link_has_more(&c->link))
			break;
	}
	return found;
}

/* What is found changes the list, and may end some in it. */
bool polls_round(struct engine *e)
{
	bool more = false;
	struct conn *now[ROUND_MOST], *c;
	unsigned count = 0;
	TAILQ_FOREACH_REVERSE (c, &e->polled, conn_list, poll) {
		if (count == ROUND_MOST)
			break;
		now[count++] = c;
	}
	for (unsigned i = 0; i < count; i++) {
		c = now[i];
		if (c->polled && !look(c) && c->polled &&
		    (++c->vain > VAIN_MOST || e->polled_count > POLLED_MOST))
			stop(c);
		more = more || (!c->ended && link_has_more(&c->link));
	}
	return more;
}

/* Who is polled again by then was heard of: it must not keep us here by that. Nor may a sleep begin before what the
 * looks have said has gone. */
bool polls_stop(struct engine *e)
{
	struct conn *c;
	bool found = false;
	for (unsigned left = e->polled_count; left > 0 && !found && (c = TAILQ_FIRST(&e->polled)) != NULL;
	     left--)
		found = stop(c);
	return found || !TAILQ_EMPTY(&e->polled) || !TAILQ_EMPTY(&e->kicked);
}

struct conn *polls_next(struct engine *e)
{
	struct conn *c = TAILQ_FIRST(&e->polled);
	if (c != NULL && TAILQ_NEXT(c, poll) != NULL) {
		TAILQ_REMOVE(&e->polled, c, poll);
		TAILQ_INSERT_TAIL(&e->polled, c, poll);
	}
	return c;
}
