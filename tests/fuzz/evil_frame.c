/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the evil peer says: one frame of any type, its fields chosen by the input from what would be right, what is
 * nearly right, and anything. A new type of frame needs one case in fill().
 */
#include "fuzz/evil.h"

#include <string.h>

/* ---- choosing ---- */

/* An id of ours: of a slot, and there the use that is now (0), the one before, the next; or any number. */
static struct evil_id *pick_ours(struct evil *e, struct input *in, uint64_t *id)
{
	unsigned b = input_byte(in), slot = b % EVIL_IDS, kind = b / EVIL_IDS % 4;
	struct evil_id *o = &e->ours[slot];
	uint32_t use = WIRE_ID_USE(o->id);
	*id = kind == 3 ? input_number(in) : WIRE_ID(slot, use + (kind == 2) - (kind == 1));
	return o;
}

/* A new one, in a slot that is free, if there is one. */
static uint64_t new_id(struct evil *e, uint64_t len)
{
	size_t slot = 0;
	while (slot < EVIL_IDS - 1 && e->ours[slot].live)
		slot++;
	struct evil_id *o = &e->ours[slot];
	*o = (struct evil_id){ .id = WIRE_ID(slot, WIRE_ID_USE(o->id) + 1), .len = len, .live = true };
	return o->id;
}

/* An id of the context's, the latest first; or any number. */
static struct evil_id *pick_theirs(struct evil *e, struct input *in, uint64_t *id)
{
	unsigned b = input_byte(in);
	struct evil_id *t = &e->theirs[(e->next_theirs - 1 - b) % EVIL_IDS];
	*id = b & 0x80 ? input_number(in) : t->id;
	return t;
}

/* An address for len bytes: good, near the end of what is good, and of the kinds that are not. */
static uint64_t pick_addr(struct evil *e, struct input *in)
{
	unsigned b = input_byte(in);
	uint64_t arena = (uintptr_t)e->arena;
	switch (b % 8) {
	default:
		return arena + b;
	case 4: /* the last bytes, and then the hole */
		return arena + EVIL_ARENA - b / 8;
	case 5:
		return arena + EVIL_ARENA + b;
	case 6:
		return b & 0x80 ? 0xffffffff81000000 + b : UINT64_MAX - b;
	case 7:
		return input_number(in);
	}
}

/* A cell and its cookie. The upper bits choose what is wrong with them. */
static void pick_cell(struct evil *e, struct input *in, uint64_t *cell, uint64_t *cookie)
{
	unsigned b = input_byte(in);
	size_t i = b % EVIL_CELLS;
	*cell = (uintptr_t)&e->cells[i];
	*cookie = i + 1;
	if (b < 128)
		return;
	if (b & 16)
		*cookie = input_number(in);
	if (b & 32)
		*cell = pick_addr(e, in) & ~(uint64_t)7;
	if (b & 64)
		*cell += b % 8;
}

/* ---- the fields ---- */

static void fill_desc(struct evil *e, struct input *in, struct wire_frame *f)
{
	pick_cell(e, in, &f->desc.cell, &f->desc.cookie);
	unsigned count = input_byte(in);
	if (count <= 4) {
		f->desc.range_count = count;
		for (unsigned i = 0; i < count; i++) {
			f->desc.ranges[i].addr = pick_addr(e, in);
			f->desc.ranges[i].len = input_number(in);
			f->desc.len += f->desc.ranges[i].len;
		}
	} else {
		f->desc.range_count = count < 128 ? count
		    : count < 192                 ? (count - 120) * 32
		                                  : (uint32_t)input_number(in);
		f->desc.list = count & 1 ? pick_addr(e, in) : (uintptr_t)e->list;
		uint64_t len = input_number(in);
		f->desc.len = len != 0 ? len : f->desc.range_count; /* what the list is at first */
	}
	if (e->two_handed && count & 2)
		f->desc.hand = (uintptr_t)&e->cells[count / 4 % EVIL_CELLS];
	f->desc.envelope.id = new_id(e, f->desc.len);
}

/* What a SEND may ask for: the whole, the end, and beyond. */
static void fill_send(struct evil *e, struct input *in, struct wire_frame *f)
{
	struct evil_id *t = pick_theirs(e, in, &f->send.id);
	unsigned b = input_byte(in);
	f->send.offset = b & 1 ? input_number(in) : b & 2 ? t->len : 0;
	f->send.len = b & 4 ? input_number(in) : t->len - f->send.offset;
	f->send.epoch = t->epoch + (b & 8 ? (uint32_t)input_number(in) : 1);
	t->epoch = f->send.epoch;
}

/* What was asked for, from the front; the last part, or one too many, may be empty. */
static void fill_data(struct evil *e, struct input *in, struct wire_frame *f)
{
	struct evil_id *o = pick_ours(e, in, &f->data.id);
	unsigned b = input_byte(in);
	f->data.offset = o->offset + (b & 1 ? input_number(in) : 0);
	f->data.epoch = o->epoch + (b & 2 ? (uint32_t)input_number(in) : 0);
	uint64_t len = b & 4 ? input_number(in) : b & 8 ? 0 : o->len;
	f->payload_len = len < WIRE_DATA_LONGEST ? (size_t)len : WIRE_DATA_LONGEST;
	o->offset += f->payload_len;
	o->len -= f->payload_len < o->len ? f->payload_len : o->len;
}

static void fill_done(struct evil *e, struct input *in, struct wire_frame *f, uint8_t *ids)
{
	uint64_t id;
	f->done.count = input_byte(in) % (EVIL_IDS + 1);
	f->done.ids = ids;
	for (size_t i = 0; i < f->done.count; i++) {
		pick_theirs(e, in, &id);
		wire_done_put(ids, i, id);
	}
}

/* What is granted lies in the process that attacks itself, so what is neither the arena nor impossible would be the
 * fuzzer's own memory. */
static uint64_t pick_landing(struct evil *e, struct input *in)
{
	uint64_t at = pick_addr(e, in), low = (uintptr_t)e->arena;
	bool impossible = at < 4096 || at >= (uint64_t)1 << 47;
	return impossible || at - low < (uint64_t)2 * EVIL_ARENA ? at : low;
}

/* The whole message in one range, or several of any length. */
static void fill_grant(struct evil *e, struct input *in, struct wire_frame *f, uint8_t *ranges)
{
	struct evil_id *t = pick_theirs(e, in, &f->grant.id);
	unsigned b = input_byte(in), count = input_byte(in) % (WIRE_GRANT_RANGES + 1);
	pick_cell(e, in, &f->grant.cell, &f->grant.cookie);
	f->grant.offset = b & 1 ? input_number(in) : 0;
	f->grant.epoch = t->epoch + (b & 8 ? (uint32_t)input_number(in) : 1);
	t->epoch = f->grant.epoch;
	f->grant.ranges = ranges;
	f->grant.range_count = count;
	for (size_t i = 0; i < count; i++) {
		struct wire_range range = { .addr = pick_landing(e, in) };
		range.len = b & 2 ? input_number(in) : count == 1 ? t->len - f->grant.offset : 1;
		wire_range_put(ranges, i, range);
	}
}

/* The same, or just the wish for an answer. */
static void fill_assist(struct evil *e, struct input *in, struct wire_frame *f, uint8_t *ranges)
{
	struct wire_frame g = { .type = WIRE_GRANT };
	unsigned b = input_byte(in);
	fill_grant(e, in, &g, ranges);
	f->assist.id = g.grant.id;
	f->assist.offset = g.grant.offset;
	f->assist.cell = g.grant.cell;
	f->assist.cookie = g.grant.cookie;
	f->assist.front = (uintptr_t)&e->cells[b % EVIL_CELLS] + (b & 64 ? b % 8 : 0);
	f->assist.epoch = g.grant.epoch;
	f->assist.cpu = b;
	f->assist.ranges = ranges;
	f->assist.range_count = b & 128 ? 0 : g.grant.range_count;
}

static void fill_assisted(struct evil *e, struct input *in, struct wire_frame *f)
{
	struct evil_id *o = pick_ours(e, in, &f->assisted.id);
	unsigned b = input_byte(in);
	f->assisted.epoch = o->epoch + (b & 4 ? (uint32_t)input_number(in) : 0);
}

/* All that was granted, or less, or more. */
static void fill_pushed(struct evil *e, struct input *in, struct wire_frame *f)
{
	struct evil_id *o = pick_ours(e, in, &f->pushed.id);
	unsigned b = input_byte(in);
	f->pushed.moved = b & 1 ? input_number(in) : o->len;
	f->pushed.error = b & 2 ? (uint32_t)input_number(in) : 0;
	f->pushed.epoch = o->epoch + (b & 4 ? (uint32_t)input_number(in) : 0);
}

/* A tag; or that of a reply. */
static void fill_envelope(struct evil *e, struct input *in, struct wire_envelope *envelope)
{
	unsigned b = input_byte(in);
	envelope->tag = b % 8;
	if (b & 0x40) {
		envelope->channel = WIRE_CHANNEL_REPLIES;
		pick_theirs(e, in, &envelope->tag);
	}
}

static void fill_eager(struct evil *e, struct input *in, struct wire_frame *f)
{
	fill_envelope(e, in, &f->eager.envelope);
	uint64_t len = input_number(in);
	f->payload_len = len < WIRE_EAGER_LONGEST ? (size_t)len : WIRE_EAGER_LONGEST;
	if (f->flags & WIRE_FLAG_SYNC)
		f->eager.envelope.id = new_id(e, len);
}

/* The words lie where they may be written to: the context rings there. */
static void fill_outbox(struct evil *e, struct input *in, struct wire_frame *f)
{
	unsigned b = input_byte(in);
	evil_outbox_describe(e, f);
	if (b & 1)
		f->outbox.ring = pick_landing(e, in);
	if (b & 2)
		f->outbox.ring_size = (uint32_t)input_number(in);
	if (b & 4)
		f->outbox.state = pick_landing(e, in) & ~(uint64_t)(b & 32 ? 0 : 7);
	if (b & 8)
		f->outbox.head = pick_addr(e, in) & ~(uint64_t)(b & 32 ? 0 : 7);
	if (b & 16)
		f->outbox.cookie = input_number(in);
	evil_outbox_said(e, f);
}

static void fill(struct evil *e, struct input *in, struct wire_frame *f, uint8_t *room)
{
	switch (f->type) {
	case WIRE_GRANTED:
		f->granted.addr = input_byte(in) & 1 ? pick_addr(e, in) : (uintptr_t)&e->answer;
		break;
	case WIRE_VERDICT:
		f->verdict.error = (uint32_t)input_number(in);
		f->verdict.words = "\x1b[31mno\n";
		f->verdict.words_len = input_byte(in) % 9;
		break;
	case WIRE_REJECT:
		f->reject.error = (uint32_t)input_number(in);
		break;
	case WIRE_EAGER:
		fill_eager(e, in, f);
		break;
	case WIRE_DESC:
		fill_envelope(e, in, &f->desc.envelope);
		fill_desc(e, in, f);
		break;
	case WIRE_SEND:
		fill_send(e, in, f);
		break;
	case WIRE_DATA:
		fill_data(e, in, f);
		break;
	case WIRE_DONE:
		fill_done(e, in, f, room);
		break;
	case WIRE_GRANT:
		fill_grant(e, in, f, room);
		break;
	case WIRE_PUSHED:
		fill_pushed(e, in, f);
		break;
	case WIRE_ASSIST:
		fill_assist(e, in, f, room);
		break;
	case WIRE_ASSISTED:
		fill_assisted(e, in, f);
		break;
	case WIRE_REFUSED:
		pick_theirs(e, in, &f->refused.id);
		f->refused.error = (uint32_t)input_number(in);
		f->refused.got = input_number(in);
		break;
	case WIRE_RIGHTS:
		pick_ours(e, in, &f->rights.id);
		f->rights.count = input_byte(in);
		f->rights.error = input_byte(in);
		break;
	case WIRE_FETCH:
	case WIRE_CANCELED:
	case WIRE_FLUSHED:
		pick_theirs(e, in, &f->id);
		break;
	case WIRE_CANCEL:
		pick_ours(e, in, &f->id);
		break;
	case WIRE_ABORT:
		pick_ours(e, in, &f->abort.id);
		f->abort.error = (uint32_t)input_number(in);
		break;
	case WIRE_FLUSH:
		f->id = new_id(e, 0);
		break;
	case WIRE_OUTBOX:
		fill_outbox(e, in, f);
		break;
	case WIRE_DEMOTE:
		f->position = e->outbox.taken + input_number(in);
		e->outbox.mad = e->outbox.mad || f->position != e->outbox.taken;
		break;
	case WIRE_RESUME:
		f->position = evil_outbox_read_by_it(e) + input_number(in);
		break;
	case WIRE_BELL:
		if (f->flags == 0)
			break;
		f->position = e->outbox.tail + input_number(in);
		f->payload_len = input_number(in);
		f->payload = e->arena;
		break;
	case WIRE_READY:
	case WIRE_CREDIT:
	case WIRE_BYE:
		break;
	}
}

/* ---- saying it ---- */

/* HELLO is no frame, but must be possible. */
static size_t encode_hello(struct evil *e, struct input *in, uint8_t *bytes, size_t size)
{
	unsigned b = input_byte(in);
	struct wire_hello hello = { .version_min = WIRE_VERSION_MIN, .version_max = WIRE_VERSION_MAX };
	hello.features = b & 1 ? UINT64_MAX : 0;
	hello.max_msg = b & 2 ? input_number(in) : INT64_MAX;
	hello.eager_max = b & 4 ? (uint32_t)input_number(in) : WIRE_EAGER_LONGEST;
	e->credit_bytes = hello.credit_bytes = b & 8 ? (uint32_t)input_number(in) : 1 << 18;
	e->credit_descs = hello.credit_descs = b & 16 ? (uint32_t)input_number(in) : 64;
	return wire_hello_encode(&hello, bytes, size);
}

void evil_frame(struct evil *e, struct input *in)
{
	uint8_t bytes[WIRE_FRAME_ROOM], room[WIRE_FRAME_ROOM];
	unsigned type = input_byte(in);
	size_t len, payload = 0;
	if (type == 0) {
		len = encode_hello(e, in, bytes, sizeof(bytes));
	} else {
		struct wire_frame f = { .type = (enum wire_type)(type % 64),
			.flags = (uint8_t)(type / 64),
			.credit_bytes = e->credit_bytes,
			.credit_descs = e->credit_descs };
		if (f.type == WIRE_CANCEL && f.flags != 0)
			f.flags = WIRE_FLAG_IDLE;
		if (f.type == WIRE_DESC && f.flags == WIRE_FLAG_CALL) /* which goes with SYNC only */
			f.flags = WIRE_FLAG_FDS;
		fill(e, in, &f, room);
		len = wire_encode(&f, bytes, sizeof(bytes));
		payload = f.payload_len;
	}
	if (len == 0)
		return;
	size_t safe = type % 64 == WIRE_GRANT ? WIRE_HEADER_SIZE + WIRE_GRANT_SIZE /* see pick_landing() */
	    : type % 64 == WIRE_ASSIST        ? WIRE_HEADER_SIZE + WIRE_ASSIST_SIZE
	    : type % 64 == WIRE_OUTBOX        ? WIRE_HEADER_SIZE
	                                      : len;
	if (e->flip_at > 0 && e->flip_at % len < safe)
		bytes[e->flip_at % len] ^= e->flip_bits;
	e->flip_at = 0;
	bool held = e->hold;
	e->hold = true; /* one write for both */
	evil_say(e, bytes, len);
	for (size_t n; payload > 0; payload -= n) {
		n = payload < EVIL_ARENA ? payload : EVIL_ARENA;
		evil_say(e, e->arena, n);
	}
	e->hold = held;
	evil_say(e, NULL, 0);
	e->outbox.ready = e->outbox.ready || type == WIRE_READY;
}
