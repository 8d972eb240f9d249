/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The owner of a region, or who gets from it and puts to it, is killed or stopped at every system call that it makes for
 * that. What the survivor has got is right, and what it owns is its own again. survivor.h plays the parts.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include <haul/rma.h>

#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/survivor.h"

TestSuite(death_rma, .timeout = 120);

enum { LONG = 300 << 10, SHORT = 100, TAG_HANDLE = 77 };

static const struct haul_options stream_only = { .path = HAUL_PATH_STREAM, .eager_max = -1 };
static const struct haul_options by_outbox = { .transport = HAUL_TRANSPORT_OUTBOX };

static uint8_t memory[LONG], buf[LONG];

static int get(struct side *s, const struct haul_handle *hd, size_t len, uint64_t seed)
{
	struct iovec iov = { buf, len };
	memset(buf, CANARY, len);
	ssize_t n = haul_get(s->p, hd, 0, &iov, 1, s->timeout_ms);
	if (n < 0)
		return (int)n;
	must_be(n, len);
	must_hold(buf, len, seed, 0);
	return 0;
}

static int put(struct side *s, const struct haul_handle *hd, size_t len, uint64_t seed)
{
	struct iovec iov = { buf, len };
	pattern_fill(buf, len, seed, 0);
	ssize_t n = haul_put(s->p, hd, 0, &iov, 1, s->timeout_ms);
	memset(buf, CANARY, len);
	return n < 0 ? (int)n : 0;
}

static int use(struct side *s)
{
	struct haul_match match = { .from = s->p, .tag = TAG_HANDLE };
	struct haul_handle hd;
	ssize_t n = haul_recv(s->h, &match, &hd, sizeof(hd), s->timeout_ms, NULL);
	int rc = n < 0 ? (int)n : get(s, &hd, LONG, 1);
	if (rc == 0)
		rc = put(s, &hd, LONG, 2);
	if (rc == 0)
		rc = get(s, &hd, SHORT, 2);
	if (rc == 0)
		rc = put(s, &hd, SHORT, 3);
	return rc == 0 ? side_give_token(s) : rc;
}

/* All is left alone when it has been withdrawn. */
static int own(struct side *s)
{
	struct iovec iov = { memory, LONG };
	struct haul_region *r;
	struct haul_handle hd;
	pattern_fill(memory, LONG, 1, 0);
	int rc = haul_region_expose(s->h, &iov, 1, HAUL_READ | HAUL_WRITE, &r);
	if (rc != 0)
		return rc;
	haul_region_handle(r, &hd);
	rc = haul_send(s->p, TAG_HANDLE, &hd, sizeof(hd), s->timeout_ms);
	if (rc == 0)
		rc = side_take_token(s);
	must_be(haul_region_withdraw(r, -1), 0);
	if (rc == 0) {
		must_hold(memory, SHORT, 3, 0);
		must_hold(memory + SHORT, LONG - SHORT, 2, SHORT);
	}
	memset(memory, CANARY, LONG);
	haul_progress(s->h);
	must_be_untouched(memory, LONG);
	return rc;
}

Test(death_rma, of_gets_by_pull)
{
	survivor_play("regions", &(struct plan){ .a = use, .b = own, .a_least = 4, .b_least = 4 });
}

Test(death_rma, of_gets_by_pull_by_outbox)
{
	survivor_play("regions by outbox",
	    &(struct plan){ .a = use,
	        .b = own,
	        .a_options = &by_outbox,
	        .b_options = &by_outbox,
	        .a_least = 2,
	        .b_least = 2 });
}

Test(death_rma, of_gets_that_are_served)
{
	survivor_play("regions by stream",
	    &(struct plan){ .a = use,
	        .b = own,
	        .a_options = &stream_only,
	        .b_options = &stream_only,
	        .a_least = 8,
	        .b_least = 8 });
}
