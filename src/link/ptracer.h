/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Yama's exception: where its ptrace_scope is 1, a process may be read by its ancestors and by whom it names
 * with prctl(PR_SET_PTRACER). A process has one such name at a time. The handshake has it given before the peer
 * probes; it is taken back when the last link that asked for it is closed.
 */
#ifndef HAUL_LINK_PTRACER_H
#define HAUL_LINK_PTRACER_H

#include "link/link.h"

/* Once the peer is known, as the option says. What stands in the way is told to the log: the peer's probe
 * will meet it. */
void ptracer_allow(struct link *l);
void ptracer_revoke(struct link *l);

#endif
