/* SPDX-License-Identifier: BSD-3-Clause */
/* What link.c needs of transmit.c to take a link apart. */
#ifndef HAUL_LINK_TRANSMIT_H
#define HAUL_LINK_TRANSMIT_H

#include "link/link.h"

void transmit_fini(struct link *l);
void transmit_drop_spares(struct link_shared *s);

#endif
