/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul doctor: two processes make a connection by the library, with outboxes if they can be had, and each sends the
 * other a message so long that it is pulled where that is permitted. Nothing of a try outlives it, and a process that
 * hangs is killed. The environment has no say: what it sets for programs is set otherwise here.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* setresuid */
#endif
#include "doctor.h"

#include <bsd/string.h>
#include <errno.h>
#include <grp.h>
#include <haul/haul.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEN = 1 << 20, CALL_MS = 5000 };

/* What one of the two has to say. */
struct side {
	int number; /* 0 or 1 */
	bool able;  /* false: it could not become nobody */
	bool arrived, pulled, outbox;
	int error;
	char words[160];
};

struct plan {
	bool family, unprivileged, outbox;
	uid_t nobody;
	int patience_ms;
	int ends[2];    /* of the socket */
	int reports[2]; /* a pipe */
};

static void fail(struct side *s, int error, const char *what, const char *why)
{
	s->error = error;
	snprintf(s->words, sizeof(s->words), "%s: %s", what, why);
}

/* Gives up root for good, and is then as dumpable as a program that nobody had started. */
static bool become(uid_t nobody, struct side *s)
{
	pid_t parent = getppid();
	if (setgroups(0, NULL) < 0 || setresgid(nobody, nobody, nobody) < 0 ||
	    setresuid(nobody, nobody, nobody) < 0) {
		fail(s, errno, "cannot become another user", strerror(errno));
		return false;
	}
	prctl(PR_SET_DUMPABLE, 1);
	doctor_child_again(parent);
	return true;
}

/* Bytes that tell which side they are of, and where in the message they belong. */
static unsigned char byte_at(int number, size_t at)
{
	return (unsigned char)((((uint32_t)at * UINT32_C(2654435761)) >> 24) + (uint32_t)number);
}

static void fill(unsigned char *buf, int number)
{
	for (size_t i = 0; i < LEN; i++)
		buf[i] = byte_at(number, i);
}

static bool holds(const unsigned char *buf, int number)
{
	for (size_t i = 0; i < LEN; i++)
		if (buf[i] != byte_at(number, i))
			return false;
	return true;
}

/* A byte each way. When the other's has come, so has all that it had done before. */
static int exchange_byte(struct haul_peer *p, uint64_t tag)
{
	char mine = 0, theirs;
	ssize_t n = haul_sendrecv(p, tag, &mine, 1, NULL, &theirs, 1, CALL_MS, NULL);
	return n < 0 ? (int)n : 0;
}

/* Whether the other's frames come by its outbox. To read it was permitted; to write its bell is tried only before a
 * sleep, so that one is feigned. Who is refused is sent what follows by the socket. */
static void exchange_small(struct side *s, struct haul *h, struct haul_peer *p)
{
	struct haul_peer_info info;
	int rc;

	while ((rc = haul_arm(h)) == -EAGAIN && (rc = haul_progress(h)) >= 0)
		;
	/* The first may have come by the outbox before; the second was sent when our first had come. */
	if (rc < 0 || exchange_byte(p, 2) < 0 || exchange_byte(p, 3) < 0)
		return;
	s->outbox = haul_peer_info(p, &info, sizeof(info)) == 0 && info.in_transport == HAUL_TRANSPORT_OUTBOX;
	/* Who leaves takes its outbox away: not before both have looked. */
	exchange_byte(p, 4);
}

/* The message each way, and what became of it. */
static void exchange_large(struct side *s, struct haul *h, struct haul_peer *p, unsigned char *mine,
    unsigned char *theirs)
{
	struct haul_peer_info info;
	struct haul_stats stats;

	fill(mine, s->number);
	ssize_t n = haul_sendrecv(p, 1, mine, LEN, NULL, theirs, LEN, CALL_MS, NULL);
	if (n < 0) {
		fail(s, (int)-n, "haul_sendrecv", haul_reason());
		return;
	}
	if (n != LEN || !holds(theirs, 1 - s->number)) {
		fail(s, EILSEQ, "haul_sendrecv", "other bytes came than were sent");
		return;
	}
	int rc = haul_stats(h, &stats, sizeof(stats));
	if (rc == 0)
		rc = haul_peer_info(p, &info, sizeof(info));
	if (rc < 0) {
		fail(s, -rc, "haul_peer_info", haul_reason());
		return;
	}
	s->arrived = true;
	s->pulled = stats.received_pull == 1;
	if (s->pulled)
		return;
	s->error = info.in_error != 0 ? info.in_error : DOCTOR_UNTRIED;
	strlcpy(s->words, info.in_words, sizeof(s->words));
}

static void talk(struct side *s, int fd, bool outbox)
{
	struct haul_options o = {
		.path = HAUL_PATH_PULL,
		.transport = outbox ? HAUL_TRANSPORT_OUTBOX : HAUL_TRANSPORT_SOCKET,
		.two_handed = -1,
		.spin_us = -1,
		.eager_max = 16384,
		.allow_ptracer = HAUL_PTRACER_NONE,
		.log_level = HAUL_LOG_OFF,
	};
	unsigned char *mine = malloc(LEN), *theirs = malloc(LEN);
	struct haul_peer *p;
	struct haul *h;

	int rc = mine != NULL && theirs != NULL ? 0 : -ENOMEM;
	if (rc < 0) {
		fail(s, -rc, "malloc", strerror(-rc));
		goto free_buffers;
	}
	rc = haul_open(&h, &o, sizeof(o));
	if (rc < 0) {
		fail(s, -rc, "haul_open", haul_reason());
		goto free_buffers;
	}
	rc = haul_adopt(h, fd, CALL_MS, &p);
	if (rc < 0)
		fail(s, -rc, "haul_adopt", haul_reason());
	else
		exchange_large(s, h, p, mine, theirs);
	if (s->arrived)
		exchange_small(s, h, p);
	haul_close(h, CALL_MS);
free_buffers:
	free(mine);
	free(theirs);
}

/* One process of the two. A parent forks its child when it has given up its rights, so both have. */
static void be(const struct plan *plan, int number) __attribute__((noreturn));
static void be(const struct plan *plan, int number)
{
	struct side s = { .number = number };
	pid_t child = 0;

	s.able = !plan->unprivileged || (plan->family && number == 1) || become(plan->nobody, &s);
	if (s.able && plan->family && number == 0) {
		child = doctor_fork();
		if (child == 0)
			be(plan, 1);
	}
	close(plan->ends[1 - number]);
	if (child < 0)
		fail(&s, errno, "fork", strerror(errno));
	else if (s.able)
		talk(&s, plan->ends[number], plan->outbox);
	bool told = write(plan->reports[1], &s, sizeof(s)) == sizeof(s);
	/* It ends by itself, or when this process is killed for its slowness. */
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	_exit(told ? 0 : 1);
}

static struct doctor_relation relation(const struct doctor_facts *f, bool descendant)
{
	return (struct doctor_relation){
		.same_user = DOCTOR_YES,
		.dumpable = f->dumpable,
		.within_caps = DOCTOR_YES,
		.same_user_ns = DOCTOR_YES,
		.descendant = descendant ? DOCTOR_YES : DOCTOR_NO,
	};
}

/* What both have to say until the deadline. Returns false if one could not become nobody. */
static bool listen_to(const struct plan *plan, struct doctor_try *try, char *unable, size_t size)
{
	int64_t deadline = doctor_deadline(plan->patience_ms);
	bool able = true;
	int came = 1;

	for (int n = 0; n < 2 && came == 1 && able; n++) {
		struct side s;
		came = doctor_record(plan->reports[0], &s, sizeof(s), deadline);
		if (came != 1)
			break;
		struct doctor_leg *leg = &try->leg[s.number];
		leg->arrived = s.arrived;
		leg->pulled = s.pulled;
		leg->outbox = s.outbox;
		leg->error = s.error;
		strlcpy(leg->words, s.words, sizeof(leg->words));
		if (!s.able) {
			able = false;
			strlcpy(unable, s.words, size);
		}
	}
	for (int i = 0; i < 2 && came != 1; i++)
		if (try->leg[i].error == DOCTOR_UNTRIED) {
			try->leg[i].error = came < 0 ? DOCTOR_HUNG : DOCTOR_KILLED;
			snprintf(try->leg[i].words, sizeof(try->leg[i].words),
			    came < 0 ? "did not answer" : "died");
		}
	return able;
}

static bool try_it(struct doctor_try *try, struct plan *plan, char *unable, size_t size)
{
	pid_t pid[2] = { -1, -1 };
	bool able = true;

	int rc = haul_pair(plan->ends);
	if (rc < 0) {
		snprintf(try->leg[0].words, sizeof(try->leg[0].words), "haul_pair: %s", haul_reason());
		try->leg[0].error = -rc;
		return true;
	}
	if (pipe(plan->reports) < 0) {
		snprintf(try->leg[0].words, sizeof(try->leg[0].words), "pipe: %s", strerror(errno));
		try->leg[0].error = errno;
		goto close_ends;
	}
	for (int i = 0; i < (plan->family ? 1 : 2); i++) {
		pid[i] = doctor_fork();
		if (pid[i] == 0)
			be(plan, i);
	}
	close(plan->reports[1]);
	/* No end is kept, so that each process sees the other's death as end of file. */
	close(plan->ends[0]);
	close(plan->ends[1]);
	able = listen_to(plan, try, unable, size);
	for (int i = 0; i < 2; i++)
		if (pid[i] > 0)
			doctor_reap(pid[i]);
	close(plan->reports[0]);
	return able;

close_ends:
	close(plan->ends[0]);
	close(plan->ends[1]);
	return true;
}

/* Where a process that reads itself waits for ever, nobody need be given long to do so as well. */
static int patience(const struct doctor_facts *f)
{
	return f->self_error == DOCTOR_HUNG ? 1000 : DOCTOR_TRY_MS;
}

static void leg_init(struct doctor_leg *leg, const char *reader, const char *read, struct doctor_relation r)
{
	*leg = (struct doctor_leg){ .reader = reader, .read = read, .error = DOCTOR_UNTRIED, .relation = r };
}

bool doctor_try_siblings(struct doctor_try *try, const struct doctor_facts *f, bool unprivileged,
    char *unable, size_t size)
{
	struct plan plan = { .unprivileged = unprivileged,
		.outbox = doctor_dares_outbox(f),
		.nobody = f->nobody,
		.patience_ms = patience(f) };
	*try = (struct doctor_try){ .what = "siblings", .unprivileged = unprivileged };
	leg_init(&try->leg[0], "one", "the other", relation(f, false));
	leg_init(&try->leg[1], "the other", "one", relation(f, false));
	return try_it(try, &plan, unable, size);
}

bool doctor_try_family(struct doctor_try *try, const struct doctor_facts *f, bool unprivileged, char *unable,
    size_t size)
{
	struct plan plan = { .family = true,
		.unprivileged = unprivileged,
		.outbox = doctor_dares_outbox(f),
		.nobody = f->nobody,
		.patience_ms = patience(f) };
	*try = (struct doctor_try){ .what = "parent and child", .unprivileged = unprivileged };
	leg_init(&try->leg[0], "parent", "child", relation(f, true));
	leg_init(&try->leg[1], "child", "parent", relation(f, false));
	return try_it(try, &plan, unable, size);
}
