/* SPDX-License-Identifier: BSD-3-Clause */
/* This process as its own peer. */
#ifndef HAUL_MSG_SELF_H
#define HAUL_MSG_SELF_H

struct haul;
struct haul_peer;

/* haul_self(), with the lock held. */
struct haul_peer *self_peer(struct haul *h);

#endif
