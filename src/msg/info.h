/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is known of a peer, for people: lines of the log when it has come, when a path has changed, when it has
 * gone; and haul_peer_info(). peer.c, pull.c and push.c say when.
 */
#ifndef HAUL_MSG_INFO_H
#define HAUL_MSG_INFO_H

#include "msg/peer.h"

void info_up(struct haul_peer *p);
/* A path may have: something was refused. */
void info_changed(struct haul_peer *p);
/* It may not be written to after all. */
void info_assists_no_more(struct haul_peer *p, int error);
void info_down(struct haul_peer *p);

#endif
