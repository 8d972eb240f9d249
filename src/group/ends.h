/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ends of members: when one has died, or left. It has when its last connection has ended, or it has none and the
 * launcher, or its address, says so; but not before all connections are met that may be of it, as the last it said may
 * be there, nor before the launcher has had a moment to say how it has ended.
 */
#ifndef HAUL_GROUP_ENDS_H
#define HAUL_GROUP_ENDS_H

#include "group/mesh.h"

/* A member has no connection any more, and will make none: -ECONNRESET, or -EPIPE if that was its own will. */
void ends_going(struct mesh *m, int rank, int error);
/* Those that were going have ended, if nothing speaks against it; each round. */
void ends_settle(struct mesh *m);
/* How one has ended, as far as we know; 0: it hasn't. */
int ends_of(const struct member *who);
/* The error, with a reason. */
int ends_reason(int rank, int error);

/* The end of a member's connection is to be heard of. */
int ends_watch(struct mesh *m, struct haul_peer *p, int rank);
/* Nobody will hear of it: so it is now. */
void ends_give_up(struct mesh *m, struct haul_peer *p, int rank);
/* Another connection to a member that can be used, if two have connected to each other at once; else NULL. */
struct haul_peer *ends_other_link(const struct mesh *m, int rank);
/* Connections that have ended, and that nobody needs any more. */
void ends_free_retired(struct mesh *m);

#endif
