/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory for the bytes of an eager message that came before anybody asked for it. */
#ifndef HAUL_MSG_PAYLOAD_H
#define HAUL_MSG_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "msg/context.h"
#include "msg/spares.h"

/* What is no longer has room for so much, which is kept for the next. */
enum { PAYLOAD_SHORT = 128 };

/* NULL without memory. */
static inline uint8_t *payload_new(struct haul *h, size_t len)
{
	return len <= PAYLOAD_SHORT ? spares_take(&h->spare_payloads, PAYLOAD_SHORT) : malloc(len);
}

/* NULL does nothing. */
static inline void payload_free(struct haul *h, uint8_t *payload, size_t len)
{
	if (payload != NULL && len <= PAYLOAD_SHORT)
		spares_give(&h->spare_payloads, payload);
	else
		free(payload);
}

#endif
