/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens in the middle of a push's write: the trigger stands still there, while another thread goes on with
 * the context. The peer is made by hand (lib/handmade.h).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <haul/haul.h>

#include "lib/fault.h"
#include "lib/handmade.h"
#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(fault_push, .timeout = 60);

enum { LEN = 100000, ROUNDS = 1000, LATE_MS = 20000 };

static const struct haul_options options = { .push = 1 };
static const uint64_t cookie = 0x6b6f6f6b69652121;
static uint64_t cell, landing_cell;
static struct handmade m;
static unsigned char payload[LEN], room[LEN];
static struct haul_req *receive;

static void begin_as(bool impostor)
{
	cell = landing_cell = cookie;
	handmade_start_as(&m, &options, &(struct raw){ .features = WIRE_FEATURE_PUSH, .impostor = impostor });
}

static void put_desc(uint64_t tag, void *buf)
{
	struct handmade_desc d = { .tag = tag,
		.id = WIRE_ID(0, 1),
		.len = LEN,
		.cell = (uintptr_t)&cell,
		.cookie = cookie,
		.count = 1,
		.ranges = { { buf, LEN } } };
	handmade_describe(&m, &d);
}

static void put_grant(uint64_t id, void *into)
{
	handmade_say(&m, WIRE_GRANT, 0,
	    "888844"
	    "88",
	    id, 0, (uintptr_t)&landing_cell, cookie, 1, 0, (uintptr_t)into, LEN);
}

static void *until_it_has_ended(void *arg)
{
	struct haul_peer_info info = { .alive = 1 };
	(void)arg;
	for (int i = 0; i < ROUNDS && info.alive; i++) {
		must(haul_progress(m.haul) >= 0);
		must_be(haul_peer_info(m.peer, &info, sizeof(info)), 0);
	}
	must_be(info.alive, 0);
	return NULL;
}

static void *until_it_grants(void *arg)
{
	struct haul_peer_info info = { 0 };
	(void)arg;
	for (int i = 0; i < ROUNDS && info.in_error == 0; i++) {
		must(haul_progress(m.haul) >= 0);
		must_be(haul_peer_info(m.peer, &info, sizeof(info)), 0);
	}
	must_be(info.in_path, HAUL_PATH_PUSH);
	while (haul_progress(m.haul) > 0)
		;
	return NULL;
}

static void meanwhile(void *(*act)(void *arg))
{
	pthread_t other;
	must_be(pthread_create(&other, NULL, act, NULL), 0);
	must_be(pthread_join(other, NULL), 0);
}

/* The context can no longer pull, so it grants. */
static void have_it_grant(void)
{
	put_desc(2, payload);
	meanwhile(until_it_grants);
	m.raw.drive = NULL; /* not by this thread */
	handmade_await(&m, WIRE_GRANT);
	m.raw.drive = m.haul;
}

struct breach {
	bool granted; /* the context is to have granted, too, by then */
	bool done;
};

/* In the place of the write, with the lock given up: the peer breaks the protocol, and hears what comes of it. */
static int break_it(const char *name, long first, void *arg)
{
	static const uint8_t nonsense[WIRE_HEADER_SIZE] = { 255 };
	struct breach *b = arg;
	char byte;
	(void)first;
	if (strcmp(name, "process_vm_readv") == 0)
		return b->done ? EPERM : 0;
	b->done = true;
	if (b->granted)
		have_it_grant();
	must(raw_send(&m.raw, nonsense, sizeof(nonsense)));
	meanwhile(until_it_has_ended);
	ssize_t n;
	while ((n = recv(m.raw.fd, &byte, 1, MSG_DONTWAIT)) > 0)
		;
	must_be(n, -1); /* an end of file would say that nothing is written any more */
	must_be(errno, EAGAIN);
	return 0;
}

/* The descriptor stays the helper's to close. */
static void hang_up(void)
{
	must(shutdown(m.raw.fd, SHUT_RDWR) == 0 || errno == ENOTCONN);
}

static void violate_in_mid_write(bool granted)
{
	unsigned char *buf = filled(LEN, 1), *into = room_for(LEN);
	struct breach b = { .granted = granted };
	struct haul_req *send;
	begin_as(false);
	must_be(haul_isend(m.peer, 1, &(struct iovec){ buf, LEN }, 1, 0, &send), 0);
	uint64_t id = raw_get(handmade_next(&m, WIRE_DESC)->body + 8, 8);
	if (granted)
		must_be(haul_irecv(m.haul, &(struct haul_match){ .tag = 2 }, &(struct iovec){ room, LEN }, 1,
		            &receive),
		    0);
	put_grant(id, into);
	fault_arm(&(struct fault){ .action = FAULT_ASK,
	    .nth = 1,
	    .lasting = true,
	    .only = "process_vm_readv process_vm_writev",
	    .all_threads = true,
	    .hook = break_it,
	    .arg = &b });
	for (int i = 0; i < ROUNDS && !b.done; i++)
		haul_progress(m.haul);
	fault_disarm();
	must(b.done);
	must_hold(into, LEN, 1, 0);
	must_be(haul_req_finish(send, NULL), -EPROTO);
	must(raw_hung_up(&m.raw));
	if (granted)
		must_be(haul_req_test(receive), -EINPROGRESS); /* the peer, too, may still write */
	if (granted) {
		hang_up();
		must_be(haul_req_wait(receive, LATE_MS), 0);
		must_be(haul_req_finish(receive, NULL), -EPROTO);
	}
	handmade_lost(&m, -EPROTO);
	free(buf);
	free(into);
}

Test(fault_push, who_ends_a_connection_in_mid_write_hangs_up_after_the_write)
{
	violate_in_mid_write(false);
}

Test(fault_push, also_if_it_has_granted_itself)
{
	violate_in_mid_write(true);
}

/* Dropped by the context, but not forgotten: it has been granted. */
static void be_granted_and_dropped(const struct fault *f)
{
	static const uint8_t nonsense[WIRE_HEADER_SIZE] = { 255 };
	begin_as(true);
	must_be(haul_irecv(m.haul, &(struct haul_match){ .tag = 2 }, &(struct iovec){ room, LEN }, 1,
	            &receive),
	    0);
	put_desc(2, payload);
	handmade_next(&m, WIRE_GRANT);
	must(raw_send(&m.raw, nonsense, sizeof(nonsense)));
	fault_arm(f);
	until_it_has_ended(NULL);
}

/* It may still write: so nothing but its own end frees the receive. */
static void must_outlast(const struct fault *f)
{
	be_granted_and_dropped(f);
	send(m.raw.fd, "x", 1, MSG_NOSIGNAL);
	must_be(haul_req_wait(receive, 100), -ETIMEDOUT);
	must(fault_fired() > 0);
	must(fault_calls() < ROUNDS); /* it is not asked all the time, either */
	fault_disarm();
	must_be(haul_req_wait(receive, 100), -ETIMEDOUT);
	hang_up();
	must_be(haul_req_wait(receive, LATE_MS), 0);
	must_be(haul_req_finish(receive, NULL), -EPROTO);
	handmade_lost(&m, -EPROTO);
}

/* The first recv hears what it is dropped for. */
Test(fault_push, who_can_not_be_heard_may_still_write)
{
	static const int errors[] = { ENOMEM, EIO, EPERM };
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		must_outlast(
		    &(struct fault){ .nth = 2, .lasting = true, .only = "recv", .error = errors[i] });
}
