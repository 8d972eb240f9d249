/* SPDX-License-Identifier: BSD-3-Clause */
/* A child that dies at a chosen call. See victim.h. */
#include "victim.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "must.h"
#include "world.h"

/* Every call into the kernel but those that find memory. */
#define CALLS \
	"accept4 bind close connect epoll_create1 epoll_ctl epoll_pwait2 epoll_wait eventfd fchmod fcntl " \
	"flock fstat getpeername getsockopt listen lstat open poll process_vm_readv process_vm_writev read " \
	"recv recvmsg send sendmsg setsockopt shutdown socket syscall timerfd_create timerfd_settime " \
	"unlink write"

enum { STOPPED_MS = 3 }; /* how long one is, that is then killed or continued */

/* ---- what the kernel tells of the victim ---- */

static struct {
	volatile pid_t pid;
	volatile sig_atomic_t stopped, ended;
	volatile int64_t ended_ns;
	int signal; /* sent a while after it was stopped; 0: none */
} told;

/* Looks at the process, not at the signal, several of which may have become one. */
static void look_at_victim(int signal)
{
	struct itimerval soon = { .it_value.tv_usec = STOPPED_MS * 1000 };
	int saved = errno;
	siginfo_t info = { 0 };
	(void)signal;
	if (told.pid == 0)
		return;
	if (!told.stopped && waitid(P_PID, (id_t)told.pid, &info, WSTOPPED | WNOHANG) == 0 &&
	    info.si_pid != 0) {
		told.stopped = true;
		if (told.signal != 0)
			setitimer(ITIMER_REAL, &soon, NULL);
	}
	info.si_pid = 0;
	if (!told.ended && waitid(P_PID, (id_t)told.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	    info.si_pid != 0) {
		told.ended_ns = clock_ns();
		told.ended = true;
	}
	errno = saved;
}

static void signal_victim(int signal)
{
	int saved = errno;
	(void)signal;
	if (told.pid != 0)
		kill(told.pid, told.signal);
	errno = saved;
}

void victim_prepare(void)
{
	struct sigaction look = { .sa_handler = look_at_victim, .sa_flags = SA_RESTART };
	struct sigaction act = { .sa_handler = signal_victim, .sa_flags = SA_RESTART };
	sigaction(SIGCHLD, &look, NULL);
	sigaction(SIGALRM, &act, NULL);
}

bool victim_has_ended(void)
{
	look_at_victim(0);
	return told.ended;
}

int64_t victim_ended_ns(void)
{
	return told.ended ? told.ended_ns : 0;
}

void victim_watch(const struct child *c, const struct victim *v)
{
	told.stopped = told.ended = false;
	told.signal = 0;
	if (v->fate == STOPPED_AND_KILLED)
		told.signal = SIGKILL;
	else if (v->fate == STOPPED_AND_CONTINUED)
		told.signal = SIGCONT;
	told.pid = c->pid;
	look_at_victim(0);
}

/* ---- its life ---- */

/* Whether it is to die at once. */
static bool dies(enum fate fate)
{
	return fate <= KILLED_UNSEEN;
}

/* It has all descriptors that there are so far. */
static void leave_a_stray(const struct victim *v)
{
	char byte;
	close(v->life[1]);
	pid_t pid = fork();
	must(pid >= 0);
	if (pid == 0) {
		must_be(read(v->life[0], &byte, 1), 0);
		_exit(0);
	}
}

static bool never(void)
{
	return false;
}

/* Spinning would make as many calls as there is time for. */
static struct haul_options without_spinning(const struct haul_options *o)
{
	struct haul_options result = o != NULL ? *o : (struct haul_options){ 0 };
	result.spin_us = -1;
	return result;
}

static int live(void *arg)
{
	const struct victim *v = arg;
	struct haul_options options = without_spinning(v->options);
	struct side side = { .fd = v->fds[1],
		.address = v->address,
		.timeout_ms = v->timeout_ms,
		.hopeless = never };
	struct itimerval none = { 0 };
	must_in_child();
	signal(SIGCHLD, SIG_DFL);
	setitimer(ITIMER_REAL, &none, NULL);
	close(v->fds[0]);
	if (v->blind)
		must(world_refuse_reads(EPERM) == NULL);
	must_be(haul_open(&side.h, &options, sizeof(options)), 0);
	if (!v->unconnected) {
		must_be(haul_adopt(side.h, side.fd, v->timeout_ms, &side.p), 0);
		side.fd = -1;
	}
	if (v->fate == KILLED_UNSEEN)
		leave_a_stray(v);
	fault_arm(&(struct fault){ .action = v->fate == KILLED_AFTER ? FAULT_RAISE_AFTER : FAULT_RAISE,
	    .nth = v->nth,
	    .only = CALLS,
	    .signal = dies(v->fate) ? SIGKILL : SIGSTOP });
	int rc = v->part(&side);
	fault_disarm();
	if (!v->given_up)
		must_be(rc, 0);
	if (side.h != NULL)
		must(haul_close(side.h, v->timeout_ms) == 0 || v->given_up);
	return 0;
}

void victim_start(struct child *c, struct victim *v)
{
	must_be(haul_pair(v->fds), 0);
	must_be(pipe2(v->life, O_CLOEXEC), 0);
	child_start(c, 3 * v->timeout_ms, live, v);
	close(v->fds[1]);
}

bool victim_collect(struct child *c, struct victim *v)
{
	struct itimerval none = { 0 };
	struct child_end end = child_collect(c);
	bool stopped = told.stopped, killed = end.fate == CHILD_KILLED && end.code == SIGKILL;
	setitimer(ITIMER_REAL, &none, NULL);
	told.pid = 0;
	cr_assert(killed || (end.fate == CHILD_EXITED && end.code == 0), "the victim %s", end.words);
	if (v->fate == STOPPED_AND_CONTINUED)
		cr_assert(!killed, "a victim that was continued %s", end.words);
	close(v->life[0]);
	close(v->life[1]);
	return dies(v->fate) ? killed : stopped;
}
