/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul doctor: what its files share.
 *
 *   doctor.c            the command line, and what is done in which order
 *   doctor_try.c        two processes that exchange messages
 *   doctor_target.c     a given process: what is known of it, and a byte of its memory
 *   doctor_layers.c     this process and the machine
 *   doctor_proc.c       /proc, read
 *   doctor_child.c      children with a deadline
 *   doctor_verdict.c    from facts to a verdict; doctor_words.c says it (doctor_verdict.h)
 *   doctor_transport.c  and what follows from it for outboxes
 *   doctor_report.c     for people
 *   doctor_json.c       for programs
 */
#ifndef TOOLS_DOCTOR_H
#define TOOLS_DOCTOR_H

#include "doctor_verdict.h"

/* How long an answer may take, which is far longer than any machine needs. */
enum {
	DOCTOR_TRY_MS = 10000, /* two processes, all they have to say */
	DOCTOR_CALL_MS = 5000, /* one system call */
};

/* Two processes, each of which reads the other. */
struct doctor_try {
	const char *what; /* "siblings" */
	bool unprivileged;
	struct doctor_leg leg[2];
};

enum { DOCTOR_TRIES = 4 };

struct doctor_report {
	struct doctor_facts facts;
	struct doctor_verdict verdict;
	struct doctor_try try[DOCTOR_TRIES]; /* none where a process was given */
	size_t tries;
	bool asked_unprivileged;            /* by root: what would it be for another? */
	struct doctor_verdict unprivileged; /* the answer, if unable is empty */
	char unable[128];                   /* why there is none */
	bool asked_target;
	struct doctor_target target;
};

/* ---- doctor_try.c ---- */

/* Siblings, or parent and child, as this user or as nobody. False, with words, if nobody can't be become. */
bool doctor_try_siblings(struct doctor_try *try, const struct doctor_facts *f, bool unprivileged,
    char *unable, size_t size);
bool doctor_try_family(struct doctor_try *try, const struct doctor_facts *f, bool unprivileged, char *unable,
    size_t size);

/* ---- doctor_target.c and doctor_layers.c ---- */

void doctor_look_at(struct doctor_target *t, const struct doctor_facts *f, pid_t pid);
void doctor_look_around(struct doctor_facts *f);

/* The facts as they are for a process without rights, as which the second tries are made. */
struct doctor_facts doctor_facts_unprivileged(const struct doctor_facts *f);

/* ---- doctor_proc.c ---- */

/* The file's first bytes, as a string, cut to fit. False, and "", if it can't be read. */
bool doctor_proc_read(const char *path, char *text, size_t size);

/* What stands behind "key:" in a text of lines, without the blanks in front; NULL if nothing does. */
const char *doctor_proc_field(const char *text, const char *key);

/* Numbers behind a key; true if there were that many. */
bool doctor_proc_numbers(const char *text, const char *key, int base, uint64_t *numbers, size_t count);

/* /proc/<who>/ns/<name>, "" if it can't be read. */
void doctor_proc_ns(const char *who, const char *name, char *ns, size_t size);

/* ---- doctor_child.c ---- */

/* fork(2) of a child that dies with this process. */
pid_t doctor_fork(void);

/* After a child has changed its ids, which undid that. */
void doctor_child_again(pid_t parent);

int64_t doctor_deadline(int ms);

/* A record that a child writes at once. 1: it came; 0: end of file; -1: not until the deadline. */
int doctor_record(int fd, void *record, size_t size, int64_t deadline);

/* Kills it if it lives, and collects it. */
void doctor_reap(pid_t pid);

/* ---- doctor_report.c and doctor_json.c ---- */

void doctor_report_print(const struct doctor_report *r, bool verbose);

/* Exits with a complaint if this program was built without. */
void doctor_json_print(const struct doctor_report *r);
bool doctor_json_able(void);

#endif
