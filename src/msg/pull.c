/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Moving a payload by pull: process_vm_readv from the sender's buffers into the receive's, in pieces of at
 * most 16 MiB with other work between them. Every piece reads the grant cell last, in the same call, and
 * counts only if the cell still holds the cookie (grant.h).
 *
 * A list of buffers too long for the descriptor lies in the sender's memory, and is pulled a window at a
 * time, under the same cell.
 *
 * The copy itself runs outside the lock, so that other threads go on, and pull other messages meanwhile. What
 * happens to the message in that time (timeout, cancel, the peer's death) is noted, and done after it: see
 * `busy` in inbound.h. If the copy was the last, and is vouched for, the message counts as received.
 *
 * What can fail, and what follows: docs/protocol.md has the table, refusal() below is it. Bytes moved and
 * vouched for by the cell are kept, and the stream goes on behind them. Nobody has to be woken here: the
 * kernel copies or refuses. A peer whose memory makes a copy hang (userfaultfd) holds this thread;
 * docs/security.md.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "msg/context.h"
#include "msg/inbound.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "msg/stats.h"
#include "os/helper.h"
#include "os/trace.h"
#include "os/vm.h"

enum {
	PIECE = 16 << 20,
	ROUND = 1 << 20, /* short messages are pulled until so much was: one DONE then answers several */
	CALL = 4 << 10,  /* what the call itself takes, in bytes that could be copied meanwhile */
	WINDOW = 1023    /* ranges; with the cell, as much as one call takes */
};

/* The window of a long list. */
struct pull_window {
	uint32_t next;            /* index of the first range not fetched yet */
	uint64_t before, len;     /* bytes of the message before the window, and in it */
	struct iov_cursor cursor; /* over iov: where the pull goes on */
	struct iovec iov[WINDOW];
};

_Static_assert(sizeof(struct iovec) == WIRE_RANGE_SIZE, "a list in memory is an array of iovecs");

void pull_again(struct inbound *in)
{
	struct haul *h = in->peer->haul;
	assert(!in->pulling);
	in->pulling = true;
	TAILQ_INSERT_TAIL(&h->pulls, in, turn);
	engine_due(&h->engine);
}

void pull_soon(struct inbound *in)
{
	struct haul *h = in->peer->haul;
	struct inbound *first = TAILQ_FIRST(&h->pulls);
	assert(!in->pulling);
	in->pulling = true;
	if (first != NULL)
		TAILQ_INSERT_AFTER(&h->pulls, first, in, turn);
	else
		TAILQ_INSERT_HEAD(&h->pulls, in, turn);
	engine_due(&h->engine);
}

/* It keeps its turn, but for one that just has to have a look. */
static void pull_on(struct inbound *in)
{
	struct haul *h = in->peer->haul;
	struct inbound *first = TAILQ_FIRST(&h->pulls);
	if (first != NULL && first->hands != NULL && twohand_is_over(first)) {
		pull_soon(in);
		return;
	}
	assert(!in->pulling);
	in->pulling = true;
	TAILQ_INSERT_HEAD(&h->pulls, in, turn);
	engine_due(&h->engine);
}

static void start(struct inbound *in)
{
	in->fresh = true;
	pull_again(in);
}

static void stop(struct inbound *in)
{
	assert(!in->busy && !in->granted);
	twohand_drop(in);
	if (in->pulling)
		TAILQ_REMOVE(&in->peer->haul->pulls, in, turn);
	in->pulling = false;
	free(in->window);
	in->window = NULL;
}

const struct mover pull_mover = { .path = HAUL_PATH_PULL, .start = start, .stop = stop };

/* What the cell says after a read. */
enum cell { CELL_HOLDS, CELL_GONE, CELL_UNREAD };

static enum cell cell_of(const struct inbound *in, const struct vm_word *w)
{
	if (!w->read)
		return CELL_UNREAD;
	return w->value == in->cookie ? CELL_HOLDS : CELL_GONE;
}

/* The refusals: what follows when a pull moved less than it should. */
static void refusal(struct inbound *in, const struct vm_result *r, enum cell cell)
{
	struct haul_peer *p = in->peer;
	switch (r->outcome) {
	case VM_MOVED:
	case VM_BAD_REMOTE:
		if (cell == CELL_UNREAD) /* another program's memory by now, or a lie */
			inbound_cancel(in, -ECANCELED);
		else
			inbound_move_by(in, &stream_mover); /* that buffer can't be pinned; others can */
		break;
	case VM_BAD_LOCAL:
		inbound_fault(in, -EFAULT);
		break;
	case VM_NO_PROCESS:
	case VM_DENIED:
		if (peer_refused(p, r))
			inbound_move_on(in);
		break;
	case VM_NO_MEMORY:
		inbound_move_by(in, &stream_mover);
		break;
	}
}

/* The copy, outside the lock. Who may touch what meanwhile: this thread, and its helper, the local memory,
 * the message's window and cursors; nobody anything that would take these away. */
static struct vm_result copy(struct inbound *in, struct iov_cursor *local, struct iov_cursor *remote,
    uint64_t len, struct vm_word *word)
{
	struct haul_peer *p = in->peer;
	struct engine *e = &p->haul->engine;
	pid_t pid = peer_link(p)->pid;
	uint64_t helped;
	TRACE_PULL_BEGIN(pid, in->id, len);
	in->busy = true;
	p->copying++;
	engine_step_out(e);
	struct vm_result r = helper_read(p->haul->helper, pid, local, remote, len, word, in->cookie, &helped);
	engine_step_in(e);
	stats_helped(p, helped);
	p->copying--;
	in->busy = false;
	TRACE_PULL_END(pid, in->id, r.moved, r.error);
	return r;
}

/* Reads len bytes; true if all came and the cell vouches for them. Else the message has been dealt with, but
 * payload that did come and is vouched for counts as moved. */
static bool read_piece(struct inbound *in, struct iov_cursor *local, struct iov_cursor *remote, uint64_t len,
    bool payload)
{
	struct vm_word hand = { .addr = in->hand };
	struct vm_word word = { .addr = in->cell, .before = in->hands != NULL ? &hand : NULL };
	struct vm_result r = copy(in, local, remote, len, &word);
	enum cell cell = cell_of(in, &word);
	stats_pulled(in->peer, &r);
	if (payload && cell == CELL_HOLDS) {
		in->moved += r.moved;
		stats_copied(in->peer, r.moved);
	}
	if (r.outcome == VM_MOVED && cell == CELL_HOLDS) {
		if (hand.read)
			twohand_came(in, &hand);
		return true;
	}
	if (in->hands != NULL) {
		twohand_failed(in);
		return false;
	}
	if (cell == CELL_GONE)
		stats_withdrawn(in->peer);
	if (in->late != LATE_NOT)
		inbound_catch_up(in);
	else if (cell == CELL_GONE)
		inbound_cancel(in, -ECANCELED);
	else
		refusal(in, &r, cell);
	return false;
}

/* No memory for a window. */
static void fall_short(struct inbound *in)
{
	if (in->hands != NULL)
		twohand_failed(in);
	else
		inbound_move_by(in, &stream_mover);
}

static bool is_lie(struct inbound *in, const char *words)
{
	if (in->hands != NULL)
		twohand_failed(in); /* or nothing would end it */
	peer_violation(in->peer, words);
	return false;
}

/* Fetches the next ranges of a long list. False if the message has been dealt with. */
static bool fetch_window(struct inbound *in)
{
	struct pull_window *w = in->window;
	if (w == NULL) {
		if ((w = calloc(1, sizeof(*w))) == NULL) {
			fall_short(in);
			return false;
		}
		in->window = w;
	}
	uint32_t n = in->range_count - w->next < WINDOW ? in->range_count - w->next : WINDOW;
	if (n == 0)
		return is_lie(in, "a list of ranges shorter than its message");
	struct iovec here = { .iov_base = w->iov, .iov_len = n * sizeof(struct iovec) };
	struct iovec there = { .iov_base = (void *)(uintptr_t)(in->list + w->next * sizeof(struct iovec)),
		.iov_len = here.iov_len };
	struct iov_cursor local, remote;
	uint64_t sum = 0, most = in->len - w->before - w->len;
	iov_cursor_init(&local, &here, 1, here.iov_len);
	iov_cursor_init(&remote, &there, 1, there.iov_len);
	if (!read_piece(in, &local, &remote, here.iov_len, false))
		return false;
	if (in->late != LATE_NOT && in->hands == NULL) {
		inbound_catch_up(in);
		return false;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (w->iov[i].iov_len == 0 || w->iov[i].iov_len > most - sum)
			return is_lie(in, "a list of ranges with an empty one, or longer than its message");
		sum += w->iov[i].iov_len;
	}
	w->next += n;
	w->before += w->len;
	w->len = sum;
	iov_cursor_init(&w->cursor, w->iov, n, sum);
	return true;
}

/* The window that holds the byte at offset, its cursor there. False if the message has been dealt with. */
static bool find_window(struct inbound *in, uint64_t offset)
{
	struct pull_window *w;
	while ((w = in->window) == NULL || w->before + w->len <= offset)
		if (!fetch_window(in))
			return false;
	uint64_t at = w->before + w->len - w->cursor.left;
	assert(at <= offset); /* every transfer starts with a window of its own */
	iov_cursor_advance(&w->cursor, offset - at);
	return true;
}

/* A piece has come, or the sender's help has ended. */
static void go_on(struct inbound *in)
{
	if (in->hands == NULL && in->base + in->moved == in->ours) {
		in->moved = in->want;
		inbound_finish(in);
	} else if (in->hands == NULL && in->late != LATE_NOT) {
		inbound_catch_up(in);
	} else {
		receive_headway(in->req);
		if (in->hands != NULL && !twohand_turn_ends(in))
			pull_on(in);
		else
			pull_again(in);
	}
}

/* The next piece of one message; returns its length, 0 if it did not come. */
static uint64_t pull_piece(struct inbound *in)
{
	struct iovec few[WIRE_DESC_RANGES];
	struct iov_cursor remote, local = inbound_target(in);
	struct pull_window *w = NULL;
	uint64_t offset = in->base + in->moved;

	if (in->fresh)
		twohand_begin(in);
	in->fresh = false;
	if (in->hands != NULL && twohand_is_over(in)) {
		if (twohand_end(in))
			go_on(in);
		return 0;
	}
	if (in->range_count <= WIRE_DESC_RANGES) {
		for (uint32_t i = 0; i < in->range_count; i++)
			few[i] = (struct iovec){ .iov_base = (void *)(uintptr_t)in->ranges[i].addr,
				.iov_len = in->ranges[i].len };
		iov_cursor_init(&remote, few, in->range_count, in->len);
		iov_cursor_advance(&remote, offset);
	} else {
		if (!find_window(in, offset))
			return 0;
		w = in->window;
		remote = w->cursor;
	}
	uint64_t len = in->ours - offset;
	if (len > PIECE)
		len = PIECE;
	if (len > remote.left)
		len = remote.left;
	if (in->hands != NULL)
		len = twohand_claim(in, len);
	if (!read_piece(in, &local, &remote, len, true))
		return 0;
	if (w != NULL)
		w->cursor = remote;
	go_on(in);
	return len;
}

/* Each message in turn: off the list, a piece of it moved, and back to its end if that was not all. While the
 * piece is copied, other threads find the next messages in the list. */
void pull_round(struct haul *h)
{
	struct inbound *in;
	for (uint64_t done = 0; done < ROUND && (in = TAILQ_FIRST(&h->pulls)) != NULL;) {
		TAILQ_REMOVE(&h->pulls, in, turn);
		in->pulling = false;
		struct haul_peer *p = in->peer;
		uint64_t len = pull_piece(in);
		peer_copied(p);
		done += len > 0 ? len + CALL : ROUND;
	}
}
