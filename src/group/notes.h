/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Notes: what members tell each other of a collective, on the mesh's own channel. That it has failed may be told
 * before it has begun here, or its group was made: that is remembered.
 */
#ifndef HAUL_GROUP_NOTES_H
#define HAUL_GROUP_NOTES_H

#include "group/mesh.h"

/* From now on they are heard. */
int notes_hear(struct mesh *m);
/* Sends a member one, whose rank is filled in; an error if it can't be. */
int notes_tell(struct mesh *m, int rank, const struct note *note);
/* Whether a collective that is about to begin has failed elsewhere already: with what. */
int notes_failed(struct mesh *m, uint32_t group, uint32_t seq);
/* Those of a group are forgotten; all are. */
void notes_forget(struct mesh *m, uint32_t group);
void notes_forget_all(struct mesh *m);

#endif
