/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames to bytes and back. See frame.h. One table says what each type looks like; one switch each way
 * walks its fields, but for EAGER's. Lengths are checked before any arithmetic with them.
 */
#include "wire/frame.h"

#include <assert.h>
#include <string.h>

#include "wire/cursor.h"

/* The shape of each type: the fixed body, then up to `most` units of `unit` bytes. */
struct shape {
	const char *name;
	uint32_t fixed, unit, most;
};

static const struct shape shapes[] = {
	[WIRE_GRANTED] = { "GRANTED", WIRE_GRANTED_SIZE, 0, 0 },
	[WIRE_VERDICT] = { "VERDICT", WIRE_VERDICT_SIZE, 1, WIRE_WORDS_LONGEST },
	[WIRE_READY] = { "READY", 0, 0, 0 },
	[WIRE_REJECT] = { "REJECT", WIRE_REJECT_SIZE, 0, 0 },
	[WIRE_OUTBOX] = { "OUTBOX", WIRE_OUTBOX_SIZE, 0, 0 },
	[WIRE_EAGER] = { "EAGER", WIRE_EAGER_SIZE, 1, WIRE_EAGER_LONGEST },
	[WIRE_DESC] = { "DESC", WIRE_DESC_SIZE, WIRE_RANGE_SIZE, WIRE_DESC_RANGES },
	[WIRE_SEND] = { "SEND", WIRE_SEND_SIZE, 0, 0 },
	[WIRE_DATA] = { "DATA", WIRE_DATA_SIZE, 1, WIRE_DATA_LONGEST },
	[WIRE_DONE] = { "DONE", WIRE_DONE_SIZE, WIRE_ID_SIZE, WIRE_DONE_IDS },
	[WIRE_REFUSED] = { "REFUSED", WIRE_REFUSED_SIZE, 0, 0 },
	[WIRE_CANCEL] = { "CANCEL", WIRE_CANCEL_SIZE, 0, 0 },
	[WIRE_CANCELED] = { "CANCELED", WIRE_CANCELED_SIZE, 0, 0 },
	[WIRE_ABORT] = { "ABORT", WIRE_ABORT_SIZE, 0, 0 },
	[WIRE_FLUSH] = { "FLUSH", WIRE_FLUSH_SIZE, 0, 0 },
	[WIRE_FLUSHED] = { "FLUSHED", WIRE_FLUSHED_SIZE, 0, 0 },
	[WIRE_GRANT] = { "GRANT", WIRE_GRANT_SIZE, WIRE_RANGE_SIZE, WIRE_GRANT_RANGES },
	[WIRE_PUSHED] = { "PUSHED", WIRE_PUSHED_SIZE, 0, 0 },
	[WIRE_ASSIST] = { "ASSIST", WIRE_ASSIST_SIZE, WIRE_RANGE_SIZE, WIRE_GRANT_RANGES },
	[WIRE_ASSISTED] = { "ASSISTED", WIRE_ASSISTED_SIZE, 0, 0 },
	[WIRE_FETCH] = { "FETCH", WIRE_FETCH_SIZE, 0, 0 },
	[WIRE_CREDIT] = { "CREDIT", 0, 0, 0 },
	[WIRE_BYE] = { "BYE", 0, 0, 0 },
	[WIRE_BELL] = { "BELL", WIRE_BELL_SIZE, 1, WIRE_BELL_LONGEST },
	[WIRE_DEMOTE] = { "DEMOTE", WIRE_DEMOTE_SIZE, 0, 0 },
	[WIRE_RESUME] = { "RESUME", WIRE_RESUME_SIZE, 0, 0 },
	[WIRE_RIGHTS] = { "RIGHTS", WIRE_RIGHTS_SIZE, 0, 0 },
};

static const struct shape *shape_of(unsigned type)
{
	if (type >= sizeof(shapes) / sizeof(shapes[0]) || shapes[type].name == NULL)
		return NULL;
	return &shapes[type];
}

const char *wire_type_name(enum wire_type type)
{
	const struct shape *s = shape_of(type);
	return s != NULL ? s->name : "unknown";
}

int wire_peek(const uint8_t *buf, size_t len, struct wire_head *head)
{
	if (len < WIRE_HEADER_SIZE)
		return 0;
	struct reader r = { .at = buf, .left = len };
	const struct shape *s = shape_of(get_u8(&r));
	get_u8(&r);
	uint16_t reserved = get_u16(&r);
	size_t size = get_u32(&r);
	size_t variable = s != NULL ? size - s->fixed : 0;
	if (s == NULL || reserved != 0 || size < s->fixed || variable > s->unit * s->most ||
	    (s->unit > 1 && variable % s->unit != 0))
		return -1;
	head->whole = WIRE_HEADER_SIZE + size;
	head->decoding = s == &shapes[WIRE_DATA] ? WIRE_HEADER_SIZE + WIRE_DATA_SIZE : head->whole;
	return 1;
}

/* Reserved bytes are 0: a meaning for them would come with a new version. */
static void get_reserved(struct reader *r, size_t len)
{
	for (; len > 0; len -= sizeof(uint32_t))
		if (get_u32(r) != 0)
			r->bad = true;
}

static inline void get_envelope(struct reader *r, struct wire_envelope *e)
{
	e->tag = get_u64(r);
	e->id = get_u64(r);
	e->channel = get_u32(r);
}

static void put_envelope(struct writer *w, const struct wire_envelope *e)
{
	put_u64(w, e->tag);
	put_u64(w, e->id);
	put_u32(w, e->channel);
}

/* ---- EAGER: by itself, for it is the commonest by far ---- */

enum { EAGER_HEAD = WIRE_HEADER_SIZE + WIRE_EAGER_SIZE };

size_t wire_decode_eager(const uint8_t *buf, size_t len, struct wire_frame *f)
{
	enum { FLAGS = 0xff00 };
	if (len < EAGER_HEAD)
		return 0;
	struct reader r = { .at = buf, .left = EAGER_HEAD };
	uint32_t first = get_u32(&r); /* type, flags, and what is reserved */
	size_t whole = WIRE_HEADER_SIZE + (size_t)get_u32(&r);
	if ((first & ~(uint32_t)FLAGS) != WIRE_EAGER || whole < EAGER_HEAD ||
	    whole > EAGER_HEAD + WIRE_EAGER_LONGEST || whole > len)
		return 0;
	f->type = WIRE_EAGER;
	f->flags = (uint8_t)(first >> 8);
	f->credit_bytes = get_u32(&r);
	f->credit_descs = get_u32(&r);
	get_envelope(&r, &f->eager.envelope);
	f->payload = buf + EAGER_HEAD;
	f->payload_len = whole - EAGER_HEAD;
	return get_u32(&r) == 0 ? whole : 0;
}

/* The payload follows, from where it lies. */
static size_t encode_eager(const struct wire_frame *f, uint8_t *buf, size_t size)
{
	if (size < EAGER_HEAD || f->payload_len > WIRE_EAGER_LONGEST)
		return 0;
	struct writer w = { .at = buf };
	put_u32(&w, WIRE_EAGER | (uint32_t)f->flags << 8);
	put_u32(&w, (uint32_t)(WIRE_EAGER_SIZE + f->payload_len));
	put_u32(&w, f->credit_bytes);
	put_u32(&w, f->credit_descs);
	put_envelope(&w, &f->eager.envelope);
	put_u32(&w, 0);
	return EAGER_HEAD;
}

/* ---- all of them ---- */

/* A DESC carries all its ranges or none of them. */
static bool get_ranges(struct reader *r, struct wire_frame *f)
{
	size_t inside = r->left / WIRE_RANGE_SIZE;
	if (f->desc.range_count > WIRE_RANGES_MOST)
		return false;
	if (inside != (f->desc.range_count <= WIRE_DESC_RANGES ? f->desc.range_count : 0))
		return false;
	for (size_t i = 0; i < inside; i++) {
		f->desc.ranges[i].addr = get_u64(r);
		f->desc.ranges[i].len = get_u64(r);
	}
	return true;
}

bool wire_decode(const uint8_t *buf, const struct wire_head *head, struct wire_frame *f)
{
	if (buf[0] == WIRE_EAGER)
		return wire_decode_eager(buf, head->decoding, f) > 0;
	struct reader r = { .at = buf, .left = head->decoding };
	f->type = get_u8(&r);
	f->flags = get_u8(&r);
	get_bytes(&r, sizeof(uint16_t) + sizeof(uint32_t)); /* seen by wire_peek() */
	f->credit_bytes = get_u32(&r);
	f->credit_descs = get_u32(&r);
	f->payload = NULL;
	f->payload_len = 0;

	switch (f->type) {
	case WIRE_GRANTED:
		f->granted.addr = get_u64(&r);
		break;
	case WIRE_VERDICT:
		f->verdict.error = get_u32(&r);
		get_reserved(&r, 4);
		f->verdict.words_len = r.left;
		f->verdict.words = (const char *)get_bytes(&r, r.left);
		break;
	case WIRE_REJECT:
		f->reject.error = get_u32(&r);
		get_reserved(&r, 4);
		break;
	case WIRE_OUTBOX:
		f->outbox.ring = get_u64(&r);
		f->outbox.state = get_u64(&r);
		f->outbox.head = get_u64(&r);
		f->outbox.cookie = get_u64(&r);
		f->outbox.ring_size = get_u32(&r);
		get_reserved(&r, 4);
		break;
	case WIRE_BELL:
		f->position = get_u64(&r);
		f->payload_len = r.left;
		f->payload = get_bytes(&r, r.left);
		break;
	case WIRE_DEMOTE:
	case WIRE_RESUME:
		f->position = get_u64(&r);
		break;
	case WIRE_DESC:
		get_envelope(&r, &f->desc.envelope);
		f->desc.range_count = get_u32(&r);
		f->desc.len = get_u64(&r);
		f->desc.cell = get_u64(&r);
		f->desc.cookie = get_u64(&r);
		f->desc.list = get_u64(&r);
		f->desc.hand = get_u64(&r);
		if (!get_ranges(&r, f))
			return false;
		break;
	case WIRE_SEND:
		f->send.id = get_u64(&r);
		f->send.offset = get_u64(&r);
		f->send.len = get_u64(&r);
		f->send.epoch = get_u32(&r);
		get_reserved(&r, 4);
		break;
	case WIRE_DATA:
		f->data.id = get_u64(&r);
		f->data.offset = get_u64(&r);
		f->data.epoch = get_u32(&r);
		get_reserved(&r, 4);
		f->payload_len = head->whole - head->decoding;
		f->payload = r.at;
		break;
	case WIRE_DONE:
		f->done.count = r.left / WIRE_ID_SIZE;
		f->done.ids = get_bytes(&r, r.left);
		break;
	case WIRE_REFUSED:
		f->refused.id = get_u64(&r);
		f->refused.got = get_u64(&r);
		f->refused.error = get_u32(&r);
		get_reserved(&r, 4);
		break;
	case WIRE_ABORT:
		f->abort.id = get_u64(&r);
		f->abort.error = get_u32(&r);
		get_reserved(&r, 4);
		break;
	case WIRE_GRANT:
		f->grant.id = get_u64(&r);
		f->grant.offset = get_u64(&r);
		f->grant.cell = get_u64(&r);
		f->grant.cookie = get_u64(&r);
		f->grant.epoch = get_u32(&r);
		get_reserved(&r, 4);
		f->grant.range_count = r.left / WIRE_RANGE_SIZE;
		f->grant.ranges = get_bytes(&r, r.left);
		break;
	case WIRE_PUSHED:
		f->pushed.id = get_u64(&r);
		f->pushed.moved = get_u64(&r);
		f->pushed.epoch = get_u32(&r);
		f->pushed.error = get_u32(&r);
		break;
	case WIRE_ASSIST:
		f->assist.id = get_u64(&r);
		f->assist.offset = get_u64(&r);
		f->assist.cell = get_u64(&r);
		f->assist.cookie = get_u64(&r);
		f->assist.front = get_u64(&r);
		f->assist.epoch = get_u32(&r);
		f->assist.cpu = get_u32(&r);
		f->assist.range_count = r.left / WIRE_RANGE_SIZE;
		f->assist.ranges = get_bytes(&r, r.left);
		break;
	case WIRE_ASSISTED:
		f->assisted.id = get_u64(&r);
		f->assisted.epoch = get_u32(&r);
		get_reserved(&r, 4);
		break;
	case WIRE_RIGHTS:
		f->rights.id = get_u64(&r);
		f->rights.count = get_u32(&r);
		f->rights.error = get_u32(&r);
		break;
	case WIRE_CANCEL:
	case WIRE_CANCELED:
	case WIRE_FLUSH:
	case WIRE_FLUSHED:
	case WIRE_FETCH:
		f->id = get_u64(&r);
		break;
	case WIRE_READY:
	case WIRE_CREDIT:
	case WIRE_BYE:
	case WIRE_EAGER: /* not here */
		break;
	}
	return !r.bad;
}

/* The length of what follows the fixed body; SIZE_MAX if it breaks a limit. */
static size_t variable_size(const struct wire_frame *f)
{
	size_t n = 0;
	switch (f->type) {
	case WIRE_VERDICT:
		n = f->verdict.words_len;
		break;
	case WIRE_DATA:
	case WIRE_BELL:
		n = f->payload_len;
		break;
	case WIRE_DESC:
		if (f->desc.range_count > WIRE_RANGES_MOST)
			return SIZE_MAX;
		n = f->desc.range_count <= WIRE_DESC_RANGES ? f->desc.range_count : 0;
		break;
	case WIRE_DONE:
		n = f->done.count;
		break;
	case WIRE_GRANT:
		n = f->grant.range_count;
		break;
	case WIRE_ASSIST:
		n = f->assist.range_count;
		break;
	default:
		break;
	}
	const struct shape *s = &shapes[f->type];
	return n <= s->most ? n * s->unit : SIZE_MAX;
}

size_t wire_encode(const struct wire_frame *f, uint8_t *buf, size_t size)
{
	if (f->type == WIRE_EAGER)
		return encode_eager(f, buf, size);
	const struct shape *s = shape_of(f->type);
	size_t variable = s != NULL ? variable_size(f) : SIZE_MAX;
	if (variable == SIZE_MAX)
		return 0;
	bool follows = f->type == WIRE_DATA || f->type == WIRE_BELL; /* the payload does, from where it lies */
	size_t len = WIRE_HEADER_SIZE + s->fixed + (follows ? 0 : variable);
	if (size < len)
		return 0;
	struct writer w = { .at = buf };
	put_u8(&w, (uint8_t)f->type);
	put_u8(&w, f->flags);
	put_u16(&w, 0);
	put_u32(&w, (uint32_t)(s->fixed + variable));
	put_u32(&w, f->credit_bytes);
	put_u32(&w, f->credit_descs);

	switch (f->type) {
	case WIRE_GRANTED:
		put_u64(&w, f->granted.addr);
		break;
	case WIRE_VERDICT:
		put_u32(&w, f->verdict.error);
		put_u32(&w, 0);
		put_bytes(&w, f->verdict.words, f->verdict.words_len);
		break;
	case WIRE_REJECT:
		put_u32(&w, f->reject.error);
		put_u32(&w, 0);
		break;
	case WIRE_OUTBOX:
		put_u64(&w, f->outbox.ring);
		put_u64(&w, f->outbox.state);
		put_u64(&w, f->outbox.head);
		put_u64(&w, f->outbox.cookie);
		put_u32(&w, f->outbox.ring_size);
		put_u32(&w, 0);
		break;
	case WIRE_BELL:
	case WIRE_DEMOTE:
	case WIRE_RESUME:
		put_u64(&w, f->position);
		break;
	case WIRE_DESC:
		put_envelope(&w, &f->desc.envelope);
		put_u32(&w, f->desc.range_count);
		put_u64(&w, f->desc.len);
		put_u64(&w, f->desc.cell);
		put_u64(&w, f->desc.cookie);
		put_u64(&w, f->desc.list);
		put_u64(&w, f->desc.hand);
		for (size_t i = 0; i < variable / WIRE_RANGE_SIZE; i++) {
			put_u64(&w, f->desc.ranges[i].addr);
			put_u64(&w, f->desc.ranges[i].len);
		}
		break;
	case WIRE_SEND:
		put_u64(&w, f->send.id);
		put_u64(&w, f->send.offset);
		put_u64(&w, f->send.len);
		put_u32(&w, f->send.epoch);
		put_u32(&w, 0);
		break;
	case WIRE_DATA:
		put_u64(&w, f->data.id);
		put_u64(&w, f->data.offset);
		put_u32(&w, f->data.epoch);
		put_u32(&w, 0);
		break;
	case WIRE_DONE:
		put_bytes(&w, f->done.ids, variable);
		break;
	case WIRE_REFUSED:
		put_u64(&w, f->refused.id);
		put_u64(&w, f->refused.got);
		put_u32(&w, f->refused.error);
		put_u32(&w, 0);
		break;
	case WIRE_ABORT:
		put_u64(&w, f->abort.id);
		put_u32(&w, f->abort.error);
		put_u32(&w, 0);
		break;
	case WIRE_GRANT:
		put_u64(&w, f->grant.id);
		put_u64(&w, f->grant.offset);
		put_u64(&w, f->grant.cell);
		put_u64(&w, f->grant.cookie);
		put_u32(&w, f->grant.epoch);
		put_u32(&w, 0);
		put_bytes(&w, f->grant.ranges, variable);
		break;
	case WIRE_PUSHED:
		put_u64(&w, f->pushed.id);
		put_u64(&w, f->pushed.moved);
		put_u32(&w, f->pushed.epoch);
		put_u32(&w, f->pushed.error);
		break;
	case WIRE_ASSIST:
		put_u64(&w, f->assist.id);
		put_u64(&w, f->assist.offset);
		put_u64(&w, f->assist.cell);
		put_u64(&w, f->assist.cookie);
		put_u64(&w, f->assist.front);
		put_u32(&w, f->assist.epoch);
		put_u32(&w, f->assist.cpu);
		put_bytes(&w, f->assist.ranges, variable);
		break;
	case WIRE_ASSISTED:
		put_u64(&w, f->assisted.id);
		put_u32(&w, f->assisted.epoch);
		put_u32(&w, 0);
		break;
	case WIRE_RIGHTS:
		put_u64(&w, f->rights.id);
		put_u32(&w, f->rights.count);
		put_u32(&w, f->rights.error);
		break;
	case WIRE_CANCEL:
	case WIRE_CANCELED:
	case WIRE_FLUSH:
	case WIRE_FLUSHED:
	case WIRE_FETCH:
		put_u64(&w, f->id);
		break;
	case WIRE_READY:
	case WIRE_CREDIT:
	case WIRE_BYE:
	case WIRE_EAGER: /* not here */
		break;
	}
	assert(w.at == buf + len);
	return len;
}

int wire_hello_peek(const uint8_t *buf, size_t len)
{
	if (memcmp(buf, WIRE_MAGIC, len < WIRE_MAGIC_SIZE ? len : WIRE_MAGIC_SIZE) != 0)
		return -1;
	if (len < WIRE_HEADER_SIZE)
		return 0;
	struct reader r = { .at = buf + WIRE_MAGIC_SIZE + 4, .left = 4 };
	uint32_t size = get_u32(&r);
	if (size < WIRE_HELLO_SIZE || size > WIRE_HELLO_LONGEST)
		return -1;
	return (int)size;
}

bool wire_hello_decode(const uint8_t *buf, size_t len, struct wire_hello *h)
{
	struct reader r = { .at = buf, .left = len };
	get_bytes(&r, WIRE_MAGIC_SIZE);
	h->version_min = get_u16(&r);
	h->version_max = get_u16(&r);
	get_u32(&r);
	h->features = get_u64(&r);
	h->challenge = get_u64(&r);
	h->max_msg = get_u64(&r);
	h->eager_max = get_u32(&r);
	h->credit_bytes = get_u32(&r);
	h->credit_descs = get_u32(&r);
	h->euid = get_u32(&r);
	return !r.bad && h->version_min <= h->version_max && h->eager_max <= WIRE_EAGER_LONGEST &&
	    h->credit_bytes <= WIRE_CREDIT_MOST && h->credit_descs <= WIRE_WINDOW_MOST;
}

size_t wire_hello_encode(const struct wire_hello *h, uint8_t *buf, size_t size)
{
	if (size < WIRE_HELLO_SIZE)
		return 0;
	struct writer w = { .at = buf };
	put_bytes(&w, WIRE_MAGIC, WIRE_MAGIC_SIZE);
	put_u16(&w, h->version_min);
	put_u16(&w, h->version_max);
	put_u32(&w, WIRE_HELLO_SIZE);
	put_u64(&w, h->features);
	put_u64(&w, h->challenge);
	put_u64(&w, h->max_msg);
	put_u32(&w, h->eager_max);
	put_u32(&w, h->credit_bytes);
	put_u32(&w, h->credit_descs);
	put_u32(&w, h->euid);
	put_u64(&w, 0);
	assert(w.at == buf + WIRE_HELLO_SIZE);
	return WIRE_HELLO_SIZE;
}

uint64_t wire_done_id(const struct wire_frame *f, size_t i)
{
	struct reader r = { .at = f->done.ids + i * WIRE_ID_SIZE, .left = WIRE_ID_SIZE };
	return get_u64(&r);
}

void wire_done_put(uint8_t *ids, size_t i, uint64_t id)
{
	struct writer w = { .at = ids + i * WIRE_ID_SIZE };
	put_u64(&w, id);
}

struct wire_range wire_range(const uint8_t *ranges, size_t i)
{
	struct reader r = { .at = ranges + i * WIRE_RANGE_SIZE, .left = WIRE_RANGE_SIZE };
	struct wire_range range = { .addr = get_u64(&r) };
	range.len = get_u64(&r);
	return range;
}

uint64_t wire_hand_put(struct wire_hand hand)
{
	return (uint64_t)hand.epoch << WIRE_HAND_EPOCH_AT | (hand.from & WIRE_HAND_LONGEST) << 1 | hand.live;
}

struct wire_hand wire_hand(uint64_t word)
{
	return (struct wire_hand){ .epoch = (uint32_t)(word >> WIRE_HAND_EPOCH_AT),
		.from = word >> 1 & WIRE_HAND_LONGEST,
		.live = (word & 1) != 0 };
}

void wire_range_put(uint8_t *ranges, size_t i, struct wire_range range)
{
	struct writer w = { .at = ranges + i * WIRE_RANGE_SIZE };
	put_u64(&w, range.addr);
	put_u64(&w, range.len);
}
