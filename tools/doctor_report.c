/* SPDX-License-Identifier: BSD-3-Clause */
/* haul doctor: what it found, for people to read. See doctor.h. */
#include "doctor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *answer(enum doctor_answer a, const char *yes, const char *no)
{
	return a == DOCTOR_UNKNOWN ? "not known" : a == DOCTOR_YES ? yes : no;
}

static const char *or_none(const char *text)
{
	return text[0] != '\0' ? text : "none to be seen";
}

/* That nothing is known needs no "probably". */
static bool certain(const struct doctor_cause *c)
{
	return c->certain || c->layer == DOCTOR_OBSCURE;
}

/* One line for the layers, one for the remedies. All that are certain must go; of others any may be it. */
static void print_causes(const struct doctor_verdict *v)
{
	if (v->causes == 0)
		return;
	printf("blocked by: ");
	for (size_t i = 0; i < v->causes; i++)
		printf("%s%s%s", i > 0 ? "; " : "",
		    certain(&v->cause[i]) ? ""
		        : i > 0           ? "or "
		                          : "probably ",
		    v->cause[i].words);
	printf("\nremedy: ");
	for (size_t i = 0; i < v->causes; i++)
		printf("%s%s", i == 0 ? "" : certain(&v->cause[i]) ? "; and " : "; or ", v->cause[i].remedy);
	printf("\n");
}

static void print_verdict(const struct doctor_verdict *v)
{
	printf("%s\n", v->words);
	if (v->transport_words[0] != '\0')
		printf("transport: %s\n", v->transport_words);
	print_causes(v);
}

/* What is set in the environment, unless it asks for what was tried. */
static void note_setting(const char *name, const char *value, const char *tried)
{
	if (value[0] != '\0' && strcmp(value, "auto") != 0 && strcmp(value, tried) != 0)
		printf("note: %s=%s is set here; it had no part in this, but has in programs\n", name, value);
}

static void print_verdicts(const struct doctor_report *r)
{
	const struct doctor_verdict *v = &r->verdict, *other = &r->unprivileged;

	printf("verdict: ");
	print_verdict(v);
	if (r->asked_unprivileged && r->unable[0] == '\0' &&
	    (other->outcome != v->outcome || other->transport != v->transport)) {
		printf("verdict for user %u, without capabilities: ", (unsigned)r->facts.nobody);
		print_verdict(other);
	}
	if (r->unable[0] != '\0')
		printf("note: root's rights may hide a refusal: %s\n", r->unable);
	note_setting("HAUL_PATH", r->facts.path, "pull");
	note_setting("HAUL_TRANSPORT", r->facts.transport, "outbox");
}

static void print_try(const struct doctor_report *r, const struct doctor_try *try)
{
	unsigned uid = (unsigned)(try->unprivileged ? r->facts.nobody : r->facts.uid[1]);
	for (int i = 0; i < 2; i++) {
		const struct doctor_leg *leg = &try->leg[i];
		printf("  %s of user %u, %s reads %s: %s", try->what, uid, leg->reader, leg->read,
		    leg->pulled        ? "pull"
		        : leg->arrived ? "stream"
		                       : "nothing came");
		if (leg->arrived)
			printf(", %s", leg->outbox ? "outbox" : "socket");
		if (leg->error != 0)
			printf(" (%s%s%s)", doctor_error_name(leg->error), leg->words[0] != '\0' ? ": " : "",
			    leg->words);
		printf("\n");
	}
}

static void layer(const char *name)
{
	printf("  %-16s", name);
}

static void print_caps(const char *name, uint64_t caps)
{
	char words[200];
	doctor_caps_words(caps, words, sizeof(words));
	layer(name);
	printf("%016" PRIx64 "%s%s\n", caps, caps >> 19 & 1 ? ", with CAP_SYS_PTRACE" : "",
	    caps == 0 ? ", none" : "");
}

static const char *permitted(int error)
{
	return error == 0 ? "permitted" : doctor_error_name(error);
}

static void print_self_errors(const struct doctor_facts *f)
{
	layer("kernel");
	printf("%s; of oneself, process_vm_readv: %s, process_vm_writev: %s\n", f->kernel,
	    permitted(f->self_error), permitted(f->self_write_error));
}

static void print_yama(const struct doctor_facts *f)
{
	layer("yama");
	if (f->yama < 0)
		printf("none to be seen\n");
	else
		printf("ptrace_scope %d\n", f->yama);
}

static void print_seccomp(const struct doctor_facts *f)
{
	static const char *const modes[] = { "none", "strict", "filter" };
	layer("seccomp");
	printf("%s", f->seccomp < 0 || f->seccomp > 2 ? "not known" : modes[f->seccomp]);
	if (f->filters > 0)
		printf(", %d", f->filters);
	printf("; no_new_privs: %s\n", answer(f->no_new_privs, "yes", "no"));
}

static void print_layers(const struct doctor_facts *f)
{
	print_self_errors(f);
	print_yama(f);
	print_seccomp(f);
	layer("user");
	printf("uids %u/%u/%u, gids %u/%u/%u (real, effective, saved)\n", f->uid[0], f->uid[1], f->uid[2],
	    f->gid[0], f->gid[1], f->gid[2]);
	print_caps("capabilities", f->effective);
	if (f->permitted != f->effective)
		print_caps("  permitted", f->permitted);
	layer("dumpable");
	printf("%s\n", answer(f->dumpable, "yes", "no"));
	layer("user namespace");
	printf("%s, %s; uid_map %s\n", or_none(f->user_ns),
	    answer(f->first_user_ns, "the first", "not the first"), or_none(f->uid_map));
	layer("pid namespace");
	printf("%s, %s; /proc %s\n", or_none(f->pid_ns),
	    answer(f->first_pid_ns, "the first", "not the first"),
	    answer(f->proc, "shows it", "shows another"));
	layer("lsm");
	printf("%s; label: %s\n", or_none(f->lsm), or_none(f->label));
	layer("landlock");
	if (f->landlock > 0)
		printf("ABI %d (that it restricts this process cannot be seen)\n", f->landlock);
	else
		printf("none\n");
	layer("container");
	printf("%s\n", doctor_container_name(f->container));
}

static void print_target(const struct doctor_target *t)
{
	const struct doctor_relation *r = &t->relation;
	printf("process %d, %s:\n", (int)t->pid, or_none(t->name));
	layer("read");
	printf("1 byte at 0x%" PRIx64 ": %s\n", t->address,
	    t->error == 0 ? "came" : doctor_error_name(t->error));
	layer("user");
	if (t->ids == DOCTOR_YES)
		printf("uids %u/%u/%u, gids %u/%u/%u: %s\n", t->uid[0], t->uid[1], t->uid[2], t->gid[0],
		    t->gid[1], t->gid[2],
		    answer(r->same_user, "all this process's real ones", "others than this process's"));
	else
		printf("not known\n");
	layer("capabilities");
	if (r->within_caps == DOCTOR_NO) {
		char words[200];
		doctor_caps_words(r->missing_caps, words, sizeof(words));
		printf("more than this process: %s\n", words);
	} else {
		printf("%s\n", answer(r->within_caps, "no more than this process", ""));
	}
	layer("dumpable");
	printf("%s\n", answer(r->dumpable, "yes", "no"));
	layer("seccomp");
	printf(t->seccomp < 0 ? "not known\n" : "mode %d\n", t->seccomp);
	layer("user namespace");
	printf("%s, %s\n", or_none(t->user_ns), answer(r->same_user_ns, "the same", "another"));
	layer("pid namespace");
	printf("%s, %s\n", or_none(t->pid_ns), answer(t->same_pid_ns, "the same", "another"));
	layer("descendant");
	printf("%s\n", answer(r->descendant, "yes", "no"));
	if (t->thread_group != 0 && t->thread_group != t->pid) {
		layer("thread");
		printf("of process %d\n", (int)t->thread_group);
	}
}

void doctor_report_print(const struct doctor_report *r, bool verbose)
{
	print_verdicts(r);
	if (!verbose)
		return;
	if (r->asked_target)
		print_target(&r->target);
	else
		printf("tried:\n");
	for (size_t i = 0; i < r->tries; i++)
		print_try(r, &r->try[i]);
	printf("this process:\n");
	print_layers(&r->facts);
}
