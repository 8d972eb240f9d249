/* SPDX-License-Identifier: BSD-3-Clause */
/* Ends that can't read. See blind.h. */
#include "blind.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "fds.h"
#include "pattern.h"
#include "talk.h"
#include "world.h"

const struct haul_options blind_options = { .push = 1 };

void blind_start(struct pairing *p, const struct haul_options *ours, const struct haul_options *theirs,
    pairing_part *part, const void *arg)
{
	pairing_fork(p, theirs, part, arg);
	must(world_refuse_reads(EPERM) == NULL);
	must_be(haul_open(&p->haul, ours, ours != NULL ? sizeof(*ours) : 0), 0);
	pairing_adopt(p, p->haul);
}

void blind_start_pushed(struct pairing *p, pairing_part *part, const void *arg)
{
	blind_start(p, &blind_options, &blind_options, part, arg);
}

struct haul_req *blind_grant(struct haul *h, void *buf, size_t len, uint64_t tag)
{
	await_message(h, tag);
	struct haul_req *r = post_receive(h, buf, len, tag);
	must(haul_progress(h) >= 0);
	return r;
}

struct haul_req *blind_offer(struct haul *h, struct haul_peer *p, unsigned char *buf)
{
	struct iovec iov = { buf, OFFERED_LEN };
	struct haul_req *r;
	must_be(haul_isend(p, 1, &iov, 1, HAUL_SYNC, &r), 0);
	while (haul_progress(h) > 0)
		continue;
	raise(SIGSTOP);
	return r;
}

void offered_start(struct offered *o, pairing_part *part)
{
	blind_start_pushed(&o->p, part, NULL);
	o->buf = room_for(OFFERED_LEN);
	await_message(o->p.haul, 1);
	child_await_stop(&o->p.child);
}

void offered_leave_killed(struct offered *o)
{
	memset(o->buf, CANARY, OFFERED_LEN);
	must_be(haul_peer_close(o->p.peer, -1), 0);
	must_be(haul_close(o->p.haul, -1), 0);
	child_expect_killed(&o->p.child, SIGKILL);
	must_be_untouched(o->buf, OFFERED_LEN);
	fds_expect(o->p.fds);
	free(o->buf);
}

void blind_must_be_a_part(const unsigned char *buf, size_t len)
{
	for (size_t i = pattern_check(buf, len, 1, 0); i < len; i++)
		must(buf[i] == 0);
}

void blind_must_have_ended(int rc, const unsigned char *buf, size_t len)
{
	if (rc == 0) {
		must_hold(buf, len, 1, 0);
		return;
	}
	must(rc == -ECANCELED || rc == -EPIPE || rc == -ECONNRESET);
	blind_must_be_a_part(buf, len);
}
