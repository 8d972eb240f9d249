/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The program whose context the fuzzer attacks: it starts requests, takes messages, gives up, all as the input says.
 * Each buffer is memory of its own, freed when its request has completed, so that the address sanitizer sees who
 * touches it later. Each completion comes once, and tells nothing that can't be.
 */
#ifndef HAUL_TESTS_FUZZ_PROGRAM_H
#define HAUL_TESTS_FUZZ_PROGRAM_H

#include <stdbool.h>

#include <haul/haul.h>

#include "fuzz/input.h"

enum { PROGRAM_REQS = 16, PROGRAM_MSGS = 4, PROGRAM_ORPHANS = 32 };

/* A request, from its start until it was finished or let go of. */
struct program_req {
	struct program *program;
	struct haul_req *req; /* NULL: free */
	void *memory;
	size_t room;
	bool complete, receives;
	bool finishes; /* as soon as it has completed */
};

struct program {
	struct haul *haul;
	struct haul_peer *peer; /* the evil one, if it is there */
	struct program_req adopt, reqs[PROGRAM_REQS];
	struct haul_msg *msgs[PROGRAM_MSGS];
	/* Memory of requests let go of, which is the library's until the end. */
	void *orphans[PROGRAM_ORPHANS];
	size_t orphan_count;
	unsigned next;
};

void program_init(struct program *p, struct haul *h);
/* One operation of ops.h. */
void program_do(struct program *p, unsigned op, struct input *in);
/* The other end of the evil peer's pair. */
void program_adopt(struct program *p, int fd);
void program_close_peer(struct program *p);
/* Bytes of its own buffers, for which nobody else can be blamed. */
size_t program_memory(const struct program *p);
/* Asks for the end of all requests. */
void program_cancel_all(struct program *p);
/* After haul_close(): each request has completed. */
void program_fini(struct program *p);

#endif
