/* SPDX-License-Identifier: BSD-3-Clause */
/* Adopts and connects, as requests (REQ_PEER). */
#ifndef HAUL_MSG_CONNECT_H
#define HAUL_MSG_CONNECT_H

#include "msg/request.h"

/* It gives up: the peer does not come about. */
void connect_abort(struct haul_req *r, int error);

#endif
