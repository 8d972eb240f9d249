/* SPDX-License-Identifier: BSD-3-Clause */
/* Batches: many operations started at once, and one notice when all of them are complete. */
#ifndef HAUL_MSG_BATCH_H
#define HAUL_MSG_BATCH_H

#include "haul/haul.h"

struct batch;

/* One of its requests has completed. */
void batch_completed(struct haul *h, struct batch *b);

#endif
