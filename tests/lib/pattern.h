/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes that tell where they belong: each depends on a seed and on its offset in the message, so that
 * one that is missing, doubled, stale or out of place is found. Fast enough for GiBs.
 */
#ifndef HAUL_TESTS_LIB_PATTERN_H
#define HAUL_TESTS_LIB_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/* Writes the len bytes that belong at offset of the message that seed names. */
void pattern_fill(void *buf, size_t len, uint64_t seed, uint64_t offset);

/* How many bytes of buf, from its start, are those that pattern_fill() would write: len if all are right,
 * else the place in buf of the first wrong one. */
size_t pattern_check(const void *buf, size_t len, uint64_t seed, uint64_t offset);

#endif
