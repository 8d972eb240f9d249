/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What arrives: whose it is says its tag, which no two messages of a run share. In a strict lane they come in order,
 * and from time to time the sender lets know how many must have come; in the other lane none comes twice.
 */
#include <string.h>

#include "soak_node.h"

enum { FROM_SHIFT = 60, LANE_SHIFT = 56, SERIAL_SHIFT = 32 };

static const size_t longest[] = { 0, 64, 4096, 65536, 4 << 20 };

uint64_t tag_of(unsigned from, unsigned lane, uint32_t serial, uint32_t number)
{
	return (uint64_t)(from + 1) << FROM_SHIFT | (uint64_t)lane << LANE_SHIFT |
	    (uint64_t)serial << SERIAL_SHIFT | number;
}

unsigned tag_from(uint64_t tag)
{
	return (unsigned)(tag >> FROM_SHIFT) - 1;
}

unsigned tag_lane(uint64_t tag)
{
	return (unsigned)(tag >> LANE_SHIFT) & 0xf;
}

uint32_t tag_serial(uint64_t tag)
{
	return (uint32_t)(tag >> SERIAL_SHIFT) & 0xffffff;
}

void lane_match(struct haul_match *m, unsigned lane)
{
	m->tag = (uint64_t)lane << LANE_SHIFT;
	m->ignore = ~(UINT64_C(0xf) << LANE_SHIFT);
}

/* Mostly short; one in fifty is longer than any frame. */
struct plan plan_of(uint64_t tag)
{
	uint64_t key = mix(board->seed ^ mix(tag)), random = mix(key);
	unsigned at = (unsigned)(random % 100);
	unsigned class = at < 2 ? 4 : at < 20 ? 3 : at < 50 ? 2 : at < 94 ? 1 : 0;
	size_t least = class > 1 ? longest[class - 1] + 1 : class, span = longest[class] - least + 1;
	return (struct plan){ .tag = tag,
		.key = key,
		.len = random >> 20 & 7 ? least + (size_t)(random >> 24) % span : longest[class] };
}

static struct stream *stream_of(struct node *n, uint64_t tag)
{
	uint32_t name = (uint32_t)(tag >> SERIAL_SHIFT) & 0xf0ffffff;
	struct stream *oldest = &n->streams[0];
	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *s = &n->streams[i];
		if (s->from_serial == name) {
			s->used = ++n->clock;
			return s;
		}
		if (s->used < oldest->used)
			oldest = s;
	}
	memset(oldest, 0, sizeof(*oldest));
	oldest->from_serial = name;
	oldest->used = ++n->clock;
	return oldest;
}

static void check_milestone(struct node *n, const struct stream *s, uint64_t tag)
{
	unsigned lane = tag_lane(tag), from = tag_from(tag);
	for (size_t i = 0; i < MILESTONES; i++) {
		struct milestone *m = &board->milestones[from][n->index][lane][i];
		if (atomic_load(&m->tag) != tag)
			continue;
		uint64_t least = m->least, most = m->most;
		if (atomic_load(&m->tag) != tag) /* it has just been used again */
			continue;
		if (s->seen[lane] + s->unsure[lane] < least || s->seen[lane] > most)
			fail("before %#llx %llu messages came and %llu perhaps; sent were %llu to %llu",
			    (unsigned long long)tag, (unsigned long long)s->seen[lane],
			    (unsigned long long)s->unsure[lane], (unsigned long long)least,
			    (unsigned long long)most);
	}
}

static void check_once(struct stream *s, uint64_t tag)
{
	uint32_t number = (uint32_t)tag, *after = &s->after[STRICT];
	for (; *after <= number; ++*after) /* what the window leaves behind */
		s->bits[*after % SEEN / 8] &= (uint8_t) ~(1u << *after % 8);
	if (*after > SEEN && number < *after - SEEN)
		fail("%#llx came %u messages too late", (unsigned long long)tag, *after - number);
	if (s->bits[number % SEEN / 8] & 1u << number % 8)
		fail("%#llx came twice", (unsigned long long)tag);
	s->bits[number % SEEN / 8] |= (uint8_t)(1u << number % 8);
}

void stream_arrived(struct node *n, uint64_t tag, bool unsure)
{
	unsigned lane = tag_lane(tag);
	uint32_t number = (uint32_t)tag;
	struct stream *s = stream_of(n, tag);
	if (lane >= STRICT) {
		check_once(s, tag);
		return;
	}
	if (number < s->after[lane])
		fail("%#llx came out of order: after number %u, or twice", (unsigned long long)tag,
		    s->after[lane] - 1);
	check_milestone(n, s, tag);
	s->after[lane] = number + 1;
	if (unsure)
		s->unsure[lane]++;
	else
		s->seen[lane]++;
}

void milestone_set(struct node *n, struct link *l, unsigned lane)
{
	struct milestone *m = &board->milestones[n->index][l->node][lane][l->milestone++ % MILESTONES];
	atomic_store(&m->tag, 0); /* whoever looks meanwhile finds none */
	m->least = l->least[lane];
	m->most = l->least[lane] + l->unsure[lane];
	atomic_store(&m->tag, tag_of(n->index, lane, l->serial, l->next[lane]));
}
