/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two tables: the options that a context may have, and the ways in which a process may lose the right to read others'
 * memory, or have its own read, for the rest of its life. To add to the mix, add a line.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/refuse.h"
#include "soak_node.h"

static const struct {
	const char *name;
	struct haul_options options;
} flavours[] = {
	{ "defaults", { 0 } },
	{ "pull", { .path = HAUL_PATH_PULL, .eager_max = -1, .push = 1 } },
	{ "stream", { .path = HAUL_PATH_STREAM, .eager_max = -1 } },
	{ "eager", { .eager_max = 65536, .push = 1 } },
	{ "push", { .eager_max = -1, .push = 1 } },
	{ "narrow",
	    { .budget = 65536,
	        .window = 16,
	        .spin_us = -1,
	        .copy_budget = 1 << 20,
	        .transport = HAUL_TRANSPORT_OUTBOX } },
	{ "thread", { .progress_thread = 1, .transport = HAUL_TRANSPORT_OUTBOX, .push = 1 } },
	{ "outbox", { .eager_max = 65536, .transport = HAUL_TRANSPORT_OUTBOX } },
	{ "outbox pull", { .path = HAUL_PATH_PULL, .eager_max = -1, .transport = HAUL_TRANSPORT_OUTBOX } },
};

const char *flavour_pick(uint64_t *random, struct haul_options *options)
{
	size_t i = random_below(random, sizeof(flavours) / sizeof(flavours[0]));
	*options = flavours[i].options;
	return flavours[i].name;
}

/* ---- refusals: each true if it is so from now on ---- */

static bool filter_eperm(void)
{
	return refuse_call(SYS_process_vm_readv, EPERM) == 0;
}

static bool filter_enosys(void)
{
	return refuse_call(SYS_process_vm_readv, ENOSYS) == 0;
}

/* It can read, but neither push nor ring. */
static bool filter_writes(void)
{
	return refuse_call(SYS_process_vm_writev, EPERM) == 0;
}

/* Nobody may read it, except root. */
static bool become_undumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 0) == 0;
}

/* Another user namespace: from there nobody outside may be read. */
static bool unshare_user(void)
{
	char map[64];
	int n = snprintf(map, sizeof(map), "%u %u 1", (unsigned)geteuid(), (unsigned)geteuid());
	if (unshare(CLONE_NEWUSER) != 0)
		return false;
	int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, map, (size_t)n) != n)
		fail("/proc/self/uid_map: %s", strerror(errno));
	close(fd);
	return true;
}

/* A Landlock domain, that forbids to make block devices, and to read who is outside of it. */
static bool enter_landlock(void)
{
	struct landlock_ruleset_attr a = { .handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_BLOCK };
	int fd = (int)syscall(SYS_landlock_create_ruleset, &a, sizeof(a), 0);
	if (fd < 0)
		return false;
	bool ok =
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_landlock_restrict_self, fd, 0) == 0;
	close(fd);
	return ok;
}

static const struct {
	const char *name;
	bool (*refuse)(void);
} refusals[] = {
	{ "filter EPERM", filter_eperm },
	{ "filter ENOSYS", filter_enosys },
	{ "filter writes", filter_writes },
	{ "undumpable", become_undumpable },
	{ "userns", unshare_user },
	{ "landlock", enter_landlock },
};

const char *refusal_pick(uint64_t *random)
{
	size_t i = random_below(random, sizeof(refusals) / sizeof(refusals[0]));
	return refusals[i].refuse() ? refusals[i].name : NULL;
}
