/* SPDX-License-Identifier: BSD-3-Clause */
/* A loop: a ring of bytes. See loop.h. */
#include "link/loop.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/vm.h"

enum { ROOM = 1 << 17 };

struct loop {
	size_t head, used;
	uint8_t bytes[ROOM];
};

struct loop *loop_new(void)
{
	struct loop *l = malloc(sizeof(*l));
	if (l != NULL)
		l->head = l->used = 0;
	return l;
}

void loop_free(struct loop *l)
{
	free(l);
}

bool loop_has(const struct loop *l)
{
	return l->used > 0;
}

/* Copies n bytes between the user's memory and the ring, in or out of it. By the kernel, so that a bad address is
 * an error; by ourselves where it won't. To the kernel it is the ring that is another process's memory, because
 * that has to be pinned, and not all memory can be. Returns what could be copied. */
static size_t copy(bool in, void *user, void *ring, size_t n)
{
	struct iovec here = { .iov_base = user, .iov_len = n }, there = { .iov_base = ring, .iov_len = n };
	struct iov_cursor local, remote;
	iov_cursor_init(&local, &here, 1, n);
	iov_cursor_init(&remote, &there, 1, n);
	struct vm_result r =
	    in ? vm_write(getpid(), &local, &remote, n) : vm_read(getpid(), &local, &remote, n, NULL);
	if (r.outcome == VM_MOVED || r.outcome == VM_BAD_REMOTE || r.outcome == VM_BAD_LOCAL)
		return r.moved;
	memcpy(in ? ring : user, in ? user : ring, n);
	return n;
}

/* The part of the ring, free or used, that starts at `at` and is not split by its end. */
static size_t unsplit(size_t at, size_t n)
{
	return n < ROOM - at ? n : ROOM - at;
}

/* Moves bytes between iovecs and the ring, from position `at` on, at most `most`. */
static ssize_t transfer(struct loop *l, bool in, size_t at, size_t most, const struct iovec *iov,
    size_t count)
{
	size_t done = 0;
	if (most == 0)
		return -EAGAIN;
	for (size_t i = 0; i < count && done < most; i++) {
		uint8_t *user = iov[i].iov_base;
		for (size_t left = iov[i].iov_len; left > 0 && done < most;) {
			size_t place = (at + done) % ROOM, want = left < most - done ? left : most - done;
			size_t n = unsplit(place, want);
			size_t moved = copy(in, user, l->bytes + place, n);
			done += moved;
			user += moved;
			left -= moved;
			if (moved < n)
				return done > 0 ? (ssize_t)done : -EFAULT;
		}
	}
	return (ssize_t)done;
}

ssize_t loop_write(struct loop *l, const struct iovec *iov, size_t count)
{
	ssize_t n = transfer(l, true, (l->head + l->used) % ROOM, ROOM - l->used, iov, count);
	if (n > 0)
		l->used += (size_t)n;
	return n;
}

ssize_t loop_read(struct loop *l, const struct iovec *iov, size_t count)
{
	ssize_t n = transfer(l, false, l->head, l->used, iov, count);
	if (n > 0) {
		l->head = (l->head + (size_t)n) % ROOM;
		l->used -= (size_t)n;
	}
	return n;
}
