/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul doctor, facts in and words out: what it says on machines that nobody has at hand all at once. Each row
 * differs from a machine that permits everything by what it says.
 */
#include "../tools/doctor_verdict.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

TestSuite(doctor, .timeout = 30);

enum { PTRACE = 1 << 19, NET_RAW = 1 << 13, MANY = 8 };

/* ---- a process is refused ---- */

/* What the other process has that a sibling of the same user has not. */
enum said { USUAL, YES, NO, UNKNOWN };

struct unlike {
	enum said same_user, dumpable, within_caps, same_user_ns, descendant;
	uint64_t missing_caps;
};

struct row {
	const char *claim;
	struct doctor_facts f; /* zero: nothing in the way */
	struct unlike r;
	int error;    /* zero: EPERM */
	bool certain; /* all that are blamed are */
	enum doctor_layer blamed[MANY];
	const char *words, *remedy; /* that have to be among the first one's */
};

#define QUIET .lsm = "capability,yama,landlock"
#define SECCOMP .seccomp = 2, .filters = 1
#define DOCKER .container = DOCTOR_DOCKER
#define ROOT .effective = PTRACE, .first_user_ns = DOCTOR_YES
#define ROOT_OF_A_NAMESPACE .effective = PTRACE, .first_user_ns = DOCTOR_NO

static const struct row rows[] = {
	/* Yama: what its scopes refuse, and to whom. */
	{ "yama 1 refuses a sibling", .f = { .yama = 1 }, .certain = true, .blamed = { DOCTOR_YAMA },
	    .words = "ptrace_scope is 1", .remedy = "HAUL_PTRACER" },
	{ "yama 1 may refuse who knows what", .f = { QUIET, .yama = 1 }, .r = { .descendant = UNKNOWN },
	    .blamed = { DOCTOR_YAMA } },
	{ "yama 2 refuses descendants too", .f = { .yama = 2 }, .r = { .descendant = YES }, .certain = true,
	    .blamed = { DOCTOR_YAMA }, .remedy = "CAP_SYS_PTRACE" },
	{ "yama 3 refuses root", .f = { .yama = 3, ROOT }, .certain = true, .blamed = { DOCTOR_YAMA },
	    .remedy = "boot" },
	{ "yama within a container is the host's", .f = { .yama = 1, DOCKER }, .certain = true,
	    .blamed = { DOCTOR_YAMA }, .remedy = "on the host" },
	{ "yama 1 does not refuse root, who has it from elsewhere",
	    .f = { QUIET, .yama = 1, ROOT, .landlock = 5 }, .blamed = { DOCTOR_LANDLOCK } },
	{ "yama 2 does not refuse root", .f = { QUIET, .yama = 2, ROOT }, .blamed = { DOCTOR_OBSCURE } },
	{ "root of a namespace is no root before a process outside", .f = { .yama = 2, ROOT_OF_A_NAMESPACE },
	    .r = { .same_user_ns = NO }, .certain = true, .blamed = { DOCTOR_USER_NS, DOCTOR_YAMA } },

	/* Filters: by what they do to a process that reads itself. */
	{ "a filter in docker", .f = { SECCOMP, DOCKER, .self_error = EPERM }, .certain = true,
	    .blamed = { DOCTOR_SECCOMP }, .words = "EPERM", .remedy = "docker run --cap-add SYS_PTRACE" },
	{ "a filter in podman", .f = { SECCOMP, .container = DOCTOR_PODMAN, .self_error = EPERM },
	    .certain = true, .blamed = { DOCTOR_SECCOMP }, .remedy = "podman run --cap-add SYS_PTRACE" },
	{ "a filter in kubernetes", .f = { SECCOMP, .container = DOCTOR_KUBERNETES, .self_error = EPERM },
	    .certain = true, .blamed = { DOCTOR_SECCOMP }, .remedy = "securityContext" },
	{ "a filter of a service", .f = { SECCOMP, .self_error = EPERM }, .certain = true,
	    .blamed = { DOCTOR_SECCOMP }, .remedy = "SystemCallFilter" },
	{ "a filter stands before all else that would refuse",
	    .f = { SECCOMP, .self_error = EPERM, .yama = 3 }, .r = { .same_user = NO }, .certain = true,
	    .blamed = { DOCTOR_SECCOMP } },
	{ "a filter that says there is no such call",
	    .f = { SECCOMP, .self_error = ENOSYS, .configured = DOCTOR_YES }, .error = ENOSYS,
	    .certain = true, .blamed = { DOCTOR_SECCOMP }, .words = "ENOSYS" },
	{ "no such call, perhaps by a filter", .f = { SECCOMP, .self_error = ENOSYS }, .error = ENOSYS,
	    .blamed = { DOCTOR_SECCOMP, DOCTOR_KERNEL } },
	{ "no such call, filter or not", .f = { SECCOMP, .self_error = ENOSYS, .configured = DOCTOR_NO },
	    .error = ENOSYS, .certain = true, .blamed = { DOCTOR_KERNEL },
	    .remedy = "CONFIG_CROSS_MEMORY_ATTACH" },
	{ "no such call, and no filter", .f = { .self_error = ENOSYS }, .error = ENOSYS, .certain = true,
	    .blamed = { DOCTOR_KERNEL } },
	{ "no such call, and /proc says nothing", .f = { .seccomp = -1, .self_error = ENOSYS },
	    .error = ENOSYS, .blamed = { DOCTOR_SECCOMP, DOCTOR_KERNEL } },
	{ "a call refused where there is no filter", .f = { QUIET, .self_error = EPERM },
	    .blamed = { DOCTOR_OBSCURE } },
	{ "an error that only a filter makes up", .f = { SECCOMP }, .error = ENETDOWN,
	    .blamed = { DOCTOR_SECCOMP } },
	{ "a filter is the last that is thought of if it permits reading oneself",
	    .f = { QUIET, SECCOMP, .landlock = 4 }, .blamed = { DOCTOR_LANDLOCK, DOCTOR_SECCOMP } },

	/* Who they are. */
	{ "another user", .r = { .same_user = NO }, .certain = true, .blamed = { DOCTOR_USER },
	    .remedy = "one user" },
	{ "not dumpable", .r = { .dumpable = NO }, .certain = true, .blamed = { DOCTOR_DUMPABLE },
	    .remedy = "PR_SET_DUMPABLE" },
	{ "more capabilities", .r = { .within_caps = NO, .missing_caps = NET_RAW }, .certain = true,
	    .blamed = { DOCTOR_CAPABILITIES }, .words = "CAP_NET_RAW" },
	{ "capabilities of another namespace do not count",
	    .r = { .within_caps = NO, .missing_caps = NET_RAW, .same_user_ns = NO }, .certain = true,
	    .blamed = { DOCTOR_USER_NS } },
	{ "capabilities may be of another namespace", .f = { QUIET },
	    .r = { .within_caps = NO, .missing_caps = NET_RAW, .same_user_ns = UNKNOWN },
	    .blamed = { DOCTOR_USER_NS, DOCTOR_CAPABILITIES } },
	{ "all that is certain is said", .f = { .yama = 1 }, .r = { .same_user = NO, .dumpable = NO },
	    .certain = true, .blamed = { DOCTOR_DUMPABLE, DOCTOR_USER, DOCTOR_YAMA } },
	{ "what is possible is not said beside what is certain",
	    .f = { .landlock = 7,
	        .lsm = "landlock,yama,apparmor",
	        .label = "docker-default (enforce)",
	        SECCOMP },
	    .r = { .same_user = NO, .dumpable = UNKNOWN }, .certain = true, .blamed = { DOCTOR_USER } },
	{ "root of a namespace may meet a program from outside that it can't read",
	    .f = { ROOT_OF_A_NAMESPACE }, .r = { .dumpable = NO }, .certain = true,
	    .blamed = { DOCTOR_DUMPABLE } },
	{ "root is refused by none of these", .f = { QUIET, ROOT },
	    .r = { .same_user = NO, .dumpable = NO, .within_caps = NO, .same_user_ns = NO },
	    .blamed = { DOCTOR_OBSCURE } },

	/* Security modules. */
	{ "a confined process, before a domain that may not be one",
	    .f = { .lsm = "capability,landlock,apparmor",
	        .label = "docker-default (enforce)",
	        .landlock = 7,
	        DOCKER },
	    .blamed = { DOCTOR_LSM, DOCTOR_LANDLOCK }, .words = "docker-default",
	    .remedy = "--security-opt apparmor" },
	{ "an unconfined process, after it",
	    .f = { .lsm = "capability,landlock,apparmor", .label = "unconfined", .landlock = 7 },
	    .blamed = { DOCTOR_LANDLOCK, DOCTOR_LSM } },
	{ "selinux", .f = { .lsm = "capability,selinux", .label = "system_u:system_r:container_t:s0:c1,c2" },
	    .blamed = { DOCTOR_LSM }, .words = "container_t", .remedy = "process:ptrace" },
	{ "landlock alone refuses root", .f = { QUIET, ROOT, .landlock = 7 }, .blamed = { DOCTOR_LANDLOCK },
	    .words = "ABI 7", .remedy = "domain" },
	{ "modules that nobody can see", .f = { ROOT }, .blamed = { DOCTOR_LSM },
	    .words = "if there is one" },
	{ "a BPF program", .f = { ROOT, .lsm = "capability,landlock,bpf" }, .blamed = { DOCTOR_LSM } },
	{ "nothing known", .f = { QUIET }, .blamed = { DOCTOR_OBSCURE } },
	{ "EACCES is EPERM", .f = { .yama = 2 }, .error = EACCES, .certain = true,
	    .blamed = { DOCTOR_YAMA } },
	{ "no pid", .error = ESRCH, .blamed = { DOCTOR_PID_NS }, .remedy = "pid namespace" },
};

static enum doctor_answer answer(enum said said, enum doctor_answer usual)
{
	static const enum doctor_answer
	    answers[] = { [YES] = DOCTOR_YES, [NO] = DOCTOR_NO, [UNKNOWN] = DOCTOR_UNKNOWN };
	return said == USUAL ? usual : answers[said];
}

static struct doctor_relation relation(const struct unlike *r)
{
	return (struct doctor_relation){
		.same_user = answer(r->same_user, DOCTOR_YES),
		.dumpable = answer(r->dumpable, DOCTOR_YES),
		.within_caps = answer(r->within_caps, DOCTOR_YES),
		.same_user_ns = answer(r->same_user_ns, DOCTOR_YES),
		.descendant = answer(r->descendant, DOCTOR_NO),
		.missing_caps = r->missing_caps,
	};
}

/* Nothing is empty, and nothing was cut. */
static void check_sentences(const char *claim, const struct doctor_verdict *v)
{
	cr_expect(strlen(v->words) > 0 && strlen(v->words) < sizeof(v->words) - 1, "%s: %s", claim, v->words);
	for (size_t i = 0; i < v->causes; i++) {
		const struct doctor_cause *c = &v->cause[i];
		cr_expect(strlen(c->words) > 0 && strlen(c->words) < sizeof(c->words) - 1, "%s: %s", claim,
		    c->words);
		cr_expect(strlen(c->remedy) > 0 && strlen(c->remedy) < sizeof(c->remedy) - 1, "%s: %s", claim,
		    c->remedy);
	}
}

static void check_row(const struct row *row, const struct doctor_verdict *v)
{
	size_t wanted = 0;
	while (row->blamed[wanted] != DOCTOR_NOTHING)
		wanted++;
	check_sentences(row->claim, v);
	cr_expect_eq(v->outcome, DOCTOR_STREAM_ONLY, "%s: %s", row->claim, v->words);
	cr_assert_eq(v->causes, wanted, "%s: %zu are blamed, %s first", row->claim, v->causes,
	    v->causes > 0 ? doctor_layer_name(v->cause[0].layer) : "nobody");
	for (size_t i = 0; i < wanted; i++) {
		cr_expect_eq(v->cause[i].layer, row->blamed[i], "%s: number %zu is %s", row->claim, i,
		    doctor_layer_name(v->cause[i].layer));
		cr_expect_eq(v->cause[i].certain, row->certain, "%s: number %zu", row->claim, i);
	}
	if (row->words != NULL)
		cr_expect(strstr(v->cause[0].words, row->words) != NULL, "%s: %s", row->claim,
		    v->cause[0].words);
	if (row->remedy != NULL)
		cr_expect(strstr(v->cause[0].remedy, row->remedy) != NULL, "%s: %s", row->claim,
		    v->cause[0].remedy);
}

Test(doctor, blames_the_layers_that_refused_a_given_process)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct doctor_target t = { .pid = 100, .ids = DOCTOR_YES, .relation = relation(&row->r) };
		struct doctor_verdict v;
		t.error = row->error != 0 ? row->error : EPERM;
		doctor_judge_target(&v, &row->f, &t);
		check_row(row, &v);
	}
}

static struct doctor_leg leg_of(const struct row *row, bool descendant)
{
	struct doctor_leg leg = { .arrived = true, .error = row->error != 0 ? row->error : EPERM };
	leg.relation = relation(&row->r);
	if (descendant)
		leg.relation.descendant = DOCTOR_YES;
	return leg;
}

Test(doctor, blames_the_same_layers_for_a_try_once)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct doctor_leg legs[2] = { leg_of(row, false), leg_of(row, false) };
		struct doctor_verdict v;
		if (row->r.same_user_ns == NO || row->r.same_user_ns == UNKNOWN)
			continue; /* of one's own children that is known */
		doctor_judge_legs(&v, &row->f, legs, 2);
		check_row(row, &v);
	}
}

/* ---- tries as a whole ---- */

Test(doctor, all_ways_pulled_is_a_pull)
{
	struct doctor_leg legs[2] = { { .arrived = true, .pulled = true },
		{ .arrived = true, .pulled = true } };
	struct doctor_facts f = { .yama = 1, SECCOMP };
	struct doctor_verdict v;
	doctor_judge_legs(&v, &f, legs, 2);
	cr_assert_eq(v.outcome, DOCTOR_PULL);
	cr_assert_eq(v.causes, 0, "nobody is blamed for what works");
	cr_assert_eq(doctor_status(v.outcome), 0);
}

Test(doctor, yama_1_lets_parents_pull_from_children)
{
	const struct row none = { .claim = "" };
	struct doctor_leg legs[4] = { leg_of(&none, false), leg_of(&none, false), leg_of(&none, true),
		leg_of(&none, false) };
	struct doctor_facts f = { .yama = 1 };
	struct doctor_verdict v;
	legs[2].pulled = true;
	legs[2].error = 0;
	doctor_judge_legs(&v, &f, legs, 4);
	cr_assert_eq(v.outcome, DOCTOR_PARTLY);
	cr_assert(strstr(v.words, "1 of 4") != NULL, "%s", v.words);
	cr_assert_eq(v.causes, 1);
	cr_assert_eq(v.cause[0].layer, DOCTOR_YAMA);
	cr_assert_eq(doctor_status(v.outcome), 1);
}

struct failure {
	const char *claim;
	struct doctor_facts f;
	int error;
	bool certain;
	enum doctor_layer blamed;
};

Test(doctor, what_does_not_arrive_is_no_stream)
{
	static const struct failure failures[] = {
		{ "a filter's supervisor sleeps", { SECCOMP, .self_error = DOCTOR_HUNG }, DOCTOR_HUNG, true,
		    DOCTOR_SECCOMP },
		{ "a filter kills", { SECCOMP, .self_error = DOCTOR_KILLED }, DOCTOR_KILLED, true,
		    DOCTOR_SECCOMP },
		{ "a filter, which answers those who read themselves", { SECCOMP }, DOCTOR_HUNG, false,
		    DOCTOR_SECCOMP },
		{ "nobody knows what hangs", { .seccomp = 0 }, DOCTOR_HUNG, false, DOCTOR_OBSCURE },
		{ "nobody knows what kills", { .self_error = DOCTOR_KILLED }, DOCTOR_KILLED, false,
		    DOCTOR_OBSCURE },
		{ "no socket", { .self_error = 0 }, EMFILE, true, DOCTOR_STREAM },
		{ "a user without a number",
		    { .uid = { 65534, 65534, 65534 }, .nobody = 65533, .first_user_ns = DOCTOR_NO }, EACCES,
		    true, DOCTOR_USER_NS },
		{ "a user that is called so", { .uid = { 65534, 65534, 65534 }, .nobody = 65534 }, EACCES,
		    true, DOCTOR_STREAM },
	};
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		const struct failure *x = &failures[i];
		struct doctor_leg legs[2] = { { .arrived = true, .pulled = true },
			{ .error = x->error, .words = "words" } };
		struct doctor_verdict v;
		doctor_judge_legs(&v, &x->f, legs, 2);
		check_sentences(x->claim, &v);
		cr_expect_eq(v.outcome, DOCTOR_NONE, "%s", x->claim);
		cr_assert_eq(v.causes, 1, "%s: %zu", x->claim, v.causes);
		cr_expect_eq(v.cause[0].layer, x->blamed, "%s: %s", x->claim,
		    doctor_layer_name(v.cause[0].layer));
		cr_expect_eq(v.cause[0].certain, x->certain, "%s", x->claim);
		cr_expect_eq(doctor_status(v.outcome), 2);
	}
}

/* ---- what frames travel by ---- */

struct travel {
	const char *claim;
	struct doctor_facts f;
	unsigned pulled, outbox; /* of 4 legs, the first so many */
	enum doctor_transport transport;
	const char *words;
};

Test(doctor, an_outbox_takes_all_ways)
{
	static const struct travel travels[] = {
		{ "all", { .yama = 0 }, 4, 4, DOCTOR_OUTBOX, "HAUL_TRANSPORT=outbox" },
		{ "reading is not permitted", { .yama = 2 }, 0, 0, DOCTOR_SOCKET, "both ways" },
		{ "nor everywhere", { .yama = 1 }, 1, 0, DOCTOR_SOCKET, "both ways" },
		{ "of two pairs one", { .yama = 1 }, 2, 2, DOCTOR_SOME_OUTBOX, "2 of 4" },
		{ "writing is not", { SECCOMP, .self_write_error = EPERM }, 4, 0, DOCTOR_SOCKET,
		    "process_vm_writev fails (EPERM)" },
		{ "writing kills", { SECCOMP, .self_write_error = DOCTOR_KILLED }, 4, 0, DOCTOR_SOCKET,
		    "process_vm_writev fails (killed)" },
		{ "both are not, which the verdict says",
		    { SECCOMP, .self_error = EPERM, .self_write_error = EPERM }, 0, 0, DOCTOR_SOCKET,
		    "both ways" },
		{ "nobody knows", { .self_write_error = DOCTOR_UNTRIED }, 4, 0, DOCTOR_SOCKET,
		    "no outbox came of it" },
	};
	for (size_t i = 0; i < sizeof(travels) / sizeof(travels[0]); i++) {
		const struct travel *x = &travels[i];
		struct doctor_leg legs[4];
		struct doctor_verdict v;
		for (unsigned leg = 0; leg < 4; leg++)
			legs[leg] = (struct doctor_leg){ .arrived = true,
				.pulled = leg < x->pulled,
				.outbox = leg < x->outbox,
				.error = leg < x->pulled ? 0 : EPERM };
		doctor_judge_legs(&v, &x->f, legs, 4);
		doctor_judge_transport(&v, &x->f, legs, 4);
		cr_expect_eq(v.transport, x->transport, "%s: %s", x->claim, v.transport_words);
		cr_expect(strstr(v.transport_words, x->words) != NULL, "%s: %s", x->claim, v.transport_words);
		cr_expect_lt(strlen(v.transport_words), sizeof(v.transport_words) - 1, "%s", x->claim);
	}
}

Test(doctor, nothing_that_arrives_travels_by_nothing)
{
	const struct doctor_leg legs[2] = { { .arrived = true, .pulled = true, .outbox = true },
		{ .error = DOCTOR_KILLED } };
	const struct doctor_facts f = { .yama = 0 };
	struct doctor_verdict v;
	doctor_judge_legs(&v, &f, legs, 2);
	doctor_judge_transport(&v, &f, legs, 2);
	cr_assert_str_eq(doctor_transport_name(v.transport), "");
	cr_assert_str_eq(v.transport_words, "");
}

Test(doctor, that_a_process_can_be_read_is_half_of_an_outbox)
{
	struct doctor_facts f = { .yama = 0 };
	struct doctor_target t = { .pid = 100 };
	struct doctor_verdict v;
	doctor_judge_target(&v, &f, &t);
	doctor_judge_target_transport(&v, &f, &t);
	cr_assert_eq(v.transport, DOCTOR_NO_TRANSPORT, "the other half is not known");
	cr_assert(strstr(v.transport_words, "if process 100 may read this one too") != NULL, "%s",
	    v.transport_words);
	f.self_write_error = EPERM;
	doctor_judge_target_transport(&v, &f, &t);
	cr_assert_eq(v.transport, DOCTOR_SOCKET, "%s", v.transport_words);
	f.self_write_error = 0;
	t.error = EPERM;
	doctor_judge_target(&v, &f, &t);
	doctor_judge_target_transport(&v, &f, &t);
	cr_assert_eq(v.transport, DOCTOR_SOCKET, "it takes both halves");
	t.state = DOCTOR_ZOMBIE;
	doctor_judge_target(&v, &f, &t);
	doctor_judge_target_transport(&v, &f, &t);
	cr_assert_eq(v.transport, DOCTOR_NO_TRANSPORT);
	cr_assert_str_eq(v.transport_words, "");
}

Test(doctor, an_outbox_is_not_tried_where_that_would_end_the_try)
{
	struct doctor_facts f = { .self_write_error = EPERM };
	cr_assert(doctor_dares_outbox(&f), "the library is to find that out");
	f.self_write_error = DOCTOR_HUNG;
	cr_assert(!doctor_dares_outbox(&f));
	f.self_write_error = DOCTOR_KILLED;
	cr_assert(!doctor_dares_outbox(&f));
}

/* ---- a process that is not there to be refused ---- */

Test(doctor, the_dead_give_no_stream)
{
	const struct doctor_facts f = { .yama = 3 };
	struct doctor_target t = { .pid = 100, .error = ESRCH, .state = DOCTOR_ABSENT };
	struct doctor_verdict v;
	doctor_judge_target(&v, &f, &t);
	cr_assert_eq(v.outcome, DOCTOR_NONE);
	cr_assert_eq(v.cause[0].layer, DOCTOR_GONE, "Yama has nothing to do with it");
	t.state = DOCTOR_ZOMBIE;
	doctor_judge_target(&v, &f, &t);
	cr_assert_eq(v.outcome, DOCTOR_NONE);
	t.state = DOCTOR_KTHREAD;
	doctor_judge_target(&v, &f, &t);
	cr_assert_eq(v.outcome, DOCTOR_NONE);
	check_sentences("a kernel thread", &v);
}

Test(doctor, a_process_without_its_main_thread_streams)
{
	const struct doctor_facts f = { .yama = 0 };
	struct doctor_target t = { .pid = 100, .error = ESRCH, .state = DOCTOR_LEADERLESS };
	struct doctor_verdict v;
	doctor_judge_target(&v, &f, &t);
	cr_assert_eq(v.outcome, DOCTOR_STREAM_ONLY);
	cr_assert_eq(v.cause[0].layer, DOCTOR_MAIN_THREAD);
	check_sentences("its main thread has left", &v);
}

Test(doctor, a_fault_is_a_permission)
{
	const struct doctor_facts f = { .yama = 1, .uid = { 7, 7, 7 } };
	struct doctor_target t = { .pid = 100, .error = EFAULT, .ids = DOCTOR_YES, .uid = { 7, 7, 7 } };
	struct doctor_verdict v;
	doctor_judge_target(&v, &f, &t);
	cr_assert_eq(v.outcome, DOCTOR_PULL);
	cr_assert(strstr(v.words, "admit") == NULL);
	t.uid[1] = 8;
	doctor_judge_target(&v, &f, &t);
	cr_assert_eq(v.outcome, DOCTOR_PULL);
	cr_assert(strstr(v.words, "admit") != NULL, "the library takes no other user for a peer");
}

/* ---- words ---- */

Test(doctor, capabilities_that_do_not_fit_are_cut_between_names)
{
	char words[40];
	doctor_caps_words(0, words, sizeof(words));
	cr_assert_str_eq(words, "");
	doctor_caps_words(PTRACE | NET_RAW, words, sizeof(words));
	cr_assert_str_eq(words, "CAP_NET_RAW CAP_SYS_PTRACE");
	doctor_caps_words(UINT64_MAX, words, sizeof(words));
	cr_assert_str_eq(words, "CAP_CHOWN CAP_DAC_OVERRIDE ...");
	doctor_caps_words(UINT64_C(1) << 63, words, sizeof(words));
	cr_assert_str_eq(words, "63");
}

Test(doctor, every_layer_has_a_name_and_words)
{
	const struct doctor_facts f = { .yama = 1 };
	const struct doctor_relation r = { .same_user = DOCTOR_NO };
	const struct doctor_target t = { .pid = 100 };
	for (int layer = DOCTOR_KERNEL; layer < DOCTOR_LAYERS; layer++) {
		struct doctor_cause c = { .layer = (enum doctor_layer)layer };
		cr_assert(doctor_layer_name(c.layer) != NULL, "%d", layer);
		doctor_cause_words(&c, &f, &r, &t);
		cr_assert(c.words[0] != '\0' && c.remedy[0] != '\0', "%s", doctor_layer_name(c.layer));
	}
}
