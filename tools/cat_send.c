/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The side of haul cat that sends. What is read goes out at once, however little it is, and stays in its buffer until
 * the receiver has it; meanwhile the next buffer is filled. The receiver's last word is listened for from the start: it
 * comes early if the output can't be written, and its absence tells that the receiver has died.
 */
#include "cat.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

struct sending {
	struct cat *c;
	struct haul_req *answer; /* the receiver's END */
	struct cat_end theirs;
	bool ended; /* this side has said END: there may be a good answer */
};

uint64_t cat_send_size(void)
{
	struct stat st;
	if (fstat(STDIN_FILENO, &st) != 0 || !S_ISREG(st.st_mode))
		return CAT_SIZE_UNKNOWN;
	off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);
	return at >= 0 && at < st.st_size ? (uint64_t)(st.st_size - at) : CAT_SIZE_UNKNOWN;
}

/* The receiver has said its last word, or will never. */
static void take_answer(struct sending *s)
{
	struct haul_status status;
	int rc = haul_req_finish(s->answer, &status);
	s->answer = NULL;
	s->theirs.why[sizeof(s->theirs.why) - 1] = '\0';
	if (rc < 0)
		cat_fail_by_peer(s->c, rc);
	else if (status.tag != CAT_END || status.got != sizeof(s->theirs))
		cat_fail_by_peer(s->c, -EPROTO);
	else if (s->theirs.status != 0)
		cat_fail_as_told(s->c, &s->theirs);
	else if (!s->ended)
		cat_fail_by_peer(s->c, -EPROTO); /* that all was written, before it was sent */
}

/* A message can't be sent: what the receiver has said before it went tells more. */
static void lost(struct sending *s, int error)
{
	if ((error == -EPIPE || error == -ECONNRESET) && cat_wait(s->c, &s->answer, 1) == 0)
		take_answer(s);
	cat_fail_by_peer(s->c, error);
}

/* A buffer's message was taken, and it is free. False: something has failed, or the receiver has answered. */
static bool settle(struct sending *s, struct cat_slot *slot)
{
	if (slot->req == NULL)
		return true;
	struct haul_req *reqs[] = { s->answer, slot->req }; /* the answer tells more */
	int first = cat_wait(s->c, reqs, 2);
	if (first == 0)
		take_answer(s);
	if (first != 1)
		return false;
	int rc = haul_req_finish(slot->req, NULL);
	slot->req = NULL;
	if (rc < 0)
		lost(s, rc);
	return rc >= 0;
}

/* Until there is something to be read. False: the receiver has answered. */
static bool await_input(struct sending *s)
{
	struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = haul_fd(s->c->h), .events = POLLIN } };
	for (;;) {
		while (haul_progress(s->c->h) == 1)
			;
		if (haul_req_test(s->answer) == 0) {
			take_answer(s);
			return false;
		}
		if (haul_arm(s->c->h) == -EAGAIN)
			continue;
		poll(fds, 2, s->c->meter.on ? CAT_TICK_MS : -1);
		if (fds[0].revents != 0)
			return true;
		cat_meter_tick(&s->c->meter);
	}
}

/* As many bytes as there are now, at least one; 0 at the end. Negative: something has failed. */
static ssize_t fill(struct sending *s, struct cat_slot *slot)
{
	ssize_t n;
	do
		n = await_input(s) ? cat_io_read(STDIN_FILENO, slot->at, CAT_CHUNK) : -ECANCELED;
	while (n == -EAGAIN);
	if (n < 0)
		cat_fail(s->c, EX_IOERR, "standard input: %s", strerror((int)-n));
	return n;
}

static bool send_slot(struct sending *s, struct cat_slot *slot)
{
	struct iovec iov = { .iov_base = slot->at, .iov_len = slot->len };
	if (s->c->sum != NULL)
		cat_sum_add(s->c->sum, slot->at, slot->len);
	int rc = haul_isend(s->c->peer, CAT_DATA, &iov, 1, 0, &slot->req);
	if (rc < 0) {
		lost(s, rc);
		return false;
	}
	s->c->own.bytes += slot->len;
	cat_meter_add(&s->c->meter, slot->len);
	return true;
}

/* All input, each buffer in turn. */
static void pump(struct sending *s)
{
	for (size_t i = 0;; i = (i + 1) % CAT_SLOTS) {
		struct cat_slot *slot = &s->c->slots[i];
		if (!settle(s, slot))
			return;
		ssize_t n = fill(s, slot);
		if (n <= 0)
			return;
		slot->len = (size_t)n;
		if (!send_slot(s, slot))
			return;
	}
}

static void await_answer(struct sending *s)
{
	for (size_t i = 0; i < CAT_SLOTS; i++)
		if (!settle(s, &s->c->slots[i]))
			return;
	if (cat_wait(s->c, &s->answer, 1) == 0)
		take_answer(s);
}

static void compare(struct cat *c, const struct cat_end *theirs)
{
	if (theirs->bytes != c->own.bytes)
		cat_fail(c, EX_DATAERR, "%ju bytes were sent, but %ju have come", (uintmax_t)c->own.bytes,
		    (uintmax_t)theirs->bytes);
	else if (memcmp(theirs->sum, c->own.sum, sizeof(c->own.sum)) != 0)
		cat_fail(c, EX_DATAERR, "the checksums differ: what has come is not what was sent");
}

void cat_send(struct cat *c)
{
	static struct sending
	    s; /* has what the answer is received into, which may go on for longer than this function */
	s = (struct sending){ .c = c };
	struct haul_match match = { .from = c->peer, .ignore = UINT64_MAX };
	struct iovec iov = { .iov_base = &s.theirs, .iov_len = sizeof(s.theirs) };
	int rc = haul_irecv(c->h, &match, &iov, 1, &s.answer);
	if (rc < 0) {
		cat_fail_by_peer(c, rc);
		return;
	}
	pump(&s);
	if (c->sum != NULL)
		cat_sum_end(c->sum, c->own.sum);
	c->sum = NULL;
	cat_tell(c);
	s.ended = true;
	/* What was read before an error of the input is to be written, too. */
	if (s.answer != NULL && (!cat_failed(c) || c->own.status == EX_IOERR))
		await_answer(&s);
	if (!cat_failed(c))
		compare(c, &s.theirs);
}
