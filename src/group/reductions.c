/* SPDX-License-Identifier: BSD-3-Clause */
/* The public collectives that reduce: their arguments are checked here, the steps are written by the algorithms. */
#include <errno.h>
#include <stdint.h>

#include "group/algorithms.h"
#include "group/collective.h"
#include "group/operator.h"
#include "os/reason.h"

/* A vector of elements that are reduced. */
struct vector {
	const void *from;
	void *into;
	size_t count;  /* that this member contributes */
	bool results;  /* into is used here, */
	size_t result; /* and gets so many */
};

static bool overlap(const void *a, size_t a_len, const void *b, size_t b_len)
{
	uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;
	return a_len > 0 && b_len > 0 && x < y + b_len && y < x + a_len;
}

static int check(const struct reduction_op *op, const struct vector *v)
{
	size_t len;
	bool in_place = v->from == HAUL_IN_PLACE;
	if (__builtin_mul_overflow(v->count, op->size, &len) || len > PTRDIFF_MAX)
		return reason(-EINVAL, "%zu elements of %zu bytes", v->count, op->size);
	if ((v->from == NULL && len > 0) ||
	    (v->into == NULL && ((in_place && len > 0) || (v->results && v->result > 0))))
		return reason(-EINVAL, "no buffer, but a count of %zu", v->count);
	if ((in_place && !v->results) || (v->into == HAUL_IN_PLACE && v->results))
		return reason(-EINVAL, "in place where there is no result");
	if (!in_place && v->results && overlap(v->from, len, v->into, v->result * op->size))
		return reason(-EINVAL, "buffers that overlap");
	return 0;
}

/* What all must have alike, in a word. */
static uint64_t kind_of(const struct haul_operator *op, int root)
{
	return (uint64_t)op->operation << 48 | (uint64_t)op->type << 32 | (uint32_t)root;
}

/* Enters, checks and begins. */
static int begin(struct haul_group *g, enum collective what, const struct haul_operator *op, int root,
    const struct vector *v, const struct call *c, struct run **out)
{
	struct reduction_op o;
	int rc = collective_enter(g, c);
	if (rc != 0)
		return rc;
	rc = op == NULL ? reason(-EINVAL, "no operator") : operator_init(&o, op);
	if (rc == 0)
		rc = group_check_rank(g, root);
	if (rc == 0)
		rc = check(&o, v);
	struct run *run = rc == 0 ? collective_begin(g, what, kind_of(op, root), v->count * o.size) : NULL;
	if (run == NULL)
		return collective_refuse(g, rc != 0 ? rc : -ENOMEM);
	run->schedule.op = o;
	*out = run;
	return 0;
}

static int reduce(struct haul_group *g, int root, const struct haul_operator *op, const void *from,
    void *into, size_t count, struct call c)
{
	struct vector v = { from, into, count, root == haul_group_rank(g), count };
	struct run *run;
	int rc = begin(g, COLLECTIVE_REDUCE, op, root, &v, &c, &run);
	if (rc != 0)
		return rc;
	reduce_schedule(&run->schedule, &g->tuning, root, from, into, count);
	return collective_go(run, &c);
}

static int allreduce(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    size_t count, struct call c)
{
	struct vector v = { from, into, count, true, count };
	struct run *run;
	int rc = begin(g, COLLECTIVE_ALLREDUCE, op, 0, &v, &c, &run);
	if (rc != 0)
		return rc;
	allreduce_schedule(&run->schedule, &g->tuning, from, into, count);
	return collective_go(run, &c);
}

static int reduce_scatter(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    const size_t *counts, struct call c)
{
	struct vector v = { from, into, 0, true, 0 };
	struct run *run;
	int size = haul_group_size(g);
	if (size < 0)
		return size;
	if (counts == NULL)
		return reason(-EINVAL, "no counts");
	for (int i = 0; i < size; i++)
		if (__builtin_add_overflow(v.count, counts[i], &v.count))
			return reason(-EINVAL, "counts that are too large");
	v.result = counts[haul_group_rank(g)];
	int rc = begin(g, COLLECTIVE_REDUCE_SCATTER, op, 0, &v, &c, &run);
	if (rc != 0)
		return rc;
	reduce_scatter_schedule(&run->schedule, &g->tuning, from, into, counts);
	return collective_go(run, &c);
}

static int scan(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    size_t count, bool exclusive, struct call c)
{
	struct vector v = { from, into, count, !exclusive || from == HAUL_IN_PLACE || haul_group_rank(g) != 0,
		count };
	struct run *run;
	int rc = begin(g, exclusive ? COLLECTIVE_EXSCAN : COLLECTIVE_SCAN, op, 0, &v, &c, &run);
	if (rc != 0)
		return rc;
	scan_schedule(&run->schedule, from, into, count, exclusive);
	return collective_go(run, &c);
}

/* ---- public ---- */

int haul_reduce(struct haul_group *g, int root, const struct haul_operator *op, const void *from, void *into,
    size_t count, int timeout_ms)
{
	return reduce(g, root, op, from, into, count, call_waiting(timeout_ms));
}

int haul_ireduce(struct haul_group *g, int root, const struct haul_operator *op, const void *from, void *into,
    size_t count, struct haul_req **out)
{
	return reduce(g, root, op, from, into, count, call_request(out));
}

int haul_allreduce(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    size_t count, int timeout_ms)
{
	return allreduce(g, op, from, into, count, call_waiting(timeout_ms));
}

int haul_iallreduce(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    size_t count, struct haul_req **out)
{
	return allreduce(g, op, from, into, count, call_request(out));
}

int haul_reduce_scatter(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    const size_t *counts, int timeout_ms)
{
	return reduce_scatter(g, op, from, into, counts, call_waiting(timeout_ms));
}

int haul_ireduce_scatter(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    const size_t *counts, struct haul_req **out)
{
	return reduce_scatter(g, op, from, into, counts, call_request(out));
}

int haul_scan(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    size_t count, int timeout_ms)
{
	return scan(g, op, from, into, count, false, call_waiting(timeout_ms));
}

int haul_iscan(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    size_t count, struct haul_req **out)
{
	return scan(g, op, from, into, count, false, call_request(out));
}

int haul_exscan(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    size_t count, int timeout_ms)
{
	return scan(g, op, from, into, count, true, call_waiting(timeout_ms));
}

int haul_iexscan(struct haul_group *g, const struct haul_operator *op, const void *from, void *into,
    size_t count, struct haul_req **out)
{
	return scan(g, op, from, into, count, true, call_request(out));
}
