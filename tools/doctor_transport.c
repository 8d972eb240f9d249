/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul doctor: what frames would travel by, and why not by outboxes. Asked when the verdict is there, which has the
 * layers; here is no more than what it means for outboxes. See doctor_verdict.h.
 *
 * An outbox is left in its writer's memory, read by the other, and a bell in it is written by the other: so both must
 * be able to read and to write both ways.
 */
#include "doctor_verdict.h"

#include <stdio.h>

#define ASK "HAUL_TRANSPORT=outbox"
#define NEEDS "an outbox takes reading and writing both ways"

const char *doctor_transport_name(enum doctor_transport transport)
{
	static const char *const names[] = { [DOCTOR_NO_TRANSPORT] = "",
		[DOCTOR_OUTBOX] = "outbox",
		[DOCTOR_SOME_OUTBOX] = "partly",
		[DOCTOR_SOCKET] = "socket" };
	return names[transport];
}

static bool may_not_write(const struct doctor_facts *f)
{
	return f->self_write_error != 0 && f->self_write_error != DOCTOR_UNTRIED;
}

bool doctor_dares_outbox(const struct doctor_facts *f)
{
	return f->self_write_error != DOCTOR_HUNG && f->self_write_error != DOCTOR_KILLED;
}

/* Why there is no outbox: what the verdict has said already, if it has. */
static void why_not(char *words, size_t size, const struct doctor_facts *f, bool read)
{
	if (!read)
		snprintf(words, size, NEEDS);
	else if (may_not_write(f))
		snprintf(words, size, "process_vm_writev fails (%s)", doctor_error_name(f->self_write_error));
	else
		snprintf(words, size, "no outbox came of it, though all may read");
}

void doctor_judge_transport(struct doctor_verdict *v, const struct doctor_facts *f,
    const struct doctor_leg *legs, size_t count)
{
	char why[96];
	size_t n = 0;
	for (size_t i = 0; i < count; i++)
		n += legs[i].outbox;
	if (v->outcome == DOCTOR_NONE)
		return;
	why_not(why, sizeof(why), f, v->outcome == DOCTOR_PULL);
	if (n == count) {
		v->transport = DOCTOR_OUTBOX;
		snprintf(v->transport_words, sizeof(v->transport_words),
		    "outbox, for programs that ask for it (" ASK ")");
	} else if (n > 0) {
		v->transport = DOCTOR_SOME_OUTBOX;
		snprintf(v->transport_words, sizeof(v->transport_words),
		    "partly: outbox %zu of %zu ways, socket the others: %s", n, count, why);
	} else {
		v->transport = DOCTOR_SOCKET;
		snprintf(v->transport_words, sizeof(v->transport_words), "socket: %s", why);
	}
}

/* That the other may read this one too is not known here. */
void doctor_judge_target_transport(struct doctor_verdict *v, const struct doctor_facts *f,
    const struct doctor_target *t)
{
	char why[96];
	bool reads = v->outcome == DOCTOR_PULL;
	if (v->outcome == DOCTOR_NONE)
		return;
	if (reads && !may_not_write(f)) {
		snprintf(v->transport_words, sizeof(v->transport_words),
		    "outbox, if process %d may read this one too and both ask for it (" ASK "); else socket",
		    (int)t->pid);
		return;
	}
	why_not(why, sizeof(why), f, reads);
	v->transport = DOCTOR_SOCKET;
	snprintf(v->transport_words, sizeof(v->transport_words), "socket: %s", why);
}
