/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses: taking one, finding it taken, inheriting one, giving it back, and connecting to what is or is
 * not there. Files of others are never harmed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <haul/haul.h>

#include "lib/child.h"
#include "lib/clock.h"
#include "lib/fds.h"
#include "lib/must.h"

TestSuite(listen, .timeout = 60);

enum { SOON_MS = 50, LATE_MS = 20000, CHILD_MS = 30000, LONGEST_PATH = 107 };

/* ---- a directory of the test's own ---- */

static char dir[64], path[sizeof(dir) + 16];
static struct haul *haul;
static int fds;

static void begin(void)
{
	snprintf(dir, sizeof(dir), "/tmp/haul-test-XXXXXX");
	must(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/socket", dir);
	fds = fds_count();
	must_be(haul_open(&haul, NULL, 0), 0);
}

/* Nothing may be left in it that the test has not removed. */
static void end(void)
{
	must_be(haul_close(haul, 0), 0);
	fds_expect(fds);
	if (rmdir(dir) != 0)
		cr_assert_fail("%s: %s", dir, strerror(errno));
}

static void address_of(struct sockaddr_un *a, const char *at)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, at, strlen(at));
}

/* A socket of another program's. */
static int bound(int type, const char *at)
{
	struct sockaddr_un a;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	address_of(&a, at);
	must(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	return fd;
}

static int connected(const char *at)
{
	struct sockaddr_un a;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	address_of(&a, at);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	close(fd);
	return -1;
}

static ino_t inode(const char *at)
{
	struct stat st;
	must_be(lstat(at, &st), 0);
	return st.st_ino;
}

/* Nobody can listen there, and it says why. */
static void refused(const char *address, int error)
{
	struct haul_listener *l = NULL;
	must_note(address);
	must_be(haul_listen(haul, address, &l), error);
	must(l == NULL && *haul_reason() != '\0');
	must_note("");
}

/* ---- connecting there works ---- */

static int connect_to(void *arg)
{
	struct haul *h;
	struct haul_peer *p;
	must_in_child();
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_connect(h, arg, LATE_MS, &p), 0);
	must_be(haul_send(p, 3, "yes", 3, LATE_MS), 0);
	must_be(haul_close(h, LATE_MS), 0);
	return 0;
}

static void works(struct haul_listener *l, const char *address)
{
	struct haul_peer *p;
	struct child c;
	char got[4];
	child_start(&c, CHILD_MS, connect_to, (void *)(uintptr_t)address);
	must_be(haul_accept(l, LATE_MS, &p), 0);
	must_be(haul_recv(haul, &(struct haul_match){ .from = p, .tag = 3 }, got, 4, LATE_MS, NULL), 3);
	must_be(haul_peer_close(p, LATE_MS), 0);
	child_expect(&c, 0);
}

Test(listen, a_path_is_taken_and_given_back)
{
	struct haul_listener *l;
	struct stat st;
	begin();
	mode_t old = umask(0);
	must_be(haul_listen(haul, path, &l), 0);
	umask(old);
	must_be(stat(path, &st), 0);
	must_be(st.st_mode & 07777, 0600);
	works(l, path);
	haul_listener_close(l);
	must_be(access(path, F_OK), -1);
	must_be(haul_listen(haul, path, &l), 0); /* again */
	works(l, path);
	end();
}

Test(listen, the_mode_is_0600_whatever_the_umask)
{
	static const mode_t umasks[] = { 0, 022, 077, 0777 };
	struct stat st;
	begin();
	for (size_t i = 0; i < 4; i++) {
		struct haul_listener *l;
		mode_t old = umask(umasks[i]);
		must_be(haul_listen(haul, path, &l), 0);
		umask(old);
		must_be(stat(path, &st), 0);
		must_be(st.st_mode & 07777, 0600 & ~(umasks[i] == 0777 ? 0777u : 0u));
		haul_listener_close(l);
	}
	end();
}

Test(listen, a_relative_path_is_a_path)
{
	struct haul_listener *l;
	begin();
	must_be(chdir(dir), 0);
	must_be(haul_listen(haul, "./socket", &l), 0);
	works(l, path);
	works(l, "./socket");
	haul_listener_close(l);
	must_be(access(path, F_OK), -1);
	must_be(chdir("/"), 0);
	end();
}

/* ---- what is there already ---- */

static int listen_and_wait(void *arg)
{
	struct haul *h;
	struct haul_listener *l;
	struct haul_peer *p;
	int ready = *(int *)arg;
	must_in_child();
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_listen(h, path, &l), 0);
	must_be(write(ready, "r", 1), 1);
	haul_accept(l, LATE_MS, &p);
	haul_close(h, LATE_MS);
	return 0;
}

static void start_listener(struct child *c)
{
	int pipe_fds[2];
	char byte;
	must_be(pipe2(pipe_fds, O_CLOEXEC), 0);
	child_start(c, CHILD_MS, listen_and_wait, &pipe_fds[1]);
	close(pipe_fds[1]);
	must_be(read(pipe_fds[0], &byte, 1), 1);
	close(pipe_fds[0]);
}

Test(listen, the_file_of_a_killed_listener_is_replaced)
{
	struct haul_listener *l;
	struct child c;
	begin();
	start_listener(&c);
	child_signal(&c, SIGKILL);
	child_expect_killed(&c, SIGKILL);
	must_be(access(path, F_OK), 0);
	must_be(haul_listen(haul, path, &l), 0);
	works(l, path);
	end();
}

Test(listen, a_live_address_is_in_use_and_stays_undisturbed)
{
	struct child c;
	struct haul_peer *p;
	begin();
	start_listener(&c);
	ino_t before = inode(path);
	for (int i = 0; i < 3; i++)
		refused(path, -EADDRINUSE);
	must_be(inode(path), before);
	must_be(haul_connect(haul, path, LATE_MS, &p), 0);
	child_expect(&c, 0);
	must_be(access(path, F_OK), -1);
	end();
}

Test(listen, an_address_of_ones_own_is_in_use_too)
{
	struct haul_listener *l;
	char address[64];
	begin();
	must_be(haul_listen(haul, path, &l), 0);
	refused(path, -EADDRINUSE);
	works(l, path);
	snprintf(address, sizeof(address), "@haul-test-listen-%d", (int)getpid());
	must_be(haul_listen(haul, address, &l), 0);
	refused(address, -EADDRINUSE);
	works(l, address);
	end();
}

/* Whose backlog is full, so that asking it is not even heard. */
Test(listen, a_busy_listener_is_alive)
{
	int clients[8], n = 0;
	begin();
	int fd = bound(SOCK_STREAM, path);
	must_be(listen(fd, 0), 0);
	while (n < 8 && (clients[n] = connected(path)) >= 0)
		n++;
	must(n < 8);
	refused(path, -EADDRINUSE);
	while (n > 0)
		close(clients[--n]);
	close(fd);
	unlink(path);
	end();
}

Test(listen, a_regular_file_is_left_alone)
{
	char got[16] = "";
	begin();
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0640);
	must_be(write(fd, "precious", 8), 8);
	close(fd);
	ino_t before = inode(path);
	refused(path, -ENOTSOCK);
	must_be(inode(path), before);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must_be(read(fd, got, sizeof(got)), 8);
	must(memcmp(got, "precious", 8) == 0);
	close(fd);
	unlink(path);
	end();
}

Test(listen, whatever_is_no_socket_is_left_alone)
{
	begin();
	must_be(mkdir(path, 0700), 0);
	refused(path, -ENOTSOCK);
	must_be(rmdir(path), 0);
	must_be(mkfifo(path, 0600), 0);
	refused(path, -ENOTSOCK);
	must_be(unlink(path), 0);
	must_be(symlink("/nowhere/at/all", path), 0);
	refused(path, -ENOTSOCK);
	must_be(unlink(path), 0);
	end();
}

Test(listen, a_symlink_to_a_stale_socket_is_left_alone)
{
	char target[sizeof(path) + 8];
	begin();
	snprintf(target, sizeof(target), "%s/other", dir);
	close(bound(SOCK_STREAM, target));
	must_be(symlink(target, path), 0);
	refused(path, -ENOTSOCK);
	must_be(unlink(path), 0);
	must_be(unlink(target), 0);
	end();
}

Test(listen, a_socket_of_another_kind_is_left_alone_while_alive)
{
	struct haul_listener *l;
	begin();
	for (int i = 0; i < 2; i++) {
		int fd = bound(i == 0 ? SOCK_DGRAM : SOCK_SEQPACKET, path);
		must(i == 0 || listen(fd, 5) == 0);
		ino_t before = inode(path);
		must(haul_listen(haul, path, &l) < 0);
		must_be(inode(path), before);
		close(fd);
		unlink(path);
	}
	end();
}

Test(listen, a_file_that_is_anothers_by_now_is_left)
{
	struct haul_listener *l;
	begin();
	must_be(haul_listen(haul, path, &l), 0);
	must_be(unlink(path), 0);
	int fd = bound(SOCK_STREAM, path); /* somebody removed ours and took the name */
	ino_t theirs = inode(path);
	haul_listener_close(l);
	must_be(inode(path), theirs);
	must_be(unlink(path), 0);
	close(fd);

	must_be(haul_listen(haul, path, &l), 0);
	must_be(unlink(path), 0);
	haul_listener_close(l); /* nothing there at all */
	must_be(haul_listen(haul, path, &l), 0);
	must_be(unlink(path), 0);
	must_be(mkdir(path, 0700), 0);
	haul_listener_close(l);
	must_be(rmdir(path), 0);
	end();
}

static int close_the_copy(void *arg)
{
	must_in_child();
	haul_listener_close(arg);
	haul_close(haul, 0);
	return 0;
}

Test(listen, a_forked_copy_removes_nothing)
{
	struct haul_listener *l;
	struct child c;
	begin();
	must_be(haul_listen(haul, path, &l), 0);
	child_start(&c, CHILD_MS, close_the_copy, l);
	child_expect(&c, 0);
	must_be(access(path, F_OK), 0);
	works(l, path);
	end();
}

/* ---- races ---- */

struct race {
	int go, done, end; /* pipes: a byte in each starts one of them, tells that it has tried, ends it */
};

enum { WON = 10, LOST = 11 };

static int race(void *arg)
{
	struct race *r = arg;
	struct haul *h;
	struct haul_listener *l;
	char byte;
	must_in_child();
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(read(r->go, &byte, 1), 1);
	int rc = haul_listen(h, path, &l);
	must(rc == 0 || rc == -EADDRINUSE);
	must_be(write(r->done, "d", 1), 1);
	must_be(read(r->end, &byte, 1), 1); /* the winner keeps it till all have tried */
	must_be(haul_close(h, 0), 0);
	return rc == 0 ? WON : LOST;
}

/* Each time over the file of a dead one, which all want to replace. */
Test(listen, of_starters_racing_one_wins)
{
	enum { ROUNDS = 20, RACERS = 3 };
	begin();
	for (int round = 0; round < ROUNDS; round++) {
		struct child c[RACERS];
		int go[2], done[2], finish[2], won = 0;
		char byte;
		must(pipe2(go, O_CLOEXEC) == 0 && pipe2(done, O_CLOEXEC) == 0 &&
		    pipe2(finish, O_CLOEXEC) == 0);
		struct race r = { .go = go[0], .done = done[1], .end = finish[0] };
		if (round % 2 == 0)
			close(bound(SOCK_STREAM, path));
		for (int i = 0; i < RACERS; i++)
			child_start(&c[i], CHILD_MS, race, &r);
		must_be(write(go[1], "ggg", RACERS), RACERS);
		for (int i = 0; i < RACERS; i++)
			must_be(read(done[0], &byte, 1), 1);
		must_be(write(finish[1], "eee", RACERS), RACERS);
		for (int i = 0; i < RACERS; i++) {
			struct child_end e = child_collect(&c[i]);
			must(e.fate == CHILD_EXITED && (e.code == WON || e.code == LOST));
			won += e.code == WON;
		}
		must_be(won, 1);
		must_be(access(path, F_OK), -1);
		close(go[0]);
		close(go[1]);
		close(done[0]);
		close(done[1]);
		close(finish[0]);
		close(finish[1]);
	}
	end();
}

Test(listen, a_directory_locked_by_another_is_busy_after_a_while)
{
	struct haul_listener *l;
	begin();
	int lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must_be(flock(lock, LOCK_EX), 0);
	int64_t before = clock_ms();
	refused(path, -EBUSY);
	int64_t took = clock_ms() - before;
	must(took >= 900 && took < 10000);
	must_be(access(path, F_OK), -1);
	close(lock);
	must_be(haul_listen(haul, path, &l), 0); /* and the lock is not kept while listening */
	lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must_be(flock(lock, LOCK_EX | LOCK_NB), 0);
	close(lock);
	end();
}

/* ---- names ---- */

Test(listen, a_directory_that_is_missing_is_told)
{
	char address[sizeof(path) + 16];
	begin();
	snprintf(address, sizeof(address), "%s/not/here", dir);
	refused(address, -ENOENT);
	must_be(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	snprintf(address, sizeof(address), "%s/socket/here", dir);
	refused(address, -ENOTDIR);
	must_be(unlink(path), 0);
	end();
}

static int listen_unprivileged(void *arg)
{
	struct haul *h;
	struct haul_listener *l;
	(void)arg;
	must_in_child();
	must_be(setresuid(65533, 65533, 65533), 0);
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_listen(h, path, &l), -EACCES);
	must_be(haul_connect(h, path, 0, &(struct haul_peer *){ NULL }), -EACCES);
	must_be(haul_close(h, 0), 0);
	return 0;
}

Test(listen, a_directory_that_is_closed_to_us_is_told)
{
	struct child c;
	if (geteuid() != 0)
		cr_skip_test("needs to be root to have a second user");
	begin();
	child_start(&c, CHILD_MS, listen_unprivileged, NULL);
	child_expect(&c, 0);
	end();
}

Test(listen, a_name_may_be_as_long_as_a_sockets_may)
{
	char address[LONGEST_PATH + 3];
	struct haul_listener *l;
	begin();
	memset(address, 'x', sizeof(address));
	memcpy(address, dir, strlen(dir));
	address[strlen(dir)] = '/';
	address[LONGEST_PATH + 1] = '\0';
	refused(address, -ENAMETOOLONG);
	must_be(haul_connect(haul, address, 0, &(struct haul_peer *){ NULL }), -ENAMETOOLONG);
	address[LONGEST_PATH] = '\0';
	must_be(haul_listen(haul, address, &l), 0);
	works(l, address);
	haul_listener_close(l);

	snprintf(address, sizeof(address), "@%0107d", (int)getpid());
	must_be(strlen(address), 108);
	must_be(haul_listen(haul, address, &l), 0);
	works(l, address);
	address[108] = '0';
	address[109] = '\0';
	refused(address, -ENAMETOOLONG);
	must_be(haul_connect(haul, address, 0, &(struct haul_peer *){ NULL }), -ENAMETOOLONG);
	end();
}

Test(listen, malformed_addresses_are_refused)
{
	static const char *const bad[] = { "", "name", "@", "fd:", "fd:-1", "fd:x", "fd:3x",
		"fd:99999999999999999999", "tcp:1.2.3.4", "fd" };
	begin();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct haul_peer *p = NULL;
		refused(bad[i], -EINVAL);
		must_be(haul_connect(haul, bad[i], LATE_MS, &p), -EINVAL);
		must(p == NULL);
	}
	end();
}

/* ---- inherited sockets ---- */

Test(listen, an_inherited_listening_socket_is_taken_over)
{
	struct haul_listener *l;
	char address[32];
	begin();
	int fd = bound(SOCK_STREAM, path);
	must_be(listen(fd, 5), 0);
	snprintf(address, sizeof(address), "fd:%d", fd);
	must_be(haul_listen(haul, address, &l), 0);
	works(l, path);
	must_be(fcntl(fd, F_GETFL) & O_NONBLOCK, 0); /* its description may be shared */
	haul_listener_close(l);
	must_be(fcntl(fd, F_GETFD), -1);
	must_be(access(path, F_OK), 0); /* whoever bound it removes it */
	must_be(unlink(path), 0);
	end();
}

Test(listen, only_a_listening_unix_stream_is_taken_over)
{
	char address[32];
	int pair[2];
	begin();
	must_be(haul_pair(pair), 0);
	snprintf(address, sizeof(address), "fd:%d", pair[0]);
	refused(address, -EINVAL);
	close(pair[1]);
	close(pair[0]);
	refused(address, -EBADF);
	must_be(pipe2(pair, O_CLOEXEC), 0);
	snprintf(address, sizeof(address), "fd:%d", pair[0]);
	refused(address, -ENOTSOCK);
	must(fcntl(pair[0], F_GETFD) >= 0);
	close(pair[0]);
	close(pair[1]);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must_be(listen(fd, 5), 0);
	snprintf(address, sizeof(address), "fd:%d", fd);
	refused(address, -EPROTOTYPE);
	close(fd);
	end();
}

/* ---- connecting ---- */

Test(listen, connecting_to_nobody_fails_at_once)
{
	struct haul_peer *p = NULL;
	char address[64];
	begin();
	must_be(haul_connect(haul, path, -1, &p), -ENOENT);
	must_be(haul_connect(haul, path, 0, &p), -ENOENT);
	must(*haul_reason() != '\0');
	close(bound(SOCK_STREAM, path));
	must_be(haul_connect(haul, path, -1, &p), -ECONNREFUSED);
	must_be(unlink(path), 0);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	must_be(haul_connect(haul, path, -1, &p), -ECONNREFUSED);
	must_be(unlink(path), 0);
	snprintf(address, sizeof(address), "@haul-test-nobody-%d", (int)getpid());
	must_be(haul_connect(haul, address, -1, &p), -ECONNREFUSED);
	must(p == NULL);
	end();
}

Test(listen, connecting_to_the_deaf_times_out)
{
	struct haul_peer *p = NULL;
	begin();
	int fd = bound(SOCK_STREAM, path);
	must_be(listen(fd, 5), 0);
	must_be(haul_connect(haul, path, SOON_MS, &p), -ETIMEDOUT);
	must_be(haul_connect(haul, path, 0, &p), -EAGAIN);
	haul_interrupt(haul);
	must_be(haul_connect(haul, path, LATE_MS, &p), -EINTR);
	must(p == NULL);
	close(fd);
	must_be(unlink(path), 0);
	end();
}

Test(listen, connecting_to_a_full_backlog_times_out)
{
	int clients[8], n = 0;
	struct haul_peer *p = NULL;
	begin();
	int fd = bound(SOCK_STREAM, path);
	must_be(listen(fd, 0), 0);
	while (n < 8 && (clients[n] = connected(path)) >= 0)
		n++;
	must(n < 8);
	must_be(haul_connect(haul, path, SOON_MS, &p), -ETIMEDOUT);
	must(*haul_reason() != '\0');
	must_be(haul_connect(haul, path, 0, &p), -EAGAIN);
	haul_interrupt(haul);
	must_be(haul_connect(haul, path, LATE_MS, &p), -EINTR);
	must(p == NULL);
	while (n > 0)
		close(clients[--n]);
	close(fd);
	must_be(unlink(path), 0);
	end();
}

/* The backlog's owner wakes up when told, which is while the other retries. */
static int accept_later(void *arg)
{
	int fd = *(int *)arg;
	struct haul *h;
	struct haul_listener *l;
	struct haul_peer *p;
	char address[32], got[4];
	must_in_child();
	must_be(raise(SIGSTOP), 0);
	snprintf(address, sizeof(address), "fd:%d", fd);
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_listen(h, address, &l), 0);
	must_be(haul_accept(l, LATE_MS, &p), 0);
	must_be(haul_recv(h, NULL, got, sizeof(got), LATE_MS, NULL), 3);
	must_be(haul_close(h, LATE_MS), 0);
	return 0;
}

static struct child sleeper;

static void wake_sleeper(int signal)
{
	(void)signal;
	kill(sleeper.pid, SIGCONT);
}

Test(listen, connecting_succeeds_when_the_backlog_has_room_again)
{
	int clients[8], n = 0;
	struct haul_peer *p;
	begin();
	int fd = bound(SOCK_STREAM, path);
	must_be(listen(fd, 0), 0);
	while (n < 8 && (clients[n] = connected(path)) >= 0)
		n++;
	must(n < 8);
	child_start(&sleeper, CHILD_MS, accept_later, &fd);
	close(fd);
	signal(SIGALRM, wake_sleeper);
	alarm(1); /* by then we are in the call, or else it is easier for us */
	must_be(haul_connect(haul, path, LATE_MS, &p), 0);
	must_be(haul_send(p, 1, "yes", 3, LATE_MS), 0);
	must_be(haul_peer_close(p, LATE_MS), 0);
	child_expect(&sleeper, 0);
	while (n > 0)
		close(clients[--n]);
	must_be(unlink(path), 0);
	end();
}

Test(listen, accepting_waits_as_long_as_it_is_told)
{
	struct haul_listener *l;
	struct haul_peer *p = NULL;
	begin();
	must_be(haul_listen(haul, path, &l), 0);
	must_be(haul_accept(l, 0, &p), -EAGAIN);
	must_be(haul_accept(l, SOON_MS, &p), -ETIMEDOUT);
	haul_interrupt(haul);
	must_be(haul_accept(l, LATE_MS, &p), -EINTR);
	must_be(haul_accept(l, 0, &p), -EAGAIN);
	must(p == NULL);
	end();
}

/* A peer that connected and was not yet accepted goes with the listener. */
Test(listen, closing_drops_those_not_accepted)
{
	struct haul_listener *l;
	struct haul *other;
	struct haul_req *adopt;
	begin();
	must_be(haul_listen(haul, path, &l), 0);
	must_be(haul_open(&other, NULL, 0), 0);
	int fd = connected(path);
	must_be(haul_iadopt(other, fd, &adopt), 0);
	while (haul_req_test(adopt) != 0)
		haul_progress(haul);
	haul_listener_close(l);
	struct haul_status status;
	must_be(haul_req_finish(adopt, &status), 0);
	must_be(haul_recv(other, &(struct haul_match){ .from = status.peer, .ignore = UINT64_MAX }, NULL, 0,
	            LATE_MS, NULL),
	    -ECONNRESET);
	must_be(haul_close(other, 0), 0);
	end();
}

/* ---- the last hope ---- */

/* A receive from anybody, which waits for as long as somebody may come. */
static struct haul_req *receive_from_anybody(void)
{
	struct haul_req *r;
	must_be(haul_irecv(haul, NULL, NULL, 0, &r), 0);
	must_be(haul_req_test(r), -EINPROGRESS);
	return r;
}

static void is_hopeless(struct haul_req *r)
{
	must_be(haul_req_wait(r, LATE_MS), 0);
	must_be(haul_req_finish(r, NULL), -EPIPE);
}

Test(listen, a_receive_ends_when_the_last_connect_or_adopt_is_given_up)
{
	struct haul_req *coming, *r;
	int pair[2];
	begin();
	int fd = bound(SOCK_STREAM, path);
	must_be(listen(fd, 5), 0);
	must_be(haul_pair(pair), 0);
	for (int i = 0; i < 4; i++) {
		if (i < 2)
			must_be(haul_iconnect(haul, path, &coming), 0);
		else
			must_be(haul_iadopt(haul, dup(pair[0]), &coming), 0);
		r = receive_from_anybody();
		must_be(i % 2 == 0 ? haul_req_cancel(coming) : haul_req_deadline(coming, SOON_MS), 0);
		is_hopeless(r);
		must_be(haul_req_finish(coming, NULL), i % 2 == 0 ? -ECANCELED : -ETIMEDOUT);
	}
	must_be(haul_iadopt(haul, dup(pair[0]), &coming), 0);
	r = receive_from_anybody();
	haul_req_free(coming);
	is_hopeless(r);
	close(fd);
	close(pair[0]);
	close(pair[1]);
	must_be(unlink(path), 0);
	end();
}

Test(listen, a_receive_ends_when_the_last_connect_finds_nobody_any_more)
{
	struct haul_req *coming, *r;
	int clients[8], n = 0;
	begin();
	int fd = bound(SOCK_STREAM, path);
	must_be(listen(fd, 0), 0);
	while (n < 8 && (clients[n] = connected(path)) >= 0)
		n++;
	must(n < 8);
	must_be(haul_iconnect(haul, path, &coming), 0); /* it will try again */
	r = receive_from_anybody();
	close(fd);
	is_hopeless(r);
	must_be(haul_req_finish(coming, NULL), -ECONNREFUSED);
	while (n > 0)
		close(clients[--n]);
	must_be(unlink(path), 0);
	end();
}

Test(listen, a_receive_ends_when_the_last_listener_goes_with_a_peer_not_accepted)
{
	struct haul_listener *l;
	struct haul *other;
	struct haul_req *adopt, *r;
	begin();
	must_be(haul_listen(haul, path, &l), 0);
	must_be(haul_open(&other, NULL, 0), 0);
	must_be(haul_iadopt(other, connected(path), &adopt), 0);
	r = receive_from_anybody();
	while (haul_req_test(adopt) != 0)
		must(haul_progress(haul) >= 0);
	must_be(haul_req_finish(adopt, NULL), 0);
	must_be(haul_req_test(r), -EINPROGRESS);
	haul_listener_close(l);
	is_hopeless(r);
	must_be(haul_close(other, 0), 0);
	end();
}
