/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Handles: what a struct haul_handle says of a region, whether it can be true, and whether its owner vouches for it. The
 * owner does by a card, the same words in memory of its own that a forked child finds wiped. It holds as long as its
 * first word does, the cookie: that is a grant's cell (msg/grant.h). Pure.
 *
 * So a handle needs no secret and no signature: who reads the region reads the card last, in the same call, and compares
 * every word. What was altered on the way, or is of another process, does not agree with it.
 */
#ifndef HAUL_RMA_HANDLE_H
#define HAUL_RMA_HANDLE_H

#include <stdint.h>

#include "haul/rma.h"
#include "wire/protocol.h"

static inline uint64_t handle_cookie(const struct haul_handle *hd)
{
	return hd->words[WIRE_HANDLE_COOKIE];
}

static inline uint64_t handle_card(const struct haul_handle *hd)
{
	return hd->words[WIRE_HANDLE_CARD];
}

static inline uint64_t handle_addr(const struct haul_handle *hd)
{
	return hd->words[WIRE_HANDLE_ADDR];
}

static inline uint64_t handle_len(const struct haul_handle *hd)
{
	return hd->words[WIRE_HANDLE_LEN];
}

static inline uint64_t handle_ranges(const struct haul_handle *hd)
{
	return hd->words[WIRE_HANDLE_RANGES];
}

static inline uint64_t handle_slot(const struct haul_handle *hd)
{
	return hd->words[WIRE_HANDLE_SLOT];
}

/* -EINVAL: no handle says such a thing. Before anything else is asked of it. */
int handle_check(const struct haul_handle *hd);
/* A right, HAUL_READ or HAUL_WRITE, and bytes: 0, -EACCES, -ERANGE. */
int handle_allows(const struct haul_handle *hd, unsigned right, uint64_t offset, uint64_t len);
/* Against the words of the card that it names, as they were read: 0, -ESTALE (another region's, or nobody's), -EINVAL
 * (this region's, but the handle is not what its owner gave out). */
int handle_compare(const struct haul_handle *hd, const uint64_t card[WIRE_HANDLE_WORDS]);

#endif
