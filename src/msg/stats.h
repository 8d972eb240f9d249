/* SPDX-License-Identifier: BSD-3-Clause */
/* Counting, for a peer and for the context at once. What each counter means is told in haul.h. */
#ifndef HAUL_MSG_STATS_H
#define HAUL_MSG_STATS_H

#include "haul/haul.h"
#include "msg/context.h"
#include "msg/peer.h"
#include "os/vm.h"

static inline void stats_copied(struct haul_peer *p, uint64_t bytes)
{
	p->stats.copied_bytes += bytes;
	p->haul->stats.copied_bytes += bytes;
}

/* A message, by the path it took. */
void stats_sent(struct haul_peer *p, enum haul_path path, uint64_t bytes);
void stats_received(struct haul_peer *p, enum haul_path path, uint64_t bytes);
void stats_pulled(struct haul_peer *p, const struct vm_result *r);
/* So many bytes of a pull were the helper's. */
static inline void stats_helped(struct haul_peer *p, uint64_t bytes)
{
	p->stats.helped_bytes += bytes;
	p->haul->stats.helped_bytes += bytes;
}
void stats_pushed(struct haul_peer *p, const struct vm_result *r);
/* A part of a message of ours, written while the peer pulls another: so much of it counts; is it the first? */
void stats_assisted(struct haul_peer *p, uint64_t written, uint64_t copied, unsigned calls, bool first);
void stats_withdrawn(struct haul_peer *p);
/* error is positive. */
void stats_refused(struct haul_peer *p, int error);
/* All that was counted so far. */
void stats_sum(const struct haul *h, struct haul_stats *s);
/* A message came into the queue of those that nobody has asked for; */
void stats_queued(struct haul_peer *p, uint64_t bytes);
/* and it left it. */
static inline void stats_unqueued(struct haul_peer *p, uint64_t bytes)
{
	p->stats.unexpected--;
	p->haul->stats.unexpected--;
	p->stats.unexpected_bytes -= bytes;
	p->haul->stats.unexpected_bytes -= bytes;
}

#endif
