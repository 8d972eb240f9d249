/* SPDX-License-Identifier: BSD-3-Clause */
/* What stands between processes. See world.h. */
#include "world.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "must.h"
#include "refuse.h"

/* linux/landlock.h, which older headers lack. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif
enum { LANDLOCK_MAKE_SYM = 1 << 12 };

/* What the loader exits with if it can't. */
enum { CANNOT_RUN = 127, TRIAL_MS = 30000, WORDS = 128 };

/* ---- users and capabilities ---- */

/* A change of user takes both away: core(5), PR_SET_PDEATHSIG(2const). */
static void stay_as_before(void)
{
	must_be(prctl(PR_SET_DUMPABLE, 1), 0);
	must_be(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
}

static uint64_t permitted(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	must_be(syscall(SYS_capget, &head, data), 0);
	return (uint64_t)data[1].permitted << 32 | data[0].permitted;
}

static void have_only(uint64_t capabilities)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	uint32_t low = (uint32_t)capabilities, high = (uint32_t)(capabilities >> 32);
	struct __user_cap_data_struct data[2] = { { low, low, 0 }, { high, high, 0 } };
	must_be(syscall(SYS_capset, &head, data), 0);
}

static bool has(int capability)
{
	return (permitted() >> capability & 1) != 0;
}

void world_become_plain(uint64_t capabilities)
{
	uint64_t keep = permitted() & capabilities;
	if (geteuid() == 0) {
		must_be(prctl(PR_SET_KEEPCAPS, 1), 0);
		must_be(setgroups(0, NULL), 0);
		must_be(setresgid(WORLD_USER, WORLD_USER, WORLD_USER), 0);
		must_be(setresuid(WORLD_USER, WORLD_USER, WORLD_USER), 0);
	}
	have_only(keep);
	stay_as_before();
}

const char *world_become_user(uid_t uid)
{
	if (!has(CAP_SETUID))
		return "another user takes CAP_SETUID";
	must_be(setresuid(uid, uid, uid), 0);
	stay_as_before();
	return NULL;
}

const char *world_become_group(gid_t gid)
{
	if (!has(CAP_SETGID))
		return "another group takes CAP_SETGID";
	must_be(setresgid(gid, gid, gid), 0);
	stay_as_before();
	return NULL;
}

const char *world_drop_capability(int capability)
{
	if (!has(capability))
		return "a capability can be dropped only by who has one";
	have_only(permitted() & ~(UINT64_C(1) << capability));
	return NULL;
}

const char *world_forbid_dumps(void)
{
	must_be(prctl(PR_SET_DUMPABLE, 0), 0);
	return NULL;
}

/* ---- filters and domains ---- */

const char *world_refuse_reads(int error)
{
	return refuse_call(SYS_process_vm_readv, error) == 0 ? NULL : "no seccomp filters here";
}

const char *world_enter_landlock(void)
{
	uint64_t handled = LANDLOCK_MAKE_SYM; /* the first version's whole struct */
	int rules = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);
	if (rules < 0)
		return "no Landlock here";
	must_be(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	must_be(syscall(SYS_landlock_restrict_self, rules, 0), 0);
	close(rules);
	return NULL;
}

/* ---- namespaces ---- */

static bool write_file(const char *path, const char *words)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	must(fd >= 0);
	bool written = write(fd, words, strlen(words)) == (ssize_t)strlen(words);
	close(fd);
	return written;
}

const char *world_enter_user_namespace(bool mapped)
{
	unsigned uid = geteuid(), gid = getegid();
	char map[64];
	if (unshare(CLONE_NEWUSER) != 0)
		return "no user namespaces here";
	if (!mapped)
		return NULL;
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	if (!write_file("/proc/self/uid_map", map))
		return "user namespaces here have no ids";
	must(write_file("/proc/self/setgroups", "deny")); /* without this, no gid_map */
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	must(write_file("/proc/self/gid_map", map));
	return NULL;
}

static void exit_as(pid_t pid) __attribute__((noreturn));
static void exit_as(pid_t pid)
{
	int status;
	close_range(STDERR_FILENO + 1, ~0U, 0); /* a copy of a socket would hide its end */
	while (waitpid(pid, &status, 0) < 0)
		must_be(errno, EINTR);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

const char *world_enter_pid_namespace(void)
{
	if (unshare(CLONE_NEWPID) != 0)
		return "a pid namespace takes CAP_SYS_ADMIN";
	pid_t pid = fork();
	must(pid >= 0);
	if (pid > 0)
		exit_as(pid);
	must_be(getpid(), 1);
	must_be(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
	return NULL;
}

/* ---- a program that can't be read ---- */

static void copy_program(int to)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat st;
	must(from >= 0);
	must_be(fstat(from, &st), 0);
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(to, from, NULL, (size_t)left);
		must(n > 0);
		left -= n;
	}
	close(from);
}

/* The copy has lost its name by the time it runs, so nobody has to remove it. */
const char *world_run_unreadable(char *const argv[])
{
	char name[] = "/tmp/haul-test-XXXXXX", *nothing[] = { NULL };
	int copy = mkostemp(name, O_CLOEXEC);
	must(copy >= 0);
	copy_program(copy);
	must_be(fchmod(copy, S_IXUSR | S_IXGRP | S_IXOTH), 0);
	close(copy); /* what is open for writing does not run */
	int program = open(name, O_PATH | O_CLOEXEC);
	must(program >= 0);
	unlink(name);
	if (getuid() == 0)
		return "root reads any file";
	syscall(SYS_execveat, program, "", argv, nothing, AT_EMPTY_PATH);
	close(program);
	return "no program can be run from /tmp";
}

/* ---- whether it can be done ---- */

struct trial {
	const char *(*enter)(void);
	uint64_t capabilities;
	bool as_root;
	char *words;
};

static int make_trial(void *arg)
{
	const struct trial *t = arg;
	must_in_child();
	if (!t->as_root)
		world_become_plain(t->capabilities);
	const char *words = t->enter();
	snprintf(t->words, WORDS, "%s", words != NULL ? words : "");
	return 0;
}

const char *world_try(const char *(*enter)(void), uint64_t capabilities, bool as_root)
{
	static char words[WORDS];
	struct child child;
	char *page = mmap(NULL, WORDS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(page != MAP_FAILED);
	struct trial t = { enter, capabilities, as_root, page };
	child_start(&child, TRIAL_MS, make_trial, &t);
	struct child_end end = child_collect(&child);
	snprintf(words, sizeof(words), "%s", page);
	munmap(page, WORDS);
	if (end.fate == CHILD_EXITED && end.code == CANNOT_RUN)
		return "a user without rights can't load the library from where it was built";
	cr_assert(end.fate == CHILD_EXITED && end.code == 0, "the trial %s", end.words);
	return words[0] != '\0' ? words : NULL;
}
