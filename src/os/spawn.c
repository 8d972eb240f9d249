/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting programs. See spawn.h.
 *
 * By posix_spawn(3): whatever the size of this process and its number of threads, nothing of it is copied, no signal
 * handler runs in the child, and exec's errno comes back. What the child does before exec, in this order:
 *
 *     changes to its directory; dup2 of each descriptor, from a copy above all numbers that it gets; close of all
 *     others
 *
 * The copies are what makes the order of the dup2s not matter: none is overwritten before its turn. They are
 * close-on-exec, as all that this library opens, so another child that is started meanwhile has none of them.
 */
#include "os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/proc.h"
#include "os/reason.h"

#define VARIABLE "HAUL_FD"

enum { STANDARD = 3, TEXT = 64 };

/* Of one start: who gets what, and what is to be undone here. */
struct start {
	const struct spawn *s;
	bool given[SPAWN_FDS]; /* numbers */
	int base;              /* above all of them */
	int number;            /* the socket's */
	int *copies;           /* of s->fds, then of the socket */
	size_t copy_count;
	int cwd;
	char **envp;
	char text[TEXT];
	posix_spawn_file_actions_t actions;
};

/* ---- numbers ---- */

static int choose_numbers(struct start *st)
{
	const struct spawn *s = st->s;
	st->base = STANDARD;
	for (size_t i = 0; i < s->fd_count; i++) {
		int as = s->fds[i].as;
		if (as < 0 || as >= SPAWN_FDS)
			return reason(-EINVAL, "a descriptor as number %d: not within 0 to %d", as,
			    SPAWN_FDS - 1);
		if (st->given[as])
			return reason(-EINVAL, "two descriptors as number %d", as);
		st->given[as] = true;
		if (as >= st->base)
			st->base = as + 1;
	}
	for (st->number = STANDARD; st->number < SPAWN_FDS && st->given[st->number]; st->number++)
		;
	if (st->number == SPAWN_FDS)
		return reason(-EINVAL, "no number is left for the connection");
	st->given[st->number] = true;
	if (st->number >= st->base)
		st->base = st->number + 1;
	return 0;
}

static int copy(struct start *st, int fd)
{
	int to = fcntl(fd, F_DUPFD_CLOEXEC, st->base);
	if (to < 0)
		return reason(-errno, "descriptor %d for the worker: %s", fd, strerror(errno));
	st->copies[st->copy_count++] = to;
	return 0;
}

static int copy_all(struct start *st)
{
	const struct spawn *s = st->s;
	int rc = 0;
	st->copies = calloc(s->fd_count + 1, sizeof(*st->copies));
	if (st->copies == NULL)
		return reason(-ENOMEM, "no memory to start a worker");
	for (size_t i = 0; i < s->fd_count && rc == 0; i++)
		rc = copy(st, s->fds[i].fd);
	return rc == 0 ? copy(st, s->socket) : rc;
}

/* ---- environment and directory ---- */

static bool is_ours(const char *entry)
{
	return strncmp(entry, VARIABLE "=", sizeof(VARIABLE)) == 0;
}

static int make_environment(struct start *st)
{
	char *const *from = st->s->envp != NULL ? st->s->envp : environ;
	struct stat socket;
	size_t count = 0, kept = 0;
	if (fstat(st->s->socket, &socket) != 0)
		return reason(-errno, "fstat: %s", strerror(errno));
	snprintf(st->text, sizeof(st->text), VARIABLE "=%d:%ju", st->number, (uintmax_t)socket.st_ino);
	while (from != NULL && from[count] != NULL)
		count++;
	st->envp = calloc(count + 2, sizeof(*st->envp));
	if (st->envp == NULL)
		return reason(-ENOMEM, "no memory to start a worker");
	for (size_t i = 0; i < count; i++)
		if (!is_ours(from[i]))
			st->envp[kept++] = from[i];
	st->envp[kept] = st->text;
	return 0;
}

/* Now, so that its error can be told from the program's. */
static int open_directory(struct start *st)
{
	const char *cwd = st->s->cwd;
	if (cwd == NULL)
		return 0;
	st->cwd = open(cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (st->cwd < 0 || faccessat(st->cwd, ".", X_OK, AT_EACCESS) != 0)
		return reason(-errno, "cannot start a worker in the directory %s: %s", cwd, strerror(errno));
	return 0;
}

/* ---- the child ---- */

/* 0 or an errno: these allocate. */
static int list_actions(struct start *st)
{
	posix_spawn_file_actions_t *a = &st->actions;
	size_t count = st->s->fd_count;
	int error = st->cwd >= 0 ? posix_spawn_file_actions_addfchdir_np(a, st->cwd) : 0;
	for (size_t i = 0; i <= count && error == 0; i++)
		error = posix_spawn_file_actions_adddup2(a, st->copies[i],
		    i < count ? st->s->fds[i].as : st->number);
	for (int fd = STANDARD; fd < st->base && error == 0; fd++)
		if (!st->given[fd])
			error = posix_spawn_file_actions_addclose(a, fd);
	return error != 0 ? error : posix_spawn_file_actions_addclosefrom_np(a, st->base);
}

static int run(struct start *st, pid_t *pid)
{
	posix_spawnattr_t attr;
	sigset_t none, usual;
	sigemptyset(&none);
	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	sigaddset(&usual, SIGCHLD);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &usual);
	posix_spawn_file_actions_init(&st->actions);
	int error = list_actions(st);
	if (error == 0)
		error = posix_spawnp(pid, st->s->argv[0], &st->actions, &attr, st->s->argv, st->envp);
	posix_spawn_file_actions_destroy(&st->actions);
	posix_spawnattr_destroy(&attr);
	return error != 0 ? reason(-error, "cannot start %s: %s", st->s->argv[0], strerror(error)) : 0;
}

/* A pid is good until its process is reaped, and if that has ended already the program may have been so quick as to do
 * that: so the pidfd counts only if it names a child. */
static int hold(pid_t pid, int *pidfd)
{
	int status, fd = proc_open(pid);
	if (fd < 0)
		proc_end_child(pid);
	if (fd < 0 && fd != -ESRCH)
		return reason(fd, "no pidfd of the worker: %s", strerror(-fd));
	if (fd < 0 || proc_reap(fd, false, &status) < 0) {
		if (fd >= 0)
			close(fd);
		return reason(-ECONNRESET, "the worker has exited, and was reaped by somebody else");
	}
	*pidfd = fd;
	return 0;
}

static void undo(struct start *st)
{
	for (size_t i = 0; i < st->copy_count; i++)
		close(st->copies[i]);
	if (st->cwd >= 0)
		close(st->cwd);
	free(st->copies);
	free(st->envp);
}

int spawn_start(const struct spawn *s, pid_t *pid, int *pidfd)
{
	struct start st = { .s = s, .cwd = -1 };
	int rc;
	if ((rc = choose_numbers(&st)) == 0 && (rc = make_environment(&st)) == 0 &&
	    (rc = open_directory(&st)) == 0 && (rc = copy_all(&st)) == 0)
		rc = run(&st, pid);
	undo(&st);
	return rc != 0 ? rc : hold(*pid, pidfd);
}

/* ---- in the program ---- */

static int check(int fd, uintmax_t inode, const char *text)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return reason(-errno, VARIABLE "=%s: descriptor %d: %s", text, fd, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return reason(-ENOTSOCK, VARIABLE "=%s: descriptor %d is not a socket", text, fd);
	if (st.st_ino != inode)
		return reason(-ESTALE, VARIABLE "=%s: descriptor %d is another socket, %ju", text, fd,
		    (uintmax_t)st.st_ino);
	return fd;
}

int spawn_inherited(void)
{
	const char *value = secure_getenv(VARIABLE);
	char text[TEXT], end;
	int fd;
	uintmax_t inode;
	if (value == NULL)
		return reason(-ENOENT,
		    "there is no " VARIABLE " in the environment: not started by haul_spawn()");
	size_t len = strnlen(value, sizeof(text));
	bool fits = len < sizeof(text);
	memcpy(text, value, fits ? len + 1 : 0);
	unsetenv(VARIABLE);
	if (!fits || strspn(text, "0123456789:") != len ||
	    sscanf(text, "%9d:%19ju%c", &fd, &inode, &end) != 2)
		return reason(-EINVAL, VARIABLE "=%s makes no sense", fits ? text : "...");
	return check(fd, inode, text);
}
