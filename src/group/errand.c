/* SPDX-License-Identifier: BSD-3-Clause */
/* Errands. See errand.h. */
#include "group/errand.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "msg/receive.h"
#include "msg/send.h"

/* Within whatever completed it: what would be wrong a moment later is put right now, the rest is for the next round. */
static void errand_completed(struct req_owner *o, struct haul_req *r)
{
	struct errand *e = (struct errand *)((char *)o - offsetof(struct errand, owner));
	struct mesh *m = e->mesh;
	e->req = NULL;
	e->status = r->status;
	r->status.peer = NULL; /* what it brought is the mesh's */
	if (r->kind == REQ_PEER && e->status.error != 0)
		member_forget(&m->members[e->rank], e->peer); /* is about to be freed */
	TAILQ_REMOVE(&m->errands, e, entry);
	TAILQ_INSERT_TAIL(&m->done, e, entry);
	engine_due(&m->haul->engine);
}

struct errand *errand_new(struct mesh *m, void (*done)(struct errand *), int rank)
{
	struct errand *e = calloc(1, sizeof(*e));
	if (e == NULL)
		return NULL;
	e->owner.completed = errand_completed;
	e->mesh = m;
	e->done = done;
	e->rank = rank;
	TAILQ_INSERT_TAIL(&m->errands, e, entry);
	return e;
}

void errand_free(struct errand *e)
{
	TAILQ_REMOVE(&e->mesh->errands, e, entry);
	free(e);
}

void errand_follow(struct errand *e, struct haul_req *r)
{
	e->req = r;
	request_follow(r, &e->owner);
}

int errand_receive(struct errand *e, struct haul_peer *from, uint64_t tag, void *into, size_t len)
{
	struct haul_req *r;
	struct haul_match match = { .from = from, .tag = tag };
	struct iovec iov = { .iov_base = into, .iov_len = len };
	int rc = receive_start(e->mesh->haul, &match, channel_of(0), &iov, 1, -1, &r);
	if (rc == 0)
		errand_follow(e, r);
	else
		errand_free(e);
	return rc;
}

int errand_send(struct haul_peer *p, uint64_t tag, const void *what, size_t len, bool anyway)
{
	struct haul_req *r;
	struct iovec iov = { .iov_base = (void *)what, .iov_len = len };
	int rc = anyway ? send_anyway(p, tag, channel_of(0), &iov, &r)
	                : send_start(p, tag, channel_of(0), &iov, 1, HAUL_COPY, &r);
	if (rc == 0)
		request_let_go(r);
	return rc;
}

void errands_look(struct mesh *m)
{
	struct errand *e;
	while ((e = TAILQ_FIRST(&m->done)) != NULL) {
		TAILQ_REMOVE(&m->done, e, entry);
		e->done(e);
		if (!e->retired)
			free(e);
	}
}

void errands_forget_peer(struct mesh *m, const struct haul_peer *p)
{
	struct errand *e, *next;
	TAILQ_FOREACH (e, &m->done, entry) {
		if (e->status.peer != p)
			continue;
		e->status.peer = NULL;
		e->status.error = -ECANCELED;
		if (e->rank >= 0)
			member_forget(&m->members[e->rank], p);
	}
	TAILQ_FOREACH_SAFE (e, &m->retired, entry, next) {
		if (e->status.peer != p)
			continue;
		TAILQ_REMOVE(&m->retired, e, entry);
		free(e);
	}
}

static bool has_none_under_way(void *arg)
{
	const struct mesh *m = arg;
	const struct errand *e;
	TAILQ_FOREACH (e, &m->errands, entry)
		if (e->req != NULL)
			return false;
	return true;
}

static struct errand *next_under_way(const struct mesh *m)
{
	struct errand *e;
	TAILQ_FOREACH (e, &m->errands, entry)
		if (e->req != NULL && !e->aborted)
			return e;
	return NULL;
}

/* To abort one may complete others, and what follows from that may begin new ones: a watch of who has just come. */
void errands_end(struct mesh *m)
{
	struct errand *e;
	do {
		while ((e = next_under_way(m)) != NULL) {
			e->aborted = true;
			request_abort(e->req, -ECANCELED);
		}
		engine_await(&m->haul->engine, has_none_under_way, m);
		errands_look(m);
	} while (!TAILQ_EMPTY(&m->errands));
}

void errands_free(struct errand_list *list)
{
	struct errand *e;
	while ((e = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, e, entry);
		if (e->req != NULL)
			e->req->owner = NULL;
		free(e);
	}
}
