/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer, as messages see it: a conn, and what is under way in each direction. Nothing that must be said to
 * a peer is kept as bytes: it is a mark on the object it is about, and the object is in a list here. So
 * what can be owed is bounded by what is under way, and saying it later needs no memory.
 *
 *     life:  greeting --> open --> gone          (conn: up, down)
 *     goodbye, either side first:  bye_got and bye_said, both, end the conn
 */
#ifndef HAUL_MSG_PEER_H
#define HAUL_MSG_PEER_H

#include <stdbool.h>

#include <bsd/sys/queue.h>

#include "engine/engine.h"
#include "haul/haul.h"
#include "msg/ids.h"
#include "msg/inbound.h"
#include "msg/outbound.h"
#include "msg/request.h"
#include "msg/taken.h"
#include "msg/worker.h"

struct haul_listener;
struct vm_result;

struct haul_peer {
	struct conn conn;
	struct haul *haul;
	TAILQ_ENTRY(haul_peer) entry; /* in haul.peers */
	_Atomic(void *) user;
	struct haul_stats stats;

	struct haul_req *req;           /* the adopt or connect that waits for the handshake */
	struct haul_listener *listener; /* or the listener it came by, until accepted */
	TAILQ_ENTRY(haul_peer) ready;   /* in listener.ready */

	struct ids out_ids;             /* struct outbound */
	struct outbound_list queued;    /* not sent yet, in order */
	struct request_list writing;    /* their eager messages are with the link, not all with the kernel */
	uint64_t mark;                  /* the link's position behind the last of such messages */
	struct outbound_list streaming; /* the peer asked for their bytes */
	struct outbound_list notices;   /* CANCEL or ABORT is to be said */
	struct outbound_list pushed;    /* PUSHED is */
	struct outbound_list assisted;  /* ASSISTED is */
	struct outbound_list fetched;   /* RIGHTS is */
	struct outbound *chunk;         /* whose DATA the link holds */

	struct ids in_ids;                /* struct inbound with an id */
	struct inbound_list unfinished;   /* all of this peer's, in order of arrival; markers of FLUSH too */
	struct inbound_list answers;      /* their terminal frame is to be said */
	struct inbound_list asks;         /* SEND, GRANT or the end of an ASSIST is to be said */
	struct taken_list fetches;        /* messages whose FETCH is to be said */
	unsigned expected;                /* inbounds that wait for DATA */
	struct inbound *payload;          /* to whom the current DATA payload belongs */
	unsigned copying;                 /* copies from or to its memory, or by it: it must not be freed */
	bool never_push;                  /* it could not write here after all */
	bool never_pushed;                /* nor we there */
	bool never_assist;                /* nor help it */
	unsigned unassisted;              /* messages in a row with which it did not help when asked */
	unsigned unasked;                 /* messages with which it is not asked to, until it is again */
	enum haul_path told_in, told_out; /* to the log: how large messages come and go */

	struct request_list watches; /* complete when the conn has ended */
	struct worker *worker;       /* the process to be reaped; NULL if nobody has cared */

	bool reaping; /* in haul.unowned */
	TAILQ_ENTRY(haul_peer) reap;
	bool held;    /* of what is queued only what leads is sent, until this is false again */
	bool keep_fd; /* the descriptor isn't ours to close until the handshake has ended well */
	bool up;      /* the handshake ended well */
	bool closing; /* haul_peer_close() has begun: nothing new is sent or received */
	bool self;    /* haul_self(): the link is a loop */
	bool bye_got, bye_said;
	int error; /* what operations end with once it is gone; 0 while it is not */
};

/* Makes a peer of a connected socket; owner: req or listener. On failure fd stays the caller's. */
int peer_new(struct haul *h, int fd, uint64_t deadline, struct haul_req *req, struct haul_listener *listener,
    struct haul_peer **out);
/* Makes the one that is this process itself. */
int peer_new_self(struct haul *h, struct haul_peer **out);
/* Frees it, with all that hangs on it: what is under way ends as -ECANCELED. Not from a callback, and not while
 * it is copied from. */
void peer_free(struct haul_peer *p);
/* In a forked child: the threads that were in the middle of copying from it are the parent's. */
void peer_forget_copies(struct haul_peer *p);
/* Nobody has a handle of it: it will be freed by peer_reap(), which every round calls. */
void peer_disown(struct haul_peer *p);
void peer_reap(struct haul *h);
/* First in every public call about a peer: as context_enter(). */
int peer_enter(struct haul_peer *p);

/* A read of its memory found it denied, or no process. False: it has exited, which is dealt with. Else there will be no
 * such read any more, and it is told. Another thread's may have met the same before. */
bool peer_refused(struct haul_peer *p, const struct vm_result *r);

/* Ends the link for a violation of the protocol, words saying which. */
void peer_violation(struct haul_peer *p, const char *words) __attribute__((cold));

static inline struct haul_peer *peer_of(struct conn *c)
{
	return (struct haul_peer *)((char *)c - offsetof(struct haul_peer, conn));
}

static inline struct link *peer_link(struct haul_peer *p)
{
	return &p->conn.link;
}

/* A message that came has been used up: its credit is the peer's again. */
void peer_release_eager(struct haul_peer *p, size_t len);
void peer_release_desc(struct haul_peer *p);

/* The goodbye in two parts, so that haul_close() can say it to all at once. */
void peer_begin_close(struct haul_peer *p);
int peer_finish_close(struct haul *h, struct haul_peer *only, int linger_ms); /* NULL: of all */
int peer_finish_begun(struct haul *h, int linger_ms); /* of those that began; others stay as they are */
/* The goodbye to one whom nobody has got to know. It is said at once, and nobody waits for its own; but if the peer may
 * be through with the handshake, though we are not, it is said when we are. */
void peer_dismiss(struct haul_peer *p);
bool peer_settled(const struct haul_peer *p); /* nothing of ours or its is under way */

/* Every send of ours ends with error. */
/* What is queued for one, and does not lead, goes to the other, behind what that has. */
void peer_move_queued(struct haul_peer *from, struct haul_peer *to);
void peer_fail_sends(struct haul_peer *p, int error);
/* A copy has ended. It may have been the last thing that kept the end of the conn from being told. */
void peer_copied(struct haul_peer *p);
/* A watch gives up. */
/* haul_peer_watch(), with the lock held. */
int peer_watch_start(struct haul_peer *p, struct haul_req **out);
void peer_watch_abort(struct haul_req *r, int error);

/* dispatch.c: what comes from a peer. pump.c: what goes to it. */
extern const struct conn_ops peer_ops;
void dispatch_frame(struct conn *c, const struct wire_frame *f);
bool pump_peer(struct conn *c);
/* -EMSGSIZE if the peer accepts none so long. */
int pump_check_len(const struct haul_peer *p, uint64_t len);
/* Whether a message of this length is to be sent eagerly. */
bool pump_is_short(const struct haul_peer *p, uint64_t len);
/* Sends an eager frame with this payload; flags: WIRE_FLAG_*, SYNC with an id. */
enum link_sent pump_eager(struct haul_peer *p, uint64_t tag, uint64_t id, uint32_t channel, unsigned flags,
    struct iov_cursor *payload);
/* The request waits for the link to have written what it has taken. */
void pump_await_written(struct haul_peer *p, struct haul_req *r);
void pump_flushed(struct conn *c);
/* What is queued is to go now, for somebody waits for it. */
void pump_now(struct haul_peer *p);

#endif
