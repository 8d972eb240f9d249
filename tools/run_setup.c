/* SPDX-License-Identifier: BSD-3-Clause */
/* What haul run was started with, and makes its own of: signals, descriptors, limits. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "run.h"

#include <bsd/stdlib.h>
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

int run_setup_signals(sigset_t *before)
{
	static const int passed[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT };
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		sigaddset(&set, passed[i]);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* or nobody could be waited for */
	sigprocmask(SIG_BLOCK, &set, before);
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		err(EX_OSERR, "signalfd");
	return fd;
}

/* A pipe must not become one of those that are meant to be closed. */
void run_setup_standard_descriptors(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
}

/* Four for each rank. */
rlim_t run_setup_limit(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return RLIM_INFINITY;
	rlim_t before = files.rlim_cur;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	return before;
}

unsigned run_setup_cpus(void)
{
	cpu_set_t set;
	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/* Lines of both must not meet in one file either. */
bool run_setup_is_one_file(int a, int b)
{
	struct stat x, y;
	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void close_on_exec(const char *name)
{
	const char *text = getenv(name), *wrong;
	if (text == NULL)
		return;
	int fd = (int)strtonum(text, 0, INT_MAX, &wrong);
	if (wrong == NULL && isfdtype(fd, S_IFSOCK) == 1)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void run_setup_outer_job(void)
{
	close_on_exec("HAUL_LISTEN");
	close_on_exec("HAUL_CONTROL");
}
