/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What tests of two-handed pulls share: pairings that may, and the sender's account of how it helped. No sender is
 * sure to come to it in time, so what is to be seen with help is done again until there was some.
 */
#ifndef HAUL_TESTS_LIB_HANDS_H
#define HAUL_TESTS_LIB_HANDS_H

#include <stdbool.h>

#include "duo.h"
#include "pairing.h"

extern const struct haul_options hands_options;

/* As pairing_start(), the child on a CPU of its own (if there are two; else the test is skipped). */
void hands_start(struct pairing *p, pairing_part *part, const void *arg);
void hands_start_unlike(struct pairing *p, const struct haul_options *ours, const struct haul_options *theirs,
    pairing_part *part, const void *arg);
/* Both on one. */
void hands_start_on_one_cpu(struct pairing *p, pairing_part *part, const void *arg);

struct help {
	uint64_t messages, bytes; /* as the sender counted them */
	uint64_t copied;
};

/* The child says how it has helped so far; the test hears it. */
void send_help(struct haul *h, struct haul_peer *p);
struct help receive_help(struct haul *h);

/* The test: it has not helped yet, and is to do the same again. The child: it is told so. */
bool hands_again(struct pairing *p);
bool hands_told_again(struct haul *h, struct haul_peer *p);

#endif
