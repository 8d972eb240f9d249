/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Workers that have come about: signals to them, their end, and who hears of it. Starting them is test_spawn.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/asleep.h"
#include "lib/child.h"
#include "lib/fds.h"
#include "lib/hire.h"
#include "lib/must.h"
#include "lib/pairing.h"
#include "lib/talk.h"

TestSuite(spawn_life, .timeout = 120);

enum { SOON_MS = 30, STATUS = 7, LEN = 4 << 20, WORKERS = 8 };

/* ---- roles ---- */

/* Lives until its parent says goodbye or is gone. */
static int stay(void)
{
	struct haul *h;
	hire_inherit(&h);
	int rc = (int)haul_recv(h, NULL, NULL, 0, -1, NULL);
	haul_close(h, 0);
	return rc == -EPIPE ? 0 : rc == -ECONNRESET ? 1 : 2;
}

/* Leaves at the first message. */
static int leave(void)
{
	struct haul *h;
	hire_inherit(&h);
	must_be(haul_recv(h, NULL, NULL, 0, PATIENCE_MS, NULL), 0);
	return STATUS;
}

/* Tells its parent what became of a worker of its own, which its death leaves alone: its pid. */
static int employ(void)
{
	struct haul *h;
	struct haul_peer_info i;
	struct haul_peer *parent = hire_inherit(&h);
	must_be(haul_peer_info(hire(h, "stay"), &i, sizeof(i)), 0);
	must_be(haul_send(parent, 1, &i.worker, sizeof(i.worker), PATIENCE_MS), 0);
	must_be(haul_recv(h, NULL, NULL, 0, PATIENCE_MS, NULL), 0);
	return 0;
}

static const struct role roles[] = { { "stay", stay }, { "leave", leave }, { "employ", employ } };

static void __attribute__((constructor)) begin(void)
{
	hire_roles(roles, sizeof(roles) / sizeof(roles[0]));
}

static struct haul *open_context(void)
{
	struct haul *h;
	must_be(haul_open(&h, NULL, 0), 0);
	return h;
}

static void expect_signal(struct haul_peer *p, int number)
{
	int status;
	must_be(haul_peer_reap(p, PATIENCE_MS, &status), 0);
	must(WIFSIGNALED(status));
	must_be(WTERMSIG(status), number);
}

/* ---- claims ---- */

Test(spawn_life, a_worker_that_lives_is_not_reaped)
{
	int fds = fds_count();
	struct haul *h = open_context();
	struct haul_peer *p = hire(h, "stay");
	int status = -1;
	must_be(haul_peer_kill(p, 0), 0);
	must_be(haul_peer_reap(p, 0, &status), -EAGAIN);
	must_be(haul_peer_reap(p, SOON_MS, &status), -ETIMEDOUT);
	haul_interrupt(h);
	must_be(haul_peer_reap(p, -1, &status), -EINTR);
	must_be(status, -1);
	must_be(haul_peer_kill(p, SIGSTOP), 0);
	must_be(haul_peer_reap(p, SOON_MS, &status), -ETIMEDOUT); /* stopped is not ended */
	must_be(haul_peer_kill(p, SIGTERM), 0);
	must_be(haul_peer_kill(p, SIGCONT), 0);
	expect_signal(p, SIGTERM);
	expect_signal(p, SIGTERM); /* again: the same */
	must_be(haul_peer_reap(p, 0, NULL), 0);
	must_be(haul_peer_kill(p, SIGKILL), -ESRCH);
	must(hire_has_none());
	must_be(haul_peer_close(p, 0), 0);
	must_be(haul_close(h, 0), 0);
	fds_expect(fds);
}

Test(spawn_life, a_killed_worker_is_a_peer_that_died_and_then_is_reaped)
{
	struct haul *h = open_context();
	struct haul_peer *p = hire(h, "stay");
	must_be(haul_peer_kill(p, SIGKILL), 0);
	must_be(haul_recv(h, &(struct haul_match){ .from = p, .ignore = UINT64_MAX }, NULL, 0, PATIENCE_MS,
	            NULL),
	    -ECONNRESET);
	expect_signal(p, SIGKILL);
	haul_peer_close(p, 0);
	must_be(haul_close(h, 0), 0);
}

Test(spawn_life, an_exit_status_comes_as_it_was)
{
	struct haul *h = open_context();
	struct haul_peer *p = hire(h, "leave");
	int status;
	must_be(haul_send(p, 1, NULL, 0, PATIENCE_MS), 0);
	must_be(haul_peer_reap(p, -1, &status), 0);
	must(WIFEXITED(status));
	must_be(WEXITSTATUS(status), STATUS);
	haul_peer_close(p, 0);
	must_be(haul_close(h, 0), 0);
}

Test(spawn_life, a_closed_worker_lives_on_and_is_the_programs_to_wait_for)
{
	struct haul *h = open_context();
	struct haul_peer_info i;
	int status;
	must_be(haul_peer_info(hire(h, "stay"), &i, sizeof(i)), 0);
	struct haul_peer *p = hire(h, "stay");
	struct haul_peer_info j;
	must_be(haul_peer_info(p, &j, sizeof(j)), 0);
	must_be(haul_peer_kill(p, SIGSTOP), 0); /* too slow for linger */
	haul_peer_close(p, SOON_MS);
	must_be(kill(j.worker, SIGCONT), 0);
	must_be(waitpid(j.worker, &status, 0), j.worker);
	must(WIFEXITED(status));
	haul_close(h, PATIENCE_MS);
	must_be(waitpid(i.worker, &status, 0), i.worker);
	must(WIFEXITED(status));
	must_be(WEXITSTATUS(status), 0); /* it heard the goodbye */
	must(hire_has_none());
}

Test(spawn_life, workers_of_a_parent_that_died_hear_of_it)
{
	struct haul *h = open_context();
	struct haul_peer *p = hire(h, "employ");
	pid_t grandchild;
	must_be(haul_recv(h, NULL, &grandchild, sizeof(grandchild), PATIENCE_MS, NULL), sizeof(grandchild));
	must_be(haul_peer_kill(p, SIGKILL), 0);
	expect_signal(p, SIGKILL);
	while (kill(grandchild, 0) == 0) /* it ends by itself; init reaps it */
		usleep(1000);
	haul_peer_close(p, 0);
	must_be(haul_close(h, 0), 0);
}

struct reaper {
	struct haul_peer *peer;
	_Atomic pid_t tid; /* 0 until it is about to wait */
	int rc, status;
};

static void *reap(void *arg)
{
	struct reaper *r = arg;
	r->rc = haul_peer_reap(r->peer, PATIENCE_MS, &r->status);
	return NULL;
}

Test(spawn_life, any_number_of_threads_reap_one_worker_while_others_send_to_it)
{
	struct haul *h = open_context();
	struct haul_peer *p = hire(h, "leave");
	struct reaper r[4];
	pthread_t t[4];
	for (int i = 0; i < 4; i++) {
		r[i].peer = p;
		must_be(pthread_create(&t[i], NULL, reap, &r[i]), 0);
	}
	must_be(haul_peer_reap(p, SOON_MS, NULL), -ETIMEDOUT);
	must_be(haul_send(p, 1, NULL, 0, PATIENCE_MS), 0);
	for (int i = 0; i < 4; i++) {
		must_be(pthread_join(t[i], NULL), 0);
		must_be(r[i].rc, 0);
		must_be(WEXITSTATUS(r[i].status), STATUS);
	}
	haul_peer_close(p, 0);
	must_be(haul_close(h, 0), 0);
}

static void *reap_for_long(void *arg)
{
	struct reaper *r = arg;
	r->tid = gettid();
	r->rc = haul_peer_reap(r->peer, -1, &r->status);
	return NULL;
}

Test(spawn_life, a_close_ends_the_wait_for_a_worker)
{
	int fds = fds_count();
	struct haul *h = open_context();
	struct reaper r = { .peer = hire(h, "stay") };
	struct haul_peer_info i;
	pthread_t t;
	must_be(haul_peer_info(r.peer, &i, sizeof(i)), 0);
	must_be(haul_peer_kill(r.peer, SIGSTOP), 0); /* it does not leave by itself meanwhile */
	must_be(pthread_create(&t, NULL, reap_for_long, &r), 0);
	until_asleep(&r.tid);
	haul_close(h, 0);
	must_be(pthread_join(t, NULL), 0);
	must(r.rc == -ECANCELED || r.rc == -EBADF);
	must_be(kill(i.worker, SIGKILL), 0);
	must_be(waitpid(i.worker, NULL, 0), i.worker);
	fds_expect(fds);
}

Test(spawn_life, each_of_many_workers_ends_by_its_own_signal)
{
	struct haul *h = open_context();
	struct haul_peer *p[WORKERS];
	for (int i = 0; i < WORKERS; i++)
		p[i] = hire(h, "stay");
	for (int i = WORKERS - 1; i >= 0; i--)
		must_be(haul_peer_kill(p[i], i % 2 ? SIGTERM : SIGUSR1), 0);
	for (int i = 0; i < WORKERS; i++)
		expect_signal(p[i], i % 2 ? SIGTERM : SIGUSR1);
	must_be(haul_close(h, 0), 0);
	must(hire_has_none());
}

/* Exits with what it is told. */
static void obey(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)p;
	(void)arg;
	must_be(haul_recv(h, NULL, NULL, 0, -1, NULL), 0);
}

Test(spawn_life, a_forked_child_is_reaped_like_a_worker)
{
	struct pairing p;
	int status;
	pairing_start(&p, NULL, NULL, obey, NULL);
	must_be(haul_peer_reap(p.peer, 0, &status), -EAGAIN);
	must_be(haul_peer_reap(p.peer, SOON_MS, &status), -ETIMEDOUT);
	must_be(haul_peer_kill(p.peer, SIGKILL), 0);
	expect_signal(p.peer, SIGKILL);
	haul_peer_close(p.peer, 0);
	haul_close(p.haul, 0);
	close(p.child.pidfd);
}

Test(spawn_life, what_is_no_child_is_not_reaped)
{
	struct twins t;
	twins_start(&t, NULL);
	must_be(haul_peer_reap(t.to_b, PATIENCE_MS, NULL), -ECHILD); /* this very process */
	must_be(haul_peer_kill(t.to_b, 0), 0);
	must_be(haul_peer_kill(t.to_b, 1000), -EINVAL);
	must_be(haul_peer_kill(haul_self(t.a), 0), -EINVAL);
	must_be(haul_peer_reap(haul_self(t.a), PATIENCE_MS, NULL), -ECHILD);
	must_be(haul_peer_kill(NULL, 0), -EINVAL);
	must_be(haul_peer_reap(NULL, 0, NULL), -EINVAL);
	must_be(haul_peer_reap(t.to_b, -2, NULL), -EINVAL);
	twins_end(&t);
}

Test(spawn_life, a_program_that_ignores_its_children_is_told_that_there_is_none)
{
	signal(SIGCHLD, SIG_IGN);
	struct haul *h = open_context();
	struct haul_peer *p = hire(h, "leave");
	must_be(haul_send(p, 1, NULL, 0, PATIENCE_MS), 0);
	must_be(haul_peer_reap(p, PATIENCE_MS, NULL), -ECHILD);
	must_be(haul_peer_kill(p, SIGKILL), -ESRCH);
	char *argv[] = { (char *)"/no/such/program", NULL };
	struct haul_spawn s = { .argv = argv };
	must_be(hire_in_vain(h, &s, PATIENCE_MS), -ENOENT);
	char *fails[] = { (char *)"false", NULL };
	s.argv = fails;
	must_be(hire_in_vain(h, &s, PATIENCE_MS), -ECONNRESET);
	haul_peer_close(p, 0);
	must_be(haul_close(h, 0), 0);
}
