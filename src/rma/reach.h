/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading a peer's memory, so that what comes is known to be the peer's: of a region, by its card. See reach.c. */
#ifndef HAUL_RMA_REACH_H
#define HAUL_RMA_REACH_H

#include <stdbool.h>
#include <stdint.h>

#include "msg/peer.h"
#include "os/vm.h"
#include "rma/handle.h"

/* Whether its memory can be read, as far as we know. */
static inline bool reach_may(const struct haul_peer *p)
{
	return p->up && !p->conn.ended && p->conn.link.in.error == 0;
}

/* vm_read() of the peer's memory, counted; gives the lock up meanwhile. The peer is there afterwards, and may have gone
 * down; peer_copied() must follow. */
struct vm_result reach_read(struct haul_peer *p, struct iov_cursor *local, struct iov_cursor *remote,
    uint64_t len, struct vm_word *last);

/* It can't be done by pull: the rest by a message. */
enum { REACH_BY_MESSAGE = 1 };

/*
 * Copies the region's bytes from offset on, len of them and at most RMA_PIECE, to the local cursor, which advances by what
 * came and is vouched for; *moved is how much. Gives the lock up meanwhile. 0: all; REACH_BY_MESSAGE; else -errno. The
 * handle has been checked, and allows it.
 */
int reach_region(struct haul_peer *p, const struct haul_handle *hd, uint64_t offset, struct iov_cursor *local,
    uint64_t len, uint64_t *moved);

#endif
