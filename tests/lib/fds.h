/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The descriptors this process holds: count them before, and expect the same number after. Knows nothing
 * of whose they are.
 */
#ifndef HAUL_TESTS_LIB_FDS_H
#define HAUL_TESTS_LIB_FDS_H

/* How many descriptors are open. */
int fds_count(void);

/* Writes one line for each open descriptor, with what it is, to stderr. */
void fds_print(void);

/* Fails the test, and shows what is open, unless count descriptors are. */
void fds_expect(int count);

#endif
