/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One message of more than 4 GiB. Most of it is memory that nobody ever wrote, and all that isn't looked at
 * is received into the same window again and again, so that the test needs little memory itself.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/pairing.h"
#include "lib/pattern.h"

TestSuite(big, .timeout = 120);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

enum { BIG_PATIENCE_MS = 100000, LOOKED_AT = 1 << 20, WINDOW = 64 << 20 };

static const uint64_t len = 5 * GIB + 3;

/* Where a MiB is looked at; the last ends with the message. */
static const uint64_t places[] = { 0, 2 * GIB - 512 * 1024, 0x7ffff000, 4 * GIB - 512 * 1024,
	5 * GIB + 3 - LOOKED_AT };

static unsigned char *reserve(size_t size)
{
	void *at =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(at != MAP_FAILED);
	return at;
}

static void send_big(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = reserve(len);
	struct iovec iov = { buf, len };
	struct haul_stats s;
	(void)arg;
	madvise(buf, len, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < COUNT(places); i++)
		pattern_fill(buf + places[i], LOOKED_AT, 1, places[i]);
	must_be(haul_sendv(p, 1, &iov, 1, HAUL_SYNC, BIG_PATIENCE_MS), 0);
	must_be(haul_stats(h, &s, sizeof(s)), 0);
	must_be(s.sent_pull_bytes + s.sent_stream_bytes, len);
	munmap(buf, len);
}

static void receive_big(int path)
{
	struct haul_options o = { .path = path };
	struct haul_status status;
	struct haul_stats s;
	struct pairing p;
	struct iovec iov[200];
	size_t count = 0;
	unsigned char *window = reserve(WINDOW), *looked_at = reserve(COUNT(places) * LOOKED_AT),
	              *slot = looked_at;
	uint64_t at = 0;
	for (size_t i = 0; i < COUNT(places); i++) {
		/* Places may overlap: what was looked at already is not received a second time. */
		uint64_t from = places[i] > at ? places[i] : at, end = places[i] + LOOKED_AT;
		while (at < from) {
			uint64_t n = from - at < WINDOW ? from - at : WINDOW;
			iov[count++] = (struct iovec){ window, n };
			at += n;
		}
		iov[count++] = (struct iovec){ slot, end - from };
		slot += end - from;
		at = end;
	}
	must_be(at, len);
	pairing_start(&p, &o, &o, send_big, NULL);
	must_be(haul_recvv(p.haul, NULL, iov, count, BIG_PATIENCE_MS, &status), len);
	must_be(status.len, len);
	must_be(status.got, len);
	at = 0;
	for (size_t i = 0; i < count; i++) {
		if (iov[i].iov_base != window)
			must_hold(iov[i].iov_base, iov[i].iov_len, 1, at);
		at += iov[i].iov_len;
	}
	must_be(haul_stats(p.haul, &s, sizeof(s)), 0);
	must_be(path == HAUL_PATH_PULL ? s.received_pull_bytes : s.received_stream_bytes, len);
	must_be(s.copied_bytes, len);
	munmap(window, WINDOW);
	munmap(looked_at, COUNT(places) * LOOKED_AT);
	pairing_end(&p);
}

Test(big, more_than_4_gib_are_pulled)
{
	receive_big(HAUL_PATH_PULL);
}

Test(big, more_than_4_gib_are_streamed)
{
	receive_big(HAUL_PATH_STREAM);
}
