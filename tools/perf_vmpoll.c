/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contender vmpoll of haul perf: a ping-pong without a socket, as short as one process can be heard by another
 * that may only read it.
 *
 * A process says a message by putting it in a box in its own private memory, first the payload, then the
 * number of the message. The other one reads the box by one process_vm_readv(2) after the other, until the
 * number is the next one. The payload must not be read before the number. Within a cache line it never was
 * (measured); a longer one is a range of its own, which the kernel copies after that of the number. There
 * is nothing to sleep on; who may not spin gives up its CPU between two looks.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* process_vm_readv */
#endif
#include "perf.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

struct box {
	_Atomic uint64_t number; /* of the last message, from 1 */
	unsigned char payload[];
};

enum { LINE = 64 };

/* Up to here a copy out of a box of one's own is cheaper than a second buffer in the call (measured: 13 ns
 * of 406). */
enum { COPY_MOST = 4096 };

struct vmpoll_state {
	struct box *out,
	    *in; /* what is said; what the other one was found to say, without a payload that is long */
	uint64_t said, heard;
	pid_t pid;       /* the other process */
	struct box *its; /* its box, an address there */
};

/* What each tells the other beforehand. */
struct vmpoll_hello {
	pid_t pid;
	struct box *box;
};

static struct box *make_box(struct perf_end *e)
{
	struct perf_buffers memory;
	if (perf_buffers_map(&memory, 1, sizeof(struct box) + e->out.len, e->round->options->common.huge) <
	    0) {
		perf_fail(e, "memory for a box: %s", strerror(errno));
		return NULL;
	}
	memset(memory.base, 0, memory.len);
	return (struct box *)(void *)memory.base;
}

static int vmpoll_open(struct perf_end *e)
{
	static struct vmpoll_state state; /* one end per process */
	struct vmpoll_hello own = { .pid = getpid() }, other;

	if ((state.in = make_box(e)) == NULL || (state.out = own.box = make_box(e)) == NULL)
		return -1;
	if (perf_sock_send(e, (const unsigned char *)&own, sizeof(own)) < 0 ||
	    perf_sock_recv(e, (unsigned char *)&other, sizeof(other)) < 0)
		return -1;
	prctl(PR_SET_PTRACER, (unsigned long)other.pid, 0, 0, 0); /* EINVAL where there is no Yama to ask */
	state.pid = other.pid;
	state.its = other.box;
	e->state = &state;
	return 0;
}

static int vmpoll_send(struct perf_end *e, uint64_t i)
{
	struct vmpoll_state *s = e->state;
	memcpy(s->out->payload, perf_slot(&e->out, i), e->out.len);
	atomic_store_explicit(&s->out->number, ++s->said, memory_order_release);
	return 0;
}

static int vmpoll_recv(struct perf_end *e, uint64_t i)
{
	struct vmpoll_state *s = e->state;
	bool copied = e->in.len <= COPY_MOST;
	size_t len = sizeof(struct box) + e->in.len;
	struct iovec to[] = { { .iov_base = s->in, .iov_len = copied ? len : sizeof(struct box) },
		{ .iov_base = perf_slot(&e->in, i), .iov_len = e->in.len } };
	bool whole = len <= LINE;
	struct iovec from[] = { { .iov_base = s->its, .iov_len = whole ? len : sizeof(struct box) },
		{ .iov_base = s->its->payload, .iov_len = e->in.len } };

	for (;;) {
		ssize_t n = process_vm_readv(s->pid, to, copied ? 1 : 2, from, whole ? 1 : 2, 0);
		if (n < 0)
			return perf_fail(e, "process_vm_readv: %s", strerror(errno));
		if ((size_t)n != len)
			return perf_fail(e, "process_vm_readv: %zd of %zu bytes", n, len);
		if (s->in->number == s->heard + 1)
			break;
		if (!e->spin)
			sched_yield();
	}
	s->heard++;
	if (copied)
		memcpy(perf_slot(&e->in, i), s->in->payload, e->in.len);
	return 0;
}

const struct contender perf_vmpoll = {
	.name = "vmpoll",
	.setup = perf_sock_setup,
	.open = vmpoll_open,
	.send = vmpoll_send,
	.recv = vmpoll_recv,
	.yardstick = { [PERF_LATENCY] = true },
	.run = { [PERF_LATENCY] = perf_pingpong },
};
