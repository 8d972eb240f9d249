/* SPDX-License-Identifier: BSD-3-Clause */
/* Ends that can't read. See blind.h. */
#include "blind.h"

#include <stdlib.h>

#include "refuse.h"
#include "talk.h"

const struct haul_options blind_options = { .push = 1 };

void blind_start(struct pairing *p, const struct haul_options *ours, const struct haul_options *theirs,
    pairing_part *part, const void *arg)
{
	pairing_fork(p, theirs, part, arg);
	must_be(refuse_call(SYS_process_vm_readv, EPERM), 0);
	must_be(haul_open(&p->haul, ours, ours != NULL ? sizeof(*ours) : 0), 0);
	pairing_adopt(p, p->haul);
}

void blind_start_pushed(struct pairing *p, pairing_part *part, const void *arg)
{
	blind_start(p, &blind_options, &blind_options, part, arg);
}

void blind_send(struct haul_peer *p, size_t len, uint64_t seed)
{
	unsigned char *buf = filled(len, seed);
	struct iovec iov = { buf, len };
	must_be(haul_sendv(p, seed, &iov, 1, HAUL_SYNC, PATIENCE_MS), 0);
	free(buf);
}

void blind_receive(struct haul *h, size_t len, uint64_t seed, int timeout_ms)
{
	unsigned char *buf = room_for(len);
	must_be(haul_recv(h, &(struct haul_match){ .tag = seed }, buf, len, timeout_ms, NULL), len);
	must_hold(buf, len, seed, 0);
	free(buf);
}

void blind_await(struct haul *h, uint64_t tag)
{
	struct haul_status status;
	must_be(haul_probe(h, &(struct haul_match){ .tag = tag }, PATIENCE_MS, &status), 0);
}

struct haul_stats blind_stats(struct haul *h)
{
	struct haul_stats s;
	must_be(haul_stats(h, &s, sizeof(s)), 0);
	return s;
}
