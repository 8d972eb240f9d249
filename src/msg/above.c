/* SPDX-License-Identifier: BSD-3-Clause */
/* Asking the floor above. See above.h. */
#include "msg/above.h"

#include <errno.h>

#include "msg/context.h"
#include "msg/peer.h"
#include "os/reason.h"

/* Whose a channel is; NULL: this floor's own. */
static const struct above_ops *owner(const struct haul *h, uint32_t channel)
{
	if (channel & WIRE_CHANNEL_GROUPS)
		return h->above[ABOVE_GROUPS].ops;
	if (channel & WIRE_CHANNEL_STREAMS)
		return h->above[ABOVE_STREAMS].ops;
	if (channel & WIRE_CHANNEL_REGIONS)
		return h->above[ABOVE_REGIONS].ops;
	return NULL;
}

bool above_work(struct haul *h)
{
	bool more = false;
	for (int i = 0; i < ABOVE_KINDS; i++) {
		const struct above_ops *ops = h->above[i].ops;
		if (ops != NULL && ops->work != NULL && ops->work(h))
			more = true;
	}
	return more;
}

int above_hopeless(struct haul *h, const struct match_want *want)
{
	const struct above_ops *ops = owner(h, want->channel);
	if ((want->channel & WIRE_CHANNEL_GROUPS) && ops == NULL)
		return reason(-ECANCELED, "the group was freed");
	return ops != NULL && ops->hopeless != NULL ? ops->hopeless(h, want) : 0;
}

int above_unwanted(struct haul *h, struct haul_peer *from, uint32_t channel, uint64_t tag)
{
	const struct above_ops *ops = owner(h, channel);
	if ((channel & ~UINT32_C(1)) == WIRE_CHANNEL_REGIONS && ops == NULL)
		return -ENXIO; /* where none was ever exposed, there is none */
	return ops != NULL && ops->unwanted != NULL ? ops->unwanted(h, from, channel, tag) : 0;
}

void above_flush(struct haul *h, uint64_t deadline)
{
	for (int i = 0; i < ABOVE_KINDS; i++)
		if (h->above[i].ops != NULL && h->above[i].ops->flush != NULL)
			h->above[i].ops->flush(h, deadline);
}

void above_leave(struct haul_peer *p)
{
	struct haul *h = p->haul;
	for (int i = 0; i < ABOVE_KINDS; i++)
		if (h->above[i].ops != NULL && h->above[i].ops->leave != NULL)
			h->above[i].ops->leave(p);
}

bool above_owes(struct haul *h)
{
	for (int i = 0; i < ABOVE_KINDS; i++)
		if (h->above[i].ops != NULL && h->above[i].ops->owes != NULL && h->above[i].ops->owes(h))
			return true;
	return false;
}

void above_forget(struct haul *h, const struct haul_peer *p)
{
	for (int i = 0; i < ABOVE_KINDS; i++)
		if (h->above[i].ops != NULL && h->above[i].ops->forget != NULL)
			h->above[i].ops->forget(h, p);
}

void above_fini(struct haul *h)
{
	for (int i = 0; i < ABOVE_KINDS; i++)
		if (h->above[i].ops != NULL && h->above[i].ops->fini != NULL)
			h->above[i].ops->fini(h);
}
