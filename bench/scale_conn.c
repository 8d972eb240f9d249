/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two processes with many connections: a number goes forth and back over one after the other; and the memory that each process
 * has taken for them when all have been used, but for what the kernel has.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "scale.h"

#include <err.h>
#include <stdio.h>

static uint64_t last; /* number */

static void turns(const struct task *t, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t sent = ++last, came = 0;
		unsigned peer = (unsigned)(sent % t->peers);
		t->w->send(peer, &sent, sizeof(sent));
		t->w->recv(peer, &came, sizeof(came));
		if (came != sent)
			errx(1, "wrong bytes: %llu instead of %llu", (unsigned long long)came,
			    (unsigned long long)sent);
	}
}

void connections_hub(const struct task *t, long before_kib)
{
	double budget = t->budget_ms / 1e3 / PARTS, usec[PARTS];
	uint64_t over = 0, other_kib;

	turns(t, t->peers);
	long kib = private_kib() - before_kib;
	double start = now_seconds();
	unsigned n = 0;
	for (; now_seconds() - start < budget; n += 16)
		turns(t, 16);
	for (unsigned part = 0; part < PARTS; part++) {
		start = now_seconds();
		turns(t, n);
		usec[part] = (now_seconds() - start) * 1e6 / n / 2;
	}
	t->w->send(0, &over, sizeof(over));
	t->w->recv(0, &other_kib, sizeof(other_kib));
	printf("connections,%s,sleep,%u,us,%.6g\n", t->w->name, t->peers, middle(usec, PARTS));
	printf("memory,%s,sleep,%u,KiB,%.6g\n", t->w->name, t->peers,
	    ((double)kib + (double)other_kib) / 2 / t->peers);
}

void connections_other(const struct task *t, long before_kib)
{
	for (;;) {
		uint64_t number;
		unsigned peer = t->w->recv_any(&number, sizeof(number));
		if (number == 0)
			break;
		t->w->send(peer, &number, sizeof(number));
	}
	uint64_t kib = (uint64_t)(private_kib() - before_kib);
	t->w->send(0, &kib, sizeof(kib));
}
