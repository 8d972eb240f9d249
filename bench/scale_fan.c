/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One process, the hub, sends to many others in turn, or many send to one. Messages are written and checked as message.c does it.
 * A part is announced to each by a note; the clock runs from when all are ready until all is received.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "scale.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

enum { LEAST = 32, MOST = 1 << 20, SHORT = 4096 };

struct fan {
	const struct task *t;
	bool out;
	uint64_t done;                        /* messages with each, in parts before */
	struct messages messages[FAN_WINDOW]; /* one each; who receives uses the first */
};

static void map_all(struct fan *f, size_t len)
{
	for (unsigned slot = 0; slot < FAN_WINDOW; slot++) {
		messages_map(&f->messages[slot], f->out ? 0 : 1, 1, len, false);
		messages_fill(&f->messages[slot]);
	}
}

static void unmap_all(struct fan *f)
{
	for (unsigned slot = 0; slot < FAN_WINDOW; slot++)
		messages_unmap(&f->messages[slot]);
}

static void tell(const struct fan *f, uint64_t n)
{
	for (unsigned peer = 0; peer < f->t->peers; peer++)
		f->t->w->send(peer, &n, sizeof(n));
}

static void hear(const struct fan *f)
{
	uint64_t n;
	for (unsigned peer = 0; peer < f->t->peers; peer++)
		f->t->w->recv(peer, &n, sizeof(n));
}

/* All messages, to `peers` others in turn; slots in turn, too: one is used again when its message has left. */
static void send_all(const struct fan *f, unsigned peers, uint64_t n)
{
	const struct ways *w = f->t->w;
	uint64_t all = n * peers;
	for (uint64_t i = 0; i < all + FAN_WINDOW; i++) {
		unsigned slot = (unsigned)(i % FAN_WINDOW);
		const struct messages *m = &f->messages[slot];
		if (i >= FAN_WINDOW && i - FAN_WINDOW < all)
			w->finish(slot);
		if (i >= all)
			continue;
		messages_mark(m, 0, f->done + i / peers);
		w->begin((unsigned)(i % peers), slot, messages_at(m, 0), m->len);
	}
}

/* From whoever has sent something; of each in order. */
static void hub_receives(const struct fan *f, uint64_t n)
{
	const struct messages *m = &f->messages[0];
	uint64_t next[PEERS_MOST] = { 0 };
	for (uint64_t i = 0; i < n * f->t->peers; i++) {
		unsigned peer = f->t->w->recv_any(messages_at(m, 0), m->len);
		messages_check_marks(m, 0, f->done + next[peer]++);
	}
}

static void other_receives(const struct fan *f, uint64_t n)
{
	const struct messages *m = &f->messages[0];
	for (uint64_t i = 0; i < n; i++) {
		f->t->w->recv(0, messages_at(m, 0), m->len);
		messages_check_marks(m, 0, f->done + i);
	}
}

/* Seconds. */
static double part(struct fan *f, uint64_t n)
{
	tell(f, n);
	hear(f);
	double start = now_seconds();
	if (f->out) {
		send_all(f, f->t->peers, n);
		hear(f);
	} else {
		tell(f, n);
		hub_receives(f, n);
	}
	f->done += n;
	return now_seconds() - start;
}

void fan_hub(const struct task *t, bool out, size_t len)
{
	struct fan f = { .t = t, .out = out };
	double budget = t->budget_ms / 1e3 / PARTS, rates[PARTS];
	uint64_t n = LEAST;

	map_all(&f, len);
	for (double took = 0; took < budget / 4 && n < MOST;) {
		took = part(&f, n);
		double wanted = (double)n * budget / took;
		n = wanted > (double)n * 16 ? n * 16 : (uint64_t)wanted;
		n = n < LEAST ? LEAST : n > MOST ? MOST : n;
	}
	for (unsigned i = 0; i < PARTS; i++)
		rates[i] = (double)(n * t->peers) / part(&f, n);
	tell(&f, 0);
	unmap_all(&f);

	const char *what = out ? "fanout" : "fanin";
	double rate = middle(rates, PARTS);
	if (len < SHORT)
		printf("%s-rate,%s,sleep,%u,M/s,%.6g\n", what, t->w->name, t->peers, rate / 1e6);
	else
		printf("%s,%s,sleep,%u,MB/s,%.6g\n", what, t->w->name, t->peers, rate * (double)len / 1e6);
}

void fan_other(const struct task *t, bool out, size_t len)
{
	struct fan f = { .t = t, .out = out };
	uint64_t n;

	map_all(&f, len);
	for (t->w->recv(0, &n, sizeof(n)); n > 0; t->w->recv(0, &n, sizeof(n))) {
		t->w->send(0, &n, sizeof(n));
		if (out) {
			other_receives(&f, n);
			t->w->send(0, &n, sizeof(n));
		} else {
			t->w->recv(0, &n, sizeof(n)); /* go */
			send_all(&f, 1, n);
		}
		f.done += n;
	}
	unmap_all(&f);
}
