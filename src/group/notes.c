/* SPDX-License-Identifier: BSD-3-Clause */
/* Notes of collectives. See notes.h; inquiry.c knows what to ask and to answer. */
#include "group/notes.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "group/errand.h"
#include "group/inquiry.h"
#include "group/links.h"
#include "group/runner.h"
#include "os/clock.h"
#include "os/reason.h"

enum { FAILURES_MOST = 65536 };

struct failure {
	uint32_t group, seq;
	int32_t error;
	SLIST_ENTRY(failure) entry;
};

/* Answers are made without end if somebody asks without end, and does not listen: they must not take all memory. */
static int say(struct haul_peer *p, const struct note *note)
{
	return errand_send(p, TAG_NOTE, note, sizeof(*note), note->kind != NOTE_OVER);
}

int notes_tell(struct mesh *m, int rank, const struct note *what)
{
	struct haul_peer *p;
	struct note note = *what;
	note.rank = (uint32_t)m->rank;
	int rc = rank != m->rank ? links_reach(m, rank, 0, &p) : -EINVAL;
	return rc != 0 ? rc : say(p, &note);
}

/* Beyond so many, a program that will never begin what has failed can't make us hold more: the collective will find out
 * by itself. */
static void remember(struct mesh *m, const struct note *note)
{
	struct failure *f = m->failure_count < FAILURES_MOST ? calloc(1, sizeof(*f)) : NULL;
	if (f == NULL)
		return;
	f->group = note->group;
	f->seq = note->seq;
	f->error = (int32_t)note->value;
	SLIST_INSERT_HEAD(&m->failures, f, entry);
	m->failure_count++;
}

static void forget(struct mesh *m, struct failure *f)
{
	SLIST_REMOVE(&m->failures, f, failure, entry);
	m->failure_count--;
	free(f);
}

/* Of the numbers before that one some were never used here. */
int notes_failed(struct mesh *m, uint32_t group, uint32_t seq)
{
	struct failure *f, *next;
	int error = 0;
	SLIST_FOREACH_SAFE(f, &m->failures, entry, next)
	{
		if (f->group != group || (int32_t)(f->seq - seq) > 0)
			continue;
		if (f->seq == seq)
			error = f->error;
		forget(m, f);
	}
	return error;
}

void notes_forget(struct mesh *m, uint32_t group)
{
	struct failure *f, *next;
	SLIST_FOREACH_SAFE(f, &m->failures, entry, next)
	if (f->group == group)
		forget(m, f);
}

/* The answer goes where the question came: behind the answers to what the asker has sent there. Where two have
 * connected to each other at once our own messages go elsewhere, and what is said of these has to follow them. */
static void reply(struct mesh *m, struct haul_peer *p, const struct note *asked)
{
	struct note note = *asked;
	struct haul_peer *ours = m->members[asked->rank].peer;
	unsigned over = inquiry_answer(m, asked);
	note.kind = NOTE_OVER;
	note.rank = (uint32_t)m->rank;
	note.value = over;
	if (over != 0 && ours != NULL && ours != p) {
		note.value = over & (OVER_SENDS | OVER_LEFT);
		say(ours, &note);
		note.value = over & OVER_RECVS;
	}
	if (note.value != 0 && p != NULL)
		say(p, &note);
}

static void take_note(struct mesh *m, struct haul_peer *p, const struct note *note)
{
	int32_t error = (int32_t)note->value;
	if (note->rank >= (uint32_t)m->size)
		return;
	switch (note->kind) {
	case NOTE_FAILED:
		if (error < 0 && error >= -4095 && !runs_failed_elsewhere(m, note->group, note->seq, error))
			remember(m, note);
		break;
	case NOTE_ASK:
		reply(m, p, note);
		break;
	case NOTE_OVER:
		inquiry_answered(m, note);
		break;
	default: /* of another version */
		break;
	}
}

static void hear_again(struct timer *t);

/* Whatever there is a shortage of meanwhile. */
static void go_on_hearing(struct mesh *m)
{
	if (!m->closing && notes_hear(m) != 0)
		timer_set(&m->haul->engine.timers, &m->hear_again, clock_after_ms(MESH_RETRY_MS), hear_again);
}

static void hear_again(struct timer *t)
{
	go_on_hearing((struct mesh *)((char *)t - offsetof(struct mesh, hear_again)));
}

static void heard(struct errand *e)
{
	struct mesh *m = e->mesh;
	if (e->status.error == 0 && e->status.got == sizeof(e->note) && !m->closing)
		take_note(m, e->status.peer, &e->note);
	go_on_hearing(m); /* also if it was taken back: -ECANCELED need not be our own doing */
}

int notes_hear(struct mesh *m)
{
	struct errand *e = errand_new(m, heard, -1);
	if (e == NULL)
		return reason(-ENOMEM, "no memory for a group");
	return errand_receive(e, NULL, TAG_NOTE, &e->note, sizeof(e->note));
}

void notes_forget_all(struct mesh *m)
{
	struct failure *f;
	while ((f = SLIST_FIRST(&m->failures)) != NULL)
		forget(m, f);
}
