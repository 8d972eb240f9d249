/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who may trace this process. See ptracer.h.
 *
 * The name is the process's, and links of several contexts may want it in several threads, so it is counted in one
 * word that is changed at once. There is no lock, because a fork could leave it taken for ever in the child. A
 * child has no name, and the word says of which process it speaks.
 */
#include "link/ptracer.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "os/log.h"
#include "os/proc.h"
#include "os/words.h"

enum { GENERATIONS = 64, INIT = 1 };

/* The name: a pid, or PROC_ANY; how many links hold it; and the low bits of words_birth(). */
struct name {
	pid_t pid;
	uint16_t holders, birth;
};

static _Atomic struct name name;
_Static_assert(sizeof(struct name) == sizeof(uint64_t), "one word, changed at once");

static struct name current(void)
{
	struct name n = atomic_load(&name);
	uint16_t birth = (uint16_t)words_birth();
	return n.birth == birth ? n : (struct name){ .birth = birth };
}

/* Tells the kernel what the word says, until it has not changed meanwhile. */
static int apply(void)
{
	struct name told, now = current();
	int rc;
	do {
		told = now;
		rc = proc_name_tracer(told.holders > 0 ? told.pid : 0);
		now = current();
	} while (now.pid != told.pid || (now.holders == 0) != (told.holders == 0));
	return rc;
}

/* False: somebody else is named. */
static bool hold(pid_t pid)
{
	struct name old = atomic_load(&name), n;
	do {
		n = old.birth == (uint16_t)words_birth() ? old : current();
		if ((n.holders > 0 && n.pid != pid) || n.holders == UINT16_MAX)
			return false;
		n.pid = pid;
		n.holders++;
	} while (!atomic_compare_exchange_weak(&name, &old, n));
	return true;
}

static void let_go(void)
{
	struct name old = atomic_load(&name), n;
	do {
		if (old.birth != (uint16_t)words_birth() || old.holders == 0)
			return; /* it was the parent's */
		n = old;
		n.holders--;
	} while (!atomic_compare_exchange_weak(&name, &old, n));
	if (n.holders == 0)
		apply();
}

/* The nearest process that both descend from, or that one of them is; 0 if none can be found. */
static pid_t common_ancestor(pid_t peer)
{
	pid_t ours[GENERATIONS];
	size_t count = 0;
	for (pid_t p = getpid(); p > 0 && count < GENERATIONS; p = proc_parent(p))
		ours[count++] = p;
	for (int i = 0; peer > 0 && i < GENERATIONS; peer = proc_parent(peer), i++)
		for (size_t j = 0; j < count; j++)
			if (ours[j] == peer)
				return peer;
	return 0;
}

static pid_t whom(const struct link *l)
{
	const struct log *log = &l->shared->log;
	pid_t pid = l->pid;
	switch (l->shared->tracer) {
	case LINK_TRACER_NONE:
		return 0;
	case LINK_TRACER_PEER:
		if (pid == 0)
			log_line(log, LOG_INFO, "a peer without a pid here can't be named as a tracer");
		return pid;
	case LINK_TRACER_ANCESTOR:
		pid = common_ancestor(pid);
		if (pid == 0)
			log_line(log, LOG_INFO,
			    "peer %d: no common ancestor is known to be named as a tracer", (int)l->pid);
		/* All processes there are descend from it: as wide as ANY, which was not asked for. */
		if (pid == INIT)
			log_line(log, LOG_INFO,
			    "peer %d: the common ancestor is init, which is not named as a tracer",
			    (int)l->pid);
		return pid != INIT ? pid : 0;
	case LINK_TRACER_ANY:
		return PROC_ANY;
	}
	return 0;
}

void ptracer_allow(struct link *l)
{
	pid_t pid = whom(l);
	if (pid == 0 || l->names_tracer)
		return;
	if (!hold(pid)) {
		log_line(&l->shared->log, LOG_INFO, "peer %d: another process is named as a tracer already",
		    (int)l->pid);
		return;
	}
	l->names_tracer = true;
	int rc = apply();
	if (rc != 0 && rc != -EINVAL) /* -EINVAL: there is no Yama */
		log_line(&l->shared->log, LOG_INFO, "peer %d: PR_SET_PTRACER: %s", (int)l->pid,
		    strerror(-rc));
}

void ptracer_revoke(struct link *l)
{
	if (l->names_tracer)
		let_go();
	l->names_tracer = false;
}
