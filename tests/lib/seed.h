/* SPDX-License-Identifier: BSD-3-Clause */
/* Random runs that can be repeated: the seed is printed at the start, and HAUL_TEST_SEED sets it. */
#ifndef HAUL_TESTS_SEED_H
#define HAUL_TESTS_SEED_H

#include <stddef.h>

void seed_random(void);

/* A number from 0 to bound - 1; the same ones from the same seed, on any libc. */
size_t random_below(size_t bound);

#endif
