/* SPDX-License-Identifier: BSD-3-Clause */
/* What link.c needs of transmit.c to take a link apart. */
#ifndef HAUL_LINK_TRANSMIT_H
#define HAUL_LINK_TRANSMIT_H

#include "link/link.h"

void transmit_fini(struct link *l);
void transmit_drop_spares(struct link_shared *s);

/* As transport_make_way() and its like, where the stream goes over the socket. */
bool transmit_make_way(struct link *l);
size_t transmit_encode(struct link *l, struct wire_frame *f, uint8_t *buf, size_t size);
void transmit_went(struct link *l, const uint8_t *bytes, size_t len, size_t taken);

#endif
