/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fault trigger: which call is hit, then the wrapped functions. See fault.h. fault.wrap names them for the
 * linker; tests/test_faults.sh holds it against what the library calls.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "lib/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the trigger ---- */

enum fate { FATE_DONE, FATE_FAILED, FATE_SHORT, FATE_RAISED_AFTER };

static struct fault fault;
static atomic_bool armed;
static _Thread_local bool here; /* this thread armed it */
static _Thread_local bool asking;
static atomic_uint calls, fired;
static atomic_long live;
static const char *first_name;
static char words[160];

void fault_arm(const struct fault *f)
{
	fault = *f;
	first_name = NULL;
	strcpy(words, "no fault");
	calls = fired = 0;
	here = true;
	armed = true;
}

void fault_hold(void)
{
	here = false;
}

void fault_go_on(void)
{
	here = true;
}

void fault_disarm(void)
{
	armed = false;
	here = false;
}

void fault_no_memory(void)
{
	fault_arm(&(struct fault){ .nth = 1, .lasting = true, .only = FAULT_ALLOCATIONS, .error = ENOMEM });
}

unsigned fault_calls(void)
{
	return calls;
}

unsigned fault_fired(void)
{
	return fired;
}

const char *fault_name(void)
{
	return first_name;
}

const char *fault_words(void)
{
	return words;
}

long fault_live(void)
{
	return live;
}

static bool is_one_of(const char *name, const char *names)
{
	size_t len = strlen(name);
	for (const char *at = names; (at = strstr(at, name)) != NULL; at += len)
		if ((at == names || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

/* What it fails with, 0 if it can't in the way that is wanted. errors ends with a 0. */
static int error_for(const int *errors)
{
	if (errors[0] == 0 || fault.error != 0)
		return errors[0] == 0 ? 0 : fault.error;
	for (unsigned i = 0; i < fault.variant; i++)
		if (errors[i] == 0)
			return 0;
	return errors[fault.variant];
}

static void describe(const char *name, unsigned place, int error)
{
	static const char *const actions[] = { "fails", "falls short", "is preceded by a signal",
		"is followed by a signal", "is in the test's hands" };
	bool failed = fault.action == FAULT_FAIL;
	first_name = name;
	snprintf(words, sizeof(words), "%s (call %u%s) %s%s%s", name, place,
	    fault.lasting ? " and all after it" : "", actions[fault.action], failed ? ": " : "",
	    failed ? strerror(error) : "");
}

/* Whether this call is to be hit: it counts, and it is its turn. */
static bool is_hit(const char *name, int error, bool transfers)
{
	if (!armed || asking || !(here || fault.all_threads))
		return false;
	if (fault.only != NULL && !is_one_of(name, fault.only))
		return false;
	if ((fault.action == FAULT_FAIL && error == 0) || (fault.action == FAULT_SHORT && !transfers))
		return false;
	unsigned place = ++calls;
	if (place < fault.nth || (place > fault.nth && !fault.lasting))
		return false;
	if (fired++ == 0)
		describe(name, place, error);
	return true;
}

static int ask(const char *name, long first)
{
	asking = true;
	int error = fault.hook(name, first, fault.arg);
	asking = false;
	return error;
}

/* Every wrapped call meets this first. FATE_FAILED: errno is set. */
static enum fate meet(const char *name, long first, const int *errors, bool transfers)
{
	int saved = errno, error = armed ? error_for(errors) : 0;
	if (!is_hit(name, error, transfers))
		return FATE_DONE;
	switch (fault.action) {
	case FAULT_FAIL:
		errno = error;
		return FATE_FAILED;
	case FAULT_SHORT:
		return FATE_SHORT;
	case FAULT_RAISE:
		kill(getpid(), fault.signal);
		break;
	case FAULT_RAISE_AFTER:
		return FATE_RAISED_AFTER;
	case FAULT_ASK:
		error = ask(name, first);
		errno = error != 0 ? error : saved;
		return error != 0 ? FATE_FAILED : FATE_DONE;
	}
	errno = saved;
	return FATE_DONE;
}

/* And this last, if it was done. */
static void met(enum fate fate)
{
	int saved = errno;
	if (fate == FATE_RAISED_AFTER)
		kill(getpid(), fault.signal);
	errno = saved;
}

/* ---- calls that are done or not ---- */

#define ERRORS(...) ((const int[]){ __VA_ARGS__, 0 })

/* The linker makes the two names of name: its caller calls __wrap_, and __real_ is what libc has. */
#define WRAP(type, name, parameters, arguments, first, failure, ...) \
	type __real_##name parameters; \
	type __wrap_##name parameters; \
	type __wrap_##name parameters \
	{ \
		enum fate fate = meet(#name, (long)(first), ERRORS(__VA_ARGS__), false); \
		if (fate == FATE_FAILED) \
			return failure; \
		type result = __real_##name arguments; \
		met(fate); \
		return result; \
	}

/* clang-format off */
WRAP(int, accept4, (int fd, struct sockaddr *a, socklen_t *len, int flags), (fd, a, len, flags), fd, -1,
    EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EAGAIN, EINTR)
WRAP(int, bind, (int fd, const struct sockaddr *a, socklen_t len), (fd, a, len), fd, -1,
    EADDRINUSE, EACCES, ENOSPC, ENOMEM)
WRAP(int, connect, (int fd, const struct sockaddr *a, socklen_t len), (fd, a, len), fd, -1,
    ECONNREFUSED, EAGAIN, EACCES, ENOENT)
WRAP(int, epoll_create1, (int flags), (flags), flags, -1, EMFILE, ENFILE, ENOMEM)
/* Nothing but adding has to allocate. */
WRAP(int, epoll_ctl, (int set, int what, int fd, struct epoll_event *e), (set, what, fd, e), fd, -1,
    what == EPOLL_CTL_ADD ? ENOMEM : 0, ENOSPC)
WRAP(int, epoll_pwait2, (int set, struct epoll_event *e, int max, const struct timespec *t, const sigset_t *m),
    (set, e, max, t, m), set, -1, ENOSYS, EINTR)
WRAP(int, epoll_wait, (int set, struct epoll_event *e, int max, int ms), (set, e, max, ms), set, -1, EINTR)
WRAP(int, eventfd, (unsigned count, int flags), (count, flags), count, -1, EMFILE, ENFILE, ENOMEM)
WRAP(int, faccessat, (int fd, const char *path, int mode, int flags), (fd, path, mode, flags), fd, -1,
    EACCES, ENOMEM)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), fd, -1, EPERM, EROFS)
WRAP(int, flock, (int fd, int what), (fd, what), fd, -1, EWOULDBLOCK, ENOLCK, EINTR)
WRAP(FILE *, fopencookie, (void *cookie, const char *mode, cookie_io_functions_t io), (cookie, mode, io),
    cookie, NULL, ENOMEM)
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), fd, -1, ENOMEM)
WRAP(int, getpeername, (int fd, struct sockaddr *a, socklen_t *len), (fd, a, len), fd, -1, ENOTCONN, ENOBUFS)
WRAP(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len), (fd, level, name, value, len),
    fd, -1, ENOPROTOOPT, EPERM)
WRAP(int, listen, (int fd, int backlog), (fd, backlog), fd, -1, EADDRINUSE)
WRAP(int, lstat, (const char *path, struct stat *st), (path, st), path, -1, EACCES, ENOENT, ENOMEM)
WRAP(int, madvise, (void *at, size_t len, int advice), (at, len, advice), at, -1, EINVAL, ENOMEM)
WRAP(int, nanosleep, (const struct timespec *t, struct timespec *left), (t, left), t, -1, EINTR)
WRAP(int, poll, (struct pollfd *fds, nfds_t count, int ms), (fds, count, ms), fds->fd, -1, ENOMEM, EINTR)
WRAP(int, sched_getaffinity, (pid_t pid, size_t size, cpu_set_t *set), (pid, size, set), pid, -1, EINVAL, EPERM)
WRAP(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len),
    (fd, level, name, value, len), fd, -1, ENOPROTOOPT, ENOMEM, EPERM)
WRAP(int, setenv, (const char *name, const char *value, int over), (name, value, over), name, -1, ENOMEM)
/* Of a connected socket it always succeeds. */
WRAP(int, shutdown, (int fd, int how), (fd, how), fd, -1, 0)
WRAP(int, sigqueue, (pid_t pid, int number, const union sigval value), (pid, number, value), number, -1, EAGAIN)
WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol), domain, -1,
    EMFILE, ENFILE, ENOBUFS, ENOMEM)
WRAP(int, socketpair, (int domain, int type, int protocol, int *fds), (domain, type, protocol, fds), domain, -1,
    EMFILE, ENFILE, ENOBUFS, ENOMEM)
WRAP(int, timerfd_create, (clockid_t clock, int flags), (clock, flags), clock, -1, EMFILE, ENFILE, ENOMEM)
WRAP(int, timerfd_settime, (int fd, int flags, const struct itimerspec *t, struct itimerspec *old),
    (fd, flags, t, old), fd, -1, EINVAL)
WRAP(int, unlink, (const char *path), (path), path, -1, EACCES, EROFS, ENOENT)
/* Of a child it always succeeds, and nobody else may be waited for. */
WRAP(int, waitid, (idtype_t what, id_t id, siginfo_t *info, int options), (what, id, info, options), id, -1, 0)
WRAP(int, posix_spawnp, (pid_t *pid, const char *program, const posix_spawn_file_actions_t *actions,
    const posix_spawnattr_t *attr, char *const argv[], char *const envp[]),
    (pid, program, actions, attr, argv, envp), program, errno, EAGAIN, ENOMEM, ENOENT)
WRAP(int, posix_spawn_file_actions_addclose, (posix_spawn_file_actions_t *a, int fd), (a, fd), fd, errno, ENOMEM)
WRAP(int, posix_spawn_file_actions_addclosefrom_np, (posix_spawn_file_actions_t *a, int fd), (a, fd), fd, errno,
    ENOMEM)
WRAP(int, posix_spawn_file_actions_adddup2, (posix_spawn_file_actions_t *a, int fd, int as), (a, fd, as), fd,
    errno, ENOMEM)
WRAP(int, posix_spawn_file_actions_addfchdir_np, (posix_spawn_file_actions_t *a, int fd), (a, fd), fd, errno,
    ENOMEM)
WRAP(int, pthread_create, (pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg),
    (t, a, run, arg), 0, errno, EAGAIN)
/* clang-format on */

/* Those with a variable list of arguments. What wasn't passed is not looked at by the kernel either. */

int __real_fcntl(int fd, int what, ...);
int __wrap_fcntl(int fd, int what, ...);
int __wrap_fcntl(int fd, int what, ...)
{
	va_list args;
	va_start(args, what);
	long value = va_arg(args, long);
	va_end(args);
	enum fate fate = meet("fcntl", fd, ERRORS(ENOMEM, EPERM), false);
	if (fate == FATE_FAILED)
		return -1;
	int result = __real_fcntl(fd, what, value);
	met(fate);
	return result;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = va_arg(args, mode_t);
	va_end(args);
	enum fate fate = meet("open", (long)path, ERRORS(EMFILE, ENFILE, EACCES, ENOENT, ENOMEM), false);
	if (fate == FATE_FAILED)
		return -1;
	int result = __real_open(path, flags, mode);
	met(fate);
	return result;
}

int __real_prctl(int what, ...);
int __wrap_prctl(int what, ...);
int __wrap_prctl(int what, ...)
{
	unsigned long a[4];
	va_list args;
	va_start(args, what);
	for (size_t i = 0; i < sizeof(a) / sizeof(a[0]); i++)
		a[i] = va_arg(args, unsigned long);
	va_end(args);
	enum fate fate = meet("prctl", (long)a[0], ERRORS(EINVAL, EPERM), false);
	if (fate == FATE_FAILED)
		return -1;
	int result = __real_prctl(what, a[0], a[1], a[2], a[3]);
	met(fate);
	return result;
}

/* All that the library calls by number is pidfd_open(2) and pidfd_send_signal(2). How many arguments there are can't be known: as libc does,
 * six are taken. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
__attribute__((no_sanitize_address)) long __wrap_syscall(long number, ...)
{
	long a[6];
	va_list args;
	va_start(args, number);
	for (size_t i = 0; i < sizeof(a) / sizeof(a[0]); i++)
		a[i] = va_arg(args, long);
	va_end(args);
	enum fate fate = meet("syscall", number, ERRORS(EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM, ESRCH), false);
	if (fate == FATE_FAILED)
		return -1;
	long result = __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	met(fate);
	return result;
}

/* The descriptor is closed even if close(2) says otherwise. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	enum fate fate = meet("close", fd, ERRORS(EINTR, EIO), false);
	int saved = errno, result = __real_close(fd);
	if (fate == FATE_FAILED) {
		errno = saved;
		return -1;
	}
	met(fate);
	return result;
}

/* ---- transfers ---- */

/* Whether there is a half to be moved. */
#define HALF(len, fate) ((fate) == FATE_SHORT ? (len) / 2 : (len))

#define WRAP_BYTES(name, parameters, arguments, ...) \
	ssize_t __real_##name parameters; \
	ssize_t __wrap_##name parameters; \
	ssize_t __wrap_##name parameters \
	{ \
		enum fate fate = meet(#name, fd, ERRORS(__VA_ARGS__), len > 1); \
		if (fate == FATE_FAILED) \
			return -1; \
		len = HALF(len, fate); \
		ssize_t result = __real_##name arguments; \
		met(fate); \
		return result; \
	}

/* clang-format off */
WRAP_BYTES(read, (int fd, void *buf, size_t len), (fd, buf, len), EAGAIN, EINTR, EIO)
WRAP_BYTES(write, (int fd, const void *buf, size_t len), (fd, buf, len), EAGAIN, EINTR, EIO)
WRAP_BYTES(recv, (int fd, void *buf, size_t len, int flags), (fd, buf, len, flags),
    ENOMEM, ECONNRESET, EAGAIN, EINTR)
WRAP_BYTES(send, (int fd, const void *buf, size_t len, int flags), (fd, buf, len, flags),
    ENOBUFS, ENOMEM, EPIPE, ECONNRESET, EAGAIN, EINTR)
/* clang-format on */

enum { IOVS = 1024 };

static size_t total(const struct iovec *iov, size_t count)
{
	size_t sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* The first half of the bytes; returns how many of half are used. */
static size_t halve(struct iovec *half, const struct iovec *iov, size_t count)
{
	size_t left = total(iov, count) / 2, n = 0;
	for (; left > 0 && n < IOVS; n++) {
		half[n] = iov[n];
		if (half[n].iov_len > left)
			half[n].iov_len = left;
		left -= half[n].iov_len;
	}
	return n;
}

#define WRAP_MSG(name, parameters, arguments, ...) \
	ssize_t __real_##name parameters; \
	ssize_t __wrap_##name parameters; \
	ssize_t __wrap_##name parameters \
	{ \
		struct iovec *iov = msg->msg_iov, half[IOVS]; \
		size_t count = msg->msg_iovlen; \
		enum fate fate = meet(#name, fd, ERRORS(__VA_ARGS__), armed && total(iov, count) > 1); \
		if (fate == FATE_FAILED) \
			return -1; \
		struct msghdr *m = (struct msghdr *)(uintptr_t)msg; /* lent us for so long */ \
		if (fate == FATE_SHORT) { \
			m->msg_iovlen = halve(half, iov, count); \
			m->msg_iov = half; \
		} \
		ssize_t result = __real_##name arguments; \
		m->msg_iov = iov; \
		m->msg_iovlen = count; \
		met(fate); \
		return result; \
	}

/* clang-format off */
WRAP_MSG(recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags), ENOMEM, ECONNRESET, EAGAIN, EINTR)
WRAP_MSG(sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags),
    ENOBUFS, ENOMEM, EPIPE, ECONNRESET, EAGAIN, EINTR)
/* clang-format on */

/* Half of our side is enough: no more is moved than both have room for. A word is moved whole, or not. */
#define WRAP_VM(name) \
	ssize_t __real_##name(pid_t pid, const struct iovec *ours, unsigned long count, \
	    const struct iovec *theirs, unsigned long their_count, unsigned long flags); \
	ssize_t __wrap_##name(pid_t pid, const struct iovec *ours, unsigned long count, \
	    const struct iovec *theirs, unsigned long their_count, unsigned long flags); \
	ssize_t __wrap_##name(pid_t pid, const struct iovec *ours, unsigned long count, \
	    const struct iovec *theirs, unsigned long their_count, unsigned long flags) \
	{ \
		struct iovec half[IOVS]; \
		enum fate fate = meet(#name, pid, ERRORS(EPERM, ENOMEM, ESRCH, ENOSYS), \
		    armed && total(ours, count) > sizeof(uint64_t)); \
		if (fate == FATE_FAILED) \
			return -1; \
		if (fate == FATE_SHORT) { \
			count = halve(half, ours, count); \
			ours = half; \
		} \
		ssize_t result = __real_##name(pid, ours, count, theirs, their_count, flags); \
		met(fate); \
		return result; \
	}

/* clang-format off */
WRAP_VM(process_vm_readv)
WRAP_VM(process_vm_writev)
/* clang-format on */

/* ---- memory ---- */

/* A block comes, unless old (0: none) was one already. */
#define WRAP_MEMORY(name, parameters, arguments, old, nothing) \
	void *__real_##name parameters; \
	void *__wrap_##name parameters; \
	void *__wrap_##name parameters \
	{ \
		bool had = (old) != 0; \
		enum fate fate = meet(#name, (long)(old), ERRORS(ENOMEM), false); \
		if (fate == FATE_FAILED) \
			return nothing; \
		void *result = __real_##name arguments; \
		live += result != (nothing) && !had; \
		met(fate); \
		return result; \
	}

/* clang-format off */
WRAP_MEMORY(malloc, (size_t size), (size), 0, NULL)
WRAP_MEMORY(calloc, (size_t count, size_t size), (count, size), 0, NULL)
WRAP_MEMORY(realloc, (void *p, size_t size), (p, size), (uintptr_t)p, NULL)
WRAP_MEMORY(reallocarray, (void *p, size_t count, size_t size), (p, count, size), (uintptr_t)p, NULL)
WRAP_MEMORY(recallocarray, (void *p, size_t before, size_t count, size_t size), (p, before, count, size),
    (uintptr_t)p, NULL)
WRAP_MEMORY(aligned_alloc, (size_t align, size_t size), (align, size), 0, NULL)
WRAP_MEMORY(mmap, (void *at, size_t len, int prot, int flags, int fd, off_t offset),
    (at, len, prot, flags, fd, offset), 0, MAP_FAILED)
/* clang-format on */

void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
	live -= p != NULL;
	__real_free(p);
}

int __real_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len)
{
	enum fate fate = meet("munmap", (long)at, ERRORS(ENOMEM), false);
	int saved = errno, result = __real_munmap(at, len);
	live--;
	if (fate == FATE_FAILED) {
		errno = saved;
		return -1;
	}
	met(fate);
	return result;
}
