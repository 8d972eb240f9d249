/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Notices: that a completion is to be told, by a call or by a queued signal. A call is queued here until
 * haul_progress() runs it, with no lock held; a signal goes at once, or is tried again while the process has
 * too many of them. Embedded in requests and batches.
 */
#ifndef HAUL_MSG_NOTIFY_H
#define HAUL_MSG_NOTIFY_H

#include <stdbool.h>

#include <bsd/sys/queue.h>

#include "haul/haul.h"

struct notice {
	struct haul_notify what;
	struct haul_req *req;      /* NULL: a batch, which has no other owner and is freed when all is told */
	bool call_due, signal_due; /* in haul.calls, haul.signals */
	TAILQ_ENTRY(notice) call, signal;
};

TAILQ_HEAD(notice_list, notice);

void notice_init(struct notice *n, struct haul_req *r);
/* What is to be told; NULL: nothing. -EINVAL for a signal that can't be. */
int notice_set(struct haul *h, struct notice *n, const struct haul_notify *what);
/* It has come about: a request's; or a batch's, which is freed when all is told. */
void notice_tell(struct haul *h, struct notice *n);
void notice_tell_batch(struct haul *h, struct notice *n);
/* What has not been told will not be. */
void notice_drop(struct haul *h, struct notice *n);

/* Runs the calls that are due, at most `most`, outside the lock. */
void notices_run(struct haul *h, unsigned most);
/* Tries again what signals could not be queued; from the engine's rounds. */
void notices_retry(struct haul *h);

/* The context is about to go: what was not told never will be, and batches' notices are freed. */
void notices_fini(struct haul *h);

/* Whether this thread is in one of the context's calls. */
bool notices_calling(const struct haul *h);

#endif
