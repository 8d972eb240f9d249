/* SPDX-License-Identifier: BSD-3-Clause */
/* A caller's list of buffers: copied, without the empty ones, or refused. */
#include "msg/buffers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "os/reason.h"

TestSuite(buffers, .timeout = 60);

static char memory[4096];

Test(buffers, the_list_is_copied)
{
	struct iovec iov[2] = { { memory, 10 }, { memory + 100, 20 } };
	struct buffers b;
	cr_assert_eq(buffers_init(&b, iov, 2), 0);
	memset(iov, 0, sizeof(iov));
	cr_assert_eq(b.count, 2);
	cr_assert_eq(b.len, 30);
	cr_assert_eq(b.iov[0].iov_base, memory);
	cr_assert_eq(b.iov[0].iov_len, 10);
	cr_assert_eq(b.iov[1].iov_base, memory + 100);
	cr_assert_eq(b.iov[1].iov_len, 20);
	buffers_fini(&b);
}

Test(buffers, empty_ones_are_left_out)
{
	struct iovec iov[] = { { NULL, 0 }, { memory, 1 }, { memory, 0 }, { NULL, 0 }, { memory + 1, 2 },
		{ NULL, 0 } };
	struct buffers b;
	cr_assert_eq(buffers_init(&b, iov, 6), 0);
	cr_assert_eq(b.count, 2);
	cr_assert_eq(b.len, 3);
	cr_assert_eq(b.iov[0].iov_base, memory);
	cr_assert_eq(b.iov[1].iov_base, memory + 1);
	buffers_fini(&b);
}

Test(buffers, no_bytes_at_all_are_a_list_of_none)
{
	struct iovec nothing = { NULL, 0 };
	struct buffers b;
	cr_assert_eq(buffers_init(&b, NULL, 0), 0);
	cr_assert_eq(b.count + b.len, 0);
	buffers_fini(&b);
	cr_assert_eq(buffers_init(&b, &nothing, 1), 0);
	cr_assert_eq(b.count + b.len, 0);
	buffers_fini(&b);
}

Test(buffers, few_take_no_heap_and_more_do)
{
	for (size_t count = 0; count <= 2 * BUFFERS_FEW; count++) {
		struct iovec iov[2 * BUFFERS_FEW];
		struct buffers b;
		for (size_t i = 0; i < count; i++)
			iov[i] = (struct iovec){ memory + i, i + 1 };
		cr_assert_eq(buffers_init(&b, iov, count), 0);
		cr_assert_eq(b.iov == b.few, count <= BUFFERS_FEW, "%zu", count);
		cr_assert_eq(b.count, count);
		for (size_t i = 0; i < count; i++)
			cr_assert_eq(b.iov[i].iov_base, memory + i);
		buffers_fini(&b);
		cr_assert_eq(b.count, 0);
		buffers_fini(&b);
	}
}

static void expect_refused(const struct iovec *iov, size_t count)
{
	struct buffers b;
	reason(0, "%s", "");
	cr_assert_eq(buffers_init(&b, iov, count), -EINVAL);
	cr_assert_str_neq(reason_get(), "", "it says why");
	buffers_fini(&b);
}

Test(buffers, a_length_without_memory_is_refused)
{
	struct iovec iov[] = { { memory, 1 }, { NULL, 1 } };
	expect_refused(iov, 2);
	expect_refused(NULL, 1);
}

Test(buffers, lengths_fit_into_ssize_t)
{
	struct iovec most[] = { { memory, SSIZE_MAX - 1 }, { memory, 1 } };
	struct buffers b;
	cr_assert_eq(buffers_init(&b, most, 2), 0);
	cr_assert_eq(b.len, SSIZE_MAX);
	buffers_fini(&b);
	most[1].iov_len = 2;
	expect_refused(most, 2);
	most[0].iov_len = most[1].iov_len = SIZE_MAX; /* their sum wraps */
	expect_refused(most, 2);
	expect_refused(most, 1);
}
