/* SPDX-License-Identifier: BSD-3-Clause */
/* Operators: how elements are reduced. Pure; knows nothing of members. */
#ifndef HAUL_GROUP_OPERATOR_H
#define HAUL_GROUP_OPERATOR_H

#include <stdbool.h>
#include <stddef.h>

#include "haul/group.h"

/* An operator that was checked. */
struct reduction_op {
	size_t size;  /* of an element, in bytes */
	bool ordered; /* operands must stay in the order of ranks */
	void (*call)(void *arg, const void *left, void *right, size_t count);
	void *arg; /* of HAUL_USER the caller's; otherwise nothing that has to be freed */
};

/* 0, or -EINVAL with a reason: no such operation, type, or both together. */
int operator_init(struct reduction_op *o, const struct haul_operator *from);

/* right[i] = left[i] op right[i]. The two must not overlap; any alignment. Unless it is HAUL_USER's, the operator gives
 * the same bits with the operands the other way round. */
static inline void operator_apply(const struct reduction_op *o, const void *left, void *right, size_t count)
{
	if (count > 0)
		o->call(o->arg, left, right, count);
}

#endif
