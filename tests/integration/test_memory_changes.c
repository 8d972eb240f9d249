/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A buffer changes while it is copied: its file is truncated by another process, it is unmapped or protected by
 * another thread, a forked child writes to its copy. Either all bytes arrive, or both sides hear -EFAULT;
 * nobody gets a signal, and the connection goes on as it was.
 *
 * The second half changes, when some of the first has been copied; and in another run at any moment from
 * then on. So this is about ways that copy from the beginning on.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/memory.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(memory_changes, .timeout = 60);

/* Since Linux 6.13. */
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { LEN = 40 << 20, HALF = LEN / 2, AFTER_LEN = (1 << 20) + 3, MESSAGE = 1, AFTER = 2, BEFORE = 3 };

/* ---- the buffer ---- */

enum backing { ANONYMOUS, SHARED_FILE, PRIVATE_FILE };

struct area {
	unsigned char *at;
	int fd; /* of its file, or -1 */
};

static struct area area_make(enum backing backing, uint64_t seed)
{
	struct area a = { .fd = backing == ANONYMOUS ? -1 : memory_file(LEN, seed) };
	int flags = backing == ANONYMOUS ? MAP_PRIVATE | MAP_ANONYMOUS
	    : backing == SHARED_FILE     ? MAP_SHARED
	                                 : MAP_PRIVATE;
	a.at = mmap(NULL, LEN, PROT_READ | PROT_WRITE, flags, a.fd, 0);
	must(a.at != MAP_FAILED);
	if (backing == ANONYMOUS)
		pattern_fill(a.at, LEN, seed, 0);
	return a;
}

static void area_drop(struct area *a)
{
	munmap(a->at, LEN);
	if (a->fd >= 0)
		close(a->fd);
}

/* ---- what happens to it ---- */

/* In a process that is neither of the two. */
static void elsewhere(void (*act)(const struct area *a), const struct area *a)
{
	pid_t pid = fork();
	int status;
	must(pid >= 0);
	if (pid == 0) {
		act(a);
		_exit(0);
	}
	must_be(waitpid(pid, &status, 0), pid);
	must_be(status, 0);
}

static void truncate_it(const struct area *a)
{
	if (ftruncate(a->fd, HALF) != 0)
		_exit(1);
}

static void scribble(const struct area *a)
{
	memset(a->at, CANARY, LEN);
}

static void be_truncated(const struct area *a)
{
	elsewhere(truncate_it, a);
}

static void be_copied(const struct area *a)
{
	elsewhere(scribble, a);
}

static void unmap(const struct area *a)
{
	must_be(munmap(a->at + HALF, HALF), 0);
}

static void forbid(const struct area *a)
{
	must_be(mprotect(a->at + HALF, HALF, PROT_NONE), 0);
}

static void forbid_writing(const struct area *a)
{
	must_be(mprotect(a->at + HALF, HALF, PROT_READ), 0);
}

/* On a kernel that has none, forbids it in the old way. */
static void guard(const struct area *a)
{
	if (madvise(a->at + HALF, HALF, MADV_GUARD_INSTALL) != 0)
		forbid(a);
}

static void forget(const struct area *a)
{
	must_be(madvise(a->at + HALF, HALF, MADV_DONTNEED), 0);
}

enum outcome { ARRIVES, FAILS, ENDS_IN_ZEROS };

static const struct change {
	const char *name;
	bool at_receiver;
	enum backing backing;
	void (*happen)(const struct area *a);
	enum outcome outcome;
} changes[] = {
	{ "truncated, shared", false, SHARED_FILE, be_truncated, FAILS },
	{ "truncated, private", false, PRIVATE_FILE, be_truncated, FAILS },
	{ "unmapped", false, ANONYMOUS, unmap, FAILS },
	{ "protected", false, ANONYMOUS, forbid, FAILS },
	{ "guarded", false, ANONYMOUS, guard, FAILS },
	{ "not writable", false, ANONYMOUS, forbid_writing, ARRIVES },
	{ "copied by a fork", false, ANONYMOUS, be_copied, ARRIVES },
	{ "forgotten", false, ANONYMOUS, forget, ENDS_IN_ZEROS },
	{ "forgotten, but in a file", false, PRIVATE_FILE, forget, ARRIVES },
	{ "target truncated, shared", true, SHARED_FILE, be_truncated, FAILS },
	{ "target truncated, private", true, PRIVATE_FILE, be_truncated, FAILS },
	{ "target unmapped", true, ANONYMOUS, unmap, FAILS },
	{ "target protected", true, ANONYMOUS, forbid, FAILS },
	{ "target guarded", true, ANONYMOUS, guard, FAILS },
	{ "target not writable", true, ANONYMOUS, forbid_writing, FAILS },
	{ "target copied by a fork", true, ANONYMOUS, be_copied, ARRIVES },
	{ "target forgotten", true, ANONYMOUS, forget, ARRIVES },
};

enum { CHANGES = sizeof(changes) / sizeof(changes[0]) };

/* By value: Criterion copies it to another process. */
struct setting {
	struct path path;
	int change;
	bool race;
};

/* In memory that both processes share. */
struct stage {
	struct setting setting;
	sem_t wanted, done;
	int sent; /* the result of the send */
};

/* ---- the sender: a child of the test ---- */

struct changer {
	struct stage *stage;
	struct area area;
};

/* Its second thread. */
static void *change_when_wanted(void *arg)
{
	struct changer *c = arg;
	while (sem_wait(&c->stage->wanted) != 0)
		must_be(errno, EINTR);
	const struct change *change = &changes[c->stage->setting.change];
	if (!change->at_receiver)
		change->happen(&c->area);
	must_be(sem_post(&c->stage->done), 0);
	return NULL;
}

static void send_what_changes(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct stage *stage = *(struct stage *const *)arg;
	const struct change *change = &changes[stage->setting.change];
	struct changer c = { stage, area_make(change->at_receiver ? ANONYMOUS : change->backing, MESSAGE) };
	struct iovec iov = { c.area.at, LEN };
	pthread_t thread;
	must_note(change->name);
	must_be(pthread_create(&thread, NULL, change_when_wanted, &c), 0);
	stage->sent = haul_sendv(p, MESSAGE, &iov, 1, HAUL_SYNC, PATIENCE_MS);
	must_be(pthread_join(thread, NULL), 0);
	area_drop(&c.area);
	receive_pattern(h, AFTER_LEN, AFTER);
	send_pattern(p, AFTER_LEN, AFTER);
}

/* ---- the receiver: the test ---- */

static void await_done(struct stage *stage)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_MS / 1000;
	while (sem_timedwait(&stage->done, &until) != 0)
		must_be(errno, EINTR);
}

/* Lets it happen once some of the first half has been copied. */
static void change_in_the_middle(struct pairing *p, struct stage *stage, const struct area *target)
{
	const struct change *change = &changes[stage->setting.change];
	struct haul_stats stats;
	do {
		must(haul_progress(p->haul) >= 0);
		must_be(haul_stats(p->haul, &stats, sizeof(stats)), 0);
	} while (stats.copied_bytes == 0);
	must(stats.copied_bytes < HALF);
	must_be(sem_post(&stage->wanted), 0);
	if (!stage->setting.race)
		await_done(stage);
	if (change->at_receiver)
		change->happen(target);
}

static void check_arrived(const struct change *change, const unsigned char *at)
{
	must_hold(at, change->outcome == ENDS_IN_ZEROS ? HALF : LEN, MESSAGE, 0);
	for (size_t i = HALF; change->outcome == ENDS_IN_ZEROS && i < LEN; i++)
		must(at[i] == 0);
}

static void check_outcome(const struct stage *stage, const struct area *target, int received)
{
	const struct change *change = &changes[stage->setting.change];
	bool racing = stage->setting.race && !change->at_receiver;
	must_be(stage->sent, received);
	if (racing && change->outcome == ENDS_IN_ZEROS) {
		must_be(received, 0); /* with whichever bytes of the second half were there at the moment */
		must_hold(target->at, HALF, MESSAGE, 0);
	} else if (racing && received == 0) {
		must_hold(target->at, LEN, MESSAGE, 0); /* it came too late to matter */
	} else {
		must_be(received, change->outcome == FAILS ? -EFAULT : 0);
		if (received == 0)
			check_arrived(change, target->at);
	}
}

static void receive_what_changes(struct stage *stage)
{
	const struct change *change = &changes[stage->setting.change];
	struct haul_options o = path_options(&stage->setting.path);
	struct area target = area_make(change->at_receiver ? change->backing : ANONYMOUS, BEFORE);
	struct iovec iov = { target.at, LEN };
	struct haul_peer_info info;
	struct haul_req *r;
	struct pairing p;
	must_note(change->name);
	pairing_start(&p, &o, &o, send_what_changes, &stage);
	must_be(haul_irecv(p.haul, NULL, &iov, 1, &r), 0);
	change_in_the_middle(&p, stage, &target);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	int received = haul_req_finish(r, NULL);
	send_pattern(p.peer, AFTER_LEN, AFTER);
	check_outcome(stage, &target, received);
	receive_pattern(p.haul, AFTER_LEN, AFTER);
	must_be(haul_peer_info(p.peer, &info, sizeof(info)), 0);
	must_be(info.in_path, o.path == HAUL_PATH_STREAM ? HAUL_PATH_STREAM : HAUL_PATH_PULL);
	pairing_end(&p);
	area_drop(&target);
}

/* ---- */

ParameterizedTestParameters(memory_changes, all_of_it_arrives_or_both_sides_hear_why_not)
{
	static struct setting all[CHANGES * 8 * 2];
	struct criterion_test_params paths = paths_every();
	const struct path *path = paths.params;
	size_t n = 0;
	for (int change = 0; change < CHANGES; change++)
		for (size_t i = 0; i < paths.length; i++)
			for (int race = 0; race < 2; race++)
				if (path[i].path != HAUL_PATH_AUTO && !path[i].together)
					all[n++] = (struct setting){ path[i], change, race };
	return cr_make_param_array(struct setting, all, n);
}

ParameterizedTest(struct setting *s, memory_changes, all_of_it_arrives_or_both_sides_hear_why_not)
{
	struct stage *stage =
	    mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(stage != MAP_FAILED);
	stage->setting = *s;
	must_be(sem_init(&stage->wanted, 1, 0), 0);
	must_be(sem_init(&stage->done, 1, 0), 0);
	receive_what_changes(stage);
}
