/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer made by hand, and its context. See handmade.h. */
#include "handmade.h"

#include <errno.h>
#include <unistd.h>

#include "fds.h"
#include "must.h"

enum { LATE_MS = 20000 };

void handmade_start(struct handmade *m, const struct haul_options *options, uint64_t features, int verdict)
{
	struct haul_req *adopt;
	struct haul_status status;
	int pair[2];
	*m = (struct handmade){ .fds = fds_count() };
	must_be(haul_open(&m->haul, options, options != NULL ? sizeof(*options) : 0), 0);
	must_be(haul_pair(pair), 0);
	m->raw = (struct raw){ .fd = pair[1], .drive = m->haul, .features = features, .verdict = verdict };
	must_be(haul_iadopt(m->haul, pair[0], &adopt), 0);
	must(raw_greet(&m->raw));
	must_be(haul_req_wait(adopt, LATE_MS), 0);
	must_be(haul_req_finish(adopt, &status), 0);
	m->peer = status.peer;
	must_be(haul_peer_watch(m->peer, &m->watch), 0);
	m->self = haul_self(m->haul);
	must(m->self != NULL);
}

void handmade_end(struct handmade *m)
{
	close(m->raw.fd);
	must_be(haul_close(m->haul, LATE_MS), 0);
	fds_expect(m->fds);
}

void handmade_settle(struct handmade *m)
{
	for (int quiet = 0; quiet < 3;)
		quiet = haul_progress(m->haul) > 0 ? 0 : quiet + 1;
}

static void must_go_on(struct handmade *m)
{
	char got;
	must_be(haul_send(m->self, 99, "x", 1, LATE_MS), 0);
	must_be(haul_recv(m->haul, &(struct haul_match){ .tag = 99 }, &got, 1, LATE_MS, NULL), 1);
}

static int is_alive(struct handmade *m)
{
	struct haul_peer_info info;
	handmade_settle(m);
	must_be(haul_peer_info(m->peer, &info, sizeof(info)), 0);
	return info.alive;
}

void handmade_must_live(struct handmade *m)
{
	must_be(is_alive(m), 1);
	must_be(haul_req_test(m->watch), -EINPROGRESS);
	must_go_on(m);
}

void handmade_must_be_dropped(struct handmade *m)
{
	must_be(is_alive(m), 0);
	must_be(haul_req_wait(m->watch, LATE_MS), 0);
	must_be(haul_req_finish(m->watch, NULL), -EPROTO);
	must(raw_hung_up(&m->raw));
	must_go_on(m);
}

const struct raw_frame *handmade_next(struct handmade *m, int type)
{
	static struct raw_frame f;
	do
		raw_next(&m->raw, &f);
	while (f.type == WIRE_CREDIT);
	must_be(f.type, type);
	return &f;
}

void handmade_desc(struct handmade *m, uint64_t tag, uint64_t id, uint64_t len)
{
	uint8_t body[WIRE_DESC_SIZE + WIRE_RANGE_SIZE] = { 0 };
	raw_put(body, tag, 8);
	raw_put(body + 8, id, 8);
	raw_put(body + 20, 1, 4);
	raw_put(body + 24, len, 8);
	raw_put(body + 64, 4096, 8);
	raw_put(body + 72, len, 8);
	must(raw_send_frame(&m->raw, WIRE_DESC, 0, body, sizeof(body)));
	handmade_settle(m);
}

void handmade_pushed(struct handmade *m, struct raw_pushed f)
{
	uint8_t body[WIRE_PUSHED_SIZE];
	raw_put(body, f.id, 8);
	raw_put(body + 8, f.moved, 8);
	raw_put(body + 16, f.epoch, 4);
	raw_put(body + 20, f.error, 4);
	must(raw_send_frame(&m->raw, WIRE_PUSHED, 0, body, sizeof(body)));
	handmade_settle(m);
}

void handmade_say(struct handmade *m, int type, uint64_t id)
{
	uint8_t body[8];
	raw_put(body, id, 8);
	must(raw_send_frame(&m->raw, type, 0, body, sizeof(body)));
	handmade_settle(m);
}
