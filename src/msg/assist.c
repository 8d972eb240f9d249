/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pull with two hands, the sender's side: twohand.c has the receiver's, and how the two avoid each other. A thread
 * that waits in the engine anyway writes the end of a long message into the receiver's buffers, backwards, a chunk at
 * a time, while the receiver pulls the beginning.
 *
 *     NONE --> DUE --> WRITING --> DUE ...        each WRITING outside the lock: claim, look, write, say so
 *       ^       |         |
 *       |       v         v
 *       +---- NONE      TELL --> NONE             ASSISTED is to be said
 *
 * WRITING: the message's buffers and id are kept, as in a push (outbound.h). Nothing is written unless the landing
 * cell, in the receiver's memory, holds the cookie after the claim was made, and the receiver has not come so far.
 *
 * Help is never owed, but one thing is: who has cleared the cell, and saw the hand live, waits. So before
 * it does anything else this side looks at the cell once more, with the hand idle: if it is cleared, or
 * can't be read, ASSISTED is said. It is also said to who asks for it, because it can't read the hand.
 *
 * What can fail: the cell can't be read, or does not hold the cookie: nothing is written. A write falls short: it
 * counts for nothing, and the receiver pulls that part. If the kernel forbids it, that peer is not helped again.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "msg/context.h"
#include "msg/hands.h"
#include "msg/info.h"
#include "msg/outbound.h"
#include "msg/peer.h"
#include "msg/stats.h"
#include "os/proc.h"
#include "os/trace.h"
#include "os/vm.h"

enum { ROUND = 1 << 20 };

/* What may be written. */
struct tail {
	uint32_t epoch;
	uint64_t offset, len; /* of the message */
	uint64_t low;         /* all from there on is written, */
	uint64_t high;        /* and the receiver has claimed all before that */
	uint64_t cell, cookie, front;
	size_t count;
	struct iovec iov[WIRE_GRANT_RANGES];
};

bool assist_offer(struct outbound *o)
{
	struct haul_peer *p = o->peer;
	if (o->bufs.len < HANDS_LEAST || o->bufs.len > WIRE_HAND_LONGEST || p->never_assist ||
	    !link_may_assist(peer_link(p)))
		return false;
	if (o->hand == NULL)
		o->hand = words_take(&p->haul->engine.shared.words);
	return o->hand != NULL;
}

/* ---- states ---- */

static void leave(struct outbound *o)
{
	assert(o->assist != ASSISTING);
	if (o->assist == ASSIST_DUE)
		TAILQ_REMOVE(&o->peer->haul->assists, o, assist_entry);
	else if (o->assist == ASSIST_TELL)
		TAILQ_REMOVE(&o->peer->assisted, o, assist_entry);
	o->assist = ASSIST_NONE;
	free(o->tail);
	o->tail = NULL;
}

static void due(struct outbound *o)
{
	struct haul *h = o->peer->haul;
	o->assist = ASSIST_DUE;
	TAILQ_INSERT_TAIL(&h->assists, o, assist_entry);
	engine_due(&h->engine);
}

static void tell(struct outbound *o)
{
	o->assist = ASSIST_TELL;
	TAILQ_INSERT_TAIL(&o->peer->assisted, o, assist_entry);
	conn_kick(&o->peer->conn);
}

void assist_call_off(struct outbound *o)
{
	if (o->assist == ASSIST_DUE)
		leave(o);
}

void assist_forget(struct outbound *o)
{
	leave(o);
	words_give(&o->peer->haul->engine.shared.words, o->hand);
	o->hand = NULL;
}

bool assist_say(struct haul_peer *p)
{
	for (struct outbound *o; (o = TAILQ_FIRST(&p->assisted)) != NULL;) {
		struct wire_frame f = { .type = WIRE_ASSISTED,
			.assisted = { .id = o->id, .epoch = o->assist_epoch } };
		if (link_send(peer_link(p), &f, NULL) != LINK_TAKEN)
			return false;
		leave(o);
	}
	return true;
}

/* ---- what is asked for ---- */

/* Against the length alone, which stays known when the buffers have been given back. */
static bool read_tail(struct tail *t, const struct outbound *o, const struct wire_frame *f)
{
	*t = (struct tail){ .epoch = f->assist.epoch,
		.offset = f->assist.offset,
		.cell = f->assist.cell,
		.cookie = f->assist.cookie,
		.front = f->assist.front,
		.count = f->assist.range_count };
	if (t->cell % sizeof(uint64_t) != 0 || t->front % sizeof(uint64_t) != 0 || t->cookie == 0 ||
	    t->offset > o->bufs.len)
		return false;
	for (size_t i = 0; i < t->count; i++) {
		struct wire_range range = wire_range(f->assist.ranges, i);
		if (range.len == 0 || range.len > o->bufs.len - t->offset - t->len)
			return false;
		t->iov[i] = (struct iovec){ .iov_base = (void *)(uintptr_t)range.addr, .iov_len = range.len };
		t->len += range.len;
	}
	t->low = t->offset + t->len;
	t->high = t->offset;
	return true;
}

/* It wants to hear when nothing is written any more. */
static bool answer(struct outbound *o, uint32_t epoch)
{
	if (epoch != o->epoch || epoch == 0)
		return false;
	o->assist_epoch = epoch;
	if (o->assist == ASSISTING) {
		o->assist_asked = true;
		return true;
	}
	leave(o);
	tell(o);
	return true;
}

/* Somebody waits here anyway, and not where the receiver needs the CPU. */
static bool can_help(const struct outbound *o, uint32_t their_cpu)
{
	const struct haul_peer *p = o->peer;
	int cpu = proc_cpu();
	return o->state == OUT_OFFERED && o->assist == ASSIST_NONE && !p->never_assist &&
	    p->conn.link.in.error == 0 && !TAILQ_EMPTY(&p->haul->engine.waits) && cpu >= 0 &&
	    (uint32_t)cpu != their_cpu;
}

bool assist_asked(struct outbound *o, const struct wire_frame *f)
{
	struct tail t;
	uint32_t epoch = f->assist.epoch;
	if (o->hand == NULL)
		return false;
	if (f->assist.range_count == 0)
		return answer(o, epoch);
	if (epoch > WIRE_HAND_EPOCHS || !read_tail(&t, o, f) || !outbound_new_epoch(o, epoch))
		return false;
	if (o->assist != ASSISTING) /* else of an earlier one, which is void by now */
		leave(o);
	if (!can_help(o, f->assist.cpu) || (o->tail = malloc(sizeof(t))) == NULL)
		return true;
	*o->tail = t;
	o->assist_epoch = epoch;
	due(o);
	return true;
}

/* ---- writing ---- */

static void set_hand(const struct outbound *o, uint64_t from, bool live)
{
	struct wire_hand hand = { .epoch = o->tail->epoch, .from = from, .live = live };
	atomic_store_explicit(o->hand, wire_hand_put(hand), memory_order_release);
	atomic_thread_fence(memory_order_seq_cst); /* before the receiver's words are read */
}

/* The receiver has ended it, or it can't be known. */
static bool is_withdrawn(pid_t pid, struct tail *t)
{
	struct vm_word front = { .addr = t->front }, cell = { .addr = t->cell, .before = &front };
	if (vm_read_word(pid, &cell) != 0 || cell.value != t->cookie)
		return true;
	if (front.value > t->high)
		t->high = front.value;
	return false;
}

static uint64_t next_chunk(const struct tail *t)
{
	uint64_t len = hands_share(t->low - t->high), from = t->low - len;
	if (t->low - t->offset <= len)
		return t->offset;
	from -= from % HANDS_ALIGN;
	return from > t->offset ? from : t->offset;
}

static struct vm_result write_chunk(const struct outbound *o, pid_t pid, uint64_t from)
{
	const struct tail *t = o->tail;
	struct iov_cursor local, remote;
	iov_cursor_init(&local, o->bufs.iov, o->bufs.count, o->bufs.len);
	iov_cursor_advance(&local, from);
	iov_cursor_init(&remote, t->iov, t->count, t->len);
	iov_cursor_advance(&remote, from - t->offset);
	return vm_write(pid, &local, &remote, t->low - from);
}

/* What came of some chunks. */
struct run {
	uint64_t written;
	unsigned calls;
	uint64_t copied;
	struct vm_result last;
	bool stopped; /* there is to be none more: it can't be written, or need not be */
	bool withdrawn;
};

static bool claim_and_write(struct outbound *o, pid_t pid, struct run *run)
{
	struct tail *t = o->tail;
	uint64_t from = next_chunk(t);
	set_hand(o, from, true);
	bool written = false;
	run->withdrawn = is_withdrawn(pid, t);
	if (!run->withdrawn && t->high <= from) { /* nor has it come so far: what we claimed is ours */
		TRACE_ASSIST_BEGIN(pid, o->id, t->low - from);
		run->last = write_chunk(o, pid, from);
		TRACE_ASSIST_END(pid, o->id, run->last.moved, run->last.error);
		written = run->last.outcome == VM_MOVED;
		run->calls += run->last.calls;
		run->copied += run->last.moved;
	}
	if (written) {
		run->written += t->low - from;
		t->low = from;
	}
	set_hand(o, t->low, false);
	return written;
}

/* Outside the lock: nobody takes away what it uses. */
static struct run write_chunks(struct outbound *o, pid_t pid)
{
	struct run run = { .last.outcome = VM_MOVED };
	while (!run.stopped && run.written < ROUND)
		run.stopped = !claim_and_write(o, pid, &run) || o->tail->low <= o->tail->high;
	if (!run.withdrawn)
		run.withdrawn = is_withdrawn(pid, o->tail);
	return run;
}

static void never_again(struct haul_peer *p, int error)
{
	if (p->never_assist || p->conn.ended)
		return;
	p->never_assist = true;
	info_assists_no_more(p, error);
}

/* The next chunks of one message; returns their length. */
static uint64_t assist(struct outbound *o)
{
	struct haul_peer *p = o->peer;
	struct engine *e = &p->haul->engine;
	uint32_t epoch = o->assist_epoch;
	o->assist = ASSISTING;
	o->assist_asked = false;
	p->copying++;
	p->conn.writing++;
	engine_step_out(e);
	struct run run = write_chunks(o, peer_link(p)->pid);
	engine_step_in(e);
	p->copying--;

	stats_assisted(p, run.written, run.copied, run.calls, run.written > 0 && !o->assisted);
	o->assisted = o->assisted || run.written > 0;
	if (run.last.outcome == VM_DENIED)
		never_again(p, run.last.error);
	o->assist = ASSIST_NONE;
	if (o->assist_asked || run.withdrawn)
		tell(o);
	else if (!run.stopped && o->epoch == epoch && o->late == OUT_LATE_NOT && o->state == OUT_OFFERED)
		due(o);
	else
		leave(o);
	outbound_catch_up(o);
	conn_wrote(&p->conn);
	peer_copied(p);
	return run.written;
}

/* Only if somebody waits here, as when it was asked for, and has no pull of its own to do. */
void assist_round(struct haul *h)
{
	struct outbound *o;
	if (!TAILQ_EMPTY(&h->pulls))
		return;
	for (uint64_t done = 0; done < ROUND && (o = TAILQ_FIRST(&h->assists)) != NULL;) {
		if (TAILQ_EMPTY(&h->engine.waits)) {
			leave(o);
			continue;
		}
		TAILQ_REMOVE(&h->assists, o, assist_entry);
		uint64_t len = assist(o);
		done += len > 0 ? len : ROUND;
	}
}
