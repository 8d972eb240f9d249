/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The judge: reads the ledger when all is over.
 *
 * Messages: a send that ended well was received once; one that was taken back was not; a synchronous one heard
 * what its receiver said; none was received twice, and none was lost.
 *
 * Matching, by a slow model. Messages of one sender arrive in the order sent, and a receive gets the first that
 * fits and is not another's. So of two that fit, a receive got the later one only if the earlier had by then gone
 * to a receive that was posted before it; or lay in the hands of one that gave it back. And of two receives that a
 * message fits, the later one got it only if the earlier one was not waiting.
 */
#include <errno.h>
#include <haul/haul.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "stress_ledger.h"

static unsigned errors;

enum { ERRORS_SHOWN = 12 };

static void wrong(unsigned from, unsigned to, unsigned lane, uint32_t number, const char *words, ...)
    __attribute__((format(printf, 5, 6)));
static void wrong(unsigned from, unsigned to, unsigned lane, uint32_t number, const char *words, ...)
{
	va_list args;
	if (++errors > ERRORS_SHOWN)
		return;
	struct plan plan = plan_message(&ledger->config, from, to, lane, number);
	const struct sent *s = ledger_sent(from, to, lane, number);
	fprintf(stderr,
	    "stress: message %u of lane %u, node %u to %u (tag %#llx, %zu bytes, flags %u): ", number, lane,
	    from, to, (unsigned long long)plan.tag, plan.len, s->flags);
	va_start(args, words);
	vfprintf(stderr, words, args);
	va_end(args);
	fprintf(stderr, "\n        [state %d, outcome %d%s, received %u, answer %d%s%s]\n", s->state,
	    s->outcome, s->unknown ? " (unknown)" : "", s->received, s->answer, s->softly ? ", softly" : "",
	    s->eaten ? ", perhaps eaten" : "");
}

/* ---- messages ---- */

static bool taken_back(int outcome)
{
	return outcome == -ECANCELED || outcome == -ETIMEDOUT || outcome == -EAGAIN;
}

static void judge_ended(unsigned from, unsigned to, unsigned lane, uint32_t n, const struct sent *s)
{
	bool sync = (s->flags & HAUL_SYNC) != 0;
	int outcome = s->outcome;
	if (s->unknown || s->eaten)
		return;
	if (taken_back(outcome)) {
		if (s->received > 0 && !s->softly)
			wrong(from, to, lane, n, "was taken back, and received all the same");
	} else if (s->received == 0) {
		wrong(from, to, lane, n, "is lost");
	} else if (outcome != (sync ? s->answer : 0)) {
		wrong(from, to, lane, n, "ended otherwise than its receiver said");
	}
}

static void judge_message(unsigned from, unsigned to, unsigned lane, uint32_t n)
{
	const struct sent *s = ledger_sent(from, to, lane, n);
	if (s->received > 1)
		wrong(from, to, lane, n, "was received more than once");
	if (ledger->killed[from] || ledger->killed[to])
		return;
	if (s->state == SENT_UNDER_WAY)
		wrong(from, to, lane, n, "never ended");
	else if (s->state == SENT_UNSEEN && s->received == 0 && !s->unknown && !s->eaten &&
	    !ledger->peer_canceled[from][to])
		wrong(from, to, lane, n, "was let go of, and is lost");
	else if (s->state == SENT_ENDED)
		judge_ended(from, to, lane, n, s);
}

/* ---- matching ---- */

enum { OPEN_MOST = 4096 };

/* The receives that were posted before the one in question and had not ended when it was posted. */
struct open {
	const struct want *wants[OPEN_MOST];
	size_t count;
};

static void open_add(struct open *o, const struct want *w, uint32_t now)
{
	size_t kept = 0;
	for (size_t i = 0; i < o->count; i++)
		if (o->wants[i]->ended > now)
			o->wants[kept++] = o->wants[i];
	o->count = kept;
	if (w != NULL && o->count < OPEN_MOST)
		o->wants[o->count++] = w;
}

static bool fits(const struct want *w, int from, uint64_t tag)
{
	return (w->from == ANYBODY || w->from == from) && ((w->tag ^ tag) & ~w->ignore) == 0;
}

static bool has_message(const struct want *w)
{
	return w->fate == WANT_GOT || w->fate == WANT_SAW;
}

/* One that ended after w was posted may have had the message in its hands until then. */
static bool was_in_hands(const struct open *o, int from, uint64_t tag)
{
	for (size_t i = 0; i < o->count; i++)
		if (o->wants[i]->fate != WANT_GOT && o->wants[i]->kind != WANT_PROBE &&
		    fits(o->wants[i], from, tag))
			return true;
	return false;
}

/* Was there an earlier message for w? low: all before it went to receives before w, or to nobody. */
static void judge_order(unsigned node, unsigned lane, uint32_t n, const struct want *w, const struct open *o,
    uint32_t *low)
{
	unsigned from = (unsigned)w->by;
	bool may_skip = true;
	for (uint32_t i = *low; i < w->number; i++) {
		const struct sent *s = ledger_sent(from, node, lane, i);
		bool past = s->received == 0 || s->by < n;
		if (past) {
			if (may_skip)
				*low = i + 1;
			continue;
		}
		may_skip = false;
		uint64_t tag = plan_message(&ledger->config, from, node, lane, i).tag;
		if (s->eaten || !fits(w, (int)from, tag) || was_in_hands(o, (int)from, tag))
			continue;
		wrong(from, node, lane, i,
		    "was overtaken by %u, which receive %u (kind %d, from %d, ignoring %#llx) %s; this one "
		    "went "
		    "to receive %u",
		    w->number, n, w->kind, w->from, (unsigned long long)w->ignore,
		    w->fate == WANT_SAW ? "saw" : "got", s->by);
	}
}

/* Was there an earlier receive, waiting, for the message that w got? */
static void judge_turn(unsigned node, unsigned lane, uint32_t n, const struct want *w, const struct open *o)
{
	if (w->fate != WANT_GOT)
		return;
	uint64_t tag = plan_message(&ledger->config, (unsigned)w->by, node, lane, w->number).tag;
	for (size_t i = 0; i < o->count; i++) {
		const struct want *earlier = o->wants[i];
		if (ledger->config.lanes > 1 && earlier->from != ANYBODY &&
		    ledger->peer_canceled[node][earlier->from])
			continue; /* perhaps by another lane, at a time that this one's clock does not know */
		if (earlier->fate == WANT_ENDED && !earlier->held && earlier->asked > w->ended &&
		    fits(earlier, w->by, tag))
			wrong((unsigned)w->by, node, lane, w->number,
			    "went to receive %u, although one posted before, at %u (kind %d, from %d), "
			    "waited until %u",
			    n, earlier->posted, earlier->kind, earlier->from, earlier->asked);
	}
}

static void judge_matching(unsigned node, unsigned lane)
{
	static struct open open;
	uint32_t low[NODES_MOST] = { 0 };
	open.count = 0;
	for (uint32_t n = 0; n < ledger->wants[node][lane]; n++) {
		const struct want *w = ledger_want(node, lane, n);
		open_add(&open, NULL, w->posted);
		if (w->fate == WANT_OPEN)
			wrong(node, node, lane, 0, "(no message: receive %u never ended)", n);
		if (has_message(w)) {
			judge_order(node, lane, n, w, &open, &low[w->by]);
			judge_turn(node, lane, n, w, &open);
		}
		open_add(&open, w, w->posted);
	}
}

unsigned judge(void)
{
	const struct config *c = &ledger->config;
	errors = 0;
	for (unsigned to = 0; to < c->nodes; to++) {
		for (unsigned lane = 0; lane < c->lanes; lane++) {
			for (unsigned from = 0; from < c->nodes; from++)
				for (uint32_t n = 0; n < ledger->sent[from][to][lane]; n++)
					judge_message(from, to, lane, n);
			if (!ledger->killed[to])
				judge_matching(to, lane);
		}
	}
	if (errors > ERRORS_SHOWN)
		fprintf(stderr, "stress: and %u errors more\n", errors - ERRORS_SHOWN);
	return errors;
}
