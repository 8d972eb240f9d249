/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The side of haul cat that receives. All free buffers are posted as receives, so that the thread of the library fills
 * the next ones while this one writes. Messages come in the order sent and receives are served in the order posted:
 * the buffers take turns. Only the sender's END says that there is no more.
 */
#include "cat.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* If it can't be, because the sender has left, earlier buffers may still have what it said last. */
static void post(struct cat *c, struct cat_slot *slot)
{
	struct haul_match match = { .from = c->peer, .ignore = UINT64_MAX };
	struct iovec iov = { .iov_base = slot->at, .iov_len = CAT_CHUNK };
	slot->error = haul_irecv(c->h, &match, &iov, 1, &slot->req);
}

static bool write_out(struct cat *c, const char *at, size_t len)
{
	if (c->sum != NULL)
		cat_sum_add(c->sum, at, len);
	int rc = cat_io_write(STDOUT_FILENO, at, len);
	if (rc < 0) {
		c->by_sigpipe = rc == -EPIPE && !c->ignores_sigpipe;
		cat_fail(c, EX_IOERR, "standard output: %s", strerror(-rc));
		return false;
	}
	c->own.bytes += len;
	cat_meter_add(&c->meter, len);
	return true;
}

/* What has come next, in the buffer whose turn it is. True if it was to be written, and more is to come. */
static bool take(struct cat *c, struct cat_slot *slot, struct cat_end *theirs, bool *ended)
{
	struct haul_status status;
	int rc = slot->error;
	if (rc == 0) {
		if (cat_wait(c, &slot->req, 1) < 0)
			return false;
		rc = haul_req_finish(slot->req, &status);
		slot->req = NULL;
	}
	if (rc < 0) {
		cat_fail_by_peer(c, rc);
		return false;
	}
	if (status.tag == CAT_DATA && status.got > 0) {
		if (!write_out(c, slot->at, status.got))
			return false;
		post(c, slot);
		return true;
	}
	if (status.tag == CAT_END && status.got == sizeof(*theirs)) {
		memcpy(theirs, slot->at, sizeof(*theirs));
		*ended = true;
	} else
		cat_fail_by_peer(c, -EPROTO);
	return false;
}

/* All has come: is it what was sent, and where it should be? */
static void conclude(struct cat *c, const struct cat_end *theirs)
{
	if (theirs->status != 0)
		cat_fail_as_told(c, theirs);
	else if (theirs->bytes != c->own.bytes)
		cat_fail(c, EX_DATAERR, "%ju bytes have come, but %ju were sent", (uintmax_t)c->own.bytes,
		    (uintmax_t)theirs->bytes);
	else if (memcmp(theirs->sum, c->own.sum, sizeof(c->own.sum)) != 0)
		cat_fail(c, EX_DATAERR, "the checksums differ: what has come is not what was sent");
	int rc = cat_failed(c) ? 0 : cat_io_settle(STDOUT_FILENO);
	if (rc < 0)
		cat_fail(c, EX_IOERR, "standard output: %s", strerror(-rc));
}

void cat_receive(struct cat *c)
{
	struct cat_end theirs;
	bool ended = false;
	for (size_t i = 0; i < CAT_SLOTS; i++)
		post(c, &c->slots[i]);
	for (size_t i = 0; take(c, &c->slots[i], &theirs, &ended);)
		i = (i + 1) % CAT_SLOTS;
	if (c->sum != NULL)
		cat_sum_end(c->sum, c->own.sum);
	c->sum = NULL;
	if (ended)
		conclude(c, &theirs);
}
