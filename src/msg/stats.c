/* SPDX-License-Identifier: BSD-3-Clause */
/* Counting. See stats.h. */
#include "msg/stats.h"

#include <errno.h>

#include "os/reason.h"

/* Where an event is counted: of the peer, and of all. */
struct both {
	struct haul_stats *s[2];
};

static struct both both(struct haul_peer *p)
{
	return (struct both){ { &p->stats, &p->haul->stats } };
}

/* Messages, and after them their bytes. */
static uint64_t *sent(struct haul_stats *s, enum haul_path path)
{
	switch (path) {
	case HAUL_PATH_EAGER:
		return &s->sent_eager;
	case HAUL_PATH_STREAM:
		return &s->sent_stream;
	case HAUL_PATH_PUSH:
		return &s->sent_push;
	default:
		return &s->sent_pull;
	}
}

static uint64_t *received(struct haul_stats *s, enum haul_path path)
{
	switch (path) {
	case HAUL_PATH_EAGER:
		return &s->received_eager;
	case HAUL_PATH_STREAM:
		return &s->received_stream;
	case HAUL_PATH_PUSH:
		return &s->received_push;
	default:
		return &s->received_pull;
	}
}

void stats_sent(struct haul_peer *p, enum haul_path path, uint64_t bytes)
{
	struct both b = both(p);
	for (int i = 0; i < 2; i++) {
		sent(b.s[i], path)[0]++;
		sent(b.s[i], path)[1] += bytes;
	}
}

void stats_received(struct haul_peer *p, enum haul_path path, uint64_t bytes)
{
	struct both b = both(p);
	for (int i = 0; i < 2; i++) {
		received(b.s[i], path)[0]++;
		received(b.s[i], path)[1] += bytes;
	}
}

void stats_pulled(struct haul_peer *p, const struct vm_result *r)
{
	struct both b = both(p);
	for (int i = 0; i < 2; i++) {
		b.s[i]->pull_calls += r->calls;
		b.s[i]->pull_iovecs += r->iovecs;
		b.s[i]->pull_retries += r->retries;
	}
}

void stats_pushed(struct haul_peer *p, const struct vm_result *r)
{
	p->stats.push_calls += r->calls;
	p->haul->stats.push_calls += r->calls;
	stats_copied(p, r->moved);
}

void stats_assisted(struct haul_peer *p, uint64_t written, uint64_t copied, unsigned calls, bool first)
{
	struct both b = both(p);
	for (int i = 0; i < 2; i++) {
		b.s[i]->assisted += first ? 1 : 0;
		b.s[i]->assisted_bytes += written;
		b.s[i]->push_calls += calls;
	}
	stats_copied(p, copied);
}

void stats_withdrawn(struct haul_peer *p)
{
	p->stats.withdrawn++;
	p->haul->stats.withdrawn++;
}

void stats_refused(struct haul_peer *p, int error)
{
	struct both b = both(p);
	for (int i = 0; i < 2; i++) {
		int at = 0;
		while (at < HAUL_STATS_REFUSALS - 1 && b.s[i]->refusals[at].error != error &&
		    b.s[i]->refusals[at].error != 0)
			at++;
		if (b.s[i]->refusals[at].error == 0)
			b.s[i]->refusals[at].error = error;
		b.s[i]->refusals[at].count++;
	}
}

static void count_queued(struct haul_stats *s, uint64_t bytes)
{
	s->unexpected++;
	s->unexpected_bytes += bytes;
	if (s->unexpected > s->unexpected_most)
		s->unexpected_most = s->unexpected;
	if (s->unexpected_bytes > s->unexpected_most_bytes)
		s->unexpected_most_bytes = s->unexpected_bytes;
}

void stats_queued(struct haul_peer *p, uint64_t bytes)
{
	count_queued(&p->stats, bytes);
	count_queued(&p->haul->stats, bytes);
}

/* What the links count themselves. */
static void fill_counts(struct haul_stats *s, const struct link_counts *c)
{
	s->polls = c->polls;
	s->empty_polls = c->empty_polls;
	s->polled_frames = c->polled_frames;
	s->bells_sent = c->bells_sent;
	s->bells_received = c->bells_received;
}

void stats_sum(const struct haul *h, struct haul_stats *s)
{
	struct link_counts counts = h->engine.shared.counts;
	struct haul_peer *p;
	*s = h->stats;
	TAILQ_FOREACH (p, &h->peers, entry)
		link_counts_add(&counts, &peer_link(p)->counts);
	fill_counts(s, &counts);
	s->spins = h->engine.spins;
	s->sleeps = h->engine.sleeps;
}

/* ---- public ---- */

int haul_stats(struct haul *h, struct haul_stats *stats, size_t stats_size)
{
	struct haul_stats s;
	int rc = context_enter(h);
	if (rc != 0)
		return rc;
	stats_sum(h, &s);
	rc = stats == NULL ? reason(-EINVAL, "no place for the counters")
	                   : context_copy_out(stats, stats_size, &s, sizeof(s));
	return context_leave(h, rc);
}

int haul_peer_stats(struct haul_peer *p, struct haul_stats *stats, size_t stats_size)
{
	int rc = peer_enter(p);
	if (rc != 0)
		return rc;
	struct haul_stats s = p->stats;
	fill_counts(&s, &peer_link(p)->counts);
	rc = stats == NULL ? reason(-EINVAL, "no place for the counters")
	                   : context_copy_out(stats, stats_size, &s, sizeof(s));
	return context_leave(p->haul, rc);
}
