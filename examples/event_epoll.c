/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul in an event loop written by hand, with epoll(7): beside it a timer, and a pipe. event_jobs.c has the work
 * that is done in the loop; event_uv.c and event_libevent.c have the same in the loops of libraries.
 */
#include "event_jobs.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { TICK_NS = 50000000, EVENTS = 3 };

static int check(int rc, const char *what)
{
	if (rc < 0) {
		perror(what);
		exit(1);
	}
	return rc;
}

static void watch(int set, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
	check(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

static int start_timer(void)
{
	const struct itimerspec when = { .it_value.tv_nsec = TICK_NS, .it_interval.tv_nsec = TICK_NS };
	int fd = check(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), "timerfd_create");
	check(timerfd_settime(fd, 0, &when, NULL), "timerfd_settime");
	return fd;
}

static void on_timer(int timer, const struct jobs *jobs)
{
	uint64_t ticks;
	if (read(timer, &ticks, sizeof(ticks)) == sizeof(ticks))
		jobs_tick(jobs);
}

/* One turn. Where haul has more to do at once, the others are looked at all the same, but not waited for. */
static void turn(int set, int timer, struct jobs *jobs)
{
	struct epoll_event events[EVENTS];
	int busy = must(haul_progress(jobs->haul)); /* drain: a bounded piece of work, and callbacks */
	if (!busy)
		busy = haul_arm(jobs->haul) == -EAGAIN;         /* arm: -EAGAIN if something came meanwhile */
	int n = epoll_wait(set, events, EVENTS, busy ? 0 : -1); /* sleep */
	if (n < 0 && errno != EINTR)
		check(n, "epoll_wait");
	for (int i = 0; i < n; i++) {
		if (events[i].data.fd == timer)
			on_timer(timer, jobs);
		else if (events[i].data.fd == jobs->notes)
			jobs_read_notes(jobs);
		/* else it is haul's, and the next turn begins with that anyway */
	}
}

int main(void)
{
	struct jobs jobs;
	jobs_start(&jobs, "event_epoll");
	int set = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1"), timer = start_timer();
	watch(set, timer);
	watch(set, jobs.notes);
	watch(set, must(haul_fd(jobs.haul)));
	while (!jobs.over)
		turn(set, timer, &jobs);
	close(timer);
	close(set);
	return jobs_end(&jobs);
}
