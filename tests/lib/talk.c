/* SPDX-License-Identifier: BSD-3-Clause */
/* Tokens, and messages with a pattern. See talk.h. */
#include "talk.h"

#include <stdlib.h>

#include "must.h"
#include "pairing.h"
#include "pattern.h"

void send_token(struct haul_peer *p)
{
	must_be(haul_send(p, TAG_TOKEN, NULL, 0, PATIENCE_MS), 0);
}

void await_token(struct haul *h, struct haul_peer *p)
{
	struct haul_match match = { .from = p, .tag = TAG_TOKEN };
	must_be(haul_recv(h, &match, NULL, 0, PATIENCE_MS, NULL), 0);
}

unsigned char *room_for(size_t len)
{
	unsigned char *buf = malloc(len > 0 ? len : 1);
	must(buf != NULL);
	return buf;
}

unsigned char *filled(size_t len, uint64_t seed)
{
	unsigned char *buf = room_for(len);
	pattern_fill(buf, len, seed, 0);
	return buf;
}

void send_pattern(struct haul_peer *p, size_t len, uint64_t seed)
{
	unsigned char *buf = filled(len, seed);
	struct iovec iov = { buf, len };
	must_be(haul_sendv(p, seed, &iov, 1, HAUL_SYNC, PATIENCE_MS), 0);
	free(buf);
}

void receive_pattern_within(struct haul *h, size_t len, uint64_t seed, int timeout_ms)
{
	unsigned char *buf = room_for(len);
	must_be(haul_recv(h, &(struct haul_match){ .tag = seed }, buf, len, timeout_ms, NULL), len);
	must_hold(buf, len, seed, 0);
	free(buf);
}

void receive_pattern(struct haul *h, size_t len, uint64_t seed)
{
	receive_pattern_within(h, len, seed, PATIENCE_MS);
}

void await_message(struct haul *h, uint64_t tag)
{
	struct haul_status status;
	must_be(haul_probe(h, &(struct haul_match){ .tag = tag }, PATIENCE_MS, &status), 0);
}

struct haul_req *post_receive(struct haul *h, void *buf, size_t len, uint64_t tag)
{
	struct haul_req *r;
	struct iovec iov = { buf, len };
	must_be(haul_irecv(h, &(struct haul_match){ .tag = tag }, &iov, 1, &r), 0);
	return r;
}

int end_of(struct haul_req *r, struct haul_status *status)
{
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	return haul_req_finish(r, status);
}

struct haul_stats stats_of(struct haul *h)
{
	struct haul_stats s;
	must_be(haul_stats(h, &s, sizeof(s)), 0);
	return s;
}
