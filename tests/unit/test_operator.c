/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operators against a reference that goes one element at a time: integers in 128 bits, floating point numbers
 * in double, where a float fits. Values are random, and often such as go wrong easily. HAUL_TEST_SEED repeats
 * a run.
 */
#include "group/operator.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/seed.h"
#include "os/reason.h"

TestSuite(operator, .timeout = 60);

/* ---- A plain reference ---- */

struct number {
	bool floating;
	__int128 i;
	double f;
};

static const struct {
	size_t size, pair, index; /* of a value; of a pair, and where its index is */
	bool is_signed;
} types[] = {
#define PAIR(T) struct { T value; int index; }
#define TYPE(T, is_signed) { sizeof(T), sizeof(PAIR(T)), offsetof(PAIR(T), index), is_signed }
	[HAUL_INT8] = TYPE(int8_t, true),
	[HAUL_UINT8] = TYPE(uint8_t, false),
	[HAUL_INT16] = TYPE(int16_t, true),
	[HAUL_UINT16] = TYPE(uint16_t, false),
	[HAUL_INT32] = TYPE(int32_t, true),
	[HAUL_UINT32] = TYPE(uint32_t, false),
	[HAUL_INT64] = TYPE(int64_t, true),
	[HAUL_UINT64] = TYPE(uint64_t, false),
	[HAUL_FLOAT] = TYPE(float, true),
	[HAUL_DOUBLE] = TYPE(double, true),
};

static bool floating(int type)
{
	return type == HAUL_FLOAT || type == HAUL_DOUBLE;
}

static bool bitwise(int operation)
{
	return operation >= HAUL_BAND && operation <= HAUL_BXOR;
}

static bool paired(int operation)
{
	return operation == HAUL_MINLOC || operation == HAUL_MAXLOC;
}

static struct number load(int type, const void *from)
{
	struct number n = { .floating = floating(type) };
	uint64_t bits = 0;
	float f;
	if (type == HAUL_FLOAT) {
		memcpy(&f, from, sizeof(f));
		n.f = f;
	} else if (type == HAUL_DOUBLE) {
		memcpy(&n.f, from, sizeof(n.f));
	} else {
		memcpy(&bits, from, types[type].size); /* little end first, as all that haul runs on */
		n.i = bits;
		if (types[type].is_signed && bits >> (8 * types[type].size - 1) != 0)
			n.i -= (__int128)1 << (8 * types[type].size);
	}
	return n;
}

static void store(int type, struct number n, void *into)
{
	uint64_t bits = (uint64_t)n.i;
	float f = (float)n.f;
	if (n.floating && isnan(n.f))
		memset(into, 0xff, types[type].size);
	else if (type == HAUL_FLOAT)
		memcpy(into, &f, sizeof(f));
	else if (type == HAUL_DOUBLE)
		memcpy(into, &n.f, sizeof(n.f));
	else
		memcpy(into, &bits, types[type].size);
}

static __int128 of_integers(int operation, __int128 a, __int128 b)
{
	switch (operation) {
	case HAUL_SUM:
		return a + b;
	case HAUL_PROD:
		return (__int128)((unsigned __int128)a * (unsigned __int128)b);
	case HAUL_MIN:
		return a < b ? a : b;
	case HAUL_MAX:
		return a > b ? a : b;
	case HAUL_LAND:
		return a != 0 && b != 0;
	case HAUL_LOR:
		return a != 0 || b != 0;
	case HAUL_LXOR:
		return (a != 0) != (b != 0);
	case HAUL_BAND:
		return a & b;
	case HAUL_BOR:
		return a | b;
	default:
		return a ^ b;
	}
}

static double least(double a, double b)
{
	if (isnan(a) || isnan(b))
		return isnan(a) ? b : a;
	if (a == b)
		return signbit(a) ? a : b;
	return a < b ? a : b;
}

/* Sum and product of floats are rounded twice here, which changes nothing: double has more than twice the bits. */
static double of_floats(int operation, double a, double b)
{
	switch (operation) {
	case HAUL_SUM:
		return a + b;
	case HAUL_PROD:
		return a * b;
	case HAUL_MIN:
		return least(a, b);
	case HAUL_MAX:
		return -least(-a, -b);
	case HAUL_LAND:
		return a != 0 && b != 0 ? 1 : 0;
	case HAUL_LOR:
		return a != 0 || b != 0 ? 1 : 0;
	default:
		return (a != 0) != (b != 0) ? 1 : 0;
	}
}

/* -1 if a goes before b, 1 if after it. */
static int order(int operation, struct number a, struct number b)
{
	int way = operation == HAUL_MINLOC ? 1 : -1;
	if (!a.floating)
		return a.i == b.i ? 0 : a.i < b.i ? -way : way;
	if (isnan(a.f) || isnan(b.f))
		return (isnan(a.f) != 0) - (isnan(b.f) != 0);
	return a.f == b.f ? 0 : a.f < b.f ? -way : way;
}

static int index_of(int type, const void *pair)
{
	int index;
	memcpy(&index, (const char *)pair + types[type].index, sizeof(index));
	return index;
}

static bool left_wins(int operation, int type, const void *left, const void *right)
{
	int way = order(operation, load(type, left), load(type, right)), a = index_of(type, left),
	    b = index_of(type, right);
	if (way != 0)
		return way < 0;
	return a != b ? a < b : memcmp(left, right, types[type].size) < 0; /* two zeros, or none a number */
}

static void reference(int operation, int type, const void *left, void *right)
{
	struct number a = load(type, left), b = load(type, right);
	if (paired(operation)) {
		if (left_wins(operation, type, left, right))
			memcpy(right, left, types[type].pair);
		return;
	}
	b.i = a.floating ? 0 : of_integers(operation, a.i, b.i);
	b.f = a.floating ? of_floats(operation, a.f, b.f) : 0;
	store(type, b, right);
}

/* ---- Values ---- */

static const double odd_doubles[] = { 0.0, -0.0, 1, -1, 0.5, 3, INFINITY, -INFINITY, NAN, DBL_MAX, -DBL_MAX,
	DBL_MIN, -DBL_MIN, DBL_TRUE_MIN, -DBL_TRUE_MIN, FLT_MAX, -FLT_MAX, FLT_MIN, FLT_TRUE_MIN, 1e30,
	16777216 };
/* Signalling ones, quiet ones, those that processors make, those that operators make. */
static const uint64_t odd_nans[] = { 0x7ff0000000000001, 0x7ff8000000001234, 0xfff8000000000000,
	0xffffffffffffffff };
static const uint32_t odd_float_nans[] = { 0x7f800001, 0x7fc01234, 0xffc00000, 0xffffffff };
static const uint64_t odd_integers[] = { 0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
	0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff };

enum {
	DOUBLES = sizeof(odd_doubles) / sizeof(*odd_doubles),
	NANS = sizeof(odd_nans) / sizeof(*odd_nans),
	INTEGERS = sizeof(odd_integers) / sizeof(*odd_integers),
};

static size_t odd_count(int type)
{
	return floating(type) ? DOUBLES + NANS : INTEGERS;
}

static void odd_value(int type, size_t which, void *into)
{
	float f = (float)odd_doubles[which % DOUBLES];
	if (!floating(type))
		memcpy(into, &odd_integers[which], types[type].size);
	else if (which >= DOUBLES && type == HAUL_FLOAT)
		memcpy(into, &odd_float_nans[which - DOUBLES], sizeof(f));
	else if (which >= DOUBLES)
		memcpy(into, &odd_nans[which - DOUBLES], sizeof(*odd_nans));
	else if (type == HAUL_FLOAT)
		memcpy(into, &f, sizeof(f));
	else
		memcpy(into, &odd_doubles[which], sizeof(*odd_doubles));
}

static void random_bytes(void *into, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((unsigned char *)into)[i] = (unsigned char)random_below(256);
}

/* One in three is odd, so that equal ones meet, one of any bits, and one a small number. */
static void random_value(int type, void *into)
{
	double small = (double)random_below(2000) / 8 - 100;
	struct number n = { .floating = floating(type), .i = (__int128)small, .f = small };
	switch (random_below(3)) {
	case 0:
		odd_value(type, random_below(odd_count(type)), into);
		break;
	case 1:
		random_bytes(into, types[type].size);
		break;
	default:
		store(type, n, into);
	}
}

static size_t element_size(int operation, int type)
{
	return paired(operation) ? types[type].pair : types[type].size;
}

static void random_element(int operation, int type, unsigned char *into)
{
	int index = (int)random_below(1000) - 500;
	memset(into, 0, element_size(operation, type)); /* the padding */
	random_value(type, into);
	if (paired(operation))
		memcpy(into + types[type].index, &index, sizeof(index));
}

static struct reduction_op must_init(int operation, int type)
{
	struct reduction_op o;
	struct haul_operator from = { .operation = operation, .type = type };
	cr_assert_eq(operator_init(&o, &from), 0, "operation %d, type %d: %s", operation, type, reason_get());
	return o;
}

/* ---- Claims ---- */

static void check(int operation, int type, size_t count, size_t left_skew, size_t right_skew)
{
	struct reduction_op o = must_init(operation, type);
	size_t size = o.size, len = size * count;
	unsigned char *left_room = malloc(len + left_skew + 1), *left = left_room + left_skew;
	unsigned char *right_room = malloc(len + right_skew + 1), *right = right_room + right_skew;
	unsigned char *before = malloc(len + 1), *expected = malloc(len + 1);
	memset(right_room, 0xa5, len + right_skew + 1);
	for (size_t i = 0; i < count; i++) {
		random_element(operation, type, left + i * size);
		random_element(operation, type, right + i * size);
	}
	memcpy(before, left, len);
	memcpy(expected, right, len);
	for (size_t i = 0; i < count; i++)
		reference(operation, type, left + i * size, expected + i * size);

	operator_apply(&o, left, right, count);
	for (size_t i = 0; i < count; i++)
		cr_assert_arr_eq(right + i * size, expected + i * size, size,
		    "operation %d, type %d: %zu of %zu", operation, type, i, count);
	cr_assert_arr_eq(left, before, len, "the left operand must stay");
	for (size_t i = 0; i < right_skew; i++)
		cr_assert_eq(right_room[i], 0xa5);
	cr_assert_eq(right[len], 0xa5);
	free(left_room);
	free(right_room);
	free(before);
	free(expected);
}

/* At any address, and with nothing touched outside: the bytes before and the one after are looked at, and what is
 * read there the sanitizer sees. */
Test(operator, each_operation_on_each_type_agrees_with_one_element_at_a_time)
{
	static const size_t counts[] = { 0, 1, 2, 3, 17, 1000 };
	seed_random();
	for (int operation = HAUL_SUM; operation < HAUL_USER; operation++) {
		for (int type = HAUL_INT8; type < HAUL_BYTES; type++) {
			if (bitwise(operation) && floating(type))
				continue;
			for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
				for (size_t skew = 0; skew < 4; skew++)
					check(operation, type, counts[i], skew, random_below(17));
		}
	}
}

/* All pairs of odd values, for pairs with indices that are equal, or the left, or right, one the greater. */
static void check_trade(int operation, int type, size_t first, size_t second)
{
	struct reduction_op o = must_init(operation, type);
	size_t size = element_size(operation, type);
	unsigned char a[16] = { 0 }, b[16] = { 0 }, ab[16], ba[16];
	for (int indices = 0; indices < (paired(operation) ? 3 : 1); indices++) {
		odd_value(type, first, a);
		odd_value(type, second, b);
		if (paired(operation)) {
			a[types[type].index] = indices == 1;
			b[types[type].index] = indices == 2;
		}
		memcpy(ab, b, sizeof(ab));
		memcpy(ba, a, sizeof(ba));
		operator_apply(&o, a, ab, 1);
		operator_apply(&o, b, ba, 1);
		cr_assert_arr_eq(ab, ba, size, "operation %d, type %d, values %zu and %zu", operation, type,
		    first, second);
	}
}

Test(operator, operands_that_trade_places_give_the_same_bits)
{
	for (int operation = HAUL_SUM; operation < HAUL_USER; operation++)
		for (int type = HAUL_INT8; type < HAUL_BYTES; type++)
			for (size_t i = 0; i < odd_count(type); i++)
				for (size_t k = 0; k < odd_count(type); k++)
					if (!bitwise(operation) || !floating(type))
						check_trade(operation, type, i, k);
}

#define RESULT(op, haul_type, T, a, b) \
	({ \
		struct reduction_op o = must_init(op, haul_type); \
		T left_ = (a), right_ = (b); \
		operator_apply(&o, &left_, &right_, 1); \
		right_; \
	})

Test(operator, integers_wrap)
{
	cr_assert_eq(RESULT(HAUL_SUM, HAUL_UINT8, uint8_t, 200, 100), 44);
	cr_assert_eq(RESULT(HAUL_SUM, HAUL_INT8, int8_t, 127, 1), -128);
	cr_assert_eq(RESULT(HAUL_SUM, HAUL_INT32, int32_t, INT32_MIN, -1), INT32_MAX);
	cr_assert_eq(RESULT(HAUL_SUM, HAUL_UINT64, uint64_t, UINT64_MAX, 2), 1);
	cr_assert_eq(RESULT(HAUL_PROD, HAUL_UINT16, uint16_t, 65535, 65535), 1);
	cr_assert_eq(RESULT(HAUL_PROD, HAUL_INT16, int16_t, -32768, -1), -32768);
	cr_assert_eq(RESULT(HAUL_PROD, HAUL_INT64, int64_t, INT64_MIN, 3), INT64_MIN);
}

Test(operator, the_least_and_the_greatest_know_the_sign)
{
	cr_assert_eq(RESULT(HAUL_MIN, HAUL_INT8, int8_t, -1, 1), -1);
	cr_assert_eq(RESULT(HAUL_MIN, HAUL_UINT8, uint8_t, 255, 1), 1);
	cr_assert_eq(RESULT(HAUL_MAX, HAUL_INT64, int64_t, INT64_MIN, 0), 0);
	cr_assert_eq(RESULT(HAUL_MAX, HAUL_UINT64, uint64_t, 1UL << 63, 0), 1UL << 63);
	cr_assert(signbit(RESULT(HAUL_MIN, HAUL_DOUBLE, double, 0.0, -0.0)));
	cr_assert(signbit(RESULT(HAUL_MIN, HAUL_DOUBLE, double, -0.0, 0.0)));
	cr_assert_not(signbit(RESULT(HAUL_MAX, HAUL_FLOAT, float, 0.0F, -0.0F)));
	cr_assert_not(signbit(RESULT(HAUL_MAX, HAUL_FLOAT, float, -0.0F, 0.0F)));
	cr_assert(signbit(RESULT(HAUL_MAX, HAUL_FLOAT, float, -0.0F, -0.0F)));
}

Test(operator, a_number_goes_before_what_is_none)
{
	struct pair {
		double value;
		int index;
	} p;
	cr_assert_eq(RESULT(HAUL_MIN, HAUL_DOUBLE, double, NAN, INFINITY), INFINITY);
	cr_assert_eq(RESULT(HAUL_MAX, HAUL_DOUBLE, double, -INFINITY, NAN), -INFINITY);
	cr_assert(isnan(RESULT(HAUL_MAX, HAUL_FLOAT, float, NAN, NAN)));
	p = RESULT(HAUL_MINLOC, HAUL_DOUBLE, struct pair, ((struct pair){ NAN, 1 }),
	    ((struct pair){ INFINITY, 2 }));
	cr_assert_eq(p.index, 2);
	p = RESULT(HAUL_MAXLOC, HAUL_DOUBLE, struct pair, ((struct pair){ -INFINITY, 2 }),
	    ((struct pair){ NAN, 1 }));
	cr_assert_eq(p.index, 2);
	p = RESULT(HAUL_MAXLOC, HAUL_DOUBLE, struct pair, ((struct pair){ NAN, 2 }),
	    ((struct pair){ -NAN, 1 }));
	cr_assert_eq(p.index, 1);
}

Test(operator, of_equal_values_the_least_index_stays)
{
	struct pair {
		float value;
		int index;
	} p;
	p = RESULT(HAUL_MINLOC, HAUL_FLOAT, struct pair, ((struct pair){ 1, 4 }), ((struct pair){ 1, -4 }));
	cr_assert_eq(p.index, -4);
	p = RESULT(HAUL_MAXLOC, HAUL_FLOAT, struct pair, ((struct pair){ 1, 4 }), ((struct pair){ 1, 7 }));
	cr_assert_eq(p.index, 4);
	p = RESULT(HAUL_MINLOC, HAUL_FLOAT, struct pair, ((struct pair){ 0.0F, 4 }),
	    ((struct pair){ -0.0F, 7 }));
	cr_assert_eq(p.index, 4);
	cr_assert_not(signbit(p.value));
}

/* ---- The caller's own ---- */

static void last_to_first(void *arg, const void *left, void *right, size_t count)
{
	(*(size_t *)arg)++;
	for (size_t i = 0; i < count; i++)
		((char *)right)[3 * i] = ((const char *)left)[3 * i + 2];
}

Test(operator, a_users_call_gets_its_argument_and_all_elements_at_once)
{
	size_t calls = 0;
	char right[] = "ABCDEF";
	struct haul_operator from = { .operation = HAUL_USER, .type = HAUL_BYTES, .size = 3, .ordered = 1,
		.call = last_to_first, .arg = &calls };
	struct reduction_op o;
	cr_assert_eq(operator_init(&o, &from), 0);
	cr_assert_eq(o.size, 3);
	cr_assert(o.ordered);
	operator_apply(&o, "abcdef", right, 2);
	cr_assert_str_eq(right, "cBCfEF");
	cr_assert_eq(calls, 1);
	operator_apply(&o, NULL, NULL, 0);
	cr_assert_eq(calls, 1, "nothing to do must not be a call");
}

Test(operator, an_operation_of_ours_is_in_no_order_whatever_is_said)
{
	size_t arg;
	struct haul_operator from = { .operation = HAUL_SUM, .type = HAUL_DOUBLE, .size = 3, .ordered = 1,
		.call = last_to_first, .arg = &arg };
	struct reduction_op o;
	cr_assert_eq(operator_init(&o, &from), 0);
	cr_assert_eq(o.size, sizeof(double));
	cr_assert_not(o.ordered);
}

Test(operator, what_makes_no_sense_is_refused_with_words)
{
	static const struct {
		struct haul_operator from;
		const char *words;
	} wrong[] = {
		{ { .type = HAUL_INT8 }, "operation 0 is no HAUL_SUM or another" },
		{ { .operation = -1, .type = HAUL_INT8 }, "operation -1 is no HAUL_SUM or another" },
		{ { .operation = HAUL_USER + 1, .type = HAUL_INT8 }, "operation 14 is no HAUL_SUM or another" },
		{ { .operation = HAUL_SUM }, "type 0 is no number" },
		{ { .operation = HAUL_MINLOC, .type = -3 }, "type -3 is no number" },
		{ { .operation = HAUL_MIN, .type = HAUL_BYTES }, "type 11 is no number" },
		{ { .operation = HAUL_MAX, .type = HAUL_BYTES + 1 }, "type 12 is no number" },
		{ { .operation = HAUL_BAND, .type = HAUL_FLOAT }, "operation 8 takes integers, not type 9" },
		{ { .operation = HAUL_BOR, .type = HAUL_DOUBLE }, "operation 9 takes integers, not type 10" },
		{ { .operation = HAUL_BXOR, .type = HAUL_DOUBLE }, "operation 10 takes integers, not type 10" },
		{ { .operation = HAUL_USER, .type = HAUL_INT32, .size = 4, .call = last_to_first },
		    "HAUL_USER takes HAUL_BYTES, not type 5" },
		{ { .operation = HAUL_USER, .type = HAUL_BYTES, .call = last_to_first },
		    "HAUL_USER without a size" },
		{ { .operation = HAUL_USER, .type = HAUL_BYTES, .size = 4 }, "HAUL_USER without a call" },
	};
	struct reduction_op o = { .size = 77 };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		cr_assert_eq(operator_init(&o, &wrong[i].from), -EINVAL);
		cr_assert(strncmp(reason_get(), "operator: ", 10) == 0);
		cr_assert_str_eq(reason_get() + 10, wrong[i].words);
		cr_assert_eq(o.size, 77, "a refused operator must leave the place alone");
	}
	cr_assert_eq(operator_init(&o, NULL), -EINVAL);
	cr_assert_str_eq(reason_get(), "no operator");
}
