/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pull with two hands, the receiver's side: while this side pulls a long message from its beginning, the sender,
 * which waits for that anyway, writes its end into the receive's buffers (assist.c). pull.c calls this around its
 * pieces, which are shorter then.
 *
 *     receiver                                      sender
 *     ASSIST(epoch, cell, front, ranges) -->
 *     front = the end of my next piece; fence       hand = live, the beginning of my next chunk; fence
 *     reads piece, hand, grant cell                 reads cell, front: the cell holds the cookie, and front is not
 *     (in one call); beyond hand I pull nothing     beyond the chunk, so writes it; hand = idle, the same place
 *     ... until I have come to the hand
 *     clears the cell; fence; reads the hand
 *       idle: all from there on is written          the cell is cleared: hand = idle, where it was before
 *       live: a write may be under way: waits         (nothing was written under that claim)
 *     pulls alone what is missing before the hand
 *
 * Both claim before they look, so of two claims that meet at least one side sees the other's. Copying a chunk twice
 * is harmless. But a claim that this side has seen may be void, and the sender stopped in the middle of a good one:
 * so only an idle hand that was read after the cell was cleared tells what was written, and that nothing is any more.
 * Until then nothing may end the receive: it is `granted` (inbound.h), and what is to end it is noted, and done after
 * that look, which the next piece makes way for. It is not asked for where the receive has a timeout.
 *
 * Who ends the wait for a live hand: the hand itself, as this side looks again and again for a while; then ASSISTED,
 * which a sender says that finds the cell cleared after a write, or was asked for it; its exit, or its end of file,
 * as with push. It is asked, by an ASSIST without ranges, where the hand can't be read any more.
 *
 * What else can fail (a short copy, a grant that is gone) ends the help first. The pull then meets it once more,
 * alone, and pull.c knows what follows.
 *
 * A sender that computes, or shares our CPU, does not help. After some messages in a row it is asked more seldom.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "msg/context.h"
#include "msg/hands.h"
#include "msg/inbound.h"
#include "msg/peer.h"
#include "os/proc.h"
#include "os/vm.h"

enum {
	TURN = 16 << 20, /* so that a long row of messages comes one by one, not all of them at the end */
	LEAST_TAIL = 256 << 10 /* that one ASSIST has room for the ranges of */
};

/* Looks at a live hand, before this side sleeps: in all somewhat longer than a chunk takes to be written.
 * So many at a time before others get a turn. */
enum { LOOKS = 50, LOOKS_AT_ONCE = 4 };

/* Messages that it may fail to help with in a row; those after which it is asked again, at the most. */
enum { UNASSISTED_MOST = 3, UNASKED_MOST = 64 };

struct hands {
	word_t *front; /* how far this side has come, or will with the next piece: the sender reads it */
	uint64_t end;  /* of what is wanted of the message */
	uint64_t turn; /* where its present turn began, among the pulls */
	unsigned looks;
	bool over;    /* no piece more */
	bool told;    /* ASSISTED has come */
	bool waiting; /* for that: it is not among the pulls */
};

/* ---- asking ---- */

/* How often has it been worth it? */
static bool is_asked_again(struct haul_peer *p)
{
	if (p->unasked == 0)
		return true;
	p->unasked--;
	return false;
}

static void learn(struct haul_peer *p, bool helped)
{
	p->unassisted = helped ? 0 : p->unassisted + 1;
	if (p->unassisted < UNASSISTED_MOST)
		return;
	unsigned doubled = p->unassisted - UNASSISTED_MOST;
	p->unasked = doubled < 6 ? 1U << doubled : UNASKED_MOST;
}

static bool is_worth_it(struct inbound *in)
{
	struct link *l = peer_link(in->peer);
	return in->hand != 0 && in->want >= HANDS_LEAST && in->base + in->want <= WIRE_HAND_LONGEST &&
	    in->epoch < WIRE_HAND_EPOCHS && !in->asking && link_may_assist(l) && l->pidfd >= 0 &&
	    inbound_may_grant(in) && is_asked_again(in->peer);
}

/* The last of the receive's buffers, as many as a frame has room for. Returns their number; *at is where they begin,
 * of what is wanted. */
static size_t put_tail(const struct inbound *in, uint8_t *ranges, uint64_t *at)
{
	const struct iovec *iov = in->req->recv.into.iov;
	uint64_t left = in->want; /* of the last one */
	size_t last = 0;
	for (; iov[last].iov_len < left; last++)
		left -= iov[last].iov_len;
	size_t first = last < WIRE_GRANT_RANGES ? 0 : last + 1 - WIRE_GRANT_RANGES;
	*at = in->want;
	for (size_t i = first; i <= last; i++) {
		struct wire_range range = { .addr = (uintptr_t)iov[i].iov_base,
			.len = i < last ? iov[i].iov_len : left };
		wire_range_put(ranges, i - first, range);
		*at -= range.len;
	}
	return last + 1 - first;
}

static bool say(struct inbound *in, const uint8_t *ranges, size_t count, uint64_t at)
{
	struct wire_frame f = { .type = WIRE_ASSIST,
		.assist = { .id = in->id,
		    .offset = in->base + at,
		    .cell = (uintptr_t)in->landing.cell,
		    .cookie = in->landing.cookie,
		    .front = (uintptr_t)in->hands->front,
		    .epoch = in->epoch,
		    .cpu = (uint32_t)proc_cpu(),
		    .ranges = ranges,
		    .range_count = count } };
	return link_send(peer_link(in->peer), &f, NULL) == LINK_TAKEN;
}

static bool take_words(struct inbound *in)
{
	struct haul *h = in->peer->haul;
	struct words *words = &h->engine.shared.words;
	struct hands *w = calloc(1, sizeof(*w));
	if (w == NULL || (w->front = words_take(words)) == NULL)
		goto err_hands;
	if (grant_give(&in->landing, words, &h->cookies) != 0)
		goto err_front;
	w->end = in->base + in->want;
	atomic_store_explicit(w->front, in->base, memory_order_release);
	in->hands = w;
	inbound_grant(in);
	return true;

err_front:
	words_give(words, w->front);
err_hands:
	free(w);
	return false;
}

void twohand_begin(struct inbound *in)
{
	uint8_t ranges[WIRE_GRANT_RANGES * WIRE_RANGE_SIZE];
	uint64_t at;
	assert(in->hands == NULL);
	if (!is_worth_it(in))
		return;
	size_t count = put_tail(in, ranges, &at);
	if (in->want - at < LEAST_TAIL || !take_words(in))
		return;
	in->epoch++;
	if (say(in, ranges, count, at)) {
		conn_flush(&in->peer->conn); /* now, not at the end of the round: the copy begins now */
		return;
	}
	inbound_take_back(in);
	twohand_drop(in);
}

/* ---- piece by piece ---- */

bool twohand_is_over(const struct inbound *in)
{
	return in->hands->over || in->late != LATE_NOT || in->base + in->moved >= in->ours;
}

uint64_t twohand_claim(struct inbound *in, uint64_t len)
{
	uint64_t share = hands_share(in->ours - in->base - in->moved);
	if (len > share)
		len = share;
	atomic_store_explicit(in->hands->front, in->base + in->moved + len, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst); /* before the hand is read */
	return len;
}

void twohand_came(struct inbound *in, const struct vm_word *word)
{
	uint64_t at = in->base + in->moved;
	if (in->hands == NULL) /* the sender has gone meanwhile */
		return;
	struct wire_hand hand = wire_hand(word->value);
	if (hand.epoch == in->epoch && hand.from < in->ours)
		in->ours = hand.from > at ? hand.from : at;
}

bool twohand_turn_ends(struct inbound *in)
{
	struct hands *w = in->hands;
	bool ends = in->moved - w->turn >= TURN;
	if (ends)
		w->turn = in->moved;
	return ends;
}

void twohand_failed(struct inbound *in)
{
	in->hands->over = true;
	pull_again(in);
}

/* ---- the end ---- */

void twohand_drop(struct inbound *in)
{
	struct hands *w = in->hands;
	if (w == NULL)
		return;
	in->hands = NULL;
	in->ours = in->base + in->want;
	if (in->asking)
		TAILQ_REMOVE(&in->peer->asks, in, ask);
	in->asking = false;
	words_give(&in->peer->haul->engine.shared.words, w->front);
	free(w);
}

/* Nothing is written any more; all from that byte on has been. */
static void over(struct inbound *in, uint64_t from)
{
	uint64_t at = in->base + in->moved, end = in->hands->end;
	learn(in->peer, from < end);
	inbound_take_back(in);
	twohand_drop(in);
	in->ours = from < at ? at : from < end ? from : end;
}

/* Outside the lock, as any access to the peer's memory. */
static int look(struct inbound *in, struct vm_word *cell)
{
	struct engine *e = &in->peer->haul->engine;
	pid_t pid = peer_link(in->peer)->pid;
	int error = 0;
	in->busy = true;
	engine_step_out(e);
	for (int i = 0; i < LOOKS_AT_ONCE; i++) {
		error = vm_read_word(pid, cell);
		if (error != 0 || !wire_hand(cell->before->value).live)
			break;
	}
	atomic_thread_fence(memory_order_acquire); /* what the hand says is written is so */
	engine_step_in(e);
	in->busy = false;
	return error;
}

/* It is not known to be idle. */
static void wait_for_it(struct inbound *in, bool ask)
{
	struct haul_peer *p = in->peer;
	in->hands->waiting = true;
	if (!ask)
		return;
	in->asking = true;
	TAILQ_INSERT_TAIL(&p->asks, in, ask);
	conn_kick(&p->conn);
}

bool twohand_end(struct inbound *in)
{
	struct haul_peer *p = in->peer;
	struct hands *w = in->hands;
	struct vm_word word = { .addr = in->hand }, cell = { .addr = in->cell, .before = &word };
	bool told = w->told;
	w->over = true;
	grant_withdraw(&in->landing, &p->haul->engine.shared.words); /* and a fence */
	int error = look(in, &cell);
	if (in->hands == NULL)
		return true;
	struct wire_hand hand = wire_hand(word.value);
	if (error == ESRCH && proc_dead(peer_link(p)->pidfd)) {
		conn_gone(&p->conn);
		return false;
	}
	/* Where the cell has gone, the sender has taken its buffer back, which it does not while it writes; or it is
	 * another program by now, as it is where these words are no more. */
	bool holds = error == 0 && cell.value == in->cookie && hand.epoch == in->epoch;
	if (told || (holds ? !hand.live : error == 0 || error == EFAULT)) {
		over(in, holds && !hand.live ? hand.from : w->end);
		return true;
	}
	if (w->told) /* meanwhile */
		pull_again(in);
	else if (++w->looks < LOOKS && (error == 0 || error == ENOMEM))
		pull_soon(in);
	else
		wait_for_it(in, error != 0);
	return false;
}

bool twohand_say(struct inbound *in)
{
	struct haul_peer *p = in->peer;
	if (!say(in, NULL, 0, 0))
		return false;
	TAILQ_REMOVE(&p->asks, in, ask);
	in->asking = false;
	return true;
}

/* It may come unasked, and late. */
void twohand_assisted(struct haul_peer *p, const struct wire_frame *f)
{
	void *object;
	enum id_state state = ids_find(&p->in_ids, f->assisted.id, &object);
	if (state == ID_NEVER || !link_has_two_hands(peer_link(p))) {
		peer_violation(p, "helped with what was never sent");
		return;
	}
	struct inbound *in = state == ID_LIVE ? object : NULL;
	if (in == NULL || in->hands == NULL || f->assisted.epoch != in->epoch)
		return;
	in->hands->over = in->hands->told = true;
	if (in->hands->waiting)
		pull_again(in);
	in->hands->waiting = false;
}
