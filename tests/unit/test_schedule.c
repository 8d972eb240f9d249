/* SPDX-License-Identifier: BSD-3-Clause */
/* Schedules: what is written down, and what is not. */
#include "group/schedule.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "lib/fault.h"
#include "lib/must.h"

TestSuite(schedule, .timeout = 60);

static unsigned char bytes[4096], more[4096];

/* ---- steps ---- */

Test(schedule, no_bytes_are_no_step_but_a_signal_is)
{
	struct schedule s;
	schedule_init(&s, 1, 3);
	schedule_send(&s, 0, bytes, 0);
	schedule_recv(&s, 0, bytes, 0);
	schedule_copy(&s, bytes, more, 0);
	schedule_reduce(&s, bytes, more, 0);
	must_be(s.count, 0);
	schedule_signal(&s, 0);
	schedule_await(&s, 2);
	must_be(s.count, 2);
	must(s.steps[0].kind == STEP_SEND && s.steps[0].rank == 0 && s.steps[0].len == 0);
	must(s.steps[1].kind == STEP_RECV && s.steps[1].rank == 2 && s.steps[1].len == 0);
	schedule_fini(&s);
}

Test(schedule, a_copy_onto_itself_is_no_step)
{
	struct schedule s;
	schedule_init(&s, 0, 1);
	schedule_copy(&s, bytes, bytes, 10);
	must_be(s.count, 0);
	schedule_fini(&s);
}

Test(schedule, a_round_without_steps_is_none)
{
	struct schedule s;
	schedule_init(&s, 0, 2);
	schedule_round(&s);
	must_be(s.count, 0);
	schedule_signal(&s, 1);
	schedule_round(&s);
	schedule_round(&s);
	must_be(s.count, 2);
	must(s.steps[1].kind == STEP_ROUND);
	schedule_fini(&s);
}

Test(schedule, steps_stay_in_order_however_many_there_are)
{
	struct schedule s;
	schedule_init(&s, 0, 2);
	for (size_t i = 1; i < sizeof(bytes); i++)
		schedule_send(&s, 1, bytes, i);
	must_be(s.count, sizeof(bytes) - 1);
	for (size_t i = 1; i < sizeof(bytes); i++)
		must_be(s.steps[i - 1].len, i);
	schedule_fini(&s);
}

Test(schedule, scratch_is_aligned_and_goes_with_its_schedule)
{
	struct schedule s;
	long before = fault_live();
	schedule_init(&s, 0, 1);
	for (size_t len = 0; len < 200; len++) {
		unsigned char *scratch = schedule_scratch(&s, len);
		must(scratch != NULL && (uintptr_t)scratch % 64 == 0);
		memset(scratch, CANARY, len);
	}
	schedule_fini(&s);
	must_be(fault_live(), before);
}

Test(schedule, more_scratch_than_there_can_be_is_an_error)
{
	struct schedule s;
	schedule_init(&s, 0, 1);
	must(schedule_scratch(&s, SIZE_MAX) == NULL);
	must_be(s.error, -ENOMEM);
	schedule_copy(&s, NULL, bytes, 1);
	must_be(s.count, 0);
	schedule_fini(&s);
}
