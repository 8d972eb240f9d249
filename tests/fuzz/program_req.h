/* SPDX-License-Identifier: BSD-3-Clause */
/* The requests of the program under attack, for its own files. See program.h. */
#ifndef HAUL_TESTS_FUZZ_PROGRAM_REQ_H
#define HAUL_TESTS_FUZZ_PROGRAM_REQ_H

#include "fuzz/program.h"

/* A free place for one; NULL if there is none. */
struct program_req *req_place(struct program *p);
/* What a haul_i* call with this place's memory has returned. */
void req_started(struct program_req *r, int rc, struct haul_req *req, bool receives);
/* Frees it, if it is complete. */
void req_finish(struct program_req *r);
/* Lets go of it. */
void req_free(struct program_req *r);

#endif
