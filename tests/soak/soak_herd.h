/* SPDX-License-Identifier: BSD-3-Clause */
/* The nodes as processes, each known by its own pidfd; and the janitor. */
#ifndef HAUL_TESTS_SOAK_SOAK_HERD_H
#define HAUL_TESTS_SOAK_SOAK_HERD_H

#include "soak.h"

/* What happened, in all. */
enum { EVENT_START, EVENT_KILL, EVENT_STOP, EVENT_LEAVE, EVENTS };

struct slot {
	pid_t pid;
	int pidfd;        /* -1: it does not run */
	bool killed;      /* on purpose */
	int64_t again_at; /* when it is to be continued, or started again */
	bool stopped;
	int64_t leaving_ms;      /* for how long it ran since it was asked to leave */
	int64_t quiet_ms[NODES]; /* for how long both ran, and nothing came from that node */
	uint64_t delivered[NODES];
};

struct herd {
	struct slot slots[NODES];
	uint64_t random, events[EVENTS];
	int64_t next_event, last_ms;
	bool failed;
};

/* Who the nodes are if the controller is root. Not 65534, which is also who has no name in a user namespace. */
enum { ORDINARY = 54321 };

void herd_start(struct herd *h);
/* A round: waits up to 20 ms for one to end, starts and continues those whose time has come, and, unless the run is
 * over, does something to one of them. */
void herd_round(struct herd *h);
unsigned herd_running(const struct herd *h);
/* Those that still run after a failure. */
void herd_kill(struct herd *h);

/* Makes the directory of the socket files. It is removed when this process is, or has called the second. */
void janitor_start(void);
void janitor_end(void);

/* Looks at what lasting nodes use; prints a line of the table; says whether it stayed flat. */
void report_sample(void);
void report_line(const struct herd *h);
bool report_flat(void);

#endif
