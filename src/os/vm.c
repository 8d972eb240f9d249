/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Another process's memory, both directions through one core: cuts a transfer into system calls, goes on
 * after partial counts, and finds the byte and the side that stopped it. Owns no state, and doesn't know
 * whose memory it is or what the word means: link calls it to probe a peer, msg to move payload.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* process_vm_readv, gettid */
#endif
#include "os/vm.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_VALGRIND_MEMCHECK_H
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_DEFINED(at, len) (void)0
#endif

#define CALL_LEN_MAX ((uint64_t)16 << 20) /* a call can't be interrupted: its caller has other work, too */
#define CALL_IOV_MAX ((size_t)1023)       /* IOV_MAX, less one for the word */
#define WORDS_MAX ((size_t)2)             /* a second one takes the room of an iovec */
#define VALUES_MAX (WORDS_MAX * (1 + VM_REST_MOST))
#define PAGE ((uintptr_t)4096) /* the smallest there is; a larger page begins at its multiple */

struct transfer {
	pid_t pid;
	bool writing;
	struct iov_cursor *local, *remote;
	struct vm_word *last; /* or NULL; never when writing */
	unsigned iovecs;      /* remote ones so far */
};

static ssize_t copy(bool writing, pid_t pid, const struct iovec *local, size_t local_count,
    const struct iovec *remote, size_t remote_count)
{
	return writing ? process_vm_writev(pid, local, local_count, remote, remote_count, 0)
	               : process_vm_readv(pid, local, local_count, remote, remote_count, 0);
}

static void *address(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

/* Bytes of a word, and of those that follow it. */
static size_t word_size(const struct vm_word *w)
{
	return (1 + w->rest_count) * sizeof(uint64_t);
}

/* The word, after the one before it, as iovecs of either side; returns their number. */
static size_t put_words(const struct vm_word *last, uint64_t *values, struct iovec *local,
    struct iovec *remote)
{
	const struct vm_word *words[WORDS_MAX] = { last->before != NULL ? last->before : last, last };
	size_t count = last->before != NULL ? 2 : 1;
	for (size_t i = 0; i < count; i++) {
		local[i] = (struct iovec){ values, word_size(words[i]) };
		remote[i] = (struct iovec){ address(words[i]->addr), local[i].iov_len };
		values += 1 + words[i]->rest_count;
	}
	return count;
}

/* So many bytes of them came. */
static void take_words(struct vm_word *last, const uint64_t *values, uint64_t bytes)
{
	if (last->before != NULL) {
		size_t size = word_size(last->before);
		take_words(last->before, values, bytes);
		values += size / sizeof(*values);
		bytes = bytes > size ? bytes - size : 0;
	}
	last->read = bytes >= word_size(last);
	if (!last->read)
		return;
	last->value = *values;
	if (last->rest_count > 0)
		memcpy(last->rest, values + 1, last->rest_count * sizeof(*values));
}

/* One system call for the next bytes, at most limit, and the word. Says how many it asked for and how many
 * of those moved, and advances; *error is the errno, or 0 if there was none. */
static uint64_t step(struct transfer *t, uint64_t limit, uint64_t *asked, int *error)
{
	/* Not initialised: to fill 32 KiB would show in the time of a small message. */
	struct iovec local[CALL_IOV_MAX + 1], remote[CALL_IOV_MAX + 1];
	uint64_t values[VALUES_MAX], local_len;
	size_t words = 0, most = CALL_IOV_MAX - (t->last != NULL && t->last->before != NULL ? 1 : 0);

	/* Both sides must hold the same bytes, or the word would land in the payload. */
	size_t local_count = iov_cursor_window(t->local, local, most, limit, &local_len);
	size_t remote_count = iov_cursor_window(t->remote, remote, most, local_len, asked);
	if (*asked < local_len)
		local_count = iov_cursor_window(t->local, local, most, *asked, &local_len);
	t->iovecs += (unsigned)remote_count;
	if (t->last != NULL)
		words = put_words(t->last, values, local + local_count, remote + remote_count);

	ssize_t n = copy(t->writing, t->pid, local, local_count + words, remote, remote_count + words);
	*error = n < 0 ? errno : 0;
	uint64_t moved = n < 0 ? 0 : (uint64_t)n;
	if (t->last != NULL)
		take_words(t->last, values, moved > *asked ? moved - *asked : 0);
	if (moved > *asked)
		moved = *asked;
	iov_cursor_advance(t->local, moved);
	iov_cursor_advance(t->remote, moved);
	return moved;
}

/* The next bytes of a cursor that lie in one iovec and one page: they are accessible together or not at
 * all. There must be some. */
static struct iovec page_part(const struct iov_cursor *c)
{
	struct iovec part;
	uint64_t len;
	iov_cursor_window(c, &part, 1, PAGE, &len);
	size_t room = PAGE - (uintptr_t)part.iov_base % PAGE;
	if (part.iov_len > room)
		part.iov_len = room;
	return part;
}

/* Tries the byte at the cursor on one side alone, against memory known to be good: the remote byte when
 * reading. When writing that would alter it, so there it is our own byte, and in the very manner of the call
 * that failed: as a write to ourselves. (By thread id: a process whose main thread has left can't be found
 * by its pid.) Returns 0 if the byte can be accessed, else the errno. */
static int probe(const struct transfer *t)
{
	char good;
	struct iovec here = { &good, 1 };
	struct iovec there = { page_part(t->writing ? t->local : t->remote).iov_base, 1 };
	ssize_t n =
	    t->writing ? copy(true, gettid(), &there, 1, &here, 1) : copy(false, t->pid, &here, 1, &there, 1);
	return n == 1 ? 0 : n < 0 ? errno : EFAULT;
}

static enum vm_outcome refusal(int error)
{
	switch (error) {
	case ESRCH:
		return VM_NO_PROCESS;
	case ENOMEM:
		return VM_NO_MEMORY;
	default: /* EPERM, EACCES, ENOSYS, what else a filter makes up; EINTR only if we are being killed */
		return VM_DENIED;
	}
}

int vm_read_word(pid_t pid, struct vm_word *word)
{
	uint64_t values[VALUES_MAX];
	struct iovec local[WORDS_MAX], remote[WORDS_MAX];
	size_t words = put_words(word, values, local, remote);
	ssize_t n = copy(false, pid, local, words, remote, words);
	int error = n < 0 ? errno : EFAULT;
	take_words(word, values, n < 0 ? 0 : (uint64_t)n);
	return word->read ? 0 : error;
}

int vm_write_word(pid_t pid, uint64_t addr, uint64_t value)
{
	struct iovec local = { &value, sizeof(value) };
	struct iovec remote = { address(addr), sizeof(value) };

	ssize_t n = copy(true, pid, &local, 1, &remote, 1);
	return n == (ssize_t)sizeof(value) ? 0 : n < 0 ? errno : EFAULT;
}

ssize_t vm_peek(pid_t pid, const struct iovec *local, size_t local_count, const struct iovec *remote,
    size_t remote_count)
{
	ssize_t n = copy(false, pid, local, local_count, remote, remote_count);
	return n < 0 ? -errno : n;
}

/*
 * A call that falls short has met a page that one of the sides can't access, and doesn't say whose. So the
 * byte at the cursor is probed on one side. If that side is at fault, that's the answer. If not, the next
 * call is narrowed to what lies in one page on either side: if even that moves nothing, it is the other
 * side's fault. If it does move, the fault lies further on (the kernel refuses a whole call for one local
 * address that no process can have, and promises no more than to stop between iovecs; or the page has become
 * accessible meanwhile), so go on, doubling what is asked for.
 */
static struct vm_result transfer(struct transfer *t, uint64_t len)
{
	struct vm_result result = { .outcome = VM_MOVED };
	uint64_t limit = CALL_LEN_MAX;
	bool narrowed = false;

	assert(len <= t->local->left && len <= t->remote->left);
	while (result.moved < len) {
		uint64_t left = len - result.moved, asked;
		int error;
		uint64_t moved = step(t, limit < left ? limit : left, &asked, &error);
		result.calls++;
		result.moved += moved;
		if (moved == asked) {
			narrowed = false;
			limit = limit < CALL_LEN_MAX / 2 ? limit * 2 : CALL_LEN_MAX;
			continue;
		}
		result.retries++;
		if (error != 0 && error != EFAULT) {
			result.outcome = refusal(error);
			result.error = error;
			break;
		}
		if (narrowed && moved == 0) {
			result.outcome = t->writing ? VM_BAD_REMOTE : VM_BAD_LOCAL;
			result.error = EFAULT;
			break;
		}
		error = probe(t);
		if (error != 0) {
			result.outcome = error != EFAULT ? refusal(error)
			    : t->writing                 ? VM_BAD_LOCAL
			                                 : VM_BAD_REMOTE;
			result.error = error;
			break;
		}
		size_t local_part = page_part(t->local).iov_len, remote_part = page_part(t->remote).iov_len;
		limit = local_part < remote_part ? local_part : remote_part;
		narrowed = true;
	}
	result.iovecs = t->iovecs;
	if (t->last != NULL && (result.outcome != VM_MOVED || !t->last->read || !VM_IN_ORDER)) {
		atomic_thread_fence(memory_order_acquire);
		vm_read_word(t->pid, t->last);
	}
	return result;
}

struct vm_result vm_read(pid_t pid, struct iov_cursor *local, struct iov_cursor *remote, uint64_t len,
    struct vm_word *last)
{
	struct transfer t = { .pid = pid, .local = local, .remote = remote, .last = last };
	if (last != NULL)
		last->read = false;
	if (last != NULL && last->before != NULL)
		last->before->read = false;
	return transfer(&t, len);
}

struct vm_result vm_write(pid_t pid, struct iov_cursor *local, struct iov_cursor *remote, uint64_t len)
{
	struct transfer t = { .pid = pid, .writing = true, .local = local, .remote = remote };
	return transfer(&t, len);
}

/* To the kernel ours is another process's memory: that is the side that has to be pinned, and not all memory can be.
 * Memcheck does not know that it is written. */
static struct vm_result copy_here(bool to_ours, struct iov_cursor *theirs, void *ours, uint64_t len)
{
	struct iovec room = { .iov_base = ours, .iov_len = len };
	struct iov_cursor remote;
	iov_cursor_init(&remote, &room, 1, len);
	struct vm_result r = to_ours ? vm_write(getpid(), theirs, &remote, len)
	                             : vm_read(getpid(), theirs, &remote, len, NULL);
	if (to_ours)
		VALGRIND_MAKE_MEM_DEFINED(ours, r.moved);
	return r;
}

struct vm_result vm_write_here(struct iov_cursor *theirs, void *ours, uint64_t len)
{
	return copy_here(true, theirs, ours, len);
}

size_t vm_copy(bool to_ours, void *ours, void *theirs, size_t len)
{
	struct iovec other = { .iov_base = theirs, .iov_len = len };
	struct iov_cursor local;
	iov_cursor_init(&local, &other, 1, len);
	struct vm_result r = copy_here(to_ours, &local, ours, len);
	if (r.outcome == VM_MOVED || r.outcome == VM_BAD_REMOTE || r.outcome == VM_BAD_LOCAL)
		return (size_t)r.moved;
	memcpy(to_ours ? ours : theirs, to_ours ? theirs : ours, len);
	return len;
}

const char *vm_outcome_words(enum vm_outcome outcome)
{
	switch (outcome) {
	case VM_MOVED:
		return "moved";
	case VM_DENIED:
		return "the kernel does not permit access to the other process";
	case VM_BAD_LOCAL:
		return "our memory cannot be accessed";
	case VM_BAD_REMOTE:
		return "the other process's memory cannot be accessed";
	case VM_NO_PROCESS:
		return "the other process is gone, or its main thread has left";
	case VM_NO_MEMORY:
		return "the kernel is short of memory";
	}
	return "unknown outcome";
}

void vm_read_words(char *to, size_t size, pid_t pid, const struct vm_result *r)
{
	snprintf(to, size, "process_vm_readv of pid %d: %s (%s)", (int)pid, vm_outcome_words(r->outcome),
	    strerror(r->error));
}
