/* SPDX-License-Identifier: BSD-3-Clause */
/* haul doctor: from facts to a verdict and the layers that stand in the way. See doctor_verdict.h. */
#include "doctor_verdict.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { CAP_SYS_PTRACE_BIT = 19 }; /* CAP_SYS_PTRACE of linux/capability.h */

/* What a refusal is judged by. */
struct judge {
	struct doctor_verdict *v;
	const struct doctor_facts *f;
	const struct doctor_relation *r;
	const struct doctor_target *t; /* or NULL */
};

static void blame(const struct judge *j, enum doctor_layer layer, bool certain)
{
	struct doctor_verdict *v = j->v;
	for (size_t i = 0; i < v->causes; i++)
		if (v->cause[i].layer == layer)
			return;
	if (v->causes == DOCTOR_CAUSES)
		return;
	struct doctor_cause *c = &v->cause[v->causes++];
	c->layer = layer;
	c->certain = certain;
	doctor_cause_words(c, j->f, j->r, j->t);
}

/* CAP_SYS_PTRACE where the other process lives. A namespace within one's own counts as one's own. */
static bool privileged(const struct judge *j)
{
	bool has = (j->f->effective >> CAP_SYS_PTRACE_BIT & 1) != 0;
	return has && (j->r->same_user_ns == DOCTOR_YES || j->f->first_user_ns == DOCTOR_YES);
}

/* Root of the machine is stopped by no lack of rights. That of a namespace may be: a program that it can't
 * read counts as run outside of it. */
static bool all_powerful(const struct judge *j)
{
	return privileged(j) && j->f->first_user_ns == DOCTOR_YES;
}

static bool confined(const char *label)
{
	return label[0] != '\0' && strstr(label, "unconfined") == NULL && strcmp(label, "kernel") != 0;
}

/* Modules that may have a say besides Yama and Landlock. What cannot be seen may be there. */
static bool other_modules(const char *lsm)
{
	return lsm[0] == '\0' || strstr(lsm, "selinux") != NULL || strstr(lsm, "apparmor") != NULL ||
	    strstr(lsm, "smack") != NULL || strstr(lsm, "bpf") != NULL;
}

/* Those that refuse whatever the others say. */
static void blame_certain(const struct judge *j)
{
	const struct doctor_facts *f = j->f;
	const struct doctor_relation *r = j->r;
	if (f->yama == 3)
		blame(j, DOCTOR_YAMA, true);
	if (!all_powerful(j) && r->dumpable == DOCTOR_NO)
		blame(j, DOCTOR_DUMPABLE, true);
	if (privileged(j))
		return;
	if (r->same_user == DOCTOR_NO)
		blame(j, DOCTOR_USER, true);
	if (r->same_user_ns == DOCTOR_NO)
		blame(j, DOCTOR_USER_NS, true);
	if (r->within_caps == DOCTOR_NO && r->same_user_ns == DOCTOR_YES)
		blame(j, DOCTOR_CAPABILITIES, true);
	if (f->yama == 2 || (f->yama == 1 && r->descendant == DOCTOR_NO))
		blame(j, DOCTOR_YAMA, true);
}

/* Those that may have, the likelier first. */
static void blame_possible(const struct judge *j)
{
	const struct doctor_facts *f = j->f;
	const struct doctor_relation *r = j->r;
	if (!privileged(j)) {
		if (f->yama == 1 && r->descendant == DOCTOR_UNKNOWN)
			blame(j, DOCTOR_YAMA, false);
		if (r->same_user == DOCTOR_UNKNOWN)
			blame(j, DOCTOR_USER, false);
	}
	if (!all_powerful(j) && r->dumpable == DOCTOR_UNKNOWN)
		blame(j, DOCTOR_DUMPABLE, false);
	if (!privileged(j) && r->same_user_ns == DOCTOR_UNKNOWN)
		blame(j, DOCTOR_USER_NS, false);
	if (confined(f->label))
		blame(j, DOCTOR_LSM, false);
	if (f->landlock > 0)
		blame(j, DOCTOR_LANDLOCK, false);
	if (!privileged(j) && r->within_caps != DOCTOR_YES && r->same_user_ns != DOCTOR_NO)
		blame(j, DOCTOR_CAPABILITIES, false);
	if (other_modules(f->lsm))
		blame(j, DOCTOR_LSM, false);
	if (f->seccomp == 2)
		blame(j, DOCTOR_SECCOMP, false);
	if (j->v->causes == 0)
		blame(j, DOCTOR_OBSCURE, false);
}

/* A process may always read itself: what refuses that has not come as far as to ask who is who. */
static void blame_for_self(const struct judge *j)
{
	const struct doctor_facts *f = j->f;
	bool filter = f->seccomp != 0; /* possible, at least */
	if (f->self_error != ENOSYS) {
		if (filter)
			blame(j, DOCTOR_SECCOMP, f->seccomp == 2);
		else
			blame(j, DOCTOR_OBSCURE, false);
		return;
	}
	bool certain = f->configured != DOCTOR_UNKNOWN || !filter;
	if (filter && f->configured != DOCTOR_NO)
		blame(j, DOCTOR_SECCOMP, certain && f->seccomp == 2);
	if (f->configured != DOCTOR_YES || !filter)
		blame(j, DOCTOR_KERNEL, certain);
}

/* The layers behind an error that reading the other process gave. */
static void blame_for(const struct judge *j, int error)
{
	const struct doctor_facts *f = j->f;
	if (f->self_error != 0 && f->self_error != DOCTOR_UNTRIED) {
		blame_for_self(j);
		return;
	}
	switch (error) {
	case EPERM:
	case EACCES:
		blame_certain(j);
		if (j->v->causes == 0)
			blame_possible(j);
		return;
	case ESRCH:
		blame(j, DOCTOR_PID_NS, false);
		return;
	default: /* nothing but a filter makes such an error up */
		blame(j, f->seccomp == 0 ? DOCTOR_OBSCURE : DOCTOR_SECCOMP, false);
	}
}

/* No answer at all: a filter's doing, certainly if a process that reads itself gets none either. */
static void blame_silence(const struct judge *j, int error)
{
	const struct doctor_facts *f = j->f;
	bool itself = f->self_error == error;
	if (f->seccomp == 2 || (f->seccomp != 0 && itself))
		blame(j, DOCTOR_SECCOMP, f->seccomp == 2 && itself);
	else
		blame(j, DOCTOR_OBSCURE, false);
}

static size_t pulled(const struct doctor_leg *legs, size_t count)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++)
		n += legs[i].pulled;
	return n;
}

/* The leg that tells most of why nothing came: one that hangs or was killed has not been told why, whoever
 * waited for it has. NULL: something came on all. */
static const struct doctor_leg *failed(const struct doctor_leg *legs, size_t count)
{
	const struct doctor_leg *worst = NULL;
	for (size_t i = 0; i < count; i++) {
		bool silent = legs[i].error == DOCTOR_HUNG || legs[i].error == DOCTOR_KILLED;
		if (!legs[i].arrived && (worst == NULL || silent))
			worst = &legs[i];
	}
	return worst;
}

/* Nothing arrived, or not everywhere. That is not about memory any more, unless the filter does not answer. */
static void judge_failure(struct doctor_verdict *v, const struct doctor_facts *f,
    const struct doctor_leg *leg)
{
	struct judge j = { .v = v, .f = f, .r = &leg->relation };
	v->outcome = DOCTOR_NONE;
	if (leg->error == DOCTOR_HUNG || leg->error == DOCTOR_KILLED) {
		snprintf(v->words, sizeof(v->words), "none: a try %s",
		    leg->error == DOCTOR_HUNG ? "did not come to an end" : "was killed");
		blame_silence(&j, leg->error);
		return;
	}
	snprintf(v->words, sizeof(v->words), "none: not even a stream: %s", leg->words);
	/* Where not all users show, this number may be anybody's: the library admits no such peer. */
	if (leg->error == EACCES && f->uid[1] == 65534 && f->nobody != 65534) {
		blame(&j, DOCTOR_USER_NS, true);
		return;
	}
	blame(&j, DOCTOR_STREAM, true);
	if (f->seccomp == 2)
		blame(&j, DOCTOR_SECCOMP, false);
}

void doctor_judge_legs(struct doctor_verdict *v, const struct doctor_facts *f, const struct doctor_leg *legs,
    size_t count)
{
	const struct doctor_leg *none = failed(legs, count);
	size_t n = pulled(legs, count);
	memset(v, 0, sizeof(*v));
	if (none != NULL) {
		judge_failure(v, f, none);
		return;
	}
	if (n == count) {
		v->outcome = DOCTOR_PULL;
		snprintf(v->words, sizeof(v->words), "pull: large messages are copied once");
		return;
	}
	if (n > 0) {
		v->outcome = DOCTOR_PARTLY;
		snprintf(v->words, sizeof(v->words),
		    "partly: large messages are copied once %zu of %zu ways, twice the others", n, count);
	} else {
		v->outcome = DOCTOR_STREAM_ONLY;
		snprintf(v->words, sizeof(v->words), "stream only: large messages are copied twice");
	}
	for (size_t i = 0; i < count; i++) {
		struct judge j = { .v = v, .f = f, .r = &legs[i].relation };
		if (!legs[i].pulled)
			blame_for(&j, legs[i].error);
	}
}

/* Whoever is not there, or is there without memory or without its main thread. */
static bool judge_state(const struct judge *j)
{
	struct doctor_verdict *v = j->v;
	const struct doctor_target *t = j->t;
	int pid = (int)t->pid;
	switch (t->state) {
	case DOCTOR_ABSENT:
		snprintf(v->words, sizeof(v->words), "none: there is no process %d", pid);
		break;
	case DOCTOR_ZOMBIE:
		snprintf(v->words, sizeof(v->words), "none: process %d is dead", pid);
		break;
	case DOCTOR_KTHREAD:
		snprintf(v->words, sizeof(v->words), "none: process %d has no memory of its own", pid);
		break;
	case DOCTOR_LEADERLESS:
		v->outcome = DOCTOR_STREAM_ONLY;
		snprintf(v->words, sizeof(v->words),
		    "stream only: process %d lives, but cannot be found by its pid", pid);
		blame(j, DOCTOR_MAIN_THREAD, true);
		return true;
	case DOCTOR_ALIVE:
		return false;
	}
	v->outcome = DOCTOR_NONE;
	blame(j, DOCTOR_GONE, true);
	return true;
}

void doctor_judge_target(struct doctor_verdict *v, const struct doctor_facts *f,
    const struct doctor_target *t)
{
	struct judge j = { .v = v, .f = f, .r = &t->relation, .t = t };
	int pid = (int)t->pid;

	memset(v, 0, sizeof(*v));
	if (judge_state(&j))
		return;
	if (t->error == 0 || t->error == EFAULT) {
		v->outcome = DOCTOR_PULL;
		snprintf(v->words, sizeof(v->words), "pull: this process may read the memory of process %d%s",
		    pid,
		    t->ids == DOCTOR_YES && t->uid[1] != f->uid[1]
		        ? ", which is another user's: to talk to it takes the option admit"
		        : "");
		return;
	}
	v->outcome = DOCTOR_STREAM_ONLY;
	if (t->error == DOCTOR_HUNG) {
		snprintf(v->words, sizeof(v->words),
		    "stream only: reading process %d does not come to an end", pid);
		blame_silence(&j, t->error);
		return;
	}
	snprintf(v->words, sizeof(v->words),
	    "stream only: this process may not read the memory of process %d (%s)", pid,
	    doctor_error_name(t->error));
	blame_for(&j, t->error);
}

int doctor_status(enum doctor_outcome outcome)
{
	switch (outcome) {
	case DOCTOR_PULL:
		return 0;
	case DOCTOR_PARTLY:
	case DOCTOR_STREAM_ONLY:
		return 1;
	case DOCTOR_NONE:
		break;
	}
	return 2;
}
