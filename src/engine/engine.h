/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine: what a context runs on. It owns the lock, the set of descriptors, the timers, the waiting (look,
 * spin, sleep), the descriptor for foreign event loops and the links' comings and goings; it knows frames
 * only as something to pass up. Everything it calls upwards is in conn_ops and engine_ops, with the lock
 * held; none of these calls may block or free the conn it is for.
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
#include "os/lock.h"

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
	void (*up)(struct conn *c);      /* verified; once */
	void (*demoted)(struct conn *c); /* the peer can no longer read our memory */
	void (*frame)(struct conn *c, const struct wire_frame *f); /* a message frame */
	void (*payload_end)(struct conn *c);                       /* of the DATA frame before */
	void (*payload_fault)(struct conn *c);                     /* its target can't be written */
	bool (*pump)(struct conn *c); /* say what there is to say; true if more is left that could go now */
	void (*flushed)(struct conn *c); /* the kernel was offered what had gathered, see link.tx.written */
	void (*down)(struct conn *c);    /* see link.error; once, last, with or without up */
	void (*gone)(struct conn *c); /* after it, if it was not gone then: the peer has exited, or hung up */
};

struct conn {
	struct link link;
	struct engine *engine;
	const struct conn_ops *ops;
	struct source socket, exit; /* exit: the pidfd */
	struct timer deadline;      /* of the handshake */
	struct timer retry;         /* of what lacked memory; or of listening, once it has ended */
	bool kicked;                /* in engine.kicked */
	bool starved;               /* set by pump: more is to be said when the peer grants more credit */
	bool polled;                /* in engine.polled, see polls.c */
	unsigned vain;              /* looks that found nothing since it last had something */
	bool ended;                 /* down was called */
	bool burying;               /* what comes now are a dead peer's last words */
	/* Writes into another's memory (msg/push.c), which nothing can call off. The peer takes our end of file
	 * for the end of ours, so that has to wait; and we its end of file, or its exit, for the end of its. */
	unsigned writing, granted; /* ours under way; of the peer, that may be */
	bool gone;                 /* it has exited, or hung up: it writes no more */
	TAILQ_ENTRY(conn) kick;
	TAILQ_ENTRY(conn) poll;
};

/* Puts a link on fd into the loop; the handshake must end by deadline. On success fd belongs to the conn. */
int conn_init(struct conn *c, struct engine *e, const struct conn_ops *ops, int fd, uint64_t deadline);
/* Its handshake must end by then, if it had no deadline. */
void conn_hurry(struct conn *c, uint64_t deadline);
/* A link to this process itself; it is up. */
int conn_init_self(struct conn *c, struct engine *e, const struct conn_ops *ops);
/* The peer has exited, or hung up. */
void conn_gone(struct conn *c);
/* One of our writes has ended. */
void conn_wrote(struct conn *c);
/* Takes it out, closes, frees. No callback. */
void conn_fini(struct conn *c);
/* Something may be there to be said: pump is called before the engine waits or returns. */
void conn_kick(struct conn *c);
/* Calls pump and hands to the kernel what it said, right now. */
void conn_pump(struct conn *c);
/* Hands to the kernel what was said, without asking whether there is more. */
void conn_flush(struct conn *c);
/* Ends the link: down follows, within the call. */
void conn_fail(struct conn *c, int error, const char *words) __attribute__((cold));
/* The same during the handshake, telling the peer: see link_reject(). */
void conn_reject(struct conn *c, int error, const char *words) __attribute__((cold));
/* The process is known to be gone, or its bytes to be at an end: reads what it left, then fails. */
void conn_bury(struct conn *c);
/* Takes its socket out of the set: the kernel then needs not tell the set of every message. From then on only
 * conn_look() and conn_doze() hear it, until conn_attach(), which must precede any other wait. One at a time. */
void conn_detach(struct conn *c);
void conn_attach(struct conn *c); /* nothing if it is not detached */
/* Reads once without asking the set first. True if anything came, be it the end. */
bool conn_look(struct conn *c);
/* Sleeps on it alone for a moment, see link_doze(). True likewise. */
bool conn_doze(struct conn *c);
/* Looks for the last time before a sleep: what comes later, the socket will tell. True likewise. */
bool conn_arm(struct conn *c);

/* ---- the engine (engine.c, wait.c, threads.c, pollable.c) ---- */

struct engine_ops {
	/* A bounded piece of other work; true if more is left. May be outside the lock for a while, by
	 * engine_step_out(), and is the only one that may. */
	bool (*work)(struct engine *e);
};

/* A blocked call. On the stack of its thread, and in engine.waits. */
struct wait {
	bool (*done)(void *arg);
	void *arg;
	struct conn *hint; /* NULL once that conn is no more */
	bool serving;      /* the progress thread: it waits for nothing of its own */
	bool firm;         /* can't be called off */
	bool sleeping;     /* on cond */
	pthread_t thread;
	pthread_cond_t cond; /* signalled when it is done, or may drive */
	TAILQ_ENTRY(wait) entry;
};

TAILQ_HEAD(wait_list, wait);

/* What a foreign event loop waits for (pollable.c): a set around the set. */
struct pollable {
	int set; /* -1: nobody has asked for it */
	int timer, bell;
	uint64_t timer_at; /* what the timer is set to */
	uint64_t seen;     /* engine.news when haul_progress() last returned: to the owner, if there is one */
	bool looked;       /* it ever did, */
	pthread_t looker;  /* to that thread */
	bool armed;        /* news is to ring the bell */
	bool ringing;
	bool owned;      /* a thread has armed it: what others do is news to that one */
	pthread_t owner; /* which */
};

TAILQ_HEAD(conn_list, conn);

struct engine {
	struct lock lock;
	struct link_shared shared;
	const struct engine_ops *ops;
	int set, wake;
	struct source wake_source;
	struct source_slot *slots;
	uint32_t slot_count, slot_free; /* slot_free: a hint where to look */
	uint32_t source_count;
	struct timers timers;
	struct conn_list kicked;
	struct conn_list polled; /* whose outboxes are looked into, those that spoke last first */
	unsigned polled_count;
	struct conn *hot;      /* who spoke last */
	struct conn *detached; /* whose socket is not in the set */
	unsigned streak;       /* waits in a row that did not need the set */
	uint64_t birth;        /* of the process, see words.h: a forked child has another one */
	atomic_bool interrupted;
	uint64_t spin_limit;  /* ns, the most a wait may spin */
	uint64_t spin_budget; /* what it spins at the moment */
	unsigned spin_misses; /* waits that slept since spinning last paid */
	uint64_t spins, sleeps;
	bool adaptive;
	unsigned yields; /* a wait yields so often before it sleeps */
	bool due;        /* ops.work has something to do */
	uint64_t news;   /* arrivals and completions so far */

	struct wait_list waits; /* in the order they began */
	struct wait *driver;    /* the one that drives: spins, or sleeps in the set */
	bool asleep;            /* it sleeps in the set, outside the lock, */
	uint64_t asleep_until;  /* so long at the most */
	unsigned outside;       /* threads in the middle of a call, without the lock, that don't wait */
	bool quitting;          /* all of them are to leave */
	pthread_cond_t left;    /* signalled then by each that does */
	bool serviced;          /* there is a progress thread */
	pthread_t service;
	struct pollable pollable;
};

int engine_init(struct engine *e, const struct engine_ops *ops, int spin_us);
void engine_fini(struct engine *e);
/* Only that, for a forked child that can't trust the rest. */
void engine_close_fds(struct engine *e);

/* Whether this process is a fork's child and the engine its parent's. */
bool engine_stale(const struct engine *e);

/* One round without waiting: 1 if more can be done at once, 0 if not, or -errno. */
int engine_progress(struct engine *e);

/*
 * Runs the engine, or lets another thread run it, until done(arg), the deadline (-ETIMEDOUT), an interrupt
 * (-EINTR) or engine_quit() (-EBADF). hint, if not NULL, is the conn from which the next bytes are expected.
 * Gives the lock up meanwhile; done is called with it held, by any thread.
 */
int engine_wait(struct engine *e, bool (*done)(void *arg), void *arg, uint64_t deadline, struct conn *hint);

/* The same as the end of a call that has failed already: an interrupt ends it too, but is kept for the next call. */
void engine_grace(struct engine *e, bool (*done)(void *arg), void *arg, uint64_t deadline);

/* The same for a wait that the caller has filled in; internal to the engine. */
int engine_run_wait(struct engine *e, struct wait *w, uint64_t deadline);

/* Waits until done(arg), for a copy that is under way, in another thread or by a peer. Nothing else ends this. */
void engine_await(struct engine *e, bool (*done)(void *arg), void *arg);

/* ops.work will have something to do. */
static inline void engine_due(struct engine *e)
{
	e->due = true;
}

/* How waits begin, where that was left to the library. By spinning, always: who sleeps in turn with those it waits for
 * would learn from that to sleep. Or by yielding the CPU a few times to those it waits for. */
void engine_spin(struct engine *e, bool may);

void engine_interrupt(struct engine *e);

/* ---- outboxes (polls.c) ---- */

/* It spoke: its outbox is looked into from now on. Nothing for one without. */
void polls_add(struct conn *c);
void polls_remove(struct conn *c);
/* Looks into those of all that are looked into. True if more is there than was taken. */
bool polls_round(struct engine *e);
/* Before a sleep: none is, and whoever puts something in says so. True if something was there, or
 * is to be said. */
bool polls_stop(struct engine *e);
/* Who is to be looked at next, if nobody knows better; NULL: nobody. */
struct conn *polls_next(struct engine *e);

/* ---- threads (threads.c): all of the above is to be called with the lock held, but engine_interrupt() ---- */

/* Sees to it that whoever has to know of what was done does: before the lock is given up, however. */
void engine_settle_up(struct engine *e);

static inline void engine_enter(struct engine *e)
{
	lock_take(&e->lock);
}

/* Gives the lock up, after settling up with whom there is. */
static inline void engine_leave(struct engine *e)
{
	if (!TAILQ_EMPTY(&e->waits) || e->pollable.set >= 0)
		engine_settle_up(e);
	lock_give(&e->lock);
}

/* The same, in the middle of a call that comes back: to copy, or to run somebody else's code. */
void engine_step_out(struct engine *e);
void engine_step_in(struct engine *e);
/* In the middle of a call that goes on: lets in whoever wants to, and wakes whoever has something to do. The context may
 * be quitting afterwards, but is there. */
void engine_let(struct engine *e);
/* Starts the progress thread. */
int engine_serve(struct engine *e);
/* Ends all waits, and returns when no other thread is in the middle of a call. */
void engine_quit(struct engine *e);
/* Wakes those whose waiting is over, and somebody to drive if nobody does. */
void engine_wake_waits(struct engine *e);

/* ---- foreign event loops (pollable.c) ---- */

int pollable_open(struct engine *e);
void pollable_fini(struct engine *e);
/* See haul_arm(). */
int pollable_arm(struct engine *e);
/* haul_progress() begins; returns. */
void pollable_begin(struct engine *e);
void pollable_end(struct engine *e, bool more);
/* Before the lock is given up: the descriptor is to be honest. */
void pollable_refresh(struct engine *e);
void pollable_ring(struct engine *e);

/* Something arrived, or completed. */
static inline void engine_news(struct engine *e)
{
	e->news++;
	if (e->pollable.armed)
		pollable_ring(e);
}

/* Internal to the engine: waits for descriptors until `until` and calls their owners; then timers, work,
 * pumps. A detached conn is not heard. */
int engine_round(struct engine *e, uint64_t until);
/* The latter half of it: timers, work, pumps. True if more is left to do at once. */
bool engine_settle(struct engine *e);
/* The last part of that. */
void engine_pump_all(struct engine *e);
/* Hears what a detached conn would miss in the set. */
void engine_attach(struct engine *e);

#endif
