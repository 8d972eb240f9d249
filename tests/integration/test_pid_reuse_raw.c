/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pid of a peer made by hand goes to another process: during the handshake, where the other even goes on with
 * it over the same socket, and between a descriptor and its pull, with all that the other may have where the grant
 * cell was. The receiver is the first process of a pid namespace, and holds the peer's end of the socket too.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <haul/haul.h>

#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/pidns.h"
#include "lib/rawpeer.h"

TestSuite(pid_reuse_raw, .timeout = 60);

enum { LATE_MS = 20000, NAMESPACE_MS = 50000, LEN = 1 << 20, ID = 1, TAG = 5, RIGHT = 1, WRONG = 2 };

static struct raw raw;
static int ends[2];
static int to_receiver[2]; /* a pipe */

static void tell(void)
{
	must_be(write(to_receiver[1], "x", 1), 1);
}

/* Makes progress or, without a context, just waits. */
static void hear(struct haul *h)
{
	struct pollfd p = { .fd = to_receiver[0], .events = POLLIN };
	char byte;
	while (h != NULL && poll(&p, 1, 0) == 0)
		haul_progress(h);
	must_be(read(to_receiver[0], &byte, 1), 1);
}

static void open_all(void)
{
	must_be(pipe2(to_receiver, O_CLOEXEC), 0);
	must_be(haul_pair(ends), 0);
	raw.fd = ends[1];
}

/* ---- during the handshake ---- */

enum step { HELLO, GRANTED, VERDICT, READY };

static enum step last; /* that the peer lives to take */
static bool unread;    /* until the pid is another's, the receiver reads nothing */

static void say(enum step step)
{
	uint8_t body[WIRE_VERDICT_SIZE] = { 0 };
	if (step == GRANTED) {
		raw_put(body, (uintptr_t)&raw.answer, WIRE_GRANTED_SIZE);
		must(raw_send_frame(&raw, WIRE_GRANTED, 0, body, WIRE_GRANTED_SIZE));
	} else if (step == VERDICT) {
		must(raw_send_frame(&raw, WIRE_VERDICT, 0, body, WIRE_VERDICT_SIZE));
	} else {
		must(raw_send_frame(&raw, WIRE_READY, 0, NULL, 0));
	}
}

static void begin(void)
{
	static bool (*const steps[])(struct raw *) = { raw_hello, raw_granted, raw_verdict };
	must(raw_hello(&raw));
	for (enum step s = GRANTED; s <= last; s++) {
		if (unread)
			say(s);
		else
			must(steps[s](&raw));
	}
	tell();
}

static void stay_away(void)
{
	tell();
}

/* It has the right pid and the right answer. */
static void go_on(void)
{
	for (enum step s = last + 1; s <= READY; s++)
		say(s);
	raw_send_eager(&raw, TAG, "mine", 4);
	tell();
}

static void (*heir)(void);

static int greet(void)
{
	struct haul *h;
	struct haul_req *adopt;
	struct haul_status status;
	open_all();
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_iadopt(h, ends[0], &adopt), 0);
	pidns_birth(begin);
	hear(unread ? NULL : h);
	pidns_kill();
	pidns_birth(heir);
	hear(NULL);
	must_be(haul_req_wait(adopt, LATE_MS), 0);
	int rc = haul_req_finish(adopt, &status);
	must(rc == -ECONNRESET || rc == -EACCES);
	must(status.peer == NULL);
	must_be(haul_recv(h, NULL, NULL, 0, LATE_MS, NULL), -EPIPE);
	must_be(haul_close(h, LATE_MS), 0);
	return 0;
}

static void greet_each_way(void (*who)(void))
{
	heir = who;
	for (last = HELLO; last <= VERDICT; last++) {
		unread = false;
		pidns_run(greet, NAMESPACE_MS);
	}
	for (last = HELLO; last <= GRANTED; last++) {
		unread = true;
		pidns_run(greet, NAMESPACE_MS);
	}
}

Test(pid_reuse_raw, during_the_handshake_ends_it)
{
	greet_each_way(stay_away);
}

Test(pid_reuse_raw, by_a_process_that_goes_on_with_the_handshake_ends_it)
{
	greet_each_way(go_on);
}

/* ---- between a descriptor and its pull ---- */

static uint8_t *payload;
static uint64_t *cell;
static void (*spoil)(void);

static const uint64_t cookie = 0x0123456789abcdef;

static void put_zero(void)
{
	*cell = 0;
}

static void put_another(void)
{
	*cell = cookie + 1;
}

static void put_nothing(void)
{
	must_be(munmap(cell, 4096), 0);
}

static void describe(void)
{
	uint8_t body[WIRE_DESC_SIZE + WIRE_RANGE_SIZE] = { 0 };
	*cell = cookie;
	pattern_fill(payload, LEN, RIGHT, 0);
	raw_put(body, TAG, 8);
	raw_put(body + 8, (uint64_t)ID << 32, 8);
	raw_put(body + 20, 1, 4);
	raw_put(body + 24, LEN, 8);
	raw_put(body + 32, (uintptr_t)cell, 8);
	raw_put(body + 40, cookie, 8);
	raw_put(body + 64, (uintptr_t)payload, 8);
	raw_put(body + 72, LEN, 8);
	must(raw_greet(&raw));
	must(raw_send_frame(&raw, WIRE_DESC, 0, body, sizeof(body)));
}

static void have_other_bytes(void)
{
	pattern_fill(payload, LEN, WRONG, 0);
	spoil();
	tell();
}

static int receive(void)
{
	static uint8_t into[LEN];
	struct haul *h;
	struct haul_peer *p;
	struct haul_status status;
	open_all();
	payload = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cell = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(payload != MAP_FAILED && cell != MAP_FAILED);
	must_be(haul_open(&h, NULL, 0), 0);
	pidns_birth(describe);
	must_be(haul_adopt(h, ends[0], LATE_MS, &p), 0);
	must_be(haul_probe(h, NULL, LATE_MS, &status), 0);
	pidns_kill();
	pidns_birth(have_other_bytes);
	hear(NULL);
	ssize_t n = haul_recv(h, NULL, into, LEN, LATE_MS, NULL);
	must(n == -ECANCELED || n == -ECONNRESET);
	must_be(haul_recv(h, &(struct haul_match){ .from = p }, NULL, 0, LATE_MS, NULL), -ECONNRESET);
	must_be(haul_close(h, LATE_MS), 0);
	return 0;
}

Test(pid_reuse_raw, by_a_process_with_anything_in_the_cell_delivers_nothing)
{
	static void (*const ways[])(void) = { put_zero, put_another, put_nothing };
	for (int i = 0; i < 3; i++) {
		spoil = ways[i];
		pidns_run(receive, NAMESPACE_MS);
	}
}
