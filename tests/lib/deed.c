/* SPDX-License-Identifier: BSD-3-Clause */
/* Deeds. See deed.h. */
#include "deed.h"

#include <stdlib.h>
#include <string.h>

#include "must.h"
#include "pattern.h"

enum { BEHIND = 64, MOST = 64 };

struct deed {
	uint64_t id;
	struct haul_group *g;
	enum deed_kind kind;
	int n, me, root;
	bool varying, in_place;
	size_t len; /* of a block, or a vector */
	struct haul_operator op;
	size_t size;          /* of an element */
	size_t lens[2][MOST]; /* of blocks that go, that come; of reductions the latter, in elements */
	size_t offsets[2][MOST];
	unsigned char *from, *into, *from_before, *into_after; /* into_after: what is to be there */
	size_t from_len, into_len;
};

/* ---- chance ---- */

uint64_t deed_mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* The same at every member. */
static size_t draw(const struct deed *d, unsigned what, int a, int b, size_t bound)
{
	return deed_mix(deed_mix(d->id * 64 + what) + (uint64_t)a * 1000 + (uint64_t)b) % bound;
}

enum { KIND, ROOT, VARYING, PLACE, LEN, LENS, GAP, OPERATION, TYPE, BLOCKING };

/* Those beside which something else pays, and some between. */
static size_t any_len(const struct deed *d)
{
	static const size_t switches[] = { 256, 2048, 4096, 65536, 131072 };
	size_t i = draw(d, LEN, 0, 0, 10);
	if (i < 5)
		return draw(d, LEN, 1, 0, 40);
	if (i == 9)
		return draw(d, LEN, 1, 0, 300000);
	return switches[i % 5] + draw(d, LEN, 1, 0, 3) * 8 - 8;
}

/* ---- elements ---- */

static const size_t sizes[] = { [HAUL_INT8] = 1,
	[HAUL_UINT8] = 1,
	[HAUL_INT16] = 2,
	[HAUL_UINT16] = 2,
	[HAUL_INT32] = 4,
	[HAUL_UINT32] = 4,
	[HAUL_INT64] = 8,
	[HAUL_UINT64] = 8,
	[HAUL_FLOAT] = 4,
	[HAUL_DOUBLE] = 8 };

/* A value of any type: what is whole as two's complement, the rest as a double. */
struct value {
	uint64_t bits;
	double real;
};

static bool is_real(int type)
{
	return type == HAUL_FLOAT || type == HAUL_DOUBLE;
}

static bool is_signed(int type)
{
	return type <= HAUL_INT64 && type % 2 == 1;
}

static struct value load(int type, const void *at)
{
	struct value v = { 0 };
	float f;
	if (type == HAUL_FLOAT) {
		memcpy(&f, at, sizeof(f));
		v.real = (double)f;
	} else if (type == HAUL_DOUBLE) {
		memcpy(&v.real, at, sizeof(v.real));
	} else {
		unsigned unused = 64 - 8 * (unsigned)sizes[type];
		memcpy(&v.bits, at, sizes[type]);
		if (is_signed(type))
			v.bits = (uint64_t)((int64_t)(v.bits << unused) >> unused);
	}
	return v;
}

static void store(int type, void *at, struct value v)
{
	float f = (float)v.real;
	if (type == HAUL_FLOAT)
		memcpy(at, &f, sizeof(f));
	else if (type == HAUL_DOUBLE)
		memcpy(at, &v.real, sizeof(v.real));
	else
		memcpy(at, &v.bits, sizes[type]);
}

static bool less(int type, struct value x, struct value y)
{
	if (is_real(type))
		return x.real < y.real;
	return is_signed(type) ? (int64_t)x.bits < (int64_t)y.bits : x.bits < y.bits;
}

static bool truth(int type, struct value x)
{
	return is_real(type) ? x.real != 0 : x.bits != 0;
}

static struct value of_truth(bool x)
{
	return (struct value){ .bits = x, .real = x };
}

static struct value join(const struct haul_operator *op, struct value x, struct value y)
{
	int t = op->type;
	switch (op->operation) {
	case HAUL_SUM:
		return (struct value){ x.bits + y.bits, x.real + y.real };
	case HAUL_PROD:
		return (struct value){ x.bits * y.bits, x.real * y.real };
	case HAUL_MIN:
		return less(t, x, y) ? x : y;
	case HAUL_MAX:
		return less(t, x, y) ? y : x;
	case HAUL_LAND:
		return of_truth(truth(t, x) && truth(t, y));
	case HAUL_LOR:
		return of_truth(truth(t, x) || truth(t, y));
	case HAUL_LXOR:
		return of_truth(truth(t, x) != truth(t, y));
	case HAUL_BAND:
		return (struct value){ .bits = x.bits & y.bits };
	case HAUL_BOR:
		return (struct value){ .bits = x.bits | y.bits };
	default:
		return (struct value){ .bits = x.bits ^ y.bits };
	}
}

/* x -> a x + b, one after the other: which is not the same the other way round. */
struct affine {
	uint32_t a, b;
};

static void compose(void *arg, const void *left, void *right, size_t count)
{
	(void)arg;
	for (size_t i = 0; i < count; i++) {
		struct affine x, y;
		memcpy(&x, (const char *)left + i * sizeof(x), sizeof(x));
		memcpy(&y, (char *)right + i * sizeof(y), sizeof(y));
		y = (struct affine){ x.a * y.a, x.b * y.a + y.b };
		memcpy((char *)right + i * sizeof(y), &y, sizeof(y));
	}
}

static bool is_pair(const struct haul_operator *op)
{
	return op->operation == HAUL_MINLOC || op->operation == HAUL_MAXLOC;
}

/* Where the index of a pair is. */
static size_t index_at(const struct haul_operator *op)
{
	return sizes[op->type] > sizeof(int) ? sizes[op->type] : sizeof(int);
}

static void any_operator(struct deed *d)
{
	d->op.operation = 1 + (int)draw(d, OPERATION, 0, 0, HAUL_USER);
	d->op.type = 1 + (int)draw(d, TYPE, 0, 0, HAUL_DOUBLE);
	if (d->op.operation == HAUL_USER)
		d->op =
		    (struct haul_operator){ HAUL_USER, HAUL_BYTES, sizeof(struct affine), 1, compose, NULL };
	else if (d->op.operation >= HAUL_BAND && d->op.operation <= HAUL_BXOR && is_real(d->op.type))
		d->op.type -= 2;
	d->size = d->op.operation == HAUL_USER ? d->op.size : sizes[d->op.type];
	if (is_pair(&d->op))
		d->size = d->op.type == HAUL_DOUBLE || sizes[d->op.type] == 8 ? 16 : 8;
}

/* What a member gives as its nth element. Real ones are small and whole: then order makes no difference. */
static void element(const struct deed *d, int rank, size_t nth, unsigned char *at)
{
	uint64_t x = deed_mix(d->id ^ deed_mix((uint64_t)rank << 32 | nth));
	struct value v = { x, d->op.operation == HAUL_PROD ? (double)(1 + x % 2) : (double)(x % 7) - 3 };
	memset(at, 0, d->size);
	if (d->op.operation == HAUL_USER) {
		memcpy(at, &(struct affine){ (uint32_t)x | 1, (uint32_t)(x >> 32) }, sizeof(struct affine));
		return;
	}
	if (is_pair(&d->op)) {
		int where = (int)(x >> 40) % 50;
		v.bits = x % 4;
		memcpy(at + index_at(&d->op), &where, sizeof(where));
	}
	store(d->op.type, at, v);
}

static void join_elements(const struct deed *d, const unsigned char *x, unsigned char *y)
{
	if (d->op.operation == HAUL_USER) {
		compose(NULL, x, y, 1);
		return;
	}
	struct value a = load(d->op.type, x), b = load(d->op.type, y);
	if (!is_pair(&d->op)) {
		store(d->op.type, y, join(&d->op, a, b));
		return;
	}
	int i, k;
	memcpy(&i, x + index_at(&d->op), sizeof(i));
	memcpy(&k, y + index_at(&d->op), sizeof(k));
	bool better = d->op.operation == HAUL_MINLOC ? less(d->op.type, a, b) : less(d->op.type, b, a);
	bool worse = d->op.operation == HAUL_MINLOC ? less(d->op.type, b, a) : less(d->op.type, a, b);
	if (better || (!worse && i < k))
		memcpy(y, x, d->size);
}

/* Of ranks begin to end - 1, elements at to at + count - 1. */
static void reduced(const struct deed *d, int begin, int end, size_t at, size_t count, unsigned char *out)
{
	unsigned char next[16];
	for (size_t i = 0; i < count; i++) {
		unsigned char *sofar = out + i * d->size;
		element(d, begin, at + i, sofar);
		for (int rank = begin + 1; rank < end; rank++) {
			element(d, rank, at + i, next);
			join_elements(d, sofar, next);
			memcpy(sofar, next, d->size);
		}
	}
}

/* ---- buffers ---- */

static uint64_t seed_of(const struct deed *d, int from, int to)
{
	return deed_mix(d->id) << 16 | (uint64_t)from << 8 | (uint64_t)to;
}

static unsigned char *room(size_t len)
{
	unsigned char *p = malloc(len + BEHIND);
	must(p != NULL);
	memset(p, CANARY, len + BEHIND);
	return p;
}

static size_t block_between(const struct deed *d, int from, int to)
{
	if (!d->varying)
		return d->len;
	/* In place what goes and what comes have the same length. */
	int a = from < to ? from : to, b = from < to ? to : from;
	return draw(d, LENS, a, b, 4) == 0 ? 0 : draw(d, LENS, a, b, d->len + 1);
}

/* One block for each rank, with gaps between them where lengths vary, and then not in order either. */
static size_t lay_out(struct deed *d, int which)
{
	size_t end = 0;
	for (int k = 0; k < d->n; k++) {
		int i = d->varying ? d->n - 1 - k : k;
		d->offsets[which][i] = end + (d->varying ? draw(d, GAP, i, which, 20) : 0);
		end = d->offsets[which][i] + d->lens[which][i];
	}
	return end;
}

static void fill_block(struct deed *d, int which, unsigned char *buf, int i, int from, int to)
{
	pattern_fill(buf + d->offsets[which][i], d->lens[which][i], seed_of(d, from, to), 0);
}

static void both(struct deed *d, size_t from_len, size_t into_len)
{
	d->from_len = from_len;
	d->into_len = into_len;
	d->from = room(from_len);
	d->into = room(into_len);
	d->into_after = room(into_len);
}

static void prepare_moves(struct deed *d)
{
	bool mine = d->me == d->root;
	switch (d->kind) {
	case DEED_BCAST:
		both(d, 0, d->len);
		if (mine)
			pattern_fill(d->into, d->len, seed_of(d, d->root, 0), 0);
		pattern_fill(d->into_after, d->len, seed_of(d, d->root, 0), 0);
		break;
	case DEED_GATHER:
	case DEED_ALLGATHER:
		for (int i = 0; i < d->n; i++)
			d->lens[1][i] = block_between(d, i, 0);
		both(d, d->lens[1][d->me], lay_out(d, 1));
		pattern_fill(d->from, d->from_len, seed_of(d, d->me, 0), 0);
		if (d->in_place)
			fill_block(d, 1, d->into, d->me, d->me, 0);
		for (int i = 0; i < d->n && (d->kind == DEED_ALLGATHER || mine); i++)
			fill_block(d, 1, d->into_after, i, i, 0);
		break;
	case DEED_SCATTER:
		for (int i = 0; i < d->n; i++)
			d->lens[0][i] = block_between(d, 0, i);
		both(d, lay_out(d, 0), d->lens[0][d->me]);
		for (int i = 0; i < d->n; i++)
			fill_block(d, 0, d->from, i, 0, i);
		if (!d->in_place)
			pattern_fill(d->into_after, d->into_len, seed_of(d, 0, d->me), 0);
		break;
	default: /* DEED_ALLTOALL */
		for (int i = 0; i < d->n; i++) {
			d->lens[0][i] = block_between(d, d->me, i);
			d->lens[1][i] = block_between(d, i, d->me);
		}
		size_t from_len = lay_out(d, 0);
		both(d, from_len, lay_out(d, 1));
		for (int i = 0; i < d->n; i++) {
			fill_block(d, 0, d->from, i, d->me, i);
			if (d->in_place)
				fill_block(d, 1, d->into, i, d->me, i);
			fill_block(d, 1, d->into_after, i, i, d->me);
		}
		break;
	}
}

static void prepare_reductions(struct deed *d)
{
	size_t count = d->len / d->size, all = count, mine = count, at = 0;
	bool results = d->kind != DEED_REDUCE || d->me == d->root;
	int end = d->n;
	any_operator(d);
	count = all = mine = d->len / d->size;
	if (d->kind == DEED_REDUCE_SCATTER) {
		all = 0;
		for (int i = 0; i < d->n; i++) {
			d->lens[1][i] =
			    draw(d, LENS, i, 0, 3) == 0 ? 0 : count / (size_t)d->n + draw(d, LENS, i, 1, 3);
			at = i == d->me ? all : at;
			all += d->lens[1][i];
		}
		mine = d->lens[1][d->me];
	}
	if (d->kind == DEED_SCAN || d->kind == DEED_EXSCAN)
		end = d->kind == DEED_SCAN ? d->me + 1 : d->me;
	if (d->kind == DEED_EXSCAN && d->me == 0)
		results = false;
	both(d, all * d->size, all * d->size);
	for (size_t i = 0; i < all; i++)
		element(d, d->me, i, d->from + i * d->size);
	if (d->in_place)
		memcpy(d->into, d->from, d->from_len);
	memcpy(d->into_after, d->into, d->into_len + BEHIND);
	if (results)
		reduced(d, 0, end, at, mine, d->into_after);
}

static void note(const struct deed *d)
{
	must_note_case("rank %d of %d: deed %llu, kind %d, root %d, len %zu, size %zu, op %d of %d%s%s",
	    d->me, d->n, (unsigned long long)d->id, d->kind, d->root, d->len, d->size, d->op.operation,
	    d->op.type, d->varying ? ", varying" : "", d->in_place ? ", in place" : "");
}

struct deed *deed_new_of(enum deed_kind kind, uint64_t id, struct haul_group *g)
{
	struct deed *d = calloc(1, sizeof(*d));
	must(d != NULL);
	d->id = id;
	d->g = g;
	d->n = haul_group_size(g);
	d->me = haul_group_rank(g);
	d->kind = kind;
	d->root = (int)draw(d, ROOT, 0, 0, (size_t)d->n);
	d->varying = d->kind >= DEED_GATHER && d->kind <= DEED_ALLTOALL && draw(d, VARYING, 0, 0, 2) == 0;
	d->in_place = draw(d, PLACE, d->me, 0, 3) == 0;
	if ((d->kind == DEED_GATHER || d->kind == DEED_SCATTER || d->kind == DEED_REDUCE) && d->me != d->root)
		d->in_place = false;
	d->len = any_len(d);
	d->size = 1;
	if (d->kind >= DEED_REDUCE)
		prepare_reductions(d);
	else if (d->kind != DEED_BARRIER)
		prepare_moves(d);
	else
		both(d, 0, 0);
	note(d);
	d->from_before = room(d->from_len);
	memcpy(d->from_before, d->from, d->from_len + BEHIND);
	return d;
}

struct deed *deed_new(uint64_t id, struct haul_group *g)
{
	const struct deed d = { .id = id };
	return deed_new_of((enum deed_kind)draw(&d, KIND, 0, 0, DEED_KINDS), id, g);
}

/* ---- the call ---- */

static int do_it(struct deed *d, bool mine, void *from, int timeout_ms)
{
	size_t count = d->len / d->size, *fl = d->lens[0], *fo = d->offsets[0], *il = d->lens[1],
	       *io = d->offsets[1];
	switch (d->kind) {
	case DEED_BARRIER:
		return haul_barrier(d->g, timeout_ms);
	case DEED_BCAST:
		return haul_bcast(d->g, d->root, d->into, d->len, timeout_ms);
	case DEED_GATHER:
		return d->varying
		    ? haul_gatherv(d->g, d->root, from, il[d->me], mine ? d->into : NULL, mine ? il : NULL,
		          mine ? io : NULL, timeout_ms)
		    : haul_gather(d->g, d->root, from, d->len, mine ? d->into : NULL, timeout_ms);
	case DEED_SCATTER:
		return d->varying
		    ? haul_scatterv(d->g, d->root, mine ? d->from : NULL, mine ? fl : NULL, mine ? fo : NULL,
		          d->in_place ? HAUL_IN_PLACE : d->into, fl[d->me], timeout_ms)
		    : haul_scatter(d->g, d->root, mine ? d->from : NULL,
		          d->in_place ? HAUL_IN_PLACE : d->into, d->len, timeout_ms);
	case DEED_ALLGATHER:
		return d->varying ? haul_allgatherv(d->g, from, il[d->me], d->into, il, io, timeout_ms)
		                  : haul_allgather(d->g, from, d->len, d->into, timeout_ms);
	case DEED_ALLTOALL:
		return d->varying ? haul_alltoallv(d->g, from, fl, fo, d->into, il, io, timeout_ms)
		                  : haul_alltoall(d->g, from, d->into, d->len, timeout_ms);
	case DEED_REDUCE:
		return haul_reduce(d->g, d->root, &d->op, from, mine ? d->into : NULL, count, timeout_ms);
	case DEED_ALLREDUCE:
		return haul_allreduce(d->g, &d->op, from, d->into, count, timeout_ms);
	case DEED_REDUCE_SCATTER:
		return haul_reduce_scatter(d->g, &d->op, from, d->into, il, timeout_ms);
	case DEED_SCAN:
		return haul_scan(d->g, &d->op, from, d->into, count, timeout_ms);
	default:
		return haul_exscan(d->g, &d->op, from, d->into, count, timeout_ms);
	}
}

static int begin(struct deed *d, bool mine, void *from, struct haul_req **r)
{
	size_t count = d->len / d->size, *fl = d->lens[0], *fo = d->offsets[0], *il = d->lens[1],
	       *io = d->offsets[1];
	switch (d->kind) {
	case DEED_BARRIER:
		return haul_ibarrier(d->g, r);
	case DEED_BCAST:
		return haul_ibcast(d->g, d->root, d->into, d->len, r);
	case DEED_GATHER:
		return d->varying ? haul_igatherv(d->g, d->root, from, il[d->me], mine ? d->into : NULL,
		                        mine ? il : NULL, mine ? io : NULL, r)
		                  : haul_igather(d->g, d->root, from, d->len, mine ? d->into : NULL, r);
	case DEED_SCATTER:
		return d->varying ? haul_iscatterv(d->g, d->root, mine ? d->from : NULL, mine ? fl : NULL,
		                        mine ? fo : NULL, d->in_place ? HAUL_IN_PLACE : d->into, fl[d->me], r)
		                  : haul_iscatter(d->g, d->root, mine ? d->from : NULL,
		                        d->in_place ? HAUL_IN_PLACE : d->into, d->len, r);
	case DEED_ALLGATHER:
		return d->varying ? haul_iallgatherv(d->g, from, il[d->me], d->into, il, io, r)
		                  : haul_iallgather(d->g, from, d->len, d->into, r);
	case DEED_ALLTOALL:
		return d->varying ? haul_ialltoallv(d->g, from, fl, fo, d->into, il, io, r)
		                  : haul_ialltoall(d->g, from, d->into, d->len, r);
	case DEED_REDUCE:
		return haul_ireduce(d->g, d->root, &d->op, from, mine ? d->into : NULL, count, r);
	case DEED_ALLREDUCE:
		return haul_iallreduce(d->g, &d->op, from, d->into, count, r);
	case DEED_REDUCE_SCATTER:
		return haul_ireduce_scatter(d->g, &d->op, from, d->into, il, r);
	case DEED_SCAN:
		return haul_iscan(d->g, &d->op, from, d->into, count, r);
	default:
		return haul_iexscan(d->g, &d->op, from, d->into, count, r);
	}
}

int deed_do(struct deed *d, int timeout_ms)
{
	return do_it(d, d->me == d->root, d->in_place ? HAUL_IN_PLACE : d->from, timeout_ms);
}

bool deed_waits(const struct deed *d)
{
	return draw(d, BLOCKING, 0, 0, 2) == 0;
}

int deed_try(struct deed *d, struct haul_req **r)
{
	return begin(d, d->me == d->root, d->in_place ? HAUL_IN_PLACE : d->from, r);
}

struct haul_req *deed_begin(struct deed *d)
{
	struct haul_req *r;
	must_be(deed_try(d, &r), 0);
	return r;
}

static size_t first_difference(const unsigned char *x, const unsigned char *y, size_t len)
{
	size_t i = 0;
	while (i < len && x[i] == y[i])
		i++;
	return i;
}

void deed_drop(struct deed *d)
{
	note(d);
	must_be(first_difference(d->from, d->from_before, d->from_len + BEHIND), d->from_len + BEHIND);
	must_be(first_difference(d->into + d->into_len, d->into_after + d->into_len, BEHIND), BEHIND);
	free(d->from);
	free(d->into);
	free(d->from_before);
	free(d->into_after);
	free(d);
}

void deed_end(struct deed *d)
{
	note(d);
	must_be(first_difference(d->into, d->into_after, d->into_len), d->into_len);
	deed_drop(d);
}
