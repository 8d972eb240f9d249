/* SPDX-License-Identifier: BSD-3-Clause */
/* Which core each rank runs on, by hwloc(7): one core after the other, of those that haul run itself may
 * use, and from the first on again if there are more ranks. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "run.h"

#include <err.h>
#include <stdlib.h>
#include <sysexits.h>

#ifdef HAVE_HWLOC

#include <hwloc.h>

struct run_places {
	hwloc_topology_t topology;
	hwloc_obj_t *cores;
	unsigned count;
};

static void restrict_to_ours(hwloc_topology_t topology)
{
	hwloc_bitmap_t ours = hwloc_bitmap_alloc();
	if (ours != NULL && hwloc_get_cpubind(topology, ours, HWLOC_CPUBIND_PROCESS) == 0)
		hwloc_topology_restrict(topology, ours, 0);
	hwloc_bitmap_free(ours);
}

struct run_places *run_places_new(enum run_bind bind, unsigned size)
{
	struct run_places *p = bind != RUN_BIND_NONE ? calloc(1, sizeof(*p)) : NULL;
	if (p == NULL)
		return NULL;
	if (hwloc_topology_init(&p->topology) != 0)
		goto err_places;
	if (hwloc_topology_load(p->topology) != 0)
		goto err_topology;
	restrict_to_ours(p->topology);
	int count = hwloc_get_nbobjs_by_type(p->topology, HWLOC_OBJ_CORE);
	p->count = count > 0 ? (unsigned)count : 0;
	if (p->count == 0 || (bind == RUN_BIND_AUTO && size > p->count) ||
	    (p->cores = calloc(p->count, sizeof(*p->cores))) == NULL)
		goto err_topology;
	for (unsigned i = 0; i < p->count; i++)
		p->cores[i] = hwloc_get_obj_by_type(p->topology, HWLOC_OBJ_CORE, i);
	return p;

err_topology:
	hwloc_topology_destroy(p->topology);
err_places:
	free(p);
	if (bind == RUN_BIND_CORE)
		errx(EX_OSERR, "--bind=core: the cores of this machine cannot be told");
	return NULL;
}

void run_place(const struct run_places *p, unsigned rank)
{
	if (p != NULL)
		hwloc_set_cpubind(p->topology, p->cores[rank % p->count]->cpuset, HWLOC_CPUBIND_PROCESS);
}

void run_places_free(struct run_places *p)
{
	if (p == NULL)
		return;
	hwloc_topology_destroy(p->topology);
	free(p->cores);
	free(p);
}

#else

struct run_places *run_places_new(enum run_bind bind, unsigned size)
{
	(void)size;
	if (bind == RUN_BIND_CORE)
		errx(EX_UNAVAILABLE, "--bind=core: haul was built without hwloc");
	return NULL;
}

void run_place(const struct run_places *p, unsigned rank)
{
	(void)p;
	(void)rank;
}

void run_places_free(struct run_places *p)
{
	(void)p;
}

#endif
