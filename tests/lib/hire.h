/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Workers for tests of haul/worker.h: the test's own program, started anew, which runs a role instead of its tests.
 * The test names its roles in a constructor:
 *
 *     static void __attribute__((constructor)) begin(void) { hire_roles(roles, sizeof(roles) / sizeof(roles[0])); }
 */
#ifndef HAUL_TESTS_LIB_HIRE_H
#define HAUL_TESTS_LIB_HIRE_H

#include <stdbool.h>
#include <stddef.h>

#include <haul/worker.h>

struct role {
	const char *name;
	int (*run)(void); /* returns the exit status; checks by must.h */
};

/* In a worker: runs its role, and ends. Else nothing. */
void hire_roles(const struct role *roles, size_t count);

/* From here on what is started with the environment of the test has this role; NULL: none. */
void hire_as(const char *role);

/* The program itself, by a name that is good in any process. */
const char *hire_program(void);

/* Starts one that must come about. */
struct haul_peer *hire(struct haul *h, const char *role);

/* In a role: opens a context and inherits. */
struct haul_peer *hire_inherit(struct haul **h);

/* Starts what must not come about: returns the error. Nothing is left of it: no descriptor, no child. */
int hire_in_vain(struct haul *h, const struct haul_spawn *s, int timeout_ms);

/* Whether this process has no child, be it a zombie. */
bool hire_has_none(void);

#endif
