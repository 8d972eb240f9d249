/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * As test_death_steps.c, of messages with descriptors: whoever dies or stops at whichever call, the survivor gets all
 * of them or an error, and none is left open in it (survivor.h counts).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/survivor.h"

TestSuite(death_fds, .timeout = 120);

enum { TAG = 9, COUNT = 3 };

static int give(struct side *s)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), fds[COUNT] = { fd, fd, fd };
	must(fd >= 0);
	int rc = haul_send_fds(s->p, TAG, "bytes", 5, fds, COUNT, s->timeout_ms);
	must_be(close(fd), 0);
	return rc;
}

static int take(struct side *s)
{
	struct haul_match match = { .from = s->p, .tag = TAG };
	struct haul_msg *m;
	struct stat null, st;
	int fds[COUNT], rc = haul_take(s->h, &match, s->timeout_ms, &m);
	if (rc != 0)
		return rc;
	ssize_t n = haul_msg_fds(m, fds, COUNT, s->timeout_ms);
	must_be(stat("/dev/null", &null), 0);
	for (ssize_t i = 0; i < n; i++) {
		must_be(fstat(fds[i], &st), 0);
		must_be(st.st_rdev, null.st_rdev);
		must_be(close(fds[i]), 0);
	}
	must(n < 0 || n == COUNT);
	rc = haul_msg_done(m);
	return n < 0 ? (int)n : rc;
}

Test(death_fds, of_descriptors)
{
	survivor_play("descriptors", &(struct plan){ .a = give, .b = take, .a_least = 4, .b_least = 3 });
}

Test(death_fds, of_descriptors_by_outbox)
{
	static const struct haul_options o = { .transport = HAUL_TRANSPORT_OUTBOX };
	survivor_play("descriptors by outbox",
	    &(struct plan){ .a = give,
	        .b = take,
	        .a_options = &o,
	        .b_options = &o,
	        .a_least = 2,
	        .b_least = 2 });
}
