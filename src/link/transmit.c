/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames out, to wherever transport.c takes them.
 *
 * Small frames gather in an output buffer and go with one send(2) at the flush. A large EAGER payload goes
 * straight from the user's memory by the same sendmsg(2) as what has gathered and its own header; what the
 * kernel does not take of it is copied to the buffer, so no user memory is held. A DATA chunk goes by a call
 * of its own: behind a header in the same buffer of the kernel its pages would lie askew, and both copies
 * take a tenth longer (measured: 8.0 against 8.9 GB/s). What the kernel does not take stays where it is,
 * and goes first next time. From then on the link is blocked and takes no more frames until the rest is
 * out: whoever has something to say keeps it.
 *
 * What can fail: the peer no longer reads (EPIPE, ECONNRESET): sending then succeeds into nothing, because
 * its last frames may still be there to be read and reading will tell the end. Or the user's memory can't
 * be read (EFAULT): filler takes its place, as the header has promised so many bytes; tx.fault tells.
 */
#include "link/transmit.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "link/transport.h"
#include "os/sock.h"
#include "os/vm.h"

enum {
	/* Payload up to here is copied and gathered; longer ones are sent from where they lie. (With 16 of 4 KiB under way
	 * that is 1.5 to 1.9 times as much as each by a call: haul perf, bandwidth. But a bad pointer is the caller's crash.) */
	COPY_MOST = 4096,
	GATHER_MOST = 32768, /* flush by itself when so much has gathered */
	OUT_ROOM = GATHER_MOST + 2 * (WIRE_FRAME_ROOM + WIRE_EAGER_LONGEST),
	SPARES = 4,
	IOVS = 64, /* per sendmsg */
	SEND_BUFFER = 4 << 20,
};

struct link_buffer {
	struct link_buffer *next; /* among spares */
	uint8_t bytes[OUT_ROOM];
};

/* ---- output buffers: an idle link has none ---- */

static bool need_buffer(struct link *l)
{
	if (l->tx.out != NULL)
		return true;
	struct link_buffer *b = l->shared->spare;
	if (b != NULL) {
		l->shared->spare = b->next;
		l->shared->spare_count--;
	} else if ((b = malloc(sizeof(*b))) == NULL) {
		l->tx.lacking = true;
		return false;
	}
	l->tx.out = b;
	l->tx.head = l->tx.tail = 0;
	return true;
}

static void drop_buffer(struct link *l)
{
	struct link_buffer *b = l->tx.out;
	l->tx.out = NULL;
	l->tx.head = l->tx.tail = 0;
	if (b == NULL)
		return;
	if (l->shared->spare_count >= SPARES) {
		free(b);
		return;
	}
	b->next = l->shared->spare;
	l->shared->spare = b;
	l->shared->spare_count++;
}

static void drop_again(struct link *l)
{
	free(l->tx.again);
	l->tx.again = NULL;
}

void transmit_fini(struct link *l)
{
	drop_again(l);
	drop_buffer(l);
}

void transmit_drop_spares(struct link_shared *s)
{
	while (s->spare != NULL) {
		struct link_buffer *b = s->spare;
		s->spare = b->next;
		free(b);
	}
	s->spare_count = 0;
}

static size_t gathered(const struct link *l)
{
	return l->tx.tail - l->tx.head;
}

static bool in_chunk(const struct link *l)
{
	return l->tx.rest.left > 0 || l->tx.filler > 0;
}

/* What lay in an outbox when it was left, and RESUME before it. */
static bool resends(const struct link *l)
{
	return l->tx.resend.left > 0 || outbox_has_next(&l->outbox);
}

/* Whether something is under way that no other frame may pass, besides what has gathered. */
static bool resting(const struct link *l)
{
	return in_chunk(l) || resends(l) || l->outbox.due;
}

/* The peer no longer reads: what there is to say is never written. */
static void give_up(struct link *l)
{
	l->tx.dead = true;
	l->tx.resend.left = 0;
	l->outbox.again = l->outbox.tail;
	drop_again(l);
	l->tx.rest.left = 0;
	l->tx.filler = 0;
	l->tx.blocked = false;
	drop_buffer(l);
}

/* ---- writing ---- */

/* At most count iovecs in one go. Returns bytes taken; 0 and blocked when there is no room; -EFAULT when user
 * memory (not `ours`) can't be read. */
static ssize_t offer(struct link *l, struct iovec *iov, size_t count, bool ours)
{
	ssize_t n = transport_put(l, iov, count, ours);
	if (n >= 0) {
		l->tx.written += (uint64_t)n;
		return n;
	}
	if (n == -EAGAIN || n == -ENOBUFS || n == -ENOMEM || n == -EINTR) {
		l->tx.blocked = true;
		l->tx.lacking = n == -ENOBUFS || n == -ENOMEM; /* there may be room, and EPOLLOUT for ever */
		return 0;
	}
	if (n == -EFAULT)
		return n;
	if (l->state == LINK_DOWN) {
		l->tx.blocked = true;
		return 0;
	}
	give_up(l);
	return 0;
}

/* The first n bytes that had gathered are with the kernel. */
static void consume(struct link *l, size_t n)
{
	l->tx.head += n;
	assert(l->tx.head <= l->tx.tail);
	if (l->tx.head == l->tx.tail)
		l->tx.head = l->tx.tail = 0;
}

static void flush_gathered(struct link *l)
{
	while (gathered(l) > 0 && !l->tx.blocked && !l->tx.dead) {
		struct iovec iov = { .iov_base = l->tx.out->bytes + l->tx.head, .iov_len = gathered(l) };
		ssize_t n = offer(l, &iov, 1, true);
		assert(n >= 0); /* our own memory can be read */
		if (n > 0)
			consume(l, (size_t)n);
	}
}

/* The next of it: as many parcels as a buffer holds, for the kernel counts more than their bytes for each
 * send; one by one without memory. */
static void next_resend(struct link *l)
{
	struct link_tx *tx = &l->tx;
	uint64_t len = 0;
	if (tx->again == NULL)
		tx->again = malloc(sizeof(*tx->again));
	if (tx->again == NULL) {
		size_t pieces = outbox_next(&l->outbox, tx->resend_iov);
		iov_total(tx->resend_iov, pieces, &len);
		iov_cursor_init(&tx->resend, tx->resend_iov, pieces, len);
		return;
	}
	while (outbox_has_next(&l->outbox) && len + OUTBOX_PARCEL_MOST <= OUT_ROOM) {
		struct iovec iov[2];
		size_t pieces = outbox_next(&l->outbox, iov);
		for (size_t i = 0; i < pieces; i++) {
			memcpy(tx->again->bytes + len, iov[i].iov_base, iov[i].iov_len);
			len += iov[i].iov_len;
		}
	}
	tx->resend_iov[0] = (struct iovec){ .iov_base = tx->again->bytes, .iov_len = (size_t)len };
	iov_cursor_init(&tx->resend, tx->resend_iov, 1, len);
}

static void flush_resend(struct link *l)
{
	while (resends(l) && !l->tx.blocked && !l->tx.dead) {
		struct iovec iov[2];
		uint64_t len;
		if (l->tx.resend.left == 0)
			next_resend(l);
		size_t count = iov_cursor_window(&l->tx.resend, iov, 2, UINT64_MAX, &len);
		ssize_t n = offer(l, iov, count, true);
		if (n > 0)
			iov_cursor_advance(&l->tx.resend, (uint64_t)n);
	}
	if (!resends(l))
		drop_again(l);
}

static void flush_rest(struct link *l)
{
	static const uint8_t nothing[4096];
	while (in_chunk(l) && !l->tx.blocked && !l->tx.dead) {
		struct iovec iov[IOVS];
		size_t count;
		uint64_t len;
		if (l->tx.filler > 0) {
			len = l->tx.filler < sizeof(nothing) ? l->tx.filler : sizeof(nothing);
			iov[0] = (struct iovec){ .iov_base = (void *)nothing, .iov_len = len };
			count = 1;
		} else {
			count = iov_cursor_window(&l->tx.rest, iov, IOVS, UINT64_MAX, &len);
		}
		ssize_t n = offer(l, iov, count, l->tx.filler > 0);
		if (n == -EFAULT) {
			l->tx.fault = true;
			link_send_abandon(l);
		} else if (l->tx.filler > 0) {
			l->tx.filler -= (uint64_t)n;
		} else if (n > 0) {
			iov_cursor_advance(&l->tx.rest, (uint64_t)n);
		}
	}
}

void link_flush(struct link *l)
{
	if (l->tx.dead)
		return;
	l->tx.blocked = false;
	flush_resend(l);
	if (!resends(l))
		flush_gathered(l);
	if (l->outbox.due && gathered(l) == 0) {
		transport_flushed(l);
		flush_resend(l);
	}
	if (!resends(l) && gathered(l) == 0)
		flush_rest(l);
	if (gathered(l) == 0 && !l->tx.dead)
		drop_buffer(l);
}

bool link_send_holds(const struct link *l)
{
	return l->tx.rest.left > 0;
}

void link_send_abandon(struct link *l)
{
	l->tx.filler += l->tx.rest.left;
	l->tx.rest.left = 0;
}

/* ---- sending ---- */

/* Accepted, and never written: nobody reads it. What was written before may have been read. */
static enum link_sent lose(struct link *l)
{
	l->tx.queued++;
	return LINK_TAKEN;
}

/* What follows is inline where it is on the way of every message. */

/* Adds bytes to what has gathered, where there is room: see OUT_ROOM. */
static inline void append(struct link *l, const void *bytes, size_t len)
{
	if (l->tx.tail + len > OUT_ROOM) {
		memmove(l->tx.out->bytes, l->tx.out->bytes + l->tx.head, gathered(l));
		l->tx.tail -= l->tx.head;
		l->tx.head = 0;
	}
	assert(l->tx.tail + len <= OUT_ROOM);
	memcpy(l->tx.out->bytes + l->tx.tail, bytes, len);
	l->tx.tail += len;
}

static inline void append_payload(struct link *l, const struct iov_cursor *payload)
{
	const struct iovec *iov = payload->iov;
	size_t skip = payload->skip;
	for (uint64_t left = payload->left; left > 0; iov++, skip = 0) {
		uint64_t n = iov->iov_len - skip < left ? iov->iov_len - skip : left;
		if (n > 0) /* else it may name nothing */
			append(l, (const uint8_t *)iov->iov_base + skip, n);
		left -= n;
	}
}

void link_put_bytes(struct link *l, const void *bytes, size_t len)
{
	if (l->tx.dead)
		return;
	if (!need_buffer(l)) {
		link_fail(l, -ENOMEM, "no memory for an output buffer");
		return;
	}
	append(l, bytes, len);
	l->tx.queued += len;
}

inline size_t transmit_encode(struct link *l, struct wire_frame *f, uint8_t *buf, size_t size)
{
	f->credit_bytes = credit_in_tell(&l->in_bytes);
	f->credit_descs = credit_in_tell(&l->in_descs);
	size_t n = wire_encode(f, buf, size);
	assert(n > 0);
	return n;
}

inline void link_put(struct link *l, struct wire_frame *f)
{
	uint8_t head[WIRE_FRAME_ROOM];
	if (l->tx.out != NULL && OUT_ROOM - l->tx.tail >= WIRE_FRAME_ROOM) { /* nearly always: straight in */
		size_t n = transmit_encode(l, f, l->tx.out->bytes + l->tx.tail, WIRE_FRAME_ROOM);
		l->tx.tail += n;
		l->tx.queued += n;
		return;
	}
	size_t n = transmit_encode(l, f, head, sizeof(head));
	link_put_bytes(l, head, n);
}

/*
 * An EAGER frame too long for the kernel to take or leave as a whole: were its end unreadable, the beginning
 * could be gone by then, and the header has promised so many bytes. So all of it is copied first, by the
 * kernel, which says if it can't.
 */
static enum link_sent send_staged(struct link *l, struct wire_frame *f, const struct iov_cursor *payload)
{
	flush_gathered(l);
	if (l->tx.dead)
		return lose(l);
	if (gathered(l) > 0 || !need_buffer(l))
		return LINK_NOT_NOW;
	size_t len = payload->left, head_len = transmit_encode(l, f, l->tx.out->bytes, WIRE_FRAME_ROOM);
	uint8_t *room = l->tx.out->bytes + head_len;
	struct iov_cursor from = *payload;
	/* As a write to ourselves: the side that is written is the one that has to be pinned. */
	enum vm_outcome outcome = vm_write_here(&from, room, len).outcome;
	if (outcome == VM_BAD_LOCAL)
		return LINK_UNREADABLE;
	if (outcome != VM_MOVED) { /* not allowed, even to ourselves */
		from = *payload;
		iov_cursor_get(&from, room, len);
	}
	l->tx.tail = head_len + len;
	l->tx.queued += head_len + len;
	flush_gathered(l);
	return LINK_TAKEN;
}

/* An EAGER frame: header and payload with what has gathered, in one call. */
static enum link_sent send_eager(struct link *l, struct wire_frame *f, const struct iov_cursor *payload)
{
	uint8_t head[WIRE_HEADER_SIZE + WIRE_EAGER_SIZE];
	struct iovec iov[IOVS];
	size_t before = gathered(l), head_len = transmit_encode(l, f, head, sizeof(head)), count = 0;
	uint64_t window;

	if (before > 0)
		iov[count++] = (struct iovec){ .iov_base = l->tx.out->bytes + l->tx.head, .iov_len = before };
	iov[count++] = (struct iovec){ .iov_base = head, .iov_len = head_len };
	count += iov_cursor_window(payload, iov + count, IOVS - count, UINT64_MAX, &window);
	ssize_t n = offer(l, iov, count, false);
	if (l->tx.dead)
		return lose(l);
	if (n == -EFAULT) /* and then nothing was taken: the bad memory is near the front */
		return LINK_UNREADABLE;
	size_t taken = (size_t)n;
	consume(l, taken < before ? taken : before);
	if (taken <= before)
		return LINK_NOT_NOW;
	taken -= before;
	l->tx.queued += head_len + payload->left;

	/* From here on the frame is under way; what the kernel left must follow. */
	struct iov_cursor rest = *payload;
	if (taken < head_len)
		append(l, head + taken, head_len - taken);
	else
		iov_cursor_advance(&rest, taken - head_len);
	append_payload(l, &rest); /* readable: the kernel stopped for want of room */
	return LINK_TAKEN;
}

/* A DATA frame: the header gathers, the payload follows it as the rest. */
static enum link_sent send_data(struct link *l, struct wire_frame *f, const struct iov_cursor *payload)
{
	if (!l->tx.grown && l->loop == NULL)
		sock_grow_send_buffer(l->fd, SEND_BUFFER);
	l->tx.grown = true;
	link_put(l, f);
	l->tx.queued += payload->left;
	l->tx.rest = *payload;
	flush_gathered(l);
	if (gathered(l) == 0)
		flush_rest(l);
	return LINK_TAKEN;
}

/* Whether one sendmsg takes it all, or nothing: few enough buffers, in few enough bytes. */
static bool goes_whole(const struct link *l, const struct iov_cursor *payload)
{
	return !l->outbox.open && payload->count <= IOVS - 2 &&
	    gathered(l) + payload->left + WIRE_FRAME_ROOM <= l->tx.whole;
}

/* Most frames: copied behind what has gathered. */
static enum link_sent gather(struct link *l, struct wire_frame *f, const struct iov_cursor *payload)
{
	size_t len = f->payload_len;
	if (gathered(l) + len + WIRE_FRAME_ROOM > GATHER_MOST) {
		flush_gathered(l);
		if (l->tx.blocked || !need_buffer(l))
			return LINK_NOT_NOW;
	}
	link_put(l, f);
	if (len > 0) {
		append_payload(l, payload);
		l->tx.queued += len;
	}
	return LINK_TAKEN;
}

static enum link_sent try_send(struct link *l, struct wire_frame *f, const struct iov_cursor *payload)
{
	if (l->tx.blocked || resting(l) || !need_buffer(l))
		return LINK_NOT_NOW;
	if (f->type == WIRE_DATA && f->payload_len > 0)
		return send_data(l, f, payload);
	if (f->payload_len <= COPY_MOST)
		return gather(l, f, payload);
	return goes_whole(l, payload) ? send_eager(l, f, payload) : send_staged(l, f, payload);
}

bool link_gathers(const struct link *l, uint64_t len)
{
	return len <= COPY_MOST && (l->tx.out != NULL || l->shared->spare != NULL);
}

bool transmit_make_way(struct link *l)
{
	if (!l->tx.blocked && !resting(l))
		flush_gathered(l);
	bool free = !l->tx.blocked && !resting(l) && !l->tx.dead;
	l->tx.refused = l->tx.refused || !free;
	return free;
}

void transmit_went(struct link *l, const uint8_t *bytes, size_t len, size_t taken)
{
	l->tx.queued += taken;
	l->tx.written += taken;
	if (taken < len)
		link_put_bytes(l, bytes + taken, len - taken);
}

enum link_sent link_send(struct link *l, struct wire_frame *f, const struct iov_cursor *payload)
{
	if (l->tx.dead)
		return lose(l);
	enum link_sent sent = try_send(l, f, payload);
	if (sent == LINK_NOT_NOW)
		l->tx.refused = true;
	else if (sent == LINK_TAKEN && f->type == WIRE_EAGER)
		credit_out_spend(&l->out_bytes, (uint32_t)f->payload_len + WIRE_EAGER_OVERHEAD);
	else if (f->type == WIRE_DESC || f->type == WIRE_FLUSH)
		credit_out_spend(&l->out_descs, 1);
	return sent;
}
