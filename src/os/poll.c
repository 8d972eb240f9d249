/* SPDX-License-Identifier: BSD-3-Clause */
/* The epoll set, the eventfd, the timerfd. See poll.h. */
#include "os/poll.h"

#include <errno.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"

int poll_open(void)
{
	int set = epoll_create1(EPOLL_CLOEXEC);
	return set < 0 ? -errno : set;
}

static int control(int set, int operation, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };
	return epoll_ctl(set, operation, fd, &e) != 0 ? -errno : 0;
}

int poll_add(int set, int fd, uint32_t events, uint64_t data)
{
	return control(set, EPOLL_CTL_ADD, fd, events, data);
}

int poll_change(int set, int fd, uint32_t events, uint64_t data)
{
	return control(set, EPOLL_CTL_MOD, fd, events, data);
}

void poll_remove(int set, int fd)
{
	control(set, EPOLL_CTL_DEL, fd, 0, 0);
}

int poll_wait(int set, struct epoll_event *events, int max, uint64_t until)
{
	int n;
	if (until == 0) {
		n = epoll_wait(set, events, max, 0);
	} else if (until == CLOCK_NEVER) {
		n = epoll_wait(set, events, max, -1);
	} else {
		uint64_t now = clock_now(), left = until > now ? until - now : 0;
		struct timespec t = { .tv_sec = (time_t)(left / 1000000000u),
			.tv_nsec = (long)(left % 1000000000u) };
		n = epoll_pwait2(set, events, max, &t, NULL);
		if (n < 0 && errno == ENOSYS) /* before Linux 5.11: whole milliseconds, rounded up */
			n = epoll_wait(set, events, max,
			    left / NS_PER_MS >= 1000000 ? 1000000 : (int)(left / NS_PER_MS) + 1);
	}
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n;
}

int alarm_open(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

void alarm_set(int fd, uint64_t at)
{
	struct itimerspec when = { 0 }; /* all zero stops it, and makes it unreadable */
	if (at != CLOCK_NEVER) {
		when.it_value.tv_sec = (time_t)(at / 1000000000u);
		when.it_value.tv_nsec = (long)(at % 1000000000u);
		if (at == 0)
			when.it_value.tv_nsec = 1;
	}
	timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL);
}

int wake_open(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

void wake_set(int fd)
{
	int saved = errno;
	uint64_t one = 1;
	/* Fails only when the counter is full, and then it is set. */
	ssize_t n = write(fd, &one, sizeof(one));
	(void)n;
	errno = saved;
}

void wake_clear(int fd)
{
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof(count));
	(void)n;
}
