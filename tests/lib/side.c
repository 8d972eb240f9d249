/* SPDX-License-Identifier: BSD-3-Clause */
/* The words of two sides. See side.h. */
#include "side.h"

#include <string.h>

#include "must.h"
#include "pattern.h"
#include "talk.h"

uint8_t side_out[SIDE_MOST], side_in[SIDE_MOST];

int side_give(struct side *s, size_t len, uint64_t seed, unsigned flags)
{
	struct iovec iov = { .iov_base = side_out, .iov_len = len };
	pattern_fill(side_out, len, seed, 0);
	return haul_sendv(s->p, len, &iov, 1, flags, s->timeout_ms);
}

int side_take(struct side *s, size_t len, uint64_t seed)
{
	struct haul_match match = { .from = s->p, .tag = len };
	struct haul_status status;
	memset(side_in, CANARY, len);
	ssize_t n = haul_recv(s->h, &match, side_in, sizeof(side_in), s->timeout_ms, &status);
	if (n < 0)
		return (int)n;
	must_be(n, len);
	must_be(status.got, len);
	must_hold(side_in, len, seed, 0);
	return 0;
}

int side_give_token(struct side *s)
{
	return haul_send(s->p, TAG_TOKEN, NULL, 0, s->timeout_ms);
}

int side_take_token(struct side *s)
{
	struct haul_match match = { .from = s->p, .tag = TAG_TOKEN };
	return (int)haul_recv(s->h, &match, NULL, 0, s->timeout_ms, NULL);
}

int side_finish(struct side *s, struct haul_req *r)
{
	int rc = haul_req_wait(r, s->timeout_ms);
	if (rc != 0)
		haul_req_deadline(r, 0);
	if (rc != 0)
		must_be(haul_req_wait(r, s->timeout_ms), 0);
	int result = haul_req_finish(r, NULL);
	return rc != 0 ? rc : result;
}
