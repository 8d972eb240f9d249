/* SPDX-License-Identifier: BSD-3-Clause */
/* Tokens and filled buffers. See talk.h. */
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

void receive_pattern(struct haul *h, size_t len, uint64_t seed)
{
	unsigned char *buf = room_for(len);
	must_be(haul_recv(h, &(struct haul_match){ .tag = seed }, buf, len, PATIENCE_MS, NULL), len);
	must_hold(buf, len, seed, 0);
	free(buf);
}
