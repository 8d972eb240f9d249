/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What matching costs haul while many receives are posted, or many messages wait unexpected: the body of
 * `haul perf --what match` in both processes. All receives are exact: from the one peer, with one tag.
 *
 * An iteration is a turn of PERF_TURN messages, for which process 1 asks, so that the cost of the socket is
 * shared by many. Their tags are drawn at random from those outstanding, by both processes alike.
 *
 *     posted      1 asks; 0 sends; 1 finishes the receives and posts each anew
 *     unexpected  1 receives what waits, and asks; 0 sends the like, and a last one to say that all have come
 *
 * So as many are outstanding at each turn's beginning, and up to a turn fewer in the middle. Where the tags
 * are fewer than a turn, several receives or messages have the same, as many of each: what has to be passed
 * over in a search is then still of the order of the tags.
 *
 * Only eager messages are measured: a described one has more to it than matching. Within SIZE_MOST a turn
 * fits the credit that a peer starts with, and BUDGET covers all that may wait.
 */
#include "perf_haul.h"

enum {
	TAGS_MOST = 10000,
	ENTRIES_MOST = TAGS_MOST + PERF_TURN,
	SIZE_MOST = 1024,
	BUDGET_EACH = 64, /* what an eager message costs of the budget, beyond its length: haul.h */
};

_Static_assert(PERF_TURN *(SIZE_MOST + BUDGET_EACH) < 128 << 10, "the first credit, haul.h");
_Static_assert((uint64_t)ENTRIES_MOST *(SIZE_MOST + BUDGET_EACH) < PERF_MATCH_BUDGET, "all may wait");

/* Tags of what is not measured. */
#define TAG_ASK ((uint64_t)1 << 32) /* 1 to 0: the next turn */
#define TAG_ALL ((uint64_t)2 << 32) /* 0 to 1: all of it was sent */

struct match_state {
	uint32_t tags, each;          /* how many, and how many are outstanding of each */
	uint32_t drawn[ENTRIES_MOST]; /* `each` of each tag; those in front are the turn's */
	uint64_t random;
	struct haul_req *posted[ENTRIES_MOST]; /* those of tag t from t * each on, a ring */
	uint32_t oldest[TAGS_MOST];            /* within that */
};

static struct match_state state; /* one end per process */

static uint32_t entries(void)
{
	return state.tags * state.each;
}

static uint32_t draw_below(uint32_t most)
{
	state.random ^= state.random << 13; /* xorshift */
	state.random ^= state.random >> 7;
	state.random ^= state.random << 17;
	return (uint32_t)((state.random >> 32) * most >> 32);
}

/* The next turn's tags. */
static void draw(void)
{
	for (uint32_t i = 0; i < PERF_TURN; i++) {
		uint32_t j = i + draw_below(entries() - i), tag = state.drawn[j];
		state.drawn[j] = state.drawn[i];
		state.drawn[i] = tag;
	}
}

/* ---- messages ---------------------------------------------------------------------------------- */

static int post(struct perf_end *e, uint64_t tag, size_t len, struct haul_req **r)
{
	struct perf_haul *haul = e->state;
	struct haul_match match = { .from = haul->peer, .tag = tag };
	struct iovec iov = { .iov_base = perf_slot(&e->in, 0), .iov_len = len };
	return haul_irecv(haul->h, &match, &iov, 1, r) < 0 ? perf_haul_fail(e, "haul_irecv") : 0;
}

static int check(struct perf_end *e, uint64_t tag, const struct haul_status *status)
{
	if (status->tag != tag || status->got != e->in.len)
		return perf_fail(e, "received %zu bytes with tag %zu instead of %zu with %zu",
		    (size_t)status->got, (size_t)status->tag, e->in.len, (size_t)tag);
	return 0;
}

/* The oldest receive of this tag: waited for, and posted anew. */
static int take_posted(struct perf_end *e, uint32_t tag)
{
	struct haul_req **r = &state.posted[tag * state.each + state.oldest[tag]];
	struct haul_status status;

	if (++state.oldest[tag] == state.each)
		state.oldest[tag] = 0;
	if (perf_haul_finish(e, *r, &status) < 0 || check(e, tag, &status) < 0)
		return -1;
	return post(e, tag, e->in.len, r);
}

static int take_unexpected(struct perf_end *e, uint32_t tag)
{
	struct perf_haul *haul = e->state;
	struct haul_match match = { .from = haul->peer, .tag = tag };
	struct haul_status status;
	if (haul_recv(haul->h, &match, perf_slot(&e->in, 0), e->in.len, -1, &status) < 0)
		return perf_haul_fail(e, "haul_recv");
	return check(e, tag, &status);
}

static int ask(struct perf_end *e)
{
	struct perf_haul *haul = e->state;
	return haul_send(haul->peer, TAG_ASK, NULL, 0, -1) < 0 ? perf_haul_fail(e, "haul_send") : 0;
}

/* Asked for, messages with these tags; and the last one. All of them go out together. */
static int send_asked(struct perf_end *e, const uint32_t *tags, uint32_t count, bool last)
{
	struct perf_haul *haul = e->state;
	struct haul_match match = { .from = haul->peer, .tag = TAG_ASK };
	struct haul_req *reqs[PERF_TURN + 1];
	uint32_t begun;

	if (haul_recv(haul->h, &match, NULL, 0, -1, NULL) < 0)
		return perf_haul_fail(e, "haul_recv");
	for (begun = 0; begun < count; begun++) {
		struct iovec iov = { .iov_base = perf_slot(&e->out, 0), .iov_len = e->out.len };
		if (haul_isend(haul->peer, tags[begun], &iov, 1, 0, &reqs[begun]) < 0)
			return perf_haul_fail(e, "haul_isend");
	}
	if (last && haul_isend(haul->peer, TAG_ALL, NULL, 0, 0, &reqs[begun++]) < 0)
		return perf_haul_fail(e, "haul_isend");
	for (uint32_t i = 0; i < begun; i++)
		if (perf_haul_finish(e, reqs[i], NULL) < 0)
			return -1;
	return 0;
}

/* More messages, not asked for by any receive. The one receive that is posted, for the last of them, costs
 * one search of what waits. */
static int add_unexpected(struct perf_end *e, const uint32_t *tags, uint32_t count)
{
	struct haul_req *last;
	if (e->rank == 0)
		return send_asked(e, tags, count, true);
	if (post(e, TAG_ALL, 0, &last) < 0 || ask(e) < 0)
		return -1;
	return perf_haul_finish(e, last, NULL);
}

/* ---- turns ------------------------------------------------------------------------------------- */

static int turn_posted(struct perf_end *e)
{
	if (e->rank == 0)
		return send_asked(e, state.drawn, PERF_TURN, false);
	if (ask(e) < 0)
		return -1;
	for (uint32_t i = 0; i < PERF_TURN; i++)
		if (take_posted(e, state.drawn[i]) < 0)
			return -1;
	return 0;
}

static int turn_unexpected(struct perf_end *e)
{
	if (e->rank == 1)
		for (uint32_t i = 0; i < PERF_TURN; i++)
			if (take_unexpected(e, state.drawn[i]) < 0)
				return -1;
	return add_unexpected(e, state.drawn, PERF_TURN);
}

/* Messages that went another way than eagerly would be measured for what they are not. */
static int require_eager(struct perf_end *e)
{
	const struct perf_haul *haul = e->state;
	struct haul_stats stats;
	if (haul_stats(haul->h, &stats, sizeof(stats)) < 0)
		return perf_haul_fail(e, "haul_stats");
	if (stats.received_pull + stats.received_stream > 0)
		return perf_fail(e, "messages were described instead of sent eagerly");
	return 0;
}

int perf_match_run(struct perf_end *e, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		draw();
		if ((e->round->unexpected ? turn_unexpected(e) : turn_posted(e)) < 0)
			return -1;
		if (e->rank == 1)
			perf_stamp(e);
	}
	return require_eager(e);
}

int perf_match_open(struct perf_end *e)
{
	if (e->round->bytes > SIZE_MOST)
		return perf_fail(e, "matching is measured by messages of at most %d bytes", SIZE_MOST);
	state.tags = e->round->outstanding;
	state.each = (PERF_TURN + state.tags - 1) / state.tags;
	state.random = 88172645463325252; /* any but 0 */
	for (uint32_t i = 0; i < entries(); i++)
		state.drawn[i] = i % state.tags;

	for (uint32_t i = 0; e->round->unexpected && i < entries(); i += PERF_TURN) {
		uint32_t left = entries() - i;
		if (add_unexpected(e, state.drawn + i, left < PERF_TURN ? left : PERF_TURN) < 0)
			return -1;
	}
	for (uint32_t i = 0; !e->round->unexpected && e->rank == 1 && i < entries(); i++) {
		uint32_t tag = state.drawn[i];
		if (post(e, tag, e->in.len, &state.posted[tag * state.each + i / state.tags]) < 0)
			return -1;
	}
	return 0;
}
