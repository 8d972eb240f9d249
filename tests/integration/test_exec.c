/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer that becomes another program while a message of its is described: with the same pid, and with other bytes
 * at the very same addresses, which are never delivered. The other program is this one again, started without
 * address randomisation both times; what it is to be then stands in its environment.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/rawpeer.h"

TestSuite(exec, .timeout = 60);

enum {
	SOON_MS = 20,
	LATE_MS = 20000,
	CHILD_MS = 50000,
	LEN = 40 << 20, /* three pieces of a pull */
	LOOK = 4096,
	TAG_WHERE = 1,
	TAG = 2,
	RIGHT = 1, /* seeds: the payload of the one program, and what the other has in its place */
	WRONG = 2
};

#define OLD "old"
#define NEW "new"
#define VARIABLE "HAUL_TEST_EXEC"

enum kind {
	LIBRARY, /* a peer as it should be */
	STRAY,   /* its child keeps the socket */
	INHERIT  /* made by hand; it lets the other program have the socket */
};

struct role {
	char program[8];
	int kind, fd, go, ready; /* the socket; pipes */
};

/* ---- both programs ---- */

static uint8_t payload[LEN];
static uint64_t cell;
static const uint64_t cookie = 0x0123456789abcdef;

static void become(struct role *r, const char *program)
{
	char words[64];
	snprintf(words, sizeof(words), "%s %d %d %d %d", program, r->kind, r->fd, r->go, r->ready);
	must_be(setenv(VARIABLE, words, 1), 0);
	execl("/proc/self/exe", "test_exec", (char *)NULL);
	must(!"reached");
}

static void tell(int fd)
{
	must_be(write(fd, "x", 1), 1);
}

static void hear(int fd)
{
	char byte;
	must_be(read(fd, &byte, 1), 1);
}

/* Describes the payload, of whatever program, by the same steps in both. */
static void describe(int fd)
{
	struct haul *h;
	struct haul_peer *p;
	struct haul_req *r;
	struct iovec iov = { .iov_base = payload, .iov_len = LEN };
	uint64_t where = (uintptr_t)payload;
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_adopt(h, fd, LATE_MS, &p), 0);
	must_be(haul_send(p, TAG_WHERE, &where, sizeof(where), LATE_MS), 0);
	must_be(haul_isend(p, TAG, &iov, 1, 0, &r), 0);
	while (haul_progress(h) > 0)
		;
}

static void describe_by_hand(int fd)
{
	static struct raw raw;
	uint64_t where = (uintptr_t)payload;
	uint8_t body[WIRE_DESC_SIZE + WIRE_RANGE_SIZE] = { 0 };
	raw.fd = fd;
	cell = cookie;
	raw_put(body, TAG, 8);
	raw_put(body + 8, UINT64_C(1) << 32, 8);
	raw_put(body + 20, 1, 4);
	raw_put(body + 24, LEN, 8);
	raw_put(body + 32, (uintptr_t)&cell, 8);
	raw_put(body + 40, cookie, 8);
	raw_put(body + 64, (uintptr_t)payload, 8);
	raw_put(body + 72, LEN, 8);
	must(raw_greet(&raw));
	must(raw_send_eager(&raw, TAG_WHERE, &where, sizeof(where)));
	must(raw_send_frame(&raw, WIRE_DESC, 0, body, sizeof(body)));
}

static void leave_a_stray(struct role *r)
{
	char byte;
	if (fork() != 0)
		return;
	close(r->ready);
	while (read(r->go, &byte, 1) > 0) /* until the test closes it */
		;
	_exit(0);
}

static void be_old(struct role *r)
{
	pattern_fill(payload, LEN, RIGHT, 0);
	if (r->kind == INHERIT)
		describe_by_hand(r->fd);
	else
		describe(r->fd);
	hear(r->go);
	if (r->kind == STRAY)
		leave_a_stray(r);
	become(r, NEW);
}

/* Another life of the same program offers something to somebody else. The right peer is told what was not asked
 * for: that its message was given up. */
static void be_new(struct role *r)
{
	static struct raw_frame f;
	static struct raw raw;
	int ends[2];
	pattern_fill(payload, LEN, WRONG, 0);
	if (r->kind != INHERIT) {
		must_be(haul_pair(ends), 0);
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			raw.fd = ends[1];
			raw_greet(&raw);
			pause();
		}
		describe(ends[0]);
	}
	tell(r->ready);
	if (r->kind == INHERIT) {
		raw.fd = r->fd;
		raw_next(&raw, &f);
		must_be(f.type, WIRE_CANCELED);
		must_be(raw_get(f.body, 8), UINT64_C(1) << 32);
	}
	pause();
}

static void __attribute__((constructor)) begin(void)
{
	struct role r;
	const char *words = getenv(VARIABLE);
	if (words == NULL)
		return;
	must_in_child();
	must_be(sscanf(words, "%7s %d %d %d %d", r.program, &r.kind, &r.fd, &r.go, &r.ready), 5);
	if (strcmp(r.program, OLD) == 0)
		be_old(&r);
	else
		be_new(&r);
	_exit(0);
}

static int start_old(void *arg)
{
	struct role *r = arg;
	must_in_child();
	must_be(fcntl(r->fd, F_SETFD, 0), 0);
	become(r, OLD);
	return 1;
}

/* ---- the receiver ---- */

static uint8_t into[LEN];

struct scene {
	struct haul *h;
	struct haul_peer *p;
	struct child c;
	uint64_t where; /* the payload's address in both programs */
	int go[2], ready[2];
};

static void meet(struct scene *s, enum kind kind)
{
	int ends[2];
	struct haul_status status;
	if (personality(ADDR_NO_RANDOMIZE) < 0) /* of whatever is started from here */
		cr_skip_test("addresses are random, and may not be otherwise");
	must_be(haul_pair(ends), 0);
	must_be(pipe(s->go), 0);
	must_be(pipe(s->ready), 0);
	must_be(fcntl(ends[0], F_SETFD, FD_CLOEXEC), 0);
	must_be(fcntl(s->go[1], F_SETFD, FD_CLOEXEC), 0);
	struct role r = { .kind = (int)kind, .fd = ends[1], .go = s->go[0], .ready = s->ready[1] };
	child_start(&s->c, CHILD_MS, start_old, &r);
	close(ends[1]);
	must_be(haul_open(&s->h, NULL, 0), 0);
	must_be(haul_adopt(s->h, ends[0], LATE_MS, &s->p), 0);
	must_be(haul_recv(s->h, &(struct haul_match){ .tag = TAG_WHERE }, &s->where, sizeof(s->where),
	            LATE_MS, NULL),
	    sizeof(s->where));
	must_be(haul_probe(s->h, &(struct haul_match){ .tag = TAG }, LATE_MS, &status), 0);
	must_be(status.len, LEN);
}

static void let_it_exec(struct scene *s)
{
	static uint8_t there[LOOK];
	struct iovec local = { .iov_base = there, .iov_len = LOOK };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)s->where, .iov_len = LOOK };
	tell(s->go[1]);
	hear(s->ready[0]);
	must_be(process_vm_readv(s->c.pid, &local, 1, &remote, 1, 0), LOOK);
	must_hold(there, LOOK, WRONG, 0);
}

static void check_end(struct scene *s, enum kind kind, ssize_t n)
{
	struct haul_match from = { .from = s->p, .ignore = UINT64_MAX };
	must(n == -ECANCELED || n == -ECONNRESET);
	if (kind == LIBRARY) /* its end of the socket is closed */
		must_be(haul_recv(s->h, &from, NULL, 0, LATE_MS, NULL), -ECONNRESET);
	else /* nothing tells of a death, and there is none */
		must_be(haul_recv(s->h, &from, NULL, 0, SOON_MS, NULL), -ETIMEDOUT);
	child_signal(&s->c, SIGKILL);
	child_expect_killed(&s->c, SIGKILL);
	must_be(haul_recv(s->h, &from, NULL, 0, LATE_MS, NULL), -ECONNRESET);
	must_be(haul_close(s->h, LATE_MS), 0);
	for (int i = 0; i < 2; i++) {
		close(s->go[i]);
		close(s->ready[i]);
	}
}

static void receive_after(enum kind kind)
{
	struct scene s;
	meet(&s, kind);
	let_it_exec(&s);
	check_end(&s, kind, haul_recv(s.h, &(struct haul_match){ .tag = TAG }, into, LEN, LATE_MS, NULL));
}

static void receive_across(enum kind kind)
{
	struct scene s;
	struct haul_req *r;
	struct iovec iov = { .iov_base = into, .iov_len = LEN };
	meet(&s, kind);
	must_be(haul_irecv(s.h, &(struct haul_match){ .tag = TAG }, &iov, 1, &r), 0);
	must_be(haul_progress(s.h), 1);
	must_be(haul_req_finish(r, NULL), -EINPROGRESS);
	must_hold(into, LOOK, RIGHT, 0);
	let_it_exec(&s);
	must_be(haul_req_wait(r, LATE_MS), 0);
	check_end(&s, kind, haul_req_finish(r, NULL));
}

Test(exec, before_a_receive_delivers_nothing)
{
	receive_after(LIBRARY);
}

Test(exec, before_a_receive_delivers_nothing_though_a_stray_child_holds_the_socket)
{
	receive_after(STRAY);
}

Test(exec, before_a_receive_delivers_nothing_though_the_program_has_the_socket)
{
	receive_after(INHERIT);
}

Test(exec, in_mid_receive_delivers_nothing)
{
	receive_across(LIBRARY);
}

Test(exec, in_mid_receive_delivers_nothing_though_a_stray_child_holds_the_socket)
{
	receive_across(STRAY);
}

Test(exec, in_mid_receive_delivers_nothing_though_the_program_has_the_socket)
{
	receive_across(INHERIT);
}
