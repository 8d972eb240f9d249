/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading and writing a real other process, with every outcome brought about by its real cause: pages that
 * are missing, protected, truncated or not to be pinned on either side, processes that are dead, replaced,
 * without a main thread or out of bounds, and system call filters for the refusals of a container.
 *
 * The other process is a fork that has painted its copy of a mapping: each byte tells its own address. Ours
 * is not painted, so bytes from the wrong process or the wrong place never pass. What a write has done is
 * read from /proc/PID/mem. HAUL_TEST_SEED repeats a random run.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/vm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/fault.h"
#include "lib/seed.h"

#define PAGE ((size_t)4096)
#define MIB ((size_t)1 << 20)
#define COOKIE 0x6861756c63656c6cU
#define CANARY 0xc3
#define NOBODY 65534
#define EXEC_ADDRESS ((unsigned char *)0x200000000000) /* free in every layout, sanitized or not */
#define EXEC_VARIABLE "HAUL_TEST_EXEC_READY_FD"

TestSuite(vm, .timeout = 60);

/* ---- random numbers ---- */

/* ---- memory ---- */

static unsigned char pattern(const void *address)
{
	return (unsigned char)(((uint64_t)(uintptr_t)address * 0x9e3779b97f4a7c15U) >> 56);
}

static void paint(unsigned char *base, size_t len)
{
	for (size_t i = 0; i < len; i++)
		base[i] = pattern(base + i);
}

/* Untouched private pages between two that nobody may touch. */
static unsigned char *pages_new(size_t count)
{
	unsigned char *base = mmap(NULL, (count + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(base, MAP_FAILED);
	cr_assert_eq(mprotect(base + PAGE, count * PAGE, PROT_READ | PROT_WRITE), 0);
	madvise(base, (count + 2) * PAGE, MADV_NOHUGEPAGE);
	return base + PAGE;
}

static unsigned char *canary_pages_new(size_t count)
{
	unsigned char *base = pages_new(count);
	memset(base, CANARY, count * PAGE);
	return base;
}

/* One byte after the other along a list. */
struct walk {
	const struct iovec *iov;
	size_t at;
};

static unsigned char *walk_next(struct walk *w)
{
	while (w->at == w->iov->iov_len) {
		w->iov++;
		w->at = 0;
	}
	return (unsigned char *)w->iov->iov_base + w->at++;
}

static size_t total_of(const struct iovec *iov, size_t count)
{
	uint64_t total;
	cr_assert(iov_total(iov, count, &total));
	return total;
}

/* ---- the other process ---- */

struct target {
	pid_t pid;
	int ready; /* our end of the pipe that it says 'r' on (or 's': skip, it can't be made here) */
};

static int target_ready_fd;

static void must(bool ok)
{
	if (!ok)
		_exit(99); /* the parent then reads end of file where it waits for 'r' */
}

static void say(char what)
{
	must(write(target_ready_fd, &what, 1) == 1);
}

static void await(const struct target *t, char what)
{
	char said = 0;
	cr_assert_eq(read(t->ready, &said, 1), 1, "the other process failed");
	if (said == 's')
		cr_skip_test("not possible here");
	cr_assert_eq(said, what);
}

static pid_t fork_bound_to_us(void)
{
	pid_t us = getpid(), pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		must(getppid() == us);
	}
	return pid;
}

static struct target target_start(void (*setup)(void *), void *arg)
{
	int fds[2];
	cr_assert_eq(pipe(fds), 0);
	struct target t = { .pid = fork_bound_to_us(), .ready = fds[0] };
	if (t.pid == 0) {
		target_ready_fd = fds[1];
		setup(arg);
		say('r');
		for (;;)
			pause();
	}
	close(fds[1]);
	await(&t, 'r');
	return t;
}

static void target_end(struct target *t)
{
	close(t->ready);
	kill(t->pid, SIGKILL);
	cr_assert_eq(waitpid(t->pid, NULL, 0), t->pid);
}

/* What the other process holds at an address, whatever its protection. */
static void peek(const struct target *t, const void *address, void *out, size_t len)
{
	char path[40];
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)t->pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(pread(fd, out, len, (off_t)(uintptr_t)address), (ssize_t)len);
	close(fd);
}

enum spoil { SOUND, UNMAPPED, NO_ACCESS, READ_ONLY, WRITE_ONLY };

static bool spoil(unsigned char *page, enum spoil how)
{
	switch (how) {
	case UNMAPPED:
		return munmap(page, PAGE) == 0;
	case NO_ACCESS:
		return mprotect(page, PAGE, PROT_NONE) == 0;
	case READ_ONLY:
		return mprotect(page, PAGE, PROT_READ) == 0;
	case WRITE_ONLY:
		return mprotect(page, PAGE, PROT_WRITE) == 0;
	case SOUND:
		break;
	}
	return true;
}

/* The usual other process: painted pages, some of them spoilt, and a word on a page of its own. */
struct source {
	unsigned char *base;
	size_t pages;
	uint64_t *word;
	const unsigned char *spoilt; /* a byte (enum spoil) per page, or NULL */
};

static struct source source_new(size_t pages)
{
	return (struct source){ pages_new(pages), pages, (uint64_t *)(void *)pages_new(1), NULL };
}

static void source_setup(void *arg)
{
	const struct source *s = arg;
	paint(s->base, s->pages * PAGE);
	*s->word = COOKIE;
	for (size_t i = 0; s->spoilt != NULL && i < s->pages; i++)
		must(spoil(s->base + i * PAGE, s->spoilt[i]));
}

static struct target source_start(struct source *s)
{
	return target_start(source_setup, s);
}

/* ---- one call, and what must hold after any ---- */

static struct vm_word word_at(const void *address)
{
	return (struct vm_word){ .addr = (uint64_t)(uintptr_t)address, .value = 77, .read = true };
}

static void check_result(const struct vm_result *r, uint64_t len, uint64_t left, uint64_t total)
{
	cr_assert_leq(r->moved, len);
	cr_assert_eq(r->moved == len, r->outcome == VM_MOVED);
	cr_assert_eq(r->error == 0, r->outcome == VM_MOVED);
	cr_assert_eq(left, total - r->moved, "a cursor must move by what was moved");
	if (r->outcome == VM_BAD_LOCAL || r->outcome == VM_BAD_REMOTE)
		cr_assert_eq(r->error, EFAULT);
}

static struct vm_result read_lists(pid_t pid, const struct iovec *l, size_t ln, const struct iovec *r,
    size_t rn, size_t len, struct vm_word *word)
{
	struct iov_cursor local, remote;
	size_t l_total = total_of(l, ln), r_total = total_of(r, rn);
	iov_cursor_init(&local, l, ln, l_total);
	iov_cursor_init(&remote, r, rn, r_total);
	struct vm_result result = vm_read(pid, &local, &remote, len, word);
	check_result(&result, len, local.left, l_total);
	check_result(&result, len, remote.left, r_total);
	if (word != NULL && !word->read)
		cr_assert_eq(word->value, 77, "a word that wasn't read must be left alone");
	return result;
}

static struct vm_result write_lists(pid_t pid, const struct iovec *l, size_t ln, const struct iovec *r,
    size_t rn, size_t len)
{
	struct iov_cursor local, remote;
	size_t l_total = total_of(l, ln), r_total = total_of(r, rn);
	iov_cursor_init(&local, l, ln, l_total);
	iov_cursor_init(&remote, r, rn, r_total);
	struct vm_result result = vm_write(pid, &local, &remote, len);
	check_result(&result, len, local.left, l_total);
	check_result(&result, len, remote.left, r_total);
	return result;
}

static struct vm_result read_flat(pid_t pid, void *to, void *from, size_t len, struct vm_word *word)
{
	struct iovec local = { to, len }, remote = { from, len };
	return read_lists(pid, &local, 1, &remote, 1, len, word);
}

static struct vm_result write_flat(pid_t pid, void *from, void *to, size_t len)
{
	struct iovec local = { from, len }, remote = { to, len };
	return write_lists(pid, &local, 1, &remote, 1, len);
}

/* The first moved bytes are those of the other process, the rest up to len are still ours. */
static void check_flat(const unsigned char *to, const unsigned char *from, size_t moved, size_t len)
{
	for (size_t i = 0; i < moved; i++)
		cr_assert_eq(to[i], pattern(from + i), "byte %zu of %zu is wrong", i, moved);
	for (size_t i = moved; i < len; i++)
		cr_assert_eq(to[i], CANARY, "byte %zu was touched, only %zu were moved", i, moved);
}

static void check_word(const struct vm_word *word, uint64_t expected)
{
	cr_assert(word->read);
	cr_assert_eq(word->value, expected);
}

/* ---- all goes well ---- */

Test(vm, reads_a_message_and_the_word_in_one_call)
{
	struct source s = source_new(256);
	struct target t = source_start(&s);
	size_t lens[] = { 1, 8, 4095, 4096, 4097, 65536, MIB };
	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		unsigned char *to = canary_pages_new(257);
		size_t shift = i * 5 % (257 * PAGE - lens[i]);
		struct vm_word word = word_at(s.word);
		struct vm_result r = read_flat(t.pid, to + shift, s.base, lens[i], &word);
		cr_assert_eq(r.outcome, VM_MOVED);
		cr_assert_eq(r.calls, 1);
		check_word(&word, COOKIE);
		check_flat(to + shift, s.base, lens[i], 257 * PAGE - shift);
		for (size_t k = 0; k < shift; k++)
			cr_assert_eq(to[k], CANARY);
		munmap(to, 257 * PAGE);
	}
	target_end(&t);
}

Test(vm, reads_without_a_word)
{
	struct source s = source_new(3);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(3);
	struct vm_result r = read_flat(t.pid, to, s.base + 5, 2 * PAGE, NULL);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_eq(r.calls, 1);
	check_flat(to, s.base + 5, 2 * PAGE, 3 * PAGE);
	target_end(&t);
}

Test(vm, moves_no_more_than_asked_and_goes_on_from_there)
{
	struct source s = source_new(2);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(2);
	struct iovec local[] = { { to, 5000 }, { to + 5000, 2000 } }, remote = { s.base, 7000 };
	struct iov_cursor l, r;
	iov_cursor_init(&l, local, 2, 7000);
	iov_cursor_init(&r, &remote, 1, 7000);
	cr_assert_eq(vm_read(t.pid, &l, &r, 4999, NULL).moved, 4999);
	check_flat(to, s.base, 4999, 7000);
	cr_assert_eq(vm_read(t.pid, &l, &r, 2, NULL).moved, 2);
	check_flat(to, s.base, 5001, 7000);
	cr_assert_eq(vm_read(t.pid, &l, &r, 1999, NULL).moved, 1999);
	check_flat(to, s.base, 7000, 2 * PAGE);
	cr_assert_eq(l.left + r.left, 0);
	target_end(&t);
}

Test(vm, writes_a_message_in_one_call)
{
	struct source s = source_new(300);
	struct target t = source_start(&s);
	unsigned char *from = pages_new(256), *seen = malloc(300 * PAGE);
	memset(from, CANARY, 256 * PAGE);
	for (size_t i = 0; i < MIB; i++)
		from[i] = (unsigned char)~pattern(s.base + 3 + i);
	struct vm_result r = write_flat(t.pid, from, s.base + 3, MIB);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_eq(r.calls, 1);
	peek(&t, s.base, seen, 300 * PAGE);
	for (size_t i = 0; i < 300 * PAGE; i++) {
		unsigned char there = pattern(s.base + i);
		cr_assert_eq(seen[i], i >= 3 && i < MIB + 3 ? (unsigned char)~there : there);
	}
	free(seen);
	target_end(&t);
}

/* ---- how many calls ---- */

static unsigned calls_for_len(const struct target *t, struct source *s, unsigned char *to, size_t len)
{
	struct vm_word word = word_at(s->word);
	memset(to, CANARY, len);
	struct vm_result r = read_flat(t->pid, to, s->base, len, &word);
	cr_assert_eq(r.outcome, VM_MOVED);
	check_word(&word, COOKIE);
	check_flat(to, s->base, len, len);
	return r.calls;
}

Test(vm, takes_one_call_per_16_MiB)
{
	struct source s = source_new(40 * MIB / PAGE);
	struct target t = source_start(&s);
	unsigned char *to = pages_new(40 * MIB / PAGE);
	cr_assert_eq(calls_for_len(&t, &s, to, 16 * MIB), 1);
	cr_assert_eq(calls_for_len(&t, &s, to, 16 * MIB + 1), 2);
	cr_assert_eq(calls_for_len(&t, &s, to, 40 * MIB), 3);
	cr_assert_eq(write_flat(t.pid, to, s.base, 40 * MIB).calls, 3);
	target_end(&t);
}

/* count iovecs on one side or both, each 3 bytes with a gap of 1, against one iovec if not on both */
static void check_calls_for_count(size_t count, bool split_local, bool split_remote, unsigned calls)
{
	size_t pages = count * 4 / PAGE + 1, len = count * 3;
	struct source s = source_new(pages);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(pages);
	struct iovec *l = calloc(count, sizeof(*l)), *r = calloc(count, sizeof(*r));
	for (size_t i = 0; i < count; i++) {
		l[i] = (struct iovec){ to + 4 * i, 3 };
		r[i] = (struct iovec){ s.base + 4 * i, 3 };
	}
	struct iovec l_flat = { to, len }, r_flat = { s.base, len };
	const struct iovec *local = split_local ? l : &l_flat, *remote = split_remote ? r : &r_flat;
	struct vm_word word = word_at(s.word);
	struct vm_result result =
	    read_lists(t.pid, local, split_local ? count : 1, remote, split_remote ? count : 1, len, &word);
	cr_assert_eq(result.outcome, VM_MOVED);
	cr_assert_eq(result.calls, calls, "%zu iovecs took %u calls", count, result.calls);
	check_word(&word, COOKIE);
	struct walk lw = { local, 0 }, rw = { remote, 0 };
	for (size_t i = 0; i < len; i++)
		cr_assert_eq(*walk_next(&lw), pattern(walk_next(&rw)));
	for (size_t i = 3; split_local && i < count * 4; i += 4)
		cr_assert_eq(to[i], CANARY);
	cr_assert_eq(write_lists(t.pid, local, split_local ? count : 1, remote, split_remote ? count : 1, len)
	                 .calls,
	    calls);
	free(l);
	free(r);
	target_end(&t);
}

Test(vm, takes_one_call_per_1023_iovecs_of_either_side)
{
	check_calls_for_count(1023, true, true, 1);
	check_calls_for_count(1024, true, true, 2);
	check_calls_for_count(1024, true, false, 2);
	check_calls_for_count(1024, false, true, 2);
	check_calls_for_count(2046, true, true, 2);
	check_calls_for_count(2047, false, true, 3);
	check_calls_for_count(3000, true, true, 3);
}

Test(vm, empty_iovecs_take_no_place_in_a_call)
{
	struct source s = source_new(1);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(1);
	struct iovec l[3001] = { 0 }, r[3001] = { 0 };
	for (size_t i = 0; i < 3000; i += 1000)
		l[i] = r[i] = (struct iovec){ NULL, 0 };
	l[1500] = (struct iovec){ to, 100 };
	l[3000] = (struct iovec){ to + 100, 50 };
	r[0] = (struct iovec){ s.base, 20 };
	r[2999] = (struct iovec){ s.base + 20, 130 };
	struct vm_result result = read_lists(t.pid, l, 3001, r, 3001, 150, NULL);
	cr_assert_eq(result.outcome, VM_MOVED);
	cr_assert_eq(result.calls, 1);
	check_flat(to, s.base, 150, PAGE);
	target_end(&t);
}

/* ---- the word ---- */

Test(vm, len_0_reads_just_the_word)
{
	struct source s = source_new(1);
	struct target t = source_start(&s);
	struct vm_word word = word_at(s.word);
	struct vm_result r = read_lists(t.pid, NULL, 0, NULL, 0, 0, &word);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_eq(r.calls, 0);
	check_word(&word, COOKIE);
	word = word_at(s.base + PAGE); /* the guard page */
	r = read_lists(t.pid, NULL, 0, NULL, 0, 0, &word);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_not(word.read);
	r = read_lists(t.pid, NULL, 0, NULL, 0, 0, NULL);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_eq(r.calls, 0);
	cr_assert_eq(write_lists(t.pid, NULL, 0, NULL, 0, 0).outcome, VM_MOVED);
	target_end(&t);
}

Test(vm, payload_is_moved_though_the_word_is_unreadable)
{
	struct source s = source_new(2);
	struct target t = source_start(&s);
	/* a guard page, an address of the kernel's, and a word half on a good page */
	void *bad[] = { s.base + 2 * PAGE, (void *)0xffff800000000000U, s.base + 2 * PAGE - 4 };
	for (size_t i = 0; i < 3; i++) {
		unsigned char *to = canary_pages_new(2);
		struct vm_word word = word_at(bad[i]);
		struct vm_result r = read_flat(t.pid, to, s.base, PAGE + 9, &word);
		cr_assert_eq(r.outcome, VM_MOVED);
		cr_assert_eq(r.calls, 1);
		cr_assert_not(word.read);
		check_flat(to, s.base, PAGE + 9, 2 * PAGE);
	}
	target_end(&t);
}

Test(vm, an_unreadable_word_does_not_stop_the_next_call)
{
	struct source s = source_new(17 * MIB / PAGE);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(17 * MIB / PAGE);
	struct vm_word word = word_at(s.base + s.pages * PAGE);
	struct vm_result r = read_flat(t.pid, to, s.base, 17 * MIB, &word);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_eq(r.calls, 2);
	cr_assert_not(word.read);
	check_flat(to, s.base, 17 * MIB, 17 * MIB);
	target_end(&t);
}

Test(vm, a_word_that_the_call_did_not_reach_is_read_alone)
{
	struct source s = source_new(1);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(1);
	struct vm_word word = word_at(s.word);
	fault_arm(&(struct fault){ .action = FAULT_SHORT, .nth = 1 });
	struct vm_result r = read_flat(t.pid, to, s.base, 3, &word); /* 5 of 3 and the word's 8 */
	fault_disarm();
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_eq(r.calls, 1);
	check_word(&word, COOKIE);
	check_flat(to, s.base, 3, PAGE);
	target_end(&t);
}

Test(vm, two_words_are_read_by_the_same_call)
{
	struct source s = source_new(3);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(3);
	struct vm_word before = word_at(s.base + 8), last = word_at(s.word);
	last.before = &before;
	struct vm_result r = read_flat(t.pid, to, s.base, 2 * PAGE, &last);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_eq(r.calls, 1);
	check_word(&last, COOKIE);
	cr_assert(before.read);
	for (size_t i = 0; i < sizeof(before.value); i++)
		cr_assert_eq(((unsigned char *)&before.value)[i], pattern(s.base + 8 + i));
	check_flat(to, s.base, 2 * PAGE, 3 * PAGE);
	cr_assert_eq(vm_read_word(t.pid, &last), 0);
	check_word(&last, COOKIE);

	/* 1023 iovecs leave no room for both */
	struct iovec local[1023], remote[1023];
	for (size_t i = 0; i < 1023; i++) {
		local[i] = (struct iovec){ to + 4 * i, 3 };
		remote[i] = (struct iovec){ s.base + 4 * i, 3 };
	}
	r = read_lists(t.pid, local, 1023, remote, 1023, 1023 * 3, &last);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_eq(r.calls, 2);
	check_word(&last, COOKIE);
	cr_assert(before.read);
	target_end(&t);
}

static void check_words(const unsigned char *from, uint64_t first, const uint64_t *rest, size_t count)
{
	for (size_t i = 0; i < 8; i++)
		cr_assert_eq(((unsigned char *)&first)[i], pattern(from + i));
	for (size_t i = 0; i < 8 * count; i++)
		cr_assert_eq(((const unsigned char *)rest)[i], pattern(from + 8 + i));
}

Test(vm, words_that_follow_one_are_read_with_it)
{
	struct source s = source_new(3);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(3);
	uint64_t rest[VM_REST_MOST], fewer[3];
	struct vm_word before = word_at(s.base + 16), last = word_at(s.base + 128);
	last.rest = rest;
	last.rest_count = VM_REST_MOST;
	struct vm_result r = read_flat(t.pid, to, s.base, 2 * PAGE, &last);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_eq(r.calls, 1);
	cr_assert(last.read);
	check_words(s.base + 128, last.value, rest, VM_REST_MOST);
	check_flat(to, s.base, 2 * PAGE, 3 * PAGE);

	last.before = &before;
	before.rest = fewer;
	before.rest_count = 3;
	memset(rest, 0, sizeof(rest));
	r = read_flat(t.pid, to, s.base, PAGE, &last);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert(before.read && last.read);
	check_words(s.base + 16, before.value, fewer, 3);
	check_words(s.base + 128, last.value, rest, VM_REST_MOST);
	cr_assert_eq(vm_read_word(t.pid, &last), 0);
	check_words(s.base + 128, last.value, rest, VM_REST_MOST);
	target_end(&t);
}

/* All of them, or it counts as not read. */
Test(vm, of_words_that_follow_one_none_may_be_missing)
{
	struct source s = source_new(1);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(1);
	uint64_t rest[VM_REST_MOST] = { 5 };
	struct vm_word last = word_at(s.base + PAGE - 8); /* the others lie in the guard page */
	last.rest = rest;
	last.rest_count = VM_REST_MOST;
	struct vm_result r = read_flat(t.pid, to, s.base, 100, &last);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_not(last.read);
	cr_assert_eq(last.value, 77);
	cr_assert_eq(rest[0], 5);
	cr_assert_eq(vm_read_word(t.pid, &last), EFAULT);
	target_end(&t);
}

Test(vm, of_two_words_the_first_may_be_read_alone)
{
	struct source s = source_new(1);
	struct target t = source_start(&s);
	struct vm_word before = word_at(s.word), last = word_at(s.base + PAGE); /* the guard page */
	last.before = &before;
	cr_assert_eq(vm_read_word(t.pid, &last), EFAULT);
	check_word(&before, COOKIE);
	cr_assert_not(last.read);
	cr_assert_eq(last.value, 77);
	before = word_at(s.base + PAGE);
	last = word_at(s.word);
	last.before = &before;
	cr_assert_eq(vm_read_word(t.pid, &last), EFAULT);
	cr_assert_not(before.read);
	cr_assert_not(last.read);
	target_end(&t);
}

/* A source with a page that is missing until somebody touches it; a thread then first sets the word to 2 and
 * only then fills the page in. So whoever has bytes of that page and reads the word afterwards reads 2. */
struct lazy {
	struct source source;
	unsigned char *missing;
	int uffd;
};

static void *lazy_serve(void *arg)
{
	struct lazy *lazy = arg;
	unsigned char *content = malloc(PAGE);
	struct uffd_msg msg;
	must(content != NULL);
	must(read(lazy->uffd, &msg, sizeof(msg)) == (ssize_t)sizeof(msg));
	for (size_t i = 0; i < PAGE; i++)
		content[i] = pattern(lazy->missing + i);
	__atomic_store_n(lazy->source.word, 2, __ATOMIC_SEQ_CST);
	struct uffdio_copy fill = { .dst = (uintptr_t)lazy->missing, .src = (uintptr_t)content, .len = PAGE };
	must(ioctl(lazy->uffd, UFFDIO_COPY, &fill) == 0);
	free(content);
	return NULL;
}

static void lazy_setup(void *arg)
{
	struct lazy *lazy = arg;
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .range = { (uintptr_t)lazy->missing, PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING };
	pthread_t thread;

	source_setup(&lazy->source);
	must(madvise(lazy->missing, PAGE, MADV_DONTNEED) == 0);
	*lazy->source.word = 1;
	/* needs a privilege, since it is the kernel that will touch the page */
	lazy->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (lazy->uffd < 0)
		say('s');
	must(ioctl(lazy->uffd, UFFDIO_API, &api) == 0);
	must(ioctl(lazy->uffd, UFFDIO_REGISTER, &range) == 0);
	must(pthread_create(&thread, NULL, lazy_serve, lazy) == 0);
}

Test(vm, the_word_is_read_after_the_last_byte_of_payload)
{
	struct lazy lazy = { .source = source_new(4) };
	lazy.missing = lazy.source.base + 3 * PAGE;
	struct target t = target_start(lazy_setup, &lazy);
	unsigned char *to = canary_pages_new(4);
	struct vm_word word = word_at(lazy.source.word);
	struct vm_result r = read_flat(t.pid, to, lazy.source.base, 4 * PAGE, &word);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_eq(r.calls, 1);
	check_word(&word, 2);
	check_flat(to, lazy.source.base, 4 * PAGE, 4 * PAGE);
	target_end(&t);
}

Test(vm, of_many_calls_the_last_ones_word_counts)
{
	struct lazy lazy = { .source = source_new(4) };
	lazy.missing = lazy.source.base + 3 * PAGE;
	struct target t = target_start(lazy_setup, &lazy);
	unsigned char *to = canary_pages_new(4);
	struct iovec remote[2048], local = { to, 4 * PAGE };
	for (size_t i = 0; i < 2048; i++)
		remote[i] = (struct iovec){ lazy.source.base + 8 * i, 8 };
	struct vm_word word = word_at(lazy.source.word);
	struct vm_result r = read_lists(t.pid, &local, 1, remote, 2048, 4 * PAGE, &word);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_eq(r.calls, 3);
	check_word(&word, 2);
	check_flat(to, lazy.source.base, 4 * PAGE, 4 * PAGE);
	target_end(&t);
}

Test(vm, after_a_fault_the_word_is_read_alone)
{
	unsigned char spoilt[] = { SOUND, SOUND, NO_ACCESS };
	struct lazy lazy = { .source = source_new(3) };
	lazy.source.spoilt = spoilt;
	lazy.missing = lazy.source.base + PAGE;
	struct target t = target_start(lazy_setup, &lazy);
	unsigned char *to = canary_pages_new(3);
	struct vm_word word = word_at(lazy.source.word);
	struct vm_result r = read_flat(t.pid, to, lazy.source.base, 3 * PAGE, &word);
	cr_assert_eq(r.outcome, VM_BAD_REMOTE);
	cr_assert_eq(r.moved, 2 * PAGE);
	check_word(&word, 2);
	check_flat(to, lazy.source.base, 2 * PAGE, 3 * PAGE);
	target_end(&t);
}

/* The first call ends after 1023 remote iovecs, in the middle of the one local iovec: what follows there
 * must still be as it was when the second call faults. */
Test(vm, the_word_never_lands_in_the_payload)
{
	struct source s = source_new(2);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(3);
	struct iovec remote[1500], local = { to, 1500 * 8 };
	for (size_t i = 0; i < 1500; i++)
		remote[i] = (struct iovec){ i < 1023 ? s.base + 8 * i : s.base + 2 * PAGE, 8 };
	struct vm_word word = word_at(s.word);
	struct vm_result r = read_lists(t.pid, &local, 1, remote, 1500, 1500 * 8, &word);
	cr_assert_eq(r.outcome, VM_BAD_REMOTE);
	cr_assert_eq(r.moved, 1023 * 8);
	check_word(&word, COOKIE);
	check_flat(to, s.base, 1023 * 8, 3 * PAGE);
	target_end(&t);
}

/* ---- faults, at each position, to the byte ---- */

enum { BEFORE = 100, AFTER = 50 }; /* the payload leaves out as many bytes of its first and last page */

/* Reads the source in one iovec, and once more in uneven ones; both must end at the fault. */
static void check_remote_fault(size_t page, enum spoil how)
{
	unsigned char spoilt[5] = { 0 };
	struct source s = source_new(5);
	spoilt[page] = (unsigned char)how;
	s.spoilt = spoilt;
	struct target t = source_start(&s);
	size_t len = 5 * PAGE - BEFORE - AFTER, want = page == 0 ? 0 : page * PAGE - BEFORE;

	for (size_t cut = 0; cut < 3; cut++) {
		size_t step = cut == 0 ? len : cut == 1 ? 999 : 7, count = 0;
		struct iovec *remote = calloc(len / step + 1, sizeof(*remote));
		for (size_t at = 0; at < len; at += step)
			remote[count++] =
			    (struct iovec){ s.base + BEFORE + at, len - at < step ? len - at : step };
		unsigned char *to = canary_pages_new(6);
		struct iovec local = { to + 11, len };
		struct vm_word word = word_at(s.word);
		struct vm_result r = read_lists(t.pid, &local, 1, remote, count, len, &word);
		cr_assert_eq(r.outcome, VM_BAD_REMOTE);
		cr_assert_eq(r.moved, want, "moved %zu, not %zu", (size_t)r.moved, want);
		check_word(&word, COOKIE);
		check_flat(to + 11, s.base + BEFORE, want, 6 * PAGE - 11);
		free(remote);
	}
	target_end(&t);
}

Test(vm, stops_at_the_byte_before_an_unmapped_page)
{
	for (size_t page = 0; page < 5; page++)
		check_remote_fault(page, UNMAPPED);
}

Test(vm, stops_at_the_byte_before_a_protected_page)
{
	for (size_t page = 0; page < 5; page++)
		check_remote_fault(page, NO_ACCESS);
}

Test(vm, stops_at_the_byte_before_a_page_that_may_only_be_written)
{
	check_remote_fault(0, WRITE_ONLY);
	check_remote_fault(3, WRITE_ONLY);
}

static void check_local_fault(size_t page, enum spoil how)
{
	struct source s = source_new(6);
	struct target t = source_start(&s);
	size_t len = 5 * PAGE - BEFORE - AFTER, want = page == 0 ? 0 : page * PAGE - BEFORE;

	for (size_t cut = 0; cut < 3; cut++) {
		size_t step = cut == 0 ? len : cut == 1 ? 999 : 7, count = 0;
		struct iovec *local = calloc(len / step + 1, sizeof(*local));
		unsigned char *to = canary_pages_new(5);
		for (size_t at = 0; at < len; at += step)
			local[count++] =
			    (struct iovec){ to + BEFORE + at, len - at < step ? len - at : step };
		cr_assert(spoil(to + page * PAGE, how));
		struct iovec remote = { s.base + 11, len };
		struct vm_word word = word_at(s.word);
		struct vm_result r = read_lists(t.pid, local, count, &remote, 1, len, &word);
		cr_assert_eq(r.outcome, VM_BAD_LOCAL);
		cr_assert_eq(r.moved, want, "moved %zu, not %zu", (size_t)r.moved, want);
		check_word(&word, COOKIE);
		if (how == UNMAPPED) {
			check_flat(to + BEFORE, s.base + 11, want, want);
			check_flat(to + (page + 1) * PAGE, NULL, 0, (4 - page) * PAGE);
		} else {
			mprotect(to + page * PAGE, PAGE, PROT_READ);
			check_flat(to + BEFORE, s.base + 11, want, 5 * PAGE - BEFORE);
		}
		free(local);
	}
	target_end(&t);
}

Test(vm, stops_at_the_byte_before_our_own_unmapped_page)
{
	for (size_t page = 0; page < 5; page++)
		check_local_fault(page, UNMAPPED);
}

Test(vm, stops_at_the_byte_before_our_own_protected_page)
{
	for (size_t page = 0; page < 5; page++)
		check_local_fault(page, NO_ACCESS);
	for (size_t page = 0; page < 5; page++)
		check_local_fault(page, READ_ONLY);
}

/* The remote byte at remote_at and the local byte at local_at are the first bad ones of their side. */
static struct vm_result read_with_both_bad(size_t remote_at, size_t local_at)
{
	unsigned char spoilt[] = { SOUND, SOUND, NO_ACCESS, SOUND };
	struct source s = source_new(4);
	s.spoilt = spoilt;
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(4), *start = to + 2 * PAGE - local_at;
	cr_assert(spoil(to + 2 * PAGE, NO_ACCESS));
	struct vm_word word = word_at(s.word);
	struct vm_result r = read_flat(t.pid, start, s.base + 2 * PAGE - remote_at, 2 * PAGE, &word);
	check_word(&word, COOKIE);
	mprotect(to + 2 * PAGE, PAGE, PROT_READ);
	check_flat(start, s.base + 2 * PAGE - remote_at, r.moved, 2 * PAGE + local_at);
	target_end(&t);
	return r;
}

Test(vm, of_two_bad_sides_the_earlier_byte_decides)
{
	struct vm_result r = read_with_both_bad(1000, 1001);
	cr_assert_eq(r.outcome, VM_BAD_REMOTE);
	cr_assert_eq(r.moved, 1000);
	r = read_with_both_bad(1001, 1000);
	cr_assert_eq(r.outcome, VM_BAD_LOCAL);
	cr_assert_eq(r.moved, 1000);
	r = read_with_both_bad(0, 2 * PAGE - 1);
	cr_assert_eq(r.outcome, VM_BAD_REMOTE);
	cr_assert_eq(r.moved, 0);
	r = read_with_both_bad(5000, 0);
	cr_assert_eq(r.outcome, VM_BAD_LOCAL);
	cr_assert_eq(r.moved, 0);
}

Test(vm, of_two_sides_bad_at_the_same_byte_a_read_blames_the_remote)
{
	struct vm_result r = read_with_both_bad(1234, 1234);
	cr_assert_eq(r.outcome, VM_BAD_REMOTE);
	cr_assert_eq(r.moved, 1234);
	r = read_with_both_bad(0, 0);
	cr_assert_eq(r.outcome, VM_BAD_REMOTE);
	cr_assert_eq(r.moved, 0);
}

/* For an address that no process can have the kernel refuses the whole call, however late it comes. */
Test(vm, finds_a_local_address_that_cannot_be_though_the_whole_call_is_refused)
{
	size_t good = 3 * MIB + 77;
	struct source s = source_new(4 * MIB / PAGE);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(4 * MIB / PAGE);
	struct iovec local[] = { { to, MIB }, { to + MIB, good - MIB }, { (void *)0xffff800000000000U, 100 },
		{ to + good, 100 } };
	struct iovec remote = { s.base + 5, good + 200 };
	struct vm_word word = word_at(s.word);
	struct vm_result r = read_lists(t.pid, local, 4, &remote, 1, good + 200, &word);
	cr_assert_eq(r.outcome, VM_BAD_LOCAL);
	cr_assert_eq(r.moved, good);
	cr_assert_lt(r.calls, 100, "page by page would be 770");
	check_word(&word, COOKIE);
	check_flat(to, s.base + 5, good, 4 * MIB);

	r = write_lists(t.pid, local, 4, &remote, 1, good + 200);
	cr_assert_eq(r.outcome, VM_BAD_LOCAL);
	cr_assert_eq(r.moved, good);
	target_end(&t);
}

Test(vm, a_remote_address_that_cannot_be_is_bad_remote)
{
	struct source s = source_new(1);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(1);
	uintptr_t bad[] = { 8, 0xffff800000000000U, UINTPTR_MAX - 50, 0x8000000000000000U };
	for (size_t i = 0; i < 4; i++) {
		struct iovec remote[] = { { s.base, 30 }, { (void *)bad[i], 50 } }, local = { to, 80 };
		struct vm_word word = word_at(s.word);
		memset(to, CANARY, PAGE);
		struct vm_result r = read_lists(t.pid, &local, 1, remote, 2, 80, &word);
		cr_assert_eq(r.outcome, VM_BAD_REMOTE);
		cr_assert_eq(r.moved, 30);
		check_word(&word, COOKIE);
		check_flat(to, s.base, 30, PAGE);
	}
	target_end(&t);
}

static unsigned char *find_vvar(void)
{
	char line[512];
	unsigned long start = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	cr_assert_not_null(maps);
	while (start == 0 && fgets(line, sizeof(line), maps) != NULL)
		if (strstr(line, "[vvar]") != NULL)
			start = strtoul(line, NULL, 16);
	fclose(maps);
	return (unsigned char *)start;
}

Test(vm, a_page_that_cannot_be_pinned_is_bad_remote)
{
	unsigned char *vvar = find_vvar();
	if (vvar == NULL)
		cr_skip_test("no [vvar] here");
	struct source s = source_new(1);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(1);
	struct iovec remote[] = { { s.base, 10 }, { vvar, 8 } }, local = { to, 18 };
	struct vm_word word = word_at(s.word);
	cr_assert_eq(*(volatile unsigned char *)vvar, *(volatile unsigned char *)vvar,
	    "its owner can read it");
	struct vm_result r = read_lists(t.pid, &local, 1, remote, 2, 18, &word);
	cr_assert_eq(r.outcome, VM_BAD_REMOTE);
	cr_assert_eq(r.moved, 10);
	check_word(&word, COOKIE);
	check_flat(to, s.base, 10, PAGE);
	target_end(&t);
}

static int file_new(size_t len)
{
	char path[] = "/tmp/haul-test-vm-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	cr_assert_geq(fd, 0);
	unlink(path);
	cr_assert_eq(ftruncate(fd, (off_t)len), 0);
	return fd;
}

static void say_nothing(void *arg)
{
	(void)arg;
}

Test(vm, stops_at_the_end_of_a_truncated_file_mapping)
{
	int fd = file_new(3 * PAGE);
	unsigned char *map = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	cr_assert_neq(map, MAP_FAILED);
	for (size_t i = 0; i < PAGE; i++) { /* the bytes that stay, told by the address they will be at */
		unsigned char byte = pattern(map + i);
		cr_assert_eq(pwrite(fd, &byte, 1, (off_t)i), 1);
	}
	struct target t = target_start(say_nothing, NULL);
	cr_assert_eq(ftruncate(fd, (off_t)PAGE), 0);
	unsigned char *to = canary_pages_new(3);
	struct vm_result r = read_flat(t.pid, to, map, 3 * PAGE, NULL);
	cr_assert_eq(r.outcome, VM_BAD_REMOTE);
	cr_assert_eq(r.moved, PAGE);
	check_flat(to, map, PAGE, 3 * PAGE);
	target_end(&t);
}

Test(vm, stops_at_the_end_of_our_own_truncated_file_mapping)
{
	struct source s = source_new(3);
	struct target t = source_start(&s);
	int fd = file_new(3 * PAGE);
	unsigned char *map = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	cr_assert_neq(map, MAP_FAILED);
	cr_assert_eq(ftruncate(fd, (off_t)PAGE), 0);
	struct vm_result r = read_flat(t.pid, map + 9, s.base, 2 * PAGE, NULL);
	cr_assert_eq(r.outcome, VM_BAD_LOCAL);
	cr_assert_eq(r.moved, PAGE - 9);
	check_flat(map + 9, s.base, PAGE - 9, PAGE - 9);
	target_end(&t);
}

/* ---- never outside of what was asked for ---- */

static void unmap_around(void *arg)
{
	const struct source *s = arg;
	source_setup(arg);
	must(munmap(s->base - PAGE, PAGE) == 0 && munmap(s->base + s->pages * PAGE, PAGE) == 0);
}

Test(vm, reads_up_to_the_last_byte_before_a_hole)
{
	struct source s = source_new(3);
	struct target t = target_start(unmap_around, &s);
	unsigned char *to = canary_pages_new(3);
	struct vm_word word = word_at(s.base + 3 * PAGE - 8); /* itself the last there is */
	struct vm_result r = read_flat(t.pid, to, s.base, 3 * PAGE, &word);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert(word.read);
	check_flat(to, s.base, 3 * PAGE, 3 * PAGE);

	/* each page by itself, backwards, and the last bytes first */
	struct iovec remote[] = { { s.base + 3 * PAGE - 5, 5 }, { s.base + 2 * PAGE, PAGE - 5 },
		{ s.base + PAGE, PAGE }, { s.base, PAGE } };
	struct iovec local[] = { { to + 3 * PAGE - 5, 5 }, { to + 2 * PAGE, PAGE - 5 }, { to + PAGE, PAGE },
		{ to, PAGE } };
	memset(to, CANARY, 3 * PAGE);
	r = read_lists(t.pid, local, 4, remote, 4, 3 * PAGE, NULL);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_eq(r.calls, 1);
	check_flat(to, s.base, 3 * PAGE, 3 * PAGE);
	target_end(&t);
}

/* The source is not painted but for page 2; page 4 is out of bounds. The others have never been touched. */
static void paint_page_2(void *arg)
{
	const struct source *s = arg;
	paint(s->base + 2 * PAGE, PAGE);
	must(spoil(s->base + 4 * PAGE, NO_ACCESS));
}

static bool touched(const struct target *t, const unsigned char *page)
{
	char path[40];
	uint64_t entry;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)t->pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(pread(fd, &entry, 8, (off_t)((uintptr_t)page / PAGE * 8)), 8);
	close(fd);
	return (entry >> 62) != 0; /* present, or swapped out; a read of an anonymous page makes it present */
}

Test(vm, a_fault_makes_it_touch_no_page_that_was_not_asked_for)
{
	struct source s = source_new(8);
	struct target t = target_start(paint_page_2, &s);
	unsigned char *to = canary_pages_new(4);
	struct iovec remote[] = { { s.base + 2 * PAGE + 10, PAGE - 10 }, { s.base + 4 * PAGE, 100 },
		{ s.base + 6 * PAGE, 100 } };
	struct iovec local = { to, PAGE + 190 };

	struct vm_result r = read_lists(t.pid, &local, 1, remote, 3, PAGE + 190, NULL);
	cr_assert_eq(r.outcome, VM_BAD_REMOTE);
	cr_assert_eq(r.moved, PAGE - 10);
	check_flat(to, s.base + 2 * PAGE + 10, PAGE - 10, 4 * PAGE);

	cr_assert(spoil(to, NO_ACCESS)); /* now our side is bad: another way to narrow */
	r = read_lists(t.pid, &local, 1, remote, 3, PAGE + 190, NULL);
	cr_assert_eq(r.outcome, VM_BAD_LOCAL);
	cr_assert_eq(r.moved, 0);

	for (size_t page = 0; page < 8; page++)
		cr_assert_eq(touched(&t, s.base + page * PAGE), page == 2, "page %zu", page);
	cr_assert_eq(read_flat(t.pid, to + PAGE, s.base + PAGE, 1, NULL).outcome, VM_MOVED);
	cr_assert(touched(&t, s.base + PAGE), "the control: a read does show");
	target_end(&t);
}

/* ---- processes that are not there, or not the same ---- */

static void check_no_process(pid_t pid, struct source *s)
{
	unsigned char *to = canary_pages_new(s->pages);
	struct vm_word word = word_at(s->word);
	struct vm_result r = read_flat(pid, to, s->base, s->pages * PAGE, &word);
	cr_assert_eq(r.outcome, VM_NO_PROCESS);
	cr_assert_eq(r.error, ESRCH);
	cr_assert_eq(r.moved, 0);
	cr_assert_eq(r.calls, 1);
	cr_assert_not(word.read);
	check_flat(to, s->base, 0, s->pages * PAGE);
	r = write_flat(pid, to, s->base, s->pages * PAGE);
	cr_assert_eq(r.outcome, VM_NO_PROCESS);
	cr_assert_eq(r.moved, 0);
	word = word_at(s->word);
	read_lists(pid, NULL, 0, NULL, 0, 0, &word);
	cr_assert_not(word.read);
}

Test(vm, a_zombie_is_no_process_and_neither_is_one_reaped)
{
	struct source s = source_new(2);
	struct target t = source_start(&s);
	siginfo_t info;
	kill(t.pid, SIGKILL);
	cr_assert_eq(waitid(P_PID, (id_t)t.pid, &info, WEXITED | WNOWAIT), 0);
	check_no_process(t.pid, &s);
	target_end(&t);
	check_no_process(t.pid, &s);
}

static void await_end_of_main_thread(void)
{
	char state = 0;
	while (state != 'Z') { /* the process's state is that of its main thread */
		FILE *stat = fopen("/proc/self/stat", "r");
		must(stat != NULL && fscanf(stat, "%*d (%*[^)]) %c", &state) == 1);
		fclose(stat);
		sched_yield();
	}
}

static void *outlive_main_thread(void *arg)
{
	await_end_of_main_thread();
	say('r');
	pause();
	return arg;
}

static void leave_a_thread(void *arg)
{
	pthread_t thread;
	source_setup(arg);
	must(pthread_create(&thread, NULL, outlive_main_thread, NULL) == 0);
	pthread_exit(NULL);
}

Test(vm, a_live_process_without_its_main_thread_is_no_process)
{
	struct source s = source_new(2);
	struct target t = target_start(leave_a_thread, &s);
	check_no_process(t.pid, &s);
	cr_assert_eq(waitpid(t.pid, NULL, WNOHANG), 0, "it must be alive all the while");
	target_end(&t);
}

/* In the new image of the process that the next test starts: other bytes at the same place, before main. */
__attribute__((constructor)) static void be_the_exec_image(void)
{
	const char *fd = getenv(EXEC_VARIABLE);
	if (fd == NULL)
		return;
	target_ready_fd = atoi(fd);
	must(mmap(EXEC_ADDRESS, PAGE, PROT_READ | PROT_WRITE,
	         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == EXEC_ADDRESS);
	memset(EXEC_ADDRESS, 0x11, PAGE);
	say('x');
	for (;;)
		pause();
}

struct exec_target {
	struct source source;
	int go; /* end of file here starts the exec */
};

static void exec_on_command(void *arg)
{
	struct exec_target *x = arg;
	char c, variable[64], path[] = "/proc/self/exe", *library = getenv("LD_LIBRARY_PATH"), *both = NULL;
	source_setup(&x->source);
	say('r');
	must(read(x->go, &c, 1) == 1);
	snprintf(variable, sizeof(variable), "%s=%d", EXEC_VARIABLE, target_ready_fd);
	if (library != NULL)
		must(asprintf(&both, "LD_LIBRARY_PATH=%s", library) > 0);
	/* not the whole environment: the test framework's part of it is for its own children */
	char *argv[] = { path, NULL }, *envp[] = { variable, both, NULL };
	execve(path, argv, envp);
	_exit(98);
}

Test(vm, after_exec_the_word_no_longer_matches)
{
	int go[2];
	cr_assert_eq(pipe2(go, O_CLOEXEC), 0);
	cr_assert_eq(mmap(EXEC_ADDRESS, PAGE, PROT_READ | PROT_WRITE,
	                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
	    EXEC_ADDRESS);
	struct exec_target x = { .source = source_new(1), .go = go[0] };
	x.source.base = EXEC_ADDRESS;
	x.source.word = (uint64_t *)(void *)(EXEC_ADDRESS + PAGE - 8);
	struct target t = target_start(exec_on_command, &x);
	unsigned char *to = canary_pages_new(1);

	struct vm_word word = word_at(x.source.word);
	cr_assert_eq(read_flat(t.pid, to, EXEC_ADDRESS, 1000, &word).outcome, VM_MOVED);
	check_word(&word, COOKIE);
	check_flat(to, EXEC_ADDRESS, 1000, PAGE);

	cr_assert_eq(write(go[1], "g", 1), 1);
	await(&t, 'x');
	word = word_at(x.source.word);
	cr_assert_eq(read_flat(t.pid, to, EXEC_ADDRESS, 1000, &word).outcome, VM_MOVED,
	    "nothing but the word tells that this is another program");
	check_word(&word, 0x1111111111111111U);
	for (size_t i = 0; i < 1000; i++)
		cr_assert_eq(to[i], 0x11);

	struct vm_word old = word_at(to); /* the usual case: the new image has nothing there */
	cr_assert_eq(read_flat(t.pid, to, x.source.base + PAGE, 8, &old).outcome, VM_BAD_REMOTE);
	cr_assert_not(old.read);
	target_end(&t);
}

/* ---- refusals ---- */

struct attempt {
	const struct target *target;
	struct source *source;
	bool drop; /* become nobody first */
	struct vm_result read, write;
	struct vm_word word;
};

/* Reads and writes the target from a process of its own, since an identity once dropped is lost. */
static void attempt_from_child(struct attempt *a)
{
	int fds[2];
	cr_assert_eq(pipe(fds), 0);
	pid_t pid = fork_bound_to_us();
	if (pid == 0) {
		unsigned char *base = a->source->base, *to = canary_pages_new(1);
		must(!a->drop || setresuid(NOBODY, NOBODY, NOBODY) == 0);
		a->word = word_at(a->source->word);
		a->read = read_flat(a->target->pid, to, base, PAGE, &a->word);
		a->write = write_flat(a->target->pid, to, base, PAGE);
		for (size_t i = 0; i < PAGE; i++)
			must(to[i] == (a->read.moved == PAGE ? pattern(base + i) : CANARY));
		must(write(fds[1], a, sizeof(*a)) == (ssize_t)sizeof(*a));
		_exit(0);
	}
	close(fds[1]);
	cr_assert_eq(read(fds[0], a, sizeof(*a)), (ssize_t)sizeof(*a), "the reading process failed");
	close(fds[0]);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

static void check_denied(const struct attempt *a, int error)
{
	cr_assert_eq(a->read.outcome, VM_DENIED);
	cr_assert_eq(a->read.error, error);
	cr_assert_eq(a->read.calls, 1);
	cr_assert_not(a->word.read);
	cr_assert_eq(a->write.outcome, VM_DENIED);
	cr_assert_eq(a->write.error, error);
}

Test(vm, another_user_is_denied)
{
	if (geteuid() != 0)
		cr_skip_test("needs two users");
	struct source s = source_new(1);
	struct target t = source_start(&s);
	struct attempt a = { .target = &t, .source = &s, .drop = true };
	attempt_from_child(&a);
	check_denied(&a, EPERM);
	target_end(&t);
}

/* As nobody if we are root, whom nothing is refused; with the dumpable flag that setresuid clears. */
static void become_dumpable(void *arg)
{
	source_setup(arg);
	must(geteuid() != 0 || setresuid(NOBODY, NOBODY, NOBODY) == 0);
	must(prctl(PR_SET_DUMPABLE, 1) == 0);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* setresuid clears this, too */
}

static void become_undumpable(void *arg)
{
	become_dumpable(arg);
	must(prctl(PR_SET_DUMPABLE, 0) == 0);
}

Test(vm, the_same_user_is_denied_only_if_the_process_is_not_dumpable)
{
	struct source s = source_new(1);
	struct attempt a = { .source = &s, .drop = geteuid() == 0 };
	struct target t = target_start(become_undumpable, &s);
	a.target = &t;
	attempt_from_child(&a);
	check_denied(&a, EPERM);
	target_end(&t);

	t = target_start(become_dumpable, &s);
	attempt_from_child(&a);
	cr_assert_eq(a.read.outcome, VM_MOVED);
	cr_assert_eq(a.write.outcome, VM_MOVED);
	check_word(&a.word, COOKIE);
	target_end(&t);
}

/* A filter as a container has it: both calls end in the error, if they name count local iovecs (0: any). */
static void filter_calls(int error, unsigned count)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, count, 0, count == 0 ? 0 : 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };
	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		cr_skip_test("no system call filters here");
}

static void check_filtered(int error, enum vm_outcome outcome)
{
	struct source s = source_new(2);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(2);
	struct vm_word word = word_at(s.word);
	filter_calls(error, 0);
	struct vm_result r = read_flat(t.pid, to, s.base, 2 * PAGE, &word);
	cr_assert_eq(r.outcome, outcome);
	cr_assert_eq(r.error, error);
	cr_assert_eq(r.calls, 1);
	cr_assert_not(word.read);
	check_flat(to, s.base, 0, 2 * PAGE);
	r = write_flat(t.pid, to, s.base, 2 * PAGE);
	cr_assert_eq(r.outcome, outcome);
	cr_assert_eq(r.error, error);
	target_end(&t);
}

Test(vm, a_filter_that_says_ENOSYS_is_a_denial)
{
	check_filtered(ENOSYS, VM_DENIED);
}

Test(vm, a_filter_that_says_EACCES_is_a_denial)
{
	check_filtered(EACCES, VM_DENIED);
}

Test(vm, an_error_that_nobody_documents_is_a_denial_and_ends)
{
	check_filtered(EINTR, VM_DENIED);
}

Test(vm, ENOMEM_is_no_memory)
{
	check_filtered(ENOMEM, VM_NO_MEMORY);
}

Test(vm, an_EFAULT_that_never_passes_ends)
{
	struct source s = source_new(2);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(2);
	filter_calls(EFAULT, 0);
	cr_assert_eq(read_flat(t.pid, to, s.base, 2 * PAGE, NULL).outcome, VM_BAD_REMOTE);
	cr_assert_eq(write_flat(t.pid, to, s.base, 2 * PAGE).outcome, VM_BAD_LOCAL);
	target_end(&t);
}

#if defined(__x86_64__) || defined(__i386__)
/* A call for the word alone would name one local iovec, and be refused. */
Test(vm, one_message_and_its_word_are_one_system_call)
{
	struct source s = source_new(256);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(256);
	struct vm_word word = word_at(s.word);
	filter_calls(EPERM, 1);
	struct vm_result r = read_flat(t.pid, to, s.base, MIB, &word);
	cr_assert_eq(r.outcome, VM_MOVED);
	cr_assert_eq(r.calls, 1);
	check_word(&word, COOKIE);
	check_flat(to, s.base, MIB, MIB);
	target_end(&t);
}
#endif

/* 1500 iovecs are two calls, of 1023 and 477; the filter knows the second by its 477 and the word. */
static void check_second_call_filtered(int error, enum vm_outcome outcome)
{
	struct source s = source_new(3);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(3);
	struct iovec local[1500], remote = { s.base, 1500 * 8 };
	for (size_t i = 0; i < 1500; i++)
		local[i] = (struct iovec){ to + 8 * i, 8 };
	struct vm_word word = word_at(s.word);
	filter_calls(error, 478);
	struct vm_result r = read_lists(t.pid, local, 1500, &remote, 1, 1500 * 8, &word);
	cr_assert_eq(r.outcome, outcome);
	cr_assert_eq(r.error, error);
	cr_assert_eq(r.moved, 1023 * 8);
	cr_assert_eq(r.calls, 2);
	check_word(&word, COOKIE);
	check_flat(to, s.base, 1023 * 8, 3 * PAGE);
	target_end(&t);
}

Test(vm, a_refusal_of_a_later_call_keeps_what_was_moved_and_the_word)
{
	check_second_call_filtered(EPERM, VM_DENIED);
}

Test(vm, a_later_call_may_find_no_memory)
{
	check_second_call_filtered(ENOMEM, VM_NO_MEMORY);
}

/* The filter refuses the long call though nothing is wrong: as an EFAULT that has passed when looked at. */
Test(vm, a_fault_that_has_passed_is_got_over)
{
	struct source s = source_new(3);
	struct target t = source_start(&s);
	unsigned char *to = canary_pages_new(3);
	struct iovec local[1500], remote = { s.base, 1500 * 8 };
	for (size_t i = 0; i < 1500; i++)
		local[i] = (struct iovec){ to + 8 * i, 8 };
	struct vm_word word = word_at(s.word);
	filter_calls(EFAULT, 478);
	struct vm_result r = read_lists(t.pid, local, 1500, &remote, 1, 1500 * 8, &word);
	cr_assert_eq(r.outcome, VM_MOVED);
	check_word(&word, COOKIE);
	check_flat(to, s.base, 1500 * 8, 3 * PAGE);
	target_end(&t);
}

/* ---- the other direction ---- */

/* Writes 5 pages less some bytes over the source; exactly the first want bytes must have arrived. */
static void check_write_fault(size_t remote_page, enum spoil remote_how, size_t local_page,
    enum spoil local_how, enum vm_outcome outcome, size_t want)
{
	unsigned char spoilt[5] = { 0 }, *from = pages_new(5), *seen = malloc(5 * PAGE);
	struct source s = source_new(5);
	size_t len = 5 * PAGE - BEFORE - AFTER;
	spoilt[remote_page] = (unsigned char)remote_how;
	s.spoilt = spoilt;
	for (size_t i = 0; i < len; i++)
		from[BEFORE + i] = (unsigned char)~pattern(s.base + BEFORE + i);
	cr_assert(spoil(from + local_page * PAGE, local_how));
	for (size_t step = 7; step <= 7 * len; step *= 100) { /* 7 and 700 bytes an iovec, then all in one */
		struct target t = source_start(&s);
		struct iovec *remote = calloc(len / step + 1, sizeof(*remote)),
		             local = { from + BEFORE, len };
		size_t count = 0;
		for (size_t at = 0; at < len; at += step)
			remote[count++] =
			    (struct iovec){ s.base + BEFORE + at, len - at < step ? len - at : step };
		struct vm_result r = write_lists(t.pid, &local, 1, remote, count, len);
		cr_assert_eq(r.outcome, outcome);
		cr_assert_eq(r.moved, want, "moved %zu, not %zu", (size_t)r.moved, want);
		for (size_t page = 0; page < 5; page++) {
			if (spoilt[page] == UNMAPPED)
				continue;
			peek(&t, s.base + page * PAGE, seen, PAGE);
			for (size_t i = 0; i < PAGE; i++) {
				size_t at = page * PAGE + i;
				unsigned char there = pattern(s.base + at);
				if (at >= BEFORE && at < BEFORE + want)
					there = (unsigned char)~there;
				cr_assert_eq(seen[i], there, "byte %zu is wrong, %zu were moved", at, want);
			}
		}
		free(remote);
		target_end(&t);
	}
	free(seen);
}

Test(vm, a_write_stops_at_the_byte_before_a_bad_remote_page)
{
	for (size_t page = 0; page < 5; page++) {
		size_t want = page == 0 ? 0 : page * PAGE - BEFORE;
		check_write_fault(page, UNMAPPED, 0, SOUND, VM_BAD_REMOTE, want);
		check_write_fault(page, NO_ACCESS, 0, SOUND, VM_BAD_REMOTE, want);
		check_write_fault(page, READ_ONLY, 0, SOUND, VM_BAD_REMOTE, want);
	}
}

Test(vm, a_write_stops_at_the_byte_before_our_own_bad_page)
{
	for (size_t page = 0; page < 5; page++) {
		size_t want = page == 0 ? 0 : page * PAGE - BEFORE;
		check_write_fault(0, SOUND, page, UNMAPPED, VM_BAD_LOCAL, want);
		check_write_fault(0, SOUND, page, NO_ACCESS, VM_BAD_LOCAL, want);
	}
}

Test(vm, of_two_bad_sides_the_earlier_byte_decides_for_a_write)
{
	check_write_fault(2, NO_ACCESS, 3, NO_ACCESS, VM_BAD_REMOTE, 2 * PAGE - BEFORE);
	check_write_fault(3, NO_ACCESS, 2, NO_ACCESS, VM_BAD_LOCAL, 2 * PAGE - BEFORE);
}

Test(vm, of_two_sides_bad_at_the_same_byte_a_write_blames_our_own)
{
	check_write_fault(0, NO_ACCESS, 0, NO_ACCESS, VM_BAD_LOCAL, 0);
	check_write_fault(2, READ_ONLY, 2, NO_ACCESS, VM_BAD_LOCAL, 2 * PAGE - BEFORE);
}

/* Our own memory that may be read but not pinned is as good as any to write from. */
Test(vm, a_write_from_memory_that_cannot_be_pinned_blames_the_remote_for_its_faults)
{
	unsigned char *vvar = find_vvar();
	if (vvar == NULL)
		cr_skip_test("no [vvar] here");
	struct source s = source_new(1);
	struct target t = source_start(&s);
	struct iovec local = { vvar, 50 }, remote[] = { { s.base, 30 }, { s.base + PAGE, 20 } };
	struct vm_result r = write_lists(t.pid, &local, 1, remote, 2, 50);
	cr_assert_eq(r.outcome, VM_BAD_REMOTE);
	cr_assert_eq(r.moved, 30);
	target_end(&t);
}

struct orphan {
	const struct target *target;
	struct source *source;
	unsigned char *from; /* a good page, then one without access */
	int report;
};

static void *write_without_main_thread(void *arg)
{
	struct orphan *o = arg;
	await_end_of_main_thread();
	struct vm_result r = write_flat(o->target->pid, o->from, o->source->base, 2 * PAGE);
	must(write(o->report, &r, sizeof(r)) == (ssize_t)sizeof(r));
	_exit(0);
}

Test(vm, a_write_finds_our_own_fault_even_if_our_main_thread_has_left)
{
	struct source s = source_new(2);
	struct target t = source_start(&s);
	struct orphan o = { .target = &t, .source = &s, .from = canary_pages_new(2) };
	struct vm_result r;
	int fds[2];
	cr_assert(spoil(o.from + PAGE, NO_ACCESS));
	cr_assert_eq(pipe(fds), 0);
	o.report = fds[1];
	pid_t pid = fork_bound_to_us();
	if (pid == 0) {
		pthread_t thread;
		must(pthread_create(&thread, NULL, write_without_main_thread, &o) == 0);
		pthread_exit(NULL);
	}
	close(fds[1]);
	cr_assert_eq(read(fds[0], &r, sizeof(r)), (ssize_t)sizeof(r), "the writing process failed");
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert_eq(r.outcome, VM_BAD_LOCAL);
	cr_assert_eq(r.moved, PAGE);
	target_end(&t);
}

/* ---- random lists against a byte by byte reference ---- */

/* Cuts total bytes into count pieces (some empty), lays them apart over memory, and shuffles them. */
static struct iovec *scatter(unsigned char *base, size_t room, size_t total, size_t count)
{
	struct iovec *iov = calloc(count, sizeof(*iov));
	size_t spare = room - total, left = total;
	cr_assert_not_null(iov);
	for (size_t i = 0; i < count; i++) {
		size_t even = 2 * left / (count - i) + 1,
		       len = i == count - 1 ? left : random_below(even + 1);
		if (len > left || random_below(20) == 0)
			len = i == count - 1 ? left : 0;
		size_t gap = random_below(spare / (count - i) + 1);
		iov[i] = (struct iovec){ base + gap, len };
		base += gap + len;
		spare -= gap;
		left -= len;
	}
	for (size_t i = count - 1; i > 0; i--) {
		size_t k = random_below(i + 1);
		struct iovec swap = iov[i];
		iov[i] = iov[k];
		iov[k] = swap;
	}
	return iov;
}

struct side {
	unsigned char *base;
	size_t pages;
	unsigned char *spoilt; /* a byte (enum spoil) per page */
	struct iovec *iov;
	size_t count;
};

static void side_cut(struct side *side, size_t total)
{
	static const size_t counts[] = { 1, 2, 3, 10, 100, 1022, 1023, 1024, 1025, 2047, 3000 };
	size_t n = sizeof(counts) / sizeof(*counts), pick = random_below(n + 3);
	side->count = pick < n ? counts[pick] : 1 + random_below(3000);
	side->iov = scatter(side->base, side->pages * PAGE, total, side->count);
}

static bool side_bad(const struct side *side, const unsigned char *byte)
{
	return side->spoilt[(size_t)(byte - side->base) / PAGE] != SOUND;
}

static size_t side_filled(const struct side *side)
{
	size_t n = 0;
	for (size_t i = 0; i < side->count; i++)
		n += side->iov[i].iov_len > 0;
	return n;
}

/* One transfer of random lists; everything in both address ranges must be as a loop over bytes makes it. */
static void random_round(const struct target *t, struct side *local, struct side *remote, uint64_t *word,
    bool writing)
{
	size_t room = local->pages * PAGE, total = 1 + random_below(random_below(2) ? room : 5000);
	size_t len = random_below(3) == 0 ? random_below(total + 1) : total, want = 0;
	unsigned char *image = malloc(room), *seen = malloc(room);
	enum vm_outcome outcome = VM_MOVED;

	side_cut(local, total);
	side_cut(remote, total);
	if (writing) {
		for (size_t page = 0; page < remote->pages; page++)
			if (remote->spoilt[page] != UNMAPPED)
				peek(t, remote->base + page * PAGE, image + page * PAGE, PAGE);
		for (size_t i = 0; i < room; i++)
			local->base[i] = (unsigned char)random_below(256);
	} else {
		memset(local->base, CANARY, room);
		memset(image, CANARY, room);
	}
	struct walk lw = { local->iov, 0 }, rw = { remote->iov, 0 };
	for (; want < len; want++) {
		unsigned char *l = walk_next(&lw), *r = walk_next(&rw);
		bool bad_local = side_bad(local, l), bad_remote = side_bad(remote, r);
		if (bad_local || bad_remote) {
			outcome = bad_local && (writing || !bad_remote) ? VM_BAD_LOCAL : VM_BAD_REMOTE;
			break;
		}
		if (writing)
			image[r - remote->base] = *l;
		else
			image[l - local->base] = pattern(r);
	}

	for (size_t page = 0; page < local->pages; page++)
		cr_assert(spoil(local->base + page * PAGE, local->spoilt[page]));
	struct vm_word w = word_at(word);
	struct vm_result r = writing
	    ? write_lists(t->pid, local->iov, local->count, remote->iov, remote->count, len)
	    : read_lists(t->pid, local->iov, local->count, remote->iov, remote->count, len, &w);
	cr_assert_eq(mprotect(local->base, room, PROT_READ | PROT_WRITE), 0);

	cr_assert_eq(r.outcome, outcome, "%zu and %zu iovecs, %zu bytes: %s", local->count, remote->count,
	    len, vm_outcome_words(r.outcome));
	cr_assert_eq(r.moved, want);
	if (outcome == VM_MOVED)
		cr_assert_leq(r.calls, side_filled(local) / 1023 + side_filled(remote) / 1023 + 1);
	if (!writing)
		check_word(&w, COOKIE);
	if (writing) {
		for (size_t page = 0; page < remote->pages; page++)
			if (remote->spoilt[page] != UNMAPPED) {
				peek(t, remote->base + page * PAGE, seen, PAGE);
				cr_assert_arr_eq(seen, image + page * PAGE, PAGE);
			}
	} else {
		cr_assert_arr_eq(local->base, image, room);
	}
	free(local->iov);
	free(remote->iov);
	free(image);
	free(seen);
}

/* chance: one page in so many is bad, 0: none */
static void random_rounds(bool writing, size_t chance)
{
	enum { PAGES = 64, TARGETS = 6, ROUNDS = 25 };
	seed_random();
	for (int i = 0; i < TARGETS; i++) {
		unsigned char bad_local[PAGES] = { 0 }, bad_remote[PAGES] = { 0 };
		struct source s = source_new(PAGES);
		for (size_t page = 0; page < PAGES && chance > 0; page++)
			if (random_below(chance) == 0)
				bad_remote[page] = random_below(2) ? UNMAPPED : NO_ACCESS;
		s.spoilt = bad_remote;
		struct target t = source_start(&s);
		struct side local = { .base = pages_new(PAGES), .pages = PAGES, .spoilt = bad_local };
		struct side remote = { .base = s.base, .pages = PAGES, .spoilt = bad_remote };
		for (int round = 0; round < ROUNDS; round++) {
			for (size_t page = 0; page < PAGES && chance > 0; page++)
				bad_local[page] = random_below(chance) == 0 ? NO_ACCESS : SOUND;
			random_round(&t, &local, &remote, s.word, writing);
		}
		target_end(&t);
	}
}

Test(vm, random_lists_are_read_as_a_loop_over_bytes_would)
{
	random_rounds(false, 0);
}

Test(vm, random_faults_stop_a_read_where_a_loop_over_bytes_would)
{
	random_rounds(false, 40);
}

Test(vm, random_lists_are_written_as_a_loop_over_bytes_would)
{
	random_rounds(true, 0);
}

Test(vm, random_faults_stop_a_write_where_a_loop_over_bytes_would)
{
	random_rounds(true, 40);
}

/* ---- words ---- */

Test(vm, each_outcome_has_its_own_words)
{
	for (int a = VM_MOVED; a <= VM_NO_MEMORY + 1; a++)
		for (int b = VM_MOVED; b < a; b++)
			cr_assert_str_neq(vm_outcome_words((enum vm_outcome)a),
			    vm_outcome_words((enum vm_outcome)b));
}
