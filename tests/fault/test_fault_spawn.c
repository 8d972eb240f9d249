/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Workers while calls fail on the parent's side: one is started, or there is an error and nothing is left of it; a
 * worker's end is told, or can be asked for again. And in the worker: it inherits, or its parent is told.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/hire.h"
#include "lib/must.h"
#include "lib/sweep.h"

TestSuite(fault_spawn, .timeout = 300);

enum { LATE_MS = 10000, BRIEF_MS = 20 };

static int stay(void)
{
	struct haul *h;
	hire_inherit(&h);
	(void)haul_recv(h, NULL, NULL, 0, -1, NULL);
	haul_close(h, 0);
	return 0;
}

static const struct role roles[] = { { "stay", stay } };

static void __attribute__((constructor)) begin(void)
{
	hire_roles(roles, sizeof(roles) / sizeof(roles[0]));
}

static char *const anew[] = { (char *)"/proc/self/exe", NULL };

/* Nothing of it is left, not even a zombie, once the kernel has ended it. */
static void await_none(struct haul *h)
{
	struct timespec since = { 0 };
	while (!hire_has_none()) {
		must(haul_progress(h) >= 0);
		must(sweep_patient(&since));
	}
}

/* With what makes the most calls: descriptors and a directory. */
static void starting(const void *arg)
{
	struct haul *h;
	struct haul_peer *p = NULL;
	struct haul_spawn_fd fds[] = { { 1, 3 }, { 2, 6 } };
	struct haul_spawn s = { .argv = anew, .cwd = "/", .fds = fds, .fd_count = 2 };
	(void)arg;
	must_be(haul_open(&h, NULL, 0), 0);
	int rc = (int)must_be_told(faulty(haul_spawn(h, &s, sizeof(s), sweep_timeout(), &p)));
	sweep_over();
	if (rc != 0) {
		must(p == NULL);
		await_none(h);
		must_be(haul_spawn(h, &s, sizeof(s), LATE_MS, &p), 0);
	}
	int sent = haul_send(p, 1, NULL, 0, LATE_MS); /* it may have ended right after */
	must(sent == 0 || (rc == 0 && fault_fired() > 0 && must_be_told(sent) == sent));
	must_be(haul_peer_reap(p, LATE_MS, NULL), 0);
	haul_peer_close(p, 0);
	must_be(haul_close(h, 0), 0);
	must(hire_has_none());
}

Test(fault_spawn, a_worker_is_started_or_nothing_is_left_of_it)
{
	hire_as("stay");
	sweep(starting, NULL);
}

/* The signal and the end: whatever failed, it can be asked for again. */
static void ending(const void *arg)
{
	struct haul *h;
	int status;
	(void)arg;
	must_be(haul_open(&h, NULL, 0), 0);
	struct haul_peer *p = hire(h, "stay");
	int rc = (int)faulty(haul_peer_kill(p, SIGTERM));
	must(rc == -ESRCH || must_be_told(rc) == rc);
	rc = (int)faulty(haul_peer_reap(p, BRIEF_MS, NULL));
	must(rc == -ETIMEDOUT || must_be_told(rc) == rc);
	sweep_over();
	rc = haul_peer_kill(p, SIGTERM);
	must(rc == 0 || rc == -ESRCH);
	must_be(haul_peer_reap(p, LATE_MS, &status), 0);
	must(WIFSIGNALED(status));
	must_be(WTERMSIG(status), SIGTERM);
	must(hire_has_none());
	haul_peer_close(p, 0);
	must_be(haul_close(h, 0), 0);
}

Test(fault_spawn, a_workers_end_can_be_asked_for_again)
{
	sweep(ending, NULL);
}

/* The other side makes progress by itself. */
static void inheriting(const void *arg)
{
	struct haul_options helped = { .progress_thread = 1 };
	struct twins t;
	struct haul_req *theirs;
	struct stat st;
	char text[64];
	int pair[2];
	(void)arg;
	must_be(haul_open(&t.a, NULL, 0), 0);
	must_be(haul_open(&t.b, &helped, sizeof(helped)), 0);
	must_be(haul_pair(pair), 0);
	must_be(haul_iadopt(t.b, pair[1], &theirs), 0);
	must_be(fstat(pair[0], &st), 0);
	snprintf(text, sizeof(text), "%d:%ju", pair[0], (uintmax_t)st.st_ino);
	must_be(setenv("HAUL_FD", text, 1), 0);
	int rc = (int)must_be_told(faulty(haul_inherit(t.a, sweep_timeout(), &t.to_b)));
	sweep_over();
	must(getenv("HAUL_FD") == NULL);
	if (rc == -ENOMEM && fcntl(pair[0], F_GETFD) >= 0 && strcmp(fault_name(), "fstat") == 0)
		close(pair[0]); /* what it is could not be told */
	must_be_told(sweep_finish(t.a, t.b, theirs, NULL));
	sweep_usable(t.a, t.b);
	haul_close(t.a, 0);
	haul_close(t.b, 0);
}

Test(fault_spawn, a_worker_inherits_or_its_parent_is_told)
{
	sweep(inheriting, NULL);
}
