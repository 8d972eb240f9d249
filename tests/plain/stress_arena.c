/* SPDX-License-Identifier: BSD-3-Clause */
/* Buffers that tell. See stress_arena.h. */
#include "stress_arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, CANARY = 0xc3, SPOILED = 0x5e, MARGIN = 12288 };

static const struct {
	size_t longest;
	unsigned most; /* in use and at rest, for each use */
} sizes[CLASSES] = { { 256, 64 }, { 4096, 32 }, { 65536, 16 }, { 4 << 20, 8 }, { 20 << 20, 2 } };

void arena_init(struct arena *a, bool pieces)
{
	memset(a, 0, sizeof(*a));
	a->pieces = pieces;
	for (int use = 0; use < 2; use++)
		for (int class = 0; class < CLASSES; class ++)
			a->rest[use][class].last = &a->rest[use][class].first;
}

static struct buffer *buffer_new(enum arena_use use, unsigned class)
{
	struct buffer *b = calloc(1, sizeof(*b));
	size_t room = (sizes[class].longest + MARGIN + PAGE - 1) / PAGE * PAGE;
	if (b == NULL)
		fail("no memory");
	unsigned char *at = mmap(NULL, room + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED || mprotect(at + PAGE, room, PROT_READ | PROT_WRITE) != 0)
		fail("mmap: %s", strerror(errno));
	*b = (struct buffer){ .use = use, .class = class, .bytes = at + PAGE, .room = room };
	b->protection = PROT_READ | PROT_WRITE;
	memset(b->bytes, CANARY, room);
	return b;
}

static void buffer_free(struct buffer *b)
{
	munmap(b->bytes - PAGE, b->room + 2 * PAGE);
	free(b->pieces);
	free(b);
}

static void protect(struct buffer *b, int how)
{
	if (b->protection != how && mprotect(b->bytes, b->room, how) != 0)
		fail("mprotect: %s", strerror(errno));
	b->protection = how;
}

/* All of it is canary. */
static void expect_canary(const struct buffer *b, const char *when)
{
	if (b->bytes[0] == CANARY && memcmp(b->bytes, b->bytes + 1, b->room - 1) == 0)
		return;
	for (size_t i = 0; i < b->room; i++)
		if (b->bytes[i] != CANARY)
			fail("byte %zu of a buffer of %zu (message %zu in %zu pieces) was written %s", i,
			    b->room, b->len, b->count, when);
}

static size_t piece_count(size_t len, bool many, uint64_t *random)
{
	size_t at = many ? 60 + random_below(random, 80) : random_below(random, 100), n;
	if (at < 60)
		n = 1;
	else if (at < 78)
		n = 2 + random_below(random, 3);
	else if (at < 97 || len < 1024)
		n = 5 + random_below(random, 40);
	else
		n = 1024 + random_below(random, PIECES_MOST - 1024);
	return n < len ? n : len > 0 ? len : 1;
}

/* Pieces of like lengths, with gaps, in order or backwards, flush with one of the guards. Now and then an empty one. */
static void cut(struct buffer *b, size_t len, bool many, uint64_t *random)
{
	size_t count = piece_count(len, many, random), gap = (b->room - len) / count, left = len;
	bool backwards = one_in(random, 2), at_end = one_in(random, 2);
	gap = gap > 7 ? 7 : gap;
	if (len == 0 && one_in(random, 2))
		count = 0;
	free(b->pieces);
	b->pieces = calloc(count + 1, sizeof(*b->pieces));
	if (b->pieces == NULL)
		fail("no memory");
	b->len = len;
	b->count = count;
	size_t before = 0;
	for (size_t i = 0; i < count; i++) {
		size_t each = left / (count - i), n = each;
		if (i + 1 < count && each > 1)
			n = each / 2 + random_below(random, each);
		n = i + 1 < count && n < left - (count - i - 1) ? n : left - (count - i - 1);
		if (i + 1 == count)
			n = left;
		size_t place = at_end != backwards ? b->room - len - gap * (count - 1) : 0;
		unsigned char *from = b->bytes + place + before;
		b->pieces[i] = (struct iovec){ from, n };
		before += n + gap;
		left -= n;
	}
	if (backwards) /* mirrored */
		for (size_t i = 0; i < count; i++)
			b->pieces[i].iov_base = b->bytes + b->room -
			    (size_t)((unsigned char *)b->pieces[i].iov_base - b->bytes) -
			    b->pieces[i].iov_len;
	if (count > 1 && one_in(random, 8)) { /* an empty one, whose address means nothing */
		size_t i = random_below(random, count + 1);
		memmove(&b->pieces[i + 1], &b->pieces[i], (count - i) * sizeof(*b->pieces));
		b->pieces[i] = (struct iovec){ NULL, 0 };
		b->count++;
	}
}

struct buffer *arena_take(struct arena *a, enum arena_use use, size_t len, uint64_t *random)
{
	unsigned class = 0;
	while (sizes[class].longest < len)
		class ++;
	/* One that has rested while others did. */
	struct buffer *b = a->rest[use][class].first;
	if (b != NULL && a->rest[use][class].resting > sizes[class].most / 4) {
		if ((a->rest[use][class].first = b->next) == NULL)
			a->rest[use][class].last = &a->rest[use][class].first;
		a->rest[use][class].resting--;
		if (use == FOR_RECEIVING)
			expect_canary(b, "after it was given back");
		protect(b, PROT_READ | PROT_WRITE);
	} else if (a->rest[use][class].made < sizes[class].most) {
		b = buffer_new(use, class);
		a->rest[use][class].made++;
	} else {
		return NULL;
	}
	cut(b, len, a->pieces, random);
	return b;
}

void arena_give(struct arena *a, struct buffer *b)
{
	if (b->use == FOR_RECEIVING)
		protect(b, PROT_READ);
	else if (a->given++ % 2 ==
	    0) /* the others are spoiled only: a peer may read them, and be found out */
		protect(b, PROT_NONE);
	b->next = NULL;
	*a->rest[b->use][b->class].last = b;
	a->rest[b->use][b->class].last = &b->next;
	a->rest[b->use][b->class].resting++;
}

void arena_lose(struct arena *a, struct buffer *b)
{
	b->next = a->lost;
	a->lost = b;
}

void arena_fini(struct arena *a)
{
	for (struct buffer *b = a->lost, *next; b != NULL; b = next) {
		next = b->next;
		buffer_free(b);
	}
	for (int use = 0; use < 2; use++) {
		for (int class = 0; class < CLASSES; class ++) {
			for (struct buffer *b = a->rest[use][class].first, *next; b != NULL; b = next) {
				next = b->next;
				if (use == FOR_RECEIVING)
					expect_canary(b, "after it was given back for the last time");
				buffer_free(b);
			}
		}
	}
}

void buffer_fill(struct buffer *b, uint64_t key)
{
	uint64_t offset = 0;
	for (size_t i = 0; i < b->count; offset += b->pieces[i].iov_len, i++)
		plan_fill(b->pieces[i].iov_base, b->pieces[i].iov_len, key, offset);
}

static void set_pieces(struct buffer *b, int value)
{
	for (size_t i = 0; i < b->count; i++)
		if (b->pieces[i].iov_len > 0)
			memset(b->pieces[i].iov_base, value, b->pieces[i].iov_len);
}

void buffer_spoil(struct buffer *b)
{
	set_pieces(b, SPOILED);
}

void buffer_expect(struct buffer *b, uint64_t key, uint64_t offset, size_t got)
{
	size_t done = 0;
	for (size_t i = 0; i < b->count && done < got; i++) {
		size_t n = b->pieces[i].iov_len < got - done ? b->pieces[i].iov_len : got - done;
		size_t right = plan_check(b->pieces[i].iov_base, n, key, offset + done);
		if (right < n)
			fail("byte %llu is wrong (piece %zu of %zu, %zu bytes, %zu got)",
			    (unsigned long long)(offset + done + right), i, b->count, b->len, got);
		if (n > 0)
			memset(b->pieces[i].iov_base, CANARY, n);
		done += n;
	}
	expect_canary(b, "outside of what was received");
}

void buffer_expect_margins(struct buffer *b)
{
	set_pieces(b, CANARY);
	expect_canary(b, "beside its pieces");
}

struct iovec *buffer_list(const struct buffer *b)
{
	static _Thread_local struct iovec list[PIECES_MOST + 1];
	memset(list, 0xa5, sizeof(list[0]) * 8);
	if (b->count > 0)
		memcpy(list, b->pieces, b->count * sizeof(list[0]));
	return list;
}
