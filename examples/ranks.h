/* SPDX-License-Identifier: BSD-3-Clause */
/* What the examples of groups begin and end with: each is a program of many ranks, `haul run -n 4 ring`. */
#ifndef EXAMPLES_RANKS_H
#define EXAMPLES_RANKS_H

#include <haul/group.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 60000 };

static struct haul *h;
static struct haul_group *world;
static int rank, size;

static inline long must(long rc)
{
	if (rc >= 0)
		return rc;
	fprintf(stderr, "rank %d: %s: %s\n", rank, strerror((int)-rc), haul_reason());
	exit(1);
}

static inline void begin(void)
{
	must(haul_open(&h, NULL, 0));
	must(haul_group_init(h, NULL, 0, &world));
	rank = haul_group_rank(world);
	size = haul_group_size(world);
}

static inline void end(void)
{
	must(haul_group_free(world, PATIENCE_MS));
	must(haul_close(h, PATIENCE_MS));
}

#endif
