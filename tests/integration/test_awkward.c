/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is legal, or nearly, and comes at an awkward moment: frames cut in two where it hurts most, answers
 * with borrowed errnos, buffers of which only the last is bad. The other end is made by hand (lib/rawpeer.h),
 * in the same thread.
 */
#include <haul/haul.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/rawpeer.h"

TestSuite(awkward, .timeout = 60);

enum { SOON_MS = 50, LATE_MS = 20000, LEN = 60000 };

static struct haul *haul;
static struct haul_peer *peer;
static struct raw raw;
static struct raw_frame frame;

static void begin(const struct haul_options *o)
{
	struct haul_req *adopt;
	struct haul_status status;
	int pair[2];
	must_be(haul_open(&haul, o, o != NULL ? sizeof(*o) : 0), 0);
	must_be(haul_pair(pair), 0);
	raw = (struct raw){ .fd = pair[1], .drive = haul };
	must_be(haul_iadopt(haul, pair[0], &adopt), 0);
	must(raw_greet(&raw));
	must_be(haul_req_wait(adopt, LATE_MS), 0);
	must_be(haul_req_finish(adopt, &status), 0);
	peer = status.peer;
}

static void end(void)
{
	must_be(haul_close(haul, 0), 0);
	close(raw.fd);
}

static void progress(void)
{
	for (int i = 0; i < 5; i++)
		haul_progress(haul);
}

/* A described message of LEN bytes, tag 5, id of slot 0. */
static void describe(void)
{
	static uint8_t body[WIRE_DESC_SIZE + WIRE_RANGE_SIZE];
	raw_put(body, 5, 8);
	raw_put(body + 8, WIRE_ID(0, 1), 8);
	raw_put(body + 20, 1, 4);
	raw_put(body + 24, LEN, 8);
	raw_put(body + 64, 4096, 8);
	raw_put(body + 72, LEN, 8);
	must(raw_send_frame(&raw, WIRE_DESC, 0, body, sizeof(body)));
}

/* DATA for it, all of it 'X'. */
static size_t data_bytes(uint8_t *to, uint32_t epoch)
{
	static uint8_t body[WIRE_DATA_SIZE + LEN];
	memset(body, 0, WIRE_DATA_SIZE);
	raw_put(body, WIRE_ID(0, 1), 8);
	raw_put(body + 16, epoch, 4);
	memset(body + WIRE_DATA_SIZE, 'X', LEN);
	return raw_frame_bytes(to, WIRE_DATA, 0, body, sizeof(body));
}

static uint8_t bytes[WIRE_HEADER_SIZE + WIRE_DATA_SIZE + LEN];

static void still_alive(void)
{
	struct haul_peer_info info;
	must_be(haul_peer_info(peer, &info, sizeof(info)), 0);
	must_be(info.alive, 1);
	must_be(haul_send(peer, 1, "x", 1, LATE_MS), 0);
}

/* Until the other side has read all that was sent. */
static void await_read(void)
{
	int unread = 1;
	while (unread > 0)
		must_be(ioctl(raw.fd, SIOCOUTQ, &unread), 0);
}

/* The head of a part in two pieces, and a little of the payload. */
static void *send_beginning(void *arg)
{
	(void)arg;
	raw_next(&raw, &frame);
	data_bytes(bytes, (uint32_t)raw_get(frame.body + 24, 4));
	raw_send(&raw, bytes, 20);
	await_read();
	raw_send(&raw, bytes + 20, 1020);
	await_read();
	return NULL;
}

Test(awkward, a_part_whose_head_came_in_two_goes_nowhere_once_the_receive_has_ended)
{
	static uint8_t buf[LEN];
	const struct haul_options o = { .path = HAUL_PATH_STREAM };
	struct haul_match five = { .tag = 5 };
	pthread_t sender;
	begin(&o);
	describe();
	progress();
	raw.drive = NULL; /* the sender has a thread of its own for a while */
	must_be(pthread_create(&sender, NULL, send_beginning, NULL), 0);
	must_be(haul_recv(haul, &five, buf, LEN, 10 * SOON_MS, NULL), -ETIMEDOUT);
	must_be(pthread_join(sender, NULL), 0);
	raw.drive = haul;
	must_be(buf[0], 'X');
	memset(buf, CANARY, LEN);
	must(raw_send(&raw, bytes + 1040, sizeof(bytes) - 1040));
	progress();
	must_be_untouched(buf, LEN);
	still_alive();
	end();
}

Test(awkward, a_timed_out_receive_is_not_written_to_by_a_part_whose_head_came_in_two)
{
	static uint8_t buf[LEN];
	const struct haul_options o = { .path = HAUL_PATH_STREAM, .stall_ms = SOON_MS };
	struct haul_status status;
	begin(&o);
	describe();
	progress();
	struct haul_match five = { .from = peer, .tag = 5 };
	must_be(haul_recv(haul, &five, buf, LEN, SOON_MS, &status), -ETIMEDOUT);
	raw_next(&raw, &frame);
	must_be(frame.type, WIRE_SEND);
	size_t whole = data_bytes(bytes, (uint32_t)raw_get(frame.body + 24, 4));
	memset(buf, CANARY, LEN);
	must(raw_send(&raw, bytes, 20));
	progress();
	must(raw_send(&raw, bytes + 20, 1020));
	progress();
	must(raw_send(&raw, bytes + 1040, whole - 1040));
	progress();
	for (size_t i = 0; i < LEN; i++)
		must_be(buf[i], CANARY);
	still_alive();
	end();
}

Test(awkward, late_data_of_a_canceled_message_is_no_end_of_file)
{
	uint8_t id[8];
	begin(NULL);
	describe();
	raw_put(id, WIRE_ID(0, 1), 8);
	must(raw_send_frame(&raw, WIRE_CANCEL, 0, id, sizeof(id)));
	progress();
	size_t whole = data_bytes(bytes, 1);
	must(raw_send(&raw, bytes, 20));
	progress();
	must(raw_send(&raw, bytes + 20, 20));
	progress();
	must(raw_send(&raw, bytes + 40, whole - 40));
	progress();
	still_alive();
	end();
}

Test(awkward, a_peers_errno_does_not_pass_for_one_of_ours)
{
	static const int borrowed[] = { EINPROGRESS, EAGAIN, EINTR, ETIMEDOUT, ECANCELED };
	char buf[10] = "";
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	begin(NULL);
	for (size_t i = 0; i < sizeof(borrowed) / sizeof(borrowed[0]); i++) {
		struct haul_req *r;
		uint8_t body[WIRE_REFUSED_SIZE] = { 0 };
		must_be(haul_isend(peer, 1, &iov, 1, HAUL_SYNC, &r), 0);
		progress();
		raw_next(&raw, &frame);
		must_be(frame.type, WIRE_EAGER);
		memcpy(body, frame.body + 8, 8);
		raw_put(body + 16, (uint64_t)borrowed[i], 4);
		must(raw_send_frame(&raw, WIRE_REFUSED, 0, body, sizeof(body)));
		must_be(haul_req_wait(r, LATE_MS), 0);
		must_be(haul_req_finish(r, NULL), -ECONNREFUSED);
	}
	end();
}

Test(awkward, a_bad_buffer_behind_many_good_ones_is_told)
{
	char good[60] = "";
	struct iovec iov[100];
	void *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(hole != MAP_FAILED);
	for (int i = 0; i < 100; i++)
		iov[i] = (struct iovec){ .iov_base = i == 90 ? hole : good, .iov_len = sizeof(good) };
	begin(NULL);
	must_be(haul_sendv(peer, 1, iov, 100, 0, LATE_MS), -EFAULT);
	still_alive();
	end();
	munmap(hole, 4096);
}

Test(awkward, a_posted_receive_does_not_lift_the_longest_message_accepted)
{
	static char buf[100];
	const struct haul_options o = { .max_msg = 10 };
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct haul_req *r;
	begin(&o);
	must_be(haul_irecv(haul, NULL, &iov, 1, &r), 0);
	must(raw_send_eager(&raw, 1, buf, sizeof(buf)));
	progress();
	must_be(haul_req_test(r), -EINPROGRESS);
	must(raw_send_eager(&raw, 2, buf, 10));
	must_be(haul_req_wait(r, LATE_MS), 0);
	must_be(haul_req_finish(r, NULL), 0);
	end();
}

/* Nothing but the socket can say when there is room again; whoever asks it all the time never rests. */
Test(awkward, a_full_socket_leaves_nothing_to_be_done)
{
	static char buf[16384];
	static const size_t lens[] = { 100, 4096, 4097, sizeof(buf) };
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct iovec iov = { .iov_base = buf, .iov_len = lens[i] };
		struct haul_req *r;
		int rounds = 0;
		begin(NULL);
		must(haul_fd(haul) >= 0);
		do { /* until one does not leave at once */
			must_be(haul_isend(peer, 1, &iov, 1, 0, &r), 0);
			progress();
		} while (haul_req_finish(r, NULL) == 0);
		while (haul_progress(haul) > 0)
			must(++rounds < 1000);
		must_be(haul_arm(haul), 0);
		must_be(haul_req_test(r), -EINPROGRESS);
		while (haul_req_test(r) == -EINPROGRESS)
			raw_next(&raw, &frame);
		must_be(haul_req_finish(r, NULL), 0);
		end();
	}
}
