/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who connects to a member, and is none: it is met as nobody, and does not keep the members from each other.
 */
#include <criterion/criterion.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/crew.h"
#include "lib/rawpeer.h"

TestSuite(group_strangers, .timeout = 60);

enum { T = CREW_PATIENCE_MS };

static unsigned char a[8];

/* Another job's member, or somebody else altogether, may connect, and is nobody. */
static void meet_strangers(struct haul_group *g, const void *arg)
{
	struct haul *h;
	struct haul_peer *p;
	struct haul_group *wrong;
	char left[64], here[64];
	(void)arg;
	must_be(haul_open(&h, NULL, 0), 0);
	if (crew_rank() == 0) {
		must_be(crew_init(h, &g), 0);
		crew_say();
		must_be(haul_barrier(g, T), 0);
		crew_close(h, g);
		return;
	}
	/* Rank 1 lives twice: here, as one of three, whom rank 0 does not know. */
	crew_heed();
	snprintf(here, sizeof(here), "@stranger-%d", (int)getpid());
	snprintf(left, sizeof(left), "%s", crew_address(0));
	const char *three[] = { left, here, "@nobody" };
	struct haul_group_options o = { .rank = 1, .size = 3, .addresses = three };
	must_be(haul_group_init(h, &o, sizeof(o), &wrong), 0);
	must_be(haul_group_send(wrong, 0, 0, a, 1, T), -ECONNRESET);
	must_be(haul_connect(h, left, T, &p), 0);
	must_be(haul_send(p, 0, a, 1, T), 0);
	must_be(haul_group_free(wrong, 100), 0);
	must_be(haul_close(h, 100), 0);
	g = crew_open(&h);
	must_be(haul_barrier(g, T), 0);
	crew_close(h, g);
}

Test(group_strangers, who_is_no_member_is_not_taken_for_one)
{
	struct crew c;
	crew_start(&c, 2, &(struct crew_options){ .bare = true }, meet_strangers, NULL);
	crew_await(&c, 0);
	crew_go(&c, 1);
	crew_end(&c);
}

/* ---- a crowd of them ---- */

enum { MANY = 12, AT_A_TIME = 3 };

static const struct haul_options few = { .handshakes = AT_A_TIME, .handshake_ms = 50 };

static int connect_raw(const char *name)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	must(fd >= 0);
	memcpy(un.sun_path, name, len);
	un.sun_path[0] = '\0'; /* the '@' */
	must(connect(fd, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) ==
	    0);
	return fd;
}

/* They don't even greet. All but the last few are hung up on; these may stay. */
static void be_silent(const char *name)
{
	struct pollfd fds[MANY];
	for (int i = 0; i < MANY; i++)
		fds[i] = (struct pollfd){ .fd = connect_raw(name), .events = POLLRDHUP };
	for (int i = 0; i <= MANY - AT_A_TIME; i++) {
		must_note_case("silent one %d", i);
		must_be(poll(&fds[i], 1, T), 1);
	}
	for (int i = 0; i < MANY; i++)
		close(fds[i].fd);
}

/* They do, but don't say which member they are. */
static void be_nameless(const char *name)
{
	struct haul *h;
	struct haul_peer *p;
	struct haul_req *ends[MANY];
	must_be(haul_open(&h, NULL, 0), 0);
	for (int i = 0; i < MANY; i++) {
		must_be(haul_connect(h, name, T, &p), 0);
		must_be(haul_peer_watch(p, &ends[i]), 0);
	}
	/* So many are being met, and as many wait for that. */
	for (int i = 0; i <= MANY - 2 * AT_A_TIME; i++) {
		must_note_case("nameless one %d", i);
		must_be(haul_req_wait(ends[i], T), 0);
	}
	must(haul_close(h, 0) <= 0);
}

static void meet_a_crowd(struct haul_group *g, const void *arg)
{
	struct haul *h;
	(void)arg;
	if (crew_rank() == 0) {
		g = crew_open(&h);
		crew_meet_in(h);
		must_be(haul_barrier(g, T), 0);
		crew_close(h, g);
		return;
	}
	crew_heed(); /* the other listens */
	be_silent(crew_address(0));
	be_nameless(crew_address(0));
	g = crew_open(&h);
	crew_say();
	must_be(haul_barrier(g, T), 0);
	crew_close(h, g);
}

Test(group_strangers, many_of_them_have_a_moment_each_and_the_members_meet_all_the_same)
{
	struct crew c;
	crew_start(&c, 2, &(struct crew_options){ .bare = true, .options = &few }, meet_a_crowd, NULL);
	crew_await(&c, 0);
	crew_go(&c, 1);
	crew_await(&c, 1);
	crew_go(&c, 0);
	crew_end(&c);
}

/* ---- one who leaves ---- */

static const struct haul_options patient = { .handshakes = AT_A_TIME, .handshake_ms = 1000 * T };

static uint32_t number_at(const unsigned char *at)
{
	uint32_t number;
	memcpy(&number, at, sizeof(number));
	return le32toh(number);
}

/* HELLO, and why that was all. */
static void must_be_told(int fd)
{
	unsigned char said[200], *reject = said + WIRE_HELLO_SIZE;
	size_t len = 0;
	for (ssize_t n; (n = read(fd, said + len, sizeof(said) - len)) > 0;)
		len += (size_t)n;
	must_be(len, WIRE_HELLO_SIZE + WIRE_HEADER_SIZE + WIRE_REJECT_SIZE);
	must_be(reject[0], WIRE_REJECT);
	must_be(number_at(reject + WIRE_HEADER_SIZE), EPIPE);
	close(fd);
}

/* They are more than it would take at a time, and say nothing. */
static void leave_with_some_at_the_door(struct haul_group *g, const void *arg)
{
	int silent[MANY];
	struct haul *h;
	(void)arg;
	g = crew_open(&h);
	must_be(haul_barrier(g, T), 0);
	if (crew_rank() == 1) {
		crew_close(h, g);
		return;
	}
	for (int i = 0; i < MANY; i++)
		silent[i] = connect_raw(crew_address(0));
	must_be(haul_group_free(g, -1), 0);
	for (int i = 0; i < MANY; i++)
		must_be_told(silent[i]);
	must_be(haul_close(h, T), 0);
}

Test(group_strangers, who_leaves_does_not_wait_for_who_says_nothing)
{
	crew_run(2, &(struct crew_options){ .bare = true, .options = &patient }, leave_with_some_at_the_door,
	    NULL);
}
