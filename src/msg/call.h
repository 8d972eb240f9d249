/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls and replies: what inbound.c needs of call.c, when a message on the channel of replies has come. */
#ifndef HAUL_MSG_CALL_H
#define HAUL_MSG_CALL_H

#include <stdbool.h>
#include <stdint.h>

struct haul_peer;
struct inbound;

/* Whether a call of ours with this id waits for an answer of the peer's. If not, the peer is dropped. */
bool call_awaits(struct haul_peer *p, uint64_t id);
/* Its reply is here: it completes. */
void call_replied(struct inbound *in);

#endif
