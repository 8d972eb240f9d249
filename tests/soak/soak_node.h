/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of a node share. It has one thread of its own. */
#ifndef HAUL_TESTS_SOAK_SOAK_NODE_H
#define HAUL_TESTS_SOAK_SOAK_NODE_H

#include "soak.h"

enum { LINKS = 8, JOBS = 80, WANTS = 12, RING = 8, STREAMS = 64, SEEN = 1 << 15 };

/* A connection. */
struct link {
	struct haul_peer *peer; /* NULL: not in use */
	struct haul_req *watch;
	unsigned node;   /* at the other end */
	uint32_t term;   /* its term when we met */
	int64_t born;    /* when that was */
	uint32_t serial; /* of what we send there */
	uint32_t next[LANES];
	uint64_t least[LANES], unsure[LANES]; /* sent and received for certain, or perhaps */
	unsigned under_way[LANES];
	unsigned milestone;
};

/* What has come from the other end of a connection. */
struct stream {
	uint32_t from_serial; /* of whom, and the connection's serial there */
	uint64_t used;        /* when last */
	uint32_t after[LANES];
	uint64_t seen[STRICT], unsure[STRICT];
	uint8_t bits[SEEN / 8]; /* of the lane that isn't strict, the last SEEN messages */
};

enum job_kind { JOB_NONE, JOB_SEND, JOB_RECV, JOB_TAKE };

struct job {
	enum job_kind kind;
	struct haul_req *req;
	struct buffer *buffer;
	unsigned lane;
	bool strict; /* in a ring */
	bool cancel_asked, deadline_asked;
	int64_t born, limit_ms; /* of the node's own time */
	/* a send */
	uint64_t tag;
	unsigned flags;
	uint32_t serial; /* of the link */
	unsigned to;
	uint32_t term;
};

/* A receive of a strict lane, in the order they were posted. */
struct place {
	struct job *job; /* NULL: it has ended */
	uint64_t tag;    /* of what it got; 0: nothing */
	bool unsure;     /* whether its sender knows */
};

struct node {
	unsigned index;
	uint64_t random;
	struct haul *haul;
	struct haul_listener *listener;
	struct haul_req *accept, *connect[NODES];
	int64_t connect_at[NODES]; /* not before */
	struct link links[LINKS];
	struct stream *streams;
	uint64_t clock;
	struct job jobs[JOBS];
	struct place ring[STRICT][RING];
	unsigned first[STRICT], length[STRICT];
	struct arena arena;
	struct haul_stats stats; /* what the board has been told */
	int64_t own_ms;          /* the time it has run: not that in which it was stopped */
	bool leaving;            /* or its context is about to end */
};

static inline size_t below(struct node *n, size_t bound)
{
	return random_below(&n->random, bound);
}

static inline bool chance(struct node *n, size_t one_of)
{
	return one_in(&n->random, one_of);
}

void links_open(struct node *n);
void links_tend(struct node *n);
void links_close(struct node *n);
/* One that is in use, or NULL. */
struct link *link_pick(struct node *n);
struct link *link_by_serial(struct node *n, uint32_t serial);
/* Whether connections with that node, met in that term, may break. */
bool may_break(const struct node *n, unsigned node, uint32_t term);

void traffic_step(struct node *n);
/* Before the context is closed, and after. */
void traffic_end(struct node *n);
void traffic_forget(struct node *n);

struct job *job_new(struct node *n, enum job_kind kind, unsigned lane);
void job_started(struct node *n, struct job *j, int deadline_ms);
void job_finish(struct node *n, struct job *j);
void send_begin(struct node *n);
void send_now(struct node *n);
void send_end(struct node *n, struct job *j, int rc, const struct haul_status *s);
void recv_begin(struct node *n);
void recv_now(struct node *n);
void recv_end(struct node *n, struct job *j, const struct haul_status *s);
void take_end(struct node *n, struct job *j, const struct haul_status *s);
void rings_fill(struct node *n);
void probe_now(struct node *n);

/* A tag says it all. */
struct plan plan_of(uint64_t tag);
uint64_t tag_of(unsigned from, unsigned lane, uint32_t serial, uint32_t number);
unsigned tag_from(uint64_t tag);
unsigned tag_lane(uint64_t tag);
uint32_t tag_serial(uint64_t tag);
void lane_match(struct haul_match *m, unsigned lane);

/* The receives of a strict lane, in the order in which they were posted; and those of the other, at once. */
void stream_arrived(struct node *n, uint64_t tag, bool unsure);
/* A link's next message in a lane, that nothing is under way in: says what must have come before it. */
void milestone_set(struct node *n, struct link *l, unsigned lane);

/* Options of a context, and their name; a way to be refused from now on: its name, NULL if that didn't work. */
const char *flavour_pick(uint64_t *random, struct haul_options *options);
const char *refusal_pick(uint64_t *random);

#endif
