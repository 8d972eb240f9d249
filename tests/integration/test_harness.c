/* SPDX-License-Identifier: BSD-3-Clause */
/* The harness itself: what it exists to catch, it catches. A test suite that cannot fail proves nothing. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/fds.h"
#include "lib/pattern.h"

TestSuite(harness, .timeout = 20);

static int return_seven(void *arg)
{
	(void)arg;
	return 7;
}

static int crash(void *arg)
{
	(void)arg;
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
	signal(SIGABRT, SIG_DFL);
	abort();
}

static int hang(void *arg)
{
	(void)arg;
	while (pause() < 0)
		continue;
	return 0;
}

static int fail_a_check(void *arg)
{
	close(STDERR_FILENO); /* what it says would look like a real failure */
	child_check(arg == &arg);
	return 0;
}

Test(harness, an_exit_status_is_collected)
{
	struct child c;
	child_start(&c, 10000, return_seven, NULL);
	child_expect(&c, 7);
}

Test(harness, a_crash_is_caught)
{
	struct child c;
	child_start(&c, 10000, crash, NULL);
	struct child_end end = child_collect(&c);
	cr_assert_eq(end.fate, CHILD_KILLED);
	cr_assert_eq(end.code, SIGABRT);
	cr_assert(strstr(end.words, "was killed by signal 6") == end.words, "%s", end.words);
}

Test(harness, a_hang_is_ended_at_its_deadline)
{
	struct child c;
	child_start(&c, 50, hang, NULL);
	struct child_end end = child_collect(&c);
	cr_assert_eq(end.fate, CHILD_HUNG);
	cr_assert_eq(kill(c.pid, 0), -1, "it was collected, so nothing has its pid");
}

Test(harness, a_stopped_child_is_ended_too)
{
	struct child c;
	child_start(&c, 50, hang, NULL);
	child_signal(&c, SIGSTOP);
	cr_assert_eq(child_collect(&c).fate, CHILD_HUNG);
}

Test(harness, a_kill_is_not_taken_for_a_hang)
{
	struct child c;
	child_start(&c, 10000, hang, NULL);
	child_signal(&c, SIGKILL);
	child_expect_killed(&c, SIGKILL);
}

Test(harness, a_failed_check_ends_the_child)
{
	struct child c;
	child_start(&c, 10000, fail_a_check, NULL);
	child_expect(&c, CHILD_CHECK_FAILED);
}

Test(harness, a_leaked_descriptor_is_counted)
{
	int before = fds_count();
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(fds_count(), before + 1);
	close(fd);
	fds_expect(before);
}

Test(harness, children_leave_no_descriptor)
{
	int before = fds_count();
	struct child c;
	child_start(&c, 10000, return_seven, NULL);
	child_expect(&c, 7);
	fds_expect(before);
}

Test(harness, the_pattern_is_the_same_in_any_pieces)
{
	unsigned char whole[100], pieces[100];
	pattern_fill(whole, sizeof(whole), 1, 5);
	for (size_t n = 1; n <= sizeof(whole); n++) {
		memset(pieces, 0, sizeof(pieces));
		for (size_t at = 0; at < sizeof(pieces); at += n) {
			size_t len = sizeof(pieces) - at < n ? sizeof(pieces) - at : n;
			pattern_fill(pieces + at, len, 1, 5 + at);
			cr_assert_eq(pattern_check(whole + at, len, 1, 5 + at), len);
		}
		cr_assert_arr_eq(pieces, whole, sizeof(whole));
	}
}

Test(harness, the_first_wrong_byte_is_named)
{
	unsigned char buf[64];
	pattern_fill(buf, sizeof(buf), 1, 3);
	for (size_t i = 0; i < sizeof(buf); i++) {
		buf[i] ^= 0x10;
		cr_assert_eq(pattern_check(buf, sizeof(buf), 1, 3), i);
		buf[i] ^= 0x10;
	}
	cr_assert_eq(pattern_check(buf, sizeof(buf), 1, 3), sizeof(buf));
}

Test(harness, bytes_of_another_place_or_message_are_wrong)
{
	static unsigned char buf[1 << 16];
	pattern_fill(buf, sizeof(buf), 1, 0);
	for (uint64_t offset = 1; offset < 5000; offset++)
		cr_assert_lt(pattern_check(buf, sizeof(buf), 1, offset), 16, "offset %u", (unsigned)offset);
	for (uint64_t seed = 2; seed < 5000; seed++)
		cr_assert_lt(pattern_check(buf, sizeof(buf), seed, 0), 16, "seed %u", (unsigned)seed);
	cr_assert_lt(pattern_check(buf, sizeof(buf), 0, 0), 16);
}
