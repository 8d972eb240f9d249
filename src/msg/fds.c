/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors that go with a message: haul_send_fds(), haul_msg_fds(). See fds.h.
 *
 *     haul_isend_fds -> outbound with copies -> DESC, flag FDS
 *     haul_msg_fds -> FETCH -> (sender) fds_asked -> RIGHTS, attached -> fds_came -> the taker
 *
 * They stay with their sender until somebody asks: so nothing that a peer sends makes us hold any, and one that is
 * received without asking costs none. Who ends the wait for them: RIGHTS, the sender's taking back, the connection's
 * end, the timeout; after that they may still come, and are held by the message.
 */
#include "msg/fds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "msg/context.h"
#include "msg/ids.h"
#include "msg/outbound.h"
#include "msg/peer.h"
#include "msg/request.h"
#include "msg/send.h"
#include "msg/taken.h"
#include "os/clock.h"
#include "os/reason.h"
#include "os/sock.h"

_Static_assert((int)WIRE_RIGHTS_MOST == HAUL_FDS_MOST, "one number in two places");

static void close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sock_close(fds[i]);
}

/* ---- the sender ---- */

/* Copies, because a number may name something else by the time that they are asked for. */
int fds_keep(struct outbound *o, const int *fds, size_t count)
{
	if (fds == NULL || count == 0 || count > HAUL_FDS_MOST)
		return reason(-EINVAL, "%zu descriptors: not within 1 to %d", fds != NULL ? count : 0,
		    HAUL_FDS_MOST);
	if ((o->fds = calloc(count, sizeof(*o->fds))) == NULL)
		return reason(-ENOMEM, "no memory for descriptors");
	for (; o->fd_count < count; o->fd_count++) {
		int fd = sock_copy(fds[o->fd_count]);
		if (fd < 0) {
			reason(fd, "descriptor %d: %s", fds[o->fd_count], strerror(-fd));
			fds_forget(o);
			return fd;
		}
		o->fds[o->fd_count] = fd;
	}
	return 0;
}

void fds_forget(struct outbound *o)
{
	if (o->fetched)
		TAILQ_REMOVE(&o->peer->fetched, o, fetch_entry);
	o->fetched = false;
	close_all(o->fds, o->fd_count);
	free(o->fds);
	o->fds = NULL;
	o->fd_count = 0;
}

bool fds_asked(struct outbound *o)
{
	if (!o->has_fds || o->state == OUT_QUEUED)
		return false;
	if (o->state != OUT_OFFERED || o->fetched)
		return true; /* it will hear of the cancel; or of what it has asked for before */
	o->fetched = true;
	TAILQ_INSERT_TAIL(&o->peer->fetched, o, fetch_entry);
	conn_kick(&o->peer->conn);
	return true;
}

/* ---- the taker ---- */

void fds_stop(struct haul_msg *m)
{
	if (m->fds.state != FDS_ASKED)
		return;
	if (m->fds.due)
		TAILQ_REMOVE(&m->peer->fetches, m, fds.entry);
	else
		link_fetched(peer_link(m->peer));
	m->fds.due = false;
	m->fds.state = FDS_NONE;
}

void fds_free(struct haul_msg *m)
{
	fds_stop(m);
	close_all(m->fds.fds, m->fds.count);
	free(m->fds.fds);
}

static void ask(struct haul_msg *m)
{
	struct haul_peer *p = m->peer;
	m->fds.state = FDS_ASKED;
	m->fds.due = true;
	TAILQ_INSERT_TAIL(&p->fetches, m, fds.entry);
	conn_pump(&p->conn);
}

/* They are here, or known not to come. */
static void settle(struct haul_msg *m, int error, const int *fds, size_t count)
{
	if (error == 0 && (m->fds.fds = calloc(count, sizeof(*fds))) == NULL)
		error = -ENOMEM;
	if (error != 0) {
		close_all(fds, count);
		count = 0;
	} else {
		memcpy(m->fds.fds, fds, count * sizeof(*fds));
	}
	link_fetched(peer_link(m->peer));
	m->fds.state = FDS_HERE;
	m->fds.error = error;
	m->fds.count = count;
	engine_news(&m->haul->engine);
}

/* Whose they are: NULL if nobody waits for them any more. */
static struct haul_msg *find(struct haul_peer *p, uint64_t id)
{
	void *object;
	enum id_state state = ids_find(&p->in_ids, id, &object);
	if (state == ID_NEVER)
		peer_violation(p, "descriptors of a message that was never sent");
	struct inbound *in = state == ID_LIVE ? object : NULL;
	struct haul_msg *m = in != NULL ? in->msg : NULL;
	return m != NULL && m->fds.state == FDS_ASKED && !m->fds.due ? m : NULL;
}

void fds_came(struct haul_peer *p, const struct wire_frame *f)
{
	int fds[WIRE_RIGHTS_MOST];
	bool cut = false;
	uint32_t said = f->rights.count, error = f->rights.error;
	if ((error == 0) == (said == 0) || error > 4095 || said > WIRE_RIGHTS_MOST) {
		peer_violation(p, "neither descriptors nor a reason, or both");
		return;
	}
	struct haul_msg *m = find(p, f->rights.id);
	if (m == NULL)
		return; /* the link closes what came */
	size_t count = link_take_rights(peer_link(p), fds, &cut);
	if (cut) {
		settle(m, -EMFILE, fds, count);
	} else if (count != said) {
		close_all(fds, count);
		peer_violation(p, "other descriptors than were announced");
	} else {
		m->fds.theirs = error;
		settle(m, error != 0 ? -ECONNREFUSED : 0, fds, count);
	}
}

/* ---- both ---- */

static bool say_fetches(struct haul_peer *p)
{
	for (struct haul_msg *m; (m = TAILQ_FIRST(&p->fetches)) != NULL;) {
		if (link_fetch(peer_link(p), m->inbound->id) != LINK_TAKEN)
			return false;
		TAILQ_REMOVE(&p->fetches, m, fds.entry);
		m->fds.due = false;
	}
	return true;
}

bool fds_say(struct haul_peer *p)
{
	if (!say_fetches(p))
		return false;
	for (struct outbound *o; (o = TAILQ_FIRST(&p->fetched)) != NULL;) {
		if (link_send_rights(peer_link(p), o->id, o->fds, o->fd_count) != LINK_TAKEN)
			return false;
		TAILQ_REMOVE(&p->fetched, o, fetch_entry);
		o->fetched = false;
	}
	return true;
}

/* ---- public ---- */

int haul_isend_fds(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count, const int *fds,
    size_t fd_count, struct haul_req **out)
{
	int rc = peer_enter(p);
	if (rc != 0)
		return rc;
	struct haul *h = p->haul;
	rc = out == NULL ? reason(-EINVAL, "no place for the request")
	                 : send_start_fds(p, tag, iov, count, fds, fd_count, out);
	return context_leave(h, rc);
}

int haul_send_fds(struct haul_peer *p, uint64_t tag, const void *buf, size_t len, const int *fds,
    size_t count, int timeout_ms)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct haul_req *r;
	if (p == NULL)
		return reason(-EINVAL, "no peer");
	struct haul *h = p->haul;
	int rc = context_enter_wait(h, timeout_ms);
	if (rc != 0)
		return rc;
	if (timeout_ms == 0)
		rc = reason(-EAGAIN, "that they were received can't be known without waiting");
	else if ((rc = send_start_fds(p, tag, &iov, 1, fds, count, &r)) == 0)
		rc = request_run(r, timeout_ms, p, NULL);
	return context_leave(h, rc);
}

static bool is_settled(void *arg)
{
	const struct haul_msg *m = arg;
	return m->fds.state != FDS_ASKED;
}

/* Gives its taker what is here. */
static ssize_t give(struct haul_msg *m, int *fds, size_t room)
{
	size_t count = m->fds.count;
	int error = m->fds.error;
	if (error == 0 && count > room)
		return reason(-EMSGSIZE, "%zu descriptors go with the message: more than there is room for",
		    count);
	if (error == 0)
		memcpy(fds, m->fds.fds, count * sizeof(*fds));
	free(m->fds.fds);
	m->fds.fds = NULL;
	m->fds.count = 0;
	m->fds.state = FDS_NONE;
	if (error == -ECONNREFUSED)
		return reason(error, "its sender can't pass them: %s", strerror((int)m->fds.theirs));
	if (error == -EMFILE)
		return reason(error,
		    "not all descriptors of the message could be received: the limit of this process, "
		    "or a security module");
	return error != 0 ? reason(error, "no memory for descriptors") : (ssize_t)count;
}

static ssize_t get(struct haul_msg *m, int *fds, size_t room, int timeout_ms)
{
	uint64_t deadline = clock_after_ms(timeout_ms);
	struct engine *e = &m->haul->engine;
	int rc = 0;
	while (m->fds.state != FDS_HERE) {
		if (m->inbound == NULL)
			return taken_gone(m);
		if (m->fds.state == FDS_NONE)
			ask(m);
		m->fds.waits++;
		if (timeout_ms == 0)
			rc = engine_progress(e);
		else
			rc = engine_wait(e, is_settled, m, deadline, m->peer != NULL ? &m->peer->conn : NULL);
		m->fds.waits--;
		if (timeout_ms == 0 && rc >= 0 && m->fds.state == FDS_ASKED)
			rc = reason(-EAGAIN, "its descriptors are not here yet");
		if (rc == -EBADF)
			rc = -ECANCELED; /* haul_close() by another thread */
		if (rc < 0)
			return rc;
	}
	return give(m, fds, room);
}

ssize_t haul_msg_fds(struct haul_msg *m, int *fds, size_t room, int timeout_ms)
{
	if (m == NULL || (fds == NULL && room > 0))
		return reason(-EINVAL, "no message, or no place for descriptors");
	struct haul *h = m->haul;
	int rc = context_enter_wait(h, timeout_ms);
	if (rc != 0)
		return rc;
	ssize_t n = m->has_fds ? get(m, fds, room, timeout_ms) : 0;
	context_leave(h, n < 0 ? (int)n : 0);
	return n;
}
