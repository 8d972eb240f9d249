/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests: one operation each, from its start to the one moment at which it completes.
 *
 * The contract. A request is completed once, by request_complete(), and only from inside the library, with the
 * lock held: by a frame that arrives, a copy that ends, a peer that goes down, a deadline, or the caller's own
 * cancel, timeout or close. From then on its memory is the caller's. Whoever completes it has first cut every
 * tie to it (the queue, the outbound, inbound or message it belongs to), so nothing can reach it again. It is
 * freed once: by its owner, or, if the owner has let go of it (detached), by its completion.
 *
 *     cancel   asks: it harms neither side, and may come too late. Who answers: we, or the peer.
 *     abort    the caller gives up: the request completes now, unless the peer is to be told first, or a copy
 *              into its memory is under way in another thread. Then soon:
 *     force    after a grace of 10 ms: needs the peer no more. Only a copy under way still has to end.
 *
 * Blocking calls are a start, a wait, and on timeout an abort. Close aborts all, forces all, then frees.
 * Notifications are told by request_complete(), run by notify.c.
 */
#ifndef HAUL_MSG_REQUEST_H
#define HAUL_MSG_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "engine/timer.h"
#include "haul/haul.h"
#include "link/link.h"
#include "msg/above.h"
#include "msg/buffers.h"
#include "msg/match.h"
#include "msg/notify.h"
#include "os/iov.h"

/*
 * Who has started a request on behalf of something larger, a batch or a collective, and hears of its completion, with
 * the lock held: in the middle of whatever completed it, so it may note that, and start or end no other request. Its
 * status can be read; it is freed by itself if it is detached.
 */
struct req_owner {
	void (*completed)(struct req_owner *o, struct haul_req *r);
};

enum req_kind {
	REQ_SEND,   /* a message, or a flush: see outbound.h */
	REQ_RECV,   /* see receive.h and inbound.h */
	REQ_TAKE,   /* the same, of the message alone: see taken.h */
	REQ_READ,   /* of a taken message's bytes */
	REQ_PEER,   /* adopt or connect: see connect.h */
	REQ_ACCEPT, /* see listener.h */
	REQ_WATCH,  /* see peer.h */
	REQ_ABOVE,  /* of the floor above, which completes it: see above.h */
};

/*
 * Laid out for the cache: one of thousands that are outstanding is cold when its message comes. What a plain receive
 * needs is in front, and the two lists whose neighbours change with it are side by side. (Aligned to cache lines it
 * would be slower: a size of 512 bytes leaves an eighth of the cache's sets to be shared by all.)
 */
struct haul_req {
	struct haul *haul;
	enum req_kind kind;
	atomic_bool complete; /* set with the lock held, looked at by its owner without, too */
	bool detached;
	bool plain; /* what stands at the end was never used, and is not set */
	struct haul_status status;
	TAILQ_ENTRY(haul_req) entry; /* in haul.requests, from start to free; beside recv.posted.entry */
	union {
		struct {                               /* REQ_SEND, until complete */
			struct outbound *out;          /* NULL: the link has taken it, and */
			uint64_t mark;                 /* it is complete when the link has written so far */
			TAILQ_ENTRY(haul_req) writing; /* in peer.writing */
			uint32_t channel;
		} send;
		struct { /* REQ_RECV, REQ_TAKE (posted), REQ_READ */
			struct match_recv posted;
			struct inbound *in;            /* while matched, or read, and not complete */
			struct haul_msg *msg;          /* READ: whose */
			bool impatient; /* timeout 0: bounded by the option stall_ms once it has begun */
			bool limited;   /* it has a timeout, though not one of its own: no GRANT for it */
			struct buffers into;           /* its end is for lists: what else one buffer needs is before */
			uint64_t offset;               /* READ: from where */
			TAILQ_ENTRY(haul_req) waiting; /* READ: in msg.reads, until its turn */
		} recv;
		struct {                        /* REQ_PEER; the first two until complete */
			struct haul_peer *peer; /* under handshake */
			struct dial *dial;      /* not connected yet */
			char words[LINK_WORDS]; /* complete: why there is none, if that was told; else "" */
		} peer;
		struct { /* REQ_ACCEPT, until complete */
			struct haul_listener *listener;
			TAILQ_ENTRY(haul_req) waiting;
		} accept;
		TAILQ_ENTRY(haul_req) watching; /* REQ_WATCH, until complete */
		struct above above;             /* REQ_ABOVE: whose, and what of it */
	};
	struct timer timer; /* its deadline, then its grace; of an impatient receive, the next part */
	struct notice notice;
	struct req_owner *owner;
};

TAILQ_HEAD(request_list, haul_req);

/* NULL without memory, or while the context closes. */
struct haul_req *request_new(struct haul *h, enum req_kind kind);
/* Before its timer, notice or owner is used. */
void request_dress(struct haul_req *r);
/* Its end is told to the owner, now or later, and it is freed by itself. The owner's place for it is filled in before. */
void request_follow(struct haul_req *r, struct req_owner *owner);
/* Why there was none. */
int request_refusal(const struct haul *h);
void request_free(struct haul_req *r); /* the memory; NULL does nothing */

/* For a public call, before the lock is taken: it is, and everything that its completion wrote can be seen. */
static inline bool request_is_complete(const struct haul_req *r)
{
	return atomic_load_explicit(&r->complete, memory_order_acquire);
}

/* Nobody will ask for it again: it is freed, now or when it completes. */
void request_let_go(struct haul_req *r);

/* The one way a request ends: 0 or a negative errno. */
void request_complete(struct haul_req *r, int error);

/* See above. r may be gone afterwards if it is detached. */
void request_cancel(struct haul_req *r);
void request_abort(struct haul_req *r, int error);
void request_force(struct haul_req *r, int error);
/* Aborts it at that time (os/clock.h), and forces it after the grace. */
void request_deadline(struct haul_req *r, uint64_t at);

/* Runs the engine until r is complete; gives up at the timeout (0: -EAGAIN at once) or an interrupt. Then
 * finishes r: returns its result, fills *status (may be NULL) and frees it. */
int request_run(struct haul_req *r, int timeout_ms, struct haul_peer *hint, struct haul_status *status);

/* Aborts what is left of these with error, forces it after one grace, and waits for copies to end: all are
 * complete then. NULL entries are passed over. */
void request_abort_all(struct haul *h, struct haul_req *const *reqs, size_t count, int error);

/* The result of a complete request, which is freed. */
int request_finish(struct haul_req *r, struct haul_status *status);

/* The peer is no more: requests forget it. */
void request_forget_peer(struct haul *h, struct haul_peer *p);

#endif
