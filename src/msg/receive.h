/* SPDX-License-Identifier: BSD-3-Clause */
/* Receives: requests that want a message. What the rest of the floor needs of receive.c. */
#ifndef HAUL_MSG_RECEIVE_H
#define HAUL_MSG_RECEIVE_H

#include <stddef.h>
#include <stdint.h>

#include "msg/request.h"

static inline struct haul_req *receive_of(struct match_recv *m)
{
	return (struct haul_req *)((char *)m - offsetof(struct haul_req, recv.posted));
}

/* Bytes its buffers hold. */
static inline uint64_t receive_room(const struct haul_req *r)
{
	return r->recv.into.len;
}

/* Fills in whose tag it is: within a group the source's rank is a part of it, see group/mesh.h. */
void receive_name(struct haul_status *s, uint32_t channel, uint64_t tag);
/* Fills in what the status says of the message. */
void receive_describe(struct haul_req *r, struct haul_peer *p, uint64_t tag, uint64_t len);
/* Completes it: got bytes are in the buffers; error 0 becomes -EMSGSIZE where the message was longer. */
void receive_complete(struct haul_req *r, uint64_t got, int error);
/* A message that is being moved made headway. */
void receive_headway(struct haul_req *r);
/* Ends the posted receives for which no message can come any more. */
void receive_hopeless(struct haul *h);
/* The peer is about to be freed: receives that named it end as -ECANCELED. */
void receive_forget_peer(struct haul *h, struct haul_peer *p);
/* Gives it up; a message it had begun to take goes back to the queue. Now, or when a copy under way has ended. */
void receive_abort(struct haul_req *r, int error);

/* haul_irecv(), haul_itake() and haul_probe() on a channel (0: the program's), with the lock held. timeout_ms: how long
 * the caller will wait for it; -1 if it is not going to wait at all. */
int receive_start(struct haul *h, const struct haul_match *match, uint32_t channel, const struct iovec *iov,
    size_t count, int timeout_ms, struct haul_req **out);
int receive_post_take(struct haul *h, const struct haul_match *match, uint32_t channel,
    struct haul_req **out);
int receive_probe(struct haul *h, const struct haul_match *match, uint32_t channel, int timeout_ms,
    struct haul_status *status);

#endif
