/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting for descriptors: an epoll set, an eventfd to be woken by, a timerfd. Every function returns 0, a
 * count or a descriptor, or -errno.
 */
#ifndef HAUL_OS_POLL_H
#define HAUL_OS_POLL_H

#include <stdint.h>
#include <sys/epoll.h>

int poll_open(void);

/* events: EPOLLIN, EPOLLOUT; 0 leaves only errors and hang-up. data comes back with each event. */
int poll_add(int set, int fd, uint32_t events, uint64_t data);
int poll_change(int set, int fd, uint32_t events, uint64_t data);

/* Must precede the closing of fd: a copy in another process would keep it in the set for ever. */
void poll_remove(int set, int fd);

/* Waits until something is ready or the clock (os/clock.h) reaches `until`; 0: does not wait. A signal
 * ends it early with 0 events. */
int poll_wait(int set, struct epoll_event *events, int max, uint64_t until);

/* A descriptor that is readable from a point of the clock on; CLOCK_NEVER: not at all. */
int alarm_open(void);
void alarm_set(int fd, uint64_t at);

int wake_open(void);
void wake_set(int fd); /* async-signal-safe */
void wake_clear(int fd);

#endif
