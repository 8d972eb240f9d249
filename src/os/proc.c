/* SPDX-License-Identifier: BSD-3-Clause */
/* Processes, users, CPUs. See proc.h. */
#include "os/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* P_PIDFD, which is an enumerator and missing in older headers. */
#define PIDFD ((idtype_t)3)

int proc_open(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	return fd < 0 ? -errno : fd;
}

bool proc_dead(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	return poll(&p, 1, 0) > 0;
}

bool proc_same(int pidfd, int other)
{
	struct stat a, b;
	if (pidfd < 0 || other < 0 || fstat(pidfd, &a) != 0 || fstat(other, &b) != 0)
		return true;
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool proc_sees_all_users(void)
{
	char text[128];
	unsigned first, outside, count;
	int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return sscanf(text, "%u %u %u", &first, &outside, &count) == 3 && first == 0 && count == UINT32_MAX;
}

pid_t proc_parent(pid_t pid)
{
	char path[32], text[256], state;
	int parent;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	const char *name_end = strrchr(text, ')'); /* the name may hold anything */
	return name_end != NULL && sscanf(name_end + 1, " %c %d", &state, &parent) == 2 ? parent : 0;
}

int proc_name_tracer(pid_t pid)
{
	unsigned long whom = pid == PROC_ANY ? PR_SET_PTRACER_ANY : (unsigned long)pid;
	return prctl(PR_SET_PTRACER, whom, 0, 0, 0) != 0 ? -errno : 0;
}

int proc_kill(int pidfd, int signal)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) != 0 ? -errno : 0;
}

/* waitid(2) tells in two parts what wait(2) tells in one number. */
static int wait_status(const siginfo_t *info)
{
	enum { CORE = 0x80 };
	if (info->si_code == CLD_EXITED)
		return (info->si_status & 0xff) << 8;
	return info->si_status | (info->si_code == CLD_DUMPED ? CORE : 0);
}

int proc_reap(int pidfd, bool take, int *status)
{
	siginfo_t info = { .si_pid = 0 };
	if (waitid(PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | (take ? 0 : WNOWAIT)) != 0)
		return -errno;
	if (info.si_pid == 0)
		return 0;
	*status = wait_status(&info);
	return 1;
}

void proc_end_child(pid_t pid)
{
	siginfo_t info;
	kill(pid, SIGKILL);
	while (waitid(P_PID, (id_t)pid, &info, WEXITED) != 0 && errno == EINTR)
		;
}

int proc_last_signal(void)
{
	return SIGRTMAX;
}

int proc_signal_self(int signal, void *value)
{
	return sigqueue(getpid(), signal, (union sigval){ .sival_ptr = value }) != 0 ? -errno : 0;
}

int proc_cpus(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1; /* more CPUs than the set has room for, or refused: assume the worst */
	return CPU_COUNT(&set);
}

int proc_cpus_of_all(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 && n <= INT_MAX ? (int)n : 1;
}

int proc_cpu(void)
{
	return sched_getcpu();
}

void proc_yield(void)
{
	sched_yield();
}
