/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups: who is in one, and messages by rank. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/crew.h"
#include "lib/fds.h"
#include "lib/pattern.h"

TestSuite(group, .timeout = 60);

enum { TAG = 7, LARGE = 300000, T = CREW_PATIENCE_MS };

static const struct crew_options launched = { .launched = true };

/* A message whose pattern tells source, destination and tag. */
static uint64_t seed_of(int from, int to, uint32_t tag)
{
	return (uint64_t)from << 48 | (uint64_t)to << 32 | tag;
}

static void give(struct haul_group *g, int to, uint32_t tag, size_t len)
{
	unsigned char *buf = malloc(len + 1);
	pattern_fill(buf, len, seed_of(haul_group_rank(g), to, tag), 0);
	must_be(haul_group_send(g, to, tag, buf, len, T), 0);
	free(buf);
}

static struct haul_req *give_later(struct haul_group *g, int to, uint32_t tag, size_t len,
    unsigned char **buf)
{
	struct haul_req *r;
	*buf = malloc(len + 1);
	pattern_fill(*buf, len, seed_of(haul_group_rank(g), to, tag), 0);
	must_be(haul_group_isend(g, to, tag, &(struct iovec){ *buf, len }, 1, 0, &r), 0);
	return r;
}

/* The next one from there, which must be this. */
static void take(struct haul_group *g, int from, uint32_t tag, size_t len)
{
	struct haul_group_match match = { .from = from, .tag = tag };
	struct haul_status status;
	unsigned char *buf = malloc(len + 1);
	must_be(haul_group_recv(g, &match, buf, len, T, &status), len);
	must_be(status.rank, from);
	must_be(status.tag, tag);
	must_be(status.len, len);
	must_hold(buf, len, seed_of(from, haul_group_rank(g), tag), 0);
	free(buf);
}

static void finish(struct haul_req *r)
{
	must_be(haul_req_wait(r, T), 0);
	must_be(haul_req_finish(r, NULL), 0);
}

/* ---- who is in it ---- */

static void be_alone(struct haul_group *g, const void *arg)
{
	struct haul *h;
	unsigned char byte = 1;
	(void)g;
	(void)arg;
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_group_init(h, NULL, 0, &g), 0);
	must_be(haul_group_rank(g), 0);
	must_be(haul_group_size(g), 1);
	must(haul_group_context(g) == h);
	struct haul_req *r;
	must_be(haul_group_isend(g, 0, TAG, &(struct iovec){ &byte, 1 }, 1, 0, &r), 0);
	must_be(haul_group_recv(g, NULL, &byte, 1, T, NULL), 1);
	finish(r);
	must_be(haul_barrier(g, T), 0);
	must_be(haul_bcast(g, 0, &byte, 1, T), 0);
	crew_close(h, g);
}

Test(group, a_program_started_by_itself_is_a_group_of_one)
{
	crew_run(1, &(struct crew_options){ .bare = true }, be_alone, NULL);
	crew_run(1, NULL, be_alone, NULL);
}

static void know_the_ranks(struct haul_group *g, const void *arg)
{
	(void)arg;
	must_be(haul_group_rank(g), crew_rank());
	must_be(haul_group_size(g), crew_size());
	for (int i = 0; i < crew_size(); i++)
		must_be(haul_group_translate(g, i, g), i);
	must_be(haul_group_translate(g, crew_size(), g), -EINVAL);
	must_be(haul_group_acknowledge(g, NULL, 0), 0);
}

Test(group, members_know_their_ranks)
{
	crew_run(5, NULL, know_the_ranks, NULL);
	crew_run(5, &launched, know_the_ranks, NULL);
}

static void use_what_was_freed(struct haul_group *g, const void *arg)
{
	struct haul *h;
	struct haul_group *other;
	struct haul_peer *p;
	struct haul_req *r;
	char byte = 0;
	(void)arg;
	g = crew_open(&h);
	must_be(crew_init(h, &other), -EBUSY);
	must_be(haul_barrier(g, T), 0);
	crew_meet();
	must_be(haul_group_free(g, T), 0);
	must_be(haul_group_rank(g), -EBADF);
	must_be(haul_group_size(g), -EBADF);
	must(haul_group_context(g) == NULL);
	must_be(haul_group_peer(g, 0, T, &p), -EBADF);
	must_be(haul_group_translate(g, 0, g), -EBADF);
	must_be(haul_group_acknowledge(g, NULL, 0), -EBADF);
	must_be(haul_group_send(g, 0, 0, &byte, 1, T), -EBADF);
	must_be(haul_group_isend(g, 0, 0, NULL, 0, 0, &r), -EBADF);
	must_be(haul_group_recv(g, NULL, &byte, 1, T, NULL), -EBADF);
	must_be(haul_group_irecv(g, NULL, NULL, 0, &r), -EBADF);
	must_be(haul_group_itake(g, NULL, &r), -EBADF);
	must_be(haul_barrier(g, T), -EBADF);
	must_be(haul_ibcast(g, 0, &byte, 1, &r), -EBADF);
	must_be(haul_group_split(g, 0, 0, T, &other), -EBADF);
	must_be(haul_group_free(g, 0), -EBADF);
	must_be(haul_group_free(NULL, 0), 0);
	crew_meet();
	must_be(crew_init(h, &g), 0);
	must_be(haul_barrier(g, T), 0);
	crew_close(h, g);
}

Test(group, one_that_was_freed_answers_EBADF_and_there_may_be_another)
{
	struct crew c;
	crew_start(&c, 3, &(struct crew_options){ .bare = true }, use_what_was_freed, NULL);
	for (int i = 0; i < 2; i++) {
		crew_await_all(&c);
		crew_go_all(&c);
	}
	crew_end(&c);
}

/* ---- messages ---- */

static void exchange_with_all(struct haul_group *g, const void *arg)
{
	const size_t *len = arg;
	int n = crew_size(), me = crew_rank();
	struct haul_req *reqs[CREW_MOST];
	unsigned char *bufs[CREW_MOST];
	for (int i = 0; i < n; i++)
		reqs[i] = give_later(g, i, TAG, *len, &bufs[i]);
	for (int i = 0; i < n; i++)
		take(g, (me + i) % n, TAG, *len);
	for (int i = 0; i < n; i++) {
		finish(reqs[i]);
		free(bufs[i]);
	}
}

static const struct haul_options stream = { .path = HAUL_PATH_STREAM };
static const struct haul_options by_outbox = { .transport = HAUL_TRANSPORT_OUTBOX };
static const struct haul_options by_socket = { .transport = HAUL_TRANSPORT_SOCKET };

Test(group, messages_of_all_lengths_go_from_each_to_each_and_to_oneself)
{
	const struct haul_options *options[] = { NULL, &stream, &by_outbox, &by_socket };
	for (size_t o = 0; o < 4; o++)
		for (int l = 0; l < 2; l++)
			for (size_t len = 0; len <= LARGE; len = len * 100 + 3)
				crew_run(4,
				    &(struct crew_options){ .options = options[o], .launched = l != 0 },
				    exchange_with_all, &len);
}

static void name_what_is_wanted(struct haul_group *g, const void *arg)
{
	struct haul_status s;
	char byte;
	(void)arg;
	if (crew_rank() != 0) {
		give(g, 0, 0x10, 1);
		give(g, 0, 0xffffffff, 1);
		give(g, 0, 0x21, 1);
		must_be(haul_barrier(g, T), 0);
		crew_meet();
		return;
	}
	must_be(haul_barrier(g, T), 0); /* all has come */
	take(g, 2, 0xffffffff, 1);
	struct haul_group_match part = { .from = 1, .tag = 0x2f, .ignore = 0xf };
	must_be(haul_group_recv(g, &part, &byte, 1, T, &s), 1);
	must_be(s.tag, 0x21);
	must_be(s.rank, 1);
	struct haul_group_match any_rank = { .from = HAUL_ANY_RANK, .tag = 0x21 };
	must_be(haul_group_recv(g, &any_rank, &byte, 1, T, &s), 1);
	must_be(s.rank, 2);
	struct haul_group_match any_tag = { .from = 2, .ignore = UINT32_MAX };
	must_be(haul_group_recv(g, &any_tag, &byte, 1, T, &s), 1);
	must_be(s.tag, 0x10);
	must_be(haul_group_recv(g, &any_tag, &byte, 1, 0, &s), -EAGAIN);
	must_be(haul_group_recv(g, &any_tag, &byte, 1, 20, &s), -ETIMEDOUT);
	must_be(s.error, -ETIMEDOUT);
	for (int i = 0; i < 2; i++) {
		must_be(haul_group_recv(g, NULL, &byte, 1, T, &s), 1);
		must_be(s.rank, 1);
		must_be(s.tag, i == 0 ? 0x10 : 0xffffffff);
	}
	must_be(haul_group_recv(g, NULL, &byte, 1, 0, &s), -EAGAIN);
	crew_meet();
}

Test(group, a_receive_names_a_rank_or_any_and_a_part_of_the_tag)
{
	struct crew c;
	crew_start(&c, 3, NULL, name_what_is_wanted, NULL);
	crew_await_all(&c);
	crew_go_all(&c);
	crew_end(&c);
}

enum { ROW = 400 };

static size_t len_in_row(int i)
{
	return i % 50 == 49 ? 100000 : (size_t)i;
}

static void send_rows(struct haul_group *g, const void *arg)
{
	int n = crew_size(), next[CREW_MOST] = { 0 };
	struct haul_req *reqs[ROW];
	unsigned char *bufs[ROW], *buf = malloc(100000);
	(void)arg;
	if (crew_rank() != 0) {
		for (int i = 0; i < ROW; i++)
			reqs[i] = give_later(g, 0, (uint32_t)i, len_in_row(i), &bufs[i]);
		for (int i = 0; i < ROW; i++) {
			finish(reqs[i]);
			free(bufs[i]);
		}
	}
	for (int i = 0; crew_rank() == 0 && i < ROW * (n - 1); i++) {
		struct haul_status s;
		ssize_t len = haul_group_recv(g, NULL, buf, 100000, T, &s);
		must(len >= 0);
		must_be(s.tag, next[s.rank]);
		must_be(len, len_in_row(next[s.rank]++));
		must_hold(buf, (size_t)len, seed_of(s.rank, 0, (uint32_t)s.tag), 0);
	}
	free(buf);
}

Test(group, messages_from_each_member_come_in_the_order_sent)
{
	crew_run(4, NULL, send_rows, NULL);
	crew_run(4, &launched, send_rows, NULL);
	crew_run(4, &(struct crew_options){ .options = &by_outbox }, send_rows, NULL);
}

enum { CROWD = 2000 };

/* Before anybody is connected; what each has sent is all outstanding at once. */
static void send_a_crowd(struct haul_group *g, const void *arg)
{
	int n = crew_size();
	struct haul_req **reqs = calloc((size_t)n * CROWD, sizeof(*reqs)),
	                **recvs = calloc((size_t)n * CROWD, sizeof(*recvs));
	unsigned(*out)[CROWD] = calloc((size_t)n, sizeof(*out)),
	(*in)[CROWD] = calloc((size_t)n, sizeof(*in));
	(void)arg;
	for (int i = 0; i < CROWD; i++)
		for (int to = 0; to < n; to++) {
			out[to][i] = (unsigned)(crew_rank() * 1000000 + to * 10000 + i);
			must_be(haul_group_isend(g, to, (uint32_t)i,
			            &(struct iovec){ &out[to][i], sizeof(unsigned) }, 1, 0,
			            &reqs[to * CROWD + i]),
			    0);
		}
	for (int i = CROWD - 1; i >= 0; i--)
		for (int from = 0; from < n; from++) {
			struct haul_group_match match = { .from = from, .tag = (uint32_t)i };
			must_be(haul_group_irecv(g, &match, &(struct iovec){ &in[from][i], sizeof(unsigned) },
			            1, &recvs[from * CROWD + i]),
			    0);
		}
	must_be(haul_wait_all(recvs, (size_t)n * CROWD, T), 0);
	must_be(haul_wait_all(reqs, (size_t)n * CROWD, T), 0);
	for (int i = 0; i < n * CROWD; i++) {
		must_be(in[i / CROWD][i % CROWD], i / CROWD * 1000000 + crew_rank() * 10000 + i % CROWD);
		must_be(haul_req_finish(recvs[i], NULL), 0);
		must_be(haul_req_finish(reqs[i], NULL), 0);
	}
	free(reqs);
	free(recvs);
	free(out);
	free(in);
}

Test(group, thousands_of_messages_may_be_sent_before_anybody_is_connected)
{
	crew_run(4, NULL, send_a_crowd, NULL);
	crew_run(4, &launched, send_a_crowd, NULL);
}

static void probe_and_take(struct haul_group *g, const void *arg)
{
	struct haul_status s;
	struct haul_msg *m;
	struct haul_req *r;
	unsigned char *buf = malloc(LARGE);
	(void)arg;
	if (crew_rank() == 1) {
		give(g, 0, TAG, LARGE);
		give(g, 0, TAG + 1, 10);
		give(g, 0, TAG + 2, LARGE);
	}
	if (crew_rank() == 0) {
		struct haul_group_match none = { .from = 1, .tag = 99 },
		                        second = { .from = 1, .tag = TAG + 1 };
		must_be(haul_group_probe(g, NULL, T, &s), 0);
		must_be(s.rank, 1);
		must_be(s.tag, TAG);
		must_be(s.len, LARGE);
		must_be(s.got, 0);
		must_be(haul_group_probe(g, &none, 0, &s), -EAGAIN);
		must_be(haul_group_probe(g, &none, 20, &s), -ETIMEDOUT);
		must_be(haul_group_take(g, &none, 0, &m), -EAGAIN);
		must_be(haul_group_take(g, NULL, T, &m), 0);
		must_be(haul_msg_status(m, &s), 0);
		must_be(s.rank, 1);
		must_be(s.tag, TAG);
		must_be(s.len, LARGE);
		must_be(haul_msg_read(m, 0, &(struct iovec){ buf, LARGE }, 1, T), LARGE);
		must_hold(buf, LARGE, seed_of(1, 0, TAG), 0);
		must_be(haul_msg_done(m), 0);
		take(g, 1, TAG + 1, 10);
		must_be(haul_group_probe(g, &second, 0, &s), -EAGAIN);
		must_be(haul_group_itake(g, NULL, &r), 0);
		must_be(haul_req_wait(r, T), 0);
		must_be(haul_req_finish(r, &s), 0);
		must_be(s.rank, 1);
		must_be(s.tag, TAG + 2);
		must_be(haul_msg_refuse(s.msg, -ENOTSUP), 0);
	}
	free(buf);
}

Test(group, a_probe_and_a_taken_message_tell_the_rank)
{
	crew_run(2, NULL, probe_and_take, NULL);
	crew_run(2, &(struct crew_options){ .options = &stream }, probe_and_take, NULL);
}

static void send_with_flags(struct haul_group *g, const void *arg)
{
	struct haul_status s;
	struct haul_req *sync, *copy;
	char small = 'x', *large = malloc(LARGE);
	(void)arg;
	if (crew_rank() == 0) {
		must_be(haul_group_isend(g, 1, 1, &(struct iovec){ &small, 1 }, 1, HAUL_SYNC, &sync), 0);
		pattern_fill(large, LARGE, 5, 0);
		must_be(haul_group_isend(g, 1, 2, &(struct iovec){ large, LARGE }, 1, HAUL_COPY, &copy), 0);
		must_be(haul_req_test(copy), 0);
		memset(large, 0, LARGE);
		must_be(haul_req_finish(copy, &s), 0);
		must_be(s.rank, 1);
		must_be(s.tag, 2);
		must_be(haul_req_test(sync), -EINPROGRESS);
		crew_say();
		must_be(haul_req_wait(sync, T), 0);
		must_be(haul_req_finish(sync, &s), -EMSGSIZE);
		must_be(s.rank, 1);
		must_be(s.tag, 1);
		must_be(haul_group_isend(g, 1, 1, NULL, 0, 1 << 20, &sync), -EINVAL);
	} else {
		struct haul_group_match first = { .from = 0, .tag = 1 }, second = { .from = 0, .tag = 2 };
		crew_heed();
		must_be(haul_group_recv(g, &second, large, LARGE, T, NULL), LARGE);
		must_hold(large, LARGE, 5, 0);
		must_be(haul_group_recv(g, &first, NULL, 0, T, NULL), -EMSGSIZE);
	}
	free(large);
}

Test(group, flags_of_sends_mean_the_same_as_elsewhere)
{
	struct crew c;
	crew_start(&c, 2, NULL, send_with_flags, NULL);
	crew_await(&c, 0);
	crew_go(&c, 1);
	crew_end(&c);
}

/* ---- groups do not meet ---- */

static void receive_beside_the_group(struct haul_group *g, const void *arg)
{
	struct haul *h = haul_group_context(g);
	struct haul_status s;
	struct haul_req *r, *own;
	char byte = 0, other = (char)(crew_rank() + 1);
	(void)arg;
	must_be(haul_irecv(h, NULL, &(struct iovec){ &byte, 1 }, 1, &r), 0);
	for (int i = 0; i < crew_size(); i++)
		if (i != crew_rank())
			give(g, i, TAG, 1000);
	must_be(haul_barrier(g, T), 0);
	must_be(haul_probe(h, NULL, 0, &s), -EAGAIN);
	must_be(haul_req_test(r), -EINPROGRESS);
	must_be(haul_barrier(g, T), 0);
	/* Nor does the program's own traffic with a member meet the group's receives. */
	int right = (crew_rank() + 1) % crew_size();
	struct haul_peer *p;
	must_be(haul_group_peer(g, right, T, &p), 0);
	must_be(haul_isend(p, TAG, &(struct iovec){ &other, 1 }, 1, 0, &own), 0);
	finish(own);
	must_be(haul_req_wait(r, T), 0);
	must_be(haul_req_finish(r, &s), 0);
	must_be(byte, (crew_rank() + crew_size() - 1) % crew_size() + 1);
	must_be(s.tag, TAG);
	must_be(s.rank, 0);
	for (int i = 0; i < crew_size(); i++)
		if (i != crew_rank())
			take(g, i, TAG, 1000);
	must_be(haul_group_probe(g, NULL, 0, &s), -EAGAIN);
	must_be(haul_barrier(g, T), 0);
}

Test(group, receives_of_the_program_do_not_meet_those_of_the_group)
{
	crew_run(3, NULL, receive_beside_the_group, NULL);
	crew_run(3, &launched, receive_beside_the_group, NULL);
}

static void talk_in_two_groups(struct haul_group *g, const void *arg)
{
	struct haul_group *d;
	int right = (crew_rank() + 1) % crew_size(), left = (crew_rank() + crew_size() - 1) % crew_size();
	(void)arg;
	must_be(haul_group_dup(g, T, &d), 0);
	must(d != g);
	must_be(haul_group_rank(d), crew_rank());
	must_be(haul_group_size(d), crew_size());
	give(g, right, TAG, 100);
	give(d, right, TAG, 200);
	take(d, left, TAG, 200);
	take(g, left, TAG, 100);
	must_be(haul_group_free(d, 0), 0);
	must_be(haul_barrier(g, T), 0);
}

Test(group, messages_of_a_duplicate_do_not_meet_those_of_the_original)
{
	crew_run(3, NULL, talk_in_two_groups, NULL);
}

/* Whoever has the new group first sends at once; others may not have it yet. */
static void send_as_soon_as_there_is_one(struct haul_group *g, const void *arg)
{
	(void)arg;
	for (int i = 0; i < 60; i++) {
		struct haul_group *d;
		must_be(haul_group_dup(g, T, &d), 0);
		for (int to = 0; to < crew_size(); to++)
			if (to != crew_rank())
				give(d, to, (uint32_t)i, 10);
		must_be(haul_barrier(d, T), 0);
		for (int from = 0; from < crew_size(); from++)
			if (from != crew_rank())
				take(d, from, (uint32_t)i, 10);
		must_be(haul_group_free(d, 0), 0);
	}
}

Test(group, a_message_may_come_before_its_group_is_there)
{
	crew_run(5, NULL, send_as_soon_as_there_is_one, NULL);
}

static void split_by_colour(struct haul_group *g, const void *arg)
{
	int me = crew_rank(), n = crew_size();
	struct haul_group *s, *all, *none;
	(void)arg;
	/* Odd and even ones, each in reverse; rank 6 in none. */
	must_be(haul_group_split(g, me == 6 ? -1 : me % 2, -me, T, &s), 0);
	if (me == 6) {
		must(s == NULL);
	} else {
		int size = me % 2 == 0 ? 3 : 3, rank = 0;
		for (int i = n - 1; i > me; i--)
			rank += i != 6 && i % 2 == me % 2;
		must_be(haul_group_size(s), size);
		must_be(haul_group_rank(s), rank);
		for (int i = 0; i < n; i++) {
			int there = haul_group_translate(g, i, s);
			must(i != 6 && i % 2 == me % 2 ? there >= 0 : there == -ENOENT);
			if (there >= 0)
				must_be(haul_group_translate(s, there, g), i);
		}
		int right = (rank + 1) % size, left = (rank + size - 1) % size;
		give(s, right, TAG, 50);
		take(s, left, TAG, 50);
	}
	/* Equal keys: by rank. */
	must_be(haul_group_split(g, 5, 3, T, &all), 0);
	must_be(haul_group_rank(all), me);
	must_be(haul_group_split(g, -1, 0, T, &none), 0);
	must(none == NULL);
	must_be(haul_barrier(all, T), 0);
	must_be(haul_group_free(all, 0), 0);
	must_be(haul_group_free(s, 0), 0);
}

Test(group, split_makes_groups_by_colour_ordered_by_key_then_by_rank)
{
	crew_run(7, NULL, split_by_colour, NULL);
	crew_run(7, &launched, split_by_colour, NULL);
}

/* Left and right pairs of a ring: each member is in two that overlap, besides the group of all. */
static void overlap(struct haul_group *g, const void *arg)
{
	struct haul_group *pair[2];
	int me = crew_rank();
	(void)arg;
	for (int k = 0; k < 2; k++)
		must_be(haul_group_split(g, (me + k) % crew_size() / 2, 0, T, &pair[k]), 0);
	for (int i = 0; i < 50; i++) {
		for (int k = 0; k < 2; k++)
			give(pair[k], 1 - haul_group_rank(pair[k]), TAG, (size_t)(10 + k));
		give(g, (me + 1) % crew_size(), TAG, 3);
		for (int k = 1; k >= 0; k--)
			take(pair[k], 1 - haul_group_rank(pair[k]), TAG, (size_t)(10 + k));
		take(g, (me + crew_size() - 1) % crew_size(), TAG, 3);
	}
	for (int k = 0; k < 2; k++)
		must_be(haul_group_free(pair[k], 0), 0);
}

Test(group, messages_of_groups_that_overlap_do_not_meet)
{
	crew_run(6, NULL, overlap, NULL);
}

/* What goes to a member that has freed the group comes back; what this member has under way ends with it. */
static void free_a_group_in_use(struct haul_group *g, const void *arg)
{
	struct haul_group *d;
	struct haul_req *large, *sync, *in;
	struct haul_stats stats;
	unsigned char *buf = calloc(1, LARGE), byte;
	(void)arg;
	must_be(haul_group_dup(g, T, &d), 0);
	must_be(haul_group_isend(d, 1 - crew_rank(), 1, &(struct iovec){ buf, LARGE }, 1, 0, &large), 0);
	must_be(haul_group_irecv(d, &(struct haul_group_match){ .tag = 9 }, &(struct iovec){ &byte, 1 }, 1,
	            &in),
	    0);
	must_be(haul_barrier(d, T), 0);
	if (crew_rank() == 0) {
		must_be(haul_group_free(d, T), 0);
		must_be(haul_req_test(large), 0);
		must_be(haul_req_finish(large, NULL), -ECANCELED);
		must_be(haul_req_test(in), 0);
		must_be(haul_req_finish(in, NULL), -ECANCELED);
		must_be(haul_barrier(g, T), 0);
	} else {
		must_be(haul_barrier(g, T), 0);
		must_be(haul_req_wait(large, T), 0);
		must_be(haul_req_finish(large, NULL), -EPIPE);
		must_be(haul_group_isend(d, 0, 1, &(struct iovec){ &byte, 1 }, 1, HAUL_SYNC, &sync), 0);
		must_be(haul_req_wait(sync, T), 0);
		must_be(haul_req_finish(sync, NULL), -EPIPE);
		must_be(haul_group_send(d, 0, 1, &byte, 1, T), 0);
		must_be(haul_group_free(d, T), 0);
		must_be(haul_req_test(in), 0);
		must_be(haul_req_finish(in, NULL), -ECANCELED);
	}
	must_be(haul_barrier(g, T), 0);
	must_be(haul_stats(haul_group_context(g), &stats, sizeof(stats)), 0);
	must_be(stats.unexpected, 0);
	free(buf);
}

Test(group, what_is_under_way_in_a_group_ends_with_it)
{
	crew_run(2, NULL, free_a_group_in_use, NULL);
	crew_run(2, &(struct crew_options){ .options = &stream }, free_a_group_in_use, NULL);
}

/* A program that has used up its room for copies can still reach a member that it has not reached yet. */
static void reach_without_room(struct haul_group *g, const void *arg)
{
	char byte = 1;
	struct haul_req *copy;
	(void)arg;
	if (crew_rank() == 0) {
		must_be(haul_group_isend(g, 0, 1, &(struct iovec){ (char[64]){ 0 }, 64 }, 1, HAUL_COPY | HAUL_SYNC,
		            &copy),
		    0);
		must_be(haul_group_isend(g, 0, 1, &(struct iovec){ &byte, 1 }, 1, HAUL_COPY, &(struct haul_req *){ 0 }),
		    -EAGAIN);
		must_be(haul_group_send(g, 1, 0, &byte, 1, T), 0);
		must_be(haul_group_recv(g, &(struct haul_group_match){ .tag = 1 }, NULL, 0, T, NULL), -EMSGSIZE);
		must_be(haul_req_wait(copy, T), 0);
		haul_req_finish(copy, NULL);
	} else {
		must_be(haul_group_recv(g, NULL, &byte, 1, T, NULL), 1);
	}
	must_be(haul_barrier(g, T), 0);
}

Test(group, members_are_reached_even_without_room_for_copies)
{
	crew_run(2, &(struct crew_options){ .options = &(struct haul_options){ .copy_budget = 64 } },
	    reach_without_room, NULL);
}

static void wait_for_who_has_left(struct haul_group *g, const void *arg)
{
	struct haul_group *d;
	(void)arg;
	must_be(haul_group_dup(g, T, &d), 0);
	if (crew_rank() == 1)
		must_be(haul_group_free(d, T), 0);
	must_be(haul_barrier(g, T), 0);
	if (crew_rank() != 1) {
		must_be(haul_barrier(d, T), -EPIPE);
		must_be(haul_group_free(d, T), 0);
	}
	must_be(haul_barrier(g, T), 0);
}

Test(group, a_collective_with_a_member_that_has_freed_the_group_is_EPIPE)
{
	crew_run(2, NULL, wait_for_who_has_left, NULL);
	crew_run(3, NULL, wait_for_who_has_left, NULL);
}

/* ---- connections ---- */

enum { FDS_EACH = 2 };

static void pass_round(struct haul_group *g, const void *arg)
{
	int n = crew_size(), right = (crew_rank() + 1) % n, left = (crew_rank() + n - 1) % n;
	int before = fds_count();
	(void)arg;
	for (int i = 0; i < 50; i++) {
		give(g, right, TAG, 20);
		take(g, left, TAG, 20);
	}
	must_be(fds_count() - before, 2 * FDS_EACH);
	crew_meet();
}

Test(group, in_a_ring_each_member_has_two_connections)
{
	struct crew c;
	crew_start(&c, 8, &launched, pass_round, NULL);
	crew_await_all(&c);
	crew_go_all(&c);
	crew_end(&c);
}

static void answer(struct haul_group *g, const void *arg)
{
	int before = fds_count();
	(void)arg;
	for (int i = 0; i < 20; i++) {
		if (crew_rank() == 0)
			for (int k = 1; k < crew_size(); k++) {
				struct haul_status s;
				must_be(haul_group_recv(g, NULL, NULL, 0, T, &s), 0);
				must_be(haul_group_send(g, s.rank, 1, NULL, 0, T), 0);
			}
		else {
			must_be(haul_group_send(g, 0, 0, NULL, 0, T), 0);
			must_be(haul_group_recv(g, NULL, NULL, 0, T, NULL), 0);
		}
	}
	must_be(fds_count() - before, FDS_EACH * (crew_rank() == 0 ? crew_size() - 1 : 1));
	crew_meet();
}

Test(group, an_answer_goes_by_the_connection_by_which_the_question_came)
{
	for (int l = 0; l < 2; l++) {
		struct crew c;
		crew_start(&c, 5, &(struct crew_options){ .launched = l != 0 }, answer, NULL);
		crew_await_all(&c);
		crew_go_all(&c);
		crew_end(&c);
	}
}

static void look_at_peers(struct haul_group *g, const void *arg)
{
	pid_t pid = getpid();
	struct haul_peer_info info;
	(void)arg;
	struct haul_peer *p, *again;
	must_be(haul_group_peer(g, -1, T, &p), -EINVAL);
	must_be(haul_group_peer(g, crew_size(), T, &p), -EINVAL);
	must_be(haul_group_peer(g, 0, -2, &p), -EINVAL);
	must_be(haul_group_peer(g, 0, T, NULL), -EINVAL);
	must_be(haul_group_peer(g, crew_rank(), 0, &p), 0);
	must(p == haul_self(haul_group_context(g)));
	for (int i = 0; i < crew_size(); i++) {
		pid_t theirs;
		must_be(haul_group_peer(g, i, T, &p), 0);
		must_be(haul_group_peer(g, i, 0, &again), 0);
		must(p == again);
		must_be(haul_bcast(g, i, i == crew_rank() ? &pid : &theirs, sizeof(pid), T), 0);
		if (i == crew_rank())
			continue;
		must_be(haul_peer_flush(p, T), 0);
		must_be(haul_peer_info(p, &info, sizeof(info)), 0);
		must_be(info.pid, theirs);
	}
	must_be(haul_barrier(g, T), 0);
}

Test(group, a_member_is_a_peer)
{
	crew_run(4, NULL, look_at_peers, NULL);
	crew_run(4, &launched, look_at_peers, NULL);
}

static void abort_the_job(struct haul_group *g, const void *arg)
{
	(void)arg;
	must_be(haul_barrier(g, T), 0);
	crew_meet(); /* or its word could be lost with it */
	if (crew_rank() == 1)
		haul_group_abort(g, 7, "enough");
	crew_heed();
}

Test(group, an_abort_tells_the_launcher_why)
{
	struct crew c;
	char why[64];
	crew_start(&c, 2, &launched, abort_the_job, NULL);
	crew_await_all(&c);
	crew_go_all(&c);
	crew_expect(&c, 1, 7);
	must_be(crew_hear_abort(&c, 1, why, sizeof(why)), 7);
	must(strcmp(why, "enough") == 0);
	crew_tell(&c, 1, false);
	crew_go(&c, 0);
	crew_end(&c);
}

/* ---- threads and forks ---- */

enum { THREADS = 4 };

struct task {
	struct haul_group *g, *made;
	int nth;
};

static void *work_in_one(void *arg)
{
	struct task *t = arg;
	int n = haul_group_size(t->g), me = haul_group_rank(t->g);
	const struct haul_operator sum = { HAUL_SUM, HAUL_INT32, 0, 0, NULL, NULL };
	unsigned char *large = malloc(LARGE);
	for (int i = 0; i < 30; i++) {
		int mine = me + i + t->nth, all = 0;
		must_be(haul_allreduce(t->g, &sum, &mine, &all, 1, T), 0);
		must_be(all, n * (n - 1) / 2 + n * (i + t->nth));
		if (me == i % n)
			pattern_fill(large, LARGE, (uint64_t)i, 0);
		must_be(haul_bcast(t->g, i % n, large, LARGE, T), 0);
		must_hold(large, LARGE, (uint64_t)i, 0);
		give(t->g, (me + 1) % n, (uint32_t)t->nth, 100);
		take(t->g, (me + n - 1) % n, (uint32_t)t->nth, 100);
		if (i % 10 != 0)
			continue;
		struct haul_group *d;
		must_be(haul_group_dup(t->g, T, &d), 0);
		give(d, (me + 1) % n, (uint32_t)t->nth, 10);
		take(d, (me + n - 1) % n, (uint32_t)t->nth, 10);
		must_be(haul_barrier(d, T), 0);
		must_be(haul_group_free(d, 0), 0);
	}
	free(large);
	return NULL;
}

static void work_in_many(struct haul_group *g, const void *arg)
{
	struct task tasks[THREADS];
	pthread_t threads[THREADS];
	(void)arg;
	for (int i = 0; i < THREADS; i++) {
		tasks[i].nth = i;
		must_be(haul_group_dup(g, T, &tasks[i].g), 0);
	}
	for (int i = 0; i < THREADS; i++)
		must_be(pthread_create(&threads[i], NULL, work_in_one, &tasks[i]), 0);
	for (int i = 0; i < THREADS; i++)
		must_be(pthread_join(threads[i], NULL), 0);
	must_be(haul_barrier(g, T), 0);
	for (int i = 0; i < THREADS; i++)
		must_be(haul_group_free(tasks[i].g, 0), 0);
}

Test(group, threads_work_in_a_group_each)
{
	crew_run(3, NULL, work_in_many, NULL);
	crew_run(3, &(struct crew_options){ .options = &by_outbox }, work_in_many, NULL);
}

static void fork_within(struct haul_group *g, const void *arg)
{
	struct haul *h = haul_group_context(g);
	struct haul_req *r, *b;
	char byte;
	int status;
	(void)arg;
	must_be(haul_barrier(g, T), 0);
	must_be(haul_group_irecv(g, NULL, &(struct iovec){ &byte, 1 }, 1, &r), 0);
	must_be(haul_ibarrier(g, &b), 0);
	pid_t pid = fork();
	if (pid == 0) {
		must_be(haul_barrier(g, T), -ESTALE);
		must_be(haul_group_send(g, 0, 0, NULL, 0, T), -ESTALE);
		must_be(haul_group_free(g, T), -ESTALE);
		must_be(haul_close(h, T), -ESTALE);
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid);
	must_be(status, 0);
	finish(b);
	must_be(haul_group_send(g, (crew_rank() + 1) % crew_size(), 0, "x", 1, T), 0);
	finish(r);
	must_be(haul_barrier(g, T), 0);
}

Test(group, a_forked_child_can_only_close_which_disturbs_nobody)
{
	crew_run(3, NULL, fork_within, NULL);
	crew_run(3, &launched, fork_within, NULL);
	crew_run(3, &(struct crew_options){ .options = &by_outbox }, fork_within, NULL);
}
