/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Notes between haul run and its ranks (wire/job.h): a socket for each. Nothing here waits for a rank. What has happened
 * is kept once, in order; each rank has come so far in it, and goes on when its socket takes more. What ranks
 * say is not to be trusted: what makes no sense is read, and is nothing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "run.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of notes that are not read; the kernel takes up to 1 KiB for one. */
enum { UNREAD_MOST = 8192 };

int run_control_start(struct run_control *c, int *of_rank)
{
	int fds[2], room = UNREAD_MOST;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		return errno;
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	*c = (struct run_control){ .fd = fds[0] };
	*of_rank = fds[1];
	return 0;
}

void run_control_end(struct run_control *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

void run_control_tell(struct run_control *c, unsigned rank, const struct run_notes *notes)
{
	while (c->fd >= 0 && !c->full && !c->deaf && c->told < notes->count) {
		const struct job_note *note = &notes->all[c->told];
		if (note->rank == rank || send(c->fd, note, sizeof(*note), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			c->told++;
		else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
			c->full = true;
		else if (errno != EINTR)
			c->deaf = true; /* what it said before may still be read */
	}
}

bool run_control_hear(struct run_control *c, struct run_heard *heard)
{
	struct job_note *note = &heard->note;
	struct iovec into[] = { { note, sizeof(*note) }, { heard->text, JOB_TEXT_MOST } };
	/* No room for descriptors: the kernel closes those that come. */
	struct msghdr m = { .msg_iov = into, .msg_iovlen = 2 };
	ssize_t n;
	if (c->fd < 0)
		return false;
	/* ECONNRESET, once: the rank has closed its end without reading everything. What it said comes after that. */
	do
		n = recvmsg(c->fd, &m, MSG_DONTWAIT);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		run_control_end(c);
		return false;
	}
	if ((size_t)n < sizeof(*note) || (m.msg_flags & MSG_TRUNC) != 0 ||
	    note->len != (size_t)n - sizeof(*note))
		*note = (struct job_note){ 0 };
	heard->text[note->len] = '\0';
	return true;
}
