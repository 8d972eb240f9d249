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
	cr_assert_eq(tuning_read(&t, "bcast=64K,reduce=never,readers=2,allreduce=0"), 0);
	cr_assert_eq(t.bcast_large, 64 << 10);
	cr_assert_eq(t.reduce_large, SIZE_MAX);
	cr_assert_eq(t.readers, 2);
	cr_assert_eq(t.allreduce_large, 0);
	cr_assert_eq(t.gather_large, tuning_default.gather_large);
	cr_assert_eq(t.allgather_large, tuning_default.allgather_large);
	cr_assert_eq(t.alltoall_large, tuning_default.alltoall_large);
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
		"allreduce=1", "readers=1" };
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		struct tuning t = tuning_default;
		cr_assert_eq(tuning_mark(&t), tuning_mark(&tuning_default));
		cr_assert_eq(tuning_read(&t, other[i]), 0);
		cr_assert_neq(tuning_mark(&t), tuning_mark(&tuning_default), "%s", other[i]);
	}
}
