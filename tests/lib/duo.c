/* SPDX-License-Identifier: BSD-3-Clause */
/* Two processes with a connection. See duo.h. */
#include "duo.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "must.h"

enum { GREET_MS = 10000 };

struct start {
	const struct duo_plan *plan;
	int fds[2];
};

static size_t size_of(const struct haul_options *o)
{
	return o != NULL ? sizeof(*o) : 0;
}

static int child_side(void *arg)
{
	const struct start *s = arg;
	const struct duo_plan *plan = s->plan;
	struct haul *h;
	struct haul_peer *p;
	must_in_child();
	close(s->fds[0]);
	must_be(haul_open(&h, plan->theirs, size_of(plan->theirs)), 0);
	must_be(haul_adopt(h, s->fds[1], GREET_MS, &p), 0);
	int status = plan->run(h, p, plan->arg);
	haul_close(h, 0);
	return status;
}

/* Returns our end of the connection. */
static int fork_child(struct child *child, const struct duo_plan *plan)
{
	struct start s = { .plan = plan };
	must_be(haul_pair(s.fds), 0);
	child_start(child, plan->timeout_ms, child_side, &s);
	close(s.fds[1]);
	return s.fds[0];
}

void duo_add(struct haul *h, struct child *child, struct haul_peer **peer, const struct duo_plan *plan)
{
	must_be(haul_adopt(h, fork_child(child, plan), GREET_MS, peer), 0);
}

/* The fork is first: a context may have a thread, and a child forked beside one may find the allocator locked for good,
 * a sanitizer's at least. */
void duo_start(struct duo *d, const struct duo_plan *plan)
{
	int fd = fork_child(&d->child, plan);
	must_be(haul_open(&d->haul, plan->ours, size_of(plan->ours)), 0);
	must_be(haul_adopt(d->haul, fd, GREET_MS, &d->peer), 0);
}

void duo_close(struct duo *d)
{
	haul_close(d->haul, 0);
}

void duo_stop(const struct child *c)
{
	child_signal(c, SIGSTOP);
	child_await_stop(c);
}

void duo_continue(const struct child *c)
{
	child_signal(c, SIGCONT);
}

static volatile sig_atomic_t stop_pid;

static void stop_now(int signal)
{
	int saved = errno;
	(void)signal;
	if (stop_pid > 0)
		kill(stop_pid, SIGSTOP);
	errno = saved;
}

void duo_stop_later(const struct child *c, long us)
{
	static timer_t timer;
	static bool made;
	struct sigaction action = { .sa_handler = stop_now, .sa_flags = SA_RESTART };
	struct itimerspec when = { .it_value = { .tv_sec = us / 1000000,
		                       .tv_nsec = us % 1000000 * 1000 + 1 } };
	stop_pid = c->pid;
	if (!made) {
		sigaction(SIGRTMIN, &action, NULL);
		struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
		cr_assert_eq(timer_create(CLOCK_MONOTONIC, &event, &timer), 0, "%s", strerror(errno));
		made = true;
	}
	timer_settime(timer, 0, &when, NULL);
}
