/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fault trigger: lets a chosen system call or allocation of the library fail, fall short, be hit by a
 * signal, or be done by the test instead. It sits between the library and libc by the linker's --wrap, in
 * programs that link libhaul-internal.la with $(fault_flags) of Makefile.am; the library knows nothing of it.
 *
 * Off until it is armed, and only for the thread that armed it, so a test arms right before the call it means
 * and disarms right after: what the test itself calls in between counts as well.
 */
#ifndef HAUL_TESTS_LIB_FAULT_H
#define HAUL_TESTS_LIB_FAULT_H

#include <stdbool.h>

enum fault_action {
	FAULT_FAIL,        /* isn't done, and says why; close() and munmap() are done all the same */
	FAULT_SHORT,       /* a transfer moves half of what it was asked to; other calls don't count */
	FAULT_RAISE,       /* the signal comes before the call */
	FAULT_RAISE_AFTER, /* the signal comes after it */
	FAULT_ASK,         /* hook says what becomes of it */
};

/* For .only below. */
#define FAULT_ALLOCATIONS "malloc calloc realloc reallocarray recallocarray aligned_alloc mmap"

struct fault {
	enum fault_action action;
	unsigned nth;     /* the first call to be hit, of those that count: from 1 */
	bool lasting;     /* and all that come after it */
	const char *only; /* what counts: names with spaces between; NULL: every call that is wrapped */
	int error;        /* FAIL: the errno; 0: one that is plausible for this call, ... */
	unsigned variant; /* ... namely this one, from 0; calls that don't have so many don't count */
	int signal;       /* RAISE, RAISE_AFTER: to this process */
	bool all_threads; /* or else only those of the thread that arms */
	/* ASK: is given the call's name and first argument (prctl: what is set); returns 0 to let it be done, else its errno. What it
	 * calls itself is not counted. */
	int (*hook)(const char *name, long first, void *arg);
	void *arg;
};

/* From here on calls are counted, from 1. The struct is copied, the strings are not. */
void fault_arm(const struct fault *f);

/* In between, this thread's calls are not counted; then they are again. */
void fault_hold(void);
void fault_go_on(void);

/* No more. What was counted can still be asked. */
void fault_disarm(void);

/* Every allocation fails until fault_disarm(). */
void fault_no_memory(void);

/* Calls that counted, and of these those that were hit. */
unsigned fault_calls(void);
unsigned fault_fired(void);

/* The first that was hit: its name, NULL if none was; and a sentence, kept up to date, for must_note(). */
const char *fault_name(void);
const char *fault_words(void);

/* Allocated blocks and mapped pages that this program, less its shared libraries, holds now. */
long fault_live(void);

#endif
