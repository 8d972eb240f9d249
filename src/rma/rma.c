/* SPDX-License-Identifier: BSD-3-Clause */
/* What the floor below asks of this folder, and its state. See rma.h. */
#include "rma/rma.h"

#include <errno.h>
#include <stdlib.h>

#include "os/reason.h"
#include "rma/op.h"
#include "rma/region.h"
#include "rma/serve.h"

static struct rma *get(const struct haul *h)
{
	return h->above[ABOVE_REGIONS].what;
}

static bool work(struct haul *h)
{
	struct rma *m = get(h);
	ops_round(m);
	serve_round(m);
	return !TAILQ_EMPTY(&m->pulls) || !TAILQ_EMPTY(&m->ops_due) || !TAILQ_EMPTY(&m->served_due);
}

/* Answers that nobody waits for any more; and asks, of a context that never exposed anything. */
static int unwanted(struct haul *h, struct haul_peer *from, uint32_t channel, uint64_t tag)
{
	(void)from;
	(void)tag;
	if (channel != WIRE_CHANNEL_REGIONS)
		return -ECANCELED;
	return get(h)->serves ? 0 : -ENXIO;
}

static void forget(struct haul *h, const struct haul_peer *p)
{
	ops_forget(get(h), p);
	serve_forget(get(h), p);
}

/* No request is under way, and the context is about to free all of them, and all messages that were taken. */
static void fini(struct haul *h)
{
	struct rma *m = get(h);
	serve_fini(m);
	regions_fini(m);
	cards_fini(&m->cards);
	h->above[ABOVE_REGIONS] = (struct above){ NULL, NULL };
	free(m);
}

static const struct above_ops ops = { .work = work,
	.abort = op_abort,
	.force = op_force,
	.unwanted = unwanted,
	.forget = forget,
	.fini = fini };

struct rma *rma_of(struct haul *h)
{
	struct rma *m = get(h);
	if (m != NULL)
		return m;
	if ((m = calloc(1, sizeof(*m))) == NULL) {
		reason(-ENOMEM, "no memory for regions");
		return NULL;
	}
	m->haul = h;
	TAILQ_INIT(&m->patrons);
	TAILQ_INIT(&m->served_due);
	TAILQ_INIT(&m->ops);
	TAILQ_INIT(&m->pulls);
	TAILQ_INIT(&m->ops_due);
	h->above[ABOVE_REGIONS] = (struct above){ &ops, m };
	return m;
}
