/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Moving a payload by stream, the receiver's side: SEND asks for a range, DATA brings it in parts straight
 * into the receive's buffers, and an empty DATA at the end of the range says that all before it was good.
 * (Without that, the last chunk could turn out to be filler after it was delivered.)
 *
 *     SEND(epoch 1)  -->                      DATA(1) DATA(1) DATA(1, empty): finished
 *     SEND(epoch 2, len 0): stop -->          late DATA(1) goes nowhere
 *
 * What can fail: DATA that was not asked for, or out of its place, drops the peer. The receive's memory
 * can't be written: it ends with -EFAULT, what is still to come of the chunk goes nowhere. Who ends the
 * wait for DATA: the sender's ABORT or CANCEL, its death, or the receive's own timeout.
 */
#include <errno.h>

#include "msg/context.h"
#include "msg/inbound.h"
#include "msg/peer.h"
#include "msg/receive.h"
#include "msg/stats.h"

static void expect(struct haul_peer *p, int change)
{
	p->expected = (unsigned)((int)p->expected + change);
	peer_link(p)->rx.expect_data = p->expected > 0;
}

static void start(struct inbound *in)
{
	struct haul_peer *p = in->peer;
	in->epoch++;
	in->expecting = true;
	expect(p, 1);
	if (!in->asking)
		TAILQ_INSERT_TAIL(&p->asks, in, ask);
	in->asking = true;
	conn_kick(&p->conn);
}

static void stop(struct inbound *in)
{
	struct haul_peer *p = in->peer;
	if (p->payload == in) {
		link_payload_sink(peer_link(p));
		p->payload = NULL;
	}
	if (in->expecting)
		expect(p, -1);
	in->expecting = false;
}

const struct mover stream_mover = { .path = HAUL_PATH_STREAM, .start = start, .stop = stop };

void stream_data(struct haul_peer *p, const struct wire_frame *f)
{
	void *object;
	enum id_state state = ids_find(&p->in_ids, f->data.id, &object);
	if (state == ID_STALE)
		return;
	struct inbound *in = state == ID_LIVE ? object : NULL;
	if (in == NULL || (int32_t)(f->data.epoch - in->epoch) > 0 ||
	    (f->data.epoch == in->epoch && in->asking)) {
		peer_violation(p, "data that nobody asked for");
		return;
	}
	if (!in->expecting || f->data.epoch != in->epoch)
		return; /* late: it goes nowhere */
	if (f->data.offset != in->base + in->moved || f->payload_len > in->want - in->moved ||
	    (f->payload_len == 0 && in->moved != in->want)) {
		peer_violation(p, "data out of its place");
		return;
	}
	if (f->payload_len == 0) {
		inbound_finish(in);
		return;
	}
	struct iov_cursor to = inbound_target(in);
	iov_cursor_limit(&to, f->payload_len);
	link_payload_into(peer_link(p), &to);
	p->payload = in;
	in->chunk = f->payload_len;
}

void stream_payload_end(struct haul_peer *p)
{
	struct inbound *in = p->payload;
	if (in == NULL)
		return;
	p->payload = NULL;
	in->moved += in->chunk;
	stats_copied(p, in->chunk);
	receive_headway(in->req);
}

void stream_payload_fault(struct haul_peer *p)
{
	struct inbound *in = p->payload;
	if (in != NULL)
		inbound_fault(in, -EFAULT);
}
