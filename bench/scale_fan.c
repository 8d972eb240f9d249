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
	uint64_t done; /* messages with each, in parts before */
	struct messages messages;
};

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

/* Slots in turn; one is used again when its message has left. */
static void hub_sends(const struct fan *f, uint64_t n)
{
	const struct ways *w = f->t->w;
	uint64_t all = n * f->t->peers;
	for (uint64_t i = 0; i < all + FAN_WINDOW; i++) {
		unsigned slot = (unsigned)(i % FAN_WINDOW);
		if (i >= FAN_WINDOW && i - FAN_WINDOW < all)
			w->finish(slot);
		if (i >= all)
			continue;
		messages_mark(&f->messages, slot, f->done + i / f->t->peers);
		w->begin((unsigned)(i % f->t->peers), slot, messages_at(&f->messages, slot), f->messages.len);
	}
	hear(f);
}

/* From whoever has sent something; of each in order. */
static void hub_receives(const struct fan *f, uint64_t n)
{
	uint64_t next[PEERS_MOST] = { 0 };
	for (uint64_t i = 0; i < n * f->t->peers; i++) {
		unsigned peer = f->t->w->recv_any(messages_at(&f->messages, 0), f->messages.len);
		messages_check_marks(&f->messages, 0, f->done + next[peer]++);
	}
}

/* Seconds. */
static double part(struct fan *f, uint64_t n)
{
	tell(f, n);
	hear(f);
	double start = now_seconds();
	if (f->out) {
		hub_sends(f, n);
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

	messages_map(&f.messages, out ? 0 : 1, FAN_WINDOW, len, false);
	messages_fill(&f.messages);
	for (double took = 0; took < budget / 4 && n < MOST;) {
		took = part(&f, n);
		double wanted = (double)n * budget / took;
		n = wanted > (double)n * 16 ? n * 16 : (uint64_t)wanted;
		n = n < LEAST ? LEAST : n > MOST ? MOST : n;
	}
	for (unsigned i = 0; i < PARTS; i++)
		rates[i] = (double)(n * t->peers) / part(&f, n);
	tell(&f, 0);
	messages_unmap(&f.messages);

	const char *what = out ? "fanout" : "fanin";
	double rate = middle(rates, PARTS);
	if (len < SHORT)
		printf("%s-rate,%s,sleep,%u,M/s,%.6g\n", what, t->w->name, t->peers, rate / 1e6);
	else
		printf("%s,%s,sleep,%u,MB/s,%.6g\n", what, t->w->name, t->peers, rate * (double)len / 1e6);
}

void fan_other(const struct task *t, bool out, size_t len, unsigned self)
{
	struct fan f = { .t = t, .out = out };
	uint64_t n;

	messages_map(&f.messages, out ? 0 : 1, FAN_WINDOW, len, false);
	messages_fill(&f.messages);
	for (t->w->recv(0, &n, sizeof(n)); n > 0; t->w->recv(0, &n, sizeof(n))) {
		t->w->send(0, &n, sizeof(n));
		if (!out)
			t->w->recv(0, &n, sizeof(n));
		for (uint64_t i = 0; i < n; i++) {
			/* A message is received in the slot that it was sent from: that shows in its bytes. */
			unsigned slot = out ? (unsigned)((i * t->peers + self) % FAN_WINDOW) : 0;
			if (!out)
				messages_mark(&f.messages, slot, f.done + i);
			(out ? t->w->recv : t->w->send)(0, messages_at(&f.messages, slot), len);
			if (out)
				messages_check_marks(&f.messages, slot, f.done + i);
		}
		f.done += n;
		if (out)
			t->w->send(0, &n, sizeof(n));
	}
	messages_unmap(&f.messages);
}
