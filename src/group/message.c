/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages within a group: those of haul.h, on the group's channel, with the source's rank in the upper half of the
 * tag. So a receive names a member that has no connection yet, and matching needs to know nothing of groups.
 */
#include <errno.h>

#include "group/group.h"
#include "group/links.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "msg/send.h"
#include "os/reason.h"

static uint64_t tag_from(int rank, uint32_t tag)
{
	return (uint64_t)rank << 32 | tag;
}

/* What the floor below is to look for. */
static int translate(const struct haul_group *g, const struct haul_group_match *m, struct haul_match *out)
{
	*out = (struct haul_match){ .ignore = UINT64_MAX };
	if (m == NULL)
		return 0;
	if (m->from == HAUL_ANY_RANK) {
		out->tag = m->tag;
		out->ignore = UINT64_MAX << 32 | m->ignore;
		return 0;
	}
	out->tag = tag_from(m->from, m->tag);
	out->ignore = m->ignore;
	return group_check_rank(g, m->from);
}

/* Who will most likely end a wait for it. */
static struct haul_peer *hint(const struct haul_group *g, const struct haul_group_match *m)
{
	return m != NULL && m->from != HAUL_ANY_RANK ? g->mesh->members[group_world(g, m->from)].peer : NULL;
}

/* ---- sends ---- */

static int reach(struct haul_group *g, int to, int timeout_ms, struct haul_peer **p)
{
	int rc = group_check_rank(g, to);
	return rc != 0 ? rc : links_reach_within(g->mesh, group_world(g, to), timeout_ms, p);
}

int haul_group_send(struct haul_group *g, int to, uint32_t tag, const void *buf, size_t len, int timeout_ms)
{
	struct haul_peer *p;
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	int rc = group_enter_wait(g, timeout_ms);
	if (rc != 0)
		return rc;
	struct haul *h = g->haul;
	if ((rc = reach(g, to, timeout_ms, &p)) == 0)
		rc = send_blocking(p, tag_from(g->rank, tag), channel_of(g->number), &iov, 1, 0, timeout_ms);
	return context_leave(h, rc);
}

int haul_group_isend(struct haul_group *g, int to, uint32_t tag, const struct iovec *iov, size_t count,
    unsigned flags, struct haul_req **out)
{
	struct haul_peer *p;
	int rc = group_enter(g);
	if (rc != 0)
		return rc;
	struct haul *h = g->haul;
	if (out == NULL)
		rc = reason(-EINVAL, "no place for the request");
	else
		rc = reach(g, to, -1, &p);
	if (rc == 0)
		rc = send_start(p, tag_from(g->rank, tag), channel_of(g->number), iov, count, flags, out);
	if (rc == 0) {
		(*out)->status.tag = tag;
		(*out)->status.rank = to;
	}
	return context_leave(h, rc);
}

/* ---- receives ---- */

static ssize_t fail(struct haul_status *status, int error)
{
	if (status != NULL)
		*status = (struct haul_status){ .error = error };
	return error;
}

ssize_t haul_group_recv(struct haul_group *g, const struct haul_group_match *match, void *buf, size_t len,
    int timeout_ms, struct haul_status *status)
{
	struct haul_match m;
	struct haul_status own;
	struct haul_req *r;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	if (buf == NULL && len > 0)
		return fail(status, reason(-EINVAL, "no buffer, but a length of %zu", len));
	int rc = group_enter_wait(g, timeout_ms);
	if (rc != 0)
		return fail(status, rc);
	struct haul *h = g->haul;
	if ((rc = translate(g, match, &m)) == 0)
		rc = receive_start(h, &m, channel_of(g->number), &iov, 1, timeout_ms, &r);
	if (rc != 0)
		return fail(status, context_leave(h, rc));
	if (status == NULL)
		status = &own;
	rc = request_run(r, timeout_ms, hint(g, match), status);
	context_leave(h, rc);
	return rc != 0 ? rc : (ssize_t)status->got;
}

/* A request for what matches: for the bytes, or (take) the message itself. */
static int post(struct haul_group *g, const struct haul_group_match *match, bool take,
    const struct iovec *iov, size_t count, struct haul_req **out)
{
	struct haul_match m;
	int rc = group_enter(g);
	if (rc != 0)
		return rc;
	struct haul *h = g->haul;
	rc = out == NULL ? reason(-EINVAL, "no place for the request") : translate(g, match, &m);
	if (rc == 0)
		rc = take ? receive_post_take(h, &m, channel_of(g->number), out)
		          : receive_start(h, &m, channel_of(g->number), iov, count, -1, out);
	return context_leave(h, rc);
}

int haul_group_irecv(struct haul_group *g, const struct haul_group_match *match, const struct iovec *iov,
    size_t count, struct haul_req **out)
{
	return post(g, match, false, iov, count, out);
}

int haul_group_itake(struct haul_group *g, const struct haul_group_match *match, struct haul_req **out)
{
	return post(g, match, true, NULL, 0, out);
}

int haul_group_probe(struct haul_group *g, const struct haul_group_match *match, int timeout_ms,
    struct haul_status *status)
{
	struct haul_match m;
	if (status == NULL)
		return reason(-EINVAL, "no place for the status");
	int rc = group_enter_wait(g, timeout_ms);
	if (rc != 0)
		return (int)fail(status, rc);
	struct haul *h = g->haul;
	if ((rc = translate(g, match, &m)) == 0)
		rc = receive_probe(h, &m, channel_of(g->number), timeout_ms, status);
	else
		fail(status, rc);
	return context_leave(h, rc);
}

int haul_group_take(struct haul_group *g, const struct haul_group_match *match, int timeout_ms,
    struct haul_msg **out)
{
	struct haul_match m;
	struct haul_status status;
	struct haul_req *r;
	int rc = group_enter_wait(g, timeout_ms);
	if (rc != 0)
		return rc;
	struct haul *h = g->haul;
	rc = out == NULL ? reason(-EINVAL, "no place for the message") : translate(g, match, &m);
	if (rc == 0)
		rc = receive_post_take(h, &m, channel_of(g->number), &r);
	if (rc == 0 && (rc = request_run(r, timeout_ms, hint(g, match), &status)) == 0)
		*out = status.msg;
	return context_leave(h, rc);
}
