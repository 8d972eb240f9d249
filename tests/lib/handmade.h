/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A context and a peer of it that is made by hand (rawpeer.h), connected, in one thread. And what such tests expect of
 * the context: that it goes on with the peer, or drops it for a violation, and nothing else.
 */
#ifndef HAUL_TESTS_LIB_HANDMADE_H
#define HAUL_TESTS_LIB_HANDMADE_H

#include <haul/haul.h>

#include "rawpeer.h"

struct handmade {
	struct haul *haul;
	struct haul_peer *peer,
	    *self;              /* the one made by hand; and this process, which has done nothing wrong */
	struct haul_req *watch; /* of the peer */
	struct raw raw;
	int fds; /* descriptors open before it all */
};

/* The peer says these features in HELLO, and in VERDICT that errno. */
void handmade_start(struct handmade *m, const struct haul_options *options, uint64_t features, int verdict);

/* Closes all. */
void handmade_end(struct handmade *m);

/* Lets the context read what was sent, and answer. */
void handmade_settle(struct handmade *m);

/* The peer is alive, or has been dropped; the context goes on in either case. */
void handmade_must_live(struct handmade *m);
void handmade_must_be_dropped(struct handmade *m);

/* The next frame that the context has sent, which must be of that type. */
const struct raw_frame *handmade_next(struct handmade *m, int type);

/* Frames to the context. */
struct raw_pushed {
	uint64_t id, moved;
	uint32_t epoch, error;
};

void handmade_desc(struct handmade *m, uint64_t tag, uint64_t id, uint64_t len);
void handmade_pushed(struct handmade *m, struct raw_pushed f);

/* What is about one id: DONE, CANCELED, CANCEL. */
void handmade_say(struct handmade *m, int type, uint64_t id);

#endif
