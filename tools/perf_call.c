/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A contender of haul perf: call and reply. Process 0 calls and reads the reply, process 1 takes the call, reads
 * it and replies; so an iteration is one round trip, as any ping-pong's.
 */
#include "perf_haul.h"

static int read_message(struct perf_end *e, struct haul_msg *m, uint64_t i)
{
	struct iovec iov = { .iov_base = perf_slot(&e->in, i), .iov_len = e->in.len };
	ssize_t n = haul_msg_read(m, 0, &iov, 1, -1);
	if (n < 0)
		return perf_haul_fail(e, "haul_msg_read");
	return (size_t)n == e->in.len ? 0 : perf_fail(e, "haul_msg_read: %zd of %zu bytes", n, e->in.len);
}

static int call(struct perf_end *e, uint64_t i)
{
	struct perf_haul *s = e->state;
	struct iovec iov = { .iov_base = perf_slot(&e->out, i), .iov_len = e->out.len };
	struct haul_msg *reply;
	if (haul_call(s->peer, 0, &iov, 1, -1, &reply) < 0)
		return perf_haul_fail(e, "haul_call");
	int rc = read_message(e, reply, i);
	haul_msg_done(reply);
	return rc;
}

static int serve(struct perf_end *e, uint64_t i)
{
	struct perf_haul *s = e->state;
	struct iovec iov = { .iov_base = perf_slot(&e->out, i), .iov_len = e->out.len };
	struct haul_msg *m;
	if (haul_take(s->h, &s->from_peer, -1, &m) < 0)
		return perf_haul_fail(e, "haul_take");
	if (read_message(e, m, i) < 0)
		return -1;
	if (haul_reply(m, &iov, 1, &s->reqs[0]) < 0)
		return perf_haul_fail(e, "haul_reply");
	return perf_haul_finish(e, s->reqs[0], NULL);
}

static int run(struct perf_end *e, uint64_t n)
{
	struct perf_haul *s = e->state;
	for (uint64_t i = 0; i < n; i++) {
		if ((e->rank == 0 ? call(e, i) : serve(e, i)) < 0)
			return -1;
		if (e->rank == 0)
			perf_stamp(e);
	}
	/* That it is done with the last reply; else the next call brings the news. */
	if (e->rank == 0 && haul_progress(s->h) < 0)
		return perf_haul_fail(e, "haul_progress");
	return 0;
}

const struct contender perf_call = {
	.name = "call",
	.setup = perf_haul_setup,
	.open = perf_haul_open,
	.close = perf_haul_close,
	.count = perf_haul_count,
	.run = { [PERF_LATENCY] = run },
	.transport = HAUL_TRANSPORT_OUTBOX,
	.two_handed = -1,
	.by_name = true,
};
