/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pid namespace, in which a test says which pid a process gets: so that a pid can be given to another one as
 * soon as its first owner was collected. Needs root; the test is skipped elsewhere.
 */
#ifndef HAUL_TESTS_LIB_PIDNS_H
#define HAUL_TESTS_LIB_PIDNS_H

/* The pid that is given twice. */
enum { PIDNS_PID = 100 };

/* Runs it as the first process of a new namespace, whose end takes along all others in there. It checks by must.h,
 * and must return 0. */
void pidns_run(int (*run)(void), int timeout_ms);

/* Forks a child that has PIDNS_PID, runs that, and waits to be killed. By any process in there. */
void pidns_birth(void (*run)(void));

/* Kills and collects it; by its parent. */
void pidns_kill(void);

#endif
