/* SPDX-License-Identifier: BSD-3-Clause */
/* Flow control counters. See credit.h. */
#include "link/credit.h"

#include <assert.h>

void credit_out_init(struct credit_out *c, uint32_t granted, uint32_t most)
{
	*c = (struct credit_out){ .granted = granted, .most = most };
}

bool credit_out_update(struct credit_out *c, uint32_t granted)
{
	if ((int32_t)(granted - c->granted) < 0 || granted - c->spent > c->most)
		return false;
	c->granted = granted;
	return true;
}

bool credit_out_has(const struct credit_out *c, uint32_t units)
{
	return c->granted - c->spent >= units;
}

void credit_out_spend(struct credit_out *c, uint32_t units)
{
	assert(credit_out_has(c, units));
	c->spent += units;
}

/* Widens the window by up to `want` units, as far as the pool lasts. */
static void widen(struct credit_in *c, struct credit_pool *pool, uint32_t want)
{
	uint64_t can = pool->left / c->unit;
	uint32_t got = can < want ? (uint32_t)can : want;
	pool->left -= (uint64_t)got * c->unit;
	c->paid += got;
	c->window += got;
	c->wider = c->wider || got > 0;
}

static void grow(struct credit_in *c, struct credit_pool *pool, uint32_t by)
{
	uint32_t most = c->most - c->window;
	if (most > 0)
		widen(c, pool, by < most ? by : most);
}

void credit_in_init(struct credit_in *c, struct credit_pool *pool, uint32_t unit, uint32_t least,
    uint32_t first, uint32_t most)
{
	*c = (struct credit_in){ .most = most, .unit = unit };
	widen(c, pool, first < most ? first : most);
	if (least > most)
		least = most;
	if (c->window < least)
		c->window = least; /* a peer that may say nothing is no peer */
	c->told = c->window;
	c->wider = false;
}

void credit_in_fini(struct credit_in *c, struct credit_pool *pool)
{
	pool->left += (uint64_t)c->paid * c->unit;
	c->window = c->paid = 0;
}

bool credit_in_arrive(struct credit_in *c, struct credit_pool *pool, uint32_t units)
{
	if (c->told - c->arrived < units)
		return false;
	c->arrived += units;
	c->held += units;
	if (c->held > c->window / 2)
		grow(c, pool, c->window);
	return true;
}

void credit_in_missed(struct credit_in *c, struct credit_pool *pool, uint32_t units, bool sure)
{
	if (sure || c->told - c->arrived < units)
		grow(c, pool, c->window > units ? c->window : units);
}

void credit_in_release(struct credit_in *c, uint32_t units)
{
	assert(units <= c->held);
	c->held -= units;
}

static uint32_t granted(const struct credit_in *c)
{
	return c->arrived + c->window - c->held;
}

uint32_t credit_in_tell(struct credit_in *c)
{
	c->wider = false;
	return c->told = granted(c);
}

/* Half a window is news, and so is that it has grown, be it by less because that is all there is; so is anything at
 * all to a peer that has nothing left. (It may have too little left for its next message, and then won't use up even
 * that.) */
bool credit_in_due(const struct credit_in *c)
{
	uint32_t news = granted(c) - c->told;
	return news > 0 && (c->wider || news >= c->window / 2 || c->told == c->arrived);
}
