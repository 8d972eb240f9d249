/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contenders of haul perf that are system calls alone: what a careful user gets without haul.
 *
 *   pipe    two pipes of 1 MiB, write(2) and read(2)
 *   unix    a stream socket pair with the largest send buffer that the system gives, send(2) and recv(2)
 *   vmread  process_vm_readv(2) of addresses known beforehand, signalled by a byte on a socket
 *   memcpy  no other process: a copy from buffer to buffer, the limit of the machine
 *
 * Pipes and sockets need no window: what their kernel buffers hold is under way, and a buffer is free when its
 * write returns. The socket pair of unix and vmread is that of perf_sock.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pipe2, F_SETPIPE_SZ, process_vm_readv */
#endif
#include "perf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PIPE_SIZE = 1 << 20 };

/* ---- pipe -------------------------------------------------------------------------------------- */

static int pipe_setup(struct perf_round *round)
{
	for (int rank = 0; rank < 2; rank++) {
		int fd[2];
		if (pipe2(fd, round->options->spin ? O_NONBLOCK : 0) < 0)
			return -1;
		round->tx[rank] = fd[1];
		round->rx[1 - rank] = fd[0];
		if (fcntl(fd[1], F_SETPIPE_SZ, PIPE_SIZE) < 0)
			return -1;
	}
	return 0;
}

static int pipe_send(struct perf_end *e, uint64_t i)
{
	const unsigned char *at = perf_slot(&e->out, i), *end = at + e->out.len;
	while (at < end) {
		ssize_t n = write(e->tx, at, (size_t)(end - at));
		if (n >= 0)
			at += n;
		else if (!perf_again())
			return perf_fail(e, "write: %s", strerror(errno));
	}
	return 0;
}

static int pipe_recv(struct perf_end *e, uint64_t i)
{
	unsigned char *at = perf_slot(&e->in, i), *end = at + e->in.len;
	while (at < end) {
		ssize_t n = read(e->rx, at, (size_t)(end - at));
		if (n > 0)
			at += n;
		else if (n == 0)
			return perf_fail(e, "read: end of file");
		else if (!perf_again())
			return perf_fail(e, "read: %s", strerror(errno));
	}
	return 0;
}

/* ---- unix -------------------------------------------------------------------------------------- */

static int unix_send(struct perf_end *e, uint64_t i)
{
	return perf_sock_send(e, perf_slot(&e->out, i), e->out.len);
}

static int unix_recv(struct perf_end *e, uint64_t i)
{
	return perf_sock_recv(e, perf_slot(&e->in, i), e->in.len);
}

/* In two steps: as much as the kernel takes of it by one call, and the rest. A byte back says that all of it
 * has come. */
static size_t unix_begun; /* one end per process */

static int unix_begin(struct perf_end *e, uint64_t i)
{
	if (e->rank == 1)
		return 0;
	ssize_t n = send(e->tx, perf_slot(&e->out, i), e->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && !perf_again())
		return perf_fail(e, "send: %s", strerror(errno));
	unix_begun = n > 0 ? (size_t)n : 0;
	return 0;
}

static int unix_finish(struct perf_end *e, uint64_t i)
{
	unsigned char done = 0;
	if (e->rank == 1)
		return unix_recv(e, i) < 0 ? -1 : perf_sock_send(e, &done, 1);
	if (perf_sock_send(e, perf_slot(&e->out, i) + unix_begun, e->out.len - unix_begun) < 0)
		return -1;
	return perf_sock_recv(e, &done, 1);
}

/* ---- vmread ------------------------------------------------------------------------------------ */

/* Where a process's messages lie: all that a bare loop needs to know beforehand. */
struct vmread_peer {
	pid_t pid;
	struct perf_buffers out;
};

static int vmread_open(struct perf_end *e)
{
	static struct vmread_peer peer; /* one end per process */
	struct vmread_peer own = { .pid = getpid(), .out = e->out };

	if (perf_sock_send(e, (const unsigned char *)&own, sizeof(own)) < 0 ||
	    perf_sock_recv(e, (unsigned char *)&peer, sizeof(peer)) < 0)
		return -1;
	prctl(PR_SET_PTRACER, (unsigned long)peer.pid, 0, 0, 0); /* EINVAL where there is no Yama to ask */
	e->state = &peer;
	return 0;
}

/* Message i, out of the other process's buffer into one's own. */
static int vmread_pull(struct perf_end *e, uint64_t i)
{
	const struct vmread_peer *peer = e->state;
	struct iovec to = { .iov_base = perf_slot(&e->in, i), .iov_len = e->in.len };
	struct iovec from = { .iov_base = perf_slot(&peer->out, i), .iov_len = peer->out.len };

	ssize_t n = process_vm_readv(peer->pid, &to, 1, &from, 1, 0);
	if (n < 0)
		return perf_fail(e, "process_vm_readv: %s", strerror(errno));
	if ((size_t)n != e->in.len)
		return perf_fail(e, "process_vm_readv: %zd of %zu bytes", n, e->in.len);
	return 0;
}

/* In a ping-pong the byte that says "ready" also says that the message before was taken. */
static int vmread_send(struct perf_end *e, uint64_t i)
{
	(void)i;
	return perf_sock_send(e, (const unsigned char *)"r", 1);
}

static int vmread_recv(struct perf_end *e, uint64_t i)
{
	unsigned char ready;
	return perf_sock_recv(e, &ready, 1) < 0 ? -1 : vmread_pull(e, i);
}

/* A byte "ready" for each message, a byte "done" back, many to a call. */
static int vmread_stream(struct perf_end *e, uint64_t n)
{
	unsigned char bytes[PERF_MAX_WINDOW] = { 0 };
	uint64_t ready = 0, done = 0;

	if (e->rank == 0) {
		while (done < n) {
			uint64_t room = e->window - (ready - done);
			if (room > n - ready)
				room = n - ready;
			if (perf_sock_send(e, bytes, (size_t)room) < 0)
				return -1;
			ready += room;
			ssize_t got = perf_sock_recv_some(e, bytes, e->window, 0);
			if (got < 0)
				return -1;
			done += (uint64_t)got;
		}
		return 0;
	}
	/* Half a window at a time: the sender announces the next half while this one is copied. */
	size_t batch = e->window > 1 ? e->window / 2 : 1;
	while (done < n) {
		ssize_t got = perf_sock_recv_some(e, bytes, batch, 0);
		if (got < 0)
			return -1;
		for (ssize_t i = 0; i < got; i++) {
			if (vmread_pull(e, done++) < 0)
				return -1;
			perf_stamp(e);
		}
		if (perf_sock_send(e, bytes, (size_t)got) < 0)
			return -1;
	}
	return 0;
}

/* ---- memcpy ------------------------------------------------------------------------------------ */

/* It copies what it would otherwise receive, so that the check of the data holds here too. */
static int memcpy_open(struct perf_end *e)
{
	perf_buffers_fill(&e->out, e->peer);
	return 0;
}

/* The leader copies, the other process has nothing to do. A ping-pong is two copies. */
static int memcpy_run(struct perf_end *e, uint64_t n)
{
	const struct perf_kind *kind = &perf_kinds[e->round->what];
	if (e->rank != kind->leader)
		return 0;
	for (uint64_t i = 0; i < n; i++) {
		for (unsigned leg = 0; leg < perf_legs(kind); leg++) {
			memcpy(perf_slot(&e->in, i), perf_slot(&e->out, i), e->in.len);
			__asm__ volatile("" ::: "memory"); /* both copies are wanted */
		}
		perf_stamp(e);
	}
	return 0;
}

/* ---- the table --------------------------------------------------------------------------------- */

const struct contender perf_pipe = {
	.name = "pipe",
	.setup = pipe_setup,
	.send = pipe_send,
	.recv = pipe_recv,
	.yardstick = { [PERF_BANDWIDTH] = true, [PERF_RATE] = true },
	.run = { [PERF_LATENCY] = perf_pingpong, [PERF_BANDWIDTH] = perf_stream, [PERF_RATE] = perf_stream },
};
const struct contender perf_unix = {
	.name = "unix",
	.setup = perf_sock_setup,
	.send = unix_send,
	.recv = unix_recv,
	.begin = unix_begin,
	.finish = unix_finish,
	.yardstick = { [PERF_LATENCY] = true, [PERF_RATE] = true },
	.run = { [PERF_LATENCY] = perf_pingpong,
	    [PERF_BANDWIDTH] = perf_stream,
	    [PERF_RATE] = perf_stream,
	    [PERF_OVERLAP] = perf_overlap_run },
};
const struct contender perf_vmread = {
	.name = "vmread",
	.setup = perf_sock_setup,
	.open = vmread_open,
	.send = vmread_send,
	.recv = vmread_recv,
	.yardstick = { [PERF_BANDWIDTH] = true },
	.run = { [PERF_LATENCY] = perf_pingpong,
	    [PERF_BANDWIDTH] = vmread_stream,
	    [PERF_RATE] = vmread_stream },
};
const struct contender perf_memcpy = {
	.name = "memcpy",
	.open = memcpy_open,
	.run = { [PERF_LATENCY] = memcpy_run, [PERF_BANDWIDTH] = memcpy_run, [PERF_RATE] = memcpy_run },
};
