/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer is killed, or stopped, at every system call by which it comes or goes: as in test_death_steps.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/pattern.h"
#include "lib/survivor.h"

TestSuite(death_meeting, .timeout = 120);

enum { SHORT = 100, LONG = 600 << 10, SLICE_MS = 5 };

/* By outboxes fewer calls are needed, if the other is quick. */
static const struct haul_options by_outbox = { .transport = HAUL_TRANSPORT_OUTBOX };

static void play_by_outbox(const char *name, const struct plan *plan)
{
	struct plan p = *plan;
	p.a_options = p.b_options = &by_outbox;
	p.a_least = p.b_least = 1; /* who finds all in its first look makes few calls */
	survivor_play(name, &p);
}

/* ---- flush and goodbye ---- */

static int flush_a(struct side *s)
{
	int rc = side_give(s, SHORT, 1, 0);
	if (rc == 0)
		rc = haul_peer_flush(s->p, s->timeout_ms);
	return rc == 0 ? side_give_token(s) : rc;
}

static int flush_b(struct side *s)
{
	int rc = side_take(s, SHORT, 1);
	return rc == 0 ? side_take_token(s) : rc;
}

Test(death_meeting, of_a_flush)
{
	/* What is flushed may come with the last word of the handshake, and has been read by then. */
	survivor_play("flush", &(struct plan){ .a = flush_a, .b = flush_b, .a_least = 3, .b_least = 2 });
}

Test(death_meeting, of_a_flush_by_outbox)
{
	play_by_outbox("flush by outbox", &(struct plan){ .a = flush_a, .b = flush_b });
}

/* One long message, one synchronous, and then the goodbye, which lets them end. */
static int begin_to_leave(struct side *s, struct haul_req *r[2])
{
	struct iovec all = { .iov_base = side_out, .iov_len = LONG },
	             one = { .iov_base = side_out, .iov_len = SHORT };
	pattern_fill(side_out, LONG, 1, 0);
	int rc = haul_isend(s->p, LONG, &all, 1, 0, &r[0]);
	if (rc != 0)
		return rc;
	rc = haul_isend(s->p, SHORT, &one, 1, HAUL_SYNC, &r[1]);
	if (rc != 0)
		must_be(side_finish(s, r[0]), rc);
	return rc;
}

static int leave_a(struct side *s)
{
	struct haul_req *r[2];
	int rc = begin_to_leave(s, r);
	if (rc != 0)
		return rc;
	rc = haul_peer_close(s->p, s->timeout_ms);
	s->p = NULL;
	for (int i = 0; i < 2; i++) {
		int result = haul_req_finish(r[i], NULL);
		must(result != -EINPROGRESS);
		rc = rc != 0 ? rc : result;
	}
	return rc;
}

static int close_a(struct side *s)
{
	struct haul_req *r[2];
	int rc = begin_to_leave(s, r);
	if (rc != 0)
		return rc;
	rc = haul_close(s->h, s->timeout_ms);
	s->h = NULL;
	s->p = NULL;
	return rc;
}

static int left_b(struct side *s)
{
	struct haul_match any = { .from = s->p, .ignore = UINT64_MAX };
	int rc = side_take(s, LONG, 1);
	if (rc == 0)
		rc = side_take(s, SHORT, 1);
	if (rc == 0)
		rc = (int)haul_recv(s->h, &any, side_in, sizeof(side_in), s->timeout_ms, NULL);
	return rc == -EPIPE ? 0 : rc;
}

Test(death_meeting, of_closing_a_peer)
{
	survivor_play("peer_close", &(struct plan){ .a = leave_a, .b = left_b, .a_least = 6, .b_least = 4 });
}

Test(death_meeting, of_closing_a_peer_by_outbox)
{
	play_by_outbox("peer_close by outbox", &(struct plan){ .a = leave_a, .b = left_b });
}

Test(death_meeting, of_closing_a_context)
{
	survivor_play("close",
	    &(struct plan){ .a = close_a, .b = left_b, .closes = true, .a_least = 6, .b_least = 4 });
}

Test(death_meeting, of_closing_a_context_by_outbox)
{
	play_by_outbox("close by outbox", &(struct plan){ .a = close_a, .b = left_b, .closes = true });
}

/* ---- the handshake ---- */

static int both_ways(struct side *s)
{
	int rc = side_give_token(s);
	return rc == 0 ? side_take_token(s) : rc;
}

static int adopt(struct side *s)
{
	int rc = haul_adopt(s->h, s->fd, s->timeout_ms, &s->p);
	if (rc != 0)
		return rc;
	s->fd = -1;
	return both_ways(s);
}

Test(death_meeting, of_a_handshake)
{
	survivor_play("adopt",
	    &(struct plan){ .a = adopt, .b = adopt, .unconnected = true, .a_least = 15, .b_least = 15 });
}

Test(death_meeting, of_a_handshake_by_outbox)
{
	play_by_outbox("adopt by outbox", &(struct plan){ .a = adopt, .b = adopt, .unconnected = true });
}

/* The other side listens, says the socket. */
static int connect_a(struct side *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	char byte;
	int waited_ms = 0;
	while (poll(&p, 1, SLICE_MS) <= 0)
		if (s->hopeless() || (waited_ms += SLICE_MS) >= s->timeout_ms)
			return s->hopeless() ? -ECONNRESET : -ETIMEDOUT;
	if (read(s->fd, &byte, 1) != 1)
		return -ECONNREFUSED;
	int rc = haul_connect(s->h, s->address, s->timeout_ms, &s->p);
	return rc == 0 ? both_ways(s) : rc;
}

/* One who failed to come is not reported, so somebody else has to say that nobody will. */
static int await_guest(struct side *s, struct haul_listener *l)
{
	struct haul_req *r;
	struct haul_status status;
	int rc = haul_iaccept(l, &r);
	if (rc != 0)
		return rc;
	int waited_ms = 0;
	do
		rc = haul_req_wait(r, SLICE_MS);
	while (rc == -ETIMEDOUT && !s->hopeless() && (waited_ms += SLICE_MS) < s->timeout_ms);
	if (rc != 0) {
		haul_req_free(r);
		return s->hopeless() ? -ECONNRESET : rc;
	}
	rc = haul_req_finish(r, &status);
	s->p = status.peer;
	return rc;
}

static int accept_b(struct side *s)
{
	struct haul_listener *l;
	int rc = haul_listen(s->h, s->address, &l);
	if (rc != 0)
		return rc;
	rc = send(s->fd, "x", 1, MSG_NOSIGNAL) == 1 ? await_guest(s, l) : -ECONNRESET;
	haul_listener_close(l);
	return rc == 0 ? both_ways(s) : rc;
}

static const struct plan meeting = { .a = connect_a,
	.b = accept_b,
	.unconnected = true,
	.a_least = 15,
	.b_least = 15 };

Test(death_meeting, of_connecting_and_accepting)
{
	survivor_play("connect", &meeting);
}

/* What a dead listener leaves behind is in nobody's way. */
Test(death_meeting, of_connecting_and_accepting_at_a_path)
{
	struct plan plan = meeting;
	plan.at_path = true;
	survivor_play("path", &plan);
}
