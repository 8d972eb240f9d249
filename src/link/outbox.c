/* SPDX-License-Identifier: BSD-3-Clause */
/* Outboxes: the writer's end, and the reader's. See outbox.h. */
#include "link/outbox.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "os/vm.h"
#include "wire/protocol.h"

enum {
	PAGE = 4096,
	STATE = 3 * PAGE, /* before the ring */
	MAPPED = STATE + OUTBOX_RING,
	/* How much is asked for at first, and at the most: see adapt(). More than there is costs little: it is copied in
	 * vain. */
	WINDOW_LEAST = 1152 - WIRE_PARCEL_HEAD,             /* a message of 1 KiB, say */
	WINDOW_ONCE = WIRE_PARCEL_BLANK - WIRE_PARCEL_HEAD, /* up to here, one pass may do: read_once() */
	WINDOW_MOST = 4 * PAGE,
	WINDOW_LONG = 8 * PAGE, /* at the most, where parcels are long */
	SPANS = 2,              /* of the ring, in one call */
	AWAKE = 4,              /* looks that brought something, before the bell is taken back */
	/* Who has more to say than there is room for waits for this: else a reader that is slower gives it back message
	 * by message, is asked for it each time, and finds what little was put there each time. */
	ROOM_LEAST = OUTBOX_RING / 8,
};

_Static_assert(offsetof(struct outbox_state, full) == WIRE_STATE_FULL &&
        offsetof(struct outbox_state, cookie) == WIRE_STATE_COOKIE &&
        offsetof(struct outbox_state, bell) == WIRE_STATE_BELL,
    "the peer finds the words where the protocol says");
_Static_assert((OUTBOX_RING & (OUTBOX_RING - 1)) == 0 && OUTBOX_RING >= (int)WIRE_RING_LEAST,
    "as the protocol wants it");
_Static_assert(sizeof(struct outbox_state) <= STATE, "the ring begins behind it");

/* The head of a parcel. Aligned, so that it never goes over the ring's end. */
struct parcel {
	word_t stamp, len;
};

/* One that may be laid on blank. */
struct small {
	uint64_t stamp, len;
	uint8_t bytes[WIRE_PARCEL_BLANK - WIRE_PARCEL_HEAD];
};

_Static_assert(sizeof(struct parcel) == WIRE_PARCEL_HEAD && sizeof(struct small) == WIRE_PARCEL_BLANK,
    "as the protocol has it");

static uint64_t stamp_at(uint64_t cookie, uint64_t position)
{
	return cookie + position;
}

/* What a parcel takes of the ring. */
static uint64_t extent(uint64_t len)
{
	return (WIRE_PARCEL_HEAD + len + WIRE_PARCEL_ALIGN - 1) & ~(uint64_t)(WIRE_PARCEL_ALIGN - 1);
}

/* The part of len bytes from a position on that the ring's end does not split. */
static size_t unsplit(uint64_t position, uint64_t len, uint64_t size)
{
	uint64_t room = size - (position & (size - 1));
	return (size_t)(len < room ? len : room);
}

/* ---- the writer ---- */

bool outbox_init(struct outbox *o, uint64_t cookie)
{
	void *pages = words_map(MAPPED);
	if (pages == NULL)
		return false;
	*o = (struct outbox){ .state = pages, .ring = (uint8_t *)pages + STATE };
	atomic_store(&o->state->cookie, cookie);
	return true;
}

void outbox_fini(struct outbox *o)
{
	if (o->state != NULL)
		words_unmap(o->state, MAPPED);
	*o = (struct outbox){ 0 };
}

static uint8_t *place(const struct outbox *o, uint64_t position)
{
	return o->ring + (position & (OUTBOX_RING - 1));
}

static uint64_t len_at(const struct outbox *o, uint64_t position)
{
	return atomic_load_explicit(&((const struct parcel *)place(o, position))->len, memory_order_relaxed);
}

/* A head is the beginning of a parcel, or the end of the last. */
static bool advance(struct outbox *o, uint64_t head)
{
	uint64_t at = o->head, known = o->known;
	while (at < head && at < o->tail) {
		known += len_at(o, at);
		at += extent(len_at(o, at));
	}
	if (at != head)
		return false;
	o->head = head;
	o->known = known;
	return true;
}

int outbox_ask_head(struct outbox *o, pid_t reader)
{
	for (int look = 0; look < 2; look++) {
		uint64_t head, cookie;
		struct iovec local[] = { { &head, sizeof(head) }, { &cookie, sizeof(cookie) } };
		struct iovec remote[] = { { (void *)(uintptr_t)o->head_addr, sizeof(head) },
			{ (void *)(uintptr_t)o->cookie_addr, sizeof(cookie) } };
		ssize_t n = vm_peek(reader, local, 2, remote, 2);
		if (n < 0 && n != -EFAULT) /* which would be the caller's memory */
			return (int)n;
		if (n < (ssize_t)(sizeof(head) + sizeof(cookie)) || cookie != o->cookie)
			return -ESTALE;
		if (advance(o, head))
			return 0;
	}
	return -EPROTO;
}

/* For the payload of one parcel. */
static uint64_t room(const struct outbox *o)
{
	uint64_t left = OUTBOX_RING - (o->tail - o->head);
	return left == 0 ? 0 : left - WIRE_PARCEL_HEAD;
}

/* The reader looks for room by itself only if it is told that it is missed. */
int outbox_ask_room(struct outbox *o, pid_t reader)
{
	int rc = room(o) >= o->least ? 0 : outbox_ask_head(o, reader);
	if (rc == 0 && room(o) < o->least) {
		atomic_store_explicit(&o->state->full, o->tail, memory_order_relaxed);
		atomic_thread_fence(memory_order_seq_cst);
		rc = outbox_ask_head(o, reader);
	}
	if (rc != 0)
		return rc;
	if (room(o) < o->least)
		return -EAGAIN;
	atomic_store_explicit(&o->state->full, 0, memory_order_relaxed);
	return 0;
}

/* Gathers what there is, at most so much, in the ring, or in a small parcel if there is one; *fault: it ended
 * where it can't be read. */
static uint64_t gather(const struct outbox *o, struct small *small, const struct iovec *iov, size_t count,
    uint64_t most, bool ours, bool *fault)
{
	uint64_t start = o->tail + WIRE_PARCEL_HEAD, done = 0;
	for (size_t i = 0; i < count && done < most && !*fault; i++) {
		uint8_t *from = iov[i].iov_base;
		for (size_t left = iov[i].iov_len; left > 0 && done < most && !*fault;) {
			size_t n = left < most - done ? left : (size_t)(most - done), moved;
			if (small == NULL)
				n = unsplit(start + done, n, OUTBOX_RING);
			uint8_t *to = small != NULL ? small->bytes + done : place(o, start + done);
			moved = n;
			if (ours)
				memcpy(to, from, n);
			else
				moved = vm_copy(true, to, from, n);
			*fault = moved < n;
			done += moved;
			from += moved;
			left -= moved;
		}
	}
	return done;
}

/* Whole words, which memcpy(3) does not promise; what is left of the last one is 0. The last come first: a
 * reader that polls takes the stamp's line away again and again, so that one is written at the very end. */
static void lay(const struct outbox *o, struct small *small, uint64_t len)
{
	uint64_t word, at = sizeof(struct parcel) + len;
	memset(small->bytes + len, 0, -len % sizeof(word));
	small->len = len;
	for (at += -at % sizeof(word); at > offsetof(struct small, len);) {
		at -= sizeof(word);
		memcpy(&word, (const uint8_t *)small + at, sizeof(word));
		atomic_store_explicit((word_t *)place(o, o->tail + at), word, memory_order_relaxed);
	}
}

/* So many bytes behind the last parcel, as far as there is room; each once. */
static void make_blank(struct outbox *o, uint64_t len, uint64_t blank)
{
	uint64_t line[WIRE_PARCEL_ALIGN / sizeof(blank)], room = OUTBOX_RING - (o->tail - o->head);
	uint64_t end = o->tail + (len < room ? len : room);
	for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i++)
		line[i] = blank;
	if (o->blank < o->tail)
		o->blank = o->tail;
	for (; o->blank < end; o->blank += sizeof(line))
		memcpy(place(o, o->blank), line, sizeof(line));
}

/* Who sleeps gets it by BELL, and won't have to look for it: then long ones are not worth the blank. */
static size_t longest_on_blank(const struct outbox *o)
{
	return atomic_load_explicit(&o->state->bell, memory_order_relaxed) != 0 ? WINDOW_LEAST : WINDOW_ONCE;
}

/*
 * The stamp comes last. Behind a small parcel, which others like it may follow, all is blank before: who has seen
 * its stamp finds each word there blank, or what was put there since, never what is a lap old. The next one's stamp
 * tells whether it was so: there may have been no room. More is made blank when the stamp is out, so that the
 * next, if it is as long, need not wait for it; only where there was room, so it does not make up for what was missing
 * before.
 */
ssize_t outbox_write(struct outbox *o, pid_t reader, const struct iovec *iov, size_t count, bool ours)
{
	struct small small; /* not initialised: most need little of it */
	uint64_t wanted = 0;
	bool fault = false;
	for (size_t i = 0; i < count; i++)
		wanted += iov[i].iov_len;
	if (wanted > OUTBOX_PARCEL_MOST)
		wanted = OUTBOX_PARCEL_MOST;
	if (room(o) < wanted) {
		o->least = wanted < ROOM_LEAST ? wanted : ROOM_LEAST;
		int rc = outbox_ask_room(o, reader);
		if (rc != 0)
			return rc;
	}
	uint64_t most = room(o) < wanted ? room(o) : wanted;
	bool is_small = most <= longest_on_blank(o);
	uint64_t done = gather(o, is_small ? &small : NULL, iov, count, most, ours, &fault);
	if (done == 0)
		return fault ? -EFAULT : 0;
	uint64_t cookie = atomic_load_explicit(&o->state->cookie, memory_order_relaxed);
	uint64_t stamp = stamp_at(cookie, o->tail);
	struct parcel *p = (struct parcel *)place(o, o->tail);
	if (!is_small)
		atomic_store_explicit(&p->len, done, memory_order_relaxed);
	else if (o->tail + WIRE_PARCEL_BLANK <= o->blank)
		stamp += WIRE_STAMP_BLANK;
	if (is_small)
		lay(o, &small, done);
	o->last = o->tail;
	o->tail += extent(done);
	o->sent += done;
	if (is_small)
		make_blank(o, WIRE_PARCEL_BLANK, WIRE_BLANK(cookie));
	atomic_store_explicit(&p->stamp, stamp, memory_order_release);
	if (is_small)
		make_blank(o, WIRE_PARCEL_BLANK + 2 * extent(done), WIRE_BLANK(cookie));
	return (ssize_t)done;
}

bool outbox_rings(struct outbox *o)
{
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(&o->state->bell, memory_order_relaxed) != 0;
}

size_t outbox_last(const struct outbox *o, size_t most, const uint8_t **bytes, uint64_t *position)
{
	uint64_t len = len_at(o, o->last), at = o->last + WIRE_PARCEL_HEAD;
	if (len > most || unsplit(at, len, OUTBOX_RING) < len)
		return 0;
	*bytes = place(o, at);
	*position = o->last;
	return (size_t)len;
}

void outbox_leave(struct outbox *o, uint64_t from)
{
	assert(o->open && from >= o->known && from <= o->sent);
	o->open = false;
	o->again = o->head;
	o->skip = from - o->known;
	while (o->again < o->tail && o->skip >= len_at(o, o->again)) {
		o->skip -= len_at(o, o->again);
		o->again += extent(len_at(o, o->again));
	}
}

size_t outbox_next(struct outbox *o, struct iovec iov[2])
{
	size_t count = 0;
	if (!outbox_has_next(o))
		return 0;
	uint64_t len = len_at(o, o->again), at = o->again + WIRE_PARCEL_HEAD + o->skip,
	         end = at + len - o->skip;
	for (size_t n; at < end; at += n) {
		n = unsplit(at, end - at, OUTBOX_RING);
		iov[count++] = (struct iovec){ .iov_base = place(o, at), .iov_len = n };
	}
	o->again += extent(len);
	o->skip = 0;
	return count;
}

/* ---- the reader ---- */

void inbox_begin(struct inbox *in, word_t *told)
{
	in->open = true;
	in->window = WINDOW_LEAST;
	in->told = told;
}

/* A part of the ring. */
struct span {
	uint64_t at, len;
};

/* One call: the words, if wanted; then the spans, one after the other, into the local iovecs. Returns how
 * many bytes of these came, or an error of inbox_read(). */
static ssize_t look(struct inbox *in, pid_t writer, bool words, const struct span *spans, size_t count,
    struct iovec *local, size_t locals)
{
	struct iovec remote[1 + 2 * SPANS]; /* the ring's end splits each once */
	uint64_t seen[WIRE_STATE_READ / sizeof(uint64_t)];
	size_t remotes = 0;
	assert(count <= SPANS);
	if (words) {
		assert(local[0].iov_base == NULL);
		local[0] = (struct iovec){ .iov_base = seen, .iov_len = sizeof(seen) };
		remote[remotes++] =
		    (struct iovec){ .iov_base = (void *)(uintptr_t)in->state, .iov_len = sizeof(seen) };
	} else {
		local++;
		locals--;
	}
	for (size_t i = 0; i < count; i++)
		for (uint64_t at = spans[i].at, end = at + spans[i].len; at < end;) {
			size_t n = unsplit(at, end - at, in->size);
			remote[remotes++] =
			    (struct iovec){ .iov_base = (void *)(uintptr_t)(in->ring + (at & (in->size - 1))),
				    .iov_len = n };
			at += n;
		}
	ssize_t n = vm_peek(writer, local, locals, remote, remotes);
	if (n == -EFAULT)
		return -ESTALE; /* no such pages there */
	if (n < 0 || !words)
		return n;
	if (n < (ssize_t)sizeof(seen) || seen[WIRE_STATE_COOKIE / sizeof(uint64_t)] != in->cookie)
		return -ESTALE;
	in->full = seen[WIRE_STATE_FULL / sizeof(uint64_t)];
	in->seen = in->head;
	in->thorough = false;
	return n - (ssize_t)sizeof(seen);
}

/* The same, at least so much of it. What is too short, or strange, is so only if a second look says the
 * same: the kernel may have lacked memory for a moment. */
static ssize_t look_closely(struct inbox *in, pid_t writer, bool words, const struct span *spans,
    size_t count, struct iovec *local, size_t locals, uint64_t least)
{
	ssize_t n = 0;
	for (int looks = 0; looks < 2; looks++) {
		local[0] = (struct iovec){ 0 };
		n = look(in, writer, words, spans, count, local, locals);
		if (n != -ESTALE && (n < 0 || (uint64_t)n >= least))
			return n;
	}
	return n < 0 ? n : -ESTALE;
}

/* All of it was taken: there is room again. */
static void end_parcel(struct inbox *in, uint64_t len)
{
	in->head += extent(len);
	in->was_long = len > WINDOW_MOST / 2;
	atomic_store_explicit(in->told, in->head, memory_order_release);
}

/* Nothing came though there is something: whose fault is it, the memory's there, or the user's here? */
static ssize_t blame(struct inbox *in, pid_t writer)
{
	char byte;
	struct iovec local[2] = { [1] = { .iov_base = &byte, .iov_len = 1 } };
	struct span span = { in->at, 1 };
	ssize_t n = look_closely(in, writer, true, &span, 1, local, 2, 1);
	return n < 0 ? n : -EFAULT;
}

/* The rest of a parcel in which the last look ended: its stamp was seen, so all of it is there. */
static ssize_t read_rest(struct inbox *in, pid_t writer, const struct iovec *iov, size_t count, bool users)
{
	enum { IOVS = 66 };
	struct iovec local[IOVS + 1] = { { 0 } };
	size_t locals = 1;
	uint64_t len = 0;
	for (size_t i = 0; i < count && len < in->rest && locals <= IOVS; i++) {
		uint64_t n = iov[i].iov_len < in->rest - len ? iov[i].iov_len : in->rest - len;
		local[locals++] = (struct iovec){ .iov_base = iov[i].iov_base, .iov_len = (size_t)n };
		len += n;
	}
	struct span span = { in->at, len };
	ssize_t n = look_closely(in, writer, true, &span, 1, local, locals, 1);
	if (users && n == -ESTALE) /* the kernel refuses a call for one address that can't be */
		return blame(in, writer);
	if (n < 0)
		return n;
	in->at += (uint64_t)n;
	in->rest -= (uint64_t)n;
	in->got += (uint64_t)n;
	if (in->rest == 0) {
		end_parcel(in, in->at - in->head - WIRE_PARCEL_HEAD);
		in->more = true;
	}
	return n;
}

static bool is_sound(const struct inbox *in, uint64_t len)
{
	return len > 0 && len <= in->size - WIRE_PARCEL_HEAD && extent(len) <= in->size;
}

static bool is_stamp(const struct inbox *in, uint64_t word)
{
	return word - stamp_at(in->cookie, in->head) <= WIRE_STAMP_BLANK;
}

/* What two passes over the ring, from the head on, brought: the first has the stamps; the second what they
 * vouch for, the first parcel's length, and at buf what followed it. Moves the payloads together, and
 * returns their length. */
static ssize_t unpack(struct inbox *in, const uint8_t *stamps, size_t seen, uint64_t len, uint8_t *buf,
    size_t have)
{
	size_t from = 0, out = 0; /* from: in buf */
	uint64_t stamp;
	memcpy(&stamp, stamps, sizeof(stamp));
	in->more = false;
	while (is_stamp(in, stamp)) {
		if (!is_sound(in, len))
			return -EPROTO;
		size_t n = len < have - from ? (size_t)len : have - from;
		if (from != out)
			memmove(buf + out, buf + from, n);
		out += n;
		in->got += n;
		if (n < len) {
			in->at = in->head + WIRE_PARCEL_HEAD + n;
			in->rest = len - n;
			break;
		}
		end_parcel(in, len);
		from += (size_t)extent(len);
		if (from > have || from + sizeof(stamp) > seen) {
			in->more = true;
			break;
		}
		const uint8_t *head = buf + from - WIRE_PARCEL_HEAD;
		memcpy(&stamp, stamps + from, sizeof(stamp));
		memcpy(&len, head + offsetof(struct parcel, len), sizeof(len));
	}
	return (ssize_t)out;
}

/* The second pass alone, for the stamps that an earlier call has seen. */
static ssize_t read_seen(struct inbox *in, pid_t writer, const uint8_t *stamps, size_t seen, uint8_t *buf,
    size_t len)
{
	uint64_t head[WIRE_PARCEL_HEAD / sizeof(uint64_t)], stamp;
	struct span span = { in->head, sizeof(head) + len };
	struct iovec local[] = { { 0 }, { head, sizeof(head) }, { buf, len } };
	atomic_thread_fence(memory_order_acquire);
	ssize_t n = look_closely(in, writer, false, &span, 1, local, 3, sizeof(head));
	if (n < 0)
		return n;
	memcpy(&stamp, stamps, sizeof(stamp));
	if (is_stamp(in, stamp) && head[0] != stamp)
		return -ESTALE; /* it was that program's when the stamp was seen */
	return unpack(in, stamps, seen, head[1], buf, (size_t)n - sizeof(head));
}

static bool expects_long(const struct inbox *in)
{
	return in->was_long && in->window == WINDOW_MOST;
}

/*
 * What a stamp vouches for must have been read after it. But within one range the kernel copies by a string
 * operation, which may load its end before its beginning (seen on Zen 5, beyond a cache line: 36 of 1.3
 * million parcels of 1 KiB came with a stamp newer than their bytes); and it looks up the pages of a range
 * before it copies the first, so that one that the writer touches for the first time is still the empty
 * one. So the same part of the ring is read twice in one call: in the first pass for the stamps, in the
 * second for the bytes. Between two ranges the kernel gives back the pages of one and looks up those of the
 * other (process_vm_rw_single_vec()), by locked operations that no load passes.
 *
 * Where the last parcel was long, only the next one's stamp is read, and more bytes with it. Should that be short after
 * all, those behind it are the next look's.
 */
static ssize_t read_twice(struct inbox *in, pid_t writer, bool words, uint8_t *buf, size_t len)
{
	uint8_t stamps[WIRE_PARCEL_HEAD + WINDOW_MOST]; /* not initialised: that would show */
	uint64_t head[WIRE_PARCEL_HEAD / sizeof(uint64_t)];
	size_t seen = sizeof(head) + (expects_long(in) ? 0 : len);
	struct span pass[SPANS] = { { in->head, seen }, { in->head, sizeof(head) + len } };
	struct iovec local[] = { { 0 }, { stamps, seen }, { head, sizeof(head) }, { buf, len } };
	ssize_t n = look_closely(in, writer, words, pass, SPANS, local, 4, sizeof(uint64_t));
	if (n < 0)
		return n;
	if ((size_t)n < seen)
		seen = (size_t)n;
	n -= (ssize_t)seen;
	if (n < (ssize_t)sizeof(head) || !VM_IN_ORDER)
		return read_seen(in, writer, stamps, seen, buf, len);
	return unpack(in, stamps, seen, head[1], buf, (size_t)n - sizeof(head));
}

/* Four at a time: the parcels of which this is asked may be long. */
static bool has_blank(const uint64_t *words, size_t count, uint64_t blank)
{
	uint64_t found = 0;
	size_t i = 0;
	for (; i + 4 <= count; i += 4)
		found |= (uint64_t)((words[i] == blank) | (words[i + 1] == blank) | (words[i + 2] == blank) |
		    (words[i + 3] == blank));
	for (; i < count; i++)
		found |= words[i] == blank;
	return found != 0;
}

/* What one pass brought: as far as it is known to be all there, as unpack(); `more` if that is not the end. */
static ssize_t unpack_laid(struct inbox *in, const uint64_t *words, size_t seen, uint8_t *buf, size_t room)
{
	const uint64_t blank = WIRE_BLANK(in->cookie);
	size_t from = 0, out = 0;
	while ((in->more = from >= seen || is_stamp(in, words[from / sizeof(blank)]))) {
		if (from + WIRE_PARCEL_HEAD > seen)
			break;
		const uint64_t *head = words + from / sizeof(blank), len = head[1];
		if (head[0] == stamp_at(in->cookie, in->head) || len == blank)
			break;
		if (!is_sound(in, len))
			return -EPROTO;
		size_t n = seen - from - WIRE_PARCEL_HEAD;
		n = len < n ? (size_t)len : n;
		n = n < room - out ? n : room - out;
		if (has_blank(head + 2, (n + sizeof(blank) - 1) / sizeof(blank), blank))
			break;
		if (n > 0)
			memcpy(buf + out, head + 2, n);
		out += n;
		in->got += n;
		if (n < len) {
			in->at = in->head + WIRE_PARCEL_HEAD + n;
			in->rest = len - n;
			in->more = false;
			break;
		}
		end_parcel(in, len);
		from += (size_t)extent(len);
	}
	return (ssize_t)out;
}

/*
 * One pass will do for what is laid on blank, in whatever order it loads. The first stamp tells that
 * WIRE_PARCEL_BLANK bytes from it on were blank before the stamp of the parcel before was stored; and an earlier
 * call has seen that, or this parcel would not be the first. So each aligned word, which is stored and loaded
 * whole, is still blank, or what was put there since; its page is no longer the empty one. Where no word of a
 * parcel is blank, all of it is there. The same is true of those behind it, within these bytes, that are laid
 * on blank too. What is not, or has a word that looks blank, is read by a second pass in a call of its own.
 *
 * Whole lines are asked for: a range that ends within a word may have its last words loaded in parts.
 */
static ssize_t read_once(struct inbox *in, pid_t writer, bool words, uint8_t *buf, size_t len)
{
	_Alignas(WIRE_PARCEL_ALIGN) uint64_t laid[WIRE_PARCEL_BLANK / sizeof(uint64_t)];
	size_t seen = unsplit(in->head, extent(len), in->size);
	struct span span = { in->head, seen };
	struct iovec local[] = { { 0 }, { laid, seen } };
	ssize_t n = look_closely(in, writer, words, &span, 1, local, 2, sizeof(uint64_t));
	if (n < 0)
		return n;
	n -= n % (ssize_t)sizeof(uint64_t);
	ssize_t got = unpack_laid(in, laid, (size_t)n, buf, len);
	if (got != 0 || in->rest > 0 || !in->more)
		return got;
	return read_seen(in, writer, (const uint8_t *)laid, (size_t)n, buf, len);
}

static size_t wider(size_t window)
{
	if (window >= WINDOW_ONCE)
		return WINDOW_MOST;
	return window * 2 < WINDOW_ONCE ? window * 2 : WINDOW_ONCE;
}

static size_t narrower(size_t window)
{
	if (window > WINDOW_ONCE)
		return WINDOW_ONCE;
	return window / 2 > WINDOW_LEAST ? window / 2 : WINDOW_LEAST;
}

/* There was more than was asked for: ask for more. All of it, and the next stamp, would have come with less: for less.
 * Nothing: that says nothing. */
static void adapt(struct inbox *in, size_t asked, uint64_t span)
{
	bool all = !in->more && in->rest == 0;
	if (!all && asked == in->window)
		in->window = wider(in->window);
	else if (all && span <= narrower(in->window))
		in->window = narrower(in->window);
}

/* What lies beyond the ring's end is the next look's. */
static ssize_t read_parcels(struct inbox *in, pid_t writer, uint8_t *buf, size_t len)
{
	bool words = in->thorough || inbox_is_due(in);
	size_t room = unsplit(in->head, in->size, in->size) - WIRE_PARCEL_HEAD;
	uint64_t head = in->head;
	size_t window = expects_long(in) ? WINDOW_LONG : in->window;
	if (len > window)
		len = window;
	if (len > room)
		len = room;
	ssize_t got = window <= WINDOW_ONCE ? read_once(in, writer, words, buf, len)
	                                    : read_twice(in, writer, words, buf, len);
	if (got > 0)
		adapt(in, len, in->head - head);
	return got;
}

ssize_t inbox_read(struct inbox *in, pid_t writer, const struct iovec *iov, size_t count, bool users)
{
	ssize_t n = 0;
	atomic_thread_fence(memory_order_seq_cst); /* our head, before the writer's `full` */
	if (in->rest == 0 && users) /* what is not there yet must not be seen in the user's memory */
		n = read_parcels(in, writer, NULL, 0);
	else if (in->rest == 0)
		n = read_parcels(in, writer, iov[0].iov_base, iov[0].iov_len);
	if (n == 0 && in->rest > 0)
		n = read_rest(in, writer, iov, count, users);
	return n != 0 ? n : -EAGAIN;
}

int inbox_arm(struct inbox *in, pid_t writer)
{
	in->thorough = true;
	in->awake = 0;
	if (in->armed)
		return 0;
	ssize_t n = in->rest == 0 ? read_parcels(in, writer, NULL, 0) : 0;
	if (n < 0 || in->rest > 0) /* and then the look that follows brings that */
		return (int)n;
	in->thorough = true;
	int error = vm_write_word(writer, in->state + WIRE_STATE_BELL, 1);
	if (error != 0)
		return -error;
	in->armed = true;
	return 0;
}

/* The look has found that program's stamp. Where it can't be written, it is one BELL more for each parcel. */
void inbox_calm(struct inbox *in, pid_t writer)
{
	if (!in->armed || ++in->awake < AWAKE)
		return;
	in->awake = 0;
	in->armed = vm_write_word(writer, in->state + WIRE_STATE_BELL, 0) != 0;
}

/*
 * Where a parcel may be: between our head and a ring's length from there. What is before the head, by however much,
 * was found in the ring while the BELL was on its way.
 *
 * None of it is to be believed, and nothing of it is: that the parcel is in the ring, too, is not looked at. A BELL with
 * other bytes than the ring's changes its sender's own stream, which it may fill with anything; one of another length
 * moves our head to where there is no stamp, or to one that it has put there. The head goes forward only, by no more
 * than a parcel may have, and no byte is read that the BELL has not brought.
 */
int inbox_hear(struct inbox *in, uint64_t position, uint64_t len, bool take)
{
	uint64_t ahead = position - in->head;
	if (position % WIRE_PARCEL_ALIGN != 0 || !is_sound(in, len))
		return -EPROTO;
	if (ahead > UINT64_MAX / 2)
		return 0;
	if (ahead > in->size - extent(len))
		return -EPROTO;
	if (ahead > 0 || in->rest > 0 || !take)
		return -EAGAIN;
	in->got += len;
	in->awake = 0;
	end_parcel(in, len);
	return 1;
}

bool inbox_is_due(const struct inbox *in)
{
	return in->head - in->seen >= in->size / 4;
}

bool inbox_rings(struct inbox *in)
{
	if (in->full == 0 || in->full == in->rung || in->full - in->head > in->size / 2)
		return false;
	in->rung = in->full;
	return true;
}
