/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contenders of haul perf that take what they want themselves: process A reads B's buffer, and B does nothing.
 *
 *   get     haul_get() from a region that B has exposed
 *   vmget   one bare process_vm_readv(2) with two remote ranges: the bytes, and a word, which a get reads too
 *
 * Only latency is measured of them. A ping-pong is two of them in a row.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* process_vm_readv */
#endif
#include "perf_haul.h"

#include <errno.h>
#include <haul/rma.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

/* What A needs to know of B's buffers. */
struct get_peer {
	struct perf_buffers out;
	struct haul_handle handle; /* get */
	pid_t pid;                 /* vmget */
	uint64_t *word;
};

static struct get_peer other; /* one end per process */

/* The leader takes, the other process has nothing to do. */
static int take(struct perf_end *e, uint64_t n, int (*get)(struct perf_end *e, uint64_t i))
{
	const struct perf_kind *kind = &perf_kinds[e->round->what];
	if (e->rank != kind->leader)
		return 0;
	for (uint64_t i = 0; i < n; i++) {
		for (unsigned leg = 0; leg < perf_legs(kind); leg++)
			if (get(e, i) < 0)
				return -1;
		perf_stamp(e);
	}
	return 0;
}

/* ---- get --------------------------------------------------------------------------------------- */

/* All buffers are one region. B is not in the library any more when it has told. */
static int get_open(struct perf_end *e)
{
	struct get_peer own = { .out = e->out };
	struct iovec iov = { .iov_base = e->out.base, .iov_len = e->out.stride * e->out.count };
	struct haul_region *region; /* until haul_close() */
	if (perf_haul_open(e) < 0)
		return -1;
	struct perf_haul *s = e->state;
	if (haul_region_expose(s->h, &iov, 1, HAUL_READ, &region) < 0)
		return perf_haul_fail(e, "haul_region_expose");
	haul_region_handle(region, &own.handle);
	if (haul_sendrecv(s->peer, 0, &own, sizeof(own), &s->from_peer, &other, sizeof(other), -1, NULL) < 0)
		return perf_haul_fail(e, "haul_sendrecv");
	return 0;
}

static int get_one(struct perf_end *e, uint64_t i)
{
	struct perf_haul *s = e->state;
	struct iovec to = { .iov_base = perf_slot(&e->in, i), .iov_len = e->in.len };
	uint64_t offset = (uint64_t)(perf_slot(&other.out, i) - other.out.base);
	if (haul_get(s->peer, &other.handle, offset, &to, 1, -1) < 0)
		return perf_haul_fail(e, "haul_get");
	return 0;
}

static int get_run(struct perf_end *e, uint64_t n)
{
	return take(e, n, get_one);
}

/* ---- vmget ------------------------------------------------------------------------------------- */

static int vmget_open(struct perf_end *e)
{
	static _Alignas(64) uint64_t word;
	struct get_peer own = { .out = e->out, .pid = getpid(), .word = &word };
	if (perf_sock_send(e, (const unsigned char *)&own, sizeof(own)) < 0 ||
	    perf_sock_recv(e, (unsigned char *)&other, sizeof(other)) < 0)
		return -1;
	prctl(PR_SET_PTRACER, (unsigned long)other.pid, 0, 0, 0); /* EINVAL where there is no Yama to ask */
	return 0;
}

static int vmget_one(struct perf_end *e, uint64_t i)
{
	uint64_t word;
	struct iovec to[] = { { .iov_base = perf_slot(&e->in, i), .iov_len = e->in.len },
		{ .iov_base = &word, .iov_len = sizeof(word) } };
	struct iovec from[] = { { .iov_base = perf_slot(&other.out, i), .iov_len = e->in.len },
		{ .iov_base = other.word, .iov_len = sizeof(word) } };
	ssize_t n = process_vm_readv(other.pid, to, 2, from, 2, 0);
	if (n < 0)
		return perf_fail(e, "process_vm_readv: %s", strerror(errno));
	if ((size_t)n != e->in.len + sizeof(word))
		return perf_fail(e, "process_vm_readv: %zd of %zu bytes", n, e->in.len + sizeof(word));
	return 0;
}

static int vmget_run(struct perf_end *e, uint64_t n)
{
	return take(e, n, vmget_one);
}

/* ---- the table --------------------------------------------------------------------------------- */

const struct contender perf_get = {
	.name = "get",
	.setup = perf_haul_setup,
	.open = get_open,
	.close = perf_haul_close,
	.by_name = true,
	.path = HAUL_PATH_PULL,
	.transport = HAUL_TRANSPORT_SOCKET,
	.two_handed = -1,
	.strict = true,
	.run = { [PERF_LATENCY] = get_run },
};
const struct contender perf_vmget = {
	.name = "vmget",
	.setup = perf_sock_setup,
	.open = vmget_open,
	.by_name = true,
	.run = { [PERF_LATENCY] = vmget_run },
};
