/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading and writing of little-endian numbers. Reading is checked: a reader that runs out of bytes turns bad and
 * stays bad; numbers read from a bad one are 0. So a codec is written straight through and asks once, at the end,
 * whether all of it was there. How much will be written is known before: whoever writes sees to it that there is
 * room. Inline: this is on the way of every message.
 */
#ifndef HAUL_WIRE_CURSOR_H
#define HAUL_WIRE_CURSOR_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

struct writer {
	uint8_t *at;
};

/* The next len bytes where they lie, or NULL. */
static inline const uint8_t *get_bytes(struct reader *r, size_t len)
{
	if (r->left < len) {
		r->bad = true;
		r->left = 0;
		return NULL;
	}
	const uint8_t *at = r->at;
	r->at += len;
	r->left -= len;
	return at;
}

static inline uint8_t get_u8(struct reader *r)
{
	const uint8_t *at = get_bytes(r, 1);
	return at != NULL ? *at : 0;
}

static inline uint16_t get_u16(struct reader *r)
{
	uint16_t v = 0;
	const uint8_t *at = get_bytes(r, sizeof(v));
	if (at != NULL)
		memcpy(&v, at, sizeof(v));
	return le16toh(v);
}

static inline uint32_t get_u32(struct reader *r)
{
	uint32_t v = 0;
	const uint8_t *at = get_bytes(r, sizeof(v));
	if (at != NULL)
		memcpy(&v, at, sizeof(v));
	return le32toh(v);
}

static inline uint64_t get_u64(struct reader *r)
{
	uint64_t v = 0;
	const uint8_t *at = get_bytes(r, sizeof(v));
	if (at != NULL)
		memcpy(&v, at, sizeof(v));
	return le64toh(v);
}

static inline void put_bytes(struct writer *w, const void *bytes, size_t len)
{
	if (len > 0)
		memcpy(w->at, bytes, len);
	w->at += len;
}

static inline void put_u8(struct writer *w, uint8_t v)
{
	put_bytes(w, &v, sizeof(v));
}

static inline void put_u16(struct writer *w, uint16_t v)
{
	v = htole16(v);
	put_bytes(w, &v, sizeof(v));
}

static inline void put_u32(struct writer *w, uint32_t v)
{
	v = htole32(v);
	put_bytes(w, &v, sizeof(v));
}

static inline void put_u64(struct writer *w, uint64_t v)
{
	v = htole64(v);
	put_bytes(w, &v, sizeof(v));
}

#endif
