/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The second thread for long copies. Everything is read from this process itself, which to the kernel is another one's
 * memory like any. Whether the helper comes to anything is luck, so what is to be seen with its help is done again until
 * there was some.
 */
#include "os/helper.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/seed.h"

TestSuite(helper, .timeout = 120);

enum { CHUNK = 256 << 10, LEAST = 2 << 20, MOST = 16 << 20, PAGE = 4096, TIMES = 20000, GOOD = 12345 };

static unsigned char *source, *target;
static _Atomic uint64_t word;
static struct helper *h;

static unsigned char *pages(size_t len)
{
	unsigned char *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(at != MAP_FAILED);
	return at;
}

static void start(void)
{
	int error = -1;
	source = pages(MOST + PAGE);
	target = pages(MOST + PAGE);
	pattern_fill(source, MOST, 1, 0);
	word = GOOD;
	must((h = helper_new(&error)) != NULL);
	must_be(error, 0);
}

static void stop(void)
{
	helper_free(h);
	munmap(source, MOST + PAGE);
	munmap(target, MOST + PAGE);
}

struct read {
	struct vm_result result;
	struct vm_word word;
	struct iov_cursor local, remote;
	uint64_t helped;
};

/* Of one buffer on either side, from its beginning. */
static struct read read_from(struct helper *who, size_t len)
{
	static _Thread_local struct iovec here, there;
	struct read r = { .word.addr = (uintptr_t)&word };
	here = (struct iovec){ target, len };
	there = (struct iovec){ source, len };
	iov_cursor_init(&r.local, &here, 1, len);
	iov_cursor_init(&r.remote, &there, 1, len);
	r.result = helper_read(who, getpid(), &r.local, &r.remote, len, &r.word, GOOD, &r.helped);
	return r;
}

static void must_be_whole(const struct read *r, size_t len)
{
	must_be(r->result.outcome, VM_MOVED);
	must_be(r->result.moved, len);
	must_be(r->local.left + r->remote.left, 0);
	must(r->word.read && r->word.value == GOOD);
	must(r->helped <= len);
	must_hold(target, len, 1, 0);
}

/* It is asleep, or on no CPU, often; and after that left out for a while. */
static void until_helped(size_t len)
{
	for (int i = 0; i < TIMES; i++) {
		struct read r = read_from(h, len);
		must_be_whole(&r, len);
		if (r.helped > 0)
			return;
	}
	must_failed(__FILE__, __LINE__, "it never helps");
}

Test(helper, every_byte_of_every_length_comes)
{
	static const size_t lens[] = { 1, LEAST - 1, LEAST, LEAST + 1, LEAST + CHUNK - 1, LEAST + CHUNK,
		LEAST + CHUNK + 1, 5 << 20, MOST - 1, MOST };
	start();
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		size_t len = lens[i];
		memset(target, CANARY, MOST);
		if (len >= LEAST) {
			until_helped(len);
		} else {
			struct read r = read_from(h, len);
			must_be_whole(&r, len);
			must_be(r.helped, 0);
		}
		must_be_untouched(target + len, MOST - len);
	}
	stop();
}

Test(helper, there_need_not_be_one)
{
	start();
	struct read r = read_from(NULL, MOST);
	must_be_whole(&r, MOST);
	must_be(r.helped, 0);
	stop();
}

/* Cuts len bytes of memory into pieces of any length, empty ones too. */
static size_t scatter(struct iovec *iov, size_t most, unsigned char *at, size_t len)
{
	size_t count = 0;
	for (size_t left = len; left > 0; count++) {
		size_t n = count == most - 1 ? left : random_below(4 * len / most);
		iov[count] = (struct iovec){ at, n < left ? n : left };
		at += iov[count].iov_len;
		left -= iov[count].iov_len;
	}
	return count;
}

Test(helper, lists_of_buffers_are_one_run_of_bytes)
{
	enum { PARTS = 3000, LEN = 6 << 20 };
	static struct iovec here[PARTS], there[PARTS];
	uint64_t helped = 0;
	start();
	seed_random();
	for (int i = 0; i < TIMES && (i < 20 || helped == 0); i++) {
		struct vm_word w = { .addr = (uintptr_t)&word };
		struct iov_cursor local, remote;
		uint64_t some;
		iov_cursor_init(&local, here, scatter(here, 1 + random_below(PARTS), target, LEN), LEN);
		iov_cursor_init(&remote, there, scatter(there, 1 + random_below(PARTS), source, LEN), LEN);
		memset(target, CANARY, LEN);
		struct vm_result r = helper_read(h, getpid(), &local, &remote, LEN, &w, GOOD, &some);
		must_be(r.outcome, VM_MOVED);
		must_be(r.moved, LEN);
		must_hold(target, LEN, 1, 0);
		helped += some;
	}
	must(helped > 0);
	stop();
}

/* Whoever meets it. */
Test(helper, a_bad_page_anywhere_ends_it_where_it_ends_one_thread)
{
	enum { LEN = 4 << 20 };
	start();
	for (int remote = 0; remote < 2; remote++)
		for (size_t at = 0; at < LEN; at += 37 * PAGE) {
			unsigned char *page = (remote ? source : target) + at;
			must_be(mprotect(page, PAGE, PROT_NONE), 0);
			for (int i = 0; i < 5; i++) {
				struct read r = read_from(h, LEN);
				must_be(r.result.outcome, remote ? VM_BAD_REMOTE : VM_BAD_LOCAL);
				must_be(r.result.moved, at);
				must_be(r.local.left, LEN - at);
				must_be(r.remote.left, LEN - at);
				must_be(r.helped, 0);
				must(r.word.read && r.word.value == GOOD);
			}
			must_be(mprotect(page, PAGE, PROT_READ | PROT_WRITE), 0);
			must_hold(target, at, 1, 0);
		}
	until_helped(LEN);
	stop();
}

Test(helper, nothing_counts_where_the_word_is_not_good)
{
	start();
	for (int i = 0; i < 100; i++) {
		word = GOOD + 1;
		struct read r = read_from(h, MOST);
		must(r.word.read && r.word.value == GOOD + 1);
		must_be(r.helped, 0);
	}
	word = GOOD;
	until_helped(MOST);
	stop();
}

static void *take_back(void *arg)
{
	(void)arg;
	usleep((useconds_t)random_below(2000));
	word = 0;
	atomic_thread_fence(memory_order_seq_cst);
	memset(source, CANARY, MOST);
	return NULL;
}

/* The owner takes its buffer back at any moment of the copy. */
Test(helper, what_counts_was_read_while_the_word_was_good)
{
	unsigned whole = 0, early = 0;
	start();
	seed_random();
	for (int i = 0; i < TIMES && (i < 300 || whole == 0 || early == 0); i++) {
		pthread_t owner;
		word = GOOD;
		pattern_fill(source, MOST, 1, 0);
		must_be(pthread_create(&owner, NULL, take_back, NULL), 0);
		struct read r = read_from(h, MOST);
		if (r.word.read && r.word.value == GOOD) {
			must_be_whole(&r, MOST);
			whole++;
		} else {
			early++;
		}
		must_be(pthread_join(owner, NULL), 0);
	}
	must(whole > 0 && early > 0);
	stop();
}

struct copier {
	pthread_t thread;
	unsigned char *into;
};

static void *copy(void *arg)
{
	enum { LEN = 3 << 20 };
	struct copier *c = arg;
	for (int i = 0; i < 100; i++) {
		struct iovec here = { c->into, LEN }, there = { source, LEN };
		struct vm_word w = { .addr = (uintptr_t)&word };
		struct iov_cursor local, remote;
		uint64_t helped;
		iov_cursor_init(&local, &here, 1, LEN);
		iov_cursor_init(&remote, &there, 1, LEN);
		memset(c->into, CANARY, LEN);
		struct vm_result r = helper_read(h, getpid(), &local, &remote, LEN, &w, GOOD, &helped);
		must_be(r.moved, LEN);
		must_hold(c->into, LEN, 1, 0);
	}
	return NULL;
}

/* It helps one; the others go on by themselves. */
Test(helper, several_threads_may_copy_at_once)
{
	struct copier copiers[4];
	start();
	for (int i = 0; i < 4; i++) {
		copiers[i].into = i == 0 ? target : pages(3 << 20);
		must_be(pthread_create(&copiers[i].thread, NULL, copy, &copiers[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		must_be(pthread_join(copiers[i].thread, NULL), 0);
	stop();
}

Test(helper, one_may_come_and_go_unused)
{
	for (int i = 0; i < 200; i++) {
		int error;
		struct helper *unused = helper_new(&error);
		must(unused != NULL);
		helper_free(unused);
	}
	helper_free(NULL);
}
