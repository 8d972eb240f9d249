/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections by the thousand that end, or get nowhere, at each stage of the handshake: those who mean it are served
 * among them, and nothing is left behind.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <haul/haul.h>

#include "lib/child.h"
#include "lib/fds.h"
#include "lib/handmade.h"
#include "lib/must.h"

TestSuite(hostile_crowd, .timeout = 120);

enum { LATE_MS = 20000, CHILD_MS = 60000, HALF_OPEN = 2000, GOOD = 10, TAG = 5, KIB = 1024 };

static const char *unique(char *address, size_t size)
{
	snprintf(address, size, "@haul-hostile-%d", (int)getpid());
	return address;
}

/* -1: the backlog is full. */
static int try_connect(const char *address)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	must(fd >= 0);
	memcpy(a.sun_path + 1, address + 1, strlen(address) - 1);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address));
	if (connect(fd, (struct sockaddr *)&a, len) == 0)
		return fd;
	must_be(errno, EAGAIN);
	close(fd);
	return -1;
}

/* One exchange with the listener. False: it was too late for the handshake, where much goes on. */
static bool knock_once(const char *address)
{
	struct haul *h;
	struct haul_peer *p;
	must_be(haul_open(&h, NULL, 0), 0);
	bool done = haul_connect(h, address, LATE_MS, &p) == 0 &&
	    haul_send(p, TAG, "here", 4, LATE_MS) == 0 && haul_recv(h, NULL, NULL, 0, LATE_MS, NULL) == 0;
	haul_close(h, done ? LATE_MS : 0);
	return done;
}

static int knock(void *arg)
{
	must_in_child();
	for (int done = 0; done < GOOD;)
		done += knock_once(arg);
	return 0;
}

/* Some silent, some in the middle of their HELLO, some gone at once, the good ones among them. */
Test(hostile_crowd, thousands_of_half_open_connections_let_the_good_ones_in)
{
	struct haul_options o = { .handshakes = 64, .handshake_ms = 100 };
	struct rlimit files;
	static int fds[HALF_OPEN];
	uint8_t hello[WIRE_HELLO_SIZE];
	char address[64], got[8];
	struct haul *h;
	struct haul_listener *l;
	struct haul_peer *p;
	struct child c;
	must_be(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	must_be(setrlimit(RLIMIT_NOFILE, &files), 0);
	int count = files.rlim_max > 2 * HALF_OPEN ? HALF_OPEN : (int)files.rlim_max / 4,
	    before = fds_count();
	raw_hello_bytes(hello, WIRE_VERSION_MIN, WIRE_VERSION_MAX);
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	must_be(haul_listen(h, unique(address, sizeof(address)), &l), 0);
	child_start(&c, CHILD_MS, knock, address);
	for (int i = 0, good = 0; i < count || good < GOOD;) {
		if (i < count && (fds[i] = try_connect(address)) >= 0) {
			if (i % 3 == 1)
				must(send(fds[i], hello, (size_t)(i % WIRE_HELLO_SIZE), MSG_NOSIGNAL) >= 0);
			if (i % 3 == 2)
				must_be(shutdown(fds[i], SHUT_WR), 0);
			i++;
		}
		if (haul_accept(l, 0, &p) == 0) {
			must_be(haul_recv(h, &(struct haul_match){ .from = p, .tag = TAG }, got, 8, LATE_MS,
			            NULL),
			    4);
			must_be(haul_send(p, 0, NULL, 0, LATE_MS), 0);
			must_be(haul_peer_close(p, LATE_MS), 0);
			good++;
		}
	}
	child_expect(&c, 0);
	for (int i = 0; i < count; i++)
		close(fds[i]);
	must_be(haul_close(h, 0), 0);
	fds_expect(before);
}

/* At any stage of the handshake, and after it. */
Test(hostile_crowd, connections_made_and_broken_by_the_thousand_leave_nothing)
{
	enum { TIMES = 2000 };
	static struct raw raw;
	static struct handmade m;
	handmade_start(&m, NULL);
	int before = fds_count();
	for (int i = 0; i < TIMES; i++) {
		struct haul_req *adopt;
		struct haul_status status;
		int pair[2];
		must_be(haul_pair(pair), 0);
		raw = (struct raw){ .fd = pair[1], .drive = m.haul };
		must_be(haul_iadopt(m.haul, pair[0], &adopt), 0);
		must(i % 5 < 1 || raw_hello(&raw));
		must(i % 5 < 2 || raw_granted(&raw));
		must(i % 5 < 3 || raw_verdict(&raw));
		must(i % 5 < 4 || raw_ready(&raw));
		close(raw.fd);
		must_be(haul_req_wait(adopt, LATE_MS), 0);
		int rc = haul_req_finish(adopt, &status);
		must_be(rc, i % 5 < 4 ? -ECONNRESET : 0);
		must_be(haul_peer_close(status.peer, 0), 0);
	}
	handmade_settle(&m);
	must_be(fds_count(), before);
	must(handmade_grown(&m) < 64 * KIB);
	handmade_kept(&m);
}
