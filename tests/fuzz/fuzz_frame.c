/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes, as a peer could send them: first byte even, a HELLO; odd, frames one after the other. What
 * decodes is encoded again and must give the same bytes. Each piece lies in a block of its own size, so that
 * the address sanitizer sees a byte read too many.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
	if (!ok)
		abort();
}

static uint8_t *exact(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	must(copy != NULL);
	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}

/* All but size and reserved bytes, which are the writer's version's. */
static void hello(const uint8_t *data, size_t len)
{
	struct wire_hello h;
	uint8_t again[WIRE_HELLO_SIZE];
	int whole = wire_hello_peek(data, len);
	if (whole <= 0 || (size_t)whole > len)
		return;
	must(whole >= WIRE_HELLO_SIZE && whole <= WIRE_HELLO_LONGEST);
	uint8_t *copy = exact(data, (size_t)whole);
	if (wire_hello_decode(copy, (size_t)whole, &h)) {
		must(wire_hello_encode(&h, again, sizeof(again)) == WIRE_HELLO_SIZE);
		must(memcmp(again, copy, 12) == 0);
		must(memcmp(again + 16, copy + 16, 40) == 0);
	}
	free(copy);
}

/* The length of the frame at data, 0 if there is none that is whole. */
static size_t frame(const uint8_t *data, size_t len)
{
	struct wire_head head;
	struct wire_frame f, eager;
	uint8_t again[WIRE_FRAME_ROOM];
	uint8_t *start = exact(data, len < WIRE_HEADER_SIZE ? len : WIRE_HEADER_SIZE);
	int rc = wire_peek(start, len < WIRE_HEADER_SIZE ? len : WIRE_HEADER_SIZE, &head);
	free(start);
	if (rc != 1)
		return 0;
	must(head.decoding >= WIRE_HEADER_SIZE && head.decoding <= head.whole);
	if (head.decoding > len)
		return 0;
	uint8_t *copy = exact(data, head.decoding);
	bool good = wire_decode(copy, &head, &f);
	if (good) {
		size_t payload = f.payload_len;
		must(wire_encode(&f, again, sizeof(again)) == head.whole - payload);
		must(memcmp(again, copy, head.whole - payload) == 0);
		if (f.type == WIRE_EAGER)
			must(f.payload + payload == copy + head.whole);
	}
	size_t whole = wire_decode_eager(copy, head.decoding, &eager);
	must(whole == (good && f.type == WIRE_EAGER ? head.whole : 0));
	must(whole == 0 || (eager.payload == f.payload && eager.payload_len == f.payload_len));
	free(copy);
	return good && head.whole <= len ? head.whole : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	bool frames = *data++ & 1;
	size--;
	if (!frames) {
		if (size > 0)
			hello(data, size);
		return 0;
	}
	for (size_t n; (n = frame(data, size)) > 0; data += n)
		size -= n;
	return 0;
}
