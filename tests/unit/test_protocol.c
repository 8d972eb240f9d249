/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * docs/protocol.md against protocol.h and the encoder. Every field of every frame has a value of its own
 * here; the frame is encoded, and each row of the document's byte table must find that field's value at the
 * place that it names. So a field that moves, or a row that lies, fails.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

TestSuite(protocol, .timeout = 60);

/* ---- what the code says ---- */

static const uint8_t some_ids[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
static const uint8_t some_range[WIRE_RANGE_SIZE] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

#define ID 0x1817161514131211
#define ENVELOPE \
	{ \
		.tag = 0x2827262524232221, .id = ID, .channel = 0x34333231 \
	}

static const struct wire_frame frames[] = {
	{ .type = WIRE_GRANTED, .granted.addr = 0x4847464544434241 },
	{ .type = WIRE_VERDICT, .verdict = { .error = 0x54535251, .words = "no", .words_len = 2 } },
	{ .type = WIRE_READY },
	{ .type = WIRE_REJECT, .reject.error = 0x54535251 },
	{ .type = WIRE_EAGER, .eager.envelope = ENVELOPE, .payload_len = 5 },
	{ .type = WIRE_DESC,
	    .desc = { .envelope = ENVELOPE,
	        .range_count = 3,
	        .len = 0x6867666564636261,
	        .cell = 0x7877767574737271,
	        .cookie = 0x8887868584838281,
	        .list = 0x9897969594939291,
	        .hand = 0xd8d7d6d5d4d3d2d1 } },
	{ .type = WIRE_SEND,
	    .send = { .id = ID,
	        .offset = 0xa8a7a6a5a4a3a2a1,
	        .len = 0x6867666564636261,
	        .epoch = 0xb4b3b2b1 } },
	{ .type = WIRE_DATA,
	    .data = { .id = ID, .offset = 0xa8a7a6a5a4a3a2a1, .epoch = 0xb4b3b2b1 },
	    .payload_len = 7 },
	{ .type = WIRE_DONE, .done = { .ids = some_ids, .count = 1 } },
	{ .type = WIRE_REFUSED, .refused = { .id = ID, .got = 0xc8c7c6c5c4c3c2c1, .error = 0x54535251 } },
	{ .type = WIRE_CANCEL, .id = ID },
	{ .type = WIRE_CANCELED, .id = ID },
	{ .type = WIRE_ABORT, .abort = { .id = ID, .error = 0x54535251 } },
	{ .type = WIRE_FLUSH, .id = ID },
	{ .type = WIRE_FLUSHED, .id = ID },
	{ .type = WIRE_GRANT,
	    .grant = { .id = ID,
	        .offset = 0xa8a7a6a5a4a3a2a1,
	        .cell = 0x7877767574737271,
	        .cookie = 0x8887868584838281,
	        .epoch = 0xb4b3b2b1,
	        .ranges = some_range,
	        .range_count = 1 } },
	{ .type = WIRE_PUSHED,
	    .pushed = { .id = ID, .moved = 0xc8c7c6c5c4c3c2c2, .epoch = 0xb4b3b2b1, .error = 0x54535251 } },
	{ .type = WIRE_ASSIST,
	    .assist = { .id = ID,
	        .offset = 0xa8a7a6a5a4a3a2a1,
	        .cell = 0x7877767574737271,
	        .cookie = 0x8887868584838281,
	        .front = 0xe8e7e6e5e4e3e2e1,
	        .epoch = 0xb4b3b2b1,
	        .cpu = 0xf4f3f2f1,
	        .ranges = some_range,
	        .range_count = 1 } },
	{ .type = WIRE_ASSISTED, .assisted = { .id = ID, .epoch = 0xb4b3b2b1 } },
	{ .type = WIRE_OUTBOX,
	    .outbox = { .ring = 0xd8d7d6d5d4d3d2d1,
	        .state = 0xe8e7e6e5e4e3e2e1,
	        .head = 0xf8f7f6f5f4f3f2f1,
	        .cookie = 0x8887868584838281,
	        .ring_size = 0x0f0e0d0c } },
	{ .type = WIRE_BELL, .position = 0x1f1e1d1c1b1a1918, .payload_len = 3 },
	{ .type = WIRE_DEMOTE, .position = 0x1f1e1d1c1b1a1918 },
	{ .type = WIRE_RESUME, .position = 0x1f1e1d1c1b1a1918 },
	{ .type = WIRE_FETCH, .id = ID },
	{ .type = WIRE_RIGHTS, .rights = { .id = ID, .count = 0xf5f4f3f2, .error = 0x54535251 } },
	{ .type = WIRE_CREDIT },
	{ .type = WIRE_BYE },
};

enum { FRAMES = sizeof(frames) / sizeof(frames[0]) };

/* The same name means the same value in every frame; but for HELLO and the header, which come first. */
static const struct {
	const char *section, *field; /* section NULL: any */
	uint64_t value;
} values[] = {
	{ "HELLO", "magic", 0x801a0a0d4c554148 },
	{ "HELLO", "version_min", 0x0201 },
	{ "HELLO", "version_max", 0x0403 },
	{ "HELLO", "size", WIRE_HELLO_SIZE },
	{ "HELLO", "features", 0x1817161514131211 },
	{ "HELLO", "challenge", 0x2827262524232221 },
	{ "HELLO", "max_msg", 0x3837363534333231 },
	{ "HELLO", "eager_max", 0x44434241 },
	{ "HELLO", "credit_bytes", 0x54535251 },
	{ "HELLO", "credit_descs", 0x64636261 },
	{ "HELLO", "euid", 0x74737271 },
	{ "Header", "type", WIRE_DATA },
	{ "Header", "flags", 0xf1 },
	{ "Header", "size", 0x00030201 },
	{ "Header", "credit_bytes", 0xe4e3e2e1 },
	{ "Header", "credit_descs", 0xd4d3d2d1 },
	{ NULL, "reserved", 0 },
	{ NULL, "id", ID },
	{ NULL, "tag", 0x2827262524232221 },
	{ NULL, "channel", 0x34333231 },
	{ NULL, "addr", 0x4847464544434241 },
	{ NULL, "error", 0x54535251 },
	{ NULL, "range_count", 3 },
	{ NULL, "len", 0x6867666564636261 },
	{ NULL, "cell", 0x7877767574737271 },
	{ NULL, "cookie", 0x8887868584838281 },
	{ NULL, "list", 0x9897969594939291 },
	{ NULL, "hand", 0xd8d7d6d5d4d3d2d1 },
	{ NULL, "front", 0xe8e7e6e5e4e3e2e1 },
	{ NULL, "cpu", 0xf4f3f2f1 },
	{ NULL, "offset", 0xa8a7a6a5a4a3a2a1 },
	{ NULL, "epoch", 0xb4b3b2b1 },
	{ NULL, "got", 0xc8c7c6c5c4c3c2c1 },
	{ NULL, "moved", 0xc8c7c6c5c4c3c2c2 },
	{ NULL, "ring", 0xd8d7d6d5d4d3d2d1 },
	{ NULL, "state", 0xe8e7e6e5e4e3e2e1 },
	{ NULL, "head", 0xf8f7f6f5f4f3f2f1 },
	{ NULL, "ring_size", 0x0f0e0d0c },
	{ NULL, "count", 0xf5f4f3f2 },
	{ NULL, "position", 0x1f1e1d1c1b1a1918 },
};

/* Sizes of the fixed bodies, and of a unit of what varies. */
static const struct {
	unsigned type;
	size_t fixed, unit;
} sizes[FRAMES] = {
	{ WIRE_GRANTED, WIRE_GRANTED_SIZE, 0 },
	{ WIRE_VERDICT, WIRE_VERDICT_SIZE, 1 },
	{ WIRE_READY, 0, 0 },
	{ WIRE_REJECT, WIRE_REJECT_SIZE, 0 },
	{ WIRE_OUTBOX, WIRE_OUTBOX_SIZE, 0 },
	{ WIRE_BELL, WIRE_BELL_SIZE, 1 },
	{ WIRE_DEMOTE, WIRE_DEMOTE_SIZE, 0 },
	{ WIRE_RESUME, WIRE_RESUME_SIZE, 0 },
	{ WIRE_EAGER, WIRE_EAGER_SIZE, 1 },
	{ WIRE_DESC, WIRE_DESC_SIZE, WIRE_RANGE_SIZE },
	{ WIRE_SEND, WIRE_SEND_SIZE, 0 },
	{ WIRE_DATA, WIRE_DATA_SIZE, 1 },
	{ WIRE_DONE, WIRE_DONE_SIZE, WIRE_ID_SIZE },
	{ WIRE_REFUSED, WIRE_REFUSED_SIZE, 0 },
	{ WIRE_CANCEL, WIRE_CANCEL_SIZE, 0 },
	{ WIRE_CANCELED, WIRE_CANCELED_SIZE, 0 },
	{ WIRE_ABORT, WIRE_ABORT_SIZE, 0 },
	{ WIRE_FLUSH, WIRE_FLUSH_SIZE, 0 },
	{ WIRE_FLUSHED, WIRE_FLUSHED_SIZE, 0 },
	{ WIRE_GRANT, WIRE_GRANT_SIZE, WIRE_RANGE_SIZE },
	{ WIRE_PUSHED, WIRE_PUSHED_SIZE, 0 },
	{ WIRE_ASSIST, WIRE_ASSIST_SIZE, WIRE_RANGE_SIZE },
	{ WIRE_ASSISTED, WIRE_ASSISTED_SIZE, 0 },
	{ WIRE_FETCH, WIRE_FETCH_SIZE, 0 },
	{ WIRE_RIGHTS, WIRE_RIGHTS_SIZE, 0 },
	{ WIRE_CREDIT, 0, 0 },
	{ WIRE_BYE, 0, 0 },
};

#define LIMIT(name) \
	{ \
#name, name \
	}

static const struct {
	const char *name;
	unsigned long value;
} limits[] = {
	LIMIT(WIRE_HELLO_LONGEST),
	LIMIT(WIRE_WORDS_LONGEST),
	LIMIT(WIRE_EAGER_LONGEST),
	LIMIT(WIRE_DATA_LONGEST),
	LIMIT(WIRE_DESC_RANGES),
	LIMIT(WIRE_GRANT_RANGES),
	LIMIT(WIRE_RIGHTS_MOST),
	LIMIT(WIRE_HAND_EPOCHS),
	LIMIT(WIRE_RANGES_MOST),
	LIMIT(WIRE_RING_LEAST),
	LIMIT(WIRE_RING_MOST),
	LIMIT(WIRE_PARCEL_BLANK),
	LIMIT(WIRE_BELL_LONGEST),
	LIMIT(WIRE_DONE_IDS),
	LIMIT(WIRE_WINDOW_MOST),
	LIMIT(WIRE_CREDIT_MOST),
	LIMIT(WIRE_EAGER_OVERHEAD),
};

enum { LIMITS = sizeof(limits) / sizeof(limits[0]) };

/* ---- what the document says ---- */

struct section {
	char name[16];
	unsigned type;      /* as its heading says; 0 for HELLO and the header */
	size_t fixed, unit; /* as its rows add up */
};

static FILE *open_beside_sources(const char *path)
{
	const char *dir = getenv("srcdir");
	char name[4096];
	snprintf(name, sizeof(name), "%s/%s", dir != NULL ? dir : ".", path);
	FILE *f = fopen(name, "r");
	cr_assert_not_null(f, "%s: %s (run by make check, or with srcdir set)", name, strerror(errno));
	return f;
}

static size_t encode_section(const struct section *s, uint8_t *bytes, size_t room, size_t *base)
{
	static const struct wire_hello hello = { .version_min = 0x0201,
		.version_max = 0x0403,
		.features = 0x1817161514131211,
		.challenge = 0x2827262524232221,
		.max_msg = 0x3837363534333231,
		.eager_max = 0x44434241,
		.credit_bytes = 0x54535251,
		.credit_descs = 0x64636261,
		.euid = 0x74737271 };
	static const struct wire_frame data = { .type = WIRE_DATA,
		.flags = 0xf1,
		.credit_bytes = 0xe4e3e2e1,
		.credit_descs = 0xd4d3d2d1,
		.payload_len = 0x00030201 - WIRE_DATA_SIZE };
	*base = 0;
	if (strcmp(s->name, "HELLO") == 0)
		return wire_hello_encode(&hello, bytes, room);
	if (strcmp(s->name, "Header") == 0)
		return wire_encode(&data, bytes, room);
	*base = WIRE_HEADER_SIZE;
	for (size_t i = 0; i < FRAMES; i++)
		if (frames[i].type == s->type)
			return wire_encode(&frames[i], bytes, room);
	return 0;
}

static uint64_t value_of(const struct section *s, const char *field)
{
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (strcmp(values[i].field, field) == 0 &&
		    (values[i].section == NULL || strcmp(values[i].section, s->name) == 0))
			return values[i].value;
	cr_assert(false, "%s: no field is called %s", s->name, field);
	return 0;
}

/* A row of a byte table. */
static void check_row(struct section *s, size_t offset, size_t size, bool each, const char *field)
{
	uint8_t bytes[WIRE_FRAME_ROOM];
	size_t base, len = encode_section(s, bytes, sizeof(bytes), &base);
	uint64_t found = 0;
	cr_assert_gt(len, 0, "%s cannot be encoded", s->name);
	cr_assert_eq(offset, s->fixed, "%s.%s: at %zu, after %zu bytes", s->name, field, offset, s->fixed);
	cr_assert_eq(s->unit, 0, "%s.%s follows what varies", s->name, field);
	if (each) {
		s->unit = size;
		return;
	}
	s->fixed += size;
	cr_assert_leq(size, sizeof(found));
	cr_assert_leq(base + offset + size, len, "%s.%s lies beyond the frame", s->name, field);
	for (size_t i = size; i > 0; i--)
		found = found << 8 | bytes[base + offset + i - 1];
	cr_assert_eq(found, value_of(s, field), "%s.%s is not at %zu, %zu bytes long: there is %llx", s->name,
	    field, offset, size, (unsigned long long)found);
}

/* The end of a section: do its rows add up? */
static void check_section(const struct section *s, bool seen[FRAMES])
{
	if (strcmp(s->name, "HELLO") == 0) {
		cr_assert_eq(s->fixed, WIRE_HELLO_SIZE);
	} else if (strcmp(s->name, "Header") == 0) {
		cr_assert_eq(s->fixed, WIRE_HEADER_SIZE);
	} else if (s->name[0] != '\0') {
		size_t i = 0;
		while (i < FRAMES && sizes[i].type != s->type)
			i++;
		cr_assert_lt(i, FRAMES, "there is no frame %s (%u)", s->name, s->type);
		cr_assert_str_eq(s->name, wire_type_name((enum wire_type)s->type));
		cr_assert_eq(s->fixed, sizes[i].fixed, "%s measures %zu, not %zu", s->name, sizes[i].fixed,
		    s->fixed);
		cr_assert_eq(s->unit, sizes[i].unit, "%s varies by %zu, not %zu", s->name, sizes[i].unit,
		    s->unit);
		cr_assert_not(seen[i], "%s comes twice", s->name);
		seen[i] = true;
	}
}

Test(protocol, byte_tables_are_what_the_encoder_writes)
{
	FILE *doc = open_beside_sources("docs/protocol.md");
	char line[1024];
	struct section s = { .name = "" };
	bool seen[FRAMES] = { false }, hello = false, header = false;
	while (fgets(line, sizeof(line), doc) != NULL) {
		size_t offset, size;
		char field[32], each[8];
		if (line[0] == '#') {
			check_section(&s, seen);
			s = (struct section){ .name = "" };
			if (strncmp(line, "### ", 4) == 0)
				cr_assert_geq(sscanf(line, "### %15s (%u)", s.name, &s.type), 1);
			hello = hello || strcmp(s.name, "HELLO") == 0;
			header = header || strcmp(s.name, "Header") == 0;
		} else if (s.name[0] != '\0' &&
		    sscanf(line, "| %zu | %zu | %31s |", &offset, &size, field) == 3) {
			check_row(&s, offset, size, false, field);
		} else if (s.name[0] != '\0' &&
		    sscanf(line, "| %zu | %zu %7s | %31s |", &offset, &size, each, field) == 4) {
			cr_assert_str_eq(each, "each");
			check_row(&s, offset, size, true, field);
		}
	}
	fclose(doc);
	check_section(&s, seen);
	cr_assert(hello && header);
	for (size_t i = 0; i < FRAMES; i++)
		cr_assert(seen[i], "no table for %s", wire_type_name((enum wire_type)sizes[i].type));
}

Test(protocol, limits_are_those_of_the_code)
{
	FILE *doc = open_beside_sources("docs/protocol.md");
	char line[1024];
	bool seen[LIMITS] = { false };
	while (fgets(line, sizeof(line), doc) != NULL) {
		char name[64];
		unsigned long value;
		size_t i = 0;
		if (sscanf(line, "| `%63[A-Z_]` | %lu |", name, &value) != 2)
			continue;
		while (i < LIMITS && strcmp(limits[i].name, name) != 0)
			i++;
		cr_assert_lt(i, LIMITS, "there is no %s", name);
		cr_assert_eq(value, limits[i].value, "%s is %lu", name, limits[i].value);
		seen[i] = true;
	}
	fclose(doc);
	for (size_t i = 0; i < LIMITS; i++)
		cr_assert(seen[i], "%s is missing", limits[i].name);
}

/* So that a type or limit added to the code is missed here. */
Test(protocol, every_number_of_the_code_has_a_place)
{
	FILE *header = open_beside_sources("src/wire/protocol.h");
	char line[1024];
	size_t types = 0, found = 0;
	bool in_types = false, in_limits = false;
	while (fgets(line, sizeof(line), header) != NULL) {
		if (strncmp(line, "enum wire_type", 14) == 0)
			in_types = true;
		else if (strstr(line, "Limits that both sides rely on") != NULL)
			in_limits = true;
		else if (line[0] == '}')
			in_types = in_limits = false;
		types += in_types && strstr(line, " = ") != NULL;
		found += in_limits && strstr(line, " = ") != NULL;
	}
	fclose(header);
	cr_assert_eq(types, FRAMES);
	cr_assert_eq(found, LIMITS - 1); /* HELLO's stands elsewhere */
}

Test(protocol, the_magic_is_as_written)
{
	static const uint8_t magic[] = { 0x48, 0x41, 0x55, 0x4c, 0x0d, 0x0a, 0x1a, 0x80 };
	cr_assert_eq(sizeof(magic), WIRE_MAGIC_SIZE);
	cr_assert_arr_eq(WIRE_MAGIC, magic, sizeof(magic));
}
