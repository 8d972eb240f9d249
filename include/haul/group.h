/* SPDX-License-Identifier: BSD-3-Clause */
/* haul/group.h: ranks and collectives. So far: what collectives are told. */
#ifndef HAUL_GROUP_H
#define HAUL_GROUP_H

#include "haul/haul.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* ---- Moving data --------------------------------------------------------------------------- */

/* What a member contributes lies where the result has it. */
#define HAUL_IN_PLACE ((void *)-1)

/* ---- Reducing ------------------------------------------------------------------------------ */

enum haul_type {
	HAUL_INT8 = 1,
	HAUL_UINT8,
	HAUL_INT16,
	HAUL_UINT16,
	HAUL_INT32,
	HAUL_UINT32,
	HAUL_INT64,
	HAUL_UINT64,
	HAUL_FLOAT,
	HAUL_DOUBLE,
	HAUL_BYTES, /* elements of a size of the caller's, for HAUL_USER */
};

enum haul_operation {
	HAUL_SUM = 1, /* of integers: modulo 2^bits */
	HAUL_PROD,
	HAUL_MIN, /* of floating point numbers: as fmin(3), fmax(3) where one is not a number; -0.0 is less than 0.0 */
	HAUL_MAX,
	HAUL_LAND, /* logical: 0 or 1; all but 0 is true */
	HAUL_LOR,
	HAUL_LXOR,
	HAUL_BAND, /* bitwise; integers only */
	HAUL_BOR,
	HAUL_BXOR,
	/* Elements are struct { TYPE value; int index; }: the least value, of equal ones (as 0.0 and -0.0) the least index.
	 * What is not a number comes after all numbers, for both. */
	HAUL_MINLOC,
	HAUL_MAXLOC,
	HAUL_USER,
};

/* How two elements become one. */
struct haul_operator {
	int operation; /* a HAUL_SUM or another */
	int type;      /* a HAUL_INT8 or another */
	/* For HAUL_USER: */
	size_t size; /* of an element; type is HAUL_BYTES */
	int ordered; /* 1: not commutative, operands stay in the order of ranks. It must be associative anyway */
	/* right[i] = left[i] op right[i], for count elements. Runs in whichever thread makes progress, with the context's lock
	 * held: it must be short, and call nothing of this library. */
	void (*call)(void *arg, const void *left, void *right, size_t count);
	void *arg;
};

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
