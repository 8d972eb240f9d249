/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine: what a context runs on. It owns the set of descriptors, the timers, the waiting (look, spin,
 * sleep) and the links' comings and goings; it knows frames only as something to pass up. Everything it
 * calls upwards is in conn_ops and engine_ops; none of these calls may block or free the conn it is for.
 */
#ifndef HAUL_ENGINE_ENGINE_H
#define HAUL_ENGINE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "engine/timer.h"
#include "link/link.h"

/* ---- sources: descriptors in the set (source.c) ---- */

struct engine;

/* A descriptor and who is called when it is ready. Embedded in its owner. */
struct source {
	void (*ready)(struct source *s, uint32_t events);
	int fd;
	uint32_t slot; /* + 1; 0: not in the set */
	uint32_t events;
};

struct source_slot {
	struct source *source;
	uint32_t use; /* how often the slot was used: an event for an earlier use is stale */
};

int source_add(struct engine *e, struct source *s, int fd, uint32_t events);
int source_change(struct engine *e, struct source *s, uint32_t events);
void source_remove(struct engine *e, struct source *s); /* before its fd is closed; twice does no harm */

/* ---- conns: links in the loop (conn.c) ---- */

struct conn;

struct conn_ops {
	void (*up)(struct conn *c);                                /* verified; once */
	void (*frame)(struct conn *c, const struct wire_frame *f); /* a message frame */
	void (*payload_end)(struct conn *c);                       /* of the DATA frame before */
	void (*payload_fault)(struct conn *c);                     /* its target can't be written */
	bool (*pump)(struct conn *c); /* say what there is to say; true if more is left that could go now */
	void (*flushed)(struct conn *c); /* the kernel was offered what had gathered, see link.tx.written */
	void (*down)(struct conn *c);    /* see link.error; once, last, with or without up */
};

struct conn {
	struct link link;
	struct engine *engine;
	const struct conn_ops *ops;
	struct source socket, exit; /* exit: the pidfd */
	struct timer deadline;      /* of the handshake */
	bool kicked;                /* in engine.kicked */
	bool starved;               /* set by pump: more is to be said when the peer grants more credit */
	bool ended;                 /* down was called */
	bool burying;               /* what comes now are a dead peer's last words */
	TAILQ_ENTRY(conn) kick;
};

/* Puts a link on fd into the loop; the handshake must end by deadline. On success fd belongs to the conn. */
int conn_init(struct conn *c, struct engine *e, const struct conn_ops *ops, int fd, uint64_t deadline);
/* Takes it out, closes, frees. No callback. */
void conn_fini(struct conn *c);
/* Something may be there to be said: pump is called before the engine waits or returns. */
void conn_kick(struct conn *c);
/* Calls pump and hands to the kernel what it said, right now. */
void conn_pump(struct conn *c);
/* Ends the link: down follows, within the call. */
void conn_fail(struct conn *c, int error, const char *words);
/* The process is known to be gone, or its bytes to be at an end: reads what it left, then fails. */
void conn_bury(struct conn *c);
/* Takes its socket out of the set: the kernel then needs not tell the set of every message. From then on only
 * conn_look() and conn_doze() hear it, until conn_attach(), which must precede any other wait. One at a time. */
void conn_detach(struct conn *c);
void conn_attach(struct conn *c); /* nothing if it is not detached */
/* Reads once without asking the set first. True if anything came. */
bool conn_look(struct conn *c);
/* Sleeps on it alone for a moment, see link_doze(). True if anything came. */
bool conn_doze(struct conn *c);

/* ---- the engine (engine.c, wait.c) ---- */

struct engine_ops {
	bool (*work)(struct engine *e); /* a bounded piece of other work; true if more is left */
};

TAILQ_HEAD(conn_list, conn);

struct engine {
	struct link_shared shared;
	const struct engine_ops *ops;
	int set, wake;
	struct source wake_source;
	struct source_slot *slots;
	uint32_t slot_count, slot_free; /* slot_free: a hint where to look */
	uint32_t source_count;
	struct timers timers;
	struct conn_list kicked;
	struct conn *hot;      /* who spoke last */
	struct conn *detached; /* whose socket is not in the set */
	unsigned streak;       /* waits in a row that did not need the set */
	word_t *alive;         /* 1; wiped to 0 in a forked child */
	atomic_bool interrupted;
	uint64_t spin_limit;  /* ns, the most a wait may spin */
	uint64_t spin_budget; /* what it spins at the moment */
	unsigned spin_misses; /* waits that slept since spinning last paid */
	uint64_t spins, sleeps;
	bool adaptive;
};

int engine_init(struct engine *e, const struct engine_ops *ops, int spin_us);
void engine_fini(struct engine *e);

/* Whether this process is a fork's child and the engine its parent's. */
bool engine_stale(const struct engine *e);

/* One round without waiting: 1 if more can be done at once, 0 if not, or -errno. */
int engine_progress(struct engine *e);

/*
 * Runs the engine until done(arg), the deadline (-ETIMEDOUT) or an interrupt (-EINTR). hint, if not NULL,
 * is the conn from which the next bytes are expected.
 */
int engine_wait(struct engine *e, bool (*done)(void *arg), void *arg, uint64_t deadline, struct conn *hint);

void engine_interrupt(struct engine *e);

/* Internal to the engine: waits for descriptors until `until` and calls their owners; then timers, work,
 * pumps. A detached conn is not heard. */
int engine_round(struct engine *e, uint64_t until);
/* The latter half of it: timers, work, pumps. True if more is left to do at once. */
bool engine_settle(struct engine *e);

#endif
