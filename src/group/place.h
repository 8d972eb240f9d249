/* SPDX-License-Identifier: BSD-3-Clause */
/* Which member this process is, of how many, and where they are: as a launcher has left it in the environment
 * (wire/job.h), or as the program says. */
#ifndef HAUL_GROUP_PLACE_H
#define HAUL_GROUP_PLACE_H

#include "group/algorithms.h"
#include "group/mesh.h"
#include "haul/group.h"

/* 0, or -EINVAL with a reason. Alone, if nothing is set. */
int place_from_environment(struct mesh_place *place);
int place_from_options(struct mesh_place *place, const struct haul_group_options *o);
/* On how many CPUs all members run, as far as this one may; and so that all come to the same number. */
int place_cpus(void);
int place_cpus_alike(void);
/* As tuning_for(), with what HAUL_TUNING says. */
int place_tuning(struct tuning *t, int size, int cpus);

#endif
