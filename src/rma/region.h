/* SPDX-License-Identifier: BSD-3-Clause */
/* Exposed regions: what the rest of the folder needs of region.c. */
#ifndef HAUL_RMA_REGION_H
#define HAUL_RMA_REGION_H

#include "rma/handle.h"
#include "rma/rma.h"

/* The region that a handle names, if that is what was given out: 0, -EINVAL, -ESTALE. */
int region_find(const struct rma *m, const struct haul_handle *hd, struct haul_region **out);
/* Those that were not withdrawn are, and freed. */
void regions_fini(struct rma *m);

#endif
