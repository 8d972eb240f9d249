/* SPDX-License-Identifier: BSD-3-Clause */
/* The two ends of a ring, for the tests of outbox.c: what is put in is a pattern, so that what is taken can be told. */
#ifndef HAUL_TESTS_UNIT_ENDS_H
#define HAUL_TESTS_UNIT_ENDS_H

#include <string.h>

#include "lib/must.h"
#include "lib/pattern.h"
#include "link/outbox.h"
#include "wire/protocol.h"

enum { SEED = 5, COOKIE = 0x1234567, READER = 0x7654321, RING = OUTBOX_RING };
enum { ALIGN = WIRE_PARCEL_ALIGN, HEAD = WIRE_PARCEL_HEAD, BLANK = WIRE_PARCEL_BLANK };
enum { WINDOW_LEAST = 1152 - HEAD, WINDOW_ONCE = BLANK - HEAD, WINDOW_MOST = 16384 /* as in outbox.c */ };

static struct outbox out;
static struct inbox in;
static word_t told;   /* where the writer finds the reader's head, */
static uint64_t here; /* and the reader's cookie */
static uint8_t bytes[2 * RING], got[2 * RING + ALIGN];
static pid_t peer; /* who has the other end */

static void open_in(const void *ring, size_t size, const void *state, uint64_t cookie)
{
	in = (struct inbox){ .ring = (uintptr_t)ring,
		.state = (uintptr_t)state,
		.cookie = cookie,
		.size = size };
	inbox_begin(&in, &told);
}

/* The next len bytes of all that ever are put in. */
static ssize_t put(size_t len)
{
	pattern_fill(bytes, len, SEED, out.sent);
	return outbox_write(&out, peer, &(struct iovec){ bytes, len }, 1, true);
}

static ssize_t take_as(size_t room, bool users)
{
	uint64_t from = in.got;
	memset(got + room, CANARY, ALIGN);
	ssize_t n = inbox_read(&in, peer, &(struct iovec){ got, room }, 1, users);
	must(n <= (ssize_t)room && n != 0);
	must_be_untouched(got + room, ALIGN);
	if (n > 0)
		must_hold(got, (size_t)n, SEED, from);
	must_be(in.got - from, n > 0 ? n : 0);
	must_be(told, in.head);
	return n;
}

#endif
