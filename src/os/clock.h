/* SPDX-License-Identifier: BSD-3-Clause */
/* The one clock: monotonic nanoseconds. Deadlines everywhere are points on it. */
#ifndef HAUL_OS_CLOCK_H
#define HAUL_OS_CLOCK_H

#include <stdint.h>

#define CLOCK_NEVER UINT64_MAX
#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)

uint64_t clock_now(void);

/* The point timeout_ms from now; CLOCK_NEVER for -1. */
uint64_t clock_after_ms(int timeout_ms);

/* Sleeps so long, or until a signal comes. */
void clock_nap(int ms);

#endif
