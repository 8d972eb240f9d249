/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens in the middle of a push's write: the trigger stands still there, while another thread goes on with
 * the context. The peer is made by hand (lib/rawpeer.h).
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
#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/rawpeer.h"
#include "lib/talk.h"

TestSuite(fault_push, .timeout = 60);

enum { LEN = 100000, ROUNDS = 1000, LATE_MS = 20000 };

static const struct haul_options options = { .push = 1 };
static const uint64_t cookie = 0x6b6f6f6b69652121;
static uint64_t cell, landing_cell;
static struct raw raw;
static struct raw_frame frame;
static struct haul *haul;
static struct haul_peer *peer;
static unsigned char payload[LEN], room[LEN];
static struct haul_req *receive;

static void hello(void)
{
	uint8_t ours[WIRE_HELLO_SIZE], theirs[WIRE_HELLO_SIZE];
	raw_hello_bytes(ours, WIRE_VERSION_MIN, WIRE_VERSION_MAX);
	raw_put(ours + 16, WIRE_FEATURE_PUSH, 8);
	must(raw_send_creds(&raw, ours, sizeof(ours)));
	must(raw_read(&raw, theirs, sizeof(theirs)));
	raw.answer = raw_get(theirs + 24, 8);
}

static void begin_as(bool impostor)
{
	struct haul_req *adopting;
	struct haul_status status;
	int pair[2];
	cell = landing_cell = cookie;
	must_be(haul_pair(pair), 0);
	must_be(haul_open(&haul, &options, sizeof(options)), 0);
	raw = (struct raw){ .fd = pair[1], .drive = haul, .impostor = impostor };
	must_be(haul_iadopt(haul, pair[0], &adopting), 0);
	hello();
	must(raw_granted(&raw) && raw_verdict(&raw) && raw_ready(&raw));
	must_be(haul_req_wait(adopting, LATE_MS), 0);
	must_be(haul_req_finish(adopting, &status), 0);
	peer = status.peer;
}

static void put_desc(uint64_t tag, const void *buf)
{
	uint8_t body[WIRE_DESC_SIZE + WIRE_RANGE_SIZE] = { 0 };
	raw_put(body, tag, 8);
	raw_put(body + 8, WIRE_ID(0, 1), 8);
	raw_put(body + 20, 1, 4);
	raw_put(body + 24, LEN, 8);
	raw_put(body + 32, (uintptr_t)&cell, 8);
	raw_put(body + 40, cookie, 8);
	raw_put(body + WIRE_DESC_SIZE, (uintptr_t)buf, 8);
	raw_put(body + WIRE_DESC_SIZE + 8, LEN, 8);
	must(raw_send_frame(&raw, WIRE_DESC, 0, body, sizeof(body)));
}

static void put_grant(uint64_t id, void *into)
{
	uint8_t body[WIRE_GRANT_SIZE + WIRE_RANGE_SIZE] = { 0 };
	raw_put(body, id, 8);
	raw_put(body + 16, (uintptr_t)&landing_cell, 8);
	raw_put(body + 24, cookie, 8);
	raw_put(body + 32, 1, 4);
	raw_put(body + WIRE_GRANT_SIZE, (uintptr_t)into, 8);
	raw_put(body + WIRE_GRANT_SIZE + 8, LEN, 8);
	must(raw_send_frame(&raw, WIRE_GRANT, 0, body, sizeof(body)));
}

static int next_type(void)
{
	do
		raw_next(&raw, &frame);
	while (frame.type == WIRE_CREDIT || frame.type == WIRE_VERDICT);
	return frame.type;
}

static void *until_it_has_ended(void *arg)
{
	struct haul_peer_info info = { .alive = 1 };
	(void)arg;
	for (int i = 0; i < ROUNDS && info.alive; i++) {
		must(haul_progress(haul) >= 0);
		must_be(haul_peer_info(peer, &info, sizeof(info)), 0);
	}
	must_be(info.alive, 0);
	return NULL;
}

static void *until_it_grants(void *arg)
{
	struct haul_peer_info info = { 0 };
	(void)arg;
	for (int i = 0; i < ROUNDS && info.in_error == 0; i++) {
		must(haul_progress(haul) >= 0);
		must_be(haul_peer_info(peer, &info, sizeof(info)), 0);
	}
	must_be(info.in_path, HAUL_PATH_PUSH);
	while (haul_progress(haul) > 0)
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
	raw.drive = NULL;
	must_be(next_type(), WIRE_GRANT);
	raw.drive = haul;
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
	must(raw_send(&raw, nonsense, sizeof(nonsense)));
	meanwhile(until_it_has_ended);
	ssize_t n;
	while ((n = recv(raw.fd, &byte, 1, MSG_DONTWAIT)) > 0)
		;
	must_be(n, -1); /* an end of file would say that nothing is written any more */
	must_be(errno, EAGAIN);
	return 0;
}

static void violate_in_mid_write(bool granted)
{
	unsigned char *buf = filled(LEN, 1), *into = room_for(LEN);
	struct breach b = { .granted = granted };
	struct haul_req *send;
	begin_as(false);
	must_be(haul_isend(peer, 1, &(struct iovec){ buf, LEN }, 1, 0, &send), 0);
	must_be(next_type(), WIRE_DESC);
	uint64_t id = raw_get(frame.body + 8, 8);
	if (granted)
		must_be(haul_irecv(haul, &(struct haul_match){ .tag = 2 }, &(struct iovec){ room, LEN }, 1,
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
		haul_progress(haul);
	fault_disarm();
	must(b.done);
	must_hold(into, LEN, 1, 0);
	must_be(haul_req_finish(send, NULL), -EPROTO);
	must(raw_hung_up(&raw));
	if (granted)
		must_be(haul_req_test(receive), -EINPROGRESS); /* the peer, too, may still write */
	close(raw.fd);
	if (granted) {
		must_be(haul_req_wait(receive, LATE_MS), 0);
		must_be(haul_req_finish(receive, NULL), -EPROTO);
	}
	must_be(haul_peer_close(peer, 0), 0);
	must_be(haul_close(haul, 0), 0);
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
	must_be(haul_irecv(haul, &(struct haul_match){ .tag = 2 }, &(struct iovec){ room, LEN }, 1, &receive),
	    0);
	put_desc(2, payload);
	must_be(next_type(), WIRE_GRANT);
	must(raw_send(&raw, nonsense, sizeof(nonsense)));
	fault_arm(f);
	until_it_has_ended(NULL);
}

/* It may still write: so nothing but its own end frees the receive. */
static void must_outlast(const struct fault *f)
{
	be_granted_and_dropped(f);
	send(raw.fd, "x", 1, MSG_NOSIGNAL);
	must_be(haul_req_wait(receive, 100), -ETIMEDOUT);
	must(fault_fired() > 0);
	must(fault_calls() < ROUNDS); /* it is not asked all the time, either */
	fault_disarm();
	must_be(haul_req_wait(receive, 100), -ETIMEDOUT);
	close(raw.fd);
	must_be(haul_req_wait(receive, LATE_MS), 0);
	must_be(haul_req_finish(receive, NULL), -EPROTO);
	must_be(haul_peer_close(peer, 0), 0);
	must_be(haul_close(haul, 0), 0);
}

/* The first recv hears what it is dropped for. */
Test(fault_push, who_can_not_be_heard_may_still_write)
{
	static const int errors[] = { ENOMEM, EIO, EPERM };
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		must_outlast(
		    &(struct fault){ .nth = 2, .lasting = true, .only = "recv", .error = errors[i] });
}
