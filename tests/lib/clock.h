/* SPDX-License-Identifier: BSD-3-Clause */
/* The time of a clock that only goes forward: for deadlines, and for what is printed. */
#ifndef HAUL_TESTS_LIB_CLOCK_H
#define HAUL_TESTS_LIB_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t clock_ms(void)
{
	return clock_ns() / 1000000;
}

#endif
