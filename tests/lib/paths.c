/* SPDX-License-Identifier: BSD-3-Clause */
/* The paths. See paths.h. */
#include "paths.h"

#include "must.h"

static struct path paths[] = {
	{ "eager", HAUL_PATH_AUTO, 65536, HAUL_TRANSPORT_SOCKET, 65536, .eager = true },
	{ "pull", HAUL_PATH_PULL, -1, HAUL_TRANSPORT_SOCKET, SIZE_MAX, .eager = false },
	{ "stream", HAUL_PATH_STREAM, -1, HAUL_TRANSPORT_SOCKET, SIZE_MAX, .eager = false },
	{ "auto", HAUL_PATH_AUTO, 0, HAUL_TRANSPORT_SOCKET, SIZE_MAX, .eager = true },
	{ "outbox, eager", HAUL_PATH_AUTO, 65536, HAUL_TRANSPORT_OUTBOX, 65536, .eager = true },
	{ "outbox, pull", HAUL_PATH_PULL, -1, HAUL_TRANSPORT_OUTBOX, SIZE_MAX, .eager = false },
	{ "together", HAUL_PATH_PULL, -1, HAUL_TRANSPORT_SOCKET, SIZE_MAX, .together = true },
};

struct criterion_test_params paths_every(void)
{
	return cr_make_param_array(struct path, paths, sizeof(paths) / sizeof(paths[0]));
}

struct haul_options path_options(const struct path *path)
{
	must_note(path->name);
	return (struct haul_options){ .path = path->path,
		.eager_max = path->eager_max,
		.transport = path->transport,
		.two_handed = path->together ? 1 : -1,
		.pull_helper = path->together ? 1 : -1 };
}

size_t path_most(const struct path *path, size_t len)
{
	return len < path->longest ? len : path->longest;
}
