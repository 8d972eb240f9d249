/* SPDX-License-Identifier: BSD-3-Clause */
/* Where members are. See place.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* secure_getenv */
#endif
#include "group/place.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "os/proc.h"
#include "os/reason.h"

/* A number of the environment; -EINVAL if it is none. */
static int number_of(const char *name, int least, int most, int *out)
{
	const char *error, *text = secure_getenv(name);
	long long n = strtonum(text, least, most, &error);
	if (error != NULL)
		return reason(-EINVAL, "%s is %s: '%s'", name, error, text);
	*out = (int)n;
	return 0;
}

/* As a launcher has left it; alone if there was none. */
int place_from_environment(struct mesh_place *place)
{
	const char *rank = secure_getenv("HAUL_RANK"), *size = secure_getenv("HAUL_SIZE"),
	           *job = secure_getenv("HAUL_JOB");
	int fd = -1, rc;
	*place = (struct mesh_place){ .size = 1, .control = -1 };
	if (rank == NULL && size == NULL && job == NULL)
		return 0;
	if (rank == NULL || size == NULL || job == NULL)
		return reason(-EINVAL, "of HAUL_RANK, HAUL_SIZE and HAUL_JOB some are set, and some are not");
	if (job[0] == '\0' || strlen(job) > JOB_NAME_MOST)
		return reason(-EINVAL, "HAUL_JOB is empty, or too long");
	if ((rc = number_of("HAUL_SIZE", 1, MEMBERS_MOST, &place->size)) != 0 ||
	    (rc = number_of("HAUL_RANK", 0, place->size - 1, &place->rank)) != 0)
		return rc;
	place->job = job;
	if (secure_getenv("HAUL_LISTEN") == NULL)
		return reason(-EINVAL, "HAUL_LISTEN is not set, though HAUL_JOB is");
	if ((rc = number_of("HAUL_LISTEN", 0, INT_MAX, &fd)) != 0)
		return rc;
	snprintf(place->own, sizeof(place->own), "fd:%d", fd);
	place->listen = place->own;
	return secure_getenv("HAUL_CONTROL") == NULL ? 0
	                                             : number_of("HAUL_CONTROL", 0, INT_MAX, &place->control);
}

int place_from_options(struct mesh_place *place, const struct haul_group_options *o)
{
	*place =
	    (struct mesh_place){ .rank = o->rank, .size = o->size, .control = -1, .addresses = o->addresses };
	if (o->size < 1 || o->size > MEMBERS_MOST || o->rank < 0 || o->rank >= o->size)
		return reason(-EINVAL, "rank %d in a group of %d", o->rank, o->size);
	if (o->addresses == NULL && o->size > 1)
		return reason(-EINVAL, "no addresses of %d members", o->size);
	for (int i = 0; o->addresses != NULL && i < o->size; i++)
		if (o->addresses[i] == NULL)
			return reason(-EINVAL, "no address of rank %d", i);
	if (o->size > 1)
		place->listen = o->addresses[o->rank];
	else
		place->addresses = NULL;
	return 0;
}

static int cpus_told(void)
{
	int cpus = 0;
	return secure_getenv("HAUL_CPUS") != NULL && number_of("HAUL_CPUS", 1, INT_MAX, &cpus) == 0 ? cpus
	                                                                                            : 0;
}

int place_cpus(void)
{
	int cpus = cpus_told();
	return cpus > 0 ? cpus : proc_cpus();
}

int place_cpus_alike(void)
{
	int cpus = cpus_told();
	return cpus > 0 ? cpus : proc_cpus_of_all();
}

int place_tuning(struct tuning *t, int size, int cpus)
{
	const char *list = secure_getenv("HAUL_TUNING");
	return tuning_for(t, size, cpus, list != NULL ? list : "");
}
