/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting for requests that stay the caller's: one, any, some, all.
 *
 * Who ends such a wait: a completion, the timeout, an interrupt, haul_close(). None of them changes a request.
 * Looking through many requests is done anew only when something has completed since the last look.
 */
#include <errno.h>
#include <limits.h>

#include "msg/context.h"
#include "msg/peer.h"
#include "msg/request.h"
#include "os/clock.h"
#include "os/reason.h"

/* The requests, and how far we have looked. */
struct set {
	struct haul_req *const *reqs;
	size_t count;
	const struct engine *engine;
	uint64_t looked; /* engine.news at the last look, plus 1 */
	size_t at;       /* any: the first that is complete; all: all before it are */
};

static bool any_complete(void *arg)
{
	struct set *s = arg;
	if (s->looked == s->engine->news + 1)
		return s->at < s->count;
	s->looked = s->engine->news + 1;
	for (s->at = 0; s->at < s->count; s->at++)
		if (s->reqs[s->at] != NULL && s->reqs[s->at]->complete)
			return true;
	return false;
}

static bool all_complete(void *arg)
{
	struct set *s = arg;
	while (s->at < s->count && (s->reqs[s->at] == NULL || s->reqs[s->at]->complete))
		s->at++;
	return s->at == s->count;
}

/* The context they all belong to; NULL: -ENOENT if all are NULL, -EINVAL if it is not one. */
static struct haul *context_of(struct haul_req *const *reqs, size_t count, int *rc)
{
	struct haul *h = NULL;
	if (count > INT_MAX || (reqs == NULL && count > 0)) {
		*rc = reason(-EINVAL, "no requests, or too many");
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		if (reqs[i] == NULL)
			continue;
		if (h != NULL && reqs[i]->haul != h) {
			*rc = reason(-EINVAL, "requests of different contexts");
			return NULL;
		}
		h = reqs[i]->haul;
	}
	if (h == NULL)
		*rc = reason(-ENOENT, "no request to wait for");
	return h;
}

/* Whoever the one request is about will most likely end the wait. */
static struct conn *hint_of(const struct set *s)
{
	struct haul_peer *p = s->count == 1 ? s->reqs[0]->status.peer : NULL;
	return p != NULL ? &p->conn : NULL;
}

/* Waits with the lock held on return, if that is 0. */
static int wait_for(struct set *s, bool (*done)(void *), int timeout_ms, struct haul **h)
{
	int rc = 0;
	if ((*h = context_of(s->reqs, s->count, &rc)) == NULL)
		return rc;
	if ((rc = context_enter_wait(*h, timeout_ms)) != 0)
		return rc;
	s->engine = &(*h)->engine;
	if (done(s))
		return 0;
	if (timeout_ms == 0) {
		rc = engine_progress(&(*h)->engine);
		if (rc >= 0)
			rc = done(s) ? 0 : reason(-EAGAIN, "not complete");
	} else {
		rc = engine_wait(&(*h)->engine, done, s, clock_after_ms(timeout_ms), hint_of(s));
		if (rc == 0 && (*h)->closing) /* which completed them, and is about to free them */
			rc = reason(-EBADF, "the context was closed");
	}
	return rc != 0 ? context_leave(*h, rc) : 0;
}

int haul_req_wait(struct haul_req *r, int timeout_ms)
{
	if (r == NULL)
		return reason(-EINVAL, "no request");
	if (request_is_complete(r) && timeout_ms >= -1)
		return context_check(r->haul);
	return haul_wait_all(&r, 1, timeout_ms);
}

int haul_wait_any(struct haul_req *const *reqs, size_t count, int timeout_ms)
{
	struct set s = { .reqs = reqs, .count = count };
	struct haul *h;
	int rc = wait_for(&s, any_complete, timeout_ms, &h);
	return rc != 0 ? rc : context_leave(h, (int)s.at);
}

int haul_wait_some(struct haul_req *const *reqs, size_t count, size_t *done, int timeout_ms)
{
	struct set s = { .reqs = reqs, .count = count };
	struct haul *h;
	if (done == NULL)
		return reason(-EINVAL, "no place for the indices");
	int rc = wait_for(&s, any_complete, timeout_ms, &h);
	if (rc != 0)
		return rc;
	int found = 0;
	for (size_t i = s.at; i < count; i++)
		if (reqs[i] != NULL && reqs[i]->complete)
			done[found++] = i;
	return context_leave(h, found);
}

int haul_wait_all(struct haul_req *const *reqs, size_t count, int timeout_ms)
{
	struct set s = { .reqs = reqs, .count = count };
	struct haul *h;
	int rc = wait_for(&s, all_complete, timeout_ms, &h);
	return rc == -ENOENT ? 0 : rc != 0 ? rc : context_leave(h, 0);
}
