/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul doctor: what can be seen of this process and of the machine. All of it explains; what is permitted is
 * found out by trying. A file that cannot be read leaves its fact unknown.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* getresuid, process_vm_readv */
#endif
#include "doctor.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

/* linux/landlock.h, which older systems lack. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif
enum { LANDLOCK_VERSION_QUERY = 1 };

/* The inodes of the namespaces that the machine began with, linux/proc_ns.h. */
#define FIRST_USER_NS "user:[4026531837]"
#define FIRST_PID_NS "pid:[4026531836]"

static enum doctor_answer answer(bool yes)
{
	return yes ? DOCTOR_YES : DOCTOR_NO;
}

/* process_vm_readv or process_vm_writev of oneself, in a child, as a filter may kill for it or never answer. */
static int reach_oneself(bool write_it)
{
	int fd[2], error = DOCTOR_UNTRIED;

	if (pipe(fd) < 0)
		return DOCTOR_UNTRIED;
	pid_t pid = doctor_fork();
	if (pid == 0) {
		char from = 1, to = 0;
		struct iovec local = { &to, 1 }, remote = { &from, 1 };
		ssize_t n = write_it ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
		                     : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
		error = n == 1 ? 0 : errno;
		_exit(write(fd[1], &error, sizeof(error)) == sizeof(error) ? 0 : 1);
	}
	close(fd[1]);
	if (pid > 0) {
		int came = doctor_record(fd[0], &error, sizeof(error), doctor_deadline(DOCTOR_CALL_MS));
		if (came != 1)
			error = came < 0 ? DOCTOR_HUNG : DOCTOR_KILLED;
		doctor_reap(pid);
	}
	close(fd[0]);
	return error;
}

/* Whether a file has a line that begins, or ends, so. Unknown if it cannot be read or has neither. */
static enum doctor_answer line_of(const char *path, const char *yes, const char *no)
{
	enum doctor_answer found = DOCTOR_UNKNOWN;
	char *line = NULL;
	size_t size = 0;
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return DOCTOR_UNKNOWN;
	while (found == DOCTOR_UNKNOWN && getline(&line, &size, f) >= 0) {
		if (strstr(line, yes) != NULL)
			found = DOCTOR_YES;
		else if (no != NULL && strstr(line, no) != NULL)
			found = DOCTOR_NO;
	}
	free(line);
	fclose(f);
	return found;
}

/* Only asked where the call is missing: was it left out, or does a filter say so? */
static enum doctor_answer configured(const char *release)
{
	char path[96];
	snprintf(path, sizeof(path), "/boot/config-%s", release);
	enum doctor_answer found =
	    line_of(path, "CONFIG_CROSS_MEMORY_ATTACH=y", "CONFIG_CROSS_MEMORY_ATTACH is not set");
	/* The function that does the work; of the call itself there is a stub in every kernel. */
	return found != DOCTOR_UNKNOWN ? found : line_of("/proc/kallsyms", " process_vm_rw\n", NULL);
}

static void look_at_kernel(struct doctor_facts *f)
{
	struct utsname u;
	char text[16];

	f->self_error = reach_oneself(false);
	f->self_write_error = reach_oneself(true);
	f->configured = DOCTOR_YES;
	f->yama = -1;
	if (uname(&u) == 0) {
		snprintf(f->kernel, sizeof(f->kernel), "%s", u.release);
		if (f->self_error == ENOSYS)
			f->configured = configured(u.release);
	}
	if (doctor_proc_read("/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text)))
		f->yama = atoi(text);
	doctor_proc_read("/sys/kernel/security/lsm", f->lsm, sizeof(f->lsm));
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION_QUERY);
	f->landlock = abi > 0 ? (int)abi : 0;
}

static void look_at_status(struct doctor_facts *f)
{
	char text[8192];
	uint64_t n = 0;

	f->seccomp = f->filters = -1;
	if (!doctor_proc_read("/proc/self/status", text, sizeof(text)))
		return;
	if (doctor_proc_numbers(text, "Seccomp", 10, &n, 1))
		f->seccomp = (int)n;
	if (doctor_proc_numbers(text, "Seccomp_filters", 10, &n, 1))
		f->filters = (int)n;
	if (doctor_proc_numbers(text, "NoNewPrivs", 10, &n, 1))
		f->no_new_privs = answer(n != 0);
	doctor_proc_numbers(text, "CapEff", 16, &f->effective, 1);
	doctor_proc_numbers(text, "CapPrm", 16, &f->permitted, 1);
}

static void look_at_namespaces(struct doctor_facts *f)
{
	char text[64];
	unsigned inside, outside, count;

	doctor_proc_ns("self", "user", f->user_ns, sizeof(f->user_ns));
	doctor_proc_ns("self", "pid", f->pid_ns, sizeof(f->pid_ns));
	if (f->user_ns[0] != '\0')
		f->first_user_ns = answer(strcmp(f->user_ns, FIRST_USER_NS) == 0);
	if (f->pid_ns[0] != '\0')
		f->first_pid_ns = answer(strcmp(f->pid_ns, FIRST_PID_NS) == 0);
	/* A /proc that was mounted in another pid namespace has other numbers, and so other processes. */
	ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);
	if (n > 0) {
		text[n] = '\0';
		f->proc = answer(atoi(text) == getpid());
	}
	/* A user who shows as 65534 where not all users show may be any of those: the library refuses him. */
	f->nobody = 65533;
	if (!doctor_proc_read("/proc/self/uid_map", text, sizeof(text)) ||
	    sscanf(text, "%u %u %u", &inside, &outside, &count) != 3)
		return;
	snprintf(f->uid_map, sizeof(f->uid_map), "%u %u %u%s", inside, outside, count,
	    strchr(text, '\n') != NULL ? " ..." : "");
	if (inside == 0 && count == UINT32_MAX)
		f->nobody = 65534;
}

static enum doctor_container container(void)
{
	char text[4096];

	if (access("/run/secrets/kubernetes.io", F_OK) == 0)
		return DOCTOR_KUBERNETES;
	if (doctor_proc_read("/proc/1/cgroup", text, sizeof(text)) && strstr(text, "kubepods") != NULL)
		return DOCTOR_KUBERNETES;
	if (access("/run/.containerenv", F_OK) == 0 || strstr(text, "libpod") != NULL)
		return DOCTOR_PODMAN;
	if (access("/.dockerenv", F_OK) == 0 || strstr(text, "docker") != NULL)
		return DOCTOR_DOCKER;
	if (access("/run/systemd/container", F_OK) == 0 || strstr(text, "lxc") != NULL)
		return DOCTOR_OTHER_CONTAINER;
	return DOCTOR_NO_CONTAINER;
}

void doctor_look_around(struct doctor_facts *f)
{
	memset(f, 0, sizeof(*f));
	look_at_kernel(f);
	look_at_status(f);
	look_at_namespaces(f);
	getresuid(&f->uid[0], &f->uid[1], &f->uid[2]);
	getresgid(&f->gid[0], &f->gid[1], &f->gid[2]);
	f->dumpable = answer(prctl(PR_GET_DUMPABLE) == 1);
	doctor_proc_read("/proc/self/attr/current", f->label, sizeof(f->label));
	f->container = container();
	const char *path = secure_getenv("HAUL_PATH");
	strlcpy(f->path, path != NULL ? path : "", sizeof(f->path));
	const char *transport = secure_getenv("HAUL_TRANSPORT");
	strlcpy(f->transport, transport != NULL ? transport : "", sizeof(f->transport));
}

struct doctor_facts doctor_facts_unprivileged(const struct doctor_facts *f)
{
	struct doctor_facts other = *f;
	other.effective = other.permitted = 0;
	other.dumpable = DOCTOR_YES;
	for (int i = 0; i < 3; i++) {
		other.uid[i] = f->nobody;
		other.gid[i] = f->nobody;
	}
	return other;
}
