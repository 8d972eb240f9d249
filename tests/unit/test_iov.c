/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The iovec cursor: single rules by hand, then random lists and random steps against a flat copy of the
 * same bytes. HAUL_TEST_SEED repeats a random run.
 */
#include "os/iov.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/seed.h"

TestSuite(iov, .timeout = 30);

Test(iov, total_sums_the_lengths)
{
	char a[10];
	struct iovec iov[] = { { a, 3 }, { NULL, 0 }, { a, 7 } };
	uint64_t total = 99;
	cr_assert(iov_total(iov, 3, &total));
	cr_assert_eq(total, 10);
	cr_assert(iov_total(NULL, 0, &total));
	cr_assert_eq(total, 0);
}

Test(iov, total_takes_ssize_max_and_no_byte_more)
{
	char a;
	struct iovec iov[] = { { &a, SSIZE_MAX }, { &a, 1 } };
	uint64_t total = 0;
	cr_assert(iov_total(iov, 1, &total));
	cr_assert_eq(total, SSIZE_MAX);
	cr_assert_not(iov_total(iov, 2, &total));
	iov[0].iov_len = SIZE_MAX;
	cr_assert_not(iov_total(iov, 1, &total));
	iov[0].iov_len = 2;
	iov[1].iov_len = SIZE_MAX; /* the sum would wrap to 1 */
	cr_assert_not(iov_total(iov, 2, &total));
	cr_assert_eq(total, SSIZE_MAX, "a refused list must leave the total alone");
}

Test(iov, total_refuses_null_with_a_length)
{
	struct iovec iov = { NULL, 1 };
	uint64_t total;
	cr_assert_not(iov_total(&iov, 1, &total));
}

Test(iov, advance_to_the_end_of_an_iovec_stands_at_the_next)
{
	char a[4], b[4];
	struct iovec iov[] = { { a, 4 }, { b, 4 } }, w[2];
	struct iov_cursor c;
	uint64_t len;
	iov_cursor_init(&c, iov, 2, 8);
	iov_cursor_advance(&c, 4);
	cr_assert_eq(c.left, 4);
	cr_assert_eq(c.count, 1);
	cr_assert_eq(iov_cursor_window(&c, w, 2, 100, &len), 1);
	cr_assert_eq(w[0].iov_base, b);
	cr_assert_eq(len, 4);
	iov_cursor_advance(&c, 4);
	cr_assert_eq(c.left, 0);
	cr_assert_eq(c.count, 0);
	iov_cursor_advance(&c, 0);
	cr_assert_eq(iov_cursor_window(&c, w, 2, 100, &len), 0);
	cr_assert_eq(len, 0);
}

Test(iov, advance_by_nothing_changes_nothing)
{
	char a[4];
	struct iovec iov = { a, 4 };
	struct iov_cursor c;
	iov_cursor_init(&c, &iov, 1, 4);
	iov_cursor_advance(&c, 3);
	iov_cursor_advance(&c, 0);
	cr_assert_eq(c.iov, &iov);
	cr_assert_eq(c.skip, 3);
	cr_assert_eq(c.left, 1);
}

Test(iov, window_leaves_out_empty_iovecs)
{
	char a[8];
	struct iovec iov[] = { { NULL, 0 }, { a, 3 }, { NULL, 0 }, { a + 3, 5 }, { NULL, 0 } }, w[5];
	struct iov_cursor c;
	uint64_t len;
	iov_cursor_init(&c, iov, 5, 8);
	cr_assert_eq(iov_cursor_window(&c, w, 5, 100, &len), 2);
	cr_assert_eq(len, 8);
	cr_assert_eq(w[0].iov_base, a);
	cr_assert_eq(w[0].iov_len, 3);
	cr_assert_eq(w[1].iov_base, a + 3);
	cr_assert_eq(w[1].iov_len, 5);
}

Test(iov, window_is_cut_by_count_and_by_length)
{
	char a[30];
	struct iovec iov[] = { { a, 10 }, { a + 10, 10 }, { a + 20, 10 } }, w[3];
	struct iov_cursor c;
	uint64_t len;
	iov_cursor_init(&c, iov, 3, 30);
	cr_assert_eq(iov_cursor_window(&c, w, 2, 100, &len), 2);
	cr_assert_eq(len, 20);
	cr_assert_eq(iov_cursor_window(&c, w, 3, 15, &len), 2);
	cr_assert_eq(len, 15);
	cr_assert_eq(w[1].iov_len, 5);
	cr_assert_eq(iov_cursor_window(&c, w, 3, 0, &len), 0);
	cr_assert_eq(len, 0);
	cr_assert_eq(iov_cursor_window(&c, w, 0, 15, &len), 0);
	cr_assert_eq(len, 0);
	cr_assert_eq(c.left, 30, "a window must not move the cursor");
}

Test(iov, a_cursor_shorter_than_its_list_ends_at_its_own_length)
{
	char a[20];
	struct iovec iov[] = { { a, 10 }, { a + 10, 10 } }, w[2];
	struct iov_cursor c;
	uint64_t len;
	iov_cursor_init(&c, iov, 2, 12);
	cr_assert_eq(iov_cursor_window(&c, w, 2, 100, &len), 2);
	cr_assert_eq(len, 12);
	cr_assert_eq(w[1].iov_len, 2);
	iov_cursor_limit(&c, 4);
	cr_assert_eq(iov_cursor_window(&c, w, 2, 100, &len), 1);
	cr_assert_eq(len, 4);
	cr_assert_eq(w[0].iov_len, 4);
	iov_cursor_advance(&c, 4);
	cr_assert_eq(c.left, 0);
}

Test(iov, put_and_get_cross_iovecs_and_move_on)
{
	char a[3], b[4], out[7];
	struct iovec iov[] = { { NULL, 0 }, { a, 3 }, { NULL, 0 }, { b, 4 } };
	struct iov_cursor c;
	iov_cursor_init(&c, iov, 4, 7);
	iov_cursor_put(&c, "01", 2);
	cr_assert_eq(c.left, 5);
	iov_cursor_put(&c, "23456", 5);
	iov_cursor_put(&c, NULL, 0);
	cr_assert_eq(c.left, 0);
	cr_assert_arr_eq(a, "012", 3);
	cr_assert_arr_eq(b, "3456", 4);
	iov_cursor_init(&c, iov, 4, 7);
	iov_cursor_get(&c, out, 1);
	iov_cursor_get(&c, out + 1, 6);
	cr_assert_arr_eq(out, "0123456", 7);
	cr_assert_eq(c.left, 0);
}

/* A list of random pieces, some empty, over memory that is exactly as long as they are. */
struct pieces {
	struct iovec *iov;
	size_t count, len;
	unsigned char *flat;
};

static void pieces_init(struct pieces *p, size_t count, size_t max)
{
	*p = (struct pieces){ .iov = calloc(count, sizeof(*p->iov)), .count = count };
	for (size_t i = 0; i < count; i++) {
		p->iov[i].iov_len = random_below(4) == 0 ? 0 : random_below(max);
		p->iov[i].iov_base = malloc(p->iov[i].iov_len); /* apart, so that a sanitizer sees a slip */
		p->len += p->iov[i].iov_len;
	}
	p->flat = malloc(p->len + 1);
	for (size_t i = 0, at = 0; i < count; i++)
		for (size_t k = 0; k < p->iov[i].iov_len; k++, at++)
			p->flat[at] = ((unsigned char *)p->iov[i].iov_base)[k] =
			    (unsigned char)random_below(256);
}

static void pieces_fini(struct pieces *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->iov[i].iov_base);
	free(p->iov);
	free(p->flat);
}

/* The window's bytes must be the next ones, its iovecs not empty, and it must be as long as it may be. */
static void check_window(const struct iov_cursor *c, const unsigned char *next, size_t max, uint64_t max_len)
{
	struct iovec *w = calloc(max + 1, sizeof(*w));
	uint64_t len, sum = 0;
	size_t n = iov_cursor_window(c, w, max, max_len, &len);

	cr_assert_leq(n, max);
	for (size_t i = 0; i < n; i++) {
		cr_assert_gt(w[i].iov_len, 0);
		cr_assert_arr_eq(w[i].iov_base, next + sum, w[i].iov_len);
		sum += w[i].iov_len;
	}
	cr_assert_eq(len, sum);
	cr_assert(n == max || len == (c->left < max_len ? c->left : max_len));
	free(w);
}

Test(iov, random_steps_agree_with_a_flat_copy)
{
	seed_random();
	for (int round = 0; round < 300; round++) {
		struct pieces p;
		struct iov_cursor c;
		pieces_init(&p, 1 + random_below(60), 1 + random_below(200));
		size_t end = random_below(p.len + 1), at = 0;
		unsigned char *buf = malloc(end + 1);

		iov_cursor_init(&c, p.iov, p.count, end);
		while (at < end) {
			size_t n = random_below(end - at < 100 ? end - at + 1 : 100);
			check_window(&c, p.flat + at, random_below(8), random_below(300));
			switch (random_below(8)) {
			case 0:
				if (random_below(4) == 0) {
					iov_cursor_limit(&c, n);
					end = at + n;
				}
				break;
			case 1:
			case 2:
				iov_cursor_get(&c, buf, n);
				cr_assert_arr_eq(buf, p.flat + at, n);
				at += n;
				break;
			case 3:
			case 4:
				for (size_t i = 0; i < n; i++)
					p.flat[at + i] = (unsigned char)random_below(256);
				iov_cursor_put(&c, p.flat + at, n);
				at += n;
				break;
			default:
				iov_cursor_advance(&c, n);
				at += n;
			}
			cr_assert_eq(c.left, end - at);
		}
		check_window(&c, p.flat + at, 4, 100);

		size_t sum = 0; /* and nothing outside of what was put has changed */
		for (size_t i = 0; i < p.count; sum += p.iov[i].iov_len, i++)
			cr_assert_arr_eq(p.iov[i].iov_base, p.flat + sum, p.iov[i].iov_len);
		free(buf);
		pieces_fini(&p);
	}
}

/* A peer's ranges are numbers that it made up: NULL, or so high that the next byte has no address. */
Test(iov, addresses_of_another_process_may_be_anything)
{
	struct iovec iov[] = { { NULL, 100 }, { (void *)(UINTPTR_MAX - 10), 4096 } }, out[2];
	struct iov_cursor c;
	uint64_t len;
	iov_cursor_init(&c, iov, 2, 4196);
	cr_assert_eq(iov_cursor_window(&c, out, 1, 100, &len), 1);
	cr_assert_null(out[0].iov_base);
	iov_cursor_advance(&c, 200);
	cr_assert_eq(iov_cursor_window(&c, out, 2, 10, &len), 1);
	cr_assert_eq((uintptr_t)out[0].iov_base, 89);
	cr_assert_eq(out[0].iov_len, 10);
}
