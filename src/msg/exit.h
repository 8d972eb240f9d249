/* SPDX-License-Identifier: BSD-3-Clause */
/* The end of the process, for contexts whose peers may still have to read in its memory. */
#ifndef HAUL_MSG_EXIT_H
#define HAUL_MSG_EXIT_H

struct haul;

/* A context whose memory was just made, and will never be returned. */
void exit_remember(struct haul *h);

#endif
