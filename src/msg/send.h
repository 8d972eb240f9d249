/* SPDX-License-Identifier: BSD-3-Clause */
/* Sends: what the rest of the floor needs of send.c. */
#ifndef HAUL_MSG_SEND_H
#define HAUL_MSG_SEND_H

#include "haul/haul.h"

/* haul_isend(), with the lock held. */
int send_start(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count, unsigned flags,
    struct haul_req **out);

#endif
