/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The janitor: a process that waits until the controller is no more, of which a pipe tells, and then removes the
 * directory of socket files. So nothing is left of a run that was killed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "soak_herd.h"

static int pipe_end = -1;
static pid_t janitor;

static void empty(void)
{
	DIR *dir = opendir(board->directory);
	if (dir == NULL)
		return;
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		unlinkat(dirfd(dir), e->d_name, 0); /* not . and .. */
	closedir(dir);
}

static void clean(int end)
{
	char byte;
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	while (read(end, &byte, 1) < 0 && errno == EINTR)
		;
	/* One that is being killed may just be making another file. */
	for (int i = 0; i < 100; i++) {
		empty();
		if (rmdir(board->directory) == 0 || errno == ENOENT)
			_exit(0);
		poll(NULL, 0, 20);
	}
	_exit(1);
}

void janitor_start(void)
{
	int ends[2];
	const char *tmp = getenv("TMPDIR");
	snprintf(board->directory, sizeof(board->directory), "%s/haul-soak-XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(board->directory) == NULL || pipe2(ends, O_CLOEXEC) != 0)
		fail("no directory: %s", strerror(errno));
	if (geteuid() == 0 && chown(board->directory, ORDINARY, ORDINARY) != 0)
		fail("chown: %s", strerror(errno));
	janitor = fork();
	if (janitor < 0)
		fail("fork: %s", strerror(errno));
	if (janitor == 0) {
		close(ends[1]);
		clean(ends[0]);
	}
	close(ends[0]);
	pipe_end = ends[1];
}

/* In a node it lets go of the pipe only. */
void janitor_end(void)
{
	close(pipe_end);
	if (getpid() == board->controller)
		waitpid(janitor, NULL, 0);
}
