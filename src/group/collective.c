/* SPDX-License-Identifier: BSD-3-Clause */
/* What collectives have in common. See collective.h. */
#include "group/collective.h"

#include <errno.h>

#include "os/clock.h"
#include "os/reason.h"

int collective_enter(struct haul_group *g, const struct call *c)
{
	if (!c->waits)
		return c->out != NULL ? group_enter(g) : reason(-EINVAL, "no place for the request");
	if (c->timeout_ms == 0)
		return reason(-EINVAL, "a collective can't be tried without waiting: start it as a request");
	return group_enter_wait(g, c->timeout_ms);
}

int collective_refuse(struct haul_group *g, int rc)
{
	return context_leave(g->haul, rc);
}

static uint32_t mix(uint32_t h, uint64_t value)
{
	const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(((h ^ value) * odd) >> 32);
}

struct run *collective_begin(struct haul_group *g, enum collective what, uint64_t a, uint64_t b)
{
	struct run *run = run_new(g, mix(mix(mix(0, what ^ g->mark), a), b));
	if (run == NULL)
		reason(-ENOMEM, "no memory for a collective");
	return run;
}

/* What is left of the timeout when all are reached. */
static int left_of(uint64_t until)
{
	uint64_t now = clock_now();
	if (until == CLOCK_NEVER)
		return -1;
	return until > now ? (int)((until - now) / NS_PER_MS) + 1 : 1;
}

int collective_run(struct run *run, uint64_t until)
{
	struct haul_req *r;
	run->limited = until != CLOCK_NEVER;
	int rc = run_start(run, until, &r);
	return rc != 0 ? rc : request_run(r, left_of(until), NULL, NULL);
}

int collective_go(struct run *run, const struct call *c)
{
	struct haul *h = run->group->haul;
	return context_leave(h,
	    c->waits ? collective_run(run, clock_after_ms(c->timeout_ms))
	             : run_start(run, CLOCK_NEVER, c->out));
}
