/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting a program that has one end of a socket, and finding that end in it. What it does after, and who waits
 * for it, is the caller's.
 */
#ifndef HAUL_OS_SPAWN_H
#define HAUL_OS_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

struct spawn_fd {
	int fd, as; /* ours, its */
};

struct spawn {
	char *const *argv, *const *envp; /* envp NULL: our own */
	const char *cwd;                 /* NULL: ours */
	const struct spawn_fd *fds;
	size_t fd_count;
	int socket; /* its end */
};

enum { SPAWN_FDS = 256 }; /* `as` is below */

/* 0 and a child with its pidfd (close-on-exec); or -errno with a reason, and no child. */
int spawn_start(const struct spawn *s, pid_t *pid, int *pidfd);

/* In the program: the descriptor of its end, by what spawn_start() wrote into the environment, which is taken out. Or
 * -errno with a reason, as of haul_inherit(). */
int spawn_inherited(void);

#endif
