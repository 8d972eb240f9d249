/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul doctor: a given process. What /proc tells of it, and one byte of its memory, which is read as pulls
 * read. Nothing is written, no signal is sent, and it needs not speak haul.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* process_vm_readv */
#endif
#include "doctor.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Below what the kernel lets any process map, so that what is permitted shows as EFAULT. An address that was
 * guessed within or near a stack would make the kernel log a warning. */
enum { NOWHERE = 4096 };

static enum doctor_answer answer(bool yes)
{
	return yes ? DOCTOR_YES : DOCTOR_NO;
}

/* ---- a byte of its memory ---- */

/* The first address that it can read itself. Pages of the kernel's own, "[vvar]" say, cannot be pulled from. */
static uint64_t readable_address(pid_t pid)
{
	char path[64], *line = NULL;
	uint64_t address = NOWHERE;
	size_t size = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return NOWHERE;
	while (address == NOWHERE && getline(&line, &size, f) >= 0) {
		uint64_t start;
		char mode;
		if (sscanf(line, "%" SCNx64 "-%*x %c", &start, &mode) == 2 && mode == 'r' &&
		    strstr(line, "[v") == NULL)
			address = start;
	}
	free(line);
	fclose(f);
	return address;
}

/* Shared with a thread that may never return, so never freed. */
struct reading {
	pthread_mutex_t lock;
	pthread_cond_t told;
	pid_t pid;
	uint64_t address;
	bool done;
	int error;
};

static void *read_byte(void *arg)
{
	struct reading *r = arg;
	char byte;
	struct iovec local = { &byte, 1 }, remote = { (void *)(uintptr_t)r->address, 1 };
	int error = process_vm_readv(r->pid, &local, 1, &remote, 1, 0) == 1 ? 0 : errno;
	pthread_mutex_lock(&r->lock);
	r->error = error;
	r->done = true;
	pthread_cond_signal(&r->told);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* By a thread, which can be left behind, and not by a child, which Yama would not take for this process. */
static int try_reading(pid_t pid, uint64_t address)
{
	static struct reading r = { .lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER };
	struct timespec until;
	pthread_t thread;
	int rc = 0;

	r.pid = pid;
	r.address = address;
	r.done = false;
	int error = pthread_create(&thread, NULL, read_byte, &r);
	if (error != 0)
		return DOCTOR_UNTRIED;
	pthread_detach(thread);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += DOCTOR_CALL_MS / 1000;
	pthread_mutex_lock(&r.lock);
	while (!r.done && rc == 0)
		rc = pthread_cond_clockwait(&r.told, &r.lock, CLOCK_MONOTONIC, &until);
	error = r.done ? r.error : DOCTOR_HUNG;
	pthread_mutex_unlock(&r.lock);
	return error;
}

static void try_to_read(struct doctor_target *t, const struct doctor_facts *f)
{
	if (f->self_error == DOCTOR_KILLED ||
	    f->self_error == DOCTOR_HUNG) { /* as one's own, so any other's */
		t->error = f->self_error;
		return;
	}
	t->address = f->proc == DOCTOR_YES ? readable_address(t->pid) : NOWHERE;
	t->error = try_reading(t->pid, t->address);
}

/* ---- what /proc tells ---- */

/* Where not all users show, this number is that of all who don't. */
static bool anybody(const struct doctor_target *t, const struct doctor_facts *f)
{
	return t->uid[1] == 65534 && f->nobody != 65534;
}

/* In the manner of the kernel, which asks whether all three ids of the other are the caller's real one. */
static enum doctor_answer same_user(const struct doctor_target *t, const struct doctor_facts *f)
{
	for (int i = 0; i < 3; i++)
		if (t->uid[i] != f->uid[0] || t->gid[i] != f->gid[0])
			return DOCTOR_NO;
	return anybody(t, f) ? DOCTOR_UNKNOWN : DOCTOR_YES;
}

/* The files of a process that is not dumpable are root's. Of root's own that can't be told. */
static enum doctor_answer dumpable(const struct doctor_target *t, const struct doctor_facts *f)
{
	char path[64];
	struct stat s;
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)t->pid);
	if (t->ids != DOCTOR_YES || anybody(t, f) || stat(path, &s) < 0)
		return DOCTOR_UNKNOWN;
	if (s.st_uid != t->uid[1] || s.st_gid != t->gid[1])
		return DOCTOR_NO;
	return t->uid[1] != 0 || t->gid[1] != 0 ? DOCTOR_YES : DOCTOR_UNKNOWN;
}

static enum doctor_answer same_ns(const char *mine, const char *theirs)
{
	return mine[0] == '\0' || theirs[0] == '\0' ? DOCTOR_UNKNOWN : answer(strcmp(mine, theirs) == 0);
}

/* A namespace's link is for those to see who may read the process; what its maps look like is for all. Two
 * that differ are of two namespaces. Two that don't say nothing, unless they are those of the machine's own:
 * whoever makes another so leaves out projects at least. */
static enum doctor_answer same_user_ns(const struct doctor_target *t, const struct doctor_facts *f)
{
	static const char *const maps[] = { "uid_map", "gid_map", "projid_map" };
	enum doctor_answer known = same_ns(f->user_ns, t->user_ns);
	if (known != DOCTOR_UNKNOWN)
		return known;
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		char path[64], mine[512], theirs[512];
		snprintf(path, sizeof(path), "/proc/self/%s", maps[i]);
		if (!doctor_proc_read(path, mine, sizeof(mine)))
			return DOCTOR_UNKNOWN;
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)t->pid, maps[i]);
		if (!doctor_proc_read(path, theirs, sizeof(theirs)))
			return DOCTOR_UNKNOWN;
		if (strcmp(mine, theirs) != 0)
			return DOCTOR_NO;
	}
	return f->first_user_ns == DOCTOR_YES ? DOCTOR_YES : DOCTOR_UNKNOWN;
}

/* Up the tree of parents from a process to this one. */
static enum doctor_answer descendant(pid_t pid)
{
	for (int depth = 0; depth < 10000; depth++) {
		char path[64], text[8192];
		uint64_t parent;
		if (pid == getpid())
			return DOCTOR_YES;
		snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
		if (!doctor_proc_read(path, text, sizeof(text)) ||
		    !doctor_proc_numbers(text, "PPid", 10, &parent, 1))
			return DOCTOR_UNKNOWN;
		if (parent == 0)
			return DOCTOR_NO;
		pid = (pid_t)parent;
	}
	return DOCTOR_UNKNOWN;
}

static void learn_ids(struct doctor_target *t, const char *status)
{
	uint64_t uid[3], gid[3];
	if (!doctor_proc_numbers(status, "Uid", 10, uid, 3) ||
	    !doctor_proc_numbers(status, "Gid", 10, gid, 3))
		return;
	for (int i = 0; i < 3; i++) {
		t->uid[i] = (uid_t)uid[i];
		t->gid[i] = (gid_t)gid[i];
	}
	t->ids = DOCTOR_YES;
}

/* A process whose main thread has left shows as a zombie with threads. */
static void learn_state(struct doctor_target *t, const char *status)
{
	const char *state = doctor_proc_field(status, "State");
	uint64_t threads = 1;
	if (state == NULL)
		return;
	doctor_proc_numbers(status, "Threads", 10, &threads, 1);
	if (*state == 'Z' || *state == 'X')
		t->state = threads > 1 ? DOCTOR_LEADERLESS : DOCTOR_ZOMBIE;
	else if (doctor_proc_field(status, "VmSize") == NULL && doctor_proc_field(status, "VmRSS") == NULL)
		t->state = DOCTOR_KTHREAD;
}

static void learn(struct doctor_target *t, const struct doctor_facts *f)
{
	char path[64], status[8192], who[16];
	uint64_t n;

	snprintf(who, sizeof(who), "%d", (int)t->pid);
	snprintf(path, sizeof(path), "/proc/%s/status", who);
	if (f->proc != DOCTOR_YES || !doctor_proc_read(path, status, sizeof(status)))
		return;
	learn_state(t, status);
	learn_ids(t, status);
	const char *name = doctor_proc_field(status, "Name");
	if (name != NULL)
		snprintf(t->name, sizeof(t->name), "%.*s", (int)strcspn(name, "\n"), name);
	for (char *c = t->name; *c != '\0'; c++) /* whoever named it may wish to write to a terminal */
		if (iscntrl((unsigned char)*c))
			*c = '?';
	if (doctor_proc_numbers(status, "Tgid", 10, &n, 1))
		t->thread_group = (pid_t)n;
	if (doctor_proc_numbers(status, "Seccomp", 10, &n, 1))
		t->seccomp = (int)n;
	doctor_proc_ns(who, "user", t->user_ns, sizeof(t->user_ns));
	doctor_proc_ns(who, "pid", t->pid_ns, sizeof(t->pid_ns));
	t->same_pid_ns = same_ns(f->pid_ns, t->pid_ns);
	if (t->ids == DOCTOR_YES)
		t->relation.same_user = same_user(t, f);
	t->relation.same_user_ns = same_user_ns(t, f);
	t->relation.dumpable = dumpable(t, f);
	t->relation.descendant = descendant(t->pid);
	/* Capabilities of another namespace are rights over other things. */
	if (t->relation.same_user_ns != DOCTOR_NO &&
	    doctor_proc_numbers(status, "CapPrm", 16, &t->permitted, 1)) {
		t->relation.missing_caps = t->permitted & ~f->permitted;
		t->relation.within_caps = answer(t->relation.missing_caps == 0);
	}
}

void doctor_look_at(struct doctor_target *t, const struct doctor_facts *f, pid_t pid)
{
	*t = (struct doctor_target){ .pid = pid, .seccomp = -1, .error = DOCTOR_UNTRIED };
	if (kill(pid, 0) < 0 && errno == ESRCH) {
		t->state = DOCTOR_ABSENT;
		t->error = ESRCH;
		return;
	}
	learn(t, f);
	try_to_read(t, f);
	/* It may have died meanwhile: what stands is the later. */
	if (t->error == ESRCH && kill(pid, 0) < 0 && errno == ESRCH)
		t->state = DOCTOR_ABSENT;
}
