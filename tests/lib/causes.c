/* SPDX-License-Identifier: BSD-3-Clause */
/* The causes of a refusal. See causes.h. */
#include "causes.h"

#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>

#include "world.h"

char *causes_rerun[8] = { "test", "nothing", NULL };

static const char *filter_eperm(void)
{
	return world_refuse_reads(EPERM);
}

static const char *filter_enosys(void)
{
	return world_refuse_reads(ENOSYS);
}

static const char *become_user(void)
{
	return world_become_user(WORLD_OTHER);
}

static const char *become_group(void)
{
	return world_become_group(WORLD_OTHER);
}

static const char *drop_capability(void)
{
	return world_drop_capability(CAP_NET_RAW);
}

static const char *enter_user_namespace(void)
{
	return world_enter_user_namespace(true);
}

static const char *lose_ids(void)
{
	return world_enter_user_namespace(false);
}

/* What a container without rights has at the least. */
static const char *enter_both_namespaces(void)
{
	const char *cannot = world_enter_user_namespace(true);
	return cannot != NULL ? cannot : world_enter_pid_namespace();
}

static const char *run_unreadable(void)
{
	return world_run_unreadable(causes_rerun);
}

#define CAP(name) (UINT64_C(1) << CAP_##name)

const struct cause causes_all[CAUSES] = {
	{ .name = "a seccomp filter that says EPERM", .enter = filter_eperm, .error = EPERM, .blinds = true },
	{ .name = "a seccomp filter that says ENOSYS",
	    .enter = filter_enosys,
	    .error = ENOSYS,
	    .blinds = true },
	{ .name = "a Landlock domain", .enter = world_enter_landlock, .error = EPERM, .blinds = true },
	{ .name = "another user",
	    .enter = become_user,
	    .error = EPERM,
	    .blinds = true,
	    .hides = true,
	    .mends = true,
	    .strangers = true,
	    .capabilities = CAP(SETUID) },
	{ .name = "another group",
	    .enter = become_group,
	    .error = EPERM,
	    .blinds = true,
	    .hides = true,
	    .mends = true,
	    .capabilities = CAP(SETGID) },
	{ .name = "not dumpable", .enter = world_forbid_dumps, .error = EPERM, .hides = true },
	{ .name = "a program that can't be read",
	    .enter = run_unreadable,
	    .error = EPERM,
	    .hides = true,
	    .only_early = true },
	{ .name = "a capability less",
	    .enter = drop_capability,
	    .error = EPERM,
	    .blinds = true,
	    .mends = true,
	    .capabilities = CAP(NET_RAW) },
	{ .name = "a user namespace", .enter = enter_user_namespace, .error = EPERM, .blinds = true },
	{ .name = "a user namespace without ids",
	    .enter = lose_ids,
	    .error = EPERM,
	    .blinds = true,
	    .strangers = true },
	{ .name = "a pid namespace",
	    .enter = world_enter_pid_namespace,
	    .error = ESRCH,
	    .words = "no pid",
	    .blinds = true,
	    .only_early = true,
	    .as_root = true },
	{ .name = "a user and a pid namespace",
	    .enter = enter_both_namespaces,
	    .error = ESRCH,
	    .words = "no pid",
	    .blinds = true,
	    .only_early = true },
};
