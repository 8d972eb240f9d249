/* SPDX-License-Identifier: BSD-3-Clause */
/* haul doctor: what each layer did, in words, and what can be done about it. See doctor_verdict.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strerrorname_np */
#endif
#include "doctor_verdict.h"

#include <bsd/string.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *doctor_outcome_name(enum doctor_outcome outcome)
{
	static const char *const names[] = { [DOCTOR_PULL] = "pull",
		[DOCTOR_PARTLY] = "partly",
		[DOCTOR_STREAM_ONLY] = "stream",
		[DOCTOR_NONE] = "none" };
	return names[outcome];
}

const char *doctor_layer_name(enum doctor_layer layer)
{
	static const char *const names[DOCTOR_LAYERS] = {
		[DOCTOR_NOTHING] = "nothing",
		[DOCTOR_KERNEL] = "kernel",
		[DOCTOR_SECCOMP] = "seccomp",
		[DOCTOR_YAMA] = "yama",
		[DOCTOR_USER] = "user",
		[DOCTOR_DUMPABLE] = "dumpable",
		[DOCTOR_CAPABILITIES] = "capabilities",
		[DOCTOR_USER_NS] = "user-namespace",
		[DOCTOR_PID_NS] = "pid-namespace",
		[DOCTOR_LANDLOCK] = "landlock",
		[DOCTOR_LSM] = "lsm",
		[DOCTOR_MAIN_THREAD] = "main-thread",
		[DOCTOR_GONE] = "gone",
		[DOCTOR_STREAM] = "socket",
		[DOCTOR_OBSCURE] = "unknown",
	};
	return names[layer];
}

const char *doctor_container_name(enum doctor_container container)
{
	static const char *const names[] = { [DOCTOR_NO_CONTAINER] = "none",
		[DOCTOR_DOCKER] = "docker",
		[DOCTOR_PODMAN] = "podman",
		[DOCTOR_KUBERNETES] = "kubernetes",
		[DOCTOR_OTHER_CONTAINER] = "other" };
	return names[container];
}

const char *doctor_error_name(int error)
{
	if (error == DOCTOR_HUNG)
		return "no answer";
	if (error == DOCTOR_KILLED)
		return "killed";
	if (error == DOCTOR_UNTRIED)
		return "not tried";
	const char *name = error == 0 ? "0" : strerrorname_np(error);
	return name != NULL ? name : "an error without a name";
}

void doctor_caps_words(uint64_t caps, char *words, size_t size)
{
	/* In the order of linux/capability.h. */
	static const char *const names[] = { "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID",
		"KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST",
		"NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
		"SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME",
		"SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE",
		"MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
		"CHECKPOINT_RESTORE" };
	words[0] = '\0';
	for (unsigned bit = 0; bit < 64; bit++) {
		char one[40];
		if ((caps >> bit & 1) == 0)
			continue;
		if (bit < sizeof(names) / sizeof(names[0]))
			snprintf(one, sizeof(one), "%sCAP_%s", words[0] != '\0' ? " " : "", names[bit]);
		else
			snprintf(one, sizeof(one), "%s%u", words[0] != '\0' ? " " : "", bit);
		if (strlen(words) + strlen(one) + sizeof(" ...") > size) {
			strlcat(words, " ...", size);
			return;
		}
		strlcat(words, one, size);
	}
}

static void say(struct doctor_cause *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct doctor_cause *c, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(c->words, sizeof(c->words), format, args);
	va_end(args);
}

static void advise(struct doctor_cause *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void advise(struct doctor_cause *c, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(c->remedy, sizeof(c->remedy), format, args);
	va_end(args);
}

static void on_seccomp(struct doctor_cause *c, const struct doctor_facts *f)
{
	if (f->self_error == DOCTOR_HUNG)
		say(c, "a seccomp filter hands process_vm_readv to a supervisor, which does not answer");
	else if (f->self_error == DOCTOR_KILLED)
		say(c, "a seccomp filter kills whoever calls process_vm_readv");
	else if (f->self_error != 0)
		say(c, "a seccomp filter refuses process_vm_readv (%s)", doctor_error_name(f->self_error));
	else
		say(c, "a seccomp filter, which permits process_vm_readv of oneself");
	switch (f->container) {
	case DOCTOR_DOCKER:
	case DOCTOR_PODMAN:
		advise(c,
		    "%s run --cap-add SYS_PTRACE, or --security-opt seccomp=FILE, a profile that permits "
		    "process_vm_readv",
		    doctor_container_name(f->container));
		return;
	case DOCTOR_KUBERNETES:
		advise(c,
		    "securityContext: capabilities: add: [SYS_PTRACE], or a seccompProfile of type Localhost "
		    "that permits process_vm_readv");
		return;
	case DOCTOR_NO_CONTAINER:
	case DOCTOR_OTHER_CONTAINER:
		advise(c,
		    "permit process_vm_readv in the filter (a systemd unit: "
		    "SystemCallFilter=process_vm_readv)");
	}
}

static void on_yama(struct doctor_cause *c, const struct doctor_facts *f)
{
	static const char *const scopes[] = { "nothing", "all but descendants", "all without CAP_SYS_PTRACE",
		"everybody, until the next boot" };
	say(c, "Yama's ptrace_scope is %d: it refuses %s", f->yama,
	    f->yama >= 0 && f->yama <= 3 ? scopes[f->yama] : "in a way this program does not know");
	if (f->yama == 3)
		advise(c, "boot with a kernel.yama.ptrace_scope below 3 (/etc/sysctl.d)");
	else if (f->yama == 2)
		advise(c, "sysctl kernel.yama.ptrace_scope=0, or give the reader CAP_SYS_PTRACE");
	else
		advise(c,
		    "HAUL_PTRACER=ancestor, peer or any for the one that is read (the option allow_ptracer), "
		    "or sysctl kernel.yama.ptrace_scope=0");
	if (f->container != DOCTOR_NO_CONTAINER)
		strlcat(c->remedy, " (sysctl: on the host)", sizeof(c->remedy));
}

static void on_user(struct doctor_cause *c, const struct doctor_facts *f, const struct doctor_target *t)
{
	if (t != NULL && t->ids == DOCTOR_YES)
		say(c, "process %d has the uids %u/%u/%u and gids %u/%u/%u, this process %u and %u (real)",
		    (int)t->pid, t->uid[0], t->uid[1], t->uid[2], t->gid[0], t->gid[1], t->gid[2], f->uid[0],
		    f->gid[0]);
	else
		say(c, "that the other process is another user's");
	advise(c, "run both as one user and one group, with real, effective and saved ids alike");
}

static void on_dumpable(struct doctor_cause *c, const struct doctor_relation *r,
    const struct doctor_target *t)
{
	if (r->dumpable == DOCTOR_UNKNOWN)
		say(c, "that the other process is not dumpable");
	else if (t == NULL)
		say(c,
		    "this program is not dumpable here, such as when its file cannot be read; others may be");
	else
		say(c,
		    "process %d is not dumpable: its file cannot be read, or it changed its ids, or wished "
		    "so",
		    (int)t->pid);
	advise(c,
	    "an executable that its user may read, and prctl(PR_SET_DUMPABLE, 1) after a change of ids");
}

static void on_capabilities(struct doctor_cause *c, const struct doctor_relation *r)
{
	char names[80];
	if (r->within_caps == DOCTOR_UNKNOWN) {
		say(c, "that the other process has capabilities that this one has not");
		advise(c, "give both the same capabilities");
		return;
	}
	doctor_caps_words(r->missing_caps, names, sizeof(names));
	say(c, "the other process has capabilities that this one has not: %s", names);
	advise(c, "give both the same capabilities");
}

static void on_user_ns(struct doctor_cause *c, const struct doctor_relation *r, const struct doctor_target *t)
{
	if (t == NULL) {
		say(c,
		    "user 65534 has no number of its own in this user namespace, so a peer with it may be "
		    "anybody");
		advise(c,
		    "map the user into the namespace (unshare -r), or let the option admit say who may come");
		return;
	}
	if (r->same_user_ns == DOCTOR_UNKNOWN)
		say(c, "that the other process is in another user namespace");
	else
		say(c, "process %d is in another user namespace than this one%s%s", (int)t->pid,
		    t->user_ns[0] != '\0' ? ": " : "", t->user_ns);
	advise(c, "run both in one user namespace, such as in one container or pod");
}

static void on_landlock(struct doctor_cause *c, const struct doctor_facts *f)
{
	say(c, "Landlock (ABI %d): this process in a domain that the other is not within", f->landlock);
	advise(c, "start both within one domain, or the reader outside of it");
}

static void on_lsm(struct doctor_cause *c, const struct doctor_facts *f)
{
	if (f->label[0] != '\0')
		say(c, "a security module confines this process: %s", f->label);
	else if (f->lsm[0] != '\0')
		say(c, "a security module, of %s", f->lsm);
	else
		say(c, "a security module, if there is one: their list cannot be read here");
	if (f->container == DOCTOR_DOCKER || f->container == DOCTOR_PODMAN)
		advise(c,
		    "%s run --security-opt apparmor=PROFILE (or label=type:TYPE), one that permits ptrace",
		    doctor_container_name(f->container));
	else
		advise(c,
		    "permit ptrace in the policy of this process: AppArmor \"ptrace (read, trace)\", SELinux "
		    "process:ptrace");
}

void doctor_cause_words(struct doctor_cause *c, const struct doctor_facts *f, const struct doctor_relation *r,
    const struct doctor_target *t)
{
	switch (c->layer) {
	case DOCTOR_KERNEL:
		say(c, "this kernel has no process_vm_readv");
		advise(c, "a kernel with CONFIG_CROSS_MEMORY_ATTACH=y");
		return;
	case DOCTOR_SECCOMP:
		on_seccomp(c, f);
		return;
	case DOCTOR_YAMA:
		on_yama(c, f);
		return;
	case DOCTOR_USER:
		on_user(c, f, t);
		return;
	case DOCTOR_DUMPABLE:
		on_dumpable(c, r, t);
		return;
	case DOCTOR_CAPABILITIES:
		on_capabilities(c, r);
		return;
	case DOCTOR_USER_NS:
		on_user_ns(c, r, t);
		return;
	case DOCTOR_PID_NS:
		say(c, "the other process has no pid here, or its main thread has left");
		advise(c,
		    "run both in one pid namespace (docker run --pid=container:ID, shareProcessNamespace: "
		    "true)");
		return;
	case DOCTOR_LANDLOCK:
		on_landlock(c, f);
		return;
	case DOCTOR_LSM:
		on_lsm(c, f);
		return;
	case DOCTOR_MAIN_THREAD:
		say(c, "its main thread has ended, and by that the kernel finds its memory");
		advise(c, "do not end main() by pthread_exit()");
		return;
	case DOCTOR_GONE:
		say(c, "there is no memory to be read");
		advise(c, "name a process that runs, by its pid in this pid namespace");
		return;
	case DOCTOR_STREAM:
		say(c, "the try failed before memory was asked for");
		advise(c, "see what the reason says");
		return;
	case DOCTOR_OBSCURE:
	case DOCTOR_NOTHING:
	case DOCTOR_LAYERS:
		say(c, "nothing that this program knows of");
		advise(c,
		    "haul doctor -v has what was seen; a BPF program or a sandbox below the kernel may be at "
		    "work");
	}
}
