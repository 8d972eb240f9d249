/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The evil peer's outbox, and its reading of the context's. Left alone it does what is right: bytes, then their stamp,
 * then BELL if the bell is set, with the bytes if they are few; the head when a parcel was taken. The operations of ops.h make it lie.
 *
 * All of it by calls of the kernel, which do no harm where memory is gone: its own may be unmapped by an operation, and
 * the context's by its end. See evil.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#endif
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuzz/evil.h"
#include "fuzz/ops.h"

enum { PAGE = 4096, HEAD = 64, HOLE = EVIL_RING, AREA = PAGE + EVIL_RING + HOLE };

/* ---- memory ---- */

static bool poke(uint64_t at, const void *from, size_t len)
{
	struct iovec local = { .iov_base = (void *)(uintptr_t)from, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)at, .iov_len = len };
	return syscall(SYS_process_vm_writev, getpid(), &local, 1, &remote, 1, 0) == (long)len;
}

static bool peek(uint64_t at, void *to, size_t len)
{
	struct iovec local = { .iov_base = to, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)at, .iov_len = len };
	return syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0) == (long)len;
}

static uint64_t word_at(const struct evil *e, size_t offset)
{
	return (uintptr_t)e->outbox.area + offset;
}

static uint64_t ring_at(const struct evil *e)
{
	return (uintptr_t)e->outbox.area + PAGE;
}

static uint64_t extent(uint64_t len)
{
	return (WIRE_PARCEL_HEAD + len + WIRE_PARCEL_ALIGN - 1) / WIRE_PARCEL_ALIGN * WIRE_PARCEL_ALIGN;
}

/* What is claimed to be larger than it is, or has a size that can't be, is used as far as it goes. */
static uint64_t usable(const struct evil *e)
{
	uint64_t size = e->outbox.size;
	return size >= WIRE_PARCEL_ALIGN && size <= EVIL_RING ? size : EVIL_RING;
}

/* To and from a ring, over its end. */
static bool pass(bool in, uint64_t ring, uint64_t size, uint64_t at, uint8_t *bytes, size_t len)
{
	for (size_t n; len > 0; at += n, bytes += n, len -= n) {
		n = size - at % size < len ? (size_t)(size - at % size) : len;
		if (!(in ? poke(ring + at % size, bytes, n) : peek(ring + at % size, bytes, n)))
			return false;
	}
	return true;
}

struct parcel {
	uint64_t stamp, len;
};

static bool set_parcel(const struct evil *e, uint64_t len)
{
	uint64_t stamp = e->outbox.cookie + e->outbox.tail + (e->outbox.on_blank ? WIRE_STAMP_BLANK : 0);
	struct parcel p = { stamp, len };
	return pass(true, ring_at(e), usable(e), e->outbox.tail, (uint8_t *)&p, sizeof(p));
}

static void set_word(const struct evil *e, size_t offset, uint64_t value)
{
	poke(word_at(e, offset), &value, sizeof(value));
}

bool evil_outbox_is(const struct evil *e, uint64_t addr, bool writing, size_t len)
{
	const struct evil_outbox *o = &e->outbox;
	if (addr - (uintptr_t)o->area >= AREA)
		return false;
	if (writing)
		claim(addr == word_at(e, WIRE_STATE_BELL) && len == sizeof(uint64_t));
	else if (addr < ring_at(e))
		claim((addr == word_at(e, WIRE_STATE_FULL) && len == WIRE_STATE_READ) ||
		    (len == sizeof(uint64_t) && addr % sizeof(uint64_t) == 0));
	else
		claim(addr + len <= ring_at(e) + o->most);
	return true;
}

static void make_whole(const struct evil *e)
{
	claim(mprotect(e->outbox.area, PAGE + EVIL_RING, PROT_READ | PROT_WRITE) == 0);
}

void evil_outbox_init(struct evil *e)
{
	static uint8_t *area;
	if (area == NULL) {
		area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		claim(area != MAP_FAILED && mprotect(area + PAGE + EVIL_RING, HOLE, PROT_NONE) == 0);
	}
	e->outbox.area = area;
}

void evil_outbox_fini(struct evil *e)
{
	make_whole(e);
}

void evil_outbox_begin(struct evil *e)
{
	uint8_t *area = e->outbox.area;
	make_whole(e);
	memset(area, 0, PAGE);
	memset(area + PAGE, 'r', EVIL_RING);
	e->outbox = (struct evil_outbox){ .area = area, .cookie = 0xc00c1e, .most = e->outbox.most };
	set_word(e, WIRE_STATE_COOKIE, e->outbox.cookie);
}

/* ---- ours ---- */

void evil_outbox_describe(const struct evil *e, struct wire_frame *f)
{
	*f = (struct wire_frame){ .type = WIRE_OUTBOX,
		.flags = 0,
		.credit_bytes = e->credit_bytes,
		.credit_descs = e->credit_descs };
	f->outbox.ring = ring_at(e);
	f->outbox.ring_size = WIRE_RING_LEAST;
	f->outbox.state = word_at(e, 0);
	f->outbox.head = word_at(e, HEAD);
	f->outbox.cookie = e->outbox.cookie;
}

void evil_outbox_said(struct evil *e, const struct wire_frame *f)
{
	if (e->outbox.said)
		return;
	e->outbox.said = true;
	e->outbox.size = f->outbox.ring_size;
	if (e->outbox.most < e->outbox.size)
		e->outbox.most = e->outbox.size;
}

/* Whether both have one, as far as is known. */
static bool is_used(const struct evil *e)
{
	const struct evil_outbox *o = &e->outbox;
	return o->said && o->ready && o->size != 0 && o->theirs.size != 0;
}

bool evil_outbox_carries(const struct evil *e)
{
	const struct evil_outbox *o = &e->outbox;
	return o->via == EVIL_INTO || (o->via == EVIL_PROPER && is_used(e) && !o->resumed);
}

static uint64_t read_by_it(const struct evil *e)
{
	uint64_t head = 0;
	peek(e->outbox.theirs.head, &head, sizeof(head));
	return head;
}

static void ring_if_asked(struct evil *e, uint64_t position, const uint8_t *bytes, size_t len)
{
	uint64_t bell = 0;
	struct wire_frame f = { .type = WIRE_BELL };
	if (!peek(word_at(e, WIRE_STATE_BELL), &bell, sizeof(bell)) || bell == 0)
		return;
	if (len <= WIRE_BELL_LONGEST) {
		f.position = position;
		f.payload = bytes;
		f.payload_len = len;
	}
	evil_say_aside(e, &f);
}

size_t evil_outbox_put(struct evil *e, const uint8_t *at, size_t len)
{
	struct evil_outbox *o = &e->outbox;
	uint64_t size = usable(e), used = o->tail - read_by_it(e);
	uint64_t room = used + WIRE_PARCEL_ALIGN <= size ? size - used - WIRE_PARCEL_HEAD : 0;
	size_t n = len < room ? len : (size_t)room;
	if (n == 0)
		set_word(e, WIRE_STATE_FULL, o->tail);
	if (n == 0 ||
	    !pass(true, ring_at(e), size, o->tail + WIRE_PARCEL_HEAD, (uint8_t *)(uintptr_t)at, n) ||
	    !set_parcel(e, n))
		return 0;
	uint64_t position = o->tail;
	o->tail += extent(n);
	o->sent += n;
	ring_if_asked(e, position, at, n);
	return n;
}

/* What it has not taken, put together; as much as fits and can be read. */
static size_t unread(const struct evil *e, uint8_t *to, size_t room)
{
	const struct evil_outbox *o = &e->outbox;
	struct parcel p;
	size_t len = 0;
	for (uint64_t at = read_by_it(e); at < o->tail; at += extent(p.len)) {
		if (!pass(false, ring_at(e), usable(e), at, (uint8_t *)&p, sizeof(p)) ||
		    p.stamp - o->cookie - at > WIRE_STAMP_BLANK || p.len > room - len ||
		    !pass(false, ring_at(e), usable(e), at + WIRE_PARCEL_HEAD, to + len, (size_t)p.len))
			break;
		len += (size_t)p.len;
	}
	return len;
}

uint64_t evil_outbox_read_by_it(const struct evil *e)
{
	uint8_t rest[EVIL_RING];
	return e->outbox.sent - unread(e, rest, sizeof(rest));
}

/* RESUME, and what was not read. */
static void resume(struct evil *e, uint64_t lie)
{
	struct evil_outbox *o = &e->outbox;
	uint8_t rest[EVIL_RING];
	size_t len = unread(e, rest, sizeof(rest));
	struct wire_frame f = { .type = WIRE_RESUME, .position = o->sent - len + lie };
	evil_say_aside(e, &f);
	o->resumed = true;
	evil_say_first(e, rest, len);
}

/* ---- the context's ---- */

bool evil_outbox_is_theirs(const struct evil *e)
{
	return is_used(e) && e->open && !e->outbox.theirs_resumed;
}

/* It must not be anybody else's memory by now. */
static bool is_there(const struct evil *e)
{
	uint64_t cookie = 0;
	return evil_outbox_is_theirs(e) &&
	    peek(e->outbox.theirs.state + WIRE_STATE_COOKIE, &cookie, sizeof(cookie)) &&
	    cookie == e->outbox.theirs.cookie;
}

/* What goes with a BELL is what lies in the ring. */
static void hear_parcel(const struct evil *e, const struct wire_frame *f)
{
	const struct evil_outbox *o = &e->outbox;
	struct parcel p;
	uint8_t bytes[WIRE_BELL_LONGEST];
	if (o->mad || f->payload_len == 0 || f->position - o->head >= o->theirs.size || !is_there(e))
		return;
	claim(pass(false, o->theirs.ring, o->theirs.size, f->position, (uint8_t *)&p, sizeof(p)));
	claim(p.stamp - o->theirs.cookie - f->position <= WIRE_STAMP_BLANK && p.len == f->payload_len);
	claim(pass(false, o->theirs.ring, o->theirs.size, f->position + WIRE_PARCEL_HEAD, bytes,
	    f->payload_len));
	claim(memcmp(bytes, f->payload, f->payload_len) == 0);
}

static void hear_beside(struct evil *e, const struct wire_frame *f)
{
	struct evil_outbox *o = &e->outbox;
	claim(f->type == WIRE_BELL || f->type == WIRE_DEMOTE || f->type == WIRE_RESUME ||
	    f->type == WIRE_RIGHTS);
	if (f->type == WIRE_BELL)
		hear_parcel(e, f);
	if (f->type != WIRE_RESUME)
		return;
	claim(f->position <= o->taken || o->mad);
	o->theirs_resumed = true;
	o->again = f->position <= o->taken ? o->taken - f->position : 0;
}

size_t evil_outbox_beside(struct evil *e, const uint8_t *at, size_t len)
{
	struct evil_outbox *o = &e->outbox;
	struct wire_head head;
	struct wire_frame f;
	size_t used = 0;
	while (used < len) {
		o->aside[o->aside_len++] = at[used++];
		int rc = wire_peek(o->aside, o->aside_len, &head);
		claim(rc >= 0 && (rc == 0 || head.whole <= sizeof(o->aside)));
		if (rc == 0 || head.whole > o->aside_len)
			continue;
		claim(wire_decode(o->aside, &head, &f));
		o->aside_len = 0;
		hear_beside(e, &f);
		break;
	}
	return used;
}

size_t evil_outbox_take(struct evil *e, uint8_t *to, size_t len)
{
	struct evil_outbox *o = &e->outbox;
	struct parcel p;
	if (!is_there(e) || o->unread ||
	    !pass(false, o->theirs.ring, o->theirs.size, o->head, (uint8_t *)&p, sizeof(p)) ||
	    p.stamp - o->theirs.cookie - o->head > WIRE_STAMP_BLANK)
		return 0;
	if (o->mad &&
	    (p.len == 0 ||
	        extent(p.len) > o->theirs.size)) /* what it claimed to have read was written over */
		return 0;
	claim(p.len > 0 && extent(p.len) <= o->theirs.size);
	size_t n = p.len - o->into < len ? (size_t)(p.len - o->into) : len;
	if (n == 0 ||
	    !pass(false, o->theirs.ring, o->theirs.size, o->head + WIRE_PARCEL_HEAD + o->into, to, n))
		return 0;
	o->into += n;
	o->taken += n;
	if (o->into == p.len) {
		o->head += extent(p.len);
		o->into = 0;
		set_word(e, HEAD, o->head);
	}
	return n;
}

/* ---- lies ---- */

static void scribble(const struct evil *e, struct input *in)
{
	uint64_t size = usable(e), place = e->outbox.tail - input_number(in);
	for (unsigned n = input_byte(in); n > 0; n--, place++) {
		uint8_t byte = (uint8_t)input_byte(in);
		poke(ring_at(e) + place % size, &byte, 1);
	}
}

static void unmap(const struct evil *e, unsigned b)
{
	uint8_t *area = e->outbox.area;
	make_whole(e);
	if (b & 1)
		claim(mprotect(area, PAGE, PROT_NONE) == 0);
	if (b & 2)
		claim(mprotect(area, PAGE, PROT_READ) == 0);
	if (b & 4)
		claim(mprotect(area + PAGE, PAGE, PROT_NONE) == 0);
	if (b & 8)
		claim(mprotect(area + 2 * PAGE, EVIL_RING - PAGE, PROT_NONE) == 0);
}

void evil_outbox_do(struct evil *e, unsigned op, struct input *in)
{
	struct evil_outbox *o = &e->outbox;
	uint64_t n;
	switch (op) {
	case OP_VIA:
		o->via = (enum evil_via)(input_byte(in) % 3);
		break;
	case OP_PARCEL:
		set_parcel(e, input_number(in));
		break;
	case OP_FULL:
		set_word(e, WIRE_STATE_FULL, o->tail + input_number(in));
		break;
	case OP_COOKIE:
		set_word(e, WIRE_STATE_COOKIE, o->cookie + input_number(in));
		break;
	case OP_HEAD:
		n = input_number(in);
		o->mad = o->mad || n != 0;
		set_word(e, HEAD, o->head + n);
		break;
	case OP_SCRIBBLE:
		scribble(e, in);
		break;
	case OP_UNMAP:
		unmap(e, input_byte(in));
		break;
	case OP_ARM:
		n = input_byte(in);
		if (is_there(e))
			poke(o->theirs.state + WIRE_STATE_BELL, &n, sizeof(n));
		break;
	case OP_RESUME:
		resume(e, input_number(in));
		break;
	case OP_UNREAD:
		o->unread = !o->unread;
		break;
	case OP_BLANK:
		o->on_blank = !o->on_blank;
		break;
	default:
		break;
	}
}
