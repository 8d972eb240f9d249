/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames in, from wherever transport.c gets them.
 *
 * One read fills the scratch buffer that all links of a context share; link_next() cuts it into frames.
 * A frame of which only the beginning came is kept in a stash of its own length and completed by the next
 * read. Where DATA is expected, no more than a DATA header is read at a time: so its payload is always read
 * straight into the user's memory, by the kernel, which copies it once and says so if it can't.
 *
 * What can fail: anything that isn't a frame, or a frame out of its turn, ends the link with -EPROTO. The
 * user's memory can't be written: -EFAULT, and the caller sinks the payload. The peer's end: a read of 0.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link/identity.h"
#include "link/link.h"
#include "link/rights.h"
#include "link/transport.h"
#include "os/sock.h"

enum {
	SHORT = 4096, /* nobody describes what is no longer, but for want of credit */
	NEXT_HEAD = WIRE_HEADER_SIZE + WIRE_DATA_SIZE,
	IOVS = 64,
};

/* ---- reading ---- */

static ssize_t read_known(struct link *l, void *buf, size_t len)
{
	if (l->state == LINK_OPEN)
		return transport_get(l, &(struct iovec){ .iov_base = buf, .iov_len = len }, 1, false);
	struct sock_creds creds;
	ssize_t n = sock_recv_creds(l->fd, buf, len, &creds);
	if (n > 0 && identity_check(l, &creds) != 0)
		return l->error;
	return n;
}

/* Where a frame already begun, or a payload, continues; then scratch. */
static ssize_t read_more(struct link *l)
{
	struct iovec iov[IOVS + 1];
	size_t count;
	uint64_t first;
	if (l->rx.payload > 0) {
		count = iov_cursor_window(&l->rx.into, iov, IOVS, UINT64_MAX, &first);
	} else {
		first = l->rx.stash_need - l->rx.stash_len;
		iov[0] = (struct iovec){ .iov_base = l->rx.stash + l->rx.stash_len, .iov_len = first };
		count = 1;
	}
	/* Behind a payload: one DATA header, no more. Behind the rest of a frame: nothing where DATA may follow. */
	if (l->rx.payload > 0 ? first == l->rx.payload : !l->rx.expect_data)
		iov[count++] = (struct iovec){ .iov_base = l->shared->scratch,
			.iov_len = l->rx.expect_data ? NEXT_HEAD : LINK_SCRATCH };
	ssize_t n = transport_get(l, iov, count, l->rx.payload > 0);
	if (n <= 0)
		return n;
	uint64_t mine = (uint64_t)n < first ? (uint64_t)n : first;
	if (l->rx.payload > 0) {
		iov_cursor_advance(&l->rx.into, mine);
		l->rx.payload -= mine;
		if (l->rx.payload == 0)
			l->rx.ended_payload = true;
	} else {
		l->rx.stash_len += mine;
	}
	l->rx.at = l->shared->scratch;
	l->rx.left = (size_t)n - mine;
	return n;
}

/* What a read means for the link. */
static ssize_t took(struct link *l, ssize_t n)
{
	if (n >= 0 || n == -EAGAIN || l->state == LINK_DOWN)
		return n;
	if (n == -EINTR)
		return -EAGAIN;
	/* ECONNRESET: the peer ended with bytes of ours unread; all of its own have been read. */
	return n == -ECONNRESET ? 0
	                        : link_fail(l, (int)n, "cannot read from the peer: %s", strerror((int)-n));
}

/* How much to read into scratch: what is to be sunk, or no more than one header where DATA is expected. */
static size_t appetite(const struct link *l)
{
	if (l->rx.payload > 0)
		return l->rx.payload < LINK_SCRATCH ? (size_t)l->rx.payload : LINK_SCRATCH;
	return l->rx.expect_data ? NEXT_HEAD : LINK_SCRATCH;
}

ssize_t link_doze(struct link *l)
{
	assert(l->rx.left == 0);
	if (l->state != LINK_OPEN || l->rx.payload > 0 || l->rx.stash_need > 0 || l->rx.expect_data ||
	    l->tx.blocked || l->loop != NULL || l->rx.skip > 0 || l->rx.fetches > 0)
		return -EAGAIN;
	if (link_polls(l))
		return took(l, transport_hear(l, true));
	ssize_t n = sock_recv_waiting(l->fd, l->shared->scratch, LINK_SCRATCH);
	l->rx.at = l->shared->scratch;
	l->rx.left = n > 0 ? (size_t)n : 0;
	return took(l, n);
}

ssize_t link_hear(struct link *l)
{
	assert(l->rx.left == 0);
	if (l->state == LINK_DOWN)
		return l->error;
	return took(l, transport_hear(l, false));
}

ssize_t link_read(struct link *l)
{
	assert(l->rx.left == 0);
	if (l->state == LINK_DOWN)
		return l->error;
	ssize_t n;
	bool into_user = l->rx.payload > 0 && !l->rx.sink;
	if (l->rx.payload > 0 && l->rx.sink) {
		n = read_known(l, l->shared->scratch, appetite(l));
		l->rx.at = l->shared->scratch;
		l->rx.left = n > 0 ? (size_t)n : 0;
	} else if (into_user || (l->rx.stash_need > 0 && l->state == LINK_OPEN)) {
		n = read_more(l);
	} else if (l->rx.stash_need > 0) { /* handshake: credentials matter more than copies */
		n = read_known(l, l->rx.stash + l->rx.stash_len, l->rx.stash_need - l->rx.stash_len);
		if (n > 0)
			l->rx.stash_len += (size_t)n;
	} else {
		n = read_known(l, l->shared->scratch, appetite(l));
		l->rx.at = l->shared->scratch;
		l->rx.left = n > 0 ? (size_t)n : 0;
	}
	return n == -EFAULT && into_user ? n : took(l, n);
}

/* ---- cutting ---- */

/* Keeps what is left for the next read, as the beginning of a frame of `need` bytes. */
static bool stash(struct link *l, size_t need)
{
	if (l->rx.stash_size < need) {
		uint8_t *bigger = realloc(l->rx.stash, need);
		if (bigger == NULL) {
			link_fail(l, -ENOMEM, "no memory for the rest of a frame");
			return false;
		}
		l->rx.stash = bigger;
		l->rx.stash_size = need;
	}
	l->rx.stash_need = need;
	if (l->rx.left > 0) {
		memcpy(l->rx.stash + l->rx.stash_len, l->rx.at, l->rx.left);
		l->rx.stash_len += l->rx.left;
		l->rx.left = 0;
	}
	return true;
}

/* The frame of the last call lay there. */
static void drop_used_stash(struct link *l)
{
	if (!l->rx.stash_used)
		return;
	l->rx.stash_used = false;
	free(l->rx.stash);
	l->rx.stash = NULL;
	l->rx.stash_size = l->rx.stash_len = l->rx.stash_need = 0;
}

/* Looks at the first bytes of a frame or of HELLO: how many bytes must there be to decode it? 0: not enough
 * to say, -1: not one of ours. */
static int needed(struct link *l, const uint8_t *at, size_t len, struct wire_head *head)
{
	if (l->state == LINK_HELLO) {
		int n = wire_hello_peek(at, len);
		head->whole = head->decoding = n > 0 ? (size_t)n : 0;
		return n;
	}
	int rc = wire_peek(at, len, head);
	return rc == 1 ? (int)head->decoding : rc;
}

/* Finds the next whole frame, in the stash, once it is complete, or in scratch: 1 and *at, *head. 0: not yet,
 * -1: no frame. */
static int cut(struct link *l, const uint8_t **at, struct wire_head *head)
{
	if (l->rx.stash_need > 0) {
		if (l->rx.stash_len < l->rx.stash_need)
			return 0;
		int need = needed(l, l->rx.stash, l->rx.stash_len, head);
		if (need < 0)
			return -1;
		if ((size_t)need > l->rx.stash_len) { /* only now do we know its length */
			size_t more = (size_t)need - l->rx.stash_len,
			       have = l->rx.left < more ? l->rx.left : more;
			size_t beyond = l->rx.left - have;
			const uint8_t *next = l->rx.at + have;
			l->rx.left = have;
			if (!stash(l, (size_t)need))
				return -1;
			l->rx.at = next;
			l->rx.left = beyond;
			if (have < more)
				return 0;
		}
		*at = l->rx.stash;
		return 1;
	}
	if (l->rx.left == 0)
		return 0;
	int need = needed(l, l->rx.at, l->rx.left, head);
	if (need < 0)
		return -1;
	if (need == 0 || (size_t)need > l->rx.left)
		return stash(l, need == 0 ? WIRE_HEADER_SIZE : (size_t)need) ? 0 : -1;
	*at = l->rx.at;
	l->rx.at += need;
	l->rx.left -= (size_t)need;
	return 1;
}

/* ---- payload ---- */

void link_payload_into(struct link *l, const struct iov_cursor *into)
{
	assert(into->left == l->rx.payload);
	l->rx.into = *into;
	l->rx.sink = false;
}

void link_payload_sink(struct link *l)
{
	l->rx.sink = true;
	l->rx.into.left = 0;
}

/* Moves payload that was read into scratch to where it belongs. True when all of it has come. */
static bool settle_payload(struct link *l)
{
	size_t n = l->rx.left < l->rx.payload ? l->rx.left : (size_t)l->rx.payload;
	if (!l->rx.sink && n > 0)
		iov_cursor_put(&l->rx.into, l->rx.at, n);
	l->rx.at += n;
	l->rx.left -= n;
	l->rx.payload -= n;
	return l->rx.payload == 0;
}

/* ---- next ---- */

static bool take_header(struct link *l, const struct wire_frame *f)
{
	l->counts.polled_frames += link_polls(l);
	if (credit_out_update(&l->out_bytes, f->credit_bytes) &&
	    credit_out_update(&l->out_descs, f->credit_descs))
		return true;
	link_fail(l, -EPROTO, "the peer granted more credit than it may");
	return false;
}

/* Inline: it is on the way of every message. */
static inline enum link_event arrived(struct link *l, struct wire_frame *f)
{
	bool within = true;
	if (f->type == WIRE_EAGER)
		within = credit_in_arrive(&l->in_bytes, &l->shared->pool,
		    (uint32_t)f->payload_len + WIRE_EAGER_OVERHEAD);
	else if (f->type == WIRE_DESC || f->type == WIRE_FLUSH)
		within = credit_in_arrive(&l->in_descs, &l->shared->pool, 1);
	/* So short that it would have been sent eagerly: surely, or perhaps. */
	if (within && f->type == WIRE_DESC && (f->flags & WIRE_FLAG_FDS) == 0 &&
	    f->desc.len <= WIRE_EAGER_LONGEST)
		credit_in_missed(&l->in_bytes, &l->shared->pool, (uint32_t)f->desc.len + WIRE_EAGER_OVERHEAD,
		    f->desc.len <= SHORT);
	if (!within) {
		link_fail(l, -EPROTO, "the peer sent more than it was granted");
		return LINK_FAILED;
	}
	if (f->type == WIRE_DATA) {
		l->rx.payload = f->payload_len;
		l->rx.ended_payload = f->payload_len == 0;
		l->rx.sink = true; /* unless link_payload_into() follows */
	}
	l->rx.rights_shown = f->type == WIRE_RIGHTS;
	return LINK_FRAME;
}

static enum link_event bad(struct link *l)
{
	if (l->state != LINK_DOWN) {
		if (l->state == LINK_HELLO)
			link_fail(l, -EPROTO, "the peer does not speak the haul protocol");
		else
			link_fail(l, -EPROTO, "the peer sent something that is not a frame");
	}
	return LINK_FAILED;
}

/* Whether a frame may begin at rx.at, with nothing to be done before. */
static bool between_frames(const struct link *l)
{
	return l->state == LINK_OPEN && l->rx.payload == 0 && !l->rx.ended_payload && l->rx.stash_need == 0 &&
	    !l->rx.rights_due && !l->rx.rights_shown;
}

enum link_event link_next(struct link *l, struct wire_frame *f)
{
	/* The same as below, for most frames. */
	size_t whole = between_frames(l) ? wire_decode_eager(l->rx.at, l->rx.left, f) : 0;
	if (whole > 0) {
		l->rx.at += whole;
		l->rx.left -= whole;
		return take_header(l, f) ? arrived(l, f) : LINK_FAILED;
	}
	drop_used_stash(l);
	if (l->rx.rights_shown)
		rights_drop(l);
	l->rx.rights_shown = l->state != LINK_DOWN && rights_next(l, f);
	if (l->rx.rights_shown)
		return LINK_FRAME;
	if (l->rx.payload > 0 && settle_payload(l))
		l->rx.ended_payload = true;
	if (l->rx.ended_payload) {
		l->rx.ended_payload = false;
		return LINK_PAYLOAD_END;
	}
	if (l->rx.payload > 0)
		return LINK_NOTHING;
	while (l->state != LINK_DOWN) {
		drop_used_stash(l);
		const uint8_t *at;
		struct wire_head head;
		int rc = cut(l, &at, &head);
		if (rc == 0)
			return LINK_NOTHING;
		if (rc < 0)
			return bad(l);
		l->rx.stash_used = at == l->rx.stash;
		if (l->state == LINK_HELLO) {
			struct wire_hello hello;
			if (!wire_hello_decode(at, head.decoding, &hello))
				return bad(l);
			handshake_hello(l, &hello);
			continue;
		}
		if (!wire_decode(at, &head, f))
			return bad(l);
		if (!take_header(l, f))
			return LINK_FAILED;
		if (l->state != LINK_OPEN) {
			enum link_event e = handshake_frame(l, f);
			if (e != LINK_NOTHING)
				return e;
			continue;
		}
		if (f->type >= WIRE_BELL && f->type <= WIRE_RESUME) {
			if (!transport_aside(l, f, false))
				return LINK_FAILED;
			continue;
		}
		if (f->type == WIRE_VERDICT)
			return handshake_verdict_again(l, f);
		if (f->type < WIRE_EAGER) {
			link_fail(l, -EPROTO, "the peer sent %s again", wire_type_name(f->type));
			return LINK_FAILED;
		}
		if (f->type == WIRE_CREDIT)
			continue;
		return arrived(l, f);
	}
	return LINK_FAILED;
}
