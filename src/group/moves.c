/* SPDX-License-Identifier: BSD-3-Clause */
/* The public collectives that move data: their arguments are checked here, the steps are written by the algorithms. */
#include <errno.h>
#include <stdint.h>

#include "group/algorithms.h"
#include "group/collective.h"
#include "os/reason.h"

/* ---- arguments ---- */

/* Bytes from the first to the last of all blocks; SIZE_MAX if they make no sense. */
static size_t span_of(const struct haul_group *g, const struct blocks *b)
{
	size_t span = 0;
	for (int i = 0; i < g->size; i++) {
		size_t end;
		if (b->lens == NULL && b->len > PTRDIFF_MAX / (size_t)g->size)
			return SIZE_MAX;
		if (__builtin_add_overflow(block_offset(b, i), block_len(b, i), &end) || end > PTRDIFF_MAX)
			return SIZE_MAX;
		if (block_len(b, i) > 0 && end > span)
			span = end;
	}
	return span;
}

static bool meet(uintptr_t a, size_t a_len, uintptr_t b, size_t b_len)
{
	return a_len > 0 && b_len > 0 && a < b + b_len && b < a + a_len;
}

/* Most lists rise, which is seen in one go. */
static bool blocks_overlap(const struct haul_group *g, const struct blocks *b)
{
	size_t end = 0;
	int i;
	for (i = 0; i < g->size && block_offset(b, i) >= end; i++)
		end = block_offset(b, i) + block_len(b, i);
	if (i == g->size || b->lens == NULL)
		return false;
	for (i = 0; i < g->size; i++)
		for (int k = 0; k < i; k++)
			if (meet(block_offset(b, i), block_len(b, i), block_offset(b, k), block_len(b, k)))
				return true;
	return false;
}

static int check_buffer(const void *buf, size_t len)
{
	if (buf == NULL && len > 0)
		return reason(-EINVAL, "no buffer, but a length of %zu", len);
	if (buf == HAUL_IN_PLACE)
		return reason(-EINVAL, "in place where there is no other place");
	return len > PTRDIFF_MAX ? reason(-EINVAL, "a length of %zu", len) : 0;
}

static int check_blocks(const struct haul_group *g, const void *buf, const struct blocks *b, bool written)
{
	size_t span = span_of(g, b);
	if ((b->lens == NULL) != (b->offsets == NULL))
		return reason(-EINVAL, "lengths without offsets, or offsets without lengths");
	if (span == SIZE_MAX)
		return reason(-EINVAL, "lengths that are too large");
	if (written && blocks_overlap(g, b))
		return reason(-EINVAL, "blocks that overlap");
	return check_buffer(buf, span);
}

static int check_apart(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return meet((uintptr_t)a, a_len, (uintptr_t)b, b_len) ? reason(-EINVAL, "buffers that overlap") : 0;
}

/* ---- one to all, all to one ---- */

static int barrier(struct haul_group *g, struct call c)
{
	int rc = collective_enter(g, &c);
	if (rc != 0)
		return rc;
	struct run *run = collective_begin(g, COLLECTIVE_BARRIER, 0, 0);
	if (run == NULL)
		return collective_refuse(g, -ENOMEM);
	barrier_schedule(&run->schedule, &g->tuning);
	return collective_go(run, &c);
}

static int bcast(struct haul_group *g, int root, void *buf, size_t len, struct call c)
{
	int rc = collective_enter(g, &c);
	if (rc != 0)
		return rc;
	if ((rc = group_check_rank(g, root)) != 0 || (rc = check_buffer(buf, len)) != 0)
		return collective_refuse(g, rc);
	struct run *run = collective_begin(g, COLLECTIVE_BCAST, (uint64_t)root, len);
	if (run == NULL)
		return collective_refuse(g, -ENOMEM);
	bcast_schedule(&run->schedule, &g->tuning, root, buf, len);
	return collective_go(run, &c);
}

/* Where all blocks are of one length every member has that as an argument. */
static uint64_t length_of(const struct blocks *b)
{
	return b->lens == NULL ? b->len : UINT64_MAX;
}

static int gather(struct haul_group *g, int root, const void *from, size_t len, void *into,
    const struct blocks *b, bool varying, struct call c)
{
	int rc = collective_enter(g, &c);
	if (rc != 0)
		return rc;
	bool mine = root == g->rank, in_place = mine && from == HAUL_IN_PLACE;
	rc = group_check_rank(g, root);
	if (rc == 0 && !in_place)
		rc = check_buffer(from, len);
	if (rc == 0 && mine && varying && b->lens == NULL)
		rc = reason(-EINVAL, "no lengths at the root");
	if (rc == 0 && mine)
		rc = check_blocks(g, into, b, true);
	if (rc == 0 && mine && !in_place && len != block_len(b, root))
		rc = reason(-EINVAL, "the root's own block has another length in the result");
	if (rc == 0 && mine && !in_place)
		rc = check_apart(from, len, into, span_of(g, b));
	struct run *run = rc == 0
	    ? collective_begin(g, COLLECTIVE_GATHER, (uint64_t)root, varying ? UINT64_MAX : len)
	    : NULL;
	if (run == NULL)
		return collective_refuse(g, rc != 0 ? rc : -ENOMEM);
	gather_schedule(&run->schedule, &g->tuning, root, from, len, into, mine || !varying ? b : NULL);
	return collective_go(run, &c);
}

static int scatter(struct haul_group *g, int root, const void *from, const struct blocks *b, bool varying,
    void *into, size_t len, struct call c)
{
	int rc = collective_enter(g, &c);
	if (rc != 0)
		return rc;
	bool mine = root == g->rank, in_place = mine && into == HAUL_IN_PLACE;
	rc = group_check_rank(g, root);
	if (rc == 0 && !in_place)
		rc = check_buffer(into, len);
	if (rc == 0 && mine && varying && b->lens == NULL)
		rc = reason(-EINVAL, "no lengths at the root");
	if (rc == 0 && mine)
		rc = check_blocks(g, from, b, false);
	if (rc == 0 && mine && !in_place && len != block_len(b, root))
		rc = reason(-EINVAL, "the root's own block has another length in what it sends");
	if (rc == 0 && mine && !in_place)
		rc = check_apart(into, len, from, span_of(g, b));
	struct run *run = rc == 0
	    ? collective_begin(g, COLLECTIVE_SCATTER, (uint64_t)root, varying ? UINT64_MAX : len)
	    : NULL;
	if (run == NULL)
		return collective_refuse(g, rc != 0 ? rc : -ENOMEM);
	scatter_schedule(&run->schedule, &g->tuning, root, from, mine || !varying ? b : NULL, into, len);
	return collective_go(run, &c);
}

/* ---- all to all ---- */

static int allgather(struct haul_group *g, const void *from, size_t len, void *into, const struct blocks *b,
    struct call c)
{
	int rc = collective_enter(g, &c);
	if (rc != 0)
		return rc;
	bool in_place = from == HAUL_IN_PLACE;
	rc = check_blocks(g, into, b, true);
	if (rc == 0 && !in_place)
		rc = check_buffer(from, len);
	if (rc == 0 && !in_place && len != block_len(b, g->rank))
		rc = reason(-EINVAL, "the own block has another length in the result");
	if (rc == 0 && !in_place)
		rc = check_apart(from, len, into, span_of(g, b));
	struct run *run = rc == 0 ? collective_begin(g, COLLECTIVE_ALLGATHER, 0, length_of(b)) : NULL;
	if (run == NULL)
		return collective_refuse(g, rc != 0 ? rc : -ENOMEM);
	allgather_schedule(&run->schedule, &g->tuning, from, into, b);
	return collective_go(run, &c);
}

static int alltoall(struct haul_group *g, const void *from, const struct blocks *from_blocks, void *into,
    const struct blocks *into_blocks, struct call c)
{
	int rc = collective_enter(g, &c);
	if (rc != 0)
		return rc;
	bool in_place = from == HAUL_IN_PLACE;
	rc = check_blocks(g, into, into_blocks, true);
	if (rc == 0 && !in_place)
		rc = check_blocks(g, from, from_blocks, false);
	if (rc == 0 && !in_place && block_len(from_blocks, g->rank) != block_len(into_blocks, g->rank))
		rc = reason(-EINVAL, "the block to oneself has two lengths");
	if (rc == 0 && !in_place)
		rc = check_apart(from, span_of(g, from_blocks), into, span_of(g, into_blocks));
	struct run *run =
	    rc == 0 ? collective_begin(g, COLLECTIVE_ALLTOALL, 0, length_of(into_blocks)) : NULL;
	if (run == NULL)
		return collective_refuse(g, rc != 0 ? rc : -ENOMEM);
	alltoall_schedule(&run->schedule, &g->tuning, from, from_blocks, into, into_blocks);
	return collective_go(run, &c);
}

/* ---- public ---- */

int haul_barrier(struct haul_group *g, int timeout_ms)
{
	return barrier(g, call_waiting(timeout_ms));
}

int haul_ibarrier(struct haul_group *g, struct haul_req **out)
{
	return barrier(g, call_request(out));
}

int haul_bcast(struct haul_group *g, int root, void *buf, size_t len, int timeout_ms)
{
	return bcast(g, root, buf, len, call_waiting(timeout_ms));
}

int haul_ibcast(struct haul_group *g, int root, void *buf, size_t len, struct haul_req **out)
{
	return bcast(g, root, buf, len, call_request(out));
}

int haul_gather(struct haul_group *g, int root, const void *from, size_t len, void *into, int timeout_ms)
{
	return gather(g, root, from, len, into, &(struct blocks){ .len = len }, false,
	    call_waiting(timeout_ms));
}

int haul_igather(struct haul_group *g, int root, const void *from, size_t len, void *into,
    struct haul_req **out)
{
	return gather(g, root, from, len, into, &(struct blocks){ .len = len }, false, call_request(out));
}

int haul_gatherv(struct haul_group *g, int root, const void *from, size_t len, void *into, const size_t *lens,
    const size_t *offsets, int timeout_ms)
{
	return gather(g, root, from, len, into, &(struct blocks){ .lens = lens, .offsets = offsets }, true,
	    call_waiting(timeout_ms));
}

int haul_igatherv(struct haul_group *g, int root, const void *from, size_t len, void *into,
    const size_t *lens, const size_t *offsets, struct haul_req **out)
{
	return gather(g, root, from, len, into, &(struct blocks){ .lens = lens, .offsets = offsets }, true,
	    call_request(out));
}

int haul_scatter(struct haul_group *g, int root, const void *from, void *into, size_t len, int timeout_ms)
{
	return scatter(g, root, from, &(struct blocks){ .len = len }, false, into, len,
	    call_waiting(timeout_ms));
}

int haul_iscatter(struct haul_group *g, int root, const void *from, void *into, size_t len,
    struct haul_req **out)
{
	return scatter(g, root, from, &(struct blocks){ .len = len }, false, into, len, call_request(out));
}

int haul_scatterv(struct haul_group *g, int root, const void *from, const size_t *lens, const size_t *offsets,
    void *into, size_t len, int timeout_ms)
{
	return scatter(g, root, from, &(struct blocks){ .lens = lens, .offsets = offsets }, true, into, len,
	    call_waiting(timeout_ms));
}

int haul_iscatterv(struct haul_group *g, int root, const void *from, const size_t *lens,
    const size_t *offsets, void *into, size_t len, struct haul_req **out)
{
	return scatter(g, root, from, &(struct blocks){ .lens = lens, .offsets = offsets }, true, into, len,
	    call_request(out));
}

int haul_allgather(struct haul_group *g, const void *from, size_t len, void *into, int timeout_ms)
{
	return allgather(g, from, len, into, &(struct blocks){ .len = len }, call_waiting(timeout_ms));
}

int haul_iallgather(struct haul_group *g, const void *from, size_t len, void *into, struct haul_req **out)
{
	return allgather(g, from, len, into, &(struct blocks){ .len = len }, call_request(out));
}

static int check_lists(const void *lens, const void *offsets)
{
	return lens != NULL && offsets != NULL ? 0 : reason(-EINVAL, "no lengths, or no offsets");
}

int haul_allgatherv(struct haul_group *g, const void *from, size_t len, void *into, const size_t *lens,
    const size_t *offsets, int timeout_ms)
{
	int rc = check_lists(lens, offsets);
	return rc != 0 ? rc
	               : allgather(g, from, len, into, &(struct blocks){ .lens = lens, .offsets = offsets },
	                     call_waiting(timeout_ms));
}

int haul_iallgatherv(struct haul_group *g, const void *from, size_t len, void *into, const size_t *lens,
    const size_t *offsets, struct haul_req **out)
{
	int rc = check_lists(lens, offsets);
	return rc != 0 ? rc
	               : allgather(g, from, len, into, &(struct blocks){ .lens = lens, .offsets = offsets },
	                     call_request(out));
}

int haul_alltoall(struct haul_group *g, const void *from, void *into, size_t len, int timeout_ms)
{
	struct blocks b = { .len = len };
	return alltoall(g, from, &b, into, &b, call_waiting(timeout_ms));
}

int haul_ialltoall(struct haul_group *g, const void *from, void *into, size_t len, struct haul_req **out)
{
	struct blocks b = { .len = len };
	return alltoall(g, from, &b, into, &b, call_request(out));
}

static int alltoallv(struct haul_group *g, const void *from, const size_t *from_lens,
    const size_t *from_offsets, void *into, const size_t *into_lens, const size_t *into_offsets,
    struct call c)
{
	struct blocks there = { .lens = into_lens, .offsets = into_offsets };
	struct blocks here = { .lens = from_lens, .offsets = from_offsets };
	int rc = check_lists(into_lens, into_offsets);
	if (rc == 0 && from != HAUL_IN_PLACE)
		rc = check_lists(from_lens, from_offsets);
	return rc != 0 ? rc : alltoall(g, from, from != HAUL_IN_PLACE ? &here : &there, into, &there, c);
}

int haul_alltoallv(struct haul_group *g, const void *from, const size_t *from_lens,
    const size_t *from_offsets, void *into, const size_t *into_lens, const size_t *into_offsets,
    int timeout_ms)
{
	return alltoallv(g, from, from_lens, from_offsets, into, into_lens, into_offsets,
	    call_waiting(timeout_ms));
}

int haul_ialltoallv(struct haul_group *g, const void *from, const size_t *from_lens,
    const size_t *from_offsets, void *into, const size_t *into_lens, const size_t *into_offsets,
    struct haul_req **out)
{
	return alltoallv(g, from, from_lens, from_offsets, into, into_lens, into_offsets, call_request(out));
}
