/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lines of many ranks, written one by one: a line is written when its end has come, so no two ranks ever
 * share one. What is longer than MOST, or has no end when its rank ends, is written as it is; then the next
 * line of another rank begins anew.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memrchr */
#endif
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ = 65536, MOST = 1 << 20 };

void run_stream_init(struct run_stream *s, int fd, unsigned rank, struct run_sink *sink)
{
	*s = (struct run_stream){ .fd = fd, .rank = rank, .sink = sink };
}

static void put(struct run_sink *sink, const char *bytes, size_t len)
{
	while (len > 0 && sink->error == 0) {
		ssize_t n = write(sink->fd, bytes, len);
		if (n >= 0) {
			bytes += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) { /* somebody has made it so */
			poll(&(struct pollfd){ .fd = sink->fd, .events = POLLOUT }, 1, -1);
		} else if (errno != EINTR) {
			sink->error = errno;
		}
	}
}

/* The beginning of a line, unless the sink is in the middle of this stream's. */
static void begin_line(struct run_stream *s)
{
	struct run_sink *sink = s->sink;
	char tag[32];
	if (sink->unfinished == s)
		return;
	if (sink->unfinished != NULL)
		put(sink, "\n", 1);
	sink->unfinished = NULL;
	if (sink->tag)
		put(sink, tag, (size_t)snprintf(tag, sizeof(tag), "[%u] ", s->rank));
}

/* Untagged lines go as they come, in one piece. */
static void put_lines(struct run_stream *s, const char *bytes, size_t len)
{
	while (len > 0) {
		const char *end = s->sink->tag ? memchr(bytes, '\n', len) : memrchr(bytes, '\n', len);
		size_t n = end != NULL ? (size_t)(end - bytes) + 1 : len;
		begin_line(s);
		put(s->sink, bytes, n);
		s->sink->unfinished = end != NULL ? NULL : s;
		bytes += n;
		len -= n;
	}
}

static bool make_room(struct run_stream *s)
{
	if (s->room - s->len >= READ)
		return true;
	char *larger = realloc(s->buf, s->len + READ);
	if (larger == NULL)
		return false;
	s->buf = larger;
	s->room = s->len + READ;
	return true;
}

void run_stream_end(struct run_stream *s)
{
	if (s->fd < 0)
		return;
	put_lines(s, s->buf, s->len);
	free(s->buf);
	close(s->fd);
	s->fd = -1;
	s->buf = NULL;
	s->len = s->room = 0;
}

void run_stream_read(struct run_stream *s)
{
	if (!make_room(s)) { /* without memory lines may be torn, but nothing is lost */
		put_lines(s, s->buf, s->len);
		s->len = 0;
		if (s->room == 0)
			return;
	}
	ssize_t n = read(s->fd, s->buf + s->len, s->room - s->len);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		run_stream_end(s);
		return;
	}
	s->len += (size_t)n;
	const char *end = s->len >= MOST ? s->buf + s->len - 1 : memrchr(s->buf, '\n', s->len);
	if (end == NULL)
		return;
	size_t whole = (size_t)(end - s->buf) + 1;
	put_lines(s, s->buf, whole);
	memmove(s->buf, s->buf + whole, s->len - whole);
	s->len -= whole;
}
