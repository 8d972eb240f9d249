/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is read of a ring while it is being written: by a child, into outboxes of its own, as fast as it can. Bytes that come
 * with a stamp must never be older than it, however processor and kernel order what they do.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "ends.h"
#include "lib/child.h"
#include "lib/seed.h"

TestSuite(outbox_race, .timeout = 120);

enum { CHILD_MS = 100000 };

/* What the writer, a child with outboxes of its own, and the reader say to each other. */
struct board {
	_Atomic uint64_t open;  /* so many outboxes were opened; the last one's */
	uint64_t ring, state;   /* addresses, */
	_Atomic uint64_t sent;  /* and how long its stream is in all, once that is known */
	_Atomic uint64_t taken; /* so many were read to their ends */
};

static struct board *board;

struct race {
	uint64_t outboxes;
	uint64_t parcels; /* of each; 0: one lap */
	size_t longest;
	bool widely; /* the reader always asks for as much as it ever does */
};

static size_t some_length(size_t longest)
{
	return 1 + random_below(random_below(4) == 0 ? longest : 200);
}

static int write_fast(void *arg)
{
	const struct race *race = arg;
	peer = getppid();
	for (uint64_t i = 1; i <= race->outboxes; i++) {
		child_check(outbox_init(&out, COOKIE + i));
		out.head_addr = (uintptr_t)&told;
		out.cookie_addr = (uintptr_t)&here;
		out.cookie = here;
		board->ring = (uintptr_t)out.ring;
		board->state = (uintptr_t)out.state;
		board->sent = 0;
		board->open = i;
		for (uint64_t parcels = 0; race->parcels > 0 ? parcels < race->parcels : out.tail < RING;) {
			ssize_t n = put(some_length(race->longest));
			child_check(n > 0 || n == -EAGAIN);
			parcels += n > 0;
			if (n == -EAGAIN)
				sched_yield();
		}
		board->sent = out.sent;
		while (board->taken < i)
			sched_yield();
		outbox_fini(&out);
	}
	return 0;
}

/* Spins for a while: who yields at once would hardly ever read while there is being written. */
static void read_fast(uint64_t cookie, bool widely)
{
	unsigned vain = 0;
	open_in((void *)(uintptr_t)board->ring, RING, (void *)(uintptr_t)board->state, cookie);
	for (uint64_t sent; (sent = board->sent) == 0 || in.got < sent;) {
		size_t room = widely || random_below(2) == 0 ? 40000 : 1 + random_below(300);
		bool users = !widely && random_below(8) == 0;
		if (widely)
			in.window = WINDOW_MOST;
		ssize_t n = take_as(room, users);
		must(n > 0 || n == -EAGAIN);
		vain = n > 0 ? 0 : vain + 1;
		if (vain % 1000 == 999)
			sched_yield();
	}
	must_be(take_as(1, true), -EAGAIN);
}

static void race_of(struct race race)
{
	struct child c;
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(board != MAP_FAILED);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* the writer looks for the head in here */
	here = READER;
	seed_random();
	child_start(&c, CHILD_MS, write_fast, &race);
	peer = c.pid;
	for (uint64_t i = 1; i <= race.outboxes; i++) {
		while (board->open < i)
			sched_yield();
		must_note_case("outbox %llu", (unsigned long long)i);
		read_fast(COOKIE + i, race.widely);
		told = 0;
		board->taken = i;
	}
	child_expect(&c, 0);
}

Test(outbox_race, what_a_stamp_vouches_for_is_never_older_than_it)
{
	race_of((struct race){ .outboxes = 1, .parcels = 200000, .longest = 3000 });
}

Test(outbox_race, nor_is_it_if_parcels_are_longer_than_the_window)
{
	race_of((struct race){ .outboxes = 1, .parcels = 10000, .longest = 2 * OUTBOX_PARCEL_MOST });
}

/* Pages that were never touched are all the same empty one, until the writer touches them. */
Test(outbox_race, nor_is_it_in_the_first_lap)
{
	race_of((struct race){ .outboxes = 500, .longest = 6000 });
	race_of((struct race){ .outboxes = 6000, .longest = 6000, .widely = true });
}
