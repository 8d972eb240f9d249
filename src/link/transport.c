/* SPDX-License-Identifier: BSD-3-Clause */
/* Sockets, outboxes, loops: which of them carries a link. See transport.h. */
#include "link/transport.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "link/rights.h"
#include "link/transmit.h"
#include "os/proc.h"
#include "os/sock.h"
#include "os/trace.h"
#include "os/vm.h"

enum { HEAR_MOST = 16384 }; /* bytes of what is said beside an outbox, in one read */

/* Else ring_for_parcel() would say nothing, and a BELL that comes in parts would be a violation. */
_Static_assert((int)OUTBOX_NOTE >= (int)WIRE_BELL_ROOM, "a BELL fits");

static bool agreed(const struct link *l)
{
	return l->shared->outbox && (l->theirs.features & WIRE_FEATURE_OUTBOX) != 0 && l->in.error == 0 &&
	    l->out.error == 0 && l->pidfd >= 0;
}

/* ---- the handshake ---- */

void transport_offer(struct link *l)
{
	struct wire_frame f = { .type = WIRE_OUTBOX };
	uint64_t cookie;
	if (!agreed(l))
		return;
	do
		arc4random_buf(&cookie, sizeof(cookie));
	while (cookie == 0);
	if (outbox_init(&l->outbox, cookie)) {
		l->tx.aside = l->outbox.state->to_say;
		l->rx.aside = l->outbox.state->heard;
		f.outbox.ring = (uintptr_t)l->outbox.ring;
		f.outbox.ring_size = OUTBOX_RING;
		f.outbox.state = (uintptr_t)l->outbox.state;
		f.outbox.head = (uintptr_t)&l->outbox.state->head;
		f.outbox.cookie = cookie;
	}
	link_put(l, &f);
}

/* Either both have one, or neither. */
bool transport_accept(struct link *l, const struct wire_frame *f)
{
	uint64_t size = f->outbox.ring_size;
	if (!agreed(l) || l->inbox.size != 0 || l->inbox.none)
		return false;
	if (size == 0) {
		l->inbox.none = true;
		return true;
	}
	if (size < WIRE_RING_LEAST || size > WIRE_RING_MOST || (size & (size - 1)) != 0 ||
	    f->outbox.ring % WIRE_RING_LEAST != 0 || f->outbox.state % sizeof(uint64_t) != 0 ||
	    f->outbox.head % sizeof(uint64_t) != 0 || f->outbox.cookie == 0 ||
	    f->outbox.ring > UINT64_MAX - size || f->outbox.state > UINT64_MAX - WIRE_STATE_SIZE)
		return false;
	l->inbox.ring = f->outbox.ring;
	l->inbox.state = f->outbox.state;
	l->inbox.cookie = f->outbox.cookie;
	l->inbox.size = size;
	l->outbox.head_addr = f->outbox.head;
	l->outbox.cookie_addr = f->outbox.state + WIRE_STATE_COOKIE;
	l->outbox.cookie = f->outbox.cookie;
	return true;
}

void transport_fini(struct link *l)
{
	outbox_fini(&l->outbox);
}

/* ---- aside from the stream ---- */

/* Hands to the kernel what it takes. The rest is tried again when there is room; or, where the kernel lacks something
 * else, a little later, since nothing tells when it would. */
static void flush_aside(struct link *l)
{
	struct link_tx *tx = &l->tx;
	if (tx->aside_len == 0 || tx->dead)
		return;
	ssize_t n = sock_send(l->fd, tx->aside, tx->aside_len);
	if (n < 0 && n != -EAGAIN && n != -ENOBUFS && n != -ENOMEM && n != -EINTR) {
		tx->dead = true; /* it no longer hears us; reading will tell more */
		return;
	}
	if (n > 0) {
		memmove(tx->aside, tx->aside + n, tx->aside_len - (size_t)n);
		tx->aside_len -= (size_t)n;
	}
	tx->aside_waits = tx->aside_len > 0 && (n > 0 || n == -EAGAIN);
	tx->lacking = tx->lacking || (tx->aside_len > 0 && !tx->aside_waits);
}

/* Beside the stream, or in it if that is not now in the outbox: false if it is not taken. Beside it the header has no
 * credits: they would seem to go back. */
static bool say_aside(struct link *l, struct wire_frame *f)
{
	struct link_tx *tx = &l->tx;
	if (!l->outbox.open)
		return link_send(l, f, NULL) == LINK_TAKEN;
	size_t n = wire_encode(f, tx->aside + tx->aside_len, OUTBOX_NOTE - tx->aside_len);
	tx->aside_len += n;
	flush_aside(l);
	return n > 0;
}

/* As good as one more is whatever still waits to be said: its end is heard later, and looked after. Nobody else may try
 * to say it for long. */
static bool is_said_late(struct link *l)
{
	if (l->tx.aside_len == 0)
		return false;
	flush_aside(l);
	return true;
}

static void ring(struct link *l)
{
	struct wire_frame f = { .type = WIRE_BELL };
	if (is_said_late(l))
		return;
	l->owes_bell = !say_aside(l, &f);
	l->counts.bells_sent++;
	TRACE_BELL(l->pid);
}

/*
 * The parcel that was just put in goes along if it is small. Only at once: a BELL with a parcel that is heard alone is
 * followed by no look, and so must not stand for the parcels after it.
 */
static void ring_for_parcel(struct link *l)
{
	struct link_tx *tx = &l->tx;
	struct wire_frame f = { .type = WIRE_BELL };
	if (is_said_late(l))
		return;
	f.payload_len = outbox_last(&l->outbox, WIRE_BELL_LONGEST, &f.payload, &f.position);
	size_t head = wire_encode(&f, tx->aside, OUTBOX_NOTE), len = head + f.payload_len;
	struct iovec iov[] = { { tx->aside, head }, { (void *)(uintptr_t)f.payload, f.payload_len } };
	ssize_t n = f.payload_len > 0 ? sock_sendv(l->fd, iov, 2) : 0;
	if (n <= 0) {
		ring(l);
		return;
	}
	if ((size_t)n < len) {
		memcpy(tx->aside + head, f.payload, f.payload_len);
		memmove(tx->aside, tx->aside + n, len - (size_t)n);
		tx->aside_len = len - (size_t)n;
		tx->aside_waits = true;
		l->owes_bell = true; /* its end, heard alone, would not stand for those that follow meanwhile */
	}
	l->counts.bells_sent++;
	TRACE_BELL(l->pid);
}

bool transport_make_way(struct link *l)
{
	if (!l->outbox.open)
		return transmit_make_way(l);
	flush_aside(l);
	return l->tx.aside_len == 0 && !l->tx.dead;
}

size_t transport_encode(struct link *l, struct wire_frame *f, uint8_t *buf, size_t size)
{
	return l->outbox.open ? wire_encode(f, buf, size) : transmit_encode(l, f, buf, size);
}

void transport_went(struct link *l, const uint8_t *bytes, size_t len, size_t taken)
{
	if (!l->outbox.open) {
		transmit_went(l, bytes, len, taken);
		return;
	}
	l->tx.aside_len = len - taken;
	memcpy(l->tx.aside, bytes + taken, l->tx.aside_len);
	flush_aside(l);
}

void transport_tell(struct link *l)
{
	if (l->owes_demote) {
		struct wire_frame f = { .type = WIRE_DEMOTE, .position = l->inbox.got };
		l->owes_demote = !say_aside(l, &f);
	}
	if (l->owes_bell)
		ring(l);
	if (l->outbox.open)
		flush_aside(l);
}

/* The peer's outbox can't be used any more; its stream will come over the socket. */
static void give_up_inbox(struct link *l)
{
	if (!l->inbox.open || l->owes_demote || l->inbox.demoted)
		return;
	l->inbox.demoted = l->owes_demote = true;
	transport_tell(l);
}

/* RESUME, what the peer has not read, and then whatever is sent. The socket, which is as good as empty, is
 * to take all of it at once: who leaves because its process ends can't wait until somebody reads. */
static void leave_outbox(struct link *l, uint64_t from)
{
	struct link_tx *tx = &l->tx;
	struct wire_frame f = { .type = WIRE_RESUME, .position = from };
	size_t len = wire_encode(&f, tx->resume, sizeof(tx->resume));
	assert(len == sizeof(tx->resume));
	outbox_leave(&l->outbox, from);
	sock_grow_send_buffer(l->fd, OUTBOX_RING);
	tx->resend_iov[0] = (struct iovec){ .iov_base = tx->aside, .iov_len = tx->aside_len };
	tx->resend_iov[1] = (struct iovec){ .iov_base = tx->resume, .iov_len = len };
	iov_cursor_init(&tx->resend, tx->resend_iov, 2, tx->aside_len + len);
	tx->aside_len = 0; /* the bytes stay where they are */
	/* For now; what has gathered goes after it. */
	tx->written -= tx->resend.left + (l->outbox.sent - from);
	tx->blocked = false;
	TRACE_TRANSPORT_CHANGE(l->pid, 0);
}

void transport_flushed(struct link *l)
{
	l->outbox.open = l->outbox.due;
	l->outbox.due = false;
	if (l->outbox.refused) /* before it was opened */
		leave_outbox(l, 0);
}

void link_leave_outbox(struct link *l)
{
	if (!l->outbox.open || l->tx.dead)
		return;
	outbox_ask_head(&l->outbox, l->pid);
	leave_outbox(l, l->outbox.known);
	link_flush(l);
}

static bool demoted(struct link *l, uint64_t position)
{
	if (l->outbox.state == NULL || l->outbox.refused)
		return false;
	l->outbox.refused = true;
	if (l->outbox.due)
		return position == 0;
	if (!l->outbox.open) /* we had left it already */
		return true;
	if (position < l->outbox.known || position > l->outbox.sent)
		return false;
	leave_outbox(l, position);
	return true;
}

/* Its stream goes on over the socket; what we have read of it already is skipped. */
static bool resumed(struct link *l, uint64_t position)
{
	if (!l->inbox.open || position > l->inbox.got || l->inbox.got - position > l->inbox.size)
		return false;
	l->rx.skip = l->inbox.got - position;
	l->inbox.open = false;
	TRACE_TRANSPORT_CHANGE(l->pid, 1);
	return true;
}

/* Whatever it is, BELL may have been left out because of it. */
bool transport_aside(struct link *l, const struct wire_frame *f, bool beside)
{
	bool fine = beside == l->inbox.open && l->outbox.state != NULL;
	l->rung = true;
	if (!fine) {
		/* where the stream is in an outbox they are not in it */
	} else if (f->type == WIRE_BELL) {
		fine = beside || f->payload_len == 0;
		l->counts.bells_received++;
	} else if (f->type == WIRE_RIGHTS) {
		/* link_next() shows it */
	} else if (f->type == WIRE_DEMOTE) {
		fine = demoted(l, f->position);
	} else {
		fine = resumed(l, f->position);
	}
	if (!fine)
		link_fail(l, -EPROTO, "the peer sent %s out of place", wire_type_name(f->type));
	return fine;
}

/* How many bytes the frame that begins in `aside` is known to have, for now. */
static size_t aside_need(const struct link *l)
{
	struct wire_head head;
	int rc = wire_peek(l->rx.aside, l->rx.aside_len, &head);
	return rc > 0 ? head.whole : WIRE_HEADER_SIZE;
}

/* The frame that begins there: its length; 0: not all of it has come; -1: the link has failed. */
static int heard(struct link *l, const uint8_t *at, size_t len, struct wire_frame *f)
{
	struct wire_head head;
	int rc = wire_peek(at, len, &head);
	if (rc == 0 || (rc > 0 && head.whole <= OUTBOX_NOTE && head.whole > len))
		return 0;
	if (rc < 0 || head.whole > OUTBOX_NOTE || !wire_decode(at, &head, f) || f->type < WIRE_BELL ||
	    (f->type == WIRE_RIGHTS && !rights_heard(l, f))) {
		link_fail(l, -EPROTO, "the peer sent something out of place beside its outbox");
		return -1;
	}
	return transport_aside(l, f, true) ? (int)head.whole : -1;
}

/* What a BELL has with it: true if that was taken, or had been before. */
static bool heard_parcel(struct link *l, const struct wire_frame *f, bool take, size_t *taken)
{
	*taken = 0;
	if (f->type != WIRE_BELL || f->payload_len == 0)
		return false;
	int rc = inbox_hear(&l->inbox, f->position, f->payload_len, take && !l->inbox.demoted);
	if (rc == -EPROTO)
		link_fail(l, -EPROTO, "the peer rang for what can't be in its outbox");
	*taken = rc > 0 ? f->payload_len : 0;
	return rc >= 0 && !inbox_is_due(&l->inbox);
}

/*
 * Uses up what lies in scratch. What BELLs have brought of the stream is moved together, and what follows RESUME moved
 * behind it: that is what link_next() finds there.
 *
 * Where there was one BELL and nothing else, with the parcel that is next, no look need follow. What was put in after
 * that has a BELL of its own, which is yet to come. It can't be one that the socket had no room for: what fills a socket
 * does not come alone, in a read that has room for more.
 */
static bool cut_aside(struct link *l, bool take)
{
	struct link_rx *rx = &l->rx;
	const uint8_t *at = rx->at;
	size_t left = rx->left, out = 0, frames = 0, taken;
	bool parcels = true;
	if (left == 0)
		return true;
	uint8_t *to = l->shared->scratch + (at - l->shared->scratch);
	rx->left = 0;
	while (left > 0 && l->inbox.open) {
		struct wire_frame f;
		int len = heard(l, at, left, &f);
		if (len < 0)
			return false;
		if (len == 0) {
			memcpy(rx->aside, at, left);
			rx->aside_len = left;
			left = 0;
			parcels = false;
			break;
		}
		parcels = heard_parcel(l, &f, take, &taken) && parcels;
		if (l->state == LINK_DOWN)
			return false;
		if (out == 0 && taken > 0)
			to += f.payload - to; /* the first stay where they are */
		else if (taken > 0)
			memmove(to + out, f.payload, taken);
		out += taken;
		at += len;
		left -= (size_t)len;
		frames++;
	}
	size_t again = rx->skip < left ? (size_t)rx->skip : left; /* it has resumed */
	rx->skip -= again;
	if (left > again)
		memmove(to + out, at + again, left - again);
	rx->at = to;
	rx->left = out + left - again;
	l->served = take && frames == 1 && parcels;
	l->rung = l->rung && !l->served;
	return true;
}

static ssize_t recv_aside(struct link *l, void *buf, size_t len, bool waiting)
{
	return waiting ? sock_recv_waiting(l->fd, buf, len)
	               : rights_recv(l, &(struct iovec){ .iov_base = buf, .iov_len = len }, 1);
}

/* Whether scratch may have bytes of the stream now: what follows RESUME, what BELLs bring. */
static bool reads_on(const struct link *l)
{
	const struct link_rx *rx = &l->rx;
	return rx->aside_len == 0 && rx->payload == 0 && rx->stash_need == 0 && !rx->expect_data &&
	    rx->fetches == 0;
}

/* All there is, but for a storm. */
static ssize_t hear_all(struct link *l, bool waiting)
{
	ssize_t n = recv_aside(l, l->shared->scratch, HEAR_MOST, waiting);
	if (n <= 0)
		return n;
	l->rx.at = l->shared->scratch;
	l->rx.left = (size_t)n;
	return cut_aside(l, true) ? n : l->error;
}

/* No further than to the end of one frame, and none of the stream. */
static ssize_t hear_one(struct link *l, bool waiting)
{
	struct link_rx *rx = &l->rx;
	struct wire_frame f;
	size_t taken;
	ssize_t n = recv_aside(l, rx->aside + rx->aside_len, aside_need(l) - rx->aside_len, waiting);
	if (n <= 0)
		return n;
	rx->aside_len += (size_t)n;
	int len = heard(l, rx->aside, rx->aside_len, &f);
	if (len > 0) {
		rx->aside_len = 0;
		heard_parcel(l, &f, false, &taken);
	}
	return l->state != LINK_DOWN ? n : l->error;
}

void transport_begin(struct link *l)
{
	if (!agreed(l))
		return;
	if (l->inbox.size == 0 && !l->inbox.none) {
		link_fail(l, -EPROTO, "the peer did not say where its outbox is");
		return;
	}
	if (l->inbox.size == 0 || l->outbox.state == NULL)
		return;
	l->outbox.due = true;
	link_flush(l);
	inbox_begin(&l->inbox, &l->outbox.state->head);
	cut_aside(l, false); /* what came with READY, in one read */
}

ssize_t transport_hear(struct link *l, bool waiting)
{
	assert(l->inbox.open);
	l->served = false;
	return reads_on(l) ? hear_all(l, waiting) : hear_one(l, waiting);
}

/* ---- the stream ---- */

/* The outbox has a reader that can't be asked; its own word will be that it can't read, or its end. */
static bool reader_lost(struct link *l, ssize_t error)
{
	if (error == -EAGAIN || error == -EFAULT)
		return false;
	if (error == -EPROTO) {
		link_fail(l, -EPROTO, "the peer has read more of our outbox than there was");
		return false;
	}
	leave_outbox(l, l->outbox.known);
	return true;
}

ssize_t transport_put(struct link *l, struct iovec *iov, size_t count, bool ours)
{
	if (l->loop != NULL)
		return loop_write(l->loop, iov, count);
	if (l->outbox.open) {
		ssize_t n = outbox_write(&l->outbox, l->pid, iov, count, ours);
		if (n < 0)
			return reader_lost(l, n) ? -EAGAIN : n;
		if (outbox_rings(&l->outbox))
			ring_for_parcel(l);
		return n;
	}
	return count == 1 ? sock_send(l->fd, iov[0].iov_base, iov[0].iov_len) : sock_sendv(l->fd, iov, count);
}

/* What that was is for people, and for those who pull payload from the same memory. */
static void refused(struct link *l, int error)
{
	char words[LINK_WORDS];
	struct vm_result r = { .outcome = error == ESRCH ? VM_NO_PROCESS : VM_DENIED, .error = error };
	vm_read_words(words, sizeof(words), l->pid, &r);
	link_demote(l, error, words);
	give_up_inbox(l);
}

/* An error of inbox_read(). The socket may know more: RESUME, or the end. */
static ssize_t writer_lost(struct link *l, ssize_t error)
{
	if (error == -EAGAIN || error == -EFAULT)
		return error;
	ssize_t n = hear_one(l, false);
	if (n != -EAGAIN)
		return n > 0 ? -EAGAIN : n; /* what was heard is not of the stream */
	if (error == -EPROTO)
		return link_fail(l, -EPROTO, "the peer's outbox makes no sense");
	if (l->pidfd >= 0 && proc_dead(l->pidfd))
		return -EAGAIN; /* who watches it will tell */
	if (error == -ESTALE)
		return link_fail(l, -ECONNRESET, "the peer's outbox is gone: it is another program now");
	if (error == -ENOMEM) /* it may pass, but nobody would look again */
		give_up_inbox(l);
	else
		refused(l, (int)-error);
	return -EAGAIN;
}

/* What was read from the outbox already comes again. */
static ssize_t skip(struct link *l)
{
	while (l->rx.skip > 0) {
		size_t want = l->rx.skip < LINK_SCRATCH ? (size_t)l->rx.skip : LINK_SCRATCH;
		ssize_t n = sock_recv(l->fd, l->shared->scratch, want);
		if (n <= 0)
			return n;
		l->rx.skip -= (uint64_t)n;
	}
	return 1;
}

ssize_t transport_get(struct link *l, struct iovec *iov, size_t count, bool users)
{
	if (l->loop != NULL)
		return loop_read(l->loop, iov, count);
	if (l->inbox.open && l->inbox.demoted)
		return -EAGAIN; /* RESUME is to come */
	if (l->inbox.open) {
		ssize_t n = inbox_read(&l->inbox, l->pid, iov, count, users);
		l->served = false;
		l->counts.polls++;
		if (n > 0 && l->inbox.rest == 0)
			inbox_calm(&l->inbox, l->pid);
		if (n == -EAGAIN)
			l->counts.empty_polls++;
		if (inbox_rings(&l->inbox))
			ring(l);
		return n < 0 ? writer_lost(l, n) : n;
	}
	ssize_t n = skip(l);
	if (n <= 0)
		return n;
	return rights_recv(l, iov, count);
}

/* The last look before a sleep follows: link_read(). */
void link_arm(struct link *l)
{
	if (!l->inbox.open || l->inbox.demoted)
		return;
	int rc = inbox_arm(&l->inbox, l->pid);
	if (rc != 0 && rc != -ESTALE && rc != -EPROTO && !proc_dead(l->pidfd))
		give_up_inbox(l); /* those that are left out are the look's to find */
}

bool link_waits_for_socket(const struct link *l)
{
	if (l->loop != NULL)
		return false;
	return l->outbox.open ? l->tx.aside_len > 0 && l->tx.aside_waits : l->tx.blocked;
}

bool link_has_room(struct link *l)
{
	return l->outbox.open && l->tx.blocked && outbox_ask_room(&l->outbox, l->pid) != -EAGAIN;
}
