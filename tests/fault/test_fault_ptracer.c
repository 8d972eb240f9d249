/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The option allow_ptracer, against a Yama made of the fault trigger: process_vm_readv(2) is refused with EPERM
 * unless prctl(PR_SET_PTRACER) has named a process that permits it.
 */
#include "lib/fault.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/fds.h"
#include "lib/pairing.h"

TestSuite(ptracer, .timeout = 60);

enum { NOBODY = 0, ANYBODY = -1 };

struct yama {
	long named;
	unsigned calls;
};

/* This process reads only itself here, so naming itself is naming the peer. */
static int decide(const char *name, long first, void *arg)
{
	struct yama *y = arg;
	if (strcmp(name, "prctl") == 0) {
		y->named = first;
		y->calls++;
		return 0;
	}
	return y->named == getpid() || y->named == ANYBODY ? 0 : EPERM;
}

static void arm(struct yama *y)
{
	*y = (struct yama){ .named = NOBODY };
	fault_arm(&(struct fault){ .action = FAULT_ASK,
	    .nth = 1,
	    .lasting = true,
	    .only = "prctl process_vm_readv",
	    .hook = decide,
	    .arg = y });
}

static void check_paths(struct twins *t, int path, int error)
{
	struct haul_peer_info info;
	must_be(haul_peer_info(t->to_b, &info, sizeof(info)), 0);
	must_be(info.in_path, path);
	must_be(info.in_error, error);
	must_be(info.out_path, path);
	must_be(haul_peer_info(t->to_a, &info, sizeof(info)), 0);
	must_be(info.in_path, path);
	must_be(info.out_error, error);
}

Test(ptracer, nobody_is_named_unless_asked_for)
{
	struct yama y;
	struct twins t;
	arm(&y);
	twins_start(&t, NULL);
	check_paths(&t, HAUL_PATH_STREAM, EPERM);
	twins_end(&t);
	fault_disarm();
	must_be(y.calls, 0);
}

static void named_as(int option, long whom)
{
	struct haul_options o = { .allow_ptracer = option };
	struct yama y;
	struct twins t;
	arm(&y);
	twins_start(&t, &o);
	must_be(y.named, whom);
	check_paths(&t, HAUL_PATH_PULL, 0);
	haul_close(t.a, 0);
	must_be(y.named, whom); /* the other still needs it */
	haul_close(t.b, 0);
	must_be(y.named, NOBODY);
	fault_disarm();
	fds_expect(t.fds);
}

Test(ptracer, the_peer_is_named_before_it_probes_and_until_it_is_closed)
{
	named_as(HAUL_PTRACER_PEER, getpid());
}

Test(ptracer, anybody_is_named_on_request)
{
	named_as(HAUL_PTRACER_ANY, ANYBODY);
}

Test(ptracer, the_environment_may_ask_for_it)
{
	must(setenv("HAUL_PTRACER", "any", 1) == 0);
	named_as(0, ANYBODY);
	must(setenv("HAUL_PTRACER", "everybody", 1) == 0);
	struct haul *h;
	must_be(haul_open(&h, NULL, 0), -EINVAL);
}

/* ---- real peers ---- */

static void stay(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)p;
	(void)arg;
	must_be(haul_recv(h, NULL, NULL, 0, PATIENCE_MS, NULL), 0);
}

static void keep_line(void *arg, int level, const char *line)
{
	(void)level;
	if (strstr(line, "tracer") != NULL)
		snprintf(arg, 256, "%s", line);
}

Test(ptracer, a_second_peer_does_not_take_the_first_ones_place)
{
	char line[256] = "";
	struct haul_options o = { .allow_ptracer = HAUL_PTRACER_PEER, .log = keep_line, .log_arg = line };
	struct yama y;
	struct pairing first, second;
	int fds = fds_count();
	pairing_fork(&first, NULL, stay, NULL);
	pairing_fork(&second, NULL, stay, NULL);
	must_be(haul_open(&first.haul, &o, sizeof(o)), 0);
	arm(&y);
	pairing_adopt(&first, first.haul);
	must_be(y.named, first.child.pid);
	must(line[0] == '\0');
	pairing_adopt(&second, first.haul);
	must_be(y.named, first.child.pid);
	must(strstr(line, "another process is named as a tracer already") != NULL);
	must_be(haul_send(second.peer, 0, NULL, 0, PATIENCE_MS), 0);
	must_be(haul_peer_close(second.peer, PATIENCE_MS), 0);
	must_be(y.named, first.child.pid);
	must_be(haul_send(first.peer, 0, NULL, 0, PATIENCE_MS), 0);
	must_be(haul_peer_close(first.peer, PATIENCE_MS), 0);
	must_be(y.named, NOBODY);
	fault_disarm();
	must_be(haul_close(first.haul, 0), 0);
	child_expect(&first.child, 0);
	child_expect(&second.child, 0);
	fds_expect(fds);
}

struct sibling {
	int fd;
	long expected; /* who is to be named; 0: nobody is */
};

static int be_sibling(void *arg)
{
	const struct sibling *s = arg;
	struct haul_options o = { .allow_ptracer = HAUL_PTRACER_ANCESTOR };
	struct yama y;
	struct haul *h;
	struct haul_peer *p;
	must_in_child();
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	arm(&y);
	must_be(haul_adopt(h, s->fd, PATIENCE_MS, &p), 0);
	must_be(y.named, s->expected);
	must_be(haul_close(h, PATIENCE_MS), 0);
	must_be(y.named, NOBODY);
	fault_disarm();
	return 0;
}

static void siblings_name(long whom)
{
	struct child a, b;
	int fds[2];
	must_be(haul_pair(fds), 0);
	child_start(&a, PATIENCE_MS, be_sibling, &(struct sibling){ fds[0], whom });
	child_start(&b, PATIENCE_MS, be_sibling, &(struct sibling){ fds[1], whom });
	close(fds[0]);
	close(fds[1]);
	child_expect(&a, 0);
	child_expect(&b, 0);
}

Test(ptracer, siblings_name_their_parent)
{
	siblings_name(getpid());
}

/* Its child is pid 1 of a namespace, with a /proc that says so. */
static int have_init(void *arg)
{
	int status;
	(void)arg;
	must_in_child();
	must(unshare(CLONE_NEWPID | CLONE_NEWNS) == 0);
	pid_t pid = fork();
	must(pid >= 0);
	if (pid > 0) {
		must(waitpid(pid, &status, 0) == pid);
		return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	}
	must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
	must_be(getpid(), 1);
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	must(mount("proc", "/proc", "proc", 0, NULL) == 0);
	siblings_name(NOBODY);
	_exit(0);
}

Test(ptracer, init_is_not_named_for_that_would_be_everybody)
{
	struct child c;
	if (geteuid() != 0)
		cr_skip_test("only root makes pid namespaces");
	child_start(&c, PATIENCE_MS, have_init, NULL);
	child_expect(&c, 0);
}

static int close_copy(void *arg)
{
	struct yama y;
	must_in_child();
	arm(&y);
	must_be(haul_close(arg, 0), -ESTALE);
	fault_disarm();
	must_be(y.calls, 0);
	return 0;
}

Test(ptracer, a_forked_copy_takes_nothing_back)
{
	struct haul_options o = { .allow_ptracer = HAUL_PTRACER_ANY };
	struct yama y;
	struct twins t;
	struct child c;
	arm(&y);
	twins_start(&t, &o);
	child_start(&c, PATIENCE_MS, close_copy, t.a);
	child_expect(&c, 0);
	must_be(y.named, ANYBODY);
	twins_end(&t);
	fault_disarm();
	must_be(y.named, NOBODY);
}
