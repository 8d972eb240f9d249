/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The writer's ring, as its reader sees it: found, looked at, pulled from, its bell armed. See stream.h.
 *
 * Where the ring seems empty a look reads its tail and, since that costs nothing more, the first bytes behind what was
 * known, in one call; these count as far as the tail says, which was loaded before them (VM_IN_ORDER). A copy runs
 * outside the lock. What can't be read ends the pulling, and is asked for.
 */
#include <errno.h>
#include <stdlib.h>

#include "link/link.h"
#include "os/reason.h"
#include "os/vm.h"
#include "stream/in.h"

enum {
	GLANCE = 1024, /* bytes that a look takes ahead */
	RING_MOST = 1 << 30,
};

static void ask(struct haul_stream *s)
{
	s->in.pulling = false;
	say(s, STREAM_ASK);
}

/* Not to another program's memory, as far as a look right before can tell. */
bool pulled_ring(struct haul_stream *s, uint64_t what)
{
	const struct stream_in *in = &s->in;
	pid_t pid = peer_link(s->peer)->pid;
	struct vm_word cookie = { .addr = in->words + offsetof(struct ring_words, cookie) };
	return vm_read_word(pid, &cookie) == 0 && cookie.value == in->cookie &&
	    vm_write_word(pid, in->words + offsetof(struct ring_words, bell), what) == 0;
}

void pulled_arm(struct haul_stream *s)
{
	struct stream_in *in = &s->in;
	if (!in->armed && !in->mute) {
		in->armed = pulled_ring(s, RING_BELL_ARMED);
		in->mute = !in->armed;
	}
	if (in->mute)
		say(s, STREAM_SLEEP);
}

/* Once: the cookie ends what is told of it. */
void pulled_told(struct haul_stream *s, uint64_t words)
{
	if (s->in.cookie != 0)
		stream_fail(s, -EPROTO);
	else
		s->in.words = words;
}

/* Before the first byte came by another way, unless that is all there will be. */
static bool may_have_ring(const struct stream_in *in, uint64_t cookie)
{
	return in->cookie == 0 && cookie != 0 && (in->fin || (in->at == 0 && in->part == NULL));
}

/* Its words are at an address that the writer has told; if they can't be read nothing else can. */
void pulled_found(struct haul_stream *s, uint64_t cookie)
{
	struct stream_in *in = &s->in;
	struct {
		uint64_t tail, cookie, bytes, size;
	} words;
	struct iovec local = { &words, sizeof(words) };
	struct iovec remote = { (void *)(uintptr_t)in->words, sizeof(words) };
	if (!may_have_ring(in, cookie)) {
		stream_fail(s, -EPROTO);
		return;
	}
	in->cookie = cookie;
	in->news = true;
	if (in->fin || in->error != 0) /* FIN has all */
		return;
	struct link *l = peer_link(s->peer);
	if (l->in.error != 0 || vm_peek(l->pid, &local, 1, &remote, 1) != (ssize_t)sizeof(words) ||
	    words.cookie != cookie) {
		ask(s);
		return;
	}
	if (words.size == 0 || words.size > RING_MOST || (words.size & (words.size - 1)) != 0 ||
	    words.bytes > UINT64_MAX - words.size) {
		stream_fail(s, -EPROTO);
		return;
	}
	in->bytes = words.bytes;
	in->size = words.size;
	in->pulling = true;
	pulled_arm(s);
}

/* The ring's bytes from a position on, as at most two ranges of the writer's memory. */
static size_t ranges(const struct stream_in *in, uint64_t from, size_t len, struct iovec out[2])
{
	size_t at = (size_t)(from & (in->size - 1)), first = (size_t)in->size - at;
	first = len < first ? len : first;
	out[0] = (struct iovec){ (void *)(uintptr_t)(in->bytes + at), first };
	out[1] = (struct iovec){ (void *)(uintptr_t)in->bytes, len - first };
	return len > first ? 2 : 1;
}

static void taken(struct haul_stream *s, uint64_t len)
{
	struct stream_in *in = &s->in;
	in->at += len;
	if (in->at - in->told >= in->size / 4)
		say(s, STREAM_ROOM);
}

/* What the ring's tail says now. False: it lies. */
static bool believe(struct haul_stream *s, uint64_t tail)
{
	struct stream_in *in = &s->in;
	if (tail < in->tail || tail - in->at > in->size) {
		stream_fail(s, -EPROTO);
		return false;
	}
	in->tail = tail;
	return true;
}

/* The ring is not there any more, or must not be read: what was in it comes as a message, or never. */
static void lose_ring(struct haul_stream *s, bool cookie_read)
{
	if (cookie_read)
		s->in.pulling = false; /* FIN has come or is to come, or the writer is another program now */
	else
		ask(s);
}

/* Where the stage is, if there is memory for it. */
uint8_t *in_stage(struct stream_in *in)
{
	if (in->stage == NULL)
		in->stage = malloc(STAGE);
	return in->stage;
}

/* How many bytes are there to be had, after a look: they may be in the stage already. 0: none, or the ring is lost. */
uint64_t pulled_look(struct haul_stream *s)
{
	struct stream_in *in = &s->in;
	struct link *l = peer_link(s->peer);
	uint64_t words[2] = { 0 }, cookie = 0;
	struct iovec local[3], remote[4];
	uint8_t *room = VM_IN_ORDER ? in_stage(in) : NULL;
	size_t glance = room != NULL ? (in->size < GLANCE ? (size_t)in->size : GLANCE) : 0, locals = 0,
	       remotes = 0;
	local[locals++] = (struct iovec){ words, sizeof(words) };
	remote[remotes++] = (struct iovec){ (void *)(uintptr_t)in->words, sizeof(words) };
	if (glance > 0) {
		local[locals++] = (struct iovec){ room, glance };
		remotes += ranges(in, in->at, glance, remote + remotes);
	}
	local[locals++] = (struct iovec){ &cookie, sizeof(cookie) };
	remote[remotes++] =
	    (struct iovec){ (void *)(uintptr_t)(in->words + offsetof(struct ring_words, cookie)),
		    sizeof(cookie) };
	ssize_t n = vm_peek(l->pid, local, locals, remote, remotes);
	bool all = n == (ssize_t)(sizeof(words) + glance + sizeof(cookie));
	if (!all || words[1] != in->cookie || cookie != in->cookie) {
		lose_ring(s, n >= (ssize_t)sizeof(words) && words[1] != in->cookie);
		return 0;
	}
	if (!believe(s, words[0]) || in->tail == in->at)
		return 0;
	if (glance > 0) {
		in->stage_at = 0;
		in->stage_end = in->tail - in->at < glance ? (size_t)(in->tail - in->at) : glance;
		taken(s, in->stage_end);
		return in->stage_end;
	}
	return in->tail - in->at;
}

/* Pulls len bytes, which are known to be there, to the cursor; as many as came, or an error. Outside the lock. */
ssize_t pulled_bytes(struct haul_stream *s, struct iov_cursor *to, size_t len)
{
	struct stream_in *in = &s->in;
	struct haul_peer *p = s->peer;
	pid_t pid = peer_link(p)->pid;
	struct iovec parts[2];
	struct iov_cursor from, before = *to;
	struct vm_word tail = { .addr = in->words + offsetof(struct ring_words, tail) };
	struct vm_word cookie = { .addr = in->words + offsetof(struct ring_words, cookie), .before = &tail };
	size_t count = ranges(in, in->at, len, parts);
	iov_cursor_init(&from, parts, count, len);
	p->copying++;
	engine_step_out(&s->haul->engine);
	struct vm_result r = vm_read(pid, to, &from, len, &cookie);
	engine_step_in(&s->haul->engine);
	p->copying--;
	peer_copied(p);
	s->haul->stats.copied_bytes += r.moved;
	if (!cookie.read || cookie.value != in->cookie) {
		*to = before; /* nothing vouches for what was moved */
		lose_ring(s, cookie.read);
		return 0;
	}
	if (r.moved == 0 && r.outcome == VM_BAD_LOCAL)
		return reason(-EFAULT, "the buffer to read into can't be written");
	if (r.moved == 0 && r.outcome != VM_MOVED)
		ask(s);
	else if (tail.read)
		believe(s, tail.value);
	taken(s, r.moved);
	return (ssize_t)r.moved;
}
