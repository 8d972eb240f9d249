/* SPDX-License-Identifier: BSD-3-Clause */
/* What connections cost that nobody uses: a little memory, two descriptors, and no time at all. */
#include <criterion/criterion.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <haul/haul.h>

#include "lib/child.h"
#include "lib/fds.h"
#include "lib/must.h"

TestSuite(idle, .timeout = 120);

enum { WARM = 50, MANY = 1000, LATE_MS = 30000, CHILD_MS = 60000, MOST_BYTES_EACH = 16384, MOST_CPU_MS = 20 };

/* Each takes a socket and a pidfd. False: the hard limit does not allow as many. */
static bool room_for_descriptors(void)
{
	const rlim_t need = 2 * (MANY + WARM) + 100;
	struct rlimit limit;
	must_be(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < need)
		return false;
	if (limit.rlim_cur < need)
		limit.rlim_cur = need;
	must_be(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return true;
}

static long resident_bytes(void)
{
	char line[128];
	long kib = -1;
	FILE *f = fopen("/proc/self/status", "re");
	must(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL && sscanf(line, "VmRSS: %ld", &kib) != 1)
		continue;
	fclose(f);
	return kib * 1024;
}

static int64_t cpu_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Connects as often as it is told, then does what each word of the first peer says: the message's tag is
 * the number of the peer that is to speak. */
static int connect_many(void *address)
{
	static struct haul_peer *peers[WARM + MANY];
	struct haul *h;
	must_in_child();
	must_be(haul_open(&h, NULL, 0), 0);
	for (int i = 0; i < WARM + MANY; i++)
		must_be(haul_connect(h, address, LATE_MS, &peers[i]), 0);
	for (;;) {
		struct haul_status status;
		ssize_t n = haul_recv(h, NULL, NULL, 0, CHILD_MS, &status);
		if (n < 0)
			break;
		must(status.tag < WARM + MANY);
		must_be(haul_send(peers[status.tag], status.tag, "here", 4, LATE_MS), 0);
	}
	haul_close(h, 0);
	return 0;
}

static void sleeps(struct haul *h, struct haul_listener *l)
{
	struct haul_peer *p;
	int64_t before = cpu_us();
	must_be(haul_recv(h, NULL, NULL, 0, 1000, NULL), -ETIMEDOUT);
	int64_t took = cpu_us() - before;
	must(took < MOST_CPU_MS * 1000);
	before = cpu_us();
	must_be(haul_accept(l, 300, &p), -ETIMEDOUT);
	must(cpu_us() - before < MOST_CPU_MS * 1000);
}

Test(idle, a_thousand_connections_cost_next_to_nothing)
{
	static struct haul_peer *peers[WARM + MANY];
	struct haul *h;
	struct haul_listener *l;
	struct child c;
	char address[64], got[8];
	long before = 0;
	if (!room_for_descriptors())
		cr_skip_test("the hard limit of descriptors is too low");
	int fds = fds_count();
	snprintf(address, sizeof(address), "@haul-test-idle-%d", (int)getpid());
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_listen(h, address, &l), 0);
	child_start(&c, CHILD_MS, connect_many, address);
	int fds_before = fds_count();
	for (int i = 0; i < WARM + MANY; i++) {
		if (i == WARM)
			before = resident_bytes();
		must_be(haul_accept(l, LATE_MS, &peers[i]), 0);
	}
	must_be(fds_count(), fds_before + 2 * (WARM + MANY));
	long each = (resident_bytes() - before) / MANY;
#ifndef __SANITIZE_ADDRESS__
	cr_assert(each <= MOST_BYTES_EACH, "an idle connection takes %ld bytes", each);
#endif
	(void)each;
	sleeps(h, l);

	/* Any of them can speak, and is heard under its own name. */
	for (int i = 0; i < WARM + MANY; i += 131) {
		struct haul_status status;
		must_be(haul_send(peers[0], (uint64_t)i, NULL, 0, LATE_MS), 0);
		must_be(haul_recv(h, NULL, got, sizeof(got), LATE_MS, &status), 4);
		must_be(status.tag, i);
		must(status.peer == peers[i]);
	}
	sleeps(h, l);
	must_be(haul_close(h, 0), 0);
	child_collect(&c);
	fds_expect(fds);
}

/* A single peer is waited for in another way than many. */
static int wait_for_word(void *arg)
{
	struct haul *h;
	struct haul_peer *p;
	int *pair = arg;
	must_in_child();
	close(pair[0]);
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_adopt(h, pair[1], LATE_MS, &p), 0);
	int64_t before = cpu_us();
	must_be(haul_recv(h, NULL, NULL, 0, LATE_MS, NULL), 0);
	must(cpu_us() - before < MOST_CPU_MS * 1000);
	haul_close(h, 0);
	return 0;
}

/* Of one's own, on the heap or beside it; under a sanitizer, which has another, always 0. */
static size_t allocated_bytes(void)
{
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

static int finish(struct haul *a, struct haul *b, struct haul_req *r, struct haul_status *status)
{
	while (haul_req_test(r) == -EINPROGRESS)
		must(haul_progress(a) >= 0 && haul_progress(b) >= 0);
	return haul_req_finish(r, status);
}

/* Only what could not be handed on keeps a buffer. */
Test(idle, what_is_sent_to_many_before_any_of_it_goes_takes_little_memory)
{
	enum { PEERS = 200, MOST_BYTES = 4 << 20 };
	static struct haul_peer *peers[PEERS];
	static struct haul_req *sends[PEERS];
	struct haul *a, *b;
	struct haul_req *ours, *theirs;
	struct haul_status status;
	char word[8] = "word", got[8];
	must_be(haul_open(&a, NULL, 0), 0);
	must_be(haul_open(&b, NULL, 0), 0);
	for (int i = 0; i < PEERS; i++) {
		int ends[2];
		must_be(haul_pair(ends), 0);
		must_be(haul_iadopt(a, ends[0], &ours), 0);
		must_be(haul_iadopt(b, ends[1], &theirs), 0);
		must_be(finish(a, b, ours, &status), 0);
		peers[i] = status.peer;
		must_be(finish(a, b, theirs, NULL), 0);
	}
	for (int round = 0; round < 2; round++) {
		size_t before = allocated_bytes();
		struct iovec iov = { word, sizeof(word) };
		for (int i = 0; i < PEERS; i++)
			must_be(haul_isend(peers[i], 1, &iov, 1, 0, &sends[i]), 0);
		must(allocated_bytes() < before + MOST_BYTES);
		for (int i = 0; i < PEERS; i++) {
			must_be(finish(a, b, sends[i], NULL), 0);
			must_be(haul_recv(b, NULL, got, sizeof(got), LATE_MS, NULL), sizeof(got));
		}
	}
	haul_close(a, 0);
	haul_close(b, 0);
}

Test(idle, waiting_for_a_single_peer_takes_no_time)
{
	struct haul *h;
	struct haul_peer *p;
	struct child c;
	int pair[2];
	must_be(haul_pair(pair), 0);
	child_start(&c, CHILD_MS, wait_for_word, pair);
	close(pair[1]);
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_adopt(h, pair[0], LATE_MS, &p), 0);
	int64_t before = cpu_us();
	must_be(haul_recv(h, &(struct haul_match){ .from = p }, NULL, 0, 1000, NULL), -ETIMEDOUT);
	must(cpu_us() - before < MOST_CPU_MS * 1000);
	must_be(haul_send(p, 0, NULL, 0, LATE_MS), 0);
	child_expect(&c, 0);
	must_be(haul_close(h, LATE_MS), 0);
}
