/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An ask: what a message to a region's owner says, where the region can't be pulled from, or is to be written to. Pure:
 * its bytes, and the errors that refuse it. docs/protocol.md has both.
 */
#ifndef HAUL_RMA_ASK_H
#define HAUL_RMA_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rma/handle.h"

struct ask {
	struct haul_handle handle;
	uint64_t offset, len;
	uint64_t answer; /* GET: the tag of the message with the bytes; PUT: 0 */
};

void ask_encode(const struct ask *a, uint8_t bytes[WIRE_ASK_SIZE]);
/* False: the message, of so many bytes and with this tag, can't be one. */
bool ask_decode(struct ask *a, const uint8_t bytes[WIRE_ASK_SIZE], uint64_t tag, uint64_t message_len);

/* Refusals of messages have errors that they may not be told by (msg/outbound.c): so these travel as others. */
int ask_to_wire(int error);
int ask_from_wire(int error);

#endif
