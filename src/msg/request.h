/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests: one operation each, from its start to the one moment at which it completes.
 *
 * The contract. A request is completed once, by request_complete(), and only from inside the library: by a
 * frame that arrives, a pull that ends, a peer that goes down, or the abort of the caller itself. From then
 * on its memory is the caller's. Whoever completes it has first cut every tie to it (the queue, the
 * outbound or inbound it belongs to), so nothing can reach it again. It is freed once: by its owner, or, if
 * the owner has let go of it (detached), by its completion. Blocking calls are a start and a wait.
 */
#ifndef HAUL_MSG_REQUEST_H
#define HAUL_MSG_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "engine/timer.h"
#include "haul/haul.h"
#include "msg/buffers.h"
#include "msg/match.h"
#include "os/iov.h"

enum req_kind {
	REQ_SEND, /* a message, or a flush: see outbound.h */
	REQ_RECV, /* see inbound.h */
	REQ_PEER, /* adopt or connect: see peer.h */
};

struct haul_req {
	struct haul *haul;
	enum req_kind kind;
	bool complete, detached;
	struct haul_status status;
	TAILQ_ENTRY(haul_req) entry; /* in haul.requests, from start to free */
	union {
		struct outbound *out; /* REQ_SEND, until complete */
		struct {              /* REQ_RECV */
			struct match_recv posted;
			struct inbound *in; /* while matched and not complete */
			struct buffers into;
			struct timer stall; /* ends a transfer that pauses for too long */
			bool impatient;     /* timeout 0: stall is to be used */
		} recv;
		struct {                        /* REQ_PEER, until complete */
			struct haul_peer *peer; /* under handshake */
			struct dial *dial;      /* not connected yet */
		} peer;
	};
};

struct haul_req *request_new(struct haul *h, enum req_kind kind);
void request_free(struct haul_req *r); /* the memory; NULL does nothing */

/* The one way a request ends: 0 or a negative errno. */
void request_complete(struct haul_req *r, int error);

/* Gives it up: it completes with error now, or later in some other way if that can't be helped. */
void request_abort(struct haul_req *r, int error);
/* After a grace: completes it for certain. */
void request_force(struct haul_req *r, int error);

/* Runs the engine until r is complete; gives up at the timeout (0: -EAGAIN at once) or an interrupt. Then
 * finishes r: returns its result, fills *status (may be NULL) and frees it. */
int request_run(struct haul_req *r, int timeout_ms, struct haul_peer *hint, struct haul_status *status);

/* The result of a complete request, which is freed. */
int request_finish(struct haul_req *r, struct haul_status *status);

/* The peer is no more: requests forget it. */
void request_forget_peer(struct haul *h, struct haul_peer *p);

#endif
