/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each message is. Sender, receiver, lane and number determine its tag, length and bytes, so whoever
 * receives it can tell whether it is right, and a receiver can ask for it before it was sent.
 */
#ifndef HAUL_TESTS_PLAIN_STRESS_PLAN_H
#define HAUL_TESTS_PLAIN_STRESS_PLAN_H

#include "stress.h"

/* Of a tag: the lane (from 1 on), the class of its length, the number. */
#define TAG_LANE (UINT64_C(0xff) << 56)
#define TAG_CLASS (UINT64_C(0xff) << 48)
#define TAG_NUMBER UINT64_C(0xffffffff)

enum { CLASSES = 5 };

struct plan {
	uint64_t tag;
	size_t len;
	uint64_t key; /* of its bytes */
};

struct plan plan_message(const struct config *c, unsigned from, unsigned to, unsigned lane, uint32_t number);

/* The longest message of a class. */
size_t plan_longest(const struct config *c, unsigned class);

/* The len bytes from offset on. */
void plan_fill(void *to, size_t len, uint64_t key, uint64_t offset);
/* How many of them are right, from the first on. */
size_t plan_check(const void *bytes, size_t len, uint64_t key, uint64_t offset);

#endif
