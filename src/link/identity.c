/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is at the other end.
 *
 * The pid comes from SCM_CREDENTIALS (SO_PEERCRED of a socketpair names its creator, not its user), and
 * holds only until the process is reaped. So the order matters: get a pidfd, then read the challenge's
 * answer from the memory of that pid, then see that the pidfd is still quiet. If so, the pid named one
 * living process all the while, and it is the one that wrote the answer to the challenge that we drew.
 * That one probe meets every refusal there is: ptrace rights, Yama, seccomp, Landlock, a peer that is not
 * dumpable, or another pid behind the number.
 */
#include "link/identity.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>

#include "os/proc.h"
#include "os/vm.h"

/* What an id without a mapping looks like, user_namespaces(7). The same number could be a real user, but
 * then only with a pid. */
enum { OVERFLOW_ID = 65534 };

static int learn(struct link *l, const struct sock_creds *creds)
{
	char words[LINK_WORDS];
	if (!creds->present || (creds->pid == 0 && creds->uid == OVERFLOW_ID))
		return link_reject(l, -EACCES, "the peer's bytes came without credentials");
	l->pid = creds->pid;
	l->uid = creds->uid;
	l->gid = creds->gid;
	l->known = true;
	bool same = creds->uid == geteuid() && (creds->uid != OVERFLOW_ID || proc_sees_all_users());
	if (!same &&
	    (l->shared->admit == NULL ||
	        !l->shared->admit(l->shared->admit_arg, creds->pid, creds->uid, creds->gid))) {
		snprintf(words, sizeof(words), "the peer runs as user %u, this process as %u",
		    (unsigned)creds->uid, (unsigned)geteuid());
		return link_reject(l, -EACCES, words);
	}
	if (l->pid == 0)
		return 0;
	if (l->pidfd < 0)
		l->pidfd = proc_open(l->pid);
	if (l->pidfd == -ESRCH) {
		l->pidfd = -1;
		return link_fail(l, -ECONNRESET, "the peer has exited");
	}
	if (l->pidfd < 0) {
		int error = l->pidfd;
		l->pidfd = -1;
		return link_fail(l, error, "no pidfd of the peer: %s", strerror(-error));
	}
	return 0;
}

int identity_check(struct link *l, struct sock_creds *creds)
{
	if (!l->known) {
		l->pidfd = creds->pidfd;
		return learn(l, creds);
	}
	bool same = creds->pid == l->pid && creds->uid == l->uid && proc_same(creds->pidfd, l->pidfd);
	sock_close(creds->pidfd);
	return same ? 0 : link_reject(l, -EACCES, "two processes speak at the peer's end");
}

static void decide(struct link *l, int error, const char *words)
{
	l->in.error = error;
	strlcpy(l->in.words, words, sizeof(l->in.words));
}

/* What the peer can do for the handshake needs our verdict: it can't have left already and be through with it. */
static bool gone(struct link *l)
{
	if (l->pidfd < 0 || !proc_dead(l->pidfd))
		return false;
	link_fail(l, -ECONNRESET, "the peer has exited");
	return true;
}

void identity_probe(struct link *l, uint64_t answer_addr)
{
	char words[LINK_WORDS];
	if (gone(l))
		return;
	if (l->shared->never_pull) {
		decide(l, EOPNOTSUPP, "pulling is switched off by option");
		return;
	}
	if (l->pid == 0) {
		decide(l, ESRCH, "the peer has no pid in this pid namespace");
		return;
	}
	uint64_t answer = 0;
	struct iovec mine = { .iov_base = &answer, .iov_len = sizeof(answer) };
	struct iovec theirs = { .iov_base = (void *)(uintptr_t)answer_addr, .iov_len = sizeof(answer) };
	struct iov_cursor local, remote;
	iov_cursor_init(&local, &mine, 1, sizeof(answer));
	iov_cursor_init(&remote, &theirs, 1, sizeof(answer));
	struct vm_result r = vm_read(l->pid, &local, &remote, sizeof(answer), NULL);

	if (gone(l))
		return;
	if (r.outcome != VM_MOVED) {
		vm_read_words(words, sizeof(words), l->pid, &r);
		decide(l, r.error, words);
	} else if (answer != l->challenge) {
		snprintf(words, sizeof(words), "pid %d is not the process at the other end", (int)l->pid);
		decide(l, ESRCH, words);
	} else {
		l->identity = answer_addr;
	}
}
