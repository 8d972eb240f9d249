/* SPDX-License-Identifier: BSD-3-Clause */
/* Asks. See ask.h. */
#include "rma/ask.h"

#include <errno.h>

#include "wire/cursor.h"

void ask_encode(const struct ask *a, uint8_t bytes[WIRE_ASK_SIZE])
{
	struct writer w = { .at = bytes };
	for (size_t i = 0; i < WIRE_HANDLE_WORDS; i++)
		put_u64(&w, a->handle.words[i]);
	put_u64(&w, a->offset);
	put_u64(&w, a->len);
	put_u64(&w, a->answer);
}

bool ask_decode(struct ask *a, const uint8_t bytes[WIRE_ASK_SIZE], uint64_t tag, uint64_t message_len)
{
	struct reader r = { .at = bytes, .left = WIRE_ASK_SIZE };
	for (size_t i = 0; i < WIRE_HANDLE_WORDS; i++)
		a->handle.words[i] = get_u64(&r);
	a->offset = get_u64(&r);
	a->len = get_u64(&r);
	a->answer = get_u64(&r);
	if (message_len < WIRE_ASK_SIZE)
		return false;
	if (tag == WIRE_ASK_GET)
		return message_len == WIRE_ASK_SIZE;
	return tag == WIRE_ASK_PUT && a->answer == 0 && a->len == message_len - WIRE_ASK_SIZE;
}

static const struct {
	int ours, wire;
} errors[] = { { -ESTALE, -ENXIO }, { -EINVAL, -EBADMSG }, { -ENOMEM, -ENOBUFS } };

enum { ERRORS = sizeof(errors) / sizeof(errors[0]) };

int ask_to_wire(int error)
{
	for (size_t i = 0; i < ERRORS; i++)
		if (errors[i].ours == error)
			return errors[i].wire;
	return error;
}

int ask_from_wire(int error)
{
	for (size_t i = 0; i < ERRORS; i++)
		if (errors[i].wire == error)
			return errors[i].ours;
	return error;
}
