/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link in the loop: its socket and its peer's pidfd among the sources, its handshake under a deadline.
 *
 *     conn_init ... up ... frame, payload_end ... down      (up is left out if the handshake fails)
 *
 * Who wakes a wait for the peer: its bytes (socket), its end of file (socket), or its exit (pidfd), which
 * also tells when a stray child of the peer still holds the socket open. On exit, what it had sent before
 * is read and passed up first.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "engine/engine.h"
#include "os/clock.h"
#include "os/poll.h"

/* One event reads once, or a few times while much comes: others get their turn. */
enum { READS = 16, MUCH = 65536, HEARD = 1024, RETRY_MS = 2, LISTEN_MS = 20 };

/* More than a socket holds: who has so many last words is still speaking. */
enum { LAST_WORDS = 64 << 20, LAST_BELLS = 16384 };

static struct conn *of_socket(struct source *s)
{
	return (struct conn *)((char *)s - offsetof(struct conn, socket));
}

static struct conn *of_exit(struct source *s)
{
	return (struct conn *)((char *)s - offsetof(struct conn, exit));
}

static struct conn *of_deadline(struct timer *t)
{
	return (struct conn *)((char *)t - offsetof(struct conn, deadline));
}

static void retry(struct timer *t)
{
	conn_kick((struct conn *)((char *)t - offsetof(struct conn, retry)));
}

static void forget(struct conn *c)
{
	polls_remove(c);
	if (c->engine->hot == c)
		c->engine->hot = NULL;
	if (c->engine->detached == c)
		c->engine->detached = NULL;
}

static void forget_hints(struct conn *c)
{
	struct wait *w;
	TAILQ_FOREACH (w, &c->engine->waits, entry)
		if (w->hint == c)
			w->hint = NULL;
}

static bool may_be_written_to(const struct conn *c)
{
	return c->granted > 0 && !c->gone;
}

/* Tells the peer that this was all. While we write into its memory that would be a lie: conn_wrote() does it then. */
static void take_leave(struct conn *c)
{
	if (c->writing > 0)
		return;
	if (may_be_written_to(c))
		link_fall_silent(&c->link);
	else
		link_hang_up(&c->link);
}

static void listen_again(struct timer *t);

/* For want of something that the kernel does not tell when there is. */
static void haunt_later(struct conn *c)
{
	source_remove(c->engine, &c->socket);
	timer_set(&c->engine->timers, &c->retry, clock_after_ms(LISTEN_MS), listen_again);
}

/* It has ended, but its peer may still write into our memory. So we say no more, but listen, until the peer has hung
 * up or exited. */
static void haunt(struct conn *c)
{
	int rc = c->socket.slot == 0 ? source_add(c->engine, &c->socket, c->link.fd, EPOLLIN)
	                             : source_change(c->engine, &c->socket, EPOLLIN);
	if (rc != 0)
		haunt_later(c);
}

static void listen_again(struct timer *t)
{
	haunt((struct conn *)((char *)t - offsetof(struct conn, retry)));
}

static void leave_set(struct conn *c)
{
	timer_stop(&c->engine->timers, &c->retry);
	source_remove(c->engine, &c->socket);
	source_remove(c->engine, &c->exit);
}

/* What comes is thrown away. That it can't be heard is no end. */
static void drain(struct conn *c)
{
	int rc = link_drain(&c->link);
	if (rc == 0)
		conn_gone(c);
	else if (rc != -EAGAIN)
		haunt_later(c);
}

/* The last thing a conn does. */
static void end(struct conn *c)
{
	if (c->ended)
		return;
	c->ended = true;
	struct engine *e = c->engine;
	timer_stop(&e->timers, &c->deadline);
	timer_stop(&e->timers, &c->retry);
	forget(c);
	if (may_be_written_to(c))
		haunt(c);
	else
		leave_set(c);
	take_leave(c);
	c->ops->down(c);
}

void conn_wrote(struct conn *c)
{
	c->writing--;
	if (c->ended)
		take_leave(c);
}

void conn_fail(struct conn *c, int error, const char *words)
{
	link_fail(&c->link, error, "%s", words);
	end(c);
}

void conn_reject(struct conn *c, int error, const char *words)
{
	link_reject(&c->link, error, words);
	end(c);
}

static void exit_ready(struct source *s, uint32_t events)
{
	(void)events;
	conn_gone(of_exit(s));
}

void conn_gone(struct conn *c)
{
	c->gone = true;
	if (!c->ended) {
		conn_bury(c);
	} else {
		leave_set(c);
		take_leave(c);
		c->ops->gone(c);
	}
}

/* The peer's credentials have come with its first bytes, and with them its pidfd. */
static void watch_exit(struct conn *c)
{
	if (c->exit.slot != 0 || c->link.pidfd < 0 || c->ended)
		return;
	int rc = source_add(c->engine, &c->exit, c->link.pidfd, EPOLLIN);
	if (rc != 0)
		conn_fail(c, rc, "no room to watch the peer's exit");
}

/* Uses up what was read. */
static void dispatch(struct conn *c)
{
	struct wire_frame f;
	while (!c->ended) {
		switch (link_next(&c->link, &f)) {
		case LINK_FRAME:
			c->ops->frame(c, &f);
			break;
		case LINK_PAYLOAD_END:
			c->ops->payload_end(c);
			break;
		case LINK_UP:
			timer_stop(&c->engine->timers, &c->deadline);
			polls_add(c);
			c->ops->up(c);
			break;
		case LINK_DEMOTED:
			c->ops->demoted(c);
			break;
		case LINK_FAILED:
			end(c);
			break;
		case LINK_NOTHING:
			return;
		}
	}
}

/* There is something in its outbox, or room in ours. */
static void answer_bell(struct conn *c)
{
	c->link.rung = false;
	if (c->ended)
		return;
	polls_add(c);
	if (c->link.tx.blocked || c->link.tx.queued != c->link.tx.written)
		conn_kick(c);
}

/* Reads and dispatches once: > 0 something came, 0 the peer's side has ended, < 0 nothing to be had. */
static ssize_t take(struct conn *c, ssize_t (*read)(struct link *l))
{
	bool demoted = c->link.inbox.demoted;
	uint64_t queued = c->link.tx.queued;
	ssize_t n = read(&c->link);
	if (n == -EFAULT && c->link.state != LINK_DOWN) {
		link_payload_sink(&c->link);
		c->ops->payload_fault(c);
		return 1;
	}
	if (n > 0) {
		if (!c->link.known || c->exit.slot == 0)
			watch_exit(c);
		dispatch(c);
		if (link_polls(&c->link) && !link_is_served(&c->link))
			polls_add(c);
		if (c->starved || c->link.tx.queued != c->link.tx.written || link_owes_credit(&c->link))
			conn_kick(
			    c); /* credit may have come, or have grown; the handshake has something to say */
	} else if (c->link.state == LINK_DOWN) {
		end(c);
	}
	if (c->link.inbox.demoted != demoted &&
	    !c->ended) { /* its outbox can't be read any more, nor anything else */
		c->ops->demoted(c);
		conn_kick(c);
	}
	if (c->link.rung)
		answer_bell(c);
	/* Reading may have said something, also if nothing had come: BELL, DEMOTE. */
	if (c->link.tx.dead || link_owes_aside(&c->link) || c->link.tx.queued != queued)
		conn_kick(c);
	return n;
}

void conn_bury(struct conn *c)
{
	c->burying = true;
	if (!may_be_written_to(c)) /* else its end of file is still wanted, and ours not to be taken for it */
		link_close_ears(&c->link);
	ssize_t n = 1;
	for (int left = LAST_BELLS; !c->ended && link_polls(&c->link) && n > 0 && left > 0; left--)
		n = take(c, link_hear);
	n = 1;
	for (int64_t left = LAST_WORDS; !c->ended && n > 0 && left > 0; left -= n)
		n = take(c, link_read);
	if (!c->ended)
		conn_fail(c, -ECONNRESET,
		    c->link.state == LINK_OPEN ? "the peer has exited or hung up"
		                               : "the peer hung up during the handshake");
}

static ssize_t look(struct conn *c, ssize_t (*read)(struct link *l))
{
	ssize_t n = take(c, read);
	if (n == 0 && !c->ended)
		conn_gone(c);
	return n;
}

bool conn_look(struct conn *c)
{
	if (link_has_room(&c->link))
		conn_kick(c);
	return look(c, link_read) >= 0 || c->ended; /* that may be what is waited for */
}

bool conn_doze(struct conn *c)
{
	bool found = look(c, link_doze) >= 0 || c->ended;
	if (found && c->polled) /* it rang: what for is to be seen before anybody sleeps again */
		conn_look(c);
	return found;
}

bool conn_arm(struct conn *c)
{
	bool demoted = c->link.inbox.demoted;
	link_arm(&c->link);
	if (c->link.inbox.demoted != demoted)
		conn_kick(c); /* the peer is to be told */
	bool found = conn_look(c);
	if (!found && !c->ended && link_is_deaf(&c->link)) { /* what kept us from it has passed: once more */
		polls_add(c);
		return true;
	}
	return found;
}

/* What the peer says beside its outbox. */
static void hear(struct conn *c)
{
	ssize_t sum = 0;
	for (int i = 0; i < READS && sum < HEARD && !c->ended && link_polls(&c->link); i++) {
		ssize_t n = look(c, link_hear);
		if (n <= 0 || link_is_served(&c->link))
			return;
		sum += n;
	}
}

static void socket_ready(struct source *s, uint32_t events)
{
	struct conn *c = of_socket(s);
	if (c->ended) {
		drain(c);
		return;
	}
	c->engine->hot = c;
	if (events & EPOLLOUT) {
		conn_kick(c);
		source_change(c->engine, &c->socket, EPOLLIN);
	}
	if (link_polls(&c->link))
		hear(c);
	if (link_is_served(&c->link)) /* an earlier reading that was not has seen to its look */
		return;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		for (int i = 0; i < READS && !c->ended; i++) {
			ssize_t n = look(c, link_read);
			if (n < MUCH && (n <= 0 || c->link.rx.payload == 0))
				break;
		}
}

static void too_late(struct timer *t)
{
	conn_fail(of_deadline(t), -ETIMEDOUT, "the peer did not finish the handshake in time");
}

int conn_init(struct conn *c, struct engine *e, const struct conn_ops *ops, int fd, uint64_t deadline)
{
	memset(c, 0, sizeof(*c));
	c->engine = e;
	c->ops = ops;
	c->socket.ready = socket_ready;
	c->exit.ready = exit_ready;
	int rc = link_init(&c->link, &e->shared, fd);
	if (rc != 0)
		return rc;
	if ((rc = source_add(e, &c->socket, fd, EPOLLIN)) != 0) {
		c->link.fd = -1; /* still the caller's */
		link_fini(&c->link);
		return rc;
	}
	timer_set(&e->timers, &c->deadline, deadline, too_late);
	conn_kick(c);
	return 0;
}

void conn_hurry(struct conn *c, uint64_t deadline)
{
	if (!c->ended && c->link.state != LINK_OPEN && !c->deadline.set)
		timer_set(&c->engine->timers, &c->deadline, deadline, too_late);
}

int conn_init_self(struct conn *c, struct engine *e, const struct conn_ops *ops)
{
	memset(c, 0, sizeof(*c));
	c->engine = e;
	c->ops = ops;
	return link_init_self(&c->link, &e->shared);
}

void conn_fini(struct conn *c)
{
	struct engine *e = c->engine;
	timer_stop(&e->timers, &c->deadline);
	leave_set(c);
	if (c->kicked)
		TAILQ_REMOVE(&e->kicked, c, kick);
	forget(c);
	forget_hints(c);
	link_fini(&c->link);
}

void conn_detach(struct conn *c)
{
	if (c->ended || c->link.tx.blocked || c->engine->detached != NULL || link_polls(&c->link))
		return;
	source_remove(c->engine, &c->socket);
	c->engine->detached = c;
}

void conn_attach(struct conn *c)
{
	if (c->engine->detached != c)
		return;
	c->engine->detached = NULL;
	uint32_t events = link_waits_for_socket(&c->link) ? EPOLLIN | EPOLLOUT : EPOLLIN;
	int rc = source_add(c->engine, &c->socket, c->link.fd, events);
	if (rc != 0)
		conn_fail(c, rc, "no room to watch the peer");
}

void conn_flush(struct conn *c)
{
	link_flush(&c->link);
	if (link_has_come_back(&c->link) || c->link.tx.queued != c->link.tx.written ||
	    link_owes_aside(&c->link))
		conn_kick(c); /* to be heard; or to ask for room for the rest, should nobody wait for it */
}

void conn_kick(struct conn *c)
{
	if (c->kicked || c->ended)
		return;
	c->kicked = true;
	TAILQ_INSERT_TAIL(&c->engine->kicked, c, kick);
}

static void pump(struct conn *c)
{
	if (c->ended)
		return;
	bool more = false;
	c->link.tx.refused = c->link.tx.lacking = false;
	if (c->link.tx.blocked)
		link_flush(&c->link); /* first, for a blocked link takes nothing */
	if (c->link.state == LINK_OPEN)
		more = c->ops->pump(c);
	if (c->ended)
		return;
	if (c->link.state == LINK_OPEN)
		link_tell(&c->link);
	/* A blocked one would forget that it is, if it has nothing of its own to try again with. */
	if (!c->link.tx.blocked)
		link_flush(&c->link);
	if (c->link.state == LINK_DOWN) {
		end(c);
		return;
	}
	c->ops->flushed(c);
	if (c->ended)
		return;
	if (c->link.tx.dead) { /* it no longer reads; what were its last words? */
		conn_bury(c);
		return;
	}
	if (c->link.tx.lacking) {
		timer_set(&c->engine->timers, &c->retry, clock_after_ms(RETRY_MS), retry);
		return;
	}
	if (link_waits_for_socket(&c->link)) {
		conn_attach(c);
		if (!c->ended)
			source_change(c->engine, &c->socket, EPOLLIN | EPOLLOUT);
	} else if (!c->link.tx.blocked && (more || c->link.tx.refused)) {
		conn_kick(c); /* the flush has made room for what the link refused before */
	}
}

/* What we have said to ourselves is there to be heard, and nothing else will tell. One reading, and again with the
 * next pump: two who answer each other must not keep all others waiting. */
static void hear_oneself(struct conn *c)
{
	if (link_has_come_back(&c->link))
		look(c, link_read);
	if (!c->ended && (link_has_come_back(&c->link) || c->link.tx.blocked))
		conn_kick(c);
}

void conn_pump(struct conn *c)
{
	pump(c);
	if (c->link.loop != NULL && !c->ended)
		hear_oneself(c);
}
