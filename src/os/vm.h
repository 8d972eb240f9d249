/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Another process's memory: read and write it by process_vm_readv(2) and process_vm_writev(2), with any
 * number of iovecs on either side, to the last byte that can be moved, and say exactly what stopped it.
 * Knows nothing of peers or messages: the caller says which pid and believes in it for its own reasons.
 */
#ifndef HAUL_OS_VM_H
#define HAUL_OS_VM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "os/iov.h"

/* Whether the ranges of one call were loaded one after the other. Within a range nothing is: it is copied
 * by a string operation, whose loads are in no order beyond a cache line, and all its pages are looked up
 * first. On a weakly ordered processor we don't count on ranges either, and a second call behind a fence is
 * needed. */
#if defined(__x86_64__) || defined(__i386__)
#define VM_IN_ORDER true
#else
#define VM_IN_ORDER false
#endif

enum vm_outcome {
	VM_MOVED,      /* all bytes asked for */
	VM_DENIED,     /* the kernel does not let us (EPERM, EACCES, ENOSYS) */
	VM_BAD_LOCAL,  /* our byte after the ones moved cannot be accessed */
	VM_BAD_REMOTE, /* the other process's cannot, or cannot be pinned */
	VM_NO_PROCESS, /* ESRCH: gone, a zombie, or its main thread has left */
	VM_NO_MEMORY,  /* the kernel had none to spare; may pass */
};

struct vm_result {
	enum vm_outcome outcome;
	int error;        /* the errno behind a refusal, for people to read; 0 with VM_MOVED */
	uint64_t moved;   /* bytes that did move, contiguous from the start, whatever the outcome */
	unsigned calls;   /* system calls that were made for payload */
	unsigned iovecs;  /* remote ones they named for it */
	unsigned retries; /* of the calls, those that fell short of what was asked for */
};

/* A 64-bit word of the other process, to be read after the payload by the same system call. */
struct vm_word {
	uint64_t addr;          /* in: where it lies, 8-byte aligned */
	uint64_t value;         /* out: its value after the last payload byte moved; only if .read */
	bool read;              /* out: false if it could not be read */
	struct vm_word *before; /* in: another one, to be read right before it; or NULL */
	uint64_t
	    *rest; /* out: the words that follow it there, which are read with it, in no order; or NULL */
	unsigned rest_count; /* in: how many, at most VM_REST_MOST; .read is about them, too */
};

enum { VM_REST_MOST = 7 };

/*
 * Copies the next len bytes at the remote cursor (addresses of process pid) to the local cursor (ours);
 * both must have that many left, and both advance by what was moved. One system call per 1023 iovecs of
 * either side or 16 MiB; each has the word, if not NULL, as its last remote iovec (and the one before it
 * before it). If a call ended short of the word (fault, refusal), the word is read once more alone, so that
 * word->read says whether its value is known from after the last moved byte; where the processor may load
 * out of order (not x86) that is done after every transfer. Partial counts are resumed. Never accesses a
 * remote byte outside the cursor and the word. A byte bad on both sides counts as VM_BAD_REMOTE. Does not
 * wait for anything but the kernel's copy. Takes 32 KiB of stack.
 */
struct vm_result vm_read(pid_t pid, struct iov_cursor *local, struct iov_cursor *remote, uint64_t len,
    struct vm_word *last);

/* Reads the word, and the one before it if there is one, alone: 0, or the errno. */
int vm_read_word(pid_t pid, struct vm_word *word);
/* Writes one: 0, or the errno. */
int vm_write_word(pid_t pid, uint64_t addr, uint64_t value);

/* One bare call of process_vm_readv(2), for who polls: the bytes that were read, which may be fewer than
 * asked for, or -errno. The remote ranges are copied one after the other; see VM_IN_ORDER. */
ssize_t vm_peek(pid_t pid, const struct iovec *local, size_t local_count, const struct iovec *remote,
    size_t remote_count);

/* The other way: copies our bytes at the local cursor to the remote cursor. A byte bad on both sides counts
 * as VM_BAD_LOCAL, since the remote one can't be tried alone without altering it. */
struct vm_result vm_write(pid_t pid, struct iov_cursor *local, struct iov_cursor *remote, uint64_t len);
/* The same within this process: from memory that may be bad (`theirs`) to memory that can be pinned. */
struct vm_result vm_write_here(struct iov_cursor *theirs, void *ours, uint64_t len);

/* Copies within this process, from or to memory that may be bad (`theirs`): by the kernel, which says so,
 * or by ourselves where it won't, and then a bad address is what it is to memcpy(3). All of `ours` can be
 * pinned. Returns how much could be copied. */
size_t vm_copy(bool to_ours, void *ours, void *theirs, size_t len);

/* What a read of that process came to, in a sentence. */
void vm_read_words(char *to, size_t size, pid_t pid, const struct vm_result *r);

/* The outcome as words, for haul_reason() and logs. */
const char *vm_outcome_words(enum vm_outcome outcome);

#endif
