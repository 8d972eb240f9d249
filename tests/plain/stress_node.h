/* SPDX-License-Identifier: BSD-3-Clause */
/* A node's whole life, in the process that is it: returns if all was well. */
#ifndef HAUL_TESTS_PLAIN_STRESS_NODE_H
#define HAUL_TESTS_PLAIN_STRESS_NODE_H

#include "stress.h"

/* ends[i][k]: node i's end of its connection with node k. It has its own only. */
void node_run(unsigned index, int (*ends)[NODES_MOST]);

#endif
