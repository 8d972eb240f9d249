/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A message on its way out (or a FLUSH, which travels like one). It outlives its request where the peer
 * does not answer: the id must not be used again before the terminal frame.
 *
 *     QUEUED --> over                            eager: with the link, for which the request may wait alone
 *       |  \---> OFFERED --> over                its terminal frame came
 *       |           |   \--> CANCELING --> over  the same; the request ends with the cancel's error
 *       |           |             |
 *       |           \-------------+--> WITHDRAWN --> over    the request has completed, the buffers are
 *       \--> over                                            the caller's; terminal frame or death
 *
 * Who may read the buffers: QUEUED, nobody (of an eager one, what the kernel did not take was copied);
 * OFFERED and CANCELING, the peer by the grant, and the link for DATA; WITHDRAWN, nobody.
 *
 * Besides, while it has an id, the peer may have granted a part of its own buffers (push.c):
 *
 *     NONE --> DUE --> PUSHING --> TELL --> NONE      our write of a piece, outside the lock, in PUSHING
 *       \-------\--------------->/
 *
 * While it is PUSHING it stays as it is: what would give the buffers back, or end it, is noted (`late`) and done
 * when the write has ended. A GRANT is always answered, whatever has become of the message.
 *
 * Or it may have asked for help with its pull (assist.c), which can be had or not, and holds the message in the same
 * way during a write of ours.
 */
#ifndef HAUL_MSG_OUTBOUND_H
#define HAUL_MSG_OUTBOUND_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "haul/haul.h"
#include "msg/buffers.h"
#include "msg/grant.h"
#include "wire/frame.h"

enum outbound_state { OUT_QUEUED, OUT_OFFERED, OUT_CANCELING, OUT_WITHDRAWN, OUT_OVER };

enum outbound_push { PUSH_NONE, PUSH_DUE, PUSHING, PUSH_TELL };

enum outbound_assist { ASSIST_NONE, ASSIST_DUE, ASSISTING, ASSIST_TELL };

enum outbound_late { OUT_LATE_NOT, OUT_LATE_WITHDRAW, OUT_LATE_END }; /* the stronger last */

enum outbound_notice { NOTICE_NONE, NOTICE_CANCEL, NOTICE_ABORT };

struct inbound;

struct outbound {
	struct haul_peer *peer;
	struct haul_req *req; /* NULL once it has completed */
	enum outbound_state state;
	bool flush;         /* no message, but a FLUSH */
	bool sync;          /* its sender wants to know what became of it */
	bool call;          /* it waits for a reply, which is that answer: call.c */
	bool leads;         /* it goes even while its peer is held */
	bool only_eager;    /* timeout 0: rather not at all than described */
	void *copy;         /* HAUL_COPY: the bytes, which bufs then names */
	enum haul_path way; /* EAGER; or described: as the peer has asked last, or else by PULL */
	uint64_t tag;
	uint32_t channel;
	uint64_t id;             /* 0 before it has one */
	struct inbound *answers; /* QUEUED: the call that it is the reply to */
	struct buffers bufs;
	struct grant grant;
	int cancel_error; /* CANCELING: what the request ends with */

	uint32_t epoch;    /* of the last SEND */
	uint64_t at, left; /* DATA still to be sent */
	bool streaming;    /* in peer.streaming: DATA, or its empty end, is to be sent */

	enum outbound_notice notice;
	bool gentle; /* a CANCEL that is not to harm a receive */
	int abort_error;

	enum outbound_push push;
	struct landing *landing; /* DUE, PUSHING: what was granted */
	uint64_t pushed;         /* bytes of it that were written */
	int push_error;          /* TELL: why that is not all; positive */
	word_t *hand;            /* says what we write of it ourselves; NULL: nothing, ever */
	enum outbound_assist assist;
	struct tail *tail;     /* DUE, ASSISTING: what we may write */
	uint32_t assist_epoch; /* TELL: of which ASSIST */
	bool assist_asked;     /* ASSISTING: ASSISTED is to be said in any case */
	bool assisted;         /* we ever did */
	enum outbound_late late;
	int late_error;

	bool has_fds; /* descriptors go with it: */
	bool fetched; /* in peer.fetched: the peer has asked for them */
	int *fds;     /* copies, ours; NULL once they are needed no more */
	size_t fd_count;

	TAILQ_ENTRY(outbound) fetch_entry;  /* in peer.fetched */
	TAILQ_ENTRY(outbound) push_entry;   /* in haul.pushes (DUE) or peer.pushed (TELL) */
	TAILQ_ENTRY(outbound) assist_entry; /* in haul.assists (DUE) or peer.assisted (TELL) */
	TAILQ_ENTRY(outbound) entry;        /* in peer.queued */
	TAILQ_ENTRY(outbound) stream_entry; /* in peer.streaming */
	TAILQ_ENTRY(outbound) notice_entry; /* in peer.notices */
};

TAILQ_HEAD(outbound_list, outbound);

/* Not all of it is set: bufs is not. NULL without memory. */
struct outbound *outbound_new(struct haul_peer *p);
void outbound_free(struct outbound *o);

void outbound_move(struct outbound *o, enum outbound_state to);

/* Ends it: out of all lists, grant withdrawn, freed; its request, if any, completes with error and what the
 * status says. */
void outbound_end(struct outbound *o, int error);

/* Gives the buffers back now, without waiting for the peer; the request completes with error. What remains
 * is the id. */
void outbound_withdraw(struct outbound *o, int error);

/* The caller gives up; see request.h. */
void outbound_cancel(struct outbound *o);
void outbound_abort(struct outbound *o, int error);
void outbound_force(struct outbound *o, int error);

/* Our write into the peer's memory has ended: what was noted is done. */
void outbound_catch_up(struct outbound *o);

/* push.c: it is no longer to be pushed, though it has been granted. */
void push_call_off(struct outbound *o);
/* Its end: nothing of a grant is left. */
void push_forget(struct outbound *o);
/* The peer has granted a part of its buffers. False: what it says can't be. */
bool push_granted(struct outbound *o, const struct wire_frame *f);
/* A bounded number of pieces, of the messages to be pushed in turn. */
void push_round(struct haul *h);

/* assist.c: whether the peer can be told that we might help with a message so long; the word to tell it by. */
bool assist_offer(struct outbound *o);
/* The peer asks for help, or for an answer. False: what it says can't be. */
bool assist_asked(struct outbound *o, const struct wire_frame *f);
/* There is to be no more write; nothing of it all is left. */
void assist_call_off(struct outbound *o);
void assist_forget(struct outbound *o);
/* Says ASSISTED where it is due; false if the link takes no more. */
bool assist_say(struct haul_peer *p);
/* A bounded number of chunks, of the messages to be assisted with in turn. */
void assist_round(struct haul *h);

/* The link could not read its memory while sending DATA, and has put filler in its place. */
void outbound_fault(struct outbound *o);

/* The one with this id, of which an answer has come: it awaits one. NULL: there is none, and the peer is dropped. */
struct outbound *outbound_answered(struct haul_peer *p, uint64_t id);
/* What the peer said of it. */
void outbound_done(struct outbound *o);
void outbound_replied(struct outbound *o, int error); /* 0: the reply is in the status */
void outbound_refused(struct outbound *o, int error, uint64_t got);
void outbound_canceled(struct outbound *o);
/* False: the range or epoch can't be, or a GRANT is not answered yet. */
bool outbound_new_epoch(struct outbound *o, uint32_t epoch);
/* No more DATA of what was asked for. True if a chunk of it was cut short by filler. */
bool outbound_stop_streaming(struct outbound *o);
bool outbound_asked(struct outbound *o, uint64_t offset, uint64_t len, uint32_t epoch);

#endif
