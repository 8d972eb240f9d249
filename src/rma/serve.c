/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Carrying out an ask. See serve.h.
 *
 * It believes nothing: it names the region by the whole handle, which must be what was given out, and its offset and
 * length are checked against what we know. The region's memory may be bad: so the library does not touch it by itself,
 * but has the kernel copy (vm_copy()), or move the message.
 */
#include "rma/serve.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "msg/peer.h"
#include "msg/send.h"
#include "msg/stats.h"
#include "msg/taken.h"
#include "os/vm.h"
#include "rma/region.h"

enum { COPIED = 64 << 10 }; /* an answer so long is copied first: sent eagerly, it would be by the library */

void served_free(struct served *s)
{
	if (s->region != NULL)
		TAILQ_REMOVE(&s->region->serving, s, entry);
	free(s->copy);
	free(s);
}

/* In the middle of whatever completed it. */
static void completed(struct req_owner *o, struct haul_req *r)
{
	struct served *s = (struct served *)((char *)o - offsetof(struct served, owner));
	struct rma *m = s->patron->rma;
	s->req = NULL;
	s->error = r->status.error;
	TAILQ_INSERT_TAIL(&m->served_due, s, turn);
	engine_due(&m->haul->engine);
}

static void follow(struct served *s, struct haul_req *r)
{
	s->req = r;
	s->owner.completed = completed;
	request_follow(r, &s->owner);
}

/* Its answer. */
static void end(struct served *s, int error)
{
	struct patron *p = s->patron;
	if (error == -ECANCELED && p->peer->closing)
		error = -EPIPE;
	taken_finish(s->msg, ask_to_wire(error));
	served_free(s);
	patron_next(p);
}

/* The part of the region, as iovecs: their number. There is room for as many as it has. */
static size_t part(const struct served *s, struct iovec *iov)
{
	const struct haul_region *r = s->region;
	struct iov_cursor c;
	uint64_t len;
	iov_cursor_init(&c, r->iov, r->count, s->ask.offset + s->ask.len);
	iov_cursor_advance(&c, s->ask.offset);
	return iov_cursor_window(&c, iov, HAUL_REGION_IOVECS, s->ask.len, &len);
}

/* Between the region and a copy. */
static int copy(bool from_region, void *bytes, const struct iovec *iov, size_t count)
{
	char *at = bytes;
	for (size_t i = 0; i < count; i++) {
		if (vm_copy(from_region, at, iov[i].iov_base, iov[i].iov_len) < iov[i].iov_len)
			return -EFAULT;
		at += iov[i].iov_len;
	}
	return 0;
}

/* An eager message has its bytes with it; another's are moved to their place. 1: which is under way. */
static int write_region(struct served *s)
{
	struct iovec iov[HAUL_REGION_IOVECS];
	struct haul_req *r;
	size_t count = part(s, iov);
	s->state = WRITING;
	if (s->msg->eager) {
		stats_copied(s->patron->peer, s->ask.len);
		return copy(false, s->msg->payload + WIRE_ASK_SIZE, iov, count);
	}
	int rc = taken_read_start(s->msg, WIRE_ASK_SIZE, iov, count, -1, &r);
	if (rc != 0)
		return rc;
	follow(s, r);
	return 1;
}

static int answer(struct served *s)
{
	struct iovec iov[HAUL_REGION_IOVECS];
	struct haul_peer *p = s->patron->peer;
	struct haul_req *r;
	size_t count = part(s, iov);
	s->state = ANSWERING;
	if (s->ask.len > 0 && s->ask.len <= COPIED) {
		if ((s->copy = malloc(s->ask.len)) == NULL)
			return -ENOMEM;
		if (copy(true, s->copy, iov, count) != 0)
			return -EFAULT;
		stats_copied(p, s->ask.len);
		iov[0] = (struct iovec){ .iov_base = s->copy, .iov_len = s->ask.len };
		count = 1;
	}
	int rc = send_start(p, s->ask.answer, WIRE_CHANNEL_REGIONS + 1, iov, count, 0, &r);
	if (rc != 0)
		return rc;
	follow(s, r);
	return 1;
}

/* The ask is there, and says this. 1: under way; 0: done. */
static int carry_out(struct served *s)
{
	struct rma *m = s->patron->rma;
	bool put = s->msg->tag == WIRE_ASK_PUT;
	if (!ask_decode(&s->ask, s->bytes, s->msg->tag, s->msg->len))
		return -EINVAL;
	int rc = region_find(m, &s->ask.handle, &s->region);
	if (rc != 0)
		return rc;
	TAILQ_INSERT_TAIL(&s->region->serving, s, entry);
	rc = handle_allows(&s->ask.handle, put ? HAUL_WRITE : HAUL_READ, s->ask.offset, s->ask.len);
	if (rc != 0 || (put && s->ask.len == 0))
		return rc;
	return put ? write_region(s) : answer(s);
}

static void go_on(struct served *s)
{
	int rc = s->error;
	if (rc == 0 && s->state == HEAD)
		rc = carry_out(s);
	else if (rc != 0 && s->ending)
		rc = -ESTALE;
	if (rc <= 0)
		end(s, rc);
}

/* Its turn has come: first the ask itself. */
void served_start(struct served *s)
{
	struct iovec head = { .iov_base = s->bytes, .iov_len = sizeof(s->bytes) };
	struct haul_req *r;
	s->patron->active++;
	s->state = HEAD;
	s->error = s->msg->len < sizeof(s->bytes) ? -EINVAL : 0;
	if (s->error == 0 && s->msg->eager) {
		memcpy(s->bytes, s->msg->payload, sizeof(s->bytes));
	} else if (s->error == 0 && (s->error = taken_read_start(s->msg, 0, &head, 1, INT_MAX, &r)) == 0) {
		follow(s, r); /* as one with a limit: nobody is granted these bytes */
		return;
	}
	/* Its turn is later, so that a long queue of them is no recursion. */
	TAILQ_INSERT_TAIL(&s->patron->rma->served_due, s, turn);
	engine_due(&s->patron->rma->haul->engine);
}

/* Those that are due now: what is made due by that has its turn in the next round. */
void serve_due(struct rma *m)
{
	struct served_list now;
	struct served *s;
	TAILQ_INIT(&now);
	TAILQ_CONCAT(&now, &m->served_due, turn);
	while ((s = TAILQ_FIRST(&now)) != NULL) {
		TAILQ_REMOVE(&now, s, turn);
		go_on(s);
	}
}

void serve_end(struct haul_region *r)
{
	struct served *s, *next;
	TAILQ_FOREACH_SAFE (s, &r->serving, entry, next) {
		s->ending = true;
		if (s->req != NULL)
			request_abort(s->req, -ECANCELED);
		if (s->req != NULL)
			request_force(s->req, -ECANCELED);
	}
	serve_due(r->rma);
}

void serve_drop(struct haul_region *r)
{
	struct served *s;
	while ((s = TAILQ_FIRST(&r->serving)) != NULL) {
		TAILQ_REMOVE(&r->serving, s, entry);
		s->region = NULL;
	}
}
