/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A process behind a peer that is to be reaped: one that haul_spawn() started, or a child that came otherwise, once it
 * is asked for.
 *
 *     its peer's         freed with it; the process goes on
 *     left behind        haul_spawn() failed, and the kernel is slow to end it: freed when that is reaped
 */
#ifndef HAUL_MSG_WORKER_H
#define HAUL_MSG_WORKER_H

#include <stdbool.h>
#include <sys/types.h>

#include <bsd/sys/queue.h>

#include "engine/engine.h"

struct haul;
struct haul_peer;

struct worker {
	struct haul *haul;
	struct haul_peer *peer; /* NULL: it has none any more */
	pid_t pid;              /* 0: haul_spawn() did not start it */
	int pidfd;
	struct source exit; /* in the set while somebody waits for it */
	unsigned waits;
	bool starting;             /* haul_spawn() owns it */
	bool dead;                 /* its exit was seen */
	int reaped, status;        /* what proc_reap() said last; the process' status if that is 1 */
	TAILQ_ENTRY(worker) entry; /* left behind: in haul.workers */
};

TAILQ_HEAD(worker_list, worker);

/* The peer is no more. */
void worker_forget_peer(struct worker *w);
/* Frees those that were left behind. */
void workers_fini(struct haul *h);

#endif
