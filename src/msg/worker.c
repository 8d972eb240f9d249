/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Workers: starting one, being one, killing and reaping. See worker.h; the process itself is made by os/spawn.c.
 *
 *     haul_spawn: socket pair, process --> handshake on our end --> the peer
 *                                             |
 *                                             +--> its exit, a hang-up, the timeout: killed, reaped
 *
 * Who ends the wait of a spawn: the handshake's end (peer.c), the worker's exit (its pidfd, which tells also where
 * another process has got the socket), the timeout, an interrupt. Who ends that of a reap: the pidfd, likewise.
 */
#include "msg/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "engine/options.h"
#include "haul/worker.h"
#include "msg/connect.h"
#include "msg/context.h"
#include "msg/peer.h"
#include "msg/request.h"
#include "os/clock.h"
#include "os/poll.h"
#include "os/proc.h"
#include "os/reason.h"
#include "os/sock.h"
#include "os/spawn.h"

/* One that hung up is about to exit: so long it is given, to tell how. */
enum { FAREWELL_MS = 1000, GRACE_MS = 10 };

_Static_assert((int)SPAWN_FDS == HAUL_SPAWN_FDS, "one number in two places");

/* ---- the process ---- */

static void leave_set(struct worker *w)
{
	if (!engine_stale(&w->haul->engine))
		source_remove(&w->haul->engine, &w->exit);
}

static void worker_free(struct worker *w)
{
	leave_set(w);
	sock_close(w->pidfd);
	free(w);
}

static void reap(struct worker *w)
{
	if (w->reaped == 0)
		w->reaped = proc_reap(w->pidfd, true, &w->status);
}

static void exit_ready(struct source *s, uint32_t events)
{
	struct worker *w = (struct worker *)((char *)s - offsetof(struct worker, exit));
	(void)events;
	leave_set(w);
	w->dead = true;
	if (w->peer != NULL && !w->peer->up && !w->peer->conn.ended)
		conn_gone(&w->peer->conn);     /* it will not finish its handshake */
	if (w->peer == NULL && !w->starting) { /* left behind */
		reap(w);
		TAILQ_REMOVE(&w->haul->workers, w, entry);
		worker_free(w);
	}
}

static int watch(struct worker *w)
{
	if (w->exit.slot != 0 || w->dead)
		return 0;
	int rc = source_add(&w->haul->engine, &w->exit, w->pidfd, EPOLLIN);
	return rc != 0 ? reason(rc, "no room to watch the worker: %s", strerror(-rc)) : 0;
}

static struct worker *worker_new(struct haul *h)
{
	struct worker *w = calloc(1, sizeof(*w));
	if (w == NULL) {
		reason(-ENOMEM, "no memory for a worker");
		return NULL;
	}
	w->haul = h;
	w->pidfd = -1;
	w->exit.ready = exit_ready;
	return w;
}

static bool is_dead(void *arg)
{
	const struct worker *w = arg;
	return w->dead;
}

void worker_forget_peer(struct worker *w)
{
	if (w == NULL)
		return;
	w->peer = NULL;
	if (!w->starting)
		worker_free(w);
}

void workers_fini(struct haul *h)
{
	struct worker *w;
	while ((w = TAILQ_FIRST(&h->workers)) != NULL) {
		TAILQ_REMOVE(&h->workers, w, entry);
		if (!engine_stale(&h->engine))
			reap(w);
		worker_free(w);
	}
}

/* ---- starting ---- */

/* What has become of one that exited by itself. */
static int explain(const struct worker *w, const char *name, int error)
{
	if (w->reaped != 1)
		return reason(error, "%s ended before it had called haul_inherit()", name);
	if (WIFEXITED(w->status))
		return reason(error, "%s exited with status %d before it had called haul_inherit()", name,
		    WEXITSTATUS(w->status));
	return reason(error, "%s was killed by signal %d before it had called haul_inherit()", name,
	    WTERMSIG(w->status));
}

/* Where it can't be killed by its pidfd, or not be waited for in the engine: its pid is good as long as it is a child. */
static void kill_worker(struct worker *w, bool watched)
{
	int status;
	if (proc_kill(w->pidfd, SIGKILL) == 0 && watched)
		engine_grace(&w->haul->engine, is_dead, w, clock_after_ms(GRACE_MS));
	else if (proc_reap(w->pidfd, false, &status) == 0)
		proc_end_child(w->pid);
}

/* The spawn has failed: the process is to be no more. */
static int give_up(struct worker *w, const char *name, int error)
{
	struct haul *h = w->haul;
	reason_keep(true);
	bool watched = watch(w) == 0;
	if (error == -ECONNRESET && watched)
		engine_grace(&h->engine, is_dead, w, clock_after_ms(FAREWELL_MS));
	bool by_itself = w->dead || proc_dead(w->pidfd);
	if (!by_itself)
		kill_worker(w, watched);
	reap(w);
	reason_keep(false);
	w->starting = false;
	if (by_itself && error == -ECONNRESET)
		explain(w, name, error);
	if (w->reaped == 0 && w->exit.slot != 0)
		TAILQ_INSERT_TAIL(&h->workers, w, entry);
	else
		worker_free(w);
	return error;
}

/* The handshake on our end, which the worker's exit ends as well. */
static int greet(struct worker *w, int fd, int timeout_ms, struct haul_peer **out)
{
	struct haul_req *r;
	int rc = connect_adopt(w->haul, fd, CLOCK_NEVER, false, &r);
	if (rc != 0) {
		sock_close(fd);
		return rc;
	}
	w->peer = r->peer.peer;
	w->peer->worker = w;
	if ((rc = watch(w)) == 0)
		return connect_run(r, timeout_ms, out);
	request_abort(r, rc);
	request_finish(r, NULL);
	peer_reap(w->haul);
	return rc;
}

/* After a process was started: the context may have been closed meanwhile. */
static int welcome(struct worker *w, const char *name, int fd, int timeout_ms, struct haul_peer **out)
{
	struct haul *h = w->haul;
	int rc = context_enter(h);
	if (rc != 0) {
		proc_end_child(w->pid);
		sock_close(fd);
		sock_close(w->pidfd);
		free(w);
		return rc;
	}
	rc = greet(w, fd, timeout_ms, out);
	if (rc != 0)
		return context_leave(h, give_up(w, name, rc));
	w->starting = false;
	leave_set(w);
	return context_leave(h, 0);
}

static int start(struct haul *h, const struct spawn *spawn, int timeout_ms, struct haul_peer **out)
{
	struct spawn s = *spawn;
	struct worker *w = worker_new(h);
	int ends[2], rc;
	if (w == NULL)
		return -ENOMEM;
	w->starting = true;
	if ((rc = sock_pair(ends)) != 0) {
		reason(rc, "socketpair: %s", strerror(-rc));
		goto err_free;
	}
	s.socket = ends[1];
	rc = spawn_start(&s, &w->pid, &w->pidfd);
	sock_close(ends[1]);
	if (rc != 0)
		goto err_close;
	return welcome(w, s.argv[0], ends[0], timeout_ms, out);

err_close:
	sock_close(ends[0]);
err_free:
	free(w);
	return rc;
}

/* ---- public ---- */

/* A struct of an older or a newer library, as haul_open()'s. */
static int read_spawn(struct haul_spawn *to, const struct haul_spawn *from, size_t size)
{
	int rc = options_copy(to, sizeof(*to), from, size);
	if (rc != 0)
		return rc;
	if (to->argv == NULL || to->argv[0] == NULL || (to->fds == NULL && to->fd_count > 0))
		return reason(-EINVAL, "no program to start, or no descriptors");
	return 0;
}

/* Whether a call that may wait so long may be made at all. Nothing is held when it returns. */
static int may_wait(struct haul *h, int timeout_ms, const void *out)
{
	int rc = context_enter_wait(h, timeout_ms);
	if (rc != 0)
		return rc;
	if (out == NULL)
		rc = reason(-EINVAL, "no place for the result");
	else if (timeout_ms == 0)
		rc = reason(-EAGAIN, "it can't be done without waiting");
	return context_leave(h, rc);
}

int haul_spawn(struct haul *h, const struct haul_spawn *spawn, size_t spawn_size, int timeout_ms,
    struct haul_peer **out)
{
	struct haul_spawn s;
	int rc = may_wait(h, timeout_ms, out);
	if (rc == 0 && spawn == NULL)
		rc = reason(-EINVAL, "nothing to start");
	if (rc != 0 || (rc = read_spawn(&s, spawn, spawn_size)) != 0)
		return rc;
	struct spawn_fd *fds = calloc(s.fd_count + 1, sizeof(*fds));
	if (fds == NULL)
		return reason(-ENOMEM, "no memory for a worker");
	for (size_t i = 0; i < s.fd_count; i++)
		fds[i] = (struct spawn_fd){ .fd = s.fds[i].fd, .as = s.fds[i].as };
	struct spawn how = { .argv = s.argv,
		.envp = s.envp,
		.cwd = s.cwd,
		.fds = fds,
		.fd_count = s.fd_count };
	rc = start(h, &how, timeout_ms, out);
	free(fds);
	return rc;
}

int haul_inherit(struct haul *h, int timeout_ms, struct haul_peer **out)
{
	struct haul_req *r;
	int rc = may_wait(h, timeout_ms, out);
	if (rc != 0 || (rc = context_enter(h)) != 0)
		return rc;
	int fd = spawn_inherited();
	if (fd < 0)
		return context_leave(h, fd);
	rc = connect_adopt(h, fd, CLOCK_NEVER, false, &r);
	if (rc != 0) {
		sock_close(fd);
		return context_leave(h, rc);
	}
	return context_leave(h, connect_run(r, timeout_ms, out));
}

int haul_peer_kill(struct haul_peer *p, int signal)
{
	int rc = peer_enter(p);
	if (rc != 0)
		return rc;
	const struct worker *w = p->worker;
	int pidfd = w != NULL ? w->pidfd : peer_link(p)->pidfd;
	if (p->self)
		rc = reason(-EINVAL, "this process itself is not to be killed as a peer");
	else if (pidfd < 0)
		rc = reason(-ESRCH, "the peer has no pid in this pid namespace");
	else if ((rc = proc_kill(pidfd, signal)) != 0)
		reason(rc, "signal %d to the peer: %s", signal, strerror(-rc));
	return context_leave(p->haul, rc);
}

/* The peer's, made now if it is not one that was started here. */
static struct worker *worker_of(struct haul_peer *p, int *error)
{
	const struct link *l = peer_link(p);
	struct worker *w = p->worker;
	if (w != NULL)
		return w;
	if (l->pidfd < 0) {
		*error = reason(-ECHILD, "the peer is no child of this process");
		return NULL;
	}
	if ((w = worker_new(p->haul)) == NULL) {
		*error = -ENOMEM;
		return NULL;
	}
	if ((w->pidfd = sock_copy(l->pidfd)) < 0) {
		*error = reason(w->pidfd, "no descriptor to wait for the peer: %s", strerror(-w->pidfd));
		free(w);
		return NULL;
	}
	w->peer = p;
	p->worker = w;
	return w;
}

static int await_exit(struct worker *w, int timeout_ms)
{
	int rc = watch(w);
	if (rc != 0)
		return rc;
	w->waits++;
	rc = engine_wait(&w->haul->engine, is_dead, w, clock_after_ms(timeout_ms), NULL);
	if (--w->waits == 0)
		leave_set(w);
	if (rc == -EBADF)
		rc = -ECANCELED; /* haul_close() by another thread */
	return rc == -ETIMEDOUT ? reason(rc, "it has not ended yet") : rc;
}

static int reap_peer(struct haul_peer *p, int timeout_ms, int *status)
{
	int rc = 0;
	struct worker *w = worker_of(p, &rc);
	if (w == NULL)
		return rc;
	reap(w);
	if (w->reaped == 0 && timeout_ms == 0)
		return reason(-EAGAIN, "it has not ended yet");
	if (w->reaped == 0 && (rc = await_exit(w, timeout_ms)) != 0)
		return rc;
	reap(w);
	if (w->reaped < 0)
		return reason(w->reaped, "the peer is no child of this process, or was reaped: %s",
		    strerror(-w->reaped));
	if (w->reaped == 0)
		return reason(-EAGAIN, "it has ended, and somebody who traces it holds it");
	if (status != NULL)
		*status = w->status;
	return 0;
}

int haul_peer_reap(struct haul_peer *p, int timeout_ms, int *status)
{
	if (p == NULL)
		return reason(-EINVAL, "no peer");
	struct haul *h = p->haul;
	int rc = context_enter_wait(h, timeout_ms);
	return rc != 0 ? rc : context_leave(h, reap_peer(p, timeout_ms, status));
}
