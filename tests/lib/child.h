/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A child process with a deadline: runs a function of the test in a fork and says what became of it.
 * Every test that needs a second process starts it here, so that none outlives its test or hangs it.
 */
#ifndef HAUL_TESTS_LIB_CHILD_H
#define HAUL_TESTS_LIB_CHILD_H

#include <stdint.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	int pidfd;           /* -1 once the child was collected */
	int64_t deadline_ns; /* of CLOCK_MONOTONIC */
};

enum child_fate {
	CHILD_EXITED, /* .code is its exit status */
	CHILD_KILLED, /* .code is the signal */
	CHILD_HUNG,   /* still running at its deadline, and killed for it */
};

struct child_end {
	enum child_fate fate;
	int code;
	char words[64]; /* the same as a sentence */
};

/* The exit status of a child whose child_check() failed. */
enum { CHILD_CHECK_FAILED = 99 };

/*
 * Forks a child that exits with what run(arg) returns (0 to 98) and must have done so in timeout_ms. It
 * dies with the test's process. Criterion's assertions do not work in it: it uses child_check().
 */
void child_start(struct child *c, int timeout_ms, int (*run)(void *arg), void *arg);

/* Sends the child a signal; it may have exited but must not have been collected. */
void child_signal(const struct child *c, int signal);

/* Returns once the child has been stopped, by itself or by another. */
void child_await_stop(const struct child *c);

/* Waits for the child's end, which its deadline brings about if nothing else does. */
struct child_end child_collect(struct child *c);

/* The same, and fails the test, saying why, unless the child exited with this status. */
void child_expect(struct child *c, int status);

/* The same, and fails the test unless this signal killed the child. */
void child_expect_killed(struct child *c, int signal);

/* In a child: the condition holds, or it says where not, with errno's words, and ends the child. */
#define child_check(condition) ((condition) ? (void)0 : child_check_failed(__FILE__, __LINE__, #condition))

void child_check_failed(const char *file, int line, const char *condition) __attribute__((noreturn));

#endif
