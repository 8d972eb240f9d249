/* SPDX-License-Identifier: BSD-3-Clause */
/* Starts all nodes, in processes of their own, and returns when they have ended: false if one had something to say. */
#ifndef HAUL_TESTS_PLAIN_STRESS_HERD_H
#define HAUL_TESTS_PLAIN_STRESS_HERD_H

#include "stress.h"

bool herd_run(const struct config *c);

#endif
