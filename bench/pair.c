/* SPDX-License-Identifier: BSD-3-Clause */
/* The two processes of a program of bench/run, started and watched. Those of MPI are started by its own launcher. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the other files have, too */
#endif
#include "contender.h"

#include <err.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void setup_socketpair(int rx[2], int tx[2], bool spin)
{
	int fds[2];
	(void)spin;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		err(1, "socketpair");
	for (int rank = 0; rank < 2; rank++)
		rx[rank] = tx[rank] = fds[rank];
}

static void close_ends(const int rx[2], const int tx[2], int rank)
{
	if (rx[rank] >= 0)
		close(rx[rank]);
	if (tx[rank] >= 0 && tx[rank] != rx[rank])
		close(tx[rank]);
}

static void rank_main(const struct contender *c, const struct options *o, struct end *e)
{
	signal(SIGPIPE, SIG_IGN);
	bind_to_cpu(o, e->rank); /* first, so that memory is near */
	if (c->open != NULL)
		c->open(e);
	jobs_run(c, e, o);
	if (c->close != NULL)
		c->close(e);
}

/* Two children, so that neither has had another life; the parent only waits. */
int main(int argc, char **argv)
{
	struct options o;
	bool spin;
	const struct contender *c = options_parse(&o, &spin, argc, argv);
	int rx[2] = { -1, -1 }, tx[2] = { -1, -1 }, failed = 0;
	pid_t child[2], parent = getpid();

	if (c->setup != NULL)
		c->setup(rx, tx, spin);
	for (int rank = 0; rank < 2; rank++) {
		child[rank] = fork();
		if (child[rank] < 0)
			err(1, "fork");
		if (child[rank] > 0)
			continue;
		struct end e = { .rank = rank, .spin = spin, .rx = rx[rank], .tx = tx[rank] };
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			return 1;
		close_ends(rx, tx, 1 - rank);
		rank_main(c, &o, &e);
		return 0;
	}
	close_ends(rx, tx, 0);
	close_ends(rx, tx, 1);
	for (int left = 2; left > 0; left--) {
		int status;
		pid_t pid = wait(&status);
		if (pid > 0 && status == 0)
			continue;
		/* The other may wait for ever for this one. */
		failed = 1;
		kill(child[pid == child[0]], SIGKILL);
	}
	return failed;
}
