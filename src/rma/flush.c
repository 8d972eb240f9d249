/* SPDX-License-Identifier: BSD-3-Clause */
/* haul_rma_flush(). Who ends its wait: the ends of gets and puts, which op.h tells of; its timeout. */
#include <errno.h>

#include "msg/peer.h"
#include "os/clock.h"
#include "os/reason.h"
#include "rma/op.h"

struct flush {
	const struct rma *rma;
	const struct haul_peer *peer;
	uint64_t until; /* the last that is waited for */
};

static bool is_flushed(void *arg)
{
	const struct flush *f = arg;
	const struct op *op;
	TAILQ_FOREACH (op, &f->rma->ops, entry) {
		if (op->number > f->until)
			break;
		if (op->peer == f->peer)
			return false;
	}
	return true;
}

int haul_rma_flush(struct haul_peer *p, int timeout_ms)
{
	if (p == NULL)
		return reason(-EINVAL, "no peer");
	struct haul *h = p->haul;
	int rc = context_enter_wait(h, timeout_ms);
	if (rc != 0)
		return rc;
	struct flush f = { .rma = h->above[ABOVE_REGIONS].what, .peer = p };
	if (f.rma == NULL)
		return context_leave(h, 0);
	f.until = f.rma->begun;
	if (is_flushed(&f))
		return context_leave(h, 0);
	if (timeout_ms != 0)
		rc = engine_wait(&h->engine, is_flushed, &f, clock_after_ms(timeout_ms), &p->conn);
	else if ((rc = engine_progress(&h->engine)) >= 0)
		rc = is_flushed(&f) ? 0 : reason(-EAGAIN, "some are under way");
	return context_leave(h, rc);
}
