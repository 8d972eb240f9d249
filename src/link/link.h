/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One peer at the other end of a socket: who it is, what may be done with its memory, and frames to and
 * from it. Owns the handshake, the verified identity, the verdicts, flow control and the transport; it
 * knows nothing of tags or matching, and it never waits: the engine calls it when something can be done.
 *
 * What others see is "send this frame" and "next frame"; nothing outside this folder depends on there
 * being a socket underneath. A process's link to itself has a loop instead.
 */
#ifndef HAUL_LINK_LINK_H
#define HAUL_LINK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "link/credit.h"
#include "link/loop.h"
#include "link/outbox.h"
#include "os/iov.h"
#include "os/log.h"
#include "os/words.h"
#include "wire/frame.h"

/*
 *   HELLO --> GRANTED --> VERDICT --> READY --> OPEN        each state awaits the frame it is named after
 *     |          |           |          |        |
 *     +----------+-----------+----------+--------+--> DOWN
 */
enum link_state {
	LINK_HELLO,   /* ours is sent; then we write its challenge's answer, and send GRANTED */
	LINK_GRANTED, /* then we read our answer in its memory, and send VERDICT */
	LINK_VERDICT, /* then we know both directions, and send READY */
	LINK_READY,   /* then the peer does too */
	LINK_OPEN,    /* messages may go and come */
	LINK_DOWN,    /* over, see error */
};

enum { LINK_WORDS = 128, LINK_SCRATCH = 262144, LINK_DOZE_MS = 20 };

/* What a described message that waits here takes of the pool, in bytes: its envelope. */
enum { LINK_DESC_COST = 512 };

/* Whether one side can read the other's memory. */
struct link_verdict {
	int error; /* 0: yes; else the errno of the refusal, positive */
	char words[LINK_WORDS];
};

/* Who is to be allowed to trace this process, if Yama would refuse it. */
enum link_tracer { LINK_TRACER_NONE, LINK_TRACER_PEER, LINK_TRACER_ANCESTOR, LINK_TRACER_ANY };

/* What goes by outboxes, counted. */
struct link_counts {
	uint64_t polls, empty_polls, polled_frames;
	uint64_t bells_sent, bells_received;
};

/* What the links of one context have in common; its owner fills it before the first link. */
struct link_shared {
	struct words words; /* where challenge answers lie; also used by the floors above */
	struct credit_pool pool;
	uint8_t *scratch;          /* LINK_SCRATCH bytes: what was read last, until it is used up */
	struct link_buffer *spare; /* output buffers not in use */
	size_t spare_count;
	uint64_t max_msg;
	uint32_t budget, window; /* limits of what one peer may have waiting here */
	bool never_pull;         /* the user asked for the socket only: refuse without a probe */
	bool outbox;             /* frames are left in memory, where peers agree */
	bool push;               /* peers that agree may write into our memory, and we into theirs */
	bool two_handed;         /* with those who agree, the sender helps with the receiver's pull */
	int (*admit)(void *arg, pid_t pid, uid_t uid, gid_t gid);
	void *admit_arg;
	struct link_counts counts; /* of links that are no more */
	enum link_tracer tracer;   /* whom to name to Yama, see ptracer.h */
	struct log log;
};

void link_counts_add(struct link_counts *sum, const struct link_counts *c);

int link_shared_init(struct link_shared *s);
void link_shared_fini(struct link_shared *s);

/* Bytes on their way out; transmit.c. */
struct link_tx {
	struct link_buffer *out;  /* frames in library memory, NULL if none */
	size_t head, tail;        /* the part of it not yet with the kernel */
	struct iov_cursor resend; /* goes before it: RESUME, and what lies in an outbox that was left */
	struct iovec resend_iov[2];
	struct link_buffer *again; /* where that was put together */
	uint8_t *aside; /* OUTBOX_NOTE bytes: frames for the socket while the stream goes to the outbox, */
	size_t aside_len;
	bool aside_waits; /* and the kernel has no room for them: EPOLLOUT tells when it has */
	uint8_t resume[WIRE_HEADER_SIZE + WIRE_RESUME_SIZE];
	struct iov_cursor rest;   /* of a DATA chunk whose beginning is with the kernel: goes after out */
	uint64_t filler;          /* the same after link_send_abandon(): that many bytes of no meaning */
	uint64_t queued, written; /* all bytes ever accepted; those handed over, never all when the peer has gone */
	bool blocked;             /* the kernel took less than it was offered: wait for EPOLLOUT */
	bool refused;             /* link_send() said LINK_NOT_NOW */
	bool lacking;             /* memory, ours or the kernel's: nothing tells when there is some again */
	bool fault;               /* the DATA payload under way could not be read: filler took its place */
	bool dead;                /* the peer no longer reads; what is sent vanishes */
	size_t whole;             /* sock_whole(): longer EAGER frames are staged */
	bool grown;               /* the send buffer was made large, for DATA */
};

/* Bytes on their way in. */
struct link_rx {
	const uint8_t *at; /* in the scratch buffer: read and not yet looked at */
	size_t left;
	uint8_t *stash; /* a frame of which only the beginning has come */
	size_t stash_len, stash_need, stash_size;
	bool stash_used;        /* the frame returned last lies there */
	struct iov_cursor into; /* where the payload of the current DATA frame goes */
	uint64_t payload;       /* bytes of it still to come */
	bool ended_payload;     /* all have come, and LINK_PAYLOAD_END is due */
	bool sink;              /* nobody wants them */
	uint64_t skip;          /* bytes of the socket that came by the outbox before */
	uint8_t *aside;         /* OUTBOX_NOTE bytes: the beginning of a frame beside the outbox */
	size_t aside_len;
	bool expect_data;           /* read little at a time, so that payload isn't copied twice */
	unsigned fetches;           /* sent, and the descriptors have not come: reads have room for some */
	struct sock_rights *rights; /* that have come, until their frame is shown; NULL: never any */
	bool rights_shown;          /* it was, by the last link_next() */
	bool rights_due;            /* RIGHTS has come beside the outbox: this */
	uint64_t rights_id;
	uint32_t rights_count, rights_error;
};

struct link {
	struct link_shared *shared;
	enum link_state state;
	int error;              /* why it is DOWN, a negative errno */
	char words[LINK_WORDS]; /* the same in words */

	struct loop *loop; /* instead of a socket, for a link to ourselves */
	int fd, pidfd;     /* pidfd is -1 until the peer is known, or if it has no pid here */
	pid_t pid;
	uid_t uid;
	gid_t gid;
	bool known;         /* credentials have come */
	uint64_t challenge; /* ours */
	word_t *answer;     /* to the peer's; NULL for a link to ourselves */
	uint64_t identity;  /* where its answer to ours lies in its memory; 0: not there, or not known */
	bool names_tracer;  /* holds the name that ptracer.c gives */

	struct link_verdict in, out; /* can we read its memory; can it read ours */
	bool owes_verdict;           /* it is to hear that we can't any more */
	struct wire_hello theirs;

	struct outbox outbox; /* ours */
	struct inbox inbox;   /* the peer's */
	bool rung;            /* BELL, or what is as good, has come; whoever acts on it takes it back */
	bool served;          /* the last read was of one BELL alone, which had its parcel with it */
	bool owes_bell, owes_demote; /* to be said, as soon as the stream takes it */
	struct link_counts counts;

	struct credit_in in_bytes, in_descs;
	struct credit_out out_bytes, out_descs;
	struct link_tx tx;
	struct link_rx rx;
};

/* ---- life (link.c) ---- */

/* Takes fd, a connected AF_UNIX stream socket, and says HELLO. On failure fd is still the caller's. */
int link_init(struct link *l, struct link_shared *shared, int fd);
/* A link to this process itself, open from the start: what is sent comes back. */
int link_init_self(struct link *l, struct link_shared *shared);
/* Whether something has come back and was not read yet. */
bool link_has_come_back(const struct link *l);
/* Closes the descriptors and frees what the link holds. The engine has removed them from its set before. */
void link_fini(struct link *l);
/* Ends the link with an error and words, once; the descriptors stay until link_fini(). Returns error. */
int link_fail(struct link *l, int error, const char *format, ...) __attribute__((cold, format(printf, 3, 4)));
/* The same during the handshake, telling the peer: -EACCES, it is not admitted; -EPIPE, this process is leaving. */
int link_reject(struct link *l, int error, const char *words) __attribute__((cold));
/* Says what is still to be said, a REJECT or BYE perhaps, and tells the peer that this was all. */
void link_hang_up(struct link *l);
/* The same, but goes on listening: link_drain() throws away what comes. 0: the peer has hung up. -EAGAIN:
 * not yet, and more may come. Another error says nothing of the peer. */
void link_fall_silent(struct link *l);
int link_drain(struct link *l);
/* The peer can send no more; what it has sent can still be read, and is bounded by that. */
void link_close_ears(struct link *l);
/* The one place where the state changes. */
void link_move(struct link *l, enum link_state to);
/* The peer's memory can no longer be read: from now on everything comes over the socket, and the peer is told. */
void link_demote(struct link *l, int error, const char *words);

/* What is in our outbox unread goes to the socket, and all that follows: when this process may be gone
 * before the peer has read it. */
void link_leave_outbox(struct link *l);

/* ---- frames in (receive.c) ---- */

enum link_event {
	LINK_NOTHING,     /* all that was read has been used */
	LINK_FRAME,       /* *frame is a message frame; it points into memory valid until the next call */
	LINK_PAYLOAD_END, /* the DATA frame's payload has come whole */
	LINK_UP,          /* the handshake has ended well */
	LINK_DEMOTED,     /* the peer can no longer read our memory: see link.out */
	LINK_FAILED,      /* the link is DOWN now */
};

/* Reads once. > 0: call link_next() until LINK_NOTHING, before any other link of the context reads. 0: the
 * peer has ended its side. -EAGAIN: nothing there. -EFAULT: the memory given to link_payload_into() can't
 * be written; sink it. Else the link has failed. */
ssize_t link_read(struct link *l);
/* The same, but sleeps up to LINK_DOZE_MS for the first byte, deaf to everything else: to be called only when
 * there is nothing else to be heard. -EAGAIN at once where a sleep isn't possible. */
ssize_t link_doze(struct link *l);
/* While the peer's frames come by its outbox: link_read() looks there, and this reads what it says on the socket, as
 * link_read() does. link_next() must follow this, too. */
ssize_t link_hear(struct link *l);
static inline bool link_polls(const struct link *l)
{
	return l->inbox.open;
}
/* Whether more was seen there than was taken. */
static inline bool link_has_more(const struct link *l)
{
	return l->inbox.open && !l->inbox.demoted && (l->inbox.rest > 0 || l->inbox.more);
}
/* Whether what was read last is a reason for no look there: it is all that the peer has told of. */
static inline bool link_is_served(const struct link *l)
{
	return l->served;
}
/* From now on the peer tells us, by the socket, when it leaves something there; but not of what it has left
 * before: so a link_read() must follow. */
void link_arm(struct link *l);
/* Whether it would not tell us. */
static inline bool link_is_deaf(const struct link *l)
{
	return l->inbox.open && !l->inbox.demoted && !l->inbox.armed;
}
/* Whether something is to be said beside an outbox, and could not be yet. */
static inline bool link_owes_aside(const struct link *l)
{
	return l->owes_bell || l->owes_demote || l->tx.aside_len > 0;
}
/* Whether only the socket can say when more may be sent: EPOLLOUT. */
bool link_waits_for_socket(const struct link *l);
/* Whether the peer's outbox has room again for what waits. */
bool link_has_room(struct link *l);
enum link_event link_next(struct link *l, struct wire_frame *frame);

/* Says where the DATA payload just announced goes; must follow the frame at once, else it is sunk. The
 * memory must stay until LINK_PAYLOAD_END or link_payload_sink(). */
void link_payload_into(struct link *l, const struct iov_cursor *into);
/* What is still to come of the payload goes nowhere. */
void link_payload_sink(struct link *l);

/* ---- descriptors (rights.c) ---- */

/* Asks for those of a message. To be followed by link_fetched() once they have come, or will not. */
enum link_sent link_fetch(struct link *l, uint64_t id);
void link_fetched(struct link *l);
/* What came with the RIGHTS frame that link_next() has shown last: how many, now the caller's. *cut is set if there
 * were more. */
size_t link_take_rights(struct link *l, int fds[WIRE_RIGHTS_MOST], bool *cut);
/* Says RIGHTS, with these, which stay the caller's; or with an error that makes it impossible. */
enum link_sent link_send_rights(struct link *l, uint64_t id, const int *fds, size_t count);

/* ---- frames out (transmit.c) ---- */

enum link_sent {
	LINK_TAKEN,
	LINK_NOT_NOW,   /* nothing of it was taken; the engine will say when */
	LINK_UNREADABLE /* nor ever will be: an EAGER payload that can't be read */
};

/*
 * Sends a frame, whole, in order. Small frames gather in library memory until link_flush(); user memory is
 * never held, except that of a DATA payload: as long as link_send_holds(), until link_send_abandon(). payload
 * has frame->payload_len bytes left (NULL if that is 0).
 */
enum link_sent link_send(struct link *l, struct wire_frame *frame, const struct iov_cursor *payload);
/* Whether an EAGER payload so long is copied, and gathers, in memory that is there. What is sent to many at once is not
 * to have a buffer for each: that is for a pump, which gives it to the next. */
bool link_gathers(const struct link *l, uint64_t len);
/* Hands all it can to the kernel. */
void link_flush(struct link *l);
/* Whether user memory is still held by a DATA frame, and giving it up: filler goes in its place. */
bool link_send_holds(const struct link *l);
void link_send_abandon(struct link *l);

/* For handshake frames, which always fit. */
void link_put(struct link *l, struct wire_frame *frame);
void link_put_bytes(struct link *l, const void *bytes, size_t len);

/* Flow control, for those who send and receive messages. */
bool link_may_eager(const struct link *l, size_t len);
bool link_may_desc(const struct link *l);
void link_release_eager(struct link *l, size_t len);
void link_release_desc(struct link *l);
/* Whether each may write into the other's memory, if the kernel lets it: both have agreed. */
bool link_may_push(const struct link *l);
/* Whether a sender may help with the receiver's pull: both have agreed; and each can still read the other's
 * memory. */
bool link_has_two_hands(const struct link *l);
bool link_may_assist(const struct link *l);
/* Whether the peer should hear of new credit. */
bool link_owes_credit(const struct link *l);
/* Says what the peer should hear of the link itself: that we were demoted; new credit, if nothing else told it. */
void link_tell(struct link *l);

/* ---- handshake (handshake.c), called by receive.c ---- */

void handshake_hello(struct link *l, const struct wire_hello *hello);
enum link_event handshake_frame(struct link *l, const struct wire_frame *frame);
/* Our VERDICT, as it stands; the peer's, when it comes after the handshake. */
void handshake_verdict(const struct link *l, struct wire_frame *frame);
enum link_event handshake_verdict_again(struct link *l, const struct wire_frame *frame);

#endif
