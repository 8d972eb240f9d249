/* SPDX-License-Identifier: BSD-3-Clause */
/* Processes, users, CPUs: pidfds, which name a process for good; whom we can tell apart; where we may run. */
#ifndef HAUL_OS_PROC_H
#define HAUL_OS_PROC_H

#include <stdbool.h>
#include <sys/types.h>

/* A close-on-exec pidfd, or -errno. */
int proc_open(pid_t pid);

/* Whether the process has ended (a zombie has): its pidfd is readable. */
bool proc_dead(int pidfd);

/* Whether two pidfds name one process; true also where that cannot be told: for want of one of them, or before
 * Linux 6.9, where all pidfds look the same. */
bool proc_same(int pidfd, int other);

/* Whether every user of the machine has a number in our user namespace, as is so in the first one. Where that
 * is not so, strangers show as 65534 (user_namespaces(7)). */
bool proc_sees_all_users(void);

/* The parent of a process, from /proc; 0 if it has none here or can't be asked. */
pid_t proc_parent(pid_t pid);

/* Names the process that, with its descendants, may trace this one where Yama would refuse it: prctl(2),
 * PR_SET_PTRACER. PROC_ANY: everybody; 0: nobody again. -EINVAL: there is no Yama, or no such process. */
enum { PROC_ANY = -1 };
int proc_name_tracer(pid_t pid);

/* Sends a signal to the process that a pidfd names: 0, -ESRCH, -EPERM, -EINVAL. */
int proc_kill(int pidfd, int signal);

/* Whether the child that a pidfd names has ended; `take`: if so, reaps it. 1, and *status as of wait(2); 0: not yet;
 * -ECHILD: it is none of our children, or was reaped. Never waits. */
int proc_reap(int pidfd, bool take, int *status);

/* Kills a child that has no pidfd, and reaps it, which waits for its end. */
void proc_end_child(pid_t pid);

/* The highest signal number there is. */
int proc_last_signal(void);

/* Queues a signal with a value to this process: 0, or -EAGAIN if it has too many queued. */
int proc_signal_self(int signal, void *value);

/* CPUs in this thread's affinity mask, at least 1. */
int proc_cpus(void);
/* How many there are, whoever may use them. */
int proc_cpus_of_all(void);

/* Lets others run that want this thread's CPU. */
void proc_yield(void);

/* The CPU that this thread runs on, or did just now; -1 if that can't be told. */
int proc_cpu(void);

#endif
