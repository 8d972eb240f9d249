/* SPDX-License-Identifier: BSD-3-Clause */
/* Random runs that can be repeated. See seed.h. */
#include "lib/seed.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t random_state;

/* xorshift64* */
size_t random_below(size_t bound)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (size_t)((random_state * 0x2545f4914f6cdd1dU) >> 16) % bound;
}

void seed_random(void)
{
	const char *given = getenv("HAUL_TEST_SEED");
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	random_state = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec + 1;
	fprintf(stderr, "HAUL_TEST_SEED=%llu\n", (unsigned long long)random_state);
	random_state = random_state * 2 + 1; /* never zero, where xorshift would stay */
}
