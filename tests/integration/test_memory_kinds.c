/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buffers may be any memory: pages of any size, of files, untouched, secret. On every path, as the sender's and as
 * the receiver's, all bytes arrive; and one buffer that can't be pinned takes the path from no other.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/memory.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(memory_kinds, .timeout = 60);

enum { SENDER, RECEIVER, SIDES, SEED = 7, AFTER = 8, AFTER_LEN = (1 << 20) + 3 };

/* A kind of memory at one side. By value: Criterion copies it to another process. */
struct setting {
	struct path path;
	int kind, side;
};

static const char *make(const struct setting *s, size_t len, uint64_t seed, unsigned char **at)
{
	return s->kind == MEMORY_KINDS ? memory_make_huge(len, seed, at)
	                               : memory_kinds[s->kind].make(len, seed, at);
}

static bool is_blank(const struct setting *s)
{
	return s->side == SENDER && s->kind < MEMORY_KINDS && memory_kinds[s->kind].blank;
}

static size_t length(const struct setting *s)
{
	return path_most(&s->path, s->kind == MEMORY_KINDS ? 8 << 20 : memory_kinds[s->kind].len);
}

static void check_arrived(const struct setting *s, const unsigned char *at, size_t len)
{
	if (!is_blank(s)) {
		must_hold(at, len, SEED, 0);
		return;
	}
	for (size_t i = 0; i < len; i++)
		must(at[i] == 0);
}

/* The child's part: it has the memory. */
static void use_memory(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct setting *s = arg;
	size_t len = length(s);
	unsigned char *at;
	must(make(s, len, s->side == SENDER ? SEED : SEED + 1, &at) == NULL);
	struct iovec iov = { at, len };
	for (unsigned sync = 0; sync <= HAUL_SYNC; sync++) {
		if (s->side == SENDER) {
			must_be(haul_sendv(p, SEED, &iov, 1, sync, PATIENCE_MS), 0);
		} else {
			must_be(haul_recvv(h, NULL, &iov, 1, PATIENCE_MS, NULL), len);
			check_arrived(s, at, len);
		}
	}
	send_pattern(p, path_most(&s->path, AFTER_LEN), AFTER);
}

/* How often and how the test has received what the child sent. */
static void check_paths(struct pairing *p, const struct setting *s)
{
	bool unpinnable = s->kind < MEMORY_KINDS && memory_kinds[s->kind].unpinnable && s->side == SENDER;
	struct haul_peer_info info;
	struct haul_stats stats;
	must_be(haul_stats(p->haul, &stats, sizeof(stats)), 0);
	must_be(haul_peer_info(p->peer, &info, sizeof(info)), 0);
	must_be(info.in_error, s->path.path == HAUL_PATH_STREAM ? EOPNOTSUPP : 0);
	if (s->path.longest == SIZE_MAX && s->path.path != HAUL_PATH_STREAM) {
		uint64_t messages = s->side == SENDER ? 3 : 1;
		must_be(stats.received_stream, unpinnable ? 2 : 0);
		must_be(stats.received_pull, unpinnable ? messages - 2 : messages);
	}
}

static void use_by_child(const struct setting *s)
{
	struct haul_options o = path_options(&s->path);
	struct pairing p;
	size_t len = length(s);
	unsigned char *buf = s->side == SENDER ? room_for(len) : filled(len, SEED);
	struct iovec iov = { buf, len };
	pairing_start(&p, &o, &o, use_memory, s);
	for (unsigned sync = 0; sync <= HAUL_SYNC; sync++) {
		if (s->side == SENDER) {
			memset(buf, CANARY, len);
			must_be(haul_recv(p.haul, NULL, buf, len, PATIENCE_MS, NULL), len);
			check_arrived(s, buf, len);
		} else {
			must_be(haul_sendv(p.peer, SEED, &iov, 1, sync, PATIENCE_MS), 0);
		}
	}
	receive_pattern(p.haul, path_most(&s->path, AFTER_LEN), AFTER);
	check_paths(&p, s);
	free(buf);
	pairing_end(&p);
}

ParameterizedTestParameters(memory_kinds, all_of_it_arrives_from_and_in_any)
{
	static struct setting all[MEMORY_KINDS * SIDES * 8];
	struct criterion_test_params paths = paths_every();
	const struct path *path = paths.params;
	size_t n = 0;
	for (int kind = 0; kind < MEMORY_KINDS; kind++)
		for (int side = 0; side < SIDES; side++)
			for (size_t i = 0; i < paths.length; i++)
				if (side == SENDER || !memory_kinds[kind].read_only)
					all[n++] = (struct setting){ path[i], kind, side };
	return cr_make_param_array(struct setting, all, n);
}

ParameterizedTest(struct setting *s, memory_kinds, all_of_it_arrives_from_and_in_any)
{
	unsigned char *at;
	const char *cannot = make(s, length(s), SEED, &at);
	if (cannot != NULL)
		cr_skip_test("%s: %s", memory_kinds[s->kind].name, cannot);
	use_by_child(s);
}

/* In one test, because who asks for such pages changes a setting of the whole machine. */
Test(memory_kinds, all_of_it_arrives_from_and_in_pages_of_hugetlbfs)
{
	struct criterion_test_params paths = paths_every();
	const struct path *path = paths.params;
	struct setting s = { path[0], MEMORY_KINDS, SENDER };
	unsigned char *at;
	const char *cannot = memory_ask_huge(32 << 20);
	if (cannot == NULL)
		cannot = memory_make_huge(length(&s), SEED, &at);
	for (size_t i = 0; cannot == NULL && i < paths.length * SIDES; i++) {
		s.path = path[i / SIDES];
		s.side = (int)(i % SIDES);
		use_by_child(&s);
	}
	memory_ask_huge(0);
	if (cannot != NULL)
		cr_skip_test("%s", cannot);
}

static void send_to_self(struct haul *h, struct haul_peer *self, const struct setting *s)
{
	size_t len = path_most(&s->path, 1 << 20);
	unsigned char *from, *into, *plain = room_for(len);
	struct haul_req *r;
	if (make(s, len, SEED, &from) == NULL && make(s, len, SEED + 1, &into) == NULL) {
		struct iovec iov = { from, len };
		if (memory_kinds[s->kind].read_only)
			into = plain;
		must_be(haul_isend(self, SEED, &iov, 1, HAUL_SYNC, &r), 0);
		must_be(haul_recv(h, NULL, into, len, PATIENCE_MS, NULL), len);
		must_be(haul_req_wait(r, PATIENCE_MS), 0);
		must_be(haul_req_finish(r, NULL), 0);
		check_arrived(s, into, len);
	}
	free(plain);
}

/* A process is a peer of its own like any other. */
EveryPath(memory_kinds, all_of_it_arrives_from_and_in_any_within_one_process)
{
	struct haul_options o = path_options(path);
	struct haul *h;
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	struct haul_peer *self = haul_self(h);
	must(self != NULL);
	for (int kind = 0; kind < MEMORY_KINDS; kind++)
		send_to_self(h, self, &(struct setting){ *path, kind, SENDER });
	must_be(haul_close(h, PATIENCE_MS), 0);
}
