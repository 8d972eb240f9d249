/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sockets that systemd, or whoever does as it does (sd_listen_fds(3)), has passed to this process: from number 3 on,
 * LISTEN_FDS of them, if LISTEN_PID is this process, named by LISTEN_FDNAMES. The environment is where it is kept
 * which of them are taken: their names are blank.
 */
#ifndef HAUL_OS_ACTIVATED_H
#define HAUL_OS_ACTIVATED_H

/* The first of that name that is not taken, NULL: the only one that there is; or -errno with a reason: -ENOENT, or
 * -EINVAL if it can't be told which. */
int activated_find(const char *name);
/* It is taken: no other call finds it, and all of them are close-on-exec. The variables go with the last. 0 or
 * -ENOMEM with a reason. */
int activated_take(int fd);

#endif
