/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How messages fare with many others about: what the files of bench/scale share.
 *
 *   scale.c       the command line, the processes
 *   scale_fan.c   one process sends to many, many send to one
 *   scale_conn.c  two processes with many connections
 *   scale_haul.c  by haul
 *   scale_unix.c  by Unix sockets
 */
#ifndef BENCH_SCALE_H
#define BENCH_SCALE_H

#include "contender.h"

enum { FAN_WINDOW = 16, PEERS_MOST = 4096, PARTS = 3, NO_SUCH_WAY = 3 };

/*
 * A way between one process and others, which are numbered from 0: a connection each. All wait by sleeping, and end the process
 * with words if something fails. send() returns when buf may be written again.
 */
struct ways {
	const char *name;
	void (*pair)(int fds[2]);                     /* before the fork */
	void (*open)(const int *fds, unsigned count); /* this process's ends */
	void (*send)(unsigned peer, void *buf, size_t len);
	void (*recv)(unsigned peer, void *buf, size_t len);
	unsigned (*recv_any)(void *buf, size_t len); /* returns from whom */
	void (*begin)(unsigned peer, unsigned slot, void *buf,
	    size_t len); /* a send, in one of FAN_WINDOW slots */
	void (*finish)(unsigned slot);
	void (*close)(void);
};

extern const struct ways ways_haul, ways_unix;

struct task {
	const struct ways *w;
	unsigned peers, budget_ms;
};

/* Each in its process; the hub prints. */
void fan_hub(const struct task *t, bool out, size_t len);
void fan_other(const struct task *t, bool out, size_t len);
/* before_kib: what the process had before it opened its ends. */
void connections_hub(const struct task *t, long before_kib);
void connections_other(const struct task *t, long before_kib);

/* Memory of this process that it shares with no other. */
long private_kib(void);

double now_seconds(void);
double middle(double *values, unsigned count);

#endif
