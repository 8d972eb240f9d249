/* SPDX-License-Identifier: BSD-3-Clause */
/* One measurement of a contender (parts.c), for jobs.c. */
#ifndef BENCH_PARTS_H
#define BENCH_PARTS_H

#include "contender.h"

#include <time.h>

struct job {
	const struct contender *c;
	struct end *e;
	bool pingpong;   /* else all messages go from rank 0 to rank 1, */
	unsigned window; /* so many under way */
	struct messages out, in;
	uint64_t sent, received; /* in parts before this one */
};

struct figure {
	double seconds, cpu; /* for a message; rank 0's only */
};

/* Messages of len bytes, in both processes. */
struct figure job_run(struct job *j, const struct options *o, size_t len);

/* What the two say to each other between parts. */
struct note {
	uint64_t n, cpu_ns;
};

void job_tell(struct job *j, uint64_t n, uint64_t cpu_ns);
struct note job_hear(struct job *j);

uint64_t bench_now_ns(clockid_t id);

#endif
