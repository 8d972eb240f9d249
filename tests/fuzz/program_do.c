/* SPDX-License-Identifier: BSD-3-Clause */
/* What the program under attack does: the operations of ops.h that are calls of its own. See program.h. */
#include "fuzz/program_req.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/ops.h"

enum { LONGEST = 300000, PARTS = 6 };

/* ---- choosing ---- */

/* Memory for a request, in one part or several of lengths that the input chooses. */
static size_t pick_memory(struct program_req *r, struct input *in, struct iovec iov[PARTS])
{
	uint64_t len = input_number(in);
	size_t count = 1 + input_byte(in) % PARTS, left;
	left = r->room = len < LONGEST ? (size_t)len : LONGEST;
	r->memory = malloc(r->room > 0 ? r->room : 1);
	claim(r->memory != NULL);
	memset(r->memory, 'p', r->room);
	for (size_t i = 0; i < count; i++) {
		size_t part = i == count - 1 ? left : left / 2;
		iov[i] = (struct iovec){ .iov_base = (char *)r->memory + r->room - left, .iov_len = part };
		left -= part;
	}
	return count;
}

/* Of one tag, of some, of any; from the evil peer or from anybody. */
static struct haul_match pick_match(struct program *p, struct input *in)
{
	unsigned b = input_byte(in);
	return (struct haul_match){ .from = b & 0x80 ? p->peer : NULL, .tag = b % 8, .ignore = b / 8 % 8 };
}

static struct program_req *pick_req(struct program *p, struct input *in)
{
	struct program_req *r = &p->reqs[input_byte(in) % PROGRAM_REQS];
	return r->req != NULL ? r : NULL;
}

/* ---- starting ---- */

static void start_receive(struct program *p, struct input *in)
{
	struct haul_req *req = NULL;
	struct iovec iov[PARTS];
	struct program_req *r = req_place(p);
	if (r == NULL)
		return;
	struct haul_match match = pick_match(p, in);
	size_t count = pick_memory(r, in, iov);
	int rc = haul_irecv(p->haul, &match, iov, count, &req);
	req_started(r, rc, req, true);
}

static void start_send(struct program *p, struct input *in, bool calls)
{
	struct haul_req *req = NULL;
	struct iovec iov[PARTS];
	struct program_req *r = req_place(p);
	if (r == NULL || p->peer == NULL)
		return;
	unsigned b = input_byte(in);
	size_t count = pick_memory(r, in, iov);
	unsigned flags = (b & 8 ? HAUL_SYNC : 0) | (b & 16 ? HAUL_COPY : 0);
	int rc = calls ? haul_icall(p->peer, b % 8, iov, count, &req)
	               : haul_isend(p->peer, b % 8, iov, count, flags, &req);
	req_started(r, rc, req, false);
}

static void start_send_fds(struct program *p, struct input *in)
{
	struct haul_req *req = NULL;
	struct program_req *r = req_place(p);
	if (r == NULL || p->peer == NULL)
		return;
	unsigned b = input_byte(in);
	int fds[8] = { 0 };
	int rc = haul_isend_fds(p->peer, b % 8, NULL, 0, fds, input_byte(in) % 8 + 1, &req);
	req_started(r, rc, req, false);
}

static void start_take(struct program *p, struct input *in)
{
	struct haul_req *req = NULL;
	struct program_req *r = req_place(p);
	if (r == NULL)
		return;
	struct haul_match match = pick_match(p, in);
	int rc = haul_itake(p->haul, &match, &req);
	req_started(r, rc, req, false);
}

static void start_watch(struct program *p)
{
	struct haul_req *req = NULL;
	struct program_req *r = req_place(p);
	if (r == NULL || p->peer == NULL)
		return;
	int rc = haul_peer_watch(p->peer, &req);
	req_started(r, rc, req, false);
}

/* One of each, in one call. */
static void start_batch(struct program *p, struct input *in)
{
	struct iovec send_iov[PARTS], recv_iov[PARTS];
	struct program_req *s = p->peer != NULL ? req_place(p) : NULL;
	if (s == NULL)
		return;
	size_t send_count = pick_memory(s, in, send_iov);
	struct program_req *r = req_place(p);
	size_t recv_count = r != NULL ? pick_memory(r, in, recv_iov) : 0;
	struct haul_op ops[] = {
		{ .kind = HAUL_OP_SEND, .peer = p->peer, .tag = 1, .iov = send_iov, .count = send_count },
		{ .kind = r != NULL ? HAUL_OP_RECV : HAUL_OP_NONE,
		    .match = { .from = p->peer, .ignore = 7 },
		    .iov = recv_iov,
		    .count = recv_count }
	};
	int rc = haul_submit(p->haul, ops, 2, 0, NULL);
	claim(rc == 0 || rc == -EIO);
	req_started(s, ops[0].status.error, ops[0].req, false);
	if (r != NULL)
		req_started(r, ops[1].status.error, ops[1].req, true);
}

/* ---- calls that do not wait ---- */

static void do_now(struct program *p, struct input *in)
{
	static char buf[5000];
	struct haul_status status;
	struct haul_msg *m = NULL;
	struct haul_match match = pick_match(p, in);
	ssize_t rc;
	switch (input_byte(in) % 4) {
	case 0:
		rc = haul_recv(p->haul, &match, buf, sizeof(buf), 0, &status);
		claim(rc <= (ssize_t)sizeof(buf) && status.got <= sizeof(buf));
		break;
	case 1:
		rc = haul_probe(p->haul, &match, 0, &status);
		claim(rc <= 0);
		break;
	case 2:
		if (haul_take(p->haul, &match, 0, &m) == 0)
			claim(haul_msg_done(m) == 0);
		break;
	default:
		rc = p->peer != NULL ? haul_send(p->peer, match.tag, buf, input_number(in) % sizeof(buf), 0)
		                     : 0;
		claim(rc <= 0);
	}
}

static void do_sendrecv(struct program *p, struct input *in)
{
	static char out[300], into[300];
	struct haul_match match = { .from = p->peer, .tag = input_byte(in) % 8 };
	if (p->peer != NULL)
		claim(haul_sendrecv(p->peer, 0, out, sizeof(out), &match, into, sizeof(into), 0, NULL) <=
		    (ssize_t)sizeof(into));
}

static void do_info(struct program *p)
{
	struct haul_peer_info info;
	struct haul_stats stats;
	if (p->peer == NULL)
		return;
	claim(haul_peer_info(p->peer, &info, sizeof(info)) == 0);
	claim(haul_peer_stats(p->peer, &stats, sizeof(stats)) == 0);
	claim(stats.unexpected <= stats.unexpected_most);
	claim(stats.received_pull_bytes + stats.received_stream_bytes <= stats.copied_bytes);
}

/* ---- requests and messages ---- */

static void do_req(struct program_req *r, unsigned op, struct input *in)
{
	int rc;
	switch (op) {
	case OP_CANCEL:
		rc = haul_req_cancel(r->req);
		claim(rc == 0 || rc == -EALREADY);
		break;
	case OP_DEADLINE:
		rc = haul_req_deadline(r->req, (int)(input_byte(in) % 3) - 1);
		claim(rc == 0 || rc == -EALREADY);
		break;
	case OP_FREE:
		req_free(r);
		break;
	case OP_FINISH:
		if (r->complete)
			req_finish(r);
		break;
	default:
		rc = haul_req_test(r->req);
		claim(rc == 0 || rc == -EINPROGRESS);
	}
}

static void start_read(struct program *p, struct haul_msg *m, struct input *in)
{
	struct haul_req *req = NULL;
	struct iovec iov[PARTS];
	struct program_req *r = req_place(p);
	if (r == NULL)
		return;
	uint64_t offset = input_number(in);
	size_t count = pick_memory(r, in, iov);
	int rc = haul_msg_iread(m, offset, iov, count, &req);
	req_started(r, rc, req, false);
}

/* Of anything; it may be no call, or over. */
static void start_reply(struct program *p, struct haul_msg **m, struct input *in)
{
	struct haul_req *req = NULL;
	struct iovec iov[PARTS];
	struct program_req *r = req_place(p);
	if (r == NULL)
		return;
	size_t count = pick_memory(r, in, iov);
	int rc = haul_reply(*m, iov, count, &req);
	if (rc == 0)
		*m = NULL;
	req_started(r, rc, req, false);
}

static void do_msg(struct program *p, struct haul_msg **m, unsigned op, struct input *in)
{
	static char buf[5000];
	struct iovec iov = { .iov_base = buf };
	int rc = 0;
	switch (op) {
	case OP_MSG_IREAD:
		start_read(p, *m, in);
		return;
	case OP_MSG_REPLY:
		start_reply(p, m, in);
		return;
	case OP_MSG_READ: {
		uint64_t offset = input_number(in);
		iov.iov_len = input_number(in) % sizeof(buf);
		claim(haul_msg_read(*m, offset, &iov, 1, 0) <= (ssize_t)iov.iov_len);
		return;
	}
	case OP_MSG_FDS: {
		int fds[HAUL_FDS_MOST];
		ssize_t n = haul_msg_fds(*m, fds, input_byte(in) % (HAUL_FDS_MOST + 1), 0);
		while (n > 0)
			claim(close(fds[--n]) == 0);
		return;
	}
	case OP_MSG_DONE:
		rc = haul_msg_done(*m);
		break;
	case OP_MSG_REFUSE:
		rc = haul_msg_refuse(*m, -1 - (int)(input_number(in) % 4095));
		break;
	default:
		return;
	}
	claim(rc == 0 || rc == -EBUSY);
	if (rc == 0)
		*m = NULL;
}

/* ---- */

void program_do(struct program *p, unsigned op, struct input *in)
{
	struct program_req *r;
	struct haul_msg **m;
	switch (op) {
	case OP_RECV:
		start_receive(p, in);
		break;
	case OP_SEND:
		start_send(p, in, false);
		break;
	case OP_CALL:
		start_send(p, in, true);
		break;
	case OP_SEND_FDS:
		start_send_fds(p, in);
		break;
	case OP_TAKE:
		start_take(p, in);
		break;
	case OP_NOW:
		do_now(p, in);
		break;
	case OP_SENDRECV:
		do_sendrecv(p, in);
		break;
	case OP_BATCH:
		start_batch(p, in);
		break;
	case OP_CANCEL:
	case OP_DEADLINE:
	case OP_FREE:
	case OP_FINISH:
	case OP_TEST:
		if ((r = pick_req(p, in)) != NULL)
			do_req(r, op, in);
		break;
	case OP_MSG_IREAD:
	case OP_MSG_READ:
	case OP_MSG_FDS:
	case OP_MSG_DONE:
	case OP_MSG_REFUSE:
	case OP_MSG_REPLY:
		m = &p->msgs[input_byte(in) % PROGRAM_MSGS];
		if (*m != NULL)
			do_msg(p, m, op, in);
		break;
	case OP_PEER_FLUSH:
		if (p->peer != NULL)
			claim(haul_peer_flush(p->peer, 0) <= 0);
		break;
	case OP_PEER_WATCH:
		start_watch(p);
		break;
	case OP_PEER_CANCEL:
		if (p->peer != NULL)
			claim(haul_peer_cancel(p->peer) >= 0);
		break;
	case OP_PEER_INFO:
		do_info(p);
		break;
	case OP_PEER_CLOSE:
		program_close_peer(p);
		break;
	default:
		break;
	}
}
