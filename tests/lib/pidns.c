/* SPDX-License-Identifier: BSD-3-Clause */
/* A namespace of pids. See pidns.h. */
#include "pidns.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "must.h"
#include "world.h"

#define LAST_PID "/proc/sys/kernel/ns_last_pid"

enum { CANNOT = 77 }; /* exit status */

/* Of the namespace that it is the first process of. */
static bool may_say_pids(void)
{
	return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("proc", "/proc", "proc", 0, NULL) == 0 && access(LAST_PID, W_OK) == 0;
}

static int enter(void *arg)
{
	int (**run)(void) = arg;
	must_in_child();
	if (unshare(CLONE_NEWNS) != 0 || world_enter_pid_namespace() != NULL || !may_say_pids())
		return CANNOT;
	return (*run)();
}

void pidns_run(int (*run)(void), int timeout_ms)
{
	struct child c;
	child_start(&c, timeout_ms, enter, &run);
	struct child_end end = child_collect(&c);
	if (end.fate == CHILD_EXITED && end.code == CANNOT)
		cr_skip_test("no pid namespace for us, or no say in its pids");
	cr_assert(end.fate == CHILD_EXITED && end.code == 0, "the first process of the namespace %s",
	    end.words);
}

void pidns_birth(void (*run)(void))
{
	FILE *last = fopen(LAST_PID, "w");
	must(last != NULL);
	fprintf(last, "%d", PIDNS_PID - 1);
	must_be(fclose(last), 0);
	pid_t pid = fork();
	if (pid == 0) {
		run();
		for (;;)
			pause();
	}
	must_be(pid, PIDNS_PID);
}

void pidns_kill(void)
{
	must_be(kill(PIDNS_PID, SIGKILL), 0);
	must_be(waitpid(PIDNS_PID, NULL, 0), PIDNS_PID);
}
