/* SPDX-License-Identifier: BSD-3-Clause */
/* The peer that a fuzzer plays: its socket, its handshake, what it hears. See evil.h; evil_frame.c has what it says. */
#include "fuzz/evil.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HEARD = WIRE_HEADER_SIZE + WIRE_EAGER_SIZE + WIRE_EAGER_LONGEST, PATIENCE = 64, MOST_FDS = 16 };

static uint8_t *arena;

/* ---- making ---- */

/* Mapped once: an address in a corpus, or in a crash to be looked at, should mean the same in every run. */
static uint8_t *map_arena(void)
{
	if (arena != NULL)
		return arena;
	arena = mmap(NULL, 2 * EVIL_ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	claim(arena != MAP_FAILED && mprotect(arena + EVIL_ARENA, EVIL_ARENA, PROT_NONE) == 0);
	return arena;
}

void evil_init(struct evil *e, struct haul *h)
{
	static uint64_t cells[EVIL_CELLS];
	static struct wire_range list[EVIL_LIST];
	*e = (struct evil){ .fd = -1, .haul = h, .arena = map_arena(), .cells = cells, .list = list };
	e->pending = malloc(EVIL_PENDING);
	e->heard = malloc(HEARD);
	claim(e->pending != NULL && e->heard != NULL);
	evil_outbox_init(e);
	evil_is(e);
	memset(e->arena, 'e', EVIL_ARENA);
	for (size_t i = 0; i < EVIL_CELLS; i++)
		cells[i] = i + 1; /* the cookies */
	for (size_t i = 0; i < EVIL_LIST; i++)
		list[i] = (struct wire_range){ .addr = (uintptr_t)e->arena + i, .len = 1 };
}

void evil_fini(struct evil *e)
{
	evil_hang_up(e);
	evil_refuse(0, 0);
	evil_is(NULL);
	evil_outbox_fini(e);
	free(e->pending);
	free(e->heard);
}

void evil_hang_up(struct evil *e)
{
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
	e->open = false;
}

int evil_pair(struct evil *e)
{
	int pair[2];
	evil_hang_up(e);
	claim(haul_pair(pair) == 0);
	e->fd = pair[1];
	e->hold = e->deaf = false;
	e->pending_len = e->heard_len = e->skip = e->fds = e->next_theirs = 0;
	memset(e->ours, 0, sizeof(e->ours));
	memset(e->theirs, 0, sizeof(e->theirs));
	evil_outbox_begin(e);
	return pair[0];
}

void evil_progress(struct evil *e, unsigned rounds)
{
	while (rounds-- > 0 && haul_progress(e->haul) > 0)
		;
	if (!e->deaf)
		evil_hear(e);
}

/* ---- saying ---- */

/* -1: no more can be said; 0: no room. */
static ssize_t write_some(struct evil *e, const uint8_t *at, size_t len)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(MOST_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)at, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (e->fds > 0) {
		size_t size = (e->fds < MOST_FDS ? e->fds : MOST_FDS) * sizeof(int);
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(size);
		*CMSG_FIRSTHDR(&msg) = (struct cmsghdr){ .cmsg_len = CMSG_LEN(size),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS };
		for (size_t i = 0; i < size; i += sizeof(int))
			memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)) + i, &e->fd, sizeof(int));
	}
	ssize_t n = sendmsg(e->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		e->fds = 0;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

void evil_write(struct evil *e, size_t len, bool one_by_one)
{
	size_t done = 0;
	if (len > e->pending_len)
		len = e->pending_len;
	for (int tries = 0; done < len && e->fd >= 0 && tries < PATIENCE;) {
		size_t most = one_by_one ? 1 : len - done;
		ssize_t n = evil_outbox_carries(e) ? (ssize_t)evil_outbox_put(e, e->pending + done, most)
		                                   : write_some(e, e->pending + done, most);
		if (n < 0) { /* it hung up on us */
			done = len;
			break;
		}
		tries += n == 0;
		done += (size_t)n;
		if (n == 0 || one_by_one)
			evil_progress(e, 2);
	}
	memmove(e->pending, e->pending + done, e->pending_len - done);
	e->pending_len -= done;
}

void evil_say(struct evil *e, const void *bytes, size_t len)
{
	if (e->fd < 0 || len > EVIL_PENDING - e->pending_len || e->said > EVIL_MOST)
		return;
	if (len > 0)
		memcpy(e->pending + e->pending_len, bytes, len);
	e->pending_len += len;
	e->said += len;
	if (!e->hold)
		evil_write(e, e->pending_len, false);
}

void evil_say_first(struct evil *e, const void *bytes, size_t len)
{
	if (e->fd < 0 || len > EVIL_PENDING - e->pending_len)
		return;
	memmove(e->pending + len, e->pending, e->pending_len);
	memcpy(e->pending, bytes, len);
	e->pending_len += len;
	evil_say(e, NULL, 0);
}

void evil_say_aside(struct evil *e, struct wire_frame *f)
{
	uint8_t bytes[WIRE_BELL_ROOM];
	size_t len = wire_encode(f, bytes, sizeof(bytes));
	if (f->payload_len > 0)
		memcpy(bytes + len, f->payload, f->payload_len);
	if (e->fd >= 0)
		write_some(e, bytes, len + f->payload_len);
}

/* ---- hearing ---- */

/* A message of the context's, or a flush: its answer, or what is asked of it, may follow. */
static void learn_theirs(struct evil *e, uint64_t id, uint64_t len)
{
	if (id == 0)
		return;
	e->theirs[e->next_theirs++ % EVIL_IDS] = (struct evil_id){ .id = id, .len = len, .live = true };
}

static struct evil_id *find_ours(struct evil *e, uint64_t id)
{
	for (size_t i = 0; i < EVIL_IDS; i++)
		if (e->ours[i].live && e->ours[i].id == id)
			return &e->ours[i];
	return NULL;
}

static void answered(struct evil *e, uint64_t id)
{
	struct evil_id *o = find_ours(e, id);
	if (o != NULL)
		o->live = false;
}

static void learn(struct evil *e, const struct wire_frame *f)
{
	struct evil_id *o;
	switch (f->type) {
	case WIRE_EAGER:
		learn_theirs(e, f->eager.envelope.id, f->payload_len);
		break;
	case WIRE_DESC:
		learn_theirs(e, f->desc.envelope.id, f->desc.len);
		break;
	case WIRE_FLUSH:
		learn_theirs(e, f->id, 0);
		break;
	case WIRE_SEND:
		if ((o = find_ours(e, f->send.id)) != NULL) {
			o->offset = f->send.offset;
			o->len = f->send.len;
			o->epoch = f->send.epoch;
		}
		break;
	case WIRE_GRANT:
		if ((o = find_ours(e, f->grant.id)) != NULL) {
			o->len = 0;
			o->epoch = f->grant.epoch;
			for (size_t i = 0; i < f->grant.range_count; i++)
				o->len += wire_range(f->grant.ranges, i).len;
		}
		break;
	case WIRE_ASSIST:
		if ((o = find_ours(e, f->assist.id)) != NULL)
			o->epoch = f->assist.epoch;
		break;
	case WIRE_DONE:
		for (size_t i = 0; i < f->done.count; i++)
			answered(e, wire_done_id(f, i));
		break;
	case WIRE_REFUSED:
		answered(e, f->refused.id);
		break;
	case WIRE_CANCELED:
	case WIRE_FLUSHED:
		answered(e, f->id);
		break;
	case WIRE_OUTBOX:
		e->outbox.theirs.ring = f->outbox.ring;
		e->outbox.theirs.state = f->outbox.state;
		e->outbox.theirs.head = f->outbox.head;
		e->outbox.theirs.cookie = f->outbox.cookie;
		e->outbox.theirs.size = f->outbox.ring_size;
		break;
	case WIRE_READY:
		e->open = true;
		break;
	default:
		break;
	}
}

/* How many of the len bytes are understood and done with; what the context sends must make sense. */
static size_t understand(struct evil *e, const uint8_t *at, size_t len)
{
	struct wire_head head;
	struct wire_frame f;
	struct wire_hello hello;
	if (e->skip > 0) {
		size_t n = len < e->skip ? len : e->skip;
		e->skip -= n;
		return n;
	}
	if (e->answer == 0) {
		int whole = wire_hello_peek(at, len);
		claim(whole >= 0);
		if (whole == 0 || (size_t)whole > len)
			return 0;
		claim(wire_hello_decode(at, (size_t)whole, &hello));
		e->answer = hello.challenge;
		e->outbox.offered = (hello.features & WIRE_FEATURE_OUTBOX) != 0;
		return (size_t)whole;
	}
	int rc = wire_peek(at, len, &head);
	if (rc < 0 && e->outbox.mad)
		return len;
	claim(rc >= 0);
	if (rc == 0 || len < head.decoding)
		return 0;
	if (!wire_decode(at, &head, &f)) {
		claim(e->outbox.mad);
		return len;
	}
	learn(e, &f);
	e->skip = head.whole - head.decoding;
	return head.decoding;
}

/* Bytes of the stream, up to where the socket begins to bring something else: how many those were. */
static size_t hear_stream(struct evil *e, const uint8_t *at, size_t len)
{
	bool beside = evil_outbox_is_theirs(e);
	size_t done = 0, n = len < HEARD - e->heard_len ? len : HEARD - e->heard_len;
	memcpy(e->heard + e->heard_len, at, n);
	e->heard_len += n;
	for (size_t used; done < e->heard_len && evil_outbox_is_theirs(e) == beside &&
	     (used = understand(e, e->heard + done, e->heard_len - done)) > 0;)
		done += used;
	size_t left = e->heard_len - done;
	if (evil_outbox_is_theirs(e) != beside) {
		e->heard_len = 0;
		return n - left;
	}
	memmove(e->heard, e->heard + done, left);
	e->heard_len = left;
	return n;
}

static void hear_socket(struct evil *e, const uint8_t *at, size_t len)
{
	for (size_t n; len > 0; at += n, len -= n) {
		if (evil_outbox_is_theirs(e)) {
			n = evil_outbox_beside(e, at, len);
		} else if (e->outbox.again > 0) {
			n = len < e->outbox.again ? len : (size_t)e->outbox.again;
			e->outbox.again -= n;
		} else {
			n = hear_stream(e, at, len);
		}
	}
}

void evil_hear(struct evil *e)
{
	static uint8_t bytes[HEARD];
	ssize_t n;
	size_t taken;
	while (e->fd >= 0 && (n = recv(e->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		hear_socket(e, bytes, (size_t)n);
	while (e->fd >= 0 && (taken = evil_outbox_take(e, bytes, HEARD - e->heard_len)) > 0)
		claim(hear_stream(e, bytes, taken) == taken);
}

/* ---- the handshake ---- */

static void say_hello(struct evil *e)
{
	uint8_t bytes[WIRE_HELLO_SIZE];
	struct wire_hello hello = { .version_min = WIRE_VERSION_MIN,
		.version_max = WIRE_VERSION_MAX,
		.features = UINT64_MAX,
		.challenge = 0x0123456789abcdef,
		.max_msg = INT64_MAX,
		.eager_max = WIRE_EAGER_LONGEST,
		.credit_bytes = e->credit_bytes = 1 << 18,
		.credit_descs = e->credit_descs = 64 };
	evil_say(e, bytes, wire_hello_encode(&hello, bytes, sizeof(bytes)));
}

static void say(struct evil *e, struct wire_frame f)
{
	uint8_t bytes[WIRE_FRAME_ROOM];
	f.credit_bytes = e->credit_bytes;
	f.credit_descs = e->credit_descs;
	evil_say(e, bytes, wire_encode(&f, bytes, sizeof(bytes)));
}

void evil_greet(struct evil *e, enum evil_depth depth)
{
	e->answer = 0;
	if (depth >= EVIL_HELLO)
		say_hello(e);
	evil_progress(e, 4);
	if (depth >= EVIL_GRANTED)
		say(e, (struct wire_frame){ .type = WIRE_GRANTED, .granted.addr = (uintptr_t)&e->answer });
	evil_progress(e, 4);
	if (depth >= EVIL_VERDICT)
		say(e, (struct wire_frame){ .type = WIRE_VERDICT });
	evil_progress(e, 4);
	if (depth >= EVIL_READY && e->outbox.offered) {
		struct wire_frame f;
		evil_outbox_describe(e, &f);
		evil_outbox_said(e, &f);
		say(e, f);
	}
	if (depth >= EVIL_READY)
		say(e, (struct wire_frame){ .type = WIRE_READY });
	e->outbox.ready = depth >= EVIL_READY;
	evil_progress(e, 4);
}
