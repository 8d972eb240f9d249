/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading any memory of a verified peer: all bytes that can be read come, to the last, and no other; strings end where
 * they end. (Other programs behind the pid: test_rma_death; refusals: test_rma_refused.)
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/pairing.h"
#include "lib/pattern.h"
#include "lib/seed.h"
#include "lib/talk.h"

#include <haul/rma.h>

TestSuite(peer_read, .timeout = 60);

enum { PAGE = 4096, PAGES = 4, LEN = PAGES * PAGE, BIG = (33 << 20) + 5, ROUNDS = 200 };

/* Readable pages between two that are not. */
static unsigned char *between_guards(size_t len)
{
	unsigned char *at = mmap(NULL, len + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(at != MAP_FAILED);
	must_be(mprotect(at + PAGE, len, PROT_READ | PROT_WRITE), 0);
	return at + PAGE;
}

/* Tells where a pattern is, and where a string. */
static void show(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = arg != NULL ? *(const size_t *)arg : LEN;
	unsigned char *at = between_guards((len + PAGE - 1) / PAGE * PAGE);
	uint64_t where = (uintptr_t)at;
	pattern_fill(at, len, 1, 0);
	must_be(haul_send(p, 1, &where, sizeof(where), PATIENCE_MS), 0);
	await_token(h, p);
}

static uint64_t where_of(struct pairing *p)
{
	uint64_t where;
	must_be(haul_recv(p->haul, &(struct haul_match){ .tag = 1 }, &where, sizeof(where), PATIENCE_MS,
	            NULL),
	    sizeof(where));
	return where;
}

static struct iovec there(uint64_t addr, size_t len)
{
	return (struct iovec){ (void *)(uintptr_t)addr, len };
}

static ssize_t read_flat(struct haul_peer *p, uint64_t addr, void *buf, size_t len)
{
	struct iovec local = { buf, len }, remote = there(addr, len);
	return haul_peer_read(p, &local, 1, &remote, 1);
}

Test(peer_read, brings_what_is_there_up_to_the_byte_that_is_not)
{
	unsigned char *buf = room_for(2 * LEN);
	struct pairing p;
	pairing_start(&p, NULL, NULL, show, NULL);
	uint64_t where = where_of(&p);
	for (size_t at = 0; at < LEN; at += 997)
		for (size_t len = 1; len < 2 * LEN - at; len += 1999) {
			size_t want = at + len <= LEN ? len : LEN - at;
			memset(buf, CANARY, 2 * LEN);
			must_be(read_flat(p.peer, where + at, buf, len), want);
			must_hold(buf, want, 1, at);
			must_be_untouched(buf + want, 2 * LEN - want);
		}
	must_be(read_flat(p.peer, where + LEN, buf, 1), -EFAULT);
	must(strstr(haul_reason(), "peer's memory") != NULL);
	must_be(read_flat(p.peer, where - 1, buf, 10), -EFAULT);
	must_be(read_flat(p.peer, 0xffff800000000000, buf, 10), -EFAULT);
	must_be(read_flat(p.peer, UINT64_MAX - 3, buf, 10), -EFAULT);
	must_be(read_flat(p.peer, where, buf, 0), 0);
	send_token(p.peer);
	pairing_end(&p);
	free(buf);
}

Test(peer_read, gathers_and_scatters_up_to_the_shorter_side)
{
	unsigned char *buf = room_for(LEN);
	struct pairing p;
	seed_random();
	pairing_start(&p, NULL, NULL, show, NULL);
	uint64_t where = where_of(&p);
	for (int round = 0; round < ROUNDS; round++) {
		struct iovec local[9], remote[7];
		size_t from = random_below(LEN), at = from, to = 0, room, len;
		for (int i = 0; i < 7; i++) {
			remote[i] = there(where + at, random_below((LEN - at) / 2 + 1));
			at += remote[i].iov_len;
		}
		for (int i = 0; i < 9; i++) {
			local[i] = (struct iovec){ buf + to, random_below((LEN - to) / 3 + 1) };
			to += local[i].iov_len;
		}
		len = at - from;
		room = to < len ? to : len;
		memset(buf, CANARY, LEN);
		must_be(haul_peer_read(p.peer, local, 9, remote, 7), room);
		must_hold(buf, room, 1, from);
		must_be_untouched(buf + room, LEN - room);
	}
	send_token(p.peer);
	pairing_end(&p);
	free(buf);
}

Test(peer_read, takes_more_ranges_than_one_call_does)
{
	enum { RANGES = 5000 };
	struct iovec *remote = calloc(RANGES, sizeof(*remote));
	unsigned char *buf = room_for(LEN);
	struct iovec local = { buf, LEN };
	struct pairing p;
	pairing_start(&p, NULL, NULL, show, NULL);
	uint64_t where = where_of(&p);
	for (size_t i = 0; i < RANGES; i++)
		remote[i] = there(where + 3 * i, 3);
	must_be(haul_peer_read(p.peer, &local, 1, remote, RANGES), 3 * RANGES);
	must_hold(buf, 3 * RANGES, 1, 0);
	remote[4000].iov_base = (void *)(uintptr_t)(where + LEN);
	must_be(haul_peer_read(p.peer, &local, 1, remote, RANGES), 12000);
	must_hold(buf, 12000, 1, 0);
	send_token(p.peer);
	pairing_end(&p);
	free(buf);
	free(remote);
}

Test(peer_read, of_several_pieces_looks_after_others_in_between)
{
	size_t len = BIG;
	unsigned char *buf = room_for(BIG);
	struct pairing p;
	pairing_start(&p, NULL, NULL, show, &len);
	uint64_t where = where_of(&p);
	must_be(read_flat(p.peer, where, buf, BIG), BIG);
	must_hold(buf, BIG, 1, 0);
	haul_interrupt(p.haul);
	ssize_t n = read_flat(p.peer, where, buf, BIG);
	must(n >= 16 << 20 && n < BIG);
	must_hold(buf, (size_t)n, 1, 0);
	must_be(haul_recv(p.haul, NULL, NULL, 0, PATIENCE_MS, NULL), -EINTR); /* it is still to be heard */
	send_token(p.peer);
	pairing_end(&p);
	free(buf);
}

Test(peer_read, tells_whose_memory_is_bad)
{
	unsigned char *buf = between_guards(PAGE);
	struct pairing p;
	pairing_start(&p, NULL, NULL, show, NULL);
	uint64_t where = where_of(&p);
	struct iovec local[2] = { { buf, PAGE }, { buf + PAGE, 1 } }, remote = there(where, PAGE + 1);
	must_be(haul_peer_read(p.peer, local, 2, &remote, 1), PAGE); /* what could be */
	must_hold(buf, PAGE, 1, 0);
	must_be(haul_peer_read(p.peer, local + 1, 1, &remote, 1), -EFAULT);
	must(strstr(haul_reason(), "buffer") != NULL);
	send_token(p.peer);
	pairing_end(&p);
}

Test(peer_read, of_oneself_is_possible)
{
	unsigned char *at = between_guards(PAGE), buf[2 * PAGE];
	char string[16];
	struct haul *h;
	pattern_fill(at, PAGE, 1, 0);
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(read_flat(haul_self(h), (uintptr_t)at, buf, 2 * PAGE), PAGE);
	must_hold(buf, PAGE, 1, 0);
	memcpy(at + PAGE - 4, "abc", 4);
	must_be(haul_peer_read_string(haul_self(h), (uintptr_t)at + PAGE - 4, string, sizeof(string)), 3);
	must_be(strcmp(string, "abc"), 0);
	must_be(haul_close(h, 0), 0);
}

/* ---- strings ---- */

/* Letters without an end up to the last page, but for the strings that are asked for. */
static void show_strings(struct haul *h, struct haul_peer *p, const void *arg)
{
	char *at = (char *)between_guards(LEN);
	uint64_t where = (uintptr_t)at;
	(void)arg;
	for (size_t i = 0; i < LEN; i++)
		at[i] = (char)('a' + i % 26);
	at[100] = '\0';
	at[PAGE - 1] = '\0';
	at[3 * PAGE] = '\0';
	must_be(haul_send(p, 1, &where, sizeof(where), PATIENCE_MS), 0);
	await_token(h, p);
	at[LEN - 1] = '\0';
	send_token(p);
	await_token(h, p);
}

static void must_read_string(struct haul_peer *p, uint64_t where, size_t from, size_t end)
{
	char buf[LEN + 1];
	memset(buf, CANARY, sizeof(buf));
	must_be(haul_peer_read_string(p, where + from, buf, end - from + 1), end - from);
	for (size_t i = from; i < end; i++)
		must_be(buf[i - from], 'a' + i % 26);
	must_be(buf[end - from], '\0');
	must_be_untouched(buf + (end - from) + 1, sizeof(buf) - (end - from) - 1);
	memset(buf, CANARY, sizeof(buf));
	must_be(haul_peer_read_string(p, where + from, buf, sizeof(buf)), end - from);
	must_be(strlen(buf), end - from);
	if (end > from) {
		must_be(haul_peer_read_string(p, where + from, buf, end - from), -EMSGSIZE);
		must_be(haul_peer_read_string(p, where + from, buf, 1), -EMSGSIZE);
	}
}

Test(peer_read, a_string_ends_where_it_ends)
{
	char buf[LEN + 1];
	struct pairing p;
	pairing_start(&p, NULL, NULL, show_strings, NULL);
	uint64_t where = where_of(&p);
	must_read_string(p.peer, where, 0, 100);
	must_read_string(p.peer, where, 100, 100);
	must_read_string(p.peer, where, 101, PAGE - 1);
	must_read_string(p.peer, where, PAGE - 1, PAGE - 1);
	must_read_string(p.peer, where, PAGE, 3 * PAGE);
	must_read_string(p.peer, where, 2 * PAGE - 1, 3 * PAGE);
	must_be(haul_peer_read_string(p.peer, where + LEN - 10, buf, 10), -EMSGSIZE);
	must_be(haul_peer_read_string(p.peer, where + LEN - 10, buf, 11), -EFAULT); /* it has no end */
	must_be(haul_peer_read_string(p.peer, where + 3 * PAGE + 1, buf, sizeof(buf)), -EFAULT);
	must_be(haul_peer_read_string(p.peer, where + LEN, buf, 10), -EFAULT);
	must_be(haul_peer_read_string(p.peer, UINT64_MAX, buf, 10), -EFAULT);
	send_token(p.peer);
	await_token(p.haul, p.peer);
	must_read_string(p.peer, where, LEN - 10, LEN - 1); /* just before the page that can't be read */
	must_read_string(p.peer, where, 3 * PAGE + 1, LEN - 1);
	send_token(p.peer);
	pairing_end(&p);
}

/* ---- who is read ---- */

Test(peer_read, arguments_that_make_no_sense_are_einval)
{
	char byte = 0;
	struct iovec one = { &byte, 1 }, null = { NULL, 1 };
	struct iovec overflow[2] = { { &byte, SSIZE_MAX }, { &byte, 1 } };
	struct twins t;
	twins_start(&t, NULL);
	must_be(haul_peer_read(NULL, &one, 1, &one, 1), -EINVAL);
	must_be(haul_peer_read(t.to_b, &null, 1, &one, 1), -EINVAL);
	must_be(haul_peer_read(t.to_b, &one, 1, &null, 1), -EINVAL);
	must_be(haul_peer_read(t.to_b, NULL, 1, &one, 1), -EINVAL);
	must_be(haul_peer_read(t.to_b, overflow, 2, &one, 1), -EINVAL);
	must_be(haul_peer_read(t.to_b, &one, 1, overflow, 2), -EINVAL);
	must_be(haul_peer_read(t.to_b, NULL, 0, &one, 1), 0);
	must_be(haul_peer_read_string(NULL, 1, &byte, 1), -EINVAL);
	must_be(haul_peer_read_string(t.to_b, (uintptr_t)&byte, NULL, 1), -EINVAL);
	must_be(haul_peer_read_string(t.to_b, (uintptr_t)&byte, &byte, 0), -EINVAL);
	must_be(haul_peer_read_string(t.to_b, 0, &byte, 1), -EINVAL);
	twins_end(&t);
}

Test(peer_read, where_pulling_is_switched_off_it_says_so)
{
	struct haul_options o = { .path = HAUL_PATH_STREAM };
	char byte = 0;
	struct twins t;
	twins_start(&t, &o);
	must_be(read_flat(t.to_b, (uintptr_t)&byte, &byte, 1), -EOPNOTSUPP);
	must_be(haul_peer_read_string(t.to_b, (uintptr_t)&byte, &byte, 1), -EOPNOTSUPP);
	twins_end(&t);
}

Test(peer_read, of_who_has_closed_its_end_brings_nothing)
{
	char byte = 7, into = 0;
	struct twins t;
	twins_start(&t, NULL);
	must_be(read_flat(t.to_b, (uintptr_t)&byte, &into, 1), 1);
	must_be(into, 7);
	must_be(haul_close(t.b, 0), 0);
	must_be(read_flat(t.to_b, (uintptr_t)&byte, &into, 1),
	    -ESTALE); /* not heard of yet, but it is gone */
	while (haul_progress(t.a) > 0)
		continue;
	ssize_t n = read_flat(t.to_b, (uintptr_t)&byte, &into, 1);
	must(n == -EPIPE || n == -ECONNRESET);
	must_be(haul_close(t.a, 0), 0);
}

/* Several connections of one process: each has a word of its own. */
Test(peer_read, each_connection_vouches_for_itself)
{
	char byte = 7, into = 0;
	struct twins t, u;
	twins_start(&u, NULL);
	twins_start_in_one(&t, NULL);
	must_be(read_flat(t.to_b, (uintptr_t)&byte, &into, 1), 1);
	must_be(read_flat(t.to_a, (uintptr_t)&byte, &into, 1), 1);
	must_be(haul_peer_close(t.to_a, 0), 0);
	must(read_flat(t.to_b, (uintptr_t)&byte, &into, 1) < 0);
	must_be(read_flat(u.to_b, (uintptr_t)&byte, &into, 1), 1);
	haul_close(t.a, 0);
	twins_end(&u);
}
