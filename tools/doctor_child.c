/* SPDX-License-Identifier: BSD-3-Clause */
/* haul doctor: children that may hang, be killed, or report. See doctor.h. */
#include "doctor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t doctor_deadline(int ms)
{
	return now_ms() + ms;
}

void doctor_child_again(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it died before the line above */
		_exit(1);
}

pid_t doctor_fork(void)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid == 0)
		doctor_child_again(parent);
	return pid;
}

int doctor_record(int fd, void *record, size_t size, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	for (;;) {
		int64_t left = deadline - now_ms();
		int n = poll(&p, 1, left > 0 ? (int)left : 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		/* Shorter than PIPE_BUF, so whole or not at all. */
		return read(fd, record, size) == (ssize_t)size;
	}
}

void doctor_reap(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
