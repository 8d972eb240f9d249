/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors on their way in, for those who read: internal to link. What others see of them is in link.h. */
#ifndef HAUL_LINK_RIGHTS_H
#define HAUL_LINK_RIGHTS_H

#include "link/link.h"

/* Bytes of the socket, as sock_recvv(); with what is attached to them, if some are awaited. */
ssize_t rights_recv(struct link *l, struct iovec *iov, size_t count);
/* RIGHTS has come beside an outbox: link_next() is to show it. False: a violation. */
bool rights_heard(struct link *l, const struct wire_frame *f);
/* Whether there is such a one, which then is in *f. */
bool rights_next(struct link *l, struct wire_frame *f);
/* Nobody has taken what came with the frame shown last. */
void rights_drop(struct link *l);
void rights_fini(struct link *l);

#endif
