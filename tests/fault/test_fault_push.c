/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens in the middle of a push's write: the trigger stands still there, while another thread goes on with
 * the context. The peer is made by hand (lib/handmade.h).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
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

/* A message from buf. */
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

/* In the place of the write, with the lock given up: the peer breaks the protocol, and hears what comes of it. */
static int break_it(const char *name, long first, void *arg)
{
	static const uint8_t nonsense[WIRE_HEADER_SIZE] = { 255 };
	char byte;
	pthread_t other;
	(void)name;
	(void)first;
	must(raw_send(&m.raw, nonsense, sizeof(nonsense)));
	must_be(pthread_create(&other, NULL, until_it_has_ended, NULL), 0);
	must_be(pthread_join(other, NULL), 0);
	ssize_t n;
	while ((n = recv(m.raw.fd, &byte, 1, MSG_DONTWAIT)) > 0)
		;
	must_be(n, -1); /* an end of file would say that nothing is written any more */
	must_be(errno, EAGAIN);
	*(int *)arg = 1;
	return 0;
}

static void violate_in_mid_write(bool granted)
{
	unsigned char *buf = filled(LEN, 1), *into = room_for(LEN), *theirs = filled(LEN, 2),
	              *room = room_for(LEN);
	struct haul_req *send, *recv = NULL;
	int broken = 0;
	cell = landing_cell = cookie;
	handmade_start(&m, &options);
	must_be(haul_isend(m.peer, 1, &(struct iovec){ buf, LEN }, 1, 0, &send), 0);
	uint64_t id = raw_get(handmade_next(&m, WIRE_DESC)->body + 8, 8);
	if (granted) {
		fault_arm(
		    &(struct fault){ .nth = 1, .lasting = true, .only = "process_vm_readv", .error = EPERM });
		must_be(haul_irecv(m.haul, &(struct haul_match){ .tag = 2 }, &(struct iovec){ room, LEN }, 1,
		            &recv),
		    0);
		put_desc(2, theirs);
		handmade_next(&m, WIRE_GRANT);
		fault_disarm();
	}
	put_grant(id, into);
	fault_arm(&(struct fault){ .action = FAULT_ASK,
	    .nth = 1,
	    .only = "process_vm_writev",
	    .hook = break_it,
	    .arg = &broken });
	for (int i = 0; i < ROUNDS && !broken; i++)
		haul_progress(m.haul);
	fault_disarm();
	must_be(broken, 1);
	must_hold(into, LEN, 1, 0);
	must_be(haul_req_finish(send, NULL), -EPROTO);
	must(raw_hung_up(&m.raw));
	if (granted)
		must_be(haul_req_test(recv), -EINPROGRESS); /* the peer, too, may still write */
	must_be(shutdown(m.raw.fd, SHUT_WR), 0);
	if (granted) {
		must_be(haul_req_wait(recv, LATE_MS), 0);
		must_be(haul_req_finish(recv, NULL), -EPROTO);
	}
	handmade_lost(&m, -EPROTO);
	free(buf);
	free(into);
	free(theirs);
	free(room);
}

Test(fault_push, who_ends_a_connection_in_mid_write_hangs_up_after_the_write)
{
	violate_in_mid_write(false);
}

Test(fault_push, also_if_it_has_granted_itself)
{
	violate_in_mid_write(true);
}
