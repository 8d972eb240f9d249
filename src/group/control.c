/* SPDX-License-Identifier: BSD-3-Clause */
/* The launcher's descriptor. See control.h. */
#include "group/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "msg/stats.h"
#include "os/poll.h"
#include "os/reason.h"
#include "os/sock.h"

static void hear(struct control *c)
{
	union {
		struct job_note note;
		char bytes[sizeof(struct job_note) + JOB_TEXT_MOST];
	} in;
	ssize_t n;
	while ((n = sock_recv(c->fd, &in, sizeof(in))) > 0) {
		if ((size_t)n < sizeof(in.note) || in.note.rank >= (uint32_t)c->size)
			continue;
		if (in.note.kind != JOB_LEFT && in.note.kind != JOB_DEAD)
			continue;
		c->ends[in.note.rank] = in.note.kind;
		c->told(c, (int)in.note.rank, in.note.kind == JOB_LEFT);
	}
	if (n != -EAGAIN) { /* the launcher is gone, and will end us */
		source_remove(c->engine, &c->source);
		c->mute = true;
	}
}

static void ready(struct source *s, uint32_t events)
{
	(void)events;
	hear((struct control *)((char *)s - offsetof(struct control, source)));
}

int control_open(struct control *c, struct engine *e, int fd, int size,
    void (*told)(struct control *c, int rank, bool left))
{
	enum job_kind *ends = calloc((size_t)size, sizeof(*ends));
	if (ends == NULL)
		return reason(-ENOMEM, "no memory for a group");
	*c = (struct control){ .fd = -1,
		.engine = e,
		.source.ready = ready,
		.told = told,
		.ends = ends,
		.size = size };
	int rc = source_add(e, &c->source, fd, EPOLLIN);
	if (rc != 0) {
		free(ends);
		c->ends = NULL;
		return reason(rc, "HAUL_CONTROL names no descriptor of a launcher: %s", strerror(-rc));
	}
	sock_keep_from_exec(fd);
	c->fd = fd;
	return 0;
}

void control_close(struct control *c)
{
	if (c->fd < 0)
		return;
	if (!engine_stale(c->engine)) /* the set is the parent's */
		source_remove(c->engine, &c->source);
	sock_close(c->fd);
	c->fd = -1;
	free(c->ends);
}

enum job_kind control_end(struct control *c, int rank)
{
	if (c->fd >= 0 && !c->mute && !engine_stale(c->engine)) /* what comes is the parent's to read */
		hear(c);
	if (c->fd >= 0 && c->ends[rank] != 0)
		return c->ends[rank];
	return c->fd < 0 || c->mute ? JOB_DEAD : 0;
}

static void say(struct control *c, enum job_kind kind, int status, const char *text)
{
	union {
		struct job_note note;
		char bytes[sizeof(struct job_note) + JOB_TEXT_MOST];
	} out;
	size_t len = strnlen(text, JOB_TEXT_MOST);
	if (c->fd < 0)
		return;
	out.note = (struct job_note){ .kind = kind, .status = status, .len = (uint32_t)len };
	memcpy(out.bytes + sizeof(out.note), text, len);
	sock_send(c->fd, &out, sizeof(out.note) + len); /* what it does not take is lost */
}

void control_abort(struct control *c, int status, const char *why)
{
	say(c, JOB_ABORT, status, why);
}

void control_stats(struct control *c, const struct haul *h)
{
	char text[JOB_TEXT_MOST];
	struct haul_stats s;
	if (c->fd < 0 || secure_getenv("HAUL_STATS") == NULL || engine_stale(c->engine))
		return;
	stats_sum(h, &s);
	const struct {
		const char *name;
		uint64_t value;
	} counts[] = {
		{ "sent_eager", s.sent_eager },
		{ "sent_eager_bytes", s.sent_eager_bytes },
		{ "sent_pull", s.sent_pull },
		{ "sent_pull_bytes", s.sent_pull_bytes },
		{ "sent_stream", s.sent_stream },
		{ "sent_stream_bytes", s.sent_stream_bytes },
		{ "sent_push", s.sent_push },
		{ "sent_push_bytes", s.sent_push_bytes },
		{ "received_eager", s.received_eager },
		{ "received_eager_bytes", s.received_eager_bytes },
		{ "received_pull", s.received_pull },
		{ "received_pull_bytes", s.received_pull_bytes },
		{ "received_stream", s.received_stream },
		{ "received_stream_bytes", s.received_stream_bytes },
		{ "received_push", s.received_push },
		{ "received_push_bytes", s.received_push_bytes },
		{ "polls", s.polls },
		{ "polled_frames", s.polled_frames },
		{ "assisted_bytes", s.assisted_bytes },
		{ "spins", s.spins },
		{ "sleeps", s.sleeps },
	};
	size_t len = 0;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %" PRIu64 "\n", counts[i].name,
		    counts[i].value);
	say(c, JOB_STATS, 0, text);
}
