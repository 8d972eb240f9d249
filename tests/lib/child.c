/* SPDX-License-Identifier: BSD-3-Clause */
/* Children with deadlines. See child.h. */
#include "child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

#ifdef ENABLE_COVERAGE
void __gcov_dump(void); /* of libgcov */
#endif

/* Writes down what this process has counted, which _exit() would not do. */
static void save_coverage(void)
{
#ifdef ENABLE_COVERAGE
	__gcov_dump();
#endif
}

/* Ends by _exit(): what the test's process registered for its own exit must not run twice. */
static void child_main(pid_t parent, int (*run)(void *arg), void *arg) __attribute__((noreturn));
static void child_main(pid_t parent, int (*run)(void *arg), void *arg)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it died before the line above */
		_exit(CHILD_CHECK_FAILED);

	int status = run(arg);
	fflush(NULL);
	save_coverage();
	_exit(status);
}

void child_start(struct child *c, int timeout_ms, int (*run)(void *arg), void *arg)
{
	pid_t parent = getpid();

	fflush(NULL); /* or both processes would write what is buffered */
	c->deadline_ns = clock_ns() + (int64_t)timeout_ms * 1000000;
	c->pid = fork();
	cr_assert(c->pid >= 0, "fork: %s", strerror(errno));
	if (c->pid == 0)
		child_main(parent, run, arg);

	/* The pid cannot be another's: a child keeps it until it is collected. */
	c->pidfd = pidfd_open(c->pid, 0);
	cr_assert(c->pidfd >= 0, "pidfd_open: %s", strerror(errno));
}

void child_signal(const struct child *c, int signal)
{
	cr_assert(pidfd_send_signal(c->pidfd, signal, NULL, 0) == 0, "signal %d to child %d: %s", signal,
	    (int)c->pid, strerror(errno));
}

void child_await_stop(const struct child *c)
{
	siginfo_t info;
	while (waitid(P_PIDFD, (id_t)c->pidfd, &info, WSTOPPED) < 0)
		cr_assert(errno == EINTR, "waitid: %s", strerror(errno));
}

/* True if the child has ended by its deadline. */
static bool ends_in_time(const struct child *c)
{
	struct pollfd fd = { .fd = c->pidfd, .events = POLLIN };
	int n;

	do {
		int64_t left_ns = c->deadline_ns - clock_ns();
		n = poll(&fd, 1, left_ns > 0 ? (int)((left_ns + 999999) / 1000000) : 0);
	} while (n < 0 && errno == EINTR);
	cr_assert(n >= 0, "poll: %s", strerror(errno));
	return n > 0;
}

struct child_end child_collect(struct child *c)
{
	struct child_end end;
	siginfo_t info;
	bool in_time = ends_in_time(c);

	if (!in_time)
		child_signal(c, SIGKILL);
	while (waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED) < 0)
		cr_assert(errno == EINTR, "waitid: %s", strerror(errno));
	close(c->pidfd);
	c->pidfd = -1;

	end.code = info.si_status;
	if (info.si_code == CLD_EXITED) {
		end.fate = CHILD_EXITED;
		snprintf(end.words, sizeof(end.words), "exited with %d%s", end.code,
		    end.code == CHILD_CHECK_FAILED ? ", see its child_check() above" : "");
	} else if (in_time) {
		end.fate = CHILD_KILLED;
		snprintf(end.words, sizeof(end.words), "was killed by signal %d (%s)", end.code,
		    strsignal(end.code));
	} else {
		end.fate = CHILD_HUNG;
		snprintf(end.words, sizeof(end.words), "was still running at its deadline");
	}
	return end;
}

void child_expect(struct child *c, int status)
{
	struct child_end end = child_collect(c);
	cr_assert(end.fate == CHILD_EXITED && end.code == status, "child %d %s; expected: exit with %d",
	    (int)c->pid, end.words, status);
}

void child_expect_killed(struct child *c, int signal)
{
	struct child_end end = child_collect(c);
	cr_assert(end.fate == CHILD_KILLED && end.code == signal, "child %d %s; expected: death by signal %d",
	    (int)c->pid, end.words, signal);
}

void child_check_failed(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: in child %d: not true: %s (errno: %s)\n", file, line, (int)getpid(),
	    condition, strerror(errno));
	_exit(CHILD_CHECK_FAILED);
}
