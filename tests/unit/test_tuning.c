/* SPDX-License-Identifier: BSD-3-Clause */
/* What HAUL_TUNING may say. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "group/algorithms.h"
#include "haul/haul.h"

TestSuite(tuning, .timeout = 10);

Test(tuning, a_list_changes_what_it_names_and_nothing_else)
{
	struct tuning t = tuning_default;
	cr_assert_eq(tuning_read(&t, "bcast=64K,reduce=never,readers=2,allreduce=0,crowd=5"), 0);
	cr_assert_eq(t.bcast_large, 64 << 10);
	cr_assert_eq(t.reduce_large, SIZE_MAX);
	cr_assert_eq(t.readers, 2);
	cr_assert_eq(t.allreduce_large, 0);
	cr_assert_eq(t.crowd, 5);
	cr_assert_eq(t.gather_large, tuning_default.gather_large);
	cr_assert_eq(t.allgather_large, tuning_default.allgather_large);
	cr_assert_eq(t.alltoall_large, tuning_default.alltoall_large);
	cr_assert_eq(t.block, tuning_default.block);
}

Test(tuning, nothing_changes_nothing)
{
	struct tuning t = tuning_default;
	cr_assert_eq(tuning_read(&t, ""), 0);
	cr_assert_eq(tuning_read(&t, ","), 0);
	cr_assert_eq(memcmp(&t, &tuning_default, sizeof(t)), 0);
}

Test(tuning, what_makes_no_sense_is_refused_with_a_reason)
{
	static const char *const bad[] = { "bcast", "bcast=", "bcast=x", "bcast=-1", "bcast=1X", "scatter=1",
		"=1", "bcast=never1", "bcast=64K reduce=1", "bcast=99999999999999999999" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct tuning t = tuning_default;
		cr_assert_eq(tuning_read(&t, bad[i]), -EINVAL, "'%s'", bad[i]);
		cr_assert(strncmp(haul_reason(), "HAUL_TUNING", strlen("HAUL_TUNING")) == 0, "%s",
		    haul_reason());
	}
	char longer[1000];
	struct tuning t = tuning_default;
	memset(longer, ',', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	cr_assert_eq(tuning_read(&t, longer), -EINVAL);
}

Test(tuning, differences_show_in_the_mark)
{
	static const char *const other[] = { "bcast=1", "gather=1", "allgather=1", "alltoall=1", "reduce=1",
		"allreduce=1", "readers=1", "crowd=1", "block=1" };
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		struct tuning t = tuning_default;
		cr_assert_eq(tuning_mark(&t), tuning_mark(&tuning_default));
		cr_assert_eq(tuning_read(&t, other[i]), 0);
		cr_assert_neq(tuning_mark(&t), tuning_mark(&tuning_default), "%s", other[i]);
	}
}

Test(tuning, whoever_decides_alike_has_the_same_mark)
{
	for (int cpus = 1; cpus < 8; cpus++) {
		struct tuning alone, crowd;
		cr_assert_eq(tuning_for(&alone, cpus, cpus, ""), 0);
		cr_assert_eq(tuning_for(&crowd, cpus + 1, cpus, ""), 0);
		cr_assert_eq(tuning_mark(&alone), tuning_mark(&tuning_default));
		cr_assert_neq(tuning_mark(&crowd), tuning_mark(&alone));
		cr_assert_eq(crowd.crowd == 0, cpus <= 4, "%d", cpus);
	}
}

Test(tuning, what_a_list_says_of_crowds_decides_the_rest)
{
	struct tuning t, other;
	cr_assert_eq(tuning_for(&t, 9, 2, "crowd=never"), 0);
	cr_assert_eq(t.gather_large, tuning_default.gather_large);
	cr_assert_eq(t.readers, tuning_default.readers);
	cr_assert_eq(tuning_for(&t, 9, 64, "reduce=1,crowd=9"), 0);
	cr_assert_eq(tuning_for(&other, 9, 2, "reduce=1,crowd=9"), 0);
	cr_assert_eq(memcmp(&t, &other, sizeof(t)), 0);
	cr_assert_eq(t.bcast_large, 0);
	cr_assert_eq(t.reduce_large, 1);
	cr_assert_eq(tuning_for(&t, 9, 2, "bcast=1,readers=2"), 0);
	cr_assert_eq(t.bcast_large, 1);
	cr_assert_eq(t.readers, 2);
	cr_assert_eq(t.crowd, 0);
	cr_assert_eq(tuning_for(&t, 9, 2, "bcast=1,crowd=x"), -EINVAL);
}

/* One of them has descriptors for all. */
Test(tuning, a_great_many_are_no_crowd)
{
	struct tuning t;
	cr_assert_eq(tuning_for(&t, 128, 2, ""), 0);
	cr_assert_eq(t.crowd, 0);
	cr_assert_eq(tuning_for(&t, 129, 2, ""), 0);
	cr_assert_eq(t.crowd, SIZE_MAX);
}
