/* SPDX-License-Identifier: BSD-3-Clause */
/* A loop: a ring of bytes. See loop.h. */
#include "link/loop.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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
			size_t moved = vm_copy(in, l->bytes + place, user, n);
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
