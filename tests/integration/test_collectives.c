/* SPDX-License-Identifier: BSD-3-Clause */
/* Every collective does what it should, one after the other and many at once: see lib/deed.h. */
#include <criterion/criterion.h>

#include "lib/crew.h"
#include "lib/deed.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/seed.h"

TestSuite(collectives, .timeout = 60);

enum { T = CREW_PATIENCE_MS };

/* ---- one after the other ---- */

struct series {
	uint64_t first;
	int count;
};

static void do_series(struct haul_group *g, const void *arg)
{
	const struct series *s = arg;
	for (int i = 0; i < s->count; i++) {
		struct deed *d = deed_new(s->first + (uint64_t)i, g);
		if (deed_waits(d)) {
			must_be(deed_do(d, T), 0);
		} else {
			struct haul_req *r = deed_begin(d);
			must_be(haul_req_wait(r, T), 0);
			must_be(haul_req_finish(r, NULL), 0);
		}
		deed_end(d);
	}
}

EveryPath(collectives, each_does_what_it_says)
{
	struct haul_options o = path_options(path);
	seed_random();
	for (int n = 1; n <= 9; n++) {
		struct series s = { random_below(1 << 30), 40 };
		setenv("HAUL_TUNING", random_below(2) == 0 ? "crowd=0,block=20K" : "crowd=never", 1);
		crew_run(n, &(struct crew_options){ .options = &o, .launched = n % 2 == 0 }, do_series, &s);
	}
}

/* Small ones are many: hundreds one after the other, by members that run ahead of each other. */
Test(collectives, more_members_than_processors_do_the_same)
{
	struct series s;
	seed_random();
	for (int n = 9; n <= 17; n += 8) {
		s = (struct series){ random_below(1 << 30), 60 };
		crew_run(n, NULL, do_series, &s);
	}
}

static void meet_often(struct haul_group *g, const void *arg)
{
	const struct haul_operator op = { HAUL_SUM, HAUL_INT64, 0, 0, NULL, NULL };
	(void)arg;
	for (int i = 0; i < 10; i++) {
		int64_t mine = crew_rank() + i, all = 0;
		must_be(haul_barrier(g, T), 0);
		must_be(haul_allreduce(g, &op, &mine, &all, 1, T), 0);
		must_be(all, 64 * 63 / 2 + 64 * i);
	}
}

Test(collectives, sixty_four_members_meet)
{
	crew_run(64, NULL, meet_often, NULL);
	crew_run(64, &(struct crew_options){ .launched = true }, meet_often, NULL);
}

/* ---- many at once ---- */

enum { AT_ONCE = 40, GROUPS = 4 };

static void do_many(struct haul_group *g, const void *arg)
{
	const struct series *s = arg;
	struct haul_group *groups[GROUPS] = { g };
	struct deed *deeds[AT_ONCE];
	struct haul_req *reqs[AT_ONCE];
	int me = crew_rank(), n = crew_size();
	must_be(haul_group_dup(g, T, &groups[1]), 0);
	must_be(haul_group_split(g, me % 2, -me, T, &groups[2]), 0);
	must_be(haul_group_split(g, me * 2 < n ? 0 : -1, 0, T, &groups[3]), 0);
	for (int round = 0; round < s->count; round++) {
		int left = 0;
		for (int i = 0; i < AT_ONCE; i++) {
			uint64_t id = s->first + (uint64_t)(round * AT_ONCE + i);
			struct haul_group *in = groups[deed_mix(id) % GROUPS];
			reqs[i] = NULL;
			if (in == NULL)
				continue;
			deeds[i] = deed_new(id, in);
			reqs[i] = deed_begin(deeds[i]);
			left++;
		}
		/* Half of them as they come, the others from the last on. */
		for (int k = AT_ONCE - 1; left > 0; left--) {
			int i = left % 2 == 0 ? haul_wait_any(reqs, AT_ONCE, T) : k;
			while (left % 2 == 1 && reqs[i] == NULL)
				i = --k;
			must(i >= 0);
			must_be(haul_req_wait(reqs[i], T), 0);
			must_be(haul_req_finish(reqs[i], NULL), 0);
			reqs[i] = NULL;
			deed_end(deeds[i]);
		}
	}
	for (int i = 1; i < GROUPS; i++)
		must_be(haul_group_free(groups[i], 0), 0);
}

EveryPath(collectives, many_at_once_are_in_no_ones_way)
{
	struct haul_options o = path_options(path);
	seed_random();
	for (int n = 2; n <= 8; n += 3) {
		struct series s = { random_below(1 << 30), 4 };
		crew_run(n, &(struct crew_options){ .options = &o }, do_many, &s);
	}
}

/* A request that was let go of goes on, and its members get what they wait for. */
static void let_go(struct haul_group *g, const void *arg)
{
	static unsigned char buf[200000];
	struct haul_req *r;
	(void)arg;
	for (int i = 0; i < 20; i++) {
		size_t len = i % 2 == 0 ? 100 : sizeof(buf);
		if (crew_rank() == 0)
			pattern_fill(buf, len, (uint64_t)i, 0);
		must_be(haul_ibcast(g, 0, buf, len, &r), 0);
		if (crew_rank() == 0)
			haul_req_free(r);
		else {
			must_be(haul_req_wait(r, T), 0);
			must_be(haul_req_finish(r, NULL), 0);
			must_hold(buf, len, (uint64_t)i, 0);
		}
		must_be(haul_barrier(g, T), 0);
	}
}

Test(collectives, one_that_was_let_go_of_goes_on)
{
	crew_run(4, NULL, let_go, NULL);
}
