/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asking members that are waited for. A collective whose members gave arguments that do not fit each other may have
 * one wait for what another will never send, or sends what the other will never receive; and neither has a message
 * by which to find out. So who has waited for a while asks, less and less often:
 *
 *     ASK    I am waiting for you in this collective, begun with these arguments
 *     OVER   you will get nothing more, or: I shall take nothing more. Then who still waits for that fails with -EINVAL;
 *            with -EPIPE if that is because the group was freed there
 *
 * Where there is nothing to say, because its part is still to come, a member does not answer. One that began it
 * with other arguments fails, and tells everybody. What OVER says is behind all that was sent or answered before,
 * on the same connection, so nothing can be on its way still.
 */
#ifndef HAUL_GROUP_INQUIRY_H
#define HAUL_GROUP_INQUIRY_H

#include "group/mesh.h"

/* A collective waits: from now on it is looked at now and then. */
void inquiry_begin(struct mesh *m);
/* What there is to answer to an ASK: OVER_*, 0: nothing. */
unsigned inquiry_answer(struct mesh *m, const struct note *asked);
/* An OVER came. */
void inquiry_answered(struct mesh *m, const struct note *over);

#endif
