/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether a thread of this process sleeps: so one sees from outside that it waits in a call. */
#ifndef HAUL_TESTS_LIB_ASLEEP_H
#define HAUL_TESTS_LIB_ASLEEP_H

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

/* As proc(5) has it; X: there is no such thread. */
static inline char thread_state(pid_t tid)
{
	char name[64], line[512] = "";
	snprintf(name, sizeof(name), "/proc/self/task/%d/stat", (int)tid);
	FILE *f = fopen(name, "re");
	if (f == NULL)
		return 'X';
	size_t n = fread(line, 1, sizeof(line) - 1, f);
	fclose(f);
	line[n] = '\0';
	const char *end = strrchr(line, ')');
	return end != NULL && end[1] == ' ' ? end[2] : '?';
}

/* It says that it is about to wait, by *tid, which is 0 until then; and then sleeps: in all likelihood in the call it
 * spoke of. */
static inline void until_asleep(const _Atomic pid_t *tid)
{
	while (*tid == 0 || thread_state(*tid) != 'S')
		sched_yield();
}

#endif
