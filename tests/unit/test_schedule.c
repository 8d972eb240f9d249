/* SPDX-License-Identifier: BSD-3-Clause */
/* Schedules: what is written down and what is not, and that no algorithm minds a lack of memory. */
#include "group/schedule.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "group/algorithms.h"
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

/* ---- lack of memory ---- */

enum { LEN = 24, MEMBERS = 7 };

static void join(void *arg, const void *left, void *right, size_t count)
{
	(void)arg, (void)left, (void)right, (void)count;
}

static const struct blocks blocks = { .len = LEN };
static const size_t counts[MEMBERS] = { 1, 2, 3, 4, 5, 6, 7 };

static void bcast(struct schedule *s, const struct tuning *t)
{
	bcast_schedule(s, t, 0, bytes, LEN);
}

static void gather(struct schedule *s, const struct tuning *t)
{
	gather_schedule(s, t, 0, more, LEN, bytes, &blocks);
}

static void scatter(struct schedule *s, const struct tuning *t)
{
	scatter_schedule(s, t, 0, bytes, &blocks, more, LEN);
}

static void allgather(struct schedule *s, const struct tuning *t)
{
	allgather_schedule(s, t, more, bytes, &blocks);
}

static void alltoall(struct schedule *s, const struct tuning *t)
{
	alltoall_schedule(s, t, HAUL_IN_PLACE, NULL, bytes, &blocks);
}

static void reduce(struct schedule *s, const struct tuning *t)
{
	reduce_schedule(s, t, 0, more, bytes, LEN);
}

static void reduce_scatter(struct schedule *s, const struct tuning *t)
{
	reduce_scatter_schedule(s, t, HAUL_IN_PLACE, bytes, counts);
}

static void allreduce(struct schedule *s, const struct tuning *t)
{
	allreduce_schedule(s, t, HAUL_IN_PLACE, bytes, LEN);
}

static void scan(struct schedule *s, const struct tuning *t)
{
	(void)t;
	scan_schedule(s, more, bytes, LEN, false);
}

static void exscan(struct schedule *s, const struct tuning *t)
{
	(void)t;
	scan_schedule(s, more, bytes, LEN, true);
}

/* Each allocation fails once; true if there was one. */
static bool write_down(void (*collective)(struct schedule *s, const struct tuning *t), int rank,
    const struct tuning *t, unsigned nth)
{
	struct schedule s;
	long before = fault_live();
	schedule_init(&s, rank, MEMBERS);
	s.op = (struct reduction_op){ .size = 1, .call = join };
	fault_arm(&(struct fault){ .action = FAULT_FAIL, .nth = nth, .only = FAULT_ALLOCATIONS });
	collective(&s, t);
	fault_disarm();
	bool fired = fault_fired() > 0;
	must_be(s.error, fired ? -ENOMEM : 0);
	schedule_fini(&s);
	must_be(fault_live(), before);
	return fired;
}

Test(schedule, an_algorithm_without_memory_says_so)
{
	void (*const all[])(struct schedule *, const struct tuning *) = { bcast, gather, scatter, allgather,
		alltoall, reduce, reduce_scatter, allreduce, scan, exscan };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		for (int rank = 0; rank < MEMBERS; rank++) {
			for (int way = 0; way < 4; way++) {
				size_t from = way % 2 == 0 ? SIZE_MAX : 0;
				struct tuning t = { from, from, from, from, from, from, .readers = 2,
					.crowd = way < 2 ? SIZE_MAX : 0, .block = LEN };
				unsigned nth = 1;
				must_note_case("collective %zu, rank %d, %s way, %s", i, rank,
				    from == 0 ? "long" : "short", way < 2 ? "few" : "a crowd");
				while (write_down(all[i], rank, &t, nth))
					nth++;
				must(nth > 1);
			}
		}
	}
}
