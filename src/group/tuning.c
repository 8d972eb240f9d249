/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From where on something else pays. What is short goes in few messages, as each costs some 3 us, the time of a copy of
 * some 20 KiB; what is long is copied few times one after the other. In between lies what this says, for 4 to 16
 * members.
 */
#include "group/algorithms.h"

#include <stdint.h>

const struct tuning tuning_default = {
	.bcast_large = 128 << 10,
	.gather_large = 2 << 10,
	.allgather_large = 4 << 10,
	.alltoall_large = 256,
	.reduce_large = 64 << 10,
	.allreduce_large = 64 << 10,
	.readers = 4,
};

/* Where members take turns on CPUs nobody copies sooner for having company, and what counts is how few messages
 * there are. */
struct tuning tuning_for(int size, int cpus)
{
	struct tuning t = tuning_default;
	if (size > cpus)
		t.bcast_large = SIZE_MAX;
	return t;
}
