/* SPDX-License-Identifier: BSD-3-Clause */
/* The end of the process, for contexts whose peers may still have to read in its memory. */
#ifndef HAUL_MSG_EXIT_H
#define HAUL_MSG_EXIT_H

struct haul;

/* A context whose memory was just made, and will never be returned. */
void exit_remember(struct haul *h);

/* What is owed to the peers of one, with the lock held, before the process ends without exit(3). */
void exit_settle(struct haul *h);

#endif
