/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading a region by pull: its bytes, then its card, in one process_vm_readv; of a region of several ranges, before
 * that, their list, in the same way. Nothing of the owner's is believed that the card does not vouch for, in the same call.
 *
 * Who has to be woken: nobody. The kernel copies or refuses. What it refuses, and what follows, is the table of
 * docs/protocol.md: a page that can't be pinned, a peer that may not be read any more, lack of memory: by a message. The
 * copy is made outside the lock. Who may touch what meanwhile: this thread the local memory; nobody frees the peer
 * (copying).
 */
#include "rma/reach.h"

#include <errno.h>

#include "msg/stats.h"
#include "os/reason.h"
#include "os/trace.h"
#include "rma/rma.h"

struct vm_result reach_read(struct haul_peer *p, struct iov_cursor *local, struct iov_cursor *remote,
    uint64_t len, struct vm_word *last)
{
	struct engine *e = &p->haul->engine;
	pid_t pid = peer_link(p)->pid;
	TRACE_PULL_BEGIN(pid, (uint64_t)0, len);
	p->copying++;
	engine_step_out(e);
	struct vm_result r = vm_read(pid, local, remote, len, last);
	engine_step_in(e);
	p->copying--;
	TRACE_PULL_END(pid, (uint64_t)0, r.moved, r.error);
	stats_pulled(p, &r);
	return r;
}

/* What the card says of what was read before it. */
static int card_says(const struct haul_handle *hd, const struct vm_word *w, const uint64_t *rest)
{
	uint64_t card[WIRE_HANDLE_WORDS] = { w->value };
	for (size_t i = 1; i < WIRE_HANDLE_WORDS; i++)
		card[i] = rest[i - 1];
	return handle_compare(hd, card);
}

static int refusal(struct haul_peer *p, const struct vm_result *r, bool vouched)
{
	switch (r->outcome) {
	case VM_BAD_LOCAL:
		return reason(-EFAULT, "the buffer can't be written");
	case VM_DENIED:
	case VM_NO_PROCESS:
		if (peer_refused(p, r))
			return REACH_BY_MESSAGE;
		return reason(p->error != 0 ? p->error : -ECONNRESET, "the peer has exited");
	case VM_NO_MEMORY:
		return REACH_BY_MESSAGE;
	case VM_MOVED:
	case VM_BAD_REMOTE:
		break;
	}
	if (!vouched) /* where the card was is nothing: another program, or none that the peer gave out */
		return reason(-ESTALE, "the peer has no such region, or no more");
	return r->outcome == VM_MOVED ? 0 : REACH_BY_MESSAGE;
}

/* Bytes, and the card behind them. *moved: how many came that it vouches for. */
static int read_vouched(struct haul_peer *p, const struct haul_handle *hd, struct iov_cursor *local,
    struct iov_cursor *remote, uint64_t len, uint64_t *moved)
{
	uint64_t rest[WIRE_HANDLE_WORDS - 1];
	struct vm_word card = { .addr = handle_card(hd), .rest = rest, .rest_count = WIRE_HANDLE_WORDS - 1 };
	struct vm_result r = reach_read(p, local, remote, len, &card);
	int rc = card.read ? card_says(hd, &card, rest) : 0;
	*moved = card.read && rc == 0 ? r.moved : 0;
	if (rc == -ESTALE)
		stats_withdrawn(p);
	return rc != 0 ? rc : refusal(p, &r, card.read);
}

/* A cursor over the part of the region that is wanted; a longer list lies in the owner's memory. */
static int find_part(struct haul_peer *p, const struct haul_handle *hd, uint64_t offset, uint64_t len,
    struct iovec *list, struct iov_cursor *remote)
{
	size_t count = (size_t)handle_ranges(hd);
	uint64_t sum, moved;
	list[0] = (struct iovec){ .iov_base = (void *)(uintptr_t)handle_addr(hd), .iov_len = handle_len(hd) };
	if (count > 1) {
		struct iovec here = { .iov_base = list, .iov_len = count * sizeof(*list) };
		struct iovec there = { .iov_base = list[0].iov_base, .iov_len = here.iov_len };
		struct iov_cursor to, from;
		iov_cursor_init(&to, &here, 1, here.iov_len);
		iov_cursor_init(&from, &there, 1, there.iov_len);
		int rc = read_vouched(p, hd, &to, &from, here.iov_len, &moved);
		if (rc != 0)
			return rc;
		if (!iov_total(list, count, &sum) || sum != handle_len(hd))
			return reason(-EPROTO, "the region's list of ranges is not what its handle says");
	}
	iov_cursor_init(remote, list, count, handle_len(hd));
	iov_cursor_advance(remote, offset);
	iov_cursor_limit(remote, len);
	return 0;
}

int reach_region(struct haul_peer *p, const struct haul_handle *hd, uint64_t offset, struct iov_cursor *local,
    uint64_t len, uint64_t *moved)
{
	/* Not initialised: the list is seldom needed. */
	struct iovec list[WIRE_HANDLE_RANGES_MOST];
	struct iov_cursor remote, before = *local;
	*moved = 0;
	int rc = find_part(p, hd, offset, len, list, &remote);
	if (rc == 0) {
		rc = read_vouched(p, hd, local, &remote, len, moved);
		*local = before;
		iov_cursor_advance(local, *moved);
	}
	if (rc == 0 && *moved > 0)
		stats_copied(p, *moved);
	peer_copied(p);
	return rc;
}
