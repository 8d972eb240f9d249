/* SPDX-License-Identifier: BSD-3-Clause */
/* Two connected ends. See pairing.h. */
#include "pairing.h"

#include <errno.h>
#include <unistd.h>

#include "fds.h"

static int open_context(struct haul **h, const struct haul_options *options)
{
	return haul_open(h, options, options != NULL ? sizeof(*options) : 0);
}

/* ---- the test and a child ---- */

struct end {
	int fd;
	const struct haul_options *options;
	pairing_part *part;
	const void *arg;
};

/* Nothing that the test has open is the child's: a copy of another socket would hide its end. */
static void keep_only(int fd)
{
	if (fd > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0);
	close_range((unsigned)fd + 1, ~0U, 0);
}

static int run_end(void *arg)
{
	const struct end *e = arg;
	struct haul *h;
	struct haul_peer *p;
	must_in_child();
	keep_only(e->fd);
	int fds = fds_count();
	must_be(open_context(&h, e->options), 0);
	must_be(haul_adopt(h, e->fd, PATIENCE_MS, &p), 0);
	e->part(h, p, e->arg);
	must_be(haul_close(h, PATIENCE_MS), 0);
	must_be(fds_count(), fds - 1); /* the socket became the library's */
	return 0;
}

void pairing_fork(struct pairing *p, const struct haul_options *theirs, pairing_part *part, const void *arg)
{
	int fds[2];
	*p = (struct pairing){ .fds = fds_count() };
	must_be(haul_pair(fds), 0);
	struct end e = { .fd = fds[1], .options = theirs, .part = part, .arg = arg };
	child_start(&p->child, PATIENCE_MS, run_end, &e);
	close(fds[1]);
	p->fd = fds[0];
}

void pairing_adopt(struct pairing *p, struct haul *h)
{
	must_be(haul_adopt(h, p->fd, PATIENCE_MS, &p->peer), 0);
}

void pairing_start(struct pairing *p, const struct haul_options *ours, const struct haul_options *theirs,
    pairing_part *part, const void *arg)
{
	pairing_fork(p, theirs, part, arg);
	must_be(open_context(&p->haul, ours), 0);
	pairing_adopt(p, p->haul);
}

void pairing_end(struct pairing *p)
{
	must_be(haul_close(p->haul, PATIENCE_MS), 0);
	child_expect(&p->child, 0);
	fds_expect(p->fds);
}

/* ---- both in the test ---- */

static void connect_twins(struct twins *t)
{
	int fds[2];
	struct haul_req *adopt_b, *adopt_a;
	struct haul_status status;
	must_be(haul_pair(fds), 0);
	must_be(haul_iadopt(t->a, fds[0], &adopt_b), 0);
	must_be(haul_iadopt(t->b, fds[1], &adopt_a), 0);
	must_be(twins_finish(t, adopt_b, &status), 0);
	t->to_b = status.peer;
	must_be(twins_finish(t, adopt_a, &status), 0);
	t->to_a = status.peer;
}

void twins_start_unlike(struct twins *t, const struct haul_options *a, const struct haul_options *b)
{
	t->fds = fds_count();
	must_be(open_context(&t->a, a), 0);
	must_be(open_context(&t->b, b), 0);
	connect_twins(t);
}

void twins_start(struct twins *t, const struct haul_options *options)
{
	twins_start_unlike(t, options, options);
}

void twins_start_in_one(struct twins *t, const struct haul_options *options)
{
	t->fds = fds_count();
	must_be(open_context(&t->a, options), 0);
	t->b = t->a;
	connect_twins(t);
}

int twins_finish(struct twins *t, struct haul_req *r, struct haul_status *status)
{
	while (haul_req_test(r) == -EINPROGRESS) {
		must(haul_progress(t->a) >= 0);
		must(haul_progress(t->b) >= 0);
	}
	return haul_req_finish(r, status);
}

void twins_settle(struct twins *t)
{
	for (int quiet = 0; quiet < 3;) {
		int a = haul_progress(t->a), b = haul_progress(t->b);
		must(a >= 0 && b >= 0);
		quiet = a + b == 0 ? quiet + 1 : 0;
	}
}

/* Neither can wait for the other's goodbye, so the first leaves without. */
void twins_end(struct twins *t)
{
	haul_close(t->a, 0);
	if (t->b != t->a)
		haul_close(t->b, 0);
	fds_expect(t->fds);
}
