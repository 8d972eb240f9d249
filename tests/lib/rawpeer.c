/* SPDX-License-Identifier: BSD-3-Clause */
/* The peer made by hand. See rawpeer.h. */
#include "rawpeer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

enum { PATIENCE_MS = 10000, MOST_FDS = 253 };

void raw_put(void *at, uint64_t value, size_t bytes)
{
	uint8_t *to = at;
	for (size_t i = 0; i < bytes; i++, value >>= 8)
		to[i] = (uint8_t)value;
}

uint64_t raw_get(const void *at, size_t bytes)
{
	const uint8_t *from = at;
	uint64_t value = 0;
	for (size_t i = bytes; i-- > 0;)
		value = value << 8 | from[i];
	return value;
}

void raw_hello_bytes(uint8_t *to, unsigned version_min, unsigned version_max)
{
	memset(to, 0, WIRE_HELLO_SIZE);
	memcpy(to, WIRE_MAGIC, WIRE_MAGIC_SIZE);
	raw_put(to + 8, version_min, 2);
	raw_put(to + 10, version_max, 2);
	raw_put(to + 12, WIRE_HELLO_SIZE, 4);
	raw_put(to + 24, 0x0123456789abcdef, 8); /* the challenge */
	raw_put(to + 32, INT64_MAX, 8);
	raw_put(to + 40, WIRE_EAGER_LONGEST, 4);
	raw_put(to + 44, RAW_CREDIT_BYTES, 4);
	raw_put(to + 48, RAW_CREDIT_DESCS, 4);
	raw_put(to + 52, geteuid(), 4);
}

size_t raw_frame_bytes(uint8_t *to, int type, unsigned flags, const void *body, size_t size)
{
	memset(to, 0, WIRE_HEADER_SIZE);
	to[0] = (uint8_t)type;
	to[1] = (uint8_t)flags;
	raw_put(to + 4, size, 4);
	raw_put(to + 8, RAW_CREDIT_BYTES, 4);
	raw_put(to + 12, RAW_CREDIT_DESCS, 4);
	if (size > 0)
		memcpy(to + WIRE_HEADER_SIZE, body, size);
	return WIRE_HEADER_SIZE + size;
}

/* ---- bytes ---- */

/* Until the socket is ready for events, or it is the deadline: then false. */
static bool await(struct raw *r, short events, int64_t deadline)
{
	struct pollfd p = { .fd = r->fd, .events = events };
	for (;;) {
		int64_t left = deadline - clock_ms();
		if (r->drive != NULL)
			haul_progress(r->drive);
		int n = poll(&p, 1, r->drive != NULL ? 0 : left > 0 ? (int)left : 0);
		if (n > 0)
			return true;
		if (left <= 0)
			return false;
	}
}

static bool send_with(struct raw *r, const void *bytes, size_t len, struct msghdr *msg)
{
	const uint8_t *at = bytes;
	int64_t deadline = clock_ms() + PATIENCE_MS;
	while (len > 0) {
		struct iovec iov = { .iov_base = (void *)(uintptr_t)at, .iov_len = r->drip ? 1 : len };
		msg->msg_iov = &iov;
		msg->msg_iovlen = 1;
		ssize_t n = sendmsg(r->fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno != EAGAIN || !await(r, POLLOUT, deadline)))
			return false;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
			msg->msg_control = NULL; /* once */
			msg->msg_controllen = 0;
			for (int i = 0; r->drip && r->drive != NULL && i < 3; i++)
				haul_progress(r->drive);
		}
	}
	return true;
}

bool raw_send(struct raw *r, const void *bytes, size_t len)
{
	return send_with(r, bytes, len, &(struct msghdr){ 0 });
}

static bool send_control(struct raw *r, const void *bytes, size_t len, int type, const void *data,
    size_t size)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(MOST_FDS * sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_control = &control, .msg_controllen = CMSG_SPACE(size) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), data, size);
	return send_with(r, bytes, len, &msg);
}

bool raw_send_creds(struct raw *r, const void *bytes, size_t len)
{
	struct ucred us = { .pid = getpid(), .uid = geteuid(), .gid = getegid() };
	return send_control(r, bytes, len, SCM_CREDENTIALS, &us, sizeof(us));
}

bool raw_send_fds(struct raw *r, const void *bytes, size_t len, int fd, size_t count)
{
	int fds[MOST_FDS];
	if (count > MOST_FDS)
		abort();
	for (size_t i = 0; i < count; i++)
		fds[i] = fd;
	return send_control(r, bytes, len, SCM_RIGHTS, fds, count * sizeof(int));
}

/* 1: read; 0: hung up; -1: nothing came. */
static int read_whole(struct raw *r, void *buf, size_t len)
{
	uint8_t *at = buf;
	int64_t deadline = clock_ms() + PATIENCE_MS;
	while (len > 0) {
		ssize_t n = recv(r->fd, at, len, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return 0;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		if (n < 0 && !await(r, POLLIN, deadline))
			return -1;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return 1;
}

bool raw_read(struct raw *r, void *buf, size_t len)
{
	return read_whole(r, buf, len) == 1;
}

bool raw_hung_up(struct raw *r)
{
	char byte;
	int rc;
	while ((rc = read_whole(r, &byte, 1)) == 1)
		continue;
	return rc == 0;
}

/* ---- frames ---- */

bool raw_send_frame(struct raw *r, int type, unsigned flags, const void *body, size_t size)
{
	uint8_t *bytes = malloc(WIRE_HEADER_SIZE + size);
	if (bytes == NULL)
		return false;
	bool sent = raw_send(r, bytes, raw_frame_bytes(bytes, type, flags, body, size));
	free(bytes);
	return sent;
}

void raw_next(struct raw *r, struct raw_frame *f)
{
	uint8_t head[WIRE_HEADER_SIZE];
	int rc = read_whole(r, head, sizeof(head));
	f->type = rc <= 0 ? rc : head[0];
	f->flags = head[1];
	f->size = rc <= 0 ? 0 : (size_t)raw_get(head + 4, 4);
	if (f->size > sizeof(f->body) || (f->size > 0 && read_whole(r, f->body, f->size) != 1))
		f->type = -1;
}

static bool next_is(struct raw *r, int type, struct raw_frame *f)
{
	raw_next(r, f);
	return f->type == type;
}

/* ---- handshake ---- */

bool raw_hello(struct raw *r)
{
	uint8_t ours[WIRE_HELLO_SIZE], theirs[WIRE_HELLO_SIZE];
	raw_hello_bytes(ours, WIRE_VERSION_MIN, WIRE_VERSION_MAX);
	raw_put(ours + 16, r->features, 8);
	if (!raw_send_creds(r, ours, sizeof(ours)) || !raw_read(r, theirs, sizeof(theirs)))
		return false;
	r->answer = raw_get(theirs + 24, 8);
	return memcmp(theirs, WIRE_MAGIC, WIRE_MAGIC_SIZE) == 0;
}

bool raw_granted(struct raw *r)
{
	static struct raw_frame f;
	uint8_t body[WIRE_GRANTED_SIZE];
	r->answer ^= r->impostor;
	raw_put(body, (uintptr_t)&r->answer, sizeof(body));
	return raw_send_frame(r, WIRE_GRANTED, 0, body, sizeof(body)) && next_is(r, WIRE_GRANTED, &f);
}

bool raw_verdict(struct raw *r)
{
	static struct raw_frame f;
	uint8_t body[WIRE_VERDICT_SIZE] = { 0 };
	raw_put(body, (uint64_t)r->verdict, 4);
	return raw_send_frame(r, WIRE_VERDICT, 0, body, sizeof(body)) && next_is(r, WIRE_VERDICT, &f);
}

bool raw_ready(struct raw *r)
{
	static struct raw_frame f;
	if (r->outbox != NULL && !raw_send_frame(r, WIRE_OUTBOX, 0, r->outbox, WIRE_OUTBOX_SIZE))
		return false;
	if (!raw_send_frame(r, WIRE_READY, 0, NULL, 0))
		return false;
	if (r->outbox == NULL)
		return next_is(r, WIRE_READY, &f);
	if (!next_is(r, WIRE_OUTBOX, &f))
		return false;
	memcpy(r->their_outbox, f.body, WIRE_OUTBOX_SIZE);
	return next_is(r, WIRE_READY, &f);
}

bool raw_greet(struct raw *r)
{
	return raw_hello(r) && raw_granted(r) && raw_verdict(r) && raw_ready(r);
}

bool raw_send_eager(struct raw *r, uint64_t tag, const void *payload, size_t len)
{
	uint8_t *body = calloc(1, WIRE_EAGER_SIZE + len);
	if (body == NULL)
		return false;
	raw_put(body, tag, 8);
	if (len > 0)
		memcpy(body + WIRE_EAGER_SIZE, payload, len);
	bool sent = raw_send_frame(r, WIRE_EAGER, 0, body, WIRE_EAGER_SIZE + len);
	free(body);
	return sent;
}
