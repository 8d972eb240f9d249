/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One attack: a context, the program that uses it, an evil peer, and a good one. It runs a script of ops.h, and then
 * everything must be as it should: the good peer exchanges messages, every request completes, nothing has grown
 * beyond its bound, nothing is left.
 */
#ifndef HAUL_TESTS_FUZZ_ATTACK_H
#define HAUL_TESTS_FUZZ_ATTACK_H

#include "fuzz/evil.h"

/* The input: two bytes that choose options, one how far the handshake is done properly (a depth, or EVIL_READY if
 * always_greeted), then operations. */
void attack(const uint8_t *data, size_t size, bool always_greeted);

#endif
