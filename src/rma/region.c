/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Exposed regions: exposing, naming, finding, withdrawing.
 *
 * Who may read the memory: whoever can read this process, as ever; but what is read counts only as long as the card
 * holds. Who may write to it: this process alone, in serve.c; or the peer that a put of its own was granted to (msg/push.c).
 * So a withdrawal clears the card, ends what is being served, and waits for nothing but a write that is under way:
 * who ends that wait is the thread that copies, or the peer's answer, its end of file, its exit.
 */
#include "rma/region.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "os/reason.h"
#include "rma/serve.h"

/* ---- exposing ---- */

_Static_assert(sizeof(struct iovec) == WIRE_RANGE_SIZE, "a list of ranges is an array of iovecs");

static struct haul_region *region_new(const struct iovec *iov, size_t count, uint64_t *len)
{
	struct haul_region *r = calloc(1, sizeof(*r) + count * sizeof(*iov));
	if (r == NULL)
		return NULL;
	TAILQ_INIT(&r->serving);
	for (size_t i = 0; i < count; i++)
		if (iov[i].iov_len > 0)
			r->iov[r->count++] = iov[i];
	iov_total(r->iov, r->count, len);
	return r;
}

/* There is a place for it. */
static int make_room(struct rma *m, uint32_t slot)
{
	if (slot < m->region_room)
		return 0;
	size_t room = ((size_t)slot + 1) * 2;
	struct haul_region **regions = reallocarray(m->regions, room, sizeof(struct haul_region *));
	if (regions == NULL)
		return -ENOMEM;
	memset(regions + m->region_room, 0, (room - m->region_room) * sizeof(struct haul_region *));
	m->regions = regions;
	m->region_room = room;
	return 0;
}

/* The card holds only once its first word is there, which is stored last. */
static void vouch(struct haul_region *r, unsigned rights, uint64_t len)
{
	struct rma *m = r->rma;
	word_t *card = cards_words(&m->cards, r->slot);
	uint64_t *words = r->handle.words;
	words[WIRE_HANDLE_CARD] = (uintptr_t)card;
	words[WIRE_HANDLE_ADDR] = r->count == 1 ? (uintptr_t)r->iov[0].iov_base
	    : r->count > 1                      ? (uintptr_t)r->iov
	                                        : 0;
	words[WIRE_HANDLE_LEN] = len;
	words[WIRE_HANDLE_RANGES] = r->count;
	words[WIRE_HANDLE_RIGHTS] = rights;
	words[WIRE_HANDLE_SLOT] = r->slot;
	words[WIRE_HANDLE_FORMAT] = WIRE_HANDLE_IS;
	for (size_t i = 1; i < WIRE_HANDLE_WORDS; i++)
		atomic_store_explicit(&card[i], words[i], memory_order_relaxed);
	grant_give_by(&r->grant, card, &m->haul->cookies);
	words[WIRE_HANDLE_COOKIE] = r->grant.cookie;
	m->regions[r->slot] = r;
}

static int expose(struct haul *h, const struct iovec *iov, size_t count, unsigned rights,
    struct haul_region **out)
{
	uint64_t len;
	if (rights == 0 || (rights & ~(unsigned)(HAUL_READ | HAUL_WRITE)) != 0)
		return reason(-EINVAL, "rights 0x%x", rights);
	if (count > HAUL_REGION_IOVECS)
		return reason(-EINVAL, "%zu iovecs, where %d are the most", count, HAUL_REGION_IOVECS);
	if (!iov_total(iov, count, &len))
		return reason(-EINVAL, "an iovec with a length is NULL, or the lengths overflow");
	struct rma *m = rma_of(h);
	struct haul_region *r = m != NULL ? region_new(iov, count, &len) : NULL;
	if (r == NULL)
		return reason(-ENOMEM, "no memory for a region");
	r->rma = m;
	if (cards_take(&m->cards, &r->slot) != 0)
		goto err_region;
	if (make_room(m, r->slot) != 0)
		goto err_card;
	vouch(r, rights, len);
	if (!m->serves)
		serve_begin(m);
	*out = r;
	return 0;

err_card:
	cards_give(&m->cards, r->slot);
err_region:
	free(r);
	return reason(-ENOMEM, "no memory for a region");
}

int region_find(const struct rma *m, const struct haul_handle *hd, struct haul_region **out)
{
	int rc = handle_check(hd);
	if (rc != 0)
		return rc;
	struct haul_region *r = handle_slot(hd) < m->region_room ? m->regions[handle_slot(hd)] : NULL;
	if (r == NULL || r->grant.cell == NULL)
		return -ESTALE;
	if ((rc = handle_compare(hd, r->handle.words)) == 0)
		*out = r;
	return rc;
}

/* ---- withdrawing ---- */

static void region_free(struct haul_region *r)
{
	struct rma *m = r->rma;
	m->regions[r->slot] = NULL;
	cards_give(&m->cards, r->slot);
	free(r);
}

void regions_fini(struct rma *m)
{
	for (size_t i = 0; i < m->region_room; i++) {
		if (m->regions[i] == NULL)
			continue;
		grant_withdraw(&m->regions[i]->grant, NULL);
		region_free(m->regions[i]);
	}
	free(m->regions);
}

static bool is_let_alone(void *arg)
{
	const struct haul_region *r = arg;
	return TAILQ_EMPTY(&r->serving);
}

/* ---- public ---- */

int haul_region_expose(struct haul *h, const struct iovec *iov, size_t count, unsigned rights,
    struct haul_region **out)
{
	int rc = context_enter(h);
	if (rc != 0)
		return rc;
	rc = out == NULL ? reason(-EINVAL, "no place for the region") : expose(h, iov, count, rights, out);
	return context_leave(h, rc);
}

void haul_region_handle(const struct haul_region *region, struct haul_handle *handle)
{
	if (region != NULL && handle != NULL)
		*handle = region->handle;
}

/* In a forked child nothing is being served, and the kernel has wiped the card. */
static int withdraw_stale(struct haul *h, struct haul_region *r)
{
	if (context_whole(h)) {
		grant_withdraw(&r->grant, NULL);
		serve_drop(r);
		region_free(r);
	}
	return -ESTALE;
}

int haul_region_withdraw(struct haul_region *r, int timeout_ms)
{
	if (r == NULL)
		return 0;
	struct haul *h = r->rma->haul;
	int rc = context_enter_wait(h, timeout_ms);
	if (rc == -ESTALE)
		return withdraw_stale(h, r);
	if (rc != 0)
		return rc;
	grant_withdraw(&r->grant, NULL);
	serve_end(r);
	if (!is_let_alone(r)) {
		if (timeout_ms != 0)
			rc = engine_wait(&h->engine, is_let_alone, r, clock_after_ms(timeout_ms), NULL);
		else if ((rc = engine_progress(&h->engine)) >= 0)
			rc = is_let_alone(r) ? 0 : reason(-EAGAIN, "a put is still being written there");
	}
	if (rc == 0)
		region_free(r);
	return context_leave(h, rc);
}
