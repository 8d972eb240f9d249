/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections to members: who comes, and whom we reach. Two that connect to each other at once agree on one connection,
 * as mesh.h says.
 *
 *     higher rank                                 lower rank
 *     DIAL, HELLO; what follows is held           DIAL, HELLO, messages
 *     ANSWER 0: it goes                     <--   had not dialled: uses this one, too
 *     ANSWER 1: it waits for MEET           <--   had dialled
 *     MEET: what is held moves to that one; ours is closed when it is answered
 *     or ANSWER 0: it goes                  <--   that came to nothing: uses this one
 */
#ifndef HAUL_GROUP_LINKS_H
#define HAUL_GROUP_LINKS_H

#include "group/mesh.h"

/* From now on whoever connects is met. */
int links_accept(struct mesh *m);
/* Whether some connection has something to say, but has not said whose it is. */
bool links_are_to_be_met(const struct mesh *m);

/* Nobody is met any more: who has connected, but was not, hears goodbye. */
void links_dismiss(struct mesh *m);
/* Those whose handshake was about to end have heard it too. */
bool links_are_quiet(void *mesh);

/* A peer to send to, perhaps one whose handshake is under way; an error if the member has ended. One that does not
 * listen yet is waited for until then (os/clock.h; 0: not at all), but no longer than the option handshake_ms. */
int links_reach(struct mesh *m, int rank, uint64_t until, struct haul_peer **out);
/* The same for a call with that timeout; 0: -EAGAIN if it does not listen yet. */
int links_reach_within(struct mesh *m, int rank, int timeout_ms, struct haul_peer **out);
/* Waits for one that stays the same as long as the member is there. */
int links_meet(struct mesh *m, int rank, int timeout_ms, struct haul_peer **out);

#endif
