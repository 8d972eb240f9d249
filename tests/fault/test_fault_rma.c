/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gets, puts and reads of a peer's memory while the calls of one side fail: what they bring is right, or the failure is
 * told; and a region that was taken back stays as it is.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <haul/rma.h>

#include "lib/must.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/regions.h"
#include "lib/sweep.h"

TestSuite(fault_rma, .timeout = 120);

enum { OUT = 11, BEFORE = 12, ROUNDS = 200, MOST = 100000 };

struct deal {
	const struct haul_options *options;
	bool put;
	bool owner;     /* is at fault, or else the one who asks */
	bool withdrawn; /* in the middle */
	size_t len, parts;
};

struct state {
	const struct deal *what;
	struct twins t; /* a asks, b owns */
	struct haul_region *region;
	struct haul_handle hd;
	struct haul_req *r;
};

static unsigned char memory[MOST], buf[MOST];

/* An error of the fault's own, or what an owner says that can't do it, or is taken for gone. */
static void must_be_told_or_gone(int rc)
{
	if (rc != -ESTALE && rc != -ECANCELED && rc != -EPROTO && rc != -ESRCH)
		must_be_told(rc);
}

static int expose(struct state *s)
{
	const struct deal *d = s->what;
	struct iovec iov[d->parts];
	for (size_t i = 0, each = d->len / d->parts; i < d->parts; i++)
		iov[i] = (struct iovec){ memory + i * each, i + 1 < d->parts ? each : d->len - i * each };
	return haul_region_expose(s->t.b, iov, d->parts, HAUL_READ | HAUL_WRITE, &s->region);
}

static int start(struct state *s)
{
	struct iovec iov = { buf, s->what->len };
	return s->what->put ? haul_iput(s->t.to_b, &s->hd, 0, &iov, 1, &s->r)
	                    : haul_iget(s->t.to_b, &s->hd, 0, &iov, 1, &s->r);
}

/* One turn of either side, one of them at fault. */
static void turn(struct state *s)
{
	bool owner = s->what->owner;
	must_be_told(owner ? haul_progress(s->t.a) : faulty(haul_progress(s->t.a)));
	must_be_told(owner ? faulty(haul_progress(s->t.b)) : haul_progress(s->t.b));
}

static void round_of(const void *arg)
{
	const struct deal *d = arg;
	struct state s = { .what = d };
	unsigned char *bytes = d->put ? buf : memory;
	int turns = d->withdrawn ? 2 : ROUNDS;
	pattern_fill(bytes, d->len, OUT, 0);
	memset(d->put ? memory : buf, CANARY, d->len);
	twins_start(&s.t, d->options);
	int rc = d->owner ? (int)faulty(expose(&s)) : expose(&s);
	must_be_told(rc);
	if (rc != 0)
		must_be(expose(&s), 0);
	haul_region_handle(s.region, &s.hd);
	rc = d->owner ? start(&s) : (int)faulty(start(&s));
	must_be_told(rc);
	for (int i = 0; i < turns && sweep_goes_on(s.r, !d->owner); i++)
		turn(&s);
	if (d->withdrawn) {
		rc = d->owner ? (int)faulty(haul_region_withdraw(s.region, 0))
		              : haul_region_withdraw(s.region, 0);
		must_be_told(rc);
		if (rc != 0)
			must_be(haul_region_withdraw(s.region, PATIENCE_MS), 0);
		if (d->put)
			memset(memory, 0xa5, d->len);
		else if (s.r != NULL && haul_req_test(s.r) == -EINPROGRESS)
			memset(memory, 0xa5, d->len); /* which is not what it brings */
	}
	sweep_over();
	rc = s.r != NULL ? sweep_finish(s.t.a, s.t.b, s.r, NULL) : rc;
	must_be_told_or_gone(rc);
	if (s.r != NULL && rc == 0 && !d->put)
		must_hold(buf, d->len, OUT, 0);
	if (s.r != NULL && rc == 0 && d->put && !d->withdrawn)
		must_hold(memory, d->len, OUT, 0);
	twins_settle(&s.t);
	for (size_t i = 0; d->withdrawn && d->put && i < d->len; i++)
		must(memory[i] == 0xa5);
	if (!d->withdrawn)
		must_be(haul_region_withdraw(s.region, PATIENCE_MS), 0);
	sweep_usable(s.t.a, s.t.b);
	twins_end(&s.t);
}

static void sweep_both(const struct path *path, struct deal d)
{
	struct haul_options o = path_options(path);
	d.options = &o;
	for (int owner = 0; owner <= 1; owner++) {
		d.owner = owner;
		sweep(round_of, &d);
	}
}

EveryPath(fault_rma, a_get_is_right_or_the_failure_is_told)
{
	sweep_both(path, (struct deal){ .len = 80000, .parts = 1 });
}

EveryPath(fault_rma, a_short_get_as_well)
{
	sweep_both(path, (struct deal){ .len = 100, .parts = 3 });
}

EveryPath(fault_rma, a_put_is_done_or_the_failure_is_told)
{
	sweep_both(path, (struct deal){ .put = true, .len = 80000, .parts = 1 });
}

EveryPath(fault_rma, a_short_put_as_well)
{
	sweep_both(path, (struct deal){ .put = true, .len = 100, .parts = 3 });
}

EveryPath(fault_rma, a_withdrawn_region_is_let_alone)
{
	sweep_both(path, (struct deal){ .len = 80000, .parts = 2, .withdrawn = true });
	sweep_both(path, (struct deal){ .put = true, .len = 80000, .parts = 2, .withdrawn = true });
}

/* ---- without waiting ---- */

static void get_at_once(const void *arg)
{
	struct iovec iov = { buf, 5000 };
	struct haul_handle hd;
	struct twins t;
	(void)arg;
	twins_start(&t, NULL);
	pattern_fill(memory, 5000, OUT, 0);
	struct haul_region *r = region_of(t.b, memory, 5000, &hd);
	int rc = (int)faulty(haul_get(t.to_b, &hd, 0, &iov, 1, 0));
	must_be_told_or_gone(rc);
	if (rc >= 0) {
		must_be(rc, 5000);
		must_hold(buf, 5000, OUT, 0);
	}
	sweep_over();
	must_be(haul_region_withdraw(r, 0), 0);
	sweep_usable(t.a, t.b);
	twins_end(&t);
}

Test(fault_rma, a_get_by_one_pull_is_right_or_the_failure_is_told)
{
	sweep(get_at_once, NULL);
}

static void read_peer(const void *arg)
{
	struct iovec local[2] = { { buf, 3000 }, { buf + 3000, 6000 } }, remote = { memory, 9000 };
	char string[64];
	struct twins t;
	(void)arg;
	twins_start(&t, NULL);
	pattern_fill(memory, 9000, OUT, 0);
	ssize_t n = (ssize_t)faulty(haul_peer_read(t.to_b, local, 2, &remote, 1));
	must_be_told_or_gone((int)n);
	if (n > 0)
		must_hold(buf, (size_t)n, OUT, 0);
	memcpy(memory, "a string", 9);
	n = (ssize_t)faulty(haul_peer_read_string(t.to_b, (uintptr_t)memory, string, sizeof(string)));
	must_be_told_or_gone((int)n);
	if (n >= 0)
		must(n == 8 && strcmp(string, "a string") == 0);
	sweep_over();
	sweep_usable(t.a, t.b);
	twins_end(&t);
}

Test(fault_rma, a_read_brings_what_is_there_or_the_failure_is_told)
{
	sweep(read_peer, NULL);
}
