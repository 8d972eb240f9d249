/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is at the other end, by the kernel's word alone: credentials that came with its bytes, a pidfd, and
 * the probe that ties the pid to the socket. Used by the handshake.
 */
#ifndef HAUL_LINK_IDENTITY_H
#define HAUL_LINK_IDENTITY_H

#include "link/link.h"
#include "os/sock.h"

/* Looks at the credentials of bytes just read: the first ones are learnt, all later ones must be the same.
 * Takes creds->pidfd. On refusal the link has failed, and its error is returned. */
int identity_check(struct link *l, struct sock_creds *creds);

/* Reads the answer to our challenge in the peer's memory and so decides l->in. Of a dead peer the link fails. */
void identity_probe(struct link *l, uint64_t answer_addr);

#endif
