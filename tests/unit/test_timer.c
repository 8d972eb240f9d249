/* SPDX-License-Identifier: BSD-3-Clause */
/* Timers, against a clock that is only a number here. */
#include "engine/timer.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "os/clock.h"

TestSuite(timer, .timeout = 60);

enum { COUNT = 100 };

static struct timers timers;
static struct timer t[COUNT];
static struct timer *fired[1000];
static size_t fired_count;

static void note(struct timer *fires)
{
	cr_assert_not(fires->set, "it was stopped before it was called");
	fired[fired_count++] = fires;
}

static void init(void)
{
	timers_init(&timers);
	fired_count = 0;
}

static void expect_fired(size_t count)
{
	cr_assert_eq(fired_count, count, "%zu fired", fired_count);
	fired_count = 0;
}

Test(timer, they_fire_in_the_order_of_their_times, .init = init)
{
	for (size_t i = 0; i < COUNT; i++)
		timer_set(&timers, &t[i], 1000 + i * 37 % COUNT, note); /* 37 and 100 have no common factor */
	timers_run(&timers, 2000);
	for (size_t i = 1; i < COUNT; i++)
		cr_assert_lt(fired[i - 1]->at, fired[i]->at);
	expect_fired(COUNT);
	cr_assert_eq(timers_next(&timers), CLOCK_NEVER);
}

Test(timer, none_fires_before_its_time, .init = init)
{
	timer_set(&timers, &t[0], 100, note);
	timer_set(&timers, &t[1], 101, note);
	timers_run(&timers, 99);
	expect_fired(0);
	timers_run(&timers, 100);
	expect_fired(1);
	timers_run(&timers, 100);
	expect_fired(0);
	timers_run(&timers, 101);
	expect_fired(1);
}

Test(timer, next_is_the_earliest, .init = init)
{
	cr_assert_eq(timers_next(&timers), CLOCK_NEVER);
	timer_set(&timers, &t[0], 200, note);
	timer_set(&timers, &t[1], 100, note);
	timer_set(&timers, &t[2], 300, note);
	cr_assert_eq(timers_next(&timers), 100);
	timer_stop(&timers, &t[1]);
	cr_assert_eq(timers_next(&timers), 200);
	timer_stop(&timers, &t[0]);
	timer_stop(&timers, &t[2]);
	cr_assert_eq(timers_next(&timers), CLOCK_NEVER);
}

Test(timer, a_stopped_one_does_not_fire, .init = init)
{
	timer_set(&timers, &t[0], 100, note);
	timer_set(&timers, &t[1], 100, note);
	timer_stop(&timers, &t[0]);
	timer_stop(&timers, &t[0]);
	timer_stop(&timers, &t[2]);
	timers_run(&timers, 1000);
	cr_assert_eq(fired[0], &t[1]);
	expect_fired(1);
}

Test(timer, one_set_anew_fires_once_at_the_new_time, .init = init)
{
	timer_set(&timers, &t[0], 100, note);
	timer_set(&timers, &t[0], 300, note);
	cr_assert_eq(timers_next(&timers), 300);
	timers_run(&timers, 299);
	expect_fired(0);
	timer_set(&timers, &t[0], 50, note);
	timers_run(&timers, 1000);
	expect_fired(1);
}

Test(timer, set_to_never_is_stopped, .init = init)
{
	timer_set(&timers, &t[0], 100, note);
	timer_set(&timers, &t[0], CLOCK_NEVER, note);
	cr_assert_not(t[0].set);
	cr_assert_eq(timers_next(&timers), CLOCK_NEVER);
	timers_run(&timers, CLOCK_NEVER);
	expect_fired(0);
}

Test(timer, those_of_one_time_fire_each_once, .init = init)
{
	for (size_t i = 0; i < COUNT; i++)
		timer_set(&timers, &t[i], 500, note);
	for (size_t i = 0; i < COUNT; i += 2)
		timer_stop(&timers, &t[i]);
	timers_run(&timers, 500);
	for (size_t i = 0; i < COUNT / 2; i++) {
		cr_assert_eq((size_t)(fired[i] - t) % 2, 1);
		for (size_t j = 0; j < i; j++)
			cr_assert_neq(fired[i], fired[j]);
	}
	expect_fired(COUNT / 2);
}

/* ---- within fire ---- */

static void again_later(struct timer *fires)
{
	note(fires);
	timer_set(&timers, fires, fires->at + 10, again_later);
}

Test(timer, one_may_set_itself_again, .init = init)
{
	timer_set(&timers, &t[0], 100, again_later);
	timers_run(&timers, 105);
	expect_fired(1);
	cr_assert_eq(timers_next(&timers), 110);
	timers_run(&timers, 135);
	expect_fired(3);
	cr_assert_eq(timers_next(&timers), 140);
}

static void stop_the_next(struct timer *fires)
{
	note(fires);
	timer_stop(&timers, fires + 1);
}

Test(timer, one_may_stop_another_that_is_due, .init = init)
{
	for (size_t i = 0; i < 4; i++)
		timer_set(&timers, &t[i], 100 + i, stop_the_next);
	timers_run(&timers, 200);
	cr_assert_eq(fired[0], &t[0]);
	cr_assert_eq(fired[1], &t[2]);
	expect_fired(2);
}

static void free_it(struct timer *fires)
{
	note(fires);
	free(fires);
}

Test(timer, one_may_be_freed_by_its_own_call, .init = init)
{
	struct timer *mine = calloc(1, sizeof(*mine));
	timer_set(&timers, mine, 100, free_it);
	timer_set(&timers, &t[0], 100, note);
	timers_run(&timers, 200);
	expect_fired(2);
}
