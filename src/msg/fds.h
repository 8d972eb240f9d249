/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors that go with a message: the sender's, until it is over, and those that a taken one has got.
 *
 *     a taken message:   NONE --> ASKED --> HERE --> NONE       asked for; come, or known not to; given to its taker
 *                          \<-------/                           it is gone, or its taker through with it
 */
#ifndef HAUL_MSG_FDS_H
#define HAUL_MSG_FDS_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/frame.h"

struct haul_peer;
struct haul_msg;
struct outbound;

enum fds_state { FDS_NONE, FDS_ASKED, FDS_HERE };

/* Copies of the caller's, for a message of ours: 0 or an error with a reason. */
int fds_keep(struct outbound *o, const int *fds, size_t count);
/* It is over, or taken back. */
void fds_forget(struct outbound *o);
/* The peer asks for them. False: what it says can't be. */
bool fds_asked(struct outbound *o);

/* Its inbound is about to go, or its taker is through with it: nothing is awaited any more. What is here stays. */
void fds_stop(struct haul_msg *m);
/* What is here is closed, too. */
void fds_free(struct haul_msg *m);
/* RIGHTS has come. */
void fds_came(struct haul_peer *p, const struct wire_frame *f);

/* FETCH and RIGHTS, where they are due; false if the link takes no more. */
bool fds_say(struct haul_peer *p);

#endif
