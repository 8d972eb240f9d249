/* SPDX-License-Identifier: BSD-3-Clause */
/* An outbox made by hand. See handbox.h. */
#include "handbox.h"

#include <string.h>
#include <sys/mman.h>

#include "must.h"

enum { PAGE = 4096, MAPPED = 3 * PAGE, BODY_MOST = 512, ROUNDS = 100000 };

void handbox_init(struct handbox *b)
{
	*b = (struct handbox){ 0 };
	b->pages = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(b->pages != MAP_FAILED);
	must_be(mprotect(b->pages + 2 * PAGE, PAGE, PROT_NONE), 0);
	b->words = (volatile uint64_t *)(b->pages + PAGE) - HANDBOX_WORDS;
	b->ring = b->pages + PAGE;
	b->words[HANDBOX_COOKIE_AT] = HANDBOX_COOKIE;
	raw_put(b->body, (uintptr_t)b->ring, 8);
	raw_put(b->body + 8, (uintptr_t)b->words, 8);
	raw_put(b->body + 16, (uintptr_t)&b->words[HANDBOX_HEAD], 8);
	raw_put(b->body + 24, HANDBOX_COOKIE, 8);
	raw_put(b->body + 32, HANDBOX_RING, 4);
}

void handbox_fini(struct handbox *b)
{
	munmap(b->pages, MAPPED);
}

void handbox_start(struct handmade *m, struct handbox *b)
{
	struct haul_options o = { .transport = HAUL_TRANSPORT_OUTBOX, .eager_max = 65536 };
	handbox_init(b);
	handmade_start_as(m, &o,
	    &(struct raw){ .features = WIRE_FEATURE_PUSH | WIRE_FEATURE_OUTBOX, .outbox = b->body });
}

/* What a parcel takes of a ring. */
static uint64_t extent(uint64_t len)
{
	return (WIRE_PARCEL_HEAD + len + WIRE_PARCEL_ALIGN - 1) / WIRE_PARCEL_ALIGN * WIRE_PARCEL_ALIGN;
}

/* Of one that is laid on blank, or of any. */
static bool is_stamp(uint64_t word, uint64_t cookie, uint64_t position)
{
	return word - cookie - position <= WIRE_STAMP_BLANK;
}

void handbox_claim(struct handbox *b, uint64_t len)
{
	uint64_t *head = (uint64_t *)(b->ring + b->tail % HANDBOX_RING);
	head[1] = len;
	__atomic_store_n(&head[0], HANDBOX_COOKIE + b->tail, __ATOMIC_RELEASE);
}

void handbox_put(struct handbox *b, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;
	for (size_t i = 0; i < len; i++) {
		b->ring[(b->tail + WIRE_PARCEL_HEAD + i) % HANDBOX_RING] = from[i];
		if (b->sent + i < sizeof(b->said))
			b->said[b->sent + i] = from[i];
	}
	handbox_claim(b, len);
	b->tail += extent(len);
	b->sent += len;
}

void handbox_ring(struct handmade *m)
{
	handbox_ring_for(m, 0, NULL, 0);
}

void handbox_ring_for(struct handmade *m, uint64_t position, const void *bytes, size_t len)
{
	enum { MOST = WIRE_BELL_LONGEST + 1 };
	uint8_t body[WIRE_BELL_SIZE + MOST];
	must(len <= MOST);
	raw_put(body, position, 8);
	if (len > 0)
		memcpy(body + WIRE_BELL_SIZE, bytes, len);
	raw_send_frame(&m->raw, WIRE_BELL, 0, body, WIRE_BELL_SIZE + len);
}

void handbox_say(struct handbox *b, int type, const char *sizes, const uint64_t *numbers)
{
	uint8_t body[BODY_MOST], bytes[WIRE_HEADER_SIZE + BODY_MOST];
	size_t at = 0;
	for (; *sizes != '\0'; sizes++) {
		size_t size = (size_t)(*sizes - '0');
		must(at + size <= sizeof(body));
		raw_put(body + at, *numbers++, size);
		at += size;
	}
	handbox_put(b, bytes, raw_frame_bytes(bytes, type, 0, body, at));
}

void handbox_eager(struct handbox *b, uint64_t tag, const void *payload, size_t len)
{
	uint8_t body[HANDBOX_RING] = { 0 }, bytes[WIRE_HEADER_SIZE + HANDBOX_RING];
	raw_put(body, tag, 8);
	memcpy(body + WIRE_EAGER_SIZE, payload, len);
	handbox_put(b, bytes, raw_frame_bytes(bytes, WIRE_EAGER, 0, body, WIRE_EAGER_SIZE + len));
}

volatile uint64_t *handbox_their_word(const struct handmade *m, size_t word)
{
	return (volatile uint64_t *)(uintptr_t)raw_get(m->raw.their_outbox + 8, 8) + word;
}

uint64_t handbox_their_tail(const struct handmade *m, size_t parcels, uint64_t *sent)
{
	const uint8_t *ring = (const uint8_t *)(uintptr_t)raw_get(m->raw.their_outbox, 8);
	uint64_t size = raw_get(m->raw.their_outbox + 32, 4), cookie = raw_get(m->raw.their_outbox + 24, 8),
	         at = 0;
	for (*sent = 0; at < size && parcels > 0; parcels--) {
		const uint64_t *head = (const uint64_t *)(ring + at);
		if (!is_stamp(__atomic_load_n(&head[0], __ATOMIC_ACQUIRE), cookie, at))
			break;
		*sent += head[1];
		at += extent(head[1]);
	}
	return at;
}

static void take(struct handmade *m, struct handbox *b, uint8_t *to, size_t len)
{
	const uint8_t *ring = (const uint8_t *)(uintptr_t)raw_get(m->raw.their_outbox, 8);
	uint64_t size = raw_get(m->raw.their_outbox + 32, 4), cookie = raw_get(m->raw.their_outbox + 24, 8);
	for (size_t i = 0, rounds = 0; i < len; i++) {
		const uint64_t *head = (const uint64_t *)(ring + b->head % size);
		while (!is_stamp(__atomic_load_n(&head[0], __ATOMIC_ACQUIRE), cookie, b->head)) {
			haul_progress(m->haul);
			must(++rounds < ROUNDS);
		}
		to[i] = ring[(b->head + WIRE_PARCEL_HEAD + b->into) % size];
		if (++b->into == head[1]) {
			b->head += extent(head[1]);
			b->into = 0;
			b->words[HANDBOX_HEAD] = b->head;
		}
	}
}

const struct raw_frame *handbox_next(struct handmade *m, struct handbox *b, int type)
{
	static struct raw_frame f;
	uint8_t head[WIRE_HEADER_SIZE];
	do {
		take(m, b, head, sizeof(head));
		f = (struct raw_frame){ .type = head[0], .flags = head[1], .size = raw_get(head + 4, 4) };
		must(f.size <= sizeof(f.body));
		take(m, b, f.body, f.size);
	} while (f.type == WIRE_CREDIT);
	must_be(f.type, type);
	return &f;
}
