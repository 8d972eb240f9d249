/* SPDX-License-Identifier: BSD-3-Clause */
/* The one clock. See clock.h. */
#include "os/clock.h"

#include <time.h>

uint64_t clock_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

uint64_t clock_after_ms(int timeout_ms)
{
	return timeout_ms < 0 ? CLOCK_NEVER : clock_now() + (uint64_t)timeout_ms * NS_PER_MS;
}

void clock_nap(int ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
	nanosleep(&t, NULL);
}
