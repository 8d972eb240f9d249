/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul doctor: may processes read each other's memory here, and if not, what is in the way? It tries, then
 * looks around to explain what came of it. Root asks once more as a user without rights, whose lot root's
 * hide.
 */
#include "doctor.h"
#include "commands.h"

#include <argp.h>
#include <bsd/stdlib.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct choice {
	pid_t pid; /* 0: none */
	bool verbose, json;
};

enum { KEY_JSON = 256 };

static const struct argp_option option_table[] = {
	{ .name = "pid", .key = 'p', .arg = "PID", .doc = "May this process read that one's memory?" },
	{ .name = "verbose", .key = 'v', .doc = "Print all that was tried and seen too" },
	{ .name = "json", .key = KEY_JSON, .doc = "Print it as JSON" },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct choice *choice = state->input;
	const char *wrong;
	switch (key) {
	case 'p':
		choice->pid = (pid_t)strtonum(arg, 1, INT_MAX, &wrong);
		if (wrong != NULL)
			argp_error(state, "--pid: '%s' is %s", arg, wrong);
		return 0;
	case 'v':
		choice->verbose = true;
		return 0;
	case KEY_JSON:
		choice->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument '%s'", arg);
		return 0;
	case ARGP_KEY_SUCCESS:
		if (choice->json && !doctor_json_able())
			argp_failure(state, EX_UNAVAILABLE, 0,
			    "--json: this program was built without jansson");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static bool hung(const struct doctor_try *try)
{
	return try->leg[0].error == DOCTOR_HUNG || try->leg[1].error == DOCTOR_HUNG;
}

/* Siblings, and parent and child unless the siblings have tried all patience. False if they can't be made as
 * that user. */
static bool try_both(struct doctor_report *r, const struct doctor_facts *f, bool unprivileged,
    struct doctor_verdict *v)
{
	struct doctor_try *try = &r->try[r->tries];
	struct doctor_leg legs[4];

	size_t tries = 0;

	if (!doctor_try_siblings(&try[tries++], f, unprivileged, r->unable, sizeof(r->unable)))
		return false;
	if (!hung(&try[0]) &&
	    !doctor_try_family(&try[tries++], f, unprivileged, r->unable, sizeof(r->unable)))
		return false;
	r->tries += tries;
	for (size_t i = 0; i < 2 * tries; i++)
		legs[i] = try[i / 2].leg[i % 2];
	doctor_judge_legs(v, f, legs, 2 * tries);
	doctor_judge_transport(v, f, legs, 2 * tries);
	return true;
}

static void examine(struct doctor_report *r)
{
	try_both(r, &r->facts, false, &r->verdict);
	if (r->facts.uid[1] != 0 || hung(&r->try[0]))
		return;
	r->asked_unprivileged = true;
	struct doctor_facts other = doctor_facts_unprivileged(&r->facts);
	try_both(r, &other, true, &r->unprivileged);
}

static void examine_target(struct doctor_report *r, pid_t pid)
{
	r->asked_target = true;
	doctor_look_at(&r->target, &r->facts, pid);
	doctor_judge_target(&r->verdict, &r->facts, &r->target);
	doctor_judge_target_transport(&r->verdict, &r->facts, &r->target);
}

int command_doctor(int argc, char **argv)
{
	static const struct argp parser = {
		.options = option_table,
		.parser = parse_option,
		.doc = "Tries whether two processes of this user can read each other's memory here, which "
		       "spares "
		       "large messages a copy, and says what is in the way and what helps.",
	};
	struct doctor_report report = { 0 };
	struct choice choice = { 0 };

	argp_parse(&parser, argc, argv, 0, NULL, &choice);
	signal(SIGCHLD,
	    SIG_DFL); /* whoever started it may ignore its children, and they would not be waited for */
	doctor_look_around(&report.facts);
	if (choice.pid != 0)
		examine_target(&report, choice.pid);
	else
		examine(&report);
	if (choice.json)
		doctor_json_print(&report);
	else
		doctor_report_print(&report, choice.verbose);
	return doctor_status(report.verdict.outcome);
}
