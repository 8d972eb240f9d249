/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What haul does without: memory that both processes map, a ring of bytes for each direction. memcpy(3) in, memcpy(3) out;
 * who sleeps does so in futex(2). It is the yardstick of short messages.
 *
 * Each side keeps its position in words of its own, counts bytes for ever, and looks at the other's only when it has to. A
 * sleeper says so before it looks for the last time; the other looks for that after it has moved its position.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syscall, MAP_ANONYMOUS */
#endif
#include "contender.h"

#include <err.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { RING = 1 << 20, LINE = 64, PIECE = 32 << 10 /* so that in and out go on at the same time */ };

struct position {
	_Alignas(LINE) _Atomic uint64_t bytes;  /* so many have gone by */
	_Alignas(LINE) _Atomic uint32_t sleeps; /* the other side waits for this to move */
};

struct ring {
	struct position in, out;
	_Alignas(LINE) char bytes[RING];
};

static struct ring *rings; /* by who writes */
static uint64_t
    seen[2]; /* of this process: what it has seen of the other's positions, as a writer and a reader */

static void setup(int rx[2], int tx[2], bool spin)
{
	(void)rx;
	(void)tx;
	(void)spin;
	rings = mmap(NULL, 2 * sizeof(*rings), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (rings == MAP_FAILED)
		err(1, "mmap");
}

static inline void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static uint64_t look(struct position *p)
{
	return atomic_load_explicit(&p->bytes, memory_order_acquire);
}

/* Until p has moved from `from`. */
static uint64_t await(struct end *e, struct position *p, uint64_t from)
{
	uint64_t now;
	while ((now = look(p)) == from) {
		if (e->spin) {
			pause_cpu();
			continue;
		}
		atomic_store(&p->sleeps, 1);
		if (atomic_load(&p->bytes) == from)
			syscall(SYS_futex, &p->sleeps, FUTEX_WAIT, 1, NULL, NULL, 0);
	}
	return now;
}

static void move(struct end *e, struct position *p, uint64_t to)
{
	if (e->spin) {
		atomic_store_explicit(&p->bytes, to, memory_order_release);
		return;
	}
	atomic_store(&p->bytes, to);
	if (atomic_load(&p->sleeps) != 0 && atomic_exchange(&p->sleeps, 0) != 0)
		syscall(SYS_futex, &p->sleeps, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static size_t least(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t ab = a < b ? a : b, abc = ab < c ? ab : c;
	return (size_t)(abc < PIECE ? abc : PIECE);
}

static void send_all(struct end *e, void *buf, size_t len)
{
	struct ring *r = &rings[e->rank];
	uint64_t in = atomic_load_explicit(&r->in.bytes, memory_order_relaxed);
	for (char *at = buf; len > 0;) {
		if (in - seen[0] == RING)
			seen[0] = await(e, &r->out, seen[0]);
		size_t n = least(len, RING - (in - seen[0]), RING - in % RING);
		memcpy(r->bytes + in % RING, at, n);
		move(e, &r->in, in += n);
		at += n;
		len -= n;
	}
}

static void recv_all(struct end *e, void *buf, size_t len)
{
	struct ring *r = &rings[1 - e->rank];
	uint64_t out = atomic_load_explicit(&r->out.bytes, memory_order_relaxed);
	for (char *at = buf; len > 0;) {
		if (seen[1] == out)
			seen[1] = await(e, &r->in, out);
		size_t n = least(len, seen[1] - out, RING - out % RING);
		memcpy(at, r->bytes + out % RING, n);
		move(e, &r->out, out += n);
		at += n;
		len -= n;
	}
}

static const struct contender way_shared = {
	.name = "shared",
	.least = 1,
	.setup = setup,
	.send = send_all,
	.recv = recv_all,
};

const struct contender *const contenders[] = { &way_shared, NULL };
