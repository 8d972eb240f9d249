/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Regions that are taken back, at any moment: what is got is right or it is -ESTALE, what is put lands before that or
 * not at all. And handles that are not what was given out.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/blind.h"
#include "lib/fds.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/regions.h"
#include "lib/seed.h"
#include "lib/talk.h"

TestSuite(rma_withdrawn, .timeout = 60);

enum { LEN = 300007, ROUNDS = 150, SCRIBBLE = 0xa5, BIG = 40 << 20 };

struct run {
	struct haul_options options;
	bool puts;
};

/* ---- in the middle of gets and puts ---- */

/* Each round: a region of two parts with a pattern of its own, withdrawn at some moment after the other has begun, and
 * scribbled on, which must stay. */
static void expose_and_withdraw(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = room_for(LEN);
	(void)arg;
	seed_random();
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		struct iovec iov[2] = { { buf, LEN / 3 }, { buf + LEN / 3, LEN - LEN / 3 } };
		struct haul_region *r;
		struct haul_handle hd;
		pattern_fill(buf, LEN, i, 0);
		must_be(haul_region_expose(h, iov, 2, HAUL_READ | HAUL_WRITE, &r), 0);
		haul_region_handle(r, &hd);
		send_handle(p, &hd);
		await_token(h, p);
		for (size_t k = random_below(40); k > 0; k--)
			must(haul_progress(h) >= 0);
		must_be(haul_region_withdraw(r, PATIENCE_MS), 0);
		memset(buf, SCRIBBLE, LEN);
		await_token(h, p);
		for (size_t k = 0; k < LEN; k++)
			must(buf[k] == SCRIBBLE);
	}
	free(buf);
}

/* Until it is gone. Returns how many went well. */
static int use_up(struct pairing *p, const struct haul_handle *hd, uint64_t seed, bool puts)
{
	unsigned char *buf = room_for(LEN);
	for (int good = 0;; good++) {
		size_t at = random_below(LEN), len = random_below(LEN - at) + 1;
		bool put = puts && good % 2 == 1;
		pattern_fill(buf, len, put ? seed : seed + 1, at);
		ssize_t n =
		    put ? put_bytes_of(p->peer, hd, at, buf, len) : get_bytes_of(p->peer, hd, at, buf, len);
		if (n == -ESTALE) {
			free(buf);
			return good;
		}
		must_be(n, len);
		must_hold(buf, len, seed, at);
	}
}

static void withdraw_in_the_middle(const struct path *path, bool puts, bool thread)
{
	struct haul_options o = path_options(path), theirs = o;
	theirs.progress_thread = thread;
	struct pairing p;
	seed_random();
	pairing_start(&p, &o, &theirs, expose_and_withdraw, NULL);
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		struct haul_handle hd = receive_handle(p.haul, p.peer);
		must_get(p.peer, &hd, 0, LEN, i);
		send_token(p.peer);
		use_up(&p, &hd, i, puts);
		send_token(p.peer);
	}
	pairing_end(&p);
}

EveryPath(rma_withdrawn, in_the_middle_of_gets_no_wrong_byte_is_delivered)
{
	withdraw_in_the_middle(path, false, false);
}

EveryPath(rma_withdrawn, in_the_middle_of_puts_nothing_lands_afterwards)
{
	withdraw_in_the_middle(path, true, false);
}

EveryPath(rma_withdrawn, while_a_thread_of_the_owner_serves_too)
{
	withdraw_in_the_middle(path, true, true);
}

/* Long enough for several pieces, or parts of a stream. */
EveryPath(rma_withdrawn, a_long_one_under_way_is_estale)
{
	struct haul_options o = path_options(path);
	unsigned char *region = filled(BIG, 1), *buf = room_for(BIG);
	struct haul_handle hd;
	struct twins t;
	for (int puts = 0; puts < 2; puts++) {
		twins_start(&t, &o);
		struct haul_region *region_handle = region_of(t.b, region, BIG, &hd);
		memset(buf, 0x11, BIG);
		struct haul_req *r = move_bytes_of(t.to_b, &hd, puts, buf, BIG);
		uint64_t before = stats_of(t.a).copied_bytes + stats_of(t.b).copied_bytes;
		while (haul_req_test(r) == -EINPROGRESS &&
		    stats_of(t.a).copied_bytes + stats_of(t.b).copied_bytes < before + 1000000)
			must(haul_progress(puts ? t.b : t.a) >= 0 && haul_progress(puts ? t.a : t.b) >= 0);
		must_be(haul_region_withdraw(region_handle, PATIENCE_MS), 0);
		memset(region, SCRIBBLE, BIG);
		must_be(twins_finish(&t, r, NULL), -ESTALE);
		twins_settle(&t);
		for (size_t i = 0; i < BIG; i++)
			must(region[i] == SCRIBBLE);
		twins_end(&t);
	}
	free(region);
	free(buf);
}

EveryPath(rma_withdrawn, by_its_contexts_close_it_is_gone)
{
	struct haul_options o = path_options(path);
	unsigned char region[64], buf[64];
	struct iovec iov = { buf, sizeof(buf) };
	struct haul_handle hd;
	struct haul_req *r;
	struct twins t;
	twins_start(&t, &o);
	region_of(t.b, region, sizeof(region), &hd);
	must_be(haul_close(t.b, 0), 0);
	for (int puts = 0; puts < 2; puts++) {
		int rc =
		    puts ? haul_iput(t.to_b, &hd, 0, &iov, 1, &r) : haul_iget(t.to_b, &hd, 0, &iov, 1, &r);
		if (rc == 0) {
			must_be(haul_req_wait(r, PATIENCE_MS), 0);
			rc = haul_req_finish(r, NULL);
		}
		must(rc == -ESTALE || rc == -EPIPE || rc == -ECONNRESET);
	}
	must_be(haul_close(t.a, 0), 0);
	fds_expect(t.fds);
}

/* ---- a put that is being written by its putter ---- */

static void put_pushed(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(OFFERED_LEN, 2);
	struct haul_req *r;
	const bool *stops = arg;
	struct haul_handle hd = receive_handle(h, p);
	must_be(haul_iput(p, &hd, 0, &(struct iovec){ buf, OFFERED_LEN }, 1, &r), 0);
	uint64_t before = stats_of(h).copied_bytes;
	while (*stops &&
	    stats_of(h).copied_bytes == before) /* the ask itself, which comes first, and by stream */
		must(haul_progress(h) >= 0);
	if (*stops)
		raise(SIGSTOP);
	must_be(end_of(r, NULL), 0);
	must_be(stats_of(h).sent_push, 1);
	send_token(p);
	free(buf);
}

Test(rma_withdrawn, where_only_the_putter_can_reach_the_other_it_pushes)
{
	const bool stops = false;
	unsigned char *region = filled(OFFERED_LEN, 1);
	struct haul_handle hd;
	struct pairing p;
	blind_start_pushed(&p, put_pushed, &stops);
	struct haul_region *r = region_of(p.haul, region, OFFERED_LEN, &hd);
	send_handle(p.peer, &hd);
	await_token(p.haul, p.peer);
	must_hold(region, OFFERED_LEN, 2, 0);
	must_be(stats_of(p.haul).received_push, 1);
	must_be(haul_region_withdraw(r, PATIENCE_MS), 0);
	pairing_end(&p);
	free(region);
}

Test(rma_withdrawn, while_a_push_may_be_under_way_waits_for_its_end)
{
	const bool stops = true;
	unsigned char *region = filled(OFFERED_LEN, 1), *got = room_for(OFFERED_LEN);
	struct haul_handle hd;
	struct pairing p;
	blind_start_pushed(&p, put_pushed, &stops);
	struct haul_region *r = region_of(p.haul, region, OFFERED_LEN, &hd);
	send_handle(p.peer, &hd);
	siginfo_t stopped = { 0 };
	while (stopped.si_pid == 0) {
		must(haul_progress(p.haul) >= 0);
		must_be(waitid(P_PID, (id_t)p.child.pid, &stopped, WSTOPPED | WNOHANG | WNOWAIT), 0);
	}
	for (int quiet = 0; quiet < 3;) /* the put is granted */
		quiet = haul_progress(p.haul) > 0 ? 0 : quiet + 1;
	must_be(haul_region_withdraw(r, 0), -EAGAIN);
	must_be(haul_region_withdraw(r, 20), -ETIMEDOUT);
	must_be(get_bytes_of(haul_self(p.haul), &hd, 0, got, OFFERED_LEN),
	    -ESTALE); /* it is gone for others */
	haul_interrupt(p.haul);
	must_be(haul_region_withdraw(r, PATIENCE_MS), -EINTR);
	child_signal(&p.child, SIGKILL);
	must_be(haul_region_withdraw(r, -1), 0);
	memset(region, SCRIBBLE, OFFERED_LEN);
	must_be(haul_peer_close(p.peer, 0), 0);
	must_be(haul_close(p.haul, 0), 0);
	child_expect_killed(&p.child, SIGKILL);
	for (size_t i = 0; i < OFFERED_LEN; i++)
		must(region[i] == SCRIBBLE);
	free(region);
	free(got);
}

/* ---- handles ---- */

static void must_be_refused(ssize_t n)
{
	must(n == -EINVAL || n == -ESTALE || n == -ERANGE || n == -EACCES);
}

static void hold(struct haul *h, struct haul_peer *p, const void *arg)
{
	static unsigned char buf[5000];
	struct iovec iov[2] = { { buf, 2000 }, { buf + 2000, 3000 } };
	size_t count = *(const size_t *)arg;
	struct haul_region *r;
	struct haul_handle hd;
	pattern_fill(buf, sizeof(buf), 1, 0);
	if (count == 1)
		iov[0].iov_len = sizeof(buf);
	must_be(haul_region_expose(h, iov, count, HAUL_READ | HAUL_WRITE, &r), 0);
	haul_region_handle(r, &hd);
	send_handle(p, &hd);
	await_token(h, p);
	must_be(haul_region_withdraw(r, PATIENCE_MS), 0);
	must_hold(buf, sizeof(buf), 1, 0);
}

/* Every bit, whatever the region looks like. */
EveryPath(rma_withdrawn, a_handle_altered_in_one_bit_is_refused)
{
	struct haul_options o = path_options(path);
	for (size_t count = 1; count <= 2; count++) {
		unsigned char buf[5000];
		struct pairing p;
		pairing_start(&p, &o, &o, hold, &count);
		struct haul_handle hd = receive_handle(p.haul, p.peer);
		for (int word = 0; word < 8; word++)
			for (int bit = 0; bit < 64; bit++) {
				struct haul_handle forged = hd;
				forged.words[word] ^= UINT64_C(1) << bit;
				must_note_case("word %d, bit %d", word, bit);
				must_be_refused(get_bytes_of(p.peer, &forged, 0, buf, sizeof(buf)));
				memset(buf, SCRIBBLE, sizeof(buf));
				must_be_refused(put_bytes_of(p.peer, &forged, 0, buf, sizeof(buf)));
				must_be_refused(get_bytes_of(p.peer, &forged, 0, buf, 1));
			}
		must_note(path->name);
		must_get(p.peer, &hd, 0, sizeof(buf), 1);
		send_token(p.peer);
		pairing_end(&p);
	}
}

EveryPath(rma_withdrawn, a_handle_made_up_is_refused)
{
	struct haul_options o = path_options(path);
	size_t count = 1;
	unsigned char buf[64];
	struct pairing p;
	seed_random();
	pairing_start(&p, &o, &o, hold, &count);
	struct haul_handle hd = receive_handle(p.haul, p.peer);
	for (int i = 0; i < 500; i++) {
		struct haul_handle forged = hd;
		for (int word = 0; word < 7; word++)
			if (i % 7 == word || random_below(3) == 0)
				forged.words[word] =
				    random_below(2) ? random_below(SIZE_MAX) : random_below(5000);
		must_be_refused(get_bytes_of(p.peer, &forged, 0, buf, sizeof(buf)));
		must_be_refused(put_bytes_of(p.peer, &forged, 0, buf, sizeof(buf)));
	}
	send_token(p.peer);
	pairing_end(&p);
}

/* Two children of one process, which have everything at the same addresses. */
EveryPath(rma_withdrawn, a_handle_of_another_peer_is_estale)
{
	struct haul_options o = path_options(path);
	size_t count = 1;
	unsigned char buf[64];
	struct pairing p[2];
	struct haul_handle hd[2];
	struct haul *h;
	int fds = fds_count();
	for (int i = 0; i < 2; i++)
		pairing_fork(&p[i], &o, hold, &count);
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	for (int i = 0; i < 2; i++) {
		pairing_adopt(&p[i], h);
		hd[i] = receive_handle(h, p[i].peer);
	}
	for (int i = 0; i < 2; i++) {
		must_be(get_bytes_of(p[i].peer, &hd[1 - i], 0, buf, sizeof(buf)), -ESTALE);
		must_be(put_bytes_of(p[i].peer, &hd[1 - i], 0, buf, sizeof(buf)), -ESTALE);
		must_get(p[i].peer, &hd[i], 0, 5000, 1);
	}
	for (int i = 0; i < 2; i++)
		send_token(p[i].peer);
	must_be(haul_close(h, PATIENCE_MS), 0);
	for (int i = 0; i < 2; i++)
		child_expect(&p[i].child, 0);
	fds_expect(fds);
}

/* To who has never exposed anything, and does not serve. */
EveryPath(rma_withdrawn, to_who_has_exposed_nothing_all_is_estale)
{
	struct haul_options o = path_options(path);
	unsigned char byte = 1;
	struct iovec iov = { &byte, 1 };
	struct haul_handle hd;
	struct haul_req *r;
	struct twins t;
	twins_start(&t, &o);
	region_of(t.a, &byte, 1, &hd);
	must_be(haul_iget(t.to_b, &hd, 0, &iov, 1, &r), 0);
	int rc = twins_finish(&t, r, NULL);
	must(rc == -ESTALE || (rc == 0 && o.path != HAUL_PATH_STREAM)); /* they are one process */
	must_be(haul_iput(t.to_b, &hd, 0, &iov, 1, &r), 0);
	must_be(twins_finish(&t, r, NULL), -ESTALE);
	twins_end(&t);
}

/* ---- fork ---- */

EveryPath(rma_withdrawn, a_forked_childs_copy_vouches_for_nothing_and_disturbs_nobody)
{
	struct haul_options o = path_options(path);
	unsigned char *region = filled(LEN, 1);
	struct haul_handle hd;
	struct haul *h;
	int status;
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	struct haul_region *r = region_of(h, region, LEN, &hd);
	struct haul_peer *self = haul_self(h);
	pid_t pid = fork();
	if (pid == 0) {
		unsigned char byte;
		must_in_child();
		memset(region, SCRIBBLE, LEN);
		must_be(get_bytes_of(self, &hd, 0, &byte, 1), -ESTALE);
		must_be(haul_region_withdraw(r, PATIENCE_MS), -ESTALE);
		must_be(haul_close(h, 0), -ESTALE);
		struct haul *own;
		must_be(haul_open(&own, &o, sizeof(o)), 0);
		must_be(get_bytes_of(haul_self(own), &hd, 0, &byte, 1), -ESTALE);
		must_be(haul_close(own, 0), 0);
		_exit(0);
	}
	must_be(waitpid(pid, &status, 0), pid);
	must_be(status, 0);
	must_get(self, &hd, 0, LEN, 1);
	must_be(haul_region_withdraw(r, 0), 0);
	must_be(haul_close(h, 0), 0);
	free(region);
}
