/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Words that tests of several processes exchange so often that they have names: a token, which is an empty
 * message with a tag of its own, by which one side tells the other to go on; a buffer with a pattern; a message
 * with one, whose tag is the pattern's seed; a receive and its end. They check by must.h.
 */
#ifndef HAUL_TESTS_LIB_TALK_H
#define HAUL_TESTS_LIB_TALK_H

#include <stddef.h>
#include <stdint.h>

#include <haul/haul.h>

#define TAG_TOKEN (UINT64_C(1) << 63)

/* Sends it, and waits for it from that peer, past whatever else has come. */
void send_token(struct haul_peer *p);
void await_token(struct haul *h, struct haul_peer *p);

/* malloc(), which does not fail; the second with the pattern of seed in it. */
unsigned char *room_for(size_t len);
unsigned char *filled(size_t len, uint64_t seed);

/* Sends it and waits until it was received; receives it and checks it. */
void send_pattern(struct haul_peer *p, size_t len, uint64_t seed);
void receive_pattern(struct haul *h, size_t len, uint64_t seed);
/* With a timeout, or by -1 without: nothing is granted to be pushed that has a deadline. */
void receive_pattern_within(struct haul *h, size_t len, uint64_t seed, int timeout_ms);

/* Returns once a message with that tag is there, which nobody has asked for. */
void await_message(struct haul *h, uint64_t tag);

/* A receive of that tag; and the result of a request, for whose end it waits. */
struct haul_req *post_receive(struct haul *h, void *buf, size_t len, uint64_t tag);
int end_of(struct haul_req *r, struct haul_status *status);

struct haul_stats stats_of(struct haul *h);

#endif
