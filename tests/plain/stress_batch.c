/* SPDX-License-Identifier: BSD-3-Clause */
/* Batches: several sends and receives at once, waited for, told of, or neither. */
#include <errno.h>
#include <string.h>

#include "stress_lane.h"

enum { BATCH = 6 };

union half {
	struct sending sending;
	struct wanting wanting;
};

static bool fill_op(struct lane *l, struct haul_op *op, union half *half)
{
	struct haul_match m;
	if (chance(l, 8))
		return true; /* HAUL_OP_NONE */
	if (chance(l, 2)) {
		if (!job_room(l, JOB_SEND) || !sending_begin(l, &half->sending, random_flags(l)))
			return false;
		const struct sending *s = &half->sending;
		*op = (struct haul_op){ .kind = HAUL_OP_SEND,
			.flags = s->flags,
			.peer = l->node->peers[s->to],
			.tag = s->plan.tag,
			.iov = s->buffer->pieces,
			.count = s->buffer->count };
		return true;
	}
	size_t len = random_match(l, &m);
	if (!job_room(l, JOB_RECV) || !wanting_begin(l, &half->wanting, WANT_RECV, &m, len))
		return false;
	*op = (struct haul_op){ .kind = HAUL_OP_RECV,
		.match = m,
		.iov = half->wanting.buffer->pieces,
		.count = half->wanting.buffer->count };
	return true;
}

static void end_op(struct lane *l, struct haul_op *op, union half *half, bool waited)
{
	if (op->kind == HAUL_OP_SEND) {
		int error = op->status.error;
		if (error == -EMSGSIZE && too_long_to_copy(l, &half->sending))
			error = -EAGAIN;
		sending_end(l, &half->sending, error, (op->status.flags & HAUL_STATUS_UNKNOWN) != 0, false,
		    waited);
	} else if (op->kind == HAUL_OP_RECV) {
		wanting_end(l, &half->wanting, &op->status, waited);
	}
}

void call_submit(struct lane *l)
{
	struct haul_op ops[BATCH] = { 0 };
	union half halves[BATCH];
	size_t count = 0, want = 1 + below(l, BATCH);
	bool waited = chance(l, 2);
	struct notice *n = waited || chance(l, 2) ? NULL : notice_new(l, NULL, NULL);
	while (count < want && JOBS - jobs_under_way(l) > BATCH && fill_op(l, &ops[count], &halves[count]))
		count++;
	for (size_t i = 0; waited && i < count; i++)
		if (ops[i].kind == HAUL_OP_RECV)
			wanting_ask(l, &halves[i].wanting);
	int rc = haul_submit(l->node->haul, ops, count, waited ? 1 + (int)below(l, SOON_MS) : 0,
	    n != NULL ? &(struct haul_notify){ .call = notice_call, .arg = n } : NULL);
	if (rc != 0 && rc != -EIO)
		fail("haul_submit: %s", strerror(-rc));
	if (n != NULL)
		n->owed = true;
	for (size_t i = 0; i < count; i++) {
		if (rc == 0 && ops[i].status.error != 0)
			fail("haul_submit() returned 0, but operation %zu ended with %d", i,
			    ops[i].status.error);
		if (ops[i].req == NULL) {
			end_op(l, &ops[i], &halves[i], waited);
			continue;
		}
		if (waited)
			fail("haul_submit() waited, but left a request");
		struct job *j = job_new(l, ops[i].kind == HAUL_OP_SEND ? JOB_SEND : JOB_RECV, ops[i].req);
		j->batch = n;
		if (j->kind == JOB_SEND)
			j->sending = halves[i].sending;
		else
			j->wanting = halves[i].wanting;
	}
}
