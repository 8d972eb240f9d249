/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A rank: a process of its own process group, so that what it starts can be ended with it. It begins when
 * the guard knows of it. Should that be killed, too, the kernel kills the rank itself (PR_SET_PDEATHSIG).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf, pipe2 */
#endif
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Between haul run and a rank. */
struct ends {
	int gate[2];   /* the rank waits for its end */
	int report[2]; /* an errno, or the end when the program runs */
	int out[2], err[2];
	int control; /* the rank's */
};

static int open_ends(struct ends *e)
{
	int(*all[])[2] = { &e->gate, &e->report, &e->out, &e->err };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (pipe2(*all[i], O_CLOEXEC) != 0) {
			int error = errno;
			while (i-- > 0) {
				close((*all[i])[0]);
				close((*all[i])[1]);
			}
			return error;
		}
	return 0;
}

static void set_number(const char *name, unsigned value)
{
	char text[16];
	snprintf(text, sizeof(text), "%u", value);
	setenv(name, text, 1);
}

/* A descriptor that the program is to have. */
static void hand_on(const char *name, int fd)
{
	fcntl(fd, F_SETFD, 0);
	set_number(name, (unsigned)fd);
}

/* glibc's malloc reads them when a program starts. */
static void ask_for_huge_pages(void)
{
	char *text;
	const char *had = getenv("GLIBC_TUNABLES");
	if (asprintf(&text, "%s%sglibc.malloc.hugetlb=1", had != NULL ? had : "", had != NULL ? ":" : "") < 0)
		return;
	setenv("GLIBC_TUNABLES", text, 1);
	free(text);
}

/* In the child. */
static void become(unsigned rank, const struct run_start *s, const struct ends *e, pid_t parent)
{
	char byte;
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(e->gate[1]);
	while (read(e->gate[0], &byte, 1) < 0 && errno == EINTR)
		;
	if (getppid() != parent)
		_exit(127);
	dup2(s->input, 0);
	dup2(e->out[1], 1);
	dup2(e->err[1], 2);
	set_number("HAUL_RANK", rank);
	set_number("HAUL_SIZE", s->options->size);
	set_number("HAUL_CPUS", s->cpus);
	setenv("HAUL_JOB", s->job->name, 1);
	hand_on("HAUL_LISTEN", s->job->listening[rank]);
	hand_on("HAUL_CONTROL", e->control);
	unsetenv("HAUL_STATS"); /* of haul run within another */
	if (s->options->stats)
		setenv("HAUL_STATS", "1", 1);
	if (s->options->huge)
		ask_for_huge_pages();
	run_place(s->places, rank);
	signal(SIGPIPE, SIG_DFL);
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = s->files;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	sigprocmask(SIG_SETMASK, s->signals, NULL);
	execvp(s->options->argv[0], s->options->argv);
	int error = errno;
	while (write(e->report[1], &error, sizeof(error)) < 0 && errno == EINTR)
		;
	_exit(127);
}

static int hear_report(int fd)
{
	int error = 0;
	ssize_t n;
	while ((n = read(fd, &error, sizeof(error))) < 0 && errno == EINTR)
		;
	return n == sizeof(error) ? error : 0;
}

int run_rank_start(struct run_rank *r, unsigned rank, const struct run_start *s)
{
	struct ends e;
	pid_t parent = getpid();
	*r = (struct run_rank){ .rank = rank, .pidfd = -1, .control.fd = -1 };
	int error = run_control_start(&r->control, &e.control);
	if (error != 0)
		return error;
	if ((error = open_ends(&e)) != 0) {
		close(e.control);
		run_control_end(&r->control);
		return error;
	}
	r->pid = fork();
	error = errno;
	if (r->pid == 0)
		become(rank, s, &e, parent);
	if (r->pid > 0) {
		setpgid(r->pid, r->pid); /* whoever of us comes first */
		run_guard_add(s->guard, r->pid);
		r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
		error = r->pidfd < 0 ? errno : 0;
		if (r->pidfd < 0)
			kill(r->pid, SIGKILL);
	}
	close(e.control);
	close(e.report[1]);
	close(e.out[1]);
	close(e.err[1]);
	close(e.gate[0]);
	close(e.gate[1]);
	if (error == 0)
		error = hear_report(e.report[0]);
	close(e.report[0]);
	if (error == 0) {
		run_stream_init(&r->out, e.out[0], rank, s->out);
		run_stream_init(&r->err, e.err[0], rank, s->err);
		return 0;
	}
	close(e.out[0]);
	close(e.err[0]);
	run_control_end(&r->control);
	if (r->pid > 0)
		run_rank_reap(r, s->guard);
	r->pid = 0;
	return error;
}

void run_rank_signal(const struct run_rank *r, int signal)
{
	if (r->pid <= 0)
		return;
	if (kill(-r->pid, signal) != 0 || getpgid(r->pid) != r->pid) /* it has left its group */
		kill(r->pid, signal);
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void collect(struct run_rank *r)
{
	struct rusage used = { 0 };
	while (wait4(r->pid, NULL, 0, &used) < 0 && errno == EINTR)
		;
	r->stats.user_s = seconds(used.ru_utime);
	r->stats.system_s = seconds(used.ru_stime);
	r->stats.resident_kib = (uint64_t)used.ru_maxrss;
}

/* As long as its leader is not reaped the group's number is nobody else's. */
void run_rank_reap(struct run_rank *r, struct run_guard *guard)
{
	siginfo_t info = { .si_code = CLD_EXITED, .si_status = 127 };
	while (waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
		;
	kill(-r->pid, SIGKILL);
	run_guard_remove(guard, r->pid);
	collect(r);
	if (info.si_code != CLD_EXITED)
		r->signal = info.si_status;
	r->status = r->signal != 0 ? 128 + r->signal : info.si_status;
	r->failed = r->status != 0;
	if (r->pidfd >= 0)
		close(r->pidfd);
	r->pidfd = -1;
	r->pid = 0;
}
