/* SPDX-License-Identifier: BSD-3-Clause */
/* What is typed at a terminal, for rank 0. It is read no faster than rank 0 takes it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pipe2 */
#endif
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int run_input_start(struct run_input *in)
{
	*in = (struct run_input){ .pipe = { -1, -1 } };
	if (!isatty(STDIN_FILENO))
		return 0;
	if (pipe2(in->pipe, O_CLOEXEC) != 0)
		return errno;
	fcntl(in->pipe[1], F_SETFL, O_NONBLOCK);
	return 0;
}

int run_input_of_rank(const struct run_input *in)
{
	return in->pipe[0] >= 0 ? in->pipe[0] : STDIN_FILENO;
}

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void run_input_given(struct run_input *in)
{
	shut(&in->pipe[0]);
}

struct pollfd run_input_wanted(const struct run_input *in)
{
	if (in->pipe[1] < 0)
		return (struct pollfd){ .fd = -1 };
	if (in->at < in->len)
		return (struct pollfd){ .fd = in->pipe[1], .events = POLLOUT };
	/* In the background it is not ours to read, and SIGCONT tells when it is again. */
	bool ours = tcgetpgrp(STDIN_FILENO) == getpgrp();
	return (struct pollfd){ .fd = ours ? STDIN_FILENO : -1, .events = POLLIN };
}

static void hand_on(struct run_input *in)
{
	ssize_t n = write(in->pipe[1], in->buf + in->at, in->len - in->at);
	if (n > 0)
		in->at += (size_t)n;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		shut(&in->pipe[1]); /* rank 0 reads no more */
}

void run_input_ready(struct run_input *in)
{
	if (in->at == in->len) {
		ssize_t n = read(STDIN_FILENO, in->buf, sizeof(in->buf));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		in->at = 0;
		in->len = n > 0 ? (size_t)n : 0;
		if (n <= 0) {
			shut(&in->pipe[1]);
			return;
		}
	}
	hand_on(in);
}

void run_input_end(struct run_input *in)
{
	shut(&in->pipe[0]);
	shut(&in->pipe[1]);
}
