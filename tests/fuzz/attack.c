/* SPDX-License-Identifier: BSD-3-Clause */
/* One attack, from haul_open() to haul_close(). See attack.h. */
#include "fuzz/attack.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/ops.h"
#include "fuzz/program.h"

enum {
	MOST_OPS = 600,
	ROUNDS = 2000, /* anything the good peer wants takes fewer */
	GOOD_LEN = 3000,
	/* Budget and window are small here: what a peer may make the context hold, and buffers. */
	HEAP_MOST = 6 << 20,
};

struct scene {
	struct haul *haul,
	    *good; /* the context attacked, and that of the good peer; the same for one of itself */
	struct haul_peer *to_good, *from_good;
	struct evil evil;
	struct program program;
	size_t heap;
	bool pushes;
};

/* ---- measures ---- */

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t heap_in_use(void)
{
	if (__sanitizer_get_current_allocated_bytes != NULL)
		return __sanitizer_get_current_allocated_bytes();
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

/* The lowest that is free: the same before and after, unless one was lost. */
static int next_fd(void)
{
	int fd = dup(STDERR_FILENO);
	claim(fd >= 0);
	close(fd);
	return fd;
}

/* ---- the good peer ---- */

static struct haul_peer *finish(struct scene *s, struct haul_req *r)
{
	struct haul_status status;
	for (int i = 0; i < ROUNDS && haul_req_test(r) == -EINPROGRESS; i++) {
		haul_progress(s->haul);
		haul_progress(s->good);
	}
	int rc = haul_req_finish(r, &status);
	if (rc != 0)
		fprintf(stderr, "the good peer: %s\n", strerror(-rc));
	claim(rc == 0);
	return status.peer;
}

static void meet(struct scene *s, int transport, bool in_one)
{
	struct haul_options o = { .transport = transport };
	struct haul_req *here, *there;
	int pair[2];
	s->good = s->haul;
	if (in_one) {
		s->to_good = s->from_good = haul_self(s->haul);
		claim(s->to_good != NULL);
		return;
	}
	claim(haul_open(&s->good, &o, sizeof(o)) == 0 && haul_pair(pair) == 0);
	claim(haul_iadopt(s->haul, pair[0], &here) == 0 && haul_iadopt(s->good, pair[1], &there) == 0);
	s->to_good = finish(s, here);
	s->from_good = finish(s, there);
}

/* A message that arrives as it was sent, past whatever else has come. */
static void exchange(struct scene *s, struct haul *to, struct haul_peer *via, struct haul_peer *back,
    unsigned char value)
{
	unsigned char out[GOOD_LEN], into[GOOD_LEN] = { 0 };
	struct haul_match match = { .from = back, .tag = UINT64_MAX };
	struct iovec send_iov = { .iov_base = out, .iov_len = sizeof(out) };
	struct iovec recv_iov = { .iov_base = into, .iov_len = sizeof(into) };
	struct haul_req *send, *receive;
	memset(out, value, sizeof(out));
	claim(haul_isend(via, UINT64_MAX, &send_iov, 1, HAUL_SYNC, &send) == 0);
	claim(haul_irecv(to, &match, &recv_iov, 1, &receive) == 0);
	finish(s, receive);
	finish(s, send);
	claim(memcmp(out, into, sizeof(out)) == 0);
}

static void exchange_both(struct scene *s)
{
	exchange(s, s->good, s->to_good, s->from_good, 'a');
	exchange(s, s->haul, s->from_good, s->to_good, 'b');
}

/* ---- the script ---- */

static void raw(struct evil *e, struct input *in)
{
	size_t len = input_byte(in);
	if (len > in->left)
		len = in->left;
	evil_say(e, in->at, len);
	in->at += len;
	in->left -= len;
}

static void connect_again(struct scene *s, enum evil_depth depth)
{
	int fd = evil_pair(&s->evil);
	for (int i = 0; i < 8; i++)
		haul_progress(s->haul); /* hears the old one hang up */
	program_adopt(&s->program, fd);
	evil_greet(&s->evil, depth);
}

static void change_list(struct evil *e, struct input *in)
{
	struct wire_range *r = &e->list[input_byte(in) * 8];
	r->addr = (uintptr_t)e->arena + input_byte(in);
	r->len = input_number(in);
}

static void evil_do(struct scene *s, unsigned op, struct input *in, unsigned *times)
{
	struct evil *e = &s->evil;
	struct input again = *in;
	switch (op) {
	case OP_PROGRESS:
		evil_progress(e, 1 + input_byte(in) % 16);
		break;
	case OP_FRAME:
		for (; *times > 0; --*times) {
			*in = again;
			evil_frame(e, in);
		}
		break;
	case OP_RAW:
		raw(e, in);
		break;
	case OP_FLIP:
		e->flip_at = 1 + input_byte(in);
		e->flip_bits = (uint8_t)input_byte(in);
		break;
	case OP_HOLD:
		e->hold = true;
		break;
	case OP_DRIP:
		evil_write(e, input_byte(in), true);
		break;
	case OP_LET_GO:
		e->hold = false;
		evil_say(e, NULL, 0);
		break;
	case OP_FDS:
		e->fds = input_byte(in) % 17;
		break;
	case OP_DEAF:
		e->deaf = !e->deaf;
		break;
	case OP_CELL: {
		unsigned b = input_byte(in);
		e->cells[b % EVIL_CELLS] = b / EVIL_CELLS;
		break;
	}
	case OP_LIST:
		change_list(e, in);
		break;
	case OP_CREDIT:
		e->credit_bytes += (uint32_t)input_number(in);
		e->credit_descs += (uint32_t)input_number(in);
		break;
	case OP_SHUT:
		if (e->fd >= 0)
			shutdown(e->fd, input_byte(in) & 1 ? SHUT_WR : SHUT_RD);
		break;
	case OP_HANG_UP:
		evil_hang_up(e);
		break;
	case OP_REFUSE: {
		static const int errors[] = { EPERM, ESRCH, ENOMEM, EFAULT, ENOSYS };
		unsigned which = input_byte(in) % 5;
		evil_refuse(errors[which], input_byte(in));
		break;
	}
	case OP_VIA:
	case OP_PARCEL:
	case OP_FULL:
	case OP_COOKIE:
	case OP_HEAD:
	case OP_SCRIBBLE:
	case OP_UNMAP:
	case OP_ARM:
	case OP_RESUME:
	case OP_UNREAD:
	case OP_BLANK:
		evil_outbox_do(e, op, in);
		break;
	case OP_CONNECT:
		connect_again(s, (enum evil_depth)(input_byte(in) % (EVIL_READY + 1)));
		break;
	default:
		program_do(&s->program, op, in);
	}
}

static void script(struct scene *s, struct input *in)
{
	unsigned times = 1;
	for (int i = 0; i < MOST_OPS && in->left > 0; i++) {
		unsigned op = input_byte(in) & OP_MASK;
		if (op == OP_REPEAT) {
			times = 1 + input_byte(in);
			continue;
		}
		evil_do(s, op, in, &times);
		times = 1;
	}
}

/* ---- all of it ---- */

static struct haul_options choose(unsigned a, unsigned b)
{
	static const int64_t eager_max[] = { 0, -1, 1, 100, 4096, 65536, 16384, 2049 };
	static const int path[] = { HAUL_PATH_AUTO, HAUL_PATH_PULL, HAUL_PATH_STREAM, HAUL_PATH_AUTO };
	struct haul_options o = { .path = path[a % 4],
		.eager_max = eager_max[a / 4 % 8],
		.budget = 65536,
		.budget_all = a & 0x20 ? 1 << 16 : 1 << 20,
		.window = a & 0x40 ? 4 : 1024,
		.max_msg = a & 0x80 ? 100000 : 0,
		.copy_budget = b & 1 ? 4096 : 1 << 20,
		.push = b & 4 ? 1 : 0,
		.two_handed = b & 8 ? 1 : -1,
		.transport = b & 16 ? HAUL_TRANSPORT_OUTBOX : HAUL_TRANSPORT_AUTO,
		.spin_us = -1,
		.stall_ms = 1 };
	return o;
}

static void begin(struct scene *s, const struct haul_options *o, bool in_one)
{
	claim(haul_open(&s->haul, o, sizeof(*o)) == 0);
	meet(s, o->transport, in_one);
	exchange_both(s);
	evil_init(&s->evil, s->haul);
	program_init(&s->program, s->haul);
	s->heap = heap_in_use();
}

/* Once nobody says anything any more there is nothing to do, be it that the evil peer does not read. */
static void rest(struct scene *s)
{
	int rounds = 0;
	while (haul_progress(s->haul) > 0)
		claim(++rounds < ROUNDS);
}

static void end(struct scene *s)
{
	evil_refuse(0, 0);
	evil_progress(&s->evil, 16);
	rest(s);
	size_t heap = heap_in_use() - program_memory(&s->program);
	if (heap > s->heap + HEAP_MOST)
		fprintf(stderr, "heap: %zu before, %zu after\n", s->heap, heap);
	claim(heap <= s->heap + HEAP_MOST);
	program_cancel_all(&s->program);
	exchange_both(s);
	if (s->pushes) { /* what it was granted would keep the context open */
		evil_hang_up(&s->evil);
		evil_progress(&s->evil, 16);
	}
	int rc = haul_close(s->haul, 0);
	claim(rc == 0 || rc == -ETIMEDOUT);
	program_fini(&s->program);
	evil_fini(&s->evil);
	if (s->good != s->haul)
		claim(haul_close(s->good, 0) == 0);
}

void attack(const uint8_t *data, size_t size, bool always_greeted)
{
	struct input in = { .at = data, .left = size };
	struct scene s;
	unsigned a = input_byte(&in), b = input_byte(&in);
	struct haul_options o = choose(a, b);
	int fd = next_fd();
	s.pushes = o.push == 1 || o.two_handed == 1;
	begin(&s, &o, (b & 2) != 0);
	enum evil_depth depth =
	    always_greeted ? EVIL_READY : (enum evil_depth)(input_byte(&in) % (EVIL_READY + 1));
	s.evil.two_handed = o.two_handed == 1;
	connect_again(&s, depth);
	script(&s, &in);
	end(&s);
	claim(next_fd() == fd);
}
