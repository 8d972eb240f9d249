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

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <unistd.h>

enum { READ = 65536, MOST = 1 << 20 };

void run_stream_init(struct run_stream *s, int fd, unsigned rank, struct run_sink *sink)
{
	*s = (struct run_stream){ .fd = fd, .rank = rank, .sink = sink };
}

bool run_sink_has(const struct run_sink *sink)
{
	return sink->at < sink->len;
}

/* A pipe that is ready takes so much without blocking, and anything else does not block for long. */
void run_sink_ready(struct run_sink *sink)
{
	size_t left = sink->len - sink->at;
	ssize_t n = write(sink->fd, sink->buf + sink->at, left < PIPE_BUF ? left : PIPE_BUF);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		sink->error = errno;
		sink->at = sink->len = 0;
	}
	if (n > 0)
		sink->at += (size_t)n;
	if (sink->at == sink->len)
		sink->at = sink->len = 0;
}

static void put(struct run_sink *sink, const char *bytes, size_t len)
{
	if (sink->error != 0 || len == 0)
		return;
	if (sink->at > 0 && sink->len + len > sink->room) {
		memmove(sink->buf, sink->buf + sink->at, sink->len - sink->at);
		sink->len -= sink->at;
		sink->at = 0;
	}
	if (sink->len + len > sink->room) {
		char *larger = realloc(sink->buf, 2 * (sink->len + len));
		if (larger == NULL)
			err(EX_OSERR, "memory for output");
		sink->buf = larger;
		sink->room = 2 * (sink->len + len);
	}
	memcpy(sink->buf + sink->len, bytes, len);
	sink->len += len;
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

/* A sink that has so much to write takes no more for now. */
bool run_stream_is_open(const struct run_stream *s)
{
	return s->sink != NULL && s->fd >= 0 && s->sink->len - s->sink->at < MOST;
}

static void end(struct run_stream *s)
{
	put_lines(s, s->buf, s->len);
	free(s->buf);
	close(s->fd);
	s->fd = -1;
	s->buf = NULL;
	s->len = s->room = 0;
}

static void make_room(struct run_stream *s)
{
	if (s->room - s->len >= READ)
		return;
	char *larger = realloc(s->buf, s->len + READ);
	if (larger == NULL)
		err(EX_OSERR, "memory for output");
	s->buf = larger;
	s->room = s->len + READ;
}

size_t run_stream_read(struct run_stream *s, size_t most)
{
	make_room(s);
	size_t room = s->room - s->len;
	ssize_t n = read(s->fd, s->buf + s->len, room < most ? room : most);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		end(s);
		return 0;
	}
	s->len += (size_t)n;
	const char *last = memrchr(s->buf, '\n', s->len);
	if (last == NULL && s->len >= MOST)
		last = s->buf + s->len - 1;
	if (last == NULL)
		return (size_t)n;
	size_t whole = (size_t)(last - s->buf) + 1;
	put_lines(s, s->buf, whole);
	memmove(s->buf, s->buf + whole, s->len - whole);
	s->len -= whole;
	return (size_t)n;
}

/* What has left its process group may go on writing for ever. */
void run_stream_end(struct run_stream *s)
{
	int left = 0;
	if (s->sink == NULL || s->fd < 0)
		return;
	ioctl(s->fd, FIONREAD, &left);
	for (size_t n = 1; left > 0 && n > 0 && s->fd >= 0; left -= (int)n)
		n = run_stream_read(s, (size_t)left);
	if (s->fd >= 0)
		end(s);
}
