/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A lane: one thread's program on its node's context, with its operations under way. All of it belongs to that
 * thread, the counters of callbacks excepted.
 */
#ifndef HAUL_TESTS_PLAIN_STRESS_LANE_H
#define HAUL_TESTS_PLAIN_STRESS_LANE_H

#include <haul/haul.h>

#include "stress_arena.h"
#include "stress_ledger.h"

enum { JOBS = 40, SENDS = 14, WANTS = 16, HELD = 4, NOTICES = 1 << 16, SOON_MS = 3 };

struct node {
	unsigned index;
	struct haul *haul;
	struct haul_peer *peers[NODES_MOST]; /* itself: haul_self(), or NULL */
	struct haul_options options;
	bool alone;               /* nobody but the lane is ever in the context */
	_Atomic unsigned running; /* lanes */
};

/* A message to be sent. */
struct sending {
	unsigned to, flags;
	struct plan plan;
	struct sent *sent;
	struct buffer *buffer;
};

/* A receive, take or probe. */
struct wanting {
	uint32_t number;
	struct want *want;
	struct haul_match match;
	struct buffer *buffer; /* NULL but for receives */
};

/* A message that was taken. */
struct held {
	struct haul_msg *msg; /* NULL: unused */
	unsigned by;
	uint32_t number;
	struct plan plan;
	struct wanting taker;
	unsigned reads; /* under way */
};

enum job_kind { JOB_NONE, JOB_SEND, JOB_RECV, JOB_TAKE, JOB_READ };

struct job {
	enum job_kind kind;
	struct haul_req *req;
	bool cancel_asked, deadline_asked;
	uint64_t born;
	struct notice *notice;
	struct notice *batch; /* that it belongs to */
	union {
		struct sending sending;
		struct wanting wanting;
		struct {
			struct held *held;
			uint64_t offset;
			struct buffer *buffer;
		} read;
	};
};

/* A callback to come, and how often it came. */
struct notice {
	_Atomic unsigned count;
	bool owed;            /* it must come; else it may */
	_Atomic bool dropped; /* it must not */
	struct lane *lane;
	struct haul_req *req;
	struct job *job; /* the callback ends it; only while alone */
};

struct lane {
	struct node *node;
	unsigned index;
	uint64_t random;
	uint64_t ops; /* begun: sends, receives, and what is done to them */
	uint32_t clock, wants;
	uint32_t next[NODES_MOST]; /* number of the next message to each */
	uint32_t seen[NODES_MOST]; /* the highest number got from each, plus one */
	struct job jobs[JOBS];
	struct held held[HELD];
	struct arena arena;
	struct notice *notices;
	unsigned notice_count;
	unsigned unseen; /* buffers of operations that were let go of */
};

static inline size_t below(struct lane *l, size_t bound)
{
	return random_below(&l->random, bound);
}

static inline bool chance(struct lane *l, size_t n)
{
	return one_in(&l->random, n);
}

/* How long to wait: mostly not at all. */
static inline int soon(struct lane *l)
{
	return chance(l, 6) ? 1 + (int)below(l, SOON_MS) : 0;
}

/* Something went forward: the watchdog may be at ease. */
static inline void headway(struct lane *l)
{
	atomic_fetch_add(&ledger->headway[l->node->index][l->index], 1);
}

static inline bool killed(unsigned node)
{
	return atomic_load(&ledger->killed[node]);
}

/* ---- stress_lane.c ---- */

void lane_init(struct lane *l, struct node *n, unsigned index);
void lane_run(struct lane *l);
void lane_fini(struct lane *l);

/* ---- stress_messages.c ---- */

/* Chooses a message and writes it to a buffer. False: not now. */
bool sending_begin(struct lane *l, struct sending *s, unsigned flags);
/* It has ended so. canceled, late: that was asked for. */
void sending_end(struct lane *l, struct sending *s, int outcome, bool unknown, bool canceled, bool late);
/* The same, where the caller can't tell what became of it. */
void sending_lost(struct lane *l, struct sending *s);
unsigned random_flags(struct lane *l);

/* What to ask for, and how much of it there may be. */
size_t random_match(struct lane *l, struct haul_match *m);
bool wanting_begin(struct lane *l, struct wanting *w, enum want_kind kind, const struct haul_match *m,
    size_t len);
void wanting_ask(struct lane *l, struct wanting *w);
/* A receive has ended so. */
void wanting_end(struct lane *l, struct wanting *w, const struct haul_status *s, bool late);
/* Without a message, which is all right if error may be. holder: whose message it had and lost again, or NULL. */
void wanting_missed(struct lane *l, struct wanting *w, int error, struct haul_peer *holder);
/* Whose message this is; it must be one that w wants. */
struct plan identify(struct lane *l, const struct wanting *w, const struct haul_status *s, unsigned *by,
    uint32_t *number);
void received(struct lane *l, const struct wanting *w, unsigned by, uint32_t number, int answer, bool softly);

/* ---- stress_jobs.c ---- */

bool job_room(const struct lane *l, enum job_kind kind);
struct job *job_new(struct lane *l, enum job_kind kind, struct haul_req *req);
/* A random one under way, of this kind or any (JOB_NONE). */
struct job *job_pick(struct lane *l, enum job_kind kind);
unsigned jobs_under_way(const struct lane *l);
/* Its request is complete, and is finished. */
void job_end(struct lane *l, struct job *j);
void job_cancel(struct lane *l, struct job *j);
void job_deadline(struct lane *l, struct job *j, int ms);
void job_let_go(struct lane *l, struct job *j);
void job_notify(struct lane *l, struct job *j);
struct notice *notice_new(struct lane *l, struct haul_req *req, struct job *j);
void notice_call(struct haul_req *r, void *arg);
/* Makes progress until it was called. */
void notice_await(struct lane *l, struct notice *n);
/* Ends those that are complete; waits for one to be. */
void reap(struct lane *l, int timeout_ms);

/* ---- stress_calls.c ---- */

void start_send(struct lane *l);
void start_recv(struct lane *l);
void start_take(struct lane *l);
void call_send(struct lane *l);
void call_recv(struct lane *l);
void call_take(struct lane *l);
void call_sendrecv(struct lane *l);
void call_probe(struct lane *l);
/* Receives anything that is there, or comes soon. Returns false if nothing was. */
bool receive_anything(struct lane *l, int timeout_ms);
/* HAUL_COPY of so much is refused, and not begun at all. */
bool too_long_to_copy(const struct lane *l, const struct sending *s);

/* ---- stress_batch.c ---- */

void call_submit(struct lane *l);

/* ---- stress_progress.c ---- */

void call_progress(struct lane *l);
void call_arm(struct lane *l);
void call_wait_certain(struct lane *l);
void call_peer_cancel(struct lane *l);
void call_look(struct lane *l);

/* ---- stress_taken.c ---- */

bool held_room(const struct lane *l);
/* The take has ended so. */
void taken(struct lane *l, struct wanting *w, const struct haul_status *s);
void held_read(struct lane *l, bool at_once);
void held_read_end(struct lane *l, struct job *j, int rc, const struct haul_status *s);
/* Done with it, or refused. False: a read is under way. */
bool held_end(struct lane *l, struct held *h);

#endif
