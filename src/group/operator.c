/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operators. See operator.h. There is a kernel for each operation and type. It takes its buffers a vector at a time,
 * by the compiler's own vectors: of a loop over elements, -O2 makes vectors only here and there. Integers are added
 * and multiplied in unsigned lanes, which wrap, and which are not promoted to int.
 *
 * Every kernel gives the same bits whichever operand is left, so that two members that exchange their parts agree.
 * What could differ is which of two zeros, or of two NaNs, comes out: see LEAST and ONE_NAN.
 */
#include "group/operator.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "os/reason.h"

/* Of a vector, in bytes: what any processor has. Longer ones, gcc takes apart badly. */
enum { VECTOR = 16 };

struct kernel {
	/* Of whole vectors, or pairs. */
	void (*run)(const unsigned char *left, unsigned char *right, size_t len);
	size_t size; /* of an element */
};

/* ---- Kernels over vectors: a and b are the operands, x and y their bits, and so is the result ---- */

/* Any alignment is allowed, hence memcpy. */
#define KERNEL(name, T, U, result) \
	static void name(const unsigned char *left, unsigned char *right, size_t len) \
	{ \
		typedef T values __attribute__((vector_size(VECTOR))); \
		typedef U bits __attribute__((vector_size(VECTOR))); \
		for (size_t at = 0; at < len; at += VECTOR) { \
			values a, b; \
			memcpy(&a, left + at, VECTOR); \
			memcpy(&b, right + at, VECTOR); \
			const bits x = (bits)a, y = (bits)b, z = (result); \
			(void)x, (void)y; \
			memcpy(right + at, &z, VECTOR); \
		} \
	}

/* A comparison sets all bits of a lane, or none. To be cast before it is combined: otherwise gcc 12 gives up
 * vectors. */
#define PICK(which, x, y) (((bits)(which) & (x)) | (~(bits)(which) & (y)))
#define IS(v) ((bits)((v) != 0))
#define ONE ((bits)((values){ 0 } + 1))

/* What is not a number becomes the NaN that has all bits set: which of two a sum takes over is up to the processor. */
#define ONE_NAN(v) ((bits)(v) | (bits)((v) != (v)))
#define NONE ((bits)(a != a) & (bits)(b != b))

/* A number is taken rather than none. Equal ones differ in nothing but the sign of zero, so that the bits of
 * both, or-ed, are the lesser's, and and-ed the greater's. */
#define LEAST (PICK((bits)(a < b) | (bits)(b != b), x, y) | ((bits)(a == b) & x) | NONE)
#define GREATEST ((PICK((bits)(a > b) | (bits)(b != b), x, y) & ((bits)(a != b) | x)) | NONE)

#define LOGICAL(type, T, U) \
	KERNEL(land_##type, T, U, IS(a) & IS(b) & ONE) \
	KERNEL(lor_##type, T, U, (IS(a) | IS(b)) & ONE) \
	KERNEL(lxor_##type, T, U, (IS(a) ^ IS(b)) & ONE)

#define INTEGERS(width, T, U) \
	KERNEL(sum_##width, U, U, (x + y)) \
	KERNEL(prod_##width, U, U, (x * y)) \
	KERNEL(min_int##width, T, U, PICK(a < b, x, y)) \
	KERNEL(max_int##width, T, U, PICK(a > b, x, y)) \
	KERNEL(min_uint##width, U, U, PICK(a < b, x, y)) \
	KERNEL(max_uint##width, U, U, PICK(a > b, x, y)) \
	KERNEL(band_##width, U, U, (x & y)) \
	KERNEL(bor_##width, U, U, (x | y)) \
	KERNEL(bxor_##width, U, U, (x ^ y)) \
	LOGICAL(width, U, U)

#define FLOATING(type, U) \
	KERNEL(sum_##type, type, U, ONE_NAN(a + b)) \
	KERNEL(prod_##type, type, U, ONE_NAN((a * b))) \
	KERNEL(min_##type, type, U, LEAST) \
	KERNEL(max_##type, type, U, GREATEST) \
	LOGICAL(type, type, U)

INTEGERS(8, int8_t, uint8_t)
INTEGERS(16, int16_t, uint16_t)
INTEGERS(32, int32_t, uint32_t)
INTEGERS(64, int64_t, uint64_t)
FLOATING(float, uint32_t)
FLOATING(double, uint64_t)

/* The last elements, too few for a vector, are put into one with zeros. */
static void run_vectors(void *arg, const void *left, void *right, size_t count)
{
	const struct kernel *k = arg;
	size_t len = count * k->size, rest = len % VECTOR;
	unsigned char a[VECTOR] = { 0 }, b[VECTOR] = { 0 };
	k->run(left, right, len - rest);
	if (rest == 0)
		return;
	left = (const unsigned char *)left + (len - rest);
	right = (unsigned char *)right + (len - rest);
	memcpy(a, left, rest);
	memcpy(b, right, rest);
	k->run(a, b, VECTOR);
	memcpy(right, b, rest);
}

/* ---- Kernels over pairs of a value and its index ---- */

/* Of two values that are equal, or both not numbers: whether a is the one to take. With equal indices it's the bytes of
 * the values that decide, for 0.0 and -0.0, or two NaNs: the same must come out if the operands trade places. */
static bool breaks_tie(int a, int b, const void *a_value, const void *b_value, size_t size)
{
	return a != b ? a < b : memcmp(a_value, b_value, size) < 0;
}

/* A number goes before none, for both ways to compare. */
#define BEFORE(a, is, b) ((a)is(b) || ((a) == (a) && (b) != (b)))

#define PAIR_KERNEL(name, type, is) \
	static void name(const unsigned char *left, unsigned char *right, size_t len) \
	{ \
		struct type##_pair a, b; \
		for (size_t at = 0; at < len; at += sizeof(a)) { \
			memcpy(&a, left + at, sizeof(a)); \
			memcpy(&b, right + at, sizeof(b)); \
			if (BEFORE(b.value, is, a.value)) \
				continue; \
			if (BEFORE(a.value, is, b.value) || \
			    breaks_tie(a.index, b.index, &a.value, &b.value, sizeof(a.value))) \
				memcpy(right + at, &a, sizeof(a)); \
		} \
	}

#define PAIRS(type, T) \
	struct type##_pair { \
		T value; \
		int index; \
	}; \
	PAIR_KERNEL(minloc_##type, type, <) \
	PAIR_KERNEL(maxloc_##type, type, >)

PAIRS(int8, int8_t)
PAIRS(uint8, uint8_t)
PAIRS(int16, int16_t)
PAIRS(uint16, uint16_t)
PAIRS(int32, int32_t)
PAIRS(uint32, uint32_t)
PAIRS(int64, int64_t)
PAIRS(uint64, uint64_t)
PAIRS(float, float)
PAIRS(double, double)

static void run_pairs(void *arg, const void *left, void *right, size_t count)
{
	const struct kernel *k = arg;
	k->run(left, right, count * k->size);
}

/* ---- Which is which ---- */

/* clang-format off */
#define OF_WIDTHS(op) \
	[HAUL_INT8] = { op##_8, 1 }, [HAUL_UINT8] = { op##_8, 1 }, \
	[HAUL_INT16] = { op##_16, 2 }, [HAUL_UINT16] = { op##_16, 2 }, \
	[HAUL_INT32] = { op##_32, 4 }, [HAUL_UINT32] = { op##_32, 4 }, \
	[HAUL_INT64] = { op##_64, 8 }, [HAUL_UINT64] = { op##_64, 8 }
#define OF_SIGNS(op) \
	[HAUL_INT8] = { op##_int8, 1 }, [HAUL_UINT8] = { op##_uint8, 1 }, \
	[HAUL_INT16] = { op##_int16, 2 }, [HAUL_UINT16] = { op##_uint16, 2 }, \
	[HAUL_INT32] = { op##_int32, 4 }, [HAUL_UINT32] = { op##_uint32, 4 }, \
	[HAUL_INT64] = { op##_int64, 8 }, [HAUL_UINT64] = { op##_uint64, 8 }
#define OF_FLOATS(op) \
	[HAUL_FLOAT] = { op##_float, sizeof(float) }, [HAUL_DOUBLE] = { op##_double, sizeof(double) }
#define OF_PAIR(op, type) { op##_##type, sizeof(struct type##_pair) }
#define OF_PAIRS(op) \
	[HAUL_INT8] = OF_PAIR(op, int8), [HAUL_UINT8] = OF_PAIR(op, uint8), \
	[HAUL_INT16] = OF_PAIR(op, int16), [HAUL_UINT16] = OF_PAIR(op, uint16), \
	[HAUL_INT32] = OF_PAIR(op, int32), [HAUL_UINT32] = OF_PAIR(op, uint32), \
	[HAUL_INT64] = OF_PAIR(op, int64), [HAUL_UINT64] = OF_PAIR(op, uint64), \
	[HAUL_FLOAT] = OF_PAIR(op, float), [HAUL_DOUBLE] = OF_PAIR(op, double)

static const struct kernel kernels[HAUL_USER][HAUL_BYTES] = {
	[HAUL_SUM] = { OF_WIDTHS(sum), OF_FLOATS(sum) },
	[HAUL_PROD] = { OF_WIDTHS(prod), OF_FLOATS(prod) },
	[HAUL_MIN] = { OF_SIGNS(min), OF_FLOATS(min) },
	[HAUL_MAX] = { OF_SIGNS(max), OF_FLOATS(max) },
	[HAUL_LAND] = { OF_WIDTHS(land), OF_FLOATS(land) },
	[HAUL_LOR] = { OF_WIDTHS(lor), OF_FLOATS(lor) },
	[HAUL_LXOR] = { OF_WIDTHS(lxor), OF_FLOATS(lxor) },
	[HAUL_BAND] = { OF_WIDTHS(band) },
	[HAUL_BOR] = { OF_WIDTHS(bor) },
	[HAUL_BXOR] = { OF_WIDTHS(bxor) },
	[HAUL_MINLOC] = { OF_PAIRS(minloc) },
	[HAUL_MAXLOC] = { OF_PAIRS(maxloc) },
};
/* clang-format on */

static int init_user(struct reduction_op *o, const struct haul_operator *from)
{
	if (from->type != HAUL_BYTES)
		return reason(-EINVAL, "operator: HAUL_USER takes HAUL_BYTES, not type %d", from->type);
	if (from->size == 0)
		return reason(-EINVAL, "operator: HAUL_USER without a size");
	if (from->call == NULL)
		return reason(-EINVAL, "operator: HAUL_USER without a call");
	*o = (struct reduction_op){ .size = from->size,
		.ordered = from->ordered != 0,
		.call = from->call,
		.arg = from->arg };
	return 0;
}

int operator_init(struct reduction_op *o, const struct haul_operator *from)
{
	if (from == NULL)
		return reason(-EINVAL, "no operator");
	if (from->operation == HAUL_USER)
		return init_user(o, from);
	if (from->operation < HAUL_SUM || from->operation > HAUL_MAXLOC)
		return reason(-EINVAL, "operator: operation %d is no HAUL_SUM or another", from->operation);
	if (from->type < HAUL_INT8 || from->type > HAUL_DOUBLE)
		return reason(-EINVAL, "operator: type %d is no number", from->type);

	const struct kernel *k = &kernels[from->operation][from->type];
	bool pairs = from->operation == HAUL_MINLOC || from->operation == HAUL_MAXLOC;
	if (k->run == NULL)
		return reason(-EINVAL, "operator: operation %d takes integers, not type %d", from->operation,
		    from->type);
	*o = (struct reduction_op){ .size = k->size,
		.call = pairs ? run_pairs : run_vectors,
		.arg = (void *)k };
	return 0;
}
