/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listening at sockets that systemd has passed, each test in a child whose environment and first descriptors are as
 * systemd leaves them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <haul/haul.h>

#include "lib/child.h"
#include "lib/must.h"
#include "lib/pairing.h"

TestSuite(activation, .timeout = 60);

enum { FIRST = 3, CHILD_MS = 40000 };

static void address_of(char address[64], int i)
{
	snprintf(address, 64, "@haul-activated-%d-%d", (int)getpid(), i);
}

/* A socket that listens as number FIRST + i, without close-on-exec, as one passed by exec is. */
static void pass(int i, bool listening)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char address[64];
	address_of(address, i);
	size_t len = strlen(address);
	memcpy(un.sun_path + 1, address + 1, len - 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(fd >= 0);
	must_be(bind(fd, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
	    0);
	if (listening)
		must_be(listen(fd, 8), 0);
	must_be(dup2(fd, FIRST + i), FIRST + i);
	if (fd != FIRST + i)
		close(fd);
	must_be(fcntl(FIRST + i, F_SETFD, 0), 0);
}

static void set_environment(int count, const char *names)
{
	char text[16];
	snprintf(text, sizeof(text), "%d", (int)getpid());
	must_be(setenv("LISTEN_PID", text, 1), 0);
	snprintf(text, sizeof(text), "%d", count);
	must_be(setenv("LISTEN_FDS", text, 1), 0);
	must_be(names != NULL ? setenv("LISTEN_FDNAMES", names, 1) : unsetenv("LISTEN_FDNAMES"), 0);
}

static void must_be_unset(void)
{
	must(
	    getenv("LISTEN_PID") == NULL && getenv("LISTEN_FDS") == NULL && getenv("LISTEN_FDNAMES") == NULL);
}

/* Who connects to the i-th gets to this listener. */
static void expect_connection(struct haul *h, struct haul_listener *l, int i)
{
	struct haul *other;
	struct haul_peer *p;
	struct haul_req *there;
	char address[64];
	address_of(address, i);
	must_be(haul_open(&other, &(struct haul_options){ .progress_thread = 1 },
	            sizeof(struct haul_options)),
	    0);
	must_be(haul_iconnect(other, address, &there), 0);
	must_be(haul_accept(l, PATIENCE_MS, &p), 0);
	must_be(haul_req_wait(there, PATIENCE_MS), 0);
	must_be(haul_req_finish(there, NULL), 0);
	haul_close(other, 0);
	haul_peer_close(p, 0);
	(void)h;
}

static void run(int (*part)(void *arg))
{
	struct child c;
	child_start(&c, CHILD_MS, part, NULL);
	child_expect(&c, 0);
}

static struct haul *open_context(void)
{
	struct haul *h;
	must_in_child();
	must_be(haul_open(&h, NULL, 0), 0);
	return h;
}

/* The context has descriptors of its own, which must not be in the way: it is opened after. */
static int the_only_one(void *arg)
{
	struct haul_listener *l, *again;
	(void)arg;
	pass(0, true);
	set_environment(1, NULL);
	struct haul *h = open_context();
	must_be(haul_listen(h, "systemd", &l), 0);
	must_be_unset();
	must_be(fcntl(FIRST, F_GETFD), FD_CLOEXEC);
	expect_connection(h, l, 0);
	must_be(haul_listen(h, "systemd", &again), -ENOENT);
	haul_listener_close(l);
	must_be(fcntl(FIRST, F_GETFD), -1);
	must_be(haul_close(h, 0), 0);
	return 0;
}

Test(activation, the_only_socket_is_taken_and_the_variables_go)
{
	run(the_only_one);
}

static int by_name(void *arg)
{
	struct haul_listener *l[4];
	(void)arg;
	for (int i = 0; i < 4; i++)
		pass(i, true);
	set_environment(4, "web:control:web:with.dots-and space");
	struct haul *h = open_context();
	must_be(haul_listen(h, "systemd", &l[0]), -EINVAL); /* which? */
	must_be(haul_listen(h, "systemd:none", &l[0]), -ENOENT);
	must_be(haul_listen(h, "systemd:we", &l[0]), -ENOENT);
	must_be(haul_listen(h, "systemd:webs", &l[0]), -ENOENT);
	must_be(haul_listen(h, "systemd:control", &l[1]), 0);
	must_be(haul_listen(h, "systemd:control", &l[0]), -ENOENT);
	for (int i = 0; i < 4; i++)
		must_be(fcntl(FIRST + i, F_GETFD), FD_CLOEXEC);
	must_be(haul_listen(h, "systemd:web", &l[0]), 0);
	must_be(haul_listen(h, "systemd:web", &l[2]), 0);
	must_be(haul_listen(h, "systemd:web", &l[3]), -ENOENT);
	must(getenv("LISTEN_PID") != NULL);
	must_be(haul_listen(h, "systemd:with.dots-and space", &l[3]), 0);
	must_be_unset();
	for (int i = 0; i < 4; i++)
		expect_connection(h, l[i], i);
	must_be(haul_close(h, 0), 0);
	return 0;
}

Test(activation, sockets_are_taken_by_name_each_once)
{
	run(by_name);
}

static int nameless(void *arg)
{
	struct haul_listener *l[2];
	(void)arg;
	pass(0, true);
	pass(1, true);
	set_environment(2, NULL);
	struct haul *h = open_context();
	must_be(haul_listen(h, "systemd:unknown", &l[0]), 0);
	must_be(haul_listen(h, "systemd:unknown", &l[1]), 0);
	must_be_unset();
	expect_connection(h, l[0], 0);
	expect_connection(h, l[1], 1);
	must_be(haul_close(h, 0), 0);
	return 0;
}

Test(activation, sockets_without_names_are_called_unknown)
{
	run(nameless);
}

static int for_somebody_else(void *arg)
{
	static const char *const pids[] = { NULL, "", "0", "1", "x", "-1", "99999999999999999999" };
	static const char *const counts[] = { NULL, "", "0", "-1", "x", "1x", "1000000" };
	struct haul_listener *l;
	(void)arg;
	pass(0, true);
	struct haul *h = open_context();
	for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
		set_environment(1, NULL);
		must_be(pids[i] != NULL ? setenv("LISTEN_PID", pids[i], 1) : unsetenv("LISTEN_PID"), 0);
		must_be(haul_listen(h, "systemd", &l), -ENOENT);
	}
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		set_environment(1, NULL);
		must_be(counts[i] != NULL ? setenv("LISTEN_FDS", counts[i], 1) : unsetenv("LISTEN_FDS"), 0);
		must_be(haul_listen(h, "systemd", &l), -ENOENT);
	}
	must_be(fcntl(FIRST, F_GETFD), 0); /* left alone */
	must_be(haul_close(h, 0), 0);
	return 0;
}

Test(activation, sockets_of_another_process_are_left_alone)
{
	run(for_somebody_else);
}

static int not_to_be_listened_at(void *arg)
{
	struct haul_listener *l;
	struct haul_peer *p;
	(void)arg;
	pass(0, false);
	pass(1, true);
	set_environment(2, "idle:good");
	struct haul *h = open_context();
	must_be(haul_listen(h, "systemd:idle", &l), -EINVAL);
	must_be(close(FIRST), 0);
	must_be(haul_listen(h, "systemd:idle", &l), -EBADF);
	must_be(dup2(STDERR_FILENO, FIRST), FIRST);
	must_be(haul_listen(h, "systemd:idle", &l), -ENOTSOCK);
	must_be(haul_listen(h, "systemd:", &l), -EINVAL);
	must_be(haul_listen(h, "systemd:a:b", &l), -EINVAL);
	must_be(haul_connect(h, "systemd:good", PATIENCE_MS, &p), -EINVAL);
	must_be(strcmp(getenv("LISTEN_FDNAMES"), "idle:good"), 0); /* as it was */
	must_be(haul_listen(h, "systemd:good", &l), 0);
	must_be(strcmp(getenv("LISTEN_FDNAMES"), "idle:"), 0);
	expect_connection(h, l, 1);
	must_be(haul_close(h, 0), 0);
	return 0;
}

Test(activation, what_cannot_be_listened_at_is_an_error_and_not_taken)
{
	run(not_to_be_listened_at);
}
