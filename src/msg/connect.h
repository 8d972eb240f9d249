/* SPDX-License-Identifier: BSD-3-Clause */
/* Adopts and connects, as requests (REQ_PEER). */
#ifndef HAUL_MSG_CONNECT_H
#define HAUL_MSG_CONNECT_H

#include "msg/request.h"

/* haul_iconnect() with the lock held: the handshake must end by the deadline (os/clock.h). It may be complete on
 * return. */
int connect_start(struct haul *h, const char *address, uint64_t deadline, struct haul_req **out);

/* haul_iadopt() with the lock held; keep_fd: the descriptor is the caller's until the handshake has ended well. */
int connect_adopt(struct haul *h, int fd, uint64_t deadline, bool keep_fd, struct haul_req **out);

/* Waits for the peer; one that doesn't come is freed, and its descriptor the caller's again, on return. */
int connect_run(struct haul_req *r, int timeout_ms, struct haul_peer **out);

/* It gives up: the peer does not come about. */
void connect_abort(struct haul_req *r, int error);

#endif
