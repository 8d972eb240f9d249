/* SPDX-License-Identifier: BSD-3-Clause */
/* Sends: what the rest of the floor needs of send.c. */
#ifndef HAUL_MSG_SEND_H
#define HAUL_MSG_SEND_H

#include "haul/haul.h"

/* Why nothing can be sent to it, nor asked of it; 0 if something can. */
int send_check(struct haul_peer *p);

/* haul_isend() on a channel (0: the program's), with the lock held. Also to a peer whose handshake is under way: it is
 * sent when that has ended. */
int send_start(struct haul_peer *p, uint64_t tag, uint32_t channel, const struct iovec *iov, size_t count,
    unsigned flags, struct haul_req **out);

/* The two steps of it: it is queued, and may still be added to; from here on it goes, now or with what follows. */
int send_prepare(struct haul_peer *p, uint64_t tag, uint32_t channel, const struct iovec *iov, size_t count,
    unsigned flags, struct haul_req **out);
void send_go(struct haul_peer *p, uint64_t len);

/* A copy of a few bytes, which is made even if that is beyond the option copy_budget. */
int send_anyway(struct haul_peer *p, uint64_t tag, uint32_t channel, const struct iovec *iov,
    struct haul_req **out);

/* haul_sendv(), likewise. */
int send_blocking(struct haul_peer *p, uint64_t tag, uint32_t channel, const struct iovec *iov, size_t count,
    unsigned flags, int timeout_ms);

/* One with descriptors; synchronous. */
int send_start_fds(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count, const int *fds,
    size_t fd_count, struct haul_req **out);

#endif
