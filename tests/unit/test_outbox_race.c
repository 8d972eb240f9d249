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
#include <sys/syscall.h>
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
	bool widely; /* the reader always asks for as much as it ever does, */
	bool barely; /* or as little, */
	bool once;   /* or for what one pass may bring; */
	bool in_any_order;
};

/* ---- a kernel that loads the words of a range in any order, and of one that ends within a word the last in parts ---- */

static bool in_any_order; /* else it does as it likes */

static ssize_t read_range(pid_t pid, const struct iovec *range, uint8_t *to)
{
	enum { WORD = 8, WORDS = 1024 };
	struct iovec local[WORDS], remote[WORDS];
	uint8_t *from = range->iov_base;
	size_t done = 0;
	while (done < range->iov_len) {
		size_t count = 0, before = done;
		for (; count < WORDS && done < range->iov_len; count++) {
			size_t len = WORD - (uintptr_t)(from + done) % WORD, other = random_below(count + 1);
			if (range->iov_len % WORD != 0 && range->iov_len - done < (size_t)2 * WORD)
				len = 1;
			if (len > range->iov_len - done)
				len = range->iov_len - done;
			local[count] = local[other];
			remote[count] = remote[other];
			local[other] = (struct iovec){ to + done, len };
			remote[other] = (struct iovec){ from + done, len };
			done += len;
		}
		ssize_t n = syscall(SYS_process_vm_readv, pid, local, count, remote, count, 0);
		must_be(n, done - before);
	}
	return (ssize_t)done;
}

/* In place of the C library's. */
ssize_t process_vm_readv(pid_t pid, const struct iovec *local, unsigned long locals,
    const struct iovec *remote, unsigned long remotes, unsigned long flags)
{
	static uint8_t read[RING];
	size_t len = 0, done = 0;
	if (!in_any_order)
		return syscall(SYS_process_vm_readv, pid, local, locals, remote, remotes, flags);
	for (size_t i = 0; i < remotes; i++) {
		must(len + remote[i].iov_len <= sizeof(read));
		len += (size_t)read_range(pid, &remote[i], read + len);
	}
	for (size_t i = 0; i < locals; i++) {
		size_t n = local[i].iov_len < len - done ? local[i].iov_len : len - done;
		if (n > 0)
			memcpy(local[i].iov_base, read + done, n);
		done += n;
	}
	return (ssize_t)done;
}

/* ---- the two ends ---- */

static size_t some_length(size_t longest)
{
	return 1 + random_below(random_below(4) == 0 ? longest : 200);
}

/* Each waits for the other by spinning, or they would hardly ever be at the ring at once. In vain for so long, it may be that
 * the other has no processor: then it can have this one, which sched_yield() alone does not see to. */
static void spin(unsigned *vain, unsigned most)
{
	if (++*vain % most == 0)
		usleep(50);
}

/* Who reads slowly is to read what is just being written. */
static void wait_for_reader(uint64_t left)
{
	for (unsigned vain = 0; out.tail - out.head > left; spin(&vain, 200))
		child_check(outbox_ask_head(&out, peer) == 0);
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
			if (race->in_any_order)
				wait_for_reader(random_below(1000));
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

static void read_fast(uint64_t cookie, const struct race *race)
{
	unsigned vain = 0;
	open_in((void *)(uintptr_t)board->ring, RING, (void *)(uintptr_t)board->state, cookie);
	for (uint64_t sent; (sent = board->sent) == 0 || in.got < sent;) {
		size_t room = race->widely || random_below(2) == 0 ? 40000 : 1 + random_below(300);
		bool users = !race->widely && random_below(8) == 0;
		if (race->widely)
			in.window = WINDOW_MOST;
		if (race->barely)
			in.window = WINDOW_LEAST;
		if (race->once)
			in.window = WINDOW_ONCE;
		ssize_t n = take_as(room, users);
		must(n > 0 || n == -EAGAIN);
		if (n > 0)
			vain = 0;
		else
			spin(&vain, race->in_any_order ? 50 : 1000);
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
	in_any_order = race.in_any_order;
	for (uint64_t i = 1; i <= race.outboxes; i++) {
		while (board->open < i)
			sched_yield();
		must_note_case("outbox %llu", (unsigned long long)i);
		read_fast(COOKIE + i, &race);
		told = 0;
		board->taken = i;
	}
	in_any_order = false;
	child_expect(&c, 0);
}

Test(outbox_race, what_a_stamp_vouches_for_is_never_older_than_it)
{
	race_of((struct race){ .outboxes = 1, .parcels = 200000, .longest = 3000 });
}

/* One pass, whose loads are in no order, takes what is on blank. */
Test(outbox_race, nor_is_it_if_parcels_are_small)
{
	race_of((struct race){ .outboxes = 1, .parcels = 300000, .longest = 200 });
	race_of((struct race){ .outboxes = 1, .parcels = 1000000, .longest = 200, .barely = true });
	race_of((struct race){ .outboxes = 1, .parcels = 1000000, .longest = 200, .once = true });
	race_of((struct race){ .outboxes = 1, .parcels = 200000, .longest = 2500, .barely = true });
	race_of((struct race){ .outboxes = 1, .parcels = 200000, .longest = 2 * BLANK, .once = true });
}

/* Which is more than any processor does. */
Test(outbox_race, nor_is_it_if_the_words_of_a_range_are_loaded_in_any_order)
{
	race_of((struct race){ .outboxes = 1, .parcels = 15000, .longest = 200, .in_any_order = true });
	race_of((struct race){ .outboxes = 1,
	    .parcels = 60000,
	    .longest = 200,
	    .barely = true,
	    .in_any_order = true });
	race_of((struct race){ .outboxes = 1,
	    .parcels = 15000,
	    .longest = 2500,
	    .barely = true,
	    .in_any_order = true });
	race_of((struct race){ .outboxes = 1,
	    .parcels = 60000,
	    .longest = 200,
	    .once = true,
	    .in_any_order = true });
	race_of((struct race){ .outboxes = 1,
	    .parcels = 15000,
	    .longest = 2 * BLANK,
	    .once = true,
	    .in_any_order = true });
	race_of((struct race){ .outboxes = 1,
	    .parcels = 1000,
	    .longest = 2 * OUTBOX_PARCEL_MOST,
	    .in_any_order = true });
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
