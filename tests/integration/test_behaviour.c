/* SPDX-License-Identifier: BSD-3-Clause */
/* What arrives is what was sent, and each side hears what became of it: the same on every path. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/fds.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"

TestSuite(behaviour, .timeout = 60);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { TAG_DATA = 7, TAG_TOKEN = 1000, MARGIN = 64 };

static void *filled(size_t len, uint64_t seed)
{
	unsigned char *buf = malloc(len + 1);
	must(buf != NULL);
	pattern_fill(buf, len, seed, 0);
	return buf;
}

/* Room for len bytes, with canaries before and behind. */
static unsigned char *room(size_t len)
{
	unsigned char *buf = malloc(len + 2 * MARGIN);
	must(buf != NULL);
	memset(buf, CANARY, len + 2 * MARGIN);
	return buf + MARGIN;
}

static void leave(unsigned char *in_room)
{
	free(in_room - MARGIN);
}

static void must_end_at(const unsigned char *in_room, size_t len, size_t room_len)
{
	must_be_untouched(in_room - MARGIN, MARGIN);
	must_be_untouched(in_room + len, room_len - len + MARGIN);
}

static void send_token(struct haul_peer *p)
{
	must_be(haul_send(p, TAG_TOKEN, NULL, 0, PATIENCE_MS), 0);
}

static void await_token(struct haul *h, struct haul_peer *p)
{
	struct haul_match match = { .from = p, .tag = TAG_TOKEN };
	must_be(haul_recv(h, &match, NULL, 0, PATIENCE_MS, NULL), 0);
}

/* ---- bytes ---- */

static const size_t sizes[] = { 0, 1, 7, 8, 63, 64, 65, 4095, 4096, 4097, 8191, 8192, 8193, 65535, 65536,
	65537, (1 << 20) + 3 };

static void send_each_size(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct path *path = arg;
	(void)h;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		if (sizes[i] > path->longest)
			continue;
		void *buf = filled(sizes[i], i);
		must_be(haul_send(p, i, buf, sizes[i], PATIENCE_MS), 0);
		free(buf);
	}
}

EveryPath(behaviour, bytes_arrive_as_sent_and_no_others)
{
	struct haul_options o = path_options(path);
	struct haul_status status;
	struct pairing p;
	pairing_start(&p, &o, &o, send_each_size, path);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		if (sizes[i] > path->longest)
			continue;
		size_t len = sizes[i];
		unsigned char *buf = room(len + 1000);
		must_be(haul_recv(p.haul, NULL, buf, len + 1000, PATIENCE_MS, &status), len);
		must_hold(buf, len, i, 0);
		must_end_at(buf, len, len + 1000);
		must(status.peer == p.peer);
		must_be(status.tag, i);
		must_be(status.len, len);
		must_be(status.got, len);
		must_be(status.error, 0);
		must_be(status.flags, 0);
		must(status.msg == NULL);
		leave(buf);
	}
	pairing_end(&p);
}

static void receive_each_size(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct path *path = arg;
	struct haul_match match = { .from = p, .ignore = UINT64_MAX };
	for (size_t i = 0; i < COUNT(sizes); i++) {
		if (sizes[i] > path->longest)
			continue;
		unsigned char *buf = room(sizes[i]);
		must_be(haul_recv(h, &match, buf, sizes[i], PATIENCE_MS, NULL), sizes[i]);
		must_hold(buf, sizes[i], i, 0);
		must_end_at(buf, sizes[i], sizes[i]);
		leave(buf);
	}
}

EveryPath(behaviour, a_buffer_may_be_reused_when_its_send_returns)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	pairing_start(&p, &o, &o, receive_each_size, path);
	unsigned char *buf = malloc(sizes[COUNT(sizes) - 1]);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		if (sizes[i] > path->longest)
			continue;
		pattern_fill(buf, sizes[i], i, 0);
		must_be(haul_send(p.peer, i, buf, sizes[i], PATIENCE_MS), 0);
		memset(buf, 0xff, sizes[i]);
	}
	free(buf);
	pairing_end(&p);
}

/* ---- lists of buffers ---- */

static const size_t counts[] = { 1, 3, 5, 100, 1500 };

/* The same numbers on every run and in both processes. */
static size_t below(uint32_t *state, size_t bound)
{
	*state = *state * 1664525 + 1013904223;
	return (size_t)(*state >> 8) % bound;
}

/* Cuts len bytes into count buffers, every fifth of them empty, with gap bytes between any two. */
static void cut(unsigned char *buf, size_t len, size_t count, size_t gap, struct iovec *iov)
{
	uint32_t state = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		size_t n = i + 1 == count ? len : i % 5 == 3 ? 0 : below(&state, 2 * len / (count - i) + 1);
		n = n < len ? n : len;
		iov[i] = (struct iovec){ .iov_base = buf, .iov_len = n };
		buf += n + gap;
		len -= n;
	}
}

static size_t list_len(const struct path *path)
{
	return path_most(path, 600011);
}

static void send_lists(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = list_len(arg);
	struct iovec iov[1500];
	unsigned char *buf = filled(len, 1);
	(void)h;
	for (size_t i = 0; i < COUNT(counts); i++) {
		for (size_t j = 0; j < COUNT(counts); j++) {
			cut(buf, len, counts[i], 0, iov);
			must_be(haul_sendv(p, 0, iov, counts[i], HAUL_SYNC, PATIENCE_MS), 0);
		}
	}
	free(buf);
}

EveryPath(behaviour, lists_of_buffers_may_be_cut_differently)
{
	enum { GAP = 5 };
	struct haul_options o = path_options(path);
	struct pairing p;
	struct iovec iov[1500];
	size_t len = list_len(path), most = len + 1500 * GAP;
	unsigned char *buf = room(most);
	pairing_start(&p, &o, &o, send_lists, path);
	for (size_t i = 0; i < COUNT(counts); i++) {
		for (size_t j = 0; j < COUNT(counts); j++) {
			memset(buf, CANARY, most);
			cut(buf, len, counts[j], GAP, iov);
			must_be(haul_recvv(p.haul, NULL, iov, counts[j], PATIENCE_MS, NULL), len);
			size_t at = 0;
			for (size_t k = 0; k < counts[j]; k++) {
				unsigned char *base = iov[k].iov_base;
				must_hold(base, iov[k].iov_len, 1, at);
				must_be_untouched(base + iov[k].iov_len, GAP);
				at += iov[k].iov_len;
			}
			must_be_untouched(buf - MARGIN, MARGIN);
		}
	}
	leave(buf);
	pairing_end(&p);
}

static void send_empty_lists(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct iovec empty[3] = { { NULL, 0 }, { NULL, 0 }, { NULL, 0 } };
	(void)h;
	(void)arg;
	must_be(haul_sendv(p, 1, NULL, 0, HAUL_SYNC, PATIENCE_MS), 0);
	must_be(haul_sendv(p, 2, empty, 3, HAUL_SYNC, PATIENCE_MS), 0);
}

EveryPath(behaviour, an_empty_list_is_an_empty_message)
{
	struct haul_options o = path_options(path);
	struct haul_status status;
	struct iovec empty[3] = { { NULL, 0 }, { NULL, 0 }, { NULL, 0 } };
	struct pairing p;
	pairing_start(&p, &o, &o, send_empty_lists, NULL);
	must_be(haul_recvv(p.haul, NULL, empty, 3, PATIENCE_MS, &status), 0);
	must_be(status.tag, 1);
	must_be(haul_recvv(p.haul, NULL, NULL, 0, PATIENCE_MS, &status), 0);
	must_be(status.tag, 2);
	pairing_end(&p);
}

/* ---- messages that don't fit ---- */

static size_t long_len(const struct path *path)
{
	return path_most(path, 300007);
}

static void send_long_ones(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = long_len(arg);
	void *buf = filled(len, 3);
	struct iovec iov = { buf, len };
	(void)h;
	for (int i = 0; i < 3; i++) {
		must_be(haul_sendv(p, TAG_DATA, &iov, 1, HAUL_SYNC, PATIENCE_MS), -EMSGSIZE);
		must_be(haul_sendv(p, TAG_DATA, &iov, 1, HAUL_SYNC, PATIENCE_MS), 0);
		must_be(haul_send(p, TAG_DATA, buf, len, PATIENCE_MS), 0);
	}
	free(buf);
}

EveryPath(behaviour, a_short_buffer_gets_the_prefix_and_a_sync_sender_hears_of_it)
{
	struct haul_options o = path_options(path);
	struct haul_status status;
	struct pairing p;
	size_t len = long_len(path), parts[] = { 0, 1000, len - 1 };
	unsigned char *buf = room(len);
	pairing_start(&p, &o, &o, send_long_ones, path);
	for (size_t i = 0; i < COUNT(parts); i++) {
		memset(buf, CANARY, len);
		must_be(haul_recv(p.haul, NULL, buf, parts[i], PATIENCE_MS, &status), -EMSGSIZE);
		must_be(status.error, -EMSGSIZE);
		must_be(status.len, len);
		must_be(status.got, parts[i]);
		must_hold(buf, parts[i], 3, 0);
		must_end_at(buf, parts[i], len);
		/* the one after it is unharmed, */
		must_be(haul_recv(p.haul, NULL, buf, len, PATIENCE_MS, &status), len);
		must_hold(buf, len, 3, 0);
		/* and a standard send isn't concerned */
		must_be(haul_recv(p.haul, NULL, buf, len / 2, PATIENCE_MS, &status), -EMSGSIZE);
		must_hold(buf, len / 2, 3, 0);
	}
	leave(buf);
	pairing_end(&p);
}

static void receive_up_to_its_limit(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char buf[5000];
	(void)arg;
	must_be(haul_recv(h, NULL, buf, sizeof(buf), PATIENCE_MS, NULL), 5000);
	must_hold(buf, 5000, 1, 0);
	await_token(h, p);
}

EveryPath(behaviour, a_message_longer_than_the_peer_accepts_is_not_sent)
{
	struct haul_options o = path_options(path), theirs = o;
	struct pairing p;
	theirs.max_msg = 5000;
	pairing_start(&p, &o, &theirs, receive_up_to_its_limit, NULL);
	void *buf = filled(5001, 1);
	must_be(haul_send(p.peer, 0, buf, 5001, PATIENCE_MS), -EMSGSIZE);
	must_be(haul_send(p.peer, 0, buf, 5000, PATIENCE_MS), 0);
	send_token(p.peer);
	free(buf);
	pairing_end(&p);
}

/* ---- what the sender hears ---- */

static void receive_when_told(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct path *path = arg;
	size_t len = path_most(path, 100000);
	unsigned char *buf = room(len);
	struct haul_match match = { .from = p, .tag = TAG_DATA };
	await_token(h, p);
	must_be(haul_recv(h, &match, buf, len, PATIENCE_MS, NULL), len);
	leave(buf);
}

EveryPath(behaviour, a_sync_send_completes_only_when_received)
{
	struct haul_options o = path_options(path);
	struct haul_req *r;
	struct haul_status status;
	struct pairing p;
	size_t len = path_most(path, 100000);
	void *buf = filled(len, 1);
	struct iovec iov = { buf, len };
	pairing_start(&p, &o, &o, receive_when_told, path);
	must_be(haul_isend(p.peer, TAG_DATA, &iov, 1, HAUL_SYNC, &r), 0);
	must_be(haul_req_wait(r, 20), -ETIMEDOUT);
	must_be(haul_req_finish(r, NULL), -EINPROGRESS);
	send_token(p.peer);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, &status), 0);
	must(status.peer == p.peer);
	must_be(status.tag, TAG_DATA);
	must_be(status.len, len);
	must_be(status.got, len);
	free(buf);
	pairing_end(&p);
}

/* ---- timeout 0 ---- */

static void receive_the_only_one(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct path *path = arg;
	struct haul_match match = { .from = p, .ignore = UINT64_MAX };
	struct haul_status status;
	char buf[16];
	if (path->eager) {
		must_be(haul_recv(h, &match, buf, sizeof(buf), PATIENCE_MS, &status), 5);
		must_be(status.tag, 1);
		must(memcmp(buf, "short", 5) == 0);
	}
	must_be(haul_recv(h, &match, buf, sizeof(buf), PATIENCE_MS, &status), 0);
	must_be(status.tag, TAG_TOKEN);
}

EveryPath(behaviour, a_send_without_waiting_goes_at_once_or_not_at_all)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	static char big[70000];
	pairing_start(&p, &o, &o, receive_the_only_one, path);
	must_be(haul_send(p.peer, 1, "short", 5, 0), path->eager ? 0 : -EAGAIN);
	must_be(haul_send(p.peer, 2, big, sizeof(big), 0), -EAGAIN);
	must_be(haul_send(p.peer, 3, big, sizeof(big), 0), -EAGAIN);
	send_token(p.peer);
	pairing_end(&p);
}

static void send_after_token(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct path *path = arg;
	size_t len = path_most(path, 3000001);
	void *buf = filled(len, 9);
	struct iovec iov = { buf, len };
	await_token(h, p);
	must_be(haul_sendv(p, TAG_DATA, &iov, 1, HAUL_SYNC, PATIENCE_MS), 0);
	free(buf);
}

EveryPath(behaviour, a_receive_without_waiting_takes_what_is_there)
{
	struct haul_options o = path_options(path);
	struct haul_status status;
	struct pairing p;
	size_t len = path_most(path, 3000001);
	unsigned char *buf = room(len);
	pairing_start(&p, &o, &o, send_after_token, path);
	must_be(haul_recv(p.haul, NULL, buf, len, 0, &status), -EAGAIN);
	must_be(status.error, -EAGAIN);
	must_be(haul_probe(p.haul, NULL, 0, &status), -EAGAIN);
	must_be(haul_recv(p.haul, NULL, buf, len, 20, &status), -ETIMEDOUT);
	must_be(status.error, -ETIMEDOUT);
	must_be_untouched(buf, len);
	send_token(p.peer);
	must_be(haul_probe(p.haul, NULL, PATIENCE_MS, &status), 0);
	must_be(haul_recv(p.haul, NULL, buf, len, 0, &status), len);
	must_hold(buf, len, 9, 0);
	leave(buf);
	pairing_end(&p);
}

/* ---- who may be at the other end ---- */

EveryPath(behaviour, two_contexts_of_one_thread_talk)
{
	struct haul_options o = path_options(path);
	struct haul_peer_info info;
	struct haul_req *sent, *received;
	struct haul_status status;
	struct twins t;
	size_t len = path_most(path, 2000003);
	unsigned char *from = filled(len, 5), *to = room(len);
	struct iovec out = { from, len }, in = { to, len };
	twins_start(&t, &o);
	must_be(haul_peer_info(t.to_b, &info, sizeof(info)), 0);
	must_be(info.pid, getpid());
	must_be(info.uid, geteuid());
	must_be(info.alive, 1);
	must_be(info.in_path, o.path == HAUL_PATH_STREAM ? HAUL_PATH_STREAM : HAUL_PATH_PULL);
	must_be(haul_isend(t.to_b, 4, &out, 1, HAUL_SYNC, &sent), 0);
	must_be(haul_irecv(t.b, NULL, &in, 1, &received), 0);
	must_be(twins_finish(&t, received, &status), 0);
	must(status.peer == t.to_a);
	must_be(status.tag, 4);
	must_be(status.got, len);
	must_be(twins_finish(&t, sent, NULL), 0);
	must_hold(to, len, 5, 0);
	must_end_at(to, len, len);
	twins_end(&t);
	free(from);
	leave(to);
}

EveryPath(behaviour, a_context_talks_to_itself)
{
	struct haul_options o = path_options(path);
	struct haul_req *sent;
	struct haul_status status;
	struct twins t;
	size_t len = path_most(path, 2000003);
	unsigned char *from = filled(len, 5), *to = room(len);
	struct iovec out = { from, len };
	twins_start_in_one(&t, &o);
	for (int i = 0; i < 20; i++) {
		struct haul_peer *through = i % 2 == 0 ? t.to_a : t.to_b;
		struct haul_match match = { .from = i % 2 == 0 ? t.to_b : t.to_a, .tag = 4 };
		must_be(haul_isend(through, 4, &out, 1, HAUL_SYNC, &sent), 0);
		must_be(haul_recv(t.a, &match, to, len, PATIENCE_MS, &status), len);
		must(status.peer == match.from);
		must_be(haul_req_wait(sent, PATIENCE_MS), 0);
		must_be(haul_req_finish(sent, NULL), 0);
		must_hold(to, len, 5, 0);
		memset(to, CANARY, len);
	}
	twins_end(&t);
	free(from);
	leave(to);
}

/* ---- counters ---- */

enum { COUNTED = 20 };

struct count {
	uint64_t eager, eager_bytes, pull, pull_bytes, stream, stream_bytes;
};

static void must_count(const struct path *path, const struct count *c, size_t len)
{
	bool pull = path->path != HAUL_PATH_STREAM;
	bool eager = path->eager;
	must_be(c->eager, eager ? COUNTED : 0);
	must_be(c->eager_bytes, eager ? COUNTED * len : 0);
	must_be(c->pull, !eager && pull ? COUNTED : 0);
	must_be(c->pull_bytes, !eager && pull ? COUNTED * len : 0);
	must_be(c->stream, !pull ? COUNTED : 0);
	must_be(c->stream_bytes, !pull ? COUNTED * len : 0);
}

static void send_counted(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct path *path = arg;
	size_t len = path->eager ? 4000 : 400000;
	void *buf = filled(len, 1);
	struct iovec iov = { buf, len };
	struct haul_stats s;
	for (int i = 0; i < COUNTED; i++)
		must_be(haul_sendv(p, TAG_DATA, &iov, 1, HAUL_SYNC, PATIENCE_MS), 0);
	must_be(haul_stats(h, &s, sizeof(s)), 0);
	must_count(path,
	    &(struct count){ s.sent_eager, s.sent_eager_bytes, s.sent_pull, s.sent_pull_bytes, s.sent_stream,
	        s.sent_stream_bytes },
	    len);
	must_be(s.received_eager + s.received_pull + s.received_stream, 0);
	free(buf);
}

EveryPath(behaviour, counters_tell_the_path)
{
	struct haul_options o = path_options(path);
	struct haul_stats s;
	struct pairing p;
	size_t len = path->eager ? 4000 : 400000;
	unsigned char *buf = room(len);
	pairing_start(&p, &o, &o, send_counted, path);
	for (int i = 0; i < COUNTED; i++)
		must_be(haul_recv(p.haul, NULL, buf, len, PATIENCE_MS, NULL), len);
	must_be(haul_stats(p.haul, &s, sizeof(s)), 0);
	must_count(path,
	    &(struct count){ s.received_eager, s.received_eager_bytes, s.received_pull, s.received_pull_bytes,
	        s.received_stream, s.received_stream_bytes },
	    len);
	must_be(s.sent_eager + s.sent_pull + s.sent_stream, 0);
	must_be(s.withdrawn, 0);
	leave(buf);
	pairing_end(&p);
}

Test(behaviour, counters_may_be_asked_for_by_a_program_of_another_version)
{
	struct {
		struct haul_stats known;
		uint64_t unknown;
	} newer;
	struct haul_stats s;
	struct haul *h;
	must_be(haul_open(&h, NULL, 0), 0);
	memset(&newer, 0xff, sizeof(newer));
	must_be(haul_stats(h, &newer.known, sizeof(newer)), 0);
	must_be(newer.known.sent_eager, 0);
	must_be(newer.unknown, 0);
	memset(&s, 0xff, sizeof(s));
	must_be(haul_stats(h, &s, sizeof(s.sent_eager)), 0);
	must_be(s.sent_eager, 0);
	must(s.sent_eager_bytes == UINT64_MAX);
	must_be(haul_close(h, 0), 0);
}

/* ---- what a caller may keep with a peer, and what it may get wrong ---- */

static void just_leave(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)arg;
	await_token(h, p);
}

Test(behaviour, a_peer_keeps_the_pointer_it_was_given)
{
	struct pairing p;
	pairing_start(&p, NULL, NULL, just_leave, NULL);
	must(haul_peer_user(p.peer) == NULL);
	haul_peer_set_user(p.peer, &p);
	must(haul_peer_user(p.peer) == &p);
	haul_peer_set_user(NULL, &p);
	must(haul_peer_user(NULL) == NULL);
	send_token(p.peer);
	pairing_end(&p);
}

Test(behaviour, a_peer_is_known_by_its_pid)
{
	struct haul_peer_info info;
	struct pairing p;
	pairing_start(&p, NULL, NULL, just_leave, NULL);
	must_be(haul_peer_info(p.peer, &info, sizeof(info)), 0);
	must_be(info.pid, p.child.pid);
	must_be(info.uid, geteuid());
	must_be(info.gid, getegid());
	must_be(info.alive, 1);
	send_token(p.peer);
	pairing_end(&p);
}

Test(behaviour, misuse_is_refused_and_harms_nobody)
{
	struct iovec too_long[2] = { { &too_long, SIZE_MAX / 2 }, { &too_long, SIZE_MAX / 2 } };
	struct haul_status status;
	struct haul_req *r;
	struct haul *h;
	struct pairing p;
	struct haul_match match = { 0 };
	pairing_start(&p, NULL, NULL, just_leave, NULL);
	must_be(haul_send(NULL, 1, "", 0, -1), -EINVAL);
	must_be(haul_send(p.peer, 1, "", 0, -2), -EINVAL);
	must_be(haul_send(p.peer, 1, NULL, 1, -1), -EINVAL);
	must_be(haul_sendv(p.peer, 1, NULL, 0, 1U << 31, -1), -EINVAL);
	must_be(haul_sendv(p.peer, 1, too_long, 2, 0, -1), -EINVAL);
	must_be(haul_isend(p.peer, 1, too_long, 2, 0, &r), -EINVAL);
	must_be(haul_isend(p.peer, 1, NULL, 0, 0, NULL), -EINVAL);
	must_be(haul_recv(NULL, NULL, NULL, 0, -1, NULL), -EINVAL);
	must_be(haul_recv(p.haul, NULL, NULL, 1, 0, NULL), -EINVAL);
	must_be(haul_recv(p.haul, NULL, NULL, 0, -2, NULL), -EINVAL);
	must_be(haul_recvv(p.haul, NULL, too_long, 2, 0, NULL), -EINVAL);
	must_be(haul_irecv(p.haul, NULL, NULL, 0, NULL), -EINVAL);
	must_be(haul_probe(p.haul, NULL, 0, NULL), -EINVAL);
	must_be(haul_peer_flush(NULL, 0), -EINVAL);
	must_be(haul_peer_flush(p.peer, -2), -EINVAL);
	must_be(haul_req_test(NULL), -EINVAL);
	must_be(haul_req_wait(NULL, 0), -EINVAL);
	must_be(haul_req_finish(NULL, &status), -EINVAL);
	must_be(haul_progress(NULL), -EINVAL);
	must_be(haul_open(NULL, NULL, 0), -EINVAL);
	must_be(haul_peer_close(NULL, 0), 0);
	must_be(haul_close(NULL, 0), 0);
	haul_req_free(NULL);
	haul_listener_close(NULL);
	haul_interrupt(NULL);
	/* a peer of another context */
	match.from = p.peer;
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_recv(h, &match, NULL, 0, 0, &status), -EINVAL);
	must_be(status.error, -EINVAL);
	must_be(haul_close(h, 0), 0);
	send_token(p.peer);
	pairing_end(&p);
}
