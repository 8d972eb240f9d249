/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A message that has arrived: its envelope and, if eager, its payload. Also the place of a FLUSH in the
 * order of messages.
 *
 *     WAITING <--> MOVING --> ANSWERING --> gone
 *        ^           ^            ^
 *        \--> TAKEN <-/           |           (from WAITING too)
 *               |----------------/|
 *               \--> REPLYING ----/--> gone
 *
 * WAITING: nobody has asked for it. MOVING: a receive has, or a read of a taken message; payload is being moved
 * by pull, push or stream (an eager one is copied at once and is never MOVING). Back to WAITING: the receive ended
 * early. TAKEN: in its taker's hands (taken.h), no read under way. REPLYING: a call, whose taker has replied; the reply
 * is queued, and its frame will be the answer (call.c). ANSWERING: the receive has completed, or there will be none;
 * the terminal frame is to be said. A message without an id (eager, not synchronous) is freed instead.
 *
 * Who may write the receive's buffers: MOVING only, the pull in pull.c, the link for a DATA payload, or the
 * sender by a GRANT (push.c) or ASSIST (twohand.c). A pull runs outside the lock: meanwhile the inbound is
 * `busy`. A push runs in another process: until that is known to have ended, the inbound is `granted`. In
 * both cases whatever would end it is noted (`late`) and done when the copy has ended, and its peer is not
 * freed.
 */
#ifndef HAUL_MSG_INBOUND_H
#define HAUL_MSG_INBOUND_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "haul/haul.h"
#include "msg/grant.h"
#include "msg/match.h"
#include "os/iov.h"
#include "wire/frame.h"

struct inbound;
struct outbound;
struct hands;
struct vm_word;
TAILQ_HEAD(inbound_list, inbound);

enum inbound_state { IN_WAITING, IN_MOVING, IN_TAKEN, IN_REPLYING, IN_ANSWERING };

enum inbound_late { LATE_NOT, LATE_STOP, LATE_CANCEL, LATE_REFUSE }; /* the stronger last */

/* How the payload of a described message moves. pull.c, push.c and stream.c each fill one in. */
struct mover {
	enum haul_path path;
	void (*start)(struct inbound *in); /* from in->moved on */
	void (*stop)(struct inbound *in);  /* the receive's memory is not touched any more after this */
};

extern const struct mover pull_mover, push_mover, stream_mover;

struct inbound {
	struct match_item item;
	struct haul_peer *peer;
	enum inbound_state state;
	bool eager, flush;
	bool call;        /* its sender waits for a reply */
	bool has_fds;     /* descriptors go with it, see fds.h */
	uint64_t id;      /* 0: no answer is wanted */
	uint64_t len;     /* of the message */
	uint8_t *payload; /* eager: its bytes */

	uint64_t cell, cookie, list, hand; /* described: see wire_frame.desc */
	uint32_t range_count;
	struct wire_range ranges[WIRE_DESC_RANGES];
	struct pull_window *window; /* a part of a longer list; pull.c */

	struct haul_req *req;      /* MOVING: the receive, or the read */
	struct haul_msg *msg;      /* who has taken it */
	struct outbound *reply;    /* REPLYING */
	const struct mover *mover; /* MOVING */
	uint64_t base;             /* MOVING: the first byte to be moved, 0 but for reads */
	uint64_t want, moved;      /* MOVING: bytes to be moved from there; bytes that have been */
	uint64_t
	    ours; /* MOVING by pull: from this byte of the message on all is there, or the sender's to write */
	struct hands *hands; /* MOVING by pull, and the sender was asked to help: twohand.c */
	bool busy;           /* being copied, outside the lock */
	bool granted;        /* the peer may write into the receive's buffers */
	bool asking;         /* in peer.asks */
	bool expecting;      /* counted in peer.expected */
	enum inbound_late late;
	int late_error;
	bool pulling;         /* in haul.pulls */
	bool fresh;           /* MOVING by pull: no piece was yet */
	uint32_t epoch;       /* of our last SEND, GRANT or ASSIST */
	uint64_t chunk;       /* stream: length of the current DATA payload; push: of what was granted */
	struct grant landing; /* push, or with hands: vouches for our buffers */

	enum wire_type answer; /* ANSWERING: DONE, REFUSED, CANCELED, FLUSHED */
	int answer_error;      /* of REFUSED, positive */

	TAILQ_ENTRY(inbound) entry; /* in peer.unfinished */
	TAILQ_ENTRY(inbound) turn;  /* in haul.pulls (MOVING) or peer.answers (ANSWERING) */
	TAILQ_ENTRY(inbound) ask;   /* in peer.asks, in any state but ANSWERING */
};

/* A message has come. */
void inbound_eager(struct haul_peer *p, const struct wire_frame *f);
void inbound_desc(struct haul_peer *p, const struct wire_frame *f);
void inbound_flush(struct haul_peer *p, const struct wire_frame *f);

/* A receive, or a take, gets it. */
void inbound_start(struct inbound *in, struct haul_req *r);
/* What was to be moved is all there: a receive completes, the sender hears the answer; a read completes. */
void inbound_finish(struct inbound *in);
/* Gives it up without a receive, or against it: what is under way ends with error, the sender hears REFUSED. */
void inbound_refuse(struct inbound *in, int error);
/* The sender took it back: what is under way ends with error, the answer is CANCELED. */
void inbound_cancel(struct inbound *in, int error);
/* Memory of this side can't be written: a receive ends with error, and REFUSED; of a taken one just the read. */
void inbound_fault(struct inbound *in, int error);
/* The receive or read is given up with error: back to its place in the queue, or to its taker. False: a copy
 * is under way, and it will be so at its end. */
bool inbound_stop(struct inbound *in, int error);
/* From the byte reached on by another way: m, or whichever there is besides pull. */
void inbound_move_by(struct inbound *in, const struct mover *m);
void inbound_move_on(struct inbound *in);
/* The copy has ended: what was noted is done. */
void inbound_catch_up(struct inbound *in);

/* Whether the receive could wait for a write by the peer that nothing can call off. */
bool inbound_may_grant(const struct inbound *in);
/* The peer may write into the receive's buffers; they are nobody's but ours again, and the landing's cell
 * is cleared. */
void inbound_grant(struct inbound *in);
void inbound_take_back(struct inbound *in);
/* The peer has gone, and writes no more. */
void inbound_peer_gone(struct haul_peer *p);

/* For taken.c: it is taken; a part of it is to be moved; it is answered, 0 by DONE; it goes back to the queue. */
void inbound_take(struct inbound *in, struct haul_msg *m);
void inbound_read(struct inbound *in, struct haul_req *r, uint64_t offset);
void inbound_give_up(struct inbound *in, int error);
void inbound_put_back(struct inbound *in);

/* For call.c: its taker replies by this one; that is with the link, and was the answer; or it failed, and the answer
 * is a refusal. */
void inbound_reply(struct inbound *in, struct outbound *o);
void inbound_replied(struct inbound *in);
void inbound_unreplied(struct inbound *in, int error);

/* A FLUSH before which nothing is unfinished. */
void inbound_flushed(struct inbound *in);
/* Frees it; out of all lists. */
void inbound_free(struct inbound *in);
/* The same for one that may have been taken: its taker hears error. */
void inbound_drop(struct inbound *in, int error);

/* pull.c: a bounded number of pieces, of the messages being pulled in turn. */
void pull_round(struct haul *h);
/* Where the receive's next bytes go. */
struct iov_cursor inbound_target(const struct inbound *in);

/* push.c: whether the peer can write into our memory, and its exit be seen; and may into the receive's
 * buffers; says so to it; what it answered. */
bool push_works(const struct haul_peer *p);
bool push_may(const struct inbound *in);
bool push_ask(struct inbound *in);
void push_pushed(struct haul_peer *p, const struct wire_frame *f);

/* pull.c: it is to have another turn, after all others; after the next one. */
void pull_again(struct inbound *in);
void pull_soon(struct inbound *in);

/* twohand.c: before a pull begins: asks the sender to help, if that is worth it. */
void twohand_begin(struct inbound *in);
/* A pull with its help, step by step. Whether there is to be no piece more. Before one of at most so many
 * bytes: how many it is to be. It came, and the hand was read. It came short, or not at all: the pull alone
 * is to find out why. */
bool twohand_is_over(const struct inbound *in);
uint64_t twohand_claim(struct inbound *in, uint64_t len);
void twohand_came(struct inbound *in, const struct vm_word *hand);
void twohand_failed(struct inbound *in);
/* Others are to have a turn: it has had as much as a piece without help is. */
bool twohand_turn_ends(struct inbound *in);
/* Ends it when it is over. True if it has ended, and the pull is alone (or has ended, too, see moved and
 * ours); else it was dealt with. */
bool twohand_end(struct inbound *in);
/* Forgets it: the sender does not write any more. */
void twohand_drop(struct inbound *in);
/* Asks for an answer; false if the link takes no more. What the peer answered. */
bool twohand_say(struct inbound *in);
void twohand_assisted(struct haul_peer *p, const struct wire_frame *f);

/* stream.c: what the peer sent, and its end. */
void stream_data(struct haul_peer *p, const struct wire_frame *f);
void stream_payload_end(struct haul_peer *p);
void stream_payload_fault(struct haul_peer *p);

#endif
