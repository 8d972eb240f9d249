/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flow control: both ends of it, by hand and at random. A random run has a sender, a receiver and headers
 * between them that come late; it ends with nothing lost and the pool as full as before. HAUL_TEST_SEED
 * repeats it.
 */
#include "link/credit.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/seed.h"

TestSuite(credit, .timeout = 60);

/* ---- what the peer lets us send ---- */

Test(credit, what_was_granted_can_be_spent_and_no_more)
{
	struct credit_out c;
	credit_out_init(&c, 100, 1000);
	cr_assert(credit_out_has(&c, 100));
	cr_assert_not(credit_out_has(&c, 101));
	credit_out_spend(&c, 60);
	cr_assert(credit_out_has(&c, 40));
	cr_assert_not(credit_out_has(&c, 41));
	cr_assert(credit_out_update(&c, 130));
	cr_assert(credit_out_has(&c, 70));
	cr_assert_not(credit_out_has(&c, 71));
}

Test(credit, a_grant_never_goes_back)
{
	struct credit_out c;
	credit_out_init(&c, 100, 1000);
	cr_assert(credit_out_update(&c, 100), "told twice, it does no harm");
	cr_assert_not(credit_out_update(&c, 99));
	cr_assert(credit_out_has(&c, 100), "what was refused changed nothing");
}

Test(credit, more_than_the_most_is_a_lie)
{
	struct credit_out c;
	credit_out_init(&c, 100, 1000);
	cr_assert(credit_out_update(&c, 1000));
	cr_assert_not(credit_out_update(&c, 1001));
	credit_out_spend(&c, 1);
	cr_assert(credit_out_update(&c, 1001));
}

Test(credit, counters_wrap)
{
	struct credit_out c;
	credit_out_init(&c, 0, 1 << 30);
	for (uint32_t granted = 0, i = 0; i < 20; i++) {
		granted += 1 << 30;
		cr_assert(credit_out_update(&c, granted), "round %u", i);
		cr_assert_not(credit_out_update(&c, granted - 1), "round %u", i);
		cr_assert_not(credit_out_update(&c, granted + 1), "round %u", i);
		cr_assert_not(credit_out_has(&c, (1 << 30) + 1));
		credit_out_spend(&c, 1 << 30);
		cr_assert_not(credit_out_has(&c, 1));
		cr_assert(credit_out_has(&c, 0));
	}
}

/* ---- what we let the peer send ---- */

Test(credit, the_first_window_is_paid_from_the_pool)
{
	struct credit_pool pool = { 1000 };
	struct credit_in c;
	credit_in_init(&c, &pool, 2, 0, 100, 400);
	cr_assert_eq(credit_in_tell(&c), 100);
	cr_assert_eq(pool.left, 800);
	credit_in_fini(&c, &pool);
	cr_assert_eq(pool.left, 1000);
}

Test(credit, an_empty_pool_gives_the_least_and_is_not_charged_for_it)
{
	struct credit_pool pool = { 5 };
	struct credit_in c;
	credit_in_init(&c, &pool, 2, 8, 100, 400);
	cr_assert_eq(credit_in_tell(&c), 8);
	cr_assert_eq(pool.left, 1, "two units were there to be paid");
	credit_in_fini(&c, &pool);
	cr_assert_eq(pool.left, 5);
}

Test(credit, no_window_is_wider_than_its_most)
{
	struct credit_pool pool = { 1000 };
	struct credit_in c;
	credit_in_init(&c, &pool, 1, 0, 100, 30);
	cr_assert_eq(credit_in_tell(&c), 30);
	credit_in_fini(&c, &pool);
	credit_in_init(&c, &pool, 1, 8, 100, 3);
	cr_assert_eq(credit_in_tell(&c), 3, "nor is the least");
	cr_assert(credit_in_arrive(&c, &pool, 3));
	cr_assert_eq(credit_in_tell(&c), 3);
	credit_in_fini(&c, &pool);
	cr_assert_eq(pool.left, 1000);
}

Test(credit, an_overdraft_is_refused)
{
	struct credit_pool pool = { 1000 };
	struct credit_in c;
	credit_in_init(&c, &pool, 1, 0, 100, 100);
	credit_in_tell(&c);
	cr_assert_not(credit_in_arrive(&c, &pool, 101));
	cr_assert(credit_in_arrive(&c, &pool, 100));
	cr_assert_not(credit_in_arrive(&c, &pool, 1));
	credit_in_release(&c, 100);
	cr_assert_not(credit_in_arrive(&c, &pool, 1), "the peer was not told yet");
	cr_assert_eq(credit_in_tell(&c), 200);
	cr_assert(credit_in_arrive(&c, &pool, 100));
}

Test(credit, use_widens_the_window_up_to_its_most)
{
	struct credit_pool pool = { 100000 };
	struct credit_in c;
	credit_in_init(&c, &pool, 1, 0, 100, 350);
	cr_assert(credit_in_arrive(&c, &pool, 50));
	cr_assert_eq(c.window, 100, "half in use is not enough");
	cr_assert(credit_in_arrive(&c, &pool, 1));
	cr_assert_eq(c.window, 200);
	credit_in_tell(&c);
	cr_assert(credit_in_arrive(&c, &pool, 149));
	cr_assert_eq(c.window, 350);
	credit_in_tell(&c);
	cr_assert(credit_in_arrive(&c, &pool, 150));
	cr_assert_eq(c.window, 350);
	cr_assert_eq(credit_in_tell(&c), 350);
	cr_assert_eq(pool.left, 100000 - 350);
}

Test(credit, growth_ends_with_the_pool)
{
	struct credit_pool pool = { 130 };
	struct credit_in a, b;
	credit_in_init(&a, &pool, 1, 0, 50, 1000);
	credit_in_init(&b, &pool, 1, 0, 50, 1000);
	cr_assert(credit_in_arrive(&a, &pool, 50));
	cr_assert_eq(a.window, 80);
	cr_assert(credit_in_arrive(&b, &pool, 50));
	cr_assert_eq(b.window, 50);
	cr_assert_eq(pool.left, 0);
	credit_in_fini(&a, &pool);
	cr_assert_eq(pool.left, 80);
	credit_in_tell(&b);
	credit_in_release(&b, 10);
	credit_in_tell(&b);
	cr_assert(credit_in_arrive(&b, &pool, 10));
	cr_assert_eq(b.window, 100, "what one left another may take");
	credit_in_fini(&b, &pool);
	cr_assert_eq(pool.left, 130);
}

/* ---- when to tell ---- */

Test(credit, what_does_not_fit_widens_the_window_though_nothing_is_held)
{
	struct credit_pool pool = { .left = 1000 };
	struct credit_in c;
	credit_in_init(&c, &pool, 1, 0, 100, 1000);
	credit_in_missed(&c, &pool, 100, false);
	cr_assert_eq(credit_in_tell(&c), 100, "it would have fitted");
	credit_in_missed(&c, &pool, 101, false);
	cr_assert_eq(credit_in_tell(&c), 201);
	cr_assert(credit_in_arrive(&c, &pool, 150));
	credit_in_release(&c, 150);
	credit_in_missed(&c, &pool, 60, false);
	cr_assert(credit_in_due(&c));
	cr_assert_eq(credit_in_tell(&c), 150 + 804, "for what was held, and for what did not fit");
	for (int i = 0; i < 10; i++)
		credit_in_missed(&c, &pool, 1000, false);
	cr_assert_eq(credit_in_tell(&c), 150 + 1000, "its most");
	credit_in_fini(&c, &pool);
	cr_assert_eq(pool.left, 1000);
}

Test(credit, a_window_that_began_with_nothing_opens_once_the_pool_has_some)
{
	struct credit_pool pool = { .left = 0 };
	struct credit_in c;
	credit_in_init(&c, &pool, 1, 0, 100, 1000);
	credit_in_missed(&c, &pool, 80, false);
	cr_assert_not(credit_in_due(&c));
	pool.left = 500;
	credit_in_missed(&c, &pool, 80, false);
	cr_assert(credit_in_due(&c));
	cr_assert_eq(credit_in_tell(&c), 80);
}

Test(credit, half_a_window_is_news)
{
	struct credit_pool pool = { 1000 };
	struct credit_in c;
	credit_in_init(&c, &pool, 1, 0, 100, 100);
	cr_assert_not(credit_in_due(&c), "the peer has it all");
	cr_assert(credit_in_arrive(&c, &pool, 90));
	cr_assert_not(credit_in_due(&c), "nothing was given back");
	credit_in_release(&c, 49);
	cr_assert_not(credit_in_due(&c));
	credit_in_release(&c, 1);
	cr_assert(credit_in_due(&c));
	credit_in_tell(&c);
	cr_assert_not(credit_in_due(&c));
}

Test(credit, a_wider_window_is_news_however_little_it_has_grown)
{
	struct credit_pool pool = { 1000 };
	struct credit_in c;
	credit_in_init(&c, &pool, 1, 0, 100, 110);
	cr_assert(credit_in_arrive(&c, &pool, 50));
	cr_assert_not(credit_in_due(&c));
	cr_assert(credit_in_arrive(&c, &pool, 1));
	cr_assert(credit_in_due(&c));
	cr_assert_eq(credit_in_tell(&c), 110);
	cr_assert_not(credit_in_due(&c));
	cr_assert(credit_in_arrive(&c, &pool, 49));
	cr_assert_not(credit_in_due(&c), "it has grown before");
}

Test(credit, to_a_peer_that_has_none_any_is_news)
{
	struct credit_pool pool = { 1000 };
	struct credit_in c;
	credit_in_init(&c, &pool, 1, 0, 100, 100);
	cr_assert(credit_in_arrive(&c, &pool, 100));
	cr_assert_not(credit_in_due(&c));
	credit_in_release(&c, 1);
	cr_assert(credit_in_due(&c));
}

Test(credit, a_window_of_one_is_told_each_time)
{
	struct credit_pool pool = { 1000 };
	struct credit_in c;
	credit_in_init(&c, &pool, 1, 0, 1, 1);
	for (uint32_t i = 1; i < 10; i++) {
		cr_assert(credit_in_arrive(&c, &pool, 1));
		cr_assert_not(credit_in_arrive(&c, &pool, 1));
		credit_in_release(&c, 1);
		cr_assert(credit_in_due(&c));
		cr_assert_eq(credit_in_tell(&c), i + 1);
	}
}

/* ---- both ends ---- */

/* One peer: what it sent and has not arrived, the header that has not arrived, what waits unreceived. */
struct pair {
	struct credit_out out;
	struct credit_in in;
	uint32_t under_way[8], waiting[64];
	size_t under_way_count, waiting_count;
	uint32_t header;
	bool header_there;
};

static void pair_step(struct pair *p, struct credit_pool *pool, uint32_t largest)
{
	switch (random_below(4)) {
	case 0: { /* the peer sends */
		uint32_t units = 1 + (uint32_t)random_below(largest);
		if (p->under_way_count < 8 && credit_out_has(&p->out, units)) {
			credit_out_spend(&p->out, units);
			p->under_way[p->under_way_count++] = units;
		}
		break;
	}
	case 1: /* it arrives */
		if (p->under_way_count > 0 && p->waiting_count < 64) {
			uint32_t units = p->under_way[0];
			for (size_t i = 1; i < p->under_way_count; i++)
				p->under_way[i - 1] = p->under_way[i];
			p->under_way_count--;
			cr_assert(credit_in_arrive(&p->in, pool, units), "an honest peer overdraws never");
			p->waiting[p->waiting_count++] = units;
		}
		break;
	case 2: /* it is received */
		if (p->waiting_count > 0) {
			size_t i = random_below(p->waiting_count);
			credit_in_release(&p->in, p->waiting[i]);
			p->waiting[i] = p->waiting[--p->waiting_count];
		}
		break;
	case 3: /* a header arrives, or leaves */
		if (p->header_there) {
			cr_assert(credit_out_update(&p->out, p->header));
			p->header_there = false;
		} else if (credit_in_due(&p->in) || random_below(8) == 0) {
			p->header = credit_in_tell(&p->in);
			p->header_there = true;
		}
		break;
	}
	cr_assert_leq(p->in.held, p->in.window);
	cr_assert_leq(p->in.window, p->in.most);
}

/* Random traffic of three peers on one pool; afterwards each can be used to the full. */
static void traffic(uint64_t pool_size, uint32_t unit, uint32_t least, uint32_t first, uint32_t most,
    uint32_t largest)
{
	enum { PAIRS = 3, STEPS = 200000 };
	struct credit_pool pool = { pool_size };
	struct pair pairs[PAIRS] = { 0 };
	for (size_t i = 0; i < PAIRS; i++) {
		credit_in_init(&pairs[i].in, &pool, unit, least, first, most);
		/* Near the wrap, as after 4 GiB. */
		uint32_t before = UINT32_MAX - (uint32_t)random_below(1000);
		pairs[i].in.arrived = pairs[i].out.spent = before;
		credit_out_init(&pairs[i].out, credit_in_tell(&pairs[i].in), most);
		pairs[i].out.spent = before;
	}
	for (size_t step = 0; step < STEPS; step++) {
		uint64_t paid = 0;
		pair_step(&pairs[random_below(PAIRS)], &pool, largest);
		for (size_t i = 0; i < PAIRS; i++)
			paid += (uint64_t)pairs[i].in.paid * unit;
		cr_assert_eq(paid + pool.left, pool_size);
	}
	for (size_t i = 0; i < PAIRS; i++) {
		struct pair *p = &pairs[i];
		while (p->under_way_count > 0 || p->waiting_count > 0 || p->header_there)
			pair_step(p, &pool, largest);
		cr_assert_eq(p->in.held, 0);
		cr_assert(credit_out_update(&p->out, credit_in_tell(&p->in)));
		cr_assert(credit_out_has(&p->out, p->in.window));
		cr_assert_not(credit_out_has(&p->out, p->in.window + 1));
		credit_in_fini(&p->in, &pool);
	}
	cr_assert_eq(pool.left, pool_size);
}

Test(credit, random_traffic_of_bytes_loses_no_credit)
{
	seed_random();
	traffic(1 << 20, 1, 0, 65536, 1 << 20, 9000);
}

Test(credit, random_traffic_of_descriptors_loses_no_credit)
{
	seed_random();
	traffic(128 * 300, 128, 8, 256, 65536, 1);
}

Test(credit, random_traffic_over_an_empty_pool_loses_no_credit)
{
	seed_random();
	traffic(100, 128, 8, 256, 65536, 1);
}

/* It may merely not have read what it was told. */
Test(credit, a_message_that_surely_lacked_credit_widens_the_window_whatever_was_told)
{
	struct credit_pool pool = { .left = 10000 };
	struct credit_in c;
	credit_in_init(&c, &pool, 1, 0, 100, 400);
	credit_in_missed(&c, &pool, 10, false);
	cr_assert_eq(c.window, 100);
	credit_in_missed(&c, &pool, 10, true);
	cr_assert_eq(c.window, 200);
	credit_in_missed(&c, &pool, 10, true);
	credit_in_missed(&c, &pool, 10, true);
	cr_assert_eq(c.window, 400);
	credit_in_fini(&c, &pool);
	cr_assert_eq(pool.left, 10000);
}
