/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Workers: programs that this one starts, with a connection to each. The conventions are those of haul/haul.h.
 *
 *     parent                                             worker
 *     haul_spawn(h, &spawn, sizeof(spawn), 5000, &w)     haul_inherit(h, 5000, &parent)
 *     messages to and from w                             messages to and from parent
 *     haul_peer_close(w, 1000), which says goodbye       a receive ends as -EPIPE; exit(3)
 *
 * A worker is the program's, not the library's: closing its peer, or the context, neither kills nor reaps it, and a
 * parent that dies leaves its workers with -ECONNRESET. haul_peer_kill() and haul_peer_reap() act on the process
 * itself, by pidfd, as long as the peer is not closed, be the connection alive or not. To reap after the close, keep
 * haul_peer_info's worker and use waitpid(2).
 *
 * The library handles no signal, and waits for no child but those it is told to reap. A program that reaps whatever
 * child has ended (waitpid(-1), SIGCHLD ignored) takes their status away: haul_peer_reap() then gives -ECHILD.
 *
 * For a child made by fork(2) there is haul_pair(); haul_peer_kill() and haul_peer_reap() work for it just as well.
 */
#ifndef HAUL_WORKER_H
#define HAUL_WORKER_H

#include <haul/haul.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

enum { HAUL_SPAWN_FDS = 256 }; /* numbers that may be given to a worker's descriptors: 0 up to one less */

/* A descriptor for a worker: fd here is number `as` there. It stays the caller's, close-on-exec or not. */
struct haul_spawn_fd {
	int fd, as;
};

/* What is started. Zero the struct, then set what matters. Everything stays the caller's. */
struct haul_spawn {
	char *const *argv; /* ends with NULL; [0] is the program, looked for along PATH if it has no slash */
	char *const
	    *envp;       /* ends with NULL; HAUL_FD is put in by the library. NULL: this process's own, which
	                    * then no other thread may be changing */
	const char *cwd; /* its working directory, from which a relative program is looked for; NULL: ours */
	const struct haul_spawn_fd *fds; /* the descriptors it gets besides; no `as` twice */
	size_t fd_count;
};

/*
 * Starts a program, which is to call haul_inherit(), and waits until it has: *out is the worker. Besides what is
 * listed it gets 0, 1 and 2 as they are, and its end of the connection, whose number the environment names
 * (HAUL_FD); nothing else, whatever other threads start at the same time. No signal is blocked for it; SIGPIPE and
 * SIGCHLD are as at login, others that are ignored here stay ignored there (nohup(1)).
 *
 * After an error nothing is left of it: what had been started was killed and reaped. (If the kernel is slow to end
 * it, it is reaped by calls that make progress.) What exec(2) says of the program, above all -ENOENT and -EACCES;
 * -ENOENT, -ENOTDIR and -EACCES of cwd: haul_reason() says of which. -EBADF: a descriptor is not open. -EINVAL: no
 * program, a number out of range or twice. -E2BIG: the struct is of a newer library, and not zero there.
 * -ECONNRESET: it exited before it had called haul_inherit() (at once: haul_reason() has its exit status), or hung
 * up. -EAGAIN with timeout_ms 0: nothing was started. Others as haul_adopt(), and of fork(2). The timeout does not
 * bound what the kernel needs to load the program.
 *
 * The program may start another one that calls haul_inherit() in its place, such as a shell does, if it waits for it:
 * haul_peer_info() then names the one as worker, the other as pid. The first one's exit before the call is an error
 * as above.
 */
int haul_spawn(struct haul *h, const struct haul_spawn *spawn, size_t spawn_size, int timeout_ms,
    struct haul_peer **out);

/*
 * In a worker: the connection to who started it, named by HAUL_FD ("number:inode"). Unsets that variable as soon as
 * it has been read, right or wrong, so that no child of the worker takes the connection for its own; as with all
 * that changes the environment, no other thread may be using it. The descriptor is the library's from then on, and
 * closed if the call fails after all.
 *
 * -ENOENT: there is no HAUL_FD: not started by haul_spawn(). -EINVAL: it makes no sense. -EBADF: no such descriptor
 * is open. -ENOTSOCK: it is no socket. -ESTALE: it is another socket than the one meant. Those four leave the
 * descriptor alone. -EAGAIN with timeout_ms 0: nothing was looked at. Others as haul_adopt().
 */
int haul_inherit(struct haul *h, int timeout_ms, struct haul_peer **out);

/*
 * Sends a signal (signal(7); 0: none, but see whether it could be) to the process that haul_spawn() started, or to a
 * peer that came in another way. Never to another process that has got its pid. Never blocks. -ESRCH: it has ended
 * and been reaped, or has no pid here. -EPERM, and -EINVAL: no such signal, or the peer is haul_self().
 */
int haul_peer_kill(struct haul_peer *p, int signal);

/*
 * Waits until the process that haul_spawn() started has ended, and reaps it; for another peer that is a child of
 * this process, the same. status, if not NULL, is as of wait(2): WIFEXITED() and so on. Again after that: the same
 * status, at once. By any number of threads at once. -EAGAIN, -ETIMEDOUT: it lives. -ECHILD: it is no child of this
 * process, or something else has reaped it. Messages are exchanged meanwhile as in any call that waits.
 */
int haul_peer_reap(struct haul_peer *p, int timeout_ms, int *status);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
