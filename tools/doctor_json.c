/* SPDX-License-Identifier: BSD-3-Clause */
/* haul doctor: what it found, for programs to read. Each key is documented in haul-doctor(1). */
#include "doctor.h"

#ifdef HAVE_JANSSON

#include <err.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <sysexits.h>

bool doctor_json_able(void)
{
	return true;
}

/* Unknown is null, and so is an empty text. What the kernel told may not be UTF-8: then it is null as well. */
static json_t *answer(enum doctor_answer a)
{
	return a == DOCTOR_UNKNOWN ? json_null() : json_boolean(a == DOCTOR_YES);
}

static json_t *text(const char *s)
{
	json_t *j = s[0] != '\0' ? json_string(s) : NULL;
	return j != NULL ? j : json_null();
}

static json_t *number(int64_t n)
{
	return n >= 0 ? json_integer(n) : json_null();
}

/* 0 is no error; an errno by its name. */
static json_t *error_name(int error)
{
	return error == 0 ? json_null() : json_string(doctor_error_name(error));
}

static json_t *caps(uint64_t bits)
{
	char hex[20];
	snprintf(hex, sizeof(hex), "%016" PRIx64, bits);
	return json_string(hex);
}

static json_t *ids(const uid_t id[3])
{
	return json_pack("[I,I,I]", (json_int_t)id[0], (json_int_t)id[1], (json_int_t)id[2]);
}

static json_t *causes(const struct doctor_verdict *v)
{
	json_t *list = json_array();
	for (size_t i = 0; i < v->causes; i++) {
		const struct doctor_cause *c = &v->cause[i];
		json_array_append_new(list,
		    json_pack("{s:s, s:b, s:o, s:o}", "layer", doctor_layer_name(c->layer), "certain",
		        c->certain, "words", text(c->words), "remedy", text(c->remedy)));
	}
	return list;
}

static json_t *unprivileged(const struct doctor_report *r)
{
	const struct doctor_verdict *v = &r->unprivileged;
	if (!r->asked_unprivileged || r->unable[0] != '\0')
		return json_null();
	return json_pack("{s:I, s:s, s:o, s:o, s:o, s:o}", "user", (json_int_t)r->facts.nobody, "verdict",
	    doctor_outcome_name(v->outcome), "words", text(v->words), "transport",
	    text(doctor_transport_name(v->transport)), "transport_words", text(v->transport_words),
	    "blocked_by", causes(v));
}

static json_t *tries(const struct doctor_report *r)
{
	json_t *list = json_array();
	for (size_t i = 0; i < 2 * r->tries; i++) {
		const struct doctor_try *try = &r->try[i / 2];
		const struct doctor_leg *leg = &try->leg[i % 2];
		uid_t uid = try->unprivileged ? r->facts.nobody : r->facts.uid[1];
		const char *path = leg->pulled ? "pull" : leg->arrived ? "stream" : "none";
		const char *transport = leg->outbox ? "outbox" : leg->arrived ? "socket" : "";
		json_array_append_new(list,
		    json_pack("{s:s, s:I, s:s, s:s, s:s, s:o, s:o, s:o}", "between", try->what, "user",
		        (json_int_t)uid, "reader", leg->reader, "read", leg->read, "path", path, "transport",
		        text(transport), "error", error_name(leg->error), "words", text(leg->words)));
	}
	return list;
}

static json_t *layers(const struct doctor_facts *f)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
	                 "s:o, s:o, s:o, "
	                 "s:s, s:o, s:o}",
	    "kernel", text(f->kernel), "self_error", error_name(f->self_error), "self_write_error",
	    error_name(f->self_write_error), "yama", number(f->yama), "seccomp", number(f->seccomp),
	    "seccomp_filters", number(f->filters), "no_new_privs", answer(f->no_new_privs), "uids",
	    ids(f->uid), "gids", ids(f->gid), "cap_effective", caps(f->effective), "cap_permitted",
	    caps(f->permitted), "dumpable", answer(f->dumpable), "user_ns", text(f->user_ns), "uid_map",
	    text(f->uid_map), "pid_ns", text(f->pid_ns), "proc", answer(f->proc), "lsm", text(f->lsm),
	    "label", text(f->label), "landlock", number(f->landlock), "container",
	    doctor_container_name(f->container), "haul_path", text(f->path), "haul_transport",
	    text(f->transport));
}

static json_t *target(const struct doctor_report *r)
{
	static const char *const states[] = { [DOCTOR_ALIVE] = "alive",
		[DOCTOR_ABSENT] = "absent",
		[DOCTOR_ZOMBIE] = "zombie",
		[DOCTOR_LEADERLESS] = "main-thread-left",
		[DOCTOR_KTHREAD] = "kernel-thread" };
	const struct doctor_target *t = &r->target;
	if (!r->asked_target)
		return json_null();
	bool known = t->ids == DOCTOR_YES;
	return json_pack("{s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
	    "pid", (json_int_t)t->pid, "state", states[t->state], "name", text(t->name), "error",
	    error_name(t->error), "uids", known ? ids(t->uid) : json_null(), "gids",
	    known ? ids(t->gid) : json_null(), "same_user", answer(t->relation.same_user), "dumpable",
	    answer(t->relation.dumpable), "within_capabilities", answer(t->relation.within_caps),
	    "missing_capabilities", caps(t->relation.missing_caps), "same_user_ns",
	    answer(t->relation.same_user_ns), "same_pid_ns", answer(t->same_pid_ns), "descendant",
	    answer(t->relation.descendant), "seccomp", number(t->seccomp), "user_ns", text(t->user_ns),
	    "pid_ns", text(t->pid_ns));
}

void doctor_json_print(const struct doctor_report *r)
{
	const struct doctor_verdict *v = &r->verdict;
	json_t *all = json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "verdict",
	    doctor_outcome_name(v->outcome), "status", doctor_status(v->outcome), "words", text(v->words),
	    "transport", text(doctor_transport_name(v->transport)), "transport_words",
	    text(v->transport_words), "blocked_by", causes(v), "unprivileged", unprivileged(r), "process",
	    target(r), "tries", tries(r), "layers", layers(&r->facts));
	if (all == NULL || json_dumpf(all, stdout, JSON_INDENT(2)) < 0)
		errx(EX_OSERR, "doctor: not enough memory for JSON");
	json_decref(all);
	putchar('\n');
}

#else

bool doctor_json_able(void)
{
	return false;
}

void doctor_json_print(const struct doctor_report *r)
{
	(void)r;
}

#endif
