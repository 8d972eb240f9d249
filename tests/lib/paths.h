/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ways a message can travel, as the parameter of tests: what is true of messages is true on each. Holds
 * its text by value, because Criterion copies parameters to another process.
 */
#ifndef HAUL_TESTS_LIB_PATHS_H
#define HAUL_TESTS_LIB_PATHS_H

#include <criterion/parameterized.h>
#include <haul/haul.h>
#include <stdbool.h>

struct path {
	char name[16];
	int path;          /* as in struct haul_options */
	int64_t eager_max; /* the same */
	int transport;     /* the same */
	size_t longest;    /* the longest message that takes this path; a test's messages are no longer */
	bool eager;        /* a message short enough is sent when haul_send() returns, received or not */
	bool together;     /* a long one is copied by sender and receiver at once, or by two threads of the receiver */
};

/* A test that runs once on each; it calls path_options() first. */
#define EveryPath(suite, name) \
	ParameterizedTestParameters(suite, name) \
	{ \
		return paths_every(); \
	} \
	ParameterizedTest(struct path *path, suite, name)

struct criterion_test_params paths_every(void);

/* The options that make messages take this path; failed checks will name it. */
struct haul_options path_options(const struct path *path);

/* len, or the longest message for this path if that is less. */
size_t path_most(const struct path *path, size_t len);

#endif
