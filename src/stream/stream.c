/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Streams: their life, and what the other end says. See stream.h.
 *
 *     open --> closed by its owner --> freed, once nothing of its ring is needed any more
 *
 * Names are used once a connection: what was sent to the first of a name can't be told from what is sent to a second.
 */
#include "stream/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/options.h"
#include "msg/receive.h"
#include "msg/taken.h"
#include "os/clock.h"
#include "os/reason.h"

#define NAMES (UINT32_C(1) << 24)

enum { BUFFER_MOST = 1 << 30, MESSAGES = 64, RETRY_MS = 2 };

/* A name that was used, as long as its connection is there. */
struct stream_name {
	const struct haul_peer *peer;
	uint32_t name;
	SLIST_ENTRY(stream_name) entry;
};

static struct streams *streams_of(struct haul *h)
{
	return h->above[ABOVE_STREAMS].what;
}

void stream_due(struct haul_stream *s)
{
	struct streams *all = streams_of(s->haul);
	if (s->due)
		return;
	s->due = true;
	TAILQ_INSERT_TAIL(&all->due, s, due_entry);
	engine_due(&s->haul->engine);
}

void stream_fail(struct haul_stream *s, int error)
{
	in_fail(s, error);
	if (s->out.error == 0)
		s->out.error = error;
}

static void try_again(struct timer *t)
{
	stream_due((struct haul_stream *)((char *)t - offsetof(struct haul_stream, retry)));
}

void stream_retry(struct haul_stream *s)
{
	timer_set(&s->haul->engine.timers, &s->retry, clock_after_ms(RETRY_MS), try_again);
}

/* ---- hearing ---- */

static void heard(struct req_owner *o, struct haul_req *r)
{
	struct stream_ear *ear = (struct stream_ear *)((char *)o - offsetof(struct stream_ear, owner));
	struct haul_stream *s = ear->stream;
	int error = r->status.error;
	bool passes = error == -ENOMEM && s->peer != NULL &&
	    s->peer->error == 0; /* it is of the take, not of the connection */
	ear->req = NULL;
	ear->over = error != 0 && !passes;
	if (error == 0 && ear == &s->bytes && !s->closed)
		part_got(s, r->status.msg);
	else if (error == 0)
		ear->msg = r->status.msg;
	else if (passes)
		stream_retry(s);
	else if (ear == &s->bytes)
		in_fail(s, error);
	else if (s->out.error == 0)
		s->out.error = error;
	r->status.msg = NULL; /* it is the stream's */
	stream_due(s);
}

void stream_hear(struct stream_ear *ear)
{
	struct haul_stream *s = ear->stream;
	bool bytes = ear == &s->bytes;
	struct haul_match match = { .from = s->peer,
		.tag = bytes ? STREAM_DATA : 0,
		.ignore = UINT64_MAX & ~STREAM_DATA };
	struct haul_req *r;
	if (ear->over || ear->req != NULL || ear->msg != NULL || s->peer == NULL || s->closed ||
	    (bytes && !in_wants(&s->in)))
		return;
	int rc = receive_post_take(s->haul, &match, stream_channel(s), &r);
	if (rc != 0) {
		if (rc == -ENOMEM)
			stream_retry(s);
		else
			stream_fail(s, rc);
		return;
	}
	ear->req = r;
	request_follow(r, &ear->owner);
}

static void on_control(struct haul_stream *s, uint64_t tag)
{
	uint64_t value = tag & STREAM_VALUE;
	switch (tag >> STREAM_KIND_AT) {
	case STREAM_RING:
		pulled_told(s, value);
		break;
	case STREAM_COOKIE:
		pulled_found(s, value);
		break;
	case STREAM_ASK:
		out_asked(s, value);
		break;
	case STREAM_ROOM:
		out_room(s, value);
		break;
	case STREAM_MORE:
		s->in.armed = false;
		s->in.news = true;
		break;
	case STREAM_SLEEP:
		s->out.attentive = true;
		if (s->out.ring.tail > value)
			say(s, STREAM_MORE);
		else if (s->out.ring.words != NULL)
			ring_arm(&s->out.ring);
		break;
	case STREAM_STOP:
		if (s->out.error == 0)
			s->out.error = -EPIPE;
		break;
	default:
		stream_fail(s, -EPROTO);
	}
}

/* ---- a round ---- */

static void free_stream(struct haul_stream *s)
{
	struct streams *all = streams_of(s->haul);
	if (s->due)
		TAILQ_REMOVE(&all->due, s, due_entry);
	TAILQ_REMOVE(&all->all, s, entry);
	timer_stop(&s->haul->engine.timers, &s->retry);
	file_forget(s);
	out_fini(s);
	in_fini(s);
	free(s);
}

static void hear_all(struct haul_stream *s)
{
	struct haul_msg *m;
	for (int i = 0; i < MESSAGES && (m = s->control.msg) != NULL; i++) {
		uint64_t tag = m->tag;
		s->control.msg = NULL;
		taken_finish(m, 0);
		on_control(s, tag);
		stream_hear(&s->control);
	}
	part_go_on(s);
	stream_hear(&s->control); /* memory may have been lacking */
	stream_hear(&s->bytes);
	if (s->control.msg != NULL)
		stream_due(s);
}

static bool is_quiet(struct haul_stream *s)
{
	return s->control.req == NULL && s->bytes.req == NULL && say_is_over(s) && in_is_over(s) &&
	    out_is_over(s);
}

/* Nobody will read what comes; and what was written goes on by itself. */
static void drop_messages(struct haul_stream *s)
{
	struct stream_ear *ears[] = { &s->control, &s->bytes };
	for (size_t i = 0; i < sizeof(ears) / sizeof(ears[0]); i++) {
		if (ears[i]->msg != NULL)
			taken_finish(ears[i]->msg, -EPIPE);
		ears[i]->msg = NULL;
	}
}

static bool work(struct haul *h)
{
	struct streams *all = streams_of(h);
	struct stream_list now;
	struct haul_stream *s;
	TAILQ_INIT(&now);
	TAILQ_CONCAT(&now, &all->due, due_entry);
	while ((s = TAILQ_FIRST(&now)) != NULL) {
		TAILQ_REMOVE(&now, s, due_entry);
		s->due = false;
		if (s->closed)
			drop_messages(s);
		else
			hear_all(s);
		say_all(s);
		out_go_on(s);
		if (s->closed && is_quiet(s))
			free_stream(s);
	}
	return !TAILQ_EMPTY(&all->due);
}

/* ---- what the floor below asks ---- */

static bool is_used(const struct streams *all, const struct haul_peer *p, uint32_t name)
{
	const struct stream_name *n;
	SLIST_FOREACH(n, &all->names, entry)
	if (n->peer == p && n->name == name)
		return true;
	return false;
}

static bool is_open(const struct streams *all, const struct haul_peer *p, uint32_t name)
{
	const struct haul_stream *s;
	TAILQ_FOREACH (s, &all->all, entry)
		if (s->peer == p && s->name == name)
			return !s->closed;
	return false;
}

static int unwanted(struct haul *h, struct haul_peer *from, uint32_t channel, uint64_t tag)
{
	const struct streams *all = streams_of(h);
	uint32_t name = channel & ~WIRE_CHANNEL_STREAMS;
	(void)tag;
	return is_used(all, from, name) && !is_open(all, from, name) ? -EPIPE : 0;
}

static void leave(struct haul_peer *p)
{
	struct haul_stream *s;
	TAILQ_FOREACH (s, &streams_of(p->haul)->all, entry)
		if (s->peer == p && !s->out.shut)
			out_shut(s);
}

static bool owes(struct haul *h)
{
	const struct haul_stream *s;
	TAILQ_FOREACH (s, &streams_of(h)->all, entry)
		if (!out_is_over(s))
			return true;
	return false;
}

static void forget(struct haul *h, const struct haul_peer *p)
{
	struct streams *all = streams_of(h);
	struct stream_name *n, *next;
	struct haul_stream *s;
	TAILQ_FOREACH (s, &all->all, entry) {
		if (s->peer != p)
			continue;
		s->peer = NULL;
		stream_fail(s, -ECANCELED);
		stream_due(s);
	}
	SLIST_FOREACH_SAFE(n, &all->names, entry, next)
	{
		if (n->peer != p)
			continue;
		SLIST_REMOVE(&all->names, n, stream_name, entry);
		free(n);
	}
}

/* The messages in their hands are the context's to free. */
static void fini(struct haul *h)
{
	struct streams *all = streams_of(h);
	struct stream_name *n;
	struct haul_stream *s;
	while ((s = TAILQ_FIRST(&all->all)) != NULL)
		free_stream(s);
	while ((n = SLIST_FIRST(&all->names)) != NULL) {
		SLIST_REMOVE_HEAD(&all->names, entry);
		free(n);
	}
	h->above[ABOVE_STREAMS] = (struct above){ NULL, NULL };
	free(all);
}

static const struct above_ops ops = { .work = work,
	.unwanted = unwanted,
	.flush = files_flush,
	.leave = leave,
	.owes = owes,
	.forget = forget,
	.fini = fini };

/* ---- opening and closing ---- */

static struct streams *streams_make(struct haul *h)
{
	struct streams *all = streams_of(h);
	if (all != NULL || (all = calloc(1, sizeof(*all))) == NULL)
		return all;
	all->haul = h;
	TAILQ_INIT(&all->all);
	TAILQ_INIT(&all->due);
	SLIST_INIT(&all->names);
	h->above[ABOVE_STREAMS] = (struct above){ &ops, all };
	return all;
}

static int read_options(struct haul_stream_options *o, const void *given, size_t size)
{
	if ((given == NULL) != (size == 0))
		return reason(-EINVAL, "options and their size do not agree");
	int rc = options_copy(o, sizeof(*o), given, size);
	if (rc != 0)
		return rc;
	if (o->direct != 0 && o->direct != 1)
		return reason(-EINVAL, "option direct: %d is neither 0 nor 1", o->direct);
	return o->buffer <= BUFFER_MOST ? 0 : reason(-EINVAL, "option buffer: more than 1 GiB");
}

static int open_stream(struct haul_peer *p, uint32_t name, const struct haul_stream_options *o,
    struct haul_stream **out)
{
	struct streams *all = streams_make(p->haul);
	struct haul_stream *s = calloc(1, sizeof(*s));
	struct stream_name *mark = malloc(sizeof(*mark));
	if (all == NULL || s == NULL || mark == NULL || is_used(all, p, name)) {
		bool lacks = all == NULL || s == NULL || mark == NULL;
		free(s);
		free(mark);
		return lacks ? reason(-ENOMEM, "no memory for a stream")
		             : reason(-EEXIST, "stream %u was opened before", name);
	}
	*mark = (struct stream_name){ .peer = p, .name = name };
	SLIST_INSERT_HEAD(&all->names, mark, entry);
	s->haul = p->haul;
	s->peer = p;
	s->name = name;
	s->control.stream = s->bytes.stream = s;
	s->control.owner.completed = s->bytes.owner.completed = heard;
	say_init(s);
	out_init(s, o);
	TAILQ_INSERT_TAIL(&all->all, s, entry);
	stream_hear(&s->control);
	stream_hear(&s->bytes);
	*out = s;
	return 0;
}

int haul_stream_open(struct haul_peer *p, uint32_t name, const struct haul_stream_options *options,
    size_t options_size, struct haul_stream **out)
{
	struct haul_stream_options o = { 0 };
	int rc = peer_enter(p);
	if (rc != 0)
		return rc;
	struct haul *h = p->haul;
	if (out == NULL)
		rc = reason(-EINVAL, "no place for the stream");
	else if (p->self)
		rc = reason(-EINVAL, "a stream needs two processes");
	else if (name >= NAMES)
		rc = reason(-EINVAL, "a stream's name is below 2^24");
	else
		rc = read_options(&o, options, options_size);
	if (rc == 0)
		rc = open_stream(p, name, &o, out);
	return context_leave(h, rc);
}

/* What has come and was not looked at. */
static void refuse_waiting(struct haul_stream *s)
{
	struct match_item *i, *next;
	TAILQ_FOREACH_SAFE (i, &s->haul->match.items, entry, next)
		if (i->channel == stream_channel(s) && i->from == s->peer)
			inbound_refuse((struct inbound *)((char *)i - offsetof(struct inbound, item)),
			    -EPIPE);
}

int haul_stream_close(struct haul_stream *s)
{
	if (s == NULL)
		return 0;
	int rc = context_enter(s->haul);
	if (rc != 0)
		return rc;
	struct haul *h = s->haul;
	file_forget(s);
	in_close(s);
	refuse_waiting(s);
	if (s->peer != NULL && !s->out.shut)
		out_shut(s);
	s->closed = true;
	drop_messages(s);
	if (s->control.req != NULL)
		request_abort(s->control.req, -ECANCELED);
	if (s->bytes.req != NULL)
		request_abort(s->bytes.req, -ECANCELED);
	stream_due(s);
	work(h);
	return context_leave(h, 0);
}
