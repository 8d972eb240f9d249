/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who ends the ranks if haul run is killed by SIGKILL, which it can't notice: a child of its own that reads
 * a pipe of which only haul run has the other end. It is told of each rank's process group; at the end of
 * the pipe it kills those that are left. So nothing that a rank has started in its group outlives haul run,
 * either.
 */
#include "run.h"

#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What it is told: a group; or less than 0, one that is no more. Short enough to be written whole. */
static void guard(int fd)
{
	static pid_t groups[RUN_RANKS_MOST];
	size_t count = 0;
	pid_t group;
	ssize_t n;
	while ((n = read(fd, &group, sizeof(group))) == sizeof(group) || (n < 0 && errno == EINTR)) {
		if (n > 0 && group > 1 && count < RUN_RANKS_MOST)
			groups[count++] = group;
		for (size_t i = 0; n > 0 && group < 0 && i < count; i++)
			if (groups[i] == -group)
				groups[i--] = groups[--count];
	}
	for (size_t i = 0; i < count; i++)
		kill(-groups[i], SIGKILL);
}

int run_guard_start(struct run_guard *g)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) != 0)
		return errno;
	g->pid = fork();
	if (g->pid < 0) {
		int error = errno;
		close(fds[0]);
		close(fds[1]);
		return error;
	}
	if (g->pid == 0) {
		prctl(PR_SET_NAME, "haul-guard"); /* who kills by name means haul */
		setsid();                         /* no terminal's signals */
		sigset_t all;
		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, NULL);
		dup2(fds[0], 0);
		closefrom(1);
		guard(0);
		_exit(0);
	}
	close(fds[0]);
	g->fd = fds[1];
	return 0;
}

static void tell(struct run_guard *g, pid_t group)
{
	while (write(g->fd, &group, sizeof(group)) < 0 && errno == EINTR)
		;
}

void run_guard_add(struct run_guard *g, pid_t group)
{
	tell(g, group);
}

void run_guard_remove(struct run_guard *g, pid_t group)
{
	tell(g, -group);
}

void run_guard_stop(struct run_guard *g)
{
	close(g->fd);
	while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
